#!/usr/bin/env bash
# The tests, on one server: the one that SERVER or INV_SERVER names, or the one that find-server.sh finds.
#
#     scripts/test.sh                                  all
#     scripts/test.sh expiry::                         those whose names contain this
#     scripts/test.sh --test server -- expiry:: once   those of the server suite whose names contain one of these
#     scripts/test.sh --test engine -- --skip moving::
#     scripts/test.sh --no-capture soak::              one at a time, with what it prints
#
# The words are those of `cargo nextest run` (https://nexte.st/docs/running). Which tests run at a time is said in
# .config/nextest.toml; the times of the last run are in target/nextest/default/junit.xml.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly too_old=too-old/redis-7.0
readonly built=${CARGO_TARGET_DIR:-$root/target}
readonly duration=$built/test.seconds

# The module with faults has a folder of its own, or cargo would rebuild one of the two modules at each switch between them.
# `--build-faults` does only this.
build_faults() {
    share_libraries "$built/debug" "$built/faults/debug"
    scripts/cargo.sh build --lib --features faults --target-dir "$built/faults"
    share_libraries "$built/faults/debug" "$built/debug"
}

# What the tests start is built before them, because cargo would take the processors from them. `--build` does only this.
build() {
    build_faults
    scripts/cargo.sh nextest run --no-run
}

if [[ ${1:-} == --build-faults ]]; then
    build_faults
    exit
fi
exports=$(scripts/setup-nextest.sh)
eval "$exports"
if [[ ${1:-} == --build ]]; then
    build
    exit
fi
INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER
# Without redis-py or tmux the tests through them fail, and say so.
for setup in redis-py tmux; do
    exports=$(scripts/setup-$setup.sh) || exports=
    eval "$exports"
done
# test-all.sh and .ci/run pass what they have built.
if [[ -z ${INV_FAULTS_MODULE:-} ]]; then
    build
    INV_FAULTS_MODULE=$(module_file faults/debug)
    export INV_FAULTS_MODULE
fi

is_all=$(($# == 0))
# The module says on an older server what it needs: some tests want one.
if [[ ! -d .servers/$too_old ]] && ! scripts/get-servers.sh "$too_old"; then
    say "!!! the tests on a server older than 7.2 are left out: there is none"
    [[ " $* " == *" -- "* ]] || set -- "$@" --
    set -- "$@" --skip a_server_older_than_7_2
fi
((is_all)) || exec scripts/cargo.sh nextest run "$@"

minutes=4
[[ ! -e $duration ]] || minutes=$((($(<"$duration") + 59) / 60))
say "the tests take about $minutes minutes"
status=0
begun=$SECONDS
scripts/cargo.sh nextest run "$@" || status=$?
((status != 0)) || printf '%s\n' $((SECONDS - begun)) >"$duration"
scripts/cargo.sh test --doc || status=$?
exit "$status"

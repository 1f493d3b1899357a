#!/usr/bin/env bash
# Lets clients use real servers while everything fails, and checks what they were told (docs/internals/histories.md).
#
# LENGTH is the duration in seconds (default 180); SEED repeats the random choices; ONLY selects the runs whose name contains it,
# such as "cluster" or "full disks"; CHECK=file checks a history that was kept; KEEP=folder keeps all histories. Those with
# findings are kept in target/histories in any case. REPORT=file gets a line about the run (scripts/record-run.sh).
# With --build, only the module from which an upgrade begins is built.
#
# Partitions and full disks need root, set clocks libfaketime, and an upgrade the repository's history. What is missing is said,
# and left out.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# The version from which an upgrade begins. Nothing has been released yet, so it is the last commit of the first version.
readonly released=f2673ee

# The module of that version, built in a folder of its own.
build_released() {
    local sources=$root/target/released/sources
    local built=$root/target/released/target/debug/libredis_inventory.so
    if [[ ! -e $built ]]; then
        git cat-file -e "$released^{commit}" 2>/dev/null || return 1
        say "histories: building the module of $released, from which an upgrade begins ..."
        rm -rf "$sources"
        mkdir -p "$sources"
        git archive "$released" Cargo.toml Cargo.lock src benches examples tests | tar -x -C "$sources"
        # It is not a member of this workspace, and is built like the module of today, whose libraries it shares.
        { printf '\n[workspace]\n' && sed -n '/^\[profile\.dev/,/^$/p' Cargo.toml; } >>"$sources/Cargo.toml"
        share_libraries "$root/target/debug" "$root/target/released/target/debug"
        (cd "$sources" && "$root/scripts/cargo.sh" build --lib --locked --manifest-path "$sources/Cargo.toml" \
            --target-dir "$root/target/released/target") >&2 || return 1
    fi
    printf '%s\n' "$built"
}

if [[ ${1:-} == --build ]]; then
    build_released >/dev/null || die "the module of $released cannot be built"
    exit
fi
export INV_HISTORY_CHECK=${CHECK:-} INV_HISTORY_KEEP=${KEEP:-} INV_HISTORY_ONLY=${ONLY:-} INV_HISTORY_SECONDS=${LENGTH:-180}
for variable in INV_HISTORY_CHECK INV_HISTORY_KEEP; do
    # The tests run in another folder.
    if [[ -n ${!variable} && ${!variable} != /* ]]; then export "$variable=$PWD/${!variable}"; fi
done
[[ -z ${SEED:-} ]] || export INV_HISTORY_SEED=$SEED
if [[ -z $INV_HISTORY_CHECK ]]; then
    INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
    export INV_SERVER
    if exports=$(scripts/setup-faketime.sh); then eval "$exports"; else say "histories: no clock will be set"; fi
    if INV_HISTORY_BEFORE=${INV_HISTORY_BEFORE:-$(build_released)}; then
        export INV_HISTORY_BEFORE
    else
        say "histories: no upgrade will be made: this clone lacks the commit $released, or it cannot be built"
    fi
fi
line=$(mktemp)
trap 'rm -f "$line"' EXIT
export INV_HISTORY_LINE=$line
status=0
scripts/cargo.sh test --test history runs::histories -- --exact --ignored --nocapture || status=$?
if [[ -s $line ]]; then scripts/record-run.sh histories "$(<"$line")"; fi
exit "$status"

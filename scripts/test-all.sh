#!/usr/bin/env bash
# The server tests on every server under .servers/ (see get-servers.sh), and a table at the end. They are those of the profile
# other-servers in .config/nextest.toml: what does not depend on the server is left to make test. The server that TESTED names
# has had both, and is left out.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly logs=$root/target/test-all
failures=0
rows=

test_on() {
    local server=$1 name log start passed failed
    name=$(server_name "$server")
    log=$logs/$name.log
    say ""
    say "=== $name"
    start=$SECONDS
    # A run of no test fails.
    SERVER=$server scripts/test.sh --profile other-servers --test server 2>&1 | tee "$log" || failures=$((failures + 1))
    read -r passed failed < <(count_tests "$log")
    rows+="$name $passed $failed $((SECONDS - start))"$'\n'
}

scripts/get-servers.sh || say "!!! going on with the servers that are there"
mkdir -p "$logs"
scripts/test.sh --build
INV_FAULTS_MODULE=$(module_file debug/deps -faults)
export INV_FAULTS_MODULE INV_WATCH=${CARGO_TARGET_DIR:-$root/target}/debug/examples/watch

tested=
[[ -z ${TESTED:-} ]] || tested=$(server_name "$TESTED")
for server in "$root"/.servers/{redis,valkey}-[0-9]*/bin/*-server; do
    [[ ! -x $server || $(server_name "$server") == "$tested" ]] || test_on "$server"
done
[[ -n $rows || -n $tested ]] || die "there is no server under .servers/"

printf '\n%-12s %8s %8s %8s\n' server passed failed seconds
while read -r name passed failed seconds; do
    [[ -z $name ]] || printf '%-12s %8s %8s %8s\n' "$name" "$passed" "$failed" "$seconds"
done <<<"$rows"
((failures == 0)) || die "the tests failed on $failures server(s); their output is in target/test-all/"

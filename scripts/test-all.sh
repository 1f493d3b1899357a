#!/usr/bin/env bash
# The server tests on every server under .servers/ (see get-servers.sh) but the one that TESTED names, and a table at the end.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly logs=$root/target/test-all
failures=0
rows=

# count passed|failed LOG: the sum over what cargo says at the end of each test binary.
count() { sed -nE "s/^test result:.* ([0-9]+) $1;.*/\1/p" "$2" | awk '{sum += $1} END {print sum + 0}'; }

test_on() {
    local server=$1 name version log start seconds passed failed
    name=$(basename "$(dirname "$(dirname "$server")")")
    version=$("$server" --version | sed -nE 's/.* v=([0-9.]+).*/\1/p')
    log=$logs/$name.log
    say ""
    say "=== $name ($version)"
    start=$SECONDS
    # A run of no test is no pass.
    if ! SERVER=$server scripts/test.sh --test server 2>&1 | tee "$log" || [[ $(count passed "$log") == 0 ]]; then
        failures=$((failures + 1))
    fi
    seconds=$((SECONDS - start))
    passed=$(count passed "$log")
    failed=$(count failed "$log")
    rows+="$name $version $passed $failed $seconds"$'\n'
}

scripts/get-servers.sh || say "!!! going on with the servers that are there"
mkdir -p "$logs"
scripts/cargo.sh test --test server --no-run

for server in "$root"/.servers/{redis,valkey}-[0-9]*/bin/*-server; do
    [[ ! -x $server || $server == "${TESTED:-}" ]] || test_on "$server"
done
[[ -n $rows || -n ${TESTED:-} ]] || die "there is no server under .servers/"

printf '\n%-12s %-10s %8s %8s %8s\n' server version passed failed seconds
while read -r name version passed failed seconds; do
    [[ -z $name ]] || printf '%-12s %-10s %8s %8s %8s\n' "$name" "$version" "$passed" "$failed" "$seconds"
done <<<"$rows"
((failures == 0)) || die "the tests failed on $failures server(s); their output is in target/test-all/"

#!/usr/bin/env bash
# The server tests on every server under .servers/ (see get-servers.sh), and a table at the end. They are those of the profile
# other-servers in .config/nextest.toml: what does not depend on the server is left to make test. The server that TESTED names
# has had both, and is left out.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly logs=$root/target/test-all

# This number of servers is tested at the same time, because most tests wait most of the time.
readonly together=2

# The output goes to a file, and is shown when the tests are done.
test_on() {
    local server=$1 name start=$SECONDS status=passed passed failed
    name=$(server_name "$server")
    # A run of no test fails.
    SERVER=$server scripts/test.sh --profile other-servers --test server >"$logs/$name.log" 2>&1 || status=FAILED
    read -r passed failed < <(count_tests "$logs/$name.log")
    printf '%-12s %8s %8s %8s  %s\n' "$name" "$passed" "$failed" $((SECONDS - start)) "$status" >"$logs/$name.row"
}

show() {
    local name
    for name in "$@"; do
        say ""
        say "=== $name"
        cat "$logs/$name.log"
    done
}

scripts/get-servers.sh || say "!!! only the servers that are already there are tested"
mkdir -p "$logs"
if [[ -z ${INV_FAULTS_MODULE:-} ]]; then
    scripts/test.sh --build
    INV_FAULTS_MODULE=$(module_file faults/debug)
    export INV_FAULTS_MODULE
fi

tested=
[[ -z ${TESTED:-} ]] || tested=$(server_name "$TESTED")
servers=()
for server in "$root"/.servers/{redis,valkey}-[0-9]*/bin/*-server; do
    [[ ! -x $server || $(server_name "$server") == "$tested" ]] || servers+=("$server")
done
((${#servers[@]} > 0)) || [[ -n $tested ]] || die "there is no server under .servers/"

rm -f "$logs"/*.row
for ((at = 0; at < ${#servers[@]}; at += together)); do
    names=()
    for server in "${servers[@]:at:together}"; do
        names+=("$(server_name "$server")")
        say "testing ${names[-1]}"
        test_on "$server" &
    done
    wait
    show "${names[@]}"
done

printf '\n%-12s %8s %8s %8s\n' server passed failed seconds
cat "$logs"/*.row 2>/dev/null || true
! grep -qs FAILED "$logs"/*.row || die "the tests failed; their output is in target/test-all/"

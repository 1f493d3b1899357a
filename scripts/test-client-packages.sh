#!/usr/bin/env bash
# Tests the packages of clients/: their types, their parts without a server, and everything with each client library, in both
# protocols, on a temporary server and a temporary cluster with the module. What they print is in target/test-clients.
#
#     scripts/test-client-packages.sh                          both packages
#     scripts/test-client-packages.sh python glide-sync        one package, with these client libraries
#     scripts/test-client-packages.sh --check                  only what needs no server
#     scripts/test-client-packages.sh --fetch                  only fetch the libraries
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly built=${CARGO_TARGET_DIR:-$root/target}
readonly logs=$built/test-clients
readonly python=$root/clients/python
readonly typescript=$root/clients/typescript

folder=
failures=0

end() {
    stop_server
    if [[ -n $folder ]]; then
        scripts/cluster.sh stop >"$logs/cluster-stop.log" 2>&1 || true
        rm -rf "$folder"
    fi
}
trap end EXIT

# step NAME COMMAND...: one failure does not hide another.
step() {
    local name=$1 start=$SECONDS
    shift
    if "$@" >"$logs/$name.log" 2>&1 </dev/null; then
        say "$name passed in $((SECONDS - start)) s"
    else
        failures=$((failures + 1))
        say "--- $name FAILED:"
        cat "$logs/$name.log" >&2
    fi
}

fetch() {
    local exports
    exports=$(scripts/setup-python-clients.sh) && eval "$exports"
    exports=$(scripts/setup-typescript-client.sh) && eval "$exports"
}

in_python() { (cd "$python" && PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=src:tests:$INV_PYTHON_CLIENTS python3 "$@"); }
in_typescript() { (cd "$typescript" && "$@"); }
tsc() { in_typescript node node_modules/typescript/bin/tsc "$@"; }

check_python() {
    step python-generated in_python generate_sync.py --check
    step python-types in_python -m mypy --cache-dir "$built/mypy"
    step python-errors in_python -m unittest discover tests
}

check_typescript() {
    rm -rf "$typescript/build"
    step typescript-types tsc --outDir build
    step typescript-errors in_typescript node --test build/tests/errors.test.js
}

try_python() {
    local exports
    step python-live in_python tests/live.py "${servers[@]}" "${clients[@]}"
    # The oldest redis-py that is supported as well.
    exports=$(scripts/setup-redis-py.sh) && eval "$exports"
    INV_PYTHON_CLIENTS=$INV_REDIS_PY:$INV_PYTHON_CLIENTS
    ((${#clients[@]} > 0)) || step python-live-7 in_python tests/live.py "${servers[@]}" redis-py redis-py-asyncio
}

try_typescript() { step typescript-live in_typescript node build/tests/live.js "${servers[@]}" "${clients[@]}"; }

start_servers() {
    local program module port_of_one
    program=$(scripts/find-server.sh)
    # Not the module of a debug build: cargo would build that one anew for this script, while the server tests are using it.
    [[ -n ${INV_MODULE:-} ]] || scripts/cargo.sh build --release
    module=${INV_MODULE:-$(module_file)}
    folder=$(mktemp -d)
    start_server "$folder" "$program" --save '' --loadmodule "$module" feed-maxlen 100000
    export CLUSTER_PORT=$((20000 + RANDOM % 12000)) CLUSTER_DATA=$folder/cluster
    SERVER=$program INV_MODULE=$module scripts/cluster.sh start >"$logs/cluster.log" 2>&1 || die "the cluster did not start: see ${logs#"$root"/}/cluster.log"
    for port_of_one in $(seq "$CLUSTER_PORT" $((CLUSTER_PORT + 5))); do
        ask "$port_of_one" CONFIG SET inv.feed-maxlen 100000 >/dev/null
    done
    servers=(--server "127.0.0.1:$port" --cluster "127.0.0.1:$CLUSTER_PORT")
}

main() {
    local packages=(python typescript) clients=() servers=()
    mkdir -p "$logs"
    fetch
    [[ ${1:-} != --fetch ]] || return 0
    if [[ ${1:-} == python || ${1:-} == typescript ]]; then
        packages=("$1")
        clients=("${@:2}")
    fi
    rm -f "$logs"/*-live*.log
    for package in "${packages[@]}"; do "check_$package"; done
    if [[ ${1:-} != --check ]]; then
        start_servers
        for package in "${packages[@]}"; do "try_$package"; done
        # The libraries themselves print a line for each refusal.
        grep -hE ' RESP[23] (passed|FAILED)' "$logs"/*-live*.log
    fi
    ((failures == 0)) || die "the client packages failed $failures time(s); their output is in ${logs#"$root"/}"
}

main "$@"

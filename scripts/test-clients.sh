#!/usr/bin/env bash
# Runs each program of examples/clients/ with both protocols, on a temporary server with the module, and prints a table. The
# programs' output is in target/test-clients. The libraries are fetched into .deps. Their versions are fixed here, in
# scripts/setup-*.sh, and in examples/clients/package-lock.json.
#
#     scripts/test-clients.sh                    all clients
#     scripts/test-clients.sh ioredis hiredis    these clients
#     scripts/test-clients.sh --fetch            only fetch the libraries
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# It needs Python 3.11.
readonly valkey_wheel=valkey==6.2.0
readonly valkey_folder=$root/.deps/valkey-py
readonly npm_folder=$root/.deps/clients-npm
readonly programs=$root/examples/clients
readonly built=${CARGO_TARGET_DIR:-$root/target}
readonly logs=$built/test-clients
readonly all=(redis-py valkey-py node-redis ioredis hiredis redis-rs)
# The seconds that a program may take: ten times what it needs.
readonly limit=60

folder=
failures=0
rows=

end() {
    stop_server
    [[ -z $folder ]] || rm -rf "$folder"
    [[ -z $part ]] || rm -rf "$part"
}
trap end EXIT

# --- the clients: `set_up NAME` prepares one and sets `command` to what runs its program ---

set_up() {
    local exports
    case $1 in
    redis-py)
        exports=$(scripts/setup-redis-py.sh) && eval "$exports" || return 1
        command=(env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$INV_REDIS_PY" python3 "$programs/redis-py.py")
        ;;
    valkey-py)
        set_up_valkey_py || return 1
        # Before Python 3.11.3 it needs the async-timeout that was fetched for redis-py.
        command=(env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$valkey_folder:$root/.deps/async-timeout")
        command+=(python3 "$programs/valkey-py.py")
        ;;
    node-redis | ioredis)
        exports=$(scripts/setup-node.sh) && eval "$exports" || return 1
        set_up_npm || return 1
        command=(node "$npm_folder/$1.mjs")
        ;;
    hiredis)
        exports=$(scripts/setup-hiredis.sh) && eval "$exports" || return 1
        command=("$logs/hiredis")
        "${CC:-cc}" -std=c11 -O1 -Wall -Wextra -Werror -o "${command[0]}" "$programs/hiredis.c" -lhiredis
        ;;
    redis-rs) command=("$built/debug/examples/redis-rs") ;;
    esac
}

set_up_valkey_py() {
    scripts/setup-redis-py.sh >/dev/null || return 1
    [[ ! -d $valkey_folder/valkey-${valkey_wheel#*==}.dist-info ]] || return 0
    say "valkey-py: unpacking PyPI's $valkey_wheel into .deps/valkey-py"
    fetch_wheel "$valkey_wheel" "$valkey_folder" && return
    say "error: valkey-py could not be fetched from PyPI: this needs python3 3.11 or newer, with pip"
    return 1
}

# A JavaScript program finds its libraries in its own folder.
set_up_npm() {
    mkdir -p "$npm_folder"
    cp "$programs/package.json" "$programs"/*.mjs "$npm_folder"
    if ! cmp -s "$programs/package-lock.json" "$npm_folder/fetched.json"; then
        say "node-redis, ioredis: fetching the packages of package-lock.json into .deps/clients-npm"
        cp "$programs/package-lock.json" "$npm_folder"
        (cd "$npm_folder" && npm ci --ignore-scripts --no-audit --no-fund >&2) || return 1
        cp "$programs/package-lock.json" "$npm_folder/fetched.json"
    fi
}

# --- all clients ---

# Each program prints its library's version in its first line, except redis-rs: the redis crate does not expose its version.
version_of() {
    local version
    version=$(sed -nE '1s/^[a-z-]+ ([0-9.]+), RESP.*/\1/p' "$2")
    [[ $1 != redis-rs ]] || version=$(grep -A 1 '^name = "redis"$' Cargo.lock | sed -nE 's/^version = "(.*)"/\1/p')
    printf '%s\n' "${version:--}"
}

row() { rows+="$*"$'\n'; }

try() {
    local name=$1 command=() protocol log start result
    if ! set_up "$name"; then
        row "$name - - not_there 0"
        failures=$((failures + 1))
        return
    fi
    for protocol in 2 3; do
        log=$logs/$name-$protocol.log
        start=$SECONDS
        result=passed
        if ! timeout "$limit" "${command[@]}" "127.0.0.1:$port" "$protocol" >"$log" 2>&1 </dev/null; then
            result=FAILED
            failures=$((failures + 1))
            say "--- $name, RESP$protocol:"
            cat "$log" >&2
        fi
        row "$name $(version_of "$name" "$log") RESP$protocol $result $((SECONDS - start))"
    done
}

main() {
    local program name command
    if [[ ${1:-} == --fetch ]]; then
        mkdir -p "$logs"
        for name in "${all[@]}"; do set_up "$name" || failures=$((failures + 1)); done
        ((failures == 0)) || die "$failures client(s) could not be had"
        return
    fi
    (($# > 0)) || set -- "${all[@]}"
    for name in "$@"; do
        [[ " ${all[*]} " == *" $name "* ]] || die "there is no client $name. The clients are: ${all[*]}"
    done
    program=$(scripts/find-server.sh)
    scripts/cargo.sh build --lib --example redis-rs
    mkdir -p "$logs"
    folder=$(mktemp -d)
    start_server "$folder" "$program" --save '' --loadmodule "${INV_MODULE:-$built/debug/libredis_inventory.so}"
    for name in "$@"; do try "$name"; done

    printf '%-12s %-9s %-9s %-10s %s\n' client version protocol result seconds
    while read -r name row; do
        # shellcheck disable=SC2086  # one word per column
        [[ -z $name ]] || printf '%-12s %-9s %-9s %-10s %s\n' "$name" $row
    done <<<"$rows"
    ((failures == 0)) || die "the clients failed $failures time(s); their output is in ${logs#"$root"/}"
}

main "$@"

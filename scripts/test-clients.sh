#!/usr/bin/env bash
# Runs each program of examples/clients/ with both protocols at the same time, each on a temporary server with the module, because
# the programs keep it busy, and prints a table. The programs' output is in target/test-clients. The libraries are fetched into .deps. Their versions are fixed here, in
# scripts/setup-*.sh, and in examples/clients/package-lock.json.
#
#     scripts/test-clients.sh                    all clients
#     scripts/test-clients.sh ioredis hiredis    these clients
#     scripts/test-clients.sh --fetch            only fetch the libraries
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly npm_folder=$root/.deps/clients-npm
readonly programs=$root/examples/clients
readonly built=${CARGO_TARGET_DIR:-$root/target}
readonly logs=$built/test-clients
readonly all=(redis-py valkey-py glide-py node-redis ioredis glide-node phpredis go-redis redis-rb hiredis redis-rs)
# The seconds that a program may take: ten times what it needs.
readonly limit=60

folder=
failures=0
rows=
# By protocol: the port of its server, and its process.
ports=()
pids=()

end() {
    for pid in "${pids[@]}"; do stop_server; done
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
    valkey-py | glide-py)
        exports=$(scripts/setup-python-clients.sh) && eval "$exports" || return 1
        command=(env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$INV_PYTHON_CLIENTS" python3 "$programs/$1.py")
        ;;
    node-redis | ioredis | glide-node)
        exports=$(scripts/setup-node.sh) && eval "$exports" || return 1
        set_up_npm || return 1
        command=(node "$npm_folder/$1.mjs")
        ;;
    phpredis)
        exports=$(scripts/setup-php.sh) && eval "$exports" || return 1
        read -ra command <<<"$INV_PHP"
        command+=("$programs/phpredis.php")
        ;;
    go-redis)
        exports=$(scripts/setup-go.sh) && eval "$exports" || return 1
        command=("$logs/go-redis")
        "$INV_GO" build -o "${command[0]}" "$programs/go-redis.go"
        ;;
    redis-rb)
        exports=$(scripts/setup-ruby.sh) && eval "$exports" || return 1
        read -ra command <<<"$INV_RUBY"
        command+=("$programs/redis-rb.rb")
        ;;
    hiredis)
        exports=$(scripts/setup-hiredis.sh) && eval "$exports" || return 1
        command=("$logs/hiredis")
        "${CC:-cc}" -std=c11 -O1 -Wall -Wextra -Werror -o "${command[0]}" "$programs/hiredis.c" -lhiredis
        ;;
    redis-rs) command=("$built/debug/examples/redis-rs") ;;
    esac
}

# A JavaScript program finds its libraries in its own folder.
set_up_npm() {
    mkdir -p "$npm_folder"
    cp "$programs/package.json" "$programs"/*.mjs "$npm_folder"
    if ! cmp -s "$programs/package-lock.json" "$npm_folder/fetched.json"; then
        say "node-redis, ioredis, GLIDE: fetching the packages of package-lock.json into .deps/clients-npm"
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

# The protocols that a library speaks.
protocols() {
    case $1 in
    phpredis) echo 2 ;;
    *) echo 2 3 ;;
    esac
}

row() { rows+="$*"$'\n'; }

# run PROTOCOL LOG COMMAND...: runs a program, and writes how many seconds it took into LOG.seconds.
run() {
    local protocol=$1 log=$2 start=$SECONDS status=0
    timeout "$limit" "${@:3}" "127.0.0.1:${ports[protocol]}" "$protocol" >"$log" 2>&1 </dev/null || status=$?
    echo $((SECONDS - start)) >"$log.seconds"
    return "$status"
}

try() {
    local name=$1 command=() protocol log result jobs=()
    if ! set_up "$name"; then
        row "$name - - not_there 0"
        failures=$((failures + 1))
        return
    fi
    for protocol in $(protocols "$name"); do
        run "$protocol" "$logs/$name-$protocol.log" "${command[@]}" &
        jobs[protocol]=$!
    done
    for protocol in $(protocols "$name"); do
        log=$logs/$name-$protocol.log
        result=passed
        if ! wait "${jobs[protocol]}"; then
            result=FAILED
            failures=$((failures + 1))
            say "--- $name, RESP$protocol:"
            cat "$log" >&2
        fi
        row "$name $(version_of "$name" "$log") RESP$protocol $result $(cat "$log.seconds")"
    done
}

main() {
    local program name command protocol
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
    for protocol in 2 3; do
        mkdir "$folder/$protocol"
        start_server "$folder/$protocol" "$program" --save '' --loadmodule "${INV_MODULE:-$built/debug/libredis_inventory.so}"
        ports[protocol]=$port pids[protocol]=$pid
    done
    for name in "$@"; do try "$name"; done

    printf '%-12s %-9s %-9s %-10s %s\n' client version protocol result seconds
    while read -r name row; do
        # shellcheck disable=SC2086  # one word per column
        [[ -z $name ]] || printf '%-12s %-9s %-9s %-10s %s\n' "$name" $row
    done <<<"$rows"
    ((failures == 0)) || die "the clients failed $failures time(s); their output is in ${logs#"$root"/}"
}

main "$@"

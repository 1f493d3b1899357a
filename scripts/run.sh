#!/usr/bin/env bash
# Builds the module and starts a server with it in the foreground, on PORT (6379). Ctrl-C ends the server.
#
# Its data and its configuration, in which CONFIG REWRITE saves, are kept from run to run. With FRESH=1 it begins without
# them; they are moved aside, in the place of those that were moved there before.
#
# RUN_DATA (data) is where the data go, INV_MODULE a module that is built already.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly port=${PORT:-6379} fresh=${FRESH:-}

# What make is told beside that to start the same server.
options() {
    [[ $port == 6379 ]] || printf ' PORT=%s' "$port"
    [[ -z ${SERVER:-} ]] || printf ' SERVER=%q' "$SERVER"
}

# The next port that nobody listens on.
free_port() {
    local other=$1
    while ((other < 65535)) && is_in_use "$((++other))"; do :; done
    printf '%s\n' "$other"
}

answers() {
    local reply
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'PING\r\n' >&3
    read -r -t 1 reply <&3 || return 1
    exec 3>&-
    # A server with a password answers that it wants one.
    [[ $reply == +PONG* || $reply == -NOAUTH* ]]
}

# Waits until the server answers, and gives up when it has ended.
hint() {
    local pid=$1 cli=$2
    while ! (answers) 2>/dev/null; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.2
    done
    cat <<EOT

Ready on port $port. In another terminal:

    $cli -p $port SET stock:available:PROD-123 10
    $cli -p $port INV.RESERVE 'RES-*' EX 900 ITEMS PROD-123 2
    $cli -p $port INV.STOCK PROD-123

or a prompt: make cli PORT=$port        Ctrl-C ends the server.

EOT
}

check_port "$port"
if is_in_use "$port"; then die "port $port is in use. Choose another one: make run PORT=$(free_port "$port")"; fi
if [[ -z ${INV_MODULE:-} ]]; then
    [[ -e $(module_file) ]] || say "building the module: the first time it takes some minutes"
    scripts/cargo.sh build --release
fi
server=$(scripts/find-server.sh)
cli=$(cli_to_type "$server")
module=${INV_MODULE:-$(module_file)}
# Of each server and port its own: two that write into one folder would spoil it.
data=${RUN_DATA:-$root/data}/$(server_name "$server")/$port
if [[ -e $data && -n $fresh && $fresh != 0 ]]; then
    rm -rf "$data.before"
    mv "$data" "$data.before"
    say "data: the server begins empty; what it had is in $(short "$data.before")"
elif [[ -e $data ]]; then
    say "data: what is in $(short "$data") of earlier runs is kept. To begin empty: make run FRESH=1$(options)"
else
    say "data: $(short "$data"), kept from run to run"
fi
mkdir -p "$data"
configuration=$(own_configuration "$data" "$module")

# Twice in the background: it must not be a child of the server, which would wonder about it.
(hint $$ "$cli" &)
# The server takes this script's place, and so Ctrl-C and signals reach it and nothing else.
exec "$server" "$configuration" --port "$port" --dir "$data" --daemonize no --loadmodule "$module"

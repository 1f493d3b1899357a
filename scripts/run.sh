#!/usr/bin/env bash
# Builds the module and starts a server with it in the foreground, on PORT (6379). Ctrl-C ends the server.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly port=${PORT:-6379}

check_port() {
    [[ $port =~ ^[0-9]{1,5}$ ]] || die "PORT=$port is not a port"
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "port $port is in use. Choose another one: make run PORT=$((port + 11))"
    fi
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
    $cli -p $port INV.RESERVE RES-1 EX 900 ITEMS PROD-123 2
    $cli -p $port INV.STOCK PROD-123

or a prompt: make cli PORT=$port        Ctrl-C ends the server.

EOT
}

check_port
scripts/cargo.sh build --release
server=$(scripts/find-server.sh)
cli=$(cli_to_type "$server")
module=$(module_file)
data=$root/data/$(server_name "$server")
mkdir -p "$data"
say "data: ${data#"$root"/}"

# Twice in the background: it must not be a child of the server, which would wonder about it.
(hint $$ "$cli" &)
# The server takes this script's place, and so Ctrl-C and signals reach it and nothing else.
exec "$server" redis.conf --port "$port" --dir "$data" --daemonize no --loadmodule "$module"

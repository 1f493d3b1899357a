#!/usr/bin/env bash
# Builds the module and starts a server with it in the foreground, on PORT (default 6379). Ctrl-C ends the server.
#
# The server's data and its configuration, into which CONFIG REWRITE writes, are kept from run to run. With FRESH=1 the server
# starts without them: they are moved aside and replace what was moved aside before.
#
# RUN_DATA (default data) is the folder for the data. INV_MODULE names a module that is already built.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly port=${PORT:-6379} fresh=${FRESH:-}

# The other variables with which make starts the same server.
options() {
    [[ $port == 6379 ]] || printf ' PORT=%s' "$port"
    [[ -z ${SERVER:-} ]] || printf ' SERVER=%q' "$SERVER"
}

# The next free port.
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
    # A server that wants a password is ready too.
    [[ $reply == +PONG* || $reply == -NOAUTH* ]]
}

# Waits until the server answers, then tells the user how to try it. Returns if the server ends first.
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
if is_in_use "$port"; then die "port $port is in use. Choose another: make run PORT=$(free_port "$port")"; fi
if [[ -z ${INV_MODULE:-} ]]; then
    [[ -e $(module_file) ]] || say "building the module; the first build takes a minute or two"
    scripts/cargo.sh build --release
fi
server=$(scripts/find-server.sh)
cli=$(cli_to_type "$server")
module=${INV_MODULE:-$(module_file)}
# Each server version and port has its own folder: two servers that write into the same one would damage the data.
data=${RUN_DATA:-$root/data}/$(server_name "$server")/$port
if [[ -e $data && -n $fresh && $fresh != 0 ]]; then
    rm -rf "$data.before"
    mv "$data" "$data.before"
    say "data: the server starts empty; its previous data are in $(short "$data.before")"
elif [[ -e $data ]]; then
    say "data: $(short "$data") has the data of earlier runs. To start empty: make run FRESH=1$(options)"
else
    say "data: $(short "$data"), kept from run to run"
fi
mkdir -p "$data"
configuration=$(own_configuration "$data" "$module")

# The double fork makes sure that it is not a child of the server, which would not expect one.
(hint $$ "$cli" &)
# The server replaces this script, so that it receives Ctrl-C and signals itself.
exec "$server" "$configuration" --port "$port" --dir "$data" --daemonize no --loadmodule "$module"

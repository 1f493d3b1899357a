#!/usr/bin/env bash
# Records the first minute of README.md: types its commands into redis-cli, on a new server with the module, and writes what the
# terminal shows to docs/first-minute.cast (asciinema play docs/first-minute.cast) and as a picture to docs/first-minute.svg.
#
# The server uses PORT (default 6379, as in the document), with temporary data. INV_MODULE names a module that is already built.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly port=${PORT:-6379}
# pyte is a terminal in memory: it says what is on the screen after each output.
readonly pyte_wheel=pyte==0.8.2 wcwidth_wheel=wcwidth==0.2.13

end() {
    [[ -z ${server_pid:-} ]] || { kill "$server_pid" && wait "$server_pid"; } 2>/dev/null || true
    rm -rf "$folder"
}

check_port "$port"
if is_in_use "$port"; then die "port $port is in use. Choose another: PORT=6390 $0"; fi
for wheel in "$pyte_wheel" "$wcwidth_wheel"; do
    [[ -d $root/.deps/$wheel ]] || fetch_wheel "$wheel" "$root/.deps/$wheel" || die "$wheel could not be fetched from PyPI"
done
[[ -n ${INV_MODULE:-} ]] || scripts/cargo.sh build --release
server=$(scripts/find-server.sh)
cli=$(SERVER=$server scripts/find-cli.sh)
module=${INV_MODULE:-$(module_file)}
folder=$(mktemp -d)
trap end EXIT
"$server" redis.conf --port "$port" --bind 127.0.0.1 --dir "$folder" --logfile "$folder/log" --loadmodule "$module" &
server_pid=$!
until is_in_use "$port"; do
    kill -0 "$server_pid" 2>/dev/null || die "the server did not start: $(tail -n 3 "$folder/log")"
    sleep 0.1
done
PYTHONPATH=$root/.deps/$pyte_wheel:$root/.deps/$wcwidth_wheel PYTHONDONTWRITEBYTECODE=1 \
    python3 scripts/record.py --cli "$cli" --port "$port" docs/first-minute

#!/usr/bin/env bash
# A flash sale on a server of its own, on a free port, with its data in a temporary folder: examples/flash_sale. It leaves a
# picture in target/flash-sale.svg, and nothing running. SHOPPERS (2000) come for UNITS (100).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly shoppers=${SHOPPERS:-2000}
readonly units=${UNITS:-100}
readonly picture=${PICTURE:-${CARGO_TARGET_DIR:-target}/flash-sale.svg}

# A connection is an open file, here and in the server.
allow_connections() {
    local wanted=$((shoppers + 100)) limit
    limit=$(ulimit -Sn)
    [[ $limit == unlimited ]] || ((limit >= wanted)) || ulimit -Sn "$wanted" 2>/dev/null ||
        die "$shoppers connections are more than this machine allows a program ($(ulimit -Hn)): make demo SHOPPERS=$(($(ulimit -Hn) - 100))"
}

end() {
    if [[ -n $pid ]]; then
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    fi
    rm -rf "$data"
}

[[ $shoppers =~ ^[0-9]{1,5}$ && $units =~ ^[0-9]{1,5}$ ]] || die "SHOPPERS and UNITS are numbers"
scripts/cargo.sh build --release
scripts/cargo.sh build --example flash_sale
server=$(scripts/find-server.sh)
allow_connections
data=$(mktemp -d)
pid=
trap end EXIT
# On a port that is free now; where another takes it first, the next is tried.
for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    "$server" redis.conf --port "$port" --dir "$data" --daemonize no --loadmodule "$(module_file)" \
        --maxclients $((shoppers + 50)) --logfile "$data/server.log" &
    pid=$!
    until grep -qs "Ready to accept connections" "$data/server.log"; do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -0 "$pid" 2>/dev/null && break
    pid=
done
[[ -n $pid ]] || die "the server did not start: $(tail -n 3 "$data/server.log")"
"${CARGO_TARGET_DIR:-target}/debug/examples/flash_sale" "redis://127.0.0.1:$port" "$picture" "$shoppers" "$units"

#!/usr/bin/env bash
# Runs a flash sale (inv demo) on a temporary server with a free port and a temporary data folder. SHOPPERS (default
# 2000) compete for UNITS (default 100). Afterwards only the chart remains, in target/flash-sale.svg.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly shoppers=${SHOPPERS:-2000}
readonly units=${UNITS:-100}
readonly built=${CARGO_TARGET_DIR:-target}
readonly picture=${PICTURE:-$built/flash-sale.svg}

# Each connection is an open file, both here and in the server.
allow_connections() {
    local wanted=$((shoppers + 100)) limit
    limit=$(ulimit -Sn)
    [[ $limit == unlimited ]] || ((limit >= wanted)) || ulimit -Sn "$wanted" 2>/dev/null ||
        die "this machine allows a program at most $(ulimit -Hn) open files, too few for $shoppers connections: make demo SHOPPERS=$(($(ulimit -Hn) - 100))"
}

end() {
    stop_server
    rm -rf "$data"
}

readonly whole='^([1-9][0-9]{0,3}|1[0-9]{4}|20000)$'
[[ $shoppers =~ $whole && $units =~ $whole ]] || die "SHOPPERS and UNITS must be integers from 1 to 20000"
[[ -e $built/debug/inv ]] || say "building; the first build takes a minute or two"
scripts/cargo.sh build --release
scripts/cargo.sh build --package redis-inventory-cli
server=$(scripts/find-server.sh)
allow_connections
data=$(mktemp -d)
trap end EXIT
module=$(module_file)
configuration=$(own_configuration "$data" "$module")
start_server "$data" "$server" "$configuration" --loadmodule "$module" --maxclients $((shoppers + 50))
"$built/debug/inv" demo --url "redis://127.0.0.1:$port" --picture "$picture" --shoppers "$shoppers" --units "$units"

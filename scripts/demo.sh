#!/usr/bin/env bash
# A flash sale on a server of its own, on a free port, with its data in a temporary folder: examples/flash_sale. It leaves a
# picture in target/flash-sale.svg, and nothing running. SHOPPERS (2000) come for UNITS (100).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly shoppers=${SHOPPERS:-2000}
readonly units=${UNITS:-100}
readonly built=${CARGO_TARGET_DIR:-target}
readonly picture=${PICTURE:-$built/flash-sale.svg}

# A connection is an open file, here and in the server.
allow_connections() {
    local wanted=$((shoppers + 100)) limit
    limit=$(ulimit -Sn)
    [[ $limit == unlimited ]] || ((limit >= wanted)) || ulimit -Sn "$wanted" 2>/dev/null ||
        die "$shoppers connections are more than this machine allows a program ($(ulimit -Hn)): make demo SHOPPERS=$(($(ulimit -Hn) - 100))"
}

end() {
    stop_server
    rm -rf "$data"
}

readonly whole='^([1-9][0-9]{0,3}|1[0-9]{4}|20000)$'
[[ $shoppers =~ $whole && $units =~ $whole ]] || die "SHOPPERS and UNITS are whole numbers from 1 to 20000"
[[ -e $built/debug/examples/flash_sale ]] || say "building; the first time this takes a minute or two"
scripts/cargo.sh build --release
scripts/cargo.sh build --example flash_sale
server=$(scripts/find-server.sh)
allow_connections
data=$(mktemp -d)
trap end EXIT
module=$(module_file)
configuration=$(own_configuration "$data" "$module")
start_server "$data" "$server" "$configuration" --loadmodule "$module" --maxclients $((shoppers + 50))
"$built/debug/examples/flash_sale" "redis://127.0.0.1:$port" "$picture" "$shoppers" "$units"

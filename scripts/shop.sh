#!/usr/bin/env bash
# Runs the shop of docs/orders-in-sql.md (examples/shop) with ORDERS orders (default 500) on temporary servers: a PostgreSQL, and
# a master with a replica. Nothing of them remains.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly orders=${ORDERS:-500}
readonly built=${CARGO_TARGET_DIR:-target}

[[ $orders =~ ^[1-9][0-9]{1,4}$ ]] || die "ORDERS must be an integer from 10 to 99999"
[[ -e $built/debug/examples/shop ]] || say "building; the first build takes a minute or two"
scripts/cargo.sh build --release
scripts/cargo.sh build --example shop
INV_SERVER=$(scripts/find-server.sh)
INV_MODULE=$(module_file)
export INV_SERVER INV_MODULE
for setup in postgres redis-py psycopg; do
    exports=$(scripts/setup-$setup.sh)
    eval "$exports"
done
exec "$built/debug/examples/shop" "$orders"

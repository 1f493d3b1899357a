#!/usr/bin/env bash
# Tests the shop of docs/orders-in-sql.md, with a PostgreSQL of its own, on one server: the one that SERVER or INV_SERVER names,
# or the one that find-server.sh finds. PostgreSQL and the clients for Python are found or fetched.
#
#     scripts/test-shop.sh               all
#     scripts/test-shop.sh histories::   those whose names contain this
#     scripts/test-shop.sh --build       only builds
#
# INV_SHOP_DAYS is the number of days of random histories (default 20), of about 125 orders each; INV_SHOP_SEED repeats their
# dice, but not the order in which the processes get their turns.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

exports=$(scripts/setup-nextest.sh)
eval "$exports"
if [[ ${1:-} == --build ]]; then exec scripts/cargo.sh nextest run --profile shop --test shop --no-run; fi
INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER
for setup in postgres redis-py psycopg; do
    exports=$(scripts/setup-$setup.sh)
    eval "$exports"
done
exec scripts/cargo.sh nextest run --profile shop --test shop "$@"

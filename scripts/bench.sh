#!/usr/bin/env bash
# Runs a benchmark with the release module, on the server in SERVER or the one that is found:
#
#     scripts/bench.sh expiry      how soon units return (benches/expiry.rs). Options: --rounds 3, --seconds 60,
#                                  --quick (a hundredth of the load; saves no results)
#     scripts/bench.sh throughput  the module compared with its rivals (benches/throughput.rs). Options: --rounds 5,
#                                  --requests 200000
#     scripts/bench.sh open_loop   latency at half of the server's capacity (benches/open_loop.rs). Options: --rounds 7,
#                                  --seconds 5 for each command and round, --requests 200000 to measure the capacity
#     scripts/bench.sh sql         the module compared with PostgreSQL (benches/sql.rs). Options: --rounds 5, --seconds 5 for
#                                  PostgreSQL, --requests 200000 for the module
#     scripts/bench.sh mirror      how much inv mirror keeps up with, and inv import and export (cli/benches/mirror.rs),
#                                  with PostgreSQL. Options: --rounds 3, --seconds 5
#     scripts/bench.sh cluster     the module in clusters of 1 to 3 masters (benches/cluster.rs). Options: --rounds 3,
#                                  --requests 200000
#     scripts/bench.sh growth      how cost and memory grow with reservations, to ten million, and products (benches/growth.rs):
#                                  about twenty minutes, 7 GB of memory and 3 GB in the temporary folder
#     scripts/bench.sh readers     the cost of INV.ALERTS and INV.STOCK on a large stock (benches/readers.rs)
#     scripts/bench.sh audit       how soon the continuous audit sees drift, and what it costs (benches/audit.rs): about twenty
#                                  minutes. Options: --rounds 15, --requests 200000 (a round sends three times as many)
#     scripts/bench.sh worst       how long the most expensive requests block the server (benches/worst.rs)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

scripts/cargo.sh build --release
INV_SERVER=$(scripts/find-server.sh)
INV_MODULE=$(module_file)
export INV_SERVER INV_MODULE
name=${1:?name a benchmark: throughput, open_loop, sql, mirror, expiry, cluster, growth, readers, worst, audit}
shift
if [[ $name == audit ]]; then
    # It plants drift of which the module does not hear.
    folder=${CARGO_TARGET_DIR:-target}/faults
    scripts/cargo.sh build --release --lib --features faults --target-dir "$folder"
    INV_MODULE=$(module_file faults/release)
fi
# A server with ten million keys takes longer to start than a test may wait.
if [[ $name == growth ]]; then export INV_PATIENCE=${INV_PATIENCE:-10}; fi
if [[ $name == sql || $name == mirror ]]; then
    exports=$(scripts/setup-postgres.sh)
    eval "$exports"
fi
package=redis-inventory
[[ $name != mirror ]] || package=redis-inventory-cli
exec scripts/cargo.sh bench --package "$package" --bench "$name" -- "$@"

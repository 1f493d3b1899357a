#!/usr/bin/env bash
# Runs a benchmark with the release module, on the server in SERVER or the one that is found:
#
#     scripts/bench.sh expiry      how soon units return (benches/expiry.rs). Options: --rounds 3, --seconds 60,
#                                  --quick (a hundredth of the load; saves no results)
#     scripts/bench.sh throughput  the module compared with its rivals (benches/throughput.rs). Options: --rounds 5,
#                                  --requests 200000
#     scripts/bench.sh cluster     the module in clusters of 1 to 3 masters (benches/cluster.rs). Options: --rounds 3,
#                                  --requests 200000
#     scripts/bench.sh growth      how cost and memory grow with reservations and products (benches/growth.rs)
#     scripts/bench.sh readers     the cost of INV.ALERTS and INV.STOCK on a large stock (benches/readers.rs)
#     scripts/bench.sh worst       how long the most expensive requests block the server (benches/worst.rs)
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

scripts/cargo.sh build --release
INV_SERVER=$(scripts/find-server.sh)
INV_MODULE=$(module_file)
export INV_SERVER INV_MODULE
name=${1:?name a benchmark: throughput, expiry, cluster, growth, readers, worst}
shift
exec scripts/cargo.sh bench --bench "$name" -- "$@"

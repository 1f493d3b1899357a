#!/usr/bin/env bash
# Tests the files in monitoring/: promtool checks the rules and runs their tests; then Debian's exporter and Prometheus scrape a
# server and its replica as docs/operations.md describes (tests/monitoring/scrape.py). SERVER names the server.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER
exports=$(scripts/setup-prometheus.sh)
eval "$exports"
exports=$(scripts/setup-redis-py.sh)
eval "$exports"
scripts/cargo.sh build --release
INV_MODULE=$(module_file)
export INV_MODULE

# promtool says where a file is wrong.
"$INV_PROMTOOL" check rules monitoring/redis-inventory.rules.yml
"$INV_PROMTOOL" test rules monitoring/redis-inventory.test.yml
PYTHONPATH=$INV_REDIS_PY PYTHONDONTWRITEBYTECODE=1 exec python3 tests/monitoring/scrape.py

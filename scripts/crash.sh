#!/usr/bin/env bash
# The crash loop for longer: load, kill -9, restart, audit; a line for each round. INV_CRASH_ROUNDS says how many rounds
# (200), INV_CRASH_SEED which course the clients take.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER INV_CRASH_ROUNDS=${INV_CRASH_ROUNDS:-200}
exec scripts/cargo.sh test --test server crash:: -- --nocapture

#!/usr/bin/env bash
# Runs the crash test for longer than the test suite does: load, kill -9, restart, audit. It prints a line for each round.
# INV_CRASH_ROUNDS sets the number of rounds (default 200); INV_CRASH_SEED repeats the clients' random choices.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER INV_CRASH_ROUNDS=${INV_CRASH_ROUNDS:-200}
exec scripts/cargo.sh test --test server crash:: -- --nocapture

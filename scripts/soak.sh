#!/usr/bin/env bash
# Runs a mixed load for a long time on the release module while faults are injected. It prints a line for each round and writes a
# report to target/soak.md. LENGTH is the duration in seconds (default 3600); INV_SOAK_SEED repeats a run's random choices.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
scripts/cargo.sh build --release
INV_MODULE=$(module_file)
export INV_SERVER INV_MODULE
export INV_SOAK_SECONDS=${LENGTH:-3600} INV_SOAK_REPORT=$root/target/soak.md
scripts/cargo.sh test --test server soak:: -- --nocapture
say "the report is in target/soak.md"

#!/usr/bin/env bash
# A long run of mixed load, with one fault after the other, on the release module; a line for each round, and a report in
# target/soak.md. LENGTH says how many seconds (3600), INV_SOAK_SEED which course the dice take.
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

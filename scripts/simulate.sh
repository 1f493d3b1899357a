#!/usr/bin/env bash
# Runs random worlds in which everything can fail, on all processors and without a server (tests/engine/faults.rs). WORLDS is the
# number of worlds (default 200000); SEED is the first seed and repeats a run. Outside CI, or if REPORT names a file, a row about the
# run is kept (scripts/record-run.sh).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

export INV_SIM_WORLDS=${WORLDS:-200000}
[[ -z ${SEED:-} ]] || export INV_SIM_SEED=$SEED
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
scripts/cargo.sh test --release --test engine faults:: -- --nocapture 2>&1 | tee "$output" || status=$?
ran=$(sed -nE 's/^([0-9]+ worlds) from seed ([0-9]+) on, ([0-9]+ steps).*/seed \2, \1, \3/p' "$output")
if [[ -n $ran ]]; then scripts/record-run.sh simulate "$ran | $(grep -c '^a world failed' "$output" || true)"; fi
exit "$status"

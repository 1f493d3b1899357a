#!/usr/bin/env bash
# Runs random worlds in which everything can fail, on all processors and without a server (tests/engine/faults.rs). WORLDS is the
# number of worlds (default 200000); SEED is the first seed and repeats a run.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

export INV_SIM_WORLDS=${WORLDS:-200000}
[[ -z ${SEED:-} ]] || export INV_SIM_SEED=$SEED
exec scripts/cargo.sh test --release --test engine faults:: -- --nocapture

#!/usr/bin/env bash
# Random worlds in which everything fails, on all processors, without a server: see tests/engine/faults.rs. WORLDS says how
# many (200000), SEED from which on, so that a run comes again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

export INV_SIM_WORLDS=${WORLDS:-200000}
[[ -z ${SEED:-} ]] || export INV_SIM_SEED=$SEED
exec scripts/cargo.sh test --release --test engine faults:: -- --nocapture

#!/usr/bin/env bash
# Format, clippy, and shellcheck where it is installed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

scripts/cargo.sh fmt --check
scripts/cargo.sh clippy --all-targets -- -D warnings
if have shellcheck; then
    shellcheck -x scripts/*.sh .ci/run
else
    say "lint: shellcheck is not installed, the scripts were not checked"
fi

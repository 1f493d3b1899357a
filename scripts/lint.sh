#!/usr/bin/env bash
# Format, clippy, the lists of docs/supply-chain.md, and shellcheck and ruff where they are installed.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

scripts/cargo.sh fmt --check
scripts/cargo.sh fmt --check --manifest-path fuzz/Cargo.toml
scripts/cargo.sh clippy --all-targets -- -D warnings
scripts/audit.sh lists
if have shellcheck; then
    shellcheck -x scripts/*.sh .ci/run
else
    say "lint: shellcheck is not installed, the scripts were not checked"
fi
if have ruff; then
    ruff check examples tests
    ruff format --check examples tests
else
    say "lint: ruff is not installed, the Python was not checked"
fi

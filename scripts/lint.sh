#!/usr/bin/env bash
# Format, clippy, rustdoc, the lists of docs/supply-chain.md, shellcheck, ruff and typos.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# A check whose tool cannot be fetched is skipped, with a message.
checked_by() {
    have "$1" || {
        say "!!! lint: $1 is not installed: $2 not checked"
        return 1
    }
}

scripts/cargo.sh fmt --all --check
scripts/cargo.sh fmt --check --manifest-path fuzz/Cargo.toml
exports=$(scripts/setup-lint.sh)
eval "$exports"
if checked_by shellcheck "the scripts were"; then shellcheck -x scripts/*.sh .ci/run; fi
if checked_by ruff "the Python was"; then
    ruff check examples clients packaging scripts tests
    ruff format --check examples clients packaging scripts tests
fi
if checked_by typos "the spelling was"; then typos; fi
scripts/audit.sh lists
scripts/cargo.sh clippy --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" scripts/cargo.sh doc --workspace --no-deps --document-private-items

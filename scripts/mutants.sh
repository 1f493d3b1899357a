#!/usr/bin/env bash
# Whether the tests notice changes of the rules: cargo-mutants changes one place of src/inventory, src/engine or src/ledger at a
# time, and the tests that need no server have to fail. Mutants that none notices are listed in target/mutants.out.
#
#     scripts/mutants.sh                              all; hours
#     scripts/mutants.sh --shard 0/8                  an eighth of them
#     scripts/mutants.sh --file src/inventory/sku.rs  those of a file
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly version=27.1.0
readonly tool=$root/.deps/cargo-mutants-$version

files=()
[[ " $* " == *" --file "* ]] || files=(--file 'src/inventory/**' --file 'src/engine/**' --file 'src/ledger/**')
if [[ ! -x $tool/bin/cargo-mutants ]]; then
    say "mutants: building cargo-mutants $version into ${tool#"$root"/}"
    scripts/cargo.sh install --quiet --locked --root "$tool" cargo-mutants --version "$version" >&2
fi
export PATH=$tool/bin:$PATH
# The same random histories for each mutant, and fewer of them: one that only a rare history shows would take the longest.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261122} PROPTEST_CASES=${PROPTEST_CASES:-64}
exec scripts/cargo.sh mutants "${files[@]}" --output target --timeout-multiplier 3 "$@" -- --test engine --test inventory

#!/usr/bin/env bash
# Whether the tests notice changes of the rules: cargo-mutants changes one place of src/inventory, src/engine or src/ledger at a
# time, and the tests that need no server have to fail. mutants.py tries them, and writes docs/internals/mutants.md.
#
#     scripts/mutants.sh                              all that were not tried yet
#     scripts/mutants.sh --minutes 60                 for an hour; the next run goes on
#     scripts/mutants.sh --most 100                   a hundred; the build of a few is short
#     scripts/mutants.sh --file src/inventory/sku.rs  those of a file
#     scripts/mutants.sh --change --minutes 5         those of what this branch, or the last commit of main, has changed; fails
#                                                     if the tests miss one
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly version=27.1.0
readonly tool=$root/.deps/cargo-mutants-$version

if [[ ${1:-} == --change ]]; then
    if git merge-base --is-ancestor HEAD origin/main 2>/dev/null || ! base=$(git merge-base HEAD origin/main 2>/dev/null); then
        base=HEAD^
    fi
    if ! git rev-parse --quiet --verify "$base" >/dev/null; then
        say "mutants: this clone does not say what has changed"
        exit
    fi
    if git diff --quiet "$base" -- src/inventory src/engine src/ledger; then
        say "mutants: the rules have not changed since $base"
        exit
    fi
    set -- --since "$base" "${@:2}"
fi
have cargo || PATH=$PATH:$HOME/.cargo/bin
if [[ $(cargo mutants --version 2>/dev/null) != "cargo-mutants $version" && ! -x $tool/bin/cargo-mutants ]]; then
    say "mutants: building cargo-mutants $version into ${tool#"$root"/}"
    # It waits for the compiler most of the time, so it need not be fast itself.
    scripts/cargo.sh install --quiet --debug --locked --root "$tool" cargo-mutants --version "$version" >&2
fi
export PATH=$tool/bin:$PATH
exports=$(scripts/setup-libclang.sh)
eval "$exports"
# The same random histories for each mutant. What a mutant fails in is not kept as a failure of the tests.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261122} PROPTEST_CASES=${PROPTEST_CASES:-200} PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
exec python3 scripts/mutants.py "$@"

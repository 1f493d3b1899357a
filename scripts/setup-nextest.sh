#!/usr/bin/env bash
# Prints the shell `export` line with which cargo finds cargo-nextest, which runs the tests:
#
#     eval "$(scripts/setup-nextest.sh)"
#
# An installed one of this version or a newer one is used. Otherwise this version is built into .deps, which takes some minutes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly version=0.9.143
readonly folder=$root/.deps/cargo-nextest-$version

main() {
    local installed
    installed=$(cargo-nextest nextest --version 2>/dev/null | sed -nE 's/^cargo-nextest ([0-9.]+).*/\1/p') || true
    if [[ -n $installed && $(printf '%s\n' "$version" "$installed" | sort -V | head -n 1) == "$version" ]]; then return; fi
    if [[ ! -x $folder/bin/cargo-nextest ]]; then
        say "nextest: building cargo-nextest $version into .deps, which takes some minutes"
        scripts/cargo.sh install --quiet --locked --root "$folder" cargo-nextest --version "$version" >&2 ||
            die "cargo-nextest $version could not be installed"
    fi
    printf 'export PATH=%q\n' "$folder/bin:$PATH"
}

cd "$root"
main

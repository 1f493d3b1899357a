#!/usr/bin/env bash
# Builds the inv command if it has changed, and runs it, for example: scripts/inv.sh import stock.csv
#
# INV_CLI names a program that is built already.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

program=${INV_CLI:-}
if [[ -z $program ]]; then
    program=${CARGO_TARGET_DIR:-$root/target}/debug/inv
    quiet=(--quiet)
    if [[ ! -e $program ]]; then
        say "building; the first build takes a minute or two"
        quiet=()
    fi
    "$root/scripts/cargo.sh" build "${quiet[@]}" --package redis-inventory-cli
fi
exec "$program" "$@"

#!/usr/bin/env bash
# Tests the inv command with the release module, on one server: the one that SERVER or INV_SERVER names, or the one that
# find-server.sh finds. The tests of inv mirror and inv rebuild use a PostgreSQL that is found or fetched.
#
#     scripts/test-inv.sh               all
#     scripts/test-inv.sh import::      those whose names contain this
#     scripts/test-inv.sh --build       only builds
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly tests=(--profile inv --package redis-inventory-cli)

exports=$(scripts/setup-nextest.sh)
eval "$exports"
if [[ ${1:-} == --build ]]; then exec scripts/cargo.sh nextest run "${tests[@]}" --no-run; fi
INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER
# Without tmux the tests in a terminal fail, and say so.
exports=$(scripts/setup-tmux.sh) || exports=
eval "$exports"
exports=$(scripts/setup-postgres.sh)
eval "$exports"
if [[ -z ${INV_MODULE:-} ]]; then
    scripts/cargo.sh build --release
    INV_MODULE=$(module_file)
    export INV_MODULE
fi
exec scripts/cargo.sh nextest run "${tests[@]}" "$@"

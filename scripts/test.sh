#!/usr/bin/env bash
# All tests, on one server: the one that SERVER or INV_SERVER names, or the one that find-server.sh finds.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} "$root/scripts/find-server.sh")
export INV_SERVER
exec "$root/scripts/cargo.sh" test "$@"

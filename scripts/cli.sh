#!/usr/bin/env bash
# Opens a prompt on the server at PORT (default 6379).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly port=${PORT:-6379}

check_port "$port"
cli=$(scripts/find-cli.sh)
exec "$cli" -p "$port"

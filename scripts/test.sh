#!/usr/bin/env bash
# All tests, on one server: the one that SERVER or INV_SERVER names, or the one that find-server.sh finds.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly too_old=too-old/redis-7.0

INV_SERVER=$(SERVER=${SERVER:-${INV_SERVER:-}} scripts/find-server.sh)
export INV_SERVER
# Without redis-py or tmux the tests through them fail, and say so.
for setup in redis-py tmux; do
    exports=$(scripts/setup-$setup.sh) || exports=
    eval "$exports"
done
# The module says on an older server what it needs: some tests want one.
if [[ ! -d .servers/$too_old ]] && ! scripts/get-servers.sh "$too_old"; then
    say "!!! the tests on a server older than 7.2 are left out: there is none"
    [[ " $* " == *" -- "* ]] || set -- "$@" --
    set -- "$@" --skip a_server_older_than_7_2
fi
exec scripts/cargo.sh test "$@"

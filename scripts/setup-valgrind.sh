#!/usr/bin/env bash
# Prints the shell `export` lines with which valgrind runs, or nothing if it needs none:
#
#     eval "$(scripts/setup-valgrind.sh)"
#
# An installed valgrind is used. Otherwise the distribution's package is unpacked into .deps/valgrind (no root needed), with the
# debug symbols of the C library, without which memcheck does not start.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly valgrind_folder=$root/.deps/valgrind

works() { "$1" --quiet --tool=memcheck true >/dev/null 2>&1; }

# Tells valgrind and its tools where they are: the paths in the package are those of an installation.
set_up_unpacked() {
    local unpacked=$valgrind_folder/root tool
    [[ -x $unpacked/usr/bin/valgrind.bin ]] || return 1
    tool=$(find "$unpacked/usr" -name 'memcheck-*-linux' -print -quit)
    export VALGRIND_LIB=${tool%/*}
    # The script `valgrind` in the package looks for debug symbols at their usual place only, so it is bypassed.
    ln -sf valgrind.bin "$unpacked/usr/bin/valgrind"
    export PATH=$unpacked/usr/bin:$PATH
    [[ ! -d $unpacked/usr/lib/debug ]] || export VALGRIND_OPTS="${VALGRIND_OPTS:-} --extra-debuginfo-path=$unpacked/usr/lib/debug"
    works valgrind
}

main() {
    if have valgrind && works valgrind; then return; fi
    if ! set_up_unpacked; then
        if ! have apt-get || ! have dpkg; then
            die "valgrind is not installed (Debian, Ubuntu: valgrind; Fedora: valgrind)"
        fi
        say "valgrind: unpacking the distribution's package into .deps/valgrind ..."
        unpack_server valgrind "$valgrind_folder" || die "the distribution's valgrind could not be fetched"
        set_up_unpacked || die "the distribution's valgrind does not work: $(valgrind --tool=memcheck true 2>&1 | head -n 5)"
    fi
    printf 'export PATH=%q VALGRIND_LIB=%q VALGRIND_OPTS=%q\n' "$PATH" "$VALGRIND_LIB" "${VALGRIND_OPTS:-}"
}

main

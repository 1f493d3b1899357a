#!/usr/bin/env bash
# Prints the shell `export` lines with which valgrind runs:
#
#     eval "$(scripts/setup-valgrind.sh)"
#
# An installed one serves. Otherwise it is the distribution's, unpacked into .deps/valgrind with the debug symbols of the C
# library, without which memcheck does not start (no root needed).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly valgrind_folder=$root/.deps/valgrind

works() { "$1" --quiet --tool=memcheck true >/dev/null 2>&1; }

# Where it was built for is not where it lies: these say so, to it and to the tools beside it.
set_up_unpacked() {
    local unpacked=$valgrind_folder/root tool
    [[ -x $unpacked/usr/bin/valgrind.bin ]] || return 1
    tool=$(find "$unpacked/usr" -name 'memcheck-*-linux' -print -quit)
    export VALGRIND_LIB=${tool%/*}
    # The script of that name looks for debug symbols at their usual place only.
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
        unpack_server valgrind "$valgrind_folder" || die "the distribution's valgrind could not be had"
        set_up_unpacked || die "the distribution's valgrind does not work: $(valgrind --tool=memcheck true 2>&1 | head -n 5)"
    fi
    printf 'export PATH=%q VALGRIND_LIB=%q VALGRIND_OPTS=%q\n' "$PATH" "$VALGRIND_LIB" "${VALGRIND_OPTS:-}"
}

main

#!/usr/bin/env bash
# Prints the shell `export` line with which a compiler finds hiredis, or nothing if it needs none:
#
#     eval "$(scripts/setup-hiredis.sh)" && cc program.c -lhiredis
#
# An installed hiredis is used if it supports RESP3 (version 1.0 or later). Debian 12 has an older one: then a newer Debian's
# source package is built in .deps/hiredis (no root needed).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly debian=trixie version=1.2.0
readonly hiredis_folder=$root/.deps/hiredis

# Whether a program can be built with it.
works() {
    "${CC:-cc}" -x c -o /dev/null - -lhiredis 2>/dev/null <<'PROGRAM'
#include <hiredis/hiredis.h>
#if HIREDIS_MAJOR < 1
#error
#endif
int main(void) { redisFree(redisConnect("127.0.0.1", 1)); }
PROGRAM
}

# The folder appears only when it is complete.
build() {
    local options mirror
    mirror=$(debian_mirror) || die "apt on this machine has no Debian mirror to fetch hiredis from; name one: DEBIAN_MIRROR=http://.../debian"
    mkdir -p "$root/.deps"
    part=$(mktemp -d "$hiredis_folder.part.XXXXXX")
    apt_options "$part/apt"
    mkdir -p "$part/source" "$part/unpacked/include/hiredis" "$part/unpacked/lib"
    update_lists deb-src "$mirror" "$part/apt" "$debian" || return 1
    (cd "$part" && apt-get "${options[@]}" --quiet=2 source --download-only hiredis) >&2 || return 1
    tar -xzf "$part/hiredis_$version.orig.tar.gz" --strip-components 1 -C "$part/source" || return 1
    make --silent -C "$part/source" static CC="${CC:-cc}" >&2 || return 1
    cp "$part"/source/*.h "$part/unpacked/include/hiredis"
    cp "$part/source/libhiredis.a" "$part/unpacked/lib"
    rm -rf "$hiredis_folder"
    mv "$part/unpacked" "$hiredis_folder"
}

main() {
    have "${CC:-cc}" || die "a C compiler is not installed (Debian, Ubuntu: gcc and libc6-dev; macOS: xcode-select --install)"
    if works; then return; fi
    export CPATH=$hiredis_folder/include${CPATH:+:$CPATH} LIBRARY_PATH=$hiredis_folder/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
    if ! works; then
        if ! have apt-get; then
            die "hiredis 1.0 or newer is not installed (Fedora: hiredis-devel; macOS: brew install hiredis)"
        fi
        say "hiredis: building Debian's $version in .deps/hiredis ..."
        build || die "hiredis $version could not be fetched from Debian $debian and built"
        works || die "a program cannot be built with the hiredis in .deps/hiredis"
    fi
    printf 'export CPATH=%q LIBRARY_PATH=%q\n' "$CPATH" "$LIBRARY_PATH"
}

main

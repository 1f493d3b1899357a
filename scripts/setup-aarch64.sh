#!/usr/bin/env bash
# Prints the shell `export` lines with which cargo builds for aarch64 on an x86_64 machine, and with which dist-try.sh finds a server
# of that machine, in an emulator:
#
#     eval "$(scripts/setup-aarch64.sh)"
#
# The linker and the C library are Debian's: bookworm's if none are installed, so that the module needs no newer C library. The
# standard library of Rust comes from rustup. Everything else that is not installed is unpacked into .deps/aarch64 (no root needed).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly target=aarch64-unknown-linux-gnu
readonly unpacked=$root/.deps/aarch64

# fetch NAME SUITE MACHINE PACKAGE...: downloads the packages and what they need for a machine, and unpacks them into
# .deps/aarch64/NAME.
fetch() {
    local name=$1 suite=$2 machine=$3 folder=$unpacked/$1 apt=$unpacked/.apt-$1 mirror packages
    shift 3
    [[ ! -d $folder ]] || return 0
    mirror=$(debian_mirror) || die "apt on this machine has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian"
    say "aarch64: unpacking Debian $suite's $* into .deps/aarch64/$name ..."
    apt_options "$apt"
    options+=(-o "APT::Architecture=$machine" -o "APT::Architectures=$machine")
    update_lists deb "$mirror" "$apt" "$suite" || die "the package lists of Debian $suite could not be fetched"
    packages=$(apt-get "${options[@]}" install --simulate --no-install-recommends --yes "$@" | awk '$1 == "Inst" {print $2}')
    part=$(mktemp -d "$folder.part.XXXXXX")
    mkdir "$part/packages" "$part/root"
    # shellcheck disable=SC2086  # one word per package
    (cd "$part/packages" && apt-get "${options[@]}" download ${packages//":$machine"/}) >&2 ||
        die "Debian $suite's $* could not be fetched"
    for package in "$part"/packages/*.deb; do dpkg -x "$package" "$part/root" >&2; done
    rm -rf "$part/packages" "$part/root/usr/share/"{doc,man,locale} "$apt"
    # In newer suites, the loader is only in /usr/lib.
    [[ -e $part/root/lib ]] || ln -s usr/lib "$part/root/lib"
    mv "$part" "$folder"
}

# The folders with libraries of a fetched folder.
libraries_of() { find "$1/root/lib" "$1/root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu' 2>/dev/null | paste -sd :; }

# A wrapper: wrap FILE LINE.
wrap() {
    mkdir -p "${1%/*}"
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod +x "$1"
}

provide_linker() {
    local gcc headers
    if ! gcc=$(type -P aarch64-linux-gnu-gcc); then
        fetch gcc bookworm "$(dpkg --print-architecture)" gcc-aarch64-linux-gnu libc6-dev-arm64-cross
        gcc=$unpacked/gcc/bin/aarch64-linux-gnu-gcc
        if [[ ! -x $gcc ]]; then
            # The machine's own C library is used; another one would not fit its loader.
            rm -f "$unpacked"/gcc/root/{usr/,}lib/x86_64-linux-gnu/{libc.so,libm.so,libgcc_s.so,ld-linux}* "$unpacked"/gcc/root/lib64/*
            # The linker's scripts name the libraries by the paths of an installation.
            sed -i 's|/usr/aarch64-linux-gnu/lib/||g' "$unpacked"/gcc/root/usr/aarch64-linux-gnu/lib/{libc,libm}.so
            wrap "$gcc" "LD_LIBRARY_PATH='$(libraries_of "$unpacked/gcc")' exec '$unpacked/gcc/root/usr/bin/aarch64-linux-gnu-gcc' \"\$@\""
        fi
    fi
    "$gcc" --version >/dev/null || die "$gcc does not work"
    headers=$("$gcc" -print-file-name=include)
    printf 'export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=%q\n' "$gcc"
    printf 'export BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu=%q\n' \
        "-isystem $headers -isystem $(cd "$("$gcc" -print-file-name=libc.so | xargs dirname)/../include" && pwd)"
}

provide_rust() {
    have rustup || die "the standard library of $target comes from rustup, which is not installed: https://rustup.rs"
    rustup target add "$target" >&2 || die "rustup cannot fetch the standard library of $target"
}

provide_server() {
    local qemu server=$unpacked/bin/valkey-server
    if ! qemu=$(type -P qemu-aarch64-static || type -P qemu-aarch64); then
        fetch qemu bookworm "$(dpkg --print-architecture)" qemu-user-static
        qemu=$unpacked/qemu/root/usr/bin/qemu-aarch64-static
    fi
    fetch server trixie arm64 valkey-server
    wrap "$server" "exec '$qemu' -L '$unpacked/server/root' '$unpacked/server/root/usr/bin/valkey-server' \"\$@\""
    "$server" --version >&2 || die "the emulated server does not start"
    printf 'export DIST_SERVER=%q\n' "$server"
}

if ! have apt-get || ! have dpkg; then die "this needs apt-get and dpkg"; fi
[[ $(uname -m) == x86_64 ]] || die "this is for x86_64 machines"
mkdir -p "$unpacked"
provide_linker
provide_rust
provide_server

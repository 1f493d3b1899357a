#!/usr/bin/env bash
# Builds the packages in target/dist: an archive, a Debian package and a Python wheel, each with the module. Their checksums are in
# SHA256SUMS. Afterwards each package is installed and tried on a server.
#
# The packages are reproducible: the same commit, Rust and C library give the same bytes.
#
# ARCH=aarch64 builds for that machine on this one (scripts/setup-aarch64.sh), in target/dist-aarch64. MODULE names a module that
# is already built: its packages, in target/packages, are for tests, because the module contains paths of this machine.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
# shellcheck source=scripts/dist-lib.sh
. "$root/scripts/dist-lib.sh"

readonly arch=${ARCH:-$(uname -m)}
module=${MODULE:-}
program=
out=$root/target/dist
[[ $arch == "$(uname -m)" ]] || out+=-$arch
[[ -z $module ]] || out=$root/target/packages
readonly out built=$root/target/dist-build

# Paths of this machine must not end up in the module: they would reveal its folders, and make the build unreproducible.
build() {
    local remap="--remap-path-prefix=$root= --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" target=() folder=release exports
    if [[ $arch != "$(uname -m)" ]]; then
        exports=$("scripts/setup-$arch.sh") || die "packages for $arch cannot be built here"
        eval "$exports"
        target=(--target "$arch-unknown-linux-gnu")
        folder=$arch-unknown-linux-gnu/release
        remap+=" --remap-path-prefix=$root/.deps=deps"
    fi
    # Names of functions are for debuggers only; they take a quarter of the file.
    RUSTFLAGS="${RUSTFLAGS:-} $remap" CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TARGET_DIR=$built scripts/cargo.sh build --release --locked "${target[@]}"
    module=$(CARGO_TARGET_DIR=$built module_file "$folder")
    # The inv command reaches any server, so it is built for this machine only.
    if [[ $arch == "$(uname -m)" ]]; then
        RUSTFLAGS="${RUSTFLAGS:-} $remap" CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TARGET_DIR=$built \
            scripts/cargo.sh build --release --locked --package redis-inventory-cli
        program=$built/release/inv
    fi
    if grep -qF -e "$root" -e "${CARGO_HOME:-$HOME/.cargo}" "$module" ${program:+"$program"}; then die "the package contains paths of this machine"; fi
}

have perl || die "this needs perl"
case $arch in
    "$(uname -m)" | aarch64) ;;
    *) die "ARCH=$arch: packages can be built for this machine ($(uname -m)) and for aarch64" ;;
esac
if [[ -z $module ]]; then build; fi
[[ -f $module ]] || die "MODULE=$module is not a file: make build"
rm -rf "$out"
mkdir -p "$out"
scripts/dist-tar.sh "$module" "$out" ${program:+"$program"}
if [[ $module == *.so ]]; then
    if have dpkg-deb; then
        scripts/dist-deb.sh "$module" "$out"
    else
        say "!!! dpkg-deb is not installed: no Debian package is made"
    fi
    scripts/dist-wheel.sh "$module" "$out"
fi
# The packages of clients/ are the same for every machine.
if [[ $out == */dist && -x scripts/dist-clients.sh ]]; then
    scripts/dist-clients.sh "$module" "$(scripts/find-server.sh)"
    rm -f "$out/clients.sha256"
fi
(cd "$out" && sha256sum -- * >SHA256SUMS)
scripts/dist-try.sh "$out"
(cd "$out" && cat SHA256SUMS && du -h -- * | sort -k 2) >&2
printf '%s\n' "$out"

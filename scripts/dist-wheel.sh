#!/usr/bin/env bash
# scripts/dist-wheel.sh MODULE FOLDER: makes the Python wheel in FOLDER. It needs no network and no package for building wheels.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
# shellcheck source=scripts/dist-lib.sh
. "$root/scripts/dist-lib.sh"

readonly module=$1 out=$2
glibc=$(needed_version "$module" GLIBC)
[[ -n $glibc ]] || die "the glibc that the module needs is not known: this needs readelf (Debian: binutils)"
# pip installs the wheel only on a system with this glibc or a newer one.
exec python3 packaging/wheel/build.py --version "$version" --tag "py3-none-manylinux_${glibc//./_}_$(machine_of "$module")" "$module" "$out"

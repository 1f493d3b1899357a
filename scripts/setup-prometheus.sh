#!/usr/bin/env bash
# Prints the shell `export` lines that tell the monitoring test where prometheus-redis-exporter, prometheus and promtool are:
#
#     eval "$(scripts/setup-prometheus.sh)"
#
# Installed ones are used. Otherwise the distribution's packages are unpacked into .deps/ (no root needed): installed packages
# would start services.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# provide PACKAGE PROGRAM VARIABLE
provide() {
    local package=$1 program=$2 variable=$3 path
    if ! path=$(type -P "$program"); then
        path=$root/.deps/$package/root/usr/bin/$program
        if [[ ! -x $path ]]; then
            if ! have apt-get || ! have dpkg; then die "$program is not installed (Debian, Ubuntu: $package)"; fi
            say "$package: unpacking the distribution's package into .deps/$package ..."
            unpack_server "$package" "$root/.deps/$package" || die "the distribution's $package could not be fetched"
        fi
    fi
    "$path" --version >/dev/null 2>&1 || die "$path does not work: $("$path" --version 2>&1 | tail -n 1)"
    printf 'export %s=%q\n' "$variable" "$path"
}

provide prometheus-redis-exporter prometheus-redis-exporter INV_EXPORTER
provide prometheus prometheus INV_PROMETHEUS
provide prometheus promtool INV_PROMTOOL

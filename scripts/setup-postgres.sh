#!/usr/bin/env bash
# Prints the shell `export` lines with which `make bench-sql`, `make shop`, `make test-shop` and `make test-inv` find PostgreSQL:
#
#     eval "$(scripts/setup-postgres.sh)"
#
# INV_POSTGRES is the folder of its programs. If it is set, it is kept. Otherwise an installed PostgreSQL is used, or the
# distribution's package is unpacked into .deps/postgres (no root needed, and no service is started). The unpacked programs need
# INV_POSTGRES_LIBRARIES as their LD_LIBRARY_PATH.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly postgres_folder=$root/.deps/postgres

libraries=${INV_POSTGRES_LIBRARIES:-}

run() { LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$@"; }

works() {
    local program
    for program in initdb postgres pgbench psql; do run "$1/$program" --version >/dev/null 2>&1 || return 1; done
}

# newest_in FOLDER: sets `programs` to the folder of the newest version there.
newest_in() {
    programs=$(find "$1/usr/lib/postgresql" -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
    [[ -n $programs ]]
}

# The programs of the unpacked package find their data beside them, and their libraries only if they are told where.
use_unpacked() {
    local folder
    newest_in "$postgres_folder/root" || return 1
    for folder in "$postgres_folder"/root/usr/lib/*-linux-gnu* "$postgres_folder"/root/lib/*-linux-gnu*; do
        [[ ! -d $folder ]] || libraries+=${libraries:+:}$folder
    done
    works "$programs"
}

unpack() {
    local package
    package=$(apt-cache search --names-only '^postgresql-[0-9]+$' | awk '{print $1}' | sort -V | tail -n 1)
    [[ -n $package ]] || return 1
    say "postgres: unpacking the distribution's $package into .deps/postgres ..."
    unpack_server "$package" "$postgres_folder"
}

main() {
    local programs=${INV_POSTGRES:-}
    if [[ -z $programs ]]; then
        if newest_in "" && works "$programs"; then
            :
        elif programs=$(type -P initdb) && programs=${programs%/*} && works "$programs"; then
            :
        elif ! use_unpacked; then
            if ! have apt-get || ! have dpkg; then
                die "PostgreSQL is not installed (Debian, Ubuntu: postgresql; Fedora: postgresql-server postgresql-contrib)"
            fi
            unpack || die "the distribution's PostgreSQL could not be fetched"
            use_unpacked || die "the distribution's PostgreSQL does not work: $(run "$programs/postgres" --version 2>&1 | head -n 5)"
        fi
    fi
    works "$programs" || die "INV_POSTGRES=$programs does not contain initdb, postgres, pgbench and psql that work"
    printf 'export INV_POSTGRES=%q\n' "$programs"
    printf 'export INV_POSTGRES_LIBRARIES=%q\n' "$libraries"
}

main

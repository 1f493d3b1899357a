#!/usr/bin/env bash
# Prints the shell `export` line with which the shop's tests find psycopg, the PostgreSQL client for Python:
#
#     eval "$(scripts/setup-psycopg.sh)"
#
# It is unpacked from PyPI into .deps/psycopg (no root needed), with its own libpq, always in this version. If INV_PSYCOPG is
# set, it is kept. It needs Python 3.10.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Before Python 3.13 it needs typing-extensions.
readonly psycopg_wheels=(psycopg==3.3.9 psycopg-binary==3.3.9 typing-extensions==4.16.0)
readonly psycopg_folder=$root/.deps/psycopg

works() { PYTHONPATH=$1 PYTHONDONTWRITEBYTECODE=1 python3 -c 'import psycopg' 2>/dev/null; }

main() {
    local path=${INV_PSYCOPG:-} wheel
    have python3 || die "the shop in Python needs python3 (3.10 or newer)"
    if [[ -z $path ]]; then
        for wheel in "${psycopg_wheels[@]}"; do
            path+=${path:+:}$psycopg_folder/$wheel
            [[ ! -d $psycopg_folder/$wheel ]] || continue
            say "psycopg: unpacking PyPI's $wheel into .deps/psycopg"
            fetch_wheel "$wheel" "$psycopg_folder/$wheel" ||
                die "$wheel could not be fetched from PyPI: this needs python3 3.10 or newer, with pip"
        done
    fi
    works "$path" || die "psycopg does not work: $(PYTHONPATH=$path python3 -c 'import psycopg' 2>&1 | tail -n 1)"
    printf 'export INV_PSYCOPG=%q\n' "$path"
}

main

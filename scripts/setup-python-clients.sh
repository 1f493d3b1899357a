#!/usr/bin/env bash
# Prints the shell `export` line with which the tests of clients/python find the client libraries, the build backend and mypy:
#
#     eval "$(scripts/setup-python-clients.sh)"
#
# They are unpacked from PyPI into .deps/python-clients (no root needed), in the versions of clients/python/tests/requirements.txt.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly requirements=$root/clients/python/tests/requirements.txt
readonly folder=$root/.deps/python-clients

main() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || die "clients/python needs python3 (3.11 or newer)"
    if ! cmp -s "$requirements" "$folder/requirements.txt"; then
        say "clients/python: unpacking the packages of clients/python/tests/requirements.txt into .deps/python-clients"
        mkdir -p "$root/.deps"
        part=$(mktemp -d "$folder.part.XXXXXX")
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-compile \
            --root-user-action ignore --target "$part" --requirement "$requirements" >&2 ||
            die "the packages could not be fetched from PyPI: this needs python3 3.11 or newer, with pip"
        cp "$requirements" "$part/requirements.txt"
        rm -rf "$folder"
        mv "$part" "$folder"
        part=
    fi
    printf 'export INV_PYTHON_CLIENTS=%q\n' "$folder"
}

main

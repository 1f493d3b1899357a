#!/usr/bin/env bash
# Prints the shell `export` line with which node and npm are found, and makes clients/typescript/node_modules: the packages of
# clients/typescript/package-lock.json (the client libraries, TypeScript), fetched from npm into .deps/typescript-client.
#
#     eval "$(scripts/setup-typescript-client.sh)"
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly package=$root/clients/typescript
readonly folder=$root/.deps/typescript-client

main() {
    local exports
    exports=$("$root/scripts/setup-node.sh")
    eval "$exports"
    if ! cmp -s "$package/package-lock.json" "$folder/fetched.json"; then
        say "clients/typescript: fetching the packages of its package-lock.json into .deps/typescript-client"
        mkdir -p "$folder"
        cp "$package"/package{,-lock}.json "$folder"
        (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >&2) ||
            die "the packages of clients/typescript could not be fetched from npm"
        cp "$package/package-lock.json" "$folder/fetched.json"
    fi
    ln -sfn "$folder/node_modules" "$package/node_modules"
    printf '%s\n' "$exports"
}

main

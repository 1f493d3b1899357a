#!/usr/bin/env bash
# Prints the shell `export` line with which the tests build a program with go-redis:
#
#     eval "$(scripts/setup-go.sh)" && "$INV_GO" build -o program program.go
#
# Both are Debian's packages, unpacked into .deps (no root needed): go-redis into .deps/go-redis, and Go into .deps/go if none is
# installed. A build needs no network: in GOPATH mode, Go takes the libraries from a folder of sources.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

# Only the newest Debian has go-redis 9.
readonly go_debian=trixie go=1.24 redis_debian=sid
readonly go_folder=$root/.deps/go-$go redis_folder=$root/.deps/go-redis

# fetch SUITE PACKAGES FOLDER
fetch() {
    [[ ! -d $3 ]] || return 0
    if ! have apt-get || ! have dpkg; then die "go-redis and Go are Debian packages here, and this machine has no apt-get and dpkg"; fi
    say "go: unpacking Debian's $2 into .deps/${3##*/} ..."
    unpack_from "$1" "$2" "$3" || die "$2 could not be fetched from Debian $1"
}

# Debian's folders do not say the major versions. In GOPATH mode, Go looks for them by the path that a program imports.
name_versions() {
    local sources=$redis_folder/root/usr/share/gocode/src/github.com module
    for module in redis/go-redis/v9 cespare/xxhash/v2; do
        [[ ! -d $sources/$module ]] || continue
        mv "$sources/${module%/*}" "$sources/sources"
        mkdir "$sources/${module%/*}"
        mv "$sources/sources" "$sources/$module"
    done
}

main() {
    local program version
    # Its other dependencies are for its own tests.
    fetch "$redis_debian" "golang-github-redis-go-redis-dev golang-github-cespare-xxhash-v2-dev golang-github-dgryski-go-rendezvous-dev" \
        "$redis_folder"
    name_versions
    if program=$(type -P go) && version=$("$program" env GOVERSION) && at_least "${version#go}" "$go"; then
        printf 'export INV_GO=%q' "$program"
    else
        fetch "$go_debian" "golang-$go-go golang-$go-src" "$go_folder"
        printf 'export INV_GO=%q GOROOT=%q' "$go_folder/root/usr/lib/go-$go/bin/go" "$go_folder/root/usr/lib/go-$go"
    fi
    printf ' GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS= GOPATH=%q GOCACHE=%q\n' \
        "$redis_folder/root/usr/share/gocode" "$root/.deps/go-cache"
}

main

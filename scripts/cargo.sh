#!/usr/bin/env bash
# cargo, with what a build of this project needs: scripts/cargo.sh build --release
#
# It writes what it found into .cargo/config.toml, so that plain cargo and editors build the project from then on too.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly config=$root/.cargo/config.toml
readonly mark="# Written by scripts/cargo.sh for this machine. Without this line it is yours, and stays as it is."

# Variables that are already set count more than this file.
write_config() {
    local text=$mark$'\n[env]' name
    if [[ -e $config ]] && ! grep -qxF "$mark" "$config"; then return 0; fi
    for name in LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS; do
        [[ -z ${!name:-} ]] || text+=$'\n'"$name = '${!name}'"
    done
    [[ ! -e $config || $(<"$config") != "$text" ]] || return 0
    mkdir -p "${config%/*}"
    # At once and whole: another cargo may be reading it.
    printf '%s\n' "$text" >"$config.$$"
    mv "$config.$$" "$config"
}

# rustup puts it there, and only a new login shell knows.
have cargo || PATH=$PATH:$HOME/.cargo/bin
have cargo || die "cargo is not installed. Get Rust with rustup: https://rustup.rs"
have cc || have gcc || have clang || die "a C compiler is not installed (Debian, Ubuntu: gcc and libc6-dev; macOS: xcode-select --install)"

exports=$("$root/scripts/setup-libclang.sh")
eval "$exports"
write_config
cd "$root"
exec cargo "$@"

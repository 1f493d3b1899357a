#!/usr/bin/env bash
# Runs cargo with the environment that a build of this project needs, for example: scripts/cargo.sh build --release
#
# It writes what it found into .cargo/config.toml, so that plain cargo and editors build the project as well.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly config=$root/.cargo/config.toml
readonly mark="# Written by scripts/cargo.sh for this machine. Remove this line to keep your own changes."

# Environment variables take precedence over this file.
write_config() {
    local text=$mark$'\n[env]' name
    if [[ -e $config ]] && ! grep -qxF "$mark" "$config"; then return 0; fi
    for name in LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS; do
        [[ -z ${!name:-} ]] || text+=$'\n'"$name = '${!name}'"
    done
    [[ ! -e $config || $(<"$config") != "$text" ]] || return 0
    mkdir -p "${config%/*}"
    # The file is replaced in one step, because another cargo may be reading it.
    printf '%s\n' "$text" >"$config.$$"
    mv "$config.$$" "$config"
}

# rustup installs cargo here and adds the folder to PATH only for new login shells.
have cargo || PATH=$PATH:$HOME/.cargo/bin
have cargo || die "cargo is not installed. Get Rust with rustup: https://rustup.rs"
have cc || have gcc || have clang || die "a C compiler is not installed (Debian, Ubuntu: gcc and libc6-dev; macOS: xcode-select --install)"

exports=$("$root/scripts/setup-libclang.sh")
eval "$exports"
write_config
cd "$root"
exec cargo "$@"

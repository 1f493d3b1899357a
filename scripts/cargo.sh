#!/usr/bin/env bash
# Runs cargo with the environment that a build of this project needs, for example: scripts/cargo.sh build --release
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# rustup installs cargo here and adds the folder to PATH only for new login shells.
have cargo || PATH=$PATH:$HOME/.cargo/bin
have cargo || die "cargo is not installed. Get Rust with rustup: https://rustup.rs"
have cc || have gcc || have clang || die "a C compiler is not installed (Debian, Ubuntu: gcc and libc6-dev; macOS: xcode-select --install)"

exports=$("$root/scripts/setup-libclang.sh")
eval "$exports"
cd "$root"
exec cargo "$@"

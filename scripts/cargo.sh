#!/usr/bin/env bash
# cargo, with what a build of this project needs: scripts/cargo.sh build --release
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# rustup puts it there, and only a new login shell knows.
have cargo || PATH=$PATH:$HOME/.cargo/bin
have cargo || die "cargo is not installed. Get Rust with rustup: https://rustup.rs"
have cc || have gcc || have clang || die "a C compiler is not installed (Debian, Ubuntu: gcc and libc6-dev; macOS: xcode-select --install)"

exports=$("$root/scripts/setup-libclang.sh")
eval "$exports"
cd "$root"
exec cargo "$@"

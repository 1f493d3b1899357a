#!/usr/bin/env bash
# Checks that the module compiles with the oldest Rust that Cargo.toml allows (rust-version), fetched by rustup. If rustup is not
# installed or cannot fetch it, the script says so and checks nothing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

oldest=$(sed -nE 's/^rust-version = "(.*)"/\1/p' Cargo.toml)
if ! have rustup || ! rustup toolchain install "$oldest" --profile minimal --no-self-update; then
    say "!!! Rust $oldest could not be fetched: nothing was checked with it"
    exit
fi
scripts/cargo.sh "+$oldest" check --locked --lib --target-dir target/oldest-rust
say "Rust $oldest compiles the module"

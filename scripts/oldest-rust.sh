#!/usr/bin/env bash
# Builds the module with the oldest Rust that Cargo.toml allows (rust-version), fetched by rustup. If rustup is not installed or
# cannot fetch it, the script says so and builds nothing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

oldest=$(sed -nE 's/^rust-version = "(.*)"/\1/p' Cargo.toml)
if ! have rustup || ! rustup toolchain install "$oldest" --profile minimal --no-self-update; then
    say "!!! Rust $oldest could not be fetched: nothing was built with it"
    exit
fi
# Whether it compiles does not depend on the optimization.
CARGO_PROFILE_DEV_OPT_LEVEL=0 scripts/cargo.sh "+$oldest" build --locked --lib --target-dir target/oldest-rust
say "Rust $oldest builds the module"

#!/usr/bin/env bash
# Fuzzes each target with the address sanitizer, starting from its seeds. A crash, a broken invariant or an input that takes more
# than 5 seconds ends the run with status 1, and a command that repeats this input is printed.
#
#     scripts/fuzz.sh                       all targets, one after the other
#     scripts/fuzz.sh commands arguments    these targets
#     scripts/fuzz.sh commands FILE         one input, once
#
# INV_FUZZ_SECONDS sets how long each target runs (default 600). New inputs are kept in fuzz/corpus, and the next run starts
# with them.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

version=0.13.2
seconds=${INV_FUZZ_SECONDS:-600}
tool=.deps/cargo-fuzz-$version
# Builds with the sanitizer are kept apart from the others.
export CARGO_TARGET_DIR=$root/fuzz/target
have c++ || have g++ || have clang++ ||
    die "a C++ compiler is not installed; libFuzzer needs one (Debian, Ubuntu: g++)"

if [[ ! -x $tool/bin/cargo-fuzz ]]; then
    say "fuzz: building cargo-fuzz $version in $tool"
    scripts/cargo.sh install --quiet --locked --root "$tool" cargo-fuzz --version "$version" >&2 ||
        die "cargo-fuzz $version could not be installed"
fi
export PATH=$root/$tool/bin:$PATH
# The sanitizer and coverage counters are nightly options. This lets the stable compiler accept them.
export RUSTC_BOOTSTRAP=1

host=$(scripts/cargo.sh -vV | sed -n 's/^host: //p')
# run TARGET [libFuzzer options]: does what `cargo fuzz run` does, but replaces this process, so that it can be killed by its id.
run() {
    ASAN_OPTIONS=${ASAN_OPTIONS:-detect_odr_violation=0} exec "fuzz/target/$host/release/$1" \
        -artifact_prefix="fuzz/artifacts/$1/" -timeout=5 -rss_limit_mb=2048 "${@:2}"
}

if (($# == 2)) && [[ -f $2 ]]; then
    scripts/cargo.sh fuzz build "$1" >&2
    run "$1" "$2"
fi

# progress LOG: the progress according to the last status line.
progress() {
    awk '/^#[0-9]+.* cov: / {
        executions = substr($1, 2)
        for (i = 2; i < NF; i++) {
            if ($i == "cov:") coverage = $(i + 1)
            if ($i == "ft:") features = $(i + 1)
            if ($i == "corp:") corpus = $(i + 1)
        }
    }
    END {
        sub("/.*", "", corpus)
        printf "%d executions, coverage %d, features %d, corpus %d", executions, coverage, features, corpus
    }' "$1"
}

pid=
log=$(mktemp)
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM
status=0
targets=("$@")
(($# > 0)) || mapfile -t targets < <(scripts/cargo.sh fuzz list)
for target in "${targets[@]}"; do
    [[ -d fuzz/seeds/$target ]] || die "there is no target $target. The targets are: $(cd fuzz/seeds && echo *)"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    scripts/cargo.sh fuzz build "$target" >&2
    run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -max_total_time="$seconds" -max_len=2048 \
        -dict=fuzz/words.dict >"$log" 2>&1 &
    pid=$!
    begun=$SECONDS
    while sleep 1 && kill -0 "$pid" 2>/dev/null; do
        (((SECONDS - begun) % 30 != 0)) || say "fuzz: $target, $((SECONDS - begun)) of $seconds s: $(progress "$log")"
    done
    if wait "$pid"; then
        say "fuzz: $target ok, $((SECONDS - begun)) s: $(progress "$log")"
    else
        status=1
        grep -E -A 2 'panicked at|SUMMARY: ' "$log" >&2 || tail "$log" >&2
        say "fuzz: $target FAILED after $((SECONDS - begun)) s: $(progress "$log")"
        file=$(grep -oE "fuzz/artifacts/$target/[^ ]+$" "$log" | tail -n 1 || true)
        [[ -z $file ]] || say "    to repeat it:                   scripts/fuzz.sh $target $file
    to make it a test for cargo test: cp $file fuzz/seeds/$target/WHAT-IT-SHOWS; scripts/cargo.sh test --test fuzz"
    fi
    pid=
done
exit "$status"

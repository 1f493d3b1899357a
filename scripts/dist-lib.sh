# shellcheck shell=bash
# What the scripts that make packages share. Source it after lib.sh, in the project's folder.

export LC_ALL=C

# shellcheck disable=SC2034  # the scripts that source this file use these
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
commit=$(git rev-parse --short=12 HEAD)
[[ -z $(git status --porcelain) ]] || commit+=" with changes that are not committed"

# Every file in a package has the time of the commit, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# Only files that git tracks are packed. Everything else in the repository is for those who build from source.
readonly packed=(README.md CHANGELOG.md ARCHITECTURE.md SECURITY.md LICENSE redis.conf deny.toml docs examples monitoring tests/lua benches/results)

# machine_of MODULE: x86_64, aarch64, ...: the machine for which the module was built.
machine_of() {
    case $(have readelf && readelf --file-header "$1" 2>/dev/null | sed -nE 's/^ *Machine: *//p') in
        *X86-64*) printf 'x86_64\n' ;;
        *AArch64*) printf 'aarch64\n' ;;
        *) uname -m ;;
    esac
}

# debian_machine MACHINE: what Debian calls it.
debian_machine() {
    case $1 in
        x86_64) printf 'amd64\n' ;;
        aarch64) printf 'arm64\n' ;;
        *) die "$1 has no known name in Debian" ;;
    esac
}

# needed_version MODULE GLIBC|GCC: the oldest version of the library that provides every symbol the module uses, or nothing if
# the module uses none of it.
needed_version() {
    have readelf || return 0
    { readelf --version-info --wide "$1" || true; } |
        { grep -oE "Name: $2_[0-9.]+" || true; } | sed -E 's/.*_//' | sort -uV | tail -n 1
}

# lay_documents FOLDER: copies the packed files there, and replaces each link to a file that is not packed by its text.
lay_documents() {
    local document link
    git ls-files -z -- "${packed[@]}" | tar --null --files-from - --create | tar --extract --directory "$1"
    while read -r document; do
        while read -r link; do
            [[ -e $(dirname "$document")/$link ]] || LINK=$link perl -pi -e 's/(!?)\[([^\]]*)\]\(\Q$ENV{LINK}\E(#[^)]*)?\)/$2/g' "$document"
        done < <(grep -oE '\]\([^)#:]+' "$document" | cut -c 3- | sort -u)
    done < <(find "$1" -name '*.md')
}

# list_sums FOLDER: the checksums of all files in the folder, in the order of their names.
list_sums() { (cd "$1" && find . -type f -printf '%P\0' | sort -z | xargs -0 "$2"); }

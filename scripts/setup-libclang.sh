#!/usr/bin/env bash
# Prints the shell `export` lines with which bindgen finds libclang at build time:
#
#     eval "$(scripts/setup-libclang.sh)"
#
# An installed libclang is used; if there is none, PyPI's wheel is unpacked into .deps/libclang (no root needed).
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

readonly libclang_wheel=libclang==18.1.1
readonly fetched=$root/.deps/libclang

# Whether the folder has the library under a name for which bindgen looks. libclang-cpp is another library.
holds_libclang() {
    local file
    for file in "$1"/libclang.so "$1"/libclang.dylib "$1"/libclang.so.* "$1"/libclang-[0-9]*.so*; do
        [[ -e $file ]] && return 0
    done
    return 1
}

# Folders in which libclang may be installed, the newest LLVM first.
candidates() {
    local config developer
    [[ -z ${LIBCLANG_PATH:-} ]] || printf '%s\n' "$LIBCLANG_PATH"
    if have llvm-config; then llvm-config --libdir; fi
    for config in $(compgen -c llvm-config- | sort -ruV); do "$config" --libdir 2>/dev/null || true; done
    find /usr/lib /usr/local /opt/homebrew/opt /usr/local/opt -maxdepth 1 -name 'llvm*' 2>/dev/null | sort -rV | sed 's|$|/lib|'
    if have gcc; then printf '/usr/lib/%s\n' "$(gcc -dumpmachine)"; fi
    printf '%s\n' /usr/lib64 /usr/lib /usr/local/lib
    if developer=$(xcode-select -p 2>/dev/null); then
        printf '%s\n' "$developer/Toolchains/XcodeDefault.xctoolchain/usr/lib" "$developer/usr/lib"
    fi
}

installed_folder() {
    local folder
    while IFS= read -r folder; do
        if holds_libclang "$folder"; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(candidates)
    return 1
}

fetched_folder() {
    local folder
    folder=$(find "$fetched" -type d -path '*/clang/native' 2>/dev/null | head -n 1)
    [[ -n $folder ]] && holds_libclang "$folder" && printf '%s\n' "$folder"
}

fetch() {
    say "libclang: none is installed; unpacking PyPI's $libclang_wheel into .deps/libclang"
    fetch_wheel "$libclang_wheel" "$fetched" || die "bindgen needs libclang, which could not be fetched from PyPI.
Install libclang (Debian, Ubuntu: libclang-dev; Fedora: clang-devel; macOS: xcode-select --install), or python3 with pip."
}

# A libclang without its compiler lacks stddef.h and similar headers. gcc's serve as well; on macOS, the compiler has its own.
header_arguments() {
    local folder=$1 headers
    compgen -G "$folder/clang/*/include/stddef.h" >/dev/null && return
    compgen -G "$(dirname "$(readlink -f "$folder"/libclang*.so* | head -n 1)")/clang/*/include/stddef.h" >/dev/null && return
    have gcc || return 0
    headers=$(gcc -print-file-name=include)
    [[ -f $headers/stddef.h ]] && printf '%s' "-isystem $headers"
}

main() {
    local folder arguments
    folder=$(installed_folder) || folder=$(fetched_folder) || {
        fetch
        folder=$(fetched_folder) || die "PyPI's $libclang_wheel has no library for this machine"
    }
    printf 'export LIBCLANG_PATH=%q\n' "$folder"
    # Keep what the user has set: it may name the folders of a cross compiler.
    if [[ -z ${BINDGEN_EXTRA_CLANG_ARGS:-} ]]; then
        arguments=$(header_arguments "$folder")
        [[ -z $arguments ]] || printf 'export BINDGEN_EXTRA_CLANG_ARGS=%q\n' "$arguments"
    fi
}

main

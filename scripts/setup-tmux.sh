#!/usr/bin/env bash
# Prints the shell `export` line with which the tests find tmux, the terminal in which they run `make watch`:
#
#     eval "$(scripts/setup-tmux.sh)"
#
# An installed tmux is used. Otherwise the distribution's package is unpacked into .deps/tmux (no root needed). If INV_TMUX is
# set, it is kept.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly tmux_folder=$root/.deps/tmux

works() { "$1" -V >/dev/null 2>&1; }

main() {
    local tmux=${INV_TMUX:-}
    [[ -n $tmux ]] || tmux=$(type -P tmux) || tmux=$tmux_folder/bin/tmux
    if ! works "$tmux" && [[ $tmux == "$tmux_folder"/* ]]; then
        if ! have apt-get || ! have dpkg; then
            die "tmux is not installed (Debian, Ubuntu: tmux; Fedora: tmux; macOS: brew install tmux)"
        fi
        say "tmux: unpacking the distribution's package into .deps/tmux ..."
        unpack_server tmux "$tmux_folder" || die "the distribution's tmux could not be fetched"
        write_wrapper "$tmux"
    fi
    works "$tmux" || die "tmux does not work: $("$tmux" -V 2>&1 | head -n 5)"
    printf 'export INV_TMUX=%q\n' "$tmux"
}

main

#!/usr/bin/env bash
# Prints the shell `export` line with which the tests find redis-py:
#
#     eval "$(scripts/setup-redis-py.sh)"
#
# It is unpacked from PyPI into .deps/redis-py (no root needed), always in this version: an installed one may have any. If
# INV_REDIS_PY is set, it is kept.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The newest for Python 3.9. Before Python 3.11.3 it needs async-timeout, even if nothing asynchronous is used.
readonly redis_wheel=redis==7.0.1
readonly timeout_wheel=async-timeout==5.0.1
readonly redis_folder=$root/.deps/redis-py
readonly timeout_folder=$root/.deps/async-timeout

# Whether exactly this version is unpacked: after the number above changes, an older one is still there.
is_fetched() { [[ -d $redis_folder/redis-${redis_wheel#*==}.dist-info ]]; }

works() { PYTHONPATH=$1 PYTHONDONTWRITEBYTECODE=1 python3 -c 'import redis.cluster' 2>/dev/null; }

main() {
    local path=${INV_REDIS_PY:-$redis_folder}
    have python3 || die "the tests with redis-py need python3 (3.9 or newer)"
    if [[ -z ${INV_REDIS_PY:-} ]]; then
        if ! is_fetched; then
            say "redis-py: unpacking PyPI's $redis_wheel into .deps/redis-py"
            fetch_wheel "$redis_wheel" "$redis_folder" ||
                die "redis-py could not be fetched from PyPI: this needs python3 3.9 or newer, with pip"
        fi
        if ! works "$path"; then
            path+=:$timeout_folder
            if ! works "$path"; then
                say "redis-py: unpacking PyPI's $timeout_wheel into .deps/async-timeout, for this older Python"
                fetch_wheel "$timeout_wheel" "$timeout_folder" || die "$timeout_wheel could not be fetched from PyPI"
            fi
        fi
    fi
    works "$path" || die "redis-py does not work: $(PYTHONPATH=$path python3 -c 'import redis.cluster' 2>&1 | tail -n 1)"
    printf 'export INV_REDIS_PY=%q\n' "$path"
}

main

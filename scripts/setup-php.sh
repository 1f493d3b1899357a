#!/usr/bin/env bash
# Prints the shell `export` line with which the tests find PHP with phpredis:
#
#     eval "$(scripts/setup-php.sh)" && $INV_PHP program.php
#
# An installed PHP is used if it has phpredis 6 or newer. Otherwise Debian's packages are unpacked into .deps/php (no root needed).
# If INV_PHP is set, it is kept.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly debian=trixie php=8.4
readonly php_folder=$root/.deps/php-$php

# shellcheck disable=SC2016  # PHP contains the variable
works() { "$@" -r '$version = phpversion("redis"); exit($version && version_compare($version, "6", ">=") ? 0 : 1);' >/dev/null 2>&1; }

fetch() { unpack_from "$debian" "php$php-cli php$php-redis" "$php_folder" && write_wrapper "$php_folder/bin/php$php"; }

main() {
    local command extensions
    read -ra command <<<"${INV_PHP:-php}"
    if ! works "${command[@]}" && [[ -z ${INV_PHP:-} ]]; then
        if [[ ! -d $php_folder ]]; then
            if ! have apt-get || ! have dpkg; then
                die "PHP with phpredis 6 is not installed (Fedora: php-cli php-pecl-redis6; macOS: brew install php, pecl install redis)"
            fi
            say "php: unpacking Debian's php$php-cli and php$php-redis into .deps/php-$php ..."
            fetch || die "PHP could not be fetched from Debian $debian"
        fi
        # The packages' own configuration names folders of an installed PHP.
        extensions=$(find "$php_folder/root/usr/lib/php" -name redis.so -printf '%h')
        command=("$php_folder/bin/php$php" -n -d "extension_dir=$extensions" -d extension=igbinary.so -d extension=redis.so)
    fi
    works "${command[@]}" || die "PHP with phpredis 6 does not work: $("${command[@]}" --version 2>&1 | tail -n 1)"
    printf 'export INV_PHP=%q\n' "${command[*]}"
}

main

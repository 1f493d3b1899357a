#!/usr/bin/env bash
# Prints the shell `export` line with which the tests find Ruby with redis-rb:
#
#     eval "$(scripts/setup-ruby.sh)" && $INV_RUBY program.rb
#
# An installed Ruby is used if it has the gem redis, version 5 or newer. Otherwise Debian's packages are unpacked into .deps/ruby
# (no root needed). If INV_RUBY is set, it is kept.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly debian=trixie ruby=3.3
readonly ruby_folder=$root/.deps/ruby-$ruby

works() { "$@" -e 'require "redis"; exit Redis::VERSION.to_i >= 5' >/dev/null 2>&1; }

fetch() { unpack_from "$debian" "ruby$ruby ruby-redis" "$ruby_folder" && write_wrapper "$ruby_folder/bin/ruby$ruby"; }

main() {
    local command folder
    read -ra command <<<"${INV_RUBY:-ruby}"
    if ! works "${command[@]}" && [[ -z ${INV_RUBY:-} ]]; then
        if [[ ! -d $ruby_folder ]]; then
            if ! have apt-get || ! have dpkg; then
                die "Ruby with the gem redis, version 5, is not installed (Fedora: ruby; macOS: brew install ruby; then gem install redis)"
            fi
            say "ruby: unpacking Debian's ruby$ruby and ruby-redis into .deps/ruby-$ruby ..."
            fetch || die "Ruby could not be fetched from Debian $debian"
        fi
        # It looks for its libraries where an installed Ruby has them.
        command=("$ruby_folder/bin/ruby$ruby" --disable-gems)
        for folder in "$ruby_folder"/root/usr/lib/ruby/{vendor_ruby,"$ruby.0"} "$ruby_folder"/root/usr/lib/*/ruby/{"$ruby.0",vendor_ruby/"$ruby.0"} \
            "$ruby_folder"/root/usr/share/rubygems-integration/all/gems/*/lib; do
            [[ ! -d $folder ]] || command+=(-I "$folder")
        done
    fi
    works "${command[@]}" || die "Ruby with the gem redis does not work: $("${command[@]}" -e 'require "redis"' 2>&1 | tail -n 1)"
    printf 'export INV_RUBY=%q\n' "${command[*]}"
}

main

#!/usr/bin/env bash
# scripts/dist-try.sh FOLDER: installs each package in FOLDER, loads its module into a server, and runs the commands of "Try it" in
# docs/installing.md. Nothing is installed on this machine: the packages go into a temporary folder.
#
# DIST_SERVER names a server of another machine, which an emulator runs.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
# shellcheck source=scripts/dist-lib.sh
. "$root/scripts/dist-lib.sh"

readonly out=$1 file=libredis_inventory.so

# Runs the document's commands on the server. Each must answer what its comment says.
try_it() {
    local line expected reply tried=0
    redis-cli() { "$cli" -p "$port" "$@"; }
    # shellcheck disable=SC2016  # the backticks are those of the document
    while read -r line; do
        expected=${line##*# }
        reply=$(eval "$line" | paste -sd ' ')
        # shellcheck disable=SC2053  # the comment is a pattern
        [[ $reply == ${expected//.../*} ]] || die "$1: ${line%% #*} answers '$reply' and not '$expected'"
        tried=$((tried + 1))
    done < <(sed -n '/^## Try it/,/^## /p' docs/installing.md | sed -n '/^```sh$/,/^```$/p' | grep '^redis-cli ')
    ((tried >= 4)) || die "docs/installing.md has $tried commands to try"
}

# try NAME MODULE CONFIGURATION: both are as the package installs them.
try() {
    local name=$1 module=$2 configuration=$3 data
    data=$(mktemp -d "$folder/data.XXXXXX")
    start_server "$data" "$server" "$configuration" --loadmodule "$module"
    try_it "$name"
    stop_server
    say "ok: $name: installed, loaded and tried on $(server_name "$server")"
}

try_archive() {
    local name
    name=$(basename "$1" .tar.gz)
    mkdir "$folder/archive"
    tar --extract --gzip --file "$1" --directory "$folder/archive"
    (cd "$folder/archive/$name" && sha256sum --check --quiet SHA256SUMS)
    # INSTALL installs the module in /usr/lib.
    # shellcheck disable=SC2016  # the evaluated text contains the variable
    (cd "$folder/archive/$name" && eval "$(sed -nE 's|^ {4}(install .*) /usr(/lib/.*)|\1 "$folder/archive/usr\2"|p' INSTALL)")
    try "${1##*/}" "$folder/archive/usr/lib/redis-inventory/$(basename "$folder/archive/$name"/libredis_inventory.*)" \
        "$folder/archive/$name/redis.conf"
    [[ ! -e $folder/archive/$name/inv ]] || "$folder/archive/$name/inv" --version >&2 || die "the inv command of ${1##*/} does not start"
}

# dpkg keeps its list of installed packages in the folder as well. The libraries that the package needs are not in that list.
try_deb() {
    local target=$folder/debian
    mkdir -p "$target/var/lib/dpkg/"{info,updates}
    : >"$target/var/lib/dpkg/status"
    # A machine may be set up to leave out documents.
    dpkg_in() {
        dpkg --root="$target" --force-not-root --force-depends --force-architecture --force-bad-path --path-include='/usr/*' \
            --log=/dev/null "$@" 2>&1
    }
    dpkg_in --install "$1" >"$folder/log" || die "dpkg does not install ${1##*/}: $(cat "$folder/log")"
    [[ -z $(dpkg_in --verify redis-inventory) ]] || die "${1##*/}: $(dpkg_in --verify redis-inventory)"
    [[ -f $target/usr/share/doc/redis-inventory/redis.conf && -f $target/usr/share/doc/redis-inventory/docs/installing.md ]] ||
        die "${1##*/} lacks its documents"
    try "${1##*/}" "$target/usr/lib/redis-inventory/$file" "$target/usr/share/redis-inventory/redis.conf"
    dpkg_in --purge redis-inventory >"$folder/log" || die "dpkg does not remove ${1##*/}: $(cat "$folder/log")"
    [[ -z $(find "$target/usr" -type f 2>/dev/null) ]] || die "${1##*/} leaves files when it is removed"
}

# Without the installed packages of this machine, and without the network.
try_wheel() {
    local python=$folder/venv/bin/python options=()
    python3 -m venv --without-pip "$folder/venv"
    # pip refuses a wheel of another machine, unless it is to be unpacked only.
    if [[ $1 != *_$(uname -m).whl ]]; then
        options=(--target "$folder/wheel" --platform "$(basename "${1##*-}" .whl)" --only-binary :all:)
        mkdir "$folder/wheel"
    fi
    python3 -m pip --python "$python" install --quiet --disable-pip-version-check --no-index --no-deps "${options[@]}" "$1"
    run_python() { env -u PYTHONHOME PYTHONPATH="$folder/wheel" PYTHONDONTWRITEBYTECODE=1 "$python" "$@"; }
    [[ ! -x $folder/venv/bin/redis-inventory-module ]] ||
        [[ $("$folder/venv/bin/redis-inventory-module") == "$(run_python -m redis_inventory_module)" ]] || die "the command prints another path"
    [[ ${#options[@]} -gt 0 || -x $folder/venv/bin/redis-inventory-module ]] || die "${1##*/} has no command"
    try "${1##*/}" "$(run_python -m redis_inventory_module)" "$(run_python -m redis_inventory_module --conf)"
}

end() {
    stop_server
    rm -rf "$folder"
}

server=${DIST_SERVER:-$(scripts/find-server.sh)}
cli=$(SERVER=$server scripts/find-cli.sh 2>/dev/null)
folder=$(mktemp -d)
trap end EXIT
(cd "$out" && sha256sum --check --quiet SHA256SUMS)
for package in "$out"/*; do
    case $package in
        */redis-inventory-[0-9]*.tar.gz) try_archive "$package" ;;
        *.deb) try_deb "$package" ;;
        */redis_inventory_module-*.whl) try_wheel "$package" ;;
    esac
done

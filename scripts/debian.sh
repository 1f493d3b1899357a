# shellcheck shell=bash
# Unpacks servers and other programs from Debian packages into folders of the project. Source it after lib.sh.
#
# Nothing is installed: that would need root, and an installed server package starts a service on port 6379.

# Prints the Debian mirror that apt uses on this machine. DEBIAN_MIRROR overrides it.
debian_mirror() {
    if [[ -n ${DEBIAN_MIRROR:-} ]]; then
        printf '%s\n' "$DEBIAN_MIRROR"
        return
    fi
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } |
        grep -v '^[[:space:]]*#' | grep -oE 'https?://[^[:space:]]+/debian/?([[:space:]]|$)' | tr -d '[:blank:]' | head -n 1 | grep .
}

# apt_options HOME: sets `options` so that apt keeps all its state in this folder. Its list of installed packages is empty, so
# everything that a server needs is fetched.
apt_options() {
    local home=$1
    options=(
        -o "Dir::Etc::sourcelist=$home/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
        -o "Dir::State::lists=$home/lists" -o "Dir::State::status=$home/status" -o "Dir::Cache=$home/cache"
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        # If apt runs as root, it fetches as another user, who has no right to write here.
        -o APT::Sandbox::User=root
        # Skip the machine's own hooks: they are meant for its own packages.
        -o APT::Update::Post-Invoke=: -o APT::Update::Post-Invoke-Success=:
    )
}

# update_lists deb|deb-src MIRROR HOME SUITE...: fetches the current package lists of the suites.
update_lists() {
    local kind=$1 mirror=$2 home=$3 suite
    shift 3
    mkdir -p "$home/lists/partial" "$home/cache/archives/partial"
    : >"$home/status"
    for suite in "$@"; do
        printf '%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$kind" "$mirror" "$suite"
    done >"$home/sources.list"
    if ! apt-get "${options[@]}" -o APT::Update::Error-Mode=any update >"$home/log" 2>&1; then
        sed 's/^/    /' "$home/log" >&2
        return 1
    fi
}

# packages_needed PACKAGES [apt options]: prints those of these packages that apt would install, and the libraries that they need.
# It leaves out packages that only serve an installation, such as adduser and debconf, and JavaScript libraries.
packages_needed() {
    local wanted=$1
    shift
    # shellcheck disable=SC2086  # one word per package
    apt-get "$@" install --simulate --no-install-recommends --yes $wanted |
        awk '$1 == "Inst" && $2 ~ /^(lib.*|zlib1g|(redis|valkey)-.*|(php|ruby).*|postgresql-(client-)?[0-9]+)$/ && $2 !~ /^libjs-/ {print $2}'
}

# unpack_server PACKAGES FOLDER [apt options]: downloads the packages and their dependencies and unpacks them into FOLDER/root,
# with wrappers for servers in FOLDER/bin. FOLDER appears only when it is complete.
unpack_server() {
    local folder=$2
    mkdir -p "$(dirname "$folder")"
    part=$(mktemp -d "$folder.part.XXXXXX")
    chmod 755 "$part"
    if ! unpack_packages "$part" "$1" "${@:3}" 2>"$part/log"; then
        sed 's/^/    /' "$part/log" >&2
        rm -rf "$part"
        return 1
    fi
    rm -f "$part/log"
    rm -rf "$folder"
    mv "$part" "$folder"
}

# unpack_from SUITE PACKAGES FOLDER: the same with packages of this suite of Debian, whichever suite the machine has. Ends the
# script if there is no mirror.
unpack_from() {
    local options mirror home status=0
    mirror=$(debian_mirror) || die "apt on this machine has no Debian mirror to fetch $2 from; name one: DEBIAN_MIRROR=http://.../debian"
    # shellcheck disable=SC2154  # lib.sh sets root
    mkdir -p "$root/.deps"
    home=$(mktemp -d "$root/.deps/apt.XXXXXX")
    apt_options "$home"
    update_lists deb "$mirror" "$home" "$1" && unpack_server "$2" "$3" "${options[@]}" || status=1
    rm -rf "$home"
    return "$status"
}

unpack_packages() {
    local folder=$1 wanted=$2 packages package
    shift 2
    packages=$(packages_needed "$wanted" "$@") || return 1
    for package in $wanted; do
        # A package requested as name/suite is listed by its name only.
        [[ " ${packages//$'\n'/ } " == *" ${package%/*} "* ]] || packages+=" $package"
    done
    mkdir "$folder/packages" "$folder/root" || return 1
    # shellcheck disable=SC2086  # one word per package
    (cd "$folder/packages" && apt-get "$@" download $packages) >&2 || return 1
    for package in "$folder"/packages/*.deb; do
        dpkg -x "$package" "$folder/root" || return 1
    done
    # Documentation and character sets take most of the space. PostgreSQL, Go and Ruby have what they need there as well.
    find "$folder/root/usr/share" -mindepth 1 -maxdepth 1 ! -name postgresql ! -name 'go*' ! -name rubygems-integration -exec rm -rf {} + 2>/dev/null
    rm -rf "$folder/packages" "$folder"/root/usr/lib/*/gconv
    write_wrappers "$folder"
}

write_wrappers() {
    local folder=$1 name
    mkdir "$folder/bin"
    for name in {redis,valkey}-{server,cli,benchmark}; do
        [[ ! -e $folder/root/usr/bin/$name ]] || write_wrapper "$folder/bin/$name"
    done
}

# A package of a newer suite needs its own C library, so the wrapper starts the program through that library's loader. `exec`
# keeps the process id. argv[0] is the wrapper: a server that restarts itself (DEBUG RESTART) finds it there, and the binary that
# is server, cli and checker in one chooses its role by it.
write_wrapper() {
    cat >"$1" <<'WRAPPER'
#!/bin/sh
bin=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$0")
root=$(dirname "$bin")/root
libraries=
for folder in "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu*; do
    [ ! -d "$folder" ] || libraries=$libraries${libraries:+:}$folder
done
for loader in "$root"/usr/lib/*/ld-linux*.so.* "$root"/lib/*/ld-linux*.so.*; do
    [ -x "$loader" ] && exec "$loader" --argv0 "$bin/$name" --library-path "$libraries" "$root/usr/bin/$name" "$@"
done
# The package came without a C library, so the system's is used.
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$root/usr/bin/$name" "$@"
WRAPPER
    chmod +x "$1"
}

#!/usr/bin/env bash
# Builds the Dockerfile and tries the image, where there is no daemon and no registry of images: with buildah's chroot
# isolation, on base images made here. Needs root, buildah, debootstrap, and Rust; takes some minutes and 6 GB.
#
# The base images bear the names that the Dockerfile uses: Debian with this machine's Rust for the build, and Debian with its
# valkey-server, made like the official image (its user's number, its folder of data), to run in. All of it is in
# target/image; delete that folder to begin anew.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly work=$root/target/image
readonly image=localhost/redis-inventory
readonly port=6379

images() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

is_there() { images inspect --type image "$1" >/dev/null 2>&1; }

# The image of the Dockerfile's FROM line whose name begins with this.
base() { sed -nE "s|^FROM ($1:[^ ]+).*|\1|p" Dockerfile; }

# make_base NAME SUITE PACKAGES FILL: Debian with these packages; FILL does the rest, in the folder it is given.
make_base() {
    local name=$1 suite=$2 packages=$3 fill=$4 container folder
    if is_there "localhost/$name"; then return; fi
    say "--- making $name from Debian $suite"
    container=$(images from scratch)
    folder=$(images mount "$container")
    if ! debootstrap --variant=minbase --include="$packages" "$suite" "$folder" "$mirror" >"$work/debootstrap.log" 2>&1; then
        tail -n 20 "$work/debootstrap.log" >&2
        die "debootstrap failed"
    fi
    "$fill" "$folder"
    images umount "$container" >/dev/null
    images config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    images commit --quiet --rm "$container" "localhost/$name" >/dev/null
}

fill_rust() {
    local sysroot
    sysroot=$(cd "$root" && rustc --print sysroot)
    cp -a "$sysroot/bin" "$sysroot/lib" "$1/usr/local/"
    # A machine behind a proxy may trust a certificate of that one, and cargo in the build has to as well.
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

fill_valkey() {
    chroot "$1" usermod --non-unique --uid 999 valkey
    install -d -m 1777 -o 999 -g "$(chroot "$1" id -g valkey)" "$1/data"
}

# A container without the folder of data that buildah makes for it, which would lie over the volume.
new_container() {
    local container
    container=$(images from --pull-never "$image")
    images config --volume /data- "$container"
    printf '%s\n' "$container"
}

# start CONTAINER: the image's own entry point, with the volume, as a daemon would.
start() {
    local entry
    mapfile -t entry < <(images inspect --type image --format '{{range .Docker.Config.Entrypoint}}{{println .}}{{end}}' "$image" | grep .)
    # A process group of its own, so that all of it ends with this script.
    set -m
    inside "$1" "${entry[@]}" >>"$work/server.log" 2>&1 &
    running=$!
    set +m
    until is_healthy "$1"; do
        kill -0 "$running" 2>/dev/null || die "the server ended: $(tail -n 5 "$work/server.log")"
        sleep 0.5
    done
}

# What the image calls its health check.
is_healthy() {
    local check
    check=$(images inspect --type image --format '{{index .Docker.Config.Healthcheck.Test 1}}' "$image")
    inside "$1" sh -c "$check" >/dev/null 2>&1
}

inside() { images run --isolation chroot --volume "$work/data:/data" "$1" -- "${@:2}"; }

# stop CONTAINER: SIGTERM to the server, as `docker stop` sends it.
stop() {
    local pid
    pid=$(inside "$1" valkey-cli info server | tr -d '\r' | sed -n 's/^process_id://p')
    kill -TERM "$pid"
    wait "$running" || true
    running=
    images rm "$1" >/dev/null
}

expect() {
    local what=$1 expected=$2 seen=$3
    [[ $seen == "$expected" ]] || die "$what: expected '$expected', got '$seen'"
    say "ok: $what: $seen"
}

try_image() {
    local container pid
    rm -rf "$work/data" "$work/server.log"
    # A new volume belongs to whom the folder in the image belongs to.
    install -d -m 1777 -o 999 "$work/data"
    container=$(new_container)
    start "$container"
    say "ok: the health check passes"
    expect "the user inside" valkey "$(inside "$container" id -un)"
    pid=$(inside "$container" valkey-cli info server | tr -d '\r' | sed -n 's/^process_id://p')
    expect "the server's user id" 999 "$(awk '$1 == "Uid:" {print $2}' "/proc/$pid/status")"
    inside "$container" valkey-cli set stock:available:PROD-123 10 >/dev/null
    inside "$container" valkey-cli inv.reserve RES-1 EX 900 ITEMS PROD-123 2 >/dev/null
    expect "what is available" 8 "$(inside "$container" valkey-cli get stock:available:PROD-123)"
    stop "$container"

    # A new container on the same volume.
    container=$(new_container)
    if is_healthy "$container"; then die "the health check passes without a server"; fi
    say "ok: the health check fails without a server"
    start "$container"
    expect "what is available after a restart" 8 "$(inside "$container" valkey-cli get stock:available:PROD-123)"
    expect "a commit of what was reserved before" OK "$(inside "$container" valkey-cli inv.commit RES-1)"
    stop "$container"
}

main() {
    local rust valkey
    [[ $(id -u) == 0 ]] || die "debootstrap and buildah's chroot need root here"
    if ! have buildah || ! have debootstrap; then die "it needs buildah and debootstrap (Debian: packages of these names)"; fi
    mirror=$(debian_mirror) || die "apt here has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian $0"
    # This isolation shares the machine's network.
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then die "port $port is in use"; fi
    cd "$root"
    mkdir -p "$work"
    rust=$(base rust) valkey=$(base valkey/valkey)
    make_base "$rust" "${rust##*:}" ca-certificates,gcc,libc6-dev fill_rust
    make_base "$valkey" trixie valkey-server,valkey-tools fill_valkey
    say "--- building the Dockerfile"
    images bud --isolation chroot --pull-never --format docker --tag "$image" .
    say "--- trying the image"
    try_image
}

running=
trap '[[ -z $running ]] || kill -- "-$running" 2>/dev/null || true' EXIT
main "$@"

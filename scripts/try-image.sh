#!/usr/bin/env bash
# Builds the Dockerfile and runs the services of compose.yaml on a machine without a container daemon or an image registry: with
# buildah's chroot isolation, on base images made here, each service in its own network namespace. Needs root, buildah,
# debootstrap, iproute2, jq, openssl and Rust. Takes about ten minutes on an idle machine, and up to 25 GB. If a file that the
# build reads (.dockerignore) changes meanwhile, everything is built again.
#
# The base images have the names that the Dockerfile and compose.yaml use. The build image is Debian with this machine's Rust. The
# server images are Debian sid, which has the version of Valkey that the Dockerfile names. The exporter image is Debian with its
# exporter, laid out like the official image. Another image with docker-compose reads compose.yaml. Everything is in
# target/image; delete that folder to start over.
#
# Features of a daemon are not tested: published ports, read_only, cap_drop, restart. Nor are the entry points of the official
# images: the targets on-valkey and on-redis are run with their command alone.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/debian.sh
. "$root/scripts/debian.sh"

readonly work=$root/target/image
readonly image=localhost/redis-inventory
readonly tools=localhost/compose
# One network namespace per service, and its address.
readonly net=inv-image-$$
readonly -A address=(["master"]=10.99.0.1 ["replica"]=10.99.0.2 ["exporter"]=10.99.0.3)
declare -A container=() running=()

images() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

is_there() { images inspect --type image "$1" >/dev/null 2>&1; }

# base NAME: the full name of the image in the Dockerfile's FROM line that begins with NAME.
base() { sed -nE "s|^FROM ($1:[^ ]+).*|\1|p" "$root/Dockerfile"; }

# make_base NAME SUITE PACKAGES FILL [config]: makes an image of Debian with these packages. FILL gets the folder and completes
# it.
make_base() {
    local name=$1 suite=$2 packages=$3 fill=$4 made folder
    shift 4
    if is_there "localhost/$name"; then return; fi
    say "--- making $name from Debian $suite"
    made=$(images from scratch)
    folder=$(images mount "$made")
    if ! debootstrap --variant=minbase --include="$packages" "$suite" "$folder" "$mirror" >"$work/debootstrap.log" 2>&1; then
        tail -n 20 "$work/debootstrap.log" >&2
        die "debootstrap failed"
    fi
    rm -rf "$folder"/var/cache/apt/archives/*.deb
    "$fill" "$folder"
    images umount "$made" >/dev/null
    images config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@" "$made"
    images commit --quiet --rm "$made" "localhost/$name" >/dev/null
}

fill_rust() {
    local sysroot
    sysroot=$(cd "$root" && rustc --print sysroot)
    cp -a "$sysroot/bin" "$sysroot/lib" "$1/usr/local/"
    # A machine behind a proxy may trust the proxy's certificate; cargo in the build has to trust it too.
    cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
}

# The official images have it.
fill_data() { install -d -m 1777 "$1/data"; }

fill_exporter() {
    cp "$1/usr/bin/prometheus-redis-exporter" "$1/redis_exporter"
    # As in the alpine image.
    ln -s "$(chroot "$1" sh -c 'command -v busybox')" "$1/usr/local/bin/wget"
}

# --- compose.yaml ---

# compose [options]: prints compose.yaml as docker-compose resolves it, with the given passwords.
compose() {
    local made status=0
    made=$(images from --pull-never "$tools")
    images run --isolation chroot --volume "$root/compose.yaml:/project/compose.yaml:ro" "$@" "$made" -- \
        docker-compose --file /project/compose.yaml config --format json || status=$?
    images rm "$made" >/dev/null
    return "$status"
}

read_compose() {
    if compose >/dev/null 2>"$work/refused"; then die "compose.yaml is accepted without passwords"; fi
    grep 'INVENTORY_PASSWORD is missing' "$work/refused" >&2 || die "docker-compose: $(tail -n 3 "$work/refused")"
    say "ok: compose.yaml requires passwords"
    compose --env "INVENTORY_PASSWORD=$(openssl rand -hex 32)" --env "EXPORTER_PASSWORD=$(openssl rand -hex 32)" >"$work/compose.json"
    say "ok: docker-compose reads compose.yaml"
}

# of_service SERVICE FILTER: the part of compose.yaml that describes the service.
of_service() {
    jq --raw-output --arg service "$1" --arg root "$root" --arg work "$work" ".services[\$service] | $2" "$work/compose.json"
}

# of_image IMAGE FILTER: the configuration of the image.
of_image() { images inspect --type image "$1" | jq --raw-output ".Docker.config | $2"; }

image_of() { printf 'localhost/%s\n' "$(of_service "$1" .image)"; }

# --- running it ---

make_networks() {
    local service
    for service in "${!address[@]}"; do
        ip netns add "$net-$service"
        ip -n "$net-$service" link set lo up
    done
    ip -n "$net-master" link add bridge type bridge
    ip -n "$net-master" address add "${address[master]}/24" dev bridge
    ip -n "$net-master" link set bridge up
    for service in replica exporter; do
        ip -n "$net-master" link add "$service" type veth peer name eth0 netns "$net-$service"
        ip -n "$net-master" link set "$service" master bridge up
        ip -n "$net-$service" address add "${address[$service]}/24" dev eth0
        ip -n "$net-$service" link set eth0 up
    done
}

# create SERVICE: creates a container in which the other services are known by name.
create() {
    local service=$1 other hosts=()
    for other in "${!address[@]}"; do hosts+=(--add-host "$other:${address[$other]}"); done
    container[$service]=$(images from --pull-never "${hosts[@]}" "$(image_of "$service")")
    # buildah makes a data folder of its own for the image's volume, which would hide the mounted one.
    images config --volume /data- "${container[$service]}"
}

# Like a daemon, fills a new volume with what the image has there, and with the same owner.
create_volume() {
    local folder made
    made=$(images from --pull-never "$image")
    folder=$(images mount "$made")
    rm -rf "${work:?}/volumes/$1"
    mkdir -p "$work/volumes"
    cp -a "$folder/data" "$work/volumes/$1"
    images umount "$made" >/dev/null
    images rm "$made" >/dev/null
}

# inside SERVICE COMMAND...: like `docker compose exec`, with the volumes and the environment of compose.yaml.
inside() {
    local service=$1 word options=()
    shift
    # docker-compose has read the file in /project.
    # shellcheck disable=SC2016  # the variables are jq's
    while read -r word; do options+=(--volume "$word"); done < <(of_service "$service" '.volumes[] |
        (if .type == "volume" then $work + "/volumes/" + .source else .source | sub("^/project"; $root) end)
        + ":" + .target + (if .read_only then ":ro" else "" end)')
    while read -r word; do options+=(--env "$word"); done < <(of_service "$service" \
        '.environment | to_entries[] | .key + "=" + .value')
    ip netns exec "$net-$service" buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs \
        run --isolation chroot "${options[@]}" "${container[$service]}" -- "$@"
}

# start SERVICE: runs the image's entry point with the command of compose.yaml, as a daemon does, and waits until it is healthy.
start() {
    local service=$1 entry arguments
    create "$service"
    mapfile -t entry < <(of_image "$(image_of "$service")" '.Entrypoint[]')
    mapfile -t arguments < <(of_service "$service" '.command // [] | .[]')
    # It gets its own process group, so that all its processes end with this script.
    set -m
    inside "$service" "${entry[@]}" "${arguments[@]}" >>"$work/$service.log" 2>&1 &
    running[$service]=$!
    set +m
    until is_healthy "$service"; do
        kill -0 "${running[$service]}" 2>/dev/null || die "$service ended: $(tail -n 5 "$work/$service.log")"
        sleep 0.5
    done
    say "ok: $service is healthy"
}

# Runs the health check of compose.yaml or, if it has none, of the image. It must be in exec form, because there is no shell.
is_healthy() {
    local check
    mapfile -t check < <(of_service "$1" '.healthcheck.test // [] | .[]')
    ((${#check[@]})) || mapfile -t check < <(of_image "$(image_of "$1")" '.Healthcheck.Test[]')
    [[ ${check[0]} == CMD ]] || die "$1: the health check needs a shell"
    inside "$1" "${check[@]:1}" >/dev/null 2>&1
}

cli() { inside "$1" valkey-cli "${@:2}"; }

pid_of() { cli "$1" info server | tr -d '\r' | sed -n 's/^process_id://p'; }

# stop SERVICE: sends SIGTERM to the server, as `docker stop` does.
stop() {
    kill -TERM "$(pid_of "$1")"
    wait "${running[$1]}" || true
    unset "running[$1]"
    images rm "${container[$1]}" >/dev/null
}

expect() {
    local what=$1 expected=$2 seen=$3
    [[ $seen == "$expected" ]] || die "$what: expected '$expected', got '$seen'"
    say "ok: $what: $seen"
}

# eventually WHAT EXPECTED COMMAND...: waits up to ten seconds.
eventually() {
    local what=$1 expected=$2 seen try
    shift 2
    for ((try = 0; try < 20; try++)); do
        seen=$("$@" | tr -d '\r')
        [[ $seen != "$expected" ]] || break
        sleep 0.5
    done
    expect "$what" "$expected" "$seen"
}

link_of() { cli "$1" info replication | sed -n 's/^master_link_status://p'; }

metric() {
    inside exporter wget -q -O - http://127.0.0.1:9121/metrics | sed -nE "s/^redis_script_values\{.*key=\"$1\".*\} //p"
}

try_services() {
    local server
    rm -f "$work"/*.log
    create_volume master
    create_volume replica
    make_networks
    start master
    server=$(pid_of master)
    expect "the server's user and group" "999 999" "$(awk '/^[UG]id:/ {print $2}' "/proc/$server/status" | paste -sd ' ')"
    if grep -qF requirepass "/proc/$server/cmdline"; then die "ps shows the passwords"; fi
    say "ok: ps does not show the passwords"
    expect "the reply without a password" "-NOAUTH Authentication required." "$(ip netns exec "$net-master" bash -c \
        'exec 3<>/dev/tcp/127.0.0.1/6379 && printf "PING\r\n" >&3 && head -n 1 <&3' | tr -d '\r')"
    start replica
    eventually "the replica's link" up link_of replica
    cli master set stock:available:PROD-123 10 >/dev/null
    cli master inv.reserve RES-1 EX 900 ITEMS PROD-123 2 >/dev/null
    eventually "available units on the replica" 8 cli replica get stock:available:PROD-123
    expect "the reservation on the replica" reserved "$(cli replica inv.get RES-1 | sed -n 4p)"
    start exporter
    expect "live reservations in the exporter" 1 "$(metric inv_holds)"

    # New containers use the same volumes.
    stop master
    create master
    if is_healthy master; then die "the health check passes without a server"; fi
    say "ok: the health check fails without a server"
    images rm "${container[master]}" >/dev/null
    start master
    expect "available units after a restart" 8 "$(cli master get stock:available:PROD-123)"
    expect "a commit of the earlier reservation" OK "$(cli master inv.commit RES-1)"
    eventually "reserved units on the replica" 0 cli replica get stock:reserved:PROD-123
    try_tls
    stop replica
    stop master
}

# Opens a TLS port, with a new certificate in the volume.
try_tls() {
    local folder=$work/volumes/master/tls
    install -d -o 999 "$folder"
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=master -addext subjectAltName=DNS:master \
        -keyout "$folder/key" -out "$folder/cert" 2>/dev/null
    chown 999 "$folder"/*
    expect "the TLS settings" OK "$(cli master config set tls-cert-file /data/tls/cert tls-key-file /data/tls/key \
        tls-ca-cert-file /data/tls/cert tls-auth-clients no tls-port 6390)"
    expect "a ping over TLS" PONG "$(cli master -h master -p 6390 --tls --cacert /data/tls/cert ping)"
}

layers_of() { images inspect --type image "$1" | jq '.OCIv1.rootfs.diff_ids | length'; }

# try_target TARGET BASE CLI: builds this target of the Dockerfile, and runs it.
try_target() {
    local target=$1 base=$2 cli=$3 command made pid
    images bud --isolation chroot --pull-never --layers --format docker --target "$target" --tag "$image-$target" .
    expect "layers of $target beyond its base" 1 "$(($(layers_of "$image-$target") - $(layers_of "localhost/$base")))"
    mapfile -t command < <(of_image "$image-$target" '.Cmd[]')
    made=$(images from --pull-never "$image-$target")
    in_target() {
        ip netns exec "$net-master" buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs \
            run --isolation chroot "$made" -- "$@"
    }
    set -m
    in_target "${command[@]}" >"$work/$target.log" 2>&1 &
    pid=$!
    set +m
    running[$target]=$pid
    until [[ $(in_target "$cli" PING 2>/dev/null) == PONG ]]; do
        kill -0 "$pid" 2>/dev/null || die "$target ended: $(tail -n 5 "$work/$target.log")"
        sleep 0.5
    done
    expect "units in $target" 10 "$(in_target "$cli" INV.ADJUST PROD-123 10)"
    expect "the policy of $target" noeviction "$(in_target "$cli" CONFIG GET maxmemory-policy | tail -n 1)"
    in_target "$cli" SHUTDOWN NOSAVE >/dev/null 2>&1 || true
    wait "$pid" || true
    unset "running[$target]"
    images rm "$made" >/dev/null
}

# show_size WHAT IMAGE: prints the size of all files in the image, in MB.
show_size() {
    local made bytes
    made=$(images from --pull-never "$2")
    bytes=$(du --summarize --bytes "$(images mount "$made")" | cut -f 1)
    images umount "$made" >/dev/null
    images rm "$made" >/dev/null
    say "size of $1: $((bytes / 1000000)).$((bytes / 100000 % 10)) MB"
}

clean_up() {
    local service
    for service in "${!running[@]}"; do kill -- "-${running[$service]}" 2>/dev/null || true; done
    wait
    for service in "${!address[@]}"; do ip netns delete "$net-$service" 2>/dev/null || true; done
    images rm --all >/dev/null 2>&1 || true
}

main() {
    local rust valkey redis exporter program
    [[ $(id -u) == 0 ]] || die "this needs root, for debootstrap, network namespaces and buildah's chroot"
    for program in buildah debootstrap ip jq openssl; do
        have "$program" || die "this needs $program (Debian: buildah, debootstrap, iproute2, jq, openssl)"
    done
    mirror=$(debian_mirror) || die "apt on this machine has no Debian mirror; name one: DEBIAN_MIRROR=http://.../debian $0"
    cd "$root"
    mkdir -p "$work"
    trap clean_up EXIT
    rust=$(base rust) valkey=$(base valkey/valkey | head -n 1) redis=$(base redis)
    exporter=$(sed -nE 's|^ +image: (oliver006/.+)|\1|p' compose.yaml)
    make_base compose trixie docker-compose true
    say "--- reading compose.yaml"
    read_compose
    make_base "$rust" "${rust##*:}" ca-certificates,gcc,libc6-dev fill_rust
    make_base "$valkey" sid valkey-server,valkey-tools fill_data
    make_base "$redis" sid redis-server,redis-tools fill_data
    make_base "$exporter" trixie prometheus-redis-exporter,busybox fill_exporter \
        --entrypoint '["/redis_exporter"]' --user 59000:59000
    say "--- building the Dockerfile"
    images bud --isolation chroot --pull-never --layers --format docker --tag "$image" .
    say "--- running the services of compose.yaml"
    try_services
    try_target on-valkey "$valkey" valkey-cli
    try_target on-redis "$redis" redis-cli
    show_size "$valkey, with the server only" "localhost/$valkey"
    show_size "the image" "$image"
}

main "$@"

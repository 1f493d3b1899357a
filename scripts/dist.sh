#!/usr/bin/env bash
# Builds the package target/dist/redis-inventory-VERSION-linux-x86_64.tar.gz and a file with its checksum. It contains the
# module, redis.conf, the documents, the examples and the monitoring files, each with a checksum. Afterwards the package is
# unpacked and tried on a server.
#
# The package is reproducible: the same commit, Rust and C library give the same bytes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
export LC_ALL=C

# Only files that git tracks are packed. Everything else in the repository is for those who build from source.
readonly packed=(README.md CHANGELOG.md ARCHITECTURE.md SECURITY.md LICENSE redis.conf deny.toml docs examples monitoring tests/lua benches/results)

readonly work=$root/target/dist
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
name=redis-inventory-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
commit=$(git rev-parse --short=12 HEAD)
[[ -z $(git status --porcelain) ]] || commit+=" with changes that are not committed"

# The oldest version of glibc that provides every symbol the module uses.
needed_glibc() {
    have objdump || return 0
    objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1 | tr _ ' '
}

# Paths of this machine must not end up in the module: they would reveal its folders, and make the build unreproducible.
build() {
    local remap="--remap-path-prefix=$root= --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    RUSTFLAGS="${RUSTFLAGS:-} $remap" CARGO_TARGET_DIR=$work/build scripts/cargo.sh build --release --locked
    RUSTFLAGS="${RUSTFLAGS:-} $remap" CARGO_TARGET_DIR=$work/build scripts/cargo.sh build --release --locked --package redis-inventory-cli
    module=$(CARGO_TARGET_DIR=$work/build module_file)
    program=$work/build/release/inv
    if grep -qF -e "$root" -e "${CARGO_HOME:-$HOME/.cargo}" "$module" "$program"; then die "the package contains paths of this machine"; fi
}

# Replaces each link to a file that is not packed by its text.
mend_links() {
    local document link
    while read -r document; do
        while read -r link; do
            [[ -e $(dirname "$document")/$link ]] || LINK=$link perl -pi -e 's/(!?)\[([^\]]*)\]\(\Q$ENV{LINK}\E(#[^)]*)?\)/$2/g' "$document"
        done < <(grep -oE '\]\([^)#:]+' "$document" | cut -c 3- | sort -u)
    done < <(find "$1" -name '*.md')
}

write_install() {
    local rust glibc
    rust=$(rustc --version | cut -d ' ' -f 2)
    glibc=$(needed_glibc "$module")
    cat <<INSTALL
redis-inventory $version

Commit   $commit
Built    with Rust $rust for $(uname -s) $(uname -m)
Needs    Redis 7.2 or later, or Valkey 7.2 or later${glibc:+; $glibc or later (ldd --version)}

1. Verify the files:

       sha256sum --check SHA256SUMS

2. Install the module in a folder that the server can read and that belongs to root:

       install -D -m 755 ${module##*/} /usr/local/lib/redis-inventory/${module##*/}

3. Add these lines to the server's configuration. They load the module and protect the stock; redis.conf explains each:

       loadmodule /usr/local/lib/redis-inventory/${module##*/}
       appendonly yes
       maxmemory-policy noeviction
       propagation-error-behavior panic-on-replicas

   If the server has data but no AOF yet, appendonly yes in the configuration would make it start empty. Before you restart it,
   turn the AOF on, and wait until \`redis-cli INFO persistence\` reports aof_rewrite_in_progress:0 and aof_rewrite_scheduled:0:

       redis-cli CONFIG SET appendonly yes

4. Restart the replicas, then their master. Then try the module (in a cluster, see docs/cluster.md first):

       redis-cli INV.SET INSTALL-TEST AVAILABLE 100                              # 100
       redis-cli INV.RESERVE INSTALL-TEST EX 60 ITEMS INSTALL-TEST 2             # its id, its deadline in Unix ms, its items
       redis-cli INV.ROLLBACK INSTALL-TEST                                       # OK
       redis-cli DEL stock:available:INSTALL-TEST stock:reserved:INSTALL-TEST    # 2

The command inv imports, exports and shows stock: docs/inv.md. Copy it to /usr/local/bin, here or on any other machine.

README.md is the overview, docs/commands.md the reference, and docs/operations.md is for operators:

    upgrade   "Upgrade and downgrade": upgrade the replicas first. Never write over the file of a loaded module. Step 2 is safe:
              it replaces the file.
    remove    "Uninstalling": end the reservations first, then unload the module, beginning with the master. Without the module
              nothing returns reserved units.
INSTALL
}

pack() {
    local folder=$work/$name
    rm -rf "$folder" "$folder.tar.gz" "$folder.tar.gz.sha256"
    mkdir -p "$folder"
    git ls-files -z -- "${packed[@]}" | tar --null --files-from - --create | tar --extract --directory "$folder"
    cp "$module" "$program" "$folder/"
    chmod 755 "$folder/${module##*/}" "$folder/inv"
    write_install >"$folder/INSTALL"
    mend_links "$folder"
    (cd "$folder" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >"$work/SHA256SUMS")
    mv "$work/SHA256SUMS" "$folder/"
    tar --create --directory "$work" --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
        --mode=u+rwX,go+rX,go-w "$name" | gzip -9 --no-name >"$folder.tar.gz"
    rm -rf "$folder"
    (cd "$work" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
}

# Verifies the package and follows INSTALL on a server.
try() {
    local cli reply
    cli=$(SERVER=$server scripts/find-cli.sh)
    (cd "$work" && sha256sum --check --quiet "$name.tar.gz.sha256")
    tar --extract --gzip --file "$work/$name.tar.gz" --directory "$folder"
    (cd "$folder/$name" && sha256sum --check --quiet SHA256SUMS)
    start_server "$folder" "$server" "$folder/$name/redis.conf" --loadmodule "$folder/$name/${module##*/}"
    redis-cli() { "$cli" -p "$port" "$@"; }
    reply=$(eval "$(grep -E '^ {7}redis-cli ' "$folder/$name/INSTALL")" | tr '\n' ' ')
    [[ $reply == "OK 100 reservation_id INSTALL-TEST expires_at "*" items product_id INSTALL-TEST quantity 2 OK 2 " ]] ||
        die "the packed module does not answer as INSTALL says: $reply"
    "$folder/$name/inv" low --url "redis://127.0.0.1:$port" || die "the packed inv command does not work"
    stop_server
}

end() {
    stop_server
    rm -rf "$folder"
}

have perl || die "this needs perl"
build
server=$(scripts/find-server.sh)
folder=$(mktemp -d)
trap end EXIT
pack
try
say "packed and tried on $(server_name "$server"):"
(cd "$work" && cat "$name.tar.gz.sha256" && du -h "$name.tar.gz" | cut -f 1) >&2
printf '%s\n' "$work/$name.tar.gz"

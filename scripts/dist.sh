#!/usr/bin/env bash
# Packs the module, redis.conf, the documents, the examples and the monitoring files, each with its checksum:
# target/dist/redis-inventory-VERSION-linux-x86_64.tar.gz, and its own checksum beside it. What was packed is unpacked again
# and tried on a server.
#
# The same commit, Rust and C library give the same bytes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
export LC_ALL=C

# Of what git knows; the rest of the repository is for those who build.
readonly packed=(README.md CHANGELOG.md ARCHITECTURE.md SECURITY.md LICENSE redis.conf deny.toml docs examples monitoring tests/lua benches/results)

readonly work=$root/target/dist
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
name=redis-inventory-$version-$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
commit=$(git rev-parse --short=12 HEAD)
[[ -z $(git status --porcelain) ]] || commit+=" with changes that are not committed"

# The least C library that has all that the module asks for.
needed_glibc() {
    have objdump || return 0
    objdump -T "$1" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -n 1 | tr _ ' '
}

# Where the sources lie on the machine that builds is nobody's business, and would make each build another.
build() {
    local remap="--remap-path-prefix=$root= --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    RUSTFLAGS="${RUSTFLAGS:-} $remap" CARGO_TARGET_DIR=$work/build scripts/cargo.sh build --release --locked
    module=$(CARGO_TARGET_DIR=$work/build module_file)
    if grep -qF -e "$root" -e "${CARGO_HOME:-$HOME/.cargo}" "$module"; then die "the module names folders of this machine"; fi
}

# A link to what is not packed becomes its text; all others lead somewhere.
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

1. Check what you have:

       sha256sum --check SHA256SUMS

2. Put the module where the server may read it, and belongs to root:

       install -D -m 755 ${module##*/} /usr/local/lib/redis-inventory/${module##*/}

3. Name it in the server's configuration, with what keeps the stock; redis.conf here says why, and has more to choose from:

       loadmodule /usr/local/lib/redis-inventory/${module##*/}
       appendonly yes
       maxmemory-policy noeviction
       propagation-error-behavior panic-on-replicas

   A server that has data and no AOF yet would start empty with the second line. Before you restart it, let it write one, and
   wait until \`redis-cli INFO persistence\` says aof_rewrite_in_progress:0 and aof_rewrite_scheduled:0:

       redis-cli CONFIG SET appendonly yes

4. Restart the server; replicas first, then their master. Then ask it (in a cluster: docs/cluster.md):

       redis-cli INV.SET INSTALL-TEST AVAILABLE 100                              # 100
       redis-cli INV.RESERVE INSTALL-TEST EX 60 ITEMS INSTALL-TEST 2             # the id, when it ends in Unix ms, what it holds
       redis-cli INV.ROLLBACK INSTALL-TEST                                       # OK
       redis-cli DEL stock:available:INSTALL-TEST stock:reserved:INSTALL-TEST    # 2

README.md is the overview, docs/commands.md the reference, and docs/operations.md is for operators:

    upgrade   "Upgrade and downgrade": replicas first. Never copy over the module of a running server; step 2 puts the new file in
              the place of the old one, which is safe.
    remove    "Uninstalling": the reservations first, then the module, on the master first. Without it nobody gives units back.
INSTALL
}

pack() {
    local folder=$work/$name
    rm -rf "$folder" "$folder.tar.gz" "$folder.tar.gz.sha256"
    mkdir -p "$folder"
    git ls-files -z -- "${packed[@]}" | tar --null --files-from - --create | tar --extract --directory "$folder"
    cp "$module" "$folder/"
    chmod 755 "$folder/${module##*/}"
    write_install >"$folder/INSTALL"
    mend_links "$folder"
    (cd "$folder" && find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum >"$work/SHA256SUMS")
    mv "$work/SHA256SUMS" "$folder/"
    tar --create --directory "$work" --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
        --mode=u+rwX,go+rX,go-w "$name" | gzip -9 --no-name >"$folder.tar.gz"
    rm -rf "$folder"
    (cd "$work" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
}

# try: what INSTALL says.
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
        die "what was packed does not answer as INSTALL says: $reply"
    stop_server
}

end() {
    stop_server
    rm -rf "$folder"
}

have perl || die "it needs perl"
build
server=$(scripts/find-server.sh)
folder=$(mktemp -d)
trap end EXIT
pack
try
say "packed and tried on $(server_name "$server"):"
(cd "$work" && cat "$name.tar.gz.sha256" && du -h "$name.tar.gz" | cut -f 1) >&2
printf '%s\n' "$work/$name.tar.gz"

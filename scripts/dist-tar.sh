#!/usr/bin/env bash
# scripts/dist-tar.sh MODULE FOLDER [INV]: makes redis-inventory-VERSION-linux-x86_64.tar.gz in FOLDER. It contains the module, the
# inv command if its file is given, redis.conf, the documents, the examples and the monitoring files, each with a checksum.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
# shellcheck source=scripts/dist-lib.sh
. "$root/scripts/dist-lib.sh"

readonly module=$1 out=$2 program=${3:-}
machine=$(machine_of "$module")
system=$(uname -s | tr '[:upper:]' '[:lower:]')
readonly name=redis-inventory-$version-$system-$machine

write_install() {
    local rust glibc
    rust=$(rustc --version | cut -d ' ' -f 2)
    glibc=$(needed_version "$module" GLIBC)
    cat <<INSTALL
redis-inventory $version

Commit   $commit
Built    with Rust $rust for $(uname -s) $machine
Needs    Redis 7.2 or later, or Valkey 7.2 or later${glibc:+; glibc $glibc or later (ldd --version)}

Verify the files, and install the module where the server can read it:

    sha256sum --check SHA256SUMS
    install -D -m 755 ${module##*/} /usr/lib/redis-inventory/${module##*/}

Then configure the server and try the module: docs/installing.md, "Configure the server". README.md is the overview,
docs/commands.md the reference, and docs/operations.md is for operators: upgrading, removing, backups, monitoring.
INSTALL
    [[ -z $program ]] || cat <<INSTALL

The command inv imports, exports and shows stock: docs/inv.md. Copy it to /usr/local/bin, here or on any other machine.
INSTALL
}

part=$(mktemp -d)
readonly folder=$part/$name
mkdir "$folder"
lay_documents "$folder"
install -m 755 "$module" ${program:+"$program"} "$folder/"
write_install >"$folder/INSTALL"
list_sums "$folder" sha256sum >"$part/SHA256SUMS"
mv "$part/SHA256SUMS" "$folder/"
tar --create --directory "$part" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --mode=u+rwX,go+rX,go-w "$name" | gzip -9 --no-name >"$out/$name.tar.gz"

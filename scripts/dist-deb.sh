#!/usr/bin/env bash
# scripts/dist-deb.sh MODULE FOLDER: makes the Debian package in FOLDER, with dpkg-deb. The module is in /usr/lib/redis-inventory:
# Debian's services of Redis and Valkey may load code only from /usr/lib. The package changes no configuration and starts nothing.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
# shellcheck source=scripts/dist-lib.sh
. "$root/scripts/dist-lib.sh"

readonly module=$1 out=$2
architecture=$(debian_machine "$(machine_of "$module")")
readonly revision=$version-1
readonly maintainer="The redis-inventory maintainers <maintainers@redis-inventory.invalid>"

# The packages of the libraries that the module needs, in the oldest version that has every symbol it uses.
dependencies() {
    local library found=()
    while read -r library; do
        case $library in
            libc.so.6 | libm.so.6 | libdl.so.2 | libpthread.so.0 | ld-linux*) found+=("libc6 (>= $(needed_version "$module" GLIBC))") ;;
            libgcc_s.so.1) found+=("libgcc-s1 (>= $(needed_version "$module" GCC))") ;;
            *) die "the module needs $library: name its package in $0" ;;
        esac
    done < <(readelf --dynamic --wide "$module" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
    printf '%s\n' "${found[@]}" | sort -u | paste -sd , | sed 's/,/, /g'
}

write_control() {
    cat <<CONTROL
Package: redis-inventory
Version: $revision
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $1
Depends: $(dependencies)
Recommends: redis-server (>= 5:7.2) | valkey-server (>= 7.2)
Section: database
Priority: optional
Description: stock reservations for Redis and Valkey
 A module for Redis and Valkey that reserves stock. It holds units while a
 customer pays, and then sells them or puts them back. If the customer
 disappears, the units return by themselves at the deadline.
 .
 /usr/share/doc/redis-inventory/docs/installing.md says how to load it.
CONTROL
}

write_copyright() {
    cat <<COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: redis-inventory
Comment: docs/supply-chain.md in this folder lists the libraries that are
 compiled into the module, with their licences.

Files: *
Copyright: $(sed -nE 's/^Copyright \(c\) //p' LICENSE)
License: Expat
$(sed -n '/^Permission/,$p' LICENSE | sed 's/^$/./; s/^/ /')
COPYRIGHT
}

write_changelog() {
    cat <<CHANGELOG
redis-inventory ($revision) unstable; urgency=medium

  * changelog.gz in this folder has the changes.

 -- $maintainer  $(date --utc --date "@$SOURCE_DATE_EPOCH" '+%a, %d %b %Y %H:%M:%S +0000')
CHANGELOG
}

part=$(mktemp -d)
readonly folder=$part/root
readonly documents=$folder/usr/share/doc/redis-inventory shared=$folder/usr/share/redis-inventory
mkdir -p "$documents" "$shared" "$folder/DEBIAN"
install -D -m 644 "$module" "$folder/usr/lib/redis-inventory/${module##*/}"
lay_documents "$documents"
# dpkg may be set up to leave out /usr/share/doc, as in container images. What programs read is therefore elsewhere.
mv "$documents"/{redis.conf,monitoring} "$shared/"
ln -s ../../redis-inventory/{redis.conf,monitoring} "$documents/"
write_copyright >"$documents/copyright"
gzip -9 --no-name <"$documents/CHANGELOG.md" >"$documents/changelog.gz"
write_changelog | gzip -9 --no-name >"$documents/changelog.Debian.gz"
rm "$documents/LICENSE"
chmod -R u+rwX,go+rX,go-w "$folder"
# The server loads only a module that may be executed.
chmod 755 "$folder/usr/lib/redis-inventory/${module##*/}"
find "$folder/usr/share" -type f -exec chmod 644 {} +
size=$(find "$folder/usr" -type f -printf '%s\n' | awk '{sum += int(($1 + 1023) / 1024)} END {print sum}')
(cd "$folder" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$part/md5sums"
mv "$part/md5sums" "$folder/DEBIAN/"
write_control "$size" >"$folder/DEBIAN/control"
# dpkg-deb changes only the times that are newer.
find "$folder" -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build -Zxz --threads-max=1 "$folder" "$out/redis-inventory_${revision}_$architecture.deb" >&2

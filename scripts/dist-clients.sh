#!/usr/bin/env bash
# Builds the packages of clients/ into target/dist: a wheel for Python and a tarball for npm, with a file of checksums. Each is then
# installed into an empty environment, with a client library from its registry, and used on a server.
#
#     scripts/dist-clients.sh MODULE SERVER
#
# Both packages are reproducible: the same commit and the same tools give the same bytes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

module=$1
program=$2
readonly work=$root/target/dist
version=$(sed -nE 's/^version = "(.*)"/\1/p' Cargo.toml | head -n 1)
readonly wheel=redis_inventory-$version-py3-none-any.whl tarball=redis-inventory-$version.tgz
folder=

end() {
    stop_server
    [[ -z $folder ]] || rm -rf "$folder"
    [[ -z $part ]] || rm -rf "$part"
}
trap end EXIT

# Only what git tracks is packed. The licence is a link in the repository, and a file in the packages.
stage() {
    mkdir -p "$folder/$1"
    git ls-files -z -- "clients/$1" | tar --null --files-from - --create --dereference --transform "s|^clients/$1|.|" |
        tar --extract --directory "$folder/$1"
}

build_wheel() {
    grep -qx "version = \"$version\"" clients/python/pyproject.toml || die "clients/python has another version than Cargo.toml"
    stage python
    (cd "$folder/python" && SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct) \
        PYTHONPATH=$INV_PYTHON_CLIENTS python3 -m flit_core.wheel --outdir "$folder/built" .) >&2
    cp "$folder/built/$wheel" "$work/$wheel"
}

build_tarball() {
    grep -q "^  \"version\": \"$version\",$" clients/typescript/package.json || die "clients/typescript has another version than Cargo.toml"
    stage typescript
    ln -s "$root/clients/typescript/node_modules" "$folder/typescript/node_modules"
    (cd "$folder/typescript" && node node_modules/typescript/bin/tsc --project tsconfig.build.json &&
        npm pack --silent --ignore-scripts --pack-destination "$folder/built") >&2
    cp "$folder/built/$tarball" "$work/$tarball"
}

# first_block LANGUAGE DOCUMENT: the first block of code in this language.
first_block() { awk -v fence="\`\`\`$1" '$0 == fence {block++; next} /^```/ {block++} block == 1 {print}' "$2"; }

# The README of each package shows a checkout. It is run as it stands, except that the server has another port.
try_wheel() {
    python3 -m venv "$folder/venv" >&2 || die "python3 cannot make an empty environment (Debian, Ubuntu: python3-venv)"
    "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --constraint clients/python/tests/requirements.txt "$work/${wheel}[redis]" >&2
    first_block python clients/python/README.md | sed "s/redis\.Redis(/&port=$port, /" >"$folder/checkout.py"
    printf '\nfound = shop.get("order-1")\nassert found and found.state == "committed", found\nprint(found)\n' >>"$folder/checkout.py"
    (cd "$folder" && venv/bin/python checkout.py) >&2 || die "the wheel does not work"
}

try_tarball() {
    local library
    library=$(node -p "require('./clients/typescript/package.json').devDependencies.redis")
    mkdir "$folder/app"
    (cd "$folder/app" && npm init --yes >/dev/null && npm install --silent --no-audit --no-fund "$work/$tarball" "redis@$library" >&2)
    first_block ts clients/typescript/README.md | grep -v 'shop.feed' | sed "s/createClient()/createClient({ url: \"redis:\/\/127.0.0.1:$port\" })/" >"$folder/app/checkout.mjs"
    cat >>"$folder/app/checkout.mjs" <<'PROGRAM'
const found = await shop.get("order-1");
if (found?.state !== "committed") throw new Error(JSON.stringify(found));
console.log(found);
process.exit();
PROGRAM
    (cd "$folder/app" && node checkout.mjs) >&2 || die "the npm tarball does not work"
    # Its types are found, also without this repository's settings: a wrong call is an error.
    cp "$folder/app/checkout.mjs" "$folder/app/checkout.mts"
    printf '// @ts-expect-error there is no such option\nvoid shop.reserve("order-2", { SHOE: 1 }, { minutes: 15 });\n' >>"$folder/app/checkout.mts"
    ln -s "$root/clients/typescript/node_modules/@types" "$folder/app/node_modules/@types"
    (cd "$folder/app" && node "$root/clients/typescript/node_modules/typescript/bin/tsc" --noEmit --strict --module nodenext \
        --target es2022 --types node --skipLibCheck checkout.mts) >&2 || die "the types of the npm tarball do not fit"
}

main() {
    local exports
    exports=$(scripts/setup-python-clients.sh) && eval "$exports"
    exports=$(scripts/setup-typescript-client.sh) && eval "$exports"
    folder=$(mktemp -d)
    mkdir -p "$work" "$folder/built"
    rm -f "$work"/redis_inventory-*.whl "$work"/redis-inventory-*.tgz "$work/clients.sha256"
    build_wheel
    build_tarball
    (cd "$work" && sha256sum "$wheel" "$tarball" >clients.sha256)
    mkdir "$folder/server"
    for try in try_wheel try_tarball; do
        start_server "$folder/server" "$program" --save '' --loadmodule "$module"
        "$try"
        stop_server
    done
    say "built, installed into an empty environment, and tried on $(server_name "$program"):"
    cat "$work/clients.sha256" >&2
}

main

#!/usr/bin/env bash
# Counts with valgrind how many instructions the server executes for each command: in total, and in the module's own code. Use it
# to compare two commits. The total includes the server's periodic work and can be 10% higher on a busy machine; the module's own
# count varies by less than 1%. It uses the release module and the server in SERVER, or the one that is found, and takes about
# two minutes.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

exports=$(scripts/setup-valgrind.sh)
eval "$exports"
scripts/cargo.sh build --release
server=$(scripts/find-server.sh)
cli=$(scripts/find-cli.sh)
module=$PWD/${CARGO_TARGET_DIR:-target}/release/libredis_inventory.so
folder=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; rm -rf "$folder"' EXIT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# A fetched server is started by a wrapper script, so valgrind has to follow child processes.
valgrind --tool=callgrind --trace-children=yes --instr-atstart=no --callgrind-out-file="$folder/out.%p" \
    "$server" --port "$port" --bind 127.0.0.1 --dir "$folder" --save "" --loadmodule "$module" \
    >"$folder/log" 2>&1 &
pid=$!
ask() { "$cli" -p "$port" "$@"; }
for _ in $(seq 240); do
    [[ $(ask PING 2>/dev/null) != PONG ]] || break
    sleep 0.5
done
[[ $(ask PING) == PONG ]] || die "bench-instructions: the server did not start: $(tail -3 "$folder/log")"
server_pid=$(ask INFO server | tr -d '\r' | sed -n 's/^process_id://p')

times=2000
for sku in P Q R S T; do ask SET "stock:available:$sku" 1000000000 >/dev/null; done
# count COMMAND: runs it $times times, with # replaced by the number of the run. Prints the instructions of one run: all, and own.
count() {
    local commands
    commands=$(for n in $(seq "$times"); do printf '%s\n' "${1//#/$n}"; done)
    callgrind_control --instr=on "$server_pid" >/dev/null 2>&1
    callgrind_control --zero "$server_pid" >/dev/null 2>&1
    ask <<<"$commands" >/dev/null
    callgrind_control --dump=it "$server_pid" >/dev/null 2>&1
    callgrind_control --instr=off "$server_pid" >/dev/null 2>&1
    local dump
    dump=$(find "$folder" -name "out.$server_pid.*" -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
    # A line of costs belongs to the object in the last ob= line, except the line after calls=, which is the callee's cost.
    awk -v times="$times" '
        /^c?ob=/ {
            number = name = substr($0, index($0, "(") + 1)
            sub(/\).*/, "", number)
            if (sub(/^[^ ]* /, "", name)) names[number] = name
            if (/^ob=/) is_own = names[number] ~ /libredis_inventory\.so$/
        }
        /^calls=/ { is_call = 1; next }
        /^[0-9+*-]/ { if (is_own && !is_call) own += $NF; is_call = 0 }
        /^(summary|totals):/ { all = $2 }
        END { printf "%d %d", all / times, own / times }' "$dump"
}

read -r base own <<<"$(count PING)"
printf '| command | instructions | beyond PING | in the module |\n| --- | ---: | ---: | ---: |\n| PING | %d | | %d |\n' "$base" "$own"
while read -r command; do
    read -r all own <<<"$(count "$command")"
    printf '| %s | %d | %d | %d |\n' "$command" "$all" $((all - base)) "$own"
done <<'COMMANDS'
SET plain:# text PX 900000
INV.RESERVE r# EX 900 ITEMS P 1
INV.RESERVE r# EX 900 ITEMS P 1
INV.RESERVE x# EX 900 ITEMS P 2000000000
INV.RESERVE f# EX 900 ITEMS P 1 Q 1 R 1 S 1 T 1
INV.GET r#
INV.EXTEND r# EX 1000
INV.COMMIT r#
INV.COMMIT r#
INV.ROLLBACK f#
INV.STOCK P
INV.ADJUST P 1
COMMANDS
ask SHUTDOWN NOSAVE >/dev/null 2>&1 || true
wait "$pid" || true
pid=

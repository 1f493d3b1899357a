#!/usr/bin/env bash
# Counts with valgrind how many instructions the server executes for each command: in total, and in the module's own code.
#
#     scripts/bench-instructions.sh           prints a table, to compare two commits. It uses the server in SERVER, or the one
#                                             that is found, and takes about two minutes
#     scripts/bench-instructions.sh --check   fails if a command needs more of the module's instructions than its budget in
#                                             benches/instructions.budget allows; CI runs it
#     scripts/bench-instructions.sh --write   writes the present counts into that file as the new budget
#
# The total includes the server's periodic work and can be 10% higher on a busy machine. The module's own count of a command with
# one line varies by less than 1%. With five lines it varies by up to 7%, because the hash seed of the module is random, so the
# budget has commands with one line only. A budget is for one version of the server: a server of another version calls the module
# in other ways. --check and --write use the server of that version in .servers, or SERVER.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

readonly budget=benches/instructions.budget
# The version that a budget is for, as the folders in .servers are named.
readonly budget_server=valkey-8.0
# The rise in percent that --write allows.
readonly allowed=3

mode=${1:-}
case $mode in
"" | --check | --write) ;;
*) die "unknown option $mode: --check, --write" ;;
esac

if [[ -n $mode ]]; then
    server=${SERVER:-}
    if [[ -z $server || $(server_name "$server") != "$budget_server" ]]; then server=.servers/$budget_server/bin/valkey-server; fi
    if [[ ! -x $server ]]; then
        say "instructions: skipped. The budget is for $budget_server, which is not here. Fetch it with: make servers"
        exit 0
    fi
    SERVER=$server
    export SERVER
fi

exports=$(scripts/setup-valgrind.sh)
eval "$exports"
scripts/cargo.sh build --release
server=$(scripts/find-server.sh)
cli=$(scripts/find-cli.sh)
module=$(module_file)
rust=$(scripts/cargo.sh --version | awk '{print $2}')
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
for sku in P Q R S T U; do ask SET "stock:available:$sku" 1000000000 >/dev/null; done

# run COMMAND: runs it $times times, with # replaced by the number of the run.
run() {
    local commands
    commands=$(for n in $(seq "$times"); do printf '%s\n' "${1//#/$n}"; done)
    ask <<<"$commands" >/dev/null
}

# count COMMAND: runs it and prints the instructions of one run: all, and the module's own.
count() {
    callgrind_control --instr=on "$server_pid" >/dev/null 2>&1
    callgrind_control --zero "$server_pid" >/dev/null 2>&1
    run "$1"
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

# Each line is a name and a command. Commands of a name with a minus are run but not counted, and those with an asterisk are not
# in the budget. The order matters: COMMIT ends what RESERVE has made.
commands() {
    cat <<'COMMANDS'
SET*: SET plain:# text PX 900000
RESERVE: INV.RESERVE r# EX 900 ITEMS P 1
RESERVE again: INV.RESERVE r# EX 900 ITEMS P 1
RESERVE refused: INV.RESERVE x# EX 900 ITEMS P 2000000000
RESERVE of 5 lines*: INV.RESERVE f# EX 900 ITEMS P 1 Q 1 R 1 S 1 T 1
GET: INV.GET r#
EXTEND: INV.EXTEND r# EX 1000
COMMIT: INV.COMMIT r#
COMMIT again: INV.COMMIT r#
-: INV.RESERVE b# EX 900 ITEMS P 1
ROLLBACK: INV.ROLLBACK b#
ROLLBACK of 5 lines*: INV.ROLLBACK f#
STOCK: INV.STOCK P
ADJUST: INV.ADJUST P 1
-: INV.FLOOR T -5
RESERVE with a floor*: INV.RESERVE w# EX 900 ITEMS T 1
FLOOR*: INV.FLOOR T #
-: INV.LIMIT U 1000
RESERVE with a buyer*: INV.RESERVE y# EX 900 BUYER b# ITEMS P 1
RESERVE with a limit*: INV.RESERVE z# EX 900 BUYER b# ITEMS U 1
COMMANDS
}

# Calls a function for each counted command: its name, the command, all instructions, the module's own.
each_count() {
    local name command all own
    while IFS= read -r command; do
        name=${command%%: *} command=${command#*: }
        if [[ $name == - ]]; then
            run "$command"
            continue
        fi
        [[ -z $mode || $name != *"*" ]] || continue
        read -r all own <<<"$(count "$command")"
        "$1" "${name%"*"}" "$command" "$all" "$own"
    done < <(commands)
}

row() { printf '| %s | %s | %d | %d | %d |\n' "$1" "$2" "$3" $(($3 - base)) "$4"; }

# One line of the budget: name, instructions, allowed rise in percent.
line() { printf '%-16s %6d %3d%%\n' "$1" "$4" "$allowed"; }

failures=()
compare() {
    local name=$1 own=$4 limit rise change
    read -r limit rise < <(sed -nE "s/^$name +([0-9]+) +([0-9]+)%$/\1 \2/p" "$budget") || true
    if [[ -z ${limit:-} ]]; then
        failures+=("$name is not in the budget")
        return
    fi
    change=$(awk -v own="$own" -v limit="$limit" 'BEGIN {printf "%+.1f%%", 100 * (own / limit - 1)}')
    printf '%-16s %6d of %6d  %s\n' "$name" "$own" "$limit" "$change"
    ((100 * own <= (100 + rise) * limit)) ||
        failures+=("$name takes $own instructions, $change; its budget is $limit and $rise% more")
}

case $mode in
"")
    read -r base own <<<"$(count PING)"
    printf '| operation | command | instructions | beyond PING | in the module |\n| --- | --- | ---: | ---: | ---: |\n'
    printf '| PING | PING | %d | | %d |\n' "$base" "$own"
    each_count row
    ;;
--write)
    {
        printf '# Instructions a call in the code of the module, and the allowed rise. Written by scripts/bench-instructions.sh --write,\n'
        printf '# with %s and Rust %s. Commit it together with the change that explains the difference.\n' "$budget_server" "$rust"
        each_count line
    } >"$folder/budget"
    cp "$folder/budget" "$budget"
    cat "$budget"
    ;;
--check)
    each_count compare
    if ((${#failures[@]} > 0)); then
        written_with=$(sed -nE 's/.* and Rust ([0-9.]+)\..*/\1/p' "$budget")
        [[ $written_with == "$rust" ]] ||
            failures+=("The budget was written with Rust $written_with, and this is Rust $rust, which may be the whole difference")
        die "the module executes more instructions than $budget allows:
$(printf '    %s\n' "${failures[@]}")
If the change is worth it, update the budget with: scripts/bench-instructions.sh --write"
    fi
    ;;
esac
ask SHUTDOWN NOSAVE >/dev/null 2>&1 || true
wait "$pid" || true
pid=

#!/usr/bin/env bash
# Runs a cluster on this machine, to try the module with: three masters and three replicas, in the background.
#
#     scripts/cluster.sh start    starts the nodes, makes them a cluster the first time, and says how to try it. If only some of
#                                 them run (one was killed to see the failover), it starts the others again.
#     scripts/cluster.sh stop     ends the nodes. Their data are kept: the next start brings the same cluster back.
#
# CLUSTER_PORT (default 7001) is the first of twelve ports: six for clients, and six for the cluster bus.
# CLUSTER_DATA (default data/cluster) is the folder for the data. INV_MODULE names a module that is already built.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# Nodes are identified by the paths of their folders, so these must be free of symbolic links.
cd -P "$root"

readonly usual=7001 first=${CLUSTER_PORT:-7001}
# In seconds: how long a node may take to become ready, and how long to end.
readonly patience=60 grace=10
readonly product=PROD-123

if ! [[ $first =~ ^[1-9][0-9]{0,4}$ ]] || ((first + 11 > 65535)); then
    die "CLUSTER_PORT=$first must be the first of twelve ports, at most 65524"
fi
readonly masters=("$first" $((first + 1)) $((first + 2)))
readonly replicas=($((first + 3)) $((first + 4)) $((first + 5)))
readonly ports=("${masters[@]}" "${replicas[@]}")

# The data of all clusters are in one folder, as SERVER-VERSION/FIRST-PORT/PORT.
clusters=${CLUSTER_DATA:-data/cluster}
home=
server=
module=
# The folders of the nodes that this run of the script has started.
started=()

# --- a node and its process ---

bus_port() { echo $(($1 + ${#ports[@]})); }

# Prints nothing for a process that has ended, even if it was not reaped yet. Some images lack ps, so /proc is used if it exists.
command_of() {
    if [[ -d /proc/self ]]; then
        { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true
    else
        ps -ww -o command= -p "$1" 2>/dev/null || true
    fi
}

# pid_in FOLDER: prints the process id of the node that has its data in FOLDER, and fails if it does not run. A pid file survives
# a kill -9 and a reboot, and its number may then belong to another process, so the process must have FOLDER in its arguments.
pid_in() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
    [[ $(command_of "$pid") == *" --dir $1 --"* ]] || return 1
    printf '%s\n' "$pid"
}

runs() { pid_in "$home/$1" >/dev/null; }

# tell PORT WORD ...: sends a command and expects OK.
tell() {
    local reply
    reply=$(ask "$@")
    [[ $reply == +OK* ]] || die "the node at $1 answered ${*:2} with: ${reply:-nothing}"
}

# end FOLDER ...: ends the nodes that have their data there. Their AOFs keep what they know.
end() {
    local folder pid deadline=$((SECONDS + grace))
    # All at once, so that no failover begins.
    for folder in "$@"; do
        if pid=$(pid_in "$folder"); then kill "$pid" 2>/dev/null || true; fi
    done
    for folder in "$@"; do
        while pid=$(pid_in "$folder"); do
            if ((SECONDS >= deadline)); then
                say "cluster: the node at ${folder##*/} (process $pid) did not end within $grace s; sending kill -9"
                kill -9 "$pid" 2>/dev/null || true
            fi
            sleep 0.1
        done
        rm -f "$folder/pid"
    done
}

# --- running clusters ---

# running_at FIRST_PORT: the folders of the running nodes, whatever their server.
running_at() {
    local folder
    for folder in "$clusters"/*/"$1"/*; do
        if pid_in "$folder" >/dev/null; then printf '%s\n' "$folder"; fi
    done
}

# The variables with which make addresses this cluster, if it is not the default one.
options() {
    [[ $first == "$usual" ]] || printf ' CLUSTER_PORT=%s' "$first"
    [[ -z ${CLUSTER_DATA:-} ]] || printf ' CLUSTER_DATA=%q' "$CLUSTER_DATA"
}

# --- start ---

# Undoes a start that failed or was interrupted. Nodes that ran before keep running.
undo() {
    local status=$?
    trap '' INT TERM
    if ((status != 0 && ${#started[@]} > 0)); then
        say "cluster: ending the nodes that were started ..."
        # The last node may not have written its pid file yet.
        wait_for_pid "${started[${#started[@]} - 1]}" 2 || true
        end "${started[@]}"
        [[ -e $home/made ]] || rm -rf "$home"
    fi
    exit "$status"
}

# A running cluster keeps its server.
choose_server() {
    local running asked
    running=$(running_at "$first")
    if [[ -z $running ]]; then
        server=$(scripts/find-server.sh)
        home=$clusters/$(server_name "$server")/$first
        return
    fi
    home=$(dirname "${running%%$'\n'*}")
    server=$(cat "$home/server")
    [[ -n ${SERVER:-} ]] || return 0
    asked=$(scripts/find-server.sh)
    if [[ $(server_name "$asked") != "$(server_name "$server")" ]]; then
        die "a cluster of $server uses these ports. End it first: make cluster-stop$(options)"
    fi
    server=$asked
}

# check_ports NODE ...: the ports of these nodes must be free.
check_ports() {
    local node port other=$((first < 60000 ? first + 1000 : usual))
    for node in "$@"; do
        for port in "$node" "$(bus_port "$node")"; do
            if is_in_use "$port"; then
                die "port $port is in use; the cluster needs the ports $first to $((first + 11)).
Choose others: make cluster CLUSTER_PORT=$other"
            fi
        done
    done
}

find_module() {
    if [[ -z ${INV_MODULE:-} ]]; then
        scripts/cargo.sh build --release
        module=$(module_file)
    elif [[ -f $INV_MODULE ]]; then
        module=$(cd "$(dirname "$INV_MODULE")" && pwd)/$(basename "$INV_MODULE")
    else
        die "INV_MODULE=$INV_MODULE is not a file"
    fi
}

# give_up PORT WHAT
give_up() {
    say "the last warnings in $(short "$home/$1/log"):"
    { grep ' # ' "$home/$1/log" 2>/dev/null || true; } | tail -n 5 | sed 's/^/    /' >&2
    die "the node at $1 $2"
}

# wait_for_pid FOLDER SECONDS
wait_for_pid() {
    local deadline=$((SECONDS + $2))
    until [[ -s $1/pid ]]; do
        ((SECONDS < deadline)) || return 1
        sleep 0.02
    done
}

# launch PORT: starts a node and waits until its process id is known, so that it can be ended.
launch() {
    local folder=$home/$1 configuration
    started+=("$folder")
    mkdir -p "$folder"
    configuration=$(own_configuration "$folder" "$module")
    rm -f "$folder/pid"
    # The old log may explain a crash, so it is kept.
    [[ ! -e $folder/log ]] || mv "$folder/log" "$folder/log.before"
    # A process title would hide the folder by which the process is identified. The node timeout is shorter than the default (15 s),
    # because a person waits for the failover. The delay is 0 because each master has one replica only.
    "$server" "$configuration" --port "$1" --cluster-enabled yes --cluster-port "$(bus_port "$1")" --dir "$folder" \
        --cluster-node-timeout 3000 --repl-diskless-sync-delay 0 --set-proc-title no \
        --daemonize yes --pidfile "$folder/pid" --logfile "$folder/log" --loadmodule "$module" >&2 ||
        give_up "$1" "does not start"
    wait_for_pid "$folder" "$grace" || give_up "$1" "does not start"
}

wait_for_answer() {
    local reply deadline=$((SECONDS + patience))
    while true; do
        reply=$(ask "$1" PING)
        [[ $reply != +PONG* ]] || return 0
        # Loading a long AOF takes time.
        [[ $reply != -LOADING* ]] || deadline=$((SECONDS + patience))
        runs "$1" || give_up "$1" "has ended"
        ((SECONDS < deadline)) || give_up "$1" "does not answer"
        sleep 0.1
    done
}

# first_without CHECK: prints the first node for which CHECK fails, or nothing if it succeeds for all.
first_without() {
    local port
    for port in "${ports[@]}"; do
        if ! "$1" "$port"; then
            printf '%s\n' "$port"
            return
        fi
    done
}

# wait_until_all CHECK WORDS: waits until CHECK succeeds for every node at the same time.
wait_until_all() {
    local port deadline=$((SECONDS + patience))
    while port=$(first_without "$1") && [[ -n $port ]]; do
        runs "$port" || give_up "$port" "has ended"
        if ((SECONDS >= deadline)); then
            ask "$port" CLUSTER NODES >&2
            give_up "$port" "$2, after $patience s still"
        fi
        sleep 0.1
    done
}

has_met_all() {
    ask "$1" CLUSTER NODES |
        awk -v all="${#ports[@]}" '$3 !~ /handshake|noaddr/ && $8 == "connected" {met++} END {exit met != all}'
}

# The node reports a healthy cluster, knows the expected number of replicas and, if it is a replica, is in sync.
is_ready() {
    local info
    [[ $(ask "$1" CLUSTER INFO) == *cluster_state:ok* ]] || return 1
    ask "$1" CLUSTER NODES | awk -v all="${#ports[@]}" -v wanted="${#replicas[@]}" '
        $3 !~ /fail|handshake|noaddr/ && $8 == "connected" {healthy++}
        $3 ~ /slave/ {replicas++}
        END {exit healthy != all || replicas != wanted}' || return 1
    info=$(ask "$1" INFO replication)
    [[ $info == *role:master* || $info == *master_link_status:up* ]]
}

# Does what `--cluster create` of the cli does: not every cli supports unusual bus ports.
make_cluster() {
    local number port id slots=(0 5461 10923 16384)
    for number in "${!ports[@]}"; do tell "${ports[number]}" CLUSTER SET-CONFIG-EPOCH $((number + 1)); done
    for number in "${!masters[@]}"; do
        tell "${masters[number]}" CLUSTER ADDSLOTSRANGE "${slots[number]}" $((slots[number + 1] - 1))
    done
    for port in "${ports[@]:1}"; do tell "$port" CLUSTER MEET 127.0.0.1 "$first" "$(bus_port "$first")"; done
    wait_until_all has_met_all "has not met all others"
    for number in "${!masters[@]}"; do
        id=$(ask "${masters[number]}" CLUSTER MYID | sed -n 2p)
        tell "${replicas[number]}" CLUSTER REPLICATE "$id"
    done
}

# show WORDS: prints how to try the cluster. The masters may have changed since the last failover.
show() {
    local cli port master role owner='' heir='' entry
    cli=$(cli_to_type "$server")
    # Only the owner answers; all other nodes redirect.
    for port in "${ports[@]}"; do
        if [[ $(ask "$port" EXISTS "stock:available:{$product}") == :* ]]; then owner=$port; fi
    done
    # The commands start at a node that survives the failover.
    entry=$first
    [[ $owner != "$first" ]] || entry=$((first + 1))

    say ""
    say "$1 Data and logs: $(short "$home")"
    say ""
    for port in "${ports[@]}"; do
        master=$(ask "$port" INFO replication | sed -n 's/^master_port://p')
        role=${master:+replica of $master}
        [[ $port != "$owner" ]] || role="master of $product"
        [[ $master != "$owner" ]] || heir=$port
        say "    $port  $(printf '%-18s' "${role:-master}")  pid $(pid_in "$home/$port")"
    done
    cat >&2 <<EOT

With -c, the client follows redirections to the node that has the product, whichever node it asks first:

    $cli -c -p $entry INV.ADJUST $product 10
    $cli -c -p $entry INV.RESERVE '{$product}:RES-1' EX 900 ITEMS $product 2
    $cli -c -p $entry INV.STOCK $product

A replica answers after READONLY:

    printf 'READONLY\nINV.STOCK $product\n' | $cli -p $heir

A failover: kill the master of $product. Its replica takes over within a few seconds. Until then INV.STOCK cannot reach the
node, or is answered with CLUSTERDOWN.

    kill -9 $(pid_in "$home/$owner")
    $cli -c -p $entry CLUSTER NODES
    $cli -c -p $entry INV.STOCK $product

    make cluster$(options)         starts the killed node again; it is then a replica
    make cluster-stop$(options)    ends all six nodes and keeps their data

EOT
}

start() {
    local port missing=()
    mkdir -p "$clusters"
    clusters=$(cd "$clusters" && pwd -P)
    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    choose_server
    for port in "${ports[@]}"; do runs "$port" || missing+=("$port"); done
    if [[ ! -e $home/made && ${#missing[@]} -lt ${#ports[@]} ]]; then
        die "some nodes on these ports are not part of a finished cluster: another \`make cluster\` is still running, or was killed.
End them: make cluster-stop$(options)"
    fi
    if ((${#missing[@]} == 0)); then
        wait_until_all is_ready "is not ready"
        show "The cluster runs already. (To use a newly built module, run make cluster-stop$(options) first.)"
        return
    fi
    check_ports "${missing[@]}"
    find_module

    # Remove what a killed start has left.
    [[ -e $home/made ]] || rm -rf "$home"
    mkdir -p "$home"
    printf '%s\n' "$server" >"$home/server"
    say "cluster: starting ${missing[*]} with $server ..."
    for port in "${missing[@]}"; do
        if [[ -e $home/made && ! -e $home/$port/nodes.conf ]]; then
            die "$(short "$home/$port") has lost its nodes.conf. To make a new cluster, remove $(short "$home")"
        fi
        launch "$port"
    done
    for port in "${missing[@]}"; do wait_for_answer "$port"; done
    [[ -e $home/made ]] || make_cluster
    wait_until_all is_ready "is not ready"
    touch "$home/made"
    # The cluster is complete: keep it even if printing the rest fails.
    started=()
    show "The cluster is up on 127.0.0.1."
}

# --- stop ---

stop() {
    local folder names='' nodes=() other
    [[ ! -d $clusters ]] || clusters=$(cd "$clusters" && pwd -P)
    while read -r folder; do
        [[ -z $folder ]] || nodes+=("$folder")
    done <<<"$(running_at "$first")"
    if ((${#nodes[@]} > 0)); then
        for folder in "${nodes[@]}"; do names+=" ${folder##*/}"; done
        say "cluster: ending$names ..."
        end "${nodes[@]}"
        server=$(cat "${folder%/*}/server")
        say "cluster: ended. The data are kept in $(short "${folder%/*}"). The same server brings them back:
    make cluster$(options) SERVER=$(short "$server")"
        return
    fi
    say "cluster: nothing runs on ports $first to $((first + 5))"
    for folder in "$clusters"/*/*; do
        other=${folder##*/}
        if [[ -n $(running_at "$other") ]]; then
            say "cluster: there is one on ports $other to $((other + 5)): make cluster-stop CLUSTER_PORT=$other"
        fi
    done
}

case ${1:-} in
start) start ;;
stop) stop ;;
*) die "name an action: start or stop" ;;
esac

//! Clusters of real servers with the module, each node in its own folder.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::harness::{Client, LATER, Place, Server, wait_for, wait_until};
use crate::network::Network;
pub use crate::slots::slot_of;

/// The limit for what several nodes have to agree on.
pub const GOSSIP: Duration = Duration::from_secs(30);

/// The number of slots.
const SLOTS: usize = 16_384;

/// The lines of configuration of all nodes, followed by those of one.
fn with(lines: &[&str], own: &[String]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).chain(own.iter().cloned()).collect()
}

/// A running cluster: its masters, with equal shares of the slots, and the replicas of each.
pub struct Cluster {
    pub masters: Vec<Server>,
    pub replicas: Vec<Vec<Server>>,
    network: Network,
}

impl Cluster {
    /// Makes a cluster of running masters.
    pub fn of(masters: Vec<Server>) -> Self {
        Self { masters, replicas: Vec::new(), network: Network::default() }
    }

    /// This many masters without replicas. Since no replica could take over, they have a long node timeout: on a busy machine, a
    /// node may be silent for seconds.
    pub fn start(masters: usize) -> Self {
        Self::start_with(masters, 0, &["cluster-node-timeout 20000"])
    }

    /// This many masters, each with this many replicas, and more lines of configuration.
    pub fn start_with(masters: usize, replicas: usize, options: &[&str]) -> Self {
        Self::form(masters, replicas, options, |lines| {
            Server::start_node(|port| (with(lines, &[format!("cluster-port {port}")]), port))
        })
    }

    /// The same with a node in each of these places, the masters first.
    #[allow(dead_code, reason = "the histories use it")]
    pub fn start_in(places: &[Place], masters: usize, replicas: usize, options: &[&str]) -> Self {
        let mut places = places.iter();
        Self::form(masters, replicas, options, |lines| {
            let place = places.next().expect("a place for each node");
            Server::start_node_at(place, |port| (with(lines, &[format!("cluster-port {port}")]), port))
        })
    }

    /// The same in a network that can be interrupted ([`Cluster::part`]).
    pub fn start_apart(masters: usize, replicas: usize, options: &[&str]) -> Self {
        let network = Network::default();
        let mut number = 0;
        let mut cluster = Self::form(masters, replicas, options, |lines| {
            number += 1;
            Server::start_node(|own| {
                let announced = network.relay(number, own);
                let own = [
                    format!("cluster-port {own}"),
                    format!("cluster-announce-bus-port {announced}"),
                    "cluster-announce-ip 127.0.0.1".to_owned(),
                    format!("bind-source-addr {}", Network::address(number)),
                ];
                (with(lines, &own), announced)
            })
        });
        cluster.network = network;
        cluster
    }

    /// Isolates this node from the others.
    pub fn part(&self, node: &Server) {
        let place = self.nodes().position(|other| other.port() == node.port()).expect("a node of it");
        self.network.part(u8::try_from(place + 1).expect("a small number"));
    }

    /// Ends the isolation.
    pub fn unite(&self) {
        self.network.unite();
    }

    fn form(
        masters: usize,
        replicas: usize,
        options: &[&str],
        mut start: impl FnMut(&[&str]) -> Server,
    ) -> Self {
        let mut node = |_| {
            let lines = ["cluster-enabled yes", "cluster-node-timeout 2000", "repl-diskless-sync yes"];
            start(&[&lines, options].concat())
        };
        let mut cluster = Self::of((0..masters).map(&mut node).collect());
        cluster.replicas = (0..masters).map(|_| (0..replicas).map(&mut node).collect()).collect();
        let first = cluster.masters.first().expect("a master");
        for (number, master) in cluster.masters.iter().enumerate() {
            let mut client = master.connect();
            client.ask(format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            let (from, to) = (SLOTS * number / masters, SLOTS * (number + 1) / masters - 1);
            client.ask(format!("CLUSTER ADDSLOTSRANGE {from} {to}"));
        }
        for node in cluster.nodes().skip(1) {
            meet(&mut node.connect(), first);
        }
        cluster.wait_until_up();
        for (master, replicas) in cluster.masters.iter().zip(&cluster.replicas) {
            for replica in replicas {
                follow(replica, master);
            }
        }
        cluster.wait_until_up();
        cluster
    }

    /// Every running node; those that started as masters first.
    pub fn nodes(&self) -> impl Iterator<Item = &Server> {
        self.masters.iter().chain(self.replicas.iter().flatten()).filter(|node| node.runs())
    }

    /// The ports of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes().map(Server::port).collect()
    }

    /// The nodes that have slots now, according to themselves.
    pub fn masters_now(&self) -> Vec<&Server> {
        self.nodes().filter(|node| !slots_of(&mut node.connect()).is_empty()).collect()
    }

    /// Waits until every node knows all others and reports a healthy cluster.
    pub fn wait_until_up(&self) {
        let count = self.nodes().count();
        for node in self.nodes() {
            let mut client = node.connect();
            wait_until("the cluster is up", GOSSIP, || {
                // A new replica may be loading the data of its master.
                let Ok(info) = client.try_ask("CLUSTER INFO") else { return false };
                let info = info.as_str().expect("text");
                let Ok(nodes) = client.try_ask("CLUSTER NODES") else { return false };
                let connected = nodes.as_str().expect("text").matches(" connected").count();
                info.contains("cluster_state:ok") && connected == count
            });
        }
    }

    /// The number of the master that has the slot of this id, according to itself.
    pub fn owner(&self, id: &str) -> usize {
        let slot = slot_of(id);
        let owns = |server: &Server| slots_of(&mut server.connect()).contains(&slot);
        self.masters.iter().position(owns).unwrap_or_else(|| panic!("no master has slot {slot}"))
    }

    /// A client of the master that has the slot of this id.
    pub fn shop(&self, id: &str) -> Client {
        let has_slot = |node: &&Server| slots_of(&mut node.connect()).contains(&slot_of(id));
        self.nodes().find(has_slot).unwrap_or_else(|| panic!("no master has the slot of {id}")).connect()
    }

    /// Asserts that no node has a key twice, or a key of a slot that it does not own.
    pub fn check_keys(&self) {
        for master in self.masters_now() {
            let mut client = master.connect();
            let slots = slots_of(&mut client);
            let mut keys = Vec::new();
            // KEYS skips keys that are overdue but not deleted yet.
            wait_for("keys that KEYS does not tell of, or tells of twice", GOSSIP, (0, 0), || {
                keys = keys_of(&mut client);
                let distinct = keys.iter().collect::<std::collections::BTreeSet<_>>().len();
                let size = client.ask("DBSIZE").as_u64().expect("a number");
                (size - distinct as u64, keys.len() - distinct)
            });
            for key in &keys {
                assert!(slots.contains(&slot_of(key)), "{key} is on a node without its slot");
            }
        }
    }
}

/// Every key of the node.
pub fn keys_of(client: &mut Client) -> Vec<String> {
    let keys = client.ask("KEYS *");
    keys.as_array().expect("an array").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
}

/// Introduces two nodes to each other, so that they form a cluster.
fn meet(client: &mut Client, other: &Server) {
    client.ask(format!("CLUSTER MEET {} {} {}", other.host(), other.port(), other.bus_port()));
}

/// Makes a node a replica of another, and waits until it is in sync.
pub fn follow(replica: &Server, master: &Server) {
    let id = node_id(master);
    let mut client = replica.connect();
    wait_until("the replica knows its master", GOSSIP, || {
        client.try_ask(format!("CLUSTER REPLICATE {id}")).is_ok()
    });
    replica.wait_for_master(master);
}

/// The name of a node in its cluster.
pub fn node_id(server: &Server) -> String {
    server.connect().ask("CLUSTER MYID").as_str().expect("text").to_owned()
}

/// The slots that a master owns, according to itself.
pub fn slots_of(client: &mut Client) -> BTreeSet<u16> {
    let nodes = client.ask("CLUSTER NODES");
    let line = nodes.as_str().expect("text").lines().find(|line| line.contains("myself")).expect("itself");
    let mut slots = std::collections::BTreeSet::new();
    for range in line.split(' ').skip(8).filter(|range| !range.starts_with('[')) {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        slots.extend(from.parse::<u16>().expect("a slot")..=to.parse().expect("a slot"));
    }
    slots
}

/// The id, config epoch and slots of each node that this one knows.
fn view(node: &Server) -> BTreeSet<(String, String, Vec<String>)> {
    let nodes = node.connect().ask("CLUSTER NODES");
    let known = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        // They follow the state of the link. Moving slots are listed only by the node itself.
        let slots = words.iter().skip(8).filter(|word| !word.starts_with('[')).cloned().collect();
        (words[0].clone(), words[6].clone(), slots)
    };
    nodes.as_str().expect("text").lines().map(known).collect()
}

/// A slot that is being moved.
pub struct Move<'a> {
    cluster: &'a Cluster,
    slot: u16,
    source: &'a Server,
    target: &'a Server,
}

impl Cluster {
    /// Begins to move the slot of this id, key by key, from its master to this one.
    pub fn begin_move(&self, id: &str, to: usize) -> Move<'_> {
        self.begin_move_between(id, &self.masters[self.owner(id)], &self.masters[to])
    }

    /// The same from one running master to another, whatever they were at the start.
    pub fn begin_move_between<'a>(&'a self, id: &str, source: &'a Server, target: &'a Server) -> Move<'a> {
        let slot = slot_of(id);
        target.connect().ask(format!("CLUSTER SETSLOT {} IMPORTING {}", slot, node_id(source)));
        source.connect().ask(format!("CLUSTER SETSLOT {} MIGRATING {}", slot, node_id(target)));
        Move { cluster: self, slot, source, target }
    }

    /// Waits until all nodes report the same. Two nodes that take slots before they have heard of each other may choose the same
    /// config epoch. One of them then chooses a greater epoch while it still claims slots that it has given away, and their new
    /// owner deletes the keys.
    pub fn wait_until_agreed(&self) {
        wait_until("the nodes agree", GOSSIP, || {
            let views: BTreeSet<_> = self.nodes().map(view).collect();
            views.len() == 1
        });
    }

    /// Moves the slot of this id, key by key, to this master.
    pub fn move_slot(&self, id: &str, to: usize) {
        self.begin_move(id, to).end();
    }
}

/// Moves the slot of this id with CLUSTER MIGRATESLOTS and waits until it has arrived. Returns false if the server lacks this
/// command.
pub fn move_at_once(cluster: &Cluster, id: &str, source: &Server, target: &Server) -> bool {
    let (slot, new_owner) = (slot_of(id), node_id(target));
    let asked =
        source.connect().try_ask(format!("CLUSTER MIGRATESLOTS SLOTSRANGE {slot} {slot} NODE {new_owner}"));
    match asked {
        Ok(_) => {}
        Err(error) if error.contains("unknown subcommand") || error.contains("Unknown subcommand") => {
            return false;
        }
        Err(error) => panic!("{error}"),
    }
    wait_until("the slot has arrived", LATER, || {
        let owns = |node: &Server| slots_of(&mut node.connect()).contains(&slot);
        owns(target) && !owns(source)
    });
    cluster.wait_until_agreed();
    true
}

/// Promotes a replica with a coordinated failover. It may have to be asked again if it has just connected to its master.
pub fn fail_over(replica: &Server) {
    let mut client = replica.connect();
    let mut asked: Option<Instant> = None;
    wait_until("the replica is master", GOSSIP, || {
        if asked.is_none_or(|asked| asked.elapsed() > LATER / 4) && client.try_ask("CLUSTER FAILOVER").is_ok()
        {
            asked = Some(Instant::now());
        }
        client.info("replication", "role") == "master"
    });
}

impl Move<'_> {
    /// Some keys of the slot that have not been moved yet.
    pub fn left(&self) -> Vec<String> {
        let keys = self.source.connect().ask(format!("CLUSTER GETKEYSINSLOT {} 100", self.slot));
        keys.as_array().expect("an array").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
    }

    /// Moves this key. It is not an error if the key does not exist any more.
    pub fn take(&self, key: &str) {
        let port = self.target.port().to_string();
        self.source.connect().ask(["MIGRATE", self.target.host(), &port, key, "0", "5000", "REPLACE"]);
    }

    /// Moves all remaining keys, then the slot, and waits until all nodes agree.
    pub fn end(self) {
        loop {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|key| self.take(key));
        }
        let id = node_id(self.target);
        for node in [self.target, self.source] {
            node.connect().ask(format!("CLUSTER SETSLOT {} NODE {id}", self.slot));
        }
        self.cluster.wait_until_agreed();
    }

    /// Cancels the move. Call it only before a key has moved: the source would redirect a client to the first key that returns.
    pub fn call_off(self) {
        for node in [self.source, self.target] {
            node.connect().ask(format!("CLUSTER SETSLOT {} STABLE", self.slot));
        }
    }
}

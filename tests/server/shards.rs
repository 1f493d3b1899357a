//! Clusters of real servers, each node in a folder of its own, with the module.

use std::collections::BTreeSet;
use std::time::Duration;

use redis_inventory::inventory::cluster_slot::Slot;

use crate::harness::{Client, Server, wait_for, wait_until};
use crate::network::Network;

/// What needs the word of several nodes may take this long.
pub const GOSSIP: Duration = Duration::from_secs(30);

/// All slots.
const SLOTS: usize = 16_384;

/// The lines of all nodes, and those of one.
fn with(lines: &[&str], own: &[String]) -> Vec<String> {
    lines.iter().map(|&line| line.to_owned()).chain(own.iter().cloned()).collect()
}

/// A running cluster: its masters, each with an equal share of the slots, and the replicas of each.
pub struct Cluster {
    pub masters: Vec<Server>,
    pub replicas: Vec<Vec<Server>>,
    network: Network,
}

impl Cluster {
    /// Of masters that run already.
    pub fn of(masters: Vec<Server>) -> Self {
        Self { masters, replicas: Vec::new(), network: Network::default() }
    }

    /// So many masters without replicas. Nobody could take their place, so that they are patient with each other: on a busy
    /// machine one may say nothing for seconds.
    pub fn start(masters: usize) -> Self {
        Self::start_with(masters, 0, &["cluster-node-timeout 20000"])
    }

    /// So many masters, each with so many replicas, and further lines of configuration.
    pub fn start_with(masters: usize, replicas: usize, options: &[&str]) -> Self {
        Self::form(masters, replicas, options, |lines| {
            Server::start_node(|port| (with(lines, &[format!("cluster-port {port}")]), port))
        })
    }

    /// The same in a network that can be cut ([`Cluster::part`]).
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

    /// This node and the others cannot talk to each other any more.
    pub fn part(&self, node: &Server) {
        let place = self.nodes().position(|other| other.port() == node.port()).expect("a node of it");
        self.network.part(u8::try_from(place + 1).expect("a small number"));
    }

    /// All can talk to each other again.
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

    /// Every node that runs; those that began as masters first.
    pub fn nodes(&self) -> impl Iterator<Item = &Server> {
        self.masters.iter().chain(self.replicas.iter().flatten()).filter(|node| node.runs())
    }

    /// The ports of all nodes.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes().map(Server::port).collect()
    }

    /// The nodes that have slots now, by their own word.
    pub fn masters_now(&self) -> Vec<&Server> {
        self.nodes().filter(|node| !slots_of(&mut node.connect()).is_empty()).collect()
    }

    /// Waits until every node knows every other and calls the cluster healthy.
    pub fn wait_until_up(&self) {
        let count = self.nodes().count();
        for node in self.nodes() {
            let mut client = node.connect();
            wait_until("the cluster is up", GOSSIP, || {
                // One that has become a replica just now may be loading the data of its master.
                let Ok(info) = client.try_ask("CLUSTER INFO") else { return false };
                let info = info.as_str().expect("text");
                let Ok(nodes) = client.try_ask("CLUSTER NODES") else { return false };
                let connected = nodes.as_str().expect("text").matches(" connected").count();
                info.contains("cluster_state:ok") && connected == count
            });
        }
    }

    /// The number of the master that has the slot of this id, by its own word.
    pub fn owner(&self, id: &str) -> usize {
        let slot = Slot::of(id);
        let owns = |server: &Server| slots_of(&mut server.connect()).contains(&slot.number());
        self.masters.iter().position(owns).unwrap_or_else(|| panic!("no master has {slot:?}"))
    }

    /// A client of the master that has the slot of this id.
    pub fn shop(&self, id: &str) -> Client {
        let has_slot = |node: &&Server| slots_of(&mut node.connect()).contains(&slot_of(id));
        self.nodes().find(has_slot).unwrap_or_else(|| panic!("no master has the slot of {id}")).connect()
    }

    /// No node holds a key twice, and none a key of a slot that is not its own.
    pub fn check_keys(&self) {
        for master in self.masters_now() {
            let mut client = master.connect();
            let slots = slots_of(&mut client);
            let mut keys = Vec::new();
            // KEYS hides one that is due and not gone yet.
            wait_for("keys that KEYS does not tell of, or tells of twice", GOSSIP, (0, 0), || {
                keys = keys_of(&mut client);
                let distinct = keys.iter().collect::<std::collections::BTreeSet<_>>().len();
                let size = client.ask("DBSIZE").as_u64().expect("a number");
                (size - distinct as u64, keys.len() - distinct)
            });
            for key in &keys {
                assert!(slots.contains(&Slot::of(key).number()), "{key} is on a node that has not its slot");
            }
        }
    }
}

/// Every key of the node.
pub fn keys_of(client: &mut Client) -> Vec<String> {
    let keys = client.ask("KEYS *");
    keys.as_array().expect("an array").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
}

/// Makes a node of one cluster with another.
fn meet(client: &mut Client, other: &Server) {
    client.ask(format!("CLUSTER MEET 127.0.0.1 {} {}", other.port(), other.bus_port()));
}

/// Makes a node a replica of another, and waits until it has what that has.
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

/// The slots that a master has, by its own word.
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

/// Of each node that this one knows its id, its config epoch, and its slots.
fn view(node: &Server) -> BTreeSet<(String, String, Vec<String>)> {
    let nodes = node.connect().ask("CLUSTER NODES");
    let known = |line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        // Behind the link's state; what is on its way only the node itself tells.
        let slots = words.iter().skip(8).filter(|word| !word.starts_with('[')).cloned().collect();
        (words[0].clone(), words[6].clone(), slots)
    };
    nodes.as_str().expect("text").lines().map(known).collect()
}

/// How the move of a slot stands.
pub struct Move<'a> {
    cluster: &'a Cluster,
    slot: Slot,
    source: &'a Server,
    target: &'a Server,
}

impl Cluster {
    /// The slot of this id begins to move, key by key, from the master that has it to this one.
    pub fn begin_move(&self, id: &str, to: usize) -> Move<'_> {
        let (source, target) = (&self.masters[self.owner(id)], &self.masters[to]);
        let slot = Slot::of(id);
        target.connect().ask(format!("CLUSTER SETSLOT {} IMPORTING {}", slot.number(), node_id(source)));
        source.connect().ask(format!("CLUSTER SETSLOT {} MIGRATING {}", slot.number(), node_id(target)));
        Move { cluster: self, slot, source, target }
    }

    /// Waits until every node says the same of all. Two that take slots before they have heard of each other may take the same
    /// config epoch; the one that gives way takes a greater one, with the slots that it has not let go yet, and the new owner
    /// of those deletes their keys.
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

impl Move<'_> {
    /// Some keys of the slot that have not gone.
    pub fn left(&self) -> Vec<String> {
        let keys = self.source.connect().ask(format!("CLUSTER GETKEYSINSLOT {} 100", self.slot.number()));
        keys.as_array().expect("an array").iter().map(|key| key.as_str().expect("text").to_owned()).collect()
    }

    /// This key goes. One that is not there any more is no error.
    pub fn take(&self, key: &str) {
        let port = self.target.port().to_string();
        self.source.connect().ask(["MIGRATE", "127.0.0.1", &port, key, "0", "5000", "REPLACE"]);
    }

    /// The rest goes, until nothing is left, and then the slot does; and all are of one mind about it.
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
            node.connect().ask(format!("CLUSTER SETSLOT {} NODE {id}", self.slot.number()));
        }
        self.cluster.wait_until_agreed();
    }

    /// The slot stays where it was. Only before a key has gone: the source would send the first that comes back away.
    pub fn call_off(self) {
        for node in [self.source, self.target] {
            node.connect().ask(format!("CLUSTER SETSLOT {} STABLE", self.slot.number()));
        }
    }
}

/// The number of the slot of an id.
pub fn slot_of(id: &str) -> u16 {
    Slot::of(id).number()
}

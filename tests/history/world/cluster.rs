//! Three masters with a replica each, and what happens to them.

use std::collections::BTreeMap;
use std::path::Path;

use super::kit::{Kit, at_rest, let_shop, name, node, note, options, read_feed, wait_until_in_sync};
use crate::client::{Node, Stage, wall};
use crate::dice::Dice;
use crate::harness::{LATER, Place, Server, wait_for};
use crate::record::{Clock, Durability, Entry, Failover, FeedId, Moment};
use crate::shards::{Cluster, GOSSIP, fail_over, move_at_once, slot_of, slots_of};
use crate::shop::Shop;

const PAIRS: usize = 3;
const SHOPS: usize = 6;

/// What happens for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sudden {
    MasterIsKilled,
    MasterHangs,
    MasterIsCutOff,
    MasterStops,
    OrderlyFailover,
    ReplicaRestarts,
    SlotMovesKeyByKey,
    SlotMovesAtOnce,
}

/// What lasts while something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Nothing,
    MemoryIsFull,
    ClockIsWrong,
}

/// A server by its pair, and whether it began as the replica.
type Seat = (usize, bool);

pub struct Clustered {
    cluster: Cluster,
    kit: Kit,
    shops: Vec<Shop>,
    /// For each pair, whether the one that began as the replica is the master now.
    is_swapped: [bool; PAIRS],
    dice: Dice,
    pub entries: Vec<Entry>,
}

impl Clustered {
    pub fn start(mut kit: Kit, program: &Path, module: &Path, durability: Durability, seed: u64) -> Self {
        let mut options = options(durability);
        // A replica takes over whenever its master has failed, and stays with it otherwise.
        options.extend(["cluster-replica-validity-factor 0", "cluster-allow-replica-migration no"]);
        let places: Vec<Place> = (0..2 * PAIRS).map(|number| kit.place(number, program, module)).collect();
        let cluster = Cluster::start_in(&places, PAIRS, 1, &options);
        let shops = (0..PAIRS).flat_map(|pair| {
            let of_pair = move |tag: &String| usize::from(slot_of(tag)) * PAIRS / 16_384 == pair;
            (0..).map(|number| format!("s{number}")).filter(of_pair).take(SHOPS / PAIRS)
        });
        let shops = shops.map(|tag| Shop::tagged(&tag)).collect();
        Self { cluster, kit, shops, is_swapped: [false; PAIRS], dice: Dice::new(seed), entries: Vec::new() }
    }

    pub fn shops(&self) -> Vec<Shop> {
        self.shops.clone()
    }

    pub fn nodes(&self) -> Vec<Node> {
        let seats = [false, true].into_iter().flat_map(|second| (0..PAIRS).map(move |pair| (pair, second)));
        seats.map(|seat| node(number(seat), self.server(seat))).collect()
    }

    fn server(&self, (pair, second): Seat) -> &Server {
        if second { &self.cluster.replicas[pair][0] } else { &self.cluster.masters[pair] }
    }

    fn server_mut(&mut self, (pair, second): Seat) -> &mut Server {
        if second { &mut self.cluster.replicas[pair][0] } else { &mut self.cluster.masters[pair] }
    }

    fn master(&self, pair: usize) -> Seat {
        (pair, self.is_swapped[pair])
    }

    fn replica(&self, pair: usize) -> Seat {
        (pair, !self.is_swapped[pair])
    }

    /// The pair that has the slot of this shop.
    fn home(&self, shop: &Shop) -> usize {
        let owns = |pair: &usize| {
            slots_of(&mut self.server(self.master(*pair)).connect()).contains(&slot_of(&shop.name))
        };
        (0..PAIRS).find(owns).unwrap_or_else(|| panic!("no master has {}", shop.name))
    }

    fn suddens(&self) -> Vec<Sudden> {
        let mut all = vec![
            Sudden::MasterStops,
            Sudden::OrderlyFailover,
            Sudden::ReplicaRestarts,
            Sudden::SlotMovesKeyByKey,
            Sudden::SlotMovesAtOnce,
        ];
        // The entries of two masters are told apart by their times, so the clocks must be right.
        if self.kit.clocks.is_none() {
            all.extend([Sudden::MasterIsKilled, Sudden::MasterHangs]);
            if self.kit.net.is_some() {
                all.extend([Sudden::MasterIsCutOff; 2]);
            }
        }
        all
    }

    pub fn befall(&mut self, stage: &Stage) -> String {
        let suddens = self.suddens();
        let sudden = suddens[self.dice.place(suddens.len())];
        let is_move = matches!(sudden, Sudden::SlotMovesAtOnce | Sudden::SlotMovesKeyByKey);
        let lasting = match self.dice.roll(3) {
            // A node without memory cannot take a slot.
            0 if !is_move => Lasting::MemoryIsFull,
            _ if self.kit.clocks.is_some() => Lasting::ClockIsWrong,
            _ => Lasting::Nothing,
        };
        let pair = self.dice.place(PAIRS);
        let (start, victim) = (stage.now(), self.master(pair));
        self.begin(lasting, victim, stage);
        let_shop(self.dice.roll(300));
        self.happen(sudden, pair, stage);
        let_shop(self.dice.roll(300));
        self.end(lasting, victim, start, stage);
        self.cluster.wait_until_up();
        for pair in 0..PAIRS {
            wait_until_in_sync(self.server(self.replica(pair)), self.server(self.master(pair)));
        }
        format!("{sudden:?} {lasting:?}")
    }

    fn begin(&mut self, lasting: Lasting, victim: Seat, stage: &Stage) {
        match lasting {
            Lasting::Nothing => {}
            Lasting::MemoryIsFull => {
                let mut client = self.server(victim).connect();
                let used: u64 = client.info("memory", "used_memory").parse().expect("a number");
                client.ask(format!("CONFIG SET maxmemory {}", used / 2));
            }
            Lasting::ClockIsWrong => {
                let offset = i64::try_from(self.dice.roll(6000)).expect("a small number") - 3000;
                self.set_clock(victim, offset, stage);
            }
        }
    }

    fn end(&mut self, lasting: Lasting, victim: Seat, start: Moment, stage: &Stage) {
        match lasting {
            Lasting::Nothing => return,
            Lasting::MemoryIsFull => drop(self.server(victim).connect().ask("CONFIG SET maxmemory 0")),
            Lasting::ClockIsWrong => self.set_clock(victim, 0, stage),
        }
        note(&mut self.entries, &format!("{lasting:?}"), number(victim), start, stage);
    }

    fn set_clock(&mut self, server: Seat, offset: i64, stage: &Stage) {
        let (server, start) = (name(number(server)), stage.now());
        self.kit.clocks.as_ref().expect("clocks").set(&server, offset);
        self.entries.push(Entry::Clock(Clock { server, start, end: stage.now(), offset }));
    }

    fn happen(&mut self, sudden: Sudden, pair: usize, stage: &Stage) {
        let (start, old) = (stage.now(), self.master(pair));
        match sudden {
            Sudden::MasterIsKilled => {
                self.server_mut(old).kill();
                let (over, cut) = (stage.now(), wall());
                self.wait_for_successor(pair);
                self.is_promoted("master killed, replica promoted", pair, (start, over), cut, stage);
                self.server_mut(old).start_again();
                self.server(old).mend_aof();
                self.wait_until_replica(old);
            }
            Sudden::MasterHangs => {
                self.server(old).freeze();
                let cut = wall();
                self.wait_for_successor(pair);
                let_shop(self.dice.roll(500));
                self.server(old).thaw();
                self.wait_until_replica(old);
                self.is_promoted("master stopped, replica promoted", pair, (start, stage.now()), cut, stage);
            }
            Sudden::MasterIsCutOff => {
                let net = self.kit.net.as_ref().expect("a network");
                for other in (0..2 * PAIRS).filter(|other| *other != number(old)) {
                    net.cut(number(old) + 1, other + 1);
                }
                let cut = wall();
                self.wait_for_successor(pair);
                let_shop(self.dice.roll(500));
                self.kit.net.as_ref().expect("a network").heal();
                self.wait_until_replica(old);
                self.is_promoted("master cut off, replica promoted", pair, (start, stage.now()), cut, stage);
            }
            Sudden::MasterStops => {
                self.server(old).freeze();
                let_shop(100 + self.dice.roll(900));
                self.server(old).thaw();
            }
            Sudden::OrderlyFailover => self.hand_over(pair),
            Sudden::ReplicaRestarts => {
                let replica = self.replica(pair);
                self.server_mut(replica).kill();
                let_shop(self.dice.roll(500));
                self.server_mut(replica).start_again();
                self.server(replica).mend_aof();
                self.wait_until_replica(replica);
            }
            Sudden::SlotMovesKeyByKey | Sudden::SlotMovesAtOnce => self.move_slot(sudden),
        }
        note(&mut self.entries, &format!("{sudden:?}"), number(old), start, stage);
    }

    /// Waits until the replica of a pair is its master.
    fn wait_for_successor(&mut self, pair: usize) {
        let replica = self.server(self.replica(pair));
        wait_for("the replica is master", GOSSIP, "master".to_owned(), || {
            replica.connect().info("replication", "role")
        });
        self.is_swapped[pair] = !self.is_swapped[pair];
    }

    fn wait_until_replica(&self, seat: Seat) {
        let server = self.server(seat);
        wait_for("the old master is a replica", GOSSIP, "slave".to_owned(), || {
            server.connect().info("replication", "role")
        });
    }

    /// Writes down that another master answers now. `cut` is the time at which the old one stopped to send it anything: what the
    /// new one did came later, because it waits for the node timeout.
    fn is_promoted(
        &mut self,
        what: &str,
        pair: usize,
        (promoted, over): (Moment, Moment),
        cut: i64,
        stage: &Stage,
    ) {
        let last: FeedId = (u64::try_from(cut).expect("a time") + 5, u64::MAX);
        let concerned = stage.shops.iter().filter(|shop| self.home(shop) == pair);
        let last: BTreeMap<String, FeedId> = concerned.map(|shop| (shop.name.clone(), last)).collect();
        let (from, to) = (name(number(self.replica(pair))), name(number(self.master(pair))));
        self.entries.push(Entry::Failover(Failover {
            what: what.to_owned(),
            from,
            to,
            promoted,
            over,
            last,
        }));
    }

    fn hand_over(&mut self, pair: usize) {
        let (old, new) = (self.master(pair), self.replica(pair));
        fail_over(self.server(new));
        self.is_swapped[pair] = !self.is_swapped[pair];
        self.wait_until_replica(old);
    }

    fn move_slot(&mut self, how: Sudden) {
        let shop = self.shops[self.dice.place(self.shops.len())].clone();
        let from = self.home(&shop);
        let to = (from + 1 + self.dice.place(PAIRS - 1)) % PAIRS;
        let (source, target) = (self.server(self.master(from)), self.server(self.master(to)));
        if how == Sudden::SlotMovesAtOnce && move_at_once(&self.cluster, &shop.name, source, target) {
            return;
        }
        self.cluster.begin_move_between(&shop.name, source, target).end();
    }

    /// Replaces the module by another one, node by node, while clients go on.
    pub fn upgrade(&mut self, module: &Path, stage: &Stage) {
        for pair in 0..PAIRS {
            let start = stage.now();
            for is_second in [false, true] {
                if is_second {
                    self.hand_over(pair);
                }
                let replica = self.replica(pair);
                self.server_mut(replica).shut_down();
                self.server_mut(replica).start_again_with(module);
                self.wait_until_replica(replica);
                wait_until_in_sync(self.server(replica), self.server(self.master(pair)));
            }
            note(&mut self.entries, "upgraded", pair, start, stage);
        }
    }

    /// Waits until all reservations have ended, or it is too late for that.
    pub fn calm(&mut self, stage: &Stage) {
        self.cluster.wait_until_up();
        self.cluster.wait_until_agreed();
        for shop in &stage.shops {
            let mut client = self.server(self.master(self.home(shop))).connect();
            let mut is_calm = || {
                let skus = shop.stock_keys("reserved");
                skus.iter().all(|key| client.ask(["GET", key]).as_str().is_none_or(|units| units == "0"))
            };
            for _ in 0..LATER.as_millis() / 50 {
                if is_calm() {
                    break;
                }
                let_shop(50);
            }
        }
    }

    /// Reads the feeds, and compares the copies.
    pub fn settle(&mut self, stage: &Stage) {
        for shop in &stage.shops {
            let feed = read_feed(self.server(self.master(self.home(shop))), shop);
            self.entries.extend(feed);
        }
        for pair in 0..PAIRS {
            let (master, replica) = (self.server(self.master(pair)), self.server(self.replica(pair)));
            replica.catch_up_with(master);
            let found = [self.master(pair), self.replica(pair)]
                .map(|seat| at_rest(number(seat), self.server(seat), master));
            self.entries.extend(found);
        }
    }
}

/// The number of a server, counted from 0: first those that began as masters.
fn number((pair, second): Seat) -> usize {
    pair + if second { PAIRS } else { 0 }
}

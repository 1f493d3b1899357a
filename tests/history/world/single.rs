//! A master with two replicas, and what happens to them.

use std::collections::BTreeMap;
use std::path::Path;

use super::kit::{
    HOLD_TTL, Kit, at_rest, last_of_feed, let_shop, name, node, note, options, read_feed, shorten_aof,
    size_of_aof, wait_until_in_sync,
};
use crate::client::{Node, Stage};
use crate::dice::Dice;
use crate::harness::{LATER, Server, wait_until};
use crate::record::{Clock, Durability, Entry, Failover, FeedId, Moment};
use crate::shop::Shop;

/// What happens for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sudden {
    MasterRestarts,
    PowerFails,
    MasterStops,
    WritesPause,
    FilesAreRewritten,
    OrderlyFailover,
    MasterIsKilled,
    MasterHangs,
    MasterIsCutOff,
    MasterIsCutOffAndKilled,
    ReplicaRestarts,
}

/// What lasts while something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    Nothing,
    MemoryIsFull,
    ReplicaHangs,
    ReplicaIsCutOff,
    ClockIsWrong,
    DiskIsFull,
}

pub struct Single {
    servers: Vec<Server>,
    master: usize,
    kit: Kit,
    durability: Durability,
    dice: Dice,
    pub entries: Vec<Entry>,
}

impl Single {
    pub fn start(mut kit: Kit, program: &Path, module: &Path, durability: Durability, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut options = options(durability);
        options.extend(dice.one_in(2).then_some("aof-use-rdb-preamble yes"));
        let servers: Vec<Server> =
            (0..3).map(|number| Server::start_at(&kit.place(number, program, module), &options)).collect();
        let single = Self { servers, master: 0, kit, durability, dice, entries: Vec::new() };
        single.follow();
        single
    }

    pub fn nodes(&self) -> Vec<Node> {
        self.servers.iter().enumerate().map(|(number, server)| node(number, server)).collect()
    }

    pub fn master(&self) -> &Server {
        &self.servers[self.master]
    }

    fn replicas(&self) -> Vec<usize> {
        (0..self.servers.len()).filter(|number| *number != self.master).collect()
    }

    fn a_replica(&mut self) -> usize {
        let replicas = self.replicas();
        replicas[self.dice.place(replicas.len())]
    }

    /// Makes all others follow the master, and waits until they have its data.
    fn follow(&self) {
        let told = format!("REPLICAOF {} {}", self.master().host(), self.master().port());
        for replica in self.replicas() {
            self.servers[replica].connect().ask(&told);
        }
        for replica in self.replicas() {
            wait_until_in_sync(&self.servers[replica], self.master());
        }
    }

    /// The last entry of each shop's feed on the master.
    fn last(&self, stage: &Stage) -> BTreeMap<String, FeedId> {
        stage.shops.iter().map(|shop| (shop.name.clone(), last_of_feed(self.master(), shop))).collect()
    }

    /// Everything that may happen here.
    pub fn suddens(&self) -> Vec<Sudden> {
        let mut all = vec![
            Sudden::MasterStops,
            Sudden::WritesPause,
            Sudden::OrderlyFailover,
            Sudden::MasterIsKilled,
            Sudden::MasterHangs,
            Sudden::ReplicaRestarts,
        ];
        if self.durability != Durability::None {
            all.extend([Sudden::MasterRestarts, Sudden::FilesAreRewritten]);
        }
        if matches!(self.durability, Durability::Everysec | Durability::Waitaof) && self.kit.disks.is_empty()
        {
            all.push(Sudden::PowerFails);
        }
        if self.kit.net.is_some() {
            all.extend([Sudden::MasterIsCutOff, Sudden::MasterIsCutOffAndKilled]);
        }
        all
    }

    /// What may last while this happens.
    pub fn lastings(&self, sudden: Sudden) -> Vec<Lasting> {
        let mut all = vec![Lasting::Nothing, Lasting::Nothing, Lasting::Nothing, Lasting::MemoryIsFull];
        // A call may have been confirmed by the replica that is missing alone, so then nobody else is promoted.
        if matches!(sudden, Sudden::MasterRestarts | Sudden::MasterStops | Sudden::WritesPause) {
            all.push(Lasting::ReplicaHangs);
            all.extend(self.kit.net.is_some().then_some(Lasting::ReplicaIsCutOff));
        }
        if self.kit.clocks.is_some() {
            all.extend([Lasting::ClockIsWrong; 4]);
        }
        // With `appendfsync always`, a server ends itself when its disk is full. Otherwise it refuses writes.
        let may_have_full_disk = match self.durability {
            Durability::None => false,
            Durability::Always => matches!(sudden, Sudden::MasterRestarts | Sudden::MasterIsKilled),
            _ => !matches!(sudden, Sudden::FilesAreRewritten | Sudden::OrderlyFailover),
        };
        if !self.kit.disks.is_empty() && may_have_full_disk {
            all.extend([Lasting::DiskIsFull; 4]);
        }
        all
    }

    /// Lets one thing happen, perhaps while another one lasts.
    pub fn befall(&mut self, stage: &Stage) -> String {
        let suddens = self.suddens();
        let sudden = suddens[self.dice.place(suddens.len())];
        let lastings = self.lastings(sudden);
        let lasting = lastings[self.dice.place(lastings.len())];
        self.befall_both(sudden, lasting, stage);
        format!("{sudden:?} {lasting:?}")
    }

    pub fn befall_both(&mut self, sudden: Sudden, lasting: Lasting, stage: &Stage) {
        let start = stage.now();
        let victim = self.begin(lasting, stage);
        let_shop(self.dice.roll(300));
        self.happen(sudden, stage);
        let_shop(self.dice.roll(300));
        self.end(lasting, victim, start, stage);
        self.follow();
    }

    /// Begins what lasts. Returns the server to which it happens.
    fn begin(&mut self, lasting: Lasting, stage: &Stage) -> usize {
        let victim = match lasting {
            Lasting::ReplicaHangs | Lasting::ReplicaIsCutOff => self.a_replica(),
            _ => self.master,
        };
        match lasting {
            Lasting::Nothing => {}
            Lasting::MemoryIsFull => {
                let mut client = self.servers[victim].connect();
                let used: u64 = client.info("memory", "used_memory").parse().expect("a number");
                client.ask(format!("CONFIG SET maxmemory {}", used / 2));
            }
            Lasting::ReplicaHangs => self.servers[victim].freeze(),
            Lasting::ReplicaIsCutOff => self.cut_off(victim),
            Lasting::ClockIsWrong => {
                let offset = i64::try_from(self.dice.roll(6000)).expect("a small number") - 3000;
                self.set_clock(victim, offset, stage);
            }
            Lasting::DiskIsFull => self.kit.disks[victim].fill(),
        }
        victim
    }

    fn set_clock(&mut self, server: usize, offset: i64, stage: &Stage) {
        let start = stage.now();
        self.kit.clocks.as_ref().expect("clocks").set(&name(server), offset);
        self.entries.push(Entry::Clock(Clock { server: name(server), start, end: stage.now(), offset }));
    }

    fn end(&mut self, lasting: Lasting, victim: usize, start: Moment, stage: &Stage) {
        match lasting {
            Lasting::Nothing => return,
            Lasting::MemoryIsFull => drop(self.servers[victim].connect().ask("CONFIG SET maxmemory 0")),
            Lasting::ReplicaHangs => self.servers[victim].thaw(),
            Lasting::ReplicaIsCutOff => self.kit.net.as_ref().expect("a network").heal(),
            Lasting::ClockIsWrong => self.set_clock(victim, 0, stage),
            Lasting::DiskIsFull => self.free_disk(victim),
        }
        note(&mut self.entries, &format!("{lasting:?}"), victim, start, stage);
    }

    fn free_disk(&self, victim: usize) {
        self.kit.disks[victim].free();
        self.servers[victim].wait_for_info("persistence", "aof_last_write_status", "ok");
    }

    fn restart_master(&mut self, what: &str, stage: &Stage, before: impl FnOnce(&Server)) {
        let old = self.master;
        self.servers[old].kill();
        let over = stage.now();
        stage.hide();
        if let Some(disk) = self.kit.disks.get(old) {
            disk.free();
        }
        before(&self.servers[old]);
        let promoted = stage.now();
        self.servers[old].start_again();
        self.servers[old].mend_aof();
        self.is_promoted(what, old, promoted, over, stage);
        stage.publish(old);
    }

    /// Writes down that from now on another master answers, or the same one again.
    fn is_promoted(&mut self, what: &str, from: usize, promoted: Moment, over: Moment, stage: &Stage) {
        let last = self.last(stage);
        let (from, to) = (name(from), name(self.master));
        self.entries.push(Entry::Failover(Failover {
            what: what.to_owned(),
            from,
            to,
            promoted,
            over,
            last,
        }));
    }

    /// Promotes the replica that has received most. Returns when that began.
    fn promote_best(&mut self, stage: &Stage) -> Moment {
        let received = |number: &usize| -> u64 {
            let offset = self.servers[*number].connect().info("replication", "slave_repl_offset");
            offset.parse().expect("a number")
        };
        let best =
            self.replicas().into_iter().filter(|number| self.servers[*number].runs()).max_by_key(received);
        let promoted = stage.now();
        let old = self.master;
        self.master = best.expect("a replica");
        self.master().connect().ask("REPLICAOF NO ONE");
        let told = format!("REPLICAOF {} {}", self.master().host(), self.master().port());
        for other in self.replicas().into_iter().filter(|other| *other != old) {
            self.servers[other].connect().ask(&told);
        }
        promoted
    }

    fn happen(&mut self, sudden: Sudden, stage: &Stage) {
        let (start, old) = (stage.now(), self.master);
        match sudden {
            Sudden::MasterRestarts => self.restart_master("master killed, started again", stage, |_| {}),
            Sudden::PowerFails => self.power_fails(stage),
            Sudden::MasterStops => {
                self.master().freeze();
                let_shop(100 + self.dice.roll(1500));
                self.master().thaw();
            }
            Sudden::WritesPause => {
                let length = 100 + self.dice.roll(600);
                self.master().connect().ask(format!("CLIENT PAUSE {length} WRITE"));
                let_shop(length);
            }
            Sudden::FilesAreRewritten => {
                self.master().rewrite("BGREWRITEAOF");
                self.master().rewrite("BGSAVE");
            }
            Sudden::OrderlyFailover => self.hand_over(stage),
            Sudden::MasterIsKilled => self.kill_and_promote("master killed, replica promoted", stage),
            Sudden::MasterHangs => {
                self.master().freeze();
                let_shop(100 + self.dice.roll(900));
                self.promote_beside(old, "master stopped, replica promoted", stage, |single| {
                    single.servers[old].thaw()
                });
            }
            Sudden::MasterIsCutOffAndKilled => {
                self.cut_off(old);
                let_shop(20 + self.dice.roll(400));
                self.kill_and_promote("master cut off and killed, replica promoted", stage);
                self.kit.net.as_ref().expect("a network").heal();
            }
            Sudden::MasterIsCutOff => {
                self.cut_off(old);
                let_shop(200 + self.dice.roll(1500));
                self.promote_beside(old, "master cut off, replica promoted", stage, |single| {
                    single.kit.net.as_ref().expect("a network").heal();
                });
            }
            Sudden::ReplicaRestarts => {
                let replica = self.a_replica();
                self.servers[replica].kill();
                let_shop(self.dice.roll(500));
                self.servers[replica].start_again();
                self.servers[replica].mend_aof();
            }
        }
        note(&mut self.entries, &format!("{sudden:?}"), old, start, stage);
    }

    /// Cuts a server off from all others.
    fn cut_off(&self, victim: usize) {
        let net = self.kit.net.as_ref().expect("a network");
        for other in (0..self.servers.len()).filter(|other| *other != victim) {
            net.cut(victim + 1, other + 1);
        }
    }

    fn kill_and_promote(&mut self, what: &str, stage: &Stage) {
        let old = self.master;
        self.servers[old].kill();
        let over = stage.now();
        stage.hide();
        let promoted = self.promote_best(stage);
        self.is_promoted(what, old, promoted, over, stage);
        stage.publish(self.master);
        let_shop(self.dice.roll(400));
        if let Some(disk) = self.kit.disks.get(old) {
            disk.free();
            // After a full disk, Valkey 9.1 has been seen to leave a file that it cannot read. Everything comes from the new master.
            std::fs::remove_dir_all(self.servers[old].folder().join("appendonlydir")).expect("a folder");
        }
        self.servers[old].start_again();
        self.servers[old].mend_aof();
    }

    /// Promotes a replica while the old master may still answer. It is told only after `then`.
    fn promote_beside(&mut self, old: usize, what: &str, stage: &Stage, then: impl FnOnce(&mut Self)) {
        let promoted = self.promote_best(stage);
        let place = self.entries.len();
        self.is_promoted(what, old, promoted, Moment::MAX, stage);
        // Some customers have not heard of it yet.
        let_shop(self.dice.roll(200));
        stage.publish(self.master);
        let_shop(self.dice.roll(500));
        then(self);
        let told = format!("REPLICAOF {} {}", self.master().host(), self.master().port());
        self.servers[old].connect().ask(told);
        if let Some(Entry::Failover(failover)) = self.entries.get_mut(place) {
            failover.over = stage.now();
        }
    }

    /// FAILOVER: the old master waits until the new one has everything.
    fn hand_over(&mut self, stage: &Stage) {
        let to = self.a_replica();
        self.follow();
        let (host, port) = (self.servers[to].host().to_owned(), self.servers[to].port());
        self.master().connect().ask(format!("FAILOVER TO {host} {port} TIMEOUT 10000"));
        let is_over =
            || self.master().connect().info("replication", "master_failover_state") == "no-failover";
        wait_until("the failover is over", LATER, is_over);
        if self.servers[to].connect().info("replication", "role") == "master" {
            self.master = to;
        }
        stage.publish(self.master);
    }

    /// The machine loses what was not synced.
    fn power_fails(&mut self, stage: &Stage) {
        self.master().connect().ask("CONFIG SET appendfsync no");
        let synced = size_of_aof(self.master());
        let_shop(200 + self.dice.roll(500));
        self.restart_master("power failed, started again", stage, |master| shorten_aof(master, synced));
    }

    /// Replaces the module by another one, server by server, while clients go on: the replicas first.
    pub fn upgrade(&mut self, module: &Path, stage: &Stage) {
        let start = stage.now();
        for replica in self.replicas() {
            self.servers[replica].shut_down();
            self.servers[replica].start_again_with(module);
            self.follow();
            let_shop(self.dice.roll(500));
        }
        let old = self.master;
        self.hand_over(stage);
        self.servers[old].shut_down();
        self.servers[old].start_again_with(module);
        self.follow();
        note(&mut self.entries, "upgraded", old, start, stage);
    }

    /// Waits until all reservations have ended, or it is too late for that.
    pub fn calm(&mut self, stage: &Stage) {
        self.follow();
        for shop in &stage.shops {
            let mut client = self.master().connect();
            let mut is_calm = || {
                let keys = shop.stock_keys("reserved");
                keys.iter().all(|key| client.ask(["GET", key]).as_str().is_none_or(|units| units == "0"))
            };
            let tries = (LATER.as_millis() as i64 + HOLD_TTL) / 50;
            for _ in 0..tries {
                if is_calm() {
                    break;
                }
                let_shop(50);
            }
        }
    }

    /// Reads the feeds, and compares the copies.
    pub fn settle(&mut self, stage: &Stage) {
        self.follow();
        for shop in &stage.shops {
            self.entries.extend(read_feed(self.master(), shop));
        }
        for (number, server) in self.servers.iter().enumerate() {
            if number != self.master {
                server.catch_up_with(self.master());
            }
            self.entries.push(at_rest(number, server, self.master()));
        }
    }

    /// Promotes a replica that has not followed its master for this long: a mistake of an operator.
    pub fn promote_stale(&mut self, ms: u64, stage: &Stage) {
        let (old, stale) = (self.master, self.a_replica());
        self.servers[stale].connect().ask("REPLICAOF NO ONE");
        let_shop(ms);
        self.servers[old].kill();
        let over = stage.now();
        stage.hide();
        let promoted = stage.now();
        self.master = stale;
        self.is_promoted("master killed, replica promoted", old, promoted, over, stage);
        stage.publish(stale);
        self.servers[old].start_again();
        self.follow();
    }

    /// Starts the master again with the file that it had this long ago.
    pub fn restore_old_file(&mut self, ms: u64, stage: &Stage) {
        let folder = self.master().folder().join("appendonlydir");
        let copy = self.master().folder().join("copy");
        let same = |from: &Path, to: &Path| {
            std::fs::create_dir_all(to).expect("a folder");
            for file in std::fs::read_dir(from).expect("a folder") {
                let path = file.expect("a file").path();
                std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
            }
        };
        same(&folder, &copy);
        let_shop(ms);
        self.restart_master("master killed, started again", stage, |_| same(&copy, &folder));
        self.follow();
    }

    pub fn shops() -> Vec<Shop> {
        vec![Shop::alone()]
    }
}

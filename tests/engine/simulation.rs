//! A simulated server: one database, a clock that advances only on request, and a replica that receives
//! only what was replicated.
//!
//! It behaves as real servers were observed to. A master deletes an expired key when it is accessed; a replica hides it, but
//! commands from its master see it. The module is told before a key is removed, whatever the cause. A job runs after the whole
//! unit of work. The simulation also checks the engine: if it breaks a requirement of [`Keyspace`], the simulation panics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CStr;

use redis_inventory::engine::keyspace::{Argument, Keyspace, LoadRepair, Ranking, Reading, Settings, Tally};
use redis_inventory::engine::recover::{self, Walk};
use redis_inventory::engine::sent::Sent;
use redis_inventory::engine::sweep::{self, Caller};
use redis_inventory::engine::verify::Round;
use redis_inventory::engine::{effects, moving};
use redis_inventory::inventory::cluster_slot::{Slot, SlotState};
use redis_inventory::inventory::key::{Counted, Key, Watched, watched};
use redis_inventory::inventory::quantity::UnixMs;
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, Product};
use redis_inventory::ledger::notes::Touched;
use redis_inventory::ledger::walk::Purpose;
use redis_inventory::ledger::{LeavingKey, Ledger, Removal};

/// The time at which every simulation begins.
pub const BEGIN: UnixMs = 1_763_820_000_000;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Hash,
    /// Members with their scores.
    SortedSet(BTreeMap<String, f64>),
    /// Entries, as replicated.
    Stream(Vec<String>),
}

/// A key as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub value: Value,
    pub until: Option<UnixMs>,
}

/// The data set, including overdue keys that are not deleted yet.
pub type Data = BTreeMap<String, Entry>;

/// A command with its arguments.
pub type Command = Vec<String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Master,
    Replica,
}

/// For whom the server is working, which decides what happens to an expired key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Client,
    Job,
    Link,
}

/// The panic with which the simulated process dies.
pub struct Died;

pub struct Simulation {
    pub clock: UnixMs,
    pub settings: Settings,
    pub style: KeyStyle,
    pub role: Role,
    /// Clients are paused, or a failover is running: overdue keys are hidden but kept, and nothing may be written.
    pub paused: bool,
    /// Valkey's import mode: overdue keys are hidden but kept.
    pub importing: bool,
    /// By this much, the clock by which the server expires keys is behind the one that the module reads.
    pub expires_late_ms: i64,
    /// Jobs only have time for what cannot wait.
    pub is_busy: bool,
    /// In a cluster: a counter has moved away while something waited to be settled.
    counter_has_left: bool,
    /// In a cluster: the slots that are being moved.
    pub slots: BTreeMap<Slot, SlotState>,
    /// In a cluster: the slot of the current command.
    pub slot: Option<Slot>,
    pub data: Data,
    /// What was propagated, one entry per transaction.
    pub stream: Vec<Vec<Command>>,
    /// Events and their keys, in order.
    pub events: Vec<(String, String)>,
    /// Published messages with their channels.
    pub published: Vec<(String, String)>,
    /// The delays of releases.
    pub lags: Vec<i64>,
    /// Lines of the server's log.
    pub log: Vec<String>,
    /// The keys that the engine reads, in order, if they are recorded.
    pub looks: Option<Vec<String>>,
    /// How often the engine has asked for the state of a slot.
    pub slot_questions: usize,
    /// The process dies in this call of the engine, counted from now; 0: it does not.
    pub dies_in: u64,
    /// Events are lost: the module hears only of what it has done itself.
    pub is_deaf: bool,
    tallies: Vec<(Tally, i64)>,
    ledger: Ledger,
    at_work_for: For,
    unit: Vec<Command>,
    job_queued: bool,
    own_write: Option<String>,
    /// Keys that the engine has changed without a notification so far.
    untold: BTreeSet<String>,
    /// The cron has to walk over the keys.
    walk_wanted: bool,
    /// A walk in slices, and the names that it has not reached yet.
    walk_under_way: Option<(Walk, VecDeque<String>)>,
    /// The round of the continuous audit.
    round: Round,
}

/// The default configuration, but with round times.
pub fn settings() -> Settings {
    Settings {
        hold_ttl_ms: 900_000,
        max_hold_ms: 2_678_400_000,
        outcome_ttl_ms: 86_400_000,
        low_stock_threshold: 10,
        alert_ttl_ms: 604_800_000,
        alert_cooldown_ms: 60_000,
        in_cluster: false,
        slots_move_at_once: false,
        load_repair: LoadRepair::Auto,
        feed_maxlen: 0,
        max_items: 128,
        max_data_bytes: 4096,
        max_batch: 1000,
    }
}

impl Simulation {
    /// An empty master.
    pub fn new() -> Self {
        Self {
            clock: BEGIN,
            settings: settings(),
            style: KeyStyle::Plain,
            role: Role::Master,
            paused: false,
            importing: false,
            expires_late_ms: 0,
            is_busy: false,
            counter_has_left: false,
            slots: BTreeMap::new(),
            slot: None,
            data: Data::new(),
            stream: Vec::new(),
            events: Vec::new(),
            published: Vec::new(),
            lags: Vec::new(),
            log: Vec::new(),
            looks: None,
            slot_questions: 0,
            dies_in: 0,
            is_deaf: false,
            tallies: Vec::new(),
            ledger: Ledger::default(),
            at_work_for: For::Client,
            unit: Vec::new(),
            job_queued: false,
            own_write: None,
            untold: BTreeSet::new(),
            walk_wanted: false,
            walk_under_way: None,
            round: Round::default(),
        }
    }

    /// A replica that has just received a full copy.
    pub fn replica_of(master: &Self) -> Self {
        let mut replica = Self {
            clock: master.clock,
            settings: master.settings,
            style: master.style,
            role: Role::Replica,
            data: master.data.clone(),
            ..Self::new()
        };
        replica.rebuild();
        replica
    }

    // --- units of work ---

    /// Runs one unit of work: a command, a script, or a MULTI/EXEC. The job runs after it, in the same transaction.
    pub fn unit<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let done = work(self);
        self.finish();
        done
    }

    /// Ends a unit whose parts were run one by one.
    pub fn finish(&mut self) {
        assert!(self.untold.is_empty(), "changed without a notification: {:?}", self.untold);
        while std::mem::take(&mut self.job_queued) {
            if !self.is_visited() {
                continue;
            }
            if self.role == Role::Master && !self.paused {
                self.at_work_for = For::Job;
                if self.settings.in_cluster {
                    let all = std::mem::take(&mut self.counter_has_left);
                    moving::rescue(self, all);
                }
                if self.is_busy {
                    sweep::judge_written(self);
                } else {
                    sweep::work_off_notes(self, Caller::Job, || false);
                }
                self.at_work_for = For::Client;
            } else {
                sweep::look_at_touched(self, || false);
            }
        }
        assert!(self.untold.is_empty(), "changed without a notification: {:?}", self.untold);
        if !self.unit.is_empty() {
            self.stream.push(std::mem::take(&mut self.unit));
        }
    }

    fn may_write(&self) -> bool {
        self.role == Role::Master && !self.paused
    }

    /// Whether a job or the cron runs in this database.
    fn is_visited(&self) -> bool {
        self.settings.in_cluster || self.ledger.has_work(self.clock, self.may_write())
    }

    /// Continues the continuous audit for this many steps. Returns whether a round has ended.
    pub fn verify(&mut self, mut steps: usize) -> bool {
        self.unit(|server| {
            if !server.may_write() {
                return false;
            }
            let mut round = std::mem::take(&mut server.round);
            let is_over = round.advance(server, || {
                steps = steps.saturating_sub(1);
                steps == 0
            });
            if !is_over {
                server.round = round;
            }
            is_over
        })
    }

    /// Runs the cron with all the time it needs.
    pub fn sweep(&mut self) {
        self.sweep_slice(usize::MAX);
    }

    /// Runs the cron with time for this many records. Returns whether something is left.
    pub fn sweep_slice(&mut self, mut records: usize) -> bool {
        self.unit(|server| {
            let may_write = server.may_write();
            if may_write && std::mem::take(&mut server.walk_wanted) {
                server.walk(Purpose::Check);
            }
            if !server.is_visited() {
                let now = server.clock;
                server.ledger.falls_asleep(now);
                return false;
            }
            if !may_write {
                sweep::look_at_touched(server, || false);
                recover::learn(server, || false);
                return false;
            }
            recover::learn(server, || false);
            sweep::sweep(server, || {
                records = records.saturating_sub(1);
                records == 0
            })
        })
    }

    /// Runs the server's own expiry cycle, which deletes everything overdue.
    pub fn expire_cycle(&mut self) {
        let names: Vec<String> = self.data.keys().filter(|name| self.is_due(name)).cloned().collect();
        for name in names {
            self.unit(|server| server.finds(&name));
        }
    }

    /// Runs a client's command as its own unit of work.
    pub fn client(&mut self, words: &[&str]) {
        self.unit(|server| server.execute(words));
    }

    /// The same for a command of the module, which in a cluster is restricted to the slot of this id.
    pub fn command<T>(&mut self, id: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        self.unit(|server| {
            server.slot = server.settings.in_cluster.then(|| Slot::of(id));
            let done = work(server);
            server.slot = None;
            done
        })
    }

    /// The same if the acknowledgement is lost: both nodes have the key.
    pub fn copy(&mut self, name: &str, to: &mut Self) {
        self.unit(|server| {
            if server.finds(name) {
                let Entry { value, until } = server.data[name].clone();
                to.unit(|to| to.put(name, value, until, &["restore"]));
            }
        });
    }

    /// Moves a key to another node, like MIGRATE, which deletes an overdue key instead.
    pub fn migrate(&mut self, name: &str, to: &mut Self) {
        self.unit(|server| {
            if server.finds(name) {
                let Entry { value, until } = server.data[name].clone();
                to.unit(|to| to.put(name, value, until, &["restore"]));
                server.take_away(name, Removal::Deleted, "del");
            }
        });
    }

    /// Runs clients' commands in one unit of work, like a script.
    pub fn script(&mut self, commands: &[&[&str]]) {
        self.unit(|server| commands.iter().for_each(|words| server.execute(words)));
    }

    pub fn advance(&mut self, ms: i64) {
        self.clock += ms;
    }

    // --- copies ---

    /// What was replicated since the last call.
    pub fn take_stream(&mut self) -> Vec<Vec<Command>> {
        std::mem::take(&mut self.stream)
    }

    /// Executes what the master has sent.
    pub fn receive(&mut self, stream: &[Vec<Command>]) {
        assert_eq!(self.role, Role::Replica);
        self.at_work_for = For::Link;
        for command in stream.iter().flatten() {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            self.execute(&words);
        }
        self.at_work_for = For::Client;
        self.finish();
        assert!(self.stream.is_empty(), "a replica replicates nothing of its own: {:?}", self.stream);
    }

    /// A failover: the replica becomes the master, or the reverse.
    pub fn change_role(&mut self) {
        self.role = match self.role {
            Role::Master => Role::Replica,
            Role::Replica => Role::Master,
        };
        self.ledger.forget_unsettled();
        // A new master looks for units that the old one left.
        self.walk_wanted = true;
    }

    /// Restarts the server with the same keys. From an RDB, it silently drops overdue ones.
    pub fn restart(&mut self, from_rdb: bool) {
        let now = self.clock;
        if from_rdb {
            self.data.retain(|_, entry| entry.until.is_none_or(|until| now <= until));
        }
        self.rebuild();
    }

    /// A running master loads what it has just saved, like DEBUG RELOAD, without an event for dropped keys.
    pub fn reload(&mut self) {
        let before = std::mem::take(&mut self.ledger);
        self.restart(true);
        recover::note_dropped(self, &before);
    }

    /// A server that died and was started again from its file: keys as they were at some time, and what was appended later, one
    /// entry per transaction.
    pub fn from_aof(dead: &Self, base: &Data, appended: &[Vec<Command>]) -> Self {
        let mut server = Self { role: Role::Replica, ..Self::instead_of(dead, base.clone()) };
        server.receive(appended);
        server.role = Role::Master;
        server.restart(false);
        server
    }

    /// A new process with these keys, in place of another. It still has to be restarted.
    pub fn instead_of(dead: &Self, data: Data) -> Self {
        Self { clock: dead.clock, settings: dead.settings, style: dead.style, data, ..Self::new() }
    }

    fn rebuild(&mut self) {
        self.ledger = Ledger::default();
        self.job_queued = false;
        self.walk_wanted = false;
        self.walk(Purpose::Index);
        // The cron runs first, before any client.
        recover::learn(self, || false);
    }

    /// Restarts the server with the same keys, so many that the walk over them is in slices.
    pub fn restart_in_slices(&mut self) {
        (self.job_queued, self.walk_wanted) = (false, false);
        self.begin_walk(Purpose::Index);
    }

    /// Loads the module into a running server: a walk in slices begins.
    pub fn load_module(&mut self) {
        self.begin_walk(Purpose::IndexUnwatched);
    }

    fn begin_walk(&mut self, purpose: Purpose) {
        self.ledger = Ledger::default();
        self.ledger.begin_walk(purpose, self.clock);
        let names = self.data.keys().cloned().collect();
        let purpose = if self.role == Role::Replica { purpose.on_a_replica() } else { purpose };
        let walk = Walk::new(self.clock, self.style, self.settings.in_cluster, purpose);
        self.walk_under_way = Some((walk, names));
    }

    /// Continues that walk over this many keys. Some may have been deleted in the meantime.
    pub fn walk_over(&mut self, keys: usize) {
        let Some((mut walk, mut names)) = self.walk_under_way.take() else { return };
        for _ in 0..keys {
            let Some(name) = names.pop_front() else { break };
            if let Some(entry) = self.data.get(&name) {
                let read = || (text_of(entry), entry.until);
                walk.meet(&mut self.ledger, name.as_bytes(), watched(name.as_bytes(), self.style), read);
            }
        }
        if names.is_empty() && !walk.finish(self, || false) {
            return;
        }
        self.walk_under_way = Some((walk, names));
    }

    /// Walks over all keys and stores the result in memory.
    fn walk(&mut self, purpose: Purpose) {
        if self.data.is_empty() {
            self.ledger = Ledger::default();
            return;
        }
        let (style, mut walk) =
            (self.style, Walk::new(self.clock, self.style, self.settings.in_cluster, purpose));
        self.ledger.begin_walk(purpose, self.clock);
        for (name, entry) in &self.data {
            let read = || (text_of(entry), entry.until);
            walk.meet(&mut self.ledger, name.as_bytes(), watched(name.as_bytes(), style), read);
        }
        walk.finish(self, || false);
    }

    // --- inspecting ---

    /// The string stored under `name`, overdue or not.
    pub fn stored(&self, name: &str) -> Option<&str> {
        match &self.data.get(name)?.value {
            Value::Text(text) => Some(text),
            Value::Hash | Value::SortedSet(_) | Value::Stream(_) => None,
        }
    }

    /// The integer stored under `name`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.stored(name).map(|text| text.parse().expect("an integer"))
    }

    /// The total that INFO shows.
    pub fn total(&self, what: Tally) -> i64 {
        self.tallies.iter().filter(|(kind, _)| *kind == what).map(|(_, by)| by).sum()
    }

    /// What the current unit of work has propagated so far.
    pub fn unit_so_far(&self) -> &[Command] {
        &self.unit
    }

    /// The module's memory.
    pub fn memory(&self) -> &Ledger {
        &self.ledger
    }

    fn is_due(&self, name: &str) -> bool {
        let clock = self.clock - self.expires_late_ms;
        self.data.get(name).and_then(|entry| entry.until).is_some_and(|until| clock > until)
    }

    // --- what a server does ---

    /// Whether a command finds the key. An overdue key is deleted.
    fn finds(&mut self, name: &str) -> bool {
        if self.is_due(name) && self.at_work_for != For::Link {
            if self.role == Role::Master && !self.paused && !self.importing {
                assert_ne!(self.at_work_for, For::Job, "a job deleted {name} during the server's scan");
                self.goes(name, Removal::Expired);
                self.data.remove(name);
                self.tell("expired", name);
                self.unit.push(vec!["DEL".to_owned(), name.to_owned()]);
            }
            return false;
        }
        self.data.contains_key(name)
    }

    fn reading(&self, name: &str) -> Reading {
        match self.data.get(name) {
            None => Reading::Absent,
            Some(Entry { value: Value::Hash, .. }) => Reading::Other("a hash"),
            Some(Entry { value: Value::SortedSet(_), .. }) => Reading::Other("a sorted set"),
            Some(Entry { value: Value::Stream(_), .. }) => Reading::Other("a stream"),
            Some(Entry { value: Value::Text(text), until }) => {
                Reading::Text(text.clone().into_bytes(), *until)
            }
        }
    }

    /// Counts a call of the engine into the server.
    fn called(&mut self) {
        if self.dies_in > 0 {
            self.dies_in -= 1;
            if self.dies_in == 0 {
                // Without a message, because this is not a test failure.
                std::panic::resume_unwind(Box::new(Died));
            }
        }
    }

    /// The key event: the module is told before the key is removed.
    fn goes(&mut self, name: &str, how: Removal) {
        if self.is_deaf {
            return;
        }
        let by_hand = matches!(how, Removal::Deleted | Removal::Overwritten);
        let entry = &self.data[name];
        match watched(name.as_bytes(), self.style) {
            Some(Watched::Reservation(_) | Watched::Managed)
                if by_hand && self.own_write.as_deref() == Some(name) => {}
            Some(Watched::Reservation(id)) => {
                let json = text_of(entry);
                let record = id.as_ref().and_then(|id| Record::from_json(id, json?, self.style));
                let releasing = self.role == Role::Master;
                let (ledger, name) = (&mut self.ledger, name.as_bytes());
                let id = id.as_ref();
                let leaving = LeavingKey { name, id, record, ttl: entry.until, how };
                ledger.note_leaving(leaving, releasing);
                self.job_queued |= releasing;
            }
            Some(Watched::Threshold(product)) => {
                self.ledger.notes.touch(Touched::Threshold(product));
                self.job_queued = true;
            }
            Some(Watched::Alert(product, at)) if how != Removal::Overwritten => {
                self.ledger.alerts.leave(&product, at);
            }
            Some(Watched::Managed) => {
                self.ledger.notes.touch(Touched::Managed);
                self.job_queued = true;
            }
            Some(Watched::Available | Watched::Reserved(_))
                if self.settings.in_cluster && !self.ledger.pending.is_empty() =>
            {
                self.counter_has_left = true;
                self.job_queued = true;
            }
            Some(
                Watched::Alert(..)
                | Watched::Outcome(_)
                | Watched::Warehouses(_)
                | Watched::Floor(_)
                | Watched::Limit(_)
                | Watched::Available
                | Watched::Reserved(_),
            )
            | None => {}
        }
    }

    /// A keyspace notification that the module has not caused.
    fn tell(&mut self, event: &str, name: &str) {
        self.events.push((event.to_owned(), name.to_owned()));
        if let Some(watched) = watched(name.as_bytes(), self.style)
            && !self.is_deaf
        {
            let is_counter = matches!(watched, Watched::Reserved(_));
            match event {
                "expired" | "evicted" => return,
                "del" | "rename_from" if !is_counter => return,
                _ if is_counter && self.role == Role::Replica => return,
                _ => {}
            }
            self.job_queued |= self.ledger.touch_watched(name.as_bytes(), watched);
        }
    }

    /// Executes a command of a client or of the master. A command that fails changes nothing.
    pub fn execute(&mut self, words: &[&str]) {
        let changed = match words {
            ["GET", name] => {
                self.finds(name);
                false
            }
            ["DEL" | "UNLINK", name] => self.take_away(name, Removal::Deleted, "del"),
            // Not a command: eviction.
            ["EVICT", name] => self.take_away(name, Removal::Evicted, "evicted"),
            ["SET", name, value] => self.put(name, Value::Text((*value).to_owned()), None, &["set"]),
            ["SET", name, value, "PXAT", until] => {
                let until = Some(until.parse().unwrap());
                self.put(name, Value::Text((*value).to_owned()), until, &["set", "expire"])
            }
            ["HSET", name, ..] => self.set_field(name),
            ["ZADD", name, score, member] => self.add_member(name, member, score.parse().unwrap()),
            ["ZREM", name, member] => self.take_member(name, member),
            ["INCRBY", name, by] => self.count(name, by.parse().unwrap()),
            ["DECRBY", name, by] => self.count(name, -by.parse::<i64>().unwrap()),
            // Without a deadline, nothing is notified or propagated.
            ["PERSIST", name] => {
                self.finds(name) && self.data[*name].until.is_some() && self.set_ttl(name, None, "persist")
            }
            ["PEXPIREAT", name, until] => self.set_ttl(name, Some(until.parse().unwrap()), "expire"),
            ["RENAME", from, to] => self.rename(from, to),
            ["PUBLISH", ..] => false,
            ["XADD", name, "MAXLEN", "=", most, entry @ ..] => {
                self.append_entry(name, entry.join(" "), most.parse().unwrap())
            }
            ["INV.APPLY", arguments @ ..] => {
                assert_eq!(self.at_work_for, For::Link, "INV.APPLY is not for clients");
                let arguments: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
                effects::replay(self, &arguments).expect("a replica accepts what its master sends");
                false
            }
            _ => panic!("the simulation does not know {words:?}"),
        };
        if changed && self.at_work_for == For::Client {
            let sent =
                if words[0] == "EVICT" { ["DEL"].iter().chain(&words[1..]) } else { [].iter().chain(words) };
            self.unit.push(sent.map(|word| (*word).to_owned()).collect());
        }
    }

    fn take_away(&mut self, name: &str, how: Removal, event: &str) -> bool {
        if !self.finds(name) {
            return false;
        }
        self.goes(name, how);
        self.data.remove(name);
        self.tell(event, name);
        true
    }

    fn put(&mut self, name: &str, value: Value, until: Option<UnixMs>, events: &[&str]) -> bool {
        if self.finds(name) {
            self.goes(name, Removal::Overwritten);
        }
        self.data.insert(name.to_owned(), Entry { value, until });
        events.iter().for_each(|event| self.tell(event, name));
        true
    }

    fn set_field(&mut self, name: &str) -> bool {
        if !self.finds(name) {
            return self.put(name, Value::Hash, None, &["hset"]);
        }
        let is_hash = self.data[name].value == Value::Hash;
        if is_hash {
            self.tell("hset", name);
        }
        is_hash
    }

    fn count(&mut self, name: &str, by: i64) -> bool {
        let until = if self.finds(name) { self.data[name].until } else { None };
        let before = match self.stored(name) {
            Some(text) => text.parse().ok(),
            None if self.data.contains_key(name) => None,
            None => Some(0),
        };
        let Some(after) = before.and_then(|before: i64| before.checked_add(by)) else { return false };
        self.data.insert(name.to_owned(), Entry { value: Value::Text(after.to_string()), until });
        self.tell("incrby", name);
        true
    }

    fn set_ttl(&mut self, name: &str, until: Option<UnixMs>, event: &str) -> bool {
        let found = self.finds(name);
        if found {
            self.data.get_mut(name).unwrap().until = until;
            self.tell(event, name);
        }
        found
    }

    fn rename(&mut self, from: &str, to: &str) -> bool {
        if !self.finds(from) {
            return false;
        }
        if self.finds(to) {
            self.goes(to, Removal::Deleted);
        }
        self.data.insert(to.to_owned(), self.data[from].clone());
        self.goes(from, Removal::Deleted);
        self.data.remove(from);
        self.tell("rename_from", from);
        self.tell("rename_to", to);
        true
    }

    fn add_member(&mut self, name: &str, member: &str, score: f64) -> bool {
        self.finds(name);
        let empty = Entry { value: Value::SortedSet(BTreeMap::new()), until: None };
        let stored = self.data.entry(name.to_owned()).or_insert(empty);
        let Value::SortedSet(members) = &mut stored.value else { return false };
        // Without a change, there is no notification.
        if members.insert(member.to_owned(), score) == Some(score) {
            return false;
        }
        self.tell("zadd", name);
        true
    }

    fn take_member(&mut self, name: &str, member: &str) -> bool {
        if !self.finds(name) {
            return false;
        }
        let Value::SortedSet(members) = &mut self.data.get_mut(name).unwrap().value else { return false };
        if members.remove(member).is_none() {
            return false;
        }
        let is_empty = members.is_empty();
        self.tell("zrem", name);
        if is_empty {
            self.data.remove(name);
            self.tell("del", name);
        }
        true
    }

    fn append_entry(&mut self, name: &str, entry: String, most: usize) -> bool {
        let empty = Entry { value: Value::Stream(Vec::new()), until: None };
        let stored = self.data.entry(name.to_owned()).or_insert(empty);
        let Value::Stream(entries) = &mut stored.value else { return false };
        entries.push(entry);
        let excess = entries.len().saturating_sub(most);
        entries.drain(..excess);
        true
    }

    fn look_at(&mut self, name: &str) {
        self.stay_in_slot(name);
        if let Some(looks) = &mut self.looks {
            looks.push(name.to_owned());
        }
    }

    /// A real server would look for the key in the slot of the command, and create a second one there.
    fn stay_in_slot(&self, name: &str) {
        if let Some(slot) = self.slot {
            assert_eq!(Slot::of(name), slot, "{name} is in another slot than its command");
        }
    }

    /// Opens a key for writing.
    fn open_to_write(&mut self, key: Key<'_>) -> (String, bool) {
        assert!(self.role == Role::Master || self.at_work_for == For::Link, "a replica writes on its own");
        assert!(!self.paused, "a real server crashes after a write while clients are paused");
        let name = key.name(self.style);
        self.stay_in_slot(&name);
        let found = self.finds(&name);
        self.untold.insert(name.clone());
        (name, found)
    }
}

impl Simulation {
    /// A page of a SCAN, which names no key that is due. The cursor is the place in the order of the names.
    fn page(&self, cursor: u64, count: usize) -> (u64, Vec<String>) {
        let from = usize::try_from(cursor).unwrap();
        let mut names = self.data.keys().skip(from);
        let page = names.by_ref().take(count).filter(|name| !self.is_due(name)).cloned().collect();
        let next = if names.next().is_some() { from + count } else { 0 };
        (next as u64, page)
    }
}

impl Keyspace for Simulation {
    fn now(&self) -> UnixMs {
        self.clock
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn style(&self) -> KeyStyle {
        self.style
    }

    fn set_style(&mut self, style: KeyStyle) {
        self.style = style;
    }

    fn slot_state(&mut self, id: &str) -> SlotState {
        self.called();
        self.slot_questions += 1;
        self.slots.get(&Slot::of(id)).copied().unwrap_or(SlotState::Stable)
    }

    fn confined_to(&self) -> Option<Slot> {
        self.slot
    }

    fn read(&mut self, key: Key<'_>) -> Reading {
        self.called();
        let name = key.name(self.style);
        self.look_at(&name);
        if self.finds(&name) { self.reading(&name) } else { Reading::Absent }
    }

    fn peek(&mut self, key: Key<'_>) -> Reading {
        self.called();
        let name = key.name(self.style);
        self.look_at(&name);
        if self.is_due(&name) && self.at_work_for != For::Link {
            return Reading::Absent;
        }
        self.reading(&name)
    }

    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>) {
        self.called();
        let value = Value::Text(String::from_utf8(value.to_vec()).expect("the engine writes text"));
        let (name, found) = self.open_to_write(key);
        if found {
            self.own_write = Some(name.clone());
            self.goes(&name, Removal::Overwritten);
            self.own_write = None;
        }
        self.data.insert(name, Entry { value, until });
    }

    fn rewrite(&mut self, key: Key<'_>, value: &[u8]) {
        self.called();
        let value = Value::Text(String::from_utf8(value.to_vec()).expect("the engine writes text"));
        let (name, found) = self.open_to_write(key);
        assert!(found, "{name} is overwritten, but does not exist");
        self.data.get_mut(&name).unwrap().value = value;
    }

    fn add(&mut self, key: Key<'_>, delta: i64) -> i64 {
        self.called();
        assert!(matches!(key, Key::Available(_) | Key::Reserved(_)), "{key:?} is not a counter");
        let (name, _) = self.open_to_write(key);
        let entry =
            self.data.entry(name).or_insert(Entry { value: Value::Text("0".to_owned()), until: None });
        let Value::Text(text) = &mut entry.value else { panic!("{key:?} is not a string") };
        let sum = text.parse::<i64>().expect("an integer").checked_add(delta).expect("the sum fits");
        *text = sum.to_string();
        sum
    }

    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking {
        self.called();
        if self.peek(key) == Reading::Absent {
            return Ranking::Absent;
        }
        let Value::SortedSet(members) = &self.data[&key.name(self.style)].value else {
            return Ranking::Other("something else");
        };
        if members.len() > most {
            return Ranking::TooMany(members.len());
        }
        let mut members: Vec<(f64, &String)> = members.iter().map(|(name, score)| (*score, name)).collect();
        members.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(other.1)));
        let member = |(score, name): &(f64, &String)| (name.as_bytes().to_vec(), *score);
        Ranking::Members(members.iter().map(member).collect())
    }

    fn ranking_of(&mut self, key: Key<'_>, member: &str) -> Ranking {
        match self.ranking(key, usize::MAX) {
            Ranking::Members(mut members) => {
                members.retain(|(name, _)| name == member.as_bytes());
                Ranking::Members(members)
            }
            other => other,
        }
    }

    fn rank(&mut self, key: Key<'_>, member: &str, score: f64) {
        self.called();
        let (name, _) = self.open_to_write(key);
        let empty = Entry { value: Value::SortedSet(BTreeMap::new()), until: None };
        let Value::SortedSet(members) = &mut self.data.entry(name).or_insert(empty).value else {
            panic!("{key:?} is not a sorted set");
        };
        members.insert(member.to_owned(), score);
    }

    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool {
        self.called();
        let (name, found) = self.open_to_write(key);
        if !found {
            return true;
        }
        let Value::SortedSet(members) = &mut self.data.get_mut(&name).unwrap().value else {
            panic!("{key:?} is not a sorted set");
        };
        members.remove(member);
        let went = members.is_empty();
        if went {
            self.data.remove(&name);
        }
        went
    }

    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64) {
        self.called();
        let (name, _) = self.open_to_write(key);
        self.untold.remove(&name);
        let id = format!("{}-{}", self.clock, self.unit.len());
        let words = fields.iter().flat_map(|(name, value)| [*name, *value]);
        let words: Vec<String> = [id.as_str()].into_iter().chain(words).map(str::to_owned).collect();
        if self.append_entry(&name, words.join(" "), usize::try_from(most).unwrap()) {
            self.events.push(("xadd".to_owned(), name.clone()));
            let mut command = ["XADD", &name, "MAXLEN", "=", &most.to_string()].map(str::to_owned).to_vec();
            command.extend(words);
            self.unit.push(command);
        }
    }

    fn remove(&mut self, key: Key<'_>) {
        self.called();
        let (name, found) = self.open_to_write(key);
        if found {
            self.own_write = Some(name.clone());
            self.goes(&name, Removal::Deleted);
            self.own_write = None;
            self.data.remove(&name);
        }
    }

    fn notify(&mut self, event: &'static CStr, key: Key<'_>) {
        self.called();
        let name = key.name(self.style);
        self.untold.remove(&name);
        self.events.push((event.to_str().unwrap().to_owned(), name));
    }

    fn replicate(&mut self, command: Sent, arguments: &[Argument<'_>]) {
        self.called();
        assert_eq!(self.role, Role::Master, "a replica replicates {command:?}");
        let words = arguments.iter().map(|argument| match argument {
            Argument::Key(key) => key.name(self.style),
            Argument::Word(word) => (*word).to_owned(),
            Argument::Phrase(word, number) => format!("{word} {number}"),
            Argument::Text(text) => String::from_utf8(text.to_vec()).expect("the engine sends text"),
            Argument::Number(number) => number.to_string(),
        });
        let command = [command.name().to_str().unwrap().to_owned()].into_iter().chain(words).collect();
        self.unit.push(command);
    }

    fn publish(&mut self, channel: &'static str, message: &[u8]) {
        self.called();
        let message = String::from_utf8(message.to_vec()).expect("the engine publishes text");
        self.unit.push(vec!["PUBLISH".to_owned(), channel.to_owned(), message.clone()]);
        self.published.push((channel.to_owned(), message));
    }

    fn counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Counted>), Refusal> {
        let (next, names) = self.page(cursor, count);
        let counted = names.iter().filter_map(|name| Counted::parse(name.as_bytes(), self.style));
        Ok((next, counted.collect()))
    }

    fn products_in_warehouses(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Product>), Refusal> {
        let (next, names) = self.page(cursor, count);
        let product = |name: &String| match watched(name.as_bytes(), self.style) {
            Some(Watched::Warehouses(product)) => Some(product),
            _ => None,
        };
        Ok((next, names.iter().filter_map(product).collect()))
    }

    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut self.ledger)
    }

    fn tally(&mut self, what: Tally, by: i64) {
        match self.tallies.iter_mut().find(|(kind, _)| *kind == what) {
            Some((_, total)) => *total += by,
            None => self.tallies.push((what, by)),
        }
    }

    fn report(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }

    fn lag(&mut self, late_ms: i64) {
        self.lags.push(late_ms);
    }
}

fn text_of(entry: &Entry) -> Option<&[u8]> {
    match &entry.value {
        Value::Text(text) => Some(text.as_bytes()),
        Value::Hash | Value::SortedSet(_) | Value::Stream(_) => None,
    }
}

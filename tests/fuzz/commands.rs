//! Fuzzes whole histories, line by line: calls of the module's commands, as typed into redis-cli, and what time, the operator and
//! other clients do. They run through the real parsers and the engine on the simulated server, with a replica.
//!
//! The lines are those of `common/lines.rs`, and mutations of them. There are also `MULTI` and `EXEC`, which enclose one unit of
//! work, `SWEEP n`, which runs the cron with time for n records, and `CONFIG name number`, which sets an option of the module.
//!
//! [`Shop::compare`] has the invariants that are checked after each line, for skus whose keys no other client has written.

use std::collections::{BTreeMap, BTreeSet};

use redis_inventory::commands::Request;
use redis_inventory::engine::effects::{self, Effect};
use redis_inventory::engine::keyspace::{Counter, LoadRepair};
use redis_inventory::engine::resolve::ResolveRequest;
use redis_inventory::engine::restock::{AdjustRequest, SetRequest};
use redis_inventory::engine::{alerts, audit, queries, stockscan};
use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::key::{Counted, Key, Watched, watched};
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::quantity::UnixMs;
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

use super::calls;
use super::lines::{self, READS, absolute};
use super::simulation::{BEGIN, Data, Entry, Simulation, Value};
use super::words::words;

/// The number of lines of an input that are run.
const MOST_LINES: usize = 100;
/// The longest wait of one line: a hundred years.
const LONGEST_MS: i64 = 3_155_760_000_000;

/// Runs a history. Panics if an invariant is broken.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut shop = Shop::open();
    for line in text.lines().take(MOST_LINES) {
        let words = words(line.as_bytes());
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        shop.play(&words);
    }
    shop.close();
}

struct Shop {
    master: Simulation,
    replica: Simulation,
    /// Within MULTI.
    joined: bool,
    /// Other clients have written outcomes: then the events alone do not tell which reservations exist.
    outcomes_by_hand: bool,
    /// Reservations whose keys other clients have written.
    by_hand: BTreeSet<String>,
    /// How often each may still end, according to the replication stream.
    open: BTreeMap<String, i64>,
    /// The latest record under each name.
    copies: BTreeMap<String, String>,
    /// The books after the last step; `None` if something other than the module has changed them.
    known: Option<Books>,
}

/// One sku, according to its keys and the index. `None` if another client has made a counter invalid, or given it a TTL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shelf {
    available: i128,
    reserved: i128,
    /// By live reservations, and by those that are pending or remembered.
    held: i128,
    floor: i128,
}

impl Shelf {
    fn on_hand(&self) -> i128 {
        self.available + self.reserved
    }

    fn drift(&self) -> i128 {
        self.reserved - self.held
    }
}

/// All skus at one moment.
#[derive(Clone, Debug)]
struct Books {
    shelves: BTreeMap<Sku, Option<Shelf>>,
    /// How each remembered reservation ended.
    endings: BTreeMap<ReservationId, Ending>,
    /// Whether every event has been handled, and all keys are known.
    settled: bool,
}

/// How a step may change the units on hand.
enum Moves {
    /// Nothing.
    Nothing,
    /// This much of each sku, and nothing of others.
    These(BTreeMap<Sku, i128>),
    /// These or nothing: the command has a token that may have been used before.
    TheseOrNothing(BTreeMap<Sku, i128>),
    /// Nothing, but the available units of this sku may become negative: a repair.
    Repaired(Sku),
    /// The available units of this sku, to whatever number: a count or a loss with FORCE.
    Forced(Sku),
}

impl Shop {
    fn open() -> Self {
        let mut master = Simulation::new();
        master.settings.feed_maxlen = 20;
        let replica = Simulation::replica_of(&master);
        Self {
            master,
            replica,
            joined: false,
            outcomes_by_hand: false,
            by_hand: BTreeSet::new(),
            open: BTreeMap::new(),
            copies: BTreeMap::new(),
            known: None,
        }
    }

    fn play(&mut self, words: &[&[u8]]) {
        if let Some(read) = Request::read(words, self.master.style, &self.master.settings) {
            match read {
                Ok(request) => {
                    let name = String::from_utf8_lossy(words[0]).to_ascii_uppercase();
                    self.call(&request, READS.contains(&name.as_str()));
                    self.keep_copy(words.get(1).copied().unwrap_or_default());
                    if matches!(request, Request::Replace(_)) {
                        self.keep_copy(words.get(2).copied().unwrap_or_default());
                    }
                }
                Err(refusal) => assert_eq!(refusal.code(), "ERR"),
            }
            return;
        }
        let words: Option<Vec<&str>> = words.iter().map(|word| std::str::from_utf8(word).ok()).collect();
        let Some(words) = words else { return };
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| number.abs() <= LONGEST_MS);
        match words.as_slice() {
            ["MULTI"] => {
                self.finish();
                self.joined = true;
            }
            ["EXEC"] => self.finish(),
            ["WAIT", ms] => {
                // The clock does not go back to long before the simulation began.
                let Some(ms) = number(ms).filter(|ms| self.master.clock + ms >= BEGIN / 2) else { return };
                self.finish();
                self.known = None;
                self.master.advance(ms);
                self.replica.advance(ms);
            }
            ["SWEEP"] => self.sweep(usize::MAX),
            ["SWEEP", records] => {
                if let Some(records) = number(records).and_then(|records| usize::try_from(records).ok()) {
                    self.sweep(records.max(1));
                }
            }
            ["CYCLE"] => {
                self.finish();
                let before = self.take_books();
                self.master.expire_cycle();
                self.compare(&before, &Moves::Nothing);
                self.finish();
            }
            ["RESTART"] => self.restart(false),
            ["RESTART", "RDB"] => self.restart(true),
            ["FAILOVER"] => {
                self.finish();
                self.go();
                self.known = None;
                self.master.walk_over(usize::MAX);
                self.finish();
                self.known = None;
                self.replica.change_role();
                self.master.change_role();
                std::mem::swap(&mut self.master, &mut self.replica);
            }
            ["LOAD"] => {
                self.finish();
                self.known = None;
                self.master.load_module();
            }
            ["WALK", keys] => {
                let Some(keys) = number(keys).and_then(|keys| usize::try_from(keys).ok()) else { return };
                self.finish();
                self.known = None;
                self.master.walk_over(keys);
            }
            ["PAUSE"] => {
                self.finish();
                self.master.paused = true;
            }
            ["IMPORT"] => {
                self.finish();
                self.master.importing = true;
            }
            ["BUSY"] => {
                self.finish();
                self.master.is_busy = true;
            }
            ["GO"] => {
                self.finish();
                self.go();
            }
            ["CONFIG", name, value] => {
                if let Some(value) = number(value) {
                    self.finish();
                    self.configure(name, value);
                }
            }
            ["RELOAD"] => {
                self.finish();
                self.known = None;
                self.master.reload();
                self.master.finish();
                // The server does not propagate what it drops at a load.
                self.master.take_stream();
                self.replica = Simulation::replica_of(&self.master);
            }
            ["HOLD", sku, units] => {
                if let Some(units) = number(units) {
                    self.all_by_hand(&lines::hold(sku, units));
                }
            }
            ["SCRIPT", verb, id] => self.script(verb, id),
            ["RESTORE", name, life @ ..] => {
                if let Some(json) = self.copies.get(*name).cloned() {
                    self.by_hand(&[&["SET", name, &json], life].concat());
                }
            }
            _ => self.by_hand(&words),
        }
    }

    /// Runs a shop's own script in one unit of work.
    fn script(&mut self, verb: &str, id: &str) {
        let json = self.copies.get(&format!("reservation:{id}"));
        let id = ReservationId::parse(id.as_bytes(), self.master.style).ok();
        let record =
            id.zip(json).and_then(|(id, json)| Record::from_json(&id, json.as_bytes(), self.master.style));
        let Some(record) = record else { return };
        let held = record.items.iter().map(|line| (line.sku.as_str(), line.quantity.units()));
        let held: Vec<(&str, i64)> = held.collect();
        self.all_by_hand(&lines::script(record.id.as_str(), &held, verb == "ROLLBACK"));
    }

    fn all_by_hand(&mut self, lines: &[lines::Line]) {
        let was_joined = std::mem::replace(&mut self.joined, true);
        for line in lines {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            self.by_hand(&words);
        }
        self.joined = was_joined;
        self.end_step();
    }

    fn go(&mut self) {
        self.master.paused = false;
        self.master.importing = false;
        self.master.is_busy = false;
    }

    fn configure(&mut self, name: &str, value: i64) {
        let settings = &mut self.master.settings;
        match name {
            "hold-ttl-ms" => settings.hold_ttl_ms = value.max(1),
            "max-hold-ms" => settings.max_hold_ms = value.max(-1),
            "outcome-ttl-ms" => settings.outcome_ttl_ms = value.max(0),
            "low-stock-threshold" => settings.low_stock_threshold = value.max(0),
            "alert-ttl-ms" => settings.alert_ttl_ms = value.max(1),
            "alert-cooldown-ms" => settings.alert_cooldown_ms = value.max(0),
            "feed-maxlen" => settings.feed_maxlen = value.clamp(0, 1_000_000_000),
            "max-items" => settings.max_items = usize::try_from(value.clamp(1, 1024)).unwrap(),
            "max-data-bytes" => settings.max_data_bytes = usize::try_from(value.clamp(0, 1_048_576)).unwrap(),
            "load-repair" => {
                settings.load_repair = match value {
                    0 => LoadRepair::Auto,
                    1 => LoadRepair::Report,
                    _ => LoadRepair::Return,
                }
            }
            "key-style" if self.master.data.is_empty() => {
                let style = if value == 0 { KeyStyle::Plain } else { KeyStyle::Tagged };
                self.master.style = style;
                self.replica.style = style;
            }
            _ => {}
        }
        self.replica.settings = *settings;
    }

    // --- other clients ---

    fn by_hand(&mut self, words: &[&str]) {
        let now = self.master.clock;
        let is_life = |ms: &str| ms.parse::<i64>().is_ok_and(|ms| (1..=LONGEST_MS).contains(&ms));
        let is_number = |text: &str| text.parse::<i64>().is_ok_and(|number| number != i64::MIN);
        let name = match words {
            ["GET" | "DEL" | "UNLINK" | "EVICT" | "PERSIST", name]
            | ["SET", name, _]
            | ["HSET", name, ..] => *name,
            ["ZREM", name, _] => *name,
            ["SET", name, _, "PX", ms] | ["PEXPIRE", name, ms] if is_life(ms) => *name,
            ["ZADD", name, number, _] | ["INCRBY" | "DECRBY", name, number] if is_number(number) => *name,
            ["RENAME", from, to] if from != to => *to,
            _ => return,
        };
        // While keys are imported, an overdue key reads as absent and is not deleted. A server that creates another type under
        // its name is at fault itself.
        let is_kept = self.master.importing
            && self.master.data.get(name).and_then(|entry| entry.until).is_some_and(|until| now > until);
        if (self.master.paused || (is_kept && words[0] == "HSET")) && words[0] != "GET" {
            return;
        }
        if words[0] == "GET" {
            // Reading a key deletes it if it has expired, and changes nothing else.
            let before = self.take_books();
            self.master.execute(words);
            self.compare(&before, &Moves::Nothing);
        } else {
            self.known = None;
            self.note_hands(name);
            if let ["RENAME", from, _] = words {
                self.note_hands(from);
            }
            let words = absolute(words, now).expect("a lifetime that was looked at");
            self.master.execute(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.end_step();
    }

    fn note_hands(&mut self, name: &str) {
        self.outcomes_by_hand |= name.starts_with("inventory:outcome:");
        if let Some(Watched::Reservation(Some(id)) | Watched::Outcome(id)) =
            watched(name.as_bytes(), self.master.style)
        {
            self.by_hand.insert(id.as_str().to_owned());
        }
    }

    // --- the module ---

    fn sweep(&mut self, records: usize) {
        self.finish();
        let before = self.take_books();
        self.master.sweep_slice(records);
        self.compare(&before, &Moves::Nothing);
        self.finish();
    }

    fn restart(&mut self, from_rdb: bool) {
        self.finish();
        self.go();
        self.known = None;
        self.master.walk_over(usize::MAX);
        self.finish();
        self.known = None;
        self.master.restart(from_rdb);
        if !from_rdb {
            let before = self.take_books();
            self.finish();
            self.compare(&before, &Moves::Nothing);
        }
        self.master.finish();
        self.master.take_stream();
        self.replica = Simulation::replica_of(&self.master);
    }

    fn call(&mut self, request: &Request, reads: bool) {
        if self.master.paused && !reads {
            return;
        }
        let before = self.take_books();
        let was_quiet = self.is_quiet(&before);
        let (data, sent, told) =
            (self.master.data.clone(), self.master.unit_so_far().len(), self.master.events.len());
        let answer = self.run(request);
        let own =
            self.master.unit_so_far()[sent..].iter().filter(|command| command[0] == "INV.APPLY").count();
        assert!(own <= 1, "{request:?} was sent in {own} pieces");
        if reads || answer.is_err() {
            assert_eq!(own, 0, "{request:?} changed something: {answer:?}");
            if was_quiet {
                self.assert_unchanged(data.clone(), sent, told, &answer);
            }
        }
        let moves = if answer.is_err() { Moves::Nothing } else { self.moves(request, &data) };
        self.compare(&before, &moves);
        self.end_step();
    }

    fn keep_copy(&mut self, id: &[u8]) {
        let name = format!("reservation:{}", String::from_utf8_lossy(id));
        if let Some(json) = self.master.stored(&name) {
            self.copies.insert(name.clone(), json.to_owned());
        }
    }

    /// Runs a call. Its result is only checked for what it is about.
    fn run(&mut self, request: &Request) -> Result<(), Refusal> {
        let server = &mut self.master;
        match request {
            Request::Audit(sku) => audit::look_at(server, sku).map(|found| {
                let held = found.map_or(0, |found| found.audit.held);
                assert_eq!(held, server.memory().holds.held_by_others(sku, 0));
            }),
            Request::Get(id) => queries::get(server, id).map(|view| {
                let now = server.clock;
                if let Some(view) = view.filter(|view| view.state == "reserved") {
                    assert!(view.expires_at >= now && !view.items.is_empty(), "{view:?}");
                }
            }),
            Request::Stock(products) => {
                queries::stock(server, products).map(|views| assert_eq!(views.len(), products.len()))
            }
            Request::Scan(query) => {
                queries::scan(server, query, |_| true).map(|(_, found)| assert!(found.len() <= query.count))
            }
            Request::StockScan(query) => stockscan::stock_scan(server, query, |_| true).map(|page| {
                for (product, stocked) in page.found {
                    let Ok(view) = stocked else { continue };
                    let view = view.expect("a product that was found");
                    assert!(
                        !query.low || view.units.reservable <= view.threshold.max(0),
                        "{product} {view:?}"
                    );
                }
            }),
            Request::Alerts(query) => {
                let listed = alerts::list(server, query, |_| true);
                assert!(listed.len() <= query.count);
                Ok(())
            }
            _ => calls::answer(server, request).map(|_| ()),
        }
    }

    /// What a successful call may have moved, according to the keys before it.
    fn moves(&self, request: &Request, before: &Data) -> Moves {
        let unless_seen =
            |moves, once: bool| if once { Moves::TheseOrNothing(moves) } else { Moves::These(moves) };
        match request {
            Request::Adjust(AdjustRequest { sku, force: true, .. })
            | Request::Set(SetRequest { sku, force: true, .. }) => Moves::Forced(sku.clone()),
            Request::Adjust(request) => {
                let delta = BTreeMap::from([(request.sku.clone(), i128::from(request.delta))]);
                unless_seen(delta, request.once.is_some())
            }
            Request::Set(request) => {
                let (before, after) = (units(before, &request.sku, self), self.units(&request.sku));
                let delta = BTreeMap::from([(request.sku.clone(), after - before)]);
                unless_seen(delta, request.once.is_some())
            }
            Request::Transfer(request) => {
                let units = i128::from(request.quantity.units());
                let place = |warehouse| Sku::at(request.product.as_str(), warehouse);
                let delta = BTreeMap::from([(place(&request.from), -units), (place(&request.to), units)]);
                unless_seen(delta, request.once.is_some())
            }
            Request::Commit(request) => self.sold(request, before),
            Request::Repair(sku, _) => Moves::Repaired(sku.clone()),
            Request::MCommit(ids) => {
                let mut sold = BTreeMap::new();
                for id in ids.iter().collect::<BTreeSet<_>>() {
                    let Some((record, until)) = self.record(before, id) else { continue };
                    if until >= self.master.clock
                        && !self.master.data.contains_key(&format!("reservation:{}", id.as_str()))
                    {
                        for line in record.items {
                            *sold.entry(line.sku).or_insert(0) -= i128::from(line.quantity.units());
                        }
                    }
                }
                if sold.is_empty() { Moves::Nothing } else { Moves::These(sold) }
            }
            _ => Moves::Nothing,
        }
    }

    fn sold(&self, request: &ResolveRequest, before: &Data) -> Moves {
        let id = &request.id;
        let negative = |lines: &[Line]| {
            lines.iter().map(|line| (line.sku.clone(), -i128::from(line.quantity.units()))).collect()
        };
        let record = self.record(before, id);
        let is_over = |record: &(Record, UnixMs)| record.1 < self.master.clock;
        match record {
            Some(live) if !is_over(&live) => {
                let part = request.part.as_ref().map(|part| live.0.resolve_part(part));
                // A part that is not held can only have been answered because of a token.
                let lines = match part {
                    None => live.0.items,
                    Some(Ok(lines)) => lines,
                    Some(Err(_)) => Vec::new(),
                };
                if request.once.is_some() {
                    Moves::TheseOrNothing(negative(&lines))
                } else {
                    Moves::These(negative(&lines))
                }
            }
            // A late commit takes again what has returned.
            over if request.late => {
                let taken = match (self.outcome(before, id), over) {
                    (Some(outcome), _) if outcome.ending == Ending::Expired => {
                        negative(&outcome.to_take_again())
                    }
                    (None, Some((record, _))) => negative(&record.items),
                    _ => BTreeMap::new(),
                };
                if request.once.is_some() { Moves::TheseOrNothing(taken) } else { Moves::These(taken) }
            }
            _ => Moves::Nothing,
        }
    }

    /// After a step: ends the unit, unless it has several steps.
    fn end_step(&mut self) {
        if !self.joined {
            self.finish();
        }
    }

    /// Ends a unit of work, including the module's job after it, and compares the replica.
    fn finish(&mut self) {
        self.joined = false;
        let is_idle = self.master.unit_so_far().is_empty() && !self.master.memory().is_behind();
        if is_idle && self.known.is_some() {
            // Nothing was done, and nothing is pending.
            self.master.finish();
        } else {
            let before = self.take_books();
            self.master.finish();
            self.compare(&before, &Moves::Nothing);
        }
        let stream = self.master.take_stream();
        self.count_endings(&stream);
        self.replica.clock = self.master.clock;
        self.replica.receive(&stream);
        assert_eq!(self.replica.data, self.master.data, "the replica differs from its master");
        if !stream.is_empty() {
            self.compare_memory();
        }
    }

    /// Ends the history: everything resumes, and a long time passes.
    fn close(&mut self) {
        self.finish();
        self.go();
        self.known = None;
        self.master.walk_over(usize::MAX);
        self.finish();
        self.scan();
        for ms in [LONGEST_MS, 2000] {
            self.known = None;
            self.master.advance(ms);
            self.replica.advance(ms);
            self.sweep(usize::MAX);
        }
        let (master, now) = (&self.master, self.master.clock);
        assert_eq!(master.memory().pending.len(), 0, "what has ended but is not settled");
        for id in ids(&master.data, master.style) {
            let deadline = master.memory().holds.deadline(&id);
            assert!(deadline.is_none_or(|deadline| deadline >= now), "reservation {id} does not end");
        }
        self.scan();
    }

    // --- invariants ---

    /// Checks a step of the module: no unit was created or lost unless that was requested, no counter fell below 0 and the floor,
    /// and a counter that matched what reservations hold still does.
    fn compare(&mut self, before: &Books, moves: &Moves) {
        let after = self.books();
        let nothing = Shelf { available: 0, reserved: 0, held: 0, floor: 0 };
        let absent = Some(nothing);
        let skus: BTreeSet<&Sku> = before.shelves.keys().chain(after.shelves.keys()).collect();
        let shelf = |books: &'_ Books, sku: &Sku| books.shelves.get(sku).unwrap_or(&absent).clone();
        let mut all_still = true;
        let mut all_moved = true;
        for sku in skus {
            let (Some(old), Some(new)) = (shelf(before, sku), shelf(&after, sku)) else { continue };
            if sku.is_quota() {
                // Nobody has bought less than nothing, unless another client's numbers say so.
                let is_right = |shelf: &Shelf| shelf.available <= -shelf.reserved.max(0);
                assert!(!is_right(&old) || is_right(&new), "quota {sku}: {old:?} {new:?}");
                if before.settled && after.settled && !self.outcomes_by_hand {
                    assert!(new.drift().abs() <= old.drift().abs(), "drift of {sku}: {old:?} {new:?}");
                }
                continue;
            }
            let floor = old.floor.min(new.floor).min(0);
            for (was, is, lowest, what) in [
                (old.available, new.available, floor, "available"),
                (old.reserved, new.reserved, 0, "reserved"),
            ] {
                let is_free = matches!(moves, Moves::Repaired(of) | Moves::Forced(of) if of == sku);
                assert!(is >= was.min(lowest) || is_free, "{what} units of {sku}: {was}, then {is}");
            }
            let delta = new.on_hand() - old.on_hand();
            let told = |moves: &BTreeMap<Sku, i128>| moves.get(sku).copied().unwrap_or(0);
            match moves {
                Moves::Nothing | Moves::Repaired(_) => {
                    assert_eq!(delta, 0, "units of {sku} were lost or made: {old:?} {new:?}")
                }
                Moves::Forced(of) => assert!(delta == 0 || of == sku, "units of {sku}: {old:?} {new:?}"),
                Moves::These(moves) => assert_eq!(delta, told(moves), "units of {sku}: {old:?} {new:?}"),
                Moves::TheseOrNothing(moves) => {
                    all_still &= delta == 0;
                    all_moved &= delta == told(moves);
                }
            }
            // If another client's number would make available overflow, nothing can be returned to it.
            let has_room = old.available + old.held <= i128::from(i64::MAX);
            if before.settled && after.settled && has_room && !self.outcomes_by_hand {
                assert!(new.drift().abs() <= old.drift().abs(), "drift of {sku}: {old:?} {new:?}");
            }
        }
        for (id, now) in &after.endings {
            let was = before.endings.get(id).copied().unwrap_or(Ending::Expired);
            let is_later = match now {
                Ending::Replaced => was == Ending::RolledBack,
                Ending::Committed | Ending::RolledBack | Ending::Expired => false,
            };
            assert!(
                was == Ending::Expired || was == *now || is_later,
                "reservation {id} was {was:?}, then {now:?}"
            );
        }
        assert!(all_still || all_moved, "a part was moved: {before:?} {after:?}");
        self.known = Some(after);
    }

    /// Compares memory with the keys: it must be equal on the replica, and on the master except for what is pending or
    /// remembered.
    fn compare_memory(&self) {
        for server in [&self.master, &self.replica] {
            let ledger = server.memory();
            if !ledger.is_complete() || ledger.is_behind() || self.outcomes_by_hand {
                continue;
            }
            let mut held: BTreeMap<Sku, i128> = BTreeMap::new();
            for id in ids(&server.data, server.style) {
                let name = Key::Reservation(&id).name(server.style);
                if let Some((record, _)) = self.record(&server.data, &id)
                    && !ledger.foreign.contains(name.as_bytes())
                {
                    for line in record.items {
                        *held.entry(line.sku).or_default() += i128::from(line.quantity.units());
                    }
                }
            }
            for (sku, units) in held {
                let known = i128::from(ledger.holds.held_by_others(&sku, 0));
                assert!(known >= units, "{units} units of {sku} are held, {known} known");
                if std::ptr::eq(server, &raw const self.replica) {
                    assert_eq!(known, units, "held units of {sku} on the replica");
                }
            }
        }
    }

    /// After a refusal or a reading command, if nothing was overdue: only the server may have deleted expired keys.
    fn assert_unchanged(&self, mut before: Data, sent: usize, told: usize, answer: &Result<(), Refusal>) {
        let now = self.master.clock;
        before.retain(|name, entry| {
            entry.until.is_none_or(|until| now <= until) || self.master.data.contains_key(name)
        });
        assert_eq!(self.master.data, before, "{answer:?} changed keys");
        let sent = &self.master.unit_so_far()[sent..];
        assert!(sent.iter().all(|command| command[0] == "DEL"), "{answer:?} sent {sent:?}");
        let mut events = self.master.events[told..].iter();
        assert!(events.all(|(event, _)| event == "expired"), "{answer:?} announced changes");
    }

    /// Whether a call finds nothing to settle.
    fn is_quiet(&self, books: &Books) -> bool {
        let server = &self.master;
        let now = server.clock;
        let ledger = server.memory();
        let is_over = |id: &ReservationId| ledger.holds.deadline(id).is_some_and(|deadline| deadline < now);
        // Remembered reservations that are overdue are not visible here, but they make the sums larger than the records.
        let mut held: BTreeMap<Sku, i64> = books.shelves.keys().map(|sku| (sku.clone(), 0)).collect();
        let ids = ids(&server.data, server.style);
        for line in ids.iter().filter_map(|id| ledger.holds.lines(id)).flatten() {
            let units = held.entry(line.sku).or_default();
            *units = units.saturating_add(line.quantity.units());
        }
        let remembered = held.iter().any(|(sku, units)| ledger.holds.held_by_others(sku, 0) != *units);
        ledger.is_complete() && !ledger.is_behind() && !remembered && !ids.iter().any(is_over)
    }

    /// A walk over live reservations finds each of them, one over products each that INV.STOCK knows, once, and one over
    /// skus each that drifts.
    fn scan(&mut self) {
        let server = &mut self.master;
        if !server.memory().is_complete() {
            return;
        }
        let (mut from, mut found) = (None, BTreeSet::new());
        loop {
            // The page shows the whole reservations in every second step.
            let full = found.len() % 2 == 0;
            let query = queries::ScanQuery { from, count: 1, product: None, pattern: None, full };
            let (next, page) = queries::scan(server, &query, |_| true).unwrap();
            assert!(page.iter().all(|one| one.view.is_some() == full));
            found.extend(page.into_iter().map(|one| one.id));
            from = next;
            if from.is_none() {
                break;
            }
        }
        let now = server.clock;
        let is_live =
            |id: &ReservationId| server.memory().holds.deadline(id).is_some_and(|deadline| deadline >= now);
        let live: BTreeSet<ReservationId> =
            ids(&server.data, server.style).into_iter().filter(is_live).collect();
        assert_eq!(found, live, "INV.SCAN");
        self.scan_stock();
        let (mut cursor, mut drifting) = (audit::AuditCursor::START, BTreeSet::new());
        loop {
            let page = audit::audit_scan(&mut self.master, cursor, 1, |_| true).unwrap();
            assert!(page.found.iter().all(|found| found.audit.drift() != 0 || found.stray != 0));
            let drifts = page.found.into_iter().map(|found| found.audit).filter(|audit| audit.drift() != 0);
            drifting.extend(drifts.map(|audit| audit.sku));
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        for (sku, shelf) in self.take_books().shelves {
            if let Some(shelf) = shelf {
                assert_eq!(drifting.contains(&sku), shelf.drift() != 0, "INV.AUDITSCAN {sku} {shelf:?}");
            }
        }
        self.finish();
    }

    fn scan_stock(&mut self) {
        let (mut cursor, mut found) = (stockscan::StockCursor::START, BTreeMap::new());
        loop {
            let query = stockscan::StockScanQuery { cursor, count: 1, pattern: None, low: false };
            let page = stockscan::stock_scan(&mut self.master, &query, |_| true).unwrap();
            for (product, stocked) in page.found {
                // A product is found at its counters and at its floor, which may be on two pages.
                let floor = Key::Floor(&Sku::from(&product)).name(self.master.style);
                let may_be_twice = self.master.data.contains_key(&floor);
                let before = found.insert(product.clone(), stocked);
                assert!(before.is_none() || may_be_twice, "{product} was found twice");
            }
            match page.next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        let style = self.master.style;
        let of_key = |name: &String| match watched(name.as_bytes(), style) {
            Some(Watched::Warehouses(product)) => Some(product),
            _ => Counted::parse(name.as_bytes(), style).map(|counted| match counted {
                Counted::Available(sku) | Counted::Reserved(sku) | Counted::Floor(sku) => Product::of(&sku),
            }),
        };
        let products: BTreeSet<Product> = self.master.data.keys().filter_map(of_key).collect();
        let products: Vec<Product> = products.into_iter().collect();
        for few in products.chunks(1) {
            let stocked = queries::stock(&mut self.master, few).unwrap().remove(0);
            let found = found.remove(&few[0]);
            assert_eq!(found, (stocked != Ok(None)).then_some(stocked), "INV.STOCKSCAN {}", few[0]);
        }
        assert!(found.is_empty(), "INV.STOCKSCAN {found:?}");
    }

    /// Each reservation ends at most once, according to the replication stream.
    fn count_endings(&mut self, stream: &[Vec<Vec<String>>]) {
        for command in stream.iter().flatten() {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["INV.APPLY", arguments @ ..] => {
                    let arguments: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
                    for effect in effects::parse(&arguments).unwrap().1 {
                        match effect {
                            // REPLACE writes the record of a new reservation without HOLD.
                            Effect::Hold { record, .. } | Effect::Record { record, .. } => {
                                self.open.insert(record.id.as_str().to_owned(), 1);
                            }
                            Effect::End { id, .. } => self.ends(&id),
                            _ => {}
                        }
                    }
                }
                ["SET", name, _, "PXAT", _] => {
                    if let Some(Watched::Outcome(id)) = watched(name.as_bytes(), self.master.style) {
                        self.ends(&id);
                    }
                }
                _ => {}
            }
        }
    }

    fn ends(&mut self, id: &ReservationId) {
        let open = self.open.entry(id.as_str().to_owned()).or_default();
        *open -= 1;
        assert!(*open >= 0 || self.by_hand.contains(id.as_str()), "reservation {id} ended twice");
    }

    // --- inspecting ---

    fn take_books(&mut self) -> Books {
        self.known.take().unwrap_or_else(|| self.books())
    }

    fn books(&self) -> Books {
        let server = &self.master;
        let (ledger, style) = (server.memory(), server.style);
        let mut skus = BTreeSet::new();
        for name in server.data.keys() {
            let rest =
                ["stock:available:", "stock:reserved:"].iter().find_map(|prefix| name.strip_prefix(prefix));
            if let Some(sku) = rest.and_then(|rest| Sku::parse_any(rest.as_bytes(), style).ok())
                && [Key::Available(&sku), Key::Reserved(&sku)].iter().any(|key| key.name(style) == *name)
            {
                skus.insert(sku);
            }
        }
        let held = ids(&server.data, style).into_iter().filter_map(|id| ledger.holds.lines(&id)).flatten();
        skus.extend(held.map(|line| line.sku));
        let counter = |key: Key<'_>| match server.data.get(&key.name(style)) {
            None => Some(0),
            Some(Entry { value: Value::Text(text), until: None }) => match Counter::of(text.as_bytes()) {
                Counter::Units(units) => Some(i128::from(units)),
                Counter::Absent | Counter::Broken(_) => None,
            },
            Some(_) => None,
        };
        let shelf = |sku: &Sku| {
            let held = i128::from(ledger.holds.held_by_others(sku, 0));
            Some(Shelf {
                available: counter(Key::Available(sku))?,
                reserved: counter(Key::Reserved(sku))?,
                held,
                floor: counter(Key::Floor(sku))?,
            })
        };
        let shelves = skus.into_iter().map(|sku| (sku.clone(), shelf(&sku))).collect();
        let names = server.data.range("inventory:outcome:".to_owned()..="inventory:outcome;".to_owned());
        let outcome = |(name, _): (&String, &Entry)| match watched(name.as_bytes(), style) {
            Some(Watched::Outcome(id)) => self.outcome(&server.data, &id).map(|outcome| (id, outcome.ending)),
            _ => None,
        };
        let endings = names.filter_map(outcome).collect();
        Books { shelves, endings, settled: ledger.is_complete() && !ledger.is_behind() }
    }

    fn units(&self, sku: &Sku) -> i128 {
        units(&self.master.data, sku, self)
    }

    /// The stored record of an id, overdue or not, and its deadline.
    fn record(&self, data: &Data, id: &ReservationId) -> Option<(Record, UnixMs)> {
        let style = self.master.style;
        let Entry { value: Value::Text(json), until } = data.get(&Key::Reservation(id).name(style))? else {
            return None;
        };
        let record = Record::from_json(id, json.as_bytes(), style)?;
        let deadline = until.unwrap_or(record.expires_at);
        Some((record, deadline))
    }

    /// The remembered outcome of an id.
    fn outcome(&self, data: &Data, id: &ReservationId) -> Option<Outcome> {
        let style = self.master.style;
        let Entry { value: Value::Text(json), until } = data.get(&Key::Outcome(id).name(style))? else {
            return None;
        };
        let is_over = until.is_some_and(|until| until < self.master.clock);
        Outcome::from_json(id, json.as_bytes(), style).filter(|_| !is_over)
    }
}

/// Units on hand of a sku, if both counters are numbers.
fn units(data: &Data, sku: &Sku, shop: &Shop) -> i128 {
    [Key::Available(sku), Key::Reserved(sku)]
        .into_iter()
        .map(|key| match data.get(&key.name(shop.master.style)) {
            Some(Entry { value: Value::Text(text), .. }) => text.parse().unwrap_or(0),
            _ => 0_i128,
        })
        .sum()
}

/// The ids of the existing reservation keys.
fn ids(data: &Data, style: KeyStyle) -> Vec<ReservationId> {
    let id = |name: &String| match watched(name.as_bytes(), style) {
        Some(Watched::Reservation(id)) => id,
        _ => None,
    };
    data.range("reservation:".to_owned()..="reservation;".to_owned())
        .filter_map(|(name, _)| id(name))
        .collect()
}

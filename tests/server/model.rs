//! Compares a real master and its replica with the naive model of `common/model.rs`, in random histories: the lines of
//! `common/lines.rs`, with short deadlines, pauses, restarts and promotions.
//!
//! On a real server, time passes, and the cron and the server's own expiry run at any moment. So each unit of work is sent
//! together with a read of all books before and after it, without anything in between. The first read shows what has ended since.
//! Whether the cron has run cannot always be seen; then the model follows both possibilities until a read or a reply contradicts
//! one. It finds the exact millisecond in the same way. If no possibility is left, the contract is broken. At a checkpoint,
//! everything overdue has ended, and the replica has the same data.
//!
//! `INV_MODEL_RUNS=100x60` runs 100 histories of 60 steps, `INV_MODEL_FIRST=500` starts with that seed, and `INV_MODEL_SEED=7`
//! runs one of them. Because waits and clocks are real, a seed repeats the actions, but not always their results.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::dice::Dice;
use crate::harness::{Client, Json, Machine, Server, assert_same, wait_until};
use crate::lines::{BETWEEN, Life, Line, Lines, Mix, PLACES, SKUS, line, number_of, subjects};
use crate::naive::{MARK, Model, THRESHOLD, quota_name};
use crate::replies;

/// Units of each sku at the beginning.
const STOCK: i64 = 20;

/// How soon after a deadline the units must be back, in ms, on a machine that is not late itself.
const LATE: u64 = 2500;

/// The limit for what nothing should delay.
const LONG: Duration = Duration::from_secs(10);

/// `inv.outcome-ttl-ms`.
const OUTCOME_TTL: i64 = 86_400_000;

/// The number of possibilities that are followed at a time.
const MOST_WAYS: usize = 8;

const MIX: Mix<'static> = Mix {
    calls: 70,
    time: 15,
    hands: 25,
    operator: 10,
    orders: &[(3, "PAUSE"), (2, "RESTART"), (2, "FAILOVER"), (1, "RELOAD"), (1, "FLUSH"), (1, "CHECKPOINT")],
};

/// Reads all books at one moment. KEYS skips overdue keys without deleting them. While writes are paused, the script waits, like
/// any command that may write.
const LOOK: &str = "
local time = redis.call('TIME')
local found = {time[1] * 1000 + math.floor(time[2] / 1000)}
for _, pattern in ipairs({'stock:available:*', 'stock:reserved:*', 'inventory:outcome:*', 'inventory:managed', 'reservation:*'}) do
  for _, key in ipairs(redis.call('KEYS', pattern)) do
    local value = redis.call('TYPE', key).ok == 'string' and redis.call('GET', key)
    found[#found + 1] = {key, value or '', redis.call('PEXPIRETIME', key)}
  end
end
return found";

struct Look {
    now: i64,
    /// Both counters of each sku, if there are any.
    counters: Vec<[Option<i64>; 2]>,
    /// Both counters of each quota that has any.
    quotas: BTreeMap<String, [Option<i64>; 2]>,
    /// How each reservation ended.
    endings: BTreeMap<String, String>,
    /// The readable values under the names of reservations, and their deadlines.
    records: BTreeMap<String, (String, Option<i64>)>,
    is_marked: bool,
}

impl Look {
    fn read(found: &Json) -> Self {
        let (now, keys) = found.as_array().expect("an array").split_first().expect("a moment");
        let now = now.as_i64().expect("a moment");
        let mut look = Self {
            now,
            counters: vec![[None; 2]; SKUS.len()],
            quotas: BTreeMap::new(),
            endings: BTreeMap::new(),
            records: BTreeMap::new(),
            is_marked: false,
        };
        for key in keys {
            let (name, value) = (key[0].as_str().expect("a name"), key[1].as_str().expect("a text"));
            look.is_marked |= name == MARK;
            if let Some(id) = name.strip_prefix("inventory:outcome:") {
                let outcome: Json = serde_json::from_str(value).expect("JSON");
                look.endings.insert(id.to_owned(), outcome["state"].as_str().expect("a state").to_owned());
            } else if let Some(id) = name.strip_prefix("reservation:") {
                let until = key[2].as_i64().filter(|until| *until >= 0);
                look.records.insert(id.to_owned(), (value.to_owned(), until));
            } else if let Some(counter) = name.strip_prefix("stock:") {
                let (kind, sku) = counter.split_once(':').expect("a counter");
                let (at, units) = (usize::from(kind == "reserved"), Some(value.parse().expect("an integer")));
                if sku.contains("@@") {
                    look.quotas.entry(sku.to_owned()).or_default()[at] = units;
                } else {
                    let sku = SKUS.iter().position(|known| *known == sku).expect("a known sku");
                    look.counters[sku][at] = units;
                }
            }
        }
        look
    }

    /// What has ended since the model's last state.
    fn ended(&self, model: &Model) -> BTreeSet<String> {
        let known = model.endings();
        self.endings.keys().filter(|id| !known.contains_key(*id)).cloned().collect()
    }

    /// The first difference from the model's books.
    fn differs_from(&self, model: &Model) -> Option<String> {
        for (sku, name) in SKUS.iter().enumerate() {
            let [available, reserved] = self.counters[sku];
            let expected = [model.available.get(&sku).copied(), model.reserved.get(&sku).copied()];
            if [available, reserved] != expected {
                return Some(format!("{name}: {available:?} and {reserved:?}, not {expected:?}"));
            }
            let on_hand = available.unwrap_or(0) + reserved.unwrap_or(0);
            assert_eq!(on_hand, model.on_hand[&sku], "units of {name} were lost or made");
        }
        let quotas = model.quotas.iter().map(|(name, counters)| (quota_name(*name), *counters));
        let quotas: BTreeMap<String, [Option<i64>; 2]> = quotas.collect();
        if quotas != self.quotas {
            return Some(format!("the quotas are {:?}, not {quotas:?}", self.quotas));
        }
        let endings = model.endings().into_iter().map(|(id, ending)| (id, ending.name().to_owned()));
        let endings: BTreeMap<String, String> = endings.collect();
        if endings != self.endings {
            return Some(format!("ended are {:?}, not {endings:?}", self.endings));
        }
        // In the millisecond of its deadline, a record may or may not exist.
        let is_clear = |until: Option<i64>| until.is_none_or(|until| (until - self.now).abs() > 1);
        let expected =
            model.slots.iter().filter(|(_, slot)| slot.until.is_none_or(|until| self.now <= until));
        let expected = expected.map(|(id, slot)| (crate::lines::id(*id), slot.until));
        let expected: BTreeMap<String, Option<i64>> =
            expected.filter(|(_, until)| is_clear(*until)).collect();
        let found = self.records.iter().map(|(id, (_, until))| (id.clone(), *until));
        let found: BTreeMap<String, Option<i64>> = found.filter(|(_, until)| is_clear(*until)).collect();
        (found != expected).then(|| format!("readable are {found:?}, not {expected:?}"))
    }
}

/// This machine's clock, which the servers share, in Unix ms.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

struct History {
    seed: u64,
    dice: Dice,
    lines: Lines,
    /// The possible states of the model, usually one.
    ways: Vec<Model>,
    master: Server,
    replica: Server,
    shop: Client,
    /// Restarts load an AOF rather than an RDB.
    aof: bool,
    /// SCAN deletes overdue keys.
    walks_expire: bool,
    /// The latest record of each id, as text.
    copies: BTreeMap<String, String>,
    trace: Vec<String>,
    done: bool,
}

impl Drop for History {
    fn drop(&mut self) {
        if !self.done {
            eprintln!("--- INV_MODEL_SEED={} ---\n{}\n---", self.seed, self.trace.join("\n"));
        }
    }
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let aof = dice.roll(2) == 0;
        // With such a budget, a job leaves nothing for the next run of the cron.
        let threshold = format!("inv.low-stock-threshold {THRESHOLD}");
        let mut options = vec!["inv.sweep-budget-us 1000000", "inv.feed-maxlen 50", &threshold];
        if aof {
            options.push("appendonly yes");
        }
        let master = Server::start_with(&options);
        let mut shop = master.connect();
        let replica = master.replica_with(&options);
        let life = |dice: &mut Dice| {
            Life::For(match dice.roll(6) {
                0..3 => dice.up_to(60),
                3 => 150 + dice.up_to(250),
                _ => 1_000_000,
            })
        };
        let walks_expire = crate::twin::walks_expire(&mut shop);
        let mut history = Self {
            seed,
            dice,
            lines: Lines::new(life),
            ways: vec![],
            master,
            replica,
            shop,
            aof,
            walks_expire,
            copies: BTreeMap::new(),
            trace: vec![],
            done: false,
        };
        history.stock_up();
        history
    }

    /// Empties the database and adds stock.
    fn stock_up(&mut self) {
        let mut model = Model::new(clock(), OUTCOME_TTL, None);
        for (sku, name) in SKUS[..SKUS.len() - 1].iter().enumerate() {
            self.shop.ask(format!("SET stock:available:{name} {STOCK}"));
            model.stock_up(sku, STOCK);
        }
        model.stock_up_nothing(SKUS.len() - 1);
        for (priority, place) in PLACES.iter().enumerate() {
            let words = format!("ZADD stock:warehouses:W {priority} {place}");
            self.shop.ask(&words);
            model.hands(&words.split(' ').collect::<Vec<_>>(), |_| None);
        }
        self.copies.clear();
        self.ways = vec![model];
    }

    fn run(seed: u64, steps: usize) {
        // Visible if the test fails, or with --nocapture.
        println!("INV_MODEL_SEED={seed}");
        let mut history = Self::begin(seed);
        for _ in 0..steps {
            history.step();
        }
        history.finish();
        history.done = true;
    }

    fn note(&mut self, what: impl AsRef<str>) {
        self.trace.push(format!("{} {}", clock() % 10_000_000, what.as_ref()));
    }

    fn step(&mut self) {
        let drawn = self.lines.draw(&mut self.dice, &MIX);
        let words: Vec<&str> = drawn.iter().map(String::as_str).collect();
        match words.as_slice() {
            [name, ..] if name.starts_with("INV.") => {
                let mut calls = vec![drawn];
                while calls.len() < 4 && self.dice.one_in(4) {
                    calls.push(self.lines.call(&mut self.dice));
                }
                // On these servers, they delete overdue keys, in an unpredictable order.
                let walks = ["INV.AUDITSCAN", "INV.STOCKSCAN"];
                calls.retain(|call| !self.walks_expire || !walks.contains(&call[0].as_str()));
                self.calls(&calls);
            }
            // This step is about time.
            ["WAIT", ms] => {
                let ms = ms.parse::<u64>().expect("a number").min(40);
                std::thread::sleep(Duration::from_millis(ms));
            }
            // The server does these by itself, and no command evicts a chosen key.
            ["SWEEP" | "CYCLE"] | ["EVICT", _] => {}
            ["PAUSE"] => {
                self.note("CLIENT PAUSE");
                self.shop.ask("CLIENT PAUSE 30 WRITE");
            }
            ["RESTART"] => self.restart(),
            ["RELOAD"] => self.reload(),
            ["FAILOVER"] => self.promote(),
            ["CHECKPOINT"] => self.checkpoint(),
            ["FLUSH"] => {
                self.checkpoint();
                self.note("FLUSHDB");
                self.shop.ask("FLUSHDB");
                self.stock_up();
            }
            _ => self.hands(&drawn),
        }
        if self.ways.len() > MOST_WAYS {
            self.let_the_cron_come();
        }
    }

    // --- units of work ---

    /// Runs calls of the module as one unit of work, with a read after each.
    fn calls(&mut self, calls: &[Line]) {
        if calls.is_empty() {
            return;
        }
        let mut sent = vec![];
        for call in calls {
            sent.extend([call.clone(), look()]);
        }
        let (before, replies) = self.send(&sent, calls.len() > 1);
        let looks: Vec<Look> = replies.iter().skip(1).step_by(2).map(Look::read).collect();
        let answers = calls.iter().zip(replies.iter().step_by(2));
        let answers: Vec<String> = answers
            .map(|(call, reply)| replies::short(call, reply).unwrap_or_else(|refusal| refusal))
            .collect();
        self.note(format!("-> {answers:?}"));
        let after = looks.last().expect("a look");
        self.follow(&before, after, |model| {
            for ((call, answer), look) in calls.iter().zip(&answers).zip(&looks) {
                let ended = look.ended(model);
                let is_there = |name: &str| match name.strip_prefix("reservation:") {
                    Some(id) => !ended.contains(id),
                    None => before.is_marked || look.is_marked,
                };
                let words: Vec<&str> = call.iter().map(String::as_str).collect();
                if model.is_too_late(&words) {
                    if answer.split(BETWEEN).any(|answer| answer.starts_with("ERR")) {
                        continue;
                    } else {
                        return Err("it was too late".to_owned());
                    }
                }
                if let Some(expected) = model.call(&words, is_there)
                    && !expected.fits(answer)
                {
                    return Err(format!("{call:?}: {answer}, not {}", expected.answer));
                }
            }
            Ok(())
        });
        for id in calls.iter().flat_map(|call| subjects(call)) {
            match after.records.get(&id) {
                Some((json, _)) if self.ways[0].has_record(&id) => {
                    self.copies.insert(id, json.clone());
                }
                _ => {
                    self.copies.remove(&id);
                }
            }
        }
    }

    /// Runs writes of another program.
    fn hands(&mut self, drawn: &Line) {
        let words: Vec<&str> = drawn.iter().map(String::as_str).collect();
        let copies = self.copies.clone();
        let copy = |id: &str| copies.get(id).cloned();
        let now = clock();
        let of_each = self.ways.iter().map(|way| {
            let mut model = way.clone();
            model.now = now;
            model.hands(&words, copy)
        });
        let of_each: Vec<Vec<Line>> = of_each.collect();
        let sent = of_each[0].clone();
        if sent.is_empty() || of_each.iter().any(|other| *other != sent) {
            return;
        }
        let mut all = sent.clone();
        all.push(look());
        let (before, replies) = self.send(&all, sent.len() > 1);
        let after = Look::read(replies.last().expect("a look"));
        self.follow(&before, &after, |model| {
            if model.hands(&words, copy) == sent { Ok(()) } else { Err("it would not be sent".to_owned()) }
        });
    }

    /// Sends the lines after a read of the books, all at once. Returns the read and the replies.
    fn send(&mut self, lines: &[Line], as_one: bool) -> (Look, Vec<Json>) {
        let shown: Vec<String> =
            lines.iter().filter(|line| line[0] != "EVAL").map(|line| line.join(" ")).collect();
        self.note(shown.join(" | "));
        let mut all = vec![look()];
        if as_one {
            all.push(line("MULTI"));
        }
        all.extend(lines.iter().cloned());
        if as_one {
            all.push(line("EXEC"));
        }
        let bytes = |words: &Line| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let all: Vec<Vec<Vec<u8>>> = all.iter().map(bytes).collect();
        let mut replies = self.shop.burst(&all);
        let before = Look::read(&replies.remove(0));
        if as_one {
            let executed = replies.pop().expect("the reply to EXEC");
            replies = executed.as_array().expect("an executed transaction").clone();
        }
        (before, replies)
    }

    /// Applies a unit of work to each possible state, at each possible moment, and keeps the states that match what was
    /// found.
    #[track_caller]
    fn follow(&mut self, before: &Look, after: &Look, work: impl Fn(&mut Model) -> Result<(), String>) {
        let (mut left, mut wrong): (Vec<Model>, Vec<String>) = (vec![], vec![]);
        for way in self.ways.iter().flat_map(|way| meanwhile(way, before)) {
            let try_at = |now: i64, is_alone: bool| {
                let mut model = way.clone();
                (model.now, model.is_marked) = (now, before.is_marked);
                work(&mut model)?;
                // After the deadline, a reader leaves the release to the cron.
                model.finish(is_alone, |id| !after.endings.contains_key(&crate::lines::id(id)));
                model.now = after.now;
                match after.differs_from(&model) {
                    Some(difference) => Err(difference),
                    None => Ok(model),
                }
            };
            let alone = [after.is_marked, before.is_marked];
            for is_alone in &alone[..if alone[0] == alone[1] { 1 } else { 2 }] {
                // The moment in the reply, or any: nothing else depends on the millisecond.
                let found = (before.now - 1..=after.now + 1).find_map(|now| {
                    try_at(now, *is_alone)
                        .map_err(|difference| wrong.push(format!("at {now}: {difference}")))
                        .ok()
                });
                left.extend(found.filter(|model| !left.contains(model)));
            }
        }
        if left.is_empty() {
            self.note(format!("it was {} to {}", before.now, after.now));
            let ways = self.ways.iter().map(|way| match meanwhile(way, before).is_empty() {
                true => format!("before: {:?}", before.differs_from(way)),
                false => "after".to_owned(),
            });
            panic!(
                "no possible state matches: {:#?}\n{:#?}\n{:#?}",
                ways.collect::<Vec<_>>(),
                wrong,
                self.ways
            );
        }
        self.ways = left;
    }

    /// Waits until the cron has certainly run, twice.
    fn let_the_cron_come(&mut self) {
        std::thread::sleep(Duration::from_millis(250));
        self.rest(|_| true);
    }

    /// Waits until the cron has released everything that is overdue, according to this condition.
    fn rest(&mut self, is_enough: impl Fn(&Model) -> bool) {
        let (begun, machine) = (clock(), Machine::watch());
        loop {
            let reply = self.shop.ask(look().iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
            let look = Look::read(&reply);
            let ways: Vec<Model> = self.ways.iter().flat_map(|way| meanwhile(way, &look)).collect();
            let mut swept: Vec<Model> = vec![];
            for mut way in ways {
                let mut again = way.clone();
                again.sweep(look.is_marked);
                // The cron has nothing left to do.
                if look.differs_from(&again).is_none() && is_enough(&again) {
                    way = again;
                    way.is_marked = look.is_marked;
                    if !swept.contains(&way) {
                        swept.push(way);
                    }
                }
            }
            if !swept.is_empty() {
                self.ways = swept;
                return;
            }
            if clock() > begun + machine.limit_ms(LATE) {
                let swept = |way: &Model| {
                    let mut way = way.clone();
                    way.now = look.now;
                    way.sweep(look.is_marked);
                    look.differs_from(&way)
                };
                let differences: Vec<_> = self.ways.iter().map(swept).collect();
                panic!("what is due has not ended: {differences:#?}\n{:#?}", self.ways);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    // --- what happens to servers ---

    fn restart(&mut self) {
        // A former replica may still be writing its first AOF.
        for field in ["aof_rewrite_scheduled", "aof_rewrite_in_progress"] {
            self.master.wait_for_info("persistence", field, "0");
        }
        let way = self.dice.roll(2);
        self.note(format!("restart, aof {}, way {way}", self.aof));
        let from = clock();
        match (self.aof, way) {
            (true, 0) => self.master.kill(),
            (true, _) => self.master.shut_down(),
            (false, _) => self.master.shut_down_saving(),
        }
        self.master.start_again();
        let from_rdb = !self.aof;
        self.back_again(from, |model| model.restart(from_rdb));
    }

    fn reload(&mut self) {
        // A full copy silently leaves out what is overdue; that is the server's behaviour.
        self.checkpoint();
        self.note("DEBUG RELOAD");
        let from = clock();
        self.shop.ask("DEBUG RELOAD");
        self.back_again(from, |model| model.restart(true));
    }

    fn promote(&mut self) {
        self.replica.wait_for_master(&self.master);
        let from = clock();
        if self.dice.roll(2) == 0 {
            self.note("FAILOVER");
            self.shop.ask("FAILOVER");
            wait_until("the replica is master", LONG, || {
                self.replica.connect().info("replication", "role") == "master"
            });
            wait_until("the master is replica", LONG, || {
                self.master.connect().info("replication", "role") == "slave"
            });
        } else {
            self.note("REPLICAOF");
            self.replica.connect().ask("REPLICAOF NO ONE");
            self.master.connect().ask(format!("REPLICAOF 127.0.0.1 {}", self.replica.port()));
        }
        std::mem::swap(&mut self.master, &mut self.replica);
        // Restarts should find these roles.
        for server in [&self.master, &self.replica] {
            server.connect().ask("CONFIG REWRITE");
        }
        self.back_again(from, Model::fail_over);
    }

    /// Another server or process has been in use since some moment after `from`. The first read shows what had ended before
    /// that.
    #[track_caller]
    fn back_again(&mut self, from: i64, come: impl Fn(&mut Model)) {
        let to = clock();
        self.shop = self.master.connect();
        assert_eq!(self.shop.info("replication", "role"), "master");
        let (look, _) = self.send(&[line("PING")], false);
        let mut left: Vec<Model> = vec![];
        for way in &self.ways {
            let mut moments: BTreeSet<i64> =
                way.deadlines().into_iter().map(|deadline| deadline + 1).collect();
            moments.retain(|moment| (from..=to).contains(moment));
            moments.extend([from, to]);
            for moment in moments {
                // Some of it ended before and the rest after; what was only remembered cannot end after.
                let ended = look.ended(way);
                let mut before: Vec<BTreeSet<String>> = vec![];
                for latest in ended.iter().map(|id| way.deadline_of(id)).chain([Some(0)]) {
                    let is_before = |id: &&String| !way.has(id) || way.deadline_of(id) <= latest;
                    before.push(ended.iter().filter(is_before).cloned().collect());
                }
                for before in before {
                    let mut model = way.clone();
                    model.now = moment;
                    if !model.end_meanwhile(&before) {
                        continue;
                    }
                    come(&mut model);
                    for model in meanwhile(&model, &look) {
                        if !left.contains(&model) {
                            left.push(model);
                        }
                    }
                }
            }
        }
        if left.is_empty() {
            let differences: Vec<_> = self.ways.iter().map(|way| look.differs_from(way)).collect();
            panic!("no possible state matches: {differences:#?}\n{:#?}", self.ways);
        }
        self.ways = left;
        self.note("there");
    }

    // --- what must be true ---

    /// Waits until everything overdue has ended; after that, there is only one possible state.
    fn checkpoint(&mut self) {
        self.note("checkpoint");
        let soon = clock() + 1000;
        let deadlines = self.ways.iter().flat_map(Model::deadlines);
        let last = deadlines.filter(|deadline| *deadline < soon).max();
        wait_until("the deadlines pass", LONG, || last.is_none_or(|last| clock() > last + 1));
        self.rest(|model| last.is_none_or(|last| model.deadlines().iter().all(|deadline| *deadline > last)));
        self.compare_copies();
    }

    fn compare_copies(&mut self) {
        self.replica.wait_for_master(&self.master);
        let mut reader = self.replica.connect();
        let (begun, machine) = (clock(), Machine::watch());
        // A renamed record may expire between the two.
        while self.shop.ask("DEBUG DIGEST") != reader.ask("DEBUG DIGEST") {
            if clock() > begun + machine.limit_ms(LATE) {
                assert_same(&self.shop.contents(), &reader.contents());
                panic!("the digests differ, and no key that can be read does");
            }
            self.replica.catch_up_with(&self.master);
        }
    }

    /// Lets all deadlines pass, then checks that no reservation is left and that every id is as in the model, on the replica too.
    fn finish(&mut self) {
        let ids: Vec<String> = self.ways[0].slots.keys().map(|id| crate::lines::id(*id)).collect();
        for id in &ids {
            self.hands(&line(&format!("PEXPIRE reservation:{id} 50")));
        }
        self.checkpoint();
        // A restart forgets remembered holds and so returns their units.
        self.restart();
        self.checkpoint();
        let mut reader = self.replica.connect();
        let known: BTreeSet<String> = self.ways[0].endings().into_keys().chain(ids).collect();
        for id in known.iter().filter(|id| number_of(id).is_some()) {
            let reply = self.shop.try_ask(format!("INV.GET {id}"));
            assert_eq!(reader.try_ask(format!("INV.GET {id}")), reply);
            let mut model = self.ways[0].clone();
            let words = ["INV.GET", id.as_str()];
            let expected = model.call(&words, |_| true).expect("a state");
            let said = match &reply {
                Ok(reply) => replies::short(&words.map(str::to_owned), reply).expect("no refusal"),
                Err(refusal) => refusal.clone(),
            };
            assert!(expected.fits(&said), "{id}: {said}, not {}", expected.answer);
        }
        let holds = self.shop.info("inv", "inv_holds");
        assert_eq!(holds, self.ways[0].live_count().to_string());
    }
}

fn look() -> Line {
    ["EVAL", LOOK, "0"].map(str::to_owned).to_vec()
}

/// The possible states at this read: ended reservations have ended, and the cron has or has not run.
fn meanwhile(model: &Model, look: &Look) -> Vec<Model> {
    let mut way = model.clone();
    (way.now, way.is_marked) = (look.now, look.is_marked);
    if !way.end_meanwhile(&look.ended(&way)) {
        return vec![];
    }
    let mut swept = way.clone();
    swept.sweep_what_is_settled(look.is_marked);
    let mut ways = vec![way];
    if swept != ways[0] {
        ways.push(swept);
    }
    ways.retain(|way| look.differs_from(way).is_none());
    ways
}

/// The number of histories and of their steps.
fn runs() -> (u64, usize) {
    let wanted = std::env::var("INV_MODEL_RUNS").unwrap_or_else(|_| "5x60".to_owned());
    let (runs, steps) = wanted.split_once('x').unwrap_or((&wanted, "60"));
    (runs.parse().expect("a number of histories"), steps.parse().expect("a number of steps"))
}

#[test]
fn any_history_of_commands_other_clients_and_failures_ends_as_the_contract_says() {
    let (runs, steps) = runs();
    if let Ok(seed) = std::env::var("INV_MODEL_SEED") {
        return History::run(seed.parse().expect("a seed"), steps);
    }
    let first = std::env::var("INV_MODEL_FIRST").map_or(1, |first| first.parse().expect("a seed"));
    for seed in first..first + runs {
        History::run(seed, steps);
    }
}

/// The follower of a history tries each millisecond, among them some at which the answer cannot have been given.
#[test]
fn a_moment_at_which_needed_units_would_have_been_released_explains_no_answer() {
    let mut model = Model::new(1_000, 0, None);
    model.stock_up(0, 5);
    let is_there = |_: &str| true;
    let reserve = |id| ["INV.RESERVE", id, "PX", "10", "ITEMS", SKUS[0], "5"];
    model.call(&reserve("R1"), is_there).expect("an answer");
    model.now = 1_020;
    let expected = model.call(&reserve("R2"), is_there).expect("an answer");
    for said in [format!("OK 1030 {} 5", SKUS[0]), format!("INSUFFICIENT {} 5 0", SKUS[0])] {
        assert!(!expected.fits(&said), "{said} fits {}", expected.answer);
    }
}

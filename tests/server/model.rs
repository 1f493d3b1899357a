//! Random histories on a real master with its replica, against a naive model of the contract: commands and retries, short
//! deadlines, keys changed by hand, pauses, restarts, promotions.
//!
//! Time makes some answers uncertain, so the model keeps, for each id, all states that are possible; an answer narrows
//! them down, and one that no possible state gives ends the test. What is sold, adjusted or set is known exactly: of
//! each sku, available and reserved add up to it after every step, and reserved lies between what is surely held and
//! what may be held still. At checkpoints nothing is uncertain: the counters are exact, and the replica has the same.
//!
//! `INV_MODEL_RUNS=100x60` runs that many histories of so many steps, `INV_MODEL_FIRST=500` begins with that seed, and
//! `INV_MODEL_SEED=7` runs one of them. Waits and clocks are real, so a seed repeats what is done until an answer comes
//! at another moment, and not always what it meets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::harness::{Client, Json, Machine, Server, assert_same, code, wait_for, wait_until};
use crate::shop::Dice;

/// Seeds that have found a fault. They run first, always.
const REGRESSIONS: &[u64] = &[];

const SKUS: [&str; 4] = ["P", "Q", "R@north", "R@south"];
/// What a RESERVE may name: a sku, or the product that is kept in two places.
const NAMES: [&str; 5] = ["P", "Q", "R@north", "R@south", "R"];
const R: usize = 4;
const PLACES: [usize; 2] = [2, 3];
const STOCK: i64 = 60;

/// So long after the deadline the units are back at the latest, ms, on a machine that is not late itself.
const LATE: u64 = 2500;

/// A wait for something that nothing should keep from happening.
const LONG: Duration = Duration::from_secs(10);

/// No deadline is later.
const FOREVER: i64 = i64::MAX;

/// Units by the number of their sku.
type Lines = BTreeMap<usize, i64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// There is no record and no outcome.
    Unknown,
    Live,
    /// Its record was taken away by hand, and its units are remembered until the deadline.
    Gone,
    Committed,
    RolledBack,
    Expired,
}

use State::{Committed, Expired, Gone, Live, RolledBack, Unknown};

#[derive(Clone, Debug)]
struct Reservation {
    states: BTreeSet<State>,
    asked: Lines,
    /// What it holds.
    lines: Lines,
    /// What the record says.
    expires_at: i64,
    /// What its key says.
    ttl: Option<i64>,
    /// Its record lies under another name.
    saved: bool,
}

impl Reservation {
    fn deadline(&self) -> i64 {
        self.ttl.unwrap_or(self.expires_at)
    }

    fn is(&self, state: State) -> bool {
        self.states.len() == 1 && self.may_be(state)
    }

    fn may_be(&self, state: State) -> bool {
        self.states.contains(&state)
    }

    fn set(&mut self, state: State) {
        self.states = BTreeSet::from([state]);
    }
}

/// Units in `reserved` that no live record holds.
#[derive(Debug)]
struct Loose {
    id: usize,
    lines: Lines,
    /// They are not given back before.
    surely_until: i64,
    /// A command that needs them finds them from here on.
    until: i64,
    /// They are given back from here on, which takes [`LATE`] at most.
    due: i64,
    machine: Machine,
}

impl Loose {
    /// Nobody remembers them: they are for the repair.
    fn is_lost(&self) -> bool {
        self.until == FOREVER
    }

    fn lose(&mut self) {
        (self.surely_until, self.until, self.due) = (0, FOREVER, FOREVER);
    }

    /// They are back from here on.
    fn at_latest(&self) -> i64 {
        self.due.saturating_add(self.machine.limit_ms(LATE))
    }
}

/// What the contract says.
#[derive(Default)]
struct Model {
    reservations: Vec<Reservation>,
    on_hand: Lines,
    loose: Vec<Loose>,
}

impl Model {
    /// The clock is past `now`.
    fn advance(&mut self, now: i64) {
        for (id, one) in self.reservations.iter_mut().enumerate() {
            if one.may_be(Live) && one.deadline() < now {
                one.states.remove(&Live);
                one.states.insert(Expired);
                let (lines, until) = (one.lines.clone(), one.deadline());
                let (due, machine) = (until.max(now), Machine::watch());
                self.loose.push(Loose { id, lines, surely_until: 0, until, due, machine });
            }
            if one.may_be(Gone) && one.deadline() < now {
                one.states.insert(Expired);
            }
        }
        self.loose.retain(|loose| loose.at_latest() >= now);
    }

    /// Releases had to wait until now.
    fn delay(&mut self, now: i64) {
        for loose in &mut self.loose {
            loose.due = loose.due.max(now);
        }
    }

    /// What is remembered without a key is remembered no more. It happened before `now`.
    fn lose_memory(&mut self, now: i64) {
        for one in &mut self.reservations {
            one.saved = false;
            if one.states.remove(&Gone) {
                one.states.insert(Unknown);
                if one.deadline() <= now {
                    one.states.insert(Expired);
                }
            }
        }
        self.loose.iter_mut().filter(|loose| loose.surely_until > 0).for_each(Loose::lose);
    }

    /// An RDB leaves out what is due, without a word.
    fn drop_due(&mut self, now: i64) {
        for loose in self.loose.iter_mut().filter(|loose| loose.surely_until == 0) {
            self.reservations[loose.id].states.insert(Unknown);
            loose.lose();
        }
        for (id, one) in self.reservations.iter_mut().enumerate() {
            if one.may_be(Live) && one.ttl.is_some_and(|ttl| ttl <= now) {
                one.states.extend([Expired, Unknown]);
                let lines = one.lines.clone();
                let (until, due, machine) = (FOREVER, FOREVER, Machine::watch());
                self.loose.push(Loose { id, lines, surely_until: 0, until, due, machine });
            }
        }
    }

    /// Units of `sku` that are surely held until `now`.
    fn surely_held(&self, sku: usize, now: i64) -> i64 {
        let live = self.reservations.iter().filter(|one| one.is(Live) && one.deadline() > now);
        let loose = self.loose.iter().filter(|loose| loose.surely_until > now);
        sum(sku, live.map(|one| &one.lines).chain(loose.map(|loose| &loose.lines)))
    }

    /// Units of `sku` that a command at `now` or later may find held, though it needs them.
    fn maybe_held(&self, sku: usize, now: i64) -> i64 {
        let live = self.reservations.iter().filter(|one| one.may_be(Live) && one.deadline() >= now);
        let loose = self.loose.iter().filter(|loose| loose.until >= now);
        sum(sku, live.map(|one| &one.lines).chain(loose.map(|loose| &loose.lines)))
    }

    /// Units of `sku` that `reserved` may count at `now` or later.
    fn maybe_counted(&self, sku: usize, now: i64) -> i64 {
        let live = self.reservations.iter().filter(|one| one.may_be(Live));
        let loose = self.loose.iter().filter(|loose| loose.at_latest() >= now);
        sum(sku, live.map(|one| &one.lines).chain(loose.map(|loose| &loose.lines)))
    }

    /// Whether these units may be too many for a command at `now` or later.
    fn may_lack(&self, lines: &Lines, now: i64) -> bool {
        lines.iter().any(|(&sku, units)| self.on_hand[&sku] - self.maybe_held(sku, now) < *units)
    }

    /// The same for what a RESERVE asks.
    fn may_lack_asked(&self, asked: &Lines, split: &str, now: i64) -> bool {
        let named: Lines =
            asked.iter().filter(|(name, _)| **name != R).map(|(sku, units)| (*sku, *units)).collect();
        let left = |place: usize| {
            let taken = named.get(&place).copied().unwrap_or(0);
            (self.on_hand[&place] - self.maybe_held(place, now) - taken).max(0)
        };
        let [one, other] = PLACES.map(left);
        let most = if split == "none" { one.max(other) } else { one + other };
        self.may_lack(&named, now) || asked.get(&R).is_some_and(|units| most < *units)
    }

    /// The units of this id that were on their way back are back.
    fn released(&mut self, id: usize) {
        self.loose.retain(|loose| loose.id != id || loose.is_lost());
    }

    fn sell(&mut self, lines: &Lines) {
        for (sku, units) in lines {
            *self.on_hand.get_mut(sku).expect("a known sku") -= units;
        }
    }
}

fn sum<'a>(sku: usize, lists: impl Iterator<Item = &'a Lines>) -> i64 {
    lists.filter_map(|lines| lines.get(&sku)).sum()
}

fn add(lines: &mut Lines, others: &Lines, factor: i64) {
    for (sku, units) in others {
        *lines.entry(*sku).or_insert(0) += factor * units;
    }
    lines.retain(|_, units| *units != 0);
}

fn show(lines: &Lines) -> String {
    lines.iter().map(|(name, units)| format!("{} {units}", NAMES[*name])).collect::<Vec<_>>().join(" ")
}

/// The lines of a reply to what was asked, which they add up to.
fn resolved(asked: &Lines, items: &Json, split: &str) -> Lines {
    let mut lines = Lines::new();
    for item in items.as_array().expect("lines") {
        let warehouse =
            item["warehouse"].as_str().map(|warehouse| format!("@{warehouse}")).unwrap_or_default();
        let name = format!("{}{warehouse}", item["product_id"].as_str().expect("a product"));
        let sku = SKUS.iter().position(|sku| *sku == name).expect("a known sku");
        assert_eq!(lines.insert(sku, item["quantity"].as_i64().expect("units")), None, "{name} twice");
    }
    let mut beside = lines.clone();
    let named: Lines =
        asked.iter().filter(|(name, _)| **name != R).map(|(sku, units)| (*sku, *units)).collect();
    add(&mut beside, &named, -1);
    assert!(beside.iter().all(|(sku, units)| PLACES.contains(sku) && *units > 0), "{asked:?} as {items}");
    assert_eq!(beside.values().sum::<i64>(), asked.get(&R).copied().unwrap_or(0), "{asked:?} as {items}");
    assert!(split != "none" || beside.len() <= 1, "{asked:?} as {items}");
    lines
}

/// This machine's clock, which is the servers' clock: Unix ms.
fn clock() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

/// What a command answered, and between which moments it ran.
struct Answer {
    reply: Result<Json, String>,
    from: i64,
    to: i64,
}

impl Answer {
    /// `ok`, or the code of the refusal.
    fn code(&self) -> &str {
        self.reply.as_ref().map_or_else(|error| code(error), |_| "ok")
    }

    fn number(&self) -> Option<i64> {
        self.reply.as_ref().ok().and_then(Json::as_i64)
    }
}

struct History {
    seed: u64,
    dice: Dice,
    model: Model,
    master: Server,
    replica: Server,
    shop: Client,
    /// Restarts read an AOF, not an RDB.
    aof: bool,
    /// Commands with a token that were answered.
    answered: Vec<(String, Json)>,
    /// Those that were a RESERVE, with the number of the reservation.
    reserved: Vec<(String, usize, Json)>,
    tokens: u64,
    trace: Vec<String>,
    done: bool,
}

impl Drop for History {
    fn drop(&mut self) {
        if !self.done {
            eprintln!("--- INV_MODEL_SEED={} ---\n{}\n---", self.seed, self.trace.join("\n"));
            for (id, one) in self.model.reservations.iter().enumerate() {
                eprintln!("r{id}: {one:?}");
            }
            eprintln!("on hand {:?}\nloose {:#?}", self.model.on_hand, self.model.loose);
        }
    }
}

impl History {
    fn begin(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let aof = dice.roll(2) == 0;
        let options: &[&str] = if aof { &["appendonly yes"] } else { &[] };
        let master = Server::start_with(options);
        let shop = master.connect();
        let replica = master.replica_with(options);
        let mut history = Self {
            seed,
            dice,
            model: Model::default(),
            master,
            replica,
            shop,
            aof,
            answered: vec![],
            reserved: vec![],
            tokens: 0,
            trace: vec![],
            done: false,
        };
        history.restock();
        history
    }

    fn run(seed: u64, steps: usize) {
        // Shown when the test fails, and with --nocapture.
        println!("INV_MODEL_SEED={seed}");
        let mut history = Self::begin(seed);
        for _ in 0..steps {
            history.step();
            history.check_counters();
        }
        history.finish();
        history.done = true;
    }

    fn note(&mut self, what: String) {
        self.trace.push(format!("{} {what}", clock() % 10_000_000));
    }

    fn ask(&mut self, command: &str) -> Answer {
        // The server reads the clock once for a command, somewhere between these two.
        let from = clock() - 1;
        let reply = self.shop.try_ask(command);
        let to = clock() + 1;
        self.note(format!("{command} -> {reply:?}"));
        self.model.advance(from);
        Answer { reply, from, to }
    }

    /// Several commands as one transaction: their replies.
    fn ask_together(&mut self, commands: &[&str]) -> (Vec<Json>, i64, i64) {
        let all = [&["MULTI"], commands, &["EXEC"]].concat();
        let from = clock() - 1;
        let replies = self.shop.burst(&all);
        let to = clock() + 1;
        self.note(format!("{commands:?} -> {}", replies[commands.len() + 1]));
        self.model.advance(from);
        (replies[commands.len() + 1].as_array().expect("an executed transaction").clone(), from, to)
    }

    /// The states that this id may be in for a command that was answered like that.
    fn states(&mut self, id: usize, answer: &Answer) -> BTreeSet<State> {
        let one = &self.model.reservations[id];
        let mut states = one.states.clone();
        if (one.may_be(Live) || one.may_be(Gone)) && one.deadline() < answer.to {
            states.insert(Expired);
        }
        states
    }

    /// Keeps the states that give this answer. None: the contract is broken.
    #[track_caller]
    fn narrow(&mut self, id: usize, answer: &Answer, gives: impl Fn(State) -> bool) {
        let before = self.states(id, answer);
        let left: BTreeSet<State> = before.iter().copied().filter(|&state| gives(state)).collect();
        assert!(!left.is_empty(), "r{id} is {before:?} and answers {:?}", answer.reply);
        // It is over and has been found so: its units are back, too.
        let over = left == BTreeSet::from([Expired]);
        self.model.reservations[id].states = left;
        if over {
            self.model.released(id);
        }
    }

    /// A number below `count`, for a place in a list.
    fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.dice.roll(count.max(1) as u64)).expect("a small number")
    }

    /// A number from 1 to `most`.
    fn up_to(&mut self, most: i64) -> i64 {
        let sides = u64::try_from(most).expect("at least 1");
        1 + i64::try_from(self.dice.roll(sides)).expect("a small number")
    }

    fn some_lines(&mut self, most: i64) -> Lines {
        let count = 1 + self.place(SKUS.len());
        (0..count).map(|_| (self.some_sku(), self.up_to(most))).collect()
    }

    /// What a RESERVE asks: of R as well, from wherever it is.
    fn some_order(&mut self) -> Lines {
        let mut order = self.some_lines(8);
        if self.dice.roll(2) == 0 {
            order.insert(R, self.up_to(12));
        }
        order
    }

    fn some_life(&mut self) -> i64 {
        match self.dice.roll(6) {
            0..3 => self.up_to(60),
            3 => 150 + self.up_to(250),
            _ => 1_000_000,
        }
    }

    /// One of the latest reservations.
    fn some_id(&mut self) -> Option<usize> {
        let count = self.model.reservations.len();
        let back = self.place(count.min(7));
        count.checked_sub(back + 1)
    }

    fn some_sku(&mut self) -> usize {
        self.place(SKUS.len())
    }

    fn token(&mut self) -> String {
        self.tokens += 1;
        if self.dice.roll(2) == 0 { format!(" ONCE t{}", self.tokens) } else { String::new() }
    }

    /// Remembers a command that has a token and was answered.
    fn answered(&mut self, command: &str, answer: &Answer) {
        if let (true, Ok(reply)) = (command.contains(" ONCE "), &answer.reply) {
            self.answered.push((command.to_owned(), reply.clone()));
        }
    }

    fn step(&mut self) {
        let way = self.dice.roll(117);
        if way < 28 {
            return self.reserve_new();
        }
        if way < 60 {
            return self.step_without_id(way - 28);
        }
        let Some(id) = self.some_id() else { return self.reserve_new() };
        match way - 60 {
            0..5 => self.reserve_again(id),
            5..15 => self.commit(id),
            15..22 => self.rollback(id),
            22..30 => self.part(id),
            30..35 => self.extend(id),
            35..39 => self.commit_late(id),
            39..43 => self.get(id),
            43..48 => self.take_away(id),
            48..50 => self.rename_away(id),
            50..52 => self.rename_back(id),
            52..54 => self.persist(id),
            _ => self.move_deadline(id),
        }
    }

    fn step_without_id(&mut self, way: u64) {
        match way {
            0..3 => self.adjust(),
            3 | 4 => self.transfer(),
            5 | 6 => self.set(),
            7 => self.restock_by_hand(),
            8..11 => self.send_again(),
            11..22 => self.wait(),
            22..25 => self.pause(),
            25 => self.flush(),
            26 | 27 => self.restart(),
            28 => self.reload(),
            29 | 30 => self.promote(),
            _ => self.checkpoint(),
        }
    }

    // --- commands ---

    fn reserve_new(&mut self) {
        let (asked, life) = (self.some_order(), self.some_life());
        let id = self.model.reservations.len();
        self.model.reservations.push(Reservation {
            states: BTreeSet::from([Unknown]),
            asked: asked.clone(),
            lines: Lines::new(),
            expires_at: 0,
            ttl: None,
            saved: false,
        });
        self.reserve(id, &asked, life);
    }

    fn reserve_again(&mut self, id: usize) {
        let same = self.dice.roll(3) > 0;
        let asked = if same { self.model.reservations[id].asked.clone() } else { self.some_order() };
        let life = self.some_life();
        self.reserve(id, &asked, life);
    }

    fn reserve(&mut self, id: usize, asked: &Lines, life: i64) {
        let split = self.dice.pick(&["priority", "fewest", "none"]).to_owned();
        let token = self.token();
        let command = format!("INV.RESERVE r{id} PX {life} SPLIT {split}{token} ITEMS {}", show(asked));
        let answer = self.ask(&command);
        let one = &self.model.reservations[id];
        let (same, deadline) = (one.asked == *asked, one.deadline());
        let may_lack = self.model.may_lack_asked(asked, &split, answer.from);
        let free = |state| matches!(state, Unknown | Gone);
        match answer.code() {
            "ok" => {
                let reply = answer.reply.as_ref().expect("a reply");
                let expires_at = reply["expires_at"].as_i64().expect("a time");
                if !token.is_empty() {
                    self.reserved.push((command, id, reply.clone()));
                }
                let retried = same && expires_at == deadline;
                self.narrow(id, &answer, |state| if state == Live { retried } else { free(state) });
                if !self.model.reservations[id].is(Live) {
                    assert!(expires_at >= answer.from + life && expires_at <= answer.to + life, "{reply}");
                    // What was remembered of the earlier one went back first.
                    self.model.released(id);
                    let lines = resolved(asked, &reply["items"], &split);
                    self.model.reservations[id] = Reservation {
                        states: BTreeSet::from([Live]),
                        asked: asked.clone(),
                        lines,
                        expires_at,
                        ttl: Some(expires_at),
                        saved: false,
                    };
                }
            }
            "INSUFFICIENT" => {
                assert!(may_lack, "there are enough");
                self.narrow(id, &answer, free);
            }
            "MISMATCH" => self.narrow(id, &answer, |state| state == Live && !same),
            ended => self.narrow(id, &answer, |state| ending(state) == Some(ended)),
        }
    }

    fn commit(&mut self, id: usize) {
        let answer = self.ask(&format!("INV.COMMIT r{id}"));
        self.committed(id, &answer);
    }

    fn committed(&mut self, id: usize, answer: &Answer) {
        match answer.code() {
            "ok" => {
                self.narrow(id, answer, |state| matches!(state, Live | Committed));
                if self.model.reservations[id].is(Live) {
                    self.sold_all(id);
                }
            }
            "NOTFOUND" => self.narrow(id, answer, |state| matches!(state, Unknown | Gone)),
            ended => {
                self.narrow(id, answer, |state| state != Committed && ending(state) == Some(ended));
            }
        }
    }

    fn sold_all(&mut self, id: usize) {
        let one = &mut self.model.reservations[id];
        one.set(Committed);
        let lines = std::mem::take(&mut one.lines);
        self.model.sell(&lines);
    }

    fn commit_late(&mut self, id: usize) {
        // A live one sells what it holds, an expired one what its deadline gave back: the same.
        let needed = self.model.reservations[id].lines.clone();
        let answer = self.ask(&format!("INV.COMMIT r{id} LATE"));
        let may_lack = self.model.may_lack(&needed, answer.from);
        match answer.code() {
            "ok" => {
                self.narrow(id, &answer, |state| matches!(state, Live | Committed | Expired));
                if !self.model.reservations[id].is(Committed) {
                    self.model.released(id);
                    self.sold_all(id);
                }
            }
            "INSUFFICIENT" => {
                assert!(may_lack, "there are enough");
                self.narrow(id, &answer, |state| state == Expired);
            }
            "NOTFOUND" => self.narrow(id, &answer, |state| matches!(state, Unknown | Gone)),
            "ROLLEDBACK" => self.narrow(id, &answer, |state| state == RolledBack),
            other => panic!("COMMIT LATE says {other}"),
        }
    }

    fn rollback(&mut self, id: usize) {
        let answer = self.ask(&format!("INV.ROLLBACK r{id}"));
        match answer.code() {
            "ok" => {
                self.narrow(id, &answer, |state| matches!(state, Live | Expired | RolledBack));
                self.model.released(id);
                let one = &mut self.model.reservations[id];
                one.set(RolledBack);
                one.lines.clear();
            }
            "NOTFOUND" => self.narrow(id, &answer, |state| matches!(state, Unknown | Gone)),
            "COMMITTED" => self.narrow(id, &answer, |state| state == Committed),
            other => panic!("ROLLBACK says {other}"),
        }
    }

    fn part(&mut self, id: usize) {
        let one = &self.model.reservations[id];
        // Mostly a part of what is there.
        let held: Vec<(usize, i64)> = one.lines.iter().map(|(sku, units)| (*sku, *units)).collect();
        let mut part = Lines::new();
        if let Some(&(sku, units)) = held.get(self.place(held.len())) {
            part.insert(sku, self.up_to(units));
        }
        if part.is_empty() || self.dice.roll(6) == 0 {
            part = self.some_lines(8);
        }
        let commit = self.dice.roll(2) == 0;
        let verb = if commit { "COMMIT" } else { "ROLLBACK" };
        let command = format!("INV.{verb} r{id}{} ITEMS {}", self.token(), show(&part));
        let answer = self.ask(&command);
        let one = &self.model.reservations[id];
        let is_held = part.iter().all(|(sku, units)| one.lines.get(sku).is_some_and(|held| held >= units));
        match answer.code() {
            "ok" => {
                assert!(is_held, "more than is held");
                self.narrow(id, &answer, |state| state == Live);
                self.answered(&command, &answer);
                let one = &mut self.model.reservations[id];
                add(&mut one.lines, &part, -1);
                if one.lines.is_empty() {
                    one.set(if commit { Committed } else { RolledBack });
                } else {
                    one.expires_at = one.deadline();
                    one.ttl = Some(one.expires_at);
                }
                if commit {
                    self.model.sell(&part);
                }
            }
            "ERR" => {
                assert!(!is_held, "that much is held");
                self.narrow(id, &answer, |state| state == Live);
            }
            "NOTFOUND" => self.narrow(id, &answer, |state| matches!(state, Unknown | Gone)),
            ended => self.narrow(id, &answer, |state| ending(state) == Some(ended)),
        }
    }

    fn extend(&mut self, id: usize) {
        let life = self.some_life();
        let command = format!("INV.EXTEND r{id} PX {life}{}", self.token());
        let answer = self.ask(&command);
        match answer.code() {
            "ok" => {
                self.narrow(id, &answer, |state| state == Live);
                self.answered(&command, &answer);
                let deadline = answer.number().expect("a time");
                assert!(deadline >= answer.from + life && deadline <= answer.to + life, "{deadline}");
                let one = &mut self.model.reservations[id];
                (one.expires_at, one.ttl) = (deadline, Some(deadline));
            }
            "NOTFOUND" => self.narrow(id, &answer, |state| matches!(state, Unknown | Gone)),
            ended => self.narrow(id, &answer, |state| ending(state) == Some(ended)),
        }
    }

    fn get(&mut self, id: usize) {
        let answer = self.ask(&format!("INV.GET r{id}"));
        let reply = answer.reply.as_ref().expect("a reply");
        let name = reply["state"].as_str();
        self.narrow_only(id, &answer, |state| name == get_name(state));
    }

    /// The same for a command that is no write command of the module: it may find a reservation over, and leave its
    /// units to the cron.
    #[track_caller]
    fn narrow_only(&mut self, id: usize, answer: &Answer, gives: impl Fn(State) -> bool) {
        let was_over = self.model.reservations[id].is(Expired);
        let loose = std::mem::take(&mut self.model.loose);
        self.narrow(id, answer, gives);
        self.model.loose.extend(loose);
        if self.model.reservations[id].is(Expired) && !was_over {
            self.release_later(id, answer);
        }
    }

    /// It is over, and nobody has given its units back yet.
    fn release_later(&mut self, id: usize, answer: &Answer) {
        let one = &self.model.reservations[id];
        if self.model.loose.iter().all(|loose| loose.id != id) {
            let lines = one.lines.clone();
            let until = one.deadline();
            let (due, machine) = (answer.to, Machine::watch());
            self.model.loose.push(Loose { id, lines, surely_until: 0, until, due, machine });
        }
    }

    fn adjust(&mut self) {
        let (sku, delta) = (self.some_sku(), self.up_to(31) - 13);
        let command = format!("INV.ADJUST {} {delta}{}", SKUS[sku], self.token());
        let answer = self.ask(&command);
        match answer.code() {
            "ok" => {
                self.answered(&command, &answer);
                *self.model.on_hand.get_mut(&sku).expect("a known sku") += delta;
            }
            "INSUFFICIENT" => {
                let free = self.model.on_hand[&sku] - self.model.maybe_counted(sku, answer.from);
                assert!(free + delta < 0, "at least {free} were available");
            }
            // The delta 0 is no quantity.
            "ERR" => assert_eq!(delta, 0),
            other => panic!("ADJUST says {other}"),
        }
    }

    fn transfer(&mut self) {
        let [from, to] = if self.dice.roll(2) == 0 { PLACES } else { [PLACES[1], PLACES[0]] };
        let units = self.up_to(20);
        let warehouse = |sku: usize| SKUS[sku].split_once('@').expect("a place").1;
        let command = format!("INV.TRANSFER R {} {} {units}{}", warehouse(from), warehouse(to), self.token());
        let answer = self.ask(&command);
        match answer.code() {
            "ok" => {
                self.answered(&command, &answer);
                *self.model.on_hand.get_mut(&from).expect("a known sku") -= units;
                *self.model.on_hand.get_mut(&to).expect("a known sku") += units;
            }
            "INSUFFICIENT" => {
                let free = self.model.on_hand[&from] - self.model.maybe_counted(from, answer.from);
                assert!(free < units, "at least {free} were available");
            }
            other => panic!("TRANSFER says {other}"),
        }
    }

    fn set(&mut self) {
        let (sku, units) = (self.some_sku(), 20 + self.up_to(60));
        let name = SKUS[sku];
        let way = if self.dice.roll(2) == 0 { "AVAILABLE" } else { "ONHAND" };
        let (set, available, reserved) = (
            format!("INV.SET {name} {way} {units}"),
            format!("GET stock:available:{name}"),
            format!("GET stock:reserved:{name}"),
        );
        let (replies, from, _) = self.ask_together(&[&set, &available, &reserved]);
        let [available, reserved] = [integer(&replies[1]), integer(&replies[2])];
        match &replies[0] {
            Json::String(refusal) => {
                assert_eq!((code(refusal), way), ("-OVERCOMMITTED", "ONHAND"));
                assert!(units < self.model.maybe_counted(sku, from), "there are not as many reserved");
            }
            reply => {
                assert_eq!(*reply, available);
                assert_eq!(if way == "ONHAND" { available + reserved } else { available }, units);
                self.model.on_hand.insert(sku, available + reserved);
            }
        }
    }

    /// A command with a token is sent again: the same answer, and nothing changes.
    fn send_again(&mut self) {
        if self.dice.roll(3) > 0 {
            return self.reserve_with_known_token();
        }
        if self.answered.is_empty() {
            return;
        }
        let which = self.place(self.answered.len());
        let (command, reply) = self.answered[which].clone();
        assert_eq!(self.ask(&command).reply, Ok(reply), "{command} once more");
    }

    /// So is a RESERVE: the same answer while it lives, then how it ended. It never holds anything.
    fn reserve_with_known_token(&mut self) {
        if self.reserved.is_empty() {
            return;
        }
        let which = self.place(self.reserved.len());
        let (command, id, reply) = self.reserved[which].clone();
        let answer = self.ask(&command);
        match answer.code() {
            "ok" => {
                assert_eq!(answer.reply, Ok(reply), "{command} once more");
                self.narrow(id, &answer, |state| state == Live);
            }
            // Its end was forgotten, and the id is another's.
            "MISMATCH" => self.narrow(id, &answer, |state| state == Live),
            "NOTFOUND" => self.narrow(id, &answer, |state| matches!(state, Unknown | Gone)),
            ended => self.narrow(id, &answer, |state| ending(state) == Some(ended)),
        }
    }

    // --- other hands ---

    fn restock(&mut self) {
        for sku in SKUS {
            self.shop.ask(format!("SET stock:available:{sku} {STOCK}"));
        }
        self.shop.ask("ZADD stock:warehouses:R 1 north 2 south");
        self.model.on_hand = (0..SKUS.len()).map(|sku| (sku, STOCK)).collect();
        // The repair gives back only where a RESERVE has left this mark, which it does not before the check that follows
        // a load. Without it units of a dropped record are reported, and stay reserved.
        self.shop.ask("SET stock:available:OTHER 1");
        wait_until("the database is marked as the module's", LONG, || {
            let held = self.shop.ask("INV.RESERVE other-* ITEMS OTHER 1");
            self.shop.ask(["INV.ROLLBACK", held["reservation_id"].as_str().expect("an id")]);
            self.shop.ask("EXISTS inventory:managed") == 1
        });
    }

    fn restock_by_hand(&mut self) {
        let sku = self.some_sku();
        self.ask(&format!("INCRBY stock:available:{} 5", SKUS[sku]));
        *self.model.on_hand.get_mut(&sku).expect("a known sku") += 5;
    }

    /// The key of this id was there for other hands, or was not.
    #[track_caller]
    fn found(&mut self, id: usize, answer: &Answer, found: bool) {
        // A key without a TTL is there until the module has ended it.
        let stays = self.model.reservations[id].ttl.is_none();
        let left = |state| match state {
            Live => found,
            Expired => !found || stays,
            _ => !found,
        };
        self.narrow_only(id, answer, left);
        if found {
            self.model.released(id);
        }
    }

    /// Its record is gone by hand; its units come back at the deadline.
    fn gone(&mut self, id: usize) {
        let one = &mut self.model.reservations[id];
        one.set(Gone);
        let (lines, deadline) = (one.lines.clone(), one.deadline());
        let (due, machine) = (deadline.max(clock()), Machine::watch());
        self.model.loose.push(Loose { id, lines, surely_until: deadline, until: deadline, due, machine });
    }

    fn take_away(&mut self, id: usize) {
        let verb = *self.dice.pick(&[&"DEL", &"UNLINK"]);
        let answer = self.ask(&format!("{verb} reservation:r{id}"));
        let found = answer.number() == Some(1);
        self.found(id, &answer, found);
        if found {
            self.gone(id);
        }
    }

    fn rename_away(&mut self, id: usize) {
        // One without a TTL could come back when it is over, as a copy of something that has ended.
        if self.model.reservations[id].ttl.is_none() {
            return;
        }
        let answer = self.ask(&format!("RENAME reservation:r{id} saved:r{id}"));
        let found = answer.code() == "ok";
        self.found(id, &answer, found);
        if found {
            self.gone(id);
            self.model.reservations[id].saved = true;
        }
    }

    fn rename_back(&mut self, id: usize) {
        if !self.model.reservations[id].saved || !self.model.reservations[id].may_be(Gone) {
            return;
        }
        let answer = self.ask(&format!("RENAME saved:r{id} reservation:r{id}"));
        let one = &mut self.model.reservations[id];
        if answer.code() == "ok" {
            assert!(answer.from <= one.deadline(), "it was over");
            one.set(Live);
            one.saved = false;
            self.model.released(id);
        } else {
            assert!(answer.to >= one.deadline(), "{:?}", answer.reply);
        }
    }

    fn persist(&mut self, id: usize) {
        let (with_ttl, live) =
            (self.model.reservations[id].ttl.is_some(), self.model.reservations[id].may_be(Live));
        if !with_ttl || !live {
            return;
        }
        let answer = self.ask(&format!("PERSIST reservation:r{id}"));
        let found = answer.number() == Some(1);
        self.found(id, &answer, found);
        if found {
            self.model.reservations[id].ttl = None;
        }
    }

    fn move_deadline(&mut self, id: usize) {
        if !self.model.reservations[id].may_be(Live) {
            return;
        }
        let deadline = clock() + 10 + self.some_life();
        let key = format!("reservation:r{id}");
        let (replies, from, to) =
            self.ask_together(&[&format!("PEXPIREAT {key} {deadline}"), &format!("EXISTS {key}")]);
        let found = replies[0] == 1;
        let answer = Answer { reply: Ok(replies[0].clone()), from, to };
        self.found(id, &answer, found);
        if found && replies[1] == 1 {
            let one = &mut self.model.reservations[id];
            one.ttl = Some(deadline);
            one.set(Live);
        } else if found {
            // Too late. For some servers that is a DEL, for others it has expired.
            self.gone(id);
            if self.shop.ask(format!("INV.GET r{id}"))["state"] == "expired" {
                self.model.released(id);
                self.model.reservations[id].set(Expired);
                self.release_later(id, &answer);
            }
        }
    }

    fn flush(&mut self) {
        self.checkpoint();
        self.ask("FLUSHDB");
        self.model.reservations.iter_mut().for_each(|one| one.set(Unknown));
        self.model.loose.clear();
        self.answered.clear();
        self.reserved.clear();
        self.restock();
    }

    // --- time, and what happens to servers ---

    fn wait(&mut self) {
        // Time is what this step is about.
        std::thread::sleep(Duration::from_millis(1 + self.dice.roll(40)));
    }

    fn pause(&mut self) {
        self.ask("CLIENT PAUSE 30 WRITE");
        self.model.delay(clock() + 30);
    }

    fn restart(&mut self) {
        // One that was a replica may still be writing its first AOF.
        for field in ["aof_rewrite_scheduled", "aof_rewrite_in_progress"] {
            self.master.wait_for_info("persistence", field, "0");
        }
        let from = clock() - 1;
        self.model.advance(from);
        let way = self.dice.roll(2);
        self.note(format!("restart, aof {}, way {way}", self.aof));
        match (self.aof, way) {
            (true, 0) => self.master.kill(),
            (true, _) => self.master.shut_down(),
            (false, _) => self.master.shut_down_saving(),
        }
        self.master.start_again();
        let to = clock() + 1;
        if !self.aof {
            self.model.drop_due(to);
        }
        self.model.lose_memory(to);
        self.back_again();
    }

    fn reload(&mut self) {
        // What is due would be left out without a word to the replica: a matter of the server's.
        self.checkpoint();
        self.ask("DEBUG RELOAD");
        self.model.lose_memory(clock() + 1);
        self.back_again();
    }

    fn promote(&mut self) {
        self.model.advance(clock() - 1);
        self.replica.wait_for_master(&self.master);
        if self.dice.roll(2) == 0 {
            self.note("FAILOVER".to_owned());
            self.shop.ask("FAILOVER");
            wait_until("the replica is master", LONG, || {
                self.replica.connect().info("replication", "role") == "master"
            });
            wait_until("the master is replica", LONG, || {
                self.master.connect().info("replication", "role") == "slave"
            });
        } else {
            self.note("REPLICAOF".to_owned());
            self.replica.connect().ask("REPLICAOF NO ONE");
            self.master.connect().ask(format!("REPLICAOF 127.0.0.1 {}", self.replica.port()));
        }
        std::mem::swap(&mut self.master, &mut self.replica);
        // A restart is to find it so.
        for server in [&self.master, &self.replica] {
            server.connect().ask("CONFIG REWRITE");
        }
        self.model.lose_memory(clock() + 1);
        self.back_again();
    }

    /// Another server, or another process, is there now.
    fn back_again(&mut self) {
        self.shop = self.master.connect();
        let now = clock();
        self.model.advance(now - 1);
        self.model.delay(now);
        assert_eq!(self.shop.info("replication", "role"), "master");
        self.note("there".to_owned());
    }

    // --- what must be true ---

    fn counters(&mut self) -> Vec<(i64, i64)> {
        let keys = SKUS.iter().map(|sku| format!("stock:available:{sku} stock:reserved:{sku}"));
        let units = self.shop.ask(format!("MGET {}", keys.collect::<Vec<_>>().join(" ")));
        let units: Vec<i64> = units.as_array().expect("an array").iter().map(integer).collect();
        units.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }

    /// After every step: nothing has come or gone, and what is held is counted.
    fn check_counters(&mut self) {
        let from = clock() - 1;
        let counters = self.counters();
        let to = clock() + 1;
        for (sku, (available, reserved)) in counters.into_iter().enumerate() {
            let name = SKUS[sku];
            assert!(available >= 0 && reserved >= 0, "{name}: {available} and {reserved}");
            assert_eq!(available + reserved, self.model.on_hand[&sku], "{name}: {available} and {reserved}");
            let least = self.model.surely_held(sku, to);
            let most = self.model.maybe_counted(sku, from);
            assert!(
                (least..=most).contains(&reserved),
                "{name}: {least} to {most} are held, {reserved} reserved"
            );
        }
    }

    /// Lets everything that is due come to rest; then nothing is uncertain.
    fn checkpoint(&mut self) {
        self.note("checkpoint".to_owned());
        let soon = clock() + 1000;
        let deadlines = self.model.reservations.iter().filter(|one| one.may_be(Live) || one.may_be(Gone));
        let last = deadlines.map(Reservation::deadline).filter(|deadline| *deadline < soon).max();
        wait_until("the deadlines pass", LONG, || last.is_none_or(|last| clock() > last + 1));
        let now = clock();
        self.model.advance(now);
        self.model.loose.retain(|loose| !loose.is_lost() && loose.until >= now);
        let exact: Vec<(i64, i64)> = (0..SKUS.len())
            .map(|sku| {
                let held = self.model.maybe_held(sku, now);
                (self.model.on_hand[&sku] - held, held)
            })
            .collect();
        // The units of those that may be live are counted as held: which it is, the answer tells.
        for id in 0..self.model.reservations.len() {
            if self.model.reservations[id].states.len() > 1 {
                self.be_sure_of(id);
            }
        }
        wait_for("the counters are exact", LONG, exact, || self.counters());
        self.compare_copies();
    }

    fn be_sure_of(&mut self, id: usize) {
        let (begun, machine) = (clock(), Machine::watch());
        // The outcome may be a moment away.
        while self.model.reservations[id].may_be(Gone) && self.model.reservations[id].deadline() < clock() {
            let reply = self.shop.ask(format!("INV.GET r{id}"));
            if reply["state"] == "expired" {
                return self.model.reservations[id].set(Expired);
            }
            assert!(
                clock() < begun + machine.limit_ms(LATE),
                "r{id} was deleted by hand, and is not settled at its deadline: {reply}"
            );
        }
        self.get(id);
    }

    fn compare_copies(&mut self) {
        self.replica.wait_for_master(&self.master);
        let mut reader = self.replica.connect();
        let (begun, machine) = (clock(), Machine::watch());
        // A saved record may run out between the two.
        while self.shop.ask("DEBUG DIGEST") != reader.ask("DEBUG DIGEST") {
            if clock() > begun + machine.limit_ms(LATE) {
                assert_same(&self.shop.contents(), &reader.contents());
                panic!("the digests differ, and no key that can be read does");
            }
            self.replica.catch_up_with(&self.master);
        }
    }

    /// All deadlines pass: nothing is reserved any more, and every id is what the model says.
    fn finish(&mut self) {
        for id in 0..self.model.reservations.len() {
            if self.model.reservations[id].may_be(Live) {
                let soon = clock() + 50;
                let moved = self.shop.ask(format!("PEXPIREAT reservation:r{id} {soon}")) == 1;
                self.note(format!("r{id} ends at {soon}: {moved}"));
                let one = &mut self.model.reservations[id];
                if moved {
                    one.ttl = Some(soon);
                }
            }
        }
        // What is remembered for long comes back now: a restart forgets it.
        self.model.advance(clock());
        self.checkpoint();
        if self.model.loose.iter().any(|loose| !loose.is_lost()) {
            self.restart();
            self.checkpoint();
        }
        for (sku, (available, reserved)) in self.counters().into_iter().enumerate() {
            assert_eq!((available, reserved), (self.model.on_hand[&sku], 0), "{}", SKUS[sku]);
        }
        let mut reader = self.replica.connect();
        for (id, one) in self.model.reservations.iter().enumerate() {
            let reply = self.shop.ask(format!("INV.GET r{id}"));
            assert!(
                one.states.iter().any(|&state| get_name(state) == reply["state"].as_str()),
                "r{id}: {reply}"
            );
            assert_eq!(reader.ask(format!("INV.GET r{id}")), reply);
        }
        let holds = self.shop.info("inv", "inv_holds");
        assert_eq!(holds, "0");
    }
}

/// What INV.GET calls it.
fn get_name(state: State) -> Option<&'static str> {
    match state {
        Unknown | Gone => None,
        Live => Some("reserved"),
        Committed => Some("committed"),
        RolledBack => Some("rolled_back"),
        Expired => Some("expired"),
    }
}

/// The refusal of what only a live reservation can take.
fn ending(state: State) -> Option<&'static str> {
    match state {
        Committed => Some("COMMITTED"),
        RolledBack => Some("ROLLEDBACK"),
        Expired => Some("EXPIRED"),
        Unknown | Live | Gone => None,
    }
}

/// A counter; an absent one counts as 0.
fn integer(units: &Json) -> i64 {
    units.as_str().map_or(0, |units| units.parse().expect("an integer"))
}

/// How many histories, and how many steps each.
fn runs() -> (u64, usize) {
    let wanted = std::env::var("INV_MODEL_RUNS").unwrap_or_else(|_| "5x60".to_owned());
    let (runs, steps) = wanted.split_once('x').unwrap_or((&wanted, "60"));
    (runs.parse().expect("a number of histories"), steps.parse().expect("a number of steps"))
}

#[test]
fn any_history_of_commands_hands_and_failures_leads_where_the_contract_says() {
    let (runs, steps) = runs();
    if let Ok(seed) = std::env::var("INV_MODEL_SEED") {
        return History::run(seed.parse().expect("a seed"), steps);
    }
    for seed in REGRESSIONS {
        History::run(*seed, steps);
    }
    let first = std::env::var("INV_MODEL_FIRST").map_or(1, |first| first.parse().expect("a seed"));
    for seed in first..first + runs {
        History::run(seed, steps);
    }
}

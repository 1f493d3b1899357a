//! Compares random histories with the naive model: clients, scripts, deletions, deadlines, restarts and failovers in any order.
//! After every step, the data set is what the model says, and the replica has the same.
//!
//! A history that fails is reduced and printed as text. Add it as a named test at the end of this file.
//!
//! To add a kind of line, draw it in `common/lines.rs`, and define its meaning in `common/model.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};

use proptest::prelude::*;
use redis_inventory::commands::Request;
use redis_inventory::engine::effects::{self, Effect};
use redis_inventory::engine::keyspace::LoadRepair;
use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku as SkuName};

use super::calls;
use super::dice::Dice;
use super::lines::{self, Life, Line, Lines, Mix, PLACES, READS, SKUS, absolute};
use super::model::{Expected, MARK, Model, THRESHOLD, all_quotas, quota_name};
use super::simulation::{BEGIN, Command, Data, Entry, Simulation};

#[derive(Clone, Debug)]
struct Setting {
    stock: [i64; SKUS.len()],
    /// The number of W's warehouses at the start.
    places: usize,
    outcome_ttl: i64,
    cooldown: i64,
    /// Whether the load's repair returns units; `None`: `inv.load-repair auto`.
    repairs: Option<bool>,
}

/// The lines to run. MULTI and EXEC enclose one unit of work.
#[derive(Clone)]
pub struct Script(pub Vec<Line>);

impl Script {
    pub fn of(text: &str) -> Self {
        Self(text.lines().map(|line| lines::line(line.trim())).collect())
    }
}

impl Debug for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(out, "\n{}", line.join(" ")))
    }
}

struct History {
    master: Simulation,
    replica: Simulation,
    model: Model,
    /// Within MULTI.
    joined: bool,
    /// The latest record of each id, as text.
    copies: BTreeMap<String, String>,
    /// Ids of reservations that may still end, according to the replication stream.
    open: BTreeMap<String, i64>,
}

fn reservation(id: &str) -> ReservationId {
    ReservationId::parse(id.as_bytes(), KeyStyle::Plain).unwrap()
}

fn sku_name(sku: &str) -> SkuName {
    SkuName::parse(sku.as_bytes(), KeyStyle::Plain).unwrap()
}

impl History {
    fn begin(setting: &Setting) -> Self {
        let mut master = Simulation::new();
        master.settings.outcome_ttl_ms = setting.outcome_ttl;
        master.settings.alert_cooldown_ms = setting.cooldown;
        master.settings.low_stock_threshold = THRESHOLD;
        master.settings.alert_ttl_ms = 2000;
        let mut model = Model::new(BEGIN, setting.outcome_ttl, setting.repairs);
        master.settings.load_repair = match setting.repairs {
            None => LoadRepair::Auto,
            Some(true) => LoadRepair::Return,
            Some(false) => LoadRepair::Report,
        };
        master.settings.feed_maxlen = 50;
        for (sku, units) in setting.stock.into_iter().enumerate() {
            master.client(&["SET", &format!("stock:available:{}", SKUS[sku]), &units.to_string()]);
            model.stock_up(sku, units);
        }
        for name in &PLACES[..setting.places] {
            let words = ["ZADD", "stock:warehouses:W", "1", name];
            master.client(&words);
            model.hands(&words, |_| None);
        }
        master.take_stream();
        let replica = Simulation::replica_of(&master);
        Self { master, replica, model, joined: false, copies: BTreeMap::new(), open: BTreeMap::new() }
    }

    fn play(&mut self, line: &Line) {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let can_be_joined = words[0].starts_with("INV.") || words[0] == "GET";
        if !can_be_joined {
            self.finish();
        }
        self.model.is_marked = self.master.data.contains_key(MARK);
        match words.as_slice() {
            ["MULTI"] => self.joined = true,
            ["EXEC"] => {}
            [name, ..] if name.starts_with("INV.") => self.call(&words),
            _ => self.act(&words),
        }
        if !self.joined {
            self.finish();
        }
    }

    /// Runs what time, an operator or another program does.
    fn act(&mut self, words: &[&str]) {
        match words {
            ["WAIT", ms] => {
                let ms = ms.parse().unwrap();
                self.master.advance(ms);
                self.replica.advance(ms);
                self.model.now += ms;
            }
            ["SWEEP"] => {
                let is_alone = self.master.data.contains_key(MARK);
                self.master.sweep();
                self.model.sweep(is_alone);
            }
            ["CYCLE"] => {
                self.master.expire_cycle();
                self.model.expire_cycle();
            }
            ["RESTART", rest @ ..] => self.restart(!rest.is_empty()),
            ["FAILOVER"] => {
                self.replica.change_role();
                self.master.change_role();
                std::mem::swap(&mut self.master, &mut self.replica);
                self.model.fail_over();
            }
            _ => {
                let now = self.master.clock;
                for sent in self.model.hands(words, |id| self.copies.get(id).cloned()) {
                    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
                    let sent = absolute(&sent, now).unwrap();
                    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
                    self.master.execute(&sent);
                }
            }
        }
    }

    fn restart(&mut self, from_rdb: bool) {
        self.master.restart(from_rdb);
        let foreign = self.model.foreign();
        self.model.restart(from_rdb);
        for id in foreign.difference(&self.model.foreign()) {
            if self.model.has(id) {
                // Nothing remembers that its id had ended, so it counts again.
                self.open.insert(id.clone(), 1);
            }
        }
        self.replica = Simulation::replica_of(&self.master);
    }

    /// Runs a call of the module and asserts that the model gives the same answer. A call that changes nothing replicates nothing
    /// of its own, and nothing at all if there was nothing to settle.
    fn call(&mut self, words: &[&str]) {
        let line: Line = words.iter().map(ToString::to_string).collect();
        let subjects = lines::subjects(&line);
        let was_quiet =
            self.model.is_quiet(None) && subjects.iter().all(|id| self.model.is_quiet(lines::number_of(id)));
        let (before, sent, told) =
            (self.master.data.clone(), self.master.unit_so_far().len(), self.master.events.len());
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let request = Request::read(&bytes, self.master.style, &self.master.settings).unwrap().unwrap();
        let answer = calls::answer(&mut self.master, &request);
        let answer = answer.unwrap_or_else(|refusal| refusal.to_string());
        let data = &self.master.data;
        let expected = self.model.call(words, |name| data.contains_key(name)).unwrap_or_else(|| {
            assert_eq!(words[0], "INV.ALERTS");
            Expected { answer: self.alerts().to_string(), writes: false }
        });
        assert!(expected.fits(&answer), "{words:?}: {answer}, not {}", expected.answer);
        // The model keeps what a command has written, too.
        for id in subjects.into_iter().filter(|_| !READS.contains(&words[0])) {
            if self.model.has_record(&id)
                && let Some(json) = self.master.stored(&format!("reservation:{id}"))
            {
                self.copies.insert(id.clone(), json.to_owned());
            }
        }
        let sent = &self.master.unit_so_far()[sent..];
        let own = sent.iter().filter(|command| command[0] == "INV.APPLY").count();
        assert_eq!(own, usize::from(expected.writes), "{words:?}: {answer} replicated {sent:?}");
        // A count that changes nothing may still have a note, which is kept in the feed.
        let may_note = words.contains(&"NOTE") && answer.parse::<i64>().is_ok();
        if !expected.writes && !may_note && (was_quiet || READS.contains(&words[0])) {
            // The server deletes an expired outcome when it is read.
            let is_over = |name: &str| before[name].until.is_some_and(|until| until < self.master.clock);
            let is_expiry = |command: &Command| command[0] == "DEL" && is_over(&command[1]);
            assert!(sent.iter().all(is_expiry), "{answer} replicated {sent:?}");
            let mut events = self.master.events[told..].iter();
            assert!(events.all(|(event, _)| event == "expired"), "{answer} announced changes");
            let mut unchanged: Data = before.clone();
            unchanged.retain(|name, _| !is_over(name) || self.master.data.contains_key(name));
            assert_eq!(self.master.data, unchanged, "{answer} changed keys");
        }
    }

    /// The number of alerts.
    fn alerts(&self) -> usize {
        let is_alert = |(name, entry): &(&String, &Entry)| {
            name.starts_with("alert:") && entry.until.is_none_or(|until| self.master.clock <= until)
        };
        self.master.data.iter().filter(is_alert).count()
    }

    /// Ends a unit of work and compares everything.
    fn finish(&mut self) {
        self.joined = false;
        let is_alone = self.master.data.contains_key(MARK);
        self.master.finish();
        let ledger = self.master.memory();
        let written = self.model.written.clone();
        self.model.finish(is_alone, |id| ledger.pending.find(&reservation(&lines::id(id))).is_some());
        for sku in written {
            let reserved = self.model.reserved.get(&sku).copied().unwrap_or(0);
            if reserved != self.model.held(sku) {
                let is_marked = self.master.data.contains_key(MARK);
                assert!(!is_marked, "another program's units of {} could be returned", SKUS[sku]);
            }
        }
        let stream = self.master.take_stream();
        self.count_endings(&stream);
        self.replica.receive(&stream);
        self.compare_keys();
        self.compare_memory();
        assert_eq!(self.replica.data, self.master.data, "the replica differs from its master");
    }

    fn compare_keys(&self) {
        let (master, model) = (&self.master, &self.model);
        for (sku, name) in SKUS.iter().enumerate() {
            let available = master.number(&format!("stock:available:{name}"));
            let reserved = master.number(&format!("stock:reserved:{name}"));
            assert_eq!(available, model.available.get(&sku).copied(), "available units of {name}");
            assert_eq!(reserved, model.reserved.get(&sku).copied(), "reserved units of {name}");
            let on_hand = available.unwrap_or(0) + reserved.unwrap_or(0);
            assert_eq!(on_hand, model.on_hand[&sku], "units of {name} were lost or made");
        }
        for name in all_quotas() {
            let counter = |kind: &str| master.number(&format!("stock:{kind}:{}", quota_name(name)));
            let found = [counter("available"), counter("reserved")];
            assert_eq!(found, model.quota(name), "the quota {}", quota_name(name));
        }
        let records = master.data.keys().filter_map(|name| name.strip_prefix("reservation:"));
        let known = model.slots.keys().map(|id| lines::id(*id));
        assert_eq!(records.map(str::to_owned).collect::<BTreeSet<_>>(), known.collect(), "records");
        let outcome = |(name, entry): (&String, &Entry)| {
            let id =
                name.strip_prefix("inventory:outcome:").filter(|_| entry.until.unwrap() >= master.clock)?;
            let json = master.stored(name).unwrap();
            let outcome = Outcome::from_json(&reservation(id), json.as_bytes(), KeyStyle::Plain).unwrap();
            Some((id.to_owned(), outcome.ending))
        };
        let outcomes: BTreeMap<String, Ending> = master.data.iter().filter_map(outcome).collect();
        assert_eq!(outcomes, model.endings(), "outcomes");
    }

    fn compare_memory(&self) {
        let (master, replica, model) = (self.master.memory(), self.replica.memory(), &self.model);
        for (sku, name) in SKUS.iter().enumerate() {
            let name_of = sku_name(name);
            assert_eq!(master.holds.held_by_others(&name_of, 0), model.held(sku), "units of {name} held");
            let held = model.held_by_records(sku);
            assert_eq!(
                replica.holds.held_by_others(&name_of, 0),
                held,
                "held units of {name} on the replica"
            );
        }
        for name in all_quotas() {
            let sku = SkuName::parse_any(quota_name(name).as_bytes(), KeyStyle::Plain).unwrap();
            let held = [master, replica].map(|ledger| ledger.holds.held_by_others(&sku, 0));
            assert_eq!(held, [model.quota_held(name), model.quota_held_by_records(name)], "held of {sku}");
        }
        for ledger in [master, replica] {
            assert_eq!(ledger.holds.count(), model.live_count(), "live reservations");
            assert_eq!(ledger.foreign.count(), model.foreign_count(), "foreign records");
        }
        assert_eq!(master.pending.len(), model.pending_count(), "pending reservations");
    }

    /// Asserts that each reservation ends at most once according to the replication stream, independently of the model.
    fn count_endings(&mut self, stream: &[Vec<Command>]) {
        for command in stream.iter().flatten() {
            match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["INV.APPLY", arguments @ ..] => {
                    let arguments: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
                    for effect in effects::parse(&arguments).unwrap().1 {
                        match effect {
                            // REPLACE writes the record of a new reservation without HOLD.
                            Effect::Hold { record, .. } | Effect::Record { record, .. } => {
                                self.open.insert(record.id.as_str().to_owned(), 1);
                            }
                            Effect::End { id, .. } => self.ends(id.as_str()),
                            _ => {}
                        }
                    }
                }
                ["SET", name, ..] if name.starts_with("inventory:outcome:") => {
                    self.ends(name.strip_prefix("inventory:outcome:").unwrap());
                }
                ["SET", name, ..] | ["RENAME", _, name] if name.starts_with("reservation:") => {
                    // Another client has made a reservation, if the value is one.
                    let id = name.strip_prefix("reservation:").unwrap();
                    if self.model.has(id) && !self.model.foreign().contains(id) {
                        self.open.insert(id.to_owned(), 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn ends(&mut self, id: &str) {
        let open = self.open.entry(id.to_owned()).or_default();
        *open -= 1;
        assert!(*open >= 0, "reservation {id} ended twice");
    }
}

fn play(setting: &Setting, script: &Script) {
    let mut history = History::begin(setting);
    script.0.iter().for_each(|line| history.play(line));
    history.finish();
    // A year later, only what has no deadline is held.
    history.play(&lines::line("WAIT 31536000000"));
    history.play(&lines::line("SWEEP"));
    assert_eq!(history.master.memory().holds.count(), 0, "reservations that never end");
    for (sku, name) in SKUS.iter().enumerate() {
        assert_eq!(history.model.held(sku), 0, "units of {name} that are never returned");
    }
}

/// Makes lines from random draws. Each may share its unit of work with the next.
fn script(few: u64, draws: Vec<([u16; 20], bool)>, mix: &Mix<'_>) -> Script {
    let life =
        |dice: &mut Dice| Life::For(if dice.one_in(4) { 49 + dice.up_to(4951) } else { dice.up_to(49) });
    let mut lines = Lines::of_few(few, life);
    let (mut script, mut joined) = (Vec::new(), false);
    for (draws, goes_on) in draws {
        let line = lines.draw(&mut Dice::drawn(draws.to_vec()), mix);
        let can_be_joined = line[0].starts_with("INV.") || line[0] == "GET";
        if joined && !can_be_joined {
            script.push(lines::line("EXEC"));
            joined = false;
        }
        if !joined && can_be_joined && goes_on {
            script.push(lines::line("MULTI"));
            joined = true;
        }
        script.push(line);
        if joined && !goes_on {
            script.push(lines::line("EXEC"));
            joined = false;
        }
    }
    Script(script)
}

fn scripts(mix: Mix<'static>) -> impl Strategy<Value = Script> {
    // About five reservations, or a new one each time.
    let few = prop_oneof![3 => Just(5_u64), 1 => Just(0)];
    let step = (prop::array::uniform20(any::<u16>()), prop::bool::weighted(0.3));
    (few, prop::collection::vec(step, 1..60)).prop_map(move |(few, draws)| script(few, draws, &mix))
}

fn setting() -> impl Strategy<Value = Setting> {
    let outcome_ttl = prop_oneof![2 => Just(3_600_000_i64), 1 => Just(0), 1 => 1..200_i64];
    let cooldown = prop_oneof![Just(0_i64), Just(500)];
    let stock = 0..20_i64;
    let stock = [(); SKUS.len()].map(|()| stock.clone());
    let repairs = prop::option::of(any::<bool>());
    let setting =
        (stock, prop_oneof![1 => 0..2_usize, 2 => Just(PLACES.len())], outcome_ttl, cooldown, repairs);
    setting.prop_map(|(stock, places, outcome_ttl, cooldown, repairs)| Setting {
        stock,
        places,
        outcome_ttl,
        cooldown,
        repairs,
    })
}

pub fn config(cases: u32) -> ProptestConfig {
    // `PROPTEST_CASES=100000` runs more of them.
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { cases };
    // Failures become named tests instead.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

const CLIENTS_AND_TIME: Mix<'static> = Mix { calls: 4, time: 1, hands: 0, operator: 0, orders: &[] };
const ALL: Mix<'static> = Mix {
    calls: 14,
    time: 4,
    hands: 12,
    operator: 1,
    orders: &[(1, "RESTART"), (1, "RESTART RDB"), (2, "FAILOVER")],
};

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn clients_and_time_alone_lead_to_what_the_model_says(
        setting in setting(),
        script in scripts(CLIENTS_AND_TIME),
    ) {
        play(&setting, &script);
    }

    #[test]
    fn other_clients_restarts_and_failovers_lead_to_what_the_model_says(
        setting in setting(),
        script in scripts(ALL),
    ) {
        play(&setting, &script);
    }
}

// --- histories that once failed ---

const SETTING: Setting = Setting {
    stock: [4, 0, 0, 0, 0, 0],
    places: 0,
    outcome_ttl: 3_600_000,
    cooldown: 0,
    repairs: Some(false),
};

#[track_caller]
fn replay(setting: Setting, text: &str) {
    play(&setting, &Script::of(text));
}

#[test]
fn units_go_back_to_a_counter_that_was_deleted_meanwhile() {
    replay(
        SETTING,
        "INV.RESERVE R1 PX 1 ITEMS P 1
        DEL stock:available:P
        EVICT reservation:R1
        INCRBY stock:available:P 1",
    );
}

#[test]
fn if_nothing_is_remembered_a_token_is_refused_before_anything_else() {
    replay(
        Setting { outcome_ttl: 0, ..SETTING },
        "SET reservation:R1 foreign PX 1
        INV.RESERVE R1 PX 1 ONCE t0 ITEMS P 1",
    );
}

#[test]
fn the_token_of_a_commit_that_finds_nothing_to_do_is_remembered() {
    replay(
        SETTING,
        "INV.RESERVE R1 PX 1 ITEMS P 1
        INV.COMMIT R1
        INV.COMMIT R1 ONCE t0",
    );
}

#[test]
fn units_of_a_record_that_was_renamed_are_free_from_its_deadline_on() {
    replay(
        Setting { stock: [1, 0, 0, 0, 0, 0], ..SETTING },
        "INV.RESERVE R1 PX 1 ITEMS P 1
        RENAME reservation:R1 kept:R1
        WAIT 2
        INV.RESERVE R2 PX 1 ITEMS P 1",
    );
}

#[test]
fn a_refusal_counts_the_units_that_are_due_of_a_record_that_was_deleted() {
    replay(
        Setting { stock: [3, 0, 0, 0, 0, 0], ..SETTING },
        "INV.RESERVE R1 PX 1 ITEMS P 1
        DEL reservation:R1
        WAIT 2
        INV.RESERVE R2 PX 1 ITEMS P 4",
    );
}

#[test]
fn a_record_that_came_back_after_its_end_stays_foreign_though_the_end_is_forgotten() {
    replay(
        Setting { outcome_ttl: 66, ..SETTING },
        "INV.RESERVE R1 PX 1 ITEMS P 1
        INV.ROLLBACK R1
        RESTORE reservation:R1 PX 1
        WAIT 67
        RESTART
        PEXPIRE reservation:R1 1",
    );
}

#[test]
fn a_script_that_ends_a_reservation_twice_gives_away_no_unit_of_another() {
    replay(
        Setting { outcome_ttl: 0, ..SETTING },
        "INV.RESERVE R1 PX 1 ITEMS P 1
        INV.RESERVE R2 PX 1 ITEMS P 1
        SCRIPT COMMIT R2
        DEL stock:available:P
        RESTART
        WAIT 2
        GET reservation:R1
        SCRIPT ROLLBACK R2",
    );
}

#[test]
fn what_a_script_has_returned_does_not_keep_the_units_of_an_overdue_reservation() {
    replay(
        Setting { stock: [0, 2, 0, 0, 4, 0], repairs: None, ..SETTING },
        "INV.RESERVE R4@shop PX 908 ITEMS W@east 1 Q 1
        INV.RESERVE R1 PX 1 ITEMS Q 1
        DEL stock:available:Q
        WAIT 2
        DEL reservation:R1
        SCRIPT ROLLBACK R4@shop",
    );
}

#[test]
fn a_cart_of_a_product_whose_counter_a_repair_has_made_negative_can_hold_what_it_held() {
    replay(
        Setting { stock: [4, 0, 0, 5, 6, 0], repairs: None, ..SETTING },
        "INV.MRESERVE PX 1 2 R3 3 W@south 1 W@east 1 P 1 R1 1 P 1
        DEL reservation:R3
        SCRIPT COMMIT R3
        INV.REPLACE R2 R0 PX 1 PARTIAL ITEMS P 2
        INV.REPAIR P
        INV.REPLACE R0 R0 PX 1 ITEMS P 4",
    );
}

#[test]
fn an_element_that_is_short_returns_what_another_client_has_deleted_as_well() {
    replay(
        Setting { stock: [7, 1, 0, 0, 0, 0], repairs: None, ..SETTING },
        "INV.RESERVE R2 PX 1 ITEMS Q 1
        INV.RESERVE R0 PX 1 ITEMS P 3
        DEL reservation:R0
        INV.RESERVE R5 PX 1 ITEMS P 1
        WAIT 2
        INV.MRESERVE PX 1 2 R6 1 P 1 R8 1 Q 1",
    );
}

#[test]
fn the_quota_of_a_record_whose_units_may_be_another_programs_is_given_back_when_its_id_is_used_again() {
    replay(
        Setting { stock: [1, 0, 0, 0, 0, 1], repairs: None, ..SETTING },
        "RESTART
        INV.LIMIT W 1
        INV.RESERVE R4@shop PX 1 PARTIAL BUYER ann ITEMS W 1 P 1
        DEL reservation:R4@shop
        INV.MRESERVE PX 1 1 R4@shop 1 P 1",
    );
}

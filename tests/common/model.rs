//! The naive model: what the contract says a history must lead to, as sets and sums, without keys, indexes or events. It takes
//! the lines that `lines.rs` draws, and predicts the replies and the books of the simulated server and of real servers.
//!
//! The contract does not say which overdue reservations a command releases, or what a job leaves to the cron. In these cases
//! the model looks which records are gone, checks that they had expired, and predicts what follows.

use std::collections::{BTreeMap, BTreeSet};

use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::quantity::{MAX_EXACT, UnixMs};

use super::lines::{self, BUYERS, Line, PLACES, SKUS, number_of};

/// The product that may be kept in warehouses, and its skus there.
const W: Sku = 5;
const W_PLACES: [Sku; 3] = [2, 3, 4];

/// The priority of a closed warehouse.
const CLOSED: i64 = GONE - 1;

/// The priority of a warehouse that W does not have any more, in which units are freed.
const GONE: i64 = i64::MAX;

/// The low-stock threshold of products without one of their own, in all histories.
pub const THRESHOLD: i64 = 3;

pub type Id = u64;
pub type Sku = usize;
/// The mark of a database that only the module uses.
pub const MARK: &str = "inventory:managed";

pub type Lines = Vec<(Sku, i64)>;
/// The units of each product that count against the limits of one buyer.
type Quota = BTreeMap<Sku, i64>;
/// The quota of a buyer for a product.
pub type QuotaName = (Sku, &'static str);

/// The products of a shop, which may have limits.
const PRODUCTS: [Sku; 3] = [0, 1, W];

/// The product of a sku.
fn product_of(sku: Sku) -> Sku {
    if W_PLACES.contains(&sku) { W } else { sku }
}

/// Every quota.
pub fn all_quotas() -> Vec<QuotaName> {
    PRODUCTS.into_iter().flat_map(|product| BUYERS.map(|buyer| (product, buyer))).collect()
}

/// A line that is short: sku, requested units, available units.
type Short = (Sku, i64, i64);

/// The contents of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub lines: Lines,
    /// The items of its RESERVE, or of the latest REPLACE.
    asked: Lines,
    /// With PARTIAL, the items that were missing.
    short: Option<Lines>,
    data: Option<String>,
    buyer: Option<&'static str>,
    /// What it holds of the quotas of its buyer.
    quota: Quota,
    pub sold: Lines,
    pub returned: Lines,
    /// Its deadline if its key has no TTL.
    pub expires_at: UnixMs,
    /// Its mark: it was restored after its units had been taken.
    restored: bool,
    /// Its mark: it was restored after its end.
    ended: bool,
}

impl Held {
    /// The held lines that `named` refers to. If W is not held under its own name, its units are taken from its warehouses in the
    /// order of the lines.
    fn part(&self, named: &Lines) -> Option<Lines> {
        let mut left = self.lines.clone();
        let mut part = Lines::new();
        let is_held = |sku: Sku| self.lines.iter().any(|line| line.0 == sku);
        for by_name in [true, false] {
            for &(sku, quantity) in named.iter().filter(|line| is_held(line.0) == by_name) {
                let fits = |held: Sku| held == sku || (sku == W && W_PLACES.contains(&held));
                for _ in 0..quantity {
                    let line = left.iter_mut().find(|line| fits(line.0) && line.1 > 0)?;
                    line.1 -= 1;
                    add(&mut part, line.0, 1);
                }
            }
        }
        Some(part)
    }

    /// What this call makes of these lines.
    fn of(call: &Asked, lines: Lines, expires_at: UnixMs) -> Self {
        let missing = |&(sku, units): &(Sku, i64)| {
            let held = if sku == W && !lines.iter().any(|line| line.0 == W) {
                // The named warehouses take first.
                let named = |place: Sku| units_of(&call.items, place).min(units_of(&lines, place));
                W_PLACES.iter().map(|place| units_of(&lines, *place) - named(*place)).sum()
            } else {
                units_of(&lines, sku)
            };
            (sku, (units - held).max(0))
        };
        let short: Lines = call.items.iter().map(missing).filter(|line| line.1 > 0).collect();
        Self {
            asked: sum(&[&call.items]),
            short: call.partial.then_some(short),
            data: call.data.clone(),
            buyer: call.buyer,
            quota: Quota::new(),
            lines,
            sold: vec![],
            returned: vec![],
            expires_at,
            restored: false,
            ended: false,
        }
    }

    /// Whether it holds all that was asked for, or the call accepts less.
    fn is_enough(&self, partial: bool) -> bool {
        partial || self.short.iter().all(Vec::is_empty)
    }

    /// The answer to the call that made it.
    fn told(&self, deadline: UnixMs) -> String {
        let short = self.short.iter().filter(|short| !short.is_empty());
        let short: String = short.map(|short| format!(" short {}", show(short))).collect();
        format!("OK {deadline} {}{short}", show(&self.lines))
    }

    /// All lines that it ever held.
    fn whole(&self) -> Lines {
        sum(&[&self.lines, &self.sold, &self.returned])
    }
}

/// The key `reservation:{id}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// The record, if the value is a record of this id.
    pub record: Option<Held>,
    pub until: Option<UnixMs>,
    /// It does not belong to the module: it is no record, or it appeared after its id had ended.
    pub foreign: bool,
    /// Another client stored it. Whether its units were taken is unknown.
    pub by_hand: bool,
}

impl Slot {
    fn deadline(&self) -> Option<UnixMs> {
        self.until.or_else(|| self.record.as_ref().map(|record| record.expires_at))
    }

    /// The record, if it holds units.
    fn held(&self) -> Option<&Held> {
        self.record.as_ref().filter(|_| !self.foreign)
    }
}

/// A record that is gone but whose units are not settled yet.
#[derive(Clone, Debug, PartialEq)]
struct Gone {
    id: Id,
    /// Its last contents.
    record: Held,
    /// The lines that are still held.
    lines: Lines,
    /// The quotas that are still held.
    quota: Quota,
    deadline: UnixMs,
}

/// How a reservation ended, while that is remembered.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    ending: Ending,
    /// All lines that it held.
    asked: Lines,
    sold: Lines,
    returned: Lines,
    /// The lines that were returned because it expired.
    overdue: Lines,
    /// The reservation that replaced it.
    successor: Option<Id>,
    buyer: Option<&'static str>,
    until: UnixMs,
}

/// How a call takes its lines.
#[derive(Clone, Default)]
struct Way {
    /// Without one, each line takes from its own sku.
    split: Option<Split>,
    partial: bool,
    /// The units that the call itself frees.
    own: Lines,
    buyer: Option<&'static str>,
    /// The reservations whose units the call frees.
    freed: Vec<Held>,
}

/// What a call asks for of one product that has a limit.
struct Share {
    product: Sku,
    limit: i64,
    requested: i64,
    /// The units that the same buyer's reservations hold which the call replaces.
    kept: i64,
    allowed: i64,
}

/// A `ONCE` token: its full name, and the arguments that it was used with.
#[derive(Clone, Debug)]
struct Token {
    name: String,
    asked: String,
}

/// The answer to a command, and whether the command itself writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The answer. For most refusals, only the code.
    pub answer: String,
    pub writes: bool,
}

impl Expected {
    fn done() -> Self {
        Self::number("OK", true)
    }

    fn already() -> Self {
        Self::number("OK", false)
    }

    fn number(answer: impl ToString, writes: bool) -> Self {
        Self { answer: answer.to_string(), writes }
    }

    fn refused(answer: impl Into<String>) -> Self {
        Self { answer: answer.into(), writes: false }
    }

    /// Whether this answer was given. For most refusals, only the code is compared.
    pub fn fits(&self, said: &str) -> bool {
        if self.answer.contains(lines::BETWEEN) {
            let (expected, said) = (self.answer.split(lines::BETWEEN), said.split(lines::BETWEEN));
            let one = |answer: &str| Self::refused(answer);
            return expected.clone().count() == said.clone().count()
                && expected.zip(said).all(|(expected, said)| one(expected).fits(said));
        }
        let is_a_code = !self.answer.contains(' ') && said != self.answer;
        let said = if is_a_code { said.split(' ').next().unwrap_or_default() } else { said };
        in_any_order(said) == in_any_order(&self.answer)
    }
}

/// The parts of an answer in a fixed order. The order of lists is not part of the contract, nor is the order of the skus in a
/// refusal for lack of stock.
fn in_any_order(answer: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = answer.trim_start_matches("INSUFFICIENT ").split("; ").collect();
    parts.sort_unstable();
    parts
}

enum State {
    Unknown,
    Live(Held, UnixMs),
    /// Expired without an outcome.
    Lapsed,
    Ended(Outcome),
    Foreign,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    pub now: UnixMs,
    /// 0 if outcomes are not kept.
    pub outcome_ttl: i64,
    /// Whether the repair returns units. `None`: only if no other program uses the database.
    pub repairs: Option<bool>,
    /// The counters that have a key.
    pub available: BTreeMap<Sku, i64>,
    pub reserved: BTreeMap<Sku, i64>,
    /// Available plus reserved units. Only sales, stock counts and other clients change them.
    pub on_hand: BTreeMap<Sku, i64>,
    /// The warehouses of W with their priorities. If there are none, W is kept under its own name.
    pub warehouses: BTreeMap<Sku, i64>,
    /// The floors that have a key.
    floors: BTreeMap<Sku, i64>,
    pub slots: BTreeMap<Id, Slot>,
    /// Records that other clients renamed.
    backups: BTreeMap<Id, Slot>,
    /// The latest record of each id, even if it is gone.
    copies: BTreeMap<Id, Held>,
    /// The limits per buyer.
    pub limits: BTreeMap<Sku, i64>,
    /// The counters of quotas that have a key: available and reserved.
    pub quotas: BTreeMap<QuotaName, [Option<i64>; 2]>,
    /// Reserved counters of quotas that the walk has found.
    quotas_to_check: BTreeSet<QuotaName>,
    /// The thresholds that INV.THRESHOLD has set.
    thresholds: BTreeMap<Sku, String>,
    outcomes: BTreeMap<Id, Outcome>,
    /// The arguments and the answer of each token, and the time until which it is known.
    once: BTreeMap<String, (String, String, UnixMs)>,
    pending: Vec<Gone>,
    /// Records that other clients took away in this unit of work.
    removed: Vec<Gone>,
    /// Records that other clients took away while it was unknown what other programs hold. They hold nothing.
    undecided: Vec<Gone>,
    /// Records that other clients stored in this unit of work.
    appeared: BTreeSet<Id>,
    /// Records whose TTL other clients changed in this unit of work.
    touched: BTreeSet<Id>,
    /// Reserved counters that other clients wrote in this unit of work.
    pub written: BTreeSet<Sku>,
    /// The known differences between reserved counters and held units.
    drift_known: BTreeMap<Sku, i64>,
    /// Counters that were written while the difference was unknown.
    written_unknown: BTreeSet<Sku>,
    /// The walk has not compared every counter yet.
    uncompared: bool,
    /// The mark was there at the beginning of this step.
    pub is_marked: bool,
    remembered: Vec<Gone>,
    /// An event on a reservation's key has requested a job after this unit of work.
    job: bool,
    /// The cron has to walk over the keys first.
    walk: bool,
    /// Counters that the walk has found and that are to be compared with the held units.
    to_check: BTreeSet<Sku>,
}

impl Model {
    /// A model without any history.
    pub fn new(now: UnixMs, outcome_ttl: i64, repairs: Option<bool>) -> Self {
        Self { now, outcome_ttl, repairs, ..Self::default() }
    }

    /// A sku has these units at the beginning.
    pub fn stock_up(&mut self, sku: Sku, units: i64) {
        self.available.insert(sku, units);
        self.on_hand.insert(sku, units);
    }

    /// A sku has no counters at the beginning.
    pub fn stock_up_nothing(&mut self, sku: Sku) {
        self.on_hand.insert(sku, 0);
    }

    // --- queries ---

    fn outcome(&self, id: Id) -> Option<&Outcome> {
        self.outcomes.get(&id).filter(|outcome| self.now <= outcome.until)
    }

    pub fn ending(&self, id: Id) -> Option<Ending> {
        self.outcome(id).map(|outcome| outcome.ending)
    }

    /// The units of `sku` that are held.
    pub fn held(&self, sku: Sku) -> i64 {
        let gone = self.pending.iter().chain(&self.removed).chain(&self.remembered).map(|gone| &gone.lines);
        gone.flatten().filter(|line| line.0 == sku).map(|line| line.1).sum::<i64>()
            + self.held_by_records(sku)
    }

    /// The units of `sku` that records hold. A replica knows no others.
    pub fn held_by_records(&self, sku: Sku) -> i64 {
        let lines = self.slots.values().filter_map(Slot::held).flat_map(|held| &held.lines);
        lines.filter(|line| line.0 == sku).map(|line| line.1).sum()
    }

    /// What is held of a quota.
    pub fn quota_held(&self, name: QuotaName) -> i64 {
        let gone = self.pending.iter().chain(&self.removed).chain(&self.remembered);
        let gone = gone.map(|gone| (gone.record.buyer, &gone.quota));
        let held = self.slots.values().filter_map(Slot::held).map(|held| (held.buyer, &held.quota));
        let of_buyer = gone.chain(held).filter(|(buyer, _)| *buyer == Some(name.1));
        of_buyer.filter_map(|(_, quota)| quota.get(&name.0)).sum()
    }

    /// What records hold of a quota.
    pub fn quota_held_by_records(&self, name: QuotaName) -> i64 {
        let held = self.slots.values().filter_map(Slot::held).filter(|held| held.buyer == Some(name.1));
        held.filter_map(|held| held.quota.get(&name.0)).sum()
    }

    /// The counters of a quota.
    pub fn quota(&self, name: QuotaName) -> [Option<i64>; 2] {
        self.quotas.get(&name).copied().unwrap_or_default()
    }

    /// Sets the counters of a quota.
    fn set_quota(&mut self, name: QuotaName, counters: [Option<i64>; 2]) {
        match counters {
            [None, None] => self.quotas.remove(&name),
            _ => self.quotas.insert(name, counters),
        };
    }

    /// Counters that are both 0, or absent, are deleted by the step that has changed them.
    fn tidy_quota(&mut self, name: QuotaName) {
        if self.quota(name).map(|units| units.unwrap_or(0)) == [0, 0] {
            self.set_quota(name, [None, None]);
        }
    }

    /// How many of these held units are given back, and how many are then added to the available counter.
    fn given_back(&self, name: QuotaName, units: i64, is_sold: bool) -> Option<(i64, i64)> {
        let [available, reserved] = self.quota(name);
        let others = (self.quota_held(name) - units).max(0);
        let units = units.min(reserved? - others);
        if units <= 0 {
            return None;
        }
        let left = reserved? - units;
        let back = match available {
            Some(available) if !is_sold => units.min((-left.max(0) - available).max(0)),
            _ => 0,
        };
        Some((units, back))
    }

    fn give_quota_back(&mut self, name: QuotaName, (units, back): (i64, i64)) {
        let [available, reserved] = self.quota(name);
        self.set_quota(name, [available.map(|units| units + back), reserved.map(|held| held - units)]);
        self.tidy_quota(name);
    }

    /// What is given back of the quotas of a buyer.
    fn all_given_back(
        &self,
        buyer: Option<&'static str>,
        quota: &Quota,
        is_sold: bool,
    ) -> Vec<(QuotaName, (i64, i64))> {
        let Some(buyer) = buyer else { return vec![] };
        let given = |(product, units): (&Sku, &i64)| {
            let name = (*product, buyer);
            Some((name, self.given_back(name, *units, is_sold)?))
        };
        quota.iter().filter_map(given).collect()
    }

    fn take_quota(&mut self, name: QuotaName, units: i64, reserves: bool) {
        let [available, reserved] = self.quota(name);
        let reserved = if reserves { Some(reserved.unwrap_or(0) + units) } else { reserved };
        self.set_quota(name, [Some(available.unwrap_or(0) - units), reserved]);
    }

    /// The skus whose reserved counter differs from the held units, or whose units cannot be sold: with the difference and with
    /// those units.
    fn wrong(&self) -> BTreeSet<(String, i64, i64)> {
        let reserved = |sku: Sku| self.reserved.get(&sku).copied().unwrap_or(0);
        let stray = |sku: Sku| if self.counts(sku) { 0 } else { self.units(sku) + reserved(sku) };
        let all =
            (0..SKUS.len()).map(|sku| (SKUS[sku].to_owned(), reserved(sku) - self.held(sku), stray(sku)));
        let quotas = all_quotas().into_iter().map(|name| {
            let drift = self.quota(name)[1].unwrap_or(0) - self.quota_held(name);
            (quota_name(name), drift, 0)
        });
        all.chain(quotas).filter(|(_, drift, stray)| *drift != 0 || *stray != 0).collect()
    }

    /// The ids of all reservations that have not expired.
    fn live(&self) -> BTreeSet<String> {
        let live = self.slots.iter().filter(|(_, slot)| slot.held().is_some() && !self.is_overdue(slot));
        live.map(|(id, _)| lines::id(*id)).collect()
    }

    /// How each remembered reservation ended.
    pub fn endings(&self) -> BTreeMap<String, Ending> {
        self.outcomes.keys().filter_map(|id| Some((lines::id(*id), self.ending(*id)?))).collect()
    }

    /// Whether a key exists under this id.
    pub fn has(&self, id: &str) -> bool {
        number_of(id).is_some_and(|id| self.slots.contains_key(&id))
    }

    /// Whether that key is a record of this id.
    pub fn has_record(&self, id: &str) -> bool {
        number_of(id).and_then(|id| self.slots.get(&id)).is_some_and(|slot| slot.record.is_some())
    }

    /// The ids whose keys do not belong to the module.
    pub fn foreign(&self) -> BTreeSet<String> {
        let foreign = self.slots.iter().filter(|(_, slot)| slot.foreign);
        foreign.map(|(id, _)| lines::id(*id)).collect()
    }

    pub fn live_count(&self) -> usize {
        self.slots.values().filter(|slot| slot.held().is_some()).count()
    }

    pub fn foreign_count(&self) -> usize {
        self.slots.values().filter(|slot| slot.foreign).count()
    }

    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is nothing that a command could settle. The command may name one id.
    pub fn is_quiet(&self, id: Option<Id>) -> bool {
        self.pending.is_empty()
            && self.undecided.iter().all(|gone| Some(gone.id) != id || gone.quota.is_empty())
            && self.remembered.iter().all(|gone| Some(gone.id) != id && self.now <= gone.deadline)
            && self.slots.values().all(|slot| !self.is_overdue(slot))
    }

    /// Whether a client finds the key.
    fn is_readable(&self, slot: &Slot) -> bool {
        slot.until.is_none_or(|until| self.now <= until)
    }

    /// Whether no units of this id wait to be settled.
    fn is_settled(&self, id: Id) -> bool {
        self.pending.iter().all(|gone| gone.id != id)
    }

    /// Whether other clients can store a record under this id without meeting units of it that wait to be settled.
    fn can_be_put(&self, id: Id) -> bool {
        self.is_settled(id) && self.slots.get(&id).is_none_or(|slot| self.is_readable(slot))
    }

    fn is_overdue(&self, slot: &Slot) -> bool {
        slot.deadline().is_some_and(|deadline| self.now > deadline)
    }

    /// The reservations of the module that have expired and still have a key, by deadline.
    fn overdue(&self) -> Vec<Id> {
        let is_over = |slot: &Slot| slot.held().is_some() && self.is_overdue(slot);
        let over = self.slots.iter().filter(|(_, slot)| is_over(slot));
        let mut over: Vec<_> = over.map(|(id, slot)| (slot.deadline(), lines::id(*id), *id)).collect();
        over.sort_unstable();
        over.into_iter().map(|(.., id)| id).collect()
    }

    fn units(&self, sku: Sku) -> i64 {
        self.available.get(&sku).copied().unwrap_or(0)
    }

    fn floor(&self, sku: Sku) -> i64 {
        self.floors.get(&sku).copied().unwrap_or(0)
    }

    /// The units that can be reserved.
    fn reservable(&self, sku: Sku) -> i64 {
        self.units(sku) - self.floor(sku)
    }

    fn is_closed(&self, sku: Sku) -> bool {
        self.warehouses.get(&sku) == Some(&CLOSED)
    }

    // --- releases ---

    /// The part of `lines` that may be returned without taking units from other holders.
    fn movable(&self, lines: &Lines) -> Lines {
        let part = |&(sku, quantity): &(Sku, i64)| {
            let reserved = *self.reserved.get(&sku)?;
            let others = self.held(sku) - quantity;
            Some((sku, quantity.min(reserved - others))).filter(|line| line.1 > 0)
        };
        lines.iter().filter_map(part).collect()
    }

    /// Returns the units of `moved` and what is given back of the quotas.
    fn give_back(
        &mut self,
        gone: &Gone,
        moved: &Lines,
        given: Vec<(QuotaName, (i64, i64))>,
        with_outcome: bool,
    ) {
        for (name, units) in given {
            self.give_quota_back(name, units);
        }
        // If only a quota is left, it is not known how the reservation ended.
        let with_outcome = with_outcome && !gone.lines.is_empty();
        for &(sku, units) in moved {
            *self.available.entry(sku).or_default() += units;
            *self.reserved.entry(sku).or_default() -= units;
        }
        if with_outcome && self.outcome(gone.id).is_none() {
            self.end(gone.id, &gone.record, Ending::Expired, moved);
        }
    }

    /// Remembers the outcome. The step that ended the reservation moved these lines.
    fn end(&mut self, id: Id, record: &Held, ending: Ending, moved: &Lines) {
        let nothing = Lines::new();
        let (sold, returned) =
            if ending == Ending::Committed { (moved, &nothing) } else { (&nothing, moved) };
        self.outcomes.remove(&id);
        if self.outcome_ttl > 0 {
            let outcome = Outcome {
                ending,
                asked: record.whole(),
                sold: sum(&[&record.sold, sold]),
                returned: sum(&[&record.returned, returned]),
                overdue: if ending == Ending::Expired { moved.clone() } else { nothing.clone() },
                successor: None,
                buyer: record.buyer,
                until: self.now + self.outcome_ttl,
            };
            self.outcomes.insert(id, outcome);
        }
    }

    fn settle_pending(&mut self) {
        while let Some(gone) = self.pending.first() {
            self.settle_pending_of(gone.id);
        }
    }

    fn settle_pending_of(&mut self, id: Id) {
        let at = self.pending.iter().position(|gone| gone.id == id).unwrap();
        let moved = self.movable(&self.pending[at].lines);
        let given = self.all_given_back(self.pending[at].record.buyer, &self.pending[at].quota, false);
        let gone = self.pending.remove(at);
        self.give_back(&gone, &moved, given, true);
    }

    fn settle_remembered(&mut self, which: impl Fn(&Gone) -> bool, with_outcome: bool) {
        self.remembered.sort_by_key(|gone| (gone.deadline, lines::id(gone.id)));
        while let Some(at) = self.remembered.iter().position(&which) {
            let moved = self.movable(&self.remembered[at].lines);
            let given =
                self.all_given_back(self.remembered[at].record.buyer, &self.remembered[at].quota, false);
            let gone = self.remembered.remove(at);
            self.give_back(&gone, &moved, given, with_outcome);
        }
    }

    /// Notes the records that are gone because the command opened them. `is_there` looks at the real keys.
    fn look_who_is_gone(&mut self, is_there: impl Fn(&str) -> bool) {
        for id in self.overdue() {
            if !is_there(&format!("reservation:{}", lines::id(id))) {
                self.expire(id);
            }
        }
    }

    fn expire(&mut self, id: Id) {
        self.job = true;
        let slot = self.slots.remove(&id).unwrap();
        self.pending.extend(Self::gone(id, &slot));
    }

    fn gone(id: Id, slot: &Slot) -> Option<Gone> {
        let record = slot.held()?.clone();
        let (lines, quota) = (record.lines.clone(), record.quota.clone());
        Some(Gone { id, lines, quota, record, deadline: slot.deadline()? })
    }

    /// The end of a unit of work: the job after it runs, and may leave some pending reservations. Writes of other clients to a
    /// counter may request a job too.
    ///
    /// `is_alone`: the mark says that only the module uses the database, both before and after the job.
    pub fn finish(&mut self, is_alone: bool, is_left: impl Fn(Id) -> bool) {
        let ready: Vec<Id> = self.pending.iter().map(|gone| gone.id).filter(|id| !is_left(*id)).collect();
        // Counters that other clients wrote are compared first, and for that it must be known what is held.
        let compares_first = self.job && !self.written.is_empty();
        if !compares_first {
            ready.iter().for_each(|id| self.settle_pending_of(*id));
        }
        if !std::mem::take(&mut self.job) {
            return;
        }
        let appeared = std::mem::take(&mut self.appeared);
        for &id in &appeared {
            self.judge(id);
            if let Some(held) = self.slots.get(&id).and_then(Slot::held).cloned() {
                self.removed.retain(|gone| gone.id != id);
                self.undecided.retain(|gone| gone.id != id);
                self.remembered.retain(|gone| gone.id != id);
                held.lines.iter().for_each(|line| self.compare(line.0));
            }
        }
        let touched = std::mem::take(&mut self.touched);
        for &id in &touched {
            if let Some(held) = self.slots.get(&id).and_then(Slot::held).cloned() {
                held.lines.iter().for_each(|line| self.compare(line.0));
            }
        }
        self.remember_removed(is_alone);
        for sku in std::mem::take(&mut self.written) {
            self.compare(sku);
        }
        if compares_first {
            ready.iter().for_each(|id| self.settle_pending_of(*id));
        }
        for id in appeared.union(&touched) {
            self.say_that_it_came_back(*id);
        }
    }

    /// Whether it is known what other programs hold.
    fn knows_the_shared(&self, is_alone: bool) -> bool {
        !self.uncompared || (is_alone && self.foreign_count() == 0)
    }

    /// Remembers the records that other clients took away, once it is known what other programs hold.
    fn remember_removed(&mut self, is_alone: bool) {
        if !self.knows_the_shared(is_alone) {
            self.undecided.append(&mut self.removed);
            return;
        }
        self.removed.append(&mut self.undecided);
        while let Some(gone) = self.removed.last() {
            let others = self.slots.iter().any(|(id, slot)| slot.foreign && *id != gone.id);
            let mut lines = if others { Lines::new() } else { self.movable(&gone.lines) };
            lines.retain(|line| {
                let drift = self.drift_known.get(&line.0).copied().unwrap_or(0);
                drift <= 0 && !self.written_unknown.contains(&line.0)
            });
            let given = match others {
                true => vec![],
                false => self.all_given_back(gone.record.buyer, &gone.quota, false),
            };
            let quota: Quota = given.into_iter().map(|((product, _), (units, _))| (product, units)).collect();
            let whole = gone.lines.clone();
            let gone = Gone { lines, quota, ..self.removed.pop().unwrap() };
            let older = self.remembered.iter().position(|older| older.id == gone.id);
            let is_worth_it = !gone.lines.is_empty() || (!gone.quota.is_empty() && older.is_none());
            if is_worth_it {
                if let Some(at) = older {
                    self.remembered.remove(at);
                }
                self.remembered.push(gone);
            }
            whole.iter().for_each(|line| self.compare(line.0));
        }
        self.written_unknown.clear();
    }

    /// Another client has written a reserved counter.
    fn note_written(&mut self, sku: Sku) {
        self.job = true;
        self.written.insert(sku);
        if !self.knows_the_shared(self.is_marked) {
            self.written_unknown.insert(sku);
        }
    }

    fn compare(&mut self, sku: Sku) {
        let drift = self.reserved.get(&sku).copied().unwrap_or(0) - self.held(sku) - self.undecided(sku);
        self.drift_known.insert(sku, drift);
    }

    /// The units of which it is unknown whether they are held.
    fn undecided(&self, sku: Sku) -> i64 {
        let lines = self.undecided.iter().flat_map(|gone| &gone.lines);
        lines.filter(|line| line.0 == sku).map(|line| line.1).sum()
    }

    /// The same for a quota.
    fn undecided_quota(&self, name: QuotaName) -> i64 {
        let of_buyer = self.undecided.iter().filter(|gone| gone.record.buyer == Some(name.1));
        of_buyer.filter_map(|gone| gone.quota.get(&name.0)).sum()
    }

    /// Marks a restored record if the counters contradict it or if its id had ended.
    fn say_that_it_came_back(&mut self, id: Id) {
        let ended = self.outcome(id).is_some();
        let Some(slot) = self.slots.get(&id) else { return };
        if !self.is_readable(slot) {
            return;
        }
        let (is_foreign, by_hand) = (slot.foreign, slot.by_hand);
        let Some(record) = slot.record.clone() else { return };
        let is_lacking = |sku: Sku| self.reserved.get(&sku).copied().unwrap_or(0) < self.held(sku);
        let lacks = record.lines.iter().any(|line| is_lacking(line.0));
        let record = Held {
            ended: record.ended || (is_foreign && ended),
            restored: record.restored || (!is_foreign && by_hand && lacks),
            ..record
        };
        self.slots.get_mut(&id).unwrap().record = Some(record);
    }

    fn judge(&mut self, id: Id) {
        let ended = self.outcome(id).is_some();
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.foreign = ended || slot.record.as_ref().is_none_or(|record| record.ended);
        }
    }

    /// The cron returns the units of all expired reservations. After a walk it also returns the units that nothing holds, if they
    /// are the module's.
    pub fn sweep(&mut self, is_alone: bool) {
        if std::mem::take(&mut self.walk) {
            self.begin_check();
        }
        let is_alone = is_alone && self.foreign_count() == 0;
        let now = self.now;
        self.settle_pending();
        self.remember_removed(is_alone);
        self.settle_remembered(|gone| now > gone.deadline, true);
        for id in self.overdue() {
            self.expire(id);
        }
        self.settle_pending();
        for sku in std::mem::take(&mut self.to_check) {
            let drift =
                self.reserved.get(&sku).map_or(0, |reserved| reserved - self.held(sku) - self.undecided(sku));
            if drift > 0 && self.repairs.unwrap_or(is_alone) {
                *self.available.entry(sku).or_default() += drift;
                *self.reserved.get_mut(&sku).unwrap() -= drift;
            }
            if self.reserved.contains_key(&sku) {
                self.compare(sku);
            }
        }
        for name in std::mem::take(&mut self.quotas_to_check) {
            let drift = self.quota(name)[1]
                .map_or(0, |reserved| reserved - self.quota_held(name) - self.undecided_quota(name));
            if drift > 0
                && self.repairs.unwrap_or(true)
                && let Some(given) = self.given_back(name, drift, false)
            {
                self.give_quota_back(name, given);
            }
        }
        self.uncompared = false;
        self.remember_removed(is_alone);
        self.settle_remembered(|gone| now > gone.deadline, true);
    }

    /// These reservations have ended meanwhile, by the cron or by the server's own expiry. Returns false if one of them cannot
    /// have ended.
    pub fn end_meanwhile(&mut self, ended: &BTreeSet<String>) -> bool {
        for id in ended.iter().filter_map(|id| number_of(id)) {
            let now = self.now;
            let is_overdue =
                self.slots.get(&id).is_some_and(|slot| slot.held().is_some() && self.is_overdue(slot));
            let is_due = |gone: &Gone| gone.id == id && now > gone.deadline;
            if is_overdue {
                self.expire(id);
                self.settle_pending();
            } else if !self.is_settled(id) {
                self.settle_pending_of(id);
            } else if self.remembered.iter().any(is_due) {
                self.settle_remembered(is_due, true);
            } else {
                return false;
            }
        }
        true
    }

    /// The cron, at some time before the first deadline of the overdue records that still exist.
    pub fn sweep_what_is_settled(&mut self, is_alone: bool) {
        let now = self.now;
        self.now = self.deadlines().into_iter().min().map_or(now, |first| first.min(now));
        self.sweep(is_alone);
        self.now = now;
    }

    /// The deadlines of all held and remembered records.
    pub fn deadlines(&self) -> Vec<UnixMs> {
        let held = self.slots.values().filter(|slot| slot.held().is_some()).filter_map(Slot::deadline);
        held.chain(self.remembered.iter().map(|gone| gone.deadline)).collect()
    }

    /// The deadline of the held or remembered record of this id.
    pub fn deadline_of(&self, id: &str) -> Option<UnixMs> {
        let id = number_of(id)?;
        let remembered = || self.remembered.iter().find(|gone| gone.id == id).map(|gone| gone.deadline);
        self.slots.get(&id).and_then(Slot::deadline).or_else(remembered)
    }

    /// Whether this call asks for a deadline that has passed.
    pub fn is_too_late(&self, words: &[&str]) -> bool {
        Asked::read(words, self.now).until.is_some_and(|until| until <= self.now)
    }

    fn begin_check(&mut self) {
        self.uncompared = true;
        self.drift_known.clear();
        self.written_unknown.clear();
        self.to_check = self.reserved.keys().copied().collect();
        let counted = self.quotas.iter().filter(|(_, counters)| counters[1].is_some());
        self.quotas_to_check = counted.map(|(name, _)| *name).collect();
    }

    // --- the module's commands ---

    /// Carries out a call of the module, and predicts its answer. `None` for reads of what the model does not keep. `is_there`
    /// looks at the keys after the call, because the call may choose which overdue reservations it releases.
    pub fn call(&mut self, words: &[&str], is_there: impl Fn(&str) -> bool) -> Option<Expected> {
        if words[0].starts_with("INV.M") {
            return Some(self.call_each(words, is_there));
        }
        self.call_one(words, &is_there)
    }

    /// The elements of a call on many reservations are carried out one after the other.
    fn call_each(&mut self, words: &[&str], is_there: impl Fn(&str) -> bool) -> Expected {
        let words: Line = words.iter().map(ToString::to_string).collect();
        let elements = lines::elements(&words);
        let (mut answers, mut writes) = (Vec::new(), false);
        for (at, element) in elements.iter().enumerate() {
            // If the record of a later element is overdue, that element releases it, unless an earlier one has.
            let later: Vec<String> =
                elements[at + 1..].iter().map(|element| format!("reservation:{}", element[1])).collect();
            let is_there = |name: &str| is_there(name) && !later.iter().any(|later| later == name);
            let element: Vec<&str> = element.iter().map(String::as_str).collect();
            let expected = self.call_one(&element, &is_there).expect("a write");
            writes |= expected.writes;
            // The items are not answered.
            answers.push(match expected.answer.strip_prefix("OK ") {
                Some(reserved) => format!("OK {}", reserved.split(' ').next().unwrap_or_default()),
                None => expected.answer,
            });
        }
        Expected { answer: answers.join(lines::BETWEEN), writes }
    }

    fn call_one(&mut self, words: &[&str], is_there: &dyn Fn(&str) -> bool) -> Option<Expected> {
        let asked = Asked::read(words, self.now);
        let token = asked.token.as_ref();
        let name = words.get(1).copied().unwrap_or_default();
        let id = || number_of(name).expect("a reservation");
        let sku = || number(name);
        let lines = &asked.items;
        let expected = match words[0] {
            "INV.RESERVE" => self.reserve(id(), &asked, is_there),
            "INV.REPLACE" => {
                let new = number_of(words[2]).expect("a reservation");
                let expected = self.replace(id(), new, &asked, is_there);
                self.keep_copy(new);
                expected
            }
            "INV.COMMIT" if !lines.is_empty() => self.resolve_part(id(), lines, Ending::Committed, token),
            "INV.COMMIT" => self.commit(id(), asked.late, token, is_there),
            "INV.ROLLBACK" if !lines.is_empty() => self.resolve_part(id(), lines, Ending::RolledBack, token),
            "INV.ROLLBACK" => self.rollback(id(), asked.fence, token),
            "INV.EXTEND" => self.extend(id(), asked.until.expect("a lifetime"), token),
            "INV.ADJUST" if name.contains("@@") => {
                self.adjust_quota(quota_named(name), integer(words[2]), asked.force, token)
            }
            "INV.REPAIR" if name.contains("@@") => self.repair_quota(quota_named(name)),
            "INV.LIMIT" => self.set_limit(sku(), words[2]),
            "INV.ADJUST" => self.adjust(sku(), integer(words[2]), asked.force, token),
            "INV.SET" => self.set(sku(), words[2] == "ONHAND", integer(words[3]), &asked),
            "INV.TRANSFER" => self.transfer(place(words[2]), place(words[3]), integer(words[4]), token),
            "INV.WAREHOUSES" if words[2] == "SET" => {
                let places: Vec<(Sku, i64)> =
                    words[3..].chunks(2).map(|pair| (place(pair[0]), priority(pair[1]))).collect();
                self.set_warehouses(&places)
            }
            "INV.WAREHOUSES" => self.remove_warehouse(place(words[3])),
            "INV.FLOOR" => self.set_floor(sku(), integer(words[2])),
            "INV.THRESHOLD" => self.set_threshold(sku(), words[2]),
            "INV.REPAIR" => self.repair(sku(), words.contains(&"FORCE"), is_there(MARK)),
            _ => return self.read(words).map(|answer| Expected::number(answer, false)),
        };
        if let Some(id) = number_of(name) {
            self.keep_copy(id);
        }
        Some(expected)
    }

    /// The answer to a read-only call.
    fn read(&mut self, words: &[&str]) -> Option<String> {
        let name = words[1];
        Some(match words[0] {
            "INV.GET" => {
                let id = number_of(name).expect("a reservation");
                let state = self.get(id).unwrap_or("null");
                self.find_by_hand(id);
                state.to_owned()
            }
            "INV.STOCK" => {
                let of = |product: &&str| match self.stock(number(product)) {
                    Some((available, reserved, reservable)) => format!("{available} {reserved} {reservable}"),
                    None => "null".to_owned(),
                };
                words[1..].iter().map(of).collect::<Vec<_>>().join("; ")
            }
            "INV.QUOTA" => {
                let [available, reserved] = self.quota((number(name), buyer(words[2])));
                let limit = self.limits.get(&number(name));
                let (taken, held) = (-available.unwrap_or(0), reserved.unwrap_or(0).max(0));
                let shown = |units: Option<i64>| units.map_or("null".to_owned(), |units| units.to_string());
                let left = limit.map(|limit| (limit - taken).max(0));
                let bought = (taken - held).max(0);
                format!("{} {held} {bought} {}", shown(limit.copied()), shown(left))
            }
            "INV.AUDIT" if name.contains("@@") => {
                let name = quota_named(name);
                let ([available, reserved], held) = (self.quota(name), self.quota_held(name));
                match (available, reserved, held) {
                    (None, None, 0) => "null".to_owned(),
                    _ => format!("{} {held}", reserved.unwrap_or(0)),
                }
            }
            "INV.AUDIT" => {
                let sku = number(name);
                let (reserved, held) = (self.reserved.get(&sku).copied().unwrap_or(0), self.held(sku));
                if sku == W && !self.warehouses.is_empty() && held == 0 && self.is_empty(W) {
                    "ERR".to_owned()
                } else if self.is_known(sku) {
                    format!("{reserved} {held}")
                } else {
                    "null".to_owned()
                }
            }
            "INV.AUDITSCAN" => {
                let wrong = self.wrong();
                let wrong = wrong.iter().map(|(sku, drift, stray)| format!("{sku} {drift} {stray}"));
                wrong.collect::<Vec<_>>().join("; ")
            }
            "INV.SCAN" => {
                // The only pattern that is drawn.
                let is_wanted = |id: &String| !words.contains(&"MATCH") || id.ends_with("@shop");
                self.live().into_iter().filter(is_wanted).collect::<Vec<_>>().join("; ")
            }
            "INV.STOCKSCAN" => self.scan_stock(words),
            _ => return None,
        })
    }

    /// All products with their units, or only those that are low, or whose names match the only pattern that is drawn.
    fn scan_stock(&self, words: &[&str]) -> String {
        let names: &[&str] = if words.contains(&"MATCH") { &["P", "W"] } else { &["P", "Q", "W"] };
        let is_low = |product: Sku, units: i64| {
            let threshold = match self.thresholds.get(&product).map(String::as_str) {
                None => THRESHOLD,
                Some("off") => 0,
                Some(own) => integer(own),
            };
            units <= threshold
        };
        let tell = |name: &&str| {
            let product = number(name);
            let (available, reserved, reservable) = self.stock(product)?;
            let is_wanted = !words.contains(&"LOW") || is_low(product, reservable);
            is_wanted.then(|| format!("{name} {available} {reserved} {reservable}"))
        };
        names.iter().filter_map(tell).collect::<Vec<_>>().join("; ")
    }

    fn set_limit(&mut self, product: Sku, units: &str) -> Expected {
        self.settle_pending();
        let before = match units {
            "OFF" => self.limits.remove(&product),
            units => self.limits.insert(product, integer(units)),
        };
        Expected::number("OK", before.as_ref() != self.limits.get(&product))
    }

    fn adjust_quota(&mut self, name: QuotaName, delta: i64, force: bool, token: Option<&Token>) -> Expected {
        self.settle_pending();
        if let Some(answer) = self.answered(token, None) {
            return answer;
        }
        let [available, reserved] = self.quota(name);
        let (available, held) = (available.unwrap_or(0), reserved.unwrap_or(0).max(0));
        let limit = self.limits.get(&name.0).copied();
        if delta > (-available - held).max(0) || (delta < 0 && limit.is_none()) {
            return Expected::refused("ERR");
        }
        let left = available + limit.unwrap_or(0);
        if delta < 0 && left < -delta && !force {
            return Expected::refused(over(name.0, name.1, -delta, left, limit.unwrap_or(0)));
        }
        if delta != 0 {
            self.take_quota(name, -delta, false);
            self.tidy_quota(name);
        }
        self.remember(token, Expected::number(available + delta, delta != 0))
    }

    fn repair_quota(&mut self, name: QuotaName) -> Expected {
        self.settle_pending();
        let ([available, reserved], held) = (self.quota(name), self.quota_held(name));
        if (available, reserved, held) == (None, None, 0) {
            return Expected::number("null", false);
        }
        let drift = reserved.unwrap_or(0) - held;
        if drift != 0 {
            let now = available.unwrap_or(0);
            let back = if drift > 0 { drift.min((-held - now).max(0)) } else { drift };
            let available = if back != 0 { Some(now + back) } else { available };
            self.set_quota(name, [available, Some(held)]);
            self.tidy_quota(name);
        }
        Expected::number(format!("{} {held}", reserved.unwrap_or(0)), drift != 0)
    }

    fn set_threshold(&mut self, product: Sku, units: &str) -> Expected {
        let before = match units {
            "default" => self.thresholds.remove(&product),
            units => self.thresholds.insert(product, units.to_owned()),
        };
        Expected::number("OK", before.as_ref() != self.thresholds.get(&product))
    }

    /// Keeps the latest record of this id, which a backup tool may restore.
    fn keep_copy(&mut self, id: Id) {
        if let Some(record) = self.slots.get(&id).and_then(|slot| slot.record.clone()) {
            self.copies.insert(id, record);
        }
    }

    /// The state of `id`, after all pending units have been settled.
    fn state(&mut self, id: Id) -> State {
        self.settle_pending();
        let mut lapsed = false;
        if let Some(slot) = self.slots.get(&id) {
            let unclear = slot.foreign || self.outcome(id).is_some();
            match (self.is_readable(slot), unclear, self.is_overdue(slot)) {
                (true, true, _) => return State::Foreign,
                (true, false, false) => {
                    return State::Live(slot.record.clone().unwrap(), slot.deadline().unwrap());
                }
                (true, false, true) | (false, ..) => {
                    lapsed = slot.held().is_some();
                    self.expire(id);
                    self.settle_pending();
                }
            }
        }
        match self.outcome(id) {
            Some(outcome) => State::Ended(outcome.clone()),
            None if lapsed => State::Lapsed,
            None => State::Unknown,
        }
    }

    /// The answer that a token has been given before. If the arguments differ, the refusal is `ended` for a reservation that has
    /// ended, and MISMATCH otherwise.
    fn answered(&self, token: Option<&Token>, ended: Option<&str>) -> Option<Expected> {
        let token = token?;
        if self.outcome_ttl == 0 {
            return Some(Expected::refused("ERR"));
        }
        let (asked, answer, _) = self.once.get(&token.name).filter(|(.., until)| self.now <= *until)?;
        Some(if *asked == token.asked {
            Expected::number(answer, false)
        } else {
            Expected::refused(ended.unwrap_or("MISMATCH"))
        })
    }

    /// The answer to a RESERVE whose token is known: the same answer while the reservation lives, then how it ended.
    fn answered_reserve(&self, state: &State, call: &Asked, token: Option<&Token>) -> Option<Expected> {
        let ended = match state {
            State::Ended(outcome) => Some(code(outcome.ending)),
            _ => None,
        };
        if let Some(answer) = self.unless_foreign(state, token, ended) {
            let is_again = answer.answer.starts_with("OK");
            return Some(match state {
                // The id was reserved again meanwhile.
                State::Live(held, _)
                    if is_again && (held.asked != sum(&[&call.items]) || !held.is_enough(call.partial)) =>
                {
                    Expected::refused("MISMATCH")
                }
                State::Live(..) => answer,
                state if is_again => refuse(state),
                _ => answer,
            });
        }
        None
    }

    /// Remembers the answer to a command with a token, which is a write too.
    fn remember(&mut self, token: Option<&Token>, expected: Expected) -> Expected {
        self.remember_from(self.now, token, expected)
    }

    /// The same, but the token is kept as if the answer had been given at `last`.
    fn remember_from(&mut self, last: UnixMs, token: Option<&Token>, mut expected: Expected) -> Expected {
        if let Some(token) = token {
            let until = last + self.outcome_ttl;
            self.once.insert(token.name.clone(), (token.asked.clone(), expected.answer.clone(), until));
            expected.writes = true;
        }
        expected
    }

    fn reserve(&mut self, id: Id, call: &Asked, is_there: impl Fn(&str) -> bool) -> Expected {
        let (lines, token) = (&call.items, call.token.as_ref());
        let expires_at = call.until.expect("a lifetime");
        let state = self.state(id);
        if let Some(answer) = self.answered_reserve(&state, call, token) {
            return answer;
        }
        match state {
            State::Ended(outcome) => return Expected::refused(code(outcome.ending)),
            State::Live(held, deadline)
                if held.asked == sum(&[lines])
                    && held.is_enough(call.partial)
                    && (call.buyer.is_none() || call.buyer == held.buyer) =>
            {
                let answer = Expected::number(held.told(deadline), false);
                return self.remember_from(deadline.max(self.now), token, answer);
            }
            State::Live(..) => return Expected::refused("MISMATCH"),
            State::Lapsed | State::Unknown | State::Foreign => {}
        }
        if lines.iter().any(|line| line.0 != W && !self.counts(line.0)) {
            return Expected::refused("ERR");
        }
        self.settle_removed(id);
        let way = Way { split: Some(call.split), partial: call.partial, buyer: call.buyer, ..Way::default() };
        let (picks, quota) = match self.take_limited(lines, &way, &is_there) {
            Ok(picks) => picks,
            Err(refusal) => return refusal,
        };
        for &(sku, quantity) in &picks {
            *self.available.entry(sku).or_default() -= quantity;
            *self.reserved.entry(sku).or_default() += quantity;
        }
        for (product, units) in &quota {
            self.take_quota((*product, call.buyer.unwrap()), *units, true);
        }
        let record = Held { quota, ..Held::of(call, picks, expires_at) };
        let answer = record.told(expires_at);
        self.slots.insert(
            id,
            Slot { record: Some(record), until: Some(expires_at), foreign: false, by_hand: false },
        );
        self.remember_from(expires_at, token, Expected::number(answer, true))
    }

    /// Settles what is left of a record of this id that another client deleted.
    fn settle_removed(&mut self, id: Id) {
        // They may be another program's units, so they stay reserved.
        while let Some(at) = self.undecided.iter().position(|gone| gone.id == id) {
            let gone = self.undecided.remove(at);
            // No other program holds units of a quota.
            let has_stranger = self.slots.iter().any(|(other, slot)| slot.foreign && *other != id);
            self.removed.push(gone.clone());
            let given = self.all_given_back(gone.record.buyer, &gone.quota, false);
            self.removed.pop();
            for (name, units) in given.into_iter().filter(|_| !has_stranger) {
                self.give_quota_back(name, units);
            }
            gone.lines.iter().for_each(|line| self.compare(line.0));
        }
        self.settle_remembered(|gone| gone.id == id, false);
    }

    /// `new` holds exactly the items, with the units of `old` and its own.
    fn replace(&mut self, old: Id, new: Id, call: &Asked, is_there: impl Fn(&str) -> bool) -> Expected {
        let (lines, token) = (&call.items, call.token.as_ref());
        let in_place = old == new;
        let state_of_old = self.state(old);
        let state = self.state(new);
        if matches!(state_of_old, State::Foreign) && !(token.is_some() && self.outcome_ttl == 0) {
            return Expected::refused("FOREIGN");
        }
        // Who has ended may not be used, unless it makes room for the new one.
        let ended_old = match &state_of_old {
            State::Ended(outcome) if !in_place => match outcome.ending {
                Ending::Committed => Some("COMMITTED"),
                Ending::Replaced if outcome.successor != Some(new) => Some("REPLACED"),
                _ => None,
            },
            _ => None,
        };
        let ended_new = match &state {
            State::Ended(outcome) => Some(code(outcome.ending)),
            _ => None,
        };
        let was_replaced =
            matches!(&state_of_old, State::Ended(outcome) if outcome.ending == Ending::Replaced);
        let is_gone = matches!(state, State::Unknown | State::Lapsed);
        let ended = ended_old.or(ended_new).or((was_replaced && is_gone && !in_place).then_some("REPLACED"));
        if let Some(answer) = self.unless_foreign(&state, token, ended) {
            return match state {
                _ if !answer.answer.starts_with("OK") => answer,
                State::Live(held, deadline) => Expected::number(held.told(deadline), false),
                state => refuse(&state),
            };
        }
        if let Some(ended) = ended {
            return Expected::refused(ended);
        }
        let former = match state_of_old {
            State::Live(held, deadline) if !in_place => Some((held, deadline)),
            _ => None,
        };
        let live = match state {
            State::Live(held, deadline) => Some((held, deadline)),
            _ => None,
        };
        if let (Some((held, deadline)), None) = (&live, &former) {
            let is_same = held.asked == sum(&[lines])
                && (call.data.is_none() || call.data == held.data)
                && (call.buyer.is_none() || call.buyer == held.buyer);
            let is_retry = match in_place {
                true => is_same && held.short.is_some() == call.partial,
                false => is_same && held.is_enough(call.partial),
            };
            if is_retry {
                let fences = !in_place && self.replaced(old, new, None, *deadline);
                let answer = Expected::number(held.told(*deadline), fences);
                return self.remember_from((*deadline).max(self.now), token, answer);
            }
            if !in_place {
                return Expected::refused("MISMATCH");
            }
        }
        let freed: Vec<(Id, &Lines)> = [(old, &former), (new, &live)]
            .into_iter()
            .filter_map(|(id, held)| Some((id, &held.as_ref()?.0.lines)))
            .collect();
        let own = sum(&freed.iter().map(|(_, lines)| *lines).collect::<Vec<_>>());
        // What is held in a warehouse that W no longer has may be kept.
        if lines.iter().any(|line| line.0 != W && !self.counts(line.0) && line.1 > units_of(&own, line.0)) {
            return Expected::refused("ERR");
        }
        let [first, second] = [&former, &live].map(|held| held.as_ref().and_then(|(held, _)| held.buyer));
        if call.buyer.is_none() && first.is_some() && second.is_some() && first != second {
            return Expected::refused("ERR");
        }
        let buyer = call.buyer.or(first).or(second);
        for (id, lines) in &freed {
            for (sku, _) in *lines {
                let by_hand = self.slots[id].by_hand;
                let held = units_of(&own, *sku);
                let others = if by_hand { (self.held(*sku) - held).max(0) } else { 0 };
                if self.reserved.get(sku).copied().unwrap_or(0) - others < held {
                    return Expected::refused("DRIFT");
                }
            }
        }
        if live.is_none() {
            self.settle_removed(new);
        }
        let freed: Vec<Held> = [&former, &live].into_iter().flatten().map(|(held, _)| held.clone()).collect();
        let way = Way {
            split: Some(call.split),
            partial: call.partial,
            own: own.clone(),
            buyer,
            freed: freed.clone(),
        };
        let (picks, quota) = match self.take_limited(lines, &way, &is_there) {
            Ok(picks) => picks,
            Err(refusal) => return refusal,
        };
        self.move_quotas(&freed, buyer, &quota);
        for sku in 0..SKUS.len() {
            let more = units_of(&picks, sku) - units_of(&own, sku);
            if more != 0 {
                *self.available.entry(sku).or_default() -= more;
                *self.reserved.entry(sku).or_default() += more;
            }
        }
        let deadline = match (call.until, &live) {
            (Some(until), _) => until,
            (None, Some((_, deadline))) => *deadline,
            (None, None) => self.now + 900_000,
        };
        let data = |held: &Option<(Held, UnixMs)>| held.as_ref().and_then(|(held, _)| held.data.clone());
        let made = Held::of(call, picks, deadline);
        let made = Held { data: made.data.clone().or(data(&live)).or(data(&former)), buyer, quota, ..made };
        let made = match live {
            Some((held, _)) => {
                Held { sold: held.sold, returned: held.returned, restored: held.restored, ..made }
            }
            None => made,
        };
        let answer = made.told(deadline);
        let is_end = !in_place && former.is_some();
        if !in_place {
            self.slots.remove(&old);
            self.replaced(old, new, former.map(|(held, _)| held), deadline);
        }
        self.put(new, made, deadline);
        if !in_place && !is_end {
            self.settle_removed(old);
        }
        self.remember_from(deadline, token, Expected::number(answer, true))
    }

    /// Notes that `new`, which has this deadline, has replaced `old`, which may have been live. Returns false if that is known,
    /// or if nothing is remembered.
    fn replaced(&mut self, old: Id, new: Id, record: Option<Held>, deadline: UnixMs) -> bool {
        let known = self.outcome(old).cloned();
        if known.as_ref().is_some_and(|outcome| outcome.ending == Ending::Replaced) {
            return false;
        }
        self.outcomes.remove(&old);
        if self.outcome_ttl == 0 && known.is_none() {
            return false;
        }
        let (asked, sold, returned, buyer) = match (record, known) {
            (Some(record), _) => (record.whole(), record.sold, record.returned, record.buyer),
            (None, Some(outcome)) => (outcome.asked, outcome.sold, outcome.returned, outcome.buyer),
            (None, None) => Default::default(),
        };
        let until = deadline + self.outcome_ttl;
        let (ending, overdue, successor) = (Ending::Replaced, vec![], Some(new));
        self.outcomes
            .insert(old, Outcome { ending, asked, sold, returned, overdue, successor, buyer, until });
        true
    }

    /// The call holds this quota for `buyer` instead of what the freed reservations hold.
    fn move_quotas(&mut self, freed: &[Held], buyer: Option<&'static str>, quota: &Quota) {
        let mut changes: BTreeMap<QuotaName, i64> = BTreeMap::new();
        for held in freed {
            for (product, units) in &held.quota {
                *changes.entry((*product, held.buyer.unwrap())).or_default() -= units;
            }
        }
        for (product, units) in quota {
            *changes.entry((*product, buyer.unwrap())).or_default() += units;
        }
        for (name, more) in changes {
            if more > 0 {
                self.take_quota(name, more, true);
            } else if let Some(given) = self.given_back(name, -more, false) {
                self.give_quota_back(name, given);
            }
        }
    }

    /// What the call asks for of the products that have a limit. `Err` if it does not name the buyer.
    fn shares(&self, lines: &Lines, way: &Way) -> Result<Vec<Share>, Expected> {
        let mut shares: Vec<Share> = vec![];
        for &(sku, _) in lines {
            let product = product_of(sku);
            let Some(&limit) = self.limits.get(&product) else { continue };
            if shares.iter().any(|share| share.product == product) {
                continue;
            }
            let of_product = |lines: &Lines| -> i64 {
                lines.iter().filter(|line| product_of(line.0) == product).map(|line| line.1).sum()
            };
            let requested = of_product(lines);
            let same = way.freed.iter().filter(|held| held.buyer == way.buyer);
            let kept = same.map(|held| of_product(&held.lines)).sum();
            if way.buyer.is_none() && requested > kept {
                return Err(Expected::refused("ERR"));
            }
            shares.push(Share { product, limit, requested, kept, allowed: requested });
        }
        Ok(shares)
    }

    /// The units that the limits leave. Returns whether a share is too large.
    fn judge_shares(&self, shares: &mut [Share], way: &Way) -> bool {
        let Some(buyer) = way.buyer else { return false };
        for share in shares.iter_mut().filter(|share| share.requested > share.kept) {
            let freed = way.freed.iter().filter(|held| held.buyer == Some(buyer));
            let own: i64 = freed.filter_map(|held| held.quota.get(&share.product)).sum();
            let left = share.limit + self.quota((share.product, buyer))[0].unwrap_or(0);
            let free = if own == 0 { left } else { own + left.max(0) };
            share.allowed = if free >= share.requested { share.requested } else { free.max(share.kept) };
            if way.partial {
                share.allowed = share.allowed.max(0);
            }
        }
        shares.iter().any(|share| share.allowed < share.requested)
    }

    /// The lines that are taken, and what is taken for them of the quotas of the buyer; or the refusal.
    fn take_limited(
        &mut self,
        lines: &Lines,
        way: &Way,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Result<(Lines, Quota), Expected> {
        let now = self.now;
        let mut shares = self.shares(lines, way);
        if let Ok(shares) = &mut shares
            && self.judge_shares(shares, way)
        {
            self.settle_remembered(|gone| now > gone.deadline, true);
            // All overdue units of the buyer are returned before the limit is held against them.
            let mut later = self.clone();
            let is_short = |product: &Sku| {
                shares.iter().any(|share| share.product == *product && share.allowed < share.requested)
            };
            for id in self.overdue() {
                let held = self.slots[&id].held().unwrap();
                if held.buyer == way.buyer && held.quota.keys().any(is_short) {
                    later.expire(id);
                }
            }
            later.settle_pending();
            later.judge_shares(shares, way);
            self.look_who_is_gone(is_there);
            self.settle_pending();
        }
        let picks = self.take_overdue(lines, way, is_there);
        let shares = shares?;
        let over = shares.iter().find(|share| share.allowed < share.requested).map(|share| {
            Expected::refused(over(
                share.product,
                way.buyer.unwrap(),
                share.requested,
                share.allowed,
                share.limit,
            ))
        });
        let mut picks = match (picks, over) {
            (Err(_), Some(over)) => return Err(over),
            (Ok(_), Some(over)) if !way.partial => return Err(over),
            (Err(refusal), None) => return Err(refusal),
            (Ok(picks), None) => picks,
            (Ok(picks), Some(over)) => {
                let rest = cut(lines, &picks, &shares);
                if rest.is_empty() {
                    return Err(over);
                }
                if rest == *lines { picks } else { self.pick(&rest, way).unwrap() }
            }
        };
        picks.retain(|line| line.1 > 0);
        let mut quota = Quota::new();
        for share in shares.iter().filter(|_| way.buyer.is_some()) {
            let of_product = picks.iter().filter(|line| product_of(line.0) == share.product);
            let units: i64 = of_product.map(|line| line.1).sum();
            if units > 0 {
                quota.insert(share.product, units);
            }
        }
        Ok((picks, quota))
    }

    /// The lines that are taken for `lines`, after the overdue reservations of short skus were released; or the refusal.
    fn take_overdue(
        &mut self,
        lines: &Lines,
        way: &Way,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Result<Lines, Expected> {
        let now = self.now;
        // What comes back first is all that is there, even for a request that takes less than it asks for.
        let whole = &Way { partial: false, ..way.clone() };
        let is_short = self.pick(lines, whole).is_err();
        if is_short {
            self.settle_remembered(|gone| now > gone.deadline, true);
        }
        let refused = self.pick_later(lines, whole).err();
        // Of the elements of a call on many, only one that is short can have released others.
        if is_short {
            self.look_who_is_gone(is_there);
        }
        self.settle_pending();
        match refused {
            Some(_) if way.partial && self.pick(lines, way).is_ok() => Ok(self.pick(lines, way).unwrap()),
            Some(shorts) => {
                let tell =
                    |(sku, quantity, available): &(Sku, i64, i64)| self.shortage(*sku, *quantity, *available);
                let shorts: Vec<String> = shorts.iter().map(tell).collect();
                Err(Expected::refused(format!("INSUFFICIENT {}", shorts.join("; "))))
            }
            // The reservations that `is_there` found cannot have been overdue at this moment, so no answer was given at it.
            None => self
                .pick(lines, whole)
                .map_err(|_| Expected::refused("no answer: overdue units that are needed are still held")),
        }
    }

    /// The lines that can be taken once all overdue units of the short skus are back.
    fn pick_later(&self, lines: &Lines, way: &Way) -> Result<Lines, Vec<Short>> {
        let Err(shorts) = self.pick(lines, way) else { return Ok(vec![]) };
        let mut later = self.clone();
        let is_short = |sku: Sku| {
            shorts.iter().any(|short| short.0 == sku || (short.0 == W && self.is_place(sku, way.split)))
        };
        for id in self.overdue() {
            if self.slots[&id].held().unwrap().lines.iter().any(|line| is_short(line.0)) {
                later.expire(id);
            }
        }
        later.settle_pending();
        later.pick(lines, way)
    }

    fn is_place(&self, sku: Sku, split: Option<Split>) -> bool {
        split.is_some() && self.warehouses.contains_key(&sku) && !self.is_closed(sku)
    }

    /// Takes named skus first, and W from what they leave.
    fn pick(&self, lines: &Lines, way: &Way) -> Result<Lines, Vec<Short>> {
        let Way { split, partial, own, .. } = way;
        let is_split = |sku: Sku| sku == W && split.is_some() && !self.warehouses.is_empty();
        // What is freed can always be held again, even if available is below the floor.
        let free = |sku: Sku| match units_of(own, sku) {
            0 => self.reservable(sku),
            freed => freed + self.reservable(sku).max(0),
        };
        let mut left: Vec<i64> = (0..SKUS.len()).map(free).collect();
        let (mut picks, mut shorts) = (Lines::new(), vec![]);
        for &(sku, quantity) in lines.iter().filter(|line| !is_split(line.0)) {
            if left[sku] < quantity {
                shorts.push((sku, quantity, left[sku]));
            }
            left[sku] -= quantity;
        }
        let place = |(sku, priority): (&Sku, &i64)| {
            let is_new = units_of(own, *sku) == 0;
            // Among equal choices, the places that hold already win.
            let (first, then) = match split {
                Some(Split::Fewest | Split::None) => (i64::from(is_new), *priority),
                Some(Split::Priority) | None => (*priority, i64::from(is_new)),
            };
            (first, then, SKUS[*sku], *sku)
        };
        // A place that W does not have any more is like a closed one, and comes after those.
        let is_stray = |sku: &Sku| SKUS[*sku].starts_with('W') && !self.warehouses.contains_key(sku);
        let strays: BTreeMap<Sku, i64> =
            own.iter().filter(|line| is_stray(&line.0)).map(|line| (line.0, GONE)).collect();
        let mut places: Vec<(i64, i64, &str, Sku)> =
            self.warehouses.iter().chain(&strays).map(place).collect();
        places.sort_unstable();
        // Of a closed place, W gets only what is freed there and not taken by name.
        let by_name: Vec<i64> = (0..SKUS.len())
            .map(|sku| {
                let named = lines.iter().filter(|line| line.0 == sku && !is_split(sku));
                named.map(|line| line.1).sum()
            })
            .collect();
        let mut left_of_w = left.clone();
        for sku in (0..SKUS.len()).filter(|sku| self.is_closed(*sku) || strays.contains_key(sku)) {
            left_of_w[sku] = units_of(own, sku) - by_name[sku];
        }
        for &(sku, quantity) in lines {
            if !is_split(sku) {
                // What is missing has made the rest negative.
                let missing = if *partial { (-left[sku]).clamp(0, quantity) } else { 0 };
                if missing < quantity {
                    add(&mut picks, sku, quantity - missing);
                }
                continue;
            }
            let split = split.unwrap();
            let stocked: Vec<Sku> =
                places.iter().map(|place| place.3).filter(|sku| left_of_w[*sku] > 0).collect();
            let units = |skus: &[Sku]| skus.iter().map(|sku| left_of_w[*sku]).sum::<i64>();
            let enough: Vec<Vec<Sku>> =
                sets(&stocked).into_iter().filter(|set| units(set) >= quantity).collect();
            let chosen = match split {
                Split::Priority => enough.iter().find(|set| **set == stocked),
                // The first one among the smallest.
                Split::Fewest => enough.iter().min_by_key(|set| set.len()),
                Split::None => enough.iter().find(|set| set.len() == 1),
            };
            let Some(chosen) = chosen else {
                let most = match split {
                    Split::Priority | Split::Fewest => units(&stocked),
                    Split::None => stocked.iter().map(|sku| left_of_w[*sku]).max().unwrap_or(0),
                };
                shorts.push((sku, quantity, most));
                if *partial && most > 0 {
                    // The place with most, or all of them.
                    let mut takes = stocked.clone();
                    if split == Split::None {
                        takes.retain(|sku| left_of_w[*sku] == most);
                        takes.truncate(1);
                    }
                    takes.iter().for_each(|place| add(&mut picks, *place, left_of_w[*place]));
                }
                continue;
            };
            let mut missing = quantity;
            for place in chosen {
                let taken = missing.min(left_of_w[*place]);
                add(&mut picks, *place, taken);
                missing -= taken;
                if missing == 0 {
                    break;
                }
            }
        }
        if shorts.is_empty() || (*partial && !picks.is_empty()) { Ok(picks) } else { Err(shorts) }
    }

    fn commit(
        &mut self,
        id: Id,
        late: bool,
        token: Option<&Token>,
        is_there: impl Fn(&str) -> bool,
    ) -> Expected {
        let state = self.state(id);
        let ended = match &state {
            State::Ended(outcome) if outcome.ending == Ending::Committed => None,
            State::Ended(outcome) if outcome.ending == Ending::Expired && late => None,
            state => no_longer(state),
        };
        if let Some(answer) = self.unless_foreign(&state, token, ended) {
            return answer;
        }
        match state {
            State::Ended(outcome) if outcome.ending == Ending::Expired && late => {
                self.commit_late(id, &outcome, token, is_there)
            }
            State::Ended(outcome) if outcome.ending == Ending::Committed => {
                self.remember(token, Expected::already())
            }
            state => self.take(id, state, None, Ending::Committed, token),
        }
    }

    fn commit_late(
        &mut self,
        id: Id,
        outcome: &Outcome,
        token: Option<&Token>,
        is_there: impl Fn(&str) -> bool,
    ) -> Expected {
        if outcome.overdue.iter().any(|line| !self.counts(line.0)) {
            return Expected::refused("ERR");
        }
        if sum(&[&outcome.sold, &outcome.returned]) != outcome.asked {
            return Expected::refused("DRIFT");
        }
        let way = Way { buyer: outcome.buyer, ..Way::default() };
        match self.take_limited(&outcome.overdue, &way, &is_there) {
            Err(refusal) => return refusal,
            Ok((_, quota)) => {
                for (product, units) in quota {
                    self.take_quota((product, outcome.buyer.unwrap()), units, false);
                }
            }
        }
        for &(sku, quantity) in &outcome.overdue {
            *self.available.entry(sku).or_default() -= quantity;
            *self.on_hand.get_mut(&sku).unwrap() -= quantity;
        }
        let until = self.now + self.outcome_ttl.max(1);
        let sold = sum(&[&outcome.sold, &outcome.overdue]);
        let asked = outcome.asked.clone();
        let earlier = |line: &(Sku, i64)| (line.0, line.1 - units_of(&outcome.overdue, line.0));
        let returned = sum(&[&outcome.returned.iter().map(earlier).collect()]);
        let (ending, buyer) = (Ending::Committed, outcome.buyer);
        let sold = Outcome { ending, asked, sold, returned, overdue: vec![], successor: None, buyer, until };
        self.outcomes.insert(id, sold);
        self.remember(token, Expected::done())
    }

    fn rollback(&mut self, id: Id, fence: bool, token: Option<&Token>) -> Expected {
        if fence && self.outcome_ttl == 0 {
            return Expected::refused("ERR");
        }
        let state = self.state(id);
        let ended = match &state {
            State::Ended(outcome) if [Ending::Committed, Ending::Replaced].contains(&outcome.ending) => {
                Some(code(outcome.ending))
            }
            _ => None,
        };
        if let Some(answer) = self.unless_foreign(&state, token, ended) {
            return answer;
        }
        match state {
            State::Unknown if fence => {
                let until = self.now + self.outcome_ttl;
                let [asked, sold, returned, overdue] = [(); 4].map(|()| Lines::new());
                let ending = Ending::RolledBack;
                let buyer = None;
                let fence = Outcome { ending, asked, sold, returned, overdue, successor: None, buyer, until };
                self.outcomes.insert(id, fence);
                self.remember(token, Expected::done())
            }
            State::Lapsed => self.remember(token, Expected::already()),
            State::Ended(outcome) if outcome.ending == Ending::RolledBack => {
                self.remember(token, Expected::already())
            }
            State::Ended(outcome) if outcome.ending == Ending::Expired => {
                let until = self.now + self.outcome_ttl.max(1);
                let overdue = vec![];
                self.outcomes.insert(id, Outcome { ending: Ending::RolledBack, overdue, until, ..outcome });
                self.remember(token, Expected::done())
            }
            state => self.take(id, state, None, Ending::RolledBack, token),
        }
    }

    /// COMMIT and ROLLBACK with ITEMS.
    fn resolve_part(&mut self, id: Id, part: &Lines, ending: Ending, token: Option<&Token>) -> Expected {
        let state = self.state(id);
        match self.unless_foreign(&state, token, no_longer(&state)) {
            Some(answer) => answer,
            None => self.take(id, state, Some(part), ending, token),
        }
    }

    fn extend(&mut self, id: Id, expires_at: UnixMs, token: Option<&Token>) -> Expected {
        let state = self.state(id);
        if let Some(answer) = self.unless_foreign(&state, token, no_longer(&state)) {
            return answer;
        }
        match state {
            State::Live(held, _) => {
                self.put(id, Held { expires_at, ..held }, expires_at);
                self.remember(token, Expected::number(expires_at, true))
            }
            state => refuse(&state),
        }
    }

    fn unless_foreign(&self, state: &State, token: Option<&Token>, ended: Option<&str>) -> Option<Expected> {
        match state {
            _ if token.is_some() && self.outcome_ttl == 0 => Some(Expected::refused("ERR")),
            State::Foreign => Some(Expected::refused("FOREIGN")),
            _ => self.answered(token, ended),
        }
    }

    fn put(&mut self, id: Id, record: Held, until: UnixMs) {
        let by_hand = self.slots.get(&id).is_some_and(|slot| slot.by_hand);
        self.slots.insert(id, Slot { record: Some(record), until: Some(until), foreign: false, by_hand });
    }

    /// Commits or rolls back a live reservation, or a part of it.
    fn take(
        &mut self,
        id: Id,
        state: State,
        part: Option<&Lines>,
        ending: Ending,
        token: Option<&Token>,
    ) -> Expected {
        let State::Live(mut held, deadline) = state else { return refuse(&state) };
        let held_of = |sku| held.lines.iter().find(|line| line.0 == sku).map_or(0, |line| line.1);
        let Some(part) = held.part(part.unwrap_or(&held.lines)) else { return Expected::refused("ERR") };
        let by_hand = self.slots[&id].by_hand;
        let reserved = |sku: &Sku| {
            let others = if by_hand { (self.held(*sku) - held_of(*sku)).max(0) } else { 0 };
            self.reserved.get(sku).copied().unwrap_or(0) - others
        };
        if part.iter().any(|(sku, quantity)| reserved(sku) < *quantity) {
            return Expected::refused("DRIFT");
        }
        for &(sku, quantity) in &part {
            *self.reserved.get_mut(&sku).unwrap() -= quantity;
            match ending {
                Ending::Committed => *self.on_hand.get_mut(&sku).unwrap() -= quantity,
                _ => *self.available.entry(sku).or_default() += quantity,
            }
        }
        let gone_of = |sku| part.iter().find(|line| line.0 == sku).map_or(0, |line| line.1);
        let is_whole = held.lines.iter().all(|line| gone_of(line.0) == line.1);
        let mut quota = held.quota.clone();
        if !is_whole {
            for (product, units) in &mut quota {
                let of_product = part.iter().filter(|line| product_of(line.0) == *product);
                *units = of_product.map(|line| line.1).sum::<i64>().min(*units);
            }
            quota.retain(|_, units| *units > 0);
        }
        for (name, given) in self.all_given_back(held.buyer, &quota, ending == Ending::Committed) {
            self.give_quota_back(name, given);
        }
        let left: Lines = held.lines.iter().map(|line| (line.0, line.1 - gone_of(line.0))).collect();
        let left: Lines = left.into_iter().filter(|line| line.1 > 0).collect();
        if left.is_empty() {
            self.slots.remove(&id);
            self.end(id, &held, ending, &part);
        } else {
            let gone = if ending == Ending::Committed { &mut held.sold } else { &mut held.returned };
            *gone = sum(&[gone, &part]);
            for (product, units) in quota {
                *held.quota.get_mut(&product).unwrap() -= units;
            }
            held.quota.retain(|_, units| *units > 0);
            self.put(id, Held { lines: left, expires_at: deadline, ..held }, deadline);
        }
        self.remember(token, Expected::done())
    }

    fn adjust(&mut self, sku: Sku, delta: i64, force: bool, token: Option<&Token>) -> Expected {
        self.settle_pending();
        if let Some(answer) = self.answered(token, None) {
            return answer;
        }
        if !self.counts(sku) {
            return Expected::refused("ERR");
        }
        let before = self.units(sku);
        let lowest = self.floor(sku).min(0);
        if delta < 0 && before + delta < lowest && !force {
            return Expected::refused(format!(
                "INSUFFICIENT {}",
                self.shortage(sku, -delta, before - lowest)
            ));
        }
        if self.is_beyond(sku, before + delta) {
            return Expected::refused("ERR");
        }
        self.restock(sku, before + delta, token)
    }

    /// INV.SET. With `on_hand`, the number includes reserved units.
    fn set(&mut self, sku: Sku, on_hand: bool, units: i64, asked: &Asked) -> Expected {
        let token = asked.token.as_ref();
        self.settle_pending();
        if let Some(answer) = self.answered(token, None) {
            return answer;
        }
        if !self.counts(sku) {
            return Expected::refused("ERR");
        }
        let all_reserved = self.reserved.get(&sku).copied().unwrap_or(0);
        let reserved = if on_hand { all_reserved } else { 0 };
        if asked.if_equal.is_some_and(|expected| expected != self.units(sku) + reserved) {
            return Expected::number("null", false);
        }
        let is_sold_ahead = self.units(sku) + all_reserved < 0;
        if !asked.force && (is_sold_ahead || units - reserved < self.floor(sku).min(0)) {
            return Expected::refused("OVERCOMMITTED");
        }
        if self.is_beyond(sku, units - reserved) {
            return Expected::refused("ERR");
        }
        self.restock(sku, units - reserved, token)
    }

    /// Whether this many available units, with the reserved ones, would exceed the largest number of units.
    fn is_beyond(&self, sku: Sku, units: i64) -> bool {
        let reserved = self.reserved.get(&sku).copied().unwrap_or(0).max(0);
        units > self.units(sku) && units + reserved > MAX_EXACT
    }

    /// Whether units of this sku can be counted and reserved.
    fn counts(&self, sku: Sku) -> bool {
        let is_of_w = sku == W || W_PLACES.contains(&sku);
        !is_of_w || self.warehouses.is_empty() || self.warehouses.contains_key(&sku)
    }

    fn is_empty(&self, sku: Sku) -> bool {
        self.units(sku) == 0 && self.reserved.get(&sku).copied().unwrap_or(0) == 0
    }

    /// Deletes both counters of a sku. Returns whether there were any.
    fn clear(&mut self, sku: Sku) -> bool {
        self.available.remove(&sku).is_some() | self.reserved.remove(&sku).is_some()
    }

    fn set_warehouses(&mut self, places: &[(Sku, i64)]) -> Expected {
        self.settle_pending();
        if !self.is_empty(W) || self.floor(W) != 0 {
            return Expected::refused("ERR");
        }
        let mut writes = self.clear(W);
        for (place, priority) in places {
            writes |= self.warehouses.insert(*place, *priority) != Some(*priority);
        }
        Expected::number("OK", writes)
    }

    /// WAREHOUSES DEL.
    fn remove_warehouse(&mut self, place: Sku) -> Expected {
        self.settle_pending();
        if !self.warehouses.contains_key(&place) {
            return Expected::refused("ERR");
        }
        if !self.is_empty(place) {
            return Expected::refused("ERR");
        }
        self.warehouses.remove(&place);
        self.clear(place);
        self.floors.remove(&place);
        Expected::done()
    }

    fn set_floor(&mut self, sku: Sku, units: i64) -> Expected {
        self.settle_pending();
        if !self.counts(sku) {
            return Expected::refused("ERR");
        }
        let before = if units == 0 { self.floors.remove(&sku) } else { self.floors.insert(sku, units) };
        Expected::number("OK", before.as_ref() != self.floors.get(&sku))
    }

    fn transfer(&mut self, from: Sku, to: Sku, units: i64, token: Option<&Token>) -> Expected {
        if from == to {
            return Expected::refused("ERR");
        }
        self.settle_pending();
        if let Some(answer) = self.answered(token, None) {
            return answer;
        }
        if !self.counts(from) || !self.counts(to) {
            return Expected::refused("ERR");
        }
        let before = self.units(from);
        if before < units {
            if self.warehouses.is_empty() && !self.is_known(from) {
                return Expected::refused("ERR");
            }
            return Expected::refused(format!("INSUFFICIENT {}", self.shortage(from, units, before)));
        }
        if self.is_beyond(to, self.units(to) + units) {
            return Expected::refused("ERR");
        }
        for (sku, by) in [(from, -units), (to, units)] {
            *self.available.entry(sku).or_default() += by;
            *self.on_hand.get_mut(&sku).unwrap() += by;
        }
        self.remember(token, Expected::done())
    }

    /// The available, reserved and reservable units that INV.STOCK shows for a product.
    fn stock(&self, product: Sku) -> Option<(i64, i64, i64)> {
        let places: Vec<Sku> = self.warehouses.keys().copied().collect();
        let skus = if product == W && !places.is_empty() { places } else { vec![product] };
        let reserved = |sku: &Sku| self.reserved.get(sku).copied().unwrap_or(0);
        if skus == [product] {
            let is_known = self.available.contains_key(&product)
                || self.reserved.contains_key(&product)
                || self.floors.contains_key(&product);
            return is_known.then(|| (self.units(product), reserved(&product), self.reservable(product)));
        }
        // Closed places have reserved units, but W has nothing else there. In a sum, a negative number counts as 0.
        let open = || skus.iter().filter(|sku| !self.is_closed(**sku));
        Some((
            open().map(|sku| self.units(*sku).max(0)).sum(),
            skus.iter().map(reserved).sum(),
            open().map(|sku| self.reservable(*sku).max(0)).sum(),
        ))
    }

    /// Whether the sku is known: it has a counter, a floor, held units or a warehouse, or its product has warehouses.
    fn is_known(&self, sku: Sku) -> bool {
        self.available.contains_key(&sku)
            || self.floors.contains_key(&sku)
            || self.reserved.contains_key(&sku)
            || self.held(sku) > 0
            || self.warehouses.contains_key(&sku)
            || (sku == W && !self.warehouses.is_empty())
    }

    fn shortage(&self, sku: Sku, requested: i64, available: i64) -> String {
        let note = if self.is_known(sku) { "" } else { " (unknown sku)" };
        format!("{} requested {requested}, available {available}{note}", SKUS[sku])
    }

    /// Makes the reserved counter equal to the held units. Answers what was reserved and held before.
    fn repair(&mut self, sku: Sku, force: bool, is_alone: bool) -> Expected {
        self.settle_pending();
        let (reserved, held) = (self.reserved.get(&sku).copied().unwrap_or(0), self.held(sku));
        if sku == W && !self.warehouses.is_empty() && (self.units(W), reserved, held) == (0, 0, 0) {
            return Expected::refused("ERR");
        }
        if !self.is_known(sku) {
            return Expected::number("null", false);
        }
        let is_alone = is_alone && self.foreign_count() == 0 && !self.written.contains(&sku);
        if reserved > held && !is_alone && !force {
            return Expected::refused("FOREIGN");
        }
        let back = reserved - held;
        self.drift_known.insert(sku, 0);
        if back != 0 {
            *self.available.entry(sku).or_default() += back;
            *self.reserved.entry(sku).or_default() -= back;
        }
        Expected::number(format!("{reserved} {held}"), back != 0)
    }

    fn restock(&mut self, sku: Sku, units: i64, token: Option<&Token>) -> Expected {
        let before = self.available.insert(sku, units);
        *self.on_hand.get_mut(&sku).unwrap() += units - before.unwrap_or(0);
        self.remember(token, Expected::number(units, before != Some(units)))
    }

    /// The answer to INV.GET: a state, `FOREIGN`, or `None`.
    fn get(&self, id: Id) -> Option<&'static str> {
        let slot = self.slots.get(&id);
        if let Some(slot) = slot.filter(|slot| self.is_readable(slot)) {
            return Some(match (slot.foreign || self.outcome(id).is_some(), self.is_overdue(slot)) {
                (true, _) => "FOREIGN",
                (false, true) => "expired",
                (false, false) => "reserved",
            });
        }
        let waits = slot.is_some_and(|slot| slot.held().is_some()) || !self.is_settled(id);
        self.ending(id).map(Ending::name).or(waits.then_some("expired"))
    }

    // --- other clients ---

    /// Another program writes to the module's keys. Returns the commands to send; none if the contract does not cover them.
    /// `copy` returns the latest record of an id as text.
    pub fn hands(&mut self, words: &[&str], copy: impl Fn(&str) -> Option<String>) -> Vec<Line> {
        let now = self.now;
        let sent: Line = words.iter().map(ToString::to_string).collect();
        let mut until = None;
        for option in words.windows(2) {
            match option[0] {
                "PX" => until = Some(now + integer(option[1])),
                "PXAT" => until = Some(integer(option[1])),
                _ => {}
            }
        }
        let key = words.get(1).copied().unwrap_or_default();
        let record = |key: &str| key.strip_prefix("reservation:").and_then(number_of);
        match (words, record(key)) {
            (["GET", _], Some(id)) => {
                self.find_by_hand(id);
            }
            (["DEL" | "UNLINK", _], Some(id)) => {
                self.take_by_hand(id);
            }
            (["EVICT", _], Some(id)) => self.evict(id),
            // HSET fails on a string, and a field changes nothing in a hash.
            (["HSET", ..], Some(id)) if self.slots.get(&id).is_some_and(|slot| self.is_readable(slot)) => {
                return vec![];
            }
            (["SET" | "HSET", ..], Some(id)) => self.put_by_hand(id, None, until),
            (["RESTORE", _, life @ ..], Some(id)) => {
                let held = self.copies.get(&id).filter(|_| self.can_be_put(id)).cloned();
                let (Some(held), Some(text)) = (held, copy(&lines::id(id))) else { return vec![] };
                self.put_by_hand(id, Some(held), until);
                return vec![["SET", key, &text].iter().chain(life).map(ToString::to_string).collect()];
            }
            (["RENAME", _, _], Some(id)) => {
                if let Some(slot) = self.take_by_hand(id) {
                    self.backups.insert(id, slot);
                }
            }
            (["RENAME", _, to], None) => {
                let id = record(to).expect("a reservation");
                if !self.can_be_put(id) {
                    return vec![];
                }
                if let Some(slot) = self.backups.remove(&id)
                    && self.is_readable(&slot)
                {
                    self.put_by_hand(id, slot.record, slot.until);
                }
            }
            (["PERSIST", _] | ["PEXPIRE" | "PEXPIREAT", _, _], Some(id)) => {
                // These histories do not change the TTL of a foreign record.
                if self.slots.get(&id).is_some_and(|slot| slot.foreign) {
                    return vec![];
                }
                let until = match words {
                    ["PEXPIRE", _, ms] => Some(now + integer(ms)),
                    ["PEXPIREAT", _, at] => Some(integer(at)),
                    _ => None,
                };
                self.set_ttl_by_hand(id, until);
            }
            (["SCRIPT", verb, name], _) => {
                let id = number_of(name).expect("a reservation");
                let Some(held) = self.copies.get(&id).map(|held| held.lines.clone()) else { return vec![] };
                let is_rollback = *verb == "ROLLBACK";
                for &(sku, units) in &held {
                    self.count_by_hand(sku, if is_rollback { units } else { 0 }, -units);
                }
                self.take_by_hand(id);
                let held: Vec<(&str, i64)> = held.iter().map(|(sku, units)| (SKUS[*sku], *units)).collect();
                return lines::script(name, &held, is_rollback);
            }
            (["HOLD", name, units], _) => {
                let (sku, units) = (number(name), integer(units));
                let there = if units > 0 { &self.available } else { &self.reserved };
                let there = there.get(&sku).copied().unwrap_or(0).max(0);
                let units = units.clamp(-there, there);
                if units == 0 {
                    return vec![];
                }
                self.count_by_hand(sku, -units, units);
                return lines::hold(name, units);
            }
            (["ZADD", _, priority, name], _) => {
                self.warehouses.insert(place(name), self::priority(priority));
            }
            (["ZREM", _, name], _) => {
                self.warehouses.remove(&place(name));
            }
            (["SET", _, units], None) if key.starts_with("stock:limit:") => {
                self.limits.insert(number(&key["stock:limit:".len()..]), integer(units));
            }
            (["DEL", _], None) if key.starts_with("stock:limit:") => {
                self.limits.remove(&number(&key["stock:limit:".len()..]));
            }
            (["INCRBY", _, units], _) if key.contains("@@") => {
                let (at, name) = quota_counter(key);
                let mut counters = self.quota(name);
                counters[at] = Some(counters[at].unwrap_or(0) + integer(units));
                self.set_quota(name, counters);
            }
            (["DEL", _], None) if key.contains("@@") => {
                let (at, name) = quota_counter(key);
                let mut counters = self.quota(name);
                counters[at] = None;
                self.set_quota(name, counters);
            }
            (["INCRBY", _, units], _) => match counter(key).expect("a counter") {
                (true, sku) => self.count_by_hand(sku, integer(units), 0),
                (false, sku) => self.count_by_hand(sku, 0, integer(units)),
            },
            (["SET", _, units], None) => {
                self.floors.insert(floored(key).expect("a floor"), integer(units));
            }
            (["DEL", _], None) if floored(key).is_some() => {
                self.floors.remove(&floored(key).expect("a floor"));
            }
            (["DEL", _], None) => match counter(key) {
                Some((of_available, sku)) => self.drop_counter(sku, of_available),
                None => {
                    let id = key.strip_prefix("inventory:outcome:").and_then(number_of);
                    self.forget_outcome(id.expect("an outcome"));
                }
            },
            _ => panic!("the model does not know {words:?}"),
        }
        vec![sent]
    }

    /// The server's own expiry cycle deletes all keys whose TTL has passed.
    pub fn expire_cycle(&mut self) {
        let due: Vec<Id> =
            self.slots.iter().filter(|(_, slot)| !self.is_readable(slot)).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|id| self.expire(id));
    }

    /// Whether a client's command finds the key. A record whose TTL has passed expires when it is opened.
    fn find_by_hand(&mut self, id: Id) -> bool {
        let Some(slot) = self.slots.get(&id) else { return false };
        if self.is_readable(slot) {
            return true;
        }
        self.expire(id);
        false
    }

    /// DEL, and the first half of a SET on an existing key.
    fn take_by_hand(&mut self, id: Id) -> Option<Slot> {
        if !self.find_by_hand(id) {
            return None;
        }
        self.job = true;
        let slot = self.slots.remove(&id)?;
        self.removed.extend(Self::gone(id, &slot));
        Some(slot)
    }

    /// SET, RESTORE, and RENAME to this key.
    fn put_by_hand(&mut self, id: Id, record: Option<Held>, until: Option<UnixMs>) {
        self.take_by_hand(id);
        // It holds nothing until the job has judged it.
        self.slots.insert(id, Slot { record, until, foreign: true, by_hand: true });
        self.appeared.insert(id);
        self.job = true;
    }

    /// PERSIST and PEXPIREAT.
    fn set_ttl_by_hand(&mut self, id: Id, until: Option<UnixMs>) {
        if self.find_by_hand(id) {
            self.slots.get_mut(&id).unwrap().until = until;
            self.touched.insert(id);
            self.job = true;
        }
    }

    /// INCRBY and DECRBY of both counters.
    fn count_by_hand(&mut self, sku: Sku, available: i64, reserved: i64) {
        for (counters, by) in [(&mut self.available, available), (&mut self.reserved, reserved)] {
            if by != 0 {
                *counters.entry(sku).or_default() += by;
            }
        }
        if reserved != 0 {
            self.note_written(sku);
        }
        *self.on_hand.get_mut(&sku).unwrap() += available + reserved;
    }

    /// DEL of a counter.
    fn drop_counter(&mut self, sku: Sku, of_available: bool) {
        let counters = if of_available { &mut self.available } else { &mut self.reserved };
        let units = counters.remove(&sku);
        *self.on_hand.get_mut(&sku).unwrap() -= units.unwrap_or(0);
        if units.is_some() && !of_available {
            self.note_written(sku);
        }
    }

    /// The server evicts a record. The module treats it as expired.
    fn evict(&mut self, id: Id) {
        if self.find_by_hand(id) {
            self.expire(id);
        }
    }

    fn forget_outcome(&mut self, id: Id) {
        self.outcomes.remove(&id);
    }

    /// Pending and remembered units are forgotten. They stay reserved until a repair.
    fn lose_memory(&mut self) {
        self.pending.clear();
        self.removed.clear();
        self.undecided.clear();
        self.remembered.clear();
        self.to_check.clear();
        self.quotas_to_check.clear();
        self.written.clear();
        self.appeared.clear();
    }

    /// The server restarts and judges every record again. Loading an RDB silently drops expired keys.
    pub fn restart(&mut self, from_rdb: bool) {
        self.lose_memory();
        self.walk = false;
        self.begin_check();
        let now = self.now;
        if from_rdb {
            self.slots.retain(|_, slot| slot.until.is_none_or(|until| now <= until));
        }
        for id in self.slots.keys().copied().collect::<Vec<_>>() {
            self.judge(id);
        }
        // Only the marks of the records tell which of them were restored.
        for slot in self.slots.values_mut() {
            slot.by_hand = slot.record.as_ref().is_some_and(|record| record.restored);
        }
    }

    /// The replica is promoted.
    pub fn fail_over(&mut self) {
        self.lose_memory();
        self.begin_check();
        self.to_check.clear();
        self.quotas_to_check.clear();
        self.walk = true;
    }
}

/// The refusal of a call that needs a live reservation.
fn refuse(state: &State) -> Expected {
    Expected::refused(match state {
        State::Unknown => "NOTFOUND",
        State::Lapsed => "EXPIRED",
        State::Ended(outcome) => code(outcome.ending),
        State::Foreign => "FOREIGN",
        State::Live(..) => panic!("a live reservation is not refused"),
    })
}

/// The same for a reservation that has ended, as a code.
fn no_longer(state: &State) -> Option<&'static str> {
    match state {
        State::Ended(outcome) => Some(code(outcome.ending)),
        State::Lapsed => Some("EXPIRED"),
        State::Live(..) | State::Unknown | State::Foreign => None,
    }
}

fn code(ending: Ending) -> &'static str {
    match ending {
        Ending::Committed => "COMMITTED",
        Ending::RolledBack => "ROLLEDBACK",
        Ending::Expired => "EXPIRED",
        Ending::Replaced => "REPLACED",
    }
}

/// Adds units to the line of their sku, or appends a line.
fn add(lines: &mut Lines, sku: Sku, units: i64) {
    match lines.iter_mut().find(|line| line.0 == sku) {
        Some(line) => line.1 += units,
        None => lines.push((sku, units)),
    }
}

/// The units of a sku in these lines.
fn units_of(lines: &Lines, sku: Sku) -> i64 {
    lines.iter().filter(|line| line.0 == sku).map(|line| line.1).sum()
}

/// The sum of these lines, one line for each sku.
fn sum(lists: &[&Lines]) -> Lines {
    let mut sum = BTreeMap::new();
    for (sku, quantity) in lists.iter().copied().flatten() {
        *sum.entry(*sku).or_insert(0) += quantity;
    }
    sum.into_iter().filter(|(_, quantity)| *quantity != 0).collect()
}

/// All subsets, in the order of their elements.
fn sets(of: &[Sku]) -> Vec<Vec<Sku>> {
    let Some((first, rest)) = of.split_first() else { return vec![vec![]] };
    let without = sets(rest);
    let with = without.iter().map(|set| [&[*first], set.as_slice()].concat());
    with.chain(without.iter().cloned()).collect()
}

/// `P 3 W@north 2`.
fn show(lines: &Lines) -> String {
    lines.iter().map(|(sku, units)| format!("{} {units}", SKUS[*sku])).collect::<Vec<_>>().join(" ")
}

fn integer(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no integer"))
}

/// The index of a sku.
fn number(name: &str) -> Sku {
    SKUS.iter().position(|sku| *sku == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// The index of the sku of W in this warehouse.
fn place(name: &str) -> Sku {
    let at = PLACES.iter().position(|place| *place == name);
    W_PLACES[at.unwrap_or_else(|| panic!("there is no warehouse {name}"))]
}

/// The buyer of this name.
fn buyer(name: &str) -> &'static str {
    BUYERS.into_iter().find(|known| *known == name).unwrap_or_else(|| panic!("there is no buyer {name}"))
}

/// The quota of this name, `product@@buyer`.
fn quota_named(name: &str) -> QuotaName {
    let (product, of) = name.split_once("@@").expect("a quota");
    (number(product), buyer(of))
}

/// The name of a quota.
pub fn quota_name((product, buyer): QuotaName) -> String {
    format!("{}@@{buyer}", SKUS[product])
}

/// The quota of a counter, and 0 for the available one or 1 for the reserved one.
fn quota_counter(key: &str) -> (usize, QuotaName) {
    match key.strip_prefix("stock:available:") {
        Some(name) => (0, quota_named(name)),
        None => (1, quota_named(key.strip_prefix("stock:reserved:").expect("a counter"))),
    }
}

/// The refusal of a buyer who wants more than the limit allows.
fn over(product: Sku, buyer: &str, requested: i64, left: i64, limit: i64) -> String {
    let (name, left) = (SKUS[product], left.max(0));
    format!("LIMIT {name} buyer {buyer} requested {requested}, may take {left} more (limit {limit})")
}

/// The lines, cut to what the stock gave (`picks`) and the shares allow. The lines of a product take in their order.
fn cut(lines: &Lines, picks: &Lines, shares: &[Share]) -> Lines {
    let is_split = !picks.iter().any(|line| line.0 == W);
    let mut rest = Lines::new();
    let mut left: Vec<i64> = shares.iter().map(|share| share.allowed).collect();
    for &(sku, units) in lines {
        let given = if sku == W && is_split {
            // The named warehouses take first.
            let named = |place: Sku| units_of(lines, place).min(units_of(picks, place));
            W_PLACES.iter().map(|place| units_of(picks, *place) - named(*place)).sum()
        } else {
            units_of(picks, sku)
        };
        let mut units = units.min(given);
        if let Some(at) = shares.iter().position(|share| share.product == product_of(sku)) {
            units = units.min(left[at]);
            left[at] -= units;
        }
        if units > 0 {
            rest.push((sku, units));
        }
    }
    rest
}

/// The priority of a warehouse, from the words of a call or a score.
fn priority(text: &str) -> i64 {
    if ["CLOSED", "inf"].contains(&text) { CLOSED } else { integer(text) }
}

/// The sku of a floor.
fn floored(key: &str) -> Option<Sku> {
    key.strip_prefix("stock:floor:").map(number)
}

/// The sku of a counter, and whether it is the available one.
fn counter(key: &str) -> Option<(bool, Sku)> {
    let available = key.strip_prefix("stock:available:").map(|name| (true, number(name)));
    available.or_else(|| key.strip_prefix("stock:reserved:").map(|name| (false, number(name))))
}

/// The options of a call. Only what the generator draws is read.
#[derive(Default)]
struct Asked {
    until: Option<UnixMs>,
    split: Split,
    partial: bool,
    data: Option<String>,
    buyer: Option<&'static str>,
    late: bool,
    fence: bool,
    force: bool,
    if_equal: Option<i64>,
    /// One line for each sku.
    items: Lines,
    token: Option<Token>,
}

impl Asked {
    fn read(words: &[&str], now: UnixMs) -> Self {
        let mut asked = Self::default();
        let (mut token, mut life, mut note) = (None, "", None);
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().expect("a value");
            match word {
                "PX" => {
                    life = value();
                    asked.until = Some(now + integer(life));
                }
                "PXAT" => {
                    life = value();
                    asked.until = Some(integer(life));
                }
                "SPLIT" => asked.split = Split::parse(value().as_bytes()).expect("a split"),
                "PARTIAL" => asked.partial = true,
                "DATA" => asked.data = Some(value().to_owned()),
                "BUYER" => asked.buyer = Some(buyer(value())),
                "LATE" => asked.late = true,
                "FENCE" => asked.fence = true,
                "FORCE" => asked.force = true,
                "NOTE" => note = Some(value()),
                "IFEQ" => asked.if_equal = Some(integer(value())),
                "ONCE" => token = Some(value()),
                "ITEMS" => {
                    while let Some(name) = rest.next() {
                        add(&mut asked.items, number(name), integer(rest.next().expect("units")));
                    }
                }
                _ => {}
            }
        }
        // A token belongs to a command and its subject, and every use must have the same arguments. For RESERVE, only the items
        // are compared.
        asked.token = token.map(|token| Token {
            // A token of REPLACE belongs to the new reservation.
            name: format!("{}:{}:{token}", words[0], words[if words[0] == "INV.REPLACE" { 2 } else { 1 }]),
            asked: match words[0] {
                "INV.RESERVE" => format!("{} {}", asked.partial, show(&asked.items)),
                "INV.REPLACE" => format!("{} {} {}", words[1], asked.partial, show(&sum(&[&asked.items]))),
                "INV.EXTEND" => life.to_owned(),
                "INV.COMMIT" | "INV.ROLLBACK" => {
                    format!("{} {} {}", asked.late, asked.fence, show(&asked.items))
                }
                // A note is not compared, nor is FORCE.
                _ => {
                    let is_compared = |word: &&&str| {
                        **word != token
                            && **word != "FORCE"
                            && **word != "NOTE"
                            && note.is_none_or(|note| **word != note)
                    };
                    words[2..].iter().filter(is_compared).map(ToString::to_string).collect()
                }
            },
        });
        asked
    }
}

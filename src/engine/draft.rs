//! The keys as they will be when the effects of a call that are decided so far have been carried out.
//!
//! The elements of a call on many reservations are decided one after the other, by the code of the single commands, and
//! nothing is written before all are decided. A draft therefore stands in front of the keyspace: it collects the effects,
//! and shows later elements the counters, records and outcomes that result from them. At the end, all effects are written and
//! replicated together.
//!
//! Only the effects of the elements are collected. What they release because it is overdue is written at once, as it would
//! be if they were single commands, and the draft shows that as well.
//!
//! **Invariant:** the ledger is that of the draft. So reservations are entered when an element is accepted, and not when they
//! are written. If a panic prevents the writing, the ledger is built anew from the keys.

use std::ffi::CStr;

use hashbrown::HashMap;

use super::alerts::{self, Moves};
use super::effects::{self, Effect};
use super::feed::{self, Event};
use super::keyspace::{Argument, Counter, Keyspace, Ranking, Reading, Settings, Tally};
use super::sent::Sent;
use crate::inventory::cluster_slot::{Slot, SlotState};
use crate::inventory::key::{Counted, Key};
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{KeyStyle, Product, ReservationId, Sku};
use crate::ledger::Ledger;

/// A keyspace in front of another one. See the module.
pub(super) struct Draft<'k, K> {
    keys: &'k mut K,
    effects: Vec<Effect>,
    /// The counters that have been read.
    shelves: HashMap<Sku, SeenShelf>,
    /// For each reservation that an effect begins or ends, the index of the last such effect.
    changed: HashMap<ReservationId, usize>,
    /// The entries of the feed.
    entries: Vec<Entry>,
}

/// The counters of a sku.
#[derive(Default)]
struct SeenShelf {
    available: Option<SeenCounter>,
    reserved: Option<SeenCounter>,
    /// Whether these are counters of a quota, and an effect that is not written yet adds to one of them.
    is_deferred: bool,
}

/// A counter that has been read.
struct SeenCounter {
    /// Its value when it was first read.
    before: Counter,
    /// Its value with all effects.
    now: Counter,
}

/// An entry of the feed, with the product whose feed it belongs to.
struct Entry {
    product: String,
    fields: Vec<(String, String)>,
    most: i64,
}

impl SeenShelf {
    /// Whether they are counters of a quota that are both 0 after an effect has added to them.
    fn is_over(&self) -> bool {
        let is_zero =
            |seen: &Option<SeenCounter>| seen.as_ref().is_some_and(|seen| seen.now == Counter::Units(0));
        self.is_deferred && is_zero(&self.available) && is_zero(&self.reserved)
    }

    fn counter(&mut self, key: &Key<'_>) -> &mut Option<SeenCounter> {
        if matches!(key, Key::Available(_)) { &mut self.available } else { &mut self.reserved }
    }
}

/// The sku of a counter.
fn sku_of<'a>(key: &Key<'a>) -> Option<&'a Sku> {
    if let Key::Available(sku) | Key::Reserved(sku) = key { Some(sku) } else { None }
}

fn units_of(counter: &Counter) -> i64 {
    match counter {
        Counter::Units(units) => *units,
        Counter::Absent | Counter::Broken(_) => 0,
    }
}

impl<'k, K: Keyspace> Draft<'k, K> {
    /// A draft without effects, for a call on about this many reservations.
    pub(super) fn new(keys: &'k mut K, reservations: usize) -> Self {
        keys.expect_many(reservations);
        Self {
            keys,
            effects: Vec::with_capacity(reservations.saturating_mul(2)),
            shelves: HashMap::new(),
            changed: HashMap::with_capacity(reservations),
            entries: Vec::new(),
        }
    }

    /// Accepts a new reservation.
    pub(super) fn hold(&mut self, record: Record) {
        let deadline = record.expires_at;
        for Line { sku, quantity } in record.held() {
            self.defer(Key::Available(sku), quantity.units().saturating_neg());
            self.defer(Key::Reserved(sku), quantity.units());
        }
        self.keys.ledger(|ledger| ledger.holds.enter(&record, deadline));
        feed::tell_lines(self, Event::Reserved, &record.id, &record.items);
        self.changed.insert(record.id.clone(), self.effects.len());
        self.effects.push(Effect::Hold { record, deadline });
        self.keys.tally(Tally::Reserved, 1);
    }

    /// Accepts the end of a reservation with these lines: `moves` are the effects on the counters, and `end` is the
    /// [`Effect::End`].
    pub(super) fn end(
        &mut self,
        id: &ReservationId,
        lines: &[Line],
        moves: impl Iterator<Item = Effect>,
        end: Effect,
        (event, tally): (Event, Tally),
    ) {
        for effect in moves {
            effect.each_move(|key, delta| self.defer(key, delta));
            if let Effect::Clear { sku } = &effect {
                for key in [Key::Available(sku), Key::Reserved(sku)] {
                    if let Some(seen) = self.see(key, K::counter_to_change) {
                        seen.now = Counter::Absent;
                    }
                }
            }
            self.effects.push(effect);
        }
        self.keys.ledger(|ledger| ledger.holds.leave(id));
        feed::tell_lines(self, event, id, lines);
        self.accept(id, end, tally);
    }

    /// Accepts an effect on one reservation that moves no units.
    pub(super) fn accept(&mut self, id: &ReservationId, effect: Effect, tally: Tally) {
        self.changed.insert(id.clone(), self.effects.len());
        self.effects.push(effect);
        self.keys.tally(tally, 1);
    }

    /// Adds to the counter that the draft shows, as an effect does when it is written.
    fn defer(&mut self, key: Key<'_>, delta: i64) {
        self.shift(key, delta);
        // Only the counters of quotas are ever deleted.
        let quota = sku_of(&key).filter(|sku| sku.is_quota());
        if let Some(shelf) = quota.and_then(|sku| self.shelves.get_mut(sku)) {
            shelf.is_deferred = true;
        }
    }

    /// Adds to the counter that the draft shows.
    fn shift(&mut self, key: Key<'_>, delta: i64) {
        if let Some(seen) = self.see(key, K::counter_to_change) {
            seen.now = Counter::Units(units_of(&seen.now).saturating_add(delta));
        }
    }

    /// What is known of a counter, which is read if nothing is. `None` for every other key.
    fn see(
        &mut self,
        key: Key<'_>,
        read: impl FnOnce(&mut K, Key<'_>) -> Counter,
    ) -> Option<&mut SeenCounter> {
        let sku = sku_of(&key)?;
        let counter = self.shelves.entry_ref(sku).or_default().counter(&key);
        if counter.is_none() {
            let found = read(self.keys, key);
            *counter = Some(SeenCounter { before: found.clone(), now: found });
        }
        counter.as_mut()
    }

    /// The value of a record or an outcome that an effect changes. `None` for all others.
    fn changed(&self, key: Key<'_>) -> Option<Reading> {
        let (Key::Reservation(id) | Key::Outcome(id)) = key else { return None };
        let is_record = matches!(key, Key::Reservation(_));
        match self.effects.get(*self.changed.get(id)?)? {
            Effect::Hold { record, deadline } => Some(if is_record {
                Reading::Text(record.to_json(), Some(*deadline))
            } else {
                Reading::Absent
            }),
            Effect::End { .. } if is_record => Some(Reading::Absent),
            Effect::End { id, outcome, deadline } | Effect::Outcome { id, outcome, deadline }
                if !is_record && *deadline > 0 =>
            {
                Some(Reading::Text(outcome.to_json(id), Some(*deadline)))
            }
            // The effect leaves this key as it is.
            Effect::End { .. }
            | Effect::Outcome { .. }
            | Effect::Record { .. }
            | Effect::Units { .. }
            | Effect::Once { .. }
            | Effect::Threshold { .. }
            | Effect::Floor { .. }
            | Effect::Limit { .. }
            | Effect::Rank { .. }
            | Effect::Unrank { .. }
            | Effect::Clear { .. } => None,
        }
    }

    /// Deletes the counters of quotas that are both 0 with all effects. A release, which is written at once, deletes none
    /// to which an effect still adds.
    fn clear_quotas(&mut self) {
        let quotas = self.shelves.iter().filter(|(_, shelf)| shelf.is_over());
        let mut over: Vec<Sku> = quotas.map(|(sku, _)| sku.clone()).collect();
        let lasts = |reading| matches!(reading, Reading::Text(_, None));
        over.retain(|sku| {
            [Key::Available(sku), Key::Reserved(sku)].into_iter().all(|key| lasts(self.keys.peek(key)))
        });
        // In a fixed order, so that the same call is replicated in the same form.
        over.sort_unstable();
        self.effects.extend(over.into_iter().map(|sku| Effect::Clear { sku }));
    }

    /// Writes and replicates all effects, appends the entries of the feed, and raises the alerts for the net change. After
    /// this point nothing may fail.
    pub(super) fn write(mut self) {
        self.clear_quotas();
        let Self { keys, effects, shelves, entries, .. } = self;
        if !effects.is_empty() {
            effects::write_entered(keys, &effects);
        }
        for Entry { product, fields, most } in &entries {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            keys.append(Key::Feed(product), &fields, *most);
        }
        let mut moved: Vec<(&Sku, &SeenCounter)> =
            shelves.iter().filter_map(|(sku, shelf)| Some((sku, shelf.available.as_ref()?))).collect();
        moved.retain(|(sku, seen)| seen.before != seen.now && !sku.is_quota());
        // In a fixed order, so that the same call raises its alerts in the same order.
        moved.sort_unstable_by_key(|(sku, _)| *sku);
        let mut moves = Moves::with_capacity(moved.len());
        for (sku, SeenCounter { before, now }) in moved {
            moves.moved(sku, before, units_of(now).saturating_sub(units_of(before)));
        }
        alerts::raise(keys, moves);
    }
}

impl<K: Keyspace> Keyspace for Draft<'_, K> {
    fn now(&self) -> UnixMs {
        self.keys.now()
    }

    fn settings(&self) -> Settings {
        self.keys.settings()
    }

    fn style(&self) -> KeyStyle {
        self.keys.style()
    }

    fn set_style(&mut self, style: KeyStyle) {
        self.keys.set_style(style);
    }

    fn in_cluster(&self) -> bool {
        self.keys.in_cluster()
    }

    fn slot_state(&mut self, id: &str) -> SlotState {
        self.keys.slot_state(id)
    }

    fn is_slot_stable(&mut self, id: &str) -> bool {
        self.keys.is_slot_stable(id)
    }

    fn confined_to(&self) -> Option<Slot> {
        self.keys.confined_to()
    }

    fn is_draft(&self) -> bool {
        true
    }

    fn is_deferred(&self, sku: &Sku) -> bool {
        self.shelves.get(sku).is_some_and(|shelf| shelf.is_deferred)
    }

    fn read(&mut self, key: Key<'_>) -> Reading {
        match self.changed(key) {
            Some(reading) => reading,
            None => self.keys.read(key),
        }
    }

    fn read_to_change(&mut self, key: Key<'_>) -> Reading {
        match self.changed(key) {
            Some(reading) => reading,
            None => self.keys.read_to_change(key),
        }
    }

    fn read_counter(&mut self, key: Key<'_>) -> Counter {
        match self.see(key, K::counter_to_change) {
            Some(seen) => seen.now.clone(),
            None => self.keys.read_counter(key),
        }
    }

    fn peek(&mut self, key: Key<'_>) -> Reading {
        if let Some(reading) = self.changed(key) {
            return reading;
        }
        let peek = |keys: &mut K, key: Key<'_>| Counter::from(keys.peek(key));
        match self.see(key, peek).map(|seen| seen.now.clone()) {
            Some(Counter::Units(units)) => Reading::Text(units.to_string().into_bytes(), None),
            Some(Counter::Absent) => Reading::Absent,
            // The counter never changes, so the key says why.
            Some(Counter::Broken(_)) | None => self.keys.peek(key),
        }
    }

    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>) {
        self.keys.write(key, value, until);
    }

    fn rewrite(&mut self, key: Key<'_>, value: &[u8]) {
        self.keys.rewrite(key, value);
    }

    fn add(&mut self, key: Key<'_>, delta: i64) -> i64 {
        self.see(key, K::counter_to_change);
        let sum = self.keys.add(key, delta);
        self.shift(key, delta);
        self.see(key, K::counter_to_change).map_or(sum, |seen| units_of(&seen.now))
    }

    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking {
        self.keys.ranking(key, most)
    }

    fn ranking_of(&mut self, key: Key<'_>, member: &str) -> Ranking {
        self.keys.ranking_of(key, member)
    }

    fn rank(&mut self, key: Key<'_>, member: &str, score: f64) {
        self.keys.rank(key, member, score);
    }

    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool {
        self.keys.unrank(key, member)
    }

    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64) {
        let Key::Feed(product) = key else { return self.keys.append(key, fields, most) };
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.entries.push(Entry { product: product.to_owned(), fields, most });
    }

    fn remove(&mut self, key: Key<'_>) {
        self.keys.remove(key);
    }

    fn notify(&mut self, event: &'static CStr, key: Key<'_>) {
        self.keys.notify(event, key);
    }

    fn replicate(&mut self, command: Sent, arguments: &[Argument<'_>]) {
        self.keys.replicate(command, arguments);
    }

    fn publish(&mut self, channel: &'static str, message: &[u8]) {
        self.keys.publish(channel, message);
    }

    fn products_in_warehouses(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Product>), Refusal> {
        self.keys.products_in_warehouses(cursor, count)
    }

    fn counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Counted>), Refusal> {
        self.keys.counters(cursor, count)
    }

    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        self.keys.ledger(look)
    }

    fn tally(&mut self, what: Tally, by: i64) {
        self.keys.tally(what, by);
    }

    fn report(&mut self, line: &str) {
        self.keys.report(line);
    }

    fn lag(&mut self, late_ms: i64) {
        self.keys.lag(late_ms);
    }
}

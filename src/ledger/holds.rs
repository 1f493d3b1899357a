//! The index of live reservations: by id, by the time at which the sweep opens them, and, once they are due, by sku.
//!
//! Each reservation is stored once, in a numbered place of a slab. The orders contain numbers. Skus are numbered as well,
//! and the units that are held are counted for each. A reservation therefore takes a small part of the memory that its
//! keys take.
//!
//! Only a request that is short asks for the due reservations of a sku. So the order by sku contains only what was due when
//! somebody last asked, and is extended by [`Holds::index_due`].
//!
//! **Invariant:** every reservation in the slab is in the orders by id and by time, and its lines are counted in the units
//! held. It is in the order by sku if its position is before `due_until`.

use std::collections::BTreeSet;
use std::hint::black_box;

use hashbrown::{HashMap, HashSet};

use crate::inventory::line::Line;

use super::compact_id::CompactId;
use super::gone::Gone;
use super::remains::steps;
use super::slab::{Names, Number, Slab};
use crate::inventory::quantity::{Quantity, UnixMs};
use crate::inventory::reservation::Record;
use crate::inventory::sku::{ReservationId, Sku};

/// The number of a sku.
type SkuNumber = Number;

/// A position in the order by deadline. A walk continues after the reservation at this position.
pub type Position = (UnixMs, Number);

/// A live reservation. It fills one line of the processor's cache, because with random ids each line that a command needs
/// has to come from memory. What is true of few reservations is therefore kept elsewhere.
#[derive(Debug)]
struct Hold {
    id: CompactId,
    deadline: UnixMs,
    lines: Lines,
}

const _: () = assert!(size_of::<Option<Hold>>() == 64, "a reservation fills one cache line");

impl Hold {
    fn id(&self) -> ReservationId {
        ReservationId::known(self.id.as_str())
    }
}

/// The lines of a reservation. Most reservations have one.
#[derive(Clone, Debug)]
enum Lines {
    One(SkuNumber, Quantity),
    /// Boxed twice, because a slice's pointer is twice as large as what one line needs.
    Many(Box<Box<[(SkuNumber, Quantity)]>>),
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = (SkuNumber, Quantity)> {
        let (one, many) = match self {
            Lines::One(sku, quantity) => (Some((*sku, *quantity)), None),
            Lines::Many(lines) => (None, Some(lines.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// The reservations whose deadline has passed and which are not released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Their number, up to the limit of the count.
    pub count: usize,
    /// The earliest deadline among them.
    pub earliest: Option<UnixMs>,
}

/// The live reservations of a database, and for each sku the units held by them and through [`Holds::hold`].
#[derive(Debug, Default)]
pub struct Holds {
    slab: Slab<Hold>,
    by_id: Names,
    /// All of them, by the time at which the sweep opens them next: the deadline, unless they are postponed.
    by_wake: BTreeSet<Position>,
    /// Those that did not expire when they were opened, with the time at which they are opened again.
    postponed: HashMap<Number, UnixMs>,
    /// The same, by deadline.
    postponed_by_deadline: BTreeSet<Position>,
    /// Those that appeared without a command of the module, so that it is not known whether their units were ever taken.
    by_hand: HashSet<Number>,
    /// Those for whose id an outcome was found, which may have expired, or another client has written one.
    with_outcome: HashSet<Number>,
    /// Those that are before `due_until` in the order by time.
    due_by_sku: BTreeSet<(SkuNumber, UnixMs, Number)>,
    due_until: Position,
    skus: Skus,
    /// The bytes that ids and lines take outside the slab.
    outside: usize,
}

impl Holds {
    /// Enters a live reservation that a command of the module has made or that a walk has met. It replaces any other
    /// entry of its id.
    pub fn enter(&mut self, record: &Record, deadline: UnixMs) {
        self.put(record, deadline, record.restored, false);
    }

    /// Enters a new deadline or new lines of a live reservation. Its origin, as in [`Holds::is_by_hand`], does not
    /// change.
    pub fn enter_again(&mut self, record: &Record, deadline: UnixMs) {
        let has_outcome = self.has_outcome(&record.id);
        self.put(record, deadline, self.is_by_hand(&record.id), has_outcome);
    }

    /// Enters a record that another client has touched. If it is live and has the same lines as before, only its TTL
    /// was changed.
    pub fn enter_touched(&mut self, record: &Record, deadline: UnixMs) {
        let same = self.lines(&record.id).is_some_and(|lines| lines.iter().eq(record.held()));
        let by_hand = !same || record.restored || self.is_by_hand(&record.id);
        self.put(record, deadline, by_hand, self.has_outcome(&record.id));
    }

    fn put(&mut self, record: &Record, deadline: UnixMs, by_hand: bool, has_outcome: bool) {
        self.leave(&record.id);
        let lines = match record.items.as_slice() {
            [line] if record.quota.is_empty() => Lines::One(self.skus.hold(line), line.quantity),
            _ => {
                let lines = record.held().map(|line| (self.skus.hold(line), line.quantity));
                Lines::Many(Box::new(lines.collect()))
            }
        };
        let hold = Hold { id: record.id.as_str().into(), deadline, lines };
        let outside = outside(&hold);
        let Some(number) = self.slab.put(hold) else {
            // There are more than four billion. The keys are still correct, and the server's own expiry ends this
            // reservation.
            return;
        };
        self.outside = self.outside.saturating_add(outside);
        self.by_id.enter(record.id.as_str(), number);
        self.enter_orders((deadline, number));
        if by_hand {
            self.by_hand.insert(number);
        }
        if has_outcome {
            self.with_outcome.insert(number);
        }
    }

    /// Enters a reservation of the slab into the orders at this position.
    fn enter_orders(&mut self, position: Position) {
        self.by_wake.insert(position);
        if position < self.due_until {
            self.enter_order_by_sku(position);
        }
    }

    fn enter_order_by_sku(&mut self, (wake, number): Position) {
        for (sku, _) in self.slab.get(number).into_iter().flat_map(|hold| hold.lines.iter()) {
            self.due_by_sku.insert((sku, wake, number));
        }
    }

    /// Removes a reservation with these lines from the orders at this position.
    fn leave_orders(&mut self, position: Position, lines: &Lines) {
        self.by_wake.remove(&position);
        if position < self.due_until {
            let (wake, number) = position;
            for (sku, _) in lines.iter() {
                self.due_by_sku.remove(&(sku, wake, number));
            }
        }
    }

    /// The time at which the sweep opens a reservation next.
    fn wake(&self, number: Number, deadline: UnixMs) -> UnixMs {
        if self.postponed.is_empty() {
            return deadline;
        }
        self.postponed.get(&number).copied().unwrap_or(deadline)
    }

    /// Removes a reservation.
    pub fn leave(&mut self, id: &ReservationId) {
        let slab = &self.slab;
        let Some(number) = self.by_id.leave(id.as_str(), |number| id_of(slab, number)) else { return };
        let Some(hold) = self.slab.take(number) else { return };
        self.outside = self.outside.saturating_sub(outside(&hold));
        self.leave_orders((self.wake(number, hold.deadline), number), &hold.lines);
        if self.postponed.remove(&number).is_some() {
            self.postponed_by_deadline.remove(&(hold.deadline, number));
        }
        self.by_hand.remove(&number);
        self.with_outcome.remove(&number);
        for (sku, quantity) in hold.lines.iter() {
            self.skus.unhold(sku, quantity);
        }
    }

    fn has_outcome(&self, id: &ReservationId) -> bool {
        self.is_among(&self.with_outcome, id)
    }

    fn is_among(&self, some: &HashSet<Number>, id: &ReservationId) -> bool {
        // It usually has no members.
        !some.is_empty() && self.number(id).is_some_and(|number| some.contains(&number))
    }

    fn number(&self, id: &ReservationId) -> Option<Number> {
        self.by_id.find(id.as_str(), |number| id_of(&self.slab, number))
    }

    /// Looks up reservations that a call is about to read. With random ids, each look-up waits for memory. If nothing else
    /// is done in between, the processor waits for several of them at once.
    pub fn fetch<'a>(&self, ids: impl Iterator<Item = &'a ReservationId>) {
        for id in ids {
            black_box(self.number(id));
        }
    }

    fn get(&self, id: &ReservationId) -> Option<&Hold> {
        self.slab.get(self.number(id)?)
    }

    /// The number of live reservations.
    pub fn count(&self) -> usize {
        self.by_id.count()
    }

    /// Whether there are no live reservations and no other units are held.
    pub fn is_empty(&self) -> bool {
        self.by_id.count() == 0 && self.skus.names.count() == 0
    }

    /// The deadline of a reservation, or `None` if it is not in the index.
    pub fn deadline(&self, id: &ReservationId) -> Option<UnixMs> {
        self.get(id).map(|hold| hold.deadline)
    }

    /// The lines of a reservation and then what it holds of the buyer's quotas, or `None` if it is not in the index.
    pub fn lines(&self, id: &ReservationId) -> Option<Vec<Line>> {
        let lines = self.get(id)?.lines.iter();
        Some(
            lines
                .filter_map(|(sku, quantity)| Some(Line { sku: self.skus.name(sku)?.clone(), quantity }))
                .collect(),
        )
    }

    /// What the index knows about a live reservation whose key now holds something else, although no event reported its
    /// end (APPEND, SETRANGE). The time at which it was made is unknown, so the deadline is used instead.
    pub fn as_indexed(&self, id: &ReservationId) -> Option<Gone> {
        let deadline = self.deadline(id)?;
        let (quota, items): (Vec<Line>, Vec<Line>) =
            self.lines(id)?.into_iter().partition(|line| line.sku.is_quota());
        let buyer = quota.first().and_then(|line| line.sku.buyer()).map(str::to_owned);
        let record = Record { buyer, quota, ..Record::new(id.clone(), deadline, deadline, items, None) };
        Some(Gone::new(record, deadline))
    }

    /// Whether the reservation appeared without a command of the module.
    pub fn is_by_hand(&self, id: &ReservationId) -> bool {
        self.is_among(&self.by_hand, id)
    }

    /// Whether an outcome for this id may exist: one was found or written by another client, or no RESERVE has examined
    /// this id. The outcome may have expired. Such a key reads as absent, and a job that overwrote it would delete it.
    pub fn may_have_outcome(&self, id: &ReservationId) -> bool {
        let known = self.number(id);
        known.is_none_or(|number| self.by_hand.contains(&number) || self.with_outcome.contains(&number))
    }

    /// Records that an outcome for this reservation exists, which may have expired.
    pub fn note_outcome(&mut self, id: &ReservationId) {
        if let Some(number) = self.number(id) {
            self.with_outcome.insert(number);
        }
    }

    /// The reservation to open first, if it is due.
    pub fn next_due(&self, now: UnixMs) -> Option<ReservationId> {
        let (wake, number) = self.by_wake.first()?;
        if now <= *wake {
            return None;
        }
        self.slab.get(*number).map(Hold::id)
    }

    /// The reservations whose deadline has passed. The count stops at `most`.
    pub fn overdue(&self, now: UnixMs, most: usize) -> Overdue {
        let due = self.by_wake.range(..(now, Number::MIN));
        let postponed = self.postponed_by_deadline.range(..(now, Number::MIN));
        // All others wake at their deadline.
        let first_due =
            due.clone().next().and_then(|(_, number)| self.slab.get(*number)).map(|hold| hold.deadline);
        let first_postponed = postponed.clone().next().map(|(deadline, _)| *deadline);
        let is_asleep = |(_, number): &&Position| self.postponed.get(number).is_some_and(|wake| *wake >= now);
        let due = due.take(most).count();
        let asleep = postponed.take(most.saturating_sub(due)).filter(is_asleep).count();
        Overdue {
            count: due.saturating_add(asleep),
            earliest: first_due.into_iter().chain(first_postponed).min(),
        }
    }

    /// The time at which the sweep opens the first reservation.
    pub fn next_wake(&self) -> Option<UnixMs> {
        self.by_wake.first().map(|(wake, _)| *wake)
    }

    /// Extends the order by sku to everything that is due, but by `most` reservations only: the work is bounded. Returns
    /// whether it contains everything that is due now.
    pub fn index_due(&mut self, now: UnixMs, most: usize) -> bool {
        let until = (now, Number::MIN);
        if until <= self.due_until {
            return true;
        }
        let mut due: Vec<Position> =
            self.by_wake.range(self.due_until..until).take(most.saturating_add(1)).copied().collect();
        // One more than is indexed shows where to continue.
        let next = if due.len() > most { due.pop() } else { None };
        for position in due {
            self.enter_order_by_sku(position);
        }
        self.due_until = next.unwrap_or(until);
        next.is_none()
    }

    /// The reservation to open first among those that hold `sku`, if it is due. [`Holds::index_due`] says whether every one
    /// of them is considered.
    pub fn next_due_of(&self, sku: &Sku, now: UnixMs) -> Option<ReservationId> {
        let sku = self.skus.number(sku)?;
        let (_, _, number) = self
            .due_by_sku
            .range((sku, UnixMs::MIN, 0)..)
            .next()
            .filter(|(of, wake, _)| *of == sku && now > *wake)?;
        self.slab.get(*number).map(Hold::id)
    }

    /// Postpones a reservation that did not expire when it was opened. The sweep opens it again at `wake`.
    pub fn postpone(&mut self, id: &ReservationId, wake: UnixMs) {
        let Some(number) = self.number(id) else { return };
        let Some(hold) = self.slab.get(number) else { return };
        let (deadline, lines) = (hold.deadline, hold.lines.clone());
        self.leave_orders((self.wake(number, deadline), number), &lines);
        if wake > deadline {
            self.postponed.insert(number, wake);
            self.postponed_by_deadline.insert((deadline, number));
        } else {
            self.postponed.remove(&number);
            self.postponed_by_deadline.remove(&(deadline, number));
        }
        self.enter_orders((wake, number));
    }

    /// Undoes the postponement of a reservation whose slot is stable again.
    pub fn unpark(&mut self, id: &ReservationId) {
        if let Some(deadline) = self.deadline(id) {
            self.postpone(id, deadline);
        }
    }

    /// The first reservation after `position`, with its own position and its deadline.
    pub fn after(&self, position: Option<Position>) -> Option<(Position, ReservationId, UnixMs)> {
        let from = position.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let next = self.by_wake.range((from, std::ops::Bound::Unbounded)).next()?;
        self.slab.get(next.1).map(|hold| (*next, hold.id(), hold.deadline))
    }

    /// Whether a reservation holds units of this product in any place.
    pub fn is_of(&self, id: &ReservationId, product: &str) -> bool {
        let skus = self.get(id).into_iter().flat_map(|hold| hold.lines.iter());
        skus.filter_map(|(sku, _)| self.skus.name(sku)).any(|sku| sku.product() == product)
    }

    /// The units of a sku that are held, by live reservations and through [`Holds::hold`].
    fn held(&self, sku: &Sku) -> i64 {
        self.skus
            .number(sku)
            .and_then(|number| self.skus.entries.get(number))
            .map_or(0, |entry| i64::try_from(entry.held).unwrap_or(i64::MAX))
    }

    /// The units of a sku that are held, without the `own` units of one reservation.
    pub fn held_by_others(&self, sku: &Sku, own: i64) -> i64 {
        self.held(sku).saturating_sub(own).max(0)
    }

    /// The first sku of which units are held and whose number is `from` or higher, with its number.
    pub fn held_sku(&self, from: SkuNumber) -> Option<(SkuNumber, &Sku)> {
        self.skus.entries.from(from).map(|(number, entry)| (number, &entry.sku))
    }

    /// Holds units for something other than a live reservation.
    pub fn hold(&mut self, lines: &[Line]) {
        for line in lines {
            self.skus.hold(line);
        }
    }

    /// The reverse of [`Holds::hold`].
    pub fn unhold(&mut self, lines: &[Line]) {
        for Line { sku, quantity } in lines {
            if let Some(number) = self.skus.number(sku) {
                self.skus.unhold(number, *quantity);
            }
        }
    }

    /// The approximate size in bytes.
    pub fn bytes(&self) -> usize {
        // The nodes of a tree are three quarters full on average.
        let in_tree = |count: usize, size: usize| count.saturating_mul(size).saturating_mul(4).div_ceil(3);
        [
            self.slab.bytes(),
            self.by_id.bytes(),
            in_tree(self.by_wake.len(), size_of::<Position>()),
            in_tree(self.postponed_by_deadline.len(), size_of::<Position>()),
            self.postponed.capacity().saturating_mul(size_of::<Position>()),
            self.by_hand.capacity().saturating_mul(size_of::<Number>()),
            self.with_outcome.capacity().saturating_mul(size_of::<Number>()),
            in_tree(self.due_by_sku.len(), size_of::<(SkuNumber, UnixMs, Number)>()),
            self.outside,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}

impl Holds {
    /// Drops the index, in steps of less than a millisecond.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { mut slab, mut by_id, by_wake, postponed_by_deadline, due_by_sku, mut skus, .. } = self;
        let tables = std::iter::from_fn(move || {
            let is_left = slab.free_chunk()
                || by_id.free_shard()
                || skus.entries.free_chunk()
                || skus.names.free_shard();
            is_left.then_some(())
        });
        tables.chain(steps(by_wake)).chain(steps(postponed_by_deadline)).chain(steps(due_by_sku))
    }
}

fn id_of(slab: &Slab<Hold>, number: Number) -> &[u8] {
    slab.get(number).map_or(&[], |hold| hold.id.bytes())
}

/// The bytes that a reservation takes outside its place. Each allocation has a header and is rounded up to 16 bytes.
fn outside(hold: &Hold) -> usize {
    let allocation = |bytes: usize| if bytes == 0 { 0 } else { bytes.saturating_add(8).next_multiple_of(16) };
    let lines = match &hold.lines {
        Lines::One(..) => 0,
        Lines::Many(lines) => {
            allocation(size_of::<Box<[Line]>>()).saturating_add(allocation(size_of_val(&***lines)))
        }
    };
    allocation(hold.id.outside()).saturating_add(lines)
}

/// The skus of which units are held, numbered.
#[derive(Debug, Default)]
struct Skus {
    names: Names,
    entries: Slab<HeldSku>,
}

#[derive(Debug)]
struct HeldSku {
    sku: Sku,
    /// Always above 0, because a sku of which nothing is held has no entry. The type is exact for any number of
    /// records, even those that another client wrote, so a number is reused only when nothing refers to it.
    held: i128,
}

impl Skus {
    fn number(&self, sku: &Sku) -> Option<SkuNumber> {
        self.names.find(sku.as_str(), |number| sku_of(&self.entries, number))
    }

    fn name(&self, number: SkuNumber) -> Option<&Sku> {
        self.entries.get(number).map(|entry| &entry.sku)
    }

    /// Adds to the held units of a sku. Returns its number.
    fn hold(&mut self, line: &Line) -> SkuNumber {
        let units = i128::from(line.quantity.units());
        if let Some(number) = self.number(&line.sku) {
            if let Some(entry) = self.entries.get_mut(number) {
                entry.held = entry.held.saturating_add(units);
            }
            return number;
        }
        let Some(number) = self.entries.put(HeldSku { sku: line.sku.clone(), held: units }) else {
            // There are more than four billion skus. This one is not counted as held.
            return SkuNumber::MAX;
        };
        self.names.enter(line.sku.as_str(), number);
        number
    }

    fn unhold(&mut self, number: SkuNumber, quantity: Quantity) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        entry.held = entry.held.saturating_sub(i128::from(quantity.units()));
        if entry.held <= 0 {
            let entries = &self.entries;
            if let Some(entry) = entries.get(number) {
                self.names.leave(entry.sku.as_str(), |number| sku_of(entries, number));
            }
            self.entries.take(number);
        }
    }
}

fn sku_of(entries: &Slab<HeldSku>, number: SkuNumber) -> &[u8] {
    entries.get(number).map_or(&[], |entry| entry.sku.as_str().as_bytes())
}

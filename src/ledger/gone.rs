//! Reservations whose records no longer exist but whose units are not settled: those that have expired or were evicted,
//! those that other clients have deleted, and the part of the latter that is remembered until the deadline.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::remains::steps;
use crate::inventory::cluster_slot::Slot;
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{ReservationId, Sku};

/// A reservation whose record no longer exists, and what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The record.
    pub record: Record,
    /// The lines whose units are still reserved: all items and quotas, or the part that CLAMP left when the record was
    /// deleted (see [`remember`](super::Ledger::remember)).
    pub lines: Vec<Line>,
    /// The deadline.
    pub deadline: UnixMs,
    /// Whether an expired outcome for this id may still exist. It reads as absent. Overwriting it deletes
    /// it first, which a job must not do.
    pub may_have_stale_outcome: bool,
}

impl Gone {
    /// Makes an entry for a record. The ledger sets `may_have_stale_outcome`.
    pub fn new(record: Record, deadline: UnixMs) -> Self {
        Self { lines: record.held().cloned().collect(), record, deadline, may_have_stale_outcome: false }
    }
}

/// The number of newest entries that are searched for those of one slot.
pub(super) const NEWEST: usize = 64;

/// Reservations in the order in which they disappeared, with an index by id and one by sku. A script may let thousands
/// expire and then ask for each of them, and for units of each sku.
///
/// **Invariant:** each is in all three orders.
#[derive(Debug, Default)]
pub struct GoneQueue {
    /// By number. Later entries have higher numbers.
    by_number: BTreeMap<u64, Gone>,
    /// By id. An id may occur more than once.
    by_id: BTreeSet<(ReservationId, u64)>,
    /// By sku, for each line.
    by_sku: BTreeSet<(Sku, u64)>,
    next: u64,
}

impl GoneQueue {
    /// Adds an entry at the end.
    pub fn push(&mut self, gone: Gone) {
        self.by_id.insert((gone.record.id.clone(), self.next));
        self.by_sku.extend(gone.lines.iter().map(|line| (line.sku.clone(), self.next)));
        self.by_number.insert(self.next, gone);
        self.next = self.next.wrapping_add(1);
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Gone> {
        self.by_number.values()
    }

    /// The first entry after the one with this number, with its own number.
    pub fn after(&self, number: Option<u64>) -> Option<(u64, &Gone)> {
        let from = number.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_number.range((from, Bound::Unbounded)).next().map(|(number, gone)| (*number, gone))
    }

    /// The first entry of this id.
    pub fn find(&self, id: &ReservationId) -> Option<&Gone> {
        self.by_number.get(&self.number(id)?)
    }

    /// Takes the first entry.
    pub fn take_first(&mut self) -> Option<Gone> {
        let number = self.by_number.first_key_value().map(|(number, _)| *number)?;
        self.take(number)
    }

    /// Takes the last entry.
    pub fn take_last(&mut self) -> Option<Gone> {
        let number = self.by_number.last_key_value().map(|(number, _)| *number)?;
        self.take(number)
    }

    /// Takes the first entry of this id.
    pub fn take_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.take(self.number(id)?)
    }

    /// Takes the first entry that holds units of this sku.
    pub fn take_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        if self.by_sku.is_empty() {
            return None;
        }
        let (found, number) = self.by_sku.range((sku.clone(), 0)..).next()?;
        if found == sku { self.take(*number) } else { None }
    }

    /// Takes the first entry of this slot among the newest entries.
    pub fn take_in(&mut self, slot: Slot) -> Option<Gone> {
        let newest = self.by_number.iter().rev().take(NEWEST);
        let in_slot = newest.filter(|(_, gone)| Slot::of(gone.record.id.as_str()) == slot);
        let number = in_slot.map(|(number, _)| *number).next_back()?;
        self.take(number)
    }

    /// The number that the next entry will get.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes all entries from this number on, in order.
    pub fn take_from(&mut self, number: u64) -> Vec<Gone> {
        let taken = self.by_number.split_off(&number);
        for (number, gone) in &taken {
            self.leave_indexes(*number, gone);
        }
        taken.into_values().collect()
    }

    /// Takes the newest `count` entries, in order.
    pub fn take_newest(&mut self, count: usize) -> Vec<Gone> {
        let mut newest: Vec<Gone> = std::iter::from_fn(|| self.take_last()).take(count).collect();
        newest.reverse();
        newest
    }

    /// Takes all entries, in order.
    pub fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        std::mem::take(self).by_number.into_values()
    }

    /// Drops the queue, one entry in each step.
    fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { by_number, by_id, by_sku, next: _ } = self;
        steps(by_number).chain(steps(by_id)).chain(steps(by_sku))
    }

    fn number(&self, id: &ReservationId) -> Option<u64> {
        if self.by_id.is_empty() {
            return None;
        }
        let (found, number) = self.by_id.range((id.clone(), 0)..).next()?;
        (found == id).then_some(*number)
    }

    fn take(&mut self, number: u64) -> Option<Gone> {
        let gone = self.by_number.remove(&number)?;
        self.leave_indexes(number, &gone);
        Some(gone)
    }

    fn leave_indexes(&mut self, number: u64, gone: &Gone) {
        self.by_id.remove(&(gone.record.id.clone(), number));
        for line in &gone.lines {
            self.by_sku.remove(&(line.sku.clone(), number));
        }
    }
}

/// Reservations that have expired or were evicted and are not settled yet.
///
/// **Invariant:** the lines of each are held (in [`Holds`](super::holds::Holds)). Code that takes an entry keeps them
/// held until it has settled the entry or put it back.
#[derive(Debug, Default)]
pub struct Pending {
    queue: GoneQueue,
    /// The number of the first entry that the current unit of work has added.
    fresh: Option<u64>,
}

impl Pending {
    /// Adds an entry whose lines are held.
    pub(super) fn enter(&mut self, gone: Gone) {
        self.fresh = self.fresh.or(Some(self.queue.next()));
        self.queue.push(gone);
    }

    /// Puts back an entry that could not be settled.
    pub fn put_back(&mut self, gone: Gone) {
        self.queue.push(gone);
    }

    /// The first entry of an id.
    pub fn find(&self, id: &ReservationId) -> Option<&Gone> {
        self.queue.find(id)
    }

    /// The first entry after the one with this number, with its own number. An entry that is added or put back later
    /// gets a higher number.
    pub fn after(&self, number: Option<u64>) -> Option<(u64, &Gone)> {
        self.queue.after(number)
    }

    /// All entries, in the order in which they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Gone> {
        self.queue.iter()
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the next entry. If a slot is given, takes the first of that slot among the newest entries, which are those
    /// of the current unit of work.
    pub fn take(&mut self, slot: Option<Slot>) -> Option<Gone> {
        match slot {
            None => self.queue.take_first(),
            Some(slot) => self.queue.take_in(slot),
        }
    }

    /// Takes the first entry of an id.
    pub fn take_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.queue.take_of(id)
    }

    /// Takes the first entry that holds units of this sku.
    pub fn take_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        self.queue.take_of_sku(sku)
    }

    /// Takes the entries that the current unit of work has added.
    pub fn take_fresh(&mut self) -> Vec<Gone> {
        self.fresh.take().map(|first| self.queue.take_from(first)).unwrap_or_default()
    }

    /// Takes all entries.
    pub fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.fresh = None;
        self.queue.take_all()
    }

    /// Drops the entries, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        self.queue.into_steps()
    }
}

/// Reservations whose records other clients have deleted or overwritten, until it is decided what to remember of them.
///
/// An entry is unseen until it is examined. It becomes undecided if the decision is not possible yet.
///
/// **Invariant:** the lines of unseen entries are held (in [`Holds`](super::holds::Holds)), and stay so when the entry
/// is taken to be examined. The lines of undecided entries are not held, so that they do not prevent other releases.
#[derive(Debug, Default)]
pub struct Removed {
    /// Entries that have not been examined.
    unseen: GoneQueue,
    /// Entries that were examined while it was not known which units belong to another program.
    undecided: GoneQueue,
    /// The units of each sku in the undecided entries.
    undecided_units: HashMap<Sku, i64>,
}

impl Removed {
    /// Adds an unseen entry whose lines are held.
    pub(super) fn enter(&mut self, gone: Gone) {
        self.unseen.push(gone);
    }

    /// Puts an entry back as unseen.
    pub fn put_back(&mut self, gone: Gone) {
        self.unseen.push(gone);
    }

    /// Whether there are unseen entries.
    pub(super) fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// The number of unseen entries, together with the undecided ones if the decision is possible now.
    pub(super) fn to_examine(&self, can_decide: bool) -> usize {
        let undecided = if can_decide { self.undecided.len() } else { 0 };
        self.unseen.len().saturating_add(undecided)
    }

    /// Takes the last unseen entry.
    pub fn take_last(&mut self) -> Option<Gone> {
        self.unseen.take_last()
    }

    /// Takes the newest unseen entries.
    pub fn take_newest(&mut self) -> Vec<Gone> {
        self.unseen.take_newest(NEWEST)
    }

    /// Takes the first unseen entry of an id.
    pub(super) fn take_unseen_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.unseen.take_of(id)
    }

    /// Takes all unseen entries.
    pub(super) fn take_all_unseen(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.unseen.take_all()
    }

    /// Adds an undecided entry, whose lines are not held.
    pub(super) fn leave_undecided(&mut self, gone: Gone) {
        self.count_undecided(&gone, 1);
        self.undecided.push(gone);
    }

    /// Whether there are undecided entries.
    pub(super) fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// The units of a sku in the undecided entries.
    pub(super) fn undecided_units(&self, sku: &Sku) -> i64 {
        self.undecided_units.get(sku.as_str()).copied().unwrap_or_default()
    }

    /// Takes the first undecided entry of an id.
    pub(super) fn take_undecided_of(&mut self, id: &ReservationId) -> Option<Gone> {
        let gone = self.undecided.take_of(id)?;
        self.count_undecided(&gone, -1);
        Some(gone)
    }

    /// Takes all undecided entries.
    pub(super) fn take_all_undecided(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.undecided_units.clear();
        self.undecided.take_all()
    }

    /// Drops the entries, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { unseen, undecided, undecided_units } = self;
        unseen.into_steps().chain(undecided.into_steps()).chain(steps(undecided_units))
    }

    fn count_undecided(&mut self, gone: &Gone, sign: i64) {
        for line in &gone.lines {
            let units = self.undecided_units.entry(line.sku.clone()).or_default();
            *units = units.saturating_add(line.quantity.units().saturating_mul(sign));
        }
    }
}

/// Reservations whose records other clients have deleted or overwritten, with the units that will be returned at the
/// deadline.
///
/// **Invariant:** there is at most one entry for an id, and it is in both orders. Its lines are held (in
/// [`Holds`](super::holds::Holds)) until they are settled, even after the entry was taken.
#[derive(Debug, Default)]
pub struct Remembered {
    by_id: HashMap<ReservationId, Gone>,
    by_deadline: BTreeSet<(UnixMs, ReservationId)>,
}

impl Remembered {
    /// Adds an entry whose lines are held. There must be no other entry of its id.
    pub(super) fn enter(&mut self, gone: Gone) {
        let id = gone.record.id.clone();
        self.by_deadline.insert((gone.deadline, id.clone()));
        self.by_id.insert(id, gone);
    }

    /// Whether there is an entry of an id.
    pub(super) fn has(&self, id: &ReservationId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Takes the entry of an id.
    pub fn take(&mut self, id: &ReservationId) -> Option<Gone> {
        let gone = self.by_id.remove(id)?;
        self.by_deadline.remove(&(gone.deadline, id.clone()));
        Some(gone)
    }

    /// Takes the entry with the earliest deadline, if that has passed. If a slot is given, only entries of that slot
    /// are considered.
    pub fn take_due(&mut self, now: UnixMs, slot: Option<Slot>) -> Option<Gone> {
        let mut due = self.by_deadline.iter().take_while(|(deadline, _)| now > *deadline);
        let (_, id) = match slot {
            None => due.next(),
            Some(slot) => due.take(NEWEST).find(|(_, id)| Slot::of(id.as_str()) == slot),
        }?;
        let id = id.clone();
        self.take(&id)
    }

    /// The earliest deadline.
    pub(super) fn first_deadline(&self) -> Option<UnixMs> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes all entries.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.by_deadline.clear();
        std::mem::take(&mut self.by_id).into_values()
    }

    /// Drops the entries, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { by_id, by_deadline } = self;
        steps(by_id).chain(steps(by_deadline))
    }
}

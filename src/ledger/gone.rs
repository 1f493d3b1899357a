//! Reservations whose records are gone and that are not settled: those that ended by themselves, those that other clients
//! have taken away, and what is left of these until their deadlines.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::inventory::cluster_slot::Slot;
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{ReservationId, Sku};

/// A reservation whose record is gone, with what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its record, as it was.
    pub record: Record,
    /// What it still holds in the counters: all of its items, or what was left of them when it was cut.
    pub lines: Vec<Line>,
    /// Its deadline.
    pub deadline: UnixMs,
    /// An outcome of its id may still exist although it has expired: it reads as absent, and writing over it in a job would
    /// delete it.
    pub may_have_stale_outcome: bool,
}

impl Gone {
    /// A record that is gone; the ledger knows where it came from.
    pub fn new(record: Record, deadline: UnixMs) -> Self {
        Self { lines: record.items.clone(), record, deadline, may_have_stale_outcome: false }
    }
}

/// How many of the newest are looked through for those of one slot.
pub(super) const NEWEST: usize = 64;

/// Reservations that are gone, in the order in which they went, and found by their id: a script may let thousands expire and
/// ask for each of them.
///
/// **Invariant:** each is in both orders.
#[derive(Debug, Default)]
pub struct GoneQueue {
    /// By number: those that went later have higher ones.
    by_number: BTreeMap<u64, Gone>,
    /// An id may have gone more than once.
    by_id: BTreeSet<(ReservationId, u64)>,
    next: u64,
}

impl GoneQueue {
    /// Puts one at the end.
    pub fn push(&mut self, gone: Gone) {
        self.by_id.insert((gone.record.id.clone(), self.next));
        self.by_number.insert(self.next, gone);
        self.next = self.next.wrapping_add(1);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Gone> {
        self.by_number.values()
    }

    /// The first of this id.
    pub fn find(&self, id: &ReservationId) -> Option<&Gone> {
        self.by_number.get(&self.number(id)?)
    }

    /// Takes the first.
    pub fn take_first(&mut self) -> Option<Gone> {
        let number = self.by_number.first_key_value().map(|(number, _)| *number)?;
        self.take(number)
    }

    /// Takes the last.
    pub fn take_last(&mut self) -> Option<Gone> {
        let number = self.by_number.last_key_value().map(|(number, _)| *number)?;
        self.take(number)
    }

    /// Takes the first of this id.
    pub fn take_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.take(self.number(id)?)
    }

    /// Takes the first that holds units of this sku.
    pub fn take_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        let holds = |lines: &[Line]| lines.iter().any(|line| line.sku == *sku);
        let number = self.by_number.iter().find(|(_, gone)| holds(&gone.lines)).map(|(number, _)| *number)?;
        self.take(number)
    }

    /// Takes the first of this slot among the newest.
    pub fn take_in(&mut self, slot: Slot) -> Option<Gone> {
        let newest = self.by_number.iter().rev().take(NEWEST);
        let in_slot = newest.filter(|(_, gone)| Slot::of(gone.record.id.as_str()) == slot);
        let number = in_slot.map(|(number, _)| *number).next_back()?;
        self.take(number)
    }

    /// The number that the next one gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes those from this number on, in their order.
    pub fn take_from(&mut self, number: u64) -> Vec<Gone> {
        let taken = self.by_number.split_off(&number);
        for (number, gone) in &taken {
            self.by_id.remove(&(gone.record.id.clone(), *number));
        }
        taken.into_values().collect()
    }

    /// Takes the newest `count` of them, in their order.
    pub fn take_newest(&mut self, count: usize) -> Vec<Gone> {
        let mut newest: Vec<Gone> = std::iter::from_fn(|| self.take_last()).take(count).collect();
        newest.reverse();
        newest
    }

    /// Takes all, in their order.
    pub fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        std::mem::take(self).by_number.into_values()
    }

    fn number(&self, id: &ReservationId) -> Option<u64> {
        let (found, number) = self.by_id.range((id.clone(), 0)..).next()?;
        (found == id).then_some(*number)
    }

    fn take(&mut self, number: u64) -> Option<Gone> {
        let gone = self.by_number.remove(&number)?;
        let entry = (gone.record.id.clone(), number);
        self.by_id.remove(&entry);
        Some(gone)
    }
}

/// Reservations that expired or were evicted, and that are not settled yet.
///
/// **Invariant:** the lines of each are held (in [`Holds`](super::holds::Holds)). Who takes one out goes on to hold them until
/// it has settled them, or puts it back.
#[derive(Debug, Default)]
pub struct Pending {
    queue: GoneQueue,
    /// The number of the first that the unit of work at hand has added.
    fresh: Option<u64>,
}

impl Pending {
    /// Enters one whose lines are held.
    pub(super) fn enter(&mut self, gone: Gone) {
        self.fresh = self.fresh.or(Some(self.queue.next()));
        self.queue.push(gone);
    }

    /// Puts one back that could not be settled here.
    pub fn put_back(&mut self, gone: Gone) {
        self.queue.push(gone);
    }

    /// The first of an id.
    pub fn find(&self, id: &ReservationId) -> Option<&Gone> {
        self.queue.find(id)
    }

    /// All of them, in the order in which they went.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Gone> {
        self.queue.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes the next; of this slot alone, if one is named, and among the newest: those of the unit at hand.
    pub fn take(&mut self, slot: Option<Slot>) -> Option<Gone> {
        match slot {
            None => self.queue.take_first(),
            Some(slot) => self.queue.take_in(slot),
        }
    }

    /// Takes the first of an id.
    pub fn take_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.queue.take_of(id)
    }

    /// Takes the first that holds units of this sku.
    pub fn take_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        self.queue.take_of_sku(sku)
    }

    /// Takes those that the unit of work at hand has added.
    pub fn take_fresh(&mut self) -> Vec<Gone> {
        self.fresh.take().map(|first| self.queue.take_from(first)).unwrap_or_default()
    }

    /// Takes all.
    pub fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.fresh = None;
        self.queue.take_all()
    }
}

/// Reservations whose records other clients have deleted or overwritten, until it is known what is left of them.
///
/// **Invariant:** the lines of those that were not looked at are held (in [`Holds`](super::holds::Holds)), also of one that was
/// taken out to be looked at. Of the undecided ones nothing is held, so that they keep no other release from its units.
#[derive(Debug, Default)]
pub struct Removed {
    /// Not looked at yet.
    unseen: GoneQueue,
    /// Looked at while it was not known which units are another program's.
    undecided: GoneQueue,
    /// How many units of each sku those have.
    undecided_units: HashMap<Sku, i64>,
}

impl Removed {
    /// Enters one whose lines are held.
    pub(super) fn enter(&mut self, gone: Gone) {
        self.unseen.push(gone);
    }

    /// Puts one back: it is to be looked at when there is time.
    pub fn put_back(&mut self, gone: Gone) {
        self.unseen.push(gone);
    }

    /// Whether one waits to be looked at.
    pub(super) fn has_unseen(&self) -> bool {
        !self.unseen.is_empty()
    }

    /// Takes the last that was not looked at.
    pub fn take_last(&mut self) -> Option<Gone> {
        self.unseen.take_last()
    }

    /// Takes the newest that were not looked at.
    pub fn take_newest(&mut self) -> Vec<Gone> {
        self.unseen.take_newest(NEWEST)
    }

    /// Takes the first of an id that was not looked at.
    pub(super) fn take_unseen_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.unseen.take_of(id)
    }

    /// Takes all that were not looked at.
    pub(super) fn take_all_unseen(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.unseen.take_all()
    }

    /// One that was looked at cannot be decided yet.
    pub(super) fn leave_undecided(&mut self, gone: Gone) {
        self.count_undecided(&gone, 1);
        self.undecided.push(gone);
    }

    /// Whether one is undecided.
    pub(super) fn has_undecided(&self) -> bool {
        !self.undecided.is_empty()
    }

    /// How many units of a sku the undecided ones have.
    pub(super) fn undecided_units(&self, sku: &Sku) -> i64 {
        self.undecided_units.get(sku.as_str()).copied().unwrap_or_default()
    }

    /// Takes the first undecided one of an id.
    pub(super) fn take_undecided_of(&mut self, id: &ReservationId) -> Option<Gone> {
        let gone = self.undecided.take_of(id)?;
        self.count_undecided(&gone, -1);
        Some(gone)
    }

    /// Takes all that are undecided.
    pub(super) fn take_all_undecided(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.undecided_units.clear();
        self.undecided.take_all()
    }

    fn count_undecided(&mut self, gone: &Gone, sign: i64) {
        for line in &gone.lines {
            let units = self.undecided_units.entry(line.sku.clone()).or_default();
            *units = units.saturating_add(line.quantity.units().saturating_mul(sign));
        }
    }
}

/// Reservations whose records other clients have deleted or overwritten, with what is left of them: it is given back at the
/// deadline.
///
/// **Invariant:** one of an id at most, in both orders; its lines are held (in [`Holds`](super::holds::Holds)), also when it was
/// taken out, until they are settled.
#[derive(Debug, Default)]
pub struct Remembered {
    by_id: HashMap<ReservationId, Gone>,
    by_deadline: BTreeSet<(UnixMs, ReservationId)>,
}

impl Remembered {
    /// Enters one whose lines are held; there is no other of its id.
    pub(super) fn enter(&mut self, gone: Gone) {
        let id = gone.record.id.clone();
        self.by_deadline.insert((gone.deadline, id.clone()));
        self.by_id.insert(id, gone);
    }

    /// Takes the one of an id.
    pub fn take(&mut self, id: &ReservationId) -> Option<Gone> {
        let gone = self.by_id.remove(id)?;
        self.by_deadline.remove(&(gone.deadline, id.clone()));
        Some(gone)
    }

    /// Takes the one whose deadline passed first, if one has; of this slot alone, if one is named.
    pub fn take_due(&mut self, now: UnixMs, slot: Option<Slot>) -> Option<Gone> {
        let mut due = self.by_deadline.iter().take_while(|(deadline, _)| now > *deadline);
        let (_, id) = match slot {
            None => due.next(),
            Some(slot) => due.take(NEWEST).find(|(_, id)| Slot::of(id.as_str()) == slot),
        }?;
        let id = id.clone();
        self.take(&id)
    }

    /// The first deadline.
    pub(super) fn first_deadline(&self) -> Option<UnixMs> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Takes all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Gone> + use<> {
        self.by_deadline.clear();
        std::mem::take(&mut self.by_id).into_values()
    }
}

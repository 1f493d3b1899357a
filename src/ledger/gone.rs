//! Reservations that are gone and not settled, in the order in which they went, and found by their id: a script may let
//! thousands expire and ask for each of them. A part of what is kept in memory of a database.

use crate::inventory::cluster_slot::Slot;
use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::line::Line;
use crate::inventory::quantity::{Quantity, UnixMs};
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
    /// A RESERVE has looked at its id: no old outcome lies there, its time over.
    pub looked_at: bool,
}

impl Gone {
    /// A record that is gone; the ledger knows where it came from.
    pub fn new(record: Record, deadline: UnixMs) -> Self {
        Self { lines: record.items.clone(), record, deadline, looked_at: true }
    }
}

/// Units of one line of an expired reservation that could not be given back, because a counter is no integer, or would
/// overflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Of which reservation.
    pub id: ReservationId,
    /// How many.
    pub quantity: Quantity,
    /// The deadline that gave them back.
    pub deadline: UnixMs,
}

/// So many of the newest are looked through for those of one slot.
pub(super) const NEWEST: usize = 64;

/// See the module.
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

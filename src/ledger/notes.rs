//! Notes taken by event handlers, walks and loads. An event handler must not open keys, so it notes which keys to
//! examine later.
//!
//! **Invariant:** a note only says where to look. Whoever examines the key removes the note and relies only on the key.

use std::collections::{BTreeMap, VecDeque};

use super::gone::NEWEST;
use super::remains::steps;
use crate::inventory::cluster_slot::Slot;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Restored;
use crate::inventory::sku::{Product, ReservationId};

/// A key that an event named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A `reservation:` key.
    Reservation(ReservationId),
    /// A `stock:threshold:` key.
    Threshold(Product),
    /// An `alert:` key.
    Alert(Product, UnixMs),
    /// `inventory:managed`.
    Managed,
}

impl Touched {
    /// The slot of the key, or `None` if commands do not name the key.
    fn slot(&self) -> Option<Slot> {
        match self {
            Touched::Reservation(id) => Some(Slot::of(id.as_str())),
            Touched::Threshold(product) | Touched::Alert(product, _) => Some(Slot::of(product.as_str())),
            Touched::Managed => None,
        }
    }
}

/// All notes of a database.
#[derive(Debug, Default)]
pub struct Notes {
    touched: VecDeque<Touched>,
    /// Keys that a walk met and that are not urgent.
    pub to_learn: Vec<Touched>,
    /// Due records that a load has dropped. Replicas and the AOF still have them, so their deletion must be replicated.
    pub dropped: Vec<ReservationId>,
    /// Records that another client has put back, and which are not marked as restored yet.
    restored: VecDeque<(ReservationId, Restored)>,
    /// The same for records whose slots are moving, by slot. None of the lists is empty.
    restored_in_moving_slots: BTreeMap<Slot, VecDeque<(ReservationId, Restored)>>,
}

impl Notes {
    /// Notes a key that an event named.
    pub fn touch(&mut self, key: Touched) {
        // Several events on one key in a row need only one note.
        if self.touched.back() != Some(&key) {
            self.touched.push_back(key);
        }
    }

    /// Takes the oldest note of a touched key. If a slot is given, takes the oldest of that slot among the newest
    /// notes, which are those of the current unit of work.
    pub fn take_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        if slot.is_none() { self.touched.pop_front() } else { self.take_latest_touched(slot) }
    }

    /// The same, but without a slot the newest note is taken.
    pub fn take_latest_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        let Some(slot) = slot else { return self.touched.pop_back() };
        let newest = self.touched.iter().enumerate().rev().take(NEWEST);
        let mut in_slot = newest.filter(|(_, touched)| touched.slot() == Some(slot));
        let at = in_slot.next_back().map(|(at, _)| at)?;
        self.touched.remove(at)
    }

    /// The number of notes of touched keys.
    pub(super) fn touched_count(&self) -> usize {
        self.touched.len()
    }

    /// Whether there are notes of touched keys.
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Whether there are notes of touched keys in this slot. If there are too many notes to search, the answer is yes.
    pub fn has_touched_in(&self, slot: Slot) -> bool {
        const MOST: usize = 4096;
        self.touched.len() > MOST || self.touched.iter().any(|touched| touched.slot() == Some(slot))
    }

    /// Notes that another client has put this record back, so that it is marked as restored.
    pub fn note_restored(&mut self, id: &ReservationId, how: Restored) {
        self.restored.push_back((id.clone(), how));
    }

    /// Takes the first record to mark as restored.
    pub(super) fn take_restored(&mut self) -> Option<(ReservationId, Restored)> {
        self.restored.pop_front()
    }

    /// Postpones a record whose slot is moving.
    pub fn mark_later(&mut self, id: ReservationId, how: Restored) {
        self.restored_in_moving_slots.entry(Slot::of(id.as_str())).or_default().push_back((id, how));
    }

    /// One postponed record of each slot that has any.
    pub(super) fn postponed(&self) -> impl Iterator<Item = &ReservationId> {
        self.restored_in_moving_slots.values().filter_map(|records| records.front()).map(|(id, _)| id)
    }

    /// Lets the postponed records of this slot be marked.
    pub(super) fn try_again(&mut self, slot: Slot) {
        self.restored.extend(self.restored_in_moving_slots.remove(&slot).unwrap_or_default());
    }

    /// Whether there are records to mark as restored.
    pub(super) fn has_restored(&self) -> bool {
        !(self.restored.is_empty() && self.restored_in_moving_slots.is_empty())
    }

    /// Drops the notes, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { touched, to_learn, dropped, restored, restored_in_moving_slots } = self;
        let keys = steps(touched).chain(steps(to_learn)).chain(steps(dropped));
        keys.chain(steps(restored)).chain(steps(restored_in_moving_slots))
    }

    /// Forgets the records to mark as restored, because only a master marks them.
    pub(super) fn forget_restored(&mut self) {
        self.restored.clear();
        self.restored_in_moving_slots.clear();
    }
}

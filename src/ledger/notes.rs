//! What events, walks and loads have told of, to be looked at when looking is allowed: an event handler must not open keys.
//!
//! **Invariant:** a note only says where to look. It is taken out by who looks, and what the key says then counts.

use std::collections::VecDeque;

use super::gone::NEWEST;
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
    /// The slot of the key; `None` of one that no command names.
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
    /// Keys that a walk met, and that nothing waits for.
    pub to_learn: Vec<Touched>,
    /// Records that a load has dropped because they were due: the copies still have them, and are to be told.
    pub dropped: Vec<ReservationId>,
    /// Records that another client has put back, and that do not say so yet.
    restored: Vec<(ReservationId, Restored)>,
    /// Those whose slots are being moved.
    restored_in_moving_slots: Vec<(ReservationId, Restored)>,
}

impl Notes {
    /// An event named this key.
    pub fn touch(&mut self, key: Touched) {
        // A burst of events on one key is one look.
        if self.touched.back() != Some(&key) {
            self.touched.push_back(key);
        }
    }

    /// The next key that an event named and that was not looked at; of this slot alone, if one is named, and among the
    /// newest: those of the unit at hand.
    pub fn take_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        if slot.is_none() { self.touched.pop_front() } else { self.take_latest_touched(slot) }
    }

    /// The same, but without a slot the latest first.
    pub fn take_latest_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        let Some(slot) = slot else { return self.touched.pop_back() };
        let newest = self.touched.iter().enumerate().rev().take(NEWEST);
        let mut in_slot = newest.filter(|(_, touched)| touched.slot() == Some(slot));
        let at = in_slot.next_back().map(|(at, _)| at)?;
        self.touched.remove(at)
    }

    /// Whether a key was named and not looked at.
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Whether keys of this slot were named and not looked at; also if there are too many notes to look through.
    pub fn has_touched_in(&self, slot: Slot) -> bool {
        const MOST: usize = 4096;
        self.touched.len() > MOST || self.touched.iter().any(|touched| touched.slot() == Some(slot))
    }

    /// Another client has put this record back; the record is to say so.
    pub fn note_restored(&mut self, id: &ReservationId, how: Restored) {
        self.restored.push((id.clone(), how));
    }

    /// Takes the records that are to say that they came back.
    pub(super) fn take_restored(&mut self) -> Vec<(ReservationId, Restored)> {
        std::mem::take(&mut self.restored)
    }

    /// These cannot be written yet: their slots are being moved.
    pub fn mark_later(&mut self, records: Vec<(ReservationId, Restored)>) {
        self.restored_in_moving_slots.extend(records);
    }

    /// Those are tried again.
    pub(super) fn try_moving_slots_again(&mut self) {
        self.restored.append(&mut self.restored_in_moving_slots);
    }

    /// Whether a record is to say that it came back.
    pub(super) fn has_restored(&self) -> bool {
        !(self.restored.is_empty() && self.restored_in_moving_slots.is_empty())
    }

    /// Only a master writes into records that they came back.
    pub(super) fn forget_restored(&mut self) {
        self.restored.clear();
        self.restored_in_moving_slots.clear();
    }
}

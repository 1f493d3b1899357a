//! Reservations that wait for their slot to become stable. Outside a cluster, only keys that could not be read yet.

use crate::inventory::cluster_slot::Slot;
use std::collections::BTreeMap;

use super::gone::Gone;
use super::remains::steps;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::ReservationId;

/// A waiting reservation, and the reason why it waits.
#[derive(Debug)]
pub enum Waits {
    /// A live reservation that is due and must not be opened yet.
    Parked(ReservationId),
    /// Another client has created the key, and it read as absent at this moment: it was deleted again, or is already
    /// due.
    Unread(ReservationId, UnixMs),
    /// A reservation that ended or was deleted while this node did not serve its slot. Most likely the node that served
    /// it has returned the units. If no node served it, they still have to be returned. Its lines are not held.
    Orphan(Box<Gone>),
}

impl Waits {
    /// The id of the reservation.
    pub fn id(&self) -> &ReservationId {
        match self {
            Waits::Parked(id) | Waits::Unread(id, _) => id,
            Waits::Orphan(gone) => &gone.record.id,
        }
    }
}

/// The number of slots that are tested at once.
const SLOTS_A_TURN: usize = 512;

/// All waiting reservations, by slot.
///
/// **Invariant:** the lines of an orphan are not held. A parked reservation is live, or has left without an event.
#[derive(Debug, Default)]
pub struct Waiting {
    /// None of the lists is empty.
    by_slot: BTreeMap<Slot, Vec<Waits>>,
    /// The slot at which the next turn starts.
    next: Slot,
}

impl Waiting {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Adds an entry.
    pub fn enter(&mut self, what: Waits) {
        self.by_slot.entry(Slot::of(what.id().as_str())).or_default().push(what);
    }

    /// Returns the next slots in which something waits. Successive calls visit all slots in turn.
    pub fn turn(&mut self) -> Vec<Slot> {
        if self.by_slot.is_empty() {
            return Vec::new();
        }
        let slots: Vec<Slot> =
            self.by_slot.range(self.next..).map(|(slot, _)| *slot).take(SLOTS_A_TURN).collect();
        let is_last = slots.len() < SLOTS_A_TURN;
        self.next = slots.last().filter(|_| !is_last).copied().unwrap_or_default();
        slots
    }

    /// The last entry of a slot.
    pub fn last(&self, slot: Slot) -> Option<&Waits> {
        self.by_slot.get(&slot)?.last()
    }

    /// Takes the last entry of a slot.
    pub fn take(&mut self, slot: Slot) -> Option<Waits> {
        let waiting = self.by_slot.get_mut(&slot)?;
        let last = waiting.pop();
        if waiting.is_empty() {
            self.by_slot.remove(&slot);
        }
        last
    }

    /// Drops the entries, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        self.by_slot.into_values().flat_map(steps)
    }

    /// Forgets everything except live reservations.
    pub fn forget_all_but_parked(&mut self) {
        self.by_slot.retain(|_, waiting| {
            waiting.retain(|waits| matches!(waits, Waits::Parked(_)));
            !waiting.is_empty()
        });
    }
}

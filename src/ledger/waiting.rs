//! What waits for its slot to be stable, in a cluster; elsewhere only what nobody could read yet.

use crate::inventory::cluster_slot::Slot;
use std::collections::BTreeMap;

use super::gone::Gone;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::ReservationId;

/// Why something waits.
#[derive(Debug)]
pub enum Waits {
    /// A live reservation that is due: it is not to be opened yet.
    Parked(ReservationId),
    /// It appeared by another hand, and read as absent at this moment: it is gone again, or due already.
    Unread(ReservationId, UnixMs),
    /// It was due, and ended or was deleted where another node had its slot, which has given its units back, most likely; or
    /// it was deleted before no node had it. They are not held.
    Orphan(Box<Gone>),
}

impl Waits {
    /// Of which reservation.
    pub fn id(&self) -> &ReservationId {
        match self {
            Waits::Parked(id) | Waits::Unread(id, _) => id,
            Waits::Orphan(gone) => &gone.record.id,
        }
    }
}

/// In how many slots it is asked at once whether what waits can go on.
const SLOTS_A_TURN: usize = 512;

/// All that waits, by slot.
///
/// **Invariant:** nothing of an orphan is held; what is parked is live, or has left without a word.
#[derive(Debug, Default)]
pub struct Waiting {
    /// None is empty.
    by_slot: BTreeMap<Slot, Vec<Waits>>,
    /// The slot that comes next.
    next: Slot,
}

impl Waiting {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// It waits.
    pub fn enter(&mut self, what: Waits) {
        self.by_slot.entry(Slot::of(what.id().as_str())).or_default().push(what);
    }

    /// Some slots in which something waits; in turn, so that each comes by.
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

    /// The last one that waits in a slot.
    pub fn last(&self, slot: Slot) -> Option<&Waits> {
        self.by_slot.get(&slot)?.last()
    }

    /// Takes it.
    pub fn take(&mut self, slot: Slot) -> Option<Waits> {
        let waiting = self.by_slot.get_mut(&slot)?;
        let last = waiting.pop();
        if waiting.is_empty() {
            self.by_slot.remove(&slot);
        }
        last
    }

    /// Forgets all but live reservations.
    pub fn forget_all_but_parked(&mut self) {
        self.by_slot.retain(|_, waiting| {
            waiting.retain(|waits| matches!(waits, Waits::Parked(_)));
            !waiting.is_empty()
        });
    }
}

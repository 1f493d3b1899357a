//! Units of expired reservations that could not be given back, because a counter is no integer, or would overflow.
//!
//! **Invariant:** they are held (in [`Holds`](super::holds::Holds)) until they are given back, so what enters or leaves does so
//! through the [`Ledger`](super::Ledger).

use std::collections::BTreeMap;

use crate::inventory::quantity::{Quantity, UnixMs};
use crate::inventory::sku::{ReservationId, Sku};

/// Units of one line of such a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Of which reservation.
    pub id: ReservationId,
    /// How many.
    pub quantity: Quantity,
    /// The deadline that gave them back.
    pub deadline: UnixMs,
}

/// All such lines of a database, by sku. None of the lists is empty.
#[derive(Debug, Default)]
pub struct BlockedLines(BTreeMap<Sku, Vec<Blocked>>);

impl BlockedLines {
    /// Enters one. Says whether it is the first of its sku.
    pub(super) fn enter(&mut self, sku: &Sku, blocked: Blocked) -> bool {
        let waiting = self.0.entry(sku.clone()).or_default();
        waiting.push(blocked);
        waiting.len() == 1
    }

    /// Takes one of those of a sku.
    pub(super) fn take(&mut self, sku: &Sku) -> Option<Blocked> {
        let waiting = self.0.get_mut(sku.as_str())?;
        let blocked = waiting.pop();
        if waiting.is_empty() {
            self.0.remove(sku.as_str());
        }
        blocked
    }

    /// Takes all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (Sku, Blocked)> + use<> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.flat_map(|(sku, waiting)| waiting.into_iter().map(move |blocked| (sku.clone(), blocked)))
    }

    /// The skus of which something could not be given back.
    pub fn skus(&self) -> Vec<Sku> {
        self.0.keys().cloned().collect()
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).fold(0, usize::saturating_add)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

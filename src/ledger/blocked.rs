//! Units of expired reservations, and units that no reservation holds, that could not be returned because a counter is not an
//! integer or would overflow.
//!
//! **Invariant:** these units are held (in [`Holds`](super::holds::Holds)) until they are returned. So entries are
//! added and removed only through the [`Ledger`](super::Ledger).

use std::collections::BTreeMap;

use super::remains::steps;
use crate::inventory::quantity::{Quantity, UnixMs};
use crate::inventory::sku::{ReservationId, Sku};

/// Blocked units of one sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The number of units.
    pub quantity: Quantity,
    /// The reservation that held them, and its deadline. `None` if a repair found that no reservation holds them.
    pub of: Option<(ReservationId, UnixMs)>,
}

/// All blocked lines of a database, by sku. None of the lists is empty.
#[derive(Debug, Default)]
pub struct BlockedLines(BTreeMap<Sku, Vec<Blocked>>);

impl BlockedLines {
    /// Adds a line. Returns whether it is the first of its sku.
    pub(super) fn enter(&mut self, sku: &Sku, blocked: Blocked) -> bool {
        let waiting = self.0.entry(sku.clone()).or_default();
        waiting.push(blocked);
        waiting.len() == 1
    }

    /// Takes one line of a sku.
    pub(super) fn take(&mut self, sku: &Sku) -> Option<Blocked> {
        let waiting = self.0.get_mut(sku.as_str())?;
        let blocked = waiting.pop();
        if waiting.is_empty() {
            self.0.remove(sku.as_str());
        }
        blocked
    }

    /// Takes all lines.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (Sku, Blocked)> + use<> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.flat_map(|(sku, waiting)| waiting.into_iter().map(move |blocked| (sku.clone(), blocked)))
    }

    /// Drops the lines, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        self.0.into_values().flat_map(steps)
    }

    /// The skus that have blocked lines.
    pub fn skus(&self) -> Vec<Sku> {
        self.0.keys().cloned().collect()
    }

    /// The number of blocked lines.
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).fold(0, usize::saturating_add)
    }

    /// Whether there are no blocked lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

//! The skus that may have a floor. For the others, RESERVE does not read the key of the floor.

use std::collections::HashSet;

use crate::inventory::sku::Sku;

/// The skus for which a key `stock:floor:{sku}` may exist. Every event that can create such a key enters its sku. Only
/// the command that deletes the key removes it.
#[derive(Debug, Default)]
pub struct Floors {
    skus: HashSet<Sku>,
}

impl Floors {
    /// Enters a sku whose key was seen or written.
    pub fn enter(&mut self, sku: Sku) {
        self.skus.insert(sku);
    }

    /// Removes a sku whose key the module has just deleted.
    pub fn leave(&mut self, sku: &Sku) {
        self.skus.remove(sku);
    }

    /// Whether there may be a key for this sku.
    pub fn may_have(&self, sku: &Sku) -> bool {
        !self.skus.is_empty() && self.skus.contains(sku)
    }

    /// Whether there can be no such key.
    pub fn is_empty(&self) -> bool {
        self.skus.is_empty()
    }
}

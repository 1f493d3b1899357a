//! Reserved counters beside what is held: which are to be compared, and which were found not to agree.
//!
//! **Invariant:** a sku drifts here only if it did when its counter was last compared. What was not compared since the last
//! walk is not known to agree either.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::inventory::sku::Sku;

/// What is known of the reserved counters of a database.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Skus whose reserved counter a walk has met, and that were not compared since.
    to_check: Vec<Sku>,
    is_under_way: bool,
    /// Since the last walk not every reserved counter has been compared: which of them drift is not known.
    pub(super) is_incomplete: bool,
    /// Skus whose reserved counter another client has written meanwhile.
    pub(super) written_while_incomplete: HashSet<Sku>,
    /// Skus whose reserved counter was found not to be what is held, with the difference.
    drifting: HashMap<Sku, i64>,
    /// Skus whose reserved counter another client has written in the unit of work at hand, or while it could not be compared.
    written: BTreeSet<Sku>,
    /// Those whose slots are being moved.
    written_in_moving_slots: Vec<Sku>,
}

impl Comparison {
    /// A walk over the keys begins: it will meet all reserved counters.
    pub(super) fn begin(&mut self) {
        self.to_check.clear();
        self.is_under_way = true;
        self.forget_found();
    }

    /// The walk met a reserved counter.
    pub fn meet(&mut self, sku: Sku) {
        self.to_check.push(sku);
    }

    /// Nothing is to be compared: these counters are not named as the module names them now.
    pub fn call_off(&mut self) {
        self.to_check.clear();
        self.is_under_way = false;
        self.is_incomplete = false;
    }

    /// The next sku to compare.
    pub fn take_next(&mut self) -> Option<Sku> {
        self.to_check.pop()
    }

    /// They cannot be compared now: after all others.
    pub fn check_later(&mut self, mut skus: Vec<Sku>) {
        skus.append(&mut self.to_check);
        self.to_check = skus;
    }

    /// Every counter was compared whose slot is not being moved.
    pub fn compared_all_stable(&mut self) {
        self.is_incomplete = false;
    }

    /// Every counter was compared.
    pub(super) fn end(&mut self) {
        self.is_under_way = false;
    }

    /// Whether the comparison of what the last walk met is not done.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// The reserved counter of `sku` is `drift` units more than what is held; negative: less.
    pub fn set_drift(&mut self, sku: &Sku, drift: i64) {
        if drift == 0 {
            self.drifting.remove(sku.as_str());
        } else {
            self.drifting.insert(sku.clone(), drift);
        }
    }

    /// Whether the reserved counter of `sku` was found to be more than what is held.
    pub(super) fn has_more_than_held(&self, sku: &Sku) -> bool {
        self.drifting.get(sku.as_str()).is_some_and(|drift| *drift > 0)
    }

    /// Whether a reserved counter was found not to be what is held.
    pub(super) fn has_drift(&self) -> bool {
        !self.drifting.is_empty()
    }

    /// Another client has written this reserved counter.
    pub(super) fn note_written(&mut self, sku: Sku) {
        // A burst of writes to one counter is compared once.
        self.written.insert(sku);
    }

    /// Whether another client has written a reserved counter, and nobody has looked at it since.
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether another client has written this reserved counter, and nobody has looked at it since.
    pub fn is_written(&self, sku: &Sku) -> bool {
        self.written.contains(sku.as_str())
    }

    /// Takes the reserved counters that other clients have written.
    pub(super) fn take_written(&mut self) -> Vec<Sku> {
        std::mem::take(&mut self.written).into_iter().collect()
    }

    /// These cannot be compared yet: their slots are being moved.
    pub fn compare_later(&mut self, skus: Vec<Sku>) {
        self.written_in_moving_slots.extend(skus);
    }

    /// Those are tried again.
    pub(super) fn try_moving_slots_again(&mut self) {
        self.written.extend(self.written_in_moving_slots.drain(..));
    }

    /// Whether a counter that another client has written waits, to be compared or for the end of the comparison.
    pub(super) fn has_written_anywhere(&self) -> bool {
        !(self.written.is_empty()
            && self.written_in_moving_slots.is_empty()
            && self.written_while_incomplete.is_empty())
    }

    /// Forgets what was written: the role has changed.
    pub(super) fn forget_written(&mut self) {
        self.written.clear();
        self.written_in_moving_slots.clear();
    }

    /// Forgets what was found: what other programs hold is known when the next walk is over.
    pub(super) fn forget_found(&mut self) {
        self.is_incomplete = true;
        self.written_while_incomplete.clear();
        self.drifting.clear();
    }
}

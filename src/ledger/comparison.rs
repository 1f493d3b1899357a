//! The comparison of reserved counters with what is held: which counters still have to be compared, and which differ.
//!
//! **Invariant:** a sku is listed as drifting only if its counter differed when it was last compared. A counter that
//! has not been compared since the last walk is not known to agree.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::ops::Bound;

use super::remains::steps;
use crate::inventory::cluster_slot::Slot;
use crate::inventory::sku::Sku;

/// What is known about the reserved counters of a database.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The skus whose reserved counter a walk has met, and which have not been compared since.
    to_check: VecDeque<Sku>,
    is_under_way: bool,
    /// Whether some reserved counters have not been compared since the last walk, so that not all drifting skus are
    /// known.
    pub(super) is_incomplete: bool,
    /// The skus whose reserved counter another client has written while the comparison was incomplete, or together with
    /// more records than could be examined at once.
    pub(super) written_while_incomplete: HashSet<Sku>,
    /// The skus whose reserved counter differs from what is held, with the difference.
    drifting: BTreeMap<Sku, i64>,
    /// The sum of these differences without their signs. The type is exact for any number of skus.
    drifting_units: u128,
    /// The skus whose reserved counter another client has written in the current unit of work, or while it could not be
    /// compared.
    written: BTreeSet<Sku>,
    /// The same for skus whose slots are moving, by slot. None of the sets is empty.
    written_in_moving_slots: BTreeMap<Slot, BTreeSet<Sku>>,
}

impl Comparison {
    /// Starts a comparison. The walk over the keys will meet all reserved counters.
    pub(super) fn begin(&mut self) {
        self.to_check.clear();
        self.is_under_way = true;
        self.forget_found();
    }

    /// Adds a sku whose reserved counter the walk has met.
    pub fn meet(&mut self, sku: Sku) {
        self.to_check.push_back(sku);
    }

    /// Cancels the comparison, because the counters are named in another key style than the module uses now.
    pub fn call_off(&mut self) {
        self.to_check.clear();
        self.is_under_way = false;
        self.is_incomplete = false;
    }

    /// Takes the next sku to compare.
    pub fn take_next(&mut self) -> Option<Sku> {
        self.to_check.pop_back()
    }

    /// Puts skus that cannot be compared now at the end of the list.
    pub fn check_later(&mut self, skus: Vec<Sku>) {
        for sku in skus {
            self.to_check.push_front(sku);
        }
    }

    /// Records that every counter was compared, except those whose slots are moving.
    pub fn compared_all_stable(&mut self) {
        self.is_incomplete = false;
    }

    /// Records that every counter was compared.
    pub(super) fn end(&mut self) {
        self.is_under_way = false;
    }

    /// Whether the comparison since the last walk is still in progress.
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// Records that the reserved counter of `sku` is `drift` units above what is held. Negative: below.
    pub fn set_drift(&mut self, sku: &Sku, drift: i64) {
        let before = if drift == 0 {
            self.drifting.remove(sku.as_str())
        } else {
            self.drifting.insert(sku.clone(), drift)
        };
        let units = |drift: i64| u128::from(drift.unsigned_abs());
        self.drifting_units =
            self.drifting_units.saturating_sub(before.map_or(0, units)).saturating_add(units(drift));
    }

    /// Whether the reserved counter of `sku` was found to be above what is held.
    pub(super) fn has_more_than_held(&self, sku: &Sku) -> bool {
        self.drifting.get(sku.as_str()).is_some_and(|drift| *drift > 0)
    }

    /// By how much the reserved counter of `sku` was found to be above what is held; 0 if it was not found to differ.
    pub fn drift_of(&self, sku: &Sku) -> i64 {
        self.drifting.get(sku.as_str()).copied().unwrap_or_default()
    }

    /// The skus whose reserved counter was found to differ from what is held, in order.
    pub fn drifting(&self) -> impl ExactSizeIterator<Item = &Sku> {
        self.drifting.keys()
    }

    /// The first of these skus after `position`.
    pub fn drifting_after(&self, position: Option<&Sku>) -> Option<&Sku> {
        let from = position.map_or(Bound::Unbounded, |sku| Bound::Excluded(sku.as_str()));
        self.drifting.range::<str, _>((from, Bound::Unbounded)).next().map(|(sku, _)| sku)
    }

    /// The number of units by which all these counters differ, above or below.
    pub fn drifting_units(&self) -> i64 {
        i64::try_from(self.drifting_units).unwrap_or(i64::MAX)
    }

    /// Whether any reserved counter was found to differ from what is held.
    pub(super) fn has_drift(&self) -> bool {
        !self.drifting.is_empty()
    }

    /// Records that another client has written this reserved counter.
    pub(super) fn note_written(&mut self, sku: Sku) {
        // Many writes to one counter need only one comparison.
        self.written.insert(sku);
    }

    /// Whether another client has written a reserved counter that has not been compared since.
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether another client has written this reserved counter, and it has not been compared since.
    pub fn is_written(&self, sku: &Sku) -> bool {
        self.written.contains(sku.as_str())
    }

    /// Takes the skus whose reserved counter another client has written.
    pub(super) fn take_written(&mut self) -> Vec<Sku> {
        std::mem::take(&mut self.written).into_iter().collect()
    }

    /// Postpones a sku whose slot is moving.
    pub fn compare_later(&mut self, sku: Sku) {
        self.written_in_moving_slots.entry(Slot::of(sku.product())).or_default().insert(sku);
    }

    /// One postponed sku of each slot that has any.
    pub(super) fn postponed(&self) -> impl Iterator<Item = &Sku> {
        self.written_in_moving_slots.values().filter_map(BTreeSet::first)
    }

    /// Lets the postponed skus of this slot be compared.
    pub(super) fn try_again(&mut self, slot: Slot) {
        self.written.extend(self.written_in_moving_slots.remove(&slot).unwrap_or_default());
    }

    /// Treats the units of all skus that were written and not compared since as if they might belong to another
    /// program, until everything deleted so far has been remembered.
    pub fn doubt_written(&mut self) {
        self.written_while_incomplete.extend(self.written.iter().cloned());
    }

    /// Whether a counter that another client has written still has to be compared, or waits for the end of the
    /// comparison.
    pub(super) fn has_written_anywhere(&self) -> bool {
        !(self.written.is_empty()
            && self.written_in_moving_slots.is_empty()
            && self.written_while_incomplete.is_empty())
    }

    /// Forgets what other clients have written, because the role of this server has changed.
    pub(super) fn forget_written(&mut self) {
        self.written.clear();
        self.written_in_moving_slots.clear();
    }

    /// Drops the lists, one entry in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { to_check, written_while_incomplete, drifting, written, written_in_moving_slots, .. } =
            self;
        let found = steps(to_check).chain(steps(drifting));
        let all_written = steps(written_while_incomplete).chain(steps(written));
        found.chain(all_written).chain(steps(written_in_moving_slots))
    }

    /// Forgets the results. What other programs hold is unknown until the next walk and its comparison are complete.
    pub(super) fn forget_found(&mut self) {
        self.is_incomplete = true;
        self.written_while_incomplete.clear();
        self.drifting.clear();
        self.drifting_units = 0;
    }
}

//! Counts for the operator, since the module was loaded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::engine::keyspace::Tally;

/// All counts.
#[derive(Debug, Default)]
pub struct Totals {
    /// Reservations made.
    pub reserved: Cell<i64>,
    /// Reservations committed.
    pub committed: Cell<i64>,
    /// Reservations committed after their deadline.
    pub late_commits: Cell<i64>,
    /// Units that a repair moved back to available.
    pub repaired_units: Cell<i64>,
    /// Counters that the server evicted.
    pub evicted_counters: Cell<i64>,
    /// Reservations rolled back.
    pub rolled_back: Cell<i64>,
    /// Reservations released at their deadline.
    pub expired: Cell<i64>,
    /// Reservations replaced by another one.
    pub replaced: Cell<i64>,
    /// Alerts raised.
    pub alerts: Cell<i64>,
    /// Alerts suppressed by the cooldown.
    pub alerts_held_back: Cell<i64>,
    /// Panics caught, each a fault of the module.
    pub panics: Cell<i64>,
    /// Reserved units that could not be accounted for.
    pub unexplained_units: Cell<i64>,
    /// Entries that could not be appended to the feed.
    pub feed_errors: Cell<i64>,
    /// The delay of the last release, ms.
    pub lag_ms: Cell<i64>,
    /// The longest delay of a release, ms.
    pub lag_max_ms: Cell<i64>,
    /// Refusals by code.
    pub refused: RefCell<BTreeMap<&'static str, i64>>,
}

impl Totals {
    /// Adds to a total.
    pub fn add(&self, what: Tally, by: i64) {
        let total = match what {
            Tally::Reserved => &self.reserved,
            Tally::Committed => &self.committed,
            Tally::LateCommits => &self.late_commits,
            Tally::RepairedUnits => &self.repaired_units,
            Tally::RolledBack => &self.rolled_back,
            Tally::Replaced => &self.replaced,
            Tally::Expired => &self.expired,
            Tally::Alerts => &self.alerts,
            Tally::AlertsHeldBack => &self.alerts_held_back,
            Tally::UnexplainedUnits => &self.unexplained_units,
            Tally::FeedErrors => &self.feed_errors,
        };
        increase(total, by);
    }

    /// Notes the delay of a release.
    pub fn lag(&self, late_ms: i64) {
        self.lag_ms.set(late_ms);
        self.lag_max_ms.set(self.lag_max_ms.get().max(late_ms));
    }

    /// Counts a refusal by its code.
    pub fn refuse(&self, code: &'static str) {
        let mut refused = self.refused.borrow_mut();
        let count = refused.entry(code).or_default();
        *count = count.saturating_add(1);
    }
}

/// Adds to a total. It saturates, because a total that wraps around would be misleading.
pub fn increase(total: &Cell<i64>, by: i64) {
    total.set(total.get().saturating_add(by));
}

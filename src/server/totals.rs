//! Numbers for the operator, since the module was loaded.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::engine::keyspace::Tally;

/// All of them.
#[derive(Debug, Default)]
pub struct Totals {
    /// Reservations made.
    pub reserved: Cell<i64>,
    /// Reservations sold.
    pub committed: Cell<i64>,
    /// Reservations sold after their deadline.
    pub late_commits: Cell<i64>,
    /// Units that the repair gave back.
    pub repaired_units: Cell<i64>,
    /// Counters of ours that were evicted.
    pub evicted_counters: Cell<i64>,
    /// Reservations given back by a command.
    pub rolled_back: Cell<i64>,
    /// Reservations given back by their deadline.
    pub expired: Cell<i64>,
    /// Alerts raised.
    pub alerts: Cell<i64>,
    /// Alerts held back by the cooldown.
    pub alerts_held_back: Cell<i64>,
    /// Panics that were caught: faults of the module.
    pub panics: Cell<i64>,
    /// Units that a release did not find.
    pub unexplained_units: Cell<i64>,
    /// Entries that could not be appended to the feed.
    pub feed_errors: Cell<i64>,
    /// How late the last release was, ms.
    pub lag_ms: Cell<i64>,
    /// How late the latest release was, ms.
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
            Tally::Expired => &self.expired,
            Tally::Alerts => &self.alerts,
            Tally::AlertsHeldBack => &self.alerts_held_back,
            Tally::UnexplainedUnits => &self.unexplained_units,
            Tally::FeedErrors => &self.feed_errors,
        };
        increase(total, by);
    }

    /// Notes how late a release was.
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

/// Adds to a total: a sum that wraps around would be a lie.
pub fn increase(total: &Cell<i64>, by: i64) {
    total.set(total.get().saturating_add(by));
}

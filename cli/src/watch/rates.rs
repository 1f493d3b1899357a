//! How much happens a second.

use std::collections::VecDeque;

use crate::watch::reading::Totals;

/// Rates are averaged over the last five seconds.
const RATES_MS: i64 = 5_000;

/// Totals at several times within the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    samples: VecDeque<(i64, Totals)>,
}

impl Counts {
    pub(super) fn add(&mut self, at: i64, totals: Totals) {
        self.samples.push_back((at, totals));
        // The first sample is the base of the rate.
        while self.samples.get(1).is_some_and(|(second, _)| at - second >= RATES_MS) {
            self.samples.pop_front();
        }
    }

    /// Tenths of events per second.
    pub(super) fn rate(&self, count: impl Fn(&Totals) -> u64) -> Option<u64> {
        let ((from, first), (to, last)) = (self.samples.front()?, self.samples.back()?);
        let ms = u64::try_from(to - from).ok().filter(|ms| *ms > 0)?;
        Some(count(last).saturating_sub(count(first)).saturating_mul(10_000) / ms)
    }
}

/// Tenths of events per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Reservations made.
    pub reserved: u64,
    /// Sold.
    pub committed: u64,
    /// Returned by a command.
    pub rolled_back: u64,
    /// Returned at their deadline.
    pub expired: u64,
    /// Refused because there was not enough stock; the feed does not have this.
    pub short: Option<u64>,
    /// There were more changes than were read.
    pub are_at_least: bool,
}

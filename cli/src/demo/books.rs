//! What the shop writes down.

use std::sync::atomic::{AtomicI64, Ordering};

/// The shop's records.
#[derive(Default)]
pub struct Books {
    pub taken: Counter,
    pub sold: Counter,
    pub given_back: Counter,
    pub too_late: Counter,
    /// Shoppers who took a unit and disappeared.
    pub vanished: Counter,
    pub left_without: Counter,
}

impl Books {
    /// The counters that change when a unit is taken or returned.
    pub fn moves(&self) -> [i64; 4] {
        [&self.taken, &self.sold, &self.given_back, &self.vanished].map(Counter::count)
    }
}

/// A counter that many threads increment.
#[derive(Default)]
pub struct Counter(AtomicI64);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    pub fn add_if(&self, is_so: bool) {
        if is_so {
            self.add();
        }
    }

    pub fn count(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

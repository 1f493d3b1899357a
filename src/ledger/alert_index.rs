//! The index of stored alerts, by time: for all products and for each, for all types and for each.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::remains::steps;
use crate::inventory::alert::AlertType;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::Product;

/// The stored alerts of a database.
///
/// **Invariant:** each alert is in the order of all alerts and in that of its product, under the same type.
#[derive(Debug, Default)]
pub struct AlertIndex {
    /// Every entry has a product. A search key without one sorts before all entries of its millisecond.
    all: ByType<(UnixMs, Option<Product>)>,
    of_product: HashMap<Product, OfProduct>,
    /// The time of the last alert of each product and type, for the cooldown.
    last: BTreeMap<(Product, AlertType), UnixMs>,
    /// The same, by time.
    last_by_time: BTreeSet<(UnixMs, Product, AlertType)>,
}

/// The number of old entries that are forgotten at once. Each alert adds at most one, so the old ones become fewer.
const FORGOTTEN_AT_ONCE: usize = 4;

impl AlertIndex {
    /// Enters an alert. `kind` is `None` if its key has not been read yet.
    pub fn enter(&mut self, product: &Product, at: UnixMs, kind: Option<AlertType>) {
        self.leave(product, at);
        self.all.of(kind).insert((at, Some(product.clone())));
        self.of_product.entry(product.clone()).or_default().alerts.of(kind).insert(at);
        if let Some(kind) = kind {
            self.enter_last(product, kind, at);
        }
    }

    fn enter_last(&mut self, product: &Product, kind: AlertType, at: UnixMs) {
        let before = self.last(product, kind);
        if before.is_none_or(|before| before < at) {
            if let Some(before) = before {
                self.last_by_time.remove(&(before, product.clone(), kind));
            }
            self.last.insert((product.clone(), kind), at);
            self.last_by_time.insert((at, product.clone(), kind));
        }
    }

    /// Removes an alert.
    pub fn leave(&mut self, product: &Product, at: UnixMs) {
        let Some(of_product) = self.of_product.get_mut(product.as_str()) else { return };
        if of_product.alerts.remove(&at) {
            self.all.remove(&(at, Some(product.clone())));
        }
        if of_product.alerts.is_empty() {
            self.of_product.remove(product.as_str());
        }
    }

    /// Whether no alert is stored, and no time is kept for a cooldown.
    pub fn is_empty(&self) -> bool {
        self.of_product.is_empty() && self.last.is_empty()
    }

    /// Forgets some of the times before `before`, which no cooldown reaches.
    pub fn forget_before(&mut self, before: UnixMs) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some((_, product, kind)) = self.last_by_time.first().filter(|(at, ..)| *at < before).cloned()
            else {
                break;
            };
            self.last_by_time.pop_first();
            self.last.remove(&(product, kind));
        }
    }

    /// The time of the last alert of this product and type.
    pub fn last(&self, product: &Product, kind: AlertType) -> Option<UnixMs> {
        self.last.get(&(product.clone(), kind)).copied()
    }

    /// The first millisecond that an alert raised at `now` should try. The ones before it were found to be taken for
    /// earlier alerts.
    pub fn first_to_try(&self, product: &Product, now: UnixMs) -> UnixMs {
        match self.of_product.get(product.as_str()).and_then(|of_product| of_product.tried) {
            Some((from, to)) if from <= now && now <= to => to.saturating_add(1),
            Some(_) | None => now,
        }
    }

    /// Records that an alert raised at `now`, which has been entered, found its first free millisecond at `at`.
    pub fn note_tried(&mut self, product: &Product, now: UnixMs, at: UnixMs) {
        if let Some(of_product) = self.of_product.get_mut(product.as_str()) {
            let from = match of_product.tried {
                Some((from, to)) if from <= now && now <= to => from,
                Some(_) | None => now,
            };
            of_product.tried = Some((from, at));
        }
    }

    /// Returns the latest alert before the position `before`, for a walk from the newest alert to the oldest. O(log n).
    ///
    /// `product` and `kind` limit the search if they are given. Alerts of unknown type match every `kind`. The position
    /// is a moment, or an alert of that moment.
    pub fn before(
        &self,
        product: Option<&Product>,
        kind: Option<AlertType>,
        before: Option<(UnixMs, Option<&Product>)>,
    ) -> Option<(UnixMs, Product)> {
        match product {
            Some(product) => {
                let before = before.map(|(at, _)| at);
                let at = self.of_product.get(product.as_str())?.alerts.last_before(kind, before.as_ref())?;
                Some((*at, product.clone()))
            }
            None => {
                let before = before.map(|(at, product)| (at, product.cloned()));
                let (at, product) = self.all.last_before(kind, before.as_ref())?;
                product.clone().map(|product| (*at, product))
            }
        }
    }
}

impl AlertIndex {
    /// Drops the index, one entry in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { all, of_product, last, last_by_time } = self;
        let of_product = of_product.into_values().flat_map(|of_product| of_product.alerts.into_steps());
        all.into_steps().chain(of_product).chain(steps(last)).chain(steps(last_by_time))
    }
}

/// The alerts of one product.
#[derive(Debug, Default)]
struct OfProduct {
    alerts: ByType<UnixMs>,
    /// The range of milliseconds in which the latest alerts found every key taken except the last. A script that raises
    /// thousands of alerts in one millisecond would otherwise examine all of them again for each.
    tried: Option<(UnixMs, UnixMs)>,
}

/// Alerts, separated by type.
#[derive(Debug)]
struct ByType<T> {
    /// Alerts whose keys have not been read yet.
    unread: BTreeSet<T>,
    low: BTreeSet<T>,
    out: BTreeSet<T>,
    back: BTreeSet<T>,
}

impl<T> Default for ByType<T> {
    fn default() -> Self {
        let (unread, low, out, back) = Default::default();
        Self { unread, low, out, back }
    }
}

impl<T: Ord> ByType<T> {
    fn of(&mut self, kind: Option<AlertType>) -> &mut BTreeSet<T> {
        match kind {
            None => &mut self.unread,
            Some(AlertType::LowStock) => &mut self.low,
            Some(AlertType::OutOfStock) => &mut self.out,
            Some(AlertType::BackInStock) => &mut self.back,
        }
    }

    /// Removes an entry. Returns whether it existed.
    fn remove(&mut self, one: &T) -> bool {
        [&mut self.unread, &mut self.low, &mut self.out, &mut self.back]
            .into_iter()
            .any(|alerts| alerts.remove(one))
    }

    /// Drops the entries, one in each step.
    fn into_steps(self) -> impl Iterator<Item = ()> {
        let Self { unread, low, out, back } = self;
        [unread, low, out, back].into_iter().flat_map(steps)
    }

    fn is_empty(&self) -> bool {
        [&self.unread, &self.low, &self.out, &self.back].into_iter().all(BTreeSet::is_empty)
    }

    /// The last entry before `before` that has this type or an unknown one. Without a `kind`, every type matches.
    fn last_before(&self, kind: Option<AlertType>, before: Option<&T>) -> Option<&T> {
        let low = (Some(AlertType::LowStock), &self.low);
        let out = (Some(AlertType::OutOfStock), &self.out);
        let back = (Some(AlertType::BackInStock), &self.back);
        [(None, &self.unread), low, out, back]
            .into_iter()
            .filter(|(of, _)| kind.is_none() || of.is_none() || *of == kind)
            .filter_map(|(_, alerts)| match before {
                Some(before) => alerts.range(..before).next_back(),
                None => alerts.last(),
            })
            .max()
    }
}

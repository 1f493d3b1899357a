//! Which alerts are stored, by time: of all products and of each, of all types and of each. A part of what is kept in
//! memory of a database: derived from the keys, never the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::inventory::alert::AlertType;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::Product;

/// The alerts of a database.
///
/// **Invariant:** each is in the order of all and in that of its product, under the same type.
#[derive(Debug, Default)]
pub struct AlertIndex {
    /// Each has a product: without one an entry is the place before all of its millisecond.
    all: ByType<(UnixMs, Option<Product>)>,
    of_product: HashMap<Product, OfProduct>,
    /// When each was raised last: what the cooldown goes by.
    last: BTreeMap<(Product, AlertType), UnixMs>,
}

impl AlertIndex {
    /// Enters an alert. Its type is not known where its key was not read yet.
    pub fn enter(&mut self, product: &Product, at: UnixMs, kind: Option<AlertType>) {
        self.leave(product, at);
        self.all.of(kind).insert((at, Some(product.clone())));
        self.of_product.entry(product.clone()).or_default().alerts.of(kind).insert(at);
        if let Some(kind) = kind {
            let last = self.last.entry((product.clone(), kind)).or_insert(at);
            *last = (*last).max(at);
        }
    }

    /// That alert is gone.
    pub fn leave(&mut self, product: &Product, at: UnixMs) {
        let Some(of_product) = self.of_product.get_mut(product.as_str()) else { return };
        if of_product.alerts.remove(&at) {
            self.all.remove(&(at, Some(product.clone())));
        }
        if of_product.alerts.is_empty() {
            self.of_product.remove(product.as_str());
        }
    }

    /// Whether no alert is stored, and none is remembered for a cooldown.
    pub fn is_empty(&self) -> bool {
        self.of_product.is_empty() && self.last.is_empty()
    }

    /// Forgets when alerts were raised before `before`: no cooldown reaches back to them.
    pub fn forget_before(&mut self, before: UnixMs) {
        // Now and then, not each time.
        if self.last.len() % 1024 == 1023 {
            self.last.retain(|_, at| *at >= before);
        }
    }

    /// When this alert was raised last.
    pub fn last(&self, product: &Product, kind: AlertType) -> Option<UnixMs> {
        self.last.get(&(product.clone(), kind)).copied()
    }

    /// Where to begin to look for a free millisecond for an alert of `now`: after those that were looked at for earlier ones.
    pub fn first_to_try(&self, product: &Product, now: UnixMs) -> UnixMs {
        match self.of_product.get(product.as_str()).and_then(|of_product| of_product.tried) {
            Some((from, to)) if from <= now && now <= to => to.saturating_add(1),
            Some(_) | None => now,
        }
    }

    /// An alert of `now` has found the first free millisecond at `at`, and is entered.
    pub fn note_tried(&mut self, product: &Product, now: UnixMs, at: UnixMs) {
        if let Some(of_product) = self.of_product.get_mut(product.as_str()) {
            let from = match of_product.tried {
                Some((from, to)) if from <= now && now <= to => from,
                Some(_) | None => now,
            };
            of_product.tried = Some((from, at));
        }
    }

    /// The alert before `before` (a moment, or an alert of that moment), of one product or of any, of one type (or not known to be
    /// of another) or of any: a walk from the newest to the oldest. O(log n).
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

/// The alerts of one product.
#[derive(Debug, Default)]
struct OfProduct {
    alerts: ByType<UnixMs>,
    /// The milliseconds in which the latest alerts found no free key but the last: a script that raises thousands in one
    /// millisecond does not look at each of them again for each.
    tried: Option<(UnixMs, UnixMs)>,
}

/// Alerts by their type.
#[derive(Debug)]
struct ByType<T> {
    /// Their keys were not read yet.
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

    /// Says whether it was there.
    fn remove(&mut self, one: &T) -> bool {
        [&mut self.unread, &mut self.low, &mut self.out, &mut self.back]
            .into_iter()
            .any(|alerts| alerts.remove(one))
    }

    fn is_empty(&self) -> bool {
        [&self.unread, &self.low, &self.out, &self.back].into_iter().all(BTreeSet::is_empty)
    }

    /// The last one before `before`, unread ones and those of this type, or of any.
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

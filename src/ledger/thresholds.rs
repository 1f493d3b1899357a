//! The thresholds of products that have their own.
//!
//! **Invariant:** the entries agree with the keys whose events have been handled. A product without an entry has the
//! default.

use std::collections::HashMap;

use super::remains::steps;
use crate::inventory::sku::Product;

/// The low-stock thresholds by product.
#[derive(Debug, Default)]
pub struct Thresholds(HashMap<Product, i64>);

impl Thresholds {
    /// The threshold of a product, or `None` if the default applies.
    pub fn of(&self, product: &str) -> Option<i64> {
        self.0.get(product).copied()
    }

    /// Sets a product's own threshold. `None` removes it.
    pub fn set(&mut self, product: Product, threshold: Option<i64>) {
        match threshold {
            Some(units) => {
                self.0.insert(product, units);
            }
            None => {
                self.0.remove(product.as_str());
            }
        }
    }

    /// Drops the entries, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        steps(self.0)
    }

    /// Whether no product has its own threshold.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

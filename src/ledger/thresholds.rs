//! The thresholds of products that have one of their own.
//!
//! **Invariant:** what the keys say, as far as their events have been looked at. A product without an entry has the default.

use std::collections::HashMap;

use crate::inventory::sku::Product;

/// The low-stock thresholds by product.
#[derive(Debug, Default)]
pub struct Thresholds(HashMap<Product, i64>);

impl Thresholds {
    /// The threshold of a product, if it has one of its own.
    pub fn of(&self, product: &str) -> Option<i64> {
        self.0.get(product).copied()
    }

    /// A product's own threshold is this now; `None`: it has none any more.
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

    /// Whether no product has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

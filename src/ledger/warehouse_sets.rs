//! The products that may be kept in warehouses, so that the others cost RESERVE no look at a key.

use std::collections::HashSet;

use crate::inventory::sku::Product;

/// The products for which a key `stock:warehouses:{product}` may exist. Every event that can create such a key enters its
/// product, and nothing removes it: the key says what is true.
#[derive(Debug, Default)]
pub struct WarehouseSets {
    products: HashSet<Product>,
}

impl WarehouseSets {
    /// Enters a product whose key was seen or written.
    pub fn enter(&mut self, product: Product) {
        self.products.insert(product);
    }

    /// Whether there may be a key for this product.
    pub fn may_have(&self, product: &str) -> bool {
        !self.products.is_empty() && self.products.contains(product)
    }

    /// Whether there can be no such key.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }
}

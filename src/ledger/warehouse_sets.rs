//! The products that may be kept in warehouses. For the others, RESERVE does not read the key of their warehouses.

use std::collections::HashSet;

use crate::inventory::sku::Product;

/// The products for which a key `stock:warehouses:{product}` may exist. Every event that can create such a key enters its
/// product. Nothing removes it, because the key itself is read afterwards.
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

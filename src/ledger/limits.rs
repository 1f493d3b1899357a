//! The products that may have a limit per buyer. For the others, RESERVE does not read the key of their limit.

use std::collections::HashSet;

use crate::inventory::sku::Product;

/// The products for which a key `stock:limit:{product}` may exist. Every event that can create such a key enters its
/// product. Only the command that deletes the key removes it.
#[derive(Debug, Default)]
pub struct Limits {
    products: HashSet<Product>,
}

impl Limits {
    /// Enters a product whose key was seen or written.
    pub fn enter(&mut self, product: Product) {
        self.products.insert(product);
    }

    /// Removes a product whose key the module has just deleted.
    pub fn leave(&mut self, product: &Product) {
        self.products.remove(product);
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

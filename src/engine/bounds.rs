//! What is stored about how far units may be taken: the floor of a sku, and the limit per buyer of a product.

use super::keyspace::{Counter, Keyspace};
use crate::inventory::key::Key;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::Sku;

/// Reads the floor of a sku; a sku that has none is on floor 0. The floor of a buyer's quota is minus the limit. Has no side
/// effects.
///
/// # Errors
///
/// `WRONGTYPE` if it is not an integer.
pub(super) fn floor_of<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<i64, Refusal> {
    if sku.is_quota() {
        return Ok(limit_of(keys, sku.product())?.map_or(0, i64::saturating_neg));
    }
    let key = Key::Floor(sku);
    stored_floor(keys, sku).units(key, keys.style())
}

/// Reads the key of a floor. Has no side effects.
pub(super) fn stored_floor<K: Keyspace>(keys: &mut K, sku: &Sku) -> Counter {
    if keys.ledger(|ledger| ledger.has_no_floor(sku)) || sku.is_quota() {
        return Counter::Absent;
    }
    keys.peek(Key::Floor(sku)).into()
}

/// The limit per buyer of a product, or `None` if it has none. Has no side effects.
///
/// # Errors
///
/// `WRONGTYPE` if it is not an integer from 0 on.
pub(super) fn limit_of<K: Keyspace>(keys: &mut K, product: &str) -> Result<Option<i64>, Refusal> {
    if keys.ledger(|ledger| ledger.has_no_limit(product)) {
        return Ok(None);
    }
    let key = Key::Limit(product);
    match Counter::from(keys.peek(key)) {
        Counter::Absent => Ok(None),
        Counter::Units(units) if units < 0 => {
            let (key, found) = (key.name(keys.style()), format!("'{units}'").into());
            Err(Refusal::WrongType { key, found, wanted: "a limit" })
        }
        found @ (Counter::Units(_) | Counter::Broken(_)) => found.units(key, keys.style()).map(Some),
    }
}

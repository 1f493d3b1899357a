//! `INV.LIMIT` and `INV.QUOTA`: how many units of a product each buyer may hold and have bought.
//!
//! A limit makes a sku of each buyer: the *quota* `product@@buyer`. Its floor is minus the limit, and its available counter
//! is minus what the buyer holds and has bought. So RESERVE takes from it, and a release returns to it, as with any other
//! sku. The record keeps what it holds of quotas apart from its items.

use super::bounds::limit_of;
use super::change::Change;
use super::effects::Effect;
use super::keyspace::Keyspace;
use super::shelves::{Shelf, units_of};
use super::{once, sweep};
use crate::inventory::once::{Answer, Once};
use crate::inventory::refusal::{Refusal, both};
use crate::inventory::sku::{Listed, Product, Sku};

/// Sets how many units of a product each buyer may hold and have bought. `None` removes the limit.
///
/// # Errors
///
/// `WRONGTYPE` if the key is not an integer.
pub fn set_limit<K: Keyspace>(keys: &mut K, product: &Product, units: Option<i64>) -> Result<(), Refusal> {
    sweep::catch_up(keys);
    if limit_of(keys, product.as_str())? != units {
        // After this point nothing may fail.
        Change::of(vec![Effect::Limit { product: product.clone(), units }]).carry_out(keys);
    }
    Ok(())
}

/// Adds to the available counter of a buyer's quota: a positive number forgives units that the buyer has returned, and a
/// negative one charges units that were bought elsewhere. Returns the new number.
///
/// # Errors
///
/// `ERR` if the buyer has not bought so many units, or if units are charged for a product without a limit; and `LIMIT` if the
/// limit leaves fewer than are charged, unless `FORCE` is given.
pub(super) fn adjust_quota<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    delta: i64,
    force: bool,
    once: Option<&Once>,
) -> Result<i64, Refusal> {
    sweep::catch_up(keys);
    let limit = limit_of(keys, sku.product());
    let ((limit, shelf), answered) =
        both(both(limit, Shelf::read(keys, sku)), once::answered_number(keys, once))?;
    if let Some(answer) = answered {
        return Ok(answer);
    }
    let (product, buyer) = (Product::of(sku), sku.buyer().unwrap_or_default());
    let held = shelf.reserved.max(0);
    let bought = shelf.units.saturating_neg().saturating_sub(held).max(0);
    let overflow = || Refusal::Overflow { sku: sku.clone(), counter: "available" };
    let sum = shelf.units.checked_add(delta).ok_or_else(overflow)?;
    if delta > bought {
        return Err(Refusal::impossible(format!(
            "buyer {} holds {held} and has bought {bought} units of {product}: at most {bought} can be forgiven",
            Listed(buyer)
        )));
    }
    if delta < 0 {
        let requested = delta.saturating_neg();
        match limit {
            None => {
                return Err(Refusal::impossible(format!(
                    "{product} has no limit: set it with INV.LIMIT before units are charged to a buyer"
                )));
            }
            Some(limit) if shelf.reservable() < requested && !force => {
                let (buyer, left) = (buyer.to_owned(), shelf.reservable());
                return Err(Refusal::Limit { product, buyer, requested, left, limit });
            }
            Some(_) => {}
        }
    }
    let mut effects = Vec::with_capacity(3);
    if delta != 0 {
        effects.push(Effect::Units { sku: sku.clone(), available: delta, reserved: 0 });
        effects.extend((sum == 0 && shelf.reserved == 0).then(|| Effect::Clear { sku: sku.clone() }));
    }
    effects.extend(once::remember(keys, once, &Answer::Number(sum)));
    if !effects.is_empty() {
        // After this point nothing may fail.
        Change::of(effects).carry_out(keys);
    }
    Ok(sum)
}

/// The effects of INV.REPAIR on the quota of a buyer, of which so many units are available: reserved becomes what is held.
/// Units that nothing holds are given back, but available is never more than minus what is held.
pub(super) fn repair_quota(sku: &Sku, available: i64, held: i64, drift: i64) -> Vec<Effect> {
    if drift == 0 {
        return Vec::new();
    }
    let most = held.saturating_neg().saturating_sub(available);
    let back = if drift > 0 { drift.min(most.max(0)) } else { drift };
    let (sku, is_over) = (sku.clone(), held == 0 && available.saturating_add(back) == 0);
    let clear = is_over.then(|| Effect::Clear { sku: sku.clone() });
    let units = Effect::Units { sku, available: back, reserved: drift.saturating_neg() };
    std::iter::once(units).chain(clear).collect()
}

/// What a buyer holds and has bought of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaView {
    /// The limit of the product.
    pub limit: Option<i64>,
    /// The units that the buyer's reservations hold.
    pub held: i64,
    /// The units that the buyer has bought and not returned.
    pub bought: i64,
    /// The units that the buyer may still take, if there is a limit.
    pub left: Option<i64>,
}

/// Returns what a buyer holds and has bought of a product since a limit was first set, and what is left.
///
/// # Errors
///
/// `WRONGTYPE` if a key is not an integer.
pub fn quota<K: Keyspace>(keys: &mut K, product: &Product, buyer: &str) -> Result<QuotaView, Refusal> {
    let limit = limit_of(keys, product.as_str())?;
    let units = units_of(keys, &Sku::quota(product.as_str(), buyer))?.unwrap_or_default();
    let taken = units.available.saturating_neg();
    let left = limit.map(|limit| limit.saturating_sub(taken).max(0));
    let held = units.reserved.max(0);
    Ok(QuotaView { limit, held, bought: taken.saturating_sub(held).max(0), left })
}

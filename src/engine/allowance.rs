//! What the limits per buyer leave of a request.

use std::borrow::Cow;
use std::collections::HashMap;

use super::keyspace::{Keyspace, counter};
use super::supply::{Budget, Own, Supply, Terms};
use crate::inventory::key::Key;
use crate::inventory::line::{Line, SumTooLarge, missing};
use crate::inventory::quantity::Quantity;
use crate::inventory::refusal::{Refusal, both};
use crate::inventory::sku::{Product, Sku};

/// Decides which lines to take, as [`Supply::pick`] does, and what to take for them of the quotas of the buyer.
///
/// # Errors
///
/// Those of [`Supply::pick`]; `LIMIT` if the buyer may not take so many units, or with `PARTIAL` none of any line; and `ERR`
/// if a product has a limit and no buyer is named.
#[inline]
pub(super) fn pick<'a, K: Keyspace>(
    keys: &mut K,
    supply: &mut Supply,
    asked: &'a [Line],
    terms: &Terms<'_>,
    budget: &mut Budget,
) -> Result<(Cow<'a, [Line]>, Vec<Line>), Refusal> {
    if supply.limits.is_empty() {
        return Ok((supply.pick(keys, asked, terms, budget)?, Vec::new()));
    }
    pick_within(keys, supply, asked, terms, budget)
}

#[cold]
fn pick_within<'a, K: Keyspace>(
    keys: &mut K,
    supply: &mut Supply,
    asked: &'a [Line],
    terms: &Terms<'_>,
    budget: &mut Budget,
) -> Result<(Cow<'a, [Line]>, Vec<Line>), Refusal> {
    let shares = shares(asked, &supply.limits, terms);
    let shares = shares.and_then(|shares| judge(keys, shares, terms, budget));
    // Overdue reservations of the buyer may have been released.
    *supply = supply.again(keys, asked, terms)?;
    let picked = supply.pick(keys, asked, terms, budget);
    let (mut lines, shares) = match (picked, shares) {
        // If both the stock and a limit speak against it, the limit is named.
        (Err(Refusal::Insufficient(shorts)), Ok(shares)) => {
            return Err(shares.iter().find_map(Share::over).unwrap_or(Refusal::Insufficient(shorts)));
        }
        (picked, shares) => both(picked, shares)?,
    };
    if let Some(rest) = cut(asked, &lines, &shares) {
        if rest.is_empty() {
            let over = shares.iter().find_map(Share::over);
            return Err(over.unwrap_or_else(|| Refusal::Insufficient(Vec::new())));
        }
        *supply = supply.again(keys, &rest, terms)?;
        lines = Cow::Owned(supply.pick(keys, &rest, terms, budget)?.into_owned());
    }
    let quota = quota_of(&lines, &shares);
    check_room(keys, &quota)?;
    Ok((lines, quota))
}

/// What a request asks for of one product that has a limit.
struct Share {
    product: Product,
    limit: i64,
    /// The quota of the buyer. `None` if no buyer is named, which only a request may do that takes no more than it frees.
    quota: Option<Sku>,
    /// The units that are requested of all places together.
    requested: Quantity,
    /// The units that reservations of the same buyer hold which the request replaces. So many can always be held.
    kept: i64,
    /// The units that the request may take.
    allowed: i64,
}

impl Share {
    /// The refusal of a share that is more than its limit allows.
    fn over(&self) -> Option<Refusal> {
        let buyer = self.quota.as_ref()?.buyer()?;
        (self.allowed < self.requested.units()).then(|| Refusal::Limit {
            product: self.product.clone(),
            buyer: buyer.to_owned(),
            requested: self.requested.units(),
            left: self.allowed,
            limit: self.limit,
        })
    }
}

/// The shares of a request, in its order.
///
/// # Errors
///
/// `ERR` if no buyer is named, or if the units of a product add up to too many.
fn shares(asked: &[Line], limits: &[(Product, i64)], terms: &Terms<'_>) -> Result<Vec<Share>, Refusal> {
    let mut shares = Vec::with_capacity(limits.len());
    for (product, limit) in limits {
        let is_of = |line: &&Line| line.sku.product() == product.as_str();
        let mut requested: Option<Quantity> = None;
        for Line { sku, quantity } in asked.iter().filter(is_of) {
            let sum = requested.map_or(Some(*quantity), |sum| sum.plus(*quantity));
            requested = Some(sum.ok_or_else(|| SumTooLarge(sku.clone()))?);
        }
        let Some(requested) = requested else { continue };
        let freed = terms.freed.iter().filter(|record| record.buyer.as_deref() == terms.buyer);
        let kept = freed.flat_map(|record| &record.items).filter(is_of).map(|line| line.quantity.units());
        let kept = kept.fold(0, i64::saturating_add);
        let quota = terms.buyer.map(|buyer| Sku::quota(product.as_str(), buyer));
        if quota.is_none() && requested.units() > kept {
            return Err(Refusal::impossible(format!(
                "{product} has a limit of {limit} units for each buyer: name the buyer, as in INV.RESERVE id BUYER buyer \
                 ITEMS {product} 1"
            )));
        }
        let (product, limit, allowed) = (product.clone(), *limit, requested.units());
        shares.push(Share { product, limit, quota, requested, kept, allowed });
    }
    Ok(shares)
}

/// Compares the shares with what the quotas of the buyer have left. Overdue reservations of the buyer are released if they
/// are needed.
///
/// # Errors
///
/// `LIMIT` if a share is too large, unless `PARTIAL` is allowed.
fn judge<K: Keyspace>(
    keys: &mut K,
    mut shares: Vec<Share>,
    terms: &Terms<'_>,
    budget: &mut Budget,
) -> Result<Vec<Share>, Refusal> {
    let own = own_quota(terms);
    let quota_terms =
        Terms { partial: terms.partial, own: (!own.is_empty()).then_some(&own), ..Terms::default() };
    let is_judged = |share: &&mut Share| share.requested.units() > share.kept;
    let lines: Vec<Line> = shares
        .iter_mut()
        .filter(is_judged)
        .filter_map(|share| Some(Line { sku: share.quota.clone()?, quantity: share.requested }))
        .collect();
    if lines.is_empty() {
        return Ok(shares);
    }
    let mut left: HashMap<&Sku, i64> = HashMap::new();
    let picked = Supply::of_lines(keys, &lines)?.pick(keys, &lines, &quota_terms, budget);
    let mut is_over = false;
    match &picked {
        Ok(picked) => left.extend(picked.iter().map(|line| (&line.sku, line.quantity.units()))),
        Err(Refusal::Insufficient(shorts)) => {
            is_over = !terms.partial;
            if is_over {
                left.extend(lines.iter().map(|line| (&line.sku, line.quantity.units())));
                left.extend(shorts.iter().map(|short| (&short.sku, short.available)));
            }
        }
        Err(refusal) => return Err(refusal.clone()),
    }
    for share in shares.iter_mut().filter(is_judged) {
        let left = share.quota.as_ref().and_then(|quota| left.get(quota)).copied().unwrap_or_default();
        share.allowed = left.max(share.kept);
    }
    match shares.iter().find_map(Share::over) {
        Some(over) if is_over => Err(over),
        Some(_) | None => Ok(shares),
    }
}

/// What the reservations that a request replaces hold of the quotas of their buyers.
fn own_quota<'a>(terms: &Terms<'a>) -> Own<'a> {
    let mut own = Own::new();
    for Line { sku, quantity } in terms.freed.iter().flat_map(|record| &record.quota) {
        let sum = own.entry(sku).or_default();
        *sum = sum.saturating_add(quantity.units());
    }
    own
}

/// The requested lines, cut to what the shares allow of `lines`, which is what the stock allows. `None` if nothing has to be
/// cut. The lines of one product take in the order of the request.
fn cut(asked: &[Line], lines: &[Line], shares: &[Share]) -> Option<Vec<Line>> {
    if shares.iter().all(|share| share.over().is_none()) {
        return None;
    }
    let lacking = missing(asked, lines);
    let lacking: HashMap<&Sku, i64> = lacking.iter().map(|line| (&line.sku, line.quantity.units())).collect();
    let mut left: HashMap<&str, i64> =
        shares.iter().map(|share| (share.product.as_str(), share.allowed)).collect();
    let mut is_cut = false;
    let mut rest = Vec::with_capacity(asked.len());
    for Line { sku, quantity } in asked {
        let mut units = quantity.units().saturating_sub(lacking.get(sku).copied().unwrap_or_default());
        if let Some(left) = left.get_mut(sku.product()) {
            is_cut |= units > *left;
            units = units.min(*left);
            *left = left.saturating_sub(units);
        }
        rest.extend(Quantity::new(units).map(|quantity| Line { sku: sku.clone(), quantity }));
    }
    is_cut.then_some(rest)
}

/// What these lines take of the quotas.
fn quota_of(lines: &[Line], shares: &[Share]) -> Vec<Line> {
    let quota = |share: &Share| {
        let of_product = lines.iter().filter(|line| line.sku.product() == share.product.as_str());
        let units = of_product.map(|line| line.quantity.units()).fold(0, i64::saturating_add);
        Some(Line { sku: share.quota.clone()?, quantity: Quantity::new(units)? })
    };
    shares.iter().filter_map(quota).collect()
}

/// Checks that the counters of quotas can take these lines.
///
/// # Errors
///
/// `WRONGTYPE` if one is not an integer, and `ERR` if one would overflow.
fn check_room<K: Keyspace>(keys: &mut K, quota: &[Line]) -> Result<(), Refusal> {
    for Line { sku, quantity } in quota {
        let overflow = |counter| Refusal::Overflow { sku: sku.clone(), counter };
        let available = counter(keys, Key::Available(sku))?;
        available.checked_sub(quantity.units()).ok_or_else(|| overflow("available"))?;
        let reserved = counter(keys, Key::Reserved(sku))?;
        reserved.checked_add(quantity.units()).ok_or_else(|| overflow("reserved"))?;
    }
    Ok(())
}

//! `INV.ADJUST`, `INV.SET` and `INV.THRESHOLD`: changes of the stock and its thresholds by the shop.

use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::feed::Note;
use super::keyspace::{Counter, Keyspace, Reading};
use super::places::{Place, places, require_place};
use super::shelves::{Shelf, is_known};
use super::{alerts, feed, limits, once, sweep};
use crate::inventory::key::Key;
use crate::inventory::once::{Answer, Once};
use crate::inventory::refusal::{Objections, Rank, Refusal, Shortage, both, put_off};
use crate::inventory::sku::{Product, Sku};

/// A request to add units, or to remove units without a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustRequest {
    /// The sku.
    pub sku: Sku,
    /// The units to add to available. If negative, they are removed.
    pub delta: i64,
    /// Whether available may fall below 0 and the floor.
    pub force: bool,
    /// The client's token.
    pub once: Option<Once>,
    /// A note for the feed.
    pub note: Option<Note>,
}

/// The number that a count sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The units that can be reserved.
    Available,
    /// All units that are physically present, which includes the reserved ones.
    OnHand,
}

/// A request to set the stock to a count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRequest {
    /// The sku.
    pub sku: Sku,
    /// The number to set.
    pub measure: Measure,
    /// The counted units.
    pub units: i64,
    /// Set the number only if its present value is this.
    pub if_equal: Option<i64>,
    /// Whether available may fall below 0 and the floor, and units that were sold before they arrived may be counted.
    pub force: bool,
    /// The client's token.
    pub once: Option<Once>,
    /// A note for the feed.
    pub note: Option<Note>,
}

/// Adds to the available units. Returns the new number.
///
/// # Errors
///
/// `INSUFFICIENT` if the number would fall below 0 and below the floor, and `ERR` if the sku would have too many units or its product is
/// kept in other places.
pub fn adjust<K: Keyspace>(keys: &mut K, request: &AdjustRequest) -> Result<i64, Refusal> {
    let AdjustRequest { sku, delta, force, once, note } = request;
    if sku.is_quota() {
        if note.is_some() {
            return Err(Refusal::invalid(format!(
                "NOTE cannot be used with {sku}: notes are kept in the change feed, and the feed has no entries about buyers"
            )));
        }
        return limits::adjust_quota(keys, sku, *delta, *force, once.as_ref());
    }
    feed::check_note(keys, note.as_ref())?;
    sweep::catch_up(keys);
    let (shelf, places, answered) = open(keys, sku, once.as_ref())?;
    if let Some(answer) = answered {
        return Ok(answer);
    }
    let mut objections = Objections::default();
    objections.check(places.and_then(|places| require_place(keys.style(), places.as_deref(), sku)));
    let sum = shelf.units.saturating_add(*delta);
    if sum < shelf.lowest() && *delta < 0 && !force {
        objections.add(Refusal::Insufficient(vec![Shortage {
            sku: sku.clone(),
            requested: delta.saturating_neg(),
            available: shelf.units.saturating_sub(shelf.lowest()),
            is_known: is_known(keys, sku),
        }]));
    }
    if *delta < 0 && shelf.units.checked_add(*delta).is_none() {
        objections.add(Refusal::Overflow { sku: sku.clone(), counter: "available" });
    }
    objections.check(shelf.check_bound(sku, *delta));
    objections.unless_any(())?;
    restock(keys, sku, &shelf, sum, feed::Event::Adjusted, once.as_ref(), note.as_ref())?;
    Ok(sum)
}

/// Sets the available units or the units on hand. Returns the available units, or `None` if the present value differs
/// from `if_equal`.
///
/// # Errors
///
/// `OVERCOMMITTED` if available would fall below 0 and below the floor, or if units were sold before they arrived, and
/// `ERR` as for [`adjust`].
pub fn set<K: Keyspace>(keys: &mut K, request: &SetRequest) -> Result<Option<i64>, Refusal> {
    let SetRequest { sku, measure, units, if_equal, force, once, note } = request;
    feed::check_note(keys, note.as_ref())?;
    sweep::catch_up(keys);
    let (shelf, places, answered) = open(keys, sku, once.as_ref())?;
    let reserved = shelf.reserved;
    if let Some(answer) = answered {
        return Ok(Some(answer));
    }
    require_place(keys.style(), places?.as_deref(), sku)?;
    let (current, available) = match measure {
        Measure::Available => (shelf.units, *units),
        Measure::OnHand => (shelf.units.saturating_add(reserved), units.saturating_sub(reserved)),
    };
    if if_equal.is_some_and(|expected| expected != current) {
        return Ok(None);
    }
    let mut objections = Objections::default();
    let on_hand = shelf.units.saturating_add(reserved);
    if on_hand < 0 && !force {
        objections.add(Refusal::SoldAhead { sku: sku.clone(), on_hand });
    }
    if available < shelf.lowest() && !force {
        objections.add(Refusal::Overcommitted {
            sku: sku.clone(),
            on_hand: available.saturating_add(reserved),
            reserved,
        });
    }
    objections.check(shelf.check_bound(sku, available.saturating_sub(shelf.units)));
    objections.unless_any(())?;
    restock(keys, sku, &shelf, available, feed::Event::Set, once.as_ref(), note.as_ref())?;
    Ok(Some(available))
}

/// Sets the low-stock threshold of a product. [`OFF`](crate::inventory::alert::OFF) turns its alerts off, and `None`
/// restores the default.
///
/// # Errors
///
/// `WRONGTYPE` if the key holds another type.
pub fn set_threshold<K: Keyspace>(
    keys: &mut K,
    product: &Product,
    units: Option<i64>,
) -> Result<(), Refusal> {
    let key = Key::Threshold(product.as_str());
    let found = keys.read(key);
    if let Reading::Other(kind) = found {
        let key = key.name(keys.style());
        return Err(Refusal::WrongType { key, found: kind.into(), wanted: "a threshold" });
    }
    let current = Counter::from(found);
    let wanted = units.map_or(Counter::Absent, Counter::Units);
    if current != wanted {
        // After this point nothing may fail.
        Change::of(vec![Effect::Threshold { product: product.clone(), units }]).carry_out(keys);
    }
    Ok(())
}

/// Reads what a step on one sku needs: its counters, the warehouses of its product, and the remembered answer to its
/// token.
///
/// A refusal because of the warehouses is postponed, so that a retry still gets its remembered answer.
fn open<K: Keyspace>(keys: &mut K, sku: &Sku, token: Option<&Once>) -> Result<Opened, Refusal> {
    let (places, shelf) = if keys.ledger(|ledger| ledger.is_plain(sku)) {
        (Ok(Ok(None)), Shelf::on_floor(keys, sku, 0))
    } else {
        (put_off(Rank::Foreign, places(keys, sku.product())), Shelf::read(keys, sku))
    };
    let ((places, shelf), answered) = both(both(places, shelf), once::answered_number(keys, token))?;
    Ok((shelf, places, answered))
}

/// The counters of a sku, the warehouses of its product, and the remembered answer to the token.
type Opened = (Shelf, Result<Option<Vec<Place>>, Refusal>, Option<i64>);

/// Sets the available units of the sku, which is created if it does not exist.
fn restock<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    shelf: &Shelf,
    available: i64,
    event: feed::Event,
    token: Option<&Once>,
    note: Option<&Note>,
) -> Result<(), Refusal> {
    let delta = available.checked_sub(shelf.units).ok_or_else(|| {
        Refusal::impossible(format!(
            "{sku} has {} available: the difference to {available} exceeds the range of 64-bit integers",
            shelf.units
        ))
    })?;
    let mut effects = Vec::with_capacity(2);
    if delta != 0 || shelf.available == Counter::Absent {
        effects.push(Effect::Units { sku: sku.clone(), available: delta, reserved: 0 });
    }
    effects.extend(once::remember(keys, token, &Answer::Number(available)));
    if effects.is_empty() && note.is_none() {
        return Ok(());
    }
    // After this point nothing may fail.
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Units(event, vec![(sku, delta)], note),
        moves: alerts::Moves::of(sku, &shelf.available, delta),
        tally: None,
    }
    .carry_out(keys);
    Ok(())
}

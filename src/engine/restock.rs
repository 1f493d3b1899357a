//! `INV.ADJUST`, `INV.SET` and `INV.THRESHOLD`: what the warehouse tells the inventory.

use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::keyspace::{Counter, Keyspace, Reading};
use super::places::{Place, places, require_place};
use super::shelves::{Shelf, is_known};
use super::{alerts, feed, once, sweep};
use crate::inventory::key::Key;
use crate::inventory::once::{Answer, Once};
use crate::inventory::refusal::{Objections, Rank, Refusal, Shortage, both, put_off};
use crate::inventory::sku::{Product, Sku};

/// Units that came, or went without a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustRequest {
    /// Of which sku.
    pub sku: Sku,
    /// Added to available; negative: taken away.
    pub delta: i64,
    /// Its token.
    pub once: Option<Once>,
}

/// Which number a count sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Units that can be reserved.
    Available,
    /// Units in the house: open reservations are respected.
    OnHand,
}

/// A count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetRequest {
    /// Of which sku.
    pub sku: Sku,
    /// What was counted.
    pub measure: Measure,
    /// The count.
    pub units: i64,
    /// Only where the same number is this now.
    pub if_equal: Option<i64>,
    /// Its token.
    pub once: Option<Once>,
}

/// Adds to available units. Gives what is available then.
pub fn adjust<K: Keyspace>(keys: &mut K, request: &AdjustRequest) -> Result<i64, Refusal> {
    let AdjustRequest { sku, delta, once } = request;
    sweep::catch_up(keys);
    let (shelf, places, answered) = open(keys, sku, once.as_ref())?;
    if let Some(answer) = answered {
        return Ok(answer);
    }
    let mut objections = Objections::default();
    objections.check(places.and_then(|places| require_place(keys.style(), places.as_deref(), sku)));
    let sum = shelf.units.saturating_add(*delta);
    if sum < 0 && *delta < 0 {
        objections.add(Refusal::Insufficient(vec![Shortage {
            sku: sku.clone(),
            requested: delta.saturating_neg(),
            available: shelf.units,
            is_known: is_known(keys, sku),
        }]));
    }
    objections.check(shelf.check_bound(sku, *delta));
    objections.unless_any(())?;
    restock(keys, sku, &shelf, sum, feed::Event::Adjusted, once.as_ref())?;
    Ok(sum)
}

/// Sets available units, or units on hand. Gives what is available then; `None` where `if_equal` differs.
pub fn set<K: Keyspace>(keys: &mut K, request: &SetRequest) -> Result<Option<i64>, Refusal> {
    let SetRequest { sku, measure, units, if_equal, once } = request;
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
    if available < 0 {
        objections.add(Refusal::Overcommitted { sku: sku.clone(), on_hand: *units, reserved });
    }
    objections.check(shelf.check_bound(sku, available.saturating_sub(shelf.units)));
    objections.unless_any(())?;
    restock(keys, sku, &shelf, available, feed::Event::Set, once.as_ref())?;
    Ok(Some(available))
}

/// Sets the low-stock threshold of a product; [`OFF`](crate::inventory::alert::OFF): it raises no alerts; `None`: the default.
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

/// What a step on one sku looks at: its counters, the warehouses of its product, and what its token was answered. What speaks
/// against the warehouses is judged after a retry was answered.
fn open<K: Keyspace>(keys: &mut K, sku: &Sku, token: Option<&Once>) -> Result<Opened, Refusal> {
    let places = put_off(Rank::Foreign, places(keys, sku.product()));
    let shelf = Shelf::read(keys, sku);
    let ((places, shelf), answered) = both(both(places, shelf), answered_number(keys, token))?;
    Ok((shelf, places, answered))
}

/// The counters of a sku, the warehouses of its product, and the answer that the token was given before.
type Opened = (Shelf, Result<Option<Vec<Place>>, Refusal>, Option<i64>);

fn answered_number<K: Keyspace>(keys: &mut K, token: Option<&Once>) -> Result<Option<i64>, Refusal> {
    match once::look_up(keys, token)? {
        once::Seen::New => Ok(None),
        once::Seen::Answered(Answer::Number(number)) => Ok(Some(number)),
        once::Seen::Answered(other @ (Answer::Ok | Answer::Reserved(_))) => Err(once::unexpected(&other)),
        once::Seen::Other(asked) => Err(Refusal::OtherOnce { asked }),
    }
}

/// Makes `available` of the sku this number, and creates a sku that is not there.
fn restock<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    shelf: &Shelf,
    available: i64,
    event: feed::Event,
    token: Option<&Once>,
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
    if effects.is_empty() {
        return Ok(());
    }
    // After this point nothing may fail.
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Units(event, vec![(sku, delta)]),
        moves: alerts::Moves::of(sku, &shelf.available, delta),
        tally: None,
    }
    .carry_out(keys);
    Ok(())
}

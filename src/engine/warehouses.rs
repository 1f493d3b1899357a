//! `INV.WAREHOUSES` and `INV.TRANSFER`: a product that is kept in several places.
//!
//! **Invariant:** the sorted set says where a product is kept, and it is read for every command: there is nothing in
//! memory that could contradict it. With a set, the product's own counters count for nothing; so a set is made only where
//! they hold nothing, and in that step they go.

use super::apply::{self, Effect};
use super::reserve::Shelf;
use super::{Keyspace, Ranking, Reading, expire, feed, once};
use crate::inventory::error::{Refusal, Shortage};
use crate::inventory::once::{Answer, Once};
use crate::inventory::quantity::{MAX_EXACT, Quantity};
use crate::inventory::sku::{Key, Product, Sku, Warehouse};

/// The most warehouses of one product.
pub const MOST: usize = 1024;

/// The most warehouses that one request may look at, of all its products together: a few milliseconds of work.
pub const MOST_A_REQUEST: usize = 8192;

/// `ERR` where a request has looked at too many warehouses.
pub(super) fn check_work(looked_at: usize) -> Result<(), Refusal> {
    if looked_at <= MOST_A_REQUEST {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "these products have more than {MOST_A_REQUEST} warehouses together: ask for fewer at once"
    )))
}

/// A product in one of its warehouses.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// `product@warehouse`.
    pub sku: Sku,
    /// The lowest is taken from first.
    pub priority: f64,
}

/// The warehouses of a product, lowest priority number first and equal ones by name; `None` where it is kept under its own
/// name. Members that cannot be a warehouse's name are passed over. `WRONGTYPE` where the key holds something else,
/// `ERR` where it holds more than [`MOST`].
pub fn places<K: Keyspace>(keys: &mut K, product: &str) -> Result<Option<Vec<Place>>, Refusal> {
    let key = Key::Warehouses(product);
    match keys.ranking(key, MOST) {
        Ranking::Absent => Ok(None),
        Ranking::Members(members) => {
            let style = keys.style();
            let place = |(name, priority): &(Vec<u8>, f64)| {
                let warehouse = Warehouse::parse(name, style).ok()?;
                Some(Place { sku: Sku::at(product, &warehouse), priority: *priority })
            };
            Ok(Some(members.iter().filter_map(place).collect()))
        }
        Ranking::TooMany(count) => {
            Err(Refusal::invalid(format!("{product} has {count} warehouses, at most {MOST}")))
        }
        Ranking::Other(found) => {
            let key = key.name(keys.style());
            Err(Refusal::WrongType { key, found: found.into(), wanted: "a sorted set" })
        }
    }
}

/// `WRONGTYPE` where the key of a product's warehouses holds something else.
pub(super) fn check_set<K: Keyspace>(keys: &mut K, product: &str) -> Result<(), Refusal> {
    match keys.ranking(Key::Warehouses(product), 0) {
        Ranking::Absent | Ranking::Members(_) | Ranking::TooMany(_) => Ok(()),
        Ranking::Other(_) => places(keys, product).map(|_| ()),
    }
}

/// `ERR` where units of `sku` cannot come or go by themselves: its product is kept in warehouses, and this is none of them.
pub(super) fn require_place(places: Option<&[Place]>, sku: &Sku) -> Result<(), Refusal> {
    match (places, sku.warehouse()) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Refusal::invalid(format!(
            "{sku} is kept in warehouses: name one of them, as {sku}@warehouse"
        ))),
        (Some(places), Some(_)) if places.iter().any(|place| place.sku == *sku) => Ok(()),
        (Some(_), Some(warehouse)) => {
            let product = sku.product();
            Err(Refusal::invalid(format!(
                "{product} has no warehouse {warehouse}: INV.WAREHOUSES {product} SET {warehouse} priority makes it one"
            )))
        }
    }
}

/// Gives a product these warehouses, each once, beside those that it has, or these priorities. `ERR` where it has stock
/// under its own name.
pub fn set<K: Keyspace>(keys: &mut K, product: &Product, wanted: &[(Warehouse, i64)]) -> Result<(), Refusal> {
    expire::catch_up(keys);
    let places = places(keys, product.as_str())?.unwrap_or_default();
    let own = Sku::from(product);
    let Shelf { units, reserved, .. } = Shelf::read(keys, &own)?;
    if units != 0 || reserved != 0 {
        return Err(Refusal::invalid(format!(
            "{product} has {units} available and {reserved} reserved units of its own: a product is kept under its name or in \
             warehouses, not both"
        )));
    }
    let mut count = places.len();
    let mut effects = Vec::new();
    for (warehouse, priority) in wanted {
        let place = Sku::at(product.as_str(), warehouse);
        let known = places.iter().find(|known| known.sku == place);
        if known.is_none() {
            count = count.saturating_add(1);
        }
        if known.is_none_or(|known| !is_priority(known.priority, *priority)) {
            effects.push(Effect::Rank { place, priority: *priority });
        }
    }
    if count > MOST {
        return Err(Refusal::invalid(format!("{product} would have {count} warehouses, at most {MOST}")));
    }
    effects.extend(clear(keys, own));
    if !effects.is_empty() {
        // After this point nothing may fail.
        apply::commit(keys, &effects);
    }
    Ok(())
}

/// Takes a warehouse from a product; one that it does not have is no error. Without its last one, the product is kept under
/// its own name again. `ERR` where the warehouse has units.
pub fn remove<K: Keyspace>(keys: &mut K, product: &Product, warehouse: &Warehouse) -> Result<(), Refusal> {
    expire::catch_up(keys);
    let places = places(keys, product.as_str())?.unwrap_or_default();
    let place = Sku::at(product.as_str(), warehouse);
    let Shelf { units, reserved, .. } = Shelf::read(keys, &place)?;
    if places.iter().all(|known| known.sku != place) {
        return Ok(());
    }
    if units != 0 || reserved != 0 {
        return Err(Refusal::invalid(format!(
            "{place} has {units} available and {reserved} reserved units: only an empty warehouse can be removed"
        )));
    }
    let mut effects = vec![Effect::Unrank { place: place.clone() }];
    effects.extend(clear(keys, place));
    // After this point nothing may fail.
    apply::commit(keys, &effects);
    Ok(())
}

/// The effect that deletes the counters of a sku, where there are any.
fn clear<K: Keyspace>(keys: &mut K, sku: Sku) -> Option<Effect> {
    let is_there = [Key::Available(&sku), Key::Reserved(&sku)].map(|key| keys.peek(key) != Reading::Absent);
    is_there.contains(&true).then_some(Effect::Clear { sku })
}

/// Whether a score is this priority. Both are exact: a priority is an integer within 2^53 of 0.
#[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "integers within 2^53 are exact")]
fn is_priority(score: f64, priority: i64) -> bool {
    score == priority as f64
}

/// Units that go from one warehouse to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// Of which product.
    pub product: Product,
    /// The warehouse that they leave.
    pub from: Warehouse,
    /// The warehouse that they come to.
    pub to: Warehouse,
    /// How many.
    pub quantity: Quantity,
    /// Its token.
    pub once: Option<Once>,
}

/// Moves available units from one warehouse of a product to another, all or nothing.
pub fn transfer<K: Keyspace>(keys: &mut K, request: &TransferRequest) -> Result<(), Refusal> {
    let TransferRequest { product, from, to, quantity, once } = request;
    if from == to {
        return Err(Refusal::invalid(format!("{from} is both warehouses: name two")));
    }
    expire::catch_up(keys);
    let places = places(keys, product.as_str())?;
    let (from, to) = (Sku::at(product.as_str(), from), Sku::at(product.as_str(), to));
    let (left, right) = (Shelf::read(keys, &from)?, Shelf::read(keys, &to)?);
    match once::look_up(keys, once.as_ref())? {
        once::Seen::New => {}
        once::Seen::Answered(Answer::Ok) => return Ok(()),
        once::Seen::Answered(other @ (Answer::Number(_) | Answer::Reserved(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::Other(asked) => return Err(Refusal::OtherOnce { asked }),
    }
    require_place(places.as_deref(), &from)?;
    require_place(places.as_deref(), &to)?;
    let units = quantity.units();
    if left.units < units {
        return Err(Refusal::Insufficient(vec![Shortage {
            sku: from,
            requested: units,
            available: left.units,
        }]));
    }
    if right.units.saturating_add(units) > MAX_EXACT {
        return Err(Refusal::invalid(format!(
            "{to} has {} available: {units} more is beyond {MAX_EXACT}",
            right.units
        )));
    }
    // After this point nothing may fail.
    let moved = |sku: &Sku, available| Effect::Units { sku: sku.clone(), available, reserved: 0 };
    let mut effects = vec![moved(&from, units.saturating_neg()), moved(&to, units)];
    effects.extend(once::remember(keys, once.as_ref(), &Answer::Ok));
    apply::commit(keys, &effects);
    feed::tell_units(keys, feed::Event::Transferred, &from, units.saturating_neg());
    feed::tell_units(keys, feed::Event::Transferred, &to, units);
    // What is available of the product is what it was: no alert.
    Ok(())
}

//! `INV.WAREHOUSES` and `INV.TRANSFER`: a product that is kept in several places.
//!
//! **Invariant:** the sorted set says where a product is kept, and it is read for every command: there is nothing in
//! memory that could contradict it. With a set, the product's own counters count for nothing; so a set is made only where
//! they hold nothing, and in that step they go.

use std::collections::HashMap;

use super::effects::{self, Effect};
use super::keyspace::{Counter, Keyspace, Ranking, Reading};
use super::once::unless_wrong_type;
use super::reserve::Shelf;
use super::{alerts, feed, once, queries, sweep};
use crate::inventory::error::{Refusal, Shortage};
use crate::inventory::once::{Answer, Once};
use crate::inventory::quantity::Quantity;
use crate::inventory::sku::{Key, KeyStyle, Listed, Product, Sku, Warehouse};

/// The most warehouses of one product.
pub const MOST: usize = 1024;

/// The most warehouses that one request may look at, of all its products together: a few milliseconds of work.
pub const MOST_A_REQUEST: usize = 2048;

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
            let key = key.name(keys.style());
            Err(Refusal::invalid(format!(
                "{product} has {count} warehouses, at most {MOST}: ZREM takes names out of {key}"
            )))
        }
        Ranking::Other(found) => {
            let key = key.name(keys.style());
            Err(Refusal::WrongType { key, found: found.into(), wanted: "a sorted set" })
        }
    }
}

/// `WRONGTYPE` where the key of a product's warehouses holds something else.
pub(super) fn check_set<K: Keyspace>(keys: &mut K, product: &str) -> Result<(), Refusal> {
    // Of what kind it is, without its members.
    match keys.ranking(Key::Warehouses(product), 0) {
        Ranking::Absent | Ranking::Members(_) | Ranking::TooMany(_) => Ok(()),
        Ranking::Other(_) => places(keys, product).map(|_| ()),
    }
}

/// How a sku stands to the warehouses of its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its product has no warehouses, or this is one of them.
    Counts,
    /// It is the product's own name, and the product is kept in warehouses.
    OwnName,
    /// Its warehouse is none of the product's.
    NoWarehouse,
}

/// How a sku stands to the warehouses of its product, however many there are. `WRONGTYPE` if the key holds something
/// else.
pub fn standing<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Standing, Refusal> {
    let key = Key::Warehouses(sku.product());
    let found = match sku.warehouse() {
        Some(warehouse) => keys.ranking_of(key, warehouse),
        None => keys.ranking(key, 0),
    };
    match (found, sku.warehouse()) {
        (Ranking::Absent, _) => Ok(Standing::Counts),
        (Ranking::Members(members), Some(_)) if members.is_empty() => Ok(Standing::NoWarehouse),
        (Ranking::Members(_) | Ranking::TooMany(_), Some(_)) => Ok(Standing::Counts),
        (Ranking::Members(_) | Ranking::TooMany(_), None) => Ok(Standing::OwnName),
        (Ranking::Other(found), _) => {
            let key = key.name(keys.style());
            Err(Refusal::WrongType { key, found: found.into(), wanted: "a sorted set" })
        }
    }
}

/// Whether the product's set of warehouses knows this sku: as one of its members, or as the product itself.
pub(super) fn is_named_in_set<K: Keyspace>(keys: &mut K, sku: &Sku) -> bool {
    let key = Key::Warehouses(sku.product());
    match sku.warehouse() {
        Some(warehouse) => {
            matches!(keys.ranking_of(key, warehouse), Ranking::Members(members) if !members.is_empty())
        }
        None => matches!(keys.ranking(key, 0), Ranking::Members(_) | Ranking::TooMany(_)),
    }
}

/// `ERR` if nothing is taken from `sku` by its name: it counts for nothing.
pub(super) fn require_supply<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<(), Refusal> {
    match standing(keys, sku)? {
        Standing::Counts => Ok(()),
        Standing::OwnName | Standing::NoWarehouse => require_place(keys.style(), Some(&[]), sku),
    }
}

/// `ERR` where units of `sku` cannot come or go by themselves: its product is kept in warehouses, and this is none of them.
pub(super) fn require_place(style: KeyStyle, places: Option<&[Place]>, sku: &Sku) -> Result<(), Refusal> {
    match (places, sku.warehouse()) {
        (None, _) => Ok(()),
        (Some(_), None) => {
            let tagged = style == KeyStyle::Tagged && !sku.as_str().contains('{');
            let named = if tagged { format!("{{{sku}}}") } else { sku.to_string() };
            Err(Refusal::invalid(format!(
                "{sku} is kept in warehouses: name one of them, as {named}@warehouse"
            )))
        }
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
    sweep::catch_up(keys);
    let places = places(keys, product.as_str())?;
    let own = Sku::from(product);
    let Shelf { available, units, reserved } = Shelf::read(keys, &own)?;
    if units != 0 || reserved != 0 {
        return Err(Refusal::invalid(format!(
            "{product} has {units} available and {reserved} reserved units of its own: a product is kept under its name or in \
             warehouses, not both"
        )));
    }
    let is_known = places.is_some() || available != Counter::Absent;
    let places: HashMap<Sku, f64> =
        places.into_iter().flatten().map(|place| (place.sku, place.priority)).collect();
    let (mut effects, mut moves, mut added) = (Vec::new(), alerts::Moves::default(), 0_usize);
    for (warehouse, priority) in wanted {
        let place = Sku::at(product.as_str(), warehouse);
        let known = places.get(&place);
        if known.is_none() {
            added = added.saturating_add(1);
            // Its units count from now on. What was not known was not out of stock before.
            let before = if is_known { Counter::Units(0) } else { Counter::Absent };
            moves.moved(&place, &before, Shelf::read(keys, &place)?.units.max(0));
        }
        if known.is_none_or(|known| !is_priority(*known, *priority)) {
            effects.push(Effect::Rank { place, priority: *priority });
        }
    }
    // Members that are no name count as well: they fill the set.
    if let Ranking::TooMany(count) =
        keys.ranking(Key::Warehouses(product.as_str()), MOST.saturating_sub(added))
    {
        let count = count.saturating_add(added);
        return Err(Refusal::invalid(format!("{product} would have {count} warehouses, at most {MOST}")));
    }
    effects.extend(clear(keys, own));
    if !effects.is_empty() {
        // After this point nothing may fail.
        effects::commit(keys, &effects);
        alerts::raise(keys, moves);
    }
    Ok(())
}

/// Takes a warehouse from a product. Without its last one, the product is kept under its own name again. `ERR` if the product
/// does not have it, most likely a slip of the pen, or if it has units.
pub fn remove<K: Keyspace>(keys: &mut K, product: &Product, warehouse: &Warehouse) -> Result<(), Refusal> {
    sweep::catch_up(keys);
    let places = places(keys, product.as_str())?.unwrap_or_default();
    let place = Sku::at(product.as_str(), warehouse);
    let Shelf { units, reserved, .. } = Shelf::read(keys, &place)?;
    if places.iter().all(|known| known.sku != place) {
        let has = match places.as_slice() {
            [] => "it is not kept in warehouses".to_owned(),
            some => format!("it has {}", list_warehouses(some)),
        };
        return Err(Refusal::invalid(format!("{product} has no warehouse {warehouse}: {has}")));
    }
    if units != 0 || reserved != 0 {
        return Err(Refusal::invalid(format!(
            "{place} has {units} available and {reserved} reserved units: only an empty warehouse can be removed"
        )));
    }
    let mut effects = vec![Effect::Unrank { place: place.clone() }];
    effects.extend(clear(keys, place));
    // After this point nothing may fail.
    effects::commit(keys, &effects);
    Ok(())
}

/// The first few of these, for a reader, and how many more there are.
fn list_first(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The names of some warehouses of one product.
fn list_warehouses(places: &[Place]) -> String {
    list_first(places.iter().map(|place| Listed(place.sku.warehouse().unwrap_or_default()).to_string()))
}

/// The refusal of a command that looks at one sku, if that is the name of a product that is kept in warehouses: which skus to
/// name instead.
pub(super) fn name_places<K: Keyspace>(keys: &mut K, product: &Sku) -> Refusal {
    let places = match places(keys, product.as_str()) {
        Ok(places) => places.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    let bare = keys.style() == KeyStyle::Tagged && !product.as_str().contains('{');
    let spell = |place: &Place| match place.sku.warehouse() {
        Some(warehouse) if bare => format!("{{{product}}}@{warehouse}"),
        Some(_) | None => place.sku.to_string(),
    };
    let named = list_first(places.iter().map(|place| Listed(&spell(place)).to_string()));
    Refusal::invalid(format!("{product} is kept in warehouses: name one of its places, {named}"))
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
    sweep::catch_up(keys);
    let places = unless_wrong_type(places(keys, product.as_str()))?;
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
    let places = places?;
    require_place(keys.style(), places.as_deref(), &from)?;
    require_place(keys.style(), places.as_deref(), &to)?;
    let units = quantity.units();
    if left.units < units {
        let is_known = queries::is_known(keys, &from);
        if places.is_none() && !is_known {
            return Err(Refusal::invalid(format!(
                "{product} is not kept in warehouses, so there is none to take from: INV.WAREHOUSES {product} SET warehouse \
                 priority says where it is kept"
            )));
        }
        return Err(Refusal::Insufficient(vec![Shortage {
            sku: from,
            requested: units,
            available: left.units,
            is_known,
        }]));
    }
    right.check_bound(&to, right.units.saturating_add(units))?;
    // After this point nothing may fail.
    let moved = |sku: &Sku, available| Effect::Units { sku: sku.clone(), available, reserved: 0 };
    let mut effects = vec![moved(&from, units.saturating_neg()), moved(&to, units)];
    effects.extend(once::remember(keys, once.as_ref(), &Answer::Ok));
    effects::commit(keys, &effects);
    feed::tell_units(keys, feed::Event::Transferred, &from, units.saturating_neg());
    feed::tell_units(keys, feed::Event::Transferred, &to, units);
    // What is available of the product is what it was, but for a counter that was below 0 by hand.
    let mut moves = alerts::Moves::default();
    moves.moved(&from, &left.available, units.saturating_neg());
    moves.moved(&to, &right.available, units);
    alerts::raise(keys, moves);
    Ok(())
}

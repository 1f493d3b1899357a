//! Where a product is kept: under its own name, or in its warehouses.

use super::keyspace::{Keyspace, Ranking};
use crate::inventory::key::Key;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Listed, Sku, Warehouse};

/// The most warehouses of one product.
pub const MOST: usize = 1024;

/// The most warehouses that one request may look at, of all its products together: a few milliseconds of work.
pub const MOST_A_REQUEST: usize = 2048;

/// `ERR` where a request has looked at too many warehouses.
pub(super) fn check_work(looked_at: usize) -> Result<(), Refusal> {
    if looked_at <= MOST_A_REQUEST {
        return Ok(());
    }
    Err(Refusal::impossible(format!(
        "these products have more than {MOST_A_REQUEST} warehouses in total: ask for fewer products at once"
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
            Err(Refusal::impossible(format!(
                "{product} has {count} warehouses, but at most {MOST} are allowed: remove some from {key} with ZREM"
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
            Err(Refusal::impossible(format!(
                "{sku} is kept in warehouses: name one, as in {named}@warehouse"
            )))
        }
        (Some(places), Some(_)) if places.iter().any(|place| place.sku == *sku) => Ok(()),
        (Some(_), Some(warehouse)) => {
            let product = sku.product();
            Err(Refusal::impossible(format!(
                "{product} has no warehouse {warehouse}: add it with INV.WAREHOUSES {product} SET {warehouse} priority"
            )))
        }
    }
}

/// The first few of these, for a reader, and how many more there are.
fn list_first(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The names of some warehouses of one product.
pub(super) fn list_warehouses(places: &[Place]) -> String {
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
    Refusal::impossible(format!("{product} is kept in warehouses: name one of {named}"))
}

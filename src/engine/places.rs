//! Where a product is kept: under its own name, or in its warehouses.

use super::keyspace::{Keyspace, Ranking};
use crate::inventory::key::Key;
use crate::inventory::priority::Priority;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Listed, Sku, Warehouse};

/// The maximum number of warehouses of one product.
pub const MOST: usize = 1024;

/// The maximum number of warehouses that one request may examine, for all its products together. Examining them takes a
/// few milliseconds.
pub const MOST_A_REQUEST: usize = 2048;

/// Checks the number of warehouses that a request has examined.
///
/// # Errors
///
/// `ERR` if it is above [`MOST_A_REQUEST`].
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
    /// The priority. The warehouse with the lowest number is used first. A closed one has the number +infinity.
    pub priority: f64,
}

impl Place {
    /// Whether units are taken from the warehouse only by its name.
    pub fn is_closed(&self) -> bool {
        Priority::is_closed(self.priority)
    }
}

/// Returns the warehouses of a product, the lowest priority number first and equal ones by name. Returns `None` if the
/// product is kept under its own name. Members that are not valid names of warehouses are skipped.
///
/// # Errors
///
/// `WRONGTYPE` if the key holds another type, and `ERR` if it has more than [`MOST`] members.
pub fn places<K: Keyspace>(keys: &mut K, product: &str) -> Result<Option<Vec<Place>>, Refusal> {
    if keys.ledger(|ledger| ledger.has_no_warehouses(product)) {
        return Ok(None);
    }
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

/// Checks the type of a product's set of warehouses.
///
/// # Errors
///
/// `WRONGTYPE` if the key holds another type.
pub(super) fn check_set<K: Keyspace>(keys: &mut K, product: &str) -> Result<(), Refusal> {
    // This reads the type without the members.
    match keys.ranking(Key::Warehouses(product), 0) {
        Ranking::Absent | Ranking::Members(_) | Ranking::TooMany(_) => Ok(()),
        Ranking::Other(_) => places(keys, product).map(|_| ()),
    }
}

/// Whether the units of a sku count, given the warehouses of its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The units count: the product has no warehouses, or the sku names one of them.
    Counts,
    /// The sku is the product's own name, but the product is kept in warehouses.
    OwnName,
    /// The sku names a warehouse that the product does not have.
    NoWarehouse,
}

/// Returns the standing of a sku, in the same time for any number of warehouses.
///
/// # Errors
///
/// `WRONGTYPE` if the key of the warehouses holds another type.
pub fn standing<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Standing, Refusal> {
    if sku.is_quota() {
        return Ok(Standing::Counts);
    }
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

/// Whether the product's set of warehouses implies this sku: as one of its members, or as the product itself.
pub(super) fn is_named_in_set<K: Keyspace>(keys: &mut K, sku: &Sku) -> bool {
    if sku.is_quota() {
        return false;
    }
    let key = Key::Warehouses(sku.product());
    match sku.warehouse() {
        Some(warehouse) => {
            matches!(keys.ranking_of(key, warehouse), Ranking::Members(members) if !members.is_empty())
        }
        None => matches!(keys.ranking(key, 0), Ranking::Members(_) | Ranking::TooMany(_)),
    }
}

/// Checks that units can be taken from this sku by name.
///
/// # Errors
///
/// `ERR` if the product is kept in warehouses and the sku is not one of them.
pub(super) fn require_supply<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<(), Refusal> {
    match standing(keys, sku)? {
        Standing::Counts => Ok(()),
        Standing::OwnName | Standing::NoWarehouse => require_place(keys.style(), Some(&[]), sku),
    }
}

/// Checks that units can be added to or removed from this sku. `places` are the warehouses of its product, or `None` if
/// it has none.
///
/// # Errors
///
/// `ERR` if the product is kept in warehouses and the sku is not one of them.
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

/// Lists the first few names for a reader, and says how many more there are.
fn list_first(names: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Lists the names of some warehouses of one product.
pub(super) fn list_warehouses(places: &[Place]) -> String {
    list_first(places.iter().map(|place| Listed(place.sku.warehouse().unwrap_or_default()).to_string()))
}

/// The refusal of a command that needs one sku but was given a product that is kept in warehouses. The message lists
/// the skus to name instead.
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

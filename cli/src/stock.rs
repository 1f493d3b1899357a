//! Stock, as the replies of the module tell it in RESP2 and RESP3.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Value, from_redis_value};

/// Stock of a product in all its warehouses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Units in all warehouses.
    pub units: Units,
    /// So many units are never promised; below 0, so many may be promised before they arrive.
    pub floor: i64,
    /// Stock is low if so many units can be reserved, or fewer; -1 if the product has no alerts.
    pub threshold: i64,
    /// By priority; empty if the product has no warehouses.
    pub warehouses: Vec<Place>,
}

impl Stock {
    /// Whether it is low: it is at or below its threshold, or at or below 0 if it has none.
    pub fn is_low(&self) -> bool {
        self.units.reservable <= self.threshold.max(0)
    }
}

/// A warehouse of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub warehouse: String,
    /// Its priority as a number, or `closed`.
    pub priority: String,
    /// Its floor.
    pub floor: i64,
    /// Its units.
    pub units: Units,
}

/// Units in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Not reserved.
    pub available: i64,
    /// Held by reservations.
    pub reserved: i64,
    /// Can be reserved: the available units above the floor, and those that may be promised before they arrive.
    pub reservable: i64,
}

impl Units {
    /// Available and reserved.
    pub const fn on_hand(self) -> i64 {
        self.available.saturating_add(self.reserved)
    }
}

/// A reply with named fields.
pub type Fields = BTreeMap<String, Value>;

/// A map of RESP3, or a flat array of RESP2.
pub fn fields(value: Value) -> Option<Fields> {
    from_redis_value::<Option<Fields>>(value).ok().flatten()
}

/// Takes one field out of a reply, if it is there and of this type.
pub fn take<T: FromRedisValue>(fields: &mut Fields, name: &str) -> Option<T> {
    from_redis_value(fields.remove(name)?).ok()
}

/// Parses the answer of INV.STOCK for one product; `None` if there is no such product, the error text if it cannot be read.
pub fn parse_stock(value: Value) -> Option<Result<Stock, String>> {
    let answer: Vec<Value> = from_redis_value(value).ok()?;
    parse_entry(answer.into_iter().next()?).map(|(_, stock)| stock)
}

/// Parses an entry of INV.STOCKSCAN: the product, and its stock or the error text.
pub fn parse_entry(value: Value) -> Option<(String, Result<Stock, String>)> {
    let mut fields = fields(value)?;
    let product = take(&mut fields, "product_id")?;
    if let Some(error) = take(&mut fields, "error") {
        return Some((product, Err(error)));
    }
    let warehouses: Vec<Value> = take(&mut fields, "warehouses").unwrap_or_default();
    let stock = Stock {
        units: parse_units(&mut fields)?,
        floor: take(&mut fields, "floor").unwrap_or_default(),
        threshold: take(&mut fields, "threshold").unwrap_or_default(),
        warehouses: warehouses.into_iter().filter_map(parse_place).collect(),
    };
    Some((product, Ok(stock)))
}

fn parse_place(value: Value) -> Option<Place> {
    let mut fields = fields(value)?;
    let is_closed = take(&mut fields, "closed").unwrap_or(0_i64) == 1;
    let priority: String = take(&mut fields, "priority").unwrap_or_default();
    Some(Place {
        warehouse: take(&mut fields, "warehouse")?,
        priority: if is_closed { "closed".to_owned() } else { priority },
        floor: take(&mut fields, "floor").unwrap_or_default(),
        units: parse_units(&mut fields)?,
    })
}

fn parse_units(fields: &mut Fields) -> Option<Units> {
    let available = take(fields, "available")?;
    // Before there were floors, everything that was available could be reserved.
    let reservable = take(fields, "reservable").unwrap_or(available);
    Some(Units { available, reserved: take(fields, "reserved")?, reservable })
}

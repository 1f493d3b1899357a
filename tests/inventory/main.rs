//! Tests the core with tables: ids and key names, quantities, records, outcomes, states, refusals, alerts, and the replicated
//! form of decisions. Needs no server and no clock.

mod alerts;
mod allocation;
mod ids;
mod keys;
mod orders;
mod patterns;
mod quantities;
mod records;
mod refusals;
mod replicated;
mod slots;
mod states;

use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text.as_bytes(), KeyStyle::Plain).unwrap()
}

fn product(text: &str) -> Product {
    Product::parse(text.as_bytes(), KeyStyle::Plain).unwrap()
}

fn sku(text: &str) -> Sku {
    Sku::parse(text.as_bytes(), KeyStyle::Plain).unwrap()
}

/// Parses lines such as `"P 5, Q@north 1"`.
fn lines(text: &str) -> Vec<Line> {
    let line = |line: &str| {
        let (name, units) = line.split_once(' ').unwrap();
        Line { sku: sku(name), quantity: Quantity::new(units.parse().unwrap()).unwrap() }
    };
    text.split(", ").filter(|line| !line.is_empty()).map(line).collect()
}

/// A record created at 1000 with a lifetime of 900 ms.
fn record(name: &str, items: &str) -> Record {
    Record::new(id(name), 1000, 1900, lines(items), None)
}

//! Parses the replies that only the live view needs, in RESP2 and RESP3.

use std::collections::BTreeMap;

use redis::{Value, from_redis_value};

use crate::stock::{Fields, fields, take};
use crate::watch::reading::{Alert, Change, Info, Item, Reservation, Totals};

/// Whether the feed is on and has tags, according to the answer of CONFIG GET.
pub fn has_tagged_feeds(mut settings: Fields) -> bool {
    let mut word = |name: &str| take::<String>(&mut settings, name).unwrap_or_default();
    let (style, most, cluster) = (word("inv.key-style"), word("inv.feed-maxlen"), word("cluster-enabled"));
    let is_tagged = style == "tagged" || style == "auto" && cluster == "yes";
    is_tagged && most != "0"
}

/// Parses an answer of INV.GET; `None` if the reservation is not live.
pub fn parse_reservation(value: Value) -> Option<Reservation> {
    let mut fields = fields(value)?;
    let state: String = take(&mut fields, "state")?;
    if state != "reserved" {
        return None;
    }
    let items: Vec<Value> = take(&mut fields, "items")?;
    Some(Reservation {
        id: take(&mut fields, "reservation_id")?,
        expires_at: take(&mut fields, "expires_at"),
        items: items.into_iter().filter_map(parse_item).collect(),
        data: take(&mut fields, "data").unwrap_or_default(),
    })
}

fn parse_item(value: Value) -> Option<Item> {
    let mut fields = fields(value)?;
    Some(Item {
        product: take(&mut fields, "product_id")?,
        warehouse: take(&mut fields, "warehouse"),
        quantity: take(&mut fields, "quantity")?,
    })
}

/// Parses an entry of INV.ALERTS.
pub fn parse_alert(value: Value) -> Option<Alert> {
    let mut fields = fields(value)?;
    Some(Alert {
        product: take(&mut fields, "product_id")?,
        kind: take(&mut fields, "type")?,
        available: take(&mut fields, "available")?,
        threshold: take(&mut fields, "threshold")?,
        timestamp: take(&mut fields, "timestamp")?,
    })
}

/// Parses an entry of the feed.
pub fn parse_change(value: Value) -> Option<Change> {
    let (entry, inner): (String, Value) = from_redis_value(value).ok()?;
    let mut fields = fields(inner)?;
    let sku: Option<String> = take(&mut fields, "sku");
    let product = match &sku {
        Some(sku) => sku.split('@').next()?.to_owned(),
        None => take(&mut fields, "product_id")?,
    };
    Some(Change {
        entry,
        event: take(&mut fields, "event")?,
        product,
        reservation: take(&mut fields, "reservation_id"),
        timestamp: take(&mut fields, "timestamp")?,
    })
}

/// Parses INFO. Also returns the server's clock in Unix ms.
pub fn parse_info(text: &str) -> (Info, Option<i64>) {
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let word = |name: &str| fields.get(name).copied();
    let number = |name: &str| word(name).and_then(|number| number.parse().ok()).unwrap_or(0_u64);
    // Besides its own version, Valkey reports the Redis version with which it is compatible.
    let version = word("valkey_version").or(word("redis_version")).unwrap_or_default();
    let name = word("server_name").unwrap_or("redis");
    let info = Info {
        server: format!("{name} {version}"),
        run: word("run_id").unwrap_or_default().to_owned(),
        holds: number("inv_holds"),
        totals: Totals {
            reserved: number("inv_reserved_total"),
            committed: number("inv_committed_total"),
            rolled_back: number("inv_rolled_back_total"),
            expired: number("inv_expired_total"),
            short: number("inv_refused_insufficient_total"),
        },
    };
    let time = word("server_time_usec").and_then(|time| time.parse::<i64>().ok());
    (info, time.map(|microseconds| microseconds.div_euclid(1000)))
}

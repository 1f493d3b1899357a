//! Alerts: raised behind every change of available units, listed from the newest.

use super::{Counter, Keyspace, Reading, Tally, apply};
use crate::inventory::alert::{Alert, AlertType, crossing};
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::{Key, Product, Sku};

/// The channel of every alert.
pub const CHANNEL: &str = "inventory:alerts";

/// How available units moved in one step, to find the crossings when it is done.
#[derive(Debug, Default)]
pub struct Moves(Vec<Move>);

#[derive(Debug)]
struct Move {
    sku: Sku,
    before: i64,
    after: i64,
}

impl Moves {
    /// `units` were added to the available units of `sku`, which were `before`. A counter that this step created
    /// tells nothing: the product was not low before, it was not there.
    pub fn moved(&mut self, sku: &Sku, before: &Counter, units: i64) {
        if let Counter::Units(before) = before {
            self.0.push(Move { sku: sku.clone(), before: *before, after: before.saturating_add(units) });
        }
    }
}

/// Raises the alerts of these moves: a key, a message, both in the transaction of their cause.
pub fn raise<K: Keyspace>(keys: &mut K, moves: Moves) {
    let settings = keys.settings();
    for Move { sku, before, after } in moves.0 {
        if sku.warehouse().is_some() {
            // A warehouse is a part of its product: its crossing says nothing of the sum.
            continue;
        }
        let own = keys.ledger(|ledger| ledger.threshold(sku.product()));
        let threshold = own.unwrap_or(settings.low_stock_threshold);
        if let Some(kind) = crossing(before, after, threshold)
            && let Ok(product) = Product::parse(sku.product().as_bytes(), keys.style())
        {
            raise_one(keys, &product, kind, after, threshold);
        }
    }
}

fn raise_one<K: Keyspace>(keys: &mut K, product: &Product, kind: AlertType, available: i64, threshold: i64) {
    let now = keys.now();
    let settings = keys.settings();
    let last = keys.ledger(|ledger| ledger.last_alert(product, kind));
    let cooldown = settings.alert_cooldown_ms;
    // The last one may bear a time a little ahead: the next free one of its millisecond.
    if cooldown > 0 && last.is_some_and(|last| now < last.saturating_add(cooldown)) {
        keys.tally(Tally::AlertsHeldBack, 1);
        return;
    }
    let mut at = now;
    while !apply::is_free(keys, Key::Alert(product.as_str(), at)) {
        at = at.saturating_add(1);
    }
    let alert = Alert { product_id: product.as_str().to_owned(), kind, available, threshold, timestamp: at };
    let json = alert.to_json();
    let key = Key::Alert(product.as_str(), at);
    let until = now.saturating_add(settings.alert_ttl_ms);
    apply::write_by_itself(keys, key, &json, until);
    keys.publish(CHANNEL, &json);
    keys.ledger(|ledger| {
        ledger.forget_alerts_before(now.saturating_sub(cooldown));
        ledger.enter_alert(product, at, Some(kind));
    });
    keys.tally(Tally::Alerts, 1);
}

/// Which alerts to list.
#[derive(Clone, Debug)]
pub struct AlertQuery {
    /// Of this product only.
    pub product: Option<Product>,
    /// Of this type only.
    pub kind: Option<AlertType>,
    /// Raised at this moment or later.
    pub since: UnixMs,
    /// At most so many.
    pub count: usize,
}

/// The alerts of `query` that are still there, newest first. `may_see` says which products the caller may see.
pub fn list<K: Keyspace>(keys: &mut K, query: &AlertQuery, may_see: impl Fn(&Product) -> bool) -> Vec<Alert> {
    let mut found = Vec::new();
    let mut before: Option<(UnixMs, Product)> = None;
    while found.len() < query.count {
        let next = keys.ledger(|ledger| ledger.alert_before(query.product.as_ref(), before.as_ref()));
        let Some((at, product)) = next.filter(|(at, _)| *at >= query.since) else { break };
        if may_see(&product)
            && let Reading::Text(json, _) = keys.peek(Key::Alert(product.as_str(), at))
            && let Some(alert) = Alert::from_json(&json)
            && query.kind.is_none_or(|kind| kind == alert.kind)
        {
            found.push(alert);
        }
        before = Some((at, product));
    }
    found
}

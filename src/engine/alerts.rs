//! Alerts: raised after every change of available units, listed from the newest.

use std::collections::HashMap;

use super::keyspace::{Counter, Keyspace, Reading, Tally, is_free};
use super::places::places;
use super::{effects, feed};
use crate::inventory::alert::{Alert, AlertType, crossing};
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::key::Key;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::{Product, Sku};

/// The channel of every alert.
pub const CHANNEL: &str = "inventory:alerts";

/// How available units moved in one step, to find the crossings when it is done.
#[derive(Debug, Default)]
pub struct Moves(Vec<Move>);

#[derive(Debug)]
struct Move {
    sku: Sku,
    before: Counter,
    units: i64,
}

impl Moves {
    /// `units` were added to the available units of `sku`, which were `before`, and nothing else moved.
    pub fn of(sku: &Sku, before: &Counter, units: i64) -> Self {
        let mut moves = Self::with_capacity(1);
        moves.moved(sku, before, units);
        moves
    }

    /// None yet, with room for `capacity` of them.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// `units` were added to the available units of `sku`, which were `before`; each sku once.
    pub fn moved(&mut self, sku: &Sku, before: &Counter, units: i64) {
        self.0.push(Move { sku: sku.clone(), before: before.clone(), units });
    }
}

/// Raises the alerts of these moves: a key, a message, both in the transaction of their cause. A product that is neither
/// low nor out costs no look at a key.
pub fn raise<K: Keyspace>(keys: &mut K, moves: Moves) {
    let mut in_warehouses: HashMap<&str, Vec<&Move>> = HashMap::new();
    for moved in moves.0.iter().filter(|moved| moved.sku.warehouse().is_some()) {
        in_warehouses.entry(moved.sku.product()).or_default().push(moved);
    }
    for Move { sku, before, units } in &moves.0 {
        let product = sku.product();
        if sku.warehouse().is_none() {
            // A counter that this step created tells nothing: the product was not low before, it was not there.
            if let Counter::Units(before) = before
                && let Some(crossed) = crossed(keys, product, *before, before.saturating_add(*units))
                // With warehouses, its own counter counts for nothing.
                && let Ok(None) = places(keys, product)
            {
                raise_one(keys, product, crossed);
            }
        } else if let Some(moves) = in_warehouses.remove(product)
            && may_cross(keys, product, &moves)
            && let Some((before, after)) = sums(keys, product, &moves)
            && let Some(crossed) = crossed(keys, product, before, after)
        {
            raise_one(keys, product, crossed);
        }
    }
}

/// Whether the sum of a product's warehouses may have crossed something. Not where each that moved was and is above
/// everything alone: then the sum was and is, or none of them counts; nor where the product raises no alerts.
fn may_cross<K: Keyspace>(keys: &mut K, product: &str, moves: &[&Move]) -> bool {
    let highest = known_threshold(keys, product);
    if highest < 0 {
        return false;
    }
    let is_above = |moved: &&Move| match moved.before {
        Counter::Units(units) => units > highest && units.saturating_add(moved.units) > highest,
        Counter::Absent | Counter::Broken(_) => false,
    };
    !moves.iter().all(is_above)
}

/// What was and is available in the warehouses of a product, all together; below 0 counts as 0. `None` where it is not
/// kept in any, or where none had a counter before.
fn sums<K: Keyspace>(keys: &mut K, product: &str, moves: &[&Move]) -> Option<(i64, i64)> {
    let places = places(keys, product).ok()??;
    let moved: HashMap<&Sku, &Move> = moves.iter().map(|moved| (&moved.sku, *moved)).collect();
    let (mut before, mut after, mut was_there) = (0_i64, 0_i64, false);
    for place in &places {
        let found = Counter::from(keys.peek(Key::Available(&place.sku)));
        let now = match found {
            Counter::Units(units) => units,
            Counter::Absent | Counter::Broken(_) => 0,
        };
        let (then, known) = match moved.get(&place.sku) {
            Some(moved) => (now.saturating_sub(moved.units), moved.before != Counter::Absent),
            None => (now, found != Counter::Absent),
        };
        before = before.saturating_add(then.max(0));
        after = after.saturating_add(now.max(0));
        was_there |= known;
    }
    was_there.then_some((before, after))
}

/// A crossing of a product's threshold: which, and at how many available units.
struct Crossed {
    kind: AlertType,
    available: i64,
    threshold: i64,
}

fn crossed<K: Keyspace>(keys: &mut K, product: &str, before: i64, after: i64) -> Option<Crossed> {
    let threshold = known_threshold(keys, product);
    let kind = crossing(before, after, threshold)?;
    Some(Crossed { kind, available: after, threshold })
}

/// At how many available units the stock of a product is low; below 0: it raises no alerts.
fn known_threshold<K: Keyspace>(keys: &mut K, product: &str) -> i64 {
    let own = keys.ledger(|ledger| ledger.thresholds.of(product));
    own.unwrap_or(keys.settings().low_stock_threshold)
}

fn raise_one<K: Keyspace>(keys: &mut K, product: &str, crossed: Crossed) {
    let Ok(product) = &Product::parse(product.as_bytes(), keys.style()) else { return };
    let Crossed { kind, available, threshold } = crossed;
    let now = keys.now();
    let settings = keys.settings();
    let last = keys.ledger(|ledger| ledger.alerts.last(product, kind));
    let cooldown = settings.alert_cooldown_ms;
    // The last one may bear a time a little ahead: the next free one of its millisecond.
    if cooldown > 0 && last.is_some_and(|last| now < last.saturating_add(cooldown)) {
        keys.tally(Tally::AlertsHeldBack, 1);
        return;
    }
    let Some(at) = free_moment(keys, product, now) else {
        keys.tally(Tally::AlertsHeldBack, 1);
        return;
    };
    let alert = Alert { product_id: product.as_str().to_owned(), kind, available, threshold, timestamp: at };
    let json = alert.to_json();
    let key = Key::Alert(product.as_str(), at);
    let until = now.saturating_add(settings.alert_ttl_ms);
    effects::write_plainly(keys, key, &json, until);
    keys.publish(CHANNEL, &json);
    feed::tell_alert(keys, &alert);
    keys.ledger(|ledger| {
        ledger.alerts.forget_before(now.saturating_sub(cooldown));
        ledger.alerts.enter(product, at, Some(kind));
        ledger.alerts.note_tried(product, now, at);
    });
    keys.tally(Tally::Alerts, 1);
}

/// How many milliseconds are tried one by one for an alert: less than a millisecond of work.
const MOST_TRIED: usize = 1024;
/// After them the steps double, so often: a quarter of an hour ahead at most.
const MOST_DOUBLED: usize = 20;

/// A millisecond from `now` on for which no alert of this product is stored. Memory says where to begin, and the keys what is
/// free. `None` if another program has written its own keys wherever one was looked for.
fn free_moment<K: Keyspace>(keys: &mut K, product: &Product, now: UnixMs) -> Option<UnixMs> {
    let mut at = keys.ledger(|ledger| ledger.alerts.first_to_try(product, now));
    let mut step = 1_i64;
    for tried in 1..=MOST_TRIED.saturating_add(MOST_DOUBLED) {
        if is_free(keys, Key::Alert(product.as_str(), at)) {
            return Some(at);
        }
        if tried > MOST_TRIED {
            step = step.saturating_mul(2);
        }
        at = at.saturating_add(step);
    }
    None
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
    /// Raised before this moment.
    pub before: Option<UnixMs>,
    /// The most alerts to list. With `before` some more, to have all of the last one's millisecond.
    pub count: usize,
}

/// How many alerts are looked at for one answer, listed or not: a few milliseconds of work.
const MOST_LOOKED_AT: usize = 4096;

/// The alerts of `query` that are still there, newest first. `may_see` says which products the caller may see.
///
/// A page that `before` asks for ends between two milliseconds, whatever the limits say: so the moment of its last alert is where
/// the next page begins, and neither lacks an alert.
pub fn list<K: Keyspace>(keys: &mut K, query: &AlertQuery, may_see: impl Fn(&Product) -> bool) -> Vec<Alert> {
    let mut found = Vec::new();
    let mut last: Option<(UnixMs, Product)> = None;
    let mut looked_at = 0_usize;
    loop {
        let (of, kind) = (query.product.as_ref(), query.kind);
        let from = last.as_ref().map(|(at, product)| (*at, Some(product)));
        let from = from.or(query.before.map(|before| (before, None)));
        let next = keys.ledger(|ledger| ledger.alerts.before(of, kind, from));
        let Some((at, product)) = next.filter(|(at, _)| *at >= query.since) else { break };
        let is_full = found.len() >= query.count || looked_at >= MOST_LOOKED_AT;
        let is_page_end = query.before.is_none() || last.is_none_or(|(last, _)| last != at);
        if is_full && is_page_end {
            break;
        }
        looked_at = looked_at.saturating_add(1);
        if may_see(&product) && keys.slot_state(product.as_str()) != SlotState::Elsewhere {
            match keys.peek(Key::Alert(product.as_str(), at)) {
                // Its time is over, and no event has told of it yet. An event would tell if it came back.
                Reading::Absent => keys.ledger(|ledger| ledger.alerts.leave(&product, at)),
                Reading::Text(json, _) => {
                    let alert = Alert::from_json(&json);
                    found.extend(alert.filter(|alert| kind.is_none_or(|kind| kind == alert.kind)));
                }
                Reading::Other(_) => {}
            }
        }
        last = Some((at, product));
    }
    found
}

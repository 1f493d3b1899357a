//! Alerts: raised after every change of available units, and listed newest first.

use std::collections::{BTreeMap, HashMap};

use super::bounds::stored_floor;
use super::keyspace::{Counter, Keyspace, Reading, Tally, is_free};
use super::places::{Place, places};
use super::{effects, feed};
use crate::inventory::alert::{Alert, AlertType, crossing};
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::key::Key;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::{Product, Sku};

/// The channel on which every alert is published.
pub const CHANNEL: &str = "inventory:alerts";

/// The changes of what can be reserved in one step. When the step is complete, [`raise`] finds the crossings in them.
#[derive(Debug, Default)]
pub struct Moves(Vec<Move>);

/// One change: `units` were added to the available units, which were `before`.
#[derive(Debug)]
struct Move {
    sku: Sku,
    before: Counter,
    units: i64,
    /// The sku was one of its product's open warehouses and no longer is. Then `units` is what could be reserved there,
    /// with a minus sign.
    leaves: bool,
}

impl Move {
    /// What could be reserved before, if the sku was known and this is its floor. An absent counter counts as 0 if there is
    /// a floor.
    fn before(&self, floor: Option<i64>) -> Option<i64> {
        match (&self.before, floor) {
            (Counter::Units(units), floor) => Some(units.saturating_sub(floor.unwrap_or_default())),
            (Counter::Absent, Some(floor)) => Some(floor.saturating_neg()),
            (Counter::Absent, None) | (Counter::Broken(_), _) => None,
        }
    }
}

impl Moves {
    /// One change: `units` were added to the available units of `sku`, which were `before`.
    pub fn of(sku: &Sku, before: &Counter, units: i64) -> Self {
        let mut moves = Self::with_capacity(1);
        moves.moved(sku, before, units);
        moves
    }

    /// The change of what can be reserved when the floor of `sku`, of which so many units are available, goes from
    /// `before` to `after`.
    ///
    /// For alerts, a floor that rises is the same as units that are taken.
    pub fn of_floor(sku: &Sku, available: Counter, before: i64, after: i64) -> Self {
        let more = before.saturating_sub(after);
        let available = match available {
            Counter::Units(units) => units,
            Counter::Absent | Counter::Broken(_) => 0,
        };
        Self::of(sku, &Counter::Units(available.saturating_sub(more)), more)
    }

    /// Creates an empty list with room for `capacity` changes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Records that `units` were added to the available units of `sku`, which were `before`. Each sku may be recorded
    /// once, and the quota of a buyer never is.
    pub fn moved(&mut self, sku: &Sku, before: &Counter, units: i64) {
        self.0.push(Move { sku: sku.clone(), before: before.clone(), units, leaves: false });
    }

    /// Records that a warehouse counts from now on, from which so many units can be reserved.
    pub fn joined(&mut self, place: &Sku, available: i64, reservable: i64) {
        let more = reservable.max(0);
        self.moved(place, &Counter::Units(available.saturating_sub(more)), more);
    }

    /// Records that a warehouse does not count any more, from which so many units could be reserved.
    pub fn left(&mut self, place: &Sku, available: i64, reservable: i64) {
        let units = reservable.max(0).saturating_neg();
        let before = Counter::Units(available);
        self.0.push(Move { sku: place.clone(), before, units, leaves: true });
    }
}

/// Raises the alerts for these changes. For each alert a key is written and a message is published, both in the
/// transaction of their cause. For a product that is neither low nor out of stock, no key is read.
pub fn raise<K: Keyspace>(keys: &mut K, moves: Moves) {
    if keys.is_draft() {
        return;
    }
    let mut in_warehouses: BTreeMap<&str, Vec<&Move>> = BTreeMap::new();
    for moved in moves.0.iter().filter(|moved| moved.sku.warehouse().is_some()) {
        in_warehouses.entry(moved.sku.product()).or_default().push(moved);
    }
    for moved @ Move { sku, .. } in &moves.0 {
        let product = sku.product();
        if sku.warehouse().is_none() {
            // A new counter raises no alert: the product did not exist before, so it was not low.
            if let Some((threshold, floor)) = terms_of(keys, sku)
                && let Some(before) = moved.before(floor)
                && let Some(crossed) = crossed(before, before.saturating_add(moved.units), threshold)
                // If the product has warehouses, the counter under its own name does not count.
                && let Ok(None) = places(keys, product)
            {
                raise_one(keys, product, crossed);
            }
        } else if let Some(moves) = in_warehouses.remove(product)
            && let Some(threshold) = may_cross(keys, product, &moves)
            && let Some((before, after)) = sums(keys, product, &moves, threshold)
            && let Some(crossed) = crossed(before, after, threshold)
        {
            raise_one(keys, product, crossed);
        }
    }
}

/// The low-stock threshold of a sku's product, and the key of the sku's floor. Returns `None` if the product raises no
/// alerts, or if the floor is not an integer, so that it is not known what can be reserved.
fn terms_of<K: Keyspace>(keys: &mut K, sku: &Sku) -> Option<(i64, Option<i64>)> {
    let (own, has_no_floor) =
        keys.ledger(|ledger| (ledger.thresholds.of(sku.product()), ledger.has_no_floor(sku)));
    let threshold = own.unwrap_or(keys.settings().low_stock_threshold);
    if threshold < 0 {
        return None;
    }
    if has_no_floor {
        return Some((threshold, None));
    }
    match stored_floor(keys, sku) {
        Counter::Absent => Some((threshold, None)),
        Counter::Units(floor) => Some((threshold, Some(floor))),
        Counter::Broken(_) => None,
    }
}

/// Whether the sum of a product's warehouses may have crossed 0 or the threshold. Returns the threshold if it may.
///
/// If every warehouse that changed was and is above the threshold alone, the sum was and is above it as well. In that
/// case, and if the product raises no alerts, the other warehouses need not be read.
fn may_cross<K: Keyspace>(keys: &mut K, product: &str, moves: &[&Move]) -> Option<i64> {
    let highest = known_threshold(keys, product);
    if highest < 0 {
        return None;
    }
    let is_above = |moved: &&Move| match (&moved.before, terms_of(keys, &moved.sku)) {
        (Counter::Units(units), Some((_, floor))) => {
            let reservable = units.saturating_sub(floor.unwrap_or_default());
            reservable > highest && reservable.saturating_add(moved.units) > highest
        }
        (Counter::Absent | Counter::Broken(_) | Counter::Units(_), _) => false,
    };
    (!moves.iter().all(is_above)).then_some(highest)
}

/// What could be reserved from all open warehouses of a product together, before and after the changes. A negative number
/// counts as 0. Returns `None` if the product has no warehouses, if none of them was known before, or if both sums are above
/// the threshold. Few warehouses have to be read until the latter is known.
fn sums<K: Keyspace>(keys: &mut K, product: &str, moves: &[&Move], threshold: i64) -> Option<(i64, i64)> {
    let (mut before, mut after, mut was_there) = (0_i64, 0_i64, false);
    for gone in moves.iter().filter(|moved| moved.leaves) {
        before = before.saturating_sub(gone.units);
        was_there = true;
    }
    let places = match places(keys, product).ok()? {
        Some(places) => places,
        None if was_there => Vec::new(),
        None => return None,
    };
    let moved: HashMap<&Sku, &Move> = moves.iter().map(|moved| (&moved.sku, *moved)).collect();
    let open = places.iter().filter(|place| !place.is_closed());
    let mut open: Vec<(&Place, Option<&Move>)> =
        open.map(|place| (place, moved.get(&place.sku).copied())).collect();
    // After those that changed, both sums only grow.
    open.sort_by_key(|(_, moved)| moved.is_none());
    for (place, moved) in open {
        if moved.is_none() && before > threshold && after > threshold {
            return None;
        }
        let available = Counter::from(keys.peek(Key::Available(&place.sku)));
        let is_counted = available != Counter::Absent;
        let (now, has_floor) = match (available, stored_floor(keys, &place.sku)) {
            // Nothing can be reserved from it until the key is corrected.
            (Counter::Broken(_), _) | (_, Counter::Broken(_)) => continue,
            (Counter::Units(units), Counter::Units(floor)) => (units.saturating_sub(floor), true),
            (Counter::Units(units), Counter::Absent) => (units, false),
            (Counter::Absent, Counter::Units(floor)) => (floor.saturating_neg(), true),
            (Counter::Absent, Counter::Absent) => (0, false),
        };
        let (then, was_counted) = match moved {
            Some(moved) => (now.saturating_sub(moved.units), moved.before != Counter::Absent),
            None => (now, is_counted),
        };
        before = before.saturating_add(then.max(0));
        after = after.saturating_add(now.max(0));
        was_there |= was_counted || has_floor;
    }
    was_there.then_some((before, after))
}

/// A crossing: its type, and what can be reserved and the threshold at that moment.
struct Crossed {
    kind: AlertType,
    available: i64,
    threshold: i64,
}

fn crossed(before: i64, after: i64, threshold: i64) -> Option<Crossed> {
    let kind = crossing(before, after, threshold)?;
    Some(Crossed { kind, available: after, threshold })
}

/// The low-stock threshold of a product. If it is negative, the product raises no alerts.
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
    // The last alert may have a timestamp slightly in the future, because it takes the next free millisecond.
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

/// The number of consecutive milliseconds that are tried for an alert. Trying them takes less than a millisecond.
const MOST_TRIED: usize = 1024;
/// The number of tries after that, each with twice the previous step. They reach at most a quarter of an hour ahead.
const MOST_DOUBLED: usize = 20;

/// Finds a millisecond, not before `now`, for which no alert of this product is stored. The ledger says where to begin,
/// and the keys say what is free. Returns `None` if every key that was tried is taken, which only another program can
/// cause.
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

/// A request for stored alerts.
#[derive(Clone, Debug)]
pub struct AlertQuery {
    /// List only alerts of this product.
    pub product: Option<Product>,
    /// List only alerts of this type.
    pub kind: Option<AlertType>,
    /// List only alerts raised at this moment or later.
    pub since: UnixMs,
    /// List only alerts raised before this moment.
    pub before: Option<UnixMs>,
    /// The maximum number of alerts. If `before` is set, the list may be longer, so that it does not end within a
    /// millisecond.
    pub count: usize,
}

/// The number of alerts that one request examines, whether it lists them or not. Examining them takes a few
/// milliseconds.
const MOST_LOOKED_AT: usize = 4096;

/// Returns the alerts that match `query` and still exist, newest first. `may_see` decides which products the caller may
/// see.
///
/// If `before` is set, the page always ends between two milliseconds, even beyond the limits. The next page can
/// therefore begin at the timestamp of the last alert without losing one.
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
                // The alert has expired and its event has not arrived yet. If it came back, another event would report
                // it.
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

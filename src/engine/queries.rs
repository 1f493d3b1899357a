//! The reading commands: `INV.GET`, `INV.SCAN` and `INV.STOCK`. They settle nothing, and also work on a replica.

use super::judge::judge;
use super::keyspace::{Counter, Keyspace, Reading};
use super::places::{self, places};
use super::shelves::{Units, units_of, units_with};
use super::sweep;
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::ending::Ending;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::outcome::{Outcome, Parts};
use crate::inventory::pattern::Pattern;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{Product, ReservationId, Sku};
use crate::inventory::state::State;
use crate::ledger::holds::Position;

/// The state of a live reservation.
const LIVE: &str = "reserved";

/// What is known about a reservation. Unknown fields are `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// `reserved`, `committed`, `rolled_back`, `expired` or `replaced`.
    pub state: &'static str,
    /// The time at which the reservation was made.
    pub created_at: Option<UnixMs>,
    /// The last deadline.
    pub expires_at: UnixMs,
    /// The time at which the reservation ended.
    pub resolved_at: Option<UnixMs>,
    /// The lines that are held. For an ended reservation, all lines that it ever held.
    pub items: Vec<Line>,
    /// The lines that were requested, if they differ from all that the reservation ever held.
    pub asked: Vec<Line>,
    /// The lines that were sold, if the reservation went in parts.
    pub sold: Vec<Line>,
    /// The lines that were returned to the available stock, if the reservation went in parts or expired.
    pub returned: Vec<Line>,
    /// For an expired reservation, the lines that a rollback had returned before. They are part of `returned`.
    pub rolled_back: Vec<Line>,
    /// The requested units that `PARTIAL` left out of a live reservation.
    pub short: Vec<Line>,
    /// The client's free text.
    pub data: Option<String>,
    /// The buyer, if the client named one.
    pub buyer: Option<String>,
    /// The reservation that replaced this one.
    pub replaced_by: Option<ReservationId>,
}

/// Returns what is known about a reservation, or `None` if the id is unknown.
///
/// # Errors
///
/// `FOREIGN` if the key is not a record of the module, and `WRONGTYPE` if the outcome cannot be read.
pub fn get<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<Option<ReservationView>, Refusal> {
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    let without_ttl = matches!(found, Reading::Text(_, None));
    let state = judge(keys, id, found)?;
    Ok(match state {
        State::Live(record, deadline) if without_ttl && now > deadline => Some(expired(&record, deadline)),
        State::Live(record, deadline) => Some(ReservationView {
            state: LIVE,
            created_at: Some(record.created_at),
            expires_at: deadline,
            resolved_at: None,
            items: record.items,
            asked: record.asked.unwrap_or_default(),
            sold: record.sold,
            returned: record.returned,
            rolled_back: Vec::new(),
            short: record.short.unwrap_or_default(),
            data: record.data,
            buyer: record.buyer,
            replaced_by: None,
        }),
        State::Ended(outcome) => Some(ended(outcome)),
        State::Unknown | State::Lapsed { .. } => overdue(keys, id, now),
        State::Foreign => return Err(Refusal::Foreign(id.clone())),
    })
}

/// A reservation that has ended.
fn ended(outcome: Outcome) -> ReservationView {
    let Parts { sold, returned } = outcome.parts.unwrap_or_default();
    ReservationView {
        state: outcome.ending.name(),
        created_at: Some(outcome.created_at),
        expires_at: outcome.expires_at,
        resolved_at: Some(outcome.resolved_at),
        items: outcome.items,
        asked: Vec::new(),
        sold,
        returned,
        rolled_back: outcome.rolled_back,
        short: Vec::new(),
        data: outcome.data,
        buyer: outcome.buyer,
        replaced_by: outcome.replaced_by,
    }
}

/// A reservation whose deadline has passed and which is not released yet. It looks as it will after that, except that nobody
/// knows yet when that will be.
fn expired(record: &Record, deadline: UnixMs) -> ReservationView {
    let outcome = Outcome::of(record, deadline, Ending::Expired, deadline, &record.items);
    ReservationView { resolved_at: None, ..ended(outcome) }
}

/// Returns what the ledger knows about a reservation whose deadline has passed and which is not settled yet. Readers
/// settle nothing, and a replica waits for its master.
fn overdue<K: Keyspace>(keys: &mut K, id: &ReservationId, now: UnixMs) -> Option<ReservationView> {
    keys.ledger(|ledger| {
        let expires_at = ledger.lapsed(id, now)?;
        if let Some(gone) = ledger.pending.find(id) {
            return Some(expired(&gone.record, expires_at));
        }
        // The index does not know what was sold or returned before.
        let mut items = ledger.holds.lines(id).unwrap_or_default();
        items.retain(|line| !line.sku.is_quota());
        Some(ReservationView {
            state: Ending::Expired.name(),
            created_at: None,
            expires_at,
            resolved_at: None,
            items,
            asked: Vec::new(),
            sold: Vec::new(),
            returned: Vec::new(),
            rolled_back: Vec::new(),
            short: Vec::new(),
            data: None,
            buyer: None,
            replaced_by: None,
        })
    })
}

/// A request for live reservations.
#[derive(Clone, Debug)]
pub struct ScanQuery {
    /// List the reservations after this position. `None` starts at the first deadline.
    pub from: Option<Position>,
    /// The maximum number of reservations to list.
    pub count: usize,
    /// List only reservations that hold units of this product.
    pub product: Option<Product>,
    /// List only reservations whose ids match.
    pub pattern: Option<Pattern>,
    /// Show each reservation as INV.GET does.
    pub full: bool,
}

/// A reservation that a walk lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Its id.
    pub id: ReservationId,
    /// What INV.GET shows, if that was asked for.
    pub view: Option<ReservationView>,
}

/// The number of reservations that are examined for one page, whether they are listed or not.
const HOLDS_A_PAGE: usize = 1024;

/// The number of lines, and the bytes of `DATA`, after which a page of whole reservations ends.
const LINES_A_PAGE: usize = 4096;
const DATA_A_PAGE: usize = 262_144;

/// Returns the next page of a walk over live reservations by deadline, and the position after it, or `None` at the end.
///
/// A reservation that is live and keeps its deadline during the whole walk is listed. `may_see` decides which
/// reservations the caller may see.
///
/// # Errors
///
/// [`Refusal::TryAgain`] until every live reservation is known.
pub fn scan<K: Keyspace>(
    keys: &mut K,
    query: &ScanQuery,
    may_see: impl Fn(&ReservationId) -> bool,
) -> Result<(Option<Position>, Vec<Scanned>), Refusal> {
    sweep::require_index(keys)?;
    let now = keys.now();
    let (mut next, met) = keys.ledger(|ledger| {
        let holds = &ledger.holds;
        let (mut position, mut found, mut looked_at) = (query.from, Vec::new(), 0_usize);
        while looked_at < HOLDS_A_PAGE && found.len() < query.count {
            let Some((at, id, deadline)) = holds.after(position) else { return (None, found) };
            position = Some(at);
            looked_at = looked_at.saturating_add(1);
            let is_wanted = query.product.as_ref().is_none_or(|product| holds.is_of(&id, product.as_str()));
            let matches = |pattern: &Pattern| {
                looked_at = looked_at.saturating_add(pattern.work(id.as_str()));
                pattern.matches(id.as_str())
            };
            if deadline >= now && is_wanted && query.pattern.as_ref().is_none_or(matches) && may_see(&id) {
                found.push((at, id));
            }
        }
        (position, found)
    });
    let mut found = Vec::with_capacity(met.len());
    let (mut lines, mut data) = (0_usize, 0_usize);
    let mut met = met.into_iter().peekable();
    while let Some((at, id)) = met.next() {
        // While a slot arrives as a whole, it still belongs to the other node.
        if keys.slot_state(id.as_str()) == SlotState::Elsewhere {
            continue;
        }
        if !query.full {
            found.push(Scanned { id, view: None });
            continue;
        }
        // A record that another client has just changed may not be readable. INV.GET explains why.
        let view = get(keys, &id).ok().flatten().filter(|view| view.state == LIVE);
        let Some(view) = view else { continue };
        let lists = [&view.items, &view.asked, &view.sold, &view.returned];
        lines = lists.into_iter().map(Vec::len).fold(lines, usize::saturating_add);
        data = data.saturating_add(view.data.as_ref().map_or(0, String::len));
        found.push(Scanned { id, view: Some(view) });
        if (lines >= LINES_A_PAGE || data >= DATA_A_PAGE) && met.peek().is_some() {
            next = Some(at);
            break;
        }
    }
    Ok((next, found))
}

/// The stock of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct StockView {
    /// The product.
    pub product: Product,
    /// The total over all warehouses.
    pub units: Units,
    /// The low-stock threshold, in available units. If it is negative, the product raises no alerts.
    pub threshold: i64,
    /// The units in each warehouse, in order of priority. Empty if the product is kept under its own name.
    pub warehouses: Vec<(places::Place, Units)>,
}

/// The stock of one product: `None` if it has neither counters nor warehouses, and a refusal if one of its keys cannot
/// be read.
pub type Stocked = Result<Option<StockView>, Refusal>;

/// Returns the stock of each product, in the order of the request. A product that cannot be read does not affect the
/// others.
///
/// # Errors
///
/// `ERR` if the products have too many warehouses in total.
pub fn stock<K: Keyspace>(keys: &mut K, products: &[Product]) -> Result<Vec<Stocked>, Refusal> {
    let (mut looked_at, mut found) = (0_usize, Vec::with_capacity(products.len()));
    for product in products {
        let sku = Sku::from(product);
        if keys.ledger(|ledger| ledger.is_plain(&sku)) {
            let units = units_with(keys, &sku, Counter::Absent);
            found.push(units.and_then(|units| view_of(keys, product, units, Vec::new())));
            continue;
        }
        let places = places(keys, product.as_str());
        if let Ok(Some(places)) = &places {
            looked_at = looked_at.saturating_add(places.len());
            places::check_work(looked_at)?;
        }
        found.push(places.and_then(|places| stock_of(keys, product, places)));
    }
    Ok(found)
}

/// The stock of one product, which is kept in these places.
pub(super) fn stock_of<K: Keyspace>(
    keys: &mut K,
    product: &Product,
    places: Option<Vec<places::Place>>,
) -> Stocked {
    let (units, warehouses) = match places {
        None => (units_of(keys, &Sku::from(product))?, Vec::new()),
        Some(places) => {
            let mut sum = Units::default();
            let mut found = Vec::with_capacity(places.len());
            for place in places {
                let units = units_of(keys, &place.sku)?.unwrap_or_default();
                sum = if place.is_closed() { sum.plus_closed(units) } else { sum.plus(units) };
                found.push((place, units));
            }
            (Some(sum), found)
        }
    };
    view_of(keys, product, units, warehouses)
}

/// The stock of a product that has these units, if any.
fn view_of<K: Keyspace>(
    keys: &mut K,
    product: &Product,
    units: Option<Units>,
    warehouses: Vec<(places::Place, Units)>,
) -> Stocked {
    let Some(units) = units else { return Ok(None) };
    let threshold = stored_threshold(keys, product)?;
    Ok(Some(StockView { product: product.clone(), units, threshold, warehouses }))
}

/// The low-stock threshold of a product, read from its key.
fn stored_threshold<K: Keyspace>(keys: &mut K, product: &Product) -> Result<i64, Refusal> {
    let key = Key::Threshold(product.as_str());
    match keys.read_counter(key) {
        Counter::Absent => Ok(keys.settings().low_stock_threshold),
        own @ (Counter::Units(_) | Counter::Broken(_)) => own.units(key, keys.style()),
    }
}

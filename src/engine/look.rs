//! The readers: `INV.GET` and `INV.STOCK`. They settle nothing, and work on a replica.

use super::{Counter, Keyspace, Reading, judge};
use crate::inventory::error::Refusal;
use crate::inventory::outcome::Ending;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Line, State};
use crate::inventory::sku::{Key, Product, ReservationId, Sku};

/// What is known of a reservation; what is not, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// `reserved`, `committed`, `rolled_back` or `expired`.
    pub state: &'static str,
    /// When it was made.
    pub created_at: Option<UnixMs>,
    /// Its (last) deadline.
    pub expires_at: UnixMs,
    /// When it ended.
    pub resolved_at: Option<UnixMs>,
    /// What it holds, or held.
    pub items: Vec<Line>,
    /// Free text of the client.
    pub data: Option<String>,
}

/// How a reservation stands; `None` for an unknown id.
pub fn get<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<Option<ReservationView>, Refusal> {
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    let without_ttl = matches!(found, Reading::Text(_, None));
    let state = judge(keys, id, found)?;
    Ok(match state {
        State::Live(record, deadline) => Some(ReservationView {
            state: if without_ttl && now > deadline { Ending::Expired.name() } else { "reserved" },
            created_at: Some(record.created_at),
            expires_at: deadline,
            resolved_at: None,
            items: record.items,
            data: record.data,
        }),
        State::Ended(outcome) => Some(ReservationView {
            state: outcome.ending.name(),
            created_at: Some(outcome.created_at),
            expires_at: outcome.expires_at,
            resolved_at: Some(outcome.resolved_at),
            items: outcome.items,
            data: outcome.data,
        }),
        State::Unknown | State::Lapsed { .. } => overdue(keys, id, now),
        State::Foreign => return Err(Refusal::Foreign(id.clone())),
    })
}

/// A reservation whose deadline has passed and which is not settled yet (a reader settles nothing, and a replica
/// waits for its master): what memory knows of it.
fn overdue<K: Keyspace>(keys: &mut K, id: &ReservationId, now: UnixMs) -> Option<ReservationView> {
    keys.ledger(|ledger| {
        let expires_at = ledger.lapsed(id, now)?;
        let record = ledger.pending(id).map(|gone| &gone.record);
        Some(ReservationView {
            state: Ending::Expired.name(),
            created_at: record.map(|record| record.created_at),
            expires_at,
            resolved_at: None,
            items: record
                .map_or_else(|| ledger.lines(id).unwrap_or_default().to_vec(), |record| record.items.clone()),
            data: record.and_then(|record| record.data.clone()),
        })
    })
}

/// The stock of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockView {
    /// The product.
    pub product: Product,
    /// Units that can be reserved.
    pub available: i64,
    /// Units held.
    pub reserved: i64,
    /// Units in the house: available and reserved.
    pub on_hand: i64,
    /// At this many available units and below, stock is low.
    pub threshold: i64,
}

/// The stock of a product; `None` for one that has no counters.
pub fn stock<K: Keyspace>(keys: &mut K, product: &Product) -> Result<Option<StockView>, Refusal> {
    let sku = Sku::from(product);
    let style = keys.style();
    let available = Counter::from(keys.read(Key::Available(&sku)));
    let reserved = Counter::from(keys.read(Key::Reserved(&sku)));
    if available == Counter::Absent && reserved == Counter::Absent {
        return Ok(None);
    }
    let available = available.units(Key::Available(&sku), style)?;
    let reserved = reserved.units(Key::Reserved(&sku), style)?;
    let threshold = match Counter::from(keys.read(Key::Threshold(product.as_str()))) {
        Counter::Absent => keys.settings().low_stock_threshold,
        own @ (Counter::Units(_) | Counter::Broken(_)) => {
            own.units(Key::Threshold(product.as_str()), style)?
        }
    };
    Ok(Some(StockView {
        product: product.clone(),
        available,
        reserved,
        on_hand: available.saturating_add(reserved),
        threshold,
    }))
}

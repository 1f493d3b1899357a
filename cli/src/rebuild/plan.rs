//! What a server has to contain so that it is what the tables say. Pure.
//!
//! Each reservation is written together with the units that it holds, so the counters begin without them: `available` with the units
//! that reservations hold, `reserved` with those that no reservation holds. At every moment the server is then in a state that the
//! module can be in, and a rebuild that was killed goes on where it was.

use std::collections::BTreeMap;

use crate::document::{Document, Line, Lines, to_lines};
use crate::keys::product_of;
use crate::mirror::book::Reservation;
use crate::mirror::entry::Units;

/// The moment, and the server's settings.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The server's clock, Unix ms.
    pub now: i64,
    /// `inv.outcome-ttl-ms`.
    pub outcome_ttl: i64,
    /// `inv.hold-ttl-ms`.
    pub hold_ttl: i64,
}

/// A deadline this close passes while the reservation is written.
const MARGIN: i64 = 2000;

/// What becomes of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is live: its record, its deadline, and the units that it moves, its part of quotas included.
    Live {
        /// The record.
        record: Document,
        /// Its deadline.
        deadline: i64,
        /// The units by sku.
        moved: Lines,
    },
    /// It has ended, which is remembered until the time.
    Ended {
        /// The outcome.
        outcome: Document,
        /// The end of the TTL.
        until: i64,
    },
    /// It has ended so long ago that it is not remembered.
    Forgotten,
}

/// What becomes of a reservation, and of the units that it holds according to the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is written.
    pub fate: Fate,
    /// Whether the units that it holds according to the tables are sold. The server knew that, but its feed had not been read so far.
    pub is_sold: bool,
    /// Whether its deadline is not known.
    pub lacks_deadline: bool,
}

/// Decides what becomes of a reservation. `successor` is the deadline of the reservation that replaced it, if that is known.
pub fn plan(id: &str, row: &Reservation, successor: Option<i64>, moment: Moment) -> Plan {
    let known = row.document.as_deref().and_then(|json| Document::read(id, json));
    let simple = |fate| Plan { fate, is_sold: false, lacks_deadline: false };
    if !row.is_live() {
        return simple(ended(id, row, known, successor, moment));
    }
    // The document is newer than the units: the server had already ended this reservation.
    if let Some(outcome) = known.clone().filter(is_end_of_units) {
        let is_sold = outcome.state.as_deref() == Some("committed");
        return Plan { is_sold, ..simple(remembered(outcome, successor, moment)) };
    }
    let deadline = row.expires_at.unwrap_or(moment.now + moment.hold_ttl);
    let lacks_deadline = row.expires_at.is_none();
    if deadline < moment.now + MARGIN {
        let outcome = expired(id, row, known.as_ref(), deadline);
        return Plan { lacks_deadline, ..simple(remembered(outcome, successor, moment)) };
    }
    let record = record(id, row, known, deadline);
    let mut moved = row.held.clone();
    for (sku, line) in record.quotas().into_iter().zip(record.quota.as_deref().unwrap_or_default()) {
        *moved.entry(sku).or_default() += line.quantity;
    }
    Plan { lacks_deadline, ..simple(Fate::Live { record, deadline, moved }) }
}

/// Whether this is an outcome after which the reservation holds nothing, and nobody else holds its units either.
fn is_end_of_units(document: &Document) -> bool {
    matches!(document.state.as_deref(), Some("committed" | "rolled_back" | "expired"))
}

/// The record of a live reservation: as the server had it, if it holds just what the tables say.
fn record(id: &str, row: &Reservation, known: Option<Document>, deadline: i64) -> Document {
    if let Some(record) = &known
        && record.state.is_none()
        && record.held() == row.held
    {
        return record.clone();
    }
    let part = |units: &Lines| (!units.is_empty()).then(|| to_lines(units));
    let known = known.unwrap_or_else(|| empty(id, row));
    let quota = known
        .quota
        .as_deref()
        .map(|quota| quota.iter().filter_map(|line| still_held(line, &row.held)).collect());
    Document {
        quota: quota.filter(|quota: &Vec<Line>| !quota.is_empty()),
        state: None,
        resolved_at: None,
        replaced_by: None,
        rolled_back: Vec::new(),
        expires_at: deadline,
        items: to_lines(&row.held),
        sold: part(&row.sold),
        returned: part(&row.returned),
        ..known
    }
}

/// What is left of a line of a quota, if so much is held.
fn still_held(line: &Line, held: &Lines) -> Option<Line> {
    let of_product = held.iter().filter(|(sku, _)| product_of(sku) == line.product_id);
    let quantity = of_product.map(|(_, units)| *units).sum::<i64>().min(line.quantity);
    (quantity > 0).then(|| Line { quantity, ..line.clone() })
}

/// The outcome of a reservation whose deadline has passed, as the module writes it.
fn expired(id: &str, row: &Reservation, known: Option<&Document>, deadline: i64) -> Document {
    let base = known.cloned().unwrap_or_else(|| empty(id, row));
    Document {
        state: Some("expired".to_owned()),
        expires_at: deadline,
        resolved_at: Some(deadline),
        items: to_lines(&sum(&[&row.held, &row.sold, &row.returned])),
        sold: Some(to_lines(&row.sold)),
        returned: Some(to_lines(&sum(&[&row.returned, &row.held]))),
        rolled_back: to_lines(&row.returned),
        asked: None,
        short: None,
        restored: None,
        ..base
    }
}

/// What is remembered of a reservation that has ended.
fn ended(
    id: &str,
    row: &Reservation,
    known: Option<Document>,
    successor: Option<i64>,
    moment: Moment,
) -> Fate {
    if let Some(outcome) = known.filter(|document| document.state.is_some()) {
        return remembered(outcome, successor, moment);
    }
    // The server was not asked in time. What the feed said is enough to refuse the id.
    let (Some(resolved_at), true) = (row.resolved_at, is_ending(row)) else { return Fate::Forgotten };
    let in_parts = !row.sold.is_empty() && !row.returned.is_empty();
    let parts = in_parts || row.state == "expired";
    let outcome = Document {
        state: Some(row.state.clone()),
        resolved_at: Some(resolved_at),
        items: to_lines(&sum(&[&row.sold, &row.returned])),
        sold: parts.then(|| to_lines(&row.sold)),
        returned: parts.then(|| to_lines(&row.returned)),
        replaced_by: row.replaced_by.clone(),
        ..empty(id, row)
    };
    remembered(outcome, successor, moment)
}

fn is_ending(row: &Reservation) -> bool {
    matches!(row.state.as_str(), "committed" | "rolled_back" | "expired")
        || (row.state == "replaced" && row.replaced_by.is_some())
}

/// How long an outcome is remembered.
fn remembered(outcome: Document, successor: Option<i64>, moment: Moment) -> Fate {
    let resolved_at = outcome.resolved_at.unwrap_or(outcome.expires_at);
    let from = if outcome.replaced_by.is_some() {
        successor.unwrap_or(outcome.expires_at).max(resolved_at)
    } else {
        resolved_at
    };
    let until = from.saturating_add(moment.outcome_ttl);
    if moment.outcome_ttl == 0 || until < moment.now + MARGIN {
        return Fate::Forgotten;
    }
    Fate::Ended { outcome, until }
}

/// What the tables know without any document.
fn empty(id: &str, row: &Reservation) -> Document {
    Document {
        reservation_id: id.to_owned(),
        state: None,
        created_at: row.created_at,
        expires_at: row.expires_at.unwrap_or(row.created_at),
        resolved_at: None,
        items: Vec::new(),
        asked: None,
        sold: None,
        returned: None,
        data: row.data.clone(),
        rolled_back: Vec::new(),
        short: None,
        buyer: row.buyer.clone(),
        quota: None,
        replaced_by: None,
        restored: None,
    }
}

fn sum(parts: &[&Lines]) -> Lines {
    let mut sum = Lines::new();
    for (sku, units) in parts.iter().flat_map(|lines| lines.iter()) {
        *sum.entry(sku.clone()).or_default() += units;
    }
    sum
}

/// The counters with which a rebuild begins, and those with which it ends.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Units that reservations hold, and that are available before these are written or after they have ended.
    returning: BTreeMap<String, i64>,
    /// Units that reservations hold according to the tables.
    held: BTreeMap<String, i64>,
    /// Units that live reservations hold in the end.
    live: BTreeMap<String, i64>,
}

impl Counters {
    /// Takes in a reservation.
    pub fn add(&mut self, row: &Reservation, plan: &Plan) {
        for (sku, units) in &row.held {
            *self.held.entry(sku.clone()).or_default() += units;
            if !plan.is_sold {
                *self.returning.entry(sku.clone()).or_default() += units;
            }
        }
        if let Fate::Live { moved, .. } = &plan.fate {
            for (sku, units) in moved {
                *self.live.entry(sku.clone()).or_default() += units;
            }
        }
    }

    /// The counters of a sku before any reservation is written, if these are its units in the tables.
    pub fn first(&self, sku: &str, units: Units) -> Units {
        let of = |sums: &BTreeMap<String, i64>| sums.get(sku).copied().unwrap_or_default();
        Units { available: units.available + of(&self.returning), reserved: units.reserved - of(&self.held) }
    }

    /// The counters when all have been written.
    pub fn last(&self, sku: &str, first: Units) -> Units {
        let live = self.live.get(sku).copied().unwrap_or_default();
        Units { available: first.available - live, reserved: first.reserved + live }
    }

    /// The skus of which live reservations hold something, quotas included.
    pub fn live(&self) -> impl Iterator<Item = &String> {
        self.live.keys()
    }

    /// The skus of which reservations hold something according to the tables.
    pub fn held(&self) -> impl Iterator<Item = &String> {
        self.held.keys()
    }
}

/// The counters of a quota before any reservation is written: what was bought, which is what nobody holds.
pub const fn first_of_quota(units: Units) -> Units {
    Units { available: units.available + units.reserved, reserved: 0 }
}

#[cfg(test)]
mod tests {
    use super::{Counters, Fate, Moment, plan};
    use crate::document::Lines;
    use crate::mirror::book::Reservation;
    use crate::mirror::entry::Units;

    const MOMENT: Moment = Moment { now: 100_000, outcome_ttl: 50_000, hold_ttl: 900 };

    fn units(lines: &[(&str, i64)]) -> Lines {
        lines.iter().map(|(sku, units)| ((*sku).to_owned(), *units)).collect()
    }

    fn held(lines: &[(&str, i64)], expires_at: i64) -> Reservation {
        let state = "reserved".to_owned();
        Reservation {
            state,
            held: units(lines),
            created_at: 90_000,
            expires_at: Some(expires_at),
            ..Reservation::default()
        }
    }

    #[test]
    fn a_live_reservation_is_written_as_the_server_had_it() {
        let json = r#"{"reservation_id":"r","created_at":90000,"expires_at":200000,"items":[{"product_id":"P","quantity":2}],"data":"x"}"#;
        let row = Reservation { document: Some(json.to_owned()), ..held(&[("P", 2)], 200_000) };
        let Fate::Live { record, deadline, moved } = plan("r", &row, None, MOMENT).fate else {
            panic!("not live")
        };
        assert_eq!((record.write().as_str(), deadline, moved), (json, 200_000, units(&[("P", 2)])));

        // Of the same document, the tables know that a part was sold.
        let row = Reservation { held: units(&[("P", 1)]), sold: units(&[("P", 1)]), ..row };
        let Fate::Live { record, .. } = plan("r", &row, None, MOMENT).fate else { panic!("not live") };
        let expected = r#"{"reservation_id":"r","created_at":90000,"expires_at":200000,"items":[{"product_id":"P","quantity":1}],"sold":[{"product_id":"P","quantity":1}],"data":"x"}"#;
        assert_eq!(record.write(), expected);
    }

    #[test]
    fn what_is_overdue_has_expired_and_its_units_are_available() {
        let row = held(&[("P", 2)], 99_000);
        let plan = plan("r", &row, None, MOMENT);
        let Fate::Ended { outcome, until } = &plan.fate else { panic!("not ended") };
        assert_eq!(*until, 149_000);
        let expected = r#"{"reservation_id":"r","state":"expired","created_at":90000,"expires_at":99000,"resolved_at":99000,"items":[{"product_id":"P","quantity":2}],"sold":[],"returned":[{"product_id":"P","quantity":2}]}"#;
        assert_eq!(outcome.write(), expected);
        let mut counters = Counters::default();
        counters.add(&row, &plan);
        let first = counters.first("P", Units { available: 5, reserved: 2 });
        assert_eq!(counters.last("P", first), Units { available: 7, reserved: 0 });
    }

    #[test]
    fn a_sale_that_only_the_outcome_tells_is_kept() {
        let json = r#"{"reservation_id":"r","state":"committed","created_at":1,"expires_at":200000,"resolved_at":99000,"items":[{"product_id":"P","quantity":2}]}"#;
        let row = Reservation { document: Some(json.to_owned()), ..held(&[("P", 2)], 200_000) };
        let plan = plan("r", &row, None, MOMENT);
        assert!(plan.is_sold && matches!(&plan.fate, Fate::Ended { outcome, .. } if outcome.write() == json));
        let mut counters = Counters::default();
        counters.add(&row, &plan);
        let first = counters.first("P", Units { available: 5, reserved: 2 });
        assert_eq!(counters.last("P", first), Units { available: 5, reserved: 0 });
    }

    #[test]
    fn live_reservations_move_their_units_and_what_nobody_holds_stays_reserved() {
        let json = r#"{"reservation_id":"r","created_at":1,"expires_at":200000,"items":[{"product_id":"P","quantity":2}],"buyer":"b","quota":[{"product_id":"P","quantity":2}]}"#;
        let row = Reservation { document: Some(json.to_owned()), ..held(&[("P", 2)], 200_000) };
        let mut counters = Counters::default();
        counters.add(&row, &plan("r", &row, None, MOMENT));
        let first = counters.first("P", Units { available: 5, reserved: 3 });
        assert_eq!(first, Units { available: 7, reserved: 1 });
        assert_eq!(counters.last("P", first), Units { available: 5, reserved: 3 });
        let quota = super::first_of_quota(Units { available: -3, reserved: 2 });
        assert_eq!(quota, Units { available: -1, reserved: 0 });
        assert_eq!(counters.last("P@@b", quota), Units { available: -3, reserved: 2 });
    }

    #[test]
    fn an_outcome_is_remembered_as_long_as_the_server_would_have() {
        let row = Reservation {
            state: "committed".to_owned(),
            sold: units(&[("P", 1)]),
            created_at: 1,
            resolved_at: Some(60_000),
            ..Reservation::default()
        };
        assert!(matches!(plan("r", &row, None, MOMENT).fate, Fate::Ended { until: 110_000, .. }));
        let old = Reservation { resolved_at: Some(40_000), ..row.clone() };
        assert_eq!(plan("r", &old, None, MOMENT).fate, Fate::Forgotten);
        let forgetful = Moment { outcome_ttl: 0, ..MOMENT };
        assert_eq!(plan("r", &row, None, forgetful).fate, Fate::Forgotten);
        let replaced = Reservation { state: "replaced".to_owned(), replaced_by: Some("s".to_owned()), ..old };
        assert!(matches!(
            plan("r", &replaced, Some(140_000), MOMENT).fate,
            Fate::Ended { until: 190_000, .. }
        ));
    }
}

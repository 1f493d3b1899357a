//! Determines the state of a reservation id from its keys.

use super::keyspace::{Keyspace, Reading};
use crate::inventory::cluster_slot::Slot;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::ReservationId;
use crate::inventory::state::State;

/// Returns the state of a reservation id according to its keys. `found` is the value of its record key.
///
/// # Errors
///
/// `WRONGTYPE` if the key of the outcome holds something else.
pub(super) fn judge<K: Keyspace>(keys: &mut K, id: &ReservationId, found: Reading) -> Result<State, Refusal> {
    let style = keys.style();
    let is_live = matches!(found, Reading::Text(..)) && keys.ledger(|ledger| ledger.has_no_outcome(id));
    let outcome = if is_live { None } else { outcome(keys, id)? };
    let name = || Key::Reservation(id).name(style);
    if found != Reading::Absent
        && keys.ledger(|ledger| !ledger.foreign.is_empty() && ledger.foreign.contains(name().as_bytes()))
    {
        return Ok(State::Foreign);
    }
    Ok(match (found, outcome) {
        (Reading::Absent, None) => State::Unknown,
        (Reading::Absent, Some(outcome)) => State::Ended(outcome),
        // A record whose id has ended is a copy or an old dump.
        (_, Some(_)) | (Reading::Other(_), None) => State::Foreign,
        (Reading::Text(json, ttl), None) => match record(keys, id, &json) {
            Some(record) => {
                let deadline = ttl.unwrap_or(record.expires_at);
                State::Live(record, deadline)
            }
            None => State::Foreign,
        },
    })
}

/// Reads a record. Returns `None` if the value is not a record of this id. In a cluster the same applies if its units
/// are in other slots than the record, because no command could move them.
pub(super) fn record<K: Keyspace>(keys: &K, id: &ReservationId, json: &[u8]) -> Option<Record> {
    let record = Record::from_json(id, json, keys.style())?;
    (!keys.in_cluster() || is_in_slot_of(id, &record.items)).then_some(record)
}

/// Whether the units of these lines are in the same slot as the reservation.
pub(super) fn is_in_slot_of(id: &ReservationId, lines: &[Line]) -> bool {
    let slot = Slot::of(id.as_str());
    lines.iter().all(|line| Slot::of(line.sku.product()) == slot)
}

/// Returns the remembered outcome of an id, if there is one.
///
/// # Errors
///
/// `WRONGTYPE` if the key holds something else.
pub(super) fn outcome<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<Option<Outcome>, Refusal> {
    let key = Key::Outcome(id);
    let style = keys.style();
    let in_cluster = keys.in_cluster();
    let wrong = |found| Refusal::WrongType { key: key.name(style), found, wanted: "an outcome" };
    match keys.read(key) {
        Reading::Absent => Ok(None),
        Reading::Other(kind) => Err(wrong(kind.into())),
        Reading::Text(json, _) => match Outcome::from_json(id, &json, style) {
            Some(outcome) if in_cluster && !is_in_slot_of(id, &outcome.items) => {
                Err(wrong("one of units in other slots".into()))
            }
            Some(outcome) => Ok(Some(outcome)),
            None => Err(wrong("something else".into())),
        },
    }
}

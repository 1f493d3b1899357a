//! `INV.COMMIT` and `INV.ROLLBACK`: how a reservation ends by a command.

use super::apply::{self, Effect};
use super::{Counter, Keyspace, Tally, alerts, settled_state};
use crate::inventory::error::Refusal;
use crate::inventory::outcome::{Ending, Outcome};
use crate::inventory::reservation::{Line, Record, Rollback};
use crate::inventory::sku::{Key, ReservationId};

/// Sells what the reservation holds. Again: nothing more.
pub fn commit<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<(), Refusal> {
    let Some(record) = settled_state(keys, id)?.commit(id)? else { return Ok(()) };
    check_held(keys, &record.items)?;
    // After this point nothing may fail.
    let units = record.items.iter().map(|line| Effect::Units {
        sku: line.sku.clone(),
        available: 0,
        reserved: line.quantity.units().saturating_neg(),
    });
    let effects: Vec<Effect> = units.chain([end(keys, &record, Ending::Committed)]).collect();
    apply::commit(keys, &effects);
    keys.tally(Tally::Committed, 1);
    Ok(())
}

/// Gives back what the reservation holds. Again, or after its deadline gave it back: nothing more.
pub fn rollback<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<(), Refusal> {
    let record = match settled_state(keys, id)?.rollback(id)? {
        Rollback::Already => return Ok(()),
        Rollback::Rename(outcome) => {
            rename_outcome(keys, id, outcome);
            return Ok(());
        }
        Rollback::Return(record) => record,
    };
    check_held(keys, &record.items)?;
    let mut moves = alerts::Moves::default();
    for Line { sku, quantity } in &record.items {
        let key = Key::Available(sku);
        let available = Counter::from(keys.read(key));
        if available.clone().units(key, keys.style())?.checked_add(quantity.units()).is_none() {
            return Err(Refusal::invalid(format!("the available units of {sku} would overflow")));
        }
        moves.moved(sku, &available, quantity.units());
    }
    // After this point nothing may fail.
    let units = record.items.iter().map(|line| Effect::Units {
        sku: line.sku.clone(),
        available: line.quantity.units(),
        reserved: line.quantity.units().saturating_neg(),
    });
    let effects: Vec<Effect> = units.chain([end(keys, &record, Ending::RolledBack)]).collect();
    apply::commit(keys, &effects);
    alerts::raise(keys, moves);
    keys.tally(Tally::RolledBack, 1);
    Ok(())
}

/// A rollback after the deadline: the units are back, and from now on nobody takes them again for this id.
fn rename_outcome<K: Keyspace>(keys: &mut K, id: &ReservationId, outcome: Outcome) {
    let now = keys.now();
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms.max(1));
    let outcome = Outcome { ending: Ending::RolledBack, resolved_at: now, ..outcome };
    apply::commit(keys, &[Effect::Outcome { id: id.clone(), outcome, deadline }]);
    keys.tally(Tally::RolledBack, 1);
}

/// `DRIFT` where a counter holds less than the reservation says.
fn check_held<K: Keyspace>(keys: &mut K, items: &[Line]) -> Result<(), Refusal> {
    let mut drift = None;
    for Line { sku, quantity } in items {
        let reserved = super::counter(keys, Key::Reserved(sku))?;
        if reserved < quantity.units() && drift.is_none() {
            drift = Some(Refusal::Drift { sku: sku.clone(), held: quantity.units(), reserved });
        }
    }
    drift.map_or(Ok(()), Err)
}

fn end<K: Keyspace>(keys: &mut K, record: &Record, ending: Ending) -> Effect {
    let now = keys.now();
    let outcome_ttl = keys.settings().outcome_ttl_ms;
    let expires_at = keys.ledger(|ledger| ledger.deadline(&record.id)).unwrap_or(record.expires_at);
    Effect::End {
        id: record.id.clone(),
        outcome: Outcome::of(record, expires_at, ending, now),
        deadline: if outcome_ttl > 0 { now.saturating_add(outcome_ttl) } else { 0 },
    }
}

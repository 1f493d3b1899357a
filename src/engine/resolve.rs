//! `INV.COMMIT`, `INV.ROLLBACK` and `INV.EXTEND`: what a command does to a live reservation.

use super::effects::{self, Effect};
use super::keyspace::{Keyspace, Tally, counter_to_change};
use super::places::require_supply;
use super::supply::Supply;
use super::sweep::settled_state;
use super::{alerts, feed, once};
use crate::inventory::allocation::Split;
use crate::inventory::error::Refusal;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::once::{Answer, Once};
use crate::inventory::outcome::{Ending, Outcome};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Line, Record, Rollback, State, sum_lines};
use crate::inventory::sku::{Key, ReservationId};

/// A commit or a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The reservation.
    pub id: ReservationId,
    /// So much of it; `None`: the whole.
    pub part: Option<Vec<Line>>,
    /// A commit only: if the deadline has given the units back, and they are still free, take them again.
    pub late: bool,
    /// Its token.
    pub once: Option<Once>,
}

/// Sells what the reservation holds, or a part of it. The whole again: nothing more.
pub fn commit<K: Keyspace>(keys: &mut K, request: &ResolveRequest) -> Result<(), Refusal> {
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    if let once::Seen::Answered(_) = seen {
        return Ok(());
    }
    let (record, deadline) = match &request.part {
        Some(_) => seen.or(state.live(&request.id))?,
        None => {
            if request.late
                && let State::Ended(outcome) = &state
                && outcome.ending == Ending::Expired
            {
                let outcome = seen.or(Ok(outcome.clone()))?;
                return commit_late(keys, request, outcome);
            }
            match seen.or(state.commit(&request.id))? {
                Some(live) => live,
                None => {
                    once::remember_alone(keys, request.once.as_ref(), &Answer::Ok);
                    return Ok(());
                }
            }
        }
    };
    resolve(keys, request, &record, deadline, Ending::Committed)
}

/// The deadline was faster than the payment: what went back is taken again and sold in one step, if it is still free.
fn commit_late<K: Keyspace>(keys: &mut K, request: &ResolveRequest, outcome: Outcome) -> Result<(), Refusal> {
    Supply::of_lines(keys, &outcome.items)?;
    let lines = outcome.to_take_again();
    for line in &lines {
        // It takes units, as RESERVE does: not where nothing is sold from any more.
        require_supply(keys, &line.sku)?;
    }
    outcome.check_all_back()?;
    let mut supply = Supply::of_lines(keys, &lines)?;
    supply.pick(keys, &lines, Split::default())?;
    let shelves = supply.shelves(keys, &lines)?;
    // After this point nothing may fail.
    let now = keys.now();
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms.max(1));
    let taken = |line: &Line| Effect::Units {
        sku: line.sku.clone(),
        available: line.quantity.units().saturating_neg(),
        reserved: 0,
    };
    let mut effects: Vec<Effect> = lines.iter().map(taken).collect();
    let id = request.id.clone();
    effects.push(Effect::Outcome { id, outcome: outcome.sold_late(now), deadline });
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    effects::commit(keys, &effects);
    feed::tell_lines(keys, feed::Event::CommittedLate, &request.id, &lines);
    alerts::raise(keys, shelves.moves(&lines));
    keys.tally(Tally::LateCommits, 1);
    Ok(())
}

/// Gives back what the reservation holds, or a part of it. The whole again, or after its deadline gave it back:
/// nothing more.
pub fn rollback<K: Keyspace>(keys: &mut K, request: &ResolveRequest) -> Result<(), Refusal> {
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    if let once::Seen::Answered(_) = seen {
        return Ok(());
    }
    let (record, deadline) = match &request.part {
        Some(_) => seen.or(state.live(&request.id))?,
        None => match seen.or(state.rollback(&request.id))? {
            Rollback::Already => {
                once::remember_alone(keys, request.once.as_ref(), &Answer::Ok);
                return Ok(());
            }
            Rollback::Rename(outcome) => {
                rename_outcome(keys, request, outcome);
                return Ok(());
            }
            Rollback::Return(record, deadline) => (record, deadline),
        },
    };
    resolve(keys, request, &record, deadline, Ending::RolledBack)
}

/// A new deadline for a live reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendRequest {
    /// The reservation.
    pub id: ReservationId,
    /// How long from now, or until when.
    pub lifetime: Lifetime,
    /// Its token.
    pub once: Option<Once>,
}

/// Moves the deadline of a live reservation, later or earlier. Gives the new one.
pub fn extend<K: Keyspace>(keys: &mut K, request: &ExtendRequest) -> Result<UnixMs, Refusal> {
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    match seen {
        once::Seen::Answered(Answer::Number(deadline)) => return Ok(deadline),
        once::Seen::Answered(other @ (Answer::Ok | Answer::Reserved(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::New | once::Seen::Other(_) => {}
    }
    let (record, _) = seen.or(state.live(&request.id))?;
    let deadline = request.lifetime.deadline(keys.now(), record.created_at, keys.settings().lifetimes())?;
    // After this point nothing may fail.
    let record = Record { expires_at: deadline, ..record };
    let mut effects = vec![Effect::Record { record, deadline }];
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Number(deadline)));
    effects::commit(keys, &effects);
    Ok(deadline)
}

/// How the reservation stands, and what is known of the command's token.
fn open<K: Keyspace>(
    keys: &mut K,
    id: &ReservationId,
    token: Option<&Once>,
) -> Result<(State, once::Seen), Refusal> {
    let state = settled_state(keys, id)?;
    let seen = once::look_up(keys, token)?;
    if state == State::Foreign {
        return Err(Refusal::Foreign(id.clone()));
    }
    Ok((state, seen))
}

/// Takes the step on the live `record`.
fn resolve<K: Keyspace>(
    keys: &mut K,
    request: &ResolveRequest,
    record: &Record,
    deadline: UnixMs,
    ending: Ending,
) -> Result<(), Refusal> {
    let lines = match &request.part {
        Some(part) => record.resolve_part(part)?,
        None => record.items.clone(),
    };
    let moves = check_counters(keys, record, &lines, ending)?;
    // After this point nothing may fail.
    // Beside the lines its end, and perhaps the answer to its token.
    let mut effects = Vec::with_capacity(lines.len().saturating_add(2));
    effects.extend(lines.iter().map(|line| units_effect(line, ending)));
    let left = record.without(&lines);
    let ended = left.is_empty();
    effects.push(if ended {
        end_effect(keys, record, deadline, ending, &lines)
    } else {
        Effect::Record { record: shrunk(record, left, &lines, ending, deadline), deadline }
    });
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    effects::commit(keys, &effects);
    let event = match ending {
        Ending::Committed => feed::Event::Committed,
        Ending::RolledBack | Ending::Expired => feed::Event::RolledBack,
    };
    feed::tell_lines(keys, event, &request.id, &lines);
    alerts::raise(keys, moves);
    if ended {
        keys.tally(if ending == Ending::Committed { Tally::Committed } else { Tally::RolledBack }, 1);
    }
    Ok(())
}

/// A rollback after the deadline: the units are back, and from now on nobody takes them again for this id.
fn rename_outcome<K: Keyspace>(keys: &mut K, request: &ResolveRequest, outcome: Outcome) {
    let now = keys.now();
    // Outcomes may have been turned off since this one was written: it keeps the shortest life that it can have.
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms.max(1));
    let mut effects =
        vec![Effect::Outcome { id: request.id.clone(), outcome: outcome.given_up(now), deadline }];
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    effects::commit(keys, &effects);
    keys.tally(Tally::RolledBack, 1);
}

/// Whether the counters can take the step, and how available moves by it. `WRONGTYPE` where one is no integer, then
/// `DRIFT` where a reserved counter holds less than the reservation says, then `ERR` where available would overflow. Of a
/// record that appeared by hand nobody knows that its units were taken: it moves none that others hold (CLAMP).
fn check_counters<K: Keyspace>(
    keys: &mut K,
    record: &Record,
    lines: &[Line],
    ending: Ending,
) -> Result<alerts::Moves, Refusal> {
    let mut moves = alerts::Moves::with_capacity(lines.len());
    let (mut drift, mut overflow) = (None, None);
    let by_hand = keys.ledger(|ledger| ledger.holds.is_by_hand(&record.id));
    for Line { sku, quantity } in lines {
        let units = quantity.units();
        let mut reserved = counter_to_change(keys, Key::Reserved(sku))?;
        if by_hand {
            let own =
                record.items.iter().find(|line| line.sku == *sku).map_or(0, |line| line.quantity.units());
            reserved = reserved.saturating_sub(keys.ledger(|ledger| ledger.holds.held_by_others(sku, own)));
        }
        if reserved < units {
            drift.get_or_insert_with(|| Refusal::Drift { sku: sku.clone(), held: units, reserved });
        }
        if ending == Ending::Committed {
            continue;
        }
        let key = Key::Available(sku);
        let available = keys.counter_to_change(key);
        if available.clone().units(key, keys.style())?.checked_add(units).is_none() {
            let what = || Refusal::invalid(format!("the available units of {sku} would overflow"));
            overflow.get_or_insert_with(what);
        }
        moves.moved(sku, &available, units);
    }
    match drift.or(overflow) {
        Some(refusal) => Err(refusal),
        None => Ok(moves),
    }
}

fn units_effect(line: &Line, ending: Ending) -> Effect {
    let units = line.quantity.units();
    let available = match ending {
        Ending::Committed => 0,
        Ending::RolledBack | Ending::Expired => units,
    };
    Effect::Units { sku: line.sku.clone(), available, reserved: units.saturating_neg() }
}

fn end_effect<K: Keyspace>(
    keys: &K,
    record: &Record,
    deadline: UnixMs,
    ending: Ending,
    lines: &[Line],
) -> Effect {
    let now = keys.now();
    let outcome_ttl = keys.settings().outcome_ttl_ms;
    Effect::End {
        id: record.id.clone(),
        outcome: Outcome::of(record, deadline, ending, now, lines),
        deadline: if outcome_ttl > 0 { now.saturating_add(outcome_ttl) } else { 0 },
    }
}

/// The record when `gone` is sold or given back of it and `left` is held still.
fn shrunk(record: &Record, left: Vec<Line>, gone: &[Line], ending: Ending, deadline: UnixMs) -> Record {
    let mut shrunk = Record { items: left, expires_at: deadline, ..record.clone() };
    match ending {
        Ending::Committed => shrunk.sold = sum_lines(&[&record.sold, gone]),
        Ending::RolledBack | Ending::Expired => shrunk.returned = sum_lines(&[&record.returned, gone]),
    }
    shrunk
}

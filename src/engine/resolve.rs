//! `INV.COMMIT`, `INV.ROLLBACK` and `INV.EXTEND`: the steps on a live reservation.

use super::change::{Cause, Change, Writes};
use super::effect::{Effect, units_of};
use super::keyspace::{Keyspace, Tally, counter_to_change};
use super::places::require_supply;
use super::settle::{give_back_all, is_clamped, release_blocked_of};
use super::supply::{Budget, Supply, Terms};
use super::sweep::settled_state;
use super::{alerts, allowance, feed, judge, once};
use crate::inventory::ending::Ending;
use crate::inventory::key::Key;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::line::{Line, minus, sum_lines};
use crate::inventory::once::{Answer, Once};
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::{Objections, Refusal, both};
use crate::inventory::reservation::Record;
use crate::inventory::sku::ReservationId;
use crate::inventory::state::{Rollback, State};

/// The number of blocked lines that a late commit returns before it decides. This takes a millisecond.
const MOST_UNBLOCKED: usize = 128;

/// A request to commit or roll back a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// The reservation.
    pub id: ReservationId,
    /// The part to resolve, or `None` for the whole reservation.
    pub part: Option<Vec<Line>>,
    /// For a commit only: if the deadline has returned the units and they are still available, take them again.
    pub late: bool,
    /// For a rollback only: if the id is unknown, remember it as rolled back.
    pub fence: bool,
    /// The client's token.
    pub once: Option<Once>,
}

/// Sells what the reservation holds, or a part of it. Committing a committed reservation again has no effect.
///
/// # Errors
///
/// All that apply are compared, and the one with the lowest [`Rank`](crate::inventory::refusal::Rank) is returned:
/// among them `NOTFOUND`, the code of the outcome if the reservation ended in another way, and `DRIFT`.
pub fn commit<K: Keyspace>(keys: &mut K, request: &ResolveRequest) -> Result<(), Refusal> {
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    if let once::Seen::Answered(_) = seen {
        return Ok(());
    }
    let (record, deadline) = match &request.part {
        Some(_) => both(seen.unless_other(), state.live(&request.id))?.1,
        None => {
            if request.late
                && let State::Ended(outcome) = &state
                && outcome.ending == Ending::Expired
            {
                seen.unless_other()?;
                return commit_late(keys, request, outcome.clone());
            }
            match both(seen.unless_other(), state.commit(&request.id))?.1 {
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

/// Commits after the deadline: takes the returned units again and sells them in one step, if they are still available.
fn commit_late<K: Keyspace>(keys: &mut K, request: &ResolveRequest, outcome: Outcome) -> Result<(), Refusal> {
    let outcome = with_unblocked(keys, &request.id, outcome)?;
    let mut objections = Objections::default();
    objections.check(Supply::of_lines(keys, &outcome.items));
    let lines = outcome.to_take_again();
    for line in &lines {
        // Like RESERVE, this takes units, so it needs a sku from which units can be taken.
        objections.check(require_supply(keys, &line.sku));
    }
    objections.check(outcome.check_all_back());
    objections.unless_any(())?;
    let mut supply = Supply::of_limited_lines(keys, &lines)?;
    if let Some((product, limit)) = supply.limits.first()
        && outcome.buyer.is_none()
    {
        return Err(Refusal::impossible(format!(
            "{product} has a limit of {limit} units for each buyer, and reservation {} names none: make a new one with BUYER",
            request.id
        )));
    }
    let mut budget = Budget::default();
    let terms = Terms { buyer: outcome.buyer.as_deref(), ..Terms::default() };
    let (_, quota) = allowance::pick(keys, &mut supply, &lines, &terms, &mut budget)?;
    let shelves = supply.shelves(keys, &lines)?;
    // After this point nothing may fail.
    let now = keys.now();
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms.max(1));
    let taken = |line: &Line| Effect::Units {
        sku: line.sku.clone(),
        available: line.quantity.units().saturating_neg(),
        reserved: 0,
    };
    let mut effects: Vec<Effect> = lines.iter().chain(&quota).map(taken).collect();
    let id = request.id.clone();
    effects.push(Effect::Outcome { id, outcome: outcome.sold_late(quota, now), deadline });
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Reservation(feed::Event::CommittedLate, &request.id, &lines),
        moves: shelves.moves(&lines),
        tally: Some((Tally::LateCommits, 1)),
    }
    .carry_out(keys);
    Ok(())
}

/// The outcome after units have been returned that could not be at the deadline, if their counter has been repaired since.
fn with_unblocked<K: Keyspace>(
    keys: &mut K,
    id: &ReservationId,
    outcome: Outcome,
) -> Result<Outcome, Refusal> {
    if keys.ledger(|ledger| ledger.blocked.is_empty()) {
        return Ok(outcome);
    }
    let mut left = MOST_UNBLOCKED;
    for line in &outcome.items {
        let is_spent = || {
            left = left.saturating_sub(1);
            left == 0
        };
        if release_blocked_of(keys, &line.sku, is_spent) {
            return Err(Refusal::Overdue(vec![line.sku.clone()]));
        }
    }
    Ok(judge::outcome(keys, id)?.unwrap_or(outcome))
}

/// Returns what the reservation holds, or a part of it. It has no effect on the stock if the reservation was rolled
/// back before or if its deadline has returned the units.
///
/// With [`fence`](ResolveRequest::fence), an unknown id is remembered as rolled back, so that a RESERVE which arrives
/// later is refused.
///
/// # Errors
///
/// As for [`commit`], and `ERR` for a fence while outcomes are not remembered.
pub fn rollback<K: Keyspace>(keys: &mut K, request: &ResolveRequest) -> Result<(), Refusal> {
    if request.fence && keys.settings().outcome_ttl_ms == 0 {
        return Err(Refusal::invalid(
            "FENCE cannot be used while inv.outcome-ttl-ms is 0: no outcomes are remembered",
        ));
    }
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    if let once::Seen::Answered(_) = seen {
        return Ok(());
    }
    let (record, deadline) = match &request.part {
        Some(_) => both(seen.unless_other(), state.live(&request.id))?.1,
        None if request.fence && state.is_free() => {
            seen.unless_other()?;
            fence(keys, request);
            return Ok(());
        }
        None => match both(seen.unless_other(), state.rollback(&request.id))?.1 {
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

/// A request for a new deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendRequest {
    /// The reservation.
    pub id: ReservationId,
    /// The new lifetime, counted from now, or the new deadline.
    pub lifetime: Lifetime,
    /// The client's token.
    pub once: Option<Once>,
}

/// Moves the deadline of a live reservation, later or earlier. Returns the new deadline in Unix ms.
pub fn extend<K: Keyspace>(keys: &mut K, request: &ExtendRequest) -> Result<UnixMs, Refusal> {
    let (state, seen) = open(keys, &request.id, request.once.as_ref())?;
    match seen {
        once::Seen::Answered(Answer::Number(deadline)) => return Ok(deadline),
        once::Seen::Answered(other @ (Answer::Ok | Answer::Reserved(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::New | once::Seen::Other(_) => {}
    }
    let ((), (record, _)) = both(seen.unless_other(), state.live(&request.id))?;
    let deadline = request.lifetime.deadline(keys.now(), record.created_at, keys.settings().lifetimes())?;
    // After this point nothing may fail.
    let record = Record { expires_at: deadline, ..record };
    let mut effects = vec![Effect::Record { record, deadline }];
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Number(deadline)));
    Change::of(effects).carry_out(keys);
    Ok(deadline)
}

/// Returns the state of the reservation, and what is known about the command's token.
fn open<K: Keyspace>(
    keys: &mut K,
    id: &ReservationId,
    token: Option<&Once>,
) -> Result<(State, once::Seen), Refusal> {
    let state = settled_state(keys, id).and_then(|state| state.ours(id));
    both(state, once::look_up(keys, token))
}

/// Commits or rolls back lines of the live `record`.
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
    // After this point nothing may fail. Besides one effect for each line there are the end of the reservation and
    // perhaps the answer to the token.
    let mut effects = Vec::with_capacity(lines.len().saturating_add(2));
    effects.extend(lines.iter().map(|line| units_of(line, ending)));
    let left = record.without(&lines);
    let ended = left.is_empty();
    if ended {
        if !record.quota.is_empty() {
            effects.extend(give_back_all(keys, &record.quota, ending));
        }
        effects.push(end_effect(keys, record, deadline, ending, &lines));
    } else {
        let quota = record.quota_of(&lines);
        effects.extend(give_back_all(keys, &quota, ending));
        let mut record = shrunk(record, left, &lines, ending, deadline);
        record.quota = minus(&record.quota, &quota);
        effects.push(Effect::Record { record, deadline });
    }
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    let (event, tally) = match ending {
        Ending::Committed => (feed::Event::Committed, Tally::Committed),
        Ending::RolledBack | Ending::Expired | Ending::Replaced => {
            (feed::Event::RolledBack, Tally::RolledBack)
        }
    };
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Reservation(event, &request.id, &lines),
        moves,
        tally: ended.then_some((tally, 1)),
    }
    .carry_out(keys);
    Ok(())
}

/// The effect of a rollback after the deadline. The units have already been returned, and from now on no late commit can
/// take them for this id.
pub(super) fn rename_effect<K: Keyspace>(keys: &K, id: &ReservationId, outcome: Outcome) -> Effect {
    let now = keys.now();
    // If outcomes have been turned off since this one was written, it gets the shortest possible TTL.
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms.max(1));
    Effect::Outcome { id: id.clone(), outcome: outcome.given_up(now), deadline }
}

/// Rolls back after the deadline.
fn rename_outcome<K: Keyspace>(keys: &mut K, request: &ResolveRequest, outcome: Outcome) {
    let mut effects = vec![rename_effect(keys, &request.id, outcome)];
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    Change { tally: Some((Tally::RolledBack, 1)), ..Change::of(effects) }.carry_out(keys);
}

/// Writes the outcome of a reservation that was never made, so that it cannot be made later.
fn fence<K: Keyspace>(keys: &mut K, request: &ResolveRequest) {
    let now = keys.now();
    let deadline = now.saturating_add(keys.settings().outcome_ttl_ms);
    let mut effects =
        vec![Effect::Outcome { id: request.id.clone(), outcome: Outcome::fence(now), deadline }];
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Ok));
    Change::of(effects).carry_out(keys);
}

/// Checks that the counters allow the step. Returns the changes of available units.
///
/// If another client has written the record, it is not known whether its units were ever taken. Such a record moves no
/// units that another reservation holds (CLAMP).
///
/// # Errors
///
/// `TRYAGAIN` as [`is_clamped`] says, `WRONGTYPE` if a counter is not an integer, `DRIFT` if a reserved counter is lower
/// than the reservation requires, and `ERR` if an available counter would overflow.
pub(super) fn check_counters<K: Keyspace>(
    keys: &mut K,
    record: &Record,
    lines: &[Line],
    ending: Ending,
) -> Result<alerts::Moves, Refusal> {
    let mut moves = alerts::Moves::with_capacity(lines.len());
    let mut objections = Objections::default();
    let by_hand = is_clamped(keys, record)?;
    for Line { sku, quantity } in lines {
        let units = quantity.units();
        let Some(mut reserved) = objections.check(counter_to_change(keys, Key::Reserved(sku))) else {
            continue;
        };
        if by_hand {
            let own =
                record.items.iter().find(|line| line.sku == *sku).map_or(0, |line| line.quantity.units());
            reserved = reserved.saturating_sub(keys.ledger(|ledger| ledger.holds.held_by_others(sku, own)));
        }
        if reserved < units {
            objections.add(Refusal::Drift { sku: sku.clone(), held: units, reserved });
        }
        if ending == Ending::Committed {
            continue;
        }
        let key = Key::Available(sku);
        let available = keys.counter_to_change(key);
        let before = objections.check(available.clone().units(key, keys.style()));
        if before.is_some_and(|before| before.checked_add(units).is_none()) {
            objections.add(Refusal::Overflow { sku: sku.clone(), counter: "available" });
        }
        moves.moved(sku, &available, units);
    }
    objections.unless_any(moves)
}

/// The effect that ends a reservation whose units have moved, of which the step moved `lines`.
pub(super) fn end_effect<K: Keyspace>(
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

/// The record after `gone` was sold or returned, with the lines that are `left`.
fn shrunk(record: &Record, left: Vec<Line>, gone: &[Line], ending: Ending, deadline: UnixMs) -> Record {
    let mut shrunk = Record { items: left, expires_at: deadline, ..record.clone() };
    match ending {
        Ending::Committed => shrunk.sold = sum_lines(&[&record.sold, gone]),
        Ending::RolledBack | Ending::Expired | Ending::Replaced => {
            shrunk.returned = sum_lines(&[&record.returned, gone])
        }
    }
    shrunk
}

//! `INV.REPLACE`: changes what a reservation holds, or lets another reservation take its place, in one step.

use std::collections::HashMap;

use super::change::{Cause, Change, Writes};
use super::effect::Effect;
use super::keyspace::{Keyspace, Tally};
use super::settle::{give_back_all, is_clamped};
use super::shelves::Shelf;
use super::supply::{Budget, Own, Supply, Terms};
use super::sweep::settled_state;
use super::{alerts, allowance, load_repair, once, sweep};
use crate::inventory::allocation::Split;
use crate::inventory::ending::Ending;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::line::{Line, minus, sum_lines};
use crate::inventory::once::{Answer, Once, Reserved};
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::{Objections, Rank, Refusal, both, put_off};
use crate::inventory::reservation::Record;
use crate::inventory::sku::{ReservationId, Sku};
use crate::inventory::state::{Decided, Former, State, Wish};

/// A request to let `new` hold exactly these items, with the units of `old`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceRequest {
    /// The reservation whose place is taken.
    pub old: ReservationId,
    /// The reservation that takes it. It may be the same, which is then changed in place.
    pub new: ReservationId,
    /// The lifetime.
    pub lifetime: Lifetime,
    /// The client's free text. If it is not given, the text is kept.
    pub data: Option<String>,
    /// The buyer. If none is given, the buyer of the reservations that were live is kept.
    pub buyer: Option<String>,
    /// How a line may be split if it names a product with warehouses.
    pub split: Split,
    /// Whether to take as much of each line as there is.
    pub partial: bool,
    /// The requested lines. There is at least one, and each sku occurs once.
    pub items: Vec<Line>,
    /// The client's token.
    pub once: Option<Once>,
}

/// Lets the new reservation hold the items. The units that the old one holds, and those that the new one holds if it is
/// live, are free for that.
///
/// # Errors
///
/// Of all refusals that apply, the one with the lowest [`Rank`] is returned: those of RESERVE for the new reservation, and
/// for the old one `COMMITTED` or `REPLACED` if it has ended in this way, and `DRIFT` as for ROLLBACK.
pub fn replace<K: Keyspace>(keys: &mut K, request: &ReplaceRequest) -> Result<Reserved, Refusal> {
    let ReplaceRequest { old, new, items, .. } = request;
    let state = settled_state(keys, old).and_then(|state| state.ours(old));
    let state_of_new = if old == new {
        Ok(None)
    } else {
        settled_state(keys, new).and_then(|state| state.ours(new)).map(Some)
    };
    let live: Vec<&Record> = [state.as_ref().ok(), state_of_new.as_ref().ok().and_then(Option::as_ref)]
        .into_iter()
        .flatten()
        .filter_map(State::record)
        .collect();
    let supply = put_off(Rank::Foreign, Supply::read(keys, items, Some(&own_units(&live))));
    let seen = once::look_up(keys, request.once.as_ref());
    let (((state, state_of_new), supply), seen) = both(both(both(state, state_of_new), supply), seen)?;
    if let once::Seen::Answered(answer) = seen {
        return answer_again(new, state_of_new.unwrap_or(state), &answer);
    }
    let wish = Wish {
        asked: items,
        partial: request.partial,
        data: request.data.as_deref(),
        buyer: request.buyer.as_deref(),
    };
    let ((), decided) = both(seen.unless_other(), state.replace(old, state_of_new, new, &wish))?;
    match decided {
        Decided::Already { former, record, deadline } => {
            let reserved = Reserved::of(record, deadline);
            let mut effects: Vec<Effect> = end_of(keys, request, former, deadline).into_iter().collect();
            effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone())));
            if !effects.is_empty() {
                Change::of(effects).carry_out(keys);
            }
            Ok(reserved)
        }
        Decided::Proceed { former, new } => proceed(keys, request, supply, former, new),
    }
}

/// Answers a command whose token was used before: how the new reservation, which is in this state, is now.
fn answer_again(new: &ReservationId, state: State, answer: &Answer) -> Result<Reserved, Refusal> {
    match answer {
        Answer::Reserved(_) => state.live(new).map(|(record, deadline)| Reserved::of(record, deadline)),
        Answer::Ok | Answer::Number(_) => Err(once::unexpected(answer)),
    }
}

/// Takes the place of `former`. `live` is the new reservation and its deadline, if it is live.
fn proceed<K: Keyspace>(
    keys: &mut K,
    request: &ReplaceRequest,
    supply: Result<Supply, Refusal>,
    former: Former,
    live: Option<(Record, UnixMs)>,
) -> Result<Reserved, Refusal> {
    let now = keys.now();
    let freed: Vec<&Record> = match &former {
        Former::Live(record, _) => Some(record),
        Former::Same | Former::Ended(_) | Former::Unknown(_) | Former::ReplacedByNew(_) => None,
    }
    .into_iter()
    .chain(live.as_ref().map(|(record, _)| record))
    .collect();
    let created_at = freed.iter().map(|record| record.created_at).fold(now, UnixMs::min);
    let deadline = match (&former, &live, request.lifetime) {
        (Former::Same, Some((_, deadline)), Lifetime::Default) => Ok(*deadline),
        _ => request.lifetime.deadline(now, created_at, keys.settings().lifetimes()),
    };
    let own = own_units(&freed);
    let may_move = check_freed(keys, &freed, &own);
    let buyer = buyer_of(request, &freed);
    let (((mut supply, deadline), ()), buyer) = both(both(both(supply, deadline), may_move), buyer)?;
    if live.is_none() && sweep::settle_remembered(keys, &request.new) {
        supply = Supply::read(keys, &request.items, Some(&own))?;
    }
    let terms = Terms {
        split: request.split,
        partial: request.partial,
        own: (!own.is_empty()).then_some(&own),
        buyer: buyer.as_deref(),
        freed: &freed,
    };
    let mut budget = Budget::default();
    let (lines, quota) = allowance::pick(keys, &mut supply, &request.items, &terms, &mut budget)?;
    let lines = lines.into_owned();
    let changes = changes(&lines, &freed, &own);
    let moves = check_room(keys, &changes)?;
    // After this point nothing may fail.
    let moved_quota = quota_changes(keys, &quota, &freed);
    let record = changed(
        request,
        &freed,
        live.as_ref(),
        Record {
            buyer,
            quota,
            ..Record::new(request.new.clone(), created_at, deadline, lines.clone(), request.data.clone())
        },
    );
    let reserved = Reserved::of(record.clone(), deadline);
    let (is_new, is_gone) = (live.is_none(), !matches!(former, Former::Live(..) | Former::Same));
    let tally = matches!(former, Former::Live(..)).then_some((Tally::Replaced, 1));
    let mut effects: Vec<Effect> = changes.iter().map(|(sku, more)| moved_to_held(sku, *more)).collect();
    effects.extend(moved_quota);
    effects.extend(end_of(keys, request, former.clone(), deadline));
    effects.push(Effect::Record { record, deadline });
    effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone())));
    let (old, new) = (&request.old, &request.new);
    let cause = Cause::Replacement { old, new, changes: changes.clone() };
    Change { writes: Writes::Effects(effects), cause, moves, tally }.carry_out(keys);
    if is_new {
        keys.tally(Tally::Reserved, 1);
    }
    load_repair::mark(keys);
    if is_gone {
        // Another client may have deleted its record. The units need not wait for its deadline any more.
        sweep::settle_remembered(keys, old);
    }
    Ok(reserved)
}

/// The record of the new reservation, which is `made` unless it is `live` already. It keeps the text of the reservations that
/// were live, and of its own what earlier parts have sold and returned.
fn changed(
    request: &ReplaceRequest,
    freed: &[&Record],
    live: Option<&(Record, UnixMs)>,
    made: Record,
) -> Record {
    let data = made.data.clone().or_else(|| freed.iter().rev().find_map(|record| record.data.clone()));
    let record = match live {
        Some((record, _)) => {
            let Record { sold, returned, restored, .. } = record.clone();
            Record { data, sold, returned, restored, ..made }
        }
        None => Record { data, ..made },
    };
    let record = record.asked_again_for(&request.items);
    if request.partial { record.partly(&request.items) } else { record }
}

/// The buyer of the new reservation: the one of the request, or else the one of the reservations that are live.
///
/// # Errors
///
/// `ERR` if they are of different buyers, and the request names none.
fn buyer_of(request: &ReplaceRequest, freed: &[&Record]) -> Result<Option<String>, Refusal> {
    if request.buyer.is_some() {
        return Ok(request.buyer.clone());
    }
    let mut buyers = freed.iter().filter_map(|record| record.buyer.as_deref());
    let first = buyers.next();
    if let (Some(first), Some(other)) = (first, buyers.find(|buyer| Some(*buyer) != first)) {
        return Err(Refusal::impossible(format!(
            "{} is of buyer {first} and {} of buyer {other}: name the buyer of the new reservation with BUYER",
            request.old, request.new
        )));
    }
    Ok(first.map(str::to_owned))
}

/// The units of each sku that these reservations hold together.
fn own_units<'a>(freed: &[&'a Record]) -> Own<'a> {
    let mut own = HashMap::new();
    for Line { sku, quantity } in freed.iter().flat_map(|record| &record.items) {
        let sum: &mut i64 = own.entry(sku).or_default();
        *sum = sum.saturating_add(quantity.units());
    }
    own
}

/// Checks that the counters allow to free the units of these reservations, as ROLLBACK would (CLAMP). No floor is read,
/// because it does not matter to units that are freed.
///
/// # Errors
///
/// `WRONGTYPE` if a counter is not an integer, and `DRIFT` if a reserved counter is lower than the reservations require.
fn check_freed<K: Keyspace>(keys: &mut K, freed: &[&Record], own: &Own<'_>) -> Result<(), Refusal> {
    let mut objections = Objections::default();
    for record in freed {
        let by_hand = is_clamped(keys, record)?;
        for Line { sku, .. } in &record.items {
            let Some(shelf) = objections.check(Shelf::on_floor(keys, sku, 0)) else { continue };
            let held = own.get(sku).copied().unwrap_or_default();
            let others =
                if by_hand { keys.ledger(|ledger| ledger.holds.held_by_others(sku, held)) } else { 0 };
            let reserved = shelf.reserved.saturating_sub(others);
            if reserved < held {
                objections.add(Refusal::Drift { sku: sku.clone(), held, reserved });
            }
        }
    }
    objections.unless_any(())
}

/// By how much more is held of each sku, if `lines` take the place of what these reservations hold. Skus of which as much
/// is held as before are left out.
fn changes<'a>(lines: &'a [Line], freed: &[&'a Record], own: &Own<'_>) -> Vec<(&'a Sku, i64)> {
    let mut left: HashMap<&Sku, i64> = own.iter().map(|(sku, units)| (*sku, *units)).collect();
    let mut changes = Vec::new();
    for Line { sku, quantity } in lines {
        let freed = left.remove(sku).unwrap_or_default();
        changes.push((sku, quantity.units().saturating_sub(freed)));
    }
    for Line { sku, .. } in freed.iter().flat_map(|record| &record.items) {
        let freed = left.remove(sku).unwrap_or_default();
        changes.push((sku, freed.saturating_neg()));
    }
    changes.retain(|(_, more)| *more != 0);
    changes
}

/// The effects on the quotas of buyers, if the new reservation holds `quota` of them in place of what these reservations hold.
fn quota_changes<K: Keyspace>(keys: &mut K, quota: &[Line], freed: &[&Record]) -> Vec<Effect> {
    let before: Vec<&[Line]> = freed.iter().map(|record| record.quota.as_slice()).collect();
    let before = sum_lines(&before);
    let taken = minus(quota, &before);
    let mut effects: Vec<Effect> =
        taken.iter().map(|line| moved_to_held(&line.sku, line.quantity.units())).collect();
    effects.extend(give_back_all(keys, &minus(&before, quota), Ending::Replaced));
    effects
}

/// Checks that the counters can take these changes, whose lines have been judged by their floors. Returns the changes of available units.
///
/// # Errors
///
/// `WRONGTYPE` if a counter is not an integer, and `ERR` if one would overflow.
fn check_room<K: Keyspace>(keys: &mut K, changes: &[(&Sku, i64)]) -> Result<alerts::Moves, Refusal> {
    let mut moves = alerts::Moves::with_capacity(changes.len());
    let mut objections = Objections::default();
    for (sku, more) in changes {
        let Some(shelf) = objections.check(Shelf::on_floor(keys, sku, 0)) else { continue };
        let overflow = |counter| Refusal::Overflow { sku: (*sku).clone(), counter };
        if shelf.units.checked_sub(*more).is_none() {
            objections.add(overflow("available"));
        }
        if shelf.reserved.checked_add(*more).is_none() {
            objections.add(overflow("reserved"));
        }
        moves.moved(sku, &shelf.available, more.saturating_neg());
    }
    objections.unless_any(moves)
}

/// The effect of a change on the counters of a sku.
fn moved_to_held(sku: &Sku, more: i64) -> Effect {
    Effect::Units { sku: sku.clone(), available: more.saturating_neg(), reserved: more }
}

/// The effect that ends the old reservation. `deadline` is the deadline of the new one.
///
/// The outcome is remembered until no retry and no late duplicate about the new reservation is to be expected any more. If
/// outcomes are turned off, only one that exists is changed.
fn end_of<K: Keyspace>(
    keys: &K,
    request: &ReplaceRequest,
    former: Former,
    deadline: UnixMs,
) -> Option<Effect> {
    let now = keys.now();
    let (id, successor) = (request.old.clone(), &request.new);
    let ttl = keys.settings().outcome_ttl_ms;
    let until = deadline.saturating_add(ttl);
    match former {
        Former::Same | Former::ReplacedByNew(_) => None,
        Former::Live(record, its_deadline) => {
            let outcome = Outcome::replaced(&record, its_deadline, successor, now);
            Some(Effect::End { id, outcome, deadline: if ttl > 0 { until } else { 0 } })
        }
        Former::Ended(outcome) => {
            Some(Effect::Outcome { id, outcome: outcome.now_replaced_by(successor, now), deadline: until })
        }
        Former::Unknown(at) => (ttl > 0).then(|| Effect::Outcome {
            id,
            outcome: Outcome::replaced_unknown(at, successor, now),
            deadline: until,
        }),
    }
}

//! Returns the units of expired reservations.
//!
//! **Invariant:** no release moves more units than the reserved counter has beyond what all other reservations hold
//! (CLAMP). A script that settled one of our records with its own commands must not bring the units back twice. Units
//! that cannot be returned because of a broken counter stay held, and are returned when the counter is repaired.

use super::change::{Cause, Change, Writes};
use super::effects::{Effect, Given, Release};
use super::keyspace::{Counter, Keyspace, Reading, Tally, is_free};
use super::{alerts, feed};
use crate::inventory::ending::Ending;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::{Quantity, UnixMs};
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{ReservationId, Sku};
use crate::ledger::blocked::Blocked;
use crate::ledger::gone::Gone;

/// Settles the pending reservations of one id, for a command on that id. The rest of the index need not be complete.
pub(super) fn settle_pending_of<K: Keyspace>(keys: &mut K, id: &ReservationId) {
    while let Some(gone) = keys.ledger(|ledger| ledger.pending.take_of(id)) {
        settle(keys, &gone, true);
    }
}

/// Whether a step on this live record moves only what no other reservation holds (CLAMP): another client has written the
/// record, so it is not known whether its units were ever taken.
///
/// # Errors
///
/// `TRYAGAIN` for such a record until every live reservation is known.
pub(super) fn is_clamped<K: Keyspace>(keys: &mut K, record: &Record) -> Result<bool, Refusal> {
    let is_clamped = record.restored || keys.ledger(|ledger| ledger.holds.is_by_hand(&record.id));
    if is_clamped && !keys.ledger(|ledger| ledger.is_complete()) {
        return Err(Refusal::TryAgain);
    }
    Ok(is_clamped)
}

/// Returns the units of `gone` under CLAMP, writes an outcome if none is remembered, and replicates both as plain
/// commands. On entry its lines are held; on return they are not.
pub(super) fn settle<K: Keyspace>(keys: &mut K, gone: &Gone, write_outcome: bool) {
    let now = keys.now();
    let id = &gone.record.id;
    let Movable { moved, blocked, quota } = movable(keys, &gone.lines);
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    for line in &blocked {
        block(keys, line, Some((id.clone(), gone.deadline)));
    }
    let outcome_ttl = keys.settings().outcome_ttl_ms;
    // If only a quota is left, another program has settled the units, and only that program knows how the reservation ended.
    let holds_units = gone.lines.iter().any(|line| !line.sku.is_quota());
    let writes = write_outcome && outcome_ttl > 0 && holds_units && is_free(keys, Key::Outcome(id));
    let outcome = writes.then(|| {
        let outcome = Outcome::of(&gone.record, gone.deadline, Ending::Expired, now, &moved);
        (id.clone(), outcome, now.saturating_add(outcome_ttl))
    });
    release(keys, id, &moved, quota, outcome, Some((Tally::Expired, 1)));
    let explained = total(&moved).saturating_add(total(&blocked));
    keys.tally(Tally::UnexplainedUnits, total(&gone.lines).saturating_sub(explained));
    keys.lag(now.saturating_sub(gone.deadline).max(0));
}

/// Moves these units of a reservation from reserved to available, gives back its quota, and writes its outcome.
fn release<K: Keyspace>(
    keys: &mut K,
    id: &ReservationId,
    lines: &[Line],
    quota: Vec<Given>,
    outcome: Option<(ReservationId, Outcome, UnixMs)>,
    tally: Option<(Tally, i64)>,
) {
    let mut moves = alerts::Moves::with_capacity(lines.len());
    let mut units = Vec::with_capacity(lines.len());
    for Line { sku, quantity } in lines {
        let before = Counter::from(keys.peek(Key::Available(sku)));
        moves.moved(sku, &before, quantity.units());
        units.push((sku.clone(), quantity.units()));
    }
    Change {
        writes: Writes::Release(Box::new(Release { units, quota, outcome })),
        cause: Cause::Reservation(feed::Event::Expired, id, lines),
        moves,
        tally,
    }
    .carry_out(keys);
}

/// Notes a line that cannot be returned now, of this reservation with its deadline, or of none. The log gets one message
/// for each sku.
fn block<K: Keyspace>(keys: &mut K, line: &Line, of: Option<(ReservationId, UnixMs)>) {
    let Line { sku, quantity } = line;
    if !keys.ledger(|ledger| ledger.block(line, Blocked { quantity: *quantity, of })) {
        return;
    }
    let style = keys.style();
    let obstacle =
        [Key::Available(sku), Key::Reserved(sku)].into_iter().find_map(|key| {
            match Counter::from(keys.peek(key)) {
                Counter::Broken(found) => {
                    Some(format!("key {} holds {found}, not an integer", key.name(style)))
                }
                Counter::Absent | Counter::Units(_) => None,
            }
        });
    let obstacle =
        obstacle.unwrap_or_else(|| format!("key {} would overflow", Key::Available(sku).name(style)));
    keys.report(&format!(
        "{sku}: the units of expired reservations cannot be released: {obstacle}. SET the key to the right number of units, \
         and they are released automatically"
    ));
}

/// Returns blocked units whose counter has been repaired, until `time_is_up`. Returns whether work is left that can be
/// done.
pub(super) fn release_blocked<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    if keys.ledger(|ledger| ledger.blocked.is_empty()) {
        return false;
    }
    let skus = keys.ledger(|ledger| ledger.blocked.skus());
    skus.iter().any(|sku| release_blocked_of(keys, sku, &mut time_is_up))
}

/// The same for one sku.
pub(super) fn release_blocked_of<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    mut time_is_up: impl FnMut() -> bool,
) -> bool {
    while let Some(blocked) = keys.ledger(|ledger| ledger.take_blocked(sku)) {
        let line = Line { sku: sku.clone(), quantity: blocked.quantity };
        keys.ledger(|ledger| ledger.holds.hold(std::slice::from_ref(&line)));
        let found = movable(keys, std::slice::from_ref(&line));
        keys.ledger(|ledger| ledger.holds.unhold(std::slice::from_ref(&line)));
        if !found.blocked.is_empty() {
            keys.ledger(|ledger| ledger.block(&line, blocked));
            return false;
        }
        match blocked.of {
            Some((id, _)) if sku.is_quota() => release(keys, &id, &[], found.quota, None, None),
            Some((id, deadline)) => release_late(keys, &id, deadline, &line, &found.moved),
            None => found.moved.iter().for_each(|line| return_unheld(keys, line)),
        }
        if time_is_up() {
            return true;
        }
    }
    false
}

/// Returns units that no reservation holds, as the repair after a load has found. If the available counter does not allow
/// it, they are returned when it does.
pub(super) fn return_unheld<K: Keyspace>(keys: &mut K, line: &Line) {
    let (sku, units) = (&line.sku, line.quantity.units());
    let before = keys.read_counter(Key::Available(sku));
    let has_room = match &before {
        Counter::Absent => true,
        Counter::Units(available) => available.checked_add(units).is_some(),
        Counter::Broken(_) => false,
    };
    keys.ledger(|ledger| ledger.comparison.set_drift(sku, 0));
    if !has_room {
        block(keys, line, None);
        return;
    }
    Change {
        writes: Writes::Release(Box::new(Release {
            units: vec![(sku.clone(), units)],
            ..Release::default()
        })),
        cause: Cause::Units(feed::Event::Repaired, vec![(sku, units)], None),
        moves: alerts::Moves::of(sku, &before, units),
        tally: Some((Tally::RepairedUnits, units)),
    }
    .carry_out(keys);
    keys.report(&format!("{sku}: returned {units} reserved units that no reservation holds"));
}

/// Returns a line that was blocked at its deadline. `moved` is the part of it that CLAMP allows. The outcome is
/// updated.
fn release_late<K: Keyspace>(
    keys: &mut K,
    id: &ReservationId,
    deadline: UnixMs,
    line: &Line,
    moved: &[Line],
) {
    let style = keys.style();
    let outcome = match keys.peek(Key::Outcome(id)) {
        Reading::Text(json, Some(until)) => {
            let outcome = Outcome::from_json(id, &json, style);
            let outcome = outcome.filter(|outcome| outcome.ending != Ending::Committed);
            outcome.map(|outcome| (id.clone(), outcome.with_returned(moved), until))
        }
        Reading::Text(_, None) | Reading::Absent | Reading::Other(_) => None,
    };
    release(keys, id, moved, Vec::new(), outcome, None);
    let missing = line.quantity.units().saturating_sub(total(moved));
    keys.tally(Tally::UnexplainedUnits, missing);
    let late = keys.now().saturating_sub(deadline);
    keys.lag(late.max(0));
}

/// What a release can do with some held lines.
#[derive(Default)]
pub(super) struct Movable {
    /// The lines that CLAMP allows it to move.
    pub(super) moved: Vec<Line>,
    /// The lines that it cannot move now, because a counter is not an integer or would overflow.
    pub(super) blocked: Vec<Line>,
    /// What it gives back of the quotas of buyers.
    pub(super) quota: Vec<Given>,
}

impl Movable {
    /// Whether a release can do nothing with the lines, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.blocked.is_empty() && self.quota.is_empty()
    }
}

/// Returns what a release can do with these held lines (CLAMP). An absent counter counts as 0.
pub(super) fn movable<K: Keyspace>(keys: &mut K, held: &[Line]) -> Movable {
    let units_in = |counter| match counter {
        Counter::Absent => Some(0),
        Counter::Units(units) => Some(units),
        Counter::Broken(_) => None,
    };
    let mut found = Movable { moved: Vec::with_capacity(held.len()), blocked: Vec::new(), quota: Vec::new() };
    for line in held {
        let Line { sku, quantity } = line;
        let reserved = units_in(Counter::from(keys.peek(Key::Reserved(sku))));
        let available = units_in(Counter::from(keys.peek(Key::Available(sku))));
        let (Some(reserved), Some(available)) = (reserved, available) else {
            found.blocked.push(line.clone());
            continue;
        };
        if sku.is_quota() {
            let given = give_back(keys, line, Ending::Expired);
            // This is written at once, even if a call still collects changes of the same counters.
            let is_over = |given: &Given| given.is_over && !keys.is_deferred(&line.sku);
            found.quota.extend(given.map(|given| Given { is_over: is_over(&given), ..given }));
            continue;
        }
        let others = keys.ledger(|ledger| ledger.holds.held_by_others(sku, quantity.units()));
        let units = reserved.saturating_sub(others).min(quantity.units());
        let Some(quantity) = Quantity::new(units) else { continue };
        let line = Line { sku: sku.clone(), quantity };
        if available.checked_add(units).is_some() {
            found.moved.push(line);
        } else {
            found.blocked.push(line);
        }
    }
    found
}

/// The units of these lines. What they hold of the quotas of buyers are no units.
pub(super) fn total(lines: &[Line]) -> i64 {
    let units = lines.iter().filter(|line| !line.sku.is_quota()).map(|line| line.quantity.units());
    units.fold(0, i64::saturating_add)
}

/// What a step that sells or returns a held line of a buyer's quota does to its counters. `None` if it does nothing.
///
/// The counters may have been deleted, because they contain the buyer's name. So no more is given back than the reserved
/// counter has beyond all other holds, and an absent counter stays absent. Available is never more than minus what is held,
/// because a buyer cannot have bought less than nothing.
pub(super) fn give_back<K: Keyspace>(keys: &mut K, line: &Line, ending: Ending) -> Option<Given> {
    let Line { sku, quantity } = line;
    let (available, reserved) = (keys.peek(Key::Available(sku)), keys.peek(Key::Reserved(sku)));
    // A job must not delete a key that has a TTL.
    let lasts = |reading: &Reading| !matches!(reading, Reading::Text(_, Some(_)));
    let can_be_over = lasts(&available) && lasts(&reserved);
    let Counter::Units(reserved) = Counter::from(reserved) else { return None };
    let others = keys.ledger(|ledger| ledger.holds.held_by_others(sku, quantity.units()));
    let units = Quantity::new(reserved.saturating_sub(others).min(quantity.units()))?;
    let left = reserved.saturating_sub(units.units());
    let (back, is_zero) = match Counter::from(available) {
        Counter::Absent => (0, true),
        Counter::Broken(_) => return None,
        Counter::Units(available) if ending == Ending::Committed => (0, available == 0),
        Counter::Units(available) => {
            let most = left.max(0).saturating_neg().saturating_sub(available).max(0);
            let back = units.units().min(most);
            (back, available.saturating_add(back) == 0)
        }
    };
    let line = Line { sku: sku.clone(), quantity: units };
    Some(Given { line, available: back, is_over: can_be_over && left == 0 && is_zero })
}

/// The effects of a command that sells or returns these held lines of a buyer's quotas.
#[cold]
pub(super) fn give_back_all<K: Keyspace>(keys: &mut K, quota: &[Line], ending: Ending) -> Vec<Effect> {
    let given = quota.iter().filter_map(|line| give_back(keys, line, ending));
    given.flat_map(Given::effects).collect()
}

//! Returns units without a command: settles what event handlers have noted, and opens records that are due.
//!
//! **Invariants:**
//!
//! - An event handler only takes notes ([`Ledger::note_leaving`], [`Ledger::touch_watched`]) and never writes a key.
//! - A note is settled once, by the first of these that runs: the write command whose read caused it, a later command,
//!   the job after the event, or the cron.

use super::judge::{judge, outcome, record};
use super::keyspace::{Argument, Counter, Keyspace, Reading};
use super::sent::Sent;
use super::settle::{Movable, movable, release_blocked, settle, settle_pending_of};
use super::{load_repair, moving};
use crate::inventory::alert::Alert;
use crate::inventory::cluster_slot::Slot;
use crate::inventory::key::Key;
use crate::inventory::line::{Line, sum_lines};
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::Refusal;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{ReservationId, Sku};
use crate::inventory::state::State;
use crate::ledger::Ledger;
use crate::ledger::foreign::Foreign;
use crate::ledger::gone::Gone;
use crate::ledger::notes::Touched;
use crate::ledger::waiting::Waits;

/// The time to wait after a due record did not expire when it was opened, for example because clients are paused.
const RETRY_MS: i64 = 1000;

/// The caller of a release. A job may run inside the server's own scan for expired keys, which has already saved its
/// next entry. So a job must not delete any other key that has a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A command, or the cron.
    CommandOrCron,
    /// The job after an event.
    Job,
}

/// The number of keys touched by other clients that a command, or work that cannot be postponed, examines at once. Examining
/// them takes a few milliseconds.
const MOST_TOUCHED: usize = 1024;

/// Settles what earlier commands of the same unit of work (a script or a transaction) have left. Every write command does
/// this first. If there is too much, it handles the newest notes and leaves the rest to the job.
pub fn catch_up<K: Keyspace>(keys: &mut K) {
    if keys.ledger(|ledger| ledger.is_behind()) {
        settle_pending(keys);
        let slot = keys.confined_to();
        for _ in 0..MOST_TOUCHED {
            let Some(touched) = keys.ledger(|ledger| ledger.notes.take_latest_touched(slot)) else { break };
            look_at(keys, touched);
        }
    }
    if let Some(slot) = keys.confined_to() {
        moving::take_up_waiting_in(keys, slot);
    }
}

/// Settles everything that is due for a reservation id, and returns its state. For commands that write.
pub(super) fn settled_state<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<State, Refusal> {
    catch_up(keys);
    settled_state_alone(keys, id)
}

/// The same for a command that has caught up already.
#[inline]
pub(super) fn settled_state_alone<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<State, Refusal> {
    let now = keys.now();
    let found = keys.read_to_change(Key::Reservation(id));
    let lapsed = if found == Reading::Absent { keys.ledger(|ledger| ledger.lapsed(id, now)) } else { None };
    settle_pending_of(keys, id);
    // The server decides whether a key with a TTL has expired. If it has let us read the key, the record is live.
    let without_ttl = matches!(found, Reading::Text(_, None));
    let state = judge(keys, id, found)?;
    if let State::Live(record, deadline) = &state
        && without_ttl
        && now > *deadline
    {
        // Another client has removed the TTL (PERSIST), so only the module can end this record.
        let at = *deadline;
        end_overdue(keys, record.clone(), at);
        return lapsed_state(keys, id, at);
    }
    match (state, lapsed) {
        (State::Unknown, Some(at)) => lapsed_state(keys, id, at),
        (state, _) => Ok(state),
    }
}

/// The state of an id whose deadline `at` has passed: its outcome, if one was written.
fn lapsed_state<K: Keyspace>(keys: &mut K, id: &ReservationId, at: UnixMs) -> Result<State, Refusal> {
    let now = keys.now();
    Ok(match outcome(keys, id)? {
        Some(outcome) => State::Ended(outcome),
        None => State::Lapsed { at, settled: keys.ledger(|ledger| ledger.lapsed(id, now)).is_none() },
    })
}

/// Examines the keys that events named, and checks that the index is complete. If there are more keys than a command has
/// time for, each try examines more of them.
///
/// # Errors
///
/// `TRYAGAIN` until every live reservation is known, or all of those in the slot to which the command is confined.
pub(super) fn require_index<K: Keyspace>(keys: &mut K) -> Result<(), Refusal> {
    let mut left = MOST_TOUCHED;
    look_at_touched(keys, || {
        left = left.saturating_sub(1);
        left == 0
    });
    if !keys.ledger(|ledger| ledger.is_complete()) {
        return Err(Refusal::TryAgain);
    }
    match keys.confined_to() {
        None if keys.ledger(|ledger| ledger.notes.has_touched()) => Err(Refusal::TryAgain),
        // The slot has just arrived, and not all of its keys have been examined.
        Some(slot) if keys.ledger(|ledger| ledger.notes.has_touched_in(slot)) => {
            Err(Refusal::SlotMoving(slot))
        }
        Some(_) | None => Ok(()),
    }
}

/// Settles as many pending reservations as a command has time for. If the index is not complete, nothing is settled,
/// because it is not known what other reservations hold.
pub fn settle_pending<K: Keyspace>(keys: &mut K) {
    // A limit on lines and not on reservations, because one reservation may have many lines.
    let mut left = 64_usize;
    let slot = keys.confined_to();
    let next = |ledger: &mut Ledger| ledger.is_complete().then(|| ledger.pending.take(slot)).flatten();
    while let Some(gone) = keys.ledger(next) {
        left = left.saturating_sub(gone.lines.len().max(1));
        settle_here(keys, gone, Caller::CommandOrCron);
        if left == 0 {
            break;
        }
    }
}

/// Releases one reservation that is pending or due and holds units of `sku`. Returns its units of `sku` and its number
/// of lines, or `None` if there is no such reservation.
///
/// If the server does not expire the due key that is opened, `can_expire` becomes false, so that no other is opened.
pub(super) fn release_one<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    can_expire: &mut bool,
) -> Option<(i64, usize)> {
    if !keys.ledger(|ledger| ledger.is_complete()) {
        return None;
    }
    let now = keys.now();
    let units_of =
        |lines: &[Line]| lines.iter().find(|line| line.sku == *sku).map_or(0, |line| line.quantity.units());
    if let Some(gone) = keys.ledger(|ledger| ledger.pending.take_of_sku(sku)) {
        settle(keys, &gone, true);
        return Some((units_of(&gone.lines), gone.lines.len()));
    }
    let (id, lines) = keys.ledger(|ledger| {
        let id = ledger.holds.next_due_of(sku, now).filter(|_| *can_expire)?;
        let lines = ledger.holds.lines(&id).unwrap_or_default();
        Some((id, lines))
    })?;
    *can_expire = open_due(keys, &id);
    settle_pending_of(keys, &id);
    Some((units_of(&lines), lines.len()))
}

/// Settles and examines everything that was noted, until `time_is_up`. Returns whether work is left. The job after an
/// event does only this; for the cron, it is the first step.
pub fn work_off_notes<K: Keyspace>(
    keys: &mut K,
    caller: Caller,
    mut time_is_up: impl FnMut() -> bool,
) -> bool {
    judge_written(keys);
    let mut is_left = work_off_removals(keys, caller, &mut time_is_up);
    if !is_left {
        // There may have been too much to examine before.
        judge_written(keys);
    }
    is_left |= mark_restored(keys, time_is_up);
    load_repair::unmark(keys);
    is_left
}

/// Compares the reserved counters that other clients have written, when their unit of work is complete. If one differs
/// from what is held, another program uses it, and the mark is removed.
///
/// If it is not known what is held, and finding out would take too long, the mark is removed at once and the counters are
/// compared later. Removing the mark cannot be postponed: if this master fails, it must already be deleted on its
/// replicas. Otherwise it would vouch for units of another program.
///
/// Call this only on a master that may write now.
pub fn judge_written<K: Keyspace>(keys: &mut K) {
    if !keys.ledger(|ledger| ledger.comparison.has_written()) {
        return;
    }
    if !keys.ledger(|ledger| ledger.is_complete()) {
        load_repair::unmark_until_checked(keys);
        return;
    }
    if keys.ledger(|ledger| ledger.unexamined()) > MOST_TOUCHED {
        load_repair::unmark_until_checked(keys);
        keys.ledger(|ledger| ledger.comparison.doubt_written());
        return;
    }
    let written = keys.ledger(Ledger::take_written);
    // Records that this unit of work has put back or deleted must count in what is held.
    look_at_touched(keys, || false);
    remember_removed(keys, || false);
    load_repair::compare_written(keys, written);
    load_repair::unmark(keys);
}

/// Settles what is pending, examines the keys that events named, and remembers what other clients have deleted.
fn work_off_removals<K: Keyspace>(
    keys: &mut K,
    caller: Caller,
    mut time_is_up: impl FnMut() -> bool,
) -> bool {
    if keys.ledger(|ledger| ledger.is_complete()) {
        // Entries that are put back must not be tried again, so the number of attempts is fixed first.
        for _ in 0..keys.ledger(|ledger| ledger.pending.len()) {
            let Some(gone) = keys.ledger(|ledger| ledger.pending.take(None)) else { break };
            settle_here(keys, gone, caller);
            if time_is_up() {
                return true;
            }
        }
    }
    look_at_touched(keys, &mut time_is_up) || remember_removed(keys, time_is_up)
}

/// Remembers what other clients have deleted, until `time_is_up`. Returns whether work is left.
fn remember_removed<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let is_known = keys.ledger(|ledger| {
        let is_known = ledger.knows_the_shared();
        if is_known {
            ledger.take_up_undecided()
        } else {
            ledger.leave_removed_undecided()
        }
        is_known
    });
    if !is_known {
        return false;
    }
    while let Some(gone) = keys.ledger(|ledger| ledger.removed.take_last()) {
        remember(keys, gone);
        if time_is_up() {
            return true;
        }
    }
    keys.ledger(Ledger::remembered_all);
    false
}

/// Marks the records that other clients have put back as restored, so that this is still known after a restart. Stops when
/// `time_is_up`, and returns whether work may be left.
fn mark_restored<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    while let Some((id, how)) = keys.ledger(Ledger::take_restored) {
        if keys.is_slot_stable(id.as_str()) {
            mark_as_restored(keys, &id, how);
        } else {
            keys.ledger(|ledger| ledger.notes.mark_later(id, how));
        }
        if time_is_up() {
            return true;
        }
    }
    false
}

/// Marks one record as restored. A live record is marked only if a counter contradicts it: fewer units are reserved than
/// live reservations hold.
fn mark_as_restored<K: Keyspace>(keys: &mut K, id: &ReservationId, how: Restored) {
    let key = Key::Reservation(id);
    if let Reading::Text(json, until) = keys.peek(key)
        && let Some(json) = Record::marked_restored(id, &json, how)
        && (how == Restored::Ended || is_contradicted(keys, id))
    {
        keys.rewrite(key, &json);
        keys.notify(c"set", key);
        let arguments = [Argument::Key(key), Argument::Text(&json)];
        match until {
            Some(until) => {
                let deadline = [Argument::Word("PXAT"), Argument::Number(until)];
                keys.replicate(Sent::Set, &[arguments, deadline].concat());
            }
            None => keys.replicate(Sent::Set, &arguments),
        }
    }
}

/// Lets everything be tried again that was postponed because its slot was moving and is stable now.
fn try_moving_slots_again<K: Keyspace>(keys: &mut K) {
    for name in keys.ledger(|ledger| ledger.postponed()) {
        if keys.is_slot_stable(&name) {
            keys.ledger(|ledger| ledger.try_again(Slot::of(&name)));
        }
    }
}

/// Whether the reserved counter of one of this live reservation's skus is below what live reservations hold.
fn is_contradicted<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    let lines = keys.ledger(|ledger| ledger.holds.lines(id)).unwrap_or_default();
    // The quota of a buyer is only a number, which anybody may delete.
    let mut lines = lines.iter().filter(|line| !line.sku.is_quota());
    lines.any(|line| load_repair::compare(keys, &line.sku).is_some_and(|drift| drift < 0))
}

/// Remembers the part of a deleted record that CLAMP (see docs/internals/releases.md) would move now.
///
/// If the database contains a foreign record that may be a script's, nothing is remembered, because the script may have
/// settled this record. Units of a sku of which another program may hold units are not remembered either: at the
/// deadline, that program's units would be mistaken for ours. What is not remembered appears as drift.
fn remember<K: Keyspace>(keys: &mut K, gone: Gone) {
    if !keys.is_slot_stable(gone.record.id.as_str()) {
        moving::drop_deleted(keys, gone);
        return;
    }
    let name = Key::Reservation(&gone.record.id).name(keys.style());
    let left = if keys.ledger(|ledger| ledger.foreign.has_stranger_beside(name.as_bytes())) {
        Vec::new()
    } else {
        let Movable { mut moved, blocked, quota } = movable(keys, &gone.lines);
        moved.retain(|line| !keys.ledger(|ledger| ledger.may_be_shared(&line.sku)));
        let quota: Vec<Line> = quota.into_iter().map(|given| given.line).collect();
        sum_lines(&[&moved, &blocked, &quota])
    };
    let lines = gone.lines.clone();
    keys.ledger(|ledger| ledger.remember(gone, left));
    for line in lines {
        load_repair::compare(keys, &line.sku);
    }
}

/// Whether settling `gone` may write to a stale key. A stale key has expired and reads as absent, but still exists, so
/// that a write deletes it first. It may be the outcome or an available counter.
fn may_meet_stale_key<K: Keyspace>(keys: &mut K, gone: &Gone) -> bool {
    gone.may_have_stale_outcome
        || gone.lines.iter().any(|line| {
            // An absent counter of a quota is not written.
            !line.sku.is_quota() && keys.peek(Key::Available(&line.sku)) == Reading::Absent
        })
}

/// Does all the work that a database has without a command: handles the notes, settles remembered and blocked units,
/// continues with what waits for its slot, opens due records, and compares the reserved counters. Stops when nothing is
/// left or `time_is_up`, and returns whether work is left. Call it only on a master that may write now.
pub fn sweep<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let now = keys.now();
    try_moving_slots_again(keys);
    if tell_of_dropped(keys, &mut time_is_up) || work_off_notes(keys, Caller::CommandOrCron, &mut time_is_up)
    {
        return true;
    }
    if !keys.ledger(|ledger| ledger.is_complete()) {
        return false;
    }
    settle_remembered_due(keys, |_| time_is_up());
    if release_blocked(keys, &mut time_is_up) {
        return true;
    }
    if moving::take_up_waiting(keys, &mut time_is_up) {
        return true;
    }
    while let Some(id) = keys.ledger(|ledger| ledger.holds.next_due(now)) {
        if keys.is_slot_stable(id.as_str()) {
            open_due(keys, &id);
            settle_pending(keys);
        } else {
            keys.ledger(|ledger| ledger.park(&id));
        }
        if time_is_up() {
            return true;
        }
    }
    if !keys.ledger(|ledger| ledger.may_check() && !ledger.has_unsettled()) {
        return false;
    }
    if load_repair::compare_all(keys, &mut time_is_up) {
        return true;
    }
    // It is now known which units other programs hold.
    let is_left = remember_removed(keys, &mut time_is_up);
    settle_remembered_due(keys, |_| time_is_up());
    is_left
}

/// Replicates the deletion of records that a load has dropped, until `time_is_up`. Their units are left to the repair,
/// because it is not known whether the loaded data set includes them.
fn tell_of_dropped<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    while let Some(id) = keys.ledger(|ledger| ledger.notes.dropped.pop()) {
        let key = Key::Reservation(&id);
        if keys.peek(key) == Reading::Absent {
            keys.replicate(Sent::Del, &[Argument::Key(key)]);
        }
        if time_is_up() {
            return true;
        }
    }
    false
}

/// Settles the remembered reservations that are due, until none is left or `time_is_up`. After each, `time_is_up` is
/// called with its number of lines. Returns whether there was any.
pub(super) fn settle_remembered_due<K: Keyspace>(
    keys: &mut K,
    mut time_is_up: impl FnMut(usize) -> bool,
) -> bool {
    let now = keys.now();
    let mut found = false;
    let slot = keys.confined_to();
    while let Some(gone) = keys.ledger(|ledger| ledger.remembered.take_due(now, slot)) {
        let lines = gone.lines.len();
        if keys.is_slot_stable(gone.record.id.as_str()) {
            settle(keys, &gone, true);
        } else {
            moving::remembered_is_due(keys, gone);
        }
        found = true;
        if time_is_up(lines) {
            break;
        }
    }
    found
}

/// Settles one pending reservation. If its slot is not stable, it is left to the owner of the slot. If a job must not
/// write its keys, it is left to the cron.
fn settle_here<K: Keyspace>(keys: &mut K, gone: Gone, caller: Caller) {
    if !keys.is_slot_stable(gone.record.id.as_str()) {
        moving::leave_to_owner(keys, gone);
    } else if caller == Caller::CommandOrCron || !may_meet_stale_key(keys, &gone) {
        settle(keys, &gone, true);
    } else {
        // In a cluster, the slot may move before the cron runs, and the note would be lost. So the record is written
        // again.
        let left = if keys.in_cluster() { moving::send_after(keys, gone) } else { Some(gone) };
        keys.ledger(|ledger| left.into_iter().for_each(|gone| ledger.pending.put_back(gone)));
    }
}

/// Opens a record that is due according to the index, so that the server expires it. Returns false if the record stays
/// because the server does not expire keys now.
pub(super) fn open_due<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    if keys.ledger(|ledger| ledger.holds.deadline(id)).is_none() {
        return true;
    }
    let stays = match &found {
        Reading::Absent => true,
        // The record has expired by our clock, but the server has let us read it.
        Reading::Text(_, ttl) => ttl.is_some_and(|ttl| now > ttl),
        Reading::Other(_) => false,
    };
    if stays {
        keys.ledger(|ledger| ledger.holds.postpone(id, now.saturating_add(RETRY_MS)));
        return false;
    }
    match judge(keys, id, found) {
        Ok(State::Live(record, deadline)) if now > deadline => end_overdue(keys, record, deadline),
        // Another client has changed the TTL.
        Ok(State::Live(record, deadline)) => {
            keys.ledger(|ledger| ledger.holds.enter_again(&record, deadline))
        }
        Ok(State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign) | Err(_) => {
            keys.ledger(|ledger| ledger.holds.leave(id));
        }
    }
    true
}

/// Ends an overdue record without a TTL. The module deletes it, as the server would have done.
pub(super) fn end_overdue<K: Keyspace>(keys: &mut K, record: Record, deadline: UnixMs) {
    let id = record.id.clone();
    keys.remove(Key::Reservation(&id));
    keys.notify(c"del", Key::Reservation(&id));
    keys.replicate(Sent::Del, &[Argument::Key(Key::Reservation(&id))]);
    let gone = Gone::new(record, deadline);
    keys.ledger(|ledger| ledger.pend(gone));
    settle_pending_of(keys, &id);
}

/// Settles what is remembered of an id that is about to be reserved again. No outcome is written, because the id is
/// about to be live. Returns whether anything was remembered.
#[inline(always)]
pub(super) fn settle_remembered<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    // The record was deleted in this unit of work, and the job that would remember it has not run yet.
    while let Some(gone) = keys.ledger(|ledger| ledger.take_removed_of(id)) {
        remember(keys, gone);
    }
    let mut found = false;
    while let Some(gone) = keys.ledger(|ledger| ledger.remembered.take(id)) {
        settle(keys, &gone, false);
        found = true;
    }
    found
}

/// Examines the keys that events named, until none is left or `time_is_up`. Returns whether any are left. It only
/// reads, and deletes nothing, so that it can also run on replicas and in jobs.
pub fn look_at_touched<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let slot = keys.confined_to();
    while let Some(touched) = keys.ledger(|ledger| ledger.notes.take_touched(slot)) {
        look_at(keys, touched);
        if time_is_up() {
            return true;
        }
    }
    false
}

/// Examines one key.
pub(super) fn look_at<K: Keyspace>(keys: &mut K, touched: Touched) {
    match touched {
        Touched::Reservation(id) => look_at_record(keys, &id),
        Touched::Managed => load_repair::look_at_mark(keys),
        Touched::Threshold(product) => {
            let threshold = match Counter::from(keys.peek(Key::Threshold(product.as_str()))) {
                Counter::Units(units) => Some(units),
                Counter::Absent | Counter::Broken(_) => None,
            };
            keys.ledger(|ledger| ledger.thresholds.set(product, threshold));
        }
        Touched::Alert(product, at) => {
            if let Reading::Text(json, _) = keys.peek(Key::Alert(product.as_str(), at)) {
                let kind = Alert::from_json(&json).map(|alert| alert.kind);
                let cooldown_begins = keys.now().saturating_sub(keys.settings().alert_cooldown_ms);
                keys.ledger(|ledger| {
                    ledger.alerts.enter(&product, at, kind);
                    ledger.alerts.forget_before(cooldown_begins);
                });
            }
        }
    }
}

/// Examines a `reservation:` key that appeared or changed without a command of the module, and decides whether it is
/// one of our records.
fn look_at_record<K: Keyspace>(keys: &mut K, id: &ReservationId) {
    let name = Key::Reservation(id).name(keys.style());
    let found = keys.peek(Key::Reservation(id));
    if found == Reading::Absent {
        let now = keys.now();
        keys.ledger(|ledger| {
            ledger.foreign.leave(name.as_bytes());
            // The key has been deleted again, or is already due. In the second case, a later deadline in the index
            // means that the TTL was shortened.
            if ledger.holds.deadline(id).is_none_or(|deadline| now <= deadline) {
                ledger.waiting.enter(Waits::Unread(id.clone(), now));
            }
        });
        return;
    }
    let ended = keys.ledger(|ledger| ledger.foreign.contains(name.as_bytes()))
        || keys.peek(Key::Outcome(id)) != Reading::Absent;
    let is_text = matches!(found, Reading::Text(..));
    let (record, what) = match found {
        Reading::Text(json, _) if Record::is_misnamed(id, &json) => (None, Foreign::Misnamed),
        Reading::Text(json, ttl) if !ended => {
            (record(keys, id, &json).map(|record| (record, ttl)), Foreign::Stranger)
        }
        Reading::Text(..) | Reading::Other(_) | Reading::Absent => (None, Foreign::Stranger),
    };
    let lines = record.as_ref().map(|(record, _)| record.items.clone()).unwrap_or_default();
    keys.ledger(|ledger| match record {
        Some((record, ttl)) => {
            ledger.foreign.leave(name.as_bytes());
            // The record is back, so what was remembered of it must not be returned as well.
            while let Some(gone) = ledger.take_removed_of(id).or_else(|| ledger.remembered.take(id)) {
                ledger.holds.unhold(&gone.lines);
            }
            let deadline = ttl.unwrap_or(record.expires_at);
            ledger.holds.enter_touched(&record, deadline);
            if ledger.holds.is_by_hand(id) && !record.restored {
                ledger.notes.note_restored(id, Restored::Live);
            }
        }
        None => {
            if let Some(gone) = ledger.holds.as_indexed(id) {
                ledger.note_removed(gone);
            }
            ledger.foreign.enter(name.as_bytes(), what);
            if ended && is_text && what == Foreign::Stranger {
                ledger.notes.note_restored(id, Restored::Ended);
            }
        }
    });
    for line in lines {
        load_repair::compare(keys, &line.sku);
    }
}

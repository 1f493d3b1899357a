//! How units come back by themselves: what the events note, and how the notes are settled.
//!
//! **Invariants.** An event handler only takes notes ([`Ledger::note_leaving`], [`Ledger::touch_watched`]); writing comes
//! after. A note is settled once, by whoever comes first: the write command whose own read caused it, a later one, the job
//! after the event, or the cron.

use super::judge::{judge, outcome, record};
use super::keyspace::{Argument, Counter, Keyspace, Reading};
use super::sent::Sent;
use super::settle::{Movable, movable, release_blocked, settle, settle_pending_of};
use super::{load_repair, moving};
use crate::inventory::alert::Alert;
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

/// How long a due record that did not go when it was opened is left alone (the server is paused, or imports).
const RETRY_MS: i64 = 1000;

/// Who releases. A job may run inside the server's own scan for expired keys, which has saved its next entry: it must not
/// take away any other key that has a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A command, or the cron.
    CommandOrCron,
    /// The job after an event.
    Job,
}

/// How many keys that other clients have touched a command looks at before it does its own work: a few milliseconds.
const MOST_TOUCHED: usize = 1024;

/// What a write command does before it looks at anything: settle what earlier commands of its unit left. Where that is too much,
/// the latest: what is left is for the job.
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

/// How a reservation id stands, after whatever was due of it has been settled. For commands that write.
pub(super) fn settled_state<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<State, Refusal> {
    catch_up(keys);
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    let lapsed = keys.ledger(|ledger| ledger.lapsed(id, now));
    settle_pending_of(keys, id);
    // Whether a key with a TTL is over is the server's to say: it has let us read it.
    let without_ttl = matches!(found, Reading::Text(_, None));
    let state = judge(keys, id, found)?;
    if let State::Live(record, deadline) = &state
        && without_ttl
        && now > *deadline
    {
        // The TTL was taken away (PERSIST): nobody but us ends this record.
        let at = *deadline;
        end_overdue(keys, record.clone(), at);
        return lapsed_state(keys, id, at);
    }
    match (state, lapsed) {
        (State::Unknown, Some(at)) => lapsed_state(keys, id, at),
        (state, _) => Ok(state),
    }
}

/// The state of an id whose deadline `at` has passed: its outcome, where one was written.
fn lapsed_state<K: Keyspace>(keys: &mut K, id: &ReservationId, at: UnixMs) -> Result<State, Refusal> {
    let now = keys.now();
    Ok(match outcome(keys, id)? {
        Some(outcome) => State::Ended(outcome),
        None => State::Lapsed { at, settled: keys.ledger(|ledger| ledger.lapsed(id, now)).is_none() },
    })
}

/// `TRYAGAIN` while not every live reservation is known, or not all of the slot that the command is confined to.
pub(super) fn require_index<K: Keyspace>(keys: &mut K) -> Result<(), Refusal> {
    if !keys.ledger(|ledger| ledger.is_complete()) {
        return Err(Refusal::TryAgain);
    }
    match keys.confined_to() {
        // Of a slot that has just come not all is known.
        Some(slot) if keys.ledger(|ledger| ledger.notes.has_touched_in(slot)) => {
            Err(Refusal::SlotMoving(slot))
        }
        Some(_) | None => Ok(()),
    }
}

/// Settles what is pending, as much of it as a command has time for. While the index is not complete, what others hold is
/// not known: it waits.
pub fn settle_pending<K: Keyspace>(keys: &mut K) {
    // Lines: one reservation may have many.
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

/// Releases one reservation that is over and holds units of `sku`: a pending one, or one that is due. Gives how many it
/// held, and how many lines it had; `None` where there is none. Where the server expires nothing now, `can_expire` becomes
/// false: one try is enough.
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
        let id = ledger.holds.next_due_of(sku, now).cloned().filter(|_| *can_expire)?;
        let lines = ledger.holds.lines(&id).unwrap_or_default();
        Some((id, lines))
    })?;
    *can_expire = open_due(keys, &id);
    settle_pending_of(keys, &id);
    Some((units_of(&lines), lines.len()))
}

/// The job after an event, and the cron's first act: settles and looks at what was noted, until nothing is left or
/// `time_is_up`. Says whether something is left.
pub fn work_off_notes<K: Keyspace>(keys: &mut K, caller: Caller, time_is_up: impl FnMut() -> bool) -> bool {
    judge_written(keys);
    let is_left = work_off_removals(keys, caller, time_is_up);
    mark_restored(keys);
    load_repair::unmark(keys);
    is_left
}

/// Looks at the reserved counters that other clients have written, once their unit of work is over: one that is not what is held
/// is another program's, and the mark goes. That cannot wait until there is time: if this master fails, its copies must know
/// it. Only on a master that may write now.
pub fn judge_written<K: Keyspace>(keys: &mut K) {
    let written = keys.ledger(Ledger::take_written);
    if written.is_empty() {
        return;
    }
    // What is held now: records that this unit has put back or taken away count.
    look_at_touched(keys, || false);
    remember_removed(keys, || false);
    load_repair::compare_written(keys, written);
    load_repair::unmark(keys);
}

/// Settles what is pending, looks at the keys that events named, and remembers what other clients have deleted.
fn work_off_removals<K: Keyspace>(
    keys: &mut K,
    caller: Caller,
    mut time_is_up: impl FnMut() -> bool,
) -> bool {
    if keys.ledger(|ledger| ledger.is_complete()) {
        // Those that are put back are not tried twice.
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

/// Remembers what was taken away manually, until nothing is left or `time_is_up`. Says whether something is left.
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

/// Writes into the records that other clients have put back that they came back, so that it is known after a restart. Of a
/// live one only if the counters contradict it: its units are held, and not all of them are reserved.
fn mark_restored<K: Keyspace>(keys: &mut K) {
    let mut later = Vec::new();
    for (id, how) in keys.ledger(Ledger::take_restored) {
        if !keys.is_slot_stable(id.as_str()) {
            later.push((id, how));
            continue;
        }
        let key = Key::Reservation(&id);
        if let Reading::Text(json, until) = keys.peek(key)
            && let Some(json) = Record::marked_restored(&id, &json, how)
            && (how == Restored::Ended || is_contradicted(keys, &id))
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
    if !later.is_empty() {
        keys.ledger(|ledger| ledger.notes.mark_later(later));
    }
}

/// Whether a sku of this live reservation has less reserved than is held.
fn is_contradicted<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    let lines = keys.ledger(|ledger| ledger.holds.lines(id)).unwrap_or_default();
    lines.iter().any(|line| load_repair::compare(keys, &line.sku).is_some_and(|drift| drift < 0))
}

/// Remembers what CLAMP would move now of a record that another client has deleted. That is nothing while a record that may be a
/// script's lives here, and nothing of a sku of which another program may hold units: the script may have settled the record,
/// and at its deadline the other program's units would pass for ours. What it left shows as drift.
fn remember<K: Keyspace>(keys: &mut K, gone: Gone) {
    if !keys.is_slot_stable(gone.record.id.as_str()) {
        moving::drop_deleted(keys, gone);
        return;
    }
    let name = Key::Reservation(&gone.record.id).name(keys.style());
    let left = if keys.ledger(|ledger| ledger.foreign.has_stranger_beside(name.as_bytes())) {
        Vec::new()
    } else {
        let Movable { mut moved, blocked } = movable(keys, &gone.lines);
        moved.retain(|line| !keys.ledger(|ledger| ledger.may_be_shared(&line.sku)));
        sum_lines(&[&moved, &blocked])
    };
    let lines = gone.lines.clone();
    keys.ledger(|ledger| ledger.remember(gone, left));
    for line in lines {
        load_repair::compare(keys, &line.sku);
    }
}

/// Whether to settle `gone` may write over a stale key: one that has expired, reads as absent, and still exists, so that writing
/// deletes it first. That may be its outcome, or an available counter.
fn may_meet_stale_key<K: Keyspace>(keys: &mut K, gone: &Gone) -> bool {
    gone.may_have_stale_outcome
        || gone.lines.iter().any(|line| keys.peek(Key::Available(&line.sku)) == Reading::Absent)
}

/// Opens what is due until nothing is left or `time_is_up`. Says whether something is left. Only on a master that
/// may write now.
pub fn sweep<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let now = keys.now();
    keys.ledger(Ledger::try_moving_slots_again);
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
    while let Some(id) = keys.ledger(|ledger| ledger.holds.next_due(now).cloned()) {
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
    // Now it is known what other programs hold.
    let is_left = remember_removed(keys, &mut time_is_up);
    settle_remembered_due(keys, |_| time_is_up());
    is_left
}

/// Tells the copies of the records that a load has dropped, until `time_is_up`. Their units are for the repair: whether the
/// data set that was loaded knew of them is not known.
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

/// Gives back what is remembered and due, until nothing is left or `time_is_up`, which is told how many lines each had. Says
/// whether there was anything.
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

/// Settles what is pending, or leaves it to others: to the owner of its slot, and to the cron what a job must not write.
fn settle_here<K: Keyspace>(keys: &mut K, gone: Gone, caller: Caller) {
    if !keys.is_slot_stable(gone.record.id.as_str()) {
        moving::leave_to_owner(keys, gone);
    } else if caller == Caller::CommandOrCron || !may_meet_stale_key(keys, &gone) {
        settle(keys, &gone, true);
    } else {
        // In a cluster a note would be lost if the slot left before the cron comes.
        let left = if keys.in_cluster() { moving::send_after(keys, gone) } else { Some(gone) };
        keys.ledger(|ledger| left.into_iter().for_each(|gone| ledger.pending.put_back(gone)));
    }
}

/// Opens a record that the index has due; that is enough for the server to expire it. False where it stays: the server
/// expires nothing now.
pub(super) fn open_due<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    if keys.ledger(|ledger| ledger.holds.deadline(id)).is_none() {
        return true;
    }
    let stays = match &found {
        Reading::Absent => true,
        // It is over by our clock, but the server has let us read it.
        Reading::Text(_, ttl) => ttl.is_some_and(|ttl| now > ttl),
        Reading::Other(_) => false,
    };
    if stays {
        keys.ledger(|ledger| ledger.holds.postpone(id, now.saturating_add(RETRY_MS)));
        return false;
    }
    match judge(keys, id, found) {
        Ok(State::Live(record, deadline)) if now > deadline => end_overdue(keys, record, deadline),
        // Someone moved its TTL.
        Ok(State::Live(record, deadline)) => {
            keys.ledger(|ledger| ledger.holds.enter_again(&record, deadline))
        }
        Ok(State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign) | Err(_) => {
            keys.ledger(|ledger| ledger.holds.leave(id));
        }
    }
    true
}

/// Ends a record that is overdue but has no TTL: the module deletes it, as the server would have done.
pub(super) fn end_overdue<K: Keyspace>(keys: &mut K, record: Record, deadline: UnixMs) {
    let id = record.id.clone();
    keys.remove(Key::Reservation(&id));
    keys.notify(c"del", Key::Reservation(&id));
    keys.replicate(Sent::Del, &[Argument::Key(Key::Reservation(&id))]);
    let gone = Gone::new(record, deadline);
    keys.ledger(|ledger| ledger.pend(gone));
    settle_pending_of(keys, &id);
}

/// Settles what is remembered of an id that is about to be reserved anew: the new reservation will write its own
/// outcome. Says whether there was anything.
pub(super) fn settle_remembered<K: Keyspace>(keys: &mut K, id: &ReservationId) -> bool {
    // It was taken away in this very unit: the job that would cut it has not run.
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

/// Looks at the keys that events named, until none is left or `time_is_up`. Says whether some are left. Reads only, and
/// takes nothing away: this runs on replicas and in jobs too.
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

/// Looks at one key.
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
                keys.ledger(|ledger| ledger.alerts.enter(&product, at, kind));
            }
        }
    }
}

/// A `reservation:` key appeared or changed without a command of ours: is it one of our records?
fn look_at_record<K: Keyspace>(keys: &mut K, id: &ReservationId) {
    let name = Key::Reservation(id).name(keys.style());
    let found = keys.peek(Key::Reservation(id));
    if found == Reading::Absent {
        let now = keys.now();
        keys.ledger(|ledger| {
            ledger.foreign.leave(name.as_bytes());
            // It is due already, or gone. If the index has it later, its TTL was made shorter.
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
            // It is back: what was remembered of it is not to be given back as well.
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

//! Slots that come and go, in a cluster: what ends, or is deleted, while its slot is on its way.
//!
//! **Invariant:** units are given back only in a slot that is stable: all of it is here, and what others hold of it is known.
//! Until then the key of a reservation says what is to be done, and it moves with its slot; a note in memory would not.

use super::keyspace::{Argument, Keyspace, Reading, Tally, is_free};
use super::sent::Sent;
use super::settle;
use crate::inventory::cluster_slot::{Slot, SlotState};
use crate::inventory::key::Key;
use crate::inventory::line::{Line, describe};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Record;
use crate::ledger::Ledger;
use crate::ledger::gone::Gone;
use crate::ledger::waiting::Waits;

/// A record has ended in a slot that is not stable: whoever has the slot then gives its units back. A slot that moves all at
/// once leaves what it was behind, and its new owner has the same: so the note counts only if the slot comes back with these
/// very keys. A slot that no node has waits here with all its keys.
pub(super) fn leave_to_owner<K: Keyspace>(keys: &mut K, gone: Gone) {
    let left_behind = keys.slot_state(gone.record.id.as_str()) == SlotState::Elsewhere
        && keys.settings().slots_move_at_once;
    if left_behind {
        keep_note(keys, gone);
    } else if let Some(gone) = send_after(keys, gone) {
        give_up(keys, &gone);
    }
}

/// Nothing of it is held any more. If the slot is stable again while its counters are here, and nobody has given its units
/// back, this node does.
fn keep_note<K: Keyspace>(keys: &mut K, gone: Gone) {
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    if has_counters(keys, &gone.lines) {
        keys.ledger(|ledger| ledger.waiting.enter(Waits::Orphan(Box::new(gone))));
    }
}

/// What is remembered of a record that was deleted is due in a slot that is not stable. Its counters may have gone, with no
/// word of it; only if no node has the slot they have not.
pub(super) fn remembered_is_due<K: Keyspace>(keys: &mut K, gone: Gone) {
    if keys.slot_state(gone.record.id.as_str()) == SlotState::Unassigned {
        keep_note(keys, gone);
    } else {
        give_up(keys, &gone);
    }
}

/// Writes a record that has ended once more, without a TTL: so it goes where its counters go, and whoever has the slot then
/// ends it, by the deadline that stands in it. Gives it back where something else stands in its place.
pub(super) fn send_after<K: Keyspace>(keys: &mut K, gone: Gone) -> Option<Gone> {
    if keys.peek(Key::Reservation(&gone.record.id)) != Reading::Absent {
        return Some(gone);
    }
    let record = Record { expires_at: gone.deadline, ..gone.record };
    let json = record.to_json();
    let key = Key::Reservation(&record.id);
    keys.write(key, &json, None);
    keys.notify(c"set", key);
    keys.replicate(Sent::Set, &[Argument::Key(key), Argument::Text(&json)]);
    keys.ledger(|ledger| {
        ledger.holds.unhold(&gone.lines);
        ledger.holds.enter_touched(&record, gone.deadline);
        ledger.park(&record.id);
    });
    None
}

/// Of what has ended and is not settled, leaves to its owner what is in a slot that is not stable: of `all`, or of what the unit
/// of work at hand has ended. That cannot wait until there is time, because the slot may leave before. What was deleted in such
/// a slot cannot wait either: until it is looked at, its units are held.
pub fn rescue<K: Keyspace>(keys: &mut K, all: bool) {
    for gone in keys.ledger(|ledger| ledger.removed.take_newest()) {
        if keys.is_slot_stable(gone.record.id.as_str()) {
            keys.ledger(|ledger| ledger.removed.put_back(gone));
        } else {
            drop_deleted(keys, gone);
        }
    }
    let take = |ledger: &mut Ledger| {
        if all { ledger.pending.take_all().collect() } else { ledger.pending.take_fresh() }
    };
    for gone in keys.ledger(take) {
        if keys.is_slot_stable(gone.record.id.as_str()) {
            keys.ledger(|ledger| ledger.pending.put_back(gone));
        } else {
            leave_to_owner(keys, gone);
        }
    }
}

/// A record was deleted by another client, or so it looks, in a slot that is not stable. Most likely it goes to another node:
/// the source of a MIGRATE sees a DEL. So nothing of it is held here any more.
///
/// A slot that comes all at once brings what its old owner still does meanwhile, command by command. Where it expires a record,
/// what gives the units back follows; but the end of the move may come between. So of a due record that is deleted in such a
/// slot a note is taken. Which slots those are is asked last: it costs most.
pub(super) fn drop_deleted<K: Keyspace>(keys: &mut K, gone: Gone) {
    const CLOCKS_DIFFER_MS: i64 = 1000;
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    if keys.now().saturating_add(CLOCKS_DIFFER_MS) > gone.deadline
        && has_counters(keys, &gone.lines)
        && matches!(keys.slot_state(gone.record.id.as_str()), SlotState::Elsewhere | SlotState::Unassigned)
    {
        keys.ledger(|ledger| ledger.waiting.enter(Waits::Orphan(Box::new(gone))));
    }
}

/// Whether both counters of every line are on this node.
fn has_counters<K: Keyspace>(keys: &mut K, lines: &[Line]) -> bool {
    lines.iter().all(|Line { sku, .. }| {
        [Key::Available(sku), Key::Reserved(sku)].into_iter().all(|key| keys.peek(key) != Reading::Absent)
    })
}

/// What was to be given back cannot be, here or by others: the operator is told.
fn give_up<K: Keyspace>(keys: &mut K, gone: &Gone) {
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    keys.tally(Tally::UnexplainedUnits, settle::total(&gone.lines));
    let (id, lines) = (&gone.record.id, describe(&gone.lines));
    keys.report(&format!(
        "reservation {id} ended on this node, but its slot has moved: {lines} stay reserved until INV.REPAIR is run on the \
         slot's owner"
    ));
}

/// Takes up what waits for its slot, if that is stable, until `time_is_up`. Says whether something is left.
pub(super) fn take_up_waiting<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    for slot in keys.ledger(|ledger| ledger.waiting.turn()) {
        let Some(id) = keys.ledger(|ledger| ledger.waiting.last(slot).map(|waits| waits.id().clone())) else {
            continue;
        };
        if !keys.is_slot_stable(id.as_str()) {
            tidy(keys, slot);
            continue;
        }
        while let Some(waits) = keys.ledger(|ledger| ledger.waiting.take(slot)) {
            take_up(keys, waits);
            if time_is_up() {
                return true;
            }
        }
    }
    false
}

/// The same for a command in its own slot, which is stable, or the command would not be there. Of very many the cron takes
/// the rest.
pub(super) fn take_up_waiting_in<K: Keyspace>(keys: &mut K, slot: Slot) {
    for _ in 0..512 {
        let Some(waits) = keys.ledger(|ledger| ledger.waiting.take(slot)) else { break };
        take_up(keys, waits);
    }
}

fn take_up<K: Keyspace>(keys: &mut K, waits: Waits) {
    match waits {
        Waits::Parked(id) => keys.ledger(|ledger| ledger.holds.unpark(&id)),
        Waits::Unread(id, _) => {
            // That ends it, and its event tells what it was.
            keys.read(Key::Reservation(&id));
            settle::settle_pending_of(keys, &id);
        }
        Waits::Orphan(gone) => {
            // Not where an outcome says that its old owner has settled it, nor where it is back.
            let id = &gone.record.id;
            if is_free(keys, Key::Outcome(id)) && is_free(keys, Key::Reservation(id)) {
                keys.ledger(|ledger| ledger.holds.hold(&gone.lines));
                if settle::movable(keys, &gone.lines).is_empty() {
                    // It has settled it, and only the outcome did not come any more.
                    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
                } else {
                    settle::settle(keys, &gone, true);
                }
            }
        }
    }
}

/// Forgets what waits in vain for a slot that is not stable: reservations that have left with it, orphans whose counters are
/// gone, and what nobody could read for longer than any move takes.
fn tidy<K: Keyspace>(keys: &mut K, slot: Slot) {
    const LONGEST_MOVE_MS: i64 = 3_600_000;
    enum Last {
        InVain,
        Orphan(Vec<Line>),
        Waits,
    }
    let now: UnixMs = keys.now();
    loop {
        let last = keys.ledger(|ledger| match ledger.waiting.last(slot) {
            Some(Waits::Parked(id)) if ledger.holds.deadline(id).is_none() => Last::InVain,
            Some(Waits::Unread(_, since)) if now.saturating_sub(*since) > LONGEST_MOVE_MS => Last::InVain,
            Some(Waits::Orphan(gone)) => Last::Orphan(gone.lines.clone()),
            Some(Waits::Parked(_) | Waits::Unread(..)) | None => Last::Waits,
        });
        let in_vain = match last {
            Last::InVain => true,
            Last::Orphan(lines) => !has_counters(keys, &lines),
            Last::Waits => false,
        };
        if !in_vain {
            break;
        }
        keys.ledger(|ledger| ledger.waiting.take(slot));
    }
}

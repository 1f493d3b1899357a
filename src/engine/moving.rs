//! Slots that move between the nodes of a cluster: what happens to reservations that end or are deleted meanwhile.
//!
//! **Invariant:** units are returned only in a stable slot, in which all keys are present and all holders are known.
//! Until then the key of the reservation records what has to be done. The key moves with its slot; a note in memory
//! would not.

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

/// Handles a record that has ended in a slot that is not stable.
///
/// The node that serves the slot afterwards returns the units. There are two ways to tell it:
///
/// - If slots are migrated as a whole and another node serves this one, the keys here are only a remainder, and that
///   node has its own copy. A note is kept in memory, in case the slot comes back to this node.
/// - Otherwise the record is written again, so that it moves with its slot. If no node serves the slot, the record waits
///   here.
pub(super) fn leave_to_owner<K: Keyspace>(keys: &mut K, gone: Gone) {
    let left_behind = keys.slot_state(gone.record.id.as_str()) == SlotState::Elsewhere
        && keys.settings().slots_move_at_once;
    if left_behind {
        keep_note(keys, gone);
    } else if let Some(gone) = send_after(keys, gone) {
        give_up(keys, &gone);
    }
}

/// Stops holding the lines of `gone` and keeps a note of it. If the slot becomes stable again while its counters are
/// here, and the units have not been returned elsewhere, this node returns them.
fn keep_note<K: Keyspace>(keys: &mut K, gone: Gone) {
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    if has_counters(keys, &gone.lines) {
        keys.ledger(|ledger| ledger.waiting.enter(Waits::Orphan(Box::new(gone))));
    }
}

/// Handles a remembered reservation that is due in a slot that is not stable. Its counters may have left without an
/// event, unless no node serves the slot.
pub(super) fn remembered_is_due<K: Keyspace>(keys: &mut K, gone: Gone) {
    if keys.slot_state(gone.record.id.as_str()) == SlotState::Unassigned {
        keep_note(keys, gone);
    } else {
        give_up(keys, &gone);
    }
}

/// Writes the record of an ended reservation again, without a TTL. The key moves together with the counters, and the
/// next owner of the slot ends the reservation by the deadline in the record.
///
/// If something else has taken the place of the key, nothing is written and `gone` is returned.
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

/// Hands over the reservations that have ended or were deleted in slots that are not stable: everything pending if
/// `all` is set, otherwise what the current unit of work has ended.
///
/// This cannot be postponed, because the slot may leave before there is time. Deleted records cannot be postponed
/// either, because their units count as held until they are examined.
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

/// Handles a record that another client seems to have deleted in a slot that is not stable. Most likely the record
/// moves to another node, since the source of a MIGRATE sees a DEL. So its lines are no longer held here.
///
/// While a slot arrives as a whole, it also receives, command by command, what its old owner still does. If the old
/// owner expires a record, the commands that return the units follow, but the move may end in between. So a note is
/// kept of a due record that is deleted in such a slot. The state of the slot is tested last, because that is the most
/// expensive test.
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

/// Whether both counters of every line are on this node. The quota of a buyer may have none.
fn has_counters<K: Keyspace>(keys: &mut K, lines: &[Line]) -> bool {
    lines.iter().filter(|line| !line.sku.is_quota()).all(|Line { sku, .. }| {
        [Key::Available(sku), Key::Reserved(sku)].into_iter().all(|key| keys.peek(key) != Reading::Absent)
    })
}

/// Stops holding units that can be returned neither here nor by another node, and reports them in the log.
fn give_up<K: Keyspace>(keys: &mut K, gone: &Gone) {
    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
    keys.tally(Tally::UnexplainedUnits, settle::total(&gone.lines));
    let (id, lines) = (&gone.record.id, describe(&gone.lines));
    keys.report(&format!(
        "reservation {id} ended on this node, but its slot has moved: {lines} stay reserved until INV.REPAIR is run on the \
         slot's owner"
    ));
}

/// Continues with everything that waits for its slot to become stable, until `time_is_up`. Returns whether work is
/// left.
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

/// Continues with what waits for the slot of the current command. The slot is stable, since otherwise the command would
/// have been refused. The number is limited; the cron handles the rest.
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
            // Reading the key expires it, and the event of that reveals the record.
            keys.read(Key::Reservation(&id));
            settle::settle_pending_of(keys, &id);
        }
        Waits::Orphan(gone) => {
            // Skipped if there is an outcome, because the old owner has settled the reservation, or if there is a
            // record, because the reservation is back.
            let id = &gone.record.id;
            if is_free(keys, Key::Outcome(id)) && is_free(keys, Key::Reservation(id)) {
                keys.ledger(|ledger| ledger.holds.hold(&gone.lines));
                if settle::movable(keys, &gone.lines).is_empty() {
                    // The old owner has returned the units, but its outcome did not arrive.
                    keys.ledger(|ledger| ledger.holds.unhold(&gone.lines));
                } else {
                    settle::settle(keys, &gone, true);
                }
            }
        }
    }
}

/// Drops entries that will never be needed from a slot that is not stable: reservations that have left with the slot,
/// orphans without counters, and keys that could not be read for longer than any move takes.
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

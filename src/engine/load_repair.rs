//! The repair after a load: reserved units that no reservation holds. For example, an RDB load drops records that are
//! due, and their units stay in `reserved`.
//!
//! **Invariant:** units are returned automatically only if the module alone reserves in the database, which the key
//! `inventory:managed` marks. In any other database a script may hold the units, so they are only reported.

use super::change::{Change, Writes};
use super::effects::Release;
use super::keyspace::{Argument, Counter, Keyspace, LoadRepair, Reading, Tally};
use super::sent::Sent;
use super::settle::{give_back, return_unheld};
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::ending::Ending;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::quantity::Quantity;
use crate::inventory::sku::{KeyStyle, Sku};
use crate::ledger::standing::Reason;

/// Continues the repair of this database until it is complete or `time_is_up`. Returns whether work is left.
///
/// Call this only when nothing in the database is due or pending, because units that are about to be released must not
/// be repaired as well.
pub fn compare_all<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let mut later = Vec::new();
    while let Some(sku) = keys.ledger(|ledger| ledger.comparison.take_next()) {
        match keys.slot_state(sku.product()) {
            SlotState::Stable => check(keys, &sku),
            SlotState::Migrating | SlotState::Importing | SlotState::Unassigned => later.push(sku),
            SlotState::Elsewhere => {}
        }
        if time_is_up() {
            keys.ledger(|ledger| ledger.comparison.check_later(later));
            return true;
        }
    }
    keys.ledger(|ledger| ledger.comparison.compared_all_stable());
    if !later.is_empty() {
        // The slots of these skus are moving, or no node serves them.
        keys.ledger(|ledger| ledger.comparison.check_later(later));
        return false;
    }
    let now = keys.now();
    keys.ledger(|ledger| ledger.checked_all(now));
    if keys.ledger(|ledger| ledger.holds.count() > 0) {
        // A RESERVE that came before the check could not write the mark.
        mark(keys);
    }
    false
}

fn check<K: Keyspace>(keys: &mut K, sku: &Sku) {
    let Counter::Units(reserved) = keys.read_counter(Key::Reserved(sku)) else { return };
    let drift = drift_of(keys, sku, reserved);
    if drift == 0 || (drift < 0 && sku.is_quota()) {
        return;
    }
    let returns = match keys.settings().load_repair {
        LoadRepair::Return => true,
        LoadRepair::Report => false,
        // In a cluster slots come and go, and the units that they bring may belong to another program.
        LoadRepair::Auto if keys.in_cluster() => false,
        LoadRepair::Auto => sku.is_quota() || keys.ledger(|ledger| ledger.is_alone()),
    };
    match Quantity::new(drift) {
        Some(quantity) if returns => return_line(keys, &Line { sku: sku.clone(), quantity }),
        _ => {
            keys.tally(Tally::UnexplainedUnits, drift.max(0));
            keys.report(&format!(
                "{sku}: {reserved} units are reserved, {drift} more than live reservations hold: none are returned (inv.load-repair)"
            ));
        }
    }
}

/// Returns what nothing holds of a sku.
fn return_line<K: Keyspace>(keys: &mut K, line: &Line) {
    if line.sku.is_quota() {
        let quota = give_back(keys, line, Ending::Expired).into_iter().collect();
        let release = Release { quota, ..Release::default() };
        Change { writes: Writes::Release(Box::new(release)), ..Change::default() }.carry_out(keys);
    } else {
        return_unheld(keys, line);
    }
}

/// Returns the number of units by which a reserved counter exceeds what is held, and stores it in the ledger.
fn drift_of<K: Keyspace>(keys: &mut K, sku: &Sku, reserved: i64) -> i64 {
    keys.ledger(|ledger| {
        let drift = ledger.drift(sku, reserved);
        // What the quota of a buyer says does not tell whether the module is alone.
        if !sku.is_quota() {
            ledger.comparison.set_drift(sku, drift);
        }
        drift
    })
}

/// Compares a reserved counter with what is held again, after one of the two has changed, and stores the difference in
/// the ledger. Returns the difference, or `None` if the counter is not an integer.
pub(super) fn compare<K: Keyspace>(keys: &mut K, sku: &Sku) -> Option<i64> {
    match Counter::from(keys.peek(Key::Reserved(sku))) {
        Counter::Units(units) => Some(drift_of(keys, sku, units)),
        Counter::Absent => Some(drift_of(keys, sku, 0)),
        Counter::Broken(_) => None,
    }
}

/// Marks this database, if only the module reserves in it and at least one reservation has been made.
pub(super) fn mark<K: Keyspace>(keys: &mut K) {
    if keys.ledger(|ledger| ledger.is_to_be_marked()) && !keys.in_cluster() {
        let style = keys.style().word();
        keys.write(Key::Managed, style.as_bytes(), None);
        keys.notify(c"set", Key::Managed);
        keys.replicate(Sent::Set, &[Argument::Key(Key::Managed), Argument::Word(style)]);
        let now = keys.now();
        keys.ledger(|ledger| ledger.standing.found_mark(now));
    }
}

/// The key style that the mark of this database names.
pub(super) fn marked_style<K: Keyspace>(keys: &mut K) -> Option<KeyStyle> {
    match keys.peek(Key::Managed) {
        Reading::Text(word, _) => {
            [KeyStyle::Plain, KeyStyle::Tagged].into_iter().find(|style| style.word().as_bytes() == word)
        }
        Reading::Absent | Reading::Other(_) => None,
    }
}

/// Compares these reserved counters, which another client has written, with what is held.
pub(super) fn compare_written<K: Keyspace>(keys: &mut K, written: Vec<Sku>) {
    let now = keys.now();
    for sku in written {
        if !keys.is_slot_stable(sku.product()) {
            keys.ledger(|ledger| ledger.comparison.compare_later(sku));
        } else if compare(keys, &sku) != Some(0) {
            let was_alone = keys.ledger(|ledger| ledger.standing.is_managed());
            keys.ledger(|ledger| ledger.standing.doubt(Reason::ForeignWrite, now));
            if was_alone {
                let key = Key::Reserved(&sku).name(keys.style());
                keys.report(&format!(
                    "another client has written {key}, which is not what live reservations hold: the module is not alone in \
                     this database, and no load returns units automatically until inventory:managed is set again"
                ));
            }
        }
    }
}

/// Removes the mark if the module is no longer alone in this database.
pub(super) fn unmark<K: Keyspace>(keys: &mut K) {
    let now = keys.now();
    if keys.ledger(|ledger| ledger.is_to_be_unmarked(now)) {
        remove_mark(keys);
    }
}

/// Removes the mark, if there is one, until the reserved counters have been compared. Until then, none is written.
pub(super) fn unmark_until_checked<K: Keyspace>(keys: &mut K) {
    let now = keys.now();
    keys.ledger(|ledger| ledger.standing.doubt_until_checked(now));
    if marked(keys) {
        remove_mark(keys);
    }
}

/// Removes the mark, if there is one, because the module is being unloaded and will not see what other clients write.
pub fn unmark_unwatched<K: Keyspace>(keys: &mut K) {
    if marked(keys) {
        remove_mark(keys);
    }
}

/// Whether this database has the mark.
pub fn marked<K: Keyspace>(keys: &mut K) -> bool {
    keys.peek(Key::Managed) != Reading::Absent
}

fn remove_mark<K: Keyspace>(keys: &mut K) {
    let now = keys.now();
    keys.ledger(|ledger| ledger.standing.lost_mark(now));
    keys.remove(Key::Managed);
    keys.notify(c"del", Key::Managed);
    keys.replicate(Sent::Del, &[Argument::Key(Key::Managed)]);
}

/// Reads the mark again after another client has written or deleted it.
pub(super) fn look_at_mark<K: Keyspace>(keys: &mut K) {
    let (now, is_marked) = (keys.now(), marked(keys));
    keys.ledger(|ledger| {
        let standing = &mut ledger.standing;
        if is_marked { standing.found_mark(now) } else { standing.lost_mark(now) }
    });
}

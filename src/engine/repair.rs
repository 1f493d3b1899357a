//! The repair: units in `reserved` that nothing holds, such as those of records that an RDB load dropped because they
//! were due.
//!
//! **Invariant:** units are given back by themselves only where the module alone reserves, which the mark
//! `inventory:managed` says of a database. Elsewhere a script may hold them: they are reported.

use super::sent::Sent;
use super::{Argument, Counter, Keyspace, LoadRepair, Reading, Tally, alerts, apply, feed};
use crate::inventory::sku::{Key, KeyStyle, Sku};
use crate::inventory::slot::SlotState;

/// Goes on with the repair of this database until it is done or `time_is_up`. To be called when nothing of it is due or
/// pending: what is about to be released is not to be repaired as well. Says whether something is left.
pub fn go_on<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    let mut later = Vec::new();
    while let Some(sku) = keys.ledger(|ledger| ledger.next_to_check()) {
        match keys.slot_state(sku.product()) {
            SlotState::Stable => check(keys, &sku),
            SlotState::Migrating | SlotState::Importing | SlotState::Unassigned => later.push(sku),
            SlotState::Elsewhere => {}
        }
        if time_is_up() {
            keys.ledger(|ledger| ledger.check_later(later));
            return true;
        }
    }
    if !later.is_empty() {
        // Their slots are on their way, or no node has them.
        keys.ledger(|ledger| ledger.check_later(later));
        return false;
    }
    keys.ledger(|ledger| ledger.checked_all());
    if keys.ledger(|ledger| ledger.live_count() > 0) {
        // A RESERVE that came before the check could not know.
        mark(keys);
    }
    false
}

fn check<K: Keyspace>(keys: &mut K, sku: &Sku) {
    let Counter::Units(reserved) = keys.read_counter(Key::Reserved(sku)) else { return };
    let drift = reserved.saturating_sub(keys.ledger(|ledger| ledger.held_by_others(sku, 0)));
    if drift == 0 {
        return;
    }
    let returns = match keys.settings().load_repair {
        LoadRepair::Return => true,
        LoadRepair::Report => false,
        // In a cluster slots come and go, and what they bring may be another's.
        LoadRepair::Auto if keys.in_cluster() => false,
        LoadRepair::Auto => keys.ledger(|ledger| ledger.is_managed() && ledger.foreign_count() == 0),
    };
    if drift < 0 || !returns || !give_back(keys, sku, drift) {
        keys.ledger(|ledger| ledger.found_drift());
        keys.tally(Tally::UnexplainedUnits, drift.max(0));
        keys.report(&format!(
            "{sku}: {reserved} units are reserved, {drift} more than live reservations hold; left alone (inv.load-repair)"
        ));
    }
}

/// Moves `drift` units from reserved to available. False where available is no number, or would overflow.
fn give_back<K: Keyspace>(keys: &mut K, sku: &Sku, drift: i64) -> bool {
    let before = keys.read_counter(Key::Available(sku));
    let has_room = match &before {
        Counter::Absent => true,
        Counter::Units(units) => units.checked_add(drift).is_some(),
        Counter::Broken(_) => false,
    };
    if !has_room {
        return false;
    }
    apply::give_back(keys, sku, drift);
    feed::tell_units(keys, feed::Event::Repaired, sku, drift);
    let mut moves = alerts::Moves::default();
    moves.moved(sku, &before, drift);
    alerts::raise(keys, moves);
    keys.tally(Tally::RepairedUnits, drift);
    keys.report(&format!("{sku}: gave back {drift} reserved units that no reservation holds"));
    true
}

/// Writes the mark, when this database was found to be the module's alone and it reserves here.
pub(super) fn mark<K: Keyspace>(keys: &mut K) {
    if keys.ledger(|ledger| ledger.is_to_be_marked()) && !keys.in_cluster() {
        let style = keys.style().word();
        keys.write(Key::Managed, style.as_bytes(), None);
        keys.notify(c"set", Key::Managed);
        keys.replicate(Sent::Set, &[Argument::Key(Key::Managed), Argument::Word(style)]);
        keys.ledger(|ledger| ledger.set_managed(true));
    }
}

/// How the keys of a marked database are named, by the mark.
pub(super) fn marked_style<K: Keyspace>(keys: &mut K) -> Option<KeyStyle> {
    match keys.peek(Key::Managed) {
        Reading::Text(word, _) => {
            [KeyStyle::Plain, KeyStyle::Tagged].into_iter().find(|style| style.word().as_bytes() == word)
        }
        Reading::Absent | Reading::Other(_) => None,
    }
}

/// Takes the mark away where a foreign record was seen: the module is not alone here any more.
pub(super) fn unmark<K: Keyspace>(keys: &mut K) {
    if keys.ledger(|ledger| ledger.is_managed() && ledger.foreign_count() > 0) {
        keys.remove(Key::Managed);
        keys.notify(c"del", Key::Managed);
        keys.replicate(Sent::Del, &[Argument::Key(Key::Managed)]);
        keys.ledger(|ledger| ledger.set_managed(false));
    }
}

/// The mark appeared or went by another hand.
pub(super) fn look_at_mark<K: Keyspace>(keys: &mut K) {
    let managed = keys.peek(Key::Managed) != Reading::Absent;
    keys.ledger(|ledger| ledger.set_managed(managed));
}

/// A reserved counter was written by another hand, in a database that has no mark yet.
pub(super) fn look_at_reserved<K: Keyspace>(keys: &mut K, sku: &Sku) {
    let reserved = match Counter::from(keys.peek(Key::Reserved(sku))) {
        Counter::Units(units) => Some(units),
        Counter::Absent => Some(0),
        Counter::Broken(_) => None,
    };
    keys.ledger(|ledger| {
        if reserved != Some(ledger.held_by_others(sku, 0)) {
            ledger.found_others();
        }
    });
}

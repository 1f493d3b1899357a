//! Rebuilds the ledger from the keys: after a load, when the module is loaded into a running server, and, to compare
//! the counters, when a replica becomes a master.

use super::judge::is_in_slot_of;
use super::keyspace::{Keyspace, Reading};
use super::{load_repair, sweep};
use crate::inventory::key::{Key, Watched, is_of_other_style};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{KeyStyle, ReservationId};
use crate::ledger::Ledger;
use crate::ledger::foreign::Foreign;
use crate::ledger::hashed_ids::HashedIds;
use crate::ledger::notes::Touched;
use crate::ledger::walk::Purpose;

/// One walk over the keys of a database.
///
/// The walk sees each key as it is stored. Opening a due key would delete it or make it read as absent, so this way no
/// due reservation is missed.
///
/// Keys may change during the walk. Keys that it has met are followed through their events; the others will still be
/// met.
#[derive(Debug)]
pub struct Walk {
    now: UnixMs,
    style: KeyStyle,
    in_cluster: bool,
    purpose: Purpose,
    /// Ids that have ended. A record under such an id is foreign. There may be many times more outcomes than records.
    ended: HashedIds,
    /// Ids whose outcome has expired but still exists.
    with_stale_outcome: HashedIds,
    /// The ids of which the walk has met a record and probably an outcome, in either order. They are compared at its end.
    twice: Vec<ReservationId>,
    /// The number of the last pending reservation that was compared with these.
    pending: Option<u64>,
    /// The number of counters that seem to be named in the other key style, and one example.
    of_other_style: (u64, String),
}

impl Walk {
    /// Starts a walk at this moment.
    pub fn new(now: UnixMs, style: KeyStyle, in_cluster: bool, purpose: Purpose) -> Self {
        let (ended, with_stale_outcome) = (HashedIds::default(), HashedIds::default());
        let (twice, pending, of_other_style) = (Vec::new(), None, (0, String::new()));
        Self { now, style, in_cluster, purpose, ended, with_stale_outcome, twice, pending, of_other_style }
    }

    /// Takes in one key, if the module knows its type. `read` returns the value, if it is a string, and the expiry time
    /// of the key. It is called only for the few keys that need it.
    pub fn meet<'a>(
        &mut self,
        ledger: &mut Ledger,
        name: &[u8],
        watched: Option<Watched>,
        read: impl FnOnce() -> (Option<&'a [u8]>, Option<UnixMs>),
    ) {
        if is_of_other_style(name, self.style) {
            let (count, example) = &mut self.of_other_style;
            *count = count.saturating_add(1);
            if example.is_empty() {
                *example = String::from_utf8_lossy(name).into_owned();
            }
        }
        match watched {
            Some(Watched::Reservation(Some(id))) => {
                // A key that was found to be foreign must not be adopted by a walk. An id that is already indexed is
                // followed through its events.
                if ledger.foreign.contains(name) {
                    return;
                }
                if ledger.holds.deadline(&id).is_some() {
                    if self.ended.may_have(&id) {
                        self.twice.push(id);
                    }
                    return;
                }
                let (value, ttl) = read();
                let record = value.and_then(|json| Record::from_json(&id, json, self.style));
                match record.filter(|record| !self.in_cluster || is_in_slot_of(&id, &record.items)) {
                    Some(record) => {
                        ledger.holds.enter(&record, ttl.unwrap_or(record.expires_at));
                        if self.with_stale_outcome.may_have(&id) {
                            ledger.holds.note_outcome(&id);
                        }
                        if self.ended.may_have(&id) {
                            self.twice.push(id);
                        }
                    }
                    None => {
                        let misnamed = value.is_some_and(|json| Record::is_misnamed(&id, json));
                        ledger
                            .foreign
                            .enter(name, if misnamed { Foreign::Misnamed } else { Foreign::Stranger });
                    }
                }
            }
            Some(Watched::Reservation(None)) => ledger.foreign.enter(name, Foreign::Stranger),
            Some(Watched::Threshold(product)) => ledger.learn(Touched::Threshold(product)),
            Some(Watched::Alert(product, at)) => ledger.learn(Touched::Alert(product, at)),
            Some(Watched::Outcome(id)) => {
                let (_, ttl) = read();
                let (is_live, has_ended) =
                    (ledger.holds.deadline(&id).is_some(), ttl.is_none_or(|until| self.now <= until));
                match (is_live, has_ended) {
                    (true, true) => self.twice.push(id),
                    (true, false) => ledger.holds.note_outcome(&id),
                    (false, true) => self.ended.enter(&id),
                    (false, false) => self.with_stale_outcome.enter(&id),
                }
            }
            Some(Watched::Reserved(sku)) => ledger.comparison.meet(sku),
            Some(Watched::Managed) => match self.purpose {
                Purpose::Index | Purpose::Check => ledger.standing.found_mark(self.now),
                Purpose::IndexUnwatched => ledger.standing.found_unwatched_mark(self.now),
            },
            Some(Watched::Warehouses(product)) => ledger.warehouse_sets.enter(product),
            Some(Watched::Floor(sku)) => ledger.floors.enter(sku),
            Some(Watched::Limit(product)) => ledger.limits.enter(product),
            Some(Watched::Available) | None => {}
        }
    }

    /// Finishes the walk after every key was met: records whose id has ended become foreign. Continues until
    /// `time_is_up`, and returns whether work is left.
    pub fn finish<K: Keyspace>(&mut self, keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
        while let Some(id) = self.twice.pop() {
            self.compare(keys, &id);
            if time_is_up() {
                return true;
            }
        }
        let pending_after = |ledger: &mut Ledger, number| {
            ledger.pending.after(number).map(|(number, gone)| (number, gone.record.id.clone()))
        };
        while let Some((number, id)) = keys.ledger(|ledger| pending_after(ledger, self.pending)) {
            self.pending = Some(number);
            if self.ended.may_have(&id) {
                self.compare(keys, &id);
            }
            if time_is_up() {
                return true;
            }
        }
        while self.ended.free_some() || self.with_stale_outcome.free_some() {
            if time_is_up() {
                return true;
            }
        }
        self.compare_style(keys);
        keys.ledger(Ledger::end_walk);
        false
    }

    /// Checks whether keys of this database were named in the other style before, as the mark says, or, if there is no
    /// mark, as the names of the counters suggest.
    fn compare_style<K: Keyspace>(&self, keys: &mut K) {
        let (count, example) = &self.of_other_style;
        let changed = match load_repair::marked_style(keys) {
            Some(style) => style != self.style,
            None => *count > 0,
        };
        if changed {
            let example = if example.is_empty() { "" } else { &format!(", such as {example}") };
            keys.report(&format!(
                "inv.key-style has changed: {count} counters{example} have names in the other style. Nothing is repaired \
                 in this database. Load the module with the previous style, or delete inventory:managed"
            ));
            keys.ledger(|ledger| ledger.comparison.call_off());
        }
    }

    /// Tests whether the id of a live or pending reservation has ended.
    fn compare<K: Keyspace>(&self, keys: &mut K, id: &ReservationId) {
        // The outcome may be that of another id, or it may have expired since it was met, and the id may have been used
        // again.
        if keys.peek(Key::Outcome(id)) != Reading::Absent {
            keys.ledger(|ledger| {
                if ledger.holds.deadline(id).is_some() {
                    ledger.holds.leave(id);
                    let name = Key::Reservation(id).name(self.style);
                    ledger.foreign.enter(name.as_bytes(), Foreign::Stranger);
                    ledger.notes.note_restored(id, Restored::Ended);
                }
                while let Some(gone) = ledger.pending.take_of(id) {
                    ledger.holds.unhold(&gone.lines);
                }
            });
        }
    }
}

/// Notes which due records a load may have dropped, given the ledger from `before` the load.
///
/// A master that loads an RDB while it runs (`DEBUG RELOAD`) drops due records without an event. Replicas and the AOF
/// still have them, and the AOF would bring them back.
pub fn note_dropped<K: Keyspace>(keys: &mut K, before: &Ledger) {
    let now = keys.now();
    let mut position = None;
    while let Some((at, id, deadline)) = before.holds.after(position) {
        position = Some(at);
        if deadline <= now {
            // Whether the key is gone is seen when the note is worked off, because the walk has not met every key yet.
            keys.ledger(|ledger| ledger.notes.dropped.push(id));
        }
    }
}

/// Reads the less urgent keys that the walk met, until `time_is_up`. Returns whether work is left.
pub fn learn<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    while let Some(key) = keys.ledger(|ledger| ledger.notes.to_learn.pop()) {
        sweep::look_at(keys, key);
        if time_is_up() {
            return true;
        }
    }
    false
}

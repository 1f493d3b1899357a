//! How memory is rebuilt from the keys: after a load, when the module is loaded into a running server, and, for the
//! check, when a replica becomes a master.

use super::judge::is_in_slot_of;
use super::keyspace::{Keyspace, Reading};
use super::{load_repair, sweep};
use crate::inventory::key::{Key, Watched, is_of_other_style};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{KeyStyle, ReservationId};
use crate::ledger::Ledger;
use crate::ledger::foreign::Foreign;
use crate::ledger::notes::Touched;
use crate::ledger::walk::Purpose;

/// One walk over the keys of a database. The walk sees a key as it is stored, also one that is due and would go, or
/// read as absent, if it were opened: so no due reservation is missed.
///
/// The keys may change while it is under way: what has been met is followed by the events, what has not will be met.
#[derive(Debug)]
pub struct Walk {
    now: UnixMs,
    style: KeyStyle,
    in_cluster: bool,
    purpose: Purpose,
    /// Ids that have ended: a record under one of them is foreign. Which of the two keys the walk meets first is not
    /// known, so they are compared at its end.
    ended: Vec<ReservationId>,
    /// Ids whose outcome has expired and still exists.
    with_stale_outcome: Vec<ReservationId>,
    /// How many counters look as if they were named in the other style, and one of them.
    of_other_style: (u64, String),
}

impl Walk {
    /// A walk at this moment.
    pub fn new(now: UnixMs, style: KeyStyle, in_cluster: bool, purpose: Purpose) -> Self {
        let (ended, with_stale_outcome, of_other_style) = (Vec::new(), Vec::new(), (0, String::new()));
        Self { now, style, in_cluster, purpose, ended, with_stale_outcome, of_other_style }
    }

    /// Takes one key in, if the module knows its kind. `read` gives its string, if it is one, and its TTL; it is called
    /// for few keys only.
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
                // Found to be foreign before: a walk must not adopt it. Known: the events have followed it.
                if ledger.foreign.contains(name) || ledger.holds.deadline(&id).is_some() {
                    return;
                }
                let (value, ttl) = read();
                let record = value.and_then(|json| Record::from_json(&id, json, self.style));
                match record.filter(|record| !self.in_cluster || is_in_slot_of(&id, &record.items)) {
                    Some(record) => ledger.holds.enter(&record, ttl.unwrap_or(record.expires_at)),
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
                if ttl.is_none_or(|until| self.now <= until) {
                    self.ended.push(id);
                } else {
                    self.with_stale_outcome.push(id);
                }
            }
            Some(Watched::Reserved(sku)) => ledger.comparison.meet(sku),
            Some(Watched::Managed) => match self.purpose {
                Purpose::Index | Purpose::Check => ledger.standing.found_mark(self.now),
                Purpose::IndexUnwatched => ledger.standing.found_unwatched_mark(self.now),
            },
            Some(Watched::Available) | None => {}
        }
    }

    /// Every key was met: records whose id has ended are not ours. Goes on until `time_is_up`; says whether something is
    /// left to compare.
    pub fn finish<K: Keyspace>(&mut self, keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
        while let Some(id) = self.with_stale_outcome.pop() {
            keys.ledger(|ledger| ledger.holds.note_stale_outcome(&id));
            if time_is_up() {
                return true;
            }
        }
        while let Some(id) = self.ended.pop() {
            self.compare(keys, &id);
            if time_is_up() {
                return true;
            }
        }
        self.compare_style(keys);
        keys.ledger(Ledger::end_walk);
        false
    }

    /// Whether other names were used here before: by the mark, which says how, or by the look of the counters.
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

    fn compare<K: Keyspace>(&self, keys: &mut K, id: &ReservationId) {
        let is_known =
            |ledger: &mut Ledger| ledger.holds.deadline(id).is_some() || ledger.pending.find(id).is_some();
        // The outcome may have gone since it was met, and the id been used again.
        if keys.ledger(is_known) && keys.peek(Key::Outcome(id)) != Reading::Absent {
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

/// A master that loads an RDB while it runs (`DEBUG RELOAD`) drops what is due without a word: replicas and AOF keep it, and an
/// AOF would bring it back. Notes which records those are, by what was known `before`.
pub fn note_dropped<K: Keyspace>(keys: &mut K, before: &Ledger) {
    let now = keys.now();
    let mut position = None;
    while let Some((at, id, deadline)) = before.holds.after(position) {
        position = Some(at);
        if deadline <= now && keys.ledger(|ledger| ledger.holds.deadline(id).is_none()) {
            keys.ledger(|ledger| ledger.notes.dropped.push(id.clone()));
        }
    }
}

/// Reads what the walk met and nothing waits for, until nothing is left or `time_is_up`. Says whether something is left.
pub fn learn<K: Keyspace>(keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
    while let Some(key) = keys.ledger(|ledger| ledger.notes.to_learn.pop()) {
        sweep::look_at(keys, key);
        if time_is_up() {
            return true;
        }
    }
    false
}

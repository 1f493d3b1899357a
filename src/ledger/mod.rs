//! What is kept in memory of one database: which reservations are live, by deadline; how much of each sku they hold;
//! what was taken away and is not settled yet; alerts by time; thresholds.
//!
//! **Invariant:** derived from the keys, never the truth. A lost entry delays a release, it cannot lose a unit or
//! sell one twice.

pub mod alert_index;
pub mod blocked;
pub mod comparison;
pub mod foreign;
pub mod gone;
pub mod holds;
pub mod notes;
mod slab;
pub mod standing;
pub mod thresholds;
pub mod waiting;
pub mod walk;

use crate::inventory::key::Watched;
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{ReservationId, Sku};
use alert_index::AlertIndex;
use blocked::{Blocked, BlockedLines};
use comparison::Comparison;
use foreign::{Foreign, ForeignRecords};
use gone::{Gone, Pending, Remembered, Removed};
use holds::{Holds, Overdue};
use notes::{Notes, Touched};
use standing::{Reason, Standing};
use thresholds::Thresholds;
use waiting::{Waiting, Waits};
use walk::Purpose;

/// What takes a key away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// DEL, UNLINK, RENAME away, MOVE away, …
    Deleted,
    /// Its TTL.
    Expired,
    /// Memory pressure.
    Evicted,
    /// SET, RESTORE REPLACE, … over it.
    Overwritten,
}

/// A `reservation:` key that is being taken away.
#[derive(Clone, Debug)]
pub struct LeavingKey<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The id in its name, if it is one.
    pub id: Option<&'a ReservationId>,
    /// The record in it, if it is one and can still be read.
    pub record: Option<Record>,
    /// The deadline by its TTL, if it has one.
    pub ttl: Option<UnixMs>,
    /// What takes it away.
    pub how: Removal,
}

/// What is kept in memory of one database. Each part says what it is; here is what spans several.
///
/// **Invariant:** `holds` counts the units of what is live, pending, removed, remembered and blocked, each once. So what enters one
/// of these, or leaves it for good, does so through the ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The live reservations, and the units of each sku that they and all others hold.
    pub holds: Holds,
    /// What expired or was evicted, and is not settled yet.
    pub pending: Pending,
    /// What other clients have deleted or overwritten, and is not decided yet.
    pub removed: Removed,
    /// What is left of that, until its deadline.
    pub remembered: Remembered,
    /// What could not be given back.
    pub blocked: BlockedLines,
    /// What waits for its slot.
    pub waiting: Waiting,
    /// What is to be looked at.
    pub notes: Notes,
    /// The `reservation:` keys that are not ours.
    pub foreign: ForeignRecords,
    /// Whether the module is alone here.
    pub standing: Standing,
    /// The reserved counters beside what is held.
    pub comparison: Comparison,
    /// The alerts that are stored.
    pub alerts: AlertIndex,
    /// The thresholds of products that have one of their own.
    pub thresholds: Thresholds,
    /// What the walk over the keys is for that is under way, if one is.
    walk: Option<Purpose>,
}

impl Ledger {
    // --- keys that come and go ---

    /// Notes that a `reservation:` key goes, before it is gone. Notes for a release are taken only if `releasing`: on a master
    /// that is not loading.
    pub fn note_leaving(&mut self, key: LeavingKey<'_>, releasing: bool) {
        let was_foreign = self.foreign.leave(key.name);
        let gone = match key.record {
            Some(record) => {
                let deadline =
                    key.ttl.or_else(|| self.holds.deadline(&record.id)).unwrap_or(record.expires_at);
                Some(Gone::new(record, deadline))
            }
            None => key.id.and_then(|id| self.holds.as_indexed(id)),
        };
        let Some(gone) = gone else { return };
        if was_foreign || !releasing {
            self.holds.leave(&gone.record.id);
            return;
        }
        match key.how {
            Removal::Expired | Removal::Evicted => self.pend(gone),
            Removal::Deleted | Removal::Overwritten => self.note_removed(gone),
        }
    }

    /// An event told of a change of this key that no command of ours made. Says whether it is to be looked at.
    pub fn touch_watched(&mut self, name: &[u8], watched: Watched) -> bool {
        let touched = match watched {
            Watched::Reservation(Some(id)) => Touched::Reservation(id),
            Watched::Reservation(None) => {
                self.foreign.enter(name, Foreign::Stranger);
                return true;
            }
            Watched::Threshold(product) => Touched::Threshold(product),
            Watched::Alert(product, at) => {
                self.alerts.enter(&product, at, None);
                Touched::Alert(product, at)
            }
            Watched::Managed => Touched::Managed,
            Watched::Reserved(sku) => {
                self.note_written(sku);
                return true;
            }
            Watched::Outcome(_) | Watched::Available => return false,
        };
        self.notes.touch(touched);
        true
    }

    /// A walk met this key; nothing waits for what it holds.
    pub fn learn(&mut self, key: Touched) {
        if let Touched::Alert(product, at) = &key {
            self.alerts.enter(product, *at, None);
        }
        self.notes.to_learn.push(key);
    }

    // --- what has ended ---

    /// A record expired or was evicted: its units wait to be settled.
    pub fn pend(&mut self, mut gone: Gone) {
        gone.may_have_stale_outcome = self.holds.may_have_stale_outcome(&gone.record.id);
        self.holds.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.pending.enter(gone);
    }

    /// A record was deleted or overwritten by another client.
    pub fn note_removed(&mut self, gone: Gone) {
        self.holds.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.removed.enter(gone);
    }

    /// Takes the note of an id whose record another client has deleted, not looked at yet or not decided. Its lines are held.
    pub fn take_removed_of(&mut self, id: &ReservationId) -> Option<Gone> {
        if let Some(gone) = self.removed.take_unseen_of(id) {
            return Some(gone);
        }
        let gone = self.removed.take_undecided_of(id)?;
        self.holds.hold(&gone.lines);
        Some(gone)
    }

    /// What other clients have deleted waits until it is known which units are another program's. Until then nothing of it is held,
    /// so that it keeps no other release from its units.
    pub fn leave_removed_undecided(&mut self) {
        for gone in self.removed.take_all_unseen() {
            self.holds.unhold(&gone.lines);
            self.removed.leave_undecided(gone);
        }
    }

    /// Now that is known. Their lines are held again.
    pub fn take_up_undecided(&mut self) {
        for gone in self.removed.take_all_undecided() {
            self.holds.hold(&gone.lines);
            self.removed.enter(gone);
        }
    }

    /// Remembers what is left of `gone`, whose lines are held, until its deadline; `cut` replaces its lines.
    pub fn remember(&mut self, mut gone: Gone, cut: Vec<Line>) {
        self.holds.unhold(&gone.lines);
        if cut.is_empty() {
            return;
        }
        self.holds.hold(&cut);
        gone.lines = cut;
        if let Some(older) = self.remembered.take(&gone.record.id) {
            self.holds.unhold(&older.lines);
        }
        self.remembered.enter(gone);
    }

    /// These units cannot be given back now. They are held until they are. Says whether they are the first of their sku.
    pub fn block(&mut self, line: &Line, blocked: Blocked) -> bool {
        self.holds.hold(std::slice::from_ref(line));
        self.blocked.enter(&line.sku, blocked)
    }

    /// Takes one of the blocked lines of a sku, to give it back. It is not held any more.
    pub fn take_blocked(&mut self, sku: &Sku) -> Option<Blocked> {
        let blocked = self.blocked.take(sku)?;
        self.holds.unhold(&[Line { sku: sku.clone(), quantity: blocked.quantity }]);
        Some(blocked)
    }

    /// The deadline of a reservation that is over by now and not settled: still in the index, or pending.
    pub fn lapsed(&self, id: &ReservationId, now: UnixMs) -> Option<UnixMs> {
        let overdue = self.holds.deadline(id).filter(|deadline| now > *deadline);
        overdue.or_else(|| self.pending.find(id).map(|gone| gone.deadline))
    }

    /// Which reservations are past their deadline and not released: live ones, and those that the server has ended and nobody has
    /// settled. Counted up to `most`.
    pub fn overdue(&self, now: UnixMs, most: usize) -> Overdue {
        let live = self.holds.overdue(now, most);
        let (mut count, mut earliest) = (live.count, live.earliest);
        let pending = self.pending.iter().take(most.saturating_sub(count)).map(|gone| gone.deadline);
        for deadline in pending.filter(|deadline| now > *deadline) {
            count = count.saturating_add(1);
            earliest = Some(earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
        Overdue { count, earliest }
    }

    // --- slots that are being moved ---

    /// A live reservation is not to be opened before its slot is stable again.
    pub fn park(&mut self, id: &ReservationId) {
        self.holds.postpone(id, UnixMs::MAX);
        self.waiting.enter(Waits::Parked(id.clone()));
    }

    /// What could not be done while slots were being moved is tried again.
    pub fn try_moving_slots_again(&mut self) {
        self.comparison.try_moving_slots_again();
        self.notes.try_moving_slots_again();
    }

    /// Only a master that releases has use for what waits and is not live, and for what is to be written into records.
    pub fn forget_what_masters_need(&mut self) {
        self.notes.forget_restored();
        self.waiting.forget_all_but_parked();
    }

    /// Forgets everything that is pending, removed, remembered and blocked: the role changed, or another data set was loaded.
    pub fn forget_unsettled(&mut self) {
        let gone = self.pending.take_all().chain(self.removed.take_all_unseen());
        for gone in gone.chain(self.remembered.take_all()) {
            self.holds.unhold(&gone.lines);
        }
        for (sku, Blocked { quantity, .. }) in self.blocked.take_all() {
            self.holds.unhold(&[Line { sku, quantity }]);
        }
        // Nothing of these is held.
        drop(self.removed.take_all_undecided());
        self.waiting.forget_all_but_parked();
        self.comparison.forget_written();
        self.comparison.forget_found();
        self.notes.forget_restored();
        self.notes.dropped.clear();
    }

    // --- the walk over the keys ---

    /// A walk over the keys begins. One for a check finds what is live as well while that is not known.
    pub fn begin_walk(&mut self, purpose: Purpose, now: UnixMs) {
        let is_check = purpose == Purpose::Check;
        self.walk = Some(if is_check && !self.is_complete() { Purpose::Index } else { purpose });
        self.comparison.begin();
        self.standing.begin_check(now);
    }

    /// The walk is over.
    pub fn end_walk(&mut self) {
        self.walk = None;
    }

    /// Whether every live reservation is known. While they are not, what others hold of a sku is not known either, and
    /// overdue units wait.
    pub fn is_complete(&self) -> bool {
        match self.walk {
            None | Some(Purpose::Check) => true,
            Some(Purpose::Index | Purpose::IndexUnwatched) => false,
        }
    }

    // --- reserved counters beside what is held ---

    /// Whether every counter that the walk met is known, and the comparison is not done.
    pub fn may_check(&self) -> bool {
        self.comparison.is_under_way() && self.walk.is_none()
    }

    /// Every counter was compared.
    pub fn checked_all(&mut self, now: UnixMs) {
        self.comparison.end();
        let is_right = !self.comparison.has_drift() && self.foreign.is_empty();
        self.standing.end_check(is_right, now);
    }

    /// How many units a reserved counter has beyond what is held, and what is not decided.
    pub fn drift(&self, sku: &Sku, reserved: i64) -> i64 {
        reserved
            .saturating_sub(self.holds.held_by_others(sku, 0))
            .saturating_sub(self.removed.undecided_units(sku))
    }

    /// Whether it is known which skus another program holds units of.
    pub fn knows_the_shared(&self) -> bool {
        self.is_alone() || (self.is_complete() && !self.comparison.is_incomplete)
    }

    /// Whether reserved units of this sku may be another program's: it was found to have more than is held, or that is not
    /// known.
    pub fn may_be_shared(&self, sku: &Sku) -> bool {
        !self.knows_the_shared()
            || self.comparison.written_while_incomplete.contains(sku.as_str())
            || self.comparison.has_more_than_held(sku)
    }

    /// All that was deleted while it was not known is remembered.
    pub fn remembered_all(&mut self) {
        if self.knows_the_shared() && !self.comparison.written_while_incomplete.is_empty() {
            self.comparison.written_while_incomplete.clear();
        }
    }

    /// Another client has written this reserved counter.
    pub fn note_written(&mut self, sku: Sku) {
        if !self.knows_the_shared() {
            self.comparison.written_while_incomplete.insert(sku.clone());
        }
        self.comparison.note_written(sku);
    }

    /// Takes the reserved counters that other clients have written. While the index is not complete there is nothing to compare
    /// them with.
    pub fn take_written(&mut self) -> Vec<Sku> {
        if self.is_complete() { self.comparison.take_written() } else { Vec::new() }
    }

    /// Takes the records that are to say that they came back. While the index is not complete it is not known which they are.
    pub fn take_restored(&mut self) -> Vec<(ReservationId, Restored)> {
        if self.is_complete() { self.notes.take_restored() } else { Vec::new() }
    }

    // --- whether the module is alone ---

    /// Whether reserved units that nothing holds are the module's own to give back.
    pub fn is_alone(&self) -> bool {
        self.standing.is_managed() && self.foreign.is_empty()
    }

    /// Whether the database may be marked as the module's alone.
    pub fn is_to_be_marked(&self) -> bool {
        self.standing.is_clean() && self.foreign.is_empty()
    }

    /// Whether the mark is to be taken away.
    pub fn is_to_be_unmarked(&mut self, now: UnixMs) -> bool {
        if !self.foreign.is_empty() {
            self.standing.doubt(Reason::ForeignRecord, now);
        }
        self.standing.bears_a_wrong_mark()
    }

    // --- whether there is anything to do ---

    /// Whether what events have told of is not all worked off.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty() || self.removed.has_unseen() || self.notes.has_touched()
    }

    /// Whether anything is not settled yet, so that what is reserved cannot be compared with what is held.
    pub fn has_unsettled(&self) -> bool {
        !self.pending.is_empty() || self.notes.has_touched()
    }

    /// Whether a job or the cron has anything to do here; `may_write`: on a master that may write now. What it does not know
    /// for sure counts as work.
    pub fn has_work(&self, now: UnixMs, may_write: bool) -> bool {
        let has_more_to_look_at =
            !(self.notes.to_learn.is_empty() && self.waiting.is_empty()) || self.notes.has_restored();
        let may_be_shared = self.comparison.has_written_anywhere()
            || self.removed.has_undecided()
            || !self.foreign.is_empty()
            || self.standing.bears_a_wrong_mark();
        let is_due = || {
            self.holds.next_due(now).is_some()
                || self.remembered.first_deadline().is_some_and(|deadline| now > deadline)
        };
        self.is_behind()
            || has_more_to_look_at
            || (may_write
                && (may_be_shared
                    || self.comparison.is_under_way()
                    || !(self.notes.dropped.is_empty() && self.blocked.is_empty())
                    || is_due()))
    }

    /// Whether nothing is to be done here before a command or an event comes, or [`Ledger::next_deadline`]. If nothing is held any
    /// more, the memory of the index is given back.
    pub fn falls_asleep(&mut self, now: UnixMs) -> bool {
        let is_idle = self.walk.is_none() && !self.has_work(now, true);
        if is_idle && self.holds.is_empty() {
            self.holds = Holds::default();
        }
        is_idle
    }

    /// The first deadline of anything that is live or remembered, if there is one: no work comes before it by itself.
    pub fn next_deadline(&self) -> Option<UnixMs> {
        self.holds.next_wake().into_iter().chain(self.remembered.first_deadline()).min()
    }

    /// Whether nothing is known here that an empty database does not have.
    pub fn is_blank(&self) -> bool {
        self.walk.is_none()
            && !self.has_work(UnixMs::MAX, true)
            && !self.comparison.is_incomplete
            && self.holds.is_empty()
            && self.alerts.is_empty()
            && self.thresholds.is_empty()
            && !self.comparison.has_drift()
            && self.standing.is_blank()
    }

    /// Whether anything is known or noted that an operator wants to see in INFO.
    pub fn is_in_use(&self) -> bool {
        self.holds.count() > 0
            || !self.foreign.is_empty()
            || self.comparison.has_drift()
            || !self.standing.is_clean()
    }
}

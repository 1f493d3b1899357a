//! What is kept in memory of one database: which reservations are live, by deadline; how much of each sku they hold;
//! what was taken away and is not settled yet; alerts by time; thresholds.
//!
//! **Invariant:** derived from the keys, never the truth. A lost entry delays a release, it cannot lose a unit or
//! sell one twice.

pub mod alert_index;
pub mod gone;
pub mod holds;
mod slab;
pub mod standing;
pub mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::inventory::cluster_slot::Slot;
use crate::inventory::key::Watched;
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{Product, ReservationId, Sku};
use alert_index::AlertIndex;
use gone::{Blocked, Gone, GoneQueue, NEWEST};
use holds::{Holds, Overdue};
use standing::{Reason, Standing};
use waiting::{Waiting, Waits};

/// A key that an event named: to be looked at when looking is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// A `reservation:` key.
    Reservation(ReservationId),
    /// A `stock:threshold:` key.
    Threshold(Product),
    /// An `alert:` key.
    Alert(Product, UnixMs),
    /// `inventory:managed`.
    Managed,
}

impl Touched {
    /// The slot of the key; `None` of one that no command names.
    fn slot(&self) -> Option<Slot> {
        match self {
            Touched::Reservation(id) => Some(Slot::of(id.as_str())),
            Touched::Threshold(product) | Touched::Alert(product, _) => Some(Slot::of(product.as_str())),
            Touched::Managed => None,
        }
    }
}

/// Where the newest note of this kind is, if it is among the newest.
fn newest_of<T>(notes: &VecDeque<T>, is_of_kind: impl Fn(&T) -> bool) -> Option<usize> {
    let newest = notes.iter().enumerate().rev().take(NEWEST);
    newest.filter(|(_, note)| is_of_kind(note)).map(|(at, _)| at).last()
}

/// What a `reservation:` key that is not ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A script's, or an old dump or copy of a reservation that has ended.
    Stranger,
    /// A record of ours under another name than its own: a RENAME or COPY. No script knows what it holds.
    Misnamed,
}

/// Whether a walk over the keys is under way, and what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Walking {
    /// None is.
    #[default]
    No,
    /// To find counters: what is live is known.
    Checks,
    /// To find what is live.
    Indexes,
}

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

/// Notes that a `reservation:` key goes. `name` is its name, `id` the id in it, `record` what it holds while it can still
/// be read, `ttl` its deadline. Notes for a release are taken only where `releasing`: on a master that is not loading.
pub fn record_removed(
    ledger: &mut Ledger,
    name: &[u8],
    id: Option<&ReservationId>,
    record: Option<Record>,
    ttl: Option<UnixMs>,
    how: Removal,
    releasing: bool,
) {
    let was_foreign = ledger.leave_foreign(name);
    let gone = match record {
        Some(record) => {
            let deadline = ttl.or_else(|| ledger.deadline(&record.id)).unwrap_or(record.expires_at);
            Some(Gone::new(record, deadline))
        }
        None => id.and_then(|id| ledger.as_indexed(id)),
    };
    let Some(gone) = gone else { return };
    if was_foreign || !releasing {
        ledger.leave(&gone.record.id);
        return;
    }
    match how {
        Removal::Expired | Removal::Evicted => ledger.pend(gone),
        Removal::Deleted | Removal::Overwritten => ledger.note_removed(gone),
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The live reservations, and the units of each sku that live, pending, removed and remembered ones hold.
    holds: Holds,
    walk: Walking,
    /// Expired or evicted, not settled yet.
    pending: GoneQueue,
    /// The number of the first of them that the unit of work at hand has added.
    fresh: Option<u64>,
    /// What waits for its slot.
    waiting: Waiting,
    /// Deleted or overwritten by hand, not looked at yet.
    removed: GoneQueue,
    /// The same, looked at while it was not known which units are another program's. Nothing of it is held.
    undecided: GoneQueue,
    /// How many units of each sku those have.
    undecided_units: HashMap<Sku, i64>,
    /// Deleted or overwritten by hand: settled at the deadline.
    remembered: HashMap<ReservationId, Gone>,
    remembered_by_deadline: BTreeSet<(UnixMs, ReservationId)>,
    /// Names of `reservation:` keys that are not ours.
    foreign: HashMap<Box<[u8]>, Foreign>,
    /// How many of them are not [`Foreign::Misnamed`].
    strangers: usize,
    /// Dropped by a load because they were due: the copies still have them.
    dropped: Vec<ReservationId>,
    touched: VecDeque<Touched>,
    /// Keys that a walk met: to be read when there is time.
    to_learn: Vec<Touched>,
    alerts: AlertIndex,
    thresholds: HashMap<Product, i64>,
    standing: Standing,
    /// Skus whose reserved counter is to be compared with what is held.
    to_check: Vec<Sku>,
    is_checking: bool,
    /// Since the last walk not every reserved counter has been compared: which of them drift is not known.
    is_uncompared: bool,
    /// Skus whose reserved counter another client has written meanwhile.
    written_uncompared: HashSet<Sku>,
    /// Skus whose reserved counter was found not to be what is held, with the difference.
    drifting: HashMap<Sku, i64>,
    /// Skus whose reserved counter another client has written in the unit of work at hand, or while it could not be compared.
    written: BTreeSet<Sku>,
    /// Those whose slots are being moved.
    written_in_moving_slots: Vec<Sku>,
    /// Records that another client has put back, and that do not say so yet.
    restored: Vec<(ReservationId, Restored)>,
    /// Those whose slots are being moved.
    restored_in_moving_slots: Vec<(ReservationId, Restored)>,
    /// What could not be given back, by sku.
    blocked: BTreeMap<Sku, Vec<Blocked>>,
}

impl Ledger {
    // --- live reservations ---

    /// Enters a live reservation that a command of ours has made, or that a walk has met.
    pub fn enter(&mut self, record: &Record, deadline: UnixMs) {
        self.holds.enter(record, deadline, record.restored);
    }

    /// Enters the new deadline or lines of a live reservation. Where it came from stays known.
    pub fn enter_again(&mut self, record: &Record, deadline: UnixMs) {
        self.holds.enter(record, deadline, self.holds.is_by_hand(&record.id));
    }

    /// Enters a record that another hand has touched. If it is live and holds what it held, only its TTL was moved.
    pub fn enter_touched(&mut self, record: &Record, deadline: UnixMs) {
        let same = self.lines(&record.id).is_some_and(|lines| lines == record.items);
        let by_hand = !same || record.restored || self.holds.is_by_hand(&record.id);
        self.holds.enter(record, deadline, by_hand);
    }

    /// Whether a live reservation appeared without a command of ours.
    pub fn is_by_hand(&self, id: &ReservationId) -> bool {
        self.holds.is_by_hand(id)
    }

    /// An old outcome of this live reservation lies there, its time over.
    pub fn doubt(&mut self, id: &ReservationId) {
        self.holds.doubt(id);
    }

    /// Takes a live reservation out.
    pub fn leave(&mut self, id: &ReservationId) {
        self.holds.leave(id);
    }

    /// The deadline of a live reservation.
    pub fn deadline(&self, id: &ReservationId) -> Option<UnixMs> {
        self.holds.deadline(id)
    }

    /// What the index knows of a live reservation whose key cannot be read.
    pub fn lines(&self, id: &ReservationId) -> Option<Vec<Line>> {
        self.holds.lines(id)
    }

    /// What the index knows of a live reservation whose key holds something else by now, without an event that told of
    /// its end (APPEND, SETRANGE). When it was made is not known any more: its deadline stands in.
    pub fn as_indexed(&self, id: &ReservationId) -> Option<Gone> {
        let deadline = self.deadline(id)?;
        let record = Record::new(id.clone(), deadline, deadline, self.lines(id)?, None);
        Some(Gone::new(record, deadline))
    }

    /// The deadline of a reservation that is over by now and not settled: still in the index, or pending.
    pub fn lapsed(&self, id: &ReservationId, now: UnixMs) -> Option<UnixMs> {
        let overdue = self.deadline(id).filter(|deadline| now > *deadline);
        overdue.or_else(|| self.pending(id).map(|gone| gone.deadline))
    }

    /// How many reservations are live.
    pub fn live_count(&self) -> usize {
        self.holds.count()
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

    /// The reservation that is due first, if one is.
    pub fn next_due(&self, now: UnixMs) -> Option<ReservationId> {
        self.holds.next_due(now).cloned()
    }

    /// The reservation that holds units of `sku` and is due first, if one is.
    pub fn next_due_of(&self, sku: &Sku, now: UnixMs) -> Option<ReservationId> {
        self.holds.next_due_of(sku, now).cloned()
    }

    /// It did not go when it was opened: look again at `wake`.
    pub fn postpone(&mut self, id: &ReservationId, wake: UnixMs) {
        self.holds.postpone(id, wake);
    }

    // --- what waits for its slot ---

    /// A live reservation is not to be opened before its slot is stable again.
    pub fn park(&mut self, id: &ReservationId) {
        self.holds.postpone(id, UnixMs::MAX);
        self.waiting.enter(Waits::Parked(id.clone()));
    }

    /// Its slot is stable: it goes back to its place by deadline.
    pub fn unpark(&mut self, id: &ReservationId) {
        if let Some(deadline) = self.deadline(id) {
            self.holds.postpone(id, deadline);
        }
    }

    /// It waits for its slot.
    pub fn wait(&mut self, what: Waits) {
        self.waiting.enter(what);
    }

    /// Some slots for which something waits, in turn.
    pub fn waiting_in_turn(&mut self) -> Vec<Slot> {
        if self.waiting.is_empty() { Vec::new() } else { self.waiting.turn() }
    }

    /// The last one that waits for a slot.
    pub fn waiting_in(&self, slot: Slot) -> Option<&Waits> {
        self.waiting.last(slot)
    }

    /// Takes it.
    pub fn take_waiting(&mut self, slot: Slot) -> Option<Waits> {
        self.waiting.take(slot)
    }

    /// Only a master that releases has use for what waits and is not live, and for what is to be written into records.
    pub fn forget_waiting_notes(&mut self) {
        self.restored.clear();
        self.restored_in_moving_slots.clear();
        if !self.waiting.is_empty() {
            self.waiting.forget_notes();
        }
    }

    // --- live reservations, to walk over ---

    /// The live reservations in the order of their deadlines, to walk over.
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Bytes that live reservations take in memory beside their keys, about.
    pub fn bytes(&self) -> usize {
        self.holds.bytes()
    }

    // --- the walk over the keys ---

    /// A walk over the keys begins. `known`: what is live is known already (a replica has followed its master), and the
    /// walk is for the check only.
    pub fn begin_walk(&mut self, known: bool, now: UnixMs) {
        self.walk = if known && self.is_complete() { Walking::Checks } else { Walking::Indexes };
        self.to_check.clear();
        self.is_checking = true;
        self.is_uncompared = true;
        self.written_uncompared.clear();
        self.drifting.clear();
        self.standing.begin_check(now);
    }

    /// The walk is over.
    pub fn end_walk(&mut self) {
        self.walk = Walking::No;
    }

    /// Whether every live reservation is known. While they are not, what others hold of a sku is not known either, and
    /// overdue units wait.
    pub fn is_complete(&self) -> bool {
        self.walk != Walking::Indexes
    }

    // --- the repair ---

    /// The walk met a reserved counter.
    pub fn to_check(&mut self, sku: Sku) {
        self.to_check.push(sku);
    }

    /// Nothing is to be compared: these counters are not named as the module names them now.
    pub fn leave_unchecked(&mut self) {
        self.to_check.clear();
        self.is_checking = false;
        self.is_uncompared = false;
    }

    /// Whether every counter that the walk met is known, and the comparison is not done.
    pub fn may_check(&self) -> bool {
        self.is_checking && self.walk == Walking::No
    }

    /// The next sku to compare.
    pub fn next_to_check(&mut self) -> Option<Sku> {
        self.to_check.pop()
    }

    /// Every counter was compared whose slot is not being moved.
    pub fn compared_all(&mut self) {
        self.is_uncompared = false;
    }

    /// They cannot be compared now: behind all others.
    pub fn check_later(&mut self, mut skus: Vec<Sku>) {
        skus.append(&mut self.to_check);
        self.to_check = skus;
    }

    /// Every counter was compared.
    pub fn checked_all(&mut self, now: UnixMs) {
        self.is_checking = false;
        let is_right = self.drifting.is_empty() && self.foreign.is_empty();
        self.standing.end_check(is_right, now);
    }

    // --- whether the module is alone ---

    /// Whether this database is the module's alone.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The same, to change it.
    pub fn standing_mut(&mut self) -> &mut Standing {
        &mut self.standing
    }

    /// Whether reserved units that nothing holds are the module's own to give back.
    pub fn is_alone(&self) -> bool {
        self.standing.is_managed() && self.foreign.is_empty()
    }

    /// Whether it may be marked.
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

    /// The reserved counter of `sku` is `drift` units more than what is held; negative: less.
    pub fn set_drift(&mut self, sku: &Sku, drift: i64) {
        if drift == 0 {
            self.drifting.remove(sku.as_str());
        } else {
            self.drifting.insert(sku.clone(), drift);
        }
    }

    /// Whether it is known which skus another program holds units of.
    pub fn knows_the_shared(&self) -> bool {
        self.is_alone() || (self.is_complete() && !self.is_uncompared)
    }

    /// Whether reserved units of this sku may be another program's: it was found to have more than is held, or that is not
    /// known.
    pub fn may_be_shared(&self, sku: &Sku) -> bool {
        !self.knows_the_shared()
            || self.written_uncompared.contains(sku.as_str())
            || self.drifting.get(sku.as_str()).is_some_and(|drift| *drift > 0)
    }

    /// All that was deleted while it was not known is remembered.
    pub fn remembered_all(&mut self) {
        if self.knows_the_shared() && !self.written_uncompared.is_empty() {
            self.written_uncompared.clear();
        }
    }

    /// Whether anything is known or noted that an operator wants to see in INFO.
    pub fn is_in_use(&self) -> bool {
        let is_empty = self.live_count() == 0
            && self.foreign.is_empty()
            && self.drifting.is_empty()
            && self.standing.is_clean();
        !is_empty
    }

    /// Another client has written this reserved counter.
    pub fn note_written(&mut self, sku: Sku) {
        if !self.knows_the_shared() {
            self.written_uncompared.insert(sku.clone());
        }
        // A burst of writes to one counter is compared once.
        self.written.insert(sku);
    }

    /// Whether another client has written a reserved counter, and nobody has looked at it since.
    pub fn has_written(&self) -> bool {
        !self.written.is_empty()
    }

    /// Whether another client has written this reserved counter, and nobody has looked at it since.
    pub fn is_written(&self, sku: &Sku) -> bool {
        self.written.contains(sku.as_str())
    }

    /// Takes the reserved counters that other clients have written. While the index is not complete there is nothing to compare
    /// them with.
    pub fn take_written(&mut self) -> Vec<Sku> {
        if self.is_complete() { std::mem::take(&mut self.written).into_iter().collect() } else { Vec::new() }
    }

    /// These cannot be compared yet: their slots are being moved.
    pub fn compare_later(&mut self, skus: Vec<Sku>) {
        self.written_in_moving_slots.extend(skus);
    }

    /// What could not be done while slots were being moved is tried again.
    pub fn try_moving_slots_again(&mut self) {
        self.written.extend(self.written_in_moving_slots.drain(..));
        self.restored.append(&mut self.restored_in_moving_slots);
    }

    // --- records that came back ---

    /// Another client has put this record back; the record is to say so.
    pub fn note_restored(&mut self, id: &ReservationId, how: Restored) {
        self.restored.push((id.clone(), how));
    }

    /// Takes the records that are to say that they came back.
    pub fn take_restored(&mut self) -> Vec<(ReservationId, Restored)> {
        if self.is_complete() { std::mem::take(&mut self.restored) } else { Vec::new() }
    }

    /// These cannot be written yet: their slots are being moved.
    pub fn write_later(&mut self, records: Vec<(ReservationId, Restored)>) {
        self.restored_in_moving_slots.extend(records);
    }

    // --- what could not be given back ---

    /// These units cannot be given back now. They are held until they are. Says whether they are the first of their sku.
    pub fn block(&mut self, line: &Line, blocked: Blocked) -> bool {
        self.holds.hold(std::slice::from_ref(line));
        let waiting = self.blocked.entry(line.sku.clone()).or_default();
        waiting.push(blocked);
        waiting.len() == 1
    }

    /// The skus of which something could not be given back.
    pub fn blocked_skus(&self) -> Vec<Sku> {
        self.blocked.keys().cloned().collect()
    }

    /// Takes one of those of a sku, to give it back. It is not held any more.
    pub fn take_blocked(&mut self, sku: &Sku) -> Option<Blocked> {
        let waiting = self.blocked.get_mut(sku.as_str())?;
        let blocked = waiting.pop();
        if waiting.is_empty() {
            self.blocked.remove(sku.as_str());
        }
        let blocked = blocked?;
        self.holds.unhold(&[Line { sku: sku.clone(), quantity: blocked.quantity }]);
        Some(blocked)
    }

    /// How many lines of expired reservations could not be given back.
    pub fn blocked_count(&self) -> usize {
        self.blocked.values().map(Vec::len).fold(0, usize::saturating_add)
    }

    // --- sums held ---

    /// Units of `sku` that are held by anything but a reservation with this `own` line.
    pub fn held_by_others(&self, sku: &Sku, own: i64) -> i64 {
        self.holds.held(sku).saturating_sub(own).max(0)
    }

    // --- what was taken away ---

    /// A record expired or was evicted: its units wait to be settled.
    pub fn pend(&mut self, mut gone: Gone) {
        gone.looked_at = self.holds.is_looked_at(&gone.record.id);
        self.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.fresh = self.fresh.or(Some(self.pending.next()));
        self.pending.push(gone);
    }

    /// The pending entry of an id.
    pub fn pending(&self, id: &ReservationId) -> Option<&Gone> {
        self.pending.find(id)
    }

    /// The next entry to settle; of this slot alone, where one is named, and among the newest: those of the unit at hand. Its
    /// lines stay held until [`Ledger::settled`].
    pub fn take_pending(&mut self, slot: Option<Slot>) -> Option<Gone> {
        match slot {
            None => self.pending.take_first(),
            Some(slot) => self.pending.take_in(slot),
        }
    }

    /// The entry of an id, to settle it. Its lines stay held.
    pub fn take_pending_of(&mut self, id: &ReservationId) -> Option<Gone> {
        self.pending.take_of(id)
    }

    /// An entry that holds units of this sku, to settle it. Its lines stay held.
    pub fn take_pending_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        self.pending.take_of_sku(sku)
    }

    /// Takes what waits to be settled: `all`, or what the unit of work at hand has added. Its lines stay held.
    pub fn take_unsettled(&mut self, all: bool) -> Vec<Gone> {
        match self.fresh.take() {
            _ if all => self.pending.take_all().collect(),
            Some(first) => self.pending.take_from(first),
            None => Vec::new(),
        }
    }

    /// Puts an entry back that could not be settled here.
    pub fn put_back(&mut self, gone: Gone) {
        self.pending.push(gone);
    }

    /// How many entries wait to be settled.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// These lines are not held any more.
    pub fn settled(&mut self, lines: &[Line]) {
        self.holds.unhold(lines);
    }

    /// A record was deleted or overwritten by hand.
    pub fn note_removed(&mut self, gone: Gone) {
        self.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.removed.push(gone);
    }

    /// Takes the newest of the records that were taken away by hand and not looked at. Their lines stay held.
    pub fn take_newest_removed(&mut self) -> Vec<Gone> {
        self.removed.take_newest(NEWEST)
    }

    /// It is to be looked at when there is time. Its lines were held all the time.
    pub fn put_removed_back(&mut self, gone: Gone) {
        self.removed.push(gone);
    }

    /// The next record that was taken away by hand and not looked at. Its lines stay held.
    pub fn take_removed(&mut self) -> Option<Gone> {
        self.removed.take_last()
    }

    /// Remembers what is left of `gone` until its deadline; `cut` replaces its lines.
    pub fn remember(&mut self, mut gone: Gone, cut: Vec<Line>) {
        self.holds.unhold(&gone.lines);
        if cut.is_empty() {
            return;
        }
        self.holds.hold(&cut);
        gone.lines = cut;
        let id = gone.record.id.clone();
        if let Some(older) = self.take_remembered(&id) {
            self.holds.unhold(&older.lines);
        }
        self.remembered_by_deadline.insert((gone.deadline, id.clone()));
        self.remembered.insert(id, gone);
    }

    /// These units are held until they are settled.
    pub fn hold(&mut self, lines: &[Line]) {
        self.holds.hold(lines);
    }

    /// Takes the note of an id whose record another client has deleted, not looked at yet or not decided. Its lines are held.
    pub fn take_removed_of(&mut self, id: &ReservationId) -> Option<Gone> {
        if let Some(gone) = self.removed.take_of(id) {
            return Some(gone);
        }
        let gone = self.undecided.take_of(id)?;
        self.count_undecided(&gone, -1);
        self.holds.hold(&gone.lines);
        Some(gone)
    }

    /// What other clients have deleted waits until it is known which units are another program's. Until then nothing of it is held,
    /// so that it keeps no other release from its units.
    pub fn leave_removed_undecided(&mut self) {
        for gone in self.removed.take_all() {
            self.holds.unhold(&gone.lines);
            self.count_undecided(&gone, 1);
            self.undecided.push(gone);
        }
    }

    /// Now that is known. Their lines are held again.
    pub fn take_up_undecided(&mut self) {
        for gone in self.undecided.take_all() {
            self.holds.hold(&gone.lines);
            self.removed.push(gone);
        }
        self.undecided_units.clear();
    }

    fn count_undecided(&mut self, gone: &Gone, sign: i64) {
        for line in &gone.lines {
            let units = self.undecided_units.entry(line.sku.clone()).or_default();
            *units = units.saturating_add(line.quantity.units().saturating_mul(sign));
        }
    }

    /// How many units a reserved counter has beyond what is held, and what is not decided.
    pub fn drift(&self, sku: &Sku, reserved: i64) -> i64 {
        let undecided = self.undecided_units.get(sku.as_str()).copied().unwrap_or_default();
        reserved.saturating_sub(self.held_by_others(sku, 0)).saturating_sub(undecided)
    }

    /// Takes what is remembered of an id. Its lines stay held.
    pub fn take_remembered(&mut self, id: &ReservationId) -> Option<Gone> {
        let gone = self.remembered.remove(id)?;
        self.remembered_by_deadline.remove(&(gone.deadline, id.clone()));
        Some(gone)
    }

    /// The remembered reservation whose deadline passed first, if one has; of this slot alone, where one is named. Its lines
    /// stay held.
    pub fn take_remembered_due(&mut self, now: UnixMs, slot: Option<Slot>) -> Option<Gone> {
        let mut due = self.remembered_by_deadline.iter().take_while(|(deadline, _)| now > *deadline);
        let (_, id) = match slot {
            None => due.next(),
            Some(slot) => due.take(NEWEST).find(|(_, id)| Slot::of(id.as_str()) == slot),
        }?;
        let id = id.clone();
        self.take_remembered(&id)
    }

    /// Forgets everything pending, removed, orphaned and remembered: the role changed, or another data set was loaded.
    pub fn drop_notes(&mut self) {
        let gone = self.pending.take_all().chain(self.removed.take_all());
        for gone in gone.chain(std::mem::take(&mut self.remembered).into_values()) {
            self.holds.unhold(&gone.lines);
        }
        for (sku, waiting) in std::mem::take(&mut self.blocked) {
            for Blocked { quantity, .. } in waiting {
                self.holds.unhold(&[Line { sku: sku.clone(), quantity }]);
            }
        }
        self.undecided = GoneQueue::default();
        self.undecided_units.clear();
        self.remembered_by_deadline.clear();
        self.waiting.forget_notes();
        self.written.clear();
        self.written_in_moving_slots.clear();
        self.restored.clear();
        self.restored_in_moving_slots.clear();
        // What other programs hold is known when the walk of the new master is over.
        self.is_uncompared = true;
        self.written_uncompared.clear();
        self.drifting.clear();
        self.dropped.clear();
        self.fresh = None;
    }

    /// A load has dropped this record: its copies are to be told.
    pub fn note_dropped(&mut self, id: ReservationId) {
        self.dropped.push(id);
    }

    /// The next record whose copies are to be told that a load has dropped it.
    pub fn take_dropped(&mut self) -> Option<ReservationId> {
        self.dropped.pop()
    }

    // --- foreign records ---

    /// A `reservation:` key that is not ours was seen.
    pub fn enter_foreign(&mut self, name: &[u8], what: Foreign) {
        self.leave_foreign(name);
        self.foreign.insert(name.into(), what);
        self.strangers = self.strangers.saturating_add(usize::from(what == Foreign::Stranger));
    }

    /// Whether that key was found not to be ours. Once it is, it stays so until it goes: also when what spoke against it,
    /// an outcome, is forgotten.
    pub fn is_foreign(&self, name: &[u8]) -> bool {
        self.foreign.contains_key(name)
    }

    /// That key is gone, or ours. Says whether it was foreign.
    pub fn leave_foreign(&mut self, name: &[u8]) -> bool {
        let was = self.foreign.remove(name);
        self.strangers = self.strangers.saturating_sub(usize::from(was == Some(Foreign::Stranger)));
        was.is_some()
    }

    /// Whether a record that may be a script's lives here under another name than `name`.
    pub fn has_stranger_beside(&self, name: &[u8]) -> bool {
        self.strangers > usize::from(self.foreign.get(name) == Some(&Foreign::Stranger))
    }

    /// How many foreign records live here.
    pub fn foreign_count(&self) -> usize {
        self.foreign.len()
    }

    // --- keys to look at ---

    /// An event told of a change of this key that no command of ours made. Says whether it is to be looked at.
    pub fn touch_watched(&mut self, name: &[u8], watched: Watched) -> bool {
        let touched = match watched {
            Watched::Reservation(Some(id)) => Touched::Reservation(id),
            Watched::Reservation(None) => {
                self.enter_foreign(name, Foreign::Stranger);
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
        self.touch(touched);
        true
    }

    /// An event named this key.
    pub fn touch(&mut self, key: Touched) {
        // A burst of events on one key is one look.
        if self.touched.back() != Some(&key) {
            self.touched.push_back(key);
        }
    }

    /// The next key that an event named and that was not looked at; of this slot alone, where one is named, and among the
    /// newest: those of the unit at hand.
    pub fn take_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        if slot.is_none() { self.touched.pop_front() } else { self.take_latest_touched(slot) }
    }

    /// The same, the latest first.
    pub fn take_latest_touched(&mut self, slot: Option<Slot>) -> Option<Touched> {
        let Some(slot) = slot else { return self.touched.pop_back() };
        let at = newest_of(&self.touched, |touched| touched.slot() == Some(slot))?;
        self.touched.remove(at)
    }

    /// A walk met this key; nothing waits for what it holds.
    pub fn learn(&mut self, key: Touched) {
        if let Touched::Alert(product, at) = &key {
            self.alerts.enter(product, *at, None);
        }
        self.to_learn.push(key);
    }

    /// The next key to learn of.
    pub fn take_to_learn(&mut self) -> Option<Touched> {
        self.to_learn.pop()
    }

    /// Whether anything waits for a job, a command or the cron.
    pub fn has_notes(&self) -> bool {
        !(self.pending.is_empty() && self.removed.is_empty() && self.touched.is_empty())
    }

    /// Whether a job or the cron has anything to do here; `may_write`: on a master that may write now. What it does not know
    /// for sure counts as work.
    pub fn has_work(&self, now: UnixMs, may_write: bool) -> bool {
        let has_notes = self.has_notes()
            || !(self.to_learn.is_empty()
                && self.waiting.is_empty()
                && self.restored.is_empty()
                && self.restored_in_moving_slots.is_empty());
        let may_be_shared = !(self.written.is_empty()
            && self.written_in_moving_slots.is_empty()
            && self.written_uncompared.is_empty()
            && self.undecided.is_empty()
            && self.foreign.is_empty())
            || self.standing.bears_a_wrong_mark();
        let is_due = || {
            self.next_due(now).is_some()
                || self.remembered_by_deadline.first().is_some_and(|(deadline, _)| now > *deadline)
        };
        has_notes
            || (may_write
                && (may_be_shared
                    || self.is_checking
                    || !(self.dropped.is_empty() && self.blocked.is_empty())
                    || is_due()))
    }

    /// Whether nothing is to be done here before a command or an event comes, or [`Ledger::next_deadline`]. If nothing is held any
    /// more, the memory of the index is given back.
    pub fn falls_asleep(&mut self, now: UnixMs) -> bool {
        let is_idle = self.walk == Walking::No && !self.has_work(now, true);
        if is_idle && self.holds.is_empty() {
            self.holds = Holds::default();
        }
        is_idle
    }

    /// The first deadline of anything that is live or remembered, if there is one: no work comes before it by itself.
    pub fn next_deadline(&self) -> Option<UnixMs> {
        let remembered = self.remembered_by_deadline.first().map(|(deadline, _)| *deadline);
        self.holds.next_wake().into_iter().chain(remembered).min()
    }

    /// Whether nothing is known here that an empty database does not have.
    pub fn is_blank(&self) -> bool {
        self.walk == Walking::No
            && !self.has_work(UnixMs::MAX, true)
            && !self.is_uncompared
            && self.holds.is_empty()
            && self.alerts.is_empty()
            && self.thresholds.is_empty()
            && self.drifting.is_empty()
            && self.standing.is_blank()
    }

    /// Whether anything is not settled yet, so that what is reserved cannot be compared with what is held.
    pub fn has_unsettled(&self) -> bool {
        !(self.pending.is_empty() && self.touched.is_empty())
    }

    /// Whether anything waits for the cron that a job does not do.
    pub fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Whether keys of this slot were named and not looked at; also where there are so many notes that it takes too long to say.
    pub fn has_touched_in(&self, slot: Slot) -> bool {
        const MOST: usize = 4096;
        self.touched.len() > MOST || self.touched.iter().any(|touched| touched.slot() == Some(slot))
    }

    // --- alerts and thresholds ---

    /// The alerts that are stored.
    pub fn alerts(&mut self) -> &mut AlertIndex {
        &mut self.alerts
    }

    /// The threshold of a product, where it has one of its own.
    pub fn threshold(&self, product: &str) -> Option<i64> {
        self.thresholds.get(product).copied()
    }

    /// A product's own threshold is this now.
    pub fn set_threshold(&mut self, product: Product, threshold: Option<i64>) {
        match threshold {
            Some(units) => {
                self.thresholds.insert(product, units);
            }
            None => {
                self.thresholds.remove(product.as_str());
            }
        }
    }
}

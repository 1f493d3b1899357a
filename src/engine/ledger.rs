//! What is kept in memory of one database: which reservations are live, by deadline; how much of each sku they hold;
//! what was taken away and is not settled yet; alerts by time; thresholds.
//!
//! **Invariant:** derived from the keys, never the truth. A lost entry delays a release, it cannot lose a unit or
//! sell one twice.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::alert_index::AlertIndex;
use super::holds::Holds;
use super::waiting::{Waiting, Waits};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Line, Record};
use crate::inventory::sku::{Product, ReservationId, Sku, Watched};
use crate::inventory::slot::Slot;

/// A reservation whose record is gone, with what it held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its record, as it was.
    pub record: Record,
    /// What it still holds in the counters: all of its items, or what was left of them when it was cut.
    pub lines: Vec<Line>,
    /// Its deadline.
    pub deadline: UnixMs,
    /// A RESERVE has looked at its id: no old outcome lies there, its time over.
    pub looked_at: bool,
}

impl Gone {
    /// A record that is gone; the ledger knows where it came from.
    pub fn new(record: Record, deadline: UnixMs) -> Self {
        Self { lines: record.items.clone(), record, deadline, looked_at: true }
    }
}

impl Gone {
    fn holds(&self, sku: &Sku) -> bool {
        self.lines.iter().any(|line| line.sku == *sku)
    }
}

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
    /// A `stock:reserved:` key.
    Reserved(Sku),
}

impl Touched {
    /// The slot of the key; `None` of one that no command names.
    fn slot(&self) -> Option<Slot> {
        match self {
            Touched::Reservation(id) => Some(Slot::of(id.as_str())),
            Touched::Threshold(product) | Touched::Alert(product, _) => Some(Slot::of(product.as_str())),
            Touched::Reserved(sku) => Some(Slot::of(sku.product())),
            Touched::Managed => None,
        }
    }
}

/// So many of the newest notes are looked through for those of one slot.
const NEWEST: usize = 64;

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

/// Whether a database is the module's alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Nothing speaks against it: it was empty, or every reserved counter was found to be what is held.
    #[default]
    Clean,
    /// Not known yet, or something spoke against it.
    Unproven,
    /// It bears the mark.
    Managed,
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

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The live reservations, and the units of each sku that live, pending, removed and remembered ones hold.
    holds: Holds,
    walk: Walking,
    /// Expired or evicted, not settled yet.
    pending: VecDeque<Gone>,
    /// How many of them the unit of work at hand has added.
    fresh: usize,
    /// What waits for its slot.
    waiting: Waiting,
    /// Deleted or overwritten by hand, not looked at yet.
    removed: Vec<Gone>,
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
    has_drift: bool,
}

impl Ledger {
    // --- live reservations ---

    /// Enters a live reservation that a command of ours has made.
    pub fn enter(&mut self, record: &Record, deadline: UnixMs) {
        self.holds.enter(record, deadline, false);
    }

    /// Enters the new deadline or lines of a live reservation. Where it came from stays known.
    pub fn enter_again(&mut self, record: &Record, deadline: UnixMs) {
        self.holds.enter(record, deadline, self.holds.is_by_hand(&record.id));
    }

    /// Enters a record that another hand has touched. If it is live and holds what it held, only its TTL was moved.
    pub fn enter_touched(&mut self, record: &Record, deadline: UnixMs) {
        let same = self.lines(&record.id).is_some_and(|lines| lines == record.items);
        self.holds.enter(record, deadline, !same || self.holds.is_by_hand(&record.id));
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

    /// Only a master that releases has use for what waits and is not live.
    pub fn forget_waiting_notes(&mut self) {
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
    pub fn begin_walk(&mut self, known: bool) {
        self.walk = if known && self.is_complete() { Walking::Checks } else { Walking::Indexes };
        self.to_check.clear();
        self.is_checking = true;
        self.has_drift = false;
        self.standing = Standing::Unproven;
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
    }

    /// Whether every counter that the walk met is known, and the comparison is not done.
    pub fn may_check(&self) -> bool {
        self.is_checking && self.walk == Walking::No
    }

    /// The next sku to compare.
    pub fn next_to_check(&mut self) -> Option<Sku> {
        self.to_check.pop()
    }

    /// They cannot be compared now: behind all others.
    pub fn check_later(&mut self, mut skus: Vec<Sku>) {
        skus.append(&mut self.to_check);
        self.to_check = skus;
    }

    /// A counter was found that is not what is held, and stays so.
    pub fn found_drift(&mut self) {
        self.has_drift = true;
    }

    /// A reserved counter was written by another hand, and is not what is held: the module is not alone here.
    pub fn found_others(&mut self) {
        self.has_drift |= self.is_checking;
        if self.standing == Standing::Clean {
            self.standing = Standing::Unproven;
        }
    }

    /// Every counter was compared.
    pub fn checked_all(&mut self) {
        self.is_checking = false;
        if self.standing == Standing::Unproven && !self.has_drift && self.foreign.is_empty() {
            self.standing = Standing::Clean;
        }
    }

    /// Whether this database bears the mark of being the module's alone.
    pub fn is_managed(&self) -> bool {
        self.standing == Standing::Managed
    }

    /// Whether it may be marked.
    pub fn is_to_be_marked(&self) -> bool {
        self.standing == Standing::Clean && self.foreign.is_empty()
    }

    /// The mark is there, or it was taken away: then only a new walk can bring it back.
    pub fn set_managed(&mut self, managed: bool) {
        self.standing = if managed { Standing::Managed } else { Standing::Unproven };
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
        self.pending.push_back(gone);
        self.fresh = self.fresh.saturating_add(1);
    }

    /// The pending entry of an id.
    pub fn pending(&self, id: &ReservationId) -> Option<&Gone> {
        self.pending.iter().find(|gone| gone.record.id == *id)
    }

    /// The next entry to settle; of this slot alone, where one is named, and among the newest: those of the unit at hand. Its
    /// lines stay held until [`Ledger::settled`].
    pub fn take_pending(&mut self, slot: Option<Slot>) -> Option<Gone> {
        let Some(slot) = slot else { return self.pending.pop_front() };
        let at = newest_of(&self.pending, |gone| Slot::of(gone.record.id.as_str()) == slot)?;
        self.pending.remove(at)
    }

    /// The entry of an id, to settle it. Its lines stay held.
    pub fn take_pending_of(&mut self, id: &ReservationId) -> Option<Gone> {
        let at = self.pending.iter().position(|gone| gone.record.id == *id)?;
        self.pending.remove(at)
    }

    /// An entry that holds units of this sku, to settle it. Its lines stay held.
    pub fn take_pending_of_sku(&mut self, sku: &Sku) -> Option<Gone> {
        let at = self.pending.iter().position(|gone| gone.holds(sku))?;
        self.pending.remove(at)
    }

    /// Takes what waits to be settled: `all`, or what the unit of work at hand has added. Its lines stay held.
    pub fn take_unsettled(&mut self, all: bool) -> Vec<Gone> {
        let fresh = std::mem::take(&mut self.fresh);
        let from = if all { 0 } else { self.pending.len().saturating_sub(fresh) };
        self.pending.drain(from..).collect()
    }

    /// Puts an entry back that could not be settled here.
    pub fn put_back(&mut self, gone: Gone) {
        self.pending.push_back(gone);
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
        self.removed.split_off(self.removed.len().saturating_sub(NEWEST))
    }

    /// It is to be looked at when there is time. Its lines were held all the time.
    pub fn put_removed_back(&mut self, gone: Gone) {
        self.removed.push(gone);
    }

    /// The next record that was taken away by hand and not looked at. Its lines stay held.
    pub fn take_removed(&mut self) -> Option<Gone> {
        self.removed.pop()
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

    /// Takes the note of an id that was taken away by hand and not looked at. Its lines stay held.
    pub fn take_removed_of(&mut self, id: &ReservationId) -> Option<Gone> {
        let at = self.removed.iter().position(|gone| gone.record.id == *id)?;
        Some(self.removed.swap_remove(at))
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
        let gone = std::mem::take(&mut self.pending).into_iter().chain(std::mem::take(&mut self.removed));
        for gone in gone.chain(std::mem::take(&mut self.remembered).into_values()) {
            self.holds.unhold(&gone.lines);
        }
        self.remembered_by_deadline.clear();
        self.waiting.forget_notes();
        self.dropped.clear();
        self.fresh = 0;
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
            // Beside scripts every reservation of theirs comes by here: it is of interest once, and where a walk has
            // passed the counter already.
            Watched::Reserved(sku) if self.standing == Standing::Clean || self.is_checking => {
                Touched::Reserved(sku)
            }
            Watched::Reserved(_) | Watched::Outcome(_) | Watched::Available => return false,
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

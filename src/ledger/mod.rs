//! The state that is kept in memory for one database: live reservations by deadline, the units held of each sku,
//! unsettled reservations whose records are gone, alerts by time, and thresholds.
//!
//! **Invariant:** this state is derived from the keys and can be rebuilt from them. A lost entry delays a release, but
//! it cannot lose a unit or sell one twice.

pub mod alert_index;
pub mod blocked;
mod compact_id;
pub mod comparison;
pub mod foreign;
pub mod gone;
pub mod hashed_ids;
pub mod holds;
pub mod may_have;
pub mod notes;
pub mod remains;
mod slab;
pub mod standing;
pub mod thresholds;
pub mod waiting;
pub mod walk;

use crate::inventory::cluster_slot::Slot;
use crate::inventory::key::Watched;
use crate::inventory::line::Line;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::{Record, Restored};
use crate::inventory::sku::{Product, ReservationId, Sku};
use alert_index::AlertIndex;
use blocked::{Blocked, BlockedLines};
use comparison::Comparison;
use foreign::{Foreign, ForeignRecords};
use gone::{Gone, Pending, Remembered, Removed};
use holds::{Holds, Overdue};
use may_have::MayHave;
use notes::{Notes, Touched};
use remains::Remains;
use standing::{Reason, Standing};
use thresholds::Thresholds;
use waiting::{Waiting, Waits};
use walk::Purpose;

/// The way in which a key disappears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is deleted, renamed or moved: DEL, UNLINK, RENAME, MOVE and similar commands.
    Deleted,
    /// Its TTL expires.
    Expired,
    /// The server evicts it, because memory is full.
    Evicted,
    /// It gets a new value: SET, RESTORE REPLACE and similar commands.
    Overwritten,
}

/// A `reservation:` key that is about to disappear.
#[derive(Clone, Debug)]
pub struct LeavingKey<'a> {
    /// The name of the key.
    pub name: &'a [u8],
    /// The id in the name, if it is valid.
    pub id: Option<&'a ReservationId>,
    /// The record in the key, if it is one and can still be read.
    pub record: Option<Record>,
    /// The expiry time of the key, if it has a TTL.
    pub ttl: Option<UnixMs>,
    /// The way in which it disappears.
    pub how: Removal,
}

/// The state that is kept in memory for one database. Each part is documented in its own module; the methods here
/// involve several parts.
///
/// **Invariant:** `holds` counts the units of everything that is live, pending, removed, remembered or blocked, each
/// once. So an entry is added to one of these parts, or finally removed from it, only through the ledger.
///
/// ```
/// use redis_inventory::inventory::line::Line;
/// use redis_inventory::inventory::quantity::Quantity;
/// use redis_inventory::inventory::reservation::Record;
/// use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
/// use redis_inventory::ledger::Ledger;
///
/// let id = ReservationId::parse(b"order-42", KeyStyle::Plain).unwrap();
/// let sku = Sku::parse(b"PROD-123", KeyStyle::Plain).unwrap();
/// let lines = vec![Line { sku: sku.clone(), quantity: Quantity::new(5).unwrap() }];
/// let (made_at, deadline) = (1_000, 61_000);
///
/// let mut ledger = Ledger::default();
/// ledger.holds.enter(&Record::new(id.clone(), made_at, deadline, lines, None), deadline);
/// assert_eq!(ledger.holds.held_by_others(&sku, 0), 5);
/// assert_eq!(ledger.lapsed(&id, 30_000), None);
/// assert_eq!(ledger.lapsed(&id, 61_001), Some(deadline));
/// ```
#[derive(Debug, Default)]
pub struct Ledger {
    /// The live reservations, and the units of each sku that are held by any part.
    pub holds: Holds,
    /// Reservations that have expired or were evicted and are not settled yet.
    pub pending: Pending,
    /// Reservations that other clients have deleted or overwritten, until it is decided what to remember of them.
    pub removed: Removed,
    /// What is remembered of those until their deadline.
    pub remembered: Remembered,
    /// Units that could not be returned.
    pub blocked: BlockedLines,
    /// Reservations and records that wait until their slot is stable.
    pub waiting: Waiting,
    /// Keys that have to be examined, and other notes of event handlers.
    pub notes: Notes,
    /// The foreign `reservation:` keys.
    pub foreign: ForeignRecords,
    /// Whether the module alone reserves in this database.
    pub standing: Standing,
    /// The comparison of reserved counters with what is held.
    pub comparison: Comparison,
    /// The stored alerts.
    pub alerts: AlertIndex,
    /// The thresholds of products that have their own.
    pub thresholds: Thresholds,
    /// The products that may be kept in warehouses.
    pub warehouse_sets: MayHave<Product>,
    /// The skus that may have a floor.
    pub floors: MayHave<Sku>,
    /// The products that may have a limit per buyer.
    pub limits: MayHave<Product>,
    /// The purpose of the walk over the keys that is in progress, if there is one.
    walk: Option<Purpose>,
}

impl Ledger {
    // --- keys that appear and disappear ---

    /// Handles a `reservation:` key that is about to disappear. The reservation is kept for a release only if
    /// `releasing` is set, which is the case on a master that is not loading.
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

    /// Handles an event about a key that the module did not change itself. Returns whether there is now something to
    /// examine.
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
            // No program holds units in the quota of a buyer, so it does not tell whether the module is alone.
            Watched::Reserved(sku) if sku.is_quota() => return false,
            Watched::Reserved(sku) => {
                self.note_written(sku);
                return true;
            }
            Watched::Outcome(id) => {
                self.holds.note_outcome(&id);
                return false;
            }
            Watched::Warehouses(product) => {
                self.warehouse_sets.enter(product);
                return false;
            }
            Watched::Floor(sku) => {
                self.floors.enter(sku);
                return false;
            }
            Watched::Limit(product) => {
                self.limits.enter(product);
                return false;
            }
            Watched::Available => return false,
        };
        self.notes.touch(touched);
        true
    }

    /// Adds a key that a walk has met and that may be examined later.
    pub fn learn(&mut self, key: Touched) {
        if let Touched::Alert(product, at) = &key {
            self.alerts.enter(product, *at, None);
        }
        self.notes.to_learn.push(key);
    }

    // --- reservations that have ended ---

    /// Adds a record that has expired or was evicted. Its units wait to be settled.
    pub fn pend(&mut self, mut gone: Gone) {
        gone.may_have_stale_outcome = self.holds.may_have_outcome(&gone.record.id);
        self.holds.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.pending.enter(gone);
    }

    /// Adds a record that another client has deleted or overwritten.
    pub fn note_removed(&mut self, gone: Gone) {
        self.holds.leave(&gone.record.id);
        self.holds.hold(&gone.lines);
        self.removed.enter(gone);
    }

    /// Takes the unseen or undecided entry (see [`Removed`]) of an id whose record another client has deleted. After
    /// this, its lines count as held in either case.
    pub fn take_removed_of(&mut self, id: &ReservationId) -> Option<Gone> {
        if let Some(gone) = self.removed.take_unseen_of(id) {
            return Some(gone);
        }
        let gone = self.removed.take_undecided_of(id)?;
        self.holds.hold(&gone.lines);
        Some(gone)
    }

    /// Makes all unseen entries of `removed` undecided, until it is known which units belong to another program. Their
    /// lines are no longer held, so that they do not prevent other releases.
    pub fn leave_removed_undecided(&mut self) {
        for gone in self.removed.take_all_unseen() {
            self.holds.unhold(&gone.lines);
            self.removed.leave_undecided(gone);
        }
    }

    /// Makes all undecided entries unseen again, because the decision is now possible. Their lines are held again.
    pub fn take_up_undecided(&mut self) {
        for gone in self.removed.take_all_undecided() {
            self.holds.hold(&gone.lines);
            self.removed.enter(gone);
        }
    }

    /// Remembers `gone` until its deadline, with the lines `cut` instead of its own. Its own lines must count as held
    /// when this is called.
    pub fn remember(&mut self, mut gone: Gone, cut: Vec<Line>) {
        self.holds.unhold(&gone.lines);
        // What is remembered already may hold units, which are worth more than a quota.
        let is_replaced_by_units = || cut.iter().any(|line| !line.sku.is_quota());
        if cut.is_empty() || (self.remembered.has(&gone.record.id) && !is_replaced_by_units()) {
            return;
        }
        self.holds.hold(&cut);
        gone.lines = cut;
        if let Some(older) = self.remembered.take(&gone.record.id) {
            self.holds.unhold(&older.lines);
        }
        self.remembered.enter(gone);
    }

    /// Adds units that cannot be returned now, and counts them as held. Returns whether they are the first of their
    /// sku.
    pub fn block(&mut self, line: &Line, blocked: Blocked) -> bool {
        self.holds.hold(std::slice::from_ref(line));
        self.blocked.enter(&line.sku, blocked)
    }

    /// Takes one of the blocked lines of a sku, which is then no longer held.
    pub fn take_blocked(&mut self, sku: &Sku) -> Option<Blocked> {
        let blocked = self.blocked.take(sku)?;
        self.holds.unhold(&[Line { sku: sku.clone(), quantity: blocked.quantity }]);
        Some(blocked)
    }

    /// Whether it is certain that this product is not kept in warehouses.
    pub fn has_no_warehouses(&self, product: &str) -> bool {
        self.is_complete() && !self.warehouse_sets.may_have(product)
    }

    /// Whether it is certain that no product is kept in warehouses.
    pub fn have_no_warehouses(&self) -> bool {
        self.is_complete() && self.warehouse_sets.is_empty()
    }

    /// Whether it is certain that this sku has no floor.
    pub fn has_no_floor(&self, sku: &Sku) -> bool {
        self.is_complete() && !self.floors.may_have(sku)
    }

    /// Whether it is certain that this sku has no floor, and that its product has no limit and is not kept in warehouses.
    pub fn is_plain(&self, sku: &Sku) -> bool {
        let product = sku.product();
        self.is_complete()
            && !self.floors.may_have(sku)
            && !self.limits.may_have(product)
            && !self.warehouse_sets.may_have(product)
    }

    /// Whether it is certain that this product has no limit per buyer.
    pub fn has_no_limit(&self, product: &str) -> bool {
        self.is_complete() && !self.limits.may_have(product)
    }

    /// Whether it is certain that this reservation is live and has no outcome: RESERVE has found none, or a walk, and no
    /// other client has written one since.
    pub fn has_no_outcome(&self, id: &ReservationId) -> bool {
        self.is_complete() && !self.holds.may_have_outcome(id)
    }

    /// The deadline of a reservation that is overdue in the index, or pending.
    pub fn lapsed(&self, id: &ReservationId, now: UnixMs) -> Option<UnixMs> {
        let overdue = self.holds.deadline(id).filter(|deadline| now > *deadline);
        overdue.or_else(|| self.pending.find(id).map(|gone| gone.deadline))
    }

    /// The reservations whose deadline has passed and which are not released, whether they are live or pending. The
    /// count stops at `most`.
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

    // --- moving slots ---

    /// Postpones a live reservation until its slot is stable again.
    pub fn park(&mut self, id: &ReservationId) {
        self.holds.postpone(id, UnixMs::MAX);
        self.waiting.enter(Waits::Parked(id.clone()));
    }

    /// One or two names in each slot for which something was postponed because it was moving.
    pub fn postponed(&self) -> Vec<String> {
        let skus = self.comparison.postponed().map(|sku| sku.product().to_owned());
        skus.chain(self.notes.postponed().map(|id| id.as_str().to_owned())).collect()
    }

    /// Lets everything be tried again that was postponed because this slot was moving.
    pub fn try_again(&mut self, slot: Slot) {
        self.comparison.try_again(slot);
        self.notes.try_again(slot);
    }

    /// Forgets what only a releasing master needs: notes of restored records, and everything that waits for its slot
    /// except live reservations.
    pub fn forget_what_masters_need(&mut self) {
        self.notes.forget_restored();
        self.waiting.forget_all_but_parked();
    }

    /// Forgets everything that is pending, removed, remembered or blocked, because the role changed or another data set
    /// was loaded.
    pub fn forget_unsettled(&mut self) {
        let gone = self.pending.take_all().chain(self.removed.take_all_unseen());
        for gone in gone.chain(self.remembered.take_all()) {
            self.holds.unhold(&gone.lines);
        }
        for (sku, Blocked { quantity, .. }) in self.blocked.take_all() {
            self.holds.unhold(&[Line { sku, quantity }]);
        }
        // The lines of these are not held.
        drop(self.removed.take_all_undecided());
        self.waiting.forget_all_but_parked();
        self.comparison.forget_written();
        self.comparison.forget_found();
        self.notes.forget_restored();
        self.notes.dropped.clear();
    }

    // --- the walk over the keys ---

    /// Starts a walk over the keys. If the index is not complete, a walk that was meant for a check rebuilds the index
    /// too.
    pub fn begin_walk(&mut self, purpose: Purpose, now: UnixMs) {
        let is_check = purpose == Purpose::Check;
        self.walk = Some(if is_check && !self.is_complete() { Purpose::Index } else { purpose });
        self.comparison.begin();
        self.standing.begin_check(now);
    }

    /// Ends the walk.
    pub fn end_walk(&mut self) {
        self.walk = None;
    }

    /// Whether every live reservation is known. Until then, it is not known either how many units of a sku other
    /// reservations hold, so overdue units wait.
    pub fn is_complete(&self) -> bool {
        match self.walk {
            None | Some(Purpose::Check) => true,
            Some(Purpose::Index | Purpose::IndexUnwatched) => false,
        }
    }

    // --- the comparison of reserved counters ---

    /// Whether the comparison can proceed: it is in progress, and the walk has met every counter.
    pub fn may_check(&self) -> bool {
        self.comparison.is_under_way() && self.walk.is_none()
    }

    /// Ends the comparison, after every counter was compared.
    pub fn checked_all(&mut self, now: UnixMs) {
        self.comparison.end();
        let is_right = !self.comparison.has_drift() && self.foreign.is_empty();
        self.standing.end_check(is_right, now);
    }

    /// Ends a round of the continuous audit in which every counter could be read and was compared. Another client may have
    /// written one since.
    pub fn end_readable_round(&mut self, now: UnixMs) {
        let is_right = !self.comparison.has_drift() && self.foreign.is_empty();
        if is_right && !self.comparison.is_under_way() && !self.comparison.has_written() {
            self.standing.end_clean_round(now);
        }
    }

    /// The difference between a reserved counter and what is held or undecided. Positive if the counter is higher.
    pub fn drift(&self, sku: &Sku, reserved: i64) -> i64 {
        reserved
            .saturating_sub(self.holds.held_by_others(sku, 0))
            .saturating_sub(self.removed.undecided_units(sku))
    }

    /// Whether the skus of which another program may hold units are known.
    pub fn knows_the_shared(&self) -> bool {
        self.is_alone() || (self.is_complete() && !self.comparison.is_incomplete)
    }

    /// Whether reserved units of this sku may belong to another program: its counter was found to be above what is
    /// held, or it is not known whether it is.
    pub fn may_be_shared(&self, sku: &Sku) -> bool {
        !self.knows_the_shared()
            || self.comparison.written_while_incomplete.contains(sku.as_str())
            || self.comparison.has_more_than_held(sku)
    }

    /// Records that everything deleted while the comparison was incomplete has been remembered.
    pub fn remembered_all(&mut self) {
        if self.knows_the_shared() && !self.comparison.written_while_incomplete.is_empty() {
            self.comparison.written_while_incomplete.clear();
        }
    }

    /// Records that another client has written this reserved counter.
    pub fn note_written(&mut self, sku: Sku) {
        if !self.knows_the_shared() {
            self.comparison.written_while_incomplete.insert(sku.clone());
        }
        self.comparison.note_written(sku);
    }

    /// Takes the skus whose reserved counter another client has written. If the index is not complete, there is nothing
    /// to compare the counters with, and nothing is taken.
    pub fn take_written(&mut self) -> Vec<Sku> {
        if self.is_complete() { self.comparison.take_written() } else { Vec::new() }
    }

    /// Takes the first record to mark as restored. If the index is not complete, the list is not reliable, and nothing is
    /// taken.
    pub fn take_restored(&mut self) -> Option<(ReservationId, Restored)> {
        if self.is_complete() { self.notes.take_restored() } else { None }
    }

    // --- whether the module is alone ---

    /// Whether the module may return reserved units that no reservation holds, because it alone reserves in this
    /// database.
    pub fn is_alone(&self) -> bool {
        self.standing.is_managed() && self.foreign.is_empty()
    }

    /// Whether the database may be marked as one in which the module alone reserves.
    pub fn is_to_be_marked(&self) -> bool {
        self.standing.is_clean() && self.foreign.is_empty()
    }

    /// Whether the mark has to be removed.
    pub fn is_to_be_unmarked(&mut self, now: UnixMs) -> bool {
        if !self.foreign.is_empty() {
            self.standing.doubt(Reason::ForeignRecord, now);
        }
        self.standing.bears_a_wrong_mark()
    }

    // --- whether there is work ---

    /// Whether notes of events still have to be handled.
    pub fn is_behind(&self) -> bool {
        !self.pending.is_empty() || self.removed.has_unseen() || self.notes.has_touched()
    }

    /// The number of records that other clients have written or deleted and that still have to be examined before it is
    /// known what is held.
    pub fn unexamined(&self) -> usize {
        let removed = self.removed.to_examine(self.knows_the_shared());
        self.notes.touched_count().saturating_add(removed)
    }

    /// Whether something is not settled yet, so that reserved counters cannot be compared with what is held.
    pub fn has_unsettled(&self) -> bool {
        !self.pending.is_empty() || self.notes.has_touched()
    }

    /// Whether a job or the cron has work here. `may_write` says whether this is a master that may write now. In case
    /// of doubt the answer is yes.
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

    /// Whether this database sleeps: nothing has to be done until a command or an event arrives or
    /// [`Ledger::next_deadline`] passes.
    pub fn falls_asleep(&self, now: UnixMs) -> bool {
        self.walk.is_none() && !self.has_work(now, true)
    }

    /// If nothing is held, takes the memory that the index has from earlier.
    pub fn take_empty_index(&mut self) -> Option<Remains> {
        let has_memory = self.holds.is_empty() && self.holds.bytes() > 0;
        has_memory.then(|| Remains::of(std::mem::take(&mut self.holds).into_steps()))
    }

    /// The memory of this ledger, whose data set no longer exists.
    pub fn into_remains(self) -> Remains {
        let Self {
            holds,
            pending,
            removed,
            remembered,
            blocked,
            waiting,
            notes,
            foreign,
            standing: _,
            comparison,
            alerts,
            thresholds,
            warehouse_sets,
            floors,
            limits,
            walk: _,
        } = self;
        let live = holds.into_steps();
        let gone = pending.into_steps().chain(removed.into_steps()).chain(remembered.into_steps());
        let work = blocked.into_steps().chain(waiting.into_steps()).chain(notes.into_steps());
        let found = foreign.into_steps().chain(comparison.into_steps()).chain(alerts.into_steps());
        let may_have = warehouse_sets.into_steps().chain(floors.into_steps()).chain(limits.into_steps());
        let settings = thresholds.into_steps().chain(may_have);
        Remains::of(live.chain(gone).chain(work).chain(found).chain(settings))
    }

    /// The earliest deadline of the live and remembered reservations, if there is one. Until then, only commands and
    /// events cause work.
    pub fn next_deadline(&self) -> Option<UnixMs> {
        self.holds.next_wake().into_iter().chain(self.remembered.first_deadline()).min()
    }

    /// Whether the ledger is like that of an empty database, so that it can be dropped.
    pub fn is_blank(&self) -> bool {
        self.walk.is_none()
            && !self.has_work(UnixMs::MAX, true)
            && !self.comparison.is_incomplete
            && self.holds.is_empty()
            && self.alerts.is_empty()
            && self.thresholds.is_empty()
            && self.warehouse_sets.is_empty()
            && self.floors.is_empty()
            && self.limits.is_empty()
            && !self.comparison.has_drift()
            && self.standing.is_blank()
    }

    /// Whether the ledger contains something that INFO should show.
    pub fn is_in_use(&self) -> bool {
        self.holds.count() > 0
            || !self.foreign.is_empty()
            || self.comparison.has_drift()
            || !self.standing.is_clean()
    }
}

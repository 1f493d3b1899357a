//! What the module keeps beside the keys: one ledger a database, counters for INFO, and two marks that tell events
//! of our own making from those of others.
//!
//! All of it lives on the server's main thread. The locks are never waited for: no call into the server is made while
//! one is held, so none can be taken twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::keyspace::Tally;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::KeyStyle;
use crate::ledger::Ledger;

/// The number of a database.
pub type Db = i32;

static LEDGERS: Mutex<Ledgers> = Mutex::new(Ledgers {
    all: BTreeMap::new(),
    awake: BTreeSet::new(),
    latest: None,
    alarms: BTreeMap::new(),
    by_alarm: BTreeSet::new(),
});
/// What was known before everything was flushed, or a load began, which do not come in the same order everywhere.
static BEFORE_LOAD: Mutex<BTreeMap<Db, Ledger>> = Mutex::new(BTreeMap::new());
static OWN_WRITE: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static NOTIFYING: AtomicBool = AtomicBool::new(false);
static LOADING: AtomicBool = AtomicBool::new(false);
static ROUND: Mutex<Option<Instant>> = Mutex::new(None);
static SPENT_US: AtomicU64 = AtomicU64::new(0);
static BACKLOG: AtomicBool = AtomicBool::new(false);
static WAKE_QUEUED: AtomicBool = AtomicBool::new(false);
static JOB_QUEUED: AtomicBool = AtomicBool::new(false);
static URGENT: AtomicBool = AtomicBool::new(false);
static DISTRUSTED: AtomicBool = AtomicBool::new(false);
static HEARING: AtomicBool = AtomicBool::new(false);
static MISHEARD: AtomicBool = AtomicBool::new(false);
static OWED: AtomicUsize = AtomicUsize::new(0);
static FEED_BROKEN: AtomicBool = AtomicBool::new(false);
static TAGGED: AtomicBool = AtomicBool::new(false);

/// The ledgers. Of thousands of databases few have work at a time: those of the others are not visited.
struct Ledgers {
    all: BTreeMap<Db, Ledger>,
    /// All in which there may be work now.
    awake: BTreeSet<Db>,
    /// When to wake others: each has one alarm at most.
    alarms: BTreeMap<Db, UnixMs>,
    by_alarm: BTreeSet<(UnixMs, Db)>,
    /// The last that was looked at: it is awake.
    latest: Option<Db>,
}

impl Ledgers {
    /// Wakes all: nobody knows any more which have work.
    fn wake(&mut self) {
        self.awake = self.all.keys().copied().collect();
        self.latest = None;
    }

    /// Wakes those whose alarm rings.
    fn ring(&mut self, now: UnixMs) {
        while let Some((at, db)) = self.by_alarm.first().copied()
            && now > at
        {
            self.set_alarm(db, None);
            self.awake.insert(db);
        }
    }

    fn set_alarm(&mut self, db: Db, at: Option<UnixMs>) {
        if let Some(before) = self.alarms.remove(&db) {
            self.by_alarm.remove(&(before, db));
        }
        if let Some(at) = at {
            self.alarms.insert(db, at);
            self.by_alarm.insert((at, db));
        }
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    // What a panic left half changed is thrown away: see `guard`.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets everything and gives back all memory: the module is loaded or unloaded, and the library may stay in the process in
/// between.
pub fn forget() {
    ledgers(BTreeMap::clear);
    lock(&BEFORE_LOAD).clear();
    *lock(&OWN_WRITE) = Vec::new();
    lock(&REFUSED).clear();
    *lock(&ROUND) = None;
    SPENT_US.store(0, Ordering::Relaxed);
    OWED.store(0, Ordering::Relaxed);
    let marks = [
        &NOTIFYING,
        &LOADING,
        &BACKLOG,
        &WAKE_QUEUED,
        &JOB_QUEUED,
        &URGENT,
        &DISTRUSTED,
        &HEARING,
        &MISHEARD,
        &FEED_BROKEN,
    ];
    for mark in marks {
        mark.store(false, Ordering::Relaxed);
    }
    TOTALS.forget();
}

/// Looks at the ledger of one database. It is awake from now on.
pub fn ledger<T>(db: Db, look: impl FnOnce(&mut Ledger) -> T) -> T {
    let ledgers = &mut *lock(&LEDGERS);
    if ledgers.latest != Some(db) {
        ledgers.awake.insert(db);
        ledgers.latest = Some(db);
    }
    look(ledgers.all.entry(db).or_default())
}

/// Changes the ledgers of all databases. They are awake from now on.
pub fn ledgers<T>(change: impl FnOnce(&mut BTreeMap<Db, Ledger>) -> T) -> T {
    let ledgers = &mut *lock(&LEDGERS);
    let done = change(&mut ledgers.all);
    ledgers.wake();
    done
}

/// Looks at all ledgers.
pub fn all_ledgers<T>(look: impl FnOnce(&BTreeMap<Db, Ledger>) -> T) -> T {
    look(&lock(&LEDGERS).all)
}

/// The databases in which a job or the cron has work now.
pub fn databases_with_work(now: UnixMs, may_write: bool) -> Vec<Db> {
    let ledgers = &mut *lock(&LEDGERS);
    ledgers.ring(now);
    let has_work = |db: &&Db| ledgers.all.get(db).is_some_and(|ledger| ledger.has_work(now, may_write));
    ledgers.awake.iter().filter(has_work).copied().collect()
}

/// The databases in which another client has written a reserved counter, and nobody has looked at it since.
pub fn databases_written() -> Vec<Db> {
    let ledgers = &*lock(&LEDGERS);
    let is_written = |db: &&Db| ledgers.all.get(db).is_some_and(|ledger| ledger.comparison.has_written());
    ledgers.awake.iter().filter(is_written).copied().collect()
}

/// Ledgers in which there is nothing to do now fall asleep, until their next deadline at most. Gives those of which nothing is
/// known: they are not needed if their databases are empty.
pub fn let_idle_fall_asleep(now: UnixMs) -> Vec<Db> {
    let ledgers = &mut *lock(&LEDGERS);
    let (mut blank, mut alarms) = (Vec::new(), Vec::new());
    let Ledgers { all, awake, .. } = ledgers;
    awake.retain(|db| {
        let Some(ledger) = all.get_mut(db) else { return false };
        let sleeps = ledger.falls_asleep(now);
        if sleeps {
            alarms.push((*db, ledger.next_deadline()));
            blank.extend(ledger.is_blank().then_some(*db));
        }
        !sleeps
    });
    for (db, at) in alarms {
        ledgers.set_alarm(db, at);
    }
    ledgers.latest = None;
    blank
}

/// Drops the ledger of an empty database: a new one knows as much.
pub fn drop_blank(db: Db) {
    let ledgers = &mut *lock(&LEDGERS);
    if ledgers.all.get(&db).is_some_and(Ledger::is_blank) {
        ledgers.all.remove(&db);
    }
}

/// Everything is flushed, or a load begins: nothing is known any more. What was known is kept until the load is over, or the
/// cron comes by.
pub fn set_ledgers_aside() {
    let before = ledgers(std::mem::take);
    if !before.is_empty() {
        *lock(&BEFORE_LOAD) = before;
    }
}

/// What was known before everything was flushed, or a load began, if that was just now. Nobody else gets it.
pub fn take_ledgers_set_aside() -> BTreeMap<Db, Ledger> {
    std::mem::take(&mut *lock(&BEFORE_LOAD))
}

/// The databases that have a ledger.
pub fn databases() -> Vec<Db> {
    all_ledgers(|ledgers| ledgers.keys().copied().collect())
}

/// A panic may have left half a change in memory.
pub fn distrust() {
    DISTRUSTED.store(true, Ordering::Relaxed);
}

/// Whether what is in memory is to be thrown away.
pub fn take_distrust() -> bool {
    DISTRUSTED.load(Ordering::Relaxed) && DISTRUSTED.swap(false, Ordering::Relaxed)
}

/// Marks whether the module is hearing what another client has done to a key.
pub fn set_hearing(hearing: bool) {
    HEARING.store(hearing, Ordering::Relaxed);
}

/// A panic was caught. What another client has done to a key may not have been noted.
pub fn note_mishearing() {
    if HEARING.load(Ordering::Relaxed) {
        MISHEARD.store(true, Ordering::Relaxed);
    }
}

/// Whether another client may have written a reserved counter, and nobody knows of it any more.
pub fn take_mishearing() -> bool {
    let is_noted = all_ledgers(|ledgers| ledgers.values().any(|ledger| ledger.comparison.has_written()));
    MISHEARD.swap(false, Ordering::Relaxed) || is_noted
}

/// How many elements of the reply at hand are not written yet; `None` where it is not begun.
pub fn owed() -> Option<usize> {
    Some(OWED.load(Ordering::Relaxed)).filter(|owed| *owed != usize::MAX)
}

/// Notes how many elements of the reply at hand are not written yet.
pub fn owe(elements: Option<usize>) {
    OWED.store(elements.unwrap_or(usize::MAX), Ordering::Relaxed);
}

/// Notes whether the last entry could be appended to the feed. Says what was noted before.
pub fn set_feed_broken(broken: bool) -> bool {
    FEED_BROKEN.swap(broken, Ordering::Relaxed)
}

/// How keys are named; set once, at load.
pub fn style() -> KeyStyle {
    if TAGGED.load(Ordering::Relaxed) { KeyStyle::Tagged } else { KeyStyle::Plain }
}

/// Sets how keys are named.
pub fn set_style(style: KeyStyle) {
    TAGGED.store(style == KeyStyle::Tagged, Ordering::Relaxed);
}

/// Runs `write`, which takes the key `name` away or overwrites it: its event is our own.
pub fn writing<T>(name: &[u8], write: impl FnOnce() -> T) -> T {
    /// Takes the mark away, also where `write` panics.
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            lock(&OWN_WRITE).clear();
        }
    }
    lock(&OWN_WRITE).extend_from_slice(name);
    let _mark = Mark;
    write()
}

/// Whether the module itself is writing this key.
pub fn is_own_write(name: &[u8]) -> bool {
    *lock(&OWN_WRITE) == name
}

/// Runs `notify`, which tells of a change of our own.
pub fn notifying(notify: impl FnOnce()) {
    /// Takes the mark away, also where `notify` panics.
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            NOTIFYING.store(false, Ordering::Relaxed);
        }
    }
    NOTIFYING.store(true, Ordering::Relaxed);
    let _mark = Mark;
    notify();
}

/// Whether the notification at hand is our own.
pub fn is_own_notification() -> bool {
    NOTIFYING.load(Ordering::Relaxed)
}

/// Marks whether a data set is being loaded.
pub fn set_loading(loading: bool) {
    LOADING.store(loading, Ordering::Relaxed);
}

/// Whether every live reservation of every database is known.
pub fn is_index_ready() -> bool {
    let Ledgers { all, awake, .. } = &*lock(&LEDGERS);
    // One that sleeps is complete.
    let is_complete = |db: &Db| all.get(db).is_none_or(Ledger::is_complete);
    !LOADING.load(Ordering::Relaxed) && awake.iter().all(is_complete)
}

/// Marks whether a slice of expiry work ended before the work did.
pub fn set_backlog(backlog: bool) {
    BACKLOG.store(backlog, Ordering::Relaxed);
}

/// Whether expiry work is left over.
pub fn has_backlog() -> bool {
    BACKLOG.load(Ordering::Relaxed)
}

/// A round of the server's work begins; `now`, where somebody will ask.
pub fn round_begins(now: Option<Instant>) {
    *lock(&ROUND) = now;
    SPENT_US.store(0, Ordering::Relaxed);
}

/// When this round began, where that is known.
pub fn round_began() -> Option<Instant> {
    *lock(&ROUND)
}

/// Notes that a job took so long.
pub fn spend_in_round(time: Duration) {
    SPENT_US.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// How long the jobs of this round took.
pub fn spent_in_round() -> Duration {
    Duration::from_micros(SPENT_US.load(Ordering::Relaxed))
}

/// Marks that the event loop was asked to turn once more, or has. Says what it was before.
pub fn set_wake_queued(queued: bool) -> bool {
    WAKE_QUEUED.swap(queued, Ordering::Relaxed)
}

/// Whether the server holds a function of ours that it has not called yet: the module must not be unloaded.
pub fn is_awaited() -> bool {
    is_job_queued() || WAKE_QUEUED.load(Ordering::Relaxed)
}

/// Marks that a job is queued, or has begun. Says what it was before.
pub fn set_job_queued(queued: bool) -> bool {
    JOB_QUEUED.swap(queued, Ordering::Relaxed)
}

/// The next job is to look at all that has ended, however long it takes: counters leave.
pub fn urge() {
    URGENT.store(true, Ordering::Relaxed);
}

/// Whether this job is to look at all that has ended.
pub fn take_urgency() -> bool {
    URGENT.swap(false, Ordering::Relaxed)
}

/// Whether a job is queued.
pub fn is_job_queued() -> bool {
    JOB_QUEUED.load(Ordering::Relaxed)
}

/// Numbers for the operator, since the module was loaded.
#[derive(Debug)]
pub struct Totals {
    /// Reservations made.
    pub reserved: AtomicI64,
    /// Reservations sold.
    pub committed: AtomicI64,
    /// Reservations sold after their deadline.
    pub late_commits: AtomicI64,
    /// Units that the repair gave back.
    pub repaired_units: AtomicI64,
    /// Counters of ours that were evicted.
    pub evicted_counters: AtomicI64,
    /// Reservations given back by a command.
    pub rolled_back: AtomicI64,
    /// Reservations given back by their deadline.
    pub expired: AtomicI64,
    /// Alerts raised.
    pub alerts: AtomicI64,
    /// Alerts held back by the cooldown.
    pub alerts_held_back: AtomicI64,
    /// Panics that were caught: faults of the module.
    pub panics: AtomicI64,
    /// Units that a release did not find.
    pub unexplained_units: AtomicI64,
    /// Entries that could not be appended to the feed.
    pub feed_errors: AtomicI64,
    /// How late the last release was, ms.
    pub lag_ms: AtomicI64,
    /// How late the latest release was, ms.
    pub lag_max_ms: AtomicI64,
}

/// See [`Totals`].
pub static TOTALS: Totals = Totals {
    reserved: AtomicI64::new(0),
    committed: AtomicI64::new(0),
    late_commits: AtomicI64::new(0),
    repaired_units: AtomicI64::new(0),
    evicted_counters: AtomicI64::new(0),
    rolled_back: AtomicI64::new(0),
    expired: AtomicI64::new(0),
    alerts: AtomicI64::new(0),
    alerts_held_back: AtomicI64::new(0),
    panics: AtomicI64::new(0),
    unexplained_units: AtomicI64::new(0),
    feed_errors: AtomicI64::new(0),
    lag_ms: AtomicI64::new(0),
    lag_max_ms: AtomicI64::new(0),
};

static REFUSED: Mutex<BTreeMap<&'static str, i64>> = Mutex::new(BTreeMap::new());

impl Totals {
    /// Adds to a total.
    pub fn add(&self, what: Tally, by: i64) {
        let total = match what {
            Tally::Reserved => &self.reserved,
            Tally::Committed => &self.committed,
            Tally::LateCommits => &self.late_commits,
            Tally::RepairedUnits => &self.repaired_units,
            Tally::RolledBack => &self.rolled_back,
            Tally::Expired => &self.expired,
            Tally::Alerts => &self.alerts,
            Tally::AlertsHeldBack => &self.alerts_held_back,
            Tally::UnexplainedUnits => &self.unexplained_units,
            Tally::FeedErrors => &self.feed_errors,
        };
        // One thread writes; a sum that wraps around would be a lie.
        let sum = total.load(Ordering::Relaxed).saturating_add(by);
        total.store(sum, Ordering::Relaxed);
    }

    /// Begins to count anew. All are named, so that the compiler tells of one that is missing.
    fn forget(&self) {
        let Self {
            reserved,
            committed,
            late_commits,
            repaired_units,
            evicted_counters,
            rolled_back,
            expired,
            alerts,
            alerts_held_back,
            panics,
            unexplained_units,
            feed_errors,
            lag_ms,
            lag_max_ms,
        } = self;
        let totals = [
            reserved,
            committed,
            late_commits,
            repaired_units,
            evicted_counters,
            rolled_back,
            expired,
            alerts,
            alerts_held_back,
            panics,
            unexplained_units,
            feed_errors,
            lag_ms,
            lag_max_ms,
        ];
        for total in totals {
            total.store(0, Ordering::Relaxed);
        }
    }

    /// Notes how late a release was.
    pub fn lag(&self, late_ms: i64) {
        self.lag_ms.store(late_ms, Ordering::Relaxed);
        self.lag_max_ms.fetch_max(late_ms, Ordering::Relaxed);
    }
}

/// Counts a refusal by its code.
pub fn refused(code: &'static str) {
    let mut refused = lock(&REFUSED);
    let count = refused.entry(code).or_default();
    *count = count.saturating_add(1);
}

/// Refusals by code.
pub fn refusals() -> BTreeMap<&'static str, i64> {
    lock(&REFUSED).clone()
}

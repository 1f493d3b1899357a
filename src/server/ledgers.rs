//! The ledgers: one for each database.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::quantity::UnixMs;
use crate::ledger::Ledger;
use crate::ledger::remains::Remains;

/// The number of a database.
pub type Db = i32;

/// All ledgers. Only a few of thousands of databases have work at a time, so the ledgers of the others sleep and are
/// not visited.
#[derive(Default)]
pub struct Ledgers {
    all: BTreeMap<Db, Ledger>,
    /// The databases that may have work now.
    awake: BTreeSet<Db>,
    /// The times at which sleeping ledgers wake up, at most one for each database.
    alarms: BTreeMap<Db, UnixMs>,
    by_alarm: BTreeSet<(UnixMs, Db)>,
    /// The database that was accessed last. It is awake.
    latest: Option<Db>,
    /// The ledgers before a flush of all databases or the start of a load. Servers differ in the order of these two
    /// events.
    set_aside: BTreeMap<Db, Ledger>,
    /// What is left of data sets that no longer exist. Their memory is given back in slices.
    discarded: Vec<Remains>,
}

impl Ledgers {
    /// The ledger of one database, which is awake from now on.
    pub fn of(&mut self, db: Db) -> &mut Ledger {
        if self.latest != Some(db) {
            self.awake.insert(db);
            self.latest = Some(db);
        }
        self.all.entry(db).or_default()
    }

    /// Changes the ledgers of all databases, which are awake from now on.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut BTreeMap<Db, Ledger>) -> T) -> T {
        let done = change(&mut self.all);
        // After the change it is not known which ledgers have work.
        self.awake = self.all.keys().copied().collect();
        self.latest = None;
        done
    }

    /// All ledgers.
    pub const fn all(&self) -> &BTreeMap<Db, Ledger> {
        &self.all
    }

    /// The databases that have a ledger.
    pub fn databases(&self) -> Vec<Db> {
        self.all.keys().copied().collect()
    }

    /// The databases that have work for a job or the cron now.
    pub fn with_work(&mut self, now: UnixMs, may_write: bool) -> Vec<Db> {
        self.ring(now);
        let has_work = |db: &&Db| self.all.get(db).is_some_and(|ledger| ledger.has_work(now, may_write));
        self.awake.iter().filter(has_work).copied().collect()
    }

    /// The databases in which another client has written a reserved counter that has not been checked since.
    pub fn written(&self) -> Vec<Db> {
        let is_written = |db: &&Db| self.all.get(db).is_some_and(|ledger| ledger.comparison.has_written());
        self.awake.iter().filter(is_written).copied().collect()
    }

    /// Whether every live reservation of every database is known.
    pub fn are_complete(&self) -> bool {
        // A sleeping ledger is complete.
        self.awake.iter().all(|db| self.all.get(db).is_none_or(Ledger::is_complete))
    }

    /// Puts ledgers without work to sleep, at most until their next deadline. Returns the databases whose ledgers are
    /// blank. If such a database is empty, its ledger is not needed.
    pub fn let_idle_fall_asleep(&mut self, now: UnixMs) -> Vec<Db> {
        let (mut blank, mut alarms) = (Vec::new(), Vec::new());
        let Self { all, awake, discarded, .. } = self;
        awake.retain(|db| {
            let Some(ledger) = all.get_mut(db) else { return false };
            let sleeps = ledger.falls_asleep(now);
            if sleeps {
                discarded.extend(ledger.take_empty_index());
                alarms.push((*db, ledger.next_deadline()));
                blank.extend(ledger.is_blank().then_some(*db));
            }
            !sleeps
        });
        for (db, at) in alarms {
            self.set_alarm(db, at);
        }
        self.latest = None;
        blank
    }

    /// Drops the ledger of an empty database if it is blank. A new ledger would contain the same.
    pub fn drop_blank(&mut self, db: Db) {
        if self.all.get(&db).is_some_and(Ledger::is_blank) {
            self.all.remove(&db);
        }
    }

    /// Empties the ledgers at a flush of all databases or the start of a load. The previous ledgers are kept until
    /// the load ends or the cron runs.
    pub fn set_aside(&mut self) {
        let before = self.change(std::mem::take);
        if !before.is_empty() {
            self.set_aside = before;
        }
    }

    /// Discards the ledgers that were set aside, if they have not been taken yet.
    pub fn discard_set_aside(&mut self) {
        for ledger in self.take_set_aside().into_values() {
            self.discard(ledger);
        }
    }

    /// Discards a ledger whose data set no longer exists.
    pub fn discard(&mut self, ledger: Ledger) {
        self.discarded.push(ledger.into_remains());
    }

    /// Discards the ledger of a database that is being flushed.
    pub fn flush(&mut self, db: Db) {
        if let Some(ledger) = self.change(|ledgers| ledgers.remove(&db)) {
            self.discard(ledger);
        }
    }

    /// Gives back the memory of discarded ledgers until nothing is left or `time_is_up`. Returns whether something is
    /// left.
    pub fn free_discarded(&mut self, mut time_is_up: impl FnMut() -> bool) -> bool {
        while let Some(remains) = self.discarded.last_mut() {
            if !remains.free_some() {
                self.discarded.pop();
            }
            if time_is_up() {
                return !self.discarded.is_empty();
            }
        }
        false
    }

    /// Takes the ledgers that were set aside, if they have not been taken yet.
    pub fn take_set_aside(&mut self) -> BTreeMap<Db, Ledger> {
        std::mem::take(&mut self.set_aside)
    }

    /// Wakes the ledgers whose alarm is due.
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

//! One ledger a database.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::quantity::UnixMs;
use crate::ledger::Ledger;

/// The number of a database.
pub type Db = i32;

/// The ledgers. Of thousands of databases few have work at a time: those of the others are not visited.
#[derive(Default)]
pub struct Ledgers {
    all: BTreeMap<Db, Ledger>,
    /// All in which there may be work now.
    awake: BTreeSet<Db>,
    /// When to wake others: each has one alarm at most.
    alarms: BTreeMap<Db, UnixMs>,
    by_alarm: BTreeSet<(UnixMs, Db)>,
    /// The last that was looked at: it is awake.
    latest: Option<Db>,
    /// What was known before everything was flushed, or a load began, which do not come in the same order everywhere.
    set_aside: BTreeMap<Db, Ledger>,
}

impl Ledgers {
    /// The ledger of one database. It is awake from now on.
    pub fn of(&mut self, db: Db) -> &mut Ledger {
        if self.latest != Some(db) {
            self.awake.insert(db);
            self.latest = Some(db);
        }
        self.all.entry(db).or_default()
    }

    /// The ledgers of all databases, to be changed. They are awake from now on.
    pub fn change<T>(&mut self, change: impl FnOnce(&mut BTreeMap<Db, Ledger>) -> T) -> T {
        let done = change(&mut self.all);
        // Nobody knows any more which have work.
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

    /// The databases in which a job or the cron has work now.
    pub fn with_work(&mut self, now: UnixMs, may_write: bool) -> Vec<Db> {
        self.ring(now);
        let has_work = |db: &&Db| self.all.get(db).is_some_and(|ledger| ledger.has_work(now, may_write));
        self.awake.iter().filter(has_work).copied().collect()
    }

    /// The databases in which another client has written a reserved counter, and nobody has looked at it since.
    pub fn written(&self) -> Vec<Db> {
        let is_written = |db: &&Db| self.all.get(db).is_some_and(|ledger| ledger.comparison.has_written());
        self.awake.iter().filter(is_written).copied().collect()
    }

    /// Whether every live reservation of every database is known.
    pub fn are_complete(&self) -> bool {
        // One that sleeps is complete.
        self.awake.iter().all(|db| self.all.get(db).is_none_or(Ledger::is_complete))
    }

    /// Ledgers in which there is nothing to do now fall asleep, until their next deadline at most. Gives those of which nothing
    /// is known: they are not needed if their databases are empty.
    pub fn let_idle_fall_asleep(&mut self, now: UnixMs) -> Vec<Db> {
        let (mut blank, mut alarms) = (Vec::new(), Vec::new());
        let Self { all, awake, .. } = self;
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
            self.set_alarm(db, at);
        }
        self.latest = None;
        blank
    }

    /// Drops the ledger of an empty database: a new one knows as much.
    pub fn drop_blank(&mut self, db: Db) {
        if self.all.get(&db).is_some_and(Ledger::is_blank) {
            self.all.remove(&db);
        }
    }

    /// Everything is flushed, or a load begins: nothing is known any more. What was known is kept until the load is over, or the
    /// cron comes by.
    pub fn set_aside(&mut self) {
        let before = self.change(std::mem::take);
        if !before.is_empty() {
            self.set_aside = before;
        }
    }

    /// What was known before everything was flushed, or a load began, if that was just now. Nobody else gets it.
    pub fn take_set_aside(&mut self) -> BTreeMap<Db, Ledger> {
        std::mem::take(&mut self.set_aside)
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

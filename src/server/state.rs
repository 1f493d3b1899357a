//! The state that the module keeps besides the keys: one [`Module`], which is created when the module is loaded and
//! dropped when it is unloaded. A later load starts with a new one.
//!
//! Three things are not part of it: the values of the options, which the server writes through pointers ([`config`]);
//! the blocks that the allocator keeps, because the state itself is allocated with them ([`alloc`]); and the table of
//! the server's functions, which belongs to the `redis_module` crate.
//!
//! [`config`]: super::config
//! [`alloc`]: super::alloc

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::api::replication::notified_kinds;
use super::api::scan::ScanCursor;
use super::ledgers::{Db, Ledgers};
use super::names::Names;
use super::totals::Totals;
use crate::engine::recover::Walk;
use crate::engine::verify::Round;
use crate::inventory::quantity::UnixMs;
use crate::inventory::sku::KeyStyle;
use crate::ledger::Ledger;
use crate::ledger::walk::Purpose;

/// The state of the module. It is used on the server's main thread only.
///
/// While a part of it is borrowed, the module must not call a server function that can call the module. Opening,
/// writing or deleting a key, replicating and notifying can all do so, because the server calls event handlers from
/// within them.
#[derive(Default)]
pub struct Module {
    /// The properties of this server.
    pub server: Cell<Server>,
    /// Whether another module may be loaded that has subscribed to keyspace notifications.
    pub has_neighbours: Cell<bool>,
    /// Whether the module has subscribed to the event of every new key.
    pub hears_of_new_keys: Cell<bool>,
    /// The ledgers of all databases.
    pub ledgers: RefCell<Ledgers>,
    /// Whether a data set is being loaded.
    pub is_loading: Cell<bool>,
    /// Distinguishes events that the module caused itself from those of others.
    pub own: Own,
    /// The state of the module's own work.
    pub schedule: Schedule,
    /// The walks over all keys.
    pub walks: Walks,
    /// The rounds of the continuous audit.
    pub rounds: Rounds,
    /// Whether the state in memory is reliable.
    pub trust: Trust,
    /// Cached strings of the server. A command takes all of them.
    pub names: Cell<Option<Box<Names>>>,
    /// Whether the last entry of the feed could not be appended.
    pub is_feed_broken: Cell<bool>,
    /// The counts for INFO.
    pub totals: Totals,
}

/// A value that is accessed only from the server's main thread.
struct MainThread<T>(UnsafeCell<T>);

// SAFETY: the server calls the module on its main thread only, and the module starts no threads.
unsafe impl<T> Sync for MainThread<T> {}

static CURRENT: MainThread<Option<Rc<Module>>> = MainThread(UnsafeCell::new(None));

impl Module {
    /// The state, which is created if there is none. It lives at least as long as the returned reference.
    #[inline]
    pub fn current() -> Rc<Self> {
        // SAFETY: there is one thread, and nothing calls this function again before the reference ends.
        match unsafe { &*CURRENT.0.get() } {
            Some(module) => Rc::clone(module),
            None => Self::begin(),
        }
    }

    /// Whether a keyspace notification of this kind would reach anyone: clients, if the server's `notify-keyspace-events` says
    /// so, or another module. The module ignores its own notifications.
    pub fn is_anyone_notified(&self, kind: c_int) -> bool {
        self.has_neighbours.get() || notified_kinds() & kind != 0
    }

    #[cold]
    fn begin() -> Rc<Self> {
        let module = Rc::new(Self::default());
        // SAFETY: as above.
        unsafe { *CURRENT.0.get() = Some(Rc::clone(&module)) };
        module
    }

    /// Drops the state with all of its memory. The next state starts empty.
    pub fn end() {
        // SAFETY: as above. The old state is dropped after the reference has ended.
        let before = unsafe { &mut *CURRENT.0.get() }.take();
        drop(before);
    }

    /// Accesses the ledger of one database, which is awake from now on.
    pub fn ledger<T>(&self, db: Db, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(self.ledgers.borrow_mut().of(db))
    }

    /// The style of key names.
    pub const fn style(&self) -> KeyStyle {
        self.server.get().style
    }

    /// Whether every live reservation of every database is known.
    pub fn is_index_ready(&self) -> bool {
        !self.is_loading.get() && self.ledgers.borrow().are_complete()
    }

    /// Whether the server still has to call back a function of the module, so that the module must not be unloaded.
    pub const fn is_awaited(&self) -> bool {
        self.schedule.is_job_queued.get() || self.schedule.is_wake_queued.get()
    }

    /// Notes that a panic was caught: the state in memory may be inconsistent, and a write by another client may not
    /// have been noted.
    pub fn distrust(&self) {
        self.trust.is_distrusted.set(true);
        if self.trust.is_hearing.get() {
            self.trust.has_misheard.set(true);
        }
    }

    /// Whether a note that another client has written a reserved counter is missing, or will be discarded with the
    /// ledgers. Resets the answer.
    pub fn take_mishearing(&self) -> bool {
        let is_noted = self.ledgers.borrow().all().values().any(|ledger| ledger.comparison.has_written());
        self.trust.has_misheard.replace(false) || is_noted
    }
}

/// The properties of this server, set once when the module is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// The style of key names.
    pub style: KeyStyle,
    /// Whether it is a node of a cluster.
    pub in_cluster: bool,
    /// Whether it is Valkey. From version 9 on, Valkey migrates slots atomically, and it tells replicas about slots
    /// that move key by key.
    pub is_valkey: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self { style: KeyStyle::Plain, in_cluster: false, is_valkey: false }
    }
}

/// Distinguishes events that the module caused itself from those of others.
#[derive(Default)]
pub struct Own {
    /// The name of the key that the module is writing.
    write: RefCell<Vec<u8>>,
    /// Whether the current notification comes from the module itself.
    is_notifying: Cell<bool>,
}

impl Own {
    /// Runs `write`, which removes or overwrites the key `name`. Its event is the module's own.
    pub fn writing<T>(&self, name: &[u8], write: impl FnOnce() -> T) -> T {
        /// Resets the name, even if `write` panics.
        struct Mark<'a>(&'a RefCell<Vec<u8>>);
        impl Drop for Mark<'_> {
            fn drop(&mut self) {
                self.0.borrow_mut().clear();
            }
        }
        self.write.borrow_mut().extend_from_slice(name);
        let _mark = Mark(&self.write);
        write()
    }

    /// Whether the module itself is writing this key.
    pub fn is_write(&self, name: &[u8]) -> bool {
        *self.write.borrow() == name
    }

    /// Runs `notify`, which announces a change by the module itself.
    pub fn notifying(&self, notify: impl FnOnce()) {
        /// Resets the flag, even if `notify` panics.
        struct Mark<'a>(&'a Cell<bool>);
        impl Drop for Mark<'_> {
            fn drop(&mut self) {
                self.0.set(false);
            }
        }
        self.is_notifying.set(true);
        let _mark = Mark(&self.is_notifying);
        notify();
    }

    /// Whether the current notification comes from the module itself.
    pub const fn is_notification(&self) -> bool {
        self.is_notifying.get()
    }
}

/// The state of the module's own work: see [`schedule`](super::schedule).
#[derive(Default)]
pub struct Schedule {
    /// When the current iteration of the event loop began, if this is needed.
    pub round_began: Cell<Option<Instant>>,
    /// How long the jobs of this iteration took, in microseconds.
    pub spent_us: Cell<u64>,
    /// Whether a slice ended with work left.
    pub has_backlog: Cell<bool>,
    /// Whether another iteration of the event loop was requested.
    pub is_wake_queued: Cell<bool>,
    /// Whether a job is queued.
    pub is_job_queued: Cell<bool>,
    /// Whether the next job must process all ended reservations, however long it takes, because counters are leaving
    /// this node.
    pub is_urgent: Cell<bool>,
}

impl Schedule {
    /// How long the jobs of this iteration took.
    pub const fn spent(&self) -> Duration {
        Duration::from_micros(self.spent_us.get())
    }

    /// Adds the time that a job took.
    pub fn spend(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.spent_us.set(self.spent_us.get().saturating_add(time));
    }
}

/// The walks over all keys: see [`walk`](super::walk).
#[derive(Default)]
pub struct Walks {
    /// The walk that is in progress.
    pub running: Cell<Option<RunningWalk>>,
    /// The walk that the cron is to begin.
    pub wanted: Cell<Option<Purpose>>,
}

/// A walk that is in progress.
pub struct RunningWalk {
    /// Its purpose.
    pub purpose: Purpose,
    /// The databases that are left, starting with the current one.
    pub databases: VecDeque<Db>,
    /// The progress in the current database.
    pub at: Option<WalkedDatabase>,
}

/// The progress of a walk in the current database.
pub struct WalkedDatabase {
    /// Where the walk continues.
    pub cursor: ScanCursor,
    /// What the walk has found.
    pub walk: Walk,
    /// Whether all keys were visited, so that only the comparison is left.
    pub is_over: bool,
}

/// The rounds of the continuous audit: see [`rounds`](super::rounds).
#[derive(Default)]
pub struct Rounds {
    /// The round that is in progress.
    pub running: Cell<Option<RunningRound>>,
    /// When the next round may begin, if the first is not still to be planned.
    pub next_at: Cell<Option<Instant>>,
    /// The end of the last complete round, Unix ms; 0 if there was none.
    pub verified_at: Cell<UnixMs>,
}

/// A round of the continuous audit that is in progress.
pub struct RunningRound {
    /// The databases that are left, starting with the current one.
    pub databases: VecDeque<Db>,
    /// The progress in the current database.
    pub at: Round,
}

/// Whether the state in memory is reliable: see [`guard`](super::guard).
#[derive(Default)]
pub struct Trust {
    /// The number of nested guards around the current code: the server calls event handlers during commands.
    pub depth: Cell<u32>,
    /// The message and the location of the last panic.
    pub last_panic: Cell<Option<String>>,
    /// The number of consecutive rounds of the module's own work that ended in a panic.
    pub failed_rounds: Cell<u32>,
    /// The end of the pause after repeated panics.
    pub rests_until: Cell<Option<Instant>>,
    /// Whether the state in memory is to be discarded.
    pub is_distrusted: Cell<bool>,
    /// Whether the module is handling a notification about another client's change.
    pub is_hearing: Cell<bool>,
    /// Whether a panic interrupted this, so that the change may not have been noted.
    has_misheard: Cell<bool>,
}

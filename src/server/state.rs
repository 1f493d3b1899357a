//! What the module keeps beside the keys: one [`Module`], made when the module is loaded and dropped when it is unloaded, so
//! that a later load finds nothing of an earlier one.
//!
//! Three things cannot be a part of it: the values of the options, which the server writes through pointers ([`config`]);
//! the blocks that the allocator keeps, since the state itself is made of them ([`alloc`]); and the table of the server's
//! functions, which belongs to the library.
//!
//! [`config`]: super::config
//! [`alloc`]: super::alloc

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::api::scan::ScanCursor;
use super::ledgers::{Db, Ledgers};
use super::names::Names;
use super::totals::Totals;
use crate::engine::recover::Walk;
use crate::inventory::sku::KeyStyle;
use crate::ledger::Ledger;
use crate::ledger::walk::Purpose;

/// The state of the module. It lives on the server's main thread.
///
/// While a part of it is borrowed, the module calls no function of the server that can come back here. Opening, writing or
/// deleting a key, replicating and notifying all can: the server calls the handlers of events from within them.
#[derive(Default)]
pub struct Module {
    /// What this server is.
    pub server: Cell<Server>,
    /// One ledger a database.
    pub ledgers: RefCell<Ledgers>,
    /// Whether a data set is being loaded.
    pub is_loading: Cell<bool>,
    /// What tells events of our own making from those of others.
    pub own: Own,
    /// When the module works by itself.
    pub schedule: Schedule,
    /// The walks over all keys.
    pub walks: Walks,
    /// Whether what is kept in memory can be believed.
    pub trust: Trust,
    /// Strings of the server that are used again. A command takes all of them out for itself.
    pub names: Cell<Option<Box<Names>>>,
    /// Whether the last entry could not be appended to the feed.
    pub is_feed_broken: Cell<bool>,
    /// Numbers for INFO.
    pub totals: Totals,
}

/// What only the server's main thread reaches.
struct MainThread<T>(UnsafeCell<T>);

// SAFETY: the server calls the module on its main thread only, and the module starts no thread.
unsafe impl<T> Sync for MainThread<T> {}

static CURRENT: MainThread<Option<Rc<Module>>> = MainThread(UnsafeCell::new(None));

impl Module {
    /// The state, made anew if there is none. Whoever holds it keeps it alive.
    #[inline]
    pub fn current() -> Rc<Self> {
        // SAFETY: one thread, and nothing that happens before the reference ends comes back here.
        match unsafe { &*CURRENT.0.get() } {
            Some(module) => Rc::clone(module),
            None => Self::begin(),
        }
    }

    #[cold]
    fn begin() -> Rc<Self> {
        let module = Rc::new(Self::default());
        // SAFETY: as above.
        unsafe { *CURRENT.0.get() = Some(Rc::clone(&module)) };
        module
    }

    /// Drops the state with all of its memory: the next one begins with nothing.
    pub fn end() {
        // SAFETY: as above; what is taken out is dropped after the reference has ended.
        let before = unsafe { &mut *CURRENT.0.get() }.take();
        drop(before);
    }

    /// Looks at the ledger of one database. It is awake from now on.
    pub fn ledger<T>(&self, db: Db, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(self.ledgers.borrow_mut().of(db))
    }

    /// How keys are named.
    pub const fn style(&self) -> KeyStyle {
        self.server.get().style
    }

    /// Whether every live reservation of every database is known.
    pub fn is_index_ready(&self) -> bool {
        !self.is_loading.get() && self.ledgers.borrow().are_complete()
    }

    /// Whether the server holds a function of ours that it has not called yet: the module must not be unloaded.
    pub const fn is_awaited(&self) -> bool {
        self.schedule.is_job_queued.get() || self.schedule.is_wake_queued.get()
    }

    /// A panic was caught: it may have left half a change in memory, and what another client has done to a key may not have been
    /// noted.
    pub fn distrust(&self) {
        self.trust.is_distrusted.set(true);
        if self.trust.is_hearing.get() {
            self.trust.has_misheard.set(true);
        }
    }

    /// Whether another client may have written a reserved counter, and nobody knows of it any more.
    pub fn take_mishearing(&self) -> bool {
        let is_noted = self.ledgers.borrow().all().values().any(|ledger| ledger.comparison.has_written());
        self.trust.has_misheard.replace(false) || is_noted
    }
}

/// What this server is; set once, when the module is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// How keys are named.
    pub style: KeyStyle,
    /// Whether it is a node of a cluster.
    pub in_cluster: bool,
    /// Whether it is Valkey, which moves slots at once, from version 9 on, and tells replicas of those that move key by key.
    pub is_valkey: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self { style: KeyStyle::Plain, in_cluster: false, is_valkey: false }
    }
}

/// What tells events of our own making from those of others.
#[derive(Default)]
pub struct Own {
    /// The name of the key that the module itself is writing.
    write: RefCell<Vec<u8>>,
    /// Whether the notification at hand is our own.
    is_notifying: Cell<bool>,
}

impl Own {
    /// Runs `write`, which takes the key `name` away or overwrites it: its event is our own.
    pub fn writing<T>(&self, name: &[u8], write: impl FnOnce() -> T) -> T {
        /// Takes the mark away, also if `write` panics.
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

    /// Runs `notify`, which tells of a change of our own.
    pub fn notifying(&self, notify: impl FnOnce()) {
        /// Takes the mark away, also if `notify` panics.
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

    /// Whether the notification at hand is our own.
    pub const fn is_notification(&self) -> bool {
        self.is_notifying.get()
    }
}

/// When the module works by itself: see [`schedule`](super::schedule).
#[derive(Default)]
pub struct Schedule {
    /// When this round of the server's work began, if somebody will ask.
    pub round_began: Cell<Option<Instant>>,
    /// How long the jobs of this round took, in microseconds.
    pub spent_us: Cell<u64>,
    /// Whether a slice of expiry work ended before the work did.
    pub has_backlog: Cell<bool>,
    /// Whether the event loop was asked to turn once more.
    pub is_wake_queued: Cell<bool>,
    /// Whether a job is queued.
    pub is_job_queued: Cell<bool>,
    /// Whether the next job is to look at all that has ended, however long it takes: counters leave.
    pub is_urgent: Cell<bool>,
}

impl Schedule {
    /// How long the jobs of this round took.
    pub const fn spent(&self) -> Duration {
        Duration::from_micros(self.spent_us.get())
    }

    /// Notes that a job took this long.
    pub fn spend(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.spent_us.set(self.spent_us.get().saturating_add(time));
    }
}

/// The walks over all keys: see [`walk`](super::walk).
#[derive(Default)]
pub struct Walks {
    /// The one that is under way.
    pub running: Cell<Option<RunningWalk>>,
    /// What the cron is asked to walk for.
    pub wanted: Cell<Option<Purpose>>,
}

/// A walk that is under way.
pub struct RunningWalk {
    /// What it is for.
    pub purpose: Purpose,
    /// The databases that are left, the one at hand first.
    pub databases: VecDeque<Db>,
    /// Where it is in the database at hand.
    pub at: Option<WalkedDatabase>,
}

/// The database at hand.
pub struct WalkedDatabase {
    /// Where the walk goes on.
    pub cursor: ScanCursor,
    /// What was met.
    pub walk: Walk,
    /// Every key was met; what was met is compared.
    pub is_over: bool,
}

/// Whether what is kept in memory can be believed: see [`guard`](super::guard).
#[derive(Default)]
pub struct Trust {
    /// How many guards are around the code at hand: the server calls handlers of events in the midst of commands.
    pub depth: Cell<u32>,
    /// What the last panic said, and where.
    pub last_panic: Cell<Option<String>>,
    /// How many rounds of the module's own work have ended in a panic one after the other.
    pub failed_rounds: Cell<u32>,
    /// Until when it rests after those.
    pub rests_until: Cell<Option<Instant>>,
    /// Whether what is in memory is to be thrown away.
    pub is_distrusted: Cell<bool>,
    /// Whether the module is hearing what another client has done to a key.
    pub is_hearing: Cell<bool>,
    /// Whether a panic came between: what the client has done may not have been noted.
    has_misheard: Cell<bool>,
}

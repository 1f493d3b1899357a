//! The trait for the data set that the engine works on, and the types that its methods use.

use std::borrow::Cow;

use super::sent::Sent;
use crate::inventory::cluster_slot::{Slot, SlotState};
use crate::inventory::key::{Counted, Key};
use crate::inventory::lifetime::Lifetimes;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, Sku};
use crate::ledger::Ledger;

/// The configuration, as one command sees it. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The lifetime of a reservation whose request names none.
    pub hold_ttl_ms: i64,
    /// The longest total lifetime of a reservation. 0 means no limit.
    pub max_hold_ms: i64,
    /// How long an outcome is remembered. 0 means not at all.
    pub outcome_ttl_ms: i64,
    /// The low-stock threshold of products that have none of their own.
    pub low_stock_threshold: i64,
    /// The lifetime of an alert.
    pub alert_ttl_ms: i64,
    /// The time within which the same alert of the same product is not raised again.
    pub alert_cooldown_ms: i64,
    /// Whether this server is a node of a cluster.
    pub in_cluster: bool,
    /// Whether a slot can be migrated as a whole. If so, keys of another node's slot that are on this node are either
    /// arriving or were left behind.
    pub slots_move_at_once: bool,
    /// What the repair after a load does with reserved units that no reservation holds.
    pub load_repair: LoadRepair,
    /// The maximum number of entries in the feed. 0 turns the feed off.
    pub feed_maxlen: i64,
    /// The maximum number of items in a request.
    pub max_items: usize,
    /// The maximum length of `DATA`, in bytes.
    pub max_data_bytes: usize,
    /// The maximum number of reservations in one call.
    pub max_batch: usize,
}

impl Settings {
    /// The limits on the lifetime of reservations.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes { usual_ms: self.hold_ttl_ms, longest_ms: self.max_hold_ms }
    }
}

/// What the repair does with reserved units that no reservation holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadRepair {
    /// Return them if only the module reserves in the database, and report them otherwise.
    Auto,
    /// Report them.
    Report,
    /// Return them.
    Return,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The key is absent or has expired.
    Absent,
    /// A string, and the time at which the key expires, if it has a TTL.
    Text(Vec<u8>, Option<UnixMs>),
    /// A value of another type: the name of the type, with an article.
    Other(&'static str),
}

/// The value of a sorted set.
#[derive(Clone, Debug, PartialEq)]
pub enum Ranking {
    /// The key is absent or has expired.
    Absent,
    /// The members with their scores, lowest first. Members with equal scores are sorted by name.
    Members(Vec<(Vec<u8>, f64)>),
    /// The set has more members than were asked for. The value is their number.
    TooMany(usize),
    /// A value of another type: the name of the type, with an article.
    Other(&'static str),
}

/// The value of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The key is absent.
    Absent,
    /// The number of units.
    Units(i64),
    /// The value is not an integer. The text describes it.
    Broken(Cow<'static, str>),
}

impl Counter {
    /// The number of units. An absent counter counts as 0.
    ///
    /// # Errors
    ///
    /// [`Refusal::WrongType`] if the value is not an integer.
    pub fn units(self, key: Key<'_>, style: KeyStyle) -> Result<i64, Refusal> {
        match self {
            Counter::Absent => Ok(0),
            Counter::Units(units) => Ok(units),
            Counter::Broken(found) => {
                Err(Refusal::WrongType { key: key.name(style), found, wanted: "an integer" })
            }
        }
    }

    /// Reads the value of a string.
    pub fn of(text: &[u8]) -> Self {
        match parse_integer(text) {
            Some(units) => Counter::Units(units),
            None => {
                let shown: String = String::from_utf8_lossy(text).chars().take(24).collect();
                let shown = shown.replace(char::is_control, "?");
                Counter::Broken(format!("'{shown}'").into())
            }
        }
    }
}

impl From<Reading> for Counter {
    fn from(reading: Reading) -> Self {
        match reading {
            Reading::Absent => Counter::Absent,
            Reading::Other(kind) => Counter::Broken(kind.into()),
            Reading::Text(text, _) => Counter::of(&text),
        }
    }
}

/// One argument of a replicated command.
#[derive(Clone, Copy, Debug)]
pub enum Argument<'a> {
    /// The name of a key.
    Key(Key<'a>),
    /// A word.
    Word(&'static str),
    /// Any text.
    Text(&'a [u8]),
    /// A number.
    Number(i64),
    /// A word and a number, separated by a space.
    Phrase(&'static str, i64),
}

/// A statistic that INFO shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Reservations that were made.
    Reserved,
    /// Reservations that were sold.
    Committed,
    /// Reservations that were sold after their deadline.
    LateCommits,
    /// Units that the repair returned.
    RepairedUnits,
    /// Reservations that a command returned.
    RolledBack,
    /// Reservations that another one replaced.
    Replaced,
    /// Reservations that ended at their deadline or because something else removed the record.
    Expired,
    /// Alerts that were raised.
    Alerts,
    /// Alerts that the cooldown suppressed.
    AlertsHeldBack,
    /// Units that a release should have returned but did not move, because the counters lacked them.
    UnexplainedUnits,
    /// Entries that could not be appended to the feed.
    FeedErrors,
}

/// The data set that the engine works on: one database of the server, at one moment.
///
/// Implementations make two promises:
///
/// - Time stands still. [`Keyspace::now`] returns the same moment throughout the life of the value, and keys expire by
///   that moment.
/// - Before a `reservation:` key disappears, [`Ledger::note_leaving`] is called with its value. The exceptions are keys
///   that [`Keyspace::remove`] and [`Keyspace::write`] themselves delete or overwrite.
pub trait Keyspace {
    /// The current time, by the clock by which keys expire.
    fn now(&self) -> UnixMs;

    /// The configuration.
    fn settings(&self) -> Settings;

    /// The key style in use.
    fn style(&self) -> KeyStyle;

    /// Changes the key style. A replayed command uses the key style of its master.
    fn set_style(&mut self, style: KeyStyle);

    /// Whether this server is a node of a cluster.
    fn in_cluster(&self) -> bool {
        self.settings().in_cluster
    }

    /// The state of an id's slot. Outside a cluster and on a replica, every slot is stable.
    fn slot_state(&mut self, id: &str) -> SlotState;

    /// Whether an id's slot is stable. This can be cheaper than [`Keyspace::slot_state`].
    fn is_slot_stable(&mut self, id: &str) -> bool {
        self.slot_state(id) == SlotState::Stable
    }

    /// The slot to which the current command is confined, or `None` if it may open any key. In a cluster the server
    /// assumes that every key a command opens is in the slot of the keys that it names.
    fn confined_to(&self) -> Option<Slot>;

    /// Whether changes of this keyspace are still being collected. Their alerts are raised later, for all of them together.
    fn is_draft(&self) -> bool {
        false
    }

    /// Whether a change of this sku's counters is still being collected, so that they must not be deleted now.
    fn is_deferred(&self, _sku: &Sku) -> bool {
        false
    }

    /// The command will read this many reservations to change them, and will change them only after it has read all.
    fn expect_many(&mut self, reservations: usize) {
        let _ = reservations;
    }

    /// Reads a key as a client's command would. A due key expires.
    fn read(&mut self, key: Key<'_>) -> Reading;

    /// Reads a key that this command is about to write or remove, unless the command is refused.
    fn read_to_change(&mut self, key: Key<'_>) -> Reading {
        self.read(key)
    }

    /// Reads a counter as a client's command would. A due key expires.
    fn read_counter(&mut self, key: Key<'_>) -> Counter {
        self.read(key).into()
    }

    /// Reads a counter that this command will [`Keyspace::add`] to, unless the command is refused.
    fn counter_to_change(&mut self, key: Key<'_>) -> Counter {
        self.read_counter(key)
    }

    /// Reads a key without side effects. A due key reads as absent and is not deleted.
    fn peek(&mut self, key: Key<'_>) -> Reading;

    /// Writes a string. If `until` is given, the key expires at that time; otherwise it has no TTL.
    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>);

    /// Overwrites a string in place and keeps its TTL. No other key is deleted, so that this is also safe in a job.
    fn rewrite(&mut self, key: Key<'_>, value: &[u8]);

    /// Adds to a counter, keeps its TTL, and returns the new value. An absent counter is created. The caller has
    /// checked that the value is an integer and that the sum does not overflow.
    fn add(&mut self, key: Key<'_>, delta: i64) -> i64;

    /// Reads a sorted set without side effects. If it has more than `most` members, only their number is returned.
    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking;

    /// Reads one member of a sorted set, whatever its size, without side effects. [`Ranking::Members`] contains that
    /// member, or nothing if the set does not have it.
    fn ranking_of(&mut self, key: Key<'_>, member: &str) -> Ranking;

    /// Adds a member to a sorted set or changes its score. An absent key is created.
    fn rank(&mut self, key: Key<'_>, member: &str, score: f64);

    /// Removes a member from a sorted set. If it was the last one, the key is deleted. Returns whether the key was
    /// deleted.
    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool;

    /// Appends an entry to a stream and trims it to the newest `most` entries. Both are replicated, with the id of the
    /// entry.
    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64);

    /// Deletes a key.
    fn remove(&mut self, key: Key<'_>);

    /// Sends a keyspace notification: `event` happened to the key.
    fn notify(&mut self, event: &'static std::ffi::CStr, key: Key<'_>);

    /// Sends a command to replicas and the AOF, in one transaction with everything else in this unit of work.
    fn replicate(&mut self, command: Sent, arguments: &[Argument<'_>]);

    /// Publishes a message on a channel.
    fn publish(&mut self, channel: &'static str, message: &[u8]);

    /// Returns some counters and floors, and the next cursor, starting at `cursor`. About `count` keys are examined. As with SCAN,
    /// cursor 0 starts the walk and marks its end.
    fn counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Counted>), Refusal>;

    /// Returns some products that have a set of warehouses, and the next cursor, as [`Keyspace::counters`] does.
    fn products_in_warehouses(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Product>), Refusal>;

    /// Calls `look` with the ledger of this database. No other method may be called meanwhile.
    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T;

    /// Adds `by` to a statistic.
    fn tally(&mut self, what: Tally, by: i64);

    /// Writes a line to the server's log.
    fn report(&mut self, line: &str);

    /// Records the delay of a release, in milliseconds.
    fn lag(&mut self, late_ms: i64);
}

/// Reads a counter as a client's command would.
///
/// # Errors
///
/// `WRONGTYPE` if it is not an integer.
pub(super) fn counter<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.read_counter(key).units(key, style)
}

/// Reads a counter that will be changed.
///
/// # Errors
///
/// `WRONGTYPE` if it is not an integer.
pub(super) fn counter_to_change<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.counter_to_change(key).units(key, style)
}

/// Whether a key reads as absent. Has no side effects.
pub(super) fn is_free<K: Keyspace>(keys: &mut K, key: Key<'_>) -> bool {
    keys.peek(key) == Reading::Absent
}

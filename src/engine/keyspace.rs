//! The data set that the engine works on, as a trait, and the values that go in and out of it.

use std::borrow::Cow;

use super::sent::Sent;
use crate::inventory::cluster_slot::{Slot, SlotState};
use crate::inventory::key::{Counted, Key};
use crate::inventory::lifetime::Lifetimes;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::KeyStyle;
use crate::ledger::Ledger;

/// The configuration, as one command sees it. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Life of a reservation without a time of its own.
    pub hold_ttl_ms: i64,
    /// Longest whole life of a reservation; 0: no limit.
    pub max_hold_ms: i64,
    /// How long an outcome is remembered; 0: not at all.
    pub outcome_ttl_ms: i64,
    /// Low-stock threshold of a product that has none of its own.
    pub low_stock_threshold: i64,
    /// Life of an alert.
    pub alert_ttl_ms: i64,
    /// The same alert of the same product is not raised again within this time.
    pub alert_cooldown_ms: i64,
    /// Whether this is a node of a cluster.
    pub in_cluster: bool,
    /// Whether slots can come and go all at once, so that what is here of another node's slot is on its way in, or left behind.
    pub slots_move_at_once: bool,
    /// What the repair does with reserved units that nothing holds.
    pub load_repair: LoadRepair,
    /// Entries kept in the feed; 0: there is none.
    pub feed_maxlen: i64,
    /// Most items in a request.
    pub max_items: usize,
    /// Longest `DATA`, in bytes.
    pub max_data_bytes: usize,
}

impl Settings {
    /// How long reservations live.
    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes { usual_ms: self.hold_ttl_ms, longest_ms: self.max_hold_ms }
    }
}

/// What the repair does with reserved units that nothing holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadRepair {
    /// Gives them back where the database is the module's alone, and reports them elsewhere.
    Auto,
    /// Reports them.
    Report,
    /// Gives them back.
    Return,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing, or something whose time is over.
    Absent,
    /// A string, and the moment at which it goes, if it has one.
    Text(Vec<u8>, Option<UnixMs>),
    /// Another type: its name with an article.
    Other(&'static str),
}

/// What a sorted set holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Ranking {
    /// No key, or one whose time is over.
    Absent,
    /// Its members with their scores, lowest first, and equal ones by name.
    Members(Vec<(Vec<u8>, f64)>),
    /// The number of its members: more than were asked for.
    TooMany(usize),
    /// Another type: its name with an article.
    Other(&'static str),
}

/// What a counter key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// No key.
    Absent,
    /// The number of units.
    Units(i64),
    /// Something that is no integer: what it is.
    Broken(Cow<'static, str>),
}

impl Counter {
    /// The units; an absent counter counts as 0, a broken one is a refusal.
    pub fn units(self, key: Key<'_>, style: KeyStyle) -> Result<i64, Refusal> {
        match self {
            Counter::Absent => Ok(0),
            Counter::Units(units) => Ok(units),
            Counter::Broken(found) => {
                Err(Refusal::WrongType { key: key.name(style), found, wanted: "an integer" })
            }
        }
    }

    /// What a string says.
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

/// One argument of a command that is propagated.
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
}

/// What is counted for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Reservations made.
    Reserved,
    /// Reservations sold.
    Committed,
    /// Reservations sold after their deadline.
    LateCommits,
    /// Units that the repair gave back.
    RepairedUnits,
    /// Reservations given back by a command.
    RolledBack,
    /// Reservations given back by their deadline, or by whatever removed the record.
    Expired,
    /// Alerts raised.
    Alerts,
    /// Alerts that the cooldown held back.
    AlertsHeldBack,
    /// Units that a release found missing in the counters, and did not move.
    UnexplainedUnits,
    /// Entries that could not be appended to the feed.
    FeedErrors,
}

/// The data set that the engine works on: one database of the server, at one moment.
///
/// Implementations keep two promises. Time stands still: [`Keyspace::now`] gives the same moment for the life of the
/// value, and it is the moment by which keys expire. And whatever takes a `reservation:` key away tells
/// [`Ledger::note_leaving`] before it is gone, with its value, except what [`Keyspace::remove`] and
/// [`Keyspace::write`] themselves take away.
pub trait Keyspace {
    /// The moment of this command, by the clock that keys expire by.
    fn now(&self) -> UnixMs;

    /// The configuration.
    fn settings(&self) -> Settings;

    /// How keys are named.
    fn style(&self) -> KeyStyle;

    /// From now on keys are named so: what is replayed names them as its master did.
    fn set_style(&mut self, style: KeyStyle);

    /// Whether this is a node of a cluster.
    fn in_cluster(&self) -> bool {
        self.settings().in_cluster
    }

    /// How the slot of an id stands. Outside a cluster every slot is stable, and for a replica as well: it decides
    /// nothing.
    fn slot_state(&mut self, id: &str) -> SlotState;

    /// Whether the slot of an id is stable. Why it is not costs more to know.
    fn is_slot_stable(&mut self, id: &str) -> bool {
        self.slot_state(id) == SlotState::Stable
    }

    /// The slot that the command at hand is confined to: in a cluster the server takes whatever key a command opens to be in
    /// the slot of those that it names. `None`: any key may be opened.
    fn confined_to(&self) -> Option<Slot>;

    /// Reads a key as a client's command would: a key that is due goes.
    fn read(&mut self, key: Key<'_>) -> Reading;

    /// Reads a counter as a client's command would.
    fn read_counter(&mut self, key: Key<'_>) -> Counter {
        self.read(key).into()
    }

    /// Reads a counter that this command is about to [`Keyspace::add`] to, if nothing is refused.
    fn counter_to_change(&mut self, key: Key<'_>) -> Counter {
        self.read_counter(key)
    }

    /// Reads a key without any effect: one that is due reads as absent and stays.
    fn peek(&mut self, key: Key<'_>) -> Reading;

    /// Writes a string that goes at `until`, or stays.
    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>);

    /// Writes over a string in place: its TTL stays, and no other key goes. It also may be done in a job.
    fn rewrite(&mut self, key: Key<'_>, value: &[u8]);

    /// Adds to a counter, creates it where there is none, keeps its TTL. The caller has seen that it is an integer
    /// and that the sum fits.
    fn add(&mut self, key: Key<'_>, delta: i64) -> i64;

    /// Reads a sorted set of at most `most` members, without any effect.
    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking;

    /// Reads one member of a sorted set of any size, without any effect: it is told alone, or nobody.
    fn ranking_of(&mut self, key: Key<'_>, member: &str) -> Ranking;

    /// Adds a member to a sorted set, in place of an absent key too, or gives it another score.
    fn rank(&mut self, key: Key<'_>, member: &str, score: i64);

    /// Takes a member out of a sorted set. The key goes with its last one. Says whether it went.
    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool;

    /// Appends an entry to a stream, keeps the newest `most` entries, and sends both to the copies with the entry's id.
    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64);

    /// Deletes a key.
    fn remove(&mut self, key: Key<'_>);

    /// Tells the world that `event` happened to a key.
    fn notify(&mut self, event: &'static std::ffi::CStr, key: Key<'_>);

    /// Sends a command to replicas and AOF, in one transaction with everything else of this unit.
    fn replicate(&mut self, command: Sent, arguments: &[Argument<'_>]);

    /// Sends a message to the subscribers of a channel.
    fn publish(&mut self, channel: &'static str, message: &[u8]);

    /// Some counters, from this cursor on, and the next cursor; about `count` keys are looked at. 0 starts, and ends.
    fn counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Counted>), Refusal>;

    /// Looks at what is kept in memory of this database.
    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T;

    /// Counts for the operator.
    fn tally(&mut self, what: Tally, by: i64);

    /// Tells the operator, in the server's log.
    fn report(&mut self, line: &str);

    /// How late a release was, in milliseconds.
    fn lag(&mut self, late_ms: i64);
}

/// Reads a counter as a command does.
pub(super) fn counter<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.read_counter(key).units(key, style)
}

/// Reads a counter that is about to be changed.
pub(super) fn counter_to_change<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.counter_to_change(key).units(key, style)
}

/// Whether a key reads as nothing. Never expires anything.
pub(super) fn is_free<K: Keyspace>(keys: &mut K, key: Key<'_>) -> bool {
    keys.peek(key) == Reading::Absent
}

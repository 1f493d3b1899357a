//! What happens around a decision: the reads before it, the writes after it, and what time and other hands do to the
//! keys meanwhile. It runs over the small trait [`Keyspace`], which the real server implements and a simulated one
//! can implement as well.
//!
//! **Invariants:** everything is checked before the first write, and after it nothing may fail. A refusal writes
//! nothing of its own. No borrow of the [`Ledger`] outlives a call into the keyspace, because reading a key can
//! expire it, and that changes the ledger.

pub mod alerts;
pub mod apply;
pub mod audit;
pub mod expire;
pub mod feed;
pub mod look;
pub mod moving;
pub mod once;
pub mod recover;
pub mod repair;
pub mod reserve;
pub mod resolve;
pub mod restock;
pub mod sent;
pub mod warehouses;

use std::borrow::Cow;

use crate::inventory::error::Refusal;
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::reservation::{Line, Record, State};
use crate::inventory::sku::{Counted, Key, KeyStyle, ReservationId};
use crate::inventory::slot::{Slot, SlotState};
use crate::ledger::Ledger;
use sent::Sent;

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
    /// So many members: more than were asked for.
    TooMany(usize),
    /// Another type: its name with an article.
    Other(&'static str),
}

/// What a counter key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// No key.
    Absent,
    /// So many units.
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
/// [`record_removed`](crate::ledger::record_removed) before it is gone, with its value, except what [`Keyspace::remove`] and
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

    /// Reads a sorted set of at most so many members, without any effect.
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
pub(crate) fn counter<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.read_counter(key).units(key, style)
}

/// Reads a counter that is about to be changed.
pub(crate) fn counter_to_change<K: Keyspace>(keys: &mut K, key: Key<'_>) -> Result<i64, Refusal> {
    let style = keys.style();
    keys.counter_to_change(key).units(key, style)
}

/// `WRONGTYPE` is said before anything else. Another refusal of what was read waits until it is known that the command was
/// not answered before.
pub(crate) fn unless_wrong_type<T>(read: Result<T, Refusal>) -> Result<Result<T, Refusal>, Refusal> {
    match read {
        Err(wrong @ Refusal::WrongType { .. }) => Err(wrong),
        other => Ok(other),
    }
}

/// How a reservation id stands, after whatever was due of it has been settled. For commands that write.
pub(crate) fn settled_state<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<State, Refusal> {
    expire::catch_up(keys);
    let now = keys.now();
    let found = keys.read(Key::Reservation(id));
    let lapsed = keys.ledger(|ledger| ledger.lapsed(id, now));
    expire::settle_pending_of(keys, id);
    // Whether a key with a TTL is over is the server's to say: it has let us read it.
    let without_ttl = matches!(found, Reading::Text(_, None));
    let state = judge(keys, id, found)?;
    if let State::Live(record, deadline) = &state
        && without_ttl
        && now > *deadline
    {
        // The TTL was taken away (PERSIST): nobody but us ends this record.
        let at = *deadline;
        expire::end_overdue(keys, record.clone(), at);
        return lapsed_state(keys, id, at);
    }
    match (state, lapsed) {
        (State::Unknown, Some(at)) => lapsed_state(keys, id, at),
        (state, _) => Ok(state),
    }
}

/// The state of an id whose deadline `at` has passed: its outcome, where one was written.
fn lapsed_state<K: Keyspace>(keys: &mut K, id: &ReservationId, at: UnixMs) -> Result<State, Refusal> {
    let now = keys.now();
    Ok(match outcome(keys, id)? {
        Some(outcome) => State::Ended(outcome),
        None => State::Lapsed { at, settled: keys.ledger(|ledger| ledger.lapsed(id, now)).is_none() },
    })
}

/// How a reservation id stands by what its keys say. `found` is what its record key holds.
pub(crate) fn judge<K: Keyspace>(keys: &mut K, id: &ReservationId, found: Reading) -> Result<State, Refusal> {
    let style = keys.style();
    let outcome = outcome(keys, id)?;
    let name = || Key::Reservation(id).name(style);
    if found != Reading::Absent
        && keys.ledger(|ledger| ledger.foreign_count() > 0 && ledger.is_foreign(name().as_bytes()))
    {
        return Ok(State::Foreign);
    }
    Ok(match (found, outcome) {
        (Reading::Absent, None) => State::Unknown,
        (Reading::Absent, Some(outcome)) => State::Ended(outcome),
        // A record under an id that has ended is a copy, or an old dump.
        (_, Some(_)) | (Reading::Other(_), None) => State::Foreign,
        (Reading::Text(json, ttl), None) => match record(keys, id, &json) {
            Some(record) => {
                let deadline = ttl.unwrap_or(record.expires_at);
                State::Live(record, deadline)
            }
            None => State::Foreign,
        },
    })
}

/// Reads a record. In a cluster one whose units are in other slots than its own is none: no command could move them.
pub(crate) fn record<K: Keyspace>(keys: &K, id: &ReservationId, json: &[u8]) -> Option<Record> {
    let record = Record::from_json(id, json, keys.style())?;
    (!keys.in_cluster() || is_in_slot_of(id, &record.items)).then_some(record)
}

/// Whether the units of these lines are in the slot of this reservation.
pub(crate) fn is_in_slot_of(id: &ReservationId, lines: &[Line]) -> bool {
    let slot = Slot::of(id.as_str());
    lines.iter().all(|line| Slot::of(line.sku.product()) == slot)
}

/// The remembered outcome of an id.
fn outcome<K: Keyspace>(keys: &mut K, id: &ReservationId) -> Result<Option<Outcome>, Refusal> {
    let key = Key::Outcome(id);
    let style = keys.style();
    let in_cluster = keys.in_cluster();
    let wrong = |found| Refusal::WrongType { key: key.name(style), found, wanted: "an outcome" };
    match keys.read(key) {
        Reading::Absent => Ok(None),
        Reading::Other(kind) => Err(wrong(kind.into())),
        Reading::Text(json, _) => match Outcome::from_json(id, &json, style) {
            Some(outcome) if in_cluster && !is_in_slot_of(id, &outcome.items) => {
                Err(wrong("one of units in other slots".into()))
            }
            Some(outcome) => Ok(Some(outcome)),
            None => Err(wrong("something else".into())),
        },
    }
}

//! Entries of the change feed.

use std::fmt;

use redis::Value;

use super::wire::{fields, text};

/// The id of an entry: milliseconds, and a number within them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// The milliseconds.
    pub ms: i64,
    /// The number.
    pub seq: i64,
}

impl EntryId {
    /// Before every entry.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// Reads `1795511637933-0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.ms, self.seq)
    }
}

/// Available and reserved units of a sku, or by how much they change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The available units.
    pub available: i64,
    /// The reserved units.
    pub reserved: i64,
}

impl Units {
    /// By how much these are more than `other`.
    pub const fn minus(self, other: Self) -> Self {
        Self { available: self.available - other.available, reserved: self.reserved - other.reserved }
    }

    /// Whether both are 0.
    pub const fn is_zero(self) -> bool {
        self.available == 0 && self.reserved == 0
    }
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What it reports. `None` for an alert, which changes no stock.
    pub change: Option<Change>,
}

/// A change of a sku, as the feed reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `reserved`, `committed` and so on.
    pub event: String,
    /// The sku.
    pub sku: String,
    /// The units, as the feed has them.
    pub quantity: i64,
    /// The counters after the change.
    pub after: Units,
    /// The reservation, if there is one.
    pub reservation: Option<String>,
    /// The reservation whose place that one has taken.
    pub replaces: Option<String>,
    /// The note of the command.
    pub note: Option<String>,
    /// The ACL user who left the note.
    pub user: Option<String>,
    /// When it happened, Unix ms.
    pub timestamp: i64,
}

impl Change {
    /// By how much the counters have changed. `None` for an event of a later version of the module.
    pub fn effect(&self) -> Option<Units> {
        let units = self.quantity;
        let (available, reserved) = match self.event.as_str() {
            "reserved" | "replaced" => (-units, units),
            "committed" => (0, -units),
            "committed_late" => (-units, 0),
            "rolled_back" | "expired" | "repaired" => (units, -units),
            "adjusted" | "set" | "transferred" => (units, 0),
            _ => return None,
        };
        Some(Units { available, reserved })
    }
}

/// Reads the reply of XRANGE. `None` if it is no list of entries.
pub fn entries(reply: Value) -> Option<Vec<Entry>> {
    let Value::Array(entries) = reply else { return None };
    entries.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(pair) = value else { return None };
    let mut pair = pair.into_iter();
    let id = EntryId::parse(&text(pair.next()?)?)?;
    let mut change = Change::default();
    let mut has_balances = false;
    for (name, value) in fields(pair.next()?) {
        let Some(value) = text(value) else { continue };
        let number = || value.parse().unwrap_or_default();
        match name.as_str() {
            "event" => change.event = value,
            "sku" => (change.sku, has_balances) = (value, true),
            "quantity" => change.quantity = number(),
            "available" => change.after.available = number(),
            "reserved" => change.after.reserved = number(),
            "timestamp" => change.timestamp = number(),
            "reservation_id" => change.reservation = Some(value),
            "replaces" => change.replaces = Some(value),
            "note" => change.note = Some(value),
            "user" => change.user = Some(value),
            _ => {}
        }
    }
    // Alerts name a product and no sku.
    Some(Entry { id, change: (has_balances && !change.sku.is_empty()).then_some(change) })
}

/// What XINFO STREAM tells of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The number of entries.
    pub length: i64,
    /// The number of entries that were ever appended.
    pub added: i64,
    /// The id of the last entry that was appended.
    pub last: EntryId,
    /// The highest id of an entry that XDEL has deleted.
    pub deleted: EntryId,
}

impl Stream {
    /// Reads the reply. `None` if it is not that of a stream.
    pub fn read(reply: Value) -> Option<Self> {
        let mut stream = Self::default();
        let mut is_complete = false;
        for (name, value) in fields(reply) {
            let Some(value) = text(value) else { continue };
            match name.as_str() {
                "length" => stream.length = value.parse().ok()?,
                "entries-added" => stream.added = value.parse().ok()?,
                "last-generated-id" => (stream.last, is_complete) = (EntryId::parse(&value)?, true),
                "max-deleted-entry-id" => stream.deleted = EntryId::parse(&value)?,
                _ => {}
            }
        }
        is_complete.then_some(stream)
    }

    /// How many of its entries have been removed.
    pub const fn removed(self) -> i64 {
        self.added - self.length
    }
}

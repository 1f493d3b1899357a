//! What the tables say, and how an entry of the feed or a look at the counters changes it. Pure: nothing here reads a server or a
//! database.
//!
//! **Invariant:** of each sku, the changes of all movements add up to its units. A movement that no entry explains is added when an
//! entry does not follow from the units before it, or when the counters are something else than the entries say.

use std::collections::{HashMap, HashSet};

use super::entry::{Change, Entry, EntryId, Units};
use crate::document::{Document, Lines};
use crate::keys;

/// How far a feed has been written into the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last entry whose change is in the tables.
    pub entry: EntryId,
    /// The number of the last movement at this entry. 0 is a change that was noticed before it, 1 is the entry itself, and higher
    /// numbers are changes that were noticed after it.
    pub part: i32,
}

impl Position {
    /// The part of an entry itself.
    pub const OWN: i32 = 1;

    /// Directly after this entry.
    pub const fn after(entry: EntryId) -> Self {
        Self { entry, part: Self::OWN }
    }
}

/// Where a movement comes from, and what explains a difference there.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// The number of the feed.
    pub feed: i32,
    /// The number of the epoch.
    pub epoch: i32,
    /// How far it has been read.
    pub position: Position,
    /// The event of a change that no entry explains: `external`, or what has just been noticed (`opening`, `gap`, `failover`).
    pub unexplained: &'static str,
}

/// A row of `stock_movement`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Where it comes from: feed, epoch, entry, part.
    pub feed: i32,
    /// The epoch.
    pub epoch: i32,
    /// The entry and the part.
    pub position: Position,
    /// The event.
    pub event: String,
    /// The sku.
    pub sku: String,
    /// The units of the entry; of a change without an entry, by how much more is on hand.
    pub quantity: i64,
    /// By how much the counters changed.
    pub change: Units,
    /// The counters after that.
    pub after: Units,
    /// The reservation.
    pub reservation: Option<String>,
    /// The reservation that it replaced.
    pub replaces: Option<String>,
    /// The note.
    pub note: Option<String>,
    /// The ACL user of the note.
    pub user: Option<String>,
    /// When it happened, or was noticed, Unix ms.
    pub at: i64,
}

/// A row of `stock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The counters; `None` if the sku no longer exists.
    pub units: Option<Units>,
    /// The movement that changed it last: feed, epoch and position.
    pub feed: i32,
    /// The epoch.
    pub epoch: i32,
    /// The entry.
    pub position: Position,
    /// When it changed.
    pub at: i64,
}

/// A row of `reservation`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// The number of its feed.
    pub feed: i32,
    /// `reserved` while it holds units, otherwise how it ended.
    pub state: String,
    /// What it holds.
    pub held: Lines,
    /// What was sold of it.
    pub sold: Lines,
    /// What returned of it.
    pub returned: Lines,
    /// When it was made, Unix ms.
    pub created_at: i64,
    /// Its deadline, if the server has been asked.
    pub expires_at: Option<i64>,
    /// When it ended.
    pub resolved_at: Option<i64>,
    /// Its buyer.
    pub buyer: Option<String>,
    /// The client's text.
    pub data: Option<String>,
    /// The reservation that replaced it.
    pub replaced_by: Option<String>,
    /// The JSON of its record or its outcome, as the server had it last.
    pub document: Option<String>,
}

impl Reservation {
    /// Whether it holds units.
    pub fn is_live(&self) -> bool {
        !self.held.is_empty()
    }
}

/// What a look at a reservation's keys found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The JSON of its record.
    pub record: Option<String>,
    /// The JSON of its outcome.
    pub outcome: Option<String>,
    /// Its deadline, if that is not the one of the record: another client has changed the TTL.
    pub deadline: Option<i64>,
}

/// What has to be written.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// New movements, in order.
    pub movements: Vec<Movement>,
    /// The skus whose rows have changed.
    pub stock: HashMap<String, Stock>,
    /// The reservations whose rows have changed.
    pub reservations: HashSet<String>,
}

/// The rows that are known, and those that are to be written.
#[derive(Debug, Default)]
pub struct Book {
    /// The units of skus. `None`: there is no row.
    stock: HashMap<String, Option<Units>>,
    reservations: HashMap<String, Option<Reservation>>,
    changes: Changes,
}

/// So many reservations are kept in memory after they have been written.
const MOST_KEPT: usize = 200_000;

impl Book {
    /// The skus among these whose rows are not known.
    pub fn unknown_skus<'a>(&self, skus: impl Iterator<Item = &'a str>) -> Vec<String> {
        let unknown: HashSet<&str> = skus.filter(|sku| !self.stock.contains_key(*sku)).collect();
        unknown.into_iter().map(str::to_owned).collect()
    }

    /// Takes in rows of `stock`. The other skus have none.
    pub fn learn_stock(&mut self, asked: Vec<String>, rows: impl Iterator<Item = (String, Units)>) {
        self.stock.extend(asked.into_iter().map(|sku| (sku, None)));
        self.stock.extend(rows.map(|(sku, units)| (sku, Some(units))));
    }

    /// The reservations of these entries whose rows have to be read. A reservation begins with its first entry `reserved`; only the
    /// first one of a batch may have begun in the batch before.
    pub fn unknown_reservations<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Vec<String> {
        let (mut unknown, mut begun, mut is_first) = (HashSet::new(), HashSet::new(), true);
        for change in changes {
            let Some(id) = change.reservation.as_deref() else { continue };
            let begins = change.event == "reserved" && !is_first;
            for (id, begins) in [(Some(id), begins), (change.replaces.as_deref(), false)] {
                let Some(id) = id.filter(|id| !begun.contains(id) && !self.reservations.contains_key(*id))
                else {
                    continue;
                };
                if begins && !unknown.contains(id) {
                    begun.insert(id);
                } else {
                    unknown.insert(id);
                }
            }
            is_first = false;
        }
        unknown.into_iter().map(str::to_owned).collect()
    }

    /// The reservations among these whose rows are not known.
    pub fn unknown_among<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<String> {
        let unknown: HashSet<&str> = ids.filter(|id| !self.reservations.contains_key(*id)).collect();
        unknown.into_iter().map(str::to_owned).collect()
    }

    /// Takes in rows of `reservation`. The other ids have none.
    pub fn learn_reservations(
        &mut self,
        asked: Vec<String>,
        rows: impl Iterator<Item = (String, Reservation)>,
    ) {
        self.reservations.extend(asked.into_iter().map(|id| (id, None)));
        self.reservations.extend(rows.map(|(id, row)| (id, Some(row))));
    }

    /// Whether a reservation is known to hold units.
    pub fn is_live(&self, id: &str) -> bool {
        self.reservations.get(id).and_then(Option::as_ref).is_some_and(Reservation::is_live)
    }

    /// A known row.
    pub fn reservation(&self, id: &str) -> Option<&Reservation> {
        self.reservations.get(id)?.as_ref()
    }

    /// Enters an entry of the feed. The rows that it concerns are known.
    pub fn enter(&mut self, cursor: &mut Cursor, entry: &Entry) {
        cursor.position = Position { entry: entry.id, part: 0 };
        let Some(change) = &entry.change else {
            cursor.position.part = Position::OWN;
            return;
        };
        let known = self.units(&change.sku);
        // An event of a later version explains whatever it says.
        let effect = change.effect().unwrap_or_else(|| change.after.minus(known));
        let before = change.after.minus(effect);
        if before != known {
            self.move_without_entry(cursor, &change.sku, Some(before), change.timestamp);
        }
        cursor.position.part = Position::OWN;
        self.changes.movements.push(Movement {
            feed: cursor.feed,
            epoch: cursor.epoch,
            position: cursor.position,
            event: change.event.clone(),
            sku: change.sku.clone(),
            quantity: change.quantity,
            change: effect,
            after: change.after,
            reservation: change.reservation.clone(),
            replaces: change.replaces.clone(),
            note: change.note.clone(),
            user: change.user.clone(),
            at: change.timestamp,
        });
        self.set(cursor, &change.sku, Some(change.after), change.timestamp);
        if let Some(id) = &change.reservation {
            self.follow(cursor.feed, id, change);
        }
    }

    /// Enters what the counters of a sku were at the cursor's position: `None` if there are none.
    pub fn look(&mut self, cursor: &mut Cursor, sku: &str, counters: Option<Units>, at: i64) {
        let row = self.stock.get(sku).copied().flatten();
        if row == counters {
            return;
        }
        if row.unwrap_or_default() == counters.unwrap_or_default() {
            // A sku of which there is nothing appeared or disappeared.
            self.set(cursor, sku, counters, at);
            return;
        }
        cursor.position.part = cursor.position.part.max(Position::OWN) + 1;
        self.move_without_entry(cursor, sku, counters, at);
    }

    /// Enters what the keys of a reservation were at the cursor's position.
    pub fn look_at_reservation(&mut self, cursor: &Cursor, id: &str, seen: &Seen, at: i64) {
        let record = seen.record.as_deref().and_then(|json| Document::read(id, json));
        let row = self.reservations.get(id).and_then(Option::as_ref);
        let mut after = match (row, &record) {
            // It has ended, and the tables know that, or have never known of it.
            (None, None) => return,
            (Some(row), None) if !row.is_live() => return,
            (Some(row), _) => row.clone(),
            (None, Some(_)) => Reservation { feed: cursor.feed, created_at: at, ..Reservation::default() },
        };
        match record {
            Some(record) => {
                let lines = |lines: &Option<Vec<_>>| lines.as_deref().map(crate::document::lines);
                "reserved".clone_into(&mut after.state);
                after.held = record.held();
                after.sold = lines(&record.sold).unwrap_or_default();
                after.returned = lines(&record.returned).unwrap_or_default();
                after.resolved_at = None;
                attach(&mut after, record, seen.record.as_deref().unwrap_or_default());
                after.expires_at = seen.deadline.or(after.expires_at);
            }
            None => {
                after.held.clear();
                after.resolved_at = Some(at);
                "unknown".clone_into(&mut after.state);
                if let Some(json) = &seen.outcome
                    && let Some(outcome) = Document::read(id, json)
                {
                    attach(&mut after, outcome, json);
                }
            }
        }
        if row != Some(&after) {
            self.changes.reservations.insert(id.to_owned());
            self.reservations.insert(id.to_owned(), Some(after));
        }
    }

    /// Adds what the server says about a reservation besides its units: deadline, buyer, text.
    pub fn attach(&mut self, id: &str, json: &str) {
        if let Some(Some(row)) = self.reservations.get_mut(id)
            && row.document.as_deref() != Some(json)
            && let Some(document) = Document::read(id, json)
        {
            attach(row, document, json);
            self.changes.reservations.insert(id.to_owned());
        }
    }

    /// What has to be written since the last call.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The reservations that have to be written.
    pub const fn changed_reservations(&self) -> &HashSet<String> {
        &self.changes.reservations
    }

    /// The number of movements that have to be written.
    pub const fn movements(&self) -> usize {
        self.changes.movements.len()
    }

    /// The rows of these reservations, as they are now.
    pub fn rows_of(&self, ids: &HashSet<String>) -> Vec<(String, Reservation)> {
        ids.iter().filter_map(|id| Some((id.clone(), self.reservation(id)?.clone()))).collect()
    }

    /// Forgets rows that are not needed soon, after they have been written. Some of them may have changed since.
    pub fn forget(&mut self, written: &HashSet<String>) {
        for id in written {
            if !self.is_live(id) && !self.changes.reservations.contains(id) {
                self.reservations.remove(id);
            }
        }
        if self.reservations.len() > MOST_KEPT {
            let changed = &self.changes.reservations;
            self.reservations.retain(|id, _| changed.contains(id));
        }
    }

    fn units(&self, sku: &str) -> Units {
        self.stock.get(sku).copied().flatten().unwrap_or_default()
    }

    fn set(&mut self, cursor: &Cursor, sku: &str, units: Option<Units>, at: i64) {
        let Cursor { feed, epoch, position, .. } = *cursor;
        self.stock.insert(sku.to_owned(), units);
        self.changes.stock.insert(sku.to_owned(), Stock { units, feed, epoch, position, at });
    }

    /// A movement that brings the units of a sku to what was found.
    fn move_without_entry(&mut self, cursor: &Cursor, sku: &str, found: Option<Units>, at: i64) {
        let after = found.unwrap_or_default();
        let change = after.minus(self.units(sku));
        self.changes.movements.push(Movement {
            feed: cursor.feed,
            epoch: cursor.epoch,
            position: cursor.position,
            event: cursor.unexplained.to_owned(),
            sku: sku.to_owned(),
            quantity: change.available + change.reserved,
            change,
            after,
            reservation: None,
            replaces: None,
            note: None,
            user: None,
            at,
        });
        self.set(cursor, sku, found, at);
    }

    /// Follows a reservation by an entry.
    fn follow(&mut self, feed: i32, id: &str, change: &Change) {
        let taken = match change.replaces.as_deref().filter(|old| *old != id) {
            Some(old) => self.end_replaced(feed, old, id, change.timestamp),
            None => Lines::new(),
        };
        let begins = change.event == "reserved";
        let row = self.reservations.entry(id.to_owned()).or_default();
        // An id can be used again once it is forgotten.
        if row.as_ref().is_none_or(|row| begins && !row.is_live()) {
            *row = Some(Reservation { feed, created_at: change.timestamp, ..Reservation::default() });
        }
        let Some(row) = row else { return };
        for (sku, units) in taken {
            add(&mut row.held, &sku, units);
        }
        let (sku, units) = (change.sku.as_str(), change.quantity);
        match change.event.as_str() {
            "reserved" | "replaced" => add(&mut row.held, sku, units),
            "committed" => {
                add(&mut row.held, sku, -units);
                add(&mut row.sold, sku, units);
            }
            "committed_late" => {
                add(&mut row.returned, sku, -units);
                add(&mut row.sold, sku, units);
            }
            "rolled_back" | "expired" => {
                add(&mut row.held, sku, -units);
                add(&mut row.returned, sku, units);
            }
            _ => {}
        }
        if row.is_live() {
            "reserved".clone_into(&mut row.state);
            row.resolved_at = None;
        } else {
            let state = if change.event == "committed_late" { "committed" } else { change.event.as_str() };
            state.clone_into(&mut row.state);
            row.resolved_at = Some(change.timestamp);
        }
        self.changes.reservations.insert(id.to_owned());
    }

    /// Ends a reservation that another one replaced, and returns what it held. It need not have been known.
    fn end_replaced(&mut self, feed: i32, old: &str, new: &str, at: i64) -> Lines {
        let row = self.reservations.entry(old.to_owned()).or_default();
        let row = row.get_or_insert_with(|| Reservation { feed, created_at: at, ..Reservation::default() });
        if row.replaced_by.as_deref() == Some(new) {
            return Lines::new();
        }
        "replaced".clone_into(&mut row.state);
        row.replaced_by = Some(new.to_owned());
        row.resolved_at = Some(at);
        self.changes.reservations.insert(old.to_owned());
        std::mem::take(&mut row.held)
    }
}

/// Adds units to a line. A line of which nothing is left disappears.
fn add(lines: &mut Lines, sku: &str, units: i64) {
    let sum = lines.get(sku).copied().unwrap_or_default() + units;
    if sum > 0 {
        lines.insert(sku.to_owned(), sum);
    } else {
        lines.remove(sku);
    }
}

fn attach(row: &mut Reservation, document: Document, json: &str) {
    row.created_at = document.created_at;
    row.expires_at = Some(document.expires_at);
    row.buyer = document.buyer;
    row.data = document.data;
    row.document = Some(json.to_owned());
    if let Some(state) = document.state
        && !row.is_live()
    {
        row.state = state;
        row.resolved_at = document.resolved_at;
        row.replaced_by = document.replaced_by;
    }
}

/// The feed's entry that both histories have in common: whether this entry and this movement are the same.
pub fn is_same(change: &Change, movement: &Movement) -> bool {
    change.event == movement.event
        && change.sku == movement.sku
        && change.quantity == movement.quantity
        && change.after == movement.after
        && change.reservation == movement.reservation
        && change.timestamp == movement.at
}

/// Whether this sku has a row in `stock`: quotas have rows of their own.
pub fn is_stock(sku: &str) -> bool {
    !keys::is_quota(sku)
}

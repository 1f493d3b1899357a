//! A change feed that is being read, and what a reading of it means.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::book::{Cursor, Position, Seen};
use super::entry::{Entry, EntryId, Stream, Units};

/// A change feed, and how far it has been read.
#[derive(Clone, Debug)]
pub struct Feed {
    /// Its number in the tables.
    pub number: i32,
    /// Its key.
    pub key: String,
    /// The number of its history.
    pub epoch: i32,
    /// The replication id of the server in this history.
    pub replication_id: String,
    /// The last entry that was read, and the last movement at it.
    pub position: Position,
    /// The same in the tables.
    pub written: Position,
    /// How many entries were ever appended up to that one. `None` if that is not known.
    pub read: Option<i64>,
    /// How many entries come after it.
    pub behind: i64,
    /// What explains differences until the next complete comparison.
    pub mending: Option<Mending>,
    /// What was seen of the counters and reservations, each with the last entry of the feed at that moment, in order.
    pub looks: VecDeque<(EntryId, Look)>,
    /// When to look for new entries again.
    pub due: Instant,
    /// How long to wait after that.
    pub pause: Duration,
    /// The place of its master.
    pub place: usize,
    /// Something about it is not as it was: it has to be read even if nothing seems new.
    pub is_suspect: bool,
}

/// A difference that has just been noticed, and is not mended yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mending {
    /// The event of the movements that mend it.
    pub event: &'static str,
    /// When it was noticed. A comparison that began later mends it.
    pub since: Instant,
}

/// The first comparison of all.
pub const OPENING: &str = "opening";
/// Entries were removed before they were read.
pub const GAP: &str = "gap";
/// The server has lost entries that were read.
pub const FAILOVER: &str = "failover";
/// Another client has changed a counter.
pub const EXTERNAL: &str = "external";

/// The constant of this name.
pub fn mending_named(event: &str) -> &'static str {
    [OPENING, GAP, FAILOVER].into_iter().find(|name| *name == event).unwrap_or(EXTERNAL)
}

/// Whether an event is one that no entry explains.
pub fn is_unexplained(event: &str) -> bool {
    [OPENING, GAP, FAILOVER, EXTERNAL].contains(&event)
}

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub enum Look {
    /// The counters of a sku; `None` if it does not exist.
    Stock(String, Option<Units>),
    /// The keys of a reservation.
    Reservation(String, Seen),
}

impl Feed {
    /// Where the next movement is written.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            feed: self.number,
            epoch: self.epoch,
            position: self.position,
            unexplained: self.mending.map_or(EXTERNAL, |mending| mending.event),
        }
    }

    /// There was something to read: look again at once.
    pub fn was_busy(&mut self) {
        self.pause = Duration::from_millis(20);
        self.due = Instant::now();
    }

    /// There was nothing to read: wait longer each time.
    pub fn was_idle(&mut self, longest: Duration) {
        self.due = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(longest);
    }
}

/// What a reading of a feed means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// There is no feed yet.
    NoFeed,
    /// The key is another stream than the one that was read before: it was deleted, or the server has lost it.
    Another,
    /// Entries after the position.
    Entries(Batch),
}

/// Entries after the position of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The entries.
    pub entries: Vec<Entry>,
    /// About how many entries were removed before they were read.
    pub lost: i64,
    /// Whether these are all that there are.
    pub is_end: bool,
    /// The feed at this moment.
    pub stream: Stream,
    /// How many entries were ever appended up to the last of these.
    pub read: Option<i64>,
}

/// Judges a reading. `entries` begin at the position itself, and would have been `most` if there were more. `read` is how many
/// entries were ever appended up to the position. Before the first comparison, entries that are gone are no loss.
pub fn judge(
    position: EntryId,
    read: Option<i64>,
    is_opening: bool,
    stream: Option<Stream>,
    mut entries: Vec<Entry>,
    most: usize,
) -> Reading {
    let Some(stream) = stream else {
        return if position == EntryId::ZERO { Reading::NoFeed } else { Reading::Another };
    };
    let is_end = entries.len() < most;
    let is_start = position == EntryId::ZERO;
    let has_own = entries.first().is_some_and(|entry| entry.id == position);
    if has_own {
        entries.remove(0);
    }
    if !is_start && (stream.last < position || read.is_some_and(|read| stream.added < read)) {
        return Reading::Another;
    }
    let mut lost = match read {
        _ if has_own || is_opening => 0,
        // The entry at the position is gone, so all before it must be.
        Some(read) if !is_start && stream.removed() < read => return Reading::Another,
        Some(read) => stream.removed() - read,
        None => 1,
    };
    // XDEL removes entries anywhere.
    if !is_opening && stream.deleted > position {
        lost = lost.max(1);
    }
    let number = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let read = if is_end { Some(stream.added) } else { read.map(|read| read + lost + number) };
    Reading::Entries(Batch { entries, lost, is_end, stream, read })
}

#[cfg(test)]
mod tests {
    use super::{Reading, judge};
    use crate::mirror::entry::{Entry, EntryId, Stream};

    fn id(ms: i64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn entries(ids: &[i64]) -> Vec<Entry> {
        ids.iter().map(|ms| Entry { id: id(*ms), change: None }).collect()
    }

    /// A stream of which `removed` entries are gone.
    fn stream(added: i64, removed: i64, last: i64) -> Option<Stream> {
        Some(Stream { length: added - removed, added, last: id(last), deleted: EntryId::ZERO })
    }

    /// The number of lost entries, and the number that is read afterwards; `None` for another stream.
    fn lost(
        position: i64,
        read: Option<i64>,
        stream: Option<Stream>,
        found: &[i64],
    ) -> Option<(i64, Option<i64>)> {
        match judge(id(position), read, false, stream, entries(found), 4) {
            Reading::Entries(batch) => Some((batch.lost, batch.read)),
            Reading::Another => None,
            Reading::NoFeed => panic!("there is a feed"),
        }
    }

    #[test]
    fn entries_that_were_removed_before_they_were_read_are_noticed() {
        // Nothing is removed.
        assert_eq!(lost(5, Some(5), stream(7, 0, 7), &[5, 6, 7]), Some((0, Some(7))));
        // There are more.
        assert_eq!(lost(5, Some(5), stream(9, 0, 9), &[5, 6, 7, 8]), Some((0, Some(8))));
        // All that was read is removed, and nothing else.
        assert_eq!(lost(5, Some(5), stream(7, 5, 7), &[6, 7]), Some((0, Some(7))));
        // One more is removed.
        assert_eq!(lost(5, Some(5), stream(7, 6, 7), &[7]), Some((1, Some(7))));
        assert_eq!(lost(5, Some(5), stream(20, 10, 20), &[11, 12, 13, 14]), Some((5, Some(14))));
        // Everything is removed.
        assert_eq!(lost(5, Some(5), stream(7, 7, 7), &[]), Some((2, Some(7))));
        // The beginning of a feed.
        assert_eq!(lost(0, Some(0), stream(3, 0, 3), &[1, 2, 3]), Some((0, Some(3))));
        assert_eq!(lost(0, Some(0), stream(3, 2, 3), &[3]), Some((2, Some(3))));
        let opening = judge(EntryId::ZERO, Some(0), true, stream(3, 2, 3), entries(&[3]), 4);
        assert!(matches!(opening, Reading::Entries(batch) if batch.lost == 0));
        // XDEL.
        let deleted = stream(7, 1, 7).map(|stream| Stream { deleted: id(6), ..stream });
        assert_eq!(lost(5, Some(5), deleted, &[5, 7]), Some((1, Some(7))));
    }

    #[test]
    fn another_stream_under_the_same_key_is_noticed() {
        // It has fewer entries, or older ones, or lacks what it must have.
        assert_eq!(lost(50, Some(5), stream(3, 0, 60), &[58, 59, 60]), None);
        assert_eq!(lost(50, Some(5), stream(9, 0, 40), &[]), None);
        assert_eq!(lost(50, Some(5), stream(9, 0, 60), &[57, 58, 59, 60]), None);
        assert_eq!(judge(id(5), Some(5), false, None, vec![], 4), Reading::Another);
        assert_eq!(judge(EntryId::ZERO, Some(0), false, None, vec![], 4), Reading::NoFeed);
    }

    #[test]
    fn after_a_failover_the_count_is_known_again_at_the_end() {
        assert_eq!(lost(5, None, stream(9, 2, 9), &[5, 6, 7, 8]), Some((0, None)));
        assert_eq!(lost(8, None, stream(9, 2, 9), &[8, 9]), Some((0, Some(9))));
        assert_eq!(lost(5, None, stream(9, 7, 9), &[8, 9]), Some((1, Some(9))));
    }
}

//! Reads the feeds, and writes what they say.

use std::collections::HashSet;
use std::time::Instant;

use serde_json::json;

use super::book::Position;
use super::entry::{Entry, EntryId, Stream};
use super::feed::{Batch, Feed, GAP, Look, Mending, Reading, judge};
use super::report::Report;
use super::session::Session;
use super::source::{self, Wanted};
use super::wire::trouble;
use super::writer;
use crate::document::Document;
use crate::failure::Failure;
use crate::keys::{AVAILABLE, OUTCOME, RESERVATION, RESERVED};
use crate::tables::feeds::Advance;
use crate::tables::{failed, rows};

/// So many feeds of a master are read at a time.
const MOST_FEEDS: usize = 500;

/// So many entries of a feed are read at a time, if there are several.
const MOST_OF_EACH: usize = 500;

impl Session<'_> {
    /// Reads the feeds that are due, and writes what they say. Returns whether there was anything.
    pub(super) fn read(&mut self, report: &mut Report) -> Result<bool, Failure> {
        let mut is_busy = false;
        for place in 0..self.masters.nodes().len() {
            let due = self.due(place)?;
            if due.is_empty() {
                continue;
            }
            let most = if self.feeds.len() == 1 {
                self.options.batch()
            } else {
                MOST_OF_EACH.min(self.options.batch())
            };
            let wanted: Vec<Wanted<'_>> =
                due.iter().filter_map(|at| self.feeds.get(*at)).map(wanted).collect();
            let Some(node) = self.masters.nodes().get_mut(place) else { continue };
            let name = node.name();
            let answers =
                source::read_feeds(node, &wanted, most + 1).map_err(|error| trouble(&name, &error))?;
            if !answers.is_master {
                return Err(Failure::connection(format!(
                    "{name} is a replica, and the mirror reads a master"
                )));
            }
            // Another history has begun in between.
            let Some(replication_id) = answers.replication_id else { return Ok(true) };
            let mut of_another_history = Vec::new();
            for (at, answer) in due.into_iter().zip(answers.each) {
                match answer {
                    Ok((_, entries)) if self.is_of_another_history(at, &replication_id) => {
                        of_another_history.push((at, entries.into_iter().next()));
                    }
                    Ok((stream, entries)) => {
                        is_busy |= self.take(at, stream, entries, most + 1, report)?;
                    }
                    Err(error) => self.soften(&name, &error)?,
                }
            }
            self.read_documents(place)?;
            self.write(report)?;
            if !of_another_history.is_empty() {
                is_busy = true;
                self.begin_epochs(place, &replication_id, of_another_history, report)?;
            }
        }
        Ok(is_busy)
    }

    /// The feeds of a master that are to be read now.
    fn due(&mut self, place: usize) -> Result<Vec<usize>, Failure> {
        let now = Instant::now();
        let is_due = |feed: &Feed| feed.place == place && (feed.due <= now || !feed.looks.is_empty());
        let due = self.feeds.iter().enumerate().filter(|(_, feed)| is_due(feed)).map(|(at, _)| at);
        let due: Vec<usize> = due.take(MOST_FEEDS).collect();
        if self.feeds.len() == 1 || due.is_empty() {
            return Ok(due);
        }
        // Most of many feeds have nothing new, and are not read.
        let asked: Vec<Wanted<'_>> = due.iter().filter_map(|at| self.feeds.get(*at)).map(wanted).collect();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(Vec::new()) };
        let have_more = source::have_more(node, &asked).map_err(|error| trouble(&node.name(), &error))?;
        let longest = self.longest_pause();
        let mut active = Vec::new();
        for (at, has_more) in due.into_iter().zip(have_more) {
            let Some(feed) = self.feeds.get_mut(at) else { continue };
            if has_more || feed.is_suspect || !feed.looks.is_empty() {
                active.push(at);
            } else {
                feed.was_idle(longest);
            }
        }
        Ok(active)
    }

    fn is_of_another_history(&self, at: usize, replication_id: &str) -> bool {
        self.feeds.get(at).is_some_and(|feed| feed.replication_id != replication_id)
    }

    /// Takes in a reading of a feed. Returns whether there was anything.
    fn take(
        &mut self,
        at: usize,
        stream: Option<Stream>,
        entries: Vec<Entry>,
        most: usize,
        report: &mut Report,
    ) -> Result<bool, Failure> {
        let (is_opening, longest) = (!self.is_open, self.longest_pause());
        let Some(feed) = self.feeds.get_mut(at) else { return Ok(false) };
        feed.is_suspect = false;
        match judge(feed.position.entry, feed.read, is_opening, stream, entries, most) {
            Reading::NoFeed => {
                feed.was_idle(longest);
                self.enter(at, &Batch::nothing())?;
                Ok(false)
            }
            Reading::Another => {
                let replication_id = feed.replication_id.clone();
                self.begin_epoch(at, &replication_id, "the feed begins anew", report)?;
                Ok(true)
            }
            Reading::Entries(batch) => {
                let is_busy = !batch.entries.is_empty();
                if is_busy {
                    feed.was_busy();
                } else {
                    feed.was_idle(longest);
                }
                if batch.lost > 0 {
                    feed.mending = Some(Mending { event: GAP, since: Instant::now() });
                    self.gaps.push((at, feed.position.entry, batch.lost));
                    let (key, after, lost) = (&feed.key, feed.position.entry, batch.lost);
                    let text = format!(
                        "GAP {key}: about {lost} entries after {after} were removed before they were read; the tables are mended \
                         from the counters. A longer inv.feed-maxlen leaves more time"
                    );
                    report.lost += u64::try_from(lost).unwrap_or_default();
                    report.tell(
                        "gap",
                        &text,
                        json!({ "feed": key, "after": after.to_string(), "entries": lost }),
                    )?;
                    self.next_complete_walk = Instant::now();
                }
                self.enter(at, &batch)?;
                Ok(is_busy)
            }
        }
    }

    /// Enters a batch, and what was seen meanwhile, in order.
    fn enter(&mut self, at: usize, batch: &Batch) -> Result<(), Failure> {
        let Some(feed) = self.feeds.get_mut(at) else { return Ok(()) };
        // Up to here everything is known.
        let end = match batch.entries.last() {
            _ if batch.is_end => batch.stream.last.max(feed.position.entry),
            Some(last) => last.id,
            None => feed.position.entry,
        };
        let changes = || batch.entries.iter().filter_map(|entry| entry.change.as_ref());
        let looks = || feed.looks.iter().take_while(|(last, _)| *last <= end).map(|(_, look)| look);
        let of_looks = looks().filter_map(|look| match look {
            Look::Stock(sku, _) => Some(sku.as_str()),
            Look::Reservation(..) => None,
        });
        let ids_of_looks = looks().filter_map(|look| match look {
            Look::Reservation(id, _) => Some(id.as_str()),
            Look::Stock(..) => None,
        });
        let skus = self.book.unknown_skus(changes().map(|change| change.sku.as_str()).chain(of_looks));
        let ids: HashSet<String> = self.book.unknown_reservations(changes()).into_iter().collect();
        let ids: Vec<String> = ids.into_iter().chain(self.book.unknown_among(ids_of_looks)).collect();
        let client = &mut self.tables.client;
        if !skus.is_empty() {
            let found = rows::stock(client, &skus).map_err(|error| failed(&error))?;
            self.book.learn_stock(skus, found.into_iter());
        }
        if !ids.is_empty() {
            let found = rows::reservations(client, &ids).map_err(|error| failed(&error))?;
            self.book.learn_reservations(ids, found.into_iter());
        }

        let mut cursor = feed.cursor();
        let mut look_until =
            |cursor: &mut _, limit: &dyn Fn(EntryId) -> bool, book: &mut super::book::Book| {
                while feed.looks.front().is_some_and(|(last, _)| limit(*last)) {
                    let Some((_, look)) = feed.looks.pop_front() else { break };
                    apply(book, cursor, &look);
                }
            };
        for entry in &batch.entries {
            look_until(&mut cursor, &|last| last < entry.id, &mut self.book);
            self.book.enter(&mut cursor, entry);
        }
        if cursor.position.entry < end {
            cursor.position = Position::after(end);
        }
        look_until(&mut cursor, &|last| last <= end, &mut self.book);
        if batch.read.is_some() || !batch.entries.is_empty() {
            feed.read = batch.read;
            feed.behind = batch.read.map_or(0, |read| batch.stream.added - read);
        }
        if feed.position != cursor.position {
            feed.position = cursor.position;
            self.to_show.insert(at);
        }
        self.dirty.insert(at);
        Ok(())
    }

    /// Asks the server what the feed does not tell of the reservations that have changed: deadline, buyer, text.
    fn read_documents(&mut self, place: usize) -> Result<(), Failure> {
        let ids: Vec<String> = self.book.changed_reservations().iter().cloned().collect();
        let style = self.style;
        let key = |id: &String| style.of_id(if self.book.is_live(id) { RESERVATION } else { OUTCOME }, id);
        let keys: Vec<String> = ids.iter().map(key).collect();
        let Some(values) = self.values(place, &keys)? else { return Ok(()) };
        let mut found: Vec<(String, Option<String>)> = ids.into_iter().zip(values).collect();
        // It has ended after these entries.
        let ended: Vec<usize> = found
            .iter()
            .enumerate()
            .filter(|(_, (id, json))| json.is_none() && self.book.is_live(id))
            .map(|(at, _)| at)
            .collect();
        let keys: Vec<String> =
            ended.iter().filter_map(|at| found.get(*at)).map(|(id, _)| style.of_id(OUTCOME, id)).collect();
        let Some(outcomes) = self.values(place, &keys)? else { return Ok(()) };
        for (at, outcome) in ended.into_iter().zip(outcomes) {
            if let Some(pair) = found.get_mut(at) {
                pair.1 = outcome;
            }
        }
        let mut quotas = HashSet::new();
        for (id, json) in &found {
            let Some(json) = json else { continue };
            self.book.attach(id, json);
            if json.contains("\"quota\":") {
                quotas.extend(Document::read(id, json).iter().flat_map(Document::quotas));
            }
        }
        if quotas.is_empty() {
            return Ok(());
        }
        let quotas: Vec<String> = quotas.into_iter().collect();
        let keys: Vec<String> = quotas
            .iter()
            .flat_map(|sku| [AVAILABLE, RESERVED].map(|prefix| style.of_sku(prefix, sku)))
            .collect();
        let Some(counters) = self.values(place, &keys)? else { return Ok(()) };
        let units = counters.chunks(2).map(|pair| match pair {
            [available, reserved] => source::units(available.as_deref(), reserved.as_deref()).0,
            _ => None,
        });
        self.quotas.extend(quotas.into_iter().zip(units));
        Ok(())
    }

    /// Begins to write everything that has changed, in one transaction with the positions of the feeds. Waits until what came before
    /// is written.
    pub(super) fn write(&mut self, report: &mut Report) -> Result<(), Failure> {
        self.settle(report)?;
        let changes = self.book.take_changes();
        let dirty = std::mem::take(&mut self.dirty);
        let feeds: Vec<&mut Feed> = self
            .feeds
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| dirty.contains(at))
            .map(|(_, feed)| feed)
            .collect();
        let advances: Vec<Advance> = feeds.iter().map(|feed| advance_of(feed)).collect();
        let is_idle = advances.iter().all(|advance| advance.from == advance.to)
            && changes.movements.is_empty()
            && changes.stock.is_empty()
            && changes.reservations.is_empty()
            && self.gaps.is_empty()
            && self.quotas.is_empty();
        if is_idle {
            return Ok(());
        }
        for feed in feeds {
            feed.written = feed.position;
        }
        let gaps = std::mem::take(&mut self.gaps).into_iter();
        let gaps = gaps.filter_map(|(at, after, entries)| {
            let feed = self.feeds.get(at)?;
            Some((feed.number, feed.epoch, after, entries))
        });
        self.writer.begin(writer::Batch {
            reservations: self.book.rows_of(&changes.reservations),
            quotas: std::mem::take(&mut self.quotas),
            advances,
            gaps: gaps.collect(),
            changes,
        })
    }

    /// Waits until everything is written that [`Session::write`] was called for. Only then the tables say what the book says.
    pub(super) fn settle(&mut self, report: &mut Report) -> Result<(), Failure> {
        if let Some(changes) = self.writer.wait()? {
            self.book.forget(&changes.reservations);
            report.wrote(&changes.movements);
        }
        Ok(())
    }
}

impl Batch {
    /// There is no feed.
    fn nothing() -> Self {
        let stream = Stream::default();
        Self { entries: Vec::new(), lost: 0, is_end: true, stream, read: Some(0) }
    }
}

fn wanted(feed: &Feed) -> Wanted<'_> {
    Wanted { key: &feed.key, from: feed.position.entry }
}

fn advance_of(feed: &Feed) -> Advance {
    Advance {
        feed: feed.number,
        epoch: feed.epoch,
        from: feed.written,
        to: feed.position,
        read: feed.read,
        behind: feed.behind,
        mending: feed.mending.map(|mending| mending.event),
    }
}

/// Enters what was seen.
pub(super) fn apply(book: &mut super::book::Book, cursor: &mut super::book::Cursor, look: &Look) {
    let at = super::now_ms();
    match look {
        Look::Stock(sku, units) => book.look(cursor, sku, *units, at),
        Look::Reservation(id, seen) => book.look_at_reservation(cursor, id, seen, at),
    }
}

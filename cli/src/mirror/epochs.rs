//! Begins new histories of feeds: after a failover, a restart, or the loss of a feed.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use serde_json::json;

use super::book::{Position, is_same};
use super::entry::{Entry, EntryId};
use super::feed::{FAILOVER, Feed, GAP, Mending, OPENING};
use super::fork;
use super::report::Report;
use super::session::Session;
use super::source;
use super::wire::trouble;
use crate::failure::Failure;
use crate::keys::{AVAILABLE, RESERVED};
use crate::tables::{failed, feeds, rows};

impl Session<'_> {
    /// Begins new histories of feeds that a server with another replication id has. Each comes with its first entry from its position
    /// on. If that is the one that the tables know, nothing was lost: of many feeds, most are like this, and are written at once.
    pub(super) fn begin_epochs(
        &mut self,
        place: usize,
        replication_id: &str,
        found: Vec<(usize, Option<Entry>)>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        const WHY: &str = "another replication id";
        self.settle(report)?;
        let places: Vec<(i32, EntryId)> = found
            .iter()
            .filter_map(|(at, _)| self.feeds.get(*at))
            .map(|feed| (feed.number, feed.position.entry))
            .collect();
        let known = rows::movements_of(&mut self.tables.client, &places).map_err(|error| failed(&error))?;
        let known: HashMap<i32, _> = known.into_iter().map(|movement| (movement.feed, movement)).collect();
        let (mut whole, mut others) = (Vec::new(), Vec::new());
        for (at, entry) in found {
            let Some(feed) = self.feeds.get(at) else { continue };
            let change = entry.filter(|entry| entry.id == feed.position.entry).and_then(|entry| entry.change);
            let is_known =
                change.zip(known.get(&feed.number)).is_some_and(|(change, known)| is_same(&change, known));
            if is_known {
                whole.push(at)
            } else {
                others.push(at)
            };
        }
        // One is told of as such, many only by their number.
        if whole.len() == 1 {
            others.append(&mut whole);
        }
        if !whole.is_empty() {
            let numbers: Vec<i32> =
                whole.iter().filter_map(|at| self.feeds.get(*at)).map(|feed| feed.number).collect();
            feeds::begin_whole_epochs(&mut self.tables.client, &numbers, replication_id, WHY)
                .map_err(|error| failed(&error))?;
            for at in &whole {
                let Some(feed) = self.feeds.get_mut(*at) else { continue };
                feed.epoch += 1;
                replication_id.clone_into(&mut feed.replication_id);
                feed.looks.clear();
                feed.was_busy();
            }
            let name =
                self.masters.nodes().get(place).map(crate::server::node::Node::name).unwrap_or_default();
            let text = format!("EPOCH new ones of {} feeds on {name}, {WHY}: nothing was lost", whole.len());
            report.tell("epochs", &text, json!({ "feeds": whole.len(), "why": WHY, "lost": 0 }))?;
        }
        for at in others {
            self.begin_epoch(at, replication_id, WHY, report)?;
        }
        Ok(())
    }

    /// Begins a new history of a feed: finds the last entry that the server has in common with the tables, and goes on after it.
    pub(super) fn begin_epoch(
        &mut self,
        at: usize,
        replication_id: &str,
        why: &str,
        report: &mut Report,
    ) -> Result<(), Failure> {
        // What was read before belongs to the history before.
        self.write(report)?;
        self.settle(report)?;
        let Some(feed) = self.feeds.get(at).cloned() else { return Ok(()) };
        let Some(node) = self.masters.nodes().get_mut(feed.place) else { return Ok(()) };
        let name = node.name();
        let found = fork::find(node, &mut self.tables, &feed)?;
        let is_begun = feed.position.entry != EntryId::ZERO;
        if found.is_none() && !self.accepts_loss {
            self.check_that_stock_is_there(feed.place)?;
        }
        let mut begun = Feed {
            epoch: feed.epoch + 1,
            replication_id: replication_id.to_owned(),
            position: Position::after(found.unwrap_or_default()),
            written: Position::after(found.unwrap_or_default()),
            read: if found.is_some() { None } else { Some(0) },
            looks: VecDeque::new(),
            ..feed.clone()
        };
        let event = match (is_begun, found) {
            (false, _) if self.is_open => FAILOVER,
            (false, _) => feed.mending.map_or(OPENING, |mending| mending.event),
            (true, None) => GAP,
            (true, Some(_)) => FAILOVER,
        };
        let mending = Mending { event, since: Instant::now() };
        let lost = feeds::begin_epoch(&mut self.tables.client, &mut begun, why, found, mending)
            .map_err(|error| failed(&error))?;
        if let Some(old) = self.feeds.get_mut(at) {
            begun.was_busy();
            *old = begun;
        }
        report.lost += u64::try_from(lost).unwrap_or_default();
        if is_begun {
            let after = found.map_or_else(|| "none".to_owned(), |entry| entry.to_string());
            let lost_text = match (found, lost) {
                (None, _) => {
                    "it has no entry in common with the tables, which are compared with the counters"
                        .to_owned()
                }
                (Some(_), 0) => "nothing was lost".to_owned(),
                (Some(_), lost) => format!(
                    "the server has lost {lost} movements (column lost_in); the tables are mended from the counters"
                ),
            };
            let text = format!("EPOCH {} of {} on {name}, {why}: {lost_text}", feed.epoch + 1, feed.key);
            let fields = json!({
                "feed": feed.key, "epoch": feed.epoch + 1, "why": why, "after": after, "lost": lost,
            });
            report.tell("epoch", &text, fields)?;
            self.next_complete_walk = Instant::now();
        }
        Ok(())
    }

    /// Stops before the tables follow a server that has lost everything: they may be all that is left.
    fn check_that_stock_is_there(&mut self, place: usize) -> Result<(), Failure> {
        let mut sample = feeds::sample(&mut self.tables.client, 500).map_err(|error| failed(&error))?;
        sample.retain(|sku| self.masters.place_of(&self.style.feed_of(sku)).is_ok_and(|of| of == place));
        let keys: Vec<String> = sample
            .iter()
            .flat_map(|sku| [AVAILABLE, RESERVED].map(|prefix| self.style.of_sku(prefix, sku)))
            .collect();
        let is_cluster = self.masters.is_cluster();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
        let name = node.name();
        let found = source::values(node, &keys, is_cluster).map_err(|error| trouble(&name, &error))?;
        let known = found.chunks(2).filter(|pair| pair.iter().any(Option::is_some)).count();
        if known * 2 >= sample.len() {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "LOST {name} has lost its data: of {} products in the tables it knows {known}. Nothing was written. Restore the server \
             with inv rebuild, or from its own backup; or let the tables follow it with inv rebuild --to tables",
            sample.len()
        )))
    }
}

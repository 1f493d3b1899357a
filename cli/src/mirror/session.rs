//! A session: one connection to the tables, one to each master, and what is known of both. An error of either ends it; everything
//! that matters is in the tables, so the next one goes on where this one has written.

use std::collections::{BTreeSet, HashMap};
use std::thread;
use std::time::{Duration, Instant};

use redis::{RedisError, cmd};

use super::Options;
use super::book::Book;
use super::entry::{EntryId, Units};
use super::feed::Feed;
use super::report::Report;
use super::source::{self, Wanted};
use super::walk::Walk;
use super::wire::{fields, text, trouble};
use super::writer::Writer;
use crate::failure::Failure;
use crate::keys::FEED;
use crate::server::masters::Masters;
use crate::server::style::Style;
use crate::tables::{State, Tables, failed, feeds};

/// Everything that is known while the mirror works.
pub struct Session<'a> {
    pub(super) options: &'a Options,
    pub(super) tables: Tables,
    pub(super) writer: Writer,
    pub(super) masters: Masters,
    pub(super) style: Style,
    /// Whether the tables have equalled the counters once.
    pub(super) is_open: bool,
    pub(super) book: Book,
    pub(super) feeds: Vec<Feed>,
    /// The places in `feeds` by key.
    pub(super) by_key: HashMap<String, usize>,
    /// The places of the feeds whose rows have to be written.
    pub(super) dirty: BTreeSet<usize>,
    /// Gaps that have to be written: the place of the feed, the entry before it, and about how many entries are gone.
    pub(super) gaps: Vec<(usize, EntryId, i64)>,
    /// Quotas that have to be written.
    pub(super) quotas: Vec<(String, Option<Units>)>,
    pub(super) walk: Option<Walk>,
    /// When it began, or the one before.
    pub(super) walk_began: Instant,
    pub(super) next_page: Instant,
    pub(super) next_walk: Instant,
    pub(super) next_complete_walk: Instant,
    /// Whether a complete comparison has ended in this session.
    pub(super) has_compared: bool,
    /// A server said that slots have moved.
    pub(super) masters_changed: bool,
    /// The feeds whose consumer group has to be moved.
    pub(super) to_show: BTreeSet<usize>,
    pub(super) shown: Instant,
    pub(super) cannot_show: bool,
    pub(super) is_feed_off: bool,
    /// The tables follow the server even if it has lost everything.
    pub(super) accepts_loss: bool,
}

impl<'a> Session<'a> {
    /// Begins to work with tables that are locked, and servers that are connected.
    pub fn begin(options: &'a Options, mut tables: Tables, mut masters: Masters) -> Result<Self, Failure> {
        let style = style_of(&mut masters);
        check_feed(&mut masters)?;
        let state = match tables.state()? {
            Some(state) => state,
            None => {
                tables.create(style)?;
                State { style, is_open: false, is_rebuilding: false }
            }
        };
        if state.is_rebuilding {
            return Err(Failure::refused(format!(
                "an inv rebuild from schema {} was begun and has not ended: run it again, and start the mirror after it",
                tables.schema()
            )));
        }
        if state.style != style {
            return Err(Failure::usage(format!(
                "schema {} is of a server with {} keys, and {} has {} keys: use another --schema",
                tables.schema(),
                state.style.word(),
                masters.name(),
                style.word()
            )));
        }
        let found = feeds::load(&mut tables.client).map_err(|error| failed(&error))?;
        let now = Instant::now();
        let mut session = Self {
            options,
            writer: Writer::start(tables.connect_again()?),
            tables,
            masters,
            style,
            is_open: state.is_open,
            book: Book::default(),
            feeds: Vec::new(),
            by_key: HashMap::new(),
            dirty: BTreeSet::new(),
            gaps: Vec::new(),
            quotas: Vec::new(),
            walk: None,
            walk_began: now,
            next_page: now,
            next_walk: now,
            next_complete_walk: now,
            has_compared: false,
            masters_changed: false,
            to_show: BTreeSet::new(),
            shown: now,
            cannot_show: !options.shows_lag(),
            is_feed_off: false,
            accepts_loss: false,
        };
        session.enter_feeds(found)?;
        if style == Style::Plain && session.feeds.is_empty() {
            session.add_feeds(0, &[FEED.to_owned()])?;
        }
        Ok(session)
    }

    /// Works until an error, or with `--once` until the tables equal the counters.
    pub fn work(&mut self, report: &mut Report) -> Result<(), Failure> {
        loop {
            let is_busy = self.read(report)?;
            self.go_on_walking(report, is_busy)?;
            self.show_lag(report, false)?;
            report.progress(self.behind())?;
            if self.options.once && self.is_mended() {
                self.settle(report)?;
                self.show_lag(report, true)?;
                return report.summary(self.behind());
            }
            if self.masters_changed {
                self.find_masters()?;
            } else if !is_busy {
                self.settle(report)?;
                self.wait()?;
            }
        }
    }

    /// Whether everything has been compared, and nothing is left to mend.
    fn is_mended(&self) -> bool {
        self.has_compared && self.feeds.iter().all(|feed| feed.mending.is_none())
    }

    /// How many entries have not been read yet.
    fn behind(&self) -> i64 {
        self.feeds.iter().map(|feed| feed.behind).sum()
    }

    /// Waits until there may be something to do.
    fn wait(&mut self) -> Result<(), Failure> {
        const LONGEST: Duration = Duration::from_millis(500);
        let now = Instant::now();
        let next_page = if self.walk.is_some() { self.next_page } else { self.next_walk };
        let next = self.feeds.iter().map(|feed| feed.due).min().unwrap_or(next_page).min(next_page);
        let pause = next.saturating_duration_since(now).min(LONGEST);
        if pause.is_zero() {
            return Ok(());
        }
        let [feed] = self.feeds.as_mut_slice() else {
            thread::sleep(pause);
            return Ok(());
        };
        // A server tells at once when its only feed grows.
        let Some(node) = self.masters.nodes().get_mut(feed.place) else { return Ok(()) };
        let wanted = Wanted { key: &feed.key, from: feed.position.entry };
        let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        match source::wait_for_more(node, &wanted, ms) {
            Ok(true) => feed.was_busy(),
            Ok(false) => {}
            Err(error) => {
                let name = node.name();
                self.soften(&name, &error)?;
            }
        }
        Ok(())
    }

    /// An error of one feed or of one page. What passes by itself is tried again; anything else ends the session.
    pub(super) fn soften(&mut self, node: &str, error: &RedisError) -> Result<(), Failure> {
        match error.code() {
            Some("MOVED" | "ASK" | "CLUSTERDOWN") => self.masters_changed = true,
            Some("TRYAGAIN") => {}
            _ => return Err(trouble(node, error)),
        }
        self.next_page = Instant::now() + Duration::from_millis(200);
        Ok(())
    }

    /// Finds the masters of the cluster again. The walk begins anew, because keys may have moved from masters that it has not visited
    /// to masters that it has.
    fn find_masters(&mut self) -> Result<(), Failure> {
        thread::sleep(Duration::from_millis(100));
        self.masters.find_again()?;
        self.masters_changed = false;
        self.walk = None;
        self.place_feeds()
    }

    /// Enters feeds of which nothing has been read, on the master at this place.
    pub(super) fn add_feeds(&mut self, place: usize, keys: &[String]) -> Result<(), Failure> {
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
        let id = source::replication_id(node).map_err(|error| trouble(&node.name(), &error))?;
        let mut added = feeds::add(&mut self.tables.client, keys, &id).map_err(|error| failed(&error))?;
        // This walk compares them as well.
        for mending in added.iter_mut().filter_map(|feed| feed.mending.as_mut()) {
            mending.since = self.walk_began;
        }
        self.enter_feeds(added)
    }

    fn enter_feeds(&mut self, feeds: Vec<Feed>) -> Result<(), Failure> {
        for feed in feeds {
            self.by_key.insert(feed.key.clone(), self.feeds.len());
            self.feeds.push(feed);
        }
        self.place_feeds()
    }

    fn place_feeds(&mut self) -> Result<(), Failure> {
        for feed in &mut self.feeds {
            feed.place = self.masters.place_of(&feed.key)?;
        }
        Ok(())
    }

    /// The longest time between two looks at a feed that does not change. Many feeds are looked at more rarely, so that this costs a
    /// server little.
    pub(super) fn longest_pause(&self) -> Duration {
        const LOOKS_A_SECOND: u32 = 5000;
        let feeds = u32::try_from(self.feeds.len()).unwrap_or(u32::MAX);
        (Duration::from_secs(1) * feeds / LOOKS_A_SECOND)
            .clamp(Duration::from_secs(1), Duration::from_secs(30))
    }
}

/// How these servers name their keys.
pub(crate) fn style_of(masters: &mut Masters) -> Style {
    if masters.is_cluster() {
        return Style::Tagged;
    }
    masters.nodes().first_mut().map_or(Style::Plain, Style::of)
}

/// Checks that the module is loaded and the feed is on, as far as the user may see that.
pub(super) fn check_feed(masters: &mut Masters) -> Result<(), Failure> {
    for node in masters.nodes() {
        let name = node.name();
        let length = match node.ask(cmd("CONFIG").arg("GET").arg("inv.feed-maxlen")) {
            Ok(answer) => fields(answer).pop().and_then(|(_, value)| text(value)),
            Err(error) if error.code() == Some("NOPERM") => continue,
            Err(error) => return Err(trouble(&name, &error)),
        };
        match length.as_deref() {
            Some("0") => {
                return Err(Failure::refused(format!(
                    "the change feed of {name} is off: CONFIG SET inv.feed-maxlen 1000000 turns it on, and CONFIG REWRITE keeps it. \
                     docs/mirror.md says how long it should be"
                )));
            }
            Some(_) => {}
            None => {
                return Err(Failure::refused(format!(
                    "{name} has no parameter inv.feed-maxlen: the module is not loaded. MODULE LIST shows it"
                )));
            }
        }
    }
    Ok(())
}

//! Goes through the pages of a walk: looks at counters, reservations and settings, and compares.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

use redis::{Cmd, Value, cmd};

use super::entry::EntryId;
use super::feed::{Look, OPENING};
use super::reading::apply;
use super::report::Report;
use super::session::{Session, check_feed};
use super::source::{self, Answers};
use super::walk::{Page, Walk};
use super::wire::{text, trouble};
use crate::document::Document;
use crate::failure::{Exit, Failure};
use crate::keys::{
    AVAILABLE, FLOOR, LIMIT, OUTCOME, RESERVATION, RESERVED, THRESHOLD, WAREHOUSES, is_quota, product_of,
    warehouse_of,
};
use crate::mirror::book::Seen;
use crate::tables::settings::{self, Setting};
use crate::tables::{failed, feeds};

/// How often the reservations are compared, at least: INV.EXTEND makes no entry in the feed.
const RESERVATIONS_EVERY: Duration = Duration::from_secs(5);

/// A page takes at most this part of the time.
const PART_OF_TIME: u32 = 5;

/// So many keys are read at one moment.
const MOST_AT_ONCE: usize = 500;

impl Session<'_> {
    /// Looks at the next page of the walk, if it is time.
    pub(super) fn go_on_walking(&mut self, report: &mut Report, is_busy: bool) -> Result<(), Failure> {
        let now = Instant::now();
        let is_urgent = |event| event != OPENING;
        let is_mending = !self.is_open
            || self.feeds.iter().any(|feed| feed.mending.is_some_and(|mending| is_urgent(mending.event)));
        let every = Duration::from_secs(self.options.compare);
        if self.walk.is_none() {
            let masters = self.masters.nodes().len();
            if now >= self.next_complete_walk || is_mending {
                self.check_feed_again(report)?;
                self.walk = Some(Walk::complete(masters));
                self.next_complete_walk = now + every;
            } else if now >= self.next_walk {
                self.walk = Some(Walk::reservations(masters));
            } else {
                return Ok(());
            }
            self.walk_began = now;
            self.next_walk = now + RESERVATIONS_EVERY.min(every);
            self.next_page = now;
        }
        if now < self.next_page {
            return Ok(());
        }
        // A page of names is read from the tables.
        self.settle(report)?;
        let Some(mut walk) = self.walk.take() else { return Ok(()) };
        if walk.page == Page::End {
            if self.feeds.iter().any(|feed| !feed.looks.is_empty()) {
                self.walk = Some(walk);
                return Ok(());
            }
            return self.end_walk(&walk, report);
        }
        let page = walk.page.clone();
        self.look_at_page(&mut walk, page)?;
        self.walk.get_or_insert(walk);
        // Those feeds that had been read as far as the page are written at once.
        self.write(report)?;
        let is_urgent = (is_mending || self.options.once) && !is_busy;
        let pause = if is_urgent { Duration::ZERO } else { now.elapsed() * PART_OF_TIME };
        self.next_page = self.next_page.max(Instant::now() + pause);
        Ok(())
    }

    /// The feed may have been turned off meanwhile. The comparison then still finds what changes.
    fn check_feed_again(&mut self, report: &mut Report) -> Result<(), Failure> {
        match check_feed(&mut self.masters) {
            Err(failure) if failure.exit == Exit::Refused => {
                if !self.is_feed_off {
                    let text = format!("{}. Until then, changes are external", failure.text);
                    report.tell("feed_off", &text, serde_json::json!({ "text": failure.text }))?;
                }
                self.is_feed_off = true;
                Ok(())
            }
            checked => {
                self.is_feed_off = false;
                checked
            }
        }
    }

    fn end_walk(&mut self, walk: &Walk, report: &mut Report) -> Result<(), Failure> {
        if !walk.is_complete {
            return Ok(());
        }
        let mended =
            |feed: &&mut super::feed::Feed| feed.mending.is_some_and(|mending| mending.since <= walk.began);
        let (mut numbers, mut was_urgent) = (Vec::new(), false);
        for feed in self.feeds.iter_mut().filter(mended) {
            was_urgent |= feed.mending.take().is_some_and(|mending| mending.event != OPENING);
            numbers.push(feed.number);
        }
        feeds::compared(&mut self.tables.client, &numbers).map_err(|error| failed(&error))?;
        if !self.is_open {
            self.is_open = true;
            let text = "the tables equal the counters for the first time";
            report.tell("opened", text, serde_json::json!({ "movements": report.movements }))?;
        } else if was_urgent {
            let text = "MENDED the tables equal the counters again";
            report.tell("mended", text, serde_json::json!({ "feeds": numbers.len() }))?;
        }
        self.has_compared = true;
        Ok(())
    }

    fn look_at_page(&mut self, walk: &mut Walk, page: Page) -> Result<(), Failure> {
        let sql = |error: postgres::Error| failed(&error);
        match page {
            Page::Keys(place, cursor) => self.look_at_keys(walk, place, &cursor),
            Page::Live(place, cursor) => {
                let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
                let name = node.name();
                let (next, ids) = match source::scan_reservations(node, &cursor) {
                    Ok(found) => found,
                    // Until the module knows all reservations, it answers TRYAGAIN.
                    Err(error) => return self.soften(&name, &error),
                };
                let ids: Vec<String> = ids.iter().map(|id| self.canonical(id)).collect();
                for id in &ids {
                    walk.see("reservation", id);
                }
                self.look_at_reservations(place, ids, false)?;
                walk.go_on(next);
                Ok(())
            }
            Page::Skus(after) => {
                let skus = settings::skus_after(&mut self.tables.client, &after).map_err(sql)?;
                walk.go_on_after(last_of("", skus.last()));
                let unseen = skus.into_iter().filter(|sku| walk.is_unseen("sku", sku)).collect();
                for (place, skus) in self.by_place(unseen)? {
                    self.look_at_stock(place, skus)?;
                }
                Ok(())
            }
            Page::Quotas(after) => {
                let quotas = settings::quotas_after(&mut self.tables.client, &after).map_err(sql)?;
                walk.go_on_after(last_of("", quotas.last()));
                let unseen = quotas.into_iter().filter(|sku| walk.is_unseen("quota", sku)).collect();
                for (place, quotas) in self.by_place(unseen)? {
                    self.look_at_quotas(place, quotas)?;
                }
                Ok(())
            }
            Page::Settings(after) => {
                let found = settings::settings_after(&mut self.tables.client, &after).map_err(sql)?;
                walk.go_on_after(found.last().cloned());
                let unseen = found.into_iter().filter(|setting| walk.is_unseen(&setting.kind, &setting.name));
                let names: BTreeSet<(String, String)> =
                    unseen.map(|setting| (setting.kind, setting.name)).collect();
                for (kind, name) in names {
                    let place = self.masters.place_of(&self.style.feed_of(&name))?;
                    self.look_at_settings(place, &kind, vec![name])?;
                }
                Ok(())
            }
            Page::Held(after) => {
                let ids = settings::live_after(&mut self.tables.client, &after).map_err(sql)?;
                walk.go_on_after(last_of("", ids.last()));
                let unseen = ids.into_iter().filter(|id| walk.is_unseen("reservation", id)).collect();
                for (place, ids) in self.by_place(unseen)? {
                    self.look_at_reservations(place, ids, true)?;
                }
                Ok(())
            }
            Page::End => Ok(()),
        }
    }

    /// An id as the feed writes it: in tagged style, `{X}` is `X`.
    fn canonical(&self, id: &str) -> String {
        self.style.id_in(id).unwrap_or_else(|| id.to_owned())
    }

    fn by_place(&mut self, names: Vec<String>) -> Result<BTreeMap<usize, Vec<String>>, Failure> {
        let mut places: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for name in names {
            let place = self.masters.place_of(&self.style.feed_of(&name))?;
            places.entry(place).or_default().push(name);
        }
        Ok(places)
    }

    fn look_at_keys(&mut self, walk: &mut Walk, place: usize, cursor: &str) -> Result<(), Failure> {
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
        let name = node.name();
        let (next, keys) = match source::scan(node, cursor, "stock:*") {
            Ok(found) => found,
            Err(error) => return self.soften(&name, &error),
        };
        let (mut skus, mut quotas) = (BTreeSet::new(), BTreeSet::new());
        let mut of_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for key in &keys {
            let counter = [AVAILABLE, RESERVED].iter().find_map(|prefix| key.strip_prefix(prefix));
            if let Some(sku) = counter.and_then(|rest| self.style.sku_in(rest)) {
                if is_quota(&sku) {
                    quotas.insert(sku)
                } else {
                    skus.insert(sku)
                };
                continue;
            }
            let kinds =
                [(FLOOR, "floor"), (LIMIT, "limit"), (THRESHOLD, "threshold"), (WAREHOUSES, "warehouse")];
            let setting = kinds.iter().find_map(|(prefix, kind)| Some((*kind, key.strip_prefix(prefix)?)));
            if let Some((kind, rest)) = setting
                && let Some(name) = self.style.sku_in(rest)
            {
                of_kind.entry(kind).or_default().push(name);
            }
        }
        for sku in &skus {
            walk.see("sku", sku);
        }
        for sku in &quotas {
            walk.see("quota", sku);
        }
        self.look_at_stock(place, skus.into_iter().collect())?;
        self.look_at_quotas(place, quotas.into_iter().collect())?;
        for (kind, names) in of_kind {
            for name in self.look_at_settings(place, kind, names)? {
                walk.see(kind, &name);
            }
        }
        walk.go_on(next);
        Ok(())
    }

    /// Looks at the counters of skus on the master at this place.
    fn look_at_stock(&mut self, place: usize, skus: Vec<String>) -> Result<(), Failure> {
        let groups = self.grouped(place, skus)?;
        let keys: Vec<(String, Vec<[String; 2]>)> = groups
            .iter()
            .map(|(feed, skus)| {
                let pair = |sku: &String| [AVAILABLE, RESERVED].map(|prefix| self.style.of_sku(prefix, sku));
                (feed.clone(), skus.iter().map(pair).collect())
            })
            .collect();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
        let name = node.name();
        let answers = source::read_counters(node, &keys).map_err(|error| trouble(&name, &error))?;
        let looks = |(_, skus): &(String, Vec<String>), (last, counters): source::Counters| {
            let seen = skus.iter().zip(counters).filter(|(_, (_, is_readable))| *is_readable);
            (last, seen.map(|(sku, (units, _))| Look::Stock(sku.clone(), units)).collect())
        };
        self.note(&name, &groups, answers, looks)
    }

    /// Looks at the keys of reservations. Those that are expected to be live are not looked up among the outcomes.
    fn look_at_reservations(
        &mut self,
        place: usize,
        ids: Vec<String>,
        with_outcomes: bool,
    ) -> Result<(), Failure> {
        let groups = self.grouped(place, ids)?;
        let keys: Vec<(String, Vec<String>, usize)> = groups
            .iter()
            .map(|(feed, ids)| {
                let records = ids.iter().map(|id| self.style.of_id(RESERVATION, id));
                let outcomes = ids.iter().filter(|_| with_outcomes).map(|id| self.style.of_id(OUTCOME, id));
                (feed.clone(), records.chain(outcomes).collect(), ids.len())
            })
            .collect();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(()) };
        let name = node.name();
        let answers = source::read_texts(node, &keys).map_err(|error| trouble(&name, &error))?;
        let looks = |(_, ids): &(String, Vec<String>), (last, mut texts, deadlines): source::Texts| {
            let outcomes = texts.split_off(ids.len().min(texts.len()));
            let mut outcomes = outcomes.into_iter();
            let mut looks = Vec::new();
            for ((id, record), deadline) in ids.iter().zip(texts).zip(deadlines) {
                let outcome = outcomes.next().flatten();
                // It has ended since it was listed, or is a key of another program.
                let own = record.as_deref().and_then(|json| Document::read(id, json));
                if own.is_none() && !with_outcomes {
                    continue;
                }
                let deadline =
                    own.and_then(|own| (deadline > 0 && deadline != own.expires_at).then_some(deadline));
                looks.push(Look::Reservation(id.clone(), Seen { record, outcome, deadline }));
            }
            (last, looks)
        };
        self.note(&name, &groups, answers, looks)
    }

    /// Groups names by their feed, and enters feeds that are new.
    fn grouped(&mut self, place: usize, names: Vec<String>) -> Result<Vec<(String, Vec<String>)>, Failure> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in names {
            groups.entry(self.style.feed_of(&name)).or_default().push(name);
        }
        let new: Vec<String> = groups.keys().filter(|key| !self.by_key.contains_key(*key)).cloned().collect();
        if !new.is_empty() {
            self.add_feeds(place, &new)?;
        }
        let chunks = |(feed, names): (String, Vec<String>)| {
            let chunks = names.chunks(MOST_AT_ONCE).map(|chunk| (feed.clone(), chunk.to_vec()));
            chunks.collect::<Vec<_>>()
        };
        Ok(groups.into_iter().flat_map(chunks).collect())
    }

    /// Notes what was seen, so that it is compared when its feed has been read as far as it was then.
    fn note<T>(
        &mut self,
        node: &str,
        groups: &[(String, Vec<String>)],
        answers: Answers<T>,
        looks: impl Fn(&(String, Vec<String>), T) -> (EntryId, Vec<Look>),
    ) -> Result<(), Failure> {
        let is_master = answers.is_master;
        for (group, answer) in groups.iter().zip(answers.each) {
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.soften(node, &error)?;
                    continue;
                }
            };
            let (last, looks) = looks(group, answer);
            let Some(at) = self.by_key.get(&group.0).copied() else { continue };
            let Some(feed) = self.feeds.get_mut(at) else { continue };
            if !is_master || answers.replication_id.as_ref() != Some(&feed.replication_id) {
                // Another history has begun. The feed shows which.
                (feed.due, feed.is_suspect) = (Instant::now(), true);
                continue;
            }
            if last < feed.position.entry {
                // The feed has gone, which is found out when it is read. What was seen belongs to its new history.
                (feed.due, feed.is_suspect) = (Instant::now(), true);
                continue;
            }
            if last > feed.position.entry || !feed.looks.is_empty() {
                feed.looks.extend(looks.into_iter().map(|look| (last, look)));
                continue;
            }
            self.compare_now(at, &looks)?;
        }
        Ok(())
    }

    /// Compares what was seen of a feed that had been read as far as it was then.
    fn compare_now(&mut self, at: usize, looks: &[Look]) -> Result<(), Failure> {
        let sql = |error: postgres::Error| failed(&error);
        let Some(feed) = self.feeds.get_mut(at) else { return Ok(()) };
        let names = |is_stock: bool| {
            looks.iter().filter_map(move |look| match look {
                Look::Stock(sku, _) => is_stock.then_some(sku.as_str()),
                Look::Reservation(id, _) => (!is_stock).then_some(id.as_str()),
            })
        };
        let (skus, ids) = (self.book.unknown_skus(names(true)), self.book.unknown_among(names(false)));
        let client = &mut self.tables.client;
        if !skus.is_empty() {
            let found = crate::tables::rows::stock(client, &skus).map_err(sql)?;
            self.book.learn_stock(skus, found.into_iter());
        }
        if !ids.is_empty() {
            let found = crate::tables::rows::reservations(client, &ids).map_err(sql)?;
            self.book.learn_reservations(ids, found.into_iter());
        }
        let mut cursor = feed.cursor();
        for look in looks {
            apply(&mut self.book, &mut cursor, look);
        }
        feed.position = cursor.position;
        self.dirty.insert(at);
        Ok(())
    }

    fn look_at_quotas(&mut self, place: usize, quotas: Vec<String>) -> Result<(), Failure> {
        let keys: Vec<String> = quotas
            .iter()
            .flat_map(|sku| [AVAILABLE, RESERVED].map(|prefix| self.style.of_sku(prefix, sku)))
            .collect();
        let Some(counters) = self.values(place, &keys)? else { return Ok(()) };
        let units = counters.chunks(2).map(|pair| match pair {
            [available, reserved] => source::units(available.as_deref(), reserved.as_deref()).0,
            _ => None,
        });
        self.quotas.extend(quotas.into_iter().zip(units));
        Ok(())
    }

    /// The texts of keys; `None` if the slot of one is being moved.
    pub(super) fn values(
        &mut self,
        place: usize,
        keys: &[String],
    ) -> Result<Option<Vec<Option<String>>>, Failure> {
        let is_cluster = self.masters.is_cluster();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(None) };
        let name = node.name();
        match source::values(node, keys, is_cluster) {
            Ok(values) => Ok(Some(values)),
            Err(error) => self.soften(&name, &error).map(|()| None),
        }
    }

    /// Looks at settings of a kind, and writes them. Returns the names of those that exist. Warehouses are looked at by product.
    fn look_at_settings(
        &mut self,
        place: usize,
        kind: &str,
        names: Vec<String>,
    ) -> Result<Vec<String>, Failure> {
        let found: Vec<(String, Option<String>)> = if kind == "warehouse" {
            self.look_at_warehouses(place, names)?
        } else {
            let prefix = match kind {
                "floor" => FLOOR,
                "limit" => LIMIT,
                _ => THRESHOLD,
            };
            let keys: Vec<String> = names.iter().map(|name| self.style.of_sku(prefix, name)).collect();
            let Some(values) = self.values(place, &keys)? else { return Ok(names) };
            // What is no integer means nothing to the module either.
            let is_number = |value: &String| value.parse::<i64>().is_ok();
            names.into_iter().zip(values.into_iter().map(|value| value.filter(is_number))).collect()
        };
        let exist = found.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.clone()).collect();
        let rows: Vec<(Setting, Option<String>)> =
            found.into_iter().map(|(name, value)| (Setting { kind: kind.to_owned(), name }, value)).collect();
        settings::write(&mut self.tables.client, &rows).map_err(|error| failed(&error))?;
        Ok(exist)
    }

    /// The warehouses of these products, or these warehouses, with their priorities.
    fn look_at_warehouses(
        &mut self,
        place: usize,
        names: Vec<String>,
    ) -> Result<Vec<(String, Option<String>)>, Failure> {
        let products: BTreeSet<&str> = names.iter().map(|name| product_of(name)).collect();
        let products: Vec<&str> = products.into_iter().collect();
        let ranges: Vec<Cmd> = products
            .iter()
            .map(|product| {
                let key = self.style.of_sku(WAREHOUSES, product);
                cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES").take()
            })
            .collect();
        let Some(node) = self.masters.nodes().get_mut(place) else { return Ok(Vec::new()) };
        let name = node.name();
        let replies = node.ask_all(&ranges).map_err(|error| trouble(&name, &error))?;
        let mut found = Vec::new();
        let mut unreadable = HashSet::new();
        for (product, reply) in products.iter().zip(replies) {
            match reply {
                Ok(reply) => found.extend(
                    ranks(reply)
                        .into_iter()
                        .map(|(warehouse, priority)| (format!("{product}@{warehouse}"), Some(priority))),
                ),
                // Its slot is being moved.
                Err(_) => _ = unreadable.insert((*product).to_owned()),
            }
        }
        let exist: HashSet<String> = found.iter().map(|(name, _)| name.clone()).collect();
        let is_gone = |name: &String| {
            warehouse_of(name).is_some() && !exist.contains(name) && !unreadable.contains(product_of(name))
        };
        found.extend(names.iter().filter(|name| is_gone(name)).map(|name| (name.clone(), None)));
        Ok(found)
    }
}

/// Reads ZRANGE … WITHSCORES in both protocols. A closed warehouse has the priority `closed`.
fn ranks(reply: Value) -> Vec<(String, String)> {
    let Value::Array(list) = reply else { return Vec::new() };
    let mut flat = Vec::new();
    for value in list {
        match value {
            Value::Array(pair) => flat.extend(pair),
            value => flat.push(value),
        }
    }
    let mut flat = flat.into_iter();
    let mut ranks = Vec::new();
    while let (Some(member), Some(score)) = (flat.next().and_then(text), flat.next().and_then(text)) {
        let Some(priority) = source::priority(&score) else { continue };
        ranks.push((member, priority));
    }
    ranks
}

fn last_of(kind: &str, name: Option<&String>) -> Option<Setting> {
    name.map(|name| Setting { kind: kind.to_owned(), name: name.clone() })
}

//! Reads one server. A reading is a bounded number of commands in short pipelines, whatever the server holds, so that no other
//! client has to wait for it.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use redis::{Cmd, RedisResult, Value, cmd, from_redis_value};

use crate::server::node::Node;
use crate::server::reason;
use crate::stock::{fields, parse_entry, parse_stock};
use crate::watch::reading::{ALERTS, Absence, CHANGES, NEAREST, Reading, Reservation, Search, WALKED};
use crate::watch::replies::{has_tagged_feeds, parse_alert, parse_change, parse_info, parse_reservation};

/// Commands sent at once. The server executes them one after the other, without serving other clients in between.
const PIPELINE: usize = 25;

/// After this many lines of reservations, or warehouses of products, a reading requests no more of them.
const LINES: usize = 4000;

/// The number of hidden products that are remembered.
const HIDDEN: usize = 10_000;

/// Pages of a walk in one reading. Some may be short if the user may not see everything.
const PAGES: usize = 4;

/// What a user may see. What was refused is not requested again, because the server would log each attempt.
#[derive(Debug)]
pub struct Rights {
    /// Commands that the user may not run.
    denied: BTreeSet<&'static str>,
    /// Products that the user may not see.
    hidden: BTreeSet<String>,
    /// False once the server has refused to read the feed.
    has_feed: bool,
    /// There is a feed for each tag, as far as the user may know.
    has_feeds: bool,
}

impl Rights {
    /// What can be told at the start: whether the feeds have tags in their names. Many users may not ask.
    pub fn of(node: &mut Node) -> RedisResult<Self> {
        let mut command = cmd("CONFIG");
        command.arg("GET").arg("inv.key-style").arg("inv.feed-maxlen").arg("cluster-enabled");
        let has_feeds = match node.ask(&command) {
            // The server has refused.
            Err(error) if error.code().is_some() => false,
            settings => has_tagged_feeds(fields(settings?).unwrap_or_default()),
        };
        Ok(Self { denied: BTreeSet::new(), hidden: BTreeSet::new(), has_feed: true, has_feeds })
    }

    /// What the screen says about them.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.denied.is_empty() {
            let denied: Vec<&str> = self.denied.iter().copied().collect();
            notes.push(format!("this user may not see {}", denied.join(", ")));
        }
        if self.has_feeds {
            notes.push("the feeds are not read: in tagged key style there is one for each tag".to_owned());
        }
        notes
    }
}

/// What is requested of one server.
#[derive(Debug, Default)]
pub struct Share {
    /// The products whose stock is requested.
    pub products: Vec<String>,
    /// Whether the reservations with the next deadlines are listed.
    pub lists_nearest: bool,
    /// A search for the reservations of a product.
    pub search: Option<Search>,
    /// The cursor at which the walk over its products continues.
    pub walk: Option<String>,
    /// Only alerts from this time on, in Unix ms.
    pub since: i64,
    /// The last entry of the feed that was seen.
    pub after: Option<String>,
}

/// A server, with what the user may see there.
pub struct Link<'a> {
    /// The server.
    pub node: &'a mut Node,
    /// What the user may see.
    pub rights: &'a mut Rights,
}

impl Link<'_> {
    /// Makes one reading.
    pub fn read(&mut self, share: &Share) -> RedisResult<Reading> {
        let mut reading = Reading::default();
        self.read_info(&mut reading)?;
        if share.lists_nearest {
            self.read_nearest(&mut reading)?;
        }
        if let Some(search) = &share.search {
            self.read_search(search, &mut reading)?;
        }
        if let Some(from) = &share.walk {
            self.read_walk(from, &mut reading)?;
        }
        self.read_stock(&share.products, &mut reading)?;
        self.read_alerts(share.since, &mut reading)?;
        self.read_feed(share.after.as_deref(), &mut reading)?;
        Ok(reading)
    }

    fn read_info(&mut self, reading: &mut Reading) -> RedisResult<()> {
        let before = now();
        if let Some(value) = self.one("INFO", cmd("INFO").arg("server").arg("inv"))? {
            let here = before.midpoint(now());
            let (info, server_time) = parse_info(&from_redis_value::<String>(value)?);
            reading.ahead = server_time.map(|there| there.saturating_sub(here));
            reading.info = Some(info);
        }
        Ok(())
    }

    fn read_nearest(&mut self, reading: &mut Reading) -> RedisResult<()> {
        let (ids, cursor) = self.scan("0", NEAREST, None, &mut reading.notes)?;
        reading.is_cut = cursor != "0";
        reading.nearest = self.reservations(&ids)?;
        Ok(())
    }

    fn read_search(&mut self, search: &Search, reading: &mut Reading) -> RedisResult<()> {
        let (found, cursor) = self.scan(&search.from, NEAREST, Some(&search.product), &mut reading.notes)?;
        // A user who may not run INV.GET would never learn that a reservation has ended.
        let known = search.known.iter().filter(|_| !self.rights.denied.contains("INV.GET")).cloned();
        let ids: BTreeSet<String> = known.chain(found).collect();
        reading.nearest = self.reservations(&Vec::from_iter(ids))?;
        reading.nearest.sort_by_key(|reservation| reservation.expires_at);
        reading.is_cut = reading.nearest.len() > NEAREST;
        reading.nearest.truncate(NEAREST);
        reading.of = Some((search.product.clone(), cursor));
        Ok(())
    }

    fn read_walk(&mut self, from: &str, reading: &mut Reading) -> RedisResult<()> {
        let (mut cursor, mut lines) = (from.to_owned(), 0_usize);
        for _ in 0..PAGES {
            let mut command = cmd("INV.STOCKSCAN");
            command.arg(&cursor).arg("COUNT").arg(WALKED);
            let page = match self.one("INV.STOCKSCAN", &command) {
                // An older module does not know the command.
                Err(error) if error.code().is_some() => {
                    reading.notes.push(reason::text(&error));
                    None
                }
                page => page?,
            };
            let Some(page) = page else { return Ok(()) };
            let (next, found): (String, Vec<Value>) = from_redis_value(page)?;
            cursor = next;
            for (product, stock) in found.into_iter().filter_map(parse_entry) {
                lines = lines.saturating_add(stock.as_ref().map_or(0, |stock| stock.warehouses.len()));
                let stock = stock.map_err(|error| {
                    reading.notes.push(error);
                    Absence::Unreadable
                });
                reading.stock.push((product, stock));
            }
            if cursor == "0" || lines >= LINES {
                break;
            }
        }
        reading.walk = Some(cursor);
        Ok(())
    }

    /// Ids of live reservations from a cursor on, and the next cursor.
    fn scan(
        &mut self,
        from: &str,
        most: usize,
        of: Option<&str>,
        notes: &mut Vec<String>,
    ) -> RedisResult<(Vec<String>, String)> {
        let (mut ids, mut cursor) = (Vec::new(), from.to_owned());
        for _ in 0..PAGES {
            let mut command = cmd("INV.SCAN");
            command.arg(&cursor).arg("COUNT").arg(most.saturating_sub(ids.len()));
            if let Some(product) = of {
                command.arg("PRODUCT").arg(product);
            }
            let page = match self.one("INV.SCAN", &command) {
                // The module was just loaded, or a slot is being moved.
                Err(error) if error.code() == Some("TRYAGAIN") => {
                    notes.push(reason::text(&error));
                    None
                }
                Err(error) if error.code() == Some("NOPERM") => {
                    notes.push(format!("this user may not see {}", of.unwrap_or("INV.SCAN")));
                    None
                }
                page => page?,
            };
            let Some(page) = page else {
                return Ok((ids, "0".to_owned()));
            };
            let (next, mut found): (String, Vec<String>) = from_redis_value(page)?;
            cursor = next;
            ids.append(&mut found);
            if cursor == "0" || ids.len() >= most {
                break;
            }
        }
        Ok((ids, cursor))
    }

    fn reservations(&mut self, ids: &[String]) -> RedisResult<Vec<Reservation>> {
        let mut found: Vec<Reservation> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(PIPELINE) {
            let commands: Vec<Cmd> = ids.iter().map(|id| cmd("INV.GET").arg(id).clone()).collect();
            let Some(answers) = self.all("INV.GET", &commands)? else {
                found.extend(ids.iter().map(|id| Reservation::of_id(id)));
                continue;
            };
            // Skip a reservation that has ended in the meantime, or that now belongs to a script.
            found.extend(answers.into_iter().filter_map(|answer| parse_reservation(answer.ok()?)));
            if found.iter().map(|reservation| reservation.items.len()).sum::<usize>() >= LINES {
                break;
            }
        }
        Ok(found)
    }

    fn read_stock(&mut self, products: &[String], reading: &mut Reading) -> RedisResult<()> {
        let mut lines = 0_usize;
        let (hidden, products): (Vec<String>, Vec<String>) =
            products.iter().cloned().partition(|product| self.rights.hidden.contains(product));
        reading.stock.extend(hidden.into_iter().map(|product| (product, Err(Absence::Hidden))));
        for products in products.chunks(PIPELINE) {
            // One command for each product: in a cluster they are in different slots, and a broken counter must not affect the
            // others.
            let commands: Vec<Cmd> =
                products.iter().map(|product| cmd("INV.STOCK").arg(product).clone()).collect();
            let Some(answers) = self.all("INV.STOCK", &commands)? else { break };
            for (product, answer) in products.iter().zip(answers) {
                let stock = match answer {
                    Ok(stock) => match parse_stock(stock) {
                        Some(Ok(stock)) => Ok(stock),
                        Some(Err(error)) => {
                            reading.notes.push(error);
                            Err(Absence::Unreadable)
                        }
                        None => Err(Absence::NotHere),
                    },
                    Err(error) if matches!(error.code(), Some("MOVED" | "ASK")) => Err(Absence::NotHere),
                    Err(error) if error.code() == Some("NOPERM") => {
                        self.hide(product);
                        Err(Absence::Hidden)
                    }
                    Err(error) => {
                        reading.notes.push(reason::text(&error));
                        Err(Absence::Unreadable)
                    }
                };
                lines = lines.saturating_add(stock.as_ref().map_or(0, |stock| stock.warehouses.len()));
                reading.stock.push((product.clone(), stock));
            }
            if lines >= LINES {
                break;
            }
        }
        Ok(())
    }

    /// Remembers a limited number: a feed may name ever more products that the user may not see.
    fn hide(&mut self, product: &str) {
        if self.rights.hidden.len() >= HIDDEN {
            self.rights.hidden.clear();
        }
        self.rights.hidden.insert(product.to_owned());
    }

    fn read_alerts(&mut self, since: i64, reading: &mut Reading) -> RedisResult<()> {
        let mut command = cmd("INV.ALERTS");
        command.arg("SINCE").arg(since).arg("COUNT").arg(ALERTS);
        if let Some(alerts) = self.one("INV.ALERTS", &command)? {
            let alerts: Vec<Value> = from_redis_value(alerts)?;
            reading.alerts = alerts.into_iter().filter_map(parse_alert).collect();
        }
        Ok(())
    }

    /// Reads the feed backwards from its end, so that the newest entries are seen even if it grows faster than it is read.
    fn read_feed(&mut self, after: Option<&str>, reading: &mut Reading) -> RedisResult<()> {
        if !self.rights.has_feed || self.rights.has_feeds {
            return Ok(());
        }
        let from = after.map_or("-".to_owned(), |entry| format!("({entry}"));
        let mut command = cmd("XREVRANGE");
        command.arg("inventory:feed").arg("+").arg(from).arg("COUNT").arg(CHANGES);
        let entries = match self.one("the feed", &command) {
            Err(error) if error.code() == Some("NOPERM") => {
                self.rights.denied.insert("the feed");
                None
            }
            // In a cluster, or if a key of another type has this name.
            Err(error) if error.code().is_some() => {
                self.rights.has_feed = false;
                None
            }
            entries => entries?,
        };
        if let Some(entries) = entries {
            let entries: Vec<Value> = from_redis_value(entries)?;
            reading.are_changes_cut = after.is_some() && entries.len() >= CHANGES;
            reading.changes = entries.into_iter().rev().filter_map(parse_change).collect();
        }
        Ok(())
    }

    /// The answer to one command; `None` if the user may not run it.
    fn one(&mut self, name: &'static str, command: &Cmd) -> RedisResult<Option<Value>> {
        let answers = self.all(name, std::slice::from_ref(command))?;
        answers.and_then(|mut answers| answers.pop()).transpose()
    }

    /// The answers to commands sent at once; `None` if the user may not run them.
    fn all(&mut self, name: &'static str, commands: &[Cmd]) -> RedisResult<Option<Vec<RedisResult<Value>>>> {
        if self.rights.denied.contains(name) {
            return Ok(None);
        }
        let answers = self.node.ask_all(commands)?;
        // If the user may not see one key, others may still be visible.
        if answers.iter().any(|answer| answer.as_ref().is_err_and(reason::is_of_command)) {
            self.rights.denied.insert(name);
            return Ok(None);
        }
        Ok(Some(answers))
    }
}

impl Reservation {
    /// A reservation of which only the id is known.
    fn of_id(id: &str) -> Self {
        Self { id: id.to_owned(), expires_at: None, items: Vec::new(), data: String::new() }
    }
}

/// Unix ms by this machine's clock.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

//! Reads the server. A reading is a bounded number of commands in short pipelines, whatever the server holds, so that no other
//! client has to wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{Client, Cmd, Connection, FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value};

/// Reservations that a reading lists, by deadline.
pub const NEAREST: usize = 200;

/// About how many products a page of the walk over all products has. The next reading continues from there.
pub const WALKED: usize = 100;

/// Products whose stock a reading requests.
pub const STOCKS: usize = 200;

/// Alerts that a reading lists.
pub const ALERTS: usize = 100;

/// The newest entries of the feed that a reading inspects.
pub const CHANGES: usize = 500;

/// Commands sent at once. The server executes them one after the other, without serving other clients in between.
const PIPELINE: usize = 25;

/// After this many lines of reservations, or warehouses of products, a reading requests no more of them.
const LINES: usize = 4000;

/// The number of hidden products that are remembered.
const HIDDEN: usize = 10_000;

/// Pages of a walk in one reading. Some may be short if the user may not see everything.
const PAGES: usize = 4;

/// After this time without an answer, the connection is closed and opened again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a reading requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The products whose stock is requested.
    pub products: Vec<String>,
    /// Only reservations of this product.
    pub of: Option<Search>,
    /// The cursor at which the walk over all products continues.
    pub walk: String,
    /// Only alerts from this time on, in Unix ms.
    pub since: i64,
    /// The last entry of the feed that was seen.
    pub after: Option<String>,
}

/// A search for the reservations of one product. They may be far apart among a million, so it continues from reading to reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The product.
    pub product: String,
    /// The reservations found so far.
    pub known: Vec<String>,
    /// The cursor at which it continues.
    pub from: String,
}

/// What the server answered.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The server's clock minus this machine's, in ms, if the user may read INFO.
    pub ahead: Option<i64>,
    /// INFO, if the user may read it.
    pub info: Option<Info>,
    /// The stock of the requested products, and of those that the walk has met.
    pub stock: Vec<(String, Result<Stock, Absence>)>,
    /// Reservations by deadline.
    pub nearest: Vec<Reservation>,
    /// There are more reservations than those.
    pub is_cut: bool,
    /// If only one product's reservations were requested: the product, and the cursor of the search; `0` at its end.
    pub of: Option<(String, String)>,
    /// The cursor at which the walk over all products continues; `0` at its end. `None` if the user may not walk.
    pub walk: Option<String>,
    /// Newest first.
    pub alerts: Vec<Alert>,
    /// Oldest first.
    pub changes: Vec<Change>,
    /// There were more changes than those.
    pub are_changes_cut: bool,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

/// The server according to INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Name and version.
    pub server: String,
    /// The run id, which changes with a restart.
    pub run: String,
    /// Live reservations, in all databases.
    pub holds: u64,
    /// Totals since the start.
    pub totals: Totals,
}

/// Totals, which only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Reservations made.
    pub reserved: u64,
    /// Sold.
    pub committed: u64,
    /// Returned by a command.
    pub rolled_back: u64,
    /// Returned at their deadline.
    pub expired: u64,
    /// Refused because there was not enough stock. Only INFO has this.
    pub short: u64,
}

/// Units of a product in all its warehouses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// Available and reserved.
    pub units: Units,
    /// Stock is low if so many units can be reserved, or fewer.
    pub threshold: i64,
    /// By priority; empty if the product has no warehouses.
    pub warehouses: Vec<(String, Units)>,
}

/// Why a product has no stock to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no such product, or it is on another node.
    NotHere,
    /// The user may not see it.
    Hidden,
    /// A counter is not a number, or the server refused for another reason.
    Unreadable,
}

/// Units in one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Not reserved.
    pub available: i64,
    /// Held by reservations.
    pub reserved: i64,
    /// Can be reserved: the available units above the floor, and those that may be promised before they arrive.
    pub reservable: i64,
}

impl Units {
    /// Available and reserved.
    pub const fn on_hand(self) -> i64 {
        self.available.saturating_add(self.reserved)
    }
}

/// A live reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Its id.
    pub id: String,
    /// Unix ms by the server's clock; unknown if the user may not read it.
    pub expires_at: Option<i64>,
    /// Its lines.
    pub items: Vec<Item>,
    /// The shop's DATA.
    pub data: String,
}

/// A line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The product.
    pub product: String,
    /// If the product has warehouses.
    pub warehouse: Option<String>,
    /// Units.
    pub quantity: i64,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The product.
    pub product: String,
    /// `LOW_STOCK`, `OUT_OF_STOCK`, `BACK_IN_STOCK`.
    pub kind: String,
    /// Units that were available then.
    pub available: i64,
    /// The threshold then.
    pub threshold: i64,
    /// Unix ms by the server's clock.
    pub timestamp: i64,
}

/// An entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its id in the stream.
    pub entry: String,
    /// `reserved`, `committed`, ...
    pub event: String,
    /// The product of its sku, or of its alert.
    pub product: String,
    /// The reservation that caused it, if any. A reservation with several lines causes several entries.
    pub reservation: Option<String>,
    /// Unix ms by the server's clock.
    pub timestamp: i64,
}

/// Why a reading failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server rejects this user; trying again is useless.
    Refused(String),
    /// It may work later.
    Lost(String),
}

/// A server, and the connection to it if there is one.
pub struct Source {
    client: Client,
    link: Option<Link>,
}

impl Source {
    /// A server by its URL. It does not connect yet.
    pub fn new(url: &str) -> Result<Self, String> {
        if ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("TLS is not supported: use an SSH tunnel (ssh -L)".to_owned());
        }
        // The URL is not shown: it may contain a password.
        let client = Client::open(url)
            .map_err(|_| "URL=... must look like redis://user:password@host:6379/0".to_owned())?;
        Ok(Self { client, link: None })
    }

    /// The server as it can be displayed: without the password.
    pub fn target(&self) -> String {
        let info = self.client.get_connection_info();
        let settings = info.redis_settings();
        let user = settings.username().map(|user| format!("{user}@")).unwrap_or_default();
        let database = Some(settings.db()).filter(|db| *db != 0).map(|db| format!("/{db}"));
        format!("{user}{}{}", info.addr(), database.unwrap_or_default())
    }

    /// Makes one reading. If it fails, the connection is closed, and the next reading opens another.
    pub fn read(&mut self, ask: &Ask) -> Result<Reading, Failure> {
        let reading = self.link().and_then(|link| link.read(ask));
        if reading.is_err() {
            self.link = None;
        }
        reading.map_err(|error| failure(&error))
    }

    fn link(&mut self) -> RedisResult<&mut Link> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.client)?,
        };
        Ok(self.link.insert(link))
    }
}

/// A connection.
struct Link {
    connection: Connection,
    /// Commands that the user may not run. They are not sent again, because the server would log each attempt.
    denied: BTreeSet<&'static str>,
    /// Products that the user may not see. They are not requested again either.
    hidden: BTreeSet<String>,
    /// False once the server has refused to read the feed.
    has_feed: bool,
    /// There is a feed for each tag, as far as the user may know.
    has_feeds: bool,
}

impl Link {
    fn open(client: &Client) -> RedisResult<Self> {
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        let (denied, hidden) = (BTreeSet::new(), BTreeSet::new());
        let mut link = Self { connection, denied, hidden, has_feed: true, has_feeds: false };
        link.read_settings()?;
        Ok(link)
    }

    /// Whether the feeds have tags in their names. Many users may not ask.
    fn read_settings(&mut self) -> RedisResult<()> {
        let mut command = cmd("CONFIG");
        command.arg("GET").arg("inv.key-style").arg("inv.feed-maxlen").arg("cluster-enabled");
        let settings = match command.query(&mut self.connection) {
            // The server has refused.
            Err(error) if error.code().is_some() => return Ok(()),
            settings => fields(settings?).unwrap_or_default(),
        };
        self.has_feeds = has_tagged_feeds(settings);
        Ok(())
    }

    fn read(&mut self, ask: &Ask) -> RedisResult<Reading> {
        let mut reading = Reading::default();
        self.read_info(&mut reading)?;
        self.read_nearest(ask, &mut reading)?;
        self.read_walk(ask, &mut reading)?;
        self.read_stock(ask, &mut reading)?;
        self.read_alerts(ask, &mut reading)?;
        self.read_feed(ask, &mut reading)?;
        if !self.denied.is_empty() {
            let denied: Vec<&str> = self.denied.iter().copied().collect();
            reading.notes.push(format!("this user may not see {}", denied.join(", ")));
        }
        if self.has_feeds {
            reading
                .notes
                .push("the feeds are not read: in tagged key style there is one for each tag".to_owned());
        }
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

    fn read_nearest(&mut self, ask: &Ask, reading: &mut Reading) -> RedisResult<()> {
        let Some(search) = &ask.of else {
            let (ids, cursor) = self.scan("0", NEAREST, None, &mut reading.notes)?;
            reading.is_cut = cursor != "0";
            reading.nearest = self.reservations(&ids)?;
            return Ok(());
        };
        let (found, cursor) = self.scan(&search.from, NEAREST, Some(&search.product), &mut reading.notes)?;
        // A user who may not run INV.GET would never learn that a reservation has ended.
        let known = search.known.iter().filter(|_| !self.denied.contains("INV.GET")).cloned();
        let ids: BTreeSet<String> = known.chain(found).collect();
        reading.nearest = self.reservations(&Vec::from_iter(ids))?;
        reading.nearest.sort_by_key(|reservation| reservation.expires_at);
        reading.is_cut = reading.nearest.len() > NEAREST;
        reading.nearest.truncate(NEAREST);
        reading.of = Some((search.product.clone(), cursor));
        Ok(())
    }

    fn read_walk(&mut self, ask: &Ask, reading: &mut Reading) -> RedisResult<()> {
        let (mut cursor, mut lines) = (ask.walk.clone(), 0_usize);
        for _ in 0..PAGES {
            let mut command = cmd("INV.STOCKSCAN");
            command.arg(&cursor).arg("COUNT").arg(WALKED);
            let page = match self.one("INV.STOCKSCAN", &command) {
                // An older module does not know the command.
                Err(error) if error.code().is_some() => {
                    reading.notes.push(text(&error));
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
                    notes.push(text(&error));
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

    fn read_stock(&mut self, ask: &Ask, reading: &mut Reading) -> RedisResult<()> {
        let mut lines = 0_usize;
        let (hidden, products): (Vec<String>, Vec<String>) =
            ask.products.iter().cloned().partition(|product| self.hidden.contains(product));
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
                        reading.notes.push(text(&error));
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
        if self.hidden.len() >= HIDDEN {
            self.hidden.clear();
        }
        self.hidden.insert(product.to_owned());
    }

    fn read_alerts(&mut self, ask: &Ask, reading: &mut Reading) -> RedisResult<()> {
        let mut command = cmd("INV.ALERTS");
        command.arg("SINCE").arg(ask.since).arg("COUNT").arg(ALERTS);
        if let Some(alerts) = self.one("INV.ALERTS", &command)? {
            let alerts: Vec<Value> = from_redis_value(alerts)?;
            reading.alerts = alerts.into_iter().filter_map(parse_alert).collect();
        }
        Ok(())
    }

    /// Reads the feed backwards from its end, so that the newest entries are seen even if it grows faster than it is read.
    fn read_feed(&mut self, ask: &Ask, reading: &mut Reading) -> RedisResult<()> {
        if !self.has_feed || self.has_feeds {
            return Ok(());
        }
        let from = ask.after.as_ref().map_or("-".to_owned(), |entry| format!("({entry}"));
        let mut command = cmd("XREVRANGE");
        command.arg("inventory:feed").arg("+").arg(from).arg("COUNT").arg(CHANGES);
        let entries = match self.one("the feed", &command) {
            Err(error) if error.code() == Some("NOPERM") => {
                self.denied.insert("the feed");
                None
            }
            // In a cluster, or if a key of another type has this name.
            Err(error) if error.code().is_some() => {
                self.has_feed = false;
                None
            }
            entries => entries?,
        };
        if let Some(entries) = entries {
            let entries: Vec<Value> = from_redis_value(entries)?;
            reading.are_changes_cut = ask.after.is_some() && entries.len() >= CHANGES;
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
        if self.denied.contains(name) {
            return Ok(None);
        }
        let packed: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        self.connection.send_packed_command(&packed)?;
        let mut answers = Vec::with_capacity(commands.len());
        for _ in commands {
            answers.push(self.connection.recv_response()?.extract_error());
        }
        // If the user may not see one key, others may still be visible.
        if answers.iter().any(|answer| answer.as_ref().is_err_and(is_of_command)) {
            self.denied.insert(name);
            return Ok(None);
        }
        Ok(Some(answers))
    }
}

/// Whether the user may not run the command at all, whatever its keys. Servers use this wording since ACLs distinguish keys from
/// commands.
pub fn is_of_command(error: &RedisError) -> bool {
    let is_of_command = |detail: &str| detail.contains("no permissions to run");
    error.code() == Some("NOPERM") && error.detail().is_some_and(is_of_command)
}

/// Whether the feed is on and has tags, according to the answer of CONFIG GET.
pub fn has_tagged_feeds(mut settings: Fields) -> bool {
    let mut word = |name: &str| take::<String>(&mut settings, name).unwrap_or_default();
    let (style, most, cluster) = (word("inv.key-style"), word("inv.feed-maxlen"), word("cluster-enabled"));
    let is_tagged = style == "tagged" || style == "auto" && cluster == "yes";
    is_tagged && most != "0"
}

impl Reservation {
    /// A reservation of which only the id is known.
    fn of_id(id: &str) -> Self {
        Self { id: id.to_owned(), expires_at: None, items: Vec::new(), data: String::new() }
    }
}

/// A reply with named fields.
pub type Fields = BTreeMap<String, Value>;

/// A map of RESP3, or a flat array of RESP2.
pub fn fields(value: Value) -> Option<Fields> {
    from_redis_value::<Option<Fields>>(value).ok().flatten()
}

fn take<T: FromRedisValue>(fields: &mut Fields, name: &str) -> Option<T> {
    from_redis_value(fields.remove(name)?).ok()
}

/// Parses an answer of INV.GET; `None` if the reservation is not live.
pub fn parse_reservation(value: Value) -> Option<Reservation> {
    let mut fields = fields(value)?;
    let state: String = take(&mut fields, "state")?;
    if state != "reserved" {
        return None;
    }
    let items: Vec<Value> = take(&mut fields, "items")?;
    Some(Reservation {
        id: take(&mut fields, "reservation_id")?,
        expires_at: take(&mut fields, "expires_at"),
        items: items.into_iter().filter_map(parse_item).collect(),
        data: take(&mut fields, "data").unwrap_or_default(),
    })
}

fn parse_item(value: Value) -> Option<Item> {
    let mut fields = fields(value)?;
    Some(Item {
        product: take(&mut fields, "product_id")?,
        warehouse: take(&mut fields, "warehouse"),
        quantity: take(&mut fields, "quantity")?,
    })
}

/// Parses the answer of INV.STOCK for one product; `None` if there is no such product, the error text if it cannot be read.
pub fn parse_stock(value: Value) -> Option<Result<Stock, String>> {
    let answer: Vec<Value> = from_redis_value(value).ok()?;
    parse_entry(answer.into_iter().next()?).map(|(_, stock)| stock)
}

/// Parses an entry of INV.STOCKSCAN: the product, and its stock or the error text.
pub fn parse_entry(value: Value) -> Option<(String, Result<Stock, String>)> {
    let mut fields = fields(value)?;
    let product = take(&mut fields, "product_id")?;
    if let Some(error) = take(&mut fields, "error") {
        return Some((product, Err(error)));
    }
    let warehouses: Vec<Value> = take(&mut fields, "warehouses").unwrap_or_default();
    let stock = Stock {
        units: parse_units(&mut fields)?,
        threshold: take(&mut fields, "threshold").unwrap_or_default(),
        warehouses: warehouses.into_iter().filter_map(parse_warehouse).collect(),
    };
    Some((product, Ok(stock)))
}

fn parse_warehouse(value: Value) -> Option<(String, Units)> {
    let mut fields = fields(value)?;
    Some((take(&mut fields, "warehouse")?, parse_units(&mut fields)?))
}

fn parse_units(fields: &mut Fields) -> Option<Units> {
    let available = take(fields, "available")?;
    // Before there were floors, everything that was available could be reserved.
    let reservable = take(fields, "reservable").unwrap_or(available);
    Some(Units { available, reserved: take(fields, "reserved")?, reservable })
}

/// Parses an entry of INV.ALERTS.
pub fn parse_alert(value: Value) -> Option<Alert> {
    let mut fields = fields(value)?;
    Some(Alert {
        product: take(&mut fields, "product_id")?,
        kind: take(&mut fields, "type")?,
        available: take(&mut fields, "available")?,
        threshold: take(&mut fields, "threshold")?,
        timestamp: take(&mut fields, "timestamp")?,
    })
}

/// Parses an entry of the feed.
pub fn parse_change(value: Value) -> Option<Change> {
    let (entry, inner): (String, Value) = from_redis_value(value).ok()?;
    let mut fields = fields(inner)?;
    let sku: Option<String> = take(&mut fields, "sku");
    let product = match &sku {
        Some(sku) => sku.split('@').next()?.to_owned(),
        None => take(&mut fields, "product_id")?,
    };
    Some(Change {
        entry,
        event: take(&mut fields, "event")?,
        product,
        reservation: take(&mut fields, "reservation_id"),
        timestamp: take(&mut fields, "timestamp")?,
    })
}

/// Parses INFO. Also returns the server's clock in Unix ms.
pub fn parse_info(text: &str) -> (Info, Option<i64>) {
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let word = |name: &str| fields.get(name).copied();
    let number = |name: &str| word(name).and_then(|number| number.parse().ok()).unwrap_or(0_u64);
    // Besides its own version, Valkey reports the Redis version with which it is compatible.
    let version = word("valkey_version").or(word("redis_version")).unwrap_or_default();
    let name = word("server_name").unwrap_or("redis");
    let info = Info {
        server: format!("{name} {version}"),
        run: word("run_id").unwrap_or_default().to_owned(),
        holds: number("inv_holds"),
        totals: Totals {
            reserved: number("inv_reserved_total"),
            committed: number("inv_committed_total"),
            rolled_back: number("inv_rolled_back_total"),
            expired: number("inv_expired_total"),
            short: number("inv_refused_insufficient_total"),
        },
    };
    let time = word("server_time_usec").and_then(|time| time.parse::<i64>().ok());
    (info, time.map(|microseconds| microseconds.div_euclid(1000)))
}

fn failure(error: &RedisError) -> Failure {
    let is_login = matches!(error.kind(), redis::ErrorKind::AuthenticationFailed)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
    if is_login {
        return Failure::Refused(format!("the server rejects this user: {}", text(error)));
    }
    let detail = error.detail().unwrap_or_default();
    if error.is_timeout() {
        Failure::Lost(format!("no answer within {} s", PATIENCE.as_secs()))
    } else if detail.contains("unknown command") {
        Failure::Lost("the server does not know INV.SCAN: is the module loaded?".to_owned())
    } else {
        Failure::Lost(text(error))
    }
}

/// The server's error word for word, otherwise the library's.
fn text(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// Unix ms by this machine's clock.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

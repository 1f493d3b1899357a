//! Everything around the shop, for the demonstration and the tests: a PostgreSQL, a master with a replica, the provider, and
//! whatever happens to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use postgres::{NoTls, SimpleQueryMessage};
use serde_json::json;

use super::account::{Account, settle};
use super::cluster::Postgres;
use super::harness::{Client, LATER, Server, wait_for, wait_until};
use super::orders::{Cart, Method, Orders};
use super::provider::{DAY, Event, Mood, Provider};
use super::relay::{Line, Target, relay};
use super::shop::{Settings, Shop};
use super::stock::Durability;

/// The database may forget nothing if its process is killed. If the machine is, `fsync` has to be on.
const DATABASE: [&str; 3] = ["fsync=off", "max_connections=100", "shared_buffers=32MB"];

/// How a world begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How the provider treats the shop.
    pub mood: Mood,
    /// The provider's dice.
    pub seed: u64,
    /// More lines of configuration of both stock servers.
    pub stock: Vec<&'static str>,
    /// Products and units of each.
    pub products: u64,
    /// Units of each product.
    pub units: i64,
    /// When answers of the stock server count.
    pub durability: Durability,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            mood: Mood::GOOD,
            seed: 1,
            stock: vec!["appendonly yes"],
            products: 4,
            units: 1000,
            durability: Durability::Server,
        }
    }
}

/// Two stock servers. One is the master; the other follows it through a relay that can be cut.
struct Sites {
    servers: [Server; 2],
    /// The ports and the lines by which the other one follows.
    links: [(u16, Arc<Line>); 2],
    master: usize,
}

/// A shop's surroundings.
pub struct World {
    plan: Plan,
    database: Mutex<Postgres>,
    /// Of the database, for the world itself.
    address: String,
    socket: PathBuf,
    sites: Mutex<Sites>,
    stock_port: Arc<AtomicU16>,
    /// The payment provider.
    pub provider: Provider,
    /// Webhooks that could not be delivered: the provider sends them again.
    undelivered: Mutex<Vec<Event>>,
    orders: AtomicU64,
    /// What has happened, by kind.
    pub events: Mutex<BTreeMap<&'static str, u64>>,
}

/// A process of the shop: its own connections, which can be cut.
pub struct Process {
    /// Where its relays are.
    pub settings: Settings,
    /// Its connections.
    pub line: Arc<Line>,
}

impl World {
    /// Starts everything.
    pub fn open(plan: Plan) -> Self {
        Self::open_on(Postgres::start(&DATABASE), plan)
    }

    /// Ends everything, and starts another world with the same PostgreSQL.
    pub fn next(self, plan: Plan) -> Self {
        let database = self.database.into_inner().expect("a database");
        Self::open_on(database, plan)
    }

    fn open_on(database: Postgres, plan: Plan) -> Self {
        let start = || {
            let server = Server::start_with(&plan.stock);
            let line = Arc::new(Line::default());
            let port = relay(Target::Port(Arc::new(AtomicU16::new(server.port()))), &line);
            (server, (port, line))
        };
        let (one, other) = (start(), start());
        let sites = Sites { servers: [one.0, other.0], links: [one.1, other.1], master: 0 };
        let world = Self {
            address: format!("host={} user=shop dbname=postgres", database.folder().display()),
            socket: database.socket(),
            database: Mutex::new(database),
            stock_port: Arc::new(AtomicU16::new(sites.master().port())),
            sites: Mutex::new(sites),
            provider: Provider::start(plan.mood, plan.seed),
            undelivered: Mutex::default(),
            orders: AtomicU64::new(0),
            events: Mutex::default(),
            plan,
        };
        world.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        Orders::connect(&world.address)
            .and_then(|mut orders| orders.create_tables())
            .unwrap_or_else(|error| panic!("{error}"));
        let mut stock = world.stock();
        for (sku, units) in world.delivered() {
            stock.ask(format!("INV.SET {sku} AVAILABLE {units}"));
        }
        world.sites().follow();
        world
    }

    /// The names of the servers.
    pub fn servers(&self) -> String {
        let database = self.database.lock().expect("a database").name();
        let mut stock = self.stock();
        let valkey = stock.info("server", "valkey_version");
        let name = if valkey.is_empty() {
            format!("Redis {}", stock.info("server", "redis_version"))
        } else {
            format!("Valkey {valkey}")
        };
        format!("{database} and {name} with a replica")
    }

    /// What was put on sale.
    pub fn delivered(&self) -> BTreeMap<String, i64> {
        (0..self.plan.products).map(|number| (format!("SKU-{number}"), self.plan.units)).collect()
    }

    /// A new process of the shop.
    pub fn process(&self) -> Process {
        let line = Arc::new(Line::default());
        let database = relay(Target::Socket(self.socket.clone()), &line);
        let stock = relay(Target::Port(Arc::clone(&self.stock_port)), &line);
        let provider = relay(Target::Port(Arc::new(AtomicU16::new(self.provider.address().port()))), &line);
        let settings = Settings {
            postgres: format!("host=127.0.0.1 port={database} user=shop dbname=postgres sslmode=disable"),
            stock: format!("redis://127.0.0.1:{stock}"),
            provider: format!("127.0.0.1:{provider}"),
            durability: self.plan.durability,
            hold: Duration::from_secs(30),
            time_to_pay: Duration::from_secs(60),
            lease: Duration::from_secs(1),
            memory: Duration::from_secs(12 * 3600),
        };
        Process { settings, line }
    }

    /// A cart of up to three products.
    pub fn cart(&self, dice: &mut fastrand::Rng, method: Method) -> Cart {
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let mut skus: Vec<u64> = (0..self.plan.products).collect();
        dice.shuffle(&mut skus);
        let lines: Vec<(String, i64)> = skus
            .into_iter()
            .take(dice.usize(1..=3))
            .map(|sku| (format!("SKU-{sku}"), dice.i64(1..=3)))
            .collect();
        let amount = lines.iter().map(|line| line.1 * 995).sum();
        Cart { order: format!("ORDER-{number}"), lines, method, amount }
    }

    /// Counts something that has happened.
    pub fn happened(&self, what: &'static str) {
        *self.events.lock().expect("a map").entry(what).or_default() += 1;
    }

    /// A client of the master.
    pub fn stock(&self) -> Client {
        self.sites().master().connect()
    }

    /// Statements of the world, not of the shop. They return the last value.
    pub fn sql(&self, sql: &str) -> String {
        // PostgreSQL must not restart meanwhile.
        let _database = self.database.lock().expect("a database");
        let found = self.database().simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = found.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        rows.last().unwrap_or_default()
    }

    fn database(&self) -> postgres::Client {
        postgres::Client::connect(&self.address, NoTls).expect("the database")
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().expect("two servers")
    }

    // --- what happens ---

    /// The deadlines of about so many of a hundred reservations pass.
    pub fn expire_holds(&self, percent: u8, dice: &mut fastrand::Rng) {
        let mut stock = self.stock();
        let page = stock.ask("INV.SCAN 0 COUNT 1000");
        for id in page[1].as_array().expect("ids").iter().filter_map(|id| id.as_str()) {
            if dice.u8(..100) < percent && stock.try_ask(format!("INV.EXTEND {id} PX 1")).is_ok() {
                self.happened("deadlines passed");
            }
        }
    }

    /// The time for paying passes, so that the recovery job takes every order that has not ended.
    pub fn let_payments_time_out(&self) {
        self.sql("UPDATE orders SET pay_by = now() WHERE state = 'placed'; UPDATE outbox SET due_at = now()");
    }

    /// Kills PostgreSQL, and starts it again.
    pub fn restart_database(&self) {
        self.database.lock().expect("a database").crash_and_restart();
        self.happened("PostgreSQL killed and restarted");
    }

    /// Kills the master (kill -9), and starts it again. If only `kept` bytes of its AOF had reached the disk, the rest is lost, as
    /// when the power fails.
    pub fn restart_stock(&self, kept: Option<u64>) {
        let mut sites = self.sites();
        let at = sites.master;
        sites.servers[at].kill();
        if let Some(kept) = kept {
            let file = std::fs::File::options().write(true).open(aof(&sites.servers[at])).expect("an AOF");
            file.set_len(kept).expect("a shorter AOF");
        }
        sites.servers[at].start_again();
        sites.servers[at].mend_aof();
        sites.wait_for_replica();
        self.happened("stock server killed and restarted");
    }

    /// The size of the master's AOF.
    pub fn size_of_aof(&self) -> u64 {
        std::fs::metadata(aof(self.sites().master())).expect("an AOF").len()
    }

    /// The replica receives nothing from now on.
    pub fn part(&self) {
        let sites = self.sites();
        sites.links[sites.master].1.cut();
    }

    /// Kills the master, promotes the replica, and lets the old master follow it.
    pub fn fail_over(&self) {
        let mut sites = self.sites();
        let (old, new) = (sites.master, 1 - sites.master);
        sites.servers[old].kill();
        sites.links[old].1.mend();
        sites.servers[new].connect().ask("REPLICAOF NO ONE");
        sites.master = new;
        self.stock_port.store(sites.servers[new].port(), Ordering::SeqCst);
        sites.servers[old].start_again();
        sites.follow();
        self.happened("failovers");
    }

    /// Delivers the webhooks that are due. One that the shop does not confirm is delivered again.
    pub fn deliver_webhooks(&self, shop: &mut Option<Shop>, process: &Process) {
        let mut events = std::mem::take(&mut *self.undelivered.lock().expect("events"));
        events.extend(self.provider.take_webhooks());
        let mut events = events.into_iter();
        for event in events.by_ref() {
            let delivered = match shop.as_mut() {
                Some(shop) => shop.webhook(&event.0, &event.1),
                None => Shop::open(&process.settings)
                    .and_then(|opened| shop.insert(opened).webhook(&event.0, &event.1)),
            };
            self.happened("webhooks sent");
            if delivered.is_err() {
                self.undelivered.lock().expect("events").push(event);
                *shop = None;
                break;
            }
        }
        self.undelivered.lock().expect("events").extend(events);
    }

    /// Days pass without any fault: customers pay or do not, webhooks arrive, and the recovery job has time. Then everything is
    /// counted.
    pub fn settle(&self) -> Account {
        self.provider.set_mood(Mood { trouble: 0, ..self.plan.mood });
        let process = self.process();
        let mut shop = None;
        for _ in 0..60 {
            self.provider.let_pass(DAY / 2);
            self.deliver_webhooks(&mut shop, &process);
            self.let_payments_time_out();
            if shop.is_none() {
                shop = Shop::open(&process.settings).ok();
            }
            if let Some(Err(error)) = shop.as_mut().map(Shop::recover) {
                eprintln!("the last recovery job starts again: {error}");
                shop = None;
            }
            let waiting = self.sql("SELECT count(*) FROM outbox");
            let problem = self.sql("SELECT max(problem) FROM outbox");
            assert_eq!(problem, "", "a person is needed");
            let is_quiet = self.undelivered.lock().expect("events").is_empty() && !self.provider.is_busy();
            if waiting == "0" && is_quiet {
                self.provider.set_mood(self.plan.mood);
                return self.account();
            }
        }
        panic!(
            "the shop does not come to an end: {}",
            self.sql("SELECT string_agg(order_id, ' ') FROM outbox")
        );
    }

    /// The account as it is now.
    pub fn account(&self) -> Account {
        let url = format!("redis://127.0.0.1:{}", self.stock_port.load(Ordering::SeqCst));
        let mut stock =
            redis::Client::open(url).and_then(|client| client.get_connection()).expect("the stock");
        settle(&mut self.database(), &mut stock, self.provider.address(), &self.delivered())
    }
}

impl Process {
    /// The settings for shop.py.
    pub fn python(&self) -> String {
        let settings = &self.settings;
        json!({
            "postgres": settings.postgres,
            "stock": settings.stock.trim_start_matches("redis://"),
            "provider": settings.provider,
            "hold_ms": settings.hold.as_millis() as u64,
            "pay_ms": settings.time_to_pay.as_millis() as u64,
            "lease": settings.lease.as_secs_f64(),
            "memory": settings.memory.as_secs_f64(),
        })
        .to_string()
    }
}

impl Sites {
    fn master(&self) -> &Server {
        &self.servers[self.master]
    }

    /// Lets the other server follow the master.
    fn follow(&self) {
        let replica = &self.servers[1 - self.master];
        replica.connect().ask(format!("REPLICAOF 127.0.0.1 {}", self.links[self.master].0));
        self.wait_for_replica();
    }

    fn wait_for_replica(&self) {
        let replica = &self.servers[1 - self.master];
        wait_for("the replica follows", LATER, "up".to_owned(), || {
            replica.connect().info("replication", "master_link_status")
        });
        let offset = |server: &Server, field| -> u64 {
            server.connect().info("replication", field).parse().unwrap_or(0)
        };
        let sent = offset(self.master(), "master_repl_offset");
        wait_until("the replica has what the master sent", LATER, || {
            offset(replica, "slave_repl_offset") >= sent
        });
    }
}

/// The file to which a server appends.
fn aof(server: &Server) -> PathBuf {
    let files = std::fs::read_dir(server.folder().join("appendonlydir")).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("appendonly.aof.")?.strip_suffix(".incr.aof")?.parse::<u64>().ok()
    };
    files.filter(|path| number(path).is_some()).max_by_key(number).expect("an AOF")
}

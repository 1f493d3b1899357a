//! A server with the module, a PostgreSQL, and mirrors between them that can be killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Client, Json, LATER, Server, wait_until};
use crate::postgres::Postgres;

/// The limit for what needs several attempts of both sides.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program.
pub const INV: &str = env!("CARGO_BIN_EXE_inv");

/// The lines of configuration of a server that is mirrored.
pub const FEED: &[&str] = &["inv.feed-maxlen 100000"];

/// The tables of one test: a schema in a PostgreSQL of its own.
pub struct Tables {
    /// The database.
    pub postgres: Postgres,
}

impl Tables {
    /// An empty database.
    pub fn start() -> Self {
        Self { postgres: Postgres::start(&["fsync=off"]) }
    }

    /// The URL of the database.
    pub fn url(&self) -> String {
        let folder = self.postgres.folder().display().to_string().replace('/', "%2F");
        format!("postgres://shop@{folder}/postgres")
    }

    /// The last value of a query.
    pub fn ask(&self, query: &str) -> String {
        self.postgres.ask(&format!("SET search_path = inv; {query}"))
    }

    /// All rows of a query, as JSON.
    pub fn rows(&self, query: &str) -> Vec<Json> {
        // jsonb has no line feeds.
        let text = self.ask(&format!("SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM ({query}) AS q"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{query}: {error}: {text}"))
    }

    /// Whether a mirror has created them.
    pub fn exist(&self) -> bool {
        !self.ask("SELECT to_regclass('inv.gap')").is_empty()
    }

    /// The stock by sku.
    pub fn stock(&self) -> BTreeMap<String, (i64, i64)> {
        if !self.exist() {
            return BTreeMap::new();
        }
        let rows = self.rows("SELECT sku, available, reserved FROM stock");
        let number = |row: &Json, name: &str| row[name].as_i64().expect("a number");
        let row = |row: &Json| {
            let sku = row["sku"].as_str().expect("a sku").to_owned();
            (sku, (number(row, "available"), number(row, "reserved")))
        };
        rows.iter().map(row).collect()
    }

    /// Checks what must always be true of the tables, whatever happened.
    #[track_caller]
    pub fn check(&self) {
        // The changes of all movements add up to the stock.
        let sums = self.rows(
            "SELECT coalesce(stock.sku, sums.sku) AS sku, stock.available, stock.reserved, sums.a, sums.r
             FROM stock FULL JOIN (SELECT sku, sum(available_change) AS a, sum(reserved_change) AS r FROM stock_movement
                                   GROUP BY sku) AS sums USING (sku)
             WHERE coalesce(stock.available, 0) <> coalesce(sums.a, 0) OR coalesce(stock.reserved, 0) <> coalesce(sums.r, 0)",
        );
        assert!(sums.is_empty(), "the sums of the movements are not the stock: {sums:?}");
        // No entry of a feed is there twice.
        let twice = self.rows(
            "SELECT feed, entry_ms, entry_seq, count(*) FROM stock_movement WHERE part = 1 AND lost_in IS NULL
             GROUP BY feed, entry_ms, entry_seq HAVING count(*) > 1",
        );
        assert!(twice.is_empty(), "movements that are there twice: {twice:?}");
        // Each movement follows from the one before it of the same sku.
        let broken = self.rows(
            "SELECT * FROM (
                 SELECT sku, epoch, entry_ms, entry_seq, part, event, available, reserved,
                        lag(available, 1, 0::bigint) OVER own + available_change AS a,
                        lag(reserved, 1, 0::bigint) OVER own + reserved_change AS r
                 FROM stock_movement WINDOW own AS (PARTITION BY sku ORDER BY epoch, entry_ms, entry_seq, part)
             ) AS chain WHERE available <> a OR reserved <> r",
        );
        assert!(broken.is_empty(), "movements that do not follow from those before: {broken:?}");
        // A reservation that holds units says so.
        let states =
            self.rows("SELECT id, state, held FROM reservation WHERE (held <> '{}') <> (state = 'reserved')");
        assert!(states.is_empty(), "reservations whose state is wrong: {states:?}");
    }

    /// Checks that the tables say what the counters say.
    #[track_caller]
    pub fn assert_equal(&self, server: &mut Client) {
        let counters = counters(server);
        let tables = self.stock();
        let differing: Vec<_> = counters
            .keys()
            .chain(tables.keys())
            .filter(|sku| {
                counters.get(*sku).copied().unwrap_or_default()
                    != tables.get(*sku).copied().unwrap_or_default()
            })
            .map(|sku| format!("{sku}: counters {:?}, tables {:?}", counters.get(sku), tables.get(sku)))
            .collect();
        assert!(differing.is_empty(), "tables and counters differ: {differing:#?}");
        self.check();
        self.assert_reservations(server);
    }

    /// Checks that the tables know the live reservations, what they hold and their deadlines.
    #[track_caller]
    fn assert_reservations(&self, server: &mut Client) {
        let mut live = BTreeMap::new();
        for key in scan(server, "reservation:*") {
            let Some(text) = server.ask(["GET", &key]).as_str().map(str::to_owned) else { continue };
            let Ok(record) = serde_json::from_str::<Json>(&text) else { continue };
            let held: BTreeMap<String, i64> = record["items"]
                .as_array()
                .expect("items")
                .iter()
                .map(|line| {
                    let product = line["product_id"].as_str().expect("a product");
                    let warehouse = line["warehouse"].as_str().map(|at| format!("@{at}")).unwrap_or_default();
                    (format!("{product}{warehouse}"), line["quantity"].as_i64().expect("a number"))
                })
                .collect();
            let id = record["reservation_id"].as_str().expect("an id").to_owned();
            live.insert(id, (held, record["expires_at"].as_i64().expect("a deadline")));
        }
        let rows = self.rows(
            "SELECT id, held, round(extract(epoch FROM expires_at) * 1000)::bigint AS expires_at FROM reservation
             WHERE held <> '{}'",
        );
        let known: BTreeMap<String, (BTreeMap<String, i64>, i64)> = rows
            .iter()
            .map(|row| {
                let held = serde_json::from_value(row["held"].clone()).expect("units by sku");
                let id = row["id"].as_str().expect("an id").to_owned();
                (id, (held, row["expires_at"].as_i64().unwrap_or_default()))
            })
            .collect();
        assert_eq!(known, live);
    }
}

/// Waits until no deadline passes while two sides are compared.
pub fn wait_until_nothing_is_due(client: &mut Client) {
    wait_until("nothing is due soon", LATER, || {
        // Until the module knows all reservations, it answers TRYAGAIN.
        let next = client.try_ask("INV.SCAN 0 COUNT 1 FULL");
        let now = client.now();
        next.is_ok_and(|next| next[1][0]["expires_at"].as_i64().is_none_or(|at| at > 100_000 + now))
            // INV.SCAN does not list what has passed its deadline and is about to be released.
            && client.info("inv", "inv_overdue") == "0"
    });
}

/// The counters of a server by sku, without quotas.
pub fn counters(server: &mut Client) -> BTreeMap<String, (i64, i64)> {
    let mut counters: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for kind in ["available", "reserved"] {
        let prefix = format!("stock:{kind}:");
        for key in scan(server, &format!("{prefix}*")) {
            let rest = key.strip_prefix(&prefix).expect("the prefix");
            if rest.contains("@@") {
                continue;
            }
            let (product, after) = rest.split_at(rest.find('@').unwrap_or(rest.len()));
            let product = match product.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
                Some(inner) => inner,
                None => product,
            };
            let units = server.ask(["GET", &key]).as_str().and_then(|units| units.parse().ok()).unwrap_or(0);
            let counter = counters.entry(format!("{product}{after}")).or_default();
            *(if kind == "available" { &mut counter.0 } else { &mut counter.1 }) = units;
        }
    }
    counters
}

/// All keys that match.
pub fn scan(server: &mut Client, pattern: &str) -> Vec<String> {
    let keys = server.ask(["KEYS", pattern]);
    keys.as_array().expect("keys").iter().map(|key| key.as_str().expect("a key").to_owned()).collect()
}

/// The URL of a server.
pub fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

/// The program with these words, without a terminal, and without what the environment of the tests says.
pub fn inv(words: &[&str]) -> Command {
    let mut command = Command::new(INV);
    command.args(words).env_remove("INV_URL").env_remove("INV_POSTGRES_URL").stdin(Stdio::null());
    command
}

/// Runs the program to its end: exit code, stdout and stderr.
#[track_caller]
pub fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let done = inv(words).output().expect("inv runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

/// Mirrors once, and returns the JSON lines.
#[track_caller]
pub fn once(server: &Server, tables: &Tables) -> Vec<Json> {
    let (code, out, err) = mirror_once(&url(server), tables, &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Mirrors once: exit code, stdout and stderr.
#[track_caller]
pub fn mirror_once(server: &str, tables: &Tables, more: &[&str]) -> (Option<i32>, String, String) {
    let database = tables.url();
    run(&[&["--url", server, "--json", "mirror", &database, "--once"], more].concat())
}

/// A running mirror. Dropping it kills it.
pub struct Mirror {
    child: Child,
    log: PathBuf,
}

impl Mirror {
    /// Starts one with more words.
    pub fn start(server: &str, tables: &Tables, more: &[&str]) -> Self {
        let log = tables.postgres.folder().join(format!("mirror-{}.log", fastrand_name()));
        let file = File::create(&log).expect("a log");
        let database = tables.url();
        let child = inv(&["--url", server, "--json", "mirror", &database])
            .args(more)
            .stdout(file.try_clone().expect("a log"))
            .stderr(file)
            .spawn()
            .expect("inv starts");
        Self { child, log }
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it with kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal, such as -STOP.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success(), "kill {signal}");
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Waits until the tables say what the counters say.
    #[track_caller]
    pub fn wait_until_equal(&mut self, server: &mut Client, tables: &Tables) {
        wait_until("the tables say what the counters say", PATIENCE, || {
            assert!(self.runs(), "the mirror has ended: {}", self.log());
            let counters = counters(server);
            counters == tables.stock() && counters == self::counters(server)
        });
    }

    /// Waits until it has said this.
    #[track_caller]
    pub fn wait_until_says(&mut self, text: &str) {
        wait_until(text, PATIENCE, || self.log().contains(text));
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- what the mirror said ---\n{}---", self.log());
        }
    }
}

/// A name that no other mirror has.
fn fastrand_name() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

//! Compares the module with what shops do in PostgreSQL, on real servers: `make bench-sql`.
//!
//! It starts temporary servers: a PostgreSQL, and two servers with the module, whose AOF is synced always and each second. The
//! contenders take turns, round by round; a table and a chart are saved in `benches/results/`.

use std::fmt::Write;
use std::io::Write as _;
use std::time::Instant;

use chart::{Bar, Group};
use harness::Server;
use load::{Figures, Load, configuration, empty, fill_products, spread, words};
use numbers::thousands;
use options::Options;
use server::Postgres;

#[path = "common/chart.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod chart;
#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod load;
#[path = "common/machine.rs"]
mod machine;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/options.rs"]
mod options;
#[path = "sql/pgbench.rs"]
mod pgbench;
#[path = "../tests/common/postgres.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
mod server;

/// One hot product, or a load that is spread over many.
const PRODUCTS: [usize; 2] = [1, 1_000];
/// Rows for units, for each second of the load: more than PostgreSQL reserves in that time.
const UNITS_A_SECOND: u64 = 30_000;

const TABLES: &str = "
DROP TABLE IF EXISTS stock, reservation, unit;
CREATE TABLE stock (product int PRIMARY KEY, available int NOT NULL, reserved int NOT NULL);
CREATE TABLE reservation (id uuid PRIMARY KEY, product int NOT NULL, quantity int NOT NULL, expires_at timestamptz NOT NULL);
CREATE INDEX ON reservation (expires_at);
CREATE TABLE unit (id bigint PRIMARY KEY, product int NOT NULL, reservation uuid, expires_at timestamptz);
CREATE INDEX ON unit (product) WHERE reservation IS NULL;
CREATE INDEX ON unit (expires_at) WHERE reservation IS NOT NULL;";

/// A row for each product counts its units.
const COUNTERS: &str = r"\set product random(1, :products)
WITH taken AS (
    UPDATE stock SET available = available - 1, reserved = reserved + 1
    WHERE product = :product AND available >= 1
    RETURNING product
)
INSERT INTO reservation (id, product, quantity, expires_at)
SELECT gen_random_uuid(), product, 1, now() + interval '15 minutes' FROM taken
RETURNING id;
";

/// Each unit is a row.
const UNIT_ROWS: &str = r"\set product random(1, :products)
WITH taken AS (
    SELECT id FROM unit WHERE product = :product AND reservation IS NULL
    LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE unit SET reservation = gen_random_uuid(), expires_at = now() + interval '15 minutes'
FROM taken WHERE unit.id = taken.id
RETURNING unit.reservation;
";

/// Whether a reply means that the reservation is on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Durability {
    OnDisk,
    Soon,
}

impl Durability {
    fn name(self) -> &'static str {
        match self {
            Self::OnDisk => "on disk before the reply",
            Self::Soon => "on disk within a second",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Module,
    Counters,
    UnitRows,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Module => "INV.RESERVE",
            Self::Counters => "PostgreSQL, a row a product",
            Self::UnitRows => "PostgreSQL, a row a unit",
        }
    }
}

/// One contender in one setting, and its figures by round.
struct Row {
    by: By,
    products: usize,
    durability: Durability,
    figures: Vec<Figures>,
}

/// The servers that are compared.
struct Servers {
    postgres: Postgres,
    always: Server,
    everysec: Server,
}

impl Servers {
    fn start() -> Self {
        let with_module = |aof: &str| {
            let lines = configuration(aof);
            Server::start_with(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        };
        Self {
            postgres: Postgres::start(&pgbench::SETTINGS),
            always: with_module("always"),
            everysec: with_module("everysec"),
        }
    }

    fn measure(&self, row: &Row, options: &Options, seed: usize) -> Figures {
        if row.by == By::Module {
            let server = if row.durability == Durability::OnDisk { &self.always } else { &self.everysec };
            empty(server);
            fill_products(&mut server.connect(), row.products);
            let load = Load { requests: options.requests, pipeline: 1, range: row.products, seed };
            return load.run(server, &words("INV.RESERVE * EX 900 ITEMS __rand_int__ 1"), "INV.RESERVE");
        }
        let products = row.products;
        let units = if row.by == By::UnitRows { UNITS_A_SECOND * options.seconds } else { 0 };
        self.postgres.ask(TABLES);
        self.postgres.ask(&format!(
            "INSERT INTO stock SELECT n, 1000000000, 0 FROM generate_series(1, {products}) n; \
             INSERT INTO unit SELECT n, 1 + n % {products} FROM generate_series(1, {units}) n;"
        ));
        self.postgres.ask("VACUUM ANALYZE");
        self.postgres.ask("CHECKPOINT");
        let script = if row.by == By::Counters { COUNTERS } else { UNIT_ROWS };
        let is_synchronous = row.durability == Durability::OnDisk;
        let (figures, asked) =
            pgbench::load(&self.postgres, script, products, is_synchronous, options.seconds);
        // A request that finds no unit is cheaper than one that reserves.
        let reserved = self.postgres.ask(
            "SELECT (SELECT count(*) FROM reservation) + (SELECT count(*) FROM unit WHERE reservation IS NOT NULL)",
        );
        let reserved: usize = reserved.parse().expect("a count");
        assert!(reserved * 100 >= asked * 99, "{reserved} of {asked} requests have reserved a unit");
        figures
    }
}

/// The median time in µs in which the disk of the temporary folder stores a small write.
fn sync_us() -> f64 {
    let mut file = tempfile::tempfile().expect("a temporary file");
    let mut all: Vec<f64> = (0..200)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&[0; 512]).and_then(|()| file.sync_data()).expect("a write");
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The rows of each setting, with the setting.
fn settings(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let mut settings = vec![];
    for products in PRODUCTS {
        for durability in [Durability::OnDisk, Durability::Soon] {
            let what = if products == 1 {
                "a hot product".to_owned()
            } else {
                format!("{} products", thousands(products))
            };
            let rows = rows.iter().filter(|row| row.products == products && row.durability == durability);
            settings.push((format!("{what}, {}", durability.name()), rows.collect()));
        }
    }
    settings
}

fn per_second(figures: &Figures) -> f64 {
    figures.per_second / 1000.0
}

fn markdown(
    options: &Options,
    names: &[String; 2],
    load_before: &str,
    rows: &[Row],
) -> Result<String, std::fmt::Error> {
    let Options { rounds, seconds, requests } = options;
    let [sql_server, server] = names;
    let mut text = String::from("# The module and PostgreSQL\n\nWritten by `make bench-sql`.\n\n");
    writeln!(
        text,
        "| | |\n| --- | --- |\n| machine | {} |\n| servers | {server}, {sql_server} |",
        machine::machine()
    )?;
    writeln!(text, "| load (1 min) | {load_before} before, {} after |", machine::load())?;
    writeln!(text, "| a write of 512 bytes with fdatasync, median | {:.0} µs |", sync_us())?;
    writeln!(
        text,
        "| command | `scripts/bench.sh sql --rounds {rounds} --seconds {seconds} --requests {requests}` |\n"
    )?;
    writeln!(
        text,
        "Each request reserves one unit for 15 minutes, with a generated id. 50 clients each wait for their reply: pgbench for \
         {seconds} seconds with prepared statements over a Unix socket, and the server's own benchmark program with \
         {requests} requests over TCP. All run on the same machine. There are {rounds} rounds; the contenders take turns, \
         each on empty tables, and the table shows medians.\n\n\
         *On disk before the reply* is `synchronous_commit on`, and `appendfsync always` for the module. *On disk within a \
         second* is `synchronous_commit off`, and `appendfsync everysec`. *CPU µs* is the processor time of an operation: \
         that of the server's main thread, and for PostgreSQL that of the processes that serve the clients. *Module / it* \
         compares throughput.\n"
    )?;
    writeln!(text, "![throughput](sql.svg)\n")?;
    for (setting, rows) in settings(rows) {
        writeln!(
            text,
            "## {}{}\n\n| | 1000/s, median | min | max | module / it | p50 ms | p99 ms | CPU µs |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
            setting[..1].to_uppercase(),
            &setting[1..]
        )?;
        let own = rows
            .iter()
            .find(|row| row.by == By::Module)
            .map(|row| spread(&row.figures, per_second)[1])
            .unwrap();
        for row in rows {
            let [least, rate, most] = spread(&row.figures, per_second);
            let ratio = if row.by == By::Module { String::new() } else { format!("{:.1}", own / rate) };
            writeln!(
                text,
                "| {} | {rate:.1} | {least:.1} | {most:.1} | {ratio} | {:.2} | {:.2} | {:.1} |",
                row.by.name(),
                spread(&row.figures, |figures| figures.p50_ms)[1],
                spread(&row.figures, |figures| figures.p99_ms)[1],
                spread(&row.figures, |figures| figures.cpu_us)[1]
            )?;
        }
        text.push('\n');
    }
    writeln!(
        text,
        "## What PostgreSQL runs\n\nIt has its default settings, except `{}`. The tables:\n\n\
         ```sql{TABLES}\n```\n\nA row a product:\n\n```sql\n{COUNTERS}```\n\nA row a unit:\n\n```sql\n{UNIT_ROWS}```",
        pgbench::SETTINGS.join("`, `")
    )?;
    Ok(text)
}

fn main() {
    let Some(options) = Options::read(5) else { return };
    let load_before = machine::load();
    let servers = Servers::start();
    let names = [servers.postgres.name(), machine::server_name(&mut servers.always.connect())];
    let mut rows = vec![];
    for products in PRODUCTS {
        for durability in [Durability::OnDisk, Durability::Soon] {
            for by in [By::Module, By::Counters, By::UnitRows] {
                rows.push(Row { by, products, durability, figures: vec![] });
            }
        }
    }
    for round in 1..=options.rounds {
        for row in &mut rows {
            let figures = servers.measure(row, &options, round);
            eprintln!(
                "  round {round}: {:<28} {:>5} products, {:<24} {:>6.1} thousand/s, p99 {:>6.2} ms, {:>6.1} µs of CPU",
                row.by.name(),
                row.products,
                row.durability.name(),
                per_second(&figures),
                figures.p99_ms,
                figures.cpu_us
            );
            row.figures.push(figures);
        }
    }
    let text = markdown(&options, &names, &load_before, &rows).unwrap();
    print!("{text}");
    chart::save_text("sql.md", text.trim_end());
    let groups: Vec<Group> = settings(&rows)
        .into_iter()
        .map(|(title, rows)| Group {
            title,
            bars: rows
                .iter()
                .map(|row| Bar {
                    label: row.by.name().to_owned(),
                    is_own: row.by == By::Module,
                    spread: spread(&row.figures, per_second),
                })
                .collect(),
        })
        .collect();
    chart::bars(
        "sql.svg",
        &format!("Thousand reservations a second, {} and {}", names[1], names[0]),
        &groups,
    );
}

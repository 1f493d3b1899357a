//! Measures `inv mirror`, `inv import` and `inv export` on real servers: `make bench-mirror`.
//!
//! It starts a temporary server with the module and a temporary PostgreSQL. First the mirror writes what the server has done alone,
//! then both work at the same time. A table is saved in `benches/results/`. In the end, the tables must equal the counters.

use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, Server};
use load::{configuration, fill_products};
use numbers::thousands;
use options::Options;
use server::Postgres;

#[path = "../../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "../../benches/common/load.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod load;
#[path = "../../benches/common/machine.rs"]
mod machine;
#[path = "../../benches/common/numbers.rs"]
mod numbers;
#[path = "../../benches/common/options.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod options;
#[path = "../../tests/common/postgres.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
mod server;

const PRODUCTS: usize = 1_000;
/// Connections that reserve, and how many reservations each sends at once.
const CONNECTIONS: u64 = 4;
const PIPELINE: usize = 100;
/// Rows of the file that is imported.
const ROWS: usize = 100_000;
/// The longest time that a mirror may need for what is left.
const PATIENCE: Duration = Duration::from_secs(600);

/// What one round has measured.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// Reservations a second that the server makes alone.
    alone: f64,
    /// Movements a second that the mirror writes while the server has nothing else to do.
    catching_up: f64,
    /// Reservations a second while the mirror works.
    server: f64,
    /// Movements a second that the mirror writes meanwhile.
    mirror: f64,
    /// Entries that are not written when the load ends.
    lag: f64,
    /// Seconds until they are.
    lag_seconds: f64,
    /// Seconds for the file.
    import: f64,
    export: f64,
}

/// The servers of a round.
struct World {
    server: Server,
    postgres: Postgres,
}

impl World {
    fn start() -> Self {
        let mut lines = configuration("no");
        lines.push("inv.feed-maxlen 10000000".to_owned());
        let server = Server::start_with(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        fill_products(&mut server.connect(), PRODUCTS);
        Self { server, postgres: Postgres::start(&[]) }
    }

    fn inv(&self, words: &[&str]) -> Command {
        let folder = self.postgres.folder().display().to_string().replace('/', "%2F");
        let mut command = Command::new(env!("CARGO_BIN_EXE_inv"));
        command
            .args(words)
            .env("INV_URL", format!("redis://127.0.0.1:{}", self.server.port()))
            .env("INV_POSTGRES_URL", format!("postgres://shop@{folder}/postgres"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Runs it to its end. Returns the seconds.
    fn time(&self, words: &[&str]) -> f64 {
        let begin = Instant::now();
        let status = self.inv(words).status().expect("inv starts");
        assert!(status.success(), "inv {words:?}: {status}");
        begin.elapsed().as_secs_f64()
    }

    /// Reserves with all connections. Returns the reservations a second.
    fn reserve(&self, seconds: u64) -> f64 {
        let begin = Instant::now();
        let until = begin + Duration::from_secs(seconds);
        let made: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..CONNECTIONS)
                .map(|seed| scope.spawn(move || reserve_until(self.server.port(), until, seed)))
                .collect();
            workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
        });
        made as f64 / begin.elapsed().as_secs_f64()
    }

    fn entries(&self, client: &mut Client) -> i64 {
        client.ask("XLEN inventory:feed").as_i64().expect("a number")
    }

    /// How many entries the tables have.
    fn written(&self) -> i64 {
        let sql = "SELECT coalesce(sum(entries_read), 0) FROM inv.feed";
        self.postgres.ask(sql).parse().expect("a number")
    }

    /// Asserts that the tables have the counters of the server.
    fn compare(&self) {
        let mut client = self.server.connect();
        let sum = |kind: &str, client: &mut Client| {
            let sum = "local sum = 0 for i = 0, ARGV[1] - 1 do sum = sum + (redis.call('GET', \
                       string.format('stock:' .. ARGV[2] .. ':%012d', i)) or 0) end return sum";
            client.ask(["EVAL", sum, "0", &PRODUCTS.to_string(), kind]).as_i64().expect("a number")
        };
        let counters = format!("{}|{}", sum("available", &mut client), sum("reserved", &mut client));
        let tables = self.postgres.ask("SELECT sum(available) || '|' || sum(reserved) FROM inv.stock");
        assert_eq!(tables, counters, "the tables and the counters");
    }
}

fn reserve_until(port: u16, until: Instant, seed: u64) -> usize {
    let client = redis::Client::open(("127.0.0.1", port)).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut made = 0;
    while Instant::now() < until {
        let mut pipe = redis::pipe();
        for _ in 0..PIPELINE {
            let product = format!("{:012}", random.usize(..PRODUCTS));
            pipe.cmd("INV.RESERVE").arg("*").arg("EX").arg(900).arg("ITEMS").arg(product).arg(1).ignore();
        }
        let () = pipe.query(&mut connection).expect("reservations");
        made += PIPELINE;
    }
    made
}

/// A process that is ended when the measurement is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn measure(seconds: u64) -> Figures {
    let world = World::start();
    let mut client = world.server.connect();
    world.time(&["mirror", "--once"]);
    let mut figures = Figures { alone: world.reserve(seconds), ..Figures::default() };
    let behind = world.entries(&mut client) - world.written();
    figures.catching_up = behind as f64 / world.time(&["mirror", "--once"]);

    let mirror = Running(world.inv(&["mirror", "--json"]).spawn().expect("inv starts"));
    world.server.connect().ask("INV.RESERVE first ITEMS 000000000000 1");
    wait_until("the mirror works", || world.written() == world.entries(&mut client));
    let before = world.written();
    let begin = Instant::now();
    figures.server = world.reserve(seconds);
    let (elapsed, written) = (begin.elapsed().as_secs_f64(), world.written());
    let entries = world.entries(&mut client);
    figures.mirror = (written - before) as f64 / elapsed;
    figures.lag = (entries - written) as f64;
    let begin = Instant::now();
    wait_until("the lag is gone", || world.written() == entries);
    figures.lag_seconds = begin.elapsed().as_secs_f64();
    drop(mirror);
    world.compare();

    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let rows: String = (0..ROWS).map(|number| format!("SKU-{number},{}\n", number % 1000)).collect();
    std::fs::write(path("in.csv"), format!("sku,available\n{rows}")).expect("a file");
    figures.import = world.time(&["import", &path("in.csv")]);
    figures.export = world.time(&["export", &path("out.csv"), "--match", "SKU-*"]);
    let exported = std::fs::read_to_string(path("out.csv")).expect("a file");
    assert_eq!(exported.lines().count(), ROWS + 1);
    figures
}

fn spread(all: &[Figures], of: impl Fn(&Figures) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

fn markdown(
    options: &Options,
    names: &[String; 2],
    load_before: &str,
    all: &[Figures],
) -> Result<String, std::fmt::Error> {
    let Options { rounds, seconds, .. } = options;
    let [sql_server, server] = names;
    let mut text =
        String::from("# What inv mirror, import and export can do\n\nWritten by `make bench-mirror`.\n\n");
    writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine())?;
    writeln!(text, "| servers | {server}, {sql_server} |")?;
    writeln!(text, "| load (1 min) | {load_before} before, {} after |", machine::load())?;
    writeln!(text, "| command | `scripts/bench.sh mirror --rounds {rounds} --seconds {seconds}` |\n")?;
    writeln!(
        text,
        "{CONNECTIONS} connections each send {PIPELINE} `INV.RESERVE` of one unit at once, for {seconds} seconds: first without a \
         mirror, which then writes what it has missed, and then beside a mirror. All run on the same machine, PostgreSQL with its \
         default settings. The file has {} rows. There are {rounds} rounds.\n",
        thousands(ROWS)
    )?;
    writeln!(text, "| | median | min | max |\n| --- | ---: | ---: | ---: |")?;
    let mut row = |name: &str, decimals: usize, of: &dyn Fn(&Figures) -> f64| {
        let [least, median, most] = spread(all, of).map(|value| match decimals {
            0 => thousands(value.round() as usize),
            _ => format!("{value:.decimals$}"),
        });
        writeln!(text, "| {name} | {median} | {least} | {most} |")
    };
    row("reservations a second, without a mirror", 0, &|figures| figures.alone)?;
    row("movements a second of `inv mirror --once` after that, its comparison included", 0, &|figures| {
        figures.catching_up
    })?;
    row("reservations a second, beside the mirror", 0, &|figures| figures.server)?;
    row("movements a second that it writes meanwhile", 0, &|figures| figures.mirror)?;
    row("mirror / server", 2, &|figures| figures.mirror / figures.server)?;
    row("entries that are not written when the load ends", 0, &|figures| figures.lag)?;
    row("seconds until they are", 1, &|figures| figures.lag_seconds)?;
    row("seconds of `inv import`", 1, &|figures| figures.import)?;
    row("seconds of `inv export`", 1, &|figures| figures.export)?;
    Ok(text)
}

fn main() {
    let Some(options) = Options::read(3) else { return };
    let load_before = machine::load();
    let names = {
        let world = World::start();
        [world.postgres.name(), machine::server_name(&mut world.server.connect())]
    };
    let mut all = vec![];
    for round in 1..=options.rounds {
        let figures = measure(options.seconds);
        eprintln!(
            "  round {round}: alone {:.0}/s, catching up {:.0}/s; beside: server {:.0}/s, mirror {:.0}/s, lag {:.0} entries, {:.1} s; \
             import {:.1} s, export {:.1} s",
            figures.alone,
            figures.catching_up,
            figures.server,
            figures.mirror,
            figures.lag,
            figures.lag_seconds,
            figures.import,
            figures.export
        );
        all.push(figures);
    }
    let text = markdown(&options, &names, &load_before, &all).expect("a text");
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/results/mirror.md");
    std::fs::write(path, text).expect("the report is saved");
    eprintln!("saved in benches/results/mirror.md");
}

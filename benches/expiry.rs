//! Measures how soon units return after a deadline, on a real server: `make bench-expiry`.
//!
//! It starts temporary servers on free ports. It takes three to four minutes, reports its progress on stderr, and prints a
//! Markdown table. The table and a chart are saved in `benches/results/`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::{Client, Json, Server, server_program};
use report::{Attempt, Latencies, Line, OnTime, Report, Storm, median};

#[path = "common/chart.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod chart;
#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;

#[path = "common/machine.rs"]
mod machine;
#[path = "common/numbers.rs"]
mod numbers;

#[path = "expiry/report.rs"]
mod report;

/// Commands in one write.
const BATCH: usize = 10_000;
/// Rounds of the first part. They are short.
const ON_TIME_ROUNDS: usize = 5;
/// Products in the second part, in which many reservations expire at once.
const PRODUCTS: usize = 100;
/// Available units next to the overdue reservations, and how many more than these are requested.
const FREE: usize = 10;
const MORE: usize = 5;
/// If something takes longer than this, it is not slow but broken.
const LIMIT: Duration = Duration::from_secs(120);

/// The command-line options.
pub struct Options {
    /// Rounds of the second and third part.
    rounds: usize,
    /// How long the alternative without the module is observed.
    seconds: u64,
    /// Runs a hundredth of the load, as a smoke test; saves nothing.
    quick: bool,
    /// The options as they were typed.
    typed: Vec<String>,
}

impl Options {
    /// The options, or `None` if cargo runs this as a test.
    fn read() -> Option<Self> {
        let mut options = Self { rounds: 3, seconds: 60, quick: false, typed: Vec::new() };
        let mut is_bench = false;
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            if word == "--bench" {
                is_bench = true;
                continue;
            }
            options.typed.push(word.clone());
            let mut number = || {
                let typed = words.next().unwrap_or_default();
                options.typed.push(typed.clone());
                typed.parse().ok().filter(|&number: &u64| number > 0)
            };
            let understood = match word.as_str() {
                "--rounds" => number().map(|number| options.rounds = number as usize),
                "--seconds" => number().map(|number| options.seconds = number),
                "--quick" => {
                    options.quick = true;
                    Some(())
                }
                _ => None,
            };
            if understood.is_none() {
                eprintln!("usage: [--rounds 3] [--seconds 60] [--quick]");
                std::process::exit(2);
            }
        }
        is_bench.then_some(options)
    }

    /// Scales a number of keys or reservations.
    fn of(&self, number: usize) -> usize {
        if self.quick { number / 100 } else { number }
    }
}

/// A deadline on two clocks: the server's, and the monotonic clock for measurements.
#[derive(Clone, Copy)]
struct Deadline {
    unix_ms: u64,
    instant: Instant,
}

impl Deadline {
    fn after(time: Duration) -> Self {
        let (unix, instant) =
            (SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"), Instant::now());
        let unix_ms = (unix + time).as_millis() as u64;
        // `time` in whole milliseconds: without what the rounding cut off.
        let instant = instant + (Duration::from_millis(unix_ms) - unix);
        Self { unix_ms, instant }
    }

    fn left(&self) -> Duration {
        self.instant.saturating_duration_since(Instant::now())
    }

    fn ago(&self) -> Duration {
        self.instant.elapsed()
    }

    fn ago_ms(&self) -> f64 {
        ms(self.ago())
    }

    /// Sleeps until this long before the deadline.
    fn sleep_until(&self, before: Duration) {
        thread::sleep(self.left().saturating_sub(before));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Sends the commands in large writes. An error reply aborts the benchmark.
fn pipeline(client: &mut Client, mut commands: impl Iterator<Item = String>) {
    loop {
        let batch: Vec<String> = commands.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return;
        }
        let lines: Vec<&str> = batch.iter().map(String::as_str).collect();
        for reply in client.burst(&lines) {
            assert!(!reply.as_str().is_some_and(|text| text.starts_with('-')), "{reply}");
        }
    }
}

/// Adds keys with a TTL that are not reservations: the server has to find overdue reservations among them.
fn fill(client: &mut Client, keys: usize) {
    eprintln!("  {keys} keys with a TTL ...");
    pipeline(client, (0..keys).map(|number| format!("SET visit:{number} v PX 3600000")));
}

fn integer(reply: &Json) -> usize {
    reply.as_str().and_then(|text| text.parse().ok()).expect("an integer")
}

// --- on time ---

/// Makes `count` reservations and records each observed return of units, with the milliseconds after the deadline.
fn on_time_round(client: &mut Client, round: usize, count: usize) -> Line {
    // The server's cron runs every 100 ms; the rounds are spread over that time.
    let deadline = Deadline::after(Duration::from_millis(700 + (round * 100 / ON_TIME_ROUNDS) as u64));
    client.ask(format!("SET stock:available:PROD {count}"));
    let until = deadline.unix_ms;
    pipeline(
        client,
        (0..count).map(|number| format!("INV.RESERVE {round}-{number} PXAT {until} ITEMS PROD 1")),
    );
    assert!(deadline.left() > Duration::ZERO, "the reservations were not made before their deadline");
    deadline.sleep_until(Duration::from_millis(2));
    let mut seen = Line::new();
    loop {
        let units = integer(&client.ask("GET stock:available:PROD"));
        if seen.last().map_or(0, |&(_, units)| units) != units {
            seen.push((deadline.ago_ms(), units));
        }
        if units == count {
            return seen;
        }
        assert!(deadline.ago() < LIMIT, "{units} of {count} units are back after {LIMIT:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The same without the module: a listener receives the expiry events and counts a unit for each.
fn plain_way(options: &Options, keys: usize, count: usize) -> Line {
    let server = Server::start_without_module(server_program(), &["notify-keyspace-events Ex"]);
    let mut client = server.connect();
    fill(&mut client, keys);
    let mut listener = server.connect();
    listener.listen("__keyevent@0__:expired");
    let deadline = Deadline::after(Duration::from_millis(700));
    let until = deadline.unix_ms;
    pipeline(&mut client, (0..count).map(|number| format!("SET reservation:{number} 1 PXAT {until}")));
    assert!(deadline.left() > Duration::ZERO, "the keys were not set before their deadline");
    eprintln!("  observing the server's own expiry for {} s ...", options.seconds);
    deadline.sleep_until(Duration::ZERO);
    let (mut seen, mut units) = (Line::new(), 0);
    while deadline.ago() < Duration::from_secs(options.seconds) && units < count {
        let heard = listener.heard();
        let is_ours = |name: &str| name.starts_with("reservation:");
        let back = heard.iter().filter(|push| push[2].as_str().is_some_and(is_ours)).count();
        if back > 0 {
            units += back;
            seen.push((deadline.ago_ms(), units));
        }
        thread::sleep(Duration::from_millis(5));
    }
    seen
}

fn on_time(options: &Options) -> OnTime {
    let (keys, count) = (options.of(1_000_000), options.of(1_000));
    eprintln!("on time: {count} reservations beside {keys} keys with a TTL");
    let rounds = {
        let server = Server::start();
        let mut client = server.connect();
        fill(&mut client, keys);
        let round = |round| {
            let seen = on_time_round(&mut client, round, count);
            eprintln!("  round {}: all back after {:.0} ms", round + 1, seen.last().unwrap().0);
            seen
        };
        (0..ON_TIME_ROUNDS).map(round).collect()
    };
    let plain = plain_way(options, keys, count);
    eprintln!("  the server's own expiry: {} of {count} back", plain.last().map_or(0, |&(_, units)| units));
    OnTime { keys, count, rounds, plain, seconds: options.seconds }
}

// --- reservations that expire at once ---

/// A server with `count` reservations of one unit with the same deadline, more than a second from now.
fn with_holds(count: usize, products: usize) -> (Server, Client, Deadline) {
    // Each round gets a new server, so that all have the same number of keys. This lead is enough on a fast machine.
    let mut lead = Duration::from_secs(2) + Duration::from_micros(30) * count as u32;
    loop {
        let server = Server::start();
        let mut client = server.connect();
        let deadline = Deadline::after(lead);
        let until = deadline.unix_ms;
        let stock = count / products;
        pipeline(&mut client, (0..products).map(|product| format!("SET stock:available:P{product} {stock}")));
        pipeline(
            &mut client,
            (0..count)
                .map(|number| format!("INV.RESERVE R{number} PXAT {until} ITEMS P{} 1", number % products)),
        );
        if deadline.left() > Duration::from_millis(1_500) {
            return (server, client, deadline);
        }
        lead *= 2;
        eprintln!("  too slow for that deadline; trying again with {} s", lead.as_secs());
    }
}

/// All reservations end at once, while one client checks the units and another reads a plain key.
fn storm_round(count: usize) -> Storm {
    let (server, mut client, deadline) = with_holds(count, PRODUCTS);
    client.ask("SET plain v");
    let mut watcher = server.connect();
    let counters: Vec<String> = (0..PRODUCTS).map(|product| format!("stock:available:P{product}")).collect();
    let all = format!("MGET {}", counters.join(" "));
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(move || {
            deadline.sleep_until(Duration::ZERO);
            let mut first_ms = None;
            loop {
                let units: usize = watcher.ask(&all).as_array().unwrap().iter().map(integer).sum();
                let now_ms = deadline.ago_ms();
                if units > 0 {
                    first_ms.get_or_insert(now_ms);
                }
                if units == count || deadline.ago() > LIMIT {
                    done.store(true, Ordering::Relaxed);
                    assert_eq!(units, count, "not all units are back after {LIMIT:?}");
                    return (first_ms.unwrap_or(now_ms), now_ms);
                }
                // Often enough for a precision of 20 ms, and too rarely to disturb the measurement.
                thread::sleep(Duration::from_millis(20));
            }
        });
        let (mut before, mut during) = (Vec::new(), Vec::new());
        deadline.sleep_until(Duration::from_secs(1));
        while !done.load(Ordering::Relaxed) {
            let waits = deadline.left() > Duration::ZERO;
            let sent = Instant::now();
            client.ask("GET plain");
            let seen = if waits { &mut before } else { &mut during };
            seen.push((deadline.ago_ms(), ms(sent.elapsed())));
        }
        let (first_ms, back_ms) = watch.join().unwrap();
        let latencies = |seen: &[(f64, f64)], from: f64| {
            Latencies::of(seen.iter().filter(|(at, _)| *at >= from).map(|&(_, latency)| latency).collect())
        };
        Storm {
            back_ms,
            before: latencies(&before, 0.0),
            during: latencies(&during, 0.0),
            busy: latencies(&during, first_ms),
        }
    })
}

fn storm(options: &Options) -> Vec<Storm> {
    let count = options.of(100_000);
    eprintln!("storm: {count} reservations of {PRODUCTS} products with one deadline");
    let round = |round| {
        let storm = storm_round(count);
        let Latencies { p50, p99, max, .. } = storm.during;
        let back = storm.back_ms;
        eprintln!(
            "  round {}: all back after {back:.0} ms; GET p50 {p50:.3}, p99 {p99:.3}, max {max:.3} ms",
            round + 1
        );
        storm
    };
    (0..options.rounds).map(round).collect()
}

/// The server's statistics of RESERVE: the sum of all calls in microseconds.
fn reserve_us(client: &mut Client) -> f64 {
    let text = client.ask("INFO commandstats");
    let mut lines = text.as_str().expect("text").lines();
    let usec = lines.find_map(|line| {
        let line = line.to_lowercase();
        let fields = line.strip_prefix("cmdstat_inv.reserve:")?;
        fields.split(',').find_map(|field| field.strip_prefix("usec=")?.parse().ok())
    });
    usec.expect("the server counts commands")
}

fn expired_total(info: &Json) -> usize {
    let mut lines = info.as_str().expect("text").lines();
    let total = lines.find_map(|line| line.strip_prefix("inv_expired_total:")?.trim().parse().ok());
    total.expect("INFO inv")
}

/// Sends the command between two INFO commands in one write, so that nothing runs in between. Returns the replies and the
/// round-trip time.
fn looked_at(client: &mut Client, command: &str) -> (Vec<Json>, f64) {
    let sent = Instant::now();
    let replies = client.burst(&["INFO inv", command, "INFO inv"]);
    (replies, ms(sent.elapsed()) * 1000.0)
}

/// Right after the deadline, reserves a sku without overdue reservations, then one with them. `None` if the sweep, which runs ten
/// times a second, came first.
fn reserve_round(count: usize) -> Option<[Attempt; 2]> {
    let (_server, mut client, deadline) = with_holds(count, 1);
    client.ask(format!("INCRBY stock:available:P0 {FREE}"));
    client.ask(format!("SET stock:available:OTHER {FREE}"));
    let pings = (0..51).map(|_| looked_at(&mut client, "PING").1).collect();
    let ping_us = median(pings);
    deadline.sleep_until(Duration::from_millis(50));
    let mut spent = reserve_us(&mut client);
    while client.now() <= deadline.unix_ms as i64 {}
    let mut attempt = |sku| {
        let asked = FREE + MORE;
        let (replies, burst_us) =
            looked_at(&mut client, &format!("INV.RESERVE LATE-{sku} ITEMS {sku} {asked}"));
        let before = expired_total(&replies[0]);
        let spent_before = std::mem::replace(&mut spent, reserve_us(&mut client));
        let reply = replies[1].as_str().map_or("OK", |text| harness::code(text).trim_start_matches('-'));
        let released = expired_total(&replies[2]) - before;
        let attempt =
            Attempt { reply: reply.to_owned(), released, server_us: spent - spent_before, burst_us, ping_us };
        (before == 0).then_some(attempt)
    };
    Some([attempt("OTHER")?, attempt("P0")?])
}

fn reserve_beside_due(options: &Options) -> Vec<[Attempt; 2]> {
    let count = options.of(100_000);
    eprintln!("one RESERVE next to {count} reservations that are overdue and not swept yet");
    let mut rounds = Vec::new();
    for _ in 0..options.rounds * 3 {
        let Some(round) = reserve_round(count) else {
            eprintln!("  the sweep came first; trying again");
            continue;
        };
        let [other, due] = &round;
        eprintln!(
            "  round {}: without overdue reservations {:.0} µs ({}), with them {:.0} µs ({}, released {})",
            rounds.len() + 1,
            other.server_us,
            other.reply,
            due.server_us,
            due.reply,
            due.released
        );
        rounds.push(round);
        if rounds.len() == options.rounds {
            return rounds;
        }
    }
    panic!("the sweep came first too often");
}

fn main() {
    let Some(options) = Options::read() else { return };
    let load_before = machine::load();
    let server = machine::server_name(&mut Server::start().connect());
    let on_time = on_time(&options);
    let storms = storm(&options);
    let attempts = reserve_beside_due(&options);
    let report = Report {
        typed: options.typed.join(" "),
        server,
        load: (load_before, machine::load()),
        holds: options.of(100_000),
        on_time,
        storms,
        attempts,
    };
    let text = report.markdown();
    print!("{text}");
    if options.quick {
        return;
    }
    chart::save_text("expiry.md", text.trim_end());
    report.draw();
}

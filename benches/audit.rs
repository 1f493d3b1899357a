//! Measures the continuous audit on a real server: `make bench-audit`.
//!
//! How soon is drift seen that no event has told of? And what does the audit cost RESERVE? The benchmark uses the module with
//! faults: `inv.deaf` hides an event from the module, and `inv.no-audit` lets the audit rest. It starts temporary servers on
//! free ports, prints a Markdown table and saves it in `benches/results/`.

use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Client, Server};
use load::{Load, MANY};
use numbers::thousands;

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
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod options;

const SIZES: [usize; 2] = [10_000, 1_000_000];
/// How often drift is planted for each number of keys, idle and under load.
const PLANTED: usize = 3;
/// If it is not seen by then, something is broken.
const LIMIT: Duration = Duration::from_secs(900);

/// A server with this many counters: two of each product.
fn filled(keys: usize) -> Server {
    let server = Server::start();
    let mut client = server.connect();
    client.ask("CONFIG SET inv.low-stock-threshold -1");
    // Some of the many ids are drawn twice.
    client.ask("CONFIG SET inv.outcome-ttl-ms 0");
    client.ask("SET stock:available:SOLD 1000000000");
    for from in (0..keys / 2).step_by(10_000) {
        let to = (from + 10_000).min(keys / 2) - 1;
        let script = format!(
            "for n = {from}, {to} do redis.call('SET', 'stock:available:P' .. n, 100) redis.call('SET', 'stock:reserved:P' .. n, 0) end"
        );
        client.ask(["EVAL", &script, "0"]);
    }
    server
}

/// Writes a counter without an event.
fn write_unheard(client: &mut Client, command: &str) {
    // A transaction, or the load's events would be lost as well.
    let replies = client.burst(&["MULTI", "CONFIG SET inv.deaf 1", command, "CONFIG SET inv.deaf 0", "EXEC"]);
    assert!(replies[4].is_array(), "{replies:?}");
}

fn drift(client: &mut Client) -> String {
    client.info("inv", "inv_drift_skus")
}

/// Plants drift in one product after the other, and returns how soon each was seen, in seconds.
fn how_soon(client: &mut Client, products: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for n in 0..PLANTED {
        // Over the whole walk, and at different times of a round.
        let product = (n * 2 + 1) * products / (PLANTED * 2);
        let heard = format!("DECRBY stock:reserved:P{product} 2");
        write_unheard(client, &heard);
        let planted = Instant::now();
        while drift(client) != "1" {
            assert!(planted.elapsed() < LIMIT, "drift is not seen");
            thread::sleep(Duration::from_millis(20));
        }
        times.push(planted.elapsed().as_secs_f64());
        eprintln!("    seen after {:.1} s", planted.elapsed().as_secs_f64());
        // The event of this write is heard.
        client.ask(format!("INCRBY stock:reserved:P{product} 2"));
        assert_eq!(drift(client), "0");
        thread::sleep(Duration::from_millis(700 * n as u64));
    }
    times
}

fn reserve() -> Vec<String> {
    "INV.RESERVE r__rand_int__ PX 3000 ITEMS SOLD 1".split(' ').map(str::to_owned).collect()
}

/// Does this while 50 clients reserve. Each reservation expires after three seconds.
fn under_load<T>(server: &Server, act: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for seed in 1.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let load = Load { requests: 50_000, pipeline: 1, range: MANY, seed };
                load.run(server, &reserve(), "INV.RESERVE");
            }
        });
        let done = act();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

fn sorted(mut figures: Vec<f64>) -> Vec<f64> {
    figures.sort_by(f64::total_cmp);
    figures
}

/// What is the same in a round without the audit, divided by a round with it.
struct Ratios {
    throughput: Vec<f64>,
    cpu: Vec<f64>,
}

/// Reserves with the audit and without it, in turn.
fn cost(server: &Server, rounds: usize, requests: usize) -> Ratios {
    let mut client = server.connect();
    let mut ratios = Ratios { throughput: vec![], cpu: vec![] };
    // The first round warms up.
    for round in 0..=rounds {
        let mut figures = [load::Figures::default(); 2];
        // Each is first in every other round.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for is_off in order {
            client.ask(format!("CONFIG SET inv.no-audit {is_off}"));
            let load = Load { requests, pipeline: 16, range: MANY, seed: round * 2 + is_off + 1_000_000 };
            figures[is_off] = load.run(server, &reserve(), "INV.RESERVE");
            harness::wait_for("all reservations have expired", LIMIT, "0".to_owned(), || {
                client.info("inv", "inv_holds")
            });
        }
        if round > 0 {
            let [on, off] = figures;
            eprintln!(
                "    round {round}: {:.0} a second with the audit, {:.0} without",
                on.per_second, off.per_second
            );
            ratios.throughput.push(on.per_second / off.per_second);
            ratios.cpu.push(on.cpu_us / off.cpu_us);
        }
    }
    ratios
}

/// A row with the median, the least and the most.
fn row_of_times(text: &mut String, what: &str, seconds: Vec<f64>) {
    let all = sorted(seconds);
    let (least, middle, most) = (all[0], all[all.len() / 2], all[all.len() - 1]);
    writeln!(text, "| {what} | {middle:.1} | {least:.1} | {most:.1} |").unwrap();
}

/// A row with the median and the quartiles. A round is short, so the extremes say more about the machine than about the audit.
fn row_of_ratios(text: &mut String, what: &str, ratios: Vec<f64>) {
    let all = sorted(ratios);
    let [lower, middle, upper] = [1, 2, 3].map(|quarter| all[all.len() * quarter / 4]);
    writeln!(text, "| {what} | {middle:.3} | {lower:.3} | {upper:.3} |").unwrap();
}

fn main() {
    let Some(options) = options::Options::read(15) else { return };
    let mut soon =
        String::from("| keys | server | median, s | least | most |\n| --- | --- | ---: | ---: | ---: |\n");
    let mut last = None;
    for keys in SIZES {
        eprintln!("  {} keys ...", thousands(keys));
        let server = filled(keys);
        let mut client = server.connect();
        let times = how_soon(&mut client, keys / 2);
        row_of_times(&mut soon, &format!("{} | idle", thousands(keys)), times);
        let times = under_load(&server, || how_soon(&mut client, keys / 2));
        row_of_times(&mut soon, &format!("{} | under RESERVE load", thousands(keys)), times);
        last = Some(server);
    }
    let server = last.expect("a size");
    eprintln!("  the cost ...");
    let requests = options.requests * 3;
    let ratios = cost(&server, options.rounds, requests);
    let mut costs = String::from(
        "| with the audit, divided by without | median | lower quartile | upper quartile |\n| --- | ---: | ---: | ---: |\n",
    );
    row_of_ratios(&mut costs, "RESERVEs a second", ratios.throughput);
    row_of_ratios(&mut costs, "processor time of the main thread for a RESERVE", ratios.cpu);

    let mut client = server.connect();
    let mut text = String::from("# The continuous audit\n\nWritten by `make bench-audit`.\n\n");
    writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine()).unwrap();
    writeln!(
        text,
        "| server | {} |\n| load (1 min) | {} |\n",
        machine::server_name(&mut client),
        machine::load()
    )
    .unwrap();
    writeln!(text, "## How soon drift is seen\n").unwrap();
    writeln!(
        text,
        "DECRBY takes two units off the reserved counter of a product, and the module does not hear of it. The table shows when \
         `inv_drift_skus` tells of it, {PLANTED} times each. If the module hears the event, that is at once.\n"
    )
    .unwrap();
    writeln!(text, "{soon}").unwrap();
    writeln!(text, "## What it costs\n").unwrap();
    writeln!(
        text,
        "{} rounds of {} RESERVEs with the audit and as many without, in turn, on a server with {} keys, where it never pauses for \
         long. 50 connections, 16 commands in a write.\n",
        options.rounds,
        thousands(requests),
        thousands(SIZES[1])
    )
    .unwrap();
    write!(text, "{costs}").unwrap();
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/audit.md");
    std::fs::write(path, text).expect("a table");
    eprintln!("saved in benches/results/audit.md");
}

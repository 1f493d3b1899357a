//! Measures latencies at half of the server's capacity, on a real server: `make bench-latency`.
//!
//! It starts temporary servers on free ports: one with the module, and one without it for SET and PING. Requests arrive at a
//! fixed rate that does not depend on the replies; `open_loop/arrivals.rs` explains why. The commands take turns, round by
//! round; a table and a chart are saved in `benches/results/`.

use std::fmt::Write;

use arrivals::{Latencies, send_at_rate};
use chart::{Bar, Group};
use harness::{Server, server_program};
use load::{JSON, Load, MANY, configuration, empty, words};
use numbers::thousands;
use options::Options;
use wire::{Batch, Line};

#[path = "open_loop/arrivals.rs"]
mod arrivals;
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
#[path = "common/wire.rs"]
mod wire;

/// The p99 of RESERVE as a multiple of that of SET: what is owed and aimed for.
const OWED: f64 = 1.3;
const AIM: f64 = 1.1;

/// A command to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reserve,
    Commit,
    Set,
    Ping,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Reserve, Self::Commit, Self::Set, Self::Ping];

    fn name(self) -> &'static str {
        match self {
            Self::Reserve => "INV.RESERVE",
            Self::Commit => "INV.COMMIT",
            Self::Set => "SET of the record, PXAT",
            Self::Ping => "PING",
        }
    }

    fn is_own(self) -> bool {
        matches!(self, Self::Reserve | Self::Commit)
    }

    fn request(self, number: usize) -> Vec<u8> {
        let id = format!("r{number:012}");
        let mut batch = Batch::default();
        match self {
            Self::Reserve => batch.push(&["INV.RESERVE", &id, "EX", "900", "ITEMS", "P", "1"]),
            Self::Commit => batch.push(&["INV.COMMIT", &id]),
            Self::Set => batch.push(&["SET", &format!("reservation:{id}"), JSON, "PXAT", "4102444800000"]),
            Self::Ping => batch.push(&["PING"]),
        }
        batch.bytes
    }
}

/// The percentiles of one round, in microseconds.
#[derive(Clone, Copy)]
struct Round {
    p50: f64,
    p99: f64,
    p999: f64,
    sent_p99: f64,
}

impl Round {
    fn of(latencies: Latencies) -> Self {
        let Latencies { mut replied, mut sent } = latencies;
        replied.sort_by(f64::total_cmp);
        sent.sort_by(f64::total_cmp);
        // That share of the requests was not slower.
        let at = |sorted: &[f64], share: f64| sorted[(sorted.len() as f64 * share).ceil() as usize - 1];
        Self {
            p50: at(&replied, 0.5),
            p99: at(&replied, 0.99),
            p999: at(&replied, 0.999),
            sent_p99: at(&sent, 0.99),
        }
    }
}

/// The results with one setting of the AOF.
struct Part {
    aof: &'static str,
    /// What the server can do a second, of the slower of the two commands of the module.
    capacity: f64,
    rounds: Vec<(Kind, Vec<Round>)>,
}

impl Part {
    fn rounds(&self, kind: Kind) -> &[Round] {
        &self.rounds.iter().find(|(known, _)| *known == kind).unwrap().1
    }

    /// The median over the rounds of the p99 of one command as a multiple of that of another one.
    fn p99_ratio(&self, one: Kind, other: Kind) -> f64 {
        let pairs = self.rounds(one).iter().zip(self.rounds(other));
        middle(pairs.map(|(one, other)| one.p99 / other.p99).collect())[1]
    }

    fn setting(&self) -> String {
        format!("AOF {}", if self.aof == "no" { "off" } else { self.aof })
    }
}

/// Minimum, median and maximum.
fn middle(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[figures.len() / 2], figures[figures.len() - 1]]
}

/// Empties the server and adds enough stock.
fn prepare(server: &Server) {
    empty(server);
    server.connect().ask("SET stock:available:P 1000000000");
}

/// Measures with 50 clients that each wait for their reply how many commands the server carries out in a second.
fn capacity(server: &Server, options: &Options) -> f64 {
    let load = |seed| Load { requests: options.requests, pipeline: 1, range: MANY, seed };
    let reserve = words("INV.RESERVE r__rand_int__ EX 900 ITEMS P 1");
    let commit = words("INV.COMMIT r__rand_int__");
    let mut rates = vec![];
    for seed in 1..=3 {
        prepare(server);
        let figures = [(&reserve, "INV.RESERVE"), (&commit, "INV.COMMIT")]
            .map(|(command, counted_as)| load(seed).run(server, command, counted_as));
        rates.push(figures.map(|figures| figures.per_second).into_iter().fold(f64::INFINITY, f64::min));
    }
    middle(rates)[1]
}

/// Makes the reservations that are to be committed.
fn reserve_all(server: &Server, requests: usize) {
    let mut line = Line::connect(server.port());
    let numbers: Vec<usize> = (0..requests).collect();
    for numbers in numbers.chunks(500) {
        let mut batch = Batch::default();
        for &number in numbers {
            batch.bytes.extend(Kind::Reserve.request(number));
        }
        line.send(&batch);
        line.receive(numbers.len(), |reply| assert!(reply[0] != b'-', "{}", String::from_utf8_lossy(reply)));
    }
}

fn measure(kind: Kind, server: &Server, rate: f64, seconds: u64) -> Round {
    prepare(server);
    let count = (rate * seconds as f64) as usize;
    if kind == Kind::Commit {
        reserve_all(server, count);
    }
    let requests: Vec<Vec<u8>> = (0..count).map(|number| kind.request(number)).collect();
    Round::of(send_at_rate(server.port(), &requests, rate))
}

fn measure_part(options: &Options, aof: &'static str) -> Part {
    let lines = configuration(aof);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let with_module = Server::start_with(&lines);
    let plain = Server::start_without_module(server_program(), &lines);
    let capacity = capacity(&with_module, options);
    eprintln!("  AOF {aof}: the server can do {capacity:.0} a second");
    let mut rounds = Kind::ALL.map(|kind| (kind, vec![]));
    for number in 1..=options.rounds {
        for (kind, rounds) in &mut rounds {
            let server = if kind.is_own() { &with_module } else { &plain };
            let round = measure(*kind, server, capacity / 2.0, options.seconds);
            eprintln!(
                "  AOF {aof}, round {number}: {:<24} p50 {:>5.0} µs, p99 {:>5.0} µs, p99.9 {:>6.0} µs, sent late by {:.0} µs",
                kind.name(),
                round.p50,
                round.p99,
                round.p999,
                round.sent_p99
            );
            rounds.push(round);
        }
    }
    Part { aof, capacity, rounds: rounds.into() }
}

fn write_part(text: &mut String, part: &Part) -> std::fmt::Result {
    writeln!(
        text,
        "## {}\n\nThe server can do {} a second, so {} arrive each second.\n",
        part.setting(),
        thousands(part.capacity as usize),
        thousands((part.capacity / 2.0) as usize)
    )?;
    writeln!(
        text,
        "| µs | p50 | p99 | min | max | p99.9 | min | max | p99 / that of SET | sent late, p99 |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )?;
    for (kind, rounds) in &part.rounds {
        let of = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
        let [p99_least, p99, p99_most] = of(|round| round.p99);
        let [p999_least, p999, p999_most] = of(|round| round.p999);
        writeln!(
            text,
            "| {} | {:.0} | {p99:.0} | {p99_least:.0} | {p99_most:.0} | {p999:.0} | {p999_least:.0} | {p999_most:.0} \
             | {:.2} | {:.0} |",
            kind.name(),
            of(|round| round.p50)[1],
            part.p99_ratio(*kind, Kind::Set),
            of(|round| round.sent_p99)[1]
        )?;
    }
    text.push('\n');
    Ok(())
}

fn markdown(
    options: &Options,
    load_before: &str,
    server: &str,
    parts: &[Part],
) -> Result<String, std::fmt::Error> {
    let Options { rounds, seconds, .. } = options;
    let mut text = String::from("# Latency at half of the capacity\n\nWritten by `make bench-latency`.\n\n");
    writeln!(text, "| | |\n| --- | --- |\n| machine | {} |\n| server | {server} |", machine::machine())?;
    writeln!(text, "| load (1 min) | {load_before} before, {} after |", machine::load())?;
    writeln!(text, "| command | `scripts/bench.sh open_loop --rounds {rounds} --seconds {seconds}` |\n")?;
    writeln!(
        text,
        "Requests arrive at a fixed rate on 50 connections, whether earlier ones have been answered or not. The rate is half \
         of what the server can do: what 50 clients of its own benchmark program reach that each wait for their reply, with \
         INV.RESERVE or INV.COMMIT, whichever is slower. All four commands arrive at this rate. A latency counts from the \
         time at which the request was due. *Sent late* is the part of it that the load itself adds, because it shares the \
         processor with other work.\n\n\
         There are {rounds} rounds of {seconds} seconds for each command; the commands take turns, each on empty servers, \
         and the tables show the medians of the rounds. SET and PING go to a server without the module. Reservations have \
         one line, of one product. COMMIT ends reservations that were made before.\n"
    )?;
    writeln!(text, "## Target\n\n| | measured | owed | aim | |\n| --- | ---: | ---: | ---: | --- |")?;
    for part in parts {
        let measured = part.p99_ratio(Kind::Reserve, Kind::Set);
        let verdict = match measured {
            _ if measured <= AIM => "aim met",
            _ if measured <= OWED => "met",
            _ => "not met",
        };
        writeln!(
            text,
            "| p99 of RESERVE / of SET, {} | {measured:.2} | {OWED:.2} | {AIM:.2} | {verdict} |",
            part.setting()
        )?;
    }
    writeln!(text, "\n![p99](latency.svg)\n")?;
    for part in parts {
        write_part(&mut text, part)?;
    }
    Ok(text)
}

fn main() {
    let Some(options) = Options::read(7) else { return };
    let load_before = machine::load();
    let server = machine::server_name(&mut Server::start().connect());
    let parts = ["no", "everysec"].map(|aof| measure_part(&options, aof));
    let text = markdown(&options, &load_before, &server, &parts).unwrap();
    print!("{text}");
    chart::save_text("latency.md", text.trim_end());
    let group = |part: &Part| Group {
        title: part.setting(),
        bars: part
            .rounds
            .iter()
            .map(|(kind, rounds)| Bar {
                label: kind.name().to_owned(),
                is_own: kind.is_own(),
                spread: middle(rounds.iter().map(|round| round.p99).collect()),
            })
            .collect(),
    };
    let title = format!("p99 in µs at half of the capacity, {server}");
    chart::bars("latency.svg", &title, &parts.iter().map(group).collect::<Vec<_>>());
}

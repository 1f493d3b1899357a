//! Measures how the cost and memory of a reservation grow with the data, on a real server: `make bench-growth`.
//!
//! It starts two temporary servers on free ports: one with the module, and one without it, which gets the same keys by plain SET.
//! With ten million reservations, both are started again from an RDB, and flushed. It takes about twenty minutes, 7 GB of memory
//! and 3 GB in the temporary folder. A table and a chart are saved in `benches/results/`.

use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use chart::{Axes, Curve};
use harness::{Client, Server, server_program};
use load::{Figures, Load, MANY, fill_products, set_of_the_record, spread, words};
use numbers::thousands;
use plotters::prelude::IntoLogRange;

#[path = "common/chart.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod chart;

#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
#[allow(dead_code, reason = "only make bench uses all of it")]
mod load;
#[path = "common/machine.rs"]
mod machine;
#[path = "common/numbers.rs"]
mod numbers;

const RESERVATIONS: [usize; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const PRODUCTS: [usize; 5] = [1, 100, 10_000, 100_000, 1_000_000];
const ROUNDS: usize = 5;
/// Memory is compared at this number of reservations.
const FOR_MEMORY: usize = 1_000_000;

/// One of the two servers.
struct Side {
    server: Server,
    command: Vec<String>,
    counted_as: &'static str,
}

impl Side {
    fn load(&self, requests: usize, seed: usize) -> Figures {
        let load = Load { requests, pipeline: 32, range: MANY, seed };
        load.run(&self.server, &self.command, self.counted_as)
    }

    fn keys(&self) -> usize {
        self.server.connect().ask("DBSIZE").as_u64().and_then(|keys| keys.try_into().ok()).expect("a count")
    }

    /// Empties the server and adds enough stock.
    fn clear(&self) {
        let mut client = self.server.connect();
        client.ask("FLUSHALL");
        client.ask("SET stock:available:P 1000000000");
    }
}

/// The results at one size: the size, the module's figures, and those of the plain command.
struct Step {
    size: usize,
    own: Vec<Figures>,
    plain: Vec<Figures>,
}

impl Step {
    fn us(&self) -> [f64; 2] {
        [&self.own, &self.plain].map(|figures| spread(figures, |figures| figures.us_a_call)[1])
    }
}

struct Memory {
    with_module: i64,
    plain: i64,
    index: i64,
}

fn number(client: &mut Client, section: &str, field: &str) -> i64 {
    client.info(section, field).parse().expect("a number")
}

/// A start from an RDB, and a flush of everything.
struct Restart {
    keys: usize,
    /// From the start of the process to its first answer.
    answers_after: Duration,
    /// From then until every live reservation is known.
    ready_after: Option<Duration>,
    /// The longest answer to PING in the three seconds after `FLUSHALL ASYNC`.
    flush_blocks: Duration,
}

impl Restart {
    fn of(side: &mut Side) -> Self {
        let keys = side.keys();
        let is_ours = side.counted_as != "set";
        side.server.connect().ask("SAVE");
        side.server.kill();
        let begun = Instant::now();
        if is_ours {
            side.server.start_again();
        } else {
            side.server.start_again_without_module();
        }
        let answers_after = begun.elapsed();
        let mut client = side.server.connect();
        let ready_after = is_ours.then(|| {
            let begun = Instant::now();
            while client.info("inv", "inv_index_ready") != "1" {
                thread::sleep(Duration::from_millis(10));
            }
            begun.elapsed()
        });
        let (begun, mut flush_blocks) = (Instant::now(), Duration::ZERO);
        client.ask("FLUSHALL ASYNC");
        flush_blocks = flush_blocks.max(begun.elapsed());
        while begun.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            client.ask("PING");
            flush_blocks = flush_blocks.max(asked.elapsed());
        }
        Self { keys, answers_after, ready_after, flush_blocks }
    }
}

fn restart_table(text: &mut String, [own, plain]: &[Restart; 2]) {
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let later = own.answers_after.saturating_sub(plain.answers_after);
    let ready = own.ready_after.unwrap_or_default();
    let a_million = ready.div_f64(own.keys as f64 / 1e6);
    writeln!(
        text,
        "## A start with {} live reservations, and a flush\n\nFrom an RDB. The longest PING is the longest answer in the three \
         seconds after `FLUSHALL ASYNC`, that command included.\n\n\
         | | with the module | without it |\n| --- | ---: | ---: |\n\
         | the server answers after | {} | {} |\n\
         | then the index is complete after | {}, {} for each million (target: 2 s, {}) | |\n\
         | the longest PING after a flush | {} (target: 5 ms, {}) | {} |\n\n\
         The module delays the first answer by {} (target: 1 s, {}).\n",
        thousands(own.keys),
        seconds(own.answers_after),
        seconds(plain.answers_after),
        seconds(ready),
        seconds(a_million),
        verdict(a_million <= Duration::from_secs(2)),
        ms(own.flush_blocks),
        verdict(own.flush_blocks <= Duration::from_millis(5)),
        ms(plain.flush_blocks),
        seconds(later),
        verdict(later <= Duration::from_secs(1)),
    )
    .unwrap();
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "not met" }
}

fn grow(sides: &[Side; 2]) -> (Vec<Step>, Memory) {
    let mut steps = vec![];
    let mut memory = Memory { with_module: 0, plain: 0, index: 0 };
    let mut seed = 0;
    let base = sides.each_ref().map(|side| number(&mut side.server.connect(), "memory", "used_memory"));
    for size in RESERVATIONS {
        let mut figures = [vec![], vec![]];
        for round in 0..ROUNDS {
            for (side, figures) in sides.iter().zip(&mut figures) {
                // Measuring adds keys, too many for a small size: start each round from an empty server.
                if round == 0 || size <= 100_000 {
                    side.clear();
                    seed += 1;
                    side.load(size, seed);
                }
                if round == 0 && size == FOR_MEMORY {
                    let mut client = side.server.connect();
                    let used = number(&mut client, "memory", "used_memory");
                    if side.counted_as == "set" {
                        memory.plain = used - base[1];
                    } else {
                        memory.with_module = used - base[0];
                        memory.index = number(&mut client, "inv", "inv_index_bytes");
                    }
                }
                seed += 1;
                figures.push(side.load((size / 10).clamp(1_000, 20_000), seed));
                assert!(side.keys() >= size);
            }
            eprintln!("  {size} live reservations, round {}", round + 1);
        }
        let [own, plain] = figures;
        steps.push(Step { size, own, plain });
    }
    (steps, memory)
}

/// Spreads RESERVE evenly over products, 100,000 calls in each round, compared with a plain DECRBY of the same counters.
fn over_products(sides: &[Side; 2]) -> Vec<Step> {
    let mut steps = vec![];
    for size in PRODUCTS {
        let mut figures = [vec![], vec![]];
        for round in 1..=ROUNDS {
            for (side, figures) in sides.iter().zip(&mut figures) {
                let mut client = side.server.connect();
                client.ask("FLUSHALL");
                fill_products(&mut client, size);
                let own = side.counted_as != "set";
                let command = words(if own {
                    "INV.RESERVE * EX 900 ITEMS __rand_int__ 1"
                } else {
                    "DECRBY stock:available:__rand_int__ 1"
                });
                let load = Load { requests: 100_000, pipeline: 32, range: size, seed: round };
                figures.push(load.run(&side.server, &command, if own { side.counted_as } else { "decrby" }));
            }
            eprintln!("  {size} products, round {round}");
        }
        let [own, plain] = figures;
        steps.push(Step { size, own, plain });
    }
    steps
}

fn table(text: &mut String, what: &str, plain: &str, steps: &[Step]) {
    writeln!(text, "| {what} | RESERVE, µs a call | p99 ms | {plain}, µs a call | p99 ms |").unwrap();
    writeln!(text, "| ---: | ---: | ---: | ---: | ---: |").unwrap();
    for step in steps {
        let [own, other] = step.us();
        let [own_p99, other_p99] =
            [&step.own, &step.plain].map(|figures| spread(figures, |figures| figures.p99_ms)[1]);
        let size = step.size;
        writeln!(text, "| {size} | {own:.2} | {own_p99:.2} | {other:.2} | {other_p99:.2} |").unwrap();
    }
    text.push('\n');
}

/// Charts both kinds of growth side by side: microseconds over the size, on a log scale.
fn draw(reservations: &[Step], products: &[Step]) {
    let all = reservations.iter().chain(products);
    let most = all.map(|step| step.us()[0].max(step.us()[1])).fold(1.0, f64::max).ceil();
    let kinds = [("live reservations", "SET of the record", reservations), ("products", "DECRBY", products)];
    chart::panels("growth.svg", (460, 340), kinds.len(), |number, area| {
        let (what, plain, steps) = kinds[number];
        let curve = |which: usize, name: &str, colour| Curve {
            name: name.to_owned(),
            colour,
            points: steps.iter().map(|step| (step.size as f64, step.us()[which])).collect(),
        };
        let axes = Axes {
            x: (steps[0].size as f64..steps[steps.len() - 1].size as f64).log_scale(),
            y: 0.0..most,
            x_name: what,
            y_name: "µs a call".to_owned(),
        };
        let curves = [curve(0, "INV.RESERVE", chart::OWN), curve(1, plain, chart::RIVAL)];
        chart::curves(area, axes, &|size| thousands(*size as usize), &curves);
    });
}

fn main() {
    // cargo also runs this as a test.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let load_before = machine::load();
    let lines = ["save \"\""];
    eprintln!("this takes about twenty minutes, 7 GB of memory and 3 GB in the temporary folder");
    let mut sides = [
        Side {
            server: Server::start_with(&lines),
            command: words("INV.RESERVE r__rand_int__ EX 86400 ITEMS P 1"),
            counted_as: "INV.RESERVE",
        },
        Side {
            server: Server::start_without_module(server_program(), &lines),
            command: set_of_the_record(),
            counted_as: "set",
        },
    ];
    let name = machine::server_name(&mut sides[0].server.connect());
    let (reservations, memory) = grow(&sides);
    let restarts = sides.each_mut().map(Restart::of);
    let products = over_products(&sides);
    let mut text = String::from(
        "# How cost and memory grow\n\nWritten by `make bench-growth`.\n\n| | |\n| --- | --- |\n",
    );
    writeln!(
        text,
        "| machine | {} |\n| server | {name} |\n| load (1 min) | {load_before} before, {} after |\n| command | `scripts/bench.sh growth` |\n",
        machine::machine(),
        machine::load()
    )
    .unwrap();
    writeln!(
        text,
        "50 clients of the server's own benchmark program, pipeline 32, AOF off. The tables show the median of \
             {ROUNDS} rounds, which alternate with a plain command on a server without the module.\n\n![growth](growth.svg)\n"
    )
    .unwrap();
    writeln!(text, "## Live reservations\n\nAll reservations are for one product and have one line. The comparison is a SET of the same record with \
             a deadline.\n").unwrap();
    table(&mut text, "live reservations", "SET", &reservations);
    restart_table(&mut text, &restarts);
    writeln!(
        text,
        "## Products\n\n100,000 reservations of random products. The comparison is a DECRBY of their counters.\n"
    )
    .unwrap();
    table(&mut text, "products", "DECRBY", &products);
    let Memory { with_module, plain, index } = memory;
    let count = FOR_MEMORY as f64;
    let beside = (with_module - plain) as f64 / count;
    let verdict = verdict(beside <= 120.0);
    writeln!(
        text,
        "## Memory of {FOR_MEMORY} live reservations\n\nThe server's `used_memory`, less that of the empty server.\n\n\
         | | MB | bytes a reservation |\n| --- | ---: | ---: |\n\
         | with the module | {:.0} | {:.0} |\n| without it, the same keys by SET | {:.0} | {:.0} |\n\
         | the difference (target: 120 at most, {verdict}) | {:.0} | {beside:.0} |\n\
         | what the module counts itself (`inv_index_bytes`) | {:.0} | {:.0} |",
        with_module as f64 / 1e6,
        with_module as f64 / count,
        plain as f64 / 1e6,
        plain as f64 / count,
        (with_module - plain) as f64 / 1e6,
        index as f64 / 1e6,
        index as f64 / count
    )
    .unwrap();
    print!("{text}");
    chart::save_text("growth.md", text.trim_end());
    draw(&reservations, &products);
}

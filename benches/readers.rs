//! Measures the cost of the reading commands on a large stock, on a real server: `make bench-readers`.
//!
//! It starts a temporary server on a free port, prints a Markdown table and saves it in `benches/results/`. The times are the
//! server's own (`INFO commandstats`), without the network and the client. For comparison, the table has the cost of a plain
//! command that reads as many keys as the reply has entries.

use std::fmt::Write;
use std::path::Path;

use harness::{Client, Server};

#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod load;
#[path = "common/machine.rs"]
mod machine;

const ALERTS: usize = 100_000;
const WAREHOUSES: usize = 1_000;
/// How often each command is measured in a round, in turn with the others.
const TIMES: usize = 20;
const ROUNDS: usize = 7;

fn burst(client: &mut Client, commands: &[String]) {
    for batch in commands.chunks(5_000) {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        for reply in client.burst(&batch) {
            assert!(!reply.as_str().is_some_and(|text| text.starts_with('-')), "{reply}");
        }
    }
}

/// Raises 100,000 alerts of 50,000 products: each went out of stock and was restocked, the first a hundred times.
fn raise_alerts(client: &mut Client) {
    let mut commands = vec!["CONFIG SET inv.alert-cooldown-ms 0".to_owned()];
    for n in 0..ALERTS / 2 {
        let product = if n % 500 == 0 { 0 } else { n };
        commands.push(format!("SET stock:available:P{product} 1"));
        commands.push(format!("INV.RESERVE R{n} ITEMS P{product} 1"));
        commands.push(format!("INV.ROLLBACK R{n}"));
    }
    burst(client, &commands);
    let alerts = client.ask("INV.ALERTS COUNT 1000");
    assert_eq!(alerts.as_array().map(Vec::len), Some(1000));
}

fn fill_warehouses(client: &mut Client) {
    let mut commands = vec![];
    for n in 0..WAREHOUSES {
        commands.push(format!("INV.WAREHOUSES W SET place-{n:04} {n}"));
        commands.push(format!("INV.ADJUST W@place-{n:04} 100"));
    }
    burst(client, &commands);
}

/// The server's microseconds for one call of the command.
fn cost(client: &mut Client, command: &str) -> f64 {
    client.ask("CONFIG RESETSTAT");
    burst(client, &vec![command.to_owned(); TIMES]);
    load::us_a_call(client, command.split(' ').next().unwrap())
}

fn main() {
    // cargo also runs this as a test.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let server = Server::start();
    let mut client = server.connect();
    eprintln!("  {ALERTS} alerts, {WAREHOUSES} warehouses ...");
    raise_alerts(&mut client);
    fill_warehouses(&mut client);
    let newest = client.ask("INV.ALERTS COUNT 10");
    let keys: Vec<String> = newest
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| format!("alert:{}:{}", alert["product_id"].as_str().unwrap(), alert["timestamp"]))
        .collect();
    let ten = format!("MGET {}", keys.join(" "));
    let counters: Vec<String> = (0..WAREHOUSES)
        .map(|n| format!("stock:available:W@place-{n:04} stock:reserved:W@place-{n:04}"))
        .collect();
    let all = format!("MGET {}", counters.join(" "));
    let since = newest[9]["timestamp"].as_i64().unwrap();
    let questions = [
        ("INV.ALERTS COUNT 10".to_owned(), &ten),
        ("INV.ALERTS TYPE OUT_OF_STOCK COUNT 10".to_owned(), &ten),
        ("INV.ALERTS TYPE LOW_STOCK COUNT 10".to_owned(), &ten),
        ("INV.ALERTS PRODUCT P0 COUNT 10".to_owned(), &ten),
        ("INV.ALERTS PRODUCT P0 TYPE BACK_IN_STOCK COUNT 10".to_owned(), &ten),
        (format!("INV.ALERTS SINCE {since} COUNT 10"), &ten),
        ("INV.STOCK W".to_owned(), &all),
    ];
    let mut costs = vec![(vec![], vec![]); questions.len()];
    for _ in 0..ROUNDS {
        for ((question, plain), (own, others)) in questions.iter().zip(&mut costs) {
            own.push(cost(&mut client, question));
            others.push(cost(&mut client, plain));
        }
    }
    let middle = |mut figures: Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let mut text =
        String::from("# What the readers cost on a large stock\n\nWritten by `make bench-readers`.\n\n");
    writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine()).unwrap();
    writeln!(
        text,
        "| server | {} |\n| load (1 min) | {} |",
        machine::server_name(&mut client),
        machine::load()
    )
    .unwrap();
    writeln!(text, "| command | `scripts/bench.sh readers` |\n").unwrap();
    writeln!(
        text,
        "The data are {ALERTS} alerts of 50,000 products, of which P0 has 200 and none is LOW_STOCK, and a \
             product in {WAREHOUSES} warehouses. The table shows microseconds a call from `INFO commandstats`, the \
             median of {ROUNDS} rounds of {TIMES} calls. The comparison is an MGET of the same number of keys in the \
             same round. Target: under 1000.\n"
    ).unwrap();
    writeln!(text, "| command | µs a call | MGET | target |\n| --- | ---: | ---: | --- |").unwrap();
    for ((question, _), (own, others)) in questions.iter().zip(costs) {
        let own = middle(own);
        let verdict = if own < 1000.0 { "met" } else { "not met" };
        let question = question.replace(&since.to_string(), "<ms>");
        writeln!(text, "| `{question}` | {own:.1} | {:.1} | {verdict} |", middle(others)).unwrap();
    }
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/readers.md");
    std::fs::write(path, text).expect("a table");
    eprintln!("saved in benches/results/readers.md");
}

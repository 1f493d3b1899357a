//! Measures how long the most expensive requests of a client block the server, with the default limits: `make bench-worst`.
//!
//! It starts a temporary server on a free port, prints a Markdown table and saves it in `benches/results/`. The time is measured
//! from the request to the reply to a PING after it, so that it includes reading the request and the work after the command. For
//! comparison, the table has the time of the command itself, from `INFO commandstats`.

use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

use harness::{Client, Json, Server};

#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod load;
#[path = "common/machine.rs"]
mod machine;

/// How often each request is sent; the median counts.
const TIMES: usize = 20;

/// In ms, as in the table.
const TARGET: f64 = 5.0;

const MANY: usize = 1_000_000;
const DUE: usize = 20_000;

/// Prepares the `n`-th request and returns its words.
type Request = Box<dyn Fn(&mut Client, usize) -> Vec<Vec<u8>>>;

/// A request and what makes it expensive.
struct Case {
    what: &'static str,
    request: Request,
}

fn case(what: &'static str, request: impl Fn(&mut Client, usize) -> String + 'static) -> Case {
    let words = move |client: &mut Client, n: usize| {
        request(client, n).split(' ').map(|word| word.as_bytes().to_vec()).collect()
    };
    Case { what, request: Box::new(words) }
}

/// An id of 256 bytes, the longest.
fn long(prefix: &str, n: usize) -> String {
    format!("{prefix}{n:0>width$}", width = 256 - prefix.len())
}

/// 128 items, the default maximum.
fn items(sku: impl Fn(usize) -> String, units: usize) -> String {
    (0..128).map(|n| format!("{} {units}", sku(n))).collect::<Vec<_>>().join(" ")
}

fn wide(n: usize) -> String {
    format!("WIDE{n}")
}

/// Makes a reservation with a late deadline and the longest values everywhere.
fn reserve(client: &mut Client, id: &str, items: &str) {
    client.ask(format!("INV.RESERVE {id} EX 3600 DATA {} ITEMS {items}", "d".repeat(4096)));
}

fn fill(client: &mut Client) {
    let script = |client: &mut Client, script: &str| {
        client.ask(["EVAL", script, "0"]);
    };
    eprintln!("  128 products with the longest names, 8 products in 1,024 warehouses each ...");
    for n in 0..128 {
        client.ask(format!("SET stock:available:{} 1000000", long("LONG", n)));
    }
    for n in 0..8 {
        let places: Vec<String> = (0..1024).map(|place| format!("place-{place} {place}")).collect();
        client.ask(format!("INV.WAREHOUSES {} SET {}", wide(n), places.join(" ")));
        script(
            client,
            &format!(
                "for n = 0, 1023 do redis.call('SET', 'stock:available:{}@place-' .. n, 1000000) end",
                wide(n)
            ),
        );
    }
    // One unit in each warehouse: a request has to go through all of them.
    let places: Vec<String> = (0..1024).map(|place| format!("place-{place} {place}")).collect();
    client.ask(format!("INV.WAREHOUSES THIN SET {}", places.join(" ")));
    eprintln!("  a million reservations of one product, a million counters, 100,000 alerts ...");
    client.ask("SET stock:available:BUSY 1000000000");
    for from in (0..MANY).step_by(10_000) {
        script(
            client,
            &format!(
                "for n = {from}, {from} + 9999 do redis.call('INV.RESERVE', 'b' .. n, 'EX', 86400 + n % 1000, 'ITEMS', 'BUSY', 1) end"
            ),
        );
        script(
            client,
            &format!("for n = {from}, {from} + 9999 do redis.call('SET', 'stock:reserved:X' .. n, 0) end"),
        );
    }
    client.ask("CONFIG SET inv.alert-cooldown-ms 0");
    for from in (0..100_000).step_by(10_000) {
        script(
            client,
            &format!(
                "for n = {from}, {from} + 9999 do redis.call('INV.SET', 'A' .. n % 1000, 'AVAILABLE', n % 2000 < 1000 and 1 or 100) end"
            ),
        );
    }
    client.ask("CONFIG SET inv.alert-cooldown-ms 60000");
}

/// Puts one unit into each of those warehouses.
fn fill_thin(client: &mut Client) {
    let script = "for n = 0, 1023 do redis.call('SET', 'stock:available:THIN@place-' .. n, 1) end";
    client.ask(["EVAL", script, "0"]);
}

fn cases() -> Vec<Case> {
    let longest = || items(|n| long("LONG", n), 1);
    let wides = || (0..2).map(|n| format!("{} 1000", wide(n))).collect::<Vec<_>>().join(" ");
    vec![
        case("RESERVE, the longest of everything: id, 128 skus, DATA, ONCE", move |_, n| {
            let (id, data, token) = (long("R", n), "d".repeat(4096), "t".repeat(200));
            format!("INV.RESERVE {id} DATA {data} ONCE {token} ITEMS {}", longest())
        }),
        case("RESERVE of 2 products in 1,024 warehouses each", move |_, n| {
            format!("INV.RESERVE wide-{n} SPLIT fewest ITEMS {}", wides())
        }),
        case("RESERVE split over 1,024 warehouses", |client, n| {
            fill_thin(client);
            format!("INV.RESERVE thin-{n} PX 600000 ITEMS THIN 1024")
        }),
        case("RESERVE refused, 2 products in 1,024 warehouses each", |_, n| {
            let wides: Vec<String> = (0..2).map(|n| format!("{} 9000000000", wide(n))).collect();
            format!("INV.RESERVE none-{n} ITEMS {}", wides.join(" "))
        }),
        case("RESERVE of a product with a million reservations", |_, n| {
            format!("INV.RESERVE busy-{n} ITEMS BUSY 1")
        }),
        case("RESERVE of all units of a product whose 20,000 reservations have become due", |client, n| {
            client.ask("SET stock:available:DUE 20000");
            let at = client.now() + 1500;
            let script = format!(
                "for n = 1, {DUE} do redis.call('INV.RESERVE', 'due-{n}-' .. n, 'PXAT', {at}, 'ITEMS', 'DUE', 1) end"
            );
            client.ask(["EVAL", &script, "0"]);
            // Ends before the server's cron runs.
            let left = (at + 5 - client.now()).max(0);
            client.ask(format!("DEBUG SLEEP {}", left as f64 / 1000.0));
            format!("INV.RESERVE all-{n} PX 1 ITEMS DUE 20000")
        }),
        case("RESERVE after 100,000 records that other clients have written", |client, n| {
            let script =
                "for n = 1, 100000 do redis.call('SET', 'reservation:odd-' .. n % 1000, 'foreign') end";
            client.ask(["EVAL", script, "0"]);
            format!("INV.RESERVE odd-{n}-{n} ITEMS BUSY 1")
        }),
        case("COMMIT after a read of 300 due reservations of 128 lines", |client, n| {
            // Time enough to reserve all of them, on a busy machine too.
            let at = client.now() + 3000;
            for number in 0..300 {
                let items = items(|n| long("LONG", n), 1);
                client.ask(format!("INV.RESERVE read-{n}-{number} PXAT {at} ITEMS {items}"));
            }
            let left = (at + 5 - client.now()).max(0);
            let keys: Vec<String> = (0..300).map(|number| format!("reservation:read-{n}-{number}")).collect();
            client.burst(&[
                &format!("DEBUG SLEEP {}", left as f64 / 1000.0),
                &format!("MGET {}", keys.join(" ")),
            ]);
            "INV.COMMIT nobody".to_owned()
        }),
        case("ECHO, a command of the server, of a million arguments", |_, _| {
            format!("ECHO{}", " P".repeat(MANY))
        }),
        case("RESERVE of a million arguments", |_, n| {
            format!("INV.RESERVE R{n} ITEMS{}", " P 1".repeat(MANY / 2))
        }),
        Case {
            what: "RESERVE with 64 MiB of DATA",
            request: Box::new(|_, n| {
                let words =
                    ["INV.RESERVE", &format!("R{n}"), "DATA", &"d".repeat(64 << 20), "ITEMS", "P", "1"];
                words.iter().map(|word| word.as_bytes().to_vec()).collect()
            }),
        },
        case("COMMIT of 128 lines with the longest names", |client, n| {
            reserve(client, &long("C", n), &items(|n| long("LONG", n), 1));
            format!("INV.COMMIT {}", long("C", n))
        }),
        case("COMMIT of a part, 128 of 128 lines", |client, n| {
            reserve(client, &long("P", n), &items(|n| long("LONG", n), 2));
            format!("INV.COMMIT {} ITEMS {}", long("P", n), items(|n| long("LONG", n), 1))
        }),
        case("COMMIT of 1,024 lines", |client, n| {
            fill_thin(client);
            client.ask(format!("INV.RESERVE sold-{n} ITEMS THIN 1024"));
            format!("INV.COMMIT sold-{n}")
        }),
        case("ROLLBACK of 1,024 lines", |client, n| {
            fill_thin(client);
            client.ask(format!("INV.RESERVE back-{n} ITEMS THIN 1024"));
            format!("INV.ROLLBACK back-{n}")
        }),
        case("EXTEND of 1,024 lines", |client, n| {
            fill_thin(client);
            client.ask(format!("INV.RESERVE more-{n} EX 3600 ITEMS THIN 1024"));
            format!("INV.EXTEND more-{n} EX 7200")
        }),
        case("MRESERVE of 1,000 reservations of as many skus, the longest ids", |client, n| {
            let of = |number: usize| format!("{} 1 A{number} 1", long(&format!("M{n}-"), number));
            let fill = "for n = 0, 999 do redis.call('SET', 'stock:available:A' .. n, 1000000) end";
            client.ask(["EVAL", fill, "0"]);
            format!("INV.MRESERVE EX 3600 1000 {}", (0..1000).map(of).collect::<Vec<_>>().join(" "))
        }),
        case("MRESERVE again, 1,000 reservations", |_, n| {
            let of = |number: usize| format!("{} 1 A{number} 1", long(&format!("M{n}-"), number));
            format!("INV.MRESERVE EX 3600 1000 {}", (0..1000).map(of).collect::<Vec<_>>().join(" "))
        }),
        case("MCOMMIT of 1,000 reservations of as many skus, the longest ids", |_, n| {
            let of = |number: usize| long(&format!("M{n}-"), number);
            format!("INV.MCOMMIT {}", (0..1000).map(of).collect::<Vec<_>>().join(" "))
        }),
        case("MRESERVE of which all 1,000 are refused", |_, n| {
            let of = |number: usize| format!("N{n}-{number} 1 A{number} 9000000000");
            format!("INV.MRESERVE EX 3600 1000 {}", (0..1000).map(of).collect::<Vec<_>>().join(" "))
        }),
        case("MRESERVE of 2 items of products in 1,024 warehouses, and 998 others", |client, n| {
            fill_thin(client);
            let thin = (0..2).map(|number| format!("T{n}-{number} 1 THIN 512"));
            let all = thin.chain((2..1000).map(|number| format!("T{n}-{number} 1 BUSY 1")));
            format!("INV.MRESERVE EX 3600 1000 {}", all.collect::<Vec<_>>().join(" "))
        }),
        case("MRESERVE of one product whose 20,000 reservations have become due", |client, n| {
            client.ask("SET stock:available:DUE 20000");
            let at = client.now() + 1500;
            let script = format!(
                "for n = 1, {DUE} do redis.call('INV.RESERVE', 'mdue-{n}-' .. n, 'PXAT', {at}, 'ITEMS', 'DUE', 1) end"
            );
            client.ask(["EVAL", &script, "0"]);
            let left = (at + 5 - client.now()).max(0);
            client.ask(format!("DEBUG SLEEP {}", left as f64 / 1000.0));
            let of = |number: usize| format!("all-{n}-{number} 1 DUE 1");
            format!("INV.MRESERVE PX 1 1000 {}", (0..1000).map(of).collect::<Vec<_>>().join(" "))
        }),
        case("MROLLBACK of 1,000 reservations with DATA", |client, n| {
            let data = "d".repeat(4096);
            let commands: Vec<String> = (0..1000)
                .map(|number| format!("INV.RESERVE D{n}-{number} EX 3600 DATA {data} ITEMS A{number} 1"))
                .collect();
            client.burst(&commands);
            let ids: Vec<String> = (0..1000).map(|number| format!("D{n}-{number}")).collect();
            format!("INV.MROLLBACK {}", ids.join(" "))
        }),
        case("MCOMMIT of reservations of 1,024 lines", |client, n| {
            for number in 0..4 {
                fill_thin(client);
                client.ask(format!("INV.RESERVE many-{n}-{number} ITEMS THIN 1024"));
            }
            let ids: Vec<String> = (0..4).map(|number| format!("many-{n}-{number}")).collect();
            format!("INV.MCOMMIT {}", ids.join(" "))
        }),
        case("GET of 1,024 lines", |_, _| "INV.GET more-1".to_owned()),
        case("STOCK of 2,112 products, the most words", |_, _| {
            let products: Vec<String> = (0..2112).map(|n| format!("A{}", n % 1000)).collect();
            format!("INV.STOCK {}", products.join(" "))
        }),
        case("STOCK of 2 products in 1,024 warehouses each", |_, _| {
            format!("INV.STOCK {}", (0..2).map(wide).collect::<Vec<_>>().join(" "))
        }),
        case("STOCK of a million arguments", |_, _| format!("INV.STOCK{}", " P".repeat(MANY))),
        case("SCAN of a million reservations, the largest page", |_, _| "INV.SCAN 0 COUNT 1000".to_owned()),
        case("SCAN of a product with a million", |_, _| "INV.SCAN 0 PRODUCT BUSY COUNT 1000".to_owned()),
        case("SCAN FULL of a million reservations, the largest page", |_, _| {
            "INV.SCAN 0 COUNT 1000 FULL".to_owned()
        }),
        case("SCAN FULL of reservations of 128 lines with the longest names", |client, n| {
            for number in 0..60 {
                client.ask(format!("SET stock:available:{} 1000000", long("LONG", number)));
                reserve(client, &long("F", n * 1000 + number), &items(|n| long("LONG", n), 1));
            }
            "INV.SCAN 0 COUNT 1000 FULL MATCH F*".to_owned()
        }),
        case("SCAN of a million reservations for a pattern with none", |_, _| {
            "INV.SCAN 0 COUNT 1000 MATCH *b*b*b*b*b".to_owned()
        }),
        case("STOCKSCAN of a million products, the largest page", |_, _| {
            "INV.STOCKSCAN 0 COUNT 1000".to_owned()
        }),
        case("STOCKSCAN LOW with none that is low", |client, _| {
            client.ask("CONFIG SET inv.low-stock-threshold -1");
            "INV.STOCKSCAN 0 COUNT 1000 LOW MATCH A*".to_owned()
        }),
        case("STOCKSCAN of products in 1,024 warehouses each", |client, _| {
            client.ask("CONFIG SET inv.low-stock-threshold 10");
            "INV.STOCKSCAN w0 COUNT 1000".to_owned()
        }),
        case("SCAN of a product with none of a million", |_, _| {
            "INV.SCAN 0 PRODUCT NONE COUNT 1000".to_owned()
        }),
        case("ALERTS, the largest page of 100,000", |_, _| "INV.ALERTS COUNT 1000".to_owned()),
        case("ALERTS of a type that there is none of", |_, _| {
            "INV.ALERTS TYPE OUT_OF_STOCK COUNT 1000".to_owned()
        }),
        case("AUDIT of a product with a million reservations", |_, _| "INV.AUDIT BUSY".to_owned()),
        case("AUDITSCAN of a million counters, the largest page", |_, _| {
            "INV.AUDITSCAN 0 COUNT 1000".to_owned()
        }),
        case("REPAIR of a product with a million reservations", |client, _| {
            client.ask("INCRBY stock:reserved:BUSY 5");
            "INV.REPAIR BUSY FORCE".to_owned()
        }),
        case("ADJUST of one of 1,024 warehouses", |_, _| format!("INV.ADJUST {}@place-7 1", wide(1))),
        case("SET of one of 1,024 warehouses", |_, n| {
            format!("INV.SET {}@place-7 ONHAND {}", wide(1), 1_000_000 + n)
        }),
        case("THRESHOLD of a product in 1,024 warehouses", |_, n| format!("INV.THRESHOLD {} {n}", wide(1))),
        case("TRANSFER between two of 1,024 warehouses", |_, _| {
            format!("INV.TRANSFER {} place-1 place-2 1", wide(1))
        }),
        case("WAREHOUSES SET of 1,024", |client, n| {
            client.ask(format!("DEL stock:warehouses:NEW{n}"));
            let places: Vec<String> = (0..1024).map(|place| format!("place-{place} {place}")).collect();
            format!("INV.WAREHOUSES NEW{n} SET {}", places.join(" "))
        }),
        case("another client deletes a reservation of 1,024 lines", |client, n| {
            fill_thin(client);
            client.ask(format!("INV.RESERVE gone-{n} PX 600000 ITEMS THIN 1024"));
            format!("DEL reservation:gone-{n}")
        }),
    ]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The cost of a case in ms: all the server's work for it, and the command alone.
fn measure(server: &Server, client: &mut Client, case: &Case) -> (f64, f64, String) {
    let (mut whole, mut own, mut answer) = (Vec::new(), Vec::new(), String::new());
    for n in 0..TIMES {
        let words = (case.request)(client, n);
        let name = String::from_utf8_lossy(&words[0]).into_owned();
        let mut asker = server.connect();
        asker.ask("PING");
        client.ask("CONFIG RESETSTAT");
        let packed = (words, vec![b"PING".to_vec()]);
        let begun = Instant::now();
        asker.send(packed.0);
        asker.send(packed.1);
        let reply = asker.reply();
        asker.reply();
        whole.push(begun.elapsed().as_secs_f64() * 1000.0);
        own.push(load::us_a_call(client, &name) / 1000.0);
        answer = match reply {
            Json::String(text) if text.starts_with('-') => text.chars().take(48).collect(),
            _ => String::new(),
        };
    }
    (median(whole), median(own), answer)
}

fn main() {
    // cargo also runs this as a test.
    if !std::env::args().any(|word| word == "--bench") {
        return;
    }
    let server = Server::start();
    let mut client = server.connect();
    fill(&mut client);
    let mut text = String::from("# The worst requests\n\nWritten by `make bench-worst`.\n\n");
    writeln!(text, "| | |\n| --- | --- |\n| machine | {} |", machine::machine()).unwrap();
    writeln!(
        text,
        "| server | {} |\n| load (1 min) | {} |",
        machine::server_name(&mut client),
        machine::load()
    )
    .unwrap();
    writeln!(text, "| command | `scripts/bench.sh worst` |\n").unwrap();
    writeln!(
        text,
        "All requests are at the default limits, in a database with {MANY} reservations of one product. The table \
             shows milliseconds, the median of {TIMES}: the time from the request to the reply to a PING after it, \
             which includes reading the request, and the part that the command took according to `INFO commandstats`. \
             A million arguments take the server itself a tenth of a second, whatever the command is. The rest is the \
             time in which the module's bindings count them, before the module sees the call. Target: the command \
             under {TARGET} ms.\n"
    )
    .unwrap();
    writeln!(text, "| request | ms | the command | target |\n| --- | ---: | ---: | --- |").unwrap();
    for case in cases() {
        let (whole, own, answer) = measure(&server, &mut client, &case);
        let verdict = if own < TARGET { "met" } else { "not met" };
        let answer = if answer.is_empty() { answer } else { format!(" (`{}…`)", &answer[1..]) };
        writeln!(text, "| {}{answer} | {whole:.2} | {own:.2} | {verdict} |", case.what).unwrap();
        eprintln!("  {}: {whole:.2} {own:.2}{answer}", case.what);
    }
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/worst.md");
    std::fs::write(path, text).expect("a table");
    eprintln!("saved in benches/results/worst.md");
}

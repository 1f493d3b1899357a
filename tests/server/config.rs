//! The options of the module at run time, in the file, and what INFO counts.

use crate::harness::{Client, Machine, SOON, Server, code, wait_for};
use crate::shop::{between, shop};

/// Name, default, values that fit, values that do not.
const OPTIONS: &[(&str, &str, &[&str], &[&str])] = &[
    ("hold-ttl-ms", "900000", &["1"], &["0", "-1", "x"]),
    ("max-hold-ms", "2678400000", &["0", "60000"], &["-1", "1.5"]),
    ("outcome-ttl-ms", "86400000", &["0", "1000"], &["-1", ""]),
    ("low-stock-threshold", "10", &["0", "1000", "-1"], &["-2"]),
    ("alert-ttl-ms", "604800000", &["1000"], &["0", "-1"]),
    ("alert-cooldown-ms", "60000", &["0"], &["-1"]),
    ("feed-maxlen", "0", &["0", "1000"], &["-1"]),
    ("max-items", "128", &["1", "1024"], &["0", "1025"]),
    ("max-data-bytes", "4096", &["0", "100"], &["-1"]),
    ("sweep-budget-us", "2000", &["1000"], &["-1"]),
    ("load-repair", "auto", &["return", "report", "auto"], &["never", ""]),
];

#[test]
fn each_option_has_its_default_and_its_range() {
    let server = Server::start();
    let mut client = server.connect();
    for (name, default, good, bad) in OPTIONS {
        let name = format!("inv.{name}");
        assert_eq!(client.ask(["CONFIG", "GET", &name])[&name], *default, "{name}");
        for value in *good {
            client.ask(["CONFIG", "SET", &name, value]);
            assert_eq!(client.ask(["CONFIG", "GET", &name])[&name], *value, "{name}");
        }
        let kept = client.ask(["CONFIG", "GET", &name]);
        for value in *bad {
            let refusal = client.refusal(["CONFIG", "SET", &name, value]);
            assert!(refusal.contains(&name), "{name} {value}: {refusal}");
        }
        assert_eq!(client.ask(["CONFIG", "GET", &name]), kept, "{name}");
    }
    assert_eq!(client.ask("CONFIG GET inv.key-style")["inv.key-style"], "auto");
    client.refusal("CONFIG SET inv.key-style tagged");
}

#[test]
fn an_option_counts_from_the_moment_it_is_set() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("CONFIG SET inv.hold-ttl-ms 5000");
    let now = shop.now();
    assert!(between(now + 5_000, &shop.ask("INV.RESERVE R1 ITEMS P 1")["expires_at"], now + 7_000));
    shop.ask("CONFIG SET inv.low-stock-threshold 98");
    assert_eq!(shop.ask("INV.STOCK P")[0]["threshold"], 98);
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(shop.ask("INV.ALERTS")[0]["type"], "LOW_STOCK");
    shop.ask("CONFIG SET inv.outcome-ttl-ms 0");
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.ask("EXISTS inventory:outcome:R1"), 0);
    shop.ask("CONFIG SET inv.max-items 1");
    assert_eq!(code(&shop.refusal("INV.RESERVE R3 ITEMS P 1 Q 1")), "ERR");
}

#[test]
fn options_are_rewritten_into_the_file_and_read_from_it() {
    let mut server = Server::start_with(&["inv.max-items 7"]);
    let mut client = server.connect();
    assert_eq!(client.ask("CONFIG GET inv.max-items")["inv.max-items"], "7");
    client.ask("CONFIG SET inv.hold-ttl-ms 12345");
    client.ask("CONFIG SET inv.load-repair report");
    client.ask("CONFIG REWRITE");
    let file = std::fs::read_to_string(server.configuration()).expect("the file");
    for line in ["inv.hold-ttl-ms 12345", "inv.max-items 7", "inv.load-repair report"] {
        assert!(file.lines().any(|written| written == line), "{line} is not in:\n{file}");
    }
    server.kill();
    server.start_again();
    let mut client = server.connect();
    assert_eq!(client.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "12345");
    assert_eq!(client.ask("CONFIG GET inv.max-items")["inv.max-items"], "7");
    assert_eq!(client.ask("CONFIG GET inv.load-repair")["inv.load-repair"], "report");
}

fn number(client: &mut Client, field: &str) -> i64 {
    let text = client.info("inv", &format!("inv_{field}"));
    text.parse().unwrap_or_else(|_| panic!("inv_{field} is {text:?}"))
}

#[test]
fn info_has_every_field_of_the_contract() {
    let server = Server::start();
    let mut client = server.connect();
    for field in [
        "holds",
        "index_ready",
        "index_bytes",
        "reserved_total",
        "committed_total",
        "rolled_back_total",
        "expired_total",
        "late_commits_total",
        "refused_insufficient_total",
        "alerts_total",
        "alerts_held_back_total",
        "repaired_units",
        "unexplained_units",
        "foreign_records",
        "evicted_counters_total",
        "panics_total",
        "lag_ms",
        "lag_max_ms",
    ] {
        let expected = i64::from(field == "index_ready");
        let seen = number(&mut client, field);
        assert!(seen == expected || field == "index_bytes", "{field}: {seen}");
    }
}

#[test]
fn info_counts_what_happens() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    for step in [
        "INV.RESERVE R1 ITEMS P 1",
        "INV.RESERVE R1 ITEMS P 1",
        "INV.RESERVE R2 ITEMS P 1",
        "INV.RESERVE R3 ITEMS P 1",
        "INV.COMMIT R1",
        "INV.COMMIT R1",
        "INV.ROLLBACK R2",
    ] {
        shop.ask(step);
    }
    shop.refusal("INV.RESERVE R9 ITEMS P 99");
    shop.refusal("INV.COMMIT NOBODY");
    let machine = Machine::watch();
    shop.ask("INV.RESERVE R4 PX 20 ITEMS P 3");
    wait_for("the units are back", SOON, (3, 1), || shop.counters("P"));
    shop.ask("INV.RESERVE R5 ITEMS P 3");
    shop.ask("SET reservation:LUA text");
    for (field, expected) in [
        ("reserved_total", 5),
        ("committed_total", 1),
        ("rolled_back_total", 1),
        ("expired_total", 1),
        ("refused_insufficient_total", 1),
        ("refused_notfound_total", 1),
        ("holds", 2),
        ("alerts_total", 2),
        ("alerts_held_back_total", 1),
        ("foreign_records", 1),
    ] {
        assert_eq!(number(&mut shop, field), expected, "{field}");
    }
    assert!((0..machine.limit_ms(2000)).contains(&number(&mut shop, "lag_max_ms")));
    assert!(number(&mut shop, "index_bytes") > 0);
}

//! The options of the module at run time and in the configuration file, and the numbers of INFO.

use std::path::PathBuf;

use crate::harness::{
    Client, Machine, SOON, Server, code, json, module, server_program, wait_for, wait_until,
};
use crate::shop::{between, shop};

/// Name, default, valid values, invalid values.
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
    ("max-batch", "1000", &["1", "1000"], &["0", "1001"]),
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
        "overdue",
        "overdue_ms",
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

#[test]
fn what_is_overdue_shows_while_nothing_is_released() {
    let (_server, mut shop) = shop(&[("P", 20)]);
    for line in [
        "INV.RESERVE LONG EX 900 ITEMS P 1",
        "INV.RESERVE A PX 300 ITEMS P 1",
        "INV.RESERVE B PX 300 ITEMS P 1",
    ] {
        shop.ask(line);
    }
    assert_eq!((number(&mut shop, "overdue"), number(&mut shop, "overdue_ms")), (0, 0));
    // The module must not write while writes are paused.
    shop.ask("CLIENT PAUSE 60000 WRITE");
    wait_until("both are overdue", SOON, || number(&mut shop, "overdue") == 2);
    wait_until("INFO says for how long", SOON, || number(&mut shop, "overdue_ms") > 200);
    assert_eq!(number(&mut shop, "holds"), 3);
    shop.ask("CLIENT UNPAUSE");
    wait_for("they are released", SOON, (19, 1), || shop.counters("P"));
    assert_eq!((number(&mut shop, "overdue"), number(&mut shop, "overdue_ms")), (0, 0));
}

#[test]
fn the_version_shows_in_the_list_of_modules_in_info_and_in_the_log() {
    let version = env!("CARGO_PKG_VERSION");
    let parts: Vec<i64> = version.split('.').map(|part| part.parse().expect("a number")).collect();
    let [major, minor, patch] = parts[..] else { panic!("{version}") };
    let options = ["inv.hold-ttl-ms 5000", "inv.load-repair report", "inv.key-style tagged"];
    let server = Server::start_with(&options);
    let mut client = server.connect();
    let modules = client.ask("MODULE LIST");
    let ours = modules.as_array().expect("an array").iter().find(|module| module["name"] == "inv");
    assert_eq!(ours.expect("the module")["ver"], major * 10_000 + minor * 100 + patch);
    assert_eq!(client.info("inv", "inv_version"), version);
    let line =
        format!("* <inv> inv {version} loaded: key-style tagged, hold-ttl-ms 5000, load-repair report");
    assert_eq!(server.log().lines().filter(|logged| logged.ends_with(&line)).count(), 1, "{}", server.log());
    let line = format!("* <inv> inv {version} loaded: key-style plain");
    let server = Server::start();
    assert!(server.log().lines().any(|logged| logged.ends_with(&line)), "{}", server.log());
}

/// The module with these load arguments, as they follow `loadmodule`.
fn with_arguments(arguments: &str) -> PathBuf {
    PathBuf::from(format!("{} {arguments}", module().display()))
}

#[test]
fn a_load_argument_is_the_default_of_its_option() {
    let module = with_arguments(
        "hold-ttl-ms 5000 MAX-ITEMS 7 key-style Tagged low-stock-threshold -1 max-data-bytes 9",
    );
    let mut server = Server::start_with_module(&module, &["inv.max-items 8", "inv.load-repair report"]);
    let shown = |client: &mut Client, name: &str| {
        let name = format!("inv.{name}");
        client.ask(["CONFIG", "GET", &name])[&name].as_str().map(str::to_owned).unwrap_or_default()
    };
    let mut client = server.connect();
    for (name, expected) in [
        ("hold-ttl-ms", "5000"),
        ("max-items", "8"),
        ("key-style", "tagged"),
        ("low-stock-threshold", "-1"),
        ("max-data-bytes", "9"),
        ("load-repair", "report"),
        ("outcome-ttl-ms", "86400000"),
    ] {
        assert_eq!(shown(&mut client, name), expected, "{name}");
    }
    client.ask("SET stock:available:{P} 5");
    let now = client.now();
    let expires_at = &client.ask("INV.RESERVE R1 ITEMS P 1")["expires_at"];
    assert!(between(now + 5_000, expires_at, now + 7_000), "{expires_at}");

    // Whatever is set and rewritten applies after a restart, even a value that is the module's default.
    client.ask("CONFIG SET inv.hold-ttl-ms 900000");
    client.ask("CONFIG SET inv.max-data-bytes 20");
    client.ask("CONFIG REWRITE");
    server.kill();
    server.start_again();
    let mut client = server.connect();
    for (name, expected) in [
        ("hold-ttl-ms", "900000"),
        ("max-data-bytes", "20"),
        ("max-items", "8"),
        ("low-stock-threshold", "-1"),
        ("key-style", "tagged"),
    ] {
        assert_eq!(shown(&mut client, name), expected, "{name}, after CONFIG REWRITE");
    }
    client.ask("CONFIG SET inv.max-data-bytes 9");
    client.ask("CONFIG REWRITE");
    server.kill();
    server.start_again();
    assert_eq!(shown(&mut server.connect(), "max-data-bytes"), "9");
}

#[test]
fn a_load_argument_that_is_wrong_ends_the_load_with_a_line_that_names_it() {
    for (arguments, says) in [
        ("bogus 5", "unknown load argument 'bogus': the options are hold-ttl-ms, "),
        ("hold-ttl-ms 5000 bogus", "unknown load argument 'bogus'"),
        ("inv.hold-ttl-ms 5000", "unknown load argument 'inv.hold-ttl-ms'"),
        ("hold-ttl-ms", "load argument 'hold-ttl-ms' has no value"),
        ("max-items 7 hold-ttl-ms", "load argument 'hold-ttl-ms' has no value"),
        ("hold-ttl-ms 0", "load argument 'hold-ttl-ms' is '0', not an integer from 1 to 3155760000000"),
        ("hold-ttl-ms 5s", "load argument 'hold-ttl-ms' is '5s', not an integer from 1 to"),
        ("low-stock-threshold -2", "load argument 'low-stock-threshold' is '-2', not an integer from -1 to"),
        ("key-style braces", "load argument 'key-style' is 'braces', not one of auto, plain, tagged"),
        ("max-items 7 max-items 7", "load argument 'max-items' is given twice"),
    ] {
        let line = format!("loadmodule {}", with_arguments(arguments).display());
        let log = Server::refused_start(server_program(), &[&line]);
        let says = format!("<inv> inv is not loaded: {says}");
        assert_eq!(log.matches(&says).count(), 1, "{arguments}: {log}");
        assert!(!log.contains("REPORT"), "a crash:\n{log}");
    }
}

#[test]
fn loadex_takes_both_and_the_configuration_goes_first() {
    let server = Server::start_without_module(server_program(), &["enable-module-command yes"]);
    let mut client = server.connect();
    let module = module().display().to_string();
    let load = |rest: &str| format!("MODULE LOADEX {module} {rest}");
    assert!(
        client.refusal(load("ARGS hold-ttl-ms 5000 bogus")).starts_with("ERR Error loading the extension")
    );
    assert!(server.log().contains("inv is not loaded: unknown load argument 'bogus'"));
    for (rest, expected) in [
        ("ARGS hold-ttl-ms 5000 max-items 7", ["5000", "7"]),
        ("CONFIG inv.hold-ttl-ms 6000 ARGS hold-ttl-ms 5000", ["6000", "128"]),
        ("", ["900000", "128"]),
    ] {
        assert_eq!(client.ask(load(rest)), "OK", "{rest}");
        let shown = client.ask("CONFIG GET inv.hold-ttl-ms inv.max-items");
        assert_eq!(shown, json!({"inv.hold-ttl-ms": expected[0], "inv.max-items": expected[1]}), "{rest}");
        client.unload();
    }
}

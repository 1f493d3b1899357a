//! Exports on one server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{Contents, Server, json};
use crate::{INV, inv, inv_reads, plain_command, url};

#[test]
fn an_export_has_a_line_for_each_sku_and_what_is_set_for_it() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET A AVAILABLE 5");
    shop.ask("INV.RESERVE R ITEMS A 2");
    shop.ask(["INV.SET", "a \"b\", c", "AVAILABLE", "1"]);
    shop.ask("INV.THRESHOLD A 10");
    shop.ask("INV.LIMIT A 3");
    shop.ask("INV.FLOOR A -4");
    shop.ask("INV.WAREHOUSES P SET W 2 RETURNS CLOSED");
    shop.ask("INV.SET P@W AVAILABLE 8");
    shop.ask("INV.SET P@RETURNS AVAILABLE 1");
    shop.ask("INV.THRESHOLD P OFF");
    let text = inv(&server, &["export"]).fine();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "sku,available,reserved,priority,floor,threshold,limit");
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["\"a \"\"b\"\", c\",1,0,,,,", "A,3,2,,-4,10,3", "P@RETURNS,1,0,closed,,off,", "P@W,8,0,2,,off,"]
    );

    let text = inv(&server, &["export", "--match", "P*", "--json"]).fine();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        first,
        json!({"sku": "P@W", "available": 8, "reserved": 0, "priority": "2", "threshold": "off"})
    );
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn what_cannot_be_read_is_left_out_and_named() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET A AVAILABLE 5");
    shop.ask("SET stock:available:BROKEN many");
    let done = inv(&server, &["export"]);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.out, "sku,available,reserved,priority,floor,threshold,limit\nA,5,0,,,,\n");
    assert!(done.err.starts_with("inv: BROKEN is left out: WRONGTYPE "), "{}", done.err);
}

#[test]
fn places_that_are_no_warehouses_are_exported_or_named() {
    for style in ["plain", "tagged"] {
        let (from, to) = (
            Server::start_with(&[&format!("inv.key-style {style}")]),
            Server::start_with(&[&format!("inv.key-style {style}")]),
        );
        let mut shop = from.connect();
        let tagged =
            |product: &str| if style == "plain" { product.to_owned() } else { format!("{{{product}}}") };
        // Skus like any other, because their products have no warehouses.
        shop.ask(format!("INV.SET {}@X AVAILABLE 5", tagged("P")));
        shop.ask(format!("INV.FLOOR {}@X -2", tagged("P")));
        shop.ask(format!("INV.RESERVE {} ITEMS {}@X 1", tagged("P"), tagged("P")));
        shop.ask(format!("INV.SET {}@Y AVAILABLE 6", tagged("Q")));
        shop.ask("INV.SET Q AVAILABLE 7");
        shop.ask("INV.WAREHOUSES W SET A 1");
        shop.ask(format!("INV.SET {}@A AVAILABLE 8", tagged("W")));
        // A quota is no place.
        shop.ask("INV.LIMIT Q 3");
        shop.ask(format!("INV.RESERVE {}:1 BUYER b ITEMS Q 1", tagged("Q")));
        let export = |words: &[&str]| {
            let done = inv(&from, &[&["export"], words].concat());
            let mut lines: Vec<String> = done.out.lines().skip(1).map(str::to_owned).collect();
            lines.sort_unstable();
            (done, lines)
        };
        let (done, lines) = export(&[]);
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{style}");
        assert_eq!(lines, ["P@X,4,1,,-2,,", "Q,6,1,,,,3", "Q@Y,6,0,,,,", "W@A,8,0,1,,,"], "{style}");
        assert_eq!(export(&["--match", "[PW]*"]).1, ["P@X,4,1,,-2,,", "W@A,8,0,1,,,"], "{style}");
        inv_reads(&to, &["import", "-"], &done.out).fine();
        let copied = inv(&to, &["export", "--match", "P"]).fine();
        assert_eq!(copied.lines().nth(1), Some("P@X,4,0,,-2,,"), "{style}");

        // No command of the module sets these.
        shop.ask(format!("SET stock:available:{}@Z 9", tagged("W")));
        shop.ask(format!("SET stock:available:{} 2", tagged("W")));
        shop.ask(format!("SET stock:available:{}@X many", tagged("P")));
        let (done, lines) = export(&[]);
        assert_eq!((done.code, lines.len()), (Some(1), 3), "{done:?}");
        let said: Vec<&str> = done.err.lines().collect();
        for (line, start) in said.iter().zip([
            "inv: P@X is left out: 'many' is not an integer",
            "inv: W is left out: 2 available and 0 reserved units are stray",
            "inv: W@Z is left out: 9 available and 0 reserved units are stray",
        ]) {
            assert!(line.starts_with(start), "{done:?}");
        }
        assert_eq!(said.len(), 3, "{done:?}");
    }
}

#[test]
fn a_file_appears_when_it_is_complete() {
    let server = Server::start();
    server.connect().ask("INV.SET A AVAILABLE 5");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stock.csv");
    let done = inv(&server, &["export", path.to_str().expect("text")]);
    assert_eq!((done.code, done.out.as_str()), (Some(0), ""));
    assert!(fs::read_to_string(&path).expect("a file").ends_with("\nA,5,0,,,,\n"));

    // An export that fails leaves the old file and no part of a new one.
    let mut command = plain_command(&["export", path.to_str().expect("text"), "--match", &"x".repeat(600)]);
    let done = command.env("INV_URL", url(&server)).output().expect("inv");
    assert_eq!(done.status.code(), Some(4), "{}", String::from_utf8_lossy(&done.stderr));
    let left: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|file| file.expect("a file").file_name())
        .collect();
    assert_eq!(left, ["stock.csv"]);
    assert!(fs::read_to_string(&path).expect("a file").contains("\nA,5,"));
}

/// As `inv export | head` does.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let server = Server::start();
    let mut shop = server.connect();
    let sets: Vec<String> = (0..20_000).map(|number| format!("SET stock:available:P-{number} 1")).collect();
    shop.burst(&sets);
    let mut child = std::process::Command::new(INV)
        .arg("export")
        .env("INV_URL", url(&server))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("inv starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let done = child.wait_with_output().expect("inv ends");
    assert_eq!((done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()), (Some(0), ""));
}

/// A product, as it may be in a shop.
#[derive(Clone, Debug)]
struct Item {
    name: String,
    /// Each with its priority; none if the product is kept under its own name.
    places: Vec<(String, Option<i64>, Shelf)>,
    own: Shelf,
    threshold: Option<i64>,
    limit: Option<u32>,
}

#[derive(Clone, Debug)]
struct Shelf {
    available: i64,
    floor: i64,
}

fn shelf() -> impl Strategy<Value = Shelf> {
    (prop_oneof![0..1000_i64, -50..0_i64, Just(9_007_199_254_740_000)], prop_oneof![Just(0), -100..100_i64])
        .prop_map(|(available, floor)| Shelf { available, floor })
}

fn item() -> impl Strategy<Value = Item> {
    let place = ("[A-Z]{1,3}", prop_oneof![Just(None), (-5..9_i64).prop_map(Some)], shelf());
    (
        "[A-Za-z ,;\"'=商é\\\\:.*-]{0,8}[A-Z]",
        prop::collection::vec(place, 0..3),
        shelf(),
        prop_oneof![Just(None), (-1..50_i64).prop_map(Some)],
        prop_oneof![Just(None), (0..9_u32).prop_map(Some)],
    )
        .prop_map(|(name, places, own, threshold, limit)| Item { name, places, own, threshold, limit })
}

/// What the stock consists of, whatever brought it there.
fn stock_keys(contents: Contents) -> Contents {
    contents.into_iter().filter(|(key, _)| key.contains(" stock:")).collect()
}

#[test]
fn the_import_of_an_export_is_the_same_stock() {
    let (from, to) = (Server::start(), Server::start());
    let mut runner = TestRunner::new(Config {
        cases: 24,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&prop::collection::vec(item(), 1..12), |items| {
            let mut shop = from.connect();
            shop.ask("FLUSHALL");
            let mut copy = to.connect();
            copy.ask("FLUSHALL");
            for item in &items {
                fill(&mut shop, item);
            }
            let exported = inv(&from, &["export"]).fine();
            let done = inv_reads(&to, &["import", "-", "--force"], &exported);
            prop_assert_eq!(done.code, Some(0), "{} of\n{}", done.out, exported);
            prop_assert_eq!(stock_keys(copy.contents()), stock_keys(shop.contents()), "{}", exported);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Makes a product with plain keys, as other clients may have left it.
fn fill(shop: &mut crate::harness::Client, item: &Item) {
    let Item { name, places, own, threshold, limit } = item;
    let mut set = |kind: &str, sku: &str, value: i64| {
        shop.ask(["SET".to_owned(), format!("stock:{kind}:{sku}"), value.to_string()]);
    };
    let mut fill = |sku: &str, shelf: &Shelf| {
        set("available", sku, shelf.available);
        if shelf.floor != 0 {
            set("floor", sku, shelf.floor);
        }
    };
    if places.is_empty() {
        fill(name, own);
    }
    for (place, _, shelf) in places {
        fill(&format!("{name}@{place}"), shelf);
    }
    if let Some(threshold) = threshold {
        set("threshold", name, *threshold);
    }
    if let Some(limit) = limit {
        set("limit", name, i64::from(*limit));
    }
    for (place, priority, _) in places {
        let score = priority.map_or("+inf".to_owned(), |priority| priority.to_string());
        shop.ask(["ZADD".to_owned(), format!("stock:warehouses:{name}"), score, place.clone()]);
    }
}

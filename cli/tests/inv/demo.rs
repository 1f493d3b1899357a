//! The flash sale of `inv demo`, with a smaller crowd.

use std::process::Command;

use redis_inventory_cli::demo::{hold_all, picture, table};

use crate::harness::{Json, Server, root};
use crate::{inv, url};

/// Enough shoppers that some of those who get a unit disappear.
const SHOPPERS: i64 = 300;
const UNITS: i64 = 60;

#[test]
fn a_flash_sale_oversells_by_a_counter_loses_units_by_scripts_and_neither_by_reservations() {
    let server = Server::start();
    let client = redis::Client::open(url(&server)).expect("a URL");
    let reports = hold_all(client, "a server", SHOPPERS, UNITS).expect("three sales");
    let table = table(&reports);

    for report in &reports {
        assert_eq!(report.fault(), None, "{}:\n{table}", report.name);
    }
    let [counter, scripted, own] = &reports;
    let taken = counter.books.taken.count() - counter.books.given_back.count();
    assert!(taken > UNITS, "more units are promised than exist:\n{table}");
    assert!(counter.held > 0, "shoppers who disappear keep units forever:\n{table}");

    assert_eq!(scripted.books.sold.count() + scripted.available + scripted.held, UNITS, "{table}");
    assert!(scripted.held > 0, "shoppers who disappear keep units forever:\n{table}");
    assert_eq!((scripted.oversold(), scripted.by_deadline), (0, 0), "{table}");
    let stock = server.connect().ask("MGET scripted:available scripted:reserved");
    assert_eq!(stock, Json::from(vec![scripted.available.to_string(), scripted.held.to_string()]));

    // The sale continues until the last unit is sold: enough shoppers want one.
    assert_eq!((own.books.sold.count(), own.available), (UNITS, 0), "{table}");
    assert_eq!((own.oversold(), own.held), (0, 0), "{table}");
    assert!(own.by_deadline > 0, "units of shoppers who disappear return at the deadline:\n{table}");
    let stock = server.connect().ask("MGET stock:available:SHOES stock:reserved:SHOES");
    assert_eq!(stock, Json::from(vec![own.available.to_string(), "0".to_owned()]));

    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    picture::draw(file.path(), &reports).expect("a picture");
    let svg = std::fs::read_to_string(file.path()).expect("the picture");
    for word in [
        "<svg",
        "available",
        "reserved",
        "sold",
        "GET, then DECR",
        "Lua scripts",
        "redis-inventory",
        "</svg>",
    ] {
        assert!(svg.contains(word), "{word} is not in {svg}");
    }
}

#[test]
fn a_flash_sale_is_not_held_on_a_server_with_data() {
    let server = Server::start();
    server.connect().ask("SET stock:available:P 1");
    let refused = inv(&server, &["demo"]);
    assert_eq!(refused.code, Some(4));
    assert!(refused.err.contains("has 1 keys; the sale needs an empty server"), "{}", refused.err);
}

#[test]
fn other_numbers_than_whole_ones_in_their_bounds_are_refused_before_anything_is_built() {
    for (name, number) in [
        ("SHOPPERS", "0"),
        ("SHOPPERS", "20001"),
        ("SHOPPERS", "abc"),
        ("UNITS", "0"),
        ("UNITS", "-1"),
        ("UNITS", "1.5"),
    ] {
        let done = Command::new("scripts/demo.sh")
            .current_dir(root())
            .env(name, number)
            .env("CARGO_TARGET_DIR", "/dev/null")
            .output()
            .expect("bash");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(said, "error: SHOPPERS and UNITS must be integers from 1 to 20000\n", "{name}={number}");
        assert_eq!(done.status.code(), Some(1));
    }
}

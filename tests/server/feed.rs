//! The change feed: every change of stock that the module makes is one entry, in order.

use std::collections::BTreeMap;

use crate::harness::{Client, Json, SOON, Server, assert_same_data, wait_for};

/// The entries, as maps.
fn entries(client: &mut Client) -> Vec<BTreeMap<String, String>> {
    let entries = client.ask("XRANGE inventory:feed - +");
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let entry = |entry: &Json| {
        let fields: Vec<String> = entry[1].as_array().unwrap().iter().map(text).collect();
        fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    entries.as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn the_counters_can_be_rebuilt_from_the_feed_alone() {
    let server = Server::start_with(&["inv.feed-maxlen 10000"]);
    let replica = server.replica();
    let mut shop = server.connect();
    for sku in ["P", "Q", "R"] {
        shop.ask(format!("INV.SET {sku} AVAILABLE 100"));
    }
    for round in 0..20 {
        shop.ask(format!("INV.RESERVE a{round} ITEMS P 2 Q 1"));
        shop.ask(format!("INV.RESERVE b{round} PX 30 ITEMS R 1"));
        shop.ask(format!("INV.COMMIT a{round} ITEMS P 1"));
        match round % 3 {
            0 => shop.ask(format!("INV.COMMIT a{round}")),
            1 => shop.ask(format!("INV.ROLLBACK a{round}")),
            _ => shop.ask("INV.ADJUST Q -1"),
        };
    }
    wait_for("all of R is back", SOON, (100, 0), || shop.counters("R"));
    shop.ask("INV.COMMIT b7 LATE");
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 5");
    shop.ask("INV.ADJUST W@B 5");
    shop.ask("INV.RESERVE w ITEMS W 7");
    shop.ask("INV.TRANSFER W B A 2");
    shop.ask("INV.COMMIT w ITEMS W@A 5");
    shop.ask("INV.SET R ONHAND 50");

    let mut counters: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for entry in entries(&mut shop) {
        let quantity: i64 = entry["quantity"].parse().unwrap();
        let (available, reserved) = counters.entry(entry["sku"].clone()).or_default();
        match entry["event"].as_str() {
            "reserved" => (*available, *reserved) = (*available - quantity, *reserved + quantity),
            "committed" => *reserved -= quantity,
            "committed_late" => *available -= quantity,
            "rolled_back" | "expired" => {
                (*available, *reserved) = (*available + quantity, *reserved - quantity);
            }
            "adjusted" | "set" | "transferred" => *available += quantity,
            other => panic!("unknown event {other}"),
        }
        assert_eq!(entry["available"], available.to_string(), "{entry:?}");
        assert_eq!(entry["reserved"], reserved.to_string(), "{entry:?}");
    }
    for (sku, units) in counters {
        assert_eq!(shop.counters(&sku), units, "{sku}");
    }
    replica.catch_up_with(&server);
    assert_eq!(entries(&mut replica.connect()), entries(&mut shop));
}

#[test]
fn the_feed_keeps_its_newest_entries_and_a_group_misses_none_of_them() {
    let server = Server::start_with(&["inv.feed-maxlen 3"]);
    let mut shop = server.connect();
    shop.ask("XGROUP CREATE inventory:feed erp 0 MKSTREAM");
    for units in 1..=5 {
        shop.ask(format!("INV.ADJUST P {units}"));
    }
    let kept: Vec<String> = entries(&mut shop).into_iter().map(|entry| entry["quantity"].clone()).collect();
    assert_eq!(kept, ["3", "4", "5"]);
    let read = shop.ask("XREADGROUP GROUP erp one STREAMS inventory:feed >");
    assert_eq!(read["inventory:feed"].as_array().unwrap().len(), 3, "{read}");
}

#[test]
fn a_feed_key_of_another_type_does_not_stop_the_shop() {
    let server = Server::start_with(&["inv.feed-maxlen 3"]);
    let replica = server.replica();
    let mut shop = server.connect();
    shop.ask("SET inventory:feed mine");
    shop.ask("INV.ADJUST P 5");
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    assert_eq!(shop.ask("GET inventory:feed"), "mine");
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
}

#[test]
fn without_the_option_there_is_no_feed() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.ADJUST P 5");
    assert_eq!(shop.ask("EXISTS inventory:feed"), 0);
}

//! The change feed: each stock change by the module is one entry, in order.

use std::collections::BTreeMap;

use crate::harness::{Client, Json, SOON, Server, assert_same_data, wait_for};
use crate::shop::{Dice, let_the_sweep_pass};

/// The entries as maps.
fn entries(client: &mut Client) -> Vec<BTreeMap<String, String>> {
    let entries = client.ask("XRANGE inventory:feed - +");
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let entry = |entry: &Json| {
        let fields: Vec<String> = entry[1].as_array().unwrap().iter().map(text).collect();
        fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    };
    entries.as_array().unwrap().iter().map(entry).collect()
}

/// Asserts that the entries alone give the counters: each entry has the values after its change, and the last ones match the
/// keys.
#[track_caller]
fn assert_rebuilt(shop: &mut Client) {
    let mut counters: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut moments: Vec<i64> = vec![];
    for entry in entries(shop) {
        // The units of SWEPT were added by another client.
        if entry["event"] == "alert" || entry["sku"] == "SWEPT" {
            continue;
        }
        moments.push(entry["timestamp"].parse().unwrap());
        let quantity: i64 = entry["quantity"].parse().unwrap();
        let (available, reserved) = counters.entry(entry["sku"].clone()).or_default();
        match entry["event"].as_str() {
            "reserved" | "replaced" => {
                (*available, *reserved) = (*available - quantity, *reserved + quantity)
            }
            "committed" => *reserved -= quantity,
            "committed_late" => *available -= quantity,
            "rolled_back" | "expired" | "repaired" => {
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
    assert!(moments.is_sorted());
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
        shop.ask(format!("INV.REPLACE a{round} a{round} ITEMS P 1 Q 3"));
        if round % 2 == 0 {
            shop.ask(format!("INV.REPLACE a{round} c{round} PARTIAL ITEMS P 2 Q 500"));
            shop.ask(format!("INV.REPLACE c{round} d{round} ITEMS P 1 Q 1"));
            shop.ask(format!("INV.RESERVE e{round} ITEMS P 1"));
            shop.ask(format!("INV.REPLACE d{round} e{round} ITEMS P 1 Q 1"));
            shop.ask(format!("INV.ROLLBACK e{round}"));
            continue;
        }
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

    assert_rebuilt(&mut shop);
    replica.catch_up_with(&server);
    assert_eq!(entries(&mut replica.connect()), entries(&mut shop));
}

#[test]
fn after_any_history_the_counters_can_be_rebuilt_from_the_feed_alone() {
    const SKUS: &[&str] = &["P", "Q", "W@A", "W@B"];
    for seed in 0..5 {
        let server = Server::start_with(&["inv.feed-maxlen 100000", "inv.alert-cooldown-ms 0"]);
        let mut shop = server.connect();
        let mut dice = Dice::new(seed);
        shop.ask("INV.WAREHOUSES W SET A 1 B 2");
        for sku in SKUS {
            shop.ask(format!("INV.ADJUST {sku} 60"));
        }
        for _ in 0..400 {
            let id = dice.roll(40);
            let units = 1 + dice.roll(9);
            let sku = dice.pick(SKUS);
            let asked = dice.pick(&["P", "Q", "W", "W@B"]);
            let split = dice.pick(&["priority", "fewest", "none"]);
            let command = match dice.roll(13) {
                0..3 => format!("INV.RESERVE r{id} EX 900 SPLIT {split} ITEMS {asked} {units} {sku} 2"),
                3 | 4 => format!("INV.RESERVE r{id} PX {} ITEMS {asked} {units} P 1", 5 * units),
                5 => format!("INV.COMMIT r{id}"),
                6 => format!("INV.COMMIT r{id} LATE"),
                7 => format!("INV.COMMIT r{id} ITEMS {asked} {units}"),
                8 => format!("INV.ROLLBACK r{id}"),
                9 => format!("INV.ROLLBACK r{id} ITEMS {sku} 1"),
                10 => format!("INV.ADJUST {sku} {}", i64::try_from(units).unwrap() - 3),
                11 => format!("INV.SET {sku} ONHAND {}", 40 + units),
                _ => format!("INV.TRANSFER W B A {units}"),
            };
            // Refusals are fine, too.
            let _ = shop.try_ask(command);
        }
        let_the_sweep_pass(&mut shop);
        assert_rebuilt(&mut shop);
    }
}

#[test]
fn a_consumer_that_dies_and_comes_back_misses_nothing() {
    let server = Server::start_with(&["inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    shop.ask("XGROUP CREATE inventory:feed erp 0 MKSTREAM");
    let mut seen: Vec<i64> = vec![];
    let mut read = |consumer: &mut Client, from: &str, acknowledges: bool| {
        let read = consumer.ask(format!("XREADGROUP GROUP erp one COUNT 7 STREAMS inventory:feed {from}"));
        let entries = read["inventory:feed"].as_array().cloned().unwrap_or_default();
        for entry in &entries {
            if acknowledges {
                let fields = entry[1].as_array().unwrap();
                let at = fields.iter().position(|field| field == "quantity").unwrap();
                seen.push(fields[at + 1].as_str().unwrap().parse().unwrap());
                assert_eq!(consumer.ask(["XACK", "inventory:feed", "erp", entry[0].as_str().unwrap()]), 1);
            }
        }
        entries.len()
    };
    for units in 1..=20 {
        shop.ask(format!("INV.ADJUST P {units}"));
    }
    assert_eq!(read(&mut server.connect(), ">", true), 7);
    // The consumer dies before it acknowledges what it has read.
    assert_eq!(read(&mut server.connect(), ">", false), 7);
    for units in 21..=30 {
        shop.ask(format!("INV.ADJUST P {units}"));
    }
    let mut back = server.connect();
    while read(&mut back, "0", true) > 0 {}
    while read(&mut back, ">", true) > 0 {}
    assert_eq!(seen, (1..=30).collect::<Vec<_>>());
}

#[test]
fn an_alert_is_an_entry_after_its_cause() {
    let server = Server::start_with(&["inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    shop.ask("INV.ADJUST P 12");
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let entries = entries(&mut shop);
    let alert = &shop.ask("INV.ALERTS")[0];
    let last = entries.last().unwrap();
    assert_eq!(entries[entries.len() - 2]["event"], "reserved");
    assert_eq!(last["event"], "alert");
    for field in ["product_id", "type", "available", "threshold", "timestamp"] {
        let told = alert[field].as_str().map_or_else(|| alert[field].to_string(), str::to_owned);
        assert_eq!(last[field], told, "{field}");
    }
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

#[test]
fn a_note_is_kept_with_the_name_of_the_user_who_wrote_it() {
    let server = Server::start_with(&["inv.feed-maxlen 1000", "appendonly yes"]);
    let mut shop = server.connect();
    let replica = server.replica();
    shop.ask("ACL SETUSER mia on nopass ~* &* +@all");
    let mut mia = server.connect();
    mia.ask("AUTH mia any");
    mia.ask(["INV.ADJUST", "P", "5", "NOTE", "delivery 4711, box 2"]);
    shop.ask("INV.SET P ONHAND 4 note count IFEQ 5");
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 9");
    mia.ask("INV.TRANSFER W A B 3 ONCE t1 NOTE refill");
    mia.ask(["EVAL", "return redis.call('INV.ADJUST', 'P', '1', 'NOTE', 'script')", "0"]);
    let noted = |client: &mut Client| -> Vec<[String; 4]> {
        let fields = ["sku", "quantity", "note", "user"];
        let entries = entries(client).into_iter().filter(|entry| entry["event"] != "alert");
        entries.map(|entry| fields.map(|name| entry.get(name).cloned().unwrap_or_default())).collect()
    };
    let expected = [
        ["P", "5", "delivery 4711, box 2", "mia"],
        ["P", "-1", "count", "default"],
        ["W@A", "9", "", ""],
        ["W@A", "-3", "refill", "mia"],
        ["W@B", "3", "refill", "mia"],
        ["P", "1", "script", "mia"],
    ];
    assert_eq!(noted(&mut shop), expected);
    replica.catch_up_with(&server);
    assert_eq!(noted(&mut replica.connect()), expected);
    assert_rebuilt(&mut shop);
}

/// A count that confirms the stock is worth a note as well.
#[test]
fn a_note_is_kept_even_if_nothing_changes() {
    let server = Server::start_with(&["inv.feed-maxlen 1000", "appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("INV.SET P AVAILABLE 5");
    assert_eq!(server.propagated_by(|| _ = server.connect().ask("INV.SET P AVAILABLE 5")).len(), 0);
    let sent = server.propagated_by(|| {
        assert_eq!(server.connect().ask("INV.SET P AVAILABLE 5 NOTE counted"), 5);
    });
    assert!(sent.len() == 1 && sent[0].starts_with("XADD inventory:feed "), "{sent:?}");
    let entry = entries(&mut shop).pop().expect("an entry");
    assert_eq!((entry["quantity"].as_str(), entry["note"].as_str()), ("0", "counted"));
    assert_eq!(shop.ask("INV.SET P AVAILABLE 9 IFEQ 1 NOTE nothing"), Json::Null);
    assert_eq!(entries(&mut shop).len(), 2);
    assert_rebuilt(&mut shop);
}

#[test]
fn a_note_is_refused_while_the_feed_is_off_and_is_not_part_of_what_a_token_compares() {
    let server = Server::start_with(&["inv.max-data-bytes 8", "appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("INV.ADJUST P 10 ONCE t1");
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 9");
    let before = shop.contents();
    for command in ["INV.ADJUST P 1 NOTE n", "INV.SET P AVAILABLE 1 NOTE n", "INV.TRANSFER W A B 1 NOTE n"] {
        assert_eq!(
            shop.refusal(command),
            "ERR NOTE cannot be used while inv.feed-maxlen is 0: notes are kept in the change feed"
        );
    }
    shop.ask("CONFIG SET inv.feed-maxlen 100");
    assert_eq!(
        shop.refusal("INV.ADJUST P 1 NOTE 123456789"),
        "ERR NOTE has 9 bytes, but at most 8 are allowed (inv.max-data-bytes)"
    );
    for command in ["INV.ADJUST P 1 NOTE", "INV.ADJUST P 1 NOTE a NOTE b", "INV.THRESHOLD P 5 NOTE a"] {
        assert!(shop.refusal(command).starts_with("ERR "), "{command}");
    }
    // The token was used without a note, before the feed was on.
    assert_eq!(shop.ask("INV.ADJUST P 10 ONCE t1 NOTE again"), 10);
    assert_eq!(shop.contents(), before);
}

#[test]
fn in_tagged_style_a_note_is_in_the_feed_of_its_product() {
    let server = Server::start_with(&["inv.feed-maxlen 100", "inv.key-style tagged"]);
    let mut shop = server.connect();
    shop.ask("INV.ADJUST {shop1}:p 10 NOTE first");
    let entry = shop.ask("XRANGE inventory:feed:{shop1} - +")[0][1].to_string();
    assert!(entry.contains("\"note\",\"first\",\"user\",\"default\""), "{entry}");
}

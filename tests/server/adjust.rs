//! INV.ADJUST, INV.SET and INV.THRESHOLD: how a warehouse changes stock.

use crate::harness::{Json, SOON, assert_same, code, json, wait_for};
use crate::shop::{shop, shop_with};

#[test]
fn adjust_adds_and_takes_available_units_and_says_how_many_there_are() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    assert_eq!(shop.ask("INV.ADJUST P 5"), 11);
    assert_eq!(shop.counters("P"), (11, 4));
    assert_eq!(shop.ask("INV.ADJUST P -11"), 0);
    assert_eq!(shop.counters("P"), (0, 4));
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!(shop.counters("P"), (4, 0));
}

#[test]
fn adjust_below_zero_is_insufficient() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    let before = shop.contents();
    assert_eq!(shop.refusal("INV.ADJUST P -7"), "INSUFFICIENT P requested 7, available 6");
    assert_eq!(code(&shop.refusal("INV.ADJUST NOBODY -1")), "INSUFFICIENT");
    assert_same(&shop.contents(), &before);
}

#[test]
fn adjust_and_set_create_a_sku_without_an_alert() {
    let (_server, mut shop) = shop(&[]);
    assert_eq!(shop.ask("INV.ADJUST NEW 5"), 5);
    assert_eq!(shop.ask("GET stock:available:NEW"), "5");
    assert_eq!(shop.ask("INV.SET OTHER AVAILABLE 7"), 7);
    assert_eq!(shop.ask("GET stock:available:OTHER"), "7");
    assert_eq!(shop.ask("INV.SET EMPTY AVAILABLE 0"), 0);
    assert_eq!(shop.ask("GET stock:available:EMPTY"), "0");
    assert_eq!(shop.ask("INV.STOCK EMPTY")[0]["on_hand"], 0);
    assert_eq!(shop.ask("INV.ALERTS"), json!([]));
}

#[test]
fn set_available_says_what_is_on_the_shelf() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    assert_eq!(shop.ask("INV.SET P AVAILABLE 50"), 50);
    assert_eq!(shop.counters("P"), (50, 4));
    assert_eq!(shop.ask("inv.set P available 0"), 0);
    assert_eq!(shop.counters("P"), (0, 4));
}

#[test]
fn set_onhand_leaves_what_is_reserved_reserved() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    assert_eq!(shop.ask("INV.SET P ONHAND 50"), 46);
    assert_eq!(shop.counters("P"), (46, 4));
    assert_eq!(shop.ask("INV.SET P ONHAND 4"), 0);
    assert_eq!(shop.counters("P"), (0, 4));
    let before = shop.contents();
    assert_eq!(code(&shop.refusal("INV.SET P ONHAND 3")), "OVERCOMMITTED");
    assert_same(&shop.contents(), &before);
}

#[test]
fn set_ifeq_sets_only_what_the_caller_has_seen() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    let before = shop.contents();
    assert_eq!(shop.ask("INV.SET P AVAILABLE 50 IFEQ 10"), Json::Null);
    assert_eq!(shop.ask("INV.SET P ONHAND 50 IFEQ 6"), Json::Null);
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.ask("INV.SET P AVAILABLE 50 IFEQ 6"), 50);
    assert_eq!(shop.ask("INV.SET P ONHAND 20 IFEQ 54"), 16);
    assert_eq!(shop.counters("P"), (16, 4));
}

#[test]
fn the_edges_of_adjust_and_set_raise_alerts() {
    let (_server, mut shop) = shop_with(&["inv.alert-cooldown-ms 0"], &[("P", 20)]);
    let mut newest = |command: &str| {
        shop.ask(command);
        let alerts = shop.ask("INV.ALERTS");
        let count = alerts.as_array().map_or(0, Vec::len);
        format!("{count} {}", alerts[0]["type"].as_str().unwrap_or_default())
    };
    assert_eq!(newest("INV.ADJUST P -10"), "1 LOW_STOCK");
    assert_eq!(newest("INV.SET P AVAILABLE 0"), "2 OUT_OF_STOCK");
    assert_eq!(newest("INV.ADJUST P 5"), "3 BACK_IN_STOCK");
    assert_eq!(newest("INV.SET P AVAILABLE 30"), "3 BACK_IN_STOCK");
    assert_eq!(newest("INV.SET P ONHAND 0"), "4 OUT_OF_STOCK");
}

#[test]
fn counters_keep_their_ttl_through_adjust_and_set() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let until = shop.now() + 1_000_000;
    shop.ask(format!("PEXPIREAT stock:available:P {until}"));
    for command in ["INV.ADJUST P 5", "INV.SET P AVAILABLE 7", "INV.SET P ONHAND 9"] {
        shop.ask(command);
        assert_eq!(shop.ask("PEXPIRETIME stock:available:P"), until, "{command}");
    }
    assert_eq!(shop.ask("INCR stock:available:P"), 10);
}

#[test]
fn adjust_and_set_propagate_the_change() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    for (command, expected) in [
        ("INV.ADJUST P 5", "INV.APPLY 1 UNITS P 5 0"),
        ("INV.ADJUST P -15", "INV.APPLY 1 UNITS P -15 0"),
        ("INV.SET P AVAILABLE 50", "INV.APPLY 1 UNITS P -40 0"),
        ("INV.SET P ONHAND 60", "INV.APPLY 1 UNITS P 10 0"),
        ("INV.ADJUST NEW 5", "INV.APPLY 1 UNITS NEW 5 0"),
    ] {
        let propagated = server.propagated_by(|| {
            shop.ask(command);
        });
        assert_eq!(propagated, [expected], "{command}");
    }
    for nothing in ["INV.SET P AVAILABLE 1 IFEQ 7", "INV.ADJUST P -1000", "INV.SET P ONHAND x"] {
        let propagated = server.propagated_by(|| _ = shop.try_ask(nothing));
        assert_eq!(propagated, Vec::<String>::new(), "{nothing}");
    }
}

#[test]
fn adjust_and_set_refuse_what_is_no_count() {
    let (_server, mut shop) = shop(&[("P", 9_007_199_254_740_990)]);
    shop.ask("RPUSH stock:available:LIST 1");
    shop.ask("SET stock:available:WORD abc");
    let before = shop.contents();
    for (command, expected) in [
        ("INV.ADJUST P 2", "ERR"),
        ("INV.ADJUST P x", "ERR"),
        ("INV.ADJUST P 1.5", "ERR"),
        ("INV.ADJUST P 9007199254740992", "ERR"),
        ("INV.ADJUST P 9223372036854775808", "ERR"),
        ("INV.ADJUST P 1 NONSENSE", "ERR"),
        ("INV.ADJUST P", "ERR"),
        ("INV.ADJUST P@ 1", "ERR"),
        ("INV.ADJUST LIST 1", "WRONGTYPE"),
        ("INV.ADJUST WORD 1", "WRONGTYPE"),
        ("INV.SET P AVAILABLE -1", "OVERCOMMITTED"),
        ("INV.SET P ONHAND x", "ERR"),
        ("INV.SET P ONHAND 9007199254740992", "ERR"),
        ("INV.SET P NONSENSE 5", "ERR"),
        ("INV.SET P AVAILABLE 5 ONHAND 5", "ERR"),
        ("INV.SET P AVAILABLE 5 IFEQ x", "ERR"),
        ("INV.SET P AVAILABLE 5 IFEQ 5 IFEQ 5", "ERR"),
        ("INV.SET LIST AVAILABLE 1", "WRONGTYPE"),
        ("INV.SET WORD ONHAND 1", "WRONGTYPE"),
    ] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), expected, "{command}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_threshold_of_its_own_is_set_and_taken_back() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 20)]);
    assert_eq!(shop.ask("INV.THRESHOLD P 15"), "OK");
    assert_eq!(shop.ask("GET stock:threshold:P"), "15");
    assert_eq!(shop.ask("INV.STOCK P")[0]["threshold"], 15);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    assert_eq!(shop.ask("INV.ALERTS")[0]["threshold"], 15);

    assert_eq!(shop.ask("INV.THRESHOLD P default"), "OK");
    assert_eq!(shop.ask("EXISTS stock:threshold:P"), 0);
    assert_eq!(shop.ask("INV.STOCK P")[0]["threshold"], 10);
    assert_eq!(shop.ask("INV.THRESHOLD P 0"), "OK");
    assert_eq!(shop.ask("INV.STOCK P")[0]["threshold"], 0);

    for wrong in ["-1", "x", "1.5", "9007199254740992"] {
        assert_eq!(code(&shop.refusal(format!("INV.THRESHOLD P {wrong}"))), "ERR", "{wrong}");
    }
    for (command, expected) in [
        ("INV.THRESHOLD P 7", "INV.APPLY 1 THRESHOLD P 7 0"),
        ("INV.THRESHOLD P OFF", "INV.APPLY 1 NOALERTS P 0 0"),
        ("INV.THRESHOLD P DEFAULT", "INV.APPLY 1 THRESHOLD P -1 0"),
    ] {
        let propagated = server.propagated_by(|| {
            shop.ask(command);
        });
        assert_eq!(propagated, [expected], "{command}");
    }
}

#[test]
fn a_warehouse_is_a_plain_sku_of_its_own() {
    let (_server, mut shop) = shop(&[]);
    assert_eq!(shop.ask("INV.ADJUST P@A 5"), 5);
    assert_eq!(shop.ask("INV.SET P@B ONHAND 7"), 7);
    let reply = shop.ask("INV.RESERVE R1 ITEMS P@A 2 P@B 1");
    let lines = json!([
        {"product_id": "P", "warehouse": "A", "quantity": 2},
        {"product_id": "P", "warehouse": "B", "quantity": 1},
    ]);
    assert_eq!(reply["items"], lines);
    assert_eq!(shop.document("reservation:R1")["items"], lines);
    assert_eq!(shop.counters("P@A"), (3, 2));
    assert_eq!(shop.counters("P@B"), (6, 1));
    assert_eq!(shop.refusal("INV.RESERVE R2 ITEMS P@A 4"), "INSUFFICIENT P@A requested 4, available 3");
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.counters("P@A"), (3, 0));
    assert_eq!(shop.counters("P"), (0, 0));
}

#[test]
fn a_counter_at_the_end_of_its_range_is_moved_truly_or_not_at_all() {
    let (_server, mut shop) = shop(&[]);
    shop.ask(["SET", "stock:available:P", &i64::MIN.to_string()]);
    assert_eq!(code(&shop.refusal("INV.SET P AVAILABLE 5 FORCE")), "ERR");
    assert_eq!(code(&shop.refusal("INV.ADJUST P -1 FORCE")), "ERR");
    assert_eq!(shop.ask("GET stock:available:P"), i64::MIN.to_string());
    shop.ask(["SET", "stock:available:P", &i64::MAX.to_string()]);
    assert_eq!(shop.ask("INV.ADJUST P -1"), i64::MAX - 1);
    assert_eq!(code(&shop.refusal("INV.ADJUST P 1")), "ERR");
}

#[test]
fn a_sku_never_has_more_units_than_json_keeps_exact() {
    let (_server, mut shop) = shop(&[]);
    let most = 9_007_199_254_740_991_i64;
    assert_eq!(shop.ask(format!("INV.ADJUST Q {most}")), most);
    shop.ask(format!("INV.RESERVE R1 EX 600 ITEMS Q {most}"));
    let refusal = format!(
        "ERR Q has 0 available and {most} reserved units: {most} more would exceed the maximum of {most}"
    );
    assert_eq!(shop.refusal(format!("INV.ADJUST Q {most}")), refusal);
    assert_eq!(code(&shop.refusal("INV.SET Q AVAILABLE 1")), "ERR");
    assert_eq!(shop.ask(format!("INV.SET Q ONHAND {most}")), 0);
    shop.ask("PEXPIRE reservation:R1 1");
    wait_for("the units are back", SOON, (most, 0), || shop.counters("Q"));
    // Another client has added more than the limit: INV.SET can still lower it.
    shop.ask(format!("INCRBY stock:available:Q {most}"));
    assert_eq!(code(&shop.refusal("INV.ADJUST Q 1")), "ERR");
    assert_eq!(shop.ask("INV.ADJUST Q -1"), 2 * most - 1);
    assert_eq!(shop.ask(format!("INV.SET Q AVAILABLE {most}")), most);
}

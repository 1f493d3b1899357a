//! What monitoring/redis-inventory.lua exports, and to whom. tests/monitoring runs it with the exporter itself.

use std::collections::BTreeMap;

use crate::acl::{hash_of, shipped_users};
use crate::harness::Client;
use crate::shop::shop_with;

/// What the shipped script exports for this client.
fn exported(client: &mut Client) -> BTreeMap<String, i64> {
    let list = client.ask(["EVAL", include_str!("../../monitoring/redis-inventory.lua"), "0", "0"]);
    let list: Vec<&str> =
        list.as_array().expect("pairs").iter().map(|text| text.as_str().expect("a text")).collect();
    let pair = |pair: &[&str]| (pair[0].to_owned(), pair[1].parse().expect("an integer"));
    list.chunks(2).map(pair).collect()
}

/// Sends what prometheus-redis-exporter sends.
#[test]
fn the_shipped_exporter_reads_info_and_stock_in_a_script_and_nothing_else() {
    let users = shipped_users(&hash_of("one of a test"));
    let mut users: Vec<&str> = users.iter().map(String::as_str).collect();
    users.extend([
        "inv.feed-maxlen 1000",
        "user former on nopass +client|setname +info +latency|latest +eval",
    ]);
    let (server, mut admin) = shop_with(&users, &[("P", 5), ("MANY", 1000)]);
    admin.ask("INV.SET ÄPFEL AVAILABLE 9007199254740991");
    admin.ask("INV.THRESHOLD ÄPFEL 9007199254740991");
    admin.ask("XGROUP CREATE inventory:feed erp $");
    admin.ask(["XGROUP", "CREATE", "inventory:feed", "not\u{1}printable", "$"]);
    admin.ask("INV.RESERVE R1 ITEMS P 5");
    let mut exporter = server.connect_resp2();
    exporter.ask(["AUTH", "exporter", "one of a test"]);
    let numbers = exported(&mut exporter);
    let of = |name: &str| numbers.get(name).copied();
    assert_eq!(of("inv_holds"), Some(1));
    for (name, expected) in [
        ("inv_product_reservable:P", Some(0)),
        ("inv_product_reserved:P", Some(5)),
        ("inv_product_threshold:P", Some(10)),
        ("inv_product_reservable:ÄPFEL", Some(9_007_199_254_740_991)),
        ("inv_product_reservable:MANY", None),
        // The reservation and its alert.
        ("inv_feed_lag:erp", Some(2)),
        ("inv_feed_pending:erp", Some(0)),
    ] {
        assert_eq!(of(name), expected, "{name}: {numbers:?}");
    }
    assert!(numbers.keys().all(|name| name.starts_with("inv_") && !name.contains('\u{1}')), "{numbers:?}");
    for call in [
        "'GET', 'stock:available:P'",
        "'INV.GET', 'R1'",
        "'KEYS', '*'",
        "'XRANGE', 'inventory:feed', '-', '+'",
    ] {
        let error = exporter.refusal(["EVAL", &format!("return redis.call({call})"), "0"]);
        assert!(error.contains("ACL failure") || error.contains("NOPERM"), "{call}: {error}");
    }
    // A user with the rights of an earlier version still sees what it may.
    let mut former = server.connect_resp2();
    former.ask("AUTH former x");
    let numbers = exported(&mut former);
    assert!(
        numbers.contains_key("inv_holds") && !numbers.keys().any(|name| name.contains(':')),
        "{numbers:?}"
    );
}

/// However many products are low, a scrape reports twenty.
#[test]
fn the_script_of_the_exporter_reports_twenty_low_products_at_most() {
    let (_server, mut admin) = shop_with(&[], &[]);
    for number in 0..30 {
        admin.ask(format!("INV.SET P{number} AVAILABLE 20"));
    }
    let low = |admin: &mut Client| {
        let names = exported(admin).into_keys();
        names
            .filter_map(|name| name.strip_prefix("inv_product_reservable:").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    assert!(low(&mut admin).is_empty());
    admin.ask("INV.ADJUST P7 -20");
    admin.ask("INV.ADJUST P8 -20");
    admin.ask("INV.ADJUST P7 20");
    assert_eq!(low(&mut admin), ["P8"], "an alert is no longer true");
    // Found by the walk: nothing that the module did made it low.
    admin.ask("SET stock:available:OTHER 1");
    assert_eq!(low(&mut admin), ["OTHER", "P8"]);
    for number in 0..30 {
        admin.ask(format!("INV.SET P{number} AVAILABLE 1"));
    }
    assert_eq!(low(&mut admin).len(), 20);
}

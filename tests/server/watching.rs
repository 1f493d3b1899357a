//! Watching stock with features of the server itself: keyspace notifications and client-side caching.

use std::collections::BTreeSet;

use crate::harness::{Client, Json, SOON, json, wait_until};
use crate::shop::{shop_with, tick};

/// Every way in which the module changes a counter of P, with the counters that it changes.
const CHANGES: &[(&str, &[&str])] = &[
    ("INV.ADJUST P 5", &["available"]),
    ("INV.SET P AVAILABLE 50", &["available"]),
    ("INV.RESERVE R1 ITEMS P 5", &["available", "reserved"]),
    ("INV.COMMIT R1 ITEMS P 1", &["reserved"]),
    ("INV.ROLLBACK R1 ITEMS P 1", &["available", "reserved"]),
    ("INV.COMMIT R1", &["reserved"]),
    ("INV.RESERVE R2 ITEMS P 5", &["available", "reserved"]),
    ("INV.ROLLBACK R2", &["available", "reserved"]),
    ("INCRBY stock:reserved:P 3", &["reserved"]),
    ("INV.REPAIR P FORCE", &["available", "reserved"]),
    // No change, no event.
    ("INV.SET P AVAILABLE 49", &[]),
    ("INV.ROLLBACK R2", &[]),
    ("INV.RESERVE R3 ITEMS P 5000", &[]),
    ("INV.STOCK P", &[]),
];

#[test]
fn a_client_with_a_tracked_counter_is_notified_of_every_change() {
    let (server, mut shop) = shop_with(&[], &[("P", 40)]);
    let mut client = server.connect();
    client.ask("CLIENT TRACKING ON");
    let told = |client: &mut Client| -> BTreeSet<String> {
        let heard = client.heard();
        heard
            .iter()
            .flat_map(|push| push[0].as_array().unwrap())
            .map(|key| key.as_str().unwrap().to_owned())
            .collect()
    };
    for (command, counters) in CHANGES {
        client.ask("MGET stock:available:P stock:reserved:P");
        told(&mut client);
        let _ = shop.try_ask(*command);
        let expected: BTreeSet<String> = counters.iter().map(|kind| format!("stock:{kind}:P")).collect();
        assert_eq!(told(&mut client), expected, "{command}");
    }
    // The deadline, and a late sale.
    shop.ask("INV.RESERVE R4 PX 30 ITEMS P 5");
    client.ask("MGET stock:available:P stock:reserved:P");
    told(&mut client);
    let mut heard = BTreeSet::new();
    wait_until("the deadline is announced", SOON, || {
        heard.extend(told(&mut client));
        heard.len() == 2
    });
    client.ask("GET stock:available:P");
    shop.ask("INV.COMMIT R4 LATE");
    assert_eq!(told(&mut client), BTreeSet::from(["stock:available:P".to_owned()]));
}

#[test]
fn keyspace_notifications_tell_of_every_change_of_a_counter() {
    let (server, mut shop) = shop_with(&["notify-keyspace-events KEA"], &[("P", 40)]);
    let mut listener = server.connect();
    listener.listen("__keyspace@0__:stock:*:P");
    for (command, counters) in CHANGES {
        let _ = shop.try_ask(*command);
        let heard: Vec<Json> = listener.heard();
        let events: BTreeSet<(String, String)> = heard
            .iter()
            .map(|push| (push[1].as_str().unwrap().to_owned(), push[2].as_str().unwrap().to_owned()))
            .collect();
        let expected =
            counters.iter().map(|kind| (format!("__keyspace@0__:stock:{kind}:P"), "incrby".to_owned()));
        assert_eq!(events, expected.collect(), "{command}");
    }
}

#[test]
fn a_transfer_tells_of_both_warehouses_and_of_nothing_else() {
    let (server, mut shop) = shop_with(&["notify-keyspace-events KEA"], &[]);
    shop.ask("INV.WAREHOUSES P SET A 1 B 2");
    shop.ask("INV.ADJUST P@A 5");
    let mut listener = server.connect();
    listener.listen("__keyevent@0__:*");
    let mut events = |shop: &mut Client, command: &str| -> Vec<Json> {
        shop.ask(command);
        tick(shop);
        listener
            .heard()
            .iter()
            .map(|push| json!([push[1].as_str().unwrap().trim_start_matches("__keyevent@0__:"), push[2]]))
            .collect()
    };
    assert_eq!(
        events(&mut shop, "INV.TRANSFER P A B 2"),
        [json!(["incrby", "stock:available:P@A"]), json!(["incrby", "stock:available:P@B"])]
    );
    assert_eq!(events(&mut shop, "INV.WAREHOUSES P SET C 3"), [json!(["zadd", "stock:warehouses:P"])]);
    assert_eq!(events(&mut shop, "INV.WAREHOUSES P DEL C"), [json!(["zrem", "stock:warehouses:P"])]);
}

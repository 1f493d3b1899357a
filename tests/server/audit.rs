//! `INV.AUDIT`, `INV.AUDITSCAN`, `INV.REPAIR`.

use crate::harness::{Client, Json, SOON, Server, assert_same, code, json, wait_for, wait_until};
use crate::shop::{shop, shop_with};

fn audited(sku: &str, reserved: i64, held: i64) -> Json {
    json!({"sku": sku, "reserved": reserved, "held": held, "drift": reserved - held})
}

/// All results of a walk, in pages of `count`.
fn walk(shop: &mut Client, count: usize) -> Vec<Json> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let page = shop.ask(format!("INV.AUDITSCAN {cursor} COUNT {count}"));
        found.extend(page[1].as_array().expect("an array").iter().cloned());
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            found.sort_by_key(|audit| audit["sku"].to_string());
            found.dedup();
            return found;
        }
    }
}

#[test]
fn the_audit_compares_a_counter_with_what_is_held() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 3, 3));
    shop.ask("INCRBY stock:reserved:P 2");
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 5, 3));
    shop.ask("DEL stock:reserved:P");
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 0, 3));
    assert_eq!(shop.ask("INV.AUDIT unknown"), Json::Null);
    shop.ask("LPUSH stock:reserved:L x");
    assert_eq!(code(&shop.refusal("INV.AUDIT L")), "WRONGTYPE");
}

#[test]
fn an_unknown_sku_is_neither_audited_nor_repaired() {
    let (_server, mut shop) = shop(&[("P", 0)]);
    shop.ask("INV.WAREHOUSES W SET A 1");
    let before = shop.contents();
    for sku in ["unknown", "unknown@A", "W@B", "P@A"] {
        assert_eq!(shop.ask(format!("INV.AUDIT {sku}")), Json::Null, "{sku}");
        assert_eq!(shop.ask(format!("INV.REPAIR {sku}")), Json::Null, "{sku}");
        assert_eq!(shop.ask(format!("INV.REPAIR {sku} FORCE")), Json::Null, "{sku}");
    }
    // A counter with 0 units exists, and a warehouse exists without a counter.
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 0, 0));
    assert_eq!(shop.ask("INV.REPAIR W@A"), audited("W@A", 0, 0));
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_product_in_warehouses_is_audited_place_by_place() {
    let (_server, mut shop) = shop(&[]);
    let places: Vec<String> = (10..23).map(|n| format!("W{n} {n}")).collect();
    shop.ask(format!("INV.WAREHOUSES P SET {}", places.join(" ")));
    shop.ask("INV.ADJUST P@W10 5");
    shop.ask("INCRBY stock:reserved:P@W10 2");
    let before = shop.contents();
    let expected = "ERR P is kept in warehouses: name one of P@W10, P@W11, P@W12, P@W13, P@W14, P@W15, P@W16, \
                    P@W17, P@W18, P@W19 and 3 more";
    for command in ["INV.AUDIT P", "INV.REPAIR P", "INV.REPAIR P FORCE"] {
        assert_eq!(shop.refusal(command), expected, "{command}");
    }
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.ask("INV.AUDIT P@W10")["drift"], 2);

    // Units under the product's own name are not counted, but the walk finds them, and they can be repaired by that name.
    shop.ask("SET stock:reserved:P 3");
    assert!(walk(&mut shop, 100).iter().any(|found| found["sku"] == "P" && found["stray"] == 3));
    let own = shop.ask("INV.AUDIT P");
    assert_eq!((&own["drift"], &own["stray"]), (&json!(3), &json!(3)));
    assert_eq!(shop.ask("INV.REPAIR P FORCE")["drift"], 3);
    assert_eq!(shop.counters("P"), (3, 0));
    assert_eq!(shop.ask("INV.AUDIT P")["stray"], 3);
    shop.ask("DEL stock:available:P stock:reserved:P");
    assert_eq!(shop.refusal("INV.AUDIT P"), expected);
}

#[test]
fn stray_units_below_and_above_0_that_add_up_to_nothing_are_shown() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.WAREHOUSES P SET A 1");
    shop.ask("MSET stock:available:P -3 stock:reserved:P 3");
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 3, 0));
}

/// The walk uses SCAN to find the counters. From 8.2 on, Redis deletes every overdue key that SCAN meets.
#[test]
fn a_walk_takes_due_reservations_for_no_drift() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    let mut calls: Vec<String> = (0..20).map(|n| format!("INV.RESERVE R{n} PX 100 ITEMS P 1")).collect();
    calls.push("DEBUG SLEEP 0.2".to_owned());
    // Nothing runs in between, so no sweep has released them.
    calls.push("INV.AUDITSCAN 0".to_owned());
    calls.push("INV.AUDIT P".to_owned());
    let replies = shop.burst(&calls);
    assert_eq!(replies[21], json!(["0", []]));
    assert_eq!(replies[22]["drift"], 0);
    wait_for("the units are back, once", SOON, (100, 0), || shop.counters("P"));
}

#[test]
fn what_is_remembered_after_a_del_is_held_until_the_deadline() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 PX 150 ITEMS P 3");
    shop.ask("DEL reservation:R1");
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 3, 3));
    assert_eq!(shop.ask("INV.REPAIR P"), audited("P", 3, 3));
    wait_for("the units are back once", SOON, (10, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.REPAIR P"), audited("P", 0, 0));
    assert_eq!(shop.counters("P"), (10, 0));
}

#[test]
fn a_repair_returns_what_nothing_holds_and_the_copies_agree() {
    let server = Server::start_with(&["appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 0");
    shop.ask("SET stock:reserved:P 4");
    let sent = server.propagated_by(|| {
        assert_eq!(server.connect().ask("INV.REPAIR P FORCE"), audited("P", 4, 0));
    });
    assert_eq!(sent.iter().filter(|command| *command == "INV.APPLY 1 UNITS P 4 -4").count(), 1, "{sent:?}");
    assert_eq!(shop.counters("P"), (4, 0));
    let alerts = shop.ask("INV.ALERTS PRODUCT P");
    assert_eq!(alerts[0]["type"], "BACK_IN_STOCK");
    assert_eq!(shop.info("inv", "inv_repaired_units"), "4");
    let sent = server.propagated_by(|| {
        assert_eq!(server.connect().ask("INV.REPAIR P FORCE"), audited("P", 0, 0));
    });
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn a_repair_takes_a_negative_drift_from_available_below_0_too() {
    let (server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 6");
    shop.ask("DECRBY stock:reserved:P 5");
    // It needs no FORCE: the units are held by reservations of the module.
    shop.ask("SET reservation:script its-own EX 900");
    assert_eq!(shop.ask("INV.REPAIR P"), audited("P", 1, 6));
    assert_eq!(shop.counters("P"), (-1, 6));
    assert!(server.log().contains("P: reservations hold 1 more units than there are"), "{}", server.log());
    assert_eq!(shop.ask("INV.AUDIT P"), audited("P", 6, 6));
    assert_eq!(shop.refusal("INV.RESERVE R2 ITEMS P 1"), "INSUFFICIENT P requested 1, available -1");
    assert_eq!(shop.ask("INV.STOCK P")[0]["on_hand"], 5);
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    // A delivery covers what was promised.
    assert_eq!(shop.ask("INV.ADJUST P 5"), 4);
}

#[test]
fn beside_foreign_records_a_repair_wants_force() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("SET stock:reserved:P 2");
    shop.ask("SETEX reservation:script 900 2");
    assert_eq!(code(&shop.refusal("INV.REPAIR P")), "FOREIGN");
    assert_eq!(shop.counters("P"), (10, 2));
    assert_eq!(shop.ask("INV.REPAIR P FORCE"), audited("P", 2, 0));
    assert_eq!(shop.counters("P"), (12, 0));
}

#[test]
fn a_walk_names_every_sku_that_drifts_and_no_other() {
    let (_server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 3 Q 1");
    for number in 0..3000 {
        shop.send(format!("SET stock:reserved:S{number} {}", i64::from(number % 1000 == 0)));
    }
    for _ in 0..3000 {
        shop.reply();
    }
    shop.ask("DEL stock:reserved:Q");
    let expected = [audited("Q", 0, 1), audited("S0", 1, 0), audited("S1000", 1, 0), audited("S2000", 1, 0)];
    assert_eq!(walk(&mut shop, 1), expected);
    assert_eq!(walk(&mut shop, 100), expected);
}

#[test]
fn a_walk_names_stray_units_even_if_only_an_available_counter_has_them() {
    let (_server, mut shop) = shop(&[("P@A", 10), ("P@B", 5), ("P@C", 7), ("Q@A", 1)]);
    shop.ask("INV.WAREHOUSES P SET A 1 B 2");
    shop.ask("INV.RESERVE R1 ITEMS P@A 4");
    shop.ask("ZREM stock:warehouses:P A");
    shop.ask("SET stock:available:P 2");
    let stray = |sku: &str, reserved: i64, held: i64, stray: i64| {
        let mut audit = audited(sku, reserved, held);
        audit["stray"] = json!(stray);
        audit
    };
    let expected = [stray("P", 0, 0, 2), stray("P@A", 4, 4, 10), stray("P@C", 0, 0, 7)];
    for count in [1, 100] {
        assert_eq!(walk(&mut shop, count), expected);
    }
    for sku in ["P", "P@A", "P@C"] {
        assert!(expected.contains(&shop.ask(format!("INV.AUDIT {sku}"))), "{sku}");
    }
    shop.ask("DEL stock:available:P");
    shop.ask("INV.WAREHOUSES P SET A 1 C 3");
    assert_eq!(walk(&mut shop, 100), Vec::<Json>::new());
}

#[test]
fn a_walk_over_many_counters_of_each_kind_ends_and_lists_each_once() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("ZADD stock:warehouses:W 1 A");
    for number in 0..3000 {
        let name = if number % 1000 == 0 { format!("W@S{number}") } else { format!("S{number}") };
        shop.send(format!("SET stock:available:{name} 1"));
    }
    for _ in 0..3000 {
        shop.reply();
    }
    let found = walk(&mut shop, 1);
    let skus: Vec<&str> = found.iter().map(|audit| audit["sku"].as_str().expect("a sku")).collect();
    assert_eq!(skus, ["W@S0", "W@S1000", "W@S2000"]);
}

#[test]
fn a_walk_shows_what_the_caller_may_read() {
    let (server, mut shop) = shop(&[]);
    shop.ask("SET stock:reserved:shop1:p 1");
    shop.ask("SET stock:reserved:shop2:p 1");
    shop.ask("ACL SETUSER clerk reset on nopass -@all +inv.audit +inv.auditscan ~shop1*");
    let mut clerk = server.connect();
    clerk.ask("AUTH clerk any");
    assert_eq!(walk(&mut clerk, 10), [audited("shop1:p", 1, 0)]);
    assert_eq!(code(&clerk.refusal("INV.AUDIT shop2:p")), "NOPERM");
}

#[test]
fn the_audit_works_on_a_replica_and_the_repair_does_not() {
    let (server, mut shop) = shop(&[("P", 10)]);
    let replica = server.replica();
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    shop.ask("INCR stock:reserved:P");
    replica.catch_up_with(&server);
    let mut reader = replica.connect();
    assert_eq!(reader.ask("INV.AUDIT P"), audited("P", 4, 3));
    assert_eq!(walk(&mut reader, 10), [audited("P", 4, 3)]);
    assert_eq!(code(&reader.refusal("INV.REPAIR P")), "READONLY");
}

#[test]
fn a_cursor_that_no_walk_has_answered_is_refused() {
    let (_server, mut shop) = shop(&[]);
    for command in ["INV.AUDITSCAN x", "INV.AUDITSCAN c", "INV.AUDITSCAN -1", "INV.SCAN x", "INV.SCAN 5"] {
        assert_eq!(code(&shop.refusal(command)), "ERR", "{command}");
    }
}

#[test]
fn keys_of_another_style_are_noticed_reported_and_left_alone() {
    let (mut server, mut shop) =
        shop_with(&["inv.key-style tagged", "appendonly yes", "inv.load-repair return"], &[("{P}", 10)]);
    shop.ask("INV.RESERVE R1 PX 100 ITEMS P 4");
    let counters = |shop: &mut Client| shop.counters("{P}");
    assert_eq!(counters(&mut shop), (6, 4));
    server.shut_down();
    server.change_option("inv.key-style tagged", "inv.key-style plain");
    server.start_again();
    let mut shop = server.connect();
    wait_until("it is reported", SOON, || server.log().contains("inv.key-style has changed"));
    wait_until("the deadline has passed", SOON, || shop.ask("EXISTS reservation:{R1}") == 0);
    assert_eq!(counters(&mut shop), (6, 4));
    assert_eq!(shop.info("inv", "inv_repaired_units"), "0");
}

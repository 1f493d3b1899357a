//! The life of a reservation step by step: reserve, then commit, rollback or expiry; and each command sent again.

use crate::harness::{Client, Json, SOON, Server, assert_same, code, json, wait_for, wire_code};
use crate::shop::{between, item, shop};

#[test]
fn a_sale_takes_the_units_at_reserve_and_lets_them_go_at_commit() {
    let (_server, mut shop) = shop(&[("PROD-123", 100)]);

    let before = shop.now();
    let reply = shop.ask("INV.RESERVE RES-456 EX 900 ITEMS PROD-123 5");
    let after = shop.now();
    let expires_at = &reply["expires_at"];
    assert!(between(before + 900_000, expires_at, after + 900_000), "{reply}");
    assert_eq!(
        reply,
        json!({"reservation_id": "RES-456", "expires_at": expires_at, "items": [item("PROD-123", 5)]})
    );
    assert_eq!(shop.ask("GET stock:available:PROD-123"), "95");
    assert_eq!(shop.ask("GET stock:reserved:PROD-123"), "5");
    assert_eq!(shop.ask("PEXPIRETIME reservation:RES-456"), *expires_at);
    assert!(between(1, &shop.ask("PTTL reservation:RES-456"), 900_000));
    let created_at = shop.document("reservation:RES-456")["created_at"].clone();
    assert!(between(before, &created_at, after));
    let record = format!(
        r#"{{"reservation_id":"RES-456","created_at":{created_at},"expires_at":{expires_at},"items":[{{"product_id":"PROD-123","quantity":5}}]}}"#
    );
    assert_eq!(shop.ask("GET reservation:RES-456"), record);

    let before = shop.now();
    assert_eq!(shop.ask("INV.COMMIT RES-456"), "OK");
    let after = shop.now();
    assert_eq!(shop.ask("GET stock:available:PROD-123"), "95");
    assert_eq!(shop.ask("GET stock:reserved:PROD-123"), "0");
    assert_eq!(shop.ask("EXISTS reservation:RES-456"), 0);
    let outcome = shop.document("inventory:outcome:RES-456");
    assert!(between(before, &outcome["resolved_at"], after), "{outcome}");
    assert_eq!(
        outcome,
        json!({
            "reservation_id": "RES-456", "state": "committed", "created_at": created_at,
            "expires_at": expires_at, "resolved_at": outcome["resolved_at"], "items": [item("PROD-123", 5)],
        })
    );
    assert!(between(86_390_000, &shop.ask("PTTL inventory:outcome:RES-456"), 86_400_000));
    assert_eq!(shop.ask("INV.GET RES-456"), outcome);
}

#[test]
fn a_rollback_puts_the_units_back_on_the_shelf() {
    let (_server, mut shop) = shop(&[("PROD-123", 100)]);
    shop.ask("INV.RESERVE RES-456 ITEMS PROD-123 5");
    assert_eq!(shop.counters("PROD-123"), (95, 5));

    assert_eq!(shop.ask("INV.ROLLBACK RES-456"), "OK");
    assert_eq!(shop.ask("GET stock:available:PROD-123"), "100");
    assert_eq!(shop.ask("GET stock:reserved:PROD-123"), "0");
    assert_eq!(shop.ask("EXISTS reservation:RES-456"), 0);
    let outcome = shop.document("inventory:outcome:RES-456");
    assert_eq!(outcome["state"], "rolled_back");
    assert!(between(86_390_000, &shop.ask("PTTL inventory:outcome:RES-456"), 86_400_000));
    assert_eq!(shop.ask("INV.GET RES-456"), outcome);
}

#[test]
fn an_abandoned_reservation_ends_at_its_deadline() {
    let (_server, mut shop) = shop(&[("PROD-123", 100)]);
    let expires_at = shop.ask("INV.RESERVE RES-456 PX 100 ITEMS PROD-123 5")["expires_at"].clone();
    assert_eq!(shop.counters("PROD-123"), (95, 5));

    wait_for("the units are back", SOON, (100, 0), || shop.counters("PROD-123"));
    assert_eq!(shop.ask("EXISTS reservation:RES-456"), 0);
    let outcome = shop.document("inventory:outcome:RES-456");
    assert_eq!(
        outcome,
        json!({
            "reservation_id": "RES-456", "state": "expired", "created_at": outcome["created_at"],
            "expires_at": expires_at, "resolved_at": outcome["resolved_at"], "items": [item("PROD-123", 5)],
            "sold": [], "returned": [item("PROD-123", 5)],
        })
    );
    assert!(between(86_390_000, &shop.ask("PTTL inventory:outcome:RES-456"), 86_400_000));
    assert_eq!(
        shop.ask("INV.GET RES-456"),
        json!({
            "reservation_id": "RES-456", "state": "expired", "created_at": outcome["created_at"],
            "expires_at": expires_at, "resolved_at": outcome["resolved_at"], "items": [item("PROD-123", 5)],
            "returned": [item("PROD-123", 5)],
        })
    );
}

#[test]
fn several_items_are_reserved_all_or_none() {
    let (_server, mut shop) = shop(&[("PROD-123", 1), ("PROD-9", 0), ("PROD-7", 50)]);
    let refusal = shop.refusal("INV.RESERVE RES-1 ITEMS PROD-123 5 PROD-7 3 PROD-9 2");
    assert_eq!(refusal, "INSUFFICIENT PROD-123 requested 5, available 1; PROD-9 requested 2, available 0");
    assert_eq!(shop.counters("PROD-123"), (1, 0));
    assert_eq!(shop.counters("PROD-7"), (50, 0));
    assert_eq!(shop.ask("EXISTS reservation:RES-1 stock:reserved:PROD-7"), 0);

    let reply = shop.ask("INV.RESERVE RES-1 ITEMS PROD-123 1 PROD-7 3");
    assert_eq!(reply["items"], json!([item("PROD-123", 1), item("PROD-7", 3)]));
    assert_eq!(shop.counters("PROD-123"), (0, 1));
    assert_eq!(shop.counters("PROD-7"), (47, 3));
}

#[test]
fn a_sku_named_twice_is_added_up() {
    let (_server, mut shop) = shop(&[("P", 9)]);
    let refusal = shop.refusal("INV.RESERVE R1 ITEMS P 5 P 5");
    assert_eq!(refusal, "INSUFFICIENT P requested 10, available 9");

    let reply = shop.ask("INV.RESERVE R1 ITEMS P 5 P 4");
    assert_eq!(reply["items"], json!([item("P", 9)]));
    assert_eq!(shop.counters("P"), (0, 9));
    shop.ask("INV.ROLLBACK R1");
    assert_eq!(shop.counters("P"), (9, 0));
}

#[test]
fn a_sku_that_nobody_stocked_has_nothing_to_reserve() {
    let (_server, mut shop) = shop(&[]);
    let refusal = shop.refusal("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(refusal, "INSUFFICIENT P requested 1, available 0 (unknown sku)");
    assert_eq!(shop.ask("DBSIZE"), 0);
}

#[test]
fn the_last_units_can_be_sold_and_no_more() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    assert_eq!(shop.refusal("INV.RESERVE R2 ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.refusal("INV.RESERVE R2 ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    assert_eq!(shop.counters("P"), (0, 0));
}

#[test]
fn reserve_again_answers_with_the_current_state_and_changes_nothing() {
    let (_server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    let first = shop.ask("INV.RESERVE R1 EX 900 ITEMS P 3 Q 1");
    let before = shop.contents();
    for again in [
        "INV.RESERVE R1 EX 900 ITEMS P 3 Q 1",
        // Items are compared by the sum of each sku; the time and DATA are not compared.
        "INV.RESERVE R1 EX 900 ITEMS Q 1 P 1 P 2",
        "INV.RESERVE R1 PX 5 DATA other ITEMS P 3 Q 1",
        "INV.RESERVE R1 ITEMS P 3 Q 1",
    ] {
        assert_eq!(shop.ask(again), first, "{again}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn reserve_again_when_nothing_is_left_still_answers() {
    let (_server, mut shop) = shop(&[("P", 3)]);
    let first = shop.ask("INV.RESERVE R1 ITEMS P 3");
    assert_eq!(shop.ask("INV.RESERVE R1 ITEMS P 3"), first);
}

#[test]
fn an_id_in_use_for_other_items_is_a_mismatch() {
    let (_server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    let before = shop.contents();
    for other in ["ITEMS P 4", "ITEMS P 3 P 1", "ITEMS Q 3", "ITEMS P 3 Q 1"] {
        let refusal = shop.refusal(format!("INV.RESERVE R1 {other}"));
        assert_eq!(code(&refusal), "MISMATCH", "{other}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn commit_again_answers_ok_and_changes_nothing() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    shop.ask("INV.COMMIT R1");
    let before = shop.contents();
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1")), "COMMITTED");
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 3")), "COMMITTED");
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.counters("P"), (7, 0));
}

#[test]
fn rollback_again_answers_ok_and_changes_nothing() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    shop.ask("INV.ROLLBACK R1");
    let before = shop.contents();
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1")), "ROLLEDBACK");
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 3")), "ROLLEDBACK");
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.counters("P"), (10, 0));
}

#[test]
fn an_expired_id_is_used_up_and_its_rollback_is_ok() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let deadline = shop.ask("INV.RESERVE R1 PX 50 ITEMS P 3")["expires_at"].clone();
    wait_for("the units are back", SOON, (10, 0), || shop.counters("P"));
    assert_eq!(
        shop.refusal("INV.COMMIT R1"),
        format!(
            "EXPIRED reservation R1 expired at {deadline}: retry with a new id, or sell its units with INV.COMMIT R1 LATE if they are still available"
        )
    );
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 3")), "EXPIRED");

    // The units have already returned; only the outcome changes, which rules out a late commit.
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!(shop.counters("P"), (10, 0));
    assert_eq!(shop.document("inventory:outcome:R1")["state"], "rolled_back");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1")), "ROLLEDBACK");
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!(shop.counters("P"), (10, 0));
}

#[test]
fn an_unknown_id_is_not_found() {
    let (_server, mut shop) = shop(&[]);
    assert_eq!(code(&shop.refusal("INV.COMMIT R1")), "NOTFOUND");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1")), "NOTFOUND");
    assert_eq!(shop.ask("INV.GET R1"), Json::Null);
    assert_eq!(shop.ask("DBSIZE"), 0);
}

#[test]
fn without_outcomes_an_ended_id_is_unknown_and_free() {
    let server = Server::start_with(&["inv.outcome-ttl-ms 0"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 10");
    for end in ["INV.COMMIT", "INV.ROLLBACK"] {
        shop.ask("INV.RESERVE R1 ITEMS P 3");
        assert_eq!(shop.ask(format!("{end} R1")), "OK");
        assert_eq!(shop.ask("INV.GET R1"), Json::Null);
        assert_eq!(code(&shop.refusal(format!("{end} R1"))), "NOTFOUND");
    }
    assert_eq!(shop.counters("P"), (7, 0));
    shop.ask("INV.RESERVE R1 PX 50 ITEMS P 3");
    wait_for("the units are back", SOON, (7, 0), || shop.counters("P"));
    assert_eq!(shop.ask("EXISTS inventory:outcome:R1"), 0);
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    assert_eq!(shop.counters("P"), (4, 3));
}

#[test]
fn an_outcome_is_forgotten_after_its_time_and_the_id_is_free() {
    let server = Server::start_with(&["inv.outcome-ttl-ms 100"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 10");
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    shop.ask("INV.COMMIT R1");
    wait_for("the outcome is forgotten", SOON, Json::Null, || shop.ask("INV.GET R1"));
    assert_eq!(code(&shop.refusal("INV.COMMIT R1")), "NOTFOUND");
    shop.ask("INV.RESERVE R1 ITEMS P 3");
    assert_eq!(shop.counters("P"), (4, 3));
}

#[test]
fn a_star_becomes_a_fresh_id() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let fresh = |shop: &mut Client, id: &str| {
        let reply = shop.ask(format!("INV.RESERVE {id} ITEMS P 1"));
        reply["reservation_id"].as_str().expect("an id").to_owned()
    };
    let one = fresh(&mut shop, "*");
    let other = fresh(&mut shop, "*");
    assert_ne!(one, other);
    // A UUID of version 7 begins with the time, so that ids sort in the order of their creation.
    assert_eq!((one.len(), &one[14..15]), (36, "7"), "{one}");
    assert!(one[..8] <= other[..8], "{one} {other}");

    let of_cart = fresh(&mut shop, "cart:77:*");
    let uuid = of_cart.strip_prefix("cart:77:").expect("the words before the star stay");
    assert_eq!((uuid.len(), &uuid[14..15]), (36, "7"), "{of_cart}");
    assert_eq!(shop.counters("P"), (7, 3));
    assert_eq!(shop.ask(format!("INV.COMMIT {of_cart}")), "OK");
    assert_eq!(shop.ask(format!("INV.GET {one}"))["state"], "reserved");
}

#[test]
fn the_deadline_can_be_given_in_four_ways_or_not_at_all() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let now = shop.now();
    let at = now + 60_000;
    let at_second = at / 1000;
    for (time, lowest) in [
        ("EX 60", at),
        ("px 60000", at),
        (&*format!("ExAt {at_second}"), at_second * 1000),
        (&*format!("PXAT {at}"), at),
        ("", now + 900_000),
    ] {
        let reply = shop.ask(format!("INV.RESERVE R* {time} ITEMS P 1"));
        let highest = if time.to_ascii_uppercase().contains("AT") { lowest } else { lowest + 5_000 };
        assert!(between(lowest, &reply["expires_at"], highest), "{time}: {reply} not near {lowest}");
        let key = format!("reservation:{}", reply["reservation_id"].as_str().expect("an id"));
        assert_eq!(shop.ask(["PEXPIRETIME", &*key]), reply["expires_at"], "{time}");
        assert_eq!(shop.document(&key)["expires_at"], reply["expires_at"], "{time}");
    }
}

#[test]
fn the_default_life_is_a_setting() {
    let server = Server::start_with(&["inv.hold-ttl-ms 5000"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 10");
    let now = shop.now();
    assert!(between(now + 5_000, &shop.ask("INV.RESERVE R1 ITEMS P 1")["expires_at"], now + 7_000));
}

#[test]
fn data_is_kept_as_it_was_given() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let text = "cart \"77\" für Zoë \u{1f6d2} \\";
    shop.ask(["INV.RESERVE", "R1", "data", text, "EX", "60", "ITEMS", "P", "1"]);
    assert_eq!(shop.document("reservation:R1")["data"], text);
    assert_eq!(shop.ask("INV.GET R1")["data"], text);
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.document("inventory:outcome:R1")["data"], text);
    assert_eq!(shop.ask("INV.GET R1")["data"], text);
}

#[test]
fn an_option_word_is_a_good_value_of_data_and_a_good_id() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE EX DATA PX EX 60 ITEMS P 1");
    assert_eq!(shop.ask("INV.GET EX")["data"], "PX");
    shop.ask("INV.RESERVE items ITEMS P 1");
    assert_eq!(shop.ask("INV.COMMIT items"), "OK");
}

#[test]
fn ids_may_hold_an_at_sign_and_anything_printable() {
    let (_server, mut shop) = shop(&[]);
    let id = "mail@example.org / Bestellung 7\u{a0}✓";
    shop.ask(["SET", "stock:available:Größe 42", "10"]);
    shop.ask(["INV.RESERVE", id, "ITEMS", "Größe 42", "2"]);
    assert_eq!(shop.ask(["GET", "stock:available:Größe 42"]), "8");
    assert_eq!(shop.ask(["INV.GET", id])["items"], json!([item("Größe 42", 2)]));
    assert_eq!(shop.ask(["INV.COMMIT", id]), "OK");
}

#[test]
fn stock_tells_the_counters_and_null_for_an_unknown_product() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("SET stock:reserved:GONE 0");
    let product = |name, available: i64, reserved: i64| {
        json!({
            "product_id": name, "available": available, "reserved": reserved,
            "on_hand": available + reserved, "floor": 0, "reservable": available, "threshold": 10,
            "warehouses": [],
        })
    };
    assert_eq!(shop.ask("INV.STOCK P"), json!([product("P", 100, 0)]));
    shop.ask("INV.RESERVE R1 ITEMS P 30");
    assert_eq!(
        shop.ask("INV.STOCK P NOPE GONE P"),
        json!([product("P", 70, 30), null, product("GONE", 0, 0), product("P", 70, 30)])
    );
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.ask("INV.STOCK P"), json!([product("P", 70, 0)]));
}

#[test]
fn replies_are_maps_in_resp3_and_flat_arrays_in_resp2() {
    let server = Server::start();
    let (mut resp2, mut resp3) = (server.connect_resp2(), server.connect());
    resp3.ask("SET stock:available:P 100");
    resp3.ask("SET stock:available:Q 100");

    let map = resp3.ask("INV.RESERVE R1 EX 900 DATA cart ITEMS P 95 Q 1");
    let at = &map["expires_at"];
    let items = json!([["product_id", "P", "quantity", 95], ["product_id", "Q", "quantity", 1]]);
    assert_eq!(
        map,
        json!({"reservation_id": "R1", "expires_at": at, "items": [item("P", 95), item("Q", 1)]})
    );
    assert_eq!(
        resp2.ask("INV.RESERVE R1 EX 900 DATA cart ITEMS P 95 Q 1"),
        json!(["reservation_id", "R1", "expires_at", at, "items", items])
    );

    let map = resp3.ask("INV.GET R1");
    let created_at = &map["created_at"];
    assert_eq!(
        map,
        json!({
            "reservation_id": "R1", "state": "reserved", "created_at": created_at, "expires_at": at,
            "items": [item("P", 95), item("Q", 1)], "data": "cart",
        })
    );
    assert_eq!(
        resp2.ask("INV.GET R1"),
        json!([
            "reservation_id",
            "R1",
            "state",
            "reserved",
            "created_at",
            created_at,
            "expires_at",
            at,
            "items",
            items,
            "data",
            "cart",
        ])
    );

    assert_eq!(
        resp2.ask("INV.STOCK P NOPE"),
        json!([
            [
                "product_id",
                "P",
                "available",
                5,
                "reserved",
                95,
                "on_hand",
                100,
                "floor",
                0,
                "reservable",
                5,
                "threshold",
                10,
                "warehouses",
                []
            ],
            null,
        ])
    );

    let map = resp3.ask("INV.ALERTS");
    let timestamp = &map[0]["timestamp"];
    assert_eq!(
        map,
        json!([{
            "product_id": "P", "type": "LOW_STOCK", "available": 5, "threshold": 10, "timestamp": timestamp,
        }])
    );
    assert_eq!(
        resp2.ask("INV.ALERTS"),
        json!([[
            "product_id",
            "P",
            "type",
            "LOW_STOCK",
            "available",
            5,
            "threshold",
            10,
            "timestamp",
            timestamp,
        ]])
    );

    assert_eq!(resp2.ask("INV.COMMIT R1"), "OK");
    let resolved_at = resp3.ask("INV.GET R1")["resolved_at"].clone();
    assert_eq!(
        resp2.ask("INV.GET R1"),
        json!([
            "reservation_id",
            "R1",
            "state",
            "committed",
            "created_at",
            created_at,
            "expires_at",
            at,
            "resolved_at",
            resolved_at,
            "items",
            items,
            "data",
            "cart",
        ])
    );
    assert_eq!(resp2.ask("INV.GET NOPE"), Json::Null);
}

#[test]
fn the_whole_flow_works_in_a_transaction() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let replies = shop.burst(&[
        "MULTI",
        "INV.RESERVE R1 ITEMS P 3",
        "INV.COMMIT R1",
        "INV.RESERVE R2 ITEMS P 8",
        "INV.RESERVE R2 ITEMS P 7",
        "INV.ROLLBACK R2",
        "INV.GET R2",
        "EXEC",
    ]);
    let replies = &replies[7];
    assert_eq!(replies[0]["reservation_id"], "R1");
    assert_eq!(replies[1], "OK");
    assert_eq!(wire_code(&replies[2]), "-INSUFFICIENT");
    assert_eq!(replies[3]["reservation_id"], "R2");
    assert_eq!(replies[4], "OK");
    assert_eq!(replies[5]["state"], "rolled_back");
    assert_eq!(shop.counters("P"), (7, 0));
}

#[test]
fn the_whole_flow_works_in_a_script() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let script = "redis.setresp(3)
        local held = redis.call('INV.RESERVE', KEYS[1], 'ITEMS', KEYS[2], 3)
        redis.call('INV.COMMIT', KEYS[1])
        local refused = redis.pcall('INV.ROLLBACK', KEYS[1])
        return {held.map.reservation_id, refused.err}";
    let reply = shop.ask(["EVAL", script, "2", "R1", "P"]);
    assert_eq!(reply[0], "R1");
    assert!(reply[1].as_str().is_some_and(|error| error.starts_with("COMMITTED")), "{reply}");
    assert_eq!(shop.counters("P"), (7, 0));
}

#[test]
fn the_whole_flow_works_in_a_function() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let library = "#!lua name=orders
        redis.register_function('order', function(keys, args)
            redis.call('INV.RESERVE', keys[1], 'ITEMS', keys[2], args[1])
            return redis.call('INV.COMMIT', keys[1])
        end)";
    shop.ask(["FUNCTION", "LOAD", library]);
    assert_eq!(shop.ask("FCALL order 2 R1 P 3"), "OK");
    assert_eq!(code(&shop.refusal("FCALL order 2 R2 P 8")), "INSUFFICIENT");
    assert_eq!(shop.counters("P"), (7, 0));
}

#[test]
fn every_database_has_its_own_stock() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("SELECT 9");
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 1")), "INSUFFICIENT");
    shop.ask("SET stock:available:P 4");
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(shop.counters("P"), (3, 1));
    shop.ask("SELECT 0");
    assert_eq!(shop.counters("P"), (10, 0));
    assert_eq!(shop.ask("INV.GET R1"), Json::Null);
    shop.ask("INV.RESERVE R1 ITEMS P 2");
    shop.ask("INV.COMMIT R1");
    shop.ask("SELECT 9");
    assert_eq!(shop.ask("INV.GET R1")["state"], "reserved");
}

#[test]
fn an_order_moves_each_counter_once_however_many_lines_it_has_and_however_often_it_names_a_place() {
    let (_server, mut shop) = shop(&[]);
    let skus: Vec<String> = (0..100).map(|n| format!("P{n}")).collect();
    for sku in &skus {
        shop.ask(format!("SET stock:available:{sku} 10"));
    }
    // W takes units from both of its warehouses, one of which is named as well.
    shop.ask("INV.WAREHOUSES W SET a 1 b 2");
    shop.ask("INV.ADJUST W@a 5");
    shop.ask("INV.ADJUST W@b 5");
    let items: Vec<String> = skus.iter().map(|sku| format!("{sku} 3")).collect();
    let order = format!("ITEMS W 4 {} W@a 3", items.join(" "));
    let steps = [("COMMIT", 7, [(0, 0), (3, 0)]), ("ROLLBACK", 10, [(5, 0), (5, 0)])];
    for (step, after, places) in steps {
        shop.ask(format!("INV.RESERVE {step} {order}"));
        for sku in &skus {
            assert_eq!(shop.counters(sku), (7, 3), "{sku}");
        }
        assert_eq!([shop.counters("W@a"), shop.counters("W@b")], [(0, 5), (3, 2)]);
        shop.ask(format!("INV.{step} {step}"));
        for sku in &skus {
            assert_eq!(shop.counters(sku), (after, 0), "{sku}");
            shop.ask(format!("SET stock:available:{sku} 10"));
        }
        assert_eq!([shop.counters("W@a"), shop.counters("W@b")], places);
        shop.ask("SET stock:available:W@a 5");
        shop.ask("SET stock:available:W@b 5");
    }
}

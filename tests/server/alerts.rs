//! Alerts: raised when stock crosses a threshold, stored as keys, listed by INV.ALERTS and published on the channel.

use crate::harness::{Client, Json, SOON, Server, json, wait_for, wait_until};
use crate::shards::Cluster;
use crate::shop::{shop_with, tick};

/// A server without a cooldown for alerts.
fn shop(available: i64) -> (Server, Client) {
    shop_with(&["inv.alert-cooldown-ms 0"], &[("P", available)])
}

/// All stored alerts, oldest first: `LOW_STOCK P 10`.
fn raised(shop: &mut Client) -> Vec<String> {
    let mut alerts: Vec<Json> = Vec::new();
    for key in shop.ask("KEYS alert:*").as_array().expect("an array") {
        alerts.push(shop.document(key.as_str().expect("a name")));
    }
    alerts.sort_by_key(|alert| alert["timestamp"].as_i64());
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    alerts
        .iter()
        .map(|alert| {
            format!("{} {} {}", text(&alert["type"]), text(&alert["product_id"]), alert["available"])
        })
        .collect()
}

#[test]
fn low_stock_comes_at_the_threshold_and_not_before() {
    let (_server, mut shop) = shop(20);
    shop.ask("INV.RESERVE R1 ITEMS P 9");
    assert_eq!(raised(&mut shop), Vec::<String>::new());
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 10"]);
}

#[test]
fn low_stock_comes_once_until_stock_has_been_above() {
    let (_server, mut shop) = shop(20);
    shop.ask("INV.RESERVE R1 ITEMS P 12");
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    shop.ask("INV.RESERVE R3 ITEMS P 1");
    // Up, but not above the threshold, and down again.
    shop.ask("INV.ROLLBACK R3");
    shop.ask("INV.RESERVE R4 ITEMS P 2");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 8"]);

    shop.ask("INV.ROLLBACK R1");
    tick(&mut shop);
    shop.ask("INV.RESERVE R5 ITEMS P 7");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 8", "LOW_STOCK P 10"]);
}

#[test]
fn out_of_stock_comes_at_zero() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 4");
    assert_eq!(raised(&mut shop), Vec::<String>::new());
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0"]);
}

#[test]
fn out_of_stock_comes_alone_when_the_threshold_is_crossed_too() {
    let (_server, mut shop) = shop(20);
    shop.ask("INV.RESERVE R1 ITEMS P 20");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0"]);
}

#[test]
fn back_in_stock_comes_when_a_rollback_lifts_it_from_zero() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 2");
    shop.ask("INV.RESERVE R2 ITEMS P 3");
    tick(&mut shop);
    shop.ask("INV.ROLLBACK R1");
    tick(&mut shop);
    shop.ask("INV.ROLLBACK R2");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 2"]);
}

#[test]
fn back_in_stock_comes_when_a_deadline_lifts_it_from_zero() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 PX 50 ITEMS P 5");
    wait_for("the units are back", SOON, (5, 0), || shop.counters("P"));
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 5"]);
}

#[test]
fn a_commit_moves_nothing_available_and_raises_nothing() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.COMMIT R1");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0"]);
}

#[test]
fn a_refusal_and_a_retry_raise_nothing() {
    let (_server, mut shop) = shop(20);
    shop.refusal("INV.RESERVE R1 ITEMS P 21");
    shop.ask("INV.RESERVE R1 ITEMS P 15");
    shop.ask("INV.RESERVE R1 ITEMS P 15");
    shop.refusal("INV.RESERVE R2 ITEMS P 6");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 5"]);
}

#[test]
fn each_product_of_a_reservation_has_its_own_alert() {
    let (_server, mut shop) = shop(20);
    shop.ask("SET stock:available:Q 3");
    shop.ask("SET stock:available:MANY 1000");
    shop.ask("INV.RESERVE R1 ITEMS P 15 Q 3 MANY 1");
    let mut alerts = raised(&mut shop);
    alerts.sort();
    assert_eq!(alerts, ["LOW_STOCK P 5", "OUT_OF_STOCK Q 0"]);
}

#[test]
fn the_threshold_is_a_setting_and_a_key_of_the_product_goes_before_it() {
    let (_server, mut shop) = shop_with(&["inv.low-stock-threshold 3"], &[("P", 20), ("Q", 20)]);
    shop.ask("SET stock:threshold:Q 15");
    assert_eq!(shop.ask("INV.STOCK P")[0]["threshold"], 3);
    assert_eq!(shop.ask("INV.STOCK Q")[0]["threshold"], 15);
    shop.ask("INV.RESERVE R1 ITEMS P 16 Q 4");
    assert_eq!(raised(&mut shop), Vec::<String>::new());
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    tick(&mut shop);
    shop.ask("INV.RESERVE R3 ITEMS Q 1");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 3", "LOW_STOCK Q 15"]);

    shop.ask("DEL stock:threshold:Q");
    assert_eq!(shop.ask("INV.STOCK Q")[0]["threshold"], 3);
}

#[test]
fn an_alert_is_a_key_named_by_product_and_time_with_a_ttl() {
    let (_server, mut shop) = shop(20);
    let before = shop.now();
    shop.ask("INV.RESERVE R1 ITEMS P 15");
    let after = shop.now();
    let keys = shop.ask("KEYS alert:*");
    let key = keys[0].as_str().expect("one alert");
    let timestamp: i64 = key.strip_prefix("alert:P:").and_then(|at| at.parse().ok()).expect("alert:P:time");
    assert!((before..=after).contains(&timestamp));
    let written = format!(
        r#"{{"product_id":"P","type":"LOW_STOCK","available":5,"threshold":10,"timestamp":{timestamp}}}"#
    );
    assert_eq!(shop.ask(["GET", key]), written);
    let week = 604_800_000;
    assert_eq!(shop.ask(["PEXPIRETIME", key]), timestamp + week);
}

#[test]
fn two_alerts_of_one_millisecond_take_the_next_free_one() {
    let (_server, mut shop) = shop(5);
    // Time does not advance within a transaction.
    shop.burst(&["MULTI", "INV.RESERVE R1 ITEMS P 5", "INV.ROLLBACK R1", "INV.RESERVE R2 ITEMS P 5", "EXEC"]);
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 5", "OUT_OF_STOCK P 0"]);
    let alerts = shop.ask("INV.ALERTS PRODUCT P");
    let at = |index: usize| alerts[index]["timestamp"].as_i64().expect("a time");
    assert_eq!((at(0), at(1)), (at(2) + 2, at(2) + 1));
}

#[test]
fn thousands_of_alerts_of_one_script_are_all_stored_and_told_once_each() {
    let (server, mut shop) = shop_with(&["inv.alert-cooldown-ms 0", "inv.outcome-ttl-ms 0"], &[("P", 1)]);
    let mut listener = server.connect();
    listener.listen("inventory:alerts");
    let script = "for i = 1, 2000 do redis.call('INV.RESERVE', 'A', 'ITEMS', 'P', '1') \
                  redis.call('INV.ROLLBACK', 'A') end return 'OK'";
    assert_eq!(shop.ask(["EVAL", script, "0"]), "OK");
    assert_eq!(shop.ask("KEYS alert:P:*").as_array().expect("names").len(), 4000);
    let mut heard = Vec::new();
    wait_until("every alert is published", SOON, || {
        heard.extend(listener.heard());
        heard.len() >= 4000
    });
    let moments: std::collections::BTreeSet<i64> = heard
        .iter()
        .map(|push| serde_json::from_str::<Json>(push[2].as_str().expect("text")).expect("JSON"))
        .map(|alert| alert["timestamp"].as_i64().expect("ms"))
        .collect();
    assert_eq!((heard.len(), moments.len()), (4000, 4000));
}

#[test]
fn an_alert_ends_after_its_time() {
    let (_server, mut shop) = shop_with(&["inv.alert-ttl-ms 100"], &[("P", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    assert_eq!(shop.ask("INV.ALERTS").as_array().map(Vec::len), Some(1));
    wait_for("the alert is gone", SOON, json!([]), || shop.ask("INV.ALERTS"));
    wait_for("the key is gone", SOON, json!([]), || shop.ask("KEYS alert:*"));
}

#[test]
fn an_alert_deleted_by_another_client_is_no_longer_listed() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let keys = shop.ask("KEYS alert:*");
    shop.ask(["DEL", keys[0].as_str().expect("one alert")]);
    assert_eq!(shop.ask("INV.ALERTS"), json!([]));
    assert_eq!(shop.ask("INV.ALERTS PRODUCT P"), json!([]));
}

#[test]
fn after_a_flush_there_are_no_alerts() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("FLUSHALL");
    assert_eq!(shop.ask("INV.ALERTS"), json!([]));
}

#[test]
fn alerts_are_listed_newest_first_and_filtered() {
    let (_server, mut shop) = shop(20);
    shop.ask("MSET stock:available:Q 5 stock:available:R 20");
    for step in [
        "INV.RESERVE R1 ITEMS P 15",
        "INV.RESERVE R2 ITEMS Q 5",
        "INV.RESERVE R3 ITEMS R 15",
        "INV.RESERVE R4 ITEMS P 5",
        "INV.ROLLBACK R4",
    ] {
        shop.ask(step);
        tick(&mut shop);
    }
    let everything = shop.ask("INV.ALERTS");
    let everything = everything.as_array().expect("an array");
    let mut list = |filter: &str| {
        let reply = shop.ask(format!("INV.ALERTS {filter}"));
        let text = |alert: &Json, field: &str| alert[field].as_str().unwrap_or_default().to_owned();
        let line = |alert| format!("{} {}", text(alert, "product_id"), text(alert, "type"));
        reply.as_array().expect("an array").iter().map(line).collect::<Vec<_>>().join(", ")
    };
    let all = "P BACK_IN_STOCK, P OUT_OF_STOCK, R LOW_STOCK, Q OUT_OF_STOCK, P LOW_STOCK";
    assert_eq!(list(""), all);
    assert_eq!(list("PRODUCT P"), "P BACK_IN_STOCK, P OUT_OF_STOCK, P LOW_STOCK");
    assert_eq!(list("TYPE LOW_STOCK"), "R LOW_STOCK, P LOW_STOCK");
    assert_eq!(list("type LOW_STOCK"), "R LOW_STOCK, P LOW_STOCK");
    assert_eq!(list("TYPE OUT_OF_STOCK PRODUCT Q"), "Q OUT_OF_STOCK");
    assert_eq!(list("COUNT 2"), "P BACK_IN_STOCK, P OUT_OF_STOCK");
    assert_eq!(list("PRODUCT P COUNT 1"), "P BACK_IN_STOCK");
    assert_eq!(list("COUNT 1 TYPE LOW_STOCK"), "R LOW_STOCK");
    assert_eq!(list(&format!("SINCE {}", everything[1]["timestamp"])), "P BACK_IN_STOCK, P OUT_OF_STOCK");
    assert_eq!(list(&format!("PRODUCT P SINCE {}", everything[0]["timestamp"])), "P BACK_IN_STOCK");
    assert_eq!(list("SINCE 99999999999999"), "");
    assert_eq!(list("SINCE 0 COUNT 1000"), all);
    assert_eq!(list("PRODUCT NOPE"), "");

    let of_product = &everything[4];
    assert_eq!(
        *of_product,
        json!({
            "product_id": "P", "type": "LOW_STOCK", "available": 5, "threshold": 10,
            "timestamp": of_product["timestamp"],
        })
    );
    for wrong in ["TYPE NONSENSE", "COUNT x", "SINCE x", "PRODUCT", "COUNT 1 COUNT 2"] {
        let refusal = shop.refusal(format!("INV.ALERTS {wrong}"));
        assert!(refusal.starts_with("ERR "), "{wrong}: {refusal}");
    }
}

/// The pages of INV.ALERTS from the newest on, as the documents describe: BEFORE is the time of the last alert of the previous
/// page.
fn pages(shop: &mut Client, options: &str) -> Vec<Vec<Json>> {
    let (mut pages, mut before) = (Vec::new(), json!(9_007_199_254_740_991_i64));
    loop {
        let page = shop.ask(format!("INV.ALERTS {options} BEFORE {before}"));
        let Some(last) = page.as_array().and_then(|page| page.last()) else { return pages };
        before = last["timestamp"].clone();
        pages.push(page.as_array().cloned().unwrap_or_default());
    }
}

#[test]
fn a_walk_back_by_pages_meets_each_alert_once() {
    let (_server, mut shop) = shop(20);
    // 20 alerts of the same millisecond in each script, more than a page has.
    let sold_out = "for n = 1, 20 do redis.call('SET', 'stock:available:P' .. n, 1)
        redis.call('INV.RESERVE', KEYS[1] .. n, 'ITEMS', 'P' .. n, 1) redis.call('INV.ROLLBACK', KEYS[1] .. n) end";
    for name in ["A", "B", "C"] {
        shop.ask("CONFIG SET inv.alert-cooldown-ms 0");
        shop.ask(["EVAL", sold_out, "1", name]);
        tick(&mut shop);
    }
    let everything = shop.ask("INV.ALERTS COUNT 1000");
    let everything = everything.as_array().expect("an array");
    assert_eq!(everything.len(), 120);
    for count in [1, 7, 20, 39, 40, 41, 1000] {
        let pages = pages(&mut shop, &format!("COUNT {count}"));
        assert_eq!(pages.concat(), *everything, "{count}");
        for page in &pages {
            let newest = &page[page.len().saturating_sub(1).min(count - 1)]["timestamp"];
            let beyond = page.iter().skip(count);
            assert!(beyond.clone().all(|alert| alert["timestamp"] == *newest), "{count}: {page:?}");
        }
    }
    let of_type =
        |kind: &str| everything.iter().filter(|alert| alert["type"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!(pages(&mut shop, "COUNT 3 TYPE out_of_stock").concat(), of_type("OUT_OF_STOCK"));
    let of_product: Vec<Json> =
        everything.iter().filter(|alert| alert["product_id"] == "P7").cloned().collect();
    assert_eq!(pages(&mut shop, "PRODUCT P7 COUNT 1").concat(), of_product);

    let (newest, oldest) = (&everything[0]["timestamp"], &everything[119]["timestamp"]);
    let between: Vec<Json> = everything
        .iter()
        .filter(|alert| alert["timestamp"].as_i64() < newest.as_i64())
        .filter(|alert| alert["timestamp"].as_i64() > oldest.as_i64())
        .cloned()
        .collect();
    let since = oldest.as_i64().expect("a number") + 1;
    assert_eq!(shop.ask(format!("INV.ALERTS SINCE {since} BEFORE {newest} COUNT 1000")), json!(between));
    assert_eq!(shop.ask(format!("INV.ALERTS SINCE {newest} BEFORE {newest}")), json!([]));
    assert_eq!(shop.ask("INV.ALERTS BEFORE 0"), json!([]));
    assert_eq!(shop.ask("INV.ALERTS COUNT 1").as_array().map(Vec::len), Some(1), "without BEFORE");
}

#[test]
fn a_product_whose_alerts_are_off_raises_none() {
    for (settings, lines) in [
        (&[][..], &["INV.THRESHOLD P OFF", "INV.THRESHOLD W off"][..]),
        (&[], &["SET stock:threshold:P -1", "SET stock:threshold:W -3"]),
        (&["inv.low-stock-threshold -1"], &[]),
    ] {
        let (mut server, mut shop) =
            shop_with(&[settings, &["appendonly yes"]].concat(), &[("P", 20), ("Q", 20)]);
        shop.ask("INV.WAREHOUSES W SET A 1 B 2");
        shop.ask("INV.SET W@A AVAILABLE 10");
        shop.ask("INV.SET W@B AVAILABLE 10");
        shop.ask("INV.THRESHOLD Q 15");
        for line in lines {
            shop.ask(line);
        }
        let sell_out = |shop: &mut Client, id: &str| {
            for product in ["P", "W", "Q"] {
                shop.ask(format!("INV.RESERVE {id}{product}1 ITEMS {product} 15"));
                shop.ask(format!("INV.RESERVE {id}{product}2 ITEMS {product} 5"));
                shop.ask(format!("INV.ROLLBACK {id}{product}2"));
                shop.ask(format!("INV.ROLLBACK {id}{product}1"));
            }
        };
        sell_out(&mut shop, "R");
        let seen = shop.ask("INV.ALERTS");
        let seen = seen.as_array().expect("an array");
        assert!(seen.iter().all(|alert| alert["product_id"] == "Q"), "{lines:?}: {seen:?}");
        assert_eq!(seen.len(), 3, "{lines:?}: of Q they are not off");
        let expected = if lines.first().is_some_and(|line| line.starts_with("SET")) { -3 } else { -1 };
        assert_eq!(shop.ask("INV.STOCK W")[0]["threshold"], expected, "{lines:?}");
        assert_eq!(shop.info("inv", "inv_alerts_held_back_total"), "0", "nothing is suppressed");

        // The same applies after a restart, and after it is reverted.
        server.kill();
        server.start_again();
        let mut shop = server.connect();
        wait_for("the index is complete", SOON, "1".to_owned(), || shop.info("inv", "inv_index_ready"));
        shop.ask("INV.SET P AVAILABLE 0");
        assert_eq!(shop.ask("INV.ALERTS PRODUCT P"), json!([]), "{lines:?}");
        shop.ask("CONFIG SET inv.low-stock-threshold 10");
        shop.ask("INV.THRESHOLD P DEFAULT");
        shop.ask("INV.SET P AVAILABLE 5");
        assert_eq!(shop.ask("INV.ALERTS PRODUCT P")[0]["type"], "BACK_IN_STOCK", "{lines:?}");
    }
}

#[test]
fn a_hundred_alerts_are_listed_by_default() {
    let (_server, mut shop) = shop(0);
    for n in 0..110 {
        shop.ask(format!("SET stock:available:P{n} 1"));
        shop.ask(format!("INV.RESERVE R{n} ITEMS P{n} 1"));
    }
    assert_eq!(shop.ask("INV.ALERTS").as_array().map(Vec::len), Some(100));
    assert_eq!(shop.ask("INV.ALERTS COUNT 105").as_array().map(Vec::len), Some(105));
}

#[test]
fn an_alert_is_a_message_on_the_channel() {
    let (server, mut shop) = shop(20);
    let mut listener = server.connect();
    listener.listen("inventory:alerts");
    shop.ask("INV.RESERVE R1 ITEMS P 15");
    shop.ask("INV.RESERVE R2 ITEMS P 5");
    shop.ask("INV.ROLLBACK R2");
    let heard: Vec<Json> = listener.heard().iter().map(|message| message[2].clone()).collect();
    let mut kept = Vec::new();
    for alert in shop.ask("INV.ALERTS").as_array().expect("an array").iter().rev() {
        kept.push(shop.ask(format!("GET alert:P:{}", alert["timestamp"])));
    }
    assert_eq!(heard, kept);
    assert_eq!(kept.len(), 3);
}

#[test]
fn an_item_that_flaps_does_not_flood() {
    let (_server, mut shop) = shop_with(&[], &[("P", 5), ("Q", 5)]);
    for n in 0..5 {
        shop.ask(format!("INV.RESERVE R{n} ITEMS P 5"));
        shop.ask(format!("INV.ROLLBACK R{n}"));
    }
    // The second alert may bear the next millisecond, if the first was raised in the same one.
    tick(&mut shop);
    tick(&mut shop);
    // The cooldown of another product is independent.
    shop.ask("INV.RESERVE R9 ITEMS Q 5");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 5", "OUT_OF_STOCK Q 0"]);
}

#[test]
fn after_the_cooldown_the_same_alert_comes_again() {
    let (_server, mut shop) = shop_with(&["inv.alert-cooldown-ms 100"], &[("P", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.ROLLBACK R1");
    let first = shop.now();
    wait_until("the cooldown is over", SOON, || shop.now() > first + 100);
    shop.ask("INV.RESERVE R2 ITEMS P 5");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 5", "OUT_OF_STOCK P 0"]);
}

#[test]
fn stock_filled_by_another_client_counts_for_the_next_edge() {
    let (_server, mut shop) = shop(5);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("SET stock:available:P 50");
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    tick(&mut shop);
    shop.ask("INV.RESERVE R3 ITEMS P 40");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0", "LOW_STOCK P 9"]);
}

#[test]
fn every_path_of_available_raises_at_the_edge() {
    for (steps, expected) in [
        (&["INV.ADJUST P -10"][..], &["LOW_STOCK P 10"][..]),
        (&["INV.ADJUST P -20"], &["OUT_OF_STOCK P 0"]),
        (&["INV.SET P AVAILABLE 10"], &["LOW_STOCK P 10"]),
        (&["INV.RESERVE R1 ITEMS P 5", "INV.SET P ONHAND 15"], &["LOW_STOCK P 10"]),
        (&["INV.SET P AVAILABLE 0", "INV.ADJUST P 3"], &["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 3"]),
        (
            &["INV.RESERVE R1 ITEMS P 20", "INV.ROLLBACK R1 ITEMS P 1"],
            &["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 1"],
        ),
        // A sale does not change the available units.
        (&["INV.RESERVE R1 ITEMS P 9", "INV.COMMIT R1"], &[]),
        // Units that a script has lost return with the repair.
        (
            &["INV.ADJUST P -20", "SET stock:reserved:P 4", "INV.REPAIR P FORCE"],
            &["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 4"],
        ),
        // Overdue units return before the requested ones are taken.
        (
            &["INV.RESERVE R1 PX 1 ITEMS P 20", "DEBUG SLEEP 0.01", "INV.RESERVE R2 ITEMS P 11"],
            &["OUT_OF_STOCK P 0", "BACK_IN_STOCK P 20", "LOW_STOCK P 9"],
        ),
        (
            &[
                "INV.RESERVE R1 PX 1 ITEMS P 9",
                "DEBUG SLEEP 0.01",
                "INV.ROLLBACK R1",
                "INV.ADJUST P -8",
                "INV.COMMIT R1 LATE",
            ],
            &[],
        ),
        (
            &[
                "INV.RESERVE R1 PX 1 ITEMS P 9",
                "DEBUG SLEEP 0.01",
                "INV.GET R1",
                "INV.ADJUST P -8",
                "INV.COMMIT R1 LATE",
            ],
            &["LOW_STOCK P 3"],
        ),
    ] {
        let (_server, mut shop) = shop(20);
        for step in steps {
            let _ = shop.try_ask(*step);
            tick(&mut shop);
        }
        assert_eq!(raised(&mut shop), expected, "{steps:?}");
    }
}

#[test]
fn a_threshold_of_0_says_only_that_it_is_out() {
    let (_server, mut shop) = shop(20);
    shop.ask("INV.THRESHOLD P 0");
    shop.ask("INV.RESERVE R1 ITEMS P 19");
    assert_eq!(raised(&mut shop), Vec::<String>::new());
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(raised(&mut shop), ["OUT_OF_STOCK P 0"]);
}

#[test]
fn a_product_that_flaps_a_thousand_times_is_low_once_and_the_rest_is_counted() {
    let (_server, mut shop) = shop_with(&[], &[("P", 11)]);
    for round in 0..1000 {
        shop.ask(format!("INV.RESERVE R{round} ITEMS P 1"));
        shop.ask(format!("INV.ROLLBACK R{round}"));
    }
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 10"]);
    assert_eq!(shop.info("inv", "inv_alerts_total"), "1");
    assert_eq!(shop.info("inv", "inv_alerts_held_back_total"), "999");
}

#[test]
fn the_cooldown_survives_a_restart() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 11)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    shop.ask("INV.ROLLBACK R1");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    wait_for("the alerts are known again", SOON, Some(1), || shop.ask("INV.ALERTS").as_array().map(Vec::len));
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(raised(&mut shop), ["LOW_STOCK P 10"]);
}

/// The products of the listed alerts, newest first.
fn listed(client: &mut Client, filter: &str) -> Vec<String> {
    let alerts = client.ask(format!("INV.ALERTS {filter}"));
    alerts
        .as_array()
        .expect("alerts")
        .iter()
        .map(|alert| alert["product_id"].as_str().unwrap().to_owned())
        .collect()
}

/// 300 products, P0 to P299, go out of stock one after the other; every third is restocked.
fn many_alerts(shop: &mut Client) {
    for n in 0..300 {
        shop.ask(format!("SET stock:available:P{n} 1"));
        shop.ask(format!("INV.RESERVE R{n} ITEMS P{n} 1"));
        if n % 3 == 0 {
            shop.ask(format!("INV.ROLLBACK R{n}"));
        }
    }
}

#[test]
fn what_is_listed_survives_restart_and_failover() {
    let (mut server, mut shop) = shop_with(&["appendonly yes", "enable-debug-command yes"], &[]);
    many_alerts(&mut shop);
    let queries = ["COUNT 1000", "TYPE BACK_IN_STOCK COUNT 7", "PRODUCT P9", "PRODUCT P9 TYPE OUT_OF_STOCK"];
    let before: Vec<Json> = queries.map(|query| shop.ask(format!("INV.ALERTS {query}"))).to_vec();
    assert_eq!(before[0].as_array().map(Vec::len), Some(400));
    assert_eq!(before[2].as_array().map(Vec::len), Some(2));
    let replica = server.replica();
    replica.catch_up_with(&server);
    let same = |client: &mut Client, when: &str| {
        for (query, before) in queries.iter().zip(&before) {
            wait_for(when, SOON, before.clone(), || client.ask(format!("INV.ALERTS {query}")));
        }
    };
    same(&mut replica.connect(), "the replica lists the same");
    server.kill();
    server.start_again();
    same(&mut server.connect(), "the restarted server lists the same");
    server.connect().ask("DEBUG RELOAD");
    same(&mut server.connect(), "the reloaded server lists the same");
    replica.connect().ask("REPLICAOF NO ONE");
    same(&mut replica.connect(), "the new master lists the same");
}

#[test]
fn an_alert_that_is_gone_is_not_listed_whatever_took_it() {
    let (_server, mut shop) = shop(0);
    many_alerts(&mut shop);
    let newest = shop.ask("INV.ALERTS COUNT 4");
    let key =
        |n: usize| format!("alert:{}:{}", newest[n]["product_id"].as_str().unwrap(), newest[n]["timestamp"]);
    let product = |n: usize| newest[n]["product_id"].as_str().unwrap().to_owned();
    shop.ask(["DEL", &key(0)]);
    shop.ask(["PEXPIRE", &key(1), "0"]);
    shop.ask(["SET", &key(2), "no alert"]);
    assert_eq!(listed(&mut shop, "COUNT 1"), [product(3)]);
    // Recreated by another client, and with another type.
    shop.ask([
        "SET",
        &key(2),
        r#"{"product_id":"X","type":"LOW_STOCK","available":1,"threshold":2,"timestamp":3}"#,
    ]);
    assert_eq!(listed(&mut shop, "TYPE LOW_STOCK"), ["X"]);
    // They have expired, but the server has not noticed, and there was no event.
    shop.ask("CONFIG SET inv.alert-ttl-ms 1000");
    shop.ask("DEBUG SET-ACTIVE-EXPIRE 0");
    // Among alerts of the same millisecond, any may be listed as the newest.
    tick(&mut shop);
    shop.ask("INV.ROLLBACK R1");
    assert_eq!(listed(&mut shop, "COUNT 1"), ["P1"]);
    let now = shop.now();
    wait_until("they have expired", SOON, || shop.now() > now + 1000);
    assert_eq!(listed(&mut shop, "PRODUCT P1 TYPE BACK_IN_STOCK"), Vec::<String>::new());
    shop.ask("FLUSHALL");
    assert_eq!(listed(&mut shop, "COUNT 1000"), Vec::<String>::new());
}

#[test]
fn in_a_cluster_a_message_is_heard_once() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    let mut listener = cluster.masters[0].connect();
    listener.listen("inventory:alerts");
    shop.ask("INV.ADJUST P 5");
    shop.ask("INV.RESERVE {P}:R1 ITEMS P 5");
    let heard = listener.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    let alert: Json = serde_json::from_str(heard[0][2].as_str().unwrap()).unwrap();
    assert_eq!((&alert["product_id"], &alert["type"]), (&json!("P"), &json!("OUT_OF_STOCK")));
}

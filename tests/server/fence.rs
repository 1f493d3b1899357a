//! `INV.ROLLBACK … FENCE`: an id that is unknown is remembered as rolled back, so that a RESERVE which was delayed on its way
//! does not hold units for somebody who has given up.

use crate::harness::{SOON, assert_same, assert_same_data, code, json, wait_for, wait_until};
use crate::shop::{between, shop, shop_with, stored};

/// The symptom of apache/incubator-seata#4095: the second phase arrives before the first, which then holds for ever.
#[test]
fn a_cancel_that_overtakes_its_reserve_is_not_overtaken_by_it() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let began = shop.now();
    assert_eq!(shop.ask("INV.ROLLBACK R1 FENCE"), "OK");
    let refusal = shop.refusal("INV.RESERVE R1 ITEMS P 2");
    assert!(refusal.starts_with("ROLLEDBACK reservation R1 was rolled back at "), "{refusal}");
    assert_eq!(shop.counters("P"), (10, 0));
    for (command, expected) in [
        ("INV.COMMIT R1", "ROLLEDBACK"),
        ("INV.COMMIT R1 LATE", "ROLLEDBACK"),
        ("INV.EXTEND R1 EX 60", "ROLLEDBACK"),
        ("INV.ROLLBACK R1 ITEMS P 1", "ROLLEDBACK"),
    ] {
        assert_eq!(code(&shop.refusal(command)), expected, "{command}");
    }
    let view = shop.ask("INV.GET R1");
    let (state, items) = (&view["state"], &view["items"]);
    assert_eq!((state, items), (&json!("rolled_back"), &json!([])), "{view}");
    let (_, until) = stored(&mut shop, "inventory:outcome:R1");
    let ttl = 86_400_000;
    assert!(between(began + ttl, &until, shop.now() + ttl), "{until}");
    for field in ["created_at", "expires_at", "resolved_at"] {
        assert!(between(began, &view[field], shop.now()), "{view}");
    }
    assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", []]));
}

#[test]
fn without_fence_an_unknown_id_stays_unknown() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let before = shop.contents();
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1")), "NOTFOUND");
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_known_reservation_is_rolled_back_as_without_fence() {
    let (_server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    shop.ask("INV.RESERVE LIVE ITEMS P 2");
    assert_eq!(shop.ask("INV.ROLLBACK LIVE fence"), "OK");
    assert_eq!(shop.counters("P"), (10, 0));
    assert_eq!(shop.ask("INV.GET LIVE")["items"][0]["quantity"], 2);

    shop.ask("INV.RESERVE SOLD ITEMS P 2");
    shop.ask("INV.COMMIT SOLD");
    let before = shop.contents();
    assert_eq!(code(&shop.refusal("INV.ROLLBACK SOLD FENCE")), "COMMITTED");
    assert_same(&shop.contents(), &before);

    shop.ask("INV.RESERVE OVER PX 20 ITEMS Q 3");
    wait_for("it has expired", SOON, "expired".into(), || shop.ask("INV.GET OVER")["state"].clone());
    assert_eq!(shop.ask("INV.ROLLBACK OVER FENCE"), "OK");
    assert_eq!(code(&shop.refusal("INV.COMMIT OVER LATE")), "ROLLEDBACK");
    assert_eq!(shop.counters("Q"), (10, 0));

    shop.ask("SET reservation:SCRIPT its-own");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK SCRIPT FENCE")), "FOREIGN");
    assert_eq!(shop.ask("EXISTS inventory:outcome:SCRIPT"), 0);
}

#[test]
fn a_fence_that_is_sent_again_writes_nothing() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 10)]);
    for (command, written) in [("INV.ROLLBACK R1 FENCE", 1), ("INV.ROLLBACK R2 FENCE ONCE t1", 1)] {
        let sent = server.propagated_by(|| assert_eq!(server.connect().ask(command), "OK"));
        assert_eq!(sent.len(), written, "{sent:?}");
        assert!(sent[0].starts_with("INV.APPLY 1 OUTCOME R"), "{sent:?}");
        let before = shop.contents();
        let sent = server.propagated_by(|| assert_eq!(server.connect().ask(command), "OK"));
        assert_eq!(sent, Vec::<String>::new());
        assert_same(&shop.contents(), &before);
    }
    // A rollback without FENCE is another command for a token, and the same for the id.
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R2 ONCE t1")), "MISMATCH");
    assert_eq!(shop.ask("INV.ROLLBACK R2"), "OK");
    // A token of an id that was unknown is not used up.
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R3 ONCE t1")), "NOTFOUND");
    assert_eq!(shop.ask("INV.ROLLBACK R3 FENCE ONCE t1"), "OK");
}

#[test]
fn a_fence_is_for_the_whole_and_needs_outcomes() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 2");
    let before = shop.contents();
    for command in ["INV.ROLLBACK R1 FENCE ITEMS P 1", "INV.ROLLBACK R1 FENCE FENCE", "INV.COMMIT R1 FENCE"] {
        assert!(shop.refusal(command).starts_with("ERR "), "{command}");
    }
    shop.ask("CONFIG SET inv.outcome-ttl-ms 0");
    for id in ["R1", "R2"] {
        assert_eq!(
            shop.refusal(format!("INV.ROLLBACK {id} FENCE")),
            "ERR FENCE cannot be used while inv.outcome-ttl-ms is 0: no outcomes are remembered"
        );
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_fence_reaches_replicas_and_outlives_a_restart() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 10)]);
    let replica = server.replica();
    shop.ask("INV.ROLLBACK R1 FENCE");
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    assert_eq!(replica.connect().ask("INV.GET R1")["state"], "rolled_back");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 1")), "ROLLEDBACK");
    server.rewrite("BGREWRITEAOF");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 1")), "ROLLEDBACK");
}

#[test]
fn after_its_time_a_fence_is_forgotten() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 100"], &[("P", 10)]);
    shop.ask("INV.ROLLBACK R1 FENCE");
    wait_until("it is forgotten", SOON, || shop.try_ask("INV.RESERVE R1 ITEMS P 1").is_ok());
    assert_eq!(shop.counters("P"), (9, 1));
}

/// Unlike older keywords, it may be the name of a product: there are shops that sell fences.
#[test]
fn a_product_may_be_called_fence() {
    let (_server, mut shop) = shop(&[("FENCE", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS FENCE 2");
    assert_eq!(shop.ask("INV.ROLLBACK R1 ITEMS FENCE 1"), "OK");
    assert_eq!(shop.counters("FENCE"), (9, 1));
}

/// The record was deleted by another client, so the id is unknown, and its units still return at its deadline, once.
#[test]
fn a_fence_keeps_no_units_of_a_deleted_record_from_returning() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 PX 300 ITEMS P 4");
    shop.ask("DEL reservation:R1");
    assert_eq!(shop.ask("INV.ROLLBACK R1 FENCE"), "OK");
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 4")), "ROLLEDBACK");
    wait_for("the units are back", SOON, (10, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET R1")["state"], "rolled_back");
}

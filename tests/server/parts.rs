//! COMMIT and ROLLBACK with ITEMS: a parcel that ships first, or an item that the customer returns.

use crate::harness::{SOON, assert_same, code, json, wait_for, wire_code};
use crate::shop::{item, let_the_sweep_pass, shop, shop_with, stored};

const STOCK: &[(&str, i64)] = &[("P", 100), ("Q", 100)];

#[test]
fn a_partial_commit_sells_those_units_and_holds_the_rest() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2")["expires_at"].clone();
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS P 3"), "OK");
    assert_eq!(shop.counters("P"), (95, 2));
    assert_eq!(shop.counters("Q"), (98, 2));
    let record = shop.document("reservation:R1");
    assert_eq!(record["items"], json!([item("P", 2), item("Q", 2)]));
    assert_eq!(record["sold"], json!([item("P", 3)]));
    assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), deadline);
    assert_eq!(shop.ask("EXISTS inventory:outcome:R1"), 0);
    let seen = shop.ask("INV.GET R1");
    assert_eq!((&seen["state"], &seen["items"]), (&json!("reserved"), &json!([item("P", 2), item("Q", 2)])));

    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!(shop.counters("P"), (95, 0));
    assert_eq!(shop.counters("Q"), (98, 0));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!(outcome["state"], "committed");
    assert_eq!(outcome["sold"], json!([item("P", 5), item("Q", 2)]));
    assert_eq!(outcome["returned"], json!([]));
}

#[test]
fn a_partial_rollback_returns_those_units_and_holds_the_rest() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    assert_eq!(shop.ask("INV.ROLLBACK R1 ITEMS Q 2 P 1"), "OK");
    assert_eq!(shop.counters("P"), (96, 4));
    assert_eq!(shop.counters("Q"), (100, 0));
    let record = shop.document("reservation:R1");
    assert_eq!(record["items"], json!([item("P", 4)]));
    let mut returned = record["returned"].as_array().expect("lines").clone();
    returned.sort_by_key(|line| line["product_id"].to_string());
    assert_eq!(returned, [item("P", 1), item("Q", 2)]);

    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!(shop.counters("P"), (96, 0));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!(outcome["state"], "committed");
    assert_eq!(outcome["sold"], json!([item("P", 4)]));
}

#[test]
fn the_part_that_empties_a_reservation_ends_it_and_names_its_outcome() {
    for (first, last, state, stock) in [
        ("COMMIT", "COMMIT", "committed", (95, 0)),
        ("ROLLBACK", "ROLLBACK", "rolled_back", (100, 0)),
        ("COMMIT", "ROLLBACK", "rolled_back", (97, 0)),
        ("ROLLBACK", "COMMIT", "committed", (98, 0)),
    ] {
        let (_server, mut shop) = shop(STOCK);
        shop.ask("INV.RESERVE R1 ITEMS P 5");
        shop.ask(format!("INV.{first} R1 ITEMS P 3"));
        shop.ask(format!("INV.{last} R1 ITEMS P 2"));
        assert_eq!(shop.counters("P"), stock, "{first} {last}");
        assert_eq!(shop.ask("EXISTS reservation:R1"), 0, "{first} {last}");
        assert_eq!(shop.document("inventory:outcome:R1")["state"], state, "{first} {last}");
        assert_eq!(shop.ask(format!("INV.{last} R1")), "OK", "{first} {last}");
    }
}

#[test]
fn all_items_at_once_by_name_is_an_end_too() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS Q 2 P 2 P 3"), "OK");
    assert_eq!(shop.ask("INV.GET R1")["state"], "committed");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn the_deadline_returns_what_the_parts_have_left() {
    let (_server, mut shop) = shop(STOCK);
    shop.burst(&[
        "INV.RESERVE R1 PX 100 ITEMS P 5 Q 2",
        "INV.COMMIT R1 ITEMS P 3",
        "INV.ROLLBACK R1 ITEMS Q 1",
    ]);
    wait_for("the rest is back", SOON, (97, 0), || shop.counters("P"));
    assert_eq!(shop.counters("Q"), (100, 0));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!(outcome["state"], "expired");
    assert_eq!(outcome["sold"], json!([item("P", 3)]));
    let mut returned = outcome["returned"].as_array().expect("lines").clone();
    returned.sort_by_key(|line| line["product_id"].to_string());
    assert_eq!(returned, [item("P", 2), item("Q", 2)]);
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (97, 0));
}

#[test]
fn reserve_again_after_parts_answers_with_the_current_state() {
    let (_server, mut shop) = shop(STOCK);
    let first = shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    shop.ask("INV.COMMIT R1 ITEMS P 3");
    shop.ask("INV.ROLLBACK R1 ITEMS Q 2");
    let before = shop.contents();
    let again = shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    assert_eq!(again["expires_at"], first["expires_at"]);
    assert_eq!(again["items"], json!([item("P", 2)]));
    // The request is compared, not what is left of it.
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS P 2")), "MISMATCH");
    assert_same(&shop.contents(), &before);
}

#[test]
fn more_than_is_held_is_an_error() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    shop.ask("INV.COMMIT R1 ITEMS P 3");
    let before = shop.contents();
    for items in ["P 3", "P 1 P 2", "P 2 Q 3", "NOPE 1", "P@A 1"] {
        for command in ["COMMIT", "ROLLBACK"] {
            let refusal = shop.refusal(format!("INV.{command} R1 ITEMS {items}"));
            assert_eq!(code(&refusal), "ERR", "{command} {items}: {refusal}");
        }
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_part_of_what_has_ended_is_refused_like_the_whole() {
    let (_server, mut shop) = shop(STOCK);
    for step in ["INV.RESERVE S ITEMS P 5", "INV.COMMIT S", "INV.RESERVE B ITEMS P 5", "INV.ROLLBACK B"] {
        shop.ask(step);
    }
    let before = shop.contents();
    for (command, expected) in [
        ("INV.ROLLBACK S ITEMS P 1", "COMMITTED"),
        ("INV.COMMIT B ITEMS P 1", "ROLLEDBACK"),
        ("INV.COMMIT N ITEMS P 1", "NOTFOUND"),
    ] {
        assert_eq!(code(&shop.refusal(command)), expected, "{command}");
    }
    assert_same(&shop.contents(), &before);
    let replies = shop.burst(&[
        "INV.RESERVE R1 PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "INV.COMMIT R1 ITEMS P 1",
        "INV.COMMIT R1 ITEMS P 1",
    ]);
    assert_eq!((wire_code(&replies[2]), wire_code(&replies[3])), ("-EXPIRED", "-EXPIRED"));
}

#[test]
fn a_part_of_a_reservation_whose_counters_were_lowered_by_another_client_is_drift() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("SET stock:reserved:P 1");
    let before = shop.contents();
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ITEMS P 3")), "DRIFT");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1 ITEMS P 3")), "DRIFT");
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_product_without_a_warehouse_takes_from_its_lines_in_order() {
    let (_server, mut shop) = shop(&[("P@A", 10), ("P@B", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P@A 3 P@B 3");
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS P 4"), "OK");
    assert_eq!(shop.counters("P@A"), (7, 0));
    assert_eq!(shop.counters("P@B"), (7, 2));
    assert_eq!(shop.ask("INV.ROLLBACK R1 ITEMS P@B 1"), "OK");
    assert_eq!(shop.counters("P@B"), (8, 1));
}

#[test]
fn a_partial_rollback_from_zero_is_back_in_stock() {
    let (_server, mut shop) = shop_with(&["inv.alert-cooldown-ms 0"], &[("P", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.ROLLBACK R1 ITEMS P 2");
    let alert = &shop.ask("INV.ALERTS")[0];
    assert_eq!((&alert["type"], &alert["available"]), (&json!("BACK_IN_STOCK"), &json!(2)));
}

#[test]
fn a_part_propagates_its_units_and_the_record_that_is_left() {
    let (server, mut shop) = shop_with(&["appendonly yes"], STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    for (command, units) in [
        ("INV.COMMIT R1 ITEMS P 3", "UNITS P 0 -3"),
        ("INV.ROLLBACK R1 ITEMS P 1 Q 2", "UNITS P 1 -1 UNITS Q 2 -2"),
    ] {
        let propagated = server.propagated_by(|| {
            shop.ask(command);
        });
        let (record, deadline) = stored(&mut shop, "reservation:R1");
        assert_eq!(propagated, [format!("INV.APPLY 1 {units} RECORD R1 {deadline} {record}")]);
    }
}

#[test]
fn a_late_commit_does_not_sell_what_the_customer_gave_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 EX 600 ITEMS P 5");
    shop.ask("INV.ROLLBACK R1 ITEMS P 2");
    shop.ask("PEXPIRE reservation:R1 1");
    wait_for("the deadline returns the rest", SOON, (100, 0), || shop.counters("P"));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!(outcome["returned"], json!([item("P", 5)]));
    assert_eq!(outcome["rolled_back"], json!([item("P", 2)]));
    assert_eq!(shop.ask("INV.COMMIT R1 LATE"), "OK");
    assert_eq!(shop.counters("P"), (97, 0));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!((&outcome["sold"], &outcome["returned"]), (&json!([item("P", 3)]), &json!([item("P", 2)])));
    assert_eq!(outcome["items"], json!([item("P", 5)]));
    assert_eq!(outcome["rolled_back"], json!(null));
}

#[test]
fn what_was_sold_and_what_went_back_is_told_while_it_lives_and_afterwards() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 DATA cart ITEMS P 4");
    assert!(shop.ask("INV.GET R1").as_object().is_some_and(|view| !view.contains_key("sold")));
    shop.ask("INV.COMMIT R1 ITEMS P 1");
    let live = shop.ask("INV.GET R1");
    assert_eq!((&live["items"], &live["sold"]), (&json!([item("P", 3)]), &json!([item("P", 1)])));
    assert_eq!(live.get("returned"), None);
    shop.ask("INV.ROLLBACK R1");
    let ended = shop.ask("INV.GET R1");
    assert_eq!(ended["state"], "rolled_back");
    assert_eq!(ended["items"], json!([item("P", 4)]));
    assert_eq!(ended["sold"], json!([item("P", 1)]));
    assert_eq!(ended["returned"], json!([item("P", 3)]));
    assert_eq!(ended["data"], "cart");

    // After a whole step, the state says everything, so there are no lists.
    shop.ask("INV.RESERVE R2 ITEMS P 4");
    shop.ask("INV.COMMIT R2");
    let whole = shop.ask("INV.GET R2");
    assert!(["sold", "returned", "asked", "rolled_back"].iter().all(|field| whole.get(field).is_none()));
}

#[test]
fn of_one_that_expired_it_is_told_what_a_late_commit_would_not_take() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.ROLLBACK R1 ITEMS P 2");
    shop.ask("PEXPIRE reservation:R1 1");
    wait_for("the deadline returns the rest", SOON, (100, 0), || shop.counters("P"));
    let seen = shop.ask("INV.GET R1");
    assert_eq!(seen["returned"], json!([item("P", 5)]));
    assert_eq!(seen["rolled_back"], json!([item("P", 2)]));
    assert_eq!(seen.get("sold"), None);
}

#[test]
fn the_request_is_shown_if_it_was_split_over_warehouses() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 1");
    shop.ask("INV.ADJUST W@B 5");
    shop.ask("INV.RESERVE R1 ITEMS W 3");
    let seen = shop.ask("INV.GET R1");
    assert_eq!(seen["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(seen["asked"], json!([item("W", 3)]));
}

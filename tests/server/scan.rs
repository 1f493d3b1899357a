//! `INV.SCAN`.

use std::collections::BTreeSet;

use crate::harness::{Client, SOON, json, wait_for};
use crate::shop::shop;

/// All ids that a walk lists, in pages of `count`; `between` runs after each page.
fn walk(shop: &mut Client, options: &str, mut between: impl FnMut(&mut Client)) -> Vec<String> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let page = shop.ask(format!("INV.SCAN {cursor} {options}"));
        let ids = page[1].as_array().expect("an array");
        found.extend(ids.iter().map(|id| id.as_str().expect("an id").to_owned()));
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            return found;
        }
        between(shop);
    }
}

#[test]
fn live_reservations_are_listed_by_deadline() {
    let (_server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", []]));
    shop.ask("INV.RESERVE late EX 300 ITEMS P 1");
    shop.ask("INV.RESERVE early EX 100 ITEMS Q 1");
    shop.ask("INV.RESERVE middle EX 200 ITEMS P 1 Q 1");
    assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", ["early", "middle", "late"]]));
    assert_eq!(walk(&mut shop, "COUNT 1", |_| ()), ["early", "middle", "late"]);
    assert_eq!(walk(&mut shop, "PRODUCT P", |_| ()), ["middle", "late"]);
    assert_eq!(walk(&mut shop, "COUNT 1 PRODUCT Q", |_| ()), ["early", "middle"]);
    shop.ask("INV.EXTEND early EX 400");
    shop.ask("INV.COMMIT middle");
    assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", ["late", "early"]]));
}

#[test]
fn an_expired_reservation_is_not_listed_even_before_the_sweep() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let deadline = shop.now() + 30;
    shop.ask(format!("INV.RESERVE R1 PXAT {deadline} ITEMS P 1"));
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    wait_for("it has expired", SOON, json!(["0", ["R2"]]), || shop.ask("INV.SCAN 0"));
}

#[test]
fn what_is_live_and_not_moved_during_the_whole_walk_is_listed_once() {
    let (_server, mut shop) = shop(&[("P", 100_000)]);
    let deadline = shop.now() + 600_000;
    // Three reservations share each deadline.
    for number in 0..300 {
        shop.ask(format!("INV.RESERVE stays-{number} PXAT {} ITEMS P 1", deadline + number / 3));
        shop.ask(format!("INV.RESERVE goes-{number} PXAT {} ITEMS P 1", deadline + number / 3));
    }
    let mut step = 0;
    let found = walk(&mut shop, "COUNT 7", |shop| {
        for _ in 0..3 {
            shop.ask(format!("INV.ROLLBACK goes-{step}"));
            shop.ask(format!("INV.RESERVE new-{step} PXAT {} ITEMS P 1", deadline + (step * 7) % 100));
            step += 1;
        }
    });
    let staying: Vec<&String> = found.iter().filter(|id| id.starts_with("stays-")).collect();
    assert_eq!(staying.len(), 300);
    assert_eq!(staying.into_iter().collect::<BTreeSet<_>>().len(), 300);
}

#[test]
fn a_walk_shows_what_the_caller_may_read() {
    let (server, mut shop) = shop(&[("shop1:p", 10), ("shop2:p", 10)]);
    shop.ask("INV.RESERVE shop1:R ITEMS shop1:p 1");
    shop.ask("INV.RESERVE shop2:R ITEMS shop2:p 1");
    shop.ask("ACL SETUSER clerk reset on nopass -@all +inv.scan ~shop1*");
    let mut clerk = server.connect();
    clerk.ask("AUTH clerk any");
    assert_eq!(walk(&mut clerk, "COUNT 1", |_| ()), ["shop1:R"]);
    assert!(clerk.refusal("INV.SCAN 0 PRODUCT shop2:p").starts_with("NOPERM"));
}

#[test]
fn a_replica_lists_what_its_master_has() {
    let (server, mut shop) = shop(&[("P", 10)]);
    let replica = server.replica();
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    replica.catch_up_with(&server);
    assert_eq!(replica.connect().ask("INV.SCAN 0"), json!(["0", ["R1"]]));
}

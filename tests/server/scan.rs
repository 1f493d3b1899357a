//! `INV.SCAN`.

use std::collections::BTreeSet;

use crate::harness::{Client, SOON, json, wait_for};
use crate::shop::{shop, shop_with};

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

#[test]
fn full_shows_each_reservation_as_inv_get_does() {
    let (_server, mut shop) = shop(&[("P", 100), ("Q", 100)]);
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 5");
    shop.ask("INV.ADJUST W@B 5");
    shop.ask("INV.RESERVE R1 EX 100 DATA cart ITEMS P 3 Q 2");
    shop.ask("INV.RESERVE R2 EX 200 ITEMS W 8");
    shop.ask("INV.RESERVE R3 EX 300 ITEMS P 5");
    shop.ask("INV.RESERVE R4 EX 400 ITEMS Q 5");
    shop.ask("INV.COMMIT R1 ONCE t ITEMS P 1");
    shop.ask("INV.ROLLBACK R1 ONCE t ITEMS Q 1");
    shop.ask("INV.COMMIT R3");
    let expected: Vec<_> = ["R1", "R2", "R4"].map(|id| shop.ask(format!("INV.GET {id}"))).into();
    assert_eq!(expected[0]["sold"][0]["quantity"], 1);
    assert_eq!(expected[1]["asked"][0]["quantity"], 8);
    assert_eq!(shop.ask("INV.SCAN 0 FULL"), json!(["0", expected]));
    assert_eq!(shop.ask("INV.SCAN 0 PRODUCT W FULL"), json!(["0", [expected[1]]]));
    assert_eq!(shop.ask("INV.SCAN 0 full MATCH *[14]"), json!(["0", [expected[0], expected[2]]]));
    let page = shop.ask("INV.SCAN 0 FULL COUNT 1");
    assert_eq!(page[1], json!([expected[0]]));
    assert_eq!(walk(&mut shop, "COUNT 1", |_| ()), ["R1", "R2", "R4"]);
}

#[test]
fn a_pattern_keeps_the_ids_that_match_it() {
    for style in ["plain", "tagged"] {
        let (_server, mut shop) = shop_with(&[&format!("inv.key-style {style}")], &[]);
        shop.ask("INV.SET {shop}:P AVAILABLE 1000");
        for number in 0..40 {
            let kind = if number % 2 == 0 { "cart" } else { "order" };
            shop.ask(format!("INV.RESERVE {{shop}}:{kind}-{number} EX {} ITEMS {{shop}}:P 1", 100 + number));
        }
        let found = walk(&mut shop, "MATCH *:order-?", |_| ());
        assert_eq!(found, ["1", "3", "5", "7", "9"].map(|number| format!("{{shop}}:order-{number}")));
        assert_eq!(walk(&mut shop, "COUNT 3 MATCH *:order-?", |_| ()), found);
        assert_eq!(walk(&mut shop, "MATCH order-1", |_| ()), Vec::<String>::new());
    }
}

/// A page of whole reservations ends early, so that it never takes long.
#[test]
fn a_page_of_large_reservations_is_short() {
    let (_server, mut shop) = shop_with(&["inv.max-items 1024", "inv.max-data-bytes 1000000"], &[]);
    let items: Vec<String> = (0..1000).map(|number| format!("P-{number} 1")).collect();
    for number in 0..1000 {
        shop.ask(format!("SET stock:available:P-{number} 1000"));
    }
    for number in 0..12 {
        shop.ask(format!("INV.RESERVE wide-{number} EX 100 ITEMS {}", items.join(" ")));
        let data = "d".repeat(200_000);
        shop.ask(["INV.RESERVE", &format!("long-{number}"), "EX", "200", "DATA", &data, "ITEMS", "P-1", "1"]);
    }
    let (mut cursor, mut sizes) = ("0".to_owned(), Vec::new());
    loop {
        let page = shop.ask(format!("INV.SCAN {cursor} COUNT 1000 FULL"));
        sizes.push(page[1].as_array().expect("an array").len());
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 24, "{sizes:?}");
    assert!(*sizes.iter().max().expect("a page") <= 6, "{sizes:?}");
    assert_eq!(shop.ask("INV.SCAN 0 COUNT 1000")[1].as_array().map(Vec::len), Some(24));
}

#[test]
fn full_shows_what_inv_get_would_show_to_the_caller() {
    let (server, mut shop) = shop(&[("shop1:p", 10), ("shop2:p", 10)]);
    shop.ask("INV.RESERVE shop1:R ITEMS shop1:p 1");
    shop.ask("INV.RESERVE shop2:R ITEMS shop2:p 1");
    let mut seen = |rules: &str, line: &str| {
        shop.ask(format!("ACL SETUSER clerk reset on nopass -@all {rules}"));
        let mut clerk = server.connect();
        clerk.ask("AUTH clerk any");
        let found = clerk.ask(line);
        ["shop1:R", "shop2:R"].map(|id| found.to_string().contains(id))
    };
    assert_eq!(seen("+inv.scan +inv.get ~shop1*", "INV.SCAN 0 FULL"), [true, false]);
    assert_eq!(seen("+inv.scan ~shop1*", "INV.SCAN 0 FULL"), [false, false], "without INV.GET");
    assert_eq!(seen("+inv.scan ~shop1*", "INV.SCAN 0"), [true, false]);
    assert_eq!(seen("+inv.scan ~shop1* (+inv.get ~shop2*)", "INV.SCAN 0 FULL"), [false, true]);
    assert_eq!(seen("+inv.scan ~shop1* (+inv.get ~shop2*)", "INV.SCAN 0"), [true, false]);
}

//! INV.REPLACE and PARTIAL in real servers: replies, copies, clusters, and many clients at once. Their rules are tested one by one
//! in `engine/replace.rs`.

use std::thread;

use crate::books::Books;
use crate::dice::Dice;
use crate::harness::{SOON, Server, assert_same, assert_same_data, code, json, wait_for};
use crate::shards::Cluster;
use crate::shop::{item, shop, shop_with, stored};

#[test]
fn the_reply_is_that_of_a_reserve_and_get_names_the_successor() {
    let (_server, mut shop) = shop(&[("P", 5), ("Q", 1)]);
    shop.ask("INV.RESERVE cart DATA gift ITEMS P 2");
    let reply = shop.ask("INV.REPLACE cart order EX 60 ITEMS P 3 Q 1");
    let until = &reply["expires_at"];
    let items = json!([item("P", 3), item("Q", 1)]);
    assert_eq!(reply, json!({"reservation_id": "order", "expires_at": until, "items": items}));
    let order = shop.ask("INV.GET order");
    assert_eq!(
        [&order["state"], &order["data"], &order["items"]],
        [&json!("reserved"), &json!("gift"), &items]
    );
    let cart = shop.ask("INV.GET cart");
    assert_eq!([&cart["state"], &cart["replaced_by"]], ["replaced", "order"]);
    assert_eq!((&cart["items"], &cart["returned"]), (&json!([item("P", 2)]), &json!(null)));
    let refusal = shop.refusal("INV.COMMIT cart");
    assert_eq!(
        refusal,
        format!(
            "REPLACED reservation cart was replaced by order at {}: use order instead",
            cart["resolved_at"]
        )
    );
    assert_eq!(
        ["replaced_total", "reserved_total", "refused_replaced_total"]
            .map(|field| shop.info("inv", &format!("inv_{field}"))),
        ["1", "2", "1"]
    );
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((2, 3), (0, 1)));
}

#[test]
fn with_partial_the_reply_has_what_is_short_beside_the_items() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    let reply = shop.ask("INV.RESERVE R1 PARTIAL ITEMS P 7 Q 1");
    assert_eq!(
        [&reply["items"], &reply["short"]],
        [&json!([item("P", 5)]), &json!([item("P", 2), item("Q", 1)])]
    );
    assert_eq!(shop.ask("INV.GET R1")["short"], reply["short"]);
    shop.ask("INV.ADJUST P 5");
    let reply = shop.ask("INV.REPLACE R1 R2 PARTIAL ITEMS P 7");
    assert_eq!([&reply["items"], &reply["short"]], [&json!([item("P", 7)]), &json!([])]);
    assert_eq!(shop.ask("INV.GET R2")["short"], json!(null));
    assert_eq!(shop.ask("INV.REPLACE R1 R2 ITEMS P 7").as_object().map(serde_json::Map::len), Some(3));
}

#[test]
fn the_buyer_is_kept_until_another_is_named_and_two_buyers_are_not_merged_silently() {
    let (server, mut shop) = shop(&[("P", 9)]);
    shop.ask("INV.RESERVE a DATA gift BUYER cust7 ITEMS P 1");
    shop.ask("INV.RESERVE b BUYER cust8 ITEMS P 1");
    shop.ask("INV.RESERVE nobody ITEMS P 1");
    assert_eq!(shop.ask("INV.GET a")["buyer"], "cust7");
    assert_eq!(shop.ask("INV.GET nobody")["buyer"], json!(null));

    // A retry may leave the buyer out, but not name another.
    shop.ask("INV.RESERVE a ITEMS P 1");
    for (retry, id) in [("a BUYER cust8", "a"), ("nobody BUYER cust7", "nobody")] {
        assert_eq!(
            shop.refusal(format!("INV.RESERVE {retry} ITEMS P 1")),
            format!(
                "MISMATCH reservation {id} already exists with these items but another BUYER: use a new id"
            )
        );
    }
    let before = shop.contents();
    assert_eq!(
        shop.refusal("INV.REPLACE a b ITEMS P 2"),
        "ERR a is of buyer cust7 and b of buyer cust8: name the buyer of the new reservation with BUYER"
    );
    assert_same(&before, &shop.contents());

    shop.ask("INV.REPLACE a a ITEMS P 2");
    assert_eq!(shop.ask("INV.GET a")["buyer"], "cust7", "a change in place keeps it");
    shop.ask("INV.REPLACE a nobody ITEMS P 3");
    assert_eq!(shop.ask("INV.GET nobody")["buyer"], "cust7", "the only buyer of the two");
    assert_eq!(shop.ask("INV.GET a")["buyer"], "cust7", "an outcome shows it, too");
    shop.ask("INV.REPLACE nobody b BUYER cust9 ITEMS P 4");
    assert_eq!(shop.ask("INV.GET b")["buyer"], "cust9");
    // A retry of that call, with the same buyer, without one, and with another.
    shop.ask("INV.REPLACE nobody b BUYER cust9 ITEMS P 4");
    shop.ask("INV.REPLACE nobody b ITEMS P 4");
    assert_eq!(code(&shop.refusal("INV.REPLACE nobody b BUYER cust7 ITEMS P 4")), "MISMATCH");

    shop.ask("INV.COMMIT b ITEMS P 1");
    assert_eq!(shop.ask("INV.GET b")["buyer"], "cust9", "a part has gone");
    shop.ask("INV.COMMIT b");
    assert_eq!(shop.ask("INV.GET b")["buyer"], "cust9");
    let replica = server.replica();
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    for wrong in ["BUYER", "BUYER x BUYER y"] {
        assert_eq!(code(&shop.refusal(format!("INV.RESERVE c {wrong} ITEMS P 1"))), "ERR");
    }
    let long = "x".repeat(257);
    assert_eq!(
        shop.refusal(format!("INV.RESERVE c BUYER {long} ITEMS P 1")),
        "ERR the buyer has 257 bytes, but at most 256 are allowed"
    );
}

#[test]
fn the_stored_forms_have_new_fields_only_where_they_are_used() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    shop.ask("INV.RESERVE R1 PARTIAL ITEMS P 7");
    let (record, _) = stored(&mut shop, "reservation:R1");
    assert!(record.ends_with(r#","short":[{"product_id":"P","quantity":2}]}"#), "{record}");
    shop.ask("INV.REPLACE R1 R2 ITEMS P 5");
    let (record, _) = stored(&mut shop, "reservation:R2");
    assert!(!record.contains("short") && !record.contains("asked"), "{record}");
    let (outcome, _) = stored(&mut shop, "inventory:outcome:R1");
    assert!(
        outcome.contains(r#""state":"replaced""#) && outcome.ends_with(r#","replaced_by":"R2"}"#),
        "{outcome}"
    );
}

#[test]
fn a_replacement_is_one_command_for_replicas_and_the_aof_and_survives_a_restart() {
    let (mut server, mut shop) =
        shop_with(&["appendonly yes", "inv.alert-cooldown-ms 0"], &[("P", 99), ("Q", 99)]);
    let replica = server.replica();
    shop.ask("INV.RESERVE A ITEMS P 5");
    let propagated = server.propagated_by(|| {
        shop.ask("INV.REPLACE A B EX 600 ITEMS P 3 Q 1");
    });
    let (outcome, ends) = stored(&mut shop, "inventory:outcome:A");
    let (record, until) = stored(&mut shop, "reservation:B");
    let whole =
        format!("INV.APPLY 1 UNITS P 2 -2 UNITS Q -1 1 END A {ends} {outcome} RECORD B {until} {record}");
    assert_eq!(propagated, [whole]);
    assert_eq!(ends.as_i64(), until.as_i64().map(|until| until + 86_400_000));
    // A change in place of the text alone takes the packed form.
    let propagated = server.propagated_by(|| {
        shop.ask("INV.REPLACE B B DATA x ITEMS P 3 Q 1");
    });
    let (record, _) = stored(&mut shop, "reservation:B");
    assert_eq!(propagated, [format!("INV.APPLY 3 RECORD {record} reservation:B")]);
    shop.ask("INV.REPLACE unknown C ITEMS P 1");
    // Neither a refusal nor a retry is propagated.
    let propagated = server.propagated_by(|| {
        assert_eq!(code(&shop.refusal("INV.REPLACE B B ITEMS P 999")), "INSUFFICIENT");
        assert_eq!(code(&shop.refusal("INV.REPLACE A C ITEMS P 1")), "REPLACED");
        shop.ask("INV.REPLACE A B ITEMS P 3 Q 1");
    });
    assert_eq!(propagated, Vec::<String>::new());

    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    let before = shop.contents();
    drop(shop);
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    assert_same(&shop.contents(), &before);
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "REPLACED");
    assert_eq!(code(&shop.refusal("INV.RESERVE unknown ITEMS P 1")), "REPLACED");
    shop.ask("INV.COMMIT B");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((95, 1), (98, 0)));
}

#[test]
fn a_refused_change_does_not_break_a_watch_and_a_transaction_may_contain_changes() {
    let (server, mut shop) = shop(&[("P", 3)]);
    shop.ask("INV.RESERVE A ITEMS P 2");
    shop.ask("WATCH stock:available:P reservation:A");
    assert_eq!(code(&server.connect().refusal("INV.REPLACE A A ITEMS P 9")), "INSUFFICIENT");
    shop.ask("MULTI");
    shop.ask("INV.REPLACE A B ITEMS P 3");
    shop.ask("INV.REPLACE B C ITEMS P 1");
    shop.ask("INV.COMMIT C");
    let replies = shop.ask("EXEC");
    assert_eq!((replies.as_array().map(Vec::len), &replies[2]), (Some(3), &json!("OK")));
    assert_eq!((shop.counters("P"), &shop.ask("INV.GET A")["replaced_by"]), ((2, 0), &json!("B")));
}

#[test]
fn the_deadline_of_the_successor_returns_everything() {
    let (_server, mut shop) = shop(&[("P", 5), ("Q", 5)]);
    shop.ask("INV.RESERVE A EX 900 ITEMS P 2");
    shop.ask("INV.REPLACE A B PX 60 ITEMS P 1 Q 4");
    wait_for("all units are back", SOON, ((5, 0), (5, 0)), || (shop.counters("P"), shop.counters("Q")));
    assert_eq!(shop.ask("INV.GET B")["state"], "expired");
    assert_eq!(code(&shop.refusal("INV.COMMIT A LATE")), "REPLACED");
    assert_eq!(shop.ask("INV.COMMIT B LATE"), "OK");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((4, 0), (1, 0)));
}

#[test]
fn in_a_cluster_both_reservations_and_all_skus_have_one_tag() {
    let cluster = Cluster::start(2);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 5");
    shop.ask("INV.RESERVE {P}:cart ITEMS P 2");
    for call in [
        "INV.REPLACE {P}:cart {Q}:order ITEMS P 1",
        "INV.REPLACE {Q}:cart {P}:order ITEMS P 1",
        "INV.REPLACE {P}:cart {P}:order ITEMS P 1 Q 1",
    ] {
        assert_eq!(code(&shop.refusal(call)), "CROSSSLOT", "{call}");
    }
    shop.ask("INV.REPLACE {P}:cart {P}:order ITEMS P 3");
    assert_eq!(code(&shop.refusal("INV.COMMIT {P}:cart")), "REPLACED");
    cluster.check_keys();
    // The outcome moves with its slot.
    let home = cluster.owner("P");
    cluster.move_slot("P", 1 - home);
    let mut shop = cluster.shop("P");
    assert_eq!(shop.ask("INV.GET {P}:cart")["replaced_by"], "{P}:order");
    assert_eq!(shop.ask("INV.COMMIT {P}:order"), "OK");
    assert_eq!(shop.ask("INV.STOCK P")[0]["on_hand"], 2);
    cluster.check_keys();
}

const CLIENTS: u64 = 40;
const CALLS: usize = 120;
const UNITS: i64 = 400;

/// Calls about a few carts that all clients share. Others follow, because an id that has ended cannot be used again.
fn call(dice: &mut Dice, number: u64, step: usize) -> String {
    let cart = |dice: &mut Dice| format!("cart{}-{}", step / 4, dice.roll(8));
    let new = format!("{number}-{step}");
    let items = match dice.roll(3) {
        0 => format!("P {}", dice.up_to(5)),
        1 => format!("Q {}", dice.up_to(5)),
        _ => format!("P {} Q {}", dice.up_to(4), dice.up_to(4)),
    };
    let partial = if dice.one_in(3) { " PARTIAL" } else { "" };
    let once = if dice.one_in(5) { format!(" ONCE t{}", dice.roll(3)) } else { String::new() };
    match dice.roll(12) {
        0..5 => format!("INV.RESERVE {}{partial} PX 300 ITEMS {items}", cart(dice)),
        5..7 => {
            let cart = cart(dice);
            format!("INV.REPLACE {cart} {cart} PX 300{partial}{once} ITEMS {items}")
        }
        7 => format!("INV.REPLACE {} {new}{partial} PX 200 ITEMS {items}", cart(dice)),
        8 => format!("INV.REPLACE {} {} PX 300{partial}{once} ITEMS {items}", cart(dice), cart(dice)),
        9 => format!("INV.COMMIT {}", cart(dice)),
        10 => format!("INV.COMMIT {} ITEMS P 1", cart(dice)),
        _ => format!("INV.ROLLBACK {}", cart(dice)),
    }
}

#[test]
fn forty_clients_that_replace_commit_and_roll_back_the_same_carts_lose_and_make_no_unit() {
    let (server, mut shop) = shop(&[("P", UNITS), ("Q", UNITS)]);
    shop.ask("CONFIG SET inv.feed-maxlen 1000000");
    let run = |server: &Server, number: u64| {
        let mut dice = Dice::new(number);
        let mut client = server.connect();
        let mut done = 0;
        for step in 0..CALLS {
            let call = call(&mut dice, number, step);
            match client.try_ask(call.clone()) {
                Ok(_) => done += usize::from(call.starts_with("INV.REPLACE")),
                Err(refusal) => {
                    let known = [
                        "INSUFFICIENT",
                        "MISMATCH",
                        "NOTFOUND",
                        "EXPIRED",
                        "COMMITTED",
                        "ROLLEDBACK",
                        "REPLACED",
                        "ERR",
                    ];
                    assert!(known.contains(&code(&refusal)), "{call}: {refusal}");
                    assert!(code(&refusal) != "ERR" || call.contains("ITEMS P 1"), "{call}: {refusal}");
                }
            }
        }
        done
    };
    let done: usize = thread::scope(|scope| {
        let (server, run) = (&server, &run);
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || run(server, number))).collect();
        clients.into_iter().map(|client| client.join().expect("no client fails")).sum()
    });
    wait_for("every reservation has ended", SOON, (0, 0), || (shop.counters("P").1, shop.counters("Q").1));
    assert!(done > 100, "{done} replacements");
    assert_eq!((shop.ask("KEYS reservation:*"), Books::read(&mut shop).is_balanced()), (json!([]), true));
    // What the feed says was sold is what is missing.
    const SOLD: &str = "local sold = {P = 0, Q = 0}
    for _, entry in ipairs(redis.call('XRANGE', 'inventory:feed', '-', '+')) do
      local fields = {}
      for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
      if fields.event == 'committed' then sold[fields.sku] = sold[fields.sku] + fields.quantity end
    end
    return {sold.P, sold.Q}";
    let sold = shop.ask(["EVAL", SOLD, "0"]);
    for (sku, sold) in ["P", "Q"].into_iter().zip(sold.as_array().expect("two numbers")) {
        assert_eq!(shop.counters(sku), (UNITS - sold.as_i64().expect("units"), 0), "{sku}");
    }
    assert_eq!(shop.info("inv", "inv_unexplained_units"), "0");
    let reply = shop.ask("INV.AUDITSCAN 0");
    assert_eq!(reply[1], json!([]));
}

// --- public reports, by their symptoms ---

/// woocommerce/woocommerce#67354: an abandoned checkout holds the last unit, and the same shopper begins a new one.
#[test]
fn a_shopper_is_not_blocked_by_her_own_reservation() {
    let (_server, mut shop) = shop(&[("P", 1)]);
    shop.ask("INV.RESERVE draft-1 BUYER ann ITEMS P 1");
    assert_eq!(code(&shop.refusal("INV.RESERVE draft-2 BUYER ann ITEMS P 1")), "INSUFFICIENT");
    shop.ask("INV.REPLACE draft-1 draft-2 ITEMS P 1");
    shop.ask("INV.COMMIT draft-2");
    assert_eq!(shop.counters("P"), (0, 0));
}

/// saleor/saleor#577: of 6 units an order holds 5, and its quantity cannot be changed: "Only 1 remaining in stock."
#[test]
fn the_units_of_an_order_count_as_free_when_its_quantity_is_changed() {
    let (_server, mut shop) = shop(&[("P", 6)]);
    shop.ask("INV.RESERVE order ITEMS P 5");
    for quantity in [2, 3, 4, 5, 6, 1] {
        shop.ask(format!("INV.REPLACE order order ITEMS P {quantity}"));
        assert_eq!(shop.counters("P"), (6 - quantity, quantity));
    }
    assert_eq!(shop.refusal("INV.REPLACE order order ITEMS P 7"), "INSUFFICIENT P requested 7, available 6");
}

/// vendurehq/vendure#1210: an item that is added to an order that exists already is not taken from the stock.
#[test]
fn what_is_added_to_an_order_is_taken_and_what_is_removed_is_free() {
    let (_server, mut shop) = shop(&[("P", 5), ("Q", 5)]);
    shop.ask("INV.RESERVE order ITEMS P 1");
    shop.ask("INV.REPLACE order order ITEMS P 1 Q 2");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((4, 1), (3, 2)));
    shop.ask("INV.REPLACE order order ITEMS Q 2");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((5, 0), (3, 2)));
}

/// magento/inventory#574: if a sku is renamed after an order was placed, the two no longer fit each other.
#[test]
fn an_order_of_a_product_that_is_renamed_moves_to_the_new_sku_or_ends_under_the_old_one() {
    let (_server, mut shop) = shop(&[("OLD", 10)]);
    shop.ask("INV.RESERVE moved ITEMS OLD 2");
    shop.ask("INV.RESERVE stays ITEMS OLD 3");
    shop.ask("INV.ADJUST OLD -5");
    shop.ask("INV.ADJUST NEW 5");
    shop.ask("INV.REPLACE moved moved ITEMS NEW 2");
    shop.ask("INV.COMMIT moved");
    shop.ask("INV.COMMIT stays");
    assert_eq!((shop.counters("OLD"), shop.counters("NEW")), ((2, 0), (3, 0)));
    assert_eq!(shop.ask("INV.AUDITSCAN 0"), json!(["0", []]));
}

/// magento/inventory#1881: of an order for 10 and 10, 7 and 6 are invoiced. When the rest is cancelled, all 10 and 10 return.
#[test]
fn when_a_part_of_an_order_is_sold_and_the_rest_is_cancelled_only_the_rest_returns() {
    let (_server, mut shop) = shop(&[("P", 100), ("Q", 100)]);
    shop.ask("INV.RESERVE order ITEMS P 10 Q 10");
    shop.ask("INV.COMMIT order ITEMS P 7 Q 6");
    shop.ask("INV.ROLLBACK order");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((93, 0), (94, 0)));
    // Nor can a change of what is left return what was sold.
    shop.ask("INV.RESERVE other ITEMS P 10");
    shop.ask("INV.COMMIT other ITEMS P 7");
    shop.ask("INV.REPLACE other other ITEMS P 1");
    shop.ask("INV.ROLLBACK other");
    assert_eq!(shop.counters("P"), (86, 0));
}

/// woocommerce/woocommerce#22107: of an order on hold, a product is added and the quantity of another is changed, and the
/// stock stays as it was.
#[test]
fn the_stock_follows_each_change_of_an_order_that_waits_for_its_payment() {
    let (_server, mut shop) = shop(&[("LADYBUG", 10), ("FOREST", 10)]);
    shop.ask("INV.RESERVE order ITEMS LADYBUG 1");
    shop.ask("INV.REPLACE order order ITEMS LADYBUG 2 FOREST 1");
    shop.ask("INV.COMMIT order");
    assert_eq!((shop.counters("LADYBUG"), shop.counters("FOREST")), ((8, 0), (9, 0)));
}

/// spree/spree#1525: a purchased quantity of 5 cannot be reduced to 4 when 3 are on hand, nor can 4 become 5.
#[test]
fn an_order_can_shrink_and_grow_while_less_is_available_than_it_holds() {
    let (_server, mut shop) = shop(&[("P", 8)]);
    shop.ask("INV.RESERVE order ITEMS P 5");
    for quantity in [4, 5] {
        shop.ask(format!("INV.REPLACE order order ITEMS P {quantity}"));
        assert_eq!(shop.counters("P"), (8 - quantity, quantity));
    }
}

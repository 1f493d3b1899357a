//! A product in several warehouses: reserved by priority, sold from and returned to where it was taken.

use crate::harness::{
    Client, Json, SOON, Server, assert_same, assert_same_data, code, json, wait_for, wait_until,
};
use crate::shop::{item, let_the_sweep_pass, shop, shop_with};

/// A line of a product in one of its warehouses.
fn at(product: &str, warehouse: &str, quantity: i64) -> Json {
    json!({"product_id": product, "warehouse": warehouse, "quantity": quantity})
}

/// PROD-123 with 50 units in A, 100 in B and 200 in C, in this order of priority.
fn three() -> (Server, Client) {
    three_with(&[])
}

fn three_with(options: &[&str]) -> (Server, Client) {
    let (server, mut shop) = shop_with(options, &[]);
    assert_eq!(shop.ask("INV.WAREHOUSES PROD-123 SET A 1 B 2 C 3"), "OK");
    for (warehouse, units) in [("A", 50), ("B", 100), ("C", 200)] {
        assert_eq!(shop.ask(format!("INV.ADJUST PROD-123@{warehouse} {units}")), units);
    }
    (server, shop)
}

/// Available units of PROD-123 in A, B and C.
fn available(shop: &mut Client) -> [i64; 3] {
    ["A", "B", "C"].map(|warehouse| shop.counters(&format!("PROD-123@{warehouse}")).0)
}

fn reserved(shop: &mut Client) -> [i64; 3] {
    ["A", "B", "C"].map(|warehouse| shop.counters(&format!("PROD-123@{warehouse}")).1)
}

#[test]
fn sixty_units_come_from_the_first_two_warehouses() {
    let (_server, mut shop) = three();
    let lines = json!([at("PROD-123", "A", 50), at("PROD-123", "B", 10)]);
    assert_eq!(shop.ask("INV.RESERVE R1 ITEMS PROD-123 60")["items"], lines);
    let record = shop.document("reservation:R1");
    assert_eq!(record["items"], lines);
    assert_eq!(record["asked"], json!([item("PROD-123", 60)]));
    assert_eq!(shop.ask("INV.GET R1")["items"], lines);
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 90, 200], [50, 10, 0]));

    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 90, 200], [0, 0, 0]));
    let outcome = shop.document("inventory:outcome:R1");
    assert_eq!((&outcome["state"], &outcome["items"]), (&json!("committed"), &lines));
}

#[test]
fn a_rollback_and_the_deadline_return_each_line_to_its_own_warehouse() {
    let (_server, mut shop) = three();
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 160");
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([50, 100, 200], [0, 0, 0]));

    shop.ask("INV.RESERVE R2 PX 50 ITEMS PROD-123 160");
    wait_for("the units are back", SOON, [50, 100, 200], || available(&mut shop));
    assert_eq!(reserved(&mut shop), [0, 0, 0]);
    let outcome = shop.document("inventory:outcome:R2");
    assert_eq!(outcome["state"], "expired");
    assert_eq!(outcome["returned"].as_array().map(Vec::len), Some(3));
    // A late sale takes the units from the same warehouses.
    assert_eq!(shop.ask("INV.COMMIT R2 LATE"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 0, 190], [0, 0, 0]));
}

#[test]
fn split_says_how_a_line_may_be_split() {
    let (_server, mut shop) = three();
    for (words, lines) in [
        ("SPLIT priority ITEMS PROD-123 60", vec![("A", 50), ("B", 10)]),
        ("split FEWEST ITEMS PROD-123 60", vec![("B", 60)]),
        ("SPLIT fewest ITEMS PROD-123 201", vec![("A", 50), ("C", 151)]),
        ("SPLIT none ITEMS PROD-123 60", vec![("B", 60)]),
        ("ITEMS PROD-123@C 60", vec![("C", 60)]),
        ("SPLIT none ITEMS PROD-123@C 60", vec![("C", 60)]),
        // Named warehouses are taken first, in whatever position.
        ("ITEMS PROD-123 60 PROD-123@A 30", vec![("A", 50), ("B", 40)]),
        ("ITEMS PROD-123@A 30 PROD-123 60", vec![("A", 50), ("B", 40)]),
        ("SPLIT none ITEMS PROD-123 40 PROD-123@A 30", vec![("B", 40), ("A", 30)]),
        ("ITEMS PROD-123 30 PROD-123 30", vec![("A", 50), ("B", 10)]),
    ] {
        let reserved = shop.ask(format!("INV.RESERVE R:* {words}"));
        let expected: Vec<Json> =
            lines.iter().map(|(warehouse, units)| at("PROD-123", warehouse, *units)).collect();
        assert_eq!(reserved["items"], Json::from(expected), "{words}");
        let id = reserved["reservation_id"].as_str().expect("an id").to_owned();
        assert_eq!(shop.ask(["INV.ROLLBACK", &id]), "OK");
        assert_eq!(available(&mut shop), [50, 100, 200], "{words}");
    }
}

#[test]
fn what_the_warehouses_do_not_have_is_refused_and_changes_nothing() {
    let (_server, mut shop) = three();
    shop.ask("SET stock:available:OTHER 1");
    let before = shop.contents();
    for (words, refusal) in [
        ("ITEMS PROD-123 351", "INSUFFICIENT PROD-123 requested 351, available 350"),
        ("SPLIT fewest ITEMS PROD-123 351", "INSUFFICIENT PROD-123 requested 351, available 350"),
        ("SPLIT none ITEMS PROD-123 201", "INSUFFICIENT PROD-123 requested 201, available 200"),
        ("ITEMS PROD-123@A 51", "INSUFFICIENT PROD-123@A requested 51, available 50"),
        (
            "ITEMS PROD-123@A 30 PROD-123 321 OTHER 2",
            "INSUFFICIENT PROD-123 requested 321, available 320; OTHER requested 2, available 1",
        ),
        ("ITEMS PROD-123@A 51 OTHER 1", "INSUFFICIENT PROD-123@A requested 51, available 50"),
        (
            "ITEMS PROD-123@D 1",
            "ERR PROD-123 has no warehouse D: add it with INV.WAREHOUSES PROD-123 SET D priority",
        ),
    ] {
        assert_eq!(shop.refusal(format!("INV.RESERVE R1 {words}")), refusal, "{words}");
    }
    for words in ["SPLIT most ITEMS PROD-123 1", "SPLIT ITEMS PROD-123 1", "SPLIT none SPLIT none ITEMS P 1"]
    {
        let refusal = shop.refusal(format!("INV.RESERVE R1 {words}"));
        assert!(refusal.starts_with("ERR ") && refusal.contains("Usage: "), "{words}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_retry_answers_the_same_whatever_is_left_where() {
    let (_server, mut shop) = three();
    let first = shop.ask("INV.RESERVE R1 ITEMS PROD-123 60");
    shop.ask("INV.ADJUST PROD-123@A 500");
    let before = shop.contents();
    for words in ["ITEMS PROD-123 60", "SPLIT none ITEMS PROD-123 60", "ITEMS PROD-123 20 PROD-123 40"] {
        assert_eq!(shop.ask(format!("INV.RESERVE R1 {words}")), first, "{words}");
    }
    // The request is compared, not the lines that it was split into.
    for words in ["ITEMS PROD-123@A 50 PROD-123@B 10", "ITEMS PROD-123 59"] {
        assert_eq!(code(&shop.refusal(format!("INV.RESERVE R1 {words}"))), "MISMATCH", "{words}");
    }
    assert_same(&shop.contents(), &before);

    // The request stays the same after a partial sale and an EXTEND.
    shop.ask("INV.COMMIT R1 ITEMS PROD-123@A 50");
    shop.ask("INV.EXTEND R1 EX 3600");
    assert_eq!(shop.ask("INV.RESERVE R1 ITEMS PROD-123 60")["items"], json!([at("PROD-123", "B", 10)]));

    let token = "INV.RESERVE once:* ONCE t ITEMS PROD-123 60";
    let first = shop.ask(token);
    assert_eq!(shop.ask(token), first);
    assert_eq!(reserved(&mut shop), [60, 10, 0]);
}

#[test]
fn a_parcel_leaves_one_warehouse_while_the_others_hold_theirs() {
    let (_server, mut shop) = three();
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 160");
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS PROD-123@A 50"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 0, 190], [0, 100, 10]));
    let record = shop.document("reservation:R1");
    assert_eq!(record["items"], json!([at("PROD-123", "B", 100), at("PROD-123", "C", 10)]));
    assert_eq!(record["sold"], json!([at("PROD-123", "A", 50)]));
    // Without a warehouse, units are taken from the lines of the record in order.
    assert_eq!(shop.ask("INV.ROLLBACK R1 ITEMS PROD-123 105"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 100, 195], [0, 0, 5]));
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ITEMS PROD-123 6")), "ERR");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ITEMS PROD-123@A 1")), "ERR");
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS PROD-123@C 5"), "OK");
    assert_eq!(shop.ask("INV.GET R1")["state"], "committed");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([0, 100, 195], [0, 0, 0]));
}

#[test]
fn stock_shows_the_sum_and_each_warehouse() {
    let (_server, mut shop) = three();
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 60");
    shop.ask("INV.WAREHOUSES PROD-123 SET D -5");
    let stock = &shop.ask("INV.STOCK PROD-123 NOPE")[0];
    let place = |warehouse: &str, priority: i64, available: i64, reserved: i64| {
        let on_hand = available + reserved;
        json!({
            "warehouse": warehouse, "priority": priority, "closed": 0, "available": available, "reserved": reserved,
            "on_hand": on_hand, "floor": 0, "reservable": available,
        })
    };
    let expected = json!({
        "product_id": "PROD-123", "available": 290, "reserved": 60, "on_hand": 350, "floor": 0, "reservable": 290,
        "threshold": 10,
        "warehouses": [place("D", -5, 0, 0), place("A", 1, 0, 50), place("B", 2, 90, 10), place("C", 3, 200, 0)],
    });
    assert_eq!(*stock, expected);
    // A product with empty warehouses is known.
    shop.ask("INV.WAREHOUSES NEW SET A 1");
    assert_eq!(shop.ask("INV.STOCK NEW")[0]["on_hand"], 0);
}

#[test]
fn a_set_of_warehouses_counts_at_once_however_it_comes() {
    for way in [
        &["ZADD stock:warehouses:P 1 A"] as &[&str],
        &["ZADD other 1 A", "RENAME other stock:warehouses:P"],
        &["ZADD other 1 A", "COPY other stock:warehouses:P"],
        &["ZADD other 1 A", "ZUNIONSTORE stock:warehouses:P 1 other"],
        &[
            "ZADD other 1 A",
            "EVAL return(redis.call('RESTORE','stock:warehouses:P',0,redis.call('DUMP','other'))) 0",
        ],
        &["SELECT 1", "ZADD stock:warehouses:P 1 A", "MOVE stock:warehouses:P 0", "SELECT 0"],
        &["SELECT 1", "ZADD stock:warehouses:P 1 A", "SET stock:available:P@A 5", "SWAPDB 0 1", "SELECT 0"],
        &["INV.WAREHOUSES P SET A 1"],
        &["MULTI", "ZADD stock:warehouses:P 1 A", "EXEC"],
        &["ZADD stock:warehouses:P 1 A", "DEBUG RELOAD"],
        &["ZADD stock:warehouses:P 1 A", "DEL stock:warehouses:P", "ZADD stock:warehouses:P 1 A"],
    ] {
        let (_server, mut shop) = shop(&[("P@A", 5)]);
        // The module has looked before, and there was none.
        assert_eq!(code(&shop.refusal("INV.RESERVE R0 ITEMS P 1")), "INSUFFICIENT");
        for step in way {
            shop.ask(step);
        }
        assert_eq!(shop.ask("INV.RESERVE R1 ITEMS P 2")["items"], json!([at("P", "A", 2)]), "{way:?}");
    }
}

#[test]
fn a_plain_zadd_works_as_well() {
    let (_server, mut shop) = shop(&[("P@A", 5), ("P@B", 5), ("P@C", 5)]);
    assert_eq!(shop.ask("ZADD stock:warehouses:P 2 A 1.5 B"), 2);
    assert_eq!(shop.ask("INV.RESERVE R1 ITEMS P 7")["items"], json!([at("P", "B", 5), at("P", "A", 2)]));
    shop.ask("ZADD stock:warehouses:P 0 C");
    assert_eq!(shop.ask("INV.RESERVE R2 ITEMS P 1")["items"], json!([at("P", "C", 1)]));
    let places = shop.ask("INV.STOCK P")[0]["warehouses"].clone();
    assert_eq!(
        (&places[0]["priority"], &places[1]["priority"], &places[2]["priority"]),
        (&json!(0), &json!(1.5), &json!(2))
    );
    // Equal priorities are ordered by name. Invalid names are skipped.
    shop.ask("ZADD stock:warehouses:P 0 A 0 B 0 C 0 x@y");
    assert_eq!(shop.ask("INV.RESERVE R3 ITEMS P 1")["items"], json!([at("P", "A", 1)]));
    assert_eq!(shop.ask("INV.STOCK P")[0]["warehouses"].as_array().map(Vec::len), Some(3));
    // After another client has removed it from the set, it is not a warehouse, whatever it holds.
    shop.ask("ZREM stock:warehouses:P A");
    assert_eq!(shop.ask("INV.RESERVE R4 ITEMS P 1")["items"], json!([at("P", "C", 1)]));
}

#[test]
fn warehouses_are_set_and_removed() {
    let (_server, mut shop) = three();
    assert_eq!(shop.ask("INV.WAREHOUSES PROD-123 SET C 0 D 9"), "OK");
    assert_eq!(
        shop.ask("ZRANGE stock:warehouses:PROD-123 0 -1 WITHSCORES"),
        json!([["C", 0.0], ["A", 1.0], ["B", 2.0], ["D", 9.0]])
    );
    let before = shop.contents();
    // Repeating this, or removing a warehouse that does not exist, changes nothing.
    assert_eq!(shop.ask("INV.WAREHOUSES PROD-123 SET C 0 A 1"), "OK");
    assert_eq!(
        shop.refusal("INV.WAREHOUSES PROD-123 DEL E"),
        "ERR PROD-123 has no warehouse E: it has C, A, B, D"
    );
    assert_eq!(
        shop.refusal("INV.WAREHOUSES NOPE DEL E"),
        "ERR NOPE has no warehouse E: it is not kept in warehouses"
    );
    shop.ask("INV.RESERVE R1 ITEMS PROD-123@A 50");
    assert_eq!(
        shop.refusal("INV.WAREHOUSES PROD-123 DEL B"),
        "ERR PROD-123@B has 100 available and 0 reserved units: only an empty warehouse can be removed"
    );
    assert_eq!(
        shop.refusal("INV.WAREHOUSES PROD-123 DEL A"),
        "ERR PROD-123@A has 0 available and 50 reserved units: only an empty warehouse can be removed"
    );
    shop.ask("INV.ROLLBACK R1");
    shop.ask("DEL inventory:outcome:R1 inventory:managed stock:reserved:PROD-123@A");
    assert_same(&shop.contents(), &before);

    shop.ask("INV.RESERVE R2 ITEMS PROD-123@A 50");
    shop.ask("INV.COMMIT R2");
    assert_eq!(shop.ask("INV.WAREHOUSES PROD-123 del A"), "OK");
    assert_eq!(shop.ask("EXISTS stock:available:PROD-123@A stock:reserved:PROD-123@A"), 0);
    assert_eq!(shop.ask("INV.STOCK PROD-123")[0]["warehouses"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_product_is_kept_under_its_name_or_in_warehouses_never_both() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    let refused = |shop: &mut Client, available: i64, reserved: i64| {
        let before = shop.contents();
        let refusal = shop.refusal("INV.WAREHOUSES P SET A 1");
        let expected =
            format!("ERR P has {available} available and {reserved} reserved units under its own name");
        assert!(refusal.starts_with(&expected), "{refusal}");
        assert_same(&shop.contents(), &before);
    };
    refused(&mut shop, 5, 0);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    refused(&mut shop, 0, 5);
    shop.ask("INV.COMMIT R1");
    // It has no units of its own left: in one step it is moved to warehouses.
    assert_eq!(shop.ask("INV.WAREHOUSES P SET A 1"), "OK");
    assert_eq!(shop.ask("EXISTS stock:available:P stock:reserved:P"), 0);
    let before = shop.contents();
    for command in ["INV.ADJUST P 5", "INV.SET P AVAILABLE 5", "INV.SET P ONHAND 5"] {
        let refusal = shop.refusal(command);
        assert!(refusal.starts_with("ERR P is kept in warehouses"), "{command}: {refusal}");
    }
    for command in
        ["INV.ADJUST P@Z 5", "INV.SET P@Z AVAILABLE 5", "INV.TRANSFER P A Z 1", "INV.TRANSFER P Z A 1"]
    {
        let refusal = shop.refusal(command);
        assert!(refusal.starts_with("ERR P has no warehouse Z"), "{command}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.ask("INV.ADJUST P@A 5"), 5);
    assert_eq!(shop.ask("INV.SET P@A AVAILABLE 0"), 0);
    // And back.
    assert_eq!(shop.ask("INV.WAREHOUSES P DEL A"), "OK");
    assert_eq!(shop.ask("EXISTS stock:warehouses:P"), 0);
    assert_eq!(shop.ask("INV.STOCK P"), json!([null]));
    assert_eq!(shop.ask("INV.ADJUST P 5"), 5);
}

#[test]
fn if_another_client_has_made_both_the_warehouses_win_and_the_audit_names_the_stray() {
    let (_server, mut shop) = three();
    shop.ask("SET stock:available:PROD-123 7");
    shop.ask("SET stock:available:PROD-123@Z 3");
    assert_eq!(shop.ask("INV.STOCK PROD-123")[0]["available"], 350);
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS PROD-123 351")), "INSUFFICIENT");
    assert_eq!(shop.ask("INV.AUDIT PROD-123")["stray"], 7);
    assert_eq!(shop.ask("INV.AUDIT PROD-123@Z")["stray"], 3);
    assert_eq!(
        shop.ask("INV.AUDIT PROD-123@A"),
        json!({"sku": "PROD-123@A", "reserved": 0, "held": 0, "drift": 0})
    );
}

#[test]
fn a_place_that_is_no_warehouse_any_more_is_not_sold_from_and_its_holds_end_normally() {
    let (_server, mut shop) = three();
    let retry = "INV.RESERVE R1 ITEMS PROD-123@B 3";
    let held = shop.ask(retry);
    shop.ask("INV.RESERVE R2 PX 50 ITEMS PROD-123@B 2");
    shop.ask("ZREM stock:warehouses:PROD-123 B");
    let refusal = "ERR PROD-123 has no warehouse B: add it with INV.WAREHOUSES PROD-123 SET B priority";
    assert_eq!(shop.refusal("INV.RESERVE R3 ITEMS PROD-123@B 1"), refusal);
    assert_eq!(shop.refusal("INV.RESERVE R3 ITEMS PROD-123 1 PROD-123@B 1"), refusal);
    assert_eq!(shop.ask(retry), held);
    wait_for("the deadline returns them", SOON, 3, || reserved(&mut shop)[1]);
    assert_eq!(shop.refusal("INV.COMMIT R2 LATE"), refusal);
    assert_eq!(shop.ask("INV.COMMIT R1 ITEMS PROD-123@B 2"), "OK");
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([50, 98, 200], [0, 0, 0]));
    // It counts again once it is a warehouse again.
    shop.ask("INV.WAREHOUSES PROD-123 SET B 2");
    assert_eq!(shop.ask("INV.COMMIT R2 LATE"), "OK");
    assert_eq!(available(&mut shop), [50, 96, 200]);
}

#[test]
fn a_transfer_moves_available_units_all_or_nothing() {
    let (_server, mut shop) = three();
    shop.ask("INV.RESERVE R1 ITEMS PROD-123@A 30");
    assert_eq!(shop.ask("INV.TRANSFER PROD-123 A B 15"), "OK");
    assert_eq!((available(&mut shop), reserved(&mut shop)), ([5, 115, 200], [30, 0, 0]));
    let before = shop.contents();
    assert_eq!(
        shop.refusal("INV.TRANSFER PROD-123 A B 6"),
        "INSUFFICIENT PROD-123@A requested 6, available 5"
    );
    for words in ["A A 1", "A B 0", "A B -1", "A B x", "A B 1 2", "A B", "A@B B 1"] {
        let refusal = shop.refusal(format!("INV.TRANSFER PROD-123 {words}"));
        assert_eq!(code(&refusal), "ERR", "{words}: {refusal}");
    }
    assert_same(&shop.contents(), &before);

    let token = "INV.TRANSFER PROD-123 C A 20 ONCE t";
    assert_eq!(shop.ask(token), "OK");
    assert_eq!(shop.ask(token), "OK");
    assert_eq!(available(&mut shop), [25, 115, 180]);
    assert_eq!(code(&shop.refusal("INV.TRANSFER PROD-123 C A 21 ONCE t")), "MISMATCH");
    // The first answer is repeated, even if the warehouse is empty or removed by now.
    shop.ask("INV.SET PROD-123@C AVAILABLE 0");
    assert_eq!(shop.ask(token), "OK");
    shop.ask("INV.WAREHOUSES PROD-123 DEL C");
    assert_eq!(shop.ask(token), "OK");
}

#[test]
fn a_key_of_another_type_is_told_and_left_alone() {
    let (_server, mut shop) = three();
    shop.ask("SET stock:warehouses:BAD text");
    shop.ask("RPUSH stock:warehouses:WORSE text");
    shop.ask("SET stock:available:PROD-123@C many");
    let before = shop.contents();
    for command in [
        "INV.RESERVE R1 ITEMS BAD 1",
        "INV.RESERVE R1 ITEMS WORSE 1",
        "INV.RESERVE R1 ITEMS PROD-123 1",
        "INV.ADJUST BAD 1",
        "INV.ADJUST BAD@A 1",
        "INV.SET BAD@A AVAILABLE 1",
        "INV.AUDIT BAD",
        "INV.WAREHOUSES BAD SET A 1",
        "INV.WAREHOUSES BAD DEL A",
        "INV.TRANSFER BAD A B 1",
        "INV.TRANSFER PROD-123 A C 1",
    ] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "WRONGTYPE", "{command}: {refusal}");
    }
    // The other products are answered.
    shop.ask("INV.ADJUST GOOD 5");
    shop.ask("SET stock:available:HIGH 5");
    shop.ask("LPUSH stock:threshold:HIGH x");
    let before_reading = shop.contents();
    let stock = shop.ask("INV.STOCK BAD GOOD PROD-123 NOPE HIGH");
    let wrong = |product: &str, error: &str| json!({"product_id": product, "error": error});
    assert_eq!(
        stock[0],
        wrong(
            "BAD",
            "WRONGTYPE key stock:warehouses:BAD holds a string, not a sorted set: correct it with a plain command such as SET or DEL"
        )
    );
    assert_eq!((&stock[1]["product_id"], &stock[1]["available"]), (&json!("GOOD"), &json!(5)));
    let many = "WRONGTYPE key stock:available:PROD-123@C holds text that is no integer, not an integer: correct it with a plain command such as SET or DEL";
    assert_eq!(stock[2]["product_id"], "PROD-123");
    assert!(stock[2]["error"].as_str().is_some_and(|error| error.starts_with(&many[..47])), "{}", stock[2]);
    assert_eq!(stock[3], Json::Null);
    assert!(
        stock[4]["error"].as_str().is_some_and(|error| error.contains("stock:threshold:HIGH")),
        "{}",
        stock[4]
    );
    assert_same(&shop.contents(), &before_reading);
    shop.ask("DEL stock:available:GOOD stock:available:HIGH stock:threshold:HIGH");
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_transfer_of_a_product_without_warehouses_says_so() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    let before = shop.contents();
    assert_eq!(
        shop.refusal("INV.TRANSFER P A B 1"),
        "ERR P is not kept in warehouses: add them with INV.WAREHOUSES P SET warehouse priority"
    );
    assert_same(&shop.contents(), &before);
    // Warehouses can be stocked before the set exists: then the refusal is about missing units.
    shop.ask("INV.ADJUST Q@A 1");
    assert_eq!(shop.refusal("INV.TRANSFER Q A B 2"), "INSUFFICIENT Q@A requested 2, available 1");
    assert_eq!(shop.ask("INV.TRANSFER Q A B 1"), "OK");
}

#[test]
fn overdue_units_of_every_warehouse_count_before_a_refusal() {
    let (_server, mut shop) = three();
    for split in ["priority", "fewest", "none"] {
        for warehouse in ["A", "B", "C"] {
            shop.ask(format!("INV.RESERVE {split}:{warehouse} PX 1 ITEMS PROD-123@{warehouse} 50"));
        }
        let wanted = if split == "none" { 200 } else { 350 };
        // In one unit of work, so that the cron does not run in between.
        let now = shop.now();
        wait_until("the deadlines have passed", SOON, || shop.now() > now + 2);
        let reserved = shop.ask(format!("INV.RESERVE R:{split} SPLIT {split} ITEMS PROD-123 {wanted}"));
        assert_eq!(reserved["reservation_id"], format!("R:{split}"));
        shop.ask(format!("INV.ROLLBACK R:{split}"));
        let_the_sweep_pass(&mut shop);
        assert_eq!(available(&mut shop), [50, 100, 200], "{split}");
    }
}

#[test]
fn alerts_are_of_the_sum() {
    let (_server, mut shop) = three_with(&["inv.alert-cooldown-ms 0"]);
    let kinds = |shop: &mut Client| -> Vec<(String, i64)> {
        let alerts = shop.ask("INV.ALERTS");
        let told = |alert: &Json| {
            assert_eq!(alert["product_id"], "PROD-123");
            (alert["type"].as_str().expect("a type").to_owned(), alert["available"].as_i64().expect("units"))
        };
        alerts.as_array().expect("alerts").iter().map(told).collect()
    };
    // A single empty warehouse raises no alert.
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 150");
    assert_eq!(kinds(&mut shop), []);
    shop.ask("INV.RESERVE R2 ITEMS PROD-123 190");
    let low = ("LOW_STOCK".to_owned(), 10);
    assert_eq!(kinds(&mut shop), std::slice::from_ref(&low));
    shop.ask("INV.TRANSFER PROD-123 C A 10");
    assert_eq!(kinds(&mut shop), std::slice::from_ref(&low));
    shop.ask("INV.RESERVE R3 ITEMS PROD-123@A 10");
    let out = ("OUT_OF_STOCK".to_owned(), 0);
    assert_eq!(kinds(&mut shop), [out.clone(), low.clone()]);
    shop.ask("INV.ADJUST PROD-123@B 1");
    let back = ("BACK_IN_STOCK".to_owned(), 1);
    assert_eq!(kinds(&mut shop), [back.clone(), out.clone(), low.clone()]);
    shop.ask("INV.RESERVE R4 PX 30 ITEMS PROD-123 1");
    wait_for("the unit is out and back", SOON, 5, || kinds(&mut shop).len());
    assert_eq!(kinds(&mut shop), [back.clone(), out.clone(), back.clone(), out.clone(), low.clone()]);

    // Stock that comes with a new warehouse also counts as back in stock.
    shop.ask("INV.SET PROD-123@B AVAILABLE 0");
    shop.ask("SET stock:available:PROD-123@D 3");
    shop.ask("INV.WAREHOUSES PROD-123 SET A 5 D 4");
    let back_with = ("BACK_IN_STOCK".to_owned(), 3);
    assert_eq!(kinds(&mut shop)[..2], [back_with, out.clone()]);
    // A counter that another client has set below 0 counts as 0: a transfer first fills the hole.
    shop.ask("SET stock:available:PROD-123@A -5");
    shop.ask("INV.TRANSFER PROD-123 D A 3");
    assert_eq!(kinds(&mut shop)[0], out);
    let stock = shop.ask("INV.STOCK PROD-123");
    assert_eq!((&stock[0]["available"], &stock[0]["warehouses"][3]["available"]), (&json!(0), &json!(-2)));
}

#[test]
fn a_stray_warehouse_hides_no_alert_of_the_others() {
    let (_server, mut shop) = three();
    // X is not a warehouse of the product, whatever its counters hold.
    shop.ask("SET stock:available:PROD-123@X 1000");
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 350");
    assert_eq!(shop.ask("INV.ALERTS")[0]["type"], "OUT_OF_STOCK");
}

#[test]
fn stock_of_a_product_that_nobody_knew_is_not_back() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("SET stock:available:P@A 30");
    shop.ask("INV.WAREHOUSES P SET A 1");
    assert_eq!(shop.ask("INV.ALERTS"), json!([]));
}

#[test]
fn each_change_reaches_the_copies_in_one_transaction() {
    let (server, mut shop) = three_with(&["appendonly yes", "inv.feed-maxlen 1000"]);
    let replica = server.replica();
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 160 PROD-123@C 5");
    shop.ask("INV.COMMIT R1 ITEMS PROD-123@A 50");
    shop.ask("INV.ROLLBACK R1 ITEMS PROD-123 7");
    shop.ask("INV.TRANSFER PROD-123 C A 20 ONCE t");
    shop.ask("INV.RESERVE R2 PX 50 SPLIT fewest ITEMS PROD-123 120");
    shop.ask("INV.WAREHOUSES PROD-123 SET C 0 D 4");
    shop.ask("INV.WAREHOUSES PROD-123 DEL D");
    shop.ask("INV.ADJUST OTHER 5");
    shop.ask("INV.SET OTHER AVAILABLE 0");
    shop.ask("INV.WAREHOUSES OTHER SET A 1");
    wait_for("the deadline has passed", SOON, "expired".into(), || shop.ask("INV.GET R2")["state"].clone());
    let_the_sweep_pass(&mut shop);
    replica.catch_up_with(&server);
    shop.ask("DEL inventory:feed");
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());

    let before = shop.contents();
    let mut server = server;
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    assert_same(&shop.contents(), &before);
    assert_eq!(shop.ask("INV.AUDIT PROD-123@B")["drift"], 0);
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!(reserved(&mut shop), [0, 0, 0]);
}

#[test]
fn refusals_and_repetitions_replicate_nothing() {
    let (server, mut shop) = three_with(&["appendonly yes"]);
    shop.ask("INV.RESERVE R1 ITEMS PROD-123 60");
    let sent = server.propagated_by(|| {
        shop.ask("INV.RESERVE R1 ITEMS PROD-123 60");
        shop.refusal("INV.RESERVE R2 ITEMS PROD-123 600");
        shop.refusal("INV.TRANSFER PROD-123 A B 600");
        shop.refusal("INV.WAREHOUSES PROD-123 DEL B");
        shop.ask("INV.WAREHOUSES PROD-123 SET B 2");
        shop.refusal("INV.WAREHOUSES PROD-123 DEL Z");
    });
    assert_eq!(sent, Vec::<String>::new());
}

#[test]
fn a_watcher_is_notified_of_real_changes_only() {
    let (_server, mut shop) = three();
    for (key, command, answer) in [
        ("stock:warehouses:PROD-123", "INV.WAREHOUSES PROD-123 SET B 2", json!(["PONG"])),
        ("stock:warehouses:PROD-123", "INV.WAREHOUSES PROD-123 SET B 5", Json::Null),
        ("stock:available:PROD-123@A", "INV.TRANSFER PROD-123 B C 1", json!(["PONG"])),
        ("stock:available:PROD-123@A", "INV.TRANSFER PROD-123 A C 1", Json::Null),
        ("stock:available:PROD-123@B", "INV.RESERVE R1 ITEMS PROD-123 1", json!(["PONG"])),
    ] {
        shop.ask(["WATCH", key]);
        shop.ask(command);
        shop.ask("MULTI");
        shop.ask("PING");
        assert_eq!(shop.ask("EXEC"), answer, "{command}");
    }
}

#[test]
fn a_thousand_warehouses_are_shown_and_reserved_from_and_more_are_refused() {
    let (_server, mut shop) = shop(&[]);
    let mut words = "INV.WAREHOUSES P SET".to_owned();
    for number in 0..1024 {
        words += &format!(" W{number:04} {number}");
        shop.ask(format!("SET stock:available:P@W{number:04} 1"));
    }
    assert_eq!(shop.ask(words), "OK");
    let stock = shop.ask("INV.STOCK P");
    assert_eq!(stock[0]["available"], 1024);
    assert_eq!(stock[0]["warehouses"].as_array().map(Vec::len), Some(1024));
    assert_eq!(
        shop.refusal("INV.WAREHOUSES P SET X 1"),
        "ERR P would have 1025 warehouses, but at most 1024 are allowed"
    );
    for split in ["priority", "fewest"] {
        let reserved = shop.ask(format!("INV.RESERVE {split} SPLIT {split} ITEMS P 1000"));
        assert_eq!(reserved["items"].as_array().map(Vec::len), Some(1000));
        assert_eq!(shop.ask(format!("INV.ROLLBACK {split}")), "OK");
    }
    assert_eq!(shop.ask("INV.STOCK P")[0]["available"], 1024);
    // Exactly this many lines are allowed.
    shop.ask("SET stock:available:Q 1");
    let refusal = shop.refusal("INV.RESERVE R1 ITEMS P 1024 Q 1");
    assert_eq!(
        refusal,
        "ERR the items would be split into 1025 lines, but a reservation may have at most 1024"
    );
    // Exactly this many warehouses are allowed.
    let many = ["P"; 9].join(" ");
    let refusal = shop.refusal(format!("INV.STOCK {many}"));
    assert!(refusal.starts_with("ERR these products have more than 2048 warehouses"), "{refusal}");
    // If another client has added more, the command is refused; earlier answers are still repeated.
    let done =
        ["INV.RESERVE R2 ITEMS P 1", "INV.ADJUST P@W0000 2 ONCE t", "INV.TRANSFER P W0000 W0001 1 ONCE t"];
    let answers = done.map(|command| shop.ask(command));
    shop.ask("ZADD stock:warehouses:P 1 X");
    let told = "ERR P has 1025 warehouses, but at most 1024 are allowed: remove some from stock:warehouses:P with ZREM";
    assert_eq!(shop.ask("INV.STOCK P"), json!([{"product_id": "P", "error": told}]));
    for command in ["INV.RESERVE R1 ITEMS P 1", "INV.ADJUST P@X 1", "INV.WAREHOUSES P DEL X"] {
        assert_eq!(shop.refusal(command), told, "{command}");
    }
    assert_eq!(done.map(|command| shop.ask(command)), answers);
    shop.ask("SET reservation:F text");
    assert_eq!(code(&shop.refusal("INV.RESERVE F ITEMS P 1")), "FOREIGN");
    shop.ask("ZREM stock:warehouses:P X W1023");
    // Invalid names count towards the size of the set.
    shop.ask(["ZADD", "stock:warehouses:P", "1", "a name"]);
    assert_eq!(
        shop.refusal("INV.WAREHOUSES P SET X 1"),
        "ERR P would have 1025 warehouses, but at most 1024 are allowed"
    );
}

#[test]
fn in_tagged_style_all_keys_of_a_product_share_its_tag() {
    let (_server, mut shop) = shop_with(&["inv.key-style tagged"], &[]);
    assert_eq!(shop.ask("INV.WAREHOUSES P SET A 1 B 2"), "OK");
    assert_eq!(shop.ask("ZRANGE stock:warehouses:{P} 0 -1"), json!(["A", "B"]));
    shop.ask("INV.ADJUST {P}@A 5");
    shop.ask("INV.ADJUST {P}@B 5");
    assert_eq!(shop.ask("INV.RESERVE {P}:R1 ITEMS P 7")["items"], json!([at("P", "A", 5), at("P", "B", 2)]));
    assert_eq!(shop.counters("{P}@B"), (3, 2));
    assert_eq!(shop.ask("INV.TRANSFER {P} B A 3"), "OK");
    let refusal = "ERR P is kept in warehouses: name one, as in {P}@warehouse";
    assert_eq!(shop.refusal("INV.ADJUST P 1"), refusal);
    assert_eq!(code(&shop.refusal("INV.WAREHOUSES P SET {A} 1")), "ERR");
    assert_eq!(shop.ask("INV.STOCK P")[0]["warehouses"][0]["available"], 3);
    assert_eq!(shop.ask("INV.COMMIT {P}:R1"), "OK");
}

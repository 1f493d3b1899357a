//! Floors and closed places on real servers: how other clients, databases and restarts reach them, and what public reports
//! of other shops complain about.

use crate::harness::{Client, LATER, assert_same, assert_same_data, code, json, wait_for};
use crate::shop::{shop, shop_with};

/// Whether RESERVE judges by a floor of 7, with 10 units of P.
fn assert_floored(shop: &mut Client, how: &str) {
    let refused = "INSUFFICIENT P requested 4, available 3";
    assert_eq!(shop.refusal("INV.RESERVE X ITEMS P 4"), refused, "{how}");
}

#[test]
fn a_floor_counts_at_once_however_it_comes() {
    for way in [
        &["SET stock:floor:P 7"] as &[&str],
        &["SET other 7", "RENAME other stock:floor:P"],
        &["SET other 7", "COPY other stock:floor:P"],
        &["INCRBY stock:floor:P 7"],
        &["APPEND stock:floor:P 7"],
        &["MSET a 1 stock:floor:P 7"],
        &["SELECT 5", "SET stock:floor:P 7", "MOVE stock:floor:P 0", "SELECT 0"],
        &["SELECT 5", "SET other 7", "COPY other stock:floor:P DB 0", "SELECT 0"],
        &["INV.FLOOR P 7"],
    ] {
        let (_server, mut shop) = shop(&[("P", 10)]);
        for line in way {
            shop.ask(*line);
        }
        assert_floored(&mut shop, &format!("{way:?}"));
        shop.ask("DEL stock:floor:P");
        shop.ask("INV.RESERVE R ITEMS P 4");
    }
}

#[test]
fn a_floor_counts_for_the_next_command_of_a_transaction_and_a_script() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("MULTI");
    for line in
        ["SET stock:floor:P 7", "INV.RESERVE X ITEMS P 4", "DEL stock:floor:P", "INV.RESERVE Y ITEMS P 4"]
    {
        shop.ask(line);
    }
    let replies = shop.ask("EXEC");
    assert_eq!(replies[1], "-INSUFFICIENT P requested 4, available 3");
    assert!(replies[3].is_object(), "{replies}");
    let script =
        "redis.call('SET', 'stock:floor:P', '6') return redis.pcall('INV.RESERVE', 'X', 'ITEMS', 'P', '1')";
    assert_eq!(shop.refusal(["EVAL", script, "0"]), "INSUFFICIENT P requested 1, available 0");
}

#[test]
fn a_floor_with_a_ttl_ends_with_it() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("SET stock:floor:P 7 PX 300");
    assert_floored(&mut shop, "until then");
    wait_for("the floor has expired", LATER, true, || shop.try_ask("INV.RESERVE R ITEMS P 4").is_ok());
}

#[test]
fn a_floor_moves_with_its_database_and_goes_with_a_flush() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.FLOOR P 7");
    shop.ask("SELECT 1");
    shop.ask("INV.ADJUST P 10");
    shop.ask("SWAPDB 0 1");
    assert_floored(&mut shop, "swapped in");
    shop.ask("SELECT 0");
    shop.ask("INV.RESERVE R ITEMS P 4");
    for flush in ["FLUSHDB", "FLUSHALL", "FLUSHALL ASYNC"] {
        shop.ask("INV.FLOOR P 7");
        shop.ask(flush);
        shop.ask("INV.ADJUST P 10");
        shop.ask("INV.RESERVE R ITEMS P 4");
    }
}

#[test]
fn a_dumped_floor_can_be_restored() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("SET other 7");
    let script = "redis.call('RESTORE', 'stock:floor:P', 0, redis.call('DUMP', 'other'))";
    shop.ask(["EVAL", script, "0"]);
    assert_floored(&mut shop, "restored");
}

#[test]
fn a_floor_outlives_restarts_and_failovers() {
    for options in [&["appendonly yes"] as &[&str], &[]] {
        let (mut server, mut shop) = shop_with(options, &[("P", 10)]);
        shop.ask("INV.FLOOR P 7");
        shop.ask("INV.WAREHOUSES W SET A 1 B CLOSED");
        shop.ask("INV.ADJUST W@B 5");
        shop.ask("INV.FLOOR W@A -2");
        let replica = server.replica();
        replica.wait_for_master(&server);
        let mut reader = replica.connect();
        assert_same_data(&mut shop, &mut reader);
        assert_eq!(reader.ask("INV.STOCK P W")[1]["reservable"], 2);
        if !options.is_empty() {
            server.kill();
            server.start_again();
            let mut shop = server.connect();
            assert_floored(&mut shop, "from an AOF");
            assert_eq!(code(&shop.refusal("INV.RESERVE X ITEMS W 3")), "INSUFFICIENT");
        }
        reader.ask("REPLICAOF NO ONE");
        assert_floored(&mut reader, "on a promoted replica");
        assert_eq!(code(&reader.refusal("INV.RESERVE X ITEMS W 3")), "INSUFFICIENT");
        reader.ask("INV.RESERVE X ITEMS W 2");
        assert_eq!(reader.counters("W@A"), (-2, 2));
    }
}

#[test]
fn a_refusal_because_of_a_floor_changes_nothing_and_breaks_no_watch() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 10)]);
    shop.ask("INV.FLOOR P 9");
    let before = shop.contents();
    let mut watcher = server.connect();
    for key in ["stock:available:P", "stock:reserved:P", "stock:floor:P"] {
        watcher.ask(format!("WATCH {key}"));
    }
    let propagated = server.propagated_by(|| {
        for line in [
            "INV.RESERVE R ITEMS P 2",
            "INV.ADJUST P -11",
            "INV.FLOOR P x",
            "INV.WAREHOUSES P SET A 1",
            "INV.FLOOR P@A@B 1",
        ] {
            shop.refusal(line);
        }
        shop.ask("INV.FLOOR P 9");
    });
    assert_eq!(propagated, Vec::<String>::new());
    watcher.ask("MULTI");
    watcher.ask("PING");
    assert_eq!(watcher.ask("EXEC"), json!(["PONG"]));
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_floor_is_announced_as_set_and_del() {
    let (server, mut shop) = shop(&[("P", 10)]);
    shop.ask("CONFIG SET notify-keyspace-events KA");
    let mut listener = server.connect();
    listener.listen("__keyspace@0__:stock:floor:*");
    shop.ask("INV.FLOOR P 9");
    shop.ask("INV.FLOOR P 0");
    let mut heard = Vec::new();
    wait_for("both are heard", LATER, 2, || {
        heard.extend(listener.heard());
        heard.len()
    });
    assert_eq!(
        heard.iter().map(|message| message.to_string()).filter(|text| text.contains("set")).count(),
        1
    );
}

#[test]
fn a_closed_place_is_shown_as_closed_in_both_protocols() {
    let (server, mut shop) = shop(&[]);
    shop.ask("INV.WAREHOUSES P SET A 1 RETURNS CLOSED");
    shop.ask("INV.ADJUST P@A 4");
    shop.ask("INV.ADJUST P@RETURNS 3");
    assert_eq!(server.connect_resp2().ask("ZSCORE stock:warehouses:P RETURNS"), "inf");
    for mut client in [server.connect(), server.connect_resp2()] {
        let stock = client.ask("INV.STOCK P").to_string();
        assert!(stock.contains("closed"), "{stock}");
    }
    let stock = &shop.ask("INV.STOCK P")[0];
    assert_eq!((&stock["available"], &stock["on_hand"]), (&json!(4), &json!(7)));
    let closed: Vec<_> =
        stock["warehouses"].as_array().unwrap().iter().map(|place| &place["closed"]).collect();
    assert_eq!(closed, [0, 1]);
    assert_eq!(code(&shop.refusal("INV.RESERVE R ITEMS P 5")), "INSUFFICIENT");
    shop.ask("INV.RESERVE R ITEMS P@RETURNS 1");
    // Any client can close a place.
    shop.ask("ZADD stock:warehouses:P +inf A");
    assert_eq!(shop.ask("INV.STOCK P")[0]["available"], 0);
}

/// saleor/saleor#4190: a shop wants to sell what has run out, but not without limit.
#[test]
fn saleor_4190_backorders_are_allowed_up_to_a_threshold() {
    let (_server, mut shop) = shop(&[("P", 2)]);
    shop.ask("INV.FLOOR P -3");
    for id in ["A", "B"] {
        shop.ask(format!("INV.RESERVE {id} ITEMS P 2"));
        shop.ask(format!("INV.COMMIT {id}"));
    }
    assert_eq!(shop.refusal("INV.RESERVE C ITEMS P 2"), "INSUFFICIENT P requested 2, available 1");
    shop.ask("INV.RESERVE C ITEMS P 1");
    // What arrives goes to those who were promised first.
    assert_eq!(shop.ask("INV.ADJUST P 10"), 7);
}

/// magento/inventory#2830: a product with backorders that is taken off sale still has ten units to sell.
#[test]
fn magento_inventory_2830_a_product_that_is_taken_off_sale_has_nothing_to_sell_whatever_its_backorders() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("INV.FLOOR P -10");
    assert_eq!(shop.ask("INV.STOCK P")[0]["reservable"], 110);
    shop.ask("INV.FLOOR P 100");
    assert_eq!(shop.ask("INV.STOCK P")[0]["reservable"], 0);
    assert_eq!(code(&shop.refusal("INV.RESERVE R ITEMS P 1")), "INSUFFICIENT");

    shop.ask("INV.WAREHOUSES Q SET A 1");
    shop.ask("INV.ADJUST Q@A 100");
    shop.ask("INV.FLOOR Q@A -10");
    shop.ask("INV.WAREHOUSES Q SET A CLOSED");
    assert_eq!(shop.ask("INV.STOCK Q")[0]["reservable"], 0);
    assert_eq!(code(&shop.refusal("INV.RESERVE R ITEMS Q 1")), "INSUFFICIENT");
}

/// woocommerce/woocommerce#29411: with a threshold of 2 and 5 units, a customer may buy all 5 at once.
#[test]
fn woocommerce_29411_one_large_order_does_not_take_the_safety_stock() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    shop.ask("INV.FLOOR P 2");
    assert_eq!(shop.refusal("INV.RESERVE R ITEMS P 5"), "INSUFFICIENT P requested 5, available 3");
    shop.ask("INV.RESERVE R ITEMS P 3");
}

/// odoo/odoo#68044: units in a location that is not for sale are shown as available to a sales order.
#[test]
fn odoo_68044_units_that_are_not_for_sale_are_not_shown_as_available() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.WAREHOUSES CHAIR SET STOCK 1 NOTFORSALE CLOSED");
    shop.ask("INV.ADJUST CHAIR@NOTFORSALE 50");
    let stock = &shop.ask("INV.STOCK CHAIR")[0];
    assert_eq!(
        (&stock["available"], &stock["reservable"], &stock["on_hand"]),
        (&json!(0), &json!(0), &json!(50))
    );
}

/// saleor/saleor#17170: a warehouse whose stock is negative makes units of another one unsalable.
#[test]
fn saleor_17170_a_warehouse_below_0_takes_nothing_from_the_others() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.WAREHOUSES P SET AMERICAS 1 DEFAULT 2");
    shop.ask("INV.ADJUST P@AMERICAS 1");
    shop.ask("INV.ADJUST P@AMERICAS -5 FORCE");
    shop.ask("INV.ADJUST P@DEFAULT 3");
    assert_eq!(shop.ask("INV.STOCK P")[0]["reservable"], 3);
    shop.ask("INV.RESERVE R ITEMS P 3");
}

//! Floors: how many units stay available, or how many are promised before they arrive.

use proptest::prelude::*;
use redis_inventory::engine::queries::{self, StockView};
use redis_inventory::engine::shelves::Units;
use redis_inventory::inventory::alert::Alert;
use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::sku::{KeyStyle, Product, Sku};

use super::calls::call;
use super::simulation::{BEGIN, Command, Simulation, Value};

/// Runs one call as its own unit of work.
pub fn ask(server: &mut Simulation, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    server.command("", |server| call(server, &words)).unwrap_or_else(|refusal| refusal.to_string())
}

/// Runs a call that must succeed.
pub fn done(server: &mut Simulation, words: &str) -> String {
    let answer = ask(server, words);
    assert!(answer.split(' ').next().is_some_and(|code| code == "OK" || !is_code(code)), "{words}: {answer}");
    answer
}

fn is_code(word: &str) -> bool {
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A shop with so many units of P.
fn shop(units: &str) -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    // The first reservation marks the database.
    done(&mut shop, "INV.ADJUST X 1");
    done(&mut shop, "INV.RESERVE first PX 60000 ITEMS X 1");
    done(&mut shop, "INV.ROLLBACK first");
    for key in ["stock:available:X", "stock:reserved:X"] {
        shop.client(&["DEL", key]);
    }
    shop.client(&["SET", "stock:available:P", units]);
    shop.take_stream();
    shop
}

pub fn counters(server: &Simulation, sku: &str) -> (i64, i64) {
    let counter = |kind: &str| server.number(&format!("stock:{kind}:{sku}")).unwrap_or(0);
    (counter("available"), counter("reserved"))
}

/// The keys that a call reads.
pub fn looks(server: &mut Simulation, words: &str) -> Vec<String> {
    server.looks = Some(Vec::new());
    ask(server, words);
    server.looks.take().unwrap()
}

#[test]
fn an_alert_is_ruled_out_by_few_of_many_warehouses_if_they_have_enough() {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = 10;
    for place in 0..1000 {
        shop.client(&["ZADD", "stock:warehouses:W", "1", &format!("w{place:04}")]);
        shop.client(&["SET", &format!("stock:available:W@w{place:04}"), "5"]);
    }
    let read = looks(&mut shop, "INV.RESERVE A PX 50 ITEMS W@w0900 1");
    assert!(read.len() < 20, "{} keys are read", read.len());
    assert_eq!(shop.published, []);
    // If there are few units in total, all places have to be read.
    for place in 0..1000 {
        shop.client(&["SET", &format!("stock:available:W@w{place:04}"), if place < 11 { "1" } else { "0" }]);
    }
    ask(&mut shop, "INV.RESERVE B PX 50 ITEMS W@w0003 1");
    assert_eq!(shop.published.len(), 1, "{:?}", shop.published);
}

pub fn sent(server: &mut Simulation) -> Vec<Command> {
    server.take_stream().into_iter().flatten().collect()
}

#[test]
fn safety_stock_is_never_promised() {
    let mut shop = shop("10");
    assert_eq!(done(&mut shop, "INV.FLOOR P 3"), "OK");
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P 8"), "INSUFFICIENT P requested 8, available 7");
    done(&mut shop, "INV.RESERVE A ITEMS P 7");
    assert_eq!(ask(&mut shop, "INV.RESERVE B ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    assert_eq!(counters(&shop, "P"), (3, 7));
    // The floor does not prevent a sale.
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.FLOOR P 0");
    assert_eq!(shop.stored("stock:floor:P"), None);
    done(&mut shop, "INV.RESERVE B ITEMS P 3");
}

#[test]
fn with_a_floor_below_0_so_many_units_are_promised_before_they_arrive() {
    let mut shop = Simulation::new();
    done(&mut shop, "INV.FLOOR P -5");
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A ITEMS P 6"),
        "INSUFFICIENT P requested 6, available 5",
        "a floor alone makes a sku known"
    );
    done(&mut shop, "INV.RESERVE A ITEMS P 4");
    assert_eq!(counters(&shop, "P"), (-4, 4));
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(done(&mut shop, "INV.ADJUST P 10"), "6");
    assert_eq!(counters(&shop, "P"), (6, 0));
}

#[test]
fn a_floor_is_replicated_as_its_result_and_only_if_it_changes() {
    let mut shop = shop("10");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.FLOOR P -3");
    done(&mut shop, "INV.FLOOR P -3");
    done(&mut shop, "INV.FLOOR P 0");
    done(&mut shop, "INV.FLOOR P 0");
    let stream = shop.take_stream();
    let apply = |units: &str| ["INV.APPLY", "1", "FLOOR", "P", units, "0"].map(str::to_owned).to_vec();
    assert_eq!(stream, [vec![apply("-3")], vec![apply("0")]]);
    assert_eq!(
        shop.events
            .iter()
            .filter(|(_, key)| key == "stock:floor:P")
            .map(|(event, _)| &**event)
            .collect::<Vec<_>>(),
        ["set", "del"]
    );
    replica.receive(&stream[..1]);
    assert_eq!(replica.stored("stock:floor:P"), Some("-3"));
    replica.receive(&stream[1..]);
    assert_eq!(replica.data, shop.data);
}

#[test]
fn a_floor_that_is_no_integer_is_refused_and_never_0() {
    let mut shop = shop("10");
    for value in ["10.0", "", "three"] {
        shop.client(&["SET", "stock:floor:P", value]);
        shop.take_stream();
        let refused = format!(
            "WRONGTYPE key stock:floor:P holds '{value}', not an integer: correct it with a plain command such as SET or DEL"
        );
        let calls = [
            "INV.RESERVE A ITEMS P 1",
            "INV.FLOOR P 0",
            "INV.ADJUST P -1",
            "INV.SET P ONHAND 4",
            "INV.STOCK P",
        ];
        for words in calls {
            assert_eq!(ask(&mut shop, words), refused, "{words}");
        }
        assert!(sent(&mut shop).is_empty());
    }
    shop.client(&["DEL", "stock:floor:P"]);
    shop.client(&["HSET", "stock:floor:P", "a", "b"]);
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A ITEMS P 1"),
        "WRONGTYPE key stock:floor:P holds a hash, not an integer: correct it with a plain command such as SET or DEL"
    );
    shop.client(&["DEL", "stock:floor:P"]);
    done(&mut shop, "INV.RESERVE A ITEMS P 1");
}

#[test]
fn the_key_of_a_floor_is_read_only_if_there_may_be_one() {
    let mut shop = shop("10");
    let floor = "stock:floor:P".to_owned();
    assert!(!looks(&mut shop, "INV.RESERVE A ITEMS P 1").contains(&floor));
    // The index is not complete: every floor is read.
    shop.restart_in_slices();
    assert!(looks(&mut shop, "INV.RESERVE B ITEMS P 1").contains(&floor));
    shop.walk_over(100);
    while shop.sweep_slice(100) {}
    assert!(!looks(&mut shop, "INV.RESERVE C ITEMS P 1").contains(&floor));
    // From the moment at which another client writes it, it is read.
    shop.unit(|shop| {
        shop.execute(&["SET", "stock:floor:P", "7"]);
        assert!(looks_within(shop, "INV.RESERVE D ITEMS P 1").contains(&floor));
    });
    assert_eq!(ask(&mut shop, "INV.RESERVE D ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    done(&mut shop, "INV.FLOOR P 0");
    assert!(!looks(&mut shop, "INV.RESERVE D ITEMS P 1").contains(&floor));
}

/// The keys that a call reads in a unit of work that has begun.
fn looks_within(server: &mut Simulation, words: &str) -> Vec<String> {
    server.looks = Some(Vec::new());
    drop(call(server, &words.split(' ').collect::<Vec<_>>()));
    server.looks.take().unwrap()
}

#[test]
fn a_floor_is_known_after_a_restart_and_on_a_promoted_replica() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 9");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.FLOOR Q -2");
    let refused = |server: &mut Simulation| {
        assert_eq!(ask(server, "INV.RESERVE A ITEMS P 2"), "INSUFFICIENT P requested 2, available 1");
        assert_eq!(ask(server, "INV.RESERVE A ITEMS Q 3"), "INSUFFICIENT Q requested 3, available 2");
    };
    replica.receive(&shop.take_stream());
    for from_rdb in [true, false] {
        shop.restart(from_rdb);
        refused(&mut shop);
    }
    replica.change_role();
    refused(&mut replica);
    let sku = Sku::parse(b"Q", KeyStyle::Plain).unwrap();
    assert!(replica.memory().floors.may_have(&sku));
}

#[test]
fn a_replay_decides_nothing() {
    let mut shop = shop("10");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.RESERVE A ITEMS P 8");
    // The copy has another floor, which another client has written there.
    replica.client(&["SET", "stock:floor:P", "9"]);
    replica.take_stream();
    replica.receive(&shop.take_stream());
    assert_eq!(counters(&replica, "P"), (2, 8));
}

#[test]
fn overdue_units_are_released_until_the_rest_suffices_above_the_floor() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 3");
    for id in ["A", "B", "C"] {
        done(&mut shop, &format!("INV.RESERVE {id} PX 10 ITEMS P 2"));
    }
    shop.advance(11);
    // 4 are available, of which 1 can be reserved. One of the three is enough.
    done(&mut shop, "INV.RESERVE D PX 1000 ITEMS P 3");
    assert_eq!(counters(&shop, "P"), (3, 7));
    assert_eq!(ask(&mut shop, "INV.RESERVE E ITEMS P 5"), "INSUFFICIENT P requested 5, available 4");
    assert_eq!(shop.clock, BEGIN + 11);
}

#[test]
fn a_cart_can_always_shrink_whatever_the_floor() {
    let mut shop = shop("10");
    done(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 5");
    done(&mut shop, "INV.FLOOR P 8");
    // 5 are available, which is below the floor.
    done(&mut shop, "INV.REPLACE A A ITEMS P 5");
    assert_eq!(ask(&mut shop, "INV.REPLACE A A ITEMS P 6"), "INSUFFICIENT P requested 6, available 5");
    done(&mut shop, "INV.REPLACE A A ITEMS P 4");
    assert_eq!(counters(&shop, "P"), (6, 4));
    // 10 are on hand and 8 of them stay, but the cart has 4 already.
    assert_eq!(ask(&mut shop, "INV.REPLACE A B ITEMS P 5"), "INSUFFICIENT P requested 5, available 4");
    done(&mut shop, "INV.FLOOR P 5");
    done(&mut shop, "INV.REPLACE A B ITEMS P 5");
    assert_eq!(counters(&shop, "P"), (5, 5));
    // What another sku has for a floor does not matter to a line that is dropped.
    done(&mut shop, "INV.ADJUST Q 5");
    shop.client(&["SET", "stock:floor:P", "?"]);
    assert!(ask(&mut shop, "INV.REPLACE B B ITEMS P 6").starts_with("WRONGTYPE key stock:floor:P"));
    done(&mut shop, "INV.REPLACE B B ITEMS Q 1");
    assert_eq!((counters(&shop, "P"), counters(&shop, "Q")), ((10, 0), (4, 1)));
}

#[test]
fn a_late_commit_respects_the_floor_as_a_reserve_does() {
    let mut shop = shop("10");
    done(&mut shop, "INV.RESERVE A PX 10 ITEMS P 5");
    shop.advance(11);
    shop.sweep();
    done(&mut shop, "INV.FLOOR P 6");
    assert_eq!(ask(&mut shop, "INV.COMMIT A LATE"), "INSUFFICIENT P requested 5, available 4");
    done(&mut shop, "INV.FLOOR P 5");
    done(&mut shop, "INV.COMMIT A LATE");
    assert_eq!(counters(&shop, "P"), (5, 0));
    // Units that are promised before they arrive may be taken late as well.
    done(&mut shop, "INV.FLOOR P -3");
    done(&mut shop, "INV.RESERVE B PX 10 ITEMS P 7");
    shop.advance(11);
    shop.sweep();
    done(&mut shop, "INV.COMMIT B LATE");
    assert_eq!(counters(&shop, "P"), (-2, 0));
}

#[test]
fn a_part_of_a_line_is_taken_down_to_the_floor() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 8");
    done(&mut shop, "INV.FLOOR Q -1");
    let until = BEGIN + 1000;
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A PX 1000 PARTIAL ITEMS P 5 Q 5"),
        format!("OK {until} P 2 Q 1 short P 3 Q 4")
    );
    assert_eq!(
        ask(&mut shop, "INV.RESERVE B PX 1000 PARTIAL ITEMS P 5 Q 5"),
        "INSUFFICIENT P requested 5, available 0; Q requested 5, available 0"
    );
}

#[test]
fn each_element_of_a_batch_sees_the_floor_and_what_earlier_ones_took() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 6");
    done(&mut shop, "INV.FLOOR Q -2");
    let at = BEGIN + 1000;
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE PX 1000 4 A 1 P 3 B 1 P 2 C 2 P 1 Q 2 D 1 Q 1"),
        format!(
            "OK {at} | INSUFFICIENT P requested 2, available 1 | OK {at} | INSUFFICIENT Q requested 1, available 0"
        )
    );
    assert_eq!((counters(&shop, "P"), counters(&shop, "Q")), ((6, 4), (-2, 2)));
}

#[test]
fn a_loss_lowers_available_to_0_or_the_floor_and_with_force_below() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 3");
    // Units below a floor above 0 are there, and can be lost.
    assert_eq!(done(&mut shop, "INV.ADJUST P -8"), "2");
    assert_eq!(ask(&mut shop, "INV.ADJUST P -3"), "INSUFFICIENT P requested 3, available 2");
    done(&mut shop, "INV.FLOOR P -3");
    assert_eq!(done(&mut shop, "INV.ADJUST P -4"), "-2");
    assert_eq!(ask(&mut shop, "INV.ADJUST P -2"), "INSUFFICIENT P requested 2, available 1");
    assert!(sent(&mut shop).iter().all(|command| !command.contains(&"-2".to_owned())));
    assert_eq!(done(&mut shop, "INV.ADJUST P -2 FORCE"), "-4");
    // What is missing can always be added.
    assert_eq!(done(&mut shop, "INV.ADJUST P 1"), "-3");
    assert_eq!(ask(&mut shop, "INV.ADJUST Q -1"), "INSUFFICIENT Q requested 1, available 0 (unknown sku)");
    assert_eq!(done(&mut shop, "INV.ADJUST Q -1 FORCE"), "-1");
}

#[test]
fn a_refused_loss_can_be_repeated_with_force_and_the_same_token() {
    let mut shop = shop("10");
    assert!(ask(&mut shop, "INV.ADJUST P -11 ONCE t").starts_with("INSUFFICIENT"));
    assert_eq!(done(&mut shop, "INV.ADJUST P -11 FORCE ONCE t"), "-1");
    assert_eq!(done(&mut shop, "INV.ADJUST P -11 ONCE t"), "-1");
    assert_eq!(counters(&shop, "P"), (-1, 0));
}

#[test]
fn a_count_lowers_available_to_0_or_the_floor_and_with_force_below() {
    let mut shop = shop("10");
    done(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 5");
    done(&mut shop, "INV.FLOOR P 3");
    let refused = "OVERCOMMITTED P cannot have 4 on hand, because 5 are reserved: commit or roll back reservations first, or repeat the command with FORCE";
    assert_eq!(ask(&mut shop, "INV.SET P ONHAND 4"), refused);
    assert_eq!(done(&mut shop, "INV.SET P ONHAND 5"), "0");
    done(&mut shop, "INV.FLOOR P -1");
    assert_eq!(done(&mut shop, "INV.SET P ONHAND 4"), "-1");
    assert!(ask(&mut shop, "INV.SET P ONHAND 3").starts_with("OVERCOMMITTED P cannot have 3 on hand"));
    assert_eq!(counters(&shop, "P"), (-1, 5));
    assert_eq!(done(&mut shop, "INV.SET P ONHAND 3 FORCE"), "-2");
    assert_eq!(done(&mut shop, "INV.SET P AVAILABLE 0"), "0");
    assert_eq!(done(&mut shop, "INV.SET P AVAILABLE -1"), "-1");
    assert!(ask(&mut shop, "INV.SET P AVAILABLE -2").starts_with("OVERCOMMITTED P cannot have 3 on hand"));
    assert_eq!(done(&mut shop, "INV.SET P AVAILABLE -2 FORCE"), "-2");
}

#[test]
fn a_sku_whose_goods_were_sold_before_they_came_is_not_counted_without_force() {
    let mut shop = Simulation::new();
    done(&mut shop, "INV.FLOOR P -5");
    done(&mut shop, "INV.RESERVE A ITEMS P 3");
    done(&mut shop, "INV.RESERVE B ITEMS P 2");
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(counters(&shop, "P"), (-5, 2));
    let refused = "OVERCOMMITTED P has -3 on hand, because units were sold before they arrived: add arrivals with INV.ADJUST, or set the count with FORCE";
    for words in ["INV.SET P ONHAND 10", "INV.SET P AVAILABLE 10"] {
        assert_eq!(ask(&mut shop, words), refused);
    }
    assert_eq!(ask(&mut shop, "INV.SET P ONHAND 10 IFEQ 0"), "null", "the condition is tested first");
    assert_eq!(done(&mut shop, "INV.ADJUST P 20"), "15");
    // Now something is there that can be counted.
    assert_eq!(done(&mut shop, "INV.SET P ONHAND 16"), "14");
    done(&mut shop, "INV.ADJUST P -20 FORCE");
    assert_eq!(counters(&shop, "P"), (-6, 2));
    assert_eq!(done(&mut shop, "INV.SET P ONHAND 2 FORCE"), "0");
}

#[test]
fn a_counter_cannot_overflow_with_force() {
    let mut shop = shop("-9223372036854775000");
    assert!(
        ask(&mut shop, "INV.ADJUST P -9007199254740991 FORCE").starts_with("ERR the available counter of P")
    );
    assert_eq!(shop.stored("stock:available:P"), Some("-9223372036854775000"));
}

/// A shop with P in two warehouses.
fn warehouses(a: i64, b: i64) -> Simulation {
    let mut shop = shop("0");
    done(&mut shop, "INV.WAREHOUSES P SET A 1 B 2");
    done(&mut shop, &format!("INV.ADJUST P@A {a}"));
    done(&mut shop, &format!("INV.ADJUST P@B {b}"));
    shop.take_stream();
    shop
}

#[test]
fn a_transfer_moves_units_that_exist_and_never_below_0() {
    let mut shop = warehouses(5, 0);
    done(&mut shop, "INV.FLOOR P@A -3");
    assert_eq!(ask(&mut shop, "INV.TRANSFER P A B 6"), "INSUFFICIENT P@A requested 6, available 5");
    assert!(ask(&mut shop, "INV.TRANSFER P A B 6 FORCE").starts_with("ERR "));
    // The units below a floor above 0 exist.
    done(&mut shop, "INV.FLOOR P@A 3");
    done(&mut shop, "INV.TRANSFER P A B 5");
    assert_eq!((counters(&shop, "P@A"), counters(&shop, "P@B")), ((0, 0), (5, 0)));
}

#[test]
fn a_product_in_warehouses_has_floors_place_by_place() {
    let mut shop = warehouses(5, 5);
    assert_eq!(ask(&mut shop, "INV.FLOOR P 3"), "ERR P is kept in warehouses: name one of P@A, P@B");
    assert_eq!(
        ask(&mut shop, "INV.FLOOR P@C 3"),
        "ERR P has no warehouse C: add it with INV.WAREHOUSES P SET C priority"
    );
    assert!(sent(&mut shop).is_empty());
    done(&mut shop, "INV.FLOOR P@A 3");
    done(&mut shop, "INV.FLOOR P@B -1");
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P 9"), "INSUFFICIENT P requested 9, available 8");
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P@A 3"), "INSUFFICIENT P@A requested 3, available 2");
    let until = BEGIN + 900_000;
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P 8"), format!("OK {until} P@A 2 P@B 6"));
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(ask(&mut shop, "INV.RESERVE B SPLIT fewest ITEMS P 3"), format!("OK {until} P@B 3"));
    assert_eq!(ask(&mut shop, "INV.RESERVE C SPLIT none ITEMS P 3"), format!("OK {until} P@B 3"));
}

#[test]
fn a_product_with_a_floor_under_its_own_name_is_not_put_into_warehouses() {
    let mut shop = Simulation::new();
    done(&mut shop, "INV.FLOOR P 3");
    let refused = "ERR P has the floor 3 under its own name: delete it with INV.FLOOR P 0 before it is kept in warehouses";
    assert_eq!(ask(&mut shop, "INV.WAREHOUSES P SET A 1"), refused);
    done(&mut shop, "INV.FLOOR P 0");
    done(&mut shop, "INV.WAREHOUSES P SET A 1");
}

#[test]
fn a_warehouse_is_removed_together_with_its_floor() {
    let mut shop = warehouses(0, 5);
    done(&mut shop, "INV.FLOOR P@A -3");
    let mut replica = Simulation::replica_of(&shop);
    shop.take_stream();
    done(&mut shop, "INV.WAREHOUSES P DEL A");
    assert_eq!(shop.stored("stock:floor:P@A"), None);
    replica.receive(&shop.take_stream());
    assert_eq!(replica.data, shop.data);
    // A warehouse of this name that comes later has none.
    done(&mut shop, "INV.WAREHOUSES P SET A 1");
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P@A 1"), "INSUFFICIENT P@A requested 1, available 0");
}

/// The stored alerts of P, oldest first: type, units and threshold.
fn alerts(server: &Simulation) -> Vec<(String, i64)> {
    let stored = server.data.keys().filter(|name| name.starts_with("alert:P:")).filter_map(|name| {
        let alert = Alert::from_json(server.stored(name)?.as_bytes())?;
        Some((alert.kind.name().to_owned(), alert.available))
    });
    stored.collect()
}

/// Runs the calls a second apart, and returns the alerts that they raise.
fn raised(server: &mut Simulation, lines: &[&str]) -> Vec<(String, i64)> {
    server.settings.alert_cooldown_ms = 0;
    let before = alerts(server).len();
    for words in lines {
        done(server, words);
        server.advance(1000);
    }
    alerts(server).split_off(before)
}

fn alert(kind: &str, units: i64) -> (String, i64) {
    (kind.to_owned(), units)
}

#[test]
fn alerts_compare_what_can_be_reserved() {
    let mut shop = shop("10");
    assert_eq!(raised(&mut shop, &["INV.FLOOR P 3", "INV.THRESHOLD P 2"]), []);
    let steps = ["INV.RESERVE A PX 60000 ITEMS P 5", "INV.RESERVE B PX 60000 ITEMS P 2", "INV.ROLLBACK B"];
    assert_eq!(
        raised(&mut shop, &steps),
        [alert("LOW_STOCK", 2), alert("OUT_OF_STOCK", 0), alert("BACK_IN_STOCK", 2)]
    );
    // A product that may be promised before it arrives is not out of stock at 0.
    assert_eq!(raised(&mut shop, &["INV.FLOOR P -10"]), []);
    assert_eq!(raised(&mut shop, &["INV.RESERVE C PX 60000 ITEMS P 10"]), []);
    assert_eq!(raised(&mut shop, &["INV.RESERVE D PX 60000 ITEMS P 5"]), [alert("OUT_OF_STOCK", 0)]);
}

#[test]
fn a_floor_that_changes_can_raise_an_alert() {
    let mut shop = shop("10");
    done(&mut shop, "INV.THRESHOLD P 4");
    let steps = ["INV.FLOOR P 5", "INV.FLOOR P 6", "INV.FLOOR P 10", "INV.FLOOR P 12", "INV.FLOOR P 0"];
    assert_eq!(
        raised(&mut shop, &steps),
        [alert("LOW_STOCK", 4), alert("OUT_OF_STOCK", 0), alert("BACK_IN_STOCK", 10)]
    );
    // A product that did not exist before was not low.
    shop.settings.low_stock_threshold = 4;
    done(&mut shop, "INV.FLOOR Q -2");
    assert!(!shop.data.keys().any(|name| name.starts_with("alert:Q")));
    // But one that has a floor exists.
    done(&mut shop, "INV.RESERVE A PX 1000 ITEMS Q 2");
    assert!(shop.data.keys().any(|name| name.starts_with("alert:Q")));
}

#[test]
fn alerts_sum_what_can_be_reserved_from_each_warehouse() {
    let mut shop = warehouses(5, 5);
    done(&mut shop, "INV.THRESHOLD P 3");
    let steps = ["INV.FLOOR P@A 8", "INV.FLOOR P@B 2", "INV.FLOOR P@B 9", "INV.FLOOR P@A -1"];
    assert_eq!(
        raised(&mut shop, &steps),
        // 0 + 5, 0 + 3, 0 + 0, 6 + 0
        [alert("LOW_STOCK", 3), alert("OUT_OF_STOCK", 0), alert("BACK_IN_STOCK", 6)]
    );
    let steps = ["INV.RESERVE A ITEMS P@A 2", "INV.RESERVE B ITEMS P 4", "INV.ADJUST P@B 5"];
    assert_eq!(raised(&mut shop, &steps), [alert("OUT_OF_STOCK", 0), alert("BACK_IN_STOCK", 1)]);
}

#[test]
fn a_batch_raises_its_alerts_by_what_can_be_reserved() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 5");
    done(&mut shop, "INV.THRESHOLD P 1");
    assert_eq!(raised(&mut shop, &["INV.MRESERVE 2 A 1 P 2 B 1 P 2"]), [alert("LOW_STOCK", 1)]);
}

#[test]
fn the_stock_shows_the_floor_and_what_can_be_reserved() {
    let mut shop = warehouses(5, 2);
    done(&mut shop, "INV.FLOOR P@A -3");
    done(&mut shop, "INV.FLOOR P@B 4");
    done(&mut shop, "INV.RESERVE A ITEMS P@A 7");
    let view = stock(&mut shop, "P");
    let shown =
        |units: Units| (units.available, units.reserved, units.on_hand, units.floor, units.reservable);
    // A has -2, of which 1 can be reserved. B has 2, which is below its floor.
    assert_eq!(shown(view.units), (2, 7, 7, 1, 1));
    let places: Vec<_> = view.warehouses.iter().map(|(_, units)| shown(*units)).collect();
    assert_eq!(places, [(-2, 7, 5, -3, 1), (2, 0, 2, 4, -2)]);
    done(&mut shop, "INV.FLOOR Q 7");
    assert_eq!(shown(stock(&mut shop, "Q").units), (0, 0, 0, 7, -7), "a floor alone makes a sku known");
    assert_eq!(done(&mut shop, "INV.AUDIT Q"), "0 0");
}

fn stock(server: &mut Simulation, product: &str) -> StockView {
    let product = Product::parse(product.as_bytes(), KeyStyle::Plain).unwrap();
    queries::stock(server, &[product]).unwrap().remove(0).unwrap().unwrap()
}

#[test]
fn a_walk_over_the_stock_finds_skus_that_only_have_a_floor_and_is_low_by_what_can_be_reserved() {
    let mut shop = shop("10");
    shop.settings.low_stock_threshold = 5;
    done(&mut shop, "INV.FLOOR Q -20");
    done(&mut shop, "INV.FLOOR R 1");
    done(&mut shop, "INV.FLOOR P 6");
    let listed = |shop: &mut Simulation, words: &str| {
        let answer = ask(shop, words);
        let mut products: Vec<String> =
            answer.split("; ").map(|entry| entry.split(' ').next().unwrap().to_owned()).collect();
        products.sort_unstable();
        products.dedup();
        products.join(" ")
    };
    assert_eq!(listed(&mut shop, "INV.STOCKSCAN 0 COUNT 100"), "P Q R");
    assert_eq!(listed(&mut shop, "INV.STOCKSCAN 0 COUNT 100 LOW"), "P R");
}

#[test]
fn a_repair_and_a_release_leave_negative_counters_right() {
    let mut shop = Simulation::new();
    done(&mut shop, "INV.FLOOR P -10");
    for id in ["A", "B"] {
        done(&mut shop, &format!("INV.RESERVE {id} PX 1000 ITEMS P 4"));
    }
    assert_eq!(counters(&shop, "P"), (-8, 8));
    assert_eq!(done(&mut shop, "INV.AUDIT P"), "8 8");
    // Another client has written the counter. Three more units are reserved than reservations hold.
    shop.client(&["INCRBY", "stock:reserved:P", "3"]);
    assert_eq!(done(&mut shop, "INV.REPAIR P FORCE"), "11 8");
    assert_eq!(counters(&shop, "P"), (-5, 8));
    shop.client(&["DECRBY", "stock:reserved:P", "2"]);
    assert_eq!(done(&mut shop, "INV.REPAIR P"), "6 8");
    assert_eq!(counters(&shop, "P"), (-7, 8));
    shop.advance(1001);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), (1, 0));
}

#[test]
fn a_load_without_the_records_returns_units_that_were_promised_before_they_arrived() {
    let mut shop = shop("1");
    done(&mut shop, "INV.FLOOR P -10");
    done(&mut shop, "INV.RESERVE C PX 1000 ITEMS P 5");
    assert_eq!(counters(&shop, "P"), (-4, 5));
    shop.advance(1001);
    shop.restart(true);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), (1, 0));
}

#[test]
fn a_repair_tells_only_of_promises_beyond_the_floor() {
    let told = |floor: &str| {
        let mut shop = shop("0");
        done(&mut shop, &format!("INV.FLOOR P {floor}"));
        done(&mut shop, "INV.ADJUST P 4");
        done(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 4");
        shop.client(&["DECRBY", "stock:reserved:P", "2"]);
        done(&mut shop, "INV.REPAIR P");
        assert_eq!(counters(&shop, "P"), (-2, 4));
        shop.log.join("\n").contains("more units than there are")
    };
    assert!(told("0"));
    assert!(!told("-2"));
}

/// A shop with P in an open and a closed warehouse.
fn with_returns(open: i64, returns: i64) -> Simulation {
    let mut shop = shop("0");
    done(&mut shop, "INV.WAREHOUSES P SET A 1 RETURNS closed");
    done(&mut shop, &format!("INV.ADJUST P@A {open}"));
    done(&mut shop, &format!("INV.ADJUST P@RETURNS {returns}"));
    shop.take_stream();
    shop
}

#[test]
fn a_closed_place_gives_units_only_if_it_is_named() {
    let mut shop = with_returns(3, 5);
    let until = BEGIN + 900_000;
    for split in ["priority", "fewest", "none"] {
        assert_eq!(
            ask(&mut shop, &format!("INV.RESERVE A SPLIT {split} ITEMS P 4")),
            "INSUFFICIENT P requested 4, available 3"
        );
    }
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A ITEMS P 3 P@RETURNS 2"),
        format!("OK {until} P@A 3 P@RETURNS 2")
    );
    assert_eq!(
        ask(&mut shop, "INV.RESERVE B PARTIAL ITEMS P 4"),
        "INSUFFICIENT P requested 4, available 0",
        "nothing of a closed place is taken in part"
    );
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(counters(&shop, "P@RETURNS"), (3, 0));
}

#[test]
fn the_stock_leaves_a_closed_place_out_but_counts_it_on_hand_and_shows_it() {
    let mut shop = with_returns(3, 5);
    done(&mut shop, "INV.RESERVE A ITEMS P@RETURNS 2 P@A 1");
    let StockView { units, warehouses, .. } = stock(&mut shop, "P");
    assert_eq!((units.available, units.reserved, units.on_hand, units.reservable), (2, 3, 8, 2));
    let shown: Vec<_> = warehouses
        .iter()
        .map(|(place, units)| (place.sku.as_str(), place.is_closed(), units.available, units.reservable))
        .collect();
    assert_eq!(shown, [("P@A", false, 2, 2), ("P@RETURNS", true, 3, 3)]);
    done(&mut shop, "INV.RESERVE B ITEMS P 2");
    shop.settings.low_stock_threshold = 0;
    assert_eq!(ask(&mut shop, "INV.STOCKSCAN 0 COUNT 100 LOW"), "P 0 5 0");
}

#[test]
fn a_closed_place_is_stored_with_the_score_infinity_and_replicated_as_closed() {
    let mut shop = shop("0");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.WAREHOUSES P SET A 1 B CLOSED");
    done(&mut shop, "INV.WAREHOUSES P SET B CLOSED");
    let stream = shop.take_stream();
    assert_eq!(
        stream,
        [vec![
            "INV.APPLY 1 RANK P@A 1 0 CLOSED P@B 0 0 CLEAR P 0 0"
                .split(' ')
                .map(str::to_owned)
                .collect::<Vec<_>>()
        ]]
    );
    let Value::SortedSet(members) = &shop.data["stock:warehouses:P"].value else { panic!("no set") };
    assert_eq!(members["B"], f64::INFINITY);
    replica.receive(&stream);
    assert_eq!(replica.data, shop.data);
}

#[test]
fn opening_and_closing_a_place_raises_alerts() {
    let mut shop = with_returns(3, 5);
    done(&mut shop, "INV.THRESHOLD P 3");
    let steps = [
        "INV.WAREHOUSES P SET RETURNS 2",
        "INV.WAREHOUSES P SET RETURNS 3",
        "INV.WAREHOUSES P SET RETURNS CLOSED",
        "INV.WAREHOUSES P SET A CLOSED",
        "INV.WAREHOUSES P SET RETURNS 2",
    ];
    assert_eq!(
        raised(&mut shop, &steps),
        [alert("LOW_STOCK", 3), alert("OUT_OF_STOCK", 0), alert("BACK_IN_STOCK", 5)]
    );
    // What moves in a closed place is not seen by the storefront.
    assert_eq!(raised(&mut shop, &["INV.RESERVE A ITEMS P@A 3"]), []);
}

#[test]
fn a_place_that_is_removed_takes_what_could_be_reserved_with_it() {
    let mut shop = warehouses(0, 2);
    done(&mut shop, "INV.THRESHOLD P 2");
    assert_eq!(raised(&mut shop, &["INV.FLOOR P@A -3"]), []);
    assert_eq!(raised(&mut shop, &["INV.WAREHOUSES P DEL A"]), [alert("LOW_STOCK", 2)]);
}

#[test]
fn overdue_units_of_a_closed_place_are_not_released_for_the_product() {
    let mut shop = with_returns(1, 5);
    done(&mut shop, "INV.RESERVE A PX 10 ITEMS P@RETURNS 5");
    shop.advance(11);
    assert!(ask(&mut shop, "INV.RESERVE B ITEMS P 2").starts_with("INSUFFICIENT P requested 2, available 1"));
    assert_eq!(counters(&shop, "P@RETURNS"), (0, 5));
    done(&mut shop, "INV.RESERVE B ITEMS P@RETURNS 2");
    assert_eq!(counters(&shop, "P@RETURNS"), (3, 2));
}

#[test]
fn a_warehouse_that_is_being_emptied_keeps_its_holds_but_gives_nothing_new() {
    let mut shop = warehouses(5, 1);
    done(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 3");
    done(&mut shop, "INV.RESERVE B PX 1000 ITEMS P 2");
    done(&mut shop, "INV.WAREHOUSES P SET A CLOSED");
    done(&mut shop, "INV.ROLLBACK B");
    assert_eq!(ask(&mut shop, "INV.RESERVE C ITEMS P 2"), "INSUFFICIENT P requested 2, available 1");
    // A cart can shrink, or keep what it holds there.
    let until = BEGIN + 1000;
    assert_eq!(ask(&mut shop, "INV.REPLACE A A ITEMS P 2"), format!("OK {until} P@B 1 P@A 1"));
    assert_eq!(ask(&mut shop, "INV.REPLACE A A ITEMS P 3"), "INSUFFICIENT P requested 3, available 2");
    done(&mut shop, "INV.TRANSFER P A B 4");
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.WAREHOUSES P DEL A");
    assert_eq!(counters(&shop, "P@B"), (4, 0));
}

#[test]
fn units_are_not_reserved_from_a_place_that_is_not_in_the_set_but_holds_there_end() {
    let mut shop = warehouses(5, 5);
    done(&mut shop, "INV.RESERVE A ITEMS P@A 2");
    done(&mut shop, "INV.RESERVE B ITEMS P@A 1");
    shop.client(&["ZREM", "stock:warehouses:P", "A"]);
    let refused = "ERR P has no warehouse A: add it with INV.WAREHOUSES P SET A priority";
    assert_eq!(ask(&mut shop, "INV.RESERVE C ITEMS P@A 1"), refused);
    assert_eq!(ask(&mut shop, "INV.FLOOR P@A 1"), refused);
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.ROLLBACK B");
    assert_eq!(ask(&mut shop, "INV.AUDITSCAN 0 COUNT 100"), "P@A 0 3", "the walk lists what is stray");
    assert_eq!(counters(&shop, "P@A"), (3, 0));
}

#[test]
fn a_cart_keeps_or_shrinks_what_it_holds_in_a_place_that_is_no_longer_in_the_set() {
    let mut shop = warehouses(5, 5);
    let until = BEGIN + 900_000;
    done(&mut shop, "INV.RESERVE A ITEMS P@A 3");
    shop.client(&["ZREM", "stock:warehouses:P", "A"]);
    let refused = "ERR P has no warehouse A: add it with INV.WAREHOUSES P SET A priority";
    assert_eq!(ask(&mut shop, "INV.REPLACE A A ITEMS P@A 4"), refused);
    assert_eq!(ask(&mut shop, "INV.REPLACE A A ITEMS P@A 3 P 1"), format!("OK {until} P@A 3 P@B 1"));
    assert_eq!(ask(&mut shop, "INV.REPLACE A B ITEMS P@A 2"), format!("OK {until} P@A 2"));
    assert_eq!(ask(&mut shop, "INV.REPLACE B B ITEMS P@A 3"), refused, "what was given up is gone");
    assert_eq!((counters(&shop, "P@A"), counters(&shop, "P@B")), ((3, 2), (5, 0)));
}

/// Warehouses, each with its available units, its floor and whether it is closed, and the units that are asked for.
fn question() -> impl Strategy<Value = (Vec<(i64, i64, bool)>, i64)> {
    let place = (-3..=6_i64, prop_oneof![2 => Just(0_i64), 3 => -4..=5_i64], prop::bool::weighted(0.2));
    (prop::collection::vec(place, 1..=5), 1..=12_i64)
}

/// What is taken from each place, by trying everything: the first, by the rules of the split, of the ways to take `wanted`
/// units that leave each place its floor and take nothing from closed ones.
fn by_trying(places: &[(i64, i64, bool)], wanted: i64, split: Split) -> Option<Vec<i64>> {
    let mut ways: Vec<Vec<i64>> = vec![vec![]];
    for (available, floor, is_closed) in places {
        let most = if *is_closed { 0 } else { wanted };
        let more = |way: &Vec<i64>| {
            let units = (0..=most).filter(|units| *units == 0 || available - units >= *floor);
            units.map(|units| [way.as_slice(), &[units]].concat()).collect::<Vec<_>>()
        };
        ways = ways.iter().flat_map(more).collect();
    }
    ways.retain(|way| way.iter().sum::<i64>() == wanted);
    let used = |way: &[i64]| way.iter().filter(|units| **units > 0).count();
    let taken_first = |way: &[i64]| way.iter().map(|units| -units).collect::<Vec<_>>();
    let members = |way: &[i64]| way.iter().map(|units| *units == 0).collect::<Vec<_>>();
    match split {
        Split::Priority => ways.into_iter().min_by_key(|way| taken_first(way)),
        Split::Fewest => ways.into_iter().min_by_key(|way| (used(way), members(way), taken_first(way))),
        Split::None => ways.into_iter().filter(|way| used(way) == 1).min_by_key(|way| taken_first(way)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_other_way_to_take_units_above_the_floors_comes_first((places, wanted) in question()) {
        for split in [Split::Priority, Split::Fewest, Split::None] {
            let mut shop = Simulation::new();
            for (index, (available, floor, is_closed)) in places.iter().enumerate() {
                shop.client(&["SET", &format!("stock:available:P@{index}"), &available.to_string()]);
                let order = if *is_closed { "CLOSED".to_owned() } else { index.to_string() };
                done(&mut shop, &format!("INV.WAREHOUSES P SET {index} {order}"));
                done(&mut shop, &format!("INV.FLOOR P@{index} {floor}"));
            }
            let answer = ask(&mut shop, &format!("INV.RESERVE A SPLIT {} ITEMS P {wanted}", split.name()));
            let expected = by_trying(&places, wanted, split).map(|units| {
                let taken = units.iter().enumerate().filter(|(_, units)| **units > 0);
                taken.map(|(index, units)| format!(" P@{index} {units}")).collect::<String>()
            });
            let taken = answer.strip_prefix(&format!("OK {}", BEGIN + 900_000)).map(str::to_owned);
            prop_assert_eq!(taken, expected, "{:?} {}: {}", split, wanted, answer);
        }
    }
}

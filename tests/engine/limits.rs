//! Limits per buyer: how many units of a product each buyer may hold and have bought.

use redis_inventory::engine::keyspace::LoadRepair;
use redis_inventory::inventory::sku::{KeyStyle, Sku};

use super::floors::{ask, counters, done, looks, sent};
use super::simulation::{BEGIN, Simulation, Value};

/// A shop with ten units of P, of which each buyer may have two.
fn shop() -> Simulation {
    let mut shop = unlimited();
    done(&mut shop, "INV.LIMIT P 2");
    shop.take_stream();
    shop
}

fn unlimited() -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    shop.client(&["SET", "stock:available:P", "10"]);
    shop.client(&["SET", "stock:available:Q", "10"]);
    // The first reservation marks the database.
    done(&mut shop, "INV.RESERVE first PX 60000 ITEMS Q 1");
    done(&mut shop, "INV.ROLLBACK first");
    shop.take_stream();
    shop
}

/// The counters of the quota of ann for P; `None` if they do not exist.
fn quota(shop: &Simulation) -> Option<(i64, i64)> {
    let counter = |kind: &str| shop.number(&format!("stock:{kind}:P@@ann"));
    Some((counter("available")?, counter("reserved")?))
}

fn sku(name: &str) -> Sku {
    Sku::parse_any(name.as_bytes(), KeyStyle::Plain).unwrap()
}

fn held(shop: &Simulation, name: &str) -> i64 {
    shop.memory().holds.held_by_others(&sku(name), 0)
}

/// Asserts that a replica that receives the stream has the same data.
fn assert_replicated(work: impl FnOnce(&mut Simulation)) {
    let mut master = shop();
    let mut replica = Simulation::replica_of(&master);
    work(&mut master);
    replica.receive(&master.take_stream());
    assert_eq!(replica.data, master.data);
    assert_eq!(held(&replica, "P@@ann"), held(&master, "P@@ann"));
}

// --- the check ---

#[test]
fn a_buyer_may_hold_and_have_bought_as_many_units_as_the_limit_says() {
    let mut shop = shop();
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 3"),
        "LIMIT P buyer ann requested 3, may take 2 more (limit 2)"
    );
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 1 0 1");
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 1 1");
    assert_eq!(
        ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 2"),
        "LIMIT P buyer ann requested 2, may take 1 more (limit 2)"
    );
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 1 1 0");
    done(&mut shop, "INV.RESERVE C BUYER bob ITEMS P 2 Q 5");
    assert_eq!(ask(&mut shop, "INV.QUOTA P bob"), "2 2 0 0");
    assert_eq!(ask(&mut shop, "INV.QUOTA Q bob"), "null 0 0 null");
    done(&mut shop, "INV.ROLLBACK B");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 1 1");
}

#[test]
fn a_buyer_name_may_contain_what_an_id_may() {
    let mut shop = shop();
    shop.client(&["SET", "stock:limit:Q", "1"]);
    for buyer in ["@ann", "ann@@shop", "{ann}", "stock:available:P"] {
        let id = format!("R-{buyer}");
        done(&mut shop, &format!("INV.RESERVE {id} BUYER {buyer} ITEMS P 2 Q 1"));
        assert_eq!(ask(&mut shop, &format!("INV.QUOTA P {buyer}")), "2 2 0 0", "{buyer}");
        assert_eq!(counters(&shop, &format!("P@@{buyer}")), (-2, 2), "{buyer}");
        done(&mut shop, &format!("INV.ROLLBACK {id}"));
        assert_eq!(shop.number(&format!("stock:available:P@@{buyer}")), None, "{buyer}");
    }
}

#[test]
fn a_buyer_name_with_a_space_is_quoted_in_the_refusal() {
    let mut shop = shop();
    let words = ["INV.RESERVE", "A", "BUYER", "ann lee", "ITEMS", "P", "3"];
    let refused = shop.command("", |shop| super::calls::call(shop, &words)).unwrap_err();
    assert_eq!(refused.to_string(), "LIMIT P buyer \"ann lee\" requested 3, may take 2 more (limit 2)");
}

#[test]
fn while_a_limit_is_set_a_reservation_names_its_buyer() {
    let mut shop = shop();
    let before = shop.data.clone();
    let refused = ask(&mut shop, "INV.RESERVE A ITEMS Q 1 P 1");
    assert_eq!(
        refused,
        "ERR P has a limit of 2 units for each buyer: name the buyer, as in INV.RESERVE id BUYER buyer ITEMS P 1"
    );
    assert_eq!(ask(&mut shop, "INV.RESERVE A PARTIAL ITEMS Q 1 P 1"), refused);
    assert_eq!(shop.data, before);
    done(&mut shop, "INV.RESERVE A ITEMS Q 1");
}

#[test]
fn without_a_limit_the_buyer_is_only_remembered() {
    let mut shop = unlimited();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 5");
    assert_eq!(quota(&shop), None);
    let record = shop.stored("reservation:A").unwrap();
    assert!(record.ends_with(r#""buyer":"ann"}"#), "{record}");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "null 0 0 null");
}

#[test]
fn the_places_of_a_product_and_repeated_lines_count_together() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:P", "0"]);
    done(&mut shop, "INV.WAREHOUSES P SET A 1 B 2");
    done(&mut shop, "INV.ADJUST P@A 5");
    done(&mut shop, "INV.ADJUST P@B 5");
    let refused = |units| format!("LIMIT P buyer ann requested {units}, may take 2 more (limit 2)");
    assert_eq!(ask(&mut shop, "INV.RESERVE R BUYER ann ITEMS P@A 2 P@B 1"), refused(3));
    assert_eq!(ask(&mut shop, "INV.RESERVE R BUYER ann ITEMS P 2 P@B 2"), refused(4));
    assert_eq!(ask(&mut shop, "INV.RESERVE R BUYER ann ITEMS P@A 1 P@A 2"), refused(3));
    done(&mut shop, "INV.RESERVE R BUYER ann ITEMS P@A 1 P@B 1");
    assert_eq!(quota(&shop), Some((-2, 2)));
    let most = i64::from(u32::MAX) * 1_000_000;
    let sum = ask(&mut shop, &format!("INV.RESERVE S BUYER bob ITEMS P@A {most} P@B {most}"));
    assert!(sum.starts_with("LIMIT P buyer bob requested"), "{sum}");
    let most = 9_007_199_254_740_991_i64;
    let sum = ask(&mut shop, &format!("INV.RESERVE S BUYER bob ITEMS P@A {most} P@B {most}"));
    assert!(sum.starts_with("ERR the quantities of P"), "{sum}");
}

#[test]
fn the_limit_is_judged_before_the_stock() {
    let mut shop = shop();
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A BUYER ann ITEMS Q 99 P 99"),
        "LIMIT P buyer ann requested 99, may take 2 more (limit 2)"
    );
    done(&mut shop, "INV.LIMIT P 100");
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A BUYER ann ITEMS Q 99 P 99"),
        "INSUFFICIENT Q requested 99, available 10; P requested 99, available 10"
    );
    // But after what forbids the step whatever the stock is.
    done(&mut shop, "INV.LIMIT P 2");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    assert!(ask(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 9").starts_with("MISMATCH"));
    assert!(ask(&mut shop, "INV.RESERVE B PXAT 1 BUYER ann ITEMS P 9").starts_with("ERR"));
}

#[test]
fn overdue_reservations_of_the_buyer_are_released_first() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 1");
    done(&mut shop, "INV.RESERVE B PX 50 BUYER bob ITEMS P 1");
    done(&mut shop, "INV.RESERVE C PX 5000 BUYER ann ITEMS P 1");
    shop.advance(60);
    assert_eq!(
        ask(&mut shop, "INV.RESERVE D BUYER ann ITEMS P 2"),
        "LIMIT P buyer ann requested 2, may take 1 more (limit 2)"
    );
    assert_eq!(quota(&shop), Some((-1, 1)));
    done(&mut shop, "INV.RESERVE D BUYER ann ITEMS P 1");
    assert_eq!(quota(&shop), Some((-2, 2)));
    assert_eq!(counters(&shop, "P@@bob"), (-1, 1), "the reservation of another buyer was released");
}

#[test]
fn until_the_index_is_complete_a_buyer_at_the_limit_tries_again() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.advance(60);
    shop.load_module();
    assert!(ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1").starts_with("TRYAGAIN"));
    assert!(ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 3").starts_with("LIMIT"));
    // The limit is read although nothing is known about it.
    assert!(ask(&mut shop, "INV.RESERVE B ITEMS P 1").starts_with("ERR P has a limit"));
    shop.walk_over(1000);
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
}

#[test]
fn partial_takes_what_the_limit_leaves_in_the_order_of_the_request() {
    let mut shop = shop();
    let at = BEGIN + 900_000;
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A PARTIAL BUYER ann ITEMS Q 2 P 3"),
        format!("OK {at} Q 2 P 2 short P 1")
    );
    assert_eq!(quota(&shop), Some((-2, 2)));
    assert_eq!(
        ask(&mut shop, "INV.RESERVE B PARTIAL BUYER ann ITEMS P 1 Q 1"),
        format!("OK {at} Q 1 short P 1")
    );
    assert_eq!(
        ask(&mut shop, "INV.RESERVE C PARTIAL BUYER ann ITEMS P 4"),
        "LIMIT P buyer ann requested 4, may take 0 more (limit 2)"
    );
    // Of two lines that the limit shortens, the first one is served first.
    let mut shop = self::shop();
    shop.client(&["SET", "stock:available:P", "0"]);
    done(&mut shop, "INV.WAREHOUSES P SET A 1 B 2 C 3");
    for (place, units) in [("A", 1), ("B", 9), ("C", 9)] {
        done(&mut shop, &format!("INV.ADJUST P@{place} {units}"));
    }
    done(&mut shop, "INV.LIMIT P 5");
    // A has only one of the units that the limit would leave for its line.
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A PARTIAL BUYER ann ITEMS P@A 4 P@B 3 P@C 3"),
        format!("OK {at} P@A 1 P@B 3 P@C 1 short P@A 3 P@C 2")
    );
    assert_eq!(quota(&shop), Some((-5, 5)));
}

#[test]
fn if_both_the_limit_and_the_stock_leave_nothing_the_limit_is_reported() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:P", "0"]);
    assert!(ask(&mut shop, "INV.RESERVE A PARTIAL BUYER ann ITEMS P 3").starts_with("LIMIT"));
    assert!(ask(&mut shop, "INV.RESERVE A PARTIAL BUYER ann ITEMS P 2").starts_with("INSUFFICIENT"));
}

#[test]
fn a_retry_takes_no_quota_again() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE A ITEMS P 2");
    assert_eq!(quota(&shop), Some((-2, 2)));
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(quota(&shop), Some((-2, 0)));
}

#[test]
fn a_refusal_changes_nothing() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    shop.take_stream();
    let before = shop.data.clone();
    for words in [
        "INV.RESERVE B BUYER ann ITEMS P 1",
        "INV.RESERVE B ITEMS P 1",
        "INV.RESERVE B PARTIAL BUYER ann ITEMS P 1",
        "INV.REPLACE A A BUYER ann ITEMS P 3",
        "INV.ADJUST P@@ann 1",
        "INV.ADJUST P@@ann -1",
        "INV.ADJUST Q@@ann -1",
    ] {
        let answer = ask(&mut shop, words);
        assert!(answer.starts_with("ERR") || answer.starts_with("LIMIT"), "{words}: {answer}");
        assert_eq!(shop.data, before, "{words}");
        assert_eq!(sent(&mut shop), Vec::<Vec<String>>::new(), "{words}");
    }
}

// --- the limit itself ---

#[test]
fn a_new_limit_takes_effect_at_once_for_everybody() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "1 2 0 0");
    assert_eq!(
        ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1"),
        "LIMIT P buyer ann requested 1, may take 0 more (limit 1)"
    );
    done(&mut shop, "INV.LIMIT P 3");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    done(&mut shop, "INV.LIMIT P 0");
    assert!(ask(&mut shop, "INV.RESERVE C BUYER bob ITEMS P 1").ends_with("may take 0 more (limit 0)"));
}

#[test]
fn off_ignores_what_is_left_and_counts_nothing() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P OFF");
    assert_eq!(shop.stored("stock:limit:P"), None);
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 3");
    done(&mut shop, "INV.RESERVE C ITEMS P 1");
    assert_eq!(quota(&shop), Some((-2, 2)));
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "null 2 0 null");
    // What was taken under the limit still returns.
    done(&mut shop, "INV.COMMIT B");
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(quota(&shop), None);
    assert!(!shop.memory().limits.may_have("P"));
}

#[test]
fn the_same_limit_again_is_not_replicated() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 2");
    done(&mut shop, "INV.LIMIT Q OFF");
    assert_eq!(sent(&mut shop), Vec::<Vec<String>>::new());
    done(&mut shop, "INV.LIMIT P 3");
    done(&mut shop, "INV.LIMIT P OFF");
    assert_eq!(
        sent(&mut shop),
        [["INV.APPLY", "1", "LIMIT", "P", "3", "0"], ["INV.APPLY", "1", "LIMIT", "P", "-1", "0"]]
    );
}

#[test]
fn a_limit_that_is_no_number_is_never_taken_for_none() {
    let mut shop = shop();
    for value in ["two", "2.0", "-1", ""] {
        shop.client(&["SET", "stock:limit:P", value]);
        for words in [
            "INV.RESERVE A BUYER ann ITEMS P 1",
            "INV.RESERVE A ITEMS P 1",
            "INV.LIMIT P 2",
            "INV.QUOTA P ann",
        ] {
            let answer = ask(&mut shop, words);
            assert!(answer.starts_with("WRONGTYPE key stock:limit:P holds"), "{value:?}: {answer}");
        }
    }
    shop.client(&["DEL", "stock:limit:P"]);
    shop.client(&["HSET", "stock:limit:P", "n", "2"]);
    assert!(ask(&mut shop, "INV.RESERVE A ITEMS P 1").starts_with("WRONGTYPE"));
    done(&mut shop, "INV.RESERVE A ITEMS Q 1");
}

#[test]
fn a_limit_that_another_client_sets_counts_at_once() {
    let mut shop = unlimited();
    shop.client(&["SET", "stock:limit:P", "1"]);
    assert!(ask(&mut shop, "INV.RESERVE A ITEMS P 1").starts_with("ERR P has a limit"));
    shop.client(&["RENAME", "stock:limit:P", "stock:limit:Q"]);
    done(&mut shop, "INV.RESERVE A ITEMS P 1");
    assert!(ask(&mut shop, "INV.RESERVE B ITEMS Q 1").starts_with("ERR Q has a limit"));
    shop.client(&["DEL", "stock:limit:Q"]);
    done(&mut shop, "INV.RESERVE B ITEMS Q 1");
}

#[test]
fn a_product_without_a_limit_costs_a_reservation_no_look_at_one() {
    let mut shop = shop();
    let seen = looks(&mut shop, "INV.RESERVE A BUYER ann ITEMS Q 1");
    assert!(seen.iter().all(|name| !name.contains("limit") && !name.contains("@@")), "{seen:?}");
    let seen = looks(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    assert!(seen.iter().any(|name| name == "stock:limit:P"), "{seen:?}");
    let seen = looks(&mut shop, "INV.COMMIT A");
    assert!(seen.iter().all(|name| !name.contains("@@")), "{seen:?}");
}

// --- what a reservation holds of a quota ---

#[test]
fn record_and_outcome_keep_quotas_apart_from_the_items() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS Q 1 P 2");
    let record = shop.stored("reservation:A").unwrap().to_owned();
    let items = r#""items":[{"product_id":"Q","quantity":1},{"product_id":"P","quantity":2}]"#;
    let quota = r#""buyer":"ann","quota":[{"product_id":"P","quantity":2}]}"#;
    assert!(record.contains(items) && record.ends_with(quota), "{record}");
    assert_eq!(held(&shop, "P@@ann"), 2);
    done(&mut shop, "INV.COMMIT A");
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    assert!(outcome.contains(items) && outcome.ends_with(quota), "{outcome}");
    assert_eq!(held(&shop, "P@@ann"), 0);
    assert_eq!(ask(&mut shop, "INV.GET A"), "committed");
}

#[test]
fn a_step_by_parts_moves_the_quota_of_what_it_moves() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 6");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 5 Q 2");
    done(&mut shop, "INV.COMMIT A ITEMS P 2 Q 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "6 3 2 1");
    done(&mut shop, "INV.ROLLBACK A ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "6 2 2 2");
    done(&mut shop, "INV.COMMIT A ITEMS Q 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "6 2 2 2");
    assert_eq!(held(&shop, "P@@ann"), 2);
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "6 0 2 4");
    assert_eq!(quota(&shop), Some((-2, 0)));
}

#[test]
fn parts_of_several_places_move_the_quota_of_their_product() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:P", "0"]);
    done(&mut shop, "INV.WAREHOUSES P SET A 1 B 2");
    done(&mut shop, "INV.ADJUST P@A 2");
    done(&mut shop, "INV.ADJUST P@B 5");
    done(&mut shop, "INV.LIMIT P 5");
    done(&mut shop, "INV.RESERVE R BUYER ann ITEMS P 4");
    done(&mut shop, "INV.COMMIT R ITEMS P 3");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "5 1 3 1");
    done(&mut shop, "INV.ROLLBACK R ITEMS P@B 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "5 0 3 2");
}

#[test]
fn a_deadline_gives_the_quota_back_and_deletes_counters_that_are_0() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.take_stream();
    shop.advance(60);
    shop.sweep();
    assert_eq!(shop.number("stock:available:P@@ann"), None);
    assert_eq!(shop.number("stock:reserved:P@@ann"), None);
    assert_eq!((held(&shop, "P@@ann"), counters(&shop, "P")), (0, (10, 0)));
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    assert!(outcome.contains(r#""returned":[{"product_id":"P","quantity":2}]"#), "{outcome}");
    let sent = sent(&mut shop);
    for words in [
        ["INCRBY", "stock:available:P@@ann", "2"].as_slice(),
        &["DECRBY", "stock:reserved:P@@ann", "2"],
        &["DEL", "stock:available:P@@ann"],
        &["DEL", "stock:reserved:P@@ann"],
    ] {
        assert!(sent.iter().any(|command| command == words), "{words:?} in {sent:?}");
    }
}

#[test]
fn a_new_deadline_changes_no_quota() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P 1");
    done(&mut shop, "INV.EXTEND A PX 5000");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (Some((-2, 2)), 2));
    shop.advance(60);
    shop.sweep();
    assert_eq!(quota(&shop), Some((-2, 2)));
}

#[test]
fn a_late_commit_takes_the_quota_again() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE B PX 50 BUYER ann ITEMS Q 2");
    shop.advance(60);
    shop.sweep();
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 0 2");
    done(&mut shop, "INV.COMMIT A LATE");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 2 0");
    assert_eq!(shop.number("stock:reserved:P@@ann"), None);
    done(&mut shop, "INV.COMMIT B LATE");
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    assert!(outcome.ends_with(r#""quota":[{"product_id":"P","quantity":2}]}"#), "{outcome}");
}

#[test]
fn a_late_commit_is_refused_if_the_buyer_has_bought_meanwhile() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.advance(60);
    shop.sweep();
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    let before = shop.data.clone();
    assert_eq!(
        ask(&mut shop, "INV.COMMIT A LATE"),
        "LIMIT P buyer ann requested 2, may take 1 more (limit 2)"
    );
    assert_eq!(shop.data, before);
    done(&mut shop, "INV.LIMIT P 3");
    done(&mut shop, "INV.COMMIT A LATE");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "3 1 2 0");
}

#[test]
fn a_late_commit_of_nobody_is_refused_while_a_limit_is_set() {
    let mut shop = unlimited();
    done(&mut shop, "INV.RESERVE A PX 50 ITEMS P 2");
    shop.advance(60);
    shop.sweep();
    done(&mut shop, "INV.LIMIT P 5");
    assert_eq!(
        ask(&mut shop, "INV.COMMIT A LATE"),
        "ERR P has a limit of 5 units for each buyer, and reservation A names none: make a new one with BUYER"
    );
    done(&mut shop, "INV.LIMIT P OFF");
    done(&mut shop, "INV.COMMIT A LATE");
}

#[test]
fn what_was_reserved_before_the_limit_does_not_count() {
    let mut shop = unlimited();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 3");
    done(&mut shop, "INV.LIMIT P 2");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 0 2");
    done(&mut shop, "INV.RESERVE A ITEMS P 3");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 2");
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 2 0 0");
}

// --- giving back is clamped ---

#[test]
fn counters_that_were_deleted_do_not_come_back() {
    for end in [
        "INV.COMMIT A",
        "INV.ROLLBACK A",
        "INV.COMMIT A ITEMS P 1",
        "INV.MCOMMIT A",
        "INV.MROLLBACK A",
        "WAIT",
    ] {
        let mut shop = shop();
        done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
        shop.client(&["DEL", "stock:available:P@@ann"]);
        shop.client(&["DEL", "stock:reserved:P@@ann"]);
        if end == "WAIT" {
            shop.advance(60);
            shop.sweep();
        } else {
            assert_eq!(done(&mut shop, end), "OK", "{end}");
        }
        let left: Vec<&String> = shop.data.keys().filter(|name| name.contains("@@")).collect();
        assert!(left.is_empty(), "{end}: {left:?}");
        assert!(shop.data.contains_key("inventory:managed"), "{end}: the mark is gone");
    }
}

#[test]
fn a_quota_that_cannot_be_read_at_the_deadline_is_given_back_when_it_can() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.client(&["SET", "stock:available:P@@ann", "-2.0"]);
    shop.advance(60);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), (10, 0), "the units do not wait for it");
    assert_eq!(shop.memory().blocked.count(), 1);
    shop.client(&["SET", "stock:available:P@@ann", "-2"]);
    shop.sweep();
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (None, 0), "both are 0, so they are deleted");
    assert_eq!(shop.memory().blocked.count(), 0);
    // Deleted counters forget the buyer.
    done(&mut shop, "INV.RESERVE B PX 50 BUYER ann ITEMS P 1");
    shop.client(&["SET", "stock:reserved:P@@ann", "one"]);
    shop.advance(60);
    shop.sweep();
    shop.client(&["DEL", "stock:reserved:P@@ann"]);
    shop.client(&["DEL", "stock:available:P@@ann"]);
    shop.sweep();
    assert_eq!((quota(&shop), shop.memory().blocked.count()), (None, 0));
}

#[test]
fn no_more_is_given_back_than_the_counter_has_beyond_the_other_holds() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 9");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 3");
    shop.client(&["SET", "stock:reserved:P@@ann", "4"]);
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(quota(&shop), Some((-4, 3)));
    done(&mut shop, "INV.COMMIT B");
    assert_eq!(quota(&shop), Some((-4, 0)));
    assert_eq!(counters(&shop, "P"), (7, 0));
}

#[test]
fn available_never_rises_above_minus_what_is_held() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 9");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 3");
    // An operator forgets what was bought.
    shop.client(&["SET", "stock:available:P@@ann", "-3"]);
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(quota(&shop), Some((-3, 3)));
    shop.client(&["DEL", "stock:available:P@@ann"]);
    done(&mut shop, "INV.ROLLBACK B");
    assert_eq!(shop.number("stock:reserved:P@@ann"), None);
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "9 0 0 9");
}

#[test]
fn a_quota_that_cannot_be_read_keeps_no_sale_from_ending() {
    for end in ["INV.COMMIT A", "INV.ROLLBACK A", "INV.MCOMMIT A", "WAIT"] {
        let mut shop = shop();
        done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
        shop.client(&["SET", "stock:reserved:P@@ann", "many"]);
        assert!(ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1").starts_with("WRONGTYPE"));
        if end == "WAIT" {
            shop.advance(60);
            shop.sweep();
        } else {
            assert_eq!(done(&mut shop, end), "OK", "{end}");
        }
        assert_eq!(shop.number("stock:reserved:P"), Some(0), "{end}");
        // After a deadline, the quota waits until it can be read.
        let waiting = if end == "WAIT" { 2 } else { 0 };
        assert_eq!(held(&shop, "P@@ann"), waiting, "{end}");
    }
}

#[test]
fn a_counter_with_a_ttl_is_left_to_its_ttl() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.client(&["PEXPIREAT", "stock:available:P@@ann", &(BEGIN + 1000).to_string()]);
    shop.advance(60);
    shop.sweep();
    assert_eq!(quota(&shop), Some((0, 0)));
    shop.advance(1000);
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 2");
}

// --- one unit is forgiven ---

#[test]
fn a_return_is_forgiven_with_adjust() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 3");
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "3 1 2 0");
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann 1 ONCE return-7"), "-2");
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann 1 ONCE return-7"), "-2");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "3 1 1 1");
    assert_eq!(
        ask(&mut shop, "INV.ADJUST P@@ann 2"),
        "ERR buyer ann holds 1 and has bought 1 units of P: at most 1 can be forgiven"
    );
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann 1"), "-1");
    assert!(ask(&mut shop, "INV.ADJUST P@@ann 1").ends_with("at most 0 can be forgiven"));
    done(&mut shop, "INV.ROLLBACK B");
    assert_eq!(quota(&shop), None);
}

#[test]
fn the_last_return_deletes_the_counters() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann 2"), "0");
    assert!(shop.data.keys().all(|name| !name.contains("@@")));
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann 0"), "0");
    assert!(ask(&mut shop, "INV.ADJUST P@@ann 1").starts_with("ERR buyer ann holds 0 and has bought 0"));
    assert!(shop.data.keys().all(|name| !name.contains("@@")));
}

#[test]
fn a_purchase_elsewhere_is_charged_with_adjust() {
    let mut shop = shop();
    assert_eq!(ask(&mut shop, "INV.ADJUST P@@ann -1"), "-1");
    assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "2 0 1 1");
    assert_eq!(
        ask(&mut shop, "INV.ADJUST P@@ann -2"),
        "LIMIT P buyer ann requested 2, may take 1 more (limit 2)"
    );
    assert!(ask(&mut shop, "INV.ADJUST Q@@ann -1").starts_with("ERR Q has no limit"));
}

#[test]
fn a_quota_whose_counter_would_overflow_refuses_the_reservation() {
    let mut shop = shop();
    shop.client(&["SET", "stock:reserved:P@@ann", &i64::MAX.to_string()]);
    let answer = ask(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    assert!(answer.starts_with("ERR"), "{answer}");
    assert_eq!(shop.number("stock:reserved:P@@ann"), Some(i64::MAX));
    assert_eq!(shop.stored("reservation:A"), None);
}

#[test]
fn a_quota_takes_no_note() {
    let mut shop = shop();
    shop.settings.feed_maxlen = 100;
    done(&mut shop, "INV.ADJUST P@@ann -1");
    assert!(
        ask(&mut shop, "INV.ADJUST P@@ann 1 NOTE returned")
            .starts_with("ERR NOTE cannot be used with P@@ann")
    );
}

// --- quotas are no products ---

#[test]
fn only_adjust_audit_and_repair_accept_a_quota() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    for words in [
        "INV.RESERVE B BUYER ann ITEMS P@@ann 1",
        "INV.MRESERVE 1 B 1 P@@ann 1",
        "INV.REPLACE A A ITEMS P@@ann 1",
        "INV.COMMIT A ITEMS P@@ann 1",
        "INV.ROLLBACK A ITEMS P@@ann 1",
        "INV.SET P@@ann AVAILABLE 1",
        "INV.FLOOR P@@ann 1",
        "INV.STOCK P@@ann",
        "INV.LIMIT P@@ann 1",
        "INV.QUOTA P@@ann ann",
        "INV.THRESHOLD P@@ann 1",
        "INV.WAREHOUSES P@@ann SET A 1",
        "INV.TRANSFER P@@ann A B 1",
        "INV.SCAN 0 PRODUCT P@@ann",
        "INV.ALERTS PRODUCT P@@ann",
    ] {
        assert!(ask(&mut shop, words).starts_with("ERR"), "{words}");
    }
    assert_eq!(ask(&mut shop, "INV.AUDIT P@@ann"), "2 2");
    assert_eq!(ask(&mut shop, "INV.REPAIR P@@ann"), "2 2");
    assert_eq!(ask(&mut shop, "INV.AUDIT P@@bob"), "null");
}

#[test]
fn quotas_raise_no_alerts_make_no_feed_entries_and_are_in_no_walk_over_products() {
    let mut shop = shop();
    shop.settings.feed_maxlen = 100;
    shop.settings.low_stock_threshold = 5;
    shop.settings.alert_cooldown_ms = 0;
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE B PX 50 BUYER bob ITEMS P 2");
    done(&mut shop, "INV.RESERVE C BUYER cid ITEMS P 2");
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.ADJUST P@@ann 1");
    done(&mut shop, "INV.MCOMMIT C");
    shop.advance(60);
    shop.sweep();
    done(&mut shop, "INV.REPAIR P@@ann");
    let Value::Stream(entries) = &shop.data["inventory:feed"].value else { panic!("no feed") };
    assert!(entries.iter().all(|entry| !entry.contains("@@")), "{entries:?}");
    assert_eq!(ask(&mut shop, "INV.STOCKSCAN 0 COUNT 100"), "P 6 0 6; Q 10 0 10");
    assert!(shop.data.keys().all(|name| !name.starts_with("alert:") || name.starts_with("alert:P:")));
    assert!(shop.published.iter().all(|(_, message)| !message.contains("@@")));
}

// --- audit, repair, loads ---

#[test]
fn audit_and_repair_work_for_a_quota_as_for_a_sku() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    shop.client(&["SET", "stock:reserved:P@@ann", "2"]);
    shop.client(&["SET", "stock:available:P@@ann", "-2"]);
    assert_eq!(ask(&mut shop, "INV.AUDIT P@@ann"), "2 1");
    assert_eq!(ask(&mut shop, "INV.AUDITSCAN 0 COUNT 100"), "P@@ann 1 0");
    assert_eq!(ask(&mut shop, "INV.REPAIR P@@ann"), "2 1");
    assert_eq!(quota(&shop), Some((-1, 1)));
    // Counters that were deleted come back only here.
    shop.client(&["DEL", "stock:reserved:P@@ann"]);
    shop.client(&["DEL", "stock:available:P@@ann"]);
    assert_eq!(ask(&mut shop, "INV.REPAIR P@@ann"), "0 1");
    assert_eq!(quota(&shop), Some((-1, 1)));
    done(&mut shop, "INV.ROLLBACK A");
    assert_eq!(quota(&shop), None);
    shop.client(&["SET", "stock:reserved:P@@ann", "2"]);
    assert_eq!(ask(&mut shop, "INV.REPAIR P@@ann"), "2 0");
    assert!(shop.data.keys().all(|name| !name.contains("@@")));
}

#[test]
fn a_quota_that_another_client_writes_does_not_cost_the_mark() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    shop.client(&["INCRBY", "stock:reserved:P@@ann", "5"]);
    shop.client(&["DEL", "stock:reserved:P@@ann"]);
    shop.sweep();
    assert!(shop.data.contains_key("inventory:managed"));
}

#[test]
fn after_a_load_what_nothing_holds_of_a_quota_is_given_back() {
    for repair in [LoadRepair::Auto, LoadRepair::Return, LoadRepair::Report] {
        let mut shop = shop();
        shop.settings.load_repair = repair;
        done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 1");
        done(&mut shop, "INV.RESERVE B PX 5000 BUYER ann ITEMS P 1");
        done(&mut shop, "INV.RESERVE C PX 50 BUYER bob ITEMS P 1");
        shop.advance(60);
        // The due records are dropped without an event.
        shop.restart(true);
        shop.sweep();
        let returns = repair != LoadRepair::Report;
        assert_eq!(quota(&shop), Some(if returns { (-1, 1) } else { (-2, 2) }), "{repair:?}");
        assert_eq!(shop.number("stock:reserved:P@@bob"), (!returns).then_some(1), "{repair:?}");
    }
}

#[test]
fn a_record_that_another_client_deletes_gives_its_quota_back_at_its_deadline() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.client(&["DEL", "reservation:A"]);
    assert_eq!(quota(&shop), Some((-2, 2)));
    assert!(ask(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1").starts_with("LIMIT"));
    shop.advance(60);
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 2");
    assert_eq!((quota(&shop), counters(&shop, "P")), (Some((-2, 2)), (8, 2)));
}

#[test]
fn a_record_that_is_put_back_after_its_end_moves_no_quota() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 5000 BUYER ann ITEMS P 2");
    let record = shop.stored("reservation:A").unwrap().to_owned();
    done(&mut shop, "INV.COMMIT A");
    shop.client(&["SET", "reservation:A", &record, "PXAT", &(BEGIN + 5000).to_string()]);
    assert_eq!(held(&shop, "P@@ann"), 0);
    shop.advance(6000);
    shop.sweep();
    assert_eq!(quota(&shop), Some((-2, 0)));
}

#[test]
fn a_record_whose_outcome_is_forgotten_gives_back_only_what_no_other_holds() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 9");
    done(&mut shop, "INV.RESERVE A PX 5000 BUYER ann ITEMS P 2");
    let record = shop.stored("reservation:A").unwrap().to_owned();
    done(&mut shop, "INV.ROLLBACK A");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 3");
    shop.client(&["DEL", "inventory:outcome:A"]);
    shop.client(&["SET", "reservation:A", &record, "PXAT", &(BEGIN + 5000).to_string()]);
    assert_eq!(held(&shop, "P@@ann"), 5);
    shop.advance(6000);
    shop.sweep();
    assert_eq!((quota(&shop), counters(&shop, "P")), (Some((-3, 3)), (7, 3)));
}

#[test]
fn an_evicted_record_gives_its_quota_back() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 5000 BUYER ann ITEMS P 2");
    shop.client(&["EVICT", "reservation:A"]);
    assert_eq!(quota(&shop), None);
}

#[test]
fn a_record_that_was_overwritten_in_place_gives_back_what_the_index_knows() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
    shop.client(&["SET", "reservation:A", "cart"]);
    shop.client(&["DEL", "reservation:A"]);
    shop.advance(60);
    shop.sweep();
    assert_eq!((quota(&shop), counters(&shop, "P")), (None, (10, 0)));
}

// --- copies ---

#[test]
fn a_replica_has_the_same_quotas_and_decides_nothing() {
    assert_replicated(|shop| {
        done(shop, "INV.RESERVE A BUYER ann ITEMS P 2");
        done(shop, "INV.COMMIT A ITEMS P 1");
        done(shop, "INV.LIMIT P 1");
    });
    assert_replicated(|shop| {
        done(shop, "INV.RESERVE A BUYER ann ITEMS P 2");
        done(shop, "INV.ROLLBACK A");
        done(shop, "INV.LIMIT P OFF");
    });
    assert_replicated(|shop| {
        done(shop, "INV.RESERVE A PX 50 BUYER ann ITEMS P 2");
        shop.advance(60);
        shop.sweep();
        done(shop, "INV.COMMIT A LATE");
        done(shop, "INV.ADJUST P@@ann 1");
    });
    assert_replicated(|shop| {
        done(shop, "INV.RESERVE A BUYER ann ITEMS P 1");
        done(shop, "INV.RESERVE B BUYER ann ITEMS P 1");
        done(shop, "INV.MROLLBACK A B");
    });
    assert_replicated(|shop| {
        done(shop, "INV.RESERVE A BUYER ann ITEMS P 2");
        done(shop, "INV.REPLACE A B BUYER bob ITEMS P 1");
    });
}

#[test]
fn a_replica_that_is_promoted_knows_the_limits_and_the_quotas() {
    let mut master = shop();
    let mut replica = Simulation::replica_of(&master);
    done(&mut master, "INV.LIMIT Q 1");
    done(&mut master, "INV.RESERVE A PX 5000 BUYER ann ITEMS P 2 Q 1");
    replica.receive(&master.take_stream());
    assert_eq!(held(&replica, "P@@ann"), 2);
    replica.change_role();
    assert!(ask(&mut replica, "INV.RESERVE B BUYER ann ITEMS Q 1").starts_with("LIMIT Q buyer ann"));
    assert!(ask(&mut replica, "INV.RESERVE B ITEMS P 1").starts_with("ERR P has a limit"));
    done(&mut replica, "INV.ROLLBACK A");
    assert_eq!(quota(&replica), None);
}

#[test]
fn an_aof_is_replayed_without_a_look_at_the_limit() {
    let mut shop = shop();
    let base = shop.data.clone();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P 1");
    done(&mut shop, "INV.RESERVE B BUYER bob ITEMS P 1");
    done(&mut shop, "INV.MCOMMIT A B");
    let appended = shop.take_stream();
    let data = shop.data.clone();
    let again = Simulation::from_aof(&shop, &base, &appended);
    assert_eq!(again.data, data);
}

#[test]
fn the_end_of_a_reservation_with_a_quota_is_replicated_in_the_packed_form() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.COMMIT A");
    let sent = sent(&mut shop);
    assert_eq!(
        sent.iter().map(|command| command[1].as_str()).collect::<Vec<_>>(),
        ["3 HOLD", "3 CLOSE 86400000"]
    );
}

// --- batches ---

#[test]
fn an_element_of_a_batch_with_a_limited_product_is_refused_alone() {
    let mut shop = shop();
    let at = BEGIN + 900_000;
    let refused = "ERR P has a limit of 2 units for each buyer: name the buyer, as in INV.RESERVE id BUYER buyer ITEMS P 1";
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE 3 A 1 Q 1 B 2 Q 1 P 1 C 1 Q 1"),
        format!("OK {at} | {refused} | OK {at}")
    );
    assert_eq!(counters(&shop, "Q"), (8, 2));
}

#[test]
fn a_batch_that_ends_reservations_moves_their_quotas() {
    let mut shop = shop();
    done(&mut shop, "INV.LIMIT P 5");
    for (id, buyer) in [("A", "ann"), ("B", "ann"), ("C", "bob"), ("D", "ann")] {
        done(&mut shop, &format!("INV.RESERVE {id} BUYER {buyer} ITEMS P 1 Q 1"));
    }
    assert_eq!(ask(&mut shop, "INV.MROLLBACK A C A"), "OK | OK | OK");
    assert_eq!((quota(&shop), shop.number("stock:available:P@@bob")), (Some((-2, 2)), None));
    assert_eq!(ask(&mut shop, "INV.MROLLBACK B D"), "OK | OK");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (None, 0));
    assert_eq!(counters(&shop, "P"), (10, 0));
}

#[test]
fn a_batch_that_ends_one_hold_of_a_buyer_and_lets_another_expire_leaves_no_quota() {
    for first in ["A", "B"] {
        let mut shop = shop();
        done(&mut shop, "INV.LIMIT P 5");
        done(&mut shop, "INV.RESERVE A PX 5000 BUYER ann ITEMS P 2");
        done(&mut shop, "INV.RESERVE B PX 50 BUYER ann ITEMS P 2");
        let replica = Simulation::replica_of(&shop);
        shop.take_stream();
        shop.advance(51);
        // B is overdue, so its release is written at once, while the end of A is still collected.
        let second = if first == "A" { "B" } else { "A" };
        assert_eq!(ask(&mut shop, &format!("INV.MROLLBACK {first} {second}")), "OK | OK");
        assert_eq!((quota(&shop), held(&shop, "P@@ann")), (None, 0), "{first} first");
        assert_eq!(ask(&mut shop, "INV.QUOTA P ann"), "5 0 0 5");
        let mut replica = replica;
        replica.receive(&shop.take_stream());
        assert_eq!(replica.data, shop.data);
    }
}

// --- REPLACE ---

#[test]
fn a_cart_grows_within_the_limit_and_its_own_units_are_free() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    done(&mut shop, "INV.REPLACE A A ITEMS P 2 Q 1");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (Some((-2, 2)), 2));
    assert_eq!(
        ask(&mut shop, "INV.REPLACE A A ITEMS P 3"),
        "LIMIT P buyer ann requested 3, may take 2 more (limit 2)"
    );
    done(&mut shop, "INV.REPLACE A B ITEMS P 1");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (Some((-1, 1)), 1));
    done(&mut shop, "INV.REPLACE B B ITEMS Q 1");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (None, 0));
}

#[test]
fn a_cart_can_always_shrink_whatever_the_limit_is_now() {
    let mut shop = unlimited();
    done(&mut shop, "INV.RESERVE A ITEMS P 5");
    done(&mut shop, "INV.RESERVE B BUYER bob ITEMS P 5");
    done(&mut shop, "INV.LIMIT P 1");
    done(&mut shop, "INV.REPLACE A A ITEMS P 4 Q 1");
    done(&mut shop, "INV.REPLACE B B ITEMS P 4");
    assert!(ask(&mut shop, "INV.REPLACE A A ITEMS P 5").starts_with("ERR P has a limit of 1"));
    assert!(ask(&mut shop, "INV.REPLACE B B ITEMS P 5").starts_with("LIMIT P buyer bob requested 5"));
    let mut shop = self::shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P 0");
    done(&mut shop, "INV.REPLACE A A ITEMS P 2 Q 1");
    done(&mut shop, "INV.REPLACE A A ITEMS P 1");
    assert_eq!(quota(&shop), Some((-1, 1)));
    assert_eq!(
        ask(&mut shop, "INV.REPLACE A A ITEMS P 2"),
        "LIMIT P buyer ann requested 2, may take 1 more (limit 0)"
    );
}

#[test]
fn a_cart_that_goes_to_another_buyer_takes_from_that_buyers_quota() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.RESERVE B BUYER bob ITEMS P 1");
    assert_eq!(
        ask(&mut shop, "INV.REPLACE A A BUYER bob ITEMS P 2"),
        "LIMIT P buyer bob requested 2, may take 1 more (limit 2)"
    );
    done(&mut shop, "INV.REPLACE A A BUYER bob ITEMS P 1");
    assert_eq!((quota(&shop), counters(&shop, "P@@bob")), (None, (-2, 2)));
}

#[test]
fn two_carts_of_a_buyer_become_one() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 1");
    done(&mut shop, "INV.RESERVE B BUYER ann ITEMS P 1");
    done(&mut shop, "INV.REPLACE A B ITEMS P 2");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (Some((-2, 2)), 2));
    done(&mut shop, "INV.COMMIT B");
    assert_eq!(quota(&shop), Some((-2, 0)));
}

#[test]
fn a_change_with_partial_keeps_at_least_what_the_cart_held() {
    let mut shop = shop();
    let at = BEGIN + 900_000;
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P 1");
    assert_eq!(ask(&mut shop, "INV.REPLACE A A PARTIAL ITEMS P 4 Q 1"), format!("OK {at} P 2 Q 1 short P 2"));
    assert_eq!(quota(&shop), Some((-2, 2)));
}

#[test]
fn without_a_limit_a_change_gives_the_old_quota_back() {
    let mut shop = shop();
    done(&mut shop, "INV.RESERVE A BUYER ann ITEMS P 2");
    done(&mut shop, "INV.LIMIT P OFF");
    done(&mut shop, "INV.REPLACE A A ITEMS P 5");
    assert_eq!((quota(&shop), held(&shop, "P@@ann")), (None, 0));
}

// --- tagged keys ---

#[test]
fn in_tagged_style_the_quotas_of_a_product_are_in_its_slot() {
    let mut shop = Simulation::new();
    shop.style = KeyStyle::Tagged;
    shop.client(&["SET", "stock:available:{P}", "10"]);
    done(&mut shop, "INV.LIMIT P 2");
    done(&mut shop, "INV.RESERVE {P}:A BUYER a{n}n ITEMS P 2");
    assert_eq!(shop.number("stock:available:{P}@@a{n}n"), Some(-2));
    assert_eq!(shop.stored("stock:limit:{P}"), Some("2"));
    assert_eq!(ask(&mut shop, "INV.QUOTA {P} a{n}n"), "2 2 0 0");
    done(&mut shop, "INV.COMMIT {P}:A");
    assert_eq!(ask(&mut shop, "INV.ADJUST {P}@@a{n}n 1"), "-1");
    assert!(ask(&mut shop, "INV.ADJUST P@@a{n}n 1").ends_with("write {P}@@a{n}n"));
}

//! Edge cases of the contract, one test for each sentence: the limits of a deadline, the answer to a retry after the reservation
//! has ended, the units that a late commit takes, the places that are sold from, and the number of units that a sku may have.

use redis_inventory::commands::Request;
use redis_inventory::engine::audit::{self, AuditCursor};
use redis_inventory::engine::reserve::reserve;
use redis_inventory::engine::{resolve, restock, warehouses};
use redis_inventory::inventory::line::describe;
use redis_inventory::inventory::once::Reserved;
use redis_inventory::inventory::sku::KeyStyle;

use super::simulation::{BEGIN, Simulation};

const DAY: i64 = 86_400_000;
const MAX: i64 = 9_007_199_254_740_991;

/// Runs one call as its own unit of work and returns what a client reads.
fn ask(server: &mut Simulation, words: &str) -> String {
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    let id = std::str::from_utf8(words[1]).unwrap().trim_end_matches('*').to_owned();
    server.command(&id, |server| {
        let request = match Request::read(&words, server.style, &server.settings).expect("a command") {
            Ok(request) => request,
            Err(refusal) => return refusal.to_string(),
        };
        let ok = |()| "OK".to_owned();
        let done = match &request {
            Request::Reserve(request) => {
                reserve(server, request).map(|Reserved { id, expires_at, items, .. }| {
                    format!("{id} {expires_at} {}", describe(&items))
                })
            }
            Request::Commit(request) => resolve::commit(server, request).map(ok),
            Request::Rollback(request) => resolve::rollback(server, request).map(ok),
            Request::Extend(request) => resolve::extend(server, request).map(|at| at.to_string()),
            Request::Adjust(request) => restock::adjust(server, request).map(|units| units.to_string()),
            Request::Set(request) => restock::set(server, request)
                .map(|units| units.map_or("null".to_owned(), |units| units.to_string())),
            Request::Transfer(request) => warehouses::transfer(server, request).map(ok),
            _ => panic!("not a command of these tests"),
        };
        done.unwrap_or_else(|refusal| refusal.to_string())
    })
}

/// The same, for an answer with this beginning.
#[track_caller]
fn expect(server: &mut Simulation, words: &str, answer: &str) {
    let told = ask(server, words);
    assert!(told.starts_with(answer), "{words}: {told}");
}

/// Available and reserved units, with `-` for a missing counter.
fn counters(server: &Simulation, sku: &str) -> String {
    let counter = |kind: &str| server.stored(&format!("stock:{kind}:{sku}")).unwrap_or("-").to_owned();
    format!("{} {}", counter("available"), counter("reserved"))
}

/// Sku, drift and stray units of all results of a walk.
fn listed(server: &mut Simulation) -> Vec<(String, i64, i64)> {
    let page = audit::audit_scan(server, AuditCursor::START, usize::MAX, |_| true).unwrap();
    assert_eq!(page.next, None);
    let mut found: Vec<_> = page
        .found
        .iter()
        .map(|finding| (finding.audit.sku.as_str().to_owned(), finding.audit.drift(), finding.stray))
        .collect();
    found.sort();
    found
}

/// Ten units of P.
fn shop() -> Simulation {
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:P", "10"]);
    shop
}

/// Ten units of P in each of two warehouses.
fn warehouses() -> Simulation {
    let mut shop = Simulation::new();
    for (place, priority) in [("W1", "1"), ("W2", "2")] {
        shop.client(&["SET", &format!("stock:available:P@{place}"), "10"]);
        shop.client(&["ZADD", "stock:warehouses:P", priority, place]);
    }
    shop
}

// --- the limits of a deadline ---

#[test]
fn a_hold_lives_31_days_at_most_unless_the_limit_is_another() {
    let mut shop = shop();
    for (id, time) in [("A", "EX 2678400"), ("B", "PX 2678400000")] {
        expect(&mut shop, &format!("INV.RESERVE {id} {time} ITEMS P 1"), id);
    }
    for time in ["EX 2678401", "PX 2678400001", &format!("PXAT {}", BEGIN + 31 * DAY + 1)] {
        expect(&mut shop, &format!("INV.RESERVE C {time} ITEMS P 1"), "ERR the deadline is 26784");
        expect(&mut shop, &format!("INV.EXTEND A {time}"), "ERR the deadline is 26784");
    }
    assert_eq!(counters(&shop, "P"), "8 2");
    shop.settings.max_hold_ms = 0;
    expect(&mut shop, "INV.RESERVE C EX 2678401 ITEMS P 1", "C");
}

#[test]
fn an_exat_in_milliseconds_is_refused_with_its_distance_and_the_way_out() {
    let mut shop = shop();
    let at = BEGIN + 900_000;
    let distance = at * 1000 - BEGIN;
    let days = distance / DAY;
    expect(&mut shop, "INV.RESERVE A ITEMS P 1", "A");
    for (limit, told) in
        [(31 * DAY, "2678400000 ms (31 days; inv.max-hold-ms)"), (0, "3155760000000 ms (36525 days)")]
    {
        shop.settings.max_hold_ms = limit;
        let refusal = format!(
            "ERR the deadline is {distance} ms ({days} days) away, but a reservation may last at most {told}: \
             EX and EXAT take seconds, PX and PXAT milliseconds"
        );
        assert_eq!(ask(&mut shop, &format!("INV.RESERVE B EXAT {at} ITEMS P 1")), refusal);
        assert_eq!(ask(&mut shop, &format!("INV.EXTEND A EXAT {at}")), refusal);
    }
    assert_eq!(counters(&shop, "P"), "9 1");
}

#[test]
fn without_a_limit_no_deadline_is_more_than_a_hundred_years_away() {
    let mut shop = shop();
    shop.settings.max_hold_ms = 0;
    expect(&mut shop, "INV.RESERVE A PX 3155760000000 ITEMS P 1", "A");
    for time in [
        "PX 3155760000001",
        "EX 3155760001",
        "EX 9007199254740991",
        "EXAT 9007199254740991",
        "PXAT 9007199254740991",
    ] {
        expect(&mut shop, &format!("INV.RESERVE B {time} ITEMS P 1"), "ERR the deadline is ");
        expect(&mut shop, &format!("INV.EXTEND A {time}"), "ERR the deadline is ");
    }
    assert_eq!(counters(&shop, "P"), "9 1");
}

#[test]
fn a_live_hold_keeps_a_deadline_beyond_the_limit() {
    let mut shop = shop();
    shop.settings.max_hold_ms = 0;
    expect(&mut shop, "INV.RESERVE A EX 31536000 ITEMS P 4", "A");
    shop.settings.max_hold_ms = 31 * DAY;
    shop.restart(false);
    shop.advance(200 * DAY);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), "6 4");
    expect(&mut shop, "INV.RESERVE A EX 900 ITEMS P 4", "A");
    expect(&mut shop, "INV.COMMIT A ITEMS P 1", "OK");
    shop.advance(165 * DAY + 1);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), "9 0");
}

// --- a retry after the end ---

#[test]
fn a_token_of_reserve_answers_how_its_reservation_ended() {
    for id in ["A", "*", "cart-*"] {
        for (end, code) in [("INV.COMMIT", "COMMITTED"), ("INV.ROLLBACK", "ROLLEDBACK"), ("", "EXPIRED")] {
            let mut shop = shop();
            let reserve = format!("INV.RESERVE {id} EX 60 ONCE t ITEMS P 3");
            let first = ask(&mut shop, &reserve);
            assert_eq!(ask(&mut shop, &reserve), first);
            let made = first.split(' ').next().unwrap().to_owned();
            if end.is_empty() {
                shop.advance(60_001);
            } else {
                expect(&mut shop, &format!("{end} {made}"), "OK");
            }
            expect(&mut shop, &reserve, &format!("{code} reservation {made} "));
            shop.finish();
            let units = if code == "COMMITTED" { "7 0" } else { "10 0" };
            assert_eq!(counters(&shop, "P"), units, "{id} {end}");
        }
    }
}

#[test]
fn a_token_of_reserve_is_known_until_the_outcome_of_the_last_moment_is_forgotten() {
    let mut shop = shop();
    shop.settings.outcome_ttl_ms = 1000;
    let reserve = "INV.RESERVE cart-* EX 60 ONCE t ITEMS P 3";
    let first = ask(&mut shop, reserve);
    // Longer than outcomes are remembered.
    shop.advance(59_000);
    assert_eq!(ask(&mut shop, reserve), first);
    shop.advance(1001);
    shop.sweep();
    shop.advance(998);
    expect(&mut shop, reserve, "EXPIRED");
    assert_eq!(counters(&shop, "P"), "10 0");
    shop.advance(3);
    expect(&mut shop, reserve, "cart-");
    assert_eq!(counters(&shop, "P"), "7 3");
}

#[test]
fn a_token_of_a_reservation_that_is_unknown_now_holds_nothing_and_says_so() {
    for lost in ["inventory:outcome:A", "reservation:A"] {
        let mut shop = shop();
        let reserve = "INV.RESERVE A EX 60 ONCE t ITEMS P 3";
        expect(&mut shop, reserve, "A");
        if lost == "inventory:outcome:A" {
            expect(&mut shop, "INV.ROLLBACK A", "OK");
        }
        shop.client(&["DEL", lost]);
        let before = counters(&shop, "P");
        expect(&mut shop, reserve, "NOTFOUND reservation A is unknown");
        assert_eq!(counters(&shop, "P"), before);
    }
}

#[test]
fn a_token_does_not_answer_for_another_reservation_that_has_its_id_now() {
    let mut shop = shop();
    let reserve = "INV.RESERVE A EX 60 ONCE t ITEMS P 3";
    expect(&mut shop, reserve, "A");
    expect(&mut shop, "INV.ROLLBACK A", "OK");
    shop.client(&["DEL", "inventory:outcome:A"]);
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 4", "A");
    expect(&mut shop, reserve, "MISMATCH");
    assert_eq!(counters(&shop, "P"), "6 4");
}

#[test]
fn a_token_that_an_older_version_wrote_compares_as_before() {
    let mut shop = shop();
    let held = ask(&mut shop, "INV.RESERVE A EX 60 ITEMS P 3");
    let deadline = BEGIN + 60_000;
    let stored = format!(
        r#"{{"asked":"P 3","answer":{{"reserved":{{"reservation_id":"A","expires_at":{deadline},"items":[{{"product_id":"P","quantity":3}}]}}}}}}"#
    );
    shop.client(&["SET", "inventory:once:reserve:1:A:t", &stored, "PXAT", &(BEGIN + DAY).to_string()]);
    assert_eq!(ask(&mut shop, "INV.RESERVE A EX 900 ONCE t ITEMS P 3"), held);
    expect(
        &mut shop,
        "INV.RESERVE A ONCE t ITEMS P 4",
        "MISMATCH this ONCE token was already used with other arguments (P 3)",
    );
    expect(&mut shop, "INV.COMMIT A", "OK");
    expect(&mut shop, "INV.RESERVE A EX 900 ONCE t ITEMS P 3", "COMMITTED");
}

#[test]
fn in_a_cluster_the_reservation_of_a_token_is_looked_up_in_the_slot_of_its_command() {
    let mut shop = Simulation::new();
    shop.style = KeyStyle::Tagged;
    shop.settings.in_cluster = true;
    shop.client(&["SET", "stock:available:{P}", "10"]);
    let reserve = "INV.RESERVE {P}* EX 60 ONCE t ITEMS {P} 3";
    let first = ask(&mut shop, reserve);
    assert_eq!(ask(&mut shop, reserve), first);
    let made = first.split(' ').next().unwrap().to_owned();
    expect(&mut shop, &format!("INV.COMMIT {made}"), "OK");
    expect(&mut shop, reserve, &format!("COMMITTED reservation {made} "));
}

#[test]
fn in_a_cluster_a_record_whose_units_are_in_another_slot_is_foreign() {
    let mut shop = Simulation::new();
    shop.style = KeyStyle::Tagged;
    shop.settings.in_cluster = true;
    shop.client(&["SET", "stock:available:{P}", "10"]);
    ask(&mut shop, "INV.RESERVE {P}:A EX 60 ITEMS {P} 3");
    let json =
        shop.stored("reservation:{P}:A").unwrap().replace(r#""product_id":"P""#, r#""product_id":"Q""#);
    shop.client(&["SET", "reservation:{P}:A", &json]);
    expect(&mut shop, "INV.COMMIT {P}:A", "FOREIGN ");
}

// --- the units of a late commit ---

#[test]
fn a_late_commit_takes_what_the_deadline_returned_and_not_what_a_rollback_did() {
    let mut shop = shop();
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 5", "A");
    expect(&mut shop, "INV.ROLLBACK A ITEMS P 2", "OK");
    shop.advance(60_001);
    shop.sweep();
    assert_eq!(counters(&shop, "P"), "10 0");
    expect(&mut shop, "INV.COMMIT A LATE", "OK");
    assert_eq!(counters(&shop, "P"), "7 0");
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    for part in [
        r#""items":[{"product_id":"P","quantity":5}]"#,
        r#""sold":[{"product_id":"P","quantity":3}]"#,
        r#""returned":[{"product_id":"P","quantity":2}]"#,
    ] {
        assert!(outcome.contains(part), "{outcome}");
    }
    expect(&mut shop, "INV.COMMIT A LATE", "OK");
    assert_eq!(counters(&shop, "P"), "7 0");
}

#[test]
fn a_late_commit_sells_each_part_as_it_went() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:Q", "10"]);
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 5 Q 4", "A");
    expect(&mut shop, "INV.COMMIT A ITEMS P 1", "OK");
    expect(&mut shop, "INV.ROLLBACK A ITEMS P 1 Q 4", "OK");
    shop.advance(60_001);
    shop.sweep();
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    assert!(
        outcome
            .contains(r#""rolled_back":[{"product_id":"P","quantity":1},{"product_id":"Q","quantity":4}]"#),
        "{outcome}"
    );
    expect(&mut shop, "INV.COMMIT A LATE", "OK");
    assert_eq!((counters(&shop, "P"), counters(&shop, "Q")), ("6 0".to_owned(), "10 0".to_owned()));
    let outcome = shop.stored("inventory:outcome:A").unwrap();
    assert!(!outcome.contains("rolled_back"), "{outcome}");
}

#[test]
fn an_outcome_says_what_a_rollback_returned_only_if_one_did() {
    let mut shop = shop();
    for id in ["A", "B"] {
        expect(&mut shop, &format!("INV.RESERVE {id} EX 60 ITEMS P 5"), id);
    }
    expect(&mut shop, "INV.COMMIT A ITEMS P 2", "OK");
    shop.advance(60_001);
    shop.sweep();
    for id in ["A", "B"] {
        let outcome = shop.stored(&format!("inventory:outcome:{id}")).unwrap();
        assert!(!outcome.contains("rolled_back"), "{outcome}");
    }
    expect(&mut shop, "INV.COMMIT A LATE", "OK");
    expect(&mut shop, "INV.COMMIT B LATE", "OK");
    assert_eq!(counters(&shop, "P"), "0 0");
}

// --- the places that are sold from ---

#[test]
fn a_place_that_is_no_warehouse_of_its_product_is_not_reserved_from() {
    let mut shop = warehouses();
    shop.client(&["ZREM", "stock:warehouses:P", "W2"]);
    for items in ["P@W2 1", "P 1 P@W2 1", "P@W1 1 P@W2 1"] {
        assert_eq!(
            ask(&mut shop, &format!("INV.RESERVE A ITEMS {items}")),
            "ERR P has no warehouse W2: add it with INV.WAREHOUSES P SET W2 priority"
        );
    }
    assert_eq!(counters(&shop, "P@W2"), "10 -");
    // Without a set of warehouses, any name may be used.
    shop.client(&["DEL", "stock:warehouses:P"]);
    expect(&mut shop, "INV.RESERVE A ITEMS P@W2 1", "A");
}

#[test]
fn holds_and_retries_of_a_place_that_is_no_warehouse_any_more_end_normally() {
    for (end, units) in [("INV.COMMIT A", "7 0"), ("INV.ROLLBACK A", "10 0"), ("", "10 0")] {
        let mut shop = warehouses();
        let reserve = "INV.RESERVE A EX 60 ITEMS P@W2 3";
        let held = ask(&mut shop, reserve);
        shop.client(&["ZREM", "stock:warehouses:P", "W2"]);
        assert_eq!(ask(&mut shop, reserve), held);
        expect(&mut shop, "INV.EXTEND A EX 60", "");
        if end.is_empty() {
            shop.advance(60_001);
            shop.sweep();
            assert_eq!(
                ask(&mut shop, "INV.COMMIT A LATE"),
                "ERR P has no warehouse W2: add it with INV.WAREHOUSES P SET W2 priority"
            );
            assert_eq!(counters(&shop, "P@W2"), units);
            shop.client(&["ZADD", "stock:warehouses:P", "2", "W2"]);
            expect(&mut shop, "INV.COMMIT A LATE", "OK");
            assert_eq!(counters(&shop, "P@W2"), "7 0");
        } else {
            expect(&mut shop, end, "OK");
            expect(&mut shop, end, "OK");
            assert_eq!(counters(&shop, "P@W2"), units);
        }
    }
}

#[test]
fn a_late_commit_does_not_take_from_a_name_whose_product_is_kept_in_warehouses_now() {
    let mut shop = shop();
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 5", "A");
    shop.client(&["ZADD", "stock:warehouses:P", "1", "W1"]);
    shop.advance(60_001);
    shop.sweep();
    expect(&mut shop, "INV.COMMIT A LATE", "ERR P is kept in warehouses");
    assert_eq!(counters(&shop, "P"), "10 0");
}

#[test]
fn a_walk_of_the_audit_lists_strays_whether_or_not_they_drift() {
    let mut shop = warehouses();
    assert_eq!(listed(&mut shop), []);
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P@W1 3", "A");
    shop.client(&["ZREM", "stock:warehouses:P", "W1"]);
    assert_eq!(listed(&mut shop), [("P@W1".to_owned(), 0, 10)]);
    // A warehouse with an available counter only, and a product with units of its own.
    shop.client(&["SET", "stock:available:P@W3", "7"]);
    shop.client(&["SET", "stock:available:P", "2"]);
    let strays = [("P", 0, 2), ("P@W1", 0, 10), ("P@W3", 0, 7)];
    assert_eq!(listed(&mut shop), strays.map(|(sku, drift, stray)| (sku.to_owned(), drift, stray)));
    // Each is listed once, even one that drifts because its reserved counter is missing.
    shop.client(&["DEL", "stock:reserved:P@W1"]);
    let strays = [("P", 0, 2), ("P@W1", -3, 7), ("P@W3", 0, 7)];
    assert_eq!(listed(&mut shop), strays.map(|(sku, drift, stray)| (sku.to_owned(), drift, stray)));
}

// --- the number of units of a sku ---

#[test]
fn a_sku_has_no_more_than_2_to_the_53_units_available_and_reserved_together() {
    let mut shop = Simulation::new();
    assert_eq!(ask(&mut shop, &format!("INV.ADJUST Q {MAX}")), MAX.to_string());
    expect(&mut shop, &format!("INV.RESERVE A EX 60 ITEMS Q {MAX}"), "A");
    assert_eq!(
        ask(&mut shop, &format!("INV.ADJUST Q {MAX}")),
        format!(
            "ERR Q has 0 available and {MAX} reserved units: {MAX} more would exceed the maximum of {MAX}"
        )
    );
    expect(&mut shop, "INV.SET Q AVAILABLE 1", "ERR Q has 0 available and ");
    assert_eq!(ask(&mut shop, &format!("INV.SET Q ONHAND {MAX}")), "0");
    shop.advance(60_001);
    shop.sweep();
    assert_eq!(counters(&shop, "Q"), format!("{MAX} 0"));
    expect(&mut shop, "INV.ADJUST Q 1", "ERR Q has ");
    assert_eq!(ask(&mut shop, "INV.ADJUST Q -1"), (MAX - 1).to_string());
    assert_eq!(ask(&mut shop, "INV.ADJUST Q 1"), MAX.to_string());
}

#[test]
fn a_place_takes_no_more_either() {
    let mut shop = warehouses();
    shop.client(&["SET", "stock:available:P@W2", &(MAX - 5).to_string()]);
    shop.client(&["SET", "stock:reserved:P@W2", "4"]);
    expect(
        &mut shop,
        "INV.TRANSFER P W1 W2 2",
        &format!("ERR P@W2 has {} available and 4 reserved", MAX - 5),
    );
    assert_eq!(counters(&shop, "P@W1"), "10 -");
    expect(&mut shop, "INV.TRANSFER P W1 W2 1", "OK");
}

#[test]
fn what_is_beyond_the_bound_already_can_be_lowered() {
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:Q", &(2 * MAX).to_string()]);
    shop.client(&["SET", "stock:reserved:Q", &MAX.to_string()]);
    assert_eq!(ask(&mut shop, "INV.ADJUST Q -10"), (2 * MAX - 10).to_string());
    expect(&mut shop, "INV.ADJUST Q 1", "ERR ");
    assert_eq!(ask(&mut shop, &format!("INV.SET Q AVAILABLE {MAX}")), MAX.to_string());
    assert_eq!(ask(&mut shop, &format!("INV.SET Q AVAILABLE {MAX}")), MAX.to_string());
    assert_eq!(ask(&mut shop, &format!("INV.SET Q ONHAND {MAX}")), "0");
}

#[test]
fn a_counter_at_the_end_of_its_range_takes_no_more() {
    for units in [i64::MAX, i64::MAX - 1] {
        let mut shop = warehouses();
        for sku in ["Q", "P@W2"] {
            shop.client(&["SET", &format!("stock:available:{sku}"), &units.to_string()]);
        }
        expect(
            &mut shop,
            "INV.ADJUST Q 1",
            &format!("ERR Q has {units} available and 0 reserved units: 1 more"),
        );
        expect(
            &mut shop,
            "INV.TRANSFER P W1 W2 1",
            &format!("ERR P@W2 has {units} available and 0 reserved"),
        );
        assert_eq!(counters(&shop, "Q"), format!("{units} -"));
        assert_eq!(counters(&shop, "P@W1"), "10 -");
        assert_eq!(ask(&mut shop, "INV.ADJUST Q -1"), (units - 1).to_string());
    }
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:Q", &i64::MIN.to_string()]);
    expect(&mut shop, "INV.ADJUST Q -1", "INSUFFICIENT Q requested 1");
    assert_eq!(ask(&mut shop, "INV.ADJUST Q 1"), (i64::MIN + 1).to_string());
}

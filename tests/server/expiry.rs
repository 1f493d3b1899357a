//! Deadlines: units return by themselves and only once, whatever else deletes the record.
//!
//! A burst makes sure that the sweep has not run yet: the server runs commands received in one read one after the other, and its
//! own work (cron, active expiry) only between reads. `DEBUG SLEEP` in the burst lets the deadline pass.

use std::time::Duration;

use crate::harness::{Client, Json, Machine, SOON, code, json, wait_for, wait_until, wire_code};

use crate::shop::{let_pass, let_the_sweep_pass, shop, shop_with};

/// The time for thousands of releases on a busy machine.
const LONG: Duration = Duration::from_secs(20);

const STOCK: &[(&str, i64)] = &[("P", 100)];

#[test]
fn units_come_back_beside_many_keys_with_a_later_ttl() {
    // The server's own expiry takes samples: among these keys it would find the record after about a minute.
    let (_server, mut shop) = shop(STOCK);
    let fill = "for i = 1, 20000 do redis.call('SET', 'session:' .. i, 'x', 'EX', 1000) end";
    shop.ask(["EVAL", fill, "0"]);
    for round in 0..5 {
        shop.ask(format!("INV.RESERVE R{round} PX 50 ITEMS P 5"));
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    }
}

#[test]
fn units_are_back_within_150_ms() {
    let (_server, mut shop) = shop(STOCK);
    // The best of several rounds, compared with what the machine allows at that time.
    let late = (0..10).map(|round| {
        let machine = Machine::watch();
        let deadline = shop.ask(format!("INV.RESERVE R{round} PX 30 ITEMS P 5"))["expires_at"].as_i64();
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        let resolved_at = shop.document(&format!("inventory:outcome:R{round}"))["resolved_at"].as_i64();
        let late = resolved_at.expect("a time") - deadline.expect("a time");
        assert!(late >= 0, "{late} ms after the deadline");
        late - machine.limit_ms(150)
    });
    let best = late.min().expect("ten rounds");
    assert!(best <= 0, "{best} ms later than it may be");
}

#[test]
fn a_thousand_deadlines_at_once_give_everything_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("SET stock:available:P 1000");
    let at = shop.now() + 1000;
    let reserve: Vec<String> = (0..1000).map(|n| format!("INV.RESERVE R{n} PXAT {at} ITEMS P 1")).collect();
    let reserve: Vec<&str> = reserve.iter().map(String::as_str).collect();
    for part in reserve.chunks(100) {
        shop.burst(part);
    }
    assert_eq!(shop.counters("P"), (0, 1000));
    wait_for("the units are back", LONG, (1000, 0), || shop.counters("P"));
}

#[test]
fn past_the_deadline_commit_rollback_and_reserve_answer_by_the_clock_not_by_the_sweep() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "INV.RESERVE B PX 50 ITEMS P 5",
        "INV.RESERVE C PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "INV.COMMIT A",
        "INV.ROLLBACK B",
        "INV.RESERVE C PX 50 ITEMS P 5",
        "INV.ROLLBACK A",
        "INV.COMMIT B",
    ]);
    assert_eq!(wire_code(&replies[4]), "-EXPIRED");
    assert_eq!(replies[5], "OK");
    assert_eq!(wire_code(&replies[6]), "-EXPIRED");
    assert_eq!(replies[7], "OK");
    assert_eq!(wire_code(&replies[8]), "-ROLLEDBACK");
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (100, 0));
    for (id, state) in [("A", "rolled_back"), ("B", "rolled_back"), ("C", "expired")] {
        assert_eq!(shop.ask(format!("INV.GET {id}"))["state"], state, "{id}");
    }
}

#[test]
fn each_of_them_alone_gives_the_units_back_at_once() {
    for (command, expected) in [
        ("INV.COMMIT A", "-EXPIRED"),
        ("INV.ROLLBACK A", "OK"),
        ("INV.RESERVE A ITEMS P 5", "-EXPIRED"),
        // A plain reader accesses the record too; the server then deletes it, and its units return.
        ("GET reservation:A", ""),
    ] {
        let (_server, mut shop) = shop(STOCK);
        let replies = shop.burst(&[
            "INV.RESERVE A PX 50 ITEMS P 5",
            "DEBUG SLEEP 0.1",
            command,
            "GET stock:available:P",
            "GET stock:reserved:P",
            "EXISTS reservation:A",
        ]);
        assert_eq!(wire_code(&replies[2]), expected, "{command}");
        assert_eq!(replies[3..], [json!("100"), json!("0"), json!(0)], "{command}");
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (100, 0), "{command}");
    }
}

#[test]
fn reserve_takes_overdue_units_in_the_same_command() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 60",
        "INV.RESERVE B PX 50 ITEMS P 40",
        "INV.RESERVE C ITEMS P 1",
        "DEBUG SLEEP 0.1",
        "INV.RESERVE D ITEMS P 90",
    ]);
    assert_eq!(wire_code(&replies[2]), "-INSUFFICIENT");
    assert_eq!(replies[4]["reservation_id"], "D");
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (10, 90));
}

#[test]
fn reserve_takes_overdue_units_in_a_transaction() {
    for first in ["PING", "INV.COMMIT A", "INV.ROLLBACK A", "GET reservation:A", "INV.RESERVE A ITEMS P 1"] {
        let (_server, mut shop) = shop(STOCK);
        let replies = shop.burst(&[
            "INV.RESERVE A PX 50 ITEMS P 100",
            "DEBUG SLEEP 0.1",
            "MULTI",
            first,
            "INV.RESERVE D ITEMS P 100",
            "GET stock:reserved:P",
            "EXEC",
        ]);
        assert_eq!(replies[6][1]["reservation_id"], "D", "after {first}: {}", replies[6]);
        assert_eq!(replies[6][2], "100", "after {first}");
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (0, 100), "after {first}");
    }
}

#[test]
fn reserve_takes_overdue_units_in_a_script() {
    for first in ["'PING'", "'INV.COMMIT','A'", "'INV.ROLLBACK','A'", "'GET','reservation:A'"] {
        let (_server, mut shop) = shop(STOCK);
        // `burst` splits at blanks, so the script has none.
        let script =
            format!("EVAL redis.pcall({first});return{{redis.pcall('INV.RESERVE','D','ITEMS','P','100')}} 0");
        let replies = shop.burst(&["INV.RESERVE A PX 50 ITEMS P 100", "DEBUG SLEEP 0.1", &script]);
        assert_eq!(replies[2][0][1], "D", "after {first}: {}", replies[2]);
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (0, 100), "after {first}");
    }
}

#[test]
fn a_refused_reserve_counts_overdue_units_and_says_the_true_number() {
    let (_server, mut shop) = shop(STOCK);
    let replies =
        shop.burst(&["INV.RESERVE A PX 50 ITEMS P 60", "DEBUG SLEEP 0.1", "INV.RESERVE D ITEMS P 101"]);
    assert_eq!(replies[2], "-INSUFFICIENT P requested 101, available 100");
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn get_calls_an_overdue_reservation_expired_before_the_sweep_comes() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "MULTI",
        "INV.GET A",
        "EXEC",
        "INV.GET A",
    ]);
    assert_eq!(replies[4][0]["state"], "expired", "{}", replies[4]);
    assert_eq!(replies[5]["state"], "expired", "{}", replies[5]);
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
}

#[test]
fn a_record_in_another_database_gives_its_units_back_there() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("SELECT 3");
    shop.ask("SET stock:available:P 7");
    shop.ask("INV.RESERVE A PX 50 ITEMS P 5");
    shop.ask("SELECT 0");
    shop.ask("INV.RESERVE A PX 50 ITEMS P 1");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    shop.ask("SELECT 3");
    wait_for("the units are back", SOON, (7, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
}

#[test]
fn a_record_deleted_by_another_client_returns_its_units_once_at_the_deadline() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE A PX 300 ITEMS P 5")["expires_at"].clone();
    shop.ask("INV.RESERVE B ITEMS P 7");
    shop.ask("DEL reservation:A");
    assert_eq!(shop.counters("P"), (88, 12));
    wait_for("the units are back", SOON, (93, 7), || shop.counters("P"));
    assert!(shop.now() >= deadline.as_i64().expect("a time"), "not before the deadline");
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (93, 7));
    assert_eq!(shop.ask("INV.COMMIT B"), "OK");
    assert_eq!(shop.counters("P"), (93, 0));
}

#[test]
fn an_id_deleted_by_another_client_can_be_reserved_again_and_holds_its_units_once() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE A PX 300 ITEMS P 5")["expires_at"].clone();
    shop.ask("DEL reservation:A");
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "NOTFOUND");
    shop.ask("INV.RESERVE A ITEMS P 8");
    assert_eq!(shop.counters("P"), (92, 8));
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.counters("P"), (92, 8));
    assert_eq!(shop.ask("INV.COMMIT A"), "OK");
    assert_eq!(shop.counters("P"), (92, 0));
}

#[test]
fn a_record_replaced_by_another_client_returns_its_old_units_once() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A PX 300 ITEMS P 5");
    shop.ask("SET reservation:A something-else");
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "FOREIGN");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (100, 0));
    assert_eq!(shop.ask("GET reservation:A"), "something-else");
}

#[test]
fn whatever_ends_a_record_returns_the_units_once() {
    for by_hand in [
        "UNLINK reservation:A",
        "EXPIRE reservation:A 0",
        "PEXPIREAT reservation:A 1",
        "GETDEL reservation:A",
    ] {
        let (_server, mut shop) = shop(STOCK);
        shop.ask("INV.RESERVE A PX 200 ITEMS P 5");
        shop.ask(by_hand);
        wait_for(by_hand, SOON, (100, 0), || shop.counters("P"));
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (100, 0), "{by_hand}");
    }
}

#[test]
fn a_shorter_ttl_set_by_another_client_moves_the_deadline() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A EX 900 ITEMS P 5");
    shop.ask("PEXPIRE reservation:A 50");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "EXPIRED");
}

#[test]
fn a_longer_ttl_set_by_another_client_moves_the_deadline() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "PEXPIRE reservation:A 900000",
        "DEBUG SLEEP 0.1",
        "INV.RESERVE A ITEMS P 5",
        "PEXPIRETIME reservation:A",
        "INV.GET A",
        "EXISTS reservation:A",
    ]);
    assert_eq!(replies[3]["expires_at"], replies[4]);
    assert_eq!(replies[5]["expires_at"], replies[4]);
    assert_eq!(replies[6], 1);
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("INV.COMMIT A"), "OK");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn a_record_whose_ttl_was_taken_away_ends_at_its_expires_at() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A PX 200 ITEMS P 5");
    assert_eq!(shop.ask("PERSIST reservation:A"), 1);
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.ask("EXISTS reservation:A"), 0);
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn a_record_whose_ttl_was_taken_away_is_expired_by_the_clock_too() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "PERSIST reservation:A",
        "DEBUG SLEEP 0.1",
        "INV.COMMIT A",
        "INV.RESERVE D ITEMS P 100",
    ]);
    assert_eq!(wire_code(&replies[3]), "-EXPIRED");
    assert_eq!(replies[4]["reservation_id"], "D", "{}", replies[4]);
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (0, 100));
}

#[test]
fn after_flushall_nothing_comes_back() {
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        let (_server, mut shop) = shop(STOCK);
        let deadline = shop.ask("INV.RESERVE A PX 200 ITEMS P 5")["expires_at"].clone();
        shop.ask("INV.RESERVE B PX 200 ITEMS P 5");
        // Remembered lines are released as well.
        shop.ask("DEL reservation:B");
        shop.ask(flush);
        assert_eq!(shop.ask("KEYS *"), json!([]), "{flush}");
        shop.ask("MSET stock:available:P 7 stock:reserved:P 20");
        let_pass(&mut shop, &deadline);
        assert_eq!(shop.counters("P"), (7, 20), "{flush}");
        assert_eq!(shop.ask("INV.GET A"), Json::Null, "{flush}");
    }
}

#[test]
fn a_due_record_that_is_opened_and_flushed_in_one_transaction_brings_nothing_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "MULTI",
        "GET reservation:A",
        "FLUSHALL",
        "EXEC",
    ]);
    assert_eq!(shop.ask("KEYS *"), json!([]));
}

#[test]
fn a_due_record_that_is_opened_and_swapped_in_one_transaction_gives_its_units_back_there() {
    let (server, mut shop) = shop(STOCK);
    shop.burst(&[
        "INV.RESERVE A PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "MULTI",
        "GET reservation:A",
        "SWAPDB 0 1",
        "EXEC",
    ]);
    // A new connection: Valkey 8.1 leaves the old one in the database of the last event that a module received
    // (valkey-io/valkey#4024).
    let mut shop = server.connect();
    assert_eq!(shop.ask("KEYS *"), json!([]));
    shop.ask("SELECT 1");
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn a_swapped_database_keeps_its_deadlines() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A PX 200 ITEMS P 5");
    shop.ask("INV.RESERVE B PX 200 ITEMS P 5");
    shop.ask("DEL reservation:B");
    shop.ask("SWAPDB 0 1");
    shop.ask("SELECT 1");
    assert_eq!(shop.counters("P"), (90, 10));
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    shop.ask("SELECT 0");
    assert_eq!(shop.ask("KEYS *"), json!([]));
}

#[test]
fn a_release_moves_no_more_than_is_reserved() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE A PX 200 ITEMS P 5")["expires_at"].clone();
    shop.ask("SET stock:reserved:P 2");
    wait_for("two are back", SOON, (97, 0), || shop.counters("P"));
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.counters("P"), (97, 0));
    let returned = &shop.document("inventory:outcome:A")["returned"];
    assert_eq!(*returned, json!([{"product_id": "P", "quantity": 2}]));
}

#[test]
fn a_release_leaves_what_the_others_hold() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE B ITEMS P 5");
    let deadline = shop.ask("INV.RESERVE A PX 200 ITEMS P 5")["expires_at"].clone();
    // Another client has sold three units: two of the seven are more than B holds.
    shop.ask("SET stock:reserved:P 7");
    wait_for("two are back", SOON, (92, 5), || shop.counters("P"));
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.ask("INV.COMMIT B"), "OK");
    assert_eq!(shop.counters("P"), (92, 0));
}

#[test]
fn an_absent_reserved_counter_gives_nothing_and_is_not_created() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE A PX 100 ITEMS P 5")["expires_at"].clone();
    shop.ask("DEL stock:reserved:P");
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.ask("EXISTS reservation:A stock:reserved:P"), 0);
    assert_eq!(shop.ask("GET stock:available:P"), "95");
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
}

#[test]
fn an_absent_available_counter_is_created_by_the_units_that_return() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A PX 100 ITEMS P 5");
    shop.ask("DEL stock:available:P");
    wait_for("the units are back", SOON, (5, 0), || shop.counters("P"));
}

#[test]
fn a_counter_of_another_type_keeps_no_other_units_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("SET stock:available:Q 10");
    shop.ask("INV.RESERVE A PX 100 ITEMS P 5 Q 5");
    shop.ask("DEL stock:available:Q");
    shop.ask("RPUSH stock:available:Q list");
    wait_for("the other units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.ask("LRANGE stock:available:Q 0 -1"), json!(["list"]));
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn a_record_changed_in_place_gives_its_units_back_at_its_deadline() {
    for change in ["APPEND reservation:A x", "SETRANGE reservation:A 0 x"] {
        let (_server, mut shop) = shop(&[("P", 100)]);
        shop.ask("INV.RESERVE A PX 150 ITEMS P 5");
        shop.ask(change);
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "FOREIGN");
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (100, 0), "{change}");
    }
}

#[test]
fn a_storm_of_deadlines_is_handled_in_slices_until_all_units_are_back() {
    // A slice of this length releases a few reservations only; at ten slices per second, this would take minutes.
    let (_server, mut shop) = shop_with(&["inv.sweep-budget-us 100"], &[("P", 5000)]);
    let deadline = shop.now() + 1500;
    // Read the counter inside the script: after it, the deadline may have passed.
    let reserve = "for i = 1, 5000 do redis.call('INV.RESERVE', 'R' .. i, 'PXAT', ARGV[1], 'ITEMS', 'P', 1) end \
                   return redis.call('GET', 'stock:available:P')";
    assert_eq!(shop.ask(["EVAL", reserve, "0", &deadline.to_string()]), "0");
    wait_until("the deadline passes", LONG, || shop.now() > deadline);
    // Clients are served in the meantime.
    wait_for("all units are back", LONG, (5000, 0), || shop.counters("P"));
    assert_eq!(shop.info("inv", "inv_expired_total"), "5000");
}

#[test]
fn a_record_changed_in_place_and_then_taken_away_gives_its_units_back() {
    for end in ["DEL reservation:A", "PEXPIRE reservation:A 1", "SET reservation:A other"] {
        let (_server, mut shop) = shop(STOCK);
        shop.ask("INV.RESERVE A PX 150 ITEMS P 5");
        // Nothing accesses the key between the two.
        shop.burst(&["MULTI", "APPEND reservation:A x", end, "EXEC"]);
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (100, 0), "{end}");
        assert_eq!(shop.info("inv", "inv_holds"), "0", "{end}");
    }
}

/// Whether the server is idle: nothing is live, the index takes no memory, and the cron has run.
fn is_at_rest(shop: &mut Client) -> bool {
    shop.info("inv", "inv_index_bytes") == "0"
}

#[test]
fn a_database_at_rest_keeps_no_index_and_gives_units_back_when_it_is_used_again() {
    let (_server, mut shop) = shop_with(&["databases 32"], &[]);
    for db in 0..32 {
        shop.ask(format!("SELECT {db}"));
        shop.ask("SET stock:available:P 5");
        shop.ask("INV.RESERVE R ITEMS P 1");
    }
    assert!(!is_at_rest(&mut shop));
    for db in 0..32 {
        shop.ask(format!("SELECT {db}"));
        shop.ask("INV.ROLLBACK R");
    }
    wait_until("all are at rest", SOON, || is_at_rest(&mut shop));
    // By a command, by an event, and in another database than the one that was active.
    shop.ask("SELECT 7");
    shop.ask("INV.RESERVE R2 PX 50 ITEMS P 2");
    shop.ask("INV.RESERVE R3 PX 100000 ITEMS P 1");
    let dump = shop.ask("GET reservation:R3");
    shop.ask("INV.COMMIT R3");
    shop.ask("SELECT 9");
    let record = dump.as_str().expect("a record").replace("R3", "R4");
    shop.ask("INCRBY stock:reserved:P 1");
    shop.ask(["SET", "reservation:R4", &record, "PX", "50"]);
    shop.ask("SELECT 11");
    shop.ask("INV.RESERVE R5 PX 50 ITEMS P 2");
    shop.ask("SWAPDB 11 13");
    for (db, counters) in [(7, (4, 0)), (9, (6, 0)), (11, (5, 0)), (13, (5, 0))] {
        shop.ask(format!("SELECT {db}"));
        wait_for(&format!("the units of {db} are back"), SOON, counters, || shop.counters("P"));
    }
    wait_until("all are at rest again", SOON, || is_at_rest(&mut shop));
}

#[test]
fn a_database_that_was_emptied_is_as_good_as_a_new_one() {
    let (_server, mut shop) = shop_with(&[], &[]);
    shop.ask("SELECT 3");
    for id in ["A", "B"] {
        shop.ask("SET stock:threshold:P 2");
        shop.ask("DEL stock:threshold:P");
        assert_eq!(shop.ask("DBSIZE"), 0);
        let_the_sweep_pass(&mut shop);
        shop.ask("SET stock:available:P 5");
        shop.ask(format!("INV.RESERVE {id} PX 50 ITEMS P 1"));
        assert_eq!(shop.ask("GET inventory:managed"), "plain");
        wait_for("the unit is back", SOON, (5, 0), || shop.counters("P"));
        shop.ask("FLUSHDB");
    }
}

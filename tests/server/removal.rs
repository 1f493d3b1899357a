//! Whatever removes a reservation's key, its units return once. expiry.rs has the deadlines and TTLs changed by other clients;
//! dropin.rs has scripts and copies under another name.

use std::collections::{BTreeMap, BTreeSet};

use crate::books::{Books, Units, counted, many, sleep_past};
use crate::harness::{Client, Json, SOON, Server, code, json, wait_for, wait_until};
use crate::shop::{let_pass, let_the_sweep_pass, shop, shop_with};

const STOCK: &[(&str, i64)] = &[("P", 100), ("Q", 100)];

/// Long enough for a few commands on a busy machine.
const LIFE: &str = "PX 300";

/// Selects a database, even if the last command has left the client in another one (Valkey 8.1, see expiry.rs).
fn select(shop: &mut Client, database: u32) {
    shop.ask(format!("SELECT {database}"));
}

/// Asserts that every unit of `STOCK` becomes available, and stays so.
fn all_is_back(shop: &mut Client, what: &str) {
    for (sku, units) in STOCK {
        wait_for(what, SOON, (*units, 0), || shop.counters(sku));
    }
    let_the_sweep_pass(shop);
    for (sku, units) in STOCK {
        assert_eq!(shop.counters(sku), (*units, 0), "{what}: {sku}, later");
    }
    assert_eq!(counted(shop, "inv_holds"), 0, "{what}");
}

fn deadline(reply: &Json) -> i64 {
    reply["expires_at"].as_i64().expect("a time")
}

#[test]
fn what_is_deleted_returns_at_the_deadline_and_not_before() {
    for by_hand in [
        "DEL reservation:A",
        "UNLINK reservation:A",
        "GETDEL reservation:A",
        "SET reservation:A other",
        "GETSET reservation:A other",
        "SETEX reservation:A 900 other",
        "RENAME reservation:A parked",
        "RESTORE",
        "EVAL redis.call('DEL','reservation:A') 0",
    ] {
        let (_server, mut shop) = shop(STOCK);
        let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2")));
        shop.ask("INV.RESERVE OTHER EX 900 ITEMS P 7");
        if by_hand == "RESTORE" {
            // With a deadline in the past, the server deletes the existing key and creates none.
            keep_dump(&mut shop, "A");
            restore_dump(&mut shop, "A", 1);
        } else {
            shop.ask(by_hand);
        }
        let refusal = shop.refusal("INV.COMMIT A");
        assert!(["NOTFOUND", "FOREIGN"].contains(&code(&refusal)), "{by_hand}: {refusal}");
        assert_eq!(counted(&mut shop, "inv_expired_total"), 0, "{by_hand}");
        wait_for(by_hand, SOON, (93, 7), || shop.counters("P"));
        assert!(shop.now() >= until, "{by_hand}: not before the deadline");
        assert_eq!(counted(&mut shop, "inv_expired_total"), 1, "{by_hand}");
        assert_eq!(counted(&mut shop, "inv_unexplained_units"), 0, "{by_hand}");
        assert_eq!(shop.ask("INV.ROLLBACK OTHER"), "OK");
        all_is_back(&mut shop, by_hand);
    }
}

#[test]
fn a_deadline_that_is_moved_into_the_past_has_passed() {
    for by_hand in ["EXPIRE reservation:A 0", "PEXPIREAT reservation:A 1", "GETEX reservation:A PXAT 1"] {
        let (_server, mut shop) = shop(STOCK);
        shop.ask("INV.RESERVE A EX 900 ITEMS P 5 Q 2");
        shop.ask(by_hand);
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "EXPIRED", "{by_hand}");
        all_is_back(&mut shop, by_hand);
        assert_eq!(
            counted(&mut shop, "inv_expired_total"),
            2,
            "{by_hand}: it, and the one that proves the sweep"
        );
    }
}

#[test]
fn taken_away_in_another_database_it_comes_back_there() {
    for by_hand in ["DEL reservation:A", "SET reservation:A other", "RENAME reservation:A parked"] {
        let (_server, mut shop) = shop(STOCK);
        select(&mut shop, 3);
        shop.ask("SET stock:available:P 10");
        shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 4"));
        shop.ask(by_hand);
        assert_eq!(shop.counters("P"), (6, 4), "{by_hand}");
        wait_for(by_hand, SOON, (10, 0), || shop.counters("P"));
        select(&mut shop, 0);
        all_is_back(&mut shop, by_hand);
    }
}

#[test]
fn its_own_text_set_anew_is_the_same_reservation() {
    for options in ["KEEPTTL", "PX 300", "EX 900", ""] {
        let (_server, mut shop) = shop(STOCK);
        let reply = shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2"));
        let record = shop.ask("GET reservation:A").as_str().expect("a text").to_owned();
        let set: Vec<Vec<u8>> = ["SET", "reservation:A", &record]
            .into_iter()
            .chain(options.split_whitespace())
            .map(Into::into)
            .collect();
        shop.ask(set);
        assert_eq!(shop.ask("INV.GET A")["state"], "reserved", "{options}");
        assert_eq!(counted(&mut shop, "inv_holds"), 1, "{options}");
        if options == "EX 900" {
            // Its TTL has moved the deadline.
            let_pass(&mut shop, &reply["expires_at"]);
            assert_eq!(shop.counters("P"), (95, 5), "{options}");
            assert_eq!(shop.ask("INV.ROLLBACK A"), "OK", "{options}");
        }
        all_is_back(&mut shop, options);
    }
}

#[test]
fn getex_moves_the_deadline_or_leaves_it_to_expires_at() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE SHORTER EX 900 ITEMS P 5");
    shop.ask("GETEX reservation:SHORTER PX 50");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(code(&shop.refusal("INV.COMMIT SHORTER")), "EXPIRED");

    let reply = shop.ask(format!("INV.RESERVE LONGER {LIFE} ITEMS P 5"));
    shop.ask("GETEX reservation:LONGER EX 900");
    let_pass(&mut shop, &reply["expires_at"]);
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("INV.ROLLBACK LONGER"), "OK");

    let until = deadline(&shop.ask(format!("INV.RESERVE PERSISTED {LIFE} ITEMS Q 2")));
    shop.ask("GETEX reservation:PERSISTED PERSIST");
    assert_eq!(shop.ask("PTTL reservation:PERSISTED"), -1);
    all_is_back(&mut shop, "GETEX PERSIST");
    assert!(shop.now() >= until);
    assert_eq!(shop.ask("EXISTS reservation:PERSISTED"), 0);
}

#[test]
fn a_ttl_that_is_taken_away_and_given_again_is_the_deadline() {
    let (_server, mut shop) = shop(STOCK);
    let reply = shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    shop.ask("PERSIST reservation:A");
    shop.ask("EXPIRE reservation:A 900");
    let_pass(&mut shop, &reply["expires_at"]);
    assert_eq!(shop.counters("P"), (95, 5));
    shop.ask("PEXPIRE reservation:A 20");
    all_is_back(&mut shop, "PEXPIRE");
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
}

#[test]
fn a_record_renamed_over_another_is_foreign_and_the_other_comes_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A PX 400 ITEMS P 5");
    shop.ask(format!("INV.RESERVE B {LIFE} ITEMS Q 2"));
    shop.ask("RENAME reservation:A reservation:B");
    assert_eq!(code(&shop.refusal("INV.COMMIT B")), "FOREIGN");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK B")), "FOREIGN");
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "NOTFOUND");
    assert_eq!(counted(&mut shop, "inv_foreign_records"), 1);
    wait_for("what was overwritten is back", SOON, (100, 0), || shop.counters("Q"));
    wait_for("what was renamed is back at its deadline", SOON, (100, 0), || shop.counters("P"));
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (100, 0));
    assert_eq!(counted(&mut shop, "inv_holds"), 0);
}

#[test]
fn a_record_renamed_to_another_id_and_back_is_the_same_reservation() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2"));
    shop.ask("RENAME reservation:A reservation:B");
    assert_eq!(code(&shop.refusal("INV.COMMIT B")), "FOREIGN");
    shop.ask("RENAME reservation:B reservation:A");
    assert_eq!(counted(&mut shop, "inv_foreign_records"), 0);
    assert_eq!(shop.ask("INV.GET A")["state"], "reserved");
    assert_eq!(counted(&mut shop, "inv_holds"), 1);
    all_is_back(&mut shop, "RENAME there and back");
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
}

#[test]
fn a_record_that_comes_back_after_its_deadline_holds_nothing() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2"));
    shop.ask("RENAME reservation:A parked");
    shop.ask("PERSIST parked");
    all_is_back(&mut shop, "RENAME away");
    shop.ask("RENAME parked reservation:A");
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "FOREIGN");
    all_is_back(&mut shop, "RENAME back too late");
}

#[test]
fn a_copy_over_a_live_record_is_foreign_and_what_it_replaced_comes_back() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE A EX 900 ITEMS P 5");
    shop.ask(format!("INV.RESERVE B {LIFE} ITEMS Q 2"));
    shop.ask("COPY reservation:A reservation:B REPLACE");
    assert_eq!(code(&shop.refusal("INV.COMMIT B")), "FOREIGN");
    wait_for("what was overwritten is back", SOON, (100, 0), || shop.counters("Q"));
    assert_eq!(shop.ask("INV.COMMIT A"), "OK");
    assert_eq!(code(&shop.refusal("INV.COMMIT B")), "FOREIGN");
    assert_eq!(shop.counters("P"), (95, 0));
    assert_eq!(counted(&mut shop, "inv_holds"), 0);
}

#[test]
fn a_copy_in_another_database_sells_and_returns_nothing_that_is_not_reserved_there() {
    let (_server, mut shop) = shop(STOCK);
    let reply = shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2"));
    shop.ask("COPY reservation:A reservation:A DB 1");
    select(&mut shop, 1);
    let contents = shop.ask("KEYS *");
    for command in ["INV.COMMIT A", "INV.ROLLBACK A"] {
        assert_eq!(code(&shop.refusal(command)), "DRIFT", "{command}");
    }
    assert_eq!(shop.ask("KEYS *"), contents);
    select(&mut shop, 0);
    let_pass(&mut shop, &reply["expires_at"]);
    all_is_back(&mut shop, "COPY to another database");
    select(&mut shop, 1);
    wait_for("the copy has expired", SOON, json!(0), || shop.ask("EXISTS reservation:A"));
    assert_eq!(shop.ask("EXISTS stock:available:P stock:reserved:P stock:available:Q"), 0);
}

#[test]
fn a_copy_in_another_database_leaves_what_is_held_there() {
    let (_server, mut shop) = shop(STOCK);
    select(&mut shop, 1);
    shop.ask("SET stock:available:P 50");
    shop.ask("INV.RESERVE B EX 900 ITEMS P 7");
    select(&mut shop, 0);
    let reply = shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    shop.ask("COPY reservation:A reservation:A DB 1");
    select(&mut shop, 0);
    let_pass(&mut shop, &reply["expires_at"]);
    select(&mut shop, 1);
    wait_for("the copy is gone", SOON, json!(0), || shop.ask("EXISTS reservation:A"));
    assert_eq!(shop.counters("P"), (43, 7));
    assert_eq!(shop.ask("INV.COMMIT B"), "OK");
    assert_eq!(shop.counters("P"), (43, 0));
    select(&mut shop, 0);
    all_is_back(&mut shop, "COPY to another database");
}

#[test]
fn what_a_copy_in_another_database_sells_nobody_sells_again() {
    // A copy with the same name looks like a reservation that was moved there with its counters.
    let (_server, mut shop) = shop(STOCK);
    select(&mut shop, 1);
    shop.ask("SET stock:available:P 50");
    shop.ask("INV.RESERVE B EX 900 ITEMS P 7");
    select(&mut shop, 0);
    shop.ask("INV.RESERVE A EX 900 ITEMS P 5");
    shop.ask("COPY reservation:A reservation:A DB 1");
    select(&mut shop, 1);
    for id in ["A", "B"] {
        if let Err(refusal) = shop.try_ask(format!("INV.COMMIT {id}")) {
            assert_eq!(code(&refusal), "DRIFT", "{id}");
        }
    }
    assert_eq!(Books::read(&mut shop).units()["P"], 50);
    assert_eq!(shop.ask("GET stock:available:P"), "43");
    select(&mut shop, 0);
    assert_eq!(shop.ask("INV.COMMIT A"), "OK");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn a_record_that_is_moved_away_comes_back_here_and_brings_nothing_there() {
    let (_server, mut shop) = shop(STOCK);
    let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2")));
    assert_eq!(shop.ask("MOVE reservation:A 1"), 1);
    select(&mut shop, 1);
    for command in ["INV.COMMIT A", "INV.ROLLBACK A"] {
        assert_eq!(code(&shop.refusal(command)), "DRIFT", "{command}");
    }
    select(&mut shop, 0);
    assert_eq!(shop.counters("P"), (95, 5));
    let_pass(&mut shop, &until.into());
    all_is_back(&mut shop, "MOVE away");
    select(&mut shop, 1);
    assert_eq!(shop.ask("KEYS stock:*"), json!([]));
}

#[test]
fn a_record_that_is_moved_to_another_database_and_back_keeps_its_units_once() {
    for ending in ["INV.COMMIT A", "INV.ROLLBACK A", "PING"] {
        let (_server, mut shop) = shop(STOCK);
        shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2"));
        assert_eq!(shop.ask("MOVE reservation:A 1"), 1);
        select(&mut shop, 0);
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "NOTFOUND");
        select(&mut shop, 1);
        assert_eq!(shop.ask("MOVE reservation:A 0"), 1);
        select(&mut shop, 0);
        assert_eq!(shop.ask("INV.GET A")["state"], "reserved");
        assert_eq!(counted(&mut shop, "inv_holds"), 1);
        shop.ask(ending);
        if ending == "INV.COMMIT A" {
            shop.ask("INCRBY stock:available:P 5");
            shop.ask("INCRBY stock:available:Q 2");
        }
        all_is_back(&mut shop, ending);
        select(&mut shop, 1);
        assert_eq!(shop.ask("KEYS stock:*"), json!([]), "{ending}");
    }
}

/// Saves the dump of a record. Only a script can pass binary data on.
fn keep_dump(shop: &mut Client, id: &str) {
    let keep = "return redis.call('SET', 'dump:' .. KEYS[1], redis.call('DUMP', KEYS[1]))";
    shop.ask(["EVAL", keep, "1", &format!("reservation:{id}")]);
}

/// Replaces whatever is there by the saved dump, with this deadline.
fn restore_dump(shop: &mut Client, id: &str, until: i64) {
    let restore = "return redis.call('RESTORE', KEYS[1], ARGV[1], redis.call('GET', 'dump:' .. KEYS[1]), \
                   'REPLACE', 'ABSTTL')";
    shop.ask(["EVAL", restore, "1", &format!("reservation:{id}"), &until.to_string()]);
}

#[test]
fn its_dump_restored_over_a_live_record_is_the_same_reservation() {
    let (_server, mut shop) = shop(STOCK);
    let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5 Q 2")));
    keep_dump(&mut shop, "A");
    restore_dump(&mut shop, "A", until);
    assert_eq!(shop.ask("INV.GET A")["state"], "reserved");
    assert_eq!(counted(&mut shop, "inv_holds"), 1);
    all_is_back(&mut shop, "RESTORE REPLACE");

    // And with a different deadline.
    let until = deadline(&shop.ask(format!("INV.RESERVE B {LIFE} ITEMS P 5 Q 2")));
    keep_dump(&mut shop, "B");
    restore_dump(&mut shop, "B", until + 100_000);
    let_pass(&mut shop, &until.into());
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("INV.ROLLBACK B"), "OK");
    all_is_back(&mut shop, "RESTORE REPLACE");
}

#[test]
fn a_dump_from_before_a_part_was_sold_gives_back_what_was_left_and_no_more() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE OTHER EX 900 ITEMS P 7");
    let until = deadline(&shop.ask("INV.RESERVE A PX 400 ITEMS P 5"));
    keep_dump(&mut shop, "A");
    shop.ask("INV.COMMIT A ITEMS P 3");
    restore_dump(&mut shop, "A", until);
    assert_eq!(shop.counters("P"), (88, 9));
    wait_for("two are back", SOON, (90, 7), || shop.counters("P"));
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (90, 7));
    assert_eq!(counted(&mut shop, "inv_unexplained_units"), 3);
    assert_eq!(shop.ask("INV.COMMIT OTHER"), "OK");
}

#[test]
fn a_dump_that_comes_back_after_the_end_is_foreign_and_holds_nothing() {
    for end in ["INV.COMMIT A", "INV.ROLLBACK A"] {
        let (_server, mut shop) = shop(STOCK);
        let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5")));
        shop.ask("INV.RESERVE OTHER EX 900 ITEMS P 7");
        keep_dump(&mut shop, "A");
        shop.ask(end);
        let after = shop.counters("P");
        restore_dump(&mut shop, "A", until);
        for command in ["INV.COMMIT A", "INV.ROLLBACK A", "INV.EXTEND A EX 900", "INV.RESERVE A ITEMS P 1"] {
            assert_eq!(code(&shop.refusal(command)), "FOREIGN", "{end}, {command}");
        }
        wait_for("it is gone", SOON, json!(0), || shop.ask("EXISTS reservation:A"));
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), after, "{end}");
        assert_eq!(counted(&mut shop, "inv_holds"), 1, "{end}");
    }
}

#[test]
fn a_dump_whose_outcome_is_not_remembered_takes_nothing_from_others_at_its_deadline() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 0"], STOCK);
    let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5")));
    shop.ask("INV.RESERVE OTHER EX 900 ITEMS P 7");
    keep_dump(&mut shop, "A");
    shop.ask("INV.COMMIT A");
    restore_dump(&mut shop, "A", until);
    wait_for("it is gone", SOON, json!(0), || shop.ask("EXISTS reservation:A"));
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (88, 7));
    assert_eq!(shop.ask("INV.COMMIT OTHER"), "OK");
    assert_eq!(shop.counters("P"), (88, 0));
}

/// Migrates these keys to the first database of another server.
fn migrate(shop: &mut Client, to: &Server, options: &str, keys: &str) {
    let port = to.port().to_string();
    let words = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
    let rest = options.split_whitespace().chain(["KEYS"]).chain(keys.split_whitespace());
    let words: Vec<Vec<u8>> = words.into_iter().chain(rest).map(Into::into).collect();
    assert_eq!(shop.ask(words), "OK");
}

const RESERVATION_AND_COUNTERS: &str = "reservation:A stock:available:P stock:reserved:P";

#[test]
fn migrated_with_its_counters_a_reservation_lives_on_there_and_leaves_nothing_here() {
    for keys in [RESERVATION_AND_COUNTERS, "stock:reserved:P stock:available:P reservation:A"] {
        for ending in ["INV.COMMIT A", "INV.ROLLBACK A", "PING"] {
            let (_source, mut here) = shop(&[("P", 100)]);
            let target = Server::start();
            let mut there = target.connect();
            let reply = here.ask("INV.RESERVE A PX 400 ITEMS P 5");
            migrate(&mut here, &target, "", keys);
            assert_eq!(there.ask("INV.GET A")["state"], "reserved", "{keys}");
            assert_eq!(counted(&mut there, "inv_holds"), 1, "{keys}");
            assert_eq!(counted(&mut here, "inv_holds"), 0, "{keys}");
            there.ask(ending);
            let left = if ending == "INV.COMMIT A" { 95 } else { 100 };
            wait_for(ending, SOON, (left, 0), || there.counters("P"));
            let_pass(&mut here, &reply["expires_at"]);
            let_the_sweep_pass(&mut there);
            assert_eq!(there.counters("P"), (left, 0), "{keys}, {ending}");
            assert_eq!(here.ask("EXISTS stock:available:P stock:reserved:P"), 0, "{keys}, {ending}");
        }
    }
}

#[test]
fn migrated_without_its_counters_a_reservation_gives_its_units_back_here_and_none_there() {
    let (_source, mut here) = shop(STOCK);
    let target = Server::start();
    let mut there = target.connect();
    let reply = here.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    migrate(&mut here, &target, "", "reservation:A");
    assert_eq!(code(&there.refusal("INV.COMMIT A")), "DRIFT");
    let_pass(&mut here, &reply["expires_at"]);
    all_is_back(&mut here, "MIGRATE");
    wait_for("it is gone there too", SOON, json!(0), || there.ask("EXISTS reservation:A"));
    let_the_sweep_pass(&mut there);
    assert_eq!(there.ask("EXISTS stock:available:P stock:reserved:P"), 0);
}

#[test]
fn migrated_as_a_copy_each_server_keeps_its_own_books() {
    let (_source, mut here) = shop(&[("P", 100)]);
    let target = Server::start();
    let mut there = target.connect();
    // Whatever is there is replaced, even a live reservation with the same id.
    there.ask("SET stock:available:P 50");
    there.ask("INV.RESERVE A EX 900 ITEMS P 1");
    let until = deadline(&here.ask("INV.RESERVE A PX 500 ITEMS P 5"));
    migrate(&mut here, &target, "COPY REPLACE", RESERVATION_AND_COUNTERS);
    for shop in [&mut here, &mut there] {
        assert_eq!(shop.ask("INV.GET A")["state"], "reserved");
        assert_eq!(shop.counters("P"), (95, 5));
        assert_eq!(counted(shop, "inv_holds"), 1);
    }
    assert_eq!(here.ask("INV.COMMIT A"), "OK");
    sleep_past(until);
    wait_for("the units are back there", SOON, (100, 0), || there.counters("P"));
    let_the_sweep_pass(&mut there);
    let_the_sweep_pass(&mut here);
    assert_eq!((here.counters("P"), there.counters("P")), ((95, 0), (100, 0)));
}

#[test]
fn a_flush_takes_the_reservations_of_the_databases_that_it_empties() {
    for (flush, others_live) in [
        ("FLUSHDB", true),
        ("FLUSHDB ASYNC", true),
        ("FLUSHDB SYNC", true),
        ("FLUSHALL", false),
        ("FLUSHALL ASYNC", false),
    ] {
        let (_server, mut shop) = shop(STOCK);
        let until = deadline(&shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5")));
        select(&mut shop, 1);
        shop.ask("SET stock:available:P 100");
        shop.ask(format!("INV.RESERVE A PXAT {until} ITEMS P 5"));
        select(&mut shop, 0);
        shop.ask(flush);
        assert_eq!(counted(&mut shop, "inv_holds"), i64::from(others_live), "{flush}");
        let_pass(&mut shop, &until.into());
        assert_eq!(shop.ask("EXISTS stock:available:P stock:reserved:P"), 0, "{flush}");
        select(&mut shop, 1);
        let left = if others_live { 100 } else { 0 };
        wait_for(flush, SOON, (left, 0), || shop.counters("P"));
        // A flushed database starts over.
        select(&mut shop, 0);
        shop.ask("SET stock:available:P 10");
        shop.ask("INV.RESERVE A ITEMS P 3");
        assert_eq!(shop.ask("INV.COMMIT A"), "OK", "{flush}");
        assert_eq!(shop.counters("P"), (7, 0), "{flush}");
    }
}

#[test]
fn a_swap_of_two_databases_takes_each_reservation_along_with_its_counters() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    shop.ask("INV.RESERVE B EX 900 ITEMS P 1");
    select(&mut shop, 1);
    shop.ask("SET stock:available:P 50");
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 7"));
    shop.ask("INV.RESERVE C EX 900 ITEMS P 2");
    shop.ask("DEL reservation:C");
    shop.ask("SWAPDB 0 1");
    assert_eq!(shop.counters("P"), (94, 6));
    wait_for("the units are back", SOON, (99, 1), || shop.counters("P"));
    assert_eq!(shop.ask("INV.COMMIT B"), "OK");
    select(&mut shop, 0);
    wait_for("the units are back", SOON, (48, 2), || shop.counters("P"));
    // And back.
    shop.ask("SWAPDB 1 0");
    assert_eq!(shop.counters("P"), (99, 0));
    assert_eq!(counted(&mut shop, "inv_holds"), 0);
    assert_eq!(counted(&mut shop, "inv_expired_total"), 2);
}

// --- eviction ---

/// Skus that are reserved while the server evicts keys, and their stock.
const HOT: [(&str, i64); 3] = [("H0", 100_000), ("H1", 100_000), ("H2", 100_000)];

/// A server with this policy that was full of reservations until `enough`, and now has enough memory again.
fn evicting(policy: &str, mut enough: impl FnMut(&mut Client) -> bool) -> (Server, Client) {
    let options = [&*format!("maxmemory-policy {policy}"), "appendonly yes"];
    let (server, mut shop) = shop_with(&options, &HOT);
    let cold: Vec<String> = (0..2000).map(|n| format!("SET stock:available:C{n} 7")).collect();
    shop.burst(&cold.iter().map(String::as_str).collect::<Vec<_>>());
    let used: u64 = shop.info("memory", "used_memory").parse().expect("a number");
    shop.ask(format!("CONFIG SET maxmemory {}", used + 1_000_000));
    let data = "d".repeat(2000);
    let mut n = 0;
    wait_until("the server evicts", SOON * 5, || {
        for _ in 0..50 {
            let hot = n % 2;
            // OOM, if there is nothing to evict at the moment.
            let asked = shop.try_ask(format!("INV.RESERVE R{n} EX 900 DATA {data} ITEMS H{hot} 2 H2 1"));
            if asked.is_err_and(|error| code(&error) == "INSUFFICIENT") {
                // Their own counters may be evicted; without stock, nothing would fill the memory any more.
                for sku in [&*format!("H{hot}"), "H2"] {
                    let _ = shop.try_ask(format!("INV.SET {sku} 100000 NX"));
                }
            }
            n += 1;
        }
        enough(&mut shop)
    });
    shop.ask("CONFIG SET maxmemory 0");
    (server, shop)
}

/// The counters that were evicted according to the log, in order.
fn evicted_counters(server: &Server) -> Vec<String> {
    let name = |line: &str| {
        let (_, rest) = line.split_once("the counter ")?;
        Some(rest.split_once(" was evicted")?.0.to_owned())
    };
    server.log().lines().filter_map(name).collect()
}

/// Rolls back every live reservation.
fn roll_all_back(shop: &mut Client, books: &Books) {
    for id in &books.live {
        assert_eq!(shop.ask(format!("INV.ROLLBACK {id}")), "OK", "{id}");
    }
    assert_eq!(counted(shop, "inv_holds"), 0);
}

#[test]
fn an_eviction_among_the_volatile_keys_loses_no_unit() {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let (mut server, mut shop) = evicting(policy, |shop| counted(shop, "inv_expired_total") >= 20);
        assert_ne!(shop.info("stats", "evicted_keys"), "0", "{policy}");
        let books = Books::balanced(&mut shop);
        let expected: Units = HOT.iter().map(|&(sku, units)| (sku.to_owned(), units)).collect();
        let hot = |units: Units| -> Units {
            units.into_iter().filter(|(sku, _)| expected.contains_key(sku)).collect()
        };
        assert_eq!(hot(books.on_hand()), expected, "{policy}");
        assert_eq!(counted(&mut shop, "inv_holds"), many(books.live.len()), "{policy}");
        assert_eq!(counted(&mut shop, "inv_unexplained_units"), 0, "{policy}");
        assert_eq!(counted(&mut shop, "inv_evicted_counters_total"), 0, "{policy}");
        assert_eq!(books.available.len(), 2000 + HOT.len(), "{policy}: no counter was evicted");
        // An AOF load gives the same result.
        server.kill();
        server.start_again();
        let mut shop = server.connect();
        let again = Books::balanced(&mut shop);
        assert_eq!((&again.available, &again.live), (&books.available, &books.live), "{policy}");
        roll_all_back(&mut shop, &again);
        assert_eq!(hot(Books::read(&mut shop).available), expected, "{policy}");
    }
}

#[test]
fn an_evicted_counter_is_logged_and_counted_and_the_others_lose_no_unit() {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
        let enough = |shop: &mut Client| {
            counted(shop, "inv_evicted_counters_total") >= 3 && counted(shop, "inv_expired_total") >= 3
        };
        let (server, mut shop) = evicting(policy, enough);
        let evicted = evicted_counters(&server);
        let total = counted(&mut shop, "inv_evicted_counters_total");
        assert_eq!(many(evicted.len()), total, "{policy}: one log line for each");
        let evicted: BTreeSet<&str> = evicted.iter().map(String::as_str).collect();
        let gone: BTreeSet<String> = (0..2000)
            .map(|n| format!("stock:available:C{n}"))
            .filter(|name| shop.ask(["EXISTS", name]) == 0)
            .collect();
        let named: BTreeSet<String> =
            evicted.iter().filter(|name| name.contains(":C")).map(|&name| name.to_owned()).collect();
        assert_eq!(gone, named, "{policy}");

        let_the_sweep_pass(&mut shop);
        let books = Books::read(&mut shop);
        let touched = |sku: &str| {
            ["available", "reserved"].iter().any(|kind| evicted.contains(&*format!("stock:{kind}:{sku}")))
        };
        let whole: BTreeMap<&str, i64> = HOT.iter().copied().filter(|(sku, _)| !touched(sku)).collect();
        for (sku, units) in whole {
            assert_eq!(books.on_hand()[sku], units, "{policy}: {sku}");
            assert_eq!(books.reserved[sku], books.held[sku], "{policy}: {sku}");
        }
    }
}

#[test]
fn an_evicted_reservation_is_expired_at_once() {
    let (_server, mut shop) = evicting("volatile-ttl", |shop| counted(shop, "inv_expired_total") >= 1);
    let books = Books::balanced(&mut shop);
    assert!(!books.ended.is_empty());
    for (id, state) in &books.ended {
        assert_eq!(state, "expired", "{id}");
        assert_eq!(code(&shop.refusal(format!("INV.COMMIT {id}"))), "EXPIRED");
    }
    roll_all_back(&mut shop, &books);
}

#[test]
fn every_policy_that_evicts_is_warned_about_at_load_and_when_it_is_set() {
    let warnings = |server: &Server, policy: &str| {
        let line = format!("maxmemory-policy {policy} can evict reservations");
        server.log().matches(&line).count()
    };
    let quiet = Server::start();
    let mut shop = quiet.connect();
    assert_eq!(quiet.log().matches("can evict").count(), 0);
    for policy in [
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
    ] {
        shop.ask(format!("CONFIG SET maxmemory-policy {policy}"));
        assert_eq!(warnings(&quiet, policy), 1, "{policy} set");
        let server = Server::start_with(&[&format!("maxmemory-policy {policy}")]);
        assert_eq!(warnings(&server, policy), 1, "{policy} at load");
    }
    shop.ask("CONFIG SET maxmemory-policy noeviction");
    assert_eq!(warnings(&quiet, "noeviction"), 0);
}

#[test]
fn a_replica_that_will_not_swap_its_data_says_so_at_load_and_when_that_is_set() {
    let line = "repl-diskless-load swapdb is not used while inv is loaded";
    let master = Server::start_with(&["repl-diskless-sync yes"]);
    let replica = master.replica();
    assert_eq!(replica.log().matches(line).count(), 0);
    replica.connect().ask("CONFIG SET repl-diskless-load swapdb");
    assert_eq!(replica.log().matches(line).count(), 1, "when it is set");
    let replica = master.replica_with(&["repl-diskless-load swapdb"]);
    let log = replica.log();
    assert_eq!(log.matches(line).count(), 1, "at load");
    // This is the server's own message.
    assert!(log.contains("Skipping diskless-load"), "{log}");
    let log = master.replica_with(&["repl-diskless-load on-empty-db"]).log();
    assert!(!log.contains("Skipping diskless-load"), "{log}");
}

#[test]
fn several_databases_in_a_cluster_of_valkey_9_are_warned_about() {
    let line = "cluster-databases is above 1";
    let version = Server::start().connect().info("server", "valkey_version");
    if !version.starts_with("9.") {
        // Only one server has this setting.
        return;
    }
    for (options, warnings) in [
        (&["cluster-enabled yes"][..], 0),
        (&["cluster-enabled yes", "cluster-databases 4"], 1),
        (&["cluster-databases 4"], 0),
    ] {
        let server = Server::start_with(options);
        assert_eq!(server.log().matches(line).count(), warnings, "{options:?}");
    }
}

#[test]
fn a_copy_in_another_database_takes_nothing_that_others_hold_there() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    shop.ask("SELECT 1");
    shop.ask("SET stock:available:P 50");
    shop.ask("INV.RESERVE B ITEMS P 7");
    shop.ask("SELECT 0");
    shop.ask("COPY reservation:A reservation:A DB 1");
    shop.ask("SELECT 1");
    for command in ["INV.COMMIT A", "INV.ROLLBACK A", "INV.COMMIT A ITEMS P 1"] {
        assert_eq!(code(&shop.refusal(command)), "DRIFT", "{command}");
    }
    // An extension does not add units.
    shop.ask("INV.EXTEND A PX 500");
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "DRIFT");
    assert_eq!(shop.ask("INV.COMMIT B"), "OK");
    assert_eq!(shop.counters("P"), (43, 0));
}

#[test]
fn a_record_whose_ttl_another_client_has_changed_still_belongs_to_the_module() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask(format!("INV.RESERVE A {LIFE} ITEMS P 5"));
    shop.ask("PEXPIRE reservation:A 900000");
    // Another client has lowered the counter: the first commit gets what is left.
    shop.ask("INV.RESERVE B ITEMS P 5");
    shop.ask("DECRBY stock:reserved:P 1");
    assert_eq!(shop.ask("INV.COMMIT A"), "OK");
}

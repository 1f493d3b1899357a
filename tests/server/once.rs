//! ONCE: a command that is sent again with its token gets the first answer again and changes nothing.

use crate::harness::{Client, Json, SOON, assert_same, assert_same_data, code, json, wait_for, wait_until};
use crate::shop::{between, shop, shop_with};

const STOCK: &[(&str, i64)] = &[("P", 100), ("Q", 100)];

/// Sends the command twice, and asserts that the answer is the same and the second one changes nothing.
fn twice(shop: &mut Client, command: &str) -> Json {
    let first = shop.ask(command);
    let between = shop.contents();
    assert_eq!(shop.ask(command), first, "{command}");
    assert_same(&shop.contents(), &between);
    first
}

#[test]
fn every_writing_command_answers_the_same_to_the_same_token() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 10 Q 5");
    for command in [
        "INV.RESERVE R2 ONCE t1 ITEMS P 3",
        "INV.RESERVE * ONCE t1 ITEMS P 3",
        "INV.RESERVE cart-* EX 60 ONCE t1 ITEMS P 3",
        "INV.COMMIT R1 ONCE t1 ITEMS P 2",
        "INV.ROLLBACK R1 ONCE t1 ITEMS P 2",
        "INV.EXTEND R1 EX 600 ONCE t1",
        "INV.ADJUST P 7 ONCE t1",
        "INV.ADJUST P -3 ONCE t2",
        "INV.SET P AVAILABLE 50 ONCE t1",
        "INV.SET P ONHAND 90 ONCE t2",
        "INV.SET Q AVAILABLE 7 IFEQ 95 ONCE t3",
        "INV.COMMIT R1 ONCE t9",
        "INV.ROLLBACK R2 ONCE t9",
    ] {
        twice(&mut shop, command);
    }
}

#[test]
fn the_first_answer_comes_again_when_the_world_has_moved_on() {
    let (_server, mut shop) = shop(STOCK);
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE delivery-1"), 107);
    shop.ask("INV.RESERVE R1 ITEMS P 50");
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE delivery-1"), 107);
    assert_eq!(shop.counters("P"), (57, 50));

    let deadline = shop.ask("INV.EXTEND R1 EX 600 ONCE click-1");
    let later = shop.ask("INV.EXTEND R1 EX 1200");
    assert_eq!(shop.ask("INV.EXTEND R1 EX 600 ONCE click-1"), deadline);
    assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), later);
}

#[test]
fn a_part_that_ended_the_reservation_still_answers_its_token() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.ROLLBACK R1 ONCE parcel-1 ITEMS P 2");
    shop.ask("INV.COMMIT R1 ONCE parcel-2 ITEMS P 3");
    assert_eq!(shop.counters("P"), (97, 0));
    // The state is COMMITTED by now, but the token has its own answer.
    assert_eq!(shop.ask("INV.ROLLBACK R1 ONCE parcel-1 ITEMS P 2"), "OK");
    assert_eq!(shop.ask("INV.COMMIT R1 ONCE parcel-2 ITEMS P 3"), "OK");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1 ONCE parcel-3 ITEMS P 2")), "COMMITTED");
    assert_eq!(shop.counters("P"), (97, 0));
}

#[test]
fn a_generated_id_is_generated_once() {
    let (_server, mut shop) = shop(STOCK);
    let first = shop.ask("INV.RESERVE * ONCE click-1 ITEMS P 3");
    assert_eq!(shop.ask("INV.RESERVE * ONCE click-1 ITEMS P 3"), first);
    assert_ne!(shop.ask("INV.RESERVE * ONCE click-2 ITEMS P 3"), first);
    assert_ne!(shop.ask("INV.RESERVE cart-* ONCE click-1 ITEMS P 3"), first);
    assert_eq!(shop.counters("P"), (91, 9));
}

#[test]
fn a_token_of_a_reservation_that_has_ended_answers_how() {
    let (_server, mut shop) = shop(STOCK);
    for id in ["R1", "*", "cart-*"] {
        for (end, expected) in [("COMMIT", "COMMITTED"), ("ROLLBACK", "ROLLEDBACK"), ("", "EXPIRED")] {
            let reserve = format!("INV.RESERVE {id} EX 600 ONCE {expected} ITEMS P 3");
            let made = shop.ask(&*reserve)["reservation_id"].as_str().expect("an id").to_owned();
            if end.is_empty() {
                shop.ask(format!("PEXPIRE reservation:{made} 1"));
                wait_until("it has expired", SOON, || {
                    shop.ask(format!("INV.GET {made}"))["state"] == "expired"
                });
            } else {
                shop.ask(format!("INV.{end} {made}"));
            }
            let refusal = shop.refusal(&*reserve);
            assert!(refusal.starts_with(&format!("{expected} reservation {made} ")), "{refusal}");
            shop.ask(format!("DEL inventory:outcome:{made}"));
            let refusal = shop.refusal(&*reserve);
            assert!(refusal.starts_with(&format!("NOTFOUND reservation {made} is unknown")), "{refusal}");
        }
    }
    wait_for("nothing is held", SOON, (91, 0), || shop.counters("P"));
}

#[test]
fn the_token_of_a_reservation_lives_until_its_end_is_forgotten() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 60000"], STOCK);
    let reserved = shop.ask("INV.RESERVE R1 EX 600 ONCE t ITEMS P 3");
    let keys = shop.ask("KEYS inventory:once:*");
    let until = shop.ask(["PEXPIRETIME", keys[0].as_str().expect("a name")]);
    assert_eq!(until.as_i64(), reserved["expires_at"].as_i64().map(|at| at + 60_000));
}

#[test]
fn a_token_with_other_arguments_is_a_mismatch() {
    let (_server, mut shop) = shop(STOCK);
    for step in [
        "INV.RESERVE R1 ONCE t ITEMS P 5 Q 5",
        "INV.RESERVE * ONCE t ITEMS P 5",
        "INV.COMMIT R1 ONCE t ITEMS P 2",
        "INV.ROLLBACK R1 ONCE t ITEMS P 1",
        "INV.ADJUST P 7 ONCE t",
        "INV.SET Q ONHAND 90 ONCE t",
    ] {
        shop.ask(step);
    }
    let before = shop.contents();
    for other in [
        "INV.RESERVE * ONCE t ITEMS P 6",
        "INV.COMMIT R1 ONCE t ITEMS P 1",
        "INV.COMMIT R1 ONCE t ITEMS Q 2",
        "INV.COMMIT R1 ONCE t",
        "INV.ROLLBACK R1 ONCE t ITEMS P 2",
        "INV.ADJUST P 8 ONCE t",
        "INV.SET Q ONHAND 91 ONCE t",
        "INV.SET Q AVAILABLE 90 ONCE t",
    ] {
        let refusal = shop.refusal(other);
        assert_eq!(code(&refusal), "MISMATCH", "{other}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_token_counts_for_one_command_and_one_id() {
    let (_server, mut shop) = shop(STOCK);
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE t"), 107);
    assert_eq!(shop.ask("INV.ADJUST Q 7 ONCE t"), 107);
    assert_eq!(shop.ask("INV.SET P AVAILABLE 50 ONCE t"), 50);
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE T"), 57);
    // Pairs of an id and a token whose concatenations are equal.
    assert_eq!(shop.ask("INV.ADJUST A 1 ONCE B:1"), 1);
    assert_eq!(shop.ask("INV.ADJUST A:B 2 ONCE 1"), 2);
    shop.ask("SELECT 1");
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE t"), 7);
}

#[test]
fn only_successes_are_remembered() {
    let (_server, mut shop) = shop(STOCK);
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ONCE t ITEMS P 101")), "INSUFFICIENT");
    assert_eq!(code(&shop.refusal("INV.ADJUST P -101 ONCE t")), "INSUFFICIENT");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ONCE t ITEMS P 1")), "NOTFOUND");
    assert_eq!(shop.ask("KEYS inventory:once:*"), json!([]));
    shop.ask("INV.ADJUST P 1");
    assert_eq!(shop.ask("INV.ADJUST P -101 ONCE t"), 0);
    shop.ask("INV.ADJUST P 101");
    shop.ask("INV.RESERVE R1 ONCE t ITEMS P 101");
    assert_eq!(shop.ask("INV.COMMIT R1 ONCE t ITEMS P 1"), "OK");
}

#[test]
fn a_token_is_a_plain_key_with_a_ttl() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 60000"], STOCK);
    shop.ask("INV.ADJUST P 7 ONCE t");
    let keys = shop.ask("KEYS inventory:once:*");
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
    let key = keys[0].as_str().expect("a name");
    assert_eq!(shop.ask(["TYPE", key]), "string");
    assert!(between(50_000, &shop.ask(["PTTL", key]), 60_000));
}

#[test]
fn a_token_is_forgotten_after_its_time() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 100"], STOCK);
    assert_eq!(shop.ask("INV.ADJUST P 1 ONCE t"), 101);
    let first = shop.now();
    wait_until("the token is forgotten", SOON, || shop.now() > first + 100);
    assert_eq!(shop.ask("INV.ADJUST P 1 ONCE t"), 102);
}

#[test]
fn without_outcomes_there_are_no_tokens() {
    let (_server, mut shop) = shop_with(&["inv.outcome-ttl-ms 0"], STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    for command in [
        "INV.RESERVE R2 ONCE t ITEMS P 1",
        "INV.COMMIT R1 ONCE t ITEMS P 1",
        "INV.ROLLBACK R1 ONCE t",
        "INV.EXTEND R1 EX 60 ONCE t",
        "INV.ADJUST P 1 ONCE t",
        "INV.SET P AVAILABLE 1 ONCE t",
    ] {
        assert_eq!(code(&shop.refusal(command)), "ERR", "{command}");
    }
    assert_eq!(shop.counters("P"), (95, 5));
}

#[test]
fn a_command_whose_reply_was_lost_is_sent_again_without_harm() {
    let (server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R0 EX 900 ITEMS P 10");
    for command in [
        "INV.RESERVE R1 EX 900 ITEMS P 3",
        "INV.RESERVE * ONCE t ITEMS P 3",
        "INV.COMMIT R1",
        "INV.COMMIT R0 ONCE t ITEMS P 1",
        "INV.ROLLBACK R0 ONCE t ITEMS P 1",
        "INV.EXTEND R0 EX 60 ONCE t",
        "INV.ADJUST P 5 ONCE t",
        "INV.SET Q ONHAND 9 ONCE t",
        "INV.ROLLBACK R0",
    ] {
        shop.ask("CONFIG RESETSTAT");
        let mut dying = server.connect();
        dying.send(command);
        wait_until("the server has executed it", SOON, || ran(&mut shop, command) > 0);
        drop(dying);
        let held = shop.contents();
        shop.ask(command);
        assert_same(&shop.contents(), &held);
    }
}

/// How often the server has executed this command since CONFIG RESETSTAT.
fn ran(shop: &mut Client, command: &str) -> u64 {
    let name = command.split(' ').next().expect("a name");
    let statistics = shop.info("commandstats", &format!("cmdstat_{name}"));
    let calls = statistics.split(',').find_map(|part| part.strip_prefix("calls="));
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

#[test]
fn tokens_reach_the_replica_and_survive_a_restart() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], STOCK);
    let replica = server.replica();
    let reply = shop.ask("INV.RESERVE * ONCE t ITEMS P 3");
    shop.ask("INV.ADJUST P 7 ONCE t");
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(shop.ask("INV.RESERVE * ONCE t ITEMS P 3"), reply);
    assert_eq!(shop.ask("INV.ADJUST P 7 ONCE t"), 104);
    assert_eq!(shop.counters("P"), (104, 3));
    replica.connect().ask("REPLICAOF NO ONE");
    assert_eq!(replica.connect().ask("INV.ADJUST P 7 ONCE t"), 104);
}

#[test]
fn a_token_is_checked_like_an_id() {
    let (_server, mut shop) = shop(STOCK);
    let long = "x".repeat(257);
    let bad: [&[u8]; 5] = [b"", b"a\nb", b"a\0b", b"\xff", long.as_bytes()];
    for token in bad {
        let words: [&[u8]; 5] = [b"INV.ADJUST", b"P", b"1", b"ONCE", token];
        assert_eq!(code(&shop.refusal(words)), "ERR");
    }
    for command in
        ["INV.ADJUST P 1 ONCE", "INV.ADJUST P 1 ONCE a ONCE b", "INV.RESERVE R1 ONCE ITEMS ITEMS P 1"]
    {
        assert_eq!(code(&shop.refusal(command)), "ERR", "{command}");
    }
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn an_answer_that_had_nothing_to_do_is_remembered_too() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    let again = shop.ask("INV.RESERVE R1 ONCE a ITEMS P 1");
    assert_eq!(shop.ask("INV.RESERVE R1 ONCE a ITEMS P 1"), again);
    shop.ask("INV.COMMIT R1");
    shop.ask("INV.COMMIT R1 ONCE b");
    shop.ask("DEL inventory:outcome:R1");
    assert_eq!(shop.ask("INV.COMMIT R1 ONCE b"), "OK");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ONCE c")), "NOTFOUND");
}

#[test]
fn late_counts_among_the_arguments() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    shop.ask("INV.COMMIT R1 LATE ONCE a");
    assert_eq!(code(&shop.refusal("INV.COMMIT R1 ONCE a")), "MISMATCH");
}

//! INV.EXTEND: moving the deadline of a live reservation.

use crate::harness::{SOON, assert_same, code, json, wait_for, wire_code};
use crate::shop::{between, let_the_sweep_pass, shop, shop_with, stored};

const STOCK: &[(&str, i64)] = &[("P", 100)];

#[test]
fn extend_moves_the_deadline_later_and_says_where_it_is() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 EX 60 DATA cart ITEMS P 5");
    let before = shop.document("reservation:R1");
    let now = shop.now();
    let at = now + 500_000;
    let second = at / 1000;
    for (time, lowest) in [
        ("EX 600", now + 600_000),
        ("px 700000", now + 700_000),
        (&*format!("EXAT {second}"), second * 1000),
        (&*format!("pxat {at}"), at),
    ] {
        let deadline = shop.ask(format!("INV.EXTEND R1 {time}"));
        let highest = if time.to_ascii_uppercase().contains("AT") { lowest } else { lowest + 5_000 };
        assert!(between(lowest, &deadline, highest), "{time}: {deadline}");
        assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), deadline, "{time}");
        assert_eq!(shop.ask("INV.GET R1")["expires_at"], deadline, "{time}");
        let mut record = shop.document("reservation:R1");
        assert_eq!(record["expires_at"], deadline, "{time}");
        record["expires_at"] = before["expires_at"].clone();
        assert_eq!(record, before, "{time}: only the deadline changes");
    }
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
}

#[test]
fn an_extended_reservation_lives_past_its_first_deadline() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE R1 PX 50 ITEMS P 5",
        "INV.EXTEND R1 EX 900",
        "DEBUG SLEEP 0.1",
        "INV.RESERVE R1 ITEMS P 5",
    ]);
    assert_eq!(replies[3]["expires_at"], replies[1]);
    let_the_sweep_pass(&mut shop);
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
}

#[test]
fn a_shortened_reservation_ends_at_its_new_deadline() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 EX 900 ITEMS P 5");
    let deadline = shop.ask("INV.EXTEND R1 PX 50");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.document("inventory:outcome:R1")["expires_at"], deadline);
}

#[test]
fn what_has_ended_is_not_extended() {
    let (_server, mut shop) = shop(STOCK);
    for step in [
        "INV.RESERVE SOLD ITEMS P 1",
        "INV.COMMIT SOLD",
        "INV.RESERVE BACK ITEMS P 1",
        "INV.ROLLBACK BACK",
        "SET reservation:LUA text EX 900",
    ] {
        shop.ask(step);
    }
    let before = shop.contents();
    for (id, expected) in
        [("SOLD", "COMMITTED"), ("BACK", "ROLLEDBACK"), ("NOBODY", "NOTFOUND"), ("LUA", "FOREIGN")]
    {
        assert_eq!(code(&shop.refusal(format!("INV.EXTEND {id} EX 900"))), expected, "{id}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn past_the_deadline_extend_is_expired_before_the_sweep_comes() {
    let (_server, mut shop) = shop(STOCK);
    let replies = shop.burst(&[
        "INV.RESERVE R1 PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "INV.EXTEND R1 EX 900",
        "INV.EXTEND R1 EX 900",
    ]);
    assert_eq!(wire_code(&replies[2]), "-EXPIRED");
    assert_eq!(wire_code(&replies[3]), "-EXPIRED");
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn the_whole_life_is_limited_if_a_limit_is_set() {
    let (_server, mut shop) = shop_with(&["inv.max-hold-ms 60000"], STOCK);
    let reply = shop.ask("INV.RESERVE R1 EX 30 ITEMS P 5");
    let created_at = shop.ask("INV.GET R1")["created_at"].as_i64().expect("a time");
    // The limit counts from the creation of the reservation, not from now.
    for beyond in [format!("PXAT {}", created_at + 60_001), "EX 61".to_owned()] {
        assert_eq!(code(&shop.refusal(format!("INV.EXTEND R1 {beyond}"))), "ERR", "{beyond}");
    }
    assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), reply["expires_at"]);
    let most = created_at + 60_000;
    assert_eq!(shop.ask(format!("INV.EXTEND R1 PXAT {most}")), most);
    assert_eq!(code(&shop.refusal("INV.RESERVE R2 EX 61 ITEMS P 5")), "ERR");
    shop.ask("INV.RESERVE R2 EX 60 ITEMS P 5");
}

#[test]
fn a_deadline_in_the_wrong_unit_is_refused_and_says_how_far_it_is() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let at = shop.now() + 900_000;
    for limit in ["inv.max-hold-ms", ""] {
        for command in [format!("INV.RESERVE R2 EXAT {at} ITEMS P 1"), format!("INV.EXTEND R1 EXAT {at}")] {
            let refusal = shop.refusal(&*command);
            assert!(refusal.starts_with("ERR the deadline is "), "{refusal}");
            let days: i64 = refusal
                .split(['(', ' '])
                .find_map(|word| word.parse().ok().filter(|days| *days < 100_000_000))
                .expect("days");
            assert!(days > 20_000_000, "{refusal}");
            assert!(
                refusal.contains(limit)
                    && refusal.ends_with("EX and EXAT take seconds, PX and PXAT milliseconds"),
                "{refusal}"
            );
        }
        shop.ask("CONFIG SET inv.max-hold-ms 0");
    }
    // Without a limit: a hundred years.
    assert_eq!(code(&shop.refusal("INV.EXTEND R1 PX 3155760000001")), "ERR");
    shop.ask("INV.EXTEND R1 PX 3155760000000");
}

#[test]
fn a_hold_that_an_earlier_configuration_allowed_keeps_its_deadline() {
    let (mut server, mut shop) = shop_with(&["inv.max-hold-ms 0", "appendonly yes"], STOCK);
    let held = shop.ask("INV.RESERVE R1 EX 31536000 ITEMS P 5");
    server.shut_down();
    server.change_option("inv.max-hold-ms 0", "inv.max-hold-ms 2678400000");
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), held["expires_at"]);
    assert_eq!(shop.ask("INV.RESERVE R1 ITEMS P 5"), held);
    assert_eq!(code(&shop.refusal("INV.EXTEND R1 EX 31536000")), "ERR");
    shop.ask("INV.COMMIT R1 ITEMS P 1");
    assert_eq!(shop.ask("PEXPIRETIME reservation:R1"), held["expires_at"]);
}

#[test]
fn a_deadline_that_is_none_is_an_error() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let before = shop.contents();
    for time in
        ["EX 0", "PX -1", "PXAT 1", "EX x", "EX", "PX 99999999999999999999", "EX 60 PX 5", "NONSENSE 5", ""]
    {
        let refusal = shop.refusal(format!("INV.EXTEND R1 {time}"));
        assert_eq!(code(&refusal), "ERR", "{time}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn extend_propagates_the_record_with_its_new_deadline() {
    let (server, mut shop) = shop_with(&["appendonly yes"], STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let propagated = server.propagated_by(|| {
        shop.ask("INV.EXTEND R1 EX 60");
    });
    let (record, _) = stored(&mut shop, "reservation:R1");
    assert_eq!(propagated, [format!("INV.APPLY 3 RECORD {record} reservation:R1")]);
}

#[test]
fn extend_works_in_resp2() {
    let (server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let at = shop.now() + 60_000;
    assert_eq!(server.connect_resp2().ask(format!("INV.EXTEND R1 PXAT {at}")), json!(at));
}

//! Histories with a planted fault, which the checker must find, and histories that are unusual but right, in which it must find
//! nothing.

use serde_json::json;

use super::scribe::{BEGINNING, Scribe};
use crate::check::check;
use crate::record::{Durability, History, Outcome};

/// What the checker finds, each kind once.
#[track_caller]
fn found(history: &History) -> Vec<&'static str> {
    let verdict = check(history);
    let mut found: Vec<&str> = verdict.findings.iter().map(|finding| finding.what).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[track_caller]
fn nothing_is_found(scribe: &Scribe) {
    let verdict = check(&scribe.history);
    let shown: Vec<String> = verdict.findings.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

#[track_caller]
fn is_found(scribe: &Scribe, what: &str) {
    let found = found(&scribe.history);
    assert!(found.contains(&what), "{what} is not among {found:?}");
}

/// A shop with 10 units of P.
fn shop() -> Scribe {
    let mut scribe = Scribe::new(Durability::Everysec);
    scribe.adjust("P", 10);
    scribe
}

#[test]
fn an_ordinary_day_has_no_findings() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.stock("P");
    scribe.reserve("B", "P", 2, "");
    scribe.commit("A");
    scribe.ok("INV.COMMIT A");
    scribe.refused(
        "INV.ROLLBACK A",
        "COMMITTED reservation A was committed at 1: use a new id for a new order",
    );
    scribe.roll_back("B");
    scribe.reserve("C", "P", 7, "");
    scribe.refused("INV.RESERVE D PX 100 ITEMS P 1", "INSUFFICIENT P requested 1, available 0");
    scribe.let_pass(1000);
    scribe.end("C", "expired");
    scribe.refused("INV.COMMIT C", "EXPIRED reservation C expired at 1");
    scribe.end("C", "committed_late");
    scribe.ok("INV.COMMIT C LATE");
    scribe.rest();
    scribe.stock("P");
    nothing_is_found(&scribe);
}

#[test]
fn a_unit_that_is_sold_twice_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.commit("A");
    scribe.commit("A");
    is_found(&scribe, "more units returned or sold than were held");
}

#[test]
fn a_unit_that_is_sold_and_returned_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.commit("A");
    scribe.end("A", "expired");
    is_found(&scribe, "more units returned or sold than were held");
}

#[test]
fn more_units_than_there_were_are_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 8, "");
    scribe.reserve("B", "P", 8, "");
    is_found(&scribe, "more units held and sold than there were");
}

#[test]
fn a_release_that_is_lost_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.let_pass(2000);
    scribe.rest();
    scribe.stock("P");
    is_found(&scribe, "units that never came back");
}

#[test]
fn a_write_that_is_in_no_entry_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    // Another program takes a unit.
    scribe.entry("adjusted", "P", -1, None, Some("x"));
    let feed = scribe.history.feeds.get_mut("shop").expect("a feed");
    feed.pop();
    scribe.commit("A");
    is_found(&scribe, "units moved without an entry");
}

#[test]
fn a_retry_that_is_answered_otherwise_is_found() {
    for error in
        ["NOTFOUND reservation A is unknown", "ROLLEDBACK reservation A was rolled back at 1", "EXPIRED at 1"]
    {
        let mut scribe = shop();
        scribe.reserve("A", "P", 3, "");
        scribe.commit("A");
        scribe.refused("INV.COMMIT A", error);
        assert_eq!(found(&scribe.history), ["an answer that contradicts others"], "{error}");
    }
}

#[test]
fn a_reservation_that_is_both_committed_and_rolled_back_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.commit("A");
    scribe.ok("INV.ROLLBACK A");
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn a_reservation_that_expires_before_its_deadline_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.end("A", "expired");
    scribe.refused("INV.COMMIT A", "EXPIRED reservation A expired at 1");
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn a_reservation_that_is_sold_after_its_deadline_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.let_pass(1000);
    scribe.commit("A");
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn two_answers_to_one_token_are_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    let deadline = scribe.now() + 900;
    scribe.call("INV.EXTEND A PX 900 ONCE x", Outcome::Ok, json!(deadline));
    scribe.let_pass(50);
    scribe.call("INV.EXTEND A PX 900 ONCE x", Outcome::Ok, json!(deadline + 50));
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn two_reservations_of_one_generated_id_are_found() {
    let mut scribe = shop();
    let of = |end: &str| format!("cart-01a20435-fa0d-757e-bfd2-b4245a6bb9{end}");
    for end in ["01", "02"] {
        let id = of(end);
        scribe.hold(&id, "P", 2);
        let answer = scribe.reservation(&id, "P", 2, 500);
        scribe.call("INV.RESERVE cart-* PX 500 ONCE x ITEMS P 2", Outcome::Ok, answer);
    }
    is_found(&scribe, "took effect twice");
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn a_call_without_an_answer_that_takes_effect_twice_is_found() {
    let mut scribe = shop();
    scribe.unknown("INV.ADJUST P 5 ONCE y NOTE late");
    scribe.entry("adjusted", "P", 5, None, Some("late"));
    scribe.call("INV.ADJUST P 5 ONCE y NOTE late", Outcome::Ok, json!(15));
    nothing_is_found(&scribe);
    scribe.entry("adjusted", "P", 5, None, Some("late"));
    is_found(&scribe, "took effect twice");
}

#[test]
fn a_part_that_is_sold_twice_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 8, "");
    scribe.unknown("INV.COMMIT A ONCE p ITEMS P 2");
    scribe.history.calls.last_mut().expect("a call").request = 77;
    for _ in 0..3 {
        scribe.entry("committed", "P", 2, Some("A"), None);
    }
    scribe.ok("INV.COMMIT A ONCE p ITEMS P 2");
    scribe.history.calls.last_mut().expect("a call").request = 77;
    is_found(&scribe, "took effect twice");
}

#[test]
fn a_stale_read_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.read_stock("P", 10, 0);
    assert_eq!(found(&scribe.history), ["a read of what never was"]);

    let mut scribe = shop();
    let deadline = scribe.now() + 500;
    scribe.reserve("A", "P", 3, "");
    scribe.commit("A");
    scribe.get("A", "reserved", deadline);
    assert_eq!(found(&scribe.history), ["an answer that contradicts others"]);
}

#[test]
fn a_refusal_for_lack_of_units_that_were_there_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.roll_back("A");
    scribe.refused("INV.RESERVE B PX 100 ITEMS P 8", "INSUFFICIENT P requested 8, available 7");
    assert_eq!(found(&scribe.history), ["a read of what never was"]);
}

#[test]
fn a_read_while_a_call_is_under_way_may_show_either_state() {
    for (available, reserved) in [(10, 0), (7, 3)] {
        let mut scribe = shop();
        scribe.reserve("A", "P", 3, "");
        scribe.read_stock("P", available, reserved);
        let [.., reserve, read] = scribe.history.calls.as_mut_slice() else { unreachable!() };
        reserve.end = read.end + 1;
        scribe.let_pass(10);
        nothing_is_found(&scribe);
    }
}

#[test]
fn a_limit_that_is_exceeded_is_found() {
    let mut scribe = shop();
    scribe.ok("INV.LIMIT P 4");
    scribe.reserve("A", "P", 3, " BUYER ann");
    scribe.reserve("B", "P", 4, " BUYER bob");
    nothing_is_found(&scribe);
    scribe.commit("A");
    scribe.reserve("C", "P", 2, " BUYER ann");
    assert_eq!(found(&scribe.history), ["a limit exceeded"]);
}

#[test]
fn a_limit_that_is_just_being_changed_may_be_either() {
    let mut scribe = shop();
    scribe.ok("INV.LIMIT P 1");
    scribe.unknown("INV.LIMIT P 3");
    scribe.reserve("A", "P", 3, " BUYER ann");
    nothing_is_found(&scribe);
}

/// INV.QUOTA at rest, of the buyer of what `shop` has sold.
fn quota_at_rest(shop: impl FnOnce(&mut Scribe), held: i64, bought: i64) -> Scribe {
    let mut scribe = self::shop();
    scribe.ok("INV.LIMIT P 4");
    shop(&mut scribe);
    scribe.rest();
    let left = 4 - held - bought;
    let answer = json!({"limit": 4, "held": held, "bought": bought, "left": left});
    scribe.call("INV.QUOTA P ann", Outcome::Ok, answer);
    scribe
}

#[test]
fn a_quota_that_is_not_what_was_sold_is_found() {
    // Ann buys two units and returns two.
    let sell = |scribe: &mut Scribe| {
        scribe.reserve("A", "P", 2, " BUYER ann");
        scribe.reserve("B", "P", 2, " BUYER ann");
        scribe.reserve("C", "P", 1, " BUYER bob");
        scribe.commit("A");
        scribe.roll_back("B");
        scribe.commit("C");
    };
    nothing_is_found(&quota_at_rest(sell, 0, 2));
    for bought in [0, 1, 3, 4] {
        is_found(&quota_at_rest(sell, 0, bought), "another quota than what was sold");
    }
    is_found(&quota_at_rest(sell, 1, 2), "units that never came back");
}

#[test]
fn a_quota_may_lack_what_was_forgiven() {
    let forgive = |outcome: Outcome| {
        move |scribe: &mut Scribe| {
            scribe.reserve("A", "P", 2, " BUYER ann");
            scribe.commit("A");
            scribe.call("INV.ADJUST P@@ann 1 ONCE f", outcome, json!("ERR or the number"));
        }
    };
    let cases = [(Outcome::Ok, false, true), (Outcome::Unknown, true, true), (Outcome::Fail, true, false)];
    for (outcome, two_is_right, one_is_right) in cases {
        for (bought, is_right) in [(2, two_is_right), (1, one_is_right), (0, false)] {
            let scribe = quota_at_rest(forgive(outcome), 0, bought);
            if is_right {
                nothing_is_found(&scribe);
            } else {
                is_found(&scribe, "another quota than what was sold");
            }
        }
    }
    // The failover may have forgotten what was forgiven, because it is in no entry.
    for bought in [2, 1] {
        let scribe = quota_at_rest(
            |scribe| {
                forgive(Outcome::Ok)(scribe);
                scribe.fail_over(3);
            },
            0,
            bought,
        );
        nothing_is_found(&scribe);
    }
}

#[test]
fn a_floor_that_is_exceeded_is_found() {
    let mut scribe = shop();
    scribe.ok("INV.FLOOR P 5");
    scribe.reserve("A", "P", 5, "");
    nothing_is_found(&scribe);
    scribe.reserve("B", "P", 1, "");
    assert_eq!(found(&scribe.history), ["a floor exceeded"]);
}

#[test]
fn what_nobody_asked_for_is_found() {
    let mut scribe = shop();
    scribe.hold("X", "P", 1);
    is_found(&scribe, "nobody asked for it");
}

#[test]
fn an_entry_before_its_call_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.let_pass(100);
    scribe.reserve("B", "P", 1, "");
    // Its call was answered long before that of the entry before it was sent.
    let feed = scribe.history.feeds.get_mut("shop").expect("a feed");
    feed.swap(1, 2);
    for (entry, (available, reserved)) in feed.iter_mut().zip([(10, 0), (9, 1), (6, 4)]) {
        (entry.available, entry.reserved) = (available, reserved);
    }
    is_found(&scribe, "an order against real time");
}

#[test]
fn other_items_than_those_that_were_taken_are_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    let entry = scribe.history.feeds.get_mut("shop").and_then(|feed| feed.last_mut()).expect("an entry");
    (entry.quantity, entry.available, entry.reserved) = (2, 8, 2);
    assert_eq!(found(&scribe.history), ["another answer than what happened"]);
}

#[test]
fn a_call_without_an_answer_may_take_effect_late_or_never() {
    let mut scribe = shop();
    let deadline = scribe.now() + 500;
    scribe.reserve("A", "P", 3, "");
    scribe.unknown("INV.COMMIT A");
    scribe.get("A", "reserved", deadline);
    nothing_is_found(&scribe);
    // It arrives now.
    scribe.end("A", "committed");
    scribe.get("A", "committed", deadline);
    nothing_is_found(&scribe);

    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.unknown("INV.COMMIT A");
    scribe.roll_back("A");
    scribe.refused("INV.COMMIT A", "ROLLEDBACK reservation A was rolled back at 1");
    nothing_is_found(&scribe);
}

#[test]
fn a_failover_may_forget_the_end_of_what_was_answered() {
    let mut scribe = shop();
    let deadline = scribe.now() + 500;
    scribe.reserve("A", "P", 3, "");
    scribe.reserve("B", "P", 2, "");
    scribe.commit("A");
    scribe.refused("INV.ROLLBACK A", "COMMITTED reservation A was committed at 1");
    scribe.fail_over(3);
    scribe.get("A", "reserved", deadline);
    scribe.roll_back("A");
    let verdict = check(&scribe.history);
    nothing_is_found(&scribe);
    assert_eq!((verdict.losses.len(), verdict.losses[0].lost), (1, 1));
}

#[test]
fn a_failover_that_forgets_an_answer_in_the_middle_is_found() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.reserve("B", "P", 2, "");
    scribe.reserve("C", "P", 1, "");
    scribe.fail_over(4);
    // B is forgotten, and C is not.
    let feed = scribe.history.feeds.get_mut("shop").expect("a feed");
    feed.remove(2);
    feed[2].available = 6;
    feed[2].reserved = 4;
    is_found(&scribe, "what was forgotten is not the end");
}

#[test]
fn a_stale_read_after_a_failover_is_found() {
    let mut scribe = Scribe::new(Durability::Wait);
    scribe.adjust("P", 10);
    let deadline = scribe.now() + 500;
    scribe.confirmed = Some(true);
    scribe.reserve("A", "P", 3, "");
    scribe.commit("A");
    scribe.fail_over(2);
    scribe.get("A", "reserved", deadline);
    is_found(&scribe, "a confirmed answer was forgotten");
}

#[test]
fn after_a_failover_that_has_kept_everything_a_stale_answer_is_found() {
    let mut scribe = shop();
    let deadline = scribe.now() + 500;
    scribe.reserve("A", "P", 3, "");
    scribe.reserve("B", "P", 2, "");
    scribe.commit("A");
    scribe.commit("B");
    scribe.fail_over(5);
    // B was sold after A, and is known to be sold.
    scribe.get("A", "reserved", deadline);
    is_found(&scribe, "an answer that contradicts others");
}

#[test]
fn with_a_synced_file_a_restart_forgets_nothing() {
    let mut scribe = Scribe::new(Durability::Always);
    scribe.adjust("P", 10);
    scribe.reserve("A", "P", 3, "");
    scribe.fail_over(1);
    scribe.history.failovers[0].to = "n1".to_owned();
    is_found(&scribe, "an answer was forgotten");
}

#[test]
fn without_a_failover_nothing_is_forgotten() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.history.feeds.get_mut("shop").expect("a feed").pop();
    is_found(&scribe, "an answer was forgotten");
}

#[test]
fn a_clock_that_was_set_makes_deadlines_pass() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.end("A", "expired");
    scribe.refused("INV.COMMIT A", "EXPIRED reservation A expired at 1");
    let at = scribe.history.calls.last().expect("a call").start - 1;
    scribe.history.clocks.push(crate::record::Clock {
        server: "n1".to_owned(),
        start: at,
        end: at,
        offset: 5000,
    });
    nothing_is_found(&scribe);
}

/// A clock that was 5 s ahead is set right before a RESERVE, whose deadline is still by the wrong one.
fn deadline_by_a_clock_that_was_set(before_ms: u64) -> Scribe {
    let mut scribe = shop();
    let clock = |at, offset| crate::record::Clock { server: "n1".to_owned(), start: at, end: at, offset };
    scribe.history.clocks.push(clock(0, 5000));
    scribe.let_pass(1000);
    scribe.reserve("A", "P", 3, "");
    let call = scribe.history.calls.last_mut().expect("a call");
    let deadline = call.answer["expires_at"].as_i64().expect("a time");
    call.answer["expires_at"] = (deadline + 5000).into();
    let set_at = call.start - before_ms * 1000;
    scribe.history.clocks.push(clock(set_at, 0));
    scribe
}

#[test]
fn a_server_may_use_the_time_for_a_moment_that_its_clock_showed_before() {
    nothing_is_found(&deadline_by_a_clock_that_was_set(20));
    is_found(&deadline_by_a_clock_that_was_set(500), "an answer that contradicts others");
}

#[test]
fn a_history_that_was_written_is_the_same_when_it_is_read() {
    let mut scribe = shop();
    scribe.reserve("A", "P", 3, "");
    scribe.fail_over(2);
    scribe.unknown("INV.COMMIT A");
    scribe.rest();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let path = folder.path().join("history.jsonl");
    scribe.history.write(&path).expect("a file");
    assert_eq!(History::read(&path).expect("a history"), scribe.history);
    assert!(scribe.now() > BEGINNING);
}

#[test]
fn a_generated_id_that_a_failover_has_forgotten_is_unknown_while_another_one_is_known() {
    let of = |end: &str| format!("cart-01a20435-fa0d-757e-bfd2-b4245a6bb9{end}");
    let mut scribe = shop();
    for end in ["01", "02"] {
        let id = of(end);
        scribe.hold(&id, "P", 2);
        let answer = scribe.reservation(&id, "P", 2, 500);
        scribe.call("INV.RESERVE cart-* PX 500 ONCE x ITEMS P 2", Outcome::Ok, answer);
        if end == "01" {
            scribe.fail_over(1);
            scribe.refused(&format!("INV.COMMIT {}", of("01")), "NOTFOUND reservation is unknown");
            scribe.ok(&format!("INV.ROLLBACK {} FENCE", of("01")));
        }
    }
    scribe.refused(&format!("INV.COMMIT {}", of("01")), "ROLLEDBACK reservation was rolled back at 1");
    scribe.commit(&of("02"));
    nothing_is_found(&scribe);
    scribe.refused(&format!("INV.COMMIT {}", of("02")), "NOTFOUND reservation is unknown");
    is_found(&scribe, "an answer that contradicts others");
}

//! INV.REPLACE and PARTIAL: one test for each sentence of docs/commands.md about them.

use redis_inventory::engine::keyspace::Tally;
use redis_inventory::engine::queries::{self, ReservationView};
use redis_inventory::inventory::line::describe;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId};

use super::calls::call;
use super::floors::counters;
use super::simulation::{BEGIN, Simulation};

const DAY: i64 = 86_400_000;

/// A shop with these units: `"P 10, Q 3"`.
fn shop(stock: &str) -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    for line in stock.split(", ") {
        let (sku, units) = line.split_once(' ').unwrap();
        shop.client(&["SET", &format!("stock:available:{sku}"), units]);
    }
    shop.take_stream();
    shop
}

/// A shop with P in these warehouses, in this order of priority: `"north 1, south 5"`.
fn warehouses(stock: &str) -> Simulation {
    let mut shop = Simulation::new();
    for (priority, line) in stock.split(", ").enumerate() {
        let (place, units) = line.split_once(' ').unwrap();
        shop.client(&["ZADD", "stock:warehouses:P", &priority.to_string(), place]);
        shop.client(&["SET", &format!("stock:available:P@{place}"), units]);
    }
    shop.take_stream();
    shop
}

/// Runs one call as its own unit of work. The answer has no deadline; a refusal is its code.
fn ask(shop: &mut Simulation, line: &str) -> String {
    let told = tell(shop, line);
    match told.strip_prefix("OK ").and_then(|rest| rest.split_once(' ')) {
        Some((_, items)) => items.to_owned(),
        None if told == "OK" => told,
        None => told.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// The same with the deadline, and with the text of a refusal.
fn tell(shop: &mut Simulation, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    shop.command(words[1], |shop| call(shop, &words)).unwrap_or_else(|refusal| refusal.to_string())
}

#[track_caller]
fn expect(shop: &mut Simulation, line: &str, answer: &str) {
    assert_eq!(ask(shop, line), answer, "{line}");
}

/// A refusal that leaves everything as it was: keys, and what replicas receive.
#[track_caller]
fn refused(shop: &mut Simulation, line: &str, code: &str) {
    shop.take_stream();
    let before = shop.data.clone();
    expect(shop, line, code);
    assert_eq!(shop.data, before, "{line}");
    assert!(shop.take_stream().is_empty(), "{line}");
}

/// A call that is answered and changes nothing.
#[track_caller]
fn already(shop: &mut Simulation, line: &str, answer: &str) {
    refused(shop, line, answer);
}

fn get(shop: &mut Simulation, id: &str) -> ReservationView {
    let id = ReservationId::parse(id.as_bytes(), KeyStyle::Plain).unwrap();
    queries::get(shop, &id).unwrap().expect("a known reservation")
}

/// Available and reserved units.
fn units(shop: &Simulation, sku: &str) -> (i64, i64) {
    let counter = |kind: &str| shop.number(&format!("stock:{kind}:{sku}")).unwrap_or(0);
    (counter("available"), counter("reserved"))
}

// --- in place ---

#[test]
fn a_shopper_is_not_blocked_by_her_own_hold() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.RESERVE B ITEMS P 3", "INSUFFICIENT");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 3");
    assert_eq!((units(&shop, "P"), get(&mut shop, "A").state), ((0, 3), "reserved"));
}

#[test]
fn a_change_in_place_adds_drops_and_keeps_skus_in_one_step() {
    let mut shop = shop("P 3, Q 3, R 3");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2 Q 2", "P 2 Q 2");
    shop.take_stream();
    expect(&mut shop, "INV.REPLACE A A ITEMS Q 2 R 3", "Q 2 R 3");
    assert_eq!([units(&shop, "P"), units(&shop, "Q"), units(&shop, "R")], [(3, 0), (1, 2), (0, 3)]);
    // One command for replicas, and nothing about the sku that does not change.
    let stream = shop.take_stream();
    let words = stream[0][0][..9].join(" ");
    assert_eq!((stream.len(), stream[0].len()), (1, 1));
    assert_eq!(words, "INV.APPLY 1 UNITS R -3 3 UNITS P 2");
    assert!(!stream[0][0].contains(&"Q".to_owned()));
}

#[test]
fn a_refusal_leaves_everything_as_it_was() {
    let mut shop = shop("P 3, Q 1");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.RESERVE B ITEMS Q 1", "Q 1");
    refused(&mut shop, "INV.REPLACE A A ITEMS P 4", "INSUFFICIENT");
    refused(&mut shop, "INV.REPLACE A C ITEMS P 1 Q 1", "INSUFFICIENT");
    refused(&mut shop, "INV.REPLACE A B ITEMS P 1 Q 2", "INSUFFICIENT");
    refused(&mut shop, "INV.REPLACE A C PXAT 1 ITEMS P 1", "ERR");
    refused(&mut shop, "INV.REPLACE A C* ITEMS P 1", "ERR");
    assert_eq!(tell(&mut shop, "INV.REPLACE A A ITEMS P 4"), "INSUFFICIENT P requested 4, available 3");
}

#[test]
fn dropped_units_are_available_again_and_do_not_count_as_returned() {
    let mut shop = shop("P 5, Q 5");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4 Q 1", "P 4 Q 1");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 1", "P 1");
    let view = get(&mut shop, "A");
    assert_eq!((describe(&view.items), view.returned, view.asked), ("P 1".to_owned(), vec![], vec![]));
    expect(&mut shop, "INV.COMMIT A", "OK");
    assert_eq!(describe(&get(&mut shop, "A").items), "P 1");
    assert_eq!([units(&shop, "P"), units(&shop, "Q")], [(4, 0), (5, 0)]);
}

#[test]
fn sold_and_returned_parts_of_earlier_stay_and_only_the_rest_is_replaced() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 5", "P 5");
    expect(&mut shop, "INV.COMMIT A ITEMS P 2", "OK");
    expect(&mut shop, "INV.ROLLBACK A ITEMS P 1", "OK");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 4", "P 4");
    let view = get(&mut shop, "A");
    assert_eq!(
        [&view.items, &view.asked, &view.sold, &view.returned].map(|lines| describe(lines)),
        ["P 4", "P 4", "P 2", "P 1"]
    );
    assert_eq!(units(&shop, "P"), (3, 4));
    // The request that counts for retries is the latest.
    expect(&mut shop, "INV.RESERVE A ITEMS P 5", "MISMATCH");
    already(&mut shop, "INV.RESERVE A ITEMS P 4", "P 4");
    expect(&mut shop, "INV.COMMIT A", "OK");
    let view = get(&mut shop, "A");
    assert_eq!([&view.items, &view.sold, &view.returned].map(|lines| describe(lines)), ["P 7", "P 6", "P 1"]);
}

#[test]
fn the_parts_of_the_old_one_stay_with_its_outcome() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 5", "P 5");
    expect(&mut shop, "INV.COMMIT A ITEMS P 2", "OK");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 4", "P 4");
    let (old, new) = (get(&mut shop, "A"), get(&mut shop, "B"));
    assert_eq!([&old.items, &old.sold, &old.returned].map(|lines| describe(lines)), ["P 5", "P 2", ""]);
    assert_eq!((describe(&new.items), new.sold), ("P 4".to_owned(), vec![]));
    assert_eq!(units(&shop, "P"), (3, 4));
}

// --- another id ---

#[test]
fn another_id_takes_the_place_and_every_command_on_the_old_one_names_it() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE cart ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE cart order ITEMS P 3", "P 3");
    let old = get(&mut shop, "cart");
    assert_eq!((old.state, old.replaced_by.as_ref().map(ReservationId::as_str)), ("replaced", Some("order")));
    assert_eq!((describe(&old.items), old.resolved_at), ("P 2".to_owned(), Some(BEGIN)));
    for call in [
        "COMMIT cart",
        "COMMIT cart LATE",
        "COMMIT cart ITEMS P 1",
        "ROLLBACK cart",
        "ROLLBACK cart ITEMS P 1",
        "EXTEND cart EX 9",
        "RESERVE cart ITEMS P 2",
        "REPLACE cart cart ITEMS P 2",
        "REPLACE cart other ITEMS P 1",
    ] {
        shop.take_stream();
        let told = tell(&mut shop, &format!("INV.{call}"));
        assert_eq!(
            told,
            format!("REPLACED reservation cart was replaced by order at {BEGIN}: use order instead")
        );
        assert!(shop.take_stream().is_empty(), "{call}");
    }
    assert_eq!((units(&shop, "P"), shop.stored("reservation:cart")), ((0, 3), None));
    assert_eq!((shop.total(Tally::Replaced), shop.total(Tally::Reserved)), (1, 2));
}

#[test]
fn two_carts_become_one() {
    let mut shop = shop("P 4, Q 2");
    expect(&mut shop, "INV.RESERVE guest ITEMS P 2 Q 1", "P 2 Q 1");
    expect(&mut shop, "INV.RESERVE user DATA login ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE guest user ITEMS P 4 Q 1", "P 4 Q 1");
    assert_eq!([units(&shop, "P"), units(&shop, "Q")], [(0, 4), (1, 1)]);
    assert_eq!(
        (get(&mut shop, "guest").state, get(&mut shop, "user").data.as_deref()),
        ("replaced", Some("login"))
    );
    expect(&mut shop, "INV.COMMIT user", "OK");
    assert_eq!([units(&shop, "P"), units(&shop, "Q")], [(0, 0), (1, 0)]);
}

#[test]
fn a_successor_can_be_replaced_in_turn_and_an_id_that_has_ended_is_never_used_again() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    refused(&mut shop, "INV.REPLACE B A ITEMS P 2", "REPLACED");
    expect(&mut shop, "INV.REPLACE B C ITEMS P 2", "P 2");
    // The first call arrives again.
    refused(&mut shop, "INV.REPLACE A B ITEMS P 2", "REPLACED");
    expect(&mut shop, "INV.RESERVE D ITEMS P 1", "P 1");
    expect(&mut shop, "INV.ROLLBACK D", "OK");
    refused(&mut shop, "INV.REPLACE C D ITEMS P 2", "ROLLEDBACK");
    assert_eq!(units(&shop, "P"), (1, 2));
}

// --- the old one is not live ---

#[test]
fn an_old_one_that_is_due_expired_rolled_back_or_unknown_makes_room_as_for_a_reserve() {
    for before in ["due", "expired", "rolled back", "unknown"] {
        let mut shop = shop("P 3");
        if before != "unknown" {
            expect(&mut shop, "INV.RESERVE A PX 100 ITEMS P 2", "P 2");
        }
        match before {
            "due" => shop.clock += 101,
            "expired" => shop.advance(1000),
            "rolled back" => expect(&mut shop, "INV.ROLLBACK A", "OK"),
            _ => {}
        }
        shop.sweep();
        refused(&mut shop, "INV.REPLACE A B ITEMS P 4", "INSUFFICIENT");
        expect(&mut shop, "INV.REPLACE A B ITEMS P 3", "P 3");
        assert_eq!(units(&shop, "P"), (0, 3), "{before}");
        assert_eq!(get(&mut shop, "A").state, "replaced", "{before}");
        // A payment that comes late, and a RESERVE that was delayed on its way, take nothing again.
        expect(&mut shop, "INV.ADJUST P 5", "5");
        for call in ["COMMIT A LATE", "COMMIT A", "RESERVE A ITEMS P 2", "ROLLBACK A", "EXTEND A EX 5"] {
            refused(&mut shop, &format!("INV.{call}"), "REPLACED");
        }
    }
}

#[test]
fn a_due_cart_is_released_by_the_call_that_replaces_it() {
    let mut shop = shop("P 2");
    expect(&mut shop, "INV.RESERVE A PX 100 ITEMS P 2", "P 2");
    shop.clock += 101;
    // Nobody has swept.
    expect(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    assert_eq!((units(&shop, "P"), get(&mut shop, "A").state), ((0, 2), "replaced"));
    assert_eq!((shop.total(Tally::Expired), shop.total(Tally::Replaced)), (1, 0));
}

#[test]
fn what_the_deadline_returned_stays_in_the_outcome_of_the_old_one() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A PX 100 DATA x ITEMS P 2", "P 2");
    shop.advance(1000);
    shop.sweep();
    expect(&mut shop, "INV.REPLACE A B ITEMS P 1", "P 1");
    let old = get(&mut shop, "A");
    assert_eq!((describe(&old.items), describe(&old.returned)), ("P 2".to_owned(), "P 2".to_owned()));
    assert_eq!((old.data.as_deref(), get(&mut shop, "B").data), (Some("x"), None));
}

#[test]
fn a_committed_one_is_not_replaced() {
    let mut shop = shop("P 5");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.COMMIT A", "OK");
    refused(&mut shop, "INV.REPLACE A B ITEMS P 2", "COMMITTED");
    refused(&mut shop, "INV.REPLACE A A ITEMS P 2", "COMMITTED");
}

#[test]
fn in_place_an_expired_or_rolled_back_id_is_refused_and_an_unknown_one_is_made() {
    let mut shop = shop("P 5");
    expect(&mut shop, "INV.RESERVE A PX 100 ITEMS P 2", "P 2");
    shop.advance(1000);
    shop.sweep();
    refused(&mut shop, "INV.REPLACE A A ITEMS P 1", "EXPIRED");
    expect(&mut shop, "INV.RESERVE B ITEMS P 2", "P 2");
    expect(&mut shop, "INV.ROLLBACK B", "OK");
    refused(&mut shop, "INV.REPLACE B B ITEMS P 1", "ROLLEDBACK");
    expect(&mut shop, "INV.REPLACE C C ITEMS P 1", "P 1");
    assert_eq!((units(&shop, "P"), get(&mut shop, "C").state), ((4, 1), "reserved"));
    assert_eq!(shop.stored("inventory:outcome:C"), None);
}

#[test]
fn foreign_keys_are_refused_on_either_side() {
    let mut shop = shop("P 5");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    shop.client(&["SET", "reservation:X", "a script's"]);
    refused(&mut shop, "INV.REPLACE A X ITEMS P 1", "FOREIGN");
    refused(&mut shop, "INV.REPLACE X A ITEMS P 1", "FOREIGN");
    refused(&mut shop, "INV.REPLACE X X ITEMS P 1", "FOREIGN");
}

// --- retries and duplicates ---

#[test]
fn a_retry_after_a_lost_answer_gets_the_reply_as_it_stands() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B EX 60 DATA x ITEMS P 3", "P 3");
    already(&mut shop, "INV.REPLACE A B EX 60 DATA x ITEMS P 3", "P 3");
    already(&mut shop, "INV.REPLACE A B ITEMS P 3", "P 3");
    expect(&mut shop, "INV.EXTEND B EX 600", &(BEGIN + 600_000).to_string());
    assert_eq!(tell(&mut shop, "INV.REPLACE A B EX 60 ITEMS P 3"), format!("OK {} P 3", BEGIN + 600_000));
    // The items that were asked for decide, whatever parts have gone.
    expect(&mut shop, "INV.COMMIT B ITEMS P 1", "OK");
    already(&mut shop, "INV.REPLACE A B ITEMS P 3", "P 2");
    expect(&mut shop, "INV.COMMIT B", "OK");
    refused(&mut shop, "INV.REPLACE A B EX 60 DATA x ITEMS P 3", "COMMITTED");
    assert_eq!(units(&shop, "P"), (6, 0));
}

#[test]
fn a_retry_in_place_changes_nothing() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    already(&mut shop, "INV.REPLACE A A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 3");
    already(&mut shop, "INV.REPLACE A A EX 600 ITEMS P 3", "P 3");
    expect(&mut shop, "INV.COMMIT A ITEMS P 1", "OK");
    already(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 2");
}

#[test]
fn a_retry_does_not_hold_again_what_its_successor_held_once() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B PX 86400000 ITEMS P 2", "P 2");
    expect(&mut shop, "INV.COMMIT B", "OK");
    // The outcome of B is forgotten after a day, and that of A after two.
    shop.advance(DAY + 1);
    shop.expire_cycle();
    assert_eq!(queries::get(&mut shop, &ReservationId::parse(b"B", KeyStyle::Plain).unwrap()), Ok(None));
    refused(&mut shop, "INV.REPLACE A B ITEMS P 2", "REPLACED");
    assert_eq!(units(&shop, "P"), (7, 0));
}

#[test]
fn without_a_token_the_last_change_in_place_wins_even_if_it_is_a_late_duplicate() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 3");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 5", "P 5");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 3");
    assert_eq!(units(&shop, "P"), (6, 3));
}

#[test]
fn a_known_token_writes_nothing_and_answers_how_the_new_one_stands_now() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A A ONCE t1 ITEMS P 3", "P 3");
    expect(&mut shop, "INV.REPLACE A A ONCE t2 ITEMS P 5", "P 5");
    already(&mut shop, "INV.REPLACE A A ONCE t1 ITEMS P 3", "P 5");
    refused(&mut shop, "INV.REPLACE A A ONCE t1 ITEMS P 4", "MISMATCH");
    refused(&mut shop, "INV.REPLACE A A ONCE t1 PARTIAL ITEMS P 3", "MISMATCH");
    refused(&mut shop, "INV.REPLACE X A ONCE t1 ITEMS P 3", "MISMATCH");
    expect(&mut shop, "INV.COMMIT A", "OK");
    refused(&mut shop, "INV.REPLACE A A ONCE t1 ITEMS P 3", "COMMITTED");
    shop.advance(DAY + 1);
    shop.expire_cycle();
    refused(&mut shop, "INV.REPLACE A A ONCE t2 ITEMS P 5", "NOTFOUND");
    assert_eq!(units(&shop, "P"), (4, 0));
}

#[test]
fn a_token_of_a_retry_is_remembered_though_nothing_else_is_written() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B ONCE t1 ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE B B ITEMS P 3", "P 3");
    already(&mut shop, "INV.REPLACE A B ONCE t1 ITEMS P 2", "P 3");
}

#[test]
fn a_late_duplicate_does_not_undo_a_later_change_of_its_successor() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B DATA x ITEMS P 3", "P 3");
    expect(&mut shop, "INV.REPLACE B B ITEMS P 5", "P 5");
    refused(&mut shop, "INV.REPLACE A B DATA x ITEMS P 3", "MISMATCH");
    expect(&mut shop, "INV.REPLACE B B DATA y ITEMS P 5", "P 5");
    assert_eq!(
        tell(&mut shop, "INV.REPLACE A B DATA x ITEMS P 5"),
        "MISMATCH reservation B already exists with these items but another DATA: use a new id"
    );
    assert_eq!(units(&shop, "P"), (4, 5));
}

#[test]
fn an_old_one_that_is_not_live_is_closed_even_if_the_new_one_holds_the_items_already() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE B ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    refused(&mut shop, "INV.RESERVE A ITEMS P 2", "REPLACED");
    already(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    refused(&mut shop, "INV.REPLACE X B ITEMS P 3", "MISMATCH");
    assert_eq!(units(&shop, "P"), (7, 2));
}

// --- DATA, deadlines ---

#[test]
fn data_is_kept_unless_it_is_given() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A DATA x ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P 3");
    assert_eq!(get(&mut shop, "A").data.as_deref(), Some("x"));
    expect(&mut shop, "INV.REPLACE A B ITEMS P 3", "P 3");
    assert_eq!(get(&mut shop, "B").data.as_deref(), Some("x"));
    // Another text alone is a change too.
    expect(&mut shop, "INV.REPLACE B B DATA y ITEMS P 3", "P 3");
    assert_eq!(get(&mut shop, "B").data.as_deref(), Some("y"));
    // Of two carts, the one that stays keeps its own.
    expect(&mut shop, "INV.RESERVE C DATA z ITEMS P 1", "P 1");
    expect(&mut shop, "INV.REPLACE B C ITEMS P 4", "P 4");
    assert_eq!(get(&mut shop, "C").data.as_deref(), Some("z"));
}

#[test]
fn in_place_the_deadline_stays_and_for_another_id_it_is_as_for_a_reserve() {
    let mut shop = shop("P 9");
    let usual = shop.settings.hold_ttl_ms;
    expect(&mut shop, "INV.RESERVE A PX 5000 ITEMS P 2", "P 2");
    shop.advance(1000);
    assert_eq!(tell(&mut shop, "INV.REPLACE A A ITEMS P 3"), format!("OK {} P 3", BEGIN + 5000));
    assert_eq!(tell(&mut shop, "INV.REPLACE A A PX 9000 ITEMS P 4"), format!("OK {} P 4", BEGIN + 10_000));
    assert_eq!(tell(&mut shop, "INV.REPLACE A B ITEMS P 4"), format!("OK {} P 4", BEGIN + 1000 + usual));
    expect(&mut shop, "INV.RESERVE C PX 5000 ITEMS P 1", "P 1");
    assert_eq!(tell(&mut shop, "INV.REPLACE B C PX 7000 ITEMS P 5"), format!("OK {} P 5", BEGIN + 8000));
    // The key has that deadline too.
    shop.advance(7001);
    shop.sweep();
    assert_eq!((units(&shop, "P"), get(&mut shop, "C").state), ((9, 0), "expired"));
}

#[test]
fn created_at_is_the_earlier_one_and_the_longest_life_counts_from_it() {
    let mut shop = shop("P 9");
    shop.settings.max_hold_ms = 10_000;
    expect(&mut shop, "INV.RESERVE A PX 9000 ITEMS P 2", "P 2");
    shop.advance(4000);
    refused(&mut shop, "INV.REPLACE A B PX 6001 ITEMS P 2", "ERR");
    refused(&mut shop, "INV.REPLACE A A PX 6001 ITEMS P 1", "ERR");
    expect(&mut shop, "INV.RESERVE B PX 9000 ITEMS P 1", "P 1");
    // Without a lifetime, the usual one is shortened.
    assert_eq!(tell(&mut shop, "INV.REPLACE A B ITEMS P 3"), format!("OK {} P 3", BEGIN + 10_000));
    assert_eq!(get(&mut shop, "B").created_at, Some(BEGIN));
    // No chain of successors lives longer.
    shop.advance(5999);
    assert_eq!(tell(&mut shop, "INV.REPLACE B C ITEMS P 3"), format!("OK {} P 3", BEGIN + 10_000));
    shop.settings.max_hold_ms = 5000;
    refused(&mut shop, "INV.REPLACE C D ITEMS P 3", "ERR");
    // But a change in place keeps a deadline that an earlier limit allowed.
    expect(&mut shop, "INV.REPLACE C C ITEMS P 2", "P 2");
}

#[test]
fn the_outcome_replaced_lives_until_the_deadline_of_the_successor_plus_the_time_of_outcomes() {
    let mut shop = shop("P 9");
    shop.settings.outcome_ttl_ms = 3000;
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B PX 5000 ITEMS P 2", "P 2");
    assert_eq!(shop.data["inventory:outcome:A"].until, Some(BEGIN + 8000));
    expect(&mut shop, "INV.REPLACE unknown C PX 6000 ITEMS P 1", "P 1");
    assert_eq!(shop.data["inventory:outcome:unknown"].until, Some(BEGIN + 9000));
}

#[test]
fn without_outcomes_nothing_is_remembered_of_the_old_one() {
    let mut shop = shop("P 9");
    shop.settings.outcome_ttl_ms = 0;
    expect(&mut shop, "INV.RESERVE A ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 2", "P 2");
    expect(&mut shop, "INV.REPLACE unknown C ITEMS P 1", "P 1");
    refused(&mut shop, "INV.REPLACE B D ONCE t ITEMS P 2", "ERR");
    refused(&mut shop, "INV.COMMIT A", "NOTFOUND");
    assert!(!shop.data.keys().any(|name| name.starts_with("inventory:outcome:")));
    assert_eq!(units(&shop, "P"), (6, 3));
}

// --- counters that other clients have written ---

#[test]
fn a_cart_can_always_shrink() {
    let mut shop = shop("P 9, Q 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4 Q 1", "P 4 Q 1");
    shop.client(&["SET", "stock:available:P", "-7"]);
    expect(&mut shop, "INV.REPLACE A A ITEMS P 4 Q 2", "P 4 Q 2");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3 Q 2", "P 3 Q 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 3 Q 1", "P 3 Q 1");
    refused(&mut shop, "INV.REPLACE B B ITEMS P 4", "INSUFFICIENT");
    assert_eq!([units(&shop, "P"), units(&shop, "Q")], [(-6, 3), (8, 1)]);
}

#[test]
fn units_that_the_counters_do_not_have_are_drift_as_for_a_rollback() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4", "P 4");
    expect(&mut shop, "INV.RESERVE B ITEMS P 2", "P 2");
    shop.client(&["SET", "stock:reserved:P", "5"]);
    refused(&mut shop, "INV.REPLACE A B ITEMS P 6", "DRIFT");
    expect(&mut shop, "INV.REPLACE A C ITEMS P 3", "P 3");
    shop.client(&["SET", "stock:reserved:P", "ten"]);
    refused(&mut shop, "INV.REPLACE C C ITEMS Q 1", "WRONGTYPE");
}

#[test]
fn a_record_that_was_put_back_moves_no_units_of_others() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4", "P 4");
    let dump = shop.stored("reservation:A").unwrap().to_owned();
    shop.client(&["DEL", "reservation:A"]);
    // A script has returned them.
    shop.client(&["INCRBY", "stock:available:P", "4"]);
    shop.client(&["DECRBY", "stock:reserved:P", "4"]);
    expect(&mut shop, "INV.RESERVE B ITEMS P 5", "P 5");
    shop.client(&["SET", "reservation:A", &dump, "PXAT", &(BEGIN + 60_000).to_string()]);
    refused(&mut shop, "INV.REPLACE A C ITEMS P 1", "DRIFT");
    refused(&mut shop, "INV.REPLACE A A ITEMS P 1", "DRIFT");
    refused(&mut shop, "INV.REPLACE A B ITEMS P 6", "DRIFT");
    refused(&mut shop, "INV.REPLACE B A ITEMS P 6", "DRIFT");
    assert_eq!(units(&shop, "P"), (4, 5));
}

#[test]
fn a_record_that_was_put_back_after_it_was_replaced_is_foreign() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4", "P 4");
    let dump = shop.stored("reservation:A").unwrap().to_owned();
    expect(&mut shop, "INV.REPLACE A B ITEMS P 4", "P 4");
    shop.client(&["SET", "reservation:A", &dump, "PXAT", &(BEGIN + 60_000).to_string()]);
    for call in ["COMMIT A", "ROLLBACK A", "REPLACE A C ITEMS P 1", "REPLACE B A ITEMS P 1"] {
        refused(&mut shop, &format!("INV.{call}"), "FOREIGN");
    }
    shop.advance(60_001);
    shop.sweep();
    assert_eq!(units(&shop, "P"), (5, 4));
}

#[test]
fn units_of_a_record_that_was_deleted_return_when_its_id_is_replaced() {
    let mut shop = shop("P 9");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4", "P 4");
    shop.client(&["DEL", "reservation:A"]);
    shop.sweep();
    assert_eq!(units(&shop, "P"), (5, 4));
    expect(&mut shop, "INV.REPLACE A B ITEMS P 5", "P 5");
    assert_eq!((units(&shop, "P"), get(&mut shop, "A").state), ((4, 5), "replaced"));
    shop.advance(DAY);
    shop.sweep();
    assert_eq!(units(&shop, "P"), (9, 0));
    assert_eq!(get(&mut shop, "A").state, "replaced");
}

#[test]
fn overdue_holds_of_others_are_released_if_that_is_needed() {
    let mut shop = shop("P 4");
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 2", "P 2");
    expect(&mut shop, "INV.RESERVE B PX 100 ITEMS P 2", "P 2");
    shop.clock += 101;
    expect(&mut shop, "INV.REPLACE A A ITEMS P 4", "P 4");
    assert_eq!(units(&shop, "P"), (0, 4));
}

// --- warehouses ---

#[test]
fn each_split_is_judged_on_the_whole_line_with_the_own_units_free() {
    for (split, taken) in
        [("priority", "P@north 1 P@south 3"), ("fewest", "P@south 4"), ("none", "P@south 4")]
    {
        let mut shop = warehouses("north 1, south 4, east 2");
        expect(&mut shop, &format!("INV.RESERVE A SPLIT {split} ITEMS P@south 3"), "P@south 3");
        expect(&mut shop, &format!("INV.REPLACE A A SPLIT {split} ITEMS P 4"), taken);
        assert_eq!(get(&mut shop, "A").asked.len(), 1, "{split}");
    }
}

#[test]
fn among_equal_choices_the_places_that_hold_already_win() {
    for (split, taken) in [("priority", "P@north 3"), ("fewest", "P@south 3"), ("none", "P@south 3")] {
        let mut shop = warehouses("north 3, south 3, east 3");
        expect(&mut shop, "INV.RESERVE A ITEMS P@south 2", "P@south 2");
        expect(&mut shop, &format!("INV.REPLACE A B SPLIT {split} ITEMS P 3"), taken);
    }
    // Of warehouses with the same priority, this decides for each split.
    let mut shop = warehouses("north 3, south 3");
    shop.client(&["ZADD", "stock:warehouses:P", "0", "south"]);
    expect(&mut shop, "INV.RESERVE A ITEMS P@south 2", "P@south 2");
    expect(&mut shop, "INV.REPLACE A B ITEMS P 3", "P@south 3");
}

#[test]
fn a_cart_in_warehouses_shrinks_where_units_are_missing() {
    let mut shop = warehouses("north 2, south 3");
    expect(&mut shop, "INV.RESERVE A ITEMS P 4", "P@north 2 P@south 2");
    shop.client(&["SET", "stock:available:P@north", "-5"]);
    expect(&mut shop, "INV.REPLACE A A ITEMS P 3", "P@north 2 P@south 1");
    expect(&mut shop, "INV.REPLACE A A ITEMS P@north 1 P 3", "P@north 2 P@south 2");
    refused(&mut shop, "INV.REPLACE A A ITEMS P@north 3", "INSUFFICIENT");
    assert_eq!([units(&shop, "P@north"), units(&shop, "P@south")], [(-5, 2), (1, 2)]);
}

#[test]
fn a_place_that_is_not_in_the_set_any_more_is_left_and_not_taken_from() {
    let mut shop = warehouses("north 3, south 3");
    expect(&mut shop, "INV.RESERVE A ITEMS P@north 2", "P@north 2");
    shop.client(&["ZREM", "stock:warehouses:P", "north"]);
    refused(&mut shop, "INV.REPLACE A A ITEMS P@north 3", "ERR");
    expect(&mut shop, "INV.REPLACE A A ITEMS P 2", "P@south 2");
    assert_eq!([units(&shop, "P@north"), units(&shop, "P@south")], [(3, 0), (1, 2)]);
}

// --- what others see ---

#[test]
fn the_feed_has_one_entry_a_sku_with_the_net_change_and_both_ids() {
    let mut shop = shop("P 9, Q 9, R 9");
    shop.settings.feed_maxlen = 100;
    expect(&mut shop, "INV.RESERVE A ITEMS P 4 Q 2 R 1", "P 4 Q 2 R 1");
    shop.take_stream();
    expect(&mut shop, "INV.REPLACE A B ITEMS P 1 Q 2 R 3", "P 1 Q 2 R 3");
    let stream = shop.take_stream();
    let entries: Vec<String> =
        stream[0].iter().filter(|words| words[0] == "XADD").map(|words| words.join(" ")).collect();
    let told: Vec<&str> =
        entries.iter().filter_map(|entry| entry.split_once(" event ").map(|(_, fields)| fields)).collect();
    assert_eq!(
        told,
        [
            format!(
                "replaced reservation_id B replaces A sku P quantity -3 available 8 reserved 1 timestamp {BEGIN}"
            ),
            format!(
                "replaced reservation_id B replaces A sku R quantity 2 available 6 reserved 3 timestamp {BEGIN}"
            ),
        ]
    );
}

#[test]
fn alerts_see_the_net_change() {
    let mut shop = shop("P 5, Q 1");
    shop.settings.low_stock_threshold = 0;
    expect(&mut shop, "INV.RESERVE A ITEMS P 5", "P 5");
    let alerts = |shop: &Simulation| shop.published.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>();
    assert_eq!(alerts(&shop).len(), 1);
    // All units move on: the product is neither back in stock nor sold out again.
    expect(&mut shop, "INV.REPLACE A B ITEMS P 5", "P 5");
    assert_eq!(alerts(&shop).len(), 1);
    expect(&mut shop, "INV.REPLACE B B ITEMS P 4 Q 1", "P 4 Q 1");
    let told = alerts(&shop);
    assert_eq!(told.len(), 3);
    assert!(told.iter().any(|alert| alert.contains("BACK_IN_STOCK") && alert.contains("\"P\"")), "{told:?}");
    assert!(told.iter().any(|alert| alert.contains("OUT_OF_STOCK") && alert.contains("\"Q\"")), "{told:?}");
}

#[test]
fn a_replica_has_the_same_keys_and_the_same_memory() {
    let mut master = shop("P 9, Q 9");
    let mut replica = Simulation::replica_of(&master);
    for line in [
        "INV.RESERVE A ITEMS P 4",
        "INV.RESERVE B ITEMS P 2 Q 2",
        "INV.REPLACE A A ITEMS P 2 Q 1",
        "INV.REPLACE A B ONCE t ITEMS P 5",
        "INV.REPLACE B C PARTIAL ITEMS P 20 Q 1",
        "INV.REPLACE unknown D PARTIAL DATA x ITEMS Q 2 P 1",
    ] {
        let told = tell(&mut master, line);
        assert!(told.starts_with("OK "), "{line}: {told}");
        replica.receive(&master.take_stream());
        assert_eq!(replica.data, master.data, "{line}");
        assert_eq!(replica.memory().holds.count(), master.memory().holds.count(), "{line}");
    }
    // A restart finds the same in the keys.
    let (held, data) = (master.memory().holds.count(), master.data.clone());
    master.restart(false);
    assert_eq!((master.memory().holds.count(), &master.data), (held, &data));
}

// --- PARTIAL ---

#[test]
fn partial_takes_of_each_line_as_much_as_there_is_and_drops_lines_of_which_there_is_nothing() {
    let mut shop = shop("P 3, Q 0, R 5");
    expect(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5 Q 2 R 5 S 1", "P 3 R 5 short P 2 Q 2 S 1");
    assert_eq!([units(&shop, "P"), units(&shop, "Q"), units(&shop, "R")], [(0, 3), (0, 0), (0, 5)]);
    let view = get(&mut shop, "A");
    assert_eq!(
        [&view.items, &view.asked, &view.short].map(|lines| describe(lines)),
        ["P 3, R 5", "P 5, Q 2, R 5, S 1", "P 2, Q 2, S 1"]
    );
    refused(&mut shop, "INV.RESERVE B PARTIAL ITEMS P 1 Q 2 S 1", "INSUFFICIENT");
    assert_eq!(
        tell(&mut shop, "INV.RESERVE B PARTIAL ITEMS P 1 S 1"),
        "INSUFFICIENT P requested 1, available 0; S requested 1, available 0 (unknown sku)"
    );
    expect(&mut shop, "INV.COMMIT A", "OK");
    assert_eq!(describe(&get(&mut shop, "A").items), "P 3, R 5");
}

#[test]
fn partial_with_enough_stock_is_short_of_nothing() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 3", "P 3");
    already(&mut shop, "INV.RESERVE A ITEMS P 3", "P 3");
    already(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 3", "P 3");
}

#[test]
fn a_retry_without_partial_of_a_hold_that_came_out_short_is_a_mismatch() {
    let mut shop = shop("P 3, Q 9");
    expect(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5", "P 3 short P 2");
    already(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5", "P 3 short P 2");
    assert_eq!(
        tell(&mut shop, "INV.RESERVE A ITEMS P 5"),
        "MISMATCH reservation A was made with PARTIAL and is short of P 2: repeat PARTIAL to accept that, or use a new id"
    );
    refused(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 3", "MISMATCH");
    refused(&mut shop, "INV.REPLACE X A ITEMS P 5", "MISMATCH");
    // A retry never takes more, even if there is more now.
    expect(&mut shop, "INV.ADJUST P 9", "9");
    already(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5", "P 3 short P 2");
    already(&mut shop, "INV.REPLACE A A PARTIAL ITEMS P 5", "P 3 short P 2");
    // A change that asks for all of it does.
    expect(&mut shop, "INV.REPLACE A A ITEMS P 5", "P 5");
    assert_eq!(units(&shop, "P"), (7, 5));
}

#[test]
fn what_was_short_is_known_after_parts_have_gone() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5", "P 3 short P 2");
    expect(&mut shop, "INV.COMMIT A ITEMS P 1", "OK");
    already(&mut shop, "INV.RESERVE A PARTIAL ITEMS P 5", "P 2 short P 2");
    expect(&mut shop, "INV.REPLACE A A PARTIAL ITEMS P 4", "P 2 short P 2");
}

#[test]
fn a_token_of_a_request_with_partial_is_not_one_without() {
    let mut shop = shop("P 3");
    expect(&mut shop, "INV.RESERVE A PARTIAL ONCE t ITEMS P 5", "P 3 short P 2");
    already(&mut shop, "INV.RESERVE A PARTIAL ONCE t ITEMS P 5", "P 3 short P 2");
    refused(&mut shop, "INV.RESERVE A ONCE t ITEMS P 5", "MISMATCH");
}

#[test]
fn partial_in_warehouses_takes_what_each_split_can() {
    for (split, taken) in [
        ("priority", "P@north 2 P@south 5 P@east 3 short P 2"),
        ("fewest", "P@north 2 P@south 5 P@east 3 short P 2"),
        // From the place with most.
        ("none", "P@south 5 short P 7"),
    ] {
        let mut shop = warehouses("north 2, south 5, east 3");
        expect(&mut shop, &format!("INV.RESERVE A PARTIAL SPLIT {split} ITEMS P 12"), taken);
        already(&mut shop, &format!("INV.RESERVE A PARTIAL SPLIT {split} ITEMS P 12"), taken);
    }
    let mut shop = warehouses("north 2, south 5, east 3");
    // Named places take first.
    expect(&mut shop, "INV.RESERVE A PARTIAL SPLIT none ITEMS P 4 P@south 3", "P@east 3 P@south 3 short P 1");
}

#[test]
fn partial_of_a_replacement_counts_the_own_units_and_releases_what_is_overdue() {
    let mut shop = shop("P 6, Q 2");
    expect(&mut shop, "INV.RESERVE A EX 60 ITEMS P 2", "P 2");
    expect(&mut shop, "INV.RESERVE other EX 60 ITEMS P 1", "P 1");
    expect(&mut shop, "INV.RESERVE late PX 100 ITEMS P 2", "P 2");
    shop.clock += 101;
    expect(&mut shop, "INV.REPLACE A B PARTIAL ITEMS P 9 Q 1", "P 5 Q 1 short P 4");
    already(&mut shop, "INV.REPLACE A B PARTIAL ITEMS P 9 Q 1", "P 5 Q 1 short P 4");
    assert_eq!([units(&shop, "P"), units(&shop, "Q")], [(0, 6), (1, 1)]);
    // If nothing of it is there, the cart stays as it is.
    refused(&mut shop, "INV.REPLACE B B PARTIAL ITEMS R 1", "INSUFFICIENT");
}

#[test]
fn a_cart_keeps_and_reduces_units_in_a_place_that_the_product_has_no_more() {
    let mut shop = warehouses("north 0, south 3");
    expect(&mut shop, "INV.RESERVE s PX 60000 ITEMS P 3", "P@south 3");
    shop.client(&["ZREM", "stock:warehouses:P", "south"]);
    refused(&mut shop, "INV.REPLACE s s ITEMS P 4", "INSUFFICIENT");
    expect(&mut shop, "INV.REPLACE s t ITEMS P 3", "P@south 3");
    expect(&mut shop, "INV.REPLACE t t PARTIAL ITEMS P 2", "P@south 2");
    shop.client(&["SET", "stock:available:P@north", "2"]);
    // The warehouses that the product has come first.
    expect(&mut shop, "INV.REPLACE t t ITEMS P 4", "P@north 2 P@south 2");
    assert_eq!(counters(&shop, "P@south"), (1, 2));
    // The same under the name of a product that has moved to warehouses.
    let mut shop = self::shop("P 3");
    expect(&mut shop, "INV.RESERVE s PX 60000 ITEMS P 3", "P 3");
    shop.client(&["ZADD", "stock:warehouses:P", "1", "north"]);
    refused(&mut shop, "INV.RESERVE other PX 60000 ITEMS P 1", "INSUFFICIENT");
    expect(&mut shop, "INV.REPLACE s s ITEMS P 2", "P 2");
    assert_eq!(counters(&shop, "P"), (1, 2));
    expect(&mut shop, "INV.REPLACE s s2 ITEMS P 1", "P 1");
    expect(&mut shop, "INV.COMMIT s2", "OK");
    assert_eq!(counters(&shop, "P"), (2, 0));
}

//! The code and text of every refusal.

use redis_inventory::inventory::cluster_slot::Slot;
use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::refusal::{Objections, Rank, Refusal, Shortage, both, put_off};

use super::{id, lines, product, sku};

/// One of each, in the order of their ranks.
fn every_refusal() -> Vec<(Refusal, &'static str)> {
    let ended = |how, at| Refusal::Ended { id: id("RES-456"), how, at };
    let short =
        |name, requested, available| Shortage { sku: sku(name), requested, available, is_known: true };
    vec![
        (
            Refusal::Grammar { what: "ITEMS is missing".to_owned(), grammar: "INV.X id ITEMS sku quantity" },
            "ERR ITEMS is missing. Usage: INV.X id ITEMS sku quantity",
        ),
        (Refusal::invalid("the deadline is over"), "ERR the deadline is over"),
        (
            Refusal::CrossSlot { id: id("RES-456"), sku: sku("P") },
            "CROSSSLOT Keys in request don't hash to the same slot: reservation RES-456 and P need the same hash tag in braces",
        ),
        (Refusal::TryAgain, "TRYAGAIN the module is still indexing live reservations: try again in a moment"),
        (
            Refusal::Overdue(vec![sku("P"), sku("P, Q")]),
            "TRYAGAIN more reservations of P, \"P, Q\" are overdue than one command releases: try again, each try releases more",
        ),
        (
            Refusal::SlotMoving(Slot::from(6901)),
            "TRYAGAIN slot 6901 is being moved between nodes: try again in a moment",
        ),
        (
            Refusal::WrongType {
                key: "stock:available:P".to_owned(),
                found: "a list".into(),
                wanted: "an integer",
            },
            "WRONGTYPE key stock:available:P holds a list, not an integer: correct it with a plain command such as SET or DEL",
        ),
        (
            Refusal::Foreign(id("RES-456")),
            "FOREIGN the key of reservation RES-456 is not a record of this module, but perhaps one of a script, or a copy: end it with the program that created it, or use a new id",
        ),
        (
            Refusal::ForeignHere { sku: sku("P"), units: 3 },
            "FOREIGN 3 reserved units of P belong to no reservation of this module, and another program may hold them: \
             wait until it has released them, or return them with INV.REPAIR P FORCE",
        ),
        (
            ended(Ending::Committed, 7),
            "COMMITTED reservation RES-456 was committed at 7: use a new id for a new order",
        ),
        (
            ended(Ending::RolledBack, 7),
            "ROLLEDBACK reservation RES-456 was rolled back at 7: use a new id for a new order",
        ),
        (
            ended(Ending::Expired, 1_763_820_900_000),
            "EXPIRED reservation RES-456 expired at 1763820900000: retry with a new id, or sell its units with INV.COMMIT RES-456 LATE if they are still available",
        ),
        (
            Refusal::Replaced { id: id("RES-456"), by: id("RES-457"), at: 7 },
            "REPLACED reservation RES-456 was replaced by RES-457 at 7: use RES-457 instead",
        ),
        (
            Refusal::Mismatch { id: id("RES-456"), held: lines("P 5, Q@north 1") },
            "MISMATCH reservation RES-456 already exists with other items (P 5, Q@north 1): use a new id",
        ),
        (
            Refusal::Mismatch {
                id: id("RES-456"),
                held: vec![Line { sku: sku("P 5, Q"), ..lines("P 1").remove(0) }, lines("Q 2").remove(0)],
            },
            "MISMATCH reservation RES-456 already exists with other items (\"P 5, Q\" 1, Q 2): use a new id",
        ),
        (
            Refusal::CameShort { id: id("RES-456"), short: lines("P 5, Q@north 1") },
            "MISMATCH reservation RES-456 was made with PARTIAL and is short of P 5, Q@north 1: repeat PARTIAL to accept that, or use a new id",
        ),
        (
            Refusal::OtherText { id: id("RES-456"), option: "DATA" },
            "MISMATCH reservation RES-456 already exists with these items but another DATA: use a new id",
        ),
        (
            Refusal::OtherOnce { asked: "P 5".to_owned() },
            "MISMATCH this ONCE token was already used with other arguments (P 5): use a new token",
        ),
        (
            Refusal::NotFound(id("RES-456")),
            "NOTFOUND reservation RES-456 is unknown: it was never made, its key was deleted, or its outcome is no longer remembered (inv.outcome-ttl-ms). Check the order in your own database before you retry",
        ),
        (Refusal::impossible("P has no warehouse W"), "ERR P has no warehouse W"),
        (
            Refusal::Drift { sku: sku("P"), held: 5, reserved: 3 },
            "DRIFT the reserved counter of P is 3, but this reservation holds 5: another client has written it. INV.AUDIT P shows the difference, and INV.REPAIR P corrects it",
        ),
        (
            Refusal::NotAllBack { sku: sku("P"), held: 5, known: 3 },
            "DRIFT the reservation held 5 of P, but only 3 were returned at the deadline or sold before: it cannot be committed late. Reserve again with a new id",
        ),
        (
            Refusal::Limit {
                product: product("PS5"),
                buyer: "cust7".to_owned(),
                requested: 3,
                left: 1,
                limit: 2,
            },
            "LIMIT PS5 buyer cust7 requested 3, may take 1 more (limit 2)",
        ),
        (
            Refusal::Limit {
                product: product("P 5"),
                buyer: "a, b".to_owned(),
                requested: 3,
                left: -4,
                limit: 2,
            },
            "LIMIT \"P 5\" buyer \"a, b\" requested 3, may take 0 more (limit 2)",
        ),
        (
            Refusal::Insufficient(vec![short("PROD-123", 5, 1), short("PROD-9", 2, 0)]),
            "INSUFFICIENT PROD-123 requested 5, available 1; PROD-9 requested 2, available 0",
        ),
        (
            Refusal::Insufficient(vec![
                Shortage { is_known: false, ..short("NOPE", 2, 0) },
                short("A requested 9, available 7; B", 5, 1),
                short("a\"\\ b", 5, 1),
            ]),
            "INSUFFICIENT NOPE requested 2, available 0 (unknown sku); \
             \"A requested 9, available 7; B\" requested 5, available 1; \
             \"a\\\"\\\\ b\" requested 5, available 1",
        ),
        (
            Refusal::Overcommitted { sku: sku("P"), on_hand: -3, reserved: 0 },
            "OVERCOMMITTED P cannot have -3 on hand: repeat the command with FORCE if that is meant",
        ),
        (
            Refusal::Overcommitted { sku: sku("P"), on_hand: 3, reserved: 5 },
            "OVERCOMMITTED P cannot have 3 on hand, because 5 are reserved: commit or roll back reservations first, or repeat the command with FORCE",
        ),
        (
            Refusal::SoldAhead { sku: sku("P"), on_hand: -2 },
            "OVERCOMMITTED P has -2 on hand, because units were sold before they arrived: add arrivals with INV.ADJUST, or set the count with FORCE",
        ),
        (
            Refusal::TooMany { sku: sku("P"), available: 9_007_199_254_740_990, reserved: 1, more: 2 },
            "ERR P has 9007199254740990 available and 1 reserved units: 2 more would exceed the maximum of 9007199254740991",
        ),
        (
            Refusal::Overflow { sku: sku("P"), counter: "available" },
            "ERR the available counter of P would exceed the range of 64-bit integers",
        ),
    ]
}

#[test]
fn every_refusal_says_what_was_asked_and_what_was_there() {
    for (refusal, text) in every_refusal() {
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn the_first_word_is_the_code() {
    for (refusal, text) in every_refusal() {
        assert_eq!(text.split(' ').next(), Some(refusal.code()));
        assert!(refusal.code().bytes().all(|byte| byte.is_ascii_uppercase()), "{}", refusal.code());
    }
}

#[test]
fn the_list_of_codes_has_every_one_in_the_order_of_the_ranks() {
    let ranks: Vec<Rank> = every_refusal().iter().map(|(refusal, _)| refusal.rank()).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let mut codes: Vec<&str> = Vec::new();
    for (refusal, _) in every_refusal() {
        if !codes.contains(&refusal.code()) {
            codes.push(refusal.code());
        }
    }
    assert_eq!(codes, Refusal::CODES);
}

#[test]
fn of_several_refusals_the_lowest_rank_is_said_and_of_equal_ones_the_first() {
    let every: Vec<Refusal> = every_refusal().into_iter().map(|(refusal, _)| refusal).collect();
    for first in &every {
        for second in &every {
            let expected = if second.rank() < first.rank() { second } else { first };
            let mut objections = Objections::default();
            assert_eq!(objections.check(Ok::<_, Refusal>(1)), Some(1));
            objections.add(first.clone());
            assert_eq!(objections.check(Err::<i32, _>(second.clone())), None);
            assert_eq!(objections.unless_any(()).as_ref(), Err(expected));
            let of_both = both(Err::<(), _>(first.clone()), Err::<(), _>(second.clone()));
            assert_eq!(of_both.as_ref(), Err(expected));
        }
        assert_eq!(both(Ok(()), Err::<(), _>(first.clone())), Err(first.clone()));
        assert_eq!(both(Err::<(), _>(first.clone()), Ok(())), Err(first.clone()));
        for last in every.iter().map(Refusal::rank) {
            let is_said = put_off(last, Err::<(), _>(first.clone())).is_err();
            assert_eq!(is_said, first.rank() <= last, "{first} against {last:?}");
        }
    }
    assert_eq!(both(Ok(1), Ok(2)), Ok((1, 2)));
    assert_eq!(Objections::default().unless_any(1), Ok(1));
}

#[test]
fn no_refusal_breaks_the_line() {
    for (refusal, _) in every_refusal() {
        assert!(!refusal.to_string().contains(['\r', '\n']), "{refusal}");
    }
}

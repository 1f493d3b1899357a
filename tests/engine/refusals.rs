//! Which refusal is returned if several apply: pairs of causes, run through the engine. The one with the lower rank is returned,
//! whatever the order of the lines, up to the line at which reading stops.

use redis_inventory::inventory::refusal::{Rank, Refusal};

use super::calls::call;
use super::simulation::Simulation;

/// A reason to refuse a call: what happens before it, and the words that it adds to the call.
struct Cause {
    rank: Rank,
    before: &'static str,
    part: &'static str,
}

const fn cause(rank: Rank, before: &'static str, part: &'static str) -> Cause {
    Cause { rank, before, part }
}

/// Runs commands of the module and of other clients, and `ADVANCE ms`.
fn play(shop: &mut Simulation, script: &str) {
    for line in script.split("; ").filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "ADVANCE" => {
                shop.advance(words[1].parse().unwrap());
                shop.sweep();
            }
            name if name.starts_with("INV.") => {
                let done = ask(shop, line);
                assert!(done.is_ok(), "{line}: {done:?}");
            }
            _ => shop.client(&words),
        }
    }
}

/// Runs one call as its own unit of work.
fn ask(shop: &mut Simulation, line: &str) -> Result<String, Refusal> {
    let words: Vec<&str> = line.split(' ').collect();
    shop.command(words[1], |shop| call(shop, &words))
}

/// Tests each cause alone, and each two of them in both orders. `line` makes the call from the causes.
fn each_pair(setup: &str, causes: &[Cause], line: impl Fn(&[&Cause]) -> String) {
    let alone = causes.iter().map(|cause| vec![cause]);
    let pairs = causes.iter().flat_map(|first| {
        causes.iter().filter(|second| !std::ptr::eq(first, *second)).map(move |second| vec![first, second])
    });
    for causes in alone.chain(pairs) {
        let mut shop = Simulation::new();
        play(&mut shop, setup);
        for cause in &causes {
            play(&mut shop, cause.before);
        }
        let line = line(&causes);
        let before = shop.data.clone();
        let refusal = ask(&mut shop, &line).expect_err(&line);
        let expected = causes.iter().map(|cause| cause.rank).min();
        assert_eq!(Some(refusal.rank()), expected, "{line}: {refusal}");
        assert_eq!(shop.data, before, "{line} has changed something");
    }
}

const FULL: &str = "SET stock:reserved:FULL 9223372036854775807";

#[test]
fn a_reserve_is_refused_for_the_lowest_of_its_causes() {
    let setup = "SET stock:available:P 10; SET stock:available:Q 10; SET stock:available:FULL 10; \
        SET stock:available:W@north 5; ZADD stock:warehouses:W 1 north; SET stock:available:BROKEN abc; \
        SET stock:available:LATER 10; SET stock:reserved:LATER abc; SET reservation:LUA other; \
        INV.RESERVE SOLD ONCE used ITEMS P 1; INV.COMMIT SOLD; INV.RESERVE BACK ONCE used ITEMS P 1; INV.ROLLBACK BACK; \
        INV.RESERVE LIVE ONCE used ITEMS P 1";
    let lines = [
        cause(Rank::WrongType, "", "BROKEN 1"),
        cause(Rank::WrongType, "", "LATER 1"),
        cause(Rank::Impossible, "", "W@nowhere 1"),
        cause(Rank::Insufficient, "", "P 99"),
        cause(Rank::Insufficient, "", "W 6"),
        cause(Rank::Overflow, FULL, "FULL 1"),
    ];
    let items = |causes: &[&Cause]| causes.iter().map(|cause| format!(" {}", cause.part)).collect::<String>();
    each_pair(setup, &lines, |causes| format!("INV.RESERVE NEW ITEMS Q 1{}", items(causes)));
    // Each cause in the id, and the deadline, together with each of the others.
    let of_id =
        [("LUA", Rank::Foreign), ("SOLD", Rank::Ended), ("BACK", Rank::Ended), ("LIVE", Rank::Mismatch)];
    let mut shop = Simulation::new();
    play(&mut shop, &format!("{setup}; {FULL}"));
    for line in &lines {
        for (id, of_id) in of_id {
            for (option, of_option) in [
                ("", None),
                ("PXAT 1 ", Some(Rank::Impossible)),
                ("ONCE used ", (id != "LUA").then_some(Rank::Mismatch)),
            ] {
                let words = format!("INV.RESERVE {id} {option}ITEMS Q 1 {}", line.part);
                let refusal = ask(&mut shop, &words).expect_err(&words);
                let expected = of_option.into_iter().chain([of_id, line.rank]).min();
                assert_eq!(Some(refusal.rank()), expected, "{words}: {refusal}");
            }
        }
        let words = format!("INV.RESERVE NEW PXAT 1 ITEMS Q 1 {}", line.part);
        let refusal = ask(&mut shop, &words).expect_err(&words);
        assert_eq!(refusal.rank(), line.rank.min(Rank::Impossible), "{words}: {refusal}");
    }
}

#[test]
fn a_reserve_reads_no_further_than_the_warehouses_that_one_request_may_have() {
    let mut shop = Simulation::new();
    for product in ["X", "Y", "Z"] {
        let key = format!("stock:warehouses:{product}");
        for number in 0..1000 {
            shop.client(&["ZADD", &key, "1", &number.to_string()]);
        }
    }
    play(&mut shop, "SET stock:available:BROKEN abc");
    for (items, rank) in
        [("BROKEN 1 X 1 Y 1 Z 1", Rank::WrongType), ("X 1 Y 1 Z 1 BROKEN 1", Rank::Impossible)]
    {
        let words = format!("INV.RESERVE NEW ITEMS {items}");
        let refusal = ask(&mut shop, &words).expect_err(&words);
        assert_eq!(refusal.rank(), rank, "{words}: {refusal}");
    }
}

/// A reservation of five skus.
const FIVE: &str = "SET stock:available:A 9; SET stock:available:B 9; SET stock:available:C 9; SET stock:available:D 9; \
    SET stock:available:W@north 9; ZADD stock:warehouses:W 1 north; \
    INV.RESERVE R PX 1000 ITEMS A 2 B 2 C 2 D 2 W@north 2";

#[test]
fn an_end_is_refused_for_the_lowest_of_its_causes() {
    let counters = [
        cause(Rank::WrongType, "SET stock:reserved:C abc", ""),
        cause(Rank::WrongType, "SET stock:reserved:W@north abc", ""),
        cause(Rank::Drift, "SET stock:reserved:A 1", ""),
        cause(Rank::Drift, "DEL stock:reserved:D", ""),
    ];
    each_pair(FIVE, &counters, |_| "INV.COMMIT R".to_owned());
    let overflow = cause(Rank::Overflow, "SET stock:available:B 9223372036854775806", "");
    let counters: Vec<Cause> = counters.into_iter().chain([overflow]).collect();
    each_pair(FIVE, &counters, |_| "INV.ROLLBACK R".to_owned());
}

#[test]
fn a_token_that_was_used_otherwise_is_told_after_an_end_and_before_anything_else_about_the_reservation() {
    let mut shop = Simulation::new();
    play(&mut shop, &format!("{FIVE}; INV.COMMIT R ONCE t ITEMS A 1; INV.ROLLBACK R ONCE t ITEMS A 1"));
    for (words, rank) in [
        ("INV.COMMIT R ONCE t", Rank::Mismatch),
        ("INV.COMMIT R ONCE t ITEMS A 9", Rank::Mismatch),
        ("INV.ROLLBACK R ONCE t ITEMS B 9", Rank::Mismatch),
        ("INV.COMMIT R ITEMS A 9", Rank::Impossible),
    ] {
        let refusal = ask(&mut shop, words).expect_err(words);
        assert_eq!(refusal.rank(), rank, "{words}: {refusal}");
    }
    play(&mut shop, "DEL reservation:R");
    let refusal = ask(&mut shop, "INV.COMMIT R ONCE t").expect_err("unknown now");
    assert_eq!(refusal.rank(), Rank::Mismatch, "{refusal}");
    play(&mut shop, "INV.RESERVE S ITEMS A 1; INV.COMMIT S ONCE t ITEMS A 1");
    let refusal = ask(&mut shop, "INV.ROLLBACK S ONCE u").expect_err("sold");
    assert_eq!(refusal.rank(), Rank::Ended, "{refusal}");
}

#[test]
fn a_late_commit_is_refused_for_the_lowest_of_its_causes() {
    let moved_away = "ZADD stock:warehouses:W 1 south; ZREM stock:warehouses:W north";
    let not_all_back = "SET stock:reserved:A 0";
    let broken = "SET stock:available:C abc";
    let broken_place = "SET stock:available:W@north abc";
    let sold_out = "SET stock:available:D 1";
    // What happens before the deadline, and after it.
    for (before, after, rank) in [
        ("", vec![broken], Rank::WrongType),
        ("", vec![broken_place], Rank::WrongType),
        ("", vec![broken, broken_place], Rank::WrongType),
        ("", vec![sold_out, broken], Rank::WrongType),
        ("", vec![moved_away], Rank::Impossible),
        ("", vec![sold_out, moved_away], Rank::Impossible),
        ("", vec![sold_out], Rank::Insufficient),
        (moved_away, vec![], Rank::Impossible),
        (moved_away, vec![broken], Rank::WrongType),
        (moved_away, vec![broken_place], Rank::WrongType),
        (moved_away, vec![sold_out], Rank::Impossible),
        (not_all_back, vec![], Rank::Drift),
        (not_all_back, vec![broken], Rank::WrongType),
        (not_all_back, vec![broken_place], Rank::WrongType),
        (not_all_back, vec![moved_away], Rank::Impossible),
        (not_all_back, vec![sold_out], Rank::Drift),
    ] {
        let script = format!("{before}; ADVANCE 1001; {}", after.join("; "));
        let mut shop = Simulation::new();
        play(&mut shop, &format!("{FIVE}; {script}"));
        let data = shop.data.clone();
        let refusal = ask(&mut shop, "INV.COMMIT R LATE").expect_err(&script);
        assert_eq!(refusal.rank(), rank, "{script}: {refusal}");
        assert_eq!(shop.data, data, "a refused commit has changed something: {script}");
    }
}

#[test]
fn counts_and_transfers_are_refused_for_the_lowest_of_their_causes() {
    let setup = "SET stock:available:P 5; INV.RESERVE R ITEMS P 2; SET stock:available:W@north 5; \
        SET stock:available:W@south 5; ZADD stock:warehouses:W 1 north; ZADD stock:warehouses:W 2 south";
    let full = "SET stock:available:W@south 9007199254740991";
    for (before, words, rank) in [
        ("SET stock:warehouses:P abc", "INV.ADJUST P -9", Rank::WrongType),
        ("SET stock:reserved:P abc", "INV.ADJUST P -9", Rank::WrongType),
        ("ZADD stock:warehouses:P 1 north; SET stock:reserved:P abc", "INV.ADJUST P -9", Rank::WrongType),
        ("ZADD stock:warehouses:P 1 north", "INV.ADJUST P -9", Rank::Impossible),
        ("", "INV.ADJUST P -9", Rank::Insufficient),
        ("INV.ADJUST P 1 ONCE t; ZADD stock:warehouses:P 1 north", "INV.ADJUST P -9 ONCE t", Rank::Mismatch),
        ("INV.ADJUST P 1 ONCE t; SET stock:reserved:P abc", "INV.ADJUST P -9 ONCE t", Rank::WrongType),
        ("ZADD stock:warehouses:P 1 north", "INV.SET P ONHAND 1", Rank::Impossible),
        ("", "INV.SET P ONHAND 1", Rank::Overcommitted),
        ("", "INV.TRANSFER W north south 6", Rank::Insufficient),
        ("", "INV.TRANSFER W nowhere south 6", Rank::Impossible),
        ("", "INV.TRANSFER W north nowhere 6", Rank::Impossible),
        (full, "INV.TRANSFER W north south 1", Rank::Overflow),
        (full, "INV.TRANSFER W north south 6", Rank::Insufficient),
        ("SET stock:available:W@south abc", "INV.TRANSFER W north south 6", Rank::WrongType),
        ("SET stock:reserved:W@nowhere abc", "INV.TRANSFER W nowhere south 6", Rank::WrongType),
        ("", "INV.WAREHOUSES P SET north 1", Rank::Impossible),
        ("SET stock:available:P@north abc", "INV.WAREHOUSES P SET north 1", Rank::WrongType),
        ("SET stock:reserved:W@nowhere abc", "INV.WAREHOUSES W DEL nowhere", Rank::WrongType),
        ("", "INV.WAREHOUSES W DEL nowhere", Rank::Impossible),
    ] {
        let mut shop = Simulation::new();
        play(&mut shop, &format!("{setup}; {before}"));
        let refusal = ask(&mut shop, words).expect_err(words);
        assert_eq!(refusal.rank(), rank, "{before}; {words}: {refusal}");
    }
}

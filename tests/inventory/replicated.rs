//! The form in which a command replicates itself. AOF files are kept indefinitely, so these words must never change.

use redis_inventory::engine::effects::{Effect, parse};
use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::key::OnceName;
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::priority::Priority;
use redis_inventory::inventory::sku::{KeyStyle, Sku};

use super::{id, lines, product, record, sku};

const RECORD: &str =
    r#"{"reservation_id":"R","created_at":1000,"expires_at":1900,"items":[{"product_id":"P","quantity":5}]}"#;
const OUTCOME: &str = concat!(
    r#"{"reservation_id":"R","state":"committed","created_at":1000,"expires_at":1900,"resolved_at":1500,"#,
    r#""items":[{"product_id":"P","quantity":5}]}"#
);

fn read(words: &[&str]) -> Result<Vec<Effect>, String> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let (style, effects) = parse(&words).map_err(|refusal| refusal.to_string())?;
    assert_eq!(style, KeyStyle::Plain);
    Ok(effects)
}

fn outcome() -> Outcome {
    Outcome::of(&record("R", "P 5"), 1900, Ending::Committed, 1500, &lines("P 5"))
}

#[test]
fn each_effect_has_one_form() {
    let once = OnceName::new("commit", "R", b"token", KeyStyle::Plain).unwrap();
    let hold = Effect::Hold { record: record("R", "P 5"), deadline: 1900 };
    let table: [(&[&str], Effect); 20] = [
        (&["HOLD", "R", "1900", RECORD], hold),
        (&["RECORD", "R", "2900", RECORD], Effect::Record { record: record("R", "P 5"), deadline: 2900 }),
        (&["UNITS", "P@A", "-5", "5"], Effect::Units { sku: sku("P@A"), available: -5, reserved: 5 }),
        (&["UNITS", "P", "0", "0"], Effect::Units { sku: sku("P"), available: 0, reserved: 0 }),
        (&["END", "R", "0", OUTCOME], Effect::End { id: id("R"), outcome: outcome(), deadline: 0 }),
        (&["OUTCOME", "R", "9", OUTCOME], Effect::Outcome { id: id("R"), outcome: outcome(), deadline: 9 }),
        (
            &["ONCE", "commit:1:R:token", "9", "answer"],
            Effect::Once { name: once, deadline: 9, answer: b"answer".to_vec() },
        ),
        (&["THRESHOLD", "P", "7", "0"], Effect::Threshold { product: product("P"), units: Some(7) }),
        (&["FLOOR", "P@A", "-7", "0"], Effect::Floor { sku: sku("P@A"), units: -7 }),
        (&["FLOOR", "P", "0", "0"], Effect::Floor { sku: sku("P"), units: 0 }),
        (&["LIMIT", "P", "2", "0"], Effect::Limit { product: product("P"), units: Some(2) }),
        (&["LIMIT", "P", "-1", "0"], Effect::Limit { product: product("P"), units: None }),
        (
            &["UNITS", "P@@a@b", "2", "-2"],
            Effect::Units {
                sku: Sku::parse_any(b"P@@a@b", KeyStyle::Plain).unwrap(),
                available: 2,
                reserved: -2,
            },
        ),
        (
            &["CLEAR", "P@@a@b", "0", "0"],
            Effect::Clear { sku: Sku::parse_any(b"P@@a@b", KeyStyle::Plain).unwrap() },
        ),
        (&["NOALERTS", "P", "0", "0"], Effect::Threshold { product: product("P"), units: Some(-1) }),
        (&["THRESHOLD", "P", "-1", "0"], Effect::Threshold { product: product("P"), units: None }),
        (&["RANK", "P@A", "-7", "0"], Effect::Rank { place: sku("P@A"), priority: Priority::Number(-7) }),
        (&["CLOSED", "P@A", "0", "0"], Effect::Rank { place: sku("P@A"), priority: Priority::Closed }),
        (&["UNRANK", "P@A", "0", "0"], Effect::Unrank { place: sku("P@A") }),
        (&["CLEAR", "P@A", "0", "0"], Effect::Clear { sku: sku("P@A") }),
    ];
    for (words, effect) in &table {
        assert_eq!(read(&[&["1"], *words].concat()), Ok(vec![effect.clone()]), "{words:?}");
    }
    let all: Vec<&str> =
        ["1"].into_iter().chain(table.iter().flat_map(|(words, _)| words.iter().copied())).collect();
    assert_eq!(read(&all), Ok(table.into_iter().map(|(_, effect)| effect).collect()));
}

#[test]
fn version_2_names_the_keys_with_tags_and_spells_skus_as_users_see_them() {
    let words: [&[u8]; 5] = [b"2", b"UNITS", b"P@A", b"1", b"0"];
    let sku = Sku::parse(b"{P}@A", KeyStyle::Tagged).unwrap();
    let effect = Effect::Units { sku, available: 1, reserved: 0 };
    assert_eq!(parse(&words), Ok((KeyStyle::Tagged, vec![effect])));
}

#[test]
fn a_document_that_says_everything_is_packed() {
    let closed = outcome();
    let sold = Effect::Units { sku: sku("P"), available: 0, reserved: -5 };
    let returned = Effect::Units { sku: sku("P"), available: 5, reserved: -5 };
    let rolled_back = Outcome { ending: Ending::RolledBack, ..closed.clone() };
    let end = |outcome: &Outcome, deadline| Effect::End { id: id("R"), outcome: outcome.clone(), deadline };
    let text = OUTCOME.replace("committed", "rolled_back");
    let table: [(&[&str; 3], Vec<Effect>); 5] = [
        (
            &["3 HOLD", RECORD, "reservation:R"],
            vec![Effect::Hold { record: record("R", "P 5"), deadline: 1900 }],
        ),
        (
            &["3 RECORD", RECORD, "reservation:R"],
            vec![Effect::Record { record: record("R", "P 5"), deadline: 1900 }],
        ),
        (&["3 CLOSE 100", OUTCOME, "reservation:R"], vec![sold.clone(), end(&closed, 1600)]),
        (&["3 CLOSE 0", OUTCOME, "reservation:R"], vec![sold, end(&closed, 0)]),
        (&["3 CLOSE 100", &text, "reservation:R"], vec![returned, end(&rolled_back, 1600)]),
    ];
    for (words, effects) in table {
        assert_eq!(read(words), Ok(effects), "{words:?}");
    }
    // Those of many reservations are separated by line feeds.
    let other = RECORD.replace("\"R\"", "\"S\"");
    let hold = |name: &str| Effect::Hold { record: record(name, "P 5"), deadline: 1900 };
    assert_eq!(
        read(&["3 HOLDS", &format!("{RECORD}\n{other}"), "reservation:R"]),
        Ok(vec![hold("R"), hold("S")])
    );
    let (closed, rolled_back) = (OUTCOME, text.replace("\"R\"", "\"S\""));
    let end_of = |name: &str, ending| Effect::End {
        id: id(name),
        outcome: Outcome::of(&record(name, "P 5"), 1900, ending, 1500, &lines("P 5")),
        deadline: 1600,
    };
    let units = |available| Effect::Units { sku: sku("P"), available, reserved: -5 };
    assert_eq!(
        read(&["3 CLOSES 100", &format!("{closed}\n{rolled_back}"), "reservation:R"]),
        Ok(vec![units(0), end_of("R", Ending::Committed), units(5), end_of("S", Ending::RolledBack)])
    );
    let tagged: [&[u8]; 3] = [b"4 HOLDS", RECORD.as_bytes(), b"reservation:{R}"];
    assert_eq!(parse(&tagged), Ok((KeyStyle::Tagged, vec![hold("R")])));
    let tagged: [&[u8]; 3] = [b"4 HOLD", RECORD.as_bytes(), b"reservation:{R}"];
    assert_eq!(
        parse(&tagged),
        Ok((KeyStyle::Tagged, vec![Effect::Hold { record: record("R", "P 5"), deadline: 1900 }]))
    );
}

#[test]
fn what_is_packed_otherwise_is_refused() {
    let refusal = Err("ERR INV.APPLY: unknown effect: this module may be older than its master's".to_owned());
    for words in [
        ["5 HOLD", RECORD, "reservation:R"],
        ["3 SHIP", RECORD, "reservation:R"],
        ["3  HOLD", RECORD, "reservation:R"],
        ["3 HOLD ", RECORD, "reservation:R"],
        ["3 HOLD 1", RECORD, "reservation:R"],
        ["3 HOLD", RECORD, "reservation:S"],
        ["3 HOLD", RECORD, "R"],
        ["3 HOLD", OUTCOME, "reservation:R"],
        ["4 HOLD", RECORD, "reservation:R"],
        ["3 CLOSE", OUTCOME, "reservation:R"],
        ["3 CLOSE -1", OUTCOME, "reservation:R"],
        ["3 CLOSE 9223372036854775807", OUTCOME, "reservation:R"],
        ["3 CLOSE 1 1", OUTCOME, "reservation:R"],
        ["3 CLOSE 1", RECORD, "reservation:R"],
        ["3 UNITS", "", "stock:available:P"],
        ["3 HOLDS", "", "reservation:R"],
        ["3 HOLDS", RECORD, "reservation:S"],
        ["3 HOLDS", &format!("{RECORD}\n"), "reservation:R"],
        ["3 HOLDS", &format!("{RECORD}\n{OUTCOME}"), "reservation:R"],
        ["3 HOLDS 1", RECORD, "reservation:R"],
        ["3 CLOSES", OUTCOME, "reservation:R"],
        ["3 CLOSES -1", OUTCOME, "reservation:R"],
        ["3 CLOSES 1", OUTCOME, "reservation:S"],
        ["3 CLOSES 1", &format!("{OUTCOME}\n{RECORD}"), "reservation:R"],
    ] {
        assert_eq!(read(&words), refusal, "{words:?}");
    }
}

#[test]
fn another_version_is_refused() {
    let refusal =
        Err("ERR INV.APPLY: unknown version: this module may be older than its master's".to_owned());
    for version in ["3", "0", "-1", "01", "1.0", "", "HOLD"] {
        assert_eq!(read(&[version, "UNITS", "P", "1", "0"]), refusal, "{version:?}");
    }
    assert_eq!(
        read(&[]),
        Err("ERR INV.APPLY: no version: this module may be older than its master's".to_owned())
    );
}

#[test]
fn an_unknown_effect_is_refused_together_with_all_others() {
    let refusal = Err("ERR INV.APPLY: unknown effect: this module may be older than its master's".to_owned());
    let unknown: [&[&str]; 20] = [
        &["SHIP", "P", "1", "0"],
        // In the order in which the master sends them.
        &["units", "P", "1", "0"],
        &["UNITS ", "P", "1", "0"],
        &["UNITS", "", "1", "0"],
        &["UNITS", "P@A@B", "1", "0"],
        &["UNITS", "P", "+1", "0"],
        &["UNITS", "P", "1", "x"],
        &["UNITS", "P", "9223372036854775808", "0"],
        &["HOLD", "R", "soon", RECORD],
        &["HOLD", "S", "1900", RECORD],
        &["HOLD", "R", "1900", OUTCOME],
        &["HOLD", "", "1900", RECORD],
        &["END", "R", "0", RECORD],
        &["END", "S", "0", OUTCOME],
        &["OUTCOME", "R", "9", "{}"],
        &["THRESHOLD", "P@A", "7", "0"],
        &["NOALERTS", "P@A", "0", "0"],
        &["RANK", "P", "7", "0"],
        &["RANK", "P@A", "1.5", "0"],
        &["UNRANK", "P", "0", "0"],
    ];
    for words in unknown {
        assert_eq!(read(&[&["1"], words].concat()), refusal, "{words:?}");
        assert_eq!(read(&[&["1", "UNITS", "P", "1", "0"], words].concat()), refusal, "{words:?}");
    }
}

#[test]
fn half_an_effect_is_refused() {
    let refusal =
        Err("ERR INV.APPLY: incomplete effect: this module may be older than its master's".to_owned());
    let whole = ["UNITS", "P", "1", "0"];
    for length in 1..whole.len() {
        assert_eq!(read(&[&["1"], &whole[..length]].concat()), refusal);
        assert_eq!(read(&[&["1"], &whole[..], &whole[..length]].concat()), refusal);
    }
}

#[test]
fn no_effect_at_all_is_nothing_to_do() {
    assert_eq!(read(&["1"]), Ok(Vec::new()));
}

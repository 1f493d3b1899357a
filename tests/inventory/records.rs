//! The JSON of records and outcomes, and which values are foreign.

use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::outcome::{Outcome, Parts};
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::{Record, Restored};
use redis_inventory::inventory::sku::{
    KeyStyle::{Plain, Tagged},
    ReservationId, Sku,
};

use super::{id, lines, record};

const EXAMPLE: &str = concat!(
    r#"{"reservation_id":"RES-456","created_at":1763820000000,"expires_at":1763820900000,"#,
    r#""items":[{"product_id":"PROD-123","warehouse":"A","quantity":50},{"product_id":"PROD-9","quantity":1}],"#,
    r#""data":"cart 77"}"#
);

fn example() -> Record {
    let items = lines("PROD-123@A 50, PROD-9 1");
    Record::new(id("RES-456"), 1_763_820_000_000, 1_763_820_900_000, items, Some("cart 77".to_owned()))
}

#[test]
fn a_record_is_stored_as_the_contract_shows_it() {
    assert_eq!(String::from_utf8(example().to_json()).unwrap(), EXAMPLE);
    assert_eq!(Record::from_json(&id("RES-456"), EXAMPLE.as_bytes(), Plain), Some(example()));
}

#[test]
fn a_record_has_data_and_parts_only_if_there_are_some() {
    let plain = record("R", "P 5");
    assert_eq!(
        String::from_utf8(plain.to_json()).unwrap(),
        r#"{"reservation_id":"R","created_at":1000,"expires_at":1900,"items":[{"product_id":"P","quantity":5}]}"#
    );
    let parts = Record { sold: lines("P 2"), returned: lines("Q@n 1"), data: Some(String::new()), ..plain };
    let json = parts.to_json();
    assert_eq!(
        String::from_utf8(json.clone()).unwrap(),
        concat!(
            r#"{"reservation_id":"R","created_at":1000,"expires_at":1900,"items":[{"product_id":"P","quantity":5}],"#,
            r#""sold":[{"product_id":"P","quantity":2}],"#,
            r#""returned":[{"product_id":"Q","warehouse":"n","quantity":1}],"data":""}"#
        )
    );
    assert_eq!(Record::from_json(&id("R"), &json, Plain), Some(parts));
}

#[test]
fn any_text_survives_in_a_record() {
    let survives = |text: String| {
        let with_data = Record { data: Some(text.clone()), ..example() };
        let json = with_data.to_json();
        let read: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!(read["data"], text);
        assert_eq!(Record::from_json(&id("RES-456"), &json, Plain), Some(with_data));
    };
    for text in ["\"quoted\" \\ back", "line\nbreak\0nul", "注文 é 🛒", "{\"a\":[1]}"] {
        survives(text.to_owned());
    }
    // The first bytes are examined one by one, and the others in blocks.
    for at in 0..150 {
        for special in ["\"", "\\", "\n", "é", "\u{7f}"] {
            survives(format!("{}{special}{}", "a".repeat(at), "b".repeat(150 - at)));
        }
    }
}

#[test]
fn another_clients_spelling_of_the_same_json_is_the_same_record() {
    let spaced = EXAMPLE.replace(':', " : ").replace(',', " ,\n");
    assert_eq!(Record::from_json(&id("RES-456"), spaced.as_bytes(), Plain), Some(example()));
}

#[test]
fn a_record_in_tagged_style_names_ids_as_users_see_them() {
    let id = ReservationId::parse(b"{RES-456}", Tagged).unwrap();
    let read = Record::from_json(&id, EXAMPLE.as_bytes(), Tagged).unwrap();
    assert_eq!(read.items[0].sku, Sku::parse(b"{PROD-123}@A", Tagged).unwrap());
    assert_eq!(String::from_utf8(read.to_json()).unwrap(), EXAMPLE);
}

#[test]
fn whatever_is_no_record_of_this_id_is_foreign() {
    let item = r#"{"product_id":"P","quantity":1}"#;
    let with_items =
        |items: &str| format!(r#"{{"reservation_id":"R","created_at":1,"expires_at":2,"items":[{items}]}}"#);
    assert!(Record::from_json(&id("R"), with_items(item).as_bytes(), Plain).is_some());
    for (why, json) in [
        ("no JSON", "reserved".to_owned()),
        ("empty", String::new()),
        ("a number", "5".to_owned()),
        ("a script's", r#"{"sku":"P","qty":1}"#.to_owned()),
        ("cut off", with_items(item)[..40].to_owned()),
        ("something after it", with_items(item) + "x"),
        ("a brace after it", with_items(item) + "}"),
        ("another id's", with_items(item).replace("\"R\"", "\"S\"")),
        ("another spelling of the id", with_items(item).replace("\"R\"", "\"{R}\"")),
        ("no items", with_items("")),
        ("a comma after the last item", with_items(&format!("{item},"))),
        ("a sku twice", with_items(&format!("{item},{item}"))),
        ("quantity 0", with_items(r#"{"product_id":"P","quantity":0}"#)),
        ("quantity below 0", with_items(r#"{"product_id":"P","quantity":-1}"#)),
        ("quantity too large", with_items(r#"{"product_id":"P","quantity":9007199254740992}"#)),
        ("quantity no integer", with_items(r#"{"product_id":"P","quantity":1.0}"#)),
        ("quantity a string", with_items(r#"{"product_id":"P","quantity":"1"}"#)),
        ("a product with an at sign", with_items(r#"{"product_id":"P@A","quantity":1}"#)),
        ("an empty product", with_items(r#"{"product_id":"","quantity":1}"#)),
        ("an empty warehouse", with_items(r#"{"product_id":"P","warehouse":"","quantity":1}"#)),
        ("an unknown field in a line", with_items(r#"{"product_id":"P","quantity":1,"price":9}"#)),
        ("an unknown field", with_items(item).replace("\"items\"", "\"user\":7,\"items\"")),
        ("a field twice", with_items(item).replace("\"items\"", "\"created_at\":1,\"items\"")),
        ("no time", with_items(item).replace("\"created_at\":1,", "")),
        ("a time as text", with_items(item).replace("\"created_at\":1", "\"created_at\":\"1\"")),
        ("an outcome", with_items(item).replace("\"items\"", "\"state\":\"committed\",\"items\"")),
    ] {
        assert_eq!(Record::from_json(&id("R"), json.as_bytes(), Plain), None, "{why}: {json}");
    }
    assert_eq!(Record::from_json(&id("R"), b"\xff\xfe", Plain), None);
}

fn quota(product: &str, buyer: &str, units: i64) -> Line {
    let sku = Sku::parse_any(format!("{product}@@{buyer}").as_bytes(), Plain).unwrap();
    Line { sku, quantity: Quantity::new(units).unwrap() }
}

#[test]
fn what_a_record_holds_of_quotas_is_stored_without_the_name_of_the_buyer() {
    let held = Record {
        buyer: Some("ann".to_owned()),
        quota: vec![quota("P", "ann", 3)],
        ..record("R", "P@A 1, P@B 2, Q 1")
    };
    let json = String::from_utf8(held.to_json()).unwrap();
    assert!(json.ends_with(r#","buyer":"ann","quota":[{"product_id":"P","quantity":3}]}"#), "{json}");
    assert_eq!(Record::from_json(&id("R"), json.as_bytes(), Plain), Some(held.clone()));
    let spaced = json.replace("\"quota\":", "\"quota\" : ");
    assert_eq!(Record::from_json(&id("R"), spaced.as_bytes(), Plain), Some(held.clone()));
    for wrong in [
        json.replace(r#""buyer":"ann","#, ""),
        json.replace(r#""buyer":"ann""#, r#""buyer":"""#),
        json.replace(
            r#"[{"product_id":"P","quantity":3}]"#,
            r#"[{"product_id":"P","warehouse":"A","quantity":3}]"#,
        ),
        json.replace(
            r#"[{"product_id":"P","quantity":3}]"#,
            r#"[{"product_id":"P","quantity":3},{"product_id":"P","quantity":1}]"#,
        ),
        json.replace(
            r#""quota":[{"product_id":"P","quantity":3}"#,
            r#""quota":[{"product_id":"P","quantity":0}"#,
        ),
    ] {
        assert_eq!(Record::from_json(&id("R"), wrong.as_bytes(), Plain), None, "{wrong}");
    }
    for (part, units) in
        [("P@A 1", 1), ("P@B 2", 2), ("Q 1", 0), ("P@A 1, P@B 1, Q 1", 2), ("P@A 1, P@B 2, Q 1", 3)]
    {
        let of_part: i64 = held.quota_of(&lines(part)).iter().map(|line| line.quantity.units()).sum();
        assert_eq!(of_part, units, "{part}");
    }
    let outcome = Outcome::of(&held, 1900, Ending::Committed, 1500, &held.items);
    let json = String::from_utf8(outcome.to_json(&id("R"))).unwrap();
    assert!(json.ends_with(r#","buyer":"ann","quota":[{"product_id":"P","quantity":3}]}"#), "{json}");
    assert_eq!(Outcome::from_json(&id("R"), json.as_bytes(), Plain), Some(outcome));
    // Written only if it is used.
    assert!(!String::from_utf8(record("R", "P 1").to_json()).unwrap().contains("quota"));
}

#[test]
fn what_was_asked_is_what_is_held_and_what_went_in_parts() {
    let record = Record { sold: lines("P 2, Q 4"), returned: lines("P 1"), ..record("R", "P 5") };
    assert_eq!(record.asked(), lines("P 8, Q 4"));
}

#[test]
fn lines_split_over_warehouses_are_stored_next_to_the_request() {
    let (asked, split) = (lines("P 7"), record("R", "P@A 5, P@B 2").asked_for(&lines("P 7")));
    let json = String::from_utf8(split.to_json()).unwrap();
    let expected = concat!(
        r#"{"reservation_id":"R","created_at":1000,"expires_at":1900,"#,
        r#""items":[{"product_id":"P","warehouse":"A","quantity":5},{"product_id":"P","warehouse":"B","quantity":2}],"#,
        r#""asked":[{"product_id":"P","quantity":7}]}"#
    );
    assert_eq!(json, expected);
    assert_eq!(Record::from_json(&id("R"), json.as_bytes(), Plain), Some(split.clone()));
    // After parts were sold, the request is unchanged, and the outcome lists all lines that were held.
    let later = Record { items: lines("P@B 2"), sold: lines("P@A 5"), ..split };
    assert_eq!((later.asked(), later.whole()), (asked, lines("P@B 2, P@A 5")));
    // Not if both are the same, in whatever order.
    assert_eq!(record("R", "P@A 5, Q 2").asked_for(&lines("Q 2, P@A 5")).asked, None);
    // An invalid line makes the record foreign.
    let broken = json.replace(r#"[{"product_id":"P","quantity":7}]"#, r#"[{"product_id":"P","quantity":0}]"#);
    assert_eq!(Record::from_json(&id("R"), broken.as_bytes(), Plain), None);
}

#[test]
fn a_part_is_taken_from_the_lines_that_are_held() {
    let record = record("R", "P@north 5, Q 3, P@south 2, P@west 1");
    for (part, taken) in [
        ("Q 3", "Q 3"),
        ("P@south 2", "P@south 2"),
        // A product without a warehouse takes from its lines in order.
        ("P 1", "P@north 1"),
        ("P 6", "P@north 5, P@south 1"),
        ("P 8, Q 1", "Q 1, P@north 5, P@south 2, P@west 1"),
        // A named warehouse takes its units first, whatever the order.
        ("P 3, P@north 5", "P@north 5, P@south 2, P@west 1"),
        ("P@north 4, P 3", "P@north 5, P@south 2"),
    ] {
        assert_eq!(record.resolve_part(&lines(part)), Ok(lines(taken)), "{part}");
    }
}

#[test]
fn a_part_that_is_more_than_held_is_refused_and_says_what_is_held() {
    let record = record("R", "P@north 5, Q 3");
    for (part, named) in [
        ("Q 4", "Q 4"),
        ("Q 3, P 6", "P 6"),
        ("P@south 1", "P@south 1"),
        ("X 1", "X 1"),
        ("P@north 3, P 3", "P 3"),
    ] {
        assert_eq!(
            record.resolve_part(&lines(part)).unwrap_err().to_string(),
            format!("ERR {named} is more than reservation R holds: P@north 5, Q 3")
        );
    }
}

#[test]
fn what_is_left_is_what_is_held_without_the_part() {
    let record = record("R", "P 5, Q 3");
    assert_eq!(record.without(&lines("P 2")), lines("P 3, Q 3"));
    assert_eq!(record.without(&lines("P 5")), lines("Q 3"));
    assert_eq!(record.without(&lines("Q 3, P 5")), []);
}

#[test]
fn an_outcome_is_stored_with_how_and_when_it_ended() {
    for (ending, name) in
        [(Ending::Committed, "committed"), (Ending::RolledBack, "rolled_back"), (Ending::Expired, "expired")]
    {
        assert_eq!(ending.name(), name);
        let outcome = Outcome {
            ending,
            created_at: 1,
            expires_at: 2,
            resolved_at: 3,
            items: lines("P@A 5"),
            parts: None,
            rolled_back: Vec::new(),
            data: None,
            buyer: None,
            quota: Vec::new(),
            replaced_by: None,
        };
        let json = outcome.to_json(&id("R"));
        assert_eq!(
            String::from_utf8(json.clone()).unwrap(),
            format!(
                concat!(
                    r#"{{"reservation_id":"R","state":"{}","created_at":1,"expires_at":2,"resolved_at":3,"#,
                    r#""items":[{{"product_id":"P","warehouse":"A","quantity":5}}]}}"#
                ),
                name
            )
        );
        assert_eq!(Outcome::from_json(&id("R"), &json, Plain), Some(outcome));
    }
}

#[test]
fn an_outcome_that_was_replaced_names_its_successor_and_no_other_outcome_does() {
    let held = Record { sold: lines("Q 1"), ..record("R", "P 5") };
    let outcome = Outcome::replaced(&held, 1900, &id("S"), 1500);
    let json = outcome.to_json(&id("R"));
    let expected = concat!(
        r#"{"reservation_id":"R","state":"replaced","created_at":1000,"expires_at":1900,"resolved_at":1500,"#,
        r#""items":[{"product_id":"P","quantity":5},{"product_id":"Q","quantity":1}],"#,
        r#""sold":[{"product_id":"Q","quantity":1}],"returned":[],"replaced_by":"S"}"#
    );
    assert_eq!(String::from_utf8(json.clone()).unwrap(), expected);
    assert_eq!(Outcome::from_json(&id("R"), &json, Plain), Some(outcome));
    // The fields contradict each other, or there is no such id.
    for broken in [
        expected.replace(r#""state":"replaced""#, r#""state":"committed""#),
        expected.replace(r#","replaced_by":"S""#, ""),
        expected.replace(r#""S""#, "7"),
    ] {
        assert_eq!(Outcome::from_json(&id("R"), broken.as_bytes(), Plain), None, "{broken}");
    }
    // Nothing was known of this id.
    let unknown = Outcome::replaced_unknown(None, &id("S"), 1500);
    assert_eq!(Outcome::from_json(&id("R"), &unknown.to_json(&id("R")), Plain), Some(unknown));
}

#[test]
fn a_record_keeps_what_partial_left_out() {
    let asked = lines("P@A 3, P 6, Q 2, S 1");
    let held = record("R", "P@A 4, P@B 3, S 1").asked_for(&asked).partly(&asked);
    assert_eq!(held.short, Some(lines("P 2, Q 2")));
    let json = held.to_json();
    let text = String::from_utf8(json.clone()).unwrap();
    let short = r#","short":[{"product_id":"P","quantity":2},{"product_id":"Q","quantity":2}]}"#;
    assert!(text.ends_with(short), "{text}");
    assert_eq!(Record::from_json(&id("R"), &json, Plain), Some(held.clone()));
    assert_eq!(held.check_short(true), Ok(()));
    assert!(held.check_short(false).is_err());
    // It was allowed, but nothing was missing.
    let whole = record("R", "P 5").partly(&lines("P 5"));
    assert_eq!((whole.short.as_deref(), whole.check_short(false)), (Some(&[][..]), Ok(())));
    assert_eq!(Record::from_json(&id("R"), &whole.to_json(), Plain), Some(whole));
}

#[test]
fn an_outcome_in_parts_or_by_the_deadline_lists_sold_and_returned() {
    let whole = Record { data: Some("cart 77".to_owned()), ..record("R", "P 5") };
    let in_parts = Record { sold: lines("P 2"), returned: lines("Q 1"), ..whole.clone() };
    let moved = lines("P 5");
    for (record, ending, expected) in [
        (&whole, Ending::Committed, None),
        (&whole, Ending::RolledBack, None),
        (&whole, Ending::Expired, Some(("", "P 5"))),
        (&in_parts, Ending::Committed, Some(("P 7", "Q 1"))),
        (&in_parts, Ending::RolledBack, Some(("P 2", "Q 1, P 5"))),
        (&in_parts, Ending::Expired, Some(("P 2", "Q 1, P 5"))),
    ] {
        let outcome = Outcome::of(record, 1950, ending, 2000, &moved);
        let parts = expected.map(|(sold, returned)| Parts { sold: lines(sold), returned: lines(returned) });
        assert_eq!(outcome.parts, parts, "{ending:?}");
        assert_eq!((outcome.created_at, outcome.expires_at, outcome.resolved_at), (1000, 1950, 2000));
        assert_eq!(outcome.data.as_deref(), Some("cart 77"));
        assert_eq!(Outcome::from_json(&id("R"), &outcome.to_json(&id("R")), Plain), Some(outcome));
    }
}

#[test]
fn a_release_that_was_cut_lists_what_came_back() {
    let outcome = Outcome::of(&record("R", "P 5, Q 1"), 1900, Ending::Expired, 2000, &lines("P 3"));
    assert_eq!(outcome.items, lines("P 5, Q 1"));
    assert_eq!(outcome.parts, Some(Parts { sold: Vec::new(), returned: lines("P 3") }));
}

#[test]
fn an_outcome_lists_all_that_was_asked_whatever_parts_have_gone() {
    let in_parts = Record { sold: lines("P 2"), returned: lines("Q 1"), ..record("R", "P 5") };
    let outcome = Outcome::of(&in_parts, 1900, Ending::Committed, 2000, &lines("P 5"));
    assert_eq!(outcome.items, lines("P 7, Q 1"));
}

#[test]
fn a_late_commit_takes_again_what_the_deadline_returned() {
    let whole = Outcome::of(&record("R", "P 5, Q 1"), 1900, Ending::Expired, 2000, &lines("P 5, Q 1"));
    assert_eq!(whole.to_take_again(), lines("P 5, Q 1"));
    let record = Record { sold: lines("P 2"), ..record("R", "P 3, Q 1") };
    let in_parts = Outcome::of(&record, 1900, Ending::Expired, 2000, &lines("P 3, Q 1"));
    assert_eq!(in_parts.to_take_again(), lines("P 3, Q 1"));
    let sold = in_parts.sold_late(Vec::new(), 2500);
    assert_eq!((sold.ending, sold.expires_at, sold.resolved_at), (Ending::Committed, 1900, 2500));
    assert_eq!(sold.parts.map(|parts| (parts.sold, parts.returned)), Some((lines("P 5, Q 1"), Vec::new())));
}

#[test]
fn a_late_commit_leaves_what_a_rollback_had_returned() {
    let record = Record { sold: lines("P 1"), returned: lines("P 2, Q 4"), ..record("R", "P 3") };
    let expired = Outcome::of(&record, 1900, Ending::Expired, 2000, &lines("P 3"));
    assert_eq!(expired.rolled_back, lines("P 2, Q 4"));
    assert_eq!(expired.check_all_back(), Ok(()));
    assert_eq!(expired.to_take_again(), lines("P 3"));
    assert_eq!(Outcome::from_json(&id("R"), &expired.to_json(&id("R")), Plain), Some(expired.clone()));
    let sold = expired.clone().sold_late(Vec::new(), 2500);
    assert_eq!(sold.items, lines("P 6, Q 4"));
    assert_eq!(sold.parts, Some(Parts { sold: lines("P 4"), returned: lines("P 2, Q 4") }));
    // A finished outcome is as older versions write it.
    for later in
        [sold, expired.given_up(2500), Outcome::of(&record, 1900, Ending::Committed, 2000, &lines("P 3"))]
    {
        assert!(!String::from_utf8(later.to_json(&id("R"))).unwrap().contains("rolled_back\":"));
    }
}

#[test]
fn more_than_was_returned_was_not_rolled_back() {
    let json = |returned: &str, rolled_back: &str| {
        format!(
            r#"{{"reservation_id":"R","state":"expired","created_at":1,"expires_at":2,"resolved_at":3,"items":[{{"product_id":"P","quantity":5}}]{returned},"rolled_back":[{{"product_id":"P","quantity":{rolled_back}}}]}}"#
        )
    };
    let returned = r#","returned":[{"product_id":"P","quantity":2}]"#;
    assert!(Outcome::from_json(&id("R"), json(returned, "2").as_bytes(), Plain).is_some());
    assert_eq!(Outcome::from_json(&id("R"), json(returned, "3").as_bytes(), Plain), None);
    assert_eq!(Outcome::from_json(&id("R"), json("", "1").as_bytes(), Plain), None);
}

#[test]
fn a_late_commit_of_a_release_that_was_cut_is_drift() {
    for (returned, refusal) in [
        (
            "P 4, Q 1",
            "DRIFT the reservation held 5 of P, but only 4 were returned at the deadline or sold before: it cannot be committed late. Reserve again with a new id",
        ),
        (
            "P 5",
            "DRIFT the reservation held 1 of Q, but only 0 were returned at the deadline or sold before: it cannot be committed late. Reserve again with a new id",
        ),
        (
            "",
            "DRIFT the reservation held 5 of P, but only 0 were returned at the deadline or sold before: it cannot be committed late. Reserve again with a new id",
        ),
    ] {
        let cut = Outcome::of(&record("R", "P 5, Q 1"), 1900, Ending::Expired, 2000, &lines(returned));
        assert_eq!(cut.check_all_back().unwrap_err().to_string(), refusal);
    }
}

#[test]
fn what_is_no_outcome_of_this_id_is_none() {
    let good = concat!(
        r#"{"reservation_id":"R","state":"committed","created_at":1,"expires_at":2,"resolved_at":3,"#,
        r#""items":[{"product_id":"P","quantity":5}]}"#
    );
    assert!(Outcome::from_json(&id("R"), good.as_bytes(), Plain).is_some());
    for json in [
        String::new(),
        EXAMPLE.to_owned(),
        good.replace("\"R\"", "\"S\""),
        good.replace("committed", "sold"),
        good.replace("\"quantity\":5", "\"quantity\":0"),
        good.replace("\"items\"", "\"note\":1,\"items\""),
    ] {
        assert_eq!(Outcome::from_json(&id("R"), json.as_bytes(), Plain), None, "{json}");
    }
}

#[test]
fn a_record_under_the_key_of_another_id_is_misnamed() {
    let json = record("A", "P 5").to_json();
    assert!(Record::is_misnamed(&id("B"), &json));
    assert!(!Record::is_misnamed(&id("A"), &json));
    assert!(!Record::is_misnamed(&id("A"), b"7"), "what is not a record has no id");
}

#[test]
fn a_mark_is_written_once_and_only_into_the_record_of_this_id() {
    let marked = |name: &str, json: &[u8], how| Record::marked_restored(&id(name), json, how);
    let plain = record("R", "P 5").to_json();
    let live = marked("R", &plain, Restored::Live).expect("a mark");
    assert!(Record::from_json(&id("R"), &live, Plain).unwrap().restored);
    assert_eq!(marked("R", &live, Restored::Live), None);
    assert!(marked("R", &live, Restored::Ended).is_some());
    for json in [&plain, &live] {
        assert_eq!(marked("S", json, Restored::Ended), None);
    }
}

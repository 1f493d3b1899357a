//! Fuzzes the stored values that the module reads, which any client may have written. The input is a key's name, a line break,
//! and the key's value.
//!
//! It is parsed in both styles as everything that the module stores. An accepted value must be within the limits, and must be
//! parsed the same after it is written again.

use std::collections::HashSet;

use redis_inventory::engine::audit::AuditCursor;
use redis_inventory::engine::keyspace::Counter;
use redis_inventory::inventory::alert::{Alert, AlertType};
use redis_inventory::inventory::cluster_slot::{OwnSlots, Slot, tag};
use redis_inventory::inventory::key::{Key, OnceName, Watched, is_of_other_style, watched};
use redis_inventory::inventory::line::{Line, describe};
use redis_inventory::inventory::once::{self, Answer};
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity, parse_integer};
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, MAX_ID_BYTES, Product, ReservationId, Sku, Warehouse};

/// Panics if something is parsed wrongly.
pub fn check(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (name, value) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    for style in [KeyStyle::Plain, KeyStyle::Tagged] {
        let id = check_name(name, style);
        check_documents(&id, value, style);
        check_words(value, style);
    }
    check_numbers(value);
    if let Ok(text) = std::str::from_utf8(value) {
        check_slots(text);
    }
}

/// Checks a key's name. Returns the id in it, or one under which the value can be parsed.
fn check_name(name: &[u8], style: KeyStyle) -> ReservationId {
    is_of_other_style(name, style);
    let any = ReservationId::parse(b"RES-1", style).unwrap();
    let spelled = |key: Key<'_>| {
        assert_eq!(key.name(style).as_bytes(), name, "{key:?} is another key");
    };
    match watched(name, style) {
        Some(Watched::Reservation(Some(id))) => {
            spelled(Key::Reservation(&id));
            check_id(id.as_str());
            id
        }
        Some(Watched::Outcome(id)) => {
            spelled(Key::Outcome(&id));
            check_id(id.as_str());
            id
        }
        Some(Watched::Threshold(product)) => {
            spelled(Key::Threshold(product.as_str()));
            check_id(product.as_str());
            any
        }
        Some(Watched::Alert(product, at)) => {
            spelled(Key::Alert(product.as_str(), at));
            check_id(product.as_str());
            any
        }
        Some(Watched::Reserved(sku)) => {
            spelled(Key::Reserved(&sku));
            check_sku(&sku, style);
            any
        }
        Some(Watched::Floor(sku)) => {
            spelled(Key::Floor(&sku));
            check_sku(&sku, style);
            any
        }
        Some(Watched::Limit(product)) => {
            spelled(Key::Limit(product.as_str()));
            check_id(product.as_str());
            any
        }
        Some(Watched::Warehouses(product)) => {
            spelled(Key::Warehouses(product.as_str()));
            check_id(product.as_str());
            any
        }
        Some(Watched::Managed) => {
            spelled(Key::Managed);
            any
        }
        Some(Watched::Reservation(None) | Watched::Available) | None => any,
    }
}

fn check_id(id: &str) {
    assert!((1..=MAX_ID_BYTES).contains(&id.len()), "an id of {} bytes", id.len());
    assert!(!id.chars().any(char::is_control), "a control character in an id");
    assert!(Slot::of(id).number() < 16_384);
}

/// In tagged style, all keys of an id are in one slot; and the id can be parsed from each of its spellings.
fn check_sku(sku: &Sku, style: KeyStyle) {
    check_id(sku.product());
    assert!(!sku.product().contains('@'));
    if let Some(warehouse) = sku.warehouse() {
        check_id(warehouse);
        assert!(!warehouse.contains('@'));
    }
    match sku.buyer() {
        Some(buyer) => {
            check_id(buyer.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(buyer));
            assert_eq!(sku.warehouse(), None);
        }
        None => assert_eq!(Sku::from_parts(sku.product(), sku.warehouse(), style).as_ref(), Ok(sku)),
    }
    let name = Key::Reserved(sku).name(style);
    assert_eq!(watched(name.as_bytes(), style), Some(Watched::Reserved(sku.clone())));
    assert_eq!(Sku::replicated(sku.as_str().as_bytes(), style).as_ref(), Some(sku));
    if style == KeyStyle::Tagged {
        let slot = Slot::of(sku.product());
        let product = sku.product();
        for key in [
            Key::Available(sku),
            Key::Reserved(sku),
            Key::Warehouses(product),
            Key::Floor(sku),
            Key::Threshold(product),
            Key::Alert(product, 7),
            Key::Feed(product),
        ] {
            assert_eq!(Slot::of(&key.name(style)), slot, "{key:?} is in another slot");
        }
    }
}

fn check_lines(lines: &[Line], style: KeyStyle) {
    let mut skus = HashSet::new();
    for line in lines {
        assert!((1..=MAX_EXACT).contains(&line.quantity.units()), "{line:?}");
        assert!(skus.insert(&line.sku), "{} stands twice", line.sku);
        check_sku(&line.sku, style);
    }
}

fn check_documents(id: &ReservationId, json: &[u8], style: KeyStyle) {
    if let Some(record) = Record::from_json(id, json, style) {
        check_record(&record, style);
        assert!(!Record::is_misnamed(id, json));
    }
    if let Some(outcome) = Outcome::from_json(id, json, style) {
        check_outcome(id, &outcome, style);
    }
    if let Some((asked, answer)) = once::from_json(json, style) {
        if let Answer::Reserved(reserved) = &answer {
            check_id(reserved.id.as_str());
            check_lines(&reserved.items, style);
            check_lines(&reserved.short, style);
        }
        assert_eq!(once::from_json(&once::to_json(&asked, &answer), style), Some((asked, answer)));
    }
    if let Some(alert) = Alert::from_json(json) {
        assert_eq!(Alert::from_json(&alert.to_json()), Some(alert));
    }
}

fn check_record(record: &Record, style: KeyStyle) {
    let Record { id, items, asked, short, sold, returned, buyer, quota, .. } = record;
    check_quota(quota, buyer.as_deref(), style);
    assert_eq!(record.quota_of(&[]), []);
    assert!(!items.is_empty(), "a record that holds nothing");
    for lines in [items, sold, returned, asked.as_ref().unwrap_or(items), short.as_ref().unwrap_or(items)] {
        check_lines(lines, style);
    }
    assert_eq!(Record::from_json(id, &record.to_json(), style).as_ref(), Some(record));
    check_lines(&record.whole(), style);
    check_lines(&record.asked(), style);
    // A whole part leaves nothing, and a single line leaves the others.
    assert_eq!(record.resolve_part(items).as_ref(), Ok(items));
    assert_eq!(record.without(items), []);
    let part = record.resolve_part(&items[..1]).unwrap();
    assert_eq!(part, items[..1]);
    assert_eq!(record.without(&part), items[1..]);
    // A product without a warehouse takes all units of its lines, and no more.
    let product = Sku::from_parts(items[0].sku.product(), None, style).unwrap();
    let of_product = items.iter().filter(|line| line.sku.product() == product.as_str());
    let units: i128 = of_product.map(|line| i128::from(line.quantity.units())).sum();
    if items.iter().all(|line| line.sku != product)
        && let Some(quantity) = i64::try_from(units).ok().and_then(Quantity::new)
    {
        let part = record.resolve_part(&[Line { sku: product.clone(), quantity }]).unwrap();
        assert!(record.without(&part).iter().all(|line| line.sku.product() != product.as_str()));
        if let Some(quantity) = Quantity::new(quantity.units() + 1) {
            assert!(record.resolve_part(&[Line { sku: product, quantity }]).is_err());
        }
    }
    describe(items);
}

/// Each product occurs once, and all of them are of the same buyer.
fn check_quota(quota: &[Line], buyer: Option<&str>, style: KeyStyle) {
    check_lines(quota, style);
    assert!(quota.iter().all(|line| line.sku.is_quota() && line.sku.buyer() == buyer));
}

fn check_outcome(id: &ReservationId, outcome: &Outcome, style: KeyStyle) {
    check_lines(&outcome.items, style);
    check_quota(&outcome.quota, outcome.buyer.as_deref(), style);
    if let Some(parts) = &outcome.parts {
        check_lines(&parts.sold, style);
        check_lines(&parts.returned, style);
    }
    check_lines(&outcome.rolled_back, style);
    assert_eq!(Outcome::from_json(id, &outcome.to_json(id), style).as_ref(), Some(outcome));
    check_lines(&outcome.to_take_again(), style);
    if let Err(refusal) = outcome.check_all_back() {
        assert_eq!(refusal.code(), "DRIFT");
    }
    if let Some(successor) = &outcome.replaced_by {
        check_id(successor.as_str());
    }
    let sold_late = outcome.clone().sold_late(outcome.quota.clone(), 7);
    for later in [sold_late, outcome.clone().given_up(7), outcome.clone().now_replaced_by(id, 7)] {
        assert_eq!(Outcome::from_json(id, &later.to_json(id), style), Some(later));
    }
    assert!(outcome.refusal(id).to_string().starts_with(outcome.refusal(id).code()));
}

/// Checks a value as an id, a member of a set of warehouses, a token and a cursor.
fn check_words(word: &[u8], style: KeyStyle) {
    if let Ok(id) = ReservationId::parse(word, style) {
        check_id(id.as_str());
        assert_eq!(ReservationId::parse(id.as_str().as_bytes(), style).as_ref(), Ok(&id));
        if style == KeyStyle::Tagged {
            for key in [Key::Reservation(&id), Key::Outcome(&id)] {
                assert_eq!(Slot::of(&key.name(style)), Slot::of(id.as_str()), "{key:?} is in another slot");
            }
        }
        let known = |key: Key<'_>| watched(key.name(style).as_bytes(), style);
        assert_eq!(known(Key::Reservation(&id)), Some(Watched::Reservation(Some(id.clone()))));
        assert_eq!(known(Key::Outcome(&id)), Some(Watched::Outcome(id.clone())));
        let name = OnceName::new("reserve", id.as_str(), id.as_str().as_bytes(), style).unwrap();
        assert_eq!(OnceName::replicated(name.as_str().as_bytes()).as_ref(), Some(&name));
    }
    if let Ok(product) = Product::parse(word, style) {
        check_id(product.as_str());
        check_sku(&Sku::from(&product), style);
        let known = |key: Key<'_>| watched(key.name(style).as_bytes(), style);
        assert_eq!(known(Key::Threshold(product.as_str())), Some(Watched::Threshold(product.clone())));
        assert_eq!(known(Key::Alert(product.as_str(), 7)), Some(Watched::Alert(product.clone(), 7)));
        assert_eq!(Product::parse(product.as_str().as_bytes(), style).as_ref(), Ok(&product));
    }
    if let Ok(warehouse) = Warehouse::parse(word, style) {
        check_id(warehouse.as_str());
        check_sku(&Sku::at("P", &warehouse), style);
    }
    if let Ok(sku) = Sku::parse_any(word, style) {
        check_sku(&sku, style);
        assert_eq!(Sku::parse(word, style).is_ok(), !sku.is_quota());
    }
}

fn check_numbers(word: &[u8]) {
    let spelled = |number: i64| assert_eq!(number.to_string().as_bytes(), word, "read as {number}");
    if let Some(number) = parse_integer(word) {
        spelled(number);
    }
    if let Some(quantity) = Quantity::parse(word) {
        assert!((1..=MAX_EXACT).contains(&quantity.units()));
        spelled(quantity.units());
    }
    match Counter::of(word) {
        Counter::Units(units) => spelled(units),
        Counter::Broken(shown) => {
            assert!(shown.chars().count() <= 26 && !shown.chars().any(char::is_control))
        }
        Counter::Absent => panic!("a counter that exists is absent"),
    }
    if let Some(kind) = AlertType::parse(word) {
        assert!(word.eq_ignore_ascii_case(kind.name().as_bytes()));
    }
    if let Some(cursor) = AuditCursor::parse(word) {
        assert_eq!(AuditCursor::parse(cursor.spell().as_bytes()), Some(cursor));
    }
}

/// Checks a value as the reply of CLUSTER NODES.
fn check_slots(nodes: &str) {
    assert!(nodes.contains(tag(nodes)));
    let slots = OwnSlots::parse(nodes);
    for number in [0, 1, 93, 5460, 16_383] {
        slots.state(Slot::from(number));
    }
}

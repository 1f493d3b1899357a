//! Units and numbers.

use redis_inventory::inventory::line::{Sum, describe};
use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity, parse_integer};
use redis_inventory::inventory::refusal::Refusal;

use super::lines;

#[test]
fn a_quantity_is_1_to_2_to_the_53_minus_1() {
    assert_eq!(MAX_EXACT, (1 << 53) - 1);
    for units in [1, 2, MAX_EXACT] {
        assert_eq!(Quantity::new(units).map(Quantity::units), Some(units));
        assert_eq!(Quantity::parse(units.to_string().as_bytes()).map(Quantity::units), Some(units));
    }
    for units in [0, -1, MAX_EXACT + 1, i64::MIN, i64::MAX] {
        assert_eq!(Quantity::new(units), None);
        assert_eq!(Quantity::parse(units.to_string().as_bytes()), None);
    }
}

#[test]
fn an_integer_has_one_spelling() {
    for (text, number) in [
        ("0", 0),
        ("7", 7),
        ("-7", -7),
        ("9223372036854775807", i64::MAX),
        ("-9223372036854775808", i64::MIN),
    ] {
        assert_eq!(parse_integer(text.as_bytes()), Some(number), "{text}");
    }
    for text in [
        "",
        "-",
        "+1",
        " 1",
        "1 ",
        "01",
        "-0",
        "-01",
        "--1",
        "1.0",
        "1e3",
        "0x1",
        "1_000",
        "١",
        "1\0",
        "9223372036854775808",
        "-9223372036854775809",
    ] {
        assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(parse_integer(b"\xff"), None);
}

#[test]
fn a_sum_stays_a_quantity() {
    let quantity = |units| Quantity::new(units).unwrap();
    assert_eq!(quantity(2).plus(quantity(3)), Some(quantity(5)));
    assert_eq!(quantity(MAX_EXACT - 1).plus(quantity(1)), Some(quantity(MAX_EXACT)));
    assert_eq!(quantity(MAX_EXACT).plus(quantity(1)), None);
    assert_eq!(quantity(MAX_EXACT).plus(quantity(MAX_EXACT)), None);
}

#[test]
fn a_sku_named_twice_is_added_up_where_it_was_named_first() {
    let mut sum = Sum::default();
    for line in lines("P 2, Q 1, P 3, P@north 1") {
        sum.add(line).unwrap();
    }
    assert_eq!(describe(&sum.into_lines()), "P 5, Q 1, P@north 1");
}

#[test]
fn many_lines_are_added_up_as_few_are() {
    let mut sum = Sum::default();
    for round in 1..=3 {
        for n in 0..100 {
            sum.add(lines(&format!("P{n} {round}")).remove(0)).unwrap();
        }
    }
    let expected: Vec<String> = (0..100).map(|n| format!("P{n} 6")).collect();
    assert_eq!(describe(&sum.into_lines()), expected.join(", "));
}

#[test]
fn quantities_that_add_up_to_too_much_are_refused() {
    let mut sum = Sum::default();
    sum.add(lines(&format!("P {MAX_EXACT}")).remove(0)).unwrap();
    let refusal = Refusal::from(sum.add(lines("P 1").remove(0)).unwrap_err());
    assert_eq!(refusal.to_string(), "ERR the quantities of P add up to more than 9007199254740991");
    assert_eq!(describe(&sum.into_lines()), format!("P {MAX_EXACT}"));
}

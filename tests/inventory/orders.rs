//! Mixed orders: several products, some with warehouses, some with named warehouses, a product twice, or a warehouse together
//! with its product. What is taken adds up to what was requested, and no place supplies more than it has.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use redis_inventory::inventory::allocation::{Split, Stock, pick};
use redis_inventory::inventory::line::{Line, Sum, describe};
use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity};
use redis_inventory::inventory::sku::{KeyStyle, Sku};

/// Warehouses of each product, in order of priority; none if the product has no warehouses.
const PRODUCTS: [(&str, &[&str]); 4] =
    [("P", &["P@A", "P@B", "P@C"]), ("Q", &["Q@B", "Q@A"]), ("R", &[]), ("S", &[])];

/// What a request may name. `P@X` is not a warehouse of its product, but has counters that another client has written.
const NAMES: [&str; 8] = ["P", "P@A", "P@B", "P@X", "Q", "Q@A", "R", "S"];

const PLACES: [&str; 8] = ["P@A", "P@B", "P@C", "P@X", "Q@B", "Q@A", "R", "S"];

fn sku(name: &str) -> Sku {
    Sku::parse(name.as_bytes(), KeyStyle::Plain).unwrap()
}

fn order(lines: &[(&str, i64)]) -> Vec<Line> {
    let mut order = Sum::default();
    for (name, units) in lines {
        order.add(Line { sku: sku(name), quantity: Quantity::new(*units).unwrap() }).unwrap();
    }
    order.into_lines()
}

/// Available units by place.
type Shop = BTreeMap<Sku, i64>;

fn shop(stock: &[(&str, i64)]) -> Shop {
    stock.iter().map(|(name, units)| (sku(name), *units)).collect()
}

fn warehouses_of(product: &Sku) -> &'static [&'static str] {
    PRODUCTS.iter().find(|(name, _)| *name == product.as_str()).map_or(&[], |(_, places)| places)
}

/// The places from which each line may be taken.
fn stocks<'a>(shop: &'a Shop, order: &[Line]) -> Vec<Stock<'a>> {
    let stock = |line: &Line| match warehouses_of(&line.sku) {
        [] => Stock::Own(shop.get(&line.sku).copied().unwrap_or(0)),
        names => {
            let place =
                |name: &&str| shop.get_key_value(&sku(name)).map(|(sku, units)| (sku, *units)).unwrap();
            Stock::Warehouses(names.iter().map(place).collect())
        }
    };
    order.iter().map(stock).collect()
}

/// The picks, such as `"P@A 50, P@B 10"`, or the shortage, such as `"short: P 351 of 350"`.
fn taken(stock: &[(&str, i64)], lines: &[(&str, i64)], split: Split) -> String {
    let (shop, order) = (shop(stock), order(lines));
    match pick(&order, &stocks(&shop, &order), split) {
        Ok(picks) => describe(&picks),
        Err(shorts) => {
            let short = shorts.iter().map(|(index, short)| {
                assert_eq!(order[*index].sku, short.sku);
                format!("{} {} of {}", short.sku, short.requested, short.available)
            });
            format!("short: {}", short.collect::<Vec<_>>().join(", "))
        }
    }
}

const STOCK: &[(&str, i64)] =
    &[("P@A", 50), ("P@B", 100), ("P@C", 200), ("P@X", 5), ("Q@B", 10), ("Q@A", 10), ("R", 5), ("S", 0)];

#[test]
fn named_warehouses_are_taken_first_and_the_product_takes_what_they_leave() {
    for (lines, split, expected) in [
        (&[("P", 60)][..], Split::Priority, "P@A 50, P@B 10"),
        (&[("P", 60), ("P@A", 30)], Split::Priority, "P@A 50, P@B 40"),
        (&[("P@A", 30), ("P", 60)], Split::Priority, "P@A 50, P@B 40"),
        (&[("P@B", 30), ("P", 60)], Split::Priority, "P@B 40, P@A 50"),
        (&[("P", 60), ("P@A", 30)], Split::None, "P@B 60, P@A 30"),
        (&[("P", 20), ("P@A", 30)], Split::None, "P@A 50"),
        (&[("P", 120), ("P@B", 30)], Split::Fewest, "P@C 120, P@B 30"),
        (&[("P", 30), ("R", 2), ("P", 30), ("Q", 11)], Split::Priority, "P@A 50, P@B 10, R 2, Q@B 10, Q@A 1"),
        (&[("R", 2), ("R", 3), ("P@X", 5)], Split::None, "R 5, P@X 5"),
    ] {
        assert_eq!(taken(STOCK, lines, split), expected, "{lines:?}");
    }
}

#[test]
fn every_line_that_is_short_is_told() {
    for (lines, split, expected) in [
        (&[("P", 351)][..], Split::Priority, "short: P 351 of 350"),
        (&[("P", 351)], Split::None, "short: P 351 of 200"),
        (&[("P", 321), ("P@A", 30), ("S", 1), ("R", 5)], Split::Fewest, "short: P 321 of 320, S 1 of 0"),
        (&[("P@A", 51), ("P", 1)], Split::Priority, "short: P@A 51 of 50"),
        (&[("P@A", 51), ("P", 301)], Split::Priority, "short: P@A 51 of 50, P 301 of 300"),
        (&[("P@X", 6)], Split::Priority, "short: P@X 6 of 5"),
    ] {
        assert_eq!(taken(STOCK, lines, split), expected, "{lines:?}");
    }
}

#[test]
fn a_request_without_warehouses_is_taken_as_it_is() {
    let (shop, order) = (shop(STOCK), order(&[("R", 2), ("P@A", 1)]));
    let picks = pick(&order, &stocks(&shop, &order), Split::Priority).unwrap();
    assert!(matches!(picks, Cow::Borrowed(lines) if lines == order));
}

#[test]
fn no_place_gives_more_than_a_line_can_say() {
    let stock = &[("P@A", i64::MAX), ("P@B", i64::MAX), ("P@C", 0)];
    assert_eq!(
        taken(stock, &[("P@A", MAX_EXACT), ("P", 5)], Split::Priority),
        format!("P@A {MAX_EXACT}, P@B 5")
    );
    assert_eq!(
        taken(stock, &[("P", MAX_EXACT), ("P@A", 5)], Split::Priority),
        format!("P@A {MAX_EXACT}, P@B 5")
    );
}

fn units_of(lines: &[Line], sku: &Sku) -> i64 {
    lines.iter().filter(|line| line.sku == *sku).map(|line| line.quantity.units()).sum()
}

fn a_shop() -> impl Strategy<Value = Shop> {
    prop::collection::vec(-2..9_i64, PLACES.len())
        .prop_map(|units| PLACES.iter().zip(units).map(|(name, units)| (sku(name), units)).collect())
}

fn an_order() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec((prop::sample::select(&NAMES[..]), 1..7_i64), 1..7).prop_map(|lines| order(&lines))
}

fn a_split() -> impl Strategy<Value = Split> {
    prop::sample::select(vec![Split::Priority, Split::Fewest, Split::None])
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // `PROPTEST_CASES=100000` runs more of them.
        cases: ProptestConfig::default().cases.max(5000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/inventory/regressions.txt",
        ))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_taken_is_what_was_asked_and_is_there(shop in a_shop(), order in an_order(), split in a_split()) {
        let Ok(picks) = pick(&order, &stocks(&shop, &order), split) else { return Ok(()) };
        for (index, line) in picks.iter().enumerate() {
            prop_assert!(line.quantity.units() <= shop[&line.sku], "more than is there: {}", describe(&picks));
            prop_assert!(warehouses_of(&line.sku).is_empty(), "a product is no place: {}", describe(&picks));
            prop_assert!(picks[..index].iter().all(|other| other.sku != line.sku), "twice: {}", describe(&picks));
        }
        for (product, _) in PRODUCTS {
            let of_product = |lines: &[Line]| -> i64 {
                lines.iter().filter(|line| line.sku.product() == product).map(|line| line.quantity.units()).sum()
            };
            prop_assert_eq!(of_product(&picks), of_product(&order), "{} of {}", product, describe(&picks));
        }
        for line in order.iter().filter(|line| line.sku.warehouse().is_some()) {
            prop_assert!(units_of(&picks, &line.sku) >= line.quantity.units(), "moved away: {}", describe(&picks));
        }
        if split == Split::None {
            for line in order.iter().filter(|line| !warehouses_of(&line.sku).is_empty()) {
                let beside_named = picks.iter().filter(|pick| pick.sku.product() == line.sku.as_str())
                    .filter(|pick| pick.quantity.units() > units_of(&order, &pick.sku));
                prop_assert_eq!(beside_named.count(), 1, "split: {}", describe(&picks));
            }
        }
    }

    #[test]
    fn what_can_be_taken_is_taken(shop in a_shop(), order in an_order(), split in a_split()) {
        let left = |name: &str| (shop[&sku(name)] - units_of(&order, &sku(name))).max(0);
        let suffices = |line: &Line| {
            let (names, units) = (warehouses_of(&line.sku), line.quantity.units());
            match split {
                _ if names.is_empty() => shop.get(&line.sku).is_some_and(|available| *available >= units),
                Split::None => names.iter().any(|name| left(name) >= units),
                Split::Priority | Split::Fewest => names.iter().map(|name| left(name)).sum::<i64>() >= units,
            }
        };
        let expected: Vec<&Sku> = order.iter().filter(|line| !suffices(line)).map(|line| &line.sku).collect();
        let short = pick(&order, &stocks(&shop, &order), split).err().unwrap_or_default();
        let short: Vec<&Sku> = short.iter().map(|(_, shortage)| &shortage.sku).collect();
        prop_assert_eq!(short, expected);
    }
}

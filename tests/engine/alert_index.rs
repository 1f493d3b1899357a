//! Compares the index of alerts with a plain list.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redis_inventory::inventory::alert::AlertType::{self, BackInStock, LowStock, OutOfStock};
use redis_inventory::inventory::sku::{KeyStyle, Product};
use redis_inventory::ledger::alert_index::AlertIndex;

const PRODUCTS: [&str; 3] = ["P", "Q", "R"];
const KINDS: [Option<AlertType>; 4] = [None, Some(LowStock), Some(OutOfStock), Some(BackInStock)];

fn product(number: usize) -> Product {
    Product::parse(PRODUCTS[number].as_bytes(), KeyStyle::Plain).unwrap()
}

/// Whether an alert is added or removed, for which product, when, and of which type.
fn steps() -> impl Strategy<Value = Vec<(bool, usize, i64, usize)>> {
    prop::collection::vec((prop::bool::weighted(0.7), 0..3_usize, 0..20_i64, 0..4_usize), 0..80)
}

proptest! {
    #[test]
    fn a_walk_meets_what_is_there_from_the_newest_to_the_oldest(steps in steps()) {
        let mut index = AlertIndex::default();
        let mut alerts: BTreeMap<(i64, Product), Option<AlertType>> = BTreeMap::new();
        let mut last: BTreeMap<(Product, AlertType), i64> = BTreeMap::new();
        for (comes, number, at, kind) in steps {
            let (product, kind) = (product(number), KINDS[kind]);
            if comes {
                index.enter(&product, at, kind);
                if let Some(kind) = kind {
                    let last = last.entry((product.clone(), kind)).or_insert(at);
                    *last = at.max(*last);
                }
                alerts.insert((at, product), kind);
            } else {
                index.leave(&product, at);
                alerts.remove(&(at, product));
            }
        }
        for of in [None, Some(product(0)), Some(product(1)), Some(product(2))] {
            for kind in KINDS {
                let mut met = vec![];
                let place = |(at, product): &(i64, Product)| (*at, product.clone());
                while let Some(next) = {
                    let last = met.last().map(place);
                    index.before(of.as_ref(), kind, last.as_ref().map(|(at, product)| (*at, Some(product))))
                } {
                    met.push(next);
                }
                for moment in 0..20 {
                    let next = index.before(of.as_ref(), kind, Some((moment, None)));
                    prop_assert_eq!(next.as_ref(), met.iter().find(|(at, _)| *at < moment));
                }
                // An alert that was not read may have any type.
                let is_wanted = |entry: &(&(i64, Product), &Option<AlertType>)| {
                    of.as_ref().is_none_or(|of| *of == entry.0.1)
                        && (kind.is_none() || entry.1.is_none() || *entry.1 == kind)
                };
                let expected: Vec<_> =
                    alerts.iter().rev().filter(is_wanted).map(|(alert, _)| alert.clone()).collect();
                prop_assert_eq!(met, expected);
            }
        }
        for number in 0..PRODUCTS.len() {
            for kind in [LowStock, OutOfStock, BackInStock] {
                prop_assert_eq!(index.last(&product(number), kind), last.get(&(product(number), kind)).copied());
            }
        }
    }
}

#[test]
fn what_no_cooldown_reaches_is_forgotten_a_few_at_a_time() {
    let mut index = AlertIndex::default();
    let product = |at: i64| Product::parse(format!("P{at}").as_bytes(), KeyStyle::Plain).unwrap();
    for at in 0..1000 {
        index.enter(&product(at), at, Some(LowStock));
    }
    // Product 700 has had another alert since.
    index.enter(&product(700), 2000, Some(LowStock));
    let known =
        |index: &AlertIndex| (0..1000).filter(|at| index.last(&product(*at), LowStock).is_some()).count();
    let mut before = known(&index);
    for call in 0..500 {
        index.forget_before(800);
        index.enter(&product(1000 + call), 3000 + call, Some(OutOfStock));
        let after = known(&index);
        assert!(before - after <= 4, "{} forgotten in one call", before - after);
        before = after;
    }
    let last = |at: i64| index.last(&product(at), LowStock);
    assert_eq!([last(0), last(799), last(800), last(700)], [None, None, Some(800), Some(2000)]);
    assert_eq!(before, 201);
}

#[test]
fn an_alert_tries_no_millisecond_again_that_was_found_to_be_taken() {
    let mut index = AlertIndex::default();
    let tries = |index: &AlertIndex| [99, 100, 103, 104].map(|now| index.first_to_try(&product(0), now));
    index.note_tried(&product(0), 100, 103);
    assert_eq!(tries(&index), [99, 100, 103, 104], "it has no alert");
    index.enter(&product(0), 103, Some(LowStock));
    index.note_tried(&product(0), 100, 103);
    assert_eq!(tries(&index), [99, 104, 104, 104]);
    index.note_tried(&product(0), 101, 105);
    assert_eq!(tries(&index), [99, 106, 106, 106]);
    index.note_tried(&product(0), 200, 201);
    assert_eq!((tries(&index), index.first_to_try(&product(0), 200)), ([99, 100, 103, 104], 202));
}

#[test]
fn an_index_is_empty_without_alerts_and_without_times_for_a_cooldown() {
    let mut index = AlertIndex::default();
    assert!(index.is_empty());
    index.enter(&product(0), 5, None);
    assert!(!index.is_empty());
    index.leave(&product(0), 5);
    assert!(index.is_empty());
    index.enter(&product(0), 5, Some(LowStock));
    index.leave(&product(0), 5);
    assert!(!index.is_empty(), "the cooldown goes on");
}

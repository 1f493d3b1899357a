//! Which warehouses supply the units of a line: tables, and a comparison with a search over all sets of warehouses.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use redis_inventory::inventory::allocation::{Split, allocate};
use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity};

const SPLITS: [Split; 3] = [Split::Priority, Split::Fewest, Split::None];

/// The warehouses of PROD-123.
const PROD_123: &str = "A 50, B 100, C 200";

/// Parses names and available units, such as `"A 50, B 100"`, in order of priority.
fn places(text: &str) -> Vec<(&str, i64)> {
    text.split(", ")
        .filter(|place| !place.is_empty())
        .map(|place| {
            let (warehouse, available) = place.split_once(' ').unwrap();
            (warehouse, available.parse().unwrap())
        })
        .collect()
}

fn picks(available: &[i64], wanted: i64, split: Split) -> Option<Vec<(usize, i64)>> {
    let picks = allocate(available, Quantity::new(wanted).unwrap(), split)?;
    Some(picks.into_iter().map(|(index, units)| (index, units.units())).collect())
}

/// What is taken from which warehouse, such as `"A 50, B 10"`, or `"refused"`.
fn taken(warehouses: &str, wanted: i64, split: Split) -> String {
    let places = places(warehouses);
    let available: Vec<i64> = places.iter().map(|place| place.1).collect();
    let Some(picks) = picks(&available, wanted, split) else {
        return "refused".to_owned();
    };
    let pick = |(index, units): &(usize, i64)| format!("{} {units}", places[*index].0);
    picks.iter().map(pick).collect::<Vec<_>>().join(", ")
}

fn check(split: Split, table: &[(&str, i64, &str)]) {
    for (warehouses, wanted, expected) in table {
        assert_eq!(taken(warehouses, *wanted, split), *expected, "{wanted} of {warehouses}");
    }
}

#[test]
fn a_split_has_one_name_read_in_any_case() {
    for (split, name) in [(Split::Priority, "priority"), (Split::Fewest, "fewest"), (Split::None, "none")] {
        assert_eq!(split.name(), name);
        assert_eq!(Split::parse(name.as_bytes()), Some(split));
        assert_eq!(Split::parse(name.to_uppercase().as_bytes()), Some(split));
    }
    assert_eq!(Split::parse(b"Fewest"), Some(Split::Fewest));
    for name in ["", "few", "fewest ", "priorities", "no"] {
        assert_eq!(Split::parse(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn by_default_warehouses_are_filled_by_priority() {
    assert_eq!(Split::default(), Split::Priority);
    check(
        Split::Priority,
        &[
            (PROD_123, 1, "A 1"),
            (PROD_123, 50, "A 50"),
            (PROD_123, 60, "A 50, B 10"),
            (PROD_123, 150, "A 50, B 100"),
            (PROD_123, 151, "A 50, B 100, C 1"),
            (PROD_123, 350, "A 50, B 100, C 200"),
            (PROD_123, 351, "refused"),
        ],
    );
}

#[test]
fn one_warehouse_that_has_all_gives_all_under_fewest() {
    check(
        Split::Fewest,
        &[
            (PROD_123, 50, "A 50"),
            (PROD_123, 60, "B 60"),
            (PROD_123, 100, "B 100"),
            (PROD_123, 101, "C 101"),
            (PROD_123, 200, "C 200"),
            // The first warehouse with enough, not the largest.
            ("A 5, B 8, C 9", 7, "B 7"),
            ("A 9, B 9", 9, "A 9"),
        ],
    );
}

#[test]
fn if_no_single_warehouse_has_all_fewest_takes_as_few_as_possible_the_first_by_priority() {
    check(
        Split::Fewest,
        &[
            // A and C suffice, and come before B and C.
            (PROD_123, 201, "A 50, C 151"),
            (PROD_123, 250, "A 50, C 200"),
            (PROD_123, 251, "B 100, C 151"),
            (PROD_123, 300, "B 100, C 200"),
            (PROD_123, 301, "A 50, B 100, C 151"),
            (PROD_123, 350, "A 50, B 100, C 200"),
            (PROD_123, 351, "refused"),
            // In order of priority, not of size, within the set too.
            ("A 100, B 10, C 50", 120, "A 100, C 20"),
            ("A 100, B 30, C 50", 120, "A 100, B 20"),
            // A comes first, although only D is large enough to complete it: B and C together come later.
            ("A 1, B 6, C 6, D 9", 10, "A 1, D 9"),
            // Three warehouses: A and B would leave more than E has.
            ("A 2, B 3, C 4, D 5, E 6", 12, "A 2, C 4, E 6"),
            ("A 2, B 3, C 4, D 5, E 6", 13, "A 2, D 5, E 6"),
            ("A 2, B 3, C 4, D 5, E 6", 14, "B 3, D 5, E 6"),
            // Equal ones are taken in order.
            ("A 5, B 5, C 5, D 5", 10, "A 5, B 5"),
            ("A 4, B 5, C 5, D 5", 10, "B 5, C 5"),
        ],
    );
}

#[test]
fn without_a_split_the_first_warehouse_that_has_all_gives_all() {
    check(
        Split::None,
        &[
            (PROD_123, 50, "A 50"),
            (PROD_123, 60, "B 60"),
            (PROD_123, 200, "C 200"),
            (PROD_123, 201, "refused"),
            (PROD_123, 350, "refused"),
            ("A 9, B 9", 9, "A 9"),
        ],
    );
}

#[test]
fn a_warehouse_without_units_gives_none_and_takes_none_away() {
    for split in SPLITS {
        check(
            split,
            &[
                ("A 0, B -7, C 3", 3, "C 3"),
                ("A 0, B -7, C 3", 4, "refused"),
                ("A 0", 1, "refused"),
                ("A -1", 1, "refused"),
                ("", 1, "refused"),
            ],
        );
    }
    check(Split::Priority, &[("A 2, B -7, C 3, D 0, E 1", 6, "A 2, C 3, E 1")]);
    check(Split::Fewest, &[("A 2, B -7, C 3, D 0, E 1", 6, "A 2, C 3, E 1")]);
}

#[test]
fn counters_of_any_size_are_added_up() {
    let most = MAX_EXACT;
    assert_eq!(
        picks(&[i64::MIN, 1, i64::MAX, i64::MAX], most, Split::Priority),
        Some(vec![(1, 1), (2, most - 1)])
    );
    for split in [Split::Fewest, Split::None] {
        assert_eq!(picks(&[i64::MIN, 1, i64::MAX, i64::MAX], most, split), Some(vec![(2, most)]));
    }
    assert_eq!(
        picks(&[1, most - 1, most - 1, i64::MIN], most, Split::Fewest),
        Some(vec![(0, 1), (1, most - 1)])
    );
    assert_eq!(
        picks(&[i64::MIN, most - 2, most - 1], most, Split::Fewest),
        Some(vec![(1, most - 2), (2, 2)])
    );
    assert_eq!(picks(&[i64::MIN; 3], most, Split::Fewest), None);
}

#[test]
fn a_thousand_warehouses_are_no_problem() {
    let equal = vec![3; 1000];
    let rising: Vec<i64> = (1..=1000).collect();
    let falling: Vec<i64> = (1..=1000).rev().collect();
    let mixed: Vec<i64> = (0..1000).map(|index| index * 7919 % 1009).collect();
    let huge = vec![i64::MAX; 1000];
    for available in [equal, rising, falling, mixed, huge] {
        let total = available.iter().fold(0_i64, |sum, units| sum.saturating_add(*units)).min(MAX_EXACT);
        let mut by_size = available.clone();
        by_size.sort_unstable_by_key(|units| -units);
        for wanted in [1, total / 2, total - 1, total] {
            for split in [Split::Priority, Split::Fewest] {
                let picks = picks(&available, wanted, split).unwrap();
                assert_picks(&available, wanted, &picks);
                if split == Split::Fewest {
                    let one_less = by_size.iter().take(picks.len() - 1).map(|units| i128::from(*units));
                    assert!(one_less.sum::<i128>() < i128::from(wanted), "{} are too many", picks.len());
                }
            }
        }
        if total < MAX_EXACT {
            assert_eq!(picks(&available, total + 1, Split::Fewest), None);
        }
    }
    // The smallest is taken if it comes first and suffices.
    let rising: Vec<i64> = (1..=1000).collect();
    assert_eq!(picks(&rising, 1001, Split::Fewest), Some(vec![(0, 1), (999, 1000)]));
    assert_eq!(picks(&rising, 2000, Split::Fewest), Some(vec![(0, 1), (998, 999), (999, 1000)]));
}

/// Asserts what holds for every allocation, whatever the split.
fn assert_picks(available: &[i64], wanted: i64, picks: &[(usize, i64)]) {
    assert!(picks.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, each once: {picks:?}");
    assert!(
        picks.iter().all(|(index, units)| (1..=available[*index]).contains(units)),
        "no more than is there: {picks:?}"
    );
    assert_eq!(picks.iter().map(|(_, units)| units).sum::<i64>(), wanted, "all that is wanted");
    let (_, before) = picks.split_last().unwrap();
    assert!(before.iter().all(|(index, units)| *units == available[*index]), "filled in order: {picks:?}");
}

fn total(available: &[i64]) -> i128 {
    available.iter().map(|units| i128::from((*units).max(0))).sum()
}

/// The first of the smallest sufficient sets, found by trying all sets.
fn fewest_of_all_sets(available: &[i64], wanted: i64) -> Option<Vec<usize>> {
    (0..1_u32 << available.len())
        .map(|set| (0..available.len()).filter(|index| set >> index & 1 == 1).collect::<Vec<_>>())
        .filter(|set| {
            let units: Vec<i64> = set.iter().map(|index| available[*index]).collect();
            total(&units) >= i128::from(wanted)
        })
        .min_by_key(|set| (set.len(), set.clone()))
}

/// Small numbers, so that several sets suffice, and the extreme values of a counter.
fn available() -> impl Strategy<Value = Vec<i64>> {
    let few = prop::collection::vec(-2..=7_i64, 0..=8);
    let more = prop::collection::vec(0..=40_i64, 0..=8);
    let ends =
        prop::sample::select(vec![i64::MIN, -1, 0, 1, MAX_EXACT / 2, MAX_EXACT - 1, MAX_EXACT, i64::MAX]);
    prop_oneof![3 => few, 3 => more, 1 => prop::collection::vec(ends, 0..=8)]
}

/// Warehouses, and a quantity of up to slightly more than their sum.
fn question() -> impl Strategy<Value = (Vec<i64>, i64)> {
    available().prop_flat_map(|available| {
        let most = i64::try_from(total(&available) + 2).unwrap_or(MAX_EXACT).min(MAX_EXACT);
        (Just(available), 1..=most)
    })
}

fn config() -> ProptestConfig {
    ProptestConfig {
        // `PROPTEST_CASES=100000` runs more of them.
        cases: ProptestConfig::default().cases.max(2000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/inventory/regressions.txt",
        ))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_taken_adds_up_and_is_there((available, wanted) in question()) {
        for split in SPLITS {
            if let Some(picks) = picks(&available, wanted, split) {
                assert_picks(&available, wanted, &picks);
            }
        }
    }

    #[test]
    fn a_line_that_may_be_split_is_refused_exactly_where_all_warehouses_are_short((available, wanted) in question()) {
        for split in [Split::Priority, Split::Fewest] {
            prop_assert_eq!(picks(&available, wanted, split).is_none(), total(&available) < i128::from(wanted));
        }
    }

    #[test]
    fn no_set_of_warehouses_is_smaller_than_the_fewest_or_as_small_and_earlier((available, wanted) in question()) {
        let found = picks(&available, wanted, Split::Fewest);
        let found: Option<Vec<usize>> = found.map(|picks| picks.into_iter().map(|(index, _)| index).collect());
        prop_assert_eq!(found, fewest_of_all_sets(&available, wanted));
    }

    #[test]
    fn a_line_that_may_not_be_split_is_taken_from_the_first_that_has_all((available, wanted) in question()) {
        let first = available.iter().position(|units| *units >= wanted);
        prop_assert_eq!(picks(&available, wanted, Split::None), first.map(|index| vec![(index, wanted)]));
    }

    #[test]
    fn by_priority_no_warehouse_is_left_out_before_those_taken_are_empty((available, wanted) in question()) {
        if let Some(picks) = picks(&available, wanted, Split::Priority) {
            let (last, _) = picks[picks.len() - 1];
            let with_units: Vec<usize> = (0..=last).filter(|index| available[*index] > 0).collect();
            let taken: Vec<usize> = picks.iter().map(|(index, _)| *index).collect();
            prop_assert_eq!(taken, with_units);
        }
    }
}

//! What the ledger says of itself: whether it holds something, has work, or can be dropped.

use proptest::prelude::*;
use redis_inventory::inventory::alert::AlertType;
use redis_inventory::inventory::cluster_slot::Slot;
use redis_inventory::inventory::key::Watched;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::{Record, Restored};
use redis_inventory::inventory::sku::{KeyStyle, Product, ReservationId, Sku};
use redis_inventory::ledger::Ledger;
use redis_inventory::ledger::blocked::Blocked;
use redis_inventory::ledger::comparison::Comparison;
use redis_inventory::ledger::foreign::Foreign;
use redis_inventory::ledger::gone::Gone;
use redis_inventory::ledger::hashed_ids::HashedIds;
use redis_inventory::ledger::holds::Holds;
use redis_inventory::ledger::notes::{Notes, Touched};
use redis_inventory::ledger::waiting::Waits;

use super::calls::call;
use super::simulation::Simulation;

fn id(text: &str) -> ReservationId {
    ReservationId::parse(text.as_bytes(), KeyStyle::Plain).unwrap()
}

fn line(sku: &str, units: i64) -> Line {
    let sku = Sku::parse_any(sku.as_bytes(), KeyStyle::Plain).unwrap();
    Line { sku, quantity: Quantity::new(units).unwrap() }
}

fn record(name: &str, deadline: i64) -> Record {
    Record::new(id(name), 0, deadline, vec![line("P", 2)], None)
}

#[test]
fn an_index_is_empty_if_nothing_is_held_by_a_reservation_or_otherwise() {
    let mut holds = Holds::default();
    assert!(holds.is_empty());
    holds.enter(&record("A", 1000), 1000);
    assert!(!holds.is_empty());
    holds.leave(&id("A"));
    assert!(holds.is_empty());
    holds.hold(&[line("P", 2)]);
    assert!(!holds.is_empty(), "units that are remembered of a deleted reservation");
    holds.unhold(&[line("P", 2)]);
    assert!(holds.is_empty());
}

#[test]
fn the_memory_of_an_index_that_had_reservations_is_given_back() {
    let mut ledger = Ledger::default();
    assert!(ledger.take_empty_index().is_none());
    ledger.holds.enter(&record("A", 1000), 1000);
    assert!(ledger.take_empty_index().is_none(), "a reservation is held");
    ledger.holds.leave(&id("A"));
    let mut remains = ledger.take_empty_index().expect("something to give back");
    while remains.free_some() {}
    assert_eq!(ledger.holds.bytes(), 0);
}

/// A ledger that contains this many of everything that data sets can have many of.
fn full_ledger(count: i64) -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..count {
        let name = format!("X{number}");
        let (sku, product) = (line(&name, 1).sku, Product::parse(name.as_bytes(), KeyStyle::Plain).unwrap());
        let gone = |prefix: &str| Gone::new(record(&format!("{prefix}{number}"), 1000), 1000);
        ledger.holds.enter(&record(&name, number), number);
        ledger.pend(gone("pending"));
        ledger.note_removed(gone("removed"));
        if number == count / 2 {
            ledger.leave_removed_undecided();
        }
        let remembered = gone("remembered");
        let lines = remembered.lines.clone();
        ledger.holds.hold(&lines);
        ledger.remember(remembered, lines);
        let blocked = Blocked { quantity: Quantity::new(1).unwrap(), of: Some((id(&name), 1000)) };
        ledger.block(&line("P", 1), blocked);
        ledger.waiting.enter(Waits::Unread(id(&name), 0));
        ledger.notes.touch(Touched::Threshold(product.clone()));
        ledger.learn(Touched::Reservation(id(&name)));
        ledger.notes.dropped.push(id(&name));
        ledger.notes.note_restored(&id(&name), Restored::Live);
        ledger.notes.mark_later(id(&name), Restored::Live);
        ledger.foreign.enter(name.as_bytes(), Foreign::Stranger);
        ledger.comparison.meet(sku.clone());
        ledger.comparison.set_drift(&sku, 1);
        ledger.note_written(sku.clone());
        ledger.comparison.compare_later(sku.clone());
        ledger.alerts.enter(&product, number, None);
        ledger.alerts.enter(&Product::of(&line("P", 1).sku), number, Some(AlertType::LowStock));
        ledger.thresholds.set(product.clone(), Some(1));
        ledger.warehouse_sets.enter(product.clone());
        ledger.floors.enter(sku);
        ledger.limits.enter(product);
    }
    ledger
}

#[test]
fn the_memory_of_a_whole_ledger_is_given_back_in_as_many_steps_as_it_has_entries() {
    let steps = |count: i64| {
        let mut remains = full_ledger(count).into_remains();
        std::iter::repeat_with(|| remains.free_some()).take_while(|is_left| *is_left).count()
    };
    let (few, many) = (steps(1000), steps(2000));
    // Live reservations leave the index in larger parts, except from the order by deadline.
    let of_each = (many - few) / 1000;
    assert_eq!(of_each, 29, "{few} steps and {many}");
}

#[test]
fn a_reservation_whose_record_was_overwritten_is_known_with_its_quota_and_buyer() {
    let mut holds = Holds::default();
    let quota = vec![line("P@@ann", 2)];
    let entered = Record { quota: quota.clone(), buyer: Some("ann".to_owned()), ..record("A", 1000) };
    holds.enter(&entered, 1500);
    let gone = holds.as_indexed(&id("A")).expect("a reservation");
    assert_eq!((gone.deadline, gone.record.expires_at), (1500, 1500));
    assert_eq!((gone.record.items, gone.record.quota), (vec![line("P", 2)], quota));
    assert_eq!(gone.record.buyer.as_deref(), Some("ann"));
    assert!(holds.as_indexed(&id("B")).is_none());
}

#[test]
fn info_shows_a_database_with_a_reservation_or_one_that_other_programs_use() {
    let mut ledger = Ledger::default();
    assert!(!ledger.is_in_use());
    ledger.holds.enter(&record("A", 1000), 1000);
    assert!(ledger.is_in_use());
    ledger.holds.leave(&id("A"));
    assert!(!ledger.is_in_use());
    ledger.standing.begin_check(1);
    assert!(ledger.is_in_use());
}

#[test]
fn a_database_whose_counters_were_not_all_compared_is_not_like_an_empty_one() {
    let mut ledger = Ledger::default();
    assert!(ledger.standing.is_blank());
    ledger.standing.begin_check(1);
    assert!(!ledger.standing.is_blank());
}

#[test]
fn only_a_walk_over_all_keys_tells_that_no_product_has_warehouses() {
    let mut shop = Simulation::new();
    assert!(shop.memory().have_no_warehouses());
    let words = ["INV.WAREHOUSES", "W", "SET", "north", "1"];
    shop.unit(|shop| call(shop, &words)).expect("a warehouse");
    assert!(!shop.memory().have_no_warehouses());
}

#[test]
fn a_database_in_which_nothing_happened_has_no_work() {
    let mut ledger = Ledger::default();
    for may_write in [false, true] {
        assert!(!ledger.has_work(1000, may_write));
    }
    // A record that another client has written is marked, whether its slot is stable or moves.
    ledger.notes.note_restored(&id("A"), Restored::Live);
    assert!(ledger.has_work(1000, true));
    let mut ledger = Ledger::default();
    ledger.notes.mark_later(id("A"), Restored::Live);
    assert!(ledger.has_work(1000, true));
    // On a replica too: a key that could not be read yet, and one that a walk has met.
    let mut ledger = Ledger::default();
    ledger.waiting.enter(Waits::Unread(id("A"), 0));
    assert!(ledger.has_work(1000, false));
    let mut ledger = Ledger::default();
    ledger.learn(Touched::Reservation(id("A")));
    assert!(ledger.has_work(1000, false));
}

#[test]
fn what_is_remembered_is_settled_for_each_slot_alone() {
    let mut ledger = Ledger::default();
    for (name, deadline) in [("A", 1000), ("B", 1001)] {
        let gone = Gone::new(record(name, deadline), deadline);
        ledger.holds.hold(&gone.lines);
        let lines = gone.lines.clone();
        ledger.remember(gone, lines);
    }
    let taken = |gone: Option<Gone>| gone.map(|gone| gone.record.id);
    assert_eq!(
        taken(ledger.remembered.take_due(1001, Some(Slot::of("B")))),
        None,
        "its deadline has not passed"
    );
    assert_eq!(taken(ledger.remembered.take_due(2000, Some(Slot::of("B")))), Some(id("B")));
    assert_eq!(taken(ledger.remembered.take_due(2000, Some(Slot::of("B")))), None);
    assert_eq!(taken(ledger.remembered.take_due(2000, Some(Slot::of("A")))), Some(id("A")));
}

#[test]
fn a_ledger_that_knows_anything_is_not_blank() {
    assert!(Ledger::default().is_blank());
    let sku = line("P", 1).sku;
    let product = Product::of(&sku);
    for watched in [
        Watched::Reservation(Some(id("A"))),
        Watched::Threshold(product.clone()),
        Watched::Alert(product.clone(), 5),
        Watched::Warehouses(product.clone()),
        Watched::Floor(sku.clone()),
        Watched::Limit(product),
        Watched::Reserved(sku.clone()),
        Watched::Managed,
    ] {
        let mut ledger = Ledger::default();
        let what = format!("{watched:?}");
        ledger.touch_watched(b"a key", watched);
        assert!(!ledger.is_blank(), "{what}");
    }
    let mut ledger = Ledger::default();
    ledger.holds.enter(&record("A", 1000), 1000);
    assert!(!ledger.is_blank());
    let mut ledger = Ledger::default();
    ledger.comparison.set_drift(&sku, 1);
    assert!(!ledger.is_blank());
}

#[test]
fn a_counter_that_another_client_has_written_is_known_until_it_is_compared() {
    let mut ledger = Ledger::default();
    let [p, q] = ["P", "Q"].map(|name| line(name, 1).sku);
    assert!(!ledger.comparison.has_written());
    ledger.note_written(p.clone());
    let written = |ledger: &Ledger| [&p, &q].map(|sku| ledger.comparison.is_written(sku));
    assert_eq!((ledger.comparison.has_written(), written(&ledger)), (true, [true, false]));
    assert_eq!(ledger.take_written(), std::slice::from_ref(&p));
    assert_eq!((ledger.comparison.has_written(), written(&ledger)), (false, [false, false]));
}

proptest! {
    #[test]
    fn the_drifting_units_are_the_sum_over_all_skus(
        steps in prop::collection::vec((0..5_usize, prop_oneof![-3..4_i64, Just(i64::MIN), Just(i64::MAX)]), 0..30)
    ) {
        let skus = ["P", "Q", "R", "S", "T"].map(|name| line(name, 1).sku);
        let mut comparison = Comparison::default();
        for (number, drift) in steps {
            comparison.set_drift(&skus[number], drift);
            let units = skus.iter().map(|sku| i128::from(comparison.drift_of(sku)).abs()).sum::<i128>();
            prop_assert_eq!(i128::from(comparison.drifting_units()), units.min(i128::from(i64::MAX)));
        }
        let mut met: Vec<Sku> = Vec::new();
        while let Some(next) = comparison.drifting_after(met.last()) {
            met.push(next.clone());
        }
        prop_assert_eq!(met, comparison.drifting().cloned().collect::<Vec<_>>());
    }
}

#[test]
fn hashed_ids_have_every_id_that_was_entered_and_seem_to_have_few_others() {
    let mut hashed = HashedIds::default();
    assert!(!hashed.may_have(&id("A")));
    let ids = |prefix: &'static str| (0..20_000).map(move |number| id(&format!("{prefix}{number}")));
    ids("A").chain(ids("A")).for_each(|id| hashed.enter(&id));
    assert!(ids("A").all(|id| hashed.may_have(&id)));
    // One in ten is expected.
    assert!(ids("B").filter(|id| hashed.may_have(id)).count() < 10);
    let parts = std::iter::repeat_with(|| hashed.free_some()).take_while(|is_left| *is_left).count();
    assert_eq!(parts, 256);
    assert!(!ids("A").any(|id| hashed.may_have(&id)));
}

#[test]
fn more_notes_than_are_searched_may_concern_every_slot() {
    let mut notes = Notes::default();
    let product = |number: i64| Product::parse(format!("{{P}}{number}").as_bytes(), KeyStyle::Plain).unwrap();
    for number in 0..4096 {
        notes.touch(Touched::Threshold(product(number)));
    }
    assert_eq!(["P", "Q"].map(|name| notes.has_touched_in(Slot::of(name))), [true, false]);
    notes.touch(Touched::Managed);
    assert!(notes.has_touched_in(Slot::of("Q")));
}

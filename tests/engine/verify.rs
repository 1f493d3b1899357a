//! The continuous audit: what a round finds, and what it leaves alone.

use redis_inventory::inventory::cluster_slot::{Slot, SlotState};
use redis_inventory::inventory::sku::{KeyStyle, Sku};
use redis_inventory::ledger::standing::Ownership;

use super::calls::call;
use super::simulation::Simulation;

/// Ten units of P, of which `A` holds two for a minute.
fn shop() -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    shop.client(&["SET", "stock:available:P", "10"]);
    run(&mut shop, "INV.RESERVE A PX 60000 ITEMS P 2");
    shop
}

fn run(shop: &mut Simulation, line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    shop.unit(|shop| call(shop, &words)).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
}

/// A command whose events are lost.
fn unheard(shop: &mut Simulation, line: &str) {
    shop.is_deaf = true;
    shop.client(&line.split(' ').collect::<Vec<_>>());
    shop.is_deaf = false;
}

/// Runs a whole round.
fn verify(shop: &mut Simulation) {
    assert!(shop.verify(usize::MAX), "the round ends");
}

fn drift_of(shop: &Simulation, sku: &str) -> i64 {
    shop.memory().comparison.drift_of(&Sku::parse(sku.as_bytes(), KeyStyle::Plain).unwrap())
}

fn is_marked(shop: &Simulation) -> bool {
    shop.data.contains_key("inventory:managed")
}

#[test]
fn a_round_finds_drift_that_no_event_has_told_of_and_changes_nothing() {
    let mut shop = shop();
    unheard(&mut shop, "INCRBY stock:reserved:P 4");
    unheard(&mut shop, "INCRBY stock:reserved:NOBODY 7");
    shop.take_stream();
    let before = shop.data.clone();
    verify(&mut shop);
    assert_eq!((drift_of(&shop, "P"), drift_of(&shop, "NOBODY")), (4, 7));
    let comparison = &shop.memory().comparison;
    assert_eq!((comparison.drifting().count(), comparison.drifting_units()), (2, 11));
    assert_eq!((shop.data.clone(), shop.take_stream()), (before, Vec::new()));
    let told = |shop: &Simulation| shop.log.iter().filter(|line| line.contains("continuous audit")).count();
    assert_eq!(told(&shop), 2, "{:?}", shop.log);
    verify(&mut shop);
    assert_eq!(told(&shop), 2, "the same drift is reported once: {:?}", shop.log);
}

#[test]
fn units_that_are_missing_are_drift_below_zero_and_also_if_the_counter_is_gone() {
    for command in ["SET stock:reserved:P 0", "DEL stock:reserved:P"] {
        let mut shop = shop();
        unheard(&mut shop, command);
        verify(&mut shop);
        assert_eq!(drift_of(&shop, "P"), -2, "{command}");
        assert_eq!(shop.memory().comparison.drifting_units(), 2, "{command}");
    }
}

#[test]
fn drift_that_is_corrected_or_whose_counter_is_deleted_leaves_the_list() {
    for command in ["SET stock:reserved:Q 0", "DEL stock:reserved:Q"] {
        let mut shop = shop();
        unheard(&mut shop, "SET stock:reserved:Q 3");
        verify(&mut shop);
        assert_eq!(drift_of(&shop, "Q"), 3);
        unheard(&mut shop, command);
        verify(&mut shop);
        assert_eq!(shop.memory().comparison.drifting().count(), 0, "{command}");
    }
}

#[test]
fn a_round_in_slices_finds_the_same() {
    let mut shop = shop();
    for number in 0..300 {
        unheard(&mut shop, &format!("SET stock:reserved:{number} 1"));
    }
    let mut slices = 1;
    while !shop.verify(1) {
        slices += 1;
        // Meanwhile the shop goes on.
        run(&mut shop, &format!("INV.RESERVE R{slices} PX 60000 ITEMS P 1"));
        run(&mut shop, &format!("INV.ROLLBACK R{slices}"));
    }
    assert!(slices > 3, "{slices} slices");
    assert_eq!(shop.memory().comparison.drifting().count(), 300);
    assert_eq!(drift_of(&shop, "P"), 0);
}

#[test]
fn drifting_skus_are_taken_one_by_one_after_the_walk() {
    let mut shop = shop();
    for number in 0..300 {
        unheard(&mut shop, &format!("SET stock:reserved:{number} 1"));
    }
    verify(&mut shop);
    // The walk does not meet these any more.
    for number in 0..300 {
        unheard(&mut shop, &format!("DEL stock:reserved:{number}"));
    }
    let drifting = |shop: &Simulation| shop.memory().comparison.drifting().len();
    let mut slices = 1;
    while drifting(&shop) > 150 {
        let before = drifting(&shop);
        assert!(!shop.verify(1), "slice {slices}");
        assert!(before - drifting(&shop) <= 1, "slice {slices}: {before} became {}", drifting(&shop));
        slices += 1;
    }
    assert!(slices > 150, "{slices} slices");
    // Another sku drifts in the meantime. It need not have been known at the end of the walk.
    shop.client(&["SET", "stock:reserved:Z", "5"]);
    assert_eq!(drift_of(&shop, "Z"), 5);
    unheard(&mut shop, "DEL stock:reserved:Z");
    verify(&mut shop);
    assert_eq!(drifting(&shop), 0);
}

#[test]
fn what_waits_to_be_settled_is_no_drift() {
    let mut shop = shop();
    // Without time, the job leaves the units reserved, and the reservation pending.
    shop.is_busy = true;
    shop.advance(60_001);
    shop.client(&["GET", "reservation:A"]);
    assert!(!shop.memory().pending.is_empty());
    unheard(&mut shop, "INCRBY stock:reserved:Q 4");
    verify(&mut shop);
    assert_eq!((drift_of(&shop, "P"), drift_of(&shop, "Q")), (0, 4), "drift is seen meanwhile");
    unheard(&mut shop, "DEL stock:reserved:Q");
    shop.is_busy = false;
    shop.sweep();
    verify(&mut shop);
    assert_eq!(shop.memory().comparison.drifting().count(), 0);
    // Nor are units that are remembered until the deadline of a record that another client has deleted.
    run(&mut shop, "INV.RESERVE B PX 60000 ITEMS P 3");
    shop.client(&["DEL", "reservation:B"]);
    shop.sweep();
    assert_eq!(shop.number("stock:reserved:P"), Some(3));
    verify(&mut shop);
    assert_eq!(shop.memory().comparison.drifting().count(), 0);
}

#[test]
fn a_round_waits_while_a_record_of_another_client_has_not_been_looked_at() {
    let mut shop = shop();
    // Another client takes the record away and puts it back. Without time, the job leaves the note.
    shop.is_busy = true;
    shop.client(&["RENAME", "reservation:A", "elsewhere"]);
    shop.client(&["RENAME", "elsewhere", "reservation:A"]);
    assert!(shop.memory().notes.has_touched());
    assert!(!shop.verify(usize::MAX), "the round waits");
    shop.is_busy = false;
    shop.sweep();
    verify(&mut shop);
    assert_eq!(shop.memory().comparison.drifting().count(), 0);
}

#[test]
fn a_clean_round_lets_the_mark_return_after_a_write_that_was_corrected() {
    let mut shop = shop();
    assert!(is_marked(&shop));
    shop.client(&["INCRBY", "stock:reserved:P", "3"]);
    assert!(!is_marked(&shop), "the mark goes with the write");
    verify(&mut shop);
    assert!(!is_marked(&shop), "another program may hold the units");
    shop.client(&["DECRBY", "stock:reserved:P", "3"]);
    assert!(!is_marked(&shop), "one counter that is right says nothing about the others");
    shop.take_stream();
    verify(&mut shop);
    assert!(is_marked(&shop));
    assert_eq!(shop.memory().standing.ownership(), Ownership::Managed);
    let sent: Vec<String> = shop.take_stream().concat().iter().map(|command| command.join(" ")).collect();
    assert_eq!(sent, ["SET inventory:managed plain"]);
}

#[test]
fn without_reservations_the_next_one_writes_the_mark() {
    let mut shop = shop();
    shop.client(&["INCRBY", "stock:reserved:P", "3"]);
    shop.client(&["DECRBY", "stock:reserved:P", "3"]);
    run(&mut shop, "INV.ROLLBACK A");
    verify(&mut shop);
    assert!(!is_marked(&shop));
    run(&mut shop, "INV.RESERVE B ITEMS P 1");
    assert!(is_marked(&shop));
}

#[test]
fn a_mark_that_another_client_deleted_does_not_return() {
    let mut shop = shop();
    shop.client(&["DEL", "inventory:managed"]);
    shop.sweep();
    verify(&mut shop);
    run(&mut shop, "INV.RESERVE B ITEMS P 1");
    assert!(!is_marked(&shop));
}

#[test]
fn a_foreign_record_keeps_the_mark_away() {
    let mut shop = shop();
    shop.client(&["SET", "reservation:theirs", "something else"]);
    shop.sweep();
    assert!(!is_marked(&shop));
    verify(&mut shop);
    assert!(!is_marked(&shop));
    shop.client(&["DEL", "reservation:theirs"]);
    shop.sweep();
    verify(&mut shop);
    assert!(is_marked(&shop));
}

#[test]
fn skus_whose_slot_is_moving_are_skipped_and_a_cluster_has_no_mark() {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    shop.settings.in_cluster = true;
    shop.style = KeyStyle::Tagged;
    for sku in ["{P}", "{Q}"] {
        unheard(&mut shop, &format!("SET stock:reserved:{sku} 1"));
    }
    shop.slots.insert(Slot::of("P"), SlotState::Migrating);
    verify(&mut shop);
    let found: Vec<String> = shop.memory().comparison.drifting().map(ToString::to_string).collect();
    assert_eq!(found, ["Q"]);
    assert!(!is_marked(&shop));
}

#[test]
fn a_counter_that_is_not_an_integer_stops_no_round() {
    let mut shop = shop();
    shop.client(&["SET", "stock:reserved:Q", "many"]);
    unheard(&mut shop, "INCRBY stock:reserved:P 1");
    verify(&mut shop);
    assert_eq!(drift_of(&shop, "P"), 1);
}

#[test]
fn a_round_that_meets_a_counter_that_is_no_integer_does_not_let_the_mark_return() {
    let mut shop = shop();
    assert!(is_marked(&shop));
    shop.client(&["SET", "stock:reserved:P", "2.0"]);
    assert!(!is_marked(&shop), "what another program holds is not known");
    verify(&mut shop);
    verify(&mut shop);
    assert!(!is_marked(&shop));
    // When it is corrected, nothing speaks against it any more.
    unheard(&mut shop, "SET stock:reserved:P 2");
    verify(&mut shop);
    assert!(is_marked(&shop));
}

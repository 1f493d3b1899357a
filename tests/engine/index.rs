//! Compares the index of live reservations with a naive list, for thousands of reservations: more than the histories have.

use redis_inventory::inventory::line::Line;
use std::collections::BTreeMap;

use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
use redis_inventory::ledger::Ledger;
use redis_inventory::ledger::gone::Gone;
use redis_inventory::ledger::holds::Holds;

const SKUS: u64 = 3000;

/// Ids of every length: the index keeps short ones in another way than long ones.
fn id(number: u64) -> ReservationId {
    let filling = "x".repeat(usize::try_from(number % 100).unwrap());
    ReservationId::parse(format!("R{number}{filling}").as_bytes(), KeyStyle::Plain).unwrap()
}

fn sku(number: u64) -> Sku {
    Sku::parse(format!("P{number}").as_bytes(), KeyStyle::Plain).unwrap()
}

/// xorshift64: the same sequence each time.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % sides
}

#[test]
fn thousands_of_reservations_that_come_and_go_are_known_by_id_by_deadline_and_by_sku() {
    let (mut ledger, mut naive, mut dice) = (Ledger::default(), BTreeMap::new(), 77);
    for step in 0..40_000 {
        let number = roll(&mut dice, 8000);
        if roll(&mut dice, 3) == 0 {
            ledger.holds.leave(&id(number));
            naive.remove(&number);
        } else {
            let deadline = i64::try_from(1000 + roll(&mut dice, 500)).unwrap();
            let lines: BTreeMap<u64, i64> = (0..=roll(&mut dice, 3))
                .map(|_| (roll(&mut dice, SKUS), 1 + i64::try_from(roll(&mut dice, 9)).unwrap()))
                .collect();
            let line = |(number, units): (&u64, &i64)| Line {
                sku: sku(*number),
                quantity: Quantity::new(*units).unwrap(),
            };
            let record = Record::new(id(number), 0, deadline, lines.iter().map(line).collect(), None);
            ledger.holds.enter(&record, deadline);
            naive.insert(number, (deadline, lines));
        }
        if step % 5000 == 4999 {
            compare(&mut ledger, &naive);
        }
    }
    for number in 0..8000 {
        ledger.holds.leave(&id(number));
    }
    compare(&mut ledger, &BTreeMap::new());
}

fn compare(ledger: &mut Ledger, naive: &BTreeMap<u64, (i64, BTreeMap<u64, i64>)>) {
    assert_eq!(ledger.holds.count(), naive.len());
    let mut held: BTreeMap<u64, i64> = BTreeMap::new();
    let mut first_due: BTreeMap<u64, i64> = BTreeMap::new();
    for (number, (deadline, lines)) in naive {
        assert_eq!(ledger.holds.deadline(&id(*number)), Some(*deadline));
        for (sku, units) in lines {
            *held.entry(*sku).or_default() += units;
            let first = first_due.entry(*sku).or_insert(*deadline);
            *first = (*first).min(*deadline);
        }
    }
    // It takes as many calls as there are tens of them.
    let calls = naive.values().filter(|(deadline, _)| *deadline < 1250).count().div_ceil(10).max(1);
    let done = (0..calls).filter(|_| ledger.holds.index_due(1250, 10)).count();
    assert!(done >= 1, "everything that is due is indexed");
    for number in 0..SKUS {
        let units = held.get(&number).copied().unwrap_or(0);
        assert_eq!(ledger.holds.held_by_others(&sku(number), 0), units);
        let due = ledger.holds.next_due_of(&sku(number), 1250).and_then(|id| ledger.holds.deadline(&id));
        assert_eq!(due, first_due.get(&number).copied().filter(|deadline| *deadline < 1250));
    }
    let due: Vec<i64> =
        naive.values().map(|(deadline, _)| *deadline).filter(|deadline| *deadline < 1250).collect();
    let overdue = ledger.overdue(1250, usize::MAX);
    assert_eq!((overdue.count, overdue.earliest), (due.len(), due.iter().min().copied()));
    let (mut place, mut deadlines) = (None, Vec::new());
    while let Some((at, _, deadline)) = ledger.holds.after(place) {
        deadlines.push(deadline);
        place = Some(at);
    }
    assert!(deadlines.is_sorted());
    assert_eq!(deadlines.len(), naive.len());
    let (mut from, mut skus) = (0, 0);
    while let Some((number, _)) = ledger.holds.held_sku(from) {
        from = number + 1;
        skus += 1;
    }
    assert_eq!(skus, held.len());
}

#[test]
fn what_is_overdue_is_counted_once_also_while_it_waits_and_only_as_far_as_is_asked() {
    let mut ledger = Ledger::default();
    let line = Line { sku: sku(1), quantity: Quantity::new(1).unwrap() };
    for number in 0..10 {
        let deadline = i64::try_from(100 + number).unwrap();
        ledger.holds.enter(&Record::new(id(number), 0, deadline, vec![line.clone()], None), deadline);
    }
    let overdue = |ledger: &Ledger, now: i64, most: usize| {
        let overdue = ledger.overdue(now, most);
        (overdue.count, overdue.earliest)
    };
    assert_eq!(overdue(&ledger, 100, 99), (0, None), "a reservation is not overdue at its deadline");
    assert_eq!(overdue(&ledger, 105, 99), (5, Some(100)));
    assert_eq!(overdue(&ledger, 105, 3), (3, Some(100)));
    // One is postponed, and one waits for its slot.
    ledger.holds.postpone(&id(0), 150);
    ledger.park(&id(1));
    for now in [105, 200] {
        assert_eq!(overdue(&ledger, now, 99), (if now == 105 { 5 } else { 10 }, Some(100)), "{now}");
    }
    ledger.holds.leave(&id(0));
    assert_eq!(overdue(&ledger, 105, 99), (4, Some(101)));
    ledger.holds.unpark(&id(1));
    assert_eq!(overdue(&ledger, 105, 99), (4, Some(101)));
    ledger.holds.postpone(&id(1), 150);
    ledger.holds.enter(&Record::new(id(1), 0, 900, vec![line], None), 900);
    assert_eq!(overdue(&ledger, 105, 99), (3, Some(102)), "it was extended");
    assert_eq!(overdue(&ledger, 200, 99), (8, Some(102)));
}

#[test]
fn the_first_reservation_to_open_is_known_and_one_that_waits_is_not_among_them() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.holds.next_wake(), None);
    let line = Line { sku: sku(1), quantity: Quantity::new(1).unwrap() };
    for (number, deadline) in [(0, 100), (1, 200)] {
        ledger.holds.enter(&Record::new(id(number), 0, deadline, vec![line.clone()], None), deadline);
    }
    assert_eq!(ledger.holds.next_wake(), Some(100));
    ledger.holds.postpone(&id(0), 300);
    assert_eq!(ledger.holds.next_wake(), Some(200));
}

#[test]
fn a_reservation_lapses_after_its_deadline_and_counts_as_overdue_until_it_is_settled() {
    let mut ledger = Ledger::default();
    let line = Line { sku: sku(1), quantity: Quantity::new(1).unwrap() };
    let record = Record::new(id(0), 0, 100, vec![line], None);
    ledger.holds.enter(&record, 100);
    assert_eq!([100, 101].map(|now| ledger.lapsed(&id(0), now)), [None, Some(100)]);
    ledger.pend(Gone::new(record, 100));
    assert_eq!(ledger.lapsed(&id(0), 100), Some(100));
    for (now, expected) in [(100, (0, None)), (101, (1, Some(100))), (200, (1, Some(100)))] {
        let overdue = ledger.overdue(now, 99);
        assert_eq!((overdue.count, overdue.earliest), expected, "{now}");
    }
}

/// An index of reservations with ids of this length.
fn index_of(count: u64, length: usize) -> Holds {
    let mut holds = Holds::default();
    let line = Line { sku: sku(1), quantity: Quantity::new(1).unwrap() };
    for number in 0..count {
        let id = ReservationId::parse(format!("{number:0length$}").as_bytes(), KeyStyle::Plain).unwrap();
        holds.enter(&Record::new(id, 0, 100, vec![line.clone()], None), 100);
    }
    holds
}

#[test]
fn an_id_of_up_to_38_bytes_takes_no_memory_of_its_own() {
    let [one, longest, longer] = [1, 38, 39].map(|length| index_of(1, length).bytes());
    assert!(one == longest && longest < longer, "{one} {longest} {longer}");
}

#[test]
fn the_memory_of_many_reservations_is_given_back_in_parts() {
    let calls = |holds: Holds| {
        let mut ledger = Ledger::default();
        ledger.holds = holds;
        let mut remains = ledger.into_remains();
        (0..).take_while(|_| remains.free_some()).count()
    };
    let mut empty = index_of(5000, 10);
    for number in 0..5000 {
        empty.leave(&ReservationId::parse(format!("{number:010}").as_bytes(), KeyStyle::Plain).unwrap());
    }
    let of_places = calls(empty);
    // The order by deadline is given back one entry at a time.
    assert_eq!(calls(index_of(5000, 10)), of_places + 5000);
    assert!(of_places > calls(index_of(1, 10)), "{of_places}");
}

//! Compares the queue of deleted reservations with a plain list.

use proptest::prelude::*;
use redis_inventory::inventory::cluster_slot::Slot;
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
use redis_inventory::ledger::gone::{Gone, GoneQueue};

fn id(number: usize) -> ReservationId {
    ReservationId::parse(["A", "B", "C", "D"][number].as_bytes(), KeyStyle::Plain).unwrap()
}

fn sku(number: usize) -> Sku {
    Sku::parse(["P", "Q", "R"][number].as_bytes(), KeyStyle::Plain).unwrap()
}

/// Each has a different deadline, so that no two are equal.
fn gone(of: usize, holds: usize, deadline: i64) -> Gone {
    let items = vec![Line { sku: sku(holds), quantity: Quantity::new(1).unwrap() }];
    Gone::new(Record::new(id(of), 0, deadline, items, None), deadline)
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, usize),
    First,
    Last,
    Of(usize),
    OfSku(usize),
    In(usize),
    Newest(usize),
    From(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..4_usize, 0..3_usize).prop_map(|(of, holds)| Step::Push(of, holds)),
        1 => Just(Step::First),
        1 => Just(Step::Last),
        2 => (0..4_usize).prop_map(Step::Of),
        1 => (0..3_usize).prop_map(Step::OfSku),
        1 => (0..4_usize).prop_map(Step::In),
        1 => (0..4_usize).prop_map(Step::Newest),
        1 => (0..4_usize).prop_map(Step::From),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn it_gives_what_a_list_gives(steps in steps()) {
        let (mut queue, mut list) = (GoneQueue::default(), Vec::<Gone>::new());
        let mut numbers = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            let first = |list: &mut Vec<Gone>, is_it: &dyn Fn(&Gone) -> bool| {
                list.iter().position(is_it).map(|at| list.remove(at)).into_iter().collect::<Vec<_>>()
            };
            let (found, expected): (Vec<Gone>, Vec<Gone>) = match step {
                Step::Push(of, holds) => {
                    let gone = gone(of, holds, i64::try_from(at).unwrap());
                    numbers.push((queue.next(), gone.deadline));
                    queue.push(gone.clone());
                    list.push(gone);
                    (vec![], vec![])
                }
                Step::First => (queue.take_first().into_iter().collect(), first(&mut list, &|_| true)),
                Step::Last => (queue.take_last().into_iter().collect(), list.pop().into_iter().collect()),
                Step::Of(of) => {
                    (queue.take_of(&id(of)).into_iter().collect(), first(&mut list, &|gone| gone.record.id == id(of)))
                }
                Step::OfSku(of) => (
                    queue.take_of_sku(&sku(of)).into_iter().collect(),
                    first(&mut list, &|gone| gone.lines[0].sku == sku(of)),
                ),
                Step::In(of) => {
                    let slot = Slot::of(id(of).as_str());
                    let is_it = |gone: &Gone| Slot::of(gone.record.id.as_str()) == slot;
                    (queue.take_in(slot).into_iter().collect(), first(&mut list, &is_it))
                }
                Step::Newest(count) => {
                    let from = list.len().saturating_sub(count);
                    (queue.take_newest(count), list.split_off(from))
                }
                Step::From(back) => {
                    let Some((number, deadline)) = numbers.iter().rev().nth(back).copied() else { continue };
                    let (newer, older) = list.drain(..).partition(|gone| gone.deadline >= deadline);
                    list = older;
                    (queue.take_from(number), newer)
                }
            };
            prop_assert_eq!(found, expected);
            prop_assert_eq!((queue.len(), queue.is_empty()), (list.len(), list.is_empty()));
            for of in 0..4 {
                prop_assert_eq!(queue.find(&id(of)), list.iter().find(|gone| gone.record.id == id(of)));
            }
        }
        prop_assert_eq!(queue.take_all().collect::<Vec<_>>(), list);
    }
}

//! Random histories: shops and recovery jobs in both languages, while everything fails. `INV_SHOP_DAYS` and `INV_SHOP_SEED`
//! choose another number of days and other dice.

use crate::assert_agrees;
use crate::example::crew::{Day, Trouble};
use crate::example::provider::Mood;
use crate::example::shop::Repairs;
use crate::example::world::{Plan, World};

fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number"))
}

#[test]
fn after_thousands_of_random_histories_orders_money_and_units_agree() {
    let days = number("INV_SHOP_DAYS").unwrap_or(20);
    let seed = number("INV_SHOP_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    eprintln!("INV_SHOP_SEED={seed}");
    let world = World::open(Plan {
        mood: Mood::BAD,
        seed,
        products: 8,
        units: 60 * days.cast_signed(),
        ..Plan::default()
    });
    let troubles = [
        Trouble::None,
        Trouble::Failover,
        Trouble::Deadlines,
        Trouble::Stock,
        Trouble::Failover,
        Trouble::Database,
    ];
    let mut repairs = Repairs::default();
    for (number, trouble) in (0..days).zip(troubles.into_iter().cycle()) {
        let day =
            Day { shops: 3, orders: 40, python: 30, faults: 33, trouble, seed: seed.wrapping_add(number) };
        repairs += day.run(&world);
        // Every third day everything is brought to an end and counted.
        if number % 3 == 2 {
            assert_agrees(&world.settle());
        }
    }
    let account = world.settle();
    let events = world.events.lock().expect("a map");
    eprintln!("{account}\n{events:#?}");
    eprintln!("{repairs:?}");
    assert_agrees(&account);
    assert!(account.sold > 0 && account.cancelled > 0 && account.refunded > 0, "{account}");
}

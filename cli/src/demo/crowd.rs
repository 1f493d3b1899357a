//! The shoppers and their plans. They are drawn in advance, so that each sale has the same crowd.

use std::ops::Range;
use std::time::Duration;

/// What a shopper does after taking a unit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mind {
    Pays,
    Changes,
    Vanishes,
}

/// One shopper. The times are the delays between the steps.
pub struct Shopper {
    pub number: i64,
    /// From the opening of the sale.
    pub comes: Duration,
    /// The shop's own work before it takes a unit: prices, the cart, other services.
    pub page: Duration,
    pub decides: Duration,
    pub pays: Duration,
    /// The wait before another attempt, if there was nothing.
    pub waits: Duration,
    pub mind: Mind,
}

/// The longest time that a shopper takes from taking a unit to paying.
pub const LONGEST: Duration = Duration::from_millis(DECIDES.end + PAYS.end);

const COMES: Range<u64> = 0..500;
const PAGE: Range<u64> = 10..50;
const DECIDES: Range<u64> = 300..2000;
const PAYS: Range<u64> = 200..1000;
const WAITS: Range<u64> = 400..900;

/// This many shoppers, the same for the same seed.
pub fn gather(shoppers: i64, seed: u64) -> Vec<Shopper> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut within = |range: Range<u64>| Duration::from_millis(dice.u64(range));
    let shopper = |number| Shopper {
        number,
        comes: within(COMES),
        page: within(PAGE),
        decides: within(DECIDES),
        pays: within(PAYS),
        waits: within(WAITS),
        mind: match number % 8 {
            0 => Mind::Changes,
            1 => Mind::Vanishes,
            _ => Mind::Pays,
        },
    };
    (0..shoppers).map(shopper).collect()
}

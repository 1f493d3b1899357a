//! Who comes, and what each has in mind: decided before, so that both sales see the same crowd.

use std::ops::Range;
use std::time::Duration;

/// What a shopper does with what she has taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mind {
    Pays,
    Changes,
    Vanishes,
}

/// One shopper. The times are what passes between her steps.
pub struct Shopper {
    pub number: i64,
    /// After the doors open.
    pub comes: Duration,
    /// The shop's own work before it takes a unit: prices, the cart, other services.
    pub page: Duration,
    pub decides: Duration,
    pub pays: Duration,
    /// Until she tries again, when there was nothing.
    pub waits: Duration,
    pub mind: Mind,
}

/// The longest that a shopper may need from taking to paying.
pub const LONGEST: Duration = Duration::from_millis(DECIDES.end + PAYS.end);

const COMES: Range<u64> = 0..500;
const PAGE: Range<u64> = 10..50;
const DECIDES: Range<u64> = 300..2000;
const PAYS: Range<u64> = 200..1000;
const WAITS: Range<u64> = 400..900;

/// So many shoppers, the same for the same seed.
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

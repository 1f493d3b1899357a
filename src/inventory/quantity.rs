//! Units and times: the numbers that the inventory counts in, and how they are read from text.

/// A moment, in milliseconds since the Unix epoch.
pub type UnixMs = i64;

/// The limit of quantities and times: 2^53 - 1, the largest integer that every JSON reader keeps exact.
pub const MAX_EXACT: i64 = 9_007_199_254_740_991;

/// A hundred years in milliseconds. A longer lifetime is assumed to be a mistake in the unit.
pub const CENTURY_MS: i64 = 3_155_760_000_000;

/// A number of units, from 1 to [`MAX_EXACT`].
///
/// ```
/// use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity};
///
/// let five = Quantity::parse(b"5").unwrap();
/// assert_eq!(five.plus(five).map(Quantity::units), Some(10));
/// assert_eq!(Quantity::new(0), None);
/// assert_eq!(Quantity::new(MAX_EXACT).unwrap().plus(five), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i64);

impl Quantity {
    /// Returns `units` as a quantity, or `None` if the number is outside 1 to [`MAX_EXACT`].
    pub fn new(units: i64) -> Option<Self> {
        (1..=MAX_EXACT).contains(&units).then_some(Self(units))
    }

    /// Reads a quantity in the form in which the server reads integers: decimal digits without a sign, a space or a
    /// leading zero. Returns `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        parse_integer(text).and_then(Self::new)
    }

    /// The number of units.
    pub fn units(self) -> i64 {
        self.0
    }

    /// The sum of both quantities, or `None` if it exceeds [`MAX_EXACT`].
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }
}

/// Reads a 64-bit integer in the only form that the server itself accepts (its `string2ll`): an optional minus sign,
/// then digits without a leading zero. Returns `None` for any other text.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if *digits.first()? == b'0' && text.len() > 1 {
        return None;
    }
    // The number is built below 0, because the negative range of `i64` has one number more.
    digits
        .iter()
        .try_fold(0_i64, |number, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            number.checked_mul(10)?.checked_sub(i64::from(digit))
        })
        .and_then(|number| if negative { Some(number) } else { number.checked_neg() })
}

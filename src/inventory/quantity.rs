//! Units and times: the numbers that the inventory counts in, and how they are read from text.

/// A moment in Unix milliseconds.
pub type UnixMs = i64;

/// The largest number that every JSON reader keeps exact (2^53 - 1): the limit of quantities and times.
pub const MAX_EXACT: i64 = 9_007_199_254_740_991;

/// A hundred years in milliseconds: a longer time is a mistake in the unit.
pub const CENTURY_MS: i64 = 3_155_760_000_000;

/// How many units: 1 to [`MAX_EXACT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i64);

impl Quantity {
    /// `units` as a quantity; `None` outside 1 to [`MAX_EXACT`].
    pub fn new(units: i64) -> Option<Self> {
        (1..=MAX_EXACT).contains(&units).then_some(Self(units))
    }

    /// Reads decimal digits, as the server reads integers: no sign, no space, no leading zero.
    pub fn parse(text: &[u8]) -> Option<Self> {
        parse_integer(text).and_then(Self::new)
    }

    /// The number of units.
    pub fn units(self) -> i64 {
        self.0
    }

    /// The sum; `None` beyond [`MAX_EXACT`].
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }
}

/// Reads an integer in the one form that the server itself accepts (its `string2ll`): an optional minus, digits,
/// no leading zero, 64 bits. `None` for anything else.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if *digits.first()? == b'0' && text.len() > 1 {
        return None;
    }
    // Below 0, where there is one more number.
    digits
        .iter()
        .try_fold(0_i64, |number, byte| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
            number.checked_mul(10)?.checked_sub(i64::from(digit))
        })
        .and_then(|number| if negative { Some(number) } else { number.checked_neg() })
}

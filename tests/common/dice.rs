//! Reproducible random numbers for the tests, and their seeds.

use std::time::{SystemTime, UNIX_EPOCH};

/// A number from the environment, such as `INV_SOAK_SEED=7`.
#[track_caller]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// A seed that differs between runs.
pub fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    u64::from(now.subsec_nanos())
}

/// A source of random numbers that repeats them for the same seed, or for the same draws.
pub struct Dice(Source);

enum Source {
    /// The state of a generator (xorshift64).
    Seed(u64),
    /// Numbers that proptest has drawn. It can shrink them to find a simple failure.
    Draws(std::vec::IntoIter<u16>),
}

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(Source::Seed(0x9E37_79B9_7F4A_7C15 ^ (seed + 1)))
    }

    /// These numbers decide the rolls: the smaller the number, the lower the side. After the last one, every roll is 0.
    pub fn drawn(draws: Vec<u16>) -> Self {
        Self(Source::Draws(draws.into_iter()))
    }

    /// A number from 0 to `sides - 1`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                *state % sides
            }
            Source::Draws(draws) => (u64::from(draws.next().unwrap_or(0)) * sides) >> 16,
        }
    }

    /// True in one of `sides` rolls. A roll of 0 is false, so that shrunk draws leave out the special case.
    pub fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == sides - 1
    }

    /// A number from 1 to `most`.
    pub fn up_to(&mut self, most: u64) -> i64 {
        1 + i64::try_from(self.roll(most)).expect("a small number")
    }

    /// A position in a list of `count` elements.
    pub fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).expect("a small number")
    }

    /// One of these choices.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.place(choices.len())]
    }

    /// One of these choices, with probabilities in proportion to their weights.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let mut left = self.roll(choices.iter().map(|choice| choice.0).sum());
        for (weight, choice) in choices {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *choice,
            }
        }
        unreachable!("a roll is below the sum of all weights")
    }
}

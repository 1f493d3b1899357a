//! The priority of a warehouse.

/// Where a warehouse comes when units of its product are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The warehouse with the lowest number is used first.
    Number(i64),
    /// The warehouse is closed: units are taken from it only by its name.
    Closed,
}

impl Priority {
    /// The score in the product's set of warehouses. A number is exact, because it is an integer within 2^53 of 0.
    #[expect(clippy::cast_precision_loss, reason = "integers within 2^53 are exact")]
    pub fn score(self) -> f64 {
        match self {
            Self::Number(number) => number as f64,
            Self::Closed => f64::INFINITY,
        }
    }

    /// Whether this score closes a warehouse.
    pub fn is_closed(score: f64) -> bool {
        score == f64::INFINITY
    }
}

//! How a reservation can end.

use serde::{Deserialize, Serialize};

/// The step that ended a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Sold.
    Committed,
    /// Given back by a command.
    RolledBack,
    /// Given back by the deadline, or by whatever removed the record.
    Expired,
}

impl Ending {
    /// The state as replies and JSON name it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Committed => "committed",
            Ending::RolledBack => "rolled_back",
            Ending::Expired => "expired",
        }
    }
}

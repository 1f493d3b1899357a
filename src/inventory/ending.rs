//! The ways in which a reservation can end.

use serde::Deserialize;

/// The step that ended a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The units were sold.
    Committed,
    /// A command returned the units.
    RolledBack,
    /// The deadline returned the units, or something else removed the record.
    Expired,
    /// INV.REPLACE made another reservation of it. The outcome names the successor.
    Replaced,
}

impl Ending {
    /// The name of the state in replies and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Committed => "committed",
            Ending::RolledBack => "rolled_back",
            Ending::Expired => "expired",
            Ending::Replaced => "replaced",
        }
    }

    /// The ending of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Ending::Committed, Ending::RolledBack, Ending::Expired, Ending::Replaced]
            .into_iter()
            .find(|ending| ending.name() == name)
    }
}

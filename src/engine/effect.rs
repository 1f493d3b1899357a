//! The effects: what a decision does to the data set.

use crate::inventory::ending::Ending;
use crate::inventory::key::{Key, OnceName};
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::priority::Priority;
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{Product, ReservationId, Sku};

/// One change of the data set. Each variant names its replicated form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `HOLD id deadline record`: write the record, and move its items from available to reserved.
    Hold {
        /// The record.
        record: Record,
        /// The expiry time of the record's key.
        deadline: UnixMs,
    },
    /// `RECORD id deadline record`: write the record without moving units.
    Record {
        /// The record.
        record: Record,
        /// The expiry time of the record's key.
        deadline: UnixMs,
    },
    /// `UNITS sku available reserved`: add to both counters. A 0 leaves the counter alone; two zeros create the
    /// available counter.
    Units {
        /// The sku.
        sku: Sku,
        /// The units to add to the available counter.
        available: i64,
        /// The units to add to the reserved counter.
        reserved: i64,
    },
    /// `END id deadline outcome`: delete the record, and write the outcome unless its deadline is 0.
    End {
        /// The reservation.
        id: ReservationId,
        /// The outcome.
        outcome: Outcome,
        /// The expiry time of the outcome's key; 0 means that no outcome is kept.
        deadline: UnixMs,
    },
    /// `ONCE name deadline answer`: remember the request and the answer of a command with a token.
    Once {
        /// The name in the key.
        name: OnceName,
        /// The expiry time of the key.
        deadline: UnixMs,
        /// The stored form of the request and its answer.
        answer: Vec<u8>,
    },
    /// `THRESHOLD product units 0`: set the product's threshold, or delete it if `units` is -1. `NOALERTS product 0 0`:
    /// set the threshold to [`OFF`](crate::inventory::alert::OFF).
    Threshold {
        /// The product.
        product: Product,
        /// The threshold: 0 or more, or [`OFF`](crate::inventory::alert::OFF). `None` deletes it.
        units: Option<i64>,
    },
    /// `FLOOR sku units 0`: set the floor of the sku, or delete it if `units` is 0.
    Floor {
        /// The sku.
        sku: Sku,
        /// The floor.
        units: i64,
    },
    /// `LIMIT product units 0`: set the product's limit per buyer, or delete it if `units` is -1.
    Limit {
        /// The product.
        product: Product,
        /// The limit. `None` deletes it.
        units: Option<i64>,
    },
    /// `RANK product@warehouse priority 0`: add the warehouse to the product, or change its priority. `CLOSED
    /// product@warehouse 0 0`: the same for [`Priority::Closed`].
    Rank {
        /// The product in this warehouse.
        place: Sku,
        /// The priority.
        priority: Priority,
    },
    /// `UNRANK product@warehouse 0 0`: remove the warehouse from the product.
    Unrank {
        /// The product in this warehouse.
        place: Sku,
    },
    /// `CLEAR sku 0 0`: delete both counters. Each of them is 0 or absent.
    Clear {
        /// The sku.
        sku: Sku,
    },
    /// `OUTCOME id deadline outcome`: write the outcome only.
    Outcome {
        /// The reservation.
        id: ReservationId,
        /// The outcome.
        outcome: Outcome,
        /// The expiry time of the outcome's key.
        deadline: UnixMs,
    },
}

impl Effect {
    /// Calls `meet` for each counter that the effect adds to, with the number to add. The number is 0 for an available
    /// counter that is only created.
    pub(super) fn each_move<'a>(&'a self, mut meet: impl FnMut(Key<'a>, i64)) {
        match self {
            Effect::Hold { record, .. } => {
                for lines in [&record.items, &record.quota] {
                    for Line { sku, quantity } in lines {
                        meet(Key::Available(sku), quantity.units().saturating_neg());
                        meet(Key::Reserved(sku), quantity.units());
                    }
                }
            }
            Effect::Units { sku, available, reserved } => {
                if *available != 0 || *reserved == 0 {
                    meet(Key::Available(sku), *available);
                }
                if *reserved != 0 {
                    meet(Key::Reserved(sku), *reserved);
                }
            }
            Effect::Record { .. }
            | Effect::End { .. }
            | Effect::Once { .. }
            | Effect::Threshold { .. }
            | Effect::Floor { .. }
            | Effect::Limit { .. }
            | Effect::Rank { .. }
            | Effect::Unrank { .. }
            | Effect::Clear { .. }
            | Effect::Outcome { .. } => {}
        }
    }
}

/// Whether several reservations begin or end, so that they may move units of the same skus.
#[inline]
pub(super) fn are_of_many(effects: &[Effect]) -> bool {
    if effects.len() < 2 {
        return false;
    }
    let is_whole = |effect: &&Effect| matches!(effect, Effect::Hold { .. } | Effect::End { .. });
    effects.iter().filter(is_whole).nth(1).is_some()
}

/// The units that a line of a reservation that ends adds to the available and to the reserved counter.
pub(super) fn moved(line: &Line, ending: Ending) -> (i64, i64) {
    let units = line.quantity.units();
    let available = match ending {
        Ending::Committed => 0,
        Ending::RolledBack | Ending::Expired | Ending::Replaced => units,
    };
    (available, units.saturating_neg())
}

/// The effect of a line of a reservation that ends on the counters of its sku.
pub(super) fn units_of(line: &Line, ending: Ending) -> Effect {
    let (available, reserved) = moved(line, ending);
    Effect::Units { sku: line.sku.clone(), available, reserved }
}

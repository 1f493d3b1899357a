//! The counters of skus.

use super::alerts;
use super::bounds::{floor_of, stored_floor};
use super::keyspace::{Counter, Keyspace, Reading, counter_to_change};
use super::places::{self, Standing};
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::quantity::MAX_EXACT;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::Sku;

/// The counters of one sku.
pub(super) struct Shelf {
    /// The available counter.
    pub(super) available: Counter,
    /// The available counter as a number; an absent counter is 0.
    pub(super) units: i64,
    /// The reserved counter as a number; an absent counter is 0.
    pub(super) reserved: i64,
    /// The floor; an absent one is 0.
    pub(super) floor: i64,
}

impl Shelf {
    /// Reads both counters of a sku that will be changed, and its floor.
    ///
    /// # Errors
    ///
    /// `WRONGTYPE` if one is not an integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Self, Refusal> {
        let floor = floor_of(keys, sku)?;
        Self::on_floor(keys, sku, floor)
    }

    /// Reads both counters of a sku that will be changed, whose floor is known.
    ///
    /// # Errors
    ///
    /// `WRONGTYPE` if one is not an integer.
    pub(super) fn on_floor<K: Keyspace>(keys: &mut K, sku: &Sku, floor: i64) -> Result<Self, Refusal> {
        let available = keys.counter_to_change(Key::Available(sku));
        let units = available.clone().units(Key::Available(sku), keys.style())?;
        let reserved = counter_to_change(keys, Key::Reserved(sku))?;
        Ok(Self { available, units, reserved, floor })
    }

    /// The units that can be reserved. The number is negative if available is below the floor.
    pub(super) fn reservable(&self) -> i64 {
        self.units.saturating_sub(self.floor)
    }

    /// The number to which a count or a loss may lower available. The units below the floor exist, but those below 0 only if
    /// they are promised before they arrive.
    pub(super) fn lowest(&self) -> i64 {
        self.floor.min(0)
    }

    /// Checks that `more` units can be added. The bound applies to available and reserved units together, since all
    /// reserved units may be returned.
    ///
    /// A counter that another client has set above the bound can still be lowered.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooMany`] if there would be too many units.
    pub(super) fn check_bound(&self, sku: &Sku, more: i64) -> Result<(), Refusal> {
        let (available, reserved) = (self.units, self.reserved);
        let sum = available.checked_add(more).and_then(|sum| sum.checked_add(reserved.max(0)));
        if more > 0 && sum.is_none_or(|sum| sum > MAX_EXACT) {
            return Err(Refusal::TooMany { sku: sku.clone(), available, reserved, more });
        }
        Ok(())
    }
}

/// The counters of the skus of some lines, in the same order.
pub(super) struct Shelves(pub(super) Vec<Shelf>);

impl Shelves {
    /// Reads the counters of each line.
    ///
    /// # Errors
    ///
    /// `WRONGTYPE` if one is not an integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let mut shelves = Vec::with_capacity(lines.len());
        for line in lines {
            shelves.push(Shelf::read(keys, &line.sku)?);
        }
        Ok(Self(shelves))
    }

    /// Checks that the reserved counters can take these lines.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overflow`] if one would overflow.
    pub(super) fn check_room(&self, lines: &[Line]) -> Result<(), Refusal> {
        for (shelf, Line { sku, quantity }) in self.0.iter().zip(lines) {
            if shelf.reserved.checked_add(quantity.units()).is_none() {
                return Err(Refusal::Overflow { sku: sku.clone(), counter: "reserved" });
            }
        }
        Ok(())
    }

    /// The changes of available units when these lines are taken.
    pub(super) fn moves(&self, lines: &[Line]) -> alerts::Moves {
        let mut moves = alerts::Moves::with_capacity(lines.len());
        for (shelf, line) in self.0.iter().zip(lines) {
            moves.moved(&line.sku, &shelf.available, line.quantity.units().saturating_neg());
        }
        moves
    }
}

/// The units in one place, or in several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The available units.
    pub available: i64,
    /// The units that are held.
    pub reserved: i64,
    /// All units that are physically present: available and reserved. Negative if units were sold before they arrived.
    pub on_hand: i64,
    /// The floor.
    pub floor: i64,
    /// The units that can be reserved. Negative if available is below the floor.
    pub reservable: i64,
}

impl Units {
    /// The units of one sku on this floor.
    fn new(available: i64, reserved: i64, floor: i64) -> Self {
        Self {
            available,
            reserved,
            on_hand: available.saturating_add(reserved),
            floor,
            reservable: available.saturating_sub(floor),
        }
    }

    /// The sum with another place. As in a RESERVE, a place that has less than nothing does not reduce what the others
    /// have.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            available: self.available.saturating_add(other.available.max(0)),
            floor: self.floor.saturating_add(other.floor),
            reservable: self.reservable.saturating_add(other.reservable.max(0)),
            ..self.plus_closed(other)
        }
    }

    /// The sum with a closed place, from which nothing is taken unless it is named.
    pub(super) fn plus_closed(self, other: Self) -> Self {
        Self {
            reserved: self.reserved.saturating_add(other.reserved),
            on_hand: self.on_hand.saturating_add(other.on_hand),
            ..self
        }
    }
}

/// Whether the sku is known: it has a counter, a floor, units that are held, or a place in its product's set of
/// warehouses. Has no side effects.
pub(super) fn is_known<K: Keyspace>(keys: &mut K, sku: &Sku) -> bool {
    let has_counter = [Key::Available(sku), Key::Reserved(sku)]
        .into_iter()
        .any(|counter| keys.peek(counter) != Reading::Absent);
    has_counter
        || stored_floor(keys, sku) != Counter::Absent
        || keys.ledger(|ledger| ledger.holds.held_by_others(sku, 0)) > 0
        || places::is_named_in_set(keys, sku)
}

/// Reads both counters of a sku and its floor. Returns `None` if none of them exists.
pub(super) fn units_of<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Option<Units>, Refusal> {
    let floor = stored_floor(keys, sku);
    units_with(keys, sku, floor)
}

/// Reads both counters of a sku whose floor was read. Returns `None` if none of the three exists.
pub(super) fn units_with<K: Keyspace>(
    keys: &mut K,
    sku: &Sku,
    floor: Counter,
) -> Result<Option<Units>, Refusal> {
    let style = keys.style();
    let available = keys.read_counter(Key::Available(sku));
    let reserved = keys.read_counter(Key::Reserved(sku));
    if [&available, &reserved, &floor].into_iter().all(|found| *found == Counter::Absent) {
        return Ok(None);
    }
    let available = available.units(Key::Available(sku), style)?;
    let reserved = reserved.units(Key::Reserved(sku), style)?;
    let floor = floor.units(Key::Floor(sku), style)?;
    Ok(Some(Units::new(available, reserved, floor)))
}

/// Returns the stray units of a sku: those that do not count because its product is kept in warehouses and this sku is
/// not one of them. For every other sku this is 0.
pub fn stray<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<i64, Refusal> {
    match places::standing(keys, sku)? {
        Standing::Counts => Ok(0),
        Standing::OwnName | Standing::NoWarehouse => Ok(units_of(keys, sku)?.unwrap_or_default().on_hand),
    }
}

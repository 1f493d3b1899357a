//! What the counters of a sku say.

use super::alerts;
use super::keyspace::{Counter, Keyspace, Reading, counter_to_change};
use super::places::{self, Standing};
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::quantity::MAX_EXACT;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::Sku;

/// The counters of one sku.
pub(super) struct Shelf {
    /// The available counter, as the key holds it.
    pub(super) available: Counter,
    /// As a number.
    pub(super) units: i64,
    /// The reserved counter.
    pub(super) reserved: i64,
}

impl Shelf {
    /// Reads both counters of a sku, which are about to be changed. `WRONGTYPE` where one is no integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Self, Refusal> {
        let available = keys.counter_to_change(Key::Available(sku));
        let units = available.clone().units(Key::Available(sku), keys.style())?;
        let reserved = counter_to_change(keys, Key::Reserved(sku))?;
        Ok(Self { available, units, reserved })
    }

    /// `ERR` if `more` units are too many beside those that are available and reserved: all of them may come back. What another
    /// client has written may be beyond the bound already: it can be lowered.
    pub(super) fn check_bound(&self, sku: &Sku, more: i64) -> Result<(), Refusal> {
        let (available, reserved) = (self.units, self.reserved);
        let sum = available.checked_add(more).and_then(|sum| sum.checked_add(reserved.max(0)));
        if more > 0 && sum.is_none_or(|sum| sum > MAX_EXACT) {
            return Err(Refusal::TooMany { sku: sku.clone(), available, reserved, more });
        }
        Ok(())
    }
}

/// The counters of the skus of some lines, in their order.
pub(super) struct Shelves(pub(super) Vec<Shelf>);

impl Shelves {
    /// Reads the counters of each line. `WRONGTYPE` where one is no integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let mut shelves = Vec::with_capacity(lines.len());
        for line in lines {
            shelves.push(Shelf::read(keys, &line.sku)?);
        }
        Ok(Self(shelves))
    }

    /// `ERR` where a reserved counter would overflow.
    pub(super) fn check_room(&self, lines: &[Line]) -> Result<(), Refusal> {
        for (shelf, Line { sku, quantity }) in self.0.iter().zip(lines) {
            if shelf.reserved.checked_add(quantity.units()).is_none() {
                return Err(Refusal::Overflow { sku: sku.clone(), counter: "reserved" });
            }
        }
        Ok(())
    }

    /// How available moves when these lines are taken.
    pub(super) fn moves(&self, lines: &[Line]) -> alerts::Moves {
        let mut moves = alerts::Moves::with_capacity(lines.len());
        for (shelf, line) in self.0.iter().zip(lines) {
            moves.moved(&line.sku, &shelf.available, line.quantity.units().saturating_neg());
        }
        moves
    }
}

/// Units of one place, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// They can be reserved.
    pub available: i64,
    /// They are held.
    pub reserved: i64,
}

impl Units {
    /// Units in the house: available and reserved.
    pub fn on_hand(self) -> i64 {
        self.available.saturating_add(self.reserved)
    }

    /// The sum with another place: as for a RESERVE, available units below 0, which only other clients can leave, count
    /// as 0.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            available: self.available.saturating_add(other.available.max(0)),
            reserved: self.reserved.saturating_add(other.reserved),
        }
    }
}

/// Whether there is such a sku: a counter, units that are held, or a warehouse of that name. Looks without any effect.
pub(super) fn is_known<K: Keyspace>(keys: &mut K, sku: &Sku) -> bool {
    let has_counter = [Key::Available(sku), Key::Reserved(sku)]
        .into_iter()
        .any(|counter| keys.peek(counter) != Reading::Absent);
    has_counter
        || keys.ledger(|ledger| ledger.holds.held_by_others(sku, 0)) > 0
        || places::is_named_in_set(keys, sku)
}

/// What both counters of a sku say; `None` where there is neither.
pub(super) fn units_of<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Option<Units>, Refusal> {
    let style = keys.style();
    let available = keys.read_counter(Key::Available(sku));
    let reserved = keys.read_counter(Key::Reserved(sku));
    if available == Counter::Absent && reserved == Counter::Absent {
        return Ok(None);
    }
    let available = available.units(Key::Available(sku), style)?;
    let reserved = reserved.units(Key::Reserved(sku), style)?;
    Ok(Some(Units { available, reserved }))
}

/// Units of a sku that count for nothing: its product is kept in warehouses, and this sku is none of them. 0 elsewhere.
pub fn stray<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<i64, Refusal> {
    match places::standing(keys, sku)? {
        Standing::Counts => Ok(0),
        Standing::OwnName | Standing::NoWarehouse => Ok(units_of(keys, sku)?.unwrap_or_default().on_hand()),
    }
}

//! `INV.FLOOR`: how many units of a sku are never promised, or how many may be promised before they arrive.

use super::alerts::Moves;
use super::bounds::stored_floor;
use super::change::Change;
use super::effects::Effect;
use super::keyspace::{Counter, Keyspace};
use super::places::{Standing, name_places, require_supply, standing};
use super::sweep;
use crate::inventory::key::Key;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::Sku;

/// Sets the floor of a sku: RESERVE leaves so many units available. 0 deletes it.
///
/// # Errors
///
/// `WRONGTYPE` if the key is not an integer, and `ERR` if the product is kept in other places.
pub fn set_floor<K: Keyspace>(keys: &mut K, sku: &Sku, units: i64) -> Result<(), Refusal> {
    sweep::catch_up(keys);
    let found = stored_floor(keys, sku);
    let before = found.clone().units(Key::Floor(sku), keys.style())?;
    match standing(keys, sku)? {
        Standing::Counts => {}
        Standing::OwnName => return Err(name_places(keys, sku)),
        Standing::NoWarehouse => return require_supply(keys, sku),
    }
    let wanted = if units == 0 { Counter::Absent } else { Counter::Units(units) };
    if found != wanted {
        // After this point nothing may fail.
        let effects = vec![Effect::Floor { sku: sku.clone(), units }];
        let available = Counter::from(keys.peek(Key::Available(sku)));
        let is_new = found == Counter::Absent && available == Counter::Absent;
        let moves = if is_new { Moves::default() } else { Moves::of_floor(sku, available, before, units) };
        Change { moves, ..Change::of(effects) }.carry_out(keys);
    }
    Ok(())
}

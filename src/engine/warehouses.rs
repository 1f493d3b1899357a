//! `INV.WAREHOUSES` and `INV.TRANSFER`: products that are kept in several places.
//!
//! **Invariant:** the sorted set alone says where a product is kept. It is read for every command, and nothing in
//! memory can contradict it. If a product has a set, its own counters do not count. So a set is created only if they
//! are 0 and there is no floor, and the same step deletes them.

use std::collections::HashMap;

use super::bounds::stored_floor;
use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::feed::Note;
use super::keyspace::{Counter, Keyspace, Ranking, Reading};
use super::places::{MOST, list_warehouses, places, require_place};
use super::shelves::{Shelf, is_known};
use super::{alerts, feed, once, sweep};
use crate::inventory::key::Key;
use crate::inventory::once::{Answer, Once};
use crate::inventory::priority::Priority;
use crate::inventory::quantity::Quantity;
use crate::inventory::refusal::{Objections, Rank, Refusal, Shortage, both, put_off};
use crate::inventory::sku::{Product, Sku, Warehouse};

/// Adds these warehouses to a product, changes their priorities, or closes them. Each warehouse may occur once in `wanted`; the
/// product's other warehouses stay.
///
/// # Errors
///
/// `ERR` if the product has stock or a floor under its own name, or would have more than [`MOST`] warehouses.
pub fn set<K: Keyspace>(
    keys: &mut K,
    product: &Product,
    wanted: &[(Warehouse, Priority)],
) -> Result<(), Refusal> {
    sweep::catch_up(keys);
    let mut objections = Objections::default();
    let own = Sku::from(product);
    let read = both(places(keys, product.as_str()), Shelf::read(keys, &own));
    let (places, Shelf { available, units, reserved, floor }) = read?;
    if units != 0 || reserved != 0 {
        objections.add(Refusal::impossible(format!(
            "{product} has {units} available and {reserved} reserved units under its own name: both must be 0 before it \
             is kept in warehouses"
        )));
    }
    if floor != 0 {
        objections.add(Refusal::impossible(format!(
            "{product} has the floor {floor} under its own name: delete it with INV.FLOOR {product} 0 before it is kept in \
             warehouses"
        )));
    }
    let is_known = places.is_some() || available != Counter::Absent;
    let places: HashMap<Sku, f64> =
        places.into_iter().flatten().map(|place| (place.sku, place.priority)).collect();
    let (mut effects, mut moves, mut added) = (Vec::new(), alerts::Moves::default(), 0_usize);
    for (warehouse, priority) in wanted {
        let place = Sku::at(product.as_str(), warehouse);
        let known = places.get(&place).copied();
        added = added.saturating_add(usize::from(known.is_none()));
        let was_open = known.is_some_and(|score| !Priority::is_closed(score));
        let opens = *priority != Priority::Closed;
        // A warehouse that is opened or closed counts, or does not count any more, for the alerts of the product. A product
        // that did not exist was not out of stock before.
        if (known.is_none() || was_open != opens)
            && let Some(shelf) = objections.check(Shelf::read(keys, &place))
            && is_known
        {
            match (was_open, opens) {
                (false, true) => moves.joined(&place, shelf.units, shelf.reservable()),
                (true, false) => moves.left(&place, shelf.units, shelf.reservable()),
                (true, true) | (false, false) => {}
            }
        }
        if known != Some(priority.score()) {
            effects.push(Effect::Rank { place, priority: *priority });
        }
    }
    // Members that are not valid names count as well, because they fill the set.
    if let Ranking::TooMany(count) =
        keys.ranking(Key::Warehouses(product.as_str()), MOST.saturating_sub(added))
    {
        let count = count.saturating_add(added);
        objections.add(Refusal::impossible(format!(
            "{product} would have {count} warehouses, but at most {MOST} are allowed"
        )));
    }
    objections.unless_any(())?;
    effects.extend(clear(keys, own));
    if !effects.is_empty() {
        // After this point nothing may fail.
        Change { moves, ..Change::of(effects) }.carry_out(keys);
    }
    Ok(())
}

/// Removes a warehouse from a product, with its floor. Without its last warehouse, the product is kept under its own name again.
///
/// # Errors
///
/// `ERR` if the product does not have the warehouse, which is most likely a typing error, or if the warehouse has
/// units.
pub fn remove<K: Keyspace>(keys: &mut K, product: &Product, warehouse: &Warehouse) -> Result<(), Refusal> {
    sweep::catch_up(keys);
    let place = Sku::at(product.as_str(), warehouse);
    let (places, shelf) = both(places(keys, product.as_str()), Shelf::read(keys, &place))?;
    let (places, Shelf { units, reserved, .. }) = (places.unwrap_or_default(), &shelf);
    if places.iter().all(|known| known.sku != place) {
        let has = match places.as_slice() {
            [] => "it is not kept in warehouses".to_owned(),
            some => format!("it has {}", list_warehouses(some)),
        };
        return Err(Refusal::impossible(format!("{product} has no warehouse {warehouse}: {has}")));
    }
    if *units != 0 || *reserved != 0 {
        return Err(Refusal::impossible(format!(
            "{place} has {units} available and {reserved} reserved units: only an empty warehouse can be removed"
        )));
    }
    let mut effects = vec![Effect::Unrank { place: place.clone() }];
    if stored_floor(keys, &place) != Counter::Absent {
        effects.push(Effect::Floor { sku: place.clone(), units: 0 });
    }
    let mut moves = alerts::Moves::default();
    moves.left(&place, shelf.units, shelf.reservable());
    effects.extend(clear(keys, place));
    // After this point nothing may fail.
    Change { moves, ..Change::of(effects) }.carry_out(keys);
    Ok(())
}

/// The effect that deletes the counters of a sku, or `None` if there are none.
fn clear<K: Keyspace>(keys: &mut K, sku: Sku) -> Option<Effect> {
    let is_there = [Key::Available(&sku), Key::Reserved(&sku)].map(|key| keys.peek(key) != Reading::Absent);
    is_there.contains(&true).then_some(Effect::Clear { sku })
}

/// A request to move units from one warehouse to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferRequest {
    /// The product.
    pub product: Product,
    /// The source.
    pub from: Warehouse,
    /// The destination.
    pub to: Warehouse,
    /// The number of units.
    pub quantity: Quantity,
    /// The client's token.
    pub once: Option<Once>,
    /// A note for the feed.
    pub note: Option<Note>,
}

/// Moves available units from one warehouse of a product to another, all or nothing.
///
/// # Errors
///
/// `INSUFFICIENT` if the source does not have enough units, and `ERR` if one of the two is not a warehouse of the
/// product.
pub fn transfer<K: Keyspace>(keys: &mut K, request: &TransferRequest) -> Result<(), Refusal> {
    let TransferRequest { product, from, to, quantity, once, note } = request;
    feed::check_note(keys, note.as_ref())?;
    if from == to {
        return Err(Refusal::invalid(format!(
            "{from} is both the source and the destination: name two different warehouses"
        )));
    }
    sweep::catch_up(keys);
    let places = put_off(Rank::Foreign, places(keys, product.as_str()));
    let (from, to) = (Sku::at(product.as_str(), from), Sku::at(product.as_str(), to));
    let shelves = both(Shelf::read(keys, &from), Shelf::read(keys, &to));
    let seen = once::look_up(keys, once.as_ref());
    let ((places, (left, right)), seen) = both(both(places, shelves), seen)?;
    match seen {
        once::Seen::New => {}
        once::Seen::Answered(Answer::Ok) => return Ok(()),
        once::Seen::Answered(other @ (Answer::Number(_) | Answer::Reserved(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::Other(asked) => return Err(Refusal::OtherOnce { asked }),
    }
    let places = places?;
    let mut objections = Objections::default();
    objections.check(require_place(keys.style(), places.as_deref(), &from));
    objections.check(require_place(keys.style(), places.as_deref(), &to));
    let units = quantity.units();
    if left.units < units {
        let is_known = is_known(keys, &from);
        if places.is_none() && !is_known {
            objections.add(Refusal::impossible(format!(
                "{product} is not kept in warehouses: add them with INV.WAREHOUSES {product} SET warehouse priority"
            )));
        }
        objections.add(Refusal::Insufficient(vec![Shortage {
            sku: from.clone(),
            requested: units,
            available: left.units,
            is_known,
        }]));
    }
    objections.check(right.check_bound(&to, units));
    objections.unless_any(())?;
    // After this point nothing may fail.
    let moved = |sku: &Sku, available| Effect::Units { sku: sku.clone(), available, reserved: 0 };
    let mut effects = vec![moved(&from, units.saturating_neg()), moved(&to, units)];
    effects.extend(once::remember(keys, once.as_ref(), &Answer::Ok));
    // The product's total stays the same, unless another client has set a counter below 0.
    let mut moves = alerts::Moves::default();
    moves.moved(&from, &left.available, units.saturating_neg());
    moves.moved(&to, &right.available, units);
    Change {
        writes: Writes::Effects(effects),
        cause: Cause::Units(
            feed::Event::Transferred,
            vec![(&from, units.saturating_neg()), (&to, units)],
            note.as_ref(),
        ),
        moves,
        tally: None,
    }
    .carry_out(keys);
    Ok(())
}

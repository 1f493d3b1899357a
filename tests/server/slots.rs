//! The slots of a cluster. The tests of the inv command, which do not link the module, have a file of their own in this place.

use redis_inventory::inventory::cluster_slot::Slot;

/// The number of the slot of an id.
pub fn slot_of(id: &str) -> u16 {
    Slot::of(id).number()
}

//! The slots of a cluster.

/// The number of the slot of an id.
pub fn slot_of(id: &str) -> u16 {
    u16::try_from(redis_inventory_cli::server::slot::of(id)).expect("a slot")
}

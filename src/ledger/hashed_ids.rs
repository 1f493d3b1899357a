//! Sets of ids of which only hashes are kept, for millions of ids of which few are asked for.

use hashbrown::{DefaultHashBuilder, HashTable};

use super::slab::{Hash, SHARDS};
use crate::inventory::sku::ReservationId;

/// A set of ids that may seem to have others as well. It takes 6 to 12 bytes for each id, and when it grows, it never
/// moves all its contents at once.
#[derive(Debug, Default)]
pub struct HashedIds {
    hasher: DefaultHashBuilder,
    shards: Vec<HashTable<Hash>>,
}

impl HashedIds {
    /// Enters an id.
    pub fn enter(&mut self, id: &ReservationId) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let hash = Hash::of(&self.hasher, id.as_str());
        if let Some(shard) = self.shards.get_mut(hash.shard()) {
            shard.entry(hash.spread(), |entry| *entry == hash, |entry| entry.spread()).or_insert(hash);
        }
    }

    /// Whether the id, or another with the same hash, was entered. Of a thousand other ids, about one seems to be among
    /// four million.
    pub fn may_have(&self, id: &ReservationId) -> bool {
        let hash = Hash::of(&self.hasher, id.as_str());
        let shard = self.shards.get(hash.shard());
        shard.is_some_and(|shard| shard.find(hash.spread(), |entry| *entry == hash).is_some())
    }

    /// Forgets a part of the set and gives back its memory. Returns whether there was any.
    pub fn free_some(&mut self) -> bool {
        self.shards.pop().is_some()
    }
}

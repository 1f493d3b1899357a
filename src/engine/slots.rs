//! Numbered places, and numbers by name, for millions of things on a thread that must not stop: neither ever moves all
//! that it holds at once when it grows.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The number of a place.
pub type Slot = u32;

/// So many places are made at once.
const CHUNK: usize = 1024;

/// Values in numbered places. A number is given away again when its value was taken out.
#[derive(Debug)]
pub struct Slots<T> {
    chunks: Vec<Box<[Option<T>]>>,
    free: Vec<Slot>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts a value into a free place; `None` where four billion are taken.
    pub fn put(&mut self, value: T) -> Option<Slot> {
        if self.free.is_empty() {
            let first = self.chunks.len().saturating_mul(CHUNK);
            let last = Slot::try_from(first.saturating_add(CHUNK).saturating_sub(1)).ok()?;
            self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
            // The lowest comes first.
            self.free.extend((Slot::try_from(first).ok()?..=last).rev());
        }
        let slot = self.free.pop()?;
        *self.place(slot)? = Some(value);
        Some(slot)
    }

    /// Takes the value of a place out.
    pub fn take(&mut self, slot: Slot) -> Option<T> {
        let value = self.place(slot)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    /// The value of a place.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        let (chunk, at) = address(slot);
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    /// The value of a place, to change it.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    /// The first value at this place or behind it, with its place.
    pub fn from(&self, slot: Slot) -> Option<(Slot, &T)> {
        let (chunk, at) = address(slot);
        let chunks = self.chunks.iter().enumerate().skip(chunk);
        let mut places = chunks.flat_map(|(chunk, places)| {
            places
                .iter()
                .enumerate()
                .map(move |(at, value)| (chunk.saturating_mul(CHUNK).saturating_add(at), value))
        });
        places.by_ref().skip(at).find_map(|(slot, value)| Some((Slot::try_from(slot).ok()?, value.as_ref()?)))
    }

    /// Bytes that the places take, used or not.
    pub fn bytes(&self) -> usize {
        let places = self.chunks.len().saturating_mul(CHUNK).saturating_mul(size_of::<Option<T>>());
        places.saturating_add(self.free.capacity().saturating_mul(size_of::<Slot>()))
    }

    fn place(&mut self, slot: Slot) -> Option<&mut Option<T>> {
        let (chunk, at) = address(slot);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }
}

/// The chunk of a place, and the place in it.
fn address(slot: Slot) -> (usize, usize) {
    let slot = slot as usize;
    (slot.div_euclid(CHUNK), slot.rem_euclid(CHUNK))
}

/// So many tables share the names, each growing by itself: of a million names one moves four thousand.
const SHARDS: usize = 256;

/// The numbers of places by the names of what is there. The names are not kept: the places have them.
#[derive(Debug, Default)]
pub struct Names {
    hasher: DefaultHashBuilder,
    shards: Vec<HashTable<Slot>>,
    count: usize,
}

impl Names {
    /// The place of the thing of this name; `name_of` tells the name of what is at a place.
    pub fn find<'a>(&self, name: &str, name_of: impl Fn(Slot) -> &'a str) -> Option<Slot> {
        let hash = self.hasher.hash_one(name);
        self.shards.get(shard_of(hash))?.find(hash, |slot| name_of(*slot) == name).copied()
    }

    /// Notes the place of a thing whose name is not there yet.
    pub fn enter<'a>(&mut self, name: &str, slot: Slot, name_of: impl Fn(Slot) -> &'a str) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let hasher = &self.hasher;
        let hash = hasher.hash_one(name);
        if let Some(shard) = self.shards.get_mut(shard_of(hash)) {
            shard.insert_unique(hash, slot, |slot| hasher.hash_one(name_of(*slot)));
            self.count = self.count.saturating_add(1);
        }
    }

    /// Forgets the place of the thing of this name, and tells it.
    pub fn leave<'a>(&mut self, name: &str, name_of: impl Fn(Slot) -> &'a str) -> Option<Slot> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.get_mut(shard_of(hash))?;
        let (slot, _) = shard.find_entry(hash, |slot| name_of(*slot) == name).ok()?.remove();
        self.count = self.count.saturating_sub(1);
        Some(slot)
    }

    /// How many names there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes that it takes, about: of each place in a table a number and a mark.
    pub fn bytes(&self) -> usize {
        let places = self.shards.iter().map(HashTable::capacity).fold(0, usize::saturating_add);
        places.saturating_mul(size_of::<Slot>().saturating_add(1)).saturating_mul(8).div_ceil(7)
    }
}

/// A table looks at both ends of a hash itself: the middle is for the choice of the table.
fn shard_of(hash: u64) -> usize {
    usize::from(hash.to_le_bytes()[4])
}

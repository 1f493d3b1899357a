//! Numbered storage, and an index of numbers by name, for millions of entries on a thread that must not pause. When
//! they grow, they never move all their contents at once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// The number of a place.
pub type Number = u32;

/// The number of places that are allocated at once.
const CHUNK: usize = 1024;

/// Values in numbered places. After a value is removed, its number is reused.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Box<[Option<T>]>>,
    free: Vec<Number>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a value into a free place and returns its number. Returns `None` if four billion places are in use.
    pub fn put(&mut self, value: T) -> Option<Number> {
        if self.free.is_empty() {
            let first = self.chunks.len().saturating_mul(CHUNK);
            let last = Number::try_from(first.saturating_add(CHUNK).saturating_sub(1)).ok()?;
            self.chunks.push(std::iter::repeat_with(|| None).take(CHUNK).collect());
            // The lowest number is used first.
            self.free.extend((Number::try_from(first).ok()?..=last).rev());
        }
        let number = self.free.pop()?;
        *self.place(number)? = Some(value);
        Some(number)
    }

    /// Removes and returns the value of a place.
    pub fn take(&mut self, number: Number) -> Option<T> {
        let value = self.place(number)?.take()?;
        self.free.push(number);
        Some(value)
    }

    /// The value of a place.
    pub fn get(&self, number: Number) -> Option<&T> {
        let (chunk, at) = address(number);
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }

    /// The value of a place, to change it.
    pub fn get_mut(&mut self, number: Number) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    /// The first value whose place is `number` or higher, with its place.
    pub fn from(&self, number: Number) -> Option<(Number, &T)> {
        let (chunk, at) = address(number);
        let chunks = self.chunks.iter().enumerate().skip(chunk);
        let mut places = chunks.flat_map(|(chunk, places)| {
            places
                .iter()
                .enumerate()
                .map(move |(at, value)| (chunk.saturating_mul(CHUNK).saturating_add(at), value))
        });
        places
            .by_ref()
            .skip(at)
            .find_map(|(number, value)| Some((Number::try_from(number).ok()?, value.as_ref()?)))
    }

    /// Gives back the memory of some places with their values. Returns whether there were any.
    pub fn free_chunk(&mut self) -> bool {
        self.free.clear();
        self.chunks.pop().is_some()
    }

    /// The bytes that the places take, used or not.
    pub fn bytes(&self) -> usize {
        let places = self.chunks.len().saturating_mul(CHUNK).saturating_mul(size_of::<Option<T>>());
        places.saturating_add(self.free.capacity().saturating_mul(size_of::<Number>()))
    }

    fn place(&mut self, number: Number) -> Option<&mut Option<T>> {
        let (chunk, at) = address(number);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }
}

/// The chunk of a place, and the index within the chunk.
fn address(number: Number) -> (usize, usize) {
    let number = number as usize;
    (number.div_euclid(CHUNK), number.rem_euclid(CHUNK))
}

/// The number of tables that share the names. Each grows on its own: with a million names, one moves about four
/// thousand.
pub(super) const SHARDS: usize = 256;

/// Places by name. The names themselves are stored only in the places.
#[derive(Debug, Default)]
pub struct Names {
    hasher: DefaultHashBuilder,
    shards: Vec<HashTable<Entry>>,
    count: usize,
}

/// A place, and the hash of its name. With the hash, a growing table need not read the names again, which would cost
/// two cache misses for each.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: Number,
    hash: Hash,
}

/// The part of a name's hash that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash(u32);

impl Hash {
    /// The hash of a name.
    pub(super) fn of(hasher: &DefaultHashBuilder, name: &str) -> Self {
        let bytes = hasher.hash_one(name).to_le_bytes();
        Self(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// Derives all 64 bits from the bits that are kept (Fibonacci hashing).
    pub(super) fn spread(self) -> u64 {
        u64::from(self.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// The table itself uses both ends of a hash, so a byte from the middle chooses the table.
    pub(super) fn shard(self) -> usize {
        usize::from(self.spread().to_le_bytes()[4])
    }
}

impl Names {
    /// The place with this name. `name_of` returns the name of a place.
    pub fn find<'a>(&self, name: &str, name_of: impl Fn(Number) -> &'a [u8]) -> Option<Number> {
        let hash = Hash::of(&self.hasher, name);
        let same = |entry: &Entry| entry.hash == hash && name_of(entry.number) == name.as_bytes();
        self.shards.get(hash.shard())?.find(hash.spread(), same).map(|entry| entry.number)
    }

    /// Adds a place whose name is not in the index yet.
    pub fn enter(&mut self, name: &str, number: Number) {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let hash = Hash::of(&self.hasher, name);
        if let Some(shard) = self.shards.get_mut(hash.shard()) {
            shard.insert_unique(hash.spread(), Entry { number, hash }, |entry| entry.hash.spread());
            self.count = self.count.saturating_add(1);
        }
    }

    /// Removes the place with this name, and returns it.
    pub fn leave<'a>(&mut self, name: &str, name_of: impl Fn(Number) -> &'a [u8]) -> Option<Number> {
        let hash = Hash::of(&self.hasher, name);
        let same = |entry: &Entry| entry.hash == hash && name_of(entry.number) == name.as_bytes();
        let shard = self.shards.get_mut(hash.shard())?;
        let (entry, _) = shard.find_entry(hash.spread(), same).ok()?.remove();
        self.count = self.count.saturating_sub(1);
        Some(entry.number)
    }

    /// Gives back the memory of one table. Returns whether there was one.
    pub fn free_shard(&mut self) -> bool {
        self.shards.pop().is_some()
    }

    /// The number of names.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The approximate size in bytes: an entry and a control byte for each slot of the tables.
    pub fn bytes(&self) -> usize {
        let places = self.shards.iter().map(HashTable::capacity).fold(0, usize::saturating_add);
        places.saturating_mul(size_of::<Entry>().saturating_add(1)).saturating_mul(8).div_ceil(7)
    }
}

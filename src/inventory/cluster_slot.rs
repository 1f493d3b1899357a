//! Cluster slots: which slot a key belongs to, and which slots a node serves.

use std::collections::BTreeMap;

use crc::{CRC_16_XMODEM, Crc};

/// The number of slots in a cluster.
const COUNT: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key or of an id. In tagged style all keys of an id are in the slot of the id itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Returns the slot of a key name or id. The formula is that of the Redis Cluster specification: CRC16 of the hash
    /// tag, modulo 16384.
    pub fn of(name: &str) -> Self {
        Self(CRC.checksum(tag(name).as_bytes()) & COUNT.saturating_sub(1))
    }

    /// The number of the slot, 0 to 16383.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl From<u16> for Slot {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

/// Returns the part of a name that decides its slot: the text in its first pair of braces, or the whole name if there
/// is no such text.
pub fn tag(name: &str) -> &str {
    let inside = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    inside.filter(|tag| !tag.is_empty()).unwrap_or(name)
}

/// What one node knows about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// The node serves the slot and has all of its keys. A server without cluster mode has every slot in this state.
    Stable,
    /// The node serves the slot, which is leaving key by key. Some keys may already be gone.
    Migrating,
    /// Another node serves the slot, which is arriving key by key. Some keys may not have arrived yet.
    Importing,
    /// Another node serves the slot. Keys of it that are here belong to a migration of the whole slot, or were left
    /// behind.
    Elsewhere,
    /// No node serves the slot (`CLUSTER DELSLOTS`). Commands on it fail, and its keys stay on this node.
    Unassigned,
}

/// The slots of one node, those that are moving to or from it, and those of all other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSlots {
    /// The ranges that this node serves, bounds included. `None` if the node's own line was missing from the reply.
    ranges: Option<Vec<(u16, u16)>>,
    /// The ranges that all other nodes serve.
    of_others: Vec<(u16, u16)>,
    moving: BTreeMap<Slot, SlotState>,
}

impl OwnSlots {
    /// Reads the reply of a node to `CLUSTER NODES`.
    ///
    /// Each line describes one node: id, address, flags, master, ping, pong, epoch and link, followed by its slots. A
    /// slot that is moving is written as `[93->-id]` or `[77-<-id]`.
    pub fn parse(nodes: &str) -> Self {
        let (mut ranges, mut of_others, mut moving) = (None, Vec::new(), BTreeMap::new());
        for line in nodes.lines() {
            let is_own =
                line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"));
            let slots = if is_own { ranges.get_or_insert_with(Vec::new) } else { &mut of_others };
            for word in line.split(' ').skip(8) {
                match on_its_way(word) {
                    Some((slot, way)) => {
                        moving.insert(slot, way);
                    }
                    None => slots.extend(range(word)),
                }
            }
        }
        Self { ranges, of_others, moving }
    }

    /// Returns the state of a slot on this node. Returns `None` if the reply did not describe the node, for example
    /// because the CLUSTER command was renamed.
    pub fn state(&self, slot: Slot) -> Option<SlotState> {
        let ranges = self.ranges.as_ref()?;
        let is_in = |ranges: &[(u16, u16)]| ranges.iter().any(|(from, to)| (*from..=*to).contains(&slot.0));
        Some(match self.moving.get(&slot) {
            Some(way) => *way,
            None if is_in(ranges) => SlotState::Stable,
            None if is_in(&self.of_others) => SlotState::Elsewhere,
            None => SlotState::Unassigned,
        })
    }
}

fn on_its_way(word: &str) -> Option<(Slot, SlotState)> {
    let inside = word.strip_prefix('[')?;
    let (slot, way) = match (inside.split_once("->-"), inside.split_once("-<-")) {
        (Some((slot, _)), _) => (slot, SlotState::Migrating),
        (None, Some((slot, _))) => (slot, SlotState::Importing),
        (None, None) => return None,
    };
    Some((Slot(slot.parse().ok()?), way))
}

fn range(word: &str) -> Option<(u16, u16)> {
    let (from, to) = word.split_once('-').unwrap_or((word, word));
    Some((from.parse().ok()?, to.parse().ok()?))
}

//! The slots of a cluster: each key is in one of them, and each of them on one master.

use crc::{CRC_16_XMODEM, Crc};

/// How many there are.
const COUNT: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key, or of an id: in tagged style all keys of an id are in the slot of the id itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a key name or id (the cluster specification: CRC16 of the tag, modulo 16384).
    pub fn of(name: &str) -> Self {
        Self(CRC.checksum(tag(name).as_bytes()) & COUNT.saturating_sub(1))
    }

    /// Its number.
    pub fn number(self) -> u16 {
        self.0
    }
}

impl From<u16> for Slot {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

/// What decides the slot of a name: what stands in its first braces, or all of it where they are empty or not there.
pub fn tag(name: &str) -> &str {
    let inside = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    inside.filter(|tag| !tag.is_empty()).unwrap_or(name)
}

/// How a slot stands with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// The node has it, and all of it; so has one server that is no cluster.
    Stable,
    /// The node has it, and it leaves key by key: some keys may be gone already.
    Migrating,
    /// Another node has it, and it comes key by key: some keys may not be here yet.
    Importing,
    /// Another node has it. What keys of it are here are on their way in, all at once, or left behind.
    Elsewhere,
}

impl SlotState {
    /// How a slot stands with the master that has answered `CLUSTER NODES` so (one node a line: id, address, flags, master,
    /// ping, pong, epoch, link, then its slots, and those on their way as `[93->-id]` or `[77-<-id]`).
    pub fn by_nodes(nodes: &str, slot: Slot) -> Self {
        let mut state = Self::Elsewhere;
        for word in own_slots(nodes) {
            match (on_its_way(word), range(word)) {
                (Some((moving, way)), _) if moving == slot => return way,
                (None, Some((from, to))) if (from..=to).contains(&slot.0) => state = Self::Stable,
                _ => {}
            }
        }
        state
    }
}

/// The words of the node's own line that tell of slots.
fn own_slots(nodes: &str) -> impl Iterator<Item = &str> {
    let is_own = |line: &&str| {
        line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"))
    };
    nodes.lines().find(is_own).into_iter().flat_map(|line| line.split(' ').skip(8))
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

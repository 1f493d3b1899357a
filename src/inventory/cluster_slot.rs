//! The slots of a cluster: each key is in one of them, and each of them on one master.

use std::collections::BTreeMap;

use crc::{CRC_16_XMODEM, Crc};

/// How many there are.
const COUNT: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of a key, or of an id: in tagged style all keys of an id are in the slot of the id itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// No node has it (`CLUSTER DELSLOTS`): nobody is served, and what keys of it are here stay here.
    Unassigned,
}

/// The slots of a master, those that are on their way to it or from it, and those of others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSlots {
    /// None where the node has not told.
    ranges: Option<Vec<(u16, u16)>>,
    /// Those of all other nodes.
    of_others: Vec<(u16, u16)>,
    moving: BTreeMap<Slot, SlotState>,
}

impl OwnSlots {
    /// Of the node that has answered `CLUSTER NODES` so (one node a line: id, address, flags, master, ping, pong, epoch, link,
    /// then its slots, and those on their way as `[93->-id]` or `[77-<-id]`).
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

    /// How a slot stands with the node; `None` where it has not told, as where CLUSTER has another name.
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

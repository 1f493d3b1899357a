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

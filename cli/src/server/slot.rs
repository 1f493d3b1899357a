//! The cluster slot of an id.

use crc::{CRC_16_XMODEM, Crc};

/// The number of slots in a cluster.
pub const COUNT: usize = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot of an id, from its first pair of braces, or from all of it if there is no text in braces. In a cluster, all keys of an
/// id are in this slot.
pub fn of(id: &str) -> usize {
    let inside = id.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let tag = inside.filter(|tag| !tag.is_empty()).unwrap_or(id);
    usize::from(CRC.checksum(tag.as_bytes())) % COUNT
}

#[cfg(test)]
mod tests {
    use super::of;

    /// The values are those of CLUSTER KEYSLOT.
    #[test]
    fn a_slot_is_that_of_the_tag_or_of_the_whole_id() {
        assert_eq!(of("foo"), 12_182);
        assert_eq!(of("{foo}:bar"), 12_182);
        assert_eq!(of("{foo}@A"), 12_182);
        assert_eq!(of("{}foo"), of("{}foo"));
        assert_ne!(of("foo@A"), 12_182);
    }
}

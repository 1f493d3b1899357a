//! The id of a reservation as the index keeps it.

/// The longest text that is kept in place. With it, the entry of a reservation fills one line of the processor's cache.
/// A UUID has 36 bytes.
const LONGEST: usize = 38;

/// A text that takes no memory of its own if it is as short as most ids are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompactId {
    /// The length, and the text followed by zeros.
    Short(u8, [u8; LONGEST]),
    /// Longer than [`LONGEST`].
    Long(Box<str>),
}

impl CompactId {
    /// The bytes of the text.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, text) => text.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(text) => text.as_bytes(),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // It was made from a text, so it is one.
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The bytes that it takes outside itself.
    pub const fn outside(&self) -> usize {
        match self {
            Self::Short(..) => 0,
            Self::Long(text) => text.len(),
        }
    }
}

impl From<&str> for CompactId {
    fn from(id: &str) -> Self {
        let mut text = [0; LONGEST];
        match (u8::try_from(id.len()), text.get_mut(..id.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(id.as_bytes());
                Self::Short(length, text)
            }
            _ => Self::Long(id.into()),
        }
    }
}

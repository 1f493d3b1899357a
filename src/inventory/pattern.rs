//! The patterns of `MATCH`, which select ids as the server's SCAN selects key names.

use super::sku::InvalidText;

/// The maximum length of a pattern, in bytes.
const MOST_BYTES: usize = 512;

/// A glob pattern. `*` matches any text, `?` one byte, `[a-z]` one byte of these, `[^a-z]` one byte except these, and `\`
/// takes away the meaning of the character after it.
///
/// ```
/// use redis_inventory::inventory::pattern::Pattern;
///
/// let pattern = Pattern::parse(b"SHOE-4[2-4]*").unwrap();
/// assert!(pattern.matches("SHOE-43-red"));
/// assert!(!pattern.matches("SHOE-45"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Any text, which may be empty.
    Any,
    /// One byte.
    One(Class),
}

/// The bytes that one place of a text may have.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Class {
    Every,
    Just(u8),
    Of { ranges: Vec<(u8, u8)>, is_negated: bool },
}

impl Class {
    fn has(&self, byte: u8) -> bool {
        match self {
            Class::Every => true,
            Class::Just(only) => byte == *only,
            Class::Of { ranges, is_negated } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&byte)) != *is_negated
            }
        }
    }
}

impl Pattern {
    /// Reads a pattern. Any text is a pattern; a class that is not closed ends with the pattern.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if it is too long.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidText> {
        if text.len() > MOST_BYTES {
            let given = text.len();
            return Err(InvalidText(format!(
                "the pattern has {given} bytes, but at most {MOST_BYTES} are allowed"
            )));
        }
        let mut parts = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let part = match first {
                // Several stars match what one does.
                b'*' if parts.last() == Some(&Part::Any) => continue,
                b'*' => Part::Any,
                b'?' => Part::One(Class::Every),
                b'[' => Part::One(class(&mut rest)),
                b'\\' => Part::One(Class::Just(take(&mut rest).unwrap_or(b'\\'))),
                other => Part::One(Class::Just(*other)),
            };
            parts.push(part);
        }
        Ok(Self { text: String::from_utf8_lossy(text).into_owned(), parts })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let (mut parts, mut text) = (self.parts.as_slice(), text.as_bytes());
        // What follows the last star, and the text that it was compared with last. A star before it needs no other try.
        let mut again: Option<(&[Part], &[u8])> = None;
        loop {
            match (parts.split_first(), text.split_first()) {
                (Some((Part::Any, behind)), _) => {
                    again = Some((behind, text));
                    parts = behind;
                }
                (Some((Part::One(class), behind)), Some((byte, rest))) if class.has(*byte) => {
                    (parts, text) = (behind, rest);
                }
                (None, None) => return true,
                _ => {
                    let Some((after_star, from)) = again else { return false };
                    let Some((_, from)) = from.split_first() else { return false };
                    again = Some((after_star, from));
                    (parts, text) = (after_star, from);
                }
            }
        }
    }

    /// The work of comparing a text with this pattern, at most, in units of about a microsecond.
    pub fn work(&self, text: &str) -> usize {
        let has_star = self.parts.contains(&Part::Any);
        // Each byte of a class may be compared, and not only each part.
        if has_star { self.text.len().saturating_mul(text.len()).div_euclid(1024) } else { 0 }
    }
}

/// Reads a class behind its `[`, up to and with its `]`.
fn class(rest: &mut &[u8]) -> Class {
    let is_negated = rest.first() == Some(&b'^');
    if is_negated {
        take(rest);
    }
    let mut ranges = Vec::new();
    while let Some(byte) = take(rest) {
        ranges.push(match (byte, *rest) {
            (b']', _) => break,
            (b'\\', [_, ..]) => {
                let byte = take(rest).unwrap_or(byte);
                (byte, byte)
            }
            (from, [b'-', to, ..]) => {
                let to = *to;
                take(rest);
                take(rest);
                (from.min(to), from.max(to))
            }
            _ => (byte, byte),
        });
    }
    Class::Of { ranges, is_negated }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

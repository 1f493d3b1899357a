//! A search in texts.

/// The number of bytes that are examined one by one. Most texts are not longer.
const SHORT: usize = 64;

/// The number of bytes that are examined together.
const BLOCK: usize = 16;

/// The position of the first byte for which `is_it` is true.
#[inline]
pub(super) fn position(bytes: &[u8], is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let short = bytes.get(..SHORT).unwrap_or(bytes);
    match short.iter().position(|byte| is_it(*byte)) {
        None if bytes.len() > SHORT => position_behind(bytes, is_it),
        found => found,
    }
}

/// The same if none of the first bytes is one.
#[cold]
#[inline(never)]
fn position_behind(bytes: &[u8], is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let (blocks, _) = bytes.get(SHORT..)?.as_chunks::<BLOCK>();
    // Without an early exit, the compiler examines the bytes of a block together.
    let has_it = |block: &[u8; BLOCK]| block.iter().fold(false, |found, byte| found | is_it(*byte));
    let clean = blocks.iter().take_while(|block| !has_it(block)).count();
    let before = clean.saturating_mul(BLOCK).saturating_add(SHORT);
    bytes.get(before..)?.iter().position(|byte| is_it(*byte))?.checked_add(before)
}

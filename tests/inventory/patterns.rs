//! The patterns of MATCH.

use redis_inventory::inventory::pattern::Pattern;

#[test]
fn a_pattern_keeps_its_text_as_it_was_written() {
    for text in ["**a?", "[^a-c]x", "a\\*", ""] {
        assert_eq!(
            Pattern::parse(text.as_bytes()).map(|pattern| pattern.as_str().to_owned()),
            Ok(text.to_owned())
        );
    }
}

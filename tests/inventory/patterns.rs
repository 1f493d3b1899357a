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

#[test]
fn the_work_counts_each_byte_of_a_class() {
    let id = "x".repeat(256);
    let work = |pattern: &str| Pattern::parse(pattern.as_bytes()).unwrap().work(&id);
    let class = format!("*[{}]", "!".repeat(500));
    assert_eq!(work("?[!]"), 0, "without a star a text is compared once");
    assert!(work(&class) >= 120, "{}", work(&class));
}

//! What `make fuzz` runs, run once here on each of its seeds, without libFuzzer.
//!
//! A crash that it finds is kept as one more seed, named by what it showed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a panic ends a test, not a server"
)]

#[allow(dead_code, reason = "its shopper is not asked here")]
#[path = "../engine/calls.rs"]
mod calls;
#[allow(dead_code, reason = "the shopper's")]
#[path = "../common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "its clusters are not played here")]
#[path = "../engine/simulation.rs"]
mod simulation;

mod arguments;
mod commands;
mod stored_json;
mod words;

use std::fs;
use std::path::Path;

/// Runs `check` on every seed of a target.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        // Shown where it fails.
        println!("{}", path.display());
        check(&fs::read(&path).unwrap());
        seeds += 1;
    }
    assert!(seeds > 0, "no seeds in {}", folder.display());
}

#[test]
fn nothing_that_stands_in_a_key_is_read_wrong() {
    run("stored_json", stored_json::check);
}

#[test]
fn no_arguments_are_read_wrong() {
    run("arguments", arguments::check);
}

#[test]
fn no_history_breaks_an_invariant() {
    run("commands", commands::check);
}

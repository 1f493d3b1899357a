//! Whole histories: see tests/fuzz/commands.rs.

#![no_main]

#[path = "../../tests/fuzz/commands.rs"]
mod commands;
mod lines;
#[allow(dead_code, reason = "its clusters are not played here")]
#[path = "../../tests/engine/simulation.rs"]
mod simulation;
#[path = "../../tests/fuzz/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| commands::check(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    lines::mutate(data, size, max_size, seed)
});

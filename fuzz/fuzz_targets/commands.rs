//! Fuzzes whole histories: see tests/fuzz/commands.rs.

#![no_main]

#[allow(dead_code, reason = "a line is one call of many here")]
#[path = "../../tests/engine/calls.rs"]
mod calls;
#[path = "../../tests/fuzz/commands.rs"]
mod commands;
#[allow(dead_code, reason = "nothing is set for a run, and nothing drawn by proptest")]
#[path = "../../tests/common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "lives have no end at a moment here")]
#[path = "../../tests/common/lines.rs"]
mod lines;
mod mutation;
#[allow(dead_code, reason = "its clusters are not played here")]
#[path = "../../tests/engine/simulation.rs"]
mod simulation;
#[path = "../../tests/fuzz/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| commands::check(data));

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutation::mutate(data, size, max_size, seed)
});

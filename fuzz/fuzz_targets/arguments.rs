//! Fuzzes the arguments of every command: see tests/fuzz/arguments.rs.

#![no_main]

#[path = "../../tests/fuzz/arguments.rs"]
mod arguments;
#[allow(dead_code, reason = "its settings are all that is needed")]
#[path = "../../tests/engine/simulation.rs"]
mod simulation;
#[path = "../../tests/fuzz/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|data: &[u8]| arguments::check(data));

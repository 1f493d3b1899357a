//! Fuzzes the values of keys, which any client may have written: see tests/fuzz/stored_json.rs.

#![no_main]

#[path = "../../tests/fuzz/stored_json.rs"]
mod stored_json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| stored_json::check(data));

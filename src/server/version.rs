//! The version of the module, taken from the package.

use std::ffi::{CStr, c_int};

/// The version for INFO and the log.
pub const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };

/// The version as a number for MODULE LIST: 1.2.3 is 10203.
pub const VERSION_NUMBER: c_int = number_of(env!("CARGO_PKG_VERSION_MAJOR"))
    .saturating_mul(10_000)
    .saturating_add(number_of(env!("CARGO_PKG_VERSION_MINOR")).saturating_mul(100))
    .saturating_add(number_of(env!("CARGO_PKG_VERSION_PATCH")));

/// Parses decimal digits.
const fn number_of(digits: &str) -> c_int {
    let (mut number, mut rest) = (0_i32, digits.as_bytes());
    while let [digit, behind @ ..] = rest {
        number = number.saturating_mul(10).saturating_add(digit.saturating_sub(b'0') as c_int);
        rest = behind;
    }
    number
}

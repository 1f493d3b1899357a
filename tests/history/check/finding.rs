//! What a check tells.

use std::fmt::{self, Display};

/// Something that the contract does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub what: &'static str,
    pub text: String,
}

impl Finding {
    pub fn new(what: &'static str, text: String) -> Self {
        Self { what, text }
    }
}

impl Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.text)
    }
}

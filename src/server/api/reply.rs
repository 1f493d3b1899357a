//! The pieces of a reply.

use std::ffi::{CString, c_char, c_long};

use redis_module::raw;

use super::ctx::Ctx;

impl Ctx<'_> {
    /// A map of this many fields follows.
    pub fn reply_with_map(self, fields: usize) {
        raw::reply_with_map(self.raw(), length(fields));
    }

    /// An array of this many elements follows.
    pub fn reply_with_array(self, elements: usize) {
        raw::reply_with_array(self.raw(), length(elements));
    }

    /// A string.
    pub fn reply_with_text(self, text: &str) {
        raw::reply_with_string_buffer(self.raw(), text.as_ptr().cast::<c_char>(), text.len());
    }

    /// An integer.
    pub fn reply_with_integer(self, number: i64) {
        raw::reply_with_long_long(self.raw(), number);
    }

    /// A number with a fraction.
    pub fn reply_with_double(self, number: f64) {
        raw::reply_with_double(self.raw(), number);
    }

    /// An error.
    pub fn reply_with_error(self, error: &str) {
        let error = CString::new(error).unwrap_or_default();
        raw::reply_with_error(self.raw(), error.as_ptr());
    }

    /// Nothing.
    pub fn reply_with_null(self) {
        raw::reply_with_null(self.raw());
    }
}

fn length(elements: usize) -> c_long {
    c_long::try_from(elements).unwrap_or(c_long::MAX)
}

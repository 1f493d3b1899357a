//! Writes the elements of a reply.

use std::ffi::{CString, c_char, c_long};

use redis_module::raw;

use super::ctx::Ctx;

impl Ctx<'_> {
    /// Starts a map with this many fields.
    pub fn reply_with_map(self, fields: usize) {
        raw::reply_with_map(self.raw(), length(fields));
    }

    /// Starts an array with this many elements.
    pub fn reply_with_array(self, elements: usize) {
        raw::reply_with_array(self.raw(), length(elements));
    }

    /// Writes a string.
    pub fn reply_with_text(self, text: &str) {
        raw::reply_with_string_buffer(self.raw(), text.as_ptr().cast::<c_char>(), text.len());
    }

    /// Writes an integer.
    pub fn reply_with_integer(self, number: i64) {
        raw::reply_with_long_long(self.raw(), number);
    }

    /// Writes a floating-point number.
    pub fn reply_with_double(self, number: f64) {
        raw::reply_with_double(self.raw(), number);
    }

    /// Writes an error, in which control characters are replaced: a line break would end it.
    ///
    /// The functions of the crate would send only the lowest byte of each character, and panic if that is 0.
    pub fn reply_with_error(self, error: &str) {
        let error = CString::new(error.replace(char::is_control, " ")).unwrap_or_default();
        // SAFETY: the table of functions is written once, when the module is loaded, on this thread.
        let Some(write) = (unsafe { raw::RedisModule_ReplyWithError }) else { std::process::abort() };
        // SAFETY: the context is valid, and the error ends in NUL; the server copies it.
        unsafe { write(self.raw(), error.as_ptr()) };
    }

    /// Writes `OK`.
    pub fn reply_with_ok(self) {
        raw::reply_with_simple_string(self.raw(), c"OK".as_ptr());
    }

    /// Writes a null.
    pub fn reply_with_null(self) {
        raw::reply_with_null(self.raw());
    }
}

fn length(elements: usize) -> c_long {
    c_long::try_from(elements).unwrap_or(c_long::MAX)
}

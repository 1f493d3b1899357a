//! Strings of the server.

use std::ffi::{c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;

use redis_module::raw;

/// A string of the server.
#[repr(transparent)]
pub struct Text(pub(super) NonNull<raw::RedisModuleString>);

impl Text {
    /// The digits of a number.
    pub fn number(number: i64) -> Self {
        // SAFETY: no context is needed without automatic memory.
        let string = unsafe { call!(RedisModule_CreateStringFromLongLong(ptr::null_mut(), number)) };
        match NonNull::new(string) {
            Some(string) => Self(string),
            // The server ends the process itself when memory is over.
            None => std::process::abort(),
        }
    }

    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: pointer and length are of one slice, which the server copies.
        let string = unsafe {
            call!(RedisModule_CreateString(ptr::null_mut(), bytes.as_ptr().cast::<c_char>(), bytes.len()))
        };
        match NonNull::new(string) {
            Some(string) => Self(string),
            // The server ends the process itself when memory is over.
            None => std::process::abort(),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut raw::RedisModuleString {
        self.0.as_ptr()
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: it is ours, and whoever else holds it leaves it as it is.
        unsafe { bytes_of(self.as_ptr()) }
    }
}

impl Clone for Text {
    /// The same string, held once more.
    fn clone(&self) -> Self {
        // SAFETY: the string is valid; it is released once for each that holds it.
        unsafe { call!(RedisModule_RetainString(ptr::null_mut(), self.as_ptr())) };
        Self(self.0)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: held since `new` or `clone`, without automatic memory; released here alone.
        unsafe { call!(RedisModule_FreeString(ptr::null_mut(), self.as_ptr())) }
    }
}

/// The bytes of a string that the server owns.
///
/// # Safety
/// `string` is a valid string of the server for the whole of `'a`, and nothing writes to it meanwhile.
pub(super) unsafe fn bytes_of<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller's promise.
    let start = unsafe { call!(RedisModule_StringPtrLen(string, &raw mut length)) };
    // SAFETY: the server gave pointer and length of one buffer.
    unsafe { slice_of(start, length) }
}

/// The words that a module is loaded with.
///
/// # Safety
/// `words` points at `count` valid strings of the server.
pub unsafe fn load_arguments(words: *const *mut raw::RedisModuleString, count: c_int) -> Vec<Vec<u8>> {
    let count = usize::try_from(count).unwrap_or_default();
    if words.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    let words = unsafe { slice::from_raw_parts(words, count) };
    // SAFETY: the same; they are copied.
    words.iter().map(|word| unsafe { bytes_of(*word) }.to_vec()).collect()
}

/// # Safety
/// `start` points at `length` bytes that stay as they are for the whole of `'a`, or is null.
pub(super) unsafe fn slice_of<'a>(start: *const c_char, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

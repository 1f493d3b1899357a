//! The server's strings.

use std::ffi::{c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;

use redis_module::raw;

/// A string of the server.
#[repr(transparent)]
pub struct Text(pub(super) NonNull<raw::RedisModuleString>);

impl Text {
    /// A number in decimal digits.
    pub fn number(number: i64) -> Self {
        // SAFETY: without automatic memory management, no context is needed.
        let string = unsafe { call!(RedisModule_CreateStringFromLongLong(ptr::null_mut(), number)) };
        match NonNull::new(string) {
            Some(string) => Self(string),
            // The server itself ends the process if memory runs out.
            None => std::process::abort(),
        }
    }

    /// A copy of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        // SAFETY: pointer and length belong to one slice, which the server copies.
        let string = unsafe {
            call!(RedisModule_CreateString(ptr::null_mut(), bytes.as_ptr().cast::<c_char>(), bytes.len()))
        };
        match NonNull::new(string) {
            Some(string) => Self(string),
            // The server itself ends the process if memory runs out.
            None => std::process::abort(),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut raw::RedisModuleString {
        self.0.as_ptr()
    }

    /// Whether it is the very same string, and not only an equal one.
    pub fn is(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The bytes of the string.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the module holds a reference, and other holders do not modify the string.
        unsafe { bytes_of(self.as_ptr()) }
    }
}

impl Clone for Text {
    /// Returns another reference to the same string.
    fn clone(&self) -> Self {
        // SAFETY: the string is valid; each reference is released once.
        unsafe { call!(RedisModule_RetainString(ptr::null_mut(), self.as_ptr())) };
        Self(self.0)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: the reference was taken by `new` or `clone` without automatic memory management, and is released
        // only here.
        unsafe { call!(RedisModule_FreeString(ptr::null_mut(), self.as_ptr())) }
    }
}

/// The bytes of a string that the server owns.
///
/// # Safety
/// `string` is a valid string of the server for the whole of `'a`, and nothing modifies it meanwhile.
pub(super) unsafe fn bytes_of<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: the caller guarantees it.
    let start = unsafe { call!(RedisModule_StringPtrLen(string, &raw mut length)) };
    // SAFETY: the server returned the pointer and the length of one buffer.
    unsafe { slice_of(start, length) }
}

/// The arguments with which the module is loaded.
///
/// # Safety
/// `words` points to `count` valid strings of the server.
pub unsafe fn load_arguments(words: *const *mut raw::RedisModuleString, count: c_int) -> Vec<Vec<u8>> {
    let count = usize::try_from(count).unwrap_or_default();
    if words.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller guarantees it.
    let words = unsafe { slice::from_raw_parts(words, count) };
    // SAFETY: the caller guarantees it; the bytes are copied.
    words.iter().map(|word| unsafe { bytes_of(*word) }.to_vec()).collect()
}

/// The bytes of a buffer; empty if it is null.
///
/// # Safety
/// `start` is null, or points to `length` bytes that do not change during `'a`.
pub(super) unsafe fn slice_of<'a>(start: *const c_char, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller guarantees it.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

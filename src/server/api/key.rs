//! Opens, reads and writes keys.

use std::ptr::{self, NonNull};

use redis_module::raw;

use super::ctx::Ctx;
use super::functions::OK;
use super::text::{Text, bytes_of, slice_of};

/// How a key is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Like a reading command: an expired key is deleted.
    Read,
    /// Without any effect: an expired key reads as absent and is not deleted.
    Peek,
    /// For a change. Clients that WATCH the key are told when it is closed, if it was changed.
    Write,
}

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// The key does not exist.
    Absent,
    /// A string.
    String,
    /// A sorted set.
    SortedSet,
    /// Another type: its name with an article.
    Other(&'static str),
}

/// An open key.
pub struct OpenKey<'a> {
    /// Null if the key does not exist.
    key: *mut raw::RedisModuleKey,
    /// Whether clients that WATCH the key must be told when it is closed.
    changed: bool,
    /// `None` for a key that an event lends, which must not be closed.
    ctx: Option<Ctx<'a>>,
}

impl<'a> OpenKey<'a> {
    /// A key that the server has opened and will close.
    pub(super) const fn lent(key: *mut raw::RedisModuleKey) -> Self {
        Self { key, changed: false, ctx: None }
    }

    /// Opens a key of the selected database.
    pub fn open(ctx: Ctx<'a>, name: &Text, mode: Mode) -> Self {
        let flags = match mode {
            Mode::Read => raw::REDISMODULE_READ,
            Mode::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
            Mode::Peek => {
                raw::REDISMODULE_READ
                    | raw::REDISMODULE_OPEN_KEY_NOEXPIRE
                    | raw::REDISMODULE_OPEN_KEY_NOTOUCH
                    | raw::REDISMODULE_OPEN_KEY_NONOTIFY
                    | raw::REDISMODULE_OPEN_KEY_NOSTATS
            }
        };
        // SAFETY: context and name are valid; the flags fit an int.
        let key = unsafe { call!(RedisModule_OpenKey(ctx.raw(), name.as_ptr(), flags.cast_signed())) };
        Self { key: key.cast(), changed: false, ctx: Some(ctx) }
    }

    /// The type of the value.
    pub fn key_type(&self) -> KeyType {
        // SAFETY: the handle is open; null is allowed and means absent.
        let kind = unsafe { call!(RedisModule_KeyType(self.key)) };
        match isize::try_from(kind).unwrap_or(raw::REDISMODULE_KEYTYPE_EMPTY) {
            raw::REDISMODULE_KEYTYPE_EMPTY => KeyType::Absent,
            raw::REDISMODULE_KEYTYPE_STRING => KeyType::String,
            raw::REDISMODULE_KEYTYPE_LIST => KeyType::Other("a list"),
            raw::REDISMODULE_KEYTYPE_HASH => KeyType::Other("a hash"),
            raw::REDISMODULE_KEYTYPE_SET => KeyType::Other("a set"),
            raw::REDISMODULE_KEYTYPE_ZSET => KeyType::SortedSet,
            raw::REDISMODULE_KEYTYPE_STREAM => KeyType::Other("a stream"),
            _ => KeyType::Other("a module's type"),
        }
    }

    /// The length of a string, or the number of members of a sorted set.
    pub fn length(&self) -> usize {
        // SAFETY: the handle is open.
        unsafe { call!(RedisModule_ValueLength(self.key)) }
    }

    /// The string; empty if the key holds something else.
    pub fn text(&self) -> &[u8] {
        if self.key_type() != KeyType::String {
            return &[];
        }
        let mut length = 0;
        let read = raw::REDISMODULE_READ.cast_signed();
        // SAFETY: the handle is open and holds a string.
        let start = unsafe { call!(RedisModule_StringDMA(self.key, &raw mut length, read)) };
        // SAFETY: the buffer is valid until the key is written or closed, which both need this handle.
        unsafe { slice_of(start, length) }
    }

    /// The members of the sorted set with their scores, by score and then by name. Empty if the key holds something
    /// else.
    pub fn members(&self) -> Vec<(Vec<u8>, f64)> {
        if self.key_type() != KeyType::SortedSet {
            return Vec::new();
        }
        let mut members = Vec::with_capacity(self.length());
        let (lowest, highest) = (f64::NEG_INFINITY, f64::INFINITY);
        // SAFETY: the handle is open and holds a sorted set.
        if unsafe { call!(RedisModule_ZsetFirstInScoreRange(self.key, lowest, highest, 0, 0)) } != OK {
            return members;
        }
        // SAFETY: the range is open from the call above to the stop below.
        while unsafe { call!(RedisModule_ZsetRangeEndReached(self.key)) } == 0 {
            let mut score = 0.0;
            // SAFETY: the module must free the string.
            let name = unsafe { call!(RedisModule_ZsetRangeCurrentElement(self.key, &raw mut score)) };
            let Some(name) = NonNull::new(name).map(Text) else { break };
            // SAFETY: the string is valid until it is dropped, after the copy.
            members.push((unsafe { bytes_of(name.as_ptr()) }.to_vec(), score));
            // SAFETY: as above.
            unsafe { call!(RedisModule_ZsetRangeNext(self.key)) };
        }
        // SAFETY: as above.
        unsafe { call!(RedisModule_ZsetRangeStop(self.key)) };
        members
    }

    /// The score of a member of the sorted set; `None` if it is not a member.
    pub fn score(&self, member: &Text) -> Option<f64> {
        let mut score = 0.0;
        // SAFETY: the handle is open and holds a sorted set; the server writes the score to a local variable.
        let status = unsafe { call!(RedisModule_ZsetScore(self.key, member.as_ptr(), &raw mut score)) };
        (status == OK).then_some(score)
    }

    /// Adds a member to the sorted set or changes its score. Creates an absent key.
    pub fn rank(&mut self, member: &Text, score: f64) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the server copies the member; the flags may be null.
        let _ = unsafe { call!(RedisModule_ZsetAdd(self.key, score, member.as_ptr(), ptr::null_mut())) };
    }

    /// Removes a member from the sorted set. The key is deleted with its last member.
    pub fn unrank(&mut self, member: &Text) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the output may be null.
        let _ = unsafe { call!(RedisModule_ZsetRem(self.key, member.as_ptr(), ptr::null_mut())) };
    }

    /// When the key expires, Unix ms; `None` if it has no TTL.
    pub fn deadline(&self) -> Option<i64> {
        // SAFETY: the handle is open.
        let at = unsafe { call!(RedisModule_GetAbsExpire(self.key)) };
        (at >= 0).then_some(at)
    }

    /// Overwrites any value with a string and removes the TTL.
    pub fn set(&mut self, text: &Text) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the server takes a reference of its own to the string.
        let _ = unsafe { call!(RedisModule_StringSet(self.key, text.as_ptr())) };
    }

    /// Overwrites a string in place and keeps the TTL.
    pub fn overwrite(&mut self, text: &[u8]) {
        self.changed = true;
        if self.length() != text.len() {
            // SAFETY: the handle is open for writing and holds a string.
            let _ = unsafe { call!(RedisModule_StringTruncate(self.key, text.len())) };
        }
        let mut length = 0;
        let write = raw::REDISMODULE_WRITE.cast_signed();
        // SAFETY: as above.
        let start = unsafe { call!(RedisModule_StringDMA(self.key, &raw mut length, write)) };
        if !start.is_null() && length == text.len() {
            // SAFETY: the `length` bytes at `start` belong to the key, and `text` belongs to the module, so they do
            // not overlap.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), start.cast(), length) }
        }
    }

    /// Sets when the key expires, Unix ms.
    pub fn set_deadline(&mut self, at: i64) {
        self.changed = true;
        // SAFETY: the handle is open for writing and holds a value.
        let _ = unsafe { call!(RedisModule_SetAbsExpire(self.key, at)) };
    }

    /// Appends an entry to a stream and trims it to the newest `most` entries. Creates an absent key. Returns the id
    /// of the entry; `None` if the key holds something else. `fields` contains names and values alternately.
    pub fn append(&mut self, fields: &[Text], most: i64) -> Option<String> {
        self.changed = true;
        let mut pointers: Vec<*mut raw::RedisModuleString> = fields.iter().map(Text::as_ptr).collect();
        let mut id = raw::RedisModuleStreamID { ms: 0, seq: 0 };
        let flags = raw::REDISMODULE_STREAM_ADD_AUTOID.cast_signed();
        let pairs = i64::try_from(fields.len().div_euclid(2)).ok()?;
        // SAFETY: the handle is open for writing; there are two strings for each of the `pairs` fields.
        let status = unsafe {
            call!(RedisModule_StreamAdd(self.key, flags, &raw mut id, pointers.as_mut_ptr(), pairs))
        };
        if status != OK {
            return None;
        }
        // SAFETY: the handle is open for writing and holds a stream.
        unsafe { call!(RedisModule_StreamTrimByLength(self.key, 0, most)) };
        Some(format!("{}-{}", id.ms, id.seq))
    }

    /// Deletes the key.
    pub fn delete(&mut self) {
        self.changed = true;
        // SAFETY: the handle is open for writing.
        let _ = unsafe { call!(RedisModule_DeleteKey(self.key)) };
    }
}

impl Drop for OpenKey<'_> {
    fn drop(&mut self) {
        if let Some(ctx) = self.ctx
            && !self.key.is_null()
        {
            if self.changed {
                // SAFETY: the key is open, so its name is valid; the context is that of the callback that opened it.
                unsafe { signal_modified(ctx, self.key) }
            }
            // SAFETY: opened by `open`, closed only here.
            unsafe { call!(RedisModule_CloseKey(self.key)) }
        }
    }
}

/// Tells clients that WATCH an open key that it was changed.
///
/// # Safety
/// The key is open in this context.
unsafe fn signal_modified(ctx: Ctx<'_>, key: *mut raw::RedisModuleKey) {
    // SAFETY: the caller guarantees it.
    let name = unsafe { call!(RedisModule_GetKeyNameFromModuleKey(key)) };
    // SAFETY: as above; the server only reads the name.
    let _ = unsafe { call!(RedisModule_SignalModifiedKey(ctx.raw(), name.cast_mut())) };
}

//! The server's module API, as safe functions: nearly all unsafe code of the module is here.
//!
//! Three things hold for every block, and are not repeated at each: the server calls the module on its main thread
//! only, with a context that is valid until the callback returns; the functions in [`REQUIRED`] are there, because
//! the module does not load otherwise; and a handle ([`Text`], [`OpenKey`]) is released exactly once, by its Drop.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_longlong, c_void};
use std::io::{Error, ErrorKind};
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use redis_module::{Context, RedisResult, RedisValue, raw};

use crate::engine::sent::Sent;

/// The server's context of one callback.
pub type RawContext = *mut raw::RedisModuleCtx;

/// What a function of the module API answers when it did what it was asked.
#[expect(clippy::cast_possible_truncation, reason = "it is 0")]
pub const OK: c_int = raw::REDISMODULE_OK as c_int;

/// The other answer.
#[expect(clippy::cast_possible_truncation, reason = "it is 1")]
pub const ERR: c_int = raw::REDISMODULE_ERR as c_int;

/// Calls a function of the module API. Whether it is there was checked at load, so the other arm is never taken.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        #[cfg(feature = "faults")]
        super::faults::point();
        match raw::$name {
            Some(function) => function($($argument),*),
            None => std::process::abort(),
        }
    }};
}

macro_rules! required {
    ($($name:ident),* $(,)?) => {
        /// Whether the server has every function that the module calls; the name of the first that it has not.
        pub fn missing_function() -> Option<&'static str> {
            $(
                // SAFETY: the table of functions is written once, before this, on this thread.
                if unsafe { raw::$name }.is_none() {
                    return Some(stringify!($name));
                }
            )*
            None
        }
    };
}

required!(
    RedisModule_ACLCheckCommandPermissions,
    RedisModule_ACLCheckKeyPermissions,
    RedisModule_AddPostNotificationJob,
    RedisModule_AvoidReplicaTraffic,
    RedisModule_CachedMicroseconds,
    RedisModule_Call,
    RedisModule_CallReplyType,
    RedisModule_CloseKey,
    RedisModule_CreateString,
    RedisModule_CreateStringFromLongLong,
    RedisModule_DbSize,
    RedisModule_DeleteKey,
    RedisModule_EventLoopAddOneShot,
    RedisModule_Free,
    RedisModule_FreeCallReply,
    RedisModule_FreeModuleUser,
    RedisModule_FreeServerInfo,
    RedisModule_FreeString,
    RedisModule_GetAbsExpire,
    RedisModule_GetClusterNodeInfo,
    RedisModule_GetCommandKeysWithFlags,
    RedisModule_GetContextFlags,
    RedisModule_GetCurrentUserName,
    RedisModule_GetKeyNameFromModuleKey,
    RedisModule_GetModuleUserACLString,
    RedisModule_GetModuleUserFromUserName,
    RedisModule_GetMyClusterID,
    RedisModule_GetSelectedDb,
    RedisModule_GetServerInfo,
    RedisModule_InfoAddFieldCString,
    RedisModule_InfoAddFieldLongLong,
    RedisModule_InfoAddSection,
    RedisModule_InfoBeginDictField,
    RedisModule_InfoEndDictField,
    RedisModule_KeyType,
    RedisModule_LoadConfigs,
    RedisModule_Log,
    RedisModule_NotifyKeyspaceEvent,
    RedisModule_OpenKey,
    RedisModule_PublishMessage,
    RedisModule_RegisterEnumConfig,
    RedisModule_RegisterNumericConfig,
    RedisModule_Replicate,
    RedisModule_ReplicateVerbatim,
    RedisModule_RetainString,
    RedisModule_Scan,
    RedisModule_ScanCursorCreate,
    RedisModule_ScanCursorDestroy,
    RedisModule_SelectDb,
    RedisModule_ServerInfoGetFieldC,
    RedisModule_SetAbsExpire,
    RedisModule_SetCommandACLCategories,
    RedisModule_SetModuleOptions,
    RedisModule_SignalModifiedKey,
    RedisModule_StreamAdd,
    RedisModule_StreamTrimByLength,
    RedisModule_StringDMA,
    RedisModule_StringPtrLen,
    RedisModule_StringSet,
    RedisModule_StringTruncate,
    RedisModule_SubscribeToKeyspaceEvents,
    RedisModule_SubscribeToServerEvent,
    RedisModule_ValueLength,
    RedisModule_ZsetAdd,
    RedisModule_ZsetFirstInScoreRange,
    RedisModule_ZsetRangeCurrentElement,
    RedisModule_ZsetRangeEndReached,
    RedisModule_ZsetRangeNext,
    RedisModule_ZsetRangeStop,
    RedisModule_ZsetRem,
    RedisModule_ZsetScore,
);

/// A string of the server.
#[repr(transparent)]
pub struct Text(NonNull<raw::RedisModuleString>);

// SAFETY: the server's strings are counted without locks, so they must stay on its main thread; and all code of the module
// runs there.
unsafe impl Send for Text {}

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

    fn as_ptr(&self) -> *mut raw::RedisModuleString {
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
unsafe fn bytes_of<'a>(string: *const raw::RedisModuleString) -> &'a [u8] {
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
unsafe fn slice_of<'a>(start: *const c_char, length: usize) -> &'a [u8] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

/// How a key is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As a reading command: a key that is due goes.
    Read,
    /// Without any effect: a key that is due reads as absent and stays.
    Peek,
    /// To change it. Clients that WATCH the key are told when it is closed, if it was changed.
    Write,
}

/// What type a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No key.
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
    /// Null where there is no key.
    key: *mut raw::RedisModuleKey,
    /// A key that an event lends must not be closed.
    owned: bool,
    /// Whoever watches the key is to be told when it is closed.
    changed: bool,
    ctx: RawContext,
    context: PhantomData<&'a ()>,
}

impl OpenKey<'_> {
    /// A key that the server has opened, and closes.
    fn lent(key: *mut raw::RedisModuleKey) -> Self {
        Self { key, owned: false, changed: false, ctx: ptr::null_mut(), context: PhantomData }
    }

    /// Opens a key of the selected database.
    pub fn open(ctx: RawContext, name: &Text, mode: Mode) -> Self {
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
        let key = unsafe { call!(RedisModule_OpenKey(ctx, name.as_ptr(), flags.cast_signed())) };
        Self { key: key.cast(), owned: true, changed: false, ctx, context: PhantomData }
    }

    /// The type of the value.
    pub fn kind(&self) -> Kind {
        // SAFETY: the handle is open; null is allowed and means absent.
        let kind = unsafe { call!(RedisModule_KeyType(self.key)) };
        match isize::try_from(kind).unwrap_or(raw::REDISMODULE_KEYTYPE_EMPTY) {
            raw::REDISMODULE_KEYTYPE_EMPTY => Kind::Absent,
            raw::REDISMODULE_KEYTYPE_STRING => Kind::String,
            raw::REDISMODULE_KEYTYPE_LIST => Kind::Other("a list"),
            raw::REDISMODULE_KEYTYPE_HASH => Kind::Other("a hash"),
            raw::REDISMODULE_KEYTYPE_SET => Kind::Other("a set"),
            raw::REDISMODULE_KEYTYPE_ZSET => Kind::SortedSet,
            raw::REDISMODULE_KEYTYPE_STREAM => Kind::Other("a stream"),
            _ => Kind::Other("a module's type"),
        }
    }

    /// How long the string is, or how many members a sorted set has.
    pub fn length(&self) -> usize {
        // SAFETY: the handle is open.
        unsafe { call!(RedisModule_ValueLength(self.key)) }
    }

    /// The string. Empty where the key holds none.
    pub fn text(&self) -> &[u8] {
        if self.kind() != Kind::String {
            return &[];
        }
        let mut length = 0;
        let read = raw::REDISMODULE_READ.cast_signed();
        // SAFETY: the handle is open and holds a string.
        let start = unsafe { call!(RedisModule_StringDMA(self.key, &raw mut length, read)) };
        // SAFETY: the buffer stays until the key is written or closed, and both need this handle.
        unsafe { slice_of(start, length) }
    }

    /// The members of the sorted set with their scores, lowest first, and equal ones by name. None where the key holds
    /// something else.
    pub fn members(&self) -> Vec<(Vec<u8>, f64)> {
        if self.kind() != Kind::SortedSet {
            return Vec::new();
        }
        let mut members = Vec::with_capacity(self.length());
        let (lowest, highest) = (f64::NEG_INFINITY, f64::INFINITY);
        // SAFETY: the handle is open and holds a sorted set.
        if unsafe { call!(RedisModule_ZsetFirstInScoreRange(self.key, lowest, highest, 0, 0)) } != OK {
            return members;
        }
        // SAFETY: the range was begun above, here and below.
        while unsafe { call!(RedisModule_ZsetRangeEndReached(self.key)) } == 0 {
            let mut score = 0.0;
            // SAFETY: the string is ours to free.
            let name = unsafe { call!(RedisModule_ZsetRangeCurrentElement(self.key, &raw mut score)) };
            let Some(name) = NonNull::new(name).map(Text) else { break };
            // SAFETY: the string is valid until it is dropped, behind the copy.
            members.push((unsafe { bytes_of(name.as_ptr()) }.to_vec(), score));
            // SAFETY: as above.
            unsafe { call!(RedisModule_ZsetRangeNext(self.key)) };
        }
        // SAFETY: as above.
        unsafe { call!(RedisModule_ZsetRangeStop(self.key)) };
        members
    }

    /// The score of a member of the sorted set; `None` if it is no member.
    pub fn score(&self, member: &Text) -> Option<f64> {
        let mut score = 0.0;
        // SAFETY: the handle is open and holds a sorted set; the score is ours to write to.
        let status = unsafe { call!(RedisModule_ZsetScore(self.key, member.as_ptr(), &raw mut score)) };
        (status == OK).then_some(score)
    }

    /// Adds a member to the sorted set, in place of an absent key too, or gives it another score.
    #[expect(clippy::cast_precision_loss, reason = "scores of the module are within 2^53")]
    pub fn rank(&mut self, member: &Text, score: i64) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the server copies the member; the flags may be null.
        let _ =
            unsafe { call!(RedisModule_ZsetAdd(self.key, score as f64, member.as_ptr(), ptr::null_mut())) };
    }

    /// Takes a member out of the sorted set. The key goes with the last one.
    pub fn unrank(&mut self, member: &Text) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the answer may be null.
        let _ = unsafe { call!(RedisModule_ZsetRem(self.key, member.as_ptr(), ptr::null_mut())) };
    }

    /// When the key goes, Unix ms; `None` without a TTL.
    pub fn deadline(&self) -> Option<i64> {
        // SAFETY: the handle is open.
        let at = unsafe { call!(RedisModule_GetAbsExpire(self.key)) };
        (at >= 0).then_some(at)
    }

    /// Writes a string over whatever is there; the TTL goes.
    pub fn set(&mut self, text: &Text) {
        self.changed = true;
        // SAFETY: the handle is open for writing; the server takes a reference of its own to the string.
        let _ = unsafe { call!(RedisModule_StringSet(self.key, text.as_ptr())) };
    }

    /// Writes over the string in place; the TTL stays.
    pub fn overwrite(&mut self, text: &[u8]) {
        self.changed = true;
        // SAFETY: the handle is open for writing and holds a string.
        let _ = unsafe { call!(RedisModule_StringTruncate(self.key, text.len())) };
        let mut length = 0;
        let write = raw::REDISMODULE_WRITE.cast_signed();
        // SAFETY: as above.
        let start = unsafe { call!(RedisModule_StringDMA(self.key, &raw mut length, write)) };
        if !start.is_null() && length == text.len() {
            // SAFETY: `length` bytes at `start` are the key's own, and `text` is not among them: it is ours.
            unsafe { ptr::copy_nonoverlapping(text.as_ptr(), start.cast(), length) }
        }
    }

    /// Sets when the key goes, Unix ms.
    pub fn set_deadline(&mut self, at: i64) {
        self.changed = true;
        // SAFETY: the handle is open for writing and holds a value.
        let _ = unsafe { call!(RedisModule_SetAbsExpire(self.key, at)) };
    }

    /// Appends an entry to a stream, in place of an absent key too, and keeps the newest `most` entries. Gives the
    /// entry's id; `None` where the key holds something else. `fields` are names and values in turn.
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
        if self.owned && !self.key.is_null() {
            if self.changed {
                // SAFETY: the key is open, so its name is there; the context is that of the callback that opened it.
                unsafe { signal_modified(self.ctx, self.key) }
            }
            // SAFETY: opened by `open`, closed here alone.
            unsafe { call!(RedisModule_CloseKey(self.key)) }
        }
    }
}

/// Tells whoever watches an open key that it was changed.
///
/// # Safety
/// The key is open in this context.
unsafe fn signal_modified(ctx: RawContext, key: *mut raw::RedisModuleKey) {
    // SAFETY: the caller's promise.
    let name = unsafe { call!(RedisModule_GetKeyNameFromModuleKey(key)) };
    // SAFETY: as above; the server only reads the name.
    let _ = unsafe { call!(RedisModule_SignalModifiedKey(ctx, name.cast_mut())) };
}

/// Valkey 9 moves no slot away at once while a module is loaded that has not declared that it can bear it. Redis has no such
/// option, and may give its number to another.
const HANDLE_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

/// Declares what the module can bear. From now on a key that was opened to be changed counts as changed when the module
/// says so, not when it is closed.
pub fn declare(ctx: RawContext, is_valkey: bool) {
    let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED.cast_signed();
    if is_valkey {
        options |= HANDLE_ATOMIC_SLOT_MIGRATION;
    }
    // SAFETY: the context is that of the load.
    unsafe { call!(RedisModule_SetModuleOptions(ctx, options)) };
}

/// The moment of this unit of work, Unix ms, by which the server expires keys. It does not move inside the unit.
pub fn now_ms() -> i64 {
    // SAFETY: takes nothing.
    let micros = unsafe { call!(RedisModule_CachedMicroseconds()) };
    micros.checked_div(1000).unwrap_or_default()
}

/// The selected database.
pub fn selected_db(ctx: RawContext) -> c_int {
    // SAFETY: the context is valid.
    unsafe { call!(RedisModule_GetSelectedDb(ctx)) }
}

/// Selects a database; false where there is none of that number.
pub fn select_db(ctx: RawContext, db: c_int) -> bool {
    // SAFETY: the context is valid.
    let status = unsafe { call!(RedisModule_SelectDb(ctx, db)) };
    status == OK
}

/// How many keys the selected database has.
pub fn db_size(ctx: RawContext) -> u64 {
    // SAFETY: the context is valid.
    unsafe { call!(RedisModule_DbSize(ctx)) }
}

/// The context flags (`REDISMODULE_CTX_FLAGS_…`).
pub fn context_flags(ctx: RawContext) -> u32 {
    // SAFETY: the context is valid; null asks for the flags that do not depend on a client.
    unsafe { call!(RedisModule_GetContextFlags(ctx)) }.cast_unsigned()
}

/// Whether the server must not make replication traffic of its own now: clients are paused, or a failover runs.
pub fn avoid_traffic() -> bool {
    // SAFETY: takes nothing.
    unsafe { call!(RedisModule_AvoidReplicaTraffic()) != 0 }
}

/// How long the id of a cluster node is.
const NODE_ID_BYTES: usize = 40;

/// Whether this cluster node is a master by its own flag in the cluster; `None` outside a cluster.
pub fn is_cluster_master(ctx: RawContext) -> Option<bool> {
    // SAFETY: takes nothing.
    let id = unsafe { call!(RedisModule_GetMyClusterID()) };
    if id.is_null() {
        return None;
    }
    // The server hands out its 40 bytes without a NUL behind them, and wants one when it is asked by them.
    let mut name = [0_u8; NODE_ID_BYTES + 1];
    // SAFETY: the id has that many bytes and stays where it is for this call.
    let id = unsafe { slice_of(id, NODE_ID_BYTES) };
    name.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
    let id = name.as_ptr().cast::<c_char>();
    let mut flags = 0;
    // SAFETY: the id ends in NUL; the outputs that may be null are.
    let status = unsafe {
        call!(RedisModule_GetClusterNodeInfo(
            ctx,
            id,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut flags
        ))
    };
    let master = raw::REDISMODULE_NODE_MASTER.cast_signed();
    Some(status == OK && flags & master != 0)
}

/// A command that the module has the server carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// Whether all of a slot is here.
    Exists,
    /// Why it is not.
    ClusterNodes,
    /// Who is connected, at an unload.
    ClientList,
    /// Ends a connection, at an unload.
    ClientKill,
    /// Who may do what, at an unload.
    AclList,
    /// The keys, for INV.AUDITSCAN.
    Scan,
}

impl Called {
    /// Those that a server needs, in a cluster or outside.
    pub const fn needed(in_cluster: bool) -> &'static [Self] {
        use Called::{AclList, ClientKill, ClientList, ClusterNodes, Exists, Scan};
        if in_cluster {
            &[Exists, ClusterNodes, ClientList, ClientKill, AclList, Scan]
        } else {
            &[ClientList, ClientKill, AclList, Scan]
        }
    }

    /// Its name, and that of a part of it.
    pub const fn words(self) -> (&'static CStr, Option<&'static CStr>) {
        match self {
            Self::Exists => (c"EXISTS", None),
            Self::ClusterNodes => (c"CLUSTER", Some(c"NODES")),
            Self::ClientList => (c"CLIENT", Some(c"LIST")),
            Self::ClientKill => (c"CLIENT", Some(c"KILL")),
            Self::AclList => (c"ACL", Some(c"LIST")),
            Self::Scan => (c"SCAN", None),
        }
    }
}

/// Whether the server has a command of this name, and this part of it if it has parts.
pub fn has_command(ctx: RawContext, name: &CStr, part: Option<&CStr>) -> bool {
    let words: Vec<Text> =
        [Some(name), part].into_iter().flatten().map(|word| Text::new(word.to_bytes())).collect();
    let strings = words.as_ptr().cast::<*mut raw::RedisModuleString>().cast_mut();
    let count = c_int::try_from(words.len()).unwrap_or_default();
    let mut keys = 0;
    // A text is laid out as the pointer that it is.
    // SAFETY: context and strings are valid for the call, which only reads them; flags are not asked for.
    let places = unsafe {
        call!(RedisModule_GetCommandKeysWithFlags(ctx, strings, count, &raw mut keys, ptr::null_mut()))
    };
    if !places.is_null() {
        // SAFETY: the server gave them for the caller to free.
        unsafe { call!(RedisModule_Free(places.cast::<c_void>())) };
        return true;
    }
    // The server says by it why, and nothing has been called since: too few words, no keys, or no such command.
    Error::last_os_error().kind() != ErrorKind::NotFound
}

/// Whether a node serves the keys of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// All of them, so that none is on its way.
    Whole,
    /// Not all: the slot is another node's, or is being moved.
    Refused,
    /// Nothing is served: the cluster is down, or this node cannot see most of the others.
    Down,
}

/// Whether this node serves every key with this tag: what a command on two keys that are not there would be told, if it were
/// run.
pub fn serves(ctx: RawContext, tag: &str) -> Service {
    // Two, because an importing node serves a client that asks for one. No id holds a control character.
    let names = [1, 2].map(|number: u8| [b"{", tag.as_bytes(), b"}", &[number]].concat());
    let [(one, one_length), (two, two_length)] =
        names.each_ref().map(|name| (name.as_ptr().cast::<c_char>(), name.len()));
    // Not carried out (D), and a refusal is a reply (E).
    let format = c"DEbb".as_ptr();
    let exists = Called::Exists.words().0.as_ptr();
    // SAFETY: the context is valid; `b` takes a pointer and a length, twice; both are of one live vector.
    let reply = unsafe { call!(RedisModule_Call(ctx, exists, format, one, one_length, two, two_length)) };
    if reply.is_null() {
        return Service::Whole;
    }
    // The server says by it why, and nothing has been called since.
    let reason = Error::last_os_error().kind();
    // SAFETY: the reply is ours.
    let kind = unsafe { call!(RedisModule_CallReplyType(reply)) };
    // SAFETY: as above, and freed here alone.
    unsafe { call!(RedisModule_FreeCallReply(reply)) };
    if isize::try_from(kind) != Ok(raw::REDISMODULE_REPLY_ERROR) {
        // Valkey 9.1: where nothing is refused there is a reply all the same, an empty one.
        return Service::Whole;
    }
    if matches!(reason, ErrorKind::NetworkDown | ErrorKind::ReadOnlyFilesystem) {
        Service::Down
    } else {
        Service::Refused
    }
}

/// What `CLUSTER NODES` says; empty where it says nothing.
pub fn cluster_nodes(ctx: RawContext) -> String {
    text_of(ctx, Called::ClusterNodes)
}

/// What `CLIENT LIST` says, a line a client; empty where it says nothing.
pub fn client_list(ctx: RawContext) -> String {
    text_of(ctx, Called::ClientList)
}

/// Ends the connection of a client, by its id. Nothing where it has gone already.
pub fn disconnect(ctx: RawContext, id: &str) {
    // It says how many it has ended, and nobody asks.
    drop(run(ctx, Called::ClientKill, &["ID", id]));
}

fn run(ctx: RawContext, command: Called, arguments: &[&str]) -> RedisResult {
    let (name, part) = command.words();
    let part = part.and_then(|part| part.to_str().ok());
    let words: Vec<&str> = part.into_iter().chain(arguments.iter().copied()).collect();
    Context::new(ctx).call(name.to_str().unwrap_or_default(), words.as_slice())
}

fn text_of(ctx: RawContext, command: Called) -> String {
    match run(ctx, command, &[]) {
        Ok(reply) => {
            bytes_of_reply(&reply).map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned())
        }
        Err(_) => String::new(),
    }
}

/// A setting of the server, as `CONFIG GET` shows it; `None` if it has none of that name.
pub fn setting(ctx: RawContext, name: &str) -> Option<String> {
    match Context::new(ctx).call("CONFIG", &["GET", name]) {
        Ok(RedisValue::Array(pair)) => {
            pair.get(1).and_then(bytes_of_reply).map(|value| String::from_utf8_lossy(value).into_owned())
        }
        _ => None,
    }
}

/// What `ACL LIST` says, a line a user; nothing where it says nothing.
pub fn acl_list(ctx: RawContext) -> Vec<String> {
    let Ok(RedisValue::Array(users)) = run(ctx, Called::AclList, &[]) else { return Vec::new() };
    users.iter().filter_map(bytes_of_reply).map(|user| String::from_utf8_lossy(user).into_owned()).collect()
}

/// Tells of an event on a key.
pub fn notify(ctx: RawContext, kind: c_int, event: &CStr, name: &Text) {
    // SAFETY: context, event and name are valid for the call.
    let _ = unsafe { call!(RedisModule_NotifyKeyspaceEvent(ctx, kind, event.as_ptr(), name.as_ptr())) };
}

/// Sends a command to the replicas and, where `to_aof`, to the AOF.
pub fn replicate(ctx: RawContext, command: Sent, arguments: &[Text], to_aof: bool) {
    let format = if to_aof { c"v" } else { c"Av" };
    // A text is laid out as the pointer that it is.
    let strings = arguments.as_ptr().cast::<*mut raw::RedisModuleString>();
    // SAFETY: `v` takes an array of strings and its length, and only reads them; the server takes references of its own.
    let _ = unsafe {
        call!(RedisModule_Replicate(ctx, command.name().as_ptr(), format.as_ptr(), strings, arguments.len()))
    };
}

/// Sends the command at hand to replicas and AOF as it came.
pub fn replicate_verbatim(ctx: RawContext) {
    // SAFETY: the context is that of a command.
    let _ = unsafe { call!(RedisModule_ReplicateVerbatim(ctx)) };
}

/// Publishes a message.
pub fn publish(ctx: RawContext, channel: &Text, message: &Text) {
    // SAFETY: context and strings are valid for the call.
    let _ = unsafe { call!(RedisModule_PublishMessage(ctx, channel.as_ptr(), message.as_ptr())) };
}

/// Queues `job` to run behind the unit of work at hand. False where the server takes none (loading, a replica).
pub fn queue_job(ctx: RawContext, job: unsafe extern "C" fn(RawContext, *mut c_void)) -> bool {
    // SAFETY: the job takes no data, so nothing has to live until it runs; the module refuses to be unloaded before.
    let status = unsafe { call!(RedisModule_AddPostNotificationJob(ctx, Some(job), ptr::null_mut(), None)) };
    status == OK
}

/// Makes the event loop turn once more at once, and calls `woken` then. Until that the module must not be unloaded.
pub fn wake_event_loop(woken: unsafe extern "C" fn(*mut c_void)) -> bool {
    // SAFETY: the function takes no data, and the module refuses to be unloaded before it was called.
    let status = unsafe { call!(RedisModule_EventLoopAddOneShot(Some(woken), ptr::null_mut())) };
    status == OK
}

/// Writes a warning into the server's log. Names in it are whatever a client has sent: the server would take them for a part of
/// its format, and a line feed for the end of the line.
pub fn warn(ctx: RawContext, line: &str) {
    log(ctx, c"warning", line);
}

/// Writes a line to the server's log that asks for nothing.
pub fn note(ctx: RawContext, line: &str) {
    log(ctx, c"notice", line);
}

fn log(ctx: RawContext, level: &CStr, line: &str) {
    let line = CString::new(line.replace(char::is_control, " ")).unwrap_or_default();
    // SAFETY: the server may be asked without a context; level, format and line end in NUL, and the format takes one line.
    unsafe { call!(RedisModule_Log(ctx, level.as_ptr(), c"%s".as_ptr(), line.as_ptr())) };
}

/// Subscribes to a server event. There is one subscription for each module and event.
pub fn subscribe(
    ctx: RawContext,
    event: u64,
    handler: unsafe extern "C" fn(RawContext, raw::RedisModuleEvent, u64, *mut c_void),
) -> bool {
    let event = raw::RedisModuleEvent { id: event, dataver: 1 };
    // SAFETY: the handler lives as long as the module.
    let status = unsafe { call!(RedisModule_SubscribeToServerEvent(ctx, event, Some(handler))) };
    status == OK
}

/// Subscribes to keyspace notifications of these kinds.
pub fn subscribe_keyspace(
    ctx: RawContext,
    kinds: c_int,
    handler: unsafe extern "C" fn(RawContext, c_int, *const c_char, *mut raw::RedisModuleString) -> c_int,
) -> bool {
    // SAFETY: the handler lives as long as the module.
    let status = unsafe { call!(RedisModule_SubscribeToKeyspaceEvents(ctx, kinds, Some(handler))) };
    status == OK
}

/// The key that a Key event lends, with its name.
///
/// # Safety
/// `data` is what the server handed to a handler of that event, and the result does not outlive the handler.
pub unsafe fn lent_key<'a>(data: *mut c_void) -> (&'a [u8], OpenKey<'a>) {
    // SAFETY: the caller's promise: it points at this structure.
    let key = unsafe { (*data.cast::<raw::RedisModuleKeyInfo>()).key };
    // SAFETY: the key is open for the length of the handler.
    let name = unsafe { call!(RedisModule_GetKeyNameFromModuleKey(key)) };
    // SAFETY: the name belongs to the open key.
    let name = unsafe { bytes_of(name) };
    (name, OpenKey::lent(key))
}

/// The key name that a keyspace notification lends.
///
/// # Safety
/// `name` is what the server handed to the handler, and the result does not outlive the handler.
pub unsafe fn lent_name<'a>(name: *mut raw::RedisModuleString) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { bytes_of(name) }
}

/// A place in a walk over the keys of one database. Every key that is there all the time is met, some more than once.
pub struct ScanCursor(NonNull<raw::RedisModuleScanCursor>);

// SAFETY: the server's cursor is a plain structure, bound to no thread.
unsafe impl Send for ScanCursor {}

impl ScanCursor {
    /// The beginning.
    pub fn new() -> Self {
        // SAFETY: takes nothing.
        match NonNull::new(unsafe { call!(RedisModule_ScanCursorCreate()) }) {
            Some(cursor) => Self(cursor),
            // The server ends the process itself when memory is over.
            None => std::process::abort(),
        }
    }

    /// Calls `meet` with the names of the next few keys of the selected database, and the keys as they are stored.
    /// `meet` must not open keys. False at the end.
    pub fn step<F: FnMut(&[u8], &OpenKey<'_>)>(&mut self, ctx: RawContext, meet: F) -> bool {
        /// A panic must not unwind through the server.
        struct Meeting<F> {
            meet: F,
            panic: Option<Box<dyn Any + Send>>,
        }
        unsafe extern "C" fn each<F: FnMut(&[u8], &OpenKey<'_>)>(
            _ctx: RawContext,
            name: *mut raw::RedisModuleString,
            key: *mut raw::RedisModuleKey,
            meeting: *mut c_void,
        ) {
            // SAFETY: it is the meeting below, which outlives the step, and nothing else uses it meanwhile.
            let meeting = unsafe { &mut *meeting.cast::<Meeting<F>>() };
            if meeting.panic.is_none() {
                let met = AssertUnwindSafe(|| {
                    // SAFETY: the name is valid for this call.
                    (meeting.meet)(unsafe { bytes_of(name) }, &OpenKey::lent(key));
                });
                meeting.panic = panic::catch_unwind(met).err();
            }
        }
        let mut meeting = Meeting { meet, panic: None };
        let data = (&raw mut meeting).cast::<c_void>();
        // SAFETY: context, cursor and meeting are valid for the call; `each` matches the closure's type.
        let more = unsafe { call!(RedisModule_Scan(ctx, self.0.as_ptr(), Some(each::<F>), data)) != 0 };
        if let Some(panic) = meeting.panic {
            panic::resume_unwind(panic);
        }
        more
    }
}

impl Drop for ScanCursor {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed here alone.
        unsafe { call!(RedisModule_ScanCursorDestroy(self.0.as_ptr())) }
    }
}

/// The server's own SCAN over the selected database: the next cursor, and the names found. Unlike a [`ScanCursor`] its
/// cursor is a number that a client can keep.
pub fn scan_names(
    ctx: RawContext,
    cursor: u64,
    pattern: &str,
    count: usize,
) -> Result<(u64, Vec<Vec<u8>>), String> {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let words: [&str; 5] = [&cursor, "MATCH", pattern, "COUNT", &count];
    let reply = run(ctx, Called::Scan, &words).map_err(|error| error.to_string())?;
    let unexpected = || "an unexpected reply".to_owned();
    let RedisValue::Array(parts) = reply else { return Err(unexpected()) };
    let [next, RedisValue::Array(names)] = parts.as_slice() else { return Err(unexpected()) };
    let next = bytes_of_reply(next).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let names = names.iter().filter_map(bytes_of_reply).map(<[u8]>::to_vec);
    Ok((next.ok_or_else(unexpected)?, names.collect()))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a name is a string, whatever other replies there are")]
fn bytes_of_reply(value: &RedisValue) -> Option<&[u8]> {
    match value {
        RedisValue::SimpleString(text) | RedisValue::BulkString(text) => Some(text.as_bytes()),
        RedisValue::BulkRedisString(text) => Some(text.as_slice()),
        RedisValue::StringBuffer(bytes) => Some(bytes),
        _ => None,
    }
}

/// Who sent the command at hand.
pub enum Caller {
    /// The server itself, or a module in its name: it may do everything.
    Server,
    /// A user of the server.
    User(User),
    /// A user that the server does not know by name, so that nothing is known of its rights.
    Stranger,
}

impl Caller {
    /// Who sent the command of this context.
    pub fn of(ctx: RawContext) -> Self {
        if !has_user(ctx) {
            return Self::Server;
        }
        // SAFETY: the context is valid, and has a user: servers before Valkey 9.1 look at its name without asking.
        let name = unsafe { call!(RedisModule_GetCurrentUserName(ctx)) };
        let Some(name) = NonNull::new(name).map(Text) else { return Self::Stranger };
        // SAFETY: the name is valid.
        let user = unsafe { call!(RedisModule_GetModuleUserFromUserName(name.as_ptr())) };
        NonNull::new(user).map_or(Self::Stranger, |user| Self::User(User(user)))
    }
}

/// Whether the command at hand comes from a user, whose rights the server has checked. What a module calls may have none.
fn has_user(ctx: RawContext) -> bool {
    // A command that nobody knows is not run, and nothing is logged of it. In the name of the user (C) it is looked for only
    // where there is one.
    // SAFETY: the context is valid; the format takes no arguments.
    let reply = unsafe { call!(RedisModule_Call(ctx, c"INV.NOBODY".as_ptr(), c"C".as_ptr())) };
    let reason = Error::last_os_error().kind();
    if reply.is_null() {
        return reason == ErrorKind::NotFound;
    }
    // SAFETY: the reply is ours, and freed here alone.
    unsafe { call!(RedisModule_FreeCallReply(reply)) };
    true
}

/// A user of the server. Its rights can change, and it can go, so it is not kept beyond a callback.
pub struct User(NonNull<raw::RedisModuleUser>);

impl User {
    /// Whether it may read a key of this name, by any of its rules.
    pub fn may_read(&self, name: &str) -> bool {
        let name = Text::new(name.as_bytes());
        let read = raw::REDISMODULE_CMD_KEY_ACCESS.cast_signed();
        // SAFETY: user and name are valid for the call.
        unsafe { call!(RedisModule_ACLCheckKeyPermissions(self.0.as_ptr(), name.as_ptr(), read)) == OK }
    }

    /// Whether it may send this command. On Valkey 9.1 a user who is confined to databases may not: the function knows of
    /// none.
    pub fn may_send(&self, words: &[&str]) -> bool {
        let words: Vec<Text> = words.iter().map(|word| Text::new(word.as_bytes())).collect();
        let mut pointers: Vec<_> = words.iter().map(Text::as_ptr).collect();
        let Ok(count) = c_int::try_from(pointers.len()) else { return false };
        // SAFETY: user and words are valid for the call, which only reads them.
        let status = unsafe {
            call!(RedisModule_ACLCheckCommandPermissions(self.0.as_ptr(), pointers.as_mut_ptr(), count))
        };
        status == OK
    }

    /// Whether it has selectors: rules beside its own, each with commands and keys that count only together.
    pub fn has_selectors(&self) -> bool {
        // SAFETY: the user is valid.
        let rules = unsafe { call!(RedisModule_GetModuleUserACLString(self.0.as_ptr())) };
        // No pattern holds a blank.
        NonNull::new(rules).map(Text).is_none_or(|rules| rules.bytes().windows(2).any(|pair| pair == b" ("))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by the server for us, and freed here alone.
        unsafe { call!(RedisModule_FreeModuleUser(self.0.as_ptr())) };
    }
}

/// Adds `@category` to the server's ACL categories, where the server can. One that is there already is as good.
pub fn add_acl_category(ctx: RawContext, category: &CStr) -> bool {
    // SAFETY: the table of functions is written once, before this, on this thread.
    match unsafe { raw::RedisModule_AddACLCategory } {
        None => false,
        Some(add) => {
            // SAFETY: context and name are valid for the call. It fails only where the category is there.
            let _ = unsafe { add(ctx, category.as_ptr()) };
            true
        }
    }
}

/// Puts a command into these ACL categories, in place of those that it is in: their names without the @, with blanks between
/// them.
pub fn set_acl_categories(ctx: RawContext, command: &CStr, categories: &str) -> bool {
    let categories = CString::new(categories).unwrap_or_default();
    // SAFETY: context and name are valid for the call.
    let command = unsafe { call!(RedisModule_GetCommand(ctx, command.as_ptr())) };
    if command.is_null() {
        return false;
    }
    // SAFETY: the command is one of this module; the names are valid for the call.
    let status = unsafe { call!(RedisModule_SetCommandACLCategories(command, categories.as_ptr())) };
    status == OK
}

// The crate's own registration takes memory for each option, which is lost when the module is unloaded.

/// Registers an option that is a number, and where it is kept.
pub fn register_number(
    ctx: RawContext,
    name: &CStr,
    default: i64,
    range: RangeInclusive<i64>,
    place: &'static AtomicI64,
) {
    let place = ptr::from_ref(place).cast_mut().cast::<c_void>();
    let flags = raw::REDISMODULE_CONFIG_DEFAULT;
    let (get, set) = (Some(get_number as _), Some(set_number as _));
    // SAFETY: name and place stay; the functions take this place for what it is.
    unsafe {
        call!(RedisModule_RegisterNumericConfig(
            ctx,
            name.as_ptr(),
            default,
            flags,
            *range.start(),
            *range.end(),
            get,
            set,
            None,
            place
        ))
    };
}

unsafe extern "C" fn get_number(_name: *const c_char, place: *mut c_void) -> c_longlong {
    // SAFETY: `register_number` gave a place of this kind, which is there as long as the module.
    unsafe { &*place.cast::<AtomicI64>() }.load(Ordering::Relaxed)
}

unsafe extern "C" fn set_number(
    _name: *const c_char,
    value: c_longlong,
    place: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: as in `get_number`.
    unsafe { &*place.cast::<AtomicI64>() }.store(value, Ordering::Relaxed);
    OK
}

/// Registers an option that is one of these words, the one with this number where nothing is said, and where the number of the
/// word is kept.
pub fn register_word(
    ctx: RawContext,
    name: &CStr,
    words: [&'static CStr; 3],
    default: c_int,
    can_change: bool,
    place: &'static AtomicI32,
) {
    let place = ptr::from_ref(place).cast_mut().cast::<c_void>();
    let flags = if can_change { raw::REDISMODULE_CONFIG_DEFAULT } else { raw::REDISMODULE_CONFIG_IMMUTABLE };
    let mut words = words.map(CStr::as_ptr);
    let (get, set) = (Some(get_word as _), Some(set_word as _));
    // SAFETY: the server copies the words and their numbers; the rest as in `register_number`.
    unsafe {
        call!(RedisModule_RegisterEnumConfig(
            ctx,
            name.as_ptr(),
            default,
            flags,
            words.as_mut_ptr(),
            [0, 1, 2].as_ptr(),
            3,
            get,
            set,
            None,
            place
        ))
    };
}

unsafe extern "C" fn get_word(_name: *const c_char, place: *mut c_void) -> c_int {
    // SAFETY: `register_word` gave a place of this kind, which is there as long as the module.
    unsafe { &*place.cast::<AtomicI32>() }.load(Ordering::Relaxed)
}

unsafe extern "C" fn set_word(
    _name: *const c_char,
    value: c_int,
    place: *mut c_void,
    _error: *mut *mut raw::RedisModuleString,
) -> c_int {
    // SAFETY: as in `get_word`.
    unsafe { &*place.cast::<AtomicI32>() }.store(value, Ordering::Relaxed);
    OK
}

/// Hands the `inv.*` lines of the configuration to the options. Called once, when all are registered.
pub fn load_configs(ctx: RawContext) -> bool {
    // SAFETY: the context is that of the load.
    unsafe { call!(RedisModule_LoadConfigs(ctx)) == OK }
}

/// Adds the section to INFO that bears the module's name alone.
pub fn info_section(ctx: *mut raw::RedisModuleInfoCtx) {
    // SAFETY: the server handed this context to the INFO handler.
    let _ = unsafe { call!(RedisModule_InfoAddSection(ctx, c"".as_ptr())) };
}

/// Adds a number to INFO.
pub fn info_number(ctx: *mut raw::RedisModuleInfoCtx, name: &CStr, value: i64) {
    // SAFETY: as above; the name is valid for the call.
    let _ = unsafe { call!(RedisModule_InfoAddFieldLongLong(ctx, name.as_ptr(), value)) };
}

/// Adds a text to INFO.
pub fn info_text(ctx: *mut raw::RedisModuleInfoCtx, name: &CStr, text: &CStr) {
    // SAFETY: as above; name and text are valid for the call.
    let _ = unsafe { call!(RedisModule_InfoAddFieldCString(ctx, name.as_ptr(), text.as_ptr())) };
}

/// Adds to INFO whether the module is alone in a database: `managed=1,since=…,reason=…`.
pub fn info_standing(
    ctx: *mut raw::RedisModuleInfoCtx,
    name: &CStr,
    is_managed: bool,
    since: i64,
    reason: &CStr,
) {
    // SAFETY: the server handed this context to the INFO handler; the name is valid for the call.
    let _ = unsafe { call!(RedisModule_InfoBeginDictField(ctx, name.as_ptr())) };
    info_number(ctx, c"managed", i64::from(is_managed));
    info_number(ctx, c"since", since);
    info_text(ctx, c"reason", reason);
    // SAFETY: as above.
    let _ = unsafe { call!(RedisModule_InfoEndDictField(ctx)) };
}

/// A field of INFO. The crate's own function loses the string each time.
pub fn server_info(ctx: RawContext, section: &CStr, field: &CStr) -> Option<String> {
    // SAFETY: context and name are valid.
    let info = unsafe { call!(RedisModule_GetServerInfo(ctx, section.as_ptr())) };
    // SAFETY: the data are ours until they are released.
    let value = unsafe { call!(RedisModule_ServerInfoGetFieldC(info, field.as_ptr())) };
    let value = (!value.is_null()).then(|| {
        // SAFETY: a text that ends in NUL, of the data.
        unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
    });
    // SAFETY: released once, with the context that they were made with.
    unsafe { call!(RedisModule_FreeServerInfo(ctx, info)) };
    value
}

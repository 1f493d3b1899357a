//! The context of a callback, with information about the server and its databases.

use std::ffi::c_int;
use std::marker::PhantomData;

use redis_module::{Context, raw};

use super::functions::OK;

/// The context as the server passes it to a callback.
pub type RawContext = *mut raw::RedisModuleCtx;

/// The server's context of one callback. It is created only in a callback and cannot outlive it.
#[derive(Clone, Copy)]
pub struct Ctx<'a> {
    raw: RawContext,
    callback: PhantomData<&'a Context>,
}

impl<'a> From<&'a Context> for Ctx<'a> {
    fn from(context: &'a Context) -> Self {
        Self { raw: context.ctx, callback: PhantomData }
    }
}

impl Ctx<'_> {
    /// Runs `work` in the context that the server lends to a callback.
    ///
    /// # Safety
    /// The server passed `raw` to a callback that has not returned.
    pub(super) unsafe fn lend<T>(raw: RawContext, work: impl FnOnce(Ctx<'_>) -> T) -> T {
        work(Ctx { raw, callback: PhantomData })
    }

    pub(super) const fn raw(self) -> RawContext {
        self.raw
    }
}

/// While a module is loaded that has not set this option, Valkey 9 refuses to migrate slots atomically. Redis does
/// not have this option and may use the number for another one.
const HANDLE_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

impl Ctx<'_> {
    /// Declares the options of the module. From now on a key that was opened for writing counts as changed only if
    /// the module signals it, not when the key is closed.
    pub fn declare(self, is_valkey: bool) {
        let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED.cast_signed();
        if is_valkey {
            options |= HANDLE_ATOMIC_SLOT_MIGRATION;
        }
        // SAFETY: the context is that of the load.
        unsafe { call!(RedisModule_SetModuleOptions(self.raw(), options)) };
    }

    /// Whether the server only asks which arguments of a command are keys, and does not run it. It may ask on a thread
    /// other than the main one, so nothing but the arguments may be used.
    pub fn wants_keys(self) -> bool {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_IsKeysPositionRequest(self.raw())) != 0 }
    }

    /// Says that the argument at this position is a key, which the command reads and writes.
    pub fn declare_key(self, position: usize) {
        let Ok(position) = c_int::try_from(position) else { return };
        // SAFETY: the context is that of a question for keys; the position is that of an argument.
        unsafe { call!(RedisModule_KeyAtPos(self.raw(), position)) };
    }

    /// The selected database.
    pub fn selected_db(self) -> c_int {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_GetSelectedDb(self.raw())) }
    }

    /// Selects a database. False if it does not exist.
    pub fn select_db(self, db: c_int) -> bool {
        // SAFETY: the context is valid.
        let status = unsafe { call!(RedisModule_SelectDb(self.raw(), db)) };
        status == OK
    }

    /// The number of keys in the selected database.
    pub fn db_size(self) -> u64 {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_DbSize(self.raw())) }
    }

    /// The context flags (`REDISMODULE_CTX_FLAGS_…`).
    pub fn flags(self) -> u32 {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_GetContextFlags(self.raw())) }.cast_unsigned()
    }
}

/// The time of the current unit of work, Unix ms. The server expires keys by it, and it does not change within the
/// unit.
pub fn now_ms() -> i64 {
    // SAFETY: takes nothing.
    let micros = unsafe { call!(RedisModule_CachedMicroseconds()) };
    micros.checked_div(1000).unwrap_or_default()
}

//! The context of one callback, and what it says of the server and its databases.

use std::ffi::c_int;
use std::marker::PhantomData;

use redis_module::{Context, raw};

use super::functions::OK;

/// The context as the server hands it to a callback.
pub type RawContext = *mut raw::RedisModuleCtx;

/// The server's context of one callback. It is made only there and cannot be kept: what borrows from it ends with the callback.
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
    /// Does `work` in the context that the server lends to a callback.
    ///
    /// # Safety
    /// The server has handed `raw` to a callback that has not returned.
    pub(super) unsafe fn lend<T>(raw: RawContext, work: impl FnOnce(Ctx<'_>) -> T) -> T {
        work(Ctx { raw, callback: PhantomData })
    }

    pub(super) const fn raw(self) -> RawContext {
        self.raw
    }
}

/// Valkey 9 moves no slot away at once while a module is loaded that has not declared that it can bear it. Redis has no such
/// option, and may give its number to another.
const HANDLE_ATOMIC_SLOT_MIGRATION: c_int = 1 << 5;

impl Ctx<'_> {
    /// Declares what the module can bear. From now on a key that was opened to be changed counts as changed when the module
    /// says so, not when it is closed.
    pub fn declare(self, is_valkey: bool) {
        let mut options = raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED.cast_signed();
        if is_valkey {
            options |= HANDLE_ATOMIC_SLOT_MIGRATION;
        }
        // SAFETY: the context is that of the load.
        unsafe { call!(RedisModule_SetModuleOptions(self.raw(), options)) };
    }

    /// The selected database.
    pub fn selected_db(self) -> c_int {
        // SAFETY: the context is valid.
        unsafe { call!(RedisModule_GetSelectedDb(self.raw())) }
    }

    /// Selects a database; false if there is none of that number.
    pub fn select_db(self, db: c_int) -> bool {
        // SAFETY: the context is valid.
        let status = unsafe { call!(RedisModule_SelectDb(self.raw(), db)) };
        status == OK
    }

    /// How many keys the selected database has.
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

/// The moment of this unit of work, Unix ms, by which the server expires keys. It does not move inside the unit.
pub fn now_ms() -> i64 {
    // SAFETY: takes nothing.
    let micros = unsafe { call!(RedisModule_CachedMicroseconds()) };
    micros.checked_div(1000).unwrap_or_default()
}

//! Walks over the keys of a database.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;

use redis_module::raw;

use super::ctx::{Ctx, RawContext};
use super::key::OpenKey;
use super::text::bytes_of;

/// A cursor of a walk over the keys of one database. The walk visits every key that exists throughout, and some keys
/// more than once.
pub struct ScanCursor(NonNull<raw::RedisModuleScanCursor>);

impl ScanCursor {
    /// A cursor at the start.
    pub fn new() -> Self {
        // SAFETY: it takes no arguments.
        match NonNull::new(unsafe { call!(RedisModule_ScanCursorCreate()) }) {
            Some(cursor) => Self(cursor),
            // The server itself ends the process if memory runs out.
            None => std::process::abort(),
        }
    }

    /// Calls `meet` for each of the next few keys of the selected database, with its name and the key as it is
    /// stored. `meet` must not open keys. False at the end of the walk.
    pub fn step<F: FnMut(&[u8], &OpenKey<'_>)>(&mut self, ctx: Ctx<'_>, meet: F) -> bool {
        /// Keeps a panic of `meet`, which must not unwind through the server.
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
            // SAFETY: it points to the `Meeting` below, which outlives the step and is not used by anybody else
            // meanwhile.
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
        let more = unsafe { call!(RedisModule_Scan(ctx.raw(), self.0.as_ptr(), Some(each::<F>), data)) != 0 };
        if let Some(panic) = meeting.panic {
            panic::resume_unwind(panic);
        }
        more
    }
}

impl Drop for ScanCursor {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed only here.
        unsafe { call!(RedisModule_ScanCursorDestroy(self.0.as_ptr())) }
    }
}

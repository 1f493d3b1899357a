//! Walks over the keys of a database.

use std::any::Any;
use std::ffi::c_void;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;

use redis_module::raw;

use super::ctx::{Ctx, RawContext};
use super::key::OpenKey;
use super::text::bytes_of;

/// A place in a walk over the keys of one database. Every key that is there all the time is met, some more than once.
pub struct ScanCursor(NonNull<raw::RedisModuleScanCursor>);

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
    pub fn step<F: FnMut(&[u8], &OpenKey<'_>)>(&mut self, ctx: Ctx<'_>, meet: F) -> bool {
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
        let more = unsafe { call!(RedisModule_Scan(ctx.raw(), self.0.as_ptr(), Some(each::<F>), data)) != 0 };
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

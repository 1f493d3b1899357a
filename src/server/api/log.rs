//! The server's log.

use std::ffi::{CStr, CString};
use std::ptr;

use super::ctx::Ctx;

impl Ctx<'_> {
    /// Writes a warning into the server's log.
    pub fn warn(self, line: &str) {
        warn(Some(self), line);
    }

    /// Writes a line to the server's log that asks for nothing.
    pub fn note(self, line: &str) {
        log(Some(self), c"notice", line);
    }
}

/// Writes a warning into the server's log, which can be done without a context too. Names in it are whatever a client has sent:
/// the server would take them for a part of its format, and a line feed for the end of the line.
pub fn warn(ctx: Option<Ctx<'_>>, line: &str) {
    log(ctx, c"warning", line);
}

fn log(ctx: Option<Ctx<'_>>, level: &CStr, line: &str) {
    let ctx = ctx.map_or(ptr::null_mut(), Ctx::raw);
    let line = CString::new(line.replace(char::is_control, " ")).unwrap_or_default();
    // SAFETY: the server may be asked without a context; level, format and line end in NUL, and the format takes one line.
    unsafe { call!(RedisModule_Log(ctx, level.as_ptr(), c"%s".as_ptr(), line.as_ptr())) };
}

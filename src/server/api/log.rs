//! Writes to the server's log.

use std::ffi::{CStr, CString};
use std::ptr;

use super::ctx::Ctx;

impl Ctx<'_> {
    /// Writes a warning.
    pub fn warn(self, line: &str) {
        warn(Some(self), line);
    }

    /// Writes a notice.
    pub fn note(self, line: &str) {
        log(Some(self), c"notice", line);
    }
}

/// Writes a warning, with or without a context. The line may contain names that clients have sent. It is therefore
/// not used as the server's format string, and control characters in it are replaced, so that it remains one line.
pub fn warn(ctx: Option<Ctx<'_>>, line: &str) {
    log(ctx, c"warning", line);
}

fn log(ctx: Option<Ctx<'_>>, level: &CStr, line: &str) {
    let ctx = ctx.map_or(ptr::null_mut(), Ctx::raw);
    let line = CString::new(line.replace(char::is_control, " ")).unwrap_or_default();
    // SAFETY: the context may be null; level, format and line end in NUL, and the format takes one string.
    unsafe { call!(RedisModule_Log(ctx, level.as_ptr(), c"%s".as_ptr(), line.as_ptr())) };
}

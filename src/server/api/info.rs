//! INFO: what the module adds to it, and what it reads of it.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use redis_module::raw;

use super::ctx::Ctx;

/// The context in which the server asks for the module's part of INFO.
#[derive(Clone, Copy)]
pub struct InfoCtx<'a> {
    raw: *mut raw::RedisModuleInfoCtx,
    callback: PhantomData<&'a ()>,
}

/// Who writes the module's part of INFO.
pub trait InfoWriter {
    /// Writes it.
    fn write(info: InfoCtx<'_>, is_for_crash_report: bool);
}

unsafe extern "C" fn on_info<W: InfoWriter>(raw: *mut raw::RedisModuleInfoCtx, is_for_crash_report: c_int) {
    W::write(InfoCtx { raw, callback: PhantomData }, is_for_crash_report != 0);
}

impl InfoCtx<'_> {
    /// Adds the section that bears the module's name alone.
    pub fn section(self) {
        // SAFETY: the server handed this context to the INFO handler.
        let _ = unsafe { call!(RedisModule_InfoAddSection(self.raw, c"".as_ptr())) };
    }

    /// Adds a number.
    pub fn number(self, name: &CStr, value: i64) {
        // SAFETY: as above; the name is valid for the call.
        let _ = unsafe { call!(RedisModule_InfoAddFieldLongLong(self.raw, name.as_ptr(), value)) };
    }

    /// Adds a text.
    pub fn text(self, name: &CStr, text: &CStr) {
        // SAFETY: as above; name and text are valid for the call.
        let _ = unsafe { call!(RedisModule_InfoAddFieldCString(self.raw, name.as_ptr(), text.as_ptr())) };
    }

    /// Adds whether the module is alone in a database: `managed=1,since=…,reason=…`.
    pub fn standing(self, name: &CStr, is_managed: bool, since: i64, reason: &CStr) {
        // SAFETY: the server handed this context to the INFO handler; the name is valid for the call.
        let _ = unsafe { call!(RedisModule_InfoBeginDictField(self.raw, name.as_ptr())) };
        self.number(c"managed", i64::from(is_managed));
        self.number(c"since", since);
        self.text(c"reason", reason);
        // SAFETY: as above.
        let _ = unsafe { call!(RedisModule_InfoEndDictField(self.raw)) };
    }
}

impl Ctx<'_> {
    /// Has the server ask `W` whenever somebody asks for INFO.
    pub fn register_info<W: InfoWriter>(self) {
        raw::register_info_function(self.raw(), Some(on_info::<W>));
    }

    /// A field of INFO. The crate's own function loses the string each time.
    pub fn server_info(self, section: &CStr, field: &CStr) -> Option<String> {
        // SAFETY: context and name are valid.
        let info = unsafe { call!(RedisModule_GetServerInfo(self.raw(), section.as_ptr())) };
        // SAFETY: the data are ours until they are released.
        let value = unsafe { call!(RedisModule_ServerInfoGetFieldC(info, field.as_ptr())) };
        let value = (!value.is_null()).then(|| {
            // SAFETY: a text that ends in NUL, of the data.
            unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
        });
        // SAFETY: released once, with the context that they were made with.
        unsafe { call!(RedisModule_FreeServerInfo(self.raw(), info)) };
        value
    }
}

//! INFO: adds the section of the module, and reads fields of the server.

use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

use redis_module::raw;

use super::ctx::Ctx;

/// The context in which the server requests the module's section of INFO.
#[derive(Clone, Copy)]
pub struct InfoCtx<'a> {
    raw: *mut raw::RedisModuleInfoCtx,
    callback: PhantomData<&'a ()>,
}

/// Writes the module's section of INFO.
pub trait InfoWriter {
    /// Writes the section.
    fn write(info: InfoCtx<'_>, is_for_crash_report: bool);
}

unsafe extern "C" fn on_info<W: InfoWriter>(raw: *mut raw::RedisModuleInfoCtx, is_for_crash_report: c_int) {
    W::write(InfoCtx { raw, callback: PhantomData }, is_for_crash_report != 0);
}

impl InfoCtx<'_> {
    /// Adds the section that has only the module's name.
    pub fn section(self) {
        // SAFETY: the server passed this context to the INFO handler.
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

    /// Adds whether the module manages a database alone: `managed=1,since=…,reason=…`.
    pub fn standing(self, name: &CStr, is_managed: bool, since: i64, reason: &CStr) {
        // SAFETY: the server passed this context to the INFO handler; the name is valid for the call.
        let _ = unsafe { call!(RedisModule_InfoBeginDictField(self.raw, name.as_ptr())) };
        self.number(c"managed", i64::from(is_managed));
        self.number(c"since", since);
        self.text(c"reason", reason);
        // SAFETY: as above.
        let _ = unsafe { call!(RedisModule_InfoEndDictField(self.raw)) };
    }
}

impl Ctx<'_> {
    /// Makes the server call `W` for each INFO.
    pub fn register_info<W: InfoWriter>(self) {
        raw::register_info_function(self.raw(), Some(on_info::<W>));
    }

    /// A field of INFO. The function of the `redis_module` crate is not used because it leaks the string.
    pub fn server_info(self, section: &CStr, field: &CStr) -> Option<String> {
        // SAFETY: context and name are valid.
        let info = unsafe { call!(RedisModule_GetServerInfo(self.raw(), section.as_ptr())) };
        // SAFETY: the data belong to the module until they are released.
        let value = unsafe { call!(RedisModule_ServerInfoGetFieldC(info, field.as_ptr())) };
        let value = (!value.is_null()).then(|| {
            // SAFETY: the value is a part of the data and ends in NUL.
            unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
        });
        // SAFETY: released once, with the context that created them.
        unsafe { call!(RedisModule_FreeServerInfo(self.raw(), info)) };
        value
    }
}

//! Options that the server stores for the module. The server can write their values at any time.
//!
//! The registration of the `redis_module` crate is not used: it allocates memory for each option and loses it when
//! the module is unloaded.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_void};
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use redis_module::raw;

use super::ctx::Ctx;
use super::functions::OK;

impl Ctx<'_> {
    /// Registers a numeric option and the place where its value is stored.
    pub fn register_number(
        self,
        name: &CStr,
        default: i64,
        range: RangeInclusive<i64>,
        place: &'static AtomicI64,
    ) {
        let place = ptr::from_ref(place).cast_mut().cast::<c_void>();
        let flags = raw::REDISMODULE_CONFIG_DEFAULT;
        let (get, set) = (Some(get_number as _), Some(set_number as _));
        // SAFETY: name and place are static; the functions use the place with its real type.
        unsafe {
            call!(RedisModule_RegisterNumericConfig(
                self.raw(),
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

    /// Registers an option whose value is one of these words. `default` is the number of the default word, and
    /// `place` stores the number of the current one.
    pub fn register_word(
        self,
        name: &CStr,
        words: [&'static CStr; 3],
        default: c_int,
        can_change: bool,
        place: &'static AtomicI32,
    ) {
        let place = ptr::from_ref(place).cast_mut().cast::<c_void>();
        let flags =
            if can_change { raw::REDISMODULE_CONFIG_DEFAULT } else { raw::REDISMODULE_CONFIG_IMMUTABLE };
        let mut words = words.map(CStr::as_ptr);
        let (get, set) = (Some(get_word as _), Some(set_word as _));
        // SAFETY: the server copies the words and their numbers; the rest is as in `register_number`.
        unsafe {
            call!(RedisModule_RegisterEnumConfig(
                self.raw(),
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

    /// Applies the `inv.*` lines of the configuration. Must be called once, after all options are registered.
    pub fn load_configs(self) -> bool {
        // SAFETY: the context is that of the load.
        unsafe { call!(RedisModule_LoadConfigs(self.raw())) == OK }
    }
}

unsafe extern "C" fn get_number(_name: *const c_char, place: *mut c_void) -> c_longlong {
    // SAFETY: `register_number` passed a place of this type, which exists as long as the module.
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

unsafe extern "C" fn get_word(_name: *const c_char, place: *mut c_void) -> c_int {
    // SAFETY: `register_word` passed a place of this type, which exists as long as the module.
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

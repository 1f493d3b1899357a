//! The callbacks of the module: server events, keyspace notifications, jobs, and wake-ups of the event loop.
//!
//! A receiver implements a trait, so that all functions that the server calls are in this file. Each of them ensures
//! that the data which the server lends are not used for longer than they are lent.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

use redis_module::raw;

use super::ctx::{Ctx, RawContext};
use super::functions::OK;
use super::key::OpenKey;
use super::text::bytes_of;

/// An event of the server.
pub trait Event {
    /// Its number in the module API.
    const NUMBER: u64;

    /// The data that the server lends to a handler.
    type Lent<'a>;

    /// # Safety
    /// `data` is what the server passes to a handler of this event, valid for the whole of `'a`.
    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a>;
}

/// Handles an event.
pub trait Hears<E: Event> {
    /// Called when the event has happened. `subevent` says which variant of it.
    fn hear(ctx: Ctx<'_>, subevent: u64, lent: E::Lent<'_>);
}

unsafe extern "C" fn on_event<E: Event, H: Hears<E>>(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: the server lends the data for the duration of this call.
    let hear = |ctx: Ctx<'_>| H::hear(ctx, subevent, unsafe { E::lent(data) });
    // SAFETY: the server lends the context for the duration of this call.
    unsafe { Ctx::lend(ctx, hear) }
}

/// A key is removed. The server reports every key.
pub struct KeyGoes;

/// The key that is removed.
pub struct GoingKey<'a>(&'a raw::RedisModuleKeyInfo);

impl<'a> GoingKey<'a> {
    /// Its name, and the key itself, which stays open until the handler returns.
    pub fn look(&self) -> (&'a [u8], OpenKey<'a>) {
        // SAFETY: the key is open while the handler runs.
        let name = unsafe { call!(RedisModule_GetKeyNameFromModuleKey(self.0.key)) };
        // SAFETY: the name belongs to the open key.
        let name = unsafe { bytes_of(name) };
        (name, OpenKey::lent(self.0.key))
    }
}

impl Event for KeyGoes {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_KEY;
    type Lent<'a> = GoingKey<'a>;

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server passes this structure to the handlers of this event.
        GoingKey(unsafe { &*data.cast::<raw::RedisModuleKeyInfo>() })
    }
}

/// A database is flushed, and its number is lent, or all are (-1).
pub struct Flush;

impl Event for Flush {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_FLUSHDB;
    type Lent<'a> = c_int;

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server passes this structure to the handlers of this event.
        unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum }
    }
}

/// Two databases were swapped, and their numbers are lent.
pub struct Swap;

impl Event for Swap {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_SWAPDB;
    type Lent<'a> = (c_int, c_int);

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server passes this structure to the handlers of this event.
        let swap = unsafe { *data.cast::<raw::RedisModuleSwapDbInfo>() };
        (swap.dbnum_first, swap.dbnum_second)
    }
}

/// Another module was loaded or unloaded, whose name is lent.
pub struct ModuleChange;

impl Event for ModuleChange {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_MODULE_CHANGE;
    type Lent<'a> = &'a CStr;

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server passes this structure to the handlers of this event.
        let change = unsafe { &*data.cast::<raw::RedisModuleModuleChange>() };
        // SAFETY: the name is lent with it and ends in NUL.
        unsafe { CStr::from_ptr(change.module_name) }
    }
}

/// Events that lend no data that the module needs.
macro_rules! bare {
    ($($(#[$document:meta])* $name:ident: $number:ident),* $(,)?) => {
        $(
            $(#[$document])*
            pub struct $name;

            impl Event for $name {
                const NUMBER: u64 = raw::$number;
                type Lent<'a> = ();

                unsafe fn lent<'a>(_data: *mut c_void) -> Self::Lent<'a> {}
            }
        )*
    };
}

bare!(
    /// The server's periodic work, which runs `hz` times a second.
    Cron: REDISMODULE_EVENT_CRON_LOOP,
    /// Before and after the server sleeps between two iterations of its event loop.
    EventLoop: REDISMODULE_EVENT_EVENTLOOP,
    /// A data set is being loaded.
    Loading: REDISMODULE_EVENT_LOADING,
    /// The server has become a master or a replica.
    RoleChange: REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
);

/// Handles keyspace notifications.
pub trait HearsOfKeys {
    /// Called when something of this kind (`REDISMODULE_NOTIFY_…`) has happened to a key.
    fn hear(ctx: Ctx<'_>, kind: c_int, notification: Notification<'_>);
}

/// A key, and what has happened to it.
pub struct Notification<'a> {
    event: *const c_char,
    name: *mut raw::RedisModuleString,
    lent: PhantomData<&'a CStr>,
}

impl<'a> Notification<'a> {
    /// The name of the key.
    pub fn key(&self) -> &'a [u8] {
        // SAFETY: the server lends the name while the handler runs.
        unsafe { bytes_of(self.name) }
    }

    /// The name of the event.
    pub fn event(&self) -> &'a CStr {
        // SAFETY: the server passes a string that ends in NUL.
        unsafe { CStr::from_ptr(self.event) }
    }
}

unsafe extern "C" fn on_notification<H: HearsOfKeys>(
    ctx: RawContext,
    kind: c_int,
    event: *const c_char,
    name: *mut raw::RedisModuleString,
) -> c_int {
    let hear = |ctx: Ctx<'_>| H::hear(ctx, kind, Notification { event, name, lent: PhantomData });
    // SAFETY: the server lends the context for the duration of this call.
    unsafe { Ctx::lend(ctx, hear) };
    OK
}

/// A job that runs after a unit of work.
pub trait Job {
    /// Runs the job.
    fn run(ctx: Ctx<'_>);
}

unsafe extern "C" fn on_job<J: Job>(ctx: RawContext, _data: *mut c_void) {
    // SAFETY: the server lends the context for the duration of this call.
    unsafe { Ctx::lend(ctx, J::run) }
}

/// Handles a requested wake-up of the event loop.
pub trait Woken {
    /// Called when the event loop has woken up.
    fn woken();
}

unsafe extern "C" fn on_woken<W: Woken>(_data: *mut c_void) {
    W::woken();
}

/// Makes the event loop run another iteration at once, in which it calls `W`. Until then, the module must not be
/// unloaded.
pub fn wake_event_loop<W: Woken>() -> bool {
    // SAFETY: the function takes no data, and the module refuses to be unloaded until it was called.
    let status = unsafe { call!(RedisModule_EventLoopAddOneShot(Some(on_woken::<W>), ptr::null_mut())) };
    status == OK
}

impl Ctx<'_> {
    /// Subscribes `H` to an event. A module has one subscription for each event.
    pub fn subscribe<E: Event, H: Hears<E>>(self) -> bool {
        let event = raw::RedisModuleEvent { id: E::NUMBER, dataver: 1 };
        let handler = on_event::<E, H>;
        // SAFETY: the handler lives as long as the module.
        let status = unsafe { call!(RedisModule_SubscribeToServerEvent(self.raw(), event, Some(handler))) };
        status == OK
    }

    /// Subscribes `H` to keyspace notifications of these kinds.
    pub fn subscribe_keyspace<H: HearsOfKeys>(self, kinds: c_int) -> bool {
        let handler = on_notification::<H>;
        // SAFETY: the handler lives as long as the module.
        let status =
            unsafe { call!(RedisModule_SubscribeToKeyspaceEvents(self.raw(), kinds, Some(handler))) };
        status == OK
    }

    /// Queues `J` to run after the current unit of work. False if the server accepts no jobs, because it is loading
    /// or is a replica.
    pub fn queue_job<J: Job>(self) -> bool {
        let job = on_job::<J>;
        // SAFETY: the job takes no data, so nothing has to live until it runs; the module refuses to be unloaded
        // before.
        let status = unsafe {
            call!(RedisModule_AddPostNotificationJob(self.raw(), Some(job), ptr::null_mut(), None))
        };
        status == OK
    }
}

//! What the server calls the module for: its events, notifications of keys, jobs, and turns of its event loop.
//!
//! Whoever is called implements a trait, so that the functions which the server calls are all here, and each hands out what
//! the server lends for no longer than it lends it.

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

    /// What the server lends to a handler.
    type Lent<'a>;

    /// # Safety
    /// `data` is what the server hands to a handler of this event, for the whole of `'a`.
    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a>;
}

/// Who hears of an event.
pub trait Hears<E: Event> {
    /// It has happened; `subevent` says what of it.
    fn hear(ctx: Ctx<'_>, subevent: u64, lent: E::Lent<'_>);
}

unsafe extern "C" fn on_event<E: Event, H: Hears<E>>(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: the server lends the data for the length of this call.
    let hear = |ctx: Ctx<'_>| H::hear(ctx, subevent, unsafe { E::lent(data) });
    // SAFETY: the server lends the context for the length of this call.
    unsafe { Ctx::lend(ctx, hear) }
}

/// A key goes. It comes for every key of the server.
pub struct KeyGoes;

/// The key that goes.
pub struct GoingKey<'a>(&'a raw::RedisModuleKeyInfo);

impl<'a> GoingKey<'a> {
    /// Its name, and the key itself, which is open until the handler returns.
    pub fn look(&self) -> (&'a [u8], OpenKey<'a>) {
        // SAFETY: the key is open for the length of the handler.
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
        // SAFETY: the server hands this structure to the handlers of this event.
        GoingKey(unsafe { &*data.cast::<raw::RedisModuleKeyInfo>() })
    }
}

/// A database is flushed, whose number is lent, or all are (-1).
pub struct Flush;

impl Event for Flush {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_FLUSHDB;
    type Lent<'a> = c_int;

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server hands this structure to the handlers of this event.
        unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum }
    }
}

/// Two databases were swapped, whose numbers are lent.
pub struct Swap;

impl Event for Swap {
    const NUMBER: u64 = raw::REDISMODULE_EVENT_SWAPDB;
    type Lent<'a> = (c_int, c_int);

    unsafe fn lent<'a>(data: *mut c_void) -> Self::Lent<'a> {
        // SAFETY: the server hands this structure to the handlers of this event.
        let swap = unsafe { *data.cast::<raw::RedisModuleSwapDbInfo>() };
        (swap.dbnum_first, swap.dbnum_second)
    }
}

/// Events that lend nothing that the module looks at.
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
    /// The server's own work, ten times a second (at `hz` 10).
    Cron: REDISMODULE_EVENT_CRON_LOOP,
    /// Before and after the server sleeps between two rounds of its work.
    EventLoop: REDISMODULE_EVENT_EVENTLOOP,
    /// A data set is loaded.
    Loading: REDISMODULE_EVENT_LOADING,
    /// The server is a master or a replica from now on.
    RoleChange: REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED,
);

/// Who hears what has become of keys.
pub trait HearsOfKeys {
    /// Something of this kind (`REDISMODULE_NOTIFY_…`) has happened to a key.
    fn hear(ctx: Ctx<'_>, kind: c_int, notification: Notification<'_>);
}

/// What has happened to which key.
pub struct Notification<'a> {
    event: *const c_char,
    name: *mut raw::RedisModuleString,
    lent: PhantomData<&'a CStr>,
}

impl<'a> Notification<'a> {
    /// The name of the key.
    pub fn key(&self) -> &'a [u8] {
        // SAFETY: the server lends the name for the length of the handler.
        unsafe { bytes_of(self.name) }
    }

    /// The name of the event.
    pub fn event(&self) -> &'a CStr {
        // SAFETY: the server hands a string that ends in NUL.
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
    // SAFETY: the server lends the context for the length of this call.
    unsafe { Ctx::lend(ctx, hear) };
    OK
}

/// What runs after a unit of work.
pub trait Job {
    /// Its turn has come.
    fn run(ctx: Ctx<'_>);
}

unsafe extern "C" fn on_job<J: Job>(ctx: RawContext, _data: *mut c_void) {
    // SAFETY: the server lends the context for the length of this call.
    unsafe { Ctx::lend(ctx, J::run) }
}

/// Who asked for a turn of the event loop.
pub trait Woken {
    /// The event loop turns.
    fn woken();
}

unsafe extern "C" fn on_woken<W: Woken>(_data: *mut c_void) {
    W::woken();
}

/// Makes the event loop turn once more at once, and tells `W` of it then. Until that the module must not be unloaded.
pub fn wake_event_loop<W: Woken>() -> bool {
    // SAFETY: the function takes no data, and the module refuses to be unloaded before it was called.
    let status = unsafe { call!(RedisModule_EventLoopAddOneShot(Some(on_woken::<W>), ptr::null_mut())) };
    status == OK
}

impl Ctx<'_> {
    /// Lets `H` hear of an event. There is one subscription for each module and event.
    pub fn subscribe<E: Event, H: Hears<E>>(self) -> bool {
        let event = raw::RedisModuleEvent { id: E::NUMBER, dataver: 1 };
        let handler = on_event::<E, H>;
        // SAFETY: the handler lives as long as the module.
        let status = unsafe { call!(RedisModule_SubscribeToServerEvent(self.raw(), event, Some(handler))) };
        status == OK
    }

    /// Lets `H` hear of keyspace notifications of these kinds.
    pub fn subscribe_keyspace<H: HearsOfKeys>(self, kinds: c_int) -> bool {
        let handler = on_notification::<H>;
        // SAFETY: the handler lives as long as the module.
        let status =
            unsafe { call!(RedisModule_SubscribeToKeyspaceEvents(self.raw(), kinds, Some(handler))) };
        status == OK
    }

    /// Queues `J` to run after the unit of work at hand. False if the server takes none (loading, a replica).
    pub fn queue_job<J: Job>(self) -> bool {
        let job = on_job::<J>;
        // SAFETY: the job takes no data, so nothing has to live until it runs; the module refuses to be unloaded before.
        let status = unsafe {
            call!(RedisModule_AddPostNotificationJob(self.raw(), Some(job), ptr::null_mut(), None))
        };
        status == OK
    }
}

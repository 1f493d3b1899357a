//! Sends commands to the replicas and the AOF, and messages to subscribers.

use std::ffi::{CStr, c_int};

use redis_module::raw;

use super::ctx::Ctx;
use super::text::Text;
use crate::engine::sent::Sent;

impl Ctx<'_> {
    /// Sends a keyspace notification for a key.
    pub fn notify(self, kind: c_int, event: &CStr, name: &Text) {
        // SAFETY: context, event and name are valid for the call.
        let _ = unsafe {
            call!(RedisModule_NotifyKeyspaceEvent(self.raw(), kind, event.as_ptr(), name.as_ptr()))
        };
    }

    /// Sends a command to the replicas and, if `to_aof`, to the AOF.
    pub fn replicate(self, command: Sent, arguments: &[Text], to_aof: bool) {
        let (ctx, name) = (self.raw(), command.name().as_ptr());
        // `A` keeps the command out of the AOF.
        let format = |with_aof: &'static CStr, without: &'static CStr| {
            if to_aof { with_aof.as_ptr() } else { without.as_ptr() }
        };
        // A few strings are passed one by one, because the server allocates the room for an array twice.
        let _ = match arguments {
            [a, b] => {
                let format = format(c"ss", c"Ass");
                // SAFETY: `s` takes a string, and only reads it; the server adds its own reference.
                unsafe { call!(RedisModule_Replicate(ctx, name, format, a.as_ptr(), b.as_ptr())) }
            }
            [a, b, c] => {
                let format = format(c"sss", c"Asss");
                let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_ptr());
                // SAFETY: as above.
                unsafe { call!(RedisModule_Replicate(ctx, name, format, a, b, c)) }
            }
            [a, b, c, d] => {
                let format = format(c"ssss", c"Assss");
                let (a, b, c, d) = (a.as_ptr(), b.as_ptr(), c.as_ptr(), d.as_ptr());
                // SAFETY: as above.
                unsafe { call!(RedisModule_Replicate(ctx, name, format, a, b, c, d)) }
            }
            _ => {
                // A `Text` has the memory layout of the pointer it contains.
                let strings = arguments.as_ptr().cast::<*mut raw::RedisModuleString>();
                let format = format(c"v", c"Av");
                // SAFETY: `v` takes an array of strings and its length, and only reads them; the server adds its own
                // references.
                unsafe { call!(RedisModule_Replicate(ctx, name, format, strings, arguments.len())) }
            }
        };
    }

    /// Replicates the current command to the replicas and the AOF exactly as it was received.
    pub fn replicate_verbatim(self) {
        // SAFETY: the context is that of a command.
        let _ = unsafe { call!(RedisModule_ReplicateVerbatim(self.raw())) };
    }

    /// Publishes a message.
    pub fn publish(self, channel: &Text, message: &Text) {
        // SAFETY: context and strings are valid for the call.
        let _ = unsafe { call!(RedisModule_PublishMessage(self.raw(), channel.as_ptr(), message.as_ptr())) };
    }
}

/// Whether the server must not replicate anything on its own initiative now, because clients are paused or a failover
/// is in progress.
pub fn avoid_traffic() -> bool {
    // SAFETY: it takes no arguments.
    unsafe { call!(RedisModule_AvoidReplicaTraffic()) != 0 }
}

/// The kinds of keyspace notifications (`REDISMODULE_NOTIFY_…`) that the server sends to clients.
pub fn notified_kinds() -> c_int {
    // SAFETY: it takes no arguments.
    unsafe { call!(RedisModule_GetNotifyKeyspaceEvents()) }
}

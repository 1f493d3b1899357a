//! What a node of a cluster knows of itself.

use std::ffi::c_char;
use std::io::{Error, ErrorKind};
use std::ptr;

use redis_module::raw;

use super::call::Called;
use super::ctx::Ctx;
use super::functions::OK;
use super::text::slice_of;

/// How long the id of a cluster node is.
const NODE_ID_BYTES: usize = 40;

/// Whether a node serves the keys of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// All of them, so that none is on its way.
    Whole,
    /// Not all: the slot is another node's, or is being moved.
    Refused,
    /// Nothing is served: the cluster is down, or this node cannot see most of the others.
    Down,
}

impl Ctx<'_> {
    /// Whether this cluster node is a master by its own flag in the cluster; `None` outside a cluster.
    pub fn is_cluster_master(self) -> Option<bool> {
        // SAFETY: takes nothing.
        let id = unsafe { call!(RedisModule_GetMyClusterID()) };
        if id.is_null() {
            return None;
        }
        // The server hands out its 40 bytes without a NUL after them, and wants one when it is asked by them.
        let mut name = [0_u8; NODE_ID_BYTES + 1];
        // SAFETY: the id has that many bytes and stays where it is for this call.
        let id = unsafe { slice_of(id, NODE_ID_BYTES) };
        name.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        let id = name.as_ptr().cast::<c_char>();
        let mut flags = 0;
        // SAFETY: the id ends in NUL; the outputs that may be null are.
        let status = unsafe {
            call!(RedisModule_GetClusterNodeInfo(
                self.raw(),
                id,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                &raw mut flags
            ))
        };
        let master = raw::REDISMODULE_NODE_MASTER.cast_signed();
        Some(status == OK && flags & master != 0)
    }

    /// Whether this node serves every key with this tag: what a command on two keys that are not there would be told, if it were
    /// run.
    pub fn serves(self, tag: &str) -> Service {
        // Two, because an importing node serves a client that asks for one. No id holds a control character.
        let names = [1, 2].map(|number: u8| [b"{", tag.as_bytes(), b"}", &[number]].concat());
        let [(one, one_length), (two, two_length)] =
            names.each_ref().map(|name| (name.as_ptr().cast::<c_char>(), name.len()));
        // Not carried out (D), and a refusal is a reply (E).
        let format = c"DEbb".as_ptr();
        let exists = Called::Exists.words().0.as_ptr();
        // SAFETY: the context is valid; `b` takes a pointer and a length, twice; both are of one live vector.
        let reply =
            unsafe { call!(RedisModule_Call(self.raw(), exists, format, one, one_length, two, two_length)) };
        if reply.is_null() {
            return Service::Whole;
        }
        // The server says by it why, and nothing has been called since.
        let reason = Error::last_os_error().kind();
        // SAFETY: the reply is ours.
        let kind = unsafe { call!(RedisModule_CallReplyType(reply)) };
        // SAFETY: as above, and freed here alone.
        unsafe { call!(RedisModule_FreeCallReply(reply)) };
        if isize::try_from(kind) != Ok(raw::REDISMODULE_REPLY_ERROR) {
            // Valkey 9.1: if nothing is refused there is a reply all the same, an empty one.
            return Service::Whole;
        }
        if matches!(reason, ErrorKind::NetworkDown | ErrorKind::ReadOnlyFilesystem) {
            Service::Down
        } else {
            Service::Refused
        }
    }
}

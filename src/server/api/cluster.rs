//! What a cluster node knows about itself.

use std::ffi::c_char;
use std::io::{Error, ErrorKind};
use std::ptr;

use redis_module::raw;

use super::call::Called;
use super::ctx::Ctx;
use super::functions::OK;
use super::text::slice_of;

/// The length of the id of a cluster node.
const NODE_ID_BYTES: usize = 40;

/// Whether a node serves the keys of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It serves all of them, so no key is being moved.
    Whole,
    /// It does not serve all of them: the slot belongs to another node or is being moved.
    Refused,
    /// It serves no keys: the cluster is down, or this node cannot reach the majority of the others.
    Down,
}

impl Ctx<'_> {
    /// Whether this cluster node is a master according to its own flag in the cluster; `None` outside a cluster.
    pub fn is_cluster_master(self) -> Option<bool> {
        // SAFETY: takes nothing.
        let id = unsafe { call!(RedisModule_GetMyClusterID()) };
        if id.is_null() {
            return None;
        }
        // The server returns 40 bytes without a NUL at the end, but expects one when it receives the id.
        let mut name = [0_u8; NODE_ID_BYTES + 1];
        // SAFETY: the id has this number of bytes and stays in place during this call.
        let id = unsafe { slice_of(id, NODE_ID_BYTES) };
        name.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        let id = name.as_ptr().cast::<c_char>();
        let mut flags = 0;
        // SAFETY: the id ends in NUL; the outputs that are not needed are null, which is allowed.
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

    /// Whether this node serves every key with this hash tag. It asks what the server would answer to a command on
    /// two keys that do not exist.
    pub fn serves(self, tag: &str) -> Service {
        // There are two keys because an importing node serves requests for a single one. They do not exist, because
        // no id contains a control character.
        let names = [1, 2].map(|number: u8| [b"{", tag.as_bytes(), b"}", &[number]].concat());
        let [(one, one_length), (two, two_length)] =
            names.each_ref().map(|name| (name.as_ptr().cast::<c_char>(), name.len()));
        // D means that the command is not run, and E that a refusal is returned as a reply.
        let format = c"DEbb".as_ptr();
        let exists = Called::Exists.words().0.as_ptr();
        // SAFETY: the context is valid. `b` takes a pointer and a length, and occurs twice; both pairs belong to a
        // vector that is alive.
        let reply =
            unsafe { call!(RedisModule_Call(self.raw(), exists, format, one, one_length, two, two_length)) };
        if reply.is_null() {
            return Service::Whole;
        }
        // The server reports the reason in errno, and nothing has been called since.
        let reason = Error::last_os_error().kind();
        // SAFETY: the reply belongs to the module.
        let kind = unsafe { call!(RedisModule_CallReplyType(reply)) };
        // SAFETY: as above, and it is freed only here.
        unsafe { call!(RedisModule_FreeCallReply(reply)) };
        if isize::try_from(kind) != Ok(raw::REDISMODULE_REPLY_ERROR) {
            // Valkey 9.1 returns a reply even if nothing is refused, an empty one.
            return Service::Whole;
        }
        if matches!(reason, ErrorKind::NetworkDown | ErrorKind::ReadOnlyFilesystem) {
            Service::Down
        } else {
            Service::Refused
        }
    }
}

//! Commands that the server carries out for the module.

use std::ffi::{CStr, c_int, c_void};
use std::io::{Error, ErrorKind};
use std::ptr;

use redis_module::{Context, RedisResult, RedisValue, raw};

use super::ctx::Ctx;
use super::text::Text;

/// A command that the module has the server carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// Whether all of a slot is here.
    Exists,
    /// Why it is not.
    ClusterNodes,
    /// Who is connected, at an unload.
    ClientList,
    /// Ends a connection, at an unload.
    ClientKill,
    /// Who may do what, at an unload.
    AclList,
    /// The keys, for INV.AUDITSCAN.
    Scan,
}

impl Called {
    /// Those that a server needs, in a cluster or outside.
    pub const fn needed(in_cluster: bool) -> &'static [Self] {
        use Called::{AclList, ClientKill, ClientList, ClusterNodes, Exists, Scan};
        if in_cluster {
            &[Exists, ClusterNodes, ClientList, ClientKill, AclList, Scan]
        } else {
            &[ClientList, ClientKill, AclList, Scan]
        }
    }

    /// Its name, and that of a part of it.
    pub const fn words(self) -> (&'static CStr, Option<&'static CStr>) {
        match self {
            Self::Exists => (c"EXISTS", None),
            Self::ClusterNodes => (c"CLUSTER", Some(c"NODES")),
            Self::ClientList => (c"CLIENT", Some(c"LIST")),
            Self::ClientKill => (c"CLIENT", Some(c"KILL")),
            Self::AclList => (c"ACL", Some(c"LIST")),
            Self::Scan => (c"SCAN", None),
        }
    }
}

impl Ctx<'_> {
    /// Whether the server has a command of this name, and this part of it if it has parts.
    pub fn has_command(self, name: &CStr, part: Option<&CStr>) -> bool {
        let words: Vec<Text> =
            [Some(name), part].into_iter().flatten().map(|word| Text::new(word.to_bytes())).collect();
        let strings = words.as_ptr().cast::<*mut raw::RedisModuleString>().cast_mut();
        let count = c_int::try_from(words.len()).unwrap_or_default();
        let mut keys = 0;
        // A text is laid out as the pointer that it is.
        // SAFETY: context and strings are valid for the call, which only reads them; flags are not asked for.
        let places = unsafe {
            call!(RedisModule_GetCommandKeysWithFlags(
                self.raw(),
                strings,
                count,
                &raw mut keys,
                ptr::null_mut()
            ))
        };
        if !places.is_null() {
            // SAFETY: the server gave them for the caller to free.
            unsafe { call!(RedisModule_Free(places.cast::<c_void>())) };
            return true;
        }
        // The server says by it why, and nothing has been called since: too few words, no keys, or no such command.
        Error::last_os_error().kind() != ErrorKind::NotFound
    }

    /// What `CLUSTER NODES` says; empty if it says nothing.
    pub fn cluster_nodes(self) -> String {
        self.text_of(Called::ClusterNodes)
    }

    /// What `CLIENT LIST` says, a line a client; empty if it says nothing.
    pub fn client_list(self) -> String {
        self.text_of(Called::ClientList)
    }

    /// Ends the connection of a client, by its id. Nothing if it has gone already.
    pub fn disconnect(self, id: &str) {
        // It says how many it has ended, and nobody asks.
        drop(self.run(Called::ClientKill, &["ID", id]));
    }

    /// What `ACL LIST` says, a line a user; nothing if it says nothing.
    pub fn acl_list(self) -> Vec<String> {
        let Ok(RedisValue::Array(users)) = self.run(Called::AclList, &[]) else { return Vec::new() };
        users
            .iter()
            .filter_map(bytes_of_reply)
            .map(|user| String::from_utf8_lossy(user).into_owned())
            .collect()
    }

    /// A setting of the server, as `CONFIG GET` shows it; `None` if it has none of that name.
    pub fn setting(self, name: &str) -> Option<String> {
        match Context::new(self.raw()).call("CONFIG", &["GET", name]) {
            Ok(RedisValue::Array(pair)) => {
                pair.get(1).and_then(bytes_of_reply).map(|value| String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        }
    }

    /// The server's own SCAN over the selected database: the next cursor, and the names found. Unlike that of a
    /// [`ScanCursor`](super::scan::ScanCursor), its cursor is a number that a client can keep.
    pub fn scan_names(self, cursor: u64, pattern: &str, count: usize) -> Result<(u64, Vec<Vec<u8>>), String> {
        let (cursor, count) = (cursor.to_string(), count.to_string());
        let words: [&str; 5] = [&cursor, "MATCH", pattern, "COUNT", &count];
        let reply = self.run(Called::Scan, &words).map_err(|error| error.to_string())?;
        let unexpected = || "an unexpected reply".to_owned();
        let RedisValue::Array(parts) = reply else { return Err(unexpected()) };
        let [next, RedisValue::Array(names)] = parts.as_slice() else { return Err(unexpected()) };
        let next = bytes_of_reply(next).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let names = names.iter().filter_map(bytes_of_reply).map(<[u8]>::to_vec);
        Ok((next.ok_or_else(unexpected)?, names.collect()))
    }

    fn run(self, command: Called, arguments: &[&str]) -> RedisResult {
        let (name, part) = command.words();
        let part = part.and_then(|part| part.to_str().ok());
        let words: Vec<&str> = part.into_iter().chain(arguments.iter().copied()).collect();
        Context::new(self.raw()).call(name.to_str().unwrap_or_default(), words.as_slice())
    }

    fn text_of(self, command: Called) -> String {
        match self.run(command, &[]) {
            Ok(reply) => bytes_of_reply(&reply)
                .map_or_else(String::new, |text| String::from_utf8_lossy(text).into_owned()),
            Err(_) => String::new(),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a name is a string, whatever other replies there are")]
fn bytes_of_reply(value: &RedisValue) -> Option<&[u8]> {
    match value {
        RedisValue::SimpleString(text) | RedisValue::BulkString(text) => Some(text.as_bytes()),
        RedisValue::BulkRedisString(text) => Some(text.as_slice()),
        RedisValue::StringBuffer(bytes) => Some(bytes),
        _ => None,
    }
}

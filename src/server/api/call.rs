//! Calls commands of the server.

use std::ffi::{CStr, c_int, c_void};
use std::io::{Error, ErrorKind};
use std::ptr;

use redis_module::{Context, RedisResult, RedisValue, raw};

use super::ctx::Ctx;
use super::text::Text;

/// A server command that the module calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// Checks whether all keys of a slot are on this node.
    Exists,
    /// Tells why they are not.
    ClusterNodes,
    /// Lists the connected clients before an unload.
    ClientList,
    /// Closes a connection before an unload.
    ClientKill,
    /// Lists the users and their rights before an unload.
    AclList,
    /// Finds the keys for INV.AUDITSCAN and INV.STOCKSCAN.
    Scan,
}

impl Called {
    /// The commands that the module needs, in a cluster or outside one.
    pub const fn needed(in_cluster: bool) -> &'static [Self] {
        use Called::{AclList, ClientKill, ClientList, ClusterNodes, Exists, Scan};
        if in_cluster {
            &[Exists, ClusterNodes, ClientList, ClientKill, AclList, Scan]
        } else {
            &[ClientList, ClientKill, AclList, Scan]
        }
    }

    /// Its name, and its subcommand if it has one.
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
    /// Whether the server has a command with this name and, if given, this subcommand.
    pub fn has_command(self, name: &CStr, part: Option<&CStr>) -> bool {
        let words: Vec<Text> =
            [Some(name), part].into_iter().flatten().map(|word| Text::new(word.to_bytes())).collect();
        let strings = words.as_ptr().cast::<*mut raw::RedisModuleString>().cast_mut();
        let count = c_int::try_from(words.len()).unwrap_or_default();
        let mut keys = 0;
        // A `Text` has the memory layout of the pointer it contains.
        // SAFETY: context and strings are valid for the call, which only reads them; flags are not requested.
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
            // SAFETY: the server returned them for the caller to free.
            unsafe { call!(RedisModule_Free(places.cast::<c_void>())) };
            return true;
        }
        // The server reports the reason in errno, and nothing has been called since: too few words, no keys, or an
        // unknown command.
        Error::last_os_error().kind() != ErrorKind::NotFound
    }

    /// The answer of `CLUSTER NODES`; empty if it fails.
    pub fn cluster_nodes(self) -> String {
        self.text_of(Called::ClusterNodes)
    }

    /// The answer of `CLIENT LIST`, one line for each client; empty if it fails.
    pub fn client_list(self) -> String {
        self.text_of(Called::ClientList)
    }

    /// Closes the connection of the client with this id, if it is still connected.
    pub fn disconnect(self, id: &str) {
        // The reply is the number of closed connections, which is not needed.
        drop(self.run(Called::ClientKill, &["ID", id]));
    }

    /// The answer of `ACL LIST`, one line for each user; empty if it fails.
    pub fn acl_list(self) -> Vec<String> {
        let Ok(RedisValue::Array(users)) = self.run(Called::AclList, &[]) else { return Vec::new() };
        users
            .iter()
            .filter_map(bytes_of_reply)
            .map(|user| String::from_utf8_lossy(user).into_owned())
            .collect()
    }

    /// The names of the loaded modules; `None` if the server does not tell.
    pub fn module_names(self) -> Option<Vec<String>> {
        let Ok(RedisValue::Array(modules)) = Context::new(self.raw()).call("MODULE", &["LIST"]) else {
            return None;
        };
        let name_of = |module: &RedisValue| {
            // `name`, its value, and further fields.
            let RedisValue::Array(fields) = module else { return None };
            fields.get(1).and_then(bytes_of_reply).map(|name| String::from_utf8_lossy(name).into_owned())
        };
        modules.iter().map(name_of).collect()
    }

    /// A setting of the server, as shown by `CONFIG GET`; `None` if there is no such setting.
    pub fn setting(self, name: &str) -> Option<String> {
        match Context::new(self.raw()).call("CONFIG", &["GET", name]) {
            Ok(RedisValue::Array(pair)) => {
                pair.get(1).and_then(bytes_of_reply).map(|value| String::from_utf8_lossy(value).into_owned())
            }
            _ => None,
        }
    }

    /// Runs the server's SCAN on the selected database. Returns the next cursor and the names found. Unlike a
    /// [`ScanCursor`](super::scan::ScanCursor), the cursor is a number that a client can keep.
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

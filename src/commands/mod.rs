//! One file a command: its declaration, its arguments, its reply. Each handler reads like its sentence: parse, do,
//! answer.
//!
//! Every command for clients has arity -1: with any other, the server itself would refuse a call that has too few words or too
//! many, and its answer does not say what the command wants. The argument cursor's answer has the usage line. The server finds no
//! keys in a call that is too short, so it checks none; the cursor refuses before any key is looked at.

mod adjust;
mod alerts;
mod apply;
mod args;
mod audit;
mod auditscan;
mod commit;
mod extend;
mod get;
mod page;
mod parts;
mod repair;
mod reply;
mod request;
mod reserve;
mod rollback;
mod scan;
mod set;
mod stock;
mod threshold;
mod transfer;
mod warehouses;

use redis_module::{Context, RedisError, RedisResult, RedisString, RedisValue};

use crate::server::guard;
use crate::server::keyspace::ServerKeyspace;
use crate::server::state;
use reply::Reply;

pub use request::Request;
pub use warehouses::Change;

/// What a client reads of a panic.
const FAULT: &str =
    "ERR a fault of the module: the server's log tells where. Look with INV.GET and INV.AUDIT what was done";

/// Hands the words of a call, its name first, to the handler of the command.
fn run(
    ctx: &Context,
    words: &[RedisString],
    handler: impl FnOnce(&mut ServerKeyspace, &[&[u8]]) -> RedisResult,
) -> RedisResult {
    // A call in the midst of another, by a module that hears of it.
    let outer = state::owed();
    state::owe(None);
    let words: Vec<&[u8]> = words.iter().map(RedisString::as_slice).collect();
    let name = words.first().copied().unwrap_or_default();
    let call = || handler(&mut ServerKeyspace::new(ctx.ctx), &words);
    let reply = match guard::caught(ctx.ctx, String::from_utf8_lossy(name), call) {
        Ok(reply) => reply,
        Err(guard::Panicked) if Reply::mend(ctx, FAULT) => Ok(RedisValue::NoReply),
        Err(guard::Panicked) => Err(RedisError::Str(FAULT)),
    };
    state::owe(outer);
    reply
}

/// Categories of the ACL that a command of clients is in, beside `@inventory`, which servers before Redis 7.4 and Valkey 8 do
/// not have.
const READ: &str = "read";
const WRITE: &str = "write";
/// It may give away units that another program holds.
const DANGEROUS: &str = "write dangerous";

/// The commands of clients, with their categories. INV.APPLY is not for clients, and in none.
pub const PUBLIC: [(&std::ffi::CStr, &str); 16] = [
    (c"INV.ADJUST", WRITE),
    (c"INV.ALERTS", READ),
    (c"INV.AUDIT", READ),
    (c"INV.AUDITSCAN", READ),
    (c"INV.COMMIT", WRITE),
    (c"INV.EXTEND", WRITE),
    (c"INV.GET", READ),
    (c"INV.REPAIR", DANGEROUS),
    (c"INV.RESERVE", WRITE),
    (c"INV.ROLLBACK", WRITE),
    (c"INV.SCAN", READ),
    (c"INV.SET", WRITE),
    (c"INV.STOCK", READ),
    (c"INV.THRESHOLD", WRITE),
    (c"INV.TRANSFER", WRITE),
    (c"INV.WAREHOUSES", WRITE),
];

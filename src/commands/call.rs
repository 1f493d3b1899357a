//! One call of a command, from its words to its reply.

use redis_module::{Context, RedisError, RedisResult, RedisString, RedisValue};

use super::reply::Reply;
use crate::inventory::refusal::Refusal;
use crate::server::api::ctx::Ctx;
use crate::server::guard::{self, Panicked};
use crate::server::keyspace::ServerKeyspace;
use crate::server::state::Module;

/// What a client reads of a panic.
const FAULT: &str =
    "ERR a fault of the module: the server's log tells where. Look with INV.GET and INV.AUDIT what was done";

/// Hands the words of a call, its name first, to the handler of the command. The handler gives what the server is to answer, or
/// writes the reply itself. A refusal becomes an error here, and is counted for INFO.
pub fn run(
    context: &Context,
    words: &[RedisString],
    handler: impl FnOnce(&mut ServerKeyspace<'_>, &[&[u8]], &Reply<'_>) -> Result<RedisValue, Refusal>,
) -> RedisResult {
    let ctx = Ctx::from(context);
    let reply = Reply::new(ctx);
    let words: Vec<&[u8]> = words.iter().map(RedisString::as_slice).collect();
    let name = words.first().copied().unwrap_or_default();
    let module = &Module::current();
    let done = guard::caught(module, Some(ctx), String::from_utf8_lossy(name), || {
        let done = handler(&mut ServerKeyspace::new(ctx, module), &words, &reply);
        done.map_err(|refusal| {
            module.totals.refuse(refusal.code());
            RedisError::String(refusal.to_string())
        })
    });
    match done {
        Ok(done) => done,
        Err(Panicked) if reply.mend(FAULT) => Ok(RedisValue::NoReply),
        Err(Panicked) => Err(RedisError::Str(FAULT)),
    }
}

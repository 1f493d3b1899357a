//! Runs one call of a command.

use std::fmt::{self, Display};

use redis_module::{Context, RedisError, RedisResult, RedisString, RedisValue};

use super::reply::Reply;
use crate::engine::feed::Note;
use crate::inventory::refusal::Refusal;
use crate::server::api::acl::user_name;
use crate::server::api::ctx::Ctx;
use crate::server::guard::{self, Panicked};
use crate::server::keyspace::ServerKeyspace;
use crate::server::state::Module;

/// The error that a client receives if the handler panics.
const FAULT: &str =
    "ERR a fault of the module, see the server's log: check with INV.GET and INV.AUDIT what was changed";

/// Enters the user who sends the command into its note, if it has one.
pub fn sign(context: &Context, note: &mut Option<Note>) {
    if let Some(note) = note {
        note.user = user_name(Ctx::from(context));
    }
}

/// The name of a command, as the client spelled it.
struct Name<'a>(&'a [u8]);

impl Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// Passes the words of a call, including the command's name, to its handler. The handler returns the reply or writes
/// it itself. A refusal becomes an error and is counted for INFO.
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
    let done = guard::caught(module, Some(ctx), Name(name), || {
        handler(&mut ServerKeyspace::new(ctx, module), &words, &reply).unwrap_or_else(|refusal| {
            module.totals.refuse(refusal.code());
            reply.error(&refusal);
            RedisValue::NoReply
        })
    });
    match done {
        Ok(done) => Ok(done),
        Err(Panicked) if reply.mend(FAULT) => Ok(RedisValue::NoReply),
        Err(Panicked) => Err(RedisError::Str(FAULT)),
    }
}

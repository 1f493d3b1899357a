//! What the commands on many reservations have in common.

use redis_module::{Context, RedisResult, RedisString};

use super::args::Args;
use super::call::run;
use super::reply::Reply;
use crate::engine::batch::{MOST_LINES, MOST_RESERVATIONS};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};
use crate::server::keyspace::ServerKeyspace;

/// The maximum number of arguments: a lifetime, and for each reservation an id and a number of items, for each line two.
const MOST_ARGUMENTS: usize = 3 + 2 * MOST_RESERVATIONS + 2 * MOST_LINES;

/// Starts to read the arguments of a command on many reservations.
pub fn args<'a>(words: &'a [&'a [u8]], grammar: &'static str) -> Result<Args<'a>, Refusal> {
    Args::with_most(words, grammar, MOST_ARGUMENTS)
}

/// Reads `id [id ...]`.
pub fn ids(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
    grammar: &'static str,
) -> Result<Vec<ReservationId>, Refusal> {
    let mut args = args(words, grammar)?;
    let mut ids = vec![ReservationId::parse(args.next("the reservation id")?, style)?];
    let given = words.len().saturating_sub(1);
    if given > settings.max_batch {
        return Err(Refusal::invalid(format!(
            "{given} reservations are given, but at most {} are allowed (inv.max-batch)",
            settings.max_batch
        )));
    }
    ids.reserve(given);
    while let Some(id) = args.option() {
        ids.push(ReservationId::parse(id, style)?);
    }
    Ok(ids)
}

/// Runs a command that ends each of these reservations by `step`.
pub fn end_each(
    ctx: &Context,
    args: &[RedisString],
    grammar: &'static str,
    step: impl Fn(&mut ServerKeyspace<'_>, &[ReservationId]) -> Vec<Result<(), Refusal>>,
) -> RedisResult {
    run(ctx, args, |keys, words, out| {
        let ids = ids(words, keys.style(), &keys.settings(), grammar)?;
        keys.confine_all(ids.iter().map(|id| (id, [].as_slice())))?;
        let answers = step(keys, &ids);
        reply(keys, out, answers, |out, ()| out.ok());
        out.done()
    })
}

/// Writes an array with an element for each answer. `write` writes one that is not a refusal.
pub fn reply<T>(
    keys: &ServerKeyspace<'_>,
    reply: &Reply<'_>,
    answers: Vec<Result<T, Refusal>>,
    write: impl Fn(&Reply<'_>, T),
) {
    reply.array(answers.len());
    for answer in answers {
        match answer {
            Ok(answer) => write(reply, answer),
            Err(refusal) => {
                keys.count_refusal(&refusal);
                reply.error(&refusal);
            }
        }
    }
}

//! The `INV.REPAIR` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use crate::engine::audit::repair;
use crate::engine::keyspace::Keyspace;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Sku};

const GRAMMAR: &str = "INV.REPAIR sku [FORCE]";

#[command(
    {
        name: "INV.REPAIR",
        flags: [Write],
        arity: -1,
        summary: "Sets the reserved counter of a sku to what reservations hold, and moves the difference to available.",
        complexity: "O(1)",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The sku.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "sku", arg_type: Key, key_spec_index: 0 },
            { name: "force", arg_type: PureToken, token: "FORCE", flags: [Optional] }
        ]
    }
)]
fn inv_repair(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let (sku, force) = parse(words, keys.style())?;
        keys.confine(sku.product())?;
        let before = repair(keys, &sku, force)?;
        match before {
            Some(before) => reply.audit(&before, 0),
            None => reply.null(),
        }
        reply.done()
    })
}

/// The sku, and whether the repair is forced.
pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<(Sku, bool), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let sku = Sku::parse_any(args.next("the sku")?, style)?;
    let mut force = None;
    while let Some(word) = args.option() {
        if !word.eq_ignore_ascii_case(b"FORCE") {
            return Err(args.unknown(word));
        }
        args.set_once(&mut force, "FORCE", ())?;
    }
    Ok((sku, force.is_some()))
}

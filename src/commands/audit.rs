//! The `INV.AUDIT` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use crate::engine::audit::{Finding, look_at};
use crate::engine::keyspace::Keyspace;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Sku};

const GRAMMAR: &str = "INV.AUDIT sku";

#[command(
    {
        name: "INV.AUDIT",
        flags: [ReadOnly],
        arity: -1,
        summary: "Compares the reserved counter of a sku with what reservations hold.",
        complexity: "O(1)",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The sku.",
                flags: [ReadOnly, Access],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [{ name: "sku", arg_type: Key, key_spec_index: 0 }]
    }
)]
fn inv_audit(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let sku = parse(words, keys.style())?;
        keys.confine(sku.product())?;
        let found = look_at(keys, &sku)?;
        match found {
            Some(Finding { audit, stray }) => reply.audit(&audit, stray),
            None => reply.null(),
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<Sku, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let sku = Sku::parse_any(args.next("the sku")?, style)?;
    args.end()?;
    Ok(sku)
}

//! The `INV.FLOOR` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use super::reply;
use crate::engine::floors::set_floor;
use crate::engine::keyspace::Keyspace;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Sku};

const GRAMMAR: &str = "INV.FLOOR sku n";

#[command(
    {
        name: "INV.FLOOR",
        flags: [Write],
        arity: -1,
        summary: "Sets how many units of a sku stay available, or how many may be reserved before they arrive.",
        complexity: "O(N) where N is the number of warehouses of the product.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The sku.",
                flags: [ReadWrite, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "sku", arg_type: Key, key_spec_index: 0 },
            { name: "n", arg_type: Integer }
        ]
    }
)]
fn inv_floor(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let (sku, units) = parse(words, keys.style())?;
        keys.confine(sku.product())?;
        set_floor(keys, &sku, units).map(reply::ok)
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<(Sku, i64), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let sku = Sku::parse(args.next("the sku")?, style)?;
    let units = args.signed("the floor")?;
    args.end()?;
    Ok((sku, units))
}

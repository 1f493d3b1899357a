//! The `INV.LIMIT` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::{Args, Quoted};
use super::call::run;
use super::reply;
use crate::engine::keyspace::Keyspace;
use crate::engine::limits::set_limit;
use crate::inventory::quantity::{MAX_EXACT, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product};

const GRAMMAR: &str = "INV.LIMIT product n | OFF";

#[command(
    {
        name: "INV.LIMIT",
        flags: [Write],
        arity: -1,
        summary: "Sets how many units of a product each buyer may hold and have bought.",
        complexity: "O(1)",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The product.",
                flags: [ReadWrite, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "product", arg_type: Key, key_spec_index: 0 },
            {
                name: "limit", arg_type: OneOf,
                subargs: [
                    { name: "n", arg_type: Integer },
                    { name: "off", arg_type: PureToken, token: "OFF" }
                ]
            }
        ]
    }
)]
fn inv_limit(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let (product, units) = parse(words, keys.style())?;
        keys.confine(product.as_str())?;
        set_limit(keys, &product, units).map(reply::ok)
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<(Product, Option<i64>), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let product = Product::parse(args.next("the product")?, style)?;
    let word = args.next("the limit")?;
    args.end()?;
    if word.eq_ignore_ascii_case(b"OFF") {
        return Ok((product, None));
    }
    let units = parse_integer(word).filter(|units| (0..=MAX_EXACT).contains(units)).ok_or_else(|| {
        args.wrong(format!("the limit {} is not OFF or an integer from 0 to {MAX_EXACT}", Quoted(word)))
    })?;
    Ok((product, Some(units)))
}

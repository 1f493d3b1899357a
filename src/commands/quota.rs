//! The `INV.QUOTA` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use crate::engine::keyspace::Keyspace;
use crate::engine::limits::quota;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, check_id};

const GRAMMAR: &str = "INV.QUOTA product buyer";

#[command(
    {
        name: "INV.QUOTA",
        flags: [ReadOnly],
        arity: -1,
        summary: "Returns what a buyer holds and has bought of a product, and what its limit leaves.",
        complexity: "O(1)",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The product.",
                flags: [ReadOnly, Access],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "product", arg_type: Key, key_spec_index: 0 },
            { name: "buyer", arg_type: String }
        ]
    }
)]
fn inv_quota(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let (product, buyer) = parse(words, keys.style())?;
        keys.confine(product.as_str())?;
        let found = quota(keys, &product, &buyer)?;
        let fields = [
            ("limit", found.limit),
            ("held", Some(found.held)),
            ("bought", Some(found.bought)),
            ("left", found.left),
        ];
        reply.map(fields.len());
        for (name, units) in fields {
            reply.text(name);
            match units {
                Some(units) => reply.number(units),
                None => reply.null(),
            }
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<(Product, String), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let product = Product::parse(args.next("the product")?, style)?;
    let buyer = check_id("the buyer", args.next("the buyer")?, style)?.to_owned();
    args.end()?;
    Ok((product, buyer))
}

//! The `INV.COMMIT` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::call::run;
use super::{parts, reply};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::resolve::{ResolveRequest, commit};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::KeyStyle;

const GRAMMAR: &str = "INV.COMMIT id [LATE] [ONCE token] [ITEMS sku quantity [sku quantity ...]]";

#[command(
    {
        name: "INV.COMMIT",
        flags: [Write],
        arity: -1,
        summary: "Sells the units that a reservation holds, or a part of them.",
        complexity: "O(N) where N is the number of lines of the reservation.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation.",
                flags: [ReadWrite, Access, Delete],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            },
            {
                notes: "The skus.",
                flags: [ReadWrite, Access, Update],
                begin_search: Keyword({ keyword: "ITEMS", startfrom: 2 }),
                find_keys: Range({ last_key: -1, steps: 2, limit: 0 }),
            }
        ],
        args: [
            { name: "id", arg_type: Key, key_spec_index: 0 },
            { name: "late", arg_type: PureToken, token: "LATE", flags: [Optional] },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            {
                name: "item", arg_type: Block, token: "ITEMS", flags: [Optional, Multiple],
                subargs: [
                    { name: "sku", arg_type: Key, key_spec_index: 1 },
                    { name: "quantity", arg_type: Integer }
                ]
            }
        ]
    }
)]
fn inv_commit(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let request = parse(words, keys.style(), &keys.settings())?;
        keys.confine_with(&request.id, request.part.as_deref().unwrap_or_default())?;
        commit(keys, &request).map(reply::ok)
    })
}

pub(super) fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
) -> Result<ResolveRequest, Refusal> {
    parts::parse(words, style, settings, "commit", parts::Whole::Late, GRAMMAR)
}

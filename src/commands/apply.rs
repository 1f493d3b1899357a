//! The `INV.APPLY` command: the internal form in which every change is replicated. It is not for clients.

use redis_module::{Context, RedisResult, RedisString, raw};
use redis_module_macros::command;

use super::call::run;
use super::reply;
use crate::engine::effects::replay;
use crate::inventory::refusal::Refusal;
use crate::server::api::ctx::Ctx;

#[command(
    {
        name: "INV.APPLY",
        flags: [Write],
        arity: -4,
        summary: "Internal: replicates a change to replicas and the AOF.",
        complexity: "O(N) where N is the number of effects.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation or sku of the first effect. The keys of all effects are in its slot.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 3 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "version", arg_type: String },
            { name: "effect", arg_type: String, flags: [Multiple] }
        ]
    }
)]
fn inv_apply(context: &Context, args: Vec<RedisString>) -> RedisResult {
    run(context, &args, |keys, words, _| {
        let ctx = Ctx::from(context);
        let from_a_copy = raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING;
        if ctx.flags() & from_a_copy == 0 {
            return Err(Refusal::invalid("INV.APPLY is internal: only a master and the AOF may send it"));
        }
        replay(keys, words.get(1..).unwrap_or_default())?;
        // This follows the writes so that the replica's own AOF and replicas receive the command as well.
        ctx.replicate_verbatim();
        Ok(reply::ok(()))
    })
}

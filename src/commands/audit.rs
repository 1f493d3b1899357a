//! `INV.AUDIT`.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::reply::Reply;
use crate::engine::Keyspace;
use crate::engine::audit::audit;
use crate::engine::look::stray;
use crate::inventory::sku::Sku;
use crate::server::keyspace::ServerKeyspace;

const GRAMMAR: &str = "INV.AUDIT sku";

#[command(
    {
        name: "INV.AUDIT",
        flags: [ReadOnly],
        arity: 2,
        summary: "Compares a reserved counter with what reservations hold.",
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
    let mut keys = ServerKeyspace::new(ctx.ctx);
    let mut args = Args::new(&args, GRAMMAR)?;
    let sku = Sku::parse(args.next("the sku")?, keys.style())?;
    args.end()?;
    keys.confine(sku.product())?;
    let (audit, stray) = (audit(&mut keys, &sku)?, stray(&mut keys, &sku)?);
    let reply = Reply(ctx);
    reply.audit(&audit, stray);
    reply.done()
}

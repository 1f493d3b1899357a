//! `INV.COMMIT`.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::reply;
use crate::engine::Keyspace;
use crate::engine::resolve::commit;
use crate::inventory::sku::ReservationId;
use crate::server::keyspace::ServerKeyspace;

const GRAMMAR: &str = "INV.COMMIT id";

#[command(
    {
        name: "INV.COMMIT",
        flags: [Write],
        arity: -2,
        summary: "Sells what a reservation holds: the units leave the inventory.",
        complexity: "O(N) where N is the number of lines of the reservation.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation.",
                flags: [ReadWrite, Access, Delete],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [{ name: "id", arg_type: Key, key_spec_index: 0 }]
    }
)]
fn inv_commit(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    let mut keys = ServerKeyspace::new(ctx.ctx);
    let mut args = Args::new(&args, GRAMMAR)?;
    let id = ReservationId::parse(args.next("the reservation id")?, keys.style())?;
    args.end()?;
    Ok(commit(&mut keys, &id).map(reply::ok)?)
}

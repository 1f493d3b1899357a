//! The `INV.MCOMMIT` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::batch;
use crate::engine::batch::commit_each;

pub(super) const GRAMMAR: &str = "INV.MCOMMIT id [id ...]";

#[command(
    {
        name: "INV.MCOMMIT",
        flags: [Write],
        arity: -1,
        summary: "Sells the units that many reservations hold, each as INV.COMMIT does.",
        complexity: "O(N) where N is the number of lines of the reservations.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservations.",
                flags: [ReadWrite, Access, Delete],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: -1, steps: 1, limit: 0 }),
            }
        ],
        args: [{ name: "id", arg_type: Key, key_spec_index: 0, flags: [Multiple] }]
    }
)]
fn inv_mcommit(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    batch::end_each(ctx, &args, GRAMMAR, |keys, ids| commit_each(keys, ids))
}

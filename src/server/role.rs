//! The role of this server, and which keys may be records.

use redis_module::raw;

use super::api::ctx::Ctx;
use super::api::key::{KeyType, OpenKey};
use super::api::replication::avoid_traffic;

const LOADING: u32 = raw::REDISMODULE_CTX_FLAGS_LOADING | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;

/// Whether this server takes notes for releases: it is a master and is not loading.
pub fn is_releasing(ctx: Ctx<'_>) -> bool {
    let flags = ctx.flags();
    // A restarting cluster replica reports MASTER for a moment. Its own flag in the cluster is right.
    let master = ctx.is_cluster_master().unwrap_or(flags & raw::REDISMODULE_CTX_FLAGS_MASTER != 0);
    master && flags & raw::REDISMODULE_CTX_FLAGS_MASTER != 0 && flags & LOADING == 0
}

/// Whether the module may write on its own initiative now. The server would crash if the module replicated while
/// clients are paused.
pub fn may_write(ctx: Ctx<'_>) -> bool {
    is_releasing(ctx) && !avoid_traffic()
}

/// Whether a data set is being loaded.
pub fn is_loading(ctx: Ctx<'_>) -> bool {
    ctx.flags() & LOADING != 0
}

/// Whether this is a node of a cluster.
pub fn is_in_cluster(ctx: Ctx<'_>) -> bool {
    ctx.flags() & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0
}

/// No record is shorter. The server rewrites a short string in place when the module reads it, which must not happen
/// to a key that is being removed.
const SHORTEST_RECORD: usize = 90;

/// The value of a reservation key, if it can be a record.
pub fn record_text<'a>(key: &'a OpenKey<'_>) -> Option<&'a [u8]> {
    (key.key_type() == KeyType::String && key.length() >= SHORTEST_RECORD).then(|| key.text())
}

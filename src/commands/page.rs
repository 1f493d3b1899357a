//! The parts that commands with pages have in common.

use redis_module::{Context, RedisString};

use super::args::Args;
use crate::inventory::refusal::Refusal;
use crate::server::api::acl::Caller;
use crate::server::api::ctx::Ctx;

/// The default of COUNT.
const DEFAULT_COUNT: i64 = 100;

/// The maximum of COUNT: a longer page would block the server.
const MOST: i64 = 1000;

/// Reports the key of a command that takes `PRODUCT product`, if the server asks for it instead of running the
/// command. A cluster client routes a command by this key, and the server finds by itself only keys that are at a
/// fixed position.
pub fn tells_key(ctx: &Context, words: &[RedisString]) -> bool {
    if !ctx.is_keys_position_request() {
        return false;
    }
    let keyword = words.iter().position(|word| word.as_slice().eq_ignore_ascii_case(b"PRODUCT"));
    let product = keyword.map(|at| at.saturating_add(1)).filter(|at| *at < words.len());
    if let Some(at) = product.and_then(|at| i32::try_from(at).ok()) {
        ctx.key_at_pos(at);
    }
    true
}

/// Reads the value of COUNT.
pub fn count(args: &mut Args<'_>, slot: &mut Option<i64>) -> Result<(), Refusal> {
    let size = args.number("COUNT", 1)?;
    if size > MOST {
        return Err(args.wrong(format!("COUNT {size} is greater than the maximum of {MOST}")));
    }
    args.set_once(slot, "COUNT", size)
}

/// The size of a page.
pub fn size(count: Option<i64>) -> usize {
    usize::try_from(count.unwrap_or(DEFAULT_COUNT)).unwrap_or_default()
}

/// Returns a filter for the ids of a page: the caller sees the ids that it could query one by one. `question` is the
/// command for such a query, without the id, which is its last argument.
pub fn sight(ctx: Ctx<'_>, question: &'static [&'static str]) -> impl Fn(&str) -> bool {
    let caller = Caller::of(ctx);
    // Without selectors, a user who may send this command may query every key that its patterns allow.
    let has_selectors = matches!(&caller, Caller::User(user) if user.has_selectors());
    move |id| match &caller {
        Caller::Server => true,
        Caller::Stranger => false,
        Caller::User(user) => {
            user.may_read(id) && (!has_selectors || user.may_send(&[question, &[id]].concat()))
        }
    }
}

//! What the commands that walk over many things a page at a time have in common.

use redis_module::{Context, RedisString};

use super::args::Args;
use crate::inventory::refusal::Refusal;
use crate::server::api::acl::Caller;
use crate::server::api::ctx::Ctx;

/// How many a page holds without COUNT.
const DEFAULT_COUNT: i64 = 100;

/// How many a page holds at most: a longer one would keep the server.
const MOST: i64 = 1000;

/// Answers the server if it asks for the key of a command that takes `PRODUCT product`, and does not run it. By itself
/// it sends a command to the node of a key at a fixed place only, and this one has none.
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

/// The value of COUNT, as a number of results.
pub fn count(args: &mut Args<'_>, slot: &mut Option<i64>) -> Result<(), Refusal> {
    let size = args.number("COUNT", 1)?;
    if size > MOST {
        return Err(args.wrong(format!("COUNT {size} is more than a page holds, which is {MOST} at most")));
    }
    args.set_once(slot, "COUNT", size)
}

/// The size of a page.
pub fn size(count: Option<i64>) -> usize {
    usize::try_from(count.unwrap_or(DEFAULT_COUNT)).unwrap_or_default()
}

/// Tells which ids the caller may see on a walk: those that it could ask for one by one. `question` is the command for
/// that, without the id, which goes last.
pub fn sight(ctx: Ctx<'_>, question: &'static [&'static str]) -> impl Fn(&str) -> bool {
    let caller = Caller::of(ctx);
    // Without selectors, who may send this command may read all keys of its patterns by it.
    let has_selectors = matches!(&caller, Caller::User(user) if user.has_selectors());
    move |id| match &caller {
        Caller::Server => true,
        Caller::Stranger => false,
        Caller::User(user) => {
            user.may_read(id) && (!has_selectors || user.may_send(&[question, &[id]].concat()))
        }
    }
}

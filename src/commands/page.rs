//! The parts that commands with pages have in common.

use std::cell::Cell;

use redis_module::{Context, RedisString};

use super::args::Args;
use crate::inventory::pattern::Pattern;
use crate::inventory::refusal::Refusal;
use crate::server::api::acl::{Caller, Rights};
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

/// Reads the value of MATCH.
pub fn pattern(args: &mut Args<'_>, slot: &mut Option<Pattern>) -> Result<(), Refusal> {
    let pattern = Pattern::parse(args.value("MATCH")?)?;
    args.set_once(slot, "MATCH", pattern)
}

/// The size of a page.
pub fn size(count: Option<i64>) -> usize {
    usize::try_from(count.unwrap_or(DEFAULT_COUNT)).unwrap_or_default()
}

/// Returns a filter for the ids of a page: the caller sees the ids that it could query one by one. `question` is the
/// command for such a query, without the id, which is its last argument.
pub fn sight(ctx: Ctx<'_>, question: &'static [&'static str]) -> impl Fn(&str) -> bool {
    let caller = Caller::of(ctx);
    let rights = match &caller {
        Caller::Server | Caller::Stranger => Rights::default(),
        Caller::User(user) => user.rights(),
    };
    let database = ctx.selected_db();
    // Without selectors, the rights to a command are the same for every id that the user may read.
    let may_ask = Cell::new(None);
    move |id| match &caller {
        Caller::Server => true,
        Caller::Stranger => false,
        Caller::User(user) => {
            let asks = || user.may_send(&[question, &[id]].concat());
            user.may_read(id)
                && if rights.has_selectors {
                    asks()
                } else if let Some(databases) = &rights.databases {
                    // The server would not say whether the user may ask in this database.
                    databases.contains(&database)
                } else {
                    let may = may_ask.get().unwrap_or_else(asks);
                    may_ask.set(Some(may));
                    may
                }
        }
    }
}

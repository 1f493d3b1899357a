//! The `INV.GET` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use super::reply::Reply;
use crate::engine::keyspace::Keyspace;
use crate::engine::queries::{ReservationView, get};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};

const GRAMMAR: &str = "INV.GET id";

#[command(
    {
        name: "INV.GET",
        flags: [ReadOnly],
        arity: -1,
        summary: "Returns a live reservation, or the outcome of one that has ended.",
        complexity: "O(N) where N is the number of lines of the reservation.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation.",
                flags: [ReadOnly, Access],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [{ name: "id", arg_type: Key, key_spec_index: 0 }]
    }
)]
fn inv_get(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let id = parse(words, keys.style())?;
        keys.confine(id.as_str())?;
        let found = get(keys, &id)?;
        match found {
            Some(view) => write(reply, &id, &view),
            None => reply.null(),
        }
        reply.done()
    })
}

/// Writes what is known about a reservation. Unknown fields and empty lists are left out.
pub(super) fn write(reply: &Reply<'_>, id: &ReservationId, view: &ReservationView) {
    let lists = [
        ("asked", &view.asked),
        ("sold", &view.sold),
        ("returned", &view.returned),
        ("rolled_back", &view.rolled_back),
        ("short", &view.short),
    ];
    let lists = lists.into_iter().filter(|(_, lines)| !lines.is_empty());
    let optional = [
        view.created_at.is_some(),
        view.resolved_at.is_some(),
        view.data.is_some(),
        view.buyer.is_some(),
        view.replaced_by.is_some(),
    ];
    let known = optional.into_iter().filter(|known| *known).count();
    reply.map(known.saturating_add(lists.clone().count()).saturating_add(4));
    reply.text("reservation_id");
    reply.text(id.as_str());
    reply.text("state");
    reply.text(view.state);
    if let Some(created_at) = view.created_at {
        reply.text("created_at");
        reply.number(created_at);
    }
    reply.text("expires_at");
    reply.number(view.expires_at);
    if let Some(resolved_at) = view.resolved_at {
        reply.text("resolved_at");
        reply.number(resolved_at);
    }
    reply.text("items");
    reply.lines(&view.items);
    for (name, lines) in lists {
        reply.text(name);
        reply.lines(lines);
    }
    if let Some(data) = &view.data {
        reply.text("data");
        reply.text(data);
    }
    if let Some(buyer) = &view.buyer {
        reply.text("buyer");
        reply.text(buyer);
    }
    if let Some(successor) = &view.replaced_by {
        reply.text("replaced_by");
        reply.text(successor.as_str());
    }
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<ReservationId, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let id = ReservationId::parse(args.next("the reservation id")?, style)?;
    args.end()?;
    Ok(id)
}

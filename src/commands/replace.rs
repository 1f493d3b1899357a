//! The `INV.REPLACE` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::{self, Args};
use super::call::run;
use super::reserve::{ItemOptions, write};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::replace::{ReplaceRequest, replace};
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};

const GRAMMAR: &str = "INV.REPLACE old new [EX s | PX ms | EXAT s | PXAT ms] [DATA text] [SPLIT priority | fewest | none] [PARTIAL] [BUYER buyer] [ONCE token] ITEMS sku quantity [sku quantity ...]";

#[command(
    {
        name: "INV.REPLACE",
        flags: [Write, DenyOOM],
        arity: -1,
        summary: "Changes what a reservation holds, or lets another one take its place, in one step.",
        complexity: "O(N log N) where N is the number of items, of lines held, and of the warehouses of the products.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservations.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 1, steps: 1, limit: 0 }),
            },
            {
                notes: "The skus.",
                flags: [ReadWrite, Access, Update],
                begin_search: Keyword({ keyword: "ITEMS", startfrom: 3 }),
                find_keys: Range({ last_key: -1, steps: 2, limit: 0 }),
            }
        ],
        args: [
            { name: "old", arg_type: Key, key_spec_index: 0 },
            { name: "new", arg_type: Key, key_spec_index: 0 },
            {
                name: "lifetime", arg_type: OneOf, flags: [Optional],
                subargs: [
                    { name: "seconds", arg_type: Integer, token: "EX" },
                    { name: "milliseconds", arg_type: Integer, token: "PX" },
                    { name: "unix-time-seconds", arg_type: UnixTime, token: "EXAT" },
                    { name: "unix-time-milliseconds", arg_type: UnixTime, token: "PXAT" }
                ]
            },
            { name: "text", arg_type: String, token: "DATA", flags: [Optional] },
            {
                name: "strategy", arg_type: OneOf, token: "SPLIT", flags: [Optional],
                subargs: [
                    { name: "priority", arg_type: PureToken, token: "PRIORITY" },
                    { name: "fewest", arg_type: PureToken, token: "FEWEST" },
                    { name: "none", arg_type: PureToken, token: "NONE" }
                ]
            },
            { name: "partial", arg_type: PureToken, token: "PARTIAL", flags: [Optional] },
            { name: "buyer", arg_type: String, token: "BUYER", flags: [Optional] },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            {
                name: "item", arg_type: Block, token: "ITEMS", flags: [Multiple],
                subargs: [
                    { name: "sku", arg_type: Key, key_spec_index: 1 },
                    { name: "quantity", arg_type: Integer }
                ]
            }
        ]
    }
)]
fn inv_replace(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let request = parse(words, keys.style(), &keys.settings())?;
        let both = [(&request.old, [].as_slice()), (&request.new, request.items.as_slice())];
        keys.confine_all(both.into_iter())?;
        let reserved = replace(keys, &request)?;
        write(reply, &reserved, request.partial)
    })
}

pub(super) fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
) -> Result<ReplaceRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let old = ReservationId::parse(args.next("the id of the old reservation")?, style)?;
    let given = args.next("the id of the new reservation")?;
    if given.ends_with(b"*") {
        return Err(
            args.wrong("INV.REPLACE does not generate ids: a retry could not name the new reservation")
        );
    }
    let new = ReservationId::parse(given, style)?;
    let ItemOptions { lifetime, data, buyer, split, partial, token, items } =
        ItemOptions::read(&mut args, style, settings)?;
    let asked = || format!("{old}: {}", args::spell_request(&items, partial));
    let once = args::token(token, |token| OnceName::new("replace", new.as_str(), token, style), asked)?;
    Ok(ReplaceRequest { old, new, lifetime, data, buyer, split, partial, items, once })
}

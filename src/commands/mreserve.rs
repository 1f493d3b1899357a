//! The `INV.MRESERVE` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::batch;
use super::call::run;
use crate::engine::batch::{MOST_LINES, reserve_each};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::reserve::ReserveRequest;
use crate::inventory::allocation::Split;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::quantity::parse_integer;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};
use crate::server::api::ctx::Ctx;

const GRAMMAR: &str = "INV.MRESERVE [EX s | PX ms | EXAT s | PXAT ms] numreservations id numitems sku quantity [sku quantity ...] [id numitems sku quantity [sku quantity ...] ...]";

/// The options that come before the number of reservations. Each has one value.
const OPTIONS: [&str; 4] = ["EX", "PX", "EXAT", "PXAT"];

// The server cannot find the keys by a key specification, because each reservation has its own number of items.
#[command(
    {
        name: "INV.MRESERVE",
        flags: [Write, DenyOOM, GetkeysApi],
        arity: -1,
        summary: "Holds units for many reservations, each as INV.RESERVE does.",
        complexity: "O(N log N) where N is the number of items and of the warehouses of their products.",
        since: "0.1.0",
        key_spec: [],
        args: [
            {
                name: "lifetime", arg_type: OneOf, flags: [Optional],
                subargs: [
                    { name: "seconds", arg_type: Integer, token: "EX" },
                    { name: "milliseconds", arg_type: Integer, token: "PX" },
                    { name: "unix-time-seconds", arg_type: UnixTime, token: "EXAT" },
                    { name: "unix-time-milliseconds", arg_type: UnixTime, token: "PXAT" }
                ]
            },
            { name: "numreservations", arg_type: Integer },
            {
                name: "reservation", arg_type: Block, flags: [Multiple],
                subargs: [
                    { name: "id", arg_type: String },
                    { name: "numitems", arg_type: Integer },
                    {
                        name: "item", arg_type: Block, flags: [Multiple],
                        subargs: [
                            { name: "sku", arg_type: String },
                            { name: "quantity", arg_type: Integer }
                        ]
                    }
                ]
            }
        ]
    }
)]
fn inv_mreserve(context: &Context, args: Vec<RedisString>) -> RedisResult {
    let ctx = Ctx::from(context);
    if ctx.wants_keys() {
        each_key(args.len(), |at| args.get(at).map(RedisString::as_slice), |at| ctx.declare_key(at));
        return Ok(RedisValue::NoReply);
    }
    run(context, &args, |keys, words, reply| {
        let requests = parse(words, keys.style(), &keys.settings())?;
        keys.confine_all(requests.iter().map(|request| (&request.id, request.items.as_slice())))?;
        let answers = reserve_each(keys, &requests)?;
        batch::reply(keys, reply, answers, |reply, expires_at| reply.number(expires_at));
        reply.done()
    })
}

/// Calls `meet` with the position of each id and sku. If the words do not follow the grammar, some or all may be missing:
/// such a call is refused before any key is read.
fn each_key<'a>(count: usize, word: impl Fn(usize) -> Option<&'a [u8]>, mut meet: impl FnMut(usize)) {
    let number = |at: usize| word(at).and_then(parse_integer).and_then(|number| usize::try_from(number).ok());
    let has_option = word(1).is_some_and(is_option);
    let mut at: usize = if has_option { 3 } else { 1 };
    let reservations = number(at).unwrap_or_default();
    at = at.saturating_add(1);
    for _ in 0..reservations {
        // Each has at least two words, so this ends with the words.
        let Some(items) = number(at.saturating_add(1)) else { return };
        meet(at);
        at = at.saturating_add(2);
        for _ in 0..items {
            if at >= count {
                return;
            }
            meet(at);
            at = at.saturating_add(2);
        }
    }
}

fn is_option(word: &[u8]) -> bool {
    OPTIONS.iter().any(|option| word.eq_ignore_ascii_case(option.as_bytes()))
}

pub(super) fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
) -> Result<Vec<ReserveRequest>, Refusal> {
    let mut args = batch::args(words, GRAMMAR)?;
    let mut lifetime = None;
    if let Some(option) = args.peek().filter(|word| is_option(word)) {
        args.option();
        args.lifetime(option, &mut lifetime)?;
    }
    let lifetime = lifetime.unwrap_or(Lifetime::Default);
    let count = args.count("reservations", settings.max_batch, " (inv.max-batch)")?;
    let mut requests = Vec::with_capacity(count);
    let mut lines = 0_usize;
    for _ in 0..count {
        let given = args.next("a reservation id")?;
        if given.ends_with(b"*") {
            return Err(args.wrong("an id in a batch cannot end in *: the answer would not show the id"));
        }
        let id = ReservationId::parse(given, style)?;
        let items = args.count("items", settings.max_items, " (inv.max-items)")?;
        lines = lines.saturating_add(items);
        if lines > MOST_LINES {
            return Err(Refusal::invalid(format!(
                "the reservations have more than {MOST_LINES} items in total: send some of them in another call"
            )));
        }
        let items = args.counted_items(style, items)?;
        let split = Split::default();
        requests.push(ReserveRequest {
            id,
            lifetime,
            data: None,
            buyer: None,
            split,
            partial: false,
            items,
            once: None,
        });
    }
    args.end()?;
    Ok(requests)
}

//! The `INV.EXTEND` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::args::{self, Args};
use super::call::run;
use crate::engine::keyspace::Keyspace;
use crate::engine::resolve::{ExtendRequest, extend};
use crate::inventory::key::OnceName;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId};

const GRAMMAR: &str = "INV.EXTEND id EX s | PX ms | EXAT s | PXAT ms [ONCE token]";

#[command(
    {
        name: "INV.EXTEND",
        flags: [Write, DenyOOM],
        arity: -1,
        summary: "Changes the deadline of a live reservation.",
        complexity: "O(N) where N is the number of lines of the reservation.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "id", arg_type: Key, key_spec_index: 0 },
            {
                name: "lifetime", arg_type: OneOf,
                subargs: [
                    { name: "seconds", arg_type: Integer, token: "EX" },
                    { name: "milliseconds", arg_type: Integer, token: "PX" },
                    { name: "unix-time-seconds", arg_type: UnixTime, token: "EXAT" },
                    { name: "unix-time-milliseconds", arg_type: UnixTime, token: "PXAT" }
                ]
            },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] }
        ]
    }
)]
fn inv_extend(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let request = parse(words, keys.style())?;
        keys.confine(request.id.as_str())?;
        extend(keys, &request).map(RedisValue::Integer)
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<ExtendRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let id = ReservationId::parse(args.next("the reservation id")?, style)?;
    let (mut lifetime, mut token) = (None, None);
    while let Some(word) = args.option() {
        if !args.lifetime(word, &mut lifetime)? && !args.token(word, &mut token)? {
            return Err(args.unknown(word));
        }
    }
    let lifetime = lifetime.ok_or_else(|| args.wrong("EX, PX, EXAT or PXAT is missing"))?;
    let asked = || match lifetime {
        Lifetime::Default => String::new(),
        Lifetime::For(ms) => format!("PX {ms}"),
        Lifetime::Until(at) => format!("PXAT {at}"),
    };
    let once = args::token(token, |token| OnceName::new("extend", id.as_str(), token, style), asked)?;
    Ok(ExtendRequest { id, lifetime, once })
}

//! The `INV.SET` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::args::{self, Args};
use super::call::{run, sign};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::restock::{Measure, SetRequest, set};
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Sku};

const GRAMMAR: &str = "INV.SET sku AVAILABLE | ONHAND n [IFEQ current] [FORCE] [ONCE token] [NOTE text]";

#[command(
    {
        name: "INV.SET",
        flags: [Write, DenyOOM],
        arity: -1,
        summary: "Sets the available units of a sku, directly or by its units on hand.",
        complexity: "O(1)",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The sku.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "sku", arg_type: Key, key_spec_index: 0 },
            {
                name: "count", arg_type: OneOf,
                subargs: [
                    { name: "available", arg_type: Integer, token: "AVAILABLE" },
                    { name: "on-hand", arg_type: Integer, token: "ONHAND" }
                ]
            },
            { name: "current", arg_type: Integer, token: "IFEQ", flags: [Optional] },
            { name: "force", arg_type: PureToken, token: "FORCE", flags: [Optional] },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            { name: "text", arg_type: String, token: "NOTE", flags: [Optional] }
        ]
    }
)]
fn inv_set(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let mut request = parse(words, keys.style(), &keys.settings())?;
        sign(ctx, &mut request.note);
        keys.confine(request.sku.product())?;
        set(keys, &request).map(|available| available.map_or(RedisValue::Null, RedisValue::Integer))
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle, settings: &Settings) -> Result<SetRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let sku = Sku::parse(args.next("the sku")?, style)?;
    let (mut count, mut if_equal, mut force, mut token, mut note) = (None, None, None, None, None);
    while let Some(word) = args.option() {
        match word.to_ascii_uppercase().as_slice() {
            b"AVAILABLE" => {
                let units = args.signed("the value of AVAILABLE")?;
                args.set_once(&mut count, "AVAILABLE", (Measure::Available, units))?;
            }
            b"ONHAND" => {
                let units = args.number("ONHAND", 0)?;
                args.set_once(&mut count, "ONHAND", (Measure::OnHand, units))?;
            }
            b"IFEQ" => {
                let current = args.signed("the value of IFEQ")?;
                args.set_once(&mut if_equal, "IFEQ", current)?;
            }
            b"FORCE" => args.set_once(&mut force, "FORCE", ())?,
            _ if args.token(word, &mut token)? || args.note(word, &mut note, settings)? => {}
            _ => return Err(args.unknown(word)),
        }
    }
    let (measure, units) = count.ok_or_else(|| args.wrong("AVAILABLE or ONHAND is missing"))?;
    let asked = || {
        let measure = match measure {
            Measure::Available => "AVAILABLE",
            Measure::OnHand => "ONHAND",
        };
        let condition = if_equal.map(|current| format!(" IFEQ {current}")).unwrap_or_default();
        format!("{measure} {units}{condition}")
    };
    let once = args::token(token, |token| OnceName::of_sku("set", &sku, token, style), asked)?;
    Ok(SetRequest { sku, measure, units, if_equal, force: force.is_some(), once, note })
}

//! The `INV.ADJUST` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::args::{self, Args};
use super::call::{run, sign};
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::restock::{AdjustRequest, adjust};
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Sku};

const GRAMMAR: &str = "INV.ADJUST sku delta [FORCE] [ONCE token] [NOTE text]";

#[command(
    {
        name: "INV.ADJUST",
        flags: [Write, DenyOOM],
        arity: -1,
        summary: "Increases or decreases the available units of a sku.",
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
            { name: "delta", arg_type: Integer },
            { name: "force", arg_type: PureToken, token: "FORCE", flags: [Optional] },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            { name: "text", arg_type: String, token: "NOTE", flags: [Optional] }
        ]
    }
)]
fn inv_adjust(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let mut request = parse(words, keys.style(), &keys.settings())?;
        sign(ctx, &mut request.note);
        keys.confine(request.sku.product())?;
        adjust(keys, &request).map(RedisValue::Integer)
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle, settings: &Settings) -> Result<AdjustRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let sku = Sku::parse_any(args.next("the sku")?, style)?;
    let delta = args.delta("delta")?;
    let (mut force, mut token, mut note) = (None, None, None);
    while let Some(word) = args.option() {
        if word.eq_ignore_ascii_case(b"FORCE") {
            args.set_once(&mut force, "FORCE", ())?;
        } else if !args.token(word, &mut token)? && !args.note(word, &mut note, settings)? {
            return Err(args.unknown(word));
        }
    }
    // With and without FORCE it is the same change, so a refused one can be repeated with FORCE and the same token.
    let once =
        args::token(token, |token| OnceName::of_sku("adjust", &sku, token, style), || delta.to_string())?;
    Ok(AdjustRequest { sku, delta, force: force.is_some(), once, note })
}

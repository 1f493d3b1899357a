//! The `INV.SCAN` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::args::{Args, Quoted};
use super::call::run;
use super::{get, page};
use crate::engine::keyspace::Keyspace;
use crate::engine::queries::{ScanQuery, Scanned, scan};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product};
use crate::ledger::holds::Position;

const GRAMMAR: &str = "INV.SCAN cursor [MATCH pattern] [PRODUCT product] [COUNT n] [FULL]";

#[command(
    {
        name: "INV.SCAN",
        flags: [ReadOnly, GetkeysApi],
        arity: -1,
        summary: "Iterates over live reservations, ordered by deadline.",
        complexity: "O(N*log(M)) for a page of N out of M live reservations.",
        since: "0.1.0",
        tips: "nondeterministic_output request_policy:special response_policy:special",
        key_spec: [
            {
                notes: "The product.",
                flags: [ReadOnly, Access],
                begin_search: Keyword({ keyword: "PRODUCT", startfrom: 2 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "cursor", arg_type: String },
            { name: "pattern", arg_type: Pattern, token: "MATCH", flags: [Optional] },
            { name: "product", arg_type: Key, key_spec_index: 0, token: "PRODUCT", flags: [Optional] },
            { name: "count", arg_type: Integer, token: "COUNT", flags: [Optional] },
            { name: "full", arg_type: PureToken, token: "FULL", flags: [Optional] }
        ]
    }
)]
fn inv_scan(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    if page::tells_key(ctx, &args) {
        return Ok(RedisValue::NoReply);
    }
    run(ctx, &args, |keys, words, reply| {
        let query = parse(words, keys.style())?;
        match &query.product {
            Some(product) => keys.confine(product.as_str())?,
            None => keys.roam("INV.SCAN without PRODUCT")?,
        }
        let question: &[&str] = if query.full { &["INV.GET"] } else { &["INV.SCAN", "0", "PRODUCT"] };
        let may_see = page::sight(ctx.into(), question);
        let (next, found) = scan(keys, &query, |id| may_see(id.as_str()))?;
        reply.array(2);
        match next {
            Some((deadline, slot)) => reply.text(&format!("{deadline}-{slot}")),
            None => reply.text("0"),
        }
        reply.array(found.len());
        for Scanned { id, view } in &found {
            match view {
                Some(view) => get::write(reply, id, view),
                None => reply.text(id.as_str()),
            }
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<ScanQuery, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let cursor = args.next("the cursor")?;
    let from = if cursor == b"0" {
        None
    } else {
        let place = parse_cursor(cursor);
        Some(place.ok_or_else(|| {
            args.wrong(format!(
                "the cursor {} is neither 0 nor a cursor that INV.SCAN returned",
                Quoted(cursor)
            ))
        })?)
    };
    let (mut product, mut pattern, mut count, mut full) = (None, None, None, None);
    while let Some(word) = args.option() {
        match word.to_ascii_uppercase().as_slice() {
            b"PRODUCT" => {
                let named = Product::parse(args.value("PRODUCT")?, style)?;
                args.set_once(&mut product, "PRODUCT", named)?;
            }
            b"MATCH" => page::pattern(&mut args, &mut pattern)?,
            b"COUNT" => page::count(&mut args, &mut count)?,
            b"FULL" => args.set_once(&mut full, "FULL", ())?,
            _ => return Err(args.unknown(word)),
        }
    }
    Ok(ScanQuery { from, count: page::size(count), product, pattern, full: full.is_some() })
}

/// A cursor is the position of the last reservation that was looked at.
fn parse_cursor(text: &[u8]) -> Option<Position> {
    let (deadline, slot) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((deadline.parse().ok()?, slot.parse().ok()?))
}

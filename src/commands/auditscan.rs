//! The `INV.AUDITSCAN` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::{Args, Quoted};
use super::call::run;
use super::page;
use crate::engine::audit::{AuditCursor, Finding, audit_scan};
use crate::inventory::refusal::Refusal;

const GRAMMAR: &str = "INV.AUDITSCAN cursor [COUNT n]";

#[command(
    {
        name: "INV.AUDITSCAN",
        flags: [ReadOnly],
        arity: -1,
        summary: "Iterates over the skus whose reserved counter differs from what reservations hold, or that have stray units.",
        complexity: "O(N) where N is the number of keys examined for a page.",
        since: "0.1.0",
        tips: "nondeterministic_output request_policy:special response_policy:special",
        key_spec: [],
        args: [
            { name: "cursor", arg_type: String },
            { name: "count", arg_type: Integer, token: "COUNT", flags: [Optional] }
        ]
    }
)]
fn inv_auditscan(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let (cursor, count) = parse(words)?;
        keys.roam("INV.AUDITSCAN")?;
        let may_see = page::sight(ctx.into(), &["INV.AUDIT"]);
        let page = audit_scan(keys, cursor, count, |sku| may_see(sku.as_str()))?;
        reply.array(2);
        match page.next {
            Some(next) => reply.text(&next.spell()),
            None => reply.text("0"),
        }
        reply.array(page.found.len());
        for Finding { audit, stray } in &page.found {
            reply.audit(audit, *stray);
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]]) -> Result<(AuditCursor, usize), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let cursor = args.next("the cursor")?;
    let cursor = AuditCursor::parse(cursor).ok_or_else(|| {
        args.wrong(format!(
            "the cursor {} is neither 0 nor a cursor that INV.AUDITSCAN returned",
            Quoted(cursor)
        ))
    })?;
    let mut count = None;
    while let Some(word) = args.option() {
        if !word.eq_ignore_ascii_case(b"COUNT") {
            return Err(args.unknown(word));
        }
        page::count(&mut args, &mut count)?;
    }
    Ok((cursor, page::size(count)))
}

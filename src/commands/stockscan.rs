//! The `INV.STOCKSCAN` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::{Args, Quoted};
use super::call::run;
use super::{page, stock};
use crate::engine::stockscan::{StockCursor, StockScanQuery, stock_scan};
use crate::inventory::refusal::Refusal;

const GRAMMAR: &str = "INV.STOCKSCAN cursor [MATCH pattern] [COUNT n] [LOW]";

#[command(
    {
        name: "INV.STOCKSCAN",
        flags: [ReadOnly],
        arity: -1,
        summary: "Iterates over the stock of all products, or of those that are low.",
        complexity: "O(N) where N is the number of keys examined for a page, and of the warehouses of its products.",
        since: "0.1.0",
        tips: "nondeterministic_output request_policy:special response_policy:special",
        key_spec: [],
        args: [
            { name: "cursor", arg_type: String },
            { name: "pattern", arg_type: Pattern, token: "MATCH", flags: [Optional] },
            { name: "count", arg_type: Integer, token: "COUNT", flags: [Optional] },
            { name: "low", arg_type: PureToken, token: "LOW", flags: [Optional] }
        ]
    }
)]
fn inv_stockscan(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let query = parse(words)?;
        keys.roam("INV.STOCKSCAN")?;
        let may_see = page::sight(ctx.into(), &["INV.STOCK"]);
        let page = stock_scan(keys, &query, |product| may_see(product.as_str()))?;
        reply.array(2);
        match page.next {
            Some(next) => reply.text(&next.spell()),
            None => reply.text("0"),
        }
        reply.array(page.found.len());
        for (product, stocked) in page.found {
            stock::write(reply, &product, stocked);
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]]) -> Result<StockScanQuery, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let cursor = args.next("the cursor")?;
    let cursor = StockCursor::parse(cursor).ok_or_else(|| {
        args.wrong(format!(
            "the cursor {} is neither 0 nor a cursor that INV.STOCKSCAN returned",
            Quoted(cursor)
        ))
    })?;
    let (mut pattern, mut count, mut low) = (None, None, None);
    while let Some(word) = args.option() {
        match word.to_ascii_uppercase().as_slice() {
            b"MATCH" => page::pattern(&mut args, &mut pattern)?,
            b"COUNT" => page::count(&mut args, &mut count)?,
            b"LOW" => args.set_once(&mut low, "LOW", ())?,
            _ => return Err(args.unknown(word)),
        }
    }
    Ok(StockScanQuery { cursor, count: page::size(count), pattern, low: low.is_some() })
}

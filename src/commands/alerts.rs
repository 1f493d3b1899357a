//! The `INV.ALERTS` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;

use super::args::{Args, Quoted};
use super::call::run;
use super::page;
use super::reply::Reply;
use crate::engine::alerts::{AlertQuery, list};
use crate::engine::keyspace::Keyspace;
use crate::inventory::alert::{Alert, AlertType};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product};

const GRAMMAR: &str = "INV.ALERTS [PRODUCT product] [TYPE type] [SINCE ms] [BEFORE ms] [COUNT n]";

#[command(
    {
        name: "INV.ALERTS",
        flags: [ReadOnly, GetkeysApi],
        arity: -1,
        summary: "Lists low-stock, out-of-stock and back-in-stock alerts, newest first.",
        complexity: "O(N*log(M)) where N is the number of alerts examined and M the number of alerts stored.",
        since: "0.1.0",
        tips: "nondeterministic_output request_policy:special response_policy:special",
        key_spec: [
            {
                notes: "The product.",
                flags: [ReadOnly, Access],
                begin_search: Keyword({ keyword: "PRODUCT", startfrom: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "product", arg_type: Key, key_spec_index: 0, token: "PRODUCT", flags: [Optional] },
            {
                name: "type", arg_type: OneOf, token: "TYPE", flags: [Optional],
                subargs: [
                    { name: "low-stock", arg_type: PureToken, token: "LOW_STOCK" },
                    { name: "out-of-stock", arg_type: PureToken, token: "OUT_OF_STOCK" },
                    { name: "back-in-stock", arg_type: PureToken, token: "BACK_IN_STOCK" }
                ]
            },
            { name: "since", arg_type: UnixTime, token: "SINCE", flags: [Optional] },
            { name: "before", arg_type: UnixTime, token: "BEFORE", flags: [Optional] },
            { name: "count", arg_type: Integer, token: "COUNT", flags: [Optional] }
        ]
    }
)]
fn inv_alerts(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    if page::tells_key(ctx, &args) {
        return Ok(RedisValue::NoReply);
    }
    run(ctx, &args, |keys, words, reply| {
        let query = parse(words, keys.style())?;
        match &query.product {
            Some(product) => keys.confine(product.as_str())?,
            None => keys.roam("INV.ALERTS without PRODUCT")?,
        }
        // The server has checked the caller's rights to a named product. A list of all products shows only those that
        // the caller may read.
        let sight = query.product.is_none().then(|| page::sight(ctx.into(), &["INV.ALERTS", "PRODUCT"]));
        let found =
            list(keys, &query, |product| sight.as_ref().is_none_or(|may_see| may_see(product.as_str())));
        reply.array(found.len());
        for alert in &found {
            write(reply, alert);
        }
        reply.done()
    })
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<AlertQuery, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let (mut product, mut kind, mut since, mut before, mut count) = (None, None, None, None, None);
    while let Some(word) = args.option() {
        match word.to_ascii_uppercase().as_slice() {
            b"PRODUCT" => {
                let named = Product::parse(args.value("PRODUCT")?, style)?;
                args.set_once(&mut product, "PRODUCT", named)?;
            }
            b"TYPE" => {
                let name = args.value("TYPE")?;
                let named = AlertType::parse(name).ok_or_else(|| {
                    let name = Quoted(name);
                    args.wrong(format!("TYPE {name} is not LOW_STOCK, OUT_OF_STOCK or BACK_IN_STOCK"))
                })?;
                args.set_once(&mut kind, "TYPE", named)?;
            }
            b"SINCE" => {
                let at = args.number("SINCE", 0)?;
                args.set_once(&mut since, "SINCE", at)?;
            }
            b"BEFORE" => {
                let at = args.number("BEFORE", 0)?;
                args.set_once(&mut before, "BEFORE", at)?;
            }
            b"COUNT" => page::count(&mut args, &mut count)?,
            _ => return Err(args.unknown(word)),
        }
    }
    Ok(AlertQuery { product, kind, since: since.unwrap_or(0), before, count: page::size(count) })
}

fn write(reply: &Reply<'_>, alert: &Alert) {
    reply.map(5);
    reply.text("product_id");
    reply.text(&alert.product_id);
    reply.text("type");
    reply.text(alert.kind.name());
    for (name, number) in
        [("available", alert.available), ("threshold", alert.threshold), ("timestamp", alert.timestamp)]
    {
        reply.text(name);
        reply.number(number);
    }
}

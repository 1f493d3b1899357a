//! The `INV.WAREHOUSES` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use super::reply;
use crate::engine::keyspace::Keyspace;
use crate::engine::places::MOST;
use crate::engine::warehouses::{remove, set};
use crate::inventory::priority::Priority;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, Warehouse};

const GRAMMAR: &str = "INV.WAREHOUSES product SET warehouse priority | CLOSED [warehouse priority | CLOSED ...] | DEL warehouse";

#[command(
    {
        name: "INV.WAREHOUSES",
        flags: [Write],
        arity: -1,
        summary: "Sets, closes or removes the warehouses of a product, and sets the order in which they are used.",
        complexity: "O(N log N) where N is the number of warehouses of the product.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The product.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            }
        ],
        args: [
            { name: "product", arg_type: Key, key_spec_index: 0 },
            {
                name: "change", arg_type: OneOf,
                subargs: [
                    {
                        name: "place", arg_type: Block, token: "SET", flags: [Multiple],
                        subargs: [
                            { name: "warehouse", arg_type: String },
                            {
                                name: "order", arg_type: OneOf,
                                subargs: [
                                    { name: "priority", arg_type: Integer },
                                    { name: "closed", arg_type: PureToken, token: "CLOSED" }
                                ]
                            }
                        ]
                    },
                    { name: "warehouse", arg_type: String, token: "DEL" }
                ]
            }
        ]
    }
)]
fn inv_warehouses(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let (product, change) = parse(words, keys.style())?;
        keys.confine(product.as_str())?;
        let done = match change {
            Change::Set(places) => set(keys, &product, &places),
            Change::Remove(warehouse) => remove(keys, &product, &warehouse),
        };
        done.map(reply::ok)
    })
}

/// A change to the warehouses of a product.
#[derive(Clone, Debug)]
pub enum Change {
    /// Sets these warehouses, each with its priority.
    Set(Vec<(Warehouse, Priority)>),
    /// Removes this warehouse.
    Remove(Warehouse),
}

pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<(Product, Change), Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let product = Product::parse(args.next("the product")?, style)?;
    let word = args.next("SET or DEL")?;
    if word.eq_ignore_ascii_case(b"DEL") {
        let warehouse = Warehouse::parse(args.next("the warehouse")?, style)?;
        args.end()?;
        return Ok((product, Change::Remove(warehouse)));
    }
    if !word.eq_ignore_ascii_case(b"SET") {
        return Err(args.unknown(word));
    }
    let mut places: Vec<(Warehouse, Priority)> = vec![place(args.next("the warehouse")?, &mut args, style)?];
    while let Some(name) = args.option() {
        let place = place(name, &mut args, style)?;
        if places.iter().any(|(known, _)| *known == place.0) {
            return Err(args.wrong(format!("warehouse {} is given twice", place.0)));
        }
        places.push(place);
        if places.len() > MOST {
            return Err(Refusal::invalid(format!("a product can have at most {MOST} warehouses")));
        }
    }
    Ok((product, Change::Set(places)))
}

fn place(name: &[u8], args: &mut Args<'_>, style: KeyStyle) -> Result<(Warehouse, Priority), Refusal> {
    let warehouse = Warehouse::parse(name, style)?;
    let what = format!("the priority of {warehouse}");
    if args.takes(b"CLOSED") {
        return Ok((warehouse, Priority::Closed));
    }
    Ok((warehouse, Priority::Number(args.signed(&what)?)))
}

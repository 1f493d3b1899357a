//! The `INV.STOCK` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::Args;
use super::call::run;
use super::reply::Reply;
use crate::engine::keyspace::Keyspace;
use crate::engine::queries::{StockView, Stocked, stock};
use crate::engine::shelves::Units;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product};

const GRAMMAR: &str = "INV.STOCK product [product ...]";

#[command(
    {
        name: "INV.STOCK",
        flags: [ReadOnly],
        arity: -1,
        summary: "Returns the stock of products: available, reserved, on-hand and reservable units, floor, threshold and warehouses.",
        complexity: "O(N) where N is the number of products and of their warehouses.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The products.",
                flags: [ReadOnly, Access],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: -1, steps: 1, limit: 0 }),
            }
        ],
        args: [{ name: "product", arg_type: Key, key_spec_index: 0, flags: [Multiple] }]
    }
)]
fn inv_stock(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let products = parse(words, keys.style())?;
        if let Some(first) = products.first() {
            keys.confine(first.as_str())?;
        }
        let found = stock(keys, &products)?;
        reply.array(found.len());
        for (product, stocked) in products.iter().zip(found) {
            write(reply, product, stocked);
        }
        reply.done()
    })
}

/// Writes the stock of a product.
pub(super) fn write(reply: &Reply<'_>, product: &Product, stocked: Stocked) {
    match stocked {
        Ok(Some(view)) => write_view(reply, &view),
        Ok(None) => reply.null(),
        Err(refusal) => write_error(reply, product, &refusal),
    }
}

fn write_view(reply: &Reply<'_>, view: &StockView) {
    reply.map(8);
    reply.text("product_id");
    reply.text(view.product.as_str());
    write_units(reply, view.units);
    reply.text("threshold");
    reply.number(view.threshold);
    reply.text("warehouses");
    reply.array(view.warehouses.len());
    for (place, units) in &view.warehouses {
        reply.map(8);
        reply.text("warehouse");
        reply.text(place.sku.warehouse().unwrap_or_default());
        reply.text("priority");
        reply.score(place.priority);
        reply.text("closed");
        reply.number(place.is_closed().into());
        write_units(reply, *units);
    }
}

/// Writes the error for a product if one of its keys cannot be read.
fn write_error(reply: &Reply<'_>, product: &Product, refusal: &Refusal) {
    reply.map(2);
    reply.text("product_id");
    reply.text(product.as_str());
    reply.text("error");
    reply.text(&refusal.to_string());
}

fn write_units(reply: &Reply<'_>, units: Units) {
    for (name, units) in [
        ("available", units.available),
        ("reserved", units.reserved),
        ("on_hand", units.on_hand),
        ("floor", units.floor),
        ("reservable", units.reservable),
    ] {
        reply.text(name);
        reply.number(units);
    }
}

/// Reads one or more products.
pub(super) fn parse(words: &[&[u8]], style: KeyStyle) -> Result<Vec<Product>, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let mut products = vec![Product::parse(args.next("the product")?, style)?];
    while let Some(word) = args.option() {
        products.push(Product::parse(word, style)?);
    }
    Ok(products)
}

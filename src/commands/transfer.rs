//! The `INV.TRANSFER` command.

use redis_module::{Context, RedisResult, RedisString};
use redis_module_macros::command;

use super::args::{self, Args};
use super::call::{run, sign};
use super::reply;
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::warehouses::{TransferRequest, transfer};
use crate::inventory::key::OnceName;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, Sku, Warehouse};

const GRAMMAR: &str = "INV.TRANSFER product from to quantity [ONCE token] [NOTE text]";

#[command(
    {
        name: "INV.TRANSFER",
        flags: [Write],
        arity: -1,
        summary: "Moves available units of a product from one warehouse to another.",
        complexity: "O(N) where N is the number of warehouses of the product.",
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
            { name: "from", arg_type: String },
            { name: "to", arg_type: String },
            { name: "quantity", arg_type: Integer },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            { name: "text", arg_type: String, token: "NOTE", flags: [Optional] }
        ]
    }
)]
fn inv_transfer(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, _| {
        let mut request = parse(words, keys.style(), &keys.settings())?;
        sign(ctx, &mut request.note);
        keys.confine(request.product.as_str())?;
        transfer(keys, &request).map(reply::ok)
    })
}

pub(super) fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
) -> Result<TransferRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let product = Product::parse(args.next("the product")?, style)?;
    let from = Warehouse::parse(args.next("the source warehouse")?, style)?;
    let to = Warehouse::parse(args.next("the destination warehouse")?, style)?;
    let quantity = args.quantity("the quantity")?;
    let (mut token, mut note) = (None, None);
    while let Some(word) = args.option() {
        if !args.token(word, &mut token)? && !args.note(word, &mut note, settings)? {
            return Err(args.unknown(word));
        }
    }
    let once = args::token(
        token,
        |token| OnceName::of_sku("transfer", &Sku::from(&product), token, style),
        || format!("{} from @{from} to @{to}", quantity.units()),
    )?;
    Ok(TransferRequest { product, from, to, quantity, once, note })
}

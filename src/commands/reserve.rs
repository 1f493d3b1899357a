//! The `INV.RESERVE` command.

use redis_module::{Context, RedisResult, RedisString, RedisValue};
use redis_module_macros::command;
use uuid::Uuid;

use super::args::{self, Args, Quoted};
use super::call::run;
use super::reply::Reply;
use crate::engine::keyspace::{Keyspace, Settings};
use crate::engine::reserve::{ReserveRequest, reserve};
use crate::inventory::allocation::Split;
use crate::inventory::key::OnceName;
use crate::inventory::lifetime::Lifetime;
use crate::inventory::line::Line;
use crate::inventory::once::Reserved;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, ReservationId, check_id};

const GRAMMAR: &str = "INV.RESERVE id [EX s | PX ms | EXAT s | PXAT ms] [DATA text] [SPLIT priority | fewest | none] [PARTIAL] [BUYER buyer] [ONCE token] ITEMS sku quantity [sku quantity ...]";

#[command(
    {
        name: "INV.RESERVE",
        flags: [Write, DenyOOM],
        arity: -1,
        summary: "Holds units of one or more skus until a deadline: all, or with PARTIAL what there is.",
        complexity: "O(N log N) where N is the number of items and of the warehouses of their products.",
        since: "0.1.0",
        key_spec: [
            {
                notes: "The reservation.",
                flags: [ReadWrite, Access, Update],
                begin_search: Index({ index: 1 }),
                find_keys: Range({ last_key: 0, steps: 1, limit: 0 }),
            },
            {
                notes: "The skus.",
                flags: [ReadWrite, Access, Update],
                begin_search: Keyword({ keyword: "ITEMS", startfrom: 2 }),
                find_keys: Range({ last_key: -1, steps: 2, limit: 0 }),
            }
        ],
        args: [
            { name: "id", arg_type: Key, key_spec_index: 0 },
            {
                name: "lifetime", arg_type: OneOf, flags: [Optional],
                subargs: [
                    { name: "seconds", arg_type: Integer, token: "EX" },
                    { name: "milliseconds", arg_type: Integer, token: "PX" },
                    { name: "unix-time-seconds", arg_type: UnixTime, token: "EXAT" },
                    { name: "unix-time-milliseconds", arg_type: UnixTime, token: "PXAT" }
                ]
            },
            { name: "text", arg_type: String, token: "DATA", flags: [Optional] },
            {
                name: "strategy", arg_type: OneOf, token: "SPLIT", flags: [Optional],
                subargs: [
                    { name: "priority", arg_type: PureToken, token: "PRIORITY" },
                    { name: "fewest", arg_type: PureToken, token: "FEWEST" },
                    { name: "none", arg_type: PureToken, token: "NONE" }
                ]
            },
            { name: "partial", arg_type: PureToken, token: "PARTIAL", flags: [Optional] },
            { name: "buyer", arg_type: String, token: "BUYER", flags: [Optional] },
            { name: "token", arg_type: String, token: "ONCE", flags: [Optional] },
            {
                name: "item", arg_type: Block, token: "ITEMS", flags: [Multiple],
                subargs: [
                    { name: "sku", arg_type: Key, key_spec_index: 1 },
                    { name: "quantity", arg_type: Integer }
                ]
            }
        ]
    }
)]
fn inv_reserve(ctx: &Context, args: Vec<RedisString>) -> RedisResult {
    run(ctx, &args, |keys, words, reply| {
        let request = parse(words, keys.style(), &keys.settings())?;
        keys.confine_with(&request.id, &request.items)?;
        let reserved = reserve(keys, &request)?;
        write(reply, &reserved, request.partial)
    })
}

/// Writes a reservation. What `PARTIAL` left out is shown if the request allowed it, and if there is any.
// Inlined, as what follows is: RESERVE then costs what it cost before REPLACE shared this with it.
#[inline(always)]
pub(super) fn write(reply: &Reply<'_>, reserved: &Reserved, partial: bool) -> Result<RedisValue, Refusal> {
    let Reserved { id, expires_at, items, short } = reserved;
    let shows_short = partial || !short.is_empty();
    reply.map(if shows_short { 4 } else { 3 });
    reply.text("reservation_id");
    reply.text(id.as_str());
    reply.text("expires_at");
    reply.number(*expires_at);
    reply.text("items");
    reply.lines(items);
    if shows_short {
        reply.text("short");
        reply.lines(short);
    }
    reply.done()
}

/// The words after the ids of INV.RESERVE and INV.REPLACE: the options, and the items.
pub(super) struct ItemOptions<'a> {
    pub(super) lifetime: Lifetime,
    pub(super) data: Option<String>,
    pub(super) buyer: Option<String>,
    pub(super) split: Split,
    pub(super) partial: bool,
    pub(super) token: Option<&'a [u8]>,
    pub(super) items: Vec<Line>,
}

impl<'a> ItemOptions<'a> {
    /// Reads them to the end.
    #[inline(always)]
    pub(super) fn read(args: &mut Args<'a>, style: KeyStyle, settings: &Settings) -> Result<Self, Refusal> {
        let (mut lifetime, mut data, mut buyer) = (None, None, None);
        let (mut split, mut partial, mut token) = (None, None, None);
        loop {
            let word = args.next("ITEMS")?;
            if word.eq_ignore_ascii_case(b"ITEMS") {
                break;
            } else if word.eq_ignore_ascii_case(b"DATA") {
                let text = args.value("DATA")?;
                if text.len() > settings.max_data_bytes {
                    return Err(Refusal::invalid(format!(
                        "DATA has {} bytes, but at most {} are allowed (inv.max-data-bytes)",
                        text.len(),
                        settings.max_data_bytes
                    )));
                }
                args.set_once(&mut data, "DATA", String::from_utf8_lossy(text).into_owned())?;
            } else if word.eq_ignore_ascii_case(b"SPLIT") {
                let name = args.value("SPLIT")?;
                let given = Split::parse(name).ok_or_else(|| {
                    args.wrong(format!("SPLIT {} is not priority, fewest or none", Quoted(name)))
                })?;
                args.set_once(&mut split, "SPLIT", given)?;
            } else if args.lifetime(word, &mut lifetime)? || args.token(word, &mut token)? {
                // The value has been read.
            } else if word.eq_ignore_ascii_case(b"PARTIAL") {
                args.set_once(&mut partial, "PARTIAL", ())?;
            } else if word.eq_ignore_ascii_case(b"BUYER") {
                let name = check_id("the buyer", args.value("BUYER")?, style)?;
                args.set_once(&mut buyer, "BUYER", name.to_owned())?;
            } else {
                return Err(args.unknown(word));
            }
        }
        Ok(Self {
            lifetime: lifetime.unwrap_or(Lifetime::Default),
            data,
            buyer,
            split: split.unwrap_or_default(),
            partial: partial.is_some(),
            token,
            items: args.items(style, settings.max_items)?,
        })
    }
}

pub(super) fn parse(
    words: &[&[u8]],
    style: KeyStyle,
    settings: &Settings,
) -> Result<ReserveRequest, Refusal> {
    let mut args = Args::new(words, GRAMMAR)?;
    let given = args.next("the reservation id")?;
    let id = resolve_id(given, style)?;
    let ItemOptions { lifetime, data, buyer, split, partial, token, items } =
        ItemOptions::read(&mut args, style, settings)?;
    // The token belongs to the id as the client gave it: with a star, a repeated token returns the reservation that
    // was made first, whatever id was generated.
    let name = |token: &[u8]| {
        let given = String::from_utf8_lossy(given);
        let given = given.strip_suffix('*').map_or(id.as_str(), |_| &given);
        OnceName::new("reserve", given, token, style)
    };
    let once = args::token(token, name, || args::spell_request(&items, partial))?;
    Ok(ReserveRequest { id, lifetime, data, buyer, split, partial, items, once })
}

/// Replaces a star at the end of an id with a new UUID of version 7, so that ids sort by time.
fn resolve_id(given: &[u8], style: KeyStyle) -> Result<ReservationId, Refusal> {
    let Some(prefix) = given.strip_suffix(b"*") else {
        return Ok(ReservationId::parse(given, style)?);
    };
    if style == KeyStyle::Tagged && !prefix.contains(&b'{') {
        return Err(Refusal::invalid(
            "with tagged keys, a generated id needs the hash tag of its products: write {tag}*",
        ));
    }
    let mut id = prefix.to_vec();
    id.extend_from_slice(Uuid::now_v7().hyphenated().to_string().as_bytes());
    Ok(ReservationId::parse(&id, style)?)
}

//! The keys of the module, and their names.
//!
//! **Invariant:** every key name of the module is built here and nowhere else, so that one look tells what is in the
//! keyspace, and a cluster finds everything that one command touches in one slot.

use super::quantity::{UnixMs, parse_integer};
use super::sku::{InvalidText, KeyStyle, Product, ReservationId, Sku, check_id};

/// What follows `inventory:once:` in a key name. The id's length stands before it, so that no id and token can be
/// mistaken for another id and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceName(Box<str>);

impl OnceName {
    /// The name for a command on a reservation, with the id as it was given, and a token. `ERR` where the token is no id.
    pub fn new(command: &str, given: &str, token: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let mut id = String::new();
        push_id(&mut id, "", given, style);
        Self::with(command, &id, token)
    }

    /// The same for a command on a sku.
    pub fn of_sku(command: &str, sku: &Sku, token: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let mut id = String::new();
        push_sku(&mut id, "", sku, style);
        Self::with(command, &id, token)
    }

    fn with(command: &str, id: &str, token: &[u8]) -> Result<Self, InvalidText> {
        let token = check_id("ONCE token", token, KeyStyle::Plain)?;
        Ok(Self(format!("{command}:{}:{id}:{token}", id.len()).into()))
    }

    /// The name as it was replicated.
    pub fn replicated(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok().map(|text| Self(text.into()))
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key of the module, before it has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// `stock:available:{sku}`: integer, units that can be reserved.
    Available(&'a Sku),
    /// `stock:reserved:{sku}`: integer, units that live reservations hold.
    Reserved(&'a Sku),
    /// `reservation:{id}`: the record of one live reservation, with a TTL.
    Reservation(&'a ReservationId),
    /// `inventory:outcome:{id}`: how a reservation ended, with a TTL.
    Outcome(&'a ReservationId),
    /// `stock:warehouses:{product}`: sorted set, warehouse to priority.
    Warehouses(&'a str),
    /// `stock:threshold:{product}`: integer, where it is not the default.
    Threshold(&'a str),
    /// `alert:{product}:{timestamp}`: one alert, with a TTL.
    Alert(&'a str, UnixMs),
    /// `inventory:managed`: the mark of a database in which every reserved unit is the module's.
    Managed,
    /// `inventory:feed`, in tagged style `inventory:feed:{tag}` with the tag of this product.
    Feed(&'a str),
    /// `inventory:once:{kind}:{length}:{id}:{token}`: what a command with that token answered, with a TTL.
    Once(&'a OnceName),
}

const AVAILABLE: &str = "stock:available:";
const RESERVED: &str = "stock:reserved:";
const RESERVATION: &str = "reservation:";
const OUTCOME: &str = "inventory:outcome:";
const WAREHOUSES: &str = "stock:warehouses:";
const THRESHOLD: &str = "stock:threshold:";
const ALERT: &str = "alert:";
const MANAGED: &str = "inventory:managed";
const FEED: &str = "inventory:feed";
const ONCE: &str = "inventory:once:";

impl Key<'_> {
    /// What the server's SCAN finds every counter by, and few other keys.
    pub const COUNTER_PATTERN: &'static str = "stock:[ar]*";

    /// Appends the key's name to `out`.
    pub fn write_name(&self, style: KeyStyle, out: &mut String) {
        match self {
            Key::Available(sku) => push_sku(out, AVAILABLE, sku, style),
            Key::Reserved(sku) => push_sku(out, RESERVED, sku, style),
            Key::Reservation(id) => push_id(out, RESERVATION, id.as_str(), style),
            Key::Outcome(id) => push_id(out, OUTCOME, id.as_str(), style),
            Key::Warehouses(product) => push_id(out, WAREHOUSES, product, style),
            Key::Threshold(product) => push_id(out, THRESHOLD, product, style),
            Key::Alert(product, timestamp) => {
                push_id(out, ALERT, product, style);
                out.push(':');
                out.push_str(&timestamp.to_string());
            }
            Key::Managed => out.push_str(MANAGED),
            Key::Feed(product) => {
                out.push_str(FEED);
                if style == KeyStyle::Tagged {
                    let tag = product.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
                    push_id(out, ":", tag.map_or(product, |(tag, _)| tag), style);
                }
            }
            Key::Once(name) => {
                out.push_str(ONCE);
                out.push_str(name.as_str());
            }
        }
    }

    /// The key's name.
    pub fn name(&self, style: KeyStyle) -> String {
        let mut out = String::with_capacity(64);
        self.write_name(style, &mut out);
        out
    }
}

fn push_id(out: &mut String, prefix: &str, id: &str, style: KeyStyle) {
    out.push_str(prefix);
    if style == KeyStyle::Tagged && !id.contains('{') {
        out.push('{');
        out.push_str(id);
        out.push('}');
    } else {
        out.push_str(id);
    }
}

fn push_sku(out: &mut String, prefix: &str, sku: &Sku, style: KeyStyle) {
    push_id(out, prefix, sku.product(), style);
    if let Some(warehouse) = sku.warehouse() {
        out.push('@');
        out.push_str(warehouse);
    }
}

/// A key name that the module cares about when an event names it.
#[derive(Debug, PartialEq, Eq)]
pub enum Watched {
    /// `reservation:*`; `None` where the rest is no id, so that the key can only be foreign.
    Reservation(Option<ReservationId>),
    /// `stock:threshold:*`.
    Threshold(Product),
    /// `alert:*`.
    Alert(Product, UnixMs),
    /// `inventory:outcome:*`.
    Outcome(ReservationId),
    /// `stock:available:*`.
    Available,
    /// `stock:reserved:*`.
    Reserved(Sku),
    /// `inventory:managed`.
    Managed,
}

/// Whether this is the name of a reservation's key, or would be one.
pub fn is_reservation(name: &[u8]) -> bool {
    name.starts_with(RESERVATION.as_bytes())
}

/// Recognises a key name. Most keys of a server are none of ours: the first comparison says so, and nothing is
/// allocated before that.
pub fn watched(name: &[u8], style: KeyStyle) -> Option<Watched> {
    if let Some(rest) = name.strip_prefix(RESERVATION.as_bytes()) {
        let id = ReservationId::parse(rest, style).ok();
        return Some(Watched::Reservation(id.filter(|id| named_so(Key::Reservation(id), name, style))));
    }
    if let Some(rest) = name.strip_prefix(THRESHOLD.as_bytes()) {
        let product = Product::parse(rest, style).ok()?;
        return named_so(Key::Threshold(product.as_str()), name, style)
            .then_some(Watched::Threshold(product));
    }
    if let Some(rest) = name.strip_prefix(ALERT.as_bytes()) {
        let colon = rest.iter().rposition(|byte| *byte == b':')?;
        let (product, timestamp) = rest.split_at(colon);
        let product = Product::parse(product, style).ok()?;
        let timestamp = parse_integer(timestamp.strip_prefix(b":")?)?;
        return named_so(Key::Alert(product.as_str(), timestamp), name, style)
            .then_some(Watched::Alert(product, timestamp));
    }
    if let Some(rest) = name.strip_prefix(OUTCOME.as_bytes()) {
        let id = ReservationId::parse(rest, style).ok()?;
        return named_so(Key::Outcome(&id), name, style).then_some(Watched::Outcome(id));
    }
    if let Some(rest) = name.strip_prefix(RESERVED.as_bytes()) {
        let sku = Sku::parse(rest, style).ok()?;
        return named_so(Key::Reserved(&sku), name, style).then_some(Watched::Reserved(sku));
    }
    if name.starts_with(AVAILABLE.as_bytes()) {
        return Some(Watched::Available);
    }
    (name == MANAGED.as_bytes()).then_some(Watched::Managed)
}

/// A counter, by its key's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `stock:available:{sku}`.
    Available(Sku),
    /// `stock:reserved:{sku}`.
    Reserved(Sku),
}

impl Counted {
    /// The counter of that name; `None` for any other key.
    pub fn parse(name: &[u8], style: KeyStyle) -> Option<Self> {
        if let Some(rest) = name.strip_prefix(AVAILABLE.as_bytes()) {
            let sku = Sku::parse(rest, style).ok()?;
            return named_so(Key::Available(&sku), name, style).then_some(Self::Available(sku));
        }
        let sku = Sku::parse(name.strip_prefix(RESERVED.as_bytes())?, style).ok()?;
        named_so(Key::Reserved(&sku), name, style).then_some(Self::Reserved(sku))
    }
}

/// Whether this counter looks as if it had been named in the other style: without braces where there would be some, or
/// with the whole product in braces.
pub fn is_of_other_style(name: &[u8], style: KeyStyle) -> bool {
    let rest = name.strip_prefix(AVAILABLE.as_bytes()).or_else(|| name.strip_prefix(RESERVED.as_bytes()));
    let Some(sku) = rest.and_then(|rest| std::str::from_utf8(rest).ok()) else { return false };
    let product = sku.split_once('@').map_or(sku, |(product, _)| product);
    match style {
        KeyStyle::Plain => {
            let tag = product.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            tag.is_some_and(|tag| !tag.is_empty() && !tag.contains(['{', '}']))
        }
        KeyStyle::Tagged => !product.contains('{'),
    }
}

/// In tagged style `X` and `{X}` are one id, but only `{X}` is a name of ours.
fn named_so(key: Key<'_>, name: &[u8], style: KeyStyle) -> bool {
    style == KeyStyle::Plain || key.name(style).as_bytes() == name
}

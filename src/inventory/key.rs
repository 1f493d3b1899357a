//! The keys of the module and their names.
//!
//! **Invariant:** every key name is built in this file and nowhere else. One file therefore shows everything that the
//! module keeps in the keyspace, and ensures that in tagged style all keys of one command share a cluster slot.

use super::quantity::{UnixMs, parse_integer};
use super::sku::{InvalidText, KeyStyle, Product, ReservationId, Sku, check_id};

/// The part of a key name that follows `inventory:once:`. It includes the length of the id, so that an id and a token
/// can never be confused with a different pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceName(Box<str>);

impl OnceName {
    /// The name for a command on a reservation, built from the id as the client wrote it and the token.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the token breaks the rules for ids.
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

    /// Reads a name from its replicated form. Returns `None` if it is not UTF-8.
    pub fn replicated(text: &[u8]) -> Option<Self> {
        std::str::from_utf8(text).ok().map(|text| Self(text.into()))
    }

    /// The text of the name, without the prefix `inventory:once:`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key of the module, independent of the key style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// `stock:available:{sku}`: an integer, the units that can be reserved.
    Available(&'a Sku),
    /// `stock:reserved:{sku}`: an integer, the units that live reservations hold.
    Reserved(&'a Sku),
    /// `reservation:{id}`: the record of one live reservation, with a TTL.
    Reservation(&'a ReservationId),
    /// `inventory:outcome:{id}`: the way a reservation ended, with a TTL.
    Outcome(&'a ReservationId),
    /// `stock:warehouses:{product}`: a sorted set of the product's warehouses, scored by priority.
    Warehouses(&'a str),
    /// `stock:floor:{sku}`: an integer; RESERVE leaves so many units available.
    Floor(&'a Sku),
    /// `stock:limit:{product}`: an integer, how many units of the product each buyer may hold and have bought.
    Limit(&'a str),
    /// `stock:threshold:{product}`: an integer, the alert threshold. The key is absent if the default applies.
    Threshold(&'a str),
    /// `alert:{product}:{timestamp}`: one alert, with a TTL.
    Alert(&'a str, UnixMs),
    /// `inventory:managed`: marks a database in which the module holds every reserved unit.
    Managed,
    /// `inventory:feed`: the change feed. In tagged style each tag has its own, `inventory:feed:{tag}`; this is the one
    /// of the given product.
    Feed(&'a str),
    /// `inventory:once:{kind}:{length}:{id}:{token}`: the answer to a command with this token, with a TTL.
    Once(&'a OnceName),
}

const AVAILABLE: &str = "stock:available:";
const RESERVED: &str = "stock:reserved:";
const RESERVATION: &str = "reservation:";
const OUTCOME: &str = "inventory:outcome:";
const WAREHOUSES: &str = "stock:warehouses:";
const FLOOR: &str = "stock:floor:";
const LIMIT: &str = "stock:limit:";
const THRESHOLD: &str = "stock:threshold:";
const ALERT: &str = "alert:";
const MANAGED: &str = "inventory:managed";
const FEED: &str = "inventory:feed";
const ONCE: &str = "inventory:once:";

impl Key<'_> {
    /// A SCAN pattern that matches every counter and floor, and few other keys.
    pub const COUNTER_PATTERN: &'static str = "stock:[arf]*";

    /// A SCAN pattern that matches the sets of warehouses, and nothing else.
    pub const WAREHOUSES_PATTERN: &'static str = "stock:warehouses:*";

    /// Appends the name of the key to `out`.
    pub fn write_name(&self, style: KeyStyle, out: &mut String) {
        match self {
            Key::Available(sku) => push_sku(out, AVAILABLE, sku, style),
            Key::Reserved(sku) => push_sku(out, RESERVED, sku, style),
            Key::Reservation(id) => push_id(out, RESERVATION, id.as_str(), style),
            Key::Outcome(id) => push_id(out, OUTCOME, id.as_str(), style),
            Key::Warehouses(product) => push_id(out, WAREHOUSES, product, style),
            Key::Floor(sku) => push_sku(out, FLOOR, sku, style),
            Key::Limit(product) => push_id(out, LIMIT, product, style),
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

    /// The name of the key.
    ///
    /// ```
    /// use redis_inventory::inventory::key::Key;
    /// use redis_inventory::inventory::sku::{KeyStyle, Sku};
    ///
    /// let sku = Sku::parse(b"PROD-123", KeyStyle::Plain).unwrap();
    /// assert_eq!(Key::Available(&sku).name(KeyStyle::Plain), "stock:available:PROD-123");
    /// assert_eq!(Key::Available(&sku).name(KeyStyle::Tagged), "stock:available:{PROD-123}");
    /// ```
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
    out.push_str(sku.after_product());
}

/// A key whose events the module acts on, recognised by its name.
#[derive(Debug, PartialEq, Eq)]
pub enum Watched {
    /// `reservation:*`; `None` if the rest of the name is not a valid id, so that the key can only be foreign.
    Reservation(Option<ReservationId>),
    /// `stock:threshold:*`.
    Threshold(Product),
    /// `alert:*`.
    Alert(Product, UnixMs),
    /// `inventory:outcome:*`.
    Outcome(ReservationId),
    /// `stock:available:*`.
    Available,
    /// `stock:warehouses:*`.
    Warehouses(Product),
    /// `stock:floor:*`.
    Floor(Sku),
    /// `stock:limit:*`.
    Limit(Product),
    /// `stock:reserved:*`.
    Reserved(Sku),
    /// `inventory:managed`.
    Managed,
}

/// Whether the event of a new key of this name matters, whatever its type: it starts like the key of a reservation, an outcome,
/// a set of warehouses, a floor or a limit, even if the rest is not valid.
pub fn is_watched_when_new(name: &[u8]) -> bool {
    [RESERVATION, OUTCOME, WAREHOUSES, FLOOR, LIMIT].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

/// Recognises the name of a key. Most keys of a server do not belong to the module, so the prefixes are compared before
/// anything is allocated.
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
        let sku = Sku::parse_any(rest, style).ok()?;
        return named_so(Key::Reserved(&sku), name, style).then_some(Watched::Reserved(sku));
    }
    if let Some(rest) = name.strip_prefix(WAREHOUSES.as_bytes()) {
        let product = Product::parse(rest, style).ok()?;
        return named_so(Key::Warehouses(product.as_str()), name, style)
            .then_some(Watched::Warehouses(product));
    }
    if let Some(rest) = name.strip_prefix(FLOOR.as_bytes()) {
        let sku = Sku::parse(rest, style).ok()?;
        return named_so(Key::Floor(&sku), name, style).then_some(Watched::Floor(sku));
    }
    if let Some(rest) = name.strip_prefix(LIMIT.as_bytes()) {
        let product = Product::parse(rest, style).ok()?;
        return named_so(Key::Limit(product.as_str()), name, style).then_some(Watched::Limit(product));
    }
    if name.starts_with(AVAILABLE.as_bytes()) {
        return Some(Watched::Available);
    }
    (name == MANAGED.as_bytes()).then_some(Watched::Managed)
}

/// A counter or a floor, recognised by the name of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counted {
    /// `stock:available:{sku}`.
    Available(Sku),
    /// `stock:reserved:{sku}`.
    Reserved(Sku),
    /// `stock:floor:{sku}`.
    Floor(Sku),
}

impl Counted {
    /// Returns the counter or floor with this name, or `None` for every other key.
    pub fn parse(name: &[u8], style: KeyStyle) -> Option<Self> {
        if let Some(rest) = name.strip_prefix(AVAILABLE.as_bytes()) {
            let sku = Sku::parse_any(rest, style).ok()?;
            return named_so(Key::Available(&sku), name, style).then_some(Self::Available(sku));
        }
        if let Some(rest) = name.strip_prefix(FLOOR.as_bytes()) {
            let sku = Sku::parse(rest, style).ok()?;
            return named_so(Key::Floor(&sku), name, style).then_some(Self::Floor(sku));
        }
        let sku = Sku::parse_any(name.strip_prefix(RESERVED.as_bytes())?, style).ok()?;
        named_so(Key::Reserved(&sku), name, style).then_some(Self::Reserved(sku))
    }
}

/// Whether this counter seems to be named in the other key style: without braces in tagged style, or with braces around
/// the whole product in plain style.
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

/// Whether `name` is exactly the name of `key`. In tagged style `X` and `{X}` are the same id, but only `{X}` occurs in
/// key names.
fn named_so(key: Key<'_>, name: &[u8], style: KeyStyle) -> bool {
    style == KeyStyle::Plain || key.name(style).as_bytes() == name
}

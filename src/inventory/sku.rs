//! Ids, and how they become keys.
//!
//! **Invariant:** every key name of the module is built here and nowhere else, so that one look tells what is in the
//! keyspace, and a cluster finds everything that one command touches in one slot.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use super::error::Refusal;
use super::quantity::{UnixMs, parse_integer};

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// How ids stand in key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStyle {
    /// `stock:available:PROD-123`: one server, as the Lua scripts name their keys.
    Plain,
    /// `stock:available:{PROD-123}`: the braces make the server's cluster keep all keys of an id in one slot.
    Tagged,
}

impl KeyStyle {
    /// Its name: the value of `inv.key-style`, and of the mark.
    pub fn word(self) -> &'static str {
        match self {
            KeyStyle::Plain => "plain",
            KeyStyle::Tagged => "tagged",
        }
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Clones share their text.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as users see it. In tagged style `{X}` and `X` are the same id, `X`.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    };
}

id_type!(
    /// The name of one reservation. It may hold an `@`.
    ReservationId
);
id_type!(
    /// The name of one product.
    Product
);
id_type!(
    /// The name of one warehouse.
    Warehouse
);
id_type!(
    /// One place that holds units of one product: `product`, or `product@warehouse`.
    Sku
);

impl ReservationId {
    /// Reads an id; an `ERR` refusal that names what is wrong with it.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        let text = check_id("reservation id", text, style)?;
        Ok(Self(canonical("reservation id", text, style)?.into()))
    }
}

impl Product {
    /// Reads a product: an id without `@`.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        let text = check_id("product", text, style)?;
        if text.contains('@') {
            return Err(Refusal::invalid(format!(
                "product '{text}' holds an '@': name the product alone, without a warehouse"
            )));
        }
        Ok(Self(canonical("product", text, style)?.into()))
    }
}

impl Warehouse {
    /// Reads a warehouse: an id without `@`, in tagged style without braces.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        let text = check_id("warehouse", text, style)?;
        if text.contains('@') {
            return Err(Refusal::invalid(format!("warehouse '{text}' holds an '@'")));
        }
        if style == KeyStyle::Tagged && text.contains(['{', '}']) {
            return Err(Refusal::invalid(format!("warehouse '{text}' holds braces")));
        }
        Ok(Self(text.into()))
    }
}

impl Sku {
    /// Reads `product` or `product@warehouse`.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        // The limit holds for each part; the sum only keeps an error from repeating a huge argument.
        let braces = if style == KeyStyle::Tagged { 2 } else { 0 };
        if text.len() > MAX_ID_BYTES.saturating_mul(2).saturating_add(1).saturating_add(braces) {
            return Err(Refusal::invalid(format!(
                "sku has {} bytes, at most {MAX_ID_BYTES} a part",
                text.len()
            )));
        }
        let Some(at) = text.iter().position(|byte| *byte == b'@') else {
            let product = check_id("sku", text, style)?;
            return Ok(Self(canonical("sku", product, style)?.into()));
        };
        let (product, warehouse) = text.split_at(at);
        let product = check_id("product", product, style)?;
        let warehouse = Warehouse::parse(warehouse.strip_prefix(b"@").unwrap_or(warehouse), style)?;
        if style == KeyStyle::Tagged && !product.contains('{') {
            return Err(Refusal::invalid(format!(
                "sku '{product}@{warehouse}' is in another slot than its product: write {{{product}}}@{warehouse}"
            )));
        }
        Ok(Self::at(canonical("product", product, style)?, &warehouse))
    }

    /// The sku of a product and, where it is kept in one, its warehouse, as a stored record names them.
    pub fn from_parts(product: &str, warehouse: Option<&str>, style: KeyStyle) -> Result<Self, Refusal> {
        let product = Product::parse(product.as_bytes(), style)?;
        match warehouse {
            None => Ok(Self(product.0)),
            Some(warehouse) => {
                Ok(Self::at(product.as_str(), &Warehouse::parse(warehouse.as_bytes(), style)?))
            }
        }
    }

    /// The units of `product` in one of its warehouses.
    pub fn at(product: &str, warehouse: &Warehouse) -> Self {
        Self(format!("{product}@{warehouse}").into())
    }

    /// Reads a sku as [`Sku::as_str`] spells it, which is how it is replicated: tagged style adds no braces there.
    pub fn replicated(text: &[u8], style: KeyStyle) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_once('@') {
            None => Self::from_parts(text, None, style).ok(),
            Some((product, warehouse)) => Self::from_parts(product, Some(warehouse), style).ok(),
        }
    }

    /// The product of this sku.
    pub fn product(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(product, _)| product)
    }

    /// The warehouse, where the sku names one.
    pub fn warehouse(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, warehouse)| warehouse)
    }
}

impl Sku {
    /// The sku among the words of a list.
    pub fn listed(&self) -> Listed<'_> {
        Listed(&self.0)
    }
}

/// An id in a text that lists several, or has words of its own beside it. One with a space, a comma, a semicolon, a quote or a
/// backslash is in double quotes, so that no name can pass for the words around it.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a>(pub &'a str);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_special = |letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '"' | '\\');
        if !self.0.contains(is_special) {
            return out.write_str(self.0);
        }
        out.write_str("\"")?;
        for letter in self.0.chars() {
            if matches!(letter, '"' | '\\') {
                out.write_str("\\")?;
            }
            write!(out, "{letter}")?;
        }
        out.write_str("\"")
    }
}

impl From<&Product> for Sku {
    fn from(product: &Product) -> Self {
        Self(product.0.clone())
    }
}

/// The rules for every id: 1 to 256 bytes of UTF-8 without control characters.
fn check_id<'a>(what: &str, text: &'a [u8], style: KeyStyle) -> Result<&'a str, Refusal> {
    if text.is_empty() {
        return Err(Refusal::invalid(format!("{what} is empty")));
    }
    // In tagged style braces around the whole are not part of it: the names of keys have them where the id has none.
    let bare = match style {
        KeyStyle::Plain => text,
        KeyStyle::Tagged => text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(text),
    };
    if bare.len() > MAX_ID_BYTES {
        return Err(Refusal::invalid(format!("{what} has {} bytes, at most {MAX_ID_BYTES}", bare.len())));
    }
    check_text(what, text)
}

/// UTF-8 without control characters; `what` it is is said in the refusal.
pub fn check_text(what: impl fmt::Display, text: &[u8]) -> Result<&str, Refusal> {
    let read = std::str::from_utf8(text);
    let read = read.map_err(|_| Refusal::invalid(format!("{what} is not valid UTF-8")))?;
    if !is_plain(text) && read.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!("{what} holds a control character")));
    }
    Ok(read)
}

/// Whether a text is printable ASCII, as most are: each byte tells.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// The one spelling of an id. Braces mean something in tagged style only: none, or exactly one tag that is not empty.
fn canonical<'a>(what: &str, text: &'a str, style: KeyStyle) -> Result<&'a str, Refusal> {
    if style == KeyStyle::Plain || !text.contains(['{', '}']) {
        return Ok(text);
    }
    let Some((before, rest)) = text.split_once('{') else {
        return Err(Refusal::invalid(format!("{what} '{text}' has a '}}' without a '{{'")));
    };
    let Some((tag, after)) = rest.split_once('}') else {
        return Err(Refusal::invalid(format!("{what} '{text}' has a '{{' without a '}}'")));
    };
    if tag.is_empty() || [before, tag, after].iter().any(|part| part.contains(['{', '}'])) {
        return Err(Refusal::invalid(format!(
            "{what} '{text}' must have exactly one tag in braces, not empty"
        )));
    }
    Ok(if before.is_empty() && after.is_empty() { tag } else { text })
}

/// What follows `inventory:once:` in a key name. The id's length stands before it, so that no id and token can be
/// mistaken for another id and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceName(Box<str>);

impl OnceName {
    /// The name for a command on a reservation, with the id as it was given, and a token. `ERR` where the token is no id.
    pub fn new(command: &str, given: &str, token: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        let mut id = String::new();
        push_id(&mut id, "", given, style);
        Self::with(command, &id, token)
    }

    /// The same for a command on a sku.
    pub fn of_sku(command: &str, sku: &Sku, token: &[u8], style: KeyStyle) -> Result<Self, Refusal> {
        let mut id = String::new();
        push_sku(&mut id, "", sku, style);
        Self::with(command, &id, token)
    }

    fn with(command: &str, id: &str, token: &[u8]) -> Result<Self, Refusal> {
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

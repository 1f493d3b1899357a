//! The ids of reservations, products, warehouses and skus: the characters that they may contain, and how they are read.

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

use super::bytes::position;

/// The longest id, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// How key names contain ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStyle {
    /// `stock:available:PROD-123`. For one server without cluster mode, and compatible with Lua scripts that use these
    /// names.
    Plain,
    /// `stock:available:{PROD-123}`. The braces make a cluster keep all keys of an id in one slot.
    Tagged,
}

impl KeyStyle {
    /// The name of the style: the value of `inv.key-style`, and of the key `inventory:managed`.
    pub fn word(self) -> &'static str {
        match self {
            KeyStyle::Plain => "plain",
            KeyStyle::Tagged => "tagged",
        }
    }
}

/// The error for a text that is not valid for its purpose. The message names the purpose and the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidText(pub(super) String);

impl fmt::Display for InvalidText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for InvalidText {}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Clones share their text.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Rc<str>);

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
    /// The id of a reservation. It may contain `@`.
    ReservationId
);
id_type!(
    /// The id of a product.
    Product
);
id_type!(
    /// The id of a warehouse.
    Warehouse
);
id_type!(
    /// A place that holds units of one product: `product`, or `product@warehouse`. Or the quota of a buyer:
    /// `product@@buyer`, which counts how many units of the product that buyer holds and has bought.
    ///
    /// ```
    /// use redis_inventory::inventory::sku::{KeyStyle, Sku};
    ///
    /// let sku = Sku::parse(b"PROD-123@north", KeyStyle::Plain).unwrap();
    /// assert_eq!(sku.product(), "PROD-123");
    /// assert_eq!(sku.warehouse(), Some("north"));
    ///
    /// let quota = Sku::parse_any(b"PROD-123@@cust-7", KeyStyle::Plain).unwrap();
    /// assert_eq!((quota.product(), quota.buyer()), ("PROD-123", Some("cust-7")));
    /// assert_eq!(quota.warehouse(), None);
    /// ```
    Sku
);

impl ReservationId {
    /// Reads a reservation id.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the text breaks the rules for ids: 1 to 256 bytes of UTF-8 without control characters and, in
    /// tagged style, at most one pair of braces.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let text = check_id("reservation id", text, style)?;
        Ok(Self(canonical("reservation id", text, style)?.into()))
    }

    /// The id whose [`ReservationId::as_str`] is `text`.
    pub(crate) fn known(text: &str) -> Self {
        Self(text.into())
    }
}

impl Product {
    /// Reads a product.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the text breaks the rules for ids or contains `@`.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let text = check_id("product", text, style)?;
        if text.as_bytes().contains(&b'@') {
            return Err(InvalidText(format!(
                "product '{text}' contains '@': name the product without a warehouse"
            )));
        }
        Ok(Self(canonical("product", text, style)?.into()))
    }
}

impl Product {
    /// The product of a sku.
    pub fn of(sku: &Sku) -> Self {
        if split_at_sign(&sku.0).is_none() { Self(sku.0.clone()) } else { Self(sku.product().into()) }
    }
}

impl Warehouse {
    /// Reads a warehouse.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if the text breaks the rules for ids, contains `@` or, in tagged style, contains braces.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let text = check_id("warehouse", text, style)?;
        if text.as_bytes().contains(&b'@') {
            return Err(InvalidText(format!("warehouse '{text}' contains '@'")));
        }
        if style == KeyStyle::Tagged && text.contains(['{', '}']) {
            return Err(InvalidText(format!("warehouse '{text}' contains braces")));
        }
        Ok(Self(text.into()))
    }
}

impl Sku {
    /// Reads `product` or `product@warehouse`.
    ///
    /// # Errors
    ///
    /// [`InvalidText`] if a part is invalid. In tagged style the product of `product@warehouse` must have braces, since
    /// otherwise its counter would be in a different slot from the product.
    pub fn parse(text: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        // The limit applies to each part. This check of the total only keeps an error from repeating a huge argument.
        let braces = if style == KeyStyle::Tagged { 2 } else { 0 };
        if text.len() > MAX_ID_BYTES.saturating_mul(2).saturating_add(1).saturating_add(braces) {
            return Err(InvalidText(format!(
                "sku has {} bytes, but its product and its warehouse may have at most {MAX_ID_BYTES} each",
                text.len()
            )));
        }
        let Some(at) = text.iter().position(|byte| *byte == b'@') else {
            let product = check_id("sku", text, style)?;
            return Ok(Self(canonical("sku", product, style)?.into()));
        };
        let (product, warehouse) = text.split_at(at);
        if warehouse.starts_with(b"@@") {
            return Err(InvalidText(format!(
                "'{}' is the quota of a buyer: only INV.ADJUST, INV.AUDIT and INV.REPAIR accept it",
                String::from_utf8_lossy(text)
            )));
        }
        let product = check_id("product", product, style)?;
        let warehouse = Warehouse::parse(warehouse.strip_prefix(b"@").unwrap_or(warehouse), style)?;
        if style == KeyStyle::Tagged && !product.contains('{') {
            return Err(InvalidText(format!(
                "sku '{product}@{warehouse}' is not in the slot of its product: write {{{product}}}@{warehouse}"
            )));
        }
        Ok(Self::at(canonical("product", product, style)?, &warehouse))
    }

    /// Reads `product`, `product@warehouse`, or `product@@buyer`. The product ends at the first `@`.
    ///
    /// # Errors
    ///
    /// As for [`Sku::parse`]. In tagged style the product of `product@@buyer` must have braces as well.
    pub fn parse_any(text: &[u8], style: KeyStyle) -> Result<Self, InvalidText> {
        let at = text.iter().position(|byte| *byte == b'@').map(|at| text.split_at(at));
        let Some((product, buyer)) =
            at.and_then(|(product, rest)| Some((product, rest.strip_prefix(b"@@")?)))
        else {
            return Self::parse(text, style);
        };
        let product = check_id("product", product, style)?;
        let buyer = check_id("buyer", buyer, style)?;
        if style == KeyStyle::Tagged && !product.contains('{') {
            return Err(InvalidText(format!(
                "sku '{product}@@{buyer}' is not in the slot of its product: write {{{product}}}@@{buyer}"
            )));
        }
        Ok(Self::quota(canonical("product", product, style)?, buyer))
    }

    /// Builds a sku from the fields of a stored record: a product and an optional warehouse.
    pub fn from_parts(product: &str, warehouse: Option<&str>, style: KeyStyle) -> Result<Self, InvalidText> {
        let product = Product::parse(product.as_bytes(), style)?;
        match warehouse {
            None => Ok(Self(product.0)),
            Some(warehouse) => {
                Ok(Self::at(product.as_str(), &Warehouse::parse(warehouse.as_bytes(), style)?))
            }
        }
    }

    /// The sku of `product` in one of its warehouses.
    pub fn at(product: &str, warehouse: &Warehouse) -> Self {
        Self(format!("{product}@{warehouse}").into())
    }

    /// The quota of a buyer for a product. Both are valid ids.
    pub(crate) fn quota(product: &str, buyer: &str) -> Self {
        Self(format!("{product}@@{buyer}").into())
    }

    /// Builds the quota of a buyer from the fields of a stored record.
    pub(super) fn quota_from_parts(product: &str, buyer: &str, style: KeyStyle) -> Result<Self, InvalidText> {
        let product = Product::parse(product.as_bytes(), style)?;
        Ok(Self::quota(product.as_str(), check_id("buyer", buyer.as_bytes(), style)?))
    }

    /// Reads a sku in its replicated form, which is that of [`Sku::as_str`]: tagged style adds no braces to it.
    pub fn replicated(text: &[u8], style: KeyStyle) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match split_at_sign(text) {
            None => Self::from_parts(text, None, style).ok(),
            Some((product, rest)) => match rest.strip_prefix('@') {
                Some(buyer) => Self::quota_from_parts(product, buyer, style).ok(),
                None => Self::from_parts(product, Some(rest), style).ok(),
            },
        }
    }

    /// The product of this sku.
    pub fn product(&self) -> &str {
        split_at_sign(&self.0).map_or(&self.0, |(product, _)| product)
    }

    /// The warehouse, if the sku names one.
    pub fn warehouse(&self) -> Option<&str> {
        split_at_sign(&self.0).map(|(_, rest)| rest).filter(|rest| !rest.starts_with('@'))
    }

    /// The buyer, if this is the quota of one.
    pub fn buyer(&self) -> Option<&str> {
        split_at_sign(&self.0).and_then(|(_, rest)| rest.strip_prefix('@'))
    }

    /// Whether this is the quota of a buyer, and not a place that holds units.
    pub fn is_quota(&self) -> bool {
        self.buyer().is_some()
    }

    /// What follows the product: nothing, or `@warehouse`, or `@@buyer`.
    pub(super) fn after_product(&self) -> &str {
        self.0.get(self.product().len()..).unwrap_or_default()
    }
}

impl Sku {
    /// Formats the sku for a list.
    pub fn listed(&self) -> Listed<'_> {
        Listed(&self.0)
    }
}

/// An id inside a text that lists several ids or contains other words. An id with a space, comma, semicolon, quote or
/// backslash is put in double quotes, so that no id can be mistaken for the text around it.
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

/// Splits a text at its first `@`, byte by byte: most skus are too short for a search to pay.
fn split_at_sign(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == b'@')?;
    Some((text.get(..at)?, text.get(at.checked_add(1)?..)?))
}

impl From<&Product> for Sku {
    fn from(product: &Product) -> Self {
        Self(product.0.clone())
    }
}

/// Checks the rules for every id: 1 to 256 bytes of UTF-8 without control characters. `what` names the id in the error.
pub fn check_id<'a>(what: &str, text: &'a [u8], style: KeyStyle) -> Result<&'a str, InvalidText> {
    if text.is_empty() {
        return Err(InvalidText(format!("{what} is empty")));
    }
    // In tagged style, braces around the whole id do not count: key names add them if the id has none.
    let bare = match style {
        KeyStyle::Plain => text,
        KeyStyle::Tagged => text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(text),
    };
    if bare.len() > MAX_ID_BYTES {
        return Err(InvalidText(format!(
            "{what} has {} bytes, but at most {MAX_ID_BYTES} are allowed",
            bare.len()
        )));
    }
    check_text(what, text)
}

/// Checks that a text is UTF-8 without control characters. `what` names the text in the error.
pub fn check_text(what: impl fmt::Display, text: &[u8]) -> Result<&str, InvalidText> {
    let read = std::str::from_utf8(text);
    let read = read.map_err(|_| InvalidText(format!("{what} is not valid UTF-8")))?;
    if !is_plain(text) && read.chars().any(char::is_control) {
        return Err(InvalidText(format!("{what} contains a control character")));
    }
    Ok(read)
}

/// Whether a text consists of printable ASCII characters. Most do, and the test is fast.
pub fn is_plain(text: &[u8]) -> bool {
    position(text, |byte| !(b' '..=b'~').contains(&byte)).is_none()
}

/// The canonical spelling of an id. In tagged style an id may contain no braces, or exactly one tag that is not empty.
fn canonical<'a>(what: &str, text: &'a str, style: KeyStyle) -> Result<&'a str, InvalidText> {
    if style == KeyStyle::Plain || !text.contains(['{', '}']) {
        return Ok(text);
    }
    let Some((before, rest)) = text.split_once('{') else {
        return Err(InvalidText(format!("{what} '{text}' has a '}}' without a '{{'")));
    };
    let Some((tag, after)) = rest.split_once('}') else {
        return Err(InvalidText(format!("{what} '{text}' has a '{{' without a '}}'")));
    };
    if tag.is_empty() || [before, tag, after].iter().any(|part| part.contains(['{', '}'])) {
        return Err(InvalidText(format!(
            "{what} '{text}' must have exactly one hash tag in braces, and it must not be empty"
        )));
    }
    Ok(if before.is_empty() && after.is_empty() { tag } else { text })
}

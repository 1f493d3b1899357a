//! A row of the file: what it says about a sku.

use serde::Serialize;

/// Integers that every client can represent: within 2^53 of 0.
const MOST: i64 = 9_007_199_254_740_991;

/// The longest id, in bytes.
const LONGEST_ID: usize = 256;

/// What a row says about a sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its line in the file.
    pub line: usize,
    /// A product, or product@warehouse.
    pub sku: String,
    /// What happens to its units.
    pub count: Option<Count>,
    /// Why.
    pub note: Option<String>,
    /// What else is set, in the order in which it is sent.
    pub settings: Vec<Setting>,
    /// How many rows before this one say the same about the units of the same sku.
    pub repetition: u32,
}

/// What happens to the units of a sku.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// So many become available.
    Available(i64),
    /// So many are there, reserved ones included.
    OnHand(i64),
    /// So many are added, or removed if it is negative.
    Adjust(i64),
}

/// A setting of a sku or of its product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which one.
    pub kind: Kind,
    /// As a command takes it: a number, or OFF, DEFAULT, CLOSED.
    pub value: String,
}

/// The settings, in the order in which they are sent: a warehouse must exist before it has units, and a floor below 0 before units
/// may be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The priority of the warehouse.
    Priority,
    /// The threshold of the product.
    Threshold,
    /// The limit of the product for each buyer.
    Limit,
    /// The floor of the sku.
    Floor,
}

impl Kind {
    /// The name of its column.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Threshold => "threshold",
            Self::Limit => "limit",
            Self::Floor => "floor",
        }
    }

    /// Whether it belongs to the product, and not to one of its warehouses.
    pub const fn is_of_product(self) -> bool {
        matches!(self, Self::Threshold | Self::Limit)
    }

    /// Reads its value from a field.
    pub fn parse(self, text: &str) -> Result<String, String> {
        let word = text.to_ascii_uppercase();
        match (self, word.as_str()) {
            (Self::Priority, "CLOSED") | (Self::Threshold, "OFF" | "DEFAULT") | (Self::Limit, "OFF") => {
                return Ok(word);
            }
            _ => {}
        }
        let also = match self {
            Self::Priority => " or closed",
            Self::Threshold => ", off or default",
            Self::Limit => " or off",
            Self::Floor => "",
        };
        let number = integer(text)
            .filter(|number| *number >= 0 || matches!(self, Self::Priority | Self::Floor))
            .ok_or_else(|| {
                let sign = if matches!(self, Self::Priority | Self::Floor) {
                    "an integer"
                } else {
                    "an integer from 0 on"
                };
                format!("{} '{text}' is not {sign}{also}", self.column())
            })?;
        Ok(number.to_string())
    }
}

/// A row that was not imported, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Its line in the file.
    pub line: usize,
    /// Its sku, as far as it is known.
    pub sku: String,
    /// What was wrong.
    pub reason: String,
}

impl Row {
    /// The product of its sku.
    pub fn product(&self) -> &str {
        product(&self.sku)
    }

    /// The warehouse of its sku.
    pub fn warehouse(&self) -> Option<&str> {
        self.sku.split_once('@').map(|(_, warehouse)| warehouse)
    }

    /// The same row as a fault.
    pub fn fault(&self, reason: impl Into<String>) -> Fault {
        Fault { line: self.line, sku: self.sku.clone(), reason: reason.into() }
    }
}

/// The product of a sku.
pub fn product(sku: &str) -> &str {
    sku.split_once('@').map_or(sku, |(product, _)| product)
}

/// Checks what no server accepts as a sku. The server checks the rest.
pub fn check_sku(sku: &str) -> Result<(), String> {
    if sku.is_empty() {
        return Err("the sku is empty".to_owned());
    }
    if let Some(part) = sku.split('@').find(|part| part.len() > LONGEST_ID) {
        return Err(format!(
            "the sku has a part of {} bytes, but at most {LONGEST_ID} are allowed",
            part.len()
        ));
    }
    check_text("the sku", sku)
}

/// Checks that a text can be an argument.
pub fn check_text(what: &str, text: &str) -> Result<(), String> {
    match text.chars().find(|letter| letter.is_control()) {
        Some(letter) => Err(format!("{what} contains the control character U+{:04X}", u32::from(letter))),
        None => Ok(()),
    }
}

/// Reads a number of units.
pub fn units(column: &str, text: &str) -> Result<i64, String> {
    integer(text).ok_or_else(|| {
        let help = if text.contains(['.', ',', '\'', '_', ' ']) {
            ": write it without separators and fractions, as in 1200"
        } else if text.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit()) {
            " up to 9007199254740991"
        } else {
            ""
        };
        format!("{column} '{text}' is not an integer{help}")
    })
}

/// An integer within 2^53 of 0. A plus sign is allowed.
fn integer(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| (-MOST..=MOST).contains(number))
}

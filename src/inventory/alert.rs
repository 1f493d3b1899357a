//! Low stock: thresholds, crossings, and the alert's JSON.

use serde::{Deserialize, Serialize};

use super::quantity::UnixMs;

/// What an alert tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AlertType {
    /// Available fell to the threshold or below it.
    LowStock,
    /// Available fell to 0.
    OutOfStock,
    /// Available rose from 0.
    BackInStock,
}

impl AlertType {
    /// The name in replies, JSON and the `TYPE` option.
    pub fn name(self) -> &'static str {
        match self {
            AlertType::LowStock => "LOW_STOCK",
            AlertType::OutOfStock => "OUT_OF_STOCK",
            AlertType::BackInStock => "BACK_IN_STOCK",
        }
    }

    /// The type of that name, in any case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::LowStock, Self::OutOfStock, Self::BackInStock]
            .into_iter()
            .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// The threshold of a product that raises no alerts. Any other below 0 means the same.
pub const OFF: i64 = -1;

/// The alert, if any, of a product whose available units went from `before` to `after`. Edge, not level: a product
/// that stays low says so once.
pub fn crossing(before: i64, after: i64, threshold: i64) -> Option<AlertType> {
    if threshold < 0 {
        None
    } else if before > 0 && after <= 0 {
        Some(AlertType::OutOfStock)
    } else if before <= 0 && after > 0 {
        Some(AlertType::BackInStock)
    } else if before > threshold && after <= threshold {
        Some(AlertType::LowStock)
    } else {
        None
    }
}

/// One alert, as `alert:{product}:{timestamp}` stores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The product.
    pub product_id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// Units available after it.
    pub available: i64,
    /// The threshold at that time.
    pub threshold: i64,
    /// When.
    pub timestamp: UnixMs,
}

impl Alert {
    /// The alert that `json` holds; `None` where it is not one.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers cannot fail to serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

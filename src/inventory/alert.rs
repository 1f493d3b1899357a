//! Stock alerts: the thresholds, the crossings that raise an alert, and the JSON of an alert.

use serde::{Deserialize, Serialize};

use super::quantity::UnixMs;

/// The event that an alert reports.
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

    /// Returns the type with this name, ignoring case, or `None` if there is no such type.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::LowStock, Self::OutOfStock, Self::BackInStock]
            .into_iter()
            .find(|kind| name.eq_ignore_ascii_case(kind.name().as_bytes()))
    }
}

/// The threshold of a product that raises no alerts. Every other negative threshold means the same.
pub const OFF: i64 = -1;

/// Returns the alert, if any, for a product whose available units changed from `before` to `after`.
///
/// Only the crossing raises an alert, not the level: a product that stays low raises one alert.
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

/// One alert, as it is stored under `alert:{product}:{timestamp}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The product.
    pub product_id: String,
    /// The event.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// The units that were available after the event.
    pub available: i64,
    /// The threshold at the time of the event.
    pub threshold: i64,
    /// The time of the event.
    pub timestamp: UnixMs,
}

impl Alert {
    /// Reads an alert from its stored form. Returns `None` if `json` is not an alert.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The stored form: JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers cannot fail to serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

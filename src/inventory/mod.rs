//! The decisions: what a command means for the stock.
//!
//! **Invariant:** everything here is pure. The current time, the configuration and the stored state come in as values,
//! so that every rule can be tested without a server.

pub mod alert;
pub mod allocation;
mod bytes;
pub mod cluster_slot;
pub mod ending;
mod json;
pub mod key;
pub mod lifetime;
pub mod line;
pub mod once;
pub mod outcome;
pub mod pattern;
pub mod priority;
pub mod quantity;
pub mod refusal;
pub mod reservation;
pub mod sku;
pub mod state;

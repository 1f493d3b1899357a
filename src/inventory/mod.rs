//! The decisions: what a command means for the stock.
//!
//! **Invariant:** pure. Nothing here knows a server, a clock or a configuration; all of it comes in as values,
//! so that every rule can be tried in microseconds.

pub mod alert;
pub mod allocation;
pub mod cluster_slot;
pub mod ending;
pub mod key;
pub mod lifetime;
pub mod line;
pub mod once;
pub mod outcome;
pub mod quantity;
pub mod refusal;
pub mod reservation;
pub mod sku;
pub mod state;

//! `inv`: a Redis and Valkey module that reserves stock. Every unit is available, reserved, or gone, and one command
//! moves units from one state to another atomically.
//!
//! Read the modules in this order: [`inventory`] makes the decisions and is pure. [`ledger`] is the state that is
//! kept in memory. [`engine`] runs the steps around a decision, over a small keyspace trait. `server` implements that
//! trait on the real server. `commands` parses the requests of clients and writes the replies. `module` registers
//! everything when the module is loaded. ARCHITECTURE.md shows how they fit together.

// A panic in a callback would end the server and take its stock with it, so nothing in src/ may panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::indexing_slicing
)]
// Units are worth money: a sum that wraps around would sell units that do not exist.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]
// If a state is added, the compiler must list every match that has to handle it.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod commands;
pub mod engine;
pub mod inventory;
pub mod ledger;

mod module;
mod server;

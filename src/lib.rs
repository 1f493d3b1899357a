//! `inv`: a Redis and Valkey module for stock reservations. A unit is available, reserved, or gone; one command moves
//! it, atomically.
//!
//! Read in this order: [`inventory`] decides and is pure; [`ledger`] is what is kept in memory; [`engine`] takes the steps
//! around a decision over a small keyspace trait; `server` carries them out on the real server; `commands` speaks with the
//! clients; `module` registers all of it when the module is loaded. ARCHITECTURE.md has the map.

// A panic in a callback ends the server, and all the stock in it: nothing in src/ may panic.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::todo,
    clippy::unimplemented,
    clippy::unreachable,
    clippy::indexing_slicing
)]
// Units are money: a sum that wraps around sells what is not there.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]
// A new state must make the compiler list the places to think.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod commands;
pub mod engine;
pub mod inventory;
pub mod ledger;

mod module;
mod server;

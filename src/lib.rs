//! `inv`: a Redis and Valkey module for stock reservations. A unit is available, reserved, or gone; one command moves
//! it, atomically.
//!
//! Read in this order: [`inventory`] decides and is pure; [`ledger`] is what is kept in memory; [`engine`] takes the steps
//! around a decision over a small keyspace trait; `server` carries them out on the real server; `commands` speaks with the
//! clients; `module` registers all of it when the module is loaded. ARCHITECTURE.md has the map.

pub mod commands;
pub mod engine;
pub mod inventory;
pub mod ledger;

mod module;
mod server;

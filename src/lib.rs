//! `inv`: a Redis and Valkey module for stock reservations. A unit is available, reserved, or gone; one command moves
//! it, atomically.
//!
//! Read in this order: [`inventory`] decides and is pure; [`engine`] takes the steps around a decision over a small
//! keyspace trait; `server` carries them out on the real server; `commands` speaks with the clients; `module` registers it all when the module
//! is loaded.
//! ARCHITECTURE.md has the map.

pub mod commands;
pub mod engine;
pub mod inventory;

mod module;
mod server;

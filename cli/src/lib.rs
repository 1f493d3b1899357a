//! What the `inv` command consists of. `main.rs` parses its words and calls one module for each subcommand.
//!
//! [`server`] connects to a server or to all masters of a cluster, [`sql`] to PostgreSQL. [`output`] prints for people or as
//! JSON, and [`failure`] decides the exit code.

pub mod completions;
pub mod document;
pub mod failure;
pub mod keys;
pub mod mirror;
pub mod output;
pub mod rebuild;
pub mod server;
pub mod sql;
pub mod tables;

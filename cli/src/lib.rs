//! What the `inv` command consists of. `main.rs` parses its words and calls one module for each subcommand.
//!
//! [`server`] connects to a server or to all masters of a cluster, [`sql`] to PostgreSQL. [`output`] prints for people or as
//! JSON, and [`failure`] decides the exit code.

// Nobody else uses this library. The comments of options are the text of --help.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::private_intra_doc_links)]

pub mod completions;
pub mod csv;
pub mod demo;
pub mod document;
pub mod export;
pub mod failure;
pub mod import;
pub mod keys;
mod loose;
pub mod low;
pub mod mirror;
pub mod output;
pub mod rebuild;
pub mod server;
pub mod sql;
pub mod stock;
pub mod tables;
pub mod walk;
pub mod watch;

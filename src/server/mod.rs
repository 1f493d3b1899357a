//! The real server: [`keyspace`] implements the engine's trait, and the other files handle events, the configuration
//! and INFO.
//!
//! **Invariant:** all unsafe code of the module is in this folder, most of it in [`api`]. The only exceptions are the
//! two functions in `src/module.rs` that the server calls by name.

pub mod advice;
pub mod alloc;
pub mod api;
pub mod config;
pub mod events;
#[cfg(feature = "faults")]
pub mod faults;
pub mod guard;
pub mod info;
pub mod keyspace;
mod ledgers;
mod names;
pub mod role;
pub mod rounds;
pub mod schedule;
pub mod state;
mod totals;
pub mod version;
pub mod walk;

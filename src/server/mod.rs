//! The real server: [`keyspace`] over its key API, its events, the configuration, INFO, and the registration.
//!
//! **Invariant:** all unsafe code of the module is in this folder, most of it in [`api`].

mod advice;
mod alloc;
pub mod api;
pub mod config;
mod events;
#[cfg(feature = "faults")]
pub mod faults;
pub mod guard;
mod info;
pub mod keyspace;
mod load;
pub mod state;
mod texts;
mod version;
mod walk;

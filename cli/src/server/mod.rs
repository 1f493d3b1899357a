//! Connections to a server, or to all masters of a cluster.
//!
//! [`address`] reads the options and the URL. [`node`] is a connection to one server. [`masters`] finds all masters of a cluster
//! and the one that serves an id. [`reason`] says why something failed.

pub mod address;
pub mod masters;
pub mod node;
pub mod reason;
pub mod slot;

//! Connections to a server, or to all masters of a cluster.
//!
//! [`address`] reads the options and the URL. [`node`] is a connection to one server. [`masters`] finds all masters of a cluster
//! and the one that serves an id. [`deliver`] sends them many commands. [`reason`] says why something failed.

pub mod address;
pub mod deliver;
pub mod masters;
pub mod node;
pub mod reason;
pub mod slot;
pub mod style;

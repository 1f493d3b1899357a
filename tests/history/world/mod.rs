//! The servers of a run, and what happens to them.

pub mod clock;
pub mod cluster;
pub mod disk;
pub mod kit;
pub mod net;
pub mod single;

pub use kit::{HOLD_TTL, Kit, Needs};

//! The checker is checked: it finds every fault that is planted, in histories that were edited and on real servers.

mod edited;
mod scribe;
mod servers;

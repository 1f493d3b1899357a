//! The commands, one file each: declaration, arguments and reply. A handler parses its arguments, calls the engine
//! and writes the reply.
//!
//! Every command for clients has arity -1, so that the module itself answers a call with too few or too many words.
//! The server would answer without saying what the command expects, whereas the argument parser adds the usage line.
//! The server finds no keys in a call that is too short and therefore checks none, and the parser refuses such a call
//! before it looks at any key.

mod adjust;
mod alerts;
mod apply;
mod args;
mod audit;
mod auditscan;
mod batch;
mod call;
mod commit;
mod extend;
mod floor;
mod get;
mod limit;
pub(crate) mod list;
mod mcommit;
mod mreserve;
mod mrollback;
mod page;
mod parts;
mod quota;
mod repair;
mod replace;
mod reply;
mod reserve;
mod rollback;
mod scan;
mod set;
mod stock;
mod stockscan;
mod threshold;
mod transfer;
mod warehouses;

pub use list::Request;
pub use warehouses::Change;

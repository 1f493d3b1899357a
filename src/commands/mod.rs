//! One file a command: its declaration, its arguments, its reply. Each handler reads like its sentence: parse, do,
//! answer.
//!
//! Every command for clients has arity -1: with any other, the server itself would refuse a call that has too few words or too
//! many, and its answer does not say what the command wants. The argument cursor's answer has the usage line. The server finds no
//! keys in a call that is too short, so it checks none; the cursor refuses before any key is looked at.

mod adjust;
mod alerts;
mod apply;
mod args;
mod audit;
mod auditscan;
mod call;
mod commit;
mod extend;
mod get;
pub(crate) mod list;
mod page;
mod parts;
mod repair;
mod reply;
mod reserve;
mod rollback;
mod scan;
mod set;
mod stock;
mod threshold;
mod transfer;
mod warehouses;

pub use list::Request;
pub use warehouses::Change;

//! What happens around a decision: the reads before it, the writes after it, and what time and other clients do to the
//! keys meanwhile. It runs over the small trait [`Keyspace`](keyspace::Keyspace), which the real server implements and a
//! simulated one can implement as well.
//!
//! The files are in levels, and each uses only what is below it. The commands' steps: [`reserve`], [`resolve`], [`restock`],
//! [`warehouses`], [`queries`], [`audit`]. What they share, and what comes by itself: `supply`, [`recover`], [`sweep`],
//! [`moving`], [`load_repair`]. The parts of a step: `settle`, `once`, `change`, [`shelves`], [`alerts`], [`feed`],
//! [`effects`], [`places`], `judge`. The base: [`keyspace`], [`sent`].
//!
//! **Invariants:** everything is checked before the first write, and after it nothing may fail. A refusal writes
//! nothing of its own. No borrow of the [`Ledger`](crate::ledger::Ledger) outlives a call into the keyspace, because reading
//! a key can expire it, and that changes the ledger.

pub mod alerts;
pub mod audit;
mod change;
pub mod effects;
pub mod feed;
mod judge;
pub mod keyspace;
pub mod load_repair;
pub mod moving;
mod once;
pub mod places;
pub mod queries;
pub mod recover;
pub mod reserve;
pub mod resolve;
pub mod restock;
pub mod sent;
mod settle;
pub mod shelves;
mod supply;
pub mod sweep;
pub mod warehouses;

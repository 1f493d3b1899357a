//! The steps around a decision: the reads before it, the writes after it, and the reactions to time and to other
//! clients. The engine works on the trait [`Keyspace`](keyspace::Keyspace), which the real server implements. Tests
//! implement it as a simulation.
//!
//! Each module uses only modules of the levels below its own:
//!
//! - The steps of commands: [`reserve`], [`resolve`], [`restock`], [`warehouses`], [`queries`], [`audit`].
//! - What these share, and what happens without a command: `supply`, [`recover`], [`sweep`], [`moving`],
//!   [`load_repair`].
//! - The parts of a step: `settle`, `once`, `change`, [`shelves`], [`alerts`], [`feed`], [`effects`], [`places`],
//!   `judge`.
//! - The base: [`keyspace`], [`sent`].
//!
//! **Invariants:**
//!
//! - Everything is checked before the first write. After it nothing may fail, and a refusal writes nothing of its own.
//! - No borrow of the [`Ledger`](crate::ledger::Ledger) outlives a call into the keyspace, because reading a key can
//!   expire it, which changes the ledger.

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

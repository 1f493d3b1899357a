//! The steps around a decision: the reads before it, the writes after it, and the reactions to time and to other
//! clients. The engine works on the trait [`Keyspace`](keyspace::Keyspace), which the real server implements. Tests
//! implement it as a simulation.
//!
//! Each module uses only modules of the levels below its own:
//!
//! - The commands on many reservations: [`batch`], with `draft`.
//! - The steps of commands: [`reserve`], [`replace`], [`resolve`], [`restock`], [`floors`], [`limits`], [`warehouses`],
//!   [`queries`], [`stockscan`], [`audit`].
//! - The continuous audit: [`verify`].
//! - What these share, and what happens without a command: `supply`, `allowance`, [`recover`], [`sweep`], [`moving`],
//!   [`load_repair`].
//! - The parts of a step: `settle`, `once`, `change`, [`shelves`], [`alerts`], [`feed`], [`effects`], [`forms`],
//!   [`places`], `judge`, `bounds`.
//! - The base: [`keyspace`], [`sent`], [`effect`].
//!
//! Terms used throughout:
//!
//! - *Unit of work*: a command, script or transaction, together with everything that the server carries out with it.
//! - *Job*: work that an event handler queues. It runs when the unit of work ends, in the same transaction.
//! - *Cron*: the work that the server's timer starts, ten times a second; see [`sweep::sweep`].
//! - *Pending*, *removed*, *remembered*, *blocked*, *waiting*: the states of a reservation whose record is gone, or which
//!   cannot be opened yet; see the fields of the [`Ledger`](crate::ledger::Ledger).
//! - *Foreign*: a `reservation:` key that is not a record of the module.
//! - *Drift*: the difference between a reserved counter and what reservations hold of the sku.
//! - *Mark*: the key `inventory:managed`, which exists if the module alone reserves in the database.
//! - *CLAMP*: the rule that limits a release to what no other reservation holds; see `settle`.
//!
//! **Invariants:**
//!
//! - Everything is checked before the first write. After it nothing may fail, and a refusal writes nothing of its own.
//! - No borrow of the [`Ledger`](crate::ledger::Ledger) outlives a call into the keyspace, because reading a key can
//!   expire it, which changes the ledger.

pub mod alerts;
mod allowance;
pub mod audit;
pub mod batch;
mod bounds;
mod change;
mod draft;
pub mod effect;
pub mod effects;
pub mod feed;
pub mod floors;
pub mod forms;
mod judge;
pub mod keyspace;
pub mod limits;
pub mod load_repair;
pub mod moving;
mod once;
pub mod places;
pub mod queries;
pub mod recover;
pub mod replace;
pub mod reserve;
pub mod resolve;
pub mod restock;
pub mod sent;
mod settle;
pub mod shelves;
pub mod stockscan;
mod supply;
pub mod sweep;
pub mod verify;
pub mod warehouses;

//! Histories: clients on real servers write down every call and its answer while everything fails, and a checker that shares no
//! code with the module looks for an answer that the contract does not allow.
//!
//! `make histories` runs it ([`runs`]). docs/internals/histories.md describes it.

mod check;
mod client;
mod conn;
#[allow(dead_code, reason = "nothing is drawn by proptest here")]
#[path = "../common/dice.rs"]
mod dice;
#[allow(dead_code, unused_imports, reason = "the server tests use all of it")]
#[path = "../server/harness.rs"]
mod harness;
#[allow(dead_code, reason = "clusters with relays are for the server tests")]
#[path = "../server/network.rs"]
mod network;
mod record;
mod report;
mod run;
#[allow(dead_code, reason = "the server tests use all of it")]
#[path = "../server/shards.rs"]
mod shards;
mod shop;
#[path = "../server/slots.rs"]
mod slots;
mod world;

mod planted;
mod runs;

//! inv mirror and inv rebuild with real servers and a real PostgreSQL.
//!
//!     make test-inv

#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/network.rs"]
mod network;
#[allow(dead_code, reason = "the tests of the shop use all of it")]
#[path = "../../../tests/common/postgres.rs"]
mod postgres;
#[allow(dead_code, unused_imports, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/shards.rs"]
mod shards;
#[path = "../inv/slots.rs"]
mod slots;

mod cluster;
mod faults;
mod following;
mod rebuilding;
mod shop;
mod world;

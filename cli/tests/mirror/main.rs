//! inv mirror and inv rebuild with real servers and a real PostgreSQL.
//!
//!     make test-inv

#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the tests of the shop use all of it")]
#[path = "../../../tests/common/postgres.rs"]
mod postgres;

mod faults;
mod following;
mod rebuilding;
mod shop;
mod world;

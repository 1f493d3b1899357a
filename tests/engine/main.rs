//! The engine on a simulated server with a simulated clock: a year of deadlines, scripts, deletions by hand, restarts
//! and failovers in a minute.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a panic ends a test, not a server"
)]

mod calls;
#[path = "../common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the tests of the server use all of it")]
mod simulation;

mod alert_index;
mod contract;
mod faults;
mod gone;
mod histories;
mod index;
mod model;
mod moving;
mod rules;

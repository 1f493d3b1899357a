//! Tests the engine on a simulated server with a simulated clock: a year of deadlines, scripts, deletions, restarts
//! and failovers takes a minute.

mod calls;
#[path = "../common/dice.rs"]
mod dice;
#[allow(dead_code, reason = "the twin of a real server has deadlines at a moment")]
#[path = "../common/lines.rs"]
mod lines;
#[allow(dead_code, reason = "real servers tell when things happened, the simulation is told")]
#[path = "../common/model.rs"]
mod model;
#[allow(dead_code, reason = "the tests of the server use all of it")]
mod simulation;

mod alert_index;
mod batches;
mod contract;
mod faults;
mod feed;
mod floors;
mod gone;
mod histories;
mod index;
mod limits;
mod memory;
mod moving;
mod refusals;
mod replace;
mod rules;
mod scan;
mod stockscan;
mod verify;

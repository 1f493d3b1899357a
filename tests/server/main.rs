//! Tests the module in a real server. Each test starts its own server, so that they can run in parallel, and has a sentence of
//! the contract as its name.

#[path = "../engine/calls.rs"]
mod calls;
#[allow(dead_code, reason = "nothing is drawn by proptest here")]
#[path = "../common/dice.rs"]
mod dice;
mod harness;
#[allow(dead_code, reason = "the tests of the engine use all of it")]
#[path = "../common/lines.rs"]
mod lines;
#[allow(dead_code, reason = "the tests of the engine use all of it")]
#[path = "../common/model.rs"]
mod naive;
mod network;
mod replies;
mod scripts;
mod shards;
mod shop;
#[allow(dead_code, reason = "the tests of the engine use all of it")]
#[path = "../engine/simulation.rs"]
mod simulation;
mod slots;
#[allow(dead_code, reason = "the tests of the inv command use all of it")]
mod terminal;

mod acl;
mod adjust;
mod alerts;
mod audit;
mod bad_input;
mod batches;
mod books;
mod cluster;
mod cluster_clients;
mod cluster_failover;
mod cluster_load;
mod cluster_moves;
mod config;
mod crash;
mod customers;
mod declarations;
mod dropin;
mod expiry;
mod exporter;
mod extend;
mod failover;
mod feed;
mod fence;
mod floors;
mod flow;
mod limits;
mod links;
mod memcheck;
mod migrating;
mod model;
mod modules;
mod once;
mod operations;
mod orders;
mod others;
mod panics;
mod parts;
mod playground;
mod race;
mod readme;
mod refusals;
mod removal;
mod repair;
mod replace;
mod replication;
mod restart;
mod scan;
mod soak;
mod stockscan;
mod twin;
mod warehouses;
mod watching;

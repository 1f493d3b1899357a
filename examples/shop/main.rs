//! A shop whose orders are in PostgreSQL and whose stock is in Redis or Valkey, at work while everything fails. At the end, orders,
//! money and units are compared.
//!
//!     make shop
//!
//! docs/orders-in-sql.md explains the protocol. These files are the shop, to be copied: `schema.sql`, `protocol.rs` (the
//! decisions), `orders.rs` (SQL), `stock.rs` (Redis), `payments.rs` (the provider), `shop.rs` (checkout, recovery job, webhooks),
//! and `shop.py` (the same in Python). Around it: `provider.rs` plays the payment provider, `account.rs` makes the final account,
//! `world.rs` starts the servers, `relay.rs` cuts connections, and `crew.rs` lets everybody work at the same time.

#[path = "../../tests/common/postgres.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod cluster;
#[path = "../../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
pub(crate) mod harness;

#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod account;
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod crew;
pub(crate) mod orders;
pub(crate) mod payments;
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod protocol;
pub(crate) mod provider;
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod relay;
pub(crate) mod shop;
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod stock;
#[allow(dead_code, reason = "only the tests use all of it")]
pub(crate) mod world;

use std::process::ExitCode;
use std::time::Instant;

use crew::{Day, Trouble};
use provider::Mood;
pub use shop::Failure;
use world::{Plan, World};

fn main() -> ExitCode {
    let orders = std::env::args().nth(1).and_then(|orders| orders.parse::<usize>().ok()).unwrap_or(500);
    let began = Instant::now();
    let world = World::open(Plan { mood: Mood::BAD, products: 8, units: 400, ..Plan::default() });
    println!("{orders} customers, on {}.", world.servers());
    println!(
        "Three processes of the shop are in Rust, one is in Python; three recovery jobs run beside them. Each third"
    );
    println!(
        "time, a process is killed in the middle. The payment provider declines, fails, and takes days.\n"
    );
    let days = [
        ("an ordinary day", Trouble::None),
        ("PostgreSQL is killed", Trouble::Database),
        ("deadlines pass", Trouble::Deadlines),
        ("the stock server is killed", Trouble::Stock),
        ("its replica, which is behind, is promoted", Trouble::Failover),
    ];
    println!("{:<43}{:>8}{:>11}{:>11}{:>10}", "", "sold", "under way", "cancelled", "repaired");
    for (seed, (name, trouble)) in (1..).zip(days) {
        let each = orders / days.len() / 5;
        let day = Day { shops: 3, orders: each + each / 3, python: each, faults: 33, trouble, seed };
        let repairs = day.run(&world);
        let count =
            |states: &str| world.sql(&format!("SELECT count(*) FROM orders WHERE state IN ({states})"));
        println!(
            "{name:<43}{:>8}{:>11}{:>11}{:>10}",
            count("'sold'"),
            count("'placed', 'paid', 'committed', 'cancelling'"),
            count("'cancelled'"),
            repairs.lost + repairs.put_back + repairs.late,
        );
    }
    println!(
        "\nThe other customers met a process that was killed before their order was placed. Repaired: the stock"
    );
    println!("server had lost it, it was sold after its deadline, or its units were put back.");
    println!("\nDays later, when the last webhook has arrived:\n");
    let account = world.settle();
    println!("{account}\n\nWhat has happened:\n");
    for (what, count) in world.events.lock().expect("a map").iter() {
        println!("{count:>8} {what}");
    }
    println!("\n{:.0} seconds", began.elapsed().as_secs_f64());
    if account.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

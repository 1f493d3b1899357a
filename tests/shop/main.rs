//! The shop of docs/orders-in-sql.md: its decisions, every crash between two steps, random histories with faults of every kind,
//! and what each kind of durability loses. PostgreSQL, the stock servers and the processes in Python are real.
//!
//!     make test-shop

#[path = "../../examples/shop/main.rs"]
#[allow(dead_code, reason = "its main function is not called here")]
mod example;

mod accounts;
mod decisions;
mod durability;
mod histories;
mod promises;
mod steps;

use example::account::Account;

/// Fails with all differences.
#[track_caller]
fn assert_agrees(account: &Account) {
    assert!(account.differences.is_empty(), "{account}");
}

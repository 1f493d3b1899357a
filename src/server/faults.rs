//! Faults on demand, so that tests can check how the module recovers, and benchmarks how soon it notices. Only in a build with
//! the feature `faults`.

use std::sync::atomic::{AtomicI64, Ordering};

/// The number of calls into the server until one panics instead; 0 means never. This is the option `inv.panic-in`,
/// which the server writes.
pub static PANIC_IN: AtomicI64 = AtomicI64::new(0);

/// Whether the module misses every event of a key. This is the option `inv.deaf`.
pub static DEAF: AtomicI64 = AtomicI64::new(0);

/// Whether the continuous audit rests. This is the option `inv.no-audit`.
pub static NO_AUDIT: AtomicI64 = AtomicI64::new(0);

/// Called before each call into the server.
#[expect(clippy::panic, reason = "that is what it is for")]
pub fn point() {
    let left = PANIC_IN.load(Ordering::Relaxed);
    if left > 0 {
        PANIC_IN.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            panic!("injected");
        }
    }
}

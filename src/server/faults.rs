//! Panics on demand, for the tests of what becomes of one. Only in a build with the feature `faults`.

use std::sync::atomic::{AtomicI64, Ordering};

/// How many calls into the server the module makes until one panics instead; 0: none does. An option, `inv.panic-in`: the
/// server writes to it.
pub static PANIC_IN: AtomicI64 = AtomicI64::new(0);

/// A call into the server is about to be made.
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

//! Ctrl-C and other signals: the import ends after the rows that are on their way, and tells what it has done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{Exit, Failure};

/// Whether a signal has requested the end.
pub struct Interruption(Arc<AtomicBool>);

impl Interruption {
    /// From now on, the first signal requests the end, and a second one ends the program at once.
    pub fn expect() -> Result<Self, Failure> {
        let is_requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // In this order, the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&is_requested))
                .and_then(|_| flag::register(signal, Arc::clone(&is_requested)))
                .map_err(|error| Failure::usage(format!("signals cannot be handled: {error}")))?;
        }
        Ok(Self(is_requested))
    }

    /// Why the import ends, if a signal has requested it.
    pub fn failure(&self) -> Option<Failure> {
        let text = "the import was interrupted by a signal".to_owned();
        self.0.load(Ordering::Relaxed).then_some(Failure { exit: Exit::Interrupted, text })
    }
}

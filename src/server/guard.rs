//! Catches panics. A panic is a fault of the module, and it must not bring down the server with all its stock. It is
//! caught at the boundary to the server, logged with its location, and counted.
//!
//! The command may have written only a part of its changes to the keys; INV.AUDIT reports reserved units that are
//! affected. The state in memory may be inconsistent as well, so it is discarded and rebuilt from the keys.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use super::api::ctx::Ctx;
use super::api::log::warn;
use super::state::Module;
use super::totals::increase;
use super::walk;
use crate::ledger::walk::Purpose;

/// The number of consecutive rounds of the module's own work that may panic. After one more, that work pauses for
/// [`REST`].
const FAILURES_IN_A_ROW: u32 = 3;
const REST: Duration = Duration::from_secs(10);

/// A panic was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Installs a hook that remembers a panic instead of printing it.
pub fn install() {
    panic::set_hook(Box::new(|panic| {
        // Includes the location and the message of the panic.
        Module::current().trust.last_panic.set(Some(panic.to_string()));
    }));
}

/// Removes the hook, whose code is about to be unloaded.
pub fn uninstall() {
    drop(panic::take_hook());
}

/// Runs `work` on behalf of the server. `place` names the command or event for the log. INFO and the load pass no
/// context, so after a panic in one of them the next event rebuilds the state.
pub fn caught<T>(
    module: &Module,
    ctx: Option<Ctx<'_>>,
    place: impl Display,
    work: impl FnOnce() -> T,
) -> Result<T, Panicked> {
    let trust = &module.trust;
    let depth = trust.depth.get();
    trust.depth.set(depth.saturating_add(1));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    trust.depth.set(depth);
    let done = done.map_err(|_| {
        note(ctx, module, place);
        Panicked
    });
    if depth == 0
        && let Some(ctx) = ctx
        && trust.is_distrusted.replace(false)
    {
        let begun = panic::catch_unwind(AssertUnwindSafe(|| begin_anew(ctx, module)));
        if begun.is_err() {
            trust.is_distrusted.set(true);
        }
    }
    done
}

/// Like [`caught`], for work that returns nothing.
pub fn event(module: &Module, ctx: Ctx<'_>, place: &str, work: impl FnOnce()) {
    let _ = caught(module, Some(ctx), place, work);
}

/// Like [`event`], for a round of the module's own work. After repeated panics the module pauses, because each panic
/// costs a walk over all keys and a line in the log.
pub fn round(module: &Module, ctx: Ctx<'_>, place: &str, work: impl FnOnce()) {
    let trust = &module.trust;
    let now = Instant::now();
    if trust.rests_until.get().is_some_and(|until| now < until) {
        return;
    }
    trust.rests_until.set(None);
    match caught(module, Some(ctx), place, work) {
        Err(Panicked) => {
            let failed = trust.failed_rounds.get().saturating_add(1);
            trust.failed_rounds.set(failed);
            if failed > FAILURES_IN_A_ROW {
                trust.rests_until.set(now.checked_add(REST));
                ctx.warn(
                    "inv: this happens repeatedly: no units are released at their deadlines for ten seconds",
                );
            }
        }
        // While the index is incomplete, a round does little, so its success proves nothing.
        Ok(()) if module.is_index_ready() => trust.failed_rounds.set(0),
        Ok(()) => {}
    }
}

fn note(ctx: Option<Ctx<'_>>, module: &Module, place: impl Display) {
    let said = module.trust.last_panic.take().unwrap_or_default();
    increase(&module.totals.panics, 1);
    module.distrust();
    warn(ctx, &format!("inv: a fault of the module was caught in {place}, please report it: {said}"));
}

/// Discards the state in memory and begins to rebuild it. The walk runs in slices, starting with the next cron. Until
/// it ends, nothing is repaired or released merely because the walk has not found a reservation yet.
fn begin_anew(ctx: Ctx<'_>, module: &Module) {
    // If a note about a write of another program was discarded as well, the mark proves nothing any more.
    let purpose = if module.take_mishearing() { Purpose::IndexUnwatched } else { Purpose::Index };
    module.ledgers.borrow_mut().change(std::collections::BTreeMap::clear);
    walk::begin(ctx, module, purpose);
}

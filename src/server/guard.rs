//! Panics. None is meant to happen; one that does is a fault of the module, and no reason for the server, and all the stock
//! in it, to go down: it is caught where the server calls the module, logged with its place, and counted.
//!
//! The keys may hold a half of what the command was to write: INV.AUDIT tells of reserved units. What is kept in memory may
//! be half changed as well, so it is thrown away and rebuilt from the keys.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::time::{Duration, Instant};

use super::api::ctx::Ctx;
use super::api::log::warn;
use super::state::Module;
use super::totals::increase;
use super::walk;
use crate::ledger::walk::Purpose;

/// This many rounds of the module's own work may end in a panic one after the other; then it rests for this long.
const FAILURES_IN_A_ROW: u32 = 3;
const REST: Duration = Duration::from_secs(10);

/// A panic was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// From here on a panic is remembered instead of printed.
pub fn install() {
    panic::set_hook(Box::new(|panic| {
        // The place and the message of it.
        Module::current().trust.last_panic.set(Some(panic.to_string()));
    }));
}

/// The hook is in code that is about to go.
pub fn uninstall() {
    drop(panic::take_hook());
}

/// Does `work`, which the server has asked for in `place`, the name of a command or an event. INFO and the load come without a
/// context: after a panic in them it is the next event that begins anew.
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

/// The same for what answers nothing.
pub fn event(module: &Module, ctx: Ctx<'_>, place: &str, work: impl FnOnce()) {
    let _ = caught(module, Some(ctx), place, work);
}

/// The same for a round of the work that the module does by itself. If round after round ends in a panic, the module rests
/// in between: each costs a walk, and a line in the log.
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
                    "inv: this happens again and again: no unit is given back by deadlines for ten seconds",
                );
            }
        }
        // With an index that is not complete little is tried.
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

/// Nothing that is in memory is believed any more. The walk takes place in slices, from the next tick of the cron on; until it
/// is over nobody repairs or releases on the strength of what it has not found.
fn begin_anew(ctx: Ctx<'_>, module: &Module) {
    // If what another program has written is forgotten as well, the mark proves nothing any more.
    let purpose = if module.take_mishearing() { Purpose::IndexUnwatched } else { Purpose::Index };
    module.ledgers.borrow_mut().change(std::collections::BTreeMap::clear);
    walk::begin(ctx, module, purpose);
}

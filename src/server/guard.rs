//! Panics. None is meant to happen; one that does is a fault of the module, and no reason for the server, and all the stock
//! in it, to go down: it is caught where the server calls the module, logged with its place, and counted.
//!
//! The keys may hold a half of what the command was to write: INV.AUDIT tells of reserved units. What is kept in memory may
//! be half changed as well, so it is thrown away and rebuilt from the keys.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::api::{self, RawContext};
use super::state;
use super::walk::{self, Purpose};

/// What the last panic said, and where.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// How many guards are around the code at hand: the server calls handlers of events in the midst of commands.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// A panic was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// From here on a panic is remembered instead of printed.
pub fn install() {
    panic::set_hook(Box::new(|panic| {
        // The place and the message of it.
        let text = panic.to_string();
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }));
}

/// The hook lies in code that is about to go.
pub fn uninstall() {
    drop(panic::take_hook());
}

/// Does `work`, which the server has asked for in `place`, the name of a command or an event.
pub fn caught<T>(ctx: RawContext, place: impl Display, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    DEPTH.fetch_add(1, Ordering::Relaxed);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let is_outermost = DEPTH.fetch_sub(1, Ordering::Relaxed) == 1;
    let done = done.map_err(|_| {
        note(ctx, place);
        Panicked
    });
    // INFO has no context of that kind: the next event sees to it.
    if is_outermost && !ctx.is_null() && state::take_distrust() {
        begin_anew(ctx);
    }
    done
}

/// The same for what answers nothing.
pub fn event(ctx: RawContext, place: &str, work: impl FnOnce()) {
    let _ = caught(ctx, place, work);
}

fn note(ctx: RawContext, place: impl Display) {
    let said = LAST.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    state::TOTALS.panics.fetch_add(1, Ordering::Relaxed);
    state::distrust();
    api::warn(ctx, &format!("inv: a fault of the module was caught in {place}, please report it: {said}"));
}

/// Nothing that is in memory is believed any more. The walk takes place in slices, from the next tick of the cron on.
fn begin_anew(ctx: RawContext) {
    if walk::is_broken() {
        // It would meet the same again. What it has not found stays unknown, and nobody repairs on the strength of it.
        api::warn(ctx, "inv: the walk over the keys was given up; restart the server to begin it again");
        return;
    }
    state::ledgers(std::collections::BTreeMap::clear);
    walk::begin(ctx, Purpose::Index);
}

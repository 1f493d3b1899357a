//! Panics. None is meant to happen; one that does is a fault of the module, and no reason for the server, and all the stock
//! in it, to go down: it is caught where the server calls the module, logged with its place, and counted.
//!
//! The keys may hold a half of what the command was to write: INV.AUDIT tells of reserved units. What is kept in memory may
//! be half changed as well, so it is thrown away and rebuilt from the keys.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::api::{self, RawContext};
use super::state;
use super::walk;
use crate::ledger::walk::Purpose;

/// What the last panic said, and where.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// How many guards are around the code at hand: the server calls handlers of events in the midst of commands.
static DEPTH: AtomicU32 = AtomicU32::new(0);

/// So many rounds of the module's own work may end in a panic one after the other, and so long it rests then.
const FAILURES_IN_A_ROW: u32 = 3;
const REST: Duration = Duration::from_secs(10);

static FAILED_ROUNDS: AtomicU32 = AtomicU32::new(0);
static RESTS_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// A panic was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// From here on a panic is remembered instead of printed.
pub fn install() {
    forget();
    panic::set_hook(Box::new(|panic| {
        // The place and the message of it.
        let text = panic.to_string();
        *lock(&LAST) = Some(text);
    }));
}

/// The hook lies in code that is about to go.
pub fn uninstall() {
    drop(panic::take_hook());
    forget();
}

/// Forgets the panics of an earlier load, and a rest after them.
fn forget() {
    *lock(&LAST) = None;
    *lock(&RESTS_UNTIL) = None;
    FAILED_ROUNDS.store(0, Ordering::Relaxed);
}

/// Does `work`, which the server has asked for in `place`, the name of a command or an event.
pub fn caught<T>(ctx: RawContext, place: impl Display, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // One thread, so that no locked operation is needed: this is around every event of every key.
    let depth = DEPTH.load(Ordering::Relaxed);
    DEPTH.store(depth.saturating_add(1), Ordering::Relaxed);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    DEPTH.store(depth, Ordering::Relaxed);
    let done = done.map_err(|_| {
        note(ctx, place);
        Panicked
    });
    // INFO has no context of that kind: the next event sees to it.
    if depth == 0 && !ctx.is_null() && state::take_distrust() {
        let begun = panic::catch_unwind(AssertUnwindSafe(|| begin_anew(ctx)));
        if begun.is_err() {
            state::distrust();
        }
    }
    done
}

/// The same for what answers nothing.
pub fn event(ctx: RawContext, place: &str, work: impl FnOnce()) {
    let _ = caught(ctx, place, work);
}

/// The same for a round of the work that the module does by itself. Where round after round ends in a panic, the module rests
/// in between: each costs a walk, and a line in the log.
pub fn round(ctx: RawContext, place: &str, work: impl FnOnce()) {
    let now = Instant::now();
    if lock(&RESTS_UNTIL).is_some_and(|until| now < until) {
        return;
    }
    *lock(&RESTS_UNTIL) = None;
    match caught(ctx, place, work) {
        Err(Panicked) => {
            let failed = FAILED_ROUNDS.load(Ordering::Relaxed).saturating_add(1);
            FAILED_ROUNDS.store(failed, Ordering::Relaxed);
            if failed > FAILURES_IN_A_ROW {
                *lock(&RESTS_UNTIL) = now.checked_add(REST);
                api::warn(
                    ctx,
                    "inv: this happens again and again: no unit is given back by deadlines for ten seconds",
                );
            }
        }
        // With an index that is not complete little is tried.
        Ok(()) if state::is_index_ready() => FAILED_ROUNDS.store(0, Ordering::Relaxed),
        Ok(()) => {}
    }
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(ctx: RawContext, place: impl Display) {
    let said = lock(&LAST).take().unwrap_or_default();
    state::TOTALS.panics.fetch_add(1, Ordering::Relaxed);
    state::distrust();
    state::note_mishearing();
    api::warn(ctx, &format!("inv: a fault of the module was caught in {place}, please report it: {said}"));
}

/// Nothing that is in memory is believed any more. The walk takes place in slices, from the next tick of the cron on; until it
/// is over nobody repairs or releases on the strength of what it has not found.
fn begin_anew(ctx: RawContext) {
    // If what another program has written is forgotten as well, the mark proves nothing any more.
    let purpose = if state::take_mishearing() { Purpose::IndexUnwatched } else { Purpose::Index };
    state::ledgers(std::collections::BTreeMap::clear);
    walk::begin(ctx, purpose);
}

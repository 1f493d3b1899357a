//! Walks over the keys of the whole server, a slice at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api::{self, RawContext, ScanCursor};
use super::keyspace::ServerKeyspace;
use super::{config, events, state};
use crate::engine::recover::Walk;
use crate::inventory::key::watched;
use crate::ledger::walk::Purpose;

/// A walk that is under way.
struct Running {
    purpose: Purpose,
    /// The databases that are left, the one at hand first.
    databases: VecDeque<state::Db>,
    at: Option<At>,
}

/// The database at hand.
struct At {
    cursor: ScanCursor,
    walk: Walk,
    /// Every key was met; what was met is compared.
    is_over: bool,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);
static WANTED: Mutex<Option<Purpose>> = Mutex::new(None);

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the cron for a walk.
pub fn want(purpose: Purpose) {
    lock(&WANTED).get_or_insert(purpose);
}

/// The databases are not what they were: a walk that is under way begins again.
pub fn begin_again() {
    if let Some(running) = lock(&RUNNING).take() {
        want(running.purpose);
    }
}

/// No walk is under way or wanted.
pub fn forget() {
    *lock(&RUNNING) = None;
    *lock(&WANTED) = None;
}

/// Begins the walk that was asked for. A check is the business of a master.
pub fn begin_wanted(ctx: RawContext) {
    let wanted = *lock(&WANTED);
    match wanted {
        Some(Purpose::Check) if !events::is_releasing(ctx) => {}
        Some(purpose) => {
            *lock(&WANTED) = None;
            begin(ctx, purpose);
        }
        None => {}
    }
}

/// Begins a walk over all databases. Until it is over, what it is for is not known.
pub fn begin(ctx: RawContext, purpose: Purpose) {
    let selected = api::selected_db(ctx);
    let filled = (0..).take_while(|db| api::select_db(ctx, *db)).filter(|_| api::db_size(ctx) > 0);
    let databases: VecDeque<state::Db> = filled.collect();
    api::select_db(ctx, selected);
    // Of a database without keys there is nothing to know.
    state::ledgers(|ledgers| ledgers.retain(|db, _| databases.contains(db)));
    for db in &databases {
        let now = api::now_ms();
        state::ledger(*db, |ledger| ledger.begin_walk(purpose, now));
    }
    *lock(&RUNNING) = Some(Running { purpose, databases, at: None });
}

/// Goes on with the walk until it is over or `time_is_up`. Says whether something is left.
pub fn go_on(ctx: RawContext, mut time_is_up: impl FnMut() -> bool) -> bool {
    // Taken out: no lock is held over a call into the server.
    let Some(mut running) = lock(&RUNNING).take() else { return false };
    let selected = api::selected_db(ctx);
    while let Some(db) = running.databases.front().copied() {
        if !api::select_db(ctx, db) {
            break;
        }
        let purpose =
            if events::is_releasing(ctx) { running.purpose } else { running.purpose.on_a_replica() };
        let at = running.at.get_or_insert_with(|| At {
            cursor: ScanCursor::new(),
            walk: Walk::new(api::now_ms(), state::style(), config::settings().in_cluster, purpose),
            is_over: false,
        });
        if !walk_on(ctx, db, at, &mut time_is_up) {
            api::select_db(ctx, selected);
            *lock(&RUNNING) = Some(running);
            return true;
        }
        running.at = None;
        running.databases.pop_front();
    }
    api::select_db(ctx, selected);
    false
}

/// Walks over the database at hand. False where time is up before the end.
fn walk_on(ctx: RawContext, db: state::Db, at: &mut At, mut time_is_up: impl FnMut() -> bool) -> bool {
    let style = state::style();
    let walk = &mut at.walk;
    while !at.is_over {
        let more = at.cursor.step(ctx, |name, key| {
            let read = || (events::record_text(key), key.deadline());
            state::ledger(db, |ledger| walk.meet(ledger, name, watched(name, style), read));
        });
        at.is_over = !more;
        if time_is_up() {
            return false;
        }
    }
    !at.walk.finish(&mut ServerKeyspace::new(ctx), time_is_up)
}

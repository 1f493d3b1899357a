//! Walks over all keys of the server, one slice at a time.

use std::collections::VecDeque;

use super::api::ctx::{Ctx, now_ms};
use super::api::scan::ScanCursor;
use super::keyspace::ServerKeyspace;
use super::ledgers::Db;
use super::role::{is_releasing, record_text};
use super::state::{Module, RunningWalk, WalkedDatabase, Walks};
use crate::engine::recover::Walk;
use crate::inventory::key::watched;
use crate::ledger::walk::Purpose;

impl Walks {
    /// Asks the cron to begin a walk.
    pub fn want(&self, purpose: Purpose) {
        self.wanted.set(self.wanted.get().or(Some(purpose)));
    }

    /// Restarts a walk that is in progress, because the databases have changed.
    pub fn begin_again(&self) {
        if let Some(running) = self.running.take() {
            self.want(running.purpose);
        }
    }

    /// Cancels the walk that is in progress and the one that was requested.
    pub fn stop(&self) {
        self.running.set(None);
        self.wanted.set(None);
    }
}

/// Begins the walk that was requested. Only a master checks.
pub fn begin_wanted(ctx: Ctx<'_>, module: &Module) {
    match module.walks.wanted.get() {
        Some(Purpose::Check) if !is_releasing(ctx) => {}
        Some(purpose) => {
            module.walks.wanted.set(None);
            begin(ctx, module, purpose);
        }
        None => {}
    }
}

/// Begins a walk over all databases. What the walk is for is not known until it ends.
pub fn begin(ctx: Ctx<'_>, module: &Module, purpose: Purpose) {
    let selected = ctx.selected_db();
    let filled = (0..).take_while(|db| ctx.select_db(*db)).filter(|_| ctx.db_size() > 0);
    let databases: VecDeque<Db> = filled.collect();
    ctx.select_db(selected);
    // There is nothing to know about a database without keys.
    module.ledgers.borrow_mut().change(|ledgers| ledgers.retain(|db, _| databases.contains(db)));
    for db in &databases {
        let now = now_ms();
        module.ledger(*db, |ledger| ledger.begin_walk(purpose, now));
    }
    module.walks.running.set(Some(RunningWalk { purpose, databases, at: None }));
}

/// Continues the walk until it ends or `time_is_up`. Returns whether something is left.
pub fn advance(ctx: Ctx<'_>, module: &Module, mut time_is_up: impl FnMut() -> bool) -> bool {
    // The walk is taken out of the state, so that handlers which the server calls meanwhile cannot change it.
    let Some(mut running) = module.walks.running.take() else { return false };
    let server = module.server.get();
    let selected = ctx.selected_db();
    while let Some(db) = running.databases.front().copied() {
        if !ctx.select_db(db) {
            break;
        }
        let purpose = if is_releasing(ctx) { running.purpose } else { running.purpose.on_a_replica() };
        let at = running.at.get_or_insert_with(|| WalkedDatabase {
            cursor: ScanCursor::new(),
            walk: Walk::new(now_ms(), server.style, server.in_cluster, purpose),
            is_over: false,
        });
        if !walk_on(ctx, module, db, at, &mut time_is_up) {
            ctx.select_db(selected);
            module.walks.running.set(Some(running));
            return true;
        }
        running.at = None;
        running.databases.pop_front();
    }
    ctx.select_db(selected);
    false
}

/// Walks over the current database. False if time is up before the end.
fn walk_on(
    ctx: Ctx<'_>,
    module: &Module,
    db: Db,
    at: &mut WalkedDatabase,
    mut time_is_up: impl FnMut() -> bool,
) -> bool {
    let style = module.style();
    let walk = &mut at.walk;
    while !at.is_over {
        let more = at.cursor.step(ctx, |name, key| {
            let read = || (record_text(key), key.deadline());
            module.ledger(db, |ledger| walk.meet(ledger, name, watched(name, style), read));
        });
        at.is_over = !more;
        if time_is_up() {
            return false;
        }
    }
    !at.walk.finish(&mut ServerKeyspace::new(ctx, module), time_is_up)
}

//! Schedules the module's own work: jobs after a unit of work, slices in the cron and in iterations of the event
//! loop, and the wake-ups between them.

use std::time::{Duration, Instant};

use super::api::ctx::{Ctx, now_ms};
use super::api::events::{Job, Woken, wake_event_loop};
use super::keyspace::ServerKeyspace;
use super::ledgers::Db;
use super::role::{is_releasing, may_write};
use super::state::Module;
use super::{config, guard, rounds, walk};
use crate::engine::keyspace::Keyspace;
use crate::engine::sweep::{self, Caller};
use crate::engine::{load_repair, moving, recover};
use crate::ledger::Ledger;

/// A job that runs after the unit of work that caused an event. It processes the notes of all databases, so at most
/// one is queued.
struct Settling;

impl Job for Settling {
    fn run(ctx: Ctx<'_>) {
        let module = &Module::current();
        module.schedule.is_job_queued.set(false);
        guard::event(module, ctx, "the job after a command", || do_job(ctx, module));
    }
}

/// Queues a job unless one is queued already. If the server accepts none, the cron does the work.
pub fn queue_job(ctx: Ctx<'_>, module: &Module) {
    let is_queued = &module.schedule.is_job_queued;
    if !is_queued.get() && ctx.queue_job::<Settling>() {
        is_queued.set(true);
    }
}

fn do_job(ctx: Ctx<'_>, module: &Module) {
    // The server's own expiry cycle can remove thousands of records in one iteration, each of which queues a job. All
    // jobs of an iteration share one limit.
    let length = least_slice().saturating_sub(module.schedule.spent());
    if module.server.get().in_cluster {
        let is_urgent = module.schedule.is_urgent.replace(false);
        work_off(ctx, module, |keys, may_write| {
            if may_write {
                moving::rescue(keys, is_urgent);
            }
        });
    }
    if length.is_zero() {
        // If many deadlines pass at once, this happens thousands of times in one iteration.
        let written = module.ledgers.borrow().written();
        if !written.is_empty() && may_write(ctx) {
            visit(ctx, module, &written, |keys, _| sweep::judge_written(keys));
        }
        wake_soon(module);
        return;
    }
    let begun = Instant::now();
    let mut time_is_up = || begun.elapsed() >= length;
    let mut backlog = false;
    work_off(ctx, module, |keys, may_write| {
        backlog |= if may_write {
            sweep::work_off_notes(keys, Caller::Job, &mut time_is_up)
        } else {
            sweep::look_at_touched(keys, &mut time_is_up)
        };
    });
    module.schedule.spend(begun.elapsed());
    if backlog {
        wake_soon(module);
    }
}

/// Runs the work of the cron.
pub fn tick(ctx: Ctx<'_>, module: &Module) {
    walk::begin_wanted(ctx, module);
    slice(ctx, module, config::sweep_budget());
    rounds::advance(ctx, module);
    let_idle_fall_asleep(ctx, module);
}

/// Puts ledgers without work to sleep, and drops blank ledgers of empty databases.
fn let_idle_fall_asleep(ctx: Ctx<'_>, module: &Module) {
    let (selected, now) = (ctx.selected_db(), now_ms());
    let blank = module.ledgers.borrow_mut().let_idle_fall_asleep(now);
    for db in blank {
        if ctx.select_db(db) && ctx.db_size() == 0 {
            module.ledgers.borrow_mut().drop_blank(db);
        }
    }
    ctx.select_db(selected);
}

/// Called at the beginning of an iteration of the server's event loop.
pub fn round_begins(module: &Module) {
    let schedule = &module.schedule;
    schedule.round_began.set(schedule.has_backlog.get().then(Instant::now));
    schedule.spent_us.set(0);
}

/// Called at the end of an iteration of the server's event loop. While there is a backlog, each iteration runs a
/// slice of it, and the next iteration starts at once instead of up to a tenth of a second later.
pub fn round_ends(ctx: Ctx<'_>, module: &Module) {
    if module.schedule.has_backlog.get() {
        guard::round(module, ctx, "a round of the event loop", || slice(ctx, module, share_of_round(module)));
    }
}

/// The shortest slice of an iteration, and the limit for all jobs of an iteration: a small part of the budget.
fn least_slice() -> Duration {
    config::sweep_budget().checked_div(8).unwrap_or_default()
}

/// The length of this iteration's slice. It is as long as the rest of the iteration, so that clients keep half of the
/// time and a single client waits only for a small part of the budget. If the server's own expiry cycle has run in
/// this iteration, that work has used up the share, and the slice has the minimum length.
fn share_of_round(module: &Module) -> Duration {
    let least = least_slice();
    if !module.schedule.spent().is_zero() {
        return least;
    }
    let round = module.schedule.round_began.get().map_or(Duration::ZERO, |begun| begun.elapsed());
    round.min(config::sweep_budget()).max(least)
}

/// Runs a slice of work: first what is due, then a walk that is in progress.
fn slice(ctx: Ctx<'_>, module: &Module, length: Duration) {
    let begun = Instant::now();
    let mut time_is_up = || begun.elapsed() >= length;
    let mut backlog = false;
    work_off(ctx, module, |keys, may_write| {
        backlog |= if may_write {
            sweep::sweep(keys, &mut time_is_up)
        } else {
            let left = sweep::look_at_touched(keys, &mut time_is_up);
            if !is_releasing(ctx) {
                keys.ledger(Ledger::forget_what_masters_need);
            }
            left
        };
        backlog |= recover::learn(keys, &mut time_is_up);
    });
    backlog |= walk::advance(ctx, module, &mut time_is_up);
    backlog |= module.ledgers.borrow_mut().free_discarded(&mut time_is_up);
    module.schedule.has_backlog.set(backlog);
    if backlog {
        wake_soon(module);
    }
}

/// Wakes the event loop, which is all that is needed.
struct Turn;

impl Woken for Turn {
    fn woken() {
        Module::current().schedule.is_wake_queued.set(false);
    }
}

/// Notes that work is left and starts the next iteration of the event loop at once, which runs a slice.
fn wake_soon(module: &Module) {
    let schedule = &module.schedule;
    schedule.has_backlog.set(true);
    if !schedule.is_wake_queued.replace(true) && !wake_event_loop::<Turn>() {
        schedule.is_wake_queued.set(false);
    }
}

/// Runs `work` in each database that has work, or in a cluster in each that has a ledger.
fn work_off(ctx: Ctx<'_>, module: &Module, work: impl FnMut(&mut ServerKeyspace<'_>, bool)) {
    let databases = if module.server.get().in_cluster {
        module.ledgers.borrow().databases()
    } else {
        let (now, may_write) = (now_ms(), may_write(ctx));
        module.ledgers.borrow_mut().with_work(now, may_write)
    };
    visit(ctx, module, &databases, work);
}

/// Runs `work` in these databases.
fn visit(
    ctx: Ctx<'_>,
    module: &Module,
    databases: &[Db],
    mut work: impl FnMut(&mut ServerKeyspace<'_>, bool),
) {
    let may_write = may_write(ctx);
    let selected = ctx.selected_db();
    for db in databases {
        if ctx.select_db(*db) {
            work(&mut ServerKeyspace::new(ctx, module), may_write);
        }
    }
    ctx.select_db(selected);
}

/// The databases that have the mark, if this server is the master that maintains it.
pub fn marked_databases(ctx: Ctx<'_>, module: &Module) -> Vec<Db> {
    let mut marked = Vec::new();
    if is_releasing(ctx) {
        let databases = module.ledgers.borrow().databases();
        visit(ctx, module, &databases, |keys, _| {
            if load_repair::marked(keys) {
                marked.push(keys.database());
            }
        });
    }
    marked
}

/// Removes the mark from these databases.
pub fn unmark(ctx: Ctx<'_>, module: &Module, databases: &[Db]) {
    visit(ctx, module, databases, |keys, _| load_repair::unmark_unwatched(keys));
}

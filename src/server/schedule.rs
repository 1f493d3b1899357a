//! When the module works by itself: jobs after a unit of work, slices in the cron and in rounds of the event loop, and the
//! wake-ups between them.

use std::time::{Duration, Instant};

use super::api::ctx::{Ctx, now_ms};
use super::api::events::{Job, Woken, wake_event_loop};
use super::keyspace::ServerKeyspace;
use super::ledgers::Db;
use super::role::{is_releasing, may_write};
use super::state::Module;
use super::{config, guard, walk};
use crate::engine::keyspace::Keyspace;
use crate::engine::sweep::{self, Caller};
use crate::engine::{load_repair, moving, recover};
use crate::ledger::Ledger;

/// Runs after the unit of work that an event belonged to. One settles the notes of all databases, so one is enough.
struct Settling;

impl Job for Settling {
    fn run(ctx: Ctx<'_>) {
        let module = &Module::current();
        module.schedule.is_job_queued.set(false);
        guard::event(module, ctx, "the job behind a command", || do_job(ctx, module));
    }
}

/// Queues a job, unless one is queued. If the server takes none, the cron does its work.
pub fn queue_job(ctx: Ctx<'_>, module: &Module) {
    let is_queued = &module.schedule.is_job_queued;
    if !is_queued.get() && ctx.queue_job::<Settling>() {
        is_queued.set(true);
    }
}

fn do_job(ctx: Ctx<'_>, module: &Module) {
    // The server's own cycle may expire thousands of records in one round, each with its job, and takes long enough.
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
        // In a storm of deadlines this comes thousands of times in a round.
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

/// The work of the cron.
pub fn tick(ctx: Ctx<'_>, module: &Module) {
    walk::begin_wanted(ctx, module);
    slice(ctx, module, config::sweep_budget());
    let_idle_fall_asleep(ctx, module);
}

/// Databases without work are not visited, and of an empty one nothing is kept.
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

/// A round of the server's work begins.
pub fn round_begins(module: &Module) {
    let schedule = &module.schedule;
    schedule.round_began.set(schedule.has_backlog.get().then(Instant::now));
    schedule.spent_us.set(0);
}

/// A round of the server's work ends. While a backlog is left, each round does a slice of it, and the next round comes at once
/// instead of a tenth of a second later.
pub fn round_ends(ctx: Ctx<'_>, module: &Module) {
    if module.schedule.has_backlog.get() {
        guard::round(module, ctx, "a round of the event loop", || slice(ctx, module, share_of_round(module)));
    }
}

/// What a round gets however little else it has done, and what all jobs of a round may take: a small part of the budget.
fn least_slice() -> Duration {
    config::sweep_budget().checked_div(8).unwrap_or_default()
}

/// How long the slice of this round may be: as long as the round has taken, so that the clients keep half of the time, and
/// a client that is alone waits for a small part of the budget. If the server's own cycle has expired records in this
/// round, it has taken its share, and more.
fn share_of_round(module: &Module) -> Duration {
    let least = least_slice();
    if !module.schedule.spent().is_zero() {
        return least;
    }
    let round = module.schedule.round_began.get().map_or(Duration::ZERO, |begun| begun.elapsed());
    round.min(config::sweep_budget()).max(least)
}

/// A slice of work: what is due comes first, then a walk that is under way.
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
    module.schedule.has_backlog.set(backlog);
    if backlog {
        wake_soon(module);
    }
}

/// The event loop turns: that was all that was wanted.
struct Turn;

impl Woken for Turn {
    fn woken() {
        Module::current().schedule.is_wake_queued.set(false);
    }
}

/// Something is left: the next round of the event loop comes at once, and does a slice.
fn wake_soon(module: &Module) {
    let schedule = &module.schedule;
    schedule.has_backlog.set(true);
    if !schedule.is_wake_queued.replace(true) && !wake_event_loop::<Turn>() {
        schedule.is_wake_queued.set(false);
    }
}

/// Does `work` in each database that has any, and in a cluster in each that has a ledger.
fn work_off(ctx: Ctx<'_>, module: &Module, work: impl FnMut(&mut ServerKeyspace<'_>, bool)) {
    let databases = if module.server.get().in_cluster {
        module.ledgers.borrow().databases()
    } else {
        let (now, may_write) = (now_ms(), may_write(ctx));
        module.ledgers.borrow_mut().with_work(now, may_write)
    };
    visit(ctx, module, &databases, work);
}

/// Does `work` in these databases.
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

/// The databases that bear the mark, if it is this server that watches over it.
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

/// Takes the mark away from these databases.
pub fn unmark(ctx: Ctx<'_>, module: &Module, databases: &[Db]) {
    visit(ctx, module, databases, |keys, _| load_repair::unmark_unwatched(keys));
}

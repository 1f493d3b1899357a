//! The server's events. Handlers of keys take notes; a job behind the unit of work, or the cron, works them off.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis_module::raw;

use super::api::{self, Kind, OpenKey, RawContext};
use super::keyspace::ServerKeyspace;
use super::walk;
use super::{config, guard, state};
use crate::engine::keyspace::Keyspace;
use crate::engine::sweep::{self, Caller};
use crate::engine::{load_repair, moving, recover};
use crate::inventory::key::{Watched, is_reservation, watched};
use crate::inventory::reservation::Record;
use crate::ledger::notes::Touched;
use crate::ledger::walk::Purpose;
use crate::ledger::{LeavingKey, Ledger, Removal};

/// No record is shorter. Reading a short string makes the server rewrite it in place, which is not wanted of a key
/// that is going.
const SHORTEST_RECORD: usize = 90;

/// The event of every key that is new. Of some types of modules' own, such as vector sets, no other event tells.
const NEW_KEYS: c_int = raw::REDISMODULE_NOTIFY_NEW;

/// Subscribes to everything that the module has to know. False where the server refuses.
pub fn subscribe(ctx: RawContext) -> bool {
    // A script's record may be of any type.
    let kinds = raw::REDISMODULE_NOTIFY_GENERIC
        | raw::REDISMODULE_NOTIFY_STRING
        | raw::REDISMODULE_NOTIFY_HASH
        | raw::REDISMODULE_NOTIFY_LIST
        | raw::REDISMODULE_NOTIFY_SET
        | raw::REDISMODULE_NOTIFY_ZSET
        | raw::REDISMODULE_NOTIFY_STREAM
        | raw::REDISMODULE_NOTIFY_MODULE
        | NEW_KEYS;
    api::subscribe(ctx, raw::REDISMODULE_EVENT_KEY, on_key)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_CRON_LOOP, on_cron)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_EVENTLOOP, on_event_loop)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_FLUSHDB, on_flush)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_SWAPDB, on_swap)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_LOADING, on_loading)
        && api::subscribe(ctx, raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, on_role)
        && api::subscribe_keyspace(ctx, kinds, on_notification)
}

/// Whether this server takes notes for releases: a master that is not loading.
pub(super) fn is_releasing(ctx: RawContext) -> bool {
    let flags = api::context_flags(ctx);
    let loading = raw::REDISMODULE_CTX_FLAGS_LOADING | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
    // A restarting replica of a cluster says MASTER for a moment; its own flag in the cluster does not.
    let master = api::is_cluster_master(ctx).unwrap_or(flags & raw::REDISMODULE_CTX_FLAGS_MASTER != 0);
    master && flags & raw::REDISMODULE_CTX_FLAGS_MASTER != 0 && flags & loading == 0
}

/// Whether the module may write by itself now. Replicating while clients are paused ends the server.
fn may_write(ctx: RawContext) -> bool {
    is_releasing(ctx) && !api::avoid_traffic()
}

/// The value of a reservation key, where it may be a record.
pub(super) fn record_text<'a>(key: &'a OpenKey<'_>) -> Option<&'a [u8]> {
    (key.kind() == Kind::String && key.length() >= SHORTEST_RECORD).then(|| key.text())
}

/// A key goes. It fires for every key of the server.
unsafe extern "C" fn on_key(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    guard::event(ctx, "the event of a key that goes", || {
        // SAFETY: the server hands a key to the handlers of this event; it is not kept.
        let (name, key) = unsafe { api::lent_key(data) };
        key_goes(ctx, name, &key, subevent);
    });
}

fn key_goes(ctx: RawContext, name: &[u8], key: &OpenKey<'_>, subevent: u64) {
    let how = match subevent {
        raw::REDISMODULE_SUBEVENT_KEY_EXPIRED => Removal::Expired,
        raw::REDISMODULE_SUBEVENT_KEY_EVICTED => Removal::Evicted,
        raw::REDISMODULE_SUBEVENT_KEY_OVERWRITTEN => Removal::Overwritten,
        _ => Removal::Deleted,
    };
    if matches!(how, Removal::Deleted | Removal::Overwritten) && state::is_own_write(name) {
        return;
    }
    let style = state::style();
    let Some(watched) = watched(name, style) else { return };
    let db = api::selected_db(ctx);
    match watched {
        Watched::Reservation(id) => {
            let id = id.as_ref();
            let record =
                id.and_then(|id| record_text(key).and_then(|json| Record::from_json(id, json, style)));
            let releasing = is_releasing(ctx);
            let leaving = LeavingKey { name, id, record, ttl: key.deadline(), how };
            state::ledger(db, |ledger| ledger.note_leaving(leaving, releasing));
            if releasing {
                queue_job(ctx);
            }
        }
        Watched::Threshold(product) => {
            state::ledger(db, |ledger| ledger.notes.touch(Touched::Threshold(product)));
            queue_job(ctx);
        }
        Watched::Alert(product, at) if how != Removal::Overwritten => {
            state::ledger(db, |ledger| ledger.alerts.leave(&product, at));
        }
        Watched::Managed => {
            state::ledger(db, |ledger| ledger.notes.touch(Touched::Managed));
            queue_job(ctx);
        }
        Watched::Available | Watched::Reserved(_)
            if how == Removal::Deleted
                && config::settings().in_cluster
                && state::ledger(db, |ledger| !ledger.pending.is_empty()) =>
        {
            // It may go to another node, and what is pending has to go along.
            state::urge();
            queue_job(ctx);
        }
        Watched::Available | Watched::Reserved(_) if how == Removal::Evicted => {
            state::TOTALS.evicted_counters.fetch_add(1, Ordering::Relaxed);
            let name = String::from_utf8_lossy(name);
            api::warn(
                ctx,
                &format!(
                    "the counter {name} was evicted: its stock is lost (set maxmemory-policy noeviction)"
                ),
            );
        }
        Watched::Alert(..) | Watched::Outcome(_) | Watched::Available | Watched::Reserved(_) => {}
    }
}

/// A key appeared or changed without a command of ours.
unsafe extern "C" fn on_notification(
    ctx: RawContext,
    kind: c_int,
    event: *const c_char,
    name: *mut raw::RedisModuleString,
) -> c_int {
    if state::is_own_notification() {
        return api::OK;
    }
    state::set_hearing(true);
    guard::event(ctx, "the notification of a key", || {
        // SAFETY: the server lends the name for the length of this call.
        let name = unsafe { api::lent_name(name) };
        if kind == NEW_KEYS && (!is_reservation(name) || state::is_own_write(name)) {
            return;
        }
        // SAFETY: the server hands a string that ends in NUL.
        let event = unsafe { CStr::from_ptr(event) };
        key_changed(ctx, name, event);
    });
    state::set_hearing(false);
    api::OK
}

fn key_changed(ctx: RawContext, name: &[u8], event: &CStr) {
    let Some(watched) = watched(name, state::style()) else { return };
    let is_counter = matches!(watched, Watched::Reserved(_));
    match event.to_bytes() {
        b"expired" | b"evicted" => return,
        // The Key event has told of it. Of a counter it does not say whether the module has done it.
        b"del" | b"rename_from" | b"move_from" if !is_counter => return,
        _ => {}
    }
    let loading = raw::REDISMODULE_CTX_FLAGS_LOADING | raw::REDISMODULE_CTX_FLAGS_ASYNC_LOADING;
    if api::context_flags(ctx) & loading != 0 {
        // The walk at the end of the load sees it.
        return;
    }
    if is_counter && !is_releasing(ctx) {
        // Whether it is another program's, the master says.
        return;
    }
    if state::ledger(api::selected_db(ctx), |ledger| ledger.touch_watched(name, watched)) {
        queue_job(ctx);
    }
}

/// One job settles the notes of all databases, so one is enough. Where the server takes none, the cron does it.
fn queue_job(ctx: RawContext) {
    if !state::is_job_queued() && api::queue_job(ctx, on_job) {
        state::set_job_queued(true);
    }
}

/// Behind the unit of work that an event belonged to.
unsafe extern "C" fn on_job(ctx: RawContext, _data: *mut c_void) {
    state::set_job_queued(false);
    guard::event(ctx, "the job behind a command", || do_job(ctx));
}

fn do_job(ctx: RawContext) {
    // The server's own cycle may expire thousands of records in one round, each with its job, and takes long enough.
    let length = least_slice().saturating_sub(state::spent_in_round());
    if config::settings().in_cluster {
        let is_urgent = state::take_urgency();
        work_off(ctx, |keys, may_write| {
            if may_write {
                moving::rescue(keys, is_urgent);
            }
        });
    }
    if length.is_zero() {
        // In a storm of deadlines this comes thousands of times in a round.
        let written = state::databases_written();
        if !written.is_empty() && may_write(ctx) {
            visit(ctx, &written, |keys, _| sweep::judge_written(keys));
        }
        go_on_soon();
        return;
    }
    let begun = Instant::now();
    let mut time_is_up = || begun.elapsed() >= length;
    let mut backlog = false;
    work_off(ctx, |keys, may_write| {
        backlog |= if may_write {
            sweep::work_off_notes(keys, Caller::Job, &mut time_is_up)
        } else {
            sweep::look_at_touched(keys, &mut time_is_up)
        };
    });
    state::spend_in_round(begun.elapsed());
    if backlog {
        go_on_soon();
    }
}

/// Ten times a second (at `hz` 10).
unsafe extern "C" fn on_cron(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    // It does not run before a load is over.
    drop(state::take_ledgers_set_aside());
    guard::round(ctx, "the cron", || {
        walk::begin_wanted(ctx);
        slice(ctx, config::sweep_budget());
        let_idle_fall_asleep(ctx);
    });
}

/// Databases without work are not visited, and of an empty one nothing is kept.
fn let_idle_fall_asleep(ctx: RawContext) {
    let selected = api::selected_db(ctx);
    for db in state::let_idle_fall_asleep(api::now_ms()) {
        if api::select_db(ctx, db) && api::db_size(ctx) == 0 {
            state::drop_blank(db);
        }
    }
    api::select_db(ctx, selected);
}

/// Around the server's sleep between two rounds of its work. While a backlog is left, each round does a slice of it, and
/// the next round comes at once instead of a tenth of a second later.
unsafe extern "C" fn on_event_loop(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    let backlog = state::has_backlog();
    if subevent == raw::REDISMODULE_SUBEVENT_EVENTLOOP_AFTER_SLEEP {
        state::round_begins(backlog.then(Instant::now));
    } else if backlog {
        guard::round(ctx, "a round of the event loop", || slice(ctx, share_of_round()));
    }
}

/// What a round gets however little else it has done, and what all jobs of a round may take: a small part of the budget.
fn least_slice() -> Duration {
    config::sweep_budget().checked_div(8).unwrap_or_default()
}

/// How long the slice of this round may be: as long as the round has taken, so that the clients keep half of the time, and
/// a client that is alone waits for a small part of the budget. Where the server's own cycle has expired records in this
/// round, it has taken its share, and more.
fn share_of_round() -> Duration {
    let least = least_slice();
    if !state::spent_in_round().is_zero() {
        return least;
    }
    let round = state::round_began().map_or(Duration::ZERO, |begun| begun.elapsed());
    round.min(config::sweep_budget()).max(least)
}

/// A slice of work: what is due comes first, then a walk that is under way.
fn slice(ctx: RawContext, length: Duration) {
    let begun = Instant::now();
    let mut time_is_up = || begun.elapsed() >= length;
    let mut backlog = false;
    work_off(ctx, |keys, may_write| {
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
    backlog |= walk::go_on(ctx, &mut time_is_up);
    state::set_backlog(backlog);
    if backlog {
        go_on_soon();
    }
}

/// Something is left: the next round of the event loop comes at once, and does a slice.
fn go_on_soon() {
    state::set_backlog(true);
    if !state::set_wake_queued(true) && !api::wake_event_loop(on_woken) {
        state::set_wake_queued(false);
    }
}

/// The event loop turns: that was all that was wanted.
unsafe extern "C" fn on_woken(_data: *mut c_void) {
    state::set_wake_queued(false);
}

/// Does `work` in each database that has any, and in a cluster in each that has a ledger.
fn work_off(ctx: RawContext, work: impl FnMut(&mut ServerKeyspace, bool)) {
    let databases = if config::settings().in_cluster {
        state::databases()
    } else {
        state::databases_with_work(api::now_ms(), may_write(ctx))
    };
    visit(ctx, &databases, work);
}

/// Does `work` in these databases.
fn visit(ctx: RawContext, databases: &[state::Db], mut work: impl FnMut(&mut ServerKeyspace, bool)) {
    let may_write = may_write(ctx);
    let selected = api::selected_db(ctx);
    for db in databases {
        if api::select_db(ctx, *db) {
            work(&mut ServerKeyspace::new(ctx), may_write);
        }
    }
    api::select_db(ctx, selected);
}

/// The databases that bear the mark, if it is this server that watches over it.
pub(super) fn marked_databases(ctx: RawContext) -> Vec<state::Db> {
    let mut marked = Vec::new();
    if is_releasing(ctx) {
        visit(ctx, &state::databases(), |keys, _| {
            if load_repair::marked(keys) {
                marked.push(keys.database());
            }
        });
    }
    marked
}

/// Takes the mark away from these databases.
pub(super) fn unmark(ctx: RawContext, databases: &[state::Db]) {
    visit(ctx, databases, |keys, _| load_repair::unmark_unwatched(keys));
}

/// A database is flushed, or all are (-1). No key has an event of its own.
unsafe extern "C" fn on_flush(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    if subevent != raw::REDISMODULE_SUBEVENT_FLUSHDB_START {
        return;
    }
    // SAFETY: the server hands this structure to the handlers of this event.
    let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum };
    guard::event(ctx, "the event of a flush", || {
        if db < 0 {
            state::set_ledgers_aside();
        } else {
            state::ledgers(|ledgers| ledgers.remove(&db));
        }
        walk::begin_again();
    });
}

/// Two databases were swapped.
unsafe extern "C" fn on_swap(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    data: *mut c_void,
) {
    // SAFETY: the server hands this structure to the handlers of this event.
    let swap = unsafe { *data.cast::<raw::RedisModuleSwapDbInfo>() };
    let (first, second) = (swap.dbnum_first, swap.dbnum_second);
    guard::event(ctx, "the event of a swap", || {
        state::ledgers(|ledgers| {
            let (one, other) = (ledgers.remove(&first), ledgers.remove(&second));
            ledgers.extend(one.map(|ledger| (second, ledger)));
            ledgers.extend(other.map(|ledger| (first, ledger)));
        });
        walk::begin_again();
    });
}

/// A data set is loaded: what memory knew is of another one.
unsafe extern "C" fn on_loading(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    subevent: u64,
    _data: *mut c_void,
) {
    guard::event(ctx, "the event of a load", || load(ctx, subevent));
}

fn load(ctx: RawContext, subevent: u64) {
    let ended = subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED;
    if subevent == raw::REDISMODULE_SUBEVENT_LOADING_RDB_START {
        state::set_ledgers_aside();
    } else if !ended {
        // An AOF keeps what is due, and what a replica gets is its master's business.
        drop(state::take_ledgers_set_aside());
    }
    state::ledgers(std::collections::BTreeMap::clear);
    walk::forget();
    state::set_loading(!ended && subevent != raw::REDISMODULE_SUBEVENT_LOADING_FAILED);
    if ended {
        // The server answers nobody yet: in one piece.
        walk::begin(ctx, Purpose::Index);
        walk::go_on(ctx, || false);
        let selected = api::selected_db(ctx);
        for (db, before) in state::take_ledgers_set_aside() {
            if api::select_db(ctx, db) {
                recover::note_dropped(&mut ServerKeyspace::new(ctx), &before);
            }
        }
        api::select_db(ctx, selected);
    }
}

/// What was pending was the business of the old role.
unsafe extern "C" fn on_role(
    ctx: RawContext,
    _event: raw::RedisModuleEvent,
    _subevent: u64,
    _data: *mut c_void,
) {
    guard::event(ctx, "the event of a new role", || {
        state::ledgers(|ledgers| ledgers.values_mut().for_each(Ledger::forget_unsettled));
        // A new master looks for units that the old one left behind.
        walk::want(Purpose::Check);
    });
}

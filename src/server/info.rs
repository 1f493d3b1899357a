//! `INFO inv`.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::atomic::Ordering;

use redis_module::raw;

use super::version::VERSION;
use super::{api, guard, state};
use crate::inventory::refusal::Refusal;
use crate::ledger::Ledger;
use crate::ledger::holds::Overdue;
use crate::ledger::standing::{Ownership, Standing};

/// The server asks for the module's section.
pub unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: std::ffi::c_int) {
    // What crashed may hold the locks, and memory may be over.
    if for_crash_report == 0 {
        guard::event(ptr::null_mut(), "INFO", || write(ctx));
    }
}

fn write(ctx: *mut raw::RedisModuleInfoCtx) {
    let sum = |count: fn(&Ledger) -> usize| {
        let sum =
            state::all_ledgers(|ledgers| ledgers.values().map(count).fold(0_usize, usize::saturating_add));
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let overdue = overdue();
    let longest = overdue.earliest.map_or(0, |earliest| api::now_ms().saturating_sub(earliest));
    let totals = &state::TOTALS;
    let fields = [
        (c"holds", sum(|ledger| ledger.holds.count())),
        (c"overdue", i64::try_from(overdue.count).unwrap_or(i64::MAX)),
        (c"overdue_ms", longest.max(0)),
        (c"index_ready", i64::from(state::is_index_ready())),
        (c"index_bytes", sum(|ledger| ledger.holds.bytes())),
        (c"reserved_total", totals.reserved.load(Ordering::Relaxed)),
        (c"committed_total", totals.committed.load(Ordering::Relaxed)),
        (c"rolled_back_total", totals.rolled_back.load(Ordering::Relaxed)),
        (c"expired_total", totals.expired.load(Ordering::Relaxed)),
        (c"late_commits_total", totals.late_commits.load(Ordering::Relaxed)),
        (c"alerts_total", totals.alerts.load(Ordering::Relaxed)),
        (c"alerts_held_back_total", totals.alerts_held_back.load(Ordering::Relaxed)),
        (c"repaired_units", totals.repaired_units.load(Ordering::Relaxed)),
        (c"unexplained_units", totals.unexplained_units.load(Ordering::Relaxed)),
        (c"foreign_records", sum(|ledger| ledger.foreign.count())),
        (c"blocked_releases", sum(|ledger| ledger.blocked.count())),
        (c"feed_errors_total", totals.feed_errors.load(Ordering::Relaxed)),
        (c"evicted_counters_total", totals.evicted_counters.load(Ordering::Relaxed)),
        (c"panics_total", totals.panics.load(Ordering::Relaxed)),
        (c"lag_ms", totals.lag_ms.load(Ordering::Relaxed)),
        (c"lag_max_ms", totals.lag_max_ms.load(Ordering::Relaxed)),
    ];
    api::info_section(ctx);
    api::info_text(ctx, c"version", VERSION);
    for (name, value) in fields {
        api::info_number(ctx, name, value);
    }
    write_standing(ctx);
    let refusals = state::refusals();
    for code in Refusal::CODES {
        let count = refusals.get(code).copied().unwrap_or(0);
        if let Ok(name) = CString::new(format!("refused_{}_total", code.to_lowercase())) {
            api::info_number(ctx, &name, count);
        }
    }
}

/// Overdue reservations are counted up to this number: a storm of deadlines can bring more at once, and INFO is to stay within a
/// few milliseconds.
const MOST_COUNTED: usize = 10_000;

/// The reservations of all databases that are past their deadline and not released.
fn overdue() -> Overdue {
    let now = api::now_ms();
    state::all_ledgers(|ledgers| {
        ledgers.values().fold(Overdue::default(), |sum, ledger| {
            let more = ledger.overdue(now, MOST_COUNTED.saturating_sub(sum.count));
            let earliest = sum.earliest.into_iter().chain(more.earliest).min();
            Overdue { count: sum.count.saturating_add(more.count), earliest }
        })
    })
}

/// So many databases are shown one by one: few shops use more than one.
const MOST_DATABASES: usize = 16;

/// Whether the module is alone in each database that it uses, since when, and why not.
fn write_standing(ctx: *mut raw::RedisModuleInfoCtx) {
    let in_use = |(db, ledger): (&state::Db, &Ledger)| ledger.is_in_use().then_some((*db, ledger.standing));
    let standings: Vec<(state::Db, Standing)> =
        state::all_ledgers(|ledgers| ledgers.iter().filter_map(in_use).collect());
    let is_managed = !standings.is_empty() && standings.iter().all(|(_, standing)| standing.is_managed());
    api::info_number(ctx, c"managed", i64::from(is_managed));
    for (db, standing) in standings.iter().take(MOST_DATABASES) {
        let Ok(name) = CString::new(format!("managed_db{db}")) else { continue };
        let reason: &CStr = match standing.ownership() {
            Ownership::Managed => c"none",
            Ownership::Clean => c"none_reserved_yet",
            Ownership::Shared(reason) => reason.word(),
        };
        api::info_standing(ctx, &name, standing.is_managed(), standing.since(), reason);
    }
}

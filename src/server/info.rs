//! `INFO inv`.

use std::ffi::CString;
use std::ptr;
use std::sync::atomic::Ordering;

use redis_module::raw;

use super::{api, guard, state};
use crate::engine::ledger::Ledger;
use crate::inventory::error::Refusal;

/// The server asks for the module's section.
pub unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: std::ffi::c_int) {
    // What crashed may hold the locks, and memory may be over.
    if for_crash_report == 0 {
        guard::event(ptr::null_mut(), "INFO", || write(ctx));
    }
}

fn write(ctx: *mut raw::RedisModuleInfoCtx) {
    let sum = |count: fn(&Ledger) -> usize| {
        let sum = state::ledgers(|ledgers| ledgers.values().map(count).fold(0_usize, usize::saturating_add));
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let totals = &state::TOTALS;
    let fields = [
        (c"holds", sum(Ledger::live_count)),
        (c"index_ready", i64::from(state::is_index_ready())),
        (c"index_bytes", sum(Ledger::bytes)),
        (c"reserved_total", totals.reserved.load(Ordering::Relaxed)),
        (c"committed_total", totals.committed.load(Ordering::Relaxed)),
        (c"rolled_back_total", totals.rolled_back.load(Ordering::Relaxed)),
        (c"expired_total", totals.expired.load(Ordering::Relaxed)),
        (c"late_commits_total", totals.late_commits.load(Ordering::Relaxed)),
        (c"alerts_total", totals.alerts.load(Ordering::Relaxed)),
        (c"alerts_held_back_total", totals.alerts_held_back.load(Ordering::Relaxed)),
        (c"repaired_units", totals.repaired_units.load(Ordering::Relaxed)),
        (c"unexplained_units", totals.unexplained_units.load(Ordering::Relaxed)),
        (c"foreign_records", sum(Ledger::foreign_count)),
        (c"evicted_counters_total", totals.evicted_counters.load(Ordering::Relaxed)),
        (c"panics_total", totals.panics.load(Ordering::Relaxed)),
        (c"lag_ms", totals.lag_ms.load(Ordering::Relaxed)),
        (c"lag_max_ms", totals.lag_max_ms.load(Ordering::Relaxed)),
    ];
    api::info_section(ctx);
    for (name, value) in fields {
        api::info_number(ctx, name, value);
    }
    let refusals = state::refusals();
    for code in Refusal::CODES {
        let count = refusals.get(code).copied().unwrap_or(0);
        if let Ok(name) = CString::new(format!("refused_{}_total", code.to_lowercase())) {
            api::info_number(ctx, &name, count);
        }
    }
}

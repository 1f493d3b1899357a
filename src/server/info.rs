//! `INFO inv`.

use std::ffi::CString;
use std::sync::atomic::Ordering;

use redis_module::raw;

use super::{api, state};

/// The server asks for the module's section.
pub unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, _for_crash_report: std::ffi::c_int) {
    let (holds, foreign) = state::ledgers(|ledgers| {
        ledgers.values().fold((0_usize, 0_usize), |(holds, foreign), ledger| {
            (holds.saturating_add(ledger.live_count()), foreign.saturating_add(ledger.foreign_count()))
        })
    });
    let totals = &state::TOTALS;
    let fields = [
        (c"holds", i64::try_from(holds).unwrap_or(i64::MAX)),
        (c"reserved_total", totals.reserved.load(Ordering::Relaxed)),
        (c"committed_total", totals.committed.load(Ordering::Relaxed)),
        (c"rolled_back_total", totals.rolled_back.load(Ordering::Relaxed)),
        (c"expired_total", totals.expired.load(Ordering::Relaxed)),
        (c"alerts_total", totals.alerts.load(Ordering::Relaxed)),
        (c"alerts_held_back_total", totals.alerts_held_back.load(Ordering::Relaxed)),
        (c"unexplained_units", totals.unexplained_units.load(Ordering::Relaxed)),
        (c"foreign_records", i64::try_from(foreign).unwrap_or(i64::MAX)),
        (c"lag_ms", totals.lag_ms.load(Ordering::Relaxed)),
        (c"lag_max_ms", totals.lag_max_ms.load(Ordering::Relaxed)),
    ];
    api::info_section(ctx);
    for (name, value) in fields {
        api::info_number(ctx, name, value);
    }
    for (code, count) in state::refusals() {
        if let Ok(name) = CString::new(format!("refused_{}_total", code.to_lowercase())) {
            api::info_number(ctx, &name, count);
        }
    }
}

//! Writes the module's section of INFO.

use std::ffi::{CStr, CString};

use super::api::ctx::now_ms;
use super::api::info::{InfoCtx, InfoWriter};
use super::guard;
use super::ledgers::Db;
use super::state::Module;
use super::version::VERSION;
use crate::inventory::refusal::Refusal;
use crate::ledger::Ledger;
use crate::ledger::holds::Overdue;
use crate::ledger::standing::{Ownership, Standing};

/// The writer of the section.
pub struct Section;

impl InfoWriter for Section {
    fn write(info: InfoCtx<'_>, is_for_crash_report: bool) {
        // The crash may have happened while the state was borrowed, or because memory ran out.
        if !is_for_crash_report {
            let module = &Module::current();
            let _ = guard::caught(module, None, "INFO", || write(info, module));
        }
    }
}

fn write(info: InfoCtx<'_>, module: &Module) {
    let sum = |count: fn(&Ledger) -> usize| {
        let ledgers = module.ledgers.borrow();
        let sum = ledgers.all().values().map(count).fold(0_usize, usize::saturating_add);
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    let overdue = overdue(module);
    let longest = overdue.earliest.map_or(0, |earliest| now_ms().saturating_sub(earliest));
    let totals = &module.totals;
    let fields = [
        (c"holds", sum(|ledger| ledger.holds.count())),
        (c"overdue", i64::try_from(overdue.count).unwrap_or(i64::MAX)),
        (c"overdue_ms", longest.max(0)),
        (c"index_ready", i64::from(module.is_index_ready())),
        (c"index_bytes", sum(|ledger| ledger.holds.bytes())),
        (c"reserved_total", totals.reserved.get()),
        (c"committed_total", totals.committed.get()),
        (c"rolled_back_total", totals.rolled_back.get()),
        (c"expired_total", totals.expired.get()),
        (c"replaced_total", totals.replaced.get()),
        (c"late_commits_total", totals.late_commits.get()),
        (c"alerts_total", totals.alerts.get()),
        (c"alerts_held_back_total", totals.alerts_held_back.get()),
        (c"repaired_units", totals.repaired_units.get()),
        (c"unexplained_units", totals.unexplained_units.get()),
        (c"drift_skus", sum(|ledger| ledger.comparison.drifting().len())),
        (c"drift_units", drift_units(module)),
        (c"verified_at", module.rounds.verified_at.get()),
        (c"foreign_records", sum(|ledger| ledger.foreign.count())),
        (c"blocked_releases", sum(|ledger| ledger.blocked.count())),
        (c"feed_errors_total", totals.feed_errors.get()),
        (c"evicted_counters_total", totals.evicted_counters.get()),
        (c"panics_total", totals.panics.get()),
        (c"lag_ms", totals.lag_ms.get()),
        (c"lag_max_ms", totals.lag_max_ms.get()),
    ];
    info.section();
    info.text(c"version", VERSION);
    for (name, value) in fields {
        info.number(name, value);
    }
    write_standing(info, module);
    for code in Refusal::CODES {
        let count = module.totals.refused.borrow().get(code).copied().unwrap_or(0);
        if let Ok(name) = CString::new(format!("refused_{}_total", code.to_lowercase())) {
            info.number(&name, count);
        }
    }
}

/// The units by which reserved counters differ from what is held, in all databases.
fn drift_units(module: &Module) -> i64 {
    let ledgers = module.ledgers.borrow();
    ledgers.all().values().map(|ledger| ledger.comparison.drifting_units()).fold(0, i64::saturating_add)
}

/// The maximum number of overdue reservations that are counted: many deadlines can pass at once, and INFO must answer
/// within a few milliseconds.
const MOST_COUNTED: usize = 10_000;

/// The overdue reservations of all databases: those that are past their deadline and not released yet.
fn overdue(module: &Module) -> Overdue {
    let now = now_ms();
    module.ledgers.borrow().all().values().fold(Overdue::default(), |sum, ledger| {
        let more = ledger.overdue(now, MOST_COUNTED.saturating_sub(sum.count));
        let earliest = sum.earliest.into_iter().chain(more.earliest).min();
        Overdue { count: sum.count.saturating_add(more.count), earliest }
    })
}

/// The maximum number of databases that are shown one by one. Few shops use more than one.
const MOST_DATABASES: usize = 16;

/// Writes for each database in use whether it is managed by the module alone, since when, and if not, why.
fn write_standing(info: InfoCtx<'_>, module: &Module) {
    let in_use = |(db, ledger): (&Db, &Ledger)| ledger.is_in_use().then_some((*db, ledger.standing));
    let standings: Vec<(Db, Standing)> = module.ledgers.borrow().all().iter().filter_map(in_use).collect();
    let is_managed = !standings.is_empty() && standings.iter().all(|(_, standing)| standing.is_managed());
    info.number(c"managed", i64::from(is_managed));
    let in_cluster = module.server.get().in_cluster;
    for (db, standing) in standings.iter().take(MOST_DATABASES) {
        let Ok(name) = CString::new(format!("managed_db{db}")) else { continue };
        let reason: &CStr = match standing.ownership() {
            Ownership::Managed => c"none",
            Ownership::Clean if in_cluster => c"cluster",
            Ownership::Clean => c"none_reserved_yet",
            Ownership::Shared(reason) => reason.word(),
        };
        info.standing(&name, standing.is_managed(), standing.since(), reason);
    }
}

//! Runs the continuous audit: rounds over all reserved counters of all databases, a short slice in each turn of the cron.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::api::ctx::{Ctx, now_ms};
use super::config;
use super::keyspace::ServerKeyspace;
use super::ledgers::Db;
use super::role::may_write;
use super::state::{Module, Rounds, RunningRound};
use crate::engine::verify::Round;

/// The shortest time from the beginning of a round to the beginning of the next. Small data sets need no more.
const PAUSE: Duration = Duration::from_secs(10);

/// The share of the sweep's budget that a slice of a round takes. By default this is half a millisecond in each turn of the
/// cron, or 0.5% of the time.
const SHARE: u32 = 4;

impl Rounds {
    /// Gives up the round that is in progress, because the databases have changed.
    pub fn begin_again(&self) {
        self.running.set(None);
        self.next_at.set(None);
    }

    /// The same for another data set, of which nothing is verified.
    pub fn stop(&self) {
        self.begin_again();
        self.verified_at.set(0);
    }
}

/// Continues the round, or begins the next if it is time. A shop in which deadlines pass all the time always has something
/// more urgent to do, so this does not wait for that.
pub fn advance(ctx: Ctx<'_>, module: &Module) {
    #[cfg(feature = "faults")]
    if super::faults::NO_AUDIT.load(std::sync::atomic::Ordering::Relaxed) != 0 {
        return;
    }
    if !may_write(ctx) {
        return;
    }
    let begun = Instant::now();
    // The round is taken out of the state, so that handlers which the server calls meanwhile cannot change it.
    let Some(mut running) = module.rounds.running.take().or_else(|| begin(module, begun)) else { return };
    let length = config::sweep_budget().checked_div(SHARE).unwrap_or_default();
    let selected = ctx.selected_db();
    while let Some(db) = running.databases.front().copied() {
        let is_over = !ctx.select_db(db)
            || running.at.advance(&mut ServerKeyspace::new(ctx, module), || begun.elapsed() >= length);
        if !is_over {
            ctx.select_db(selected);
            module.rounds.running.set(Some(running));
            return;
        }
        running.at = Round::default();
        running.databases.pop_front();
    }
    ctx.select_db(selected);
    module.rounds.verified_at.set(now_ms());
}

/// Begins a round over all databases of which the module has heard, if it is time. Where nothing is held, a counter may still
/// say that something is.
fn begin(module: &Module, now: Instant) -> Option<RunningRound> {
    let rounds = &module.rounds;
    let is_time = rounds.next_at.get().is_some_and(|at| now >= at);
    if is_time || rounds.next_at.get().is_none() {
        rounds.next_at.set(now.checked_add(PAUSE));
    }
    if !is_time {
        return None;
    }
    let databases: VecDeque<Db> = module.ledgers.borrow().databases().into();
    Some(RunningRound { databases, at: Round::default() })
}

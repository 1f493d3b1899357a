//! Which calls were answered by the same data: a *stint* of a shop is the time between two failovers that may forget something.
//!
//! The stints of a shop are numbered from 0. A master that was cut off still answers in its old stint, while the next one has
//! begun elsewhere.

use crate::record::{Call, Durability, Failover, FeedId, History, Moment, Move};

use super::contract::{NEVER, Times};

/// The failovers of one shop.
pub struct Stints<'a> {
    pub failovers: Vec<&'a Failover>,
    shop: &'a str,
}

impl<'a> Stints<'a> {
    pub fn of(history: &'a History, shop: &'a str) -> Self {
        let failovers =
            history.failovers.iter().filter(|failover| failover.last.contains_key(shop)).collect();
        Self { failovers, shop }
    }

    pub fn count(&self) -> usize {
        self.failovers.len() + 1
    }

    /// The stint in which a call was answered, or to which it was sent.
    pub fn of_call(&self, call: &Call) -> usize {
        let is_before = |failover: &&Failover| {
            if call.server == failover.from && failover.from == failover.to {
                // It has restarted. A connection does not survive that.
                call.start <= failover.over
            } else if call.server == failover.from {
                call.start <= failover.over
            } else if call.server == failover.to {
                call.end < failover.promoted
            } else {
                call.start <= failover.promoted
            }
        };
        self.failovers.iter().position(is_before).unwrap_or(self.failovers.len())
    }

    /// The stint at a moment without a failover.
    pub fn at(&self, moment: Moment) -> usize {
        self.failovers.iter().filter(|failover| failover.promoted <= moment).count()
    }

    /// The stint from which an entry of the feed comes.
    pub fn of_entry(&self, id: FeedId) -> usize {
        let is_before = |failover: &&Failover| failover.last.get(self.shop).is_some_and(|last| id <= *last);
        self.failovers.iter().position(is_before).unwrap_or(self.failovers.len())
    }

    /// Whether a call without an answer may still take effect in this stint, which is not the one to which it was sent: it may
    /// have been on its way to a server that became master again.
    pub fn may_reach(&self, call: &Call, stint: usize) -> bool {
        let own = self.of_call(call);
        let Some(failover) = stint.checked_sub(1).and_then(|before| self.failovers.get(before)) else {
            return false;
        };
        // A server that has restarted has lost its connections.
        let has_restarted = self.failovers.iter().any(|other| {
            other.from == call.server
                && (other.from == other.to || other.what.contains("killed"))
                && other.over >= call.start
        });
        stint > own && failover.to == call.server && !has_restarted
    }

    /// Whether the end of a stint may forget answers that its clients did not ask to be confirmed.
    pub fn may_forget(&self, stint: usize, durability: Durability) -> bool {
        match self.failovers.get(stint) {
            // A server that is started again has its file: all of it after a kill, and after a power failure what was synced.
            Some(failover) if failover.from == failover.to => durability != Durability::Always,
            Some(_) => true,
            None => false,
        }
    }
}

/// For how long a server may still use what its clock showed before it was set, in us. A server reads the time when an
/// iteration of its event loop begins, and on a busy machine it may be stopped between that and a command.
const STALE: Moment = 100_000;

/// What the clocks of the servers showed.
pub struct Clocks<'a> {
    history: &'a History,
}

impl<'a> Clocks<'a> {
    pub fn of(history: &'a History) -> Self {
        Self { history }
    }

    /// The smallest and the largest offset of a server's clock between two moments.
    fn offsets(&self, server: Option<&str>, from: Moment, to: Moment) -> (i64, i64) {
        let mut range = (0, 0);
        let mut servers: Vec<&String> = self.history.clocks.iter().map(|clock| &clock.server).collect();
        servers.sort();
        servers.dedup();
        for name in servers.into_iter().filter(|name| server.is_none_or(|server| *name == server)) {
            let own: Vec<_> = self.history.clocks.iter().filter(|clock| clock.server == *name).collect();
            for (number, clock) in own.iter().enumerate() {
                let until = own.get(number + 1).map_or(Moment::MAX, |next| next.end.saturating_add(STALE));
                if clock.start <= to && until >= from {
                    range = (range.0.min(clock.offset), range.1.max(clock.offset));
                }
            }
        }
        range
    }

    /// How much later or earlier the deadlines may be after a move.
    pub fn shift(&self, moved: &Move) -> (i64, i64) {
        let way = i64::try_from((moved.end - moved.start) / 1000 + 1).unwrap_or(NEVER);
        let from = self.offsets(Some(&moved.from), moved.start, moved.end);
        let to = self.offsets(Some(&moved.to), moved.start, moved.end);
        (to.0 - from.1, to.1 - from.0 + way)
    }

    /// When this call was carried out, by the clock of its server.
    pub fn times(&self, call: &Call, is_unknown: bool) -> Times {
        if is_unknown {
            let least = self.offsets(None, call.start, Moment::MAX).0;
            return Times { now: (call.wall.0 + least, NEVER), latest: NEVER };
        }
        let own = self.offsets(Some(&call.server), call.start, call.end);
        let ever = self.offsets(None, 0, call.end).1;
        Times { now: (call.wall.0 + own.0, call.wall.1 + own.1), latest: call.wall.1 + ever }
    }
}

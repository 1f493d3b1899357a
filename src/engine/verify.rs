//! The continuous audit: compares every reserved counter with what is held, again and again, a few at a time.
//!
//! Events, commands and loads compare a counter when it changes. The continuous audit finds what they cannot see: a fault of
//! the module, of the server, or of the data. It changes nothing but the ledger, except that a clean round lets the mark
//! return.

use super::audit::AuditCursor;
use super::keyspace::Keyspace;
use super::load_repair;
use crate::inventory::sku::Sku;

/// The progress of a round in one database.
#[derive(Clone, Debug)]
pub struct Round {
    /// Where the walk over all skus continues, or `None` after its end.
    at: Option<AuditCursor>,
    /// The last of the drifting skus that was compared since the end of the walk. The walk may not have met those that
    /// had drift before, because nothing is left of them.
    drifting: Option<Sku>,
    /// Whether a reserved counter was not an integer, so that it is not known what it says.
    has_unreadable: bool,
}

impl Default for Round {
    fn default() -> Self {
        Self { at: Some(AuditCursor::START), drifting: None, has_unreadable: false }
    }
}

impl Round {
    /// Continues the round until it ends or `time_is_up`. Returns whether it has ended: every counter was compared, except
    /// those whose slots are moving. Call it only on a master that may write now.
    pub fn advance<K: Keyspace>(&mut self, keys: &mut K, mut time_is_up: impl FnMut() -> bool) -> bool {
        // What a record that another client has written holds is known only after it was looked at. Units that wait to be
        // returned are held until then, in the ledger as in the counters.
        if !keys.ledger(|ledger| ledger.is_complete() && !ledger.notes.has_touched()) {
            return false;
        }
        while let Some(at) = self.at {
            let Ok(step) = at.step(keys) else {
                *self = Self::default();
                return false;
            };
            for sku in step.skus {
                self.has_unreadable |= !compare(keys, &sku);
            }
            self.at = step.next;
            if time_is_up() {
                return false;
            }
        }
        while let Some(sku) =
            keys.ledger(|ledger| ledger.comparison.drifting_after(self.drifting.as_ref()).cloned())
        {
            self.has_unreadable |= !compare(keys, &sku);
            self.drifting = Some(sku);
            if time_is_up() {
                return false;
            }
        }
        let now = keys.now();
        if !self.has_unreadable {
            keys.ledger(|ledger| ledger.end_readable_round(now));
        }
        if keys.ledger(|ledger| ledger.holds.count() > 0) {
            load_repair::mark(keys);
        }
        true
    }
}

/// Compares a reserved counter with what is held. Returns whether it could be read.
fn compare<K: Keyspace>(keys: &mut K, sku: &Sku) -> bool {
    // The counters of a quota may be deleted while it is held.
    if sku.is_quota() || !keys.is_slot_stable(sku.product()) {
        return true;
    }
    let known = keys.ledger(|ledger| ledger.comparison.drift_of(sku));
    let Some(drift) = load_repair::compare(keys, sku) else { return false };
    if drift != 0 && known != drift && keys.ledger(|ledger| ledger.is_alone()) {
        keys.report(&format!(
            "{sku}: the continuous audit found drift {drift}, which is the units reserved minus those that reservations hold"
        ));
    }
    true
}

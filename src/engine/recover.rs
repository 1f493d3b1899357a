//! How memory is rebuilt from the keys: after a load, and when the module is loaded into a running server.

use super::ledger::{Ledger, Touched};
use crate::inventory::quantity::UnixMs;
use crate::inventory::reservation::Record;
use crate::inventory::sku::{Key, KeyStyle, ReservationId, Watched};

/// One walk over the keys of a database. The walk sees a key as it is stored, also one that is due and would go, or
/// read as absent, if it were opened: so no due reservation is missed.
#[derive(Debug)]
pub struct Walk {
    now: UnixMs,
    style: KeyStyle,
    /// Ids that have ended: a record under one of them is foreign. Which of the two keys the walk meets first is not
    /// known, so they are compared at its end.
    ended: Vec<ReservationId>,
    /// Ids whose outcome lies there with its time over: a job must not write over it.
    forgotten: Vec<ReservationId>,
}

impl Walk {
    /// A walk at this moment.
    pub fn new(now: UnixMs, style: KeyStyle) -> Self {
        Self { now, style, ended: Vec::new(), forgotten: Vec::new() }
    }

    /// Takes one key in. `read` gives its string, if it is one, and its TTL; it is called for few keys only.
    pub fn meet<'a>(
        &mut self,
        ledger: &mut Ledger,
        name: &[u8],
        watched: Watched,
        read: impl FnOnce() -> (Option<&'a [u8]>, Option<UnixMs>),
    ) {
        match watched {
            Watched::Reservation(Some(id)) => {
                if ledger.is_foreign(name) {
                    // Found to be so before: a walk must not adopt it.
                    return;
                }
                let (value, ttl) = read();
                match value.and_then(|json| Record::from_json(&id, json, self.style)) {
                    Some(record) => ledger.enter(&record, ttl.unwrap_or(record.expires_at)),
                    None => ledger.enter_foreign(name),
                }
            }
            Watched::Reservation(None) => ledger.enter_foreign(name),
            Watched::Threshold(product) => ledger.touch(Touched::Threshold(product)),
            Watched::Alert(product, at) => ledger.touch(Touched::Alert(product, at)),
            Watched::Outcome(id) => {
                let (_, ttl) = read();
                if ttl.is_none_or(|until| self.now <= until) {
                    self.ended.push(id);
                } else {
                    self.forgotten.push(id);
                }
            }
            Watched::Reserved(sku) => ledger.to_check(sku),
            Watched::Managed => ledger.set_managed(true),
            Watched::Available => {}
        }
    }

    /// The walk is over: records whose id has ended are not ours.
    pub fn finish(self, ledger: &mut Ledger) {
        for id in &self.forgotten {
            ledger.doubt(id);
        }
        for id in self.ended {
            if ledger.deadline(&id).is_some() {
                ledger.leave(&id);
                ledger.enter_foreign(Key::Reservation(&id).name(self.style).as_bytes());
            }
        }
    }
}

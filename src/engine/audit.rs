//! `INV.AUDIT`, `INV.AUDITSCAN`, `INV.REPAIR`: what a reserved counter says, against what reservations hold.
//!
//! **Invariant:** what live, overdue, pending and remembered reservations hold is not drift. So an audit, a repair,
//! a DEL by another client and the deadline return a unit once, in whatever order they come.

use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::keyspace::{Keyspace, Reading, Tally, counter};
use super::places::{self, Standing};
use super::shelves::{self, Units};
use super::sweep::require_index;
use super::{alerts, feed, sweep};
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::key::{Counted, Key};
use crate::inventory::refusal::{Objections, Refusal, both};
use crate::inventory::sku::Sku;

/// A sku's reserved counter beside what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Of which sku.
    pub sku: Sku,
    /// What the counter says.
    pub reserved: i64,
    /// What reservations hold.
    pub held: i64,
}

impl Audit {
    /// Units in the counter that nothing holds; negative: units held that the counter does not have.
    pub fn drift(&self) -> i64 {
        self.reserved.saturating_sub(self.held)
    }
}

/// Compares one sku. `TRYAGAIN` until every live reservation is known.
pub fn audit<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Audit, Refusal> {
    sweep::look_at_touched(keys, || false);
    require_index(keys)?;
    let reserved = counter(keys, Key::Reserved(sku))?;
    let held = keys.ledger(|ledger| ledger.holds.held_by_others(sku, 0));
    Ok(Audit { sku: sku.clone(), reserved, held })
}

/// The same for one who asks about a sku, with its stray units; `None` if there is no such sku. `ERR` for the name of a product
/// that is kept in warehouses, where its places are what counts. If it has units under its own name, they are stray, and told.
pub fn look_at<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Option<Finding>, Refusal> {
    let audit = audit(keys, sku)?;
    if audit.held == 0 && places::standing(keys, sku)? == Standing::OwnName {
        let own = shelves::units_of(keys, sku)?.unwrap_or_default();
        if own == Units::default() {
            return Err(places::name_places(keys, sku));
        }
    }
    if !shelves::is_known(keys, sku) {
        return Ok(None);
    }
    let stray = shelves::stray(keys, sku)?;
    Ok(Some(Finding { audit, stray }))
}

/// Returns a positive drift to available; takes a negative one from available as far as that goes, and reports the rest.
/// Gives the comparison as it was before; `None` if there is no such sku. `FOREIGN` for a positive drift, unless `force`, if the
/// module is not alone in this database: another program may hold these units.
pub fn repair<K: Keyspace>(keys: &mut K, sku: &Sku, force: bool) -> Result<Option<Audit>, Refusal> {
    sweep::catch_up(keys);
    let found = look_at(keys, sku);
    let available = keys.read_counter(Key::Available(sku));
    let (found, units) = both(found, available.clone().units(Key::Available(sku), keys.style()))?;
    let Some(Finding { audit, .. }) = found else { return Ok(None) };
    let drift = audit.drift();
    // What another client has written in the transaction at hand is judged at its end.
    let is_alone =
        !keys.in_cluster() && keys.ledger(|ledger| ledger.is_alone() && !ledger.comparison.is_written(sku));
    let mut objections = Objections::default();
    if drift > 0 && !is_alone && !force {
        objections.add(Refusal::ForeignHere { sku: sku.clone(), units: drift });
    }
    if units.checked_add(drift.max(0)).is_none() {
        objections.add(Refusal::Overflow { sku: sku.clone(), counter: "available" });
    }
    objections.unless_any(())?;
    // After this point nothing may fail.
    let back = drift.max(units.max(0).saturating_neg());
    if back != 0 {
        let effect = Effect::Units { sku: sku.clone(), available: back, reserved: back.saturating_neg() };
        keys.ledger(|ledger| ledger.comparison.set_drift(sku, drift.saturating_sub(back)));
        Change {
            writes: Writes::Effects(vec![effect]),
            cause: Cause::Units(feed::Event::Repaired, vec![(sku, back)]),
            moves: alerts::Moves::of(sku, &available, back),
            tally: Some((Tally::RepairedUnits, back.max(0))),
        }
        .carry_out(keys);
        keys.report(&format!("{sku}: INV.REPAIR moved {back} units from reserved to available"));
    }
    if back != drift {
        keys.report(&format!(
            "{sku}: reservations hold {} units that are neither reserved nor available",
            back.saturating_sub(drift)
        ));
    }
    Ok(Some(audit))
}

/// Where a walk over all skus goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditCursor {
    /// Among the counters, at this cursor of the server.
    Counters(u64),
    /// Among the skus of which something is held, at this number: those that have no counter.
    Held(u32),
}

impl AuditCursor {
    /// The beginning.
    pub const START: Self = Self::Counters(0);

    /// Reads a cursor: `0`, or what an earlier answer said.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_at_checked(1)? {
            ("c", number) => number.parse().ok().map(Self::Counters),
            ("h", number) => number.parse().ok().map(Self::Held),
            _ => (text == "0").then_some(Self::START),
        }
    }

    /// How an answer spells it.
    pub fn spell(self) -> String {
        match self {
            Self::Counters(number) => format!("c{number}"),
            Self::Held(number) => format!("h{number}"),
        }
    }
}

/// A sku that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its reserved counter beside what is held.
    pub audit: Audit,
    /// Its units that count for nothing: see [`shelves::stray`].
    pub stray: i64,
}

/// A page of a walk over all skus.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// Where it goes on; `None` at the end.
    pub next: Option<AuditCursor>,
    /// The skus that drift, or have stray units.
    pub found: Vec<Finding>,
}

/// How many keys are looked at for a page, found or not.
const KEYS_A_PAGE: usize = 2048;

/// The next page of a walk over all skus that lists those that drift and those that have stray units: it ends after
/// `count` of them, or when it has looked long enough. Counters that are no integers are passed over. `may_see` says which
/// skus the caller may see.
pub fn audit_scan<K: Keyspace>(
    keys: &mut K,
    cursor: AuditCursor,
    count: usize,
    may_see: impl Fn(&Sku) -> bool,
) -> Result<AuditPage, Refusal> {
    const STEP: usize = 128;
    sweep::look_at_touched(keys, || false);
    require_index(keys)?;
    let mut page = AuditPage { next: Some(cursor), found: Vec::new() };
    let mut looked_at = 0_usize;
    while looked_at < KEYS_A_PAGE && page.found.len() < count {
        let (skus, next) = match page.next {
            None => break,
            Some(AuditCursor::Counters(at)) => {
                let (next, counters) = keys.counters(at, STEP)?;
                looked_at = looked_at.saturating_add(STEP.max(counters.len()));
                let skus = counters.into_iter().filter_map(|counter| to_look_at(keys, counter)).collect();
                (skus, if next == 0 { AuditCursor::Held(0) } else { AuditCursor::Counters(next) })
            }
            Some(AuditCursor::Held(at)) => {
                let found =
                    keys.ledger(|ledger| ledger.holds.held_sku(at).map(|(at, sku)| (at, sku.clone())));
                let Some((at, sku)) = found else {
                    page.next = None;
                    break;
                };
                looked_at = looked_at.saturating_add(1);
                let is_counted = keys.peek(Key::Reserved(&sku)) != Reading::Absent;
                let next = AuditCursor::Held(at.saturating_add(1));
                (if is_counted { Vec::new() } else { vec![sku] }, next)
            }
        };
        page.next = Some(next);
        for sku in skus {
            // What cannot be read is passed over: INV.AUDIT of the sku says why.
            let (Ok(audit), Ok(stray)) = (audit(keys, &sku), shelves::stray(keys, &sku)) else { continue };
            if (audit.drift() != 0 || stray != 0)
                && may_see(&sku)
                && keys.slot_state(sku.product()) == SlotState::Stable
            {
                page.found.push(Finding { audit, stray });
            }
        }
    }
    Ok(page)
}

/// The sku that a walk over the counters looks at here. One that has both is met twice, and looked at once; one of which
/// units are held without a reserved counter comes later.
fn to_look_at<K: Keyspace>(keys: &mut K, counter: Counted) -> Option<Sku> {
    match counter {
        Counted::Reserved(sku) => Some(sku),
        Counted::Available(sku) => {
            let is_counted = keys.peek(Key::Reserved(&sku)) != Reading::Absent;
            let is_held = keys.ledger(|ledger| ledger.holds.held_by_others(&sku, 0)) > 0;
            (!is_counted && !is_held).then_some(sku)
        }
    }
}

//! `INV.AUDIT`, `INV.AUDITSCAN` and `INV.REPAIR`: comparing reserved counters with what reservations hold.
//!
//! **Invariant:** units held by live, overdue, pending and remembered reservations are not drift. An audit, a repair, a
//! DEL by another client and the deadline therefore return a unit only once, in whatever order they happen.

use super::bounds::floor_of;
use super::change::{Cause, Change, Writes};
use super::effects::Effect;
use super::keyspace::{Keyspace, Reading, Tally, counter};
use super::places::{self, Standing};
use super::shelves;
use super::sweep::require_index;
use super::{alerts, feed, limits, sweep};
use crate::inventory::cluster_slot::SlotState;
use crate::inventory::key::{Counted, Key};
use crate::inventory::refusal::{Objections, Refusal, both};
use crate::inventory::sku::Sku;

/// The reserved counter of a sku, compared with what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The sku.
    pub sku: Sku,
    /// The value of the reserved counter.
    pub reserved: i64,
    /// The units that reservations hold.
    pub held: i64,
}

impl Audit {
    /// The units in the counter that no reservation holds. If negative, the units that are held but missing from the
    /// counter.
    pub fn drift(&self) -> i64 {
        self.reserved.saturating_sub(self.held)
    }
}

/// Compares the reserved counter of one sku.
///
/// # Errors
///
/// [`Refusal::TryAgain`] until every live reservation is known, and `WRONGTYPE` if the counter is not an integer.
pub fn audit<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Audit, Refusal> {
    require_index(keys)?;
    let reserved = counter(keys, Key::Reserved(sku))?;
    let held = keys.ledger(|ledger| ledger.holds.held_by_others(sku, 0));
    Ok(Audit { sku: sku.clone(), reserved, held })
}

/// Compares one sku and finds its stray units, for a caller that asks about this sku. Returns `None` if the sku is
/// unknown.
///
/// A product that is kept in warehouses has no units under its own name. If there are any, they are reported as stray.
///
/// # Errors
///
/// `ERR` if the sku is the name of a product that is kept in warehouses and nothing is stored under that name. The
/// message lists the skus to ask for instead.
pub fn look_at<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Option<Finding>, Refusal> {
    let audit = audit(keys, sku)?;
    if audit.held == 0 && places::standing(keys, sku)? == Standing::OwnName {
        let own = shelves::units_of(keys, sku)?.unwrap_or_default();
        if (own.available, own.reserved) == (0, 0) {
            return Err(places::name_places(keys, sku));
        }
    }
    if !shelves::is_known(keys, sku) {
        return Ok(None);
    }
    let stray = shelves::stray(keys, sku)?;
    Ok(Some(Finding { audit, stray }))
}

/// Repairs the reserved counter of a sku. Positive drift is returned to available. Negative drift is taken from
/// available, which may become negative: then so many units are promised that do not exist.
///
/// Returns the comparison from before the repair, or `None` if the sku is unknown.
///
/// # Errors
///
/// `FOREIGN` for positive drift if another program may hold the units, unless `force` is set.
pub fn repair<K: Keyspace>(keys: &mut K, sku: &Sku, force: bool) -> Result<Option<Audit>, Refusal> {
    sweep::catch_up(keys);
    let found = look_at(keys, sku);
    let available = keys.read_counter(Key::Available(sku));
    let (found, units) = both(found, available.clone().units(Key::Available(sku), keys.style()))?;
    let Some(Finding { audit, .. }) = found else { return Ok(None) };
    // The repair does not depend on the floor, so it does not matter whether the floor can be read.
    let floor = floor_of(keys, sku).unwrap_or_default();
    let drift = audit.drift();
    // A counter that another client has written in the current transaction is judged when the transaction ends.
    let is_alone =
        !keys.in_cluster() && keys.ledger(|ledger| ledger.is_alone() && !ledger.comparison.is_written(sku));
    let mut objections = Objections::default();
    // No other program holds units in the quota of a buyer.
    if drift > 0 && !is_alone && !force && !sku.is_quota() {
        objections.add(Refusal::ForeignHere { sku: sku.clone(), units: drift });
    }
    if units.checked_add(drift).is_none() || drift == i64::MIN {
        objections.add(Refusal::Overflow { sku: sku.clone(), counter: "available" });
    }
    objections.unless_any(())?;
    // After this point nothing may fail.
    if sku.is_quota() {
        let effects = limits::repair_quota(sku, units, audit.held, drift);
        if !effects.is_empty() {
            Change::of(effects).carry_out(keys);
        }
        return Ok(Some(audit));
    }
    if drift != 0 {
        let effect = Effect::Units { sku: sku.clone(), available: drift, reserved: drift.saturating_neg() };
        keys.ledger(|ledger| ledger.comparison.set_drift(sku, 0));
        Change {
            writes: Writes::Effects(vec![effect]),
            cause: Cause::Units(feed::Event::Repaired, vec![(sku, drift)], None),
            moves: alerts::Moves::of(sku, &available, drift),
            tally: Some((Tally::RepairedUnits, drift.max(0))),
        }
        .carry_out(keys);
        keys.report(&format!("{sku}: INV.REPAIR moved {drift} units from reserved to available"));
    }
    let left = units.saturating_add(drift);
    let below = left.saturating_sub(floor.min(0));
    if drift < 0 && below < 0 {
        keys.report(&format!(
            "{sku}: reservations hold {} more units than there are",
            below.saturating_neg()
        ));
    }
    Ok(Some(audit))
}

/// The position of a walk over all skus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditCursor {
    /// Among the counters, at this cursor of the server's SCAN.
    Counters(u64),
    /// Among the skus of which units are held, at this index. This part of the walk finds the skus without a reserved
    /// counter.
    Held(u32),
}

impl AuditCursor {
    /// The start of a walk.
    pub const START: Self = Self::Counters(0);

    /// Reads a cursor: `0`, or the cursor of an earlier page. Returns `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_at_checked(1)? {
            ("c", number) => number.parse().ok().map(Self::Counters),
            ("h", number) => number.parse().ok().map(Self::Held),
            _ => (text == "0").then_some(Self::START),
        }
    }

    /// The text of the cursor, as a page contains it.
    pub fn spell(self) -> String {
        match self {
            Self::Counters(number) => format!("c{number}"),
            Self::Held(number) => format!("h{number}"),
        }
    }
}

/// A sku whose counters are wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The reserved counter, compared with what is held.
    pub audit: Audit,
    /// The stray units; see [`shelves::stray`].
    pub stray: i64,
}

/// One page of a walk over all skus.
#[derive(Clone, Debug)]
pub struct AuditPage {
    /// The position of the next page, or `None` at the end.
    pub next: Option<AuditCursor>,
    /// The skus that have drift or stray units.
    pub found: Vec<Finding>,
}

/// The number of keys that are examined for one page, whether they are listed or not.
const KEYS_A_PAGE: usize = 2048;

/// Returns the next page of a walk that finds all skus with drift or stray units.
///
/// The page ends after about `count` findings or 2048 examined keys. Counters that are not integers are skipped.
/// `may_see` decides which skus the caller may see.
pub fn audit_scan<K: Keyspace>(
    keys: &mut K,
    cursor: AuditCursor,
    count: usize,
    may_see: impl Fn(&Sku) -> bool,
) -> Result<AuditPage, Refusal> {
    require_index(keys)?;
    let mut page = AuditPage { next: Some(cursor), found: Vec::new() };
    let mut examined = 0_usize;
    while let Some(at) = page.next
        && examined < KEYS_A_PAGE
        && page.found.len() < count
    {
        let step = at.step(keys)?;
        examined = examined.saturating_add(step.examined);
        page.next = step.next;
        for sku in step.skus {
            // A sku that cannot be read is skipped. INV.AUDIT of that sku explains why.
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

/// One step of a walk over all skus.
pub(super) struct AuditStep {
    /// The skus that were met.
    pub(super) skus: Vec<Sku>,
    /// Where the walk continues, or `None` at its end.
    pub(super) next: Option<AuditCursor>,
    /// The number of keys that were examined.
    pub(super) examined: usize,
}

impl AuditCursor {
    /// Takes the next step of the walk.
    ///
    /// # Errors
    ///
    /// `ERR` if the server does not allow a walk over its keys.
    pub(super) fn step<K: Keyspace>(self, keys: &mut K) -> Result<AuditStep, Refusal> {
        const KEYS: usize = 128;
        match self {
            AuditCursor::Counters(at) => {
                let (next, counters) = keys.counters(at, KEYS)?;
                let examined = KEYS.max(counters.len());
                let skus = counters.into_iter().filter_map(|counter| to_look_at(keys, counter)).collect();
                let next = if next == 0 { AuditCursor::Held(0) } else { AuditCursor::Counters(next) };
                Ok(AuditStep { skus, next: Some(next), examined })
            }
            AuditCursor::Held(at) => {
                let found =
                    keys.ledger(|ledger| ledger.holds.held_sku(at).map(|(at, sku)| (at, sku.clone())));
                let Some((at, sku)) = found else {
                    return Ok(AuditStep { skus: Vec::new(), next: None, examined: 0 });
                };
                let is_counted = keys.peek(Key::Reserved(&sku)) != Reading::Absent;
                let skus = if is_counted { Vec::new() } else { vec![sku] };
                Ok(AuditStep { skus, next: Some(AuditCursor::Held(at.saturating_add(1))), examined: 1 })
            }
        }
    }
}

/// Returns the sku to examine when the walk meets this counter, if any. A sku with both counters is met twice and
/// examined once, at its reserved counter. A sku that is held but has no reserved counter is examined in the second
/// part of the walk.
fn to_look_at<K: Keyspace>(keys: &mut K, counter: Counted) -> Option<Sku> {
    match counter {
        Counted::Reserved(sku) => Some(sku),
        // A floor is no stock.
        Counted::Floor(_) => None,
        Counted::Available(sku) => {
            let is_counted = keys.peek(Key::Reserved(&sku)) != Reading::Absent;
            let is_held = keys.ledger(|ledger| ledger.holds.held_by_others(&sku, 0)) > 0;
            (!is_counted && !is_held).then_some(sku)
        }
    }
}

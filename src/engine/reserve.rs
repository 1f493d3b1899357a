//! `INV.RESERVE`: hold stock, all or nothing.

use super::apply::{self, Effect};
use super::{Counter, Keyspace, Settings, Tally, alerts, expire, feed, once, repair, settled_state};
use crate::inventory::error::{Refusal, Shortage};
use crate::inventory::once::{Answer, Once, Reserved};
use crate::inventory::quantity::{MAX_EXACT, UnixMs};
use crate::inventory::reservation::{Decision, Line, Record, State};
use crate::inventory::sku::{Key, ReservationId, Sku};

/// How long a reservation shall live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As `inv.hold-ttl-ms` says.
    Default,
    /// For so many milliseconds.
    For(i64),
    /// Until this moment.
    Until(UnixMs),
}

impl Lifetime {
    /// The deadline of a life that began at `begun`, said at `now`. `ERR` where it is over, or longer than allowed.
    pub fn deadline(self, now: UnixMs, begun: UnixMs, settings: &Settings) -> Result<UnixMs, Refusal> {
        let deadline = match self {
            Lifetime::Default => now.checked_add(settings.hold_ttl_ms),
            Lifetime::For(ms) => now.checked_add(ms),
            Lifetime::Until(at) => Some(at),
        };
        let deadline = deadline
            .filter(|deadline| *deadline <= MAX_EXACT)
            .ok_or_else(|| Refusal::invalid("the deadline is beyond the range of the clock"))?;
        if deadline <= now {
            return Err(Refusal::invalid(format!(
                "the deadline {deadline} is not in the future (it is {now})"
            )));
        }
        let longest = settings.max_hold_ms;
        if longest > 0 && deadline.saturating_sub(begun) > longest {
            // A reservation without a time of its own takes the longest life that it may have.
            if self == Lifetime::Default {
                return Ok(begun.saturating_add(longest));
            }
            return Err(Refusal::invalid(format!(
                "a reservation may live {longest} ms at most (inv.max-hold-ms)"
            )));
        }
        Ok(deadline)
    }
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveRequest {
    /// The id, resolved.
    pub id: ReservationId,
    /// How long.
    pub lifetime: Lifetime,
    /// Free text.
    pub data: Option<String>,
    /// What: each sku once, at least one.
    pub items: Vec<Line>,
    /// Its token.
    pub once: Option<Once>,
}

/// Holds the units, or answers what an equal request was answered.
pub fn reserve<K: Keyspace>(keys: &mut K, request: &ReserveRequest) -> Result<Reserved, Refusal> {
    let id = &request.id;
    let now = keys.now();
    let state = settled_state(keys, id)?;
    let mut shelves = Shelves::read(keys, &request.items)?;
    let seen = once::look_up(keys, request.once.as_ref())?;
    if state == State::Foreign {
        return Err(Refusal::Foreign(id.clone()));
    }
    match seen {
        once::Seen::Answered(Answer::Reserved(reserved)) => return Ok(reserved),
        once::Seen::Answered(other @ (Answer::Ok | Answer::Number(_))) => {
            return Err(once::unexpected(&other));
        }
        once::Seen::New | once::Seen::Other(_) => {}
    }
    if let Decision::Already((record, expires_at)) = seen.or(state.reserve(id, &request.items))? {
        let reserved = Reserved { id: record.id, expires_at, items: record.items };
        once::remember_alone(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone()));
        return Ok(reserved);
    }
    let deadline = request.lifetime.deadline(now, now, &keys.settings())?;
    if expire::settle_remembered(keys, id) {
        shelves = Shelves::read(keys, &request.items)?;
    }
    shelves.release_overdue(keys, &request.items)?;
    shelves.check_room(&request.items)?;
    // After this point nothing may fail.
    let moves = shelves.moves(&request.items);
    let record = Record::new(id.clone(), now, deadline, request.items.clone(), request.data.clone());
    let reserved = Reserved { id: id.clone(), expires_at: deadline, items: record.items.clone() };
    let mut effects = vec![Effect::Hold { record, deadline }];
    if request.once.is_some() {
        effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone())));
    }
    apply::commit(keys, &effects);
    repair::mark(keys);
    feed::tell_lines(keys, feed::Event::Reserved, id, &reserved.items);
    alerts::raise(keys, moves);
    keys.tally(Tally::Reserved, 1);
    Ok(reserved)
}

/// The available counters of the skus of some lines, in their order.
pub(super) struct Shelves(Vec<Shelf>);

/// The counters of one sku.
pub(super) struct Shelf {
    /// The available counter, as the key holds it.
    pub(super) available: Counter,
    /// As a number.
    pub(super) units: i64,
    /// The reserved counter.
    pub(super) reserved: i64,
}

impl Shelf {
    /// Reads both counters of a sku. `WRONGTYPE` where one is no integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Self, Refusal> {
        let available = Counter::from(keys.read(Key::Available(sku)));
        let units = available.clone().units(Key::Available(sku), keys.style())?;
        let reserved = super::counter(keys, Key::Reserved(sku))?;
        Ok(Self { available, units, reserved })
    }
}

impl Shelves {
    /// Reads the counters of each line. `WRONGTYPE` where one is no integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, items: &[Line]) -> Result<Self, Refusal> {
        items.iter().map(|line| Shelf::read(keys, &line.sku)).collect::<Result<_, _>>().map(Self)
    }

    /// `ERR` where a reserved counter would overflow.
    fn check_room(&self, items: &[Line]) -> Result<(), Refusal> {
        for (shelf, Line { sku, quantity }) in self.0.iter().zip(items) {
            if shelf.reserved.checked_add(quantity.units()).is_none() {
                return Err(Refusal::invalid(format!("the reserved units of {sku} would overflow")));
            }
        }
        Ok(())
    }

    fn shortages(&self, items: &[Line]) -> Vec<Shortage> {
        let short = |(shelf, line): (&Shelf, &Line)| {
            (shelf.units < line.quantity.units()).then(|| Shortage {
                sku: line.sku.clone(),
                requested: line.quantity.units(),
                available: shelf.units,
            })
        };
        self.0.iter().zip(items).filter_map(short).collect()
    }

    /// Before `INSUFFICIENT` is said, overdue reservations of the short skus are released, as many as are needed:
    /// their units are free, only the sweep has not been there yet.
    pub(super) fn release_overdue<K: Keyspace>(
        &mut self,
        keys: &mut K,
        items: &[Line],
    ) -> Result<(), Refusal> {
        let mut can_expire = keys.ledger(|ledger| ledger.is_complete());
        loop {
            let shortages = self.shortages(items);
            if shortages.is_empty() {
                return Ok(());
            }
            // What was deleted by hand and is over.
            if expire::settle_remembered_due(keys, || false) {
                *self = Self::read(keys, items)?;
                continue;
            }
            let mut released = false;
            for short in &shortages {
                // So many as hold what is missing; then the counters say whether it has come back.
                let mut missing = short.requested.saturating_sub(short.available);
                while missing > 0 {
                    let Some(units) = expire::release_one(keys, &short.sku, &mut can_expire) else { break };
                    missing = missing.saturating_sub(units);
                    released = true;
                }
            }
            if !released {
                return Err(Refusal::Insufficient(shortages));
            }
            *self = Self::read(keys, items)?;
        }
    }

    /// How available moves when these items are taken.
    pub(super) fn moves(&self, items: &[Line]) -> alerts::Moves {
        let mut moves = alerts::Moves::default();
        for (shelf, line) in self.0.iter().zip(items) {
            moves.moved(&line.sku, &shelf.available, line.quantity.units().saturating_neg());
        }
        moves
    }
}

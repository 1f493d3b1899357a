//! `INV.RESERVE`: hold stock, all or nothing.

use std::borrow::Cow;

use super::effects::{self, Effect};
use super::keyspace::{Counter, Keyspace, Settings, Tally, counter_to_change};
use super::once::unless_wrong_type;
use super::sweep::settled_state;
use super::warehouses::{self, Place};
use super::{alerts, feed, load_repair, once, queries, sweep};
use crate::inventory::allocation::{Short, Split, Stock, pick};
use crate::inventory::error::{Refusal, Shortage};
use crate::inventory::once::{Answer, Once, Reserved};
use crate::inventory::quantity::{CENTURY_MS, MAX_EXACT, UnixMs};
use crate::inventory::reservation::{Decision, Line, Record, State, units_by_sku};
use crate::inventory::sku::{Key, ReservationId, Sku};

/// The most lines that a reservation may have when its items are split over warehouses.
pub const MOST_LINES: usize = 1024;

/// So many lines of overdue reservations one command gives back before it decides, and the rest of the last one's: a few
/// milliseconds of work.
pub const MOST_RELEASED: usize = 500;

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
            Lifetime::Default => now.saturating_add(settings.hold_ttl_ms),
            Lifetime::For(ms) => now.saturating_add(ms),
            Lifetime::Until(at) => at,
        };
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
            return Err(too_far(now, begun, deadline, longest, "inv.max-hold-ms"));
        }
        if deadline.saturating_sub(now) > CENTURY_MS {
            return Err(too_far(now, now, deadline, CENTURY_MS, ""));
        }
        Ok(deadline)
    }
}

/// The refusal of a deadline beyond `longest`. Most of them are milliseconds where seconds belong.
fn too_far(now: UnixMs, begun: UnixMs, deadline: UnixMs, longest: i64, option: &str) -> Refusal {
    const DAY_MS: i64 = 86_400_000;
    let distance = deadline.saturating_sub(now);
    let life = match deadline.saturating_sub(begun) {
        life if life == distance => String::new(),
        life => format!(", {life} ms after the reservation was made"),
    };
    let mut limits: Vec<String> = Vec::new();
    if longest >= DAY_MS {
        limits.push(format!("{} days", longest.div_euclid(DAY_MS)));
    }
    if !option.is_empty() {
        limits.push(option.to_owned());
    }
    Refusal::invalid(format!(
        "the deadline is {distance} ms ({} days) away{life}, and a reservation may live {longest} ms ({}) at most: \
         EX and EXAT count seconds; for milliseconds use PX and PXAT",
        distance.div_euclid(DAY_MS),
        limits.join("; ")
    ))
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
    /// How a line that names a product with warehouses may be split over them.
    pub split: Split,
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
    let supply = unless_wrong_type(Supply::read(keys, &request.items))?;
    let seen = once::look_up(keys, request.once.as_ref())?;
    if state == State::Foreign {
        return Err(Refusal::Foreign(id.clone()));
    }
    match seen {
        once::Seen::Answered(Answer::Reserved(reserved)) => {
            return answer_again(keys, request, state, reserved);
        }
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
    let mut supply = supply?;
    let deadline = request.lifetime.deadline(now, now, &keys.settings())?;
    if sweep::settle_remembered(keys, id) {
        supply = Supply::read(keys, &request.items)?;
    }
    let lines = supply.pick(keys, &request.items, request.split)?;
    if lines.len() > MOST_LINES {
        return Err(Refusal::invalid(format!(
            "the items would be split into {} lines, at most {MOST_LINES}",
            lines.len()
        )));
    }
    let shelves = supply.shelves(keys, &lines)?;
    shelves.check_room(&lines)?;
    // After this point nothing may fail.
    let moves = shelves.moves(&lines);
    let record = Record::new(id.clone(), now, deadline, lines.into_owned(), request.data.clone())
        .asked_for(&request.items);
    let reserved = Reserved { id: id.clone(), expires_at: deadline, items: record.items.clone() };
    let mut effects = vec![Effect::Hold { record, deadline }];
    if request.once.is_some() {
        effects.extend(once::remember(keys, request.once.as_ref(), &Answer::Reserved(reserved.clone())));
    }
    effects::commit(keys, &effects);
    load_repair::mark(keys);
    feed::tell_lines(keys, feed::Event::Reserved, id, &reserved.items);
    alerts::raise(keys, moves);
    keys.tally(Tally::Reserved, 1);
    Ok(reserved)
}

/// What a command is answered whose token was answered with `reserved` before. That is given again while the reservation
/// lives, and how it ended afterwards: a customer who has given the cart up does not hold it. What is unknown by now was
/// held once all the same: it is not held a second time.
fn answer_again<K: Keyspace>(
    keys: &mut K,
    request: &ReserveRequest,
    state: State,
    reserved: Reserved,
) -> Result<Reserved, Refusal> {
    let id = &reserved.id;
    // A generated id is another each time: the one that counts is in the answer.
    let state = if *id == request.id { state } else { settled_state(keys, id)? };
    match state {
        State::Live(..) => state.reserve(id, &request.items).map(|_| reserved),
        State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign => {
            Err(state.live(id).err().unwrap_or_else(|| Refusal::NotFound(id.clone())))
        }
    }
}

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
    /// Reads both counters of a sku, which are about to be changed. `WRONGTYPE` where one is no integer.
    pub(super) fn read<K: Keyspace>(keys: &mut K, sku: &Sku) -> Result<Self, Refusal> {
        let available = keys.counter_to_change(Key::Available(sku));
        let units = available.clone().units(Key::Available(sku), keys.style())?;
        let reserved = counter_to_change(keys, Key::Reserved(sku))?;
        Ok(Self { available, units, reserved })
    }

    /// `ERR` if `available` is more than there is, and too much beside what is reserved: all of it may come back. What
    /// another client has written may be beyond the bound already: it can be lowered.
    pub(super) fn check_bound(&self, sku: &Sku, available: i64) -> Result<(), Refusal> {
        let more = available.saturating_sub(self.units);
        if more > 0 && available.saturating_add(self.reserved.max(0)) > MAX_EXACT {
            return Err(Refusal::invalid(format!(
                "{sku} has {} available and {} reserved: with {more} more it would have over {MAX_EXACT}",
                self.units, self.reserved
            )));
        }
        Ok(())
    }
}

/// The counters of the skus of some lines, in their order.
pub(super) struct Shelves(Vec<Shelf>);

impl Shelves {
    /// Reads the counters of each line. `WRONGTYPE` where one is no integer.
    fn read<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let mut shelves = Vec::with_capacity(lines.len());
        for line in lines {
            shelves.push(Shelf::read(keys, &line.sku)?);
        }
        Ok(Self(shelves))
    }

    /// `ERR` where a reserved counter would overflow.
    fn check_room(&self, lines: &[Line]) -> Result<(), Refusal> {
        for (shelf, Line { sku, quantity }) in self.0.iter().zip(lines) {
            if shelf.reserved.checked_add(quantity.units()).is_none() {
                return Err(Refusal::invalid(format!("the reserved units of {sku} would overflow")));
            }
        }
        Ok(())
    }

    /// How available moves when these lines are taken.
    pub(super) fn moves(&self, lines: &[Line]) -> alerts::Moves {
        let mut moves = alerts::Moves::with_capacity(lines.len());
        for (shelf, line) in self.0.iter().zip(lines) {
            moves.moved(&line.sku, &shelf.available, line.quantity.units().saturating_neg());
        }
        moves
    }
}

/// What some asked lines may take from, in their order.
pub(super) struct Supply(Vec<Source>);

/// What one line may take from.
enum Source {
    /// The counters of its own sku.
    Own(Shelf),
    /// The warehouses of its product, in order of priority.
    Warehouses(Vec<(Shelf, Sku)>),
}

impl Source {
    fn stock(&self) -> Stock<'_> {
        match self {
            Source::Own(shelf) => Stock::Own(shelf.units),
            Source::Warehouses(places) => {
                Stock::Warehouses(places.iter().map(|(shelf, sku)| (sku, shelf.units)).collect())
            }
        }
    }
}

impl Supply {
    /// Reads what these lines may take from: of a product that is kept in warehouses, each of them. `WRONGTYPE` if a key
    /// holds something else, `ERR` if a line names a place that is no warehouse of its product, or if there are too many
    /// warehouses to look at.
    fn read<K: Keyspace>(keys: &mut K, asked: &[Line]) -> Result<Self, Refusal> {
        let mut looked_at = 0_usize;
        let mut sources = Vec::with_capacity(asked.len());
        for line in asked {
            let places = match line.sku.warehouse() {
                None => warehouses::places(keys, line.sku.product())?,
                Some(_) => {
                    warehouses::require_supply(keys, &line.sku)?;
                    None
                }
            };
            sources.push(match places {
                None => Source::Own(Shelf::read(keys, &line.sku)?),
                Some(places) => {
                    looked_at = looked_at.saturating_add(places.len());
                    warehouses::check_work(looked_at)?;
                    let shelf = |place: Place| Ok((Shelf::read(keys, &place.sku)?, place.sku));
                    Source::Warehouses(places.into_iter().map(shelf).collect::<Result<_, _>>()?)
                }
            });
        }
        Ok(Self(sources))
    }

    /// Of lines that say where they take from: the counters of each.
    pub(super) fn of_lines<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let Shelves(shelves) = Shelves::read(keys, lines)?;
        Ok(Self(shelves.into_iter().map(Source::Own).collect()))
    }

    /// The same, read again.
    fn again<K: Keyspace>(&self, keys: &mut K, asked: &[Line]) -> Result<Self, Refusal> {
        if self.is_split() { Self::read(keys, asked) } else { Self::of_lines(keys, asked) }
    }

    fn is_split(&self) -> bool {
        self.0.iter().any(|source| matches!(source, Source::Warehouses(_)))
    }

    fn stocks(&self) -> Vec<Stock<'_>> {
        self.0.iter().map(Source::stock).collect()
    }

    /// The lines to take. Before `INSUFFICIENT` is said, overdue reservations of the short skus are released, as many as
    /// are needed: their units are free, only the sweep has not been there yet. `TRYAGAIN` where they are too many for one
    /// command.
    pub(super) fn pick<'a, K: Keyspace>(
        &mut self,
        keys: &mut K,
        asked: &'a [Line],
        split: Split,
    ) -> Result<Cow<'a, [Line]>, Refusal> {
        let mut can_expire = keys.ledger(|ledger| ledger.is_complete());
        let mut left = MOST_RELEASED;
        loop {
            let shorts = match pick(asked, &self.stocks(), split) {
                Ok(lines) => return Ok(lines),
                Err(shorts) => shorts,
            };
            if left == 0 {
                let skus = shorts.into_iter().map(|(_, shortage)| shortage.sku);
                return Err(Refusal::Overdue(skus.collect()));
            }
            // What was deleted by hand and is over.
            let is_spent = |lines: usize| {
                left = left.saturating_sub(lines.max(1));
                left == 0
            };
            if sweep::settle_remembered_due(keys, is_spent) {
                *self = self.again(keys, asked)?;
                continue;
            }
            let mut released = false;
            for short in &shorts {
                released |= self.release(keys, asked, short, split, &mut can_expire, &mut left);
            }
            if !released {
                let shortages = shorts.into_iter().map(|(line, shortage)| {
                    let is_known = self.has_stock(line) || queries::is_known(keys, &shortage.sku);
                    Shortage { is_known, ..shortage }
                });
                return Err(Refusal::Insufficient(shortages.collect()));
            }
            *self = self.again(keys, asked)?;
        }
    }

    /// Whether this line has warehouses or an available counter to take from.
    fn has_stock(&self, line: usize) -> bool {
        match self.0.get(line) {
            Some(Source::Own(shelf)) => shelf.available != Counter::Absent,
            Some(Source::Warehouses(_)) => true,
            None => false,
        }
    }

    /// Releases so many overdue reservations as hold what a line is short of; then the counters say whether it has come
    /// back. Says whether there was any.
    fn release<K: Keyspace>(
        &self,
        keys: &mut K,
        asked: &[Line],
        (line, shortage): &Short,
        split: Split,
        can_expire: &mut bool,
        left: &mut usize,
    ) -> bool {
        let Shortage { sku, requested, available, .. } = shortage;
        let mut released = false;
        let mut release = |sku: &Sku, missing: i64| {
            let mut missing = missing;
            while missing > 0 && *left > 0 {
                let Some((units, lines)) = sweep::release_one(keys, sku, can_expire) else { break };
                missing = missing.saturating_sub(units);
                *left = left.saturating_sub(lines.max(1));
                released = true;
            }
            missing
        };
        let missing = requested.saturating_sub(*available);
        match self.0.get(*line) {
            Some(Source::Own(_)) => {
                release(sku, missing);
            }
            Some(Source::Warehouses(places)) if split == Split::None => {
                // One of them must have all, beside what lines take of it by name.
                let named = units_by_sku(asked);
                for (shelf, place) in places {
                    let left = shelf.units.saturating_sub(named.get(place).copied().unwrap_or_default());
                    if release(place, requested.saturating_sub(left)) <= 0 {
                        break;
                    }
                }
            }
            Some(Source::Warehouses(places)) => {
                places.iter().fold(missing, |missing, (_, place)| release(place, missing));
            }
            None => {}
        }
        released
    }

    /// The counters of the picked lines.
    pub(super) fn shelves<K: Keyspace>(self, keys: &mut K, lines: &[Line]) -> Result<Shelves, Refusal> {
        if self.is_split() {
            return Shelves::read(keys, lines);
        }
        let own = |source| match source {
            Source::Own(shelf) => Some(shelf),
            Source::Warehouses(_) => None,
        };
        Ok(Shelves(self.0.into_iter().filter_map(own).collect()))
    }
}

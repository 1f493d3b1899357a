//! What the lines of a request may take from, and how overdue units are released for them.

use std::borrow::Cow;

use super::keyspace::{Counter, Keyspace};
use super::places::{Place, check_work, places, require_supply};
use super::shelves::{Shelf, Shelves, is_known};
use super::sweep;
use crate::inventory::allocation::{Short, Split, Stock, pick};
use crate::inventory::line::{Line, units_by_sku};
use crate::inventory::refusal::{Objections, Refusal, Shortage};
use crate::inventory::sku::Sku;

/// How many lines of overdue reservations one command gives back before it decides, beside the rest of the last reservation: a
/// few milliseconds of work.
const MOST_RELEASED: usize = 500;

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
    pub(super) fn read<K: Keyspace>(keys: &mut K, asked: &[Line]) -> Result<Self, Refusal> {
        let mut looked_at = 0_usize;
        let mut sources = Vec::with_capacity(asked.len());
        let mut objections = Objections::default();
        for line in asked {
            let places = match line.sku.warehouse() {
                None => places(keys, line.sku.product()),
                Some(_) => require_supply(keys, &line.sku).map(|()| None),
            };
            let Some(places) = objections.check(places) else { continue };
            let source = match places {
                None => Shelf::read(keys, &line.sku).map(Source::Own),
                Some(places) => {
                    looked_at = looked_at.saturating_add(places.len());
                    // The lines after it are not read: the bound is there to keep a request short.
                    if let Err(too_many) = check_work(looked_at) {
                        objections.add(too_many);
                        break;
                    }
                    let shelf = |place: Place| Ok((Shelf::read(keys, &place.sku)?, place.sku));
                    places.into_iter().map(shelf).collect::<Result<_, Refusal>>().map(Source::Warehouses)
                }
            };
            sources.extend(objections.check(source));
        }
        objections.unless_any(Self(sources))
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
    /// are needed: their units are free, only the sweep has not been there yet. `TRYAGAIN` if they are too many for one
    /// command.
    pub(super) fn pick<'a, K: Keyspace>(
        &mut self,
        keys: &mut K,
        asked: &'a [Line],
        split: Split,
    ) -> Result<Cow<'a, [Line]>, Refusal> {
        let can_expire = keys.ledger(|ledger| ledger.is_complete());
        let mut budget = Budget { can_expire, lines: MOST_RELEASED };
        loop {
            let shorts = match pick(asked, &self.stocks(), split) {
                Ok(lines) => return Ok(lines),
                Err(shorts) => shorts,
            };
            if budget.is_spent() {
                let skus = shorts.into_iter().map(|(_, shortage)| shortage.sku);
                return Err(Refusal::Overdue(skus.collect()));
            }
            // What another client has deleted, and whose deadline has passed.
            let is_spent = |lines| {
                budget.spend(lines);
                budget.is_spent()
            };
            if sweep::settle_remembered_due(keys, is_spent) {
                *self = self.again(keys, asked)?;
                continue;
            }
            let before = budget.lines;
            for short in &shorts {
                self.release(keys, asked, short, split, &mut budget);
            }
            if budget.lines == before {
                let shortages = shorts.into_iter().map(|(line, shortage)| {
                    let is_known = self.has_stock(line) || is_known(keys, &shortage.sku);
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

    /// Releases enough overdue reservations to cover what a line is short of; then the counters say whether it has come back.
    fn release<K: Keyspace>(
        &self,
        keys: &mut K,
        asked: &[Line],
        (line, shortage): &Short,
        split: Split,
        budget: &mut Budget,
    ) {
        let Shortage { sku, requested, available, .. } = shortage;
        let missing = requested.saturating_sub(*available);
        match self.0.get(*line) {
            Some(Source::Own(_)) => {
                budget.release(keys, sku, missing);
            }
            Some(Source::Warehouses(places)) if split == Split::None => {
                // One of them must have all, beside what lines take of it by name.
                let named = units_by_sku(asked);
                for (shelf, place) in places {
                    let left = shelf.units.saturating_sub(named.get(place).copied().unwrap_or_default());
                    if budget.release(keys, place, requested.saturating_sub(left)) <= 0 {
                        break;
                    }
                }
            }
            Some(Source::Warehouses(places)) => {
                places.iter().fold(missing, |missing, (_, place)| budget.release(keys, place, missing));
            }
            None => {}
        }
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

/// What one command may still release before it decides.
struct Budget {
    /// Whether the server ends what is due when it is opened. After it has not done so, it is not asked again.
    can_expire: bool,
    /// How many lines.
    lines: usize,
}

impl Budget {
    /// A reservation of this many lines was released. It counts as one line at least.
    fn spend(&mut self, lines: usize) {
        self.lines = self.lines.saturating_sub(lines.max(1));
    }

    fn is_spent(&self) -> bool {
        self.lines == 0
    }

    /// Releases overdue reservations of `sku` until they have held the `missing` units. Gives how many are missing still.
    fn release<K: Keyspace>(&mut self, keys: &mut K, sku: &Sku, mut missing: i64) -> i64 {
        while missing > 0 && !self.is_spent() {
            let Some((units, lines)) = sweep::release_one(keys, sku, &mut self.can_expire) else { break };
            missing = missing.saturating_sub(units);
            self.spend(lines);
        }
        missing
    }
}

//! The stock that a request may take from, and the release of overdue units for it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use super::bounds::limit_of;
use super::keyspace::{Counter, Keyspace};
use super::places::{Place, check_work, places, require_supply};
use super::shelves::{Shelf, Shelves, is_known};
use super::sweep;
use crate::inventory::allocation::{Short, Split, Stock, pick, pick_what_there_is};
use crate::inventory::line::{Line, units_by_sku};
use crate::inventory::refusal::{Objections, Refusal, Shortage};
use crate::inventory::reservation::Record;
use crate::inventory::sku::{Product, Sku};

/// The number of lines of overdue reservations that one command releases before it decides. The last reservation is
/// always released completely. This takes a few milliseconds.
const MOST_RELEASED: usize = 500;

/// The number of warehouses that can be read while one line is released.
const PLACES_A_LINE: usize = 10;

/// The number of due reservations that one command indexes by sku. This takes about two milliseconds.
const MOST_INDEXED: usize = 10_000;

/// The stock that the requested lines may take from, and the limits that they meet.
pub(super) struct Supply {
    /// For each line, in their order, what it may take from.
    sources: Vec<Source>,
    /// The limits per buyer of those products that have one, in the order of the lines.
    pub(super) limits: Vec<(Product, i64)>,
}

/// The stock that one line may take from.
enum Source {
    /// The counters of the line's own sku.
    Own(Shelf),
    /// The warehouses of the line's product, in order of priority.
    Warehouses(Vec<(Shelf, Place)>),
}

impl Source {
    /// The stock for a line of `sku`.
    fn stock(&self, sku: &Sku, terms: &Terms<'_>) -> Stock<'_> {
        match self {
            Source::Own(shelf) => Stock::Own(terms.free(sku, shelf.reservable())),
            Source::Warehouses(places) if terms.own.is_none() => Stock::Warehouses(
                open(places).map(|(shelf, place)| (&place.sku, shelf.reservable())).collect(),
            ),
            Source::Warehouses(places) => {
                let mut places: Vec<&(Shelf, Place)> = places.iter().collect();
                terms.prefer(&mut places);
                let stock = |(shelf, place): &'_ (Shelf, Place)| {
                    // What the request holds in a closed warehouse it may keep.
                    let more = if place.is_closed() { 0 } else { shelf.reservable() };
                    terms.free(&place.sku, more)
                };
                Stock::Warehouses(places.into_iter().map(|found| (&found.1.sku, stock(found))).collect())
            }
        }
    }
}

/// Whether the request holds no more of this sku afterwards than the units of `own`, which it frees.
fn is_kept(line: &Line, own: Option<&Own<'_>>) -> bool {
    own.and_then(|own| own.get(&line.sku)).is_some_and(|own| line.quantity.units() <= *own)
}

/// Adds the places that the product does not have any more, and in which the request frees units. Like a closed warehouse,
/// each offers only those.
fn with_strays(mut places: Vec<Place>, product: &Sku, own: Option<&Own<'_>>) -> Vec<Place> {
    let is_stray = |sku: &&Sku| {
        sku.product() == product.product() && !sku.is_quota() && places.iter().all(|place| place.sku != **sku)
    };
    let own = own.into_iter().flat_map(|own| own.keys().copied());
    let mut strays: Vec<Sku> = own.filter(is_stray).cloned().collect();
    strays.sort_unstable();
    places.extend(strays.into_iter().map(|sku| Place { sku, priority: f64::INFINITY }));
    places
}

/// The warehouses from which a line takes that names only the product.
fn open(places: &[(Shelf, Place)]) -> impl Iterator<Item = &(Shelf, Place)> {
    places.iter().filter(|(_, place)| !place.is_closed())
}

/// The maximum number of lines of a reservation after its items were split over warehouses.
const MOST_LINES: usize = 1024;

/// How a request takes its lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms<'a> {
    /// How a line may be split over warehouses.
    pub(super) split: Split,
    /// Whether to take as much of each line as there is.
    pub(super) partial: bool,
    /// The units of each sku that the request itself frees. `None` if it frees none.
    pub(super) own: Option<&'a Own<'a>>,
    /// The buyer, if one is named.
    pub(super) buyer: Option<&'a str>,
    /// The reservations whose units the request frees.
    pub(super) freed: &'a [&'a Record],
}

/// The units of each sku that the reservations which a request replaces hold.
pub(super) type Own<'a> = HashMap<&'a Sku, i64>;

impl Terms<'_> {
    fn own(&self, sku: &Sku) -> i64 {
        self.own.and_then(|own| own.get(sku)).copied().unwrap_or_default()
    }

    /// The units that the request may hold of a sku of which so many can be reserved. It may always hold what it frees,
    /// even if available is below the floor.
    fn free(&self, sku: &Sku, reservable: i64) -> i64 {
        match self.own(sku) {
            0 => reservable,
            own => own.saturating_add(reservable.max(0)),
        }
    }

    /// Puts the warehouses whose units the request frees first, among those that the split treats alike.
    fn prefer(&self, places: &mut [&(Shelf, Place)]) {
        let is_new = |(_, place): &(Shelf, Place)| self.own(&place.sku) == 0;
        places.sort_by(|one, other| {
            let by_priority = match self.split {
                Split::Priority => one.1.priority.total_cmp(&other.1.priority),
                Split::Fewest | Split::None => Ordering::Equal,
            };
            by_priority.then(is_new(one).cmp(&is_new(other)))
        });
    }
}

impl Supply {
    /// Reads the stock that these lines may take from. For a product that is kept in warehouses, each of them is read. Most
    /// skus have neither warehouses nor a floor, which is known without reading a key.
    ///
    /// The request frees the units of `own`, if it frees any. What it holds in a warehouse that its product no longer has, it
    /// may keep.
    ///
    /// # Errors
    ///
    /// `WRONGTYPE` if a key holds another type, and `ERR` if a line names a warehouse that its product does not have or
    /// if there are too many warehouses in total.
    pub(super) fn read<K: Keyspace>(
        keys: &mut K,
        asked: &[Line],
        own: Option<&Own<'_>>,
    ) -> Result<Self, Refusal> {
        let mut looked_at = 0_usize;
        let mut found = Self { sources: Vec::with_capacity(asked.len()), limits: Vec::new() };
        let mut objections = Objections::default();
        for line in asked {
            if keys.ledger(|ledger| ledger.is_plain(&line.sku)) {
                let shelf = Shelf::on_floor(keys, &line.sku, 0);
                found.sources.extend(objections.check(shelf.map(Source::Own)));
                continue;
            }
            let places = match line.sku.warehouse() {
                None => places(keys, line.sku.product())
                    .map(|places| places.map(|places| with_strays(places, &line.sku, own))),
                Some(_) if is_kept(line, own) => Ok(None),
                Some(_) => require_supply(keys, &line.sku).map(|()| None),
            };
            let Some(places) = objections.check(places) else { continue };
            let source = match places {
                None => Shelf::read(keys, &line.sku).map(Source::Own),
                Some(places) => {
                    looked_at = looked_at.saturating_add(places.len());
                    // The remaining lines are not read, because the bound exists to keep a request short.
                    if let Err(too_many) = check_work(looked_at) {
                        objections.add(too_many);
                        break;
                    }
                    let shelf = |place: Place| Ok((Shelf::read(keys, &place.sku)?, place));
                    places.into_iter().map(shelf).collect::<Result<_, Refusal>>().map(Source::Warehouses)
                }
            };
            found.sources.extend(objections.check(source));
            objections.check(found.meet_limit(keys, &line.sku));
        }
        objections.unless_any(found)
    }

    /// Reads the counters of lines that have already been resolved to skus.
    pub(super) fn of_lines<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let Shelves(shelves) = Shelves::read(keys, lines)?;
        Ok(Self { sources: shelves.into_iter().map(Source::Own).collect(), limits: Vec::new() })
    }

    /// The same for lines that are to be taken, with the limits of their products.
    pub(super) fn of_limited_lines<K: Keyspace>(keys: &mut K, lines: &[Line]) -> Result<Self, Refusal> {
        let mut supply = Self::of_lines(keys, lines)?;
        for line in lines {
            supply.meet_limit(keys, &line.sku)?;
        }
        Ok(supply)
    }

    /// Reads the limit of the product of a sku.
    fn meet_limit<K: Keyspace>(&mut self, keys: &mut K, sku: &Sku) -> Result<(), Refusal> {
        if self.limits.iter().all(|(known, _)| known.as_str() != sku.product()) {
            let limit = limit_of(keys, sku.product())?;
            self.limits.extend(limit.map(|limit| (Product::of(sku), limit)));
        }
        Ok(())
    }

    /// Reads the same stock again.
    pub(super) fn again<K: Keyspace>(
        &self,
        keys: &mut K,
        asked: &[Line],
        terms: &Terms<'_>,
    ) -> Result<Self, Refusal> {
        let again =
            if self.is_split() { Self::read(keys, asked, terms.own) } else { Self::of_lines(keys, asked) }?;
        Ok(Self { limits: self.limits.clone(), ..again })
    }

    fn is_split(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Warehouses(_)))
    }

    fn stocks(&self, asked: &[Line], terms: &Terms<'_>) -> Vec<Stock<'_>> {
        self.sources.iter().zip(asked).map(|(source, line)| source.stock(&line.sku, terms)).collect()
    }

    /// Decides which lines to take.
    ///
    /// If stock is missing, overdue reservations of the short skus are released, as many as are needed. Their units are
    /// free; only the sweep has not reached them yet.
    ///
    /// # Errors
    ///
    /// `ERR` if there would be too many lines, `INSUFFICIENT` if that is not enough, or with `PARTIAL` if there is nothing
    /// of any line, and `TRYAGAIN` if it would take too long for one command ([`Refusal::Overdue`]), or if it is not
    /// known yet which reservations are overdue.
    pub(super) fn pick<'a, K: Keyspace>(
        &mut self,
        keys: &mut K,
        asked: &'a [Line],
        terms: &Terms<'_>,
        budget: &mut Budget,
    ) -> Result<Cow<'a, [Line]>, Refusal> {
        let is_index_complete = keys.ledger(|ledger| ledger.is_complete());
        budget.can_expire.get_or_insert(is_index_complete);
        loop {
            let shorts = match pick(asked, &self.stocks(asked, terms), terms.split) {
                Ok(lines) => return check_number(lines),
                Err(shorts) => shorts,
            };
            if !is_index_complete && shorts.iter().any(|short| self.may_be_overdue(short, terms)) {
                return Err(Refusal::TryAgain);
            }
            let now = keys.now();
            if budget.is_spent() || !keys.ledger(|ledger| ledger.holds.index_due(now, MOST_INDEXED)) {
                // The due reservations are not all indexed, which takes time as well.
                budget.lines = 0;
                let skus = shorts.into_iter().map(|(_, shortage)| shortage.sku);
                return Err(Refusal::Overdue(skus.collect()));
            }
            // First the due reservations whose records other clients have deleted.
            let is_spent = |lines| {
                budget.spend(lines);
                budget.is_spent()
            };
            if sweep::settle_remembered_due(keys, is_spent) {
                self.read_again(keys, asked, terms, budget)?;
                continue;
            }
            let before = budget.lines;
            for short in &shorts {
                self.release(keys, asked, short, terms, budget);
            }
            if budget.lines == before {
                if terms.partial {
                    let lines = pick_what_there_is(asked, &self.stocks(asked, terms), terms.split);
                    if !lines.is_empty() {
                        return check_number(Cow::Owned(lines));
                    }
                }
                let shortages = shorts.into_iter().map(|(line, shortage)| {
                    let is_known = self.has_stock(line) || is_known(keys, &shortage.sku);
                    Shortage { is_known, ..shortage }
                });
                return Err(Refusal::Insufficient(shortages.collect()));
            }
            self.read_again(keys, asked, terms, budget)?;
        }
    }

    /// Reads the same stock again after something was released. In a product with many warehouses this takes as long as
    /// releasing many lines.
    fn read_again<K: Keyspace>(
        &mut self,
        keys: &mut K,
        asked: &[Line],
        terms: &Terms<'_>,
        budget: &mut Budget,
    ) -> Result<(), Refusal> {
        *self = self.again(keys, asked, terms)?;
        let places = |source: &Source| match source {
            Source::Own(_) => 0,
            Source::Warehouses(places) => places.len(),
        };
        let places = self.sources.iter().map(places).fold(0, usize::saturating_add);
        budget.spend_some(places.div_euclid(PLACES_A_LINE));
        Ok(())
    }

    /// Whether the shortage of a line could be covered if everything reserved were overdue. With `PARTIAL`, a part of it is
    /// enough.
    fn may_be_overdue(&self, (line, shortage): &Short, terms: &Terms<'_>) -> bool {
        let missing = if terms.partial { 1 } else { shortage.requested.saturating_sub(shortage.available) };
        let reserved = match self.sources.get(*line) {
            Some(Source::Own(shelf)) => shelf.reserved,
            Some(Source::Warehouses(places)) => {
                open(places).map(|(shelf, _)| shelf.reserved.max(0)).fold(0, i64::saturating_add)
            }
            None => 0,
        };
        reserved >= missing
    }

    /// Whether this line has warehouses or an available counter to take from.
    fn has_stock(&self, line: usize) -> bool {
        match self.sources.get(line) {
            Some(Source::Own(shelf)) => shelf.available != Counter::Absent,
            Some(Source::Warehouses(_)) => true,
            None => false,
        }
    }

    /// Releases enough overdue reservations to cover the shortage of one line, if there are enough. The counters then
    /// show whether the units have been returned.
    fn release<K: Keyspace>(
        &self,
        keys: &mut K,
        asked: &[Line],
        (line, shortage): &Short,
        terms: &Terms<'_>,
        budget: &mut Budget,
    ) {
        let Shortage { sku, requested, available, .. } = shortage;
        let missing = requested.saturating_sub(*available);
        match self.sources.get(*line) {
            Some(Source::Own(_)) => {
                budget.release(keys, sku, missing);
            }
            Some(Source::Warehouses(places)) if terms.split == Split::None => {
                // One warehouse must supply everything, in addition to what lines take from it by name.
                let named = units_by_sku(asked);
                for (shelf, place) in open(places) {
                    let named = named.get(&place.sku).copied().unwrap_or_default();
                    let left = terms.free(&place.sku, shelf.reservable()).saturating_sub(named);
                    if budget.release(keys, &place.sku, requested.saturating_sub(left)) <= 0 {
                        break;
                    }
                }
            }
            Some(Source::Warehouses(places)) => {
                open(places).fold(missing, |missing, (_, place)| budget.release(keys, &place.sku, missing));
            }
            None => {}
        }
    }

    /// The counters of the picked lines.
    pub(super) fn shelves<K: Keyspace>(self, keys: &mut K, lines: &[Line]) -> Result<Shelves, Refusal> {
        // With PARTIAL, some of the requested lines may not have been picked.
        if self.is_split() || lines.len() != self.sources.len() {
            return Shelves::read(keys, lines);
        }
        let own = |source| match source {
            Source::Own(shelf) => Some(shelf),
            Source::Warehouses(_) => None,
        };
        Ok(Shelves(self.sources.into_iter().filter_map(own).collect()))
    }
}

/// Checks the number of lines of a reservation.
///
/// # Errors
///
/// `ERR` if it is above [`MOST_LINES`].
#[inline]
fn check_number(lines: Cow<'_, [Line]>) -> Result<Cow<'_, [Line]>, Refusal> {
    if lines.len() <= MOST_LINES {
        return Ok(lines);
    }
    Err(Refusal::impossible(format!(
        "the items would be split into {} lines, but a reservation may have at most {MOST_LINES}",
        lines.len()
    )))
}

/// What one command may still release before it decides.
pub(super) struct Budget {
    /// Whether the server expires due keys when they are opened, or `None` if that has not been looked at yet. After one
    /// failure this is not tried again.
    can_expire: Option<bool>,
    /// The remaining number of lines.
    lines: usize,
}

impl Default for Budget {
    /// The budget of a command that has released nothing yet.
    fn default() -> Self {
        Self { can_expire: None, lines: MOST_RELEASED }
    }
}

impl Budget {
    /// Counts a released reservation with this number of lines. It counts as at least one.
    fn spend(&mut self, lines: usize) {
        self.spend_some(lines.max(1));
    }

    /// Counts work that takes as long as the release of this number of lines.
    fn spend_some(&mut self, lines: usize) {
        self.lines = self.lines.saturating_sub(lines);
    }

    fn is_spent(&self) -> bool {
        self.lines == 0
    }

    /// Releases overdue reservations of `sku` until they have returned `missing` units. Returns the number that is
    /// still missing, which is 0 or less if there were enough.
    fn release<K: Keyspace>(&mut self, keys: &mut K, sku: &Sku, mut missing: i64) -> i64 {
        while missing > 0 && !self.is_spent() {
            let can_expire = self.can_expire.get_or_insert(true);
            let Some((units, lines)) = sweep::release_one(keys, sku, can_expire) else { break };
            missing = missing.saturating_sub(units);
            self.spend(lines);
        }
        missing
    }
}

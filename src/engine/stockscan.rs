//! `INV.STOCKSCAN`: a walk over the stock of all products.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::keyspace::{Keyspace, Ranking, Reading};
use super::places::{self, MOST, MOST_A_REQUEST, Standing};
use super::queries::{Stocked, stock_of};
use crate::inventory::cluster_slot::{Slot, SlotState};
use crate::inventory::key::{Counted, Key};
use crate::inventory::pattern::Pattern;
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::Product;

/// The position of a walk over all products.
///
/// The sets of warehouses come after the counters. A product that gets its first warehouses during the walk, and loses the
/// counters under its own name by that, is therefore not missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockCursor {
    /// Among the counters, at this cursor of the server's SCAN.
    Counters(u64),
    /// Among the sets of warehouses, at this cursor.
    Warehouses(u64),
    /// In the middle of what SCAN found among the sets.
    Within(Within),
}

/// A position within what one SCAN has found. A cursor of SCAN cannot name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// The cursor of that SCAN, and the cursor that it returned. If it returns another one later, its products are not
    /// the same, and all of them are listed again.
    from: u64,
    until: u64,
    /// The hash of the last product that was listed. The products are listed in the order of their hashes.
    after: u64,
}

impl StockCursor {
    /// The start of a walk.
    pub const START: Self = Self::Counters(0);

    /// Reads a cursor: `0`, or the cursor of an earlier page. Returns `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_at_checked(1)? {
            ("c", number) => number.parse().ok().map(Self::Counters),
            ("w", numbers) => match *numbers.split('-').collect::<Vec<_>>() {
                [from] => from.parse().ok().map(Self::Warehouses),
                [from, until, after] => {
                    let (from, until) = (from.parse().ok()?, until.parse().ok()?);
                    Some(Self::Within(Within { from, until, after: after.parse().ok()? }))
                }
                _ => None,
            },
            _ => (text == "0").then_some(Self::START),
        }
    }

    /// The text of the cursor, as a page contains it.
    pub fn spell(self) -> String {
        match self {
            Self::Counters(number) => format!("c{number}"),
            Self::Warehouses(number) => format!("w{number}"),
            Self::Within(Within { from, until, after }) => format!("w{from}-{until}-{after}"),
        }
    }
}

/// A request for a page of the walk.
#[derive(Clone, Debug)]
pub struct StockScanQuery {
    /// The position of the page.
    pub cursor: StockCursor,
    /// About how many products the page lists.
    pub count: usize,
    /// List only products that match.
    pub pattern: Option<Pattern>,
    /// List only products of which no more can be reserved than their threshold, or nothing if they have none.
    pub low: bool,
}

/// One page of a walk over all products.
#[derive(Clone, Debug)]
pub struct StockPage {
    /// The position of the next page, or `None` at the end.
    pub next: Option<StockCursor>,
    /// The products, each with its stock, or with the reason why it cannot be read.
    pub found: Vec<(Product, Stocked)>,
}

/// The number of keys that are examined for one page, whether their products are listed or not. Each listed product costs
/// three further reads.
const KEYS_A_PAGE: usize = 1024;

/// The number of keys that one SCAN examines at least. A SCAN costs about as much as examining so many.
const FEWEST: usize = 16;

/// The number of keys that one SCAN examines at most.
const STEP: usize = 128;

/// Returns the next page of a walk that finds every product that exists during the whole walk. A product may be found
/// more than once. `may_see` decides which products the caller may see.
///
/// # Errors
///
/// `ERR` if the server cannot scan its keys.
pub fn stock_scan<K: Keyspace>(
    keys: &mut K,
    query: &StockScanQuery,
    may_see: impl Fn(&Product) -> bool,
) -> Result<StockPage, Refusal> {
    let mut page = walk_on(keys, query, may_see)?;
    if !keys.ledger(|ledger| ledger.floors.is_empty()) {
        page.list_each_once();
    }
    Ok(page)
}

fn walk_on<K: Keyspace>(
    keys: &mut K,
    query: &StockScanQuery,
    may_see: impl Fn(&Product) -> bool,
) -> Result<StockPage, Refusal> {
    let mut page = StockPage { next: Some(query.cursor), found: Vec::new() };
    let mut work = Work::default();
    while let Some(cursor) = page.next {
        if work.keys >= KEYS_A_PAGE || page.found.len() >= query.count {
            break;
        }
        let step = query.count.saturating_sub(page.found.len()).clamp(FEWEST, STEP);
        let within = match cursor {
            StockCursor::Counters(at) => {
                let (next, counters) = keys.counters(at, step)?;
                work.keys = work.keys.saturating_add(step.max(counters.len()));
                let has_none = next == 0 && keys.ledger(|ledger| ledger.have_no_warehouses());
                page.next = match next {
                    0 if has_none => None,
                    0 => Some(StockCursor::Warehouses(0)),
                    next => Some(StockCursor::Counters(next)),
                };
                for counter in counters {
                    if let Some(product) = kept_under_its_name(keys, counter)
                        && work.is_wanted(query, &product)
                        && may_see(&product)
                    {
                        page.list(keys, query, product);
                    }
                }
                continue;
            }
            StockCursor::Warehouses(from) => Within { from, until: from, after: 0 },
            StockCursor::Within(within) => within,
        };
        let (until, products) = keys.products_in_warehouses(within.from, step)?;
        work.keys = work.keys.saturating_add(step.max(products.len()));
        let mut products: Vec<(u64, Product)> =
            products.into_iter().map(|product| (hash_of(&product), product)).collect();
        products.sort_unstable();
        if within.until == until {
            products.retain(|(hash, _)| *hash > within.after);
        }
        page.next = (until != 0).then_some(StockCursor::Warehouses(until));
        let mut before = cursor;
        for (hash, product) in products {
            if !work.is_wanted(query, &product) || !may_see(&product) {
                continue;
            }
            if !work.has_room_for(warehouses_of(keys, &product)) {
                page.next = Some(before);
                return Ok(page);
            }
            page.list(keys, query, product);
            before = StockCursor::Within(Within { from: within.from, until, after: hash });
        }
    }
    Ok(page)
}

impl StockPage {
    /// Removes the products that the page has listed before.
    fn list_each_once(&mut self) {
        let mut listed = HashSet::with_capacity(self.found.len());
        self.found.retain(|(product, _)| listed.insert(product.clone()));
    }

    /// Lists a product, if it is there and the query asks for it.
    fn list<K: Keyspace>(&mut self, keys: &mut K, query: &StockScanQuery, product: Product) {
        let stocked = stock_now(keys, &product);
        if is_listed(&stocked, query.low) {
            self.found.push((product, stocked));
        }
    }
}

/// What a page has examined so far.
#[derive(Default)]
struct Work {
    keys: usize,
    warehouses: usize,
}

impl Work {
    /// Whether the product matches the pattern.
    fn is_wanted(&mut self, query: &StockScanQuery, product: &Product) -> bool {
        let Some(pattern) = &query.pattern else { return true };
        self.keys = self.keys.saturating_add(pattern.work(product.as_str()));
        pattern.matches(product.as_str())
    }

    /// Whether so many warehouses may be read for the page. The first product of a page always has room.
    fn has_room_for(&mut self, warehouses: usize) -> bool {
        self.warehouses = self.warehouses.saturating_add(warehouses);
        self.warehouses <= MOST_A_REQUEST
    }
}

/// A hash that is the same in every call.
fn hash_of(product: &Product) -> u64 {
    let mut hasher = DefaultHasher::new();
    product.as_str().hash(&mut hasher);
    hasher.finish()
}

/// The product that the walk finds at this counter or floor, if any: one that has no warehouses. A product with both
/// counters is found at the available one. One with a floor is found there as well, because the first RESERVE creates the
/// counters of a product that only has a floor, and the walk may have passed their places already.
fn kept_under_its_name<K: Keyspace>(keys: &mut K, counter: Counted) -> Option<Product> {
    let (sku, is_always_found) = match counter {
        Counted::Available(sku) | Counted::Floor(sku) => (sku, true),
        Counted::Reserved(sku) => (sku, false),
    };
    if sku.warehouse().is_some()
        || sku.is_quota()
        || (!is_always_found && keys.peek(Key::Available(&sku)) != Reading::Absent)
    {
        return None;
    }
    let has_none = keys.ledger(|ledger| ledger.has_no_warehouses(sku.product()));
    // A key that is not a set is found among the sets.
    let is_found = has_none || matches!(places::standing(keys, &sku), Ok(Standing::Counts));
    is_found.then(|| Product::of(&sku))
}

/// The number of warehouses that are read for this product.
fn warehouses_of<K: Keyspace>(keys: &mut K, product: &Product) -> usize {
    match keys.ranking(Key::Warehouses(product.as_str()), 0) {
        Ranking::TooMany(count) if count <= MOST => count,
        Ranking::TooMany(_) | Ranking::Members(_) | Ranking::Absent | Ranking::Other(_) => 0,
    }
}

/// The stock of a product as INV.STOCK would answer it now.
fn stock_now<K: Keyspace>(keys: &mut K, product: &Product) -> Stocked {
    match keys.slot_state(product.as_str()) {
        SlotState::Stable => {
            let places = places::places(keys, product.as_str())?;
            stock_of(keys, product, places)
        }
        // It arrives as a whole, or was left behind: the other node lists it.
        SlotState::Elsewhere => Ok(None),
        SlotState::Migrating | SlotState::Importing | SlotState::Unassigned => {
            Err(Refusal::SlotMoving(Slot::of(product.as_str())))
        }
    }
}

/// A product that cannot be read is listed even if only low ones are wanted, since it may be one of them.
fn is_listed(stocked: &Stocked, low: bool) -> bool {
    match stocked {
        Ok(None) => false,
        Ok(Some(view)) => !low || view.units.reservable <= view.threshold.max(0),
        Err(_) => true,
    }
}

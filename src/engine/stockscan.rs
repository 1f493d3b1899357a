//! `INV.STOCKSCAN`: a walk over the stock of all products.

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
}

impl StockCursor {
    /// The start of a walk.
    pub const START: Self = Self::Counters(0);

    /// Reads a cursor: `0`, or the cursor of an earlier page. Returns `None` for any other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_at_checked(1)? {
            ("c", number) => number.parse().ok().map(Self::Counters),
            ("w", number) => number.parse().ok().map(Self::Warehouses),
            _ => (text == "0").then_some(Self::START),
        }
    }

    /// The text of the cursor, as a page contains it.
    pub fn spell(self) -> String {
        match self {
            Self::Counters(number) => format!("c{number}"),
            Self::Warehouses(number) => format!("w{number}"),
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
    /// List only products whose available units are at or below their threshold, or at 0 if they have none.
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

/// The number of keys that are examined for one page, whether their products are listed or not.
const KEYS_A_PAGE: usize = 2048;

/// The number of keys that one SCAN examines at least. A SCAN costs about as much as examining so many.
const FEWEST: usize = 16;

/// The number of keys that one SCAN examines at most.
const STEP: usize = 128;

/// The same for sets of warehouses, each of which may have a thousand.
const SETS: usize = 16;

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
    let mut page = StockPage { next: Some(query.cursor), found: Vec::new() };
    let (mut looked_at, mut places, mut sets) = (0_usize, 0_usize, SETS);
    let is_wanted = |product: &Product, looked_at: &mut usize| {
        let Some(pattern) = &query.pattern else { return may_see(product) };
        *looked_at = looked_at.saturating_add(pattern.work(product.as_str()));
        pattern.matches(product.as_str()) && may_see(product)
    };
    while let Some(cursor) = page.next {
        if looked_at >= KEYS_A_PAGE || page.found.len() >= query.count {
            break;
        }
        let (mut products, next) = match cursor {
            StockCursor::Counters(at) => {
                let step = query.count.saturating_sub(page.found.len()).clamp(FEWEST, STEP);
                let (next, counters) = keys.counters(at, step)?;
                looked_at = looked_at.saturating_add(step.max(counters.len()));
                let mut products: Vec<Product> = Vec::with_capacity(counters.len());
                for counter in counters {
                    products.extend(kept_under_its_name(keys, counter));
                }
                let has_none = next == 0 && keys.ledger(|ledger| ledger.have_no_warehouses());
                let next = match next {
                    0 if has_none => None,
                    0 => Some(StockCursor::Warehouses(0)),
                    next => Some(StockCursor::Counters(next)),
                };
                (products, next)
            }
            StockCursor::Warehouses(at) => {
                let (next, products) = keys.products_in_warehouses(at, sets)?;
                looked_at = looked_at.saturating_add(FEWEST.max(products.len()));
                (products, (next != 0).then_some(StockCursor::Warehouses(next)))
            }
        };
        products.retain(|product| is_wanted(product, &mut looked_at));
        if let StockCursor::Warehouses(_) = cursor {
            let here =
                products.iter().map(|product| warehouses_of(keys, product)).fold(0, usize::saturating_add);
            places = places.saturating_add(here);
            if places > MOST_A_REQUEST {
                if sets > 1 {
                    // The same sets once more, fewer at a time.
                    places = places.saturating_sub(here);
                    sets = 1;
                    continue;
                }
                if !page.found.is_empty() {
                    break;
                }
            }
        }
        page.next = next;
        for product in products {
            let stocked = stock_now(keys, &product);
            if is_listed(&stocked, query.low) {
                page.found.push((product, stocked));
            }
        }
    }
    Ok(page)
}

/// The product that the walk finds at this counter, if any: one that has no warehouses. A product with both counters is
/// found at the available one.
fn kept_under_its_name<K: Keyspace>(keys: &mut K, counter: Counted) -> Option<Product> {
    let (sku, is_available) = match counter {
        Counted::Available(sku) => (sku, true),
        Counted::Reserved(sku) => (sku, false),
    };
    if sku.warehouse().is_some() || (!is_available && keys.peek(Key::Available(&sku)) != Reading::Absent) {
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
        Ok(Some(view)) => !low || view.units.available <= view.threshold.max(0),
        Err(_) => true,
    }
}

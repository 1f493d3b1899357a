//! Decides which warehouses supply a line that names only a product.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::line::{Line, Sum};
use super::quantity::{MAX_EXACT, Quantity};
use super::refusal::Shortage;
use super::sku::Sku;

/// How the units of a line may be divided among the warehouses of its product: the `SPLIT` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Takes all that each warehouse has, in order of priority, until the line is covered.
    #[default]
    Priority,
    /// Takes from as few warehouses as possible.
    Fewest,
    /// Takes everything from one warehouse, or refuses.
    None,
}

impl Split {
    /// The name, as the `SPLIT` option takes it.
    pub fn name(self) -> &'static str {
        match self {
            Split::Priority => "priority",
            Split::Fewest => "fewest",
            Split::None => "none",
        }
    }

    /// Returns the split with this name, ignoring case, or `None` if there is no such split.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Priority, Self::Fewest, Self::None]
            .into_iter()
            .find(|split| name.eq_ignore_ascii_case(split.name().as_bytes()))
    }
}

/// The stock that one requested line may take from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stock<'a> {
    /// The available units of the line's own sku. The line names a warehouse, or its product has none.
    Own(i64),
    /// The warehouses of the line's product in order of priority, each with its available units.
    Warehouses(Vec<(&'a Sku, i64)>),
}

/// The index of a requested line that cannot be covered, and its shortage. The caller has to find out whether the sku
/// exists at all.
pub type Short = (usize, Shortage);

/// Resolves the requested lines into the lines to take. In both lists each sku occurs once; the result keeps the order
/// of the request.
///
/// `stocks` holds one entry for each requested line, in the same order. Lines that name a warehouse take first. Each
/// product then takes from what they leave, divided as `split` says. The units taken of a product add up to the units
/// requested, and no warehouse gives more than it has. Runs in O(n log n) for n warehouses.
///
/// # Errors
///
/// If any line cannot be covered, nothing is taken, and every such line is returned.
pub fn pick<'a>(
    asked: &'a [Line],
    stocks: &[Stock<'_>],
    split: Split,
) -> Result<Cow<'a, [Line]>, Vec<Short>> {
    let is_split = has_warehouses(stocks);
    let (picks, shorts) = resolve::<false>(asked, stocks, split, is_split);
    if !shorts.is_empty() {
        return Err(shorts);
    }
    Ok(if is_split { Cow::Owned(picks) } else { Cow::Borrowed(asked) })
}

/// Like [`pick`], but takes of each line as much as there is, and with [`Split::None`] from the warehouse that has the
/// most. Lines of which there is nothing are left out.
pub fn pick_what_there_is(asked: &[Line], stocks: &[Stock<'_>], split: Split) -> Vec<Line> {
    resolve::<true>(asked, stocks, split, true).0
}

fn has_warehouses(stocks: &[Stock<'_>]) -> bool {
    stocks.iter().any(|stock| matches!(stock, Stock::Warehouses(_)))
}

/// The lines to take, which are collected only if `collects`, and the lines that cannot be covered. With `PARTLY`, as much
/// as there is of these is taken too.
#[inline]
fn resolve<const PARTLY: bool>(
    asked: &[Line],
    stocks: &[Stock<'_>],
    split: Split,
    collects: bool,
) -> (Vec<Line>, Vec<Short>) {
    let mut shorts = Vec::new();
    let mut short = |index, line: &Line, available| {
        let (sku, requested) = (line.sku.clone(), line.quantity.units());
        let shortage = Shortage { sku, requested, available, is_known: true };
        shorts.push((index, shortage));
    };
    let named: HashMap<&Sku, i64> = asked
        .iter()
        .filter(|line| collects && line.sku.warehouse().is_some())
        .map(|line| (&line.sku, line.quantity.units()))
        .collect();
    let mut picks = Sum::with_capacity(asked.len());
    // This sum stays in the range of a quantity: no warehouse gives more than `MAX_EXACT`, named lines included.
    let mut take = |line| drop(picks.add(line));
    for (index, (line, stock)) in asked.iter().zip(stocks).enumerate() {
        match stock {
            Stock::Own(available) if *available < line.quantity.units() => {
                short(index, line, *available);
                if PARTLY && let Some(quantity) = Quantity::new(*available) {
                    take(Line { sku: line.sku.clone(), quantity });
                }
            }
            Stock::Own(_) => {
                if collects {
                    take(line.clone());
                }
            }
            Stock::Warehouses(places) => {
                // Another client may have set the counter above what a line can express, so the excess is ignored.
                let left = |(sku, available): &(&Sku, i64)| {
                    let taken = named.get(sku).copied().unwrap_or_default();
                    (*available).min(MAX_EXACT).saturating_sub(taken)
                };
                let left: Vec<i64> = places.iter().map(left).collect();
                let mut found = allocate(&left, line.quantity, split);
                if found.is_none() {
                    let most = most(&left, split);
                    short(index, line, most);
                    if PARTLY {
                        found = Quantity::new(most).and_then(|most| allocate(&left, most, split));
                    }
                }
                for (place, quantity) in found.into_iter().flatten() {
                    if let Some((sku, _)) = places.get(place) {
                        take(Line { sku: (*sku).clone(), quantity });
                    }
                }
            }
        }
    }
    (picks.into_lines(), shorts)
}

/// The largest quantity that these warehouses could give.
fn most(available: &[i64], split: Split) -> i64 {
    let units = available.iter().map(|units| (*units).max(0));
    match split {
        Split::Priority | Split::Fewest => units.fold(0, i64::saturating_add),
        Split::None => units.max().unwrap_or_default(),
    }
}

/// Takes `wanted` units from the warehouses of one product.
///
/// `available` holds the available units of each warehouse in order of priority; a negative number counts as 0. The
/// result lists an index into `available` and at least one unit for each warehouse used, in order of priority, and adds
/// up to `wanted`. Returns `None` if the warehouses have too little in total, or, for [`Split::None`], if no single
/// warehouse has enough.
///
/// - [`Split::Priority`] and [`Split::None`] look at each warehouse once: O(n).
/// - [`Split::Fewest`] uses the smallest possible number of warehouses. Among the sets of that size it prefers the one
///   that contains the first warehouse, then the one that contains the second, and so on. Every warehouse of the set
///   gives all it has, except the last, which gives the rest. O(n log n) time, O(n) memory.
///
/// ```
/// use redis_inventory::inventory::allocation::{Split, allocate};
/// use redis_inventory::inventory::quantity::Quantity;
///
/// let units = |units| Quantity::new(units).unwrap();
/// let available = [2, 5, 4];
/// assert_eq!(
///     allocate(&available, units(6), Split::Priority),
///     Some(vec![(0, units(2)), (1, units(4))])
/// );
/// assert_eq!(allocate(&available, units(4), Split::Fewest), Some(vec![(1, units(4))]));
/// assert_eq!(allocate(&available, units(6), Split::None), None);
/// ```
pub fn allocate(available: &[i64], wanted: Quantity, split: Split) -> Option<Vec<(usize, Quantity)>> {
    let mut stocked = available.iter().copied().enumerate().filter(|(_, available)| *available > 0);
    match split {
        Split::Priority => fill(stocked, wanted),
        Split::Fewest => fill(fewest(&stocked.collect::<Vec<_>>(), wanted)?, wanted),
        Split::None => {
            let (index, _) = stocked.find(|(_, available)| *available >= wanted.units())?;
            Some(vec![(index, wanted)])
        }
    }
}

/// Takes everything from each place in turn until `wanted` is covered. Returns `None` if the places have too little.
/// Each place must have at least one unit.
fn fill(places: impl IntoIterator<Item = (usize, i64)>, wanted: Quantity) -> Option<Vec<(usize, Quantity)>> {
    let mut missing = wanted.units();
    let mut picks = Vec::new();
    for (index, available) in places {
        let units = Quantity::new(available.min(missing))?;
        picks.push((index, units));
        missing = missing.checked_sub(units.units())?;
        if missing == 0 {
            return Some(picks);
        }
    }
    None
}

/// Returns the smallest set of places that together have `wanted` units, or `None` if all of them have too little. If
/// several sets are equally small, the first by priority is returned.
///
/// Each place must have at least one unit. Since no smaller set suffices, [`fill`] takes from every place of the set.
fn fewest(places: &[(usize, i64)], wanted: Quantity) -> Option<Vec<(usize, i64)>> {
    // The largest places, added until they suffice, give the size of the smallest set.
    let mut by_size: BinaryHeap<_> = places.iter().map(|(index, units)| (*units, Reverse(*index))).collect();
    let mut later = BTreeSet::new();
    // The units that the set has beyond `wanted`. The number is negative until the last place is added, so no sum
    // overflows and none of the checked operations fails.
    let mut surplus = wanted.units().checked_neg()?;
    while surplus < 0 {
        let largest = by_size.pop()?;
        surplus = surplus.checked_add(largest.0)?;
        later.insert(largest);
    }
    // The set consists of `chosen` and `later`. `later` always holds the largest places not yet visited, as many as
    // remain to be chosen. A visited place is chosen if the set still suffices when the place replaces the smallest of
    // `later`. A place that is not chosen was not in `later`, so `later` stays correct.
    let mut chosen = Vec::with_capacity(later.len());
    for (index, units) in places {
        if !later.remove(&(*units, Reverse(*index))) {
            let Some((smallest, _)) = later.first() else { break };
            let lost = smallest.checked_sub(*units)?;
            if lost > surplus {
                continue;
            }
            surplus = surplus.checked_sub(lost)?;
            later.pop_first();
        }
        chosen.push((*index, *units));
    }
    Some(chosen)
}

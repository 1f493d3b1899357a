//! Which warehouses of a product give the units of a line that names none of them.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::line::{Line, Sum};
use super::quantity::{MAX_EXACT, Quantity};
use super::refusal::Shortage;
use super::sku::Sku;

/// How a line may be split over the warehouses of its product: the `SPLIT` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// Each warehouse gives what it has, the first by priority first.
    #[default]
    Priority,
    /// As few warehouses as possible.
    Fewest,
    /// One warehouse gives all, or none does.
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

    /// The split of that name, in any case; `None` where there is none.
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Priority, Self::Fewest, Self::None]
            .into_iter()
            .find(|split| name.eq_ignore_ascii_case(split.name().as_bytes()))
    }
}

/// What one asked line may take from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stock<'a> {
    /// The available units of the line's own sku: a product that has no warehouses, or one warehouse by name.
    Own(i64),
    /// The warehouses of the line's product in order of priority, each with its available units.
    Warehouses(Vec<(&'a Sku, i64)>),
}

/// An asked line, by its index, of which there is not enough. Whether the sku is known at all is for the caller to find out.
pub type Short = (usize, Shortage);

/// Resolves the lines that were asked for, each sku once, into the lines to take, each sku once, in order of asking.
/// `stocks` are the stocks of the lines, in their order. Lines that name a warehouse take first; each product takes from
/// what they leave, as `split` says. The sum of what is taken of a product is what was asked of it, and no place gives more
/// than it has. Every line that is short is told, and then nothing is taken. O(n log n) in the number of places.
pub fn pick<'a>(
    asked: &'a [Line],
    stocks: &[Stock<'_>],
    split: Split,
) -> Result<Cow<'a, [Line]>, Vec<Short>> {
    let mut shorts = Vec::new();
    let mut short = |index, line: &Line, available| {
        let (sku, requested) = (line.sku.clone(), line.quantity.units());
        let shortage = Shortage { sku, requested, available, is_known: true };
        shorts.push((index, shortage));
    };
    let is_split = stocks.iter().any(|stock| matches!(stock, Stock::Warehouses(_)));
    let named: HashMap<&Sku, i64> = asked
        .iter()
        .filter(|line| is_split && line.sku.warehouse().is_some())
        .map(|line| (&line.sku, line.quantity.units()))
        .collect();
    let mut picks = Sum::with_capacity(asked.len());
    // No place gives more than a quantity can be: what a line names of it and what its product takes add up to one.
    let mut take = |line| drop(picks.add(line));
    for (index, (line, stock)) in asked.iter().zip(stocks).enumerate() {
        match stock {
            Stock::Own(available) if *available < line.quantity.units() => short(index, line, *available),
            Stock::Own(_) => {
                if is_split {
                    take(line.clone());
                }
            }
            Stock::Warehouses(places) => {
                // Another client may have written more into the counter than a line can say: no more than that counts.
                let left = |(sku, available): &(&Sku, i64)| {
                    let taken = named.get(sku).copied().unwrap_or_default();
                    (*available).min(MAX_EXACT).saturating_sub(taken)
                };
                let left: Vec<i64> = places.iter().map(left).collect();
                match allocate(&left, line.quantity, split) {
                    None => short(index, line, most(&left, split)),
                    Some(found) => {
                        for (place, quantity) in found {
                            if let Some((sku, _)) = places.get(place) {
                                take(Line { sku: (*sku).clone(), quantity });
                            }
                        }
                    }
                }
            }
        }
    }
    if !shorts.is_empty() {
        return Err(shorts);
    }
    Ok(if is_split { Cow::Owned(picks.into_lines()) } else { Cow::Borrowed(asked) })
}

/// The largest quantity that these warehouses could give.
fn most(available: &[i64], split: Split) -> i64 {
    let units = available.iter().map(|units| (*units).max(0));
    match split {
        Split::Priority | Split::Fewest => units.fold(0, i64::saturating_add),
        Split::None => units.max().unwrap_or_default(),
    }
}

/// Takes `wanted` units from the warehouses of one product, whose available units these are in order of priority; below
/// 0 counts as 0. Gives the picks in that order, each an index and at least one unit of it, that add up to `wanted`;
/// `None` where the warehouses do not have that much, or, for [`Split::None`], where no single one has.
///
/// - [`Split::Priority`] and [`Split::None`] look at each warehouse once: O(n).
/// - [`Split::Fewest`] picks no more warehouses than any other way would. Of the sets of so few that have enough, it
///   is the one whose indices, in order, are the smallest: the first warehouse if any such set holds it, then the
///   second if any such set holds it beside those, and so on. All but the last give all they have, and the last the
///   rest. O(n log n) time, O(n) memory.
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

/// Takes all that each place has, one unit or more, until nothing is missing; `None` where something still is.
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

/// The first, by priority, of the smallest sets of places that have `wanted` together; `None` where all are short. Each
/// place has one unit or more. Each of the set is needed, or a smaller set would do: so [`fill`] takes from each.
fn fewest(places: &[(usize, i64)], wanted: Quantity) -> Option<Vec<(usize, i64)>> {
    // No set is smaller than the largest places together, added until they suffice.
    let mut by_size: BinaryHeap<_> = places.iter().map(|(index, units)| (*units, Reverse(*index))).collect();
    let mut later = BTreeSet::new();
    // What the set has beyond what is wanted: below 0 until the last place is added, so no sum leaves 64 bits and none of
    // the checks fails.
    let mut surplus = wanted.units().checked_neg()?;
    while surplus < 0 {
        let largest = by_size.pop()?;
        surplus = surplus.checked_add(largest.0)?;
        later.insert(largest);
    }
    // The set is what was chosen so far, and `later`: as many of the largest places not yet looked at as are still to be
    // chosen. A place belongs to the answer if the set suffices with it, instead of the smallest of `later`. One that does
    // not is none of the largest, so without it `later` is still right.
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

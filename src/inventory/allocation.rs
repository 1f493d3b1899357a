//! Which warehouses of a product give the units of a line that names none of them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::quantity::Quantity;

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

/// One warehouse of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its name.
    pub warehouse: &'a str,
    /// Units that can be taken there, after what the lines that name this warehouse took. Below 0 counts as 0.
    pub available: i64,
}

/// Takes `wanted` units from `places`, the warehouses of one product in order of priority. Gives the picks in that
/// order, each an index into `places` and at least one unit of it, that add up to `wanted`; `None` where the warehouses
/// do not have that much, or, for [`Split::None`], where no single one has.
///
/// - [`Split::Priority`] and [`Split::None`] look at each warehouse once: O(n).
/// - [`Split::Fewest`] picks no more warehouses than any other way would. Of the sets of so few that have enough, it
///   is the one whose indices, in order, are the smallest: the first warehouse if any such set holds it, then the
///   second if any such set holds it beside those, and so on. All but the last give all they have, and the last the
///   rest. O(n log n) time, O(n) memory.
pub fn allocate(places: &[Place<'_>], wanted: Quantity, split: Split) -> Option<Vec<(usize, Quantity)>> {
    let mut stocked =
        places.iter().map(|place| place.available).enumerate().filter(|(_, available)| *available > 0);
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

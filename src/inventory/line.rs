//! Lines (a number of units of one sku), their sums, and their JSON.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use super::quantity::{MAX_EXACT, Quantity};
use super::sku::{KeyStyle, Sku};

/// A number of units of one sku.
///
/// ```
/// use redis_inventory::inventory::line::{Line, describe};
/// use redis_inventory::inventory::quantity::Quantity;
/// use redis_inventory::inventory::sku::{KeyStyle, Sku};
///
/// let sku = Sku::parse(b"PROD-123@north", KeyStyle::Plain).unwrap();
/// let line = Line { sku, quantity: Quantity::new(5).unwrap() };
/// assert_eq!(describe(&[line]), "PROD-123@north 5");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The sku.
    pub sku: Sku,
    /// The number of units.
    pub quantity: Quantity,
}

/// Formats lines for a reader: `PROD-123 5, PROD-9 1`. [`Sku::listed`] quotes the names.
pub fn describe(lines: &[Line]) -> String {
    let mut out = String::new();
    for Line { sku, quantity } in lines {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{} {}", sku.listed(), quantity.units());
    }
    out
}

/// The quantities of this sku add up to more than [`MAX_EXACT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumTooLarge(pub Sku);

impl fmt::Display for SumTooLarge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the quantities of {} add up to more than {MAX_EXACT}", self.0)
    }
}

impl std::error::Error for SumTooLarge {}

/// The number of lines up to which a linear search replaces an index.
const FEW: usize = 32;

/// A sum of lines, in which each sku occurs once. The skus keep the order in which they were first added. Adding a line
/// takes O(1), however many there are.
#[derive(Debug, Default)]
pub struct Sum {
    lines: Vec<Line>,
    /// The position of each sku in `lines`. `None` while there are few lines.
    index: Option<HashMap<Sku, usize>>,
}

impl Sum {
    /// Creates an empty sum with room for `capacity` lines.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { lines: Vec::with_capacity(capacity), index: None }
    }

    /// Adds a line.
    ///
    /// # Errors
    ///
    /// [`SumTooLarge`] if the total of the sku would exceed the range of quantities. The sum is then unchanged.
    pub fn add(&mut self, line: Line) -> Result<(), SumTooLarge> {
        let Some(same) = self.find(&line.sku) else {
            self.push(line);
            return Ok(());
        };
        same.quantity = same.quantity.plus(line.quantity).ok_or(SumTooLarge(line.sku))?;
        Ok(())
    }

    /// The lines of the sum.
    pub fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    fn find(&mut self, sku: &Sku) -> Option<&mut Line> {
        match &self.index {
            None => self.lines.iter_mut().find(|known| known.sku == *sku),
            Some(index) => index.get(sku).and_then(|place| self.lines.get_mut(*place)),
        }
    }

    /// Adds a line whose sku is not in the sum yet.
    fn push(&mut self, line: Line) {
        self.lines.push(line);
        if self.lines.len() <= FEW {
            return;
        }
        let new = if self.index.is_none() { 0 } else { self.lines.len().saturating_sub(1) };
        let places = self.lines.iter().enumerate().skip(new);
        self.index.get_or_insert_default().extend(places.map(|(place, line)| (line.sku.clone(), place)));
    }
}

/// Combines several lists of lines into one, in which each sku occurs once.
pub fn sum_lines(lists: &[&[Line]]) -> Vec<Line> {
    let mut sum = Sum::with_capacity(lists.iter().map(|list| list.len()).sum());
    for line in lists.iter().flat_map(|list| list.iter()) {
        // These lists are parts of one request, whose total has already been checked.
        let _ = sum.add(line.clone());
    }
    sum.into_lines()
}

/// Whether two lists contain the same lines in any order. Each sku must occur at most once in a list.
pub(super) fn same_lines(a: &[Line], b: &[Line]) -> bool {
    let sorted = |lines: &[Line]| {
        let mut lines: Vec<(Sku, Quantity)> =
            lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    a == b || (a.len() == b.len() && sorted(a) == sorted(b))
}

/// The units of each sku. Each sku must occur at most once in `lines`.
pub fn units_by_sku(lines: &[Line]) -> HashMap<&Sku, i64> {
    lines.iter().map(|line| (&line.sku, line.quantity.units())).collect()
}

/// Subtracts `part` from `lines`. Each sku must occur at most once in each list.
pub fn minus(lines: &[Line], part: &[Line]) -> Vec<Line> {
    if part == lines {
        return Vec::new();
    }
    let part = units_by_sku(part);
    let rest = |line: &Line| {
        let gone = part.get(&line.sku).copied().unwrap_or_default();
        let quantity = Quantity::new(line.quantity.units().saturating_sub(gone))?;
        Some(Line { sku: line.sku.clone(), quantity })
    };
    lines.iter().filter_map(rest).collect()
}

/// The units of `asked` that `given` does not cover. Lines that name a sku of `given` take from it first. Lines that name
/// only a product take from the rest of the product.
pub fn missing(asked: &[Line], given: &[Line]) -> Vec<Line> {
    let mut left = units_by_sku(given);
    let mut lacks: Vec<i64> = asked.iter().map(|line| line.quantity.units()).collect();
    for (line, lack) in asked.iter().zip(&mut lacks) {
        if let Some(units) = left.get_mut(&line.sku) {
            let taken = (*lack).min(*units);
            *units = units.saturating_sub(taken);
            *lack = lack.saturating_sub(taken);
        }
    }
    let mut of_product: HashMap<&str, i64> = HashMap::new();
    for (sku, units) in left {
        let sum = of_product.entry(sku.product()).or_default();
        *sum = sum.saturating_add(units);
    }
    for (line, lack) in asked.iter().zip(&mut lacks).filter(|(line, _)| line.sku.warehouse().is_none()) {
        if let Some(units) = of_product.get_mut(line.sku.product()) {
            let taken = (*lack).min(*units);
            *units = units.saturating_sub(taken);
            *lack = lack.saturating_sub(taken);
        }
    }
    let lacking =
        |(line, lack): (&Line, i64)| Some(Line { sku: line.sku.clone(), quantity: Quantity::new(lack)? });
    asked.iter().zip(lacks).filter_map(lacking).collect()
}

/// A line as JSON, in records, outcomes and replies.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineJson<'a> {
    #[serde(borrow)]
    pub(super) product_id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) warehouse: Option<Cow<'a, str>>,
    pub(super) quantity: i64,
}

impl<'a> LineJson<'a> {
    pub(super) fn of(line: &'a Line) -> Self {
        Self {
            product_id: line.sku.product().into(),
            warehouse: line.sku.warehouse().map(Cow::from),
            quantity: line.quantity.units(),
        }
    }

    pub(super) fn into_line(self, style: KeyStyle) -> Option<Line> {
        let sku = Sku::from_parts(&self.product_id, self.warehouse.as_deref(), style).ok()?;
        Some(Line { sku, quantity: Quantity::new(self.quantity)? })
    }
}

/// What a reservation holds of its buyer's quotas, as JSON. The lines leave out the buyer. Few reservations have any, so that
/// they are kept in a box: a document without them is moved at little cost.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct QuotaJson<'a>(#[serde(borrow)] pub(super) Vec<LineJson<'a>>);

impl<'a> QuotaJson<'a> {
    /// The JSON of these lines; `None` if there are none.
    pub(super) fn of(quota: &'a [Line]) -> Option<Box<Self>> {
        if quota.is_empty() { None } else { Some(Box::new(Self(quota.iter().map(LineJson::of).collect()))) }
    }

    /// Converts the lines. Returns `None` if a line is invalid, if a product occurs twice, or if there are lines but no buyer.
    #[cold]
    pub(super) fn into_lines(self, buyer: Option<&str>, style: KeyStyle) -> Option<Vec<Line>> {
        let mut lines = Vec::with_capacity(self.0.len());
        for LineJson { product_id, warehouse, quantity } in self.0 {
            let sku = Sku::quota_from_parts(&product_id, buyer?, style).ok()?;
            if warehouse.is_some() || lines.iter().any(|known: &Line| known.sku == sku) {
                return None;
            }
            lines.push(Line { sku, quantity: Quantity::new(quantity)? });
        }
        Some(lines)
    }
}

/// Converts lines read from JSON. Returns `None` if a line is invalid or a sku occurs twice.
pub(super) fn lines_from_json(json: Vec<LineJson<'_>>, style: KeyStyle) -> Option<Vec<Line>> {
    let mut lines = Sum::with_capacity(json.len());
    for line in json {
        let line = line.into_line(style)?;
        if lines.find(&line.sku).is_some() {
            return None;
        }
        lines.push(line);
    }
    Some(lines.into_lines())
}

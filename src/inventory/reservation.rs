//! The record of a reservation, its JSON, its states, and what each command may do in each of them.
//!
//! **Invariant:** a record exists exactly as long as it holds stock. Its JSON is read by any client and loaded by
//! later versions: fields are added, never renamed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::error::Refusal;
use super::outcome::{Ending, Outcome};
use super::quantity::{MAX_EXACT, Quantity, UnixMs};
use super::sku::{KeyStyle, ReservationId, Sku};

/// So many units of one sku.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
}

/// The lines for a reader: `PROD-123 5, PROD-9 1`, names as [`Sku::listed`] shows them.
pub fn describe(lines: &[Line]) -> String {
    let mut out = String::new();
    for Line { sku, quantity } in lines {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{} {}", sku.listed(), quantity.units());
    }
    out
}

/// So many lines are walked over to find one of them; of more, an index is kept.
const FEW: usize = 32;

/// Lines that are added up, each sku once, in the order in which the skus came. O(1) for each, whatever their number.
#[derive(Debug, Default)]
pub struct Sum {
    lines: Vec<Line>,
    /// Where each sku stands; empty while there are few.
    index: HashMap<Sku, usize>,
}

impl Sum {
    /// No lines yet, and room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { lines: Vec::with_capacity(capacity), index: HashMap::new() }
    }

    /// Adds a line. `ERR` where the sum of its sku leaves the range of quantities.
    pub fn add(&mut self, line: Line) -> Result<(), Refusal> {
        let Some(same) = self.find(&line.sku) else {
            self.push(line);
            return Ok(());
        };
        same.quantity = same.quantity.plus(line.quantity).ok_or_else(|| {
            Refusal::invalid(format!("the quantities of {} add up to more than {MAX_EXACT}", line.sku))
        })?;
        Ok(())
    }

    /// The lines.
    pub fn into_lines(self) -> Vec<Line> {
        self.lines
    }

    fn find(&mut self, sku: &Sku) -> Option<&mut Line> {
        if self.index.is_empty() {
            return self.lines.iter_mut().find(|known| known.sku == *sku);
        }
        self.index.get(sku).and_then(|place| self.lines.get_mut(*place))
    }

    /// Adds a line of a sku that is not there.
    fn push(&mut self, line: Line) {
        self.lines.push(line);
        let new = match self.lines.len() {
            0..=FEW => return,
            _ if self.index.is_empty() => 0,
            count => count.saturating_sub(1),
        };
        let places = self.lines.iter().enumerate().skip(new);
        self.index.extend(places.map(|(place, line)| (line.sku.clone(), place)));
    }
}

/// Lists of lines as one, each sku once.
pub fn sum_lines(lists: &[&[Line]]) -> Vec<Line> {
    let mut sum = Sum::with_capacity(lists.iter().map(|list| list.len()).sum());
    for line in lists.iter().flat_map(|list| list.iter()) {
        // These lists are parts of one request, whose sums were checked.
        let _ = sum.add(line.clone());
    }
    sum.into_lines()
}

/// Whether two lists of lines, each sku once in each, name the same units in any order.
fn same_lines(a: &[Line], b: &[Line]) -> bool {
    let sorted = |lines: &[Line]| {
        let mut lines: Vec<(Sku, Quantity)> =
            lines.iter().map(|line| (line.sku.clone(), line.quantity)).collect();
        lines.sort_unstable();
        lines
    };
    a == b || (a.len() == b.len() && sorted(a) == sorted(b))
}

/// The units of each sku; each stands once.
pub fn units_by_sku(lines: &[Line]) -> HashMap<&Sku, i64> {
    lines.iter().map(|line| (&line.sku, line.quantity.units())).collect()
}

/// The lines without `part`, each sku once in each.
pub(super) fn minus(lines: &[Line], part: &[Line]) -> Vec<Line> {
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

/// One live reservation, as `reservation:{id}` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: ReservationId,
    /// When it was made.
    pub created_at: UnixMs,
    /// The deadline that it was written with. The key's TTL decides, where it has one.
    pub expires_at: UnixMs,
    /// What it holds: each sku once.
    pub items: Vec<Line>,
    /// What it was asked for, where that is something else than all that it held: lines that were split over
    /// warehouses.
    pub asked: Option<Vec<Line>>,
    /// What has been sold of it, in parts.
    pub sold: Vec<Line>,
    /// What has been given back of it, in parts.
    pub returned: Vec<Line>,
    /// Free text of the client.
    pub data: Option<String>,
    /// Another client has put it back, and its units may be others': it moves none that another reservation holds.
    pub restored: bool,
}

/// How a record came back by another client's command (RESTORE, RENAME, COPY), as the module writes it into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// While its reservation was live: it moves no units that another reservation holds.
    Live,
    /// After its reservation had ended: it is no reservation, also when nobody remembers the end.
    Ended,
}

/// A line in JSON, in records, outcomes and replies.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineJson<'a> {
    #[serde(borrow)]
    product_id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    warehouse: Option<Cow<'a, str>>,
    quantity: i64,
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

/// Lines read from JSON; `None` where one is not valid or a sku stands twice.
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordJson<'a> {
    #[serde(borrow)]
    reservation_id: Cow<'a, str>,
    created_at: UnixMs,
    expires_at: UnixMs,
    #[serde(borrow)]
    items: Vec<LineJson<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    asked: Option<Vec<LineJson<'a>>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    sold: Vec<LineJson<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    returned: Vec<LineJson<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    data: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restored: Option<Restored>,
}

impl Record {
    /// A new reservation, made at `now`.
    pub fn new(
        id: ReservationId,
        now: UnixMs,
        deadline: UnixMs,
        items: Vec<Line>,
        data: Option<String>,
    ) -> Self {
        let (asked, sold, returned) = (None, Vec::new(), Vec::new());
        let restored = false;
        Self { id, created_at: now, expires_at: deadline, items, asked, sold, returned, data, restored }
    }

    /// Remembers that `asked` was asked for, where its items are not the same.
    pub fn asked_for(self, asked: &[Line]) -> Self {
        let asked = (!same_lines(&self.items, asked)).then(|| asked.to_vec());
        Self { asked, ..self }
    }

    /// What it was asked for.
    pub fn asked(&self) -> Vec<Line> {
        self.asked.clone().unwrap_or_else(|| self.whole())
    }

    /// All that it held in its life: what it holds, and what went in parts.
    pub fn whole(&self) -> Vec<Line> {
        sum_lines(&[&self.items, &self.sold, &self.returned])
    }

    /// The lines of this record that `part` names. A product without a warehouse takes from the record's lines of
    /// it, in their order. `ERR` where more is asked than is held.
    pub fn resolve_part(&self, part: &[Line]) -> Result<Vec<Line>, Refusal> {
        let mut left: HashMap<&Sku, i64> = units_by_sku(&self.items);
        let mut of_product: HashMap<&str, Vec<&Sku>> = HashMap::new();
        for Line { sku, .. } in &self.items {
            of_product.entry(sku.product()).or_default().push(sku);
        }
        let mut taken = Sum::default();
        // Lines that are named as they are held go first: a product takes what is left.
        let (exact, products): (Vec<&Line>, Vec<&Line>) =
            part.iter().partition(|line| left.contains_key(&line.sku));
        for wanted in exact.into_iter().chain(products) {
            let mut open = wanted.quantity.units();
            let own = [&wanted.sku];
            let fitting: &[&Sku] = match wanted.sku.warehouse() {
                Some(_) => &own,
                None => of_product.get(wanted.sku.product()).map_or(&[], Vec::as_slice),
            };
            for sku in fitting {
                let Some(units) = left.get_mut(*sku) else { continue };
                let take = open.min(*units);
                open = open.saturating_sub(take);
                *units = units.saturating_sub(take);
                if let Some(quantity) = Quantity::new(take) {
                    taken.add(Line { sku: (*sku).clone(), quantity })?;
                }
            }
            if open > 0 {
                return Err(Refusal::invalid(format!(
                    "{} {} is more than reservation {} holds: {}",
                    wanted.sku.listed(),
                    wanted.quantity.units(),
                    self.id,
                    describe(&self.items)
                )));
            }
        }
        Ok(taken.into_lines())
    }

    /// What it holds without `part`, which is a part of it.
    pub fn without(&self, part: &[Line]) -> Vec<Line> {
        minus(&self.items, part)
    }

    /// The record that `json` holds under the name of `id`; `None` where it is not such a record (foreign).
    pub fn from_json(id: &ReservationId, json: &[u8], style: KeyStyle) -> Option<Self> {
        let read: RecordJson<'_> = serde_json::from_slice(json).ok()?;
        let has_ended = read.restored == Some(Restored::Ended);
        if read.reservation_id != id.as_str() || read.items.is_empty() || has_ended {
            return None;
        }
        Some(Self {
            id: id.clone(),
            created_at: read.created_at,
            expires_at: read.expires_at,
            items: lines_from_json(read.items, style)?,
            asked: match read.asked {
                Some(asked) => Some(lines_from_json(asked, style)?),
                None => None,
            },
            sold: lines_from_json(read.sold, style)?,
            returned: lines_from_json(read.returned, style)?,
            data: read.data.map(Cow::into_owned),
            restored: read.restored.is_some(),
        })
    }

    /// The record in `json`, if it is one of this id, with a note that it came back. `None` if it has one already.
    pub fn marked_restored(id: &ReservationId, json: &[u8], how: Restored) -> Option<Vec<u8>> {
        let read: RecordJson<'_> = serde_json::from_slice(json).ok()?;
        let is_new = read.reservation_id == id.as_str() && read.restored.is_none_or(|known| known != how);
        is_new.then(|| to_json(&RecordJson { restored: Some(how), ..read }))
    }

    /// Whether `json` is the record of another id than the one it stands under: a RENAME, or a COPY.
    pub fn is_misnamed(id: &ReservationId, json: &[u8]) -> bool {
        serde_json::from_slice::<RecordJson<'_>>(json).is_ok_and(|read| read.reservation_id != id.as_str())
    }

    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        let json = RecordJson {
            reservation_id: self.id.as_str().into(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            items: self.items.iter().map(LineJson::of).collect(),
            asked: self.asked.as_ref().map(|asked| asked.iter().map(LineJson::of).collect()),
            sold: self.sold.iter().map(LineJson::of).collect(),
            returned: self.returned.iter().map(LineJson::of).collect(),
            data: self.data.as_deref().map(Cow::from),
            restored: self.restored.then_some(Restored::Live),
        };
        to_json(&json)
    }
}

/// The JSON of a record or an outcome.
pub(super) fn to_json(document: &impl Serialize) -> Vec<u8> {
    // With one line they take some 150 to 200 bytes.
    let mut out = Vec::with_capacity(256);
    // Strings and integers cannot fail to serialize.
    let _ = serde_json::to_writer(&mut out, document);
    out
}

/// All that is known of one reservation id at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Neither a record nor an outcome.
    Unknown,
    /// It holds stock until its deadline.
    Live(Record, UnixMs),
    /// Its deadline has passed, and no outcome is remembered (not yet, or outcomes are turned off).
    Lapsed {
        /// The deadline.
        at: UnixMs,
        /// Whether its units are back.
        settled: bool,
    },
    /// It has ended.
    Ended(Outcome),
    /// The key holds something else.
    Foreign,
}

/// What a step does to the reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    /// It was done before: answer the same, change nothing.
    Already(T),
    /// Do it.
    Proceed,
}

impl State {
    /// May `id` be reserved with `asked` lines? Gives the live record of an earlier, equal request.
    pub fn reserve(self, id: &ReservationId, asked: &[Line]) -> Result<Decision<(Record, UnixMs)>, Refusal> {
        match self {
            State::Unknown => Ok(Decision::Proceed),
            State::Live(record, deadline) if same_lines(&record.asked(), asked) => {
                Ok(Decision::Already((record, deadline)))
            }
            State::Live(record, _) => Err(Refusal::Mismatch { id: id.clone(), held: record.asked() }),
            // The outcome is what keeps an id from being used again, and none is remembered.
            State::Lapsed { settled: true, .. } => Ok(Decision::Proceed),
            State::Lapsed { at, settled: false } => {
                Err(Refusal::Ended { id: id.clone(), how: Ending::Expired, at })
            }
            State::Ended(outcome) => Err(outcome.refusal(id)),
            State::Foreign => Err(Refusal::Foreign(id.clone())),
        }
    }

    /// May it be committed? Gives the record to sell, with its deadline, or nothing to do.
    pub fn commit(self, id: &ReservationId) -> Result<Option<(Record, UnixMs)>, Refusal> {
        match self {
            State::Ended(Outcome { ending: Ending::Committed, .. }) => Ok(None),
            other @ (State::Unknown
            | State::Live(..)
            | State::Lapsed { .. }
            | State::Ended(_)
            | State::Foreign) => other.live(id).map(Some),
        }
    }

    /// May it be rolled back?
    pub fn rollback(self, id: &ReservationId) -> Result<Rollback, Refusal> {
        match self {
            State::Unknown => Err(Refusal::NotFound(id.clone())),
            State::Live(record, deadline) => Ok(Rollback::Return(record, deadline)),
            State::Lapsed { .. } => Ok(Rollback::Already),
            State::Ended(outcome) => match outcome.ending {
                Ending::Committed => Err(outcome.refusal(id)),
                Ending::RolledBack => Ok(Rollback::Already),
                Ending::Expired => Ok(Rollback::Rename(outcome)),
            },
            State::Foreign => Err(Refusal::Foreign(id.clone())),
        }
    }

    /// The live record, with its deadline: for a step that only a live reservation can take.
    pub fn live(self, id: &ReservationId) -> Result<(Record, UnixMs), Refusal> {
        match self {
            State::Unknown => Err(Refusal::NotFound(id.clone())),
            State::Live(record, deadline) => Ok((record, deadline)),
            State::Lapsed { at, .. } => Err(Refusal::Ended { id: id.clone(), how: Ending::Expired, at }),
            State::Ended(outcome) => Err(outcome.refusal(id)),
            State::Foreign => Err(Refusal::Foreign(id.clone())),
        }
    }
}

/// What a rollback has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// Nothing: the units are back.
    Already,
    /// The units came back by the deadline; only the outcome changes, to `rolled_back`.
    Rename(Outcome),
    /// Give the units of this record back; its deadline.
    Return(Record, UnixMs),
}

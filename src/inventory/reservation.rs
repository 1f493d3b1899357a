//! The record of a live reservation, and its JSON.
//!
//! **Invariant:** a record exists exactly as long as it holds stock. Other clients read its JSON and later versions
//! load it, so fields may be added but never renamed.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use super::json::{Reader, Writer};
use super::line::{
    Line, LineJson, QuotaJson, Sum, describe, lines_from_json, minus, missing, same_lines, sum_lines,
    units_by_sku,
};
use super::quantity::{Quantity, UnixMs};
use super::refusal::Refusal;
use super::sku::{KeyStyle, ReservationId, Sku};

/// One live reservation, as `reservation:{id}` stores it.
///
/// ```
/// use redis_inventory::inventory::line::Line;
/// use redis_inventory::inventory::quantity::Quantity;
/// use redis_inventory::inventory::reservation::Record;
/// use redis_inventory::inventory::sku::{KeyStyle, ReservationId, Sku};
///
/// let id = ReservationId::parse(b"order-42", KeyStyle::Plain).unwrap();
/// let sku = Sku::parse(b"PROD-123", KeyStyle::Plain).unwrap();
/// let lines = vec![Line { sku, quantity: Quantity::new(5).unwrap() }];
/// let record = Record::new(id.clone(), 1_000, 61_000, lines, None);
/// assert_eq!(Record::from_json(&id, &record.to_json(), KeyStyle::Plain), Some(record));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The id.
    pub id: ReservationId,
    /// The time at which the reservation was made.
    pub created_at: UnixMs,
    /// The deadline at the time of writing. If the key has a TTL, the TTL decides instead.
    pub expires_at: UnixMs,
    /// The lines that are held. Each sku occurs once.
    pub items: Vec<Line>,
    /// The lines that were requested, if they differ from all that the reservation ever held. They differ if lines were
    /// divided among warehouses.
    pub asked: Option<Vec<Line>>,
    /// The lines that have been sold in parts.
    pub sold: Vec<Line>,
    /// The lines that have been returned in parts.
    pub returned: Vec<Line>,
    /// The client's free text.
    pub data: Option<String>,
    /// The buyer, if the client named one.
    pub buyer: Option<String>,
    /// What the reservation holds of the buyer's quotas. Each product occurs once, and only products that had a limit when
    /// their units were taken.
    pub quota: Vec<Line>,
    /// If the request allowed `PARTIAL`, the requested units that were missing; an empty list if none were.
    pub short: Option<Vec<Line>>,
    /// Whether another client has put the record back, so that its units may belong to others. Such a record moves no
    /// units that another reservation holds.
    pub restored: bool,
}

/// The state of a reservation when another client put its record back (RESTORE, RENAME, COPY). The module writes it
/// into the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restored {
    /// The reservation was live. Its record moves no units that another reservation holds.
    Live,
    /// The reservation had ended. Its record is foreign, even after the outcome has been forgotten.
    Ended,
}

impl Restored {
    fn name(self) -> &'static str {
        match self {
            Restored::Live => "live",
            Restored::Ended => "ended",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordJson<'a> {
    #[serde(borrow)]
    reservation_id: Cow<'a, str>,
    created_at: UnixMs,
    expires_at: UnixMs,
    #[serde(borrow)]
    items: Vec<LineJson<'a>>,
    #[serde(borrow, default)]
    asked: Option<Vec<LineJson<'a>>>,
    #[serde(borrow, default)]
    sold: Vec<LineJson<'a>>,
    #[serde(borrow, default)]
    returned: Vec<LineJson<'a>>,
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    short: Option<Vec<LineJson<'a>>>,
    #[serde(borrow, default)]
    buyer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    quota: Option<Box<QuotaJson<'a>>>,
    #[serde(default)]
    restored: Option<Restored>,
}

impl<'a> RecordJson<'a> {
    fn read(json: &'a [u8]) -> Option<Self> {
        Self::read_exact(json).or_else(|| serde_json::from_slice(json).ok())
    }

    /// Reads what [`RecordJson::write`] writes; `None` for any other document, even if it is a record.
    fn read_exact(json: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(json)?;
        reader.expect("{\"reservation_id\":")?;
        let reservation_id = reader.text()?.into();
        reader.expect(",\"created_at\":")?;
        let created_at = reader.number()?;
        reader.expect(",\"expires_at\":")?;
        let expires_at = reader.number()?;
        reader.expect(",\"items\":")?;
        let items = reader.lines()?;
        let asked = if reader.skip(",\"asked\":") { Some(reader.lines()?) } else { None };
        let sold = if reader.skip(",\"sold\":") { reader.lines()? } else { Vec::new() };
        let returned = if reader.skip(",\"returned\":") { reader.lines()? } else { Vec::new() };
        let data = if reader.skip(",\"data\":") { Some(reader.text()?.into()) } else { None };
        let (mut short, mut buyer, mut quota) = (None, None, None);
        if !reader.skip("}") {
            short = if reader.skip(",\"short\":") { Some(reader.lines()?) } else { None };
            buyer = if reader.skip(",\"buyer\":") { Some(reader.text()?.into()) } else { None };
            quota = if reader.skip(",\"quota\":") { Some(reader.quota()?) } else { None };
            reader.expect("}")?;
        }
        reader.end()?;
        // Records with the field `restored` are rare, so serde_json reads them.
        Some(Self {
            reservation_id,
            created_at,
            expires_at,
            items,
            asked,
            sold,
            returned,
            data,
            short,
            buyer,
            quota,
            restored: None,
        })
    }

    fn write(&self, out: Vec<u8>) -> Vec<u8> {
        let mut out = Writer::new(out, self.data.as_deref());
        out.put("{\"reservation_id\":");
        out.text(&self.reservation_id);
        out.put(",\"created_at\":");
        out.number(self.created_at);
        out.put(",\"expires_at\":");
        out.number(self.expires_at);
        out.put(",\"items\":");
        out.lines(&self.items);
        if let Some(asked) = &self.asked {
            out.put(",\"asked\":");
            out.lines(asked);
        }
        if !self.sold.is_empty() {
            out.put(",\"sold\":");
            out.lines(&self.sold);
        }
        if !self.returned.is_empty() {
            out.put(",\"returned\":");
            out.lines(&self.returned);
        }
        if let Some(data) = &self.data {
            out.put(",\"data\":");
            out.text(data);
        }
        if let Some(short) = &self.short {
            out.put(",\"short\":");
            out.lines(short);
        }
        if let Some(buyer) = &self.buyer {
            out.put(",\"buyer\":");
            out.text(buyer);
        }
        if let Some(quota) = &self.quota {
            out.put(",\"quota\":");
            out.lines(&quota.0);
        }
        if let Some(restored) = self.restored {
            out.put(",\"restored\":");
            out.text(restored.name());
        }
        out.put("}");
        out.end()
    }
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
        let (buyer, quota, short, restored) = (None, Vec::new(), None, false);
        Self {
            id,
            created_at: now,
            expires_at: deadline,
            items,
            asked,
            sold,
            returned,
            data,
            buyer,
            quota,
            short,
            restored,
        }
    }

    /// All that the reservation holds: its items, and its part of the buyer's quotas.
    pub fn held(&self) -> impl Iterator<Item = &Line> {
        self.items.iter().chain(&self.quota)
    }

    /// The part of the held quotas that goes with these held lines, which a step sells or returns.
    pub fn quota_of(&self, part: &[Line]) -> Vec<Line> {
        let of_part = |line: &Line| {
            let is_of = |moved: &&Line| moved.sku.product() == line.sku.product();
            let units = part.iter().filter(is_of).map(|moved| moved.quantity.units());
            let units = units.fold(0, i64::saturating_add).min(line.quantity.units());
            Some(Line { sku: line.sku.clone(), quantity: Quantity::new(units)? })
        };
        self.quota.iter().filter_map(of_part).collect()
    }

    /// Checks that a request for this buyer, if it names one, is for the buyer of this reservation.
    ///
    /// # Errors
    ///
    /// `MISMATCH` if it is for another one.
    pub fn check_buyer(&self, buyer: Option<&str>) -> Result<(), Refusal> {
        if buyer.is_some_and(|buyer| self.buyer.as_deref() != Some(buyer)) {
            return Err(Refusal::OtherText { id: self.id.clone(), option: "BUYER" });
        }
        Ok(())
    }

    /// Keeps the requested lines `asked`, if they differ from the items.
    pub fn asked_for(self, asked: &[Line]) -> Self {
        let asked = (!same_lines(&self.items, asked)).then(|| asked.to_vec());
        Self { asked, ..self }
    }

    /// Keeps the requested lines `asked` of a change, if they differ from all that the reservation ever held.
    pub fn asked_again_for(self, asked: &[Line]) -> Self {
        let asked = (!same_lines(&self.whole(), asked)).then(|| asked.to_vec());
        Self { asked, ..self }
    }

    /// The record after a request for the lines `asked` that allowed `PARTIAL` and was given the items.
    pub fn partly(self, asked: &[Line]) -> Self {
        let short = missing(asked, &self.items);
        Self { short: Some(short), ..self }
    }

    /// The requested units that `PARTIAL` left out.
    pub fn missing(&self) -> &[Line] {
        self.short.as_deref().unwrap_or_default()
    }

    /// Checks that a request for the same items is a retry of the one that made this reservation. Only a request that
    /// allows `PARTIAL` can be, if the reservation came out short.
    ///
    /// # Errors
    ///
    /// [`Refusal::CameShort`] (`MISMATCH`).
    #[inline]
    pub fn check_short(&self, partial: bool) -> Result<(), Refusal> {
        if partial || self.missing().is_empty() {
            return Ok(());
        }
        Err(Refusal::CameShort { id: self.id.clone(), short: self.missing().to_vec() })
    }

    /// The lines that were requested.
    pub fn asked(&self) -> Vec<Line> {
        self.asked.clone().unwrap_or_else(|| self.whole())
    }

    /// All lines that the reservation ever held, including those that were sold or returned in parts.
    pub fn whole(&self) -> Vec<Line> {
        if self.sold.is_empty() && self.returned.is_empty() {
            return self.items.clone();
        }
        sum_lines(&[&self.items, &self.sold, &self.returned])
    }

    /// Finds the lines of this record that `part` refers to. A product without a warehouse takes from all lines of the
    /// product, in their order.
    ///
    /// # Errors
    ///
    /// [`Refusal::Impossible`] if `part` asks for more than the record holds.
    pub fn resolve_part(&self, part: &[Line]) -> Result<Vec<Line>, Refusal> {
        let mut left: HashMap<&Sku, i64> = units_by_sku(&self.items);
        let mut of_product: HashMap<&str, Vec<&Sku>> = HashMap::new();
        for Line { sku, .. } in &self.items {
            of_product.entry(sku.product()).or_default().push(sku);
        }
        let mut taken = Sum::default();
        // Lines that match a held sku exactly are served first. Lines that name only a product take from the rest.
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
                return Err(Refusal::impossible(format!(
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

    /// The held lines without `part`, which must be contained in them.
    pub fn without(&self, part: &[Line]) -> Vec<Line> {
        minus(&self.items, part)
    }

    /// Reads the record of `id` from its stored form. Returns `None` if `json` is foreign: not a live record of this
    /// id.
    pub fn from_json(id: &ReservationId, json: &[u8], style: KeyStyle) -> Option<Self> {
        let read = RecordJson::read(json)?;
        if read.reservation_id != id.as_str() {
            return None;
        }
        Self::from_read(id.clone(), read, style)
    }

    /// Reads a record whose id is not known yet.
    pub fn of_any_id(json: &[u8], style: KeyStyle) -> Option<Self> {
        let read = RecordJson::read(json)?;
        let id = ReservationId::parse(read.reservation_id.as_bytes(), style).ok()?;
        Self::from_read(id, read, style)
    }

    fn from_read(id: ReservationId, read: RecordJson<'_>, style: KeyStyle) -> Option<Self> {
        let has_ended = read.restored == Some(Restored::Ended);
        if read.items.is_empty() || has_ended {
            return None;
        }
        Some(Self {
            id,
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
            quota: match read.quota {
                Some(quota) => quota.into_lines(read.buyer.as_deref(), style)?,
                None => Vec::new(),
            },
            buyer: read.buyer.map(Cow::into_owned),
            short: match read.short {
                Some(short) => Some(lines_from_json(short, style)?),
                None => None,
            },
            restored: read.restored.is_some(),
        })
    }

    /// Marks the record in `json` as restored. Returns `None` if it is not a record of this id, or has this mark
    /// already.
    pub fn marked_restored(id: &ReservationId, json: &[u8], how: Restored) -> Option<Vec<u8>> {
        let read = RecordJson::read(json)?;
        let is_new = read.reservation_id == id.as_str() && read.restored.is_none_or(|known| known != how);
        is_new.then(|| RecordJson { restored: Some(how), ..read }.write(Vec::new()))
    }

    /// Whether `json` is the record of an id other than `id`, the one in its key. RENAME and COPY have this effect.
    pub fn is_misnamed(id: &ReservationId, json: &[u8]) -> bool {
        RecordJson::read(json).is_some_and(|read| read.reservation_id != id.as_str())
    }

    /// The stored form: JSON.
    pub fn to_json(&self) -> Vec<u8> {
        self.write_json(Vec::new())
    }

    /// Appends the stored form to `out`.
    pub fn write_json(&self, out: Vec<u8>) -> Vec<u8> {
        RecordJson {
            reservation_id: self.id.as_str().into(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            items: self.items.iter().map(LineJson::of).collect(),
            asked: self.asked.as_ref().map(|asked| asked.iter().map(LineJson::of).collect()),
            sold: self.sold.iter().map(LineJson::of).collect(),
            returned: self.returned.iter().map(LineJson::of).collect(),
            data: self.data.as_deref().map(Cow::from),
            buyer: self.buyer.as_deref().map(Cow::from),
            quota: QuotaJson::of(&self.quota),
            short: self.short.as_ref().map(|short| short.iter().map(LineJson::of).collect()),
            restored: self.restored.then_some(Restored::Live),
        }
        .write(out)
    }
}

//! The record of a reservation, and its JSON.
//!
//! **Invariant:** a record exists exactly as long as it holds stock. Its JSON is read by any client and loaded by
//! later versions: fields are added, never renamed.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::line::{
    Line, LineJson, Sum, describe, lines_from_json, minus, same_lines, sum_lines, units_by_sku,
};
use super::quantity::{Quantity, UnixMs};
use super::refusal::Refusal;
use super::sku::{KeyStyle, ReservationId, Sku};

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

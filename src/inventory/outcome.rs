//! The outcome of a reservation, and its JSON.

use std::borrow::Cow;

use serde::Deserialize;

use super::ending::Ending;
use super::json::{Reader, Writer};
use super::line::{Line, LineJson, QuotaJson, lines_from_json, minus, sum_lines, units_by_sku};
use super::quantity::UnixMs;
use super::refusal::Refusal;
use super::reservation::Record;
use super::sku::{KeyStyle, ReservationId};

/// The outcome of an ended reservation, as `inventory:outcome:{id}` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The way in which the reservation ended.
    pub ending: Ending,
    /// The time at which the reservation was made.
    pub created_at: UnixMs,
    /// The last deadline of the reservation.
    pub expires_at: UnixMs,
    /// The time at which the reservation ended.
    pub resolved_at: UnixMs,
    /// All lines that the reservation ever held.
    pub items: Vec<Line>,
    /// The lines that were sold and the lines that were returned, if the reservation ended in parts or expired.
    pub parts: Option<Parts>,
    /// For an expired reservation, the lines that a rollback had returned before the deadline. They are also part of
    /// `parts.returned`, but a late commit does not take them again.
    pub rolled_back: Vec<Line>,
    /// The client's free text.
    pub data: Option<String>,
    /// The buyer, if the client named one.
    pub buyer: Option<String>,
    /// What the reservation held of the buyer's quotas when it ended, or what a late commit has taken of them again.
    pub quota: Vec<Line>,
    /// The reservation that replaced this one. Every outcome with the ending [`Ending::Replaced`] has one, and no other.
    pub replaced_by: Option<ReservationId>,
}

/// Where the units of a reservation went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The lines that were sold.
    pub sold: Vec<Line>,
    /// The lines that were returned to the available stock.
    pub returned: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutcomeJson<'a> {
    #[serde(borrow)]
    reservation_id: Cow<'a, str>,
    state: Ending,
    created_at: UnixMs,
    expires_at: UnixMs,
    resolved_at: UnixMs,
    #[serde(borrow)]
    items: Vec<LineJson<'a>>,
    #[serde(borrow, default)]
    sold: Option<Vec<LineJson<'a>>>,
    #[serde(borrow, default)]
    returned: Option<Vec<LineJson<'a>>>,
    #[serde(borrow, default)]
    data: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    rolled_back: Vec<LineJson<'a>>,
    #[serde(borrow, default)]
    buyer: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    quota: Option<Box<QuotaJson<'a>>>,
    #[serde(borrow, default)]
    replaced_by: Option<Cow<'a, str>>,
}

impl<'a> OutcomeJson<'a> {
    fn read(json: &'a [u8]) -> Option<Self> {
        Self::read_exact(json).or_else(|| serde_json::from_slice(json).ok())
    }

    /// Reads what [`OutcomeJson::write`] writes; `None` for any other document, even if it is an outcome.
    fn read_exact(json: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(json)?;
        reader.expect("{\"reservation_id\":")?;
        let reservation_id = reader.text()?.into();
        reader.expect(",\"state\":")?;
        let state = Ending::named(reader.text()?)?;
        reader.expect(",\"created_at\":")?;
        let created_at = reader.number()?;
        reader.expect(",\"expires_at\":")?;
        let expires_at = reader.number()?;
        reader.expect(",\"resolved_at\":")?;
        let resolved_at = reader.number()?;
        reader.expect(",\"items\":")?;
        let items = reader.lines()?;
        let sold = if reader.skip(",\"sold\":") { Some(reader.lines()?) } else { None };
        let returned = if reader.skip(",\"returned\":") { Some(reader.lines()?) } else { None };
        let data = if reader.skip(",\"data\":") { Some(reader.text()?.into()) } else { None };
        let rolled_back = if reader.skip(",\"rolled_back\":") { reader.lines()? } else { Vec::new() };
        let (mut buyer, mut quota, mut replaced_by) = (None, None, None);
        if !reader.skip("}") {
            buyer = if reader.skip(",\"buyer\":") { Some(reader.text()?.into()) } else { None };
            quota = if reader.skip(",\"quota\":") { Some(reader.quota()?) } else { None };
            replaced_by = if reader.skip(",\"replaced_by\":") { Some(reader.text()?.into()) } else { None };
            reader.expect("}")?;
        }
        reader.end()?;
        Some(Self {
            reservation_id,
            state,
            created_at,
            expires_at,
            resolved_at,
            items,
            sold,
            returned,
            data,
            rolled_back,
            buyer,
            quota,
            replaced_by,
        })
    }

    fn write(&self, out: Vec<u8>) -> Vec<u8> {
        let mut out = Writer::new(out, self.data.as_deref());
        out.put("{\"reservation_id\":");
        out.text(&self.reservation_id);
        out.put(",\"state\":");
        out.text(self.state.name());
        out.put(",\"created_at\":");
        out.number(self.created_at);
        out.put(",\"expires_at\":");
        out.number(self.expires_at);
        out.put(",\"resolved_at\":");
        out.number(self.resolved_at);
        out.put(",\"items\":");
        out.lines(&self.items);
        if let Some(sold) = &self.sold {
            out.put(",\"sold\":");
            out.lines(sold);
        }
        if let Some(returned) = &self.returned {
            out.put(",\"returned\":");
            out.lines(returned);
        }
        if let Some(data) = &self.data {
            out.put(",\"data\":");
            out.text(data);
        }
        if !self.rolled_back.is_empty() {
            out.put(",\"rolled_back\":");
            out.lines(&self.rolled_back);
        }
        if let Some(buyer) = &self.buyer {
            out.put(",\"buyer\":");
            out.text(buyer);
        }
        if let Some(quota) = &self.quota {
            out.put(",\"quota\":");
            out.lines(&quota.0);
        }
        if let Some(successor) = &self.replaced_by {
            out.put(",\"replaced_by\":");
            out.text(successor);
        }
        out.put("}");
        out.end()
    }
}

impl Outcome {
    /// The outcome of `record`, which a step at `now` ends. `deadline` is the last deadline of the reservation, and
    /// `moved` are the lines that the step sells or returns. INV.REPLACE ends a reservation with [`Outcome::replaced`].
    pub fn of(record: &Record, deadline: UnixMs, ending: Ending, now: UnixMs, moved: &[Line]) -> Self {
        let (sold, returned): (&[Line], &[Line]) = match ending {
            Ending::Committed => (moved, &[]),
            Ending::RolledBack | Ending::Expired => (&[], moved),
            Ending::Replaced => (&[], &[]),
        };
        let in_parts = !record.sold.is_empty() || !record.returned.is_empty();
        let parts = (in_parts || ending == Ending::Expired).then(|| Parts {
            sold: sum_lines(&[&record.sold, sold]),
            returned: sum_lines(&[&record.returned, returned]),
        });
        Self {
            ending,
            created_at: record.created_at,
            expires_at: deadline,
            resolved_at: now,
            items: record.whole(),
            parts,
            rolled_back: if ending == Ending::Expired { record.returned.clone() } else { Vec::new() },
            data: record.data.clone(),
            buyer: record.buyer.clone(),
            quota: if record.quota.is_empty() { Vec::new() } else { record.quota.clone() },
            replaced_by: None,
        }
    }

    /// The outcome of a reservation that is rolled back at `now` before it was made. It has no lines.
    pub fn fence(now: UnixMs) -> Self {
        Self {
            ending: Ending::RolledBack,
            created_at: now,
            expires_at: now,
            resolved_at: now,
            items: Vec::new(),
            parts: None,
            rolled_back: Vec::new(),
            data: None,
            buyer: None,
            quota: Vec::new(),
            replaced_by: None,
        }
    }

    /// The outcome of the live `record`, which `successor` replaces at `now`. What has not been sold or returned before
    /// now belongs to the successor, so it is neither.
    pub fn replaced(record: &Record, deadline: UnixMs, successor: &ReservationId, now: UnixMs) -> Self {
        Self::of(record, deadline, Ending::Replaced, now, &[]).now_replaced_by(successor, now)
    }

    /// The outcome of an id of which nothing is known but perhaps its deadline, when `successor` takes its place.
    pub fn replaced_unknown(deadline: Option<UnixMs>, successor: &ReservationId, now: UnixMs) -> Self {
        let at = deadline.unwrap_or(now);
        Self {
            ending: Ending::Replaced,
            created_at: at,
            expires_at: at,
            resolved_at: now,
            items: Vec::new(),
            parts: None,
            rolled_back: Vec::new(),
            data: None,
            buyer: None,
            quota: Vec::new(),
            replaced_by: Some(successor.clone()),
        }
    }

    /// The outcome after `successor` has taken the place of this reservation at `now`. What was returned stays returned, and
    /// no late commit can take it again.
    pub fn now_replaced_by(self, successor: &ReservationId, now: UnixMs) -> Self {
        let replaced_by = Some(successor.clone());
        Self { ending: Ending::Replaced, resolved_at: now, rolled_back: Vec::new(), replaced_by, ..self }
    }

    /// Reads the outcome of `id` from its stored form. Returns `None` if `json` is not an outcome of this id.
    pub fn from_json(id: &ReservationId, json: &[u8], style: KeyStyle) -> Option<Self> {
        let read = OutcomeJson::read(json)?;
        if read.reservation_id != id.as_str() {
            return None;
        }
        Self::from_read(read, style)
    }

    /// Reads an outcome whose id is not known yet. Returns the id as well.
    pub fn of_any_id(json: &[u8], style: KeyStyle) -> Option<(ReservationId, Self)> {
        let read = OutcomeJson::read(json)?;
        let id = ReservationId::parse(read.reservation_id.as_bytes(), style).ok()?;
        Some((id, Self::from_read(read, style)?))
    }

    fn from_read(read: OutcomeJson<'_>, style: KeyStyle) -> Option<Self> {
        let parts = match (read.sold, read.returned) {
            (None, None) => None,
            (sold, returned) => Some(Parts {
                sold: lines_from_json(sold.unwrap_or_default(), style)?,
                returned: lines_from_json(returned.unwrap_or_default(), style)?,
            }),
        };
        let rolled_back = lines_from_json(read.rolled_back, style)?;
        let returned = parts.as_ref().map(|parts| units_by_sku(&parts.returned)).unwrap_or_default();
        let is_returned =
            |line: &Line| returned.get(&line.sku).is_some_and(|units| *units >= line.quantity.units());
        if !rolled_back.iter().all(is_returned) {
            return None;
        }
        let replaced_by = match read.replaced_by {
            Some(successor) => Some(ReservationId::parse(successor.as_bytes(), style).ok()?),
            None => None,
        };
        if replaced_by.is_some() != (read.state == Ending::Replaced) {
            return None;
        }
        Some(Self {
            ending: read.state,
            created_at: read.created_at,
            expires_at: read.expires_at,
            resolved_at: read.resolved_at,
            items: lines_from_json(read.items, style)?,
            parts,
            rolled_back,
            data: read.data.map(Cow::into_owned),
            quota: match read.quota {
                Some(quota) => quota.into_lines(read.buyer.as_deref(), style)?,
                None => Vec::new(),
            },
            buyer: read.buyer.map(Cow::into_owned),
            replaced_by,
        })
    }

    /// The stored form: JSON.
    pub fn to_json(&self, id: &ReservationId) -> Vec<u8> {
        self.write_json(id, Vec::new())
    }

    /// Appends the stored form to `out`.
    pub fn write_json(&self, id: &ReservationId, out: Vec<u8>) -> Vec<u8> {
        OutcomeJson {
            reservation_id: id.as_str().into(),
            state: self.ending,
            created_at: self.created_at,
            expires_at: self.expires_at,
            resolved_at: self.resolved_at,
            items: self.items.iter().map(LineJson::of).collect(),
            sold: self.parts.as_ref().map(|parts| parts.sold.iter().map(LineJson::of).collect()),
            returned: self.parts.as_ref().map(|parts| parts.returned.iter().map(LineJson::of).collect()),
            data: self.data.as_deref().map(Cow::from),
            rolled_back: self.rolled_back.iter().map(LineJson::of).collect(),
            buyer: self.buyer.as_deref().map(Cow::from),
            quota: QuotaJson::of(&self.quota),
            replaced_by: self.replaced_by.as_ref().map(|successor| successor.as_str().into()),
        }
        .write(out)
    }

    /// The outcome after these lines have been returned as well.
    pub fn with_returned(self, lines: &[Line]) -> Self {
        let Parts { sold, returned } = self.parts.unwrap_or(Parts { sold: Vec::new(), returned: Vec::new() });
        let returned = sum_lines(&[&returned, lines]);
        Self { parts: Some(Parts { sold, returned }), ..self }
    }

    /// The lines that a late commit has to take again: those that the deadline returned. Lines that the customer had
    /// rolled back before the deadline are not included.
    pub fn to_take_again(&self) -> Vec<Line> {
        let returned = self.parts.as_ref().map_or(&[] as &[Line], |parts| &parts.returned);
        minus(returned, &self.rolled_back)
    }

    /// Checks that all units were sold or returned.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotAllBack`] (`DRIFT`) if some were not, because another client had changed the counters.
    pub fn check_all_back(&self) -> Result<(), Refusal> {
        let (sold, returned): (&[Line], &[Line]) =
            self.parts.as_ref().map_or((&[], &[]), |parts| (&parts.sold, &parts.returned));
        let gone = sum_lines(&[sold, returned]);
        let gone = units_by_sku(&gone);
        for Line { sku, quantity } in &self.items {
            let known = gone.get(sku).copied().unwrap_or_default();
            if known != quantity.units() {
                return Err(Refusal::NotAllBack { sku: sku.clone(), held: quantity.units(), known });
            }
        }
        Ok(())
    }

    /// The outcome after a late commit at `now` has sold what the deadline had returned, and has taken this `quota` for it.
    pub fn sold_late(self, quota: Vec<Line>, now: UnixMs) -> Self {
        let parts = Some(Parts { sold: minus(&self.items, &self.rolled_back), returned: self.rolled_back });
        let (ending, rolled_back, replaced_by) = (Ending::Committed, Vec::new(), None);
        Self { ending, resolved_at: now, parts, rolled_back, quota, replaced_by, ..self }
    }

    /// The outcome after a rollback at `now` has confirmed that what the deadline had returned stays returned.
    pub fn given_up(self, now: UnixMs) -> Self {
        let (ending, rolled_back, replaced_by) = (Ending::RolledBack, Vec::new(), None);
        Self { ending, resolved_at: now, rolled_back, replaced_by, ..self }
    }

    /// The refusal that reports this outcome.
    pub fn refusal(&self, id: &ReservationId) -> Refusal {
        if let Some(successor) = &self.replaced_by {
            let (id, by) = (id.clone(), successor.clone());
            return Refusal::Replaced { id, by, at: self.resolved_at };
        }
        let at = match self.ending {
            Ending::Committed | Ending::RolledBack | Ending::Replaced => self.resolved_at,
            Ending::Expired => self.expires_at,
        };
        Refusal::Ended { id: id.clone(), how: self.ending, at }
    }
}

//! The remembered answers to commands with a `ONCE` token. If such a command is sent again, it gets the same answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::key::OnceName;
use super::line::{Line, LineJson, lines_from_json};
use super::quantity::UnixMs;
use super::reservation::Record;
use super::sku::{KeyStyle, ReservationId};

/// The token of a command, together with its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The name under which the answer is stored. It contains the command, the id as the client wrote it, and the
    /// token.
    pub name: OnceName,
    /// The request in a canonical spelling. The same token with a different request is a mismatch.
    pub asked: String,
}

/// An answer that can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `OK`.
    Ok,
    /// An integer: a deadline, or a number of available units.
    Number(i64),
    /// A reservation.
    Reserved(Reserved),
}

/// A reservation, as the reply to `INV.RESERVE` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The id.
    pub id: ReservationId,
    /// The deadline.
    pub expires_at: UnixMs,
    /// The lines that are held.
    pub items: Vec<Line>,
    /// The requested units that `PARTIAL` left out.
    pub short: Vec<Line>,
}

impl Reserved {
    /// What the live `record` holds until `expires_at`.
    pub fn of(record: Record, expires_at: UnixMs) -> Self {
        let Record { id, items, short, .. } = record;
        Self { id, expires_at, items, short: short.unwrap_or_default() }
    }
}

#[derive(Serialize, Deserialize)]
struct RememberedJson<'a> {
    #[serde(borrow)]
    asked: Cow<'a, str>,
    #[serde(borrow)]
    answer: AnswerJson<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerJson<'a> {
    Ok,
    Number(i64),
    Reserved {
        #[serde(borrow)]
        reservation_id: Cow<'a, str>,
        expires_at: UnixMs,
        #[serde(borrow)]
        items: Vec<LineJson<'a>>,
        #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
        short: Vec<LineJson<'a>>,
    },
}

/// The stored form of a request and its answer: JSON.
pub fn to_json(asked: &str, answer: &Answer) -> Vec<u8> {
    let answer = match answer {
        Answer::Ok => AnswerJson::Ok,
        Answer::Number(number) => AnswerJson::Number(*number),
        Answer::Reserved(Reserved { id, expires_at, items, short }) => AnswerJson::Reserved {
            reservation_id: id.as_str().into(),
            expires_at: *expires_at,
            items: items.iter().map(LineJson::of).collect(),
            short: short.iter().map(LineJson::of).collect(),
        },
    };
    // Strings and integers cannot fail to serialize.
    serde_json::to_vec(&RememberedJson { asked: asked.into(), answer }).unwrap_or_default()
}

/// Reads a request and its answer from the stored form. Returns `None` if `json` has any other form.
pub fn from_json(json: &[u8], style: KeyStyle) -> Option<(String, Answer)> {
    let read: RememberedJson<'_> = serde_json::from_slice(json).ok()?;
    let answer = match read.answer {
        AnswerJson::Ok => Answer::Ok,
        AnswerJson::Number(number) => Answer::Number(number),
        AnswerJson::Reserved { reservation_id, expires_at, items, short } => Answer::Reserved(Reserved {
            id: ReservationId::parse(reservation_id.as_bytes(), style).ok()?,
            expires_at,
            items: lines_from_json(items, style)?,
            short: lines_from_json(short, style)?,
        }),
    };
    Some((read.asked.into_owned(), answer))
}

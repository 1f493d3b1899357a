//! The states of a reservation, and what each command may do in each of them.

use super::ending::Ending;
use super::line::{Line, same_lines};
use super::outcome::Outcome;
use super::quantity::UnixMs;
use super::refusal::Refusal;
use super::reservation::Record;
use super::sku::ReservationId;

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
    /// `FOREIGN` if the key holds something else than a reservation.
    pub fn ours(self, id: &ReservationId) -> Result<Self, Refusal> {
        match self {
            State::Foreign => Err(Refusal::Foreign(id.clone())),
            State::Unknown | State::Live(..) | State::Lapsed { .. } | State::Ended(_) => Ok(self),
        }
    }

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

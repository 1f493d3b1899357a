//! The states of a reservation, and what each command may do in each state.

use super::ending::Ending;
use super::line::{Line, same_lines};
use super::outcome::Outcome;
use super::quantity::UnixMs;
use super::refusal::Refusal;
use super::reservation::Record;
use super::sku::ReservationId;

/// Everything that is known about a reservation id at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is neither a record nor an outcome.
    Unknown,
    /// The reservation holds stock until this deadline.
    Live(Record, UnixMs),
    /// The deadline has passed and there is no outcome, either not yet or because outcomes are turned off.
    Lapsed {
        /// The deadline.
        at: UnixMs,
        /// Whether the units have been returned.
        settled: bool,
    },
    /// The reservation has ended.
    Ended(Outcome),
    /// The key holds something that is not a record of the module.
    Foreign,
}

/// Whether a step still has to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    /// The step was carried out before. Answer the same again and change nothing.
    Already(T),
    /// Carry out the step.
    Proceed,
}

impl State {
    /// Rejects a foreign key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Foreign`] if the key holds something that is not a record of the module.
    pub fn ours(self, id: &ReservationId) -> Result<Self, Refusal> {
        match self {
            State::Foreign => Err(Refusal::Foreign(id.clone())),
            State::Unknown | State::Live(..) | State::Lapsed { .. } | State::Ended(_) => Ok(self),
        }
    }

    /// Whether nothing keeps the id from being reserved: it is unknown, or its end was not remembered.
    pub fn is_free(&self) -> bool {
        match self {
            State::Unknown | State::Lapsed { settled: true, .. } => true,
            State::Live(..) | State::Lapsed { settled: false, .. } | State::Ended(_) | State::Foreign => {
                false
            }
        }
    }

    /// Decides whether `id` may be reserved with the lines `asked`. If an equal request made the live record, returns
    /// the record and its deadline.
    ///
    /// # Errors
    ///
    /// `MISMATCH` if the live reservation has other items, `FOREIGN`, or the code of the outcome if the reservation has
    /// ended.
    pub fn reserve(self, id: &ReservationId, asked: &[Line]) -> Result<Decision<(Record, UnixMs)>, Refusal> {
        match self {
            State::Unknown => Ok(Decision::Proceed),
            State::Live(record, deadline) if same_lines(&record.asked(), asked) => {
                Ok(Decision::Already((record, deadline)))
            }
            State::Live(record, _) => Err(Refusal::Mismatch { id: id.clone(), held: record.asked() }),
            // Only a remembered outcome keeps an id from being used again, and there is none.
            State::Lapsed { settled: true, .. } => Ok(Decision::Proceed),
            State::Lapsed { at, settled: false } => {
                Err(Refusal::Ended { id: id.clone(), how: Ending::Expired, at })
            }
            State::Ended(outcome) => Err(outcome.refusal(id)),
            State::Foreign => Err(Refusal::Foreign(id.clone())),
        }
    }

    /// Decides whether the reservation may be committed. Returns the record to sell and its deadline, or `None` if it
    /// has been committed already.
    ///
    /// # Errors
    ///
    /// `NOTFOUND`, `FOREIGN`, or the code of the outcome if the reservation ended in another way.
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

    /// Decides whether the reservation may be rolled back, and what remains to be done.
    ///
    /// # Errors
    ///
    /// `NOTFOUND`, `FOREIGN`, or `COMMITTED`.
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

    /// Returns the live record and its deadline, for steps that only a live reservation allows.
    ///
    /// # Errors
    ///
    /// `NOTFOUND`, `FOREIGN`, or the code of the outcome if the reservation has ended.
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

/// The work that a rollback has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// Nothing: the units have already been returned.
    Already,
    /// The deadline has returned the units. Only the outcome changes, to `rolled_back`.
    Rename(Outcome),
    /// Return the units of this record, whose deadline is given.
    Return(Record, UnixMs),
}

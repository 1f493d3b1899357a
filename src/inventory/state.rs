//! The states of a reservation, and what each command may do in each state.

use super::ending::Ending;
use super::line::{Line, same_lines};
use super::outcome::Outcome;
use super::quantity::UnixMs;
use super::refusal::{Refusal, both};
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

    /// The record, if the reservation is live.
    pub const fn record(&self) -> Option<&Record> {
        match self {
            State::Live(record, _) => Some(record),
            State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign => None,
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
    /// the record and its deadline. `partial` says whether the request allows `PARTIAL`.
    ///
    /// # Errors
    ///
    /// `MISMATCH` if the live reservation has other items, or came out short and the request does not allow that;
    /// `FOREIGN`; or the code of the outcome if the reservation has ended.
    pub fn reserve(
        self,
        id: &ReservationId,
        asked: &[Line],
        partial: bool,
    ) -> Result<Decision<(Record, UnixMs)>, Refusal> {
        match self {
            State::Unknown => Ok(Decision::Proceed),
            State::Live(record, deadline) if same_lines(&record.asked(), asked) => {
                record.check_short(partial)?;
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

    /// Decides whether `new` may replace `old`, which is in this state. `state_of_new` is `None` if both are the same
    /// reservation, which is then changed in place.
    ///
    /// # Errors
    ///
    /// `FOREIGN`; `COMMITTED` if `old` was committed, `REPLACED` if another reservation has replaced it, and `EXPIRED` if
    /// its units have not been returned yet; and the refusals of [`State::reserve`] for `new`, unless both are live.
    pub fn replace(
        self,
        old: &ReservationId,
        state_of_new: Option<State>,
        new: &ReservationId,
        wish: &Wish<'_>,
    ) -> Result<Decided, Refusal> {
        let Some(state_of_new) = state_of_new else { return self.change(new, wish) };
        let former = self.former(old, new);
        let (former, found) = match (former, state_of_new) {
            (Ok(former @ Former::Live(..)), State::Live(record, deadline)) => {
                return Ok(Decided::Proceed { former, new: Some((record, deadline)) });
            }
            (former, State::Live(record, deadline)) => {
                let is_the_same = wish.check(&record).map(|()| Some((record, deadline)));
                both(former, is_the_same)?
            }
            (former, other) => {
                let is_free = other.reserve(new, wish.asked, wish.partial).map(|_| None);
                both(former, is_free)?
            }
        };
        match (former, found) {
            (former, Some((record, deadline))) => Ok(Decided::Already { former, record, deadline }),
            // The units were held for this successor once. A retry must not hold them again.
            (Former::ReplacedByNew(outcome), None) => Err(outcome.refusal(old)),
            (former, None) => Ok(Decided::Proceed { former, new: None }),
        }
    }

    /// Decides whether the reservation may be changed in place.
    fn change(self, id: &ReservationId, wish: &Wish<'_>) -> Result<Decided, Refusal> {
        let former = Former::Same;
        match self {
            State::Live(record, deadline) if wish.is_retry(&record) => {
                Ok(Decided::Already { former, record, deadline })
            }
            State::Live(record, deadline) => Ok(Decided::Proceed { former, new: Some((record, deadline)) }),
            other @ (State::Unknown | State::Lapsed { .. } | State::Ended(_) | State::Foreign) => {
                other.reserve(id, wish.asked, wish.partial)?;
                Ok(Decided::Proceed { former, new: None })
            }
        }
    }

    /// What `new` takes over from the reservation `old`, which is in this state.
    fn former(self, old: &ReservationId, new: &ReservationId) -> Result<Former, Refusal> {
        match self {
            State::Live(record, deadline) => Ok(Former::Live(record, deadline)),
            State::Unknown => Ok(Former::Unknown(None)),
            State::Lapsed { at, settled: true } => Ok(Former::Unknown(Some(at))),
            // The server does not expire keys now, so the record still exists.
            State::Lapsed { at, settled: false } => {
                Err(Refusal::Ended { id: old.clone(), how: Ending::Expired, at })
            }
            State::Ended(outcome) => match outcome.ending {
                Ending::Expired | Ending::RolledBack => Ok(Former::Ended(outcome)),
                Ending::Replaced if outcome.replaced_by.as_ref() == Some(new) => {
                    Ok(Former::ReplacedByNew(outcome))
                }
                Ending::Committed | Ending::Replaced => Err(outcome.refusal(old)),
            },
            State::Foreign => Err(Refusal::Foreign(old.clone())),
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
    /// `NOTFOUND`, `FOREIGN`, `COMMITTED`, or `REPLACED`.
    pub fn rollback(self, id: &ReservationId) -> Result<Rollback, Refusal> {
        match self {
            State::Unknown => Err(Refusal::NotFound(id.clone())),
            State::Live(record, deadline) => Ok(Rollback::Return(record, deadline)),
            State::Lapsed { .. } => Ok(Rollback::Already),
            State::Ended(outcome) => match outcome.ending {
                Ending::Committed | Ending::Replaced => Err(outcome.refusal(id)),
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
            State::Lapsed { at, settled: false } => {
                Err(Refusal::Ended { id: id.clone(), how: Ending::Expired, at })
            }
            State::Lapsed { at, settled: true } => Err(Refusal::Forgotten { id: id.clone(), at }),
            State::Ended(outcome) => Err(outcome.refusal(id)),
            State::Foreign => Err(Refusal::Foreign(id.clone())),
        }
    }
}

/// What INV.REPLACE asks of the new reservation.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The items. Each sku occurs once.
    pub asked: &'a [Line],
    /// Whether `PARTIAL` is allowed.
    pub partial: bool,
    /// The new text, if one is given.
    pub data: Option<&'a str>,
    /// The buyer, if one is given.
    pub buyer: Option<&'a str>,
}

impl Wish<'_> {
    /// Whether an equal request made this record.
    fn is_retry(&self, record: &Record) -> bool {
        same_lines(&record.asked(), self.asked)
            && record.short.is_some() == self.partial
            && self.data.is_none_or(|data| record.data.as_deref() == Some(data))
            && self.buyer.is_none_or(|buyer| record.buyer.as_deref() == Some(buyer))
    }

    /// Checks that this record is what the request would make.
    ///
    /// # Errors
    ///
    /// `MISMATCH` if its items, its `DATA` or its buyer differ, or if it came out short and the request does not allow that.
    fn check(&self, record: &Record) -> Result<(), Refusal> {
        if !same_lines(&record.asked(), self.asked) {
            return Err(Refusal::Mismatch { id: record.id.clone(), held: record.asked() });
        }
        record.check_short(self.partial)?;
        if self.data.is_some_and(|data| record.data.as_deref() != Some(data)) {
            return Err(Refusal::OtherText { id: record.id.clone(), option: "DATA" });
        }
        record.check_buyer(self.buyer)
    }
}

/// What INV.REPLACE has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The new reservation is what the request would make. Answer with it. At most the outcome of the old one is written.
    Already {
        /// The old reservation.
        former: Former,
        /// The new reservation.
        record: Record,
        /// Its deadline.
        deadline: UnixMs,
    },
    /// Let the new reservation hold the items.
    Proceed {
        /// The old reservation.
        former: Former,
        /// The new reservation and its deadline, if it is live.
        new: Option<(Record, UnixMs)>,
    },
}

/// The reservation that INV.REPLACE replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Former {
    /// It is the new one, which is changed in place.
    Same,
    /// It is live until this deadline. Its units are free for the new one.
    Live(Record, UnixMs),
    /// It has expired or was rolled back.
    Ended(Outcome),
    /// Nothing is known about it but perhaps the deadline at which it expired.
    Unknown(Option<UnixMs>),
    /// The new one has replaced it before.
    ReplacedByNew(Outcome),
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

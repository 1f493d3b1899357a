//! Every refusal: its code, what was asked and what was there, in the order in which they win.

use std::borrow::Cow;
use std::fmt;

use super::cluster_slot::Slot;
use super::ending::Ending;
use super::line::{Line, SumTooLarge, describe};
use super::quantity::{MAX_EXACT, UnixMs};
use super::sku::{InvalidText, ReservationId, Sku};

/// Why a command was refused. A refusal means that nothing was changed. If several apply, the one of the lowest
/// [`Rank`] is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `ERR`: the words of the command do not fit its grammar.
    Grammar {
        /// What does not fit.
        what: String,
        /// The grammar line of the command.
        grammar: &'static str,
    },
    /// `ERR`: an argument is outside what can be done.
    Invalid(String),
    /// `CROSSSLOT`: in a cluster, a sku is in another slot than its reservation.
    CrossSlot {
        /// The reservation.
        id: ReservationId,
        /// The sku.
        sku: Sku,
    },
    /// `TRYAGAIN`: the live reservations are not all known yet, a moment after the module was loaded.
    TryAgain,
    /// `TRYAGAIN`: these skus have more overdue reservations than one command gives back.
    Overdue(Vec<Sku>),
    /// `TRYAGAIN`: in a cluster, the slot of this command is being moved, and not all of its keys are here.
    SlotMoving(Slot),
    /// `WRONGTYPE`: a key holds something that this command cannot use.
    WrongType {
        /// The key's name.
        key: String,
        /// What was found there.
        found: Cow<'static, str>,
        /// What belongs there.
        wanted: &'static str,
    },
    /// `FOREIGN`: the reservation key is not a record of this module.
    Foreign(ReservationId),
    /// `FOREIGN`: another program may hold reserved units of this sku.
    ForeignHere {
        /// Of which sku.
        sku: Sku,
        /// Reserved units that no reservation of this module holds.
        units: i64,
    },
    /// `COMMITTED`, `ROLLEDBACK` or `EXPIRED`: the reservation has ended.
    Ended {
        /// Which.
        id: ReservationId,
        /// How it ended.
        how: Ending,
        /// When: the moment of the step, or the deadline.
        at: UnixMs,
    },
    /// `MISMATCH`: the id is taken by a reservation of other items.
    Mismatch {
        /// Which.
        id: ReservationId,
        /// The items that it was asked for.
        held: Vec<Line>,
    },
    /// `MISMATCH`: the token was used with other arguments.
    OtherOnce {
        /// What the first command asked.
        asked: String,
    },
    /// `NOTFOUND`: the reservation is unknown here. It was never made, or its end is forgotten.
    NotFound(ReservationId),
    /// `DRIFT`: the counters hold less than the reservation says: another client has written them.
    Drift {
        /// Which counter.
        sku: Sku,
        /// What the reservation holds of it.
        held: i64,
        /// What the counter says.
        reserved: i64,
    },
    /// `DRIFT`: a late commit of a reservation whose units did not all come back: another client had written the counters.
    NotAllBack {
        /// Of which sku.
        sku: Sku,
        /// What the reservation held of it.
        held: i64,
        /// What came back, or was sold in parts.
        known: i64,
    },
    /// `INSUFFICIENT`: not enough units; every short sku is named.
    Insufficient(Vec<Shortage>),
    /// `OVERCOMMITTED`: a count is below what is reserved.
    Overcommitted {
        /// Of which sku.
        sku: Sku,
        /// Units counted.
        on_hand: i64,
        /// Units reserved.
        reserved: i64,
    },
    /// `ERR`: what is asked for is well-formed, but cannot be done with what there is: a deadline that has passed, a place
    /// that is no warehouse of its product.
    Impossible(String),
    /// `ERR`: the sku would have more units than [`MAX_EXACT`].
    TooMany {
        /// Of which sku.
        sku: Sku,
        /// Units available.
        available: i64,
        /// Units reserved.
        reserved: i64,
        /// Units that were to come.
        more: i64,
    },
    /// `ERR`: a counter would leave the range of 64-bit integers.
    Overflow {
        /// Of which sku.
        sku: Sku,
        /// Which of its counters: `available` or `reserved`.
        counter: &'static str,
    },
}

/// The order in which refusals win: of all that speaks against a request, the lowest is said. First what is wrong with the
/// request in itself, then what keeps the keys from being read, then what the reservation's state says, which a client that
/// sends a command again has to hear whatever has happened to the stock since, and the stock last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The words of the command.
    Words,
    /// The slots of its keys.
    CrossSlot,
    /// It can be answered soon, but not now.
    NotNow,
    /// A key holds something else.
    WrongType,
    /// The reservation, or the units, may be another program's.
    Foreign,
    /// The reservation has ended.
    Ended,
    /// The id or the token was used for something else.
    Mismatch,
    /// The reservation is unknown.
    NotFound,
    /// It does not fit what there is.
    Impossible,
    /// The counters contradict the reservation.
    Drift,
    /// There are not enough units.
    Insufficient,
    /// More is reserved than was counted.
    Overcommitted,
    /// There would be too many units to count.
    Overflow,
}

/// One sku of which there is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The sku.
    pub sku: Sku,
    /// Units asked for.
    pub requested: i64,
    /// Units that were there.
    pub available: i64,
    /// Whether there is such a sku at all: a counter, a warehouse of that name, or units that are held.
    pub is_known: bool,
}

impl Refusal {
    /// Every code, in the order of the lowest [`Rank`] that has it.
    pub const CODES: [&str; 13] = [
        "ERR",
        "CROSSSLOT",
        "TRYAGAIN",
        "WRONGTYPE",
        "FOREIGN",
        "COMMITTED",
        "ROLLEDBACK",
        "EXPIRED",
        "MISMATCH",
        "NOTFOUND",
        "DRIFT",
        "INSUFFICIENT",
        "OVERCOMMITTED",
    ];

    /// An `ERR` with its message.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }

    /// An `ERR` about what there is, with its message.
    pub fn impossible(what: impl Into<String>) -> Self {
        Self::Impossible(what.into())
    }

    /// Where it stands among the refusals that apply as well.
    pub fn rank(&self) -> Rank {
        match self {
            Self::Grammar { .. } | Self::Invalid(_) => Rank::Words,
            Self::CrossSlot { .. } => Rank::CrossSlot,
            Self::TryAgain | Self::Overdue(_) | Self::SlotMoving(_) => Rank::NotNow,
            Self::WrongType { .. } => Rank::WrongType,
            Self::Foreign(_) | Self::ForeignHere { .. } => Rank::Foreign,
            Self::Ended { .. } => Rank::Ended,
            Self::Mismatch { .. } | Self::OtherOnce { .. } => Rank::Mismatch,
            Self::NotFound(_) => Rank::NotFound,
            Self::Impossible(_) => Rank::Impossible,
            Self::Drift { .. } | Self::NotAllBack { .. } => Rank::Drift,
            Self::Insufficient(_) => Rank::Insufficient,
            Self::Overcommitted { .. } => Rank::Overcommitted,
            Self::TooMany { .. } | Self::Overflow { .. } => Rank::Overflow,
        }
    }

    /// The code: the first word of the reply, for clients to branch on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Grammar { .. }
            | Self::Invalid(_)
            | Self::Impossible(_)
            | Self::TooMany { .. }
            | Self::Overflow { .. } => "ERR",
            Self::CrossSlot { .. } => "CROSSSLOT",
            Self::TryAgain | Self::Overdue(_) | Self::SlotMoving(_) => "TRYAGAIN",
            Self::WrongType { .. } => "WRONGTYPE",
            Self::Foreign(_) | Self::ForeignHere { .. } => "FOREIGN",
            Self::Ended { how: Ending::Committed, .. } => "COMMITTED",
            Self::Ended { how: Ending::RolledBack, .. } => "ROLLEDBACK",
            Self::Ended { how: Ending::Expired, .. } => "EXPIRED",
            Self::Mismatch { .. } | Self::OtherOnce { .. } => "MISMATCH",
            Self::NotFound(_) => "NOTFOUND",
            Self::Drift { .. } | Self::NotAllBack { .. } => "DRIFT",
            Self::Insufficient(_) => "INSUFFICIENT",
            Self::Overcommitted { .. } => "OVERCOMMITTED",
        }
    }
}

/// What speaks against a request, while it is being judged: of several refusals the one that wins, and of equal ones the first.
#[derive(Debug, Default)]
pub struct Objections(Option<Refusal>);

impl Objections {
    /// This speaks against it as well.
    pub fn add(&mut self, refusal: Refusal) {
        if self.0.as_ref().is_none_or(|known| refusal.rank() < known.rank()) {
            self.0 = Some(refusal);
        }
    }

    /// What this part of the judgement gives; `None` if it is a refusal, which is added.
    pub fn check<T>(&mut self, part: Result<T, Refusal>) -> Option<T> {
        part.map_err(|refusal| self.add(refusal)).ok()
    }

    /// `value`, unless anything speaks against the request.
    pub fn unless_any<T>(self, value: T) -> Result<T, Refusal> {
        self.0.map_or(Ok(value), Err)
    }
}

/// Two parts of a judgement: what both give, or the refusal that wins.
pub fn both<A, B>(first: Result<A, Refusal>, second: Result<B, Refusal>) -> Result<(A, B), Refusal> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) if second.rank() < first.rank() => Err(second),
        (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Puts off a refusal of a rank above `last`: it waits for what is to be said before it. The others are said now.
pub fn put_off<T>(last: Rank, part: Result<T, Refusal>) -> Result<Result<T, Refusal>, Refusal> {
    match part {
        Err(refusal) if refusal.rank() <= last => Err(refusal),
        other => Ok(other),
    }
}

impl From<InvalidText> for Refusal {
    fn from(invalid: InvalidText) -> Self {
        Self::Invalid(invalid.to_string())
    }
}

impl From<SumTooLarge> for Refusal {
    fn from(too_large: SumTooLarge) -> Self {
        Self::Invalid(too_large.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.code())?;
        match self {
            Self::Grammar { what, grammar } => write!(out, "{what}. Usage: {grammar}"),
            Self::Invalid(what) | Self::Impossible(what) => out.write_str(what),
            Self::TooMany { sku, available, reserved, more } => write!(
                out,
                "{sku} has {available} available and {reserved} reserved units: {more} more would exceed the maximum of {MAX_EXACT}"
            ),
            Self::Overflow { sku, counter } => {
                write!(out, "the {counter} counter of {sku} would exceed the range of 64-bit integers")
            }
            Self::CrossSlot { id, sku } => write!(
                out,
                "Keys in request don't hash to the same slot: reservation {id} and {sku} need the same hash tag in braces"
            ),
            Self::TryAgain => {
                out.write_str("the module is still indexing live reservations: try again in a moment")
            }
            Self::Overdue(skus) => {
                let skus: Vec<String> = skus.iter().map(|sku| sku.listed().to_string()).collect();
                let skus = skus.join(", ");
                write!(out, "more reservations of {skus} are overdue than one command releases: try again")
            }
            Self::SlotMoving(slot) => {
                write!(out, "slot {} is being moved between nodes: try again in a moment", slot.number())
            }
            Self::WrongType { key, found, wanted } => write!(out, "key {key} holds {found}, not {wanted}"),
            Self::Foreign(id) => write!(
                out,
                "key reservation:{id} is not a record of this module (it may be a script's, or a copy): end it with the program \
                 that created it, or use a new id"
            ),
            // How many, and whose, is not for everyone who may repair: INFO tells it.
            Self::ForeignHere { sku, units } => write!(
                out,
                "{units} reserved units of {sku} are in no reservation of this module, and another program may hold them: \
                 wait until it has released them, or return them with INV.REPAIR {sku} FORCE"
            ),
            Self::Ended { id, how, at } => {
                let verb = match how {
                    Ending::Committed => "was committed",
                    Ending::RolledBack => "was rolled back",
                    Ending::Expired => "expired",
                };
                write!(out, "reservation {id} {verb} at {at}: retry with a new id")?;
                match how {
                    Ending::Committed | Ending::RolledBack => Ok(()),
                    Ending::Expired => {
                        write!(
                            out,
                            ", or sell its units with INV.COMMIT {id} LATE if they are still available"
                        )
                    }
                }
            }
            Self::Mismatch { id, held } => {
                write!(
                    out,
                    "reservation {id} already exists with other items ({}): use a new id",
                    describe(held)
                )
            }
            Self::OtherOnce { asked } => {
                write!(
                    out,
                    "this ONCE token was already used with other arguments ({asked}): use a new token"
                )
            }
            Self::NotFound(id) => write!(
                out,
                "reservation {id} is unknown: it was never made, its key was deleted, or its outcome is no longer remembered \
                 (inv.outcome-ttl-ms). Check the order in your own database before you retry"
            ),
            Self::Drift { sku, held, reserved } => write!(
                out,
                "{sku} reserved {reserved}, but this reservation holds {held}: another client has written the counter. \
                 INV.AUDIT {sku} shows the difference, and INV.REPAIR {sku} corrects it"
            ),
            Self::NotAllBack { sku, held, known } => write!(
                out,
                "{sku} held {held}, but {known} came back at the deadline or were sold before: the reservation cannot \
                 be committed late, reserve again with a new id"
            ),
            Self::Overcommitted { sku, on_hand, reserved } => write!(
                out,
                "{sku} counted {on_hand}, but {reserved} are reserved: commit or roll back reservations first"
            ),
            Self::Insufficient(shortages) => {
                for (index, short) in shortages.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "; " };
                    let Shortage { sku, requested, available, is_known } = short;
                    let note = if *is_known { "" } else { " (unknown sku)" };
                    let sku = sku.listed();
                    write!(out, "{comma}{sku} requested {requested}, available {available}{note}")?;
                }
                Ok(())
            }
        }
    }
}

//! Refusals: their codes, their details, and their order of precedence.

use std::borrow::Cow;
use std::fmt;

use super::cluster_slot::Slot;
use super::ending::Ending;
use super::line::{Line, SumTooLarge, describe};
use super::quantity::{MAX_EXACT, UnixMs};
use super::sku::{InvalidText, Listed, Product, ReservationId, Sku};

/// The reason why a command was refused. A refused command changes nothing. If several refusals apply, the one with the
/// lowest [`Rank`] is reported.
///
/// ```
/// use redis_inventory::inventory::refusal::{Objections, Rank, Refusal};
/// use redis_inventory::inventory::sku::{KeyStyle, ReservationId};
///
/// let id = ReservationId::parse(b"order-42", KeyStyle::Plain).unwrap();
/// let mut objections = Objections::default();
/// objections.add(Refusal::NotFound(id));
/// objections.add(Refusal::invalid("the quantity is 0"));
/// let refusal = objections.unless_any(()).unwrap_err();
/// assert_eq!((refusal.code(), refusal.rank()), ("ERR", Rank::Words));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `ERR`: the words of the command do not follow its grammar.
    Grammar {
        /// The words that do not fit.
        what: String,
        /// The grammar line of the command.
        grammar: &'static str,
    },
    /// `ERR`: an argument is invalid. The text is the message.
    Invalid(String),
    /// `CROSSSLOT`: in a cluster, a sku is in a different slot from its reservation.
    CrossSlot {
        /// The reservation.
        id: ReservationId,
        /// The sku.
        sku: Sku,
    },
    /// `CROSSSLOT`: in a cluster, two reservations of one call are in different slots.
    CrossSlots {
        /// The first reservation of the call.
        first: ReservationId,
        /// One in another slot.
        other: ReservationId,
    },
    /// `TRYAGAIN`: the data set or the module was loaded a moment ago, and not all live reservations are known yet.
    TryAgain,
    /// `TRYAGAIN`: more reservations of these skus are overdue than one command releases.
    Overdue(Vec<Sku>),
    /// `TRYAGAIN`: the earlier reservations of the same call are all that one call has time for.
    CallFull(ReservationId),
    /// `TRYAGAIN`: in a cluster, the slot of this command is moving, and not all of its keys are on this node.
    SlotMoving(Slot),
    /// `WRONGTYPE`: a key holds a value that this command cannot use.
    WrongType {
        /// The name of the key.
        key: String,
        /// The value or type that was found.
        found: Cow<'static, str>,
        /// The type that is required.
        wanted: &'static str,
    },
    /// `FOREIGN`: the reservation key is not a record of this module.
    Foreign(ReservationId),
    /// `FOREIGN`: another program may hold reserved units of this sku.
    ForeignHere {
        /// The sku.
        sku: Sku,
        /// The reserved units that no reservation of this module holds.
        units: i64,
    },
    /// `COMMITTED`, `ROLLEDBACK` or `EXPIRED`: the reservation has ended. [`Refusal::Replaced`] is the fourth way.
    Ended {
        /// The reservation.
        id: ReservationId,
        /// The way in which it ended.
        how: Ending,
        /// The time of the step that ended it, or its deadline if it expired.
        at: UnixMs,
    },
    /// `EXPIRED`: the reservation has expired, and no outcome says more about it.
    Forgotten {
        /// The reservation.
        id: ReservationId,
        /// Its deadline.
        at: UnixMs,
    },
    /// `REPLACED`: another reservation has replaced this one.
    Replaced {
        /// The reservation.
        id: ReservationId,
        /// The reservation that replaced it.
        by: ReservationId,
        /// The time at which it did.
        at: UnixMs,
    },
    /// `MISMATCH`: a reservation with other items already uses the id.
    Mismatch {
        /// The reservation.
        id: ReservationId,
        /// The items for which that reservation was made.
        held: Vec<Line>,
    },
    /// `MISMATCH`: with PARTIAL, the reservation came out short of the items, and this request asks for all of them.
    CameShort {
        /// The reservation.
        id: ReservationId,
        /// The lines that it is short of.
        short: Vec<Line>,
    },
    /// `MISMATCH`: the reservation has these items, but another text was given with an option.
    OtherText {
        /// The reservation.
        id: ReservationId,
        /// The option: `DATA` or `BUYER`.
        option: &'static str,
    },
    /// `MISMATCH`: the token was already used with other arguments.
    OtherOnce {
        /// The request of the command that used the token first.
        asked: String,
    },
    /// `NOTFOUND`: the reservation is unknown here. It was never made, or its outcome has been forgotten.
    NotFound(ReservationId),
    /// `DRIFT`: a counter is lower than the reservation requires, because another client has changed it.
    Drift {
        /// The sku of the counter.
        sku: Sku,
        /// The units that the reservation holds.
        held: i64,
        /// The units that the counter shows as reserved.
        reserved: i64,
    },
    /// `DRIFT`: a late commit is impossible because not all units came back at the deadline. Another client had changed
    /// the counters.
    NotAllBack {
        /// The sku.
        sku: Sku,
        /// The units that the reservation held.
        held: i64,
        /// The units that came back, or were sold in parts.
        known: i64,
    },
    /// `LIMIT`: the buyer would hold and have bought more units of the product than its limit allows.
    Limit {
        /// The product.
        product: Product,
        /// The buyer.
        buyer: String,
        /// The units that were requested.
        requested: i64,
        /// The units that the buyer may still take. If negative, the limit was lowered meanwhile.
        left: i64,
        /// The limit.
        limit: i64,
    },
    /// `INSUFFICIENT`: there are not enough units. Every sku that is short is listed.
    Insufficient(Vec<Shortage>),
    /// `OVERCOMMITTED`: units were sold before they arrived, so a count does not say how many are missing.
    SoldAhead {
        /// The sku.
        sku: Sku,
        /// The units on hand, which are negative.
        on_hand: i64,
    },
    /// `OVERCOMMITTED`: the stock would be set below the number of reserved units.
    Overcommitted {
        /// The sku.
        sku: Sku,
        /// The units that were counted.
        on_hand: i64,
        /// The units that are reserved.
        reserved: i64,
    },
    /// `ERR`: the request is well-formed, but the present state does not allow it. For example, the deadline has
    /// passed, or the sku's warehouse is not one of its product. The text is the message.
    Impossible(String),
    /// `ERR`: the sku would have more than [`MAX_EXACT`] units.
    TooMany {
        /// The sku.
        sku: Sku,
        /// The available units.
        available: i64,
        /// The reserved units.
        reserved: i64,
        /// The units that the request would add.
        more: i64,
    },
    /// `ERR`: a counter would leave the range of 64-bit integers.
    Overflow {
        /// The sku.
        sku: Sku,
        /// The counter: `available` or `reserved`.
        counter: &'static str,
    },
}

/// The precedence of refusals. If several apply to a request, the one with the lowest rank is reported.
///
/// 1. The request itself is wrong.
/// 2. The keys cannot be read.
/// 3. The state of the reservation forbids the step. A client that retries a command has to learn this, whatever has
///    happened to the stock since.
/// 4. The stock does not allow the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// The words of the command are wrong.
    Words,
    /// The keys are in different slots.
    CrossSlot,
    /// The request can be answered soon, but not now.
    NotNow,
    /// A key holds a value of another type.
    WrongType,
    /// The reservation or the units may belong to another program.
    Foreign,
    /// The reservation has ended.
    Ended,
    /// The id or the token was used for something else.
    Mismatch,
    /// The reservation is unknown.
    NotFound,
    /// The present state does not allow the request.
    Impossible,
    /// The counters contradict the reservation.
    Drift,
    /// The buyer may not take so many units.
    Limit,
    /// There are not enough units.
    Insufficient,
    /// More units are reserved than were counted.
    Overcommitted,
    /// There would be too many units to count.
    Overflow,
}

/// A sku that does not have enough units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The sku.
    pub sku: Sku,
    /// The units that were requested.
    pub requested: i64,
    /// The units that were available.
    pub available: i64,
    /// Whether the sku is known: it has a counter, is a warehouse of its product, or has units that are held.
    pub is_known: bool,
}

impl Refusal {
    /// All codes, each at the position of the lowest [`Rank`] that uses it.
    pub const CODES: [&str; 15] = [
        "ERR",
        "CROSSSLOT",
        "TRYAGAIN",
        "WRONGTYPE",
        "FOREIGN",
        "COMMITTED",
        "ROLLEDBACK",
        "EXPIRED",
        "REPLACED",
        "MISMATCH",
        "NOTFOUND",
        "DRIFT",
        "LIMIT",
        "INSUFFICIENT",
        "OVERCOMMITTED",
    ];

    /// Makes a [`Refusal::Invalid`] with this message.
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid(what.into())
    }

    /// Makes a [`Refusal::Impossible`] with this message.
    pub fn impossible(what: impl Into<String>) -> Self {
        Self::Impossible(what.into())
    }

    /// The precedence of this refusal.
    pub fn rank(&self) -> Rank {
        match self {
            Self::Grammar { .. } | Self::Invalid(_) => Rank::Words,
            Self::CrossSlot { .. } | Self::CrossSlots { .. } => Rank::CrossSlot,
            Self::TryAgain | Self::Overdue(_) | Self::CallFull(_) | Self::SlotMoving(_) => Rank::NotNow,
            Self::WrongType { .. } => Rank::WrongType,
            Self::Foreign(_) | Self::ForeignHere { .. } => Rank::Foreign,
            Self::Ended { .. } | Self::Forgotten { .. } | Self::Replaced { .. } => Rank::Ended,
            Self::Mismatch { .. }
            | Self::CameShort { .. }
            | Self::OtherText { .. }
            | Self::OtherOnce { .. } => Rank::Mismatch,
            Self::NotFound(_) => Rank::NotFound,
            Self::Impossible(_) => Rank::Impossible,
            Self::Drift { .. } | Self::NotAllBack { .. } => Rank::Drift,
            Self::Limit { .. } => Rank::Limit,
            Self::Insufficient(_) => Rank::Insufficient,
            Self::Overcommitted { .. } | Self::SoldAhead { .. } => Rank::Overcommitted,
            Self::TooMany { .. } | Self::Overflow { .. } => Rank::Overflow,
        }
    }

    /// The code: the first word of the error reply, which clients can test.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Grammar { .. }
            | Self::Invalid(_)
            | Self::Impossible(_)
            | Self::TooMany { .. }
            | Self::Overflow { .. } => "ERR",
            Self::CrossSlot { .. } | Self::CrossSlots { .. } => "CROSSSLOT",
            Self::TryAgain | Self::Overdue(_) | Self::CallFull(_) | Self::SlotMoving(_) => "TRYAGAIN",
            Self::WrongType { .. } => "WRONGTYPE",
            Self::Foreign(_) | Self::ForeignHere { .. } => "FOREIGN",
            Self::Ended { how: Ending::Committed, .. } => "COMMITTED",
            Self::Ended { how: Ending::RolledBack, .. } => "ROLLEDBACK",
            Self::Ended { how: Ending::Expired, .. } | Self::Forgotten { .. } => "EXPIRED",
            Self::Ended { how: Ending::Replaced, .. } | Self::Replaced { .. } => "REPLACED",
            Self::Mismatch { .. }
            | Self::CameShort { .. }
            | Self::OtherText { .. }
            | Self::OtherOnce { .. } => "MISMATCH",
            Self::NotFound(_) => "NOTFOUND",
            Self::Drift { .. } | Self::NotAllBack { .. } => "DRIFT",
            Self::Limit { .. } => "LIMIT",
            Self::Insufficient(_) => "INSUFFICIENT",
            Self::Overcommitted { .. } | Self::SoldAhead { .. } => "OVERCOMMITTED",
        }
    }
}

/// The refusals collected while a request is judged. Only the one with the lowest rank is kept; of equal ranks, the
/// first.
#[derive(Debug, Default)]
pub struct Objections(Option<Refusal>);

impl Objections {
    /// Adds a refusal.
    pub fn add(&mut self, refusal: Refusal) {
        if self.0.as_ref().is_none_or(|known| refusal.rank() < known.rank()) {
            self.0 = Some(refusal);
        }
    }

    /// Adds the refusal in `part`, if it is one. Otherwise returns its value.
    pub fn check<T>(&mut self, part: Result<T, Refusal>) -> Option<T> {
        part.map_err(|refusal| self.add(refusal)).ok()
    }

    /// Returns `value` if nothing was added.
    ///
    /// # Errors
    ///
    /// The refusal with the lowest rank, if anything was added.
    pub fn unless_any<T>(self, value: T) -> Result<T, Refusal> {
        self.0.map_or(Ok(value), Err)
    }
}

/// Combines two checks: returns the values of both, or the refusal with the lower rank.
#[inline(always)]
pub fn both<A, B>(first: Result<A, Refusal>, second: Result<B, Refusal>) -> Result<(A, B), Refusal> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(first), Err(second)) if second.rank() < first.rank() => Err(second),
        (Err(refusal), _) | (Ok(_), Err(refusal)) => Err(refusal),
    }
}

/// Postpones a refusal whose rank is above `last`.
///
/// It is returned inside `Ok`, so that later checks can find a refusal of lower rank first. A refusal of rank `last` or
/// lower is returned as `Err`, which ends the step.
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
            Self::CrossSlots { first, other } => write!(
                out,
                "Keys in request don't hash to the same slot: reservations {first} and {other} need the same hash tag in braces"
            ),
            Self::CallFull(id) => write!(
                out,
                "the earlier reservations of this call are all that one call has time for: send {id} in another call"
            ),
            Self::TryAgain => {
                out.write_str("the module is still indexing live reservations: try again in a moment")
            }
            Self::Overdue(skus) => {
                let skus: Vec<String> = skus.iter().map(|sku| sku.listed().to_string()).collect();
                let skus = skus.join(", ");
                write!(
                    out,
                    "more reservations of {skus} are overdue than one command releases: try again, each try releases more"
                )
            }
            Self::SlotMoving(slot) => {
                write!(out, "slot {} is being moved between nodes: try again in a moment", slot.number())
            }
            Self::WrongType { key, found, wanted } => write!(
                out,
                "key {key} holds {found}, not {wanted}: correct it with a plain command such as SET or DEL"
            ),
            Self::Foreign(id) => write!(
                out,
                "the key of reservation {id} is not a record of this module, but perhaps one of a script, or a copy: end it with the \
                 program that created it, or use a new id"
            ),
            // The message does not say how many foreign records the database has, because not everyone who may repair
            // may know that. INFO shows it.
            Self::ForeignHere { sku, units } => write!(
                out,
                "{units} reserved units of {sku} belong to no reservation of this module, and another program may hold them: \
                 wait until it has released them, or return them with INV.REPAIR {sku} FORCE"
            ),
            Self::Ended { id, how, at } => {
                let verb = match how {
                    Ending::Committed => "was committed",
                    Ending::RolledBack => "was rolled back",
                    Ending::Expired => "expired",
                    Ending::Replaced => "was replaced",
                };
                write!(out, "reservation {id} {verb} at {at}: ")?;
                match how {
                    Ending::Committed | Ending::RolledBack | Ending::Replaced => {
                        out.write_str("use a new id for a new order")
                    }
                    Ending::Expired => {
                        write!(
                            out,
                            "retry with a new id, or sell its units with INV.COMMIT {id} LATE if they are still available"
                        )
                    }
                }
            }
            Self::Forgotten { id, at } => write!(
                out,
                "reservation {id} expired at {at}, and its outcome is not remembered (inv.outcome-ttl-ms): retry with a new id"
            ),
            Self::Replaced { id, by, at } => {
                write!(out, "reservation {id} was replaced by {by} at {at}: use {by} instead")
            }
            Self::CameShort { id, short } => write!(
                out,
                "reservation {id} was made with PARTIAL and is short of {}: repeat PARTIAL to accept that, or use a new id",
                describe(short)
            ),
            Self::OtherText { id, option } => {
                write!(
                    out,
                    "reservation {id} already exists with these items but another {option}: use a new id"
                )
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
                "the reserved counter of {sku} is {reserved}, but this reservation holds {held}: another client has written it. \
                 INV.AUDIT {sku} shows the difference, and INV.REPAIR {sku} corrects it"
            ),
            Self::NotAllBack { sku, held, known } => write!(
                out,
                "the reservation held {held} of {sku}, but only {known} were returned at the deadline or sold before: it cannot \
                 be committed late. Reserve again with a new id"
            ),
            Self::Overcommitted { sku, on_hand, reserved: 0 } => {
                write!(
                    out,
                    "{sku} cannot have {on_hand} on hand: repeat the command with FORCE if that is meant"
                )
            }
            Self::Overcommitted { sku, on_hand, reserved } => write!(
                out,
                "{sku} cannot have {on_hand} on hand, because {reserved} are reserved: commit or roll back reservations first, or \
                 repeat the command with FORCE"
            ),
            Self::SoldAhead { sku, on_hand } => write!(
                out,
                "{sku} has {on_hand} on hand, because units were sold before they arrived: add arrivals with INV.ADJUST, or set \
                 the count with FORCE"
            ),
            Self::Limit { product, buyer, requested, left, limit } => {
                let (product, buyer, left) = (Listed(product.as_str()), Listed(buyer), (*left).max(0));
                write!(
                    out,
                    "{product} buyer {buyer} requested {requested}, may take {left} more (limit {limit})"
                )
            }
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

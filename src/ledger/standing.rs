//! Whether the module alone reserves in a database. The key `inventory:managed` marks such a database.

use crate::inventory::quantity::UnixMs;

/// The reason why reserved units in a database may belong to another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not all reserved counters have been compared with what is held, since a load or since another client wrote one.
    Unchecked,
    /// When all were compared, a reserved counter differed from what was held.
    Drift,
    /// Another client has written a reserved counter, which then differed from what was held.
    ForeignWrite,
    /// A `reservation:` key is foreign.
    ForeignRecord,
    /// The module was loaded into a running server and did not see what was written before.
    Unwatched,
    /// Another client has deleted the mark.
    Deleted,
}

impl Reason {
    /// The word for the reason in INFO.
    pub fn word(self) -> &'static std::ffi::CStr {
        match self {
            Reason::Unchecked => c"unchecked",
            Reason::Drift => c"drift",
            Reason::ForeignWrite => c"foreign_write",
            Reason::ForeignRecord => c"foreign_record",
            Reason::Unwatched => c"unwatched",
            Reason::Deleted => c"mark_deleted",
        }
    }
}

/// Whether the reserved units of a database all belong to the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Nothing contradicts it: the database was empty, or every reserved counter agreed with what is held. The next
    /// RESERVE writes the mark.
    #[default]
    Clean,
    /// The database has the mark.
    Managed,
    /// Another program may hold units.
    Shared(Reason),
}

/// The ownership of a database, and the time at which it was found.
///
/// **Invariant:** a database is managed only while the mark exists. If a mark contradicts the ownership,
/// [`Standing::bears_a_wrong_mark`] is true.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    ownership: Ownership,
    /// The time at which the ownership was found; 0 if it has not changed since the database was first seen.
    since: UnixMs,
    /// Whether the key of the mark exists.
    has_mark: bool,
}

impl Standing {
    /// The ownership of the database.
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// The time at which the ownership was found, in Unix ms; 0 if it has not changed since the database was first
    /// seen.
    pub fn since(&self) -> UnixMs {
        self.since
    }

    /// Whether the database is marked as one in which the module alone reserves.
    pub fn is_managed(&self) -> bool {
        self.ownership == Ownership::Managed
    }

    /// Whether the mark may be written.
    pub fn is_clean(&self) -> bool {
        self.ownership == Ownership::Clean
    }

    /// Whether nothing was found that an empty database would not have.
    pub fn is_blank(&self) -> bool {
        self.is_clean() && !self.has_mark
    }

    /// Whether the mark exists although the database is shared.
    pub fn bears_a_wrong_mark(&self) -> bool {
        self.has_mark && matches!(self.ownership, Ownership::Shared(reason) if reason != Reason::Unchecked)
    }

    fn set(&mut self, ownership: Ownership, now: UnixMs) {
        if self.ownership != ownership {
            (self.ownership, self.since) = (ownership, now);
        }
    }

    /// Starts a comparison of all reserved counters. A database with a known mark keeps its ownership meanwhile.
    pub fn begin_check(&mut self, now: UnixMs) {
        if !self.has_mark {
            (self.ownership, self.since) = (Ownership::Shared(Reason::Unchecked), now);
        }
    }

    /// Ends the comparison. `is_right` says whether every counter agreed with what is held and no record is foreign.
    pub fn end_check(&mut self, is_right: bool, now: UnixMs) {
        match (self.ownership, is_right) {
            (Ownership::Shared(Reason::Unchecked | Reason::Unwatched), true) => {
                self.set(Ownership::Clean, now);
            }
            (Ownership::Shared(Reason::Unchecked), false) => {
                self.set(Ownership::Shared(Reason::Drift), now);
            }
            (Ownership::Clean | Ownership::Managed | Ownership::Shared(_), _) => {}
        }
    }

    /// Ends a round of the continuous audit that found every counter right and no foreign record. The mark may then be
    /// written again, unless it was another client that deleted it: an operator may have had a reason.
    pub fn end_clean_round(&mut self, now: UnixMs) {
        match self.ownership {
            Ownership::Shared(Reason::Deleted) | Ownership::Clean | Ownership::Managed => {}
            Ownership::Shared(
                Reason::Unchecked
                | Reason::Drift
                | Reason::ForeignWrite
                | Reason::ForeignRecord
                | Reason::Unwatched,
            ) => {
                if !self.has_mark {
                    self.set(Ownership::Clean, now);
                }
            }
        }
    }

    /// Records a sign of another program.
    pub fn doubt(&mut self, reason: Reason, now: UnixMs) {
        match self.ownership {
            Ownership::Clean | Ownership::Managed | Ownership::Shared(Reason::Unchecked) => {
                self.set(Ownership::Shared(reason), now);
            }
            // The first reason is kept, because an operator looks for the cause.
            Ownership::Shared(_) => {}
        }
    }

    /// Records that the mark proves nothing until all reserved counters have been compared.
    pub fn doubt_until_checked(&mut self, now: UnixMs) {
        if matches!(self.ownership, Ownership::Clean | Ownership::Managed) {
            self.set(Ownership::Shared(Reason::Unchecked), now);
        }
    }

    /// Records that the mark exists, as met by a walk or after an event.
    pub fn found_mark(&mut self, now: UnixMs) {
        self.has_mark = true;
        self.set(Ownership::Managed, now);
    }

    /// Records that the mark exists in a database in which the module did not see all earlier writes.
    pub fn found_unwatched_mark(&mut self, now: UnixMs) {
        self.has_mark = true;
        self.set(Ownership::Shared(Reason::Unwatched), now);
    }

    /// Records that the mark was removed, by the module itself or by another client.
    pub fn lost_mark(&mut self, now: UnixMs) {
        if std::mem::take(&mut self.has_mark) && self.ownership == Ownership::Managed {
            self.set(Ownership::Shared(Reason::Deleted), now);
        }
    }
}

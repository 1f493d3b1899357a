//! Whether a database is the module's alone, which the mark `inventory:managed` says in the data set.

use crate::inventory::quantity::UnixMs;

/// Why the reserved units of a database may be another program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The reserved counters have not all been compared with what is held.
    Unchecked,
    /// A reserved counter was not what is held when all were compared.
    Drift,
    /// Another client has written a reserved counter, and it was not what is held afterwards.
    ForeignWrite,
    /// A reservation key holds something that is not a record of this module.
    ForeignRecord,
    /// The module was loaded into a running server: nobody saw what was written before.
    Unwatched,
    /// Another client has deleted the mark.
    Deleted,
}

impl Reason {
    /// The word for it in INFO.
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

/// What is known of a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Nothing speaks against the module being alone: it was empty, or every reserved counter was found to be what is held.
    /// The next RESERVE writes the mark.
    #[default]
    Clean,
    /// It bears the mark.
    Managed,
    /// Another program may hold units.
    Shared(Reason),
}

/// What is known of a database, and since when.
///
/// **Invariant:** it is managed only while the mark exists, and a mark that says what is not so is found to be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    ownership: Ownership,
    /// When that was found; 0: when the database was first seen.
    since: UnixMs,
    /// The key of the mark exists.
    has_mark: bool,
}

impl Standing {
    /// What is known.
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// Since when, Unix ms; 0: since the database was first seen.
    pub fn since(&self) -> UnixMs {
        self.since
    }

    /// Whether the module is alone here, by the mark.
    pub fn is_managed(&self) -> bool {
        self.ownership == Ownership::Managed
    }

    /// Whether the mark may be written.
    pub fn is_clean(&self) -> bool {
        self.ownership == Ownership::Clean
    }

    /// Whether nothing was found that is not so in an empty database.
    pub fn is_blank(&self) -> bool {
        self.is_clean() && !self.has_mark
    }

    /// Whether the mark exists, and says what is not so.
    pub fn bears_a_wrong_mark(&self) -> bool {
        self.has_mark && matches!(self.ownership, Ownership::Shared(reason) if reason != Reason::Unchecked)
    }

    fn set(&mut self, ownership: Ownership, now: UnixMs) {
        if self.ownership != ownership {
            (self.ownership, self.since) = (ownership, now);
        }
    }

    /// Every reserved counter is about to be compared. A mark that is known needs no comparison.
    pub fn begin_check(&mut self, now: UnixMs) {
        if !self.has_mark {
            (self.ownership, self.since) = (Ownership::Shared(Reason::Unchecked), now);
        }
    }

    /// Every counter was compared; `is_right`: each was what is held, and no record is foreign.
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

    /// Another program was noticed.
    pub fn doubt(&mut self, reason: Reason, now: UnixMs) {
        match self.ownership {
            Ownership::Clean | Ownership::Managed | Ownership::Shared(Reason::Unchecked) => {
                self.set(Ownership::Shared(reason), now);
            }
            // The first reason is what an operator looks for.
            Ownership::Shared(_) => {}
        }
    }

    /// The mark was met, by a walk or after an event.
    pub fn found_mark(&mut self, now: UnixMs) {
        self.has_mark = true;
        self.set(Ownership::Managed, now);
    }

    /// The mark was met when the module was loaded into a running server.
    pub fn found_unwatched_mark(&mut self, now: UnixMs) {
        self.has_mark = true;
        self.set(Ownership::Shared(Reason::Unwatched), now);
    }

    /// The mark is gone: the module has taken it away itself, or another client.
    pub fn lost_mark(&mut self, now: UnixMs) {
        if std::mem::take(&mut self.has_mark) && self.ownership == Ownership::Managed {
            self.set(Ownership::Shared(Reason::Deleted), now);
        }
    }
}

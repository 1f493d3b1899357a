//! The purposes of a walk over the keys.

/// The purpose of a walk over the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To rebuild the index, of which nothing is known.
    Index,
    /// The same, in a data set that other clients may have changed before the module was loaded, so that its mark
    /// proves nothing.
    IndexUnwatched,
    /// To compare the reserved counters. Live reservations are already known, because a replica has followed its
    /// master.
    Check,
}

impl Purpose {
    /// The purpose on a replica. What a replica did not see, its master did.
    pub fn on_a_replica(self) -> Self {
        match self {
            Self::Index | Self::IndexUnwatched => Self::Index,
            Self::Check => Self::Check,
        }
    }
}

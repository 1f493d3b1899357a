//! What a walk over the keys is for.

/// What a walk over the keys is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find what is live: nothing is known.
    Index,
    /// The same in a data set that other clients may have written while the module did not watch: its mark proves nothing.
    IndexUnwatched,
    /// To find the reserved counters, to compare them: what is live is known, since a replica has followed its master.
    Check,
}

impl Purpose {
    /// The same on a replica: what it did not see, its master has.
    pub fn on_a_replica(self) -> Self {
        match self {
            Self::Index | Self::IndexUnwatched => Self::Index,
            Self::Check => Self::Check,
        }
    }
}

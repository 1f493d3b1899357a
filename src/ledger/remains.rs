//! What is left of a data set that no longer exists. With millions of entries, giving back its memory takes longer than a
//! command may wait, so it is done in steps.

/// The steps that are left. Each drops a part of the data, in less than a millisecond.
pub struct Remains(Box<dyn Iterator<Item = ()>>);

impl Remains {
    /// Data that is dropped in these steps.
    pub(super) fn of(steps: impl Iterator<Item = ()> + 'static) -> Self {
        Self(Box::new(steps))
    }

    /// Gives back a part of the memory. Returns whether something may be left.
    pub fn free_some(&mut self) -> bool {
        self.0.next().is_some()
    }
}

/// Drops a collection, one entry in each step.
pub(super) fn steps<C: IntoIterator>(collection: C) -> impl Iterator<Item = ()> + use<C> {
    collection.into_iter().map(drop)
}

//! The names that may have a setting which few have: warehouses, a floor, a limit per buyer. For all others, RESERVE does not
//! read the key of the setting.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;

use super::remains::steps;

/// The names for which the key of a setting may exist. Every event that can create such a key enters its name. An entry too
/// many only costs a look at the key.
#[derive(Debug)]
pub struct MayHave<T>(HashSet<T>);

impl<T> Default for MayHave<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> MayHave<T> {
    /// Enters a name whose key was seen or written.
    pub fn enter(&mut self, name: T) {
        self.0.insert(name);
    }

    /// Removes a name whose key the module has just deleted.
    pub fn leave(&mut self, name: &T) {
        self.0.remove(name);
    }

    /// Whether there may be a key for this name.
    pub fn may_have<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        !self.0.is_empty() && self.0.contains(name)
    }

    /// Drops the names, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        steps(self.0)
    }

    /// Whether there can be no such key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

//! The names of foreign `reservation:` keys, which are not records of the module.
//!
//! **Invariant:** a name stays here until its key is deleted or is found to be a record of the module. This holds even
//! if the outcome that made the key foreign is forgotten.

use std::collections::HashMap;

use super::remains::steps;

/// The reason why a `reservation:` key is foreign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It is a script's record, or an old dump or copy of a reservation that has ended.
    Stranger,
    /// It is a record of the module under the wrong name, because of RENAME or COPY. No script relies on its units.
    Misnamed,
}

/// The names of all foreign keys, and the reason for each.
#[derive(Debug, Default)]
pub struct ForeignRecords {
    by_name: HashMap<Box<[u8]>, Foreign>,
    /// The number of keys with the reason [`Foreign::Stranger`].
    strangers: usize,
}

impl ForeignRecords {
    /// Adds a foreign `reservation:` key.
    pub fn enter(&mut self, name: &[u8], what: Foreign) {
        self.leave(name);
        self.by_name.insert(name.into(), what);
        self.strangers = self.strangers.saturating_add(usize::from(what == Foreign::Stranger));
    }

    /// Removes a key that has been deleted or is a record of the module. Returns whether it was foreign.
    pub fn leave(&mut self, name: &[u8]) -> bool {
        let was = self.by_name.remove(name);
        self.strangers = self.strangers.saturating_sub(usize::from(was == Some(Foreign::Stranger)));
        was.is_some()
    }

    /// Whether this key was found to be foreign.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether there is a key other than `name` that may be a script's record.
    pub fn has_stranger_beside(&self, name: &[u8]) -> bool {
        self.strangers > usize::from(self.by_name.get(name) == Some(&Foreign::Stranger))
    }

    /// Drops the names, one in each step.
    pub(super) fn into_steps(self) -> impl Iterator<Item = ()> {
        steps(self.by_name)
    }

    /// The number of foreign keys.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are no foreign keys.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

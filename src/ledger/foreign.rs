//! Names of `reservation:` keys that are not ours.
//!
//! **Invariant:** a name stays here until its key goes or is found to be ours, also when what spoke against it, an outcome,
//! is forgotten.

use std::collections::HashMap;

/// What a `reservation:` key that is not ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A script's, or an old dump or copy of a reservation that has ended.
    Stranger,
    /// A record of ours under another name than its own: a RENAME or COPY. No script knows what it holds.
    Misnamed,
}

/// The names of all such keys, and what each is.
#[derive(Debug, Default)]
pub struct ForeignRecords {
    by_name: HashMap<Box<[u8]>, Foreign>,
    /// How many of them are strangers.
    strangers: usize,
}

impl ForeignRecords {
    /// A `reservation:` key that is not ours was seen.
    pub fn enter(&mut self, name: &[u8], what: Foreign) {
        self.leave(name);
        self.by_name.insert(name.into(), what);
        self.strangers = self.strangers.saturating_add(usize::from(what == Foreign::Stranger));
    }

    /// That key is gone, or ours. Says whether it was foreign.
    pub fn leave(&mut self, name: &[u8]) -> bool {
        let was = self.by_name.remove(name);
        self.strangers = self.strangers.saturating_sub(usize::from(was == Some(Foreign::Stranger)));
        was.is_some()
    }

    /// Whether that key was found not to be ours.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether a record that may be a script's lives here under another name than `name`.
    pub fn has_stranger_beside(&self, name: &[u8]) -> bool {
        self.strangers > usize::from(self.by_name.get(name) == Some(&Foreign::Stranger))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

//! Strings of the server that are needed again and again: the names of the keys used lately (a key is read, written, told
//! of and replicated, and the next command is often about the same product), and the words of replicated commands.
//!
//! They are kept from command to command. A command takes all of them out for itself and puts them back when it is done.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::api::text::Text;
use crate::inventory::key::Key;
use crate::inventory::sku::KeyStyle;

/// As many names are kept as a byte of a hash can tell apart: those of an order with some dozens of lines.
const NAMES: usize = 256;

/// All that are kept.
pub struct Names {
    /// How the names are.
    style: KeyStyle,
    hasher: DefaultHashBuilder,
    /// Each name has one place, by its hash: the latest that belongs there is kept.
    names: Vec<Name>,
    /// The name that is kept nowhere.
    rare: Option<Text>,
    /// What a name is put together in.
    scratch: String,
    words: Vec<(&'static str, Text)>,
    /// The document that was stored last: it is replicated as well.
    document: Option<Text>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            style: KeyStyle::Plain,
            hasher: DefaultHashBuilder::default(),
            names: vec![Name::none(); NAMES],
            rare: None,
            scratch: String::new(),
            words: Vec::new(),
            document: None,
        }
    }
}

/// The name of a key, by what it is made of.
#[derive(Clone)]
struct Name {
    hash: u64,
    prefix: Prefix,
    id: String,
    text: Text,
}

impl Name {
    /// Of no key: no id is empty.
    fn none() -> Self {
        Self { hash: 0, prefix: Prefix::Available, id: String::new(), text: Text::new(b"") }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Available,
    Reserved,
    Warehouses,
    Reservation,
    Outcome,
}

/// What the name of a key is made of; `None` for those that are rare.
fn parts<'a>(key: &Key<'a>) -> Option<(Prefix, &'a str)> {
    match key {
        Key::Available(sku) => Some((Prefix::Available, sku.as_str())),
        Key::Reserved(sku) => Some((Prefix::Reserved, sku.as_str())),
        Key::Warehouses(product) => Some((Prefix::Warehouses, product)),
        Key::Reservation(id) => Some((Prefix::Reservation, id.as_str())),
        Key::Outcome(id) => Some((Prefix::Outcome, id.as_str())),
        Key::Threshold(_) | Key::Alert(..) | Key::Managed | Key::Feed(_) | Key::Once(_) => None,
    }
}

impl Names {
    /// The name of a key, and a hash that the names of all other keys hardly have.
    pub fn name(&mut self, key: Key<'_>, style: KeyStyle) -> (&Text, u64) {
        let Self { hasher, names, rare, scratch, .. } = self;
        if self.style != style {
            names.fill(Name::none());
            self.style = style;
        }
        let mut made = || {
            scratch.clear();
            key.write_name(style, scratch);
            Text::new(scratch.as_bytes())
        };
        let Some((prefix, id)) = parts(&key) else {
            let text = rare.insert(made());
            let hash = hasher.hash_one(text.bytes());
            return (text, hash);
        };
        // The names of one id lie in places of their own.
        let hash = hasher.hash_one(id).wrapping_add(prefix as u64);
        let Some(name) = names.get_mut(usize::from(hash.to_le_bytes()[0])) else {
            return (rare.insert(made()), hash);
        };
        if name.hash != hash || name.prefix != prefix || name.id != id {
            (name.hash, name.prefix, name.text) = (hash, prefix, made());
            name.id.clear();
            name.id.push_str(id);
        }
        (&name.text, hash)
    }

    /// A word of a replicated command.
    pub fn word(&mut self, word: &'static str) -> Text {
        if let Some((_, known)) = self.words.iter().find(|(known, _)| *known == word) {
            return known.clone();
        }
        let text = Text::new(word.as_bytes());
        self.words.push((word, text.clone()));
        text
    }

    /// A document that is about to be stored.
    pub fn document(&mut self, bytes: &[u8]) -> Text {
        let text = Text::new(bytes);
        self.document = Some(text.clone());
        text
    }

    /// The command is done. A value that somebody else holds as well must not be there when a thread of the server frees
    /// what a FLUSHALL ASYNC took away: the server counts the holders without a lock.
    pub fn release_document(&mut self) {
        self.document = None;
    }

    /// A text that is replicated: the document that was stored, if it is that.
    pub fn replicated(&mut self, bytes: &[u8]) -> Text {
        match self.document.take_if(|document| document.bytes() == bytes) {
            Some(document) => document,
            None => Text::new(bytes),
        }
    }
}

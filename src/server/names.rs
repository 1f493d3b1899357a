//! Caches strings of the server that are needed repeatedly: the names of recently used keys and the words of
//! replicated commands. One command reads, writes, announces and replicates the same key, and the next command is
//! often about the same product.
//!
//! The cache is kept from command to command. A command takes all of it and puts it back at the end.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::api::text::Text;
use crate::inventory::key::Key;
use crate::inventory::sku::KeyStyle;

/// The number of cached names, which is the number of values of one byte of a hash: enough for an order with some
/// dozens of lines.
const NAMES: usize = 256;

/// At most one more than this number of words is kept.
const WORDS: usize = 32;

/// The cached strings.
pub struct Names {
    /// The style of the cached names.
    style: KeyStyle,
    hasher: DefaultHashBuilder,
    /// Each name has one place, which its hash determines. The latest name for a place is kept.
    names: Vec<Name>,
    /// The latest name of a kind that is not cached.
    rare: Option<Text>,
    /// A buffer in which names are built.
    scratch: String,
    words: Vec<(&'static str, Option<i64>, Text)>,
    /// The document that was stored last, because it is replicated as well.
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

/// The cached name of a key, with the parts that it is made of.
#[derive(Clone)]
struct Name {
    hash: u64,
    prefix: Prefix,
    id: String,
    text: Text,
}

impl Name {
    /// An unused entry. It matches no key, because no id is empty.
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

/// The parts that the name of a key is made of; `None` for keys that are used rarely.
fn parts<'a>(key: &Key<'a>) -> Option<(Prefix, &'a str)> {
    match key {
        Key::Available(sku) => Some((Prefix::Available, sku.as_str())),
        Key::Reserved(sku) => Some((Prefix::Reserved, sku.as_str())),
        Key::Warehouses(product) => Some((Prefix::Warehouses, product)),
        Key::Reservation(id) => Some((Prefix::Reservation, id.as_str())),
        Key::Outcome(id) => Some((Prefix::Outcome, id.as_str())),
        Key::Floor(_)
        | Key::Limit(_)
        | Key::Threshold(_)
        | Key::Alert(..)
        | Key::Managed
        | Key::Feed(_)
        | Key::Once(_) => None,
    }
}

impl Names {
    /// The name of a key, and a hash of it that other names are very unlikely to have.
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
        // The names of one id have different places.
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

    /// The hash that [`Names::name`] returns, and the name itself. No string of the server is made. `None` for a kind that
    /// is not cached.
    pub fn plain_name(&mut self, key: Key<'_>, style: KeyStyle) -> Option<(u64, &str)> {
        let (prefix, id) = parts(&key)?;
        self.scratch.clear();
        key.write_name(style, &mut self.scratch);
        Some((self.hasher.hash_one(id).wrapping_add(prefix as u64), &self.scratch))
    }

    /// The string for a word of a replicated command, with a number if it has one. Few of them are in use at a time.
    pub fn word(&mut self, word: &'static str, number: Option<i64>) -> Text {
        let is_known = |known: &&(&'static str, Option<i64>, Text)| known.0 == word && known.1 == number;
        if let Some((.., known)) = self.words.iter().find(is_known) {
            return known.clone();
        }
        let text = match number {
            Some(number) => Text::new(format!("{word} {number}").as_bytes()),
            None => Text::new(word.as_bytes()),
        };
        // The numbers are settings, which may change now and then.
        self.words.truncate(WORDS);
        self.words.push((word, number, text.clone()));
        text
    }

    /// The string for a document that is about to be stored.
    pub fn document(&mut self, bytes: &[u8]) -> Text {
        let text = Text::new(bytes);
        self.document = Some(text.clone());
        text
    }

    /// Releases the document at the end of a command. The server counts the references to a string without a lock.
    /// The module must therefore hold none when a thread of the server frees the values that FLUSHALL ASYNC removed.
    pub fn release_document(&mut self) {
        self.document = None;
    }

    /// The string for a replicated text. It is shared with the document that was stored, if they are equal.
    pub fn replicated(&mut self, bytes: &[u8]) -> Text {
        match self.document.take_if(|document| document.bytes() == bytes) {
            Some(document) => document,
            None => Text::new(bytes),
        }
    }
}

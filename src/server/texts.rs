//! Strings of the server that are needed again and again: the names of the keys used lately (a key is read, written, told
//! of and replicated, and the next command is often about the same product), and the words of replicated commands.
//!
//! They are kept from command to command, and only ever touched on the server's main thread. A command takes all of them
//! out for itself and puts them back behind itself, so that nothing has to be locked for each.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;

use super::api::Text;
use crate::inventory::sku::{Key, KeyStyle};

static KEPT: Mutex<Option<Box<Texts>>> = Mutex::new(None);

fn kept() -> MutexGuard<'static, Option<Box<Texts>>> {
    // A panic ends the server before anybody could find the lock poisoned.
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the strings out. Whoever comes meanwhile begins without any.
pub fn take() -> Box<Texts> {
    kept().take().unwrap_or_default()
}

/// Puts them back.
pub fn put_back(texts: Box<Texts>) {
    *kept() = Some(texts);
}

/// Releases all of them: the module is unloaded.
pub fn forget() {
    *kept() = None;
}

/// See the module.
pub struct Texts {
    /// How the names are.
    style: KeyStyle,
    hasher: DefaultHashBuilder,
    of_skus: Ring,
    of_ids: Ring,
    /// The name that is of none of them.
    rare: Option<Text>,
    /// What a name is put together in.
    scratch: String,
    words: Vec<(&'static str, Text)>,
    /// The document that was stored last: it is replicated as well.
    document: Option<Text>,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            style: KeyStyle::Plain,
            hasher: DefaultHashBuilder::default(),
            of_skus: Ring::new(24),
            // A command is about one reservation: its record, its outcome.
            of_ids: Ring::new(2),
            rare: None,
            scratch: String::new(),
            words: Vec::new(),
            document: None,
        }
    }
}

/// The latest names.
struct Ring {
    names: Vec<Name>,
    /// The one to be replaced next.
    next: usize,
    most: usize,
}

impl Ring {
    fn new(most: usize) -> Self {
        Self { names: Vec::new(), next: 0, most }
    }

    fn find(&self, hash: u64, kind: Kind, id: &str) -> Option<usize> {
        self.names.iter().position(|name| name.hash == hash && name.kind == kind && name.id == id)
    }

    /// Keeps a name in place of the oldest, and tells where.
    fn keep(&mut self, hash: u64, kind: Kind, id: &str, text: Text) -> usize {
        let place = self.next;
        match self.names.get_mut(place) {
            Some(oldest) => {
                (oldest.hash, oldest.kind) = (hash, kind);
                oldest.id.clear();
                oldest.id.push_str(id);
                oldest.text = text;
            }
            None => self.names.push(Name { hash, kind, id: id.to_owned(), text }),
        }
        self.next = place.saturating_add(1).checked_rem(self.most).unwrap_or_default();
        place
    }

    fn clear(&mut self) {
        (self.names, self.next) = (Vec::new(), 0);
    }
}

/// The name of a key, by what it is made of.
struct Name {
    /// Of the id: most others are told apart by it.
    hash: u64,
    kind: Kind,
    id: String,
    text: Text,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Available,
    Reserved,
    Warehouses,
    Reservation,
    Outcome,
}

/// What the name of a key is made of; `None` for those that are rare.
fn parts<'a>(key: &Key<'a>) -> Option<(Kind, &'a str)> {
    match key {
        Key::Available(sku) => Some((Kind::Available, sku.as_str())),
        Key::Reserved(sku) => Some((Kind::Reserved, sku.as_str())),
        Key::Warehouses(product) => Some((Kind::Warehouses, product)),
        Key::Reservation(id) => Some((Kind::Reservation, id.as_str())),
        Key::Outcome(id) => Some((Kind::Outcome, id.as_str())),
        Key::Threshold(_) | Key::Alert(..) | Key::Managed | Key::Feed(_) | Key::Once(_) => None,
    }
}

impl Texts {
    /// The name of a key.
    pub fn name(&mut self, key: Key<'_>, style: KeyStyle) -> &Text {
        let Self { hasher, of_skus, of_ids, rare, scratch, .. } = self;
        if self.style != style {
            of_skus.clear();
            of_ids.clear();
            self.style = style;
        }
        let mut made = || {
            scratch.clear();
            key.write_name(style, scratch);
            Text::new(scratch.as_bytes())
        };
        let Some((kind, id)) = parts(&key) else { return rare.insert(made()) };
        let ring = match kind {
            Kind::Available | Kind::Reserved | Kind::Warehouses => of_skus,
            Kind::Reservation | Kind::Outcome => of_ids,
        };
        let hash = hasher.hash_one(id);
        let place = ring.find(hash, kind, id).unwrap_or_else(|| ring.keep(hash, kind, id, made()));
        match ring.names.get(place) {
            Some(name) => &name.text,
            // Never: the ring has just told the place.
            None => rare.insert(made()),
        }
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

//! Strings of the server that are needed again and again: the names of the keys used lately (a key is read, written, told
//! of and replicated, and the next command is often about the same product), and the words of replicated commands.
//!
//! They are kept from command to command, and only ever touched on the server's main thread. While the lock is held
//! nothing is called but what makes, holds and releases strings.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::api::Text;
use crate::inventory::sku::{Key, KeyStyle};

static TEXTS: Mutex<Texts> = Mutex::new(Texts {
    style: KeyStyle::Plain,
    of_skus: Ring::new(24),
    // A command is about one reservation: its record, its outcome.
    of_ids: Ring::new(2),
    scratch: String::new(),
    words: Vec::new(),
    document: None,
});

fn texts() -> MutexGuard<'static, Texts> {
    // A panic ends the server before anybody could find the lock poisoned.
    TEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Texts {
    /// How the names are.
    style: KeyStyle,
    of_skus: Ring,
    of_ids: Ring,
    /// What a name is put together in.
    scratch: String,
    words: Vec<(&'static str, Text)>,
    /// The document that was stored last: it is replicated as well.
    document: Option<Text>,
}

/// The latest names.
struct Ring {
    names: Vec<Name>,
    /// The one to be replaced next.
    next: usize,
    most: usize,
}

impl Ring {
    const fn new(most: usize) -> Self {
        Self { names: Vec::new(), next: 0, most }
    }

    fn find(&self, kind: Kind, id: &str) -> Option<Text> {
        let same = |name: &&Name| name.kind == kind && name.id == id;
        self.names.iter().find(same).map(|name| name.text.clone())
    }

    fn keep(&mut self, kind: Kind, id: &str, text: &Text) {
        match self.names.get_mut(self.next) {
            Some(oldest) => {
                oldest.kind = kind;
                oldest.id.clear();
                oldest.id.push_str(id);
                oldest.text = text.clone();
            }
            None => self.names.push(Name { kind, id: id.to_owned(), text: text.clone() }),
        }
        self.next = self.next.saturating_add(1).checked_rem(self.most).unwrap_or_default();
    }

    fn clear(&mut self) {
        (self.names, self.next) = (Vec::new(), 0);
    }
}

/// The name of a key, by what it is made of.
struct Name {
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

/// The name of a key.
pub fn name(key: Key<'_>, style: KeyStyle) -> Text {
    let Some((kind, id)) = parts(&key) else { return Text::new(key.name(style).as_bytes()) };
    let mut texts = texts();
    if texts.style != style {
        texts.of_skus.clear();
        texts.of_ids.clear();
        texts.style = style;
    }
    let Texts { of_skus, of_ids, scratch, .. } = &mut *texts;
    let ring = match kind {
        Kind::Available | Kind::Reserved | Kind::Warehouses => of_skus,
        Kind::Reservation | Kind::Outcome => of_ids,
    };
    if let Some(known) = ring.find(kind, id) {
        return known;
    }
    scratch.clear();
    key.write_name(style, scratch);
    let text = Text::new(scratch.as_bytes());
    ring.keep(kind, id, &text);
    text
}

/// A word of a replicated command.
pub fn word(word: &'static str) -> Text {
    let mut texts = texts();
    if let Some((_, known)) = texts.words.iter().find(|(known, _)| *known == word) {
        return known.clone();
    }
    let text = Text::new(word.as_bytes());
    texts.words.push((word, text.clone()));
    text
}

/// A document that is about to be stored.
pub fn document(bytes: &[u8]) -> Text {
    let text = Text::new(bytes);
    texts().document = Some(text.clone());
    text
}

/// The command is done. A value that somebody else holds as well must not be there when a thread of the server frees what
/// a FLUSHALL ASYNC took away: the server counts the holders without a lock.
pub fn release_document() {
    texts().document = None;
}

/// A text that is replicated: the document that was stored, if it is that.
pub fn replicated(bytes: &[u8]) -> Text {
    match texts().document.take_if(|document| document.bytes() == bytes) {
        Some(document) => document,
        None => Text::new(bytes),
    }
}

/// Releases all of them: the module is unloaded.
pub fn forget() {
    let mut texts = texts();
    texts.of_skus.clear();
    texts.of_ids.clear();
    (texts.words, texts.document) = (Vec::new(), None);
}

//! The writes: what a decision does to the keys, on this server and on every copy.
//!
//! **Invariant:** a command replicates as the list of its effects. A replica or an AOF replay carries out that list
//! with the same code as the master, and without reading a clock, the configuration or a limit. Form and
//! versions are in docs/internals/replicated-form.md. AOF files are kept indefinitely, so words may be added here but
//! never changed.

use std::borrow::Cow;

use super::keyspace::{Argument, Keyspace, counter, is_free};
use super::places::check_set;
use super::sent::Sent;
use crate::inventory::alert::OFF;
use crate::inventory::key::{Key, OnceName};
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::refusal::{Objections, Refusal};
use crate::inventory::reservation::Record;
use crate::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

/// The version of the replicated form. It also determines the key style, because a copy must write the keys that its
/// master wrote, whatever its own configuration says.
const fn version(style: KeyStyle) -> &'static str {
    match style {
        KeyStyle::Plain => "1",
        KeyStyle::Tagged => "2",
    }
}

/// One change of the data set. Each variant names its replicated form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `HOLD id deadline record`: write the record, and move its items from available to reserved.
    Hold {
        /// The record.
        record: Record,
        /// The expiry time of the record's key.
        deadline: UnixMs,
    },
    /// `RECORD id deadline record`: write the record without moving units.
    Record {
        /// The record.
        record: Record,
        /// The expiry time of the record's key.
        deadline: UnixMs,
    },
    /// `UNITS sku available reserved`: add to both counters. A 0 leaves the counter alone; two zeros create the
    /// available counter.
    Units {
        /// The sku.
        sku: Sku,
        /// The units to add to the available counter.
        available: i64,
        /// The units to add to the reserved counter.
        reserved: i64,
    },
    /// `END id deadline outcome`: delete the record, and write the outcome unless its deadline is 0.
    End {
        /// The reservation.
        id: ReservationId,
        /// The outcome.
        outcome: Outcome,
        /// The expiry time of the outcome's key; 0 means that no outcome is kept.
        deadline: UnixMs,
    },
    /// `ONCE name deadline answer`: remember the request and the answer of a command with a token.
    Once {
        /// The name in the key.
        name: OnceName,
        /// The expiry time of the key.
        deadline: UnixMs,
        /// The stored form of the request and its answer.
        answer: Vec<u8>,
    },
    /// `THRESHOLD product units 0`: set the product's threshold, or delete it if `units` is -1. `NOALERTS product 0 0`:
    /// set the threshold to [`OFF`].
    Threshold {
        /// The product.
        product: Product,
        /// The threshold: 0 or more, or [`OFF`]. `None` deletes it.
        units: Option<i64>,
    },
    /// `RANK product@warehouse priority 0`: add the warehouse to the product, or change its priority.
    Rank {
        /// The product in this warehouse.
        place: Sku,
        /// The priority. The warehouse with the lowest number is used first.
        priority: i64,
    },
    /// `UNRANK product@warehouse 0 0`: remove the warehouse from the product.
    Unrank {
        /// The product in this warehouse.
        place: Sku,
    },
    /// `CLEAR sku 0 0`: delete both counters. Each of them is 0 or absent.
    Clear {
        /// The sku.
        sku: Sku,
    },
    /// `OUTCOME id deadline outcome`: write the outcome only.
    Outcome {
        /// The reservation.
        id: ReservationId,
        /// The outcome.
        outcome: Outcome,
        /// The expiry time of the outcome's key.
        deadline: UnixMs,
    },
}

/// The replicated form of one effect: a word, a subject, and two values.
struct Form<'a> {
    word: Word,
    subject: &'a str,
    first: i64,
    second: Second<'a>,
}

/// The second value of an effect.
enum Second<'a> {
    /// A number.
    Number(i64),
    /// The stored document. The same bytes are written to the key and replicated.
    Document(Cow<'a, [u8]>),
}

/// The words of the replicated form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Hold,
    Record,
    Units,
    End,
    Once,
    Threshold,
    NoAlerts,
    Rank,
    Unrank,
    Clear,
    Outcome,
}

impl Word {
    const ALL: [Word; 11] = [
        Word::Hold,
        Word::Record,
        Word::Units,
        Word::End,
        Word::Once,
        Word::Threshold,
        Word::NoAlerts,
        Word::Rank,
        Word::Unrank,
        Word::Clear,
        Word::Outcome,
    ];

    fn text(self) -> &'static str {
        match self {
            Word::Hold => "HOLD",
            Word::Record => "RECORD",
            Word::Units => "UNITS",
            Word::End => "END",
            Word::Once => "ONCE",
            Word::Threshold => "THRESHOLD",
            Word::NoAlerts => "NOALERTS",
            Word::Rank => "RANK",
            Word::Unrank => "UNRANK",
            Word::Clear => "CLEAR",
            Word::Outcome => "OUTCOME",
        }
    }

    /// Reads an effect with this word from the form that [`Effect::form`] writes. Returns `None` if a value is not
    /// valid.
    fn read(self, subject: &[u8], first: i64, second: &[u8], style: KeyStyle) -> Option<Effect> {
        let reservation = || ReservationId::parse(subject, style).ok();
        let record = || Record::from_json(&reservation()?, second, style);
        let outcome = |id: &ReservationId| Outcome::from_json(id, second, style);
        let sku = || Sku::replicated(subject, style);
        let place = || sku().filter(|sku| sku.warehouse().is_some());
        let product = || Product::parse(subject, style).ok();
        let deadline = first;
        Some(match self {
            Word::Hold => Effect::Hold { record: record()?, deadline },
            Word::Record => Effect::Record { record: record()?, deadline },
            Word::Units => Effect::Units { sku: sku()?, available: first, reserved: parse_integer(second)? },
            Word::End => {
                let id = reservation()?;
                Effect::End { outcome: outcome(&id)?, id, deadline }
            }
            Word::Outcome => {
                let id = reservation()?;
                Effect::Outcome { outcome: outcome(&id)?, id, deadline }
            }
            Word::Once => {
                Effect::Once { name: OnceName::replicated(subject)?, deadline, answer: second.to_vec() }
            }
            Word::Threshold => {
                Effect::Threshold { product: product()?, units: (first >= 0).then_some(first) }
            }
            Word::NoAlerts => Effect::Threshold { product: product()?, units: Some(OFF) },
            Word::Rank => Effect::Rank { place: place()?, priority: first },
            Word::Unrank => Effect::Unrank { place: place()? },
            Word::Clear => Effect::Clear { sku: sku()? },
        })
    }
}

impl Effect {
    /// The replicated form of the effect, which [`Word::read`] reads.
    fn form(&self) -> Form<'_> {
        let document = |json: Vec<u8>| Second::Document(json.into());
        let number = Second::Number;
        let (word, subject, first, second) = match self {
            Effect::Hold { record, deadline } => {
                (Word::Hold, record.id.as_str(), *deadline, document(record.to_json()))
            }
            Effect::Record { record, deadline } => {
                (Word::Record, record.id.as_str(), *deadline, document(record.to_json()))
            }
            Effect::Units { sku, available, reserved } => {
                (Word::Units, sku.as_str(), *available, number(*reserved))
            }
            Effect::End { id, outcome, deadline } => {
                (Word::End, id.as_str(), *deadline, document(outcome.to_json(id)))
            }
            Effect::Outcome { id, outcome, deadline } => {
                (Word::Outcome, id.as_str(), *deadline, document(outcome.to_json(id)))
            }
            Effect::Once { name, deadline, answer } => {
                (Word::Once, name.as_str(), *deadline, Second::Document(answer.into()))
            }
            Effect::Threshold { product, units: Some(OFF) } => {
                (Word::NoAlerts, product.as_str(), 0, number(0))
            }
            Effect::Threshold { product, units } => {
                (Word::Threshold, product.as_str(), units.unwrap_or(-1), number(0))
            }
            Effect::Rank { place, priority } => (Word::Rank, place.as_str(), *priority, number(0)),
            Effect::Unrank { place } => (Word::Unrank, place.as_str(), 0, number(0)),
            Effect::Clear { sku } => (Word::Clear, sku.as_str(), 0, number(0)),
        };
        Form { word, subject, first, second }
    }
}

/// Carries out the effects of a command and replicates them. After this point nothing may fail.
pub fn write_all<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    let forms: Vec<Form<'_>> = effects.iter().map(Effect::form).collect();
    let documents = forms.iter().map(|form| match &form.second {
        Second::Document(document) => &**document,
        Second::Number(_) => &[],
    });
    carry_out_all(keys, effects, documents);
    let mut arguments = Vec::with_capacity(forms.len().saturating_mul(4).saturating_add(1));
    arguments.push(Argument::Word(version(keys.style())));
    for Form { word, subject, first, second } in &forms {
        let second = match second {
            Second::Number(number) => Argument::Number(*number),
            Second::Document(document) => Argument::Text(document),
        };
        let subject = Argument::Text(subject.as_bytes());
        arguments.extend([Argument::Word(word.text()), subject, Argument::Number(*first), second]);
    }
    keys.replicate(Sent::Apply, &arguments);
}

/// Carries out effects. The counters come first, because their keys are still open since they were read.
///
/// Subtractions come before additions. If a fault of the module stops the work half way, units may be missing, but none
/// exists twice.
fn carry_out_all<'a, K: Keyspace>(
    keys: &mut K,
    effects: &[Effect],
    documents: impl Iterator<Item = &'a [u8]>,
) {
    move_units(keys, effects);
    for (effect, document) in effects.iter().zip(documents) {
        carry_out(keys, effect, document);
    }
}

fn move_units<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    for takes in [true, false] {
        for effect in effects {
            effect.each_move(|key, delta| {
                if (delta < 0) == takes {
                    keys.add(key, delta);
                }
            });
        }
    }
}

impl Effect {
    /// Calls `meet` for each counter that the effect adds to, with the number to add. The number is 0 for an available
    /// counter that is only created.
    fn each_move(&self, mut meet: impl FnMut(Key<'_>, i64)) {
        match self {
            Effect::Hold { record, .. } => {
                for Line { sku, quantity } in &record.items {
                    meet(Key::Available(sku), quantity.units().saturating_neg());
                    meet(Key::Reserved(sku), quantity.units());
                }
            }
            Effect::Units { sku, available, reserved } => {
                if *available != 0 || *reserved == 0 {
                    meet(Key::Available(sku), *available);
                }
                if *reserved != 0 {
                    meet(Key::Reserved(sku), *reserved);
                }
            }
            Effect::Record { .. }
            | Effect::End { .. }
            | Effect::Once { .. }
            | Effect::Threshold { .. }
            | Effect::Rank { .. }
            | Effect::Unrank { .. }
            | Effect::Clear { .. }
            | Effect::Outcome { .. } => {}
        }
    }
}

/// Carries out one effect whose counters have already moved: writes the keys, sends the keyspace notifications that the
/// Lua scripts' commands would send, and updates the ledger.
fn carry_out<K: Keyspace>(keys: &mut K, effect: &Effect, document: &[u8]) {
    // The server reports DECRBY as `incrby` as well.
    effect.each_move(|key, _| keys.notify(c"incrby", key));
    match effect {
        Effect::Hold { record, deadline } => {
            write(keys, Key::Reservation(&record.id), document, *deadline);
            keys.ledger(|ledger| ledger.holds.enter(record, *deadline));
        }
        Effect::Record { record, deadline } => {
            write(keys, Key::Reservation(&record.id), document, *deadline);
            keys.ledger(|ledger| ledger.holds.enter_again(record, *deadline));
        }
        Effect::Units { .. } => {}
        Effect::Once { name, deadline, .. } => write(keys, Key::Once(name), document, *deadline),
        Effect::Threshold { product, units } => {
            let key = Key::Threshold(product.as_str());
            match units {
                Some(units) => {
                    keys.write(key, units.to_string().as_bytes(), None);
                    keys.notify(c"set", key);
                }
                None => {
                    keys.remove(key);
                    keys.notify(c"del", key);
                }
            }
            keys.ledger(|ledger| ledger.thresholds.set(product.clone(), *units));
        }
        Effect::Rank { place, priority } => {
            let key = Key::Warehouses(place.product());
            keys.rank(key, place.warehouse().unwrap_or_default(), *priority);
            keys.notify(c"zadd", key);
        }
        Effect::Unrank { place } => {
            let key = Key::Warehouses(place.product());
            let went = keys.unrank(key, place.warehouse().unwrap_or_default());
            keys.notify(c"zrem", key);
            if went {
                keys.notify(c"del", key);
            }
        }
        Effect::Clear { sku } => {
            for key in [Key::Available(sku), Key::Reserved(sku)] {
                if !is_free(keys, key) {
                    keys.remove(key);
                    keys.notify(c"del", key);
                }
            }
        }
        Effect::End { id, deadline, .. } => {
            keys.remove(Key::Reservation(id));
            keys.ledger(|ledger| ledger.holds.leave(id));
            keys.notify(c"del", Key::Reservation(id));
            if *deadline > 0 {
                write(keys, Key::Outcome(id), document, *deadline);
            }
        }
        Effect::Outcome { id, deadline, .. } => {
            write(keys, Key::Outcome(id), document, *deadline);
        }
    }
}

/// Writes a string with a TTL, and sends the notifications of SETEX.
pub(super) fn write<K: Keyspace>(keys: &mut K, key: Key<'_>, value: &[u8], until: UnixMs) {
    keys.write(key, value, Some(until));
    keys.notify(c"set", key);
    keys.notify(c"expire", key);
}

/// Writes a string with a TTL that is not part of a command's effects. It is replicated as a plain command.
pub(super) fn write_plainly<K: Keyspace>(keys: &mut K, key: Key<'_>, value: &[u8], until: UnixMs) {
    write(keys, key, value, until);
    let arguments =
        [Argument::Key(key), Argument::Text(value), Argument::Word("PXAT"), Argument::Number(until)];
    keys.replicate(Sent::Set, &arguments);
}

/// Units that are returned although no command asked for it, at a deadline or because nothing holds them. A release is
/// replicated as plain commands.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// The units to move from reserved to available. Each sku occurs once.
    pub(super) units: Vec<(Sku, i64)>,
    /// The outcome to write, and the expiry time of its key.
    pub(super) outcome: Option<(ReservationId, Outcome, UnixMs)>,
}

impl Release {
    /// Carries out the release and replicates it.
    pub(super) fn write<K: Keyspace>(&self, keys: &mut K) {
        for (sku, units) in &self.units {
            // The subtraction comes before the addition. The notifications are in the order of the scripts' commands.
            keys.add(Key::Reserved(sku), units.saturating_neg());
            keys.add(Key::Available(sku), *units);
            keys.notify(c"incrby", Key::Available(sku));
            keys.notify(c"incrby", Key::Reserved(sku));
            keys.replicate(Sent::Incrby, &[Argument::Key(Key::Available(sku)), Argument::Number(*units)]);
            keys.replicate(Sent::Decrby, &[Argument::Key(Key::Reserved(sku)), Argument::Number(*units)]);
        }
        if let Some((id, outcome, until)) = &self.outcome {
            write_plainly(keys, Key::Outcome(id), &outcome.to_json(id), *until);
        }
    }
}

/// Reads the replicated form, which is the arguments of `INV.APPLY`. Returns the key style and the effects.
///
/// # Errors
///
/// `ERR` if the arguments are not in a form that this version knows.
pub fn parse(arguments: &[&[u8]]) -> Result<(KeyStyle, Vec<Effect>), Refusal> {
    let unreadable = |what: &str| {
        Refusal::invalid(format!("INV.APPLY: {what}: this module may be older than its master's"))
    };
    let (number, mut rest) = arguments.split_first().ok_or_else(|| unreadable("no version"))?;
    let style =
        [KeyStyle::Plain, KeyStyle::Tagged].into_iter().find(|style| version(*style).as_bytes() == *number);
    let style = style.ok_or_else(|| unreadable("unknown version"))?;
    let mut effects = Vec::new();
    while let Some(([word, subject, first, second], behind)) = rest.split_first_chunk::<4>() {
        let word = Word::ALL.into_iter().find(|known| known.text().as_bytes() == *word);
        let effect =
            word.zip(parse_integer(first)).and_then(|(word, first)| word.read(subject, first, second, style));
        effects.push(effect.ok_or_else(|| unreadable("unknown effect"))?);
        rest = behind;
    }
    if rest.is_empty() { Ok((style, effects)) } else { Err(unreadable("incomplete effect")) }
}

/// Carries out the effects of a master: `INV.APPLY` on a replica or during an AOF replay.
///
/// # Errors
///
/// `ERR` if the arguments cannot be read, and `WRONGTYPE` if a key contradicts them. In both cases nothing is written.
pub fn replay<K: Keyspace>(keys: &mut K, arguments: &[&[u8]]) -> Result<(), Refusal> {
    let (style, effects) = parse(arguments)?;
    let own = keys.style();
    keys.set_style(style);
    let done = replay_effects(keys, &effects, arguments);
    keys.set_style(own);
    if style != own {
        // Reservations in another key style are not released by this server, which would look for their keys under
        // other names.
        for effect in effects {
            if let Effect::Hold { record, .. } | Effect::Record { record, .. } = effect {
                keys.ledger(|ledger| ledger.holds.leave(&record.id));
            }
        }
    }
    done
}

fn replay_effects<K: Keyspace>(keys: &mut K, effects: &[Effect], arguments: &[&[u8]]) -> Result<(), Refusal> {
    for effect in effects {
        check_replayed(keys, effect)?;
    }
    // The last argument of each effect is its document, as the master stored it.
    let documents = arguments.iter().skip(1).skip(3).step_by(4);
    carry_out_all(keys, effects, documents.copied());
    Ok(())
}

/// Checks that the counters and warehouses which the effect changes have the right type.
///
/// On a copy that agrees with its master they always do. If they do not, the copy has already diverged, and it is
/// better to report that and let the server stop than to overwrite the values. Only keys that the master checked are
/// checked here.
fn check_replayed<K: Keyspace>(keys: &mut K, effect: &Effect) -> Result<(), Refusal> {
    let mut objections = Objections::default();
    effect.each_move(|key, _| {
        objections.check(counter(keys, key));
    });
    match effect {
        Effect::Clear { sku } => {
            for key in [Key::Available(sku), Key::Reserved(sku)] {
                objections.check(counter(keys, key));
            }
        }
        Effect::Rank { place, .. } | Effect::Unrank { place } => {
            objections.check(check_set(keys, place.product()));
        }
        Effect::Hold { .. }
        | Effect::Units { .. }
        | Effect::Record { .. }
        | Effect::Once { .. }
        | Effect::Threshold { .. }
        | Effect::End { .. }
        | Effect::Outcome { .. } => {}
    }
    objections.unless_any(())
}

//! The writes: what a decision does to the keys, here and on every copy.
//!
//! **Invariant:** a command replicates as the list of its effects, and a replica or an AOF replay carries out that
//! list with the code that the master used. It reads no clock, no configuration and no limit. Form and version are
//! in docs/internals/replicated-form.md: AOF files are kept forever, so words are added here, never changed.

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

/// The version of the replicated form. It says how the keys are named as well: whoever replays it has to write the keys
/// that its master wrote, whatever its own configuration says.
const fn version(style: KeyStyle) -> &'static str {
    match style {
        KeyStyle::Plain => "1",
        KeyStyle::Tagged => "2",
    }
}

/// One change of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `HOLD id deadline record`: write the record; its items go from available to reserved.
    Hold {
        /// The record.
        record: Record,
        /// Its TTL, absolute.
        deadline: UnixMs,
    },
    /// `RECORD id deadline record`: write the record; no units move.
    Record {
        /// The record.
        record: Record,
        /// Its TTL, absolute.
        deadline: UnixMs,
    },
    /// `UNITS sku available reserved`: add to both counters (0: leave that one alone; both 0: create available).
    Units {
        /// The sku.
        sku: Sku,
        /// Added to available.
        available: i64,
        /// Added to reserved.
        reserved: i64,
    },
    /// `END id deadline outcome`: delete the record; write the outcome, unless its deadline is 0.
    End {
        /// The reservation.
        id: ReservationId,
        /// How it ended.
        outcome: Outcome,
        /// The outcome's TTL, absolute; 0: none is kept.
        deadline: UnixMs,
    },
    /// `ONCE name deadline answer`: remember what a command with a token asked and was answered.
    Once {
        /// The name of its key.
        name: OnceName,
        /// The answer's TTL, absolute.
        deadline: UnixMs,
        /// The stored form of question and answer.
        answer: Vec<u8>,
    },
    /// `THRESHOLD product units 0`: the product's own threshold; -1 units: none. `NOALERTS product 0 0`: it is
    /// [`OFF`].
    Threshold {
        /// The product.
        product: Product,
        /// The threshold, 0 at least, or [`OFF`].
        units: Option<i64>,
    },
    /// `RANK product@warehouse priority 0`: the product has this warehouse, of this priority.
    Rank {
        /// The product in this warehouse.
        place: Sku,
        /// The lowest is taken from first.
        priority: i64,
    },
    /// `UNRANK product@warehouse 0 0`: the product has this warehouse no more.
    Unrank {
        /// The product in this warehouse.
        place: Sku,
    },
    /// `CLEAR sku 0 0`: delete both counters, which are 0 or not there.
    Clear {
        /// The sku.
        sku: Sku,
    },
    /// `OUTCOME id deadline outcome`: write the outcome alone.
    Outcome {
        /// The reservation.
        id: ReservationId,
        /// How it ended.
        outcome: Outcome,
        /// The outcome's TTL, absolute.
        deadline: UnixMs,
    },
}

/// The replicated form of one effect: a word, whom it is about, and two values.
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
    /// What is stored: written and replicated as these very bytes.
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

    /// Reads the effect of this word, as [`Effect::form`] writes it.
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
    /// The effect in its replicated form, which [`Word::read`] reads.
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

/// Carries the effects of a command out and sends them to the copies. After this point nothing may fail.
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

/// The counters first: they are open since they were read, and stay so until something else happens. What takes units comes
/// before what gives them: if a fault of the module ends it half way, units are missing, and none is there twice.
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
    /// The counters that it adds to, and what; of an available counter that it only creates, 0.
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

/// Writes one effect, whose counters have moved, into the keys, tells of it as the Lua scripts' commands did, and keeps the
/// ledger in step.
fn carry_out<K: Keyspace>(keys: &mut K, effect: &Effect, document: &[u8]) {
    // Every server tells of a DECRBY as `incrby` too.
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

/// Writes a string with a TTL, and tells of it as SETEX does.
pub(super) fn write<K: Keyspace>(keys: &mut K, key: Key<'_>, value: &[u8], until: UnixMs) {
    keys.write(key, value, Some(until));
    keys.notify(c"set", key);
    keys.notify(c"expire", key);
}

/// Writes a string with a TTL that no command asked for; it goes to the copies as a plain command.
pub(super) fn write_plainly<K: Keyspace>(keys: &mut K, key: Key<'_>, value: &[u8], until: UnixMs) {
    write(keys, key, value, until);
    let arguments =
        [Argument::Key(key), Argument::Text(value), Argument::Word("PXAT"), Argument::Number(until)];
    keys.replicate(Sent::Set, &arguments);
}

/// What comes back although no command asked for it: at a deadline, or because nothing holds it. It goes to the copies as plain
/// commands.
#[derive(Debug, Default)]
pub(super) struct Release {
    /// Units that move from reserved to available, each sku once.
    pub(super) units: Vec<(Sku, i64)>,
    /// The outcome to write, with its key's TTL, absolute.
    pub(super) outcome: Option<(ReservationId, Outcome, UnixMs)>,
}

impl Release {
    /// Carries it out and sends it to the copies.
    pub(super) fn write<K: Keyspace>(&self, keys: &mut K) {
        for (sku, units) in &self.units {
            // Taken before they are given, and told of as the scripts' commands did.
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

/// Reads the replicated form, the arguments of `INV.APPLY`: how its keys are named, and its effects.
pub fn parse(arguments: &[&[u8]]) -> Result<(KeyStyle, Vec<Effect>), Refusal> {
    let unreadable =
        |what: &str| Refusal::invalid(format!("INV.APPLY: {what}; is this module older than its master's?"));
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
    if rest.is_empty() { Ok((style, effects)) } else { Err(unreadable("half an effect")) }
}

/// Carries out what a master did: `INV.APPLY` on a replica, or while an AOF is replayed.
pub fn replay<K: Keyspace>(keys: &mut K, arguments: &[&[u8]]) -> Result<(), Refusal> {
    let (style, effects) = parse(arguments)?;
    let own = keys.style();
    keys.set_style(style);
    let done = replay_effects(keys, &effects, arguments);
    keys.set_style(own);
    if style != own {
        // None of it is to be released from here: the keys are not where this server would look.
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
    // The last word of each effect is its document, as the master stored it.
    let documents = arguments.iter().skip(1).skip(3).step_by(4);
    carry_out_all(keys, effects, documents.copied());
    Ok(())
}

/// A copy that agrees with its master has integers where the master changed them. One that does not has already lost its
/// way: better to say so, and let the server stop it, than to write over what is there. What the master did not change
/// it did not look at either.
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

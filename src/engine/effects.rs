//! The writes: what a decision does to the keys, here and on every copy.
//!
//! **Invariant:** a command replicates as the list of its effects, and a replica or an AOF replay carries out that
//! list with the code that the master used. It reads no clock, no configuration and no limit. Form and version are
//! in ARCHITECTURE.md: AOF files are for ever, so words are added here, never changed.

use super::keyspace::{Argument, Keyspace, counter, is_free};
use super::places::check_set;
use super::sent::Sent;
use crate::inventory::alert::OFF;
use crate::inventory::error::Refusal;
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::reservation::{Line, Record};
use crate::inventory::sku::{Key, KeyStyle, OnceName, Product, ReservationId, Sku};

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

impl Effect {
    /// What is stored, where the effect stores a document: written and propagated as these very bytes.
    fn document(&self) -> Vec<u8> {
        match self {
            Effect::Hold { record, .. } | Effect::Record { record, .. } => record.to_json(),
            Effect::Units { .. }
            | Effect::Threshold { .. }
            | Effect::Rank { .. }
            | Effect::Unrank { .. }
            | Effect::Clear { .. } => Vec::new(),
            Effect::Once { answer, .. } => answer.clone(),
            Effect::End { id, outcome, .. } | Effect::Outcome { id, outcome, .. } => outcome.to_json(id),
        }
    }
}

/// Carries the effects out and sends them to the copies. After this point nothing may fail.
pub fn commit<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    let documents: Vec<Vec<u8>> = effects.iter().map(Effect::document).collect();
    carry_out_all(keys, effects, documents.iter().map(Vec::as_slice));
    propagate(keys, effects, &documents);
}

/// The counters first: they are open since they were read, and stay so until something else happens. What takes units comes
/// before what gives them: if a fault of the module ends it half way, units are missing, and none is there twice.
fn carry_out_all<'a, K: Keyspace>(
    keys: &mut K,
    effects: &[Effect],
    documents: impl Iterator<Item = &'a [u8]>,
) {
    for takes in [true, false] {
        for effect in effects {
            each_move(effect, |key, delta| {
                if (delta < 0) == takes {
                    keys.add(key, delta);
                }
            });
        }
    }
    for (effect, document) in effects.iter().zip(documents) {
        carry_out(keys, effect, document);
    }
}

/// The counters that an effect adds to, and what.
fn each_move(effect: &Effect, mut meet: impl FnMut(Key<'_>, i64)) {
    let mut meet = |sku: &Sku, available: i64, reserved: i64| {
        for (key, delta) in [(Key::Available(sku), available), (Key::Reserved(sku), reserved)] {
            if delta != 0 {
                meet(key, delta);
            }
        }
    };
    match effect {
        Effect::Hold { record, .. } => {
            for Line { sku, quantity } in &record.items {
                meet(sku, quantity.units().saturating_neg(), quantity.units());
            }
        }
        Effect::Units { sku, available, reserved } => meet(sku, *available, *reserved),
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

/// Writes one effect, whose counters have moved, into the keys, tells of it as the Lua scripts' commands did, and keeps the
/// ledger in step.
fn carry_out<K: Keyspace>(keys: &mut K, effect: &Effect, document: &[u8]) {
    // Every server tells of a DECRBY as `incrby` too.
    each_move(effect, |key, _| keys.notify(c"incrby", key));
    match effect {
        Effect::Hold { record, deadline } => {
            write(keys, Key::Reservation(&record.id), document, *deadline);
            keys.ledger(|ledger| ledger.holds.enter(record, *deadline));
        }
        Effect::Record { record, deadline } => {
            write(keys, Key::Reservation(&record.id), document, *deadline);
            keys.ledger(|ledger| ledger.holds.enter_again(record, *deadline));
        }
        Effect::Units { sku, available: 0, reserved: 0 } => {
            keys.add(Key::Available(sku), 0);
            keys.notify(c"incrby", Key::Available(sku));
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
pub(super) fn write_by_itself<K: Keyspace>(keys: &mut K, key: Key<'_>, value: &[u8], until: UnixMs) {
    write(keys, key, value, until);
    let arguments =
        [Argument::Key(key), Argument::Text(value), Argument::Word("PXAT"), Argument::Number(until)];
    keys.replicate(Sent::Set, &arguments);
}

/// Moves units from reserved to available that no command asked for; it goes to the copies as plain commands.
pub(super) fn give_back<K: Keyspace>(keys: &mut K, sku: &Sku, units: i64) {
    // Taken before they are given, and told of as the scripts' commands did.
    keys.add(Key::Reserved(sku), units.saturating_neg());
    keys.add(Key::Available(sku), units);
    keys.notify(c"incrby", Key::Available(sku));
    keys.notify(c"incrby", Key::Reserved(sku));
    keys.replicate(Sent::Incrby, &[Argument::Key(Key::Available(sku)), Argument::Number(units)]);
    keys.replicate(Sent::Decrby, &[Argument::Key(Key::Reserved(sku)), Argument::Number(units)]);
}

fn propagate<K: Keyspace>(keys: &mut K, effects: &[Effect], documents: &[Vec<u8>]) {
    let mut arguments = Vec::with_capacity(effects.len().saturating_mul(4).saturating_add(1));
    arguments.push(Argument::Word(version(keys.style())));
    for (effect, document) in effects.iter().zip(documents) {
        let (word, id) = match effect {
            Effect::Hold { record, .. } => ("HOLD", record.id.as_str()),
            Effect::Record { record, .. } => ("RECORD", record.id.as_str()),
            Effect::Units { sku, .. } => ("UNITS", sku.as_str()),
            Effect::Rank { place, .. } => ("RANK", place.as_str()),
            Effect::Unrank { place } => ("UNRANK", place.as_str()),
            Effect::Clear { sku } => ("CLEAR", sku.as_str()),
            Effect::Once { name, .. } => ("ONCE", name.as_str()),
            Effect::Threshold { product, units: Some(OFF) } => ("NOALERTS", product.as_str()),
            Effect::Threshold { product, .. } => ("THRESHOLD", product.as_str()),
            Effect::End { id, .. } => ("END", id.as_str()),
            Effect::Outcome { id, .. } => ("OUTCOME", id.as_str()),
        };
        arguments.extend([Argument::Word(word), Argument::Text(id.as_bytes())]);
        match effect {
            Effect::Hold { deadline, .. }
            | Effect::Record { deadline, .. }
            | Effect::Once { deadline, .. }
            | Effect::End { deadline, .. }
            | Effect::Outcome { deadline, .. } => {
                arguments.extend([Argument::Number(*deadline), Argument::Text(document)]);
            }
            Effect::Threshold { units: Some(OFF), .. } => {
                arguments.extend([Argument::Number(0), Argument::Number(0)]);
            }
            Effect::Threshold { units, .. } => {
                arguments.extend([Argument::Number(units.unwrap_or(-1)), Argument::Number(0)]);
            }
            Effect::Rank { priority, .. } => {
                arguments.extend([Argument::Number(*priority), Argument::Number(0)]);
            }
            Effect::Unrank { .. } | Effect::Clear { .. } => {
                arguments.extend([Argument::Number(0), Argument::Number(0)]);
            }
            Effect::Units { available, reserved, .. } => {
                arguments.extend([Argument::Number(*available), Argument::Number(*reserved)]);
            }
        }
    }
    keys.replicate(Sent::Apply, &arguments);
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
    while let Some((effect, behind)) = rest.split_first_chunk::<4>() {
        effects.push(parse_effect(effect, style).ok_or_else(|| unreadable("unknown effect"))?);
        rest = behind;
    }
    if rest.is_empty() { Ok((style, effects)) } else { Err(unreadable("half an effect")) }
}

/// Every effect is a word, an id or sku, and two values.
fn parse_effect([word, id, first, second]: &[&[u8]; 4], style: KeyStyle) -> Option<Effect> {
    let reservation = || ReservationId::parse(id, style).ok();
    let place = || Sku::replicated(id, style).filter(|sku| sku.warehouse().is_some());
    let number = parse_integer(first)?;
    let deadline = number;
    Some(match *word {
        b"HOLD" => Effect::Hold { record: Record::from_json(&reservation()?, second, style)?, deadline },
        b"UNITS" => Effect::Units {
            sku: Sku::replicated(id, style)?,
            available: number,
            reserved: parse_integer(second)?,
        },
        b"RECORD" => Effect::Record { record: Record::from_json(&reservation()?, second, style)?, deadline },
        b"ONCE" => Effect::Once { name: OnceName::replicated(id)?, deadline, answer: second.to_vec() },
        b"THRESHOLD" => {
            let product = Product::parse(id, style).ok()?;
            Effect::Threshold { product, units: (number >= 0).then_some(number) }
        }
        b"NOALERTS" => Effect::Threshold { product: Product::parse(id, style).ok()?, units: Some(OFF) },
        b"RANK" => Effect::Rank { place: place()?, priority: number },
        b"UNRANK" => Effect::Unrank { place: place()? },
        b"CLEAR" => Effect::Clear { sku: Sku::replicated(id, style)? },
        b"END" => {
            let id = reservation()?;
            Effect::End { outcome: Outcome::from_json(&id, second, style)?, id, deadline }
        }
        b"OUTCOME" => {
            let id = reservation()?;
            Effect::Outcome { outcome: Outcome::from_json(&id, second, style)?, id, deadline }
        }
        _ => return None,
    })
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
    let mut check = |key: Key<'_>| counter(keys, key).map(|_| ());
    match effect {
        Effect::Hold { record, .. } => record.items.iter().try_for_each(|line| {
            check(Key::Available(&line.sku))?;
            check(Key::Reserved(&line.sku))
        }),
        Effect::Units { sku, available, reserved } => {
            if *available != 0 || *reserved == 0 {
                check(Key::Available(sku))?;
            }
            if *reserved != 0 { check(Key::Reserved(sku)) } else { Ok(()) }
        }
        Effect::Clear { sku } => {
            check(Key::Available(sku))?;
            check(Key::Reserved(sku))
        }
        Effect::Rank { place, .. } | Effect::Unrank { place } => check_set(keys, place.product()),
        Effect::Record { .. }
        | Effect::Once { .. }
        | Effect::Threshold { .. }
        | Effect::End { .. }
        | Effect::Outcome { .. } => Ok(()),
    }
}

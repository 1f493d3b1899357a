//! The writes: what a decision does to the keys, on this server and on every copy.
//!
//! **Invariant:** a command replicates as the list of its effects. A replica or an AOF replay carries out that list
//! with the same code as the master, and without reading a clock, the configuration or a limit. Form and
//! versions are in docs/internals/replicated-form.md. AOF files are kept indefinitely, so words may be added here but
//! never changed.

use hashbrown::HashMap;

use super::effect::are_of_many;
use super::forms::{Forms, Parsed};
use super::keyspace::{Argument, Keyspace, counter, is_free};
use super::places::check_set;
use super::sent::Sent;
use crate::inventory::key::Key;
use crate::inventory::line::Line;
use crate::inventory::outcome::Outcome;
use crate::inventory::quantity::UnixMs;
use crate::inventory::refusal::{Objections, Refusal};
use crate::inventory::sku::{Product, ReservationId, Sku};

pub use super::effect::Effect;
pub use super::forms::parse;

/// Carries out the effects of a command and replicates them. After this point nothing may fail.
pub fn write_all<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    write_with(keys, effects, Upkeep::Due);
}

/// The same for effects that are in the ledger already.
pub(super) fn write_entered<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    write_with(keys, effects, Upkeep::Done);
}

fn write_with<K: Keyspace>(keys: &mut K, effects: &[Effect], upkeep: Upkeep) {
    let forms = Forms::of(effects, keys.style());
    carry_out_all(keys, effects, |index| forms.document(index), upkeep);
    keys.replicate(Sent::Apply, &forms.arguments());
}

/// Whether reservations that begin or end still have to be entered in the ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Upkeep {
    Due,
    Done,
}

/// Carries out effects. The counters come first, because their keys are still open since they were read.
///
/// Subtractions come before additions. If a fault of the module stops the work half way, units may be missing, but none
/// exists twice.
fn carry_out_all<'a, K: Keyspace>(
    keys: &mut K,
    effects: &[Effect],
    document: impl Fn(usize) -> &'a [u8],
    upkeep: Upkeep,
) {
    if are_of_many(effects) {
        move_sums(keys, effects);
    } else {
        move_units(keys, effects);
    }
    for (index, effect) in effects.iter().enumerate() {
        carry_out(keys, effect, document(index), upkeep);
    }
}

/// Moves the units of many reservations. Each counter is written once, with the sum of its moves.
fn move_sums<K: Keyspace>(keys: &mut K, effects: &[Effect]) {
    let mut sums: Vec<(Key<'_>, i64)> = Vec::with_capacity(effects.len());
    // The places of the available and of the reserved counter of each sku.
    let mut places: HashMap<&Sku, [Option<usize>; 2]> = HashMap::with_capacity(effects.len());
    for effect in effects {
        effect.each_move(|key, delta| {
            let (Key::Available(sku) | Key::Reserved(sku)) = key else { return };
            let which = usize::from(matches!(key, Key::Reserved(_)));
            let known = places.entry(sku).or_default();
            let Some(place) = known.get_mut(which) else { return };
            match place.and_then(|place| sums.get_mut(place)) {
                Some((_, sum)) => *sum = sum.saturating_add(delta),
                None => {
                    *place = Some(sums.len());
                    sums.push((key, delta));
                }
            }
        });
    }
    for takes in [true, false] {
        for (key, sum) in sums.iter().filter(|(_, sum)| (*sum < 0) == takes) {
            keys.add(*key, *sum);
        }
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

/// Carries out one effect whose counters have already moved: writes the keys, sends the keyspace notifications that the
/// Lua scripts' commands would send, and updates the ledger.
fn carry_out<K: Keyspace>(keys: &mut K, effect: &Effect, document: &[u8], upkeep: Upkeep) {
    // The server reports DECRBY as `incrby` as well.
    effect.each_move(|key, _| keys.notify(c"incrby", key));
    match effect {
        Effect::Hold { record, deadline } => {
            write(keys, Key::Reservation(&record.id), document, *deadline);
            if upkeep == Upkeep::Due {
                keys.ledger(|ledger| ledger.holds.enter(record, *deadline));
            }
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
        Effect::Floor { sku, units: 0 } => {
            remove(keys, Key::Floor(sku));
            keys.ledger(|ledger| ledger.floors.leave(sku));
        }
        Effect::Floor { sku, units } => {
            let key = Key::Floor(sku);
            keys.write(key, units.to_string().as_bytes(), None);
            keys.ledger(|ledger| ledger.floors.enter(sku.clone()));
            keys.notify(c"set", key);
        }
        Effect::Limit { product, units } => {
            let key = Key::Limit(product.as_str());
            match units {
                Some(units) => {
                    keys.write(key, units.to_string().as_bytes(), None);
                    keys.ledger(|ledger| ledger.limits.enter(product.clone()));
                    keys.notify(c"set", key);
                }
                None => {
                    remove(keys, key);
                    keys.ledger(|ledger| ledger.limits.leave(product));
                }
            }
        }
        Effect::Rank { place, priority } => {
            let key = Key::Warehouses(place.product());
            keys.rank(key, place.warehouse().unwrap_or_default(), priority.score());
            if let Ok(product) = Product::parse(place.product().as_bytes(), keys.style()) {
                keys.ledger(|ledger| ledger.warehouse_sets.enter(product));
            }
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
                remove(keys, key);
            }
        }
        Effect::End { id, deadline, .. } => {
            keys.remove(Key::Reservation(id));
            if upkeep == Upkeep::Due {
                keys.ledger(|ledger| ledger.holds.leave(id));
            }
            keys.notify(c"del", Key::Reservation(id));
            if *deadline > 0 {
                write(keys, Key::Outcome(id), document, *deadline);
            }
        }
        Effect::Outcome { id, deadline, .. } => {
            write(keys, Key::Outcome(id), document, *deadline);
            // The record may still exist although it has expired.
            keys.ledger(|ledger| ledger.holds.note_outcome(id));
        }
    }
}

/// Deletes a key, if it exists.
fn remove<K: Keyspace>(keys: &mut K, key: Key<'_>) {
    if !is_free(keys, key) {
        keys.remove(key);
        keys.notify(c"del", key);
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
    /// What is returned to the quotas of buyers.
    pub(super) quota: Vec<Given>,
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
        for given in &self.quota {
            given.write(keys);
        }
        if let Some((id, outcome, until)) = &self.outcome {
            write_plainly(keys, Key::Outcome(id), &outcome.to_json(id), *until);
        }
    }
}

/// What a step takes from the reserved counter of a buyer's quota, and what it adds to the available one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The quota, and the units that are no longer reserved.
    pub(super) line: Line,
    /// The units that are added to available. Fewer than in `line` if they were sold, or if another client has raised or
    /// deleted the counter.
    pub(super) available: i64,
    /// Whether both counters are 0 then, so that they are deleted.
    pub(super) is_over: bool,
}

impl Given {
    /// The effects of a command.
    pub(super) fn effects(self) -> impl Iterator<Item = Effect> {
        let Self { line: Line { sku, quantity }, available, is_over } = self;
        let clear = is_over.then(|| Effect::Clear { sku: sku.clone() });
        let reserved = quantity.units().saturating_neg();
        std::iter::once(Effect::Units { sku, available, reserved }).chain(clear)
    }

    /// Carries it out as a part of a release.
    fn write<K: Keyspace>(&self, keys: &mut K) {
        let Self { line: Line { sku, quantity }, available, is_over } = self;
        let (units, reserved_key, available_key) =
            (quantity.units(), Key::Reserved(sku), Key::Available(sku));
        keys.add(reserved_key, units.saturating_neg());
        if *available != 0 {
            keys.add(available_key, *available);
            keys.notify(c"incrby", available_key);
            keys.replicate(Sent::Incrby, &[Argument::Key(available_key), Argument::Number(*available)]);
        }
        keys.notify(c"incrby", reserved_key);
        keys.replicate(Sent::Decrby, &[Argument::Key(reserved_key), Argument::Number(units)]);
        if *is_over {
            for key in [available_key, reserved_key] {
                remove(keys, key);
                keys.replicate(Sent::Del, &[Argument::Key(key)]);
            }
        }
    }
}

/// Carries out the effects of a master: `INV.APPLY` on a replica or during an AOF replay.
///
/// # Errors
///
/// `ERR` if the arguments cannot be read, and `WRONGTYPE` if a key contradicts them. In both cases nothing is written.
pub fn replay<K: Keyspace>(keys: &mut K, arguments: &[&[u8]]) -> Result<(), Refusal> {
    let Parsed { style, effects, documents } = Parsed::read(arguments)?;
    let own = keys.style();
    keys.set_style(style);
    let done = replay_effects(keys, &effects, &documents);
    keys.set_style(own);
    if style != own {
        // Reservations in another key style are not released by this server, which would look for their keys under
        // other names.
        for effect in effects {
            match effect {
                Effect::Hold { record, .. } | Effect::Record { record, .. } => {
                    keys.ledger(|ledger| ledger.holds.leave(&record.id));
                }
                // The key of the same sku in this server's own style is another one and may still exist.
                Effect::Floor { sku, .. } => keys.ledger(|ledger| ledger.floors.enter(sku)),
                Effect::Limit { product, .. } => keys.ledger(|ledger| ledger.limits.enter(product)),
                Effect::Units { .. }
                | Effect::Once { .. }
                | Effect::Threshold { .. }
                | Effect::Rank { .. }
                | Effect::Unrank { .. }
                | Effect::Clear { .. }
                | Effect::End { .. }
                | Effect::Outcome { .. } => {}
            }
        }
    }
    done
}

fn replay_effects<K: Keyspace>(keys: &mut K, effects: &[Effect], documents: &[&[u8]]) -> Result<(), Refusal> {
    for effect in effects {
        check_replayed(keys, effect)?;
    }
    let document = |index: usize| documents.get(index).copied().unwrap_or_default();
    carry_out_all(keys, effects, document, Upkeep::Due);
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
        Effect::Floor { sku, .. } => {
            objections.check(counter(keys, Key::Floor(sku)));
        }
        Effect::Rank { place, .. } | Effect::Unrank { place } => {
            objections.check(check_set(keys, place.product()));
        }
        Effect::Hold { .. }
        | Effect::Units { .. }
        | Effect::Record { .. }
        | Effect::Once { .. }
        | Effect::Threshold { .. }
        | Effect::Limit { .. }
        | Effect::End { .. }
        | Effect::Outcome { .. } => {}
    }
    objections.unless_any(())
}

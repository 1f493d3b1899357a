//! Implements the engine's [`Keyspace`] with the key API of a real server.

use std::collections::BTreeMap;
use std::ffi::CStr;

use hashbrown::HashTable;
use redis_module::raw;

use super::api::cluster::Service;
use super::api::ctx::{Ctx, now_ms};
use super::api::key::{KeyType, Mode, OpenKey};
use super::api::text::Text;
use super::config;
use super::ledgers::Db;
use super::names::Names;
use super::role::is_in_cluster;
use super::state::{Module, Own};
use crate::engine::keyspace::{Argument, Counter, Keyspace, Ranking, Reading, Settings, Tally};
use crate::engine::sent::Sent;
use crate::inventory::cluster_slot::{self, OwnSlots, Slot, SlotState};
use crate::inventory::key::{Counted, Key, Watched, watched};
use crate::inventory::line::Line;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::refusal::Refusal;
use crate::inventory::sku::{KeyStyle, Product, ReservationId};
use crate::ledger::Ledger;

/// The selected database of a context, for the duration of one callback.
pub struct ServerKeyspace<'a> {
    ctx: Ctx<'a>,
    module: &'a Module,
    db: Db,
    now: UnixMs,
    style: KeyStyle,
    settings: Settings,
    /// Taken from the module at the first use.
    names: Option<Box<Names>>,
    /// The slot that the current command is confined to.
    slot: Option<Slot>,
    /// The known states of slots, which do not change during a callback.
    slots: BTreeMap<Slot, SlotState>,
    /// The answer of `CLUSTER NODES`, if it was requested.
    own_slots: Option<OwnSlots>,
    held: Vec<HeldKey<'a>>,
    /// Used instead of `held` by a command on many reservations.
    many: Option<ManyHeld<'a>>,
}

/// A key that was read for a change: a counter, or the record of a reservation. It stays open until it is changed, so that
/// the server looks it up only once.
///
/// The value must not disappear meanwhile, or the handle would refer to freed memory. The keyspace therefore closes the
/// handles before it does anything that can remove a key. While they are open, it only opens other keys of these kinds and
/// peeks at keys. A record that does not exist has no value to lose, so its handle survives a reading.
struct HeldKey<'a> {
    /// The hash of its name.
    hash: u64,
    name: Text,
    key: OpenKey<'a>,
    /// The units of a counter, if it is one that exists.
    units: Option<i64>,
    is_absent_record: bool,
}

impl HeldKey<'_> {
    /// Whether it is the key with this name, whose hash is given.
    fn is(&self, hash: u64, name: &Text) -> bool {
        self.hash == hash && (self.name.is(name) || self.name.bytes() == name.bytes())
    }
}

/// The keys that a command on many reservations holds open. It reads all of them first and changes them later, so they are
/// found by their hash.
///
/// A change of one key removes no other, so it closes none, nor does the reading of an outcome, which is never held open.
/// Everything else closes them as it does for other commands.
#[derive(Default)]
struct ManyHeld<'a> {
    /// The records that do not exist.
    absent: HashTable<HeldKey<'a>>,
    /// All other keys.
    present: HashTable<HeldKey<'a>>,
}

impl<'a> ManyHeld<'a> {
    fn push(&mut self, held: HeldKey<'a>) {
        let keys = if held.is_absent_record { &mut self.absent } else { &mut self.present };
        keys.insert_unique(held.hash, held, |held| held.hash);
    }

    fn contains(&self, hash: u64, name: &Text) -> bool {
        [&self.absent, &self.present]
            .into_iter()
            .any(|keys| keys.find(hash, |held| held.is(hash, name)).is_some())
    }

    fn take(&mut self, hash: u64, name: &str) -> Option<HeldKey<'a>> {
        let is_it = |held: &HeldKey<'_>| held.hash == hash && held.name.bytes() == name.as_bytes();
        let found = [&mut self.absent, &mut self.present]
            .into_iter()
            .find_map(|keys| keys.find_entry(hash, is_it).ok());
        found.map(|entry| entry.remove().0)
    }
}

/// The maximum number of keys that are held open: enough for a common order.
const MOST_OPEN: usize = 64;

impl<'a> ServerKeyspace<'a> {
    /// The database that `ctx` has selected, at the time of the current unit of work.
    pub fn new(ctx: Ctx<'a>, module: &'a Module) -> Self {
        Self {
            ctx,
            module,
            db: ctx.selected_db(),
            now: now_ms(),
            style: module.style(),
            settings: config::settings(module),
            names: None,
            slot: None,
            slots: BTreeMap::new(),
            own_slots: None,
            held: Vec::new(),
            many: None,
        }
    }

    /// In a cluster, confines the keyspace to the slot of this id, which the command names. The server expects every
    /// key that a command opens to be in the slot of the command's declared keys.
    ///
    /// # Errors
    ///
    /// `TRYAGAIN` while some keys of the slot are on another node.
    pub fn confine(&mut self, id: &str) -> Result<(), Refusal> {
        if !self.settings.in_cluster {
            return Ok(());
        }
        let slot = Slot::of(id);
        self.slot = Some(slot);
        // The reason does not matter here, and finding it would cost a call of CLUSTER NODES.
        if self.is_slot_stable(id) { Ok(()) } else { Err(Refusal::SlotMoving(slot)) }
    }

    /// Like [`confine`](Self::confine), for a command on a reservation and skus.
    ///
    /// # Errors
    ///
    /// `CROSSSLOT` if they are in different slots. The server does not check this, because the skus are declared in a
    /// second key specification.
    pub fn confine_with(&mut self, id: &ReservationId, lines: &[Line]) -> Result<(), Refusal> {
        if self.settings.in_cluster {
            let slot = Slot::of(id.as_str());
            if let Some(line) = lines.iter().find(|line| Slot::of(line.sku.product()) != slot) {
                return Err(Refusal::CrossSlot { id: id.clone(), sku: line.sku.clone() });
            }
        }
        self.confine(id.as_str())
    }

    /// Like [`confine`](Self::confine), for a command on several reservations, each with its lines.
    ///
    /// # Errors
    ///
    /// `CROSSSLOT` if not all of them are in one slot.
    pub fn confine_all<'b>(
        &mut self,
        mut reservations: impl Iterator<Item = (&'b ReservationId, &'b [Line])>,
    ) -> Result<(), Refusal> {
        if !self.settings.in_cluster {
            return Ok(());
        }
        let Some((first, lines)) = reservations.next() else { return Ok(()) };
        self.confine_with(first, lines)?;
        for (id, lines) in reservations {
            if self.slot != Some(Slot::of(id.as_str())) {
                return Err(Refusal::CrossSlots { first: first.clone(), other: id.clone() });
            }
            self.confine_with(id, lines)?;
        }
        Ok(())
    }

    /// Counts a refusal for INFO that is a part of an answer.
    pub fn count_refusal(&self, refusal: &Refusal) {
        self.module.totals.refuse(refusal.code());
    }

    /// In a cluster, refuses a command that reads keys of any slot if it is in a transaction or a script. The server
    /// would expect those keys in the slot of the transaction or script.
    pub fn roam(&self, command: &str) -> Result<(), Refusal> {
        let in_others =
            self.ctx.flags() & (raw::REDISMODULE_CTX_FLAGS_MULTI | raw::REDISMODULE_CTX_FLAGS_LUA);
        if self.settings.in_cluster && in_others != 0 {
            return Err(Refusal::invalid(format!(
                "{command} walks over the whole node: in a cluster, it cannot run in a transaction or a script"
            )));
        }
        Ok(())
    }

    /// The number of the database.
    pub const fn database(&self) -> Db {
        self.db
    }

    fn own_slots(&mut self) -> &OwnSlots {
        let ctx = self.ctx;
        self.own_slots.get_or_insert_with(|| OwnSlots::parse(&ctx.cluster_nodes()))
    }

    fn names(&mut self) -> &mut Names {
        let kept = &self.module.names;
        self.names.get_or_insert_with(|| kept.take().unwrap_or_default())
    }

    fn name(&mut self, key: Key<'_>) -> &Text {
        let style = self.style;
        self.names().name(key, style).0
    }

    fn open(&mut self, key: Key<'_>, mode: Mode) -> OpenKey<'a> {
        match mode {
            Mode::Peek => {}
            Mode::Read => match &mut self.many {
                None => self.held.retain(|held| held.is_absent_record),
                // An outcome that expires takes no other key with it.
                Some(_) if matches!(key, Key::Outcome(_)) => {}
                Some(many) => many.present.clear(),
            },
            Mode::Write => self.held.clear(),
        }
        OpenKey::open(self.ctx, self.name(key), mode)
    }

    /// Takes the handle of this key, if it is held open.
    fn take_held(&mut self, key: Key<'_>) -> Option<HeldKey<'a>> {
        if self.held.is_empty() && self.many.is_none() {
            return None;
        }
        let style = self.style;
        let kept = &self.module.names;
        let names = self.names.get_or_insert_with(|| kept.take().unwrap_or_default());
        if let Some(many) = &mut self.many {
            let (hash, name) = names.plain_name(key, style)?;
            return many.take(hash, name);
        }
        let (name, hash) = names.name(key, style);
        let at = self.held.iter().position(|held| held.is(hash, name))?;
        Some(self.held.swap_remove(at))
    }

    /// Closes the keys that are held open.
    fn close_held(&mut self) {
        self.held.clear();
        if let Some(many) = &mut self.many {
            *many = ManyHeld::default();
        }
    }

    /// Opens a key to change it, or takes the handle that is held open. The others are closed.
    fn open_to_change(&mut self, key: Key<'_>) -> (Text, OpenKey<'a>) {
        let held = self.take_held(key);
        self.held.clear();
        if let Some(HeldKey { name, key, .. }) = held {
            return (name, key);
        }
        let name = self.name(key).clone();
        let open = OpenKey::open(self.ctx, &name, Mode::Write);
        (name, open)
    }

    /// Opens a key to change it later in this command. `read` reads it, and `known` says from that which units of a counter
    /// are known, and whether the key is a record that does not exist.
    #[inline]
    fn hold_open<T>(
        &mut self,
        key: Key<'_>,
        read: impl FnOnce(&OpenKey<'a>) -> T,
        known: impl FnOnce(&T) -> (Option<i64>, bool),
    ) -> T {
        let (ctx, style) = (self.ctx, self.style);
        let (name, hash) = self.names().name(key, style);
        let name = name.clone();
        let is_held = match &self.many {
            None => self.held.iter().any(|held| held.is(hash, &name)),
            Some(many) => many.contains(hash, &name),
        };
        if is_held {
            // Two handles of the same key would not see each other's changes.
            self.close_held();
        }
        let key = OpenKey::open(ctx, &name, Mode::Write);
        let found = read(&key);
        let (units, is_absent_record) = known(&found);
        match &mut self.many {
            None if self.held.len() >= MOST_OPEN => {}
            None => self.held.push(HeldKey { hash, name, key, units, is_absent_record }),
            Some(many) => many.push(HeldKey { hash, name, key, units, is_absent_record }),
        }
        found
    }

    /// Runs the server's SCAN.
    fn scan(&mut self, cursor: u64, pattern: &str, count: usize) -> Result<(u64, Vec<Vec<u8>>), Refusal> {
        self.close_held();
        self.ctx
            .scan_names(cursor, pattern, count)
            .map_err(|reason| Refusal::invalid(format!("the keys cannot be scanned: {reason}")))
    }

    fn look(&mut self, key: Key<'_>, mode: Mode) -> Reading {
        reading(&self.open(key, mode))
    }
}

fn reading(open: &OpenKey<'_>) -> Reading {
    match open.key_type() {
        KeyType::Absent => Reading::Absent,
        KeyType::Other(kind) => Reading::Other(kind),
        KeyType::SortedSet => Reading::Other("a sorted set"),
        KeyType::String => Reading::Text(open.text().to_vec(), open.deadline()),
    }
}

fn counter(open: &OpenKey<'_>) -> Counter {
    match open.key_type() {
        KeyType::Absent => Counter::Absent,
        KeyType::SortedSet => Counter::Broken("a sorted set".into()),
        KeyType::Other(kind) => Counter::Broken(kind.into()),
        KeyType::String => Counter::of(open.text()),
    }
}

/// Runs a write that may remove a value, and marks the event that it causes as the module's own.
fn writing<T>(own: &Own, key: Key<'_>, name: &Text, write: impl FnOnce() -> T) -> T {
    match key {
        Key::Reservation(_) | Key::Outcome(_) | Key::Managed => own.writing(name.bytes(), write),
        // Only events on those could be taken for changes by another client.
        Key::Available(_)
        | Key::Reserved(_)
        | Key::Warehouses(_)
        | Key::Floor(_)
        | Key::Limit(_)
        | Key::Threshold(_)
        | Key::Alert(..)
        | Key::Feed(_)
        | Key::Once(_) => write(),
    }
}

impl Drop for ServerKeyspace<'_> {
    fn drop(&mut self) {
        if let Some(mut names) = self.names.take() {
            names.release_document();
            self.module.names.set(Some(names));
        }
    }
}

impl Keyspace for ServerKeyspace<'_> {
    fn now(&self) -> UnixMs {
        self.now
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn style(&self) -> KeyStyle {
        self.style
    }

    fn set_style(&mut self, style: KeyStyle) {
        self.style = style;
    }

    fn in_cluster(&self) -> bool {
        self.settings.in_cluster
    }

    fn slot_state(&mut self, id: &str) -> SlotState {
        if !self.settings.in_cluster {
            return SlotState::Stable;
        }
        let slot = Slot::of(id);
        if let Some(known) = self.slots.get(&slot) {
            return *known;
        }
        let state = if self.is_slot_stable(id) {
            SlotState::Stable
        } else {
            // If CLUSTER NODES does not say, the slot is treated as if it were leaving, because then nothing is
            // dropped.
            self.own_slots().state(slot).unwrap_or(SlotState::Migrating)
        };
        self.slots.insert(slot, state);
        state
    }

    fn is_slot_stable(&mut self, id: &str) -> bool {
        if !self.settings.in_cluster {
            return true;
        }
        let slot = Slot::of(id);
        if let Some(known) = self.slots.get(&slot) {
            return *known == SlotState::Stable;
        }
        let is_stable = match self.ctx.serves(cluster_slot::tag(id)) {
            Service::Whole => true,
            _ if self.ctx.is_cluster_master() != Some(true) => true,
            Service::Refused => false,
            Service::Down => self.own_slots().state(slot).is_none_or(|state| state == SlotState::Stable),
        };
        if is_stable {
            self.slots.insert(slot, SlotState::Stable);
        }
        is_stable
    }

    fn confined_to(&self) -> Option<Slot> {
        self.slot
    }

    fn expect_many(&mut self, reservations: usize) {
        let absent = HashTable::with_capacity(reservations);
        self.many = Some(ManyHeld { absent, ..ManyHeld::default() });
    }

    fn read(&mut self, key: Key<'_>) -> Reading {
        self.look(key, Mode::Read)
    }

    fn read_counter(&mut self, key: Key<'_>) -> Counter {
        counter(&self.open(key, Mode::Read))
    }

    fn counter_to_change(&mut self, key: Key<'_>) -> Counter {
        let units = |found: &Counter| if let Counter::Units(units) = found { Some(*units) } else { None };
        self.hold_open(key, counter, |found| (units(found), false))
    }

    fn read_to_change(&mut self, key: Key<'_>) -> Reading {
        let is_record = matches!(key, Key::Reservation(_));
        self.hold_open(key, reading, |found| (None, is_record && *found == Reading::Absent))
    }

    fn peek(&mut self, key: Key<'_>) -> Reading {
        self.look(key, Mode::Peek)
    }

    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>) {
        let text = self.names().document(value);
        let (name, mut open) = self.open_to_change(key);
        writing(&self.module.own, key, &name, move || {
            open.set(&text);
            if let Some(until) = until {
                open.set_deadline(until);
            }
        });
    }

    fn rewrite(&mut self, key: Key<'_>, value: &[u8]) {
        self.open(key, Mode::Write).overwrite(value);
    }

    fn add(&mut self, key: Key<'_>, delta: i64) -> i64 {
        let (mut open, units) = match self.take_held(key) {
            Some(HeldKey { key, units, .. }) => (key, units),
            None => (self.open(key, Mode::Write), None),
        };
        if units.is_none() && open.key_type() == KeyType::Absent {
            open.set(&Text::new(delta.to_string().as_bytes()));
            return delta;
        }
        let units = units.unwrap_or_else(|| parse_integer(open.text()).unwrap_or_default());
        let sum = units.saturating_add(delta);
        open.overwrite(itoa::Buffer::new().format(sum).as_bytes());
        sum
    }

    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking {
        let open = self.open(key, Mode::Peek);
        match open.key_type() {
            KeyType::Absent => Ranking::Absent,
            KeyType::String => Ranking::Other("a string"),
            KeyType::SortedSet if open.length() > most => Ranking::TooMany(open.length()),
            KeyType::SortedSet => Ranking::Members(open.members()),
            KeyType::Other(kind) => Ranking::Other(kind),
        }
    }

    fn ranking_of(&mut self, key: Key<'_>, member: &str) -> Ranking {
        let open = self.open(key, Mode::Peek);
        match open.key_type() {
            KeyType::Absent => Ranking::Absent,
            KeyType::String => Ranking::Other("a string"),
            KeyType::SortedSet => {
                let score = open.score(&Text::new(member.as_bytes()));
                Ranking::Members(score.map(|score| (member.as_bytes().to_vec(), score)).into_iter().collect())
            }
            KeyType::Other(kind) => Ranking::Other(kind),
        }
    }

    fn rank(&mut self, key: Key<'_>, member: &str, score: f64) {
        self.open(key, Mode::Write).rank(&Text::new(member.as_bytes()), score);
    }

    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool {
        let mut open = self.open(key, Mode::Write);
        open.unrank(&Text::new(member.as_bytes()));
        open.key_type() == KeyType::Absent
    }

    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64) {
        self.close_held();
        let name = self.name(key).clone();
        let texts: Vec<Text> = fields
            .iter()
            .flat_map(|(name, value)| [name, value])
            .map(|text| Text::new(text.as_bytes()))
            .collect();
        let Some(id) = OpenKey::open(self.ctx, &name, Mode::Write).append(&texts, most) else {
            // Another client uses the key for something else. The stock is changed without an entry in the feed.
            self.tally(Tally::FeedErrors, 1);
            if !self.module.is_feed_broken.replace(true) {
                let name = String::from_utf8_lossy(name.bytes());
                self.report(&format!(
                    "this change has no entry in the feed: key {name} is not a stream. Delete or rename it, and the feed starts \
                     again"
                ));
            }
            return;
        };
        self.module.is_feed_broken.set(false);
        self.module.own.notifying(|| self.ctx.notify(raw::REDISMODULE_NOTIFY_STREAM, c"xadd", &name));
        let mut arguments = vec![name];
        arguments.extend([b"MAXLEN".as_slice(), b"=", most.to_string().as_bytes()].map(Text::new));
        arguments.push(Text::new(id.as_bytes()));
        arguments.extend(texts);
        self.ctx.replicate(Sent::Xadd, &arguments, true);
    }

    fn remove(&mut self, key: Key<'_>) {
        let (name, mut open) = self.open_to_change(key);
        writing(&self.module.own, key, &name, move || open.delete());
    }

    fn notify(&mut self, event: &'static CStr, key: Key<'_>) {
        let kind = if event == c"set" || event == c"incrby" {
            raw::REDISMODULE_NOTIFY_STRING
        } else if event == c"zadd" || event == c"zrem" {
            raw::REDISMODULE_NOTIFY_ZSET
        } else {
            raw::REDISMODULE_NOTIFY_GENERIC
        };
        if !self.module.is_anyone_notified(kind) {
            return;
        }
        self.close_held();
        let (ctx, own) = (self.ctx, &self.module.own);
        let name = self.name(key);
        own.notifying(|| ctx.notify(kind, event, name));
    }

    fn replicate(&mut self, command: Sent, arguments: &[Argument<'_>]) {
        self.close_held();
        let texts: Vec<Text> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Key(key) => self.name(*key).clone(),
                Argument::Word(word) => self.names().word(word, None),
                Argument::Phrase(word, number) => self.names().word(word, Some(*number)),
                Argument::Text(text) => self.names().replicated(text),
                Argument::Number(number) => Text::number(*number),
            })
            .collect();
        self.ctx.replicate(command, &texts, true);
    }

    fn publish(&mut self, channel: &'static str, message: &[u8]) {
        self.close_held();
        let (channel, message) = (Text::new(channel.as_bytes()), Text::new(message));
        self.ctx.publish(&channel, &message);
        if !is_in_cluster(self.ctx) {
            // In a cluster, the cluster bus carries the message. Elsewhere, subscribers of a replica receive it only
            // through the replication stream, as with the server's own PUBLISH.
            self.ctx.replicate(Sent::Publish, &[channel, message], false);
        }
    }

    fn counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Counted>), Refusal> {
        let (next, names) = self.scan(cursor, Key::COUNTER_PATTERN, count)?;
        let counters = names.iter().filter_map(|name| Counted::parse(name, self.style));
        Ok((next, counters.collect()))
    }

    fn products_in_warehouses(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Product>), Refusal> {
        let (next, names) = self.scan(cursor, Key::WAREHOUSES_PATTERN, count)?;
        let products = names.iter().filter_map(|name| match watched(name, self.style) {
            Some(Watched::Warehouses(product)) => Some(product),
            _ => None,
        });
        Ok((next, products.collect()))
    }

    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        self.module.ledger(self.db, look)
    }

    fn tally(&mut self, what: Tally, by: i64) {
        self.module.totals.add(what, by);
    }

    fn report(&mut self, line: &str) {
        self.ctx.warn(line);
    }

    fn lag(&mut self, late_ms: i64) {
        self.module.totals.lag(late_ms);
    }
}

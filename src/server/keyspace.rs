//! The engine's [`Keyspace`] over the key API of a real server.

use std::ffi::CStr;
use std::io::Write;

use redis_module::{Context, raw};

use super::api::{self, Kind, Mode, OpenKey, RawContext, Text};
use super::{config, state, texts};
use crate::engine::ledger::Ledger;
use crate::engine::{Argument, Counter, Keyspace, Ranking, Reading, Settings, Tally};
use crate::inventory::error::Refusal;
use crate::inventory::quantity::{UnixMs, parse_integer};
use crate::inventory::sku::{Key, KeyStyle, Sku, Watched, watched};

/// The selected database of a context, for the length of one callback.
pub struct ServerKeyspace {
    ctx: RawContext,
    db: state::Db,
    now: UnixMs,
    style: KeyStyle,
}

impl ServerKeyspace {
    /// The database that `ctx` has selected, at the moment of its unit of work.
    pub fn new(ctx: RawContext) -> Self {
        Self { ctx, db: api::selected_db(ctx), now: api::now_ms(), style: state::style() }
    }

    fn name(&self, key: Key<'_>) -> Text {
        texts::name(key, self.style)
    }

    fn look(&self, key: Key<'_>, mode: Mode) -> Reading {
        let open = OpenKey::open(self.ctx, &self.name(key), mode);
        match open.kind() {
            Kind::Absent => Reading::Absent,
            Kind::Other(kind) => Reading::Other(kind),
            Kind::SortedSet => Reading::Other("a sorted set"),
            Kind::String => Reading::Text(open.text().to_vec(), open.deadline()),
        }
    }

    /// Runs a write that may take a value away, so that the event it causes is known as our own.
    fn writing<T>(&self, key: Key<'_>, write: impl FnOnce() -> T) -> T {
        match key {
            Key::Reservation(_) => state::writing(self.name(key).bytes(), write),
            // Events on other keys are not taken for a release.
            Key::Available(_)
            | Key::Reserved(_)
            | Key::Outcome(_)
            | Key::Warehouses(_)
            | Key::Threshold(_)
            | Key::Alert(..)
            | Key::Managed
            | Key::Feed(_)
            | Key::Once(_) => write(),
        }
    }
}

impl Drop for ServerKeyspace {
    fn drop(&mut self) {
        texts::release_document();
    }
}

impl Keyspace for ServerKeyspace {
    fn now(&self) -> UnixMs {
        self.now
    }

    fn settings(&self) -> Settings {
        config::settings()
    }

    fn style(&self) -> KeyStyle {
        self.style
    }

    fn set_style(&mut self, style: KeyStyle) {
        self.style = style;
    }

    fn read(&mut self, key: Key<'_>) -> Reading {
        self.look(key, Mode::Read)
    }

    fn read_counter(&mut self, key: Key<'_>) -> Counter {
        let open = OpenKey::open(self.ctx, &self.name(key), Mode::Read);
        match open.kind() {
            Kind::Absent => Counter::Absent,
            Kind::SortedSet => Counter::Broken("a sorted set".into()),
            Kind::Other(kind) => Counter::Broken(kind.into()),
            Kind::String => Counter::of(open.text()),
        }
    }

    fn peek(&mut self, key: Key<'_>) -> Reading {
        self.look(key, Mode::Peek)
    }

    fn write(&mut self, key: Key<'_>, value: &[u8], until: Option<UnixMs>) {
        let text = texts::document(value);
        self.writing(key, || {
            let mut open = OpenKey::open(self.ctx, &self.name(key), Mode::Write);
            open.set(&text);
            if let Some(until) = until {
                open.set_deadline(until);
            }
        });
    }

    fn add(&mut self, key: Key<'_>, delta: i64) -> i64 {
        let mut open = OpenKey::open(self.ctx, &self.name(key), Mode::Write);
        if open.kind() == Kind::Absent {
            open.set(&Text::new(delta.to_string().as_bytes()));
            return delta;
        }
        let sum = parse_integer(open.text()).unwrap_or_default().saturating_add(delta);
        // The longest number has 20 characters.
        let mut digits = [0_u8; 20];
        let mut free = digits.as_mut_slice();
        let _ = write!(free, "{sum}");
        let free = free.len();
        open.overwrite(digits.get(..digits.len().saturating_sub(free)).unwrap_or_default());
        sum
    }

    fn ranking(&mut self, key: Key<'_>, most: usize) -> Ranking {
        let open = OpenKey::open(self.ctx, &self.name(key), Mode::Peek);
        match open.kind() {
            Kind::Absent => Ranking::Absent,
            Kind::String => Ranking::Other("a string"),
            Kind::SortedSet if open.length() > most => Ranking::TooMany(open.length()),
            Kind::SortedSet => Ranking::Members(open.members()),
            Kind::Other(kind) => Ranking::Other(kind),
        }
    }

    fn rank(&mut self, key: Key<'_>, member: &str, score: i64) {
        OpenKey::open(self.ctx, &self.name(key), Mode::Write).rank(&Text::new(member.as_bytes()), score);
    }

    fn unrank(&mut self, key: Key<'_>, member: &str) -> bool {
        let mut open = OpenKey::open(self.ctx, &self.name(key), Mode::Write);
        open.unrank(&Text::new(member.as_bytes()));
        open.kind() == Kind::Absent
    }

    fn append(&mut self, key: Key<'_>, fields: &[(&str, &str)], most: i64) {
        let name = self.name(key);
        let texts: Vec<Text> = fields
            .iter()
            .flat_map(|(name, value)| [name, value])
            .map(|text| Text::new(text.as_bytes()))
            .collect();
        let Some(id) = OpenKey::open(self.ctx, &name, Mode::Write).append(&texts, most) else {
            // Someone keeps something else under that name: the stock goes on without a feed.
            return;
        };
        state::notifying(|| api::notify(self.ctx, raw::REDISMODULE_NOTIFY_STREAM, c"xadd", &name));
        let mut arguments = vec![name];
        arguments.extend([b"MAXLEN".as_slice(), b"=", most.to_string().as_bytes()].map(Text::new));
        arguments.push(Text::new(id.as_bytes()));
        arguments.extend(texts);
        api::replicate(self.ctx, c"XADD", &arguments, true);
    }

    fn remove(&mut self, key: Key<'_>) {
        self.writing(key, || OpenKey::open(self.ctx, &self.name(key), Mode::Write).delete());
    }

    fn notify(&mut self, event: &'static CStr, key: Key<'_>) {
        let kind = if event == c"set" || event == c"incrby" {
            raw::REDISMODULE_NOTIFY_STRING
        } else if event == c"zadd" || event == c"zrem" {
            raw::REDISMODULE_NOTIFY_ZSET
        } else {
            raw::REDISMODULE_NOTIFY_GENERIC
        };
        let name = self.name(key);
        state::notifying(|| api::notify(self.ctx, kind, event, &name));
    }

    fn replicate(&mut self, command: &'static CStr, arguments: &[Argument<'_>]) {
        let texts: Vec<Text> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Key(key) => self.name(*key),
                Argument::Word(word) => texts::word(word),
                Argument::Text(text) => texts::replicated(text),
                Argument::Number(number) => Text::number(*number),
            })
            .collect();
        api::replicate(self.ctx, command, &texts, true);
    }

    fn publish(&mut self, channel: &'static str, message: &[u8]) {
        let (channel, message) = (Text::new(channel.as_bytes()), Text::new(message));
        api::publish(self.ctx, &channel, &message);
        if api::context_flags(self.ctx) & raw::REDISMODULE_CTX_FLAGS_CLUSTER == 0 {
            // In a cluster the bus carries it; outside, a message reaches the subscribers of a replica only through
            // the replication stream, as the server's own PUBLISH does.
            api::replicate(self.ctx, c"PUBLISH", &[channel, message], false);
        }
    }

    fn reserved_counters(&mut self, cursor: u64, count: usize) -> Result<(u64, Vec<Sku>), Refusal> {
        let (next, names) = api::scan_names(self.ctx, cursor, Key::RESERVED_PATTERN, count)
            .map_err(|reason| Refusal::invalid(format!("the keys cannot be walked over: {reason}")))?;
        let skus = names.iter().filter_map(|name| match watched(name, self.style) {
            Some(Watched::Reserved(sku)) => Some(sku),
            _ => None,
        });
        Ok((next, skus.collect()))
    }

    fn ledger<T>(&mut self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        state::ledger(self.db, look)
    }

    fn tally(&mut self, what: Tally, by: i64) {
        state::TOTALS.add(what, by);
    }

    fn report(&mut self, line: &str) {
        Context::new(self.ctx).log_warning(line);
    }

    fn lag(&mut self, late_ms: i64) {
        state::TOTALS.lag(late_ms);
    }
}

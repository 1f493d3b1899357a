//! The options of the module: name, default and range in one place. All times are in milliseconds unless the name
//! says otherwise.
//!
//! The values are statics, separate from the state of the module, because the server writes them through pointers
//! that it receives once.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use super::api::ctx::Ctx;
use super::state::Module;
use crate::engine::keyspace::{LoadRepair, Settings};
use crate::inventory::alert::OFF;
use crate::inventory::quantity::{CENTURY_MS, MAX_EXACT, parse_integer};
use crate::inventory::sku::KeyStyle;

struct Number {
    name: &'static CStr,
    default: i64,
    min: i64,
    max: i64,
    value: AtomicI64,
}

const fn number(name: &'static CStr, default: i64, min: i64, max: i64) -> Number {
    Number { name, default, min, max, value: AtomicI64::new(default) }
}

static HOLD_TTL_MS: Number = number(c"hold-ttl-ms", 900_000, 1, CENTURY_MS);
static MAX_HOLD_MS: Number = number(c"max-hold-ms", 2_678_400_000, 0, CENTURY_MS);
static OUTCOME_TTL_MS: Number = number(c"outcome-ttl-ms", 86_400_000, 0, CENTURY_MS);
static LOW_STOCK_THRESHOLD: Number = number(c"low-stock-threshold", 10, OFF, MAX_EXACT);
static ALERT_TTL_MS: Number = number(c"alert-ttl-ms", 604_800_000, 1, CENTURY_MS);
static ALERT_COOLDOWN_MS: Number = number(c"alert-cooldown-ms", 60_000, 0, CENTURY_MS);
static FEED_MAXLEN: Number = number(c"feed-maxlen", 0, 0, 1_000_000_000);
static MAX_ITEMS: Number = number(c"max-items", 128, 1, 1024);
static MAX_DATA_BYTES: Number = number(c"max-data-bytes", 4096, 0, 1_048_576);
static MAX_BATCH: Number = number(c"max-batch", 1000, 1, 1000);
static SWEEP_BUDGET_US: Number = number(c"sweep-budget-us", 2000, 100, 1_000_000);

static NUMBERS: [&Number; 11] = [
    &HOLD_TTL_MS,
    &MAX_HOLD_MS,
    &OUTCOME_TTL_MS,
    &LOW_STOCK_THRESHOLD,
    &ALERT_TTL_MS,
    &ALERT_COOLDOWN_MS,
    &FEED_MAXLEN,
    &MAX_ITEMS,
    &MAX_DATA_BYTES,
    &MAX_BATCH,
    &SWEEP_BUDGET_US,
];

struct Word {
    name: &'static CStr,
    /// The words in the order of their numbers, which start at 0. The first is the default.
    words: [&'static CStr; 3],
    can_change: bool,
    /// The number of the current word.
    value: AtomicI32,
}

/// See [`LoadRepair`].
static LOAD_REPAIR: Word = Word {
    name: c"load-repair",
    words: [c"auto", c"report", c"return"],
    can_change: true,
    value: AtomicI32::new(0),
};

/// `auto` means `tagged` in a cluster and `plain` outside one.
static KEY_STYLE: Word = Word {
    name: c"key-style",
    words: [c"auto", c"plain", c"tagged"],
    can_change: false,
    value: AtomicI32::new(0),
};

static WORDS: [&Word; 2] = [&LOAD_REPAIR, &KEY_STYLE];

/// Registers every option with the server. A load argument (`hold-ttl-ms 5000`) sets the default of an option, and a
/// line of the configuration overrides it. CONFIG REWRITE writes every value that differs from the default, so a
/// value that was set and rewritten is kept at the next start even if the load argument says otherwise.
pub fn register(ctx: Ctx<'_>, arguments: &[Vec<u8>]) -> Result<(), String> {
    let given = Given::parse(arguments)?;
    for option in NUMBERS {
        let range = option.min..=option.max;
        let default = given.number(option).unwrap_or(option.default);
        ctx.register_number(option.name, default, range, &option.value);
    }
    for option in WORDS {
        let default = given.word(option).unwrap_or(0);
        ctx.register_word(option.name, option.words, default, option.can_change, &option.value);
    }
    #[cfg(feature = "faults")]
    {
        ctx.register_number(c"panic-in", 0, 0..=i64::MAX, &super::faults::PANIC_IN);
        ctx.register_number(c"deaf", 0, 0..=1, &super::faults::DEAF);
        ctx.register_number(c"no-audit", 0, 0..=1, &super::faults::NO_AUDIT);
    }
    Ok(())
}

/// The load arguments.
#[derive(Default)]
struct Given {
    numbers: Vec<(&'static CStr, i64)>,
    words: Vec<(&'static CStr, i32)>,
}

impl Given {
    /// Reads pairs of a name, without `inv.`, and a value. The values are checked as by CONFIG SET.
    fn parse(arguments: &[Vec<u8>]) -> Result<Self, String> {
        let mut given = Self::default();
        for pair in arguments.chunks(2) {
            let [name, value @ ..] = pair else { continue };
            let is_name = |option: &CStr| name.eq_ignore_ascii_case(option.to_bytes());
            let number = NUMBERS.into_iter().find(|option| is_name(option.name));
            let word = WORDS.into_iter().find(|option| is_name(option.name));
            let name = String::from_utf8_lossy(name);
            if number.is_none() && word.is_none() {
                return Err(unknown(&name));
            }
            let [value] = value else {
                return Err(format!("load argument '{name}' has no value"));
            };
            let shown = String::from_utf8_lossy(value);
            if let Some(option) = number {
                let fits = |value: &i64| (option.min..=option.max).contains(value);
                let value = parse_integer(value).filter(fits).ok_or_else(|| {
                    let (min, max) = (option.min, option.max);
                    format!("load argument '{name}' is '{shown}', not an integer from {min} to {max}")
                })?;
                enter(&mut given.numbers, option.name, value)?;
            } else if let Some(option) = word {
                let at = option.words.iter().position(|word| value.eq_ignore_ascii_case(word.to_bytes()));
                let at = at.and_then(|at| i32::try_from(at).ok()).ok_or_else(|| {
                    let words = option.words.map(text).join(", ");
                    format!("load argument '{name}' is '{shown}', not one of {words}")
                })?;
                enter(&mut given.words, option.name, at)?;
            }
        }
        Ok(given)
    }

    fn number(&self, option: &Number) -> Option<i64> {
        self.numbers.iter().find(|(name, _)| *name == option.name).map(|(_, value)| *value)
    }

    fn word(&self, option: &Word) -> Option<i32> {
        self.words.iter().find(|(name, _)| *name == option.name).map(|(_, value)| *value)
    }
}

fn enter<T>(values: &mut Vec<(&'static CStr, T)>, name: &'static CStr, value: T) -> Result<(), String> {
    if values.iter().any(|(entered, _)| *entered == name) {
        return Err(format!("load argument '{}' is given twice", text(name)));
    }
    values.push((name, value));
    Ok(())
}

fn unknown(name: &str) -> String {
    let names = NUMBERS.iter().map(|option| option.name).chain(WORDS.iter().map(|option| option.name));
    let names: Vec<&str> = names.map(text).collect();
    format!("unknown load argument '{name}': the options are {}, without the prefix inv.", names.join(", "))
}

fn text(name: &'static CStr) -> &'static str {
    name.to_str().unwrap_or_default()
}

/// The style of key names and each option that differs from the default of the module, for the log.
pub fn in_short(style: KeyStyle) -> String {
    let style = match style {
        KeyStyle::Plain => "plain",
        KeyStyle::Tagged => "tagged",
    };
    let mut options = vec![format!("key-style {style}")];
    let changed = NUMBERS.into_iter().filter(|option| get(option) != option.default);
    options.extend(changed.map(|option| format!("{} {}", text(option.name), get(option))));
    let load_repair = usize::try_from(LOAD_REPAIR.value.load(Ordering::Relaxed)).unwrap_or_default();
    if load_repair != 0 {
        let word = LOAD_REPAIR.words.get(load_repair).copied().unwrap_or_default();
        options.push(format!("{} {}", text(LOAD_REPAIR.name), text(word)));
    }
    options.join(", ")
}

fn get(option: &Number) -> i64 {
    option.value.load(Ordering::Relaxed)
}

/// The current configuration.
pub fn settings(module: &Module) -> Settings {
    let server = module.server.get();
    Settings {
        hold_ttl_ms: get(&HOLD_TTL_MS),
        max_hold_ms: get(&MAX_HOLD_MS),
        outcome_ttl_ms: get(&OUTCOME_TTL_MS),
        low_stock_threshold: get(&LOW_STOCK_THRESHOLD),
        alert_ttl_ms: get(&ALERT_TTL_MS),
        alert_cooldown_ms: get(&ALERT_COOLDOWN_MS),
        in_cluster: server.in_cluster,
        slots_move_at_once: server.is_valkey,
        load_repair: match LOAD_REPAIR.value.load(Ordering::Relaxed) {
            1 => LoadRepair::Report,
            2 => LoadRepair::Return,
            _ => LoadRepair::Auto,
        },
        feed_maxlen: get(&FEED_MAXLEN),
        max_items: usize::try_from(get(&MAX_ITEMS)).unwrap_or(usize::MAX),
        max_data_bytes: usize::try_from(get(&MAX_DATA_BYTES)).unwrap_or(usize::MAX),
        max_batch: usize::try_from(get(&MAX_BATCH)).unwrap_or(usize::MAX),
    }
}

/// The longest slice of expiry work.
pub fn sweep_budget() -> std::time::Duration {
    std::time::Duration::from_micros(u64::try_from(get(&SWEEP_BUDGET_US)).unwrap_or_default())
}

/// The style of key names. In a cluster the keys of an id need its hash tag to be in its slot.
pub fn key_style(in_cluster: bool) -> Result<KeyStyle, &'static str> {
    match KEY_STYLE.value.load(Ordering::Relaxed) {
        1 if in_cluster => Err("inv.key-style plain cannot be used in a cluster: remove the setting"),
        1 => Ok(KeyStyle::Plain),
        2 => Ok(KeyStyle::Tagged),
        _ if in_cluster => Ok(KeyStyle::Tagged),
        _ => Ok(KeyStyle::Plain),
    }
}

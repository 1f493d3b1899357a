//! The options: name, default, range, in one place. Times in milliseconds.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::configuration::{
    ConfigurationFlags, register_enum_configuration, register_i64_configuration,
};
use redis_module::{Context, EnumConfigurationValue, RedisError};

use crate::engine::{LoadRepair, Settings};
use crate::inventory::quantity::MAX_EXACT;
use crate::inventory::sku::KeyStyle;

struct Number {
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
    value: AtomicI64,
}

const fn number(name: &'static str, default: i64, min: i64, max: i64) -> Number {
    Number { name, default, min, max, value: AtomicI64::new(default) }
}

/// A hundred years: a longer time is a mistake in the unit.
const CENTURY_MS: i64 = 3_155_760_000_000;

static HOLD_TTL_MS: Number = number("hold-ttl-ms", 900_000, 1, CENTURY_MS);
static MAX_HOLD_MS: Number = number("max-hold-ms", 0, 0, CENTURY_MS);
static OUTCOME_TTL_MS: Number = number("outcome-ttl-ms", 3_600_000, 0, CENTURY_MS);
static LOW_STOCK_THRESHOLD: Number = number("low-stock-threshold", 10, 0, MAX_EXACT);
static ALERT_TTL_MS: Number = number("alert-ttl-ms", 604_800_000, 1, CENTURY_MS);
static ALERT_COOLDOWN_MS: Number = number("alert-cooldown-ms", 60_000, 0, CENTURY_MS);
static FEED_MAXLEN: Number = number("feed-maxlen", 0, 0, 1_000_000_000);
static MAX_ITEMS: Number = number("max-items", 128, 1, 1024);
static MAX_DATA_BYTES: Number = number("max-data-bytes", 4096, 0, 1_048_576);
static SWEEP_BUDGET_US: Number = number("sweep-budget-us", 2000, 100, 1_000_000);

static NUMBERS: [&Number; 10] = [
    &HOLD_TTL_MS,
    &MAX_HOLD_MS,
    &OUTCOME_TTL_MS,
    &LOW_STOCK_THRESHOLD,
    &ALERT_TTL_MS,
    &ALERT_COOLDOWN_MS,
    &FEED_MAXLEN,
    &MAX_ITEMS,
    &MAX_DATA_BYTES,
    &SWEEP_BUDGET_US,
];

/// An option that is one of a few words. The crate's own macro takes the words from the names of the variants, and one
/// of ours is a word of Rust.
macro_rules! word_option {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum $name {
            $($variant),*
        }

        impl TryFrom<i32> for $name {
            type Error = RedisError;

            fn try_from(number: i32) -> Result<Self, RedisError> {
                match number {
                    $($number => Ok(Self::$variant),)*
                    _ => Err(RedisError::Str("ERR no such word")),
                }
            }
        }

        impl From<$name> for i32 {
            fn from(option: $name) -> i32 {
                match option {
                    $($name::$variant => $number),*
                }
            }
        }

        impl EnumConfigurationValue for $name {
            fn get_options(&self) -> (Vec<String>, Vec<i32>) {
                (vec![$($word.to_owned()),*], vec![$($number),*])
            }
        }
    };
}

word_option!(
    /// `inv.key-style`: auto is tagged in a cluster, plain elsewhere.
    StyleOption { Auto = 0 "auto", Plain = 1 "plain", Tagged = 2 "tagged" }
);

word_option!(
    /// `inv.load-repair`: see [`LoadRepair`].
    RepairOption { Auto = 0 "auto", Report = 1 "report", Return = 2 "return" }
);

static IN_CLUSTER: AtomicBool = AtomicBool::new(false);
static IS_VALKEY: AtomicBool = AtomicBool::new(false);
static LOAD_REPAIR: Mutex<RepairOption> = Mutex::new(RepairOption::Auto);
static KEY_STYLE: Mutex<StyleOption> = Mutex::new(StyleOption::Auto);

/// Registers every option with the server.
pub fn register(ctx: &Context) {
    for option in NUMBERS {
        register_i64_configuration(
            ctx,
            option.name,
            &option.value,
            option.default,
            option.min,
            option.max,
            ConfigurationFlags::DEFAULT,
            None,
        );
    }
    register_enum_configuration(
        ctx,
        "load-repair",
        &LOAD_REPAIR,
        RepairOption::Auto,
        ConfigurationFlags::DEFAULT,
        None,
    );
    register_enum_configuration(
        ctx,
        "key-style",
        &KEY_STYLE,
        StyleOption::Auto,
        ConfigurationFlags::IMMUTABLE,
        None,
    );
}

fn get(option: &Number) -> i64 {
    option.value.load(Ordering::Relaxed)
}

/// The configuration at this moment.
pub fn settings() -> Settings {
    Settings {
        hold_ttl_ms: get(&HOLD_TTL_MS),
        max_hold_ms: get(&MAX_HOLD_MS),
        outcome_ttl_ms: get(&OUTCOME_TTL_MS),
        low_stock_threshold: get(&LOW_STOCK_THRESHOLD),
        alert_ttl_ms: get(&ALERT_TTL_MS),
        alert_cooldown_ms: get(&ALERT_COOLDOWN_MS),
        in_cluster: IN_CLUSTER.load(Ordering::Relaxed),
        slots_move_at_once: IS_VALKEY.load(Ordering::Relaxed),
        load_repair: match &*LOAD_REPAIR.lock().unwrap_or_else(PoisonError::into_inner) {
            RepairOption::Auto => LoadRepair::Auto,
            RepairOption::Report => LoadRepair::Report,
            RepairOption::Return => LoadRepair::Return,
        },
        feed_maxlen: get(&FEED_MAXLEN),
        max_items: usize::try_from(get(&MAX_ITEMS)).unwrap_or(usize::MAX),
        max_data_bytes: usize::try_from(get(&MAX_DATA_BYTES)).unwrap_or(usize::MAX),
    }
}

/// The longest slice of expiry work, in microseconds.
pub fn sweep_budget() -> std::time::Duration {
    std::time::Duration::from_micros(u64::try_from(get(&SWEEP_BUDGET_US)).unwrap_or_default())
}

/// Notes which server this is: Valkey moves slots at once, from version 9 on, and tells replicas of those that move key by key.
pub fn set_server(is_valkey: bool) {
    IS_VALKEY.store(is_valkey, Ordering::Relaxed);
}

/// Notes whether this is a node of a cluster, and says how keys are named. In a cluster the keys of an id need its tag, to be
/// in its slot.
pub fn key_style(in_cluster: bool) -> Result<KeyStyle, &'static str> {
    IN_CLUSTER.store(in_cluster, Ordering::Relaxed);
    match (&*KEY_STYLE.lock().unwrap_or_else(PoisonError::into_inner), in_cluster) {
        (StyleOption::Tagged, _) | (StyleOption::Auto, true) => Ok(KeyStyle::Tagged),
        (StyleOption::Plain | StyleOption::Auto, false) => Ok(KeyStyle::Plain),
        (StyleOption::Plain, true) => Err("inv.key-style plain does not fit a cluster: take the line out"),
    }
}

//! The options: name, default, range, in one place. Times in milliseconds.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use redis_module::configuration::{
    ConfigurationFlags, register_enum_configuration, register_i64_configuration,
};
use redis_module::{Context, enum_configuration};

use crate::engine::Settings;
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
static MAX_ITEMS: Number = number("max-items", 128, 1, 1024);
static MAX_DATA_BYTES: Number = number("max-data-bytes", 4096, 0, 1_048_576);
static SWEEP_BUDGET_US: Number = number("sweep-budget-us", 2000, 100, 1_000_000);

static NUMBERS: [&Number; 9] = [
    &HOLD_TTL_MS,
    &MAX_HOLD_MS,
    &OUTCOME_TTL_MS,
    &LOW_STOCK_THRESHOLD,
    &ALERT_TTL_MS,
    &ALERT_COOLDOWN_MS,
    &MAX_ITEMS,
    &MAX_DATA_BYTES,
    &SWEEP_BUDGET_US,
];

enum_configuration! {
    /// `inv.key-style`.
    #[derive(Debug, PartialEq, Eq)]
    #[allow(non_camel_case_types, reason = "the names of the variants are the words of the configuration")]
    pub enum StyleOption {
        /// Tagged in a cluster, plain elsewhere.
        auto = 0,
        /// Plain.
        plain = 1,
        /// Tagged.
        tagged = 2,
    }
}

static KEY_STYLE: Mutex<StyleOption> = Mutex::new(StyleOption::auto);

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
        "key-style",
        &KEY_STYLE,
        StyleOption::auto,
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
        max_items: usize::try_from(get(&MAX_ITEMS)).unwrap_or(usize::MAX),
        max_data_bytes: usize::try_from(get(&MAX_DATA_BYTES)).unwrap_or(usize::MAX),
    }
}

/// The longest slice of expiry work, in microseconds.
pub fn sweep_budget() -> std::time::Duration {
    std::time::Duration::from_micros(u64::try_from(get(&SWEEP_BUDGET_US)).unwrap_or_default())
}

/// How keys are named, in a cluster or not.
pub fn key_style(in_cluster: bool) -> KeyStyle {
    match (&*KEY_STYLE.lock().unwrap_or_else(PoisonError::into_inner), in_cluster) {
        (StyleOption::tagged, _) | (StyleOption::auto, true) => KeyStyle::Tagged,
        (StyleOption::plain, _) | (StyleOption::auto, false) => KeyStyle::Plain,
    }
}

//! The options: name, default, range, in one place. Times in milliseconds.

use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};

use redis_module::Context;

use super::api;
use crate::engine::{LoadRepair, Settings};
use crate::inventory::alert::OFF;
use crate::inventory::quantity::{CENTURY_MS, MAX_EXACT};
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
static SWEEP_BUDGET_US: Number = number(c"sweep-budget-us", 2000, 100, 1_000_000);

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

/// The words of `inv.load-repair`, from 0 on: see [`LoadRepair`].
const REPAIRS: [&CStr; 3] = [c"auto", c"report", c"return"];

/// The words of `inv.key-style`, from 0 on: auto is tagged in a cluster, plain elsewhere.
const STYLES: [&CStr; 3] = [c"auto", c"plain", c"tagged"];

/// Which of the words it is.
static LOAD_REPAIR: AtomicI32 = AtomicI32::new(0);
static KEY_STYLE: AtomicI32 = AtomicI32::new(0);
static IN_CLUSTER: AtomicBool = AtomicBool::new(false);
static IS_VALKEY: AtomicBool = AtomicBool::new(false);

/// Registers every option with the server.
pub fn register(ctx: &Context) {
    for option in NUMBERS {
        let range = option.min..=option.max;
        api::register_number(ctx.ctx, option.name, option.default, range, &option.value);
    }
    api::register_word(ctx.ctx, c"load-repair", REPAIRS, true, &LOAD_REPAIR);
    api::register_word(ctx.ctx, c"key-style", STYLES, false, &KEY_STYLE);
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
        slots_move_at_once: is_valkey(),
        load_repair: match LOAD_REPAIR.load(Ordering::Relaxed) {
            1 => LoadRepair::Report,
            2 => LoadRepair::Return,
            _ => LoadRepair::Auto,
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

/// Whether the server is Valkey.
pub fn is_valkey() -> bool {
    IS_VALKEY.load(Ordering::Relaxed)
}

/// Notes whether this is a node of a cluster, and says how keys are named. In a cluster the keys of an id need its tag, to be
/// in its slot.
pub fn key_style(in_cluster: bool) -> Result<KeyStyle, &'static str> {
    IN_CLUSTER.store(in_cluster, Ordering::Relaxed);
    match KEY_STYLE.load(Ordering::Relaxed) {
        1 if in_cluster => Err("inv.key-style plain does not fit a cluster: take the line out"),
        1 => Ok(KeyStyle::Plain),
        2 => Ok(KeyStyle::Tagged),
        _ if in_cluster => Ok(KeyStyle::Tagged),
        _ => Ok(KeyStyle::Plain),
    }
}

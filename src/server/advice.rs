//! Warns in the log about server settings that are unsafe or slow for stock. The check runs when the module is loaded
//! and when such a setting changes.

use redis_module::Context;
use redis_module_macros::config_changed_event_handler;

use super::api::ctx::Ctx;
use super::guard;
use super::role::is_in_cluster;
use super::state::Module;

/// Logs a warning for each such setting.
pub fn give(ctx: Ctx<'_>) {
    let policy = ctx.server_info(c"memory", c"maxmemory_policy").unwrap_or_default();
    if policy != "noeviction" {
        ctx.warn(&format!(
            "maxmemory-policy {policy} can evict reservations, outcomes and even counters: set it to noeviction"
        ));
    }
    let hz = ctx.server_info(c"server", c"configured_hz");
    let hz = hz.and_then(|hz| hz.parse::<i64>().ok()).unwrap_or(10);
    if hz < 10 {
        ctx.warn(&format!(
            "hz is {hz}, so the units of abandoned reservations are released late: set it to 10 or more"
        ));
    }
    if ctx.setting("repl-diskless-load").is_some_and(|setting| setting == "swapdb") {
        ctx.warn(
            "repl-diskless-load swapdb is not used while inv is loaded: a full synchronisation uses a file, as with \
             disabled, and this replica answers LOADING while it loads the file",
        );
    }
    if mixes_databases(ctx) {
        ctx.warn(
            "cluster-databases is above 1: on Valkey 9, CLUSTER MIGRATESLOTS can apply a client's INCRBY to another database, \
             which corrupts stock counters. Set it to 1",
        );
    }
}

/// Whether this server migrates the slots of several databases at once and mixes them up. Seen on Valkey 9.1.2, with
/// and without this module. The setting exists since Valkey 9.0 and cannot be changed while the server runs.
fn mixes_databases(ctx: Ctx<'_>) -> bool {
    let databases = || ctx.setting("cluster-databases").and_then(|count| count.parse::<i64>().ok());
    let version = || ctx.server_info(c"server", c"valkey_version");
    is_in_cluster(ctx)
        && databases().is_some_and(|databases| databases > 1)
        && version().is_some_and(|version| version.starts_with("9."))
}

#[config_changed_event_handler]
fn on_config_changed(ctx: &Context, names: &[&str]) {
    if names.iter().any(|name| ["maxmemory-policy", "hz", "repl-diskless-load"].contains(name)) {
        let ctx = Ctx::from(ctx);
        guard::event(&Module::current(), ctx, "the event of a changed setting", || give(ctx));
    }
}

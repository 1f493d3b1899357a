//! Settings of the server that are unsafe or slow for stock, said in the log when the module loads and when they are
//! set.

use redis_module::Context;
use redis_module_macros::config_changed_event_handler;

use super::api;

/// The log lines for the settings as they are.
pub fn give(ctx: &Context) {
    let policy = api::server_info(ctx.ctx, c"memory", c"maxmemory_policy").unwrap_or_default();
    if policy != "noeviction" {
        api::warn(
            ctx.ctx,
            &format!(
                "maxmemory-policy {policy} can evict reservations of customers who are paying, outcomes, even counters: \
             set it to noeviction"
            ),
        );
    }
    let hz = api::server_info(ctx.ctx, c"server", c"configured_hz");
    let hz = hz.and_then(|hz| hz.parse::<i64>().ok()).unwrap_or(10);
    if hz < 10 {
        api::warn(
            ctx.ctx,
            &format!("hz {hz}: units of abandoned reservations come back late; set it to 10 or more"),
        );
    }
}

#[config_changed_event_handler]
fn on_config_changed(ctx: &Context, names: &[&str]) {
    if names.iter().any(|name| ["maxmemory-policy", "hz"].contains(name)) {
        give(ctx);
    }
}

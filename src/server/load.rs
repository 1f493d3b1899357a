//! How the server loads and unloads the module.
//!
//! The `redis_module!` macro is not used: it ends the load on an ACL category that an earlier load has left behind,
//! and the server itself where a function is missing. A server that is too old gets one line instead.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use redis_module::{Context, commands, raw, server_events};

use super::api::{self, Called, ERR, OK, RawContext};
use super::version::{VERSION, VERSION_NUMBER};
use super::walk;
use super::{advice, alloc, config, events, guard, info, state, texts};
use crate::commands::PUBLIC;
use crate::engine::sent::Sent;
use crate::ledger::walk::Purpose;

/// Called by the server to load the module.
///
/// # Safety
/// Only the server calls it, on its main thread, with a context that is valid until it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: RawContext,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // Nothing may be allocated before this call: it makes the server's allocator known.
    // SAFETY: the context is the server's, the name ends in NUL.
    let status = unsafe {
        raw::Export_RedisModule_Init(
            ctx,
            c"inv".as_ptr().cast::<c_char>(),
            VERSION_NUMBER,
            raw::REDISMODULE_APIVER_1.cast_signed(),
        )
    };
    if status != OK {
        return ERR;
    }
    let context = Context::new(ctx);
    if let Some(function) = api::missing_function() {
        api::warn(
            ctx,
            &format!("inv needs Redis 7.2 or Valkey 7.2, or newer: this server has no {function}"),
        );
        return ERR;
    }
    guard::install();
    // SAFETY: the server gives as many words as it says, valid until this returns.
    let arguments = unsafe { api::load_arguments(argv, argc) };
    match guard::caught(ptr::null_mut(), "the load", || load(&context, &arguments))
        .unwrap_or(Err("of this fault".into()))
    {
        Ok(()) => OK,
        Err(reason) => {
            api::warn(ctx, &format!("inv is not loaded: {reason}"));
            ERR
        }
    }
}

fn load(ctx: &Context, arguments: &[Vec<u8>]) -> Result<(), Cow<'static, str>> {
    // The library may have stayed in the process since an earlier load.
    state::forget();
    walk::forget();
    texts::forget();

    let in_cluster = api::context_flags(ctx.ctx) & raw::REDISMODULE_CTX_FLAGS_CLUSTER != 0;
    require_commands(ctx.ctx, in_cluster)?;

    let is_valkey = api::server_info(ctx.ctx, c"server", c"server_name").is_some_and(|name| name == "valkey");
    config::set_server(is_valkey);
    api::declare(ctx.ctx, is_valkey);
    config::register(ctx, arguments)?;
    #[cfg(feature = "faults")]
    super::faults::register(ctx.ctx);
    if !api::load_configs(ctx.ctx) {
        return Err("an inv.* line of the configuration is not valid".into());
    }
    let style = config::key_style(in_cluster)?;
    state::set_style(style);

    let own_category = if api::add_acl_category(ctx.ctx, c"inventory") { "inventory " } else { "" };
    if commands::register_commands(ctx) == raw::Status::Err {
        return Err("its commands cannot be registered".into());
    }
    for (command, categories) in PUBLIC {
        if !api::set_acl_categories(ctx.ctx, command, &format!("{own_category}{categories}")) {
            return Err("its commands cannot be put into their ACL categories".into());
        }
    }
    raw::register_info_function(ctx.ctx, Some(info::on_info));
    if server_events::register_server_events(ctx).is_err() || !events::subscribe(ctx.ctx) {
        return Err("the server's events cannot be subscribed to".into());
    }
    // What is in the keys is found in slices: the server goes on meanwhile.
    walk::begin(ctx.ctx, Purpose::IndexUnwatched);
    api::note(
        ctx.ctx,
        &format!("inv {} loaded: {}", VERSION.to_str().unwrap_or_default(), config::in_short(style)),
    );
    advice::give(ctx);
    Ok(())
}

/// What the server wraps around several commands that are sent at once.
const WRAPPING: [&CStr; 2] = [c"MULTI", c"EXEC"];

/// Everything that the module sends or calls must be there under its own name: what is not would reach neither replicas nor
/// the AOF, and nobody would be told.
fn require_commands(ctx: RawContext, in_cluster: bool) -> Result<(), String> {
    let sent = Sent::ALL.iter().filter(|command| **command != Sent::Apply).map(|command| command.name());
    let called = Called::needed(in_cluster).iter().map(|command| command.words());
    let needed = sent.chain(WRAPPING).map(|name| (name, None)).chain(called);
    let missing: BTreeSet<&str> = needed
        .filter(|(name, part)| !api::has_command(ctx, name, *part))
        .filter_map(|(name, _)| name.to_str().ok())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.into_iter().collect();
    Err(format!(
        "this server has no {} under its own name, which the module needs to write to replicas and the AOF, or to ask the \
         server. Take the rename-command lines of it out of the configuration, and restrict users with ACL rules instead",
        names.join(", ")
    ))
}

/// Called by the server to unload the module.
///
/// # Safety
/// Only the server calls it, on its main thread, with a context that is valid until it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnUnload(ctx: RawContext) -> c_int {
    if state::is_awaited() {
        // It would run in code that is gone.
        api::warn(ctx, "inv is not unloaded: a release is queued; try again");
        return ERR;
    }
    let clients = api::client_list(ctx);
    if let Some(client) = clients.lines().find(|client| is_waiting(client)) {
        // A command that has gone when its turn comes would end the server.
        let (id, address) = (field(client, "id="), field(client, "addr="));
        api::warn(
            ctx,
            &format!(
                "inv is not unloaded: client {id} ({address}) is in the middle of a transaction, or paused with a command of \
                 the module; try again, or CLIENT KILL ID {id}"
            ),
        );
        return ERR;
    }
    if let Some(user) = user_with_our_commands(ctx) {
        // Servers before Valkey 9.1 end when a rule names a command that has gone (valkey-io/valkey#2797).
        api::warn(
            ctx,
            &format!(
                "inv is not unloaded: the rules of user {user} name a command of the module; take them out first"
            ),
        );
        return ERR;
    }
    let marked = events::marked_databases(ctx);
    if !marked.is_empty() && api::avoid_traffic() {
        // Sending the DEL of the mark to the copies now would end the server.
        api::warn(
            ctx,
            "inv is not unloaded: writes are paused, and inventory:managed is to be deleted; try again",
        );
        return ERR;
    }
    events::unmark(ctx, &marked);
    if state::is_awaited() {
        api::warn(ctx, "inv is not unloaded: a release was queued meanwhile; try again");
        return ERR;
    }
    for client in clients.lines().filter(|client| would_meet_a_lost_command(client)) {
        api::disconnect(ctx, field(client, "id="));
    }
    state::forget();
    walk::forget();
    texts::forget();
    guard::uninstall();
    alloc::release();
    OK
}

/// The first user of the ACL with a rule about one of the module's commands by name.
fn user_with_our_commands(ctx: RawContext) -> Option<String> {
    // user NAME rule rule ...; no name and no rule holds a blank, and a selector has its rules in parentheses.
    let is_ours =
        |rule: &str| rule.trim_start_matches('(').strip_prefix(['+', '-']).is_some_and(is_our_command);
    let users = api::acl_list(ctx);
    let user = users.iter().find(|user| user.split(' ').skip(2).any(is_ours))?;
    user.split(' ').nth(1).map(str::to_owned)
}

/// Whether this client has queued commands behind MULTI, or is paused with one of ours. A line of CLIENT LIST.
fn is_waiting(client: &str) -> bool {
    let has_queued = !["", "-1", "0"].contains(&field(client, "multi="));
    has_queued || (is_blocked(client) && is_our_command(field(client, "cmd=")))
}

/// Whether the server would go on to use commands of ours that it keeps for this client: the last one that it has sent, which
/// CLIENT LIST shows, and, in Valkey, those that it has sent behind one that waits.
fn would_meet_a_lost_command(client: &str) -> bool {
    is_our_command(field(client, "cmd=")) || (config::is_valkey() && is_blocked(client))
}

fn is_blocked(client: &str) -> bool {
    field(client, "flags=").contains('b')
}

/// What a line of CLIENT LIST says behind `name=`.
fn field<'a>(client: &'a str, name: &str) -> &'a str {
    client.split(' ').find_map(|field| field.strip_prefix(name)).unwrap_or_default()
}

fn is_our_command(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("inv."))
}

//! How the server loads and unloads the module: the registration of everything that it has.
//!
//! The `redis_module!` macro is not used: it ends the load on an ACL category that an earlier load has left behind,
//! and the server itself if a function is missing. A server that is too old gets one line instead.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_char, c_int};

use redis_module::{Context, commands, raw, server_events};

use crate::commands::list::FOR_CLIENTS;
use crate::engine::sent::Sent;
use crate::ledger::walk::Purpose;
use crate::server::api::call::Called;
use crate::server::api::ctx::{Ctx, RawContext};
use crate::server::api::functions::{ERR, OK, missing_function};
use crate::server::api::replication::avoid_traffic;
use crate::server::api::text::load_arguments;
use crate::server::role::is_in_cluster;
use crate::server::state::{Module, Server};
use crate::server::version::{VERSION, VERSION_NUMBER};
use crate::server::{advice, alloc, config, events, guard, info, schedule, walk};

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
    let ctx = Ctx::from(&context);
    if let Some(function) = missing_function() {
        ctx.warn(&format!("inv needs Redis 7.2 or Valkey 7.2, or newer: this server has no {function}"));
        leave();
        return ERR;
    }
    guard::install();
    let module = Module::current();
    let loaded = guard::caught(&module, None, "the load", || {
        // SAFETY: the server gives as many words as it says, valid until this returns.
        let arguments = unsafe { load_arguments(argv, argc) };
        load(&context, &module, &arguments)
    });
    drop(module);
    match loaded.unwrap_or(Err("of this fault".into())) {
        Ok(()) => OK,
        Err(reason) => {
            ctx.warn(&format!("inv is not loaded: {reason}"));
            drop(reason);
            leave();
            ERR
        }
    }
}

fn load(context: &Context, module: &Module, arguments: &[Vec<u8>]) -> Result<(), Cow<'static, str>> {
    let ctx = Ctx::from(context);
    let in_cluster = is_in_cluster(ctx);
    require_commands(ctx, in_cluster)?;

    let is_valkey = ctx.server_info(c"server", c"server_name").is_some_and(|name| name == "valkey");
    ctx.declare(is_valkey);
    config::register(ctx, arguments)?;
    if !ctx.load_configs() {
        return Err("an inv.* line of the configuration is not valid".into());
    }
    let style = config::key_style(in_cluster)?;
    module.server.set(Server { style, in_cluster, is_valkey });

    let own_category = if ctx.add_acl_category(c"inventory") { "inventory " } else { "" };
    if commands::register_commands(context) == raw::Status::Err {
        return Err("its commands cannot be registered".into());
    }
    for (command, category) in FOR_CLIENTS {
        if !ctx.set_acl_categories(command, &format!("{own_category}{}", category.names())) {
            return Err("its commands cannot be put into their ACL categories".into());
        }
    }
    ctx.register_info::<info::Section>();
    if server_events::register_server_events(context).is_err() || !events::subscribe(ctx) {
        return Err("the server's events cannot be subscribed to".into());
    }
    // What is in the keys is found in slices: the server goes on meanwhile.
    walk::begin(ctx, module, Purpose::IndexUnwatched);
    ctx.note(&format!("inv {} loaded: {}", VERSION.to_str().unwrap_or_default(), config::in_short(style)));
    advice::give(ctx);
    Ok(())
}

/// What the server wraps around several commands that are sent at once.
const WRAPPING: [&CStr; 2] = [c"MULTI", c"EXEC"];

/// Everything that the module sends or calls must be there under its own name: what is not would reach neither replicas nor
/// the AOF, and nobody would be told.
fn require_commands(ctx: Ctx<'_>, in_cluster: bool) -> Result<(), String> {
    let sent = Sent::ALL.iter().filter(|command| **command != Sent::Apply).map(|command| command.name());
    let called = Called::needed(in_cluster).iter().map(|command| command.words());
    let needed = sent.chain(WRAPPING).map(|name| (name, None)).chain(called);
    let missing: BTreeSet<&str> = needed
        .filter(|(name, part)| !ctx.has_command(name, *part))
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
    let context = Context::new(ctx);
    let ctx = Ctx::from(&context);
    let module = Module::current();
    let checked = guard::caught(&module, Some(ctx), "the unload", || prepare_unload(ctx, &module));
    drop(module);
    match checked.unwrap_or(Err("of a fault of the module".into())) {
        Ok(()) => {
            leave();
            OK
        }
        Err(reason) => {
            ctx.warn(&format!("inv is not unloaded: {reason}"));
            ERR
        }
    }
}

/// Sees to it that the server keeps nothing that would call the module later, or says why it cannot go.
fn prepare_unload(ctx: Ctx<'_>, module: &Module) -> Result<(), Cow<'static, str>> {
    if module.is_awaited() {
        // It would run in code that is gone.
        return Err("a release is queued; try again".into());
    }
    let clients = ctx.client_list();
    if let Some(client) = clients.lines().find(|client| is_waiting(client)) {
        // A command that has gone when its turn comes would end the server.
        let (id, address) = (field(client, "id="), field(client, "addr="));
        return Err(format!(
            "client {id} ({address}) is in the middle of a transaction, or paused with a command of the module; try again, or \
             CLIENT KILL ID {id}"
        )
        .into());
    }
    if let Some(user) = user_with_our_commands(ctx) {
        // Servers before Valkey 9.1 end when a rule names a command that has gone (valkey-io/valkey#2797).
        return Err(
            format!("the rules of user {user} name a command of the module; take them out first").into()
        );
    }
    let marked = schedule::marked_databases(ctx, module);
    if !marked.is_empty() && avoid_traffic() {
        // Sending the DEL of the mark to the copies now would end the server.
        return Err("writes are paused, and inventory:managed is to be deleted; try again".into());
    }
    schedule::unmark(ctx, module, &marked);
    if module.is_awaited() {
        return Err("a release was queued meanwhile; try again".into());
    }
    let is_valkey = module.server.get().is_valkey;
    for client in clients.lines().filter(|client| would_meet_a_lost_command(client, is_valkey)) {
        ctx.disconnect(field(client, "id="));
    }
    Ok(())
}

/// Gives back everything that the module has taken: its code may go. Whoever calls it holds no memory of the module any more,
/// and takes none afterwards: the allocator would keep the freed blocks, which nobody gives back.
fn leave() {
    Module::end();
    guard::uninstall();
    alloc::release();
}

/// The first user of the ACL with a rule about one of the module's commands by name.
fn user_with_our_commands(ctx: Ctx<'_>) -> Option<String> {
    // user NAME rule rule ...; no name and no rule holds a blank, and a selector has its rules in parentheses.
    let is_ours =
        |rule: &str| rule.trim_start_matches('(').strip_prefix(['+', '-']).is_some_and(is_our_command);
    let users = ctx.acl_list();
    let user = users.iter().find(|user| user.split(' ').skip(2).any(is_ours))?;
    user.split(' ').nth(1).map(str::to_owned)
}

/// Whether this client has queued commands after MULTI, or is paused with one of ours. A line of CLIENT LIST.
fn is_waiting(client: &str) -> bool {
    let has_queued = !["", "-1", "0"].contains(&field(client, "multi="));
    has_queued || (is_blocked(client) && is_our_command(field(client, "cmd=")))
}

/// Whether the server would go on to use commands of ours that it keeps for this client: the last one that it has sent, which
/// CLIENT LIST shows, and, in Valkey, those that it has sent after one that waits.
fn would_meet_a_lost_command(client: &str, is_valkey: bool) -> bool {
    is_our_command(field(client, "cmd=")) || (is_valkey && is_blocked(client))
}

fn is_blocked(client: &str) -> bool {
    field(client, "flags=").contains('b')
}

/// What a line of CLIENT LIST says after `name=`.
fn field<'a>(client: &'a str, name: &str) -> &'a str {
    client.split(' ').find_map(|field| field.strip_prefix(name)).unwrap_or_default()
}

fn is_our_command(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("inv."))
}

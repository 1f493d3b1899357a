//! Loads and unloads the module, and registers everything it provides.
//!
//! The `redis_module!` macro is not used for two reasons. It aborts the load if an ACL category of an earlier load
//! still exists, and it crashes the server if an API function is missing. This module instead logs one line if the
//! server is too old.

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

/// Loads the module. The server calls this function.
///
/// # Safety
/// The server calls it on its main thread, with a context that is valid until it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: RawContext,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // This call makes the server's allocator known, so nothing may be allocated before it.
    // SAFETY: the context comes from the server, and the name ends in NUL.
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
        ctx.warn(&format!("inv needs Redis 7.2, Valkey 7.2 or newer: this server has no {function}"));
        leave();
        return ERR;
    }
    guard::install();
    let module = Module::current();
    let loaded = guard::caught(&module, None, "the load", || {
        // SAFETY: the server passes `argc` words that are valid until this function returns.
        let arguments = unsafe { load_arguments(argv, argc) };
        load(&context, &module, &arguments)
    });
    drop(module);
    match loaded.unwrap_or(Err("a fault of the module, see the line above".into())) {
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
        return Err("a line inv.* of the configuration is not valid".into());
    }
    let style = config::key_style(in_cluster)?;
    module.server.set(Server { style, in_cluster, is_valkey });

    let own_category = if ctx.add_acl_category(c"inventory") { "inventory " } else { "" };
    if commands::register_commands(context) == raw::Status::Err {
        return Err("the commands cannot be registered".into());
    }
    for (command, category) in FOR_CLIENTS {
        if !ctx.set_acl_categories(command, &format!("{own_category}{}", category.names())) {
            return Err("the ACL categories of the commands cannot be set".into());
        }
    }
    ctx.register_info::<info::Section>();
    if server_events::register_server_events(context).is_err()
        || !events::subscribe(ctx)
        || !events::meet_neighbours(ctx, module)
    {
        return Err("the module cannot subscribe to the server's events".into());
    }
    // The keys that already exist are walked over in slices, so that the server keeps answering.
    walk::begin(ctx, module, Purpose::IndexUnwatched);
    ctx.note(&format!("inv {} loaded: {}", VERSION.to_str().unwrap_or_default(), config::in_short(style)));
    advice::give(ctx);
    Ok(())
}

/// The commands that the server itself replicates beside those of the module: around several of them, before those of
/// another database, and for a key that it has let expire.
const BESIDE: [&CStr; 4] = [c"MULTI", c"EXEC", c"SELECT", c"UNLINK"];

/// Checks that the server knows every command that the module replicates or calls by its own name. A renamed command
/// would silently reach neither the replicas nor the AOF.
fn require_commands(ctx: Ctx<'_>, in_cluster: bool) -> Result<(), String> {
    let sent = Sent::ALL.iter().filter(|command| **command != Sent::Apply).map(|command| command.name());
    let called = Called::needed(in_cluster).iter().map(|command| command.words());
    let needed = sent.chain(BESIDE).map(|name| (name, None)).chain(called);
    let missing: BTreeSet<&str> = needed
        .filter(|(name, part)| !ctx.has_command(name, *part))
        .filter_map(|(name, _)| name.to_str().ok())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.into_iter().collect();
    Err(format!(
        "this server has no {} under its own name, which the module needs. Remove the rename-command lines for it from the \
         configuration, and restrict users with ACL rules instead",
        names.join(", ")
    ))
}

/// Unloads the module. The server calls this function.
///
/// # Safety
/// The server calls it on its main thread, with a context that is valid until it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnUnload(ctx: RawContext) -> c_int {
    let context = Context::new(ctx);
    let ctx = Ctx::from(&context);
    let module = Module::current();
    let checked = guard::caught(&module, Some(ctx), "the unload", || prepare_unload(ctx, &module));
    drop(module);
    match checked.unwrap_or(Err("a fault of the module, see the line above".into())) {
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

/// Makes sure that the server keeps nothing that would call the module later, or says why it cannot be unloaded.
fn prepare_unload(ctx: Ctx<'_>, module: &Module) -> Result<(), Cow<'static, str>> {
    if module.is_awaited() {
        // The queued callback would run code that is no longer loaded.
        return Err("a release is queued: try again".into());
    }
    let clients = ctx.client_list();
    if let Some(client) = clients.lines().find(|client| is_waiting(client)) {
        // The server would crash if the command no longer existed when its turn came.
        let (id, address) = (field(client, "id="), field(client, "addr="));
        return Err(format!(
            "client {id} ({address}) is in a transaction, or paused on a command of the module: try again, or run \
             CLIENT KILL ID {id}"
        )
        .into());
    }
    if let Some(user) = user_with_our_commands(ctx) {
        // Servers before Valkey 9.1 crash if an ACL rule names a command that no longer exists (valkey-io/valkey#2797).
        return Err(
            format!("the ACL rules of user {user} name a command of the module: remove them first").into()
        );
    }
    let marked = schedule::marked_databases(ctx, module);
    if !marked.is_empty() && avoid_traffic() {
        // The server would crash if the DEL of the mark were replicated now.
        return Err("writes are paused, but inventory:managed must be deleted: try again later".into());
    }
    schedule::unmark(ctx, module, &marked);
    if module.is_awaited() {
        return Err("a release was queued meanwhile: try again".into());
    }
    let is_valkey = module.server.get().is_valkey;
    for client in clients.lines().filter(|client| would_meet_a_lost_command(client, is_valkey)) {
        ctx.disconnect(field(client, "id="));
    }
    Ok(())
}

/// Releases everything that the module holds, so that its code can be unloaded. The caller must hold no memory of the
/// module and must not allocate any afterwards: the allocator would keep the freed blocks, and nobody would release
/// them.
fn leave() {
    Module::end();
    guard::uninstall();
    alloc::release();
}

/// The first ACL user that has a rule for one of the module's commands by name.
fn user_with_our_commands(ctx: Ctx<'_>) -> Option<String> {
    // A line is `user NAME rule rule ...`. Neither names nor rules contain a space, and the rules of a selector are
    // in parentheses.
    let is_ours =
        |rule: &str| rule.trim_start_matches('(').strip_prefix(['+', '-']).is_some_and(is_our_command);
    let users = ctx.acl_list();
    let user = users.iter().find(|user| user.split(' ').skip(2).any(is_ours))?;
    user.split(' ').nth(1).map(str::to_owned)
}

/// Whether this client, a line of CLIENT LIST, has queued commands after MULTI or is paused on a command of the
/// module.
fn is_waiting(client: &str) -> bool {
    let has_queued = !["", "-1", "0"].contains(&field(client, "multi="));
    has_queued || (is_blocked(client) && is_our_command(field(client, "cmd=")))
}

/// Whether the server would still use a command of the module that it keeps for this client: its last command, which
/// CLIENT LIST shows, or, in Valkey, a command that follows one that waits.
fn would_meet_a_lost_command(client: &str, is_valkey: bool) -> bool {
    is_our_command(field(client, "cmd=")) || (is_valkey && is_blocked(client))
}

fn is_blocked(client: &str) -> bool {
    field(client, "flags=").contains('b')
}

/// The value of the field `name=` in a line of CLIENT LIST.
fn field<'a>(client: &'a str, name: &str) -> &'a str {
    client.split(' ').find_map(|field| field.strip_prefix(name)).unwrap_or_default()
}

fn is_our_command(name: &str) -> bool {
    name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("inv."))
}

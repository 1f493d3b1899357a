//! Handles the server's events. The handlers of key events only take notes. A job after the unit of work, or the
//! cron, processes them.

use std::ffi::{CStr, c_int};
use std::time::{Duration, Instant};

use redis_module::raw;

use super::api::ctx::Ctx;
use super::api::events::{
    Cron, EventLoop, Flush, GoingKey, Hears, HearsOfKeys, KeyGoes, Loading, ModuleChange, Notification,
    RoleChange, Swap,
};
use super::api::key::OpenKey;
use super::keyspace::ServerKeyspace;
use super::role::{is_loading, is_releasing, record_text};
use super::schedule::{self, queue_job};
use super::state::Module;
use super::totals::increase;
use super::{guard, walk};
use crate::engine::recover;
use crate::inventory::key::{Watched, is_watched_when_new, watched};
use crate::inventory::reservation::Record;
use crate::ledger::notes::Touched;
use crate::ledger::walk::Purpose;
use crate::ledger::{LeavingKey, Ledger, Removal};

/// The event for every new key. For some types that modules define, such as the vector sets of Redis 8, it is the only event.
/// It costs every new key of the server a call of the module, so it is subscribed to only if such a type can exist.
const NEW_KEYS: c_int = raw::REDISMODULE_NOTIFY_NEW;

/// Subscribes to every event that the module needs. False if the server refuses a subscription.
pub fn subscribe(ctx: Ctx<'_>) -> bool {
    // A record that a script wrote may have any type.
    let kinds = raw::REDISMODULE_NOTIFY_GENERIC
        | raw::REDISMODULE_NOTIFY_STRING
        | raw::REDISMODULE_NOTIFY_HASH
        | raw::REDISMODULE_NOTIFY_LIST
        | raw::REDISMODULE_NOTIFY_SET
        | raw::REDISMODULE_NOTIFY_ZSET
        | raw::REDISMODULE_NOTIFY_STREAM
        | raw::REDISMODULE_NOTIFY_MODULE;
    ctx.subscribe::<KeyGoes, Watch>()
        && ctx.subscribe::<Cron, Watch>()
        && ctx.subscribe::<EventLoop, Watch>()
        && ctx.subscribe::<Flush, Watch>()
        && ctx.subscribe::<Swap, Watch>()
        && ctx.subscribe::<Loading, Watch>()
        && ctx.subscribe::<RoleChange, Watch>()
        && ctx.subscribe::<ModuleChange, Watch>()
        && ctx.subscribe_keyspace::<Watch>(kinds)
}

/// The handler of all events.
struct Watch;

impl Hears<KeyGoes> for Watch {
    fn hear(ctx: Ctx<'_>, subevent: u64, going: GoingKey<'_>) {
        let module = &Module::current();
        guard::event(module, ctx, "the event of a removed key", || {
            let (name, key) = going.look();
            key_goes(ctx, module, name, &key, subevent);
        });
    }
}

fn key_goes(ctx: Ctx<'_>, module: &Module, name: &[u8], key: &OpenKey<'_>, subevent: u64) {
    let how = match subevent {
        raw::REDISMODULE_SUBEVENT_KEY_EXPIRED => Removal::Expired,
        raw::REDISMODULE_SUBEVENT_KEY_EVICTED => Removal::Evicted,
        raw::REDISMODULE_SUBEVENT_KEY_OVERWRITTEN => Removal::Overwritten,
        _ => Removal::Deleted,
    };
    if matches!(how, Removal::Deleted | Removal::Overwritten) && module.own.is_write(name) {
        return;
    }
    let style = module.style();
    let Some(watched) = watched(name, style) else { return };
    let db = ctx.selected_db();
    match watched {
        Watched::Reservation(id) => {
            let id = id.as_ref();
            let record =
                id.and_then(|id| record_text(key).and_then(|json| Record::from_json(id, json, style)));
            let releasing = is_releasing(ctx);
            let leaving = LeavingKey { name, id, record, ttl: key.deadline(), how };
            module.ledger(db, |ledger| ledger.note_leaving(leaving, releasing));
            if releasing {
                queue_job(ctx, module);
            }
        }
        Watched::Threshold(product) => {
            module.ledger(db, |ledger| ledger.notes.touch(Touched::Threshold(product)));
            queue_job(ctx, module);
        }
        Watched::Alert(product, at) if how != Removal::Overwritten => {
            module.ledger(db, |ledger| ledger.alerts.leave(&product, at));
        }
        Watched::Managed => {
            module.ledger(db, |ledger| ledger.notes.touch(Touched::Managed));
            queue_job(ctx, module);
        }
        Watched::Available | Watched::Reserved(_)
            if how == Removal::Deleted
                && module.server.get().in_cluster
                && module.ledger(db, |ledger| !ledger.pending.is_empty()) =>
        {
            // The counter may be moving to another node, and pending changes must move with it.
            module.schedule.is_urgent.set(true);
            queue_job(ctx, module);
        }
        Watched::Available | Watched::Reserved(_) if how == Removal::Evicted => {
            increase(&module.totals.evicted_counters, 1);
            let name = String::from_utf8_lossy(name);
            ctx.warn(&format!(
                "the counter {name} was evicted and its stock is lost: set maxmemory-policy to noeviction"
            ));
        }
        Watched::Alert(..)
        | Watched::Outcome(_)
        | Watched::Warehouses(_)
        | Watched::Floor(_)
        | Watched::Limit(_)
        | Watched::Available
        | Watched::Reserved(_) => {}
    }
}

/// Called if a key appeared or changed and the change was not the module's own.
impl HearsOfKeys for Watch {
    fn hear(ctx: Ctx<'_>, kind: c_int, notification: Notification<'_>) {
        #[cfg(feature = "faults")]
        if super::faults::DEAF.load(std::sync::atomic::Ordering::Relaxed) != 0 {
            return;
        }
        let module = &Module::current();
        if module.own.is_notification() {
            return;
        }
        module.trust.is_hearing.set(true);
        guard::event(module, ctx, "a keyspace notification", || {
            let name = notification.key();
            if kind == NEW_KEYS && (!is_watched_when_new(name) || module.own.is_write(name)) {
                return;
            }
            key_changed(ctx, module, name, notification.event());
        });
        module.trust.is_hearing.set(false);
    }
}

fn key_changed(ctx: Ctx<'_>, module: &Module, name: &[u8], event: &CStr) {
    let Some(watched) = watched(name, module.style()) else { return };
    let is_counter = matches!(watched, Watched::Reserved(_));
    match event.to_bytes() {
        b"expired" | b"evicted" => return,
        // The key event has already reported it. For a counter it does not say whether the change was the module's
        // own.
        b"del" | b"rename_from" | b"move_from" if !is_counter => return,
        _ => {}
    }
    if is_loading(ctx) {
        // The walk at the end of the load finds it.
        return;
    }
    if is_counter && !is_releasing(ctx) {
        // Only the master decides whether another program has written it.
        return;
    }
    let db = ctx.selected_db();
    if module.ledger(db, |ledger| ledger.touch_watched(name, watched)) {
        queue_job(ctx, module);
    }
}

impl Hears<Cron> for Watch {
    fn hear(ctx: Ctx<'_>, _subevent: u64, (): ()) {
        let module = &Module::current();
        // The cron does not run during a load, so no load can need these ledgers any more.
        module.ledgers.borrow_mut().discard_set_aside();
        guard::round(module, ctx, "the cron", || schedule::tick(ctx, module));
    }
}

impl Hears<EventLoop> for Watch {
    fn hear(ctx: Ctx<'_>, subevent: u64, (): ()) {
        let module = &Module::current();
        if subevent == raw::REDISMODULE_SUBEVENT_EVENTLOOP_AFTER_SLEEP {
            schedule::round_begins(module);
        } else {
            schedule::round_ends(ctx, module);
        }
    }
}

/// A flush causes no events for single keys.
impl Hears<Flush> for Watch {
    fn hear(ctx: Ctx<'_>, subevent: u64, db: c_int) {
        if subevent != raw::REDISMODULE_SUBEVENT_FLUSHDB_START {
            return;
        }
        let module = &Module::current();
        guard::event(module, ctx, "the event of a flush", || {
            if db < 0 {
                module.ledgers.borrow_mut().set_aside();
            } else {
                module.ledgers.borrow_mut().flush(db);
            }
            module.walks.begin_again();
            module.rounds.begin_again();
        });
    }
}

impl Hears<Swap> for Watch {
    fn hear(ctx: Ctx<'_>, _subevent: u64, (first, second): (c_int, c_int)) {
        let module = &Module::current();
        guard::event(module, ctx, "the event of a swap", || {
            module.ledgers.borrow_mut().change(|ledgers| {
                let (one, other) = (ledgers.remove(&first), ledgers.remove(&second));
                ledgers.extend(one.map(|ledger| (second, ledger)));
                ledgers.extend(other.map(|ledger| (first, ledger)));
            });
            module.walks.begin_again();
            module.rounds.begin_again();
        });
    }
}

/// How long the server may wait for the index after a load, before it answers clients. A common data set is indexed in
/// this time.
const WALK_AT_LOAD: Duration = Duration::from_millis(50);

/// What the ledgers contain belongs to the previous data set.
impl Hears<Loading> for Watch {
    fn hear(ctx: Ctx<'_>, subevent: u64, (): ()) {
        let module = &Module::current();
        guard::event(module, ctx, "the event of a load", || load(ctx, module, subevent));
    }
}

fn load(ctx: Ctx<'_>, module: &Module, subevent: u64) {
    let ended = subevent == raw::REDISMODULE_SUBEVENT_LOADING_ENDED;
    {
        let mut ledgers = module.ledgers.borrow_mut();
        if subevent == raw::REDISMODULE_SUBEVENT_LOADING_RDB_START {
            ledgers.set_aside();
        } else if !ended {
            // An AOF contains the overdue reservations, and a replica leaves releases to its master.
            drop(ledgers.take_set_aside());
        }
        ledgers.change(std::collections::BTreeMap::clear);
    }
    module.walks.stop();
    module.rounds.stop();
    module.is_loading.set(!ended && subevent != raw::REDISMODULE_SUBEVENT_LOADING_FAILED);
    if ended {
        // The server answers clients as soon as this returns. What is left of the walk runs in slices.
        let begun = Instant::now();
        walk::begin(ctx, module, Purpose::Index);
        walk::advance(ctx, module, || begun.elapsed() >= WALK_AT_LOAD);
        let selected = ctx.selected_db();
        let set_aside = module.ledgers.borrow_mut().take_set_aside();
        for (db, before) in set_aside {
            if ctx.select_db(db) {
                recover::note_dropped(&mut ServerKeyspace::new(ctx, module), &before);
            }
            module.ledgers.borrow_mut().discard(before);
        }
        ctx.select_db(selected);
    }
}

/// Notes that were pending belong to the previous role.
impl Hears<RoleChange> for Watch {
    fn hear(ctx: Ctx<'_>, _subevent: u64, (): ()) {
        let module = &Module::current();
        guard::event(module, ctx, "the event of a new role", || {
            module
                .ledgers
                .borrow_mut()
                .change(|ledgers| ledgers.values_mut().for_each(Ledger::forget_unsettled));
            // A replica verifies nothing.
            module.rounds.stop();
            // A new master looks for units that the old one did not release.
            module.walks.want(Purpose::Check);
        });
    }
}

/// The name of this module.
const OWN_NAME: &str = "inv";

/// The vector sets of Redis 8, a module that is always loaded there and subscribes to nothing.
const VECTOR_SETS: &str = "vectorset";

/// Prepares for the other modules that are loaded already. False if the server refuses a subscription.
pub fn meet_neighbours(ctx: Ctx<'_>, module: &Module) -> bool {
    match ctx.module_names() {
        Some(names) => names.iter().all(|name| meet_neighbour(ctx, module, name)),
        // It is not known which there are.
        None => meet_neighbour(ctx, module, ""),
    }
}

/// Prepares for another module: it may have subscribed to keyspace notifications, and may define types of its own. Whether it is
/// unloaded later does not matter.
fn meet_neighbour(ctx: Ctx<'_>, module: &Module, name: &str) -> bool {
    if name == OWN_NAME {
        return true;
    }
    if name != VECTOR_SETS {
        module.has_neighbours.set(true);
    }
    module.hears_of_new_keys.replace(true) || ctx.subscribe_keyspace::<Watch>(NEW_KEYS)
}

impl Hears<ModuleChange> for Watch {
    fn hear(ctx: Ctx<'_>, _subevent: u64, name: &CStr) {
        let module = &Module::current();
        guard::event(module, ctx, "the load of another module", || {
            if !meet_neighbour(ctx, module, &name.to_string_lossy()) {
                ctx.warn("the module cannot subscribe to the event of new keys");
            }
        });
    }
}

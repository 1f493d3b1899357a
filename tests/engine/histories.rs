//! Random histories against the naive model: clients, scripts, deletions by hand, deadlines, restarts and failovers, in
//! any order. After every step the data set is what the model says, and the replica has the same.
//!
//! To add an action: a variant, its line in [`actions`], its arm in `History::act`, and what it means in the model.

use redis_inventory::inventory::ending::Ending;
use redis_inventory::inventory::key::OnceName;
use redis_inventory::inventory::line::Line;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use redis_inventory::engine::alerts::{self, AlertQuery};
use redis_inventory::engine::effects::{self, Effect};
use redis_inventory::engine::keyspace::LoadRepair;
use redis_inventory::engine::reserve::{ReserveRequest, reserve};
use redis_inventory::engine::resolve::{self, ExtendRequest, ResolveRequest};
use redis_inventory::engine::restock::{self, AdjustRequest, Measure, SetRequest};
use redis_inventory::engine::warehouses::{self, TransferRequest};
use redis_inventory::engine::{audit, queries};
use redis_inventory::inventory::allocation::Split;
use redis_inventory::inventory::lifetime::Lifetime;
use redis_inventory::inventory::once::Once;
use redis_inventory::inventory::outcome::Outcome;
use redis_inventory::inventory::quantity::{MAX_EXACT, Quantity};
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::sku::{KeyStyle, Product, ReservationId, Sku as SkuName, Warehouse};

use super::model::{Expected, Held, IDS, Id, Lines, Model, R_PLACES, SKUS, Sku, Slot, Token};
use super::simulation::{BEGIN, Command, Data, Entry, Simulation};

/// The mark of a database in which the module is alone.
const MARK: &str = "inventory:managed";

/// Units of each sku; 0: not named.
type Items = [i64; SKUS.len()];

#[derive(Clone, Debug)]
enum Action {
    Reserve {
        id: Id,
        items: Items,
        split: Split,
        life: i64,
        token: Option<u8>,
        again: bool,
    },
    Commit {
        id: Id,
        late: bool,
        token: Option<u8>,
        again: bool,
    },
    Rollback {
        id: Id,
        token: Option<u8>,
        again: bool,
    },
    CommitPart {
        id: Id,
        items: Items,
        token: Option<u8>,
    },
    RollbackPart {
        id: Id,
        items: Items,
        token: Option<u8>,
    },
    Extend {
        id: Id,
        life: i64,
        token: Option<u8>,
    },
    Adjust {
        sku: Sku,
        delta: i64,
        token: Option<u8>,
    },
    Set {
        sku: Sku,
        on_hand: bool,
        units: i64,
        if_equal: Option<i64>,
        token: Option<u8>,
    },
    /// Of a place of R.
    SetWarehouse {
        place: Sku,
        priority: i64,
    },
    RemoveWarehouse {
        place: Sku,
    },
    Transfer {
        from: Sku,
        to: Sku,
        units: i64,
        token: Option<u8>,
    },
    Repair {
        sku: Sku,
        force: bool,
    },
    /// INV.GET, INV.STOCK and INV.AUDIT of everything, INV.SCAN, INV.ALERTS.
    Look {
        id: Id,
    },
    /// GET of the record by any client.
    Read {
        id: Id,
    },
    Wait {
        ms: i64,
    },
    Sweep,
    Delete {
        id: Id,
    },
    /// SET of something that is no record.
    SetForeign {
        id: Id,
        life: Option<i64>,
    },
    /// RESTORE of the latest record that this id ever had.
    Restore {
        id: Id,
        life: Option<i64>,
    },
    RenameAway {
        id: Id,
    },
    RenameBack {
        id: Id,
    },
    MoveDeadline {
        id: Id,
        life: Option<i64>,
    },
    Evict {
        id: Id,
    },
    /// The Lua script's commit: it never looks whether the record is there.
    ScriptCommit {
        id: Id,
    },
    ScriptRollback {
        id: Id,
    },
    /// Another program takes units for itself, or gives them back: a record of its own says so, under a name of its own.
    HoldElsewhere {
        sku: Sku,
        units: i64,
    },
    /// INCRBY of available.
    Restock {
        sku: Sku,
        units: i64,
    },
    /// ZADD.
    RankByHand {
        place: Sku,
        priority: i64,
    },
    /// ZREM.
    UnrankByHand {
        place: Sku,
    },
    DropCounter {
        sku: Sku,
        of_available: bool,
    },
    ForgetOutcome {
        id: Id,
    },
    Restart {
        from_rdb: bool,
    },
    Failover,
}

impl Action {
    /// Whether a MULTI/EXEC can hold it beside others here.
    fn can_share_a_unit(&self) -> bool {
        matches!(
            self,
            Self::Reserve { .. }
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::CommitPart { .. }
                | Self::RollbackPart { .. }
                | Self::Extend { .. }
                | Self::Adjust { .. }
                | Self::Set { .. }
                | Self::SetWarehouse { .. }
                | Self::RemoveWarehouse { .. }
                | Self::Transfer { .. }
                | Self::Repair { .. }
                | Self::Look { .. }
                | Self::Read { .. }
        )
    }
}

#[derive(Clone, Debug)]
struct Step {
    action: Action,
    /// The unit goes on: the next action is in the same MULTI/EXEC.
    joined: bool,
}

#[derive(Clone, Debug)]
struct Setting {
    stock: [i64; SKUS.len()],
    /// R is kept in warehouses from the beginning.
    warehouses: bool,
    outcome_ttl: i64,
    cooldown: i64,
    /// What the repair does; `None`: `inv.load-repair auto`.
    repairs: Option<bool>,
}

struct History {
    master: Simulation,
    replica: Simulation,
    model: Model,
    /// The latest record of each id, as text and as the model has it.
    copies: BTreeMap<Id, (String, Held)>,
    /// Lives that may still end, as the replication stream tells it.
    open: BTreeMap<String, i64>,
}

fn record_key(id: Id) -> String {
    format!("reservation:{}", IDS[id])
}

fn reservation(id: Id) -> ReservationId {
    ReservationId::parse(IDS[id].as_bytes(), KeyStyle::Plain).unwrap()
}

fn sku_name(sku: Sku) -> SkuName {
    SkuName::parse(SKUS[sku].as_bytes(), KeyStyle::Plain).unwrap()
}

fn product(name: &str) -> Product {
    Product::parse(name.as_bytes(), KeyStyle::Plain).unwrap()
}

fn warehouse(place: Sku) -> Warehouse {
    Warehouse::parse(sku_name(place).warehouse().unwrap().as_bytes(), KeyStyle::Plain).unwrap()
}

fn counter(kind: &str, sku: Sku) -> String {
    format!("stock:{kind}:{}", SKUS[sku])
}

fn named(items: &Items) -> Lines {
    items.iter().copied().enumerate().filter(|line| line.1 > 0).collect()
}

fn requested(lines: &Lines) -> Vec<Line> {
    let line =
        |&(sku, units): &(Sku, i64)| Line { sku: sku_name(sku), quantity: Quantity::new(units).unwrap() };
    lines.iter().map(line).collect()
}

/// A token, for the engine and for the model.
fn tokens(
    command: &str,
    given: &str,
    token: Option<u8>,
    asked: &impl Debug,
) -> (Option<Once>, Option<Token>) {
    let Some(token) = token else { return (None, None) };
    let name = OnceName::new(command, given, token.to_string().as_bytes(), KeyStyle::Plain).unwrap();
    let asked = format!("{asked:?}");
    let known = Token { name: name.as_str().to_owned(), asked: asked.clone() };
    (Some(Once { name, asked }), Some(known))
}

/// The skus that are short are all named; in which order, nobody promises to a late commit.
fn in_any_order(answer: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = answer.trim_start_matches("INSUFFICIENT ").split("; ").collect();
    parts.sort_unstable();
    parts
}

/// What a client reads.
fn answer(result: Result<impl ToString, Refusal>) -> String {
    result.map_or_else(|refusal| refusal.to_string(), |answer| answer.to_string())
}

impl History {
    fn begin(setting: &Setting) -> Self {
        let mut master = Simulation::new();
        master.settings.outcome_ttl_ms = setting.outcome_ttl;
        master.settings.alert_cooldown_ms = setting.cooldown;
        master.settings.low_stock_threshold = 3;
        master.settings.alert_ttl_ms = 2000;
        let mut model = Model::default();
        model.now = BEGIN;
        model.outcome_ttl = setting.outcome_ttl;
        model.repairs = setting.repairs;
        master.settings.load_repair = match setting.repairs {
            None => LoadRepair::Auto,
            Some(true) => LoadRepair::Return,
            Some(false) => LoadRepair::Report,
        };
        master.settings.feed_maxlen = 50;
        for (sku, units) in setting.stock.into_iter().enumerate() {
            master.client(&["SET", &counter("available", sku), &units.to_string()]);
            model.available.insert(sku, units);
            model.on_hand.insert(sku, units);
        }
        for place in R_PLACES.into_iter().filter(|_| setting.warehouses) {
            let (_, name) = SKUS[place].split_once('@').unwrap();
            master.client(&["ZADD", "stock:warehouses:R", "1", name]);
            model.warehouses.insert(place, 1);
        }
        master.take_stream();
        let replica = Simulation::replica_of(&master);
        Self { master, replica, model, copies: BTreeMap::new(), open: BTreeMap::new() }
    }

    fn step(&mut self, step: &Step) {
        let shares = step.action.can_share_a_unit();
        if !shares {
            self.finish();
        }
        self.model.is_marked = self.master.data.contains_key(MARK);
        self.act(&step.action);
        if !(shares && step.joined) {
            self.finish();
        }
    }

    fn act(&mut self, action: &Action) {
        let now = self.model.now;
        let at = |life: Option<i64>| life.map(|life| now + life);
        match *action {
            Action::Reserve { id, items, split, life, token, again } => {
                for _ in 0..=usize::from(again) {
                    self.reserve(id, &items, split, life, token);
                }
            }
            Action::Commit { id, late, token, again } => {
                let (once, known) = tokens("commit", IDS[id], token, &late);
                let request = ResolveRequest { id: reservation(id), part: None, late, once };
                for _ in 0..=usize::from(again) {
                    self.command(
                        Some(id),
                        |server| answer(resolve::commit(server, &request).map(|()| "OK")),
                        |model, data| model.commit(id, late, known.as_ref(), |name| data.contains_key(name)),
                    );
                }
            }
            Action::Rollback { id, token, again } => {
                let (once, known) = tokens("rollback", IDS[id], token, &());
                let request = ResolveRequest { id: reservation(id), part: None, late: false, once };
                for _ in 0..=usize::from(again) {
                    self.command(
                        Some(id),
                        |server| answer(resolve::rollback(server, &request).map(|()| "OK")),
                        |model, _| model.rollback(id, known.as_ref()),
                    );
                }
            }
            Action::CommitPart { id, items, token } => {
                self.resolve_part(id, &items, Ending::Committed, token)
            }
            Action::RollbackPart { id, items, token } => {
                self.resolve_part(id, &items, Ending::RolledBack, token);
            }
            Action::Extend { id, life, token } => {
                let (once, known) = tokens("extend", IDS[id], token, &life);
                let request = ExtendRequest { id: reservation(id), lifetime: Lifetime::For(life), once };
                self.command(
                    Some(id),
                    |server| answer(resolve::extend(server, &request)),
                    |model, _| model.extend(id, life, known.as_ref()),
                );
            }
            Action::Adjust { sku, delta, token } => {
                let (once, known) = tokens("adjust", SKUS[sku], token, &delta);
                let request = AdjustRequest { sku: sku_name(sku), delta, once };
                self.command(
                    None,
                    |server| answer(restock::adjust(server, &request)),
                    |model, _| model.adjust(sku, delta, known.as_ref()),
                );
            }
            Action::Set { sku, on_hand, units, if_equal, token } => {
                let (once, known) = tokens("set", SKUS[sku], token, &(on_hand, units, if_equal));
                let measure = if on_hand { Measure::OnHand } else { Measure::Available };
                let request = SetRequest { sku: sku_name(sku), measure, units, if_equal, once };
                let null =
                    |set: Option<i64>| set.map_or_else(|| "null".to_owned(), |units| units.to_string());
                self.command(
                    None,
                    |server| answer(restock::set(server, &request).map(null)),
                    |model, _| model.set(sku, on_hand, units, if_equal, known.as_ref()),
                );
            }
            Action::SetWarehouse { place, priority } => {
                let wanted = [(warehouse(place), priority)];
                self.command(
                    None,
                    |server| answer(warehouses::set(server, &product("R"), &wanted).map(|()| "OK")),
                    |model, _| model.set_warehouse(place, priority),
                );
            }
            Action::RemoveWarehouse { place } => self.command(
                None,
                |server| answer(warehouses::remove(server, &product("R"), &warehouse(place)).map(|()| "OK")),
                |model, _| model.remove_warehouse(place),
            ),
            Action::Transfer { from, to, units, token } => {
                let (once, known) = tokens("transfer", "R", token, &(from, to, units));
                let quantity = Quantity::new(units).unwrap();
                let (product, from_name, to_name) = (product("R"), warehouse(from), warehouse(to));
                let request = TransferRequest { product, from: from_name, to: to_name, quantity, once };
                self.command(
                    None,
                    |server| answer(warehouses::transfer(server, &request).map(|()| "OK")),
                    |model, _| model.transfer(from, to, units, known.as_ref()),
                );
            }
            Action::Repair { sku, force } => {
                let told = |audit: Option<audit::Audit>| {
                    audit.map_or("unknown".to_owned(), |audit| format!("{} {}", audit.reserved, audit.held))
                };
                self.command(
                    None,
                    |server| answer(audit::repair(server, &sku_name(sku), force).map(told)),
                    |model, data| model.repair(sku, force, data.contains_key(MARK)),
                );
            }
            Action::Look { id } => self.look(id),
            Action::Read { id } => {
                self.master.execute(&["GET", &record_key(id)]);
                self.model.find_by_hand(id);
            }
            Action::Wait { ms } => {
                self.master.advance(ms);
                self.replica.advance(ms);
                self.model.now += ms;
            }
            Action::Sweep => {
                let is_alone = self.master.data.contains_key(MARK);
                self.master.sweep();
                self.model.sweep(is_alone);
            }
            Action::Delete { id } => {
                self.master.execute(&["DEL", &record_key(id)]);
                self.model.take_by_hand(id);
            }
            Action::SetForeign { id, life } => {
                match life {
                    Some(_) => self.set(&record_key(id), r#"{"cart":77}"#, at(life)),
                    // Of another type than the module's records.
                    None => self.master.execute(&["HSET", &record_key(id), "cart", "77"]),
                }
                self.model.put_by_hand(id, None, at(life));
            }
            Action::Restore { id, life } => {
                if let Some((json, held)) =
                    self.copies.get(&id).filter(|_| self.model.can_be_put(id)).cloned()
                {
                    self.set(&record_key(id), &json, at(life));
                    self.model.put_by_hand(id, Some(held), at(life));
                }
            }
            Action::RenameAway { id } => {
                self.master.execute(&["RENAME", &record_key(id), &format!("backup:{}", IDS[id])]);
                if let Some(slot) = self.model.take_by_hand(id) {
                    self.model.backups.insert(id, slot);
                }
            }
            Action::RenameBack { id } => self.rename_back(id),
            Action::MoveDeadline { id, life } => {
                let is_ours = self.model.slots.get(&id).is_some_and(|slot| !slot.foreign);
                if is_ours {
                    match at(life) {
                        Some(at) => {
                            self.master.execute(&["PEXPIREAT", &record_key(id), &at.to_string()]);
                        }
                        None => self.master.execute(&["PERSIST", &record_key(id)]),
                    }
                    self.model.set_ttl_by_hand(id, at(life));
                }
            }
            Action::Evict { id } => {
                self.master.execute(&["EVICT", &record_key(id)]);
                self.model.evict(id);
            }
            Action::ScriptCommit { id } => self.script(id, false),
            Action::ScriptRollback { id } => self.script(id, true),
            Action::HoldElsewhere { sku, units } => {
                let there = if units > 0 { &self.model.available } else { &self.model.reserved };
                let there = there.get(&sku).copied().unwrap_or(0);
                let units = units.clamp(-there.max(0), there.max(0));
                if units != 0 {
                    let (taken, held) = ((-units).to_string(), units.to_string());
                    self.master.execute(&["INCRBY", &counter("available", sku), &taken]);
                    self.master.execute(&["INCRBY", &counter("reserved", sku), &held]);
                    self.master.execute(&["SET", "hold:77", &held]);
                    self.model.count_by_hand(sku, -units, units);
                }
            }
            Action::Restock { sku, units } => {
                self.master.execute(&["INCRBY", &counter("available", sku), &units.to_string()]);
                self.model.count_by_hand(sku, units, 0);
            }
            Action::RankByHand { place, priority } => {
                let warehouse = warehouse(place);
                let words = ["ZADD", "stock:warehouses:R", &priority.to_string(), warehouse.as_str()];
                self.master.execute(&words);
                self.model.warehouses.insert(place, priority);
            }
            Action::UnrankByHand { place } => {
                self.master.execute(&["ZREM", "stock:warehouses:R", warehouse(place).as_str()]);
                self.model.warehouses.remove(&place);
            }
            Action::DropCounter { sku, of_available } => {
                let kind = if of_available { "available" } else { "reserved" };
                self.master.execute(&["DEL", &counter(kind, sku)]);
                self.model.drop_counter(sku, of_available);
            }
            Action::ForgetOutcome { id } => {
                self.master.execute(&["DEL", &format!("inventory:outcome:{}", IDS[id])]);
                self.model.forget_outcome(id);
            }
            Action::Restart { from_rdb } => {
                self.master.restart(from_rdb);
                let foreign =
                    |slots: &BTreeMap<Id, Slot>, id| slots.get(&id).is_some_and(|slot| slot.foreign);
                let before = self.model.slots.clone();
                self.model.restart(from_rdb);
                for id in
                    (0..IDS.len()).filter(|id| foreign(&before, *id) && !foreign(&self.model.slots, *id))
                {
                    // Nothing tells any more that its id had ended: it counts again.
                    self.open.insert(IDS[id].to_owned(), 1);
                }
                self.replica = Simulation::replica_of(&self.master);
            }
            Action::Failover => {
                self.replica.change_role();
                self.master.change_role();
                std::mem::swap(&mut self.master, &mut self.replica);
                self.model.fail_over();
            }
        }
    }

    fn reserve(&mut self, id: Id, items: &Items, split: Split, life: i64, token: Option<u8>) {
        let lines = named(items);
        if lines.is_empty() {
            return;
        }
        let (once, known) = tokens("reserve", IDS[id], token, items);
        let request = ReserveRequest {
            id: reservation(id),
            lifetime: Lifetime::For(life),
            data: None,
            split,
            items: requested(&lines),
            once,
        };
        self.command(
            Some(id),
            |server| {
                let reserved = reserve(server, &request);
                if let Ok(reserved) = &reserved {
                    assert_eq!(reserved.id, request.id, "another reservation was answered");
                }
                answer(reserved.map(|_| "OK"))
            },
            |model, data| {
                model.reserve(id, &lines, split, life, known.as_ref(), |name| data.contains_key(name))
            },
        );
    }

    fn resolve_part(&mut self, id: Id, items: &Items, ending: Ending, token: Option<u8>) {
        let lines = named(items);
        if lines.is_empty() {
            return;
        }
        let (once, known) = tokens(ending.name(), IDS[id], token, items);
        let part = Some(requested(&lines));
        let request = ResolveRequest { id: reservation(id), part, late: false, once };
        self.command(
            Some(id),
            |server| {
                let resolved = match ending {
                    Ending::Committed => resolve::commit(server, &request),
                    _ => resolve::rollback(server, &request),
                };
                answer(resolved.map(|()| "OK"))
            },
            |model, _| model.resolve_part(id, &lines, ending, known.as_ref()),
        );
    }

    /// Runs a command of the module and compares its answer with the model's. One that changes nothing of its own
    /// replicates nothing of its own, and nothing at all where nothing was to settle.
    fn command(
        &mut self,
        id: Option<Id>,
        run: impl FnOnce(&mut Simulation) -> String,
        expect: impl FnOnce(&mut Model, &Data) -> Expected,
    ) {
        let was_quiet = self.model.is_quiet(id);
        let (before, sent, told) =
            (self.master.data.clone(), self.master.unit_so_far().len(), self.master.events.len());
        let answer = run(&mut self.master);
        let expected = expect(&mut self.model, &self.master.data);
        // Of most refusals the model knows the code alone.
        let is_a_code = !expected.answer.contains(' ') && answer.contains(' ');
        let said = if is_a_code { answer.split(' ').next().unwrap() } else { &answer };
        assert_eq!(in_any_order(said), in_any_order(&expected.answer), "{answer}");
        if let Some(id) = id
            && let Some(json) = self.master.stored(&record_key(id))
            && let Some(held) = self.model.slots.get(&id).and_then(|slot| slot.record.clone())
        {
            self.copies.insert(id, (json.to_owned(), held));
        }
        let sent = &self.master.unit_so_far()[sent..];
        let own = sent.iter().filter(|command| command[0] == "INV.APPLY").count();
        assert_eq!(own, usize::from(expected.writes), "{answer} replicated {sent:?}");
        if !expected.writes && was_quiet {
            // Opening an outcome whose time is over takes it away: the server's doing.
            let is_over = |name: &str| before[name].until.is_some_and(|until| until < self.master.clock);
            let is_expiry = |command: &Command| command[0] == "DEL" && is_over(&command[1]);
            assert!(sent.iter().all(is_expiry), "{answer} replicated {sent:?}");
            let mut events = self.master.events[told..].iter();
            assert!(events.all(|(event, _)| event == "expired"), "{answer} told of changes");
            let mut unchanged = before.clone();
            unchanged.retain(|name, _| !is_over(name) || self.master.data.contains_key(name));
            assert_eq!(self.master.data, unchanged, "{answer} changed keys");
        }
    }

    fn look(&mut self, id: Id) {
        let found = match queries::get(&mut self.master, &reservation(id)) {
            Ok(view) => view.map(|view| view.state),
            Err(refusal) => Some(refusal.code()),
        };
        assert_eq!(found, self.model.get(id), "INV.GET {}", IDS[id]);
        self.model.find_by_hand(id);
        for (sku, name) in SKUS.iter().enumerate().filter(|(_, name)| !name.contains('@')) {
            let view = queries::stock(&mut self.master, &[product(name)]).unwrap().remove(0).unwrap();
            let units = view.map(|view| (view.units.available, view.units.reserved));
            assert_eq!(units, self.model.stock(sku), "INV.STOCK {name}");
        }
        for (sku, name) in SKUS.iter().enumerate() {
            let audit = audit::audit(&mut self.master, &sku_name(sku)).unwrap();
            let reserved = self.model.reserved.get(&sku).copied().unwrap_or(0);
            assert_eq!((audit.reserved, audit.held), (reserved, self.model.held(sku)), "INV.AUDIT {name}");
        }
        let page =
            audit::audit_scan(&mut self.master, audit::AuditCursor::START, usize::MAX, |_| true).unwrap();
        assert_eq!(page.next, None);
        let told =
            |found: &audit::Finding| (found.audit.sku.as_str().to_owned(), found.audit.drift(), found.stray);
        let found: Vec<(String, i64, i64)> = page.found.iter().map(told).collect();
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), self.model.wrong(), "INV.AUDITSCAN");
        assert_eq!(found.len(), self.model.wrong().len(), "INV.AUDITSCAN lists {found:?}");
        let query = queries::ScanQuery { from: None, count: usize::MAX, product: None };
        let (next, live) = queries::scan(&mut self.master, &query, |_| true).unwrap();
        assert_eq!(next, None);
        let live: Vec<&str> = live.iter().map(ReservationId::as_str).collect();
        assert_eq!(live.iter().copied().collect::<BTreeSet<_>>(), self.model.live(), "INV.SCAN");
        let query = AlertQuery { product: None, kind: None, since: 0, before: None, count: usize::MAX };
        let listed = alerts::list(&mut self.master, &query, |_| true);
        let is_alert = |(name, entry): &(&String, &Entry)| {
            name.starts_with("alert:") && entry.until.is_none_or(|until| self.master.clock <= until)
        };
        assert_eq!(listed.len(), self.master.data.iter().filter(is_alert).count(), "INV.ALERTS");
        assert!(listed.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp));
    }

    fn set(&mut self, name: &str, value: &str, until: Option<i64>) {
        match until {
            Some(until) => self.master.execute(&["SET", name, value, "PXAT", &until.to_string()]),
            None => self.master.execute(&["SET", name, value]),
        }
    }

    fn rename_back(&mut self, id: Id) {
        let (from, to) = (format!("backup:{}", IDS[id]), record_key(id));
        if !self.model.can_be_put(id) {
            return;
        }
        self.master.execute(&["RENAME", &from, &to]);
        if let Some(slot) = self.model.backups.remove(&id)
            && self.model.is_readable(&slot)
        {
            self.model.put_by_hand(id, slot.record, slot.until);
        }
    }

    /// The scripts of a shop, run on a record of the module.
    fn script(&mut self, id: Id, rollback: bool) {
        let Some((_, held)) = self.copies.get(&id) else { return };
        for (sku, units) in held.lines.clone() {
            if rollback {
                self.master.execute(&["INCRBY", &counter("available", sku), &units.to_string()]);
            }
            self.master.execute(&["DECRBY", &counter("reserved", sku), &units.to_string()]);
            self.model.count_by_hand(sku, if rollback { units } else { 0 }, -units);
        }
        self.master.execute(&["DEL", &record_key(id)]);
        self.model.take_by_hand(id);
    }

    /// The end of a unit of work: everything is compared.
    fn finish(&mut self) {
        let is_alone = self.master.data.contains_key(MARK);
        self.master.finish();
        let ledger = self.master.memory();
        let written = self.model.written.clone();
        self.model.finish(is_alone, |id| ledger.pending.find(&reservation(id)).is_some());
        for sku in written {
            let reserved = self.model.reserved.get(&sku).copied().unwrap_or(0);
            if reserved != self.model.held(sku) {
                let is_marked = self.master.data.contains_key(MARK);
                assert!(!is_marked, "another program's units of {} may be given away", SKUS[sku]);
            }
        }
        let stream = self.master.take_stream();
        self.count_endings(&stream);
        self.replica.receive(&stream);
        self.compare_keys();
        self.compare_memory();
        assert_eq!(self.replica.data, self.master.data, "the replica differs from its master");
    }

    fn compare_keys(&self) {
        let (master, model) = (&self.master, &self.model);
        for (sku, name) in SKUS.iter().enumerate() {
            let available = master.number(&counter("available", sku));
            let reserved = master.number(&counter("reserved", sku));
            assert_eq!(available, model.available.get(&sku).copied(), "available units of {name}");
            assert_eq!(reserved, model.reserved.get(&sku).copied(), "reserved units of {name}");
            assert!(available.unwrap_or(0) >= 0, "available units of {name} are negative");
            let on_hand = available.unwrap_or(0) + reserved.unwrap_or(0);
            assert_eq!(on_hand, model.on_hand[&sku], "units of {name} were lost or made");
        }
        for (id, name) in IDS.iter().enumerate() {
            let is_there = master.data.contains_key(&record_key(id));
            assert_eq!(is_there, model.slots.contains_key(&id), "reservation:{name} is there");
            let key = format!("inventory:outcome:{name}");
            let entry = master.data.get(&key).filter(|entry| entry.until.unwrap() >= master.clock);
            let json = entry.and_then(|_| master.stored(&key));
            let ending = json.map(|json| {
                Outcome::from_json(&reservation(id), json.as_bytes(), KeyStyle::Plain).unwrap().ending
            });
            assert_eq!(ending, model.ending(id), "outcome of {name}");
        }
    }

    fn compare_memory(&self) {
        let (master, replica, model) = (self.master.memory(), self.replica.memory(), &self.model);
        for (sku, name) in SKUS.iter().enumerate() {
            let name_of = sku_name(sku);
            assert_eq!(master.holds.held_by_others(&name_of, 0), model.held(sku), "units of {name} held");
            let held = model.held_by_records(sku);
            assert_eq!(
                replica.holds.held_by_others(&name_of, 0),
                held,
                "units of {name} held, by the replica"
            );
        }
        for ledger in [master, replica] {
            assert_eq!(ledger.holds.count(), model.live_count(), "live reservations");
            assert_eq!(ledger.foreign.count(), model.foreign_count(), "foreign records");
        }
        assert_eq!(master.pending.len(), model.pending_count(), "pending reservations");
    }

    /// Each reservation ends at most once, by what the copies are told, whatever the model thinks.
    fn count_endings(&mut self, stream: &[Vec<Command>]) {
        for command in stream.iter().flatten() {
            match command.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["INV.APPLY", arguments @ ..] => {
                    let arguments: Vec<&[u8]> = arguments.iter().map(|word| word.as_bytes()).collect();
                    for effect in effects::parse(&arguments).unwrap().1 {
                        match effect {
                            Effect::Hold { record, .. } => {
                                self.open.insert(record.id.as_str().to_owned(), 1);
                            }
                            Effect::End { id, .. } => self.ends(id.as_str()),
                            _ => {}
                        }
                    }
                }
                ["SET", name, ..] if name.starts_with("inventory:outcome:") => {
                    self.ends(name.strip_prefix("inventory:outcome:").unwrap());
                }
                ["SET", name, ..] | ["RENAME", _, name] if name.starts_with("reservation:") => {
                    // Other hands made a reservation, if it counts as one.
                    let id = IDS.iter().position(|id| *name == format!("reservation:{id}")).unwrap();
                    if self.model.slots.get(&id).is_some_and(|slot| !slot.foreign) {
                        self.open.insert(IDS[id].to_owned(), 1);
                    }
                }
                _ => {}
            }
        }
    }

    fn ends(&mut self, id: &str) {
        let open = self.open.entry(id.to_owned()).or_default();
        *open -= 1;
        assert!(*open >= 0, "reservation {id} ended twice");
    }
}

fn play(setting: &Setting, steps: &[Step]) {
    let mut history = History::begin(setting);
    for step in steps {
        history.step(step);
    }
    history.finish();
    // A year later nothing is held but what has no deadline.
    history.step(&Step { action: Action::Wait { ms: 365 * 86_400_000 }, joined: false });
    history.step(&Step { action: Action::Sweep, joined: false });
    assert_eq!(history.master.memory().holds.count(), 0, "reservations that never end");
    for (sku, name) in SKUS.iter().enumerate() {
        assert_eq!(history.model.held(sku), 0, "units of {name} that nobody gives back");
    }
}

fn id() -> impl Strategy<Value = Id> {
    0..IDS.len()
}

fn life() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 1..50_i64, 1 => 50..5000_i64]
}

fn maybe_life() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![3 => life().prop_map(Some), 1 => Just(None)]
}

fn items() -> impl Strategy<Value = Items> {
    let units = || prop_oneof![2 => Just(0_i64), 3 => 1..7_i64];
    [units(), units(), units(), units(), units(), units()]
}

fn token() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![4 => Just(None), 1 => (0..2_u8).prop_map(Some)]
}

/// Units that come or go; now and then as many as there can be.
fn delta() -> impl Strategy<Value = i64> {
    prop_oneof![9 => -9..10_i64, 1 => (0..20_i64).prop_map(|less| MAX_EXACT - less)]
}

fn split() -> impl Strategy<Value = Split> {
    prop::sample::select(vec![Split::Priority, Split::Fewest, Split::None])
}

fn place() -> impl Strategy<Value = Sku> {
    prop::sample::select(&R_PLACES[..])
}

/// What clients do, and what time does to it.
fn commands() -> impl Strategy<Value = Action> {
    let sku = || 0..SKUS.len();
    prop_oneof![
        6 => (id(), items(), split(), life(), token(), any::<bool>()).prop_map(
            |(id, items, split, life, token, again)| Action::Reserve { id, items, split, life, token, again }
        ),
        3 => (id(), any::<bool>(), token(), any::<bool>())
            .prop_map(|(id, late, token, again)| Action::Commit { id, late, token, again }),
        2 => (id(), token(), any::<bool>())
            .prop_map(|(id, token, again)| Action::Rollback { id, token, again }),
        2 => (id(), items(), token()).prop_map(|(id, items, token)| Action::CommitPart { id, items, token }),
        2 => (id(), items(), token()).prop_map(|(id, items, token)| Action::RollbackPart { id, items, token }),
        2 => (id(), life(), token()).prop_map(|(id, life, token)| Action::Extend { id, life, token }),
        1 => (sku(), delta(), token()).prop_map(|(sku, delta, token)| Action::Adjust { sku, delta, token }),
        1 => (sku(), any::<bool>(), 0..15_i64, prop::option::weighted(0.3, 0..15_i64), token()).prop_map(
            |(sku, on_hand, units, if_equal, token)| Action::Set { sku, on_hand, units, if_equal, token }
        ),
        1 => (place(), 0..3_i64).prop_map(|(place, priority)| Action::SetWarehouse { place, priority }),
        1 => place().prop_map(|place| Action::RemoveWarehouse { place }),
        1 => (place(), place(), 1..9_i64, token())
            .prop_map(|(from, to, units, token)| Action::Transfer { from, to, units, token }),
        1 => (sku(), any::<bool>()).prop_map(|(sku, force)| Action::Repair { sku, force }),
        1 => id().prop_map(|id| Action::Look { id }),
        1 => id().prop_map(|id| Action::Read { id }),
        3 => (1..60_i64).prop_map(|ms| Action::Wait { ms }),
        1 => (1..5000_i64).prop_map(|ms| Action::Wait { ms }),
        2 => Just(Action::Sweep),
    ]
}

/// What other hands and the operator do.
fn interference() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => id().prop_map(|id| Action::Delete { id }),
        1 => (id(), maybe_life()).prop_map(|(id, life)| Action::SetForeign { id, life }),
        2 => (id(), maybe_life()).prop_map(|(id, life)| Action::Restore { id, life }),
        2 => id().prop_map(|id| Action::RenameAway { id }),
        2 => id().prop_map(|id| Action::RenameBack { id }),
        2 => (id(), maybe_life()).prop_map(|(id, life)| Action::MoveDeadline { id, life }),
        2 => id().prop_map(|id| Action::Evict { id }),
        2 => id().prop_map(|id| Action::ScriptCommit { id }),
        2 => id().prop_map(|id| Action::ScriptRollback { id }),
        2 => (0..SKUS.len(), 1..10_i64).prop_map(|(sku, units)| Action::Restock { sku, units }),
        2 => (0..SKUS.len(), -5..6_i64).prop_map(|(sku, units)| Action::HoldElsewhere { sku, units }),
        1 => (place(), 0..3_i64).prop_map(|(place, priority)| Action::RankByHand { place, priority }),
        1 => place().prop_map(|place| Action::UnrankByHand { place }),
        1 => (0..SKUS.len(), any::<bool>())
            .prop_map(|(sku, of_available)| Action::DropCounter { sku, of_available }),
        1 => id().prop_map(|id| Action::ForgetOutcome { id }),
        1 => any::<bool>().prop_map(|from_rdb| Action::Restart { from_rdb }),
        1 => Just(Action::Failover),
    ]
}

fn steps(action: impl Strategy<Value = Action>) -> impl Strategy<Value = Vec<Step>> {
    let step = (action, prop::bool::weighted(0.3)).prop_map(|(action, joined)| Step { action, joined });
    prop::collection::vec(step, 1..60)
}

fn setting() -> impl Strategy<Value = Setting> {
    let outcome_ttl = prop_oneof![2 => Just(3_600_000_i64), 1 => Just(0), 1 => 1..200_i64];
    let cooldown = prop_oneof![Just(0_i64), Just(500)];
    let stock = 0..20_i64;
    let stock = [(); SKUS.len()].map(|()| stock.clone());
    let repairs = prop::option::of(any::<bool>());
    let setting = (stock, any::<bool>(), outcome_ttl, cooldown, repairs);
    setting.prop_map(|(stock, warehouses, outcome_ttl, cooldown, repairs)| Setting {
        stock,
        warehouses,
        outcome_ttl,
        cooldown,
        repairs,
    })
}

pub fn config(cases: u32) -> ProptestConfig {
    // `PROPTEST_CASES=100000` looks for longer.
    let cases =
        if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { cases };
    ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/engine/regressions.txt"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1500))]

    #[test]
    fn clients_and_time_alone_lead_to_what_the_model_says(setting in setting(), steps in steps(commands())) {
        play(&setting, &steps);
    }

    #[test]
    fn other_hands_restarts_and_failovers_lead_to_what_the_model_says(
        setting in setting(),
        steps in steps(prop_oneof![3 => commands(), 2 => interference()]),
    ) {
        play(&setting, &steps);
    }
}

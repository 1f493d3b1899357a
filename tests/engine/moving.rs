//! A slot moves from one node of a cluster to another, key by key, while its reservations fall due.
//!
//! The random histories at the end draw their lines from `common/lines.rs`, with these lines for the move:
//!
//! | line | meaning |
//! | --- | --- |
//! | `MOVE` | The slot becomes migrating at its owner and importing at the other node. |
//! | `MIGRATE number` | The owner sends one of its keys to the other node. |
//! | `COPY number` | The same for a record, but the acknowledgement is lost, so that both nodes have the key. |
//! | `ARRIVE` | The remaining keys are sent, and the other node becomes the owner. |
//! | `CALLOFF` | All keys return to the owner, and the move ends. |
//! | `UNASSIGN`, `ASSIGN` | No node owns the slot; its last owner owns it again. |
//! | `NODE number BUSY`, `NODE number GO` | The jobs of a node get no time; they get time again. |
//! | `NODE number RESTART` | A node restarts with the keys that it had. |
//! | `NODE number EXPIRE number` | A node opens one of its keys, as the server's own expiry does. |
//!
//! The naive model is not used here. It knows one server, and what a node may settle during a move depends on which keys it
//! has. So these histories check sums over both nodes: no unit is lost or doubled, and every reservation ends.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redis_inventory::engine::audit::audit;
use redis_inventory::engine::keyspace::{LoadRepair, Tally};
use redis_inventory::inventory::cluster_slot::{Slot, SlotState};
use redis_inventory::inventory::key::Key;
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::sku::{KeyStyle, Sku};

use super::calls::call;
use super::dice::Dice;
use super::histories::{Script, config};
use super::lines::{CUSTOMER_CALLS, Life, Line, Lines, Mix, PLACES};
use super::simulation::Simulation;

const STOCK: i64 = 100;

/// W and its warehouses. All their keys are in one slot.
const SKUS: &[&str] = &["{W}@north", "{W}@south", "{W}@east", "W"];

/// Two nodes, and the state of the slot of W.
struct Shards {
    nodes: [Simulation; 2],
    owner: usize,
    moving: bool,
    /// No node owns the slot.
    is_unassigned: bool,
    /// A key may have been on both nodes, or have returned before its node had processed the note that it left. The second
    /// release of such a reservation finds no units.
    is_twice: bool,
    was_copied: bool,
    was_busy: bool,
}

fn node() -> Simulation {
    let mut node = Simulation::new();
    node.settings.low_stock_threshold = -1;
    node.settings.in_cluster = true;
    node.style = KeyStyle::Tagged;
    // A REPLACE without a lifetime may make a reservation. It ends before the script does.
    node.settings.hold_ttl_ms = 5000;
    node
}

fn sku(name: &str) -> Sku {
    Sku::parse(name.as_bytes(), KeyStyle::Tagged).unwrap()
}

impl Shards {
    /// W is not kept in warehouses.
    fn new() -> Self {
        let mut shards = Self {
            nodes: [node(), node()],
            owner: 0,
            moving: false,
            is_unassigned: false,
            is_twice: false,
            was_copied: false,
            was_busy: false,
        };
        shards.nodes[0].client(&["SET", "stock:available:{W}", &STOCK.to_string()]);
        shards.tell_states();
        shards
    }

    /// W is kept in three warehouses, of which no two have enough for the largest order.
    fn with_warehouses() -> Self {
        let mut shards = Self::new();
        let owner = &mut shards.nodes[0];
        owner.client(&["DEL", "stock:available:{W}"]);
        for (name, units) in PLACES.iter().zip(["15", "25", "60"]) {
            owner.client(&["ZADD", "stock:warehouses:{W}", "1", name]);
            owner.client(&["SET", &format!("stock:available:{{W}}@{name}"), units]);
        }
        shards
    }

    /// Tells each node the state of the slot.
    fn tell_states(&mut self) {
        let slot = Slot::of("W");
        let states = match (self.moving, self.is_unassigned) {
            (true, _) => [SlotState::Migrating, SlotState::Importing],
            (false, true) => [SlotState::Unassigned; 2],
            (false, false) => [SlotState::Stable, SlotState::Elsewhere],
        };
        let (owner, other) = (self.owner, 1 - self.owner);
        self.nodes[owner].slots.insert(slot, states[0]);
        self.nodes[other].slots.insert(slot, states[1]);
    }

    /// The owner answers a call of the module.
    fn call(&mut self, words: &[&str]) -> Result<String, Refusal> {
        self.nodes[self.owner].command("W", |node| call(node, words))
    }

    fn reserve(&mut self, number: u8, units: i64, life: i64) -> Result<String, Refusal> {
        let line = format!("INV.RESERVE {{W}}:R{number} PX {life} ITEMS W {units}");
        self.call(&line.split(' ').collect::<Vec<_>>())
    }

    /// `CLUSTER DELSLOTS` at the owner, or `ADDSLOTS`.
    fn unassign(&mut self, is_unassigned: bool) {
        self.is_unassigned = is_unassigned;
        self.tell_states();
    }

    fn begin(&mut self) {
        self.moving = true;
        self.tell_states();
    }

    /// The names of the keys that the owner still has.
    fn left(&self) -> Vec<String> {
        self.nodes[self.owner].data.keys().cloned().collect()
    }

    /// This node and the other one.
    fn both(&mut self, node: usize) -> (&mut Simulation, &mut Simulation) {
        let [one, other] = &mut self.nodes;
        if node == 0 { (one, other) } else { (other, one) }
    }

    fn migrate(&mut self, name: &str) {
        let (from, to) = self.both(self.owner);
        from.migrate(name, to);
    }

    /// All keys return, and the owner keeps the slot.
    fn call_off(&mut self) {
        self.is_twice = true;
        let other = 1 - self.owner;
        while let Some(name) = self.nodes[other].data.keys().next().cloned() {
            let (from, to) = self.both(other);
            from.migrate(&name, to);
        }
        self.moving = false;
        self.tell_states();
    }

    /// The remaining keys are sent, and the other node becomes the owner.
    fn end(&mut self) {
        while let Some(name) = self.left().first() {
            self.migrate(name);
        }
        self.owner = 1 - self.owner;
        self.moving = false;
        self.tell_states();
    }

    fn pass(&mut self, ms: i64) {
        let mut left = ms;
        while left > 0 {
            // The cron runs ten times a second.
            let step = left.min(100);
            self.nodes.iter_mut().for_each(|node| node.advance(step));
            self.sweep();
            left -= step;
        }
    }

    fn sweep(&mut self) {
        self.nodes.iter_mut().for_each(Simulation::sweep);
    }

    fn sum(&self, key: Key<'_>) -> i64 {
        let name = key.name(KeyStyle::Tagged);
        self.nodes.iter().map(|node| node.number(&name).unwrap_or(0)).sum()
    }

    /// The available and the reserved units of a sku on both nodes.
    fn counters_of(&self, name: &str) -> (i64, i64) {
        let sku = sku(name);
        (self.sum(Key::Available(&sku)), self.sum(Key::Reserved(&sku)))
    }

    fn counters(&self) -> (i64, i64) {
        self.counters_of("W")
    }

    /// The available and reserved units of each sku together.
    fn on_hand(&self) -> BTreeMap<&'static str, i64> {
        let units = |name: &'static str| {
            let (available, reserved) = self.counters_of(name);
            (name, available + reserved)
        };
        SKUS.iter().copied().map(units).collect()
    }

    /// The units of a sku that the nodes know to be held.
    fn held(&self, name: &str) -> i64 {
        let sku = sku(name);
        self.nodes.iter().map(|node| node.memory().holds.held_by_others(&sku, 0)).sum()
    }

    fn unexplained(&self) -> i64 {
        self.nodes.iter().map(|node| node.total(Tally::UnexplainedUnits)).sum()
    }
}

#[test]
fn a_slot_that_moves_takes_its_deadlines_along() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 60_000).unwrap();
    shards.begin();
    shards.end();
    assert_eq!(shards.nodes[0].memory().holds.count(), 0);
    assert_eq!(shards.nodes[1].memory().holds.count(), 1);
    shards.pass(60_200);
    assert_eq!(shards.counters(), (STOCK, 0));
}

#[test]
fn a_reservation_that_falls_due_after_its_counters_have_left_is_ended_by_the_new_owner() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    shards.begin();
    shards.migrate("stock:reserved:{W}");
    shards.pass(3000);
    assert!(shards.left().contains(&"reservation:{W}:R1".to_owned()), "{:?}", shards.left());
    shards.end();
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
}

#[test]
fn a_record_that_the_server_expires_before_its_counters_arrive_waits_for_them() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 2000).unwrap();
    shards.begin();
    shards.migrate("reservation:{W}:R1");
    shards.nodes[1].advance(2001);
    // The server's own expiry opens the key.
    shards.nodes[1].client(&["GET", "reservation:{W}:R1"]);
    shards.nodes[0].advance(2001);
    shards.pass(1000);
    assert_eq!(shards.counters(), (STOCK - 5, 5));
    shards.end();
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
}

#[test]
fn the_first_command_on_a_slot_that_is_stable_again_releases_overdue_reservations() {
    let mut shards = Shards::new();
    shards.reserve(1, STOCK, 2000).unwrap();
    shards.begin();
    shards.migrate("reservation:{W}:R1");
    shards.pass(3000);
    shards.end();
    // The cron has not run yet.
    shards.reserve(2, STOCK, 1000).unwrap();
    assert_eq!(shards.counters(), (0, STOCK));
}

#[test]
fn a_sweep_asks_once_about_a_moving_slot_and_marks_its_records_in_slices_when_it_is_stable() {
    let mut shards = Shards::with_warehouses();
    for number in 0..100 {
        shards.reserve(number, 1, 60_000).unwrap();
    }
    let is_record = |name: &String| name.starts_with("reservation:");
    shards.begin();
    for name in shards.left() {
        shards.migrate(&name);
    }
    let before = shards.nodes[1].slot_questions;
    shards.nodes[1].sweep();
    let questions = shards.nodes[1].slot_questions - before;
    assert!((1..10).contains(&questions), "{questions} questions about one slot");
    shards.end();
    let node = &mut shards.nodes[1];
    for place in PLACES {
        node.client(&["SET", &format!("stock:reserved:{{W}}@{place}"), "0"]);
    }
    let records: Vec<String> = node.data.keys().filter(|name| is_record(name)).cloned().collect();
    let marked = |node: &Simulation| {
        records.iter().filter(|name| node.stored(name).unwrap().contains("restored")).count()
    };
    for slice in 1..=9 {
        assert!(node.sweep_slice(10), "records are left after slice {slice}");
        assert_eq!(marked(node), slice * 10);
    }
    node.sweep();
    assert_eq!(marked(node), 100);
}

#[test]
fn a_sweep_asks_once_about_a_moving_slot_whatever_number_of_its_counters_was_written() {
    let mut node = node();
    node.slots.insert(Slot::of("W"), SlotState::Importing);
    for number in 0..100 {
        node.client(&["SET", &format!("stock:reserved:{{W}}@{number}"), "1"]);
    }
    let before = node.slot_questions;
    node.sweep();
    let questions = node.slot_questions - before;
    assert!((1..10).contains(&questions), "{questions} questions about one slot");
    assert_eq!(node.memory().comparison.drifting_units(), 0);
    node.slots.insert(Slot::of("W"), SlotState::Stable);
    node.sweep();
    assert_eq!(node.memory().comparison.drifting_units(), 100);
}

#[test]
fn a_record_that_the_server_expires_after_its_counters_have_left_follows_them() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    shards.begin();
    shards.migrate("stock:available:{W}");
    shards.nodes.iter_mut().for_each(|node| node.advance(1001));
    shards.nodes[0].client(&["GET", "reservation:{W}:R1"]);
    shards.end();
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
}

#[test]
fn a_move_that_is_called_off_changes_nothing() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    shards.begin();
    shards.migrate("stock:available:{W}");
    shards.pass(2000);
    shards.call_off();
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
}

#[test]
fn a_record_that_has_moved_away_is_not_remembered() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    shards.begin();
    shards.migrate("reservation:{W}:R1");
    assert_eq!(shards.nodes[0].memory().holds.held_by_others(&sku("W"), 0), 0);
    shards.end();
    shards.pass(2000);
    assert_eq!(shards.counters(), (STOCK, 0));
}

#[test]
fn nothing_waits_for_a_due_reservation_that_has_left_with_its_slot() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    shards.begin();
    shards.pass(2000);
    assert!(!shards.nodes[0].memory().waiting.is_empty());
    shards.end();
    shards.sweep();
    assert!(shards.nodes[0].memory().waiting.is_empty());
}

#[test]
fn a_key_that_could_not_be_read_waits_an_hour_for_its_slot() {
    let mut shards = Shards::new();
    shards.begin();
    let node = &mut shards.nodes[0];
    let due = (node.clock - 1).to_string();
    node.client(&["SET", "reservation:{W}:R1", "a due record", "PXAT", &due]);
    for (ms, waits) in [(3_600_000, true), (1, false)] {
        node.advance(ms);
        node.sweep();
        assert_eq!(!node.memory().waiting.is_empty(), waits);
    }
}

/// A node to which the slot of W moves all at once. It has received the counters and one reservation of 5 units, and then
/// receives each command of the old owner.
fn node_that_receives_a_slot_at_once() -> Simulation {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    let [source, mut node] = shards.nodes;
    node.settings.slots_move_at_once = true;
    for name in source.data.keys() {
        // Without a TTL, because this node must not expire any key by itself.
        node.client(&["SET", name, source.stored(name).unwrap()]);
    }
    node.advance(1001);
    node
}

/// Completes the move of the slot.
fn arrive(node: &mut Simulation) {
    node.slots.clear();
    node.sweep();
}

fn counters(node: &Simulation) -> (Option<i64>, Option<i64>) {
    (node.number("stock:available:{W}"), node.number("stock:reserved:{W}"))
}

#[test]
fn no_reservation_ends_before_a_slot_that_moves_all_at_once_has_arrived() {
    let mut node = node_that_receives_a_slot_at_once();
    node.sweep();
    assert_eq!(counters(&node), (Some(STOCK - 5), Some(5)));
    arrive(&mut node);
    assert_eq!(counters(&node), (Some(STOCK), Some(0)));
}

#[test]
fn units_that_the_old_owner_has_returned_are_not_returned_again() {
    let mut node = node_that_receives_a_slot_at_once();
    // The commands of the old owner arrive one by one.
    node.client(&["DEL", "reservation:{W}:R1"]);
    node.client(&["INCRBY", "stock:available:{W}", "5"]);
    node.client(&["DECRBY", "stock:reserved:{W}", "5"]);
    node.client(&["SET", "inventory:outcome:{W}:R1", "{}"]);
    node.sweep();
    arrive(&mut node);
    assert_eq!((counters(&node), node.total(Tally::Expired)), ((Some(STOCK), Some(0)), 0));
}

#[test]
fn units_that_the_old_owner_has_returned_are_not_missed_if_the_outcome_did_not_arrive() {
    let mut node = node_that_receives_a_slot_at_once();
    node.client(&["DEL", "reservation:{W}:R1"]);
    node.client(&["INCRBY", "stock:available:{W}", "5"]);
    node.client(&["DECRBY", "stock:reserved:{W}", "5"]);
    arrive(&mut node);
    assert_eq!((counters(&node), node.total(Tally::UnexplainedUnits)), ((Some(STOCK), Some(0)), 0));
}

#[test]
fn units_that_the_old_owner_could_not_return_are_returned_by_the_new_one() {
    let mut node = node_that_receives_a_slot_at_once();
    node.client(&["DEL", "reservation:{W}:R1"]);
    node.sweep();
    assert_eq!(counters(&node), (Some(STOCK - 5), Some(5)));
    arrive(&mut node);
    assert_eq!((counters(&node), node.total(Tally::Expired)), ((Some(STOCK), Some(0)), 1));
}

#[test]
fn nothing_is_remembered_of_a_slot_whose_move_is_abandoned() {
    let mut node = node_that_receives_a_slot_at_once();
    node.client(&["DEL", "reservation:{W}:R1"]);
    node.client(&["DEL", "stock:available:{W}"]);
    node.client(&["DEL", "stock:reserved:{W}"]);
    node.sweep();
    arrive(&mut node);
    assert_eq!((counters(&node), node.total(Tally::UnexplainedUnits)), ((None, None), 0));
    assert_eq!(node.log, Vec::<String>::new());
}

#[test]
fn units_that_are_due_in_an_unassigned_slot_are_returned_when_the_slot_is_assigned() {
    for slots_move_at_once in [false, true] {
        let mut shards = Shards::new();
        shards.nodes.iter_mut().for_each(|node| node.settings.slots_move_at_once = slots_move_at_once);
        shards.reserve(1, 5, 1000).unwrap();
        shards.reserve(2, 7, 2000).unwrap();
        shards.reserve(3, 9, 1500).unwrap();
        shards.reserve(4, 4, 60_000).unwrap();
        shards.nodes[0].client(&["DEL", "reservation:{W}:R3"]);
        shards.unassign(true);
        shards.pass(1800);
        // The server's own expiry opens one of them.
        shards.nodes[0].client(&["GET", "reservation:{W}:R1"]);
        shards.pass(1000);
        assert_eq!(shards.counters(), (STOCK - 25, 25), "another node may hold units that are unknown here");
        shards.unassign(false);
        shards.pass(200);
        assert_eq!((shards.counters(), shards.unexplained()), ((STOCK - 4, 4), 0), "{slots_move_at_once}");
        assert_eq!(shards.nodes[0].total(Tally::Expired), 3);
        assert_eq!(shards.nodes[0].log, Vec::<String>::new());
        for number in [1, 2, 3] {
            let outcome = shards.nodes[0].stored(&format!("inventory:outcome:{{W}}:R{number}")).unwrap();
            assert!(outcome.contains("expired"), "{outcome}");
        }
    }
}

#[test]
fn units_that_are_due_in_an_unassigned_slot_are_not_lost_at_a_restart() {
    let mut shards = Shards::new();
    shards.nodes[0].settings.slots_move_at_once = true;
    shards.reserve(1, 5, 1000).unwrap();
    shards.unassign(true);
    shards.pass(1200);
    shards.nodes[0].client(&["GET", "reservation:{W}:R1"]);
    shards.nodes[0].restart(true);
    shards.unassign(false);
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
}

#[test]
fn units_that_are_due_in_a_slot_that_left_without_its_keys_are_returned_when_it_comes_back() {
    let mut shards = Shards::new();
    shards.nodes[0].settings.slots_move_at_once = true;
    shards.reserve(1, 5, 1000).unwrap();
    shards.nodes[0].slots.insert(Slot::of("W"), SlotState::Elsewhere);
    shards.pass(1200);
    shards.nodes[0].client(&["GET", "reservation:{W}:R1"]);
    shards.pass(200);
    assert_eq!(shards.counters(), (STOCK - 5, 5));
    shards.nodes[0].slots.insert(Slot::of("W"), SlotState::Stable);
    shards.pass(200);
    assert_eq!((shards.counters(), shards.unexplained()), ((STOCK, 0), 0));
    assert_eq!(shards.nodes[0].total(Tally::Expired), 1);
}

#[test]
fn an_unassigned_slot_is_repaired_when_it_is_assigned() {
    let mut shards = Shards::new();
    shards.nodes[0].settings.load_repair = LoadRepair::Return;
    shards.nodes[0].client(&["SET", "stock:reserved:{W}", "5"]);
    shards.unassign(true);
    shards.nodes[0].restart(false);
    shards.pass(300);
    assert_eq!(shards.counters(), (STOCK, 5));
    shards.unassign(false);
    shards.pass(200);
    assert_eq!(shards.counters(), (STOCK + 5, 0));
}

#[test]
fn a_record_that_is_overdue_when_it_appears_is_ended_by_the_cron() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 1000).unwrap();
    let record = shards.nodes[0].stored("reservation:{W}:R1").unwrap().to_owned();
    let node = &mut shards.nodes[0];
    let until = (node.clock + 1000).to_string();
    node.client(&["DEL", "reservation:{W}:R1"]);
    node.advance(1001);
    node.client(&["SET", "reservation:{W}:R1", &record, "PXAT", &until]);
    node.sweep();
    assert_eq!(node.stored("reservation:{W}:R1"), None);
    assert_eq!(counters(node), (Some(STOCK), Some(0)));
}

#[test]
fn an_audit_right_after_a_burst_of_arrivals_asks_for_a_retry() {
    let mut shards = Shards::new();
    shards.reserve(1, 5, 60_000).unwrap();
    let [source, mut node] = shards.nodes;
    node.slots.clear();
    let record = source.stored("reservation:{W}:R1").unwrap();
    let sku = sku("W");
    node.client(&["SET", "stock:reserved:{W}", "5"]);
    node.unit(|node| {
        node.execute(&["SET", "reservation:{W}:R1", record]);
        (0..100).for_each(|number| node.execute(&["SET", &format!("reservation:{{Q}}:R{number}"), "x"]));
        node.slot = Some(Slot::of("W"));
        assert!(matches!(audit(node, &sku), Err(Refusal::SlotMoving(_))));
        node.slot = None;
    });
    assert_eq!(node.command("W", |node| audit(node, &sku)).unwrap().drift(), 0);
}

// --- random histories ---

const MIX: Mix<'static> = Mix {
    calls: 26,
    time: 14,
    hands: 0,
    operator: 36,
    orders: &[
        (4, "MOVE"),
        (12, "MIGRATE #"),
        (2, "COPY #"),
        (2, "ARRIVE"),
        (2, "CALLOFF"),
        (1, "UNASSIGN"),
        (1, "ASSIGN"),
        (1, "NODE 0 BUSY"),
        (1, "NODE 0 GO"),
        (1, "NODE 0 RESTART"),
        (3, "NODE 0 EXPIRE #"),
        (1, "NODE 1 BUSY"),
        (1, "NODE 1 GO"),
        (1, "NODE 1 RESTART"),
        (3, "NODE 1 EXPIRE #"),
    ],
};

/// A script about twelve reservations. The draws of each line decide it.
fn script(draws: Vec<[u16; 20]>) -> Script {
    let life =
        |dice: &mut Dice| Life::For(if dice.one_in(3) { 99 + dice.up_to(7900) } else { dice.up_to(99) });
    let lines = Lines::of_few(12, life).with_prefix("{W}:");
    let mut lines = lines.with_skus(SKUS).with_calls(CUSTOMER_CALLS);
    Script(draws.into_iter().map(|draws| lines.draw(&mut Dice::drawn(draws.to_vec()), &MIX)).collect())
}

fn scripts() -> impl Strategy<Value = Script> {
    prop::collection::vec(prop::array::uniform20(any::<u16>()), 1..100).prop_map(script)
}

/// One of these names. `None` if there are none.
fn choose(names: Vec<String>, number: &str) -> Option<String> {
    let number: usize = number.parse().unwrap();
    let at = number.checked_rem(names.len())?;
    names.into_iter().nth(at)
}

impl Shards {
    /// Plays a line, unless it is impossible in the present state of the slot.
    fn play(&mut self, line: &Line) {
        let words: Vec<&str> = line.iter().map(String::as_str).collect();
        let is_stable = !self.moving && !self.is_unassigned;
        match words.as_slice() {
            ["WAIT", ms] => self.pass(ms.parse().unwrap()),
            ["SWEEP"] => self.sweep(),
            ["CYCLE"] => self.nodes.iter_mut().for_each(Simulation::expire_cycle),
            ["MOVE"] if is_stable => self.begin(),
            ["MIGRATE", number] if self.moving => {
                if let Some(name) = choose(self.left(), number) {
                    self.migrate(&name);
                }
            }
            ["COPY", number] if self.moving => {
                let mut records = self.left();
                records.retain(|name| name.starts_with("reservation:"));
                if let Some(name) = choose(records, number) {
                    let (from, to) = self.both(self.owner);
                    from.copy(&name, to);
                    self.is_twice = true;
                    self.was_copied = true;
                }
            }
            ["ARRIVE"] if self.moving => self.end(),
            ["CALLOFF"] if self.moving => self.call_off(),
            ["UNASSIGN"] if !self.moving => self.unassign(true),
            ["ASSIGN"] if !self.moving => self.unassign(false),
            ["NODE", node, rest @ ..] => self.play_at(node.parse().unwrap(), rest),
            [name, ..] if name.starts_with("INV.") => {
                if is_stable {
                    self.play_call(&words);
                }
            }
            ["MOVE" | "MIGRATE" | "COPY" | "ARRIVE" | "CALLOFF" | "UNASSIGN" | "ASSIGN", ..] => {}
            _ => panic!("{words:?} is not drawn"),
        }
    }

    fn play_at(&mut self, at: usize, words: &[&str]) {
        let node = &mut self.nodes[at];
        match words {
            ["BUSY"] => {
                node.is_busy = true;
                node.sweep();
                self.is_twice = true;
                self.was_busy = true;
            }
            ["GO"] => {
                node.is_busy = false;
                node.sweep();
            }
            // A busy node would lose the reservations that have ended and are not settled.
            ["RESTART"] if node.is_busy => {}
            ["RESTART"] => node.restart(false),
            ["EXPIRE", number] => {
                if let Some(name) = choose(node.data.keys().cloned().collect(), number) {
                    node.client(&["GET", &name]);
                }
            }
            _ => panic!("{words:?} is not drawn"),
        }
    }

    /// A call changes the units on hand only if it says so: a sale lowers them, and a transfer keeps their sum.
    fn play_call(&mut self, words: &[&str]) {
        let before = self.on_hand();
        let is_done = self.call(words).is_ok();
        let after = self.on_hand();
        match words[0] {
            "INV.COMMIT" | "INV.MCOMMIT" if is_done => {
                let is_lower = |(name, units): (&&str, &i64)| *units <= before[name];
                assert!(after.iter().all(is_lower), "{before:?}, then {after:?}, after {words:?}");
            }
            "INV.TRANSFER" if is_done => {
                assert_eq!(after.values().sum::<i64>(), before.values().sum::<i64>(), "after {words:?}");
            }
            _ => assert_eq!(after, before, "after {words:?}"),
        }
    }
}

/// Plays a script, and checks after each line that no unit is lost or doubled. At the end every reservation expires.
fn play(script: &Script, has_warehouses: bool, slots_move_at_once: bool) {
    let mut shards = if has_warehouses { Shards::with_warehouses() } else { Shards::new() };
    shards.nodes.iter_mut().for_each(|node| node.settings.slots_move_at_once = slots_move_at_once);
    for line in &script.0 {
        let before = shards.on_hand();
        shards.play(line);
        if !line[0].starts_with("INV.") {
            assert_eq!(shards.on_hand(), before, "after {line:?}");
        }
        // The cron has just run, and it had time.
        let is_swept = ["WAIT", "SWEEP"].contains(&line[0].as_str());
        let is_settled = is_swept && shards.nodes.iter().all(|node| !node.is_busy);
        if is_settled && !shards.moving && !shards.is_unassigned {
            for name in SKUS {
                assert_eq!(
                    shards.counters_of(name).1,
                    shards.held(name),
                    "reserved of {name}, after {line:?}"
                );
            }
        }
    }
    let before = shards.on_hand();
    if shards.moving {
        shards.end();
    }
    shards.unassign(false);
    // Every deadline passes.
    shards.pass(10_000);
    assert_eq!(shards.on_hand(), before, "at the end");
    // If a key was on both nodes and jobs got no time, units may stay reserved until a repair.
    let may_stay = shards.was_copied && shards.was_busy;
    for name in SKUS {
        let reserved = shards.counters_of(name).1;
        assert!(reserved == 0 || (reserved > 0 && may_stay), "{reserved} units of {name} stay reserved");
    }
    // A release that finds no units is counted.
    assert!(shards.unexplained() == 0 || shards.is_twice);
    assert_eq!(shards.nodes.iter().map(|node| node.memory().holds.count()).sum::<usize>(), 0);
}

proptest! {
    #![proptest_config(config(3000))]

    #[test]
    fn no_unit_is_lost_or_doubled_whatever_moves_and_whenever(
        script in scripts(),
        has_warehouses in any::<bool>(),
        slots_move_at_once in any::<bool>(),
    ) {
        play(&script, has_warehouses, slots_move_at_once);
    }
}

#[test]
fn a_reservation_that_falls_due_right_after_its_move_was_called_off_is_returned() {
    let mut shards = Shards::new();
    shards.reserve(0, 1, 103).unwrap();
    let first = shards.left().remove(0);
    assert_eq!(first, "reservation:{W}:R0", "the first key is the record");
    shards.pass(4);
    shards.begin();
    shards.migrate(&first);
    shards.call_off();
    shards.pass(100);
    assert_eq!(shards.counters().1, shards.held("W"));
}

#[test]
fn a_node_whose_jobs_get_no_time_gives_its_slot_away_with_reservations_that_are_due_soon() {
    let script = Script::of(
        "INV.RESERVE {W}:R0 PX 2689 ITEMS W 1
        WAIT 1384
        MOVE
        NODE 0 BUSY
        WAIT 1206
        ARRIVE
        MOVE",
    );
    for slots_move_at_once in [false, true] {
        play(&script, false, slots_move_at_once);
    }
}

//! Calls of the module's commands on the simulated server, through the real parsers.

use redis_inventory::commands::{Change, Request};
use redis_inventory::engine::reserve::reserve;
use redis_inventory::engine::{alerts, audit, queries, resolve, restock, warehouses};
use redis_inventory::inventory::refusal::Refusal;

use super::dice::Dice;
use super::simulation::Simulation;

/// What there is in the shop of a [`Shopper`].
pub const SKUS: [&str; 5] = ["P", "Q", "W@north", "W@south", "W@east"];

/// What its customers may name.
const NAMES: [&str; 6] = ["P", "Q", "W", "W@north", "W@south", "W@east"];

/// Commands that only read.
pub const READS: [&str; 5] = ["INV.GET", "INV.STOCK", "INV.AUDIT", "INV.AUDITSCAN", "INV.SCAN"];

/// Makes calls by chance, about the latest reservations most of the time.
#[derive(Default)]
pub struct Shopper {
    /// Reservations are numbered: so many were asked for.
    count: u64,
}

impl Shopper {
    /// One of the latest reservations, or one that is not there yet.
    pub fn recent(&self, dice: &mut Dice) -> String {
        format!("R{}", (self.count + 1).saturating_sub(dice.roll(7)))
    }

    /// The words of a call. `life` gives the option and the value of a reservation's lifetime.
    pub fn call(&mut self, dice: &mut Dice, life: impl Fn(&mut Dice) -> [String; 2]) -> Vec<String> {
        let id = self.recent(dice);
        let [option, value] = life(dice);
        let name = *dice.pick(&NAMES.each_ref());
        // A product with warehouses has no counters of its own.
        let sku = if name == "W" { "W@north" } else { name };
        let (units, few) = ((1 + dice.roll(6)).to_string(), (1 + dice.roll(3)).to_string());
        let other = *dice.pick(&NAMES.each_ref());
        let call = match dice.roll(30) {
            0..11 => {
                self.count += 1;
                let split = *dice.pick(&[&"priority", &"fewest", &"none"]);
                let more = match dice.roll(3) {
                    0 => format!(" {other} {few}"),
                    _ => String::new(),
                };
                let once = match dice.roll(3) {
                    0 => format!(" SPLIT {split} ONCE token"),
                    _ => String::new(),
                };
                format!("INV.RESERVE R{} {option} {value}{once} ITEMS {name} {units}{more}", self.count)
            }
            11..14 => format!("INV.COMMIT {id}"),
            14 => format!("INV.COMMIT {id} LATE"),
            15..17 => format!("INV.COMMIT {id} ITEMS {name} {few}"),
            17..19 => format!("INV.ROLLBACK {id}"),
            19 => format!("INV.ROLLBACK {id} ITEMS {name} {few}"),
            20 => format!("INV.EXTEND {id} {option} {value}"),
            21 => format!("INV.ADJUST {sku} {}", dice.roll(9).cast_signed() - 4),
            22 => format!("INV.SET {sku} ONHAND {units}{few}"),
            23 => format!("INV.TRANSFER W north south {few}"),
            24 => format!("INV.REPAIR {sku}"),
            25 => format!("INV.WAREHOUSES W SET south {few}"),
            26 => format!("INV.GET {id}"),
            27 => "INV.STOCK P W".to_owned(),
            28 => "INV.AUDITSCAN 0".to_owned(),
            _ => "INV.SCAN 0".to_owned(),
        };
        call.split(' ').map(str::to_owned).collect()
    }
}

/// One call: its words, the command's name first. Of the answer it is enough that there is one.
pub fn call(server: &mut Simulation, words: &[&str]) -> Result<(), Refusal> {
    let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let request = Request::read(&bytes, server.style, &server.settings);
    run(server, &request.unwrap_or_else(|| panic!("{words:?} is no command"))?)
}

/// Carries a request out.
pub fn run(server: &mut Simulation, request: &Request) -> Result<(), Refusal> {
    match request {
        Request::Reserve(request) => reserve(server, request).map(|_| ()),
        Request::Commit(request) => resolve::commit(server, request),
        Request::Rollback(request) => resolve::rollback(server, request),
        Request::Extend(request) => resolve::extend(server, request).map(|_| ()),
        Request::Adjust(request) => restock::adjust(server, request).map(|_| ()),
        Request::Set(request) => restock::set(server, request).map(|_| ()),
        Request::Transfer(request) => warehouses::transfer(server, request),
        Request::Warehouses(product, Change::Set(places)) => warehouses::set(server, product, places),
        Request::Warehouses(product, Change::Remove(place)) => warehouses::remove(server, product, place),
        Request::Threshold(product, units) => restock::set_threshold(server, product, *units),
        Request::Repair(sku, force) => audit::repair(server, sku, *force).map(|_| ()),
        Request::Audit(sku) => audit::look_at(server, sku).map(|_| ()),
        Request::AuditScan(cursor, count) => audit::audit_scan(server, *cursor, *count, |_| true).map(|_| ()),
        Request::Get(id) => queries::get(server, id).map(|_| ()),
        Request::Stock(products) => queries::stock(server, products).map(|_| ()),
        Request::Scan(query) => queries::scan(server, query, |_| true).map(|_| ()),
        Request::Alerts(query) => {
            alerts::list(server, query, |_| true);
            Ok(())
        }
    }
}

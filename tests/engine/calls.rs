//! Calls of the module's commands on the simulated server, through the real parsers.

use redis_inventory::commands::{Change, Request};
use redis_inventory::engine::reserve::reserve;
use redis_inventory::engine::{alerts, audit, look, resolve, restock, warehouses};
use redis_inventory::inventory::error::Refusal;

use super::simulation::Simulation;

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
        Request::Audit(sku) => audit::audit(server, sku).map(|_| ()),
        Request::AuditScan(cursor, count) => audit::audit_scan(server, *cursor, *count, |_| true).map(|_| ()),
        Request::Get(id) => look::get(server, id).map(|_| ()),
        Request::Stock(products) => look::stock(server, products).map(|_| ()),
        Request::Scan(query) => look::scan(server, query, |_| true).map(|_| ()),
        Request::Alerts(query) => {
            alerts::list(server, query, |_| true);
            Ok(())
        }
    }
}

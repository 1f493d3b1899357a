//! Runs commands of the module on the simulated server, through the real parsers.

use redis_inventory::commands::{Change, Request};
use redis_inventory::engine::floors::set_floor;
use redis_inventory::engine::limits::{quota, set_limit};
use redis_inventory::engine::replace::replace;
use redis_inventory::engine::reserve::reserve;
use redis_inventory::engine::shelves::Units;
use redis_inventory::engine::{alerts, audit, batch, queries, resolve, restock, stockscan, warehouses};
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::once::Reserved;
use redis_inventory::inventory::refusal::Refusal;
use redis_inventory::inventory::sku::Product;

use super::simulation::Simulation;

/// Runs one call, given as words with the command's name first.
pub fn call(server: &mut Simulation, words: &[&str]) -> Result<String, Refusal> {
    let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let request = Request::read(&bytes, server.style, &server.settings);
    answer(server, &request.unwrap_or_else(|| panic!("{words:?} is not a command"))?)
}

/// Runs a request and returns the answer in a short form: of a reservation, its deadline and lines; of a list, its entries,
/// separated by `; `; of a call on many
/// reservations, one for each, separated by ` | `.
pub fn answer(server: &mut Simulation, request: &Request) -> Result<String, Refusal> {
    let ok = |()| "OK".to_owned();
    let list = |entries: Vec<String>| entries.join("; ");
    let of_audit = |audit: &audit::Audit| format!("{} {}", audit.reserved, audit.held);
    let null = || "null".to_owned();
    match request {
        Request::Reserve(request) => reserve(server, request).map(|reserved| {
            // With a token, the answer has the id that was generated the first time.
            assert!(reserved.id == request.id || request.once.is_some(), "another reservation was answered");
            told(&reserved)
        }),
        Request::Replace(request) => replace(server, request).map(|reserved| {
            assert_eq!(reserved.id, request.new, "another reservation was answered");
            told(&reserved)
        }),
        Request::MReserve(requests) => {
            batch::reserve_each(server, requests).map(|answers| each(answers, |at| format!("OK {at}")))
        }
        Request::MCommit(ids) => Ok(each(batch::commit_each(server, ids), ok)),
        Request::MRollback(ids) => Ok(each(batch::roll_back_each(server, ids), ok)),
        Request::Commit(request) => resolve::commit(server, request).map(ok),
        Request::Rollback(request) => resolve::rollback(server, request).map(ok),
        Request::Extend(request) => resolve::extend(server, request).map(|at| at.to_string()),
        Request::Adjust(request) => restock::adjust(server, request).map(|units| units.to_string()),
        Request::Set(request) => {
            restock::set(server, request).map(|set| set.map_or_else(null, |units| units.to_string()))
        }
        Request::Transfer(request) => warehouses::transfer(server, request).map(ok),
        Request::Warehouses(product, Change::Set(places)) => warehouses::set(server, product, places).map(ok),
        Request::Warehouses(product, Change::Remove(place)) => {
            warehouses::remove(server, product, place).map(ok)
        }
        Request::Floor(sku, units) => set_floor(server, sku, *units).map(ok),
        Request::Limit(product, units) => set_limit(server, product, *units).map(ok),
        Request::Quota(product, buyer) => quota(server, product, buyer).map(|view| {
            let shown = |units: Option<i64>| units.map_or_else(null, |units| units.to_string());
            format!("{} {} {} {}", shown(view.limit), view.held, view.bought, shown(view.left))
        }),
        Request::Threshold(product, units) => restock::set_threshold(server, product, *units).map(ok),
        Request::Repair(sku, force) => {
            audit::repair(server, sku, *force).map(|before| before.as_ref().map_or_else(null, of_audit))
        }
        Request::Audit(sku) => {
            audit::look_at(server, sku).map(|found| found.map_or_else(null, |found| of_audit(&found.audit)))
        }
        Request::AuditScan(cursor, count) => {
            audit::audit_scan(server, *cursor, *count, |_| true).map(|page| {
                let found = |found: &audit::Finding| {
                    format!("{} {} {}", found.audit.sku.as_str(), found.audit.drift(), found.stray)
                };
                list(page.found.iter().map(found).collect())
            })
        }
        Request::Get(id) => {
            queries::get(server, id).map(|view| view.map_or_else(null, |view| view.state.to_owned()))
        }
        Request::Stock(products) => queries::stock(server, products).and_then(|views| {
            let of = |view: queries::Stocked| {
                let units = view?.map(|view| units(view.units));
                Ok(units.unwrap_or_else(null))
            };
            views.into_iter().map(of).collect::<Result<_, _>>().map(list)
        }),
        Request::Scan(query) => queries::scan(server, query, |_| true)
            .inspect(|(_, found)| assert!(found.iter().all(|one| one.view.is_some() == query.full)))
            .map(|(_, found)| list(found.iter().map(|one| one.id.as_str().to_owned()).collect())),
        Request::StockScan(query) => stockscan::stock_scan(server, query, |_| true).and_then(|page| {
            let of = |(product, view): (Product, queries::Stocked)| {
                let units = view?.map(|view| units(view.units));
                Ok(format!("{product} {}", units.expect("a product that was found")))
            };
            page.found.into_iter().map(of).collect::<Result<_, _>>().map(list)
        }),
        Request::Alerts(query) => {
            let listed = alerts::list(server, query, |_| true);
            assert!(listed.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp));
            Ok(listed.len().to_string())
        }
    }
}

/// Available, reserved and reservable units.
fn units(units: Units) -> String {
    format!("{} {} {}", units.available, units.reserved, units.reservable)
}

/// The answers of a call on many reservations, as `lines::BETWEEN` separates them.
fn each<T>(answers: Vec<Result<T, Refusal>>, show: impl Fn(T) -> String) -> String {
    let answers = answers.into_iter().map(|answer| answer.map_or_else(|refusal| refusal.to_string(), &show));
    answers.collect::<Vec<_>>().join(" | ")
}

fn told(reserved: &Reserved) -> String {
    let short = match reserved.short.as_slice() {
        [] => String::new(),
        short => format!(" short {}", items(short)),
    };
    format!("OK {} {}{short}", reserved.expires_at, items(&reserved.items))
}

fn items(lines: &[Line]) -> String {
    let line = |line: &Line| format!("{} {}", line.sku.as_str(), line.quantity.units());
    lines.iter().map(line).collect::<Vec<_>>().join(" ")
}

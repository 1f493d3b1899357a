//! Tests the live view of `inv watch` without a server or a terminal: how it parses replies, what it keeps, and what it draws
//! on screens of any size. tests/inv/watch.rs tests the whole program.

mod keeping;
mod replies;
mod screens;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use redis_inventory_cli::stock::{Stock, Units};
use redis_inventory_cli::watch::reading::{Absence, Alert, Ask, Info, Item, Reading, Reservation, Totals};
use redis_inventory_cli::watch::state::State;

/// The time by both clocks.
const NOW: i64 = 1_763_820_000_000;

fn new_state(named: &[&str]) -> State {
    let named: Vec<String> = named.iter().map(|&name| name.to_owned()).collect();
    State::new("127.0.0.1:6379".to_owned(), &named)
}

fn reservation(id: &str, seconds: i64, items: &[(&str, i64)]) -> Reservation {
    let item = |&(sku, quantity): &(&str, i64)| {
        let (product, warehouse) =
            sku.split_once('@').map_or((sku, None), |(name, place)| (name, Some(place)));
        Item { product: product.to_owned(), warehouse: warehouse.map(str::to_owned), quantity }
    };
    Reservation {
        id: id.to_owned(),
        expires_at: Some(NOW + seconds * 1000),
        items: items.iter().map(item).collect(),
        data: String::new(),
    }
}

fn stock(available: i64, reserved: i64) -> Stock {
    Stock { units: Units { available, reserved, reservable: available }, threshold: 10, ..Stock::default() }
}

fn alert(product: &str, kind: &str, timestamp: i64) -> Alert {
    Alert { product: product.to_owned(), kind: kind.to_owned(), available: 5, threshold: 10, timestamp }
}

fn info(holds: u64, totals: Totals) -> Info {
    Info { server: "valkey 9.1.2".to_owned(), run: "one".to_owned(), holds, totals }
}

/// The answer of a server in which every requested product has this stock.
fn answer(ask: &Ask, stock_of: impl Fn(&str) -> Option<Stock>) -> Reading {
    let stock =
        ask.products.iter().map(|name| (name.clone(), stock_of(name).ok_or(Absence::NotHere))).collect();
    Reading { stock, ..Reading::default() }
}

/// Makes these products known through reservations.
fn know(state: &mut State, products: &[&str]) {
    let nearest = products.iter().map(|name| reservation(name, 600, &[(name, 1)])).collect();
    state.take(Reading { nearest, ..Reading::default() }, NOW);
}

fn press(state: &mut State, code: KeyCode) -> bool {
    state.press(KeyEvent::new(code, KeyModifiers::NONE))
}

fn names(state: &State) -> Vec<&str> {
    state.rows().map(|(name, _)| name).collect()
}

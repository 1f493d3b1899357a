//! INV.SCAN: how much a page reads and lists.

use redis_inventory::engine::keyspace::Keyspace;
use redis_inventory::engine::queries::{self, ScanQuery};
use redis_inventory::inventory::line::Line;
use redis_inventory::inventory::quantity::Quantity;
use redis_inventory::inventory::reservation::Record;
use redis_inventory::inventory::sku::{KeyStyle, Product, ReservationId, Sku};

use super::calls::call;
use super::simulation::Simulation;

#[test]
fn a_page_lists_as_many_as_are_asked_for() {
    let mut shop = Simulation::new();
    shop.client(&["SET", "stock:available:P", "9"]);
    for words in ["INV.RESERVE A PX 1000 ITEMS P 1", "INV.RESERVE B PX 2000 ITEMS P 1"] {
        shop.unit(|shop| call(shop, &words.split(' ').collect::<Vec<_>>())).expect("a reservation");
    }
    for (count, listed) in [("1", "A"), ("2", "A; B")] {
        let words = ["INV.SCAN", "0", "COUNT", count];
        assert_eq!(shop.unit(|shop| call(shop, &words)), Ok(listed.to_owned()));
    }
}

#[test]
fn a_page_of_a_scan_looks_at_1024_reservations() {
    let mut shop = Simulation::new();
    for number in 0..1025 {
        let id = ReservationId::parse(format!("R{number}").as_bytes(), KeyStyle::Plain).unwrap();
        let sku = Sku::parse(if number == 1024 { b"Q" } else { b"P" }, KeyStyle::Plain).unwrap();
        let items = vec![Line { sku, quantity: Quantity::new(1).unwrap() }];
        let record = Record::new(id, 0, i64::MAX - 2000 + number, items, None);
        shop.ledger(|ledger| ledger.holds.enter(&record, record.expires_at));
    }
    let product = Product::parse(b"Q", KeyStyle::Plain).ok();
    let query = ScanQuery { from: None, count: 10, product, pattern: None, full: false };
    let (next, found) = queries::scan(&mut shop, &query, |_| true).expect("a page");
    assert_eq!(found, []);
    let query = ScanQuery { from: next, ..query };
    let (next, found) = queries::scan(&mut shop, &query, |_| true).expect("a page");
    assert_eq!((next, found.iter().map(|found| found.id.as_str()).collect()), (None, vec!["R1024"]));
}

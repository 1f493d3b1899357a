//! INV.STOCKSCAN: how much a page reads.

use redis_inventory::engine::stockscan::{StockCursor, StockScanQuery, stock_scan};

use super::simulation::Simulation;

#[test]
fn a_page_reads_a_bounded_number_of_warehouses_and_the_walk_still_finds_every_product() {
    let mut shop = Simulation::new();
    for product in ["P", "Q", "R"] {
        for place in 0..1000 {
            shop.client(&["ZADD", &format!("stock:warehouses:{product}"), "1", &format!("w{place}")]);
        }
        shop.client(&["SET", &format!("stock:available:{product}@w1"), "7"]);
    }
    let (mut cursor, mut found) = (StockCursor::Counters(0), Vec::new());
    loop {
        let query = StockScanQuery { cursor, count: 100, pattern: None, low: false };
        let page = shop.unit(|shop| stock_scan(shop, &query, |_| true)).expect("a page");
        // Two products have 2,000 warehouses, and 2,048 may be read.
        assert!(page.found.len() <= 2, "{:?}", page.found);
        found.extend(page.found.into_iter().map(|(product, _)| product.to_string()));
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    found.sort_unstable();
    assert_eq!(found, ["P", "Q", "R"]);
}

#[test]
fn a_product_with_too_many_warehouses_takes_no_room_from_the_others_of_its_page() {
    let mut shop = Simulation::new();
    for product in ["P", "Q", "R"] {
        for place in 0..1025 {
            shop.client(&["ZADD", &format!("stock:warehouses:{product}"), "1", &format!("w{place}")]);
        }
    }
    let query = StockScanQuery { cursor: StockCursor::Counters(0), count: 100, pattern: None, low: false };
    let page = shop.unit(|shop| stock_scan(shop, &query, |_| true)).expect("a page");
    // None of them can be read.
    assert_eq!((page.found.len(), page.found.iter().filter(|(_, stock)| stock.is_err()).count()), (3, 3));
}

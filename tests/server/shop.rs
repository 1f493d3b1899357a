//! Helpers for tests of a shop: its stock, its JSON values, its clock.

pub use crate::dice::Dice;
use crate::harness::{Client, Json, SOON, Server, json, wait_for, wait_until};

/// A server with these available units.
pub fn shop(stock: &[(&str, i64)]) -> (Server, Client) {
    shop_with(&[], stock)
}

/// The same with more lines of configuration.
pub fn shop_with(options: &[&str], stock: &[(&str, i64)]) -> (Server, Client) {
    let server = Server::start_with(options);
    let mut shop = server.connect();
    for (sku, units) in stock {
        shop.ask(format!("SET stock:available:{sku} {units}"));
    }
    (server, shop)
}

/// A line of a product without warehouses, as in replies and stored JSON.
pub fn item(sku: &str, quantity: i64) -> Json {
    json!({"product_id": sku, "quantity": quantity})
}

/// A stored JSON value, as text and parsed.
pub fn stored(shop: &mut Client, key: &str) -> (String, Json) {
    let text = shop.ask(["GET", key]).as_str().expect("a stored text").to_owned();
    (text, shop.ask(["PEXPIRETIME", key]))
}

pub fn between(low: i64, number: &Json, high: i64) -> bool {
    number.as_i64().is_some_and(|number| (low..=high).contains(&number))
}

/// Waits for the server's next millisecond, so that two events have different times.
pub fn tick(shop: &mut Client) {
    let now = shop.now();
    wait_until("the clock moves on", SOON, || shop.now() > now);
}

/// Waits until the sweep has run after this moment: until it has released another product with a later deadline.
pub fn let_the_sweep_pass(shop: &mut Client) {
    shop.ask("SET stock:available:SWEPT 1");
    shop.ask("INV.RESERVE swept:* PX 20 ITEMS SWEPT 1");
    wait_for("a later deadline has been kept", SOON, (1, 0), || shop.counters("SWEPT"));
}

/// Waits until this moment has passed by the server's clock and the sweep has run since.
pub fn let_pass(shop: &mut Client, deadline: &Json) {
    let deadline = deadline.as_i64().expect("a time");
    wait_until("the deadline has passed", SOON, || shop.now() > deadline);
    let_the_sweep_pass(shop);
}

//! The final account: orders in PostgreSQL, money at the provider, and units in the stock server, compared with each other.
//!
//! It uses nothing of the shop: it reads the tables, the provider's statement and the server's keys by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use postgres::Client;
use redis::{Connection, cmd};
use serde_json::Value as Json;

/// What was counted.
#[derive(Debug, Default)]
pub struct Account {
    /// Orders in the database.
    pub orders: usize,
    /// Those that were sold.
    pub sold: usize,
    /// Units of these.
    pub units: i64,
    /// Cancelled orders of which nothing was captured.
    pub cancelled: usize,
    /// Cancelled orders whose money was given back.
    pub refunded: usize,
    /// Money that the shop has kept, in cents.
    pub revenue: i64,
    /// Units that are on hand, by the counters.
    pub on_hand: i64,
    /// Whatever does not agree.
    pub differences: Vec<String>,
}

struct Row {
    state: String,
    amount: i64,
    units: BTreeMap<String, i64>,
}

/// Compares everything, when nothing is under way any more. `delivered` are the units that were ever put on sale.
pub fn settle(
    database: &mut Client,
    stock: &mut Connection,
    provider: SocketAddr,
    delivered: &BTreeMap<String, i64>,
) -> Account {
    let mut account = Account::default();
    let rows = orders(database);
    account.orders = rows.len();
    account.compare_money(&rows, &statement(provider));
    account.compare_reservations(&rows, stock);
    account.compare_units(&rows, stock, delivered);
    account
}

fn orders(database: &mut Client) -> BTreeMap<String, Row> {
    let found = database.query(
        "SELECT o.id, o.state, o.amount, l.sku, l.quantity FROM orders o JOIN order_lines l ON l.order_id = o.id",
        &[],
    );
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for row in found.expect("the orders") {
        let new = || Row { state: row.get(1), amount: row.get(2), units: BTreeMap::new() };
        let order = rows.entry(row.get(0)).or_insert_with(new);
        *order.units.entry(row.get(3)).or_default() += row.get::<_, i64>(4);
    }
    rows
}

fn statement(provider: SocketAddr) -> BTreeMap<String, Json> {
    let mut stream = BufReader::new(TcpStream::connect(provider).expect("the provider"));
    stream.get_mut().write_all(b"{\"do\": \"statement\"}\n").expect("the provider listens");
    let mut line = String::new();
    stream.read_line(&mut line).expect("the provider answers");
    let rows: Vec<Json> = serde_json::from_str(&line).expect("a statement");
    rows.into_iter().map(|row| (row["key"].as_str().expect("a key").to_owned(), row)).collect()
}

impl Account {
    fn differs(&mut self, what: String) {
        self.differences.push(what);
    }

    /// Each sold order is captured once and not refunded. Of each other order, whatever was captured is refunded, once, and
    /// nothing is authorised any more.
    fn compare_money(&mut self, orders: &BTreeMap<String, Row>, statement: &BTreeMap<String, Json>) {
        for (id, order) in orders {
            let payment = statement.get(id).cloned().unwrap_or_default();
            let number = |name: &str| payment[name].as_i64().unwrap_or(0);
            let money = [number("captured"), number("refunded"), number("captures"), number("refunds")];
            let is_open = payment["state"] == "authorised" || payment["state"] == "pending";
            self.revenue += money[0] - money[1];
            let is_right = match order.state.as_str() {
                "sold" => {
                    self.sold += 1;
                    money == [order.amount, 0, 1, 0]
                }
                "cancelled" if money[2] == 0 => {
                    self.cancelled += 1;
                    money == [0; 4] && !is_open
                }
                "cancelled" => {
                    self.refunded += 1;
                    money == [order.amount, order.amount, 1, 1]
                }
                _ => false,
            };
            if !is_right {
                self.differs(format!("order {id} is {}, and its payment is {payment}", order.state));
            }
        }
        for (key, payment) in statement.iter().filter(|(key, _)| !orders.contains_key(*key)) {
            if payment["captured"] != payment["refunded"] {
                self.differs(format!("payment {key} has no order: {payment}"));
            }
        }
    }

    /// Of the reservations of a sold order, exactly one is committed and not put back, and it has the order's lines. Of any other
    /// order, none is. Nothing is held for an order that is over.
    fn compare_reservations(&mut self, orders: &BTreeMap<String, Row>, stock: &mut Connection) {
        let mut sales: BTreeMap<String, Vec<BTreeMap<String, i64>>> = BTreeMap::new();
        for key in keys(stock, "reservation:*") {
            let id = order_of(key.trim_start_matches("reservation:"));
            let state = orders.get(&id).map_or("unknown", |order| &order.state);
            self.differs(format!("{key} holds units, and order {id} is {state}"));
        }
        let put_back: BTreeSet<String> = keys(stock, "inventory:once:adjust:*").into_iter().collect();
        for key in keys(stock, "inventory:outcome:*") {
            let text: Option<String> = cmd("GET").arg(&key).query(stock).expect("an outcome");
            let outcome: Json = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
            let reservation = key.trim_start_matches("inventory:outcome:");
            if outcome["state"] != "committed" {
                continue;
            }
            let mut units: BTreeMap<String, i64> = BTreeMap::new();
            for item in outcome["items"].as_array().expect("items") {
                let sku = item["product_id"].as_str().expect("a sku");
                *units.entry(sku.to_owned()).or_default() += item["quantity"].as_i64().expect("a quantity");
            }
            let token = |sku: &String| {
                put_back
                    .contains(&format!("inventory:once:adjust:{}:{sku}:put-back:{reservation}", sku.len()))
            };
            match units.keys().filter(|sku| token(sku)).count() {
                0 => sales.entry(order_of(reservation)).or_default().push(units),
                count if count == units.len() => {}
                _ => self.differs(format!("only a part of {reservation} was put back")),
            }
        }
        for (id, order) in orders {
            let expected = if order.state == "sold" { vec![order.units.clone()] } else { Vec::new() };
            let found = sales.remove(id).unwrap_or_default();
            if found != expected {
                self.differs(format!("order {id} is {}, and its sales are {found:?}", order.state));
            }
        }
        for (id, units) in sales {
            self.differs(format!("{units:?} are sold without an order: {id}"));
        }
    }

    /// What was delivered is on hand or belongs to a sold order.
    fn compare_units(
        &mut self,
        orders: &BTreeMap<String, Row>,
        stock: &mut Connection,
        delivered: &BTreeMap<String, i64>,
    ) {
        for (sku, units) in delivered {
            let mut counter = |name: &str| -> i64 {
                let found: Option<i64> =
                    cmd("GET").arg(format!("stock:{name}:{sku}")).query(stock).expect("a counter");
                found.unwrap_or(0)
            };
            let (available, reserved) = (counter("available"), counter("reserved"));
            let sold_orders = orders.values().filter(|order| order.state == "sold");
            let sold: i64 = sold_orders.filter_map(|order| order.units.get(sku)).sum();
            self.units += sold;
            self.on_hand += available + reserved;
            if available < 0 || reserved != 0 || available + sold != *units {
                self.differs(format!(
                    "of {units} {sku}, {available} are available, {reserved} reserved, and {sold} sold"
                ));
            }
        }
    }
}

/// The order of a reservation: what comes before the colon.
fn order_of(reservation: &str) -> String {
    reservation.split(':').next().unwrap_or_default().to_owned()
}

fn keys(stock: &mut Connection, pattern: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = String::from("0");
    loop {
        let mut command = cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1000);
        let (next, page): (String, Vec<String>) = command.query(stock).expect("a page");
        found.extend(page);
        if next == "0" {
            return found;
        }
        cursor = next;
    }
}

impl fmt::Display for Account {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{:>8} orders", self.orders)?;
        writeln!(to, "{:>8} sold and captured once, with {} units", self.sold, self.units)?;
        writeln!(to, "{:>8} cancelled before any money was taken", self.cancelled)?;
        writeln!(to, "{:>8} cancelled and refunded once", self.refunded)?;
        writeln!(to, "{:>8} units on hand", self.on_hand)?;
        let (whole, cents) = (self.revenue / 100, self.revenue % 100);
        writeln!(to, "{:>8} revenue", format!("{whole}.{cents:02}"))?;
        write!(to, "{:>8} differences", self.differences.len())?;
        for difference in &self.differences {
            write!(to, "\n         {difference}")?;
        }
        Ok(())
    }
}

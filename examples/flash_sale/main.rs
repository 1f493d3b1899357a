//! Runs a flash sale on a real server in three ways: with GET and DECR, with the usual Lua scripts, and with reservations.
//!
//!     make demo
//!     cargo run --example flash_sale -- redis://127.0.0.1:6379 target/flash-sale.svg 2000 100
//!
//! The same shoppers come to each sale, each with a connection of her own. They decide, and then pay, change their minds, or
//! disappear. At the end there is a table, and a chart of the stock over time. Compare the three ways in `shop.rs`.

mod crowd;
pub mod picture;
mod sale;
mod shop;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use redis::{Client, Connection, cmd};
use sale::{Report, Sale};
use shop::{ByCounter, ByReservation, ByScript};

const USAGE: &str = "flash_sale URL PICTURE.svg [SHOPPERS] [UNITS]";
const NUMBERS: &str = "SHOPPERS and UNITS must be integers from 1 to 20000";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (url, picture) = (words.next().ok_or(USAGE)?, PathBuf::from(words.next().ok_or(USAGE)?));
    let mut number = |otherwise: i64| {
        let number = words.next().map_or(Ok(otherwise), |word| word.parse::<i64>());
        number.ok().filter(|number| (1..=20_000).contains(number)).ok_or(NUMBERS)
    };
    let (shoppers, units) = (number(2000)?, number(100)?);
    println!("{shoppers} shoppers, {units} units, one connection for each shopper.\n");
    let reports = hold_all(&url, shoppers, units)?;
    println!("\n{}", table(&reports));
    picture::draw(&picture, &reports)?;
    println!("Stock over time: {}", picture.display());

    match reports.iter().find_map(|report| Some((report.name, report.fault()?))) {
        Some((name, fault)) => Err(format!("{name}: {fault}").into()),
        None => Ok(()),
    }
}

/// Holds a sale for the same crowd in each way, one after the other.
pub fn hold_all(url: &str, shoppers: i64, units: i64) -> Result<[Report; 3], Box<dyn Error>> {
    let client = Client::open(url)?;
    check_server(&mut client.get_connection()?)?;
    let sale = Sale { client, crowd: crowd::gather(shoppers, 7), units };
    Ok([sale.hold::<ByCounter>()?, sale.hold::<ByScript>()?, sale.hold::<ByReservation>()?])
}

/// Refuses a server with data, because the sale overwrites stock.
fn check_server(connection: &mut Connection) -> Result<(), Box<dyn Error>> {
    let keys: u64 = cmd("DBSIZE").query(connection)?;
    if keys > 0 {
        return Err(format!("the server has {keys} keys; the sale needs an empty one").into());
    }
    let known: Vec<Option<redis::Value>> = cmd("COMMAND").arg("INFO").arg("INV.RESERVE").query(connection)?;
    match known.as_slice() {
        [Some(_)] => Ok(()),
        _ => Err("the server has not loaded the module".into()),
    }
}

/// The sales as a table, side by side.
pub fn table(reports: &[Report; 3]) -> String {
    let row = |name: &str, of: &dyn Fn(&Report) -> String| {
        let [first, second, third] = reports.each_ref().map(of);
        format!("{name:<30}{first:>16}{second:>15}{third:>18}\n")
    };
    let count = |name: &str, of: fn(&Report) -> i64| row(name, &|report| of(report).to_string());
    [
        row("", &|report| report.name.to_owned()),
        count("units for sale", |report| report.units),
        count("sold", |report| report.books.sold.count()),
        count("oversold", Report::oversold),
        count("still available", |report| report.available),
        count("returned by shoppers", |report| report.books.given_back.count()),
        count("returned at the deadline", |report| report.by_deadline),
        count("lost with vanished shoppers", |report| report.held),
        count("paid after the deadline", |report| report.books.too_late.count()),
        count("left without a unit", |report| report.books.left_without.count()),
        row("time", &|report| format!("{:.1} s", report.time.as_secs_f64())),
    ]
    .concat()
}

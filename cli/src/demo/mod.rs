//! `inv demo`: a flash sale on a real server in three ways: with GET and DECR, with the usual Lua scripts, and with reservations.
//!
//! The same shoppers come to each sale, each with a connection of her own. They decide, and then pay, change their minds, or
//! disappear. At the end there is a table, and a chart of the stock over time. Compare the three ways in `shop.rs`.

mod books;
mod crowd;
pub mod picture;
mod sale;
mod shop;

use std::path::PathBuf;

use redis::{Client, Connection, cmd};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server::{address, reason};
use sale::{Report, Sale};
use shop::{ByCounter, ByReservation, ByScript};

/// Sell units in a flash sale three times: with a counter, with Lua scripts, and with reservations.
///
/// It needs an empty server with the module, without cluster mode, and as many connections as there are shoppers. make demo starts
/// one.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The file for the chart, as SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,

    /// How many shoppers come.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(i64).range(1..=20_000))]
    shoppers: i64,

    /// How many units there are.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=20_000))]
    units: i64,
}

/// Holds the three sales and prints what became of the units.
pub fn run(options: &Options, server: &address::Options, output: Output) -> Result<Exit, Failure> {
    let address = server.address()?;
    let (shoppers, units) = (options.shoppers, options.units);
    if !output.is_json {
        output.print(&format!("{shoppers} shoppers, {units} units, one connection for each shopper.\n\n"))?;
    }
    let client = address.client().map_err(|error| reason::failure(&address.name(), &error))?;
    let reports = hold_all(client, &address.name(), shoppers, units)?;
    if output.is_json {
        output.print_json(&reports.each_ref().map(Account::of))?;
    } else {
        output.print(&format!("\n{}", table(&reports)))?;
    }
    if let Some(path) = &options.picture {
        picture::draw(path, &reports)
            .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))?;
        output.say(&format!("Stock over time: {}", path.display()));
    }
    let fault = reports.iter().find_map(|report| Some((report.name, report.fault()?)));
    Ok(match fault {
        Some((name, fault)) => {
            output.say(&format!("{name}: {fault}"));
            Exit::Findings
        }
        None => Exit::Done,
    })
}

/// Holds a sale for the same crowd in each way, one after the other.
pub fn hold_all(client: Client, name: &str, shoppers: i64, units: i64) -> Result<[Report; 3], Failure> {
    let lost = |error| reason::failure(name, &error);
    check_server(name, &mut client.get_connection().map_err(lost)?)?;
    let sale = Sale { client, crowd: crowd::gather(shoppers, 7), units };
    Ok([
        sale.hold::<ByCounter>().map_err(lost)?,
        sale.hold::<ByScript>().map_err(lost)?,
        sale.hold::<ByReservation>().map_err(lost)?,
    ])
}

/// Refuses a server with data, because the sale overwrites stock.
fn check_server(name: &str, connection: &mut Connection) -> Result<(), Failure> {
    let lost = |error| reason::failure(name, &error);
    let keys: u64 = cmd("DBSIZE").query(connection).map_err(lost)?;
    if keys > 0 {
        return Err(Failure::refused(format!("{name} has {keys} keys; the sale needs an empty server")));
    }
    let known: Vec<Option<redis::Value>> =
        cmd("COMMAND").arg("INFO").arg("INV.RESERVE").query(connection).map_err(lost)?;
    match known.as_slice() {
        [Some(_)] => Ok(()),
        _ => Err(Failure::refused(format!("{name} has not loaded the module"))),
    }
}

/// What became of the units of a sale, for programs.
#[derive(Serialize)]
struct Account {
    name: &'static str,
    units: i64,
    sold: i64,
    oversold: i64,
    available: i64,
    returned_by_shoppers: i64,
    returned_at_the_deadline: i64,
    lost: i64,
    paid_too_late: i64,
    left_without: i64,
    seconds: f64,
}

impl Account {
    fn of(report: &Report) -> Self {
        Self {
            name: report.name,
            units: report.units,
            sold: report.books.sold.count(),
            oversold: report.oversold(),
            available: report.available,
            returned_by_shoppers: report.books.given_back.count(),
            returned_at_the_deadline: report.by_deadline,
            lost: report.held,
            paid_too_late: report.books.too_late.count(),
            left_without: report.books.left_without.count(),
            seconds: report.time.as_secs_f64(),
        }
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

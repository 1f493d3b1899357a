//! `inv low`: the products that are low.

use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{Output, plain};
use crate::server::address;
use crate::server::masters::Masters;
use crate::walk::{Query, walk};

/// List the products that are low: at or below their threshold, whatever brought them there.
///
/// The exit code is 1 if there are any, so that a cron job can act on it.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only products that match, as in the server's SCAN: 'SHOE-*'.
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,
}

/// A product that is low.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Low {
    product: String,
    #[serde(flatten)]
    state: State,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum State {
    Known { reservable: i64, available: i64, reserved: i64, threshold: i64 },
    Unreadable { error: String },
}

/// Lists them, the lowest first.
pub fn run(options: &Options, server: &address::Options, output: Output) -> Result<Exit, Failure> {
    let mut masters = Masters::connect(server.address()?)?;
    let query = Query { pattern: options.pattern.clone(), is_low: true };
    let progress = output.progress("products that are low", None);
    let mut lows = Vec::new();
    walk(&mut masters, &query, |_, page| {
        progress.add(page.len() as u64);
        lows.extend(page.into_iter().map(|(product, stock)| Low {
            product,
            state: match stock {
                Ok(stock) => State::Known {
                    reservable: stock.units.reservable,
                    available: stock.units.available,
                    reserved: stock.units.reserved,
                    threshold: stock.threshold,
                },
                Err(error) => State::Unreadable { error },
            },
        }));
        Ok(())
    })?;
    drop(progress);
    lows.sort_by(|one, other| (one.reservable(), &one.product).cmp(&(other.reservable(), &other.product)));
    if output.is_json {
        output.print_json(&lows)?;
    } else {
        output.print(&table(&lows))?;
    }
    Ok(if lows.is_empty() { Exit::Done } else { Exit::Findings })
}

impl Low {
    /// What cannot be read comes first.
    const fn reservable(&self) -> i64 {
        match self.state {
            State::Known { reservable, .. } => reservable,
            State::Unreadable { .. } => i64::MIN,
        }
    }
}

/// The products below each other; nothing if there are none.
fn table(lows: &[Low]) -> String {
    if lows.is_empty() {
        return String::new();
    }
    let products: Vec<String> = lows.iter().map(|low| plain(&low.product)).collect();
    let width = products.iter().map(|product| product.chars().count()).max().unwrap_or(0).max(7);
    let mut text = format!(
        "{:<width$}  {:>10}  {:>9}  {:>8}  {:>9}\n",
        "product", "reservable", "available", "reserved", "threshold"
    );
    for (product, low) in products.iter().zip(lows) {
        text += &match &low.state {
            State::Known { reservable, available, reserved, threshold } => {
                let threshold = if *threshold < 0 { "off".to_owned() } else { threshold.to_string() };
                format!(
                    "{product:<width$}  {reservable:>10}  {available:>9}  {reserved:>8}  {threshold:>9}\n"
                )
            }
            State::Unreadable { error } => format!("{product:<width$}  {}\n", plain(error)),
        };
    }
    text
}

//! `inv export`: the stock as CSV, in the form that `inv import` reads.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use redis::{Cmd, cmd, from_redis_value};
use serde::Serialize;

use crate::csv;
use crate::failure::{Exit, Failure};
use crate::loose::{self, Loose, Met};
use crate::output::Output;
use crate::server::address;
use crate::server::masters::Masters;
use crate::server::node::Node;
use crate::server::reason;
use crate::server::style::Style;
use crate::stock::Stock;
use crate::walk::{Found, Query, walk};

/// Write the stock of all products as CSV, which inv import reads.
///
/// A product in warehouses has a line for each of them. With --json, each line is an object.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The file to write. It appears when it is complete. Without one, stdout.
    file: Option<PathBuf>,

    /// Only products that match, as in the server's SCAN: 'SHOE-*'.
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,
}

/// The first line.
const HEADER: &str = "sku,available,reserved,priority,floor,threshold,limit\n";

/// A line: a product, or a product in one of its warehouses. What is empty is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Line {
    sku: String,
    available: i64,
    reserved: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
}

/// Writes the stock of all products.
pub fn run(options: &Options, server: &address::Options, output: Output) -> Result<Exit, Failure> {
    let mut masters = Masters::connect(server.address()?)?;
    let mut settings = Settings { style: masters.style(), is_allowed: false, refusal: None };
    let mut sink = Sink::open(options.file.as_deref())?;
    if !output.is_json {
        sink.write(HEADER)?;
    }
    let query = Query { pattern: options.pattern.clone(), is_low: false };
    let progress = output.progress("products", None);
    let mut unreadable = 0_u64;
    let mut met = Met::default();
    walk(&mut masters, &query, |node, page| {
        let set = settings.of(node, &page)?;
        progress.add(page.len() as u64);
        for ((product, stock), [threshold, limit]) in page.into_iter().zip(set) {
            let stock = match stock {
                Ok(stock) => stock,
                Err(error) => {
                    unreadable += 1;
                    output.say(&format!("inv: {product} is left out: {error}"));
                    continue;
                }
            };
            if !stock.warehouses.is_empty() {
                met.with_warehouses.insert(product.clone());
                met.places
                    .extend(stock.warehouses.iter().map(|place| format!("{product}@{}", place.warehouse)));
            }
            for line in lines(product, stock, threshold, limit) {
                sink.write(&line.spell(output.is_json)?)?;
            }
        }
        Ok(())
    })?;
    drop(progress);
    match loose::find(&mut masters, settings.style, options.pattern.as_deref(), &met)? {
        Ok(found) => {
            for (sku, loose) in found {
                match line_of(&sku, loose) {
                    Ok(line) => sink.write(&line.spell(output.is_json)?)?,
                    Err(reason) => {
                        unreadable += 1;
                        output.say(&format!("inv: {sku} is left out: {reason}"));
                    }
                }
            }
        }
        Err(refusal) => {
            unreadable += 1;
            output.say(&format!(
                "inv: units outside of products and their warehouses are left out, because this user may not look for them: \
                 {refusal}. SCAN, and MGET of stock:*, would allow it"
            ));
        }
    }
    sink.close()?;
    if let Some(refusal) = settings.refusal {
        output.say(&format!(
            "inv: limits and thresholds are left out, because this user may not read them: {refusal}. MGET of stock:limit:* and \
             stock:threshold:* would allow it"
        ));
        unreadable += 1;
    }
    Ok(if unreadable > 0 { Exit::Findings } else { Exit::Done })
}

/// The lines of a product.
fn lines(product: String, stock: Stock, threshold: Option<String>, limit: Option<String>) -> Vec<Line> {
    let nonzero = |floor: i64| Some(floor).filter(|floor| *floor != 0);
    let threshold = threshold.map(|threshold| if threshold == "-1" { "off".to_owned() } else { threshold });
    if stock.warehouses.is_empty() {
        let (available, reserved) = (stock.units.available, stock.units.reserved);
        let floor = nonzero(stock.floor);
        return vec![Line { sku: product, available, reserved, priority: None, floor, threshold, limit }];
    }
    let line = |place: crate::stock::Place| Line {
        sku: format!("{product}@{}", place.warehouse),
        available: place.units.available,
        reserved: place.units.reserved,
        priority: Some(place.priority),
        floor: nonzero(place.floor),
        threshold: threshold.clone(),
        limit: limit.clone(),
    };
    stock.warehouses.into_iter().map(line).collect()
}

/// The line of a sku that no product counts, or why there is none.
fn line_of(sku: &str, loose: Loose) -> Result<Line, String> {
    match loose {
        Loose::Own { available, reserved, floor } => {
            let floor = Some(floor).filter(|floor| *floor != 0);
            Ok(Line { sku: sku.to_owned(), available, reserved, floor, ..Line::default() })
        }
        Loose::Stray { available, reserved } => Err(format!(
            "{available} available and {reserved} reserved units are stray, because the product is kept in other warehouses. \
             docs/warehouses.md says how to correct that"
        )),
        Loose::Unreadable(reason) => Err(reason),
    }
}

impl Line {
    /// As a line of CSV, or of JSON.
    fn spell(&self, is_json: bool) -> Result<String, Failure> {
        if is_json {
            let text = serde_json::to_string(self).map_err(|error| Failure::usage(error.to_string()))?;
            return Ok(text + "\n");
        }
        let mut text = String::new();
        csv::push(&mut text, &self.sku, ',');
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        for field in [
            self.available.to_string(),
            self.reserved.to_string(),
            self.priority.clone().unwrap_or_default(),
            number(self.floor),
            self.threshold.clone().unwrap_or_default(),
            self.limit.clone().unwrap_or_default(),
        ] {
            text.push(',');
            csv::push(&mut text, &field, ',');
        }
        text.push('\n');
        Ok(text)
    }
}

/// Reads what INV.STOCK does not tell: whether the threshold is the product's own, and its limit.
struct Settings {
    style: Style,
    /// Whether the user may read settings of some products.
    is_allowed: bool,
    /// Why the user may not read them all.
    refusal: Option<String>,
}

impl Settings {
    /// Threshold and limit of each product of a page.
    fn of(&mut self, node: &mut Node, page: &[Found]) -> Result<Vec<[Option<String>; 2]>, Failure> {
        let nothing = vec![[None, None]; page.len()];
        if self.refusal.is_some() {
            return Ok(nothing);
        }
        let commands: Vec<Cmd> = page
            .iter()
            .map(|(product, _)| {
                let id = self.style.in_key(product);
                let keys = [format!("stock:threshold:{id}"), format!("stock:limit:{id}")];
                cmd("MGET").arg(&keys).clone()
            })
            .collect();
        if !self.is_allowed {
            // The server logs each command that it refuses.
            if let Some(Err(error)) = commands.first().map(|command| node.ask(command))
                && reason::is_of_command(&error)
            {
                self.refusal = Some(reason::text(&error));
                return Ok(nothing);
            }
            self.is_allowed = true;
        }
        let answers = node.ask_all(&commands).map_err(|error| reason::failure(&node.name(), &error))?;
        let mut settings = nothing;
        for (answer, setting) in answers.into_iter().zip(&mut settings) {
            match answer {
                // Of a value that is no text, INV.STOCK has an error.
                Ok(values) => *setting = from_redis_value(values).unwrap_or_default(),
                Err(error) => self.refusal = Some(reason::text(&error)),
            }
        }
        Ok(settings)
    }
}

/// Where the lines go.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// The file, under a name of its own until it is complete.
    File {
        writer: BufWriter<File>,
        part: PathBuf,
        path: PathBuf,
    },
}

impl Sink {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::Stdout(BufWriter::new(io::stdout()))) };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let part = path.with_file_name(name);
        let file = File::create(&part)
            .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", part.display())))?;
        Ok(Self::File { writer: BufWriter::new(file), part, path: path.to_owned() })
    }

    fn write(&mut self, line: &str) -> Result<(), Failure> {
        let written = match self {
            Self::Stdout(writer) => writer.write_all(line.as_bytes()),
            Self::File { writer, .. } => writer.write_all(line.as_bytes()),
        };
        written.map_err(|error| Failure::output(&error))
    }

    fn close(mut self) -> Result<(), Failure> {
        let closed = match &mut self {
            Self::Stdout(writer) => writer.flush(),
            Self::File { writer, part, path } => writer.flush().and_then(|()| fs::rename(part, path)),
        };
        closed.map_err(|error| Failure::output(&error))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // After `close` it has another name.
        if let Self::File { part, .. } = self {
            let _ = fs::remove_file(part);
        }
    }
}

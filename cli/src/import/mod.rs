//! `inv import`: stock and settings from CSV.
//!
//! [`table`] reads the file into [`row`]s, [`commands`] says what is sent for a row, [`preview`] shows what would change.

pub mod commands;
pub mod preview;
pub mod row;
pub mod table;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redis::{RedisResult, Value, from_redis_value};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress, number_of, plain};
use crate::server::deliver::{Request, deliver};
use crate::server::masters::Masters;
use crate::server::{address, reason};
use commands::Import;
use row::{Fault, Row};
use table::Table;

/// Import stock and settings from CSV.
///
/// The first line names the columns: sku, and available, on_hand or adjust, and priority, threshold, limit, floor, note. An empty
/// field leaves everything as it is. A row that fails costs only itself. The same file can be imported again, for example after an
/// interruption: rows that are in change nothing more. docs/inv.md describes the columns.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The file; - is stdin.
    file: PathBuf,

    /// The name of this import, for as long as the server remembers answers (a day, unless inv.outcome-ttl-ms says otherwise).
    ///
    /// Rows that were imported under this id are not imported again, also if other rows of the file have changed. By default, the
    /// id is made from the content of the file.
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Set counts that the server would refuse otherwise: INV.SET and INV.ADJUST with FORCE.
    #[arg(long)]
    force: bool,

    /// Write the rows that failed into this file, with the header, to be corrected and imported.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

/// Rows that are sent at once.
const BATCH: usize = 1000;

/// Faults that are listed on a terminal. --json and --rejects have all.
const LISTED: usize = 100;

/// The longest id of an import, in bytes: a token contains it.
const LONGEST_ID: usize = 200;

/// What an import has done.
#[derive(Debug, Serialize)]
struct Report<'a> {
    id: &'a str,
    rows: usize,
    imported: usize,
    /// Of those, what an earlier run of this import has done; unknown if the user may not run EXISTS.
    repeated: Option<usize>,
    /// Rows without a value.
    empty: usize,
    failed: &'a [Fault],
    seconds: f64,
}

/// Imports a file.
pub fn run(options: &Options, server: &address::Options, output: Output) -> Result<Exit, Failure> {
    let address = server.address()?;
    let bytes = read(&options.file)?;
    let id = options.id.clone().unwrap_or_else(|| commands::id_of(&bytes));
    check_id(&id)?;
    let table = Table::read(&bytes)?;
    let mut masters = Masters::connect(address)?;
    let import = Import { id, style: masters.style(), is_forced: options.force };
    if options.dry_run {
        return preview::show(&table, &import, &mut masters, output);
    }
    let progress = output.progress("rows", Some(table.rows.len() as u64));
    let start = Instant::now();
    let repeated = import.may_ask(&table.rows, &mut masters).then_some(0);
    let mut run = Run { import: &import, imported: 0, repeated, faults: table.faults.clone() };
    for rows in table.rows.chunks(BATCH) {
        if let Err(failure) = run.bring_in(&mut masters, rows, &progress) {
            let text = format!(
                "{failure}\n{} of {} rows are imported. Run the same command again to continue{}",
                run.imported,
                table.rows.len(),
                if options.id.is_some() { "" } else { ": what is in is not imported twice" },
            );
            return Err(Failure { text, ..failure });
        }
    }
    let seconds = start.elapsed();
    drop(progress);
    run.faults.sort_by_key(|fault| fault.line);
    if let Some(path) = &options.rejects {
        write_rejects(path, &bytes, &table.header, &run.faults)?;
    }
    run.report(&table, seconds, output)?;
    Ok(if run.faults.is_empty() { Exit::Done } else { Exit::Findings })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => io::stdin().lock().read_to_end(&mut bytes),
        _ => File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Failure::usage(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn check_id(id: &str) -> Result<(), Failure> {
    if id.is_empty() || id.len() > LONGEST_ID {
        return Err(Failure::usage(format!(
            "--id has {} bytes, but 1 to {LONGEST_ID} are allowed",
            id.len()
        )));
    }
    row::check_text("--id", id).map_err(Failure::usage)
}

/// An import that is going on.
struct Run<'a> {
    import: &'a Import,
    imported: usize,
    repeated: Option<usize>,
    faults: Vec<Fault>,
}

impl Run<'_> {
    /// Imports some rows: first their settings, and then the units of those whose settings were accepted. A warehouse must exist
    /// before units are booked into it, or they would belong to no product.
    fn bring_in(&mut self, masters: &mut Masters, rows: &[Row], progress: &Progress) -> Result<(), Failure> {
        let mut reasons: Vec<Option<String>> = vec![None; rows.len()];
        let mut settings = Batch::default();
        for (at, row) in rows.iter().enumerate() {
            for setting in &row.settings {
                settings.add(at, setting.kind.column(), self.import.setting(row, setting));
            }
        }
        settings.send(masters, |at, column, answer| {
            if let Err(error) = answer
                && reasons[at].is_none()
            {
                reasons[at] = Some(format!("{column}: {}", reason::text(&error)));
            }
        })?;

        let mut counts = Batch::default();
        for (at, row) in rows.iter().enumerate().filter(|(at, _)| reasons[*at].is_none()) {
            if self.repeated.is_some()
                && let Some(question) = self.import.remembers(row)
            {
                counts.add(at, REMEMBERS, question);
            }
            if let Some(request) = self.import.count(row) {
                counts.add(at, "", request);
            }
        }
        let mut repeated = Some(0);
        let sent = counts.send(masters, |at, column, answer| match answer {
            Ok(answer) if column == REMEMBERS => {
                let is_known: bool = from_redis_value(answer).unwrap_or_default();
                repeated = repeated.map(|repeated| repeated + usize::from(is_known));
            }
            Ok(_) => {}
            Err(_) if column == REMEMBERS => repeated = None,
            Err(error) => reasons[at] = Some(reason::text(&error)),
        });
        sent?;
        self.repeated = self.repeated.zip(repeated).map(|(before, now)| before + now);
        for (row, reason) in rows.iter().zip(reasons) {
            match reason {
                Some(reason) => self.faults.push(row.fault(reason)),
                None => self.imported += 1,
            }
        }
        progress.add(rows.len() as u64);
        Ok(())
    }

    fn report(&self, table: &Table, seconds: Duration, output: Output) -> Result<(), Failure> {
        let rows = table.rows.len() + table.faults.len() + table.empty;
        if output.is_json {
            return output.print_json(&Report {
                id: &self.import.id,
                rows,
                imported: self.imported,
                repeated: self.repeated,
                empty: table.empty,
                failed: &self.faults,
                seconds: seconds.as_secs_f64(),
            });
        }
        let rate = self.imported as f64 / seconds.as_secs_f64().max(0.001);
        let mut text = format!(
            "{}: {} imported in {:.1} s ({rate:.0} a second), {} failed",
            number_of(rows, "row"),
            self.imported,
            seconds.as_secs_f64(),
            self.faults.len()
        );
        if table.empty > 0 {
            text += &format!(", {} without a value", table.empty);
        }
        let id = &self.import.id;
        text += &format!("\nimport id: {id}\n");
        if let Some(repeated) = self.repeated.filter(|repeated| *repeated > 0) {
            text += &format!(
                "{} had been imported with this id before, and changed no units now. For a new import, use another --id\n",
                number_of(repeated, "row")
            );
        }
        for Fault { line, sku, reason } in self.faults.iter().take(LISTED) {
            text += &match sku.as_str() {
                "" => format!("line {line}: {reason}\n"),
                sku => format!("line {line}: {sku}: {reason}\n"),
            };
        }
        if self.faults.len() > LISTED {
            text += &format!("and {} more; --json and --rejects have all\n", self.faults.len() - LISTED);
        }
        if !self.faults.is_empty() {
            text +=
                &format!("To import the rest, correct these rows and run the command again with --id {id}\n");
        }
        output.print(&plain(&text))
    }
}

/// The mark of the question whether a token is remembered.
const REMEMBERS: &str = "EXISTS";

/// Requests with the rows to which they belong.
#[derive(Default)]
struct Batch {
    requests: Vec<Request>,
    owners: Vec<(usize, &'static str)>,
}

impl Batch {
    fn add(&mut self, row: usize, column: &'static str, request: Request) {
        self.requests.push(request);
        self.owners.push((row, column));
    }

    /// Sends them and calls `each` with the answers.
    fn send(
        self,
        masters: &mut Masters,
        mut each: impl FnMut(usize, &'static str, RedisResult<Value>),
    ) -> Result<(), Failure> {
        let answers = deliver(masters, &self.requests)?;
        for ((row, column), answer) in self.owners.into_iter().zip(answers) {
            each(row, column, answer);
        }
        Ok(())
    }
}

/// Writes the lines that failed as they were, after the header.
fn write_rejects(path: &Path, bytes: &[u8], header: &str, faults: &[Fault]) -> Result<(), Failure> {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut text = header.as_bytes().to_vec();
    text.push(b'\n');
    for fault in faults {
        text.extend_from_slice(lines.get(fault.line - 1).copied().unwrap_or_default());
        text.push(b'\n');
    }
    fs::write(path, text)
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
}

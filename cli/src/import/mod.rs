//! `inv import`: stock and settings from CSV.
//!
//! [`table`] reads the file into [`row`]s, [`commands`] says what is sent for a row, [`preview`] shows what would change, and
//! [`report`] what has changed.

pub mod commands;
mod interruption;
pub mod preview;
mod report;
pub mod row;
pub mod table;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use redis::{RedisResult, Value, from_redis_value};

use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::server::deliver::{Request, deliver};
use crate::server::masters::Masters;
use crate::server::{address, reason};
use commands::Import;
use interruption::Interruption;
use report::Report;
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

/// The longest id of an import, in bytes: a token contains it.
const LONGEST_ID: usize = 200;

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
    let interruption = Interruption::expect()?;
    let progress = output.progress("rows", Some(table.rows.len() as u64));
    let start = Instant::now();
    let repeated = import.may_ask(&table.rows, &mut masters).then_some(0);
    let mut run = Run { import: &import, interruption, imported: 0, repeated, faults: table.faults.clone() };
    let failure = table.rows.chunks(BATCH).find_map(|rows| run.bring_in(&mut masters, rows, &progress).err());
    let seconds = start.elapsed().as_secs_f64();
    drop(progress);
    run.faults.sort_by_key(|fault| fault.line);
    let report = Report {
        id: &import.id,
        rows: table.rows.len() + table.faults.len() + table.empty,
        is_complete: failure.is_none(),
        error: failure.as_ref().map(|failure| failure.text.as_str()),
        imported: run.imported,
        repeated: run.repeated,
        empty: table.empty,
        left: (table.rows.len() + table.faults.len()).saturating_sub(run.imported + run.faults.len()),
        failed: &run.faults,
        seconds,
    };
    let rejects = options.rejects.as_deref();
    let told = rejects
        .map_or(Ok(()), |path| write_rejects(path, &bytes, &table.header, &run.faults))
        .and(report.print(output));
    if let Some(failure) = failure {
        return Err(failure);
    }
    told?;
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
    interruption: Interruption,
    imported: usize,
    repeated: Option<usize>,
    faults: Vec<Fault>,
}

impl Run<'_> {
    /// Imports some rows: first their settings, and then the units of those whose settings were accepted. A warehouse must exist
    /// before units are booked into it, or they would belong to no product.
    ///
    /// If it ends early, the rows that have all their answers are counted nevertheless.
    fn bring_in(&mut self, masters: &mut Masters, rows: &[Row], progress: &Progress) -> Result<(), Failure> {
        let mut fates: Vec<Fate> = vec![Fate::Imported; rows.len()];
        let mut settings = Batch::default();
        for (at, row) in rows.iter().enumerate() {
            for setting in &row.settings {
                settings.add(at, setting.kind.column(), self.import.setting(row, setting));
            }
        }
        let mut failure = settings.send(masters, &self.interruption, |at, column, answer| match answer {
            None => fates[at].is_not(Fate::Left),
            Some(Err(error)) => fates[at].is_not(Fate::Failed(format!("{column}: {}", reason::text(&error)))),
            Some(Ok(_)) => {}
        });
        if failure.is_none() {
            failure = self.bring_in_units(masters, rows, &mut fates);
        } else {
            for (fate, _) in fates.iter_mut().zip(rows).filter(|(_, row)| row.count.is_some()) {
                fate.is_not(Fate::Left);
            }
        }
        for (row, fate) in rows.iter().zip(fates) {
            match fate {
                Fate::Imported => self.imported += 1,
                Fate::Failed(reason) => self.faults.push(row.fault(reason)),
                Fate::Left => {}
            }
        }
        progress.add(rows.len() as u64);
        failure.map_or(Ok(()), Err)
    }

    /// Changes the units of the rows whose settings were accepted.
    fn bring_in_units(&mut self, masters: &mut Masters, rows: &[Row], fates: &mut [Fate]) -> Option<Failure> {
        let mut counts = Batch::default();
        for ((at, row), _) in
            rows.iter().enumerate().zip(&*fates).filter(|(_, fate)| matches!(fate, Fate::Imported))
        {
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
        let failure = counts.send(masters, &self.interruption, |at, column, answer| match answer {
            Some(Ok(answer)) if column == REMEMBERS => {
                let is_known: bool = from_redis_value(answer).unwrap_or_default();
                repeated = repeated.map(|repeated| repeated + usize::from(is_known));
            }
            Some(Err(_)) if column == REMEMBERS => repeated = None,
            None if column == REMEMBERS => {}
            Some(Ok(_)) => {}
            Some(Err(error)) => fates[at].is_not(Fate::Failed(reason::text(&error))),
            None => fates[at].is_not(Fate::Left),
        });
        self.repeated = self.repeated.zip(repeated).map(|(before, now)| before + now);
        failure
    }
}

/// What became of a row.
#[derive(Clone)]
enum Fate {
    Imported,
    /// With the reason.
    Failed(String),
    /// The import ended before it was known.
    Left,
}

impl Fate {
    /// It is not imported. The first reason counts.
    fn is_not(&mut self, fate: Self) {
        if matches!(self, Self::Imported) {
            *self = fate;
        }
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

    /// Sends them and calls `each` with the answers, as far as there are any. Returns why there are not all.
    fn send(
        self,
        masters: &mut Masters,
        interruption: &Interruption,
        mut each: impl FnMut(usize, &'static str, Option<RedisResult<Value>>),
    ) -> Option<Failure> {
        if let Some(failure) = interruption.failure() {
            self.owners.into_iter().for_each(|(row, column)| each(row, column, None));
            return Some(failure);
        }
        let delivery = deliver(masters, &self.requests, || interruption.failure());
        for ((row, column), answer) in self.owners.into_iter().zip(delivery.answers) {
            each(row, column, answer);
        }
        delivery.failure
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

//! `inv rebuild`: a server that has lost its data from the tables of `inv mirror`, or the tables from the server.
//!
//! The keys are written in their plain form (docs/keys.md), and not with the module's commands: a record then has its own times,
//! parts and text, no floor or limit refuses what was allowed when it was made, and nothing depends on an order. Everything is
//! written only if it does not exist, so a rebuild can be repeated.

mod compare;
mod plan;
mod server;

use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use compare::{Comparison, compare, for_each_counter, for_each_page};
use plan::{Counters, Fate, Moment, first_of_quota, plan};
use serde_json::json;
use server::Server;

use crate::failure::{Exit, Failure};
use crate::keys::is_quota;
use crate::mirror::entry::Units;
use crate::mirror::{self, style_of};
use crate::output::Output;
use crate::server::address;
use crate::server::masters::Masters;
use crate::tables::rebuilding::{self, Counted};
use crate::tables::{self, State, Tables, failed};

/// Restore a server that has lost its data from the tables of inv mirror, or the tables from the server.
///
/// No mirror may work with these tables meanwhile, and no client with the server. docs/mirror.md says what is restored.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    tables: tables::Options,

    /// What is written.
    #[arg(long, value_enum, default_value_t = Direction::Server)]
    to: Direction,

    /// Only show how tables and server differ, and write nothing. The exit code is 1 if they do.
    #[arg(long)]
    dry_run: bool,

    /// Empty the database of the server first (FLUSHDB). Without this, a server that has stock or reservations is refused.
    #[arg(long)]
    flush: bool,

    /// How many differences are listed.
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    list: usize,
}

/// What a rebuild writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// The server becomes what the tables say.
    Server,
    /// The tables become what the server says; movements that explain the differences are added.
    Tables,
}

/// Rebuilds, or shows the differences.
pub fn run(options: &Options, address: &address::Options, output: Output) -> Result<Exit, Failure> {
    let address = address.address()?;
    let mut tables = Tables::connect(&options.tables, address.patience())?;
    if !options.dry_run {
        lock(&mut tables)?;
    }
    let mut masters = Masters::connect(address.clone())?;
    let style = style_of(&mut masters);
    let Some(state) = tables.state()? else {
        return Err(Failure::usage(format!(
            "schema {} has no tables of inv mirror: name another --schema, or run inv mirror first",
            tables.schema()
        )));
    };
    if state.style != style {
        return Err(Failure::usage(format!(
            "the tables are of a server with {} keys, and {} has {} keys: set inv.key-style on the server",
            state.style.word(),
            masters.name(),
            style.word()
        )));
    }
    let mut server = Server { masters, style };
    let moment = server.moment()?;
    if options.dry_run {
        let found = compare(&mut tables, &mut server, moment)?;
        return show(&found, options.list, output);
    }
    match options.to {
        Direction::Tables => {
            rebuilding::set_rebuilding(&mut tables.client, false).map_err(|error| failed(&error))?;
            mirror::follow(options.tables.clone(), tables, server.masters, output)
        }
        Direction::Server => {
            check_empty(options, state, &mut server)?;
            let begun = Instant::now();
            let written = to_server(&mut tables, &mut server, moment, output)?;
            let moment = server.moment()?;
            let found = compare(&mut tables, &mut server, moment)?;
            written.tell(begun.elapsed(), output)?;
            show(&found, options.list, output)
        }
    }
}

/// Waits a moment for a mirror that is just ending.
fn lock(tables: &mut Tables) -> Result<(), Failure> {
    let begun = Instant::now();
    while !tables.lock()? {
        if begun.elapsed() > Duration::from_secs(5) {
            return Err(Failure::refused(format!(
                "an inv mirror or another inv rebuild works with schema {}: stop it first",
                tables.schema()
            )));
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Checks that nothing is overwritten, unless a rebuild was begun before.
fn check_empty(options: &Options, state: State, server: &mut Server) -> Result<(), Failure> {
    if options.flush {
        return server.flush();
    }
    if state.is_rebuilding {
        return Ok(());
    }
    match server.any_key()? {
        None => Ok(()),
        Some(key) => Err(Failure::refused(format!(
            "{} is not empty: it has {key}. --dry-run shows how it differs from the tables; --flush empties its database first; \
             --to tables lets the tables follow it",
            server.masters.name()
        ))),
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    skus: usize,
    quotas: usize,
    settings: usize,
    live: usize,
    ended: usize,
    overdue: usize,
    without_deadline: usize,
    known: usize,
}

impl Written {
    fn tell(self, elapsed: Duration, output: Output) -> Result<(), Failure> {
        if output.is_json {
            return output.print_json(&json!({
                "event": "rebuilt", "skus": self.skus, "quotas": self.quotas, "settings": self.settings,
                "reservations": self.live, "outcomes": self.ended, "overdue": self.overdue,
                "without_deadline": self.without_deadline, "known_before": self.known,
                "seconds": elapsed.as_secs_f64(),
            }));
        }
        let mut text = format!(
            "rebuilt in {:.1} s: {} skus, {} quotas, {} settings, {} live reservations, {} outcomes",
            elapsed.as_secs_f64(),
            self.skus,
            self.quotas,
            self.settings,
            self.live,
            self.ended
        );
        if self.overdue > 0 {
            text += &format!("; {} reservations were overdue and have expired", self.overdue);
        }
        if self.without_deadline > 0 {
            text += &format!("; {} had no known deadline and got the default one", self.without_deadline);
        }
        if self.known > 0 {
            text += &format!("; {} were there already", self.known);
        }
        output.print(&(text + "\n"))
    }
}

fn to_server(
    tables: &mut Tables,
    server: &mut Server,
    moment: Moment,
    output: Output,
) -> Result<Written, Failure> {
    let mut written = Written::default();
    rebuilding::set_rebuilding(&mut tables.client, true).map_err(|error| failed(&error))?;
    let mut counters = Counters::default();
    for_each_page(tables, moment, |page| {
        for (id, row, successor) in &page {
            counters.add(row, &plan(id, row, *successor, moment));
        }
        Ok(())
    })?;

    let settings = rebuilding::settings(&mut tables.client).map_err(|error| failed(&error))?;
    written.settings = settings.len();
    server.write_settings(&settings)?;

    let progress = output.progress("counters", None);
    let mut without_row: std::collections::BTreeSet<String> = counters.held().cloned().collect();
    for table in [Counted::Stock, Counted::Quota] {
        for_each_counter(tables, table, |page| {
            let first = |(sku, units): (String, Units)| {
                let first = match table {
                    Counted::Stock => counters.first(&sku, units),
                    Counted::Quota => first_of_quota(units),
                };
                (sku, first)
            };
            for (sku, _) in &page {
                without_row.remove(sku);
            }
            match table {
                Counted::Stock => written.skus += page.len(),
                Counted::Quota => written.quotas += page.len(),
            }
            progress.add(page.len() as u64);
            let page: Vec<(String, Units)> = page.into_iter().map(first).collect();
            server.write_counters(&page)
        })?;
    }
    let rest: Vec<(String, Units)> = without_row
        .into_iter()
        .filter(|sku| !is_quota(sku))
        .map(|sku| {
            let first = counters.first(&sku, Units::default());
            (sku, first)
        })
        .collect();
    server.write_counters(&rest)?;
    drop(progress);

    let progress = output.progress("reservations", None);
    for_each_page(tables, moment, |page| {
        let ids: Vec<String> = page.iter().map(|(id, ..)| id.clone()).collect();
        let known = server.documents(&ids)?;
        let mut fates = Vec::new();
        for ((id, row, successor), known) in page.into_iter().zip(known) {
            let plan = plan(&id, &row, successor, moment);
            match (&plan.fate, known) {
                (Fate::Forgotten, _) => continue,
                (_, Some(_)) => written.known += 1,
                (Fate::Live { .. }, None) => {
                    written.live += 1;
                    written.without_deadline += usize::from(plan.lacks_deadline);
                    fates.push((id, plan.fate));
                }
                (Fate::Ended { .. }, None) => {
                    written.ended += 1;
                    written.overdue += usize::from(row.is_live() && !plan.is_sold);
                    fates.push((id, plan.fate));
                }
            }
        }
        progress.add(fates.len() as u64);
        server.write_reservations(&fates)
    })?;
    rebuilding::set_rebuilding(&mut tables.client, false).map_err(|error| failed(&error))?;
    Ok(written)
}

/// Shows the differences.
fn show(found: &Comparison, most: usize, output: Output) -> Result<Exit, Failure> {
    let number = found.differences.len();
    if output.is_json {
        for difference in found.differences.iter().take(most) {
            output.print_json(&json!({ "event": "difference", "difference": difference }))?;
        }
        output.print_json(&json!({
            "event": "compared", "differences": number, "skus": found.skus, "reservations": found.live,
            "outcomes": found.ended, "settings": found.settings,
        }))?;
    } else {
        let mut text = String::new();
        for difference in found.differences.iter().take(most) {
            let compare::Difference { kind, name, tables, server } = difference;
            text += &format!("{kind} {name}: tables: {tables}; server: {server}\n");
        }
        if number > most {
            text += &format!("and {} more\n", number - most);
        }
        text += &format!(
            "{number} differences: {} skus, {} live reservations, {} outcomes and {} settings were compared\n",
            found.skus, found.live, found.ended, found.settings
        );
        output.print(&crate::output::plain(&text))?;
    }
    Ok(if number == 0 { Exit::Done } else { Exit::Findings })
}

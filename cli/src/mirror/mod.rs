//! `inv mirror`: keeps the stock and its movements in PostgreSQL, exactly once in effect.
//!
//! The position of a feed and the rows that its entries lead to are written in one transaction, so whatever is killed, the next
//! attempt goes on after what was written. [`source`] reads servers, [`book`] decides, and [`writer`] writes while the next
//! entries are read. A [`session`] does it again and again: [`reading`] the feeds, and [`looking`] at the counters, in the order of a
//! [`walk`].

pub mod book;
pub mod entry;
mod epochs;
pub mod feed;
mod fork;
mod group;
mod looking;
mod reading;
mod report;
mod session;
pub mod source;
mod walk;
pub mod wire;
mod writer;

use std::thread;
use std::time::{Duration, SystemTime};

use redis::cmd;
use report::Report;
use session::Session;
pub(crate) use session::style_of;

use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::server::address::{self, Address};
use crate::server::masters::Masters;
use crate::server::node::Node;
use crate::tables::{self, Tables};

/// Keep the stock and all its movements in PostgreSQL.
///
/// The change feed has to be on (inv.feed-maxlen). The tables are created in a schema of their own. If two mirrors are started, the
/// second one waits until the first one ends. docs/mirror.md describes the tables and what happens when something fails.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    tables: tables::Options,

    /// Another address of the server, such as that of a replica. The one that is the master is read. Can be repeated.
    #[arg(long = "or-url", value_name = "URL")]
    or_urls: Vec<String>,

    /// Write everything that there is, compare the tables with the counters, and end. The exit code is 1 if entries were lost.
    #[arg(long)]
    once: bool,

    /// How many entries of a feed are read and written at a time.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "ENTRIES")]
    batch_size: u64,

    /// How often all counters and settings are compared with the tables.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), value_name = "SECONDS")]
    compare: u64,

    /// Do not show the lag on the server, as the consumer group inv-mirror of the feed.
    #[arg(long)]
    no_group: bool,
}

impl Options {
    fn shows_lag(&self) -> bool {
        !self.no_group
    }

    fn batch(&self) -> usize {
        usize::try_from(self.batch_size).unwrap_or(usize::MAX)
    }
}

/// Works until it is ended, or with `--once` until everything is written.
pub fn run(options: &Options, server: &address::Options, output: Output) -> Result<Exit, Failure> {
    let mut addresses = vec![server.address()?];
    for url in &options.or_urls {
        addresses.push(address::Options { url: Some(url.clone()), ..server.clone() }.address()?);
    }
    let mut report = Report::new(output);
    let (mut told, mut pause) = (String::new(), Duration::ZERO);
    let mut has_worked = false;
    loop {
        let before = report.movements;
        let failure = match work(options, &addresses, &mut report, &mut has_worked) {
            Ok(()) => return Ok(if report.lost > 0 { Exit::Findings } else { Exit::Done }),
            Err(failure) => failure,
        };
        // What is wrong from the beginning is not mended by trying again.
        let is_final = match failure.exit {
            Exit::Connection => options.once,
            Exit::Refused => options.once || !has_worked,
            Exit::Done | Exit::Findings | Exit::Usage | Exit::Interrupted => true,
        };
        if is_final {
            return Err(failure);
        }
        if failure.text != told || report.movements > before {
            let text = format!("{}; trying again", failure.text);
            report.tell("trouble", &text, serde_json::json!({ "text": failure.text }))?;
            told = failure.text;
            pause = Duration::ZERO;
        }
        pause = (pause * 2).clamp(Duration::from_millis(100), Duration::from_secs(5));
        thread::sleep(pause);
    }
}

/// One session.
fn work(
    options: &Options,
    addresses: &[Address],
    report: &mut Report,
    has_worked: &mut bool,
) -> Result<(), Failure> {
    let Some(first) = addresses.first() else { return Ok(()) };
    let mut tables = Tables::connect(&options.tables, first.patience())?;
    wait_for_lock(&mut tables, report)?;
    let masters = Masters::connect(master_among(addresses)?)?;
    let mut session = Session::begin(options, tables, masters)?;
    *has_worked = true;
    session.work(report)
}

/// Lets tables that are locked follow the server, whatever it has lost, and ends when they equal it.
pub(crate) fn follow(
    tables_options: tables::Options,
    tables: Tables,
    masters: Masters,
    output: Output,
) -> Result<Exit, Failure> {
    let options = Options {
        tables: tables_options,
        or_urls: Vec::new(),
        once: true,
        batch_size: 5000,
        compare: 30,
        no_group: true,
    };
    let mut session = Session::begin(&options, tables, masters)?;
    session.accepts_loss = true;
    session.work(&mut Report::new(output))?;
    Ok(Exit::Done)
}

/// Waits until no other mirror writes these tables.
fn wait_for_lock(tables: &mut Tables, report: &mut Report) -> Result<(), Failure> {
    let mut is_told = false;
    while !tables.lock()? {
        if !is_told {
            let text = format!(
                "another inv mirror or inv rebuild works with schema {}: this one waits until that ends",
                tables.schema()
            );
            report.tell("standby", &text, serde_json::json!({ "schema": tables.schema() }))?;
            is_told = true;
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// The address of the master, if the server has several.
pub(crate) fn master_among(addresses: &[Address]) -> Result<Address, Failure> {
    let mut failure = Failure::connection("no address was given");
    for address in addresses {
        let role = Node::connect(address.clone()).and_then(|mut node| {
            let name = node.name();
            let info =
                node.ask(cmd("INFO").arg("replication")).map_err(|error| wire::trouble(&name, &error))?;
            Ok(wire::text(info).unwrap_or_default())
        });
        match role {
            Ok(info) if wire::info_field(&info, "role") == Some("master") => return Ok(address.clone()),
            // In a cluster, any node leads to the masters.
            Ok(_)
                if addresses.len() == 1
                    && Masters::connect(address.clone()).is_ok_and(|found| found.is_cluster()) =>
            {
                return Ok(address.clone());
            }
            Ok(_) => {
                failure = Failure::connection(format!(
                    "{} is a replica: name its master, or all addresses of the server with --or-url",
                    address.name()
                ));
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Now, Unix ms.
pub(crate) fn now_ms() -> i64 {
    tables::ms(SystemTime::now())
}

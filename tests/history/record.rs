//! What is written down of a run: one JSON document a line. A file of such lines can be checked again on any machine.
//!
//! | `is` | meaning |
//! | --- | --- |
//! | `run` | the first line: where and how it ran |
//! | `call` | a command that a client sent, with its answer |
//! | `fault` | what was done to the servers. The checker needs no faults; they help a reader |
//! | `failover` | from now on, another server answers, or the same one after a restart, and some answers may be forgotten |
//! | `clock` | the clock of a server was set |
//! | `feed` | an entry of the change feed of a shop, as it was at the end |
//! | `rest` | no client sends anything any more, and every deadline has passed. What follows was read at rest |
//! | `server` | what a server was like at rest |

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Microseconds since the run began, by a clock that never jumps.
pub type Moment = u64;

/// A line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Entry {
    Run(Run),
    Call(Call),
    Fault(Fault),
    Failover(Failover),
    Clock(Clock),
    Feed(FeedEntry),
    Rest { at: Moment },
    Server(AtRest),
}

/// What a server was like at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtRest {
    pub server: String,
    /// Whether it had the data of its master.
    pub same: bool,
    /// What the module counted: panics, and reserved units that no reservation held.
    pub panics: i64,
    pub unexplained: i64,
}

/// Where and how it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub site: String,
    pub seed: u64,
    pub server: String,
    pub durability: Durability,
    /// The lifetime of a reservation that names none, ms.
    pub hold_ttl: i64,
    /// The floors and limits that were set before the first call, by sku and product.
    pub floors: BTreeMap<String, i64>,
    pub limits: BTreeMap<String, i64>,
}

/// What a client waits for before it relies on an answer, and what a server has on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Replication alone, no AOF.
    #[default]
    None,
    /// An AOF that is synced every second.
    Everysec,
    /// An AOF that is synced before each answer.
    Always,
    /// Each answer is confirmed by a replica.
    Wait,
    /// Each answer is confirmed by the disks of the master and of a replica.
    Waitaof,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Everysec => "everysec",
            Self::Always => "always",
            Self::Wait => "WAIT 1",
            Self::Waitaof => "WAITAOF 1 1",
        }
    }
}

/// A command that a client sent once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The number of the request. A request that is sent again keeps its number.
    pub request: u64,
    pub client: u32,
    /// The server that answered, or to which it was sent.
    pub server: String,
    /// The products that it is about are those of this shop. All of a shop is in one slot.
    pub shop: String,
    pub start: Moment,
    pub end: Moment,
    /// Unix ms at start and end.
    pub wall: (i64, i64),
    pub words: Vec<String>,
    pub outcome: Outcome,
    /// The reply; the text of the error; or why it is not known.
    pub answer: Json,
    /// Whether the answer was confirmed as the durability asks. Absent if nothing was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// What a client knows about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok,
    /// It was answered with an error, and so has changed nothing.
    Fail,
    /// It may have taken effect, or may still do so.
    Unknown,
}

/// Something that was done to the servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub what: String,
    pub server: String,
    pub start: Moment,
    pub end: Moment,
}

/// A change of the master that may forget the latest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// Why: what happened to the old master.
    pub what: String,
    pub from: String,
    /// The new master. It is the old one after a restart.
    pub to: String,
    /// Before this moment the new master accepted no write.
    pub promoted: Moment,
    /// After this moment the old master answered nothing that clients rely on.
    pub over: Moment,
    /// For each shop that is concerned, the last entry of its feed that came from the old master, or a later position before
    /// the first entry of the new one.
    pub last: BTreeMap<String, FeedId>,
}

/// The clock of a server was set: from now on it differs by this from the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub server: String,
    pub start: Moment,
    pub end: Moment,
    /// In ms.
    pub offset: i64,
}

/// The id of an entry of a stream.
pub type FeedId = (u64, u64);

/// An entry of the change feed that is about a sku.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedEntry {
    pub shop: String,
    pub id: FeedId,
    pub event: String,
    pub sku: String,
    pub quantity: i64,
    pub available: i64,
    pub reserved: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Everything that is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub run: Run,
    /// In the order of their ends.
    pub calls: Vec<Call>,
    pub faults: Vec<Fault>,
    /// In the order in which they happened.
    pub failovers: Vec<Failover>,
    pub clocks: Vec<Clock>,
    /// By shop, in the order of the stream.
    pub feeds: BTreeMap<String, Vec<FeedEntry>>,
    /// When everything was at rest.
    pub rest: Option<Moment>,
    pub servers: Vec<AtRest>,
}

impl History {
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Run(run) => self.run = run,
            Entry::Call(call) => self.calls.push(call),
            Entry::Fault(fault) => self.faults.push(fault),
            Entry::Failover(failover) => self.failovers.push(failover),
            Entry::Clock(clock) => self.clocks.push(clock),
            Entry::Feed(entry) => self.feeds.entry(entry.shop.clone()).or_default().push(entry),
            Entry::Rest { at } => self.rest = Some(at),
            Entry::Server(server) => self.servers.push(server),
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let calls = self.calls.iter().cloned().map(Entry::Call);
        let faults = self.faults.iter().cloned().map(Entry::Fault);
        let failovers = self.failovers.iter().cloned().map(Entry::Failover);
        let clocks = self.clocks.iter().cloned().map(Entry::Clock);
        let feeds = self.feeds.values().flatten().cloned().map(Entry::Feed);
        let rest = self.rest.into_iter().map(|at| Entry::Rest { at });
        let servers = self.servers.iter().cloned().map(Entry::Server);
        let head = std::iter::once(Entry::Run(self.run.clone()));
        head.chain(faults).chain(failovers).chain(clocks).chain(rest).chain(servers).chain(calls).chain(feeds)
    }

    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for entry in self.entries() {
            serde_json::to_writer(&mut file, &entry)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    pub fn read(path: &Path) -> std::io::Result<Self> {
        let mut history = Self::default();
        for line in BufReader::new(File::open(path)?).lines() {
            history.add(serde_json::from_str(&line?)?);
        }
        Ok(history)
    }
}

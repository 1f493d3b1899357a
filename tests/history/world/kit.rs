//! What all sites need: places for their servers, their configuration, and their data at rest.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::clock::Clocks;
use super::disk::Disk;
use super::net::{Net, wrapper};
use crate::client::{Node, Stage};
use crate::harness::{LATER, Place, Server, wait_until};
use crate::record::{AtRest, Durability, Entry, Fault, FeedEntry, FeedId, Moment};
use crate::shop::Shop;

/// What the machine allows to do to the servers.
#[derive(Default)]
pub struct Kit {
    pub net: Option<Net>,
    /// A disk for each server, or none.
    pub disks: Vec<Disk>,
    pub clocks: Option<Clocks>,
    scripts: Option<TempDir>,
}

/// What a run needs of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub net: bool,
    pub disks: bool,
    pub clocks: bool,
}

impl Kit {
    /// Prepares what is needed for this many servers. The error says what the machine lacks.
    pub fn prepare(needs: Needs, servers: usize) -> Result<Self, String> {
        let mut kit = Self::default();
        if needs.net {
            kit.net = Some(
                Net::build(servers).map_err(|why| format!("no network namespaces can be made ({why})"))?,
            );
        }
        if needs.disks {
            let disks = (0..servers).map(|_| Disk::mount()).collect::<Result<_, _>>();
            kit.disks = disks.map_err(|why| format!("no disk can be mounted ({why})"))?;
        }
        if needs.clocks {
            kit.clocks = Some(Clocks::find().map_err(|why| format!("no clock can be set ({why})"))?);
        }
        Ok(kit)
    }

    /// Where a server runs, counted from 0.
    pub fn place(&mut self, number: usize, program: &Path, module: &Path) -> Place {
        let mut place = Place { program: program.into(), module: module.into(), ..Place::here() };
        let mut before = Vec::new();
        if let Some(net) = &self.net {
            place.host = net.address(number + 1);
            before.push(net.command(number + 1));
        }
        if let Some(clocks) = &self.clocks {
            before.push(clocks.environment(&name(number)));
        }
        if let Some(disk) = self.disks.get(number) {
            place.folders = disk.path().into();
        }
        if !before.is_empty() {
            let folder = self.scripts.get_or_insert_with(|| TempDir::new().expect("a temporary folder"));
            place.program = wrapper(folder.path(), &name(number), &before.join(" "), program);
        }
        place
    }
}

/// The name of a server in the history.
pub fn name(number: usize) -> String {
    format!("n{}", number + 1)
}

pub fn node(number: usize, server: &Server) -> Node {
    let address: SocketAddr = format!("{}:{}", server.host(), server.port()).parse().expect("an address");
    Node { name: name(number), address }
}

/// The lines of configuration of all servers.
pub fn options(durability: Durability) -> Vec<&'static str> {
    let mut options = vec![
        "inv.outcome-ttl-ms 1000000000",
        "inv.feed-maxlen 1000000000",
        "inv.hold-ttl-ms 800",
        "repl-backlog-size 16mb",
        "repl-timeout 10",
    ];
    options.extend(match durability {
        Durability::None => vec!["appendonly no"],
        Durability::Everysec | Durability::Wait => vec!["appendonly yes", "appendfsync everysec"],
        Durability::Always | Durability::Waitaof => vec!["appendonly yes", "appendfsync always"],
    });
    options
}

/// What `inv.hold-ttl-ms` is above.
pub const HOLD_TTL: i64 = 800;

/// Writes down what was done to a server.
pub fn note(entries: &mut Vec<Entry>, what: &str, server: usize, start: Moment, stage: &Stage) {
    let fault = Fault { what: what.to_owned(), server: name(server), start, end: stage.now() };
    entries.push(Entry::Fault(fault));
}

/// Lets clients go on for a while. The faults come at random times, so there is no condition to wait for.
pub fn let_shop(ms: u64) {
    thread::sleep(Duration::from_millis(ms));
}

/// Waits until a replica has what its master has sent by now. Clients go on, so there is always more.
pub fn wait_until_in_sync(replica: &Server, master: &Server) {
    let offset = |server: &Server, field: &str| -> u64 {
        server.connect().info("replication", field).parse().unwrap_or(0)
    };
    replica.wait_for_info("replication", "master_link_status", "up");
    let sent = offset(master, "master_repl_offset");
    wait_until("the replica has what was sent", LATER, || offset(replica, "slave_repl_offset") >= sent);
}

/// The id of the last entry of a shop's feed.
pub fn last_of_feed(server: &Server, shop: &Shop) -> FeedId {
    let last = server.connect().ask(["XREVRANGE", &shop.feed, "+", "-", "COUNT", "1"]);
    last[0][0].as_str().map_or((0, 0), feed_id)
}

fn feed_id(text: &str) -> FeedId {
    let (time, number) = text.split_once('-').expect("an id of a stream");
    (time.parse().expect("a number"), number.parse().expect("a number"))
}

/// The whole feed of a shop.
pub fn read_feed(server: &Server, shop: &Shop) -> Vec<Entry> {
    let (mut client, mut from, mut entries) = (server.connect(), "-".to_owned(), Vec::new());
    loop {
        let page = client.ask(["XRANGE", &shop.feed, &from, "+", "COUNT", "2000"]);
        let Some(page) = page.as_array().filter(|page| !page.is_empty()) else { return entries };
        for found in page {
            let id = found[0].as_str().expect("an id");
            from = format!("({id}");
            let fields: Vec<&str> =
                found[1].as_array().expect("fields").iter().filter_map(|field| field.as_str()).collect();
            let field =
                |name: &str| fields.chunks(2).find(|pair| pair[0] == name).map(|pair| pair[1].to_owned());
            // Entries about alerts have no sku.
            let Some(sku) = field("sku") else { continue };
            let number = |name: &str| field(name).and_then(|text| text.parse().ok()).unwrap_or(0);
            entries.push(Entry::Feed(FeedEntry {
                shop: shop.name.clone(),
                id: feed_id(id),
                event: field("event").unwrap_or_default(),
                sku,
                quantity: number("quantity"),
                available: number("available"),
                reserved: number("reserved"),
                reservation: field("reservation_id"),
                replaces: field("replaces"),
                note: field("note"),
            }));
        }
    }
}

/// What a server is like at rest.
pub fn at_rest(number: usize, server: &Server, master: &Server) -> Entry {
    let digest = |server: &Server| server.connect().ask("DEBUG DIGEST");
    let mut client = server.connect();
    let mut count = |field: &str| client.info("inv", field).parse().unwrap_or(0);
    let (panics, unexplained) = (count("inv_panics_total"), count("inv_unexplained_units"));
    Entry::Server(AtRest {
        server: name(number),
        same: digest(server) == digest(master),
        panics,
        unexplained,
    })
}

/// Cuts off the end of the server's AOF, while it does not run.
pub fn shorten_aof(server: &Server, size: u64) {
    let file = std::fs::File::options().write(true).open(newest_aof(server)).expect("an AOF");
    file.set_len(size).expect("a shorter AOF");
}

pub fn size_of_aof(server: &Server) -> u64 {
    std::fs::metadata(newest_aof(server)).expect("an AOF").len()
}

/// The file to which the server appends now.
fn newest_aof(server: &Server) -> PathBuf {
    let number = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("appendonly.aof.")?.strip_suffix(".incr.aof")?.parse::<u64>().ok()
    };
    let folder = std::fs::read_dir(server.folder().join("appendonlydir")).expect("a folder");
    let files = folder.map(|file| file.expect("a file").path()).filter(|path| number(path).is_some());
    files.max_by_key(number).expect("an AOF")
}

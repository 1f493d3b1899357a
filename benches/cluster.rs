//! Measures the module in a cluster, on real servers of this machine: `make bench-cluster`.
//!
//! It starts temporary servers on free ports: clusters of 1, 2 and 3 masters and a standalone server, each with and without
//! the module. The configurations take turns, round by round, and the table is saved in `benches/results/`. The load comes from
//! this program, with a thread for each master; `cluster/drive.rs` explains why it does not come from the server's benchmark
//! program.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use drive::{Lane, drive};
use harness::{Client, Server, server_program};
use hot::{Hot, Sale};
use options::Options;
use redis_inventory::inventory::cluster_slot::Slot;
use report::{Figures, Idle, Report, Row};
use shards::Cluster;
use wire::{Batch, Line};

#[path = "cluster/drive.rs"]
mod drive;
#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "cluster/hot.rs"]
mod hot;
#[path = "common/machine.rs"]
mod machine;
#[path = "../tests/server/network.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
mod network;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/options.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod options;
#[path = "cluster/report.rs"]
mod report;
#[path = "../tests/server/shards.rs"]
#[allow(dead_code, reason = "only the tests use all of it")]
mod shards;
#[path = "../tests/server/slots.rs"]
mod slots;
#[path = "common/wire.rs"]
mod wire;

const SLOTS: usize = 16_384;
/// Connections over all masters together: a number that 1, 2 and 3 divide.
const CONNECTIONS: usize = 48;
const PIPELINES: [usize; 2] = [32, 1];
/// Coprime to the number of products of each master, so that every product has its turn and none repeats soon.
const STRIDE: usize = 7_919;
/// Masters of a cluster that is large enough to make its gossip measurable, and how long it is observed.
const LARGE: usize = 24;
const WATCHED: Duration = Duration::from_secs(8);
/// A `cluster-node-timeout` that makes nodes exchange messages constantly.
const TALKATIVE_MS: u32 = 1_000;
/// Configuration of every node. The tests use a short node timeout; here, a busy node must not be taken for a failed one.
const NODE: [&str; 2] = ["cluster-node-timeout 15000", "cluster-announce-ip 127.0.0.1"];

/// The command that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Reserve,
    Get,
    Commit,
    Set,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Reserve => "INV.RESERVE",
            Kind::Get => "INV.GET",
            Kind::Commit => "INV.COMMIT",
            Kind::Set => "SET of the record, PXAT",
        }
    }

    /// Its name in INFO commandstats.
    fn counted_as(self) -> &'static str {
        if self == Kind::Set { "set" } else { self.name() }
    }

    /// Adds the command for reservation number `n`, of the only product with this tag.
    fn push(self, batch: &mut Batch, tag: &str, n: usize) {
        let id = format!("{{{tag}}}:r{n:09}");
        match self {
            Kind::Reserve => {
                batch.push(&["INV.RESERVE", &id, "EX", "900", "ITEMS", &format!("{{{tag}}}:P"), "1"]);
            }
            Kind::Get => batch.push(&["INV.GET", &id]),
            Kind::Commit => batch.push(&["INV.COMMIT", &id]),
            Kind::Set => {
                let record = format!(
                    "{{\"reservation_id\":\"{id}\",\"created_at\":1763820000000,\"expires_at\":1763820900000,\
                     \"items\":[{{\"product_id\":\"{{{tag}}}:P\",\"quantity\":1}}]}}"
                );
                batch.push(&["SET", &format!("reservation:{id}"), &record, "PXAT", "4102444800000"]);
            }
        }
    }
}

/// A tag for each slot.
fn tags() -> &'static [String] {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    TAGS.get_or_init(|| {
        let mut tags = vec![String::new(); SLOTS];
        let mut left = SLOTS;
        for number in 100_000.. {
            let tag = format!("T{number}");
            let place = &mut tags[usize::from(Slot::of(&tag).number())];
            if place.is_empty() {
                *place = tag;
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        tags
    })
}

/// The tags of one of `masters` masters: [`Cluster`] gives each an equal share of the slots.
fn tags_of(master: usize, masters: usize) -> &'static [String] {
    &tags()[SLOTS * master / masters..SLOTS * (master + 1) / masters]
}

/// One configuration to compare: a cluster or a standalone server.
struct Side {
    nodes: Cluster,
    /// A standalone server.
    is_alone: bool,
    with_module: bool,
}

impl Side {
    fn alone(with_module: bool) -> Self {
        let server = if with_module {
            Server::start_with(&["inv.key-style tagged"])
        } else {
            Server::start_without_module(server_program(), &[])
        };
        let nodes = Cluster::of(vec![server]);
        Self { nodes, is_alone: true, with_module }
    }

    fn cluster(masters: usize, with_module: bool) -> Self {
        let mut nodes = Cluster::start_with(masters, 0, &NODE);
        if !with_module {
            // A node stores its knowledge of the cluster in a file.
            for node in &mut nodes.masters {
                node.shut_down();
                node.start_again_without_module();
            }
            nodes.wait_until_up();
        }
        Self { nodes, is_alone: false, with_module }
    }

    fn name(&self) -> String {
        match (self.is_alone, self.nodes.masters.len()) {
            (true, _) => "no cluster".to_owned(),
            (false, 1) => "1 master".to_owned(),
            (false, masters) => format!("{masters} masters"),
        }
    }

    fn kinds(&self) -> &'static [Kind] {
        if self.with_module { &[Kind::Reserve, Kind::Get, Kind::Commit] } else { &[Kind::Set] }
    }

    fn clients(&self) -> Vec<Client> {
        self.nodes.masters.iter().map(Server::connect).collect()
    }

    /// Empties the servers and adds enough stock of one product in each slot.
    fn prepare(&self) {
        let masters = &self.nodes.masters;
        for (number, server) in masters.iter().enumerate() {
            server.connect().ask("FLUSHALL SYNC");
            let mut stock = Batch::default();
            for tag in tags_of(number, masters.len()) {
                stock.push(&["SET", &format!("stock:available:{{{tag}}}:P"), "1000000"]);
            }
            drive(&mut [vec![Lane { line: Line::connect(server.port()), batches: vec![stock] }]]);
        }
    }

    /// The load for each master.
    fn lanes(&self, kind: Kind, requests: usize, pipeline: usize) -> Vec<Vec<Lane>> {
        let masters = self.nodes.masters.len();
        let connections = CONNECTIONS / masters;
        let lane = |master: usize, connection: usize| {
            let tags = tags_of(master, masters);
            let numbers: Vec<usize> = (connection..requests / masters).step_by(connections).collect();
            let batch = |numbers: &[usize]| {
                let mut batch = Batch::default();
                for &n in numbers {
                    kind.push(&mut batch, &tags[n * STRIDE % tags.len()], n);
                }
                batch
            };
            let line = Line::connect(self.nodes.masters[master].port());
            Lane { line, batches: numbers.chunks(pipeline).map(batch).collect() }
        };
        let lanes = |master| (0..connections).map(|connection| lane(master, connection)).collect();
        (0..masters).map(lanes).collect()
    }

    fn measure(&self, kind: Kind, requests: usize, pipeline: usize) -> Figures {
        let mut lanes = self.lanes(kind, requests, pipeline);
        let batches = lanes.iter().flatten().flat_map(|lane| &lane.batches);
        let commands: usize = batches.map(|batch| batch.commands).sum();
        let mut clients = self.clients();
        clients.iter_mut().for_each(|client| _ = client.ask("CONFIG RESETSTAT"));
        let cpu: Vec<f64> = clients.iter_mut().map(cpu_of).collect();
        let driven = drive(&mut lanes);
        let used = clients.iter_mut().zip(cpu).map(|(client, before)| cpu_of(client) - before).sum::<f64>();
        let (us, calls) = us_and_calls(&mut clients, kind.counted_as());
        assert_eq!(calls as usize, commands, "{}", kind.name());
        let mut batch_ms = driven.batch_ms;
        batch_ms.sort_by(f64::total_cmp);
        Figures {
            per_second: commands as f64 / driven.seconds,
            p50_ms: batch_ms[batch_ms.len() / 2],
            p99_ms: batch_ms[batch_ms.len() * 99 / 100],
            us_a_call: us / calls,
            servers_cpu: used / driven.seconds,
            load_cpu: driven.cpu.map(|cpu| cpu / driven.seconds),
            others_cpu: driven
                .machine_cpu
                .zip(driven.cpu)
                .map(|(machine, own)| ((machine - own - used) / driven.seconds).max(0.0)),
        }
    }
}

/// Processor seconds of a server since it started.
fn cpu_of(client: &mut Client) -> f64 {
    ["used_cpu_user", "used_cpu_sys"].iter().map(|field| number(client, "cpu", field)).sum()
}

fn number(client: &mut Client, section: &str, field: &str) -> f64 {
    client.info(section, field).parse().expect("a number")
}

/// The microseconds and calls of a command, added up over all servers.
fn us_and_calls(clients: &mut [Client], name: &str) -> (f64, f64) {
    let mut sums = (0.0, 0.0);
    for client in clients {
        let stats = client.ask("INFO commandstats");
        for line in stats.as_str().unwrap().lines() {
            let Some((command, figures)) =
                line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            if command.eq_ignore_ascii_case(name) {
                let of = |field: &str| {
                    figures.split(',').find_map(|figure| figure.strip_prefix(field)?.parse::<f64>().ok())
                };
                sums.0 += of("usec=").unwrap();
                sums.1 += of("calls=").unwrap();
            }
        }
    }
    sums
}

/// What servers consume without any client.
fn idle(nodes: &[Server], is_cluster: bool) -> Idle {
    let look = || {
        let mut sums = [0.0; 3];
        for node in nodes {
            let mut client = node.connect();
            sums[0] += cpu_of(&mut client);
            if is_cluster {
                let info = client.ask("CLUSTER INFO");
                let of = |field: &str| {
                    let mut lines = info.as_str().unwrap().lines();
                    lines.find_map(|line| line.strip_prefix(field)?.parse::<f64>().ok())
                };
                sums[1] += of("cluster_stats_messages_sent:").unwrap();
                // Redis has no such counter.
                sums[2] += of("cluster_stats_bytes_sent:").unwrap_or(f64::NAN);
            }
        }
        sums
    };
    let before = look();
    std::thread::sleep(WATCHED);
    let after = look();
    let each = |place: usize| (after[place] - before[place]) / WATCHED.as_secs_f64() / nodes.len() as f64;
    let nodes_bytes = if is_cluster {
        nodes[0].connect().ask("CLUSTER NODES").as_str().unwrap().len() as f64 / nodes.len() as f64
    } else {
        0.0
    };
    Idle {
        nodes: nodes.len(),
        is_cluster,
        cpu_ms: each(0) * 1000.0,
        messages: each(1),
        bytes: each(2),
        nodes_bytes,
    }
}

fn measure(options: &Options, sides: &[Side]) -> Vec<Row> {
    let mut rows: Vec<Row> = vec![];
    // The first load makes a server allocate its memory, so it is not counted.
    for side in sides {
        side.prepare();
        side.kinds().iter().for_each(|&kind| _ = side.measure(kind, options.requests, 32));
    }
    for round in 1..=options.rounds {
        for pipeline in PIPELINES {
            let requests = if pipeline == 1 { options.requests / 4 } else { options.requests };
            for side in sides {
                side.prepare();
                for &kind in side.kinds() {
                    let figures = side.measure(kind, requests, pipeline);
                    let side = side.name();
                    eprintln!(
                        "  round {round}, pipeline {pipeline:>2}, {side:<10} {:<24} {:>4.0} thousand/s {:>6.2} µs a call, \
                         servers {:.2} cores, load {:.2}, others {:.2}",
                        kind.name(),
                        figures.per_second / 1000.0,
                        figures.us_a_call,
                        figures.servers_cpu,
                        figures.load_cpu.unwrap_or(f64::NAN),
                        figures.others_cpu.unwrap_or(f64::NAN)
                    );
                    let known = rows
                        .iter_mut()
                        .find(|row| row.kind == kind && row.pipeline == pipeline && row.side == side);
                    match known {
                        Some(row) => row.figures.push(figures),
                        None => rows.push(Row { kind, pipeline, side, figures: vec![figures] }),
                    }
                }
                side.nodes.masters.iter().for_each(|server| _ = server.connect().ask("FLUSHALL SYNC"));
            }
        }
    }
    rows
}

/// Sells one product under one tag and under several, round by round: with enough stock, and until it is sold out.
fn measure_hot(options: &Options, cluster: &Cluster) -> Vec<Hot> {
    let mut all = vec![];
    for tags in [1, cluster.masters.len()] {
        for until_sold_out in [false, true] {
            all.push(Hot { tags, until_sold_out, sales: vec![] });
        }
    }
    for round in 1..=options.rounds {
        for hot in &mut all {
            let sale = hot::sell(cluster, hot.tags, hot.until_sold_out, options.requests, round);
            let Sale { reserved, extra, seconds, .. } = &sale;
            eprintln!(
                "  round {round}, hot product under {} tags{}: {reserved} reserved, {:.0} thousand/s, {extra} extra tries",
                hot.tags,
                if hot.until_sold_out { " until sold out" } else { "" },
                *reserved as f64 / seconds / 1000.0
            );
            hot.sales.push(sale);
        }
    }
    all
}

fn main() {
    let Some(options) = Options::read(3) else { return };
    let load_before = machine::load();
    eprintln!("  starting clusters ...");
    let mut sides = vec![];
    for masters in 0..=3 {
        for with_module in [true, false] {
            sides.push(match masters {
                0 => Side::alone(with_module),
                _ => Side::cluster(masters, with_module),
            });
        }
    }
    let server = machine::server_name(&mut sides[0].nodes.masters[0].connect());
    let rows = measure(&options, &sides);
    let three = &sides.iter().rfind(|side| side.with_module).unwrap().nodes;
    let hot = measure_hot(&options, three);
    eprintln!("  {WATCHED:?} of rest, two times ...");
    let (alone, small) = (idle(&sides[0].nodes.masters, false), idle(&three.masters, true));
    // Nothing else should run next to so many nodes.
    drop(sides);
    eprintln!("  starting {LARGE} masters, {WATCHED:?} of rest, two times ...");
    let cluster = Cluster::start_with(LARGE, 0, &NODE);
    let large = idle(&cluster.masters, true);
    // Causes many messages, to measure the cost of one.
    for node in &cluster.masters {
        node.connect().ask(format!("CONFIG SET cluster-node-timeout {TALKATIVE_MS}"));
    }
    let talkative = idle(&cluster.masters, true);
    let report = Report {
        command: format!(
            "scripts/bench.sh cluster --rounds {} --requests {}",
            options.rounds, options.requests
        ),
        server,
        load: (load_before, machine::load()),
        rounds: options.rounds,
        requests: options.requests,
        rows,
        hot,
        rest: [alone, small, large, talkative],
    };
    let text = report.markdown();
    print!("{text}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/cluster.md");
    std::fs::write(path, text).expect("a table");
    eprintln!("saved in benches/results/cluster.md");
}

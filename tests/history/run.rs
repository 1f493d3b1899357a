//! One run: servers, clients, faults, and the history of it all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::check::ask::asks;
use crate::client::{Client, Stage};
use crate::dice::Dice;
use crate::harness::{module, server_program};
use crate::record::{Call, Durability, Entry, History, Run};
use crate::shop::PRODUCTS;
use crate::world::cluster::Clustered;
use crate::world::kit::let_shop;
use crate::world::single::Single;
use crate::world::{HOLD_TTL, Kit, Needs};

/// The servers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A master with two replicas.
    Single,
    /// Three masters with a replica each.
    Cluster,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub site: Site,
    pub durability: Durability,
    pub needs: Needs,
    /// The module of an older version, with which the servers begin.
    pub before: Option<PathBuf>,
    pub seed: u64,
    pub length: Duration,
}

impl Plan {
    /// What the run is called in reports.
    pub fn name(&self) -> String {
        let site = if self.site == Site::Single { "master with two replicas" } else { "cluster" };
        let mut name = format!("{site}, {}", self.durability.name());
        for (is_so, word) in [
            (self.needs.net, ", partitions"),
            (self.needs.disks, ", full disks"),
            (self.needs.clocks, ", clocks"),
            (self.before.is_some(), ", upgrade"),
        ] {
            if is_so {
                name += word;
            }
        }
        name
    }

    fn servers(&self) -> usize {
        if self.site == Site::Single { 3 } else { 6 }
    }
}

/// The servers of either site.
pub enum World {
    Single(Single),
    Cluster(Clustered),
}

impl World {
    fn befall(&mut self, stage: &Stage) -> String {
        match self {
            Self::Single(single) => single.befall(stage),
            Self::Cluster(cluster) => cluster.befall(stage),
        }
    }

    fn calm(&mut self, stage: &Stage) {
        match self {
            Self::Single(single) => single.calm(stage),
            Self::Cluster(cluster) => cluster.calm(stage),
        }
    }

    fn settle(&mut self, stage: &Stage) {
        match self {
            Self::Single(single) => single.settle(stage),
            Self::Cluster(cluster) => cluster.settle(stage),
        }
    }

    fn upgrade(&mut self, module: &Path, stage: &Stage) {
        match self {
            Self::Single(single) => single.upgrade(module, stage),
            Self::Cluster(cluster) => cluster.upgrade(module, stage),
        }
    }

    fn entries(self) -> Vec<Entry> {
        match self {
            Self::Single(single) => single.entries,
            Self::Cluster(cluster) => cluster.entries,
        }
    }
}

/// The server that can have a clock of its own, or the one under test.
fn program(needs: Needs) -> Result<PathBuf, String> {
    if !needs.clocks {
        return Ok(server_program().into());
    }
    let found = std::env::var_os("INV_FAKETIME_SERVER");
    found
        .map(PathBuf::from)
        .ok_or_else(|| "no server starts with a clock of its own: see scripts/setup-faketime.sh".to_owned())
}

/// Carries out a plan. The error says what this machine lacks.
pub fn run(plan: &Plan, clients: u32) -> Result<History, String> {
    let begun = Instant::now();
    run_with(plan, clients, &mut |world, stage| {
        let what = world.befall(stage);
        eprintln!("    {:>6.1} s {what}", begun.elapsed().as_secs_f64());
    })
}

/// The same with something else than faults, which is done again and again.
pub fn run_with(
    plan: &Plan,
    clients: u32,
    act: &mut dyn FnMut(&mut World, &Stage),
) -> Result<History, String> {
    let program = program(plan.needs)?;
    let kit = Kit::prepare(plan.needs, plan.servers())?;
    let new = module();
    let module = plan.before.as_ref().unwrap_or(&new);
    let (mut world, shops, nodes) = match plan.site {
        Site::Single => {
            let single = Single::start(kit, &program, module, plan.durability, plan.seed);
            let nodes = single.nodes();
            (World::Single(single), Single::shops(), nodes)
        }
        Site::Cluster => {
            let cluster = Clustered::start(kit, &program, module, plan.durability, plan.seed);
            let nodes = cluster.nodes();
            let shops = cluster.shops();
            (World::Cluster(cluster), shops, nodes)
        }
    };
    let is_cluster = plan.site == Site::Cluster;
    let stage = Stage::new(shops, nodes, is_cluster, plan.durability, plan.before.is_some());
    let mut clerk = Client::new(&stage, 0, plan.seed);
    for (number, shop) in stage.shops.iter().enumerate() {
        for call in shop.opening(stage.basics) {
            clerk.require(number, &call);
        }
    }
    let mut calls = clerk.calls;
    calls.extend(load(plan, &stage, clients, &mut world, &new, act));
    world.calm(&stage);
    let rest = stage.now();
    calls.extend(last_reads(plan, &stage, &calls));
    world.settle(&stage);
    calls.sort_by_key(|call| call.end);
    let mut history = History {
        run: Run {
            site: format!("{:?}", plan.site).to_lowercase(),
            seed: plan.seed,
            server: program.display().to_string(),
            durability: plan.durability,
            hold_ttl: HOLD_TTL,
            ..Run::default()
        },
        calls,
        rest: Some(rest),
        ..History::default()
    };
    world.entries().into_iter().for_each(|entry| history.add(entry));
    Ok(history)
}

/// Clients and faults, until the time is over.
fn load(
    plan: &Plan,
    stage: &Stage,
    clients: u32,
    world: &mut World,
    new: &Path,
    act: &mut dyn FnMut(&mut World, &Stage),
) -> Vec<Call> {
    let mut dice = Dice::new(plan.seed ^ 0xFA);
    thread::scope(|scope| {
        let clients: Vec<_> = (1..=clients)
            .map(|number| {
                let client = Client::new(stage, number, plan.seed);
                scope.spawn(move || client.run())
            })
            .collect();
        let closing = Closing(stage);
        let begun = Instant::now();
        let_shop(500);
        if plan.before.is_some() {
            world.upgrade(new, stage);
        }
        while begun.elapsed() < plan.length {
            act(world, stage);
            let_shop(200 + dice.roll(800));
        }
        drop(closing);
        clients.into_iter().flat_map(|client| client.join().expect("no client fails")).collect()
    })
}

/// Ends the load when it is dropped, even if a fault fails: otherwise the run would hang.
struct Closing<'a>(&'a Stage);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Reads everything that can be read, at rest.
fn last_reads(plan: &Plan, stage: &Stage, calls: &[Call]) -> Vec<Call> {
    let mut clerk = Client::new(stage, 0, plan.seed);
    clerk.confirms = false;
    for (number, shop) in stage.shops.iter().enumerate() {
        let of_shop = calls.iter().filter(|call| call.shop == shop.name);
        let mut ids = BTreeSet::new();
        for call in of_shop {
            for id in asks(call).iter().flat_map(|asked| asked.ask.ids()) {
                // The whole id of a generated one is in the answers.
                if !id.ends_with('*') {
                    ids.insert(id.clone());
                }
            }
            ids.extend(call.answer["reservation_id"].as_str().map(str::to_owned));
        }
        for id in ids {
            clerk.require(number, &["INV.GET".to_owned(), id]);
        }
        let products = PRODUCTS.iter().map(|product| shop.id(product));
        let stock: Vec<String> = std::iter::once("INV.STOCK".to_owned()).chain(products).collect();
        clerk.require(number, &stock);
        for sku in shop.skus() {
            clerk.require(number, &["INV.AUDIT".to_owned(), sku]);
        }
        for buyer in buyers(calls.iter().filter(|call| call.shop == shop.name)) {
            clerk.require(number, &["INV.QUOTA".to_owned(), shop.id("L"), buyer]);
        }
    }
    clerk.calls
}

/// All buyers that calls name.
fn buyers<'a>(calls: impl Iterator<Item = &'a Call>) -> BTreeSet<String> {
    let named = calls.filter_map(|call| {
        let at = call.words.iter().position(|word| word == "BUYER")?;
        call.words.get(at + 1).cloned()
    });
    named.collect()
}

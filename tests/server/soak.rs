//! A long run of customers at a master with its replica, with one fault after the other: kills, pauses, failovers, full
//! memory. After each round every unit is counted.
//!
//! `make soak` runs it for an hour. `INV_SOAK_SECONDS` sets its length (20). `INV_SOAK_SEED` repeats the calls and the
//! faults, but their timing depends on the machine. `INV_SOAK_REPORT` names a file for the report.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::books::{Books, Units, counted};
use crate::customers::{self, Told};
use crate::dice::{Dice, any_seed, number};
use crate::harness::{Client, Json, LATER, Server, assert_same_data, code, wait_for, wait_until};
use crate::lines::{Life, Line, Lines};

const CUSTOMERS: u64 = 3;

/// The longest lifetime, ms. It is short, so that all reservations of a round end soon after it.
const LIFE: u64 = 1500;

/// The units of each product. There are so few RARE ones that customers wait for each other.
const STOCK: [(&str, i64); 6] =
    [("P", 1_000_000), ("Q", 1_000_000), ("R", 500), ("W", 4000), ("RARE", 12), (OWN, 1_000_000)];
/// The product of the test itself. Customers give it neither a limit nor a floor.
const OWN: &str = "OWN";
const WAREHOUSES: [&str; 3] = ["north", "south", "east"];

/// The run fails if a customer has repeated a call for this long without an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What happens to the servers in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Nothing,
    MasterKilled,
    ReplicaKilled,
    MasterFrozen,
    WritesPaused,
    AllPaused,
    FailoverInGoodOrder,
    ReplicaPromoted,
    MemoryFull,
    Rewritten,
    Restarted,
    Storm,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::Nothing,
        Self::MasterKilled,
        Self::ReplicaKilled,
        Self::MasterFrozen,
        Self::WritesPaused,
        Self::AllPaused,
        Self::FailoverInGoodOrder,
        Self::ReplicaPromoted,
        Self::MemoryFull,
        Self::Rewritten,
        Self::Restarted,
        Self::Storm,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no fault",
            Self::MasterKilled => "master killed (kill -9), started again",
            Self::ReplicaKilled => "replica killed (kill -9), started again",
            Self::MasterFrozen => "master stopped for a second (SIGSTOP)",
            Self::WritesPaused => "writes paused (CLIENT PAUSE WRITE)",
            Self::AllPaused => "all clients paused (CLIENT PAUSE ALL)",
            Self::FailoverInGoodOrder => "coordinated failover (FAILOVER)",
            Self::ReplicaPromoted => "master killed, replica promoted",
            Self::MemoryFull => "memory full (maxmemory)",
            Self::Rewritten => "AOF and RDB rewritten under load",
            Self::Restarted => "shut down, started again",
            Self::Storm => "5,000 deadlines at one moment",
        }
    }

    /// Whether the master can release reservations at any time.
    fn leaves_the_master_at_work(self) -> bool {
        matches!(self, Self::Nothing | Self::ReplicaKilled | Self::MemoryFull | Self::Rewritten)
    }

    /// Whether the latest changes may be lost, because replication is asynchronous.
    fn may_forget(self) -> bool {
        self == Self::ReplicaPromoted
    }
}

/// A master with its replica, which change roles.
struct Site {
    servers: [Server; 2],
    master: usize,
    /// The master's port, which the customers read.
    port: Arc<AtomicU16>,
    report: Report,
}

#[derive(Default)]
struct Report {
    commands: i64,
    reservations: i64,
    expired: i64,
    forgotten: i64,
    lost: i64,
    doubled: i64,
    rounds: BTreeMap<Fault, i64>,
    /// In ms: while the master was working, after a storm of deadlines, and while it could not release.
    worst_lag: i64,
    worst_lag_of_storms: i64,
    worst_lag_of_pauses: i64,
    /// The memory of the master and of the module's index, after the first pass over all faults and at the end.
    memory: Option<[Memory; 2]>,
    panics: i64,
}

#[derive(Clone, Copy)]
struct Memory {
    used: i64,
    index: i64,
}

/// The units of P that another program always holds. It notes them under a key of its own.
const HELD_ELSEWHERE: i64 = 7;

impl Site {
    fn open() -> Self {
        let options = [
            "appendonly yes",
            "appendfsync always",
            "inv.outcome-ttl-ms 1000000000",
            // A REPLACE without a lifetime may make a reservation.
            "inv.hold-ttl-ms 1500",
            // So small that it is full after the first rounds, and the memory can be compared.
            "repl-backlog-size 1mb",
        ];
        let servers = [Server::start_with(&options), Server::start_with(&options)];
        let mut shop = servers[0].connect();
        for (product, units) in STOCK {
            if product == "W" {
                let each = WAREHOUSES.map(|name| (name, units / 4));
                for (priority, (name, units)) in each.iter().enumerate() {
                    shop.ask(format!("INV.WAREHOUSES W SET {name} {priority}"));
                    shop.ask(format!("INV.SET W@{name} AVAILABLE {units}"));
                }
                shop.ask(format!("INV.ADJUST W@north {}", units / 4));
            } else {
                shop.ask(format!("INV.SET {product} AVAILABLE {units}"));
            }
        }
        // Another program shares the counters.
        shop.ask(format!("DECRBY stock:available:P {HELD_ELSEWHERE}"));
        shop.ask(format!("INCRBY stock:reserved:P {HELD_ELSEWHERE}"));
        shop.ask(format!("SET hold:77 {HELD_ELSEWHERE}"));
        let port = Arc::new(AtomicU16::new(servers[0].port()));
        let site = Self { servers, master: 0, port, report: Report::default() };
        site.follow();
        site
    }

    fn master(&mut self) -> &mut Server {
        &mut self.servers[self.master]
    }

    fn replica(&mut self) -> &mut Server {
        &mut self.servers[1 - self.master]
    }

    /// Makes the replica follow the master, and waits until it has the same data.
    fn follow(&self) {
        let (master, replica) = (&self.servers[self.master], &self.servers[1 - self.master]);
        replica.connect().ask(format!("REPLICAOF 127.0.0.1 {}", master.port()));
        replica.wait_for_master(master);
    }

    fn change_roles(&mut self) {
        self.master = 1 - self.master;
        self.port.store(self.servers[self.master].port(), Ordering::Relaxed);
    }

    /// One round: load with a fault, then a count of everything.
    fn round(&mut self, number: u64, fault: Fault, seed: u64) {
        let mut dice = Dice::new(seed ^ (number << 8));
        let before = self.stock();
        let over = AtomicBool::new(false);
        // The customers know only the port, because this thread replaces the servers.
        let port = &*Arc::clone(&self.port);
        let customers: Vec<Customer> = thread::scope(|scope| {
            let over = &over;
            let customers = (0..CUSTOMERS).map(|customer| {
                let dice = Dice::new(seed ^ (number << 8) ^ (customer + 1));
                let mut customer = Customer::new(port, dice, format!("{number}-{customer}-"), fault);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        customer.shop();
                    }
                    customer
                })
            });
            let customers: Vec<_> = customers.collect();
            // A round lasts for a random time, so there is no condition to wait for.
            thread::sleep(Duration::from_millis(300 + dice.roll(500)));
            self.befall(fault, number, &mut dice);
            thread::sleep(Duration::from_millis(300 + dice.roll(500)));
            over.store(true, Ordering::Relaxed);
            customers.into_iter().map(|customer| customer.join().expect("no customer fails")).collect()
        });
        let mut told = Told::default();
        for customer in customers {
            self.report.commands += customer.answered;
            self.report.forgotten += customer.forgotten;
            told.append(customer.told);
        }
        *self.report.rounds.entry(fault).or_default() += 1;
        self.count(&before, &told, fault);
    }

    fn befall(&mut self, fault: Fault, number: u64, dice: &mut Dice) {
        let (mut shop, replica_port) = (self.master().connect(), self.replica().port());
        match fault {
            Fault::Nothing => {}
            Fault::MasterKilled => {
                self.master().kill();
                self.master().start_again();
                self.master().mend_aof();
            }
            Fault::ReplicaKilled => {
                self.replica().kill();
                self.replica().start_again();
                self.follow();
            }
            Fault::MasterFrozen => {
                self.master().freeze();
                thread::sleep(Duration::from_millis(200 + dice.roll(1000)));
                self.master().thaw();
            }
            Fault::WritesPaused | Fault::AllPaused => {
                let what = if fault == Fault::AllPaused { "ALL" } else { "WRITE" };
                shop.ask(format!("CLIENT PAUSE {} {what}", 200 + dice.roll(800)));
                wait_until("the pause is over", LATER, || shop.try_ask("SET the:pause:is over").is_ok());
            }
            Fault::FailoverInGoodOrder => {
                self.follow();
                shop.ask(format!("FAILOVER TO 127.0.0.1 {replica_port}"));
                let mut promoted = self.replica().connect();
                wait_for("the replica is master", LATER, "master".to_owned(), || {
                    promoted.info("replication", "role")
                });
                self.change_roles();
            }
            Fault::ReplicaPromoted => {
                self.follow();
                self.master().kill();
                self.replica().connect().ask("REPLICAOF NO ONE");
                self.change_roles();
                self.replica().start_again();
                self.replica().mend_aof();
                self.follow();
            }
            Fault::MemoryFull => {
                // The memory is full at once, until the limit is removed.
                let used = counted_in(&mut shop, "memory", "used_memory");
                shop.ask(format!("CONFIG SET maxmemory {}", used / 2));
                let refused = || !shop.info("errorstats", "errorstat_OOM").is_empty();
                wait_until("a RESERVE is refused", LATER, refused);
                thread::sleep(Duration::from_millis(dice.roll(500)));
                shop.ask("CONFIG SET maxmemory 0");
                shop.ask("CONFIG RESETSTAT");
            }
            Fault::Rewritten => {
                self.master().rewrite("BGREWRITEAOF");
                self.master().rewrite("BGSAVE");
            }
            Fault::Restarted => {
                // Another client restores the record of a sold reservation. The reservation stays sold.
                let id = format!("{number}-copied");
                shop.ask(format!("INV.RESERVE {id} EX 900 ITEMS {OWN} 1"));
                let dump = "redis.call('SET', 'dump', redis.call('DUMP', KEYS[1]))";
                shop.ask(["EVAL", dump, "1", &format!("reservation:{id}")]);
                shop.ask(format!("INV.COMMIT {id}"));
                let restore = "redis.call('RESTORE', KEYS[1], 900000, redis.call('GET', 'dump')) redis.call('DEL', 'dump')";
                shop.ask(["EVAL", restore, "1", &format!("reservation:{id}")]);
                self.master().shut_down();
                self.master().start_again();
                let mut shop = self.master().connect();
                assert_eq!(code(&shop.refusal(format!("INV.COMMIT {id}"))), "FOREIGN");
                shop.ask(format!("DEL reservation:{id}"));
            }
            Fault::Storm => {
                let hold = "for i = 1, 5000 do redis.call('INV.RESERVE', ARGV[1] .. i, 'PX', 700, 'ITEMS', ARGV[2], 1) end";
                shop.ask(["EVAL", hold, "0", &format!("{number}-storm-"), OWN]);
            }
        }
    }

    /// The units of each product, while nothing is reserved.
    fn stock(&mut self) -> Units {
        let books = Books::read(&mut self.master().connect());
        by_product(&books.units())
    }

    /// Waits until every reservation of the round has ended, and counts everything.
    fn count(&mut self, before: &Units, told: &Told, fault: Fault) {
        self.follow();
        let mut shop = self.master().connect();
        let mut books = Books::default();
        wait_until("all reservations have ended", LATER, || {
            books = Books::read(&mut shop);
            books.live.is_empty() && books.unbalanced() == [("P".to_owned(), HELD_ELSEWHERE, 0)]
        });
        for (product, units) in by_product(&books.units()) {
            let missing = before[&product] - units;
            self.report.lost += missing.max(0);
            self.report.doubled += (-missing).max(0);
            assert_eq!(missing, 0, "units of {product} are missing after {fault:?}");
        }
        // Each load and each promotion reports the units of the other program, and no other units.
        assert_eq!(counted(&mut shop, "inv_unexplained_units") % HELD_ELSEWHERE, 0, "after {fault:?}");
        self.report.panics += counted(&mut shop, "inv_panics_total");
        self.look_at(told, fault, &mut shop);
        assert_same_data(&mut shop, &mut self.replica().connect());
        self.tidy(&mut shop);
    }

    /// Every reservation is in a state that its customer could expect. The delays of all releases go into the report.
    fn look_at(&mut self, told: &Told, fault: Fault, shop: &mut Client) {
        for ids in told.ids().chunks(200) {
            let commands: Vec<String> = ids.iter().map(|id| format!("INV.GET {id}")).collect();
            for (id, found) in ids.iter().zip(shop.burst(&commands)) {
                self.report.reservations += i64::from(!found.is_null());
                if !told.allows(id, &found) {
                    assert!(fault.may_forget(), "{id} is {found}, of {} ({fault:?})", told.states(id));
                    self.report.forgotten += 1;
                } else if found["state"] == "expired" {
                    let time = |field: &str| found[field].as_i64().expect("a time");
                    let late = time("resolved_at") - time("expires_at");
                    assert!(late >= 0, "{id} was released {late} ms after its deadline");
                    self.report.expired += 1;
                    let worst = match fault {
                        Fault::Storm => &mut self.report.worst_lag_of_storms,
                        _ if fault.leaves_the_master_at_work() => &mut self.report.worst_lag,
                        _ => &mut self.report.worst_lag_of_pauses,
                    };
                    *worst = late.max(*worst);
                }
            }
        }
    }

    /// Deletes all outcomes, tokens and alerts, and replaces the units that were sold.
    fn tidy(&mut self, shop: &mut Client) {
        let script = "
        for _, pattern in ipairs({'inventory:outcome:*', 'inventory:once:*', 'alert:*'}) do
          for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('UNLINK', key) end
        end";
        shop.ask(["EVAL", script, "0"]);
        // Rare products would stay sold out otherwise. FORCE, because some units are promised before they arrive.
        for (product, units) in STOCK {
            if product != "W" {
                shop.ask(format!("INV.SET {product} AVAILABLE {units} FORCE"));
            }
        }
        for (name, units) in WAREHOUSES.iter().zip([2000, 1000, 1000]) {
            shop.ask(format!("INV.SET W@{name} AVAILABLE {units} FORCE"));
        }
        let used = counted_in(shop, "memory", "used_memory");
        let now = Memory { used, index: counted(shop, "inv_index_bytes") };
        // The first pass over all faults fills the buffers and the backlog.
        let rounds: i64 = self.report.rounds.values().sum();
        let first = self.report.memory.filter(|_| rounds > 12).map_or(now, |[first, _]| first);
        self.report.memory = Some([first, now]);
    }
}

fn counted_in(shop: &mut Client, section: &str, field: &str) -> i64 {
    shop.info(section, field).parse().expect("a number")
}

fn by_product(units: &Units) -> Units {
    let mut sum = Units::new();
    for (sku, units) in units {
        let product = sku.split('@').next().unwrap_or(sku);
        *sum.entry(product.to_owned()).or_default() += units;
    }
    sum
}

/// A customer that repeats each call until it is answered.
struct Customer<'a> {
    port: &'a AtomicU16,
    client: Option<Client>,
    dice: Dice,
    lines: Lines,
    fault: Fault,
    answered: i64,
    forgotten: i64,
    told: Told,
}

impl<'a> Customer<'a> {
    fn new(port: &'a AtomicU16, dice: Dice, prefix: String, fault: Fault) -> Self {
        let lines = customers::lines(prefix, |dice| Life::For(49 + dice.up_to(LIFE)));
        Self { port, client: None, dice, lines, fault, answered: 0, forgotten: 0, told: Told::default() }
    }

    fn shop(&mut self) {
        let line = self.lines.call(&mut self.dice);
        let answer = self.tell(&line);
        self.answered += 1;
        if let Err(error) = self.told.hear(&line, &answer) {
            assert!(self.fault.may_forget(), "{error}");
            self.forgotten += 1;
        }
    }

    /// Sends a call until it is answered.
    fn tell(&mut self, line: &Line) -> Result<Json, String> {
        const PASSING: [&str; 6] = ["READONLY", "LOADING", "MASTERDOWN", "TRYAGAIN", "BUSY", "NOREPLICAS"];
        let begun = Instant::now();
        loop {
            self.told.send(line);
            match self.ask(line) {
                Some(Err(error)) if PASSING.contains(&code(&error)) => {}
                Some(answer) => return answer,
                None => {}
            }
            assert!(begun.elapsed() < PATIENCE, "{line:?} was not answered");
            // The master is down, or another server is the master now.
            self.client = None;
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn ask(&mut self, line: &Line) -> Option<Result<Json, String>> {
        if self.client.is_none() {
            self.client = Client::at(self.port.load(Ordering::Relaxed)).ok();
        }
        self.client.as_mut()?.ask_if_alive(line.join(" "))
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds: i64 = self.rounds.values().sum();
        let faults = rounds - self.rounds.get(&Fault::Nothing).copied().unwrap_or(0);
        writeln!(out, "| what | how many |\n|---|---:|")?;
        writeln!(out, "| commands answered | {} |", self.commands)?;
        writeln!(out, "| reservations | {} |", self.reservations)?;
        writeln!(out, "| of them given back by their deadline | {} |", self.expired)?;
        writeln!(out, "| rounds | {rounds} |")?;
        writeln!(out, "| faults survived | {faults} |")?;
        for (fault, times) in self.rounds.iter().filter(|(fault, _)| **fault != Fault::Nothing) {
            writeln!(out, "| - {} | {times} |", fault.name())?;
        }
        writeln!(out, "| units lost | {} |", self.lost)?;
        writeln!(out, "| units doubled | {} |", self.doubled)?;
        writeln!(
            out,
            "| answers forgotten by a promoted replica (asynchronous replication) | {} |",
            self.forgotten
        )?;
        writeln!(out, "| panics caught | {} |", self.panics)?;
        writeln!(out, "| worst release lag while the master was working | {} ms |", self.worst_lag)?;
        writeln!(out, "| - after 5,000 deadlines at one moment | {} ms |", self.worst_lag_of_storms)?;
        writeln!(out, "| - downtime and pauses included | {} ms |", self.worst_lag_of_pauses)?;
        for (memory, when) in self.memory.iter().flatten().zip(["at the start", "at the end"]) {
            let Memory { used, index } = memory;
            writeln!(
                out,
                "| memory used {when}, the index of it | {} KiB, {} KiB |",
                used / 1024,
                index / 1024
            )?;
        }
        Ok(())
    }
}

#[test]
fn a_long_run_with_one_fault_after_the_other_loses_no_unit() {
    let length = Duration::from_secs(number("INV_SOAK_SECONDS").unwrap_or(20));
    let seed = number("INV_SOAK_SEED").unwrap_or_else(any_seed);
    eprintln!("INV_SOAK_SEED={seed}");
    let begun = Instant::now();
    let mut site = Site::open();
    let mut dice = Dice::new(seed);
    for round in 0.. {
        if begun.elapsed() >= length {
            break;
        }
        // Each fault once, then random faults.
        let fault = match Fault::ALL.get(usize::try_from(round).expect("a small number")) {
            Some(fault) => *fault,
            None => *dice.pick(&Fault::ALL.each_ref()),
        };
        site.round(round, fault, seed);
        let (spent, report) = (begun.elapsed().as_secs(), &site.report);
        eprintln!(
            "{spent:5} of {} s, round {}: {}; {} commands, {} lost, {} doubled, lag {} ms",
            length.as_secs(),
            round + 1,
            fault.name(),
            report.commands,
            report.lost,
            report.doubled,
            report.worst_lag,
        );
    }
    eprintln!("\n{}", site.report);
    if let Ok(file) = std::env::var("INV_SOAK_REPORT") {
        std::fs::write(file, site.report.to_string()).expect("a report");
    }
    assert!(site.report.commands > 1000, "{} commands are no load", site.report.commands);
    assert_eq!(site.report.panics, 0);
}

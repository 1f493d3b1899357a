//! How many answers each kind of durability loses, and that the recovery job makes up for them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::assert_agrees;
use crate::example::orders::Method;
use crate::example::protocol::OrderState;
use crate::example::shop::Shop;
use crate::example::stock::Durability;
use crate::example::world::{Plan, World};

/// What fails.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The replica has received nothing for a while, and is promoted.
    Failover,
    /// The power of the master fails, and it starts again with what was on its disk.
    Power,
}

struct Mode {
    name: &'static str,
    stock: Vec<&'static str>,
    durability: Durability,
    fault: Fault,
    /// Whether answers may be lost.
    may_lose: bool,
}

fn modes() -> Vec<Mode> {
    let aof = |fsync| vec!["appendonly yes", fsync];
    let mode = |name, stock, durability, fault, may_lose| Mode { name, stock, durability, fault, may_lose };
    let (always, everysec) = ("appendfsync always", "appendfsync everysec");
    vec![
        mode("none, failover", vec!["appendonly no"], Durability::Server, Fault::Failover, true),
        mode("everysec, failover", aof(everysec), Durability::Server, Fault::Failover, true),
        mode("everysec, power failure", aof(everysec), Durability::Server, Fault::Power, true),
        mode("WAIT 1, failover", aof(everysec), Durability::Replica, Fault::Failover, false),
        mode("WAITAOF 1 1, failover", aof(everysec), Durability::Disks, Fault::Failover, false),
        mode("WAITAOF 1 1, power failure", aof(everysec), Durability::Disks, Fault::Power, false),
        mode("always, failover", aof(always), Durability::Server, Fault::Failover, true),
        mode("always, power failure", aof(always), Durability::Server, Fault::Power, false),
    ]
}

#[test]
fn each_kind_of_durability_loses_what_the_document_says_and_nothing_remains_different() {
    let mut report = Vec::new();
    let mut world = World::open(Plan::default());
    for mode in modes() {
        world = world.next(Plan {
            stock: mode.stock.clone(),
            durability: mode.durability,
            units: 100_000,
            ..Plan::default()
        });
        let (over, answered) = (AtomicBool::new(false), Mutex::new(0));
        let lost = Mutex::new(0);
        // WAITAOF waits for the next second, so more customers come for longer.
        let waits_for_disk = mode.durability == Durability::Disks;
        let (shops, seconds) = if waits_for_disk { (12, 4) } else { (3, 1) };
        thread::scope(|scope| {
            for seed in 0..shops {
                let (world, over, answered) = (&world, &over, &answered);
                scope.spawn(move || sell(world, seed, over, answered));
            }
            // A recovery job is always at work.
            let (world, over, lost) = (&world, &over, &lost);
            scope.spawn(move || {
                let process = world.process();
                while !over.load(Ordering::SeqCst) {
                    if let Ok(mut shop) = Shop::open(&process.settings) {
                        let _ = shop.recover();
                        *lost.lock().expect("a number") += shop.repairs.lost;
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            });
            // The load lasts so long; there is no condition to wait for.
            thread::sleep(Duration::from_secs(seconds));
            match mode.fault {
                Fault::Failover => {
                    world.part();
                    thread::sleep(Duration::from_millis(500));
                    over.store(true, Ordering::SeqCst);
                    world.fail_over();
                }
                Fault::Power => {
                    let is_everysec = mode.stock.contains(&"appendfsync everysec");
                    // What is written from now on does not reach the disk, and so is not confirmed by WAITAOF.
                    if waits_for_disk {
                        world.stock().ask("CONFIG SET appendfsync no");
                    }
                    let synced = world.size_of_aof();
                    thread::sleep(Duration::from_millis(500));
                    over.store(true, Ordering::SeqCst);
                    world.restart_stock(is_everysec.then_some(synced));
                }
            }
        });
        let answered = answered.into_inner().expect("a number");
        if waits_for_disk {
            world.stock().ask("CONFIG SET appendfsync always");
        }
        let mut shop = Shop::open(&world.process().settings).unwrap_or_else(|error| panic!("{error}"));
        world.let_payments_time_out();
        shop.recover().unwrap_or_else(|error| panic!("{error}"));
        let lost = lost.into_inner().expect("a number") + shop.repairs.lost;
        let account = world.settle();
        assert_agrees(&account);
        report.push(format!(
            "| {} | {answered} | {lost} | {} | {} |",
            mode.name,
            account.sold,
            account.differences.len()
        ));
        eprintln!("{}", report.last().expect("a row"));
        assert!(answered > 10, "{}: only {answered} orders were sold", mode.name);
        assert_eq!(lost > 0, mode.may_lose, "{}: {lost} answers were lost", mode.name);
    }
    println!(
        "| durability, fault | orders answered as sold | of them lost | sold in the end | differences |"
    );
    println!("{}", report.join("\n"));
}

/// Sells until it is over, and counts the orders that were answered as sold.
fn sell(world: &World, seed: u64, over: &AtomicBool, answered: &Mutex<u64>) {
    let process = world.process();
    let mut dice = Rng::with_seed(seed);
    let mut shop = None;
    while !over.load(Ordering::SeqCst) {
        let cart = world.cart(&mut dice, Method::Authorise);
        let open = shop.take().map_or_else(|| Shop::open(&process.settings), Ok);
        let Ok(mut open) = open else { continue };
        if matches!(open.checkout(&cart), Ok(OrderState::Sold)) {
            *answered.lock().expect("a number") += 1;
        }
        shop = Some(open);
    }
}

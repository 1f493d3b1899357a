//! A cluster: the feeds of all tags on all masters, slots that move, masters that change.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::harness::{Server, json, wait_until};
use crate::shards::Cluster;
use crate::world::{Mirror, PATIENCE, Tables, counters, mirror_once, run, url};

const TAGS: u64 = 40;

/// A customer in a cluster: each command goes to the master that serves the tag. Moving slots and dead masters refuse some.
fn visit(ports: &[u16], number: u64, over: &AtomicBool) -> u64 {
    let mut dice = Dice::new(number);
    let mut done = 0;
    while !over.load(Ordering::SeqCst) {
        let tag = dice.roll(TAGS);
        let id = format!("{{s{tag}}}:r{number}-{}", dice.roll(100));
        let units = dice.up_to(3);
        let command = match dice.roll(8) {
            0..3 => format!("INV.RESERVE {id} EX 9000 ITEMS {{s{tag}}}:p {units} {{s{tag}}}:w 1"),
            3 => format!("INV.COMMIT {id}"),
            4 => format!("INV.ROLLBACK {id}"),
            5 => format!("INV.ADJUST {{s{tag}}}:p {units}"),
            6 => format!("INV.EXTEND {id} EX {}", 9000 + units),
            _ => format!("INCRBY stock:available:{{s{tag}}}:p {units}"),
        };
        // The first node that does not redirect has the tag.
        for port in ports {
            let Ok(mut client) = crate::harness::Client::at(*port) else { continue };
            let Some(answer) = client.ask_if_alive(&command) else { continue };
            if !answer.is_err_and(|error| error.starts_with("MOVED") || error.starts_with("ASK")) {
                done += 1;
                break;
            }
        }
    }
    done
}

fn open(cluster: &Cluster) {
    for tag in 0..TAGS {
        let mut shop = cluster.shop(&format!("{{s{tag}}}"));
        shop.ask(format!("INV.WAREHOUSES {{s{tag}}}:w SET A 1"));
        shop.ask(format!("INV.ADJUST {{s{tag}}}:p 500"));
        shop.ask(format!("INV.ADJUST {{s{tag}}}:w@A 500"));
    }
}

fn all_counters(cluster: &Cluster) -> BTreeMap<String, (i64, i64)> {
    cluster.masters_now().into_iter().flat_map(|node| counters(&mut node.connect())).collect()
}

/// Mirrors once more, and compares with all masters.
#[track_caller]
fn settle(cluster: &Cluster, seed: &Server, tables: &Tables) {
    let (code, out, err) = mirror_once(&url(seed), tables, &[]);
    assert!(matches!(code, Some(0 | 1)), "{out}{err}");
    let (counters, stock) = (all_counters(cluster), tables.stock());
    let differing: Vec<_> = counters
        .iter()
        .filter(|(sku, units)| stock.get(*sku) != Some(units))
        .map(|(sku, units)| format!("{sku}: counters {units:?}, tables {:?}", stock.get(sku)))
        .collect();
    assert!(differing.is_empty() && counters.len() == stock.len(), "{differing:#?}");
    tables.check();
    let (code, out, err) = run(&["--url", &url(seed), "rebuild", &tables.url(), "--dry-run"]);
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn a_cluster_is_mirrored_while_its_slots_move() {
    let cluster = Cluster::start_with(3, 0, &["cluster-node-timeout 20000", "inv.feed-maxlen 10000"]);
    let tables = Tables::start();
    open(&cluster);
    let mut mirror = Mirror::start(&url(&cluster.masters[0]), &tables, &["--compare", "1"]);
    let over = AtomicBool::new(false);
    let ports = cluster.ports();
    let mut dice = Dice::new(3);
    thread::scope(|scope| {
        for number in 0..3 {
            let (over, ports) = (&over, &ports);
            scope.spawn(move || visit(ports, number, over));
        }
        for tag in 0..TAGS {
            let id = format!("{{s{tag}}}");
            let to = (cluster.owner(&id) + 1 + dice.place(2)) % 3;
            cluster.move_slot(&id, to);
        }
        over.store(true, Ordering::SeqCst);
    });
    wait_until("the tables say what the counters say", PATIENCE, || {
        assert!(mirror.runs(), "{}", mirror.log());
        all_counters(&cluster) == tables.stock()
    });
    mirror.kill();
    settle(&cluster, &cluster.masters[1], &tables);
    // Nothing was lost on the way, and each entry is one movement.
    assert_eq!(tables.ask("SELECT sum(lost) FROM epoch"), "0");
    assert_eq!(tables.ask("SELECT count(*) FROM gap"), "0");
    assert!(tables.ask("SELECT max(epoch) FROM epoch").parse::<i32>().expect("a number") > 1);
    let entries: i64 = (0..TAGS)
        .map(|tag| {
            let key = format!("inventory:feed:{{s{tag}}}");
            let entries = cluster.shop(&key).ask(["XRANGE", &key, "-", "+"]);
            let entries = entries.as_array().expect("entries");
            let alerts =
                entries.iter().filter(|entry| entry[1].as_array().expect("fields").contains(&json!("alert")));
            i64::try_from(entries.len() - alerts.count()).expect("a number")
        })
        .sum();
    assert_eq!(tables.ask("SELECT count(*) FROM stock_movement WHERE part = 1"), entries.to_string());
}

#[test]
fn a_master_of_a_cluster_that_dies_is_replaced_by_its_replica() {
    let mut cluster = Cluster::start_with(3, 1, &["inv.feed-maxlen 10000"]);
    let tables = Tables::start();
    open(&cluster);
    let mut mirror = Mirror::start(&url(&cluster.masters[0]), &tables, &["--compare", "1"]);
    wait_until("the tables say what the counters say", PATIENCE, || all_counters(&cluster) == tables.stock());
    let over = AtomicBool::new(false);
    let ports = cluster.ports();
    thread::scope(|scope| {
        for number in 0..2 {
            let (over, ports) = (&over, &ports);
            scope.spawn(move || visit(ports, number, over));
        }
        // The load lasts so long; there is no condition to wait for.
        thread::sleep(Duration::from_millis(500));
        cluster.masters[2].kill();
        let before = cluster.replicas[2][0].port();
        wait_until("the replica has taken over", PATIENCE, || {
            cluster.masters_now().iter().any(|node| node.port() == before)
        });
        thread::sleep(Duration::from_millis(500));
        over.store(true, Ordering::SeqCst);
    });
    wait_until("the tables say what the counters say", PATIENCE, || {
        assert!(mirror.runs(), "{}", mirror.log());
        all_counters(&cluster) == tables.stock()
    });
    mirror.kill();
    settle(&cluster, &cluster.masters[0], &tables);
}

//! Cluster nodes that fail, change roles, or lose contact with each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cluster_load::{NEVER, balanced_books, check_units, forgotten, stock, while_shopping};
use crate::harness::{
    Client, Json, LATER, Machine, SOON, Server, assert_same_data, code, wait_for, wait_until,
};
use crate::shards::{Cluster, GOSSIP, fail_over, follow};

/// Asserts that this master releases reservations on time.
fn keeps_deadlines(shop: &mut Client, product: &str) {
    let before = shop.counters(&format!("{{{product}}}"));
    // The best of several rounds, compared with what the machine allows at that time.
    let late = (0..4).map(|round| {
        let machine = Machine::watch();
        let deadline = shop.now() + 60;
        let id = format!("{{{product}}}:late-{round}-{deadline}");
        shop.ask(format!("INV.RESERVE {id} PXAT {deadline} ITEMS {product} 1"));
        wait_for("the unit is back", SOON, before, || shop.counters(&format!("{{{product}}}")));
        let outcome = shop.document(&format!("inventory:outcome:{id}"));
        let late = outcome["resolved_at"].as_i64().expect("a time") - deadline;
        assert!(late >= 0, "{late} ms after the deadline");
        late - machine.limit_ms(150)
    });
    let best = late.min().expect("some rounds");
    assert!(best <= 0, "{best} ms later than it may be");
}

/// Asserts that every short reservation has ended and its units are accounted for.
fn check(cluster: &Cluster) -> crate::books::Books {
    cluster.wait_until_up();
    wait_until("what was due is back", LATER, || {
        let books = balanced_books(cluster);
        let lives_long = |id: &String| {
            // The key may have expired in the meantime: then it was a short one, and all are checked again.
            let Some(text) =
                cluster.shop(id).ask(["GET", &format!("reservation:{id}")]).as_str().map(str::to_owned)
            else {
                return false;
            };
            let record: Json = serde_json::from_str(&text).expect("JSON");
            let time = |field: &str| record[field].as_i64().expect("a time");
            time("expires_at") - time("created_at") > 10_000
        };
        books.live.iter().all(lives_long)
    });
    let books = balanced_books(cluster);
    check_units(&books);
    cluster.check_keys();
    books
}

#[test]
fn a_coordinated_failover_under_load_loses_nothing() {
    let cluster = Cluster::start_with(3, 1, &[]);
    stock(&cluster);
    let ((), told) = while_shopping(&cluster.ports(), 4, &NEVER, || {
        // There and back.
        let_shop();
        fail_over(&cluster.replicas[0][0]);
        let_shop();
        fail_over(&cluster.masters[0]);
        let_shop();
    });
    let books = check(&cluster);
    assert_eq!((forgotten(&books, &told), told.unknown), (0, 0), "of {} reservations", told.states.len());
    assert!(told.answered > 100, "{} commands are no load", told.answered);
    keeps_deadlines(&mut cluster.masters[0].connect(), &product_of(&cluster, 0));
}

/// A few seconds of load, as much as the machine allows.
fn let_shop() {
    let begun = Instant::now();
    wait_until("they have shopped", LATER, || begun.elapsed() > Duration::from_secs(2));
}

/// A product in a slot that this master has now.
fn product_of(cluster: &Cluster, master: usize) -> String {
    let mut client = cluster.masters[master].connect();
    let slots = crate::shards::slots_of(&mut client);
    let has = |product: &String| slots.contains(&crate::shards::slot_of(product));
    crate::cluster_load::products().into_iter().find(has).expect("a product of it")
}

/// Kills a master under load. Returns the number of reservations, and how many of them lost their last answer.
fn kill_a_master_under_load(wait: bool) -> (usize, usize) {
    let wait = AtomicBool::new(wait);
    let mut cluster = Cluster::start_with(3, 1, &[]);
    stock(&cluster);
    let product = product_of(&cluster, 0);
    let ((), told) = while_shopping(&cluster.ports(), 4, &wait, || {
        let_shop();
        cluster.masters[0].kill();
        let replica = &cluster.replicas[0][0];
        wait_for("the replica is master", GOSSIP, "master".to_owned(), || {
            replica.connect().info("replication", "role")
        });
        // The new master has no replica yet.
        wait.store(false, Ordering::Relaxed);
        let_shop();
    });
    assert_eq!(told.unknown, 0, "commands that were never answered");
    // The old master returns as a replica of the new one, with the same data.
    cluster.masters[0].start_again();
    let (old, new) = (&cluster.masters[0], &cluster.replicas[0][0]);
    wait_for("the old master is a replica", GOSSIP, "slave".to_owned(), || {
        old.connect().info("replication", "role")
    });
    let books = check(&cluster);
    keeps_deadlines(&mut new.connect(), &product);
    old.wait_for_master(new);
    agree(new, old);
    (forgotten(&books, &told), told.states.len())
}

/// Asserts that master and replica have the same data in every slot.
#[track_caller]
fn agree(master: &Server, replica: &Server) {
    replica.catch_up_with(master);
    let (mut one, mut other) = (master.connect(), replica.connect());
    other.ask("READONLY");
    assert_same_data(&mut one, &mut other);
}

#[test]
fn a_master_that_is_killed_under_load_costs_at_most_what_was_not_replicated() {
    let (forgotten, told) = kill_a_master_under_load(false);
    // Replication is asynchronous, so the server decides how many. No unit is lost with them.
    eprintln!("of {told} reservations the last answer of {forgotten} was lost with the master");
}

#[test]
fn with_wait_1_a_master_that_is_killed_under_load_costs_nothing_that_was_answered() {
    let (forgotten, told) = kill_a_master_under_load(true);
    assert_eq!(forgotten, 0, "of {told} reservations");
}

#[test]
fn every_node_is_restarted_in_turn_under_load_and_nothing_is_lost() {
    // As in an upgrade: replicas first, then a coordinated failover, then the former masters.
    let mut cluster = Cluster::start_with(3, 1, &["appendonly yes"]);
    stock(&cluster);
    let ((), told) = while_shopping(&cluster.ports(), 4, &NEVER, || {
        for number in 0..3 {
            cluster.replicas[number][0].shut_down();
            cluster.replicas[number][0].start_again();
            cluster.replicas[number][0].wait_for_master(&cluster.masters[number]);
            fail_over(&cluster.replicas[number][0]);
            wait_for("the old master is a replica", GOSSIP, "slave".to_owned(), || {
                cluster.masters[number].connect().info("replication", "role")
            });
            cluster.masters[number].shut_down();
            cluster.masters[number].start_again();
            cluster.masters[number].wait_for_master(&cluster.replicas[number][0]);
        }
    });
    let books = check(&cluster);
    assert_eq!((forgotten(&books, &told), told.unknown), (0, 0), "of {} reservations", told.states.len());
    for number in 0..3 {
        agree(&cluster.replicas[number][0], &cluster.masters[number]);
    }
}

#[test]
fn a_cluster_that_is_down_releases_what_is_due_and_works_again_when_it_is_up() {
    let mut cluster = Cluster::start_with(3, 0, &[]);
    let home = cluster.owner("P");
    let mut shop = cluster.masters[home].connect();
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:SOON PX 6000 ITEMS P 3");
    shop.ask("INV.RESERVE {P}:LATE PX 600000 ITEMS P 2");
    let others = [(home + 1) % 3, (home + 2) % 3];
    others.iter().for_each(|other| cluster.masters[*other].kill());
    wait_until("the cluster is down", GOSSIP, || {
        shop.try_ask("INV.GET {P}:LATE").is_err_and(|error| code(&error) == "CLUSTERDOWN")
    });
    // No client can reach it, but it is released all the same, as INFO shows.
    wait_for("what is due is released", LATER, "1".to_owned(), || shop.info("inv", "inv_expired_total"));
    others.iter().for_each(|other| cluster.masters[*other].start_again());
    cluster.wait_until_up();
    assert_eq!(shop.counters("{P}"), (8, 2));
    assert_eq!(shop.ask("INV.GET {P}:SOON")["state"], "expired");
    assert_eq!(shop.ask("INV.COMMIT {P}:LATE"), "OK");
    assert_eq!(shop.info("inv", "inv_unexplained_units"), "0");
    cluster.check_keys();
}

#[test]
fn the_minority_side_of_a_partition_loses_no_unit() {
    let cluster = Cluster::start_apart(3, 1, &[]);
    let home = cluster.owner("P");
    let (old, new) = (&cluster.masters[home], &cluster.replicas[home][0]);
    let mut shop = old.connect();
    shop.ask("INV.ADJUST P 100");
    shop.ask("INV.RESERVE {P}:SOON PX 5000 ITEMS P 30");
    shop.ask("INV.RESERVE {P}:LATE PX 600000 ITEMS P 20");
    shop.ask("INV.RESERVE {P}:SOLD PX 600000 ITEMS P 10");
    new.catch_up_with(old);
    // From here on, the old master runs but is isolated.
    cluster.part(old);
    wait_for("the others have another master", GOSSIP, "master".to_owned(), || {
        new.connect().info("replication", "role")
    });
    wait_until("the old master notices that it is isolated", GOSSIP, || {
        shop.try_ask("INV.GET {P}:LATE").is_err_and(|error| code(&error) == "CLUSTERDOWN")
    });
    assert_eq!(old.connect().info("replication", "role"), "master");
    let mut bought = new.connect();
    assert_eq!(bought.ask("INV.COMMIT {P}:SOLD"), "OK");
    // Both release what is due, each in its own data.
    for master in [old, new] {
        wait_for("what is due is released", LATER, "1".to_owned(), || {
            master.connect().info("inv", "inv_expired_total")
        });
    }
    assert_eq!(bought.counters("{P}"), (70, 20));
    cluster.unite();
    wait_for("the old master is a replica", GOSSIP, "slave".to_owned(), || {
        old.connect().info("replication", "role")
    });
    old.wait_for_master(new);
    cluster.wait_until_up();
    agree(new, old);
    assert_eq!(bought.counters("{P}"), (70, 20));
    assert_eq!(bought.ask("INV.ROLLBACK {P}:LATE"), "OK");
    assert_eq!(bought.counters("{P}"), (90, 0));
    agree(new, old);
    cluster.check_keys();
}

#[test]
fn a_replica_that_is_restarted_keeps_the_data_of_its_master() {
    // It knows its position in the stream from an RDB, and continues from there; with an AOF as well.
    for options in [&["repl-backlog-size 64mb"][..], &["repl-backlog-size 64mb", "appendonly yes"]] {
        let mut cluster = Cluster::start_with(3, 1, options);
        let home = cluster.owner("P");
        let mut shop = cluster.masters[home].connect();
        shop.ask("INV.ADJUST P 1000");
        let deadline = shop.now() + 2500;
        for number in 0..200 {
            shop.ask(format!("INV.RESERVE {{P}}:R{number} PXAT {deadline} ITEMS P 1"));
        }
        shop.ask("INV.RESERVE {P}:LONG ITEMS P 7");
        let master = &cluster.masters[home];
        cluster.replicas[home][0].catch_up_with(master);
        cluster.replicas[home][0].shut_down_saving();
        // It returns after the deadlines, and at first believes that it is a master.
        wait_until("they are due", LATER, || shop.now() > deadline);
        cluster.replicas[home][0].start_again();
        let (master, replica) = (&cluster.masters[home], &cluster.replicas[home][0]);
        wait_for("all is back except the long reservation", LATER, (993, 7), || shop.counters("{P}"));
        replica.wait_for_master(master);
        agree(master, replica);
        let mut reader = replica.connect();
        reader.ask("READONLY");
        assert_eq!(reader.ask("INV.GET {P}:R7")["state"], "expired");
        assert_eq!(reader.info("inv", "inv_holds"), "1");
        assert_eq!(shop.ask("INV.COMMIT {P}:LONG"), "OK");
        agree(master, replica);
    }
}

#[test]
fn what_is_due_is_given_back_by_a_replica_of_another_master_that_takes_the_slots_over() {
    // A replica follows another master than the one it started with, and forgets what it knew of the first.
    let cluster = Cluster::start_with(3, 1, &[]);
    let (home, other) = (cluster.owner("P"), (cluster.owner("P") + 1) % 3);
    let mut shop = cluster.masters[home].connect();
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:SOON PX 8000 ITEMS P 3");
    let replica = &cluster.replicas[other][0];
    follow(replica, &cluster.masters[home]);
    fail_over(replica);
    let mut shop = replica.connect();
    assert_eq!(shop.ask("INV.SCAN 0")[1], crate::harness::json!(["{P}:SOON"]));
    wait_for("what is due is back", LATER, (10, 0), || shop.counters("{P}"));
    cluster.check_keys();
}

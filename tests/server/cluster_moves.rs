//! Slots that move between masters while shoppers use them.

use std::process::{Command, Stdio};

use crate::cluster_load::{
    NEVER, Told, balanced_books, check_units, forgotten, products, stock, while_shopping,
};
use crate::harness::{Client, Json, LATER, Server, cli, wait_for, wait_until};
use crate::shards::{Cluster, move_at_once, node_id};
use crate::shop::Dice;

/// The skus whose reserved counter is not what reservations hold.
fn drifting(client: &mut Client) -> Vec<Json> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let page = client.ask(format!("INV.AUDITSCAN {cursor}"));
        found.extend(page[1].as_array().expect("an array").iter().cloned());
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            return found;
        }
    }
}

/// Asserts what must hold once all slots are in their places.
fn check(cluster: &Cluster, told: &Told) {
    let books = balanced_books(cluster);
    check_units(&books);
    assert_eq!((forgotten(&books, told), told.unknown), (0, 0), "of {} reservations", told.states.len());
    assert!(told.answered > 100, "{} commands are no load", told.answered);
    cluster.check_keys();
    let mut live = 0;
    for master in cluster.masters_now() {
        let mut client = master.connect();
        assert_eq!(client.info("inv", "inv_unexplained_units"), "0");
        assert_eq!(drifting(&mut client), Vec::<Json>::new());
        live += client.info("inv", "inv_holds").parse::<usize>().unwrap();
    }
    // No index has entries of another node, or of deleted reservations.
    wait_until("only what lives long is live", LATER, || {
        let books = balanced_books(cluster);
        let holds = |master: &&Server| master.connect().info("inv", "inv_holds").parse::<usize>().unwrap();
        books.live.len() == cluster.masters_now().iter().map(holds).sum::<usize>()
    });
    assert!(live > 0);
}

/// One of the two other masters.
fn another(master: usize, dice: &mut Dice) -> usize {
    (master + if dice.roll(2) == 0 { 1 } else { 2 }) % 3
}

#[test]
fn slots_that_move_key_by_key_under_load_lose_no_unit_and_refuse_nothing() {
    let cluster = Cluster::start(3);
    stock(&cluster);
    let mut dice = Dice::new(9);
    let ((), told) = while_shopping(&cluster.ports(), 4, &NEVER, || {
        for _ in 0..3 {
            for product in products() {
                let to = another(cluster.owner(&product), &mut dice);
                cluster.move_slot(&product, to);
            }
        }
    });
    check(&cluster, &told);
}

/// Moves slots with the cli and prints its output, which is shown if the test fails.
fn reshard(cluster: &Cluster, from: usize, to: usize, slots: usize) {
    let (from, to) = (&cluster.masters[from], &cluster.masters[to]);
    let done = Command::new(cli())
        .args(["--cluster", "reshard", &format!("127.0.0.1:{}", from.port())])
        .args(["--cluster-from", &node_id(from), "--cluster-to", &node_id(to)])
        .args(["--cluster-slots", &slots.to_string(), "--cluster-yes"])
        .stdin(Stdio::null())
        .output()
        .expect("the cli runs");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
}

#[test]
fn a_reshard_by_the_cli_under_load_and_back_loses_no_unit() {
    let cluster = Cluster::start(3);
    stock(&cluster);
    let ((), told) = while_shopping(&cluster.ports(), 4, &NEVER, || {
        reshard(&cluster, 0, 1, 300);
        reshard(&cluster, 1, 0, 300);
    });
    let owned = crate::shards::slots_of(&mut cluster.masters[0].connect());
    assert!(owned.len() > 5000, "{} slots have come back", owned.len());
    check(&cluster, &told);
}

/// Moves a slot with CLUSTER MIGRATESLOTS. Returns false if the server lacks this command.
fn migrate_at_once(cluster: &Cluster, id: &str, to: usize) -> bool {
    move_at_once(cluster, id, &cluster.masters[cluster.owner(id)], &cluster.masters[to])
}

#[test]
fn slots_that_move_at_once_under_load_lose_no_unit_and_refuse_nothing() {
    let cluster = Cluster::start(3);
    stock(&cluster);
    let mut dice = Dice::new(9);
    let (could, told) = while_shopping(&cluster.ports(), 4, &NEVER, || {
        (0..2).all(|_| {
            products().iter().all(|product| {
                let to = another(cluster.owner(product), &mut dice);
                migrate_at_once(&cluster, product, to)
            })
        })
    });
    if could {
        check(&cluster, &told);
    } else {
        eprintln!("this server moves slots key by key only");
    }
}

#[test]
fn a_slot_that_moves_at_once_while_its_deadlines_pass_keeps_them() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let (mut source, mut target) = (cluster.masters[home].connect(), cluster.masters[1 - home].connect());
    source.ask("INV.ADJUST P 1000");
    // Enough data that the move takes a while.
    source.ask([
        "EVAL",
        "for i = 1, 100000 do redis.call('SET', '{P}:fill:' .. i, string.rep('x', 100)) end",
        "1",
        "{P}",
    ]);
    let begun = source.now();
    for number in 0..200 {
        source.ask(format!("INV.RESERVE {{P}}:R{number} PX {} ITEMS P 1", 50 + number * 10));
    }
    source.ask("INV.RESERVE {P}:LONG PX 600000 ITEMS P 7");
    if !migrate_at_once(&cluster, "P", 1 - home) {
        eprintln!("this server moves slots key by key only");
        return;
    }
    eprintln!("moved in {} ms", source.now() - begun);
    wait_for("all is back except the long reservations", LATER, (993, 7), || target.counters("{P}"));
    for number in 0..200 {
        let id = format!("{{P}}:R{number}");
        assert_eq!(target.ask(format!("INV.GET {id}"))["state"], "expired", "{id}");
    }
    assert_eq!(target.ask("INV.AUDIT P")["drift"], 0);
    wait_until("nothing is left behind", LATER, || {
        source.info("inv", "inv_holds") == "0" && source.ask("DBSIZE") == 0
    });
    for client in [&mut source, &mut target] {
        assert_eq!(client.info("inv", "inv_unexplained_units"), "0");
    }
    cluster.check_keys();
}

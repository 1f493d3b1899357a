//! The repair: returns what an RDB load dropped if only the module reserves in the database, and otherwise reports it.

use crate::harness::{Client, SOON, Server, wait_for, wait_until};

/// A server that was restarted from an RDB after a reservation of 5 units had expired; `prepare` runs before that.
fn restarted(option: &str, prepare: impl FnOnce(&mut Client)) -> (Server, Client) {
    let mut server = Server::start_with(&[option]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    prepare(&mut shop);
    shop.ask("INV.RESERVE LONG ITEMS P 2");
    let deadline = shop.ask("INV.RESERVE SHORT PX 200 ITEMS P 5")["expires_at"].as_i64().unwrap();
    server.rewrite("BGSAVE");
    wait_until("the deadline passes", SOON, || shop.now() > deadline);
    server.kill();
    server.start_again();
    let shop = server.connect();
    (server, shop)
}

fn counted(shop: &mut Client, field: &str) -> String {
    shop.info("inv", field)
}

#[test]
fn what_an_rdb_load_dropped_is_returned_once_if_the_module_is_alone() {
    let (mut server, mut shop) = restarted("inv.load-repair auto", |_| ());
    wait_for("the units are back", SOON, (98, 2), || shop.counters("P"));
    assert_eq!(counted(&mut shop, "inv_repaired_units"), "5");
    server.rewrite("BGSAVE");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    shop.ask("INV.RESERVE NEXT ITEMS P 1");
    assert_eq!(shop.counters("P"), (97, 3));
    assert_eq!(counted(&mut shop, "inv_repaired_units"), "0");
}

#[test]
fn beside_foreign_records_it_is_reported_and_left_alone() {
    let (_server, mut shop) = restarted("inv.load-repair auto", |shop| {
        shop.ask("SET reservation:script its-own EX 1000");
    });
    wait_for("it is reported", SOON, "5".to_owned(), || counted(&mut shop, "inv_unexplained_units"));
    assert_eq!(shop.counters("P"), (93, 7));
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
}

#[test]
fn report_never_gives_back_and_return_always_does() {
    let (_server, mut shop) = restarted("inv.load-repair report", |_| ());
    wait_for("it is reported", SOON, "5".to_owned(), || counted(&mut shop, "inv_unexplained_units"));
    assert_eq!(shop.counters("P"), (93, 7));

    let (_server, mut shop) = restarted("inv.load-repair return", |shop| {
        shop.ask("SET reservation:script its-own EX 1000");
    });
    wait_for("the units are back", SOON, (98, 2), || shop.counters("P"));
}

#[test]
fn counters_of_scripts_keep_the_mark_away_and_a_foreign_record_takes_it_away() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
    shop.ask("SET reservation:script its-own");
    wait_for("the mark is gone", SOON, 0.into(), || shop.ask("EXISTS inventory:managed"));
    shop.ask("DEL reservation:script");
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "only a new walk can find out");
    shop.ask("FLUSHALL");
    shop.ask("SET stock:available:P 100");
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(shop.ask("GET inventory:managed"), "plain");

    let mut server = Server::start_with(&["appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("MSET stock:available:P 100 stock:reserved:P 3");
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    wait_for("it is reported", SOON, "3".to_owned(), || counted(&mut shop, "inv_unexplained_units"));
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
    assert_eq!(shop.counters("P"), (99, 4));
}

#[test]
fn a_promoted_replica_gives_back_what_fell_due_before() {
    let mut server = Server::start();
    let mut shop = server.connect();
    shop.ask("SET stock:available:P 100");
    let replica = server.replica();
    shop.ask("INV.RESERVE R1 PX 200 ITEMS P 5");
    shop.ask("INV.RESERVE R2 ITEMS P 2");
    replica.catch_up_with(&server);
    server.kill();
    let mut promoted = replica.connect();
    promoted.ask("REPLICAOF NO ONE");
    wait_for("the units are back", SOON, (98, 2), || promoted.counters("P"));
    assert_eq!(promoted.ask("INV.GET R1")["state"], "expired");
    assert_eq!(promoted.ask("INV.COMMIT R2"), "OK");
    assert_eq!(promoted.counters("P"), (98, 0));
}

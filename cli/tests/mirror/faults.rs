//! Everything that can fail, fails: afterwards the tables say what the counters say, and no movement is there twice.

use std::thread;
use std::time::Duration;

use crate::dice::{Dice, any_seed};
use crate::harness::{Client, Server, wait_until};
use crate::shop::{self, Crowd};
use crate::world::{FEED, Mirror, PATIENCE, Tables, mirror_once, once, url, wait_until_nothing_is_due};

/// Waits until nothing is due while tables and counters are compared, and compares them.
#[track_caller]
fn settle(server: &Server, tables: &Tables) {
    let mut client = server.connect();
    wait_until_nothing_is_due(&mut client);
    let (code, out, err) = mirror_once(&url(server), tables, &[]);
    assert!(matches!(code, Some(0 | 1)), "{out}{err}");
    tables.assert_equal(&mut client);
}

/// The load lasts so long; there is no condition to wait for.
fn let_it_run(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

fn entries(client: &mut Client) -> u64 {
    client.ask("XINFO STREAM inventory:feed")["entries-added"].as_u64().expect("a number")
}

#[test]
fn a_mirror_that_is_killed_at_any_moment_loses_nothing_and_repeats_nothing() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    let mut dice = Dice::new(any_seed());
    let crowd = Crowd::enter(&server, 3, Duration::from_micros(500));
    let mut kills = 0;
    while kills < 30 {
        let size = (1 + dice.roll(40)).to_string();
        let mut mirror = Mirror::start(&url(&server), &tables, &["--batch-size", &size, "--compare", "1"]);
        let_it_run(5 + dice.roll(250));
        if dice.one_in(4) {
            mirror.signal("-STOP");
            let_it_run(dice.roll(100));
        }
        mirror.kill();
        kills += 1;
        if tables.exist() {
            tables.check();
        }
    }
    let steps = crowd.leave();
    settle(&server, &tables);
    let movements = tables.ask("SELECT count(*) FROM stock_movement WHERE part = 1");
    let alerts = client
        .ask("XRANGE inventory:feed - +")
        .as_array()
        .expect("entries")
        .iter()
        .filter(|entry| entry[1].as_array().expect("fields").contains(&"alert".into()))
        .count() as u64;
    assert_eq!(movements, (entries(&mut client) - alerts).to_string(), "{kills} kills, {steps} steps");
    assert_eq!(tables.ask("SELECT count(*) FROM gap"), "0");
}

#[test]
fn a_postgresql_that_crashes_loses_nothing_and_repeats_nothing() {
    let server = Server::start_with(FEED);
    let mut tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    once(&server, &tables);
    let mut mirror = Mirror::start(&url(&server), &tables, &["--batch-size", "20", "--compare", "1"]);
    let crowd = Crowd::enter(&server, 3, Duration::from_millis(1));
    for round in 1..=4 {
        let_it_run(400);
        tables.postgres.crash_and_restart();
        wait_until("the mirror has noticed", PATIENCE, || {
            assert!(mirror.runs(), "{}", mirror.log());
            mirror.log().matches("\"trouble\"").count() >= round
        });
        tables.check();
    }
    crowd.leave();
    wait_until("the mirror has caught up", PATIENCE, || {
        let behind = client.ask("XINFO GROUPS inventory:feed")[0]["lag"].as_i64();
        behind == Some(0)
    });
    mirror.kill();
    settle(&server, &tables);
    assert_eq!(tables.ask("SELECT count(*) FROM gap"), "0");
    assert_eq!(tables.ask("SELECT count(*) FROM stock_movement WHERE event = 'gap'"), "0");
}

#[test]
fn a_server_that_restarts_begins_a_new_epoch_and_loses_nothing() {
    let mut server = Server::start_with(&["inv.feed-maxlen 100000", "appendonly yes"]);
    let tables = Tables::start();
    shop::open(&mut server.connect());
    once(&server, &tables);
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    let crowd = Crowd::enter(&server, 3, Duration::from_millis(1));
    for _ in 0..3 {
        let_it_run(300);
        server.kill();
        let_it_run(100);
        server.start_again();
        server.mend_aof();
        let_it_run(300);
    }
    crowd.leave();
    let mut client = server.connect();
    wait_until("the mirror has caught up", PATIENCE, || {
        assert!(mirror.runs(), "{}", mirror.log());
        client.ask("XINFO GROUPS inventory:feed")[0]["lag"].as_i64() == Some(0)
    });
    mirror.kill();
    settle(&server, &tables);
    assert!(tables.ask("SELECT max(epoch) FROM epoch").parse::<i32>().expect("a number") > 1);
    // appendfsync always: nothing that was read can be lost.
    assert_eq!(tables.ask("SELECT sum(lost) FROM epoch"), "0", "{}", mirror.log());
}

#[test]
fn what_a_failover_loses_is_marked_and_mended() {
    let master = Server::start_with(FEED);
    let tables = Tables::start();
    shop::open(&mut master.connect());
    let replica = master.replica_with(FEED);
    let mut mirror = Mirror::start(
        &url(&master),
        &tables,
        &["--or-url", &url(&replica), "--compare", "1", "--batch-size", "50"],
    );
    let crowd = Crowd::enter(&master, 3, Duration::from_millis(1));
    let_it_run(500);
    // The replica stops hearing of its master, which goes on selling.
    let mut promoted = replica.connect();
    promoted.ask(format!("REPLICAOF 127.0.0.1 {}", crate::harness::free_port()));
    let before = entries(&mut master.connect());
    wait_until("the mirror knows what the replica does not", PATIENCE, || {
        let read = tables.ask("SELECT entries_read FROM feed").parse::<u64>().unwrap_or(0);
        read > before + 100
    });
    crowd.leave();
    let mut master = master;
    master.kill();
    promoted.ask("REPLICAOF NO ONE");
    // The same ids can be used again, for something else.
    let crowd = Crowd::enter(&replica, 3, Duration::from_millis(1));
    mirror.wait_until_says("another replication id");
    let_it_run(300);
    crowd.leave();
    wait_until("the mirror has caught up", PATIENCE, || {
        assert!(mirror.runs(), "{}", mirror.log());
        promoted.ask("XINFO GROUPS inventory:feed")[0]["lag"].as_i64() == Some(0)
    });
    mirror.kill();
    settle(&replica, &tables);
    let lost: i64 = tables.ask("SELECT sum(lost) FROM epoch").parse().expect("a number");
    assert!(lost >= 100, "{lost}");
    assert_eq!(
        tables.ask("SELECT count(*) FROM stock_movement WHERE lost_in IS NOT NULL AND part = 1"),
        lost.to_string()
    );
}

/// A replica is promoted whose clock is behind, so that ids of entries come again for other changes.
#[test]
fn ids_that_come_again_after_a_failover_are_other_movements() {
    let server = Server::start_with(&["inv.feed-maxlen 100000", "appendonly yes"]);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("INV.ADJUST P 10");
    client.ask("INV.ADJUST P 1");
    once(&server, &tables);
    // This is what a promoted replica may look like: the last entry is missing, and its id was used for something else.
    let last = client.ask("XREVRANGE inventory:feed + - COUNT 1")[0][0].as_str().expect("an id").to_owned();
    client.ask(["XDEL", "inventory:feed", &last]);
    let first = client.ask("XREVRANGE inventory:feed + - COUNT 1")[0][0].as_str().expect("an id").to_owned();
    let number = |id: &str| id.split('-').next().expect("ms").parse::<i64>().expect("ms");
    client.ask("SET stock:available:P 15");
    client.ask("RENAME inventory:feed old");
    let entry = client.ask("XRANGE old - +");
    let fields =
        entry[0][1].as_array().expect("fields").iter().map(|field| field.as_str().expect("text").to_owned());
    let words = |id: &str, fields: Vec<String>| {
        let mut words: Vec<Vec<u8>> =
            ["XADD", "inventory:feed", id].iter().map(|word| word.as_bytes().to_vec()).collect();
        words.extend(fields.into_iter().map(String::into_bytes));
        words
    };
    client.ask(words(&first, fields.collect()));
    let other =
        ["event", "adjusted", "sku", "P", "quantity", "5", "available", "15", "reserved", "0", "timestamp"];
    let mut other: Vec<String> = other.iter().map(|field| (*field).to_owned()).collect();
    other.push(number(&last).to_string());
    client.ask(words(&last, other));
    client.ask("DEL old");
    client.ask("DEBUG CHANGE-REPL-ID");

    let (code, out, err) = mirror_once(&url(&server), &tables, &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    tables.assert_equal(&mut client);
    let rows = tables.rows(
        "SELECT epoch, part, event, quantity, available, lost_in FROM stock_movement ORDER BY epoch, entry_ms, entry_seq, part",
    );
    let expected = serde_json::json!([
        { "epoch": 1, "part": 1, "event": "adjusted", "quantity": 10, "available": 10, "lost_in": null },
        { "epoch": 1, "part": 1, "event": "adjusted", "quantity": 1, "available": 11, "lost_in": 2 },
        { "epoch": 2, "part": 0, "event": "failover", "quantity": -1, "available": 10, "lost_in": null },
        { "epoch": 2, "part": 1, "event": "adjusted", "quantity": 5, "available": 15, "lost_in": null },
    ]);
    assert_eq!(serde_json::Value::from(rows), expected);
}

#[test]
fn entries_that_are_trimmed_before_they_are_read_are_reported_and_mended() {
    let server = Server::start_with(&["inv.feed-maxlen 50"]);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    once(&server, &tables);
    for round in 0..5 {
        let mut dice = Dice::new(round);
        for _ in 0..300 {
            shop::step(&mut client, &mut dice, &format!("r{round}-"));
        }
        let (code, out, err) = mirror_once(&url(&server), &tables, &[]);
        assert_eq!(code, Some(1), "{out}{err}");
        assert!(out.contains("\"gap\""), "{out}");
        settle(&server, &tables);
    }
    assert_eq!(tables.ask("SELECT count(*) FROM gap WHERE mended_at IS NULL"), "0");
    assert_ne!(tables.ask("SELECT count(*) FROM stock_movement WHERE event = 'gap'"), "0");
}

#[test]
fn a_feed_that_is_trimmed_under_load_is_mended_without_stopping() {
    let server = Server::start_with(&["inv.feed-maxlen 100"]);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    once(&server, &tables);
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    let crowd = Crowd::enter(&server, 4, Duration::ZERO);
    for _ in 0..3 {
        let_it_run(200);
        mirror.signal("-STOP");
        let before = entries(&mut client);
        wait_until("the feed was trimmed", PATIENCE, || entries(&mut client) > before + 500);
        mirror.signal("-CONT");
    }
    mirror.wait_until_says("\"gap\"");
    crowd.leave();
    mirror.wait_until_says("\"mended\"");
    wait_until("all gaps are mended", PATIENCE, || {
        tables.ask("SELECT count(*) FROM gap WHERE mended_at IS NULL") == "0"
    });
    mirror.kill();
    settle(&server, &tables);
}

#[test]
fn a_feed_that_is_deleted_begins_a_new_epoch() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    once(&server, &tables);
    client.ask("INV.ADJUST P 1");
    client.ask("DEL inventory:feed");
    for _ in 0..20 {
        client.ask("INV.ADJUST P 1");
    }
    once(&server, &tables);
    tables.assert_equal(&mut client);
    assert_eq!(
        tables.ask("SELECT string_agg(reason, ', ' ORDER BY epoch) FROM epoch"),
        "the first one, the feed begins anew"
    );
    assert_eq!(tables.ask("SELECT sum(quantity) FROM stock_movement WHERE event = 'gap'"), "1");
}

#[test]
fn tables_do_not_follow_a_server_that_has_lost_everything() {
    let mut server = Server::start_with(FEED);
    let tables = Tables::start();
    shop::open(&mut server.connect());
    once(&server, &tables);
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    mirror.wait_until_equal(&mut server.connect(), &tables);
    let before = tables.stock();
    // It has neither a file nor a replica.
    server.kill();
    server.start_again();
    mirror.wait_until_says("has lost its data");
    let mut client = server.connect();
    client.ask("INV.ADJUST OTHER 1");
    let told = mirror.log().len();
    wait_until("it goes on trying", PATIENCE, || mirror.runs() && mirror.log().len() >= told);
    assert_eq!(tables.stock(), before);
    mirror.kill();
    let (code, _, err) = mirror_once(&url(&server), &tables, &[]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("inv rebuild"), "{err}");
    client.ask("FLUSHALL");
    let (code, ..) = mirror_once(&url(&server), &tables, &[]);
    assert_eq!(code, Some(4));
    assert_eq!(tables.stock(), before);
}

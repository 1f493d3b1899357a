//! A server that has lost everything, rebuilt from the tables; and the tables from a server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::dice::Dice;
use crate::harness::{Client, Json, Server, json};
use crate::shop;
use crate::world::{
    FEED, Tables, counters, inv, mirror_once, once, run, scan, url, wait_until_nothing_is_due,
};

/// What a shop sees of a server: stock, settings, reservations with their deadlines, and how reservations have ended.
fn everything(client: &mut Client) -> BTreeMap<String, Json> {
    let mut seen = BTreeMap::new();
    for (sku, units) in counters(client) {
        seen.insert(format!("counters of {sku}"), json!([units.0, units.1]));
    }
    for product in ["P", "Q", "R", "W"] {
        seen.insert(format!("INV.STOCK {product}"), client.ask(format!("INV.STOCK {product}")));
        seen.insert(format!("INV.QUOTA {product}"), client.ask(format!("INV.QUOTA {product} b1")));
    }
    for prefix in ["reservation:", "inventory:outcome:"] {
        for key in scan(client, &format!("{prefix}*")) {
            let id = key.strip_prefix(prefix).expect("the prefix").to_owned();
            let state = client.ask(["INV.GET", &id]);
            // One that was replaced is remembered until the deadline of its successor, which may have been moved since.
            if state["state"] != "replaced" {
                seen.insert(format!("deadline of {key}"), client.ask(["PEXPIRETIME", &key]));
            }
            seen.insert(format!("INV.GET {id}"), state);
            let commit = client.try_ask(["INV.COMMIT", &id, "ITEMS", "NONE", "1"]);
            seen.insert(format!("INV.COMMIT {id}"), json!(format!("{commit:?}")));
        }
    }
    assert_no_drift(client);
    seen
}

/// Checks all reserved counters.
#[track_caller]
fn assert_no_drift(client: &mut Client) {
    let mut cursor = "0".to_owned();
    loop {
        let page = client.ask(["INV.AUDITSCAN", &cursor]);
        assert_eq!(page[1], json!([]));
        page[0].as_str().expect("a cursor").clone_into(&mut cursor);
        if cursor == "0" {
            return;
        }
    }
}

#[track_caller]
fn assert_same(one: &BTreeMap<String, Json>, other: &BTreeMap<String, Json>) {
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing: Vec<String> = names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| format!("{name}\n   {:?}\n   {:?}", one.get(name), other.get(name)))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// A shop with a history of every kind, of which nothing is due soon.
fn history(client: &mut Client, seed: u64) {
    shop::open(client);
    client.ask("INV.WAREHOUSES W SET RETURNS CLOSED");
    client.ask("INV.LIMIT R 500");
    client.ask("INV.THRESHOLD Q OFF");
    client.ask("INV.FLOOR R -20");
    let mut dice = Dice::new(seed);
    for _ in 0..400 {
        let mut command = shop::command(&mut dice, "r");
        if command.contains(" PX ") {
            continue;
        }
        // R has a limit per buyer.
        if command.starts_with("INV.RES") || command.starts_with("INV.REP") {
            command = command.replace(" ITEMS", " BUYER b1 ITEMS");
        }
        let _ = client.try_ask(command);
    }
    client.ask("INV.RESERVE short PX 20 BUYER b1 ITEMS P 1 R 1");
    crate::harness::wait_until("it has expired", crate::harness::SOON, || {
        client.ask("INV.GET short")["state"] == "expired" && client.ask("EXISTS reservation:short") == 0
    });
}

#[track_caller]
fn rebuild(server: &Server, tables: &Tables, more: &[&str]) -> Vec<Json> {
    let (code, out, err) =
        run(&[&["--url", &url(server), "--json", "rebuild", &tables.url()], more].concat());
    assert_eq!(code, Some(0), "{out}{err}");
    out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_lost_server_is_rebuilt_with_everything_that_was_mirrored() {
    for seed in 0..3 {
        let mut server = Server::start_with(FEED);
        let tables = Tables::start();
        let mut client = server.connect();
        history(&mut client, seed);
        once(&server, &tables);
        let before = everything(&mut client);
        tables.assert_equal(&mut client);
        server.kill();
        server.start_again();
        let mut client = server.connect();
        let said = rebuild(&server, &tables, &[]);
        assert_eq!(said.last().expect("a line")["differences"], 0, "{said:?}");
        assert_same(&before, &everything(&mut client));

        // The shop goes on, and so does the mirror, which has nothing to mend.
        once(&server, &tables);
        tables.assert_equal(&mut client);
        let mended =
            tables.rows("SELECT * FROM stock_movement WHERE event <> 'opening' AND part <> 1 AND epoch > 1");
        assert!(mended.is_empty(), "{mended:#?} {:#?}", tables.rows("SELECT * FROM epoch"));
        let mut dice = Dice::new(seed + 100);
        for _ in 0..100 {
            shop::step(&mut client, &mut dice, "r");
        }
        assert_no_drift(&mut client);

        // A restart finds nothing to repair.
        client.ask("INV.RESERVE last EX 900 ITEMS P 1");
        // A load drops what is overdue, and the module then repairs its counters.
        wait_until_nothing_is_due(&mut client);
        client.ask("DEBUG RELOAD");
        server.wait_for_info("inv", "inv_index_ready", "1");
        assert_eq!(client.info("inv", "inv_repaired_units"), "0");
        assert_no_drift(&mut client);
    }
}

#[test]
fn a_rebuild_that_is_killed_ends_in_the_same_state_when_it_is_repeated() {
    let mut server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    history(&mut client, 7);
    for number in 0..3000 {
        client.ask(format!("INV.ADJUST M{number} 5"));
        client.ask(format!("INV.RESERVE many{number} EX 9000 ITEMS M{number} 1"));
    }
    once(&server, &tables);
    let before = everything(&mut client);
    server.kill();
    server.start_again();
    let mut client = server.connect();
    let (url, database) = (url(&server), tables.url());
    let mut kills = 0;
    for milliseconds in [30, 60, 90, 120, 150, 200, 250, 300] {
        let mut child = inv(&["--url", &url, "rebuild", &database]).spawn().expect("inv starts");
        // It is killed wherever it is then.
        std::thread::sleep(Duration::from_millis(milliseconds));
        if child.try_wait().expect("a child of ours").is_none() {
            kills += 1;
        }
        let _ = child.kill();
        let _ = child.wait();
        // At every moment the counters are right.
        assert_no_drift(&mut client);
        if !tables.ask("SELECT rebuilding FROM mirror").is_empty() {
            let (code, _, err) = mirror_once(&url, &tables, &[]);
            assert_eq!(code, Some(4), "{err}");
            assert!(err.contains("run it again"), "{err}");
        }
    }
    assert!(kills > 0, "no rebuild was killed");
    if !tables.ask("SELECT rebuilding FROM mirror").is_empty() {
        rebuild(&server, &tables, &[]);
    }
    assert_same(&before, &everything(&mut client));
    let said = rebuild(&server, &tables, &["--dry-run"]);
    assert_eq!(said.last().expect("a line")["differences"], 0, "{said:?}");
}

#[test]
fn what_was_due_meanwhile_has_expired_and_can_be_sold_late() {
    let mut server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("INV.ADJUST P 10");
    client.ask("INV.RESERVE soon PX 8000 DATA cart ITEMS P 4");
    let deadline = client.document("reservation:soon")["expires_at"].as_i64().expect("a time");
    client.ask("INV.RESERVE later EX 900 ITEMS P 1");
    once(&server, &tables);
    server.kill();
    server.start_again();
    let mut client = server.connect();
    crate::harness::wait_until("it is due", crate::harness::LATER, || client.now() > deadline);
    let said = rebuild(&server, &tables, &[]);
    assert_eq!(said[said.len() - 2]["overdue"], 1, "{said:?}");
    assert_eq!(client.counters("P"), (9, 1));
    let outcome = client.ask("INV.GET soon");
    assert_eq!((&outcome["state"], &outcome["data"]), (&json!("expired"), &json!("cart")));
    assert!(client.refusal("INV.COMMIT soon").starts_with("EXPIRED "));
    assert_eq!(client.ask("INV.COMMIT soon LATE"), "OK");
    assert_eq!(client.counters("P"), (5, 1));
    once(&server, &tables);
    tables.assert_equal(&mut client);
}

#[test]
fn a_server_that_is_not_empty_is_refused_and_the_differences_are_shown() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    client.ask("INV.RESERVE r1 EX 900 ITEMS P 2");
    once(&server, &tables);
    let said = rebuild(&server, &tables, &["--dry-run"]);
    assert_eq!(
        said,
        [
            json!({ "event": "compared", "differences": 0, "skus": 5, "reservations": 1, "outcomes": 0, "settings": 4 })
        ]
    );

    client.ask("INCRBY stock:available:P 3");
    client.ask("INV.FLOOR Q 11");
    client.ask("INV.EXTEND r1 EX 1800");
    let (code, out, err) = run(&["--url", &url(&server), "rebuild", &tables.url(), "--dry-run"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(
        out.contains("stock P: tables: available 998, reserved 2; server: available 1001, reserved 2\n"),
        "{out}"
    );
    assert!(out.contains("floor Q: tables: 10; server: 11\n"), "{out}");
    assert!(out.contains("reservation r1: tables: holds {\"P\":2} until "), "{out}");
    assert!(out.contains("3 differences: "), "{out}");

    let (code, _, err) = run(&["--url", &url(&server), "rebuild", &tables.url()]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("is not empty") && err.contains("--flush"), "{err}");
    let before = counters(&mut client);

    // The tables follow the server.
    let (code, out, err) = run(&["--url", &url(&server), "rebuild", &tables.url(), "--to", "tables"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(counters(&mut client), before);
    tables.assert_equal(&mut client);

    // The server follows the tables.
    client.ask("INCRBY stock:available:P 3");
    client.ask("SET stock:available:OTHER 3");
    rebuild(&server, &tables, &["--flush"]);
    assert_eq!(counters(&mut client), before);
}

#[test]
fn tables_follow_a_server_that_has_lost_everything_if_they_are_told_to() {
    let mut server = Server::start_with(FEED);
    let tables = Tables::start();
    shop::open(&mut server.connect());
    server.connect().ask("INV.RESERVE r1 EX 900 ITEMS P 2");
    once(&server, &tables);
    server.kill();
    server.start_again();
    let mut client = server.connect();
    client.ask("INV.ADJUST P 5");
    let (code, out, err) = run(&["--url", &url(&server), "rebuild", &tables.url(), "--to", "tables"]);
    assert_eq!(code, Some(0), "{out}{err}");
    tables.assert_equal(&mut client);
    assert_eq!(tables.stock(), BTreeMap::from([("P".to_owned(), (5, 0))]));
    once(&server, &tables);
}

/// A sale that had not been mirrored, but whose outcome was read.
#[test]
fn with_tagged_keys_a_server_is_rebuilt_as_well() {
    let mut server = Server::start_with(&["inv.key-style tagged", "inv.feed-maxlen 1000"]);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("INV.WAREHOUSES {s}:w SET A 1 B CLOSED");
    client.ask("INV.ADJUST {s}:w@A 10");
    client.ask("INV.ADJUST Q 10");
    client.ask("INV.FLOOR Q 2");
    client.ask("INV.LIMIT Q 5");
    client.ask("INV.RESERVE {s}:r EX 900 ITEMS {s}:w 3");
    client.ask("INV.RESERVE {Q}:r EX 900 BUYER b ITEMS Q 2");
    client.ask("INV.RESERVE {Q}:sold EX 900 BUYER b ITEMS Q 1");
    client.ask("INV.COMMIT {Q}:sold");
    once(&server, &tables);
    let seen = |client: &mut Client| {
        let mut replies = Vec::new();
        for command in [
            "INV.STOCK {s}:w Q",
            "INV.QUOTA Q b",
            "INV.GET {s}:r",
            "INV.GET {Q}:r",
            "INV.GET {Q}:sold",
            "INV.AUDITSCAN 0",
        ] {
            replies.push(client.ask(command));
        }
        replies
    };
    let before = seen(&mut client);
    server.kill();
    server.start_again();
    let mut client = server.connect();
    let said = rebuild(&server, &tables, &[]);
    assert_eq!(said.last().expect("a line")["differences"], 0, "{said:?}");
    assert_eq!(seen(&mut client), before);
    once(&server, &tables);
    tables.assert_equal(&mut client);
}

/// The mark inventory:managed is not mirrored: the module decides again by what it finds.
#[test]
fn after_a_rebuild_the_module_finds_out_whether_other_programs_reserve() {
    for foreign in [0, 3] {
        let mut server = Server::start_with(FEED);
        let tables = Tables::start();
        let mut client = server.connect();
        client.ask("INV.SET P AVAILABLE 100");
        client.ask("INV.RESERVE r1 ITEMS P 2");
        assert_eq!(client.info("inv", "inv_managed"), "1");
        if foreign > 0 {
            client.ask(format!("INCRBY stock:reserved:P {foreign}"));
        }
        once(&server, &tables);
        server.kill();
        server.start_again();
        let mut client = server.connect();
        rebuild(&server, &tables, &[]);
        assert_eq!(client.counters("P"), (98, 2 + foreign));
        let standing = |client: &mut Client| {
            let reason = client.info("inv", "inv_managed_db0").rsplit('=').next().map(str::to_owned);
            (client.info("inv", "inv_managed"), reason.unwrap_or_default())
        };
        let expect = |managed: &str, reason: &str| (managed.to_owned(), reason.to_owned());
        if foreign > 0 {
            // Its units are never given away, whatever is loaded.
            assert_eq!(standing(&mut client), expect("0", "foreign_write"));
            client.ask("DEBUG RELOAD");
            crate::harness::wait_for("compared", crate::harness::SOON, expect("0", "drift"), || {
                standing(&mut client)
            });
            client.ask("INV.RESERVE r2 ITEMS P 1");
            assert_eq!(standing(&mut client), expect("0", "drift"));
            assert_eq!(client.counters("P"), (97, 6));
            continue;
        }
        // The mark comes with the next reservation, or with a load after which all counters are right.
        assert_eq!(standing(&mut client), expect("0", "none_reserved_yet"));
        client.ask("DEBUG RELOAD");
        crate::harness::wait_for("compared", crate::harness::SOON, expect("1", "none"), || {
            standing(&mut client)
        });
        client.ask("INV.RESERVE r2 ITEMS P 1");
        assert_eq!(client.counters("P"), (97, 3));
    }
}

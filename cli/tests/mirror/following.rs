//! The mirror while nothing fails.

use std::time::Duration;

use crate::dice::Dice;
use crate::harness::{Json, Server, json, wait_for, wait_until};
use crate::shop::{self, Crowd};
use crate::world::{FEED, Mirror, PATIENCE, Tables, mirror_once, once, run, url, wait_until_nothing_is_due};

#[test]
fn each_change_is_a_movement_with_its_balances_note_and_user() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask(["INV.ADJUST", "P", "10", "NOTE", "delivery 4711"]);
    client.ask(["INV.RESERVE", "r1", "EX", "900", "DATA", "cart 7", "ITEMS", "P", "4"]);
    client.ask("INV.COMMIT r1 ITEMS P 1");
    client.ask("INV.ROLLBACK r1");
    once(&server, &tables);
    let rows = tables.rows(
        "SELECT event, sku, quantity, available_change AS a, reserved_change AS r, available, reserved, reservation, note, by_user
         FROM stock_movement ORDER BY entry_ms, entry_seq, part",
    );
    let row = |event: &str, quantity: i64, change: (i64, i64), after: (i64, i64), more: Json| {
        let mut row = json!({
            "event": event, "sku": "P", "quantity": quantity, "a": change.0, "r": change.1, "available": after.0,
            "reserved": after.1, "reservation": "r1", "note": null, "by_user": null,
        });
        for (name, value) in more.as_object().expect("fields") {
            row[name] = value.clone();
        }
        row
    };
    let delivery = json!({ "reservation": null, "note": "delivery 4711", "by_user": "default" });
    let expected = [
        row("adjusted", 10, (10, 0), (10, 0), delivery),
        row("reserved", 4, (-4, 4), (6, 4), json!({})),
        row("committed", 1, (0, -1), (6, 3), json!({})),
        row("rolled_back", 3, (3, -3), (9, 0), json!({})),
    ];
    assert_eq!(rows, expected);
    let reservation =
        tables.rows("SELECT state, held, sold, returned, data FROM reservation WHERE id = 'r1'");
    let expected = json!({ "state": "rolled_back", "held": {}, "sold": {"P": 1}, "returned": {"P": 3}, "data": "cart 7" });
    assert_eq!(reservation, [expected]);
    tables.assert_equal(&mut client);

    // Nothing is written twice.
    let again = once(&server, &tables);
    assert_eq!(again.last().expect("a line")["movements"], 0, "{again:?}");
}

#[test]
fn counters_that_another_client_has_changed_become_external_movements() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("SET stock:available:OLD 7");
    client.ask("INV.ADJUST P 10");
    once(&server, &tables);
    assert_eq!(tables.ask("SELECT event FROM stock_movement WHERE sku = 'OLD'"), "opening");
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);

    // The next entry shows it.
    client.burst(&["INCRBY stock:available:P 5", "INV.ADJUST P 1"]);
    mirror.wait_until_equal(&mut client, &tables);
    let event = "SELECT event || ' ' || quantity || ' ' || available FROM stock_movement WHERE sku =";
    let last = |sku: &str| {
        tables.ask(&format!("{event} '{sku}' ORDER BY entry_ms DESC, entry_seq DESC, part DESC LIMIT 1"))
    };
    assert_eq!(last("P"), "adjusted 1 16");
    assert_eq!(tables.ask(&format!("{event} 'P' AND part = 0")), "external 5 15");

    // No entry follows: the comparison shows it.
    client.ask("INCRBY stock:available:P 4");
    client.ask("SET stock:available:NEW 3");
    client.ask("DEL stock:available:OLD");
    mirror.wait_until_equal(&mut client, &tables);
    assert_eq!((last("P"), last("NEW")), ("external 4 20".to_owned(), "external 3 3".to_owned()));
    assert_eq!(last("OLD"), "external -7 0");
    assert_eq!(tables.ask("SELECT count(*) FROM stock WHERE sku = 'OLD'"), "0");
    tables.assert_equal(&mut client);
}

#[test]
fn deadlines_settings_and_quotas_are_mirrored() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    shop::open(&mut client);
    client.ask("INV.WAREHOUSES W SET RETURNS CLOSED");
    client.ask("INV.LIMIT P 3");
    client.ask("INV.RESERVE r1 EX 900 BUYER b1 ITEMS P 2");
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    let deadline = client.ask("INV.EXTEND r1 EX 1800").as_i64().expect("a time");
    let known =
        "SELECT round(extract(epoch FROM expires_at) * 1000)::bigint FROM reservation WHERE id = 'r1'";
    wait_for("the deadline is known", PATIENCE, deadline.to_string(), || {
        if tables.ask("SELECT to_regclass('inv.reservation')").is_empty() {
            String::new()
        } else {
            tables.ask(known)
        }
    });
    let settings = || {
        tables.ask(
            "SELECT string_agg(concat_ws(' ', kind, name, value), ', ' ORDER BY kind, name) FROM setting",
        )
    };
    let expected =
        "floor Q 10, limit P 3, threshold P 20, warehouse W@A 1, warehouse W@B 2, warehouse W@RETURNS closed";
    wait_for("the settings", PATIENCE, expected.to_owned(), settings);
    let quotas =
        || tables.ask("SELECT string_agg(concat_ws(' ', sku, available, reserved), ', ') FROM quota");
    assert_eq!(quotas(), "P@@b1 -2 2");
    assert_eq!(tables.ask("SELECT buyer FROM reservation"), "b1");
    assert_eq!(tables.ask("SELECT reservable FROM stock_level WHERE sku = 'Q'"), "990");

    client.ask("INV.COMMIT r1");
    client.ask("INV.FLOOR Q 0");
    client.ask("INV.THRESHOLD P DEFAULT");
    client.ask("INV.WAREHOUSES W DEL RETURNS");
    client.ask("INV.LIMIT P OFF");
    wait_for("the settings", PATIENCE, "warehouse W@A 1, warehouse W@B 2".to_owned(), settings);
    wait_for("the quota", PATIENCE, "P@@b1 -2 0".to_owned(), quotas);
    client.ask("DEL stock:available:P@@b1 stock:reserved:P@@b1");
    wait_for("no quota", PATIENCE, String::new(), quotas);
    mirror.wait_until_equal(&mut client, &tables);
    tables.check();
}

#[test]
fn any_history_is_mirrored_entry_by_entry() {
    for seed in 0..3 {
        let server = Server::start_with(FEED);
        let tables = Tables::start();
        let mut client = server.connect();
        shop::open(&mut client);
        let mut dice = Dice::new(seed);
        for _ in 0..300 {
            shop::step(&mut client, &mut dice, "r");
        }
        once(&server, &tables);
        let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1", "--batch-size", "7"]);
        for _ in 0..500 {
            shop::step(&mut client, &mut dice, "r");
        }
        wait_until_nothing_is_due(&mut client);
        mirror.wait_until_equal(&mut client, &tables);
        mirror.kill();
        once(&server, &tables);
        tables.assert_equal(&mut client);
        // Nothing was trimmed, so each entry that changes stock is one movement.
        let entries = client.ask("XRANGE inventory:feed - +");
        let alerts = |entry: &&Json| entry[1].as_array().expect("fields").contains(&json!("alert"));
        let entries = entries.as_array().expect("entries");
        let expected = entries.len() - entries.iter().filter(alerts).count();
        assert_eq!(tables.ask("SELECT count(*) FROM stock_movement WHERE part = 1"), expected.to_string());
        assert_eq!(tables.ask("SELECT count(*) FROM gap"), "0");
    }
}

#[test]
fn a_second_mirror_waits_until_the_first_one_has_ended() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("INV.ADJUST P 10");
    let mut first = Mirror::start(&url(&server), &tables, &[]);
    first.wait_until_equal(&mut client, &tables);
    let mut second = Mirror::start(&url(&server), &tables, &[]);
    second.wait_until_says("\"standby\"");
    // Both sides of a failover are busy.
    let crowd = Crowd::enter(&server, 2, Duration::from_millis(1));
    first.kill();
    client.ask("INV.ADJUST P 5");
    wait_until("the second one works", PATIENCE, || {
        tables.stock().get("P").is_some_and(|units| units.0 > 10)
    });
    crowd.leave();
    second.wait_until_equal(&mut client, &tables);
    tables.check();
}

#[test]
fn the_lag_is_shown_as_a_consumer_group() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    for _ in 0..10 {
        client.ask("INV.ADJUST P 10");
    }
    once(&server, &tables);
    let mut lag = || {
        let groups = client.ask("XINFO GROUPS inventory:feed");
        (groups[0]["name"].clone(), groups[0]["lag"].clone())
    };
    assert_eq!(lag(), (json!("inv-mirror"), json!(0)));
    server.connect().ask("INV.ADJUST P 1");
    assert_eq!(lag(), (json!("inv-mirror"), json!(1)));
    once(&server, &tables);
    assert_eq!(lag(), (json!("inv-mirror"), json!(0)));
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    let server = Server::start();
    let tables = Tables::start();
    let (code, _, err) = mirror_once(&url(&server), &tables, &[]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("the change feed of") && err.contains("CONFIG SET inv.feed-maxlen"), "{err}");

    let plain = Server::start_without_module(crate::harness::server_program(), &[]);
    let (code, _, err) = mirror_once(&url(&plain), &tables, &[]);
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("the module is not loaded"), "{err}");

    let (code, _, err) = run(&["--url", &url(&server), "mirror", "postgres://127.0.0.1:1/x", "--once"]);
    assert_eq!(code, Some(3), "{err}");
    let (code, _, err) = run(&["--url", &url(&server), "mirror", &tables.url(), "--schema", "Wrong Name"]);
    assert_eq!(code, Some(2), "{err}");
    let (code, _, err) = run(&["--url", &url(&server), "rebuild", &tables.url()]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("has no tables of inv mirror"), "{err}");

    // The tables of a server with other keys are refused.
    server.connect().ask("CONFIG SET inv.feed-maxlen 10");
    once(&server, &tables);
    let tagged = Server::start_with(&["inv.key-style tagged", "inv.feed-maxlen 10"]);
    let (code, _, err) = mirror_once(&url(&tagged), &tables, &[]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("plain keys") && err.contains("--schema"), "{err}");
}

#[test]
fn a_feed_that_is_turned_off_is_noticed_and_what_it_missed_is_mended() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    client.ask("INV.ADJUST P 10");
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    mirror.wait_until_equal(&mut client, &tables);
    client.ask("CONFIG SET inv.feed-maxlen 0");
    client.ask("INV.ADJUST P 5");
    mirror.wait_until_says("the change feed of");
    client.ask("CONFIG SET inv.feed-maxlen 1000");
    client.ask("INV.ADJUST P 1");
    mirror.wait_until_equal(&mut client, &tables);
    let unexplained = "SELECT event || ' ' || quantity FROM stock_movement WHERE part <> 1";
    assert_eq!(tables.ask(unexplained), "external 5");
    tables.check();
}

/// The users of docs/mirror.md.
#[test]
fn the_documented_rights_are_enough() {
    let server = Server::start_with(FEED);
    let tables = Tables::start();
    let mut client = server.connect();
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/mirror.md")).expect("the page");
    let line = page.lines().find_map(|line| line.trim().strip_prefix("user mirror ")).expect("the user");
    let rules = line.replace("#SHA-256-OF-A-PASSWORD", ">secret");
    client.ask(format!("ACL SETUSER mirror {rules}"));
    shop::open(&mut client);
    client.ask("INV.LIMIT P 3");
    client.ask("INV.RESERVE r1 EX 900 BUYER b1 ITEMS P 2 W 3");
    client.ask("INV.RESERVE r2 EX 900 ITEMS Q 2");
    client.ask("INV.COMMIT r2");
    let grants: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.contains("CREATE ROLE inv_mirror"))
        .take_while(|line| !line.starts_with("```"))
        .collect();
    tables.postgres.ask(&grants.join("\n").replace("DATABASE shop", "DATABASE postgres"));
    let database = tables.url().replace("shop@", "inv_mirror@");
    let user = format!("redis://mirror:secret@127.0.0.1:{}", server.port());
    let (code, out, err) = run(&["--url", &user, "--json", "mirror", &database, "--once"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!out.contains("no_group"), "{out}");
    tables.assert_equal(&mut client);
    assert_eq!(client.ask("XINFO GROUPS inventory:feed")[0]["lag"], 0);
    // Nothing was refused on the way.
    assert_eq!(client.ask("ACL LOG"), json!([]));
}

#[test]
fn with_tagged_keys_every_tag_has_its_feed() {
    let server = Server::start_with(&["inv.key-style tagged", "inv.feed-maxlen 1000"]);
    let tables = Tables::start();
    let mut client = server.connect();
    for number in 0..50 {
        client.ask(format!("INV.ADJUST {{s{number}}}:p 10"));
        client.ask(format!("INV.ADJUST Q{number} 10"));
    }
    once(&server, &tables);
    let mut mirror = Mirror::start(&url(&server), &tables, &["--compare", "1"]);
    for number in 0..50 {
        client.ask(format!("INV.RESERVE {{s{number}}}:r EX 900 ITEMS {{s{number}}}:p 2"));
        client.ask(format!("INV.ADJUST NEW{number} 3"));
        client.ask(format!("INCRBY stock:available:{{Q{number}}} 1"));
    }
    mirror.wait_until_equal(&mut client, &tables);
    mirror.kill();
    once(&server, &tables);
    tables.assert_equal(&mut client);
    let count =
        |event: &str| tables.ask(&format!("SELECT count(*) FROM stock_movement WHERE event = '{event}'"));
    assert_eq!(
        (count("reserved"), count("adjusted"), count("external")),
        ("50".into(), "150".into(), "50".into())
    );
}

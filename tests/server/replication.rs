//! What each command propagates, word by word, and that master, replica and AOF agree.

use crate::harness::{
    Client, Json, LATER, SOON, Server, assert_same, assert_same_data, code, server_program, wait_for,
    wait_until, wire_code,
};
use crate::shop::{shop_with, stored};

/// A server with an AOF after its first reservation, which may have added the module's mark.
fn shop() -> (Server, Client) {
    let (server, mut shop) =
        shop_with(&["appendonly yes", "inv.alert-cooldown-ms 0"], &[("P", 100), ("Q", 100)]);
    shop.ask("INV.RESERVE FIRST ITEMS P 1");
    shop.ask("INV.ROLLBACK FIRST");
    (server, shop)
}

#[test]
fn reserve_propagates_the_record_as_it_was_resolved() {
    let (server, mut shop) = shop();
    for command in [
        "INV.RESERVE R1 EX 60 DATA cart ITEMS P 3 Q 2 P 1",
        "INV.RESERVE R2 ITEMS P 1",
        "INV.RESERVE cart-* PX 5000 ITEMS P 1",
    ] {
        let mut reply = Json::Null;
        let propagated = server.propagated_by(|| reply = shop.ask(command));
        let id = reply["reservation_id"].as_str().expect("an id");
        let (record, _) = stored(&mut shop, &format!("reservation:{id}"));
        assert_eq!(propagated, [format!("INV.APPLY 3 HOLD {record} reservation:{id}")], "{command}");
    }
}

#[test]
fn commit_and_rollback_propagate_the_outcome_and_the_units() {
    let (server, mut shop) = shop();
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 2");
    shop.ask("INV.RESERVE R2 ITEMS P 5 Q 2");
    for (command, id) in [("INV.COMMIT R1", "R1"), ("INV.ROLLBACK R2", "R2")] {
        let propagated = server.propagated_by(|| {
            shop.ask(command);
        });
        let (outcome, _) = stored(&mut shop, &format!("inventory:outcome:{id}"));
        assert_eq!(propagated, [format!("INV.APPLY 3 CLOSE 86400000 {outcome} reservation:{id}")]);
    }
    // With a token the document does not say everything.
    for (command, id, units) in [
        ("INV.COMMIT R3 ONCE t", "R3", "UNITS P 0 -5 UNITS Q 0 -2"),
        ("INV.ROLLBACK R4 ONCE t", "R4", "UNITS P 5 -5 UNITS Q 2 -2"),
    ] {
        shop.ask(format!("INV.RESERVE {id} ITEMS P 5 Q 2"));
        let propagated = server.propagated_by(|| {
            shop.ask(command);
        });
        let (outcome, deadline) = stored(&mut shop, &format!("inventory:outcome:{id}"));
        let general = format!("INV.APPLY 1 {units} END {id} {deadline} {outcome} ONCE ");
        assert!(propagated[0].starts_with(&general), "{propagated:?}");
    }
}

#[test]
fn a_retry_propagates_nothing() {
    let (server, mut shop) = shop();
    shop.ask("INV.RESERVE LIVE ITEMS P 5");
    for id in ["SOLD", "BACK"] {
        shop.ask(format!("INV.RESERVE {id} ITEMS P 5"));
    }
    shop.ask("INV.COMMIT SOLD");
    shop.ask("INV.ROLLBACK BACK");
    for again in [
        "INV.RESERVE LIVE ITEMS P 5",
        "INV.COMMIT SOLD",
        "INV.ROLLBACK BACK",
        "INV.GET LIVE",
        "INV.STOCK P",
        "INV.ALERTS",
    ] {
        let propagated = server.propagated_by(|| {
            shop.ask(again);
        });
        assert_eq!(propagated, Vec::<String>::new(), "{again}");
    }
}

#[test]
fn an_alert_propagates_as_a_plain_key_with_its_cause() {
    let (server, mut shop) = shop();
    let propagated = server.propagated_by(|| {
        shop.ask("INV.RESERVE R1 ITEMS P 95");
    });
    let (record, _) = stored(&mut shop, "reservation:R1");
    let key = shop.ask("KEYS alert:*")[0].as_str().expect("one alert").to_owned();
    let (alert, alert_until) = stored(&mut shop, &key);
    assert_eq!(
        propagated,
        [
            "MULTI".to_owned(),
            format!("INV.APPLY 3 HOLD {record} reservation:R1"),
            format!("SET {key} {alert} PXAT {alert_until}"),
            "EXEC".to_owned(),
        ]
    );
}

#[test]
fn what_the_module_adds_to_a_command_or_does_by_itself_is_in_one_transaction_with_its_cause() {
    let (server, mut shop) = shop();
    shop.ask("CONFIG SET inv.feed-maxlen 100");
    shop.ask("CONFIG SET inv.alert-cooldown-ms 0");
    let words = |propagated: Vec<String>| -> Vec<String> {
        let short = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let timeless = |line: String| match line.strip_prefix("SET alert:P:") {
            Some(_) => "SET alert:P".to_owned(),
            None => line,
        };
        with_del(propagated).iter().map(short).map(timeless).collect()
    };
    let before = server.propagated().len();
    shop.ask("INV.RESERVE R1 PX 50 ITEMS P 100");
    let with_alert =
        ["MULTI", "INV.APPLY 3", "XADD inventory:feed", "SET alert:P", "XADD inventory:feed", "EXEC"];
    assert_eq!(words(server.propagated().split_off(before)), with_alert);

    let before = server.propagated().len();
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(
        words(server.propagated().split_off(before)),
        [
            "MULTI",
            "DEL reservation:R1",
            "INCRBY stock:available:P",
            "DECRBY stock:reserved:P",
            "SET inventory:outcome:R1",
            "XADD inventory:feed",
            "SET alert:P",
            "XADD inventory:feed",
            "EXEC",
        ]
    );
}

/// The server frees values in background threads, which must not share memory with the module.
#[test]
fn a_stored_document_is_held_by_the_database_alone() {
    let (server, mut shop) = shop();
    let replica = server.replica();
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    replica.catch_up_with(&server);
    for client in [&mut shop, &mut replica.connect()] {
        assert_eq!(client.ask("OBJECT REFCOUNT reservation:R1"), 1);
    }
    shop.ask("INV.COMMIT R1");
    replica.catch_up_with(&server);
    for client in [&mut shop, &mut replica.connect()] {
        assert_eq!(client.ask("OBJECT REFCOUNT inventory:outcome:R1"), 1);
    }
}

/// What the expiry of R1, with five units of P, propagates.
fn expiry_of_r1(shop: &mut Client) -> Vec<String> {
    let (outcome, until) = stored(shop, "inventory:outcome:R1");
    vec![
        "MULTI".to_owned(),
        "DEL reservation:R1".to_owned(),
        "INCRBY stock:available:P 5".to_owned(),
        "DECRBY stock:reserved:P 5".to_owned(),
        format!("SET inventory:outcome:R1 {outcome} PXAT {until}"),
        "EXEC".to_owned(),
    ]
}

/// Replaces UNLINK, which Valkey propagates where Redis propagates DEL.
fn with_del(mut propagated: Vec<String>) -> Vec<String> {
    for command in &mut propagated {
        if let Some(key) = command.strip_prefix("UNLINK ") {
            *command = format!("DEL {key}");
        }
    }
    propagated
}

#[test]
fn a_deadline_propagates_as_one_transaction_of_plain_commands() {
    let (server, mut shop) = shop();
    let before = server.propagated().len();
    shop.ask("INV.RESERVE R1 PX 50 ITEMS P 5");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    let propagated = with_del(server.propagated().split_off(before + 1));
    assert_eq!(propagated, expiry_of_r1(&mut shop));
}

#[test]
fn a_command_that_meets_the_deadline_first_propagates_the_same() {
    for command in ["INV.COMMIT R1", "INV.RESERVE R1 ITEMS P 5", "GET reservation:R1"] {
        let (server, mut shop) = shop();
        let before = server.propagated().len();
        shop.burst(&["INV.RESERVE R1 PX 50 ITEMS P 5", "DEBUG SLEEP 0.1", command]);
        let propagated = with_del(server.propagated().split_off(before + 1));
        assert_eq!(propagated, expiry_of_r1(&mut shop), "{command}");
    }
}

#[test]
fn units_that_were_overdue_come_before_the_reservation_that_takes_them() {
    const RESERVE: &str = "INV.APPLY 3 HOLD";
    let (server, mut shop) = shop();
    let before = server.propagated().len();
    let replies =
        shop.burst(&["INV.RESERVE R1 PX 50 ITEMS P 90", "DEBUG SLEEP 0.1", "INV.RESERVE R2 ITEMS P 100"]);
    assert_eq!(replies[2]["reservation_id"], "R2");
    let propagated = with_del(server.propagated().split_off(before));
    let place = |start: &str| {
        propagated
            .iter()
            .position(|command| command.starts_with(start) && !(start == RESERVE && command.contains("R1")))
            .unwrap_or_else(|| panic!("{start}: {propagated:#?}"))
    };
    let order = [
        place("MULTI"),
        place("DEL reservation:R1"),
        place("INCRBY stock:available:P 90"),
        place("DECRBY stock:reserved:P 90"),
        place(RESERVE),
    ];
    // The first MULTI belongs to the alert of R1.
    assert!(order[1..].is_sorted(), "{propagated:#?}");
}

#[test]
fn the_propagated_form_is_refused_from_a_client() {
    let (server, mut shop) = shop();
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let before = shop.contents();
    let until = shop.now() + 1_000_000;
    let record = shop.ask("GET reservation:R1").as_str().expect("text").replace("R1", "R2");
    let hold = format!("INV.APPLY 1 HOLD R2 {until} {record}");
    let end = format!("INV.APPLY 1 END R1 {until} {{}} UNITS P 5 -5");
    let packed = format!("INV.APPLY 3_HOLD {record} reservation:R2");
    for command in [&hold, &end, &packed, "INV.APPLY 1", "INV.APPLY 2 HOLD"] {
        let propagated = server.propagated_by(|| {
            shop.refusal(command);
        });
        assert_eq!(propagated, Vec::<String>::new());
        let replies = shop.burst(&["MULTI", command, "EXEC"]);
        let refused = replies
            .iter()
            .any(|reply| wire_code(reply) == "-EXECABORT" || wire_code(&reply[0]).starts_with('-'));
        assert!(refused, "{replies:?}");
        let words = command.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>().join(",");
        shop.refusal(["EVAL", &format!("return redis.call({words})"), "0"]);
    }
    assert_same(&shop.contents(), &before);
}

/// A history with every command. The reservations that are live at the end have hours to live.
fn history(shop: &mut Client) {
    for sku in 0..8 {
        shop.ask(format!("SET stock:available:P{sku} {}", 5 + sku * 6));
    }
    shop.ask("EXPIRE stock:available:P7 10000");
    shop.ask("SET stock:threshold:P3 20");
    let mut deadlines = 0;
    for n in 0..300_u32 {
        // The numbers choose independently, so that the combinations do not repeat soon.
        let (sku, other, units, way) = (n % 8, n * 3 % 7, 1 + n % 5, n % 11);
        match way {
            0 => _ = shop.try_ask("SELECT 2"),
            1 => _ = shop.try_ask("SELECT 0"),
            2 => _ = shop.try_ask(format!("INCRBY stock:available:P{other} {units}")),
            _ => {}
        }
        let time = if way == 3 { "PX 40" } else { "EX 9000" };
        let reserve = format!("INV.RESERVE R{n} {time} DATA d{n} ITEMS P{sku} {units} P{other} 1");
        deadlines += u32::from(shop.try_ask(reserve).is_ok() && way == 3);
        let earlier = n / 2;
        match n % 7 {
            0 | 1 => _ = shop.try_ask(format!("INV.COMMIT R{earlier}")),
            2 | 3 => _ = shop.try_ask(format!("INV.ROLLBACK R{earlier}")),
            4 => {
                let (commit, rollback) = (format!("INV.COMMIT R{n}"), format!("INV.ROLLBACK R{earlier}"));
                shop.burst(&["MULTI", &commit, &rollback, "EXEC"]);
            }
            5 => {
                let script = format!(
                    "redis.pcall('INV.COMMIT', 'R{earlier}') return redis.pcall('INV.RESERVE', 'S{n}', 'ITEMS', 'P{sku}', '1')"
                );
                _ = shop.try_ask(["EVAL", &script, "0"]);
            }
            _ => {}
        }
        // The other commands, with and without a token; many are refused.
        let other_step = match n % 16 {
            0 => format!("INV.ADJUST P{sku} {units} ONCE t{}", n % 3),
            1 => format!("INV.ADJUST P{other} -1"),
            2 => format!("INV.SET P{sku} ONHAND {}", 20 + n % 40),
            3 => format!("INV.SET NEW{n} AVAILABLE {units} ONCE t"),
            4 => format!("INV.EXTEND R{n} PX 8000000 ONCE t"),
            5 => format!("INV.COMMIT R{n} ONCE t ITEMS P{other} 1"),
            6 => format!("INV.ROLLBACK R{earlier} ONCE t ITEMS P{sku} 1"),
            7 => format!("INV.COMMIT R{} LATE", n - n % 11 + 3),
            8 => format!("INV.THRESHOLD P{sku} {n}"),
            9 if n % 2 == 0 => format!("INV.THRESHOLD P{other} OFF"),
            9 => format!("INV.THRESHOLD P{other} DEFAULT"),
            13 if n % 2 == 0 => format!("INV.FLOOR P{sku} -{}", 1 + n % 5),
            13 => format!("INV.FLOOR P{sku} {}", n % 5),
            14 => format!("INV.ADJUST P{other} -{} FORCE", n % 5),
            15 if n % 2 == 0 => format!("INV.WAREHOUSES WH{n} SET A 1 B CLOSED"),
            15 => format!("INV.FLOOR P{other} 0"),
            10 => format!("INV.RESERVE *  ONCE t{} EX 9000 ITEMS P{sku} 1", n % 5),
            11 => format!("INV.ROLLBACK R{} ONCE t", n - n % 11 + 3),
            _ => format!("INV.RESERVE R{n} ITEMS P{sku} {units} P{other} 1"),
        };
        _ = shop.try_ask(other_step);
        match n {
            // This one returns at its deadline. A restart would release deleted records with later deadlines.
            146 => {
                shop.ask("SET stock:available:SPARE 2");
                shop.ask("INV.RESERVE SPARE PX 1000 ITEMS SPARE 2");
                assert_eq!(shop.ask("DEL reservation:SPARE"), 1);
            }
            160 => _ = shop.ask("SWAPDB 0 1"),
            170 => _ = shop.ask("SWAPDB 1 0"),
            _ => {}
        }
    }
    assert!(deadlines > 5, "some should expire: {deadlines}");
    // An overdue record is not listed any more, but is counted until it is released.
    wait_until("what was made to expire has", SOON, || {
        (0..3).all(|database| {
            shop.ask(format!("SELECT {database}"));
            let keys = shop.ask("KEYS *");
            let keys: Vec<&str> =
                keys.as_array().expect("an array").iter().filter_map(Json::as_str).collect();
            let records: Vec<&&str> = keys.iter().filter(|key| key.starts_with("reservation:")).collect();
            let long = |key: &&&str| shop.ask(["PTTL", key]).as_i64().is_some_and(|left| left > 100_000);
            records.iter().all(long) && shop.ask("DBSIZE") == keys.len()
        })
    });
    shop.ask("SELECT 0");
    wait_for("what was deleted is back", SOON, (2, 0), || shop.counters("SPARE"));
}

#[test]
fn master_replica_and_the_server_restarted_from_its_aof_hold_the_same() {
    let mut server = Server::start_with(&["appendonly yes", "inv.alert-cooldown-ms 0"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:EARLY 10");
    shop.ask("INV.RESERVE EARLY EX 9000 ITEMS EARLY 3");
    let replica = server.replica();
    history(&mut shop);
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());

    let before = shop.contents();
    let digest = shop.ask("DEBUG DIGEST");
    server.shut_down();
    server.start_again();
    let mut again = server.connect();
    assert_same(&again.contents(), &before);
    assert_eq!(again.ask("DEBUG DIGEST"), digest);

    // Also after a power failure, and from a rewritten file.
    server.rewrite("BGREWRITEAOF");
    server.kill();
    server.start_again();
    assert_same(&server.connect().contents(), &before);
}

#[test]
fn a_full_sync_and_the_stream_after_it_agree() {
    let server = Server::start_with(&["inv.alert-cooldown-ms 0"]);
    let mut shop = server.connect();
    history(&mut shop);
    let replica = server.replica();
    assert_same_data(&mut shop, &mut replica.connect());
    shop.ask("FLUSHALL");
    history(&mut shop);
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
}

#[test]
fn a_replica_writes_the_same_into_its_own_aof_and_to_its_own_replicas() {
    let (mut server, mut shop) = shop_with(&[], &[("P", 100)]);
    let mut replica = server.replica_with(&["appendonly yes"]);
    let last = replica.replica();
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.RESERVE R2 PX 50 ITEMS P 5");
    shop.ask("INV.RESERVE R3 ITEMS P 85");
    shop.ask("INV.COMMIT R1");
    wait_for("the units are back", SOON, (10, 85), || shop.counters("P"));
    replica.catch_up_with(&server);
    last.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    assert_same_data(&mut shop, &mut last.connect());

    let before = replica.connect().contents();
    // Without its master, it has only its own file.
    server.kill();
    replica.kill();
    replica.start_again();
    assert_same(&replica.connect().contents(), &before);
}

#[test]
fn a_replica_reads_and_refuses_writes() {
    let (server, mut shop) = shop_with(&[], &[("P", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let replica = server.replica();
    let mut reader = replica.connect();
    for read in ["INV.GET R1", "INV.STOCK P", "INV.ALERTS"] {
        assert_eq!(reader.ask(read), shop.ask(read), "{read}");
    }
    for write in ["INV.RESERVE R2 ITEMS P 1", "INV.COMMIT R1", "INV.ROLLBACK R1"] {
        assert_eq!(code(&reader.refusal(write)), "READONLY", "{write}");
    }
    shop.ask("INV.COMMIT R1");
    replica.catch_up_with(&server);
    for read in ["INV.GET R1", "INV.STOCK P", "INV.ALERTS"] {
        assert_eq!(reader.ask(read), shop.ask(read), "{read}");
    }
}

#[test]
fn a_replica_whose_master_is_gone_ends_nothing_by_itself() {
    let (mut server, mut shop) = shop_with(&[], &[("P", 100)]);
    let replica = server.replica();
    let deadline = shop.ask("INV.RESERVE R1 PX 600 ITEMS P 5")["expires_at"].as_i64().expect("a time");
    replica.catch_up_with(&server);
    server.kill();

    let mut reader = replica.connect();
    wait_until("several sweeps would have run", SOON, || reader.now() > deadline + 350);
    assert_eq!(reader.ask("GET reservation:R1"), Json::Null);
    assert_eq!(reader.ask("INV.GET R1")["state"], "expired");
    assert_eq!(reader.counters("P"), (95, 5));
    assert_eq!(reader.ask("EXISTS inventory:outcome:R1"), 0);
}

#[test]
fn a_reservation_that_was_loaded_ends_at_its_deadline() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    let fill = "for i = 1, 5000 do redis.call('SET', 'session:' .. i, 'x', 'EX', 1000) end";
    shop.ask(["EVAL", fill, "0"]);
    let deadline = shop.ask("INV.RESERVE R1 PX 1000 ITEMS P 5")["expires_at"].as_i64().expect("a time");
    server.shut_down();
    server.start_again();
    let mut shop = server.connect();
    assert_eq!(shop.counters("P"), (95, 5));
    wait_until("the deadline has passed", SOON, || shop.now() > deadline);
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET R1")["state"], "expired");
}

#[test]
fn a_reservation_that_expired_while_the_server_was_down_returns_its_units() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    shop.ask("INV.RESERVE R1 PX 20 ITEMS P 5");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(shop.refusal("INV.COMMIT R1").split(' ').next(), Some("EXPIRED"));
}

#[test]
fn after_bgrewriteaof_the_data_loads_without_the_module() {
    for preamble in ["no", "yes"] {
        let mut server = Server::start_with(&["appendonly yes", "inv.alert-cooldown-ms 0"]);
        let mut shop = server.connect();
        shop.ask(format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
        history(&mut shop);
        server.rewrite("BGREWRITEAOF");
        let before = shop.contents();
        server.shut_down();
        server.start_again_without_module();
        let mut plain = server.connect();
        assert_eq!(code(&plain.refusal("INV.GET R1")), "ERR", "the command does not exist");
        assert_same(&plain.contents(), &before);
    }
}

#[test]
fn an_rdb_loads_without_the_module_and_with_it() {
    let mut server = Server::start_with(&["inv.alert-cooldown-ms 0"]);
    let mut shop = server.connect();
    history(&mut shop);
    let before = shop.contents();
    shop.ask("SAVE");
    server.kill();
    server.start_again();
    assert_same(&server.connect().contents(), &before);
    server.kill();
    server.start_again_without_module();
    assert_same(&server.connect().contents(), &before);
}

#[test]
fn units_that_come_back_in_two_databases_at_once_are_propagated_each_to_its_own() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    let replica = server.replica();
    shop.burst(&[
        "SELECT 1",
        "SET stock:available:P 50",
        "INV.RESERVE B PX 50 ITEMS P 7",
        "SELECT 0",
        "INV.RESERVE A PX 50 ITEMS P 5",
        "DEBUG SLEEP 0.1",
        "MULTI",
        "GET reservation:A",
        "SELECT 1",
        "GET reservation:B",
        "SELECT 0",
        "EXEC",
    ]);
    // A new connection: see expiry.rs about Valkey 8.1.
    let mut shop = server.connect();
    assert_eq!(shop.counters("P"), (100, 0));
    shop.ask("SELECT 1");
    assert_eq!(shop.counters("P"), (50, 0));
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    let before = shop.contents();
    server.kill();
    server.start_again();
    assert_same(&server.connect().contents(), &before);
}

#[test]
fn a_replica_without_the_module_stops_instead_of_drifting() {
    let (server, mut shop) = shop_with(&[], &[("P", 100)]);
    let replica_of = format!("replicaof 127.0.0.1 {}", server.port());
    let options = [&*replica_of, "propagation-error-behavior panic-on-replicas"];
    let mut replica = Server::start_without_module(server_program(), &options);
    replica.wait_for_master(&server);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    // It writes a crash report first.
    wait_until("the replica has stopped", LATER, || replica.has_ended());
}

#[test]
fn a_counter_that_a_command_did_not_touch_may_hold_anything_on_every_copy() {
    let mut server = Server::start_with(&["appendonly yes", "propagation-error-behavior panic-on-replicas"]);
    let mut shop = server.connect();
    let replica = server.replica();
    shop.ask("SET stock:available:Y 5");
    shop.ask("INV.RESERVE y1 ITEMS Y 2");
    shop.ask("SET stock:available:Y abc");
    assert_eq!(shop.ask("INV.COMMIT y1"), "OK");
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    let before = shop.contents();
    server.kill();
    server.start_again();
    assert_eq!(server.connect().contents(), before);
}

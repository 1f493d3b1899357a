//! The module in a cluster: names, moving slots, failing nodes.

use std::time::Duration;

use crate::harness::{Client, Json, Machine, SOON, code, json, wait_for, wait_until};
use crate::shards::{Cluster, keys_of, node_id, slot_of};

/// Sends the command with ASKING, as cluster clients do after an ASK redirection.
fn ask_there(client: &mut Client, command: &str) -> Result<Json, String> {
    client.ask("ASKING");
    client.try_ask(command)
}

/// Waits until the clock of the node has passed this moment.
fn let_pass(client: &mut Client, moment: i64) {
    wait_until("the moment has passed", Duration::from_secs(20), || client.now() > moment);
}

#[test]
fn abandoned_units_come_back_in_a_cluster_too() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:R1 PX 50 ITEMS P 4");
    wait_for("the units are back", SOON, (10, 0), || shop.counters("{P}"));
    assert_eq!(shop.ask("INV.GET {P}:R1")["state"], json!("expired"));
    cluster.check_keys();
}

#[test]
fn every_rule_for_braces_has_its_error() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    for (command, says) in [
        ("INV.ADJUST P@A 1", "ERR sku 'P@A' is not in the slot of its product: write {P}@A"),
        (
            "INV.RESERVE * ITEMS P 1",
            "ERR with tagged keys, a generated id needs the hash tag of its products",
        ),
        (
            "INV.RESERVE order-* ITEMS P 1",
            "ERR with tagged keys, a generated id needs the hash tag of its products",
        ),
        (
            "INV.ADJUST {} 1",
            "ERR sku '{}' must have exactly one hash tag in braces, and it must not be empty",
        ),
        ("INV.ADJUST {a}{b} 1", "ERR sku '{a}{b}' must have exactly one hash tag in braces"),
        ("INV.ADJUST a}b 1", "ERR sku 'a}b' has a '}' without a '{'"),
        ("INV.ADJUST {ab 1", "ERR sku '{ab' has a '{' without a '}'"),
        ("INV.ADJUST {P}@{A} 1", "ERR warehouse '{A}' contains braces"),
        ("INV.GET {R}{S}", "ERR reservation id '{R}{S}' must have exactly one hash tag in braces"),
        ("INV.STOCK {P", "ERR product '{P' has a '{' without a '}'"),
    ] {
        let error = shop.refusal(command);
        assert!(error.starts_with(says), "{command}: {error}");
    }
    shop.ask("INV.ADJUST {P} 5");
    assert_eq!(shop.ask("INV.ADJUST P 5"), 10);
    shop.ask("INV.WAREHOUSES Q SET A 1");
    shop.ask("INV.ADJUST {Q}@A 5");
    shop.ask("INV.RESERVE {Q} ITEMS Q 2 {Q}@A 1");
    let id = shop.ask("INV.RESERVE {P}* ITEMS P 1")["reservation_id"].clone();
    assert!(id.as_str().unwrap().starts_with("{P}0"), "{id}");
    cluster.check_keys();
}

#[test]
fn names_without_braces_are_refused_at_load_in_a_cluster() {
    let log = crate::harness::Server::refused_start(
        crate::harness::server_program(),
        &[
            "cluster-enabled yes",
            &format!("cluster-port {}", crate::harness::free_port()),
            &format!("loadmodule {}", crate::harness::module().display()),
            "inv.key-style plain",
        ],
    );
    assert!(log.contains("inv is not loaded: inv.key-style plain cannot be used in a cluster"), "{log}");
}

#[test]
fn what_a_command_does_not_name_is_left_alone_in_it() {
    // Two products on one node, but in different slots: the server would look for one's keys in the slot of the other.
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    for product in ["P", "Q", "S"] {
        shop.ask(format!("INV.ADJUST {product} 100"));
    }
    // A record written by another client, and an overdue one, in the same transaction as commands on another slot.
    shop.ask("INV.RESERVE {Q}:R1 PX 60000 ITEMS Q 5");
    shop.ask("INV.RESERVE {S}:R1 PX 30 ITEMS S 5");
    let dump = shop.ask("GET reservation:{Q}:R1");
    let now = shop.now();
    let_pass(&mut shop, now + 30);
    let commands = [
        "MULTI",
        "INV.RESERVE {P}:R1 ITEMS P 1",
        "INV.AUDIT P",
        "INV.SCAN 0 PRODUCT P",
        "INV.REPAIR P",
        "INV.ALERTS PRODUCT P",
        "EXEC",
    ];
    shop.burst(&commands);
    assert_eq!(dump, shop.ask("GET reservation:{Q}:R1"));
    wait_for("what was due is back", SOON, (100, 0), || shop.counters("{S}"));
    cluster.check_keys();
    // In a transaction, a walk over the node would be restricted to its slot.
    for walk in ["INV.SCAN 0", "INV.STOCKSCAN 0", "INV.AUDITSCAN 0", "INV.ALERTS"] {
        let replies = shop.burst(&["MULTI", "GET {P}", walk, "EXEC"]);
        let walked = replies[3][1].as_str().unwrap_or_default();
        assert!(walked.starts_with("-ERR") && walked.contains("in a cluster"), "{walk}: {replies:?}");
        assert!(shop.try_ask(walk).is_ok(), "{walk}");
    }
}

#[test]
fn what_is_in_another_slot_is_refused_or_sent_on() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let (mut shop, mut other) = (cluster.masters[home].connect(), cluster.masters[1 - home].connect());
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:R1 ITEMS P 1");
    // Both on this node.
    let same_node = |name: &String| cluster.owner(name) == home;
    let apart = (0..).map(|number| format!("Q{number}")).find(same_node).unwrap();
    for command in [
        format!("INV.RESERVE {{P}}:R2 ITEMS P 1 {apart} 1"),
        format!("INV.RESERVE {{{apart}}}:R2 ITEMS P 1"),
        format!("INV.COMMIT {{P}}:R1 ITEMS {apart} 1"),
        format!("INV.ROLLBACK {{P}}:R1 ITEMS {apart} 1"),
        format!("INV.STOCK P {apart}"),
    ] {
        assert_eq!(code(&shop.refusal(&command)), "CROSSSLOT", "{command}");
    }
    assert_eq!(shop.counters("{P}"), (9, 1));
    for command in
        ["INV.SCAN 0 PRODUCT P", "INV.ALERTS TYPE LOW_STOCK product P", "INV.GET {P}:R1", "INV.STOCK P"]
    {
        assert!(shop.try_ask(command).is_ok(), "{command}");
        assert_eq!(code(&other.refusal(command)), "MOVED", "{command}");
    }
    cluster.check_keys();
}

#[test]
fn a_short_reserve_settles_nothing_of_other_slots() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST Q 100");
    for number in 0..5 {
        shop.ask(format!("INV.RESERVE {{Q}}:R{number} PX 100 ITEMS Q 1"));
        // A deleted record is remembered until its deadline, when any command may settle it.
        shop.ask(format!("DEL reservation:{{Q}}:R{number}"));
        // One of these runs between the deadline and the cron.
        wait_for("it is released", SOON, (100, 0), || {
            assert_eq!(code(&shop.refusal("INV.RESERVE {P}:R1 ITEMS P 1")), "INSUFFICIENT");
            shop.counters("{Q}")
        });
    }
    cluster.check_keys();
}

#[test]
fn a_record_of_units_in_other_slots_is_foreign() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.RESERVE {P}:R1 ITEMS P 4");
    let record = shop.ask("GET reservation:{P}:R1").as_str().unwrap().replace("{P}:R1", "{Q}:R1");
    shop.ask(["SET", "reservation:{Q}:R1", &record, "PX", "60000"]);
    for command in
        ["INV.COMMIT {Q}:R1", "INV.ROLLBACK {Q}:R1", "INV.GET {Q}:R1", "INV.RESERVE {Q}:R1 ITEMS Q 1"]
    {
        assert_eq!(code(&shop.refusal(command)), "FOREIGN", "{command}");
    }
    assert_eq!(shop.info("inv", "inv_foreign_records"), "1");
    shop.ask("DEBUG RELOAD");
    assert_eq!(code(&shop.refusal("INV.COMMIT {Q}:R1")), "FOREIGN");
    assert_eq!(shop.info("inv", "inv_foreign_records"), "1");
    cluster.check_keys();
}

#[test]
fn while_a_slot_moves_key_by_key_its_commands_are_to_be_sent_again() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let (mut source, mut target) = (cluster.masters[home].connect(), cluster.masters[1 - home].connect());
    source.ask("INV.ADJUST P 10");
    source.ask("INV.RESERVE {P}:R1 PX 60000 ITEMS P 4");
    source.ask("INV.RESERVE {P}:R2 PX 60000 ITEMS P 1");
    let moving = cluster.begin_move("P", 1 - home);
    for key in ["stock:available:{P}", "reservation:{P}:R1"] {
        moving.take(key);
    }
    for command in [
        "INV.GET {P}:R1",
        "INV.GET {P}:R2",
        "INV.COMMIT {P}:R2",
        "INV.ROLLBACK {P}:R1",
        "INV.EXTEND {P}:R1 EX 60",
        "INV.REPLACE {P}:R1 {P}:R3 ITEMS P 1",
        "INV.RESERVE {P}:R3 ITEMS P 1",
        "INV.ADJUST P 1",
        "INV.SET P AVAILABLE 1",
        "INV.STOCK P",
        "INV.AUDIT P",
        "INV.REPAIR P",
        "INV.THRESHOLD P 1",
        "INV.FLOOR P 1",
        "INV.LIMIT P 1",
        "INV.QUOTA P ann",
        "INV.WAREHOUSES P SET A 1",
        "INV.TRANSFER P A B 1",
        "INV.ALERTS PRODUCT P",
        "INV.SCAN 0 PRODUCT P",
    ] {
        // The source redirects or answers TRYAGAIN; the target does not have all keys yet.
        let error = source.refusal(command);
        assert!(["ASK", "TRYAGAIN"].contains(&code(&error)), "{command} at the source: {error}");
        let error = ask_there(&mut target, command).expect_err(command);
        assert_eq!(code(&error), "TRYAGAIN", "{command} at the target: {error}");
    }
    assert_eq!(source.counters_here("{P}"), (None, Some(5)));
    moving.end();
    assert_eq!(target.ask("INV.COMMIT {P}:R1"), "OK");
    assert_eq!(target.ask("INV.ROLLBACK {P}:R2"), "OK");
    assert_eq!(target.counters("{P}"), (6, 0));
    assert_eq!(code(&source.refusal("INV.GET {P}:R1")), "MOVED");
    cluster.check_keys();
}

#[test]
fn a_slot_that_was_moved_there_and_back_keeps_units_and_deadlines() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let mut shop = cluster.masters[home].connect();
    shop.ask("INV.ADJUST P 100");
    for number in 0..20 {
        shop.ask(format!("INV.RESERVE {{P}}:R{number} PX 60000 ITEMS P 1"));
    }
    shop.ask("INV.RESERVE {P}:SOON PX 4000 ITEMS P 30");
    shop.ask("INV.THRESHOLD P 60");
    shop.ask("INV.FLOOR P 45");
    let deadline = shop.ask("INV.GET {P}:SOON")["expires_at"].as_i64().unwrap();
    let machine = Machine::watch();
    for to in [1 - home, home, 1 - home] {
        cluster.move_slot("P", to);
        let (mut new, mut old) = (cluster.masters[to].connect(), cluster.masters[1 - to].connect());
        assert_eq!(new.counters("{P}"), (50, 50));
        assert_eq!(new.ask("INV.SCAN 0")[1].as_array().unwrap().len(), 21);
        assert_eq!(old.ask("INV.SCAN 0"), json!(["0", []]));
        assert_eq!(old.info("inv", "inv_holds"), "0");
        assert_eq!(new.ask("INV.AUDIT P")["drift"], 0);
        assert_eq!(new.ask("INV.STOCK P")[0]["threshold"], 60);
        assert_eq!(
            new.refusal("INV.RESERVE {P}:MORE ITEMS P 6"),
            "INSUFFICIENT P requested 6, available 5",
            "the floor has moved with its slot"
        );
        cluster.check_keys();
    }
    let mut shop = cluster.shop("P");
    wait_for("the deadline is kept", Duration::from_secs(10), (80, 20), || shop.counters("{P}"));
    let back = shop.document("inventory:outcome:{P}:SOON");
    let late = back["resolved_at"].as_i64().unwrap() - deadline;
    assert!((0..=machine.limit_ms(1000)).contains(&late), "{late} ms late: {back}");
    assert_eq!(back["returned"], json!([{"product_id": "P", "quantity": 30}]));
    for number in 0..20 {
        shop.ask(format!("INV.ROLLBACK {{P}}:R{number}"));
    }
    assert_eq!(shop.counters("{P}"), (100, 0));
    assert_eq!(shop.info("inv", "inv_unexplained_units"), "0");
    cluster.check_keys();
}

#[test]
fn deadlines_that_pass_while_their_slot_moves_are_kept_when_it_has_arrived() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let (mut source, mut target) = (cluster.masters[home].connect(), cluster.masters[1 - home].connect());
    source.ask("INV.ADJUST P 100");
    let deadline = source.now() + 1000;
    for number in 0..20 {
        source.ask(format!("INV.RESERVE {{P}}:R{number} PXAT {deadline} ITEMS P 1"));
    }
    let moving = cluster.begin_move("P", 1 - home);
    // Some reservations move first, then one of the counters.
    for number in 0..10 {
        moving.take(&format!("reservation:{{P}}:R{number}"));
    }
    moving.take("stock:reserved:{P}");
    let_pass(&mut source, deadline + 300);
    // By now, the servers' sampling has found most of the overdue keys; this finds the rest.
    for number in 0..10 {
        let _ = ask_there(&mut target, &format!("GET reservation:{{P}}:R{number}"));
        let _ = source.try_ask(format!("GET reservation:{{P}}:R{}", number + 10));
    }
    assert_eq!(source.counters_here("{P}"), (Some(80), None));
    assert_eq!(target.counters_here("{P}"), (None, Some(20)));
    moving.end();
    wait_for("all is back", SOON, (100, 0), || target.counters("{P}"));
    for number in 0..20 {
        assert_eq!(target.ask(format!("INV.GET {{P}}:R{number}"))["state"], "expired");
    }
    assert_eq!(source.info("inv", "inv_holds"), "0");
    for client in [&mut source, &mut target] {
        assert_eq!(client.info("inv", "inv_unexplained_units"), "0");
    }
    cluster.check_keys();
}

#[test]
fn nothing_is_given_back_before_all_of_a_slot_has_come() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let (mut source, mut target) = (cluster.masters[home].connect(), cluster.masters[1 - home].connect());
    source.ask("INV.ADJUST P 100");
    source.ask("INV.RESERVE {P}:LONG PX 600000 ITEMS P 20");
    source.ask("INV.RESERVE {P}:SOON PX 1000 ITEMS P 5");
    let moving = cluster.begin_move("P", 1 - home);
    // If the acknowledgement is lost, a key is on both sides: this one.
    let copy = [
        "MIGRATE",
        "127.0.0.1",
        &cluster.masters[1 - home].port().to_string(),
        "reservation:{P}:SOON",
        "0",
        "5000",
        "COPY",
    ];
    source.ask(copy);
    let now = source.now();
    let_pass(&mut source, now + 1300);
    // Both sides read the overdue records, as the servers' own expiry does.
    let _ = ask_there(&mut source, "GET reservation:{P}:SOON");
    let _ = ask_there(&mut target, "GET reservation:{P}:SOON");
    assert_eq!(source.counters_here("{P}"), (Some(75), Some(25)));
    // The counters move before the record that holds 20.
    moving.take("stock:available:{P}");
    moving.take("stock:reserved:{P}");
    let now = source.now();
    let_pass(&mut source, now + 300);
    assert_eq!(target.counters_here("{P}"), (Some(75), Some(25)));
    moving.end();
    wait_for("what was due is back, once", SOON, (80, 20), || target.counters("{P}"));
    assert_eq!(target.ask("INV.GET {P}:SOON")["state"], "expired");
    assert_eq!(target.ask("INV.COMMIT {P}:LONG"), "OK");
    assert_eq!(target.ask("INV.AUDIT P")["drift"], 0);
    cluster.check_keys();
}

#[test]
fn a_move_that_is_called_off_leaves_all_as_it_was() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let mut source = cluster.masters[home].connect();
    source.ask("INV.ADJUST P 100");
    source.ask("INV.RESERVE {P}:R1 PX 60000 ITEMS P 5");
    let moving = cluster.begin_move("P", 1 - home);
    assert_eq!(code(&source.refusal("INV.GET {P}:R1")), "ASK");
    moving.call_off();
    assert_eq!(source.ask("INV.COMMIT {P}:R1"), "OK");
    assert_eq!(source.counters("{P}"), (95, 0));
    cluster.check_keys();
}

/// Reservations of 25 units of P that expire while the slot's state is unclear, and one of 3 that does not expire.
fn reserve_in_doubtful_times(shop: &mut Client) -> i64 {
    shop.ask("INV.ADJUST P 100");
    let deadline = shop.now() + 700;
    for number in 0..20 {
        shop.ask(format!("INV.RESERVE {{P}}:R{number} PXAT {deadline} ITEMS P 1"));
    }
    // Its record is deleted before that.
    shop.ask(format!("INV.RESERVE {{P}}:DELETED PXAT {deadline} ITEMS P 5"));
    shop.ask("DEL reservation:{P}:DELETED");
    shop.ask("INV.RESERVE {P}:LONG PX 600000 ITEMS P 3");
    deadline
}

/// Waits until the deadline has passed and the server's own expiry has found what it can find.
fn let_expire(shop: &mut Client, deadline: i64) {
    let_pass(shop, deadline + 600);
    eprintln!("the server has expired {}", shop.info("stats", "expired_keys"));
}

/// Asserts that all overdue units returned, once, and that each reservation reports that.
fn assert_all_came_back(shop: &mut Client) {
    wait_for("what was due is back", SOON, (97, 3), || shop.counters("{P}"));
    for number in 0..20 {
        assert_eq!(shop.ask(format!("INV.GET {{P}}:R{number}"))["state"], "expired", "R{number}");
    }
    assert_eq!(shop.ask("INV.GET {P}:DELETED")["state"], "expired");
    assert_eq!(shop.ask("INV.AUDIT P")["drift"], 0);
    assert_eq!(shop.ask("INV.AUDITSCAN 0"), json!(["0", []]));
    assert_eq!(shop.info("inv", "inv_unexplained_units"), "0");
    assert_eq!(shop.ask("INV.COMMIT {P}:LONG"), "OK");
    assert_eq!(shop.info("inv", "inv_holds"), "0");
}

#[test]
fn what_falls_due_in_a_slot_that_no_node_has_is_given_back_when_a_node_has_it() {
    for coverage in ["yes", "no"] {
        let coverage = format!("cluster-require-full-coverage {coverage}");
        let cluster = Cluster::start_with(1, 0, &["cluster-node-timeout 20000", &coverage]);
        let mut shop = cluster.shop("P");
        let deadline = reserve_in_doubtful_times(&mut shop);
        shop.ask(format!("CLUSTER DELSLOTS {}", slot_of("P")));
        assert_eq!(code(&shop.refusal("INV.GET {P}:LONG")), "CLUSTERDOWN", "{coverage}");
        let_expire(&mut shop, deadline);
        shop.ask(format!("CLUSTER ADDSLOTS {}", slot_of("P")));
        wait_until("the slot is served", SOON, || shop.try_ask("INV.GET {P}:LONG").is_ok());
        assert_all_came_back(&mut shop);
        cluster.check_keys();
    }
}

#[test]
fn what_falls_due_in_a_slot_that_was_given_away_without_its_keys_is_given_back_if_it_comes_back() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let ids = [home, 1 - home].map(|node| node_id(&cluster.masters[node]));
    let mut shop = cluster.masters[home].connect();
    let deadline = reserve_in_doubtful_times(&mut shop);
    let slot = slot_of("P");
    shop.ask(format!("CLUSTER DELSLOTS {slot}"));
    shop.ask(format!("CLUSTER SETSLOT {slot} NODE {}", ids[1]));
    assert_eq!(code(&shop.refusal("INV.GET {P}:LONG")), "MOVED");
    let_expire(&mut shop, deadline);
    shop.ask(format!("CLUSTER SETSLOT {slot} NODE {}", ids[0]));
    wait_until("the slot is served", SOON, || shop.try_ask("INV.GET {P}:LONG").is_ok());
    // The repair has to return what was deleted before, and the log says so.
    wait_for("what was due is back", SOON, (92, 8), || shop.counters("{P}"));
    assert!(cluster.masters[home].log().contains("{P}:DELETED ended on this node, but its slot has moved"));
    assert_eq!(shop.ask("INV.AUDIT P")["drift"], 5);
    for number in 0..20 {
        assert_eq!(shop.ask(format!("INV.GET {{P}}:R{number}"))["state"], "expired", "R{number}");
    }
}

#[test]
fn what_is_deleted_while_its_slot_moves_is_left_to_the_repair() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let mut source = cluster.masters[home].connect();
    source.ask("INV.ADJUST P 100");
    source.ask("INV.RESERVE {P}:R1 PX 1000 ITEMS P 5");
    let moving = cluster.begin_move("P", 1 - home);
    source.ask("DEL reservation:{P}:R1");
    moving.end();
    let mut target = cluster.shop("P");
    let now = target.now();
    let_pass(&mut target, now + 1200);
    assert_eq!(target.ask("INV.AUDIT P")["drift"], 5);
    target.ask("INV.REPAIR P FORCE");
    assert_eq!(target.counters("{P}"), (100, 0));
    assert_eq!(keys_of(&mut source), Vec::<String>::new());
}

//! Other programs that hold units in the same counters: the module must never return their units by
//! itself.

use crate::harness::{Client, LATER, SOON, Server, code, module, wait_for};
use crate::shop::let_pass;

/// How another program holds three units of A.
#[derive(Clone, Copy, Debug)]
enum Way {
    IncrBy,
    Set,
    MSet,
    Script,
}

const WAYS: [Way; 4] = [Way::IncrBy, Way::Set, Way::MSet, Way::Script];

impl Way {
    fn hold(self, shop: &mut Client) {
        let (available, reserved) = shop.counters("A");
        let (available, reserved) = (available - 3, reserved + 3);
        match self {
            Self::IncrBy => {
                shop.ask("DECRBY stock:available:A 3");
                shop.ask("INCRBY stock:reserved:A 3");
            }
            Self::Set => {
                shop.ask(format!("SET stock:available:A {available}"));
                shop.ask(format!("SET stock:reserved:A {reserved}"));
            }
            Self::MSet => {
                shop.ask(format!("MSET stock:available:A {available} stock:reserved:A {reserved}"));
            }
            Self::Script => {
                let script = "redis.call('DECRBY', KEYS[1], 3) return redis.call('INCRBY', KEYS[2], 3)";
                shop.ask(["EVAL", script, "2", "stock:available:A", "stock:reserved:A"]);
            }
        }
        shop.ask("SET hold:77 3 EX 900");
    }
}

/// A shop with ten units of A. The module holds one of them and another program three; either may come first.
fn two_programs(server: &Server, way: Way, other_first: bool) -> Client {
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    if other_first {
        way.hold(&mut shop);
    }
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    if !other_first {
        way.hold(&mut shop);
    }
    assert_eq!(shop.counters("A"), (6, 4));
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "{way:?}, first: {other_first}");
    shop
}

/// Asserts that after the event, the other program's units are reported and still held.
fn assert_theirs(shop: &mut Client, what: &str) {
    wait_for(&format!("{what}: it is reported"), LATER, "3".to_owned(), || {
        shop.info("inv", "inv_unexplained_units")
    });
    wait_for(&format!("{what}: the index is complete"), LATER, "1".to_owned(), || {
        shop.info("inv", "inv_index_ready")
    });
    assert_eq!(shop.counters("A"), (6, 4), "{what}");
    assert_eq!(code(&shop.refusal("INV.RESERVE n ITEMS A 7")), "INSUFFICIENT", "{what}");
    assert_eq!(code(&shop.refusal("INV.REPAIR A")), "FOREIGN", "{what}");
    assert_eq!(shop.ask("INV.COMMIT m"), "OK", "{what}");
    assert_eq!(shop.counters("A"), (6, 3), "{what}");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "{what}");
}

/// Tests each way of writing the hold, before and after the module's first reservation.
fn in_each_way(options: &[&str], event: impl Fn(&mut Server, &mut Client) -> Option<Server>) {
    for way in WAYS {
        for other_first in [true, false] {
            let mut server = Server::start_with(options);
            let mut shop = two_programs(&server, way, other_first);
            let other = event(&mut server, &mut shop);
            let mut shop = other.as_ref().unwrap_or(&server).connect();
            assert_theirs(&mut shop, &format!("{way:?}, first: {other_first}"));
        }
    }
}

fn load() -> String {
    format!("MODULE LOAD {}", module().display())
}

#[test]
fn their_units_outlive_an_unload_and_a_load() {
    in_each_way(&["enable-module-command yes"], |_, shop| {
        shop.unload();
        shop.ask(load());
        None
    });
}

#[test]
fn their_units_outlive_debug_reload() {
    in_each_way(&[], |_, shop| {
        shop.ask("DEBUG RELOAD");
        None
    });
}

#[test]
fn their_units_outlive_a_restart_from_an_rdb() {
    in_each_way(&[], |server, _| {
        server.rewrite("BGSAVE");
        server.kill();
        server.start_again();
        None
    });
}

#[test]
fn their_units_outlive_a_restart_from_an_aof() {
    in_each_way(&["appendonly yes"], |server, _| {
        server.kill();
        server.start_again();
        None
    });
}

#[test]
fn their_units_outlive_the_promotion_of_a_replica() {
    in_each_way(&[], |server, _| {
        let replica = server.replica();
        server.kill();
        replica.connect().ask("REPLICAOF NO ONE");
        Some(replica)
    });
}

#[test]
fn a_replica_that_followed_the_other_program_gives_nothing_away_when_it_is_promoted() {
    for way in WAYS {
        let mut master = Server::start();
        let replica = master.replica();
        let mut shop = master.connect();
        shop.ask("SET stock:available:A 10");
        shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
        assert_eq!(shop.ask("GET inventory:managed"), "plain");
        way.hold(&mut shop);
        replica.catch_up_with(&master);
        master.kill();
        let mut promoted = replica.connect();
        promoted.ask("REPLICAOF NO ONE");
        assert_theirs(&mut promoted, &format!("{way:?}"));
    }
}

#[test]
fn the_mark_goes_in_the_transaction_of_the_foreign_write() {
    let server = Server::start_with(&["appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    let sent = server.propagated_by(|| {
        server.connect().ask("INCRBY stock:reserved:A 3");
    });
    assert_eq!(sent, ["MULTI", "INCRBY stock:reserved:A 3", "DEL inventory:managed", "EXEC"]);
}

#[test]
fn a_write_that_leaves_what_is_held_takes_no_mark_away() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    shop.ask("SET stock:reserved:A 1");
    let transaction = [
        "MULTI",
        "INCRBY stock:reserved:A 3",
        "INV.RESERVE n ITEMS A 1",
        "DECRBY stock:reserved:A 3",
        "EXEC",
    ];
    shop.burst(&transaction);
    assert_eq!(shop.counters("A"), (8, 2));
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
    // An expiry is not a client's write.
    shop.ask("INV.RESERVE s PX 30 ITEMS A 1");
    wait_for("the unit is back", SOON, (8, 2), || shop.counters("A"));
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
}

#[test]
fn an_unload_takes_the_mark_away_since_nobody_watches_after_it() {
    for options in [&["enable-module-command yes"][..], &["enable-module-command yes", "appendonly yes"]] {
        let server = Server::start_with(options);
        let replica = server.replica_with(&["enable-module-command yes"]);
        let mut shop = server.connect();
        shop.ask("SET stock:available:A 10");
        shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
        shop.ask("SELECT 3");
        shop.ask("SET stock:available:B 10");
        shop.ask("INV.RESERVE m EX 900 ITEMS B 1");
        shop.ask("SELECT 0");
        shop.unload();
        for database in [0, 3] {
            shop.ask(format!("SELECT {database}"));
            assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "{database}");
        }
        shop.ask("SELECT 0");
        replica.catch_up_with(&server);
        assert_eq!(replica.connect().ask("EXISTS inventory:managed"), 0);
        // Another program takes units while the module is not loaded.
        Way::IncrBy.hold(&mut shop);
        shop.ask(load());
        assert_theirs(&mut shop, "written while the module was unloaded");
    }
}

#[test]
fn an_unload_while_writes_are_paused_is_refused_and_ends_no_server() {
    let server = Server::start_with(&["enable-module-command yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    shop.ask("CLIENT PAUSE 100000 WRITE");
    assert!(shop.refusal("MODULE UNLOAD inv").contains("Error unloading module"));
    assert!(server.log().contains("inv is not unloaded: writes are paused"), "{}", server.log());
    shop.ask("CLIENT UNPAUSE");
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
    assert_eq!(shop.unload(), "OK");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
}

#[test]
fn a_replica_keeps_the_mark_of_its_master_through_an_unload() {
    let master = Server::start();
    let replica = master.replica_with(&["enable-module-command yes"]);
    let mut shop = master.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    replica.catch_up_with(&master);
    let mut reader = replica.connect();
    assert_eq!(reader.unload(), "OK");
    assert_eq!(reader.ask("GET inventory:managed"), "plain");
    assert_eq!(reader.ask(load()), "OK");
    shop.ask("INV.COMMIT m");
    replica.catch_up_with(&master);
    assert_eq!(reader.counters("A"), (9, 0));
    assert_eq!(reader.ask("GET inventory:managed"), "plain");
}

#[test]
fn a_mark_that_was_there_when_the_module_was_loaded_proves_nothing() {
    let mut server = Server::start_with(&["appendonly yes", "enable-module-command yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    server.rewrite("BGREWRITEAOF");
    server.shut_down();
    // Without the module, nothing notices what is written.
    server.start_again_without_module();
    let mut shop = server.connect();
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
    Way::IncrBy.hold(&mut shop);
    shop.ask(load());
    assert_theirs(&mut shop, "written before the module was loaded");
}

#[test]
fn the_mark_comes_back_after_a_clean_walk_or_when_an_operator_sets_it() {
    let mut server = Server::start_with(&["appendonly yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    shop.ask("INCRBY stock:reserved:A 3");
    shop.ask("DECRBY stock:reserved:A 3");
    shop.ask("INV.RESERVE n EX 900 ITEMS A 1");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "only a walk can find out");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    wait_for("a clean walk brings it back", SOON, 1.into(), || shop.ask("EXISTS inventory:managed"));

    shop.ask("INCRBY stock:reserved:A 3");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
    assert_eq!(code(&shop.refusal("INV.REPAIR A")), "FOREIGN");
    shop.ask("SET inventory:managed plain");
    assert_eq!(shop.ask("INV.REPAIR A")["drift"], 3);
    assert_eq!(shop.counters("A"), (11, 2));
}

#[test]
fn the_continuous_audit_shows_drift_and_lets_the_mark_come_back_without_a_restart() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 1);
    shop.ask("INCRBY stock:reserved:A 3");
    let drift =
        |shop: &mut Client| ["skus", "units"].map(|what| shop.info("inv", &format!("inv_drift_{what}")));
    assert_eq!(
        (drift(&mut shop), shop.ask("EXISTS inventory:managed")),
        (["1".into(), "3".into()], 0.into())
    );
    shop.ask("DECRBY stock:reserved:A 3");
    assert_eq!(
        (drift(&mut shop), shop.ask("EXISTS inventory:managed")),
        (["0".into(), "0".into()], 0.into())
    );
    // A round that began before may see only what came after it, so the end of one is not enough.
    wait_for("the mark comes back", LATER, 1.into(), || shop.ask("EXISTS inventory:managed"));
    let verified: i64 = shop.info("inv", "inv_verified_at").parse().expect("a time");
    assert!(verified > 0);
    wait_for("rounds go on", LATER, true, || {
        shop.info("inv", "inv_verified_at").parse::<i64>().expect("a time") > verified
    });
    shop.ask("FLUSHALL");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
}

#[test]
fn a_repair_of_units_that_another_program_may_hold_wants_force() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    // Within the transaction of the foreign write, the mark still exists.
    shop.ask("MULTI");
    shop.ask("INCRBY stock:reserved:A 3");
    shop.ask("INV.REPAIR A");
    let replies = shop.try_ask("EXEC").expect("a transaction");
    assert_eq!(code(replies[1].as_str().expect("an error")), "-FOREIGN", "{replies}");
    let refusal = shop.refusal("INV.REPAIR A");
    assert!(refusal.contains("INV.REPAIR A FORCE"), "{refusal}");
    assert_eq!(shop.counters("A"), (9, 4));
    assert_eq!(shop.ask("INV.REPAIR A FORCE")["drift"], 3);
    assert_eq!(shop.counters("A"), (12, 1));
    // Units missing from the reserved counter belong to no program, so the repair needs no FORCE.
    shop.ask("DECRBY stock:reserved:A 1");
    assert_eq!(shop.ask("INV.REPAIR A")["drift"], -1);
    assert_eq!(shop.counters("A"), (11, 1));
    assert_eq!(shop.ask("INV.REPAIR A")["drift"], 0);
}

#[test]
fn a_record_that_a_script_settles_next_to_a_foreign_hold_gives_nothing_of_it_back() {
    for (script_rolls_back, foreign) in [(false, 3), (true, 3), (false, 1), (true, 1)] {
        let server = Server::start();
        let mut shop = server.connect();
        shop.ask("SET stock:available:A 10");
        let deadline = shop.ask("INV.RESERVE m PX 300 ITEMS A 1")["expires_at"].clone();
        shop.ask(format!("DECRBY stock:available:A {foreign}"));
        shop.ask(format!("INCRBY stock:reserved:A {foreign}"));
        shop.ask(format!("SET hold:77 {foreign}"));
        // The usual script ends the module's record with its own commands.
        let settle = "redis.call('DECRBY', KEYS[1], 1) redis.call('DEL', KEYS[2]) \
                      if ARGV[1] == '1' then redis.call('INCRBY', KEYS[3], 1) end";
        let words = ["3", "stock:reserved:A", "reservation:m", "stock:available:A"];
        let back = if script_rolls_back { "1" } else { "0" };
        shop.ask(
            [&["EVAL", settle][..], &words, &[back]]
                .concat()
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect::<Vec<_>>(),
        );
        let settled = shop.counters("A");
        assert_eq!(settled.1, foreign, "the other program's units are untouched");
        let_pass(&mut shop, &deadline);
        assert_eq!(shop.counters("A"), settled, "after the deadline");
    }
}

#[test]
fn a_record_of_a_module_type_is_foreign_in_events_and_in_walks() {
    let server = Server::start_with(&["enable-module-command yes"]);
    let mut shop = server.connect();
    if shop.try_ask("VADD vectors VALUES 2 1 1 element").is_err() {
        eprintln!("skipped: this server has no data type of a module");
        return;
    }
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    assert_eq!(shop.ask("GET inventory:managed"), "plain");
    shop.ask("VADD reservation:lua VALUES 2 1 1 element");
    assert_eq!(shop.info("inv", "inv_foreign_records"), "1");
    assert_eq!(shop.ask("EXISTS inventory:managed"), 0);
    assert_eq!(code(&shop.refusal("INV.COMMIT lua")), "FOREIGN");
    shop.ask("SET stock:reserved:A 4");
    assert_eq!(code(&shop.refusal("INV.REPAIR A")), "FOREIGN");
    shop.unload();
    shop.ask(load());
    wait_for("the walk finds it", SOON, "1".to_owned(), || shop.info("inv", "inv_foreign_records"));
    assert_eq!(shop.counters("A"), (9, 4));
    shop.ask("DEL reservation:lua");
    assert_eq!(shop.info("inv", "inv_foreign_records"), "0");
}

#[test]
fn an_outcome_that_another_client_writes_makes_a_live_record_foreign() {
    for way in [
        &["COPY inventory:outcome:OLD inventory:outcome:R"] as &[&str],
        &["RENAME inventory:outcome:OLD inventory:outcome:R"],
        &["EVAL return(redis.call('SET','inventory:outcome:R',redis.call('GET','inventory:outcome:OLD'))) 0"],
        &["COPY inventory:outcome:OLD inventory:outcome:R", "DEBUG RELOAD"],
    ] {
        for also in [None, Some("INV.EXTEND R EX 600")] {
            let server = Server::start();
            let mut shop = server.connect();
            shop.ask("INV.ADJUST P 20");
            shop.ask("INV.RESERVE OLD ITEMS P 5");
            shop.ask("INV.COMMIT OLD");
            shop.ask("INV.RESERVE R ITEMS P 5");
            also.map(|command| shop.ask(command));
            for step in way {
                shop.ask(step);
            }
            // The outcome names another id, so it is not one of R.
            let refusal = shop.refusal("INV.COMMIT R");
            assert!(["FOREIGN", "WRONGTYPE"].contains(&code(&refusal)), "{way:?} {also:?}: {refusal}");
            assert_eq!(shop.counters("P"), (10, 5), "{way:?} {also:?}");
        }
    }
}

#[test]
fn a_type_of_a_module_in_place_of_an_outcome_or_a_set_is_noticed() {
    let server = Server::start();
    let mut shop = server.connect();
    if shop.try_ask("VADD vectors VALUES 2 1 1 element").is_err() {
        eprintln!("skipped: this server has no data type of a module");
        return;
    }
    shop.ask("INV.ADJUST A 10");
    shop.ask("INV.RESERVE m EX 900 ITEMS A 1");
    shop.ask("VADD inventory:outcome:m VALUES 2 1 1 element");
    assert_eq!(code(&shop.refusal("INV.COMMIT m")), "WRONGTYPE");
    shop.ask("VADD stock:warehouses:A VALUES 2 1 1 element");
    assert_eq!(code(&shop.refusal("INV.RESERVE n ITEMS A 1")), "WRONGTYPE");
    assert_eq!(shop.counters("A"), (9, 1));
}

/// A reservation of which three units were sold and whose old record was then restored; another customer holds five units.
fn put_back(options: &[&str]) -> (Server, Client) {
    let server = Server::start_with(&[&["appendonly yes", "enable-module-command yes"], options].concat());
    let mut shop = server.connect();
    shop.ask("INV.ADJUST P 20");
    shop.ask("INV.RESERVE A EX 600 ITEMS P 5");
    (server, shop)
}

/// Copies a record with DUMP and RESTORE.
fn dump_and_restore(shop: &mut Client, meanwhile: impl FnOnce(&mut Client)) {
    let script = "redis.call('SET', 'dump', redis.call('DUMP', KEYS[1]))";
    shop.ask(["EVAL", script, "1", "reservation:A"]);
    meanwhile(shop);
    let script = "return redis.call('RESTORE', KEYS[1], 600000, redis.call('GET', 'dump'), 'REPLACE')";
    shop.ask(["EVAL", script, "1", "reservation:A"]);
}

/// Events after which the module has lost its memory.
const ENDS: [&str; 4] = ["AOF", "rewritten AOF", "RDB", "UNLOAD"];

fn end_memory(server: &mut Server, shop: &mut Client, how: &str) {
    match how {
        "UNLOAD" => {
            shop.unload();
            shop.ask(load());
        }
        "RDB" => {
            shop.ask("DEBUG RELOAD");
        }
        _ => {
            if how == "rewritten AOF" {
                server.rewrite("BGREWRITEAOF");
            }
            server.kill();
            server.start_again();
        }
    }
    *shop = server.connect();
    wait_for("the index is complete", LATER, "1".to_owned(), || shop.info("inv", "inv_index_ready"));
}

#[test]
fn a_record_that_came_back_with_units_that_are_sold_sells_them_no_second_time_after_a_restart() {
    for how in ENDS {
        let (mut server, mut shop) = put_back(&[]);
        dump_and_restore(&mut shop, |shop| {
            shop.ask("INV.COMMIT A ITEMS P 3");
            shop.ask("INV.RESERVE B EX 600 ITEMS P 5");
        });
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "DRIFT");
        for _ in 0..2 {
            end_memory(&mut server, &mut shop, how);
            assert_eq!(code(&shop.refusal("INV.COMMIT A")), "DRIFT", "{how}");
            assert_eq!(code(&shop.refusal("INV.ROLLBACK A")), "DRIFT", "{how}");
        }
        assert_eq!(shop.ask("INV.COMMIT B"), "OK", "{how}");
        assert_eq!(shop.counters("P"), (10, 2), "{how}");
        assert_eq!(shop.ask("INV.ROLLBACK A ITEMS P 2"), "OK", "{how}: two units of it are left");
        assert_eq!(shop.counters("P"), (12, 0), "{how}");
    }
}

#[test]
fn a_record_that_came_back_after_its_end_is_foreign_after_a_restart_too() {
    for how in ENDS {
        let (mut server, mut shop) = put_back(&["inv.outcome-ttl-ms 500"]);
        dump_and_restore(&mut shop, |shop| {
            shop.ask("INV.COMMIT A");
            shop.ask("INV.RESERVE B EX 600 ITEMS P 5");
        });
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "FOREIGN");
        wait_for("the outcome is forgotten", SOON, 0.into(), || shop.ask("EXISTS inventory:outcome:A"));
        assert_eq!(code(&shop.refusal("INV.COMMIT A")), "FOREIGN");
        for _ in 0..2 {
            end_memory(&mut server, &mut shop, how);
            for command in ["INV.COMMIT A", "INV.ROLLBACK A", "INV.GET A", "INV.RESERVE A ITEMS P 1"] {
                assert_eq!(code(&shop.refusal(command)), "FOREIGN", "{how}: {command}");
            }
        }
        assert_eq!(shop.ask("INV.COMMIT B"), "OK", "{how}");
        assert_eq!(shop.counters("P"), (10, 0), "{how}");
    }
}

#[test]
fn a_copy_learns_with_the_record_that_it_came_back() {
    let (mut master, mut shop) = put_back(&[]);
    let replica = master.replica();
    dump_and_restore(&mut shop, |shop| {
        shop.ask("INV.COMMIT A ITEMS P 3");
        shop.ask("INV.RESERVE B EX 600 ITEMS P 5");
    });
    replica.catch_up_with(&master);
    assert_eq!(replica.connect().ask("GET reservation:A"), shop.ask("GET reservation:A"));
    assert_eq!(replica.connect().ask("PEXPIRETIME reservation:A"), shop.ask("PEXPIRETIME reservation:A"));
    master.kill();
    let mut promoted = replica.connect();
    promoted.ask("REPLICAOF NO ONE");
    assert_eq!(code(&promoted.refusal("INV.COMMIT A")), "DRIFT");
    promoted.ask("DEBUG RELOAD");
    assert_eq!(code(&promoted.refusal("INV.COMMIT A")), "DRIFT");
    assert_eq!(promoted.ask("INV.COMMIT B"), "OK");
}

#[test]
fn a_release_blocked_by_a_broken_counter_is_logged_once_and_happens_after_the_repair() {
    for (kind, broken, mended, after) in [
        ("available", "10.0", "4", (10, 0)),
        ("reserved", "6.0", "6", (10, 0)),
        ("available", "9223372036854775807", "4", (10, 0)),
    ] {
        let server = Server::start_with(&["inv.feed-maxlen 100"]);
        let mut shop = server.connect();
        shop.ask("MSET stock:available:A 10 stock:available:B 10");
        for id in ["one", "two", "three"] {
            shop.ask(format!("INV.RESERVE {id} PX 400 ITEMS A 2 B 1"));
        }
        shop.ask(format!("SET stock:{kind}:A {broken}"));
        wait_for("what is not blocked is back on time", SOON, (10, 0), || shop.counters("B"));
        wait_for("it is counted", SOON, "3".to_owned(), || shop.info("inv", "inv_blocked_releases"));
        let lines = |server: &Server| {
            let is_told = |line: &&str| line.contains("cannot be released: key") && line.contains(kind);
            server.log().lines().filter(is_told).count()
        };
        assert_eq!(lines(&server), 1, "{}", server.log());
        assert_eq!(shop.ask("INV.GET one")["state"], "expired");
        shop.ask(format!("SET stock:{kind}:A {mended}"));
        wait_for("the rest is back", SOON, after, || shop.counters("A"));
        assert_eq!(shop.info("inv", "inv_blocked_releases"), "0");
        assert_eq!(shop.info("inv", "inv_unexplained_units"), "0");
        // All units have returned, so a late payment can take all of them.
        assert_eq!(shop.ask("INV.COMMIT two LATE"), "OK");
        assert_eq!(shop.counters("A"), (8, 0));
        assert_eq!(shop.counters("B"), (9, 0));
        let feed = shop.ask("XRANGE inventory:feed - +").to_string();
        assert_eq!(feed.matches("\"expired\"").count(), 6, "{feed}");
    }
}

#[test]
fn a_feed_whose_key_holds_something_else_is_told_of() {
    let server = Server::start_with(&["inv.feed-maxlen 100"]);
    let mut shop = server.connect();
    shop.ask("SET inventory:feed something");
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE one ITEMS A 1");
    shop.ask("INV.COMMIT one");
    assert_eq!(shop.info("inv", "inv_feed_errors_total"), "2");
    let told = |server: &Server| server.log().lines().filter(|line| line.contains("inventory:feed")).count();
    assert_eq!(told(&server), 1, "{}", server.log());
    shop.ask("DEL inventory:feed");
    shop.ask("INV.RESERVE two ITEMS A 1");
    assert_eq!(shop.ask("XLEN inventory:feed"), 1);
    shop.ask("SET inventory:feed something");
    shop.ask("INV.COMMIT two");
    assert_eq!(told(&server), 2, "a new fault is logged again");
}

#[test]
fn a_second_load_counts_from_zero() {
    let server = Server::start_with(&["enable-module-command yes"]);
    let mut shop = server.connect();
    shop.ask("SET stock:available:A 10");
    shop.ask("INV.RESERVE one ITEMS A 1");
    shop.ask("INV.COMMIT one");
    assert_eq!(shop.info("inv", "inv_committed_total"), "1");
    assert_eq!(code(&shop.refusal("INV.COMMIT unknown")), "NOTFOUND");
    shop.unload();
    shop.ask(load());
    let text = shop.ask("INFO inv");
    for line in text.as_str().expect("text").lines() {
        if let Some((name, value)) = line.split_once(':')
            && name.ends_with("_total")
        {
            assert_eq!(value, "0", "{name}");
        }
    }
}

//! The module as a replacement for the Lua scripts, and next to them: their counters, records and events.

use crate::harness::{Client, Json, SOON, Server, assert_same, code, json, wait_for};
use crate::scripts::{LUA_COMMIT, LUA_RESERVE, LUA_ROLLBACK};
use crate::shop::{let_pass, let_the_sweep_pass, shop};

/// Runs one of the scripts for five units.
fn lua(shop: &mut Client, script: &str, sku: &str, id: &str) -> Json {
    let (available, reserved) = (format!("stock:available:{sku}"), format!("stock:reserved:{sku}"));
    let record = format!("reservation:{id}");
    let app = r#"{"product":"P","qty":5}"#;
    shop.ask(["EVAL", script, "3", &available, &reserved, &record, "5", app, "900"])
}

const STOCK: &[(&str, i64)] = &[("P", 100)];

#[test]
fn counters_that_the_scripts_left_are_used_as_they_are() {
    let (_server, mut shop) = shop(STOCK);
    assert_eq!(lua(&mut shop, LUA_RESERVE, "P", "LUA-1"), 1);
    assert_eq!(shop.counters("P"), (95, 5));
    shop.ask("INV.RESERVE R1 ITEMS P 10");
    assert_eq!(shop.counters("P"), (85, 15));
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.counters("P"), (85, 5));
    lua(&mut shop, LUA_COMMIT, "P", "LUA-1");
    assert_eq!(shop.counters("P"), (85, 0));
    assert_eq!(lua(&mut shop, LUA_RESERVE, "P", "LUA-2"), 1);
    lua(&mut shop, LUA_ROLLBACK, "P", "LUA-2");
    assert_eq!(shop.counters("P"), (85, 0));
}

#[test]
fn set_and_incrby_on_the_counters_keep_working_beside_the_module() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 10");
    assert_eq!(shop.ask("INCRBY stock:available:P 50"), 140);
    assert_eq!(shop.ask("DECRBY stock:available:P 40"), 100);
    assert_eq!(shop.ask("INCRBY stock:reserved:P 0"), 10);
    shop.ask("INV.RESERVE R2 ITEMS P 100");
    assert_eq!(shop.counters("P"), (0, 110));
    shop.ask("SET stock:available:P 5");
    assert_eq!(shop.refusal("INV.RESERVE R3 ITEMS P 6"), "INSUFFICIENT P requested 6, available 5");
    shop.ask("INV.ROLLBACK R1");
    assert_eq!(shop.ask("INCR stock:available:P"), 16);
    assert_eq!(shop.ask("DECRBY stock:reserved:P 0"), 100);
    shop.ask("INV.COMMIT R2");
    assert_eq!(shop.counters("P"), (16, 0));
}

#[test]
fn counters_keep_their_ttl() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("SET stock:reserved:P 0");
    let until = shop.now() + 1_000_000;
    for counter in ["stock:available:P", "stock:reserved:P"] {
        shop.ask(format!("PEXPIREAT {counter} {until}"));
    }
    let keeps = |shop: &mut Client, step: &str| {
        for counter in ["stock:available:P", "stock:reserved:P"] {
            assert_eq!(shop.ask(format!("PEXPIRETIME {counter}")), until, "{counter} after {step}");
        }
    };
    for end in ["INV.COMMIT R1", "INV.ROLLBACK R2"] {
        let id = end.split(' ').next_back().expect("an id");
        shop.ask(format!("INV.RESERVE {id} ITEMS P 5"));
        keeps(&mut shop, "INV.RESERVE");
        shop.ask(end);
        keeps(&mut shop, end);
    }
    shop.ask("INV.RESERVE R3 PX 50 ITEMS P 5");
    wait_for("the units are back", SOON, (95, 0), || shop.counters("P"));
    keeps(&mut shop, "the deadline");
}

#[test]
fn a_negative_counter_has_nothing_to_reserve_and_is_left_alone() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("SET stock:available:P -3");
    let refusal = shop.refusal("INV.RESERVE R1 ITEMS P 1");
    assert_eq!(code(&refusal), "INSUFFICIENT", "{refusal}");
    assert_eq!(shop.ask("GET stock:available:P"), "-3");
}

#[test]
fn the_events_are_those_of_the_scripts() {
    let server = Server::start_with(&["notify-keyspace-events KEA"]);
    let (mut shop, mut listener) = (server.connect(), server.connect());
    for sku in ["MOD", "LUA"] {
        shop.ask(format!("SET stock:available:{sku} 100"));
    }
    // The first reservation in a database may add the module's mark.
    shop.ask("INV.RESERVE FIRST ITEMS MOD 1");
    shop.ask("INV.COMMIT FIRST");
    shop.ask("SET stock:reserved:LUA 0");
    listener.listen("__keyevent@0__:*");

    for (script, command) in [
        (LUA_RESERVE, "INV.RESERVE MOD ITEMS MOD 5"),
        (LUA_COMMIT, "INV.COMMIT MOD"),
        (LUA_RESERVE, "INV.RESERVE MOD2 ITEMS MOD 5"),
        (LUA_ROLLBACK, "INV.ROLLBACK MOD2"),
    ] {
        let id = if command.contains("MOD2") { "LUA2" } else { "LUA" };
        lua(&mut shop, script, "LUA", id);
        let by_script: Vec<String> =
            events(&mut listener).iter().map(|event| event.replace("LUA", "MOD")).collect();
        shop.ask(command);
        let by_module = events(&mut listener);
        assert_eq!(by_module, by_script, "{command}");
    }
}

#[test]
fn events_are_sent_from_the_moment_at_which_the_server_sends_any() {
    let server = Server::start();
    let (mut shop, mut listener) = (server.connect(), server.connect());
    shop.ask("SET stock:available:P 100");
    listener.listen("__keyevent@0__:*");
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    assert_eq!(events(&mut listener), [] as [String; 0]);
    shop.ask("CONFIG SET notify-keyspace-events KEA");
    shop.ask("INV.RESERVE R2 ITEMS P 5");
    let heard: Vec<String> =
        events(&mut listener).into_iter().filter(|event| !event.starts_with("new")).collect();
    assert_eq!(
        heard,
        [
            "incrby stock:available:P",
            "incrby stock:reserved:P",
            "set reservation:R2",
            "expire reservation:R2",
        ]
    );
}

#[test]
fn the_deadline_shows_as_expired_and_then_as_the_units_that_return() {
    let server = Server::start_with(&["notify-keyspace-events KEA"]);
    let (mut shop, mut listener) = (server.connect(), server.connect());
    shop.ask("SET stock:available:P 100");
    shop.ask("INV.RESERVE R1 PX 50 ITEMS P 5");
    listener.listen("__keyevent@0__:*");
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    assert_eq!(
        events(&mut listener),
        ["expired reservation:R1", "incrby stock:available:P", "incrby stock:reserved:P"]
    );
}

#[test]
fn the_keyspace_channel_of_a_key_tells_the_same() {
    let server = Server::start_with(&["notify-keyspace-events KEA"]);
    let (mut shop, mut listener) = (server.connect(), server.connect());
    shop.ask("SET stock:available:P 100");
    listener.listen("__keyspace@0__:reservation:R1");
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("INV.COMMIT R1");
    let heard: Vec<Json> = listener.heard().iter().map(|message| message[2].clone()).collect();
    assert_eq!(heard, ["set", "expire", "del"]);
}

#[test]
fn a_client_side_cache_is_notified_of_the_modules_writes() {
    let (server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let mut cache = server.connect();
    cache.ask("CLIENT TRACKING ON");
    let keys = ["stock:available:P", "stock:reserved:P", "reservation:R1"];
    for key in keys {
        cache.ask(["GET", key]);
    }
    shop.ask("INV.ROLLBACK R1");
    let told = format!("{:?}", cache.heard());
    for key in keys {
        assert!(told.contains(key), "{key} is not in {told}");
    }
}

#[test]
fn the_modules_writes_break_a_watch() {
    let (server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let mut watcher = server.connect();
    for key in ["stock:available:P", "stock:reserved:P", "reservation:R1", "inventory:outcome:R1"] {
        shop.ask("INV.RESERVE R1 ITEMS P 5");
        watcher.ask(["WATCH", key]);
        shop.ask("INV.ROLLBACK R1");
        let replies = watcher.burst(&["MULTI", "PING", "EXEC"]);
        assert_eq!(replies[2], Json::Null, "{key}");
        shop.ask("DEL inventory:outcome:R1");
    }
}

#[test]
fn a_record_of_the_scripts_is_foreign_and_left_alone() {
    let (_server, mut shop) = shop(STOCK);
    lua(&mut shop, LUA_RESERVE, "P", "LUA-1");
    let before = shop.contents();
    for command in ["INV.COMMIT LUA-1", "INV.ROLLBACK LUA-1", "INV.RESERVE LUA-1 ITEMS P 5", "INV.GET LUA-1"]
    {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "FOREIGN", "{command}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
    lua(&mut shop, LUA_COMMIT, "P", "LUA-1");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn a_record_of_the_scripts_that_expires_returns_nothing() {
    let (_server, mut shop) = shop(STOCK);
    lua(&mut shop, LUA_RESERVE, "P", "LUA-1");
    shop.ask("PEXPIRE reservation:LUA-1 20");
    wait_for("the record is gone", SOON, json!(0), || shop.ask("EXISTS reservation:LUA-1"));
    let now = shop.now();
    let_pass(&mut shop, &json!(now));
    assert_eq!(shop.counters("P"), (95, 5));
    assert_eq!(shop.ask("EXISTS inventory:outcome:LUA-1"), 0);
    assert_eq!(shop.ask("INV.GET LUA-1"), Json::Null);
}

#[test]
fn whatever_is_no_record_of_its_own_id_is_foreign() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 PX 900000 ITEMS P 5");
    shop.ask("COPY reservation:R1 reservation:COPY");
    let json = shop.ask("GET reservation:R1").as_str().expect("text").to_owned();
    shop.ask(["SET", "reservation:SET", &json, "EX", "900"]);
    shop.ask("SET reservation:TEXT text");
    shop.ask("SET reservation:BROKEN {\"reservation_id\":\"BROKEN\",");
    shop.ask("SET reservation:EMPTY {}");
    shop.ask("HSET reservation:HASH reservation_id HASH");
    shop.ask("RPUSH reservation:LIST a b");
    let before = shop.contents();
    for id in ["COPY", "SET", "TEXT", "BROKEN", "EMPTY", "HASH", "LIST"] {
        for command in ["INV.COMMIT id", "INV.ROLLBACK id", "INV.RESERVE id ITEMS P 5", "INV.GET id"] {
            let refusal = shop.refusal(command.replace("id", id));
            assert_eq!(code(&refusal), "FOREIGN", "{command} {id}: {refusal}");
        }
    }
    assert_same(&shop.contents(), &before);
    // The original still belongs to the module.
    assert_eq!(shop.ask("INV.ROLLBACK R1"), "OK");
    assert_eq!(shop.counters("P"), (100, 0));
}

#[test]
fn a_copy_that_expires_returns_nothing() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("COPY reservation:R1 reservation:R2");
    shop.ask("PEXPIRE reservation:R2 20");
    wait_for("the copy is gone", SOON, json!(0), || shop.ask("EXISTS reservation:R2"));
    let now = shop.now();
    let_pass(&mut shop, &json!(now));
    assert_eq!(shop.counters("P"), (95, 5));
    shop.ask("INV.COMMIT R1");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn a_record_that_comes_back_after_its_end_is_foreign_and_holds_nothing() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    shop.ask("COPY reservation:R1 kept");
    shop.ask("INV.COMMIT R1");
    shop.ask("RENAME kept reservation:R1");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK R1")), "FOREIGN");
    shop.ask("PEXPIRE reservation:R1 20");
    wait_for("it is gone", SOON, json!(0), || shop.ask("EXISTS reservation:R1"));
    let now = shop.now();
    let_pass(&mut shop, &json!(now));
    assert_eq!(shop.counters("P"), (95, 0));
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
}

#[test]
fn a_record_that_is_moved_away_and_back_keeps_its_units_once() {
    let (_server, mut shop) = shop(STOCK);
    let deadline = shop.ask("INV.RESERVE R1 PX 300 ITEMS P 5")["expires_at"].clone();
    shop.ask("RENAME reservation:R1 parked");
    shop.ask("RENAME parked reservation:R1");
    assert_eq!(shop.counters("P"), (95, 5));
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.counters("P"), (100, 0));
}

/// Ends one of the module's records as a script does, and checks the counters at once and after the deadline.
fn settled_by_lua(others: &[&str], script: &str, ours: (i64, i64)) {
    let (_server, mut shop) = shop(STOCK);
    for reserve in others {
        shop.ask(reserve);
    }
    let deadline = shop.ask("INV.RESERVE R1 PX 200 ITEMS P 5")["expires_at"].clone();
    lua(&mut shop, script, "P", "R1");
    assert_eq!(shop.counters("P"), ours, "at once");
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.counters("P"), ours, "after the deadline");
}

#[test]
fn a_commit_by_the_script_of_our_record_doubles_nothing() {
    settled_by_lua(&[], LUA_COMMIT, (95, 0));
}

#[test]
fn a_commit_by_the_script_doubles_nothing_beside_other_reservations() {
    settled_by_lua(&["INV.RESERVE R2 ITEMS P 7", "INV.RESERVE R3 ITEMS P 3"], LUA_COMMIT, (85, 10));
}

#[test]
fn a_rollback_by_the_script_of_our_record_doubles_nothing() {
    settled_by_lua(&[], LUA_ROLLBACK, (100, 0));
}

#[test]
fn a_rollback_by_the_script_doubles_nothing_beside_other_reservations() {
    settled_by_lua(&["INV.RESERVE R2 ITEMS P 7", "INV.RESERVE R3 ITEMS P 3"], LUA_ROLLBACK, (90, 10));
}

#[test]
fn a_commit_as_two_commands_of_a_pipeline_doubles_nothing() {
    let (_server, mut shop) = shop(STOCK);
    shop.ask("INV.RESERVE R2 ITEMS P 7");
    let deadline = shop.ask("INV.RESERVE R1 PX 200 ITEMS P 5")["expires_at"].clone();
    shop.burst(&["DECRBY stock:reserved:P 5", "DEL reservation:R1"]);
    let_pass(&mut shop, &deadline);
    assert_eq!(shop.counters("P"), (88, 7));
}

#[test]
fn the_script_settles_our_records_while_its_own_are_live() {
    let (_server, mut shop) = shop(STOCK);
    lua(&mut shop, LUA_RESERVE, "P", "LUA-1");
    let deadline = shop.ask("INV.RESERVE R1 PX 200 ITEMS P 5")["expires_at"].clone();
    lua(&mut shop, LUA_COMMIT, "P", "R1");
    let_pass(&mut shop, &deadline);
    // If the units of R1 were returned here, they would be taken from LUA-1.
    assert_eq!(shop.counters("P"), (90, 5));
}

#[test]
fn our_deadline_leaves_what_the_scripts_hold() {
    let (_server, mut shop) = shop(STOCK);
    lua(&mut shop, LUA_RESERVE, "P", "LUA-1");
    shop.ask("INV.RESERVE R1 PX 100 ITEMS P 3");
    assert_eq!(shop.counters("P"), (92, 8));
    wait_for("the module's units are back", SOON, (95, 5), || shop.counters("P"));
}

/// The events since the last call about counters and records: `incrby stock:available:P`. Outcomes, alerts and the mark of a
/// managed database have no counterpart in the scripts.
fn events(listener: &mut Client) -> Vec<String> {
    let event = |message: &Json| {
        // A pmessage: pattern, channel, key.
        let channel = message[1].as_str().expect("a channel");
        let event = channel.rsplit(':').next().expect("an event");
        format!("{event} {}", message[2].as_str().expect("a key"))
    };
    let ours = |event: &String| event.contains(" stock:") || event.contains(" reservation:");
    listener.heard().iter().map(event).filter(ours).collect()
}

#[test]
fn a_record_of_a_script_is_foreign_whatever_its_type() {
    for record in [
        "HSET reservation:L sku P",
        "RPUSH reservation:L P",
        "SADD reservation:L P",
        "ZADD reservation:L 1 P",
    ] {
        let (_server, mut shop) = shop(&[("P", 100)]);
        shop.ask("INV.RESERVE OURS PX 100 ITEMS P 5");
        assert_eq!(shop.ask("EXISTS inventory:managed"), 1);
        // The script holds 5 units for its record, and has sold the module's: all reserved units are its own.
        shop.ask(record);
        shop.ask("DEL reservation:OURS");
        let_the_sweep_pass(&mut shop);
        assert_eq!(shop.counters("P"), (95, 5), "{record}");
        assert_eq!(shop.info("inv", "inv_foreign_records"), "1", "{record}");
        assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "{record}");
        assert_eq!(code(&shop.refusal("INV.COMMIT L")), "FOREIGN", "{record}");
    }
}

//! INV.MRESERVE, INV.MCOMMIT and INV.MROLLBACK: one call on many reservations.

use std::fs::{self, OpenOptions};

use crate::harness::{
    Client, Contents, Json, SOON, Server, assert_same, assert_same_data, code, json, wait_for, wire_code,
};
use crate::shards::Cluster;
use crate::shop::{shop, shop_with};

/// The elements of an answer: numbers as `at`, errors as their code.
fn each(answer: &Json) -> Vec<&str> {
    let one = |answer: &'_ Json| if answer.is_i64() { "at" } else { "" };
    let elements = answer.as_array().expect("an array").iter();
    elements.map(|answer| if answer.is_string() { wire_code(answer) } else { one(answer) }).collect()
}

/// `INV.MRESERVE` of one line for each of these ids.
fn reserve(ids: impl IntoIterator<Item = impl AsRef<str>>, item: &str) -> String {
    let words: Vec<String> = ids.into_iter().map(|id| format!("{} 1 {item}", id.as_ref())).collect();
    format!("INV.MRESERVE EX 900 {} {}", words.len(), words.join(" "))
}

#[test]
fn each_element_has_its_own_answer() {
    let (_server, mut shop) = shop(&[("P", 5), ("Q", 5)]);
    let answer = shop.ask("INV.MRESERVE EX 60 5 R1 1 P 3 R2 2 P 1 Q 2 R3 1 P 2 R1 1 P 3 R1 1 P 2");
    assert_eq!(each(&answer), ["at", "at", "-INSUFFICIENT", "at", "-MISMATCH"]);
    assert_eq!(answer[0], shop.ask("PEXPIRETIME reservation:R1"));
    assert_eq!(answer[2], "-INSUFFICIENT P requested 2, available 1");
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((1, 4), (3, 2)));
    let answer = shop.ask("INV.MCOMMIT R1 R9 R1");
    assert_eq!(each(&answer), ["OK", "-NOTFOUND", "OK"]);
    let answer = shop.ask("INV.MROLLBACK R1 R2 R2");
    assert_eq!(each(&answer), ["-COMMITTED", "OK", "OK"]);
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((2, 0), (5, 0)));
    for (field, count) in [("insufficient", "1"), ("mismatch", "1"), ("notfound", "1"), ("committed", "1")] {
        assert_eq!(shop.info("inv", &format!("inv_refused_{field}_total")), count, "{field}");
    }
    assert_eq!(shop.info("inv", "inv_reserved_total"), "2");
    assert_eq!(shop.info("inv", "inv_committed_total"), "1");
    assert_eq!(shop.info("inv", "inv_rolled_back_total"), "1");
}

#[test]
fn without_a_lifetime_the_usual_one_applies() {
    let (_server, mut shop) = shop_with(&["inv.hold-ttl-ms 5000"], &[("P", 5)]);
    let now = shop.now();
    let answer = shop.ask("INV.MRESERVE 1 R1 1 P 1");
    assert!((now + 5000..now + 9000).contains(&answer[0].as_i64().expect("a time")), "{answer}");
    let at = now + 60_000;
    assert_eq!(shop.ask(format!("INV.MRESERVE pxat {at} 1 R2 1 P 1")), json!([at]));
    assert_eq!(each(&shop.ask("INV.MRESERVE EXAT 1 2 R1 1 P 1 R3 1 P 1")), ["at", "-ERR"]);
}

#[test]
fn what_concerns_the_whole_call_refuses_it_and_changes_nothing() {
    let options = ["inv.max-batch 3", "inv.max-items 2"];
    let (_server, mut shop) = shop_with(&options, &[("P", 9)]);
    shop.ask("INV.RESERVE LIVE ITEMS P 1");
    let before = shop.contents();
    for (command, says) in [
        ("INV.MRESERVE", "ERR the number of reservations is missing. Usage: INV.MRESERVE [EX s"),
        ("INV.MRESERVE EX 60", "ERR the number of reservations is missing"),
        ("INV.MRESERVE EX 0 1 R1 1 P 1", "ERR EX '0' is not an integer"),
        ("INV.MRESERVE EX 60 PX 60 1 R1 1 P 1", "ERR the number of reservations 'PX' is not an integer"),
        ("INV.MRESERVE 0 R1 1 P 1", "ERR the number of reservations '0' is not an integer"),
        (
            "INV.MRESERVE 4 R1 1 P 1 R2 1 P 1 R3 1 P 1 R4 1 P 1",
            "ERR 4 reservations are given, but at most 3 are allowed (inv.max-batch)",
        ),
        ("INV.MRESERVE 2 R1 1 P 1", "ERR a reservation id is missing"),
        ("INV.MRESERVE 1 R1", "ERR the number of items is missing"),
        ("INV.MRESERVE 1 R1 0", "ERR the number of items '0' is not an integer"),
        (
            "INV.MRESERVE 1 R1 3 P 1 P 1 P 1",
            "ERR 3 items are given, but at most 2 are allowed (inv.max-items)",
        ),
        ("INV.MRESERVE 1 R1 1 P", "ERR the quantity of 'P' is missing"),
        (
            "INV.MRESERVE 1 R1 1 P 01",
            "ERR the quantity of P '01' is not an integer from 1 to 9007199254740991: write 1",
        ),
        ("INV.MRESERVE 1 R1 1 P 1 R2", "ERR unknown option 'R2'"),
        ("INV.MRESERVE 2 R1 1 P 1 cart-* 1 P 1", "ERR an id in a batch cannot end in *"),
        ("INV.MRESERVE 1 R1 1 P@ 1", "ERR "),
        ("INV.MCOMMIT", "ERR the reservation id is missing. Usage: INV.MCOMMIT id [id ...]"),
        (
            "INV.MCOMMIT LIVE R2 R3 R4",
            "ERR 4 reservations are given, but at most 3 are allowed (inv.max-batch)",
        ),
        ("INV.MROLLBACK", "ERR the reservation id is missing. Usage: INV.MROLLBACK id [id ...]"),
    ] {
        let refusal = shop.refusal(command);
        assert!(refusal.starts_with(says), "{command}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_thousand_reservations_of_a_thousand_lines_are_one_call() {
    let (_server, mut shop) = shop(&[("P", 5000)]);
    let ids: Vec<String> = (0..1000).map(|number| format!("R{number}")).collect();
    let answer = shop.ask(reserve(&ids, "P 1"));
    assert_eq!(each(&answer), vec!["at"; 1000]);
    assert_eq!(shop.counters("P"), (4000, 1000));
    let more: Vec<String> = (0..501).map(|number| format!("M{number} 2 P 1 Q 1")).collect();
    let refusal = shop.refusal(format!("INV.MRESERVE 501 {}", more.join(" ")));
    assert!(refusal.starts_with("ERR the reservations have more than 1000 items in total"), "{refusal}");
    assert_eq!(each(&shop.ask(format!("INV.MCOMMIT {}", ids.join(" ")))), vec!["OK"; 1000]);
    assert_eq!(shop.counters("P"), (4000, 0));
    assert!(shop.refusal(format!("INV.MCOMMIT X {}", ids.join(" "))).starts_with("ERR 1001 reservations"));
}

#[test]
fn the_keys_of_a_call_are_all_its_ids_and_skus() {
    let (_server, mut shop) = shop(&[]);
    for (command, keys) in [
        ("INV.MRESERVE 1 R1 1 P 1", json!(["R1", "P"])),
        ("INV.MRESERVE EX 60 2 R1 2 P 1 Q@A 2 R2 1 P 1", json!(["R1", "P", "Q@A", "R2", "P"])),
        ("INV.MRESERVE pxat 60 2 EX 1 ITEMS 1 PX 1 EX 2", json!(["EX", "ITEMS", "PX", "EX"])),
        ("INV.MCOMMIT R1 R2 R3", json!(["R1", "R2", "R3"])),
        ("INV.MROLLBACK R1", json!(["R1"])),
    ] {
        assert_eq!(shop.ask(format!("COMMAND GETKEYS {command}")), keys, "{command}");
    }
}

#[test]
fn a_user_needs_the_right_to_every_key_of_a_call() {
    let (server, mut shop) = shop(&[("shop1:p", 10), ("shop2:p", 10)]);
    shop.ask("INV.RESERVE shop2:r ITEMS shop2:p 1");
    shop.ask("ACL SETUSER clerk reset on nopass -@all ~shop1:* +@inventory");
    let mut clerk = server.connect();
    clerk.ask("AUTH clerk any");
    assert_eq!(
        each(&clerk.ask("INV.MRESERVE EX 60 2 shop1:r 1 shop1:p 1 shop1:s 1 shop1:p 1")),
        ["at", "at"]
    );
    let before = shop.contents();
    for command in [
        "INV.MRESERVE 2 shop1:x 1 shop1:p 1 shop2:x 1 shop1:p 1",
        "INV.MRESERVE EX 60 2 shop1:x 1 shop1:p 1 shop1:y 2 shop1:p 1 shop2:p 1",
        "INV.MCOMMIT shop1:r shop2:r",
        "INV.MROLLBACK shop1:r shop2:r",
    ] {
        assert_eq!(code(&clerk.refusal(command)), "NOPERM", "{command}");
    }
    assert_same(&shop.contents(), &before);
    assert_eq!(each(&clerk.ask("INV.MCOMMIT shop1:r")), ["OK"]);
    assert_eq!(each(&clerk.ask("INV.MROLLBACK shop1:s")), ["OK"]);
}

#[test]
fn a_full_server_reserves_nothing_and_still_ends_reservations() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.MRESERVE 2 R1 1 P 1 R2 1 P 1");
    shop.ask("CONFIG SET maxmemory 1");
    assert_eq!(code(&shop.refusal("INV.MRESERVE 2 R1 1 P 1 R3 1 P 1")), "OOM");
    assert_eq!(each(&shop.ask("INV.MCOMMIT R1")), ["OK"]);
    assert_eq!(each(&shop.ask("INV.MROLLBACK R2")), ["OK"]);
    assert_eq!(shop.counters("P"), (9, 0));
}

#[test]
fn transactions_and_scripts_may_contain_calls() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("MULTI");
    shop.ask("INV.RESERVE R0 ITEMS P 1");
    shop.ask("INV.MRESERVE 2 R1 1 P 2 R2 1 P 9");
    shop.ask("INV.MCOMMIT R0 R1 R2");
    let replies = shop.ask("EXEC");
    assert_eq!(each(&replies[1]), ["at", "-INSUFFICIENT"]);
    assert_eq!(each(&replies[2]), ["OK", "OK", "-NOTFOUND"]);
    assert_eq!(shop.counters("P"), (7, 0));
    // A script finds the errors among the elements. Valkey 9.1 shows it only the first error instead.
    const SCRIPT: &str = "
    local made = redis.pcall('INV.MRESERVE', 2, KEYS[1], 1, 'P', 5, KEYS[2], 1, 'P', 5)
    local sold = redis.pcall('INV.MCOMMIT', KEYS[1], KEYS[2])
    if made.err then return {'', made.err, '', sold.err} end
    return {type(made[1]), made[2].err, sold[1].ok, sold[2].err}";
    let found = shop.ask(["EVAL", SCRIPT, "2", "S1", "S2"]);
    assert!([json!("number"), json!("")].contains(&found[0]), "{found}");
    assert!([json!("OK"), json!("")].contains(&found[2]), "{found}");
    assert!(found[1].as_str().is_some_and(|text| text.starts_with("INSUFFICIENT P requested 5")), "{found}");
    assert!(found[3].as_str().is_some_and(|text| text.starts_with("NOTFOUND ")), "{found}");
    assert_eq!(shop.counters("P"), (2, 0));
}

#[test]
fn a_refused_element_wakes_no_watcher() {
    let (server, mut shop) = shop(&[("P", 1)]);
    let mut other = server.connect();
    other.ask("WATCH stock:available:P stock:reserved:P reservation:R1 inventory:outcome:R1");
    assert_eq!(each(&shop.ask("INV.MRESERVE 1 R1 1 P 2")), ["-INSUFFICIENT"]);
    assert_eq!(each(&shop.ask("INV.MCOMMIT R1")), ["-NOTFOUND"]);
    other.ask("MULTI");
    assert_eq!(other.ask("EXEC"), json!([]));
    other.ask("WATCH stock:reserved:P");
    shop.ask("INV.MRESERVE 1 R1 1 P 1");
    other.ask("MULTI");
    assert_eq!(other.ask("EXEC"), Json::Null);
}

#[test]
fn keyspace_events_tell_of_each_element() {
    let (server, mut shop) = shop_with(&["notify-keyspace-events KEA"], &[("P", 9)]);
    let mut listener = server.connect();
    listener.listen("__keyevent@0__:*");
    let mut told_by = |commands: &[&str]| -> Vec<String> {
        for command in commands {
            shop.ask(*command);
        }
        let heard = listener.heard();
        let mut told: Vec<String> = heard.iter().map(Json::to_string).collect();
        told.retain(|event| !event.contains("managed"));
        told.sort_unstable();
        told
    };
    let single = told_by(&[
        "INV.RESERVE A EX 900 ITEMS P 1",
        "INV.RESERVE B EX 900 ITEMS P 2",
        "INV.COMMIT A",
        "INV.COMMIT B",
    ]);
    let many = told_by(&["INV.MRESERVE EX 900 2 C 1 P 1 D 1 P 2", "INV.MCOMMIT C D"]);
    let renamed: Vec<String> =
        single.iter().map(|event| event.replace(":A\"", ":C\"").replace(":B\"", ":D\"")).collect();
    assert!(!many.is_empty());
    assert_eq!(many, renamed);
}

#[test]
fn a_call_is_one_command_in_the_aof_and_loads_again() {
    let (mut server, mut shop) = shop_with(&["appendonly yes", "appendfsync always"], &[("P", 100)]);
    let replica = server.replica();
    shop.ask("INV.RESERVE R0 ITEMS P 1");
    let propagated = server.propagated_by(|| {
        shop.ask("INV.MRESERVE EX 900 3 R1 1 P 1 R2 1 P 2 R3 1 P 3");
    });
    assert_eq!(propagated.len(), 1, "{propagated:?}");
    assert!(propagated[0].starts_with("INV.APPLY 3 HOLDS {\"reservation_id\":\"R1\""), "{propagated:?}");
    let propagated = server.propagated_by(|| {
        shop.ask("INV.MCOMMIT R1 R2 R7");
    });
    assert_eq!(propagated.len(), 1, "{propagated:?}");
    assert!(
        propagated[0].starts_with("INV.APPLY 3 CLOSES 86400000 {\"reservation_id\":\"R1\""),
        "{propagated:?}"
    );
    let propagated = server.propagated_by(|| {
        shop.ask("INV.MCOMMIT R1 R2 R7");
        shop.ask("INV.MRESERVE 1 R3 1 P 3");
    });
    assert_eq!(propagated, Vec::<String>::new());
    // A part has gone, so the documents do not say everything.
    shop.ask("INV.COMMIT R3 ITEMS P 1");
    let propagated = server.propagated_by(|| {
        shop.ask("INV.MROLLBACK R3 R0");
    });
    assert_eq!(propagated.len(), 1, "{propagated:?}");
    assert!(propagated[0].starts_with("INV.APPLY 1 UNITS P 2 -2 END R3 "), "{propagated:?}");
    assert_eq!(shop.counters("P"), (96, 0));
    replica.catch_up_with(&server);
    assert_same_data(&mut shop, &mut replica.connect());
    let before = shop.contents();
    server.kill();
    server.start_again();
    assert_same(&server.connect().contents(), &before);
}

/// The file that the server appends to.
fn aof_of(server: &Server) -> std::path::PathBuf {
    let files = fs::read_dir(server.folder().join("appendonlydir")).expect("a folder");
    let files = files.map(|file| file.expect("a file").path());
    files.filter(|file| file.to_string_lossy().contains(".incr.")).max().expect("an AOF")
}

#[test]
fn a_call_that_is_cut_off_in_the_aof_has_never_been() {
    let (mut server, mut shop) = shop_with(&["appendonly yes", "appendfsync always"], &[("P", 1000)]);
    shop.ask("INV.RESERVE R0 ITEMS P 1");
    let ids: Vec<String> = (0..100).map(|number| format!("R{number}")).collect();
    let reserve = reserve(&ids[1..], "P 1");
    let commit = format!("INV.MCOMMIT {}", ids.join(" "));
    let file = aof_of(&server);
    let length = || fs::metadata(&file).expect("a file").len();
    for (command, part) in [(&reserve, 3), (&reserve, 50), (&commit, 3), (&commit, 97)] {
        let (before, from): (Contents, u64) = (server.connect().contents(), length());
        let first = server.connect().ask(&**command);
        server.kill();
        let cut = from + (length() - from) * part / 100;
        OpenOptions::new().write(true).open(&file).and_then(|file| file.set_len(cut)).expect("a file");
        server.start_again();
        server.mend_aof();
        let mut shop = server.connect();
        assert_same(&shop.contents(), &before);
        // The client that did not hear the answer sends the call again.
        assert_eq!(each(&shop.ask(&**command)), each(&first));
    }
    assert_eq!(server.connect().counters("P"), (900, 0));
}

#[test]
fn overdue_units_are_released_for_the_elements_that_need_them() {
    let (server, mut shop) = shop(&[("P", 5)]);
    // The cron releases nothing meanwhile.
    let release = |shop: &mut Client| {
        shop.ask("MULTI");
        shop.ask("INV.MRESERVE EX 60 2 A 1 P 2 B 1 P 3");
        shop.ask("EXEC")
    };
    shop.ask("INV.RESERVE OLD PX 1 ITEMS P 5");
    let answer = loop {
        let answer = release(&mut shop);
        if each(&answer[0]) == ["at", "at"] {
            break answer;
        }
    };
    assert_eq!(each(&answer[0]), ["at", "at"]);
    assert_eq!(shop.counters("P"), (0, 5));
    wait_for("the old one has expired", SOON, json!("expired"), || shop.ask("INV.GET OLD")["state"].clone());
    drop(server);
}

#[test]
fn in_a_cluster_all_keys_of_a_call_are_in_one_slot() {
    let cluster = Cluster::start(1);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 10");
    assert_eq!(each(&shop.ask("INV.MRESERVE EX 60 2 {P}:R1 1 P 2 {P}:R2 2 P 1 {P} 1")), ["at", "at"]);
    let before = shop.contents();
    for command in [
        "INV.MRESERVE 2 {P}:R3 1 P 1 {Q}:R4 1 P 1",
        "INV.MRESERVE 2 {P}:R3 1 P 1 {P}:R4 1 Q 1",
        "INV.MRESERVE 2 {P}:R3 1 P 1 {Q}:R4 1 Q 1",
        "INV.MCOMMIT {P}:R1 {Q}:R2",
        "INV.MROLLBACK {P}:R1 {Q}:R2",
    ] {
        assert_eq!(code(&shop.refusal(command)), "CROSSSLOT", "{command}");
    }
    assert_same(&shop.contents(), &before);
    assert_eq!(each(&shop.ask("INV.MCOMMIT {P}:R1 {P}:R1")), ["OK", "OK"]);
    assert_eq!(each(&shop.ask("INV.MROLLBACK {P}:R2")), ["OK"]);
    assert_eq!(shop.counters("{P}"), (8, 0));
    cluster.check_keys();
}

#[test]
fn a_call_on_a_slot_that_is_moving_is_refused_as_a_whole() {
    let cluster = Cluster::start(2);
    let mut shop = cluster.shop("P");
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.MRESERVE EX 900 2 {P}:R1 1 P 2 {P}:R2 1 P 1");
    let to = 1 - cluster.owner("P");
    let moving = cluster.begin_move("P", to);
    moving.take("reservation:{P}:R1");
    for command in ["INV.MRESERVE 1 {P}:R3 1 P 1", "INV.MCOMMIT {P}:R2", "INV.MROLLBACK {P}:R1 {P}:R2"] {
        let refusal = shop.refusal(command);
        assert!(["TRYAGAIN", "ASK"].contains(&code(&refusal)), "{command}: {refusal}");
    }
    moving.end();
    let mut shop = cluster.shop("P");
    assert_eq!(each(&shop.ask("INV.MCOMMIT {P}:R1 {P}:R2")), ["OK", "OK"]);
    assert_eq!(shop.counters("{P}"), (7, 0));
    cluster.check_keys();
}

#[test]
fn a_promoted_replica_carries_on_with_the_reservations_of_a_call() {
    let (mut server, mut shop) = shop(&[("P", 100)]);
    let replica = server.replica();
    shop.ask(reserve(["A", "B", "C"], "P 2"));
    shop.ask("INV.MCOMMIT A");
    replica.catch_up_with(&server);
    server.kill();
    let mut shop = replica.connect();
    shop.ask("REPLICAOF NO ONE");
    assert_eq!(each(&shop.ask("INV.MCOMMIT A B")), ["OK", "OK"]);
    assert_eq!(each(&shop.ask(reserve(["A", "C", "D"], "P 2"))), ["-COMMITTED", "at", "at"]);
    assert_eq!(each(&shop.ask("INV.MROLLBACK B C D")), ["-COMMITTED", "OK", "OK"]);
    assert_eq!(shop.counters("P"), (96, 0));
    let audit = shop.ask("INV.AUDIT P");
    assert_eq!((audit["held"].as_i64(), audit["drift"].as_i64()), (Some(0), Some(0)));
}

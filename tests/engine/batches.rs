//! Calls on many reservations: each element is judged as if it came alone, and all of them are written together.

use redis_inventory::engine::keyspace::Settings;

use super::calls::call;
use super::simulation::{BEGIN, Command, Simulation, settings};

/// Five units of P, and Q.
fn shop() -> Simulation {
    shop_with(settings())
}

fn shop_with(settings: Settings) -> Simulation {
    let mut shop = Simulation::new();
    shop.settings = settings;
    for sku in ["P", "Q"] {
        shop.client(&["SET", &format!("stock:available:{sku}"), "5"]);
    }
    // The first reservation marks the database.
    ask(&mut shop, "INV.RESERVE first PX 60000 ITEMS Q 1");
    ask(&mut shop, "INV.ROLLBACK first");
    shop.take_stream();
    shop
}

/// Runs one call as its own unit of work. Of a refusal, only the code is answered.
fn ask(server: &mut Simulation, words: &str) -> Vec<String> {
    let words: Vec<&str> = words.split(' ').collect();
    let answer = server.command("", |server| call(server, &words));
    let code = |answer: &str| {
        if answer.starts_with("OK") {
            answer.to_owned()
        } else {
            answer.split(' ').next().unwrap().to_owned()
        }
    };
    answer.unwrap_or_else(|refusal| format!("!{refusal}")).split(" | ").map(code).collect()
}

fn counters(server: &Simulation, sku: &str) -> (i64, i64) {
    let counter = |kind: &str| server.number(&format!("stock:{kind}:{sku}")).unwrap_or(0);
    (counter("available"), counter("reserved"))
}

/// The commands that one unit of work has replicated.
fn sent(server: &mut Simulation) -> Vec<Command> {
    server.take_stream().into_iter().flatten().collect()
}

/// Asserts that a replica which receives everything has the same data.
fn check_replica(server: &mut Simulation, mut replica: Simulation) {
    replica.receive(&server.take_stream());
    assert_eq!(replica.data, server.data);
}

#[test]
fn later_elements_see_what_earlier_ones_have_taken() {
    let mut shop = shop();
    let at = BEGIN + 1000;
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE PX 1000 5 A 1 P 3 B 1 P 3 C 2 P 1 Q 1 D 1 P 1 E 1 P 1"),
        [&format!("OK {at}"), "INSUFFICIENT", &format!("OK {at}"), &format!("OK {at}"), "INSUFFICIENT"]
    );
    assert_eq!((counters(&shop, "P"), counters(&shop, "Q")), ((0, 5), (4, 1)));
}

#[test]
fn an_id_that_comes_twice_in_a_call_is_a_retry_or_a_mismatch() {
    let mut shop = shop();
    let at = format!("OK {}", BEGIN + 1000);
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE PX 1000 3 A 2 P 3 Q 1 A 2 Q 1 P 3 A 1 P 3"),
        [&*at, &at, "MISMATCH"]
    );
    assert_eq!(counters(&shop, "P"), (2, 3));
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A X A"), ["OK", "NOTFOUND", "OK"]);
    assert_eq!(ask(&mut shop, "INV.MROLLBACK A"), ["COMMITTED"]);
    ask(&mut shop, "INV.RESERVE B PX 1000 ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.MROLLBACK B B"), ["OK", "OK"]);
    assert_eq!(counters(&shop, "P"), (2, 0));
    assert_eq!(ask(&mut shop, "INV.MCOMMIT B"), ["ROLLEDBACK"]);
}

#[test]
fn if_nothing_is_remembered_the_second_end_in_a_call_finds_nothing() {
    let mut shop = shop_with(Settings { outcome_ttl_ms: 0, ..settings() });
    ask(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A A"), ["OK", "NOTFOUND"]);
    assert_eq!(counters(&shop, "P"), (4, 0));
}

#[test]
fn a_call_is_replicated_as_one_command_and_tells_of_each_element() {
    let mut shop = shop();
    let replica = Simulation::replica_of(&shop);
    ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 P 1 B 1 P 9 C 2 P 1 Q 1");
    let stream = shop.take_stream();
    let [command] = stream.iter().flatten().collect::<Vec<_>>()[..] else { panic!("{stream:?}") };
    let documents = ["A", "C"].map(|id| shop.stored(&format!("reservation:{id}")).unwrap().to_owned());
    assert_eq!(*command, ["INV.APPLY", "3 HOLDS", &documents.join("\n"), "reservation:A"]);
    let told = |shop: &Simulation, event: &str, key: &str| {
        shop.events.iter().filter(|(name, of)| name == event && of == key).count()
    };
    assert_eq!(told(&shop, "incrby", "stock:reserved:P"), 2);
    let mut replica_of = replica;
    replica_of.receive(&stream);
    assert_eq!(replica_of.data, shop.data);

    ask(&mut shop, "INV.MCOMMIT A C A");
    let stream = shop.take_stream();
    let [command] = stream.iter().flatten().collect::<Vec<_>>()[..] else { panic!("{stream:?}") };
    let documents = ["A", "C"].map(|id| shop.stored(&format!("inventory:outcome:{id}")).unwrap().to_owned());
    assert_eq!(*command, ["INV.APPLY", "3 CLOSES 86400000", &documents.join("\n"), "reservation:A"]);
    replica_of.receive(&stream);
    assert_eq!(replica_of.data, shop.data);
    assert_eq!(replica_of.memory().holds.count(), 0);
}

#[test]
fn what_no_document_says_is_replicated_in_the_general_form() {
    let mut shop = shop();
    ask(&mut shop, "INV.MRESERVE PX 1000 2 A 1 P 2 B 1 P 1");
    ask(&mut shop, "INV.COMMIT A ITEMS P 1");
    shop.take_stream();
    let replica = Simulation::replica_of(&shop);
    assert_eq!(ask(&mut shop, "INV.MROLLBACK A B"), ["OK", "OK"]);
    let stream = shop.take_stream();
    let [command] = stream.iter().flatten().collect::<Vec<_>>()[..] else { panic!("{stream:?}") };
    assert_eq!(command[..6], ["INV.APPLY", "1", "UNITS", "P", "1", "-1"]);
    let mut replica = replica;
    replica.receive(&stream);
    assert_eq!(replica.data, shop.data);
    assert_eq!(counters(&shop, "P"), (4, 0));
}

#[test]
fn overdue_units_that_an_element_needs_are_released_first() {
    let mut shop = shop();
    let replica = Simulation::replica_of(&shop);
    ask(&mut shop, "INV.RESERVE OLD PX 10 ITEMS P 4 Q 5");
    shop.advance(20);
    let mut replica = replica;
    replica.advance(20);
    let answers = ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 P 1 B 1 P 4 OLD 1 Q 1");
    assert_eq!(
        (answers[0].starts_with("OK"), answers[1].starts_with("OK"), &*answers[2]),
        (true, true, "EXPIRED")
    );
    assert_eq!((counters(&shop, "P"), counters(&shop, "Q")), ((0, 5), (5, 0)));
    check_replica(&mut shop, replica);
}

#[test]
fn a_call_releases_no_more_than_a_single_command_may() {
    let mut shop = shop_with(Settings { hold_ttl_ms: 10, ..settings() });
    shop.client(&["SET", "stock:available:P", "1200"]);
    for number in 0..1200 {
        ask(&mut shop, &format!("INV.RESERVE OLD{number} PX 10 ITEMS P 1"));
    }
    shop.advance(20);
    // Each element alone would release 500.
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 P 600 B 1 P 400 C 1 P 200"),
        ["TRYAGAIN", &format!("OK {}", BEGIN + 1020), "TRYAGAIN"]
    );
    assert_eq!(counters(&shop, "P"), (100, 1100));
}

#[test]
fn a_call_reads_a_bounded_number_of_lines_of_records_and_outcomes() {
    let mut shop = shop();
    let mut ids = Vec::new();
    let items: String = (0..128).map(|sku| format!(" S{sku} 1")).collect();
    for sku in 0..128 {
        shop.client(&["SET", &format!("stock:available:S{sku}"), "1000"]);
    }
    // 128 outcomes have 16,384 lines; one more is still read.
    for number in 0..131 {
        ask(&mut shop, &format!("INV.RESERVE R{number} PX 60000 ITEMS{items}"));
        ask(&mut shop, &format!("INV.COMMIT R{number}"));
        ids.push(format!("R{number}"));
    }
    let answers = ask(&mut shop, &format!("INV.MCOMMIT {}", ids.join(" ")));
    let read = answers.iter().take_while(|answer| *answer == "OK").count();
    assert_eq!(read, 129, "{answers:?}");
    assert!(answers[129..].iter().all(|answer| answer == "TRYAGAIN"), "{answers:?}");
}

#[test]
fn a_call_reads_a_bounded_number_of_bytes_of_free_texts() {
    let mut shop = shop_with(Settings { max_data_bytes: 1 << 20, ..settings() });
    shop.client(&["SET", "stock:available:P", "100"]);
    let data = "d".repeat(100 << 10);
    let ids: Vec<String> = (0..25).map(|number| format!("R{number}")).collect();
    for id in &ids {
        ask(&mut shop, &format!("INV.RESERVE {id} PX 60000 DATA {data} ITEMS P 1"));
        ask(&mut shop, &format!("INV.COMMIT {id}"));
    }
    let answers = ask(&mut shop, &format!("INV.MCOMMIT {}", ids.join(" ")));
    // Two megabytes, and the one with which they are exceeded.
    assert_eq!(answers.iter().position(|answer| answer == "TRYAGAIN"), Some(21), "{answers:?}");
    assert!(answers[21..].iter().all(|answer| answer == "TRYAGAIN"), "{answers:?}");
    assert_eq!(ask(&mut shop, &format!("INV.MCOMMIT {}", ids[21..].join(" "))), ["OK"; 4]);
}

#[test]
fn a_broken_counter_concerns_its_elements_alone() {
    let mut shop = shop();
    shop.client(&["SET", "stock:available:BAD", "1.5"]);
    let at = format!("OK {}", BEGIN + 1000);
    assert_eq!(
        ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 P 1 B 2 P 1 BAD 1 C 1 P 1"),
        [&*at, "WRONGTYPE", &at]
    );
    assert_eq!(counters(&shop, "P"), (3, 2));
}

#[test]
fn a_foreign_record_and_a_wrong_outcome_concern_their_elements_alone() {
    let mut shop = shop();
    shop.client(&["SET", "reservation:F", "foreign"]);
    shop.client(&["SET", "inventory:outcome:W", "wrong"]);
    ask(&mut shop, "INV.RESERVE A PX 1000 ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.MCOMMIT F W A"), ["FOREIGN", "WRONGTYPE", "OK"]);
    assert_eq!(counters(&shop, "P"), (4, 0));
}

#[test]
fn an_expired_reservation_is_committed_no_more_and_given_up_once() {
    let mut shop = shop();
    ask(&mut shop, "INV.MRESERVE PX 10 2 A 1 P 1 B 1 P 1");
    shop.advance(20);
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A B"), ["EXPIRED", "EXPIRED"]);
    let replica = Simulation::replica_of(&shop);
    shop.take_stream();
    assert_eq!(ask(&mut shop, "INV.MROLLBACK A B A"), ["OK", "OK", "OK"]);
    assert_eq!(ask(&mut shop, "INV.COMMIT A LATE"), ["!ROLLEDBACK"]);
    check_replica(&mut shop, replica);
    assert_eq!(counters(&shop, "P"), (5, 0));
}

#[test]
fn a_call_moves_a_thousand_lines_and_then_asks_for_another() {
    let mut shop = shop_with(Settings { max_items: 1024, ..settings() });
    let items: Vec<String> = (0..600).map(|number| format!("S{number} 1")).collect();
    for number in 0..600 {
        shop.client(&["SET", &format!("stock:available:S{number}"), "9"]);
    }
    for id in ["A", "B", "C"] {
        ask(&mut shop, &format!("INV.RESERVE {id} PX 60000 ITEMS {}", items.join(" ")));
    }
    ask(&mut shop, "INV.RESERVE D PX 60000 ITEMS P 1");
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A B C D"), ["OK", "TRYAGAIN", "TRYAGAIN", "OK"]);
    // What is done needs no room.
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A B C D"), ["OK", "OK", "TRYAGAIN", "OK"]);
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A B C D"), ["OK", "OK", "OK", "OK"]);
    assert_eq!(counters(&shop, "S0"), (6, 0));
    ask(&mut shop, &format!("INV.RESERVE E PX 60000 ITEMS {}", items.join(" ")));
    ask(&mut shop, &format!("INV.RESERVE F PX 60000 ITEMS {}", items[..400].join(" ")));
    assert_eq!(ask(&mut shop, "INV.MCOMMIT E F"), ["OK", "OK"], "a thousand together");
}

#[test]
fn a_call_ends_reservations_with_half_a_megabyte_of_data_and_then_asks_for_another() {
    let mut shop = shop_with(Settings { max_data_bytes: 4 << 20, ..settings() });
    shop.client(&["SET", "stock:available:P", "9"]);
    for (id, size) in [("A", 300 << 10), ("B", 250 << 10), ("C", 212 << 10), ("D", 0), ("E", 768 << 10)] {
        let data = if size > 0 { format!(" DATA {}", "d".repeat(size)) } else { String::new() };
        ask(&mut shop, &format!("INV.RESERVE {id} PX 60000{data} ITEMS P 1"));
    }
    assert_eq!(ask(&mut shop, "INV.MROLLBACK A B C D E"), ["OK", "TRYAGAIN", "OK", "OK", "TRYAGAIN"]);
    assert_eq!(ask(&mut shop, "INV.MCOMMIT B E"), ["OK", "TRYAGAIN"]);
    assert_eq!(ask(&mut shop, "INV.MCOMMIT E"), ["OK"], "the first one may have any size");
    assert_eq!(counters(&shop, "P"), (7, 0));
}

#[test]
fn the_first_reservation_of_a_call_may_have_more_than_a_thousand_lines() {
    let mut shop = shop_with(Settings { max_items: 1024, ..settings() });
    let items: Vec<String> = (0..1001).map(|number| format!("S{number} 1")).collect();
    for number in 0..1001 {
        shop.client(&["SET", &format!("stock:available:S{number}"), "9"]);
    }
    ask(&mut shop, &format!("INV.RESERVE A PX 60000 ITEMS {}", items.join(" ")));
    assert_eq!(ask(&mut shop, "INV.MCOMMIT A"), ["OK"]);
    assert_eq!(counters(&shop, "S1000"), (8, 0));
}

#[test]
fn too_many_warehouses_refuse_the_whole_call() {
    let mut shop = shop();
    for number in 0..800 {
        shop.client(&["ZADD", "stock:warehouses:W", "1", &format!("w{number}")]);
    }
    shop.client(&["SET", "stock:available:W@w799", "9"]);
    let before = shop.data.clone();
    shop.take_stream();
    assert_eq!(ask(&mut shop, "INV.MRESERVE PX 1000 4 A 1 P 1 B 1 W 1 C 1 W 1 D 1 W 1"), ["!ERR"]);
    assert_eq!((sent(&mut shop), &shop.data), (vec![], &before));
    let answers = ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 P 1 B 1 W 1 C 1 W 1");
    assert!(answers.iter().all(|answer| answer.starts_with("OK")), "{answers:?}");
}

#[test]
fn a_set_of_too_many_warehouses_refuses_only_its_own_element() {
    let mut shop = shop();
    for number in 0..3000 {
        shop.client(&["ZADD", "stock:warehouses:W", "1", &format!("w{number}")]);
    }
    let alone = ask(&mut shop, "INV.RESERVE A PX 1000 ITEMS W 1");
    assert_eq!(alone, ["!ERR"]);
    let answers = ask(&mut shop, "INV.MRESERVE PX 1000 2 A 1 W 1 B 1 P 1");
    assert_eq!(answers[0], "ERR");
    assert!(answers[1].starts_with("OK"), "{answers:?}");
}

#[test]
fn elements_are_split_over_warehouses_from_what_earlier_ones_left() {
    let mut shop = shop();
    for (place, priority) in [("north", "1"), ("south", "2")] {
        shop.client(&["ZADD", "stock:warehouses:W", priority, place]);
        shop.client(&["SET", &format!("stock:available:W@{place}"), "3"]);
    }
    let at = format!("OK {}", BEGIN + 1000);
    assert_eq!(ask(&mut shop, "INV.MRESERVE PX 1000 3 A 1 W 2 B 1 W 2 C 1 W 3"), [&*at, &at, "INSUFFICIENT"]);
    assert_eq!((counters(&shop, "W@north"), counters(&shop, "W@south")), ((0, 3), (2, 1)));
    assert_eq!(ask(&mut shop, "INV.MRESERVE PX 1000 2 A 1 W 2 B 1 W 2"), [&*at, &at]);
}

#[test]
fn the_feed_shows_the_counters_after_each_element() {
    let mut shop = shop_with(Settings { feed_maxlen: 100, ..settings() });
    ask(&mut shop, "INV.RESERVE OLD PX 10 ITEMS P 1");
    shop.advance(20);
    shop.take_stream();
    ask(&mut shop, "INV.MRESERVE PX 1000 2 A 1 P 2 B 1 P 3");
    let entries: Vec<String> = sent(&mut shop)
        .into_iter()
        .filter(|command| command[0] == "XADD")
        .map(|command| command[7..command.len() - 2].join(" "))
        .collect();
    assert_eq!(
        entries,
        [
            "reserved reservation_id A sku P quantity 2 available 2 reserved 3",
            "expired reservation_id OLD sku P quantity 1 available 3 reserved 2",
            "reserved reservation_id B sku P quantity 3 available 0 reserved 5",
            // The alert.
            "alert product_id P type OUT_OF_STOCK available 0 threshold 10",
        ]
    );
}

#[test]
fn alerts_follow_the_net_change_of_a_call() {
    let mut shop = shop_with(Settings { low_stock_threshold: 3, alert_cooldown_ms: 0, ..settings() });
    let alerts = |shop: &Simulation| shop.data.keys().filter(|key| key.starts_with("alert:P:")).count();
    // It crosses the threshold and then 0.
    ask(&mut shop, "INV.MRESERVE PX 10 2 A 1 P 3 B 1 P 2");
    assert_eq!(alerts(&shop), 1);
    shop.advance(20);
    // What returns is taken again at once.
    ask(&mut shop, "INV.MRESERVE PX 1000 1 C 1 P 5");
    assert_eq!((alerts(&shop), counters(&shop, "P")), (1, (0, 5)));
    ask(&mut shop, "INV.MROLLBACK C");
    assert_eq!(alerts(&shop), 2);
}

#[test]
fn a_call_may_come_again_whatever_of_it_was_done_before() {
    let ids = ["A", "B", "C", "D", "E"];
    let reserve: Vec<String> = ids.iter().map(|id| format!("{id} 1 P 1")).collect();
    let reserve = format!("INV.MRESERVE PX 1000 5 {}", reserve.join(" "));
    let (commit, back) =
        (format!("INV.MCOMMIT {}", ids.join(" ")), format!("INV.MROLLBACK {}", ids.join(" ")));
    let at = format!("OK {}", BEGIN + 1000);
    for done in 0..=ids.len() {
        for (end, all, left) in [("COMMIT", &commit, 0), ("ROLLBACK", &back, 5)] {
            let mut shop = shop();
            for id in &ids[..done] {
                ask(&mut shop, &format!("INV.RESERVE {id} PX 1000 ITEMS P 1"));
            }
            for _ in 0..2 {
                assert_eq!(ask(&mut shop, &reserve), vec![at.clone(); 5]);
                assert_eq!(counters(&shop, "P"), (0, 5));
            }
            for id in &ids[..done] {
                ask(&mut shop, &format!("INV.{end} {id}"));
            }
            for _ in 0..2 {
                assert_eq!(ask(&mut shop, all), vec!["OK"; 5]);
                assert_eq!(counters(&shop, "P"), (left, 0));
            }
            shop.take_stream();
            let data = shop.data.clone();
            ask(&mut shop, all);
            assert_eq!((sent(&mut shop), &shop.data), (vec![], &data));
        }
    }
}

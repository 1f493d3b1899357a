//! Floors: how many units stay available, or how many are promised before they arrive.

use redis_inventory::inventory::sku::{KeyStyle, Sku};

use super::calls::call;
use super::simulation::{BEGIN, Command, Simulation};

/// Runs one call as its own unit of work.
fn ask(server: &mut Simulation, words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    server.command("", |server| call(server, &words)).unwrap_or_else(|refusal| refusal.to_string())
}

/// Runs a call that must succeed.
fn done(server: &mut Simulation, words: &str) -> String {
    let answer = ask(server, words);
    assert!(answer.split(' ').next().is_some_and(|code| code == "OK" || !is_code(code)), "{words}: {answer}");
    answer
}

fn is_code(word: &str) -> bool {
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// A shop with so many units of P.
fn shop(units: &str) -> Simulation {
    let mut shop = Simulation::new();
    shop.settings.low_stock_threshold = -1;
    shop.client(&["SET", "stock:available:P", units]);
    // The first reservation marks the database.
    done(&mut shop, "INV.RESERVE first PX 60000 ITEMS P 1");
    done(&mut shop, "INV.ROLLBACK first");
    shop.take_stream();
    shop
}

fn counters(server: &Simulation, sku: &str) -> (i64, i64) {
    let counter = |kind: &str| server.number(&format!("stock:{kind}:{sku}")).unwrap_or(0);
    (counter("available"), counter("reserved"))
}

/// The keys that a call reads.
fn looks(server: &mut Simulation, words: &str) -> Vec<String> {
    server.looks = Some(Vec::new());
    ask(server, words);
    server.looks.take().unwrap()
}

fn sent(server: &mut Simulation) -> Vec<Command> {
    server.take_stream().into_iter().flatten().collect()
}

#[test]
fn safety_stock_is_never_promised() {
    let mut shop = shop("10");
    assert_eq!(done(&mut shop, "INV.FLOOR P 3"), "OK");
    assert_eq!(ask(&mut shop, "INV.RESERVE A ITEMS P 8"), "INSUFFICIENT P requested 8, available 7");
    done(&mut shop, "INV.RESERVE A ITEMS P 7");
    assert_eq!(ask(&mut shop, "INV.RESERVE B ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    assert_eq!(counters(&shop, "P"), (3, 7));
    // The floor does not prevent a sale.
    done(&mut shop, "INV.COMMIT A");
    done(&mut shop, "INV.FLOOR P 0");
    assert_eq!(shop.stored("stock:floor:P"), None);
    done(&mut shop, "INV.RESERVE B ITEMS P 3");
}

#[test]
fn with_a_floor_below_0_so_many_units_are_promised_before_they_arrive() {
    let mut shop = Simulation::new();
    done(&mut shop, "INV.FLOOR P -5");
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A ITEMS P 6"),
        "INSUFFICIENT P requested 6, available 5",
        "a floor alone makes a sku known"
    );
    done(&mut shop, "INV.RESERVE A ITEMS P 4");
    assert_eq!(counters(&shop, "P"), (-4, 4));
    done(&mut shop, "INV.COMMIT A");
    assert_eq!(done(&mut shop, "INV.ADJUST P 10"), "6");
    assert_eq!(counters(&shop, "P"), (6, 0));
}

#[test]
fn a_floor_is_replicated_as_its_result_and_only_if_it_changes() {
    let mut shop = shop("10");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.FLOOR P -3");
    done(&mut shop, "INV.FLOOR P -3");
    done(&mut shop, "INV.FLOOR P 0");
    done(&mut shop, "INV.FLOOR P 0");
    let stream = shop.take_stream();
    let apply = |units: &str| ["INV.APPLY", "1", "FLOOR", "P", units, "0"].map(str::to_owned).to_vec();
    assert_eq!(stream, [vec![apply("-3")], vec![apply("0")]]);
    assert_eq!(
        shop.events
            .iter()
            .filter(|(_, key)| key == "stock:floor:P")
            .map(|(event, _)| &**event)
            .collect::<Vec<_>>(),
        ["set", "del"]
    );
    replica.receive(&stream[..1]);
    assert_eq!(replica.stored("stock:floor:P"), Some("-3"));
    replica.receive(&stream[1..]);
    assert_eq!(replica.data, shop.data);
}

#[test]
fn a_floor_that_is_no_integer_is_refused_and_never_0() {
    let mut shop = shop("10");
    for value in ["10.0", "", "three"] {
        shop.client(&["SET", "stock:floor:P", value]);
        shop.take_stream();
        let refused = format!("WRONGTYPE key stock:floor:P holds '{value}', not an integer");
        let calls = [
            "INV.RESERVE A ITEMS P 1",
            "INV.FLOOR P 0",
            "INV.ADJUST P -1",
            "INV.SET P ONHAND 4",
            "INV.STOCK P",
        ];
        for words in calls {
            assert_eq!(ask(&mut shop, words), refused, "{words}");
        }
        assert!(sent(&mut shop).is_empty());
    }
    shop.client(&["DEL", "stock:floor:P"]);
    shop.client(&["HSET", "stock:floor:P", "a", "b"]);
    assert_eq!(
        ask(&mut shop, "INV.RESERVE A ITEMS P 1"),
        "WRONGTYPE key stock:floor:P holds a hash, not an integer"
    );
    shop.client(&["DEL", "stock:floor:P"]);
    done(&mut shop, "INV.RESERVE A ITEMS P 1");
}

#[test]
fn the_key_of_a_floor_is_read_only_if_there_may_be_one() {
    let mut shop = shop("10");
    let floor = "stock:floor:P".to_owned();
    assert!(!looks(&mut shop, "INV.RESERVE A ITEMS P 1").contains(&floor));
    // The index is not complete: every floor is read.
    shop.restart_in_slices();
    assert!(looks(&mut shop, "INV.RESERVE B ITEMS P 1").contains(&floor));
    shop.walk_over(100);
    while shop.sweep_slice(100) {}
    assert!(!looks(&mut shop, "INV.RESERVE C ITEMS P 1").contains(&floor));
    // From the moment at which another client writes it, it is read.
    shop.unit(|shop| {
        shop.execute(&["SET", "stock:floor:P", "7"]);
        assert!(looks_within(shop, "INV.RESERVE D ITEMS P 1").contains(&floor));
    });
    assert_eq!(ask(&mut shop, "INV.RESERVE D ITEMS P 1"), "INSUFFICIENT P requested 1, available 0");
    done(&mut shop, "INV.FLOOR P 0");
    assert!(!looks(&mut shop, "INV.RESERVE D ITEMS P 1").contains(&floor));
}

/// The keys that a call reads in a unit of work that has begun.
fn looks_within(server: &mut Simulation, words: &str) -> Vec<String> {
    server.looks = Some(Vec::new());
    drop(call(server, &words.split(' ').collect::<Vec<_>>()));
    server.looks.take().unwrap()
}

#[test]
fn a_floor_is_known_after_a_restart_and_on_a_promoted_replica() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 9");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.FLOOR Q -2");
    let refused = |server: &mut Simulation| {
        assert_eq!(ask(server, "INV.RESERVE A ITEMS P 2"), "INSUFFICIENT P requested 2, available 1");
        assert_eq!(ask(server, "INV.RESERVE A ITEMS Q 3"), "INSUFFICIENT Q requested 3, available 2");
    };
    replica.receive(&shop.take_stream());
    for from_rdb in [true, false] {
        shop.restart(from_rdb);
        refused(&mut shop);
    }
    replica.change_role();
    refused(&mut replica);
    let sku = Sku::parse(b"Q", KeyStyle::Plain).unwrap();
    assert!(replica.memory().floors.may_have(&sku));
}

#[test]
fn a_replay_decides_nothing() {
    let mut shop = shop("10");
    let mut replica = Simulation::replica_of(&shop);
    done(&mut shop, "INV.RESERVE A ITEMS P 8");
    // The copy has another floor, which another client has written there.
    replica.client(&["SET", "stock:floor:P", "9"]);
    replica.take_stream();
    replica.receive(&shop.take_stream());
    assert_eq!(counters(&replica, "P"), (2, 8));
}

#[test]
fn overdue_units_are_released_until_the_rest_suffices_above_the_floor() {
    let mut shop = shop("10");
    done(&mut shop, "INV.FLOOR P 3");
    for id in ["A", "B", "C"] {
        done(&mut shop, &format!("INV.RESERVE {id} PX 10 ITEMS P 2"));
    }
    shop.advance(11);
    // 4 are available, of which 1 can be reserved. One of the three is enough.
    done(&mut shop, "INV.RESERVE D PX 1000 ITEMS P 3");
    assert_eq!(counters(&shop, "P"), (3, 7));
    assert_eq!(ask(&mut shop, "INV.RESERVE E ITEMS P 5"), "INSUFFICIENT P requested 5, available 4");
    assert_eq!(shop.clock, BEGIN + 11);
}

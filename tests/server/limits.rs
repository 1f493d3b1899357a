//! Limits per buyer on real servers: a race, restarts, replicas, clusters, users.

use std::thread;
use std::time::Duration;

use crate::books::Books;
use crate::dice::Dice;
use crate::harness::{SOON, Server, code, json, wait_for, wait_until};
use crate::shards::Cluster;
use crate::shop::{shop, shop_with};

const BUYERS: u64 = 50;
const LIMIT: i64 = 2;
const UNITS: i64 = 100;

/// Wants one unit more than the limit allows. Now and then it dies before it reads an answer, and sends the same again; and
/// now and then it never pays, so that the next try has to wait for the deadline.
fn buyer(server: &Server, number: u64) -> i64 {
    let mut dice = Dice::new(number);
    let mut client = server.connect();
    let mut bought = 0;
    let mut ask_until_answered = |dice: &mut Dice, call: &str| loop {
        if dice.one_in(3) {
            client.send(call);
            client = server.connect();
        } else {
            return client.try_ask(call);
        }
    };
    for attempt in 0..10_000 {
        let id = format!("cust{number}-{attempt}");
        let reserve = format!("INV.RESERVE {id} PX 300 BUYER cust{number} ITEMS PS5 1");
        match ask_until_answered(&mut dice, &reserve) {
            Ok(_) if dice.one_in(4) => continue,
            Ok(_) => {}
            Err(refusal) => {
                assert!(
                    ["LIMIT", "INSUFFICIENT", "EXPIRED", "TRYAGAIN"].contains(&code(&refusal)),
                    "{refusal}"
                );
                if bought == LIMIT && code(&refusal) == "LIMIT" {
                    return bought;
                }
                thread::sleep(Duration::from_millis(10));
                continue;
            }
        }
        match ask_until_answered(&mut dice, &format!("INV.COMMIT {id}")) {
            Ok(_) => bought += 1,
            Err(refusal) => assert_eq!(code(&refusal), "EXPIRED", "{refusal}"),
        }
    }
    panic!("buyer {number} is never told that the limit is reached")
}

#[test]
fn fifty_buyers_who_race_die_and_retry_get_two_units_each_and_all_units_are_sold() {
    let (server, mut shop) = shop(&[("PS5", UNITS)]);
    shop.ask(format!("INV.LIMIT PS5 {LIMIT}"));
    let bought: i64 = thread::scope(|scope| {
        let server = &server;
        let buyers: Vec<_> = (0..BUYERS).map(|number| scope.spawn(move || buyer(server, number))).collect();
        buyers.into_iter().map(|buyer| buyer.join().expect("no buyer fails")).sum()
    });
    assert_eq!(bought, UNITS);
    wait_for("every abandoned reservation has expired", SOON, (0, 0), || shop.counters("PS5"));
    let books = Books::balanced(&mut shop);
    assert_eq!(books.sold["PS5"], UNITS);
    for number in 0..BUYERS {
        let quota = shop.ask(format!("INV.QUOTA PS5 cust{number}"));
        assert_eq!(quota, json!({"limit": 2, "held": 0, "bought": 2, "left": 0}), "buyer {number}");
    }
}

/// macrozheng/mall#271: in a flash sale, each user shall buy only as many units as are set, and no more after that. There is a
/// field for the number (`flash_promotion_limit`), but it is unclear whether anything keeps a user from buying more.
#[test]
fn in_a_flash_sale_a_user_can_only_buy_the_number_that_is_set_and_no_more_after_that() {
    let (_server, mut shop) = shop(&[("flash", 100)]);
    shop.ask("INV.LIMIT flash 2");
    // Not in one order, not in several, and not in two carts at the same time.
    assert_eq!(code(&shop.refusal("INV.RESERVE o1 BUYER u1 ITEMS flash 3")), "LIMIT");
    shop.ask("INV.RESERVE o2 BUYER u1 ITEMS flash 1");
    shop.ask("INV.RESERVE o3 BUYER u1 ITEMS flash 1");
    assert_eq!(code(&shop.refusal("INV.RESERVE o4 BUYER u1 ITEMS flash 1")), "LIMIT");
    shop.ask("INV.COMMIT o2");
    shop.ask("INV.COMMIT o3");
    assert_eq!(
        shop.refusal("INV.RESERVE o5 BUYER u1 ITEMS flash 1"),
        "LIMIT flash buyer u1 requested 1, may take 0 more (limit 2)"
    );
    // Nor anonymously.
    assert_eq!(code(&shop.refusal("INV.RESERVE o6 ITEMS flash 1")), "ERR");
    shop.ask("INV.RESERVE o7 BUYER u2 ITEMS flash 2");
    assert_eq!(shop.counters("flash"), (96, 2));
}

#[test]
fn limits_and_quotas_outlive_every_restart() {
    for options in [&["appendonly yes", "appendfsync always"][..], &["save 3600 1"]] {
        let (mut server, mut shop) = shop_with(options, &[("P", 10)]);
        shop.ask("INV.LIMIT P 3");
        shop.ask("INV.RESERVE A EX 900 BUYER ann ITEMS P 1");
        shop.ask("INV.RESERVE B EX 900 BUYER ann ITEMS P 1");
        shop.ask("INV.COMMIT B");
        server.shut_down_saving();
        server.start_again();
        let mut shop = server.connect();
        wait_until("the index is complete", SOON, || shop.info("inv", "inv_index_ready") == "1");
        assert_eq!(shop.ask("INV.QUOTA P ann"), json!({"limit": 3, "held": 1, "bought": 1, "left": 1}));
        assert_eq!(code(&shop.refusal("INV.RESERVE C ITEMS P 1")), "ERR");
        assert_eq!(code(&shop.refusal("INV.RESERVE C BUYER ann ITEMS P 2")), "LIMIT");
        assert_eq!(shop.ask("INV.AUDIT P@@ann")["drift"], 0);
        shop.ask("INV.ROLLBACK A");
        assert_eq!(shop.ask("INV.QUOTA P ann")["left"], 2);
        Books::balanced(&mut shop);
    }
}

#[test]
fn a_promoted_replica_goes_on_with_the_same_limits() {
    let (server, mut shop) = shop(&[("P", 10), ("Q", 10)]);
    shop.ask("INV.LIMIT P 3");
    let replica = server.replica();
    shop.ask("INV.LIMIT Q 1");
    shop.ask("INV.RESERVE A PX 700 BUYER ann ITEMS P 2 Q 1");
    shop.ask("INV.RESERVE B EX 900 BUYER ann ITEMS P 1");
    shop.ask("INV.COMMIT B");
    replica.catch_up_with(&server);
    let mut other = replica.connect();
    assert_eq!(other.ask("INV.QUOTA P ann"), json!({"limit": 3, "held": 2, "bought": 1, "left": 0}));
    other.ask("REPLICAOF NO ONE");
    assert_eq!(code(&other.refusal("INV.RESERVE C BUYER ann ITEMS Q 1")), "LIMIT");
    wait_for("the deadline is kept", SOON, 2, || other.ask("INV.QUOTA P ann")["left"].as_i64().unwrap());
    assert_eq!(other.ask("KEYS *Q@@*"), json!([]));
    Books::balanced(&mut other);
}

#[test]
fn a_limit_moves_with_its_database_and_goes_with_a_flush() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.LIMIT P 1");
    shop.ask("SWAPDB 0 1");
    shop.ask("SET stock:available:P 10");
    shop.ask("INV.RESERVE A ITEMS P 1");
    shop.ask("SELECT 1");
    assert_eq!(code(&shop.refusal("INV.RESERVE A ITEMS P 1")), "ERR");
    shop.ask("MOVE stock:limit:P 0");
    shop.ask("INV.RESERVE A ITEMS P 1");
    shop.ask("SELECT 0");
    assert_eq!(code(&shop.refusal("INV.RESERVE B ITEMS P 1")), "ERR");
    let restore = "redis.call('RESTORE', 'stock:limit:R', 0, redis.call('DUMP', 'stock:limit:P'))";
    shop.ask(["EVAL", restore, "0"]);
    shop.ask("SET stock:available:R 5");
    assert_eq!(code(&shop.refusal("INV.RESERVE B ITEMS R 1")), "ERR");
    shop.ask("COPY stock:limit:R stock:limit:S");
    shop.ask("SET stock:available:S 5");
    assert_eq!(code(&shop.refusal("INV.RESERVE B ITEMS S 1")), "ERR");
    shop.ask("FLUSHDB");
    shop.ask("SET stock:available:P 5");
    shop.ask("INV.RESERVE B ITEMS P 1");
}

#[test]
fn a_slot_moves_with_its_limits_and_the_quotas_of_its_buyers() {
    let cluster = Cluster::start(2);
    let home = cluster.owner("P");
    let mut shop = cluster.masters[home].connect();
    shop.ask("INV.ADJUST P 10");
    shop.ask("INV.LIMIT P 3");
    // A buyer whose name would be in another slot.
    shop.ask("INV.RESERVE {P}:A PX 5000 BUYER {ann}@@x ITEMS P 2");
    shop.ask("INV.RESERVE {P}:B BUYER {ann}@@x ITEMS P 1");
    shop.ask("INV.COMMIT {P}:B");
    for to in [1 - home, home] {
        cluster.move_slot("P", to);
        let mut new = cluster.masters[to].connect();
        assert_eq!(new.ask("INV.QUOTA P {ann}@@x"), json!({"limit": 3, "held": 2, "bought": 1, "left": 0}));
        assert_eq!(code(&new.refusal("INV.RESERVE {P}:C BUYER {ann}@@x ITEMS P 1")), "LIMIT");
        assert_eq!(code(&new.refusal("INV.RESERVE {P}:C ITEMS P 1")), "ERR");
        assert_eq!(new.ask("INV.AUDIT {P}@@{ann}@@x")["drift"], 0);
        cluster.check_keys();
    }
    let mut shop = cluster.shop("P");
    wait_for("the deadline is kept", Duration::from_secs(10), json!(2), || {
        shop.ask("INV.QUOTA P {ann}@@x")["left"].clone()
    });
    assert_eq!(shop.ask("INV.ADJUST {P}@@{ann}@@x 1"), 0);
    assert_eq!(shop.ask("KEYS *@@*"), json!([]));
    cluster.check_keys();
}

#[test]
fn in_a_transaction_and_a_script_the_limit_holds_as_well() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.LIMIT P 2");
    let replies = shop.burst(&[
        "MULTI",
        "INV.RESERVE A BUYER ann ITEMS P 2",
        "INV.RESERVE B BUYER ann ITEMS P 1",
        "DEL reservation:A",
        "INV.RESERVE B BUYER ann ITEMS P 1",
        "INV.LIMIT P 3",
        "INV.RESERVE B BUYER ann ITEMS P 1",
        "EXEC",
    ]);
    let answers = replies[7].as_array().expect("answers");
    assert!(answers[1].as_str().unwrap().starts_with("-LIMIT"), "{answers:?}");
    assert!(answers[3].as_str().unwrap().starts_with("-LIMIT"), "{answers:?}");
    assert_eq!(answers[5]["reservation_id"], "B");
    assert_eq!(shop.ask("INV.QUOTA P ann"), json!({"limit": 3, "held": 3, "bought": 0, "left": 0}));
}

#[test]
fn a_refusal_of_a_limit_leaves_watchers_alone_and_is_counted() {
    let (server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.LIMIT P 1");
    let mut other = server.connect();
    other.ask("WATCH stock:available:P stock:limit:P stock:available:P@@ann stock:reserved:P@@ann");
    assert_eq!(code(&shop.refusal("INV.RESERVE A BUYER ann ITEMS P 2")), "LIMIT");
    assert_eq!(code(&shop.refusal("INV.RESERVE A ITEMS P 1")), "ERR");
    shop.ask("INV.QUOTA P ann");
    other.ask("MULTI");
    other.ask("PING");
    assert_eq!(other.ask("EXEC"), json!(["PONG"]));
    assert_eq!(shop.info("inv", "inv_refused_limit_total"), "1");
}

//! Many clients at once, some of which die: nothing is sold twice, nothing is lost.

use std::collections::BTreeSet;
use std::thread;

use crate::harness::{Client, SOON, Server, code, json, wait_for};
use crate::shop::{Dice, shop};

const CLIENTS: u64 = 50;
const UNITS: i64 = 100;
/// Reservations that each client makes, whether there is stock or not.
const ROUNDS: u64 = 30;

/// Reserves, and then commits, rolls back, forgets or dies; the ids whose COMMIT was answered `OK`.
fn customer(server: &Server, number: u64) -> BTreeSet<String> {
    let mut dice = Dice::new(number);
    let mut client = server.connect();
    let mut open: Vec<String> = Vec::new();
    let mut sold = BTreeSet::new();
    for round in 0..ROUNDS {
        let id = format!("{number}-{round}");
        let (life, units) = (5 + dice.roll(60), 1 + dice.roll(3));
        match client.try_ask(format!("INV.RESERVE {id} PX {life} ITEMS P {units}")) {
            Ok(_) => open.push(id),
            Err(refusal) => assert_eq!(code(&refusal), "INSUFFICIENT", "{refusal}"),
        }
        if open.is_empty() || dice.roll(3) == 0 {
            // It is settled later, perhaps too late.
            continue;
        }
        let id = open.swap_remove(usize::try_from(dice.roll(open.len() as u64)).expect("a small number"));
        match dice.roll(20) {
            0..4 => {
                if client.try_ask(format!("INV.COMMIT {id}")).is_ok() {
                    sold.insert(id);
                }
            }
            4..11 => assert_eq!(client.ask(format!("INV.ROLLBACK {id}")), "OK"),
            11..14 => {}
            // It dies before it has read the answer, comes back and asks again.
            14..16 => {
                client = die_while(client, server, &format!("INV.COMMIT {id}"));
                if client.try_ask(format!("INV.COMMIT {id}")).is_ok() {
                    sold.insert(id);
                }
            }
            16..18 => {
                client = die_while(client, server, &format!("INV.ROLLBACK {id}"));
                assert_eq!(client.ask(format!("INV.ROLLBACK {id}")), "OK");
            }
            // It dies and never asks.
            18 => client = die_while(client, server, &format!("INV.COMMIT {id}")),
            _ => client = die_while(client, server, &format!("INV.RESERVE {id}-again PX 20 ITEMS P 2")),
        }
    }
    sold
}

fn die_while(mut client: Client, server: &Server, command: &str) -> Client {
    client.send(command);
    drop(client);
    server.connect()
}

#[test]
fn fifty_clients_racing_for_a_hundred_units_sell_or_leave_exactly_a_hundred() {
    let (server, mut shop) = shop(&[("P", UNITS)]);

    let sold: BTreeSet<String> = thread::scope(|scope| {
        let server = &server;
        let customers: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || customer(server, n))).collect();
        customers.into_iter().flat_map(|customer| customer.join().expect("no customer fails")).collect()
    });
    wait_for("all that was abandoned is back", SOON, 0, || shop.counters("P").1);
    assert_eq!(shop.ask("KEYS reservation:*"), json!([]));

    let (committed, units) = sales(&mut shop);
    assert!(sold.is_subset(&committed), "sold, but not committed: {:?}", sold.difference(&committed));
    let (available, reserved) = shop.counters("P");
    assert_eq!((units + available, reserved), (UNITS, 0), "{units} sold, {available} available");
    assert!(units > 0 && committed.len() > 10, "they did buy: {committed:?}");
}

/// All sales that are remembered: their ids, and the sum of their units.
fn sales(shop: &mut Client) -> (BTreeSet<String>, i64) {
    let mut ids = BTreeSet::new();
    let mut units = 0;
    for key in shop.ask("KEYS inventory:outcome:*").as_array().expect("an array") {
        let outcome = shop.document(key.as_str().expect("a name"));
        if outcome["state"] == "committed" {
            ids.insert(outcome["reservation_id"].as_str().expect("an id").to_owned());
            units += outcome["items"][0]["quantity"].as_i64().expect("a number");
        }
    }
    (ids, units)
}

#[test]
fn the_same_order_sent_by_many_is_one_order() {
    let (server, mut shop) = shop(&[("P", UNITS)]);
    let together = |command: &'static str| {
        thread::scope(|scope| {
            let server = &server;
            let clients: Vec<_> =
                (0..CLIENTS).map(|_| scope.spawn(move || server.connect().ask(command))).collect();
            let mut replies = clients.into_iter().map(|client| client.join().expect("no client fails"));
            let first = replies.next().expect("a reply");
            assert!(replies.all(|reply| reply == first), "{command}: all get the same answer");
        });
    };
    together("INV.RESERVE R1 EX 900 ITEMS P 5");
    assert_eq!(shop.counters("P"), (95, 5));
    together("INV.COMMIT R1");
    assert_eq!(shop.counters("P"), (95, 0));
}

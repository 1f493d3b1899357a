//! Many clients at once, some of which disconnect before they read an answer: no unit is sold twice or lost.

use std::thread;

use crate::books::Books;
use crate::customers::Told;
use crate::dice::Dice;
use crate::harness::{SOON, Server, code, json, wait_for};
use crate::lines::{Life, Lines};
use crate::shop::shop;

const CLIENTS: u64 = 50;
const UNITS: i64 = 300;
/// The calls of each client.
const CALLS: usize = 60;

/// Sends calls about P, and disconnects after some of them without reading the answer. Returns what it was told, and the number
/// of refusals for lack of stock.
fn customer(server: &Server, number: u64) -> (Told, usize) {
    let mut dice = Dice::new(number);
    let mut client = server.connect();
    let lines = Lines::new(|dice| Life::For(4 + dice.up_to(300))).with_prefix(format!("{number}-"));
    let calls = &[(4, "RESERVE"), (2, "COMMIT"), (1, "COMMIT ITEMS"), (1, "ROLLBACK"), (1, "GET")];
    let mut lines = lines.with_skus(&["P"]).with_calls(calls);
    let (mut told, mut refused) = (Told::default(), 0);
    for _ in 0..CALLS {
        let line = lines.call(&mut dice);
        told.send(&line);
        if dice.one_in(6) {
            // The server reads this call before anything that arrives through the new connection.
            client.send(line.join(" "));
            client = server.connect();
            continue;
        }
        let answer = client.try_ask(line.join(" "));
        refused += usize::from(answer.as_ref().is_err_and(|refusal| code(refusal) == "INSUFFICIENT"));
        told.hear(&line, &answer).unwrap_or_else(|error| panic!("{error}"));
    }
    (told, refused)
}

#[test]
fn fifty_clients_racing_for_few_units_sell_or_leave_exactly_these() {
    let (server, mut shop) = shop(&[("P", UNITS)]);

    let (mut told, mut refused) = (Told::default(), 0);
    thread::scope(|scope| {
        let server = &server;
        let customers: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || customer(server, n))).collect();
        for customer in customers {
            let (of_one, refused_to_one) = customer.join().expect("no customer fails");
            told.append(of_one);
            refused += refused_to_one;
        }
    });
    wait_for("every abandoned reservation has expired", SOON, 0, || shop.counters("P").1);
    assert_eq!(shop.ask("KEYS reservation:*"), json!([]));

    for id in told.ids() {
        let found = shop.ask(["INV.GET", id]);
        assert!(told.allows(id, &found), "{id} is {found}, of {}", told.states(id));
    }
    let books = Books::read(&mut shop);
    let (available, sold) = (books.available["P"], books.sold["P"]);
    assert_eq!(available + sold, UNITS, "{sold} sold, {available} available");
    let sales = books.ended.values().filter(|state| *state == "committed").count();
    assert!(sales > 10 && refused > 10, "{sales} sales and {refused} refusals are no race");
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
    assert_eq!(shop.counters("P"), (UNITS - 5, 5));
    together("INV.COMMIT R1");
    assert_eq!(shop.counters("P"), (UNITS - 5, 0));
}

//! What is low.

use crate::harness::{Server, json};
use crate::inv;

#[test]
fn what_is_low_is_listed_and_the_exit_code_says_whether_there_is_any() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET FULL AVAILABLE 500");
    let done = inv(&server, &["low"]);
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (Some(0), "", ""));
    assert_eq!(inv(&server, &["low", "--json"]).json(), json!([]));

    shop.ask("INV.SET SHOE AVAILABLE 9");
    shop.ask("INV.SET OUT AVAILABLE 3");
    shop.ask("INV.RESERVE R ITEMS OUT 3");
    shop.ask("INV.SET SEAT AVAILABLE 0");
    shop.ask("INV.THRESHOLD SEAT OFF");
    shop.ask("SET stock:available:BROKEN many");
    let done = inv(&server, &["low"]);
    assert_eq!(done.code, Some(1));
    let lines: Vec<Vec<&str>> = done.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["product", "reservable", "available", "reserved", "threshold"]);
    assert_eq!((lines[1][0], lines[1][1]), ("BROKEN", "WRONGTYPE"));
    assert_eq!(lines[2], ["OUT", "0", "0", "3", "10"]);
    assert_eq!(lines[3], ["SEAT", "0", "0", "0", "off"]);
    assert_eq!(lines[4], ["SHOE", "9", "9", "0", "10"]);
    assert_eq!(lines.len(), 5);

    let done = inv(&server, &["low", "--match", "S*", "--json"]);
    assert_eq!(
        done.json(),
        json!([
            {"product": "SEAT", "reservable": 0, "available": 0, "reserved": 0, "threshold": -1},
            {"product": "SHOE", "reservable": 9, "available": 9, "reserved": 0, "threshold": 10},
        ])
    );
}

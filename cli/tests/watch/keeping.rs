//! What is kept of the readings, and what keys do.

use std::collections::BTreeSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::{NOW, alert, answer, info, know, names, new_state, press, reservation, stock};
use redis_inventory_cli::watch::lists::{Cursor, Panel};
use redis_inventory_cli::watch::rates::Rates;
use redis_inventory_cli::watch::reading::{Absence, Change, Reading, STOCKS, Search, Totals};
use redis_inventory_cli::watch::state::{MOST_ALERTS, MOST_PRODUCTS};

fn change(number: i64, event: &str, product: &str, reservation: Option<&str>) -> Change {
    Change {
        entry: format!("{number}-0"),
        event: event.to_owned(),
        product: product.to_owned(),
        reservation: reservation.map(str::to_owned),
        timestamp: number,
    }
}

#[test]
fn products_are_known_by_the_walk_reservations_alerts_the_feed_and_by_name() {
    let mut state = new_state(&["NAMED"]);
    let reading = Reading {
        nearest: vec![reservation("R1", 60, &[("NEAR", 1), ("HOUSED@A", 1)])],
        stock: vec![("FAR".to_owned(), Ok(stock(50, 0))), ("BROKEN".to_owned(), Err(Absence::Unreadable))],
        alerts: vec![alert("LOW", "LOW_STOCK", NOW)],
        changes: vec![change(1, "adjusted", "FED", None)],
        is_cut: true,
        walk: Some("7-7".to_owned()),
        ..Reading::default()
    };
    state.take(reading, NOW);
    let ask = state.ask(NOW);
    assert_eq!(
        BTreeSet::from_iter(ask.products.iter().map(String::as_str)),
        BTreeSet::from(["FAR", "FED", "HOUSED", "LOW", "NAMED", "NEAR"])
    );
    assert_eq!((ask.walk.as_str(), ask.since, ask.after.as_deref()), ("7-7", NOW, Some("1-0")));

    // A product that the server does not know is shown only if the user has named it.
    state.take(answer(&ask, |name| (name == "NEAR").then(|| stock(5, 1))), NOW);
    assert_eq!(names(&state), ["NAMED", "NEAR"]);
    assert_eq!(state.ask(NOW).products.len(), 2);
}

#[test]
fn the_least_available_stand_first_and_a_key_changes_the_order() {
    let mut state = new_state(&[]);
    know(&mut state, &["A", "B", "C"]);
    let ask = state.ask(NOW);
    let units = |name: &str| match name {
        "A" => stock(30, 5),
        "B" => stock(0, 1),
        _ => stock(2, 9),
    };
    state.take(answer(&ask, |name| Some(units(name))), NOW);
    assert_eq!(names(&state), ["B", "C", "A"]);
    press(&mut state, KeyCode::Char('s'));
    assert_eq!(names(&state), ["C", "A", "B"], "the most reserved");
    press(&mut state, KeyCode::Char('s'));
    assert_eq!(names(&state), ["A", "B", "C"], "by name");
    press(&mut state, KeyCode::Char('s'));
    assert_eq!(names(&state), ["B", "C", "A"]);
}

#[test]
fn a_selected_product_stays_selected_when_its_row_changes() {
    let mut state = new_state(&[]);
    know(&mut state, &["A", "B", "C", "D"]);
    let ask = state.ask(NOW);
    let place = |name: &str| i64::from(name.as_bytes()[0]);
    state.take(answer(&ask, |name| Some(stock(place(name), 0))), NOW);
    state.cursor(Panel::Products).fit(4, 4);
    press(&mut state, KeyCode::Down);
    state.take(answer(&ask, |name| Some(stock(-place(name), 0))), NOW);
    assert_eq!(names(&state), ["D", "C", "B", "A"]);
    assert_eq!(state.cursor(Panel::Products).at, 2, "B");
    // The first row is not a selected product.
    press(&mut state, KeyCode::Home);
    state.take(answer(&ask, |name| Some(stock(place(name), 0))), NOW);
    assert_eq!(state.cursor(Panel::Products).at, 0);
}

#[test]
fn a_reading_requests_a_bounded_number_of_products_those_on_the_screen_first_and_the_others_in_turn() {
    let mut state = new_state(&[]);
    let all: Vec<String> = (0..1000).map(|number| format!("P-{number:04}")).collect();
    know(&mut state, &all.iter().map(String::as_str).collect::<Vec<_>>());
    let mut asked = BTreeSet::new();
    for _ in 0..6 {
        let ask = state.ask(NOW);
        assert!(ask.products.len() <= STOCKS);
        asked.extend(ask.products.clone());
        state.take(answer(&ask, |_| Some(stock(50, 1))), NOW);
        let length = state.length(Panel::Products);
        *state.cursor(Panel::Products) = Cursor { at: 105, top: 100, height: 20 };
        state.cursor(Panel::Products).fit(length, 20);
        let shown: Vec<String> = names(&state)[100..120].iter().map(|&name| name.to_owned()).collect();
        assert_eq!(state.ask(NOW).products[..20], shown[..], "those on the screen");
    }
    assert_eq!(asked.len(), 1000);
    let is_old: Vec<bool> = state.rows().map(|(_, product)| state.is_old(product)).collect();
    assert!(!is_old[100..120].contains(&true), "those on the screen are not old");
}

#[test]
fn the_number_of_products_and_alerts_that_are_kept_is_bounded() {
    let mut state = new_state(&[]);
    for page in 0..12 {
        let id = |number: i64| format!("P-{page}-{number}");
        let met = (0..1000).map(|number| (id(number), Ok(stock(50, 1)))).collect();
        let alerts = (0..100).map(|number| alert("A", "LOW_STOCK", page * 1000 + number)).collect();
        state.take(Reading { stock: met, alerts, ..Reading::default() }, NOW);
    }
    assert!(state.are_products_cut);
    assert_eq!(state.alerts.len(), MOST_ALERTS);
    let mut known = BTreeSet::new();
    for _ in 0..MOST_PRODUCTS / STOCKS + 2 {
        let ask = state.ask(NOW);
        known.extend(ask.products.clone());
        state.take(answer(&ask, |_| Some(stock(50, 1))), NOW);
    }
    assert_eq!(known.len(), MOST_PRODUCTS);
}

#[test]
fn an_alert_is_listed_once_and_the_newest_first() {
    let mut state = new_state(&[]);
    let old = [alert("P", "LOW_STOCK", 5), alert("P", "OUT_OF_STOCK", 5), alert("P", "LOW_STOCK", 3)];
    state.take(Reading { alerts: old.to_vec(), ..Reading::default() }, NOW);
    assert_eq!(state.ask(NOW).since, 5);
    let new = vec![alert("Q", "LOW_STOCK", 9), alert("P", "OUT_OF_STOCK", 5), alert("P", "LOW_STOCK", 5)];
    state.take(Reading { alerts: new, ..Reading::default() }, NOW);
    let seen: Vec<(i64, &str)> =
        state.alerts.iter().map(|alert| (alert.timestamp, alert.product.as_str())).collect();
    assert_eq!(seen, [(9, "Q"), (5, "P"), (5, "P"), (3, "P")]);
}

#[test]
fn rates_cover_the_last_seconds_and_start_over_with_the_server() {
    let mut state = new_state(&[]);
    let reading = |run: &str, reserved| {
        let totals = Totals { reserved, committed: 7, short: reserved / 10, ..Totals::default() };
        let mut info = info(1, totals);
        run.clone_into(&mut info.run);
        Reading { info: Some(info), ..Reading::default() }
    };
    state.take(reading("one", 1_000_000), NOW);
    assert_eq!(state.rates(), None, "a single sample gives no rate");
    // 100 per second, then 10.
    for second in 1..=20 {
        let reserved = if second <= 10 { 100 * second } else { 1000 + 10 * (second - 10) };
        state.take(reading("one", 1_000_000 + reserved), NOW + i64::try_from(second).unwrap() * 1000);
        if second == 10 {
            assert_eq!(state.rates().unwrap().reserved, 1000);
        }
    }
    let expected = Rates {
        reserved: 100,
        committed: 0,
        rolled_back: 0,
        expired: 0,
        short: Some(10),
        are_at_least: false,
    };
    assert_eq!(state.rates(), Some(expected));
    state.take(reading("two", 3), NOW + 21_000);
    assert_eq!(state.rates(), None);
    state.take(reading("two", 13), NOW + 22_000);
    assert_eq!(state.rates().unwrap().reserved, 100);
}

#[test]
fn without_info_the_feed_tells_rates_and_lines_of_one_reservation_are_one() {
    let mut state = new_state(&[]);
    state.take(Reading::default(), NOW);
    assert_eq!(state.rates(), None, "neither");
    let changes = vec![change(1, "reserved", "P", Some("R0"))];
    state.take(Reading { changes, ..Reading::default() }, NOW + 1000);
    let changes = vec![
        change(2, "reserved", "P", Some("R1")),
        change(2, "reserved", "Q", Some("R1")),
        change(2, "reserved", "P", Some("R2")),
        change(3, "committed", "P", Some("R1")),
        change(3, "committed", "Q", Some("R1")),
        change(4, "committed_late", "Q", Some("R0")),
        change(5, "adjusted", "Q", None),
        change(6, "expired", "P", Some("R2")),
    ];
    state.take(Reading { changes, are_changes_cut: true, ..Reading::default() }, NOW + 2000);
    // 3, 2 and 1 in two seconds, relative to the first reading.
    let expected =
        Rates { reserved: 15, committed: 10, rolled_back: 0, expired: 5, short: None, are_at_least: true };
    assert_eq!(state.rates(), Some(expected));
}

#[test]
fn what_reaches_its_deadline_between_two_readings_has_ended() {
    let mut state = new_state(&[]);
    state.ask(NOW);
    // The third was overdue when it was read: a paused server releases nothing.
    let nearest = vec![reservation("R3", -5, &[]), reservation("R1", 1, &[]), reservation("R2", 60, &[])];
    state.take(Reading { nearest, ahead: Some(2), ..Reading::default() }, NOW);
    state.pass(NOW + 900);
    assert_eq!(state.nearest.len(), 3);
    state.pass(NOW + 999);
    let ids: Vec<&str> = state.nearest.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["R3", "R2"], "by the server's clock, which is ahead");
}

#[test]
fn the_walk_over_the_products_continues_and_begins_again_after_its_end() {
    let mut state = new_state(&[]);
    assert_eq!((state.ask(NOW).walk.as_str(), state.is_finding_products()), ("0", false), "not read yet");
    let page = |walk: Option<&str>| Reading { walk: walk.map(str::to_owned), ..Reading::default() };
    state.take(page(Some("c5")), NOW);
    assert_eq!((state.ask(NOW).walk.as_str(), state.is_finding_products()), ("c5", true));
    state.take(page(Some("0")), NOW);
    assert_eq!((state.ask(NOW).walk.as_str(), state.is_finding_products()), ("0", false));
    state.take(page(Some("c5")), NOW);
    assert_eq!((state.ask(NOW).walk.as_str(), state.is_finding_products()), ("c5", false));

    // A user who may not walk.
    let mut state = new_state(&[]);
    state.take(page(None), NOW);
    assert_eq!((state.ask(NOW).walk.as_str(), state.is_finding_products()), ("0", false));
}

#[test]
fn enter_searches_the_reservations_of_a_product_and_escape_ends_it() {
    let mut state = new_state(&["P"]);
    press(&mut state, KeyCode::Enter);
    let search = |known: &[&str], from: &str| {
        let known = known.iter().map(|&id| id.to_owned()).collect();
        Some(Search { product: "P".to_owned(), known, from: from.to_owned() })
    };
    assert_eq!(state.ask(NOW).of, search(&[], "0"));
    // The earlier reading was requested before the selection.
    know(&mut state, &["X"]);
    assert!(state.nearest.is_empty() && state.is_searching);
    let found = |ids: &[&str], from: &str| Reading {
        nearest: ids.iter().map(|id| reservation(id, 60, &[("P", 1)])).collect(),
        of: Some(("P".to_owned(), from.to_owned())),
        ..Reading::default()
    };
    state.take(found(&["R1"], "8-8"), NOW);
    assert!(state.is_searching);
    assert_eq!(state.ask(NOW).of, search(&["R1"], "8-8"));
    state.take(found(&["R1", "R2"], "0"), NOW);
    assert!(!state.is_searching);
    assert_eq!(state.ask(NOW).of, search(&["R1", "R2"], "0"), "and from the start");
    state.take(found(&["R1", "R2"], "8-8"), NOW);
    assert!(!state.is_searching, "it has reached the end once");

    press(&mut state, KeyCode::Esc);
    assert_eq!((state.ask(NOW).of, state.nearest.len()), (None, 0));
    // A second Enter ends the selection as well.
    press(&mut state, KeyCode::Enter);
    press(&mut state, KeyCode::Enter);
    assert_eq!(state.of, None);
}

#[test]
fn what_is_wrong_is_said_with_its_time() {
    let mut state = new_state(&[]);
    state.ask(NOW);
    assert_eq!(state.complaint(NOW + 1000), None);
    assert_eq!(state.complaint(NOW + 3000).unwrap(), "connecting for 3 s");
    state.take(Reading::default(), NOW);
    state.ask(NOW);
    assert_eq!(state.complaint(NOW + 4000).unwrap(), "waiting for an answer for 4 s");
    state.lose("Connection refused".to_owned(), NOW + 5000);
    state.lose("Connection refused".to_owned(), NOW + 6000);
    let said = "not connected for 7 s, trying again: Connection refused";
    assert_eq!(state.complaint(NOW + 12_000).unwrap(), said);
    state.take(Reading::default(), NOW + 12_000);
    assert_eq!(state.complaint(NOW + 12_000), None);
}

#[test]
fn keys_move_in_the_list_that_has_them() {
    let mut state = new_state(&[]);
    let all: Vec<String> = (0..100).map(|number| format!("R-{number}")).collect();
    let nearest = all.iter().map(|id| reservation(id, 600, &[])).collect();
    state.take(Reading { nearest, ..Reading::default() }, NOW);
    press(&mut state, KeyCode::Char('2'));
    state.cursor(Panel::Reservations).fit(100, 10);
    for (code, at, top) in [
        (KeyCode::Up, 0, 0),
        (KeyCode::Down, 1, 0),
        (KeyCode::PageDown, 11, 2),
        (KeyCode::Char('j'), 12, 3),
        (KeyCode::Char('k'), 11, 3),
        (KeyCode::End, 99, 90),
        (KeyCode::Down, 99, 90),
        (KeyCode::PageUp, 89, 89),
        (KeyCode::Home, 0, 0),
    ] {
        press(&mut state, code);
        let cursor = state.cursor(Panel::Reservations);
        assert_eq!((cursor.at, cursor.top), (at, top), "{code:?}");
    }
    // The list becomes shorter.
    press(&mut state, KeyCode::End);
    state.cursor(Panel::Reservations).fit(3, 10);
    assert_eq!(*state.cursor(Panel::Reservations), Cursor { at: 2, top: 0, height: 10 });
    state.cursor(Panel::Reservations).fit(0, 0);
    assert_eq!(*state.cursor(Panel::Reservations), Cursor { at: 0, top: 0, height: 0 });

    for (code, focus) in [
        (KeyCode::Tab, Panel::Alerts),
        (KeyCode::Tab, Panel::Products),
        (KeyCode::BackTab, Panel::Alerts),
        (KeyCode::BackTab, Panel::Reservations),
        (KeyCode::Char('3'), Panel::Alerts),
    ] {
        press(&mut state, code);
        assert_eq!(state.focus, focus, "{code:?}");
    }
}

#[test]
fn q_and_ctrl_c_end_it_from_the_help_too() {
    let mut state = new_state(&[]);
    press(&mut state, KeyCode::Char('?'));
    assert!(state.is_help);
    press(&mut state, KeyCode::Char('x'));
    assert!(!state.is_help);
    press(&mut state, KeyCode::Char('?'));
    assert!(!press(&mut state, KeyCode::Char('q')));
    assert!(!state.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(press(&mut state, KeyCode::Char('c')));
}

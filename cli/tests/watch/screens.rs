//! What is drawn on the screen.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;
use ratatui::style::{Color, Modifier};

use crate::{NOW, alert, answer, info, know, new_state, press, reservation, stock};
use redis_inventory_cli::stock::{Place, Stock, Units};
use redis_inventory_cli::watch::look::Look;
use redis_inventory_cli::watch::reading::{Absence, Reading, Totals};
use redis_inventory_cli::watch::state::State;
use redis_inventory_cli::watch::texts::{count, fit, plain, tenths, time_ago, time_left};
use redis_inventory_cli::watch::view::{bar_parts, draw};

const FULL: Look = Look { is_utf8: true, is_coloured: true };

fn drawn(state: &mut State, width: u16, height: u16, look: Look) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, NOW, look)).unwrap();
    terminal.backend().clone()
}

/// The lines of a screen.
fn screen(state: &mut State, width: u16, height: u16) -> Vec<String> {
    lines(&drawn(state, width, height, FULL))
}

fn lines(backend: &TestBackend) -> Vec<String> {
    let buffer = backend.buffer();
    let line = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..buffer.area.height).map(|y| line(y).trim_end().to_owned()).collect()
}

#[track_caller]
fn assert_shows(screen: &[String], text: &str) {
    assert!(screen.iter().any(|line| line.contains(text)), "{text:?} is not in\n{}", screen.join("\n"));
}

/// A shop with an example of everything.
fn shop() -> State {
    let mut state = new_state(&["GHOST"]);
    let mut cart = reservation("R1", 62, &[("SHOE", 2), ("LACE@A", 1)]);
    cart.data = "cart 77".to_owned();
    let nearest = vec![reservation("order-01a20435-fa0d-757e-bfd2-b4245a6bb93b", 3, &[("LACE@B", 5)]), cart];
    for (reserved, moment) in [(100, NOW - 5000), (1334, NOW)] {
        let totals = Totals { reserved, committed: reserved / 2, short: reserved / 100, ..Totals::default() };
        state.ask(moment);
        let mut laces = stock(8, 42);
        let place = |warehouse: &str, available, reserved| Place {
            warehouse: warehouse.to_owned(),
            units: Units { available, reserved, reservable: available },
            ..Place::default()
        };
        laces.warehouses = vec![place("A", 8, 2), place("B", 0, 40)];
        let reading = Reading {
            info: Some(info(1_000_000, totals)),
            nearest: nearest.clone(),
            is_cut: true,
            walk: Some("c5".to_owned()),
            stock: vec![
                ("SHOE".to_owned(), Ok(stock(1200, 300))),
                ("LACE".to_owned(), Ok(laces)),
                ("SOLD".to_owned(), Ok(stock(0, 0))),
                ("GHOST".to_owned(), Err(Absence::NotHere)),
            ],
            alerts: vec![alert("LACE", "LOW_STOCK", NOW - 90_000), alert("SOLD", "OUT_OF_STOCK", NOW - 1000)],
            notes: vec!["this user may not see the feed".to_owned()],
            ..Reading::default()
        };
        state.take(reading, moment);
    }
    state
}

/// A whole screen, without the blanks at the ends of lines.
#[test]
fn at_80_by_24_everything_is_there() {
    let expected = include_str!("80x24.txt");
    let seen = screen(&mut shop(), 80, 24).join("\n") + "\n";
    assert!(seen == expected, "this is not 80x24.txt:\n{seen}");
}

#[test]
fn a_small_screen_shows_the_list_that_has_the_keys() {
    let mut state = shop();
    let first = screen(&mut state, 40, 10);
    assert_shows(&first, " 1 Products: 4, least available first ─");
    assert_shows(&first, "1,200   300");
    assert!(!first.join("").contains("Reservations"));
    press(&mut state, KeyCode::Char('2'));
    let second = screen(&mut state, 40, 10);
    assert_shows(&second, "62 s R1");
    assert!(!second.join("").contains("Products"));
    press(&mut state, KeyCode::Char('3'));
    assert_shows(&screen(&mut state, 40, 10), "1 s ago OUT_OF_STOCK  SOLD");
}

#[test]
fn a_wide_screen_shows_the_lists_side_by_side() {
    let screen = screen(&mut shop(), 200, 50);
    let line = screen.iter().find(|line| line.contains("1 Products: 4, least available first")).unwrap();
    assert!(line.contains("2 Reservations"), "{line}");
    assert_shows(
        &screen,
        "reserved 247/s   committed 123/s   rolled back 0/s   expired 0/s   insufficient 2.4/s",
    );
    assert_shows(&screen, "order-01a20435-fa0d-757e-bfd2-b4245a6bb93b");
}

#[test]
fn the_reservations_of_a_product_stand_under_its_warehouses() {
    let mut state = shop();
    for code in [KeyCode::Down, KeyCode::Down, KeyCode::Enter] {
        screen(&mut state, 80, 24);
        press(&mut state, code);
    }
    let screen = screen(&mut state, 80, 24);
    assert_shows(&screen, "2 Reservations of LACE: 0 so far");
    assert_shows(&screen, "Searching ...");
    assert_shows(&screen, "available + reserved:  @A 8 + 2   @B 0 + 40");
}

#[test]
fn what_is_wrong_is_on_every_screen() {
    let mut state = shop();
    state.lose("Connection refused (os error 111)".to_owned(), NOW - 12_000);
    for (width, height) in [(80, 24), (40, 10), (40, 2), (40, 1)] {
        assert_shows(&screen(&mut state, width, height), " not connected for 12 s, trying again: C");
    }
    assert_shows(&screen(&mut state, 80, 24), "1,200      300");
}

#[test]
fn an_empty_shop_says_so() {
    let mut state = new_state(&[]);
    let before = screen(&mut state, 80, 24);
    assert!(!before.join("").contains("None"), "nothing is known before the first reading");
    state.take(Reading::default(), NOW);
    let screen = screen(&mut state, 80, 24);
    for text in ["There is none yet.", "None is live.", "None is stored.", "rates: not known yet"] {
        assert_shows(&screen, text);
    }
}

#[test]
fn without_a_server_it_says_how_to_start_one() {
    let mut state = new_state(&[]);
    state.lose("Connection refused (os error 111)".to_owned(), NOW);
    let text = "No server with the module has answered yet. make run starts one.";
    assert_shows(&screen(&mut state, 80, 24), text);
    state.take(Reading::default(), NOW);
    state.lose("Connection refused (os error 111)".to_owned(), NOW);
    assert!(
        !screen(&mut state, 80, 24).join("").contains("make run"),
        "the server was there, and may return"
    );
}

#[test]
fn of_a_product_without_stock_the_row_says_why() {
    let mut state = new_state(&["BROKEN", "GHOST", "HIDDEN"]);
    assert!(
        !screen(&mut state, 80, 24).join("").contains("no such"),
        "nothing is known before the first reading"
    );
    let absent = [("BROKEN", Absence::Unreadable), ("GHOST", Absence::NotHere), ("HIDDEN", Absence::Hidden)];
    let stock = absent.map(|(name, absence)| (name.to_owned(), Err(absence))).to_vec();
    state.take(Reading { stock, ..Reading::default() }, NOW);
    let screen = screen(&mut state, 80, 24);
    for row in
        [" BROKEN  cannot be read", " GHOST   no such product here", " HIDDEN  this user may not see it"]
    {
        assert_shows(&screen, row);
    }
}

/// Ids and data from the server, on a terminal that takes the second byte of some characters for a command.
#[test]
fn what_the_terminal_cannot_show_does_not_reach_it() {
    let mut state = new_state(&["曛", "\u{202e}EOHS"]);
    let mut cart = reservation("\u{2066}R\u{2069}1", 60, &[("e\u{301}", 1)]);
    cart.data = "曛 \u{202e}left\u{202c} é".to_owned();
    let reading = Reading {
        nearest: vec![cart],
        alerts: vec![alert("杯", "LOW_STOCK", NOW)],
        notes: vec!["NO 曛\u{202e}".to_owned()],
        ..Reading::default()
    };
    state.take(reading, NOW);
    state.lose("曛\u{202e}".to_owned(), NOW);
    let ascii = lines(&drawn(&mut state, 80, 24, Look { is_utf8: false, is_coloured: true })).join("\n");
    assert!(ascii.is_ascii(), "{ascii}");
    for text in [" ? ", " EOHS", " R1 ", "  ?  left ?", "trying again: ?", "NO ?"] {
        assert!(ascii.contains(text), "{text:?} is not in\n{ascii}");
    }
    let full = screen(&mut state, 80, 24).join("\n");
    assert!(!full.contains(['\u{202e}', '\u{202c}', '\u{2066}', '\u{2069}']), "{full}");
    for text in [" 曛", " EOHS", " R1 ", "left é", "e\u{301} 1"] {
        assert!(full.contains(text), "{text:?} is not in\n{full}");
    }
    assert_eq!(plain("a\u{1b}[2J\u{9b}曛\u{202e}é", false), "a[2J??");
    assert_eq!(plain("a\u{1b}[2J\u{9b}曛\u{202e}é", true), "a[2J曛é");
}

#[test]
fn the_help_covers_everything() {
    let mut state = shop();
    press(&mut state, KeyCode::Char('?'));
    assert_shows(&screen(&mut state, 80, 24), "Enter       show this product's reservations");
    assert_shows(&screen(&mut state, 40, 10), "q, Ctrl-C   quit");
    press(&mut state, KeyCode::Char('?'));
    assert!(!screen(&mut state, 80, 24).join("").contains("Ctrl-C"));
}

#[test]
fn without_colours_and_beyond_ascii_nothing_is_lost() {
    let mut state = shop();
    let plain = drawn(&mut state, 80, 24, Look { is_utf8: false, is_coloured: false });
    let text = lines(&plain).join("\n");
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("# available = reserved . gone") && text.contains("LOW"), "{text}");
    let cells = &plain.buffer().content;
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)), "the selected row");
    let coloured = drawn(&mut state, 80, 24, FULL);
    assert!(coloured.buffer().content.iter().any(|cell| cell.fg == Color::Yellow));
}

/// Extreme ids and numbers, at every size.
#[test]
fn any_size_can_be_drawn() {
    let mut odd = shop();
    let long = "杯子".repeat(40);
    let mut cart = reservation(&long, i64::MAX / 2000, &[(&long, i64::MAX), ("e\u{301}", 1)]);
    cart.data = "\u{202e}right to left".repeat(30);
    let reading = Reading {
        info: Some(info(u64::MAX, Totals { reserved: u64::MAX, ..Totals::default() })),
        nearest: vec![cart, reservation("R", -9, &[])],
        is_cut: true,
        stock: vec![
            (long.clone(), Ok(stock(i64::MAX, i64::MAX))),
            ("SHOE".to_owned(), Ok(stock(i64::MIN, i64::MAX))),
        ],
        alerts: vec![alert(&long, "NEW_TYPE", i64::MIN), alert("P", "LOW_STOCK", i64::MAX)],
        notes: vec![long.clone(), long],
        ..Reading::default()
    };
    odd.take(reading.clone(), NOW + 1);
    odd.take(reading, NOW + 2);
    for (state, name) in [(&mut odd, "odd"), (&mut shop(), "shop"), (&mut new_state(&[]), "empty")] {
        for focus in ['1', '2', '3', '?'] {
            press(state, KeyCode::Char(focus));
            for width in [1, 2, 3, 7, 13, 20, 31, 40, 59, 80, 120] {
                for height in [1, 2, 3, 4, 5, 6, 9, 10, 15, 24] {
                    let screen = screen(state, width, height);
                    assert_eq!(screen.len(), usize::from(height), "{name} {width} {height}");
                }
            }
        }
    }
}

#[test]
fn a_bar_is_as_long_as_the_largest_number_seen() {
    let parts = |available, reserved, most, width| {
        bar_parts(Units { available, reserved, reservable: 0 }, most, width)
    };
    assert_eq!(parts(50, 50, 100, 10), [5, 5]);
    assert_eq!(parts(25, 25, 100, 20), [5, 5], "half of the units are gone");
    assert_eq!(parts(1, 0, 1000, 10), [1, 0], "a single unit is visible");
    assert_eq!(parts(1000, 1, 1001, 10), [9, 1]);
    assert_eq!(parts(0, 0, 0, 10), [0, 0]);
    assert_eq!(parts(-5, 3, 0, 10), [0, 10], "a counter that another client has written");
    assert_eq!(parts(i64::MAX, i64::MAX, i64::MAX, 10), [5, 5]);
    for width in 0..30 {
        for units in 0..200 {
            let [available, reserved] = parts(units, 200 - units, 150, width);
            assert!(available + reserved <= width);
            if width >= 2 {
                assert_eq!([available > 0, reserved > 0], [units > 0, units < 200], "{units} {width}");
            }
        }
    }
}

#[test]
fn numbers_and_times_are_as_people_write_them() {
    assert_eq!([0, 999, 1000, -1_234_567].map(count), ["0", "999", "1,000", "-1,234,567"]);
    assert_eq!([0, 1, 99, 100, 12_345].map(tenths), ["0", "0.1", "9.9", "10", "1,235"]);
    let left = [-1, 0, 1, 1000, 899_001, 5_999_000, 6_000_000, 400_000_000].map(time_left);
    assert_eq!(left, ["due", "due", "1 s", "1 s", "900 s", "5999 s", "1h 40m", "4 d"]);
    assert_eq!(
        [-5, 999, 12_000, i64::MAX].map(time_ago),
        ["0 s ago", "0 s ago", "12 s ago", "106,751,991,167 d ago"]
    );
    let ago = [119_999, 120_000, 173_000, 5_999_999, 6_000_000].map(time_ago);
    assert_eq!(ago, ["119 s ago", "2 min ago", "2 min ago", "99 min ago", "1h 40m ago"]);
}

#[test]
fn what_is_too_long_loses_its_middle() {
    let fits = |text: &str, width| fit(text, width, FULL);
    assert_eq!(fits("order-1", 7), "order-1");
    assert_eq!(fits("order-12345", 7), "ord…345");
    assert_eq!(fits("order-12345", 1), "…");
    assert_eq!(fits("order-12345", 0), "");
    assert_eq!(fits("杯子杯子杯子", 6), "杯…子", "a character of two cells is not split");
    assert_eq!(fit("order-12345", 7, Look { is_utf8: false, is_coloured: true }), "ord~345");
}

#[test]
fn a_product_of_which_only_safety_stock_is_left_is_out() {
    let mut state = new_state(&[]);
    know(&mut state, &["SAFE", "SOON"]);
    let ask = state.ask(NOW);
    let units = |available, reservable| Stock {
        units: Units { available, reserved: 0, reservable },
        threshold: 10,
        ..Stock::default()
    };
    let stock = |name: &str| Some(if name == "SAFE" { units(20, 0) } else { units(-5, 45) });
    state.take(answer(&ask, stock), NOW);
    let screen = screen(&mut state, 80, 24);
    let row = |name: &str| screen.iter().find(|line| line.contains(name)).unwrap().clone();
    assert!(row("SAFE").trim_end().ends_with("0        0 OUT"), "{}", row("SAFE"));
    assert!(row("SOON").trim_end().ends_with("45        0"), "{}", row("SOON"));
}

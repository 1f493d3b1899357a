//! Restarts of every kind: what a data set contained when it was written is there after it is loaded, and what expired in between
//! returns once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::books::{Books, Units, counted, many, sleep_past};
use crate::harness::{
    Client, Contents, LATER, SOON, Server, assert_same, assert_same_data, code, json, module, server_program,
    wait_for, wait_until, wire_code,
};
use crate::shop::shop_with;

/// A way to save and load a data set.
struct Way {
    name: &'static str,
    options: &'static [&'static str],
    /// What is done between the two halves of the day.
    midway: fn(&Server),
    /// Saves the data set, lets the deadline pass and loads it.
    restart: fn(&mut Server, i64),
    /// The load drops overdue records, and the repair returns their units.
    drops: bool,
}

const AOF: &[&str] = &["appendonly yes"];

const WAYS: &[Way] = &[
    Way {
        name: "an RDB",
        options: &[],
        midway: |_| (),
        restart: |server, due| {
            server.connect().ask("SAVE");
            kill_and_wait(server, due);
        },
        drops: true,
    },
    Way { name: "an AOF of commands", options: AOF, midway: |_| (), restart: kill_and_wait, drops: false },
    Way {
        name: "an AOF that was rewritten as commands",
        options: AOF,
        midway: |server| server.rewrite("BGREWRITEAOF"),
        restart: kill_and_wait,
        drops: false,
    },
    Way {
        name: "an AOF with an RDB before it",
        options: &["appendonly yes", "aof-use-rdb-preamble yes"],
        midway: |server| server.rewrite("BGREWRITEAOF"),
        restart: kill_and_wait,
        drops: false,
    },
    Way {
        name: "an AOF that is an RDB and nothing more",
        options: &["appendonly yes", "aof-use-rdb-preamble yes"],
        midway: |_| (),
        restart: |server, due| {
            server.rewrite("BGREWRITEAOF");
            kill_and_wait(server, due);
        },
        drops: false,
    },
    Way {
        name: "an AOF of a server that was shut down",
        options: AOF,
        midway: |_| (),
        restart: |server, due| {
            server.shut_down();
            sleep_past(due);
            server.start_again();
        },
        drops: false,
    },
    Way {
        name: "DEBUG RELOAD",
        options: &[],
        midway: |_| (),
        restart: |server, due| sleep_and(server, due, "DEBUG RELOAD"),
        drops: true,
    },
    Way {
        name: "DEBUG LOADAOF",
        options: AOF,
        midway: |_| (),
        restart: |server, due| sleep_and(server, due, "DEBUG LOADAOF"),
        drops: false,
    },
];

fn kill_and_wait(server: &mut Server, due: i64) {
    server.kill();
    sleep_past(due);
    server.start_again();
}

/// Sleeps and loads in one burst, so that no sweep runs in between.
fn sleep_and(server: &Server, due: i64, command: &str) {
    let mut shop = server.connect();
    let left = (due - shop.now()).max(0) + 20;
    let replies = shop.burst(&[&format!("DEBUG SLEEP {}", left as f64 / 1000.0), command]);
    assert_eq!(replies[1], "OK");
}

/// The databases that are used.
const DATABASES: [u32; 2] = [0, 1];

/// The reservations that are live at the end of the day and long after it.
const LIVE: [&str; 6] = ["live", "part", "longer", "persisted", "moved", "late"];

/// The reservations that expire at the end of the day, and their units.
const DUE: [(&str, i64); 3] = [("due1", 8), ("due2", 2), ("due3", 3)];

fn in_database(server: &Server, database: u32) -> Client {
    let mut shop = server.connect();
    shop.ask(format!("SELECT {database}"));
    shop
}

/// The first half of the day: everything that can happen to a reservation.
fn morning(shop: &mut Client) {
    for command in [
        "MSET stock:available:P 100 stock:available:Q 40 stock:available:R 30",
        "INV.RESERVE live EX 900 ITEMS P 5 Q 2",
        "INV.RESERVE sold EX 900 ITEMS P 3",
        "INV.COMMIT sold",
        "INV.RESERVE part EX 900 ITEMS P 4 Q 4",
        "INV.COMMIT part ITEMS P 1",
        "INV.ROLLBACK part ITEMS Q 1",
        "INV.RESERVE back EX 900 ITEMS R 6",
        "INV.ROLLBACK back",
        "INV.RESERVE longer PX 10000 ITEMS R 2",
        "INV.EXTEND longer EX 900",
        "INV.RESERVE persisted EX 900 ITEMS R 1",
        "PERSIST reservation:persisted",
        "INV.RESERVE moved PX 10000 ITEMS Q 1",
        "PEXPIRE reservation:moved 900000",
        "INV.RESERVE lapsed PX 1 ITEMS Q 3",
    ] {
        shop.ask(command);
    }
    wait_for("it has lapsed", SOON, 3, || {
        shop.ask("INV.COMMIT lapsed LATE");
        Books::read(shop).sold["Q"]
    });
}

/// The second half, with reservations that expire soon after it. Returns the last of their deadlines.
fn evening(shop: &mut Client) -> i64 {
    shop.ask("INV.RESERVE late EX 900 ITEMS Q 1");
    shop.ask("INV.RESERVE due3 EX 900 ITEMS P 3");
    // Enough time for a rewrite on a busy machine.
    let due = shop.now() + 600;
    shop.ask(format!("INV.RESERVE due1 PXAT {due} ITEMS P 7 Q 1"));
    shop.ask(format!("INV.RESERVE due2 PXAT {due} ITEMS R 2"));
    shop.ask(format!("INV.EXTEND due3 PXAT {due}"));
    due
}

fn books(server: &Server) -> Vec<Books> {
    DATABASES.iter().map(|&database| Books::balanced(&mut in_database(server, database))).collect()
}

fn units(books: &[Books]) -> Vec<Units> {
    books.iter().map(Books::units).collect()
}

#[test]
fn whatever_way_a_data_set_is_loaded_every_unit_is_where_it_was_or_back() {
    for Way { name, options, midway, restart, drops } in WAYS {
        println!("{name}");
        let mut server = Server::start_with(options);
        for database in DATABASES {
            morning(&mut in_database(&server, database));
        }
        midway(&server);
        let due = DATABASES.map(|database| evening(&mut in_database(&server, database)));
        let before = books(&server);
        let ended_before = counted(&mut server.connect(), "inv_expired_total");
        let live: BTreeSet<String> = LIVE.iter().map(|&id| id.to_owned()).collect();
        let with_due = live.iter().cloned().chain(DUE.iter().map(|&(id, _)| id.to_owned())).collect();
        assert!(before.iter().all(|books| books.live == with_due), "{name}: nothing is due yet");

        restart(&mut server, due[1]);
        let after = books(&server);
        assert_eq!(units(&after), units(&before), "{name}");
        for (database, books) in after.iter().enumerate() {
            assert_eq!(books.live, live, "{name}, database {database}");
            let states = books.ended.iter().filter(|(id, _)| id.starts_with("due"));
            let expected = if *drops { 0 } else { DUE.len() };
            assert_eq!(states.filter(|(_, state)| *state == "expired").count(), expected, "{name}");
        }
        let mut shop = server.connect();
        let due_units: i64 = DUE.iter().map(|(_, units)| units).sum();
        let databases = many(DATABASES.len());
        let (repaired, expired) =
            if *drops { (due_units * databases, 0) } else { (0, many(DUE.len()) * databases) };
        assert_eq!(counted(&mut shop, "inv_repaired_units"), repaired, "{name}");
        assert_eq!(counted(&mut shop, "inv_unexplained_units"), 0, "{name}");
        assert_eq!(counted(&mut shop, "inv_holds"), many(LIVE.len()) * databases, "{name}");
        // A load in a running server keeps the totals.
        let in_place = name.starts_with("DEBUG");
        let expired = expired + if in_place { ended_before } else { 0 };
        assert_eq!(counted(&mut shop, "inv_expired_total"), expired, "{name}");

        // Once more: nothing returns a second time.
        if options.is_empty() {
            shop.ask("SAVE");
        }
        kill_and_wait(&mut server, 0);
        assert_eq!(units(&books(&server)), units(&before), "{name}, again");
        let mut shop = server.connect();
        for field in ["inv_repaired_units", "inv_expired_total", "inv_unexplained_units"] {
            assert_eq!(counted(&mut shop, field), 0, "{name}, again: {field}");
        }
        for id in LIVE {
            assert_eq!(shop.ask(format!("INV.COMMIT {id}")), "OK", "{name}: {id}");
        }
        assert!(books(&server)[0].reserved.values().all(|units| *units == 0), "{name}");
    }
}

#[test]
fn what_an_rdb_load_dropped_is_told_sku_by_sku_and_not_known_by_id() {
    let (mut server, mut shop) = shop_with(&[], &[("P", 100), ("Q", 100)]);
    let due = shop.now() + 400;
    shop.ask(format!("INV.RESERVE A PXAT {due} ITEMS P 5 Q 2"));
    shop.ask(format!("INV.RESERVE B PXAT {due} ITEMS P 4"));
    shop.ask("INV.RESERVE C ITEMS P 1");
    shop.ask("SAVE");
    kill_and_wait(&mut server, due);
    let mut shop = server.connect();
    Books::balanced(&mut shop);
    assert_eq!((shop.counters("P"), shop.counters("Q")), ((99, 1), (100, 0)));
    for line in ["P: returned 9 reserved units", "Q: returned 2 reserved units"] {
        assert_eq!(server.log().matches(line).count(), 1, "{line}");
    }
    assert_eq!(counted(&mut shop, "inv_repaired_units"), 11);
    assert_eq!(code(&shop.refusal("INV.COMMIT A")), "NOTFOUND");
    // The id can be used again.
    shop.ask("INV.RESERVE A ITEMS P 2");
    assert_eq!(shop.counters("P"), (97, 3));
}

#[test]
fn an_rdb_that_is_loaded_again_and_again_gives_the_same_units_back_each_time_anew() {
    let (mut server, mut shop) = shop_with(&[], &[("P", 100)]);
    let due = shop.now() + 400;
    shop.ask(format!("INV.RESERVE A PXAT {due} ITEMS P 5"));
    shop.ask("SAVE");
    for _ in 0..3 {
        kill_and_wait(&mut server, due);
        let mut shop = server.connect();
        wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
        assert_eq!(counted(&mut shop, "inv_repaired_units"), 5);
    }
}

#[test]
fn each_database_is_repaired_or_reported_for_itself() {
    let (mut server, mut shop) = shop_with(&[], &[("P", 100)]);
    let due = shop.now() + 400;
    shop.ask(format!("INV.RESERVE A PXAT {due} ITEMS P 5"));
    let mut scripts = in_database(&server, 1);
    scripts.ask("SET stock:available:P 100");
    scripts.ask(format!("INV.RESERVE A PXAT {due} ITEMS P 5"));
    scripts.ask("SET reservation:script its-own");
    wait_for("the mark is gone", SOON, 0.into(), || scripts.ask("EXISTS inventory:managed"));
    shop.ask("SAVE");
    kill_and_wait(&mut server, due);
    let mut shop = server.connect();
    wait_for("the units are back", SOON, (100, 0), || shop.counters("P"));
    wait_for("the others are reported", SOON, 5, || counted(&mut shop, "inv_unexplained_units"));
    assert_eq!(counted(&mut shop, "inv_repaired_units"), 5);
    assert_eq!(in_database(&server, 1).counters("P"), (95, 5));
}

#[test]
fn what_a_deleted_record_held_is_returned_by_a_restart() {
    for (options, save) in [(AOF, false), (&[][..], true)] {
        let (mut server, mut shop) = shop_with(options, &[("P", 100)]);
        shop.ask("INV.RESERVE A EX 900 ITEMS P 5");
        shop.ask("INV.RESERVE B EX 900 ITEMS P 2");
        shop.ask("DEL reservation:A");
        assert_eq!(shop.counters("P"), (93, 7));
        if save {
            shop.ask("SAVE");
        }
        kill_and_wait(&mut server, 0);
        let mut shop = server.connect();
        wait_for("the units are back", SOON, (98, 2), || shop.counters("P"));
        assert_eq!(counted(&mut shop, "inv_repaired_units"), 5);
    }
}

/// A server that ran without the module, with stock and these records of a script, each of 5 units of P. Then the module is
/// loaded.
fn taken_over(records: &[&str], persist: &str, options: &[&str]) -> (Server, Client) {
    let mut server = Server::start_without_module(server_program(), options);
    let mut shop = server.connect();
    shop.ask(format!("MSET stock:available:P 100 stock:reserved:P {}", 5 * records.len().max(1)));
    for record in records {
        shop.ask(*record);
    }
    shop.ask(persist);
    server.shut_down();
    // The harness keeps an existing configuration.
    std::fs::remove_file(server.configuration()).expect("a configuration file");
    server.start_again();
    let shop = server.connect();
    (server, shop)
}

#[test]
fn a_first_load_with_the_stock_of_a_script_returns_nothing_and_reports() {
    let records = [
        "SET reservation:L1 {\"product\":\"P\"} EX 900",
        "SET reservation:L2 text",
        "HSET reservation:L3 product P quantity 5",
    ];
    for (options, persist) in [(&[][..], "SAVE"), (AOF, "PING")] {
        for count in 0..=records.len() {
            let (server, mut shop) = taken_over(&records[..count], persist, options);
            let reserved = 5 * many(count.max(1));
            wait_for("it is reported", SOON, reserved, || counted(&mut shop, "inv_unexplained_units"));
            assert_eq!(shop.counters("P"), (100, reserved), "{persist}, {count} records");
            assert_eq!(counted(&mut shop, "inv_foreign_records"), many(count), "{persist}");
            assert_eq!(counted(&mut shop, "inv_repaired_units"), 0, "{persist}");
            let line =
                format!("P: {reserved} units are reserved, {reserved} more than live reservations hold");
            assert!(server.log().contains(&line), "{}", server.log());

            // The module's own units return, and no mark is set.
            shop.ask("INV.RESERVE OURS PX 50 ITEMS P 3");
            wait_for("the module's units are back", SOON, (100, reserved), || shop.counters("P"));
            assert_eq!(shop.ask("EXISTS inventory:managed"), 0, "{persist}, {count} records");
        }
    }
}

#[test]
fn a_module_loaded_at_run_time_with_the_stock_of_a_script_returns_nothing_and_reports() {
    let server = Server::start_without_module(server_program(), &["enable-module-command yes"]);
    let mut shop = server.connect();
    shop.ask("MSET stock:available:P 100 stock:reserved:P 5");
    shop.ask("SET reservation:L1 text EX 900");
    shop.ask(format!("MODULE LOAD {}", module().display()));
    wait_for("it is reported", SOON, 5, || counted(&mut shop, "inv_unexplained_units"));
    assert_eq!(shop.counters("P"), (100, 5));
    assert!(server.log().contains("P: 5 units are reserved, 5 more than live reservations hold"));
}

#[test]
fn a_server_that_dies_again_right_after_its_start_returns_units_once() {
    // Jobs have enough time to release everything: otherwise the rest is released in another transaction, and a kill between the
    // two would lose its outcome.
    let options = ["appendonly yes", "inv.sweep-budget-us 1000000"];
    for rewritten in [false, true] {
        let (mut server, mut shop) = shop_with(&options, &[("P", 100), ("Q", 100)]);
        let due = shop.now() + 400;
        for n in 0..20 {
            shop.ask(format!("INV.RESERVE R{n} PXAT {due} ITEMS P 2 Q 1"));
        }
        if rewritten {
            server.rewrite("BGREWRITEAOF");
        }
        kill_and_wait(&mut server, due);
        // It may have released none, some or all of them.
        for _ in 0..3 {
            kill_and_wait(&mut server, 0);
        }
        let mut shop = server.connect();
        let books = Books::balanced(&mut shop);
        assert_eq!((books.available["P"], books.available["Q"]), (100, 100));
        assert_eq!(books.ended.len(), 20, "{:?}", books.ended);
        kill_and_wait(&mut server, 0);
        assert_eq!(Books::balanced(&mut server.connect()).available, books.available);
    }
}

/// The folder of the AOF, whose last file the test truncates.
fn aof_folder(server: &Server) -> PathBuf {
    server.configuration().with_file_name("appendonlydir")
}

/// The file to which commands are appended.
const TAIL: &str = "appendonly.aof.1.incr.aof";

/// The current content of that file. The server writes it before it answers.
fn written(server: &Server) -> Vec<u8> {
    std::fs::read(aof_folder(server).join(TAIL)).expect("an AOF")
}

/// The current files of an AOF, by name.
fn files(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let files = std::fs::read_dir(aof_folder(server)).expect("an AOF");
    let paths = files.map(|file| file.expect("a file").path());
    paths.map(|path| (path.clone(), std::fs::read(&path).expect("a file"))).collect()
}

/// Starts the stopped server with these files, the last one truncated to this length.
fn start_with_cut(server: &mut Server, files: &[(PathBuf, Vec<u8>)], cut: usize) {
    let folder = aof_folder(server);
    std::fs::remove_dir_all(&folder).expect("a folder");
    std::fs::create_dir(&folder).expect("a folder");
    for (path, bytes) in files {
        let length = if path.ends_with(TAIL) { cut } else { bytes.len() };
        std::fs::write(path, &bytes[..length]).expect("a file");
    }
    server.start_again();
}

#[test]
fn of_a_cut_aof_every_whole_step_is_there_and_no_half_one() {
    let options = ["appendonly yes", "aof-load-truncated yes", "inv.alert-cooldown-ms 0"];
    let (mut server, mut shop) = shop_with(&options, &[("P", 20), ("Q", 20)]);
    shop.ask("INV.RESERVE FIRST EX 900 ITEMS Q 1");
    let mut points: Vec<(usize, Contents)> = vec![(written(&server).len(), shop.contents())];
    for step in [
        "INV.RESERVE A EX 900 ITEMS P 3 Q 2",
        "INV.RESERVE B EX 900 ITEMS P 2",
        "INV.COMMIT A ITEMS P 1",
        // With an alert in the same transaction.
        "INV.RESERVE C EX 900 ITEMS P 10",
        "INV.EXTEND C EX 1800 ONCE e",
        "INV.COMMIT A",
        "INV.ROLLBACK C",
        "INV.COMMIT B",
    ] {
        shop.ask(step);
        points.push((written(&server).len(), shop.contents()));
    }
    server.kill();
    let files = files(&server);
    // After each step: one byte before its end, in its middle, and after its first byte.
    let mut cuts = BTreeSet::new();
    for pair in points.windows(2) {
        let (start, end) = (pair[0].0, pair[1].0);
        cuts.extend([start + 1, usize::midpoint(start, end), end - 1, end]);
    }
    for cut in cuts {
        let (at, expected) = points.iter().rfind(|(length, _)| *length <= cut).expect("a step before it");
        start_with_cut(&mut server, &files, cut);
        let mut shop = server.connect();
        let contents = shop.contents();
        println!("cut at {cut}, after the step that ends at {at}");
        assert_same(&contents, expected);
        let books = Books::read(&mut shop);
        assert!(books.is_balanced(), "{books:?}");
        assert_eq!(books.units().into_values().collect::<Vec<_>>(), [20, 20]);
        assert_eq!(counted(&mut shop, "inv_repaired_units"), 0);
        server.kill();
    }
}

/// What versions before the packed form have appended to an AOF.
#[test]
fn an_aof_of_an_older_version_is_read() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 20)]);
    let until = shop.now() + 1_000_000;
    let record = |id: &str| {
        format!(
            r#"{{"reservation_id":"{id}","created_at":1000,"expires_at":{until},"items":[{{"product_id":"P","quantity":5}}]}}"#
        )
    };
    let outcome = format!(
        r#"{{"reservation_id":"SOLD","state":"committed","created_at":1000,"expires_at":{until},"resolved_at":1500,"items":[{{"product_id":"P","quantity":5}}]}}"#
    );
    let later = until + 1000;
    let old = [
        ["INV.APPLY", "1", "HOLD", "LIVE", &until.to_string(), &record("LIVE")].join("\0"),
        ["INV.APPLY", "1", "HOLD", "SOLD", &until.to_string(), &record("SOLD")].join("\0"),
        ["INV.APPLY", "1", "RECORD", "LIVE", &later.to_string(), &record("LIVE")].join("\0"),
        ["INV.APPLY", "1", "UNITS", "P", "0", "-5", "END", "SOLD", &until.to_string(), &outcome].join("\0"),
    ];
    server.kill();
    let mut files = files(&server);
    let (_, tail) = files.iter_mut().find(|(path, _)| path.ends_with(TAIL)).expect("the file that grows");
    for command in old {
        let words: Vec<&str> = command.split('\0').collect();
        tail.extend(format!("*{}\r\n", words.len()).bytes());
        words.iter().for_each(|word| tail.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    }
    let length = tail.len();
    start_with_cut(&mut server, &files, length);
    let mut shop = server.connect();
    assert_eq!(shop.counters("P"), (10, 5));
    assert_eq!(shop.ask("INV.GET LIVE")["state"], "reserved");
    assert_eq!(shop.ask("INV.GET LIVE")["expires_at"], later);
    assert_eq!(shop.ask("INV.GET SOLD")["state"], "committed");
    assert_eq!(shop.ask("INV.COMMIT LIVE"), "OK");
    assert_eq!(shop.counters("P"), (10, 0));
}

#[test]
fn a_release_that_was_cut_off_is_made_again_and_once() {
    let options = ["appendonly yes", "aof-load-truncated yes"];
    let (mut server, mut shop) = shop_with(&options, &[("P", 100), ("Q", 100)]);
    shop.ask("INV.RESERVE LIVE EX 900 ITEMS P 1");
    let replies = shop.burst(&["INV.RESERVE A PX 50 ITEMS P 5 Q 2", "GET reservation:A"]);
    assert_eq!(replies[0]["reservation_id"], "A");
    wait_for("the units are back", SOON, (99, 1), || shop.counters("P"));
    server.kill();
    let (aof, files) = (written(&server), files(&server));
    let start = aof.windows(5).rposition(|word| word == b"MULTI").expect("a release") - 8;
    // At a dozen positions within the transaction, and after it.
    let step = (aof.len() - start) / 12;
    let cuts = (0..12).map(|n| start + n * step).chain([aof.len() - 1, aof.len()]);
    for cut in cuts {
        start_with_cut(&mut server, &files, cut);
        server.mend_aof();
        let mut shop = server.connect();
        Books::balanced(&mut shop);
        assert_eq!((shop.counters("P"), shop.counters("Q")), ((99, 1), (100, 0)), "cut at {cut}");
        assert_eq!(shop.ask("INV.GET A")["state"], "expired", "cut at {cut}");
        let expired = counted(&mut shop, "inv_expired_total");
        assert_eq!(expired, i64::from(cut < aof.len()), "cut at {cut}");
        assert_eq!(counted(&mut shop, "inv_repaired_units"), 0, "cut at {cut}");
        // What it appended after the cut is complete.
        kill_and_wait(&mut server, 0);
        let mut shop = server.connect();
        assert_eq!((shop.counters("P"), shop.counters("Q")), ((99, 1), (100, 0)), "cut at {cut}, again");
        assert_eq!(counted(&mut shop, "inv_expired_total"), 0, "cut at {cut}, again");
        server.kill();
    }
}

#[test]
fn a_debug_reload_in_the_middle_of_things_changes_nothing() {
    let (_server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    let deadline = shop.ask("INV.RESERVE A PX 400 ITEMS P 5")["expires_at"].as_i64().expect("a time");
    for n in 0..5 {
        shop.ask(format!("INV.RESERVE B{n} EX 900 ITEMS P 1"));
        assert_eq!(shop.ask("DEBUG RELOAD"), "OK");
        shop.ask(format!("INV.COMMIT B{n}"));
    }
    wait_until("the deadline has passed", SOON, || shop.now() > deadline);
    wait_for("the units are back", SOON, (95, 0), || shop.counters("P"));
    assert_eq!(shop.ask("INV.GET A")["state"], "expired");
    assert_eq!(counted(&mut shop, "inv_repaired_units"), 0);
    assert_eq!(counted(&mut shop, "inv_expired_total"), 1);
}

#[test]
fn what_a_debug_reload_drops_is_dropped_by_replicas_and_the_aof_too() {
    let (mut server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    shop.ask("INV.RESERVE LIVE EX 900 ITEMS P 1");
    let replica = server.replica();
    let replies = shop.burst(&["INV.RESERVE A PX 300 ITEMS P 5", "INV.RESERVE B PX 300 ITEMS P 2"]);
    let due = replies[1]["expires_at"].as_i64().expect("a time");
    replica.catch_up_with(&server);
    sleep_and(&server, due, "DEBUG RELOAD");
    wait_for("the units are back", SOON, (99, 1), || shop.counters("P"));
    assert_eq!(counted(&mut shop, "inv_repaired_units"), 7);
    let told =
        |shop: &mut Client| ["A", "B", "LIVE"].map(|id| shop.ask(format!("INV.GET {id}"))["state"].clone());
    let said = told(&mut shop);
    wait_until("the replica has what the master has", SOON, || {
        replica.catch_up_with(&server);
        counted(&mut replica.connect(), "inv_holds") == 1
    });
    assert_same_data(&mut shop, &mut replica.connect());
    assert_eq!(told(&mut replica.connect()), said);

    kill_and_wait(&mut server, 0);
    let mut shop = server.connect();
    assert_eq!(told(&mut shop), said);
    assert_eq!(shop.counters("P"), (99, 1));
    assert_eq!(counted(&mut shop, "inv_expired_total"), 0);
}

#[test]
fn a_debug_reload_of_an_older_save_tells_the_copies_what_it_dropped_and_nothing_else() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 100)]);
    shop.ask("INV.RESERVE OLD PX 300 ITEMS P 1");
    let due = shop.ask("INV.RESERVE KEPT EX 900 ITEMS P 1")["expires_at"].clone();
    shop.ask("SAVE");
    shop.ask("INV.RESERVE YOUNG PX 300 ITEMS P 3");
    let late = shop.now() + 300;
    let sent = server.propagated_by(|| {
        sleep_and(&server, late, "DEBUG RELOAD NOSAVE");
        wait_for("the unit is back", SOON, (99, 1), || shop.counters("P"));
    });
    let deleted: BTreeSet<&str> = sent.iter().filter_map(|line| line.strip_prefix("DEL ")).collect();
    assert_eq!(deleted, ["reservation:OLD", "reservation:YOUNG"].into());
    assert_eq!(shop.ask("INV.GET KEPT")["expires_at"], due);
}

#[test]
fn a_large_data_set_is_indexed_in_slices_after_a_start_and_commands_go_on_meanwhile() {
    let (mut server, mut shop) = shop_with(&["inv.sweep-budget-us 100"], &[("P", 10), ("Q", 5), ("NONE", 0)]);
    for reserve in ["OLD EX 900 ITEMS P 1", "ENDING EX 900 ITEMS P 2", "HELD EX 900 ITEMS P 6"] {
        shop.ask(format!("INV.RESERVE {reserve}"));
    }
    shop.ask("DEBUG POPULATE 1000000 other");
    shop.ask("SAVE");
    server.kill();
    server.start_again();
    let mut shop = server.connect();
    let replies = shop.burst(&[
        "INFO inv",
        "INV.AUDIT P",
        "INV.SCAN 0",
        "INV.RESERVE NEW EX 900 ITEMS Q 2",
        "INV.EXTEND NEW EX 800",
        "INV.COMMIT OLD",
        "INV.GET HELD",
        "INV.STOCK P",
        "INV.RESERVE MORE ITEMS P 5",
        "INV.RESERVE MORE ITEMS NONE 1",
        "PEXPIRE reservation:ENDING 1",
    ]);
    assert!(replies[0].as_str().expect("text").contains("inv_index_ready:0"));
    for reply in [&replies[1], &replies[2], &replies[8]] {
        assert_eq!(wire_code(reply), "-TRYAGAIN", "{reply}");
    }
    assert_eq!(replies[3]["reservation_id"], "NEW");
    assert!(replies[4].is_i64(), "{}", replies[4]);
    assert_eq!(replies[5], "OK");
    assert_eq!(replies[6]["state"], "reserved");
    assert_eq!(replies[7][0]["reserved"], 8);
    assert_eq!(wire_code(&replies[9]), "-INSUFFICIENT");
    wait_for("the index is complete", LATER, "1".to_owned(), || shop.info("inv", "inv_index_ready"));
    wait_for("what ended meanwhile is back", SOON, (3, 6), || shop.counters("P"));
    assert_eq!(shop.ask("INV.SCAN 0 COUNT 10"), json!(["0", ["NEW", "HELD"]]));
}

#[test]
fn the_memory_of_an_index_comes_back_after_a_flush() {
    let (_server, mut shop) = shop_with(&["inv.sweep-budget-us 100"], &[("P", 1_000_000)]);
    let used = |shop: &mut Client| shop.info("memory", "used_memory").parse::<i64>().expect("a number");
    let before = used(&mut shop);
    for flush in ["FLUSHALL ASYNC", "FLUSHDB ASYNC"] {
        let reserves: Vec<String> = (0..20_000).map(|n| format!("INV.RESERVE R{n} ITEMS P 1")).collect();
        shop.ask("INV.SET P AVAILABLE 1000000");
        for reserves in reserves.chunks(500) {
            shop.burst(reserves);
        }
        assert!(used(&mut shop) > before + 4_000_000);
        shop.ask(flush);
        wait_until("the memory is free", LATER, || used(&mut shop) < before + 1_000_000);
        assert_eq!(shop.ask("INV.SCAN 0"), json!(["0", []]));
    }
}

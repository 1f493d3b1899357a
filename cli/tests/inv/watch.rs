//! `inv watch` in a real terminal, on real servers. tests/watch/ tests its state and drawing without either.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use crate::harness::{Client, LATER, Server, root, wait_until};
use crate::shards::Cluster;
use crate::terminal::Terminal;
use crate::{INV, plain_command};

/// Watches a server.
fn open(server: &Server, width: u16, height: u16) -> Terminal {
    let url = format!("redis://127.0.0.1:{}", server.port());
    run(width, height, &[("INV_URL", &url), ("LC_ALL", "C.UTF-8")], "")
}

fn run(width: u16, height: u16, variables: &[(&str, &str)], arguments: &str) -> Terminal {
    Terminal::run(width, height, variables, &format!("'{INV}' watch {arguments}"))
}

/// The seconds that a reservation has left.
fn seconds(line: &str) -> i64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let unit = words.iter().position(|word| *word == "s").unwrap_or_else(|| panic!("no seconds: {line}"));
    words[unit - 1].parse().unwrap_or_else(|_| panic!("no seconds: {line}"))
}

#[test]
fn an_operator_watches_a_shop_through_a_restart() {
    let mut server = Server::start_with(&["appendonly yes", "inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    shop.ask("INV.SET SHOE AVAILABLE 100");
    shop.ask(["INV.RESERVE", "R1", "EX", "500", "DATA", "cart 77", "ITEMS", "SHOE", "40"]);
    let terminal = open(&server, 80, 24);

    let row = terminal.line(" SHOE  ");
    assert!(row.contains("██▒") && row.split_whitespace().rev().take(2).eq(["40", "60"]), "{row}");
    let first = terminal.line(" R1 ");
    assert!(first.contains("SHOE 40  cart 77") && (400..=500).contains(&seconds(&first)), "{first}");
    terminal.wait("the seconds go by", |screen| {
        screen.lines().any(|line| line.contains(" R1 ") && seconds(line) < seconds(&first))
    });
    terminal.wait_for("1 held");

    // An alert and rates.
    shop.ask("INV.RESERVE R2 EX 800 ITEMS SHOE 55");
    terminal.wait_for("ago LOW_STOCK     SHOE    5 (threshold 10)");
    terminal.wait("the stock is low", |screen| {
        screen.lines().any(|line| line.contains(" SHOE ") && line.ends_with("5       95 LOW"))
    });
    terminal.wait("a rate", |screen| {
        screen.lines().any(|line| line.contains("reserved 0.") && !line.contains("reserved 0/s"))
    });
    shop.ask("INV.COMMIT R2");
    terminal.wait("R2 is sold", |screen| !screen.contains(" R2 "));

    // A product that only the feed names.
    shop.ask("INV.ADJUST LACE 7");
    terminal.wait("a product of the feed", |screen| {
        screen.lines().any(|line| line.contains(" LACE ") && line.ends_with("7        0 LOW"))
    });

    // Keys.
    terminal.press(&["?"]);
    terminal.wait_for("press any key");
    terminal.press(&["x"]);
    terminal.press(&["End"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of LACE: 0");
    terminal.press(&["Home"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of SHOE: 1");
    terminal.press(&["Escape"]);
    terminal.wait_for("2 Reservations: 1, next deadline first");

    // Other sizes.
    terminal.resize(40, 10);
    terminal.wait("one list", |screen| screen.contains("1 Products") && !screen.contains("2 Reservations"));
    assert!(terminal.screen().lines().all(|line| line.chars().count() <= 40), "{}", terminal.screen());
    terminal.press(&["2"]);
    terminal.wait("the other list", |screen| screen.contains(" R1 ") && !screen.contains("1 Products"));
    terminal.resize(6, 2);
    terminal.wait("next to nothing", |screen| screen.lines().all(|line| line.chars().count() <= 6));
    terminal.resize(160, 40);
    terminal.wait("side by side", |screen| {
        screen.lines().any(|line| line.contains("1 Products") && line.contains("2 Reservations"))
    });

    // The server ends and returns.
    server.shut_down();
    terminal.wait_for("not connected for");
    terminal.wait_for(" R1 ");
    server.start_again();
    terminal.wait("it is connected again", |screen| !screen.contains("not connected"));
    server.connect().ask("INV.RESERVE R3 EX 900 ITEMS SHOE 1");
    terminal.wait_for(" R3 ");

    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

#[test]
fn it_ends_by_signals_and_with_its_terminal_even_if_the_server_does_not_answer() {
    let server = Server::start();
    let terminal = open(&server, 80, 24);
    terminal.wait_for("None is live.");
    server.freeze();
    terminal.wait_for("waiting for an answer for");
    terminal.press(&["C-c"]);
    terminal.assert_ended(0);
    drop(terminal);
    server.thaw();

    // exec replaces the shell, so that the process id is known.
    let start = || {
        let line = format!("exec '{INV}' watch --url redis://127.0.0.1:{}", server.port());
        let terminal = Terminal::start(80, 24, &[("LC_ALL", "C.UTF-8")], &line);
        terminal.wait_for("None is live.");
        let pid: u32 = terminal.ask(&["display-message", "-p", "#{pane_pid}"]).trim().parse().expect("a pid");
        (terminal, pid)
    };
    let (terminal, pid) = start();
    let status = Command::new("kill").arg(pid.to_string()).status().expect("kill");
    assert!(status.success());
    wait_until("it ends by a signal", LATER, || has_ended(pid));
    drop(terminal);
    let (terminal, pid) = start();
    drop(terminal);
    wait_until("it ends with its terminal", LATER, || has_ended(pid));
}

/// Whether a process has ended, even if its parent has not reaped it yet.
fn has_ended(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    match state {
        Ok(output) => {
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            state.is_empty() || state.starts_with('Z')
        }
        // A container may lack ps.
        Err(_) => {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(true, |state| state.contains(") Z "))
        }
    }
}

/// It sends only allowed commands to a server, and a bounded number in a reading, however many reservations there are.
#[test]
fn a_large_shop_is_watched_in_small_steps() {
    let server = Server::start();
    let mut shop = server.connect();
    for number in 0..600 {
        shop.ask(format!("INV.SET P-{number} AVAILABLE 1000"));
    }
    let reserve = |number| format!("INV.RESERVE R-{number} EX 900 ITEMS P-{} 1", number % 600);
    for page in 0..5 {
        shop.burst(&(0..1000).map(|number| reserve(page * 1000 + number)).collect::<Vec<_>>());
    }
    shop.ask("CONFIG RESETSTAT");
    let terminal = open(&server, 80, 24);
    terminal.wait_for("2 Reservations: showing 200 of 5,000, next deadline first");
    terminal.wait("all products are found in the end", |screen| screen.contains("1 Products: 600"));
    terminal.press(&["Enter"]);
    terminal.wait("those of one product", |screen| {
        screen.lines().any(|line| line.contains("2 Reservations of P-") && line.contains(" 8, "))
            || screen.lines().any(|line| line.contains("2 Reservations of P-") && line.contains(" 9, "))
    });
    terminal.press(&["q"]);
    terminal.assert_ended(0);

    let calls = calls(&mut shop);
    let names: BTreeSet<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    let allowed = [
        "info",
        "inv.alerts",
        "inv.get",
        "inv.scan",
        "inv.stock",
        "inv.stockscan",
        // INV.STOCKSCAN calls it.
        "scan",
        "client|setinfo",
        "cluster|slots",
        "config|get",
        "xrevrange",
        "config|resetstat",
    ];
    assert!(names.is_subset(&BTreeSet::from(allowed)), "{names:?}");
    let count = |name: &str| calls.iter().find(|call| call.0 == name).map_or(0, |call| call.1);
    let readings = count("info");
    assert!(readings > 0);
    assert!(count("inv.get") <= 200 * readings, "{calls:?}");
    assert!(count("inv.stock") <= 200 * readings, "{calls:?}");
    assert!(count("inv.scan") <= 4 * readings, "{calls:?}");
    assert!(count("inv.stockscan") <= 4 * readings, "{calls:?}");
}

#[test]
fn of_a_cluster_all_masters_are_watched() {
    let cluster = Cluster::start(3);
    // A product on each master.
    let products: Vec<String> = (0..3)
        .map(|place| {
            let mut names = (0..).map(|number| format!("P-{number}"));
            names.find(|name| cluster.owner(name) == place).expect("a product of each master")
        })
        .collect();
    for (place, product) in products.iter().enumerate() {
        let mut shop = cluster.masters[place].connect();
        shop.ask(format!("INV.SET {product} AVAILABLE {}", 20 + place));
        shop.ask(format!("INV.RESERVE {{{product}}}:R EX {} ITEMS {product} 12", 500 + place));
    }
    let terminal = open(&cluster.masters[1], 80, 24);
    for (place, product) in products.iter().enumerate() {
        terminal.wait("the stock of a master", |screen| {
            let row = format!("{}       12 LOW", 8 + place);
            screen.lines().any(|line| line.starts_with(&format!(" {product} ")) && line.ends_with(&row))
        });
        terminal.wait_for(&format!(" {{{product}}}:R "));
        terminal.wait_for(&format!("LOW_STOCK     {product}"));
    }
    terminal.wait_for("1 Products: 3,");
    terminal.wait_for("2 Reservations: 3, next deadline first");
    terminal.wait_for("3 held");
    // The reservations of one product.
    terminal.press(&["End"]);
    terminal.press(&["Enter"]);
    terminal
        .wait("those of one", |screen| screen.contains("2 Reservations of P-") && screen.contains(": 1, "));
    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

/// How often each command was executed.
fn calls(shop: &mut Client) -> Vec<(String, u64)> {
    let stats = shop.ask("INFO commandstats");
    let call = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        Some((name.to_ascii_lowercase(), rest.split(',').next()?.parse().ok()?))
    };
    stats.as_str().expect("text").lines().filter_map(call).collect()
}

#[test]
fn a_user_sees_what_the_acl_lets_it_see_and_a_wrong_password_ends_it() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("INV.SET shop1:SHOE AVAILABLE 50");
    shop.ask("INV.SET shop2:LACE AVAILABLE 50");
    shop.ask("INV.RESERVE shop1:R1 EX 500 DATA 曛-7 ITEMS shop1:SHOE 5");
    shop.ask("INV.RESERVE shop2:R2 EX 500 ITEMS shop2:LACE 5");
    shop.ask([
        "ACL",
        "SETUSER",
        "clerk",
        "on",
        ">one of a test",
        "~shop1:*",
        "+inv.scan",
        "+inv.get",
        "+inv.stock",
        "+inv.stockscan",
        "+inv.alerts",
    ]);
    let url = |password: &str| format!("redis://clerk:{password}@127.0.0.1:{}", server.port());
    let watch = |password: &str| {
        run(80, 24, &[("INV_URL", &url(password)), ("LC_ALL", "C"), ("NO_COLOR", "1")], "shop1:GHOST")
    };

    let terminal = watch("one%20of%20a%20test");
    terminal.wait_for(" shop1:R1");
    terminal.wait_for("shop1:SHOE 5  ? -7");
    terminal.wait("its stock", |screen| {
        screen.lines().any(|line| line.starts_with(" shop1:SHOE ") && line.ends_with("45        5"))
    });
    terminal.wait_for("no such product here");
    terminal.wait_for("this user may not see INFO, the feed");
    terminal.wait_for(&format!("clerk@127.0.0.1:{}", server.port()));
    let screen = terminal.ask(&["capture-pane", "-p", "-e"]);
    assert!(!screen.contains("shop2") && !screen.contains("one of"), "{screen}");
    // Neither colours, except the terminal's default, nor anything beyond ASCII.
    let plain = screen.replace("\u{1b}[39m", "").replace("\u{1b}[49m", "");
    assert!(plain.is_ascii() && !plain.contains("[3") && !plain.contains("[4"), "{screen}");
    // A refused command is not sent again in every reading.
    let denied = calls(&mut shop).into_iter().find(|(name, _)| name == "xrevrange");
    assert!(denied.is_none_or(|(_, calls)| calls == 0));
    terminal.press(&["q"]);
    terminal.assert_ended(0);

    let terminal = watch("another");
    terminal.wait_for("inv: clerk@127.0.0.1");
    terminal.wait_for("rejects this user");
    terminal.assert_ended(4);
}

#[test]
fn what_is_no_terminal_is_refused_with_a_word() {
    for (term, word) in [("dumb", "TERM is \"dumb\""), ("", "TERM is \"\"")] {
        let terminal = run(80, 24, &[("TERM", term)], "");
        terminal.wait_for(word);
        terminal.assert_ended(2);
    }
    let done = plain_command(&["watch"]).output().expect("inv");
    assert_eq!(String::from_utf8_lossy(&done.stderr), "inv: this is not a terminal\n");
    assert_eq!(done.status.code(), Some(2));
}

/// If the user may not see one key, the others are still shown, even if a reading is full of hidden ones.
#[test]
fn a_product_that_the_user_may_not_see_hides_no_other() {
    let server = Server::start_with(&["inv.feed-maxlen 1000"]);
    let mut shop = server.connect();
    for number in 0..60 {
        shop.ask(format!("INV.SET shop2:P-{number} AVAILABLE 50"));
    }
    shop.ask("INV.SET shop1:SHOE AVAILABLE 50");
    shop.ask("INV.SET shop3:LACE AVAILABLE 50");
    let rules = "ACL SETUSER clerk on >secret ~shop1:* ~inventory:feed +inv.scan +inv.get +inv.stock +inv.stockscan +inv.alerts +xrevrange";
    shop.ask(rules);
    let url = format!("redis://clerk:secret@127.0.0.1:{}", server.port());
    let terminal = run(80, 24, &[("INV_URL", &url), ("LC_ALL", "C.UTF-8")], "shop2:P-7");
    terminal.wait("the hidden one", |screen| {
        screen
            .lines()
            .any(|line| line.starts_with(" shop2:P-7 ") && line.contains("this user may not see it"))
    });
    terminal.wait("the one of the feed", |screen| {
        screen.lines().any(|line| line.starts_with(" shop1:SHOE ") && line.ends_with("50        0"))
    });
    terminal.wait_for("this user may not see INFO");
    terminal.wait("both", |screen| screen.contains("1 Products: 2,") && !screen.contains("INV.STOCK"));
    // Its reservations are hidden too, but no others.
    terminal.press(&["Home"]);
    terminal.press(&["Enter"]);
    terminal.wait_for("2 Reservations of shop2:P-7: 0");
    terminal.press(&["Escape"]);
    shop.ask("INV.RESERVE shop1:R1 EX 500 ITEMS shop1:SHOE 5");
    terminal.wait_for(" shop1:R1 ");
    terminal.press(&["q"]);
    terminal.assert_ended(0);
    // Hidden keys are not requested again.
    let stats = shop.ask("INFO commandstats");
    let refused = stats.as_str().expect("text").lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("cmdstat_inv.stock:")?
            .split_once("rejected_calls=")?
            .1
            .split(',')
            .next()?
            .parse()
            .ok()
    });
    assert!(refused.is_some_and(|calls: u64| (1..=61).contains(&calls)), "{refused:?}");
}

#[test]
fn in_tagged_key_style_it_says_that_it_reads_no_feed() {
    let server = Server::start_with(&["inv.key-style tagged", "inv.feed-maxlen 1000"]);
    server.connect().ask("INV.SET {shop1}:SHOE AVAILABLE 50");
    let terminal = open(&server, 80, 24);
    terminal.wait_for("the feeds are not read: in tagged key style there is one for each tag");
    terminal.press(&["q"]);
    terminal.assert_ended(0);
}

/// From the environment it uses INV_URL unchanged, but not URL, which is a common name.
#[test]
fn make_watch_takes_its_url_from_inv_url_or_from_its_command_line() {
    let make = |variables: &[(&str, &str)], words: &[&str]| {
        let done = Command::new("make")
            .args(["--no-print-directory", "watch"])
            .args(words)
            .current_dir(root())
            .env_remove("INV_URL")
            .env("INV_CLI", INV)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("make");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        said.lines().find(|line| line.starts_with("inv: ")).map(str::to_owned).unwrap_or(said)
    };
    let (fine, unlike) = ("inv: this is not a terminal", "inv: the URL cannot be used");
    let is = |said: String, expected: &str| assert!(said.starts_with(expected), "{said}");
    is(make(&[("URL", "http://x")], &[]), fine);
    is(make(&[("INV_URL", "redis://:a$(b)$c'd@h")], &[]), fine);
    is(make(&[("INV_URL", "http://x")], &[]), unlike);
    is(make(&[("INV_URL", "http://x")], &["URL=redis://h"]), fine);
    is(make(&[], &["URL=http://x"]), unlike);
    is(make(&[], &["INV_URL=127.0.0.1:7800"]), unlike);

    // A password reaches the server unchanged.
    let server = Server::start();
    server.connect().ask(["ACL", "SETUSER", "clerk", "on", ">a$(b)$c'd", "~*", "+@all"]);
    let url = format!("redis://clerk:a$(b)$c'd@127.0.0.1:{}", server.port());
    let line = format!("cd '{}' && make watch", root().display());
    let variables = [("INV_URL", url.as_str()), ("LC_ALL", "C.UTF-8"), ("INV_CLI", INV)];
    let terminal = Terminal::start(80, 24, &variables, &line);
    terminal.wait_for("None is live.");
    terminal.wait_for("clerk@127.0.0.1");
}

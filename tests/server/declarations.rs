//! What the server reports about the commands: flags, arity, documentation, keys, ACL categories.

use crate::harness::{Client, Json, Server, cli, code, json};
use crate::shop::shop;
use crate::terminal::Terminal;

/// Name, whether it writes, and whether a full server refuses it.
const COMMANDS: &[(&str, bool, bool)] = &[
    ("INV.RESERVE", true, true),
    ("INV.REPLACE", true, true),
    ("INV.COMMIT", true, false),
    ("INV.ROLLBACK", true, false),
    ("INV.EXTEND", true, true),
    ("INV.ADJUST", true, true),
    ("INV.SET", true, true),
    ("INV.THRESHOLD", true, false),
    ("INV.FLOOR", true, false),
    ("INV.LIMIT", true, false),
    ("INV.QUOTA", false, false),
    ("INV.GET", false, false),
    ("INV.STOCK", false, false),
    ("INV.ALERTS", false, false),
    ("INV.SCAN", false, false),
    ("INV.AUDIT", false, false),
    ("INV.AUDITSCAN", false, false),
    ("INV.REPAIR", true, false),
    ("INV.WAREHOUSES", true, false),
    ("INV.MRESERVE", true, true),
    ("INV.MCOMMIT", true, false),
    ("INV.MROLLBACK", true, false),
    ("INV.TRANSFER", true, false),
    ("INV.STOCKSCAN", false, false),
];

/// The commands that walk over a node.
const WALKS: &[&str] = &["INV.SCAN", "INV.STOCKSCAN", "INV.AUDITSCAN", "INV.ALERTS"];

#[test]
fn flags_and_arity_are_those_of_the_contract() {
    let server = Server::start();
    let mut client = server.connect();
    for &(name, writes, deny_oom) in COMMANDS {
        let info = &client.ask(["COMMAND", "INFO", name])[0];
        // The module itself refuses a wrong number of arguments, with the usage line.
        assert_eq!(info[1], -1, "{name}");
        let flags = info[2].to_string();
        assert_eq!(flags.contains("\"write\""), writes, "{name}: {flags}");
        assert_eq!(flags.contains("\"readonly\""), !writes, "{name}: {flags}");
        assert_eq!(flags.contains("\"denyoom\""), deny_oom, "{name}: {flags}");
        assert!(flags.contains("\"module\""), "{name}: {flags}");
    }
}

/// Each node of a cluster has its own entries and cursors, as for SCAN.
#[test]
fn the_walks_have_tips_for_clients_of_a_cluster() {
    let server = Server::start();
    let mut client = server.connect();
    for &(name, ..) in COMMANDS {
        let tips = &client.ask(["COMMAND", "INFO", name])[0][7];
        let expected = if WALKS.contains(&name) {
            json!(["nondeterministic_output", "request_policy:special", "response_policy:special"])
        } else {
            json!([])
        };
        assert_eq!(*tips, expected, "{name}");
    }
}

#[test]
fn the_documents_of_each_command_are_complete() {
    let server = Server::start();
    let mut client = server.connect();
    for (name, ..) in COMMANDS {
        let documents = client.ask(["COMMAND", "DOCS", name]);
        let document = documents.as_object().and_then(|documents| documents.values().next()).expect(name);
        for field in ["summary", "since", "complexity"] {
            let text = document[field].as_str().unwrap_or_default();
            assert!(text.len() > 3, "{name} {field}: {text}");
        }
        assert_eq!(document["module"], "inv", "{name}");
        let arguments = document["arguments"].as_array().expect(name);
        assert!(!arguments.is_empty(), "{name}");
        for argument in arguments {
            assert!(argument["name"].is_string() && argument["type"].is_string(), "{name}: {argument}");
        }
    }
}

/// The hint that redis-cli shows after a command name, derived from the arguments in COMMAND DOCS.
fn hint(arguments: &Json, between: &str) -> String {
    let one = |argument: &Json| {
        let text = |field: &str| argument[field].as_str().unwrap_or_default();
        let value = match text("type") {
            "pure-token" => String::new(),
            "oneof" => hint(&argument["arguments"], "|"),
            "block" => hint(&argument["arguments"], " "),
            _ => text("display_text").to_owned(),
        };
        let once =
            [text("token"), &value].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let is = |flag: &str| argument["flags"].to_string().contains(flag);
        let all = if is("multiple") { format!("{once} [{value} ...]") } else { once };
        if is("optional") { format!("[{all}]") } else { all }
    };
    arguments.as_array().expect("arguments").iter().map(one).collect::<Vec<_>>().join(between)
}

#[test]
fn the_cli_hints_at_the_whole_grammar() {
    const HINTS: &[&str] = &[
        "INV.RESERVE id [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds] [DATA text] \
         [SPLIT PRIORITY|FEWEST|NONE] [PARTIAL] [BUYER buyer] [ONCE token] ITEMS sku quantity [sku quantity ...]",
        "INV.REPLACE old new [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds] [DATA text] \
         [SPLIT PRIORITY|FEWEST|NONE] [PARTIAL] [BUYER buyer] [ONCE token] ITEMS sku quantity [sku quantity ...]",
        "INV.COMMIT id [LATE] [ONCE token] [ITEMS sku quantity [sku quantity ...]]",
        "INV.ROLLBACK id [FENCE] [ONCE token] [ITEMS sku quantity [sku quantity ...]]",
        "INV.EXTEND id EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds [ONCE token]",
        "INV.GET id",
        "INV.SCAN cursor [MATCH pattern] [PRODUCT product] [COUNT count] [FULL]",
        "INV.STOCK product [product ...]",
        "INV.ADJUST sku delta [FORCE] [ONCE token] [NOTE text]",
        "INV.SET sku AVAILABLE available|ONHAND on-hand [IFEQ current] [FORCE] [ONCE token] [NOTE text]",
        "INV.WAREHOUSES product SET warehouse priority|CLOSED [warehouse priority|CLOSED ...]|DEL warehouse",
        "INV.TRANSFER product from to quantity [ONCE token] [NOTE text]",
        "INV.THRESHOLD product n|OFF|DEFAULT",
        "INV.FLOOR sku n",
        "INV.LIMIT product n|OFF",
        "INV.QUOTA product buyer",
        "INV.ALERTS [PRODUCT product] [TYPE LOW_STOCK|OUT_OF_STOCK|BACK_IN_STOCK] [SINCE since] [BEFORE before] [COUNT count]",
        "INV.AUDIT sku",
        "INV.AUDITSCAN cursor [COUNT count]",
        "INV.REPAIR sku [FORCE]",
        "INV.STOCKSCAN cursor [MATCH pattern] [COUNT count] [LOW]",
        "INV.MRESERVE [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds] numreservations \
         id numitems sku quantity [sku quantity ...] [id numitems sku quantity [sku quantity ...] ...]",
        "INV.MCOMMIT id [id ...]",
        "INV.MROLLBACK id [id ...]",
    ];
    assert_eq!(HINTS.len(), COMMANDS.len());
    let server = Server::start();
    let mut client = server.connect();
    for expected in HINTS {
        let name = expected.split(' ').next().expect("a name");
        let documents = client.ask(["COMMAND", "DOCS", name]);
        let document = documents.as_object().and_then(|documents| documents.values().next()).expect(name);
        assert_eq!(format!("{name} {}", hint(&document["arguments"], " ")), *expected);
    }
}

/// Types into the cli that `make cli` starts and reads its hints: an option that has been typed is not
/// offered again.
#[test]
fn the_hints_in_the_cli_follow_what_is_typed() {
    let server = Server::start();
    let start = format!("exec '{}' -p {}", cli().display(), server.port());
    // Wide enough that no line is broken.
    let terminal = Terminal::start(400, 10, &[("LC_ALL", "C.UTF-8"), ("HOME", "/nonexistent")], &start);
    terminal.wait_for(&format!("{}>", server.port()));
    let mut line = String::new();
    for (typed, offered, not_offered) in [
        ("INV.RESERVE ", "id [EX seconds|PX milliseconds|", "(error)"),
        ("RES-1 ", "[EX seconds|PX milliseconds|", "id "),
        ("EX ", "seconds ", "milliseconds"),
        ("900 ", "[DATA text] ", "seconds"),
        ("ONCE t ", "[DATA text] ", "ONCE"),
        ("ITEMS ", "sku quantity [sku quantity ...]", "DATA"),
        ("P 1 ", "[sku quantity ...]", "ITEMS"),
    ] {
        line += typed;
        terminal.press(&["-l", typed]);
        terminal.wait(&format!("{offered} after {line}"), |screen| {
            let hint = screen.split_once(&line).unwrap_or_default().1;
            hint.starts_with(offered) && !hint.contains(not_offered)
        });
    }
}

#[test]
fn the_keys_of_a_command_are_its_ids() {
    let server = Server::start();
    let mut client = server.connect();
    for (command, keys) in [
        ("INV.RESERVE R1 ITEMS P 1", json!(["R1", "P"])),
        ("INV.RESERVE R1 EX 60 DATA text items P 1 Q 2 S 3", json!(["R1", "P", "Q", "S"])),
        ("INV.RESERVE ITEMS ITEMS P 1", json!(["ITEMS", "P"])),
        ("INV.REPLACE R1 R2 ITEMS P 1", json!(["R1", "R2", "P"])),
        ("INV.REPLACE R1 R1 EX 60 DATA text PARTIAL items P 1 Q 2", json!(["R1", "R1", "P", "Q"])),
        ("INV.REPLACE ITEMS ITEMS ITEMS P 1", json!(["ITEMS", "ITEMS", "P"])),
        ("INV.COMMIT R1", json!(["R1"])),
        ("INV.COMMIT R1 ONCE t ITEMS P 1 Q 2", json!(["R1", "P", "Q"])),
        ("INV.ROLLBACK R1", json!(["R1"])),
        ("INV.ROLLBACK R1 FENCE ONCE t", json!(["R1"])),
        ("INV.ADJUST P 5 NOTE Q", json!(["P"])),
        ("INV.SCAN 0 MATCH Q* PRODUCT P FULL", json!(["P"])),
        ("INV.ROLLBACK R1 ITEMS P 1", json!(["R1", "P"])),
        ("INV.EXTEND R1 EX 60", json!(["R1"])),
        ("INV.GET R1", json!(["R1"])),
        ("INV.STOCK P Q S", json!(["P", "Q", "S"])),
        ("INV.ADJUST P 5", json!(["P"])),
        ("INV.SET P AVAILABLE 5", json!(["P"])),
        ("INV.THRESHOLD P 5", json!(["P"])),
        ("INV.FLOOR P@A -5", json!(["P@A"])),
        ("INV.LIMIT P 5", json!(["P"])),
        ("INV.QUOTA P Q", json!(["P"])),
        ("INV.RESERVE R1 BUYER Q ITEMS P 1", json!(["R1", "P"])),
        ("INV.ALERTS PRODUCT P COUNT 5", json!(["P"])),
        ("INV.ALERTS COUNT 5 product P", json!(["P"])),
        ("INV.SCAN 0 COUNT 5 PRODUCT P", json!(["P"])),
        ("INV.AUDIT P", json!(["P"])),
        ("INV.REPAIR P FORCE", json!(["P"])),
        ("INV.RESERVE R1 SPLIT fewest ITEMS P 1 P@A 2", json!(["R1", "P", "P@A"])),
        ("INV.WAREHOUSES P SET A 1 B 2", json!(["P"])),
        ("INV.TRANSFER P A B 5", json!(["P"])),
    ] {
        assert_eq!(client.ask(format!("COMMAND GETKEYS {command}")), keys, "{command}");
    }
}

/// The server determines the keys of a call before the module parses it: for the ACL, for routing in a cluster, and for
/// prefetching.
#[test]
fn a_call_that_is_too_short_has_no_keys_and_no_user_may_do_more_by_it() {
    let (server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    let mut clerk = user(&server, "~none:* +@inventory");
    let before = shop.contents();
    for (name, ..) in COMMANDS {
        let answer = shop.try_ask(format!("COMMAND GETKEYS {name}"));
        assert!(matches!(&answer, Err(error) if code(error) == "ERR"), "{name}: {answer:?}");
        for words in ["", " P", " R1", " R1 ITEMS", " P SET", " 0 PRODUCT", " R1 LATE ITEMS P"] {
            let command = format!("{name}{words}");
            if let Err(error) = clerk.try_ask(command.clone()) {
                assert!(["ERR", "NOPERM"].contains(&code(&error)), "{command}: {error}");
            } else {
                assert_eq!(command, "INV.ALERTS", "answered");
            }
        }
        assert_eq!(shop.contents(), before, "{name}");
    }
}

/// A value that looks like a keyword would make the server take other arguments for keys.
#[test]
fn no_value_of_an_option_hides_a_key() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE LIVE ITEMS P 1");
    for command in [
        "INV.RESERVE R1 DATA ITEMS ITEMS P 1",
        "INV.RESERVE R1 ONCE items ITEMS P 1",
        "INV.RESERVE R1 DATA Items ONCE t ITEMS P 1",
        "INV.REPLACE LIVE R1 DATA ITEMS ITEMS P 1",
        "INV.REPLACE LIVE R1 ONCE items PARTIAL ITEMS P 1",
        "INV.COMMIT LIVE ONCE ITEMS ITEMS P 1",
        "INV.ROLLBACK LIVE ONCE ITEMS",
        "INV.ALERTS TYPE PRODUCT PRODUCT P",
        "INV.ALERTS PRODUCT product",
        "INV.SCAN 0 COUNT PRODUCT PRODUCT P",
        "INV.SCAN 0 MATCH PRODUCT PRODUCT P",
    ] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "ERR", "{command}: {refusal}");
    }
}

/// A connection of a user with these rules.
fn user(server: &Server, rules: &str) -> Client {
    server.connect().ask(format!("ACL SETUSER clerk reset on nopass -@all {rules}"));
    let mut client = server.connect();
    client.ask("AUTH clerk any");
    client
}

#[test]
fn the_category_inventory_holds_all_commands() {
    let (server, mut shop) = shop(&[("P", 10)]);
    let mut clerk = user(&server, "~* +@inventory");
    for command in [
        "INV.RESERVE R1 ITEMS P 3",
        "INV.EXTEND R1 EX 60",
        "INV.REPLACE R1 R1 ITEMS P 2",
        "INV.COMMIT R1 ITEMS P 1",
        "INV.ROLLBACK R1",
        "INV.GET R1",
        "INV.STOCK P",
        "INV.ADJUST P 1",
        "INV.SET P AVAILABLE 1",
        "INV.THRESHOLD P 1",
        "INV.FLOOR P 1",
        "INV.WAREHOUSES Q SET A 1 B 2",
        "INV.ADJUST Q@A 1",
        "INV.TRANSFER Q A B 1",
        "INV.ALERTS",
    ] {
        assert!(clerk.try_ask(command).is_ok(), "{command}: {:?}", clerk.try_ask(command));
    }
    assert_eq!(code(&clerk.refusal("GET stock:available:P")), "NOPERM");

    let mut other = user(&server, "~* +@all -@inventory");
    assert_eq!(other.ask("GET stock:available:P"), shop.ask("GET stock:available:P"));
    assert_eq!(code(&other.refusal("INV.GET R1")), "NOPERM");
}

#[test]
fn key_patterns_of_a_user_see_the_ids() {
    let (server, mut shop) = shop(&[("shop1:p", 10), ("shop2:p", 10)]);
    shop.ask("INV.RESERVE shop2:r ITEMS shop2:p 1");
    let mut clerk = user(&server, "~shop1:* +@inventory");
    assert_eq!(clerk.ask("INV.RESERVE shop1:r ITEMS shop1:p 1")["reservation_id"], "shop1:r");
    assert_eq!(clerk.ask("INV.COMMIT shop1:r"), "OK");
    for command in [
        "INV.RESERVE shop1:x ITEMS shop2:p 1",
        "INV.RESERVE shop1:x ITEMS shop1:p 1 shop2:p 1",
        "INV.RESERVE shop2:x ITEMS shop1:p 1",
        "INV.REPLACE shop2:r shop1:x ITEMS shop1:p 1",
        "INV.REPLACE shop1:x shop2:r ITEMS shop1:p 1",
        "INV.REPLACE shop1:x shop1:x ITEMS shop2:p 1",
        "INV.COMMIT shop2:r",
        "INV.ROLLBACK shop2:r",
        "INV.GET shop2:r",
        "INV.STOCK shop1:p shop2:p",
        "INV.ADJUST shop2:p 1",
        "INV.ALERTS PRODUCT shop2:p",
    ] {
        assert_eq!(code(&clerk.refusal(command)), "NOPERM", "{command}");
    }
    assert_eq!(shop.counters("shop2:p"), (9, 1));
}

#[test]
fn alerts_of_the_node_show_only_what_the_user_may_see() {
    let (server, mut shop) = shop(&[("shop1:p", 5), ("shop2:p", 5)]);
    shop.ask("INV.RESERVE R1 ITEMS shop1:p 5 shop2:p 5");
    assert_eq!(shop.ask("INV.ALERTS").as_array().map(Vec::len), Some(2));
    let seen = user(&server, "~shop1:* +@inventory").ask("INV.ALERTS");
    assert_eq!((seen.as_array().map(Vec::len), &seen[0]["product_id"]), (Some(1), &json!("shop1:p")));
}

#[test]
fn a_full_server_still_sells_and_releases() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    shop.ask("INV.RESERVE R2 ITEMS P 1");
    shop.ask("CONFIG SET maxmemory 1");
    for command in [
        "INV.RESERVE R3 ITEMS P 1",
        "INV.REPLACE R1 R1 ITEMS P 2",
        "INV.EXTEND R1 EX 60",
        "INV.ADJUST P 1",
        "INV.SET P AVAILABLE 1",
    ] {
        assert_eq!(code(&shop.refusal(command)), "OOM", "{command}");
    }
    for command in ["INV.COMMIT R1", "INV.ROLLBACK R2"] {
        assert_eq!(shop.ask(command), "OK", "{command}");
    }
    assert_eq!(shop.counters("P"), (9, 0));
}

//! What a user can use and see, according to ACL rules: here, users of one of two shops, or of neither.
//!
//! The units and texts of shop2 are distinctive, so that they can be found in any reply.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::{
    Client, Contents, Json, SOON, Server, Words, assert_same, code, json, module, server_program, wait_for,
    wire_code,
};
use crate::shop::shop_with;

/// Units of each product of shop2, and the digits with which every number derived from them begins.
const UNITS: i64 = 314_159_265_358_000;
const SECRETS: [&str; 3] = ["3141592653", "1570796326", "nightingale"];

/// A working day of shop1. Its clerk may run each line, in this order. Each `shop1` in a line is in a position where the server
/// checks an id.
const LINES: &[&str] = &[
    "INV.RESERVE shop1:a ITEMS shop1:p 1",
    "INV.RESERVE shop1:b EX 600 DATA text SPLIT fewest ONCE t ITEMS shop1:p 1 shop1:q 2 shop1:w 3",
    "INV.RESERVE shop1:c PX 600000 SPLIT none ITEMS shop1:w@A 1",
    "INV.RESERVE shop1:d EXAT 4000000000 SPLIT priority ITEMS shop1:w 1",
    "INV.RESERVE shop1:* PXAT 4000000000000 ONCE t ITEMS shop1:q 1",
    "INV.RESERVE shop1:e PARTIAL ITEMS shop1:p 1",
    "INV.REPLACE shop1:e shop1:e EX 600 DATA text ITEMS shop1:p 1 shop1:q 1",
    "INV.REPLACE shop1:e shop1:f PX 600000 SPLIT none PARTIAL ONCE t ITEMS shop1:w@A 1 shop1:q 1",
    "INV.EXTEND shop1:a EX 700",
    "INV.EXTEND shop1:a PX 700000 ONCE t",
    "INV.EXTEND shop1:a EXAT 4000000000",
    "INV.EXTEND shop1:a PXAT 4000000000000",
    "INV.GET shop1:a",
    "INV.GET shop1:none",
    "INV.COMMIT shop1:b ONCE t ITEMS shop1:p 1 shop1:q 1",
    "INV.COMMIT shop1:b",
    "INV.COMMIT shop1:over LATE",
    "INV.MRESERVE EX 600 2 shop1:m1 1 shop1:p 1 shop1:m2 2 shop1:p 1 shop1:q 1",
    "INV.MRESERVE 1 shop1:m3 1 shop1:q 1",
    "INV.MCOMMIT shop1:m1 shop1:m3",
    "INV.MROLLBACK shop1:m2 shop1:m2",
    "INV.ROLLBACK shop1:c ITEMS shop1:w@A 1",
    "INV.ROLLBACK shop1:a ONCE t",
    "INV.STOCK shop1:p",
    "INV.STOCK shop1:p shop1:q shop1:w shop1:none",
    "INV.ADJUST shop1:p 5",
    "INV.ADJUST shop1:w@A -1 ONCE t",
    "INV.SET shop1:p AVAILABLE 50 ONCE t",
    "INV.SET shop1:p ONHAND 500 IFEQ 500",
    "INV.SET shop1:w@B AVAILABLE 50",
    "INV.FLOOR shop1:p 5",
    "INV.FLOOR shop1:w@A -5",
    "INV.ADJUST shop1:p -1 FORCE",
    "INV.THRESHOLD shop1:p 5",
    "INV.THRESHOLD shop1:p OFF",
    "INV.THRESHOLD shop1:p DEFAULT",
    "INV.LIMIT shop1:limited 5",
    "INV.LIMIT shop1:limited OFF",
    "INV.QUOTA shop1:p ann",
    "INV.ADJUST shop1:p@@ann 0",
    "INV.AUDIT shop1:p@@ann",
    "INV.WAREHOUSES shop1:new SET A 1 B 2",
    "INV.WAREHOUSES shop1:new DEL B",
    "INV.TRANSFER shop1:w A B 1 ONCE t",
    "INV.SCAN 0 PRODUCT shop1:p",
    "INV.SCAN 0 COUNT 5 PRODUCT shop1:p",
    "INV.ALERTS PRODUCT shop1:low",
    "INV.ALERTS TYPE LOW_STOCK SINCE 0 COUNT 5 PRODUCT shop1:low",
    "INV.AUDIT shop1:drift",
    "INV.AUDIT shop1:w@A",
    "INV.REPAIR shop1:drift FORCE",
    "INV.REPAIR shop1:p",
    "INV.AUDITSCAN 0",
    "INV.STOCKSCAN 0",
    "INV.ROLLBACK shop1:never FENCE",
];

/// Walks over the node. Those with a cursor are followed to their end.
const WALKS: &[&str] = &[
    "INV.SCAN 0",
    "INV.SCAN 0 COUNT 1",
    "INV.SCAN 0 COUNT 1000",
    "INV.SCAN 0 FULL",
    "INV.SCAN 0 MATCH *:r FULL",
    "INV.STOCKSCAN 0",
    "INV.STOCKSCAN 0 COUNT 1 MATCH *",
    "INV.STOCKSCAN 0 LOW",
    "INV.AUDITSCAN 0",
    "INV.AUDITSCAN 0 COUNT 1",
    "INV.AUDITSCAN 0 COUNT 1000",
    "INV.ALERTS",
    "INV.ALERTS COUNT 1",
    "INV.ALERTS COUNT 1000",
    "INV.ALERTS SINCE 0",
    "INV.ALERTS BEFORE 4102444800000 COUNT 1",
    "INV.ALERTS TYPE LOW_STOCK",
    "INV.ALERTS TYPE low_stock SINCE 0 COUNT 1000",
];

/// A keyword in each position where one could be hidden. The arguments that the server then takes for keys are mostly ids that
/// its user may name; for the module, all lines are syntax errors.
const HIDDEN_KEYWORDS: &[&str] = &[
    "INV.RESERVE shop1:x DATA ITEMS ITEMS shop2:p 1",
    "INV.RESERVE shop1:x DATA ITEMS shop1:p ITEMS shop2:p 1",
    "INV.RESERVE shop1:x ONCE items ITEMS shop2:p 1",
    "INV.RESERVE shop1:x SPLIT ITEMS ITEMS shop2:p 1",
    "INV.RESERVE shop1:x EX ITEMS ITEMS shop2:p 1",
    "INV.RESERVE shop1:x DATA PRODUCT ITEMS shop1:p 1 ITEMS shop2:p",
    "INV.RESERVE shop1:x ITEMS shop1:p 1 ITEMS shop2:p 1 1",
    "INV.RESERVE shop1:x ITEMS shop1:p shop2:p",
    "INV.RESERVE shop1:x ITEMS ITEMS shop2:p",
    "INV.REPLACE shop1:r shop1:x DATA ITEMS ITEMS shop2:p 1",
    "INV.REPLACE shop1:r shop1:x ONCE items ITEMS shop2:p 1",
    "INV.REPLACE shop1:r ITEMS shop1:p ITEMS shop2:p",
    "INV.REPLACE shop1:r shop1:x PARTIAL ITEMS shop1:p shop2:p",
    "INV.COMMIT shop1:r ONCE ITEMS ITEMS shop2:p 1",
    "INV.COMMIT shop1:r ONCE iTeMs shop1:p ITEMS shop2:p 1",
    "INV.COMMIT shop1:r ITEMS shop1:p 1 ITEMS shop2:p 1 1",
    "INV.COMMIT shop1:r LATE ITEMS 1 shop2:p 1",
    "INV.ROLLBACK shop1:r ONCE ITEMS ITEMS shop2:p 1",
    "INV.ROLLBACK shop1:r ITEMS shop1:p shop2:p",
    "INV.EXTEND shop1:r ONCE ITEMS EX 5",
    "INV.MRESERVE +1 shop2:x 1 shop2:p 1",
    "INV.MRESERVE 1 shop1:x 01 shop2:p 1",
    "INV.MRESERVE 2 shop1:x 1 shop1:p 1 shop1:y 01 shop2:p 1",
    "INV.MRESERVE PX 1 EX 1 1 shop2:x 1 shop2:p 1",
    "INV.ALERTS TYPE PRODUCT PRODUCT shop2:low",
    "INV.ALERTS SINCE PRODUCT shop1:p PRODUCT shop2:low",
    "INV.ALERTS COUNT product shop1:p PRODUCT shop2:low",
    "INV.ALERTS BEFORE PRODUCT PRODUCT shop2:low",
    "INV.ALERTS PRODUCT shop1:p PRODUCT shop2:low",
    "INV.ALERTS PRODUCT PRODUCT shop2:low",
    "INV.SCAN 0 COUNT PRODUCT PRODUCT shop2:p",
    "INV.SCAN 0 COUNT PRODUCT shop1:p PRODUCT shop2:p",
    "INV.SCAN 0 PRODUCT shop1:p PRODUCT shop2:p",
    "INV.AUDITSCAN 0 PRODUCT shop2:p",
    "INV.AUDITSCAN 0 shop2:p",
    "INV.WAREHOUSES shop1:w SET shop2:w@A 1",
    "INV.WAREHOUSES shop1:w DEL shop2:w@A",
    "INV.TRANSFER shop1:w A shop2:w@A 1",
    "INV.TRANSFER shop1:w shop2:w@A A 1",
];

/// Refusals of the module to a clerk of shop1: their texts reveal nothing about shop2.
const REFUSED: &[(&str, &str)] = &[
    ("INV.RESERVE shop1:big ITEMS shop1:p 999999", "INSUFFICIENT"),
    ("INV.RESERVE shop1:big SPLIT none ITEMS shop1:w 999999", "INSUFFICIENT"),
    ("INV.RESERVE shop1:r ITEMS shop1:p 5", "MISMATCH"),
    ("INV.RESERVE shop1:done ITEMS shop1:p 5", "COMMITTED"),
    ("INV.RESERVE shop1:over ITEMS shop1:p 5", "EXPIRED"),
    ("INV.RESERVE shop1:more ONCE t ITEMS shop1:none 5", "INSUFFICIENT"),
    ("INV.REPLACE shop1:r shop1:r ITEMS shop1:p 999999", "INSUFFICIENT"),
    ("INV.REPLACE shop1:done shop1:x ITEMS shop1:p 1", "COMMITTED"),
    ("INV.REPLACE shop1:r shop1:over ITEMS shop1:p 1", "EXPIRED"),
    ("INV.COMMIT shop1:none", "NOTFOUND"),
    ("INV.COMMIT shop1:over", "EXPIRED"),
    ("INV.ROLLBACK shop1:done", "COMMITTED"),
    ("INV.EXTEND shop1:none EX 5", "NOTFOUND"),
    ("INV.COMMIT shop1:r ITEMS shop1:q 1", "ERR"),
    ("INV.ADJUST shop1:p -999999", "INSUFFICIENT"),
    ("INV.ADJUST shop1:w 5", "ERR"),
    ("INV.SET shop1:p ONHAND 1", "OVERCOMMITTED"),
    ("INV.TRANSFER shop1:w A NONE 1", "ERR"),
    ("INV.TRANSFER shop1:w A B 999999", "INSUFFICIENT"),
    ("INV.WAREHOUSES shop1:p SET A 1", "ERR"),
    ("INV.WAREHOUSES shop1:w DEL A", "ERR"),
    ("INV.GET shop1:foreign", "FOREIGN"),
    ("INV.REPAIR shop1:drift", "FOREIGN"),
    ("INV.SCAN x", "ERR"),
];

/// A script or function that runs its arguments as a command.
const CALL: &str = "return redis.call(unpack(ARGV))";
const PCALL: &str = "return redis.pcall(unpack(ARGV))";
const MAY_CALL: &str = "return redis.acl_check_cmd(unpack(ARGV)) and 1 or 0";
const LIBRARY: &str = "#!lua name=shops
redis.register_function('run', function(keys, args) return redis.call(unpack(args)) end)";

/// Two shops in one server, which differ only in their numbers and texts.
struct Town {
    server: Server,
    admin: Client,
    is_tagged: bool,
}

impl Town {
    fn new(is_tagged: bool) -> Self {
        let style = if is_tagged { "inv.key-style tagged" } else { "inv.key-style plain" };
        let server = Server::start_with(&[style, "enable-module-command yes", "inv.max-hold-ms 0"]);
        let admin = server.connect();
        let mut town = Self { server, admin, is_tagged };
        town.furnish("shop1", 1000, "sparrow");
        town.furnish("shop2", UNITS, "nightingale");
        town.admin.ask(["FUNCTION", "LOAD", LIBRARY]);
        town
    }

    fn furnish(&mut self, shop: &str, units: i64, text: &str) {
        let half = units / 2;
        for line in [
            format!("SET stock:available:{shop}:p {units}"),
            format!("SET stock:available:{shop}:q {units}"),
            format!("SET stock:available:{shop}:low {units}"),
            format!("SET stock:available:{shop}:drift 0"),
            format!("SET stock:reserved:{shop}:drift {units}"),
            format!("INV.WAREHOUSES {shop}:w SET A 1 B 2"),
            format!("INV.SET {shop}:w@A AVAILABLE {units}"),
            format!("INV.SET {shop}:w@B AVAILABLE {units}"),
            format!("INCRBY stock:reserved:{shop}:w@B {units}"),
            format!("INV.THRESHOLD {shop}:low {half}"),
            format!("INV.RESERVE {shop}:l ITEMS {shop}:low {}", half + 1),
            format!("INV.RESERVE {shop}:r EX 900 DATA {text} ONCE {text} ITEMS {shop}:p 10"),
            format!("INV.RESERVE {shop}:done DATA {text} ITEMS {shop}:q 3"),
            format!("INV.COMMIT {shop}:done"),
            format!("INV.RESERVE {shop}:over PX 1 DATA {text} ITEMS {shop}:q 2"),
        ] {
            let line = self.spell(&line);
            self.admin.ask(line);
        }
        let over = self.spell(&format!("INV.GET {shop}:over"));
        wait_for("one reservation has expired", SOON, true, || {
            self.admin.ask(&over)["resolved_at"].is_number()
        });
    }

    /// In tagged style, the shop is the tag of all its ids.
    fn spell(&self, line: &str) -> String {
        if self.is_tagged {
            line.replace("shop1", "{shop1}").replace("shop2", "{shop2}")
        } else {
            line.to_owned()
        }
    }

    /// A connection of a user with these rules.
    fn user(&mut self, rules: &str) -> Client {
        let rules = self.spell(rules);
        self.admin.ask(format!("ACL SETUSER clerk reset on nopass {rules}"));
        let mut client = self.server.connect();
        client.ask("AUTH clerk any");
        client
    }

    /// A clerk of shop1, who may run scripts and transactions.
    fn clerk(&mut self) -> Client {
        self.user("~shop1* +@inventory +@scripting +@transaction")
    }

    /// All keys of shop2 with their values and deadlines.
    fn of_shop2(&mut self) -> Contents {
        let mut contents = self.admin.contents();
        contents.retain(|key, _| key.contains("shop2"));
        assert!(contents.len() > 10, "{contents:?}");
        contents
    }

    /// Whether the ACL allows this line, according to the server.
    fn dry_run(&mut self, line: &str) -> bool {
        self.admin.ask(format!("ACL DRYRUN clerk {line}")) == "OK"
    }
}

/// Asserts that a reply reveals nothing about shop2.
#[track_caller]
fn tells_nothing(line: &str, reply: &Result<Json, String>) {
    let text = match reply {
        Ok(reply) => reply.to_string(),
        Err(error) => error.clone(),
    };
    for secret in SECRETS {
        assert!(!text.contains(secret), "{line}: {text}");
    }
}

/// Whether the server itself refused the command, directly or in a script.
fn is_denied(error: &str) -> bool {
    code(error) == "NOPERM" || error.contains("ACL failure in script")
}

/// The words of a command that runs another one.
fn by(way: &[&str], line: &str) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = way.iter().map(|word| word.as_bytes().to_vec()).collect();
    words.extend(line.words());
    words
}

/// Each way to send a line, except MULTI.
fn ways(sha: &str, line: &str) -> Vec<Vec<Vec<u8>>> {
    vec![
        line.words(),
        by(&["EVAL", CALL, "0"], line),
        by(&["EVAL", PCALL, "0"], line),
        by(&["EVALSHA", sha, "0"], line),
        by(&["FCALL", "run", "0"], line),
    ]
}

/// The line with one or all of its ids replaced by those of the other shop.
fn trespasses(town: &Town, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let shop = town.spell("shop1");
    let own = |word: &&str| word.starts_with(&*shop);
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate().filter(|(_, word)| own(word)) {
        let other = word.replace("shop1", "shop2");
        for id in
            [&*other, "shop2:p", "{shop2}:p", "shop2*", "{shop2}*", "*", "?hop1:p", "{*}:p", "shop", "ITEMS"]
        {
            let mut words: Vec<&str> = words.clone();
            words[place] = id;
            found.push(words.join(" "));
        }
    }
    if words.iter().any(own) {
        found.push(line.replace("shop1", "shop2"));
    }
    found
}

#[test]
fn a_user_of_one_shop_cannot_touch_another() {
    for is_tagged in [false, true] {
        let mut town = Town::new(is_tagged);
        let mut clerk = town.clerk();
        let sha = clerk.ask(["SCRIPT", "LOAD", CALL]).as_str().expect("a digest").to_owned();
        let before = town.of_shop2();
        for line in LINES {
            let line = town.spell(line);
            for trespass in trespasses(&town, &line) {
                for way in ways(&sha, &trespass) {
                    let reply = clerk.try_ask(way);
                    tells_nothing(&trespass, &reply);
                    assert!(reply.as_ref().is_err_and(|error| is_denied(error)), "{trespass}: {reply:?}");
                }
                let queued = clerk.burst(&["MULTI", &trespass, "EXEC"]);
                assert_eq!(
                    [wire_code(&queued[1]), wire_code(&queued[2])],
                    ["-NOPERM", "-EXECABORT"],
                    "{trespass}"
                );
                assert!(!town.dry_run(&trespass), "{trespass}");
                assert_eq!(clerk.ask(by(&["EVAL", MAY_CALL, "0"], &trespass)), 0, "{trespass}");
            }
            assert!(town.dry_run(&line), "{line}");
            assert_eq!(clerk.ask(by(&["EVAL", MAY_CALL, "0"], &line)), 1, "{line}");
            let reply = clerk.try_ask(&line);
            tells_nothing(&line, &reply);
            assert!(reply.is_ok(), "{line}: {reply:?}");
        }
        assert_same(&town.of_shop2(), &before);
    }
}

#[test]
fn the_lines_are_of_all_commands() {
    let server = Server::start();
    let listed = server.connect().ask("COMMAND LIST FILTERBY MODULE inv");
    let listed = listed.as_array().expect("an array").iter().map(|name| name.as_str().expect("a name"));
    let missing: Vec<String> = listed
        .map(str::to_uppercase)
        .filter(|name| !LINES.iter().any(|line| line.split(' ').next() == Some(name)))
        .collect();
    assert_eq!(missing, ["INV.APPLY"], "which no client may run");
}

#[test]
fn keys_that_a_script_declares_are_checked_as_well() {
    let mut town = Town::new(false);
    let mut clerk = town.clerk();
    let before = town.of_shop2();
    let script = "return redis.call('INV.ADJUST', KEYS[1], ARGV[1])";
    assert_eq!(clerk.ask(["EVAL", script, "1", "shop1:p", "5"]), 995);
    assert_eq!(code(&clerk.refusal(["EVAL", script, "1", "shop2:p", "5"])), "NOPERM");
    // Declared keys do not grant access to other keys.
    let other = "return redis.call('INV.ADJUST', ARGV[1], ARGV[2])";
    assert!(is_denied(&clerk.refusal(["EVAL", other, "1", "shop1:p", "shop2:p", "5"])));
    assert_same(&town.of_shop2(), &before);
}

#[test]
fn rights_are_looked_at_again_when_a_transaction_runs() {
    let mut town = Town::new(false);
    let mut clerk = town.user("~shop1* ~shop2* +@inventory +@transaction");
    clerk.ask("MULTI");
    clerk.ask("INV.STOCK shop2:p");
    clerk.ask("INV.SCAN 0");
    town.admin.ask("ACL SETUSER clerk resetkeys ~shop1*");
    let replies = clerk.ask("EXEC");
    tells_nothing("EXEC", &Ok(replies.clone()));
    assert_eq!(wire_code(&replies[0]), "-NOPERM");
    assert!(!replies[1].to_string().contains("shop2"), "{replies}");
}

/// All pages of a walk as one text.
fn walk(clerk: &mut Client, way: &[&str], line: &str) -> String {
    let mut found = String::new();
    let mut line = line.to_owned();
    for _ in 0..100 {
        let page = clerk.ask(by(way, &line));
        if line.starts_with("INV.ALERTS") {
            return page.to_string();
        }
        found += &page[1].to_string();
        let cursor = page[0].as_str().expect("a cursor");
        if cursor == "0" {
            return found;
        }
        let words: Vec<&str> = line.split(' ').collect();
        line = [&[words[0], cursor], &words[2..]].concat().join(" ");
    }
    panic!("{line}: no end");
}

/// Asserts that the walks of this user return something of shop1, and nothing else.
#[track_caller]
fn walks_tell_of_shop1_alone(clerk: &mut Client, ways: &[&[&str]]) {
    walks_tell_of_both_only_if(clerk, ways, |_| false);
}

/// The same, except for walks whose one-by-one counterpart the user may send about shop2.
#[track_caller]
fn walks_tell_of_both_only_if(clerk: &mut Client, ways: &[&[&str]], of_both: impl Fn(&str) -> bool) {
    for way in ways {
        for line in WALKS {
            if of_both(line) {
                let found = walk(clerk, way, line);
                assert!(found.contains("shop1") && found.contains("shop2"), "{way:?} {line}: {found}");
                continue;
            }
            let found = walk(clerk, way, line);
            assert!(found.contains("shop1") && !found.contains("shop2"), "{way:?} {line}: {found}");
            tells_nothing(line, &Ok(found.into()));
        }
    }
}

#[test]
fn a_user_of_one_shop_sees_nothing_of_another_on_a_walk() {
    for is_tagged in [false, true] {
        let mut town = Town::new(is_tagged);
        for line in WALKS {
            let found = walk(&mut town.admin, &[], line);
            assert!(found.contains("shop2"), "{line}: {found}");
        }
        let mut clerk = town.clerk();
        let sha = clerk.ask(["SCRIPT", "LOAD", CALL]).as_str().expect("a digest").to_owned();
        let ways: [&[&str]; 5] = [
            &[],
            &["EVAL", CALL, "0"],
            &["EVAL", PCALL, "0"],
            &["EVALSHA", &sha, "0"],
            &["FCALL", "run", "0"],
        ];
        walks_tell_of_shop1_alone(&mut clerk, &ways);
        let forged: Vec<String> = [0_i64, 1, 1_700_000_000_000, 4_000_000_000_000, i64::MAX]
            .iter()
            .flat_map(|at| (0..6).map(move |slot| format!("INV.SCAN {at}-{slot}")))
            .chain((0..12).flat_map(|at| [format!("INV.AUDITSCAN c{at}"), format!("INV.AUDITSCAN h{at}")]))
            .chain((0..12).flat_map(|at| [format!("INV.STOCKSCAN c{at}"), format!("INV.STOCKSCAN w{at}")]))
            .collect();
        for line in WALKS.iter().map(|&line| line.to_owned()).chain(forged) {
            let replies = clerk.burst(&["MULTI", &line, "EXEC"]);
            let found = replies[2].to_string();
            assert!(!found.contains("shop2"), "{line}: {found}");
            tells_nothing(&line, &Ok(found.into()));
        }
    }
}

#[test]
fn no_keyword_in_a_value_opens_another_shop() {
    for is_tagged in [false, true] {
        let mut town = Town::new(is_tagged);
        let mut clerk = town.user("~shop1* ~ITEMS ~PRODUCT ~1 +@inventory +@scripting");
        let before = town.of_shop2();
        let mut passed = 0;
        for line in HIDDEN_KEYWORDS {
            let line = town.spell(line);
            for way in [line.words(), by(&["EVAL", CALL, "0"], &line)] {
                let reply = clerk.try_ask(way);
                tells_nothing(&line, &reply);
                let error = reply.expect_err(&line);
                assert!(["ERR", "NOPERM"].contains(&code(&error)), "{line}: {error}");
            }
            passed += usize::from(town.dry_run(&line));
        }
        assert!(passed > HIDDEN_KEYWORDS.len() / 2, "the server itself allows most of them: {passed}");
        // The server compares keywords up to a NUL only.
        for word in ["ITEMS\0", "ITEMS\0x", "items\0"] {
            for (command, option) in [("INV.RESERVE", "DATA"), ("INV.COMMIT", "ONCE"), ("INV.RESERVE", word)]
            {
                let (id, sku) = (town.spell("shop1:x"), town.spell("shop2:p"));
                let error = clerk.refusal([command, &id, option, word, "ITEMS", &sku, "1"]);
                assert!(["ERR", "NOPERM"].contains(&code(&error)), "{word:?}: {error}");
            }
        }
        assert_same(&town.of_shop2(), &before);
    }
}

#[test]
fn a_refusal_tells_nothing_of_another_shop() {
    for is_tagged in [false, true] {
        let mut town = Town::new(is_tagged);
        let mut clerk = town.clerk();
        for shop in ["shop1", "shop2"] {
            let line = town.spell(&format!("SET reservation:{shop}:foreign x"));
            town.admin.ask(line);
        }
        let line = town.spell("SET reservation:shop2:other x");
        town.admin.ask(line);
        let mut before = town.of_shop2();
        for (line, expected) in REFUSED {
            let line = town.spell(line);
            let error = clerk.refusal(&line);
            assert_eq!(code(&error), *expected, "{line}: {error}");
            assert!(!error.contains("shop2"), "{line}: {error}");
            tells_nothing(&line, &Err(error));
        }
        // The number and names of foreign records are not for every user.
        let line = town.spell("INV.REPAIR shop1:drift");
        let three = clerk.refusal(&line);
        let line_of_other = town.spell("DEL reservation:shop2:other");
        town.admin.ask(line_of_other);
        assert_eq!(clerk.refusal(&line), three);
        before.retain(|key, _| !key.ends_with("other"));
        assert_same(&town.of_shop2(), &before);
    }
}

#[test]
fn no_client_may_run_the_replicated_command() {
    let mut town = Town::new(false);
    let mut clerk = town.clerk();
    let before = town.of_shop2();
    let lines = [
        "INV.APPLY 1 UNITS shop1:p 5 0",
        "INV.APPLY 1 UNITS shop1:p 5 0 UNITS shop2:p -5 0",
        "INV.APPLY 1 END shop1:r 0 {} END shop2:r 0 {}",
        "INV.APPLY 2 CLEAR shop2:p 0 0",
    ];
    for line in lines {
        for way in [line.words(), by(&["EVAL", CALL, "0"], line), by(&["FCALL", "run", "0"], line)] {
            assert!(is_denied(&clerk.refusal(way)), "{line}");
        }
    }
    // Nor in the replies to a user who may run everything.
    let mut clerk = town.user("~* +@all");
    for line in lines {
        for way in [line.words(), by(&["EVAL", CALL, "0"], line), by(&["FCALL", "run", "0"], line)] {
            let error = clerk.refusal(way);
            assert!(error.contains("INV.APPLY is internal"), "{line}: {error}");
        }
        let replies = clerk.burst(&["MULTI", line, "EXEC"]);
        assert!(replies[2][0].to_string().contains("INV.APPLY is internal"), "{line}: {}", replies[2]);
    }
    assert_same(&town.of_shop2(), &before);
}

#[test]
fn a_selector_opens_another_shop_for_its_commands_alone() {
    let mut town = Town::new(false);
    let both = "~shop1* +@inventory +@scripting";
    let mut clerk = town.user(&format!("{both} (~shop2* +@inventory)"));
    assert_eq!(clerk.ask("INV.STOCK shop2:q")[0]["available"], UNITS - 3);
    assert!(walk(&mut clerk, &[], "INV.SCAN 0").contains("shop2:r"));
    assert!(walk(&mut clerk, &[], "INV.ALERTS").contains("shop2:low"));
    assert!(walk(&mut clerk, &[], "INV.AUDITSCAN 0").contains("shop2:drift"));
    for line in ["INV.STOCK shop1:p shop2:p", "INV.RESERVE shop1:x ITEMS shop2:p 1"] {
        assert_eq!(code(&clerk.refusal(line)), "NOPERM", "{line}: no selector allows it all");
        assert!(!town.dry_run(line), "{line}");
    }

    for (selector, of_both) in [
        ("(~shop2* +inv.stock)", "STOCKSCAN"),
        ("(~* +get)", "none"),
        ("(%W~shop2* +@inventory)", "none"),
        ("(~shop2* +inv.get) (~shop2* +inv.reserve +inv.commit)", "FULL"),
        ("(~shop2* -@all)", "none"),
    ] {
        let mut clerk = town.user(&format!("{both} {selector}"));
        for line in ["INV.SCAN 0 PRODUCT shop2:p", "INV.ALERTS PRODUCT shop2:low", "INV.AUDIT shop2:drift"] {
            assert_eq!(code(&clerk.refusal(line)), "NOPERM", "{selector} {line}");
        }
        town.admin.ask("ACL LOG RESET");
        let ways: [&[&str]; 2] = [&[], &["EVAL", CALL, "0"]];
        walks_tell_of_both_only_if(&mut clerk, &ways, |line| line.contains(of_both));
        assert_eq!(town.admin.ask("ACL LOG"), json!([]), "a walk skips entries without logging them");
    }
}

#[test]
fn a_user_who_may_only_read_cannot_write_and_one_who_may_only_write_cannot_read() {
    for (rules, allowed) in [
        ("%R~shop1* +@inventory", &READERS[..]),
        // Its only reply is OK.
        (
            "%W~shop1* +@inventory",
            &["INV.FLOOR", "INV.LIMIT", "INV.THRESHOLD", "INV.AUDITSCAN", "INV.STOCKSCAN"],
        ),
    ] {
        let mut town = Town::new(false);
        let mut clerk = town.user(rules);
        for line in LINES {
            let name = line.split(' ').next().unwrap_or_default();
            let reply = clerk.try_ask(line);
            let is_allowed = reply.as_ref().map_err(|error| code(error)) != Err("NOPERM");
            assert_eq!(is_allowed, allowed.contains(&name), "{rules} {line}: {reply:?}");
            assert_eq!(town.dry_run(line), is_allowed, "{rules} {line}");
        }
        for line in WALKS {
            let found = walk(&mut clerk, &[], line);
            assert!(!found.contains("shop2"), "{rules} {line}: {found}");
            assert_eq!(found.contains("shop1"), rules.starts_with("%R"), "{rules} {line}: {found}");
        }
    }
}

#[test]
fn a_user_of_one_database_sees_what_is_in_it() {
    let mut town = Town::new(false);
    if town.admin.try_ask("ACL SETUSER clerk resetdbs db=0").is_err() {
        eprintln!("skipped: this server cannot restrict users to databases");
        return;
    }
    let mut clerk = town.user("resetdbs db=0 ~shop1* +@inventory +select");
    walks_tell_of_shop1_alone(&mut clerk, &[&[]]);
    assert_eq!(code(&clerk.refusal("SELECT 1")), "NOPERM");
    // A client that used another database before it authenticated.
    let mut clerk = town.server.connect();
    clerk.ask("SELECT 1");
    clerk.ask("SET stock:available:shop1:p 5");
    clerk.ask("SET stock:reserved:shop1:p 5");
    clerk.ask("AUTH clerk any");
    for line in LINES.iter().chain(WALKS) {
        // For the server, a command without keys may belong to no database. The module shows nothing of this one.
        if ["INV.AUDITSCAN", "INV.STOCKSCAN"].iter().any(|name| line.starts_with(name)) {
            // Some servers refuse it, others run it.
            match clerk.try_ask(line) {
                Ok(page) => assert_eq!(page[1], json!([]), "{line}"),
                Err(refusal) => assert_eq!(code(&refusal), "NOPERM", "{line}"),
            }
        } else {
            assert_eq!(code(&clerk.refusal(line)), "NOPERM", "{line}");
        }
    }
}

#[test]
fn alerts_are_published_whatever_channels_the_user_has() {
    let mut town = Town::new(false);
    let mut clerk = town.user("~shop1* resetchannels +@inventory +subscribe +publish");
    let mut listener = town.server.connect();
    listener.listen("inventory:alerts");
    clerk.ask("INV.SET shop1:q AVAILABLE 0");
    let heard = listener.heard();
    assert!(heard.iter().any(|push| push.to_string().contains("OUT_OF_STOCK")), "{heard:?}");
    for line in ["SUBSCRIBE inventory:alerts", "PUBLISH inventory:alerts x"] {
        assert_eq!(code(&clerk.refusal(line)), "NOPERM", "{line}");
    }
}

/// A user who puts an id of one shop and units of another into one reservation shares them, and needs both.
#[test]
fn a_reservation_is_of_those_who_may_name_its_id() {
    let mut town = Town::new(false);
    town.admin.ask("INV.RESERVE shop1:mixed ITEMS shop2:q 2 shop1:q 1");
    let mut clerk = town.clerk();
    assert_eq!(clerk.ask("INV.GET shop1:mixed")["items"][0]["product_id"], "shop2:q");
    assert_eq!(code(&clerk.refusal("INV.COMMIT shop1:mixed ITEMS shop2:q 1")), "NOPERM");
    assert_eq!(clerk.ask("INV.ROLLBACK shop1:mixed"), "OK");
}

/// Commands that change nothing.
const READERS: [&str; 8] = [
    "INV.GET",
    "INV.STOCK",
    "INV.STOCKSCAN",
    "INV.QUOTA",
    "INV.ALERTS",
    "INV.SCAN",
    "INV.AUDIT",
    "INV.AUDITSCAN",
];

/// Whether a command of this name is allowed.
type Allowed = fn(&str) -> bool;

/// Rules with categories, and whether they allow a command.
fn rules_by_category(admin: &mut Client) -> Vec<(String, Allowed)> {
    let reads: Allowed = |name| READERS.contains(&name);
    let writes: Allowed = |name| !READERS.contains(&name);
    let repairs: Allowed = |name| name == "INV.REPAIR";
    let (all, none): (Allowed, Allowed) = (|_| true, |_| false);
    let mut rules: Vec<(String, Allowed)> = [
        ("", none),
        ("nocommands", none),
        ("+@read", reads),
        ("+@write", writes),
        ("+@dangerous", repairs),
        ("+@read +@write", all),
        ("+@inventory -@write", reads),
        ("+@inventory -@read", writes),
        ("+@inventory -@dangerous", |name| name != "INV.REPAIR"),
        ("+@all -@write", reads),
        ("+@all -@read -@write", none),
        ("+@all -@inventory", none),
        ("allcommands -@inventory", none),
        ("-@all (+@all -@inventory ~* &*)", none),
        ("+@inventory -@inventory", none),
        ("+@all", all),
    ]
    .map(|(rules, allowed)| (rules.to_owned(), allowed))
    .into();
    let categories = admin.ask("ACL CAT");
    let categories = categories.as_array().expect("an array").iter().filter_map(Json::as_str);
    let ours = ["inventory", "read", "write", "dangerous"];
    let others: Vec<String> =
        categories.filter(|name| !ours.contains(name)).map(|name| format!("+@{name}")).collect();
    assert!(others.contains(&"+@keyspace".to_owned()), "{others:?}");
    rules.push((others.join(" "), none));
    rules
}

#[test]
fn a_category_gives_the_commands_that_are_in_it_and_no_other() {
    let mut town = Town::new(false);
    for (rules, allowed) in rules_by_category(&mut town.admin) {
        let mut clerk = town.user(&format!("~* &* {rules}"));
        for line in LINES.iter().chain(WALKS) {
            let name = line.split(' ').next().unwrap_or_default();
            assert_eq!(town.dry_run(line), allowed(name), "{rules}: {line}");
            // Allowed commands are not sent, so that the next rules find the same stock.
            if !allowed(name) {
                for way in [line.words(), by(&["EVAL", CALL, "0"], line)] {
                    let error = clerk.refusal(way);
                    assert!(is_denied(&error), "{rules} {line}: {error}");
                    tells_nothing(line, &Err(error));
                }
            }
        }
        // No category includes it, so only a user with all commands may run it; the module then refuses it.
        let has_all = rules.contains("+@all") || rules.starts_with("allcommands");
        let apply = "INV.APPLY 1 UNITS shop1:p 5 0";
        assert_eq!(town.dry_run(apply), has_all, "{rules}");
        let error = clerk.refusal(apply);
        assert!(
            is_denied(&error) || (has_all && error.contains("INV.APPLY is internal")),
            "{rules}: {error}"
        );
    }
}

#[test]
fn each_command_is_in_the_categories_that_are_said_of_it() {
    let is_listed = |category: &str, name: &str| {
        let row = format!("| `{category}` | ");
        let mut rows = include_str!("../../docs/access-control.md").lines();
        let names = rows.find_map(|line| line.strip_prefix(&row)).expect("a row of the category");
        names.trim_end_matches(" |").split(", ").any(|listed| name == format!("INV.{listed}"))
    };
    let server = Server::start();
    let mut admin = server.connect();
    for name in admin.ask("COMMAND LIST FILTERBY MODULE inv").as_array().expect("an array") {
        let name = name.as_str().expect("a name").to_uppercase();
        let expected: &[&str] = match name.as_str() {
            "INV.APPLY" => &[],
            "INV.REPAIR" => &["@dangerous", "@inventory", "@write"],
            name if is_listed("@read", name) => &["@inventory", "@read"],
            name if is_listed("@write", name) => &["@inventory", "@write"],
            name => panic!("docs/access-control.md lists {name} in no category"),
        };
        let found = admin.ask(["COMMAND", "INFO", &name])[0][6].clone();
        let mut found: Vec<&str> =
            found.as_array().expect("an array").iter().filter_map(Json::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_user_has_the_commands_of_its_categories_after_another_load_too() {
    let (server, mut admin) = shop_with(&["enable-module-command yes"], &[("P", 10)]);
    for (rules, may_read, may_write) in [
        ("+@read", true, false),
        ("+@write", false, true),
        ("+@all -@write", true, false),
        ("+@all -@inventory", false, false),
    ] {
        admin.ask(format!("ACL SETUSER clerk reset on nopass ~* {rules}"));
        admin.unload();
        admin.ask(["MODULE", "LOAD", &module().display().to_string()]);
        let mut clerk = server.connect();
        clerk.ask("AUTH clerk any");
        for (line, may) in
            [("INV.GET R1", may_read), ("INV.STOCK P", may_read), ("INV.ADJUST P 5", may_write)]
        {
            let reply = clerk.try_ask(line);
            assert_eq!(reply.as_ref().map_err(|error| code(error)).is_ok(), may, "{rules} {line}: {reply:?}");
        }
    }
}

/// A module that calls commands, as the server itself (`OTHER.CALL`), or as its caller (`OTHER.CALLAS`).
const OTHER_MODULE: &str = r#"
#include <stddef.h>
#include <string.h>
static void *(*Call)(void *, const char *, const char *, ...);
static int (*Reply)(void *, void *);
static void (*Free)(void *);
static int (*Error)(void *, const char *);
static const char *(*Text)(void *, size_t *);
static int (*Create)(void *, const char *, void *, const char *, int, int, int);
static void (*Name)(void *, const char *, int, int);
static int run(void *ctx, void **argv, int argc, const char *format) {
    if (argc < 2) return Error(ctx, "ERR what?");
    void *reply = Call(ctx, Text(argv[1], NULL), format, argv + 2, (size_t)(argc - 2));
    if (!reply) return Error(ctx, "ERR no reply");
    Reply(ctx, reply);
    Free(reply);
    return 0;
}
static int call(void *ctx, void **argv, int argc) { return run(ctx, argv, argc, "Ev"); }
static int call_as(void *ctx, void **argv, int argc) { return run(ctx, argv, argc, "CEv"); }
int RedisModule_OnLoad(void *ctx, void **argv, int argc) {
    int (*get)(const char *, void *) = *(int (**)(const char *, void *))ctx;
    (void)argv, (void)argc;
    get("RedisModule_Call", &Call), get("RedisModule_ReplyWithCallReply", &Reply);
    get("RedisModule_FreeCallReply", &Free), get("RedisModule_ReplyWithError", &Error);
    get("RedisModule_StringPtrLen", &Text), get("RedisModule_CreateCommand", &Create);
    get("RedisModule_SetModuleAttribs", &Name);
    Name(ctx, "other", 1, 1);
    return Create(ctx, "other.call", call, "", 0, 0, 0) || Create(ctx, "other.callas", call_as, "", 0, 0, 0);
}
"#;

/// Compiles the module.
fn other_module(folder: &Path) -> String {
    let (source, library) = (folder.join("other.c"), folder.join("other.so"));
    std::fs::write(&source, OTHER_MODULE).expect("a file");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let done = Command::new(&compiler).args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(done.is_ok_and(|status| status.success()), "{compiler}: a C compiler is needed");
    library.display().to_string()
}

/// The server does not check what another module calls without a user, and there is no user name to check.
#[test]
fn what_another_module_calls_as_the_server_sees_everything() {
    let mut town = Town::new(false);
    let folder = TempDir::new().expect("a folder");
    town.admin.ask(["MODULE", "LOAD", &other_module(folder.path())]);
    let mut clerk = town.user("~shop1* +@inventory +@scripting +other.call +other.callas");
    for line in WALKS {
        let own = walk(&mut clerk, &["OTHER.CALLAS"], line);
        assert!(own.contains("shop1") && !own.contains("shop2"), "{line}: {own}");
        for way in [&["OTHER.CALL"][..], &["OTHER.CALL", "EVAL", CALL, "0"]] {
            let all = walk(&mut clerk, way, line);
            assert!(all.contains("shop2"), "{way:?} {line}: {all}");
        }
    }
    assert_eq!(code(&clerk.refusal("OTHER.CALLAS INV.GET shop2:r")), "NOPERM");
}

/// The line of each user in the shipped configuration, as active line, with this hash in the place of its placeholder.
pub fn shipped_users(hash: &str) -> Vec<String> {
    let lines = SHIPPED.lines().filter_map(|line| line.strip_prefix("# user "));
    let lines: Vec<String> =
        lines.map(|line| format!("user {}", line.replace("SHA-256-OF-A-PASSWORD", hash))).collect();
    assert_eq!(lines.len(), USERS.len(), "{lines:?}");
    lines
}

const SHIPPED: &str = include_str!("../../redis.conf");
const USERS: [&str; 4] = ["checkout", "warehouse", "observer", "exporter"];

/// What each of them may do, in this order.
const RIGHTS: &[(&str, [bool; 4])] = &[
    ("PING", [true, true, true, false]),
    ("CLIENT SETINFO lib-name shop", [true, true, true, false]),
    ("SELECT 0", [true, true, true, false]),
    ("WAIT 0 0", [true, true, true, false]),
    ("INV.ADJUST P 100 ONCE t", [false, true, false, false]),
    ("INV.SET P ONHAND 100", [false, true, false, false]),
    ("INV.FLOOR P 1", [false, true, false, false]),
    ("INV.THRESHOLD P 99", [false, true, false, false]),
    ("INV.LIMIT P OFF", [false, true, false, false]),
    ("INV.QUOTA P ann", [true, true, true, false]),
    ("INV.WAREHOUSES Q SET A 1 B 2", [false, true, false, false]),
    ("INV.ADJUST Q@A 5", [false, true, false, false]),
    ("INV.TRANSFER Q A B 1", [false, true, false, false]),
    ("INV.RESERVE R1 ITEMS P 2 Q 1", [true, false, false, false]),
    ("INV.REPLACE R1 R1 ITEMS P 2 Q 1", [true, false, false, false]),
    ("INV.EXTEND R1 EX 60", [true, false, false, false]),
    ("INV.GET R1", [true, true, true, false]),
    ("INV.STOCK P Q", [true, true, true, true]),
    ("INV.COMMIT R1 ITEMS P 1", [true, false, false, false]),
    ("INV.MRESERVE 1 M1 1 P 1", [true, false, false, false]),
    ("INV.MROLLBACK M1", [true, false, false, false]),
    ("INV.MCOMMIT M1", [true, false, false, false]),
    ("INV.ROLLBACK R1", [true, false, false, false]),
    ("INV.ALERTS", [false, true, true, true]),
    ("INV.ALERTS PRODUCT P", [false, true, true, true]),
    ("INV.SCAN 0", [false, false, true, false]),
    ("INV.STOCKSCAN 0 LOW", [false, true, true, true]),
    ("INV.AUDIT P", [false, false, true, false]),
    ("INV.AUDITSCAN 0", [false, false, true, false]),
    ("INV.REPAIR P", [false, false, false, false]),
    ("INV.APPLY 1 UNITS P 5 0", [false, false, false, false]),
    ("INFO inv", [false, false, true, true]),
    ("SUBSCRIBE inventory:other", [false, false, false, false]),
    ("PSUBSCRIBE inventory:*", [false, false, false, false]),
    ("PUBLISH inventory:alerts x", [false, false, false, false]),
    ("GET stock:available:P", [false, false, false, false]),
    ("SET stock:available:P 5", [false, false, false, false]),
    ("DEL reservation:R1", [false, false, false, false]),
    ("XREAD STREAMS inventory:feed 0", [false, false, false, false]),
    ("XLEN inventory:feed", [false, false, false, true]),
    ("XINFO STREAM inventory:feed", [false, false, false, false]),
    ("KEYS *", [false, false, false, false]),
    ("SCAN 0", [false, false, false, false]),
    ("MULTI", [false, false, false, false]),
    ("CLIENT SETNAME redis_exporter", [true, true, true, true]),
    ("LATENCY LATEST", [false, false, false, true]),
    ("EVAL return 0", [false, false, false, true]),
    ("CLIENT LIST", [false, false, false, false]),
    ("CLIENT KILL ID 1", [false, false, false, false]),
    ("MONITOR", [false, false, false, false]),
    ("CONFIG GET maxmemory", [false, false, false, false]),
    ("ACL LIST", [false, false, false, false]),
    ("MODULE LIST", [false, false, false, false]),
    ("REPLICAOF NO ONE", [false, false, false, false]),
    ("FLUSHALL", [false, false, false, false]),
    ("SHUTDOWN NOSAVE", [false, false, false, false]),
];

/// The output of the command in the configuration for a password.
pub fn hash_of(password: &str) -> String {
    let shown = SHIPPED.lines().find(|line| line.contains("sha256sum")).expect("a command");
    let command = shown.trim_start_matches(['#', ' ']).replace("the password", password);
    let done = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    String::from_utf8(done.stdout).expect("a text").trim().to_owned()
}

#[test]
fn the_shipped_users_may_do_what_is_said_of_them_and_no_more() {
    let users = shipped_users(&hash_of("one of a test"));
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let server = Server::start_with(&users);
    let mut admin = server.connect();
    let mut clients = USERS.map(|name| {
        let mut client = server.connect();
        for wrong in ["", "x", "SHA-256-OF-A-PASSWORD", "the password"] {
            assert_eq!(code(&client.refusal(["AUTH", name, wrong])), "WRONGPASS", "{name} {wrong}");
        }
        client.ask(["AUTH", name, "one of a test"]);
        assert_eq!(
            admin.ask(["ACL", "GETUSER", name])["passwords"].as_array().map(Vec::len),
            Some(1),
            "{name}"
        );
        client
    });
    for (line, rights) in RIGHTS {
        for ((name, client), is_allowed) in USERS.iter().zip(&mut clients).zip(rights) {
            let reply = client.try_ask(line);
            if *is_allowed {
                assert!(reply.is_ok(), "{name} {line}: {reply:?}");
            } else {
                assert!(
                    reply.as_ref().is_err_and(|error| code(error) == "NOPERM"),
                    "{name} {line}: {reply:?}"
                );
            }
            assert_eq!(admin.ask(format!("ACL DRYRUN {name} {line}")) == "OK", *is_allowed, "{name} {line}");
        }
    }
    assert_eq!(admin.counters("P"), (99, 0));
    for line in LINES {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(RIGHTS.iter().any(|(line, _)| line.split(' ').next() == Some(name)), "{name}");
    }
}

#[test]
fn the_shipped_observer_hears_alerts() {
    let users = shipped_users(&hash_of("one of a test"));
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let (server, mut admin) = shop_with(&users, &[("P", 5)]);
    let mut observer = server.connect_resp2();
    observer.ask(["AUTH", "observer", "one of a test"]);
    observer.send("SUBSCRIBE inventory:alerts");
    assert_eq!(observer.reply()[1], "inventory:alerts");
    admin.ask("INV.RESERVE R1 ITEMS P 5");
    assert!(observer.reply()[2].to_string().contains("OUT_OF_STOCK"));
}

/// A line that was activated without changing the placeholder gives no access.
#[test]
fn a_shipped_user_without_a_password_of_its_own_ends_the_start() {
    let module = format!("loadmodule {}", module().display());
    let hash = hash_of("one of a test");
    for wrong in ["SHA-256-OF-A-PASSWORD", "", "the password", "secret", &hash[1..], &hash.to_uppercase()] {
        for line in shipped_users(wrong) {
            let log = Server::refused_start(server_program(), &[&module, &line]);
            assert!(!log.contains("Ready to accept connections"), "{line}: {log}");
        }
    }
    // A server without the module refuses the lines that name its commands, too.
    for line in shipped_users(&hash).iter().filter(|line| line.contains("+inv.")) {
        let log = Server::refused_start(server_program(), &[line]);
        assert!(!log.contains("Ready to accept connections"), "{line}: {log}");
    }
}

#[test]
fn no_user_is_active_as_shipped() {
    let mut lines = SHIPPED.lines().map(str::trim_start);
    assert!(!lines.any(|line| line.starts_with("user ") || line.starts_with("aclfile")));
    assert_eq!(SHIPPED.matches("SHA-256-OF-A-PASSWORD ").count(), USERS.len(), "no known password");
}

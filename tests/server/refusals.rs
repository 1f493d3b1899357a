//! What is refused, with which code, and in which order; a refusal changes nothing.

use crate::harness::{Client, SOON, Server, assert_same, code, json, wait_until, wire_code};

/// One reservation of each kind, and a key of each wrong kind, so that every refusal below can occur.
const SETUP: &[&str] = &[
    "SET stock:available:P 10",
    "SET stock:available:Q 1",
    "SET stock:reserved:ODD abc",
    "SET stock:available:ODD 10",
    "RPUSH stock:available:LIST 1",
    "INV.RESERVE LIVE ITEMS P 2",
    "INV.RESERVE SOLD ITEMS P 1",
    "INV.COMMIT SOLD",
    "INV.RESERVE BACK ITEMS P 1",
    "INV.ROLLBACK BACK",
    // More units are held than the counter will say.
    "SET stock:available:DRIFT 5",
    "INV.RESERVE DRIFTED ITEMS DRIFT 5",
    "SET stock:reserved:DRIFT 2",
    "SET reservation:LUA {\"sku\":\"P\"} EX 900",
    "HSET reservation:HASH field value",
    "SET reservation:SOLD {\"sku\":\"P\"} EX 900",
];

/// Each command with its code.
const REFUSED: &[(&str, &str)] = &[
    ("INV.RESERVE R1 ITEMS P 0", "ERR"),
    ("INV.RESERVE R1 ITEMS P x", "ERR"),
    ("INV.RESERVE R1 ITEMS P 1 Q", "ERR"),
    ("INV.RESERVE R1 NONSENSE 5 ITEMS P 1", "ERR"),
    ("INV.RESERVE R1 PXAT 1000 ITEMS P 1", "ERR"),
    ("INV.COMMIT LIVE NONSENSE", "ERR"),
    ("INV.RESERVE R1 ITEMS LIST 1", "WRONGTYPE"),
    ("INV.RESERVE R1 ITEMS ODD 1", "WRONGTYPE"),
    ("INV.RESERVE LUA ITEMS P 1", "FOREIGN"),
    ("INV.COMMIT LUA", "FOREIGN"),
    ("INV.ROLLBACK LUA", "FOREIGN"),
    ("INV.COMMIT HASH", "FOREIGN"),
    ("INV.ROLLBACK HASH", "FOREIGN"),
    ("INV.RESERVE HASH ITEMS P 1", "FOREIGN"),
    // A record under an id with an outcome is foreign.
    ("INV.COMMIT SOLD", "FOREIGN"),
    ("INV.RESERVE SOLD ITEMS P 1", "FOREIGN"),
    ("INV.COMMIT BACK", "ROLLEDBACK"),
    ("INV.RESERVE BACK ITEMS P 1", "ROLLEDBACK"),
    ("INV.RESERVE LIVE ITEMS P 1", "MISMATCH"),
    ("INV.COMMIT NOBODY", "NOTFOUND"),
    ("INV.ROLLBACK NOBODY", "NOTFOUND"),
    ("INV.COMMIT DRIFTED", "DRIFT"),
    ("INV.ROLLBACK DRIFTED", "DRIFT"),
    ("INV.RESERVE R1 ITEMS P 1 Q 2", "INSUFFICIENT"),
];

fn shop(options: &[&str]) -> (Server, Client) {
    let server = Server::start_with(options);
    let mut shop = server.connect();
    for step in SETUP {
        shop.ask(step);
    }
    (server, shop)
}

#[test]
fn each_refusal_has_its_code_and_leaves_every_key_as_it_was() {
    let (_server, mut shop) = shop(&[]);
    let before = shop.contents();
    for (command, expected) in REFUSED {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), *expected, "{command}: {refusal}");
        assert_same(&shop.contents(), &before);
    }
}

#[test]
fn a_refusal_replicates_nothing() {
    let (server, mut shop) = shop(&["appendonly yes"]);
    for (command, _) in REFUSED {
        let propagated = server.propagated_by(|| {
            shop.refusal(command);
        });
        assert_eq!(propagated, Vec::<String>::new(), "{command}");
    }
}

#[test]
fn a_refusal_breaks_no_watch() {
    let (server, mut shop) = shop(&[]);
    let mut watcher = server.connect();
    let keys = shop.ask("KEYS *");
    let keys = keys.as_array().expect("an array").iter().filter_map(|key| key.as_str());
    let watch = ["WATCH", "reservation:R1", "inventory:outcome:R1"].into_iter().chain(keys);
    let watch: Vec<Vec<u8>> = watch.map(Into::into).collect();
    for (command, _) in REFUSED {
        watcher.ask(watch.clone());
        shop.refusal(command);
        let replies = watcher.burst(&["MULTI", "PING", "EXEC"]);
        assert_eq!(replies[2], json!(["PONG"]), "{command}");
    }
}

#[test]
fn a_refusal_in_a_transaction_lets_the_others_through() {
    let (_server, mut shop) = shop(&[]);
    let replies = shop.burst(&["MULTI", "INV.COMMIT NOBODY", "INV.COMMIT LIVE", "EXEC"]);
    assert_eq!(wire_code(&replies[3][0]), "-NOTFOUND");
    assert_eq!(replies[3][1], "OK");
}

/// There are two reasons for each refusal; the first of the two codes is returned.
#[test]
fn refusals_are_judged_in_the_order_of_the_contract() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.RESERVE DONE ITEMS P 1");
    shop.ask("INV.COMMIT DONE");
    for (command, first, second) in [
        ("INV.RESERVE R1 ITEMS LIST 0", "ERR", "WRONGTYPE"),
        ("INV.RESERVE LUA ITEMS P 0", "ERR", "FOREIGN"),
        ("INV.COMMIT LUA NONSENSE", "ERR", "FOREIGN"),
        ("INV.RESERVE LUA ITEMS LIST 1", "WRONGTYPE", "FOREIGN"),
        ("INV.RESERVE DONE ITEMS LIST 1", "WRONGTYPE", "COMMITTED"),
        ("INV.RESERVE LIVE ITEMS LIST 1", "WRONGTYPE", "MISMATCH"),
        ("INV.RESERVE R1 ITEMS Q 2 LIST 1", "WRONGTYPE", "INSUFFICIENT"),
        ("INV.RESERVE SOLD ITEMS P 1", "FOREIGN", "COMMITTED"),
        ("INV.RESERVE LUA ITEMS Q 2", "FOREIGN", "INSUFFICIENT"),
        ("INV.RESERVE DONE ITEMS P 2", "COMMITTED", "MISMATCH"),
        ("INV.RESERVE DONE ITEMS Q 2", "COMMITTED", "INSUFFICIENT"),
        ("INV.RESERVE LIVE ITEMS P 99", "MISMATCH", "INSUFFICIENT"),
    ] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), first, "{command}: before {second}: {refusal}");
    }
}

#[test]
fn a_retry_is_answered_before_anything_that_came_later_is_judged() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("INV.RESERVE R1 EX 900 ITEMS Q 1");
    // No units are left, and the limits on items, data and time are for new reservations only.
    assert_eq!(shop.ask("INV.RESERVE R1 EX 900 ITEMS Q 1")["reservation_id"], "R1");
    assert_eq!(shop.ask("INV.RESERVE R1 PXAT 1000 ITEMS Q 1")["reservation_id"], "R1");
}

#[test]
fn a_grammar_error_shows_the_grammar() {
    let (_server, mut shop) = shop(&[]);
    const RESERVE: &str = "INV.RESERVE id [EX s | PX ms | EXAT s | PXAT ms] [DATA text]";
    for (command, grammar) in [
        ("INV.RESERVE R1 NONSENSE 5 ITEMS P 1", RESERVE),
        ("INV.RESERVE R1 EX 60 PX 5 ITEMS P 1", RESERVE),
        ("INV.RESERVE R1 EX 60 EX 60 ITEMS P 1", RESERVE),
        ("INV.RESERVE R1 DATA a DATA b ITEMS P 1", RESERVE),
        ("INV.RESERVE R1 ITEMS P 1 Q", RESERVE),
        ("INV.RESERVE R1 EX 60 DATA x", RESERVE),
        ("INV.RESERVE R1 EX ITEMS P 1", RESERVE),
        ("INV.COMMIT LIVE NONSENSE", "INV.COMMIT id"),
        ("INV.ROLLBACK LIVE NONSENSE", "INV.ROLLBACK id"),
        ("INV.ALERTS NONSENSE", "INV.ALERTS [PRODUCT product] [TYPE type] [SINCE ms] [BEFORE ms] [COUNT n]"),
    ] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "ERR", "{command}: {refusal}");
        assert!(refusal.contains(grammar), "{command}: {refusal}");
    }
}

#[test]
fn an_option_after_the_items_is_an_error_that_says_so() {
    let (_server, mut shop) = shop(&[]);
    for command in ["INV.RESERVE R1 ITEMS P 5 EX 60", "INV.RESERVE R1 ITEMS P 5 data 60"] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "ERR", "{refusal}");
        assert!(refusal.contains("before ITEMS"), "{refusal}");
    }
}

#[test]
fn no_option_takes_the_word_items_as_its_value() {
    // A cluster client finds the keys after that word.
    let (_server, mut shop) = shop(&[]);
    for word in ["ITEMS", "items", "Items"] {
        let refusal = shop.refusal(format!("INV.RESERVE R1 DATA {word} ITEMS P 1"));
        assert_eq!(code(&refusal), "ERR", "{refusal}");
    }
}

/// Each of these has one word too few, or one too many.
#[test]
fn a_call_with_too_few_or_too_many_words_is_answered_with_the_usage_line() {
    let (_server, mut shop) = shop(&[]);
    for command in [
        "INV.RESERVE",
        "INV.RESERVE R1",
        "INV.RESERVE R1 ITEMS",
        "INV.RESERVE R1 P 1",
        "INV.RESERVE R1 ITEMS P",
        "INV.COMMIT",
        "INV.ROLLBACK",
        "INV.EXTEND",
        "INV.EXTEND LIVE",
        "INV.EXTEND LIVE EX",
        "INV.GET",
        "INV.GET R1 R2",
        "INV.SCAN",
        "INV.STOCK",
        "INV.ADJUST",
        "INV.ADJUST P",
        "INV.SET",
        "INV.SET P",
        "INV.SET P AVAILABLE",
        "INV.WAREHOUSES",
        "INV.WAREHOUSES P",
        "INV.WAREHOUSES P SET",
        "INV.WAREHOUSES P SET A",
        "INV.WAREHOUSES P DEL",
        "INV.TRANSFER",
        "INV.TRANSFER P",
        "INV.TRANSFER P A",
        "INV.TRANSFER P A B",
        "INV.THRESHOLD",
        "INV.THRESHOLD P",
        "INV.THRESHOLD P 5 6",
        "INV.FLOOR",
        "INV.FLOOR P",
        "INV.FLOOR P 5 6",
        "INV.LIMIT",
        "INV.LIMIT P",
        "INV.LIMIT P 5 6",
        "INV.QUOTA",
        "INV.QUOTA P",
        "INV.QUOTA P ann 5",
        "INV.ALERTS P",
        "INV.AUDIT",
        "INV.AUDIT P Q",
        "INV.AUDITSCAN",
        "INV.STOCKSCAN",
        "INV.REPAIR",
    ] {
        let name = command.split(' ').next().expect("a name");
        let refusal = shop.refusal(command);
        assert!(refusal.starts_with("ERR ") && refusal.contains(". Usage: "), "{command}: {refusal}");
        assert_eq!(
            refusal.split_once(". Usage: ").and_then(|(_, usage)| usage.split(' ').next()),
            Some(name)
        );
    }
    assert_eq!(
        shop.refusal("INV.RESERVE RES-1 PROD-123 2").split_once(". Usage"),
        Some(("ERR unknown option 'PROD-123': put the word ITEMS before the skus", {
            ": INV.RESERVE id [EX s | PX ms | EXAT s | PXAT ms] [DATA text] [SPLIT priority | fewest | none] [PARTIAL] [BUYER buyer] [ONCE token] \
             ITEMS sku quantity [sku quantity ...]"
        }))
    );
}

#[test]
fn a_number_that_is_refused_is_shown_and_the_form_that_is_wanted() {
    let (_server, mut shop) = shop(&[]);
    for (command, expected) in [
        (
            "INV.RESERVE R1 ITEMS P +5",
            "the quantity of P '+5' is not an integer from 1 to 9007199254740991: write 5",
        ),
        (
            "INV.RESERVE R1 ITEMS P 007",
            "the quantity of P '007' is not an integer from 1 to 9007199254740991: write 7",
        ),
        ("INV.RESERVE R1 ITEMS P +0", "the quantity of P '+0' is not an integer from 1 to 9007199254740991"),
        (
            "INV.RESERVE R1 EX +60 ITEMS P 1",
            "EX '+60' is not an integer from 1 to 9007199254740991: write 60",
        ),
        (
            "INV.SET P AVAILABLE +5",
            "the value of AVAILABLE '+5' is not an integer from -9007199254740991 to 9007199254740991: write 5",
        ),
        ("INV.SET P ONHAND +5", "ONHAND '+5' is not an integer from 0 to 9007199254740991: write 5"),
        ("INV.TRANSFER P A B -1", "the quantity '-1' is not an integer from 1 to 9007199254740991"),
        ("INV.THRESHOLD P -1", "the threshold '-1' is not OFF, DEFAULT or an integer from 0"),
        ("INV.LIMIT P -1", "the limit '-1' is not OFF or an integer from 0 to 9007199254740991"),
        ("INV.ADJUST P +-5", "delta '+-5' is not an integer from -9007199254740991 to 9007199254740991"),
        ("INV.ADJUST P 1e3", "delta '1e3' is not an integer from -9007199254740991 to 9007199254740991"),
        (
            "INV.WAREHOUSES P SET A +1",
            "the priority of A '+1' is not an integer from -9007199254740991 to 9007199254740991: write 1",
        ),
        (
            "INV.FLOOR P +1",
            "the floor '+1' is not an integer from -9007199254740991 to 9007199254740991: write 1",
        ),
        ("INV.SCAN 0 COUNT 1001", "COUNT 1001 is greater than the maximum of 1000"),
        ("INV.ALERTS COUNT 5000", "COUNT 5000 is greater than the maximum of 1000"),
        ("INV.AUDITSCAN 0 COUNT 5000", "COUNT 5000 is greater than the maximum of 1000"),
        ("INV.SCAN x", "the cursor 'x' is neither 0 nor a cursor that INV.SCAN returned"),
        ("INV.RESERVE R1 SPLIT most ITEMS P 1", "SPLIT 'most' is not priority, fewest or none"),
    ] {
        let refusal = shop.refusal(command);
        let said = refusal.split_once(". Usage: ").unwrap_or_default().0;
        let is_whole = said.strip_prefix("ERR ") == Some(expected);
        assert!(
            is_whole || (command.contains("THRESHOLD") && said.contains(expected)),
            "{command}: {refusal}"
        );
    }
    // A difference naturally has a sign.
    assert_eq!(shop.ask("INV.ADJUST P +5 ONCE t"), shop.ask("INV.ADJUST P 5 ONCE t"));
}

#[test]
fn a_sku_that_does_not_exist_is_told_from_one_that_is_sold_out() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("SET stock:available:ZERO 0");
    shop.ask("INV.WAREHOUSES W SET A 1");
    for (command, expected) in [
        ("INV.RESERVE R1 ITEMS NOPE 2", "INSUFFICIENT NOPE requested 2, available 0 (unknown sku)"),
        (
            "INV.RESERVE R1 ITEMS ZERO 1 NOPE 2",
            "INSUFFICIENT ZERO requested 1, available 0; NOPE requested 2, available 0 (unknown sku)",
        ),
        ("INV.RESERVE R1 ITEMS NOPE@A 2", "INSUFFICIENT NOPE@A requested 2, available 0 (unknown sku)"),
        ("INV.ADJUST NOPE -1", "INSUFFICIENT NOPE requested 1, available 0 (unknown sku)"),
        // A warehouse exists even if it has never had a unit, and so does its product.
        ("INV.RESERVE R1 ITEMS W 1", "INSUFFICIENT W requested 1, available 0"),
        ("INV.RESERVE R1 ITEMS W@A 1", "INSUFFICIENT W@A requested 1, available 0"),
        // Units are held, but both counters are gone.
        ("INV.RESERVE R1 ITEMS GONE 1", "INSUFFICIENT GONE requested 1, available 0"),
    ] {
        if command.contains("GONE") {
            shop.ask("SET stock:available:GONE 5");
            shop.ask("INV.RESERVE G ITEMS GONE 5");
            shop.ask("DEL stock:available:GONE stock:reserved:GONE");
        }
        let before = shop.contents();
        assert_eq!(shop.refusal(command), expected, "{command}");
        assert_same(&shop.contents(), &before);
    }
}

#[test]
fn no_name_of_a_sku_can_pass_for_the_words_around_it() {
    let (_server, mut shop) = shop(&[]);
    let spoof = "A requested 9, available 7; B";
    assert_eq!(
        shop.refusal(["INV.RESERVE", "R1", "ITEMS", spoof, "1", "Q", "5"]),
        "INSUFFICIENT \"A requested 9, available 7; B\" requested 1, available 0 (unknown sku); Q requested 5, available 1"
    );
    shop.ask(["SET", "stock:available:P 2, Q", "5"]);
    shop.ask(["INV.RESERVE", "R1", "ITEMS", "P 2, Q", "1"]);
    assert_eq!(
        shop.refusal("INV.RESERVE R1 ITEMS P 1"),
        "MISMATCH reservation R1 already exists with other items (\"P 2, Q\" 1): use a new id"
    );
    let refusal = shop.refusal("INV.COMMIT R1 ITEMS P 1");
    assert_eq!(refusal, "ERR P 1 is more than reservation R1 holds: \"P 2, Q\" 1");
    // The text that is stored with a token is the same as in older versions.
    shop.ask(["INV.COMMIT", "R1", "ONCE", "t", "ITEMS", "P 2, Q", "1"]);
    let remembered = shop.ask("GET inventory:once:commit:2:R1:t");
    assert!(remembered.as_str().is_some_and(|text| text.contains(r#""asked":"P 2, Q 1""#)), "{remembered}");
}

#[test]
fn a_deadline_in_the_past_is_an_error() {
    let (_server, mut shop) = shop(&[]);
    let now = shop.now();
    for time in [format!("PXAT {}", now - 1), format!("EXAT {}", now / 1000 - 1), "PXAT 1".to_owned()] {
        let refusal = shop.refusal(format!("INV.RESERVE R1 {time} ITEMS P 1"));
        assert_eq!(code(&refusal), "ERR", "{refusal}");
    }
    for time in ["EX 0", "PX 0", "EX -5", "EX 1.5", "PX 99999999999999999999", "EX 9223372036854775"] {
        let refusal = shop.refusal(format!("INV.RESERVE R1 {time} ITEMS P 1"));
        assert_eq!(code(&refusal), "ERR", "{time}: {refusal}");
    }
}

#[test]
fn quantities_are_whole_numbers_from_one_up() {
    let (_server, mut shop) = shop(&[]);
    for quantity in ["0", "-1", "1.5", "1e3", "+1", "x", "0x10", "9007199254740992", "9223372036854775808"] {
        let refusal = shop.refusal(format!("INV.RESERVE R1 ITEMS P {quantity}"));
        assert_eq!(code(&refusal), "ERR", "{quantity}: {refusal}");
    }
    let most = "9007199254740991";
    assert_eq!(code(&shop.refusal(format!("INV.RESERVE R1 ITEMS P {most}"))), "INSUFFICIENT");
    let sum = shop.refusal(format!("INV.RESERVE R1 ITEMS P {most} P 1"));
    assert_eq!(code(&sum), "ERR", "{sum}");
}

#[test]
fn ids_that_no_key_can_be_made_of_are_an_error() {
    let (_server, mut shop) = shop(&[]);
    let long = "x".repeat(257);
    let before = shop.contents();
    let bad: [&[u8]; 6] = [b"", b"a\nb", b"a\0b", b"\x7f", b"\xff\xfe", long.as_bytes()];
    for id in bad {
        for command in [
            &[b"INV.RESERVE", id, b"ITEMS", b"P", b"1"][..],
            &[b"INV.RESERVE", b"R1", b"ITEMS", id, b"1"],
            &[b"INV.COMMIT", id],
            &[b"INV.ROLLBACK", id],
            &[b"INV.GET", id],
            &[b"INV.STOCK", id],
        ] {
            let words: Vec<Vec<u8>> = command.iter().map(|word| word.to_vec()).collect();
            assert_eq!(code(&shop.refusal(words)), "ERR");
        }
    }
    for sku in ["P@", "@A", "P@A@B"] {
        assert_eq!(code(&shop.refusal(format!("INV.RESERVE R1 ITEMS {sku} 1"))), "ERR", "{sku}");
    }
    assert_same(&shop.contents(), &before);

    let longest = "x".repeat(256);
    shop.ask(["INV.RESERVE", &longest, "ITEMS", "P", "1"]);
    assert_eq!(shop.ask(["INV.COMMIT", &longest]), "OK");
}

#[test]
fn wrongtype_wins_over_foreign_and_drift_and_an_end_over_a_mismatch_of_the_token() {
    let server = Server::start();
    let mut shop = server.connect();
    shop.ask("MSET stock:available:A 5 stock:available:D 5 stock:available:F 5");
    shop.ask("INV.RESERVE ra ITEMS A 2");
    shop.ask("MSET stock:available:A abc stock:reserved:A 0");
    assert_eq!(code(&shop.refusal("INV.ROLLBACK ra")), "WRONGTYPE");

    shop.ask("INV.RESERVE rd PX 30 ITEMS D 2");
    shop.ask("SET stock:reserved:D 1");
    wait_until("it has expired", SOON, || shop.ask("INV.GET rd")["resolved_at"].is_number());
    assert_eq!(code(&shop.refusal("INV.COMMIT rd LATE")), "DRIFT");
    shop.ask("SET stock:available:D abc");
    assert_eq!(code(&shop.refusal("INV.COMMIT rd LATE")), "WRONGTYPE");

    shop.ask("SET reservation:fo bar");
    shop.ask("LPUSH inventory:once:commit:2:fo:t x");
    assert_eq!(code(&shop.refusal("INV.COMMIT fo ONCE t")), "WRONGTYPE");

    // A retry of a live reservation is answered, whatever has happened to the counter.
    let first = shop.ask("INV.RESERVE rf ONCE t ITEMS F 2");
    shop.ask(["SET", "stock:reserved:F", &(i64::MAX - 1).to_string()]);
    assert_eq!(shop.ask("INV.RESERVE rf ITEMS F 2"), first);
    shop.ask("INV.ROLLBACK rf");
    assert_eq!(code(&shop.refusal("INV.RESERVE rf ONCE t ITEMS F 1")), "ROLLEDBACK");
}

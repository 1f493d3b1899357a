//! Invalid input: each gets a clear error and changes nothing.

use crate::harness::{Client, Json, SOON, assert_same, code, wait_until};
use crate::shop::{Dice, shop, shop_with};

/// Words that contain blanks, NULs and other special bytes.
fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

/// Commands that give an `ERR` while P has units and R1 holds 5 of them.
pub const SLIPS: &[&str] = &[
    // Missing.
    "INV.RESERVE R2 ITEMS P",
    "INV.RESERVE R2 EX ITEMS P 5",
    "INV.RESERVE R2 P 5 Q 5",
    "INV.RESERVE R2 EX 60 DATA x",
    "INV.COMMIT R1 ITEMS",
    "INV.COMMIT R1 ITEMS P",
    "INV.ROLLBACK R1 ITEMS P 1 Q",
    "INV.EXTEND R1",
    "INV.EXTEND R1 EX",
    "INV.ADJUST P",
    "INV.SET P AVAILABLE",
    "INV.SET P 5",
    "INV.SET P AVAILABLE 5 IFEQ",
    "INV.THRESHOLD P",
    "INV.FLOOR",
    "INV.FLOOR P",
    "INV.ALERTS SINCE",
    "INV.ALERTS BEFORE",
    "INV.ALERTS BEFORE 5 BEFORE 5",
    "INV.STOCK",
    "INV.GET",
    // Unknown.
    "INV.RESERVE R2 NX ITEMS P 5",
    "INV.RESERVE R2 PARTIAL PARTIAL ITEMS P 5",
    "INV.RESERVE R2 ITEMS PARTIAL 5",
    "INV.REPLACE R1",
    "INV.REPLACE R1 R2",
    "INV.REPLACE R1 ITEMS P 5",
    "INV.REPLACE R1 R2 ITEMS P",
    "INV.REPLACE R1 R2* ITEMS P 1",
    "INV.REPLACE R1 R2 LATE ITEMS P 1",
    "INV.REPLACE R1 R2 PX 0 ITEMS P 1",
    "INV.REPLACE R1 R2 PXAT 1 ITEMS P 1",
    "INV.RESERVE R2 TTL 60 ITEMS P 5",
    "INV.COMMIT R1 FORCE",
    "INV.EXTEND R1 SOON 5",
    "INV.SET P SOLD 5",
    "INV.ALERTS NEWEST",
    "INV.FLOOR P 5 FORCE",
    "INV.TRANSFER W A B 1 FORCE",
    "INV.ALERTS TYPE NO_STOCK",
    // Twice.
    "INV.RESERVE R2 EX 60 EX 60 ITEMS P 5",
    "INV.RESERVE R2 EX 60 PXAT 99999999999999 ITEMS P 5",
    "INV.RESERVE R2 ONCE a ONCE b ITEMS P 5",
    "INV.COMMIT R1 ONCE a ONCE a",
    "INV.EXTEND R1 EX 5 EX 5",
    "INV.SET P AVAILABLE 5 AVAILABLE 5",
    "INV.SET P AVAILABLE 5 FORCE FORCE",
    "INV.ADJUST P 5 FORCE FORCE",
    "INV.FLOOR P 5 5",
    "INV.ALERTS COUNT 5 COUNT 5",
    // After the items.
    "INV.RESERVE R2 ITEMS P 5 EX 60",
    "INV.RESERVE R2 ITEMS P 5 DATA x",
    "INV.RESERVE R2 ITEMS P 5 ONCE t",
    "INV.COMMIT R1 ITEMS P 5 ONCE t",
    "INV.ROLLBACK R1 ITEMS P 5 once t",
    // Invalid numbers.
    "INV.RESERVE R2 ITEMS P 0",
    "INV.RESERVE R2 ITEMS P -1",
    "INV.RESERVE R2 ITEMS P five",
    "INV.RESERVE R2 ITEMS P 1.5",
    "INV.RESERVE R2 ITEMS P 1e2",
    "INV.RESERVE R2 ITEMS P 9007199254740992",
    "INV.RESERVE R2 ITEMS P 9223372036854775807",
    "INV.RESERVE R2 ITEMS P 9223372036854775808",
    "INV.RESERVE R2 ITEMS P 99999999999999999999",
    "INV.RESERVE R2 ITEMS P 9007199254740991 P 9007199254740991",
    "INV.COMMIT R1 ITEMS P 0",
    "INV.ROLLBACK R1 ITEMS P -1",
    "INV.ADJUST P 9223372036854775807",
    "INV.ADJUST P -9223372036854775808",
    "INV.ADJUST P 9007199254740991",
    "INV.SET P AVAILABLE 9007199254740992",
    "INV.THRESHOLD P -1",
    "INV.ALERTS COUNT -1",
    "INV.ALERTS SINCE -1",
    "INV.ALERTS BEFORE -1",
    "INV.THRESHOLD P NEVER",
    "INV.FLOOR P 1.5",
    "INV.FLOOR P none",
    "INV.FLOOR P 9007199254740992",
    "INV.FLOOR P -9007199254740992",
    "INV.LIMIT P -1",
    "INV.LIMIT P NEVER",
    "INV.LIMIT P@A 5",
    "INV.ADJUST P@@ 1",
    "INV.ADJUST @@ann 1",
    "INV.RESERVE R2 ITEMS P@@ann 5",
    "INV.SET P@@ann AVAILABLE 5",
    // Invalid times.
    "INV.RESERVE R2 EX 0 ITEMS P 5",
    "INV.RESERVE R2 PX -1 ITEMS P 5",
    "INV.RESERVE R2 PXAT 1 ITEMS P 5",
    "INV.RESERVE R2 EXAT 1 ITEMS P 5",
    "INV.RESERVE R2 EX 9223372036854775807 ITEMS P 5",
    "INV.RESERVE R2 PX 9223372036854775807 ITEMS P 5",
    "INV.RESERVE R2 EXAT 9223372036854775807 ITEMS P 5",
    "INV.RESERVE R2 PXAT 9223372036854775807 ITEMS P 5",
    "INV.EXTEND R1 EX 9223372036854775807",
    "INV.EXTEND R1 PXAT 1",
    // Invalid names.
    "INV.RESERVE R2 ITEMS P@ 5",
    "INV.RESERVE R2 ITEMS @A 5",
    "INV.RESERVE R2 ITEMS P@A@B 5",
    "INV.RESERVE R2 ITEMS @ 5",
    "INV.ADJUST P@A@B 5",
    "INV.SET P@ AVAILABLE 5",
    "INV.STOCK P@A",
    "INV.THRESHOLD P@A 5",
    "INV.FLOOR P@A@B 5",
    "INV.WAREHOUSES W SET CLOSED",
    "INV.RESERVE R2 ITEMS P 5 SPLIT none",
    "INV.RESERVE R2 SPLIT all ITEMS P 5",
    "INV.RESERVE R2 SPLIT none SPLIT none ITEMS P 5",
    "INV.WAREHOUSES P@A SET B 1",
    "INV.WAREHOUSES W SET A",
    "INV.WAREHOUSES W SET A 1 B",
    "INV.WAREHOUSES W SET A 1 A 2",
    "INV.WAREHOUSES W SET A 1.5",
    "INV.WAREHOUSES W SET A 9007199254740992",
    "INV.WAREHOUSES W SET A@B 1",
    "INV.WAREHOUSES W DEL A B",
    "INV.WAREHOUSES W GET A",
    "INV.TRANSFER P A A 5",
    "INV.TRANSFER P A B 0",
    "INV.TRANSFER P A B five",
    "INV.TRANSFER P A B 5 ONCE",
    "INV.TRANSFER P A B 5 NOW",
    "INV.TRANSFER P@C A B 5",
];

#[test]
fn each_slip_of_the_pen_is_an_error_and_changes_nothing() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let before = shop.contents();
    for command in SLIPS {
        let refusal = shop.refusal(*command);
        assert_eq!(code(&refusal), "ERR", "{command}: {refusal}");
        assert_same(&shop.contents(), &before);
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error_in_any_argument() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5");
    let before = shop.contents();
    let commands = [
        "INV.RESERVE R2 EX 60 DATA text ONCE t ITEMS P 5",
        "INV.COMMIT R1 ONCE t ITEMS P 5",
        "INV.ROLLBACK R1 ONCE t ITEMS P 5",
        "INV.EXTEND R1 EX 60 ONCE t",
        "INV.ADJUST P 5 ONCE t",
        "INV.SET P AVAILABLE 5 IFEQ 95 ONCE t",
        "INV.THRESHOLD P 5",
        "INV.FLOOR P 5",
        "INV.WAREHOUSES W SET A 5",
        "INV.TRANSFER W A B 5 ONCE t",
        "INV.GET R1",
        "INV.STOCK P",
        "INV.ALERTS PRODUCT P TYPE LOW_STOCK SINCE 5 COUNT 5",
    ];
    let bad: [&[u8]; 7] = [b"\0", b"P\0", b"a\nb", b"\x1b[2J", b"\x7f", b"\xff\xfe", b"\xc3"];
    for command in commands {
        let good: Vec<Vec<u8>> = command.split(' ').map(Into::into).collect();
        for place in 1..good.len() {
            for bytes in bad {
                let mut command = good.clone();
                command[place] = bytes.to_vec();
                let refusal = shop.refusal(command.clone());
                assert_eq!(code(&refusal), "ERR", "{command:?}: {refusal}");
                // The server compares keywords up to a NUL only: no key may hide behind such a word.
                command[place] = [good[place].as_slice(), b"\0x"].concat();
                assert_eq!(code(&shop.refusal(command.clone())), "ERR", "{command:?}");
            }
        }
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn names_are_1_to_256_bytes() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    let (longest, long, huge) = ("ä".repeat(128), "x".repeat(257), "x".repeat(10_240));
    for name in ["", &long, &huge] {
        let name = name.as_bytes();
        for command in [
            words(&[b"INV.RESERVE", name, b"ITEMS", b"P", b"5"]),
            words(&[b"INV.RESERVE", b"R1", b"ITEMS", name, b"5"]),
            words(&[b"INV.RESERVE", b"R1", b"ONCE", name, b"ITEMS", b"P", b"5"]),
            words(&[b"INV.COMMIT", name]),
            words(&[b"INV.ROLLBACK", name]),
            words(&[b"INV.EXTEND", name, b"EX", b"60"]),
            words(&[b"INV.ADJUST", name, b"5"]),
            words(&[b"INV.SET", name, b"AVAILABLE", b"5"]),
            words(&[b"INV.THRESHOLD", name, b"5"]),
            words(&[b"INV.FLOOR", name, b"5"]),
            words(&[b"INV.WAREHOUSES", name, b"SET", b"A", b"5"]),
            words(&[b"INV.WAREHOUSES", b"W", b"SET", name, b"5"]),
            words(&[b"INV.WAREHOUSES", b"W", b"DEL", name]),
            words(&[b"INV.TRANSFER", name, b"A", b"B", b"5"]),
            words(&[b"INV.TRANSFER", b"W", name, b"B", b"5"]),
            words(&[b"INV.GET", name]),
            words(&[b"INV.STOCK", name]),
            words(&[b"INV.ALERTS", b"PRODUCT", name]),
        ] {
            assert_eq!(
                code(&shop.refusal(command.clone())),
                "ERR",
                "{}",
                String::from_utf8_lossy(&command[0])
            );
        }
    }
    assert_eq!(shop.ask(["INV.ADJUST", &longest, "5"]), 5);
    shop.ask(["INV.RESERVE", &longest, "ITEMS", &longest, "5"]);
    assert_eq!(shop.ask(["INV.COMMIT", &longest]), "OK");
    // The length of a generated id includes its UUID.
    let prefix = "x".repeat(250) + "*";
    assert_eq!(code(&shop.refusal(["INV.RESERVE", &prefix, "ITEMS", "P", "5"])), "ERR");
}

#[test]
fn limits_of_items_and_data_hold() {
    let (_server, mut shop) = shop_with(&["inv.max-items 3", "inv.max-data-bytes 5"], &[("P", 100)]);
    for sku in ["A", "B", "C", "D"] {
        shop.ask(format!("SET stock:available:{sku} 10"));
    }
    let before = shop.contents();
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 ITEMS A 1 B 1 C 1 D 1")), "ERR");
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 DATA sixsix ITEMS A 1")), "ERR");
    // The limit is in bytes, not in characters.
    assert_eq!(code(&shop.refusal("INV.RESERVE R1 DATA äää ITEMS A 1")), "ERR");
    assert_same(&shop.contents(), &before);
    shop.ask("INV.RESERVE R1 DATA five5 ITEMS A 1 B 1 C 1");
}

#[test]
fn a_counter_that_is_no_integer_is_wrongtype_for_every_command() {
    let (_server, mut shop) = shop(&[]);
    shop.ask("RPUSH stock:available:LIST 1");
    shop.ask("SET stock:available:WORD abc");
    shop.ask("SET stock:available:LONG 12345678901234567890");
    shop.ask("SET stock:available:REAL 1.5");
    shop.ask(["SET", "stock:available:EMPTY", ""]);
    shop.ask("MSET stock:available:RLIST 5 stock:available:RWORD 5");
    shop.ask("HSET stock:reserved:RLIST field 1");
    shop.ask("SET stock:reserved:RWORD abc");
    let before = shop.contents();
    for sku in ["LIST", "WORD", "LONG", "REAL", "EMPTY", "RLIST", "RWORD"] {
        for command in [format!("INV.RESERVE R1 ITEMS {sku} 1"), format!("INV.SET {sku} ONHAND 5")] {
            let refusal = shop.refusal(&command);
            assert_eq!(code(&refusal), "WRONGTYPE", "{command}: {refusal}");
        }
        // INV.STOCK answers for the other products, so the error is part of the reply.
        let stock = &shop.ask(format!("INV.STOCK {sku}"))[0];
        assert_eq!(code(stock["error"].as_str().expect("an error")), "WRONGTYPE", "{stock}");
    }
    assert_same(&shop.contents(), &before);
}

#[test]
fn counters_spoilt_under_a_live_reservation_are_wrongtype_and_nothing_is_lost() {
    let (_server, mut shop) = shop(&[("P", 100), ("Q", 100)]);
    shop.ask("INV.RESERVE R1 ITEMS P 5 Q 5");
    shop.ask("RENAME stock:reserved:P saved");
    shop.ask("RPUSH stock:reserved:P 1");
    let before = shop.contents();
    for command in ["INV.COMMIT R1", "INV.ROLLBACK R1", "INV.COMMIT R1 ITEMS P 1"] {
        let refusal = shop.refusal(command);
        assert_eq!(code(&refusal), "WRONGTYPE", "{command}: {refusal}");
    }
    assert_same(&shop.contents(), &before);
    shop.ask("RENAME saved stock:reserved:P");
    assert_eq!(shop.ask("INV.COMMIT R1"), "OK");
    assert_eq!(shop.counters("P"), (95, 0));
}

#[test]
fn an_outcome_of_another_type_is_wrongtype() {
    let (_server, mut shop) = shop(&[("P", 100)]);
    shop.ask("RPUSH inventory:outcome:LIST 1");
    shop.ask("SET inventory:outcome:WORD abc");
    shop.ask("RPUSH stock:threshold:P 1");
    let before = shop.contents();
    for id in ["LIST", "WORD"] {
        for command in ["INV.COMMIT id", "INV.ROLLBACK id", "INV.RESERVE id ITEMS P 1", "INV.GET id"] {
            let command = command.replace("id", id);
            let refusal = shop.refusal(&command);
            assert_eq!(code(&refusal), "WRONGTYPE", "{command}: {refusal}");
        }
    }
    assert_same(&shop.contents(), &before);
}

const PIECES: &[&[u8]] = &[
    b"R1",
    b"R2",
    b"R3",
    b"*",
    b"x*",
    b"P",
    b"Q",
    b"P@A",
    b"P@A@B",
    b"{P}",
    b"ITEMS",
    b"items",
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"DATA",
    b"ONCE",
    b"SPLIT",
    b"LATE",
    b"COUNT",
    b"PRODUCT",
    b"TYPE",
    b"SINCE",
    b"IFEQ",
    b"AVAILABLE",
    b"ONHAND",
    b"DEFAULT",
    b"FORCE",
    b"SET",
    b"DEL",
    b"HOLD",
    b"END",
    b"UNITS",
    b"RECORD",
    b"priority",
    b"fewest",
    b"none",
    b"LOW_STOCK",
    b"0",
    b"1",
    b"2",
    b"3",
    b"-1",
    b"-2",
    b"1.5",
    b"30",
    b"9007199254740991",
    b"9007199254740992",
    b"-9007199254740991",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"99999999999999999999",
    b"",
    b"\0",
    b"\n",
    b"\xff",
    b"{\"reservation_id\":\"R1\"}",
];

/// Commands that may succeed.
const LIKELY: &[&str] = &[
    "INV.RESERVE id EX 900 ITEMS sku n",
    "INV.RESERVE id PX n ITEMS sku n sku n",
    "INV.RESERVE id PX 3n ONCE tn DATA text ITEMS sku n",
    "INV.RESERVE * PX 5n ITEMS sku n",
    "INV.COMMIT id",
    "INV.COMMIT id ITEMS sku n",
    "INV.COMMIT id LATE",
    "INV.ROLLBACK id",
    "INV.ROLLBACK id ONCE tn ITEMS sku n",
    "INV.EXTEND id PX 5n",
    "INV.ADJUST sku n",
    "INV.ADJUST sku -n ONCE tn",
    "INV.SET sku AVAILABLE n",
    "INV.SET sku ONHAND 1n",
    "INV.GET id",
    "INV.STOCK P Q",
    "INV.ALERTS PRODUCT P",
    "INV.THRESHOLD P n",
    "INV.FLOOR sku n",
    "INV.FLOOR sku -n",
    "INV.ADJUST sku -n FORCE",
    "INV.WAREHOUSES W SET A CLOSED",
    "INV.WAREHOUSES W SET A n B n",
    "INV.WAREHOUSES W DEL A",
    "INV.TRANSFER W A B n",
    "INV.RESERVE id PX 9n ITEMS W n",
    "INV.RESERVE id PX 9n SPLIT fewest ITEMS W n sku n",
    "INV.STOCK W",
];

/// A random command made of pieces, mostly invalid.
fn nonsense(dice: &mut Dice, names: &[&str]) -> Vec<Vec<u8>> {
    let mut command = vec![dice.pick(names).as_bytes().to_vec()];
    for _ in 0..dice.roll(9) {
        command.push(if dice.roll(200) == 0 { vec![b'x'; 10_240] } else { dice.pick(PIECES).to_vec() });
    }
    command
}

fn likely(dice: &mut Dice) -> Vec<Vec<u8>> {
    let command = dice.pick(LIKELY).split(' ').map(|word| match word {
        "id" => format!("R{}", dice.roll(30)),
        "sku" => dice.pick(&["P", "Q", "Q@A", "W", "W@A", "W@B"]).to_owned(),
        word => word.replace('n', &dice.roll(10).to_string()),
    });
    let mut command: Vec<Vec<u8>> = command.map(String::into_bytes).collect();
    if dice.roll(4) == 0 {
        // Replaces one word.
        let place = usize::try_from(dice.roll(command.len() as u64)).expect("a small number");
        if place > 0 {
            command[place] = dice.pick(PIECES).to_vec();
        }
    }
    command
}

/// Checks that each sku's reserved counter is what live reservations hold. With a floor or FORCE, available may be negative.
fn is_consistent(shop: &mut Client) -> Result<(), String> {
    let mut held = std::collections::BTreeMap::<String, i64>::new();
    for key in texts(&shop.ask("KEYS reservation:*")) {
        let Ok(Json::String(record)) = shop.try_ask(["GET", &*key]) else {
            return Err(format!("{key} went away"));
        };
        let record: Json = serde_json::from_str(&record).map_err(|error| format!("{key}: {error}"))?;
        if record["expires_at"] != shop.ask(["PEXPIRETIME", &*key]) {
            return Err(format!("{key}: another deadline than {record}"));
        }
        for line in record["items"].as_array().expect("lines") {
            let (product, quantity) = (line["product_id"].as_str(), line["quantity"].as_i64());
            let warehouse = line["warehouse"].as_str().map(|warehouse| format!("@{warehouse}"));
            let sku = product.expect("a product").to_owned() + &warehouse.unwrap_or_default();
            *held.entry(sku).or_default() += quantity.expect("a quantity");
        }
    }
    for key in texts(&shop.ask("KEYS stock:available:*")) {
        let sku = key.trim_start_matches("stock:available:");
        let (available, reserved) = shop.counters(sku);
        let held = held.get(sku).copied().unwrap_or_default();
        if reserved != held {
            return Err(format!("{sku}: available {available}, reserved {reserved}, held {held}"));
        }
    }
    Ok(())
}

fn texts(array: &Json) -> Vec<String> {
    array.as_array().expect("an array").iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

#[test]
fn whatever_is_sent_the_server_lives_and_the_counters_are_true() {
    for seed in 0..4 {
        let (_server, mut shop) = shop(&[("P", 50), ("Q", 20)]);
        let names = texts(&shop.ask("COMMAND LIST FILTERBY MODULE inv"));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(names.len() > 10, "{names:?}");
        let mut dice = Dice::new(seed);
        let mut done = 0;
        for n in 0..3_000 {
            let command = if n % 3 == 0 { nonsense(&mut dice, &names) } else { likely(&mut dice) };
            done += u32::from(shop.try_ask(command).is_ok());
        }
        assert!(done > 500, "some succeeded: {done}");
        let mut last = Ok(());
        wait_until("the counters are true", SOON, || {
            last = is_consistent(&mut shop);
            last.is_ok() || shop.now() == 0
        });
        assert_eq!(last, Ok(()));
    }
}

#[test]
fn a_call_that_is_too_long_to_look_at_is_refused() {
    let (_server, mut shop) = shop(&[("P", 10)]);
    let many = ["P"; 2113].join(" ");
    assert_eq!(
        shop.refusal(format!("INV.STOCK {many}")),
        "ERR 2113 arguments are given, but at most 2112 are allowed"
    );
    let items = ["P 1"; 100_000].join(" ");
    assert_eq!(
        shop.refusal(format!("INV.RESERVE R ITEMS {items}")),
        "ERR 200002 arguments are given, but at most 2112 are allowed"
    );
    let data = "d".repeat(2_097_152);
    let refusal = shop.refusal(["INV.RESERVE", "R", "DATA", &data, "ITEMS", "P", "1"]);
    assert_eq!(refusal, "ERR the arguments have 2097164 bytes, but at most 2097152 are allowed");
    assert_eq!(shop.counters("P"), (10, 0));
}

#[test]
fn an_error_repeats_names_as_they_were_sent_whatever_their_letters() {
    // The low byte of U+0100 and U+0200 is 0, that of U+010D is a carriage return, and that of U+010A a line feed.
    for name in ["Ā", "xĀy", "Ȁ", "čaj", "Ċ", "日本", "🧦", "ünïcödé"] {
        let (_server, mut shop) = shop(&[("P", 10)]);
        assert_eq!(
            shop.refusal(["INV.RESERVE", "R1", "ITEMS", name, "2"]),
            format!("INSUFFICIENT {name} requested 2, available 0 (unknown sku)")
        );
        for command in ["INV.COMMIT", "INV.ROLLBACK"] {
            let refusal = shop.refusal([command, name]);
            assert!(refusal.starts_with(&format!("NOTFOUND reservation {name} is unknown")), "{refusal}");
        }
        shop.ask(["INV.LIMIT", name, "1"]);
        shop.ask(["INV.SET", name, "AVAILABLE", "9"]);
        assert_eq!(
            shop.refusal(["INV.RESERVE", "R1", "BUYER", name, "ITEMS", name, "2"]),
            format!("LIMIT {name} buyer {name} requested 2, may take 1 more (limit 1)")
        );
        let answer = shop.ask([
            "INV.MRESERVE",
            "EX",
            "60",
            "3",
            "m1",
            "1",
            "P",
            "1",
            name,
            "1",
            name,
            "1",
            "m2",
            "1",
            "P",
            "1",
        ]);
        let refused = answer[1].as_str().expect("the second is refused");
        assert!(refused.contains(&format!("ERR {name} has a limit of 1")), "{refused}");
        let answer = shop.ask(["INV.MCOMMIT", name, "m1"]);
        let refused = answer[0].as_str().expect("the first is refused");
        assert!(refused.contains(&format!("NOTFOUND reservation {name} is unknown")), "{refused}");
        assert_eq!(
            (shop.counters("P"), shop.info("inv", "inv_panics_total")),
            ((8, 1), "0".to_owned()),
            "{name}"
        );
    }
}

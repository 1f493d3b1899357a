//! `INV.STOCKSCAN`: the walk over the stock of all products.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Client, Json, SOON, Server, assert_same, code, json, wait_until};
use crate::shards::Cluster;
use crate::shop::{Dice, shop, shop_with};

/// The entries of a whole walk. `between` runs after each page.
fn walk(shop: &mut Client, options: &str, mut between: impl FnMut(&mut Client)) -> Vec<Json> {
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    for _ in 0..1000 {
        let page = shop.ask(format!("INV.STOCKSCAN {cursor} {options}"));
        found.extend(page[1].as_array().expect("an array").iter().cloned());
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            return found;
        }
        between(shop);
    }
    panic!("no end");
}

fn id(entry: &Json) -> String {
    entry["product_id"].as_str().expect("a product").to_owned()
}

fn ids(entries: &[Json]) -> BTreeSet<String> {
    entries.iter().map(id).collect()
}

/// The ids of a whole walk.
fn found(shop: &mut Client, options: &str) -> BTreeSet<String> {
    ids(&walk(shop, options, |_| ()))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_walk_shows_each_product_once_as_inv_stock_does() {
    for style in ["plain", "tagged"] {
        let tagged = |name: &str| if style == "plain" { name.to_owned() } else { format!("{{{name}}}") };
        let style_of_keys = format!("inv.key-style {style}");
        let (_server, mut shop) = shop_with(&[&style_of_keys, "inv.low-stock-threshold 7"], &[]);
        for number in 0..300 {
            shop.ask(format!("INV.SET P-{number} AVAILABLE {number}"));
            shop.ask(format!("INV.THRESHOLD P-{number} {}", number % 9));
        }
        shop.ask("INV.RESERVE R1 ITEMS P-17 3");
        for product in ["W-1", "W-2"] {
            shop.ask(format!("INV.WAREHOUSES {product} SET A 1 B 2"));
            shop.ask(format!("INV.ADJUST {}@A 5", tagged(product)));
        }
        shop.ask("INV.THRESHOLD W-2 OFF");
        // Units in a place that is not in the set, and a place of a product without a set: INV.STOCK shows neither.
        shop.ask(format!("INV.ADJUST {}@A 5", tagged("STRAY")));
        shop.ask(format!("SET stock:reserved:{} 4", tagged("ONLY")));
        for options in ["", "COUNT 1", "COUNT 7", "COUNT 1000"] {
            let entries = walk(&mut shop, options, |_| ());
            assert_eq!(entries.len(), 303, "{options}: nothing is repeated while the table of keys rests");
            for entry in &entries {
                assert_eq!(*entry, shop.ask(["INV.STOCK", &id(entry)])[0], "{style} {options}");
            }
            let ids = ids(&entries);
            assert_eq!(ids.len(), 303, "{options}");
            assert!(ids.contains("W-1") && ids.contains("ONLY") && !ids.contains("STRAY"), "{ids:?}");
        }
    }
}

#[test]
fn a_page_holds_about_as_many_as_were_asked_for() {
    let (_server, mut shop) = shop(&[]);
    shop.burst(&(0..3000).map(|number| format!("INV.SET P-{number} AVAILABLE 9")).collect::<Vec<_>>());
    for (count, least, most) in [(1, 1, 60), (100, 100, 220), (1000, 900, 1150)] {
        let page = shop.ask(format!("INV.STOCKSCAN 0 COUNT {count}"));
        let found = page[1].as_array().map_or(0, Vec::len);
        assert!((least..=most).contains(&found), "COUNT {count}: {found}");
    }
}

#[test]
fn low_keeps_what_is_at_its_threshold_or_below_whatever_brought_it_there() {
    let (_server, mut shop) = shop_with(&["inv.low-stock-threshold 10"], &[]);
    for (product, units) in [("TEN", 10), ("ELEVEN", 11), ("OWN", 50), ("OFF", 1), ("OUT", 5), ("ZERO", 5)] {
        shop.ask(format!("INV.SET {product} AVAILABLE {units}"));
    }
    shop.ask("INV.THRESHOLD OWN 50");
    shop.ask("INV.THRESHOLD OFF OFF");
    shop.ask("INV.THRESHOLD OUT OFF");
    shop.ask("INV.THRESHOLD ZERO 0");
    // A sale, another client, a repair: none of them matters.
    shop.ask("INV.RESERVE R1 ITEMS OUT 5");
    shop.ask("SET stock:available:SCRIPT 3");
    shop.ask("SET stock:available:BELOW -4");
    shop.ask("INV.WAREHOUSES W SET A 1 B 2");
    shop.ask("INV.ADJUST W@A 6");
    shop.ask("INV.ADJUST W@B 5");
    shop.ask("INV.WAREHOUSES EMPTY SET A 1");
    shop.ask("INV.WAREHOUSES SUM SET A 1 B 2");
    shop.ask("INV.ADJUST SUM@A 5");
    shop.ask("INV.ADJUST SUM@B 5");
    let low = set(&["TEN", "OWN", "OUT", "SCRIPT", "BELOW", "EMPTY", "SUM"]);
    assert_eq!(found(&mut shop, "LOW"), low);
    assert_eq!(found(&mut shop, "low COUNT 1"), low);
    assert_eq!(found(&mut shop, "LOW MATCH [OST]*"), set(&["OWN", "OUT", "SCRIPT", "SUM", "TEN"]));
    shop.ask("CONFIG SET inv.low-stock-threshold -1");
    assert_eq!(found(&mut shop, "LOW"), set(&["OWN", "OUT", "BELOW", "EMPTY"]));
}

#[test]
fn a_product_that_cannot_be_read_is_listed_with_its_error() {
    let (_server, mut shop) = shop(&[("GOOD", 100)]);
    shop.ask("SET stock:available:BAD 10.0");
    shop.ask("SET stock:warehouses:WRONG text");
    shop.ask("SET stock:available:WRONG 5");
    for options in ["", "LOW"] {
        let entries = walk(&mut shop, options, |_| ());
        let errors: BTreeMap<String, String> = entries
            .iter()
            .filter_map(|entry| Some((id(entry), entry["error"].as_str()?.to_owned())))
            .collect();
        assert_eq!(
            errors["BAD"],
            "WRONGTYPE key stock:available:BAD holds '10.0', not an integer: correct it with a plain command such as SET or DEL"
        );
        assert!(errors["WRONG"].starts_with("WRONGTYPE key stock:warehouses:WRONG"), "{errors:?}");
        assert_eq!((errors.len(), entries.len()), (2, 2 + usize::from(options.is_empty())), "{entries:?}");
    }
}

#[test]
fn what_is_there_during_the_whole_walk_is_not_missed() {
    let (_server, mut shop) = shop(&[]);
    for number in 0..500 {
        shop.ask(format!("INV.SET STAYS-{number} AVAILABLE 9"));
        shop.ask(format!("INV.SET MOVES-{number} AVAILABLE 0"));
        shop.ask(format!("INV.SET GOES-{number} AVAILABLE 1"));
    }
    let mut step = 0;
    let entries = walk(&mut shop, "COUNT 20", |shop| {
        for _ in 0..12 {
            // It loses the counters under its own name, and is known by its warehouses from now on.
            shop.ask(format!("INV.WAREHOUSES MOVES-{step} SET A 1"));
            shop.ask(format!("DEL stock:available:GOES-{step}"));
            shop.ask(format!("INV.SET NEW-{step} AVAILABLE 3"));
            step += 1;
        }
    });
    assert!(step > 200, "{step}");
    let ids = ids(&entries);
    for kind in ["STAYS", "MOVES"] {
        let missed: Vec<String> =
            (0..500).map(|number| format!("{kind}-{number}")).filter(|id| !ids.contains(id)).collect();
        assert!(missed.is_empty(), "{missed:?}");
    }
}

#[test]
fn products_in_a_thousand_warehouses_come_a_few_at_a_time() {
    let (_server, mut shop) = shop(&[]);
    let places: Vec<String> = (0..1024).map(|place| format!("place-{place} {place}")).collect();
    for product in 0..12 {
        shop.ask(format!("INV.WAREHOUSES WIDE-{product} SET {}", places.join(" ")));
        shop.ask(format!("INV.ADJUST WIDE-{product}@place-7 {product}"));
    }
    let (mut cursor, mut pages) = ("0".to_owned(), Vec::new());
    loop {
        let page = shop.ask(format!("INV.STOCKSCAN {cursor} COUNT 1000"));
        pages.push(page[1].as_array().expect("an array").len());
        cursor = page[0].as_str().expect("a cursor").to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(pages.iter().sum::<usize>(), 12, "{pages:?}");
    assert_eq!(pages.iter().max(), Some(&2), "{pages:?}");
}

/// Sets that appear and disappear between the pages of what one SCAN has found.
#[test]
fn large_products_are_not_missed_while_others_come_and_go() {
    let (_server, mut shop) = shop(&[]);
    let places: Vec<String> = (0..1024).map(|place| format!("place-{place} {place}")).collect();
    let places = places.join(" ");
    for product in 0..20 {
        shop.ask(format!("INV.WAREHOUSES STAYS-{product} SET {places}"));
        shop.ask(format!("INV.WAREHOUSES GOES-{product} SET {places}"));
    }
    let mut step = 0;
    let entries = walk(&mut shop, "", |shop| {
        shop.ask(format!("DEL stock:warehouses:GOES-{}", step % 20));
        shop.ask(format!("INV.WAREHOUSES NEW-{step} SET {places}"));
        step += 1;
    });
    let ids = ids(&entries);
    let missed: Vec<String> =
        (0..20).map(|product| format!("STAYS-{product}")).filter(|id| !ids.contains(id)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Random patterns over few letters, so that many of them match something.
#[test]
fn a_pattern_matches_what_the_servers_own_scan_matches() {
    let (_server, mut shop) = shop(&[]);
    let mut dice = Dice::new(7);
    let names =
        ["a", "b", "ab", "b-a", "aab", "abc", "a*b", "a-c", "[ab]", "c]", "\\a", "^a", "aaaaab", "é", "a?"];
    for name in names {
        shop.ask(["SET", &format!("stock:available:{name}"), "5"]);
    }
    let letters = ["a", "b", "c", "*", "?", "[", "]", "^", "-", "\\", "[a-b]", "[^a]", "**"];
    for _ in 0..2000 {
        let pattern: String = (0..dice.up_to(6)).map(|_| *dice.pick(&letters.each_ref())).collect();
        let keys = shop.ask(["KEYS", &format!("stock:available:{pattern}")]);
        let keys = keys.as_array().expect("an array").iter();
        let expected: BTreeSet<String> = keys
            .map(|key| key.as_str().expect("a name").trim_start_matches("stock:available:").to_owned())
            .collect();
        let page = shop.ask(["INV.STOCKSCAN", "0", "MATCH", &pattern, "COUNT", "1000"]);
        assert_eq!(page[0], "0");
        assert_eq!(ids(page[1].as_array().expect("an array")), expected, "{pattern}");
    }
}

#[test]
fn wrong_arguments_are_refused_with_the_usage_line() {
    let (_server, mut shop) = shop(&[("P", 5)]);
    let before = shop.contents();
    for (command, what) in [
        ("INV.STOCKSCAN", "the cursor is missing"),
        ("INV.STOCKSCAN 5", "the cursor '5' is neither 0 nor"),
        ("INV.STOCKSCAN c", "the cursor 'c' is neither 0 nor"),
        ("INV.STOCKSCAN w-1", "the cursor 'w-1' is neither 0 nor"),
        ("INV.STOCKSCAN w1-2", "the cursor 'w1-2' is neither 0 nor"),
        ("INV.STOCKSCAN w1-2-3-4", "the cursor 'w1-2-3-4' is neither 0 nor"),
        ("INV.STOCKSCAN 0 MATCH", "the value of MATCH is missing"),
        ("INV.STOCKSCAN 0 MATCH a MATCH b", "MATCH is repeated"),
        ("INV.STOCKSCAN 0 LOW LOW", "LOW is repeated"),
        ("INV.STOCKSCAN 0 COUNT 1001", "COUNT 1001 is greater than the maximum of 1000"),
        ("INV.STOCKSCAN 0 HIGH", "unknown option 'HIGH'"),
    ] {
        let refusal = shop.refusal(command);
        assert!(refusal.starts_with("ERR ") && refusal.contains(what), "{command}: {refusal}");
        let usage = "Usage: INV.STOCKSCAN cursor [MATCH pattern] [COUNT n] [LOW]";
        assert!(refusal.contains(usage), "{command}: {refusal}");
    }
    let long = "x".repeat(513);
    let refusal = shop.refusal(["INV.STOCKSCAN", "0", "MATCH", &long]);
    assert_eq!(refusal, "ERR the pattern has 513 bytes, but at most 512 are allowed");
    assert_same(&shop.contents(), &before);
}

#[test]
fn a_walk_shows_what_inv_stock_would_show_to_the_caller() {
    let (server, mut shop) = shop(&[("shop1:p", 10), ("shop2:p", 10)]);
    shop.ask("INV.WAREHOUSES shop1:w SET A 1");
    shop.ask("INV.WAREHOUSES shop2:w SET A 1");
    let mut clerk = |rules: &str| {
        shop.ask(format!("ACL SETUSER clerk reset on nopass -@all {rules}"));
        let mut clerk = server.connect();
        clerk.ask("AUTH clerk any");
        found(&mut clerk, "COUNT 1")
    };
    assert_eq!(clerk("+inv.stockscan +inv.stock ~shop1*"), set(&["shop1:p", "shop1:w"]));
    assert_eq!(clerk("+@inventory %R~shop2*"), set(&["shop2:p", "shop2:w"]));
    assert_eq!(clerk("+inv.stockscan ~shop1*"), set(&[]), "without INV.STOCK");
    assert_eq!(clerk("+@inventory %W~shop1*"), set(&[]), "without the right to read");
    assert_eq!(clerk("+inv.stockscan ~none (+inv.stock ~shop1:w)"), set(&["shop1:w"]));
    assert_eq!(clerk("+inv.stockscan ~shop1* (+inv.audit ~shop2*)"), set(&[]));
}

#[test]
fn a_user_of_one_database_sees_no_stock_of_another() {
    let (server, mut shop) = shop(&[("P", 10)]);
    if shop.try_ask("ACL SETUSER clerk reset on nopass -@all +@inventory ~* resetdbs db=0").is_err() {
        eprintln!("skipped: this server cannot restrict users to databases");
        return;
    }
    let mut clerk = server.connect();
    clerk.ask("AUTH clerk any");
    assert_eq!(found(&mut clerk, ""), set(&["P"]));
    let mut clerk = server.connect();
    clerk.ask("SELECT 1");
    clerk.ask("SET stock:available:Q 5");
    clerk.ask("SET stock:reserved:Q 5");
    clerk.ask("AUTH clerk any");
    for walk in ["INV.STOCKSCAN 0", "INV.AUDITSCAN 0"] {
        // Some servers refuse it, others run it.
        match clerk.try_ask(walk) {
            Ok(page) => assert_eq!(page, json!(["0", []]), "{walk}"),
            Err(refusal) => assert_eq!(code(&refusal), "NOPERM", "{walk}"),
        }
    }
}

#[test]
fn a_replica_lists_what_its_master_has() {
    let (server, mut shop) = shop(&[("P", 10)]);
    let replica = server.replica();
    shop.ask("INV.WAREHOUSES W SET A 1");
    replica.catch_up_with(&server);
    assert_eq!(found(&mut replica.connect(), "LOW"), set(&["P", "W"]));
}

#[test]
fn a_walk_changes_nothing_and_runs_in_scripts_and_transactions() {
    let (server, mut shop) = shop_with(&["appendonly yes"], &[("P", 10)]);
    shop.ask("INV.RESERVE R1 ITEMS P 1");
    let before = shop.contents();
    let sent = server.propagated_by(|| {
        let mut shop = server.connect();
        let found = shop.ask(["EVAL", "return redis.call('INV.STOCKSCAN', '0')[1]", "0"]);
        assert_eq!(found, "0");
        let replies = shop.burst(&["MULTI", "INV.STOCKSCAN 0", "EXEC"]);
        assert_eq!(replies[2][0][1][0]["available"], 9, "{replies:?}");
    });
    assert_eq!(sent, Vec::<String>::new());
    assert_same(&shop.contents(), &before);
}

#[test]
fn in_a_cluster_each_node_lists_its_own_products() {
    let cluster = Cluster::start(3);
    let mut seen = BTreeSet::new();
    let mut shops: Vec<Client> = cluster.masters.iter().map(Server::connect).collect();
    for number in 0..30 {
        let owner = cluster.owner(&format!("P-{number}"));
        shops[owner].ask(format!("INV.SET P-{number} AVAILABLE {number}"));
        let owner = cluster.owner(&format!("W-{number}"));
        shops[owner].ask(format!("INV.WAREHOUSES W-{number} SET A 1"));
    }
    for (node, shop) in shops.iter_mut().enumerate() {
        for entry in walk(shop, "COUNT 5", |_| ()) {
            assert_eq!(cluster.owner(&id(&entry)), node, "{entry}");
            assert!(entry["error"].is_null(), "{entry}");
            assert!(seen.insert(id(&entry)), "{entry} came twice");
        }
        let refused = shop.burst(&["MULTI", "INV.STOCKSCAN 0", "EXEC"]);
        assert!(refused[2][0].to_string().contains("cannot run in a transaction"), "{refused:?}");
    }
    assert_eq!(seen.len(), 60);
    // A product whose slot is being moved is not missed: its entry says what INV.STOCK would answer.
    let (from, to) = (cluster.owner("P-1"), (cluster.owner("P-1") + 1) % 3);
    let slot = shops[from].ask("CLUSTER KEYSLOT P-1");
    let [source, target] =
        [from, to].map(|node| shops[node].ask("CLUSTER MYID").as_str().unwrap().to_owned());
    shops[to].ask(format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
    shops[from].ask(format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    let shop = &mut shops[from];
    wait_until("the entry has an error", SOON, || {
        let entries = walk(shop, "LOW", |_| ());
        let entry = entries.iter().find(|entry| id(entry) == "P-1").expect("it is still listed");
        entry["error"].as_str().is_some_and(|error| code(error) == "TRYAGAIN")
    });
}

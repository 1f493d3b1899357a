//! Every command through real cluster clients: those of the redis crate and of redis-py.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use redis::ProtocolVersion::{RESP2, RESP3};
use redis::cluster::{ClusterClient, ClusterConnection};
use redis::cluster_read_routing::RandomReplicaStrategy;
use redis::cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ProtocolVersion, RedisError, RedisResult, Value};
use redis_inventory::inventory::cluster_slot::Slot;

use crate::harness::{Client, Json, SOON, Server, code, json, to_json, wait_for};
use crate::shards::{Cluster, GOSSIP, node_id};

/// The client, with commands as text.
struct Shop(ClusterConnection);

impl Shop {
    fn open(cluster: &Cluster, protocol: ProtocolVersion) -> Self {
        Self(builder(cluster, protocol).build().expect("a client").get_connection().expect("a cluster"))
    }

    #[track_caller]
    fn ask(&mut self, line: &str) -> Json {
        answer(line, words(line).query(&mut self.0))
    }

    /// Sends the command along this route.
    #[track_caller]
    fn ask_there(&mut self, line: &str, route: RoutingInfo) -> Json {
        answer(line, self.0.route_command(&words(line), route))
    }

    #[track_caller]
    fn refusal(&mut self, line: &str) -> String {
        match words(line).query::<Value>(&mut self.0) {
            Ok(reply) => panic!("{line}: not refused: {reply:?}"),
            Err(error) => text(&error),
        }
    }

    /// The answer of each master, by address.
    fn ask_all(&mut self, line: &str) -> Vec<(String, Json)> {
        let route = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let answers = self.ask_there(line, route);
        answers.as_object().expect("one a master").clone().into_iter().collect()
    }

    /// All results of a walk over all masters. A cursor belongs to the node that returned it.
    fn walk(&mut self, command: &str, options: &str) -> Vec<Json> {
        let mut found = Vec::new();
        for (address, mut page) in self.ask_all(&format!("{command} 0 {options}")) {
            loop {
                found.extend(page[1].as_array().expect("a page").clone());
                let cursor = page[0].as_str().expect("a cursor").to_owned();
                if cursor == "0" {
                    break;
                }
                page = self.ask_there(&format!("{command} {cursor} {options}"), at(&address));
            }
        }
        found
    }
}

/// Three masters and their replicas. Every node knows all of them, because a client may ask any.
fn cluster_with_replicas() -> Cluster {
    let cluster = Cluster::start_with(3, 1, &[]);
    for node in cluster.nodes() {
        let mut client = node.connect();
        wait_for("the replicas are known", GOSSIP, 3, || {
            let shards = client.ask("CLUSTER SLOTS");
            let shards = shards.as_array().expect("ranges of slots");
            // Start, end, master, replica.
            shards.iter().filter(|shard| shard.as_array().is_some_and(|shard| shard.len() == 4)).count()
        });
    }
    cluster
}

fn builder(cluster: &Cluster, protocol: ProtocolVersion) -> redis::cluster::ClusterClientBuilder {
    let url = format!("redis://127.0.0.1:{}", cluster.masters[0].port());
    ClusterClient::builder([url]).use_protocol(protocol).retries(8).min_retry_wait(10).max_retry_wait(500)
}

fn words(line: &str) -> Cmd {
    let mut command = Cmd::new();
    line.split_whitespace().for_each(|word| {
        command.arg(word);
    });
    command
}

#[track_caller]
fn answer(line: &str, reply: RedisResult<Value>) -> Json {
    to_json(reply.unwrap_or_else(|error| panic!("{line}: {}", text(&error))))
}

fn text(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default()),
        None => error.to_string(),
    }
}

fn at(address: &str) -> RoutingInfo {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let (host, port) = (host.to_owned(), port.parse().expect("a port"));
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host, port })
}

/// To a node with the slot of this id: its master, or a replica.
fn to(id: &str, which: SlotAddr) -> RoutingInfo {
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(Route::with_key(id, which)))
}

/// A field of a map, which is a flat array in RESP2; null if it is missing.
fn field<'a>(map: &'a Json, name: &str) -> &'a Json {
    match map.as_array() {
        Some(flat) => flat.chunks(2).find(|pair| pair[0] == name).map_or(&Json::Null, |pair| &pair[1]),
        None => &map[name],
    }
}

/// Available and reserved units according to INV.STOCK.
fn units(stock: &Json) -> (i64, i64) {
    let number = |name| field(stock, name).as_i64().expect("a number");
    (number("available"), number("reserved"))
}

/// The lines of a reservation: sku and quantity.
fn lines(reservation: &Json) -> Vec<(String, i64)> {
    let line = |line: &Json| {
        let product = field(line, "product_id").as_str().expect("text");
        let warehouse = field(line, "warehouse").as_str().map(|warehouse| format!("@{warehouse}"));
        let sku = format!("{product}{}", warehouse.unwrap_or_default());
        (sku, field(line, "quantity").as_i64().expect("a number"))
    };
    field(reservation, "items").as_array().expect("lines").iter().map(line).collect()
}

fn texts(values: &[Json]) -> BTreeSet<String> {
    values.iter().map(|value| value.as_str().expect("text").to_owned()).collect()
}

#[test]
fn every_command_works_through_the_client_of_the_redis_crate() {
    let cluster = Cluster::start(3);
    for protocol in [RESP2, RESP3] {
        let mut shop = Shop::open(&cluster, protocol);
        // New ids in each round: plain, in braces, and with the tag of a shop, some on each master.
        for round in 0..6 {
            let p = format!("PROD-{round}-{protocol:?}");
            a_product_is_reserved_and_sold(&mut shop, &p);
            its_drift_is_found_and_repaired(&mut shop, &p);
            warehouses_share_the_slot_of_their_product(&mut shop, &format!("KEPT-{round}-{protocol:?}"));
            products_of_a_shop_share_a_reservation(&mut shop, &format!("shop{round}-{protocol:?}"));
        }
        cluster.check_keys();
    }
}

fn a_product_is_reserved_and_sold(shop: &mut Shop, p: &str) {
    assert_eq!(shop.ask(&format!("INV.SET {p} AVAILABLE 100")), 100);
    assert_eq!(shop.ask(&format!("INV.ADJUST {p} 20 ONCE delivery")), 120);
    assert_eq!(shop.ask(&format!("INV.ADJUST {{{p}}} 20 ONCE delivery")), 120);
    assert_eq!(shop.ask(&format!("INV.THRESHOLD {p} 90")), "OK");
    let held =
        shop.ask(&format!("INV.RESERVE {{{p}}}:R1 EX 600 DATA cart ONCE try-1 ITEMS {p} 10 {{{p}}} 5"));
    assert_eq!(field(&held, "reservation_id"), &format!("{{{p}}}:R1"));
    assert_eq!(lines(&held), [(p.to_owned(), 15)]);
    let until = shop.ask(&format!("INV.EXTEND {{{p}}}:R1 EX 900"));
    let found = shop.ask(&format!("INV.GET {{{p}}}:R1"));
    assert_eq!((field(&found, "state"), field(&found, "expires_at")), (&json!("reserved"), &until));
    assert_eq!(shop.ask(&format!("INV.SCAN 0 PRODUCT {p}")), json!(["0", [format!("{{{p}}}:R1")]]));
    assert_eq!(units(&shop.ask(&format!("INV.STOCK {p}"))[0]), (105, 15));
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{p}}}:R1 ONCE parcel ITEMS {p} 5")), "OK");
    assert_eq!(shop.ask(&format!("INV.ROLLBACK {{{p}}}:R1 ITEMS {p} 5")), "OK");
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{p}}}:R1")), "OK");
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{p}}}:R1")), "OK");
    assert_eq!(units(&shop.ask(&format!("INV.STOCK {{{p}}}"))[0]), (110, 0));
    shop.ask(&format!("INV.RESERVE {{{p}}}:R2 ITEMS {p} 100"));
    assert_eq!(shop.ask(&format!("INV.ROLLBACK {{{p}}}:R2")), "OK");
    let refusal = shop.refusal(&format!("INV.RESERVE {{{p}}}:R3 ITEMS {p} 111"));
    assert_eq!(refusal, format!("INSUFFICIENT {p} requested 111, available 110"));
    assert_eq!(code(&shop.refusal(&format!("INV.COMMIT {{{p}}}:R2"))), "ROLLEDBACK");
    assert_eq!(code(&shop.refusal(&format!("INV.EXTEND {{{p}}}:R4 EX 1"))), "NOTFOUND");
    assert_eq!(shop.ask(&format!("INV.GET {{{p}}}:R4")), Json::Null);
    let alerts = shop.ask(&format!("INV.ALERTS PRODUCT {p} TYPE low_stock"));
    assert_eq!((field(&alerts[0], "product_id"), field(&alerts[0], "available")), (&json!(p), &json!(10)));
    assert_eq!(shop.ask(&format!("INV.SET {p} ONHAND 50 IFEQ 110")), 50);
    assert_eq!(shop.ask(&format!("INV.SET {p} ONHAND 60 IFEQ 110")), Json::Null);
    // The master of the tag generates the id.
    for (star, length) in [(format!("{{{p}}}*"), 36), (format!("{{{p}}}:order-*"), 36)] {
        let made = shop.ask(&format!("INV.RESERVE {star} ITEMS {p} 1"));
        let id = field(&made, "reservation_id").as_str().expect("text");
        assert_eq!(id.strip_prefix(star.trim_end_matches('*')).map(str::len), Some(length), "{id}");
        assert_eq!(shop.ask(&format!("INV.ROLLBACK {id}")), "OK");
    }
    assert_eq!(units(&shop.ask(&format!("INV.STOCK {p}"))[0]), (50, 0));
}

fn its_drift_is_found_and_repaired(shop: &mut Shop, p: &str) {
    let drift = |audit: &Json| field(audit, "drift").as_i64();
    assert_eq!(drift(&shop.ask(&format!("INV.AUDIT {p}"))), Some(0));
    shop.ask(&format!("INCRBY stock:reserved:{{{p}}} 3"));
    assert_eq!(drift(&shop.ask(&format!("INV.AUDIT {{{p}}}"))), Some(3));
    let drifting = shop.walk("INV.AUDITSCAN", "COUNT 1000");
    assert_eq!(drifting.iter().map(|audit| field(audit, "sku")).collect::<Vec<_>>(), [p]);
    assert_eq!(drift(&shop.ask(&format!("INV.REPAIR {p} FORCE"))), Some(3));
    assert_eq!(drift(&shop.ask(&format!("INV.REPAIR {p}"))), Some(0));
    assert_eq!(units(&shop.ask(&format!("INV.STOCK {p}"))[0]), (53, 0));
}

fn warehouses_share_the_slot_of_their_product(shop: &mut Shop, p: &str) {
    assert_eq!(shop.ask(&format!("INV.WAREHOUSES {p} SET A 1 B 2")), "OK");
    assert_eq!(shop.ask(&format!("INV.ADJUST {{{p}}}@A 5")), 5);
    assert_eq!(shop.ask(&format!("INV.SET {{{p}}}@B AVAILABLE 9")), 9);
    let held = shop.ask(&format!("INV.RESERVE {{{p}}}:R1 ITEMS {p} 6 {{{p}}}@B 1"));
    assert_eq!(lines(&held), [(format!("{p}@A"), 5), (format!("{p}@B"), 2)]);
    assert_eq!(shop.ask(&format!("INV.TRANSFER {p} B A 3 ONCE truck")), "OK");
    let held = shop.ask(&format!("INV.RESERVE {{{p}}}:R2 SPLIT fewest ITEMS {p} 4"));
    assert_eq!(lines(&held), [(format!("{p}@B"), 4)]);
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{p}}}:R1 ITEMS {{{p}}}@A 5")), "OK");
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{p}}}:R1")), "OK");
    assert_eq!(shop.ask(&format!("INV.ROLLBACK {{{p}}}:R2")), "OK");
    assert_eq!(units(&shop.ask(&format!("INV.STOCK {p}"))[0]), (7, 0));
    assert_eq!(field(&shop.ask(&format!("INV.AUDIT {{{p}}}@B")), "held"), 0);
    let refusal = shop.refusal(&format!("INV.WAREHOUSES {p} DEL B"));
    assert!(refusal.ends_with("only an empty warehouse can be removed"), "{refusal}");
    // This names another slot than that of the product.
    let refusal = shop.refusal(&format!("INV.ADJUST {p}@A 1"));
    assert!(refusal.starts_with("ERR ") && refusal.ends_with(&format!("write {{{p}}}@A")), "{refusal}");
}

fn products_of_a_shop_share_a_reservation(shop: &mut Shop, tag: &str) {
    let [one, two] = ["P1", "P2"].map(|name| format!("{{{tag}}}:{name}"));
    shop.ask(&format!("INV.ADJUST {one} 10"));
    shop.ask(&format!("INV.ADJUST {two} 20"));
    let held = shop.ask(&format!("INV.RESERVE {{{tag}}}:R1 ITEMS {one} 4 {two} 5"));
    assert_eq!(lines(&held), [(one.clone(), 4), (two.clone(), 5)]);
    let made = shop.ask(&format!("INV.RESERVE {{{tag}}}:order-* ITEMS {two} 1 {one} 1"));
    let id = field(&made, "reservation_id").as_str().expect("text");
    assert!(id.starts_with(&format!("{{{tag}}}:order-")), "{id}");
    let stock = shop.ask(&format!("INV.STOCK {one} {two} {{{tag}}}:P3"));
    assert_eq!((units(&stock[0]), units(&stock[1]), &stock[2]), ((5, 5), (14, 6), &Json::Null));
    let found = shop.ask(&format!("INV.SCAN 0 PRODUCT {two}"));
    assert_eq!(
        texts(found[1].as_array().expect("ids")),
        BTreeSet::from([format!("{{{tag}}}:R1"), id.to_owned()])
    );
    assert_eq!(shop.ask(&format!("INV.COMMIT {{{tag}}}:R1")), "OK");
    assert_eq!(shop.ask(&format!("INV.ROLLBACK {id}")), "OK");
}

#[test]
fn ids_of_different_slots_are_refused_before_anything_is_done() {
    let cluster = Cluster::start(3);
    let mut shop = Shop::open(&cluster, RESP3);
    // PROD-1 and PROD-5 are in slots of one master, PROD-2 is on another.
    let products = ["PROD-1", "PROD-2", "PROD-5"];
    let owners = products.map(|p| cluster.owner(p));
    assert!(owners[0] == owners[2] && owners[0] != owners[1], "{owners:?}");
    for p in products {
        shop.ask(&format!("INV.ADJUST {p} 10"));
    }
    shop.ask("INV.RESERVE {PROD-1}:R1 ITEMS PROD-1 1");
    for line in [
        "INV.RESERVE R1 ITEMS PROD-1 1",
        "INV.RESERVE {PROD-1}:R2 ITEMS PROD-1 1 PROD-2 1",
        "INV.RESERVE {PROD-1}:R2 ITEMS {PROD-2} 1",
        "INV.RESERVE {PROD-1}:R2 ITEMS PROD-5 1",
        "INV.RESERVE {PROD-1}:R2 ITEMS PROD-1 1 PROD-5 1",
        "INV.COMMIT {PROD-1}:R1 ITEMS PROD-2 1",
        "INV.ROLLBACK {PROD-1}:R1 ITEMS PROD-2 1",
        "INV.STOCK PROD-1 PROD-2",
        "INV.STOCK PROD-1 PROD-5",
    ] {
        assert_eq!(code(&shop.refusal(line)), "CROSSSLOT", "{line}");
    }
    // In one slot by chance, or with invalid braces: the module refuses them.
    for line in [
        "INV.RESERVE {PROD-1}{x} ITEMS PROD-1 1",
        "INV.GET {}:R1",
        "INV.ADJUST {{PROD-1}} 1",
        "INV.RESERVE * ITEMS * 1",
        "INV.RESERVE * ITEMS PROD-1 1",
        "INV.RESERVE {PROD-1}:R2 ITEMS PROD-1@A 1",
    ] {
        assert_eq!(code(&shop.refusal(line)), "ERR", "{line}");
    }
    let stock = products.map(|p| units(&shop.ask(&format!("INV.STOCK {p}"))[0]));
    assert_eq!(stock, [(9, 1), (10, 0), (10, 0)]);
    cluster.check_keys();
}

/// A command without a product or a reservation names no node. The redis crate takes the first argument for a key, whatever it
/// is, so a plain `INV.SCAN 0` reaches only the master with the slot of `0`, without any sign that the others are missing.
#[test]
fn a_walk_is_asked_of_every_master() {
    let cluster = Cluster::start(3);
    for protocol in [RESP2, RESP3] {
        let mut shop = Shop::open(&cluster, protocol);
        let products: Vec<String> = (0..30).map(|number| format!("P{number}-{protocol:?}")).collect();
        let mut ids = BTreeSet::new();
        for p in &products {
            shop.ask(&format!("INV.SET {p} AVAILABLE 1000"));
            shop.ask(&format!("INV.SET {p} AVAILABLE 7"));
            ids.insert(format!("{{{p}}}:R"));
            shop.ask(&format!("INV.RESERVE {{{p}}}:R ITEMS {p} 2"));
            shop.ask(&format!("INCRBY stock:reserved:{{{p}}} 1"));
        }
        let found = shop.walk("INV.SCAN", "COUNT 3");
        assert_eq!((found.len(), texts(&found)), (ids.len(), ids.clone()));
        let one = shop.ask("INV.SCAN 0 COUNT 1000");
        let on_one = texts(one[1].as_array().expect("ids"));
        assert!(on_one.len() < ids.len() && on_one.is_subset(&ids), "{on_one:?}");

        let found = shop.walk("INV.AUDITSCAN", "COUNT 3");
        let skus: BTreeSet<String> =
            found.iter().map(|audit| field(audit, "sku").as_str().expect("text").to_owned()).collect();
        assert_eq!((found.len(), skus), (products.len(), products.iter().cloned().collect()));

        let alerts: Vec<Json> = shop
            .ask_all("INV.ALERTS COUNT 1000")
            .into_iter()
            .flat_map(|(_, alerts)| alerts.as_array().expect("alerts").clone())
            .collect();
        let low: BTreeSet<&str> =
            alerts.iter().map(|alert| field(alert, "product_id").as_str().expect("text")).collect();
        assert_eq!((alerts.len(), low), (products.len(), products.iter().map(String::as_str).collect()));

        for p in &products {
            shop.ask(&format!("INV.REPAIR {p} FORCE"));
            shop.ask(&format!("INV.ROLLBACK {{{p}}}:R"));
            for key in cluster.shop(p).ask(format!("KEYS alert:*{p}*")).as_array().expect("keys") {
                cluster.shop(p).ask(["DEL", key.as_str().expect("text")]);
            }
        }
    }
}

#[test]
fn the_client_follows_to_the_master_that_has_the_slot() {
    let cluster = Cluster::start(3);
    let mut shop = Shop::open(&cluster, RESP3);
    shop.ask("INV.ADJUST PROD-1 10");
    let (owner, slot) = (cluster.owner("PROD-1"), Slot::of("PROD-1").number());
    let moved = format!("MOVED {slot} 127.0.0.1:{}", cluster.masters[owner].port());
    let wrong = &cluster.masters[(owner + 1) % 3];
    for command in [
        "INV.RESERVE {PROD-1}:R1 ITEMS PROD-1 1",
        "INV.GET {PROD-1}:R1",
        "INV.COMMIT {PROD-1}:R1",
        "INV.ROLLBACK {PROD-1}:R1",
        "INV.EXTEND {PROD-1}:R1 EX 5",
        "INV.STOCK PROD-1",
        "INV.ADJUST PROD-1 1",
        "INV.SET PROD-1 AVAILABLE 1",
        "INV.TRANSFER PROD-1 A B 1",
        "INV.WAREHOUSES PROD-1 SET A 1",
        "INV.THRESHOLD PROD-1 1",
        "INV.FLOOR PROD-1 1",
        "INV.ALERTS PRODUCT PROD-1",
        "INV.SCAN 0 PRODUCT PROD-1",
        "INV.AUDIT PROD-1",
        "INV.REPAIR PROD-1",
    ] {
        assert_eq!(wrong.connect().refusal(command), moved, "{command}");
    }
    // After an ASK, the client follows the redirection.
    let there = || at(&format!("127.0.0.1:{}", wrong.port()));
    assert_eq!(shop.ask_there("INV.ADJUST PROD-1 1", there()), 11);
    let held = shop.ask_there("INV.RESERVE {PROD-1}:R1 ITEMS PROD-1 1", there());
    assert_eq!(field(&held, "reservation_id"), "{PROD-1}:R1");
    // So it does if a slot has moved since it last looked.
    let new = &cluster.masters[(cluster.owner("PROD-3") + 1) % 3];
    let slot = Slot::of("PROD-3").number();
    for master in [new].into_iter().chain(&cluster.masters) {
        master.connect().ask(format!("CLUSTER SETSLOT {slot} NODE {}", node_id(new)));
    }
    assert_eq!(shop.ask("INV.ADJUST PROD-3 5"), 5);
    assert_eq!(field(&shop.ask("INV.RESERVE {PROD-3}* ITEMS PROD-3 5"), "items")[0]["quantity"], 5);
    assert_eq!(new.connect().counters("{PROD-3}"), (0, 5));
}

#[test]
fn replicas_answer_what_only_reads() {
    let cluster = cluster_with_replicas();
    let mut shop = Shop::open(&cluster, RESP3);
    shop.ask("INV.SET PROD-1 AVAILABLE 100");
    shop.ask("INV.RESERVE {PROD-1}:R1 ITEMS PROD-1 95");
    let owner = cluster.owner("PROD-1");
    let (master, replica) = (&cluster.masters[owner], &cluster.replicas[owner][0]);
    replica.catch_up_with(master);
    let readers = [
        "INV.GET {PROD-1}:R1",
        "INV.STOCK PROD-1",
        "INV.AUDIT PROD-1",
        "INV.ALERTS PRODUCT PROD-1",
        "INV.SCAN 0 PRODUCT PROD-1",
    ];
    let walks = ["INV.ALERTS", "INV.SCAN 0", "INV.STOCKSCAN 0", "INV.AUDITSCAN 0"];
    let writers = [
        "INV.RESERVE {PROD-1}:R2 ITEMS PROD-1 1",
        "INV.COMMIT {PROD-1}:R1",
        "INV.ROLLBACK {PROD-1}:R1",
        "INV.EXTEND {PROD-1}:R1 EX 5",
        "INV.ADJUST PROD-1 1",
        "INV.SET PROD-1 AVAILABLE 1",
        "INV.TRANSFER PROD-1 A B 1",
        "INV.WAREHOUSES PROD-1 SET A 1",
        "INV.THRESHOLD PROD-1 1",
        "INV.FLOOR PROD-1 1",
        "INV.REPAIR PROD-1",
    ];

    let mut reader = replica.connect();
    for command in readers.iter().chain(&writers) {
        assert_eq!(code(&reader.refusal(command)), "MOVED", "{command}");
    }
    reader.ask("READONLY");
    for command in readers.iter().chain(&walks) {
        // Each node has its own order of products.
        let ask = |client: &mut Client| {
            let mut answer = client.ask(command);
            if command.starts_with("INV.STOCKSCAN") {
                answer[1].as_array_mut().expect("products").sort_by_key(Json::to_string);
            }
            answer
        };
        let expected = ask(&mut master.connect());
        assert_ne!(expected, json!([]), "{command}");
        wait_for(command, SOON, expected, || ask(&mut reader));
    }
    for command in writers {
        assert_eq!(code(&reader.refusal(command)), "MOVED", "{command}");
    }

    for protocol in [RESP2, RESP3] {
        let readers_too = builder(&cluster, protocol).read_routing_strategy(RandomReplicaStrategy);
        let mut shop = Shop(readers_too.build().expect("a client").get_connection().expect("a cluster"));
        for command in readers {
            // The client does not know that these commands only read, so it asks the master unless it is told otherwise.
            let name = command.split(' ').next().expect("a name");
            let before = (calls(master, name), calls(replica, name));
            let answer = shop.ask(command);
            assert_eq!((calls(master, name), calls(replica, name)), (before.0 + 1, before.1), "{command}");
            for which in [SlotAddr::ReplicaOptional, SlotAddr::ReplicaRequired] {
                let before = (calls(master, name), calls(replica, name));
                assert_eq!(shop.ask_there(command, to("PROD-1", which)), answer, "{command}");
                assert_eq!(
                    (calls(master, name), calls(replica, name)),
                    (before.0, before.1 + 1),
                    "{command}"
                );
            }
        }
        assert_eq!(shop.ask("INV.ADJUST {PROD-1}:X 1"), if protocol == RESP2 { 1 } else { 2 });
    }
    cluster.check_keys();
}

/// How often a node has executed a command.
fn calls(node: &Server, name: &str) -> u64 {
    let count = |client: &mut Client| {
        let counted = client.info("commandstats", &format!("cmdstat_{name}"));
        let calls = counted.strip_prefix("calls=").and_then(|calls| calls.split(',').next());
        calls.map_or(0, |calls| calls.parse().expect("a number"))
    };
    count(&mut node.connect())
}

#[test]
fn every_command_works_through_redis_py() {
    let cluster = cluster_with_replicas();
    run_python(&cluster, "tests/clients/cluster.py");
    cluster.check_keys();
}

#[test]
fn the_example_in_python_tells_its_story() {
    let cluster = Cluster::start(3);
    let output = run_python(&cluster, "examples/order.py");
    assert!(output.contains("refused: INSUFFICIENT") && output.contains("paid and not sold"), "{output}");
    cluster.check_keys();
}

/// Runs a script on the first node of a cluster, with redis-py.
fn run_python(cluster: &Cluster, script: &str) -> String {
    let address = format!("127.0.0.1:{}", cluster.masters[0].port());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new("python3")
        .args([script.as_os_str(), address.as_ref()])
        .env("PYTHONPATH", redis_py())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|error| panic!("python3 is needed for the tests through redis-py: {error}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{}: {}\n{out}\n{err}", script.display(), output.status);
    println!("{out}");
    out
}

/// The path of redis-py.
pub fn redis_py() -> &'static OsStr {
    static FOUND: OnceLock<OsString> = OnceLock::new();
    FOUND.get_or_init(|| {
        std::env::var_os("INV_REDIS_PY").unwrap_or_else(|| {
            let found = Command::new("bash")
                .args(["-c", "exports=$(scripts/setup-redis-py.sh) && eval \"$exports\" && printf %s \"$INV_REDIS_PY\""])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .stderr(Stdio::inherit())
                .output()
                .expect("bash");
            assert!(found.status.success(), "redis-py was not found, and the test needs it");
            String::from_utf8(found.stdout).expect("a path").into()
        })
    })
}

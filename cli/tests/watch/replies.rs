//! Parsing replies in RESP2 and RESP3.

use redis::Value;

use redis_inventory_cli::server::address::Options;
use redis_inventory_cli::stock::{Place, Units, fields, parse_stock};
use redis_inventory_cli::watch::reading::{Change, Item, Reservation, Totals};
use redis_inventory_cli::watch::replies::{
    has_tagged_feeds, parse_alert, parse_change, parse_info, parse_reservation,
};

fn text(text: &str) -> Value {
    Value::BulkString(text.into())
}

type Map = Vec<(&'static str, Value)>;

/// A map as in RESP3, and as a flat array.
fn both(fields: Map) -> [Value; 2] {
    let flat = fields.iter().flat_map(|(name, value)| [text(name), value.clone()]).collect();
    [Value::Map(fields.into_iter().map(|(name, value)| (text(name), value)).collect()), Value::Array(flat)]
}

fn item() -> Map {
    vec![("product_id", text("P")), ("warehouse", text("A")), ("quantity", Value::Int(2))]
}

fn units() -> Map {
    vec![("available", Value::Int(3)), ("reserved", Value::Int(4)), ("on_hand", Value::Int(7))]
}

#[test]
fn a_reservation_is_read_in_both_protocols() {
    for (protocol, item) in both(item()).into_iter().enumerate() {
        let reply = |state: &str| {
            let fields = vec![
                ("reservation_id", text("R")),
                ("state", text(state)),
                ("created_at", Value::Int(1)),
                ("expires_at", Value::Int(9)),
                ("items", Value::Array(vec![item.clone()])),
                ("data", text("cart 77")),
            ];
            both(fields)[protocol].clone()
        };
        let item = Item { product: "P".into(), warehouse: Some("A".into()), quantity: 2 };
        let expected =
            Reservation { id: "R".into(), expires_at: Some(9), items: vec![item], data: "cart 77".into() };
        assert_eq!(parse_reservation(reply("reserved")), Some(expected));
        assert_eq!(parse_reservation(reply("committed")), None, "it has ended");
    }
    assert_eq!(parse_reservation(Value::Nil), None);
    assert_eq!(parse_reservation(Value::Int(5)), None);
}

#[test]
fn stock_is_read_in_both_protocols() {
    for (protocol, _) in both(units()).iter().enumerate() {
        let closed = vec![
            ("warehouse", text("A")),
            ("priority", Value::Double(f64::INFINITY)),
            ("closed", Value::Int(1)),
            ("floor", Value::Int(-2)),
        ];
        let place = [closed, units()].concat();
        let places = Value::Array(vec![both(place)[protocol].clone()]);
        let fields = [
            vec![("product_id", text("P"))],
            units(),
            vec![("threshold", Value::Int(5)), ("warehouses", places)],
        ];
        let found =
            parse_stock(Value::Array(vec![both(fields.concat())[protocol].clone()])).unwrap().unwrap();
        let expected = Units { available: 3, reserved: 4, reservable: 3 };
        assert_eq!((found.units, found.threshold), (expected, 5));
        let (warehouse, priority) = ("A".to_owned(), "closed".to_owned());
        assert_eq!(found.warehouses, [Place { warehouse, priority, floor: -2, units: expected }]);
    }
    assert_eq!(parse_stock(Value::Array(vec![Value::Nil])), None, "there is no such product");
    for reply in both(vec![("product_id", text("P")), ("error", text("WRONGTYPE key"))]) {
        assert_eq!(parse_stock(Value::Array(vec![reply])), Some(Err("WRONGTYPE key".to_owned())));
    }
}

#[test]
fn alerts_are_read_in_both_protocols() {
    let fields = vec![
        ("product_id", text("P")),
        ("type", text("LOW_STOCK")),
        ("available", Value::Int(8)),
        ("threshold", Value::Int(10)),
        ("timestamp", Value::Int(77)),
    ];
    for reply in both(fields) {
        let alert = parse_alert(reply).unwrap();
        assert_eq!((alert.product.as_str(), alert.kind.as_str(), alert.timestamp), ("P", "LOW_STOCK", 77));
    }
}

#[test]
fn entries_of_the_feed_are_read() {
    let entry = |fields: &[&str]| {
        let fields = fields.iter().map(|field| text(field)).collect();
        parse_change(Value::Array(vec![text("5-0"), Value::Array(fields)]))
    };
    let change = |event: &str, reservation: Option<&str>| Change {
        entry: "5-0".into(),
        event: event.into(),
        product: "P".into(),
        reservation: reservation.map(Into::into),
        timestamp: 5,
    };
    let line = ["event", "reserved", "reservation_id", "R", "sku", "P@A", "quantity", "1", "timestamp", "5"];
    assert_eq!(entry(&line), Some(change("reserved", Some("R"))));
    assert_eq!(entry(&["event", "adjusted", "sku", "P", "timestamp", "5"]), Some(change("adjusted", None)));
    assert_eq!(entry(&["event", "alert", "product_id", "P", "timestamp", "5"]), Some(change("alert", None)));
    assert_eq!(entry(&["another", "stream"]), None);
}

#[test]
fn info_is_read_of_both_servers() {
    let inv = "# inv\r\ninv_holds:7\r\ninv_reserved_total:10\r\ninv_committed_total:2\r\n\
        inv_rolled_back_total:1\r\ninv_expired_total:3\r\ninv_refused_insufficient_total:4\r\n";
    let valkey = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.0\r\n\
        run_id:abc\r\nserver_time_usec:1763820000123456\r\n";
    let (info, time) = parse_info(&[valkey, inv].concat());
    assert_eq!((info.server.as_str(), info.run.as_str(), info.holds), ("valkey 9.1.0", "abc", 7));
    let totals = Totals { reserved: 10, committed: 2, rolled_back: 1, expired: 3, short: 4 };
    assert_eq!((info.totals, time), (totals, Some(1_763_820_000_123)));
    let (info, time) = parse_info("redis_version:8.0.6\r\n");
    assert_eq!((info.server.as_str(), info.totals, time), ("redis 8.0.6", Totals::default(), None));
}

#[test]
fn whether_there_are_feeds_of_tags_is_read_of_the_configuration() {
    let are_tagged = |style: &'static str, most: &'static str, cluster: &'static str| {
        let settings = vec![
            ("inv.key-style", text(style)),
            ("inv.feed-maxlen", text(most)),
            ("cluster-enabled", text(cluster)),
        ];
        both(settings).map(|reply| has_tagged_feeds(fields(reply).unwrap()))
    };
    assert_eq!(are_tagged("tagged", "1000", "no"), [true; 2]);
    assert_eq!(are_tagged("auto", "1000", "yes"), [true; 2]);
    assert_eq!(are_tagged("auto", "1000", "no"), [false; 2]);
    assert_eq!(are_tagged("plain", "1000", "no"), [false; 2]);
    assert_eq!(are_tagged("tagged", "0", "no"), [false; 2], "there is no feed");
}

#[test]
fn a_url_that_is_none_is_refused_without_its_password() {
    let options = |url: &str| Options { url: Some(url.to_owned()), ..Options::default() };
    for url in
        ["http://x", "127.0.0.1:7800", "redis://u:secret@", "redis://u:secret@host/db", "x://:secret@h"]
    {
        let refusal = options(url).address().expect_err(url).text;
        assert!(
            refusal.contains("the URL cannot be used") && !refusal.contains("secret"),
            "{url}: {refusal}"
        );
    }
    for (url, name) in [
        ("redis://host", "host:6379"),
        ("redis://u:s$cr%40t@host:7800/5", "u@host:7800/5"),
        ("rediss://:secret@host", "host:6379"),
        ("valkeys://u@host", "u@host:6379"),
        ("", "127.0.0.1:6379"),
    ] {
        assert_eq!(options(url).address().expect(url).login(), name);
    }
}

#[test]
fn what_can_be_reserved_is_read_if_the_server_tells_it() {
    let reservable = |fields: Vec<(&'static str, Value)>| {
        let view = both([vec![("product_id", text("P"))], fields].concat());
        parse_stock(Value::Array(vec![view[0].clone()])).unwrap().unwrap().units.reservable
    };
    assert_eq!(reservable(units()), 3, "an older module has no floors");
    assert_eq!(reservable([units(), vec![("reservable", Value::Int(1))]].concat()), 1);
}

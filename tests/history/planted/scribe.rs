//! Writes histories as they would have been, for tests of the checker. Everything happens at once, one call after the other.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::check::ask::{Units, units};
use crate::record::{Call, Durability, Entry, Failover, FeedEntry, History, Moment, Outcome, Run};
use crate::shop::words;

pub struct Scribe {
    pub history: History,
    at: Moment,
    request: u64,
    counters: BTreeMap<String, (i64, i64)>,
    held: BTreeMap<String, Units>,
    pub server: &'static str,
    pub confirmed: Option<bool>,
}

/// The wall clock at the beginning.
pub const BEGINNING: i64 = 1_800_000_000_000;

/// How long a call takes, and the time between two, us.
const STEP: Moment = 1000;

impl Scribe {
    pub fn new(durability: Durability) -> Self {
        let run = Run { durability, hold_ttl: 800, ..Run::default() };
        Self {
            history: History { run, ..History::default() },
            at: 0,
            request: 0,
            counters: BTreeMap::new(),
            held: BTreeMap::new(),
            server: "n1",
            confirmed: None,
        }
    }

    /// Unix ms.
    pub fn now(&self) -> i64 {
        BEGINNING + i64::try_from(self.at / 1000).expect("a time")
    }

    pub fn let_pass(&mut self, ms: u64) {
        self.at += ms * 1000;
    }

    /// A call with its answer. It has no effect.
    pub fn call(&mut self, text: &str, outcome: Outcome, answer: Json) -> &mut Call {
        let start = self.at;
        self.at += STEP;
        self.request += 1;
        let wall = (self.now() - 1, self.now());
        let call = Call {
            request: self.request,
            client: 1,
            server: self.server.to_owned(),
            shop: "shop".to_owned(),
            start,
            end: self.at,
            wall,
            words: words(text),
            outcome,
            answer,
            confirmed: self.confirmed.filter(|_| outcome != Outcome::Unknown),
        };
        self.at += STEP;
        self.history.calls.push(call);
        self.history.calls.last_mut().expect("a call")
    }

    pub fn ok(&mut self, text: &str) {
        self.call(text, Outcome::Ok, json!("OK"));
    }

    pub fn refused(&mut self, text: &str, error: &str) {
        self.call(text, Outcome::Fail, json!(error));
    }

    pub fn unknown(&mut self, text: &str) {
        self.call(text, Outcome::Unknown, Json::Null);
    }

    /// An entry of the feed, at this time.
    pub fn entry(&mut self, event: &str, sku: &str, quantity: i64, id: Option<&str>, note: Option<&str>) {
        let (available, reserved) = self.counters.entry(sku.to_owned()).or_default();
        let (more, held) = match event {
            "reserved" | "replaced" => (-quantity, quantity),
            "committed" => (0, -quantity),
            "committed_late" => (-quantity, 0),
            "rolled_back" | "expired" => (quantity, -quantity),
            _ => (quantity, 0),
        };
        (*available, *reserved) = (*available + more, *reserved + held);
        let (available, reserved) = (*available, *reserved);
        let number = self.history.feeds.values().map(Vec::len).sum::<usize>() as u64;
        let id_of_entry = (u64::try_from(self.now()).expect("a time"), number);
        self.history.add(Entry::Feed(FeedEntry {
            shop: "shop".to_owned(),
            id: id_of_entry,
            event: event.to_owned(),
            sku: sku.to_owned(),
            quantity,
            available,
            reserved,
            reservation: id.map(str::to_owned),
            replaces: None,
            note: note.map(str::to_owned),
        }));
    }

    pub fn adjust(&mut self, sku: &str, units: i64) {
        let note = format!("n{}", self.request);
        self.entry("adjusted", sku, units, None, Some(&note));
        let available = self.counters[sku].0;
        self.call(&format!("INV.ADJUST {sku} {units} ONCE t NOTE {note}"), Outcome::Ok, json!(available));
    }

    /// What RESERVE answers now.
    pub fn reservation(&self, id: &str, sku: &str, quantity: i64, life: i64) -> Json {
        let items = json!([{"product_id": sku, "quantity": quantity}]);
        json!({"reservation_id": id, "expires_at": self.now() + life, "items": items})
    }

    pub fn hold(&mut self, id: &str, sku: &str, quantity: i64) {
        self.entry("reserved", sku, quantity, Some(id), None);
        self.held.insert(id.to_owned(), Units::from([(sku.to_owned(), quantity)]));
    }

    pub fn reserve(&mut self, id: &str, sku: &str, quantity: i64, options: &str) {
        self.hold(id, sku, quantity);
        let answer = self.reservation(id, sku, quantity, 500);
        self.call(&format!("INV.RESERVE {id} PX 500{options} ITEMS {sku} {quantity}"), Outcome::Ok, answer);
    }

    /// Ends a reservation in the feed.
    pub fn end(&mut self, id: &str, event: &str) {
        for (sku, quantity) in self.held[id].clone() {
            self.entry(event, &sku, quantity, Some(id), None);
        }
    }

    pub fn commit(&mut self, id: &str) {
        self.end(id, "committed");
        self.ok(&format!("INV.COMMIT {id}"));
    }

    pub fn roll_back(&mut self, id: &str) {
        self.end(id, "rolled_back");
        self.ok(&format!("INV.ROLLBACK {id}"));
    }

    /// INV.STOCK, as it is now.
    pub fn stock(&mut self, sku: &str) {
        let (available, reserved) = self.counters[sku];
        self.read_stock(sku, available, reserved);
    }

    pub fn read_stock(&mut self, sku: &str, available: i64, reserved: i64) {
        let answer =
            json!([{"product_id": sku, "available": available, "reserved": reserved, "warehouses": []}]);
        self.call(&format!("INV.STOCK {sku}"), Outcome::Ok, answer);
    }

    pub fn get(&mut self, id: &str, state: &str, expires_at: i64) {
        let items: Vec<Json> =
            self.held[id].iter().map(|(sku, units)| json!({"product_id": sku, "quantity": units})).collect();
        let answer = json!({"reservation_id": id, "state": state, "expires_at": expires_at, "items": items});
        assert_eq!(units(&answer["items"]), self.held[id]);
        self.call(&format!("INV.GET {id}"), Outcome::Ok, answer);
    }

    /// Another server answers from now on, and has forgotten the entries from this one on.
    pub fn fail_over(&mut self, kept: usize) {
        let promoted = self.at;
        let feed = self.history.feeds.entry("shop".to_owned()).or_default();
        feed.truncate(kept);
        let last = feed.last().map_or((0, 0), |entry| entry.id);
        self.counters =
            feed.iter().map(|entry| (entry.sku.clone(), (entry.available, entry.reserved))).collect();
        let (from, to) = (self.server.to_owned(), "n2".to_owned());
        self.server = "n2";
        self.at += STEP;
        self.history.add(Entry::Failover(Failover {
            what: "master killed, replica promoted".to_owned(),
            from,
            to,
            promoted,
            over: promoted,
            last: BTreeMap::from([("shop".to_owned(), last)]),
        }));
        self.at += STEP;
    }

    /// Everything is at rest from now on.
    pub fn rest(&mut self) {
        self.history.rest = Some(self.at);
    }
}

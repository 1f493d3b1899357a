//! Shoppers who use a cluster through a cluster client, and checks of what happens to their units.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{RedisError, Value};

use crate::books::Books;
use crate::harness::{SOON, wait_for};
use crate::shards::{Cluster, slot_of};
use crate::shop::Dice;

/// The number of products. Each has enough stock.
const PRODUCTS: usize = 24;
const STOCK: i64 = 1_000_000;

/// A product counts as one of the first if its slot is below this number; a reshard moves those slots first.
const FIRST_SLOTS: u16 = 300;

/// How long a command is retried, as a shop would do, before it counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(30);

/// Products in slots of all masters, a third of them in the first slots.
pub fn products() -> Vec<String> {
    let names = || (0..).map(|number| format!("P{number}"));
    let first = names().filter(|name| slot_of(name) < FIRST_SLOTS).take(PRODUCTS / 3);
    let mut products: Vec<String> = first.collect();
    products.extend(names().filter(|name| slot_of(name) >= FIRST_SLOTS).take(PRODUCTS - PRODUCTS / 3));
    products
}

/// Adds stock of all products.
pub fn stock(cluster: &Cluster) {
    for product in products() {
        cluster.shop(&product).ask(format!("SET stock:available:{{{product}}} {STOCK}"));
    }
}

/// For loads that do not wait for a replica.
pub static NEVER: AtomicBool = AtomicBool::new(false);

/// The answers that the shoppers received.
#[derive(Debug, Default)]
pub struct Told {
    /// The last answered state of each reservation.
    pub states: BTreeMap<String, &'static str>,
    /// Reservations with a command that was never answered.
    pub unknown: usize,
    /// Commands that were answered.
    pub answered: usize,
}

/// Runs shoppers against the nodes with these ports in the background until `work` is done. While `wait` is set, an answer counts
/// only once a replica has the write.
pub fn while_shopping<T>(
    nodes: &[u16],
    shoppers: u64,
    wait: &AtomicBool,
    work: impl FnOnce() -> T,
) -> (T, Told) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let shopping: Vec<_> = (0..shoppers)
            .map(|number| {
                let over = &over;
                scope.spawn(move || {
                    let mut shopper = Shopper::new(nodes, number, wait);
                    while !over.load(Ordering::Relaxed) {
                        shopper.shop();
                    }
                    shopper.told
                })
            })
            .collect();
        let closing = Closing(&over);
        let done = work();
        drop(closing);
        let mut all = Told::default();
        for shopper in shopping {
            let told = shopper.join().expect("no shopper fails");
            all.states.extend(told.states);
            all.unknown += told.unknown;
            all.answered += told.answered;
        }
        (done, all)
    })
}

/// Stops the shoppers when it is dropped, even if the work fails: otherwise the test would hang.
struct Closing<'a>(&'a AtomicBool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The combined books of all masters, once each master's reserved counters are what its live reservations hold.
pub fn balanced_books(cluster: &Cluster) -> Books {
    let mut books = Books::default();
    wait_for("all reserved units are held", SOON * 5, Vec::new(), || {
        books = Books::of_all(cluster.masters_now().iter().map(|master| Books::read(&mut master.connect())));
        books.unbalanced()
    });
    books
}

/// Asserts that every unit is available, reserved or sold.
pub fn check_units(books: &Books) {
    let units = books.units();
    for product in products() {
        assert_eq!(units.get(&product), Some(&STOCK), "{product}");
    }
}

/// The number of reservations that are not in the state that their shopper was last told.
pub fn forgotten(books: &Books, told: &Told) -> usize {
    let is_known = |(id, state): (&String, &&str)| match (books.ended.get(id), *state) {
        (Some(ended), "reserved") => ended == "expired",
        (None, "reserved") => books.live.contains(id),
        (ended, state) => ended.is_some_and(|ended| ended == state),
    };
    told.states.iter().filter(|told| !is_known(*told)).count()
}

struct Shopper<'a> {
    client: ClusterClient,
    connection: ClusterConnection,
    products: Vec<String>,
    number: u64,
    dice: Dice,
    count: u64,
    wait: &'a AtomicBool,
    told: Told,
}

impl<'a> Shopper<'a> {
    fn new(nodes: &[u16], number: u64, wait: &'a AtomicBool) -> Self {
        let nodes: Vec<String> = nodes.iter().map(|port| format!("redis://127.0.0.1:{port}")).collect();
        let client = ClusterClient::builder(nodes)
            .connection_timeout(Duration::from_secs(1))
            .response_timeout(Duration::from_secs(2))
            .build()
            .expect("a client");
        let connection = client.get_connection().expect("a connection");
        let (dice, count, told) = (Dice::new(number), 0, Told::default());
        Self { client, connection, products: products(), number, dice, count, wait, told }
    }

    /// One reservation from beginning to end.
    fn shop(&mut self) {
        self.count += 1;
        let product = self.dice.pick(&self.products.iter().collect::<Vec<_>>()).clone();
        let id = format!("{{{product}}}:{}-{}", self.number, self.count);
        // Some live longer than the test.
        let life = [1500, 4000, 600_000][usize::try_from(self.dice.roll(3)).expect("small")];
        let units = (1 + self.dice.roll(3)).to_string();
        let reserve = ["INV.RESERVE", &id, "PX", &life.to_string(), "ITEMS", &product, &units];
        // The first answer may be lost, and the reservation may have expired when the command is sent again.
        if !self.tell(&id, "reserved", &reserve, &["EXPIRED"]) {
            return;
        }
        // A master that dies may lose the reservation: then it counts as forgotten.
        match self.dice.roll(4) {
            0 => self.tell(&id, "committed", &["INV.COMMIT", &id], &["EXPIRED", "NOTFOUND"]),
            1 => self.tell(&id, "rolled_back", &["INV.ROLLBACK", &id], &["NOTFOUND"]),
            2 => self.tell(&id, "reserved", &["INV.GET", &id], &[]),
            _ => true,
        };
    }

    /// Sends a command until it is answered, and records the state, unless it is refused with one of these codes. Returns false
    /// if it was never answered.
    fn tell(&mut self, id: &str, state: &'static str, words: &[&str], refusals: &[&str]) -> bool {
        let begun = Instant::now();
        loop {
            match self.ask(words) {
                Ok(_) => {
                    self.told.answered += 1;
                    self.told.states.insert(id.to_owned(), state);
                    return true;
                }
                Err(refusal) if refusals.contains(&refusal.as_str()) => {
                    self.told.answered += 1;
                    return true;
                }
                Err(trouble) if begun.elapsed() > PATIENCE => {
                    eprintln!("{words:?} was not answered: {trouble}");
                    self.told.states.remove(id);
                    self.told.unknown += 1;
                    return false;
                }
                Err(trouble) => {
                    let passes =
                        ["TRYAGAIN", "CLUSTERDOWN", "MOVED", "ASK", "READONLY", "LOADING", "MASTERDOWN"];
                    assert!(
                        trouble.is_empty() || passes.contains(&trouble.as_str()),
                        "{words:?} was refused: {trouble}"
                    );
                    thread::sleep(Duration::from_millis(5));
                    // The client itself keeps asking a node that has died.
                    if trouble.is_empty()
                        && let Ok(connection) = self.client.get_connection()
                    {
                        self.connection = connection;
                    }
                }
            }
        }
    }

    /// The reply, or the code of the refusal; an empty code if the connection failed.
    fn ask(&mut self, words: &[&str]) -> Result<Value, String> {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        let code = |error: RedisError| error.code().unwrap_or_default().to_owned();
        let reply = command.query::<Value>(&mut self.connection).map_err(code)?;
        if self.wait.load(Ordering::Relaxed) {
            // WAIT refers to the writes of its own connection, so it goes to the same node.
            let mut command = redis::cmd("WAIT");
            command.arg(1).arg(1000);
            let route = redis::cluster_routing::RoutingInfo::SingleNode(
                redis::cluster_routing::SingleNodeRoutingInfo::SpecificNode(
                    redis::cluster_routing::Route::new(
                        slot_of(words[1]),
                        redis::cluster_routing::SlotAddr::Master,
                    ),
                ),
            );
            let replicas = self.connection.route_command(&command, route).map_err(code)?;
            if replicas != Value::Int(1) {
                return Err(String::new());
            }
        }
        Ok(reply)
    }
}

//! A payment provider for the shop: it declines, fails, and takes days. Its time is simulated.
//!
//! Its webhooks arrive once to three times, at once or days later, in any order, and also about payments that the shop has ended:
//! a transfer that was on its way is captured nevertheless.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value as Json, json};

/// A day of simulated time.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// How many of a hundred calls go wrong, or otherwise than the shop would like.
#[derive(Clone, Copy, Debug)]
pub struct Mood {
    /// Cards that are declined.
    pub declines: u8,
    /// Captures of authorised money that are refused.
    pub refuses_capture: u8,
    /// Charges that are pending for hours or days. Of these, some fail at last.
    pub pending: u8,
    /// Calls that are answered with an error, whether they were carried out or not.
    pub trouble: u8,
}

impl Mood {
    /// Every customer pays at once.
    pub const GOOD: Self = Self { declines: 0, refuses_capture: 0, pending: 0, trouble: 0 };
    /// Everything happens often.
    pub const BAD: Self = Self { declines: 10, refuses_capture: 10, pending: 40, trouble: 3 };
}

/// A provider that listens on a port of this machine.
pub struct Provider {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

/// A webhook: the id of the event, and the key of the payment.
pub type Event = (String, String);

struct Books {
    mood: Mood,
    dice: Rng,
    clock: Duration,
    payments: BTreeMap<String, Entry>,
    events: u64,
    /// When which event is to be sent.
    webhooks: Vec<(Duration, Event)>,
}

#[derive(Default)]
struct Entry {
    state: &'static str,
    amount: i64,
    captured: i64,
    refunded: i64,
    captures: u32,
    refunds: u32,
    /// When money that is on its way arrives.
    arrives: Option<Duration>,
}

impl Provider {
    /// Starts one.
    pub fn start(mood: Mood, seed: u64) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let dice = Rng::with_seed(seed);
        let books = Books {
            mood,
            dice,
            clock: Duration::ZERO,
            payments: BTreeMap::new(),
            events: 0,
            webhooks: Vec::new(),
        };
        let books = Arc::new(Mutex::new(books));
        let shared = Arc::clone(&books);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &books));
            }
        });
        Self { address, books }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it treats the shop.
    pub fn set_mood(&self, mood: Mood) {
        self.books().mood = mood;
    }

    /// Lets simulated time pass, in which customers pay at their banks.
    pub fn let_pass(&self, time: Duration) {
        let books = &mut *self.books();
        books.clock += time;
        let clock = books.clock;
        let due = |entry: &Entry| entry.arrives.is_some_and(|at| at <= clock);
        let keys: Vec<String> =
            books.payments.iter().filter(|(_, entry)| due(entry)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let pays = books.dice.u8(..100) < 75;
            let entry = books.payments.get_mut(&key).expect("it is there");
            entry.arrives = None;
            if pays {
                entry.capture();
            } else if entry.state == "pending" {
                entry.state = "failed";
            }
            books.announce(&key);
        }
    }

    /// The webhooks that are due, each as often as it is sent, in any order.
    pub fn take_webhooks(&self) -> Vec<Event> {
        let books = &mut *self.books();
        let (due, later) =
            std::mem::take(&mut books.webhooks).into_iter().partition(|(at, _)| *at <= books.clock);
        books.webhooks = later;
        let mut due: Vec<Event> = due.into_iter().map(|(_, event)| event).collect();
        books.dice.shuffle(&mut due);
        due
    }

    /// Whether webhooks or money are still on their way.
    pub fn is_busy(&self) -> bool {
        let books = self.books();
        !books.webhooks.is_empty() || books.payments.values().any(|entry| entry.arrives.is_some())
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no thread panics with it")
    }
}

fn serve(stream: TcpStream, books: &Mutex<Books>) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).is_ok_and(|length| length > 0) {
        let request: Json = serde_json::from_str(&line).unwrap_or_default();
        let answer = books.lock().expect("no thread panics with it").answer(&request);
        if stream.get_mut().write_all(format!("{answer}\n").as_bytes()).is_err() {
            break;
        }
        line.clear();
    }
}

impl Books {
    fn answer(&mut self, request: &Json) -> Json {
        if request["do"] == "statement" {
            return self.statement();
        }
        let trouble = self.chance(self.mood.trouble);
        if trouble && self.dice.bool() {
            return json!({"error": "try again later"});
        }
        let Some(state) = self.carry_out(request) else {
            return json!({"error": "a request makes no sense"});
        };
        if trouble { json!({"error": "the answer was lost"}) } else { json!({"payment": state}) }
    }

    fn carry_out(&mut self, request: &Json) -> Option<&'static str> {
        let (operation, key) = (request["do"].as_str()?, request["key"].as_str()?);
        let before = self.payments.get(key).map_or("none", |entry| entry.state);
        match (operation, before) {
            ("find", _) => return Some(before),
            ("authorise", "none") => {
                let state = if self.chance(self.mood.declines) { "failed" } else { "authorised" };
                self.open(key, state, request["amount"].as_i64()?);
            }
            ("charge", "none") => {
                self.open(key, "pending", request["amount"].as_i64()?);
                let takes_long = self.chance(self.mood.pending);
                let time = Duration::from_secs(self.dice.u64(60..3 * 24 * 3600));
                let at = self.clock + time;
                let entry = self.payments.get_mut(key)?;
                if takes_long { entry.arrives = Some(at) } else { entry.capture() }
            }
            ("capture", "authorised") => {
                let refused = self.chance(self.mood.refuses_capture);
                let entry = self.payments.get_mut(key)?;
                if refused { entry.state = "ended" } else { entry.capture() }
            }
            ("end", "none") => self.open(key, "ended", 0),
            ("end", "authorised" | "pending") => {
                // A transfer that is on its way may arrive nevertheless.
                let is_too_late = self.dice.bool();
                let entry = self.payments.get_mut(key)?;
                entry.state = "ended";
                entry.arrives = entry.arrives.filter(|_| is_too_late);
            }
            ("end", "captured") => self.payments.get_mut(key)?.refund(),
            // Done before, or not possible any more.
            ("authorise" | "charge" | "capture" | "end", _) => return Some(before),
            _ => return None,
        }
        self.announce(key);
        Some(self.payments.get(key)?.state)
    }

    fn open(&mut self, key: &str, state: &'static str, amount: i64) {
        self.payments.insert(key.to_owned(), Entry { state, amount, ..Entry::default() });
    }

    /// Plans the webhooks about a change.
    fn announce(&mut self, key: &str) {
        self.events += 1;
        let event = (format!("event-{}", self.events), key.to_owned());
        for _ in 0..self.dice.u8(1..=3) {
            let delay = match self.dice.u8(..10) {
                0..5 => Duration::ZERO,
                5..8 => Duration::from_secs(self.dice.u64(..3600)),
                _ => Duration::from_secs(self.dice.u64(..7 * 24 * 3600)),
            };
            self.webhooks.push((self.clock + delay, event.clone()));
        }
    }

    fn statement(&self) -> Json {
        let row = |(key, entry): (&String, &Entry)| {
            json!({
                "key": key, "state": entry.state, "captured": entry.captured, "refunded": entry.refunded,
                "captures": entry.captures, "refunds": entry.refunds,
            })
        };
        self.payments.iter().map(row).collect()
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.dice.u8(..100) < percent
    }
}

impl Entry {
    fn capture(&mut self) {
        self.state = "captured";
        self.captured += self.amount;
        self.captures += 1;
    }

    fn refund(&mut self) {
        self.state = "refunded";
        self.refunded += self.captured;
        self.refunds += 1;
    }
}

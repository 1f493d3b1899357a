//! Clients that use the shops and write down what they were told.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::check::ask::{code, is_passing};
use crate::conn::Conn;
use crate::dice::Dice;
use crate::record::{Call, Durability, Moment, Outcome};
use crate::shop::{Customer, Known, Shop};

/// How often a client sends a request before it gives up.
const MOST_TRIES: u32 = 40;

/// What clients and the faults share.
pub struct Stage {
    began: Instant,
    pub shops: Vec<Shop>,
    /// The servers, with their names.
    pub nodes: Vec<Node>,
    /// For each shop, the number of the node to which clients send.
    route: Vec<AtomicUsize>,
    /// Whether nodes redirect clients.
    pub is_cluster: bool,
    pub durability: Durability,
    /// Whether clients use only what the first version had.
    pub basics: bool,
    is_over: AtomicBool,
    requests: AtomicU64,
    /// Reservations that other clients may use, by shop.
    seen: Vec<Mutex<VecDeque<Known>>>,
    /// The longest pause between two requests of a client, ms.
    pub pause: u64,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub address: SocketAddr,
}

impl Stage {
    pub fn new(
        shops: Vec<Shop>,
        nodes: Vec<Node>,
        is_cluster: bool,
        durability: Durability,
        basics: bool,
    ) -> Self {
        Self {
            began: Instant::now(),
            route: shops.iter().map(|_| AtomicUsize::new(0)).collect(),
            seen: shops.iter().map(|_| Mutex::default()).collect(),
            shops,
            nodes,
            is_cluster,
            durability,
            basics,
            is_over: AtomicBool::new(false),
            requests: AtomicU64::new(1),
            pause: 8,
        }
    }

    /// Microseconds since the beginning.
    pub fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_micros()).expect("a short run")
    }

    /// Sends all clients to this node.
    pub fn publish(&self, node: usize) {
        self.route.iter().for_each(|route| route.store(node, Ordering::SeqCst));
    }

    /// Until the next [`Stage::publish`], clients find no server.
    pub fn hide(&self) {
        self.route.iter().for_each(|route| route.store(usize::MAX, Ordering::SeqCst));
    }

    pub fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }
}

/// Unix ms.
pub fn wall() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    i64::try_from(now.as_millis()).expect("a time")
}

/// A client with its connections.
pub struct Client<'a> {
    stage: &'a Stage,
    number: u32,
    dice: Dice,
    conns: HashMap<usize, Conn>,
    /// Whether to let each call be confirmed, if the stage asks for it.
    pub confirms: bool,
    pub calls: Vec<Call>,
}

/// What came of one try.
enum Told {
    Answer(Result<Json, String>),
    /// It was not sent.
    Unsent,
    Unknown,
}

impl<'a> Client<'a> {
    pub fn new(stage: &'a Stage, number: u32, seed: u64) -> Self {
        let dice = Dice::new(seed ^ (u64::from(number) << 32));
        Self { stage, number, dice, conns: HashMap::new(), confirms: true, calls: Vec::new() }
    }

    /// Uses the shops until the run is over. Returns the calls.
    pub fn run(mut self) -> Vec<Call> {
        let stage = self.stage;
        let mut customers: Vec<Customer> =
            stage.shops.iter().map(|_| Customer::new(self.number, stage.basics)).collect();
        while !stage.is_over() {
            let shop = self.dice.place(stage.shops.len());
            let others: Vec<Known> = stage.seen[shop].lock().expect("a list").iter().cloned().collect();
            let request = stage.next_request();
            let words = customers[shop].draw(&mut self.dice, &stage.shops[shop], &others, request);
            if let Some(answer) = self.insist(shop, request, &words) {
                if let Some(known) = customers[shop].hear(&answer) {
                    let mut seen = stage.seen[shop].lock().expect("a list");
                    seen.push_front(known);
                    seen.truncate(8);
                }
            }
            thread::sleep(Duration::from_micros(self.dice.roll(stage.pause * 1000 + 1)));
        }
        self.calls
    }

    /// Sends a request until it is answered, or gives up. Returns the reply, if it is not an error.
    pub fn insist(&mut self, shop: usize, request: u64, words: &[String]) -> Option<Json> {
        // Some customers leave when the shop does not answer.
        let patience = if self.dice.one_in(6) { 1 } else { MOST_TRIES };
        let mut unanswered = 0;
        for _ in 0..MOST_TRIES {
            match self.try_once(shop, request, words) {
                Told::Answer(Ok(reply)) => return Some(reply),
                Told::Answer(Err(error)) if !is_passing(&error) || code(&error) == "ERR" => return None,
                Told::Answer(Err(_)) | Told::Unsent => {}
                Told::Unknown => unanswered += 1,
            }
            if unanswered >= patience || self.stage.is_over() {
                return None;
            }
            thread::sleep(Duration::from_millis(2 + self.dice.roll(40)));
        }
        None
    }

    /// A request that must be answered, such as those before and after the load.
    pub fn require(&mut self, shop: usize, words: &[String]) -> Json {
        let request = self.stage.next_request();
        let begun = Instant::now();
        loop {
            match self.try_once(shop, request, words) {
                Told::Answer(Ok(reply)) => return reply,
                Told::Answer(Err(error)) if !is_passing(&error) => return json!(format!("-{error}")),
                _ => assert!(begun.elapsed() < Duration::from_secs(60), "no answer to {words:?}"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_once(&mut self, shop: usize, request: u64, words: &[String]) -> Told {
        let stage = self.stage;
        let mut node = stage.route[shop].load(Ordering::SeqCst);
        if node == usize::MAX {
            return Told::Unsent;
        }
        let mut is_asking = false;
        // An ASK redirection is followed at once.
        for _ in 0..3 {
            let start = stage.now();
            let wall_start = wall();
            let (told, confirmed) = self.send(shop, node, words, is_asking);
            let end = stage.now();
            let (outcome, answer) = match &told {
                Told::Unsent => {
                    self.look_elsewhere(shop, node);
                    return told;
                }
                Told::Unknown => (Outcome::Unknown, Json::Null),
                Told::Answer(Ok(reply)) => (Outcome::Ok, reply.clone()),
                Told::Answer(Err(error)) => (Outcome::Fail, json!(error)),
            };
            self.calls.push(Call {
                request,
                client: self.number,
                server: stage.nodes[node].name.clone(),
                shop: stage.shops[shop].name.clone(),
                start,
                end,
                wall: (wall_start, wall()),
                words: words.to_vec(),
                outcome,
                answer,
                confirmed,
            });
            match &told {
                Told::Unknown => self.look_elsewhere(shop, node),
                Told::Answer(Err(error)) => match code(error) {
                    "MOVED" => {
                        if let Some(to) = self.node_in(error) {
                            stage.route[shop].store(to, Ordering::SeqCst);
                        }
                    }
                    "ASK" => {
                        if let Some(to) = self.node_in(error) {
                            (node, is_asking) = (to, true);
                            continue;
                        }
                    }
                    "CLUSTERDOWN" => self.look_elsewhere(shop, node),
                    _ => {}
                },
                _ => {}
            }
            return told;
        }
        Told::Unsent
    }

    /// In a cluster, any other node may know the master of the shop.
    fn look_elsewhere(&mut self, shop: usize, node: usize) {
        if self.stage.is_cluster {
            let other = self.dice.place(self.stage.nodes.len());
            let _ = self.stage.route[shop].compare_exchange(node, other, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// The node to which an error redirects.
    fn node_in(&self, error: &str) -> Option<usize> {
        let address: SocketAddr = error.split(' ').nth(2)?.parse().ok()?;
        self.stage.nodes.iter().position(|node| node.address == address)
    }

    /// Sends a call once, and lets it be confirmed.
    fn send(&mut self, shop: usize, node: usize, words: &[String], is_asking: bool) -> (Told, Option<bool>) {
        if !self.conns.contains_key(&node) {
            match Conn::open(self.stage.nodes[node].address) {
                Ok(conn) => drop(self.conns.insert(node, conn)),
                Err(_) => return (Told::Unsent, None),
            }
        }
        let conn = self.conns.get_mut(&node).expect("a connection");
        // WAIT waits for what its own connection has written, and a call that is sent again writes nothing. So something is
        // written in any case.
        let mark = vec!["SET".to_owned(), self.stage.shops[shop].id("mark"), self.number.to_string()];
        let durability = if self.confirms { self.stage.durability } else { Durability::None };
        let wait: Option<Vec<String>> = match durability {
            Durability::Wait => Some(["WAIT", "1", "400"].map(str::to_owned).to_vec()),
            Durability::Waitaof => Some(["WAITAOF", "1", "1", "600"].map(str::to_owned).to_vec()),
            Durability::None | Durability::Everysec | Durability::Always => None,
        };
        let asking = vec!["ASKING".to_owned()];
        let mut commands: Vec<&[String]> = Vec::new();
        if is_asking {
            commands.push(&asking);
        }
        commands.push(words);
        if let Some(wait) = &wait {
            commands.extend([mark.as_slice(), wait]);
        }
        let mut heard = conn.send(&commands).and_then(|()| {
            if is_asking {
                let _ = conn.receive()?;
            }
            conn.receive()
        });
        let mut confirmed = None;
        if wait.is_some() && heard.is_ok() {
            confirmed = Some(is_confirmed(conn).unwrap_or_default());
            // Without the answer of WAIT, the next answers would be taken for others.
            if confirmed.is_none() {
                heard = Err("the connection broke".to_owned());
            }
        }
        match heard {
            Ok(answer) => {
                if confirmed == Some(false) {
                    // Its replies may come later.
                    self.conns.remove(&node);
                }
                (Told::Answer(answer), confirmed)
            }
            Err(_) => {
                self.conns.remove(&node);
                (Told::Unknown, None)
            }
        }
    }
}

/// Reads the answers to the mark and to WAIT or WAITAOF.
fn is_confirmed(conn: &mut Conn) -> Option<bool> {
    let mark = conn.receive().ok()?;
    let wait = conn.receive().ok()?;
    let enough = match wait {
        Ok(Json::Number(replicas)) => replicas.as_u64() >= Some(1),
        Ok(Json::Array(both)) => both.iter().all(|count| count.as_u64() >= Some(1)),
        _ => false,
    };
    Some(mark.is_ok() && enough)
}

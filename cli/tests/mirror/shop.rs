//! A shop that is busy with a server while it is mirrored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::harness::{Client, Server};

/// The products, some in warehouses.
pub const SKUS: &[&str] = &["P", "Q", "R", "W@A", "W@B"];

/// Fills the shelves, and sets what a shop sets.
pub fn open(client: &mut Client) {
    client.ask("INV.WAREHOUSES W SET A 1 B 2");
    for sku in SKUS {
        client.ask(format!("INV.ADJUST {sku} 1000"));
    }
    client.ask("INV.FLOOR Q 10");
    client.ask("INV.THRESHOLD P 20");
}

/// One random step of a customer or of the warehouse. Refusals are fine, too.
pub fn step(client: &mut Client, dice: &mut Dice, prefix: &str) {
    let command = command(dice, prefix);
    // The server may be down.
    let _ = client.ask_if_alive(command);
}

/// A random command.
pub fn command(dice: &mut Dice, prefix: &str) -> String {
    let id = format!("{prefix}{}", dice.roll(60));
    let units = dice.up_to(4);
    let asked = dice.pick(&["P", "Q", "R", "W", "W@B"]);
    let sku = dice.pick(SKUS);
    match dice.roll(20) {
        0..6 => format!("INV.RESERVE {id} EX 900 DATA cart-{id} ITEMS {asked} {units} {sku} 1"),
        6 => format!("INV.RESERVE {id} PX {} ITEMS {asked} {units}", 20 * units),
        7..10 => format!("INV.COMMIT {id}"),
        10 => format!("INV.COMMIT {id} LATE"),
        11 => format!("INV.COMMIT {id} ITEMS {sku} 1"),
        12 => format!("INV.ROLLBACK {id}"),
        13 => format!("INV.ROLLBACK {id} ITEMS {sku} 1"),
        14 => format!("INV.EXTEND {id} EX {}", 1000 + units),
        15 => format!("INV.REPLACE {id} {id} ITEMS {asked} {units}"),
        16 => format!("INV.REPLACE {id} {prefix}n{} ITEMS {asked} {units}", dice.roll(60)),
        17 => format!("INV.ADJUST {sku} {units}"),
        18 => format!("INV.TRANSFER W A B {units}"),
        _ => format!("INCRBY stock:available:{sku} {units}"),
    }
}

/// Several customers who are busy until they are told to stop.
pub struct Crowd {
    over: std::sync::Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<u64>>,
}

impl Crowd {
    /// So many customers, each with a pause between two steps.
    pub fn enter(server: &Server, customers: u64, pause: Duration) -> Self {
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let port = server.port();
        let threads = (0..customers)
            .map(|number| {
                let over = std::sync::Arc::clone(&over);
                thread::spawn(move || visit(port, number, &over, pause))
            })
            .collect();
        Self { over, threads }
    }

    /// Sends them away, and returns how many steps they have made.
    pub fn leave(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.threads.into_iter().map(|thread| thread.join().expect("a customer")).sum()
    }
}

fn visit(port: u16, number: u64, over: &AtomicBool, pause: Duration) -> u64 {
    let mut dice = Dice::new(number);
    let mut steps = 0;
    while !over.load(Ordering::SeqCst) {
        // The server may be down for a while.
        let Ok(mut client) = Client::at(port) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        while !over.load(Ordering::SeqCst) {
            if client.ask_if_alive(command(&mut dice, &format!("c{number}-"))).is_none() {
                break;
            }
            steps += 1;
            thread::sleep(pause);
        }
    }
    steps
}

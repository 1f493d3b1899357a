//! A hot product: everybody wants it, but a product is in one slot, of one master.
//!
//! Instead, a shop can split its stock over several tags, one in the slots of each master. A reservation tries a random tag first
//! and, if that has nothing left, the others in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use redis_inventory::inventory::cluster_slot::Slot;

use crate::drive::{cpu_of_this_thread, since};
use crate::shards::Cluster;
use crate::wire::{Batch, Line};
use crate::{SLOTS, cpu_of, us_and_calls};

/// Units of a product that is to be sold out.
pub const UNITS: usize = 30_000;
/// Shops. Each is a thread with a connection to every master that has a part of the product.
pub const SHOPS: usize = 8;
/// Customers that a shop serves at once for each tag, and so the number of commands in flight on a connection.
pub const CUSTOMERS: usize = 32;

/// One configuration and the sale in each round.
pub struct Hot {
    pub tags: usize,
    pub until_sold_out: bool,
    pub sales: Vec<Sale>,
}

/// The results of one sale.
#[derive(Default)]
pub struct Sale {
    pub seconds: f64,
    pub reserved: usize,
    /// INSUFFICIENT replies to customers who got a unit in the end.
    pub extra: usize,
    /// Customers who got a unit after one refusal, and after more.
    pub after_one: usize,
    pub after_more: usize,
    /// Customers who were refused under every tag.
    pub turned_away: usize,
    /// Units that were already reserved when a customer first had to try again.
    pub smooth: usize,
    pub us_a_call: f64,
    /// Cores used by each master, and by the shops.
    pub masters_cpu: Vec<f64>,
    pub load_cpu: Option<f64>,
}

/// A customer: the number in the id, the tag to ask first, and how many tags have refused.
#[derive(Clone, Copy)]
struct Customer {
    number: usize,
    first: usize,
    refusals: usize,
}

/// A tag in the slots of each of the first `count` masters.
fn tags(cluster: &Cluster, count: usize) -> Vec<String> {
    let masters = cluster.masters.len();
    let tag = |master: usize| {
        let slots = SLOTS * master / masters..SLOTS * (master + 1) / masters;
        let mut tags = (1..).map(|number| format!("HOT-{number}"));
        tags.find(|tag| slots.contains(&usize::from(Slot::of(tag).number()))).expect("a tag")
    };
    (0..count).map(tag).collect()
}

/// Sells a product under `count` tags, each in the slots of another master: `requests` units of a large stock, or [`UNITS`] until
/// nothing is left.
pub fn sell(cluster: &Cluster, count: usize, until_sold_out: bool, requests: usize, round: usize) -> Sale {
    let tags = tags(cluster, count);
    let stock = if until_sold_out { UNITS / count } else { 1_000_000_000 };
    for master in &cluster.masters {
        master.connect().ask("FLUSHALL SYNC");
    }
    let ports: Vec<u16> = cluster.masters.iter().take(count).map(|master| master.port()).collect();
    let mut clients: Vec<_> = cluster.masters.iter().map(|master| master.connect()).collect();
    for (client, tag) in clients.iter_mut().zip(&tags) {
        client.ask(format!("INV.SET {{{tag}}}:SHOE AVAILABLE {stock}"));
    }
    clients.iter_mut().for_each(|client| _ = client.ask("CONFIG RESETSTAT"));
    let cpu: Vec<f64> = clients.iter_mut().map(cpu_of).collect();
    let goal = if until_sold_out { usize::MAX } else { requests / SHOPS };
    let total = AtomicUsize::new(0);
    let begin = Instant::now();
    let shops: Vec<Sale> = thread::scope(|scope| {
        let shops: Vec<_> = (0..SHOPS)
            .map(|number| {
                let (ports, tags, total) = (&ports, &tags, &total);
                scope.spawn(move || shop(number, round, ports, tags, goal, total))
            })
            .collect();
        shops.into_iter().map(|shop| shop.join().expect("a shop")).collect()
    });
    let seconds = begin.elapsed().as_secs_f64();
    let masters_cpu =
        clients.iter_mut().zip(cpu).map(|(client, before)| (cpu_of(client) - before) / seconds).collect();
    let (us, calls) = us_and_calls(&mut clients, "INV.RESERVE");
    let sum = |of: fn(&Sale) -> usize| shops.iter().map(of).sum::<usize>();
    let cpu: Option<f64> = shops.iter().map(|shop| shop.load_cpu).sum();
    let sale = Sale {
        seconds,
        reserved: sum(|shop| shop.reserved),
        extra: sum(|shop| shop.extra),
        after_one: sum(|shop| shop.after_one),
        after_more: sum(|shop| shop.after_more),
        turned_away: sum(|shop| shop.turned_away),
        smooth: shops.iter().map(|shop| shop.smooth).min().unwrap().min(sum(|shop| shop.reserved)),
        us_a_call: us / calls,
        masters_cpu,
        load_cpu: cpu.map(|cpu| cpu / seconds),
    };
    // The shops' results must match the servers' counters.
    let mut held = 0;
    for (client, tag) in clients.iter_mut().zip(&tags) {
        let audit = client.ask(format!("INV.AUDIT {{{tag}}}:SHOE"));
        assert_eq!(audit["drift"], 0, "{audit}");
        held += audit["held"].as_u64().expect("a count") as usize;
        let available = client.counters(&format!("{{{tag}}}:SHOE")).0;
        assert!(available >= 0 && (!until_sold_out || available == 0), "{tag}: {available} left");
    }
    assert_eq!(sale.reserved, held, "reservations that the shops made, and that the servers hold");
    assert!(!until_sold_out || held == UNITS, "{held} of {UNITS} were reserved");
    sale
}

/// Serves customers until enough have a unit, or until one was refused under every tag.
fn shop(
    number: usize,
    round: usize,
    ports: &[u16],
    tags: &[String],
    goal: usize,
    total: &AtomicUsize,
) -> Sale {
    let mut lines: Vec<Line> = ports.iter().map(|&port| Line::connect(port)).collect();
    let mut random = (round * SHOPS + number + 1) as u64 * 0x9E37_79B9_7F4A_7C15;
    let mut sale = Sale { smooth: usize::MAX, ..Sale::default() };
    let cpu = cpu_of_this_thread();
    let mut customers = 0;
    while sale.turned_away == 0 && sale.reserved < goal {
        let mut waiting: Vec<Customer> = (0..CUSTOMERS * tags.len())
            .map(|_| {
                // Xorshift: good enough to choose among a few.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                customers += 1;
                let first = (random >> 33) as usize % tags.len();
                Customer { number: customers, first, refusals: 0 }
            })
            .collect();
        while !waiting.is_empty() {
            waiting = ask_all(number, &mut lines, tags, &waiting, &mut sale, total);
        }
    }
    sale.load_cpu = since(cpu, cpu_of_this_thread());
    sale
}

/// Sends one command for each customer, all at once. Returns those who have to try another tag.
fn ask_all(
    shop: usize,
    lines: &mut [Line],
    tags: &[String],
    customers: &[Customer],
    sale: &mut Sale,
    total: &AtomicUsize,
) -> Vec<Customer> {
    let mut batches: Vec<(Batch, Vec<Customer>)> = tags.iter().map(|_| (Batch::default(), vec![])).collect();
    for customer in customers {
        let place = (customer.first + customer.refusals) % tags.len();
        let tag = &tags[place];
        let (batch, asking) = &mut batches[place];
        let id = format!("{{{tag}}}:{shop}-{}", customer.number);
        batch.push(&["INV.RESERVE", &id, "EX", "900", "ITEMS", &format!("{{{tag}}}:SHOE"), "1"]);
        asking.push(*customer);
    }
    for (line, (batch, _)) in lines.iter_mut().zip(&batches) {
        line.send(batch);
    }
    let mut again = vec![];
    for (line, (batch, asking)) in lines.iter_mut().zip(&batches) {
        let mut asking = asking.iter();
        line.receive(batch.commands, |reply| {
            let mut customer = *asking.next().expect("a reply for each");
            if reply[0] != b'-' {
                total.fetch_add(1, Ordering::Relaxed);
                sale.reserved += 1;
                sale.extra += customer.refusals;
                sale.after_one += usize::from(customer.refusals == 1);
                sale.after_more += usize::from(customer.refusals > 1);
                return;
            }
            assert!(reply.starts_with(b"-INSUFFICIENT "), "{}", String::from_utf8_lossy(reply));
            sale.smooth = sale.smooth.min(total.load(Ordering::Relaxed));
            customer.refusals += 1;
            if customer.refusals == tags.len() {
                sale.turned_away += 1;
            } else {
                again.push(customer);
            }
        });
    }
    again
}

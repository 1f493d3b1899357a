//! A shop's checkout with the redis crate:
//!
//!     scripts/cargo.sh run --example redis-rs -- 127.0.0.1:6379 3
//!
//! The last argument is the protocol, RESP 2 or 3. The scenes at the end use products of their own, whose names no
//! other run has. An unexpected answer ends the program with an error. See docs/clients.md.

use std::collections::HashMap;
use std::error::Error;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{
    Client, Cmd, Connection, ConnectionLike, ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd,
    from_redis_value, pipe,
};

/// How long a call waits for its answer. Short, so that the program ends soon; a shop uses a second.
const TIMEOUT: Duration = Duration::from_millis(250);

/// How often a call is sent in total.
const TRIES: u32 = 9;

// --- The part to copy ---

/// A map. RESP3 has this type; in RESP2 it is an array of names and values. The crate reads both.
type Map = HashMap<String, Value>;

/// A client with one connection, opened when it is needed. It is for one thread at a time: give each thread its own, or use
/// a pool.
struct Shop {
    client: Client,
    connection: Option<Connection>,
}

/// What is held, and until when, in Unix ms.
struct Reservation {
    id: String,
    expires_at: u64,
    lines: Vec<(String, u64)>,
}

/// The stock of a product.
#[derive(Debug, PartialEq)]
struct Stock {
    available: u64,
    reserved: u64,
}

impl Shop {
    fn new(address: &str, protocol: &str) -> RedisResult<Self> {
        let client = Client::open(format!("redis://{address}/?protocol=resp{protocol}"))?;
        Ok(Self { client, connection: None })
    }

    fn connection(&mut self) -> RedisResult<&mut Connection> {
        let connection = match self.connection.take() {
            Some(open) => open,
            None => {
                let new = self.client.get_connection_with_timeout(TIMEOUT)?;
                new.set_read_timeout(Some(TIMEOUT))?;
                new.set_write_timeout(Some(TIMEOUT))?;
                new
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Sends a command until it is answered, and converts the answer. An error in it fails the conversion as a whole.
    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        Ok(from_redis_value(self.answer(command)?.extract_error()?)?)
    }

    /// Sends a command until it is answered; the crate repeats nothing by itself. A refusal is an answer too, except
    /// TRYAGAIN. Only for commands that are safe to repeat: by their id, by ONCE, or because they read.
    fn answer(&mut self, command: &Cmd) -> RedisResult<Value> {
        let mut tries = 1;
        loop {
            let answer = self.connection().and_then(|connection| connection.req_command(command));
            let answer = match answer {
                Ok(Value::ServerError(refusal)) => Err(refusal.into()),
                answer => answer,
            };
            match answer {
                Err(error) if tries < TRIES && will_pass(&error) => {
                    println!("  sent again: {error}");
                    if error.is_io_error() {
                        self.connection = None;
                    }
                }
                answer => return answer,
            }
            thread::sleep(Duration::from_millis(10 << tries.min(5)));
            tries += 1;
        }
    }

    /// Holds all lines, or none, for this time.
    fn reserve(&mut self, order: &str, lines: &[(&str, u64)], hold_ms: u64) -> RedisResult<Reservation> {
        let mut command = cmd("INV.RESERVE");
        command.arg(order).arg("PX").arg(hold_ms).arg("ITEMS");
        for (product, quantity) in lines {
            command.arg(product).arg(quantity);
        }
        let held: Map = self.ask(&command)?;
        let items: Vec<Map> = field(&held, "items")?;
        let line = |item: &Map| Ok((field(item, "product_id")?, field(item, "quantity")?));
        Ok(Reservation {
            id: field(&held, "reservation_id")?,
            expires_at: field(&held, "expires_at")?,
            lines: items.iter().map(line).collect::<RedisResult<_>>()?,
        })
    }

    /// Sells a reservation: the customer has paid.
    fn commit(&mut self, order: &str) -> RedisResult<()> {
        self.ask(cmd("INV.COMMIT").arg(order))
    }

    /// Sells a reservation after its deadline, if the units are still free.
    fn commit_late(&mut self, order: &str) -> RedisResult<()> {
        self.ask(cmd("INV.COMMIT").arg(order).arg("LATE"))
    }

    /// Sells many reservations in one call, and returns the others with the code of the reason. An element of the answer that
    /// is an error is a value of its own.
    fn commit_all(&mut self, orders: &[String]) -> RedisResult<Vec<(String, String)>> {
        let Value::Array(answers) = self.answer(cmd("INV.MCOMMIT").arg(orders))? else {
            return Err((ErrorKind::UnexpectedReturnType, "INV.MCOMMIT answers with an array").into());
        };
        let refused = orders.iter().zip(answers).filter_map(|(order, answer)| match answer {
            Value::ServerError(refusal) => Some((order.clone(), refusal.code().to_owned())),
            _ => None,
        });
        Ok(refused.collect())
    }

    /// The state of a reservation: `reserved`, `committed`, `rolled_back`, `expired`. None if it is unknown.
    fn state(&mut self, order: &str) -> RedisResult<Option<String>> {
        let found: Option<Map> = self.ask(cmd("INV.GET").arg(order))?;
        found.map(|reservation| field(&reservation, "state")).transpose()
    }

    /// Adds a delivery, and returns the units that are then available. A sum has no id: without ONCE, each retry would add
    /// it again.
    fn restock(&mut self, product: &str, units: u64, delivery: &str) -> RedisResult<u64> {
        self.ask(cmd("INV.ADJUST").arg(product).arg(units).arg("ONCE").arg(delivery))
    }

    fn stock(&mut self, product: &str) -> RedisResult<Stock> {
        let (stock,): (Map,) = self.ask(cmd("INV.STOCK").arg(product))?;
        Ok(Stock { available: field(&stock, "available")?, reserved: field(&stock, "reserved")? })
    }
}

/// Whether to send a command again: it was not answered, or with TRYAGAIN.
fn will_pass(error: &RedisError) -> bool {
    error.is_io_error() || error.code() == Some("TRYAGAIN")
}

/// The value of a field of a map.
fn field<T: FromRedisValue>(map: &Map, name: &str) -> RedisResult<T> {
    Ok(from_redis_value(map.get(name).cloned().unwrap_or(Value::Nil))?)
}

// --- The scenes ---

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [address, protocol @ ("2" | "3")] => tell(address, protocol),
        _ => Err("usage: redis-rs host:port 2|3".into()),
    }
}

fn tell(address: &str, protocol: &str) -> Result<(), Box<dyn Error>> {
    let mut shop = Shop::new(address, protocol)?;
    let mut neighbour = Shop::new(address, protocol)?;
    println!("redis-rs, RESP{protocol}");
    let run = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let [shoe, lace] = &["SHOE", "LACE"].map(|name| format!("{name}-{run}"));
    let order = |number: u32| format!("ORDER-{run}-{number}");
    // Many commands in one round trip.
    let shelves: (u64, u64) = pipe()
        .cmd("INV.SET")
        .arg(shoe)
        .arg("AVAILABLE")
        .arg(10)
        .cmd("INV.SET")
        .arg(lace)
        .arg("AVAILABLE")
        .arg(50)
        .query(shop.connection()?)?;
    assert_eq!(shelves, (10, 50));
    let client: String = shop.ask(cmd("CLIENT").arg("INFO"))?;
    assert!(client.contains(&format!(" resp={protocol} ")), "{client}");

    println!("\nreserve, pay, commit");
    let held = shop.reserve(&order(1), &[(shoe, 2), (lace, 4)], 900_000)?;
    assert_eq!(held.id, order(1));
    assert_eq!(held.lines, [(shoe.clone(), 2), (lace.clone(), 4)]);
    assert!(held.expires_at > run, "a deadline in Unix ms");
    show(&mut shop, shoe, 8, 2)?;
    println!("  ... the customer pays");
    shop.commit(&order(1))?;
    show(&mut shop, shoe, 8, 0)?;
    assert_eq!(shop.state(&order(1))?.as_deref(), Some("committed"));
    assert_eq!(shop.state(&order(0))?, None);

    println!("\na retry after a timeout");
    when_the_answer_is_lost(&mut shop, &mut neighbour, "INV.RESERVE", |shop| {
        shop.reserve(&order(2), &[(shoe, 2)], 900_000).map(drop)
    })?;
    show(&mut shop, shoe, 6, 2)?;
    when_the_answer_is_lost(&mut shop, &mut neighbour, "INV.COMMIT", |shop| shop.commit(&order(2)))?;
    show(&mut shop, shoe, 6, 0)?;
    let delivery = format!("delivery-{run}");
    when_the_answer_is_lost(&mut shop, &mut neighbour, "INV.ADJUST", |shop| {
        shop.restock(shoe, 40, &delivery).map(drop)
    })?;
    show(&mut shop, shoe, 46, 0)?;

    println!("\nnot enough");
    match shop.reserve(&order(3), &[(lace, 1), (shoe, 47)], 900_000) {
        Err(refusal) if refusal.code() == Some("INSUFFICIENT") => {
            println!("  INSUFFICIENT: {}", refusal.detail().unwrap_or_default())
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("47 of 46 were reserved".into()),
    }
    // All or nothing: no lace is held either.
    show(&mut shop, lace, 46, 0)?;

    println!("\nthe deadline");
    shop.reserve(&order(4), &[(shoe, 6)], 1_000)?;
    show(&mut shop, shoe, 40, 6)?;
    println!("  ... the customer is away");
    wait_until_free(&mut shop, shoe)?;
    show(&mut shop, shoe, 46, 0)?;
    match shop.commit(&order(4)) {
        Err(refusal) if refusal.code() == Some("EXPIRED") => {
            println!("  EXPIRED: {}", refusal.detail().unwrap_or_default())
        }
        Err(error) => return Err(error.into()),
        Ok(()) => return Err("what was held until the deadline was sold behind it".into()),
    }
    println!("  ... he has paid all the same, and nobody else has taken them");
    shop.commit_late(&order(4))?;
    show(&mut shop, shoe, 40, 0)?;

    println!("\nmany at once");
    let orders = [5, 6, 3].map(order);
    for order in &orders[..2] {
        shop.reserve(order, &[(shoe, 1)], 900_000)?;
    }
    // The third order was refused, so nothing is known of it.
    let refused = shop.commit_all(&orders)?;
    assert_eq!(refused, [(order(3), "NOTFOUND".to_owned())]);
    println!("  {refused:?}");
    show(&mut shop, shoe, 38, 0)?;
    Ok(())
}

/// Prints the stock of a product, and checks it.
fn show(shop: &mut Shop, product: &str, available: u64, reserved: u64) -> RedisResult<()> {
    assert_eq!(shop.stock(product)?, Stock { available, reserved }, "{product}");
    println!("  {product}: {available} available, {reserved} reserved");
    Ok(())
}

/// Waits until no units of a product are held.
fn wait_until_free(shop: &mut Shop, product: &str) -> RedisResult<()> {
    let mut tries = 0;
    while shop.stock(product)?.reserved > 0 {
        assert!(tries < 500, "{product} is still held");
        thread::sleep(Duration::from_millis(10));
        tries += 1;
    }
    Ok(())
}

/// Keeps the server busy for this many seconds.
const BUSY: &str = "local start = os.clock() repeat until os.clock() - start > tonumber(ARGV[1])";

/// A call that waits for a busy server longer than its client waits. The server carries it out nevertheless, so the second
/// try is carried out too.
fn when_the_answer_is_lost(
    shop: &mut Shop,
    other: &mut Shop,
    command: &str,
    call: impl FnOnce(&mut Shop) -> RedisResult<()>,
) -> RedisResult<()> {
    let before = calls(shop, command)?;
    let busy = cmd("EVAL").arg(BUSY).arg(0).arg(TIMEOUT.as_secs_f64() * 1.5).get_packed_command();
    other.connection()?.send_packed_command(&busy)?;
    other.connection = None;
    call(shop)?;
    let times = calls(shop, command)? - before;
    assert!(times > 1, "{command} was carried out {times} times");
    println!("  {command} was carried out {times} times");
    Ok(())
}

/// The number of times that the server has carried out a command.
fn calls(shop: &mut Shop, command: &str) -> RedisResult<u64> {
    let counted: String = shop.ask(cmd("INFO").arg("commandstats"))?;
    let name = format!("cmdstat_{command}:calls=");
    let times = counted.lines().find_map(|line| line.strip_prefix(&name)?.split(',').next()?.parse().ok());
    Ok(times.unwrap_or(0))
}

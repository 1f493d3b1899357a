//! The two ways to take a unit, side by side.

use std::time::Duration;

use redis::{Connection, ErrorKind, RedisResult, cmd};

use super::crowd;
use super::sale::Books;

/// How a shop takes units for its customers.
pub trait Shop {
    /// As the table calls it.
    const NAME: &'static str;

    /// How long a unit is held for one who does not pay; `None`: for ever.
    const HOLD: Option<Duration>;

    /// Puts the units on sale.
    fn open(connection: &mut Connection, units: i64) -> RedisResult<()>;

    /// Takes one unit for the customer, under a name for this try. False where there is none. `work` is what the shop has to
    /// do on the way.
    fn take(connection: &mut Connection, order: &str, work: impl FnOnce()) -> RedisResult<bool>;

    /// The customer has paid. False where it was too late.
    fn sell(connection: &mut Connection, order: &str) -> RedisResult<bool>;

    /// The customer does not want it.
    fn give_back(connection: &mut Connection, order: &str) -> RedisResult<()>;

    /// Available units, and those that are held.
    fn stock(connection: &mut Connection, books: &Books) -> RedisResult<(i64, i64)>;
}

/// GET, and where there is something, DECR: what the GET said may be over by then.
pub struct ByCounter;

const COUNTER: &str = "shoes";

impl Shop for ByCounter {
    const NAME: &'static str = "GET, then DECR";
    const HOLD: Option<Duration> = None;

    fn open(connection: &mut Connection, units: i64) -> RedisResult<()> {
        cmd("SET").arg(COUNTER).arg(units).exec(connection)
    }

    fn take(connection: &mut Connection, _: &str, work: impl FnOnce()) -> RedisResult<bool> {
        let available: i64 = cmd("GET").arg(COUNTER).query(connection)?;
        if available <= 0 {
            return Ok(false);
        }
        work();
        cmd("DECR").arg(COUNTER).exec(connection)?;
        Ok(true)
    }

    fn sell(_: &mut Connection, _: &str) -> RedisResult<bool> {
        Ok(true)
    }

    fn give_back(connection: &mut Connection, _: &str) -> RedisResult<()> {
        cmd("INCR").arg(COUNTER).exec(connection)
    }

    fn stock(connection: &mut Connection, books: &Books) -> RedisResult<(i64, i64)> {
        let available = cmd("GET").arg(COUNTER).query(connection)?;
        // The server knows nothing of carts.
        Ok((available, books.taken.count() - books.sold.count() - books.given_back.count()))
    }
}

/// INV.RESERVE, then INV.COMMIT or INV.ROLLBACK; or the deadline.
pub struct ByReservation;

const PRODUCT: &str = "SHOES";

impl Shop for ByReservation {
    const NAME: &'static str = "redis-inventory";
    // With some room: the machine may be busy.
    const HOLD: Option<Duration> = Some(crowd::LONGEST.saturating_add(Duration::from_secs(1)));

    fn open(connection: &mut Connection, units: i64) -> RedisResult<()> {
        cmd("INV.SET").arg(PRODUCT).arg("AVAILABLE").arg(units).exec(connection)
    }

    fn take(connection: &mut Connection, order: &str, work: impl FnOnce()) -> RedisResult<bool> {
        work();
        let hold = Self::HOLD.map_or(0, |hold| hold.as_millis());
        let reserve = cmd("INV.RESERVE")
            .arg(order)
            .arg("PX")
            .arg(hold.to_string())
            .arg("ITEMS")
            .arg(PRODUCT)
            .arg(1)
            .exec(connection);
        unless(reserve, "INSUFFICIENT")
    }

    fn sell(connection: &mut Connection, order: &str) -> RedisResult<bool> {
        unless(cmd("INV.COMMIT").arg(order).exec(connection), "EXPIRED")
    }

    fn give_back(connection: &mut Connection, order: &str) -> RedisResult<()> {
        // Where the deadline was first, they are back already.
        unless(cmd("INV.ROLLBACK").arg(order).exec(connection), "EXPIRED").map(|_| ())
    }

    fn stock(connection: &mut Connection, _: &Books) -> RedisResult<(i64, i64)> {
        let keys = [format!("stock:available:{PRODUCT}"), format!("stock:reserved:{PRODUCT}")];
        let (available, held): (i64, Option<i64>) = cmd("MGET").arg(&keys).query(connection)?;
        Ok((available, held.unwrap_or(0)))
    }
}

/// Whether it was done. This one refusal is an answer, any other an error.
fn unless(reply: RedisResult<()>, code: &str) -> RedisResult<bool> {
    match reply {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Extension && error.code() == Some(code) => Ok(false),
        Err(error) => Err(error),
    }
}

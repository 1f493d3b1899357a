//! The three ways to take a unit, side by side.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Connection, ErrorKind, RedisResult, Script, cmd};

use super::crowd;
use super::sale::Books;

/// How long a unit is held, with some room: the machine may be busy.
const HOLD: Duration = crowd::LONGEST.saturating_add(Duration::from_secs(1));

/// How a shop takes units for its customers.
pub trait Shop {
    /// As the table calls it.
    const NAME: &'static str;

    /// How long a unit is held for one who does not pay; `None`: for ever.
    const HOLD: Option<Duration>;

    /// Puts the units on sale.
    fn open(connection: &mut Connection, units: i64) -> RedisResult<()>;

    /// Takes one unit for the customer, under a name for this try, and writes it down. False where there is none. `work` is
    /// what the shop has to do on the way.
    fn take(
        connection: &mut Connection,
        order: &str,
        books: &Books,
        work: impl FnOnce(),
    ) -> RedisResult<bool>;

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

    fn take(connection: &mut Connection, _: &str, books: &Books, work: impl FnOnce()) -> RedisResult<bool> {
        let available: i64 = cmd("GET").arg(COUNTER).query(connection)?;
        if available <= 0 {
            return Ok(false);
        }
        work();
        // Before the counter falls: what is not in the books nobody knows of, and the sale would end too early.
        books.taken.add();
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

/// The usual Lua scripts, a record with a TTL beside them, and nobody who gives back the units of a record that is gone.
pub struct ByScript;

/// Available, reserved, and what the names of the records begin with: others than the module's, which would look after them.
const SCRIPTED: [&str; 3] = ["scripted:available", "scripted:reserved", "scripted:reservation:"];

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../tests/lua/reserve.lua")));
static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../../tests/lua/commit.lua")));
static ROLLBACK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../tests/lua/rollback.lua")));

impl ByScript {
    /// Runs a script for one unit of this order.
    fn run(connection: &mut Connection, script: &Script, order: &str) -> RedisResult<bool> {
        let [available, reserved, record] = SCRIPTED;
        let mut call = script.key(available);
        call.key(reserved).key(format!("{record}{order}"));
        call.arg(1).arg(order).arg(HOLD.as_secs()).invoke(connection)
    }
}

impl Shop for ByScript {
    const NAME: &'static str = "Lua scripts";
    const HOLD: Option<Duration> = None;

    fn open(connection: &mut Connection, units: i64) -> RedisResult<()> {
        let [available, reserved, _] = SCRIPTED;
        cmd("MSET").arg(available).arg(units).arg(reserved).arg(0).exec(connection)
    }

    fn take(
        connection: &mut Connection,
        order: &str,
        books: &Books,
        work: impl FnOnce(),
    ) -> RedisResult<bool> {
        work();
        Self::run(connection, &RESERVE, order).inspect(|is_taken| books.taken.add_if(*is_taken))
    }

    fn sell(connection: &mut Connection, order: &str) -> RedisResult<bool> {
        Self::run(connection, &COMMIT, order).map(|_| true)
    }

    fn give_back(connection: &mut Connection, order: &str) -> RedisResult<()> {
        Self::run(connection, &ROLLBACK, order).map(|_| ())
    }

    fn stock(connection: &mut Connection, _: &Books) -> RedisResult<(i64, i64)> {
        let [available, reserved, _] = SCRIPTED;
        cmd("MGET").arg(available).arg(reserved).query(connection)
    }
}

/// INV.RESERVE, then INV.COMMIT or INV.ROLLBACK; or the deadline.
pub struct ByReservation;

const PRODUCT: &str = "SHOES";

impl Shop for ByReservation {
    const NAME: &'static str = "redis-inventory";
    const HOLD: Option<Duration> = Some(HOLD);

    fn open(connection: &mut Connection, units: i64) -> RedisResult<()> {
        cmd("INV.SET").arg(PRODUCT).arg("AVAILABLE").arg(units).exec(connection)
    }

    fn take(
        connection: &mut Connection,
        order: &str,
        books: &Books,
        work: impl FnOnce(),
    ) -> RedisResult<bool> {
        work();
        let reserve = cmd("INV.RESERVE")
            .arg(order)
            .arg("EX")
            .arg(HOLD.as_secs())
            .arg("ITEMS")
            .arg(PRODUCT)
            .arg(1)
            .exec(connection);
        unless(reserve, "INSUFFICIENT").inspect(|is_taken| books.taken.add_if(*is_taken))
    }

    fn sell(connection: &mut Connection, order: &str) -> RedisResult<bool> {
        unless(cmd("INV.COMMIT").arg(order).exec(connection), "EXPIRED")
    }

    fn give_back(connection: &mut Connection, order: &str) -> RedisResult<()> {
        // Where the deadline was first it is back already, and that is no error.
        cmd("INV.ROLLBACK").arg(order).exec(connection)
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

//! The three ways to take a unit, side by side.

use std::sync::LazyLock;
use std::time::Duration;

use redis::{Connection, ErrorKind, RedisResult, Script, cmd};

use crate::demo::books::Books;
use crate::demo::crowd;

/// How long a unit is held, with some margin for a busy machine.
const HOLD: Duration = crowd::LONGEST.saturating_add(Duration::from_secs(1));

/// How a shop takes units for its customers.
pub trait Shop {
    /// Its name in the table.
    const NAME: &'static str;

    /// How long a unit is held for a shopper who does not pay; `None`: forever.
    const HOLD: Option<Duration>;

    /// Puts the units on sale.
    fn open(connection: &mut Connection, units: i64) -> RedisResult<()>;

    /// Takes and records one unit for the customer, under a name for this attempt. Returns false if there is none. `work` is the
    /// shop's own work in between.
    fn take(
        connection: &mut Connection,
        order: &str,
        books: &Books,
        work: impl FnOnce(),
    ) -> RedisResult<bool>;

    /// Sells the unit to a customer who has paid. Returns false if it is too late.
    fn sell(connection: &mut Connection, order: &str) -> RedisResult<bool>;

    /// Returns the unit of a customer who does not want it.
    fn give_back(connection: &mut Connection, order: &str) -> RedisResult<()>;

    /// Available and held units.
    fn stock(connection: &mut Connection, books: &Books) -> RedisResult<(i64, i64)>;
}

/// GET, then DECR if there is stock: other shoppers can take the unit between the two.
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
        // Record the unit before the counter falls: otherwise the sale could end before all units are recorded.
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
        // The server does not know what is in the carts.
        Ok((available, books.taken.count() - books.sold.count() - books.given_back.count()))
    }
}

/// The usual Lua scripts, with a record that has a TTL. Nothing returns the units of a record that expires.
pub struct ByScript;

/// Available, reserved, and the prefix of the records. They differ from the module's names, so that it ignores them.
const SCRIPTED: [&str; 3] = ["scripted:available", "scripted:reserved", "scripted:reservation:"];

static RESERVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../../tests/lua/reserve.lua")));
static COMMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../../tests/lua/commit.lua")));
static ROLLBACK: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../../tests/lua/rollback.lua")));

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

/// INV.RESERVE, then INV.COMMIT, INV.ROLLBACK, or the deadline.
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
        // If the deadline came first, the unit has already returned, and this is not an error.
        cmd("INV.ROLLBACK").arg(order).exec(connection)
    }

    fn stock(connection: &mut Connection, _: &Books) -> RedisResult<(i64, i64)> {
        let keys = [format!("stock:available:{PRODUCT}"), format!("stock:reserved:{PRODUCT}")];
        let (available, held): (i64, Option<i64>) = cmd("MGET").arg(&keys).query(connection)?;
        Ok((available, held.unwrap_or(0)))
    }
}

/// Whether the step succeeded: false for a refusal with this code. Other refusals are errors.
fn unless(reply: RedisResult<()>, code: &str) -> RedisResult<bool> {
    match reply {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Extension && error.code() == Some(code) => Ok(false),
        Err(error) => Err(error),
    }
}

//! The orders in PostgreSQL: every statement of the shop.

use postgres::{Client, NoTls, Row};

use super::Failure;
use super::protocol::OrderState;

/// How the customer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The money is authorised first, and captured when the units are sold: a card.
    Authorise,
    /// The money is taken at once, or when the customer pays at her bank: a transfer, a wallet.
    Charge,
}

/// What a customer wants.
#[derive(Clone, Debug)]
pub struct Cart {
    /// The id that the order will have.
    pub order: String,
    /// Skus and quantities.
    pub lines: Vec<(String, i64)>,
    /// How she pays.
    pub method: Method,
    /// The price of all of it, in cents.
    pub amount: i64,
}

/// An order as its row says.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id, which is the key of its payment too.
    pub id: String,
    /// How far it has come.
    pub state: OrderState,
    /// How it is paid.
    pub method: Method,
    /// The price in cents.
    pub amount: i64,
    /// The id of its reservation.
    pub reservation: String,
    /// The number of reservations that it has had, with this one.
    pub attempt: i32,
    /// Whether the customer may still pay.
    pub may_still_pay: bool,
    /// Seconds since it was placed.
    pub age: f64,
    /// The reasons to look at it that were known when it was read.
    reasons: i32,
}

impl Order {
    /// The id of its reservation with this number: `order`, `order:2`, `order:3`.
    pub fn reservation_of(&self, attempt: i32) -> String {
        if attempt == 1 { self.id.clone() } else { format!("{}:{attempt}", self.id) }
    }
}

/// A connection to the database.
pub struct Orders {
    client: Client,
}

impl Orders {
    /// Connects, for example to `host=/run/postgresql user=shop`.
    pub fn connect(address: &str) -> Result<Self, Failure> {
        Ok(Self { client: Client::connect(address, NoTls)? })
    }

    /// Creates the tables.
    pub fn create_tables(&mut self) -> Result<(), Failure> {
        Ok(self.client.batch_execute(include_str!("schema.sql"))?)
    }

    /// Stores order, lines, reservation id and outbox row in one transaction. The recovery job looks at the order when the time
    /// for paying is over. If the order exists already, nothing changes.
    pub fn place(&mut self, cart: &Cart, seconds_to_pay: f64) -> Result<(), Failure> {
        let method = match cart.method {
            Method::Authorise => "authorise",
            Method::Charge => "charge",
        };
        let mut transaction = self.client.transaction()?;
        let is_new = transaction.execute(
            "INSERT INTO orders (id, state, method, amount, reservation, pay_by)
             VALUES ($1, 'placed', $2, $3, $1, now() + $4 * interval '1 second') ON CONFLICT DO NOTHING",
            &[&cart.order, &method, &cart.amount, &seconds_to_pay],
        )? == 1;
        if is_new {
            for (sku, quantity) in &cart.lines {
                transaction
                    .execute("INSERT INTO order_lines VALUES ($1, $2, $3)", &[&cart.order, sku, quantity])?;
            }
            transaction.execute(
                "INSERT INTO outbox (order_id, due_at) SELECT id, pay_by FROM orders WHERE id = $1",
                &[&cart.order],
            )?;
        }
        Ok(transaction.commit()?)
    }

    /// Reads an order.
    pub fn get(&mut self, id: &str) -> Result<Order, Failure> {
        let row = self.client.query_one(
            "SELECT id, state, method, amount, reservation, attempt, now() < pay_by AS may_still_pay,
                    extract(epoch FROM now() - placed_at)::float8 AS age, coalesce(reasons, 0) AS reasons
             FROM orders LEFT JOIN outbox ON order_id = id WHERE id = $1",
            &[&id],
        )?;
        order(&row)
    }

    /// The skus and quantities of an order.
    pub fn lines(&mut self, id: &str) -> Result<Vec<(String, i64)>, Failure> {
        let rows = self
            .client
            .query("SELECT sku, quantity FROM order_lines WHERE order_id = $1 ORDER BY sku", &[&id])?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Changes the state, unless somebody else has changed the order since it was read: then it returns false.
    pub fn mark(&mut self, order: &Order, state: OrderState) -> Result<bool, Failure> {
        let changed = self.client.execute(
            "UPDATE orders SET state = $4 WHERE id = $1 AND state = $2 AND reservation = $3",
            &[&order.id, &order.state.name(), &order.reservation, &state.name()],
        )?;
        Ok(changed == 1)
    }

    /// The same, and remembers which stock server has confirmed it.
    pub fn settle(&mut self, order: &Order, state: OrderState, server: &str) -> Result<bool, Failure> {
        let changed = self.client.execute(
            "UPDATE orders SET state = $4, settled_at = now(), settled_on = $5
             WHERE id = $1 AND state = $2 AND reservation = $3",
            &[&order.id, &order.state.name(), &order.reservation, &state.name(), &server],
        )?;
        Ok(changed == 1)
    }

    /// Lets another reservation take the place of one that is lost, as [`Self::mark`] does.
    pub fn renew(&mut self, order: &Order) -> Result<bool, Failure> {
        let attempt = order.attempt + 1;
        let changed = self.client.execute(
            "UPDATE orders SET reservation = $4, attempt = $5 WHERE id = $1 AND state = $2 AND reservation = $3",
            &[&order.id, &order.state.name(), &order.reservation, &order.reservation_of(attempt), &attempt],
        )?;
        Ok(changed == 1)
    }

    /// Takes the order from the outbox, unless there is a reason to look at it that came after it was read.
    pub fn done(&mut self, order: &Order) -> Result<(), Failure> {
        self.client.execute(
            "DELETE FROM outbox WHERE order_id = $1 AND reasons = $2",
            &[&order.id, &order.reasons],
        )?;
        Ok(())
    }

    /// An order that is due, which no other job takes for `lease` seconds.
    pub fn take_due(&mut self, lease: f64) -> Result<Option<String>, Failure> {
        let row = self.client.query_opt(
            "UPDATE outbox SET due_at = now() + $1 * interval '1 second' WHERE order_id =
                 (SELECT order_id FROM outbox WHERE due_at <= now() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING order_id",
            &[&lease],
        )?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Looks at an order again when the time for paying is over.
    pub fn wait(&mut self, order: &Order) -> Result<(), Failure> {
        self.client.execute(
            "UPDATE outbox SET due_at = pay_by FROM orders WHERE order_id = id AND id = $1 AND reasons = $2",
            &[&order.id, &order.reasons],
        )?;
        Ok(())
    }

    /// Leaves an order to a person, and looks at it again in an hour.
    pub fn ask_person(&mut self, id: &str, problem: &str) -> Result<(), Failure> {
        self.client.execute(
            "UPDATE outbox SET due_at = now() + interval '1 hour', problem = $2 WHERE order_id = $1",
            &[&id, &problem],
        )?;
        Ok(())
    }

    /// Stores an event of the provider, which is a reason to look at the order. A repeated event changes nothing.
    pub fn hear(&mut self, event: &str, id: &str) -> Result<(), Failure> {
        self.client.execute(
            "WITH heard AS (INSERT INTO webhooks (event, order_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING order_id)
             INSERT INTO outbox (order_id, due_at) SELECT id, now() FROM heard JOIN orders ON id = order_id
             ON CONFLICT (order_id) DO UPDATE SET due_at = now(), reasons = outbox.reasons + 1",
            &[&event, &id],
        )?;
        Ok(())
    }

    /// The time of the database, as the text that [`Self::meet`] takes: a moment ago, because a statement that is under way is
    /// not seen yet.
    pub fn now(&mut self) -> Result<String, Failure> {
        Ok(self.client.query_one("SELECT (now() - interval '5 seconds')::text", &[])?.get(0))
    }

    /// Remembers a stock server that was not known, and that what was answered until `since` is there. None: nothing may be.
    pub fn meet(&mut self, server: &str, since: Option<&str>) -> Result<(), Failure> {
        self.client.execute(
            "INSERT INTO stock_servers VALUES ($1, coalesce($2::text::timestamptz, '-infinity')) ON CONFLICT DO NOTHING",
            &[&server, &since],
        )?;
        Ok(())
    }

    /// Puts the orders into the outbox that ended after the time since which this server may have forgotten something, and that
    /// it has not confirmed yet. Returns their number.
    pub fn check_again(&mut self, server: &str) -> Result<u64, Failure> {
        Ok(self.client.execute(
            "INSERT INTO outbox (order_id, due_at)
             SELECT id, now() FROM orders, stock_servers
             WHERE server = $1 AND settled_at >= since AND settled_on <> $1 AND state IN ('sold', 'cancelled')
             ON CONFLICT DO NOTHING",
            &[&server],
        )?)
    }
}

fn order(row: &Row) -> Result<Order, Failure> {
    let state: &str = row.get("state");
    let state = OrderState::ALL.into_iter().find(|known| known.name() == state);
    Ok(Order {
        id: row.get("id"),
        state: state.ok_or("an order with an unknown state")?,
        method: if row.get::<_, &str>("method") == "charge" { Method::Charge } else { Method::Authorise },
        amount: row.get("amount"),
        reservation: row.get("reservation"),
        attempt: row.get("attempt"),
        may_still_pay: row.get("may_still_pay"),
        age: row.get("age"),
        reasons: row.get("reasons"),
    })
}

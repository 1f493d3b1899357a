//! The shop: the checkout, the recovery job, and the webhooks. Each is short, because all of them bring an order to its end with
//! the same function, [`Shop::finish`].

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use super::orders::{Cart, Order, Orders};
use super::payments::Payments;
use super::protocol::{Action, OrderState, Payment, Reservation, Step, action, is_lost, step};
use super::stock::{Answer, Durability, Stock};

/// Where everything is, and the times that a shop chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For example `host=/run/postgresql user=shop`.
    pub postgres: String,
    /// For example `redis://127.0.0.1:6379`.
    pub stock: String,
    /// For example `127.0.0.1:8080`.
    pub provider: String,
    /// When an answer of the stock server counts.
    pub durability: Durability,
    /// How long units are held while the order is made.
    pub hold: Duration,
    /// How long the customer may take to pay. Units are held at least so long.
    pub time_to_pay: Duration,
    /// How long a job that takes an order may need before another one takes it.
    pub lease: Duration,
    /// How long the stock server remembers how a reservation ended: `inv.outcome-ttl-ms`, or less.
    pub memory: Duration,
}

/// Why a step could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// A connection broke, a server did not answer, or an answer made no sense. The step may have been carried out. Nothing has
    /// to be cleaned up: the recovery job does it.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// Something that the protocol does not allow. No program should decide it.
    NeedsPerson(String),
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(to, "{error}"),
            Self::NeedsPerson(problem) => write!(to, "a person is needed: {problem}"),
        }
    }
}

/// What a shop has done to orders that were not as their rows said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Repairs {
    /// Orders of which the stock server had lost what it had answered.
    pub lost: u64,
    /// Of all sales: those after the deadline.
    pub late: u64,
    /// Reservations made again under the next id of the order.
    pub renewed: u64,
    /// Sold reservations whose units were put back.
    pub put_back: u64,
}

impl AddAssign for Repairs {
    fn add_assign(&mut self, more: Self) {
        self.lost += more.lost;
        self.late += more.late;
        self.renewed += more.renewed;
        self.put_back += more.put_back;
    }
}

/// A process of the shop, with its connections. After [`Failure::Broken`] it is dropped, and another one is opened.
pub struct Shop {
    settings: Settings,
    orders: Orders,
    stock: Stock,
    payments: Payments,
    /// What it has repaired.
    pub repairs: Repairs,
}

impl Shop {
    /// Connects to everything.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            orders: Orders::connect(&settings.postgres)?,
            stock: Stock::connect(&settings.stock, settings.durability)?,
            payments: Payments::connect(&settings.provider)?,
            settings: settings.clone(),
            repairs: Repairs::default(),
        })
    }

    /// The checkout. It returns how far the order has come: sold, cancelled, or placed while the customer pays at her bank.
    pub fn checkout(&mut self, cart: &Cart) -> Result<OrderState, Failure> {
        self.orders.place(cart, self.settings.time_to_pay.as_secs_f64())?;
        let order = self.orders.get(&cart.order)?;

        if self.stock.reserve(&order.reservation, &cart.lines, self.settings.hold)? != Answer::Done {
            return self.cancel(&order);
        }
        // The units are held until the customer has paid. A card is quick; a bank takes its time.
        if self.stock.extend(&order.reservation, self.settings.time_to_pay)? != Answer::Done {
            return self.cancel(&order);
        }

        // The rest of the way is that of the recovery job, which begins with the state of the payment.
        self.payments.pay(&order)?;
        self.finish(&order.id)
    }

    /// The customer changes her mind, or the order cannot be served. A sold order is not cancelled: that would be a return.
    pub fn cancel(&mut self, order: &Order) -> Result<OrderState, Failure> {
        if order.state == OrderState::Placed {
            self.orders.mark(order, OrderState::Cancelling)?;
        }
        self.finish(&order.id)
    }

    /// Reads an order.
    pub fn order(&mut self, id: &str) -> Result<Order, Failure> {
        self.orders.get(id)
    }

    /// An event of the payment provider. Events are repeated, late, and in any order, so they are only a reason to ask the
    /// provider how the payment is now.
    pub fn webhook(&mut self, event: &str, order: &str) -> Result<(), Failure> {
        self.orders.hear(event, order)
    }

    /// A round of the recovery job, which any number of processes may run at any time. It returns the number of orders that it
    /// has looked at.
    pub fn recover(&mut self) -> Result<u64, Failure> {
        let now = self.orders.now()?;
        let known_good = self.stock.known_good()?;
        self.orders.meet(self.stock.server(), known_good.as_deref())?;
        self.orders.check_again(self.stock.server())?;

        let mut count = 0;
        while let Some(id) = self.orders.take_due(self.settings.lease.as_secs_f64())? {
            match self.finish(&id) {
                Err(Failure::NeedsPerson(problem)) => self.orders.ask_person(&id, &problem)?,
                other => drop(other?),
            }
            count += 1;
        }

        // What was settled before the round began was answered before the mark is written, or is in the outbox. So a server that
        // has the mark has forgotten nothing of it.
        if !self.stock.mark_known_good(&now)? {
            return Err("the stock server has changed".into());
        }
        Ok(count)
    }

    /// Brings an order to its end, or as far as it can go now. Every step can be repeated, and any number of processes may do
    /// this for the same order.
    pub fn finish(&mut self, id: &str) -> Result<OrderState, Failure> {
        // More turns than an order needs. If others change it all the time, they finish it.
        for turn in 0..20 {
            let order = self.orders.get(id)?;
            if order.state == OrderState::Placed {
                let payment = self.payments.find(&order)?;
                match step(payment, order.may_still_pay) {
                    Step::Wait => {
                        self.orders.wait(&order)?;
                        return Ok(order.state);
                    }
                    Step::MarkPaid => self.orders.mark(&order, OrderState::Paid)?,
                    Step::Cancel => self.orders.mark(&order, OrderState::Cancelling)?,
                };
                continue;
            }

            self.end_earlier_reservations(&order)?;
            let reservation = self.reservation(&order)?;
            self.repairs.lost += u64::from(turn == 0 && is_lost(order.state, reservation));
            let is_done = match action(order.state, reservation) {
                Action::Nothing => {
                    let server = self.stock.server();
                    self.orders.settle(&order, order.state, server)?
                }
                Action::Commit => {
                    let answer = self.stock.commit(&order.reservation)?;
                    self.sold(&order, answer)?
                }
                Action::CommitLate => {
                    let answer = self.stock.commit_late(&order.reservation)?;
                    self.repairs.late += u64::from(answer == Answer::Done);
                    self.sold(&order, answer)?
                }
                Action::Renew => self.renew(&order)?,
                Action::Capture => {
                    let is_captured = self.payments.capture(&order)? == Payment::Captured;
                    let next = if is_captured { OrderState::Sold } else { OrderState::Cancelling };
                    self.orders.mark(&order, next)? && is_captured
                }
                Action::Release => {
                    let answer = self.stock.release(&order.reservation)?;
                    answer == Answer::Done && self.cancelled(&order)?
                }
                Action::PutBack => {
                    let lines = self.orders.lines(&order.id)?;
                    self.repairs.put_back += u64::from(order.state == OrderState::Cancelling);
                    let answer = self.stock.put_back(&order.reservation, &lines)?;
                    answer == Answer::Done && self.cancelled(&order)?
                }
                Action::AskPerson => {
                    let problem = format!(
                        "order {id} is {}, and reservation {} is forgotten",
                        order.state.name(),
                        order.reservation
                    );
                    return Err(Failure::NeedsPerson(problem));
                }
            };
            if is_done {
                self.orders.done(&order)?;
                return Ok(self.orders.get(id)?.state);
            }
        }
        Err(format!("order {id} is changed by others all the time").into())
    }

    fn reservation(&mut self, order: &Order) -> Result<Reservation, Failure> {
        let is_old = order.age > self.settings.memory.as_secs_f64();
        Ok(match self.stock.state(&order.reservation)? {
            Reservation::Unknown if is_old => Reservation::Forgotten,
            known => known,
        })
    }

    /// Records the answer to a COMMIT. Returns whether nothing is left to do.
    fn sold(&mut self, order: &Order, answer: Answer) -> Result<bool, Failure> {
        match answer {
            Answer::Done => {
                let next = if order.state == OrderState::Paid { OrderState::Committed } else { order.state };
                let server = self.stock.server();
                Ok(self.orders.settle(order, next, server)? && next == OrderState::Sold)
            }
            Answer::Insufficient => {
                self.orders.mark(order, OrderState::Cancelling)?;
                Ok(false)
            }
            Answer::Otherwise => Ok(false),
        }
    }

    /// The units are free. Gives the money back.
    fn cancelled(&mut self, order: &Order) -> Result<bool, Failure> {
        self.payments.end(order)?;
        self.orders.settle(order, OrderState::Cancelled, self.stock.server())
    }

    /// Makes a lost reservation again, under the next id of the order. The id before is fenced first, so that at most one of
    /// them holds units.
    fn renew(&mut self, order: &Order) -> Result<bool, Failure> {
        if self.stock.release(&order.reservation)? == Answer::Done && self.orders.renew(order)? {
            self.repairs.renewed += 1;
            let order = self.orders.get(&order.id)?;
            let lines = self.orders.lines(&order.id)?;
            if self.stock.reserve(&order.reservation, &lines, self.settings.hold)? == Answer::Insufficient {
                self.orders.mark(&order, OrderState::Cancelling)?;
            }
        }
        Ok(false)
    }

    /// A server that has lost the fence of an earlier reservation of the order may have that reservation again.
    fn end_earlier_reservations(&mut self, order: &Order) -> Result<(), Failure> {
        for attempt in 1..order.attempt {
            let id = order.reservation_of(attempt);
            if self.stock.release(&id)? == Answer::Otherwise {
                let lines = self.orders.lines(&order.id)?;
                if self.stock.put_back(&id, &lines)? != Answer::Done {
                    return Err(format!("reservation {id} has changed").into());
                }
            }
        }
        Ok(())
    }
}

//! The shop's client of the payment provider: one line of JSON for each request and each answer, over TCP.
//!
//! A real provider speaks HTTPS. What matters here is what it promises:
//!
//! - The key of a payment is the id of the order. A call that is repeated with the same key does nothing more, and answers how
//!   the payment is now.
//! - [`Payments::end`] ends a payment for good, whatever it was: one that is not known yet is refused when it arrives, one that
//!   is authorised is voided, and one that is captured is refunded.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Failure;
use super::orders::{Method, Order};
use super::protocol::Payment;

/// A connection to the provider.
pub struct Payments {
    stream: BufReader<TcpStream>,
}

impl Payments {
    /// Connects, for example to `127.0.0.1:8080`.
    pub fn connect(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks for the money.
    pub fn pay(&mut self, order: &Order) -> Result<Payment, Failure> {
        let operation = match order.method {
            Method::Authorise => "authorise",
            Method::Charge => "charge",
        };
        self.ask(&json!({"do": operation, "key": order.id, "amount": order.amount}))
    }

    /// Takes the money that is authorised.
    pub fn capture(&mut self, order: &Order) -> Result<Payment, Failure> {
        self.ask(&json!({"do": "capture", "key": order.id}))
    }

    /// Ends the payment for good, and gives back what was captured.
    pub fn end(&mut self, order: &Order) -> Result<Payment, Failure> {
        self.ask(&json!({"do": "end", "key": order.id}))
    }

    /// How the payment is now.
    pub fn find(&mut self, order: &Order) -> Result<Payment, Failure> {
        self.ask(&json!({"do": "find", "key": order.id}))
    }

    fn ask(&mut self, request: &Json) -> Result<Payment, Failure> {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the provider does not answer".into());
        }
        let answer: Json = serde_json::from_str(&line)?;
        if let Some(error) = answer["error"].as_str() {
            return Err(format!("the provider is in trouble: {error}").into());
        }
        let known = Payment::ALL.into_iter().find(|known| answer["payment"] == known.name());
        known.ok_or_else(|| format!("an answer of the provider: {answer}").into())
    }
}

//! The load: requests are sent at fixed times, whether earlier ones have been answered or not.
//!
//! A load that waits for replies sends nothing while the server stalls, and so measures one slow request in place of the many
//! that clients would have made (coordinated omission). Here the latency of a request counts from the time at which it was due,
//! even if the load itself was late.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::wire::length_of_reply;

const CONNECTIONS: usize = 50;
/// The first requests do not count: the server is still filling its caches.
const WARM_UP: Duration = Duration::from_millis(300);
/// The longest time to wait for a reply.
const PATIENCE: Duration = Duration::from_secs(20);

/// Microseconds of every counted request.
pub struct Latencies {
    /// From the time at which it was due until its reply.
    pub replied: Vec<f64>,
    /// From the time at which it was due until it was sent: what the load itself adds.
    pub sent: Vec<f64>,
}

/// A connection and the requests on it that have no reply yet, by number.
struct Connection {
    stream: TcpStream,
    waiting: VecDeque<usize>,
    received: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, waiting: VecDeque::new(), received: vec![] }
    }

    fn send(&mut self, mut request: &[u8]) {
        while !request.is_empty() {
            match self.stream.write(request) {
                Ok(length) => request = &request[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("the server reads: {error}"),
            }
        }
    }

    /// Calls `each` with the number of each request that has been answered.
    fn receive(&mut self, mut each: impl FnMut(usize)) {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => panic!("the server has closed a connection"),
            Ok(length) => self.received.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("the server answers: {error}"),
        }
        while let Some(length) = length_of_reply(&self.received) {
            // A refused command is cheaper than a successful one.
            assert!(self.received[0] != b'-', "{}", String::from_utf8_lossy(&self.received[..length]));
            self.received.drain(..length);
            each(self.waiting.pop_front().expect("a reply to a request"));
        }
    }
}

/// Sends the requests at this rate, in turn on 50 connections. One thread polls them all and never sleeps, because waking up
/// takes longer than a request.
pub fn send_at_rate(port: u16, requests: &[Vec<u8>], per_second: f64) -> Latencies {
    let mut connections: Vec<Connection> = (0..CONNECTIONS).map(|_| Connection::open(port)).collect();
    let due = |number: usize| Duration::from_secs_f64(number as f64 / per_second);
    let us_since = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() * 1e6;
    let mut latencies = Latencies { replied: vec![], sent: vec![] };
    let (mut sent, mut answered) = (0, 0);
    let begin = Instant::now();
    while answered < requests.len() {
        if sent < requests.len() && due(sent) <= begin.elapsed() {
            let connection = &mut connections[sent % CONNECTIONS];
            connection.waiting.push_back(sent);
            if due(sent) >= WARM_UP {
                latencies.sent.push(us_since(begin.elapsed(), due(sent)));
            }
            connection.send(&requests[sent]);
            sent += 1;
        }
        for connection in connections.iter_mut().filter(|connection| !connection.waiting.is_empty()) {
            connection.receive(|number| {
                answered += 1;
                if due(number) >= WARM_UP {
                    latencies.replied.push(us_since(begin.elapsed(), due(number)));
                }
            });
        }
        assert!(begin.elapsed() < due(sent) + PATIENCE, "the server does not answer");
    }
    latencies
}

//! Sends many commands to the masters that serve them, and repeats what a failover, a moving slot or a lost connection has
//! interrupted.

use std::thread;
use std::time::{Duration, Instant};

use redis::{Cmd, RedisError, RedisResult, Value};

use crate::failure::Failure;
use crate::server::masters::Masters;
use crate::server::reason;

/// For so long it is tried again while nothing succeeds: longer than a failover usually takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of several requests.
#[derive(Debug)]
pub struct Delivery {
    /// The answer to each. `None`: it is unknown whether the request was carried out.
    pub answers: Vec<Option<RedisResult<Value>>>,
    /// Why some have no answer.
    pub failure: Option<Failure>,
}

impl Delivery {
    /// All answers.
    ///
    /// # Errors
    ///
    /// If some are missing.
    pub fn complete(self) -> Result<Vec<RedisResult<Value>>, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.answers.into_iter().flatten().collect()),
        }
    }
}

/// A command that is harmless to repeat.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id whose slot decides which master receives it.
    pub id: String,
    /// The command.
    pub command: Cmd,
}

/// What is to be done about an error.
enum Remedy {
    /// Send the command again.
    Again,
    /// Find the masters, then send it again.
    Search,
    /// It concerns every command: give up.
    GiveUp,
    /// It concerns only this command.
    Accept,
}

fn remedy(error: &RedisError) -> Remedy {
    match error.code() {
        Some("TRYAGAIN" | "LOADING" | "BUSY") => Remedy::Again,
        Some("MOVED" | "ASK" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY") => Remedy::Search,
        Some("NOAUTH" | "WRONGPASS" | "OOM" | "MISCONF" | "NOREPLICAS") => Remedy::GiveUp,
        _ if reason::is_of_command(error) || reason::is_unknown_command(error) => Remedy::GiveUp,
        _ => Remedy::Accept,
    }
}

/// Sends the requests and returns the answer to each. Requests for the same id are carried out in their order, except that one
/// which is repeated comes after those that were not. An error that concerns one request is its answer.
///
/// It ends early if a connection is lost and cannot be made again, if the server refuses what every request needs, or if
/// `interruption` says why.
pub fn deliver(
    masters: &mut Masters,
    requests: &[Request],
    interruption: impl Fn() -> Option<Failure>,
) -> Delivery {
    let mut answers: Vec<Option<RedisResult<Value>>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..requests.len()).collect();
    let mut progress = Instant::now();
    loop {
        let mut trouble = None;
        let mut is_search = false;
        let mut put_off = Vec::new();
        // Whether every request that waits concerns only its own key.
        let mut is_of_keys = true;
        let mut routes: Vec<Vec<usize>> = masters.nodes().iter().map(|_| Vec::new()).collect();
        for &number in &waiting {
            match masters.place_of(&requests[number].id) {
                Ok(place) => routes[place].push(number),
                Err(failure) => {
                    (is_search, is_of_keys) = (true, false);
                    trouble = Some(failure);
                }
            }
        }
        for (node, numbers) in masters.nodes().iter_mut().zip(routes) {
            if numbers.is_empty() {
                continue;
            }
            let name = node.name();
            let replies = match node.ask_all(numbers.iter().map(|&number| &requests[number].command)) {
                Ok(replies) => replies,
                Err(error) => {
                    (is_search, is_of_keys) = (true, false);
                    trouble = Some(reason::failure(&name, &error));
                    continue;
                }
            };
            for (number, reply) in numbers.into_iter().zip(replies) {
                if let Err(error) = &reply {
                    match remedy(error) {
                        Remedy::GiveUp => {
                            let failure = Some(reason::failure(&name, error));
                            return Delivery { answers, failure };
                        }
                        Remedy::Accept => {}
                        remedy @ (Remedy::Again | Remedy::Search) => {
                            is_search |= matches!(remedy, Remedy::Search);
                            is_of_keys &= error.code() == Some("TRYAGAIN");
                            trouble = Some(reason::failure(&name, error));
                            put_off.push((number, reply));
                            continue;
                        }
                    }
                }
                progress = Instant::now();
                answers[number] = Some(reply);
            }
        }
        waiting.retain(|&number| answers[number].is_none());
        let Some(trouble) = trouble.filter(|_| !waiting.is_empty()) else {
            return Delivery { answers, failure: None };
        };
        let is_over = progress.elapsed() > PATIENCE;
        if is_over && is_of_keys {
            for (number, reply) in put_off {
                answers[number] = Some(reply);
            }
            return Delivery { answers, failure: None };
        }
        if let Some(failure) = interruption().or_else(|| is_over.then_some(trouble)) {
            return Delivery { answers, failure: Some(failure) };
        }
        thread::sleep(PAUSE);
        if is_search {
            // What is still missing is noticed in the next attempt.
            let _ = masters.find_again();
        }
    }
}

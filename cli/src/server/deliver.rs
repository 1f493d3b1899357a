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
/// which is repeated comes after those that were not.
///
/// # Errors
///
/// If a connection is lost and cannot be made again, or if the server refuses what every request needs. Some of the requests may
/// have been carried out then. An error that concerns one request is its answer.
pub fn deliver(masters: &mut Masters, requests: &[Request]) -> Result<Vec<RedisResult<Value>>, Failure> {
    let mut answers: Vec<Option<RedisResult<Value>>> = requests.iter().map(|_| None).collect();
    let mut waiting: Vec<usize> = (0..requests.len()).collect();
    let mut progress = Instant::now();
    loop {
        let mut trouble = None;
        let mut is_search = false;
        let mut routes: Vec<Vec<usize>> = masters.nodes().iter().map(|_| Vec::new()).collect();
        for &number in &waiting {
            match masters.place_of(&requests[number].id) {
                Ok(place) => routes[place].push(number),
                Err(failure) => {
                    is_search = true;
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
                    is_search = true;
                    trouble = Some(reason::failure(&name, &error));
                    continue;
                }
            };
            for (number, reply) in numbers.into_iter().zip(replies) {
                if let Err(error) = &reply {
                    match remedy(error) {
                        Remedy::Again => {
                            trouble = Some(reason::failure(&name, error));
                            // Kept in case that it stays so.
                            answers[number] = Some(reply);
                            continue;
                        }
                        Remedy::Search => {
                            is_search = true;
                            trouble = Some(reason::failure(&name, error));
                            answers[number] = Some(reply);
                            continue;
                        }
                        Remedy::GiveUp => return Err(reason::failure(&name, error)),
                        Remedy::Accept => {}
                    }
                }
                progress = Instant::now();
                answers[number] = Some(reply);
            }
        }
        let is_open = |number: &usize| match &answers[*number] {
            None => true,
            Some(Ok(_)) => false,
            Some(Err(error)) => !matches!(remedy(error), Remedy::Accept),
        };
        waiting.retain(is_open);
        let Some(trouble) = trouble.filter(|_| !waiting.is_empty()) else {
            return Ok(answers.into_iter().flatten().collect());
        };
        if progress.elapsed() > PATIENCE {
            // What the server has answered is told for each request.
            let has_answers = waiting.iter().all(|&number| answers[number].is_some());
            return if has_answers { Ok(answers.into_iter().flatten().collect()) } else { Err(trouble) };
        }
        thread::sleep(PAUSE);
        if is_search {
            // What is still missing is noticed in the next attempt.
            let _ = masters.find_again();
        }
    }
}

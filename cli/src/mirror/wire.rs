//! Transactions on a server whose parts may be refused one by one, and the reading of replies in both protocols.

use redis::{Cmd, RedisError, RedisResult, Value};

use crate::failure::{Exit, Failure};
use crate::server::node::Node;
use crate::server::reason;

/// The replies of several MULTI/EXEC blocks that are sent at once. A part that was refused is a [`Value::ServerError`] in its
/// place; a block that was refused as a whole is an error. The outer error is one of the connection.
pub fn transactions(node: &mut Node, blocks: &[Vec<Cmd>]) -> RedisResult<Vec<RedisResult<Vec<Value>>>> {
    let (multi, exec) = (redis::cmd("MULTI").get_packed_command(), redis::cmd("EXEC").get_packed_command());
    let mut packed = Vec::new();
    for block in blocks {
        packed.extend_from_slice(&multi);
        for command in block {
            packed.extend_from_slice(&command.get_packed_command());
        }
        packed.extend_from_slice(&exec);
    }
    let connection = node.connection();
    connection.send_packed_command(&packed)?;
    let mut replies = Vec::with_capacity(blocks.len());
    for block in blocks {
        // What refuses a command when it is queued says more than the EXECABORT that follows.
        let mut refused = None;
        for _ in 0..=block.len() {
            if let Value::ServerError(error) = receive(connection)? {
                refused.get_or_insert(RedisError::from(error));
            }
        }
        let reply = receive(connection)?;
        replies.push(match (refused, reply) {
            (Some(error), _) => Err(error),
            (None, Value::Array(values)) => Ok(values),
            (None, Value::ServerError(error)) => Err(error.into()),
            (None, _) => Err((redis::ErrorKind::Client, "EXEC answered something else").into()),
        });
    }
    Ok(replies)
}

/// The next reply that is not pushed by the server.
pub fn receive(connection: &mut redis::Connection) -> RedisResult<Value> {
    loop {
        match connection.recv_response()? {
            Value::Push { .. } => {}
            reply => return Ok(reply),
        }
    }
}

/// A text, whatever form it has. Bytes that are no UTF-8, and the character that PostgreSQL cannot store, are replaced.
pub fn text(value: Value) -> Option<String> {
    let text = match value {
        Value::BulkString(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        },
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Okay => "OK".to_owned(),
        _ => return None,
    };
    Some(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text })
}

/// The fields of a map, or of a flat list of names and values.
pub fn fields(value: Value) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    match value {
        Value::Map(map) => {
            for (name, value) in map {
                fields.extend(text(name).map(|name| (name, value)));
            }
        }
        Value::Array(list) => {
            let mut list = list.into_iter();
            while let (Some(name), Some(value)) = (list.next(), list.next()) {
                fields.extend(text(name).map(|name| (name, value)));
            }
        }
        _ => {}
    }
    fields
}

/// A field of INFO.
pub fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}

/// Whether the server says that a key does not exist.
pub fn is_no_such_key(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.details().is_some_and(|details| details.contains("no such key")))
}

/// What ends a session if this node answers with this error, or not at all. What passes by itself counts as a lost connection.
pub fn trouble(node: &str, error: &RedisError) -> Failure {
    let failure = reason::failure(node, error);
    match error.code() {
        Some(
            "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" | "BUSY" | "READONLY",
        ) => Failure { exit: Exit::Connection, ..failure },
        _ => failure,
    }
}

//! A connection that gives up soon: whoever waits for an answer for long cannot tell a lost one from a late one.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use redis::{Cmd, Parser, Value};
use serde_json::Value as Json;

use crate::harness::to_json;

/// How long a client waits for a connection, and for an answer.
const CONNECT: Duration = Duration::from_millis(300);
pub const ANSWER: Duration = Duration::from_millis(800);

pub struct Conn {
    stream: TcpStream,
    parser: Parser,
}

impl Conn {
    /// A connection that speaks RESP3. The server has answered on it.
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let shown = |error: std::io::Error| error.to_string();
        let stream = TcpStream::connect_timeout(&address, CONNECT).map_err(shown)?;
        stream.set_nodelay(true).map_err(shown)?;
        stream.set_read_timeout(Some(ANSWER)).map_err(shown)?;
        stream.set_write_timeout(Some(ANSWER)).map_err(shown)?;
        let mut conn = Self { stream, parser: Parser::new() };
        conn.send(&[&["HELLO", "3"]])?;
        conn.receive()?.map(|_| ())?;
        Ok(conn)
    }

    /// Sends these commands in one write.
    pub fn send(&mut self, commands: &[&[impl AsRef<str>]]) -> Result<(), String> {
        let mut packed = Vec::new();
        for words in commands {
            let mut command = Cmd::new();
            for word in *words {
                command.arg(word.as_ref());
            }
            packed.extend(command.get_packed_command());
        }
        self.stream.write_all(&packed).map_err(|error| error.to_string())
    }

    /// The next reply: the outer error says that there is none, the inner one that it is an error.
    pub fn receive(&mut self) -> Result<Result<Json, String>, String> {
        loop {
            return match self.parser.parse_value(&self.stream) {
                Ok(Value::Push { .. }) => continue,
                Ok(Value::ServerError(error)) => Ok(Err([error.code(), error.details().unwrap_or_default()]
                    .join(" ")
                    .trim_end()
                    .to_owned())),
                Ok(value) => Ok(Ok(to_json(value))),
                Err(error) if error.is_timeout() => Err("no answer in time".to_owned()),
                Err(error) => Err(error.to_string()),
            };
        }
    }
}

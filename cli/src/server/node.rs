//! A connection to one server.

use redis::{Cmd, Connection, ConnectionLike, RedisResult, Value};

use crate::failure::Failure;
use crate::server::address::Address;
use crate::server::reason;

/// A connection to one server.
pub struct Node {
    address: Address,
    connection: Connection,
}

impl Node {
    /// Connects and logs in.
    pub fn connect(address: Address) -> Result<Self, Failure> {
        match address.connect() {
            Ok(connection) => Ok(Self { address, connection }),
            Err(error) => Err(reason::failure(&address.name(), &error)),
        }
    }

    /// Connects anew, after an error of the connection.
    pub fn reconnect(&mut self) -> RedisResult<()> {
        self.connection = self.address.connect()?;
        Ok(())
    }

    /// Whether the connection can still be used.
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// How the server is named in texts.
    pub fn name(&self) -> String {
        self.address.name()
    }

    /// Where it is.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The connection itself, for what is not a plain request.
    pub const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The answer to one command. An error answer of the server is an error.
    pub fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.connection.req_command(command)?.extract_error()
    }

    /// The answers to commands that are sent at once. The outer error is one of the connection: then it is unknown which of the
    /// commands were carried out.
    pub fn ask_all<'a>(
        &mut self,
        commands: impl IntoIterator<Item = &'a Cmd>,
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut packed = Vec::new();
        let mut number = 0_usize;
        for command in commands {
            packed.extend_from_slice(&command.get_packed_command());
            number += 1;
        }
        self.connection.send_packed_command(&packed)?;
        (0..number).map(|_| Ok(self.connection.recv_response()?.extract_error())).collect()
    }

    /// Like [`Node::ask`], for errors that end the command.
    pub fn demand(&mut self, command: &Cmd) -> Result<Value, Failure> {
        self.ask(command).map_err(|error| reason::failure(&self.name(), &error))
    }
}

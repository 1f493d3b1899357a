//! The inv command on real servers.
//!
//!     make test-inv

#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/network.rs"]
mod network;
#[allow(dead_code, reason = "the tests of the shop use all of it")]
#[path = "../../../tests/common/postgres.rs"]
mod postgres;
#[allow(dead_code, unused_imports, reason = "the tests of the module use all of it")]
#[path = "../../../tests/server/shards.rs"]
mod shards;
mod slots;
#[allow(dead_code, reason = "the tests of the module use other parts")]
#[path = "../../../tests/server/terminal.rs"]
mod terminal;

mod certificates;
mod cluster;
mod connection;
mod demo;
mod export;
mod import;
mod interrupted;
mod low;
mod page;
mod shell;
mod sql;
mod tls;
mod watch;

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{Json, Server};

/// The program.
const INV: &str = env!("CARGO_BIN_EXE_inv");

/// The program with these words, without a terminal, and without what the environment of the tests says.
fn plain_command(words: &[&str]) -> Command {
    let mut command = Command::new(INV);
    command.args(words).env_remove("INV_URL").stdin(Stdio::null());
    command
}

/// What a run of the program has left.
#[derive(Debug)]
struct Done {
    /// The exit code; `None` if a signal ended it.
    code: Option<i32>,
    out: String,
    err: String,
}

impl Done {
    fn of(command: &mut Command, input: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("inv starts");
        // If it does not read its input, its answer says why.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let done = child.wait_with_output().expect("inv ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
    }

    /// The text of stdout, if all went well.
    #[track_caller]
    fn fine(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// The JSON of stdout.
    #[track_caller]
    fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The URL of a server.
fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}", server.port())
}

/// Runs the program on a server.
fn inv(server: &Server, words: &[&str]) -> Done {
    inv_reads(server, words, "")
}

/// The same with an input.
fn inv_reads(server: &Server, words: &[&str], input: &str) -> Done {
    Done::of(plain_command(words).env("INV_URL", url(server)), input)
}

/// Imports a file.
fn import(server: &Server, file: &str) -> Done {
    inv_reads(server, &["import", "-"], file)
}

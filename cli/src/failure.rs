//! How the command ends: its exit codes, and what it says about a failure.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes. docs/inv.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done, and there is nothing to report.
    Done,
    /// The work is done, but there is something to look at: rows that failed, products that are low, differences.
    Findings,
    /// The arguments or the input cannot be used. Nothing was changed. clap ends with the same code.
    Usage,
    /// There is no connection to the server or the database, or it was lost. It may work later.
    Connection,
    /// The server or the database refused: the login is wrong, the module is not loaded, or the user may not do this. Trying again
    /// is useless.
    Refused,
    /// A signal ended long work, which has told what was done.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0_u8,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Connection => 3,
            Exit::Refused => 4,
            // As shells report Ctrl-C.
            Exit::Interrupted => 130,
        })
    }
}

/// Why a subcommand ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What was asked, what was there, and what to do next. It may contain text from a server.
    pub text: String,
}

impl Failure {
    /// The arguments or the input cannot be used.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, text: text.into() }
    }

    /// There is no connection.
    pub fn connection(text: impl Into<String>) -> Self {
        Self { exit: Exit::Connection, text: text.into() }
    }

    /// The other side refused.
    pub fn refused(text: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, text: text.into() }
    }

    /// The output cannot be written. If its reader has closed the pipe, as `head` does, that is no failure.
    pub fn output(error: &io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Done } else { Exit::Usage };
        Self { exit, text: format!("the output cannot be written: {error}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Failure {}

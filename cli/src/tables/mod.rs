//! The tables in PostgreSQL that `inv mirror` writes and `inv rebuild` reads.

pub mod feeds;
pub mod rebuilding;
pub mod rows;
pub mod settings;

use std::time::{Duration, SystemTime};

use postgres::Client;
use postgres::error::SqlState;

use crate::failure::Failure;
use crate::server::style::Style;
use crate::sql;

/// The version of the tables that this program writes.
const VERSION: i32 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// The options that name the tables.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "tables")]
pub struct Options {
    /// The database: postgres://user[:password]@host[:port]/database[?sslmode=…]. A password is safer in INV_POSTGRES_URL.
    #[arg(env = "INV_POSTGRES_URL", hide_env_values = true, value_name = "POSTGRES_URL")]
    pub database: String,

    /// The schema of the tables. Each database of a server, and each server, needs one of its own.
    #[arg(long, default_value = "inv", value_parser = schema_name, value_name = "NAME")]
    pub schema: String,
}

/// A name that needs no quotes in SQL.
fn schema_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty()
        || text.len() > 63
        || !text.bytes().all(is_plain)
        || text.starts_with(|first: char| first.is_ascii_digit())
    {
        return Err("use lower-case letters, digits and _, and begin with a letter".to_owned());
    }
    Ok(text.to_owned())
}

/// A connection to the tables.
pub struct Tables {
    /// The connection. Its search path is the schema.
    pub client: Client,
    options: Options,
    patience: Duration,
}

/// The only row of the table `mirror`.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// How the server names its keys.
    pub style: Style,
    /// Whether the tables have equalled the counters once.
    pub is_open: bool,
    /// Whether an inv rebuild was begun and has not ended.
    pub is_rebuilding: bool,
}

impl Tables {
    /// Connects. The schema need not exist.
    pub fn connect(options: &Options, patience: Duration) -> Result<Self, Failure> {
        let mut client = sql::connect(&options.database, patience)?;
        // The name contains only letters, digits and _.
        client
            .batch_execute(&format!("SET search_path = {}", options.schema))
            .map_err(|error| failed(&error))?;
        Ok(Self { client, options: options.clone(), patience })
    }

    /// Another connection to the same tables.
    pub fn connect_again(&self) -> Result<Self, Failure> {
        Self::connect(&self.options, self.patience)
    }

    /// Makes this connection the only one that writes the tables. False if another one is; it may write until it ends.
    pub fn lock(&mut self) -> Result<bool, Failure> {
        let row = self
            .client
            .query_one(
                "SELECT pg_try_advisory_lock(hashtext('redis-inventory'), hashtext($1))",
                &[&self.options.schema],
            )
            .map_err(|error| failed(&error))?;
        Ok(row.get(0))
    }

    /// Reads the state of the tables; `None` if there are none.
    ///
    /// # Errors
    ///
    /// If they were written by another version of this program.
    pub fn state(&mut self) -> Result<Option<State>, Failure> {
        let found = self.client.query_opt(
            "SELECT version, key_style, opened_at IS NOT NULL, rebuilding IS NOT NULL FROM mirror",
            &[],
        );
        let row = match found {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let (version, style): (i32, String) = (row.get(0), row.get(1));
        if version != VERSION {
            return Err(Failure::usage(format!(
                "the tables of schema {} have version {version}, and this program writes version {VERSION}: use the inv of \
                 that version, or another --schema",
                self.options.schema
            )));
        }
        let style = Style::named(&style)
            .ok_or_else(|| Failure::usage(format!("key_style {style} of table mirror is unknown")))?;
        Ok(Some(State { style, is_open: row.get(2), is_rebuilding: row.get(3) }))
    }

    /// Creates the tables, and the schema if it does not exist. An administrator may have created that.
    pub fn create(&mut self, style: Style) -> Result<(), Failure> {
        let mut transaction = self.client.transaction().map_err(|error| failed(&error))?;
        let exists = transaction
            .query_opt("SELECT FROM pg_namespace WHERE nspname = $1", &[&self.options.schema])
            .map_err(|error| failed(&error))?;
        if exists.is_none() {
            transaction
                .batch_execute(&format!("CREATE SCHEMA {}", self.options.schema))
                .map_err(|error| failed(&error))?;
        }
        transaction.batch_execute(SCHEMA).map_err(|error| failed(&error))?;
        transaction
            .execute("INSERT INTO mirror (version, key_style) VALUES ($1, $2)", &[&VERSION, &style.word()])
            .map_err(|error| failed(&error))?;
        transaction.commit().map_err(|error| failed(&error))
    }

    /// The name of the schema.
    pub fn schema(&self) -> &str {
        &self.options.schema
    }
}

/// What ends the work if PostgreSQL answers with this error, or not at all.
pub fn failed(error: &postgres::Error) -> Failure {
    let Some(answer) = error.as_db_error() else {
        let reason =
            std::error::Error::source(error).map_or(error.to_string(), |source| format!("{error}: {source}"));
        return Failure::connection(format!("PostgreSQL: {reason}"));
    };
    let code = answer.code().code();
    let text = format!("PostgreSQL: {} {}", code, answer.message());
    // The server is starting, stopping or out of something.
    if matches!(&code[..2], "57" | "08" | "53" | "40") {
        return Failure::connection(text);
    }
    if answer.code() == &SqlState::INSUFFICIENT_PRIVILEGE {
        return Failure::refused(format!("{text}. docs/mirror.md lists the rights that the user needs"));
    }
    Failure::refused(text)
}

/// Unix ms as PostgreSQL stores it.
pub fn time(ms: i64) -> SystemTime {
    let distance = Duration::from_millis(ms.unsigned_abs());
    if ms < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance }
}

/// The same in the other direction.
pub fn ms(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

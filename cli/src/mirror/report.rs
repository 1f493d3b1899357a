//! What the mirror says while it works: lines for a log, or one JSON object a line.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::book::Movement;
use super::feed::is_unexplained;
use crate::failure::Failure;
use crate::output::Output;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(10);

/// What the mirror has done, and how it tells.
pub struct Report {
    output: Output,
    /// The movements that were written.
    pub movements: u64,
    /// The movements that no entry of a feed explains.
    pub unexplained: u64,
    /// Entries that were lost before they were read, and movements that the server has lost.
    pub lost: u64,
    told: Instant,
    told_movements: u64,
}

impl Report {
    /// Nothing has been done.
    pub fn new(output: Output) -> Self {
        Self { output, movements: 0, unexplained: 0, lost: 0, told: Instant::now(), told_movements: 0 }
    }

    /// Tells of an event. The fields are for programs, the text for people.
    pub fn tell(&self, event: &str, text: &str, fields: Value) -> Result<(), Failure> {
        if !self.output.is_json {
            self.output.say(text);
            return Ok(());
        }
        let mut line = json!({ "event": event });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        self.output.print_json(&line)
    }

    /// Counts movements that were written.
    pub fn wrote(&mut self, movements: &[Movement]) {
        self.movements += movements.len() as u64;
        let unexplained = movements.iter().filter(|movement| is_unexplained(&movement.event));
        self.unexplained += unexplained.count() as u64;
    }

    /// Tells how far the mirror is, if that is due and something was done.
    pub fn progress(&mut self, behind: i64) -> Result<(), Failure> {
        let elapsed = self.told.elapsed();
        if elapsed < EVERY || (self.movements == self.told_movements && behind == 0) {
            return Ok(());
        }
        let rate = (self.movements - self.told_movements) as f64 / elapsed.as_secs_f64();
        (self.told, self.told_movements) = (Instant::now(), self.movements);
        let text =
            format!("{} movements written, {rate:.0} a second; {behind} entries behind", self.movements);
        let fields = json!({ "movements": self.movements, "per_second": rate.round(), "behind": behind });
        self.tell("progress", &text, fields)
    }

    /// Tells how it ended.
    pub fn summary(&self, behind: i64) -> Result<(), Failure> {
        let text = format!(
            "the tables equal the counters: {} movements written, {} of them without an entry of a feed",
            self.movements, self.unexplained
        );
        let fields = json!({
            "movements": self.movements, "unexplained": self.unexplained, "lost": self.lost, "behind": behind,
        });
        self.tell("done", &text, fields)
    }
}

//! What an import has done.

use serde::Serialize;

use crate::failure::Failure;
use crate::import::row::Fault;
use crate::output::{Output, number_of, plain};

/// Faults that are listed on a terminal. --json and --rejects have all.
const LISTED: usize = 100;

/// What an import has done.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    pub id: &'a str,
    pub rows: usize,
    /// Whether every row was tried.
    pub is_complete: bool,
    /// Why it ended early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    pub imported: usize,
    /// Of those, what an earlier run of this import has done; unknown if the user may not run EXISTS.
    pub repeated: Option<usize>,
    /// Rows without a value.
    pub empty: usize,
    /// Rows that the import did not come to, or of which it is unknown whether they are in.
    pub left: usize,
    pub failed: &'a [Fault],
    pub seconds: f64,
}

impl Report<'_> {
    /// Prints it.
    pub fn print(&self, output: Output) -> Result<(), Failure> {
        if output.is_json { output.print_json(self) } else { output.print(&plain(&self.text())) }
    }

    fn text(&self) -> String {
        let rate = self.imported as f64 / self.seconds.max(0.001);
        let mut text = format!(
            "{}: {} imported in {:.1} s ({rate:.0} a second), {} failed",
            number_of(self.rows, "row"),
            self.imported,
            self.seconds,
            self.failed.len()
        );
        if self.empty > 0 {
            text += &format!(", {} without a value", self.empty);
        }
        if !self.is_complete {
            text += &format!(", {} left, because the import ended early", self.left);
        }
        let id = self.id;
        text += &format!("\nimport id: {id}\n");
        if let Some(repeated) = self.repeated.filter(|repeated| *repeated > 0) {
            text += &format!(
                "{} had been imported with this id before, and changed no units now. For a new import, use another --id\n",
                number_of(repeated, "row")
            );
        }
        for Fault { line, sku, reason } in self.failed.iter().take(LISTED) {
            text += &match sku.as_str() {
                "" => format!("line {line}: {reason}\n"),
                sku => format!("line {line}: {sku}: {reason}\n"),
            };
        }
        if self.failed.len() > LISTED {
            text += &format!("and {} more; --json and --rejects have all\n", self.failed.len() - LISTED);
        }
        if !self.is_complete {
            text += "To import what is left, run the same command again. It changes no units twice\n";
        } else if !self.failed.is_empty() {
            text +=
                &format!("To import the rest, correct these rows and run the command again with --id {id}\n");
        }
        text
    }
}

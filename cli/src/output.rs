//! What is printed: results on stdout, for people or as JSON; progress and remarks on stderr.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;

/// For whom the command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Results are printed as JSON.
    pub is_json: bool,
    /// Somebody watches: long work shows a progress bar.
    has_progress: bool,
}

impl Output {
    /// Progress is shown if stderr is a terminal and no program reads the result.
    pub fn new(is_json: bool) -> Self {
        Self { is_json, has_progress: !is_json && io::stderr().is_terminal() }
    }

    /// Prints a result as it is.
    pub fn print(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Prints a result as one line of JSON.
    pub fn print_json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::usage(error.to_string()))?;
        self.print(&(text + "\n"))
    }

    /// A remark for a person. It is printed with `--json` too, because programs read only stdout.
    pub fn say(self, text: &str) {
        // If stderr is closed, nobody wants to know.
        let _ = writeln!(io::stderr(), "{}", plain(text));
    }

    /// A progress bar for so many steps, or for an unknown number of them.
    pub fn progress(self, what: &'static str, total: Option<u64>) -> Progress {
        if !self.has_progress {
            return Progress(None);
        }
        let (bar, template) = match total {
            Some(total) => {
                (ProgressBar::new(total), "{prefix} [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}")
            }
            None => (ProgressBar::no_length(), "{prefix} {spinner} {human_pos} {per_sec} {msg}"),
        };
        // The templates are constants. A wrong one shows the default bar.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Progress(Some(bar.with_style(style.progress_chars("=> ")).with_prefix(what)))
    }
}

/// A progress bar on a terminal; nothing elsewhere. It disappears when it is dropped.
#[derive(Debug)]
pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// So many more steps are done.
    pub fn add(&self, steps: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(steps);
        }
    }

    /// A short remark at the end of the bar.
    pub fn remark(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(plain(text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// `1 row`, `2 rows`.
pub fn number_of(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A text of a server without characters that control the terminal or reorder the line.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if is_plain(letter) || letter == '\n' { letter } else { '\u{fffd}' }).collect()
}

/// Whether a character only shows itself.
pub fn is_plain(character: char) -> bool {
    let reorders = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !reorders
}

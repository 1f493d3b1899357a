//! `inv completions`: what a shell reads to complete the words of the command.

use clap::Command;
use clap_complete::Shell;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Print the completions for a shell.
///
/// For bash: source <(inv completions bash)
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the completions.
pub fn run(options: &Options, command: &mut Command, output: Output) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, command, "inv", &mut text);
    output.print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

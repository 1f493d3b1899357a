//! `inv`: the command for the stock of a server with the module. docs/inv.md describes it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use redis_inventory_cli::failure::{Exit, Failure};
use redis_inventory_cli::output::{Output, plain};
use redis_inventory_cli::server::address;
use redis_inventory_cli::{completions, demo, export, import, low, mirror, rebuild, watch};

/// Replies of a server are hundreds of thousands of small texts, on which glibc's allocator spends half of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Import, export and watch the stock of a Redis or Valkey server with the module redis-inventory.
#[derive(Parser)]
#[command(name = "inv", version, propagate_version = true, max_term_width = 100, after_help = EXIT_CODES)]
struct Words {
    #[command(subcommand)]
    subcommand: Subcommands,

    #[command(flatten)]
    server: address::Options,

    /// Print results as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 everything was done; 1 done, with something to look at (rows that failed, products that are low);
2 the arguments or the input cannot be used; 3 no connection, or it was lost; 4 the server refused;
130 an import was interrupted.";

/// One module each. What connects takes `words.server`.
#[derive(Subcommand)]
enum Subcommands {
    Import(import::Options),
    Export(export::Options),
    Low(low::Options),
    Watch(watch::Options),
    Demo(demo::Options),
    Mirror(mirror::Options),
    Rebuild(rebuild::Options),
    Completions(completions::Options),
}

fn main() -> ExitCode {
    let words = Words::parse();
    // Another part of the process may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&words) {
        Ok(exit) => exit.into(),
        // The reader of the output has closed it.
        Err(Failure { exit: Exit::Done, .. }) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "inv: {}", plain(&failure.text));
            failure.exit.into()
        }
    }
}

fn run(words: &Words) -> Result<Exit, Failure> {
    let output = Output::new(words.json);
    match &words.subcommand {
        Subcommands::Import(options) => import::run(options, &words.server, output),
        Subcommands::Export(options) => export::run(options, &words.server, output),
        Subcommands::Low(options) => low::run(options, &words.server, output),
        Subcommands::Watch(options) => watch::run(options, &words.server),
        Subcommands::Demo(options) => demo::run(options, &words.server, output),
        Subcommands::Mirror(options) => mirror::run(options, &words.server, output),
        Subcommands::Rebuild(options) => rebuild::run(options, &words.server, output),
        Subcommands::Completions(options) => completions::run(options, &mut Words::command(), output),
    }
}

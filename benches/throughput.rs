//! Compares the module with its rivals on a real server: `make bench`.
//!
//! It starts temporary servers on free ports: one with the module, and one without it for the rivals, so that neither slows down
//! the other. The load comes from the benchmark program of the server. The contenders take turns, round by round; a table and
//! charts are saved in `benches/results/`.

use contenders::{Contender, MODULE, contenders};
use harness::{Server, server_program};
use load::{Figures, configuration};
use options::Options;
use report::{Part, Report, Row};

#[path = "common/chart.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod chart;
#[path = "throughput/contenders.rs"]
mod contenders;
#[path = "../tests/server/harness.rs"]
#[allow(dead_code, unused_imports, reason = "only the tests use all of it")]
mod harness;
#[path = "common/load.rs"]
mod load;
#[path = "throughput/lua.rs"]
mod lua;
#[path = "common/machine.rs"]
mod machine;
#[path = "common/options.rs"]
#[allow(dead_code, reason = "only the other benchmarks use all of it")]
mod options;
#[path = "throughput/report.rs"]
mod report;
#[path = "../tests/server/scripts.rs"]
mod scripts;

/// AOF and pipeline of each part.
const SETTINGS: [(&str, usize); 4] = [("no", 32), ("no", 1), ("everysec", 32), ("always", 32)];

fn measure_part(options: &Options, aof: &'static str, pipeline: usize) -> Part {
    let lines = configuration(aof);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let with_module = Server::start_with(&lines);
    let plain = Server::start_without_module(server_program(), &lines);
    let contenders = contenders(&mut plain.connect());
    let is_wanted = |contender: &&Contender| !contender.is_special || (pipeline > 1 && aof != "always");
    let requests = if pipeline == 1 { options.requests / 4 } else { options.requests };
    let mut results: Vec<(&Contender, Vec<Figures>)> =
        contenders.iter().filter(is_wanted).map(|contender| (contender, vec![])).collect();
    for round in 1..=options.rounds {
        for (contender, figures) in &mut results {
            let server = if contender.by == MODULE { &with_module } else { &plain };
            let found = contender.measure(server, requests, pipeline, round);
            eprintln!(
                "  AOF {aof}, pipeline {pipeline}, round {round}: {:<26} {:<20} {:>4.0} thousand/s, {:>5.2} µs of CPU",
                contender.operation,
                contender.by,
                found.per_second / 1000.0,
                found.cpu_us
            );
            figures.push(found);
        }
    }
    let row = |(contender, figures): (&Contender, Vec<Figures>)| Row {
        operation: contender.operation,
        by: contender.by,
        figures,
    };
    Part { aof, pipeline, rows: results.into_iter().map(row).collect() }
}

fn main() {
    let Some(options) = Options::read(5) else { return };
    let load_before = machine::load();
    let server = machine::server_name(&mut Server::start().connect());
    let parts = SETTINGS.iter().map(|&(aof, pipeline)| measure_part(&options, aof, pipeline)).collect();
    Report { options, server, load: [load_before, machine::load()], parts }.save();
}

//! The load of PostgreSQL, made by its own pgbench.

use std::thread;
use std::time::Duration;

use crate::load::Figures;
use crate::server::{Postgres, run};

/// Beside the defaults: no checkpoint falls into a measurement, and the data fit into memory.
pub const SETTINGS: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h", "max_connections=80"];
/// Clients and threads of pgbench.
const CLIENTS: &str = "50";
const THREADS: &str = "2";

/// Runs the script on 50 connections and returns its figures and how often it ran. `:products` in it becomes the number of
/// products.
pub fn load(
    postgres: &Postgres,
    script: &str,
    products: usize,
    is_synchronous: bool,
    seconds: u64,
) -> (Figures, usize) {
    let file = postgres.folder().join("script.sql");
    std::fs::write(&file, script).expect("a script");
    let logs = postgres.folder().join("latencies");
    let cpu_before = cpu_seconds(postgres);
    let on = if is_synchronous { "on" } else { "off" };
    let output = run(postgres
        .program("pgbench")
        .env("PGOPTIONS", format!("-c synchronous_commit={on}"))
        .args(["--no-vacuum", "--protocol=prepared", "--client", CLIENTS, "--jobs", THREADS])
        .args(["--time", &seconds.to_string(), "--define", &format!("products={products}")])
        .arg("--log")
        .arg(format!("--log-prefix={}", logs.display()))
        .arg("--file")
        .arg(&file)
        .arg("-h")
        .arg(postgres.folder())
        .args(["-U", "shop", "postgres"]));
    let field = |name: &str| {
        let rest = output.split_once(name).unwrap_or_else(|| panic!("no {name} in {output}")).1;
        let number = rest.trim_start().split([' ', '/', '\n']).next().unwrap();
        number.parse::<f64>().unwrap_or_else(|_| panic!("{name} is no number in {output}"))
    };
    assert_eq!(field("number of failed transactions:"), 0.0, "{output}");
    let done = field("number of transactions actually processed:");
    let mut ms = take_latencies(postgres);
    ms.sort_by(f64::total_cmp);
    let figures = Figures {
        per_second: field("tps ="),
        p50_ms: ms[ms.len() / 2],
        p99_ms: ms[ms.len() * 99 / 100],
        us_a_call: 0.0,
        cpu_us: (cpu_seconds(postgres) - cpu_before) * 1e6 / done,
    };
    (figures, done as usize)
}

/// The milliseconds of all transactions, from the logs of pgbench, which it writes for each thread.
fn take_latencies(postgres: &Postgres) -> Vec<f64> {
    let mut ms = vec![];
    for file in std::fs::read_dir(postgres.folder()).unwrap() {
        let path = file.unwrap().path();
        if !path.file_name().unwrap().to_string_lossy().starts_with("latencies.") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a log of pgbench");
        // client, number, microseconds, ...
        let us = text.lines().map(|line| line.split(' ').nth(2).unwrap().parse::<f64>().unwrap());
        ms.extend(us.map(|us| us / 1000.0));
        std::fs::remove_file(path).unwrap();
    }
    ms
}

/// Processor seconds of the processes that have served clients and ended, and of the server that has started them.
fn cpu_seconds(postgres: &Postgres) -> f64 {
    // A process counts as soon as it has ended.
    thread::sleep(Duration::from_millis(300));
    let text = std::fs::read_to_string(format!("/proc/{}/stat", postgres.process())).expect("Linux");
    let after_name = text.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    // utime, stime, cutime, cstime, in hundredths of a second.
    fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

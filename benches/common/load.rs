//! Generates load with the benchmark program of the server under test.

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Client, Server, server_program};

/// The record that the module writes for one line, for contenders that have to store one.
pub const JSON: &str = r#"{"reservation_id":"r000000000000","created_at":1763820000000,"expires_at":1763820900000,"items":[{"product_id":"P","quantity":1}]}"#;

/// A range of `__rand_int__` that is large enough to make repetitions rare.
pub const MANY: usize = 2_000_000_000;

/// How a command is repeated.
#[derive(Clone, Copy)]
pub struct Load {
    pub requests: usize,
    pub pipeline: usize,
    /// `__rand_int__` in the command becomes a number below this.
    pub range: usize,
    /// Two loads with the same seed and range use the same numbers.
    pub seed: usize,
}

/// The results of a load.
#[derive(Clone, Copy, Default)]
pub struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Wall-clock microseconds of a call, from INFO commandstats.
    pub us_a_call: f64,
    /// Processor microseconds of the server's main thread for an operation, including reading it, replying, and the AOF.
    pub cpu_us: f64,
}

impl Figures {
    /// The figures of an operation of two commands.
    pub fn followed_by(self, next: Self) -> Self {
        Self {
            per_second: 1.0 / (1.0 / self.per_second + 1.0 / next.per_second),
            p50_ms: self.p50_ms + next.p50_ms,
            p99_ms: self.p99_ms + next.p99_ms,
            us_a_call: self.us_a_call + next.us_a_call,
            cpu_us: self.cpu_us + next.cpu_us,
        }
    }
}

impl Figures {
    /// The figures of one operation, if each call carries out this many.
    pub fn of_each(self, in_a_call: usize) -> Self {
        let each = in_a_call as f64;
        Self {
            per_second: self.per_second * each,
            us_a_call: self.us_a_call / each,
            cpu_us: self.cpu_us / each,
            ..self
        }
    }
}

impl Load {
    /// Sends the command on 50 connections. `counted_as` is its name in INFO commandstats.
    pub fn run(&self, server: &Server, command: &[String], counted_as: &str) -> Figures {
        let mut client = server.connect();
        client.ask("CONFIG RESETSTAT");
        let cpu_before = cpu_seconds(&mut client);
        let output = Command::new(program())
            .args(["-p", &server.port().to_string(), "-c", "50", "--csv"])
            .args(["-n", &self.requests.to_string(), "-P", &self.pipeline.to_string()])
            .args(["-r", &self.range.to_string(), "--seed", &self.seed.to_string()])
            .args(command)
            .output()
            .expect("the benchmark program");
        let cpu = cpu_seconds(&mut client) - cpu_before;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().last().unwrap_or_default();
        let fields: Vec<f64> =
            line.rsplit(',').take(7).filter_map(|field| field.trim_matches('"').parse().ok()).collect();
        // From the end: max, p99, p95, p50, min, mean, requests per second.
        assert!(
            output.status.success() && fields.len() == 7,
            "{command:?}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Figures {
            per_second: fields[6],
            p50_ms: fields[3],
            p99_ms: fields[1],
            us_a_call: us_a_call(&mut client, counted_as),
            cpu_us: cpu * 1e6 / self.requests as f64,
        }
    }
}

fn program() -> PathBuf {
    let server = server_program();
    let name = server.file_name().unwrap().to_str().unwrap().replace("-server", "-benchmark");
    server.with_file_name(name)
}

/// The server's microseconds per call of a command since the statistics were reset. The names of a module's commands are upper
/// case there, all others lower case.
pub fn us_a_call(client: &mut Client, name: &str) -> f64 {
    let stats = client.ask("INFO commandstats");
    let of = |line: &str| {
        let (command, figures) = line.strip_prefix("cmdstat_")?.split_once(':')?;
        let figure = figures.split_once("usec_per_call=")?.1.split(',').next()?;
        command.eq_ignore_ascii_case(name).then(|| figure.parse().ok())?
    };
    stats.as_str().unwrap().lines().find_map(of).expect("a command that has run")
}

/// Processor seconds of the server's main thread since it started.
pub fn cpu_seconds(client: &mut Client) -> f64 {
    ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"]
        .map(|field| client.info("cpu", field).parse::<f64>().expect("seconds"))
        .iter()
        .sum()
}

/// The configuration of a server with AOF `no`, `everysec` or `always`. Its AOF is rewritten only by [`empty`], because a rewrite
/// in the middle of a measurement would slow it down.
pub fn configuration(aof: &str) -> Vec<String> {
    let mut lines = vec!["save \"\"".to_owned()];
    if aof != "no" {
        lines.extend(["appendonly yes".to_owned(), format!("appendfsync {aof}")]);
        lines.push("auto-aof-rewrite-percentage 0".to_owned());
    }
    lines
}

/// Removes all keys, and their commands from the AOF.
pub fn empty(server: &Server) {
    server.connect().ask("FLUSHALL SYNC");
    if server.connect().info("persistence", "aof_enabled") == "1" {
        server.rewrite("BGREWRITEAOF");
    }
}

/// The words of a command.
pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// `SET` of the record with a deadline, with a new name each time.
pub fn set_of_the_record() -> Vec<String> {
    let mut set = words("SET reservation:r__rand_int__");
    set.extend([JSON.to_owned(), "PXAT".to_owned(), "4102444800000".to_owned()]);
    set
}

/// Minimum, median and maximum of some figures.
pub fn spread(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    [values[0], values[values.len() / 2], values[values.len() - 1]]
}

/// Creates numbered products, each with enough stock.
pub fn fill_products(client: &mut Client, products: usize) {
    const STEP: usize = 50_000;
    let fill = "for i = ARGV[1], ARGV[2] do redis.call('SET', string.format('stock:available:%012d', i), 1000000) end";
    for first in (0..products).step_by(STEP) {
        let last = products.min(first + STEP) - 1;
        client.ask(["EVAL", fill, "0", &first.to_string(), &last.to_string()]);
    }
}

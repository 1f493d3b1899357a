//! A PostgreSQL server of its own in a temporary folder, and its load. `scripts/setup-postgres.sh` finds the programs.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Figures;

/// Beside the defaults: no checkpoint falls into a measurement, and the data fit into memory.
pub const SETTINGS: [&str; 4] =
    ["shared_buffers=512MB", "max_wal_size=8GB", "checkpoint_timeout=1h", "max_connections=80"];
/// Clients and threads of pgbench.
const CLIENTS: &str = "50";
const THREADS: &str = "2";

pub struct Postgres {
    folder: tempfile::TempDir,
    user: Option<(u32, u32)>,
    server: Child,
}

impl Postgres {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let user = ordinary_user();
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).expect("a folder of that user");
        }
        let data = folder.path().join("data");
        run(program("initdb", user)
            .args(["--auth=trust", "--username=shop", "--no-locale", "--encoding=UTF8"])
            .arg("--pgdata")
            .arg(&data));
        let mut server = program("postgres", user);
        // It listens on a socket in the folder only, so that no port can be in use.
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-c", "listen_addresses="]);
        for setting in SETTINGS {
            server.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let server =
            server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("PostgreSQL starts");
        let mut postgres = Self { folder, user, server };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !postgres.psql("SELECT 1").output().expect("psql").status.success() {
            let log = std::fs::read_to_string(postgres.folder.path().join("log")).unwrap_or_default();
            assert!(postgres.server.try_wait().unwrap().is_none(), "PostgreSQL has ended: {log}");
            assert!(Instant::now() < deadline, "PostgreSQL is not ready: {log}");
            thread::sleep(Duration::from_millis(50));
        }
        postgres
    }

    /// For example PostgreSQL 15.18.
    pub fn name(&self) -> String {
        format!("PostgreSQL {}", self.ask("SHOW server_version").split(' ').next().unwrap())
    }

    /// Runs statements and returns the last value.
    pub fn ask(&self, sql: &str) -> String {
        run(&mut self.psql(sql)).trim().lines().last().unwrap_or_default().to_owned()
    }

    /// Runs the script on 50 connections and returns its figures and how often it ran. `:products` in it becomes the number of
    /// products.
    pub fn load(
        &self,
        script: &str,
        products: usize,
        is_synchronous: bool,
        seconds: u64,
    ) -> (Figures, usize) {
        let file = self.folder.path().join("script.sql");
        std::fs::write(&file, script).expect("a script");
        let logs = self.folder.path().join("latencies");
        let cpu_before = self.cpu_seconds();
        let on = if is_synchronous { "on" } else { "off" };
        let output = run(program("pgbench", self.user)
            .env("PGOPTIONS", format!("-c synchronous_commit={on}"))
            .args(["--no-vacuum", "--protocol=prepared", "--client", CLIENTS, "--jobs", THREADS])
            .args(["--time", &seconds.to_string(), "--define", &format!("products={products}")])
            .arg("--log")
            .arg(format!("--log-prefix={}", logs.display()))
            .arg("--file")
            .arg(&file)
            .arg("-h")
            .arg(self.folder.path())
            .args(["-U", "shop", "postgres"]));
        let field = |name: &str| {
            let rest = output.split_once(name).unwrap_or_else(|| panic!("no {name} in {output}")).1;
            let number = rest.trim_start().split([' ', '/', '\n']).next().unwrap();
            number.parse::<f64>().unwrap_or_else(|_| panic!("{name} is no number in {output}"))
        };
        assert_eq!(field("number of failed transactions:"), 0.0, "{output}");
        let done = field("number of transactions actually processed:");
        let mut ms = self.take_latencies();
        ms.sort_by(f64::total_cmp);
        let figures = Figures {
            per_second: field("tps ="),
            p50_ms: ms[ms.len() / 2],
            p99_ms: ms[ms.len() * 99 / 100],
            us_a_call: 0.0,
            cpu_us: (self.cpu_seconds() - cpu_before) * 1e6 / done,
        };
        (figures, done as usize)
    }

    /// The milliseconds of all transactions, from the logs of pgbench, which it writes for each thread.
    fn take_latencies(&self) -> Vec<f64> {
        let mut ms = vec![];
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
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
    fn cpu_seconds(&self) -> f64 {
        // A process counts as soon as it has ended.
        thread::sleep(Duration::from_millis(300));
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.server.id())).expect("Linux");
        let after_name = text.rsplit_once(") ").unwrap().1;
        let fields: Vec<&str> = after_name.split(' ').collect();
        // utime, stime, cutime, cstime, in hundredths of a second.
        fields[11..15].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = program("psql", self.user);
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(self.folder.path())
            .args(["-U", "shop", "postgres", "-c", sql]);
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate shutdown: the data are thrown away.
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// A program of PostgreSQL, run in a folder that every user may enter.
fn program(name: &str, user: Option<(u32, u32)>) -> Command {
    let folder =
        PathBuf::from(std::env::var_os("INV_POSTGRES").expect("INV_POSTGRES, see scripts/setup-postgres.sh"));
    let mut command = Command::new(folder.join(name));
    command.current_dir(Path::new("/"));
    if let Some(libraries) =
        std::env::var_os("INV_POSTGRES_LIBRARIES").filter(|libraries| !libraries.is_empty())
    {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    command
}

/// The user and group to run PostgreSQL as, if this is root: PostgreSQL refuses to run as root.
fn ordinary_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().expect("id");
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
    Some(user.expect("a user named postgres or nobody"))
}

/// Runs a program to its end and returns what it prints.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

//! A PostgreSQL server of its own in a temporary folder. `scripts/setup-postgres.sh` finds the programs.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running server. It listens on a socket in its folder only, so that no port can be in use. Its user is `shop`.
pub struct Postgres {
    folder: tempfile::TempDir,
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    server: Child,
}

impl Postgres {
    /// Creates a cluster and starts it with these settings.
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let user = ordinary_user();
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).expect("a folder of that user");
        }
        run(program("initdb", user)
            .args(["--auth=trust", "--username=shop", "--no-locale", "--encoding=UTF8", "--no-sync"])
            .arg("--pgdata")
            .arg(folder.path().join("data")));
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = spawn(folder.path(), user, &settings);
        let mut postgres = Self { folder, user, settings, server };
        postgres.wait_until_ready();
        postgres
    }

    /// Ends every process at once, like a crash, and starts the server again. It recovers from its log.
    pub fn crash_and_restart(&mut self) {
        self.quit();
        self.server = spawn(self.folder.path(), self.user, &self.settings);
        self.wait_until_ready();
    }

    /// The folder, which contains the socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// The process that starts all others.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// For example PostgreSQL 15.18.
    pub fn name(&self) -> String {
        format!("PostgreSQL {}", self.ask("SHOW server_version").split(' ').next().unwrap())
    }

    /// Runs statements and returns the last value.
    pub fn ask(&self, sql: &str) -> String {
        run(&mut self.psql(sql)).trim().lines().last().unwrap_or_default().to_owned()
    }

    /// A program of PostgreSQL, such as pgbench, with the rights of the server.
    pub fn program(&self, name: &str) -> Command {
        program(name, self.user)
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(self.folder.path())
            .args(["-U", "shop", "postgres", "-c", sql]);
        psql
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.psql("SELECT 1").output().expect("psql").status.success() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(self.server.try_wait().unwrap().is_none(), "PostgreSQL has ended: {log}");
            assert!(Instant::now() < deadline, "PostgreSQL is not ready: {log}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// An immediate shutdown.
    fn quit(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The data are thrown away.
        self.quit();
    }
}

fn spawn(folder: &Path, user: Option<(u32, u32)>, settings: &[String]) -> Child {
    let mut server = program("postgres", user);
    server.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args(["-c", "listen_addresses="]);
    for setting in settings {
        server.args(["-c", setting]);
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).expect("a log");
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("PostgreSQL starts")
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
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

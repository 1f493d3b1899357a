//! Starts a real server for each test, on a free port and in a temporary folder, and ends it with the test.
//!
//! Nothing here sleeps for a fixed time: [`wait_until`] polls for a condition and, if it fails, names the condition.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Connection, Value};
pub use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// The limit for what should happen at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(2);

/// The limit for what needs a start, a full sync or a rewrite.
pub const LATER: Duration = Duration::from_secs(20);

/// The factor for all limits: `INV_PATIENCE`, for a server under valgrind.
fn patience() -> u32 {
    static PATIENCE: OnceLock<u32> = OnceLock::new();
    *PATIENCE.get_or_init(|| {
        std::env::var("INV_PATIENCE").map_or(1, |times| times.parse().expect("INV_PATIENCE is a number"))
    })
}

/// How late this machine has been since a moment, and how much later results may be because of it. On a busy machine, neither the
/// test nor the server gets the processor at once.
#[derive(Debug)]
pub struct Machine {
    began: Instant,
    before: Duration,
}

impl Machine {
    /// How much more than the measured lateness is allowed: a thread that mostly sleeps gets the processor sooner than a busy
    /// server does.
    const FORGIVEN: u32 = 10;

    /// The largest factor by which a limit grows, so that a test that waits for something impossible fails.
    const MOST: u32 = 15;

    /// Measures from now on.
    pub fn watch() -> Self {
        Self { began: Instant::now(), before: lateness() }
    }

    /// The limit plus what the lateness so far allows.
    pub fn limit(&self, limit: Duration) -> Duration {
        let late = lateness().saturating_sub(self.before);
        limit + (late * Self::FORGIVEN).min(limit * (Self::MOST - 1))
    }

    /// The same in milliseconds.
    pub fn limit_ms(&self, limit: u64) -> i64 {
        i64::try_from(self.limit(Duration::from_millis(limit)).as_millis()).expect("a time")
    }

    fn is_over(&self, limit: Duration) -> bool {
        self.began.elapsed() > self.limit(limit)
    }
}

/// The total lateness so far of a thread that alternately sleeps and works for a moment.
fn lateness() -> Duration {
    const SLEEP: Duration = Duration::from_millis(20);
    // The precision of the system's timer.
    const USUAL: Duration = Duration::from_millis(1);
    static SUM: OnceLock<Arc<AtomicU64>> = OnceLock::new();
    let sum = SUM.get_or_init(|| {
        let sum = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sum);
        thread::spawn(move || {
            let mut best = Duration::MAX;
            loop {
                let began = Instant::now();
                thread::sleep(SLEEP);
                let worked = Instant::now();
                for number in 0..50_000_u32 {
                    black_box(number);
                }
                best = best.min(worked.elapsed());
                let late = began.elapsed().saturating_sub(SLEEP + USUAL + best);
                counted.fetch_add(u64::try_from(late.as_micros()).expect("a time"), Ordering::Relaxed);
            }
        });
        sum
    });
    Duration::from_micros(sum.load(Ordering::Relaxed))
}

/// Polls until the condition holds. After the limit, the test fails with the name of the condition. If the machine is late, the
/// limit grows.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let (limit, machine) = (limit * patience(), Machine::watch());
    while !condition() {
        assert!(!machine.is_over(limit), "gave up after {:?}: {what}", machine.limit(limit));
        thread::sleep(Duration::from_millis(2));
    }
}

/// Polls until the value is the expected one. A failure shows the last value.
pub fn wait_for<T: PartialEq + Debug>(
    what: &str,
    limit: Duration,
    expected: T,
    mut value: impl FnMut() -> T,
) {
    let (limit, machine) = (limit * patience(), Machine::watch());
    loop {
        let seen = value();
        if seen == expected {
            return;
        }
        assert!(
            !machine.is_over(limit),
            "gave up after {:?}: {what}: {seen:?} is not {expected:?}",
            machine.limit(limit)
        );
        thread::sleep(Duration::from_millis(2));
    }
}

/// Where and as what a server runs.
#[derive(Clone)]
pub struct Place {
    pub program: PathBuf,
    pub module: PathBuf,
    /// The address at which it listens.
    pub host: String,
    /// The folder in which its own folder is made.
    pub folders: PathBuf,
}

impl Place {
    /// The server under test with the module, on this machine.
    pub fn here() -> Self {
        Self::of(server_program())
    }

    fn of(program: &Path) -> Self {
        Self {
            program: program.into(),
            module: module(),
            host: LOCAL.to_owned(),
            folders: std::env::temp_dir(),
        }
    }
}

const LOCAL: &str = "127.0.0.1";

/// A running server. Dropping it kills exactly the process that was started here.
pub struct Server {
    child: Option<Child>,
    program: PathBuf,
    module: PathBuf,
    host: String,
    /// The command-line arguments after the configuration file.
    arguments: &'static [&'static str],
    port: u16,
    /// The port at which the other nodes of a cluster connect; 0 outside a cluster.
    bus_port: u16,
    folder: TempDir,
    options: Vec<String>,
}

impl Server {
    /// A server with the module and its defaults.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with the module and more lines of configuration, such as `inv.outcome-ttl-ms 0` or `appendonly yes`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_with_module(&module(), options)
    }

    /// A cluster node with the module. `tell` receives the port of its bus, and returns more lines of configuration and the port
    /// at which the other nodes connect.
    pub fn start_node(tell: impl FnMut(u16) -> (Vec<String>, u16)) -> Self {
        Self::start_node_at(&Place::here(), tell)
    }

    /// The same in this place.
    pub fn start_node_at(place: &Place, mut tell: impl FnMut(u16) -> (Vec<String>, u16)) -> Self {
        Self::on_free_ports(|| {
            let own = free_port();
            let (options, bus_port) = tell(own);
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            let mut server = Self::at(place, &options);
            server.bus_port = bus_port;
            server.try_run(Some(&place.module)).map(|()| server)
        })
    }

    /// A server with the module in this file.
    pub fn start_with_module(module: &Path, options: &[&str]) -> Self {
        Self::start_at(&Place { module: module.into(), ..Place::here() }, options)
    }

    /// A server with the module in this place.
    pub fn start_at(place: &Place, options: &[&str]) -> Self {
        Self::on_free_ports(|| {
            let mut server = Self::at(place, options);
            server.try_run(Some(&place.module)).map(|()| server)
        })
    }

    /// Another server program, without the module.
    pub fn start_without_module(program: &Path, options: &[&str]) -> Self {
        Self::on_free_ports(|| {
            let mut server = Self::new(program, options);
            server.try_run(None).map(|()| server)
        })
    }

    /// Starts a server. If another process takes one of its ports first, starts it again on other ports.
    fn on_free_ports(mut start: impl FnMut() -> Result<Self, PortTaken>) -> Self {
        for _ in 0..10 {
            if let Ok(server) = start() {
                return server;
            }
        }
        panic!("every port that was tried was taken by another process");
    }

    /// The log of a program that refuses to start with these lines of configuration.
    pub fn refused_start(program: &Path, lines: &[&str]) -> String {
        let mut server = Self::new(program, &[]);
        let own = server.lines(None);
        let lines: Vec<&str> = own.iter().map(String::as_str).chain(lines.iter().copied()).collect();
        std::fs::write(server.configuration(), lines.join("\n")).expect("a configuration file");
        let child = server.spawn();
        wait_until("the server ends", LATER, || child.try_wait().expect("a child of ours").is_some());
        let log = server.log();
        // Another process may have taken the port.
        if log.contains("Address already in use") {
            Self::refused_start(program, lines.get(own.len()..).unwrap_or_default())
        } else {
            log
        }
    }

    fn new(program: &Path, options: &[&str]) -> Self {
        Self::at(&Place::of(program), options)
    }

    fn at(place: &Place, options: &[&str]) -> Self {
        let folder = TempDir::new_in(&place.folders).expect("a temporary folder");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self {
            child: None,
            program: place.program.clone(),
            module: place.module.clone(),
            host: place.host.clone(),
            arguments: &[],
            port: free_port(),
            bus_port: 0,
            folder,
            options,
        }
    }

    /// A Sentinel that monitors this server as `shop` and needs no other to declare it down.
    pub fn sentinel(&self) -> Self {
        Self::on_free_ports(|| {
            let mut sentinel = Self::new(server_program(), &[]);
            let lines = [
                format!("port {}", sentinel.port),
                format!("dir {}", sentinel.folder.path().display()),
                "bind 127.0.0.1".to_owned(),
                "logfile server.log".to_owned(),
                format!("sentinel monitor shop 127.0.0.1 {} 1", self.port),
                "sentinel down-after-milliseconds shop 1500".to_owned(),
                "sentinel failover-timeout shop 5000".to_owned(),
            ];
            std::fs::write(sentinel.configuration(), lines.join("\n")).expect("a configuration file");
            sentinel.arguments = &["--sentinel"];
            sentinel.spawn_and_wait().map(|()| sentinel)
        })
    }

    /// A replica of this server that is in sync.
    pub fn replica(&self) -> Self {
        self.replica_with(&[])
    }

    /// The same with more lines of configuration.
    pub fn replica_with(&self, options: &[&str]) -> Self {
        let replica_of = format!("replicaof {} {}", self.host, self.port);
        let replica = Self::start_with(&[&[&*replica_of], options].concat());
        replica.wait_for_master(self);
        replica
    }

    /// Waits until writes of the master arrive here.
    pub fn wait_for_master(&self, master: &Self) {
        self.wait_for_info("replication", "master_link_status", "up");
        // The master may send nothing for a second. A message proves the connection and leaves no key.
        master.connect().ask("PUBLISH harness up");
        self.catch_up_with(master);
    }

    /// Whether the test has started it and not ended it.
    pub const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("a child of ours").is_some())
    }

    /// Starts it again with the same port and folder.
    pub fn start_again(&mut self) {
        let module = self.module.clone();
        self.run(Some(&module));
    }

    /// The same with the module in another file.
    #[allow(dead_code, reason = "the histories use it")]
    pub fn start_again_with(&mut self, module: &Path) {
        std::fs::remove_file(self.configuration()).expect("a configuration file");
        self.module = module.into();
        self.start_again();
    }

    /// The same, without the module and its options.
    pub fn start_again_without_module(&mut self) {
        self.run(None);
    }

    /// Shuts it down without saving; only the AOF has the data.
    pub fn shut_down(&mut self) {
        self.connect().send("SHUTDOWN NOSAVE");
        self.child.take().expect("a running server").wait().expect("the server ends");
    }

    /// Replaces a line of configuration, for the next start.
    pub fn change_option(&mut self, before: &str, after: &str) {
        for option in self.options.iter_mut().filter(|option| *option == before) {
            after.clone_into(option);
        }
        std::fs::remove_file(self.configuration()).expect("a configuration file");
    }

    /// Shuts it down with an RDB, which tells a replica its position in the stream.
    pub fn shut_down_saving(&mut self) {
        self.connect().send("SHUTDOWN SAVE");
        self.child.take().expect("a running server").wait().expect("the server ends");
    }

    /// Ends it with kill -9, like a power failure.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().expect("a child of ours");
        child.wait().expect("the server ends");
    }

    /// Suspends it (SIGSTOP): its connections stay open, but it does nothing.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes it (SIGCONT).
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("a running server").id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(status.success(), "kill {signal}");
    }

    /// A client that speaks RESP3.
    pub fn connect(&self) -> Client {
        Client::open(&self.host, self.port, redis::ProtocolVersion::RESP3)
            .expect("the server takes connections")
    }

    /// A client that speaks RESP2.
    pub fn connect_resp2(&self) -> Client {
        Client::open(&self.host, self.port, redis::ProtocolVersion::RESP2)
            .expect("the server takes connections")
    }

    /// Waits until this replica has received everything from its master.
    pub fn catch_up_with(&self, master: &Self) {
        wait_until("the replica has what the master sent", LATER, || {
            let sent = master.connect().info("replication", "master_repl_offset");
            sent == self.connect().info("replication", "slave_repl_offset")
        });
    }

    /// Rewrites the AOF, or the RDB with `BGSAVE`, and waits for the end.
    pub fn rewrite(&self, command: &str) {
        self.connect().ask(command);
        for field in ["aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"] {
            self.wait_for_info("persistence", field, "0");
        }
    }

    /// Removes half a transaction from the AOF. After a kill during such a write, the next start removes only the incomplete
    /// command; Redis 8.0, and Valkey without the fix of valkey-io/valkey#4342, keep the complete commands before it, append to
    /// them, and execute them at the following start. Rewriting the AOF in between avoids that, here as in production.
    pub fn mend_aof(&self) {
        let folder = self.folder.path().join("appendonlydir");
        let number = |file: &Path| {
            let name = file.file_name()?.to_str()?;
            name.strip_prefix("appendonly.aof.")?.strip_suffix(".incr.aof")?.parse::<u64>().ok()
        };
        let files = std::fs::read_dir(folder).into_iter().flatten().map(|file| file.expect("a file").path());
        let Some(tail) = files.filter(|file| number(file).is_some()).max_by_key(|file| number(file)) else {
            return;
        };
        let commands = commands_of(&std::fs::read(tail).expect("an AOF"));
        let count = |word| commands.iter().filter(|command| *command == word).count();
        if count("MULTI") > count("EXEC") {
            eprintln!("the server has left half a transaction at the end of its AOF");
            self.rewrite("BGREWRITEAOF");
        }
    }

    /// The commands propagated by the step, one per line, from the AOF (`appendonly yes`). The server writes the AOF before it
    /// answers, so there is nothing to wait for. SELECT is skipped.
    pub fn propagated_by(&self, step: impl FnOnce()) -> Vec<String> {
        let before = self.propagated().len();
        step();
        self.propagated().split_off(before)
    }

    /// Everything that was propagated since the start.
    pub fn propagated(&self) -> Vec<String> {
        let aof = self.folder.path().join("appendonlydir/appendonly.aof.1.incr.aof");
        let commands = commands_of(&std::fs::read(aof).expect("a server with `appendonly yes`"));
        commands.into_iter().filter(|command| !command.starts_with("SELECT")).collect()
    }

    /// The server's configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("server.conf")
    }

    /// The folder with its data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Its address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The port at which the other nodes of its cluster connect.
    pub const fn bus_port(&self) -> u16 {
        self.bus_port
    }

    /// Waits until a field of INFO has this value.
    pub fn wait_for_info(&self, section: &str, field: &str, expected: &str) {
        wait_for(field, LATER, expected.to_owned(), || self.connect().info(section, field));
    }

    fn run(&mut self, module: Option<&Path>) {
        // The other nodes know its ports, so wait until another process releases them.
        wait_until("the ports are free again", LATER, || self.try_run(module).is_ok());
    }

    fn try_run(&mut self, module: Option<&Path>) -> Result<(), PortTaken> {
        // CONFIG REWRITE needs a file rather than arguments.
        let configuration = self.configuration();
        if !configuration.exists() || module.is_none() {
            std::fs::write(&configuration, self.lines(module).join("\n")).expect("a configuration file");
        }
        self.spawn_and_wait()
    }

    fn spawn_and_wait(&mut self) -> Result<(), PortTaken> {
        let (host, port, before) = (self.host.clone(), self.port, self.log().len());
        let child = self.spawn();
        let mut ended = None;
        wait_until("the server answers", LATER, || {
            ended = child.try_wait().expect("a child of ours");
            ended.is_some() || is_answered_by(child.id(), &host, port)
        });
        let Some(status) = ended else { return Ok(()) };
        let log = self.log();
        if log.get(before..).is_some_and(|log| log.contains("Address already in use")) {
            self.child = None;
            return Err(PortTaken);
        }
        panic!("the server ended while starting: {status}");
    }

    fn spawn(&mut self) -> &mut Child {
        let child = Command::new(&self.program)
            .arg(self.configuration())
            .args(self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        // Stored right away, so that it is killed whatever happens.
        self.child.insert(child)
    }

    fn lines(&self, module: Option<&Path>) -> Vec<String> {
        let mut lines = vec![
            format!("port {}", self.port),
            format!("dir {}", self.folder.path().display()),
            format!("bind {}", self.host),
            "logfile server.log".to_owned(),
            "save \"\"".to_owned(),
            "hz 10".to_owned(),
            "enable-debug-command yes".to_owned(),
            "appendfsync always".to_owned(),
            "aof-use-rdb-preamble no".to_owned(),
            "repl-diskless-sync-delay 0".to_owned(),
        ];
        if self.host != LOCAL {
            lines.push("protected-mode no".to_owned());
        }
        lines.extend(module.map(|path| format!("loadmodule {}", path.display())));
        // Without the module, a server refuses to start with options of the module.
        lines.extend(
            self.options.iter().filter(|line| module.is_some() || !line.starts_with("inv.")).cloned(),
        );
        lines
    }
}

/// Another process listens on a port that was free before.
struct PortTaken;

/// Whether the server that answers on this port is this process.
fn is_answered_by(process: u32, host: &str, port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((host, port)) else { return false };
    // Another program may never answer.
    if stream.set_read_timeout(Some(Duration::from_secs(1))).is_err()
        || stream.write_all(b"PING\r\nINFO server\r\n").is_err()
    {
        return false;
    }
    let (mut said, mut piece) = (String::new(), [0; 4096]);
    while !said.contains("\nprocess_id:") && !said.contains("\n-") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(length) => said += &String::from_utf8_lossy(&piece[..length]),
        }
    }
    // Not every user may read the process id.
    let is_own = said.contains(&format!("\nprocess_id:{process}\r")) || said.contains("\n-NOPERM");
    said.starts_with("+PONG") && is_own
}

impl Drop for Server {
    fn drop(&mut self) {
        if patience() > 1 && !self.has_ended() && !thread::panicking() {
            // Under valgrind it reports leaks only if it exits normally. A suspended process does not receive this.
            self.signal("-TERM");
            let deadline = Instant::now() + LATER * patience();
            while !self.has_ended() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
        }
        if let Some(mut child) = self.child.take() {
            // It may already have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- log of the server on port {} ---\n{}---", self.port, self.log());
        }
    }
}

/// A connection, with commands as text.
pub struct Client {
    connection: Connection,
    heard: Vec<Json>,
}

impl Client {
    /// A client of the server on this port, if there is one.
    pub fn at(port: u16) -> redis::RedisResult<Self> {
        Self::open(LOCAL, port, redis::ProtocolVersion::RESP3)
    }

    fn open(host: &str, port: u16, protocol: redis::ProtocolVersion) -> redis::RedisResult<Self> {
        let address = redis::ConnectionAddr::Tcp(host.to_owned(), port);
        let settings = redis::RedisConnectionInfo::default().set_protocol(protocol);
        let info = redis::IntoConnectionInfo::into_connection_info(address)?.set_redis_settings(settings);
        let connection = redis::Client::open(info)?.get_connection()?;
        connection.set_read_timeout(Some(LATER * patience()))?;
        Ok(Self { connection, heard: Vec::new() })
    }

    /// The reply as JSON. An error fails the test.
    #[track_caller]
    pub fn ask(&mut self, command: impl Words) -> Json {
        let (words, begun) = (show(&command), Instant::now());
        loop {
            match self.try_ask(&command) {
                Ok(reply) => return reply,
                // A replica answers nothing else while it loads the data set of its master.
                Err(error) if code(&error) == "LOADING" && begun.elapsed() < LATER * patience() => {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("{words}: {error}"),
            }
        }
    }

    /// The text of the error. Any other reply fails the test.
    #[track_caller]
    pub fn refusal(&mut self, command: impl Words) -> String {
        let words = show(&command);
        match self.try_ask(command) {
            Err(error) => error,
            Ok(reply) => panic!("{words}: not refused: {reply}"),
        }
    }

    /// Unloads the module. The module refuses while a release is queued, so this may take several attempts.
    pub fn unload(&mut self) -> Json {
        let mut reply = Json::Null;
        wait_until("the module is unloaded", SOON, || match self.try_ask("MODULE UNLOAD inv") {
            Ok(done) => {
                reply = done;
                true
            }
            Err(_) => false,
        });
        reply
    }

    /// The reply, or the text of the error.
    pub fn try_ask(&mut self, command: impl Words) -> Result<Json, String> {
        self.send(command);
        match self.receive() {
            Value::ServerError(error) => Err(error_text(&error)),
            reply => Ok(to_json(reply)),
        }
    }

    /// Sends all commands in one write, so that the server runs them without its own work in between, and returns the replies. An
    /// error is a text that starts with `-`, as on the wire.
    pub fn burst(&mut self, commands: &[impl Words]) -> Vec<Json> {
        let packed: Vec<u8> = commands.iter().flat_map(pack).collect();
        self.connection.send_packed_command(&packed).expect("the server reads");
        commands.iter().map(|_| to_json(self.receive())).collect()
    }

    /// Sends a command and does not wait for its reply.
    pub fn send(&mut self, command: impl Words) {
        self.connection.send_packed_command(&pack(command)).expect("the server reads");
    }

    /// The reply to the oldest command without one. An error is a text that starts with `-`.
    pub fn reply(&mut self) -> Json {
        to_json(self.receive())
    }

    /// The available and reserved units of a sku, read with GET; a missing counter counts as 0.
    pub fn counters(&mut self, sku: &str) -> (i64, i64) {
        let mut counter = |kind| match self.ask(format!("GET stock:{kind}:{sku}")) {
            Json::Null => 0,
            units => units.as_str().and_then(|units| units.parse().ok()).expect("an integer"),
        };
        (counter("available"), counter("reserved"))
    }

    /// The counters of a sku that are on this node, even if another node owns the slot.
    pub fn counters_here(&mut self, sku: &str) -> (Option<i64>, Option<i64>) {
        let mut counter = |kind| {
            self.ask("ASKING");
            let units = self.try_ask(format!("GET stock:{kind}:{sku}")).ok()?;
            units.as_str().and_then(|units| units.parse().ok())
        };
        (counter("available"), counter("reserved"))
    }

    /// The value of a string key that holds JSON.
    #[track_caller]
    pub fn document(&mut self, key: &str) -> Json {
        let text = self.ask(["GET", key]);
        serde_json::from_str(text.as_str().unwrap_or_else(|| panic!("{key} is not there"))).expect("JSON")
    }

    /// The server's clock, Unix ms.
    pub fn now(&mut self) -> i64 {
        let time = self.ask("TIME");
        let part =
            |index: usize| time[index].as_str().and_then(|part| part.parse::<i64>().ok()).expect("TIME");
        part(0) * 1000 + part(1) / 1000
    }

    /// A field of INFO.
    pub fn info(&mut self, section: &str, field: &str) -> String {
        let text = self.ask(["INFO", section]);
        let mut lines = text.as_str().expect("text").lines();
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().to_owned()
    }

    /// Every key of every database with its type, value and deadline.
    pub fn contents(&mut self) -> Contents {
        let mut contents = BTreeMap::new();
        // A cluster has one database.
        let databases = if self.info("cluster", "cluster_enabled") == "1" { 1 } else { 16 };
        for database in 0..databases {
            self.ask(format!("SELECT {database}"));
            for key in self.ask("KEYS *").as_array().expect("an array") {
                let key = key.as_str().expect("text");
                let kind = self.ask(["TYPE", key]);
                let value = match kind.as_str().expect("text") {
                    // It has expired since the keys were listed.
                    "none" => continue,
                    "string" => self.ask(["GET", key]),
                    "list" => self.ask(["LRANGE", key, "0", "-1"]),
                    "hash" => self.ask(["HGETALL", key]),
                    "zset" => self.ask(["ZRANGE", key, "0", "-1", "WITHSCORES"]),
                    other => panic!("{key} is a {other}"),
                };
                let deadline = self.ask(["PEXPIRETIME", key]);
                contents.insert(format!("{database} {key}"), format!("{value} until {deadline}"));
            }
        }
        self.ask("SELECT 0");
        contents
    }

    /// Subscribes to these channels; [`Client::heard`] returns the messages.
    pub fn listen(&mut self, pattern: &str) {
        self.send(["PSUBSCRIBE", pattern]);
        self.heard();
    }

    /// What the server has pushed to this client since the last call. It includes everything caused by commands answered before,
    /// because the server writes to a connection in order.
    pub fn heard(&mut self) -> Vec<Json> {
        self.ask("PING");
        std::mem::take(&mut self.heard)
    }

    /// The reply, or the text of the error; `None` if the server died before it answered.
    pub fn ask_if_alive(&mut self, command: impl Words) -> Option<Result<Json, String>> {
        self.connection.send_packed_command(&pack(command)).ok()?;
        Some(match self.receive_if_alive().ok()? {
            Value::ServerError(error) => Err(error_text(&error)),
            reply => Ok(to_json(reply)),
        })
    }

    fn receive(&mut self) -> Value {
        self.receive_if_alive().expect("the server answers")
    }

    fn receive_if_alive(&mut self) -> redis::RedisResult<Value> {
        loop {
            match self.connection.recv_response()? {
                Value::Push { data, .. } => self.heard.push(to_json(Value::Array(data))),
                reply => return Ok(reply),
            }
        }
    }
}

/// A command: a line that is split at blanks, or its words.
pub trait Words {
    fn words(&self) -> Vec<Vec<u8>>;
}

impl<T: Words + ?Sized> Words for &T {
    fn words(&self) -> Vec<Vec<u8>> {
        (*self).words()
    }
}

impl Words for str {
    fn words(&self) -> Vec<Vec<u8>> {
        self.split_whitespace().map(Into::into).collect()
    }
}

impl Words for String {
    fn words(&self) -> Vec<Vec<u8>> {
        self.as_str().words()
    }
}

impl<const N: usize, T: AsRef<[u8]>> Words for [T; N] {
    fn words(&self) -> Vec<Vec<u8>> {
        self.iter().map(|word| word.as_ref().to_vec()).collect()
    }
}

impl Words for Vec<Vec<u8>> {
    fn words(&self) -> Vec<Vec<u8>> {
        self.clone()
    }
}

/// The first word of a refusal, which identifies it.
pub fn code(error: &str) -> &str {
    error.split(' ').next().unwrap_or_default()
}

/// The first word of an error among replies, as on the wire: `-EXPIRED`.
pub fn wire_code(reply: &Json) -> &str {
    code(reply.as_str().unwrap_or_default())
}

/// Every key of a server, from [`Client::contents`].
pub type Contents = BTreeMap<String, String>;

/// Asserts that two servers, or one at two times, have the same data. A failure shows only the differences.
#[track_caller]
pub fn assert_same(one: &Contents, other: &Contents) {
    let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let differing = keys.into_iter().filter(|&key| one.get(key) != other.get(key));
    let shown: Vec<String> =
        differing.map(|key| format!("{key}\n   {:?}\n   {:?}", one.get(key), other.get(key))).collect();
    assert!(shown.is_empty(), "these keys differ:\n{}", shown.join("\n"));
}

/// Asserts that master and replica have the same data: key by key, and by the server's digest. What is written meanwhile, as
/// when deadlines pass on a slow machine, makes them differ for a moment; then they are compared again.
#[track_caller]
pub fn assert_same_data(one: &mut Client, other: &mut Client) {
    let offsets = |one: &mut Client, other: &mut Client| {
        [one, other].map(|client| client.info("replication", "master_repl_offset"))
    };
    for last in [false, false, false, false, true] {
        let before = offsets(one, other);
        let contents = (one.contents(), other.contents());
        let digests = (one.ask("DEBUG DIGEST"), other.ask("DEBUG DIGEST"));
        if !last && before != offsets(one, other) && (contents.0 != contents.1 || digests.0 != digests.1) {
            std::thread::sleep(Duration::from_secs(1));
            continue;
        }
        assert_same(&contents.0, &contents.1);
        assert_eq!(digests.0, digests.1);
        return;
    }
}

fn show(command: &impl Words) -> String {
    let words = command.words();
    words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
}

fn pack(command: impl Words) -> Vec<u8> {
    let mut packed = redis::Cmd::new();
    for word in command.words() {
        packed.arg(word);
    }
    packed.get_packed_command()
}

fn error_text(error: &redis::ServerError) -> String {
    [error.code(), error.details().unwrap_or_default()].join(" ").trim_end().to_owned()
}

/// A reply as JSON. An error is a text that starts with `-`.
pub fn to_json(value: Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Int(number) => number.into(),
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.into(),
        Value::Okay => "OK".into(),
        Value::Double(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Array(values) | Value::Set(values) => values.into_iter().map(to_json).collect(),
        Value::Map(fields) => {
            let name = |name| to_json(name).as_str().expect("a text").to_owned();
            fields.into_iter().map(|(key, value)| (name(key), to_json(value))).collect()
        }
        Value::ServerError(error) => format!("-{}", error_text(&error)).into(),
        other => panic!("no test expects {other:?}"),
    }
}

/// The commands of an append-only file, each as one line.
fn commands_of(mut aof: &[u8]) -> Vec<String> {
    let mut commands = Vec::new();
    while let Some(count) = number_after(b'*', &mut aof) {
        let words: Option<Vec<String>> = (0..count)
            .map(|_| {
                let length = number_after(b'$', &mut aof)?;
                let (word, rest) = aof.split_at_checked(length + 2)?;
                aof = rest;
                Some(String::from_utf8_lossy(&word[..length]).into_owned())
            })
            .collect();
        // The server is still writing the last one.
        let Some(words) = words else { break };
        commands.push(words.join(" "));
    }
    commands
}

/// Parses a line such as `*3` at the beginning. An incomplete command may end within it: then there is no number.
fn number_after(mark: u8, bytes: &mut &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = bytes.split_at(end);
    assert_eq!(line[0], mark, "not an AOF: {}", String::from_utf8_lossy(line));
    *bytes = &rest[2..];
    std::str::from_utf8(&line[1..]).ok()?.parse().ok()
}

/// The ports of a process: enough for all tests that run in it at a time.
const PORTS: u16 = 200;

/// A free port below the range that the system gives to clients, so that no connection of another test uses it.
///
/// Each process takes its ports from a block of its own, of which it holds the first port. Otherwise a test could start a
/// server on the port of one that another test has just killed, and would be taken for it.
pub fn free_port() -> u16 {
    const BLOCKS: u16 = 60;
    static BLOCK: OnceLock<TcpListener> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let block = BLOCK.get_or_init(|| {
        let own = (std::process::id() % u32::from(BLOCKS)) as u16;
        let first_ports = (own..own + BLOCKS).map(|block| 20_000 + block % BLOCKS * PORTS);
        first_ports
            .filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .next()
            .expect("a free block of ports")
    });
    let first = block.local_addr().expect("an address").port();
    loop {
        let port = first + 1 + NEXT.fetch_add(1, Ordering::Relaxed) % (PORTS - 1);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The folder of the project. The tests in cli/ belong to another package, whose folder is in it.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().filter(|_| package.ends_with("cli")).unwrap_or(package)
}

/// The server under test.
pub fn server_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("INV_SERVER") {
        Some(path) => path.into(),
        None => {
            let script = root().join("scripts/find-server.sh");
            let found =
                Command::new(script).stderr(Stdio::inherit()).output().expect("scripts/find-server.sh");
            assert!(found.status.success(), "no server was found, and the test needs one");
            String::from_utf8(found.stdout).expect("a path").trim().into()
        }
    })
}

/// A cli that fits the server.
pub fn cli() -> PathBuf {
    let script = root().join("scripts/find-cli.sh");
    let found = Command::new(script).env("SERVER", server_program()).output().expect("scripts/find-cli.sh");
    assert!(found.status.success(), "no cli was found: {}", String::from_utf8_lossy(&found.stderr));
    String::from_utf8(found.stdout).expect("a path").trim().into()
}

/// The module that was built together with this test, next to it. The folder above has one only after `cargo build`, and that one
/// may be older.
pub fn module() -> PathBuf {
    if let Some(path) = std::env::var_os("INV_MODULE") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a path");
    let name = format!("{}redis_inventory{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    test.with_file_name(name)
}

#[test]
fn a_server_takes_another_port_when_somebody_was_faster() {
    let holder = TcpListener::bind(("127.0.0.1", free_port())).expect("a free port");
    let taken = holder.local_addr().expect("an address").port();
    let mut server = Server::new(server_program(), &[]);
    server.port = taken;
    assert!(server.try_run(Some(&module())).is_err());

    // The same for the port of its bus.
    let mut ports = vec![taken];
    let node = Server::start_node(|own| {
        let bus_port = ports.pop().unwrap_or(own);
        (vec!["cluster-enabled yes".to_owned(), format!("cluster-port {bus_port}")], bus_port)
    });
    assert_ne!(node.bus_port(), taken);
}

//! `make run`: a server to try the module with, which keeps its data and settings. `make cluster` and `make cluster-stop`: a
//! cluster, and its complete removal.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::{Client, LATER, free_port, module, server_program, wait_for, wait_until};
use crate::readme::{self, README};

/// The configuration with which all servers of the scripts start.
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/redis.conf");

/// The number of ports of a cluster: for six nodes, and for their bus.
const PORTS: u16 = 12;

/// A cluster of `make cluster`. Dropping it ends its nodes.
struct Playground {
    port: u16,
    data: TempDir,
}

impl Playground {
    /// Starts a cluster and returns the output. Another process may take one of its ports first.
    fn start() -> (Self, String) {
        loop {
            let playground = Self::new();
            let (well, said) = playground.make("cluster");
            if well {
                return (playground, said);
            }
            assert!(said.contains("is in use") || said.contains("Address already in use"), "{said}");
        }
    }

    fn new() -> Self {
        let are_free = |first: &u16| {
            (0..PORTS)
                .map(|number| TcpListener::bind(("127.0.0.1", first + number)))
                .all(|bound| bound.is_ok())
        };
        // Other ports than those of the other tests.
        let spread = 17_000 + (std::process::id() % 200) as u16 * PORTS;
        let port = (spread..19_900).step_by(PORTS.into()).find(are_free).expect("free ports");
        Self { port, data: TempDir::new().expect("a temporary folder") }
    }

    /// Runs `make TARGET`. Returns whether it succeeded, and its output.
    fn make(&self, target: &str) -> (bool, String) {
        let done = Command::new("make")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(["--no-print-directory", target])
            .env("CLUSTER_PORT", self.port.to_string())
            .env("CLUSTER_DATA", self.data.path())
            .env("INV_MODULE", module())
            .env("SERVER", server_program())
            .stdin(Stdio::null())
            .output()
            .expect("make runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn made(&self, target: &str) -> String {
        let (well, said) = self.make(target);
        assert!(well, "make {target}: {said}");
        said
    }

    fn ask(&self, node: u16, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(("127.0.0.1", self.port + node))?;
        let mut words = redis::Cmd::new();
        command.iter().for_each(|word| {
            words.arg(word);
        });
        words.query(&mut client.get_connection()?)
    }

    /// The running processes in the pid files, without those that have ended but were not reaped.
    fn processes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.data.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if entry.file_name() == "pid" {
                    let pid = std::fs::read_to_string(path).expect("a number").trim().to_owned();
                    found.extend(runs(&pid).then_some(pid));
                }
            }
        }
        found
    }
}

/// Whether a process runs: the command line of one that has ended is empty.
fn runs(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

impl Drop for Playground {
    fn drop(&mut self) {
        self.make("cluster-stop");
    }
}

#[test]
fn make_cluster_starts_six_nodes_and_make_cluster_stop_ends_just_those() {
    let (playground, said) = Playground::start();
    assert!(said.contains("INV.RESERVE"), "{said}");
    assert_eq!(playground.processes().len(), 6);
    // One node has the product, and the others redirect.
    let has = (0..3).find(|node| playground.ask(*node, &["INV.ADJUST", "PROD-123", "10"]).is_ok());
    let has = has.expect("a master of PROD-123");
    assert!(said.contains(&format!("{}  master of PROD-123", playground.port + has)), "{said}");
    // Each node has a configuration of its own.
    let shipped = fs::read_to_string(SHIPPED).expect("redis.conf");
    for node in 0..6 {
        playground.ask(node, &["CONFIG", "SET", "inv.hold-ttl-ms", "5000"]).expect("OK");
        playground.ask(node, &["CONFIG", "REWRITE"]).expect("OK");
    }
    assert_eq!(fs::read_to_string(SHIPPED).expect("redis.conf"), shipped);

    // The cluster runs already; a killed node is started again.
    assert_eq!(playground.made("cluster").matches("runs already").count(), 1);
    let victim = playground.processes().pop().unwrap();
    assert!(Command::new("kill").args(["-9", &victim]).status().unwrap().success());
    wait_until("the killed node has ended", LATER, || !runs(&victim));
    playground.made("cluster");
    assert_eq!(playground.processes().len(), 6);

    playground.made("cluster-stop");
    assert_eq!(playground.processes(), Vec::<String>::new());
    // The data are kept.
    playground.made("cluster");
    // On a busy machine, a replica may take over from its master: for a moment both answer then, or neither.
    wait_for("its units are there", LATER, [redis::Value::BulkString(b"10".to_vec())].into(), || {
        let units =
            (0..6).filter_map(|node| playground.ask(node, &["GET", "stock:available:{PROD-123}"]).ok());
        units.collect::<Vec<_>>()
    });
    for node in 0..6 {
        wait_for("its own setting", LATER, Ok(redis::Value::BulkString(b"5000".to_vec())), || {
            let kept = playground.ask(node, &["CONFIG", "GET", "inv.hold-ttl-ms"]);
            kept.map(|kept| kept.into_sequence().expect("a pair").remove(1))
        });
    }
    playground.made("cluster-stop");
    assert!(playground.made("cluster-stop").contains("nothing runs"));
}

/// A server of `make run` with its own data folder. Dropping it ends the server.
struct Run {
    server: Option<Child>,
    port: u16,
    data: TempDir,
}

impl Run {
    fn new() -> Self {
        Self { server: None, port: free_port(), data: TempDir::new().expect("a temporary folder") }
    }

    /// Starts it, and returns the output until it was ready, and a client.
    fn start(&mut self, fresh: &str) -> (String, Client) {
        let said = self.data.path().join("said");
        let to = File::create(&said).expect("a file");
        // The server replaces the script's process.
        let child = Command::new("scripts/run.sh")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PORT", self.port.to_string())
            .env("FRESH", fresh)
            .env("RUN_DATA", self.data.path().join("data"))
            .env("INV_MODULE", module())
            .env("SERVER", server_program())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(to)
            .spawn()
            .expect("bash");
        let child = self.server.insert(child);
        let said = || fs::read_to_string(&said).expect("what was said");
        wait_until("the server answers", LATER, || {
            assert!(child.try_wait().expect("a child of ours").is_none(), "it has ended: {}", said());
            Client::at(self.port).is_ok_and(|mut client| client.try_ask("PING").is_ok())
        });
        (said(), Client::at(self.port).expect("the server answers"))
    }

    fn stop(&mut self, mut client: Client) {
        client.send("SHUTDOWN NOSAVE");
        self.server.take().expect("a server").wait().expect("it ends");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may already have ended.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

#[test]
fn what_config_rewrite_saves_outlives_a_server_of_make_run_and_leaves_the_shipped_configuration_alone() {
    let shipped = fs::read_to_string(SHIPPED).expect("redis.conf");
    let mut run = Run::new();
    let (_, mut client) = run.start("");
    // A setting that is back at the server's default, one of the module, and a user with one of its commands.
    client.ask("CONFIG SET appendonly no");
    client.ask("CONFIG SET inv.hold-ttl-ms 5000");
    client.ask("ACL SETUSER clerk on nopass ~* +inv.get");
    // The module must not be loaded twice, however often this is repeated.
    for _ in 0..3 {
        assert_eq!(client.ask("CONFIG REWRITE"), "OK");
        run.stop(client);
        (_, client) = run.start("");
        assert_eq!(client.ask("CONFIG GET appendonly")["appendonly"], "no");
        assert_eq!(client.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "5000");
        assert_eq!(client.ask("CONFIG GET propagation-error-behavior").as_object().unwrap().len(), 1);
        assert!(client.ask("ACL LIST").to_string().contains("user clerk on"));
        assert!(client.ask("MODULE LIST").to_string().contains("\"inv\""));
    }
    run.stop(client);
    let (said, mut client) = run.start("1");
    assert_eq!(client.ask("CONFIG GET inv.hold-ttl-ms")["inv.hold-ttl-ms"], "900000", "{said}");
    assert_eq!(fs::read_to_string(SHIPPED).expect("redis.conf"), shipped);
    run.stop(client);
}

#[test]
fn the_first_minute_can_be_run_again_on_fresh_data() {
    let (first_minute, _) = README.split_once("\n## Commands").expect("the first minute");
    let mut run = Run::new();
    let (said, client) = run.start("");
    assert!(said.contains("kept from run to run"), "{said}");
    assert!(readme::run(first_minute, "127.0.0.1:6379> ", run.port) > 5);
    run.stop(client);

    // With the earlier data, the id has already been used; the output says what to do.
    let (said, mut client) = run.start("");
    assert!(said.contains(&format!("To start empty: make run FRESH=1 PORT={}", run.port)), "{said}");
    assert!(client.refusal("INV.RESERVE RES-1 ITEMS PROD-123 2").starts_with("COMMITTED "));
    run.stop(client);

    let (said, client) = run.start("1");
    assert!(said.contains("starts empty"), "{said}");
    assert!(readme::run(first_minute, "127.0.0.1:6379> ", run.port) > 5);
    run.stop(client);
}
